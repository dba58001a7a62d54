package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// delivery is one event on its way to one endpoint.
type delivery struct {
	ev       Event
	ep       Endpoint
	at       time.Time // next try, virtual
	first    time.Time // first planned try; retries end 3 days after it
	dropped  bool
	attempts []Attempt
}

// Attempt is one try of a delivery: when (virtual clock) and the HTTP status of the
// answer, 0 if there was none.
type Attempt struct {
	At     time.Time `json:"at"`
	Status int       `json:"status"`
}

// Delivery is what GET /_sandbox/webhooks shows of one event at one endpoint.
type Delivery struct {
	Event    string    `json:"event"`
	Type     string    `json:"type"`
	Object   string    `json:"object"`
	Endpoint string    `json:"endpoint"` // its URL
	Dropped  bool      `json:"dropped"`
	Attempts []Attempt `json:"attempts"`
}

const (
	attemptTimeout = 10 * time.Second   // real time for one POST
	retryFor       = 3 * 24 * time.Hour // virtual; Stripe and PayPal both say about 3 days
	maxAnswerBytes = 64 << 10           // of an endpoint's answer we read, to reuse the connection
	workers        = 4                  // concurrent deliveries of Run, so that one hanging endpoint doesn't stop all
)

// backoff is the wait before each retry on the virtual clock; the last one repeats.
var backoff = []time.Duration{
	time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 12 * time.Hour,
}

// queue adds a delivery; w.inner is held.
func (w *World) queue(ev Event, ep Endpoint, at time.Time, dropped bool) {
	d := &delivery{ev: ev, ep: ep, at: at, first: at, dropped: dropped}
	w.sends = append(w.sends, d)
	if !dropped {
		w.due.add(at, d)
		w.pending[ev.API+" "+ev.ID]++
	}
}

// Deliveries lists all deliveries of an API in order of emission.
func (w *World) Deliveries(api string) []Delivery {
	w.inner.Lock()
	defer w.inner.Unlock()
	out := []Delivery{}
	for _, d := range w.sends {
		if d.ev.API != api {
			continue
		}
		out = append(out, Delivery{
			Event: d.ev.ID, Type: d.ev.Type, Object: d.ev.Object, Endpoint: d.ep.URL,
			Dropped: d.dropped, Attempts: append([]Attempt{}, d.attempts...),
		})
	}
	return out
}

// StepDeliveries sends, one after the other, every delivery that is due, and returns
// how many it tried and when (virtual clock) the next one is due; zero if none is
// planned. An endpoint's refusal is not an error, it is recorded and retried; err is
// only the context's or a signer's. Call it without Lock held.
func (w *World) StepDeliveries(ctx context.Context) (did int, next time.Time, err error) {
	for ctx.Err() == nil {
		d, at := w.claim()
		if d == nil {
			return did, at, nil
		}
		did++
		if err := w.send(ctx, d); err != nil {
			return did, at, err
		}
	}
	return did, time.Time{}, ctx.Err()
}

// claim takes the earliest due delivery; without one it returns when the next is due.
func (w *World) claim() (*delivery, time.Time) {
	now := w.Now()
	w.inner.Lock()
	defer w.inner.Unlock()
	for {
		d, ok := w.due.pop(now)
		if !ok {
			return nil, w.due.next()
		}
		if w.exists(d.ep) {
			w.inFlight++
			return d, d.at
		}
		w.finish(d) // a deleted endpoint's pending tries stop
	}
}

func (w *World) exists(ep Endpoint) bool {
	return slices.ContainsFunc(w.endpoints, func(e *Endpoint) bool { return e.API == ep.API && e.ID == ep.ID })
}

// finish books that no further try of d will be made; w.inner is held.
func (w *World) finish(d *delivery) {
	k := d.ev.API + " " + d.ev.ID
	if w.pending[k]--; w.pending[k] <= 0 {
		delete(w.pending, k)
	}
}

// send makes one attempt and books its outcome.
func (w *World) send(ctx context.Context, d *delivery) error {
	status, err := w.post(ctx, d)
	now := w.Now()
	w.inner.Lock()
	defer w.inner.Unlock()
	w.inFlight--
	close(w.changed)
	w.changed = make(chan struct{})
	if ctx.Err() != nil && status == 0 {
		w.due.add(d.at, d) // we were stopped, the endpoint did not fail
		return ctx.Err()
	}
	d.attempts = append(d.attempts, Attempt{At: now, Status: status})
	if status >= 200 && status < 300 {
		w.finish(d)
		return nil
	}
	d.at = now.Add(backoff[min(len(d.attempts), len(backoff))-1])
	if d.at.Sub(d.first) > retryFor {
		w.finish(d)
	} else {
		w.due.add(d.at, d)
	}
	return err
}

// post sends the event; status 0 means that no answer came. err is only a signer's.
func (w *World) post(ctx context.Context, d *delivery) (int, error) {
	w.inner.Lock()
	sign := w.signers[d.ep.API]
	attempt := len(d.attempts) + 1
	w.inner.Unlock()
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.ep.URL, bytes.NewReader(d.ev.Body))
	if err != nil {
		return 0, fmt.Errorf("webhook to %s: %w", d.ep.URL, err)
	}
	if sign != nil {
		h, err := sign(d.ep, d.ev, attempt, w.Wall())
		if err != nil {
			return 0, fmt.Errorf("sign %s: %w", d.ev.ID, err)
		}
		for k, v := range h {
			req.Header[k] = v
		}
	}
	if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	c := *w.opt.Client // a redirect is a failure for both providers, so don't follow it
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Do(req)
	if err != nil {
		w.opt.Logger.Debug("webhook not delivered", "event", d.ev.ID, "url", d.ep.URL, "err", err)
		return 0, nil
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswerBytes)); err != nil {
		w.opt.Logger.Debug("webhook answer cut", "event", d.ev.ID, "err", err)
	}
	return resp.StatusCode, nil
}

// waitIdle waits until no delivery is in flight.
func (w *World) waitIdle(ctx context.Context) {
	for {
		w.inner.Lock()
		n, c := w.inFlight, w.changed
		w.inner.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-c:
		}
	}
}

// Run delivers webhooks and runs timers as their time comes, until ctx ends. A few
// workers send at once, so that one slow endpoint does not hold up the others.
func (w *World) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range workers {
		c := make(chan struct{}, 1)
		w.inner.Lock()
		w.wakes = append(w.wakes, c)
		w.inner.Unlock()
		wg.Go(func() { w.loop(ctx, c) })
	}
	wg.Wait()
}

// loop is one worker of Run.
func (w *World) loop(ctx context.Context, woken <-chan struct{}) {
	for ctx.Err() == nil {
		w.RunDue()
		if _, _, err := w.StepDeliveries(ctx); err != nil && ctx.Err() == nil {
			w.opt.Logger.Error("sandbox deliveries", "err", err)
		}
		w.pause(ctx, woken)
	}
}

// pause waits until something is due, the loop is woken, or ctx ends.
func (w *World) pause(ctx context.Context, woken <-chan struct{}) {
	var alarm <-chan time.Time
	if next := w.NextDue(); !next.IsZero() {
		// At least a moment: what is due may be in another worker's hands already.
		t := time.NewTimer(max(next.Sub(w.Now()), time.Millisecond))
		defer t.Stop()
		alarm = t.C
	}
	select {
	case <-ctx.Done():
	case <-woken:
	case <-alarm:
	}
}
