package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/trifecta-pay/trifecta/store"
)

// querier is what a *sql.DB, *sql.Tx and *sql.Conn have in common for reading.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// idsPerStatement bounds the bind variables of one statement in GetMany.
const idsPerStatement = 200

// Get implements store.Engine.
func (e *Engine) Get(ctx context.Context, coll, id string) (store.Doc, error) {
	t, err := e.table(coll)
	if err != nil {
		return store.Doc{}, err
	}
	if e.absent[coll] {
		return store.Doc{}, fmt.Errorf("%w: %s %s", store.ErrNotFound, coll, id)
	}
	docs, err := e.read(ctx, t.getSQL, id)
	if err != nil {
		return store.Doc{}, fmt.Errorf("get %s %s: %w", coll, id, err)
	}
	if len(docs) == 0 {
		return store.Doc{}, fmt.Errorf("%w: %s %s", store.ErrNotFound, coll, id)
	}
	return docs[0], nil
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
	found := make(map[string]store.Doc, len(ids))
	for rest := ids; len(rest) > 0; {
		n := min(len(rest), idsPerStatement)
		args := make([]any, n)
		for i, id := range rest[:n] {
			args[i] = id
		}
		docs, err := readDocs(ctx, e.readDB, fmt.Sprintf("SELECT id, version, body, idx FROM %s WHERE id IN (?%s)",
			t.name, strings.Repeat(", ?", n-1)), args...)
		if err != nil {
			return nil, fmt.Errorf("get many %s: %w", coll, err)
		}
		for _, d := range docs {
			found[d.ID] = d
		}
		rest = rest[n:]
	}
	var docs []store.Doc
	for _, id := range ids {
		if d, ok := found[id]; ok {
			docs = append(docs, d)
		}
	}
	return docs, nil
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
	var from querier = e.readDB
	if len(p.Branches) > 1 {
		tx, err := e.readDB.BeginTx(ctx, nil)
		if err != nil {
			return nil, "", classify(ctx, "begin read", err)
		}
		defer func() { _ = tx.Rollback() }() // nothing to commit
		from = tx
	}
	var found []store.Doc
	for _, values := range p.Branches {
		query, args := t.statement(p, values)
		var docs []store.Doc
		var err error
		if from == e.readDB {
			docs, err = e.read(ctx, query, args...)
		} else {
			docs, err = readDocs(ctx, from, query, args...)
		}
		if err != nil {
			return nil, "", fmt.Errorf("query %s.%s: %w", t.decl.Name, p.Index.Name, err)
		}
		found = append(found, docs...)
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
	if p.Sort != "" && p.From == nil && p.To == nil {
		where = append(where, sort+" IS NOT NULL") // lacking the field means not being in the index
	}
	clause := ""
	if len(where) > 0 {
		clause = " WHERE " + strings.Join(where, " AND ")
	}
	return fmt.Sprintf("SELECT d.id, d.version, d.body, d.idx FROM %s%s ORDER BY %s LIMIT ?",
		from, clause, order), append(args, p.Limit+1)
}

// read runs a query on the readers with a prepared statement kept by its text.
func (e *Engine) read(ctx context.Context, query string, args ...any) ([]store.Doc, error) {
	stmt, err := e.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, classify(ctx, "read", err)
	}
	return scanDocs(ctx, rows)
}

// prepared finds or makes a reader statement. The texts are few: collection, index, shape of the range, direction.
func (e *Engine) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	e.stmtsMu.Lock()
	stmt := e.stmts[query]
	e.stmtsMu.Unlock()
	if stmt != nil {
		return stmt, nil
	}
	stmt, err := e.readDB.PrepareContext(ctx, query)
	if err != nil {
		return nil, classify(ctx, "prepare", err)
	}
	e.stmtsMu.Lock()
	defer e.stmtsMu.Unlock()
	if first := e.stmts[query]; first != nil { // another reader was faster
		return first, classify(ctx, "close statement", stmt.Close())
	}
	e.stmts[query] = stmt
	return stmt, nil
}

func readDocs(ctx context.Context, from querier, query string, args ...any) ([]store.Doc, error) {
	rows, err := from.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, classify(ctx, "read", err)
	}
	return scanDocs(ctx, rows)
}

func scanDocs(ctx context.Context, rows *sql.Rows) ([]store.Doc, error) {
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	var docs []store.Doc
	for rows.Next() {
		var d store.Doc
		var index string
		if err := rows.Scan(&d.ID, &d.Version, &d.Body, &index); err != nil {
			return nil, classify(ctx, "read row", err)
		}
		var err error
		if d.Index, err = decodeIndex(index); err != nil {
			return nil, fmt.Errorf("document %s: %w", d.ID, err)
		}
		docs = append(docs, d)
	}
	if err := rows.Err(); err != nil {
		return nil, classify(ctx, "read", err)
	}
	return docs, nil
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
	var native *driver.Error
	if errors.As(err, &native) {
		switch native.Code() & 0xff {
		case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE:
			return fmt.Errorf("sqlite: %s: %w", what, err)
		}
	}
	return fmt.Errorf("%w: %s: %w", store.ErrUnavailable, what, err)
}
