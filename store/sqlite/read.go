package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/trifecta-pay/trifecta/store"
)

// Get implements store.Engine.
func (e *Engine) Get(ctx context.Context, coll, id string) (store.Doc, error) {
	t, err := e.table(coll)
	if err != nil {
		return store.Doc{}, err
	}
	if e.absent[coll] {
		return store.Doc{}, fmt.Errorf("%w: %s %s", store.ErrNotFound, coll, id)
	}
	if err := ctx.Err(); err != nil {
		return store.Doc{}, fmt.Errorf("get %s %s: %w: %w", coll, id, store.ErrUnavailable, err)
	}
	if known := e.written.get(place{coll, id}); known != nil {
		return known.doc.Clone(), nil
	}
	var found *entry
	since := e.written.moment()
	err = e.readers.with(ctx, func(c *conn) (err error) {
		found, err = c.get(ctx, t, id)
		return err
	})
	if err != nil {
		return store.Doc{}, fmt.Errorf("get %s %s: %w", coll, id, err)
	}
	if found == nil {
		return store.Doc{}, fmt.Errorf("%w: %s %s", store.ErrNotFound, coll, id)
	}
	if e.written.keep(found, since) {
		return found.doc.Clone(), nil
	}
	return found.doc, nil
}

// get reads a document; nil where there is none.
func (c *conn) get(ctx context.Context, t *table, id string) (found *entry, err error) {
	err = c.rows(ctx, t.getSQL, []any{id}, func(row []driver.Value) error {
		d, err := docOf(row)
		text, _ := row[3].(string) // docOf has seen to it
		found = &entry{place: place{t.decl.Name, id}, doc: d, text: text}
		return err
	})
	return found, err
}

// GetMany implements store.Engine.
func (e *Engine) GetMany(ctx context.Context, coll string, ids []string) ([]store.Doc, error) {
	t, err := e.table(coll)
	if err != nil {
		return nil, err
	}
	if ids, err = store.CheckIDs(ids); err != nil || e.absent[coll] {
		return nil, err
	}
	var docs []store.Doc
	err = e.readers.with(ctx, func(c *conn) error {
		return c.together(len(ids) > 1, func() error {
			for _, id := range ids {
				found, err := c.get(ctx, t, id)
				if err != nil {
					return err
				}
				if found != nil {
					docs = append(docs, found.doc)
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("get many %s: %w", coll, err)
	}
	return docs, nil
}

// together runs several reads in one transaction: they see one state of the file, and its locks are taken once.
func (c *conn) together(several bool, reads func() error) error {
	if !several {
		return reads()
	}
	if _, err := c.exec("BEGIN"); err != nil {
		return err
	}
	if err := reads(); err != nil {
		return err // the pool closes the connection, which ends the transaction
	}
	_, err := c.exec("COMMIT")
	return err
}

// Query implements store.Engine.
func (e *Engine) Query(ctx context.Context, coll string, q store.Query) ([]store.Doc, string, error) {
	t, err := e.table(coll)
	if err != nil {
		return nil, "", err
	}
	if e.readOnly {
		return nil, "", fmt.Errorf("%w: the file was opened to be read only, and may lack the index", store.ErrInvalid)
	}
	p, err := store.NewPlan(t.decl, q)
	if err != nil {
		return nil, "", err
	}
	return e.run(ctx, t, p)
}

// Scan implements store.Engine.
func (e *Engine) Scan(ctx context.Context, coll, after string, limit int) ([]store.Doc, string, error) {
	t, err := e.table(coll)
	if err != nil {
		return nil, "", err
	}
	p, err := store.ScanPlan(t.decl, after, limit)
	if err != nil || e.absent[coll] {
		return nil, "", err
	}
	return e.run(ctx, t, p)
}

// run executes a plan. Each branch is one statement, hence one snapshot; several branches share a transaction, so that
// a document that moves from one to the other is not missed by both.
func (e *Engine) run(ctx context.Context, t *table, p store.Plan) ([]store.Doc, string, error) {
	var found []store.Doc
	err := e.readers.with(ctx, func(c *conn) error {
		return c.together(len(p.Branches) > 1, func() error {
			for _, values := range p.Branches {
				query, args := t.statement(p, values)
				if err := c.docs(ctx, query, args, &found); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, "", fmt.Errorf("query %s.%s: %w", t.decl.Name, p.Index.Name, err)
	}
	docs, next := p.Page(p.Merge(found))
	return docs, next, nil
}

// statement is the SQL of one branch of a plan, forced onto the plan's index.
func (t *table) statement(p store.Plan, values []any) (string, []any) {
	from, key := t.name+" AS d", "d"
	var where []string
	var args []any
	a, declared := t.indexes[p.Index.Name]
	switch {
	case !declared: // a scan, by id
	case a.side:
		// CROSS JOIN keeps the side table outside, so that rows come in its order.
		from, key = a.name+" AS x CROSS JOIN "+t.name+" AS d", "x"
		where = append(where, "d.id = x.id")
	default:
		from += " INDEXED BY " + a.name
	}
	for i, f := range p.EqFields {
		where = append(where, key+".f_"+f+" = ?")
		args = append(args, store.Sortable(values[i]))
	}
	id, sort, dir := key+".id", key+".f_"+p.Sort, ""
	up, down := ">", "<"
	if p.Desc {
		dir, up, down = " DESC", "<", ">"
	}
	order := sort + dir + ", " + id + dir
	if p.Sort == "" {
		order = id + dir
	}
	edge := func(e *store.Edge, op string) {
		switch {
		case e == nil:
			return
		case e.ID == "":
			if e.Inclusive {
				op += "="
			}
			where = append(where, sort+" "+op+" ?")
			args = append(args, store.Sortable(e.Value))
		case p.Sort == "":
			where = append(where, id+" "+op+" ?")
			args = append(args, e.ID)
		default:
			where = append(where, "("+sort+", "+id+") "+op+" (?, ?)")
			args = append(args, store.Sortable(e.Value), e.ID)
		}
	}
	edge(p.From, up)
	edge(p.To, down)
	if p.Sort != "" && !bounds(p.From) && !bounds(p.To) {
		where = append(where, sort+" IS NOT NULL") // as the index's own condition, which SQLite must find here
	}
	clause := ""
	if len(where) > 0 {
		clause = " WHERE " + strings.Join(where, " AND ")
	}
	return fmt.Sprintf("SELECT d.id, d.version, d.body, d.idx FROM %s%s ORDER BY %s LIMIT ?",
		from, clause, order), append(args, p.Limit+1)
}

// bounds says whether an edge compares the sort field alone, from which SQLite concludes that it is not NULL.
func bounds(e *store.Edge) bool { return e != nil && e.ID == "" }

// docs appends what a query finds.
func (c *conn) docs(ctx context.Context, query string, args []any, found *[]store.Doc) error {
	return c.rows(ctx, query, args, func(row []driver.Value) error {
		d, err := docOf(row)
		*found = append(*found, d)
		return err
	})
}

// docOf makes a document of a row: id, version, body, index values. The driver has copied them out of its own memory.
func docOf(row []driver.Value) (store.Doc, error) {
	id, ok1 := row[0].(string)
	version, ok2 := row[1].(int64)
	body, ok3 := row[2].([]byte)
	text, ok4 := row[3].(string)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return store.Doc{}, fmt.Errorf("sqlite: document %v: its columns are %T, %T, %T, %T", row[0], row[0], row[1], row[2], row[3])
	}
	index, err := decodeIndex(text)
	if err != nil {
		return store.Doc{}, fmt.Errorf("document %s: %w", id, err)
	}
	return store.Doc{ID: id, Version: version, Body: body, Index: index}, nil
}

// classify is the only place where an SQLite error becomes one of ours. Whatever the outside world can cause (busy,
// disk full, I/O, no memory, a damaged file, the caller's deadline) is ErrUnavailable; the rest is our bug.
func classify(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%w: %s: %w (%w)", store.ErrUnavailable, what, cause, err)
	}
	var native *sqlite.Error
	if errors.As(err, &native) {
		switch native.Code() & 0xff {
		case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE:
			return fmt.Errorf("sqlite: %s: %w", what, err)
		}
	}
	return fmt.Errorf("%w: %s: %w", store.ErrUnavailable, what, err)
}
