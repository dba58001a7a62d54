package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
)

func openAt(t testing.TB, path string, colls []store.Collection) *Engine {
	t.Helper()
	e, err := Open(t.Context(), Options{Path: path, Collections: colls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func tempFile(t testing.TB) string { return filepath.Join(t.TempDir(), "t.db") }

func mustClose(t testing.TB, e *Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// Guards: SQLite means the same as the other engines.
func TestConformance(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, func(t *testing.T, colls []store.Collection) store.Engine {
		return openAt(t, tempFile(t), colls)
	})
}

// Guards: the document survives a restart with its version, types and places in the indexes.
func TestReopenKeepsEverything(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	e := openAt(t, path, enginetest.Collections())
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	in := store.Doc{ID: "a", Body: []byte(`{"x": 1}`), Index: map[string]any{"app": "x", "created": at, "flag": true, "n": int64(3), "tags": []string{"t"}}}
	if err := e.Insert(t.Context(), "things", in); err != nil {
		t.Fatal(err)
	}
	if err := e.Replace(t.Context(), "things", in, 1); err != nil {
		t.Fatal(err)
	}
	mustClose(t, e)
	e = openAt(t, path, enginetest.Collections())
	got, err := e.Get(t.Context(), "things", "a")
	if err != nil || got.Version != 2 || string(got.Body) != `{"x": 1}` || fmt.Sprint(got.Index) != fmt.Sprint(in.Index) {
		t.Errorf("after reopening: %+v, %v", got, err)
	}
	docs, _, err := e.Query(t.Context(), "things", store.Query{Index: "by_tag", Where: []store.Filter{store.Where("tags", store.Eq, "t")}})
	if err != nil || len(docs) != 1 {
		t.Errorf("by tag: %v, %v", docs, err)
	}
}

// Guards: no query of the suite's or the product's declarations scans a table or sorts: each is a search in its index.
func TestEveryQueryUsesItsIndex(t *testing.T) {
	t.Parallel()
	colls := append(enginetest.Collections(), store.Collections()...)
	e := openAt(t, tempFile(t), colls)
	checked := 0
	for _, c := range colls {
		for _, ix := range c.Indexes {
			for _, q := range shapes(ix) {
				p, err := store.NewPlan(c, q)
				if err != nil {
					t.Fatalf("%s.%s: %v", c.Name, ix.Name, err)
				}
				page := []*store.Edge{nil}
				if p.Sort != "" {
					page = append(page, &store.Edge{Value: int64(1), ID: "x"})
				} else {
					page = append(page, &store.Edge{ID: "x"})
				}
				for _, from := range append(page, p.From) {
					p.From = from
					steps := explain(t, e, c.Name, p)
					_, args := e.tables[c.Name].statement(p, p.Branches[0])
					if strings.Count(steps[0], "?") < len(args)-1 { // all but the limit narrow the search down
						t.Errorf("%s.%s %+v: a condition is only a filter: %s", c.Name, ix.Name, q, steps[0])
					}
					for _, step := range steps {
						checked++
						bare := ix.Fields[0] == p.Sort && p.From == nil && p.To == nil // a whole index in order: nothing to search for
						if strings.Contains(step, "TEMP B-TREE") || strings.HasPrefix(step, "SCAN") && !(bare && strings.Contains(step, "INDEX")) {
							t.Errorf("%s.%s %+v: %s", c.Name, ix.Name, q, step)
						}
					}
				}
			}
		}
		p, err := store.ScanPlan(c, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		p.From = &store.Edge{ID: "x"}
		for _, step := range explain(t, e, c.Name, p) {
			checked++
			if !strings.HasPrefix(step, "SEARCH") {
				t.Errorf("scan of %s from a cursor: %s", c.Name, step)
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d steps were looked at", checked)
	}
}

// shapes returns every form of query that an index allows: by id and sorted, both directions, all range bounds.
func shapes(ix store.Index) []store.Query {
	last := ix.Fields[len(ix.Fields)-1]
	equal := func(fields []string) (out []store.Filter) {
		for _, f := range fields {
			out = append(out, store.Where(f, store.Eq, "v"))
		}
		return out
	}
	var out []store.Query
	for _, desc := range []bool{false, true} {
		out = append(out, store.Query{Index: ix.Name, Desc: desc, Where: equal(ix.Fields)})
		if last == ix.Array {
			continue
		}
		for _, bounds := range [][]store.Filter{
			nil,
			{store.Where(last, store.Gt, int64(1))},
			{store.Where(last, store.Lte, int64(9))},
			{store.Where(last, store.Gte, int64(1)), store.Where(last, store.Lt, int64(9))},
		} {
			out = append(out, store.Query{Index: ix.Name, Desc: desc, SortBy: last, Where: append(equal(ix.Fields[:len(ix.Fields)-1]), bounds...)})
		}
	}
	return out
}

func explain(t *testing.T, e *Engine, coll string, p store.Plan) []string {
	t.Helper()
	query, args := e.tables[coll].statement(p, p.Branches[0])
	var steps []string
	err := e.readers.with(t.Context(), func(c *conn) error {
		return c.rows(t.Context(), "EXPLAIN QUERY PLAN "+query, args, func(row []driver.Value) error {
			steps = append(steps, fmt.Sprint(row[3])) // id, parent, unused, step
			return nil
		})
	})
	if err != nil || len(steps) == 0 {
		t.Fatalf("%s: %d steps, %v", query, len(steps), err)
	}
	return steps
}

// Guards: one file, one process: a second opening is refused with a message that says which file and what to do,
// whatever the path is called, and works again after Close.
func TestSecondOpeningIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "t.db")
	e := openAt(t, path, enginetest.Collections())
	link := filepath.Join(dir, "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "d")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, "sqlite:" + path, link, filepath.Join(dir, "d", "t.db"), filepath.Join(dir, ".", "d", "..", "t.db")} {
		other, err := Open(t.Context(), Options{Path: name, Collections: enginetest.Collections()})
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), fmt.Sprint("pid ", os.Getpid())) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			mustClose(t, other)
		}
	}
	mustClose(t, e)
	openAt(t, link, enginetest.Collections())
}

// Guards: customers' data is readable by its owner only, also in the side files, also when the file was there before.
func TestFileModes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "trifecta.db"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "new") + "/", filepath.Join(dir, "odd name?#%41 é.db")} {
		e := openAt(t, path, enginetest.Collections())
		if err := e.Insert(t.Context(), "plain", store.Doc{ID: "a", Body: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode().Perm())
		}
		name, _ := filepath.Rel(dir, path)
		seen = append(seen, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"trifecta.db", "trifecta.db-wal", "trifecta.db.lock", "new/trifecta.db", "odd name?#%41 é.db"} {
		if !slices.Contains(seen, name) {
			t.Errorf("%s is missing in %q", name, seen)
		}
	}
}

// pragma asks the writer's connection.
func pragma(t *testing.T, e *Engine, query string) (answer string) {
	t.Helper()
	err := e.submit(t.Context(), func(c *changes) error {
		return c.rows(context.Background(), query, nil, func(row []driver.Value) error {
			answer = fmt.Sprint(row[0])
			return nil
		})
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

// Guards I4: every commit waits for the disk (WAL, synchronous FULL), and the readers can't write.
func TestDurabilitySettings(t *testing.T) {
	t.Parallel()
	e := openAt(t, tempFile(t), enginetest.Collections())
	for query, want := range map[string]string{"PRAGMA journal_mode": "wal", "PRAGMA synchronous": "2", "PRAGMA busy_timeout": "5000", "PRAGMA wal_autocheckpoint": "4000"} {
		if got := pragma(t, e, query); got != want {
			t.Errorf("%s = %s", query, got)
		}
	}
	if err := e.readers.with(t.Context(), func(c *conn) error { _, err := c.exec("DELETE FROM c_things"); return err }); err == nil {
		t.Error("a reader wrote")
	}
}

// Guards: a file of another program, of a newer Trifecta or full of garbage is refused and left as it is.
func TestForeignFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign.db")
	newer := filepath.Join(dir, "newer.db")
	garbage := filepath.Join(dir, "garbage.db")
	mustClose(t, openAt(t, newer, nil))
	for path, statement := range map[string]string{foreign: "CREATE TABLE t (x)", newer: "PRAGMA user_version = 2"} {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{foreign: "another program", newer: "newer", garbage: "not a database"} {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time shows that the refused opening gave the lock back
			if _, err := Open(t.Context(), Options{Path: path, Collections: enginetest.Collections()}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", filepath.Base(path), err, want)
			}
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("%s was changed, %v", filepath.Base(path), err)
		}
	}
	if _, err := Open(t.Context(), Options{Path: "", Collections: nil}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("no path: %v", err)
	}
	if _, err := Open(t.Context(), Options{Path: tempFile(t), Collections: []store.Collection{{Name: "Bad"}}}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("bad declaration: %v", err)
	}
	if _, err := Open(t.Context(), Options{Path: "/proc/nowhere/t.db"}); err == nil {
		t.Error("a directory that can't be made")
	}
}

// Guards: upgrades need no tool: what is newly declared is made, what isn't any more is dropped, documents stay.
func TestDeclarationsEvolve(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	one := []store.Collection{{Name: "things", Indexes: []store.Index{
		{Name: "by_app", Fields: []string{"app"}}, {Name: "by_tag", Fields: []string{"tags"}, Array: "tags"},
	}}}
	two := []store.Collection{{Name: "more"}, {Name: "things", Indexes: []store.Index{
		{Name: "by_app", Fields: []string{"app", "state"}},
		{Name: "by_app_tag", Fields: []string{"app", "tags"}, Array: "tags"},
		{Name: "only_app", Fields: []string{"app"}},
	}}}
	e := openAt(t, path, one)
	for i := range 1100 { // more than one batch of the refill
		d := store.Doc{ID: fmt.Sprint("d", i), Body: []byte(`{}`), Index: map[string]any{"app": "x", "tags": []string{"t", fmt.Sprint(i % 2)}}}
		if err := e.Insert(t.Context(), "things", d); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, e)
	e = openAt(t, path, two)
	count := func(index string, filters ...store.Filter) (n int) {
		t.Helper()
		q := store.Query{Index: index, Where: filters, Limit: 500}
		for more := true; more; {
			docs, next, err := e.Query(t.Context(), "things", q)
			if err != nil {
				t.Fatal(err)
			}
			n += len(docs)
			q.After, more = next, next != ""
		}
		return n
	}
	app, tag := store.Where("app", store.Eq, "x"), store.Where("tags", store.Eq, "1")
	if n := count("only_app", app); n != 1100 {
		t.Errorf("a new index over an old field finds %d", n)
	}
	if n := count("by_app_tag", app, tag); n != 550 {
		t.Errorf("a new array index over old fields finds %d", n)
	}
	state := store.Where("state", store.Eq, "open")
	if n := count("by_app", app, state); n != 0 {
		t.Errorf("a new field finds %d before anything was written", n)
	}
	d := store.Doc{ID: "d7", Body: []byte(`{}`), Index: map[string]any{"app": "x", "state": "open"}}
	if err := e.Replace(t.Context(), "things", d, 1); err != nil {
		t.Fatal(err)
	}
	if n := count("by_app", app, state); n != 1 {
		t.Errorf("a new field finds %d after one was rewritten", n)
	}
	if n := count("by_app_tag", app, tag); n != 549 {
		t.Errorf("the array index finds %d after one lost its tags", n)
	}
	if err := e.Insert(t.Context(), "more", store.Doc{ID: "a", Body: []byte(`{}`)}); err != nil {
		t.Errorf("new collection: %v", err)
	}
	mustClose(t, e)
	for range 2 { // back, and once more without any change
		e = openAt(t, path, one)
		if n := count("by_tag", tag); n != 549 {
			t.Errorf("an index declared again finds %d", n)
		}
		mustClose(t, e)
	}
}

// Guards: what the outside world causes is an outage (503), what we do wrong is not.
func TestClassify(t *testing.T) {
	t.Parallel()
	e := openAt(t, tempFile(t), enginetest.Collections())
	c, err := connect(t.Context(), e.readers.dsn)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.driver.Prepare("SELECT nonsense FROM nowhere")
	if cerr := c.close(); cerr != nil {
		t.Error(cerr)
	}
	var native *sqlite.Error
	if !errors.As(err, &native) {
		t.Fatalf("the driver's error is %T", err)
	}
	if got := classify(t.Context(), "x", err); errors.Is(got, store.ErrUnavailable) || got == nil {
		t.Errorf("bad SQL: %v", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := classify(ended, "x", err); !errors.Is(got, store.ErrUnavailable) || !errors.Is(got, context.Canceled) {
		t.Errorf("ended context: %v", got)
	}
	if got := classify(t.Context(), "x", driver.ErrBadConn); !errors.Is(got, store.ErrUnavailable) {
		t.Errorf("no connection: %v", got)
	}
	if got := classify(t.Context(), "x", nil); got != nil {
		t.Errorf("no error: %v", got)
	}
}
