package gateway_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// story is one payment's life as its app and its customer live it: steps that are repeated until they are done. A step
// may run again at any time, so each is what a careful client would do.
type story struct {
	*world
	id       string
	promises []func() error // what a 2xx said, checked at the end
	reread   bool           // the last conflict made the client read again
}

type step func(s *story) (done bool)

// scenario is a life and how it must end, whatever fails on the way.
type scenario struct {
	name     string
	faults   func(w *world) // the provider's
	steps    []step
	status   payment.Status
	captured int64
	refunded int64
}

// outdated says that a conflict may only mean that our record lags behind the provider's: the client reads once (a
// webhook does the same) and asks again.
func (s *story) outdated(err error) bool {
	if payment.CodeOf(err) != payment.CodeConflict || s.reread {
		s.reread = false
		return false
	}
	s.reread = s.sees()
	return true
}

// heard judges an answer: true is a final one, false means that the client asks again with the same key.
func (s *story) heard(a gateway.Answer, err error) bool {
	s.t.Helper()
	switch payment.CodeOf(err) {
	case payment.CodeIdempotencyInProgress, payment.CodeProviderUnavailable, payment.CodeStoreUnavailable:
		return false
	}
	if err != nil {
		s.t.Errorf("answered %v", err)
		return true
	}
	return !a.Unknown
}

func (s *story) promise(check func() error) { s.promises = append(s.promises, check) }

func creates(in gateway.CreateInput) step {
	return func(s *story) bool {
		a, err := s.create("create", in)
		done := s.heard(a, err)
		if a.Payment != nil {
			s.id = a.Payment.ID
			s.promise(func() error {
				if _, err := s.payments.Get(context.Background(), a.Payment.ID); err != nil {
					return fmt.Errorf("a payment answered before is not there: %w", err)
				}
				return nil
			})
		}
		return done
	}
}

func pays(provider string, n int) step {
	return func(s *story) bool {
		s.fake(provider).pay(s.id, n)
		s.pass(10 * time.Second)
		return true
	}
}

// returns is the customer's browser coming back, and the webhook that follows. The app waits while the payment is
// processing.
func returns(n int) step {
	return func(s *story) bool {
		_, _, err := s.svc.Returned(context.Background(), s.id, s.get(s.id).Token, "success", n)
		return s.heard(gateway.Answer{Payment: s.get(s.id)}, err) && s.sees() && s.get(s.id).Status() != payment.StatusProcessing
	}
}

func refunds(key string, amount int64) step {
	return func(s *story) bool {
		a, err := s.refund(s.id, key, amount)
		if s.outdated(err) {
			return false
		}
		if err == nil {
			s.promise(func() error {
				_, r, err := s.svc.GetRefund(context.Background(), shop, a.Refund)
				if err != nil || r.Amount.Minor != amount || r.State != payment.RefundSucceeded {
					return fmt.Errorf("refund %s was promised and is %+v (%w)", a.Refund, r, err)
				}
				return nil
			})
		}
		return s.heard(a, err)
	}
}

func captures(key string, amount int64, final bool) step {
	return func(s *story) bool {
		a, err := s.capture(s.id, key, amount, final)
		if s.outdated(err) {
			return false
		}
		if err == nil && !a.Unknown {
			captured := a.Payment.Amounts().Captured
			s.promise(func() error {
				if now := s.get(s.id).Amounts().Captured; now < captured || captured < amount {
					return fmt.Errorf("%d were said to be captured, it is %d", captured, now)
				}
				return nil
			})
		}
		return s.heard(a, err)
	}
}

func cancels() step {
	return func(s *story) bool {
		a, err := s.cancel(s.id, "cancel")
		if err == nil {
			s.promise(func() error {
				if now := s.get(s.id).Status(); now != payment.StatusCanceled {
					return fmt.Errorf("a canceled payment is %s", now)
				}
				return nil
			})
		}
		if payment.CodeOf(err) == payment.CodeConflict && s.get(s.id).Unfinished(0) != nil {
			return false // "wait for it, then cancel"
		}
		return s.heard(a, err)
	}
}

func chooses(provider string) step {
	return func(s *story) bool {
		_, _, err := s.svc.Choose(context.Background(), s.id, s.get(s.id).Token, provider)
		if payment.CodeOf(err) == payment.CodeConflict {
			return false // "try again in a moment"
		}
		return s.heard(gateway.Answer{Payment: s.get(s.id)}, err)
	}
}

// takesAgain is a second capture that somebody makes at the provider, seen by a webhook.
func takesAgain(provider string) step {
	return func(s *story) bool {
		taken, _ := s.fake(provider).books(s.id)
		if len(taken) < 2 {
			s.fake(provider).takeOutside(s.id, 1, 1000)
			s.pass(10 * time.Second)
		}
		return s.sees()
	}
}

// sees is a webhook or a sweep.
func (s *story) sees() bool {
	src := payment.Source{Layer: payment.LayerWebhook, Actor: payment.Actor{Type: "webhook", ID: "evt_1"}}
	if _, err := s.svc.Refresh(context.Background(), s.id, 0, src); err != nil {
		return false
	}
	_, err := s.svc.RunDue(context.Background(), s.id, src)
	return err == nil
}

// resolves gives one of the two captures back.
func resolves(s *story) bool {
	p := s.get(s.id)
	p, err := s.resolve(s.id, "resolve", "refund", p.Facts.Captures[1].Key.ID)
	if err == nil {
		s.promise(func() error {
			if now := s.get(s.id).Status(); now == payment.StatusConflicted {
				return fmt.Errorf("a resolved payment is %s again", now)
			}
			return nil
		})
	}
	return s.heard(gateway.Answer{Payment: p}, err)
}

func waits(d time.Duration) step {
	return func(s *story) bool {
		if wait := begin.Add(d).Sub(s.now()); wait > 0 {
			s.pass(wait)
		}
		return true
	}
}

func scenarios() []scenario {
	short := input("stripe")
	short.ExpiresIn = 1800
	fails := func(provider, op string, planned ...fault) func(*world) {
		return func(w *world) { w.fake(provider).fail(op, planned...) }
	}
	return []scenario{
		{"card paid", nil, []step{creates(input("stripe")), pays("stripe", 1), returns(1)}, payment.StatusSucceeded, 1000, 0},
		{"order approved and captured", nil, []step{creates(input("paypal")), pays("paypal", 1), returns(1)}, payment.StatusSucceeded, 1000, 0},
		{
			"declined, then paid", fails("paypal", "capture", declined),
			[]step{creates(input("paypal")), pays("paypal", 1), returns(1), pays("paypal", 1), returns(1)},
			payment.StatusSucceeded, 1000, 0,
		},
		{"expired", nil, []step{creates(short), waits(31 * time.Minute)}, payment.StatusExpired, 0, 0},
		{
			"creation without an answer", fails("stripe", "create_checkout", stored500Done),
			[]step{creates(input("stripe")), pays("stripe", 1), returns(1)},
			payment.StatusSucceeded, 1000, 0,
		},
		{
			"creation not done at first", fails("stripe", "create_checkout", tooMany, timeoutBefore),
			[]step{creates(input("stripe")), pays("stripe", 1), pays("stripe", 2), returns(1)},
			payment.StatusSucceeded, 1000, 0,
		},
		{
			"two partial refunds", nil,
			[]step{creates(input("stripe")), pays("stripe", 1), returns(1), refunds("r1", 300), refunds("r2", 200)},
			payment.StatusSucceeded, 1000, 500,
		},
		{
			"refund with a lost answer", fails("stripe", "refund", timeoutAfter),
			[]step{creates(input("stripe")), pays("stripe", 1), returns(1), refunds("r1", 300)},
			payment.StatusSucceeded, 1000, 300,
		},
		{
			"refund not done at first", fails("stripe", "refund", tooMany, timeoutBefore, tooMany),
			[]step{creates(input("stripe")), pays("stripe", 1), returns(1), refunds("r1", 300)},
			payment.StatusSucceeded, 1000, 300,
		},
		{
			"cancel of an open checkout", fails("stripe", "close_checkout", timeoutAfter),
			[]step{creates(input("stripe")), cancels()},
			payment.StatusCanceled, 0, 0,
		},
		{"cancel of a hold", nil, []step{creates(manualInput("paypal")), pays("paypal", 1), returns(1), cancels()}, payment.StatusCanceled, 0, 0},
		{
			"switch", nil,
			[]step{creates(input("")), chooses("stripe"), chooses("paypal"), pays("stripe", 1), pays("paypal", 2), returns(2)},
			payment.StatusSucceeded, 1000, 0,
		},
		{
			"abandoned and approved", nil,
			[]step{creates(input("")), chooses("paypal"), chooses("stripe"), pays("paypal", 1), returns(1), pays("stripe", 2), returns(2)},
			payment.StatusSucceeded, 1000, 0,
		},
		{
			"manual capture in parts", fails("paypal", "capture", timeoutAfter),
			[]step{creates(manualInput("paypal")), pays("paypal", 1), returns(1), captures("c1", 300, false), captures("c2", 500, true)},
			payment.StatusSucceeded, 800, 0,
		},
		{
			"conflicted, then resolved", nil,
			[]step{creates(input("stripe")), pays("stripe", 1), returns(1), takesAgain("stripe"), resolves},
			payment.StatusSucceeded, 2000, 1000,
		},
	}
}

// trouble is what happens at the k-th write.
type trouble struct {
	name    string
	clients []bool // patient or not: only a crash makes a difference
	hit     func(n, k int, when faults.When) error
}

var errOutage = fmt.Errorf("outage: %w", store.ErrUnavailable)

func troubles() []trouble {
	at := func(side faults.When, do func() error) func(int, int, faults.When) error {
		return func(n, k int, when faults.When) error {
			if n == k && when == side {
				return do()
			}
			return nil
		}
	}
	both := []bool{true, false}
	crashes, loses := func() error { panic(crash{}) }, func() error { return errOutage }
	return []trouble{
		{"crash before", both, at(faults.Before, crashes)},
		{"crash after", both, at(faults.After, crashes)},
		{"acknowledgement lost", both[:1], at(faults.After, loses)},
		{"outage", both[:1], func(n, k int, when faults.When) error {
			if n >= k && n < k+7 && when == faults.Before {
				return errOutage
			}
			return nil
		}},
		{"crash after, twice", both[:1], func(n, k int, when faults.When) error {
			if (n == k || n == k+2) && when == faults.After {
				panic(crash{})
			}
			return nil
		}},
	}
}

// live runs a scenario with trouble at the k-th write. patient clients ask again until they have an answer; others are
// never heard of again after a crash. It returns how many writes there were.
func live(t *testing.T, sc scenario, tr *trouble, k int, patient bool) int {
	w := newWorld(t, nil)
	s := &story{world: w}
	if sc.faults != nil {
		sc.faults(w)
	}
	n, gone := 0, false
	w.hook = func(_ store.WritePoint, when faults.When) error {
		if when == faults.Before {
			n++
		}
		if tr == nil {
			return nil
		}
		return tr.hit(n, k, when)
	}
	for i := 0; i < len(sc.steps) && !gone; i++ {
		done := false
		for tries := 0; !done && !gone; tries++ {
			if tries > 400 {
				t.Fatalf("step %d never ends: %s", i, told(w.get(s.id)))
			}
			crashed := w.survive(func() { done = sc.steps[i](s) })
			gone = crashed && !patient
			if !done {
				w.pass(11 * time.Second)
				w.survive(func() { _, _, _ = w.ops.Step(context.Background()) })
			}
		}
	}
	if s.id == "" { // nobody ever heard of it: what was stored must come to an end all the same
		list, _, err := w.svc.List(context.Background(), shop, gateway.Filter{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			return n
		}
		s.id = list[0].ID
	}
	s.calm()
	w.hook = nil
	if gone { // reconcile finds what nobody came back for
		w.pass(time.Minute)
		s.sees()
	}
	s.calm()
	s.judge(sc, !gone)
	return n
}

// calm runs the worker until nothing is left to do.
func (s *story) calm() {
	s.t.Helper()
	for range 500 {
		s.survive(func() { _, _, _ = s.ops.Step(context.Background()) })
		p := s.get(s.id)
		at := p.WorkAt()
		if p.Unfinished(0) == nil && len(p.Alerts) == 0 && (at.IsZero() || at.After(s.now())) {
			return
		}
		if wait := at.Sub(s.now()); wait > 0 {
			s.pass(wait)
		}
	}
	s.t.Fatalf("never calm: %s", told(s.get(s.id)))
}

// judge holds the end against what must be true.
func (s *story) judge(sc scenario, whole bool) {
	s.t.Helper()
	p := s.get(s.id)
	if whole && p.Status() != sc.status {
		s.t.Errorf("status %s, want %s: %s", p.Status(), sc.status, told(p))
	}
	s.wantBooks(s.id)
	var captured int64
	for _, f := range []*fakeProvider{s.stripe, s.paypal} {
		taken, _ := f.books(s.id)
		for _, amount := range taken {
			captured += amount
		}
	}
	if refunded := s.refundedSum(s.id); captured > sc.captured || refunded > sc.refunded || whole && (captured != sc.captured || refunded != sc.refunded) {
		s.t.Errorf("captured %d, want %d; refunded %d, want %d: %s", captured, sc.captured, refunded, sc.refunded, told(p))
	}
	if a := p.Amounts(); a.Captured != captured || a.RefundPending != 0 || a.Refunded != s.refundedSum(s.id) {
		s.t.Errorf("amounts %+v", a)
	}
	for _, check := range s.promises {
		if err := check(); err != nil {
			s.t.Error(err)
		}
	}
	ids := map[string]bool{}
	for i, e := range p.Outbox {
		if ids[e.ID] || len(e.Body) == 0 || e.ID != payment.DeriveID("evt", p.ID, fmt.Sprint(i+1), e.Type, e.Object) {
			s.t.Errorf("event %d: %+v", i, e)
		}
		ids[e.ID] = true
	}
	_, entries, err := s.svc.History(context.Background(), shop, s.id)
	if err != nil || len(entries) == 0 || cmp.Diff(p.Snapshot(), entries[len(entries)-1].After) != "" {
		s.t.Errorf("history of %d entries does not end at the present: %v", len(entries), err)
	}
	for i := 1; i < len(entries); i++ {
		if d := cmp.Diff(entries[i-1].After, entries[i].Before); d != "" {
			s.t.Errorf("history has a gap before version %d:\n%s", entries[i].Version, d)
		}
	}
	s.pass(time.Minute)
	s.sees() // another look finds nothing new
	if d := cmp.Diff(p.Snapshot(), s.get(s.id).Snapshot()); d != "" {
		s.t.Errorf("a read changed the settled payment (-before +after):\n%s", d)
	}
}

// Guards I1, I3, I4, I5, I8 against kill -9, lost acknowledgements and outages at every single write of seventeen lives of
// a payment: the provider's books equal ours, nothing is taken or given twice, nothing stays undone, and what was
// answered stays true.
func TestEveryWriteFails(t *testing.T) {
	t.Parallel()
	for _, sc := range append(scenarios(), disputeScenarios()...) {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			total := live(t, sc, nil, 0, true)
			if total < 2 || t.Failed() {
				t.Fatalf("%d writes", total)
			}
			for i, tr := range troubles() {
				for k := i % thin; k < total; k += thin {
					for _, patient := range tr.clients {
						live(t, sc, &tr, k+1, patient)
						if t.Failed() {
							t.Fatalf("%s at write %d of %d, patient client %v", tr.name, k+1, total, patient)
						}
					}
				}
			}
		})
	}
}
