package store

import "context"

// listPages bounds how many pages one filtered list reads: a rare combination
// of filters gives a short page with a cursor, never an endless request.
const listPages = 40

// listed reads one page of a list, at most limit of those that keep lets through,
// and the cursor after it, empty at the end. Errors are gateway's.
func listed[T any](ctx context.Context, e Engine, coll string, q Query, limit int, of func(Doc) (T, error), keep func(T) bool) ([]T, string, error) {
	limit = min(max(limit, 1), MaxLimit)
	var out []T
	for range listPages {
		q.Limit = limit - len(out)
		docs, next, err := e.Query(ctx, coll, q)
		if err != nil {
			return nil, "", portError(err)
		}
		for _, d := range docs {
			v, err := of(d)
			if err != nil {
				return nil, "", err
			}
			if keep(v) {
				out = append(out, v)
			}
		}
		q.After = next
		if next == "" || len(out) == limit {
			break
		}
	}
	return out, q.After, nil
}
