package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/store/mem"
	"github.com/trifecta-pay/trifecta/store/mongo"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
	"github.com/trifecta-pay/trifecta/store/sqlite"
	"github.com/trifecta-pay/trifecta/store/transfer"
)

var start = time.Date(2026, 3, 29, 1, 59, 59, 0, time.UTC)

// ticking is a clock that goes on by a second each time it is read.
func ticking() func() time.Time {
	now := start
	return func() time.Time { now = now.Add(time.Second); return now }
}

func newMem(t testing.TB) *mem.Engine {
	t.Helper()
	e, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func newSQLite(t testing.TB, path string) *sqlite.Engine {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Collections: store.Collections()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, e) })
	return e
}

// newMongo is an empty database of a set, with its indexes.
func newMongo(t testing.TB, s *wiretest.Server) *mongo.Engine {
	t.Helper()
	e, err := mongo.Open(t.Context(), mongo.Options{URL: s.URL("shop"), Collections: store.Collections()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, e) })
	if _, err := e.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

func closed(t testing.TB, e store.Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// document draws a document that fits the collection: every field it may have, sometimes, and any version.
func document(c store.Collection, n int, draw *rand.Rand) store.Doc {
	d := store.Doc{
		ID: fmt.Sprintf("%s/%04d-%x", c.Name, n, draw.Uint32()), Version: 1 + draw.Int64N(5),
		Body: fmt.Appendf(nil, `{"n": %d, "x":%q}`, draw.Uint64(), strings.Repeat("y", draw.IntN(40))), Index: map[string]any{},
	}
	for i, f := range c.Fields() {
		switch {
		case draw.IntN(4) == 0:
		case f == c.ArrayField():
			d.Index[f] = []string{"b", fmt.Sprint("a", draw.IntN(3))}
		default:
			d.Index[f] = []any{"text", draw.Int64N(100) - 50, draw.IntN(2) == 0, start.Add(time.Duration(draw.IntN(1e6)) * time.Millisecond)}[i%4]
		}
	}
	return d
}

// fill puts n documents into every collection but the migration's own.
func fill(t testing.TB, e store.Importer, n int, seed uint64) {
	t.Helper()
	draw := rand.New(rand.NewPCG(seed, 1))
	for _, c := range store.Collections() {
		if c.Name == store.MigrationCollection().Name {
			continue
		}
		docs := make([]store.Doc, 0, n)
		for i := range n {
			docs = append(docs, document(c, i, draw))
		}
		if err := e.Import(t.Context(), c.Name, docs); err != nil {
			t.Fatal(err)
		}
	}
}

// content is everything in a store but the migration's own document.
func content(t testing.TB, e store.Engine) map[string][]store.Doc {
	t.Helper()
	out := map[string][]store.Doc{}
	for _, c := range store.Collections() {
		if c.Name == store.MigrationCollection().Name {
			continue
		}
		for after, more := "", true; more; {
			docs, next, err := e.Scan(t.Context(), c.Name, after, 500)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range docs {
				if len(d.Index) == 0 {
					d.Index = nil
				}
				out[c.Name] = append(out[c.Name], d)
			}
			after, more = next, next != ""
		}
	}
	return out
}

// differ says how two stores' contents differ; "" if they don't. cmp would need most of a minute of the race detector to
// find that so many documents are equal.
func differ(want, got map[string][]store.Doc) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got)
}

func options(from, to store.Engine) transfer.Options {
	return transfer.Options{
		Source: from, Target: to, SourceName: "the shop", Owner: "first", Clock: ticking(), Collections: store.Collections(),
		SourceExclusive: true, PageSize: 3,
	}
}

// Promise: a shop moves between engines with every document as it was, version and index values included, and the old
// file stays as it was, byte for byte.
func TestCopiesEverything(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "old.db")
	old, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Collections: store.Collections()})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, old, 20, 1)
	want := content(t, old)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]store.Engine{
		"mem": newMem(t), "sqlite": newSQLite(t, filepath.Join(t.TempDir(), "new.db")), "mongo": newMongo(t, wiretest.Start(t, wiretest.Options{})),
	}
	for name, to := range targets {
		from, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Collections: store.Collections(), ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		o := options(from, to)
		last := transfer.Progress{}
		o.Progress = func(p transfer.Progress) { last = p }
		got, err := transfer.Run(t.Context(), o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := differ(want, content(t, to)); diff != "" {
			t.Errorf("%s (-old +new):\n%s", name, diff)
		}
		if err := store.CheckMigrated(t.Context(), to); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, c := range got.Collections {
			if c.Count != 20 || len(c.Digest) != 64 || c.Repaired != 0 {
				t.Errorf("%s: report %+v", name, c)
			}
		}
		if last.State != store.MigrationVerifying || last.Done != last.Total || last.Total != int64(20*len(got.Collections)) {
			t.Errorf("%s: the last word on progress is %+v", name, last)
		}
		again, err := transfer.Run(t.Context(), o)
		if err != nil || !again.Already || !slices.Equal(again.Collections, got.Collections) {
			t.Errorf("%s: a second run: %+v, %v", name, again, err)
		}
		if err := from.Close(); err != nil {
			t.Fatal(err)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) {
		t.Errorf("the old file was changed, %v", err)
	}
}

var errKilled = errors.New("killed")

// dying fails every write from the nth on, before or after it is done, as a kill would: nothing more is heard of it.
func dying(e store.Engine, n int, when faults.When) (*faults.Engine, *[]store.WritePoint) {
	count, points := 0, &[]store.WritePoint{}
	return faults.Wrap(e, faults.Options{Points: store.WritePoints(), Write: func(p store.WritePoint, w faults.When) error {
		if w == faults.Before {
			count++
			*points = append(*points, p)
		}
		if count > n || count == n && w == when {
			return fmt.Errorf("%w: %w", store.ErrUnavailable, errKilled)
		}
		return nil
	}}), points
}

// Promise: killed before or after any of its writes, it goes on and ends with the same; in between nobody takes the
// target for complete.
func TestKilledAtEveryWrite(t *testing.T) {
	t.Parallel()
	from := newMem(t)
	fill(t, from, 7, 2)
	want := content(t, from)
	killed := map[store.WritePoint]bool{}
	for _, when := range []faults.When{faults.Before, faults.After} {
		for n := 1; ; n++ {
			to := newMem(t)
			engine, points := dying(to, n, when)
			o := options(from, engine)
			_, err := transfer.Run(t.Context(), o)
			if err == nil {
				if n < 20 {
					t.Fatalf("only %d writes", n)
				}
				break
			}
			if !errors.Is(err, errKilled) && !errors.Is(err, store.ErrUnavailable) {
				t.Fatalf("killed %s write %d: %v", when, n, err)
			}
			killed[(*points)[n-1]] = true
			// Complete is only what is: the very last write may have been the mark itself.
			if store.CheckMigrated(t.Context(), to) == nil && (n > 1 || when == faults.After) {
				if diff := differ(want, content(t, to)); diff != "" {
					t.Fatalf("killed %s write %d (%s): taken for complete (-want +got):\n%s", when, n, (*points)[n-1], diff)
				}
			}
			o = options(from, to)
			o.Owner = "second"
			if _, err := transfer.Run(t.Context(), o); err != nil {
				t.Fatalf("after a kill %s write %d (%s): %v", when, n, (*points)[n-1], err)
			}
			if diff := differ(want, content(t, to)); diff != "" {
				t.Fatalf("after a kill %s write %d (%s) (-want +got):\n%s", when, n, (*points)[n-1], diff)
			}
		}
	}
	for _, p := range []store.WritePoint{store.PointMigrationBegin, store.PointMigrationCopy, store.PointMigrationSave} {
		if !killed[p] {
			t.Errorf("never killed at %s", p)
		}
	}
}

// Promise: so does one that takes out of the target what the source has deleted since it was copied.
func TestKilledWhileItRemoves(t *testing.T) {
	t.Parallel()
	killed := map[faults.When]bool{}
	for _, when := range []faults.When{faults.Before, faults.After} {
		for n := 1; ; n++ {
			from, to := newMem(t), newMem(t)
			fill(t, from, 3, 2)
			engine, points := dying(to, 1000, when)
			if _, err := transfer.Run(t.Context(), options(from, engine)); err != nil {
				t.Fatal(err)
			}
			to = newMem(t)
			engine, _ = dying(to, len(*points)-1, faults.Before) // right before it is complete
			if _, err := transfer.Run(t.Context(), options(from, engine)); err == nil {
				t.Fatal("it was not killed")
			}
			for _, coll := range []string{"payments", "inbox", "feed"} {
				docs, _, err := from.Scan(t.Context(), coll, "", 1)
				if err != nil || len(docs) == 0 {
					t.Fatalf("%s: %d documents, %v", coll, len(docs), err)
				}
				if err := from.Delete(t.Context(), coll, docs[0].ID, docs[0].Version); err != nil {
					t.Fatal(err)
				}
			}
			engine, points = dying(to, n, when)
			_, err := transfer.Run(t.Context(), options(from, engine))
			if err == nil {
				break
			}
			if (*points)[n-1] == store.PointMigrationRemove {
				killed[when] = true
			}
			o := options(from, to)
			o.Owner = "second"
			if _, err := transfer.Run(t.Context(), o); err != nil {
				t.Fatalf("after a kill %s write %d (%s): %v", when, n, (*points)[n-1], err)
			}
			if diff := differ(content(t, from), content(t, to)); diff != "" {
				t.Fatalf("after a kill %s write %d (%s) (-want +got):\n%s", when, n, (*points)[n-1], diff)
			}
		}
	}
	if !killed[faults.Before] || !killed[faults.After] {
		t.Errorf("killed while it removed: %v", killed)
	}
}

// Promise: it goes on where it was, it doesn't begin again.
func TestGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	from, to := newMem(t), newMem(t)
	fill(t, from, 30, 3)
	engine, _ := dying(to, 100, faults.Before)
	if _, err := transfer.Run(t.Context(), options(from, engine)); err == nil {
		t.Fatal("it was not killed")
	}
	planned, err := transfer.Plan(t.Context(), options(from, to))
	if err != nil {
		t.Fatal(err)
	}
	copied := int64(0)
	for _, c := range planned {
		if c.Documents != 30 {
			t.Errorf("planned %+v", c)
		}
		copied += c.Copied
	}
	first := transfer.Progress{}
	o := options(from, to)
	o.Progress = func(p transfer.Progress) {
		if first.Total == 0 {
			first = p
		}
	}
	report, err := transfer.Run(t.Context(), o)
	if err != nil || !report.Continued {
		t.Fatalf("%+v, %v", report, err)
	}
	if copied < 100 || first.Done <= copied || first.Done > copied+3 {
		t.Errorf("%d were copied before, the first page ends at %d", copied, first.Done)
	}
}

// Promise: if the old shop was opened again between two runs, what changed there in the meantime arrives too: changed,
// new and deleted documents.
func TestSourceWentOnMeanwhile(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		from, to := newMem(t), newMem(t)
		fill(t, from, 5, rapid.Uint64().Draw(rt, "seed"))
		engine, _ := dying(to, rapid.IntRange(2, 50).Draw(rt, "writes"), faults.After)
		if _, err := transfer.Run(t.Context(), options(from, engine)); err == nil {
			rt.Fatal("it was not killed")
		}
		draw := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "changes"), 1))
		for range rapid.IntRange(0, 20).Draw(rt, "n") {
			c := store.Collections()[draw.IntN(len(store.Collections())-1)]
			docs, _, err := from.Scan(t.Context(), c.Name, "", 0)
			if err != nil {
				rt.Fatal(err)
			}
			switch d := document(c, draw.IntN(9), draw); {
			case draw.IntN(3) == 0 || len(docs) == 0:
				err = from.Insert(t.Context(), c.Name, d)
			case draw.IntN(2) == 0:
				old := docs[draw.IntN(len(docs))]
				d.ID = old.ID
				err = from.Replace(t.Context(), c.Name, d, old.Version)
			default:
				old := docs[draw.IntN(len(docs))]
				err = from.Delete(t.Context(), c.Name, old.ID, old.Version)
			}
			if err != nil {
				rt.Fatal(err)
			}
		}
		if _, err := transfer.Run(t.Context(), options(from, to)); err != nil {
			rt.Fatal(err)
		}
		if diff := differ(content(t, from), content(t, to)); diff != "" {
			rt.Errorf("(-old +new):\n%s", diff)
		}
	})
}

// Promise: what can't go well is refused before a document moves, and the message says what to do.
func TestRefusals(t *testing.T) {
	t.Parallel()
	begun := func(t *testing.T, source string) store.Engine {
		to := newMem(t)
		m := store.Migration{Source: source, State: store.MigrationCopying, Owner: "other", Until: start.Add(20 * time.Second), StartedAt: start}
		if _, err := store.NewMigrations(to).Begin(store.WithPoint(t.Context(), "x"), m); err != nil {
			t.Fatal(err)
		}
		return to
	}
	tests := []struct {
		name, says string
		change     func(t *testing.T, o *transfer.Options)
	}{
		{"a target with documents", "not empty", func(t *testing.T, o *transfer.Options) { fill(t, o.Target.(store.Importer), 1, 1) }},
		{"another source", "another store", func(t *testing.T, o *transfer.Options) { o.Target = begun(t, "elsewhere") }},
		{"another process at it", "try again in", func(t *testing.T, o *transfer.Options) {
			o.Target, o.SourceExclusive = begun(t, o.SourceName), false
		}},
		{"a half source", "not complete itself", func(t *testing.T, o *transfer.Options) { o.Source = begun(t, "elsewhere") }},
		{"a live server", "stop it", func(_ *testing.T, o *transfer.Options) {
			target := o.Target
			o.Alive = func(_ context.Context, e store.Engine) ([]string, error) {
				if e == target {
					return []string{"host-1/42"}, nil
				}
				return nil, nil
			}
		}},
		{"a plain engine", "can't take documents over", func(_ *testing.T, o *transfer.Options) { o.Target = struct{ store.Engine }{o.Target} }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			from := newMem(t)
			fill(t, from, 2, 1)
			o := options(from, newMem(t))
			test.change(t, &o)
			before := content(t, o.Target)
			_, err := transfer.Run(t.Context(), o)
			if !errors.Is(err, transfer.ErrRefused) || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Errorf("error %v, want it to say %q", err, test.says)
			}
			if diff := differ(before, content(t, o.Target)); diff != "" {
				t.Errorf("refused, but the target changed:\n%s", diff)
			}
			if _, err := transfer.Plan(t.Context(), o); !errors.Is(err, transfer.ErrRefused) && test.name != "a plain engine" && test.name != "another process at it" {
				t.Errorf("the plan is not refused: %v", err)
			}
		})
	}
}

// Promise: a server that starts on the source in the middle is noticed before the target is declared complete.
func TestServerCameMeanwhile(t *testing.T) {
	t.Parallel()
	from, to := newMem(t), newMem(t)
	fill(t, from, 2, 1)
	o, asked := options(from, to), 0
	o.Alive = func(context.Context, store.Engine) ([]string, error) {
		if asked++; asked > 4 { // two looks at both stores
			return []string{"late-server"}, nil
		}
		return nil, nil
	}
	if _, err := transfer.Run(t.Context(), o); !errors.Is(err, transfer.ErrRefused) || !strings.Contains(err.Error(), "late-server") {
		t.Errorf("error %v", err)
	}
	if err := store.CheckMigrated(t.Context(), to); !errors.Is(err, store.ErrMigrating) {
		t.Errorf("the target counts as complete: %v", err)
	}
}

// Promise: a plan writes nothing at all.
func TestPlanWritesNothing(t *testing.T) {
	t.Parallel()
	from, to := newMem(t), newMem(t)
	fill(t, from, 4, 1)
	planned, err := transfer.Plan(t.Context(), options(from, faults.Wrap(to, faults.Options{})))
	if err != nil || len(planned) != len(store.Collections())-1 || planned[0].Documents != 4 {
		t.Errorf("%+v, %v", planned, err)
	}
	if _, found, err := store.NewMigrations(to).Get(t.Context()); found || err != nil {
		t.Errorf("the plan marked the target: %v", err)
	}
	o := options(from, nil)
	o.Target = nil
	if planned, err := transfer.Plan(t.Context(), o); err != nil || len(planned) == 0 {
		t.Errorf("without a target: %v", err)
	}
}

// Promise: of two processes at the same migration the later one wins, and the earlier one stops instead of writing on.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	from, to := newMem(t), newMem(t)
	fill(t, from, 10, 4)
	o := options(from, to)
	pages := 0
	o.Progress = func(transfer.Progress) {
		if pages++; pages == 5 {
			second := options(from, to)
			second.Owner = "second"
			if _, err := transfer.Run(t.Context(), second); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := transfer.Run(t.Context(), o); !errors.Is(err, store.ErrConflict) || pages != 5 {
		t.Errorf("the earlier process went on: %d pages, %v", pages, err)
	}
	if diff := differ(content(t, from), content(t, to)); diff != "" {
		t.Errorf("(-old +new):\n%s", diff)
	}
}

// liar stores something else than what it was given.
type liar struct {
	*mem.Engine
	lie func(d *store.Doc)
}

func (l liar) Import(ctx context.Context, coll string, docs []store.Doc) error {
	for i := range docs {
		docs[i] = docs[i].Clone()
		if strings.HasPrefix(docs[i].ID, "payments/0003") {
			l.lie(&docs[i])
		}
	}
	return l.Engine.Import(ctx, coll, docs)
}

// Promise: whatever part of a document did not arrive as it was, the comparison finds it, and the target is not
// declared complete.
func TestComparisonFindsAnyDifference(t *testing.T) {
	t.Parallel()
	for what, lie := range map[string]func(d *store.Doc){
		"version":     func(d *store.Doc) { d.Version++ },
		"body":        func(d *store.Doc) { d.Body = append([]byte(" "), d.Body...); d.Body[0], d.Body[1] = '{', ' ' },
		"index value": func(d *store.Doc) { d.Index["tenant"] = "test/other" },
		"lost value":  func(d *store.Doc) { maps.DeleteFunc(d.Index, func(string, any) bool { return true }) },
		"array order": func(d *store.Doc) { d.Index["refs"] = []string{"a", "b", "c"} },
		"id":          func(d *store.Doc) { d.ID += "x" },
	} {
		from := newMem(t)
		fill(t, from, 6, 5)
		to := liar{newMem(t), lie}
		_, err := transfer.Run(t.Context(), options(from, to))
		if !errors.Is(err, transfer.ErrDiffers) || !strings.Contains(err.Error(), "payments") {
			t.Errorf("%s: %v", what, err)
		}
		if err := store.CheckMigrated(t.Context(), to); !errors.Is(err, store.ErrMigrating) {
			t.Errorf("%s: the target counts as complete: %v", what, err)
		}
	}
}

// Promise: index values that an older version of the program stored and nobody declares any more don't stop a move.
func TestForgottenIndexFields(t *testing.T) {
	t.Parallel()
	colls := store.Collections()
	for i := range colls {
		if colls[i].Name == "payments" {
			colls[i].Indexes = append(slices.Clone(colls[i].Indexes), store.Index{Name: "by_old", Fields: []string{"forgotten"}})
		}
	}
	from, err := mem.New(colls)
	if err != nil {
		t.Fatal(err)
	}
	d := store.Doc{ID: "p", Version: 3, Body: []byte(`{}`), Index: map[string]any{"forgotten": "x", "tenant": "t", "created": start}}
	if err := from.Import(t.Context(), "payments", []store.Doc{d}); err != nil {
		t.Fatal(err)
	}
	to := newMem(t)
	if _, err := transfer.Run(t.Context(), options(from, to)); err != nil {
		t.Fatal(err)
	}
	got, err := to.Get(t.Context(), "payments", "p")
	if err != nil || got.Version != 3 || len(got.Index) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Promise: elections of a MongoDB target in the middle, with connections cut, cost a repetition at most; and a shop
// comes back from MongoDB to a file as it went there.
func TestThereAndBackThroughElections(t *testing.T) {
	t.Parallel()
	from, s := newMem(t), wiretest.Start(t, wiretest.Options{})
	fill(t, from, 15, 6)
	to := newMongo(t, s)
	pages, tries := 0, 0
	for ; ; tries++ {
		if tries == 50 {
			t.Fatal("it never got through")
		}
		o := options(from, to)
		o.Owner = fmt.Sprint("try ", tries)
		o.Progress = func(transfer.Progress) {
			if pages++; pages%10 == 0 {
				s.Elect(0)
			}
		}
		_, err := transfer.Run(t.Context(), o)
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if diff := differ(content(t, from), content(t, to)); diff != "" {
		t.Errorf("there (-old +new):\n%s", diff)
	}
	back := newSQLite(t, filepath.Join(t.TempDir(), "back.db"))
	if _, err := transfer.Run(t.Context(), options(to, back)); err != nil {
		t.Fatal(err)
	}
	if diff := differ(content(t, from), content(t, back)); diff != "" {
		t.Errorf("and back (-old +new):\n%s", diff)
	}
	t.Logf("%d pages, %d interruptions", pages, tries)
}
