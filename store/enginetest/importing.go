package enginetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
)

// importing guards the move of a shop to another engine: a document arrives with its version, body and index values,
// twice is as good as once, and afterwards it is changed like any other.
func importing(t *testing.T, e store.Engine) {
	im, ok := e.(store.Importer)
	if !ok {
		t.Skip("the engine takes no documents over")
	}
	at := base.Truncate(time.Millisecond)
	docs := []store.Doc{
		{ID: "a", Version: 7, Body: []byte(`{"a": 1.0}`), Index: map[string]any{"app": "x", "created": at, "tags": []string{"t", "s"}}},
		{ID: "b", Version: 1, Body: []byte(`{}`)},
		{ID: "c", Version: 1 << 40, Body: []byte(`{"c":3}`), Index: map[string]any{"app": "x", "created": at.Add(time.Hour), "n": int64(-5), "flag": true}},
	}
	for range 2 { // again: a page that was copied before the process died
		if err := im.Import(t.Context(), coll, docs); err != nil {
			t.Fatal(err)
		}
	}
	got, next, err := e.Scan(t.Context(), coll, "", 0)
	if err != nil || next != "" {
		t.Fatalf("scan: %v, next %q", err, next)
	}
	wantDiff(t, "imported", got, docs)
	byApp := store.Query{Index: "by_app", SortBy: "created", Where: []store.Filter{store.Where("app", store.Eq, "x")}}
	byTag := store.Query{Index: "by_tag", Where: []store.Filter{store.Where("tags", store.Eq, "t")}}
	wantDiff(t, "found by app", find(t, e, byApp), []string{"a", "c"})
	wantDiff(t, "found by tag", find(t, e, byTag), []string{"a"})

	// The source went on meanwhile: the newer state replaces the older, in the indexes too.
	newer := store.Doc{ID: "a", Version: 9, Body: []byte(`{"a":2}`), Index: map[string]any{"app": "y", "created": at}}
	if err := im.Import(t.Context(), coll, []store.Doc{newer}); err != nil {
		t.Fatal(err)
	}
	wantDiff(t, "replaced", mustGet(t, e, "a"), newer)
	wantDiff(t, "found by app after it was replaced", find(t, e, byApp), []string{"c"})
	wantDiff(t, "found by tag after it was replaced", find(t, e, byTag), []string{})

	importsNothingOlder(t, e, im, newer)
	newer.Body = []byte(`{"a":3}`)
	wantErr(t, "replace at the version before the import", e.Replace(t.Context(), coll, newer, 7), store.ErrConflict)
	if err := e.Replace(t.Context(), coll, newer, 9); err != nil {
		t.Errorf("replace after the import: %v", err)
	}
	if v := mustGet(t, e, "a").Version; v != 10 {
		t.Errorf("version %d after the import and a replace, want 10", v)
	}
	if counter, ok := e.(store.Counter); ok {
		n, err := counter.Count(t.Context(), coll)
		if err != nil || n != 3 {
			t.Errorf("count %d, %v, want 3", n, err)
		}
		_, err = counter.Count(t.Context(), "nowhere")
		wantErr(t, "count of an undeclared collection", err, store.ErrInvalid)
	}
	importRefusals(t, e, im)
}

// importsNothingOlder guards what a copier that was stopped for long and wakes up finds: newer states stay, in the
// indexes too, and whatever else it brings arrives.
func importsNothingOlder(t *testing.T, e store.Engine, im store.Importer, newer store.Doc) {
	t.Helper()
	older := store.Doc{ID: newer.ID, Version: newer.Version - 1, Body: []byte(`{"a":0}`), Index: map[string]any{"app": "x", "tags": []string{"t"}}}
	other := store.Doc{ID: "b", Version: 2, Body: []byte(`{"b":2}`)}
	if err := im.Import(t.Context(), coll, []store.Doc{older, other}); err != nil {
		t.Fatalf("import of an older version: %v", err)
	}
	wantDiff(t, "after an older version was imported", mustGet(t, e, newer.ID), newer)
	wantDiff(t, "imported beside it", mustGet(t, e, "b"), other)
	byApp := store.Query{Index: "by_app", SortBy: "created", Where: []store.Filter{store.Where("app", store.Eq, "y")}}
	byTag := store.Query{Index: "by_tag", Where: []store.Filter{store.Where("tags", store.Eq, "t")}}
	wantDiff(t, "found by app after an older version was imported", find(t, e, byApp), []string{newer.ID})
	wantDiff(t, "found by tag after an older version was imported", find(t, e, byTag), []string{})
	older.Version, older.Index = newer.Version, newer.Index
	if err := im.Import(t.Context(), coll, []store.Doc{older}); err != nil {
		t.Fatalf("import of the same version: %v", err)
	}
	wantDiff(t, "after the same version was imported", mustGet(t, e, newer.ID), older)
}

func importRefusals(t *testing.T, e store.Engine, im store.Importer) {
	t.Helper()
	fine := store.Doc{ID: "fine", Version: 1, Body: []byte(`{}`)}
	many := make([]store.Doc, store.MaxLimit+1)
	for i := range many {
		many[i] = store.Doc{ID: fmt.Sprint("many", i), Version: 1, Body: []byte(`{}`)}
	}
	for what, docs := range map[string][]store.Doc{
		"no version":          {fine, {ID: "x", Body: []byte(`{}`)}},
		"a broken body":       {fine, {ID: "x", Version: 1, Body: []byte(`[]`)}},
		"an undeclared field": {fine, {ID: "x", Version: 1, Body: []byte(`{}`), Index: map[string]any{"nope": "x"}}},
		"too many":            many,
	} {
		wantErr(t, "import with "+what, im.Import(t.Context(), coll, docs), store.ErrInvalid)
	}
	wantErr(t, "import into an undeclared collection", im.Import(t.Context(), "nowhere", []store.Doc{fine}), store.ErrInvalid)
	if _, err := e.Get(t.Context(), coll, "fine"); err == nil {
		t.Error("a refused import stored a part of itself")
	}
	if err := im.Import(t.Context(), coll, nil); err != nil {
		t.Errorf("import of nothing: %v", err)
	}
}
