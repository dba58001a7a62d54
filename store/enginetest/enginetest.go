// Package enginetest is the conformance suite of the store.Engine port: what compiles is said by the interface, what
// is meant is said here. Every engine, the one for tests included, passes all of it, so a unit test on store/mem is
// evidence about the others. It must not know any engine.
package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/store"
)

// Open returns an empty engine for the collections; it registers its own clean-up with t.
type Open func(t *testing.T, colls []store.Collection) store.Engine

const coll = "things"

// Collections are the declarations that the suite uses: every shape of index that the port allows.
func Collections() []store.Collection {
	return []store.Collection{
		{Name: coll, Indexes: []store.Index{
			{Name: "by_app", Fields: []string{"app", "created"}},
			{Name: "due", Fields: []string{"state", "due"}},
			{Name: "by_flag", Fields: []string{"app", "flag", "n"}},
			{Name: "by_state", Fields: []string{"app", "state"}},
			{Name: "by_tag", Fields: []string{"tags"}, Array: "tags"},
			{Name: "by_app_tag", Fields: []string{"app", "tags", "created"}, Array: "tags"},
			{Name: "by_name", Fields: []string{"name"}},
		}},
		{Name: "others", Indexes: []store.Index{{Name: "by_app", Fields: []string{"app", "created"}}}},
		{Name: "plain"},
	}
}

// Run runs the suite.
func Run(t *testing.T, open Open) {
	tests := []struct {
		name string
		fn   func(t *testing.T, e store.Engine)
	}{
		{"InsertAndGet", insertAndGet},
		{"GetMany", getMany},
		{"Replace", replace},
		{"Delete", deleteIfVersion},
		{"IndexFollowsDocument", indexFollowsDocument},
		{"Values", values},
		{"Limits", limits},
		{"CopiesBothWays", copies},
		{"Invalid", invalid},
		{"ContextEnded", contextEnded},
		{"UpdateCounter", updateCounter},
		{"InsertRace", insertRace},
		{"ReplaceRace", replaceRace},
		{"Claims", claims},
		{"QueryAgainstModel", queryAgainstModel},
		{"QueryIn", queryIn},
		{"QueryArray", queryArray},
		{"QueryMissingFields", queryMissingFields},
		{"QueryStrings", queryStrings},
		{"QueryRefusals", queryRefusals},
		{"Pages", pages},
		{"PagesWhileInserting", pagesWhileInserting},
		{"Cursors", cursors},
		{"MovingBound", movingBound},
		{"Scan", scan},
		{"Import", importing},
		{"Close", closed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.fn(t, open(t, Collections()))
		})
	}
	t.Run("BadDeclarations", badDeclarations)
}

// base is the suite's "now"; nothing here reads a clock.
var base = time.Date(2026, 3, 29, 1, 59, 59, 123_000_000, time.UTC)

func doc(id string, index map[string]any) store.Doc {
	return store.Doc{ID: id, Body: []byte(`{"id":` + quote(id) + `}`), Index: index}
}

func quote(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	return string(data)
}

func mustInsert(t *testing.T, e store.Engine, docs ...store.Doc) {
	t.Helper()
	for _, d := range docs {
		if err := e.Insert(t.Context(), coll, d); err != nil {
			t.Fatalf("insert %q: %v", d.ID, err)
		}
	}
}

func mustGet(t *testing.T, e store.Engine, id string) store.Doc {
	t.Helper()
	d, err := e.Get(t.Context(), coll, id)
	if err != nil {
		t.Fatalf("get %q: %v", id, err)
	}
	return d
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func wantDiff(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func ids(docs []store.Doc) []string {
	out := []string{}
	for _, d := range docs {
		out = append(out, d.ID)
	}
	return out
}

// find runs a query to its end with the given page size and fails on an error or a page out of bounds.
func find(t *testing.T, e store.Engine, q store.Query) []string {
	t.Helper()
	all, limit := []string{}, q.Limit
	if limit == 0 {
		limit = store.DefaultLimit
	}
	for {
		docs, next, err := e.Query(t.Context(), coll, q)
		if err != nil {
			t.Fatalf("query %+v: %v", q, err)
		}
		if len(docs) > limit || next != "" && len(docs) != limit {
			t.Fatalf("query %+v: page of %d, next %q", q, len(docs), next)
		}
		all = append(all, ids(docs)...)
		if next == "" {
			return all
		}
		if q.After = next; len(all) > 10_000 {
			t.Fatalf("query %+v: it never ends", q)
		}
	}
}

// Guards: a document comes back as stored, version 1; an id exists once (I1 rests on it).
func insertAndGet(t *testing.T, e store.Engine) {
	in := doc("a", map[string]any{"app": "x", "created": base})
	in.Version = 77
	mustInsert(t, e, in)
	want := in
	want.Version = 1
	wantDiff(t, "get", mustGet(t, e, "a"), want)
	other := doc("a", nil)
	other.Body = []byte(`{"other":true}`)
	wantErr(t, "second insert", e.Insert(t.Context(), coll, other), store.ErrExists)
	wantDiff(t, "after refused insert", mustGet(t, e, "a"), want)
	_, err := e.Get(t.Context(), coll, "b")
	wantErr(t, "missing", err, store.ErrNotFound)
	if err := e.Insert(t.Context(), "plain", in); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("index values in a collection without indexes: %v", err)
	}
	if err := e.Insert(t.Context(), "plain", doc("a", nil)); err != nil {
		t.Errorf("the same id in another collection: %v", err)
	}
	if err := e.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
}

// Guards: order of the ids asked for, missing left out, more ids than one statement would take.
func getMany(t *testing.T, e store.Engine) {
	want, ask := []string{}, []string{"missing"}
	for i := range 450 {
		id := fmt.Sprintf("id-%03d", (i*7)%450)
		mustInsert(t, e, doc(id, nil))
		want, ask = append(want, id), append(ask, id)
	}
	ask = append(ask, "", "missing too", "id-001")
	got, err := e.GetMany(t.Context(), coll, ask)
	if err != nil {
		t.Fatal(err)
	}
	wantDiff(t, "order", ids(got), want)
	if string(got[3].Body) != `{"id":"`+want[3]+`"}` || got[3].Version != 1 {
		t.Errorf("content: %+v", got[3])
	}
	got, err = e.GetMany(t.Context(), coll, nil)
	if err != nil || len(got) != 0 {
		t.Errorf("no ids: %v, %v", got, err)
	}
	_, err = e.GetMany(t.Context(), coll, make([]string, store.MaxGetMany+1))
	wantErr(t, "too many", err, store.ErrInvalid)
}

// Guards: compare-and-swap. A stale writer never overwrites; a gone document never comes back by Replace.
func replace(t *testing.T, e store.Engine) {
	ctx := t.Context()
	mustInsert(t, e, doc("a", map[string]any{"app": "x", "created": base}))
	second := store.Doc{ID: "a", Version: 99, Body: []byte(`{"v":2}`), Index: map[string]any{"app": "y", "created": base}}
	if err := e.Replace(ctx, coll, second, 1); err != nil {
		t.Fatal(err)
	}
	second.Version = 2
	wantDiff(t, "replaced", mustGet(t, e, "a"), second)
	for _, version := range []int64{1, 3, 0, -1} {
		lost := store.Doc{ID: "a", Body: []byte(`{"v":"lost"}`)}
		wantErr(t, fmt.Sprint("ifVersion ", version), e.Replace(ctx, coll, lost, version), store.ErrConflict)
	}
	wantDiff(t, "after lost races", mustGet(t, e, "a"), second)
	wantErr(t, "gone", e.Replace(ctx, coll, doc("b", nil), 1), store.ErrConflict)
	_, err := e.Get(ctx, coll, "b")
	wantErr(t, "replace must not create", err, store.ErrNotFound)
}

// Guards: a queue entry that changed since it was read is not thrown away.
func deleteIfVersion(t *testing.T, e store.Engine) {
	ctx := t.Context()
	mustInsert(t, e, doc("a", map[string]any{"tags": []string{"x"}, "app": "p", "created": base}))
	if err := e.Replace(ctx, coll, doc("a", map[string]any{"tags": []string{"x"}, "app": "p", "created": base}), 1); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "stale", e.Delete(ctx, coll, "a", 1), store.ErrConflict)
	mustGet(t, e, "a")
	if err := e.Delete(ctx, coll, "a", 2); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "again", e.Delete(ctx, coll, "a", 2), store.ErrConflict)
	wantErr(t, "never there", e.Delete(ctx, coll, "b", 1), store.ErrConflict)
	_, err := e.Get(ctx, coll, "a")
	wantErr(t, "get", err, store.ErrNotFound)
	wantDiff(t, "array index", find(t, e, tagged("x")), []string{})
	wantDiff(t, "index", find(t, e, byApp("p")), []string{})
	mustInsert(t, e, doc("a", nil))
	if d := mustGet(t, e, "a"); d.Version != 1 {
		t.Errorf("inserted again: version %d", d.Version)
	}
}

func tagged(tag string) store.Query {
	return store.Query{Index: "by_tag", Where: []store.Filter{store.Where("tags", store.Eq, tag)}}
}

func byApp(app string) store.Query {
	return store.Query{Index: "by_app", Where: []store.Filter{store.Where("app", store.Eq, app)}, SortBy: "created"}
}

// Guards: a document is found by what it says now, and by nothing that it said before.
func indexFollowsDocument(t *testing.T, e store.Engine) {
	mustInsert(t, e, doc("a", map[string]any{"app": "x", "created": base, "tags": []string{"old", "both", "both"}}))
	next := doc("a", map[string]any{"app": "y", "created": base, "tags": []string{"both", "new"}})
	if err := e.Replace(t.Context(), coll, next, 1); err != nil {
		t.Fatal(err)
	}
	wantDiff(t, "old app", find(t, e, byApp("x")), []string{})
	wantDiff(t, "new app", find(t, e, byApp("y")), []string{"a"})
	wantDiff(t, "old tag", find(t, e, tagged("old")), []string{})
	wantDiff(t, "both", find(t, e, tagged("both")), []string{"a"})
	wantDiff(t, "new tag", find(t, e, tagged("new")), []string{"a"})
	if err := e.Replace(t.Context(), coll, doc("a", nil), 2); err != nil {
		t.Fatal(err)
	}
	wantDiff(t, "no app", find(t, e, byApp("y")), []string{})
	wantDiff(t, "no tag", find(t, e, tagged("both")), []string{})
}

// Guards: values come back with their types (migration between engines copies them), times as UTC milliseconds, text
// byte for byte, whatever is in it.
func values(t *testing.T, e store.Engine) {
	zone := time.FixedZone("odd", 5*3600+1800)
	text := "Zoë \u0000 \U0001F4B6 \"quoted\" <b>&amp;\u2028 שלום '; DROP TABLE x; --"
	in := store.Doc{
		ID:   "ünï/çødé \U0001F4B6 %_*'\"",
		Body: []byte(`{"text":` + quote(text) + `, "nul":"\u0000", "big":9007199254740993,"e":1e400}`),
		Index: map[string]any{
			"name": text, "app": "", "flag": false, "n": int64(-1 << 63), "created": base.In(zone).Add(999_999 * time.Nanosecond),
			"due": time.Time{}, "tags": []string{"b", "a\x00", "b"},
		},
	}
	mustInsert(t, e, in)
	want := in
	want.Version = 1
	want.Index = map[string]any{"name": text, "app": "", "flag": false, "n": int64(-1 << 63), "created": base, "tags": in.Index["tags"]}
	got := mustGet(t, e, in.ID)
	wantDiff(t, "all types", got, want)
	if created, ok := got.Index["created"].(time.Time); !ok || created.Location() != time.UTC {
		t.Errorf("created is %v, want UTC", got.Index["created"])
	}
	wantDiff(t, "by odd name", find(t, e, store.Query{Index: "by_name", Where: []store.Filter{store.Where("name", store.Eq, text)}}), []string{in.ID})
	wantDiff(t, "by prefix up to NUL", find(t, e, store.Query{Index: "by_name", Where: []store.Filter{
		store.Where("name", store.Eq, text[:strings.IndexByte(text, 0)]),
	}}), []string{})
	wantDiff(t, "NUL in a tag", find(t, e, tagged("a\x00")), []string{in.ID})
	wantDiff(t, "tag without NUL", find(t, e, tagged("a")), []string{})
	wantDiff(t, "time in another zone, same millisecond", find(t, e, store.Query{Index: "by_app", SortBy: "created", Where: []store.Filter{
		store.Where("app", store.Eq, ""), store.Where("created", store.Gte, base.In(zone)), store.Where("created", store.Lte, base.Add(time.Microsecond)),
	}}),
		[]string{in.ID})
	old := doc("before 1970", map[string]any{"app": "old", "created": time.Date(1931, 1, 1, 0, 0, 0, 1, time.UTC)})
	mustInsert(t, e, old)
	wantDiff(t, "before 1970", mustGet(t, e, old.ID).Index["created"], any(time.Date(1931, 1, 1, 0, 0, 0, 0, time.UTC)))
}

// Guards: the largest document fits, a larger one is refused and leaves nothing.
func limits(t *testing.T, e store.Engine) {
	ctx := t.Context()
	body := `{"x":"` + strings.Repeat("é", (store.MaxBodyBytes-8)/2) + `"}`
	big := store.Doc{ID: strings.Repeat("i", store.MaxIDBytes), Body: []byte(body), Index: map[string]any{"name": strings.Repeat("n", store.MaxIndexBytes)}}
	for range store.MaxIndexArray {
		tags, _ := big.Index["tags"].([]string)
		big.Index["tags"] = append(tags, fmt.Sprint(len(tags)))
	}
	mustInsert(t, e, big)
	if got := mustGet(t, e, big.ID); string(got.Body) != body {
		t.Errorf("a body of %d bytes came back as %d", len(body), len(got.Body))
	}
	tooLarge := map[string]store.Doc{
		"body":  {ID: "b", Body: []byte(`{"x":"` + strings.Repeat("y", store.MaxBodyBytes) + `"}`)},
		"id":    doc(strings.Repeat("i", store.MaxIDBytes+1), nil),
		"value": doc("v", map[string]any{"name": strings.Repeat("n", store.MaxIndexBytes+1)}),
		"array": doc("a", map[string]any{"tags": make([]string, store.MaxIndexArray+1)}),
	}
	for name, d := range tooLarge {
		wantErr(t, name, e.Insert(ctx, coll, d), store.ErrTooLarge)
		if d.ID = big.ID; name != "id" {
			wantErr(t, name+" in replace", e.Replace(ctx, coll, d, 1), store.ErrTooLarge)
		}
	}
	docs, _, err := e.Scan(ctx, coll, "", 0)
	if err != nil || len(docs) != 1 || docs[0].Version != 1 {
		t.Errorf("refused documents left something: %d documents, %v", len(docs), err)
	}
}

// Guards: what a caller does with its document later does not reach into the store, nor the other way round.
func copies(t *testing.T, e store.Engine) {
	in := doc("a", map[string]any{"app": "x", "created": base, "tags": []string{"t"}})
	mustInsert(t, e, in)
	in.Body[1], in.Index["app"], in.Index["tags"].([]string)[0] = 'X', "changed", "changed"
	first := mustGet(t, e, "a")
	want := doc("a", map[string]any{"app": "x", "created": base, "tags": []string{"t"}})
	want.Version = 1
	wantDiff(t, "after changing the input", first, want)
	first.Body[1], first.Index["app"], first.Index["tags"].([]string)[0] = 'X', "changed", "changed"
	wantDiff(t, "after changing the output", mustGet(t, e, "a"), want)
	docs, _, err := e.Query(t.Context(), coll, tagged("t"))
	if err != nil || len(docs) != 1 {
		t.Fatal(docs, err)
	}
	docs[0].Body[1] = 'X'
	wantDiff(t, "after changing a query's output", mustGet(t, e, "a"), want)
}

// Guards: mistakes are refused before anything is written, and not taken for outages.
func invalid(t *testing.T, e store.Engine) {
	ctx := t.Context()
	bad := map[string]store.Doc{
		"no id":            {Body: []byte(`{}`)},
		"NUL in id":        doc("a\x00", nil),
		"id not UTF-8":     {ID: "\xff", Body: []byte(`{}`)},
		"no body":          {ID: "a"},
		"body no object":   {ID: "a", Body: []byte(`[1]`)},
		"body not JSON":    {ID: "a", Body: []byte(`{"a":}`)},
		"two objects":      {ID: "a", Body: []byte(`{}{}`)},
		"body not UTF-8":   {ID: "a", Body: []byte("{\"a\":\"\xff\"}")},
		"undeclared field": doc("a", map[string]any{"nope": "x"}),
		"int":              doc("a", map[string]any{"n": 1}),
		"float":            doc("a", map[string]any{"n": 1.5}),
		"array elsewhere":  doc("a", map[string]any{"app": []string{"x"}}),
		"scalar in array":  doc("a", map[string]any{"tags": "x"}),
		"value not UTF-8":  doc("a", map[string]any{"app": "\xff"}),
	}
	for name, d := range bad {
		wantErr(t, name, e.Insert(ctx, coll, d), store.ErrInvalid)
		wantErr(t, name, e.Replace(ctx, coll, d, 1), store.ErrInvalid)
	}
	_, err := e.Get(ctx, "nope", "a")
	wantErr(t, "get", err, store.ErrInvalid)
	_, err = e.GetMany(ctx, "nope", []string{"a"})
	wantErr(t, "get many", err, store.ErrInvalid)
	wantErr(t, "insert", e.Insert(ctx, "nope", doc("a", nil)), store.ErrInvalid)
	wantErr(t, "replace", e.Replace(ctx, "nope", doc("a", nil), 1), store.ErrInvalid)
	wantErr(t, "delete", e.Delete(ctx, "nope", "a", 1), store.ErrInvalid)
	_, _, err = e.Query(ctx, "nope", store.Query{Index: "by_app"})
	wantErr(t, "query", err, store.ErrInvalid)
	_, _, err = e.Scan(ctx, "nope", "", 1)
	wantErr(t, "scan", err, store.ErrInvalid)
	docs, _, err := e.Scan(ctx, coll, "", 0)
	if err != nil || len(docs) != 0 {
		t.Errorf("left behind: %v, %v", docs, err)
	}
}

// Guards: a caller that gave up gets ErrUnavailable (unknown), and what had ended before the call is not done.
func contextEnded(t *testing.T, e store.Engine) {
	mustInsert(t, e, doc("a", nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := map[string]func() error{
		"insert":   func() error { return e.Insert(ctx, coll, doc("b", nil)) },
		"replace":  func() error { return e.Replace(ctx, coll, doc("a", nil), 1) },
		"delete":   func() error { return e.Delete(ctx, coll, "a", 1) },
		"get":      func() error { _, err := e.Get(ctx, coll, "a"); return err },
		"get many": func() error { _, err := e.GetMany(ctx, coll, []string{"a"}); return err },
		"query":    func() error { _, _, err := e.Query(ctx, coll, tagged("x")); return err },
		"scan":     func() error { _, _, err := e.Scan(ctx, coll, "", 1); return err },
		"ping":     func() error { return e.Ping(ctx) },
	}
	for name, call := range calls {
		for range 20 { // an engine with a queue must not let one through now and then
			err := call()
			if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: %v, want ErrUnavailable and context.Canceled", name, err)
			}
		}
	}
	if err := e.Insert(t.Context(), coll, doc("barrier", nil)); err != nil {
		t.Fatal(err)
	}
	if d := mustGet(t, e, "a"); d.Version != 1 {
		t.Errorf("replaced after the context's end: %+v", d)
	}
	_, err := e.Get(t.Context(), coll, "b")
	wantErr(t, "inserted after the context's end", err, store.ErrNotFound)
}

// Guards: a closed store answers 503, it does not panic.
func closed(t *testing.T, e store.Engine) {
	mustInsert(t, e, doc("a", nil))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	wantErr(t, "insert", e.Insert(ctx, coll, doc("b", nil)), store.ErrUnavailable)
	_, err := e.Get(ctx, coll, "a")
	wantErr(t, "get", err, store.ErrUnavailable)
	_, _, err = e.Query(ctx, coll, tagged("x"))
	wantErr(t, "query", err, store.ErrUnavailable)
	wantErr(t, "ping", e.Ping(ctx), store.ErrUnavailable)
	if err := e.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

// Guards: a declaration that one engine could not keep is refused by all.
func badDeclarations(t *testing.T) {
	bad := map[string][]store.Collection{
		"name":          {{Name: "Payments"}},
		"empty":         {{Name: ""}},
		"underscores":   {{Name: "a__b"}},
		"underscore":    {{Name: "a_"}},
		"injection":     {{Name: "a; drop"}},
		"twice":         {{Name: "a"}, {Name: "a"}},
		"index twice":   {{Name: "a", Indexes: []store.Index{{Name: "i", Fields: []string{"f"}}, {Name: "i", Fields: []string{"g"}}}}},
		"no fields":     {{Name: "a", Indexes: []store.Index{{Name: "i"}}}},
		"field twice":   {{Name: "a", Indexes: []store.Index{{Name: "i", Fields: []string{"f", "f"}}}}},
		"array unknown": {{Name: "a", Indexes: []store.Index{{Name: "i", Fields: []string{"f"}, Array: "g"}}}},
		"two arrays": {{Name: "a", Indexes: []store.Index{
			{Name: "i", Fields: []string{"f"}, Array: "f"}, {Name: "j", Fields: []string{"g"}, Array: "g"},
		}}},
		"array and not": {{Name: "a", Indexes: []store.Index{
			{Name: "i", Fields: []string{"f"}, Array: "f"}, {Name: "j", Fields: []string{"f"}},
		}}},
	}
	for name, colls := range bad {
		wantErr(t, name, store.CheckCollections(colls), store.ErrInvalid)
	}
	if err := store.CheckCollections(Collections()); err != nil {
		t.Error(err)
	}
}
