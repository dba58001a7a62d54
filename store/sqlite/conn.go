package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync"

	"modernc.org/sqlite"

	"github.com/trifecta-pay/trifecta/store"
)

// maxStatements bounds the statements that one connection keeps prepared. The texts are far fewer: collection, index,
// shape of the range, direction, and the fields that a Replace changes.
const maxStatements = 512

// conn is one connection to the file, for one goroutine at a time. It speaks to the driver without database/sql in
// between, which starts a goroutine for each statement whose context can end, copies each body once more, and costs more
// than the search itself.
type conn struct {
	driver driver.Conn
	stmts  map[string]statement
	args   []driver.NamedValue // reused: the driver keeps none
	row    []driver.Value      // likewise
}

// statement is what the driver's prepared statements can do.
type statement interface {
	driver.StmtExecContext
	driver.StmtQueryContext
	io.Closer
}

// connect opens a connection.
func connect(ctx context.Context, dsn string) (*conn, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	d, err := connector.Connect(ctx)
	if err != nil {
		return nil, classify(ctx, "open", err)
	}
	return &conn{driver: d, stmts: map[string]statement{}}, nil
}

func (c *conn) close() error {
	return errors.Join(c.forget(), c.driver.Close())
}

// forget drops the prepared statements.
func (c *conn) forget() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	clear(c.stmts)
	return errors.Join(errs...)
}

func (c *conn) prepared(ctx context.Context, query string) (statement, error) {
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	if len(c.stmts) >= maxStatements {
		if err := c.forget(); err != nil {
			return nil, classify(ctx, "close statement", err)
		}
	}
	made, err := c.driver.Prepare(query)
	if err != nil {
		return nil, classify(ctx, "prepare", err)
	}
	s, ok := made.(statement)
	if !ok {
		return nil, errors.Join(fmt.Errorf("sqlite: the driver's statement is a %T", made), made.Close())
	}
	c.stmts[query] = s
	return s, nil
}

// bind makes the driver's form of arguments; it is good until the next call.
func (c *conn) bind(args []any) []driver.NamedValue {
	c.args = c.args[:0]
	for i, v := range args {
		if n, ok := v.(int); ok {
			v = int64(n)
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return c.args
}

// exec runs a statement outside of any caller's context: a transaction that others share is not interrupted. It returns
// the number of rows changed.
func (c *conn) exec(query string, args ...any) (int64, error) {
	ctx := context.Background()
	s, err := c.prepared(ctx, query)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(ctx, c.bind(args))
	if err != nil {
		return 0, classify(ctx, "write", err)
	}
	n, err := res.RowsAffected()
	return n, classify(ctx, "rows affected", err)
}

// rows hands each row of a query to each, which may keep the values but not the slice. The end of ctx is seen between
// two rows, never within one: a row is a step in an index, as long as the file can be read, and a read that hangs in the
// operating system could not be interrupted anyway. What can be long (a count) runs through longRow.
func (c *conn) rows(ctx context.Context, query string, args []any, each func(row []driver.Value) error) error {
	return c.run(ctx, context.Background(), query, args, each)
}

// longRow is rows for a query whose single row may take long to come: it is interrupted when ctx ends.
func (c *conn) longRow(ctx context.Context, query string, args []any, each func(row []driver.Value) error) error {
	return c.run(ctx, ctx, query, args, each)
}

func (c *conn) run(ctx, within context.Context, query string, args []any, each func(row []driver.Value) error) (err error) {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: read: %w", store.ErrUnavailable, err)
	}
	s, err := c.prepared(ctx, query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(within, c.bind(args))
	if err != nil {
		return classify(ctx, "read", err)
	}
	defer func() {
		if cerr := rows.Close(); cerr != nil && err == nil {
			err = classify(ctx, "end read", cerr)
		}
	}()
	for n := len(rows.Columns()); len(c.row) < n; {
		c.row = append(c.row, nil)
	}
	row := c.row[:len(rows.Columns())]
	defer clear(row) // so that no document is held any longer
	for {
		switch err := rows.Next(row); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return classify(ctx, "read row", err)
		}
		if err := each(row); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%w: read: %w", store.ErrUnavailable, err)
		}
	}
}

// pool lends the readers' connections, the one used last first: its statements and pages are the warmest.
type pool struct {
	dsn   string
	slots chan struct{} // one token for each connection that is lent

	mu     sync.Mutex
	idle   []*conn
	closed bool
}

func newPool(dsn string) *pool { return &pool{dsn: dsn, slots: make(chan struct{}, readers)} }

// with runs fn on a connection, waiting for one until ctx ends. A connection that met an error is not used again.
func (p *pool) with(ctx context.Context, fn func(*conn) error) (err error) {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: read: %w", store.ErrUnavailable, err)
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: wait for a connection: %w", store.ErrUnavailable, ctx.Err())
	}
	defer func() { <-p.slots }()
	c, err := p.take(ctx)
	if err != nil {
		return err
	}
	sound := false
	defer func() {
		if !sound { // an error, or a panic, which must not leave a transaction open that keeps the log from being copied
			err = errors.Join(err, c.close())
		}
	}()
	if err := fn(c); err != nil {
		return err
	}
	sound = true
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, c)
	return nil
}

func (p *pool) take(ctx context.Context) (*conn, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, fmt.Errorf("%w: closed", store.ErrUnavailable)
	}
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	return connect(ctx, p.dsn)
}

// close waits for reads under way, and refuses those that come later.
func (p *pool) close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	var errs []error
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	for _, c := range p.idle {
		errs = append(errs, c.close())
	}
	p.idle = nil
	for range cap(p.slots) {
		<-p.slots // who still comes is told that it is closed
	}
	return errors.Join(errs...)
}
