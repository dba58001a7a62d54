package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
)

// Guards I4: a full disk is an outage: nothing is acknowledged, nothing is half there, and when there is space again the
// same engine goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	e := openAt(t, tempFile(t), enginetest.Collections())
	limit := func(pages string) {
		t.Helper()
		if got := pragma(t, e, "PRAGMA max_page_count = "+pages); got != pages {
			t.Fatalf("%s pages", got)
		}
	}
	insert := func(i int) error {
		return e.Insert(t.Context(), "things", store.Doc{
			ID: fmt.Sprint("d", i), Body: []byte(`{"x":"` + strings.Repeat("y", 20_000) + `"}`),
			Index: map[string]any{"app": "x", "created": time.Unix(0, 0), "tags": []string{"t"}},
		})
	}
	limit("100")
	stored, failed := 0, 0
	for i := range 60 {
		switch err := insert(i); {
		case err == nil:
			stored++
		case errors.Is(err, store.ErrUnavailable):
			failed++
		default:
			t.Fatalf("insert %d: %v", i, err)
		}
	}
	if stored == 0 || failed == 0 {
		t.Fatalf("%d stored, %d failed", stored, failed)
	}
	limit("100000")
	if err := insert(1000); err != nil {
		t.Errorf("with space again: %v", err)
	}
	docs, _, err := e.Query(t.Context(), "things", store.Query{Index: "by_tag", Where: []store.Filter{store.Where("tags", store.Eq, "t")}})
	if err != nil || len(docs) != stored+1 {
		t.Errorf("%d documents by tag, %d acknowledged, %v", len(docs), stored+1, err)
	}
}

// Guards: a write that fails for its own reason does not take down the ones that share its transaction.
func TestBatchNeighbours(t *testing.T) {
	t.Parallel()
	e := openAt(t, tempFile(t), enginetest.Collections())
	hold, held := make(chan struct{}), make(chan struct{})
	done := make(chan error, 8)
	go func() {
		done <- e.submit(t.Context(), func(*changes) error { close(held); <-hold; return nil })
	}()
	<-held // the writer is busy: what follows queues up into one batch
	bad := make(chan error, 1)
	go func() {
		bad <- e.submit(t.Context(), func(c *changes) error { _, err := c.exec("INSERT INTO nowhere VALUES (1)"); return err })
	}()
	for i := range 7 {
		go func() {
			done <- e.Insert(t.Context(), "plain", store.Doc{ID: fmt.Sprint("d", i), Body: []byte(`{}`)})
		}()
	}
	for len(e.queue) < 8 {
		runtime.Gosched() // the senders are on their way; go test's deadline ends a hang
	}
	close(hold)
	if err := <-bad; err == nil || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the bad write: %v", err)
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Errorf("a neighbour: %v", err)
		}
	}
	docs, _, err := e.Scan(t.Context(), "plain", "", 0)
	if err != nil || len(docs) != 7 {
		t.Errorf("%d of 7 stored, %v", len(docs), err)
	}
}

// Guards: a caller that gives up while its write waits is told "unknown", and Close lets what was accepted finish.
func TestGiveUpWhileQueued(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	e := openAt(t, path, enginetest.Collections())
	hold, held := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- e.submit(t.Context(), func(*changes) error { close(held); <-hold; return nil })
	}()
	<-held
	ctx, cancel := context.WithCancel(t.Context())
	gone, stays, closed := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() { gone <- e.Insert(ctx, "plain", store.Doc{ID: "gone", Body: []byte(`{}`)}) }()
	go func() { stays <- e.Insert(t.Context(), "plain", store.Doc{ID: "stays", Body: []byte(`{}`)}) }()
	for len(e.queue) < 2 {
		runtime.Gosched() // the senders are on their way; go test's deadline ends a hang
	}
	cancel()
	if err := <-gone; !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("gave up: %v", err)
	}
	go func() { closed <- e.Close() }()
	close(hold)
	for what, c := range map[string]chan error{"first": first, "second": stays, "close": closed} {
		if err := <-c; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	e = openAt(t, path, enginetest.Collections())
	if _, err := e.Get(t.Context(), "plain", "stays"); err != nil {
		t.Errorf("acknowledged before Close: %v", err)
	}
	if _, err := e.Get(t.Context(), "plain", "gone"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("given up before it began: %v", err)
	}
}
