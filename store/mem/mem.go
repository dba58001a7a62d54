// Package mem is the store engine in memory: for unit tests and the simulator. It means what the other engines mean
// (enginetest), starts no goroutine, reads no clock and visits documents in a fixed order, so that a run can be
// repeated exactly. Faults come from store/faults around it. It must not be used where data has to survive.
package mem

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/trifecta-pay/trifecta/store"
)

// Engine keeps everything in maps and sorted lists behind one mutex. Make it with New.
type Engine struct {
	mu     sync.Mutex
	closed bool
	colls  map[string]*collection
}

var _ store.Engine = (*Engine)(nil)

type collection struct {
	decl store.Collection
	docs map[string]store.Doc
	// lists holds, per index name, the entries sorted by key; "" is the list of all documents by id.
	lists map[string][]entry
}

// entry places a document in a list. The key is the order-preserving encoding of the index's values and the id.
type entry struct{ key, id string }

// New returns an empty engine for the declared collections; ErrInvalid if a declaration is wrong.
func New(colls []store.Collection) (*Engine, error) {
	if err := store.CheckCollections(colls); err != nil {
		return nil, err
	}
	e := &Engine{colls: map[string]*collection{}}
	for _, c := range colls {
		e.colls[c.Name] = &collection{decl: c, docs: map[string]store.Doc{}, lists: map[string][]entry{}}
	}
	return e, nil
}

// Snapshot remembers everything as it is now. What it returns puts that back, as a restored backup does.
func (e *Engine) Snapshot() (restore func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.copied()
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.colls = was
		was = e.copied()
	}
}

// copied is a copy of all collections. A document that is stored is never written to, so copies share it.
func (e *Engine) copied() map[string]*collection {
	out := make(map[string]*collection, len(e.colls))
	for name, c := range e.colls {
		lists := make(map[string][]entry, len(c.lists))
		for of, list := range c.lists {
			lists[of] = slices.Clone(list)
		}
		out[name] = &collection{decl: c.decl, docs: maps.Clone(c.docs), lists: lists}
	}
	return out
}

// open locks the engine and finds the collection; the caller unlocks when err is nil.
func (e *Engine) open(ctx context.Context, coll string) (*collection, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	e.mu.Lock()
	c := e.colls[coll]
	switch {
	case e.closed:
		e.mu.Unlock()
		return nil, fmt.Errorf("%w: closed", store.ErrUnavailable)
	case c == nil:
		e.mu.Unlock()
		return nil, fmt.Errorf("%w: collection %q is not declared", store.ErrInvalid, coll)
	}
	return c, nil
}

// Insert implements store.Engine.
func (e *Engine) Insert(ctx context.Context, coll string, d store.Doc) error {
	c, err := e.open(ctx, coll)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	if d, err = c.decl.Checked(d); err != nil {
		return err
	}
	if _, ok := c.docs[d.ID]; ok {
		return fmt.Errorf("%w: %s %s", store.ErrExists, coll, d.ID)
	}
	d.Version = 1
	c.put(d)
	return nil
}

// Get implements store.Engine.
func (e *Engine) Get(ctx context.Context, coll, id string) (store.Doc, error) {
	c, err := e.open(ctx, coll)
	if err != nil {
		return store.Doc{}, err
	}
	defer e.mu.Unlock()
	d, ok := c.docs[id]
	if !ok {
		return store.Doc{}, fmt.Errorf("%w: %s %s", store.ErrNotFound, coll, id)
	}
	return d.Clone(), nil
}

// GetMany implements store.Engine.
func (e *Engine) GetMany(ctx context.Context, coll string, ids []string) ([]store.Doc, error) {
	c, err := e.open(ctx, coll)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	if ids, err = store.CheckIDs(ids); err != nil {
		return nil, err
	}
	return c.take(ids), nil
}

// Replace implements store.Engine.
func (e *Engine) Replace(ctx context.Context, coll string, d store.Doc, ifVersion int64) error {
	c, err := e.open(ctx, coll)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	if d, err = c.decl.Checked(d); err != nil {
		return err
	}
	old, ok := c.docs[d.ID]
	if !ok || old.Version != ifVersion {
		return fmt.Errorf("%w: %s %s is not at version %d", store.ErrConflict, coll, d.ID, ifVersion)
	}
	d.Version = ifVersion + 1
	c.drop(old)
	c.put(d)
	return nil
}

// Delete implements store.Engine.
func (e *Engine) Delete(ctx context.Context, coll, id string, ifVersion int64) error {
	c, err := e.open(ctx, coll)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	old, ok := c.docs[id]
	if !ok || old.Version != ifVersion {
		return fmt.Errorf("%w: %s %s is not at version %d", store.ErrConflict, coll, id, ifVersion)
	}
	c.drop(old)
	return nil
}

// Query implements store.Engine.
func (e *Engine) Query(ctx context.Context, coll string, q store.Query) ([]store.Doc, string, error) {
	c, err := e.open(ctx, coll)
	if err != nil {
		return nil, "", err
	}
	defer e.mu.Unlock()
	p, err := store.NewPlan(c.decl, q)
	if err != nil {
		return nil, "", err
	}
	docs, next := c.run(p)
	return docs, next, nil
}

// Scan implements store.Engine.
func (e *Engine) Scan(ctx context.Context, coll, after string, limit int) ([]store.Doc, string, error) {
	c, err := e.open(ctx, coll)
	if err != nil {
		return nil, "", err
	}
	defer e.mu.Unlock()
	p, err := store.ScanPlan(c.decl, after, limit)
	if err != nil {
		return nil, "", err
	}
	docs, next := c.run(p)
	return docs, next, nil
}

// Ping implements store.Engine.
func (e *Engine) Ping(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return fmt.Errorf("%w: closed", store.ErrUnavailable)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return nil
}

// Close implements store.Engine. Everything is lost.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed, e.colls = true, nil
	return nil
}

func (c *collection) put(d store.Doc) {
	c.docs[d.ID] = d
	c.eachEntry(d, func(list string, x entry) {
		at, _ := slices.BinarySearchFunc(c.lists[list], x, compareEntries)
		c.lists[list] = slices.Insert(c.lists[list], at, x)
	})
}

func (c *collection) drop(d store.Doc) {
	delete(c.docs, d.ID)
	c.eachEntry(d, func(list string, x entry) {
		if at, ok := slices.BinarySearchFunc(c.lists[list], x, compareEntries); ok {
			c.lists[list] = slices.Delete(c.lists[list], at, at+1)
		}
	})
}

func compareEntries(a, b entry) int { return strings.Compare(a.key, b.key) }

// eachEntry calls fn once for every place that d has in a list.
func (c *collection) eachEntry(d store.Doc, fn func(list string, x entry)) {
	fn("", entry{appendID(nil, d.ID), d.ID})
	for _, ix := range c.decl.Indexes {
		for _, tuple := range ix.Tuples(d) {
			fn(ix.Name, entry{appendID(appendValues(nil, tuple), d.ID), d.ID})
		}
	}
}

func (c *collection) take(ids []string) []store.Doc {
	var docs []store.Doc
	for _, id := range ids {
		if d, ok := c.docs[id]; ok {
			docs = append(docs, d.Clone())
		}
	}
	return docs
}

func (c *collection) run(p store.Plan) ([]store.Doc, string) {
	var docs []store.Doc
	for _, values := range p.Branches {
		docs = append(docs, c.branch(p, values)...)
	}
	return p.Page(p.Merge(docs))
}

// branch returns the first Limit+1 documents of one branch, in order.
func (c *collection) branch(p store.Plan, values []any) []store.Doc {
	prefix := appendValues(nil, values)
	low, high := p.From, p.To
	if p.Desc {
		low, high = p.To, p.From
	}
	list := c.lists[p.Index.Name]
	// After a value a key goes on with 'i', 's' or NUL, so prefix+0xff is past all that begins with prefix.
	from := position(list, lowKey(prefix, low))
	to := position(list, highKey(prefix, high))
	var ids []string
	for n := to - from; n > 0 && len(ids) <= p.Limit; n-- {
		at := to - n
		if p.Desc {
			at = from + n - 1
		}
		ids = append(ids, list[at].id)
	}
	return c.take(ids)
}

// position is the number of entries whose key is below key.
func position(list []entry, key string) int {
	at, _ := slices.BinarySearchFunc(list, entry{key: key}, compareEntries)
	return at
}

// lowKey is the smallest key that lies inside the range whose lower end is edge.
func lowKey(prefix []byte, edge *store.Edge) string {
	if edge == nil {
		return string(prefix)
	}
	return edgeKey(prefix, edge, !edge.Inclusive)
}

// highKey is the smallest key that lies beyond the range whose upper end is edge.
func highKey(prefix []byte, edge *store.Edge) string {
	if edge == nil {
		return string(prefix) + "\xff"
	}
	return edgeKey(prefix, edge, edge.Inclusive)
}

// edgeKey is the smallest key at edge, or past it (past all ids of a value, or just past one id). A position is
// exclusive at either end: as a lower end the keys past it are inside, as an upper end the key itself is outside.
func edgeKey(prefix []byte, edge *store.Edge, past bool) string {
	key := slices.Clone(prefix)
	if edge.Value != nil {
		key = appendValues(key, []any{edge.Value})
	}
	after := "\xff"
	if edge.ID != "" {
		key, after = []byte(appendID(key, edge.ID)), "\x00" // not 0xff: "ab" comes after "a"
	}
	if past {
		return string(key) + after
	}
	return string(key)
}

// appendValues encodes values so that comparing bytes compares values as store.Compare does.
func appendValues(key []byte, values []any) []byte {
	for _, v := range values {
		switch v := store.Sortable(v).(type) {
		case int64:
			key = binary.BigEndian.AppendUint64(append(key, 'i'), uint64(v)^(1<<63))
		case string:
			key = append(key, 's')
			key = append(key, strings.ReplaceAll(v, "\x00", "\x00\xff")...)
			key = append(key, 0, 1)
		}
	}
	return key
}

// appendID ends a key; no terminator is needed since ids hold no NUL and nothing follows.
func appendID(key []byte, id string) string { return string(key) + "\x00" + id }
