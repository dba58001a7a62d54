package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"

	"github.com/trifecta-pay/trifecta/store"
)

// Engine is a store.Engine on one SQLite file. Make it with Open.
//
// All writes go through one goroutine, which commits what has queued up meanwhile in one transaction: one fsync serves
// many callers, and nobody is told "written" before the commit that holds the write has returned.
type Engine struct {
	lock    io.Closer
	writeDB *sql.DB
	conn    *sql.Conn // the only connection that writes; used by Open, then by the writer alone
	readDB  *sql.DB
	tables  map[string]*table

	readOnly bool
	absent   map[string]bool // collections that a file opened to be read lacks

	mu     sync.RWMutex // held for reading while sending to queue
	closed bool
	queue  chan *write
	done   chan struct{} // closed when the writer has ended

	stmtsMu sync.Mutex
	stmts   map[string]*sql.Stmt // the readers'
}

var _ store.Engine = (*Engine)(nil)

// write is one queued change.
type write struct {
	ctx   context.Context
	apply func(c *changes) error
	err   error
	done  chan struct{}
}

// changes applies writes inside the writer's transaction.
type changes struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func (e *Engine) table(coll string) (*table, error) {
	if t := e.tables[coll]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: collection %q is not declared", store.ErrInvalid, coll)
}

// Insert implements store.Engine.
func (e *Engine) Insert(ctx context.Context, coll string, d store.Doc) error {
	t, err := e.table(coll)
	if err != nil {
		return err
	}
	if d, err = t.decl.Checked(d); err != nil {
		return err
	}
	index, err := encodeIndex(d.Index)
	if err != nil {
		return err
	}
	args := append([]any{d.ID, d.Body, index}, t.columnValues(d)...)
	return e.submit(ctx, func(c *changes) error {
		n, err := c.exec(t.insertSQL, args...)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: %s %s", store.ErrExists, coll, d.ID)
		}
		return c.addSides(t, d)
	})
}

// Replace implements store.Engine.
func (e *Engine) Replace(ctx context.Context, coll string, d store.Doc, ifVersion int64) error {
	t, err := e.table(coll)
	if err != nil {
		return err
	}
	if d, err = t.decl.Checked(d); err != nil {
		return err
	}
	index, err := encodeIndex(d.Index)
	if err != nil {
		return err
	}
	args := append([]any{d.Body, index}, t.columnValues(d)...)
	args = append(args, d.ID, ifVersion)
	return e.submit(ctx, func(c *changes) error {
		same, err := c.sameSides(t, d)
		if err != nil {
			return err
		}
		n, err := c.exec(t.replaceSQL, args...)
		if err != nil {
			return err
		}
		if n == 0 {
			return conflict(coll, d.ID, ifVersion)
		}
		if same {
			return nil
		}
		if err := c.dropSides(t, d.ID); err != nil {
			return err
		}
		return c.addSides(t, d)
	})
}

// Delete implements store.Engine.
func (e *Engine) Delete(ctx context.Context, coll, id string, ifVersion int64) error {
	t, err := e.table(coll)
	if err != nil {
		return err
	}
	return e.submit(ctx, func(c *changes) error {
		n, err := c.exec(t.deleteSQL, id, ifVersion)
		if err != nil {
			return err
		}
		if n == 0 {
			return conflict(coll, id, ifVersion)
		}
		return c.dropSides(t, id)
	})
}

// Ping implements store.Engine.
func (e *Engine) Ping(ctx context.Context) error {
	if _, err := e.read(ctx, "SELECT '', 0, x'', '{}'"); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

// Close implements store.Engine: it lets queued writes finish and gives the file back.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	close(e.queue)
	e.mu.Unlock()
	<-e.done
	if err := e.closeFiles(); err != nil {
		return fmt.Errorf("close sqlite store: %w", err)
	}
	return nil
}

func conflict(coll, id string, version int64) error {
	return fmt.Errorf("%w: %s %s is not at version %d", store.ErrConflict, coll, id, version)
}

func (t *table) columnValues(d store.Doc) []any {
	values := make([]any, 0, len(t.fields)+4)
	for _, f := range t.fields {
		values = append(values, store.Sortable(d.Index[f])) // nil, NULL, when absent
	}
	return values
}

// submit queues a change and waits for its commit, or for ctx; in the latter case the change may still happen, unless
// the writer finds ctx ended before it begins.
func (e *Engine) submit(ctx context.Context, apply func(*changes) error) error {
	if e.readOnly {
		return fmt.Errorf("%w: the file was opened to be read only", store.ErrInvalid)
	}
	w := &write{ctx: ctx, apply: apply, done: make(chan struct{})}
	e.mu.RLock()
	if e.closed {
		e.mu.RUnlock()
		return fmt.Errorf("%w: closed", store.ErrUnavailable)
	}
	select {
	case e.queue <- w:
		e.mu.RUnlock()
	case <-ctx.Done():
		e.mu.RUnlock()
		return fmt.Errorf("%w: %w, nothing was written", store.ErrUnavailable, ctx.Err())
	}
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w, it may have been written", store.ErrUnavailable, ctx.Err())
	}
}

// writer is the goroutine behind submit. It ends when the queue is closed and empty.
func (e *Engine) writer() {
	defer close(e.done)
	c := &changes{conn: e.conn, stmts: map[string]*sql.Stmt{}}
	for w := range e.queue {
		batch := []*write{w}
		for more := true; more && len(batch) < maxWriteBatch; {
			select {
			case w, open := <-e.queue:
				if more = open; open {
					batch = append(batch, w)
				}
			default:
				more = false
			}
		}
		c.commit(batch)
		for _, w := range batch {
			close(w.done)
		}
	}
	for _, stmt := range c.stmts {
		_ = stmt.Close() // the connection goes next
	}
}

// commit applies a batch in one transaction. If one of the writes fails for a reason other than a lost race, nothing
// was committed, and each gets a transaction of its own, so that it can't take its neighbours down. If COMMIT itself
// fails, the outcome of all is unknown and none is tried again: a second try could mistake the first for another's.
func (c *changes) commit(batch []*write) {
	err := c.begin()
	if err == nil {
		if err = c.applyAll(batch); err != nil && len(batch) > 1 {
			for _, w := range batch {
				c.commit([]*write{w})
			}
			return
		}
	}
	if err == nil {
		if _, err = c.exec("COMMIT"); err != nil {
			err = errors.Join(fmt.Errorf("%w: commit: %w", store.ErrUnavailable, err), c.rollback())
		}
	}
	if err == nil {
		return
	}
	for _, w := range batch {
		w.err = err
	}
}

func (c *changes) begin() error {
	_, err := c.exec("BEGIN IMMEDIATE")
	if err == nil {
		return nil
	}
	if rerr := c.rollback(); rerr != nil { // one that an earlier rollback could not end
		return errors.Join(err, rerr)
	}
	_, err = c.exec("BEGIN IMMEDIATE")
	return err
}

// applyAll sets each write's verdict: nil, ErrExists, ErrConflict or an ended context. With an error it has rolled back.
func (c *changes) applyAll(batch []*write) error {
	for _, w := range batch {
		if err := w.ctx.Err(); err != nil {
			w.err = fmt.Errorf("%w: %w, nothing was written", store.ErrUnavailable, err)
			continue
		}
		w.err = w.apply(c)
		if w.err != nil && !errors.Is(w.err, store.ErrExists) && !errors.Is(w.err, store.ErrConflict) {
			return errors.Join(w.err, c.rollback())
		}
	}
	return nil
}

// rollback ends a failed transaction; SQLite may have done so itself, which is no error.
func (c *changes) rollback() error {
	if _, err := c.exec("ROLLBACK"); err != nil && errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return nil
}

// exec runs a prepared statement on the writer's connection, outside of any caller's context: a transaction that
// others share is not interrupted.
func (c *changes) exec(query string, args ...any) (int64, error) {
	ctx := context.Background()
	stmt := c.stmts[query]
	if stmt == nil {
		var err error
		if stmt, err = c.conn.PrepareContext(ctx, query); err != nil {
			return 0, classify(ctx, "prepare", err)
		}
		c.stmts[query] = stmt
	}
	res, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, classify(ctx, "write", err)
	}
	n, err := res.RowsAffected()
	return n, classify(ctx, "rows affected", err)
}

// sameSides says that a document has its places in the side tables already. Most changes leave them as they are, and
// one read costs less than a row deleted and written again for each.
func (c *changes) sameSides(t *table, d store.Doc) (bool, error) {
	if len(t.sides) == 0 {
		return true, nil
	}
	var text string
	err := c.conn.QueryRowContext(context.Background(), "SELECT idx FROM "+t.name+" WHERE id = ?", d.ID).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, classify(context.Background(), "read index values", err)
	}
	old, err := decodeIndex(text)
	if err != nil {
		return false, err
	}
	for _, s := range t.sides {
		if !reflect.DeepEqual(s.ix.Tuples(store.Doc{ID: d.ID, Index: old}), s.ix.Tuples(d)) {
			return false, nil
		}
	}
	return true, nil
}

func (c *changes) addSides(t *table, d store.Doc) error {
	for _, s := range t.sides {
		for _, tuple := range s.ix.Tuples(d) {
			if _, err := c.exec(s.insertSQL, rowOf(tuple, d.ID)...); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *changes) dropSides(t *table, id string) error {
	for _, s := range t.sides {
		if _, err := c.exec(s.deleteSQL, id); err != nil {
			return err
		}
	}
	return nil
}
