package enginetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
)

// Guards: page sizes, the default one included; the last page says so, an exactly full one too.
func pages(t *testing.T, e store.Engine) {
	for i := range 230 {
		mustInsert(t, e, doc(fmt.Sprintf("%03d", i), map[string]any{"app": "x", "created": base}))
	}
	for _, c := range []struct {
		limit int
		want  []int
	}{{0, []int{100, 100, 30}}, {115, []int{115, 115}}, {230, []int{230}}, {229, []int{229, 1}}, {500, []int{230}}} {
		q, got := byApp("x"), []int{}
		q.Limit = c.limit
		for {
			docs, next, err := e.Query(t.Context(), coll, q)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, len(docs))
			if q.After = next; next == "" {
				break
			}
		}
		wantDiff(t, fmt.Sprint("limit ", c.limit), got, c.want)
	}
}

// Guards: paging through a list while others insert and delete neither skips nor repeats what was there all the time.
func pagesWhileInserting(t *testing.T, e store.Engine) {
	const stable = 150
	at := func(i int) time.Time { return base.Add(time.Duration(i/10) * time.Second) } // many ties
	for i := range stable {
		mustInsert(t, e, doc(fmt.Sprintf("%05d", i*100), map[string]any{"app": "x", "created": at(i)}))
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for w := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(w)))
			for n := range 500 { // an end, or readers slower than writers would never get through
				select {
				case <-stop:
					return
				default:
				}
				i := r.IntN(stable)
				d := doc(fmt.Sprintf("%05d-%d-%d", i*100, w, n), map[string]any{"app": "x", "created": at(i)})
				if err := e.Insert(t.Context(), coll, d); err != nil {
					t.Errorf("insert: %v", err)
					return
				}
				if n%2 == 0 {
					if err := e.Delete(t.Context(), coll, d.ID, 1); err != nil {
						t.Errorf("delete: %v", err)
						return
					}
				}
			}
		})
	}
	for round := range 6 {
		q, seen, kept := byApp("x"), map[string]bool{}, 0
		q.Limit, q.Desc = 7, round%2 == 1
		for more := true; more && kept < 100*stable; {
			docs, next, err := e.Query(t.Context(), coll, q)
			if err != nil {
				t.Error(err)
				break
			}
			for _, d := range docs {
				if seen[d.ID] {
					t.Errorf("round %d: %s came twice", round, d.ID)
				}
				if seen[d.ID] = true; len(d.ID) == 5 {
					kept++
				}
			}
			q.After, more = next, next != ""
		}
		if kept != stable {
			t.Errorf("round %d: saw %d of %d documents that were there all the time", round, kept, stable)
		}
	}
	close(stop)
	wg.Wait()
}

// Guards: a cursor that this query did not give out is refused, never misread (E11: 400, not another list's page).
func cursors(t *testing.T, e store.Engine) {
	for i := range 10 {
		index := map[string]any{"app": "x", "created": base.Add(time.Duration(i) * time.Second)}
		mustInsert(t, e, doc(fmt.Sprint("d", i), index))
		if err := e.Insert(t.Context(), "others", doc(fmt.Sprint("d", i), index)); err != nil {
			t.Fatal(err)
		}
	}
	q := byApp("x")
	q.Limit = 3
	_, good, err := e.Query(t.Context(), coll, q)
	if err != nil || good == "" {
		t.Fatal(good, err)
	}
	try := func(name, collection string, q store.Query) {
		t.Helper()
		docs, next, err := e.Query(t.Context(), collection, q)
		wantErr(t, name, err, store.ErrBadCursor)
		if docs != nil || next != "" {
			t.Errorf("%s: gave %d documents", name, len(docs))
		}
	}
	for name, cursor := range map[string]string{
		"garbage": "!!!", "text": "nonsense", "padding": good + "=", "newline": good + "\n", "one more": good + "A", "long": strings.Repeat("A", 100_000),
		"short": good[:8], "id": "d3",
	} {
		q.After = cursor
		try(name, coll, q)
	}
	for i := range good {
		for _, c := range "Aa9_" {
			if q.After = good[:i] + string(c) + good[i+1:]; q.After != good {
				try(fmt.Sprintf("byte %d changed", i), coll, q)
			}
		}
		if q.After = good[:i]; i > 0 {
			try(fmt.Sprintf("cut at %d", i), coll, q)
		}
	}
	q.After = good
	try("other collection", "others", q)
	down := q
	down.Desc = true
	try("other direction", coll, down)
	other := byApp("y")
	other.After = good
	try("other app", coll, other)
	both := q
	both.Where = []store.Filter{store.Where("app", store.In, "x", "y")}
	try("more apps", coll, both)
	index := store.Query{Index: "by_app_tag", SortBy: "created", After: good, Where: []store.Filter{
		store.Where("app", store.Eq, "x"), store.Where("tags", store.Eq, "t"),
	}}
	try("other index", coll, index)
	one := byApp("x")
	one.Where, one.Limit, one.After = []store.Filter{store.Where("app", store.In, "x")}, 5, good
	docs, _, err := e.Query(t.Context(), coll, one)
	if err != nil {
		t.Fatalf("In of one value is the same query as Eq, another limit too: %v", err)
	}
	wantDiff(t, "other limit", ids(docs), []string{"d3", "d4", "d5", "d6", "d7"})
	scanCursors(t, e, q)
}

// scanCursors checks that scans and queries don't take each other's cursors; q.After is a good one of q.
func scanCursors(t *testing.T, e store.Engine, q store.Query) {
	t.Helper()
	_, _, err := e.Scan(t.Context(), coll, q.After, 3)
	wantErr(t, "query's cursor in a scan", err, store.ErrBadCursor)
	_, scanned, err := e.Scan(t.Context(), coll, "", 3)
	if err != nil || scanned == "" {
		t.Fatal(scanned, err)
	}
	_, _, err = e.Scan(t.Context(), "others", scanned, 3)
	wantErr(t, "scan's cursor in another scan", err, store.ErrBadCursor)
	q.After = scanned
	_, _, err = e.Query(t.Context(), coll, q)
	wantErr(t, "scan's cursor in a query", err, store.ErrBadCursor)
}

// Guards: a worker may page with "due before now" while now moves on; the cursor keeps its place, and whichever of
// cursor and bound lies further on decides.
func movingBound(t *testing.T, e store.Engine) {
	at := func(i int) time.Time { return base.Add(time.Duration(i) * time.Second) }
	for i := range 10 {
		mustInsert(t, e, doc(fmt.Sprint("d", i), map[string]any{"state": "s", "due": at(i)}))
	}
	page := func(after string, desc bool, bounds ...store.Filter) ([]string, string) {
		t.Helper()
		docs, next, err := e.Query(t.Context(), coll, store.Query{
			Index: "due", SortBy: "due", Desc: desc, Limit: 2, After: after,
			Where: append(bounds, store.Where("state", store.Eq, "s")),
		})
		if err != nil {
			t.Fatal(err)
		}
		return ids(docs), next
	}
	first, next := page("", false, store.Where("due", store.Lte, at(3)))
	wantDiff(t, "first", first, []string{"d0", "d1"})
	got, _ := page(next, false, store.Where("due", store.Lte, at(2)))
	wantDiff(t, "upper bound came closer", got, []string{"d2"})
	got, _ = page(next, false, store.Where("due", store.Lte, at(9)))
	wantDiff(t, "upper bound moved on", got, []string{"d2", "d3"})
	got, _ = page(next, false, store.Where("due", store.Gt, at(6)))
	wantDiff(t, "lower bound beyond the cursor", got, []string{"d7", "d8"})
	got, _ = page(next, false, store.Where("due", store.Gt, at(1)))
	wantDiff(t, "lower bound at the cursor, exclusive", got, []string{"d2", "d3"})
	got, _ = page(next, false, store.Where("due", store.Gte, at(1)))
	wantDiff(t, "lower bound at the cursor, inclusive", got, []string{"d2", "d3"})
	got, _ = page(next, false, store.Where("due", store.Gte, at(0)))
	wantDiff(t, "lower bound behind the cursor", got, []string{"d2", "d3"})
	got, _ = page(next, false, store.Where("due", store.Lt, at(1)))
	wantDiff(t, "empty range", got, []string{})
	mustInsert(t, e, doc("d1 tie", map[string]any{"state": "s", "due": at(1)}))
	got, _ = page(next, false, store.Where("due", store.Gt, at(1)))
	wantDiff(t, "exclusive bound at the cursor, with a tie", got, []string{"d2", "d3"})
	got, _ = page(next, false, store.Where("due", store.Gte, at(1)))
	wantDiff(t, "inclusive bound at the cursor, with a tie", got, []string{"d1 tie", "d2"})
	first, next = page("", true)
	wantDiff(t, "first down", first, []string{"d9", "d8"})
	got, _ = page(next, true, store.Where("due", store.Lt, at(5)))
	wantDiff(t, "upper bound beyond the cursor", got, []string{"d4", "d3"})
	got, _ = page(next, true, store.Where("due", store.Lte, at(9)), store.Where("due", store.Gt, at(6)))
	wantDiff(t, "both bounds", got, []string{"d7"})
}

// Guards: migration copies everything: every document once, by id, also those that no index holds.
func scan(t *testing.T, e store.Engine) {
	want := []string{}
	for i := range 57 {
		id := fmt.Sprintf("%x-%d", i*2654435761%4096, i)
		want = append(want, id)
		mustInsert(t, e, doc(id, map[string]any{"name": fmt.Sprint(i % 7)}))
	}
	if err := e.Insert(t.Context(), "others", doc("elsewhere", nil)); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	for _, limit := range []int{1, 19, 56, 57, 500, 0} {
		got, after := []string{}, ""
		for {
			docs, next, err := e.Scan(t.Context(), coll, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range docs {
				if d.Version != 1 || d.Index["name"] == nil || len(d.Body) == 0 {
					t.Fatalf("incomplete: %+v", d)
				}
			}
			got = append(got, ids(docs)...)
			if after = next; next == "" {
				break
			}
		}
		wantDiff(t, fmt.Sprint("limit ", limit), got, want)
	}
	_, _, err := e.Scan(t.Context(), coll, "", store.MaxLimit+1)
	wantErr(t, "limit", err, store.ErrInvalid)
	_, _, err = e.Scan(t.Context(), coll, "zzz", 1)
	wantErr(t, "cursor", err, store.ErrBadCursor)
}
