package sqlite

import (
	"container/list"
	"sync"

	"github.com/trifecta-pay/trifecta/store"
)

const (
	writtenBytes    = 4 << 20  // of documents kept; each counts entryOverhead more than its body and index text
	writtenLargest  = 64 << 10 // larger bodies are not kept
	entryOverhead   = 512
	entryPerValue   = 64
	writtenCapacity = 1024 // first size of the map
)

// written keeps the documents that were committed or read last. Most reads are of something just written or read all the
// time, such as an API key, and a look here costs a tenth of one into the file.
//
// It is never older than the file: the lock on the file lets nobody else write, and the writer, alone, takes a document
// out before it changes it and puts it back as it is now once its COMMIT has returned. In between, and whenever that
// outcome is unknown, the document is not here, so the file is asked. Readers put in what they found only if nobody wrote
// anything meanwhile.
type written struct {
	mu      sync.Mutex
	docs    map[place]*list.Element // of *entry; nil after close
	order   list.List               // the one used last first
	bytes   int
	writing bool  // a transaction is under way
	begun   int64 // transactions so far
}

type place struct{ coll, id string }

// entry is a committed document; nobody changes it. text is its index values as they are stored.
type entry struct {
	place place
	doc   store.Doc
	text  string
}

func (e *entry) bytes() int {
	return len(e.doc.Body) + len(e.text) + len(e.doc.Index)*entryPerValue + entryOverhead
}

func newWritten() *written { return &written{docs: make(map[place]*list.Element, writtenCapacity)} }

// begin and end stand around each transaction and what it puts in.
func (w *written) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = true
	w.begun++
}

func (w *written) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = false
}

// moment is a time to tell keep of; 0 while somebody writes.
func (w *written) moment() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now()
}

func (w *written) now() int64 {
	if w.writing {
		return 0
	}
	return w.begun + 1
}

// keep puts a document in that was read from the file after a moment, unless something was written since.
func (w *written) keep(e *entry, since int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if since == 0 || since != w.now() {
		return false
	}
	w.set(e)
	return true
}

// get returns what is known of a document, or nil.
func (w *written) get(at place) *entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	el := w.docs[at]
	if el == nil {
		return nil
	}
	w.order.MoveToFront(el)
	e, _ := el.Value.(*entry) // nothing else is put in
	return e
}

// drop forgets a document, and returns what was known of it, or nil.
func (w *written) drop(at place) *entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.remove(w.docs[at])
}

func (w *written) remove(el *list.Element) *entry {
	if el == nil {
		return nil
	}
	e, _ := w.order.Remove(el).(*entry)
	delete(w.docs, e.place)
	w.bytes -= e.bytes()
	return e
}

// put keeps a document as it was just committed.
func (w *written) put(e *entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.set(e)
}

func (w *written) set(e *entry) {
	w.remove(w.docs[e.place])
	if w.docs == nil || len(e.doc.Body) > writtenLargest {
		return
	}
	w.docs[e.place] = w.order.PushFront(e)
	for w.bytes += e.bytes(); w.bytes > writtenBytes; {
		w.remove(w.order.Back())
	}
}

// close forgets all, and keeps nothing from then on.
func (w *written) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.docs, w.bytes = nil, 0
	w.order.Init()
}
