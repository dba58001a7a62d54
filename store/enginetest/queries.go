package enginetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
)

// Guards: equality, ranges, both directions, ties and every page size give what a plain loop over all documents gives.
func queryAgainstModel(t *testing.T, e store.Engine) {
	r := rand.New(rand.NewPCG(1, 2))
	var docs []store.Doc
	for i := range 120 {
		d := doc(fmt.Sprintf("%08x", r.Uint32()), map[string]any{
			"app": string(rune('a' + i%3)), "flag": i%2 == 0, "n": int64(r.IntN(12)) - 6,
			"created": base.Add(time.Duration(r.IntN(15)) * time.Millisecond), "state": []string{"open", "closed", "odd"}[r.IntN(3)],
		})
		docs = append(docs, d)
		mustInsert(t, e, d)
	}
	ops := []store.Op{store.Gt, store.Gte, store.Lt, store.Lte}
	for round := range 150 {
		app, flag := string(rune('a'+r.IntN(4))), r.IntN(2) == 0
		q := store.Query{Index: "by_flag", SortBy: "n", Desc: r.IntN(2) == 0, Limit: 1 + r.IntN(20), Where: []store.Filter{
			store.Where("app", store.Eq, app), store.Where("flag", store.Eq, flag),
		}}
		bound := func() any { return int64(r.IntN(14)) - 7 }
		if round%3 == 0 {
			q.Index, q.SortBy, q.Where = "by_app", "created", q.Where[:1]
			bound = func() any { return base.Add(time.Duration(r.IntN(17)-1) * time.Millisecond) }
		}
		if round%3 == 1 {
			q.Index, q.SortBy = "by_state", ""
			q.Where[1] = store.Where("state", store.In, "open", "odd", "open")
		} else {
			for _, side := range [][]store.Op{ops[:2], ops[2:]} {
				if r.IntN(3) > 0 {
					q.Where = append(q.Where, store.Where(q.SortBy, side[r.IntN(2)], bound()))
				}
			}
		}
		r.Shuffle(len(q.Where), func(i, j int) { q.Where[i], q.Where[j] = q.Where[j], q.Where[i] })
		wantDiff(t, fmt.Sprintf("round %d: %+v", round, q), find(t, e, q), model(docs, q))
		if t.Failed() {
			return
		}
	}
}

// model answers a query by looking at everything.
func model(docs []store.Doc, q store.Query) []string {
	var hits []store.Doc
	for _, d := range docs {
		if !slices.ContainsFunc(q.Where, func(f store.Filter) bool { return !matches(d, f) }) {
			hits = append(hits, d)
		}
	}
	slices.SortFunc(hits, func(a, b store.Doc) int {
		c := 0
		if q.SortBy != "" {
			c = store.Compare(a.Index[q.SortBy], b.Index[q.SortBy])
		}
		if c == 0 {
			c = strings.Compare(a.ID, b.ID)
		}
		if q.Desc {
			return -c
		}
		return c
	})
	return ids(hits)
}

func matches(d store.Doc, f store.Filter) bool {
	if f.Op == store.In {
		return slices.Contains(f.Values, d.Index[f.Field])
	}
	c := store.Compare(d.Index[f.Field], f.Value)
	switch f.Op {
	case store.Eq:
		return c == 0
	case store.Gt:
		return c > 0
	case store.Gte:
		return c >= 0
	case store.Lt:
		return c < 0
	default:
		return c <= 0
	}
}

// Guards: In gives the union, each document once, in one order across its values, page by page.
func queryIn(t *testing.T, e store.Engine) {
	for i := range 30 {
		mustInsert(t, e, doc(fmt.Sprintf("%02d", i), map[string]any{
			"state": fmt.Sprint("s", i%3), "due": base.Add(time.Duration(i/4) * time.Second),
		}))
	}
	states := func(desc bool, limit int, values ...any) store.Query {
		return store.Query{Index: "due", SortBy: "due", Desc: desc, Limit: limit, Where: []store.Filter{store.Where("state", store.In, values...)}}
	}
	want := []string{}
	for i := range 30 {
		if i%3 != 1 {
			want = append(want, fmt.Sprintf("%02d", i))
		}
	}
	back := slices.Clone(want)
	slices.Reverse(back)
	for _, limit := range []int{1, 3, 7, 20, 100} {
		wantDiff(t, fmt.Sprint("up, limit ", limit), find(t, e, states(false, limit, "s0", "s2", "s0", "nope")), want)
		wantDiff(t, fmt.Sprint("down, limit ", limit), find(t, e, states(true, limit, "s2", "s0")), back)
	}
	wantDiff(t, "no values", find(t, e, states(false, 5)), []string{})
	many := make([]any, store.MaxInBranches+1)
	for i := range many {
		many[i] = fmt.Sprint("s", i)
	}
	wantDiff(t, "as many values as allowed", len(find(t, e, states(false, 7, many[1:]...))), 20)
	_, _, err := e.Query(t.Context(), coll, states(false, 5, many...))
	wantErr(t, "one more", err, store.ErrInvalid)
}

// Guards: an array field means "contains", alone and inside a compound index; a document that matches twice comes once.
func queryArray(t *testing.T, e store.Engine) {
	for i := range 24 {
		app := "x"
		if i%4 == 0 {
			app = "y"
		}
		tags := []string{}
		for p := range 4 {
			if i>>p&1 == 1 {
				tags = append(tags, fmt.Sprint("t", p))
			}
		}
		mustInsert(t, e, doc(fmt.Sprintf("%02d", i), map[string]any{"app": app, "tags": tags, "created": base.Add(time.Duration(i/6) * time.Hour)}))
	}
	want := func(desc bool, ok func(i int) bool) []string {
		out := []string{}
		for i := range 24 {
			if ok(i) {
				out = append(out, fmt.Sprintf("%02d", i))
			}
		}
		if desc {
			slices.Reverse(out)
		}
		return out
	}
	for _, desc := range []bool{false, true} {
		for _, limit := range []int{1, 4, 100} {
			q := store.Query{Index: "by_tag", Desc: desc, Limit: limit, Where: []store.Filter{store.Where("tags", store.Eq, "t1")}}
			wantDiff(t, "contains", find(t, e, q), want(desc, func(i int) bool { return i&2 != 0 }))
			q.Where = []store.Filter{store.Where("tags", store.In, "t0", "t1", "nope")}
			wantDiff(t, "contains any", find(t, e, q), want(desc, func(i int) bool { return i&3 != 0 }))
			q = store.Query{Index: "by_app_tag", SortBy: "created", Desc: desc, Limit: limit, Where: []store.Filter{
				store.Where("app", store.Eq, "x"), store.Where("tags", store.In, "t2", "t3"), store.Where("created", store.Gte, base.Add(time.Hour)),
			}}
			wantDiff(t, "compound", find(t, e, q), want(desc, func(i int) bool { return i%4 != 0 && i&12 != 0 && i >= 6 }))
		}
	}
}

// Guards: a document without one of an index's fields is not in that index, in every engine (NULLs sort differently
// from one database to the next).
func queryMissingFields(t *testing.T, e store.Engine) {
	mustInsert(t, e,
		doc("full", map[string]any{"app": "x", "created": base}),
		doc("no sort value", map[string]any{"app": "x"}),
		doc("no app", map[string]any{"created": base}),
		doc("zero time", map[string]any{"app": "x", "created": time.Time{}, "tags": []string(nil)}),
		doc("nil", map[string]any{"app": nil, "created": base}),
		doc("neither", nil))
	for _, desc := range []bool{false, true} {
		q := byApp("x")
		q.Desc = desc
		wantDiff(t, "unbounded", find(t, e, q), []string{"full"})
		q.Where = append(q.Where, store.Where("created", store.Lte, base))
		wantDiff(t, "bounded above", find(t, e, q), []string{"full"})
	}
	mustInsert(t, e, doc("tag only", map[string]any{"tags": []string{"t"}}))
	wantDiff(t, "array without the compound's other fields", find(t, e, store.Query{
		Index: "by_app_tag", SortBy: "created",
		Where: []store.Filter{store.Where("app", store.In, "x", ""), store.Where("tags", store.Eq, "t")},
	}), []string{})
}

// Guards: strings sort by their bytes, also around NUL, prefixes and outside the basic plane; so do ids.
func queryStrings(t *testing.T, e store.Engine) {
	names := []string{"", "\x00", "a", "a\x00", "a\x00b", "a\x01", "aa", "ab", "B", "Z", "é", "e\u0301", "\uffff", "\U0001F4B6", "~"}
	for i, name := range names {
		mustInsert(t, e, doc(fmt.Sprintf("n%02d", i), map[string]any{"name": name}))
	}
	slices.Sort(names)
	for _, desc := range []bool{false, true} {
		for _, limit := range []int{1, 100} {
			q := store.Query{Index: "by_name", SortBy: "name", Desc: desc, Limit: limit}
			var got []string
			for _, id := range find(t, e, q) {
				got = append(got, mustGet(t, e, id).Index["name"].(string))
			}
			if desc {
				slices.Reverse(got)
			}
			wantDiff(t, "order", got, names)
		}
	}
	q := store.Query{Index: "by_name", SortBy: "name", Where: []store.Filter{store.Where("name", store.Gt, "a"), store.Where("name", store.Lt, "ab")}}
	wantDiff(t, "between", len(find(t, e, q)), 4) // a\0, a\0b, a\1, aa
	for _, id := range []string{"p", "pa", "p~", "pé", "p\U0001F4B6", "p\x01"} {
		mustInsert(t, e, doc(id, map[string]any{"app": "ids", "created": base}))
	}
	for _, limit := range []int{1, 100} {
		q := byApp("ids")
		q.Limit = limit
		wantDiff(t, "ids", find(t, e, q), []string{"p", "p\x01", "pa", "p~", "pé", "p\U0001F4B6"})
		q.Desc = true
		wantDiff(t, "ids down", find(t, e, q), []string{"p\U0001F4B6", "pé", "p~", "pa", "p\x01", "p"})
	}
}

// Guards: every query is served by one declared index; what would need a scan or a sort is refused.
func queryRefusals(t *testing.T, e store.Engine) {
	eq, in := func(f string) store.Filter { return store.Where(f, store.Eq, "x") }, store.Where
	bad := map[string]store.Query{
		"no index":              {},
		"undeclared index":      {Index: "nope", Where: []store.Filter{eq("app")}},
		"other's index":         {Index: "by_id"},
		"equality missing":      {Index: "by_app", SortBy: "created"},
		"first missing":         {Index: "by_flag", SortBy: "n", Where: []store.Filter{in("flag", store.Eq, true)}},
		"sort left open":        {Index: "by_app", Where: []store.Filter{eq("app")}},
		"sort by first":         {Index: "by_app", SortBy: "app", Where: []store.Filter{in("created", store.Eq, base)}},
		"sort by unknown":       {Index: "by_app", SortBy: "nope", Where: []store.Filter{eq("app")}},
		"filter on other field": {Index: "by_app", SortBy: "created", Where: []store.Filter{eq("app"), eq("state")}},
		"equality twice":        {Index: "by_app", SortBy: "created", Where: []store.Filter{eq("app"), eq("app")}},
		"range on equality":     {Index: "by_app", SortBy: "created", Where: []store.Filter{in("app", store.Gt, "x")}},
		"equality on sort":      {Index: "by_app", SortBy: "created", Where: []store.Filter{eq("app"), in("created", store.Eq, base)}},
		"two lower bounds": {Index: "by_app", SortBy: "created", Where: []store.Filter{
			eq("app"), in("created", store.Gt, base), in("created", store.Gte, base),
		}},
		"sort by array":      {Index: "by_tag", SortBy: "tags"},
		"wrong type":         {Index: "by_app", SortBy: "created", Where: []store.Filter{in("app", store.Eq, 1)}},
		"no value":           {Index: "by_app", SortBy: "created", Where: []store.Filter{{Field: "app", Op: store.Eq}}},
		"no operator":        {Index: "by_app", SortBy: "created", Where: []store.Filter{{Field: "app", Value: "x"}}},
		"unknown operator":   {Index: "by_app", SortBy: "created", Where: []store.Filter{{Field: "app", Op: 99, Value: "x"}}},
		"negative limit":     {Index: "by_app", SortBy: "created", Limit: -1, Where: []store.Filter{eq("app")}},
		"limit out of range": {Index: "by_app", SortBy: "created", Limit: store.MaxLimit + 1, Where: []store.Filter{eq("app")}},
	}
	for name, q := range bad {
		docs, next, err := e.Query(t.Context(), coll, q)
		wantErr(t, name, err, store.ErrInvalid)
		if docs != nil || next != "" {
			t.Errorf("%s: gave %d documents", name, len(docs))
		}
	}
}
