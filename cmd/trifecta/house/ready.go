package house

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	lookout "github.com/trifecta-pay/trifecta/gateway/alerts/watch"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mongo"
)

// When a worker counts as stalled: longer than any step can take, one in which a
// provider hangs at every call included.
const stalledAfter = 10 * time.Minute

// readyWait is how long a readiness check may ask the store.
const readyWait = 2 * time.Second

// indexEvery is how often readiness looks at the indexes again: they are made once.
const indexEvery = time.Minute

// Check is one condition of readiness. Detail says what is wrong, without names of
// hosts, errors of drivers or anything secret.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// indexed is an engine whose indexes are made beforehand, by trifecta migrate.
type indexed interface {
	IndexDrift(ctx context.Context) ([]mongo.Drift, error)
}

// watch knows what readiness asks.
type watch struct {
	engine   store.Engine // the one below everything that wraps it
	wall     func() time.Time
	stopping atomic.Bool

	mu      sync.Mutex
	beats   map[string]time.Time // per worker, when a step last ended; zero: none has yet
	ends    map[string]lookout.Worker
	indexes Check
	asked   time.Time // when the indexes were last looked at
}

func newWatch(engine store.Engine, wall func() time.Time) *watch {
	return &watch{engine: engine, wall: wall, beats: map[string]time.Time{}, ends: map[string]lookout.Worker{}}
}

// expect names a worker that must step.
func (w *watch) expect(worker string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.beats[worker] = time.Time{}
}

// beat notes that a worker has ended a step, with an error, a panic or without: one poisoned
// item must not take every process out of service.
func (w *watch) beat(worker string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, expected := w.beats[worker]; expected {
		w.beats[worker] = w.wall()
	}
}

// ended notes how a step of a worker, or of a job of the schedule, ended.
func (w *watch) ended(worker string, ok bool, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.ends[worker]
	k.Name = worker
	switch {
	case ok:
		k.Good, k.Failing = now, time.Time{}
	case k.Failing.IsZero():
		k.Failing = now
	}
	w.ends[worker] = k
}

// health is how the steps of all workers have ended.
func (w *watch) health() []lookout.Worker {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.ends))
}

// checks are all conditions, those that don't hold included.
func (w *watch) checks(ctx context.Context) []Check {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	out := []Check{{Name: "running", OK: true}, {Name: "store", OK: true}}
	if w.stopping.Load() {
		out[0] = Check{Name: "running", Detail: "shutting down"}
	}
	if err := w.engine.Ping(ctx); err != nil {
		out[1] = Check{Name: "store", Detail: "does not answer"}
	}
	if drifts, ok := w.engine.(indexed); ok {
		out = append(out, w.indexCheck(ctx, drifts))
	}
	return append(out, w.workers()...)
}

func (w *watch) indexCheck(ctx context.Context, engine indexed) Check {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.wall()
	if w.indexes.OK && now.Sub(w.asked) < indexEvery {
		return w.indexes
	}
	drift, err := engine.IndexDrift(ctx)
	w.indexes, w.asked = Check{Name: "indexes", OK: true}, now
	missing := slices.ContainsFunc(drift, func(d mongo.Drift) bool { return d.Kind == mongo.Missing })
	switch {
	case err != nil:
		w.indexes = Check{Name: "indexes", Detail: "could not be looked at"}
	case missing:
		w.indexes = Check{Name: "indexes", Detail: "some are missing: run trifecta migrate"}
	}
	return w.indexes
}

func (w *watch) workers() []Check {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Check
	now := w.wall()
	for name, at := range w.beats {
		c := Check{Name: "worker/" + name, OK: true}
		switch {
		case at.IsZero():
			c.OK, c.Detail = false, "has not worked yet"
		case now.Sub(at) > stalledAfter:
			c.OK, c.Detail = false, fmt.Sprintf("stalled: no step has ended for %s", now.Sub(at).Truncate(time.Second))
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Check) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// Ready says whether this process should get traffic, and every condition.
func (h *House) Ready(ctx context.Context) (ok bool, checks []Check) {
	checks = h.watch.checks(ctx)
	return !slices.ContainsFunc(checks, func(c Check) bool { return !c.OK }), checks
}

// Stopping makes the house not ready: from now on it only finishes what it has.
func (h *House) Stopping() { h.watch.stopping.Store(true) }

// patience is how long this process waits for providers: until it is ended.
type patience struct {
	ctx context.Context
	end context.CancelFunc
}

func newPatience() patience {
	ctx, end := context.WithCancel(context.Background())
	return patience{ctx, end}
}

// Cut ends the wait for providers: calls under way come back with an unknown
// outcome, which is stored, and no other is sent.
func (h *House) Cut() { h.patience.end() }
