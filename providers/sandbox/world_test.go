package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// network is an in-memory endpoint: it answers from a script, then 200.
type network struct {
	mu      sync.Mutex
	script  []int // 0: no answer at all
	bodies  []string
	stamps  []string
	onEvent func()
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.bodies = append(n.bodies, string(body))
	n.stamps = append(n.stamps, r.Header.Get("X-Stamp"))
	if n.onEvent != nil {
		n.onEvent()
	}
	status := http.StatusOK
	if len(n.script) > 0 {
		status, n.script = n.script[0], n.script[1:]
	}
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: status, Body: http.NoBody, Header: http.Header{"Location": {"http://elsewhere"}}, Request: r}, nil
}

// newWorld is a world whose wall clock stands still, with one endpoint.
func newWorld(t *testing.T, change func(*sandbox.Options)) (*sandbox.World, *network) {
	t.Helper()
	n := &network{}
	o := sandbox.Options{Wall: func() time.Time { return start }, Seed: 7, Client: &http.Client{Transport: n}}
	if change != nil {
		change(&o)
	}
	w := sandbox.NewWorld(o)
	w.SetSigner("x", func(_ sandbox.Endpoint, ev sandbox.Event, attempt int, wall time.Time) (http.Header, error) {
		return http.Header{"X-Stamp": {fmt.Sprint(ev.ID, " ", attempt, " ", wall.Unix())}}, nil
	})
	w.AddEndpoint(sandbox.Endpoint{URL: "http://hook", API: "x"})
	return w, n
}

func emit(w *sandbox.World, id string) {
	w.Emit(sandbox.Event{ID: id, Type: "t", Object: "o_" + id, API: "x", Body: []byte(id)})
}

// The virtual clock is wall clock plus what was advanced, and never goes back.
func TestClock(t *testing.T) {
	t.Parallel()
	wall := start
	w, _ := newWorld(t, func(o *sandbox.Options) { o.Wall = func() time.Time { return wall } })
	w.Advance(t.Context(), time.Hour)
	w.Advance(t.Context(), -time.Hour)
	wall = wall.Add(time.Minute)
	if got := w.Now().Sub(start); got != 61*time.Minute {
		t.Errorf("clock moved by %v", got)
	}
}

// Ids and fault draws repeat from their seed: a failing run can be replayed.
func TestSeedRepeats(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) string {
		w, n := newWorld(t, func(o *sandbox.Options) { o.Seed = seed })
		if err := w.SetFaults(sandbox.Faults{Seed: seed, Webhooks: sandbox.WebhookFaults{Drop: 0.3, Duplicate: 0.3, DelayMS: [2]int64{0, 5000}, Reorder: true}}); err != nil {
			t.Fatal(err)
		}
		for i := range 30 {
			emit(w, fmt.Sprint("e", i))
		}
		w.Advance(t.Context(), time.Minute)
		return w.NewID("a_", 8) + w.Hex(8) + strings.Join(n.bodies, ",")
	}
	first, again, other := run(1), run(1), run(2)
	if first != again || first == other {
		t.Error("seed does not decide the run")
	}
}

// A delivery is retried with growing pauses of the virtual clock until a 2xx, each
// attempt stamped anew with the wall clock; redirects and silence are failures.
func TestDeliveryRetries(t *testing.T) {
	t.Parallel()
	w, n := newWorld(t, nil)
	n.script = []int{500, 302, 0, 400}
	emit(w, "e1")
	w.Advance(t.Context(), time.Hour)
	var at []string
	for _, a := range w.Deliveries("x")[0].Attempts {
		at = append(at, fmt.Sprint(a.At.Sub(start), " ", a.Status))
	}
	want := []string{"0s 500", "1s 302", "6s 0", "36s 400", "2m36s 200"}
	if diff := cmp.Diff(want, at); diff != "" {
		t.Error(diff)
	}
	stamp := fmt.Sprint(start.Unix())
	if diff := cmp.Diff([]string{"e1 1 " + stamp, "e1 2 " + stamp, "e1 3 " + stamp, "e1 4 " + stamp, "e1 5 " + stamp}, n.stamps); diff != "" {
		t.Error(diff)
	}
	if w.PendingDeliveries("x", "e1") != 0 {
		t.Error("still pending")
	}
}

// Retries end after about three days; removing an endpoint ends them at once.
func TestDeliveryGivesUp(t *testing.T) {
	t.Parallel()
	w, n := newWorld(t, nil)
	n.script = slices.Repeat([]int{503}, 1000)
	emit(w, "e1")
	w.Advance(t.Context(), 10*24*time.Hour)
	all := w.Deliveries("x")[0].Attempts
	if last := all[len(all)-1].At.Sub(start); last < 2*24*time.Hour || last > 3*24*time.Hour || !w.NextDue().IsZero() {
		t.Errorf("last of %d attempts after %v, next %v", len(all), last, w.NextDue())
	}
	emit(w, "e2")
	w.Advance(t.Context(), 0)
	if !w.RemoveEndpoint("x", w.Endpoints("x")[0].ID) {
		t.Fatal("no endpoint")
	}
	before := len(n.bodies)
	w.Advance(t.Context(), 10*24*time.Hour)
	if len(n.bodies) != before || w.PendingDeliveries("x", "e2") != 0 {
		t.Error("a removed endpoint got webhooks")
	}
}

// Dropped webhooks are recorded and never sent, but the event list has them and a
// resend brings them; duplicates come twice.
func TestDropAndDuplicate(t *testing.T) {
	t.Parallel()
	w, n := newWorld(t, nil)
	set := func(f sandbox.WebhookFaults) {
		if err := w.SetFaults(sandbox.Faults{Webhooks: f}); err != nil {
			t.Fatal(err)
		}
	}
	set(sandbox.WebhookFaults{Drop: 1, Duplicate: 1})
	emit(w, "lost")
	w.Advance(t.Context(), 4*24*time.Hour)
	if d := w.Deliveries("x"); len(n.bodies) != 0 || len(d) != 1 || !d[0].Dropped || len(d[0].Attempts) != 0 || len(w.Events("x")) != 1 {
		t.Errorf("%v %+v", n.bodies, d)
	}
	set(sandbox.WebhookFaults{Duplicate: 1})
	emit(w, "twice")
	w.Advance(t.Context(), 0)
	if diff := cmp.Diff([]string{"twice", "twice"}, n.bodies); diff != "" {
		t.Error(diff)
	}
	if sent, ok := w.Resend("x", "lost", ""); sent != 1 || !ok {
		t.Error("resend", sent, ok)
	}
	if _, ok := w.Resend("x", "unknown", ""); ok {
		t.Error("resent an unknown event")
	}
	w.Advance(t.Context(), 0)
	if n.bodies[len(n.bodies)-1] != "lost" {
		t.Error(n.bodies)
	}
}

// Delays follow the virtual clock; reordering really changes the order.
func TestDelayAndReorder(t *testing.T) {
	t.Parallel()
	w, n := newWorld(t, nil)
	if err := w.SetFaults(sandbox.Faults{Webhooks: sandbox.WebhookFaults{DelayMS: [2]int64{2000, 3000}}}); err != nil {
		t.Fatal(err)
	}
	emit(w, "late")
	w.Advance(t.Context(), 1999*time.Millisecond)
	if len(n.bodies) != 0 {
		t.Error("too early")
	}
	w.Advance(t.Context(), 1001*time.Millisecond)
	if len(n.bodies) != 1 {
		t.Error("too late")
	}
	if err := w.SetFaults(sandbox.Faults{Seed: 3, Webhooks: sandbox.WebhookFaults{Reorder: true}}); err != nil {
		t.Fatal(err)
	}
	n.bodies = nil
	for i := range 20 {
		emit(w, fmt.Sprintf("%02d", i))
	}
	w.Advance(t.Context(), time.Minute)
	if len(n.bodies) != 20 || slices.IsSorted(n.bodies) {
		t.Errorf("not shuffled: %v", n.bodies)
	}
}

// Timers run in order of their time, each at its own moment, a later one with the
// same key replaces the earlier, a cancelled one never runs.
func TestTimers(t *testing.T) {
	t.Parallel()
	w, _ := newWorld(t, nil)
	var got []string
	at := func(d time.Duration, key string) {
		w.After(start.Add(d), key, func() { got = append(got, fmt.Sprint(key, " ", w.Now().Sub(start))) })
	}
	at(2*time.Hour, "b")
	at(time.Hour, "a")
	at(time.Minute, "replaced")
	at(3*time.Hour, "replaced")
	at(time.Minute, "cancelled")
	w.Cancel("cancelled")
	at(5*time.Hour, "later")
	w.Advance(t.Context(), 4*time.Hour)
	if diff := cmp.Diff([]string{"a 1h0m0s", "b 2h0m0s", "replaced 3h0m0s"}, got); diff != "" {
		t.Error(diff)
	}
}

// Advance answers when quiet: what the other side does in AfterAdvance is delivered
// too before it returns.
func TestAdvanceSettlesBothSides(t *testing.T) {
	t.Parallel()
	var w *sandbox.World
	rounds := 0
	w, n := newWorld(t, func(o *sandbox.Options) {
		o.AfterAdvance = func(context.Context) {
			if rounds++; rounds <= 3 {
				emit(w, fmt.Sprint("round", rounds))
			}
		}
	})
	w.Advance(t.Context(), time.Minute)
	if diff := cmp.Diff([]string{"round1", "round2", "round3"}, n.bodies); diff != "" {
		t.Error(diff)
	}
}

// Run delivers and runs timers by itself, promptly, and stops with its context.
func TestRun(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 10)
	w, n := newWorld(t, func(o *sandbox.Options) { o.Wall = time.Now })
	n.onEvent = func() { arrived <- struct{}{} }
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() { w.Run(ctx); close(stopped) }()
	emit(w, "now")
	<-arrived
	w.After(w.Now().Add(20*time.Millisecond), "timer", func() { emit(w, "from timer") })
	<-arrived
	cancel()
	<-stopped
}

// A delivery that was cut short because we stop is not the endpoint's failure.
func TestStoppedDeliveryIsNotAnAttempt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	w, n := newWorld(t, nil)
	n.script = []int{0}
	n.onEvent = cancel
	emit(w, "e1")
	if _, _, err := w.StepDeliveries(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("err %v", err)
	}
	if d := w.Deliveries("x"); len(d[0].Attempts) != 0 {
		t.Errorf("%+v", d)
	}
	n.onEvent = nil
	if did, _, err := w.StepDeliveries(t.Context()); did != 1 || err != nil {
		t.Error(did, err)
	}
}

// Latency and timeouts wait through Options.Wait, so that a simulator never sleeps.
func TestFaultsUseTheInjectedWait(t *testing.T) {
	t.Parallel()
	var waits []time.Duration
	w, _ := newWorld(t, func(o *sandbox.Options) {
		o.Wait = func(_ context.Context, d time.Duration) { waits = append(waits, d) }
	})
	calls := 0
	h := w.WithFaults(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls++ }))
	serve := func(path string) (aborted bool) {
		defer func() {
			err, ok := recover().(error)
			aborted = ok && errors.Is(err, http.ErrAbortHandler)
		}()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader("x")))
		return false
	}
	for _, step := range []struct {
		api   sandbox.APIFaults
		path  string
		abort bool
		calls int
		waits []time.Duration
	}{
		{sandbox.APIFaults{LatencyMS: [2]int64{7, 7}}, "/v1/x", false, 1, []time.Duration{7 * time.Millisecond}},
		{sandbox.APIFaults{TimeoutBeforeEffect: 1}, "/v2/x", true, 0, []time.Duration{500 * time.Millisecond}},
		{sandbox.APIFaults{TimeoutAfterEffect: 1, TimeoutMS: 9}, "/v1/x", true, 1, []time.Duration{9 * time.Millisecond}},
		{sandbox.APIFaults{Status500: 1}, "/v1/x", false, 0, nil},
		{sandbox.APIFaults{TimeoutBeforeEffect: 1}, "/_sandbox/x", false, 1, nil},
		{sandbox.APIFaults{TimeoutBeforeEffect: 1}, "/c/pay/x", false, 1, nil},
		{sandbox.APIFaults{TimeoutBeforeEffect: 1}, "/v1/oauth2/token", false, 1, nil},
	} {
		waits, calls = nil, 0
		if err := w.SetFaults(sandbox.Faults{API: step.api}); err != nil {
			t.Fatal(err)
		}
		if abort := serve(step.path); abort != step.abort || calls != step.calls || !slices.Equal(waits, step.waits) {
			t.Errorf("%+v: abort %v, %d calls, waits %v", step, abort, calls, waits)
		}
	}
}

// The control routes answer exactly as the contract says, whatever the Content-Type
// and with an empty body.
func TestControlRoutes(t *testing.T) {
	t.Parallel()
	w, _ := newWorld(t, nil)
	mux := http.NewServeMux()
	w.ControlRoutes(mux, "x")
	do := func(method, path, body string) (int, map[string]any) {
		rec := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "text/plain")
		mux.ServeHTTP(rec, r)
		out := map[string]any{}
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
			t.Errorf("%s %s: %q", method, path, rec.Body)
		}
		return rec.Code, out
	}
	w.Record(sandbox.LedgerRow{Object: "c1", Kind: "capture", Amount: 5, Currency: "usd", Reference: "pay_1", Account: "a", API: "x"})
	w.Record(sandbox.LedgerRow{Object: "c2", Kind: "capture", Amount: 5, API: "y"})
	emit(w, "e1")
	if code, out := do("POST", "/_sandbox/clock/advance", `{"seconds":60}`); code != 200 || out["now"] != "2026-03-01T12:01:00Z" {
		t.Error(code, out)
	}
	if code, out := do("GET", "/_sandbox/clock", ""); code != 200 || out["now"] != "2026-03-01T12:01:00Z" {
		t.Error(code, out)
	}
	if code, _ := do("POST", "/_sandbox/clock/advance", ""); code != 200 {
		t.Error(code)
	}
	for _, bad := range []string{`{"seconds":-1}`, `{"seconds":9000000000000}`, `x`} {
		if code, out := do("POST", "/_sandbox/clock/advance", bad); code != 400 || out["error"] == nil {
			t.Error(bad, code, out)
		}
	}
	_, out := do("GET", "/_sandbox/ledger", "")
	want := map[string]any{"data": []any{map[string]any{
		"object": "c1", "kind": "capture", "amount": 5.0, "currency": "usd",
		"reference": "pay_1", "account": "a", "at": "2026-03-01T12:00:00Z",
	}}}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Error(diff)
	}
	_, out = do("GET", "/_sandbox/webhooks", "")
	want = map[string]any{"data": []any{map[string]any{
		"event": "e1", "type": "t", "object": "o_e1", "endpoint": "http://hook", "dropped": false,
		"attempts": []any{map[string]any{"at": "2026-03-01T12:00:00Z", "status": 200.0}},
	}}}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Error(diff)
	}
	if code, _ := do("POST", "/_sandbox/webhooks/e1/resend", ""); code != 200 {
		t.Error(code)
	}
	if code, _ := do("POST", "/_sandbox/webhooks/none/resend", ""); code != 404 {
		t.Error(code)
	}
	if code, _ := do("POST", "/_sandbox/webhooks/endpoints", `{}`); code != 400 {
		t.Error(code)
	}
	if code, out := do("POST", "/_sandbox/webhooks/endpoints", `{"url":"http://b","secret":"s","connect":true}`); code != 200 || out["connect"] != true || out["id"] == "" {
		t.Error(code, out)
	}
	if code, out := do("GET", "/_sandbox/webhooks/endpoints", ""); code != 200 || len(out["data"].([]any)) != 2 {
		t.Error(code, out)
	}
}
