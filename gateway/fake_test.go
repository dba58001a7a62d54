package gateway_test

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// fault is what goes wrong in one provider call.
type fault int

const (
	fine          fault = iota
	timeoutBefore       // the connection broke before anything happened
	timeoutAfter        // it happened, the answer was lost
	stored500           // nothing happened, and the provider answers 500 to this key for ever
	stored500Done       // it happened, and the provider answers 500 to this key for ever
	tooMany             // 429
	declined            // the bank said no
	refused             // the request is wrong or the state forbids it
	missing             // 404
	htmlPage            // a proxy's page instead of an answer, nothing happened
	forbidden           // wrong credentials
	blindRead           // it happened, but the read after it failed: a fragment
	keptRefusal         // not done, and the provider keeps saying so to this key
)

// fakeProvider models a provider's books honestly: money moves only by a call
// that took effect, each key takes effect once for as long as keys live, and a
// key that is dead acts again. The Stripe-like one captures by itself when its
// page is paid, can close its page and find checkouts; the PayPal-like one needs
// a capture call after approval, can do neither, and may decline the capture.
type fakeProvider struct {
	mu            sync.Mutex
	now           func() time.Time
	name, account string
	stripeLike    bool
	keyLife       time.Duration // what it says, and how long it remembers
	remembers     time.Duration // if set, how long it really remembers
	roots         []*fakeRoot
	keys          map[string]*fakeKey
	script        map[string][]fault // by operation, used up in order
	calls         []fakeCall
	broken        []string        // what our side must never do
	during        func(op string) // runs in the middle of each call, before its effect
	seq           int
	beside        error // reading shows the root and what is below it, and no disputes
	rootless      bool  // the root is gone: reading shows nothing that was made below it
}

type fakeCall struct{ op, key string }

type fakeKey struct {
	at     time.Time
	params string
	ref    string
	root   *fakeRoot
	err    *providers.Error
}

type fakeRoot struct {
	id       string
	req      providers.CheckoutRequest
	state    payment.AttemptState
	created  time.Time
	approved time.Time
	holds    []*fakeHold
	captures []*fakeCapture
	disputes []*fakeDispute
}

type fakeHold struct {
	id            string
	amount, taken int64
	state         payment.AuthState
	created       time.Time
}

type fakeCapture struct {
	id, hold string
	amount   int64
	created  time.Time
	refunds  []*fakeRefund
}

type fakeRefund struct {
	id, op  string
	amount  int64
	created time.Time
}

func newFake(name string, now func() time.Time) *fakeProvider {
	f := &fakeProvider{
		now: now, name: name, account: name + "-eu", stripeLike: name == "stripe", keyLife: 24 * time.Hour,
		keys: map[string]*fakeKey{}, script: map[string][]fault{},
	}
	if !f.stripeLike {
		f.keyLife = 6 * time.Hour
	}
	return f
}

// fakeStripe can find a checkout by our reference.
type fakeStripe struct{ *fakeProvider }

// fakePayPal needs a call to hold the money of an approved order.
type fakePayPal struct{ *fakeProvider }

var (
	_ providers.CheckoutFinder = fakeStripe{}
	_ providers.Authorizer     = fakePayPal{}
)

func (f *fakeProvider) Info() providers.Info {
	return providers.Info{
		Provider: f.name, Label: f.name, Account: f.account, Mode: payment.ModeTest,
		KeyLife:        func(payment.OpKind) time.Duration { return f.keyLife },
		SyncSchedule:   []time.Duration{2 * time.Minute, time.Hour},
		PartialCapture: !f.stripeLike,
		AutomaticTax:   f.stripeLike,
		Supports: func(m payment.Money) error {
			if m.Currency == "kwd" || m.Currency == "jpy" && !f.stripeLike {
				return fmt.Errorf("%s is not taken", m.Currency)
			}
			return nil
		},
		MaxCheckout: map[bool]time.Duration{true: 24 * time.Hour, false: 3 * time.Hour}[f.stripeLike],
	}
}

// clock is provider time: whole seconds, as in HTTP dates.
func (f *fakeProvider) clock() time.Time { return f.now().UTC().Truncate(time.Second) }

func (f *fakeProvider) id(prefix string) string {
	f.seq++
	return fmt.Sprintf("%s_%s%d", prefix, f.name, f.seq)
}

// fail plans what goes wrong in the next calls of one operation.
func (f *fakeProvider) fail(op string, faults ...fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script[op] = append(f.script[op], faults...)
}

func (f *fakeProvider) next(op string) fault {
	if len(f.script[op]) == 0 {
		return fine
	}
	next := f.script[op][0]
	f.script[op] = f.script[op][1:]
	return next
}

// enter counts a call and says how it fails before anything happens, if it does.
// The caller unlocks.
func (f *fakeProvider) enter(op, key string) (fault, error) {
	if f.during != nil {
		f.during(op)
	}
	f.mu.Lock()
	f.calls = append(f.calls, fakeCall{op, key})
	planned := f.next(op)
	fail := func(class providers.Class, status int, code string) error {
		return &providers.Error{Class: class, Provider: f.name, Op: op, Status: status, Code: code}
	}
	switch planned {
	case timeoutBefore:
		return planned, fail(providers.Unknown, 0, "timeout")
	case htmlPage:
		return planned, fail(providers.Unknown, 502, "no_clear_answer")
	case tooMany:
		return planned, fail(providers.NotDone, 429, "rate_limit")
	case missing:
		return planned, fail(providers.NotFound, 404, "resource_missing")
	case forbidden:
		return planned, fail(providers.Misconfigured, 401, "unauthorized")
	}
	return planned, nil
}

// change is one mutating call. effect moves the books and names the object made.
func (f *fakeProvider) change(op, key, params string, effect func() (string, *fakeRoot, *providers.Error)) (providers.Result, error) {
	planned, err := f.enter(op, key)
	defer f.mu.Unlock()
	if err != nil {
		return providers.Result{}, err
	}
	life := f.keyLife
	if f.remembers > 0 {
		life = f.remembers
	}
	k := f.keys[key]
	switch {
	case k != nil && f.now().Before(k.at.Add(life)):
		if k.params != params {
			f.broken = append(f.broken, fmt.Sprintf("%s: key %s again with other parameters:\n%s\n%s", op, key, k.params, params))
			return providers.Result{}, &providers.Error{Class: providers.Unknown, Provider: f.name, Op: op, Code: "idempotency_error", Stored: true}
		}
	default:
		k = &fakeKey{at: f.now(), params: params}
		keep := true
		switch planned {
		case stored500:
			k.err = &providers.Error{Class: providers.Unknown, Provider: f.name, Op: op, Status: 500, Code: "api_error", Stored: true}
		case keptRefusal:
			k.err = &providers.Error{Class: providers.NotDone, Provider: f.name, Op: op, Status: 400, Code: "still_open", Stored: true}
		case declined:
			k.err = &providers.Error{Class: providers.Declined, Provider: f.name, Op: op, Status: 402, Code: "card_declined", DeclineCode: "insufficient_funds"}
		case refused:
			k.err, keep = &providers.Error{Class: providers.Refused, Provider: f.name, Op: op, Status: 400, Code: "not_allowed"}, false
		default:
			k.ref, k.root, k.err = effect()
			keep = k.err == nil
			if k.err == nil && planned == stored500Done {
				k.err = &providers.Error{Class: providers.Unknown, Provider: f.name, Op: op, Status: 500, Code: "api_error", Stored: true}
			}
		}
		if keep {
			f.keys[key] = k
		}
	}
	if planned == timeoutAfter {
		return providers.Result{}, &providers.Error{Class: providers.Unknown, Provider: f.name, Op: op, Code: "timeout"}
	}
	if k.err != nil {
		return providers.Result{}, k.err
	}
	obs := f.observe(k.root)
	if planned == blindRead && op != "create_checkout" {
		obs.Complete, obs.Facts.Attempts = false, nil
	}
	return providers.Result{Ref: k.ref, Observation: obs}, nil
}

func (f *fakeProvider) refuse(op, code string) *providers.Error {
	return &providers.Error{Class: providers.Refused, Provider: f.name, Op: op, Status: 422, Code: code}
}

func (f *fakeProvider) root(id string) *fakeRoot {
	for _, r := range f.roots {
		if r.id == id {
			return r
		}
	}
	return nil
}

// lapse is the root's state now: what nobody paid in time is expired.
func (f *fakeProvider) lapse(r *fakeRoot) {
	end := r.req.ExpiresAt
	if !f.stripeLike {
		end = r.created.Add(3 * time.Hour)
	}
	if (r.state == payment.AttemptOpen || r.state == payment.AttemptApproved) && !f.now().Before(end) {
		r.state = payment.AttemptExpired
	}
}

// observe reads a root with everything below it.
func (f *fakeProvider) observe(r *fakeRoot) payment.Observation {
	f.lapse(r)
	key := func(id string) payment.ObjectKey {
		return payment.ObjectKey{Provider: f.name, Account: f.account, ID: id}
	}
	now := f.clock()
	at := func(created time.Time) payment.Stamp { return payment.Stamp{Created: created, AsOf: now} }
	fact := payment.AttemptFact{
		Key: key(r.id), N: r.req.N, Kind: "order", State: r.state, Total: r.req.Amount, ApprovedAt: r.approved,
		ExpiresAt: r.req.ExpiresAt, Refs: payment.Refs{Order: r.id}, Stamp: at(r.created),
	}
	if f.stripeLike {
		fact.Kind, fact.Refs = "checkout_session", payment.Refs{CheckoutSession: r.id}
	}
	if r.state == payment.AttemptOpen || r.state == payment.AttemptApproved {
		fact.URL = "https://" + f.name + ".test/" + r.id
	}
	facts := payment.Facts{}
	money := func(minor int64) payment.Money {
		return payment.Money{Minor: minor, Currency: r.req.Amount.Currency}
	}
	for _, h := range r.holds {
		facts.Authorizations = append(facts.Authorizations, payment.Authorization{
			Key: key(h.id), N: r.req.N, Amount: money(h.amount), Capturable: h.left(), State: h.state, Stamp: at(h.created),
		})
	}
	for _, c := range r.captures {
		facts.Captures = append(facts.Captures, payment.Capture{
			Key: key(c.id), N: r.req.N, Auth: c.hold, Amount: money(c.amount), State: payment.CaptureCompleted, Stamp: at(c.created),
		})
		facts.Fees = append(facts.Fees, payment.Fee{Key: key("txn_" + c.id), Object: c.id, Fee: money(30), Net: money(c.amount - 30)})
		for _, x := range c.refunds {
			facts.Refunds = append(facts.Refunds, payment.Refund{
				Key: key(x.id), Capture: c.id, Amount: money(x.amount), State: payment.RefundSucceeded, Operation: x.op, Stamp: at(x.created),
			})
		}
	}
	facts.Attempts, facts.Disputes = []payment.AttemptFact{fact}, f.disputesOf(r, now)
	return payment.Observation{Provider: f.name, Account: f.account, N: r.req.N, Complete: true, AsOf: now, Facts: facts}
}

func (h *fakeHold) left() int64 {
	if h.state != payment.AuthActive {
		return 0
	}
	return h.amount - h.taken
}

// pay is the customer on the provider's page of attempt n: they pay at once
// (Stripe-like) or approve. It reports whether the page took it.
func (f *fakeProvider) pay(paymentID string, n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.roots {
		if r.req.PaymentID != paymentID || r.req.N != n {
			continue
		}
		f.lapse(r)
		if r.state != payment.AttemptOpen && r.state != payment.AttemptApproved {
			return false
		}
		r.approved = f.clock()
		switch {
		case !f.stripeLike:
			r.state = payment.AttemptApproved
		case r.req.Manual:
			f.hold(r)
		default:
			r.state = payment.AttemptComplete
			f.take(r, "", r.req.Amount.Minor)
		}
		return true
	}
	return false
}

// takeOutside is a capture made in the provider's dashboard.
func (f *fakeProvider) takeOutside(paymentID string, n int, amount int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.roots {
		if r.req.PaymentID == paymentID && r.req.N == n {
			hold := ""
			if len(r.holds) > 0 {
				hold = r.holds[0].id
				r.holds[0].taken += amount
			}
			f.take(r, hold, amount)
			if hold == "" || r.holds[0].left() == 0 {
				r.state = payment.AttemptComplete
			}
		}
	}
}

// refundLate is a refund that an order of ours made, and that landed late.
func (f *fakeProvider) refundLate(op string, amount int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.roots {
		for _, c := range r.captures {
			c.refunds = append(c.refunds, &fakeRefund{id: "re_late", op: op, amount: amount, created: f.clock()})
		}
	}
}

// counted is how often an operation reached the provider.
func (f *fakeProvider) counted(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c.op == op {
			n++
		}
	}
	return n
}

// keysOf are the keys an operation came with, each once, in order.
func (f *fakeProvider) keysOf(op string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, c := range f.calls {
		if c.op == op && !slices.Contains(out, c.key) {
			out = append(out, c.key)
		}
	}
	return out
}

// books are one payment's movements at this provider.
func (f *fakeProvider) books(paymentID string) (captures, refunds map[string]int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	captures, refunds = map[string]int64{}, map[string]int64{}
	for _, r := range f.roots {
		if r.req.PaymentID != paymentID {
			continue
		}
		for _, c := range r.captures {
			captures[c.id] = c.amount
			for _, x := range c.refunds {
				refunds[x.id] = x.amount
			}
		}
	}
	return captures, refunds
}
