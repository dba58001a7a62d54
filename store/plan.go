package store

import (
	"fmt"
	"slices"
	"strings"
)

// Plan is a checked Query in the form engines execute, so that what a query means is decided here once. Engines visit
// each branch from From to To in the direction of travel, take up to Limit+1 documents, and hand them to Page.
type Plan struct {
	Index Index
	// EqFields are the fields with equality, in index order; each branch holds one value for each of them. No
	// branches: nothing can match.
	EqFields []string
	Branches [][]any
	// Sort is the sort field, or "" for order by id. Ties are ordered by id in the same direction.
	Sort string
	Desc bool
	// Limit is the page size.
	Limit int
	// From is where to begin and To where to end, seen in the direction of travel; nil means unbounded.
	From, To *Edge

	mark func() string // identifies the query for its cursors; few pages have one
}

// Edge is one end of the range that a Plan covers.
type Edge struct {
	// Value of the sort field; nil when Plan.Sort is "".
	Value any
	// Inclusive: documents with this very Value belong to the range. Not used when ID is set.
	Inclusive bool
	// ID, when not empty, makes From a position: begin strictly past the document (Value, ID).
	ID string
}

// NewPlan checks q against the collection's declarations. ErrInvalid or ErrBadCursor.
func NewPlan(c Collection, q Query) (Plan, error) {
	i := slices.IndexFunc(c.Indexes, func(ix Index) bool { return ix.Name == q.Index })
	if i < 0 {
		return Plan{}, fmt.Errorf("%w: collection %s declares no index %q", ErrInvalid, c.Name, q.Index)
	}
	p := Plan{Index: c.Indexes[i], Sort: q.SortBy, Desc: q.Desc, EqFields: c.Indexes[i].Fields}
	fail := func(format string, args ...any) (Plan, error) {
		return Plan{}, fmt.Errorf("%w: query on %s.%s: %s", ErrInvalid, c.Name, q.Index, fmt.Sprintf(format, args...))
	}
	var err error
	if p.Limit, err = checkLimit(q.Limit); err != nil {
		return Plan{}, err
	}
	if p.Sort != "" {
		last := len(p.EqFields) - 1
		if p.Sort != p.EqFields[last] || p.Sort == p.Index.Array {
			return fail("it can sort by its last field only (and never by an array), not by %s", p.Sort)
		}
		p.EqFields = p.EqFields[:last]
	}
	values := make([][]any, len(p.EqFields))
	for _, f := range q.Where {
		at := slices.Index(p.EqFields, f.Field)
		switch {
		case at >= 0 && values[at] != nil:
			return fail("two filters on %s", f.Field)
		case at >= 0:
			values[at], err = equalityValues(f)
		case f.Field == p.Sort && p.Sort != "":
			err = p.addBound(f)
		default:
			return fail("it can't filter on %s", f.Field)
		}
		if err != nil {
			return fail("%s: %v", f.Field, err)
		}
	}
	if at := slices.IndexFunc(values, func(v []any) bool { return v == nil }); at >= 0 {
		return fail("equality on %s is missing", p.EqFields[at])
	}
	if p.Branches, err = branches(values); err != nil {
		return fail("%v", err)
	}
	name, fields := c.Name, p.EqFields
	p.mark = func() string { return mark(name, q, fields, values) }
	err = p.resume(q.After)
	return p, err
}

func checkLimit(n int) (int, error) {
	if n < 0 || n > MaxLimit {
		return 0, fmt.Errorf("%w: limit %d, at most %d", ErrInvalid, n, MaxLimit)
	}
	if n == 0 {
		return DefaultLimit, nil
	}
	return n, nil
}

// equalityValues returns the values of an Eq or In filter, sorted and each once; never nil without an error.
func equalityValues(f Filter) ([]any, error) {
	in := f.Values
	if f.Op == Eq {
		in = []any{f.Value}
	} else if f.Op != In {
		return nil, fmt.Errorf("%w: it takes Eq or In", ErrInvalid)
	}
	out := make([]any, 0, len(in))
	for _, v := range in {
		v, err := checkScalar(v)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	slices.SortFunc(out, Compare)
	return slices.CompactFunc(out, func(a, b any) bool { return Compare(a, b) == 0 }), nil
}

// branches is the cartesian product of the equality values.
func branches(values [][]any) ([][]any, error) {
	out := [][]any{{}}
	for _, vs := range values {
		if len(out)*len(vs) > MaxInBranches {
			return nil, fmt.Errorf("%w: its In filters span more than %d combinations", ErrInvalid, MaxInBranches)
		}
		next := make([][]any, 0, len(out)*len(vs))
		for _, head := range out {
			for _, v := range vs {
				next = append(next, append(slices.Clone(head), v))
			}
		}
		out = next
	}
	return out, nil
}

// addBound files a range filter on the sort field under From or To, whichever it is in the direction of travel.
func (p *Plan) addBound(f Filter) error {
	v, err := checkScalar(f.Value)
	if err != nil {
		return err
	}
	if f.Op < Gt || f.Op > Lte {
		return fmt.Errorf("%w: the sort field takes Gt, Gte, Lt, Lte", ErrInvalid)
	}
	lower := f.Op == Gt || f.Op == Gte
	edge := &p.To
	if lower != p.Desc {
		edge = &p.From
	}
	if *edge != nil {
		return fmt.Errorf("%w: two bounds on one side", ErrInvalid)
	}
	*edge = &Edge{Value: v, Inclusive: f.Op == Gte || f.Op == Lte}
	return nil
}

// resume moves From to the cursor's position. A From bound that lies further on than the cursor (it moved since) wins.
func (p *Plan) resume(cursor string) error {
	if cursor == "" {
		return nil
	}
	value, id, err := decodeCursor(cursor, p.mark())
	if err != nil {
		return err
	}
	if (value == nil) != (p.Sort == "") {
		return fmt.Errorf("%w: it has no position in this order", ErrBadCursor)
	}
	if p.From != nil {
		order := p.compare(value, p.From.Value)
		if order < 0 || order == 0 && !p.From.Inclusive {
			return nil
		}
	}
	p.From = &Edge{Value: value, ID: id}
	return nil
}

// compare orders sort values in the direction of travel.
func (p *Plan) compare(a, b any) int {
	if p.Desc {
		return Compare(b, a)
	}
	return Compare(a, b)
}

// Merge brings the documents that the branches found into the query's order and drops doubles (an array field may
// match in several branches). Each branch must have given its first Limit+1 documents.
func (p *Plan) Merge(docs []Doc) []Doc {
	if len(p.Branches) < 2 {
		return docs
	}
	slices.SortFunc(docs, func(a, b Doc) int {
		if p.Sort != "" {
			if c := p.compare(a.Index[p.Sort], b.Index[p.Sort]); c != 0 {
				return c
			}
		}
		if p.Desc {
			return strings.Compare(b.ID, a.ID)
		}
		return strings.Compare(a.ID, b.ID)
	})
	return slices.CompactFunc(docs, func(a, b Doc) bool { return a.ID == b.ID })
}

// Page cuts docs, which holds the first Limit+1 or more documents in order, to one page and makes its cursor.
func (p *Plan) Page(docs []Doc) ([]Doc, string) {
	if len(docs) <= p.Limit {
		return docs, ""
	}
	docs = docs[:p.Limit]
	last := docs[p.Limit-1]
	var value any
	if p.Sort != "" {
		value = last.Index[p.Sort]
	}
	return docs, encodeCursor(p.mark(), value, last.ID)
}

// ScanPlan is the Plan of Engine.Scan: all documents of a collection by id. Index is empty.
func ScanPlan(c Collection, after string, limit int) (Plan, error) {
	p := Plan{Branches: [][]any{{}}, mark: func() string { return "scan " + c.Name }}
	var err error
	if p.Limit, err = checkLimit(limit); err != nil {
		return Plan{}, err
	}
	err = p.resume(after)
	return p, err
}
