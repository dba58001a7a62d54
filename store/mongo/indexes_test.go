package mongo

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
)

func driftOf(t *testing.T, e *Engine) []string {
	t.Helper()
	drifts, err := e.IndexDrift(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, 0, len(drifts))
	for _, d := range drifts {
		out = append(out, d.String())
	}
	return out
}

// Guards: several processes may migrate at once and again; afterwards every declared index of the product is there.
func TestMigrateAtOnceAndAgain(t *testing.T) {
	t.Parallel()
	s := wiretest.Start(t, wiretest.Options{})
	e := openAt(t, s.URL("t"), store.Collections())
	declared := 0
	for _, c := range store.Collections() {
		declared += len(c.Indexes)
	}
	if missing := driftOf(t, e); len(missing) != declared {
		t.Errorf("%d of %d indexes are missing at first: %v", len(missing), declared, missing)
	}
	s.Inject(wiretest.Fault{Command: "createIndexes", Skip: 3, Code: wiretest.NotWritablePrimary, Elect: true})
	s.Inject(wiretest.Fault{Command: "createIndexes", Skip: 5, Cut: true, Effect: true})
	var wg sync.WaitGroup
	for range 4 {
		other := openAt(t, s.URL("t"), store.Collections())
		wg.Go(func() {
			if _, err := other.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if drift := driftOf(t, e); len(drift) != 0 {
		t.Errorf("after migrating: %v", drift)
	}
	if created, err := e.Migrate(t.Context()); err != nil || len(created) != 0 {
		t.Errorf("again: %v, %v", created, err)
	}
}

// Guards: an index that stands in the way is named, left alone, and does not keep the others from being made.
func TestDriftAndConflicts(t *testing.T) {
	t.Parallel()
	s := wiretest.Start(t, wiretest.Options{})
	e := openAt(t, s.URL("t"), enginetest.Collections())
	build := func(coll, name string, unique bool, keys bson.D) {
		t.Helper()
		o := options.Index().SetName(name)
		if unique {
			o.SetUnique(true)
		}
		ctx, end, err := e.enter(t.Context(), e.timeout)
		if err != nil {
			t.Fatal(err)
		}
		defer end()
		if _, err := e.db.Collection(coll).Indexes().CreateOne(ctx, mongo.IndexModel{Keys: keys, Options: o}); err != nil {
			t.Fatal(err)
		}
	}
	up := func(fields ...string) bson.D {
		d := bson.D{}
		for _, f := range fields {
			d = append(d, bson.E{Key: f, Value: int32(1)})
		}
		return d
	}
	build(things, "by_app", false, up("app"))                                   // other keys
	build(things, "by_state", true, up("app", "state", "_id"))                  // other options
	build(things, "theirs", false, up("state", "due", "_id"))                   // another name
	build("plain", "mine", false, up("x"))                                      // extra
	build("others", "_id_hashed", false, bson.D{{Key: "_id", Value: "hashed"}}) // sharding
	want := []string{
		"different things.by_app (it is {app:1})", "different things.due (its keys have the index theirs)",
		"different things.by_state (it is {app:1,state:1,_id:1, unique:true})", "extra things.theirs ({state:1,due:1,_id:1})",
		"extra plain.mine ({x:1})", "missing others.by_app", "missing things.by_name",
	}
	got := driftOf(t, e)
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("not reported: %s; got %q", w, got)
		}
	}
	if len(got) != len(want)+3 { // by_flag, by_tag, by_app_tag are missing too
		t.Errorf("drift: %v", got)
	}
	created, err := e.Migrate(t.Context())
	if !errors.Is(err, store.ErrConflict) || len(created) != 5 {
		t.Errorf("migrate: created %v, %v", created, err)
	}
	for _, name := range []string{"things.by_app", "things.due", "things.by_state"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %s: %v", name, err)
		}
	}
	// Even if the index appears between looking and making.
	ctx, end, err := e.enter(t.Context(), e.timeout)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	decl := enginetest.Collections()[0]
	if err := e.create(t.Context(), ctx, decl, decl.Indexes[0]); !errors.Is(err, store.ErrConflict) {
		t.Errorf("create in the way: %v", err)
	}
}

// Guards: a query whose index is gone is refused with what to do, never answered by a scan.
func TestMissingIndex(t *testing.T) {
	t.Parallel()
	s := wiretest.Start(t, wiretest.Options{})
	e := openAt(t, s.URL("t"), enginetest.Collections())
	if err := e.Insert(t.Context(), things, store.Doc{ID: "a", Body: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	_, _, err := e.Query(t.Context(), things, store.Query{Index: "by_name", SortBy: "name"})
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "trifecta migrate") {
		t.Errorf("query: %v", err)
	}
}

// Guards "serve refuses a database without its indexes": one that is still being built, as after a migration that was cut
// off, is not there yet, though MongoDB lists it. Migrating again waits for it.
func TestIndexThatIsBeingBuilt(t *testing.T) {
	t.Parallel()
	s := wiretest.Start(t, wiretest.Options{})
	e := migrated(t, s.URL("t"), enginetest.Collections())
	if err := e.Insert(t.Context(), things, store.Doc{ID: "a", Body: []byte(`{}`), Index: map[string]any{"name": "x"}}); err != nil {
		t.Fatal(err)
	}
	s.Build(t, "t", things, "by_name")
	q := store.Query{Index: "by_name", Where: []store.Filter{store.Where("name", store.Eq, "x")}}
	if _, _, err := e.Query(t.Context(), things, q); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("the stand-in lets it be used: %v", err)
	}
	if got := driftOf(t, e); len(got) != 1 || !strings.HasPrefix(got[0], "missing things.by_name (it is being built") {
		t.Errorf("drift: %v", got)
	}
	if created, err := e.Migrate(t.Context()); err != nil || !slices.Equal(created, []string{"things.by_name"}) {
		t.Errorf("migrated: %v, %v", created, err)
	}
	if docs, _, err := e.Query(t.Context(), things, q); err != nil || len(docs) != 1 {
		t.Errorf("afterwards: %v, %v", docs, err)
	}
	if got := driftOf(t, e); len(got) != 0 {
		t.Errorf("drift afterwards: %v", got)
	}
}
