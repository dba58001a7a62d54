package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// fakeProvider is a scripted provider: checkouts are paid by a call of the
// test's, and each operation fails as planned. The one named paypal cannot do
// partial captures and takes no yen.
type fakeProvider struct {
	mu      sync.Mutex
	now     func() time.Time
	info    providers.Info
	roots   []*fakeRoot
	calls   map[string]int
	planned map[string][]error
	during  func(op string) // runs before each call takes effect, unlocked
	keys    map[string]int  // root by creation key
	seq     int
}

type fakeRoot struct {
	req      providers.CheckoutRequest
	id       string
	url      string
	state    payment.AttemptState
	failure  payment.Failure
	created  time.Time
	captures []payment.Capture
	auths    []payment.Authorization
	refunds  []payment.Refund
	disputes []payment.Dispute
	fees     []payment.Fee
}

var errTaken = errors.New("currency not taken")

func newFake(name, label string, now func() time.Time) *fakeProvider {
	return &fakeProvider{
		now: now, calls: map[string]int{}, planned: map[string][]error{}, keys: map[string]int{},
		info: providers.Info{
			Provider: name, Label: label, Account: name + "-test", Mode: payment.ModeTest,
			KeyLife:        func(payment.OpKind) time.Duration { return 24 * time.Hour },
			SyncSchedule:   []time.Duration{2 * time.Minute},
			PartialCapture: name == "stripe", MaxCheckout: 25 * time.Hour, Labels: map[string]string{"de": "[" + label + "]"},
			Supports: func(m payment.Money) error {
				if name == "paypal" && m.Currency == "jpy" {
					return errTaken
				}
				return nil
			},
		},
	}
}

// fails plans the next outcomes of an operation; nil is success.
func (f *fakeProvider) fails(op string, errs ...error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.planned[op] = append(f.planned[op], errs...)
}

func providerError(class providers.Class, code string) error {
	return &providers.Error{Class: class, Provider: "fake", Code: code, Cause: errors.New("secret driver text")}
}

// count is how often an operation was called, "" for all of them.
func (f *fakeProvider) count(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if op != "" {
		return f.calls[op]
	}
	sum := 0
	for _, n := range f.calls {
		sum += n
	}
	return sum
}

func (f *fakeProvider) enter(op string) error {
	if f.during != nil {
		f.during(op)
	}
	f.mu.Lock()
	f.calls[op]++
	if list := f.planned[op]; len(list) > 0 {
		f.planned[op] = list[1:]
		return list[0]
	}
	return nil
}

func (f *fakeProvider) id(prefix string) string {
	f.seq++
	return fmt.Sprintf("%s_%s_%d", prefix, f.info.Provider, f.seq)
}

func (f *fakeProvider) key(id string) payment.ObjectKey {
	return payment.ObjectKey{Provider: f.info.Provider, Account: f.info.Account, ID: id}
}

func (f *fakeProvider) stamp() payment.Stamp {
	now := f.now()
	return payment.Stamp{Created: now, AsOf: now}
}

// pay is the customer paying the newest checkout: automatic ones are captured,
// manual ones held.
func (f *fakeProvider) pay() *fakeRoot {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.roots[len(f.roots)-1]
	if r.req.Manual {
		r.state = payment.AttemptAuthorized
		r.auths = append(r.auths, payment.Authorization{
			Key: f.key(f.id("auth")), N: r.req.N, Amount: r.req.Amount, Capturable: r.req.Amount.Minor, State: payment.AuthActive, Stamp: f.stamp(),
		})
		return r
	}
	f.capture(r, r.req.Amount.Minor, "")
	return r
}

func (f *fakeProvider) capture(r *fakeRoot, minor int64, auth string) string {
	id := f.id("cap")
	amount := payment.Money{Minor: minor, Currency: r.req.Amount.Currency}
	r.state = payment.AttemptComplete
	r.captures = append(r.captures, payment.Capture{Key: f.key(id), N: r.req.N, Auth: auth, Amount: amount, State: payment.CaptureCompleted, Stamp: f.stamp()})
	r.fees = append(r.fees, payment.Fee{
		Key: f.key(f.id("txn")), Object: id, Fee: payment.Money{Minor: 30, Currency: amount.Currency}, Net: payment.Money{Minor: minor - 30, Currency: amount.Currency},
	})
	return id
}

func (f *fakeProvider) observe(r *fakeRoot) payment.Observation {
	now := f.now()
	fact := payment.AttemptFact{
		Key: f.key(r.id), N: r.req.N, Kind: "checkout_session", State: r.state, Total: r.req.Amount, ExpiresAt: r.req.ExpiresAt, Failure: r.failure,
		Refs: payment.Refs{CheckoutSession: r.id}, Stamp: payment.Stamp{Created: r.created, AsOf: now},
	}
	if r.state == payment.AttemptOpen {
		fact.URL = r.url
	}
	facts := payment.Facts{Attempts: []payment.AttemptFact{fact}, Disputes: r.disputes, Fees: r.fees}
	for _, a := range r.auths {
		a.AsOf = now
		facts.Authorizations = append(facts.Authorizations, a)
	}
	for _, c := range r.captures {
		c.AsOf = now
		facts.Captures = append(facts.Captures, c)
	}
	for _, x := range r.refunds {
		x.AsOf = now
		facts.Refunds = append(facts.Refunds, x)
	}
	return payment.Observation{Provider: f.info.Provider, Account: f.info.Account, N: r.req.N, Complete: true, AsOf: now, Facts: facts}
}

func (f *fakeProvider) find(a providers.Attempt) *fakeRoot {
	for _, r := range f.roots {
		if r.id == a.Root.ID {
			return r
		}
	}
	return nil
}

func (f *fakeProvider) Info() providers.Info { return f.info }

func (f *fakeProvider) CreateCheckout(_ context.Context, req providers.CheckoutRequest, key string) (providers.Result, error) {
	err := f.enter("create")
	defer f.mu.Unlock()
	if err != nil {
		return providers.Result{}, err
	}
	i, again := f.keys[key]
	if !again {
		id := f.id("cs")
		f.roots = append(f.roots, &fakeRoot{req: req, id: id, url: "https://" + f.info.Provider + ".test/c/" + id, state: payment.AttemptOpen, created: f.now()})
		i = len(f.roots) - 1
		f.keys[key] = i
	}
	r := f.roots[i]
	return providers.Result{Ref: r.id, Observation: f.observe(r)}, nil
}

func (f *fakeProvider) Fetch(_ context.Context, a providers.Attempt) (payment.Observation, error) {
	err := f.enter("fetch")
	defer f.mu.Unlock()
	if err != nil {
		return payment.Observation{}, err
	}
	return f.observe(f.find(a)), nil
}

func (f *fakeProvider) CloseCheckout(_ context.Context, a providers.Attempt, _ string) (providers.Result, error) {
	err := f.enter("close")
	defer f.mu.Unlock()
	if err != nil {
		return providers.Result{}, err
	}
	r := f.find(a)
	if r.state == payment.AttemptOpen {
		r.state = payment.AttemptExpired
	}
	return providers.Result{Ref: r.id, Observation: f.observe(r)}, nil
}

func (f *fakeProvider) Capture(_ context.Context, req providers.CaptureRequest, _ string) (providers.Result, error) {
	err := f.enter("capture")
	defer f.mu.Unlock()
	if err != nil {
		return providers.Result{}, err
	}
	r := f.find(req.Attempt)
	id := f.capture(r, req.Amount.Minor, req.Target)
	for i := range r.auths {
		r.auths[i].Capturable -= req.Amount.Minor
		if req.Final || r.auths[i].Capturable == 0 {
			r.auths[i].Capturable, r.auths[i].State = 0, payment.AuthCaptured
		} else {
			r.state = payment.AttemptAuthorized
		}
	}
	return providers.Result{Ref: id, Observation: f.observe(r)}, nil
}

func (f *fakeProvider) Void(_ context.Context, req providers.CaptureRequest, _ string) (providers.Result, error) {
	err := f.enter("void")
	defer f.mu.Unlock()
	if err != nil {
		return providers.Result{}, err
	}
	r := f.find(req.Attempt)
	for i := range r.auths {
		r.auths[i].Capturable, r.auths[i].State = 0, payment.AuthVoided
	}
	r.state = payment.AttemptCanceled
	return providers.Result{Ref: req.Target, Observation: f.observe(r)}, nil
}

func (f *fakeProvider) Refund(_ context.Context, req providers.RefundRequest, _ string) (providers.Result, error) {
	err := f.enter("refund")
	defer f.mu.Unlock()
	if err != nil {
		return providers.Result{}, err
	}
	r := f.find(req.Attempt)
	id := f.id("re")
	r.refunds = append(r.refunds, payment.Refund{
		Key: f.key(id), Capture: req.Capture, Amount: req.Amount, State: payment.RefundSucceeded, Operation: req.Operation, Stamp: f.stamp(),
	})
	return providers.Result{Ref: id, Observation: f.observe(r)}, nil
}
