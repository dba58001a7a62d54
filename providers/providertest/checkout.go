package providertest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// infoDescribes: the gateway plans with what an adapter says of itself.
func infoDescribes(t *testing.T, h Harness) {
	info := h.Provider.Info()
	if info.Provider == "" || info.Label == "" || info.Account == "" {
		t.Errorf("info has no name: %+v", info)
	}
	if info.Mode != payment.ModeTest {
		t.Errorf("mode %q, want test", info.Mode)
	}
	for _, kind := range []payment.OpKind{payment.OpCreate, payment.OpClose, payment.OpAuthorize, payment.OpCapture, payment.OpVoid, payment.OpRefund} {
		if info.KeyLife(kind) <= 0 {
			t.Errorf("keys of %s live %v", kind, info.KeyLife(kind))
		}
	}
	if len(info.SyncSchedule) == 0 || info.MaxCheckout <= 0 {
		t.Errorf("no sync schedule or no longest checkout: %+v", info)
	}
	for i := 1; i < len(info.SyncSchedule); i++ {
		if info.SyncSchedule[i] <= info.SyncSchedule[i-1] {
			t.Errorf("the sync schedule does not widen: %v", info.SyncSchedule)
		}
	}
	for _, m := range []payment.Money{{Minor: 1999, Currency: usd}, {Minor: 500, Currency: jpy}} {
		if err := info.Supports(m); err != nil {
			t.Errorf("%s: %v", m, err)
		}
	}
	for _, m := range []payment.Money{{Minor: 1, Currency: "kpw"}, {Minor: 100, Currency: "zzz"}, {Minor: -1, Currency: usd}, {Minor: 0, Currency: usd}} {
		if info.Supports(m) == nil {
			t.Errorf("%d %s is supported, want a refusal", m.Minor, m.Currency)
		}
	}
}

// createOpens: the provider object exists before we answer the app.
func createOpens(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, false).open(t)
	fact, _ := s.facts.AttemptFact(1)
	if fact.Total != s.req.Amount {
		t.Errorf("total %s, want %s", fact.Total, s.req.Amount)
	}
	if fact.Refs == (payment.Refs{}) {
		t.Error("an open checkout has no provider refs")
	}
	s.fetch(t)
	s.wantStatus(t, payment.StatusRequiresAction)
	s.wantLedger(t)
}

// createRepeated: a repetition with the same key is harmless (I1).
func createRepeated(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, false).open(t)
	for range 2 {
		res, err := h.Provider.CreateCheckout(t.Context(), s.req, s.key("create"))
		if err != nil {
			t.Fatalf("repeat: %v", err)
		}
		if res.Ref != s.root.ID {
			t.Fatalf("the repetition opened %s beside %s", res.Ref, s.root.ID)
		}
		s.observe(t, res.Observation)
	}
	s.wantStatus(t, payment.StatusRequiresAction)
	if h.Checkouts != nil && h.Checkouts(t) != 1 {
		t.Errorf("%d checkouts exist, want 1", h.Checkouts(t))
	}
}

// fetchTwice: with nothing changed in between, a second look adds nothing (I6).
func fetchTwice(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, false).paid(t)
	first, second := s.fetch(t), s.fetch(t)
	facts := payment.Facts{Terms: s.facts.Terms, Opened: s.facts.Opened}
	once, twice := facts.Observe(second), facts.Observe(first).Observe(second).Observe(second)
	if diff := cmp.Diff(once, twice); diff != "" {
		t.Errorf("a second look changed the facts (-once +twice):\n%s", diff)
	}
}

// exact: what was asked is what is taken, to the last minor unit (I7, I10).
func exact(t *testing.T, h Harness, amount payment.Money) {
	s := newScene(t, h, amount, false).paid(t)
	if c := s.capture(t); c.Amount != amount || c.N != 1 {
		t.Errorf("captured %s in attempt %d, want %s in attempt 1", c.Amount, c.N, amount)
	}
	fact, _ := s.facts.AttemptFact(1)
	if fact.State != payment.AttemptComplete || fact.Total != amount || fact.URL != "" {
		t.Errorf("the paid attempt is %s, total %s, address %q", fact.State, fact.Total, fact.URL)
	}
	if conflicts := s.facts.Conflicts(); len(conflicts) > 0 {
		t.Errorf("conflicts: %v", conflicts)
	}
	if n := len(s.facts.Payers); n != 1 {
		t.Fatalf("one payment has %d payers: %+v", n, s.facts.Payers)
	}
	if p := s.facts.Payers[0]; p.Card.Fingerprint == "" && p.PayerID == "" {
		t.Errorf("the payer is not told: %+v", p)
	}
	s.wantLedger(t)
}

// feesOnce: fee and net add up, however often they are seen.
func feesOnce(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, false).paid(t)
	s.fetch(t)
	if len(s.facts.Fees) != 1 {
		t.Fatalf("%d fees, want 1: %+v", len(s.facts.Fees), s.facts.Fees)
	}
	f := s.facts.Fees[0]
	if f.Object != s.capture(t).Key.ID {
		t.Errorf("the fee belongs to %q, the capture is %q", f.Object, s.capture(t).Key.ID)
	}
	if f.Fee.Minor <= 0 || f.Net.Minor+f.Fee.Minor != 1999 || f.Fee.Currency != usd || f.Net.Currency != usd {
		t.Errorf("fee %s and net %s of 19.99 USD", f.Fee, f.Net)
	}
}

// declined: a refused instrument is a failed try, not a failed payment, and moves nothing.
func declined(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, false).open(t)
	err := s.pay(t, PayDeclined)
	if err != nil {
		if e := wantClass(t, err, providers.Declined); e.Code == "" {
			t.Error("the decline has no code")
		}
	}
	s.fetch(t)
	fact, _ := s.facts.AttemptFact(1)
	told := err != nil || fact.Failure.Code != ""
	for _, c := range s.facts.Captures {
		if c.State == payment.CaptureCompleted {
			t.Fatalf("declined money was captured: %+v", c)
		}
		told = told || c.State == payment.CaptureDeclined
	}
	if !told {
		t.Error("nothing tells that a try at paying was declined")
	}
	s.fetch(t)
	if n := len(s.facts.Declines); n != 1 {
		t.Fatalf("one declined try was told as %d declines: %+v", n, s.facts.Declines)
	}
	if d := s.facts.Declines[0]; d.Code == "" || d.Card.Fingerprint == "" && d.PayerID == "" {
		t.Errorf("the decline tells neither why nor whose: %+v", d)
	}
	if got := s.facts.Status(); got == payment.StatusSucceeded || got == payment.StatusConflicted {
		t.Errorf("status %s after a decline", got)
	}
	s.wantLedger(t)
}

// pendingArrives: pending is neither success nor failure, and becomes success.
func pendingArrives(t *testing.T, h Harness) { pending(t, h, true) }

// pendingDenied: money that was on its way and is denied ends in failed.
func pendingDenied(t *testing.T, h Harness) { pending(t, h, false) }

func pending(t *testing.T, h Harness, arrives bool) {
	s := newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, false).open(t)
	if err := s.pay(t, PayPending); err != nil {
		t.Fatalf("taking pending money: %v", err)
	}
	s.wantStatus(t, payment.StatusProcessing)
	if got := s.facts.Amounts(nil); got.Captured != 0 {
		t.Errorf("%d counts as captured while it is pending", got.Captured)
	}
	id := ""
	for _, c := range s.facts.Captures {
		if c.State == payment.CapturePending {
			id = c.Key.ID
		}
	}
	if id == "" {
		t.Fatalf("no pending capture: %+v", s.facts.Captures)
	}
	h.Settle(t, id, arrives)
	s.tick(t)
	s.fetch(t)
	if !arrives {
		s.wantStatus(t, payment.StatusFailed)
		s.wantLedger(t)
		return
	}
	s.wantStatus(t, payment.StatusSucceeded)
	if got := s.capture(t); got.Key.ID != id {
		t.Errorf("the pending capture %s arrived as %s", id, got.Key.ID)
	}
	s.wantLedger(t)
}

// closeOpen: a closed checkout can't be paid any more; where the provider can't
// close, it is reported as it is.
func closeOpen(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, false).open(t)
	s.close(t)
	if !h.Closes {
		s.wantState(t, payment.AttemptOpen, payment.AttemptExpired, payment.AttemptCanceled)
		return
	}
	s.wantState(t, payment.AttemptExpired, payment.AttemptCanceled)
	if err := h.Pay(t, s.root, PayNow); err == nil {
		t.Error("the customer could pay a closed checkout")
	}
	s.close(t) // closing what is closed is no error
	s.wantState(t, payment.AttemptExpired, payment.AttemptCanceled)
	s.wantLedger(t)
}

func (s *scene) close(t *testing.T) {
	t.Helper()
	res, err := s.h.Provider.CloseCheckout(t.Context(), s.attempt(), s.key("close"))
	if err != nil {
		t.Fatalf("close: %v", err)
	}
	s.observe(t, res.Observation)
	s.tick(t)
}

// closePaid: a close that loses against the customer finds the payment.
func closePaid(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, false).open(t)
	if err := h.Pay(t, s.root, PayNow); err != nil {
		t.Fatal(err)
	}
	s.tick(t)
	s.close(t)
	s.wantState(t, payment.AttemptApproved, payment.AttemptComplete)
	if s.facts.Closable(1) {
		t.Error("a paid attempt counts as closable")
	}
}

// expired: nobody paid in time.
func expired(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, false).open(t)
	h.Expire(t, s.root)
	s.tick(t)
	s.fetch(t)
	fact, _ := s.facts.AttemptFact(1)
	if !fact.State.Dead() || fact.URL != "" {
		t.Errorf("the expired attempt is %s with address %q", fact.State, fact.URL)
	}
	s.wantLedger(t)
}

// unknownAttempt: what is not there is said to be not there, and nothing else.
func unknownAttempt(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, false)
	s.root = h.UnknownRoot
	_, err := h.Provider.Fetch(t.Context(), s.attempt())
	wantClass(t, err, providers.NotFound)
}

// foundByReference: after a key's death a creation is looked up, not repeated.
func foundByReference(t *testing.T, h Harness) {
	finder, ok := h.Provider.(providers.CheckoutFinder)
	if !ok {
		t.Fatal("not a CheckoutFinder")
	}
	s := newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, false)
	if _, found, err := finder.FindCheckout(t.Context(), s.req, h.Now()); err != nil || found {
		t.Fatalf("found %v, error %v before anything was created", found, err)
	}
	s.open(t)
	res, found, err := finder.FindCheckout(t.Context(), s.req, h.Now())
	if err != nil || !found {
		t.Fatalf("found %v, error %v", found, err)
	}
	if res.Ref != s.root.ID {
		t.Errorf("found %s, created %s", res.Ref, s.root.ID)
	}
	s.observe(t, res.Observation)
	other := s.req
	other.N = 2
	if _, found, err = finder.FindCheckout(t.Context(), other, h.Now()); err != nil || found {
		t.Errorf("another attempt was found: %v, %v", found, err)
	}
}
