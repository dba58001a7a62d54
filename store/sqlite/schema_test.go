package sqlite

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/store"
)

// rawSQL runs statements on a file that nobody has open, and returns what the last one selects.
func rawSQL(t *testing.T, path string, statements ...string) (rows []string) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, "rw", "synchronous(OFF)"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	for i, statement := range statements {
		if i < len(statements)-1 {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
			continue
		}
		found, err := db.QueryContext(t.Context(), statement)
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		for found.Next() {
			var row string
			if err := found.Scan(&row); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// firstForm turns a file's indexes into those of indexForm 1, in its words.
func firstForm(t *testing.T, path string, c store.Collection) {
	t.Helper()
	var ddl []string
	for _, ix := range c.Indexes {
		sum := sha256.Sum256([]byte(strings.Join(ix.Fields, ",") + ";" + ix.Array))
		now, was := derivedName(c.Name, ix), c.Name+"__"+ix.Name+"_"+hex.EncodeToString(sum[:4])
		columns := "f_" + strings.Join(ix.Fields, ", f_") + ", id"
		if ix.Array == "" {
			ddl = append(ddl, "DROP INDEX i_"+now, fmt.Sprintf("CREATE INDEX i_%s ON c_%s (%s)", was, c.Name, columns))
			continue
		}
		ddl = append(
			ddl,
			fmt.Sprintf("CREATE TABLE x_%s (%s, PRIMARY KEY (%s)) WITHOUT ROWID", was, columns, columns),
			fmt.Sprintf("CREATE INDEX d_%s ON x_%s (id)", was, was),
			fmt.Sprintf("INSERT INTO x_%s SELECT * FROM x_%s", was, now),
			"DROP TABLE x_"+now,
		)
	}
	rawSQL(t, path, append(ddl, "SELECT 1")...)
}

// Guards upgrades: a file whose indexes have the first form is found through the new ones, holds no other, and goes on.
func TestIndexesOfTheFirstForm(t *testing.T) {
	t.Parallel()
	path, ctx, colls := tempFile(t), t.Context(), indexed()
	e := openAt(t, path, colls)
	doc := func(i int) store.Doc {
		d := store.Doc{ID: fmt.Sprint("d", i), Body: []byte(`{}`), Index: map[string]any{"app": "x", "tags": []string{"t", fmt.Sprint("t", i)}}}
		if i%2 == 0 {
			d.Index["n"] = int64(i)
		}
		return d
	}
	for i := range 10 {
		if err := e.Insert(ctx, "things", doc(i)); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, e)
	names := "SELECT name FROM sqlite_master WHERE name GLOB '[ixd]_things__*' ORDER BY name"
	want := rawSQL(t, path, names)
	firstForm(t, path, colls[0])
	if was := rawSQL(t, path, names); len(was) != 6 || len(want) != 4 {
		t.Fatalf("%q became %q", want, was)
	}

	e = openAt(t, path, colls)
	find := func(filters ...store.Filter) int {
		t.Helper()
		q := store.Query{Index: "by_tag", Where: filters}
		if len(filters) > 1 {
			q.Index, q.SortBy = "by_app_tag", "n"
		}
		docs, _, err := e.Query(ctx, "things", q)
		if err != nil {
			t.Fatal(err)
		}
		return len(docs)
	}
	app, tag := store.Where("app", store.Eq, "x"), store.Where("tags", store.Eq, "t")
	if one, both := find(tag), find(app, tag); one != 10 || both != 5 {
		t.Errorf("found %d and %d", one, both)
	}
	moved := doc(4)
	moved.Index["tags"] = []string{"other"}
	if err := e.Replace(ctx, "things", moved, 1); err != nil {
		t.Fatal(err)
	}
	if err := e.Delete(ctx, "things", "d6", 1); err != nil {
		t.Fatal(err)
	}
	if one, both := find(tag), find(app, tag); one != 8 || both != 3 {
		t.Errorf("after one moved and one went: found %d and %d", one, both)
	}
	mustClose(t, e)
	if diff := cmp.Diff(want, rawSQL(t, path, names)); diff != "" {
		t.Errorf("indexes (-want +got):\n%s", diff)
	}
}

// Guards the price of a write: an index is a page to write, and one that a document has no value for is none.
func TestAbsentValuesCostNothing(t *testing.T) {
	t.Parallel()
	size := func(colls []store.Collection) int64 {
		path := tempFile(t)
		e := openAt(t, path, colls)
		before, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			if err := e.Insert(t.Context(), "things", store.Doc{ID: fmt.Sprintf("d%03d", i), Body: []byte(`{}`)}); err != nil {
				t.Fatal(err)
			}
		}
		after, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return after.Size() - before.Size()
	}
	bare, ten := size([]store.Collection{{Name: "things"}}), []store.Index(nil)
	for i := range 10 {
		ten = append(ten, store.Index{Name: fmt.Sprint("by_", i), Fields: []string{fmt.Sprint("a", i), fmt.Sprint("b", i)}})
	}
	if with := size([]store.Collection{{Name: "things", Indexes: ten}}); with > bare+bare/10 {
		t.Errorf("100 documents write %d bytes, and %d with ten indexes that none is in", bare, with)
	}
}
