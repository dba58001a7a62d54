package sqlite

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trifecta-pay/trifecta/store"
)

// fromFile reads past what is kept in memory.
func fromFile(t *testing.T, e *Engine, id string) (d store.Doc, found bool) {
	t.Helper()
	err := e.readers.with(t.Context(), func(c *conn) error {
		e, err := c.get(t.Context(), e.tables["things"], id)
		if e != nil {
			d, found = e.doc, true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return d, found
}

// Guards every reader: what is kept in memory of a document is what the file holds, whatever was written, refused or
// deleted, alone or in one transaction with others.
func TestWrittenIsWhatTheFileHolds(t *testing.T) {
	t.Parallel()
	e := openAt(t, tempFile(t), indexed())
	ids := []string{"a", "b", "c"}
	answered := 0
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(rt, "at once")
		hold, done := make(chan struct{}), make(chan error, n+1)
		go func() { done <- e.submit(t.Context(), func(*changes) error { <-hold; return nil }) }()
		for range n { // they queue up behind the first, so most share a transaction
			d := store.Doc{ID: rapid.SampledFrom(ids).Draw(rt, "id"), Index: drawIndex(rt)}
			d.Body = fmt.Appendf(nil, `{"n":%d}`, rapid.Int().Draw(rt, "n"))
			version := rapid.Int64Range(1, 3).Draw(rt, "version")
			if known, found := fromFile(t, e, d.ID); found && rapid.Bool().Draw(rt, "right") {
				version = known.Version
			}
			switch what := rapid.SampledFrom([]string{"insert", "replace", "replace", "delete", "import", "fail", "read", "read"}).Draw(rt, "what"); what {
			case "insert":
				go func() { done <- e.Insert(t.Context(), "things", d) }()
			case "replace":
				go func() { done <- e.Replace(t.Context(), "things", d, version) }()
			case "delete":
				go func() { done <- e.Delete(t.Context(), "things", d.ID, version) }()
			case "import":
				d.Version = version
				go func() { done <- e.Import(t.Context(), "things", []store.Doc{d}) }()
			case "read":
				go func() {
					if _, err := e.Get(t.Context(), "things", d.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
						done <- err
						return
					}
					done <- nil
				}()
			case "fail": // takes its transaction down, and the others are tried one by one
				go func() {
					_ = e.submit(t.Context(), func(c *changes) error { _, err := c.exec("nonsense"); return err })
					done <- nil
				}()
			}
		}
		close(hold)
		for range n + 1 {
			if err := <-done; err != nil && !errors.Is(err, store.ErrExists) && !errors.Is(err, store.ErrConflict) {
				rt.Fatal(err)
			}
		}
		for _, id := range ids {
			known := e.written.get(place{"things", id})
			if known == nil {
				continue
			}
			answered++
			want, found := fromFile(t, e, id)
			if diff := cmp.Diff(want, known.doc); !found || diff != "" {
				rt.Fatalf("%s: in the file %v, differs (-file +memory):\n%s", id, found, diff)
			}
		}
	})
	if answered < 50 {
		t.Errorf("only %d answers came from memory", answered)
	}
}

// Guards every reader: versions never go back, whether the file or the memory is asked, and no acknowledged write is
// missed.
func TestReadsNeverGoBack(t *testing.T) {
	t.Parallel()
	e := openAt(t, tempFile(t), indexed())
	d := store.Doc{ID: "a", Body: []byte(`{}`), Index: map[string]any{"app": "x"}}
	if err := e.Insert(t.Context(), "things", d); err != nil {
		t.Fatal(err)
	}
	var acked atomic.Int64
	acked.Store(1)
	const last = 300
	done := make(chan error, 3)
	for r := range 3 {
		go func() {
			seen := int64(0)
			for seen < last {
				least := max(seen, acked.Load())
				var got store.Doc
				docs, _, err := e.Scan(t.Context(), "things", "", 1)
				if err == nil {
					got = docs[0]
					if got.Version >= least {
						least = got.Version
						got, err = e.Get(t.Context(), "things", "a")
					}
				}
				if err != nil || got.Version < least {
					done <- fmt.Errorf("reader %d: version %d after %d: %w", r, got.Version, least, err)
					return
				}
				seen = got.Version
			}
			done <- nil
		}()
	}
	for version := int64(1); version < last; version++ {
		d.Body = fmt.Appendf(nil, `{"n":%d}`, version)
		if err := e.Replace(t.Context(), "things", d, version); err != nil {
			t.Error(err)
			acked.Store(last)
			break
		}
		acked.Store(version + 1)
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// Guards I4: a change that did not get onto the disk is not read from memory either.
func TestWrittenForgetsWhatFailed(t *testing.T) {
	t.Parallel()
	e := openAt(t, tempFile(t), indexed())
	d := store.Doc{ID: "a", Body: []byte(`{"old":true}`)}
	if err := e.Insert(t.Context(), "things", d); err != nil {
		t.Fatal(err)
	}
	pragma(t, e, "PRAGMA max_page_count = 1")
	big := store.Doc{ID: "a", Body: []byte(`{"x":"` + strings.Repeat("y", 60_000) + `"}`)}
	if err := e.Replace(t.Context(), "things", big, 1); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("on a full disk: %v", err)
	}
	if got, err := e.Get(t.Context(), "things", "a"); err != nil || got.Version != 1 || string(got.Body) != string(d.Body) {
		t.Errorf("read %+v, %v", got, err)
	}
}

// Guards memory: what is kept stays within its bound, the oldest goes first, and nothing large is kept.
func TestWrittenIsBounded(t *testing.T) {
	t.Parallel()
	w := newWritten()
	put := func(id string, bytes int) {
		w.put(&entry{place: place{"things", id}, doc: store.Doc{ID: id, Body: make([]byte, bytes)}})
	}
	put("first", 100)
	put("large", writtenLargest+1)
	for i := range 3 * writtenBytes / writtenLargest {
		put(fmt.Sprint("d", i), writtenLargest)
		put("again", 100)
	}
	sum := 0
	for _, el := range w.docs {
		e, _ := el.Value.(*entry)
		sum += e.bytes()
	}
	if w.bytes != sum || sum > writtenBytes || sum < writtenBytes/2 || w.order.Len() != len(w.docs) {
		t.Errorf("%d bytes counted, %d kept, %d in order, %d in the map", w.bytes, sum, w.order.Len(), len(w.docs))
	}
	if w.get(place{"things", "first"}) != nil || w.get(place{"things", "large"}) != nil || w.get(place{"things", "again"}) == nil {
		t.Error("kept the wrong ones")
	}
	w.close()
	put("later", 1)
	if w.get(place{"things", "again"}) != nil || w.get(place{"things", "later"}) != nil || w.bytes != 0 {
		t.Error("keeps after close")
	}
}

// Guards every reader: what a reader found is kept for the next one, who may do with it what he likes, but never what was
// read before a write, whether that has ended or not.
func TestReadsAreKept(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	e := openAt(t, path, indexed())
	at := place{"things", "a"}
	if err := e.Insert(t.Context(), "things", store.Doc{ID: "a", Body: []byte(`{"n":1}`), Index: map[string]any{"app": "x"}}); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openAt(t, path, indexed())
	if e.written.get(at) != nil {
		t.Fatal("something is known of a file just opened")
	}
	for range 2 {
		d, err := e.Get(t.Context(), "things", "a")
		if err != nil || string(d.Body) != `{"n":1}` || d.Index["app"] != "x" {
			t.Fatalf("read %s %v, %v", d.Body, d.Index, err)
		}
		d.Body[1], d.Index["app"] = '!', "y"
	}
	known := e.written.get(at)
	if known == nil {
		t.Fatal("what was read is not kept")
	}
	old := *known
	before := e.written.moment()
	if err := e.Delete(t.Context(), "things", "a", 1); err != nil {
		t.Fatal(err)
	}
	if e.written.keep(&old, before) || e.written.get(at) != nil {
		t.Error("what was read before the document was deleted is kept")
	}
	e.written.begin()
	if during := e.written.moment(); during != 0 || e.written.keep(&old, during) {
		t.Error("what is read while somebody writes is kept")
	}
	e.written.end()
}
