package mongo

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
)

// Guards "one poisoned item never stops the rest": a document whose version somebody's shell or import tool wrote as
// another kind of number is one unreadable record in the work that is due, and hides no other. Read by itself, or by
// what copies and erases, it is an error.
func TestForeignDocumentHidesNoOther(t *testing.T) {
	t.Parallel()
	s := wiretest.Start(t, wiretest.Options{})
	e := migrated(t, s.URL("t"), enginetest.Collections())
	at := time.UnixMilli(1_772_366_100_000).UTC()
	for i, id := range []string{"a", "b", "c"} {
		d := store.Doc{ID: id, Body: []byte(`{"n":1}`), Index: map[string]any{"state": "open", "due": at.Add(time.Duration(i) * time.Second)}}
		if err := e.Insert(t.Context(), things, d); err != nil {
			t.Fatal(err)
		}
	}
	foreign := bson.D{{Key: "_id", Value: "b"}, {Key: "v", Value: int32(2)}, {Key: "b", Value: `{"n":1}`}, {Key: "state", Value: "open"}, {Key: "due", Value: at.Add(time.Second)}}
	ctx, cancel := context.WithTimeout(t.Context(), e.timeout)
	defer cancel()
	if _, err := e.colls[things].c.ReplaceOne(ctx, bson.D{{Key: "_id", Value: "b"}}, foreign); err != nil {
		t.Fatal(err)
	}
	var found []string
	q := store.Query{Index: "due", SortBy: "due", Where: []store.Filter{store.Where("state", store.Eq, "open")}, Limit: 1}
	for more := true; more; more = q.After != "" {
		docs, next, err := e.Query(t.Context(), things, q)
		if err != nil {
			t.Fatalf("what is due can't be read: %v", err)
		}
		for _, d := range docs {
			found = append(found, d.ID)
			if told := strings.Contains(string(d.Body), "field v is a 32-bit integer"); told != (d.ID == "b") {
				t.Errorf("%s has the body %s", d.ID, d.Body)
			}
		}
		q.After = next
	}
	if got := strings.Join(found, " "); got != "a b c" {
		t.Errorf("found %q, want a b c", got)
	}
	if _, err := e.Get(t.Context(), things, "b"); err == nil || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "document b of things") {
		t.Errorf("get: %v", err)
	}
	if _, _, err := e.Scan(t.Context(), things, "", 0); err == nil || !strings.Contains(err.Error(), "document b of things") {
		t.Errorf("scan: %v", err)
	}
}

// Guards "a fail-over is usually not seen at all" for reads that waited for a connection while another one was cut: the
// driver then turns all of them away, and repeats only its own commands.
func TestReadsThatWaitedForAConnection(t *testing.T) {
	t.Parallel()
	s := wiretest.Start(t, wiretest.Options{})
	e := migrated(t, s.URL("t")+"&maxPoolSize=1", enginetest.Collections())
	if err := e.Insert(t.Context(), things, store.Doc{ID: "old", Body: []byte(`{"n":1}`)}); err != nil {
		t.Fatal(err)
	}
	s.Inject(wiretest.Fault{Command: "find", Delay: 300 * time.Millisecond, Cut: true})
	const waiting = 6
	errs := make([]error, waiting)
	var wg sync.WaitGroup
	for i := range waiting {
		wg.Go(func() { _, errs[i] = e.Get(t.Context(), things, "old") })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Errorf("reads that a second try would have answered: %v", err)
	}
}
