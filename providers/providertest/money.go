package providertest

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

func (s *scene) captureRequest(auth payment.Authorization, amount int64) providers.CaptureRequest {
	return providers.CaptureRequest{
		Attempt: s.attempt(), Target: auth.Key.ID, Final: true,
		Amount: payment.Money{Minor: amount, Currency: s.req.Amount.Currency},
	}
}

// take captures an authorization.
func (s *scene) take(t *testing.T, auth payment.Authorization, amount int64) providers.Result {
	t.Helper()
	res, err := s.h.Provider.Capture(t.Context(), s.captureRequest(auth, amount), s.key("capture"))
	if err != nil {
		t.Fatalf("capture: %v", err)
	}
	s.observe(t, res.Observation)
	s.tick(t)
	return res
}

// manualWhole: held money is taken by our call, once and exactly.
func manualWhole(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 5000, Currency: usd}, true)
	auth := s.authorized(t)
	if n := len(s.facts.Captures); n != 0 {
		t.Fatalf("%d captures before we captured", n)
	}
	s.wantLedger(t)
	res := s.take(t, auth, 5000)
	s.fetch(t)
	if c := s.capture(t); c.Key.ID != res.Ref || c.Amount.Minor != 5000 || c.Auth != auth.Key.ID {
		t.Errorf("capture %+v, result says %q, authorization %q", c, res.Ref, auth.Key.ID)
	}
	s.wantStatus(t, payment.StatusSucceeded)
	s.wantLedger(t)
}

// manualPartial: a final partial capture leaves nothing capturable. What it did not take
// is no refund, and net and fee are those of what it took.
func manualPartial(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 5000, Currency: usd}, true)
	s.take(t, s.authorized(t), 3001)
	s.fetch(t)
	if c := s.capture(t); c.Amount.Minor != 3001 {
		t.Errorf("captured %s, want 30.01 USD", c.Amount)
	}
	got := s.facts.Amounts(nil)
	if got.Capturable != 0 || got.Captured != 3001 || got.Refunded != 0 || got.Refundable != 3001 {
		t.Errorf("amounts %+v", got)
	}
	if len(s.facts.Refunds) != 0 || len(got.Fee) != 1 || len(got.Net) != 1 || got.Fee[0].Minor <= 0 || got.Fee[0].Minor+got.Net[0].Minor != 3001 {
		t.Errorf("refunds %+v, fee %v, net %v of 30.01 USD", s.facts.Refunds, got.Fee, got.Net)
	}
	s.wantStatus(t, payment.StatusSucceeded)
	s.wantLedger(t)
}

// manualVoid: released money is not ours and can't be taken any more; nor was it
// given back.
func manualVoid(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 5000, Currency: usd}, true)
	auth := s.authorized(t)
	for range 2 { // a repetition with the same key changes nothing
		res, err := h.Provider.Void(t.Context(), s.captureRequest(auth, 0), s.key("void"))
		if err != nil {
			t.Fatalf("void: %v", err)
		}
		s.observe(t, res.Observation)
		s.tick(t)
	}
	s.fetch(t)
	s.wantStatus(t, payment.StatusCanceled)
	if got := s.facts.Amounts(nil); got.Capturable != 0 || got.Captured != 0 || got.Refunded != 0 || got.Refundable != 0 || len(s.facts.Refunds) != 0 {
		t.Errorf("amounts %+v, refunds %+v", got, s.facts.Refunds)
	}
	_, err := h.Provider.Capture(t.Context(), s.captureRequest(auth, 5000), s.key("late"))
	wantClass(t, err, providers.Refused, providers.NotFound, providers.Declined)
	s.fetch(t)
	s.wantStatus(t, payment.StatusCanceled)
	s.wantLedger(t)
}

// manualLapsed: a hold that nobody captured ends as canceled.
func manualLapsed(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 5000, Currency: usd}, true)
	auth := s.authorized(t)
	h.ExpireAuthorization(t, auth.Key.ID)
	s.tick(t)
	s.fetch(t)
	s.wantStatus(t, payment.StatusCanceled)
	fact, _ := s.facts.AttemptFact(1)
	if fact.Failure.Code != "authorization_expired" {
		t.Errorf("failure %+v, want authorization_expired", fact.Failure)
	}
	if a := s.facts.Authorizations[0]; a.State != payment.AuthExpired {
		t.Errorf("authorization is %s, want expired", a.State)
	}
	s.wantLedger(t)
}

// captureRepeated: the same key takes the money once (I1).
func captureRepeated(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 5000, Currency: usd}, true)
	auth := s.authorized(t)
	first := s.take(t, auth, 5000)
	second := s.take(t, auth, 5000)
	if first.Ref != second.Ref {
		t.Errorf("the repetition captured %s beside %s", second.Ref, first.Ref)
	}
	s.fetch(t)
	s.wantStatus(t, payment.StatusSucceeded)
	s.wantLedger(t)
}

// captureTwice: a second capture of other size, under its own key, is refused.
func captureTwice(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 5000, Currency: usd}, true)
	auth := s.authorized(t)
	s.take(t, auth, 5000)
	_, err := h.Provider.Capture(t.Context(), s.captureRequest(auth, 1000), s.key("second"))
	wantClass(t, err, providers.Refused)
	s.fetch(t)
	s.wantStatus(t, payment.StatusSucceeded)
	s.wantLedger(t)
}

// refundParts: three parts give back exactly the whole, and each is known as ours.
func refundParts(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1000, Currency: usd}, false).paid(t)
	for i, part := range []int64{333, 333, 334} {
		operation := payment.DeriveID("rfd", s.req.PaymentID, string(rune('a'+i)))
		res, err := s.refund(t, operation, part)
		if err != nil {
			t.Fatalf("refund %d: %v", i, err)
		}
		s.fetch(t)
		found := false
		for _, r := range s.facts.Refunds {
			if r.Operation == operation {
				found = r.Key.ID == res.Ref && r.Amount.Minor == part && r.Capture == s.capture(t).Key.ID
			}
		}
		if !found {
			t.Errorf("refund %s of %d is not among %+v", res.Ref, part, s.facts.Refunds)
		}
	}
	got := s.facts.Amounts(nil)
	if got.Refunded+got.RefundPending != 1000 || got.Refundable != 0 || len(s.facts.Refunds) != 3 {
		t.Errorf("amounts %+v after refunding everything in 3 parts", got)
	}
	s.wantStatus(t, payment.StatusSucceeded)
	s.wantLedger(t)
}

// refundRepeated: the same key gives back once (I1).
func refundRepeated(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1000, Currency: usd}, false).paid(t)
	var refs []string
	for range 3 {
		res, err := s.refund(t, "rfd_one", 400)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, res.Ref)
	}
	s.fetch(t)
	if refs[0] == "" || refs[0] != refs[1] || refs[1] != refs[2] || len(s.facts.Refunds) != 1 {
		t.Errorf("three calls with one key made %v", refs)
	}
	s.wantLedger(t)
}

// refundTooMuch: nobody gets back more than was paid.
func refundTooMuch(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1000, Currency: usd}, false).paid(t)
	if _, err := s.refund(t, "rfd_one", 600); err != nil {
		t.Fatal(err)
	}
	_, err := s.refund(t, "rfd_two", 500)
	wantClass(t, err, providers.Refused)
	s.fetch(t)
	if len(s.facts.Refunds) != 1 {
		t.Errorf("refunds: %+v", s.facts.Refunds)
	}
	s.wantLedger(t)
}

// refundOutside: money given back in the dashboard is found, and not taken for ours.
func refundOutside(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1000, Currency: usd}, false).paid(t)
	h.RefundOutside(t, s.capture(t).Key.ID, 250)
	s.tick(t)
	s.fetch(t)
	if len(s.facts.Refunds) != 1 || s.facts.Refunds[0].Operation != "" || s.facts.Refunds[0].Amount.Minor != 250 {
		t.Errorf("refunds: %+v", s.facts.Refunds)
	}
	s.wantLedger(t)
}

// refundFails: a succeeded refund can fail; the money is ours again.
func refundFails(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1000, Currency: usd}, false).paid(t)
	res, err := s.refund(t, "rfd_one", 400)
	if err != nil {
		t.Fatal(err)
	}
	h.FailRefund(t, res.Ref)
	s.tick(t)
	s.fetch(t)
	if len(s.facts.Refunds) != 1 || s.facts.Refunds[0].State != payment.RefundFailed {
		t.Errorf("refunds: %+v", s.facts.Refunds)
	}
	if got := s.facts.Amounts(nil); got.Refundable != 1000 {
		t.Errorf("refundable %d after the refund failed, want 1000", got.Refundable)
	}
	s.wantLedger(t)
}

// disputed: disputed money is withheld, and comes back when the dispute is won.
func disputed(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1000, Currency: usd}, false).paid(t)
	id := h.Dispute(t, s.capture(t).Key.ID, 1000)
	s.tick(t)
	s.fetch(t)
	if len(s.facts.Disputes) != 1 {
		t.Fatalf("%d disputes, want 1", len(s.facts.Disputes))
	}
	d := s.facts.Disputes[0]
	if d.Key.ID != id || d.Capture != s.capture(t).Key.ID || d.Amount.Minor != 1000 || d.Withheld != 1000 || d.Status != payment.DisputeNeedsResponse || d.Stage == "" {
		t.Errorf("dispute %+v", d)
	}
	s.wantStatus(t, payment.StatusSucceeded)
	s.wantLedger(t)
	if h.Resolve == nil {
		return
	}
	h.Resolve(t, id, true)
	s.tick(t)
	s.fetch(t)
	if d = s.facts.Disputes[0]; d.Status != payment.DisputeWon || d.Withheld != 0 {
		t.Errorf("the won dispute is %+v", d)
	}
	s.wantLedger(t)
}

// anyOrder: order and repetition of snapshots do not matter (I6).
func anyOrder(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1000, Currency: usd}, true)
	s.take(t, s.authorized(t), 900)
	s.fetch(t)
	for i, part := range []int64{100, 200} {
		if _, err := s.refund(t, payment.DeriveID("rfd", s.req.PaymentID, string(rune('a'+i))), part); err != nil {
			t.Fatal(err)
		}
	}
	if h.Dispute != nil {
		h.Dispute(t, s.capture(t).Key.ID, 500)
		s.tick(t)
	}
	s.fetch(t)
	s.wantLedger(t)
	start := payment.Facts{Terms: s.facts.Terms, Opened: s.facts.Opened}
	draw := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		facts := start
		for _, i := range append(draw.Perm(len(s.seen)), draw.Perm(len(s.seen))...) {
			facts = facts.Observe(s.seen[i])
		}
		if diff := cmp.Diff(s.facts, facts); diff != "" {
			t.Fatalf("another order of the same snapshots gave other facts (-in order +shuffled):\n%s", diff)
		}
	}
}
