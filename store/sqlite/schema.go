package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/store"
)

// table is one collection's SQL: names are made from checked names, so they need no quoting.
type table struct {
	decl    store.Collection
	name    string
	fields  []string // indexed scalar fields, each with a column f_<field>
	indexes map[string]access
	sides   []side

	insertSQL, deleteSQL, getSQL, importSQL, indexSQL, replacedSQL string
	// replaceSQL by the fields that change, one bit each; made when first needed, by the writer alone
	replaceSQL map[uint64]string
}

// access says where an index lives: a SQL index on the table, or a side table.
type access struct {
	name string
	side bool
}

// side is the side table of an index with an array field: one row (values..., id) per element.
type side struct {
	ix                   store.Index
	name                 string
	insertSQL, deleteSQL string
}

func newTable(c store.Collection) *table {
	t := &table{decl: c, name: "c_" + c.Name, indexes: map[string]access{}, replaceSQL: map[uint64]string{}}
	array := c.ArrayField()
	columns, marks, takes := "", "", ""
	for _, f := range c.Fields() {
		if f == array {
			continue
		}
		t.fields = append(t.fields, f)
		columns += ", f_" + f
		marks += ", ?"
		takes += ", f_" + f + " = excluded.f_" + f
	}
	for _, ix := range c.Indexes {
		name := derivedName(c.Name, ix)
		t.indexes[ix.Name] = access{name: "i_" + name, side: ix.Array != ""}
		if ix.Array == "" {
			continue
		}
		t.indexes[ix.Name] = access{name: "x_" + name, side: true}
		t.sides = append(t.sides, side{
			ix: ix, name: "x_" + name,
			insertSQL: fmt.Sprintf("INSERT INTO x_%s VALUES (%s?)", name, strings.Repeat("?, ", len(ix.Fields))),
			deleteSQL: fmt.Sprintf("DELETE FROM x_%s WHERE f_%s = ? AND id = ?", name, strings.Join(ix.Fields, " = ? AND f_")),
		})
	}
	t.insertSQL = fmt.Sprintf("INSERT INTO %s (id, version, body, idx%s) VALUES (?, 1, ?, ?%s) ON CONFLICT (id) DO NOTHING", t.name, columns, marks)
	t.importSQL = fmt.Sprintf("INSERT INTO %s (id, version, body, idx%s) VALUES (?, ?, ?, ?%s) "+
		"ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body, idx = excluded.idx%s", t.name, columns, marks, takes)
	t.deleteSQL = fmt.Sprintf("DELETE FROM %s WHERE id = ? AND version = ?", t.name)
	t.indexSQL = fmt.Sprintf("SELECT idx FROM %s WHERE id = ? AND version = ?", t.name)
	t.replacedSQL = fmt.Sprintf("SELECT idx, version FROM %s WHERE id = ?", t.name)
	t.getSQL = fmt.Sprintf("SELECT id, version, body, idx FROM %s WHERE id = ?", t.name)
	return t
}

// indexForm numbers the form of what createIndex makes: 1 had a place for absent values, and side tables had an index by
// id of their own.
const indexForm = "2;"

// derivedName changes when an index's fields or its form do, so that a changed declaration builds anew.
func derivedName(coll string, ix store.Index) string {
	sum := sha256.Sum256([]byte(indexForm + strings.Join(ix.Fields, ",") + ";" + ix.Array))
	return coll + "__" + ix.Name + "_" + hex.EncodeToString(sum[:4])
}

// migrate makes the file match the declarations, in one transaction.
func (e *Engine) migrate(ctx context.Context, c *sql.Conn, fresh bool, colls []store.Collection) error {
	tx, err := c.BeginTx(ctx, nil)
	if err != nil {
		return classify(ctx, "begin", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if fresh {
		if err := execTx(ctx, tx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
			return err
		}
		if err := execTx(ctx, tx, fmt.Sprintf("PRAGMA user_version = %d", formatVersion)); err != nil {
			return err
		}
	}
	for _, decl := range colls {
		t := newTable(decl)
		if err := t.create(ctx, tx); err != nil {
			return fmt.Errorf("collection %s: %w", decl.Name, err)
		}
		e.tables[decl.Name] = t
	}
	if err := tx.Commit(); err != nil {
		return classify(ctx, "commit schema", err)
	}
	return nil
}

func execTx(ctx context.Context, tx *sql.Tx, query string, args ...any) error {
	if _, err := tx.ExecContext(ctx, query, args...); err != nil {
		return classify(ctx, query, err)
	}
	return nil
}

// names returns the first column of a query as a set.
func names(ctx context.Context, tx *sql.Tx, query string, args ...any) (map[string]bool, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, classify(ctx, query, err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	set := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, classify(ctx, query, err)
		}
		set[name] = true
	}
	if err := rows.Err(); err != nil {
		return nil, classify(ctx, query, err)
	}
	return set, nil
}

func (t *table) create(ctx context.Context, tx *sql.Tx) error {
	if err := execTx(ctx, tx, "CREATE TABLE IF NOT EXISTS "+t.name+
		" (id TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, body BLOB NOT NULL, idx TEXT NOT NULL)"); err != nil {
		return err
	}
	columns, err := names(ctx, tx, "SELECT name FROM pragma_table_info(?)", t.name)
	if err != nil {
		return err
	}
	for _, f := range t.fields {
		if !columns["f_"+f] {
			// No type: values are kept as bound, text as text and numbers as integers.
			if err := execTx(ctx, tx, "ALTER TABLE "+t.name+" ADD COLUMN f_"+f); err != nil {
				return err
			}
		}
	}
	have, err := names(ctx, tx, "SELECT name FROM sqlite_master WHERE name GLOB ? OR name GLOB ?",
		"i_"+t.decl.Name+"__*", "x_"+t.decl.Name+"__*")
	if err != nil {
		return err
	}
	for _, ix := range t.decl.Indexes {
		name := t.indexes[ix.Name].name
		if have[name] {
			delete(have, name)
			continue
		}
		if err := t.refresh(ctx, tx, ix, columns); err != nil {
			return err
		}
		if err := t.createIndex(ctx, tx, ix); err != nil {
			return err
		}
	}
	for name := range have { // declared once, no longer
		kind := "INDEX "
		if name[0] == 'x' {
			kind = "TABLE "
		}
		if err := execTx(ctx, tx, "DROP "+kind+name); err != nil {
			return err
		}
	}
	return nil
}

// refresh empties the columns of a new index where they hold more than the document says: a field that was declared
// before, then not, and is again now, stays in the column of a document that was replaced meanwhile. Replace touches only
// the columns that change, so it would stay for good.
func (t *table) refresh(ctx context.Context, tx *sql.Tx, ix store.Index, columns map[string]bool) error {
	for _, f := range ix.Fields {
		if f == ix.Array || !columns["f_"+f] {
			continue
		}
		if err := execTx(ctx, tx, fmt.Sprintf("UPDATE %s SET f_%s = NULL WHERE f_%s IS NOT NULL AND json_type(idx, '$.%s') IS NULL", t.name, f, f, f)); err != nil {
			return err
		}
	}
	return nil
}

// createIndex makes an index that holds the documents with all of its fields, and no others: no query finds those, and
// each place in an index is a page to write whenever a document comes or goes. Most of a payment's are empty most of the
// time.
func (t *table) createIndex(ctx context.Context, tx *sql.Tx, ix store.Index) error {
	columns := "f_" + strings.Join(ix.Fields, ", f_") + ", id"
	a := t.indexes[ix.Name]
	if !a.side {
		return execTx(ctx, tx, fmt.Sprintf("CREATE INDEX %s ON %s (%s) WHERE f_%s IS NOT NULL",
			a.name, t.name, columns, strings.Join(ix.Fields, " IS NOT NULL AND f_")))
	}
	if err := execTx(ctx, tx, fmt.Sprintf("CREATE TABLE %s (%s, PRIMARY KEY (%s)) WITHOUT ROWID", a.name, columns, columns)); err != nil {
		return err
	}
	return t.fill(ctx, tx, ix)
}

// fill makes the rows of a new side table from the index values of the documents that are there already.
func (t *table) fill(ctx context.Context, tx *sql.Tx, ix store.Index) error {
	var s side
	for _, s = range t.sides {
		if s.ix.Name == ix.Name {
			break
		}
	}
	for after, more := "", true; more; {
		docs, err := readDocs(ctx, tx, "SELECT id, version, body, idx FROM "+t.name+" WHERE id > ? ORDER BY id LIMIT 500", after)
		if err != nil {
			return err
		}
		for _, d := range docs {
			for _, tuple := range ix.Tuples(d) {
				if err := execTx(ctx, tx, s.insertSQL, rowOf(tuple, d.ID)...); err != nil {
					return err
				}
			}
			after = d.ID
		}
		more = len(docs) > 0
	}
	return nil
}

func readDocs(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]store.Doc, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, classify(ctx, "read", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	var docs []store.Doc
	for rows.Next() {
		var id, index string
		var version int64
		var body []byte
		if err := rows.Scan(&id, &version, &body, &index); err != nil {
			return nil, classify(ctx, "read row", err)
		}
		d, err := docOf([]driver.Value{id, version, body, index})
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, classify(ctx, "read", rows.Err())
}

// rowOf makes the bind values of a side table's row.
func rowOf(tuple []any, id string) []any {
	row := make([]any, 0, len(tuple)+1)
	for _, v := range tuple {
		row = append(row, store.Sortable(v))
	}
	return append(row, id)
}

// cell keeps one index value with its type, so that Get and Scan give back what was stored.
type cell struct {
	String *string  `json:"s,omitempty"`
	Int    *int64   `json:"i,omitempty"`
	Bool   *bool    `json:"b,omitempty"`
	TimeMS *int64   `json:"t,omitempty"` // Unix milliseconds
	Array  []string `json:"a,omitempty"`
}

func decodeIndex(data string) (map[string]any, error) {
	if index, ok := quickIndex(data); ok {
		return index, nil
	}
	return slowIndex(data)
}

func slowIndex(data string) (map[string]any, error) {
	var cells map[string]cell
	if err := json.Unmarshal([]byte(data), &cells); err != nil {
		return nil, fmt.Errorf("decode index values: %w", err)
	}
	if len(cells) == 0 {
		return nil, nil
	}
	index := make(map[string]any, len(cells))
	for f, c := range cells {
		switch {
		case c.String != nil:
			index[f] = *c.String
		case c.Int != nil:
			index[f] = *c.Int
		case c.Bool != nil:
			index[f] = *c.Bool
		case c.TimeMS != nil:
			index[f] = time.UnixMilli(*c.TimeMS).UTC()
		case c.Array != nil:
			index[f] = c.Array
		default:
			return nil, fmt.Errorf("decode index values: field %s has no known type", f)
		}
	}
	return index, nil
}
