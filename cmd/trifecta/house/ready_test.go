package house

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mongo"
)

// moody is a store that is away or incomplete when a test says so.
type moody struct {
	store.Engine
	away  bool
	drift []mongo.Drift
}

func (m *moody) Ping(ctx context.Context) error {
	if m.away {
		return store.ErrUnavailable
	}
	return m.Engine.Ping(ctx)
}

func (m *moody) IndexDrift(context.Context) ([]mongo.Drift, error) {
	if m.away {
		return nil, store.ErrUnavailable
	}
	return m.drift, nil
}

// Promise: a process says that it is ready only when its store answers and is
// complete, every worker has worked and none stands still, and it is not shutting
// down; it names what is wrong, and is healthy all the while.
func TestReadyMeansReady(t *testing.T) {
	e := &moody{Engine: shared(t)}
	c := &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	h := build(t, e, c)
	ask := func(path string) (int, []string) {
		t.Helper()
		rec := httptest.NewRecorder()
		h.Internal().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		var body struct{ Checks []Check }
		if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
			t.Fatalf("%s: %s", path, rec.Body)
		}
		return rec.Code, failing(body.Checks)
	}
	want := func(when string, failing ...string) {
		t.Helper()
		code, got := ask("/readyz")
		if ok := len(failing) == 0; (code == http.StatusOK) != ok || len(got) < len(failing) || ok && len(got) > 0 {
			t.Fatalf("%s: %d, %v, want %v", when, code, got, failing)
		}
		for _, f := range failing {
			if !slices.ContainsFunc(got, func(g string) bool { return strings.HasPrefix(g, f+": ") }) {
				t.Errorf("%s: %v, want %s", when, got, f)
			}
		}
		if code, _ := ask("/healthz"); code != http.StatusOK {
			t.Errorf("%s: not healthy", when)
		}
	}
	want("before any work", "worker/operations", "worker/inbox", "worker/feed", "worker/presence", "worker/settings", "worker/shares")
	work := func(but string) {
		for _, w := range h.workers {
			if w.Name != but {
				h.step(t.Context(), w)
			}
		}
	}
	work("")
	want("after every worker has worked")
	e.away = true
	work("")
	want("without a store", "store")
	e.away = false
	work("")
	want("with the store back")
	c.now = c.now.Add(stalledAfter + time.Second)
	work("inbox")
	want("when one worker stands still", "worker/inbox")
	work("")
	want("when it goes on")
	c.now = c.now.Add(indexEvery)
	e.drift = []mongo.Drift{{Kind: mongo.Extra}, {Kind: mongo.Missing}}
	want("without an index", "indexes")
	e.drift = e.drift[:1]
	want("with an index too many")
	h.Stopping()
	want("when it shuts down", "running")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}

// Promise: one record that makes a worker panic takes no process out of service, however often it is
// met: the worker has not stalled. An alert tells that it fails.
func TestPanickingWorkerStaysReady(t *testing.T) {
	c := &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	h := build(t, shared(t), c)
	for i := range h.workers {
		if h.workers[i].Name == workerInbox {
			h.workers[i].Step = func(context.Context) (int, time.Time, error) { panic("this one record") }
		}
	}
	for range 40 {
		for _, w := range h.workers {
			h.step(t.Context(), w)
		}
		c.now = c.now.Add(time.Minute)
	}
	if ok, checks := h.Ready(t.Context()); !ok {
		t.Errorf("not ready: %v", failing(checks))
	}
	found := alertsAfter(t, h, c, 1)
	if !slices.ContainsFunc(found, func(a gateway.AlertRecord) bool {
		return a.Kind == "worker_failing" && strings.Contains(a.Message, " "+workerInbox+" ")
	}) {
		t.Errorf("nobody is told that the worker fails: %+v", found)
	}
}
