package inbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/store/mem"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// clock stands still until a test moves it.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// rig is a gateway and an inbox over one store, in front of a fake provider. The
// return layer is off and no other worker runs: what happens, webhooks did.
type rig struct {
	t       *testing.T
	clock   *clock
	engine  store.Engine // without faults
	fault   *faultBox
	fake    *fakeProvider
	service *gateway.Service
	inbox   *inbox.Inbox
	counts  *counts
	alerts  *store.Alerts
	log     *bytes.Buffer
}

// faultBox lets a test switch store faults on and off.
type faultBox struct {
	mu    sync.Mutex
	write func(p store.WritePoint, w faults.When) error
	read  func(method string) error
}

func (f *faultBox) set(write func(store.WritePoint, faults.When) error, read func(string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.write, f.read = write, read
}

func (f *faultBox) hooks() faults.Options {
	return faults.Options{
		Points: store.WritePoints(),
		Write: func(p store.WritePoint, w faults.When) error {
			f.mu.Lock()
			fn := f.write
			f.mu.Unlock()
			if fn == nil {
				return nil
			}
			return fn(p, w)
		},
		Read: func(m string) error {
			f.mu.Lock()
			fn := f.read
			f.mu.Unlock()
			if fn == nil {
				return nil
			}
			return fn(m)
		},
	}
}

var errDown = fmt.Errorf("no primary: %w", store.ErrUnavailable)

// down makes the whole store unreachable.
func (f *faultBox) down() {
	f.set(func(store.WritePoint, faults.When) error { return errDown }, func(string) error { return errDown })
}

func (f *faultBox) up() { f.set(nil, nil) }

type counts struct {
	mu sync.Mutex
	by map[string]int
}

func (c *counts) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[name]++
}

func (c *counts) get(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[name]
}

const account = "acct"

func newRig(t *testing.T, mod ...func(*inbox.Options)) *rig {
	t.Helper()
	engine, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t: t, clock: &clock{at: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)}, engine: engine, fault: &faultBox{},
		counts: &counts{by: map[string]int{}}, log: &bytes.Buffer{},
	}
	r.fake = newFake(account, r.clock.now)
	r.boot(mod...)
	return r
}

// boot starts the process anew over the same store and provider, as after a crash.
func (r *rig) boot(mod ...func(*inbox.Options)) {
	r.t.Helper()
	e := faults.Wrap(r.engine, r.fault.hooks())
	registry, err := providers.NewRegistry(providers.Guard(r.fake, providers.GuardOptions{PerSecond: 1e6}))
	if err != nil {
		r.t.Fatal(err)
	}
	r.alerts = store.NewAlerts(e)
	payments := store.NewPayments(e)
	var tokens sync.Mutex
	n := 0
	token := func() string {
		tokens.Lock()
		defer tokens.Unlock()
		n++
		return fmt.Sprintf("token%020d", n)
	}
	logger := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	r.service, err = gateway.New(gateway.Options{
		Payments: payments, Keys: store.NewKeys(e), Notify: r.alerts, Providers: registry,
		Apps:  []gateway.App{{Name: "shop", Mode: payment.ModeTest, ReturnOrigins: []string{"https://shop.example.com"}}},
		Clock: r.clock.now, Token: token, PublicURL: "https://pay.example.com",
		Render: func(p *payment.Payment, e payment.Event) ([]byte, error) {
			return json.Marshal(map[string]string{"id": e.Object, "status": string(p.Status())})
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	o := inbox.Options{
		Accounts: registry, Store: store.NewInbox(e), Applier: r.service, Finder: payments, Notify: r.alerts, Orphans: store.NewOrphans(e),
		Clock: r.clock.now, Owner: "test", Logger: logger,
		Metrics: inbox.Metrics{
			Received:  func(_, result string) { r.counts.add(result) },
			Processed: func(_, result string, _ time.Duration) { r.counts.add("processed " + result) },
			Fetched:   func(string, int) { r.counts.add("fetched") },
		},
	}
	for _, m := range mod {
		m(&o)
	}
	if r.inbox, err = inbox.New(o); err != nil {
		r.t.Fatal(err)
	}
}

// create makes a payment with a checkout at the fake provider.
func (r *rig) create(key string) *payment.Payment {
	r.t.Helper()
	ans, err := r.service.Create(r.t.Context(), gateway.Request{
		Caller: gateway.Caller{App: "shop", Mode: payment.ModeTest, KeyID: "k"}, Path: "/v1/payments", Key: key, Fingerprint: key,
	}, gateway.CreateInput{Amount: 1999, Currency: "usd", Provider: "stripe", ReturnURL: "https://shop.example.com/back"})
	if err != nil {
		r.t.Fatal(err)
	}
	return ans.Payment
}

func (r *rig) payment(id string) *payment.Payment {
	r.t.Helper()
	p, err := store.NewPayments(r.engine).Get(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// rootOf is the provider's checkout of a payment's first attempt.
func rootOf(id string) string { return "root_" + id + "-1" }

// hook is a webhook's body as the fake's Verify reads it.
type hook struct {
	Key       string   `json:"key"`
	Type      string   `json:"type,omitempty"`
	Kind      string   `json:"kind,omitempty"`
	Object    string   `json:"object,omitempty"`
	Payment   string   `json:"payment,omitempty"`
	N         int      `json:"n,omitempty"`
	Refs      []string `json:"refs,omitempty"`
	Live      bool     `json:"live,omitempty"`
	Connected string   `json:"connected,omitempty"`
	Version   string   `json:"version,omitempty"`
	Other     bool     `json:"other,omitempty"` // a type that nobody acts on
	Pad       string   `json:"pad,omitempty"`   // makes the body as large as one likes
}

// paid is the event that tells of a paid checkout.
func paid(key string, p *payment.Payment) hook {
	return hook{Key: key, Type: "checkout.completed", Kind: "checkout_session", Object: rootOf(p.ID), Payment: p.ID, N: 1}
}

// send delivers a signed webhook and returns the answer's code and status word.
func (r *rig) send(h hook) (int, string) {
	r.t.Helper()
	body, err := json.Marshal(h)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.post("/webhooks/stripe/"+account, body, http.Header{"X-Sig": {"good"}})
}

func (r *rig) post(path string, body []byte, header http.Header) (int, string) {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), http.MethodPost, path, bytes.NewReader(body))
	for k, v := range header {
		req.Header[k] = v
	}
	return r.do(req)
}

func (r *rig) do(req *http.Request) (int, string) {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.inbox.ServeHTTP(w, req)
	var out struct{ Status, Code any }
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		r.t.Errorf("answer %q is not JSON: %v", w.Body.String(), err)
	}
	if word, ok := out.Status.(string); ok {
		return w.Code, word
	}
	return w.Code, fmt.Sprint(out.Code)
}

// stored delivers a webhook that must be taken.
func (r *rig) stored(h hook) string {
	r.t.Helper()
	if code, word := r.send(h); code != http.StatusOK || word != "stored" {
		r.t.Fatalf("webhook %s: %d %s, want 200 stored", h.Key, code, word)
	}
	return inbox.RecordID("stripe", account, false, h.Key)
}

// step runs the worker until nothing is due.
func (r *rig) step() int {
	r.t.Helper()
	total := 0
	for range 50 {
		did, _, err := r.inbox.Step(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		if did == 0 {
			return total
		}
		total += did
	}
	r.t.Fatal("the worker is never done")
	return 0
}

func (r *rig) record(id string) inbox.Record {
	r.t.Helper()
	rec, err := store.NewInbox(r.engine).Get(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

func (r *rig) wantState(id string, state inbox.State, reason string) inbox.Record {
	r.t.Helper()
	rec := r.record(id)
	if rec.State != state || rec.Reason != reason {
		r.t.Fatalf("event is %s (%q), want %s (%q)", rec.State, rec.Reason, state, reason)
	}
	return rec
}

func (r *rig) wantStatus(id string, want payment.Status) *payment.Payment {
	r.t.Helper()
	p := r.payment(id)
	if p.Status() != want {
		r.t.Fatalf("payment is %s, want %s", p.Status(), want)
	}
	return p
}

// alertsOf lists alerts of a kind.
func (r *rig) alertsOf(kind string) []gateway.AlertRecord {
	r.t.Helper()
	all, _, err := store.NewAlerts(r.engine).List(r.t.Context(), store.AlertFilter{Limit: 100})
	if err != nil {
		r.t.Fatal(err)
	}
	var out []gateway.AlertRecord
	for _, a := range all {
		if a.Kind == kind {
			out = append(out, a)
		}
	}
	return out
}

// rows counts everything that the inbox has stored.
func (r *rig) rows() int {
	r.t.Helper()
	n := 0
	for _, coll := range []string{"inbox", "inbox_bodies"} {
		docs, _, err := r.engine.Scan(r.t.Context(), coll, "", 500)
		if err != nil {
			r.t.Fatal(err)
		}
		n += len(docs)
	}
	return n
}

// fakeProvider is a provider with checkouts in memory. Its webhooks are "signed"
// by a header: real signatures are the adapters' business, and tested there.
type fakeProvider struct {
	account string
	mode    payment.Mode
	now     func() time.Time

	mu       sync.Mutex
	roots    map[string]*root
	fetches  int
	captures int
	traced   []providers.Ref
	fetchErr error
	beside   error // reading shows the root and what is below it, and no more
	traceErr error
	traces   map[string]providers.Hint
	// lost makes a checkout whose answer never arrives.
	lost bool
	// mute makes creations fail without effect, as unknown.
	mute bool
}

type root struct {
	payment  string
	n        int
	state    payment.AttemptState
	asked    payment.Money
	captures map[string]int64
	refunds  map[string]int64
	created  time.Time
	asOf     time.Time
}

func newFake(account string, now func() time.Time) *fakeProvider {
	return &fakeProvider{account: account, mode: payment.ModeTest, now: now, roots: map[string]*root{}, traces: map[string]providers.Hint{}}
}

// Info implements providers.Provider.
func (f *fakeProvider) Info() providers.Info {
	return providers.Info{
		Provider: "stripe", Label: "Fake", Account: f.account, Mode: f.mode,
		KeyLife: func(payment.OpKind) time.Duration { return time.Hour }, SyncSchedule: []time.Duration{time.Minute},
		Supports: func(payment.Money) error { return nil }, MaxCheckout: 24 * time.Hour,
	}
}

func (f *fakeProvider) CreateCheckout(_ context.Context, req providers.CheckoutRequest, _ string) (providers.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mute {
		return providers.Result{}, &providers.Error{Class: providers.Unknown, Provider: "stripe", Op: "create_checkout"}
	}
	id := "root_" + req.AttemptID()
	if f.roots[id] == nil {
		f.roots[id] = &root{
			payment: req.PaymentID, n: req.N, state: payment.AttemptOpen, asked: req.Amount, captures: map[string]int64{},
			refunds: map[string]int64{}, created: f.now(), asOf: f.now(),
		}
	}
	if f.lost {
		return providers.Result{}, &providers.Error{Class: providers.Unknown, Provider: "stripe", Op: "create_checkout"}
	}
	return providers.Result{Ref: id, Observation: f.observe(id)}, nil
}

// observe is a whole snapshot; f.mu is held.
func (f *fakeProvider) observe(id string) payment.Observation {
	r := f.roots[id]
	key := func(id string) payment.ObjectKey {
		return payment.ObjectKey{Provider: "stripe", Account: f.account, ID: id}
	}
	stamp := payment.Stamp{Created: r.created, AsOf: r.asOf}
	facts := payment.Facts{Attempts: []payment.AttemptFact{{
		Key: key(id), N: r.n, Kind: "checkout_session", State: r.state, Total: r.asked, Stamp: stamp,
		Refs: payment.Refs{CheckoutSession: id}, URL: "https://fake.example.com/" + id,
	}}}
	if r.state == payment.AttemptApproved {
		facts.Attempts[0].ApprovedAt = r.asOf
	}
	for c, amount := range r.captures {
		facts.Captures = append(facts.Captures, payment.Capture{
			Key: key(c), N: r.n, Amount: payment.Money{Minor: amount, Currency: r.asked.Currency}, State: payment.CaptureCompleted, Stamp: stamp,
		})
		for refund, amount := range r.refunds {
			facts.Refunds = append(facts.Refunds, payment.Refund{
				Key: key(refund), Capture: c, Amount: payment.Money{Minor: amount, Currency: r.asked.Currency}, State: payment.RefundSucceeded, Stamp: stamp,
			})
		}
	}
	return payment.Observation{Provider: "stripe", Account: f.account, N: r.n, Complete: true, AsOf: f.now(), Facts: facts}
}

func (f *fakeProvider) Fetch(_ context.Context, a providers.Attempt) (payment.Observation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fetches++
	if f.fetchErr != nil {
		return payment.Observation{}, f.fetchErr
	}
	if f.roots[a.Root.ID] == nil {
		return payment.Observation{}, &providers.Error{Class: providers.NotFound, Provider: "stripe", Op: "fetch"}
	}
	obs := f.observe(a.Root.ID)
	if f.beside != nil {
		obs.Narrow = true
	}
	return obs, f.beside
}

func (f *fakeProvider) CloseCheckout(_ context.Context, a providers.Attempt, _ string) (providers.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return providers.Result{Ref: a.Root.ID, Observation: f.observe(a.Root.ID)}, nil
}

func (f *fakeProvider) Capture(_ context.Context, req providers.CaptureRequest, key string) (providers.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.roots[req.Attempt.Root.ID]
	if r.captures["cap_"+key] == 0 {
		f.captures++
	}
	r.captures["cap_"+key], r.state, r.asOf = req.Amount.Minor, payment.AttemptComplete, f.now()
	return providers.Result{Ref: "cap_" + key, Observation: f.observe(req.Attempt.Root.ID)}, nil
}

func (f *fakeProvider) Void(context.Context, providers.CaptureRequest, string) (providers.Result, error) {
	return providers.Result{}, &providers.Error{Class: providers.Refused, Provider: "stripe", Op: "void"}
}

func (f *fakeProvider) Refund(context.Context, providers.RefundRequest, string) (providers.Result, error) {
	return providers.Result{}, &providers.Error{Class: providers.Refused, Provider: "stripe", Op: "refund"}
}

// Verify takes "X-Sig: good" for a signature.
func (f *fakeProvider) Verify(_ context.Context, header http.Header, body []byte, connect bool, _ time.Time) (providers.Event, error) {
	switch header.Get("X-Sig") {
	case "good":
	case "connect":
		if !connect {
			return providers.Event{}, providers.ErrSignature
		}
	case "unavailable":
		return providers.Event{}, fmt.Errorf("%w: dial tcp", providers.ErrVerifyUnavailable)
	default:
		return providers.Event{}, providers.ErrSignature
	}
	var h hook
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&h); err != nil {
		return providers.Event{}, providers.ErrMalformed
	}
	return providers.Event{
		Key: h.Key, ID: "evt_" + h.Key, Type: h.Type, Created: f.now(), Live: h.Live, Account: h.Connected, Version: h.Version,
		Object: providers.Ref{Kind: h.Kind, ID: h.Object}, Hint: providers.Hint{PaymentID: h.Payment, N: h.N, Refs: h.Refs}, Relevant: !h.Other,
	}, nil
}

// Trace answers what a test has put into traces.
func (f *fakeProvider) Trace(_ context.Context, object providers.Ref) (providers.Hint, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.traced = append(f.traced, object)
	if f.traceErr != nil {
		return providers.Hint{}, f.traceErr
	}
	h, ok := f.traces[object.ID]
	if !ok {
		return providers.Hint{}, &providers.Error{Class: providers.NotFound, Provider: "stripe", Op: "trace"}
	}
	return h, nil
}

// pay is the customer paying a checkout whose provider takes the money itself.
func (f *fakeProvider) pay(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.roots[id]
	r.captures["ch_"+id], r.state, r.asOf = r.asked.Minor, payment.AttemptComplete, f.now()
}

// approve is the customer agreeing where our call takes the money.
func (f *fakeProvider) approve(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.roots[id].state, f.roots[id].asOf = payment.AttemptApproved, f.now()
}

func (f *fakeProvider) set(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

func (f *fakeProvider) fetched() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fetches
}
