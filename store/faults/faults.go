// Package faults puts faults on demand around any store engine: tests and the simulator make it fail, crash or lose an
// acknowledgement before or after a chosen named write. It is not for production, and it must not decide anything: no
// randomness, no clock, no counting; the hooks do that.
package faults

import (
	"context"
	"fmt"
	"slices"

	"github.com/trifecta-pay/trifecta/store"
)

// When says on which side of a write a hook is called.
type When uint8

// Before: nothing is written yet. After: it is written, and the caller does not know it.
const (
	Before When = iota + 1
	After
)

func (w When) String() string {
	if w == Before {
		return "before"
	}
	return "after"
}

// Options are the faults. The zero Options only check that writes are named.
type Options struct {
	// Write is called around each write. An error returned Before replaces the write; After, it replaces the
	// acknowledgement of a write that succeeded (it is not called after one that failed). Return something that wraps
	// store.ErrUnavailable for an outage or a lost acknowledgement, store.ErrConflict for a lost race (only Before).
	// Panic to crash: no lock is held.
	Write func(p store.WritePoint, when When) error
	// Read is called before each read with the method's name; an error replaces the answer.
	Read func(method string) error
	// Points, when not empty, are the only names that writes may have; normally store.WritePoints().
	Points []store.WritePoint
}

// Engine is the decorated engine. Make it with Wrap.
type Engine struct {
	inner store.Engine
	o     Options
}

var (
	_ store.Engine   = (*Engine)(nil)
	_ store.Importer = (*Engine)(nil)
)

// Wrap returns inner with faults. A write whose context has no name from store.WithPoint is refused with ErrInvalid, so
// that every test that uses it also finds writes that crash tests would not reach.
func Wrap(inner store.Engine, o Options) *Engine { return &Engine{inner: inner, o: o} }

func (e *Engine) write(ctx context.Context, what string, do func() error) error {
	p := store.PointOf(ctx)
	if p == "" || len(e.o.Points) > 0 && !slices.Contains(e.o.Points, p) {
		return fmt.Errorf("%w: %s at write point %q, which is not declared", store.ErrInvalid, what, p)
	}
	if err := e.hook(p, Before); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return e.hook(p, After)
}

func (e *Engine) hook(p store.WritePoint, when When) error {
	if e.o.Write == nil {
		return nil
	}
	if err := e.o.Write(p, when); err != nil {
		return fmt.Errorf("fault %s %s: %w", when, p, err)
	}
	return nil
}

func (e *Engine) read(method string) error {
	if e.o.Read == nil {
		return nil
	}
	if err := e.o.Read(method); err != nil {
		return fmt.Errorf("fault in %s: %w", method, err)
	}
	return nil
}

// Insert implements store.Engine.
func (e *Engine) Insert(ctx context.Context, coll string, d store.Doc) error {
	return e.write(ctx, "insert into "+coll, func() error { return e.inner.Insert(ctx, coll, d) })
}

// Replace implements store.Engine.
func (e *Engine) Replace(ctx context.Context, coll string, d store.Doc, ifVersion int64) error {
	return e.write(ctx, "replace in "+coll, func() error { return e.inner.Replace(ctx, coll, d, ifVersion) })
}

// Delete implements store.Engine.
func (e *Engine) Delete(ctx context.Context, coll, id string, ifVersion int64) error {
	return e.write(ctx, "delete from "+coll, func() error { return e.inner.Delete(ctx, coll, id, ifVersion) })
}

// Import implements store.Importer over an engine that is one.
func (e *Engine) Import(ctx context.Context, coll string, docs []store.Doc) error {
	inner, ok := e.inner.(store.Importer)
	if !ok {
		return fmt.Errorf("%w: the engine inside takes no documents over", store.ErrInvalid)
	}
	return e.write(ctx, "import into "+coll, func() error { return inner.Import(ctx, coll, docs) })
}

// Get implements store.Engine.
func (e *Engine) Get(ctx context.Context, coll, id string) (store.Doc, error) {
	if err := e.read("Get"); err != nil {
		return store.Doc{}, err
	}
	return e.inner.Get(ctx, coll, id)
}

// GetMany implements store.Engine.
func (e *Engine) GetMany(ctx context.Context, coll string, ids []string) ([]store.Doc, error) {
	if err := e.read("GetMany"); err != nil {
		return nil, err
	}
	return e.inner.GetMany(ctx, coll, ids)
}

// Query implements store.Engine.
func (e *Engine) Query(ctx context.Context, coll string, q store.Query) ([]store.Doc, string, error) {
	if err := e.read("Query"); err != nil {
		return nil, "", err
	}
	return e.inner.Query(ctx, coll, q)
}

// Scan implements store.Engine.
func (e *Engine) Scan(ctx context.Context, coll, after string, limit int) ([]store.Doc, string, error) {
	if err := e.read("Scan"); err != nil {
		return nil, "", err
	}
	return e.inner.Scan(ctx, coll, after, limit)
}

// Ping implements store.Engine.
func (e *Engine) Ping(ctx context.Context) error {
	if err := e.read("Ping"); err != nil {
		return err
	}
	return e.inner.Ping(ctx)
}

// Close implements store.Engine, without faults.
func (e *Engine) Close() error { return e.inner.Close() }
