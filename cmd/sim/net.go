package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// wire is the network from one process to one provider, in memory.
type wire struct {
	i        *instance
	gen      int
	provider string
	handler  http.Handler
}

const certPath = "/v1/notifications/certs/"

var errCut = fmt.Errorf("sim: connection cut: %w", io.ErrUnexpectedEOF)

// alone says that no other work may happen inside this call: one caller fetches
// for all, and the others would wait for it in the one goroutine there is.
func alone(path string) bool {
	return path == "/v1/oauth2/token" || strings.HasPrefix(path, certPath)
}

// RoundTrip carries one call. The caller's context never ends by itself: real
// time means nothing here.
func (w wire) RoundTrip(req *http.Request) (*http.Response, error) {
	t := w.i.t
	if w.i.gone(w.gen) {
		panic(crash{w.i})
	}
	quiet, what := alone(req.URL.Path), w.provider+" "+req.Method+" "+req.URL.Path
	if resp, err := w.away(req); resp != nil || err != nil {
		return resp, err
	}
	if resp := w.refused(req); resp != nil {
		return resp, nil
	}
	if empty := emptyList(req); empty != "" && t.plan.hidden() {
		return t.answer(req, http.StatusOK, empty), nil
	}
	t.pass(time.Duration(5+t.chance.IntN(300)) * time.Millisecond)
	if !quiet {
		t.meanwhile(w.i, what)
	}
	moved := t.world.Moved()
	resp, err := serve(w.handler, req)
	status := 0
	if err == nil {
		status = resp.StatusCode
	}
	t.trace("%d %s %s %s -> %d", w.i.id, w.provider, req.Method, place(req.URL.Path), status)
	switch {
	case status == http.StatusInternalServerError && t.world.Moved() > moved:
		t.count("500_after_money_moved")
	case status == http.StatusInternalServerError && req.Method == http.MethodPost:
		t.count("stored_500")
	case status == http.StatusTooManyRequests:
		t.count("status_429")
	case err != nil && t.world.Moved() > moved:
		t.count("cut_after_money_moved")
	case err != nil:
		t.count("cut")
	}
	t.strike(w.i, quiet)
	if !quiet {
		t.meanwhile(w.i, what)
	}
	if err == nil && hits(t.chance, t.rate(faultGarbage)) {
		t.count("garbled_answer")
		resp = garble(resp, t.chance.IntN(3))
	} else if err == nil {
		resp = t.lag(w.provider, req, resp)
		t.reword(resp)
	}
	return resp, err
}

// place is a path as the trace has it: a certificate's name comes of keys that no
// seed decides.
func place(path string) string {
	if strings.HasPrefix(path, certPath) {
		return certPath
	}
	return path
}

// emptyList is what a provider's list of events says where none was made.
func emptyList(req *http.Request) string {
	switch {
	case req.Method != http.MethodGet:
	case req.URL.Path == "/v1/events":
		return `{"object":"list","url":"/v1/events","has_more":false,"data":[]}`
	case req.URL.Path == "/v1/notifications/webhooks-events":
		return `{"events":[],"count":0,"links":[]}`
	}
	return ""
}

// away is a provider that can't be reached at all.
func (w wire) away(req *http.Request) (*http.Response, error) {
	t := w.i.t
	for _, o := range t.plan.outages {
		if t.healed || o.provider != w.provider || !o.holds(t.age()) {
			continue
		}
		t.count("provider_outage")
		t.trace("%d %s %s %s -> away", w.i.id, w.provider, req.Method, place(req.URL.Path))
		switch {
		case o.how == 0:
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		case o.how == 1 && t.rate(faultUnclear) > 0:
			return t.proxied(req), nil
		default:
			t.pass(8 * time.Second)
			return nil, context.DeadlineExceeded
		}
	}
	return nil, nil //nolint:nilnil // it is there: nothing to say
}

// strike lets the process sleep for longer than its leases, or the call take long.
func (t *town) strike(i *instance, quiet bool) {
	if hits(t.chance, t.rate(faultSlow)) {
		t.count("slow_provider")
		t.pass(within(t.chance, time.Second, 14*time.Second))
	}
	if !quiet && hits(t.chance, t.rate(faultAsleep)) {
		long := within(t.chance, 30*time.Second, 15*time.Minute)
		t.count("process_asleep")
		t.trace("%d sleeps %s", i.id, long)
		t.pass(long)
		t.others(i, 1+t.chance.IntN(6))
	}
}

// serve calls a handler as a server would.
func serve(h http.Handler, req *http.Request) (resp *http.Response, err error) {
	in := req.Clone(context.WithoutCancel(req.Context()))
	in.RequestURI, in.Host, in.RemoteAddr = req.URL.RequestURI(), req.URL.Host, "127.0.0.1:9"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	out := httptest.NewRecorder()
	defer func() {
		if v := recover(); v != nil {
			if e, ok := v.(error); !ok || !errors.Is(e, http.ErrAbortHandler) {
				panic(v)
			}
			resp, err = nil, errCut
		}
	}()
	h.ServeHTTP(out, in)
	resp = out.Result()
	resp.Request = req
	return resp, nil
}

// garble makes an answer that says nothing: an empty object, a page, half of it.
func garble(resp *http.Response, how int) *http.Response {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp
	}
	switch how {
	case 0:
		body = []byte("{}")
	case 1:
		body = []byte("<html>gateway</html>")
	default:
		body = body[:len(body)/2]
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp
}

// post is the network from the providers to us.
type post struct{ t *town }

// RoundTrip delivers one webhook to a living process.
func (p post) RoundTrip(req *http.Request) (*http.Response, error) {
	t := p.t
	if t.plan.mode == modeReconcile {
		t.fail("a webhook arrived where every one is lost: %s", req.URL.Path)
	}
	i := t.some()
	if i == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, fmt.Errorf("sim: webhook body: %w", err)
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	var resp *http.Response
	if !t.alive(i, func() { resp, err = serve(i.handler, req) }) { //nolint:bodyclose // handed to the caller, who closes it
		t.count("crash_in_webhook")
		return nil, errCut
	}
	if err != nil {
		return nil, err
	}
	t.trace("%d webhook %s %s -> %d", i.id, req.URL.Path, eventKey(req, body), resp.StatusCode)
	t.copies(req, body)
	switch resp.StatusCode {
	case http.StatusOK:
		t.check.acknowledged(req.URL.Path, eventKey(req, body))
		i.stir()
	case http.StatusBadRequest:
		t.count("webhook_refused")
	}
	if hits(t.chance, t.rate(faultAnswer)) {
		t.count("webhook_answer_lost")
		return nil, errCut
	}
	return resp, nil
}

// copyHeader marks a copy, of which no further copies are made.
const copyHeader = "X-Sim-Copy"

// copies sends a delivery again and again, byte for byte, as a broken proxy or
// somebody who recorded it would.
func (t *town) copies(req *http.Request, body []byte) {
	if req.Header.Get(copyHeader) != "" || !hits(t.chance, t.rate(faultCopies)) {
		return
	}
	n := int(math.Exp(t.chance.Float64() * math.Log(100)))
	if n > 50 {
		t.count("copies_50")
	}
	t.count("webhook_copied")
	for range n {
		t.loop.plan(within(t.chance, 0, 10*time.Minute), "copy", func() {
			again := req.Clone(context.Background())
			again.Header.Set(copyHeader, "1")
			again.Body = io.NopCloser(bytes.NewReader(body))
			if resp, err := (post{t}).RoundTrip(again); err == nil {
				_ = resp.Body.Close() // a recorder's body
			}
		})
	}
}

// eventKey is what makes a delivery the same as another.
func eventKey(req *http.Request, body []byte) string {
	if id := req.Header.Get("Paypal-Transmission-Id"); id != "" {
		return id
	}
	var e struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	return e.ID
}

// rate is a class's probability now.
func (t *town) rate(class string) float64 {
	if t.healed {
		return 0
	}
	return t.plan.rate[class]
}

// meanwhile lets somebody else act in the middle of a call or write: another
// request, a webhook, a worker, another process.
func (t *town) meanwhile(i *instance, what string) {
	if t.depth > 0 || !hits(t.chance, t.rate(faultInterlace)) {
		return
	}
	t.count("interlaced")
	t.inside = what
	t.others(i, 1+t.chance.IntN(2))
}

// others takes events out of their order and lets them happen now. The process
// that waits may die of it.
func (t *town) others(i *instance, n int) {
	gen := i.gen
	t.depth++
	defer func() { t.depth-- }()
	for range n {
		t.turn(time.Minute)
	}
	if i.gone(gen) {
		panic(crash{i})
	}
}

// onRead is called before each read of the store by a process.
func (i *instance) onRead(gen int) error {
	if i.gone(gen) {
		panic(crash{i})
	}
	return i.t.storeDown()
}

func (t *town) storeDown() error {
	for _, w := range t.plan.failovers {
		if !t.healed && w.holds(t.age()) {
			t.count("fail_over")
			return fmt.Errorf("sim: not primary any more: %w", store.ErrUnavailable)
		}
	}
	for _, w := range t.plan.storeDown {
		if !t.healed && w.holds(t.age()) {
			t.count("store_outage")
			return fmt.Errorf("sim: no primary: %w", store.ErrUnavailable)
		}
	}
	return nil
}

// replaced are the writes that are a compare-and-swap of a document others may
// change too.
func replaced(p store.WritePoint) bool {
	switch p {
	case store.PointPaymentReplace, store.PointFeedReplace, store.PointInboxClaim, store.PointInboxSettle, store.PointInboxWake, store.PointInboxTold,
		store.PointAlertChange, store.PointCursorSet, store.PointCursorTake, store.PointLeaseRenew, store.PointLeaseRelease:
		return true
	}
	return false
}

// share makes faults rarer at the writes that a sweep makes by the hundred.
func share(p store.WritePoint) float64 {
	switch p {
	case store.PointCursorSet, store.PointCursorTake, store.PointLeaseAcquire, store.PointLeaseRelease, store.PointRunInsert, store.PointRunSave:
		return 0.2
	}
	return 1
}

// delayed is a write that takes long, or a process that sleeps right before it: the
// lease that it holds may end before the write is made.
func (t *town) delayed(i *instance) {
	if hits(t.chance, t.rate(faultSlowStore)) {
		t.count("slow_store")
		t.pass(within(t.chance, time.Second, 30*time.Second))
	}
	if t.depth == 0 && hits(t.chance, t.rate(faultAsleep)*0.3) {
		t.count("slept_at_write")
		t.pass(within(t.chance, 30*time.Second, 15*time.Minute))
		t.others(i, 1+t.chance.IntN(6))
	}
}

// onWrite is called around each write of a process.
func (i *instance) onWrite(gen int, p store.WritePoint, when faults.When) error {
	t := i.t
	if i.gone(gen) {
		panic(crash{i})
	}
	if err := t.storeDown(); err != nil && when == faults.Before {
		return err
	}
	if t.script != nil && t.script.wrote(p, when) {
		i.die(when.String() + " " + string(p))
	}
	if when == faults.Before {
		t.meanwhile(i, "write "+string(p))
		t.delayed(i)
	}
	if hits(t.chance, t.rate(faultCrash)*share(p)) {
		t.count("crash_" + when.String() + "_" + string(p))
		i.die(when.String() + " " + string(p))
	}
	if when == faults.Before && replaced(p) && hits(t.chance, t.rate(faultConflict)) {
		t.count("store_conflict")
		return fmt.Errorf("sim: lost race: %w", store.ErrConflict)
	}
	if hits(t.chance, t.rate(faultAck)) {
		if when == faults.After {
			t.count("lost_ack")
		} else {
			t.count("lost_write")
		}
		return fmt.Errorf("sim: no acknowledgement: %w", store.ErrUnavailable)
	}
	if when == faults.After {
		t.trace("%d write %s", i.id, p)
	}
	return nil
}
