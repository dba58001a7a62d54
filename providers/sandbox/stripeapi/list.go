package stripeapi

import (
	"strconv"
	"time"
)

// page is a list request's paging.
type page struct {
	limit         int64
	after, before string
	from, to      int64 // created, inclusive
}

const farFuture = int64(1) << 60

// paging reads limit, starting_after, ending_before and created (a moment or gt,
// gte, lt, lte).
func (f form) paging() (page, *apiError) {
	p := page{limit: 10, after: f.get("starting_after"), before: f.get("ending_before"), to: farFuture}
	limit, ok, fail := f.integer("limit")
	if fail != nil {
		return p, fail
	}
	if ok {
		if limit < 1 || limit > 100 {
			return p, &apiError{status: 400, typ: typeInvalid, code: "parameter_invalid_integer", param: "limit", msg: "limit must be between 1 and 100."}
		}
		p.limit = limit
	}
	if p.after != "" && p.before != "" {
		return p, invalid("starting_after", "You may only specify one of starting_after and ending_before.")
	}
	for key, set := range map[string]func(int64){
		"created":      func(n int64) { p.from, p.to = max(p.from, n), min(p.to, n) },
		"created[gte]": func(n int64) { p.from = max(p.from, n) },
		"created[gt]":  func(n int64) { p.from = max(p.from, n+1) },
		"created[lte]": func(n int64) { p.to = min(p.to, n) },
		"created[lt]":  func(n int64) { p.to = min(p.to, n-1) },
	} {
		n, ok, fail := f.integer(key)
		if fail != nil {
			return p, fail
		}
		if ok {
			set(n)
		}
	}
	return p, nil
}

func (p page) within(t time.Time) bool { return unix(t) >= p.from && unix(t) <= p.to }

// listOf answers a list, newest first. keep filters, render writes one object.
func listOf[T record](c *call, b *book[T], keep func(T) bool, render func(T) obj) (obj, *apiError) {
	return listAmong(c, b, b.order, keep, render)
}

// listAmong is listOf where only these objects of the book, oldest first, can match: a
// book may be long, and most lists ask for what belongs to one object.
func listAmong[T record](c *call, b *book[T], among []T, keep func(T) bool, render func(T) obj) (obj, *apiError) {
	p, fail := c.form.paging()
	if fail != nil {
		return nil, fail
	}
	for _, cursor := range []string{p.after, p.before} {
		if _, ok := b.find(c.acct, cursor); cursor != "" && !ok {
			return nil, &apiError{status: 400, typ: typeInvalid, code: "resource_missing", param: "starting_after", msg: "No such object: '" + cursor + "'"}
		}
	}
	var hits []T // newest first, at most limit+1 with starting_after
	started := p.after == ""
	for i := len(among) - 1; i >= 0; i-- {
		v := among[i]
		if v.account() != c.acct {
			continue
		}
		if v.ID() == p.before {
			break
		}
		if started && p.within(v.at()) && keep(v) {
			hits = append(hits, v)
			if p.before == "" && int64(len(hits)) > p.limit {
				break
			}
		}
		started = started || v.ID() == p.after
	}
	more := int64(len(hits)) > p.limit
	if more && p.before != "" {
		hits = hits[int64(len(hits))-p.limit:] // the page that ends just before the cursor
	}
	hits = hits[:min(int64(len(hits)), p.limit)]
	data := make([]any, len(hits))
	for i, v := range hits {
		data[i] = render(v)
	}
	return list(c.r.URL.Path, data, more), nil
}

// list is a list object.
func list(url string, data []any, more bool) obj {
	if data == nil {
		data = []any{}
	}
	return obj{"object": "list", "url": url, "has_more": more, "data": data}
}

// matches is a filter: no value takes all.
func matches(want, got string) bool { return want == "" || want == got }

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
