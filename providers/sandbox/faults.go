package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// Faults is what PUT /_sandbox/faults sets, as a whole: what it leaves out is off.
// Probabilities are 0..1, times are milliseconds.
type Faults struct {
	Seed     uint64        `json:"seed"`
	Webhooks WebhookFaults `json:"webhooks"`
	API      APIFaults     `json:"api"`
	Capture  CaptureFaults `json:"capture"`
}

// WebhookFaults lose, repeat, delay (virtual clock) and shuffle webhooks.
type WebhookFaults struct {
	Drop      float64  `json:"drop"`
	Duplicate float64  `json:"duplicate"`
	DelayMS   [2]int64 `json:"delay_ms"`
	Reorder   bool     `json:"reorder"`
}

// APIFaults hurt calls to the provider's API. A timeout holds the call for TimeoutMS
// (default 500) and cuts the connection, before or after the call took effect; so may
// a 500 be answered to a call that took none, or that took effect.
type APIFaults struct {
	TimeoutBeforeEffect float64  `json:"timeout_before_effect"`
	TimeoutAfterEffect  float64  `json:"timeout_after_effect"`
	Status500           float64  `json:"status_500"`
	Status500Done       float64  `json:"status_500_after_effect"`
	Status429           float64  `json:"status_429"`
	LatencyMS           [2]int64 `json:"latency_ms"`
	TimeoutMS           int64    `json:"timeout_ms"`
}

// CaptureFaults make the provider take other money than it was asked for:
// AmountDelta (minor units, may be negative) on every capture, and a second capture.
type CaptureFaults struct {
	AmountDelta int64 `json:"amount_delta"`
	Duplicate   bool  `json:"duplicate"`
}

const (
	defaultTimeoutMS = 500
	reorderWithinMS  = 1000 // spread of shuffled webhooks
)

// Validate says what is out of range, nil if nothing is.
func (f Faults) Validate() error {
	var errs []error
	for name, p := range map[string]float64{
		"webhooks.drop": f.Webhooks.Drop, "webhooks.duplicate": f.Webhooks.Duplicate,
		"api.timeout_before_effect": f.API.TimeoutBeforeEffect, "api.timeout_after_effect": f.API.TimeoutAfterEffect,
		"api.status_500": f.API.Status500, "api.status_500_after_effect": f.API.Status500Done, "api.status_429": f.API.Status429,
	} {
		if !(p >= 0 && p <= 1) {
			errs = append(errs, fmt.Errorf("%s must be a probability between 0 and 1", name))
		}
	}
	for name, r := range map[string][2]int64{"webhooks.delay_ms": f.Webhooks.DelayMS, "api.latency_ms": f.API.LatencyMS} {
		if r[0] < 0 || r[1] < r[0] {
			errs = append(errs, fmt.Errorf("%s must be [min,max] with 0 <= min <= max", name))
		}
	}
	if f.API.TimeoutMS < 0 {
		errs = append(errs, errors.New("api.timeout_ms must not be negative"))
	}
	return errors.Join(errs...)
}

// SetFaults replaces all faults and restarts the draws from their seed (or from
// Options.Seed if it is 0).
func (w *World) SetFaults(f Faults) error {
	if err := f.Validate(); err != nil {
		return err
	}
	w.inner.Lock()
	defer w.inner.Unlock()
	seed := f.Seed
	if seed == 0 {
		seed = w.opt.Seed
	}
	w.faults = f
	w.draws = rand.New(rand.NewPCG(seed, 0xfa))
	return nil
}

// Faults returns what is set.
func (w *World) Faults() Faults {
	w.inner.Lock()
	defer w.inner.Unlock()
	return w.faults
}

// CaptureFault says how a capture made now goes wrong: by how many minor units it
// differs from what was asked, and whether it happens twice.
func (w *World) CaptureFault() (delta int64, duplicate bool) {
	f := w.Faults().Capture
	return f.AmountDelta, f.Duplicate
}

// chance draws; w.inner is held. An impossible fault draws nothing.
func (w *World) chance(p float64) bool { return p > 0 && w.draws.Float64() < p }

// between draws milliseconds in [min,max]; w.inner is held.
func (w *World) between(r [2]int64) time.Duration {
	if r[1] <= 0 {
		return 0
	}
	return time.Duration(r[0]+w.draws.Int64N(r[1]-r[0]+1)) * time.Millisecond
}

// deliveryDelay draws when a webhook leaves; w.inner is held.
func (w *World) deliveryDelay(f WebhookFaults) time.Duration {
	d := w.between(f.DelayMS)
	if f.Reorder {
		d += w.between([2]int64{0, reorderWithinMS})
	}
	return d
}

// FaultAnswerer is implemented by a handler that writes injected failures in its own
// API's error shape. status is 500 or 429; for 429 Retry-After is already set.
type FaultAnswerer interface {
	AnswerFault(w http.ResponseWriter, r *http.Request, status int)
}

// LateFailer is implemented by a handler that keeps the answers to its keys, and so has
// to know that a call which takes effect is answered 500. Of any other one the answer is
// thrown away.
type LateFailer interface {
	FailAfterEffect(w http.ResponseWriter, r *http.Request)
}

// apiDraw is what happens to one call.
type apiDraw struct {
	latency, timeout      time.Duration
	before, after         bool
	internal, rateLimited bool
	late                  bool // a 500 after the effect
}

func (w *World) drawAPI() apiDraw {
	w.inner.Lock()
	defer w.inner.Unlock()
	f := w.faults.API
	ms := f.TimeoutMS
	if ms == 0 {
		ms = defaultTimeoutMS
	}
	return apiDraw{
		latency: w.between(f.LatencyMS), timeout: time.Duration(ms) * time.Millisecond,
		before: w.chance(f.TimeoutBeforeEffect), after: w.chance(f.TimeoutAfterEffect),
		internal: w.chance(f.Status500), rateLimited: w.chance(f.Status429), late: w.chance(f.Status500Done),
	}
}

// faultable says whether faults apply: calls to the provider's API do, but not the
// control API, hosted pages, access tokens or signing certificates.
func faultable(path string) bool {
	if path == "/v1/oauth2/token" || strings.HasPrefix(path, "/v1/notifications/certs/") {
		return false
	}
	return strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v2/")
}

// maxBody is the largest request body a sandbox reads.
const maxBody = 1 << 20

// WithFaults applies the API faults to next. timeout_before_effect waits and cuts the
// connection without calling next; timeout_after_effect calls next, throws its answer
// away, then waits and cuts; status_500 and status_429 answer without calling next,
// status_500_after_effect calls it first.
// A cut is panic(http.ErrAbortHandler): an in-memory transport must recover it and
// report a lost connection. A FaultAnswerer next writes its own error bodies.
func (w *World) WithFaults(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !faultable(r.URL.Path) {
			next.ServeHTTP(rw, r)
			return
		}
		d := w.drawAPI()
		if d.latency > 0 || d.before || d.after {
			// The server sees a client's disconnect only once the body was read.
			body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxBody))
			if err != nil {
				http.Error(rw, "body too large or cut", http.StatusRequestEntityTooLarge)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		if d.latency > 0 {
			w.opt.Wait(r.Context(), d.latency)
		}
		switch {
		case d.before:
			w.opt.Wait(r.Context(), d.timeout)
			panic(http.ErrAbortHandler)
		case d.rateLimited:
			rw.Header().Set("Retry-After", "1")
			answerFault(next, rw, r, http.StatusTooManyRequests)
		case d.internal:
			answerFault(next, rw, r, http.StatusInternalServerError)
		case d.after:
			// The effect happens even if the client hangs up meanwhile.
			next.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
			w.opt.Wait(r.Context(), d.timeout)
			panic(http.ErrAbortHandler)
		case d.late:
			failLate(next, rw, r)
		default:
			next.ServeHTTP(rw, r)
		}
	})
}

// failLate lets a call take effect and answers 500.
func failLate(next http.Handler, rw http.ResponseWriter, r *http.Request) {
	if f, ok := next.(LateFailer); ok {
		f.FailAfterEffect(rw, r)
		return
	}
	next.ServeHTTP(httptest.NewRecorder(), r)
	answerFault(next, rw, r, http.StatusInternalServerError)
}

func answerFault(next http.Handler, rw http.ResponseWriter, r *http.Request, status int) {
	if f, ok := next.(FaultAnswerer); ok {
		f.AnswerFault(rw, r, status)
		return
	}
	WriteControl(rw, status, map[string]string{"name": "INTERNAL_SERVER_ERROR", "message": http.StatusText(status)})
}
