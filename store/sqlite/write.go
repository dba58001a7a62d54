package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/trifecta-pay/trifecta/store"
)

// Engine is a store.Engine on one SQLite file. Make it with Open.
//
// All writes go through one goroutine, which commits what has queued up meanwhile in one transaction: one fsync serves
// many callers, and nobody is told "written" before the commit that holds the write has returned.
type Engine struct {
	lock    io.Closer
	conn    *conn // the only connection that writes; used by Open, then by the writer alone
	readers *pool
	tables  map[string]*table
	written *written

	readOnly bool
	absent   map[string]bool // collections that a file opened to be read lacks

	mu     sync.RWMutex // held for reading while sending to queue
	closed bool
	queue  chan *write
	done   chan struct{} // closed when the writer has ended
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
	*conn
	written *written
	wrote   []*entry // in this transaction
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
		d.Version = 1
		c.wrote = append(c.wrote, &entry{place: place{coll, d.ID}, doc: d, text: index})
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
	return e.submit(ctx, func(c *changes) error { return c.replace(t, d, index, ifVersion) })
}

// Delete implements store.Engine.
func (e *Engine) Delete(ctx context.Context, coll, id string, ifVersion int64) error {
	t, err := e.table(coll)
	if err != nil {
		return err
	}
	return e.submit(ctx, func(c *changes) error {
		old, found, err := c.indexAt(t, place{coll, id}, ifVersion)
		if err != nil {
			return err
		}
		if !found {
			return conflict(coll, id, ifVersion)
		}
		if _, err := c.exec(t.deleteSQL, id, ifVersion); err != nil {
			return err
		}
		return c.dropSides(t, id, old)
	})
}

// Ping implements store.Engine.
func (e *Engine) Ping(ctx context.Context) error {
	err := e.readers.with(ctx, func(c *conn) error {
		return c.rows(ctx, "SELECT 1", nil, func([]driver.Value) error { return nil })
	})
	if err != nil {
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
	c := &changes{conn: e.conn, written: e.written}
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
		e.written.begin()
		c.commit(batch)
		e.written.end()
		for _, w := range batch {
			close(w.done)
		}
	}
}

// commit applies a batch in one transaction. If one of the writes fails for a reason other than a lost race, nothing
// was committed, and each gets a transaction of its own, so that it can't take its neighbours down. If COMMIT itself
// fails, the outcome of all is unknown and none is tried again: a second try could mistake the first for another's.
func (c *changes) commit(batch []*write) {
	c.wrote = c.wrote[:0]
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
		for _, e := range c.wrote {
			c.written.put(e)
		}
		clear(c.wrote)
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

// replace writes a document over its version. Of its places in indexes it touches only those that change: most changes
// leave most of them as they are, and each would be pages to write, to sync and to copy into the file later.
func (c *changes) replace(t *table, d store.Doc, index string, ifVersion int64) error {
	at := place{t.decl.Name, d.ID}
	old, found, err := c.indexAt(t, at, ifVersion)
	if err != nil {
		return err
	}
	if !found {
		return conflict(t.decl.Name, d.ID, ifVersion)
	}
	before := d.Index // the same text is the same values
	if old != index {
		if before, err = decodeIndex(old); err != nil {
			return fmt.Errorf("document %s: %w", d.ID, err)
		}
	}
	args := append(make([]any, 0, len(t.fields)+4), d.Body, index)
	var changed uint64
	for i, f := range t.fields {
		was, is := store.Sortable(before[f]), store.Sortable(d.Index[f]) // nil, NULL, when absent
		if was != is || i >= 63 {
			changed |= 1 << min(i, 63)
			args = append(args, is)
		}
	}
	n, err := c.exec(t.replacing(changed), append(args, d.ID, ifVersion)...)
	if err != nil {
		return err
	}
	if n == 0 {
		return conflict(t.decl.Name, d.ID, ifVersion)
	}
	d.Version = ifVersion + 1
	c.wrote = append(c.wrote, &entry{place: at, doc: d, text: index})
	if old == index {
		return nil
	}
	return c.moveSides(t, before, d)
}

// indexAt takes a document in this version out of what is known and returns its index values as they are stored.
func (c *changes) indexAt(t *table, at place, version int64) (text string, found bool, err error) {
	if known := c.forgets(at); known != nil {
		return known.text, known.doc.Version == version, nil
	}
	err = c.rows(context.Background(), t.indexSQL, []any{at.id, version}, func(row []driver.Value) error {
		text, found = row[0].(string)
		return nil
	})
	return text, found, err
}

// forgets takes a document that is about to change out of what is known, and out of what this transaction will make
// known. It returns what was known as committed, unless this transaction has changed it.
func (c *changes) forgets(at place) *entry {
	c.wrote = slices.DeleteFunc(c.wrote, func(e *entry) bool { return e.place == at })
	return c.written.drop(at)
}

// replacing is the statement that changes some fields: bit i is field i, the last one all from there on.
func (t *table) replacing(changed uint64) string {
	if text := t.replaceSQL[changed]; text != "" {
		return text
	}
	sets := ""
	for i, f := range t.fields {
		if changed&(1<<min(i, 63)) != 0 {
			sets += ", f_" + f + " = ?"
		}
	}
	text := fmt.Sprintf("UPDATE %s SET version = version + 1, body = ?, idx = ?%s WHERE id = ? AND version = ?", t.name, sets)
	t.replaceSQL[changed] = text
	return text
}

// moveSides brings a document's places in the side tables from what they were to what they are.
func (c *changes) moveSides(t *table, before map[string]any, d store.Doc) error {
	for _, s := range t.sides {
		was, is := s.ix.Tuples(store.Doc{ID: d.ID, Index: before}), s.ix.Tuples(d)
		if err := c.eachBut(s.deleteSQL, d.ID, was, is); err != nil {
			return err
		}
		if err := c.eachBut(s.insertSQL, d.ID, is, was); err != nil {
			return err
		}
	}
	return nil
}

// eachBut runs a side table's statement for each place that is not among others.
func (c *changes) eachBut(statement, id string, tuples, others [][]any) error {
	for _, tuple := range tuples {
		if slices.ContainsFunc(others, func(other []any) bool { return slices.Equal(other, tuple) }) {
			continue
		}
		if _, err := c.exec(statement, rowOf(tuple, id)...); err != nil {
			return err
		}
	}
	return nil
}

func (c *changes) addSides(t *table, d store.Doc) error { return c.moveSides(t, nil, d) }

// dropSides takes a document out of the side tables; index are its values there as they are stored.
func (c *changes) dropSides(t *table, id, index string) error {
	if len(t.sides) == 0 {
		return nil
	}
	before, err := decodeIndex(index)
	if err != nil {
		return fmt.Errorf("document %s: %w", id, err)
	}
	return c.moveSides(t, before, store.Doc{ID: id})
}
