package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trifecta-pay/trifecta/store"
)

func indexed() []store.Collection {
	return []store.Collection{{Name: "things", Indexes: []store.Index{
		{Name: "by_app", Fields: []string{"app", "at"}},
		{Name: "by_flag", Fields: []string{"flag", "n"}},
		{Name: "by_tag", Fields: []string{"tags"}, Array: "tags"},
		{Name: "by_app_tag", Fields: []string{"app", "tags", "n"}, Array: "tags"},
	}}}
}

func drawIndex(rt *rapid.T) map[string]any {
	index := map[string]any{}
	if rapid.Bool().Draw(rt, "has app") {
		index["app"] = rapid.SampledFrom([]string{"x", "y", "<&>", ""}).Draw(rt, "app")
	}
	if rapid.Bool().Draw(rt, "has at") {
		index["at"] = time.UnixMilli(rapid.Int64Range(1, 3).Draw(rt, "at"))
	}
	if rapid.Bool().Draw(rt, "has flag") {
		index["flag"] = rapid.Bool().Draw(rt, "flag")
	}
	if rapid.Bool().Draw(rt, "has n") {
		index["n"] = rapid.Int64Range(1, 2).Draw(rt, "n")
	}
	index["tags"] = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 4).Draw(rt, "tags")
	return index
}

// derived reads what the file holds of a document besides its body: its columns and its rows in the side tables.
func derived(ctx context.Context, e *Engine, id string) (out []string, err error) {
	t := e.tables["things"]
	queries := []string{"SELECT f_" + strings.Join(t.fields, ", f_") + " FROM c_things WHERE id = ?"}
	for _, s := range t.sides {
		queries = append(queries, "SELECT * FROM "+s.name+" WHERE id = ?")
	}
	err = e.readers.with(ctx, func(c *conn) error {
		for i, query := range queries {
			err := c.rows(ctx, query, []any{id}, func(row []driver.Value) error {
				out = append(out, fmt.Sprintf("%d %T %#v", i, row, row))
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}

// Guards what documents are found by: after any number of replacements, which write only what changes, a document stands
// in columns and side tables exactly as one that was inserted so.
func TestReplaceLeavesWhatInsertWould(t *testing.T) {
	t.Parallel()
	e := openAt(t, tempFile(t), indexed())
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		ctx, id := t.Context(), fmt.Sprint("d", n)
		d := store.Doc{ID: id, Body: []byte(`{}`), Index: drawIndex(rt)}
		if err := e.Insert(ctx, "things", d); err != nil {
			rt.Fatal(err)
		}
		for version := range rapid.Int64Range(1, 4).Draw(rt, "replacements") {
			if rapid.Bool().Draw(rt, "index changes") {
				d.Index = drawIndex(rt)
			}
			d.Body = fmt.Appendf(nil, `{"version":%d}`, version)
			if err := e.Replace(ctx, "things", d, version+1); err != nil {
				rt.Fatal(err)
			}
		}
		got, err := derived(ctx, e, id)
		if err != nil {
			rt.Fatal(err)
		}
		stored, err := e.Get(ctx, "things", id)
		if err != nil || string(stored.Body) != string(d.Body) {
			rt.Fatalf("%+v, %v", stored, err)
		}
		if err := e.Delete(ctx, "things", id, stored.Version); err != nil {
			rt.Fatal(err)
		}
		if err := e.Insert(ctx, "things", d); err != nil {
			rt.Fatal(err)
		}
		want, err := derived(ctx, e, id)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("differs from a fresh insert (-want +got):\n%s", diff)
		}
	})
}

// Guards what documents are found by: a field that was declared once, then not, and is again, holds nothing that
// documents lost meanwhile.
func TestFieldDeclaredAgain(t *testing.T) {
	t.Parallel()
	path, ctx := tempFile(t), t.Context()
	with := []store.Collection{{Name: "things", Indexes: []store.Index{{Name: "by_app", Fields: []string{"app"}}}}}
	e := openAt(t, path, with)
	for _, id := range []string{"kept", "lost"} {
		if err := e.Insert(ctx, "things", store.Doc{ID: id, Body: []byte(`{}`), Index: map[string]any{"app": "x"}}); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, e)
	e = openAt(t, path, []store.Collection{{Name: "things"}})
	if err := e.Replace(ctx, "things", store.Doc{ID: "lost", Body: []byte(`{}`)}, 1); err != nil {
		t.Fatal(err)
	}
	mustClose(t, e)
	e = openAt(t, path, with)
	docs, _, err := e.Query(ctx, "things", store.Query{Index: "by_app", Where: []store.Filter{store.Where("app", store.Eq, "x")}})
	if err != nil || len(docs) != 1 || docs[0].ID != "kept" {
		t.Errorf("found %v, %v", docs, err)
	}
}

// Guards: more statements than are kept cost time, not memory, and never an answer.
func TestStatementsAreBounded(t *testing.T) {
	t.Parallel()
	e := openAt(t, tempFile(t), indexed())
	err := e.readers.with(t.Context(), func(c *conn) error {
		for i := range maxStatements + 10 {
			got := int64(-1)
			err := c.rows(t.Context(), fmt.Sprint("SELECT ", i), nil, func(row []driver.Value) error {
				got, _ = row[0].(int64)
				return nil
			})
			if err != nil || got != int64(i) || len(c.stmts) > maxStatements {
				return fmt.Errorf("statement %d: %d, %d kept: %w", i, got, len(c.stmts), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
