package store

import "sync"

// recent remembers what the last documents read or written decoded to, so that one
// that is read again in the version we know is not decoded again. It is never asked
// whether a document changed: that the engine says, with its version. A version is
// written once, by compare-and-swap, so it means the same content; but a document that
// is deleted and made again under its id begins its versions anew, so users compare the
// bytes too.
type recent[V any] struct {
	mu    sync.Mutex
	max   int
	known map[string]remembered[V]
	order []string // ring of ids, the oldest at next
	next  int
}

type remembered[V any] struct {
	version int64
	value   V
}

func newRecent[V any](most int) *recent[V] {
	return &recent[V]{max: most, known: make(map[string]remembered[V], most)}
}

// last returns what is known of a document, in whatever version.
func (r *recent[V]) last(id string) (value V, version int64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have, ok := r.known[id]
	return have.value, have.version, ok
}

// at returns the value of a document in this very version.
func (r *recent[V]) at(id string, version int64) (value V, ok bool) {
	value, have, ok := r.last(id)
	return value, ok && have == version
}

// put remembers a value, which nobody may change afterwards. An older version never
// replaces a newer one.
func (r *recent[V]) put(id string, version int64, value V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have, ok := r.known[id]
	switch {
	case ok && have.version > version:
		return
	case ok:
	case len(r.order) < r.max:
		r.order = append(r.order, id)
	default:
		delete(r.known, r.order[r.next])
		r.order[r.next] = id
		r.next = (r.next + 1) % r.max
	}
	r.known[id] = remembered[V]{version: version, value: value}
}
