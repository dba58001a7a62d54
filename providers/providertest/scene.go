package providertest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// scene is one payment with one attempt, as the gateway would hold it: what was
// asked, and everything the adapter reported so far.
type scene struct {
	h     Harness
	req   providers.CheckoutRequest
	root  providers.Ref
	facts payment.Facts
	seen  []payment.Observation
}

// newScene prepares a payment; nothing is sent yet.
func newScene(t *testing.T, h Harness, amount payment.Money, manual bool) *scene {
	t.Helper()
	id := payment.DeriveID("pay", t.Name())
	info := h.Provider.Info()
	created := h.Now()
	return &scene{
		h: h,
		req: providers.CheckoutRequest{
			PaymentID: id, N: 1, Amount: amount, Manual: manual,
			ReturnURL: "https://pay.example.com/v1/return/" + id + "?t=tok&outcome=success",
			CancelURL: "https://pay.example.com/v1/return/" + id + "?t=tok&outcome=cancel",
			ExpiresAt: created.Add(2 * time.Hour).Truncate(time.Second),
			Reference: "order-1", Description: "A blue chair", Metadata: map[string]string{"shop": "north"},
		},
		facts: payment.Facts{
			Terms:  payment.Terms{Amount: amount, Manual: manual},
			Opened: []payment.Attempt{{N: 1, Provider: info.Provider, Account: info.Account, CreatedAt: created}},
		},
	}
}

// key is a provider idempotency key of this scene.
func (s *scene) key(what string) string { return payment.DeriveID("tf", s.req.PaymentID, what) }

// attempt is what the gateway tells an adapter to act on.
func (s *scene) attempt() providers.Attempt {
	a := providers.Attempt{
		PaymentID: s.req.PaymentID, N: 1, Root: s.root, Manual: s.req.Manual, Asked: s.req.Amount,
		CreatedAt: s.facts.Opened[0].CreatedAt,
	}
	if fact, ok := s.facts.AttemptFact(1); ok {
		a.Refs = fact.Refs
	}
	return a
}

// observe merges what an adapter reported and checks its label.
func (s *scene) observe(t *testing.T, obs payment.Observation) {
	t.Helper()
	info := s.h.Provider.Info()
	if obs.Provider != info.Provider || obs.Account != info.Account || obs.N != 1 {
		t.Fatalf("observation is labelled %s/%s attempt %d, want %s/%s attempt 1", obs.Provider, obs.Account, obs.N, info.Provider, info.Account)
	}
	if obs.Complete && obs.AsOf.IsZero() {
		t.Fatal("a complete observation says no provider time")
	}
	checkKeys(t, obs)
	s.seen = append(s.seen, obs)
	s.facts = s.facts.Observe(obs)
}

// checkKeys makes sure that every fact names its object and its attempt.
func checkKeys(t *testing.T, obs payment.Observation) {
	t.Helper()
	check := func(what string, k payment.ObjectKey, n int, st payment.Stamp) {
		if k.Provider != obs.Provider || k.Account != obs.Account || k.ID == "" {
			t.Fatalf("%s has the key %+v", what, k)
		}
		if n != 1 {
			t.Fatalf("%s %s belongs to attempt %d, want 1", what, k.ID, n)
		}
		if st.AsOf.IsZero() || st.Created.IsZero() {
			t.Fatalf("%s %s has no provider times: %+v", what, k.ID, st)
		}
	}
	for _, f := range obs.Facts.Attempts {
		check("attempt", f.Key, f.N, f.Stamp)
	}
	for _, f := range obs.Facts.Authorizations {
		check("authorization", f.Key, f.N, f.Stamp)
	}
	for _, f := range obs.Facts.Captures {
		check("capture", f.Key, f.N, f.Stamp)
	}
	for _, f := range obs.Facts.Refunds {
		check("refund", f.Key, 1, f.Stamp)
	}
	for _, f := range obs.Facts.Disputes {
		check("dispute", f.Key, 1, f.Stamp)
	}
	for _, f := range obs.Facts.Payers {
		check("payer", f.Key, f.N, f.Stamp)
	}
	for _, f := range obs.Facts.Declines {
		check("decline", f.Key, f.N, f.Stamp)
	}
}

// open creates the checkout and wants it open, with an address for the customer.
func (s *scene) open(t *testing.T) *scene {
	t.Helper()
	res, err := s.h.Provider.CreateCheckout(t.Context(), s.req, s.key("create"))
	if err != nil {
		t.Fatalf("create checkout: %v", err)
	}
	s.adopt(t, res)
	fact, ok := s.facts.AttemptFact(1)
	if !ok || fact.State != payment.AttemptOpen {
		t.Fatalf("a fresh checkout is %q, want open", fact.State)
	}
	if !strings.HasPrefix(fact.URL, "http") {
		t.Fatalf("an open checkout has the address %q", fact.URL)
	}
	if got := s.facts.Status(); got != payment.StatusRequiresAction {
		t.Fatalf("status after creation: %s, want requires_action", got)
	}
	return s
}

// adopt takes the root from a creation's result.
func (s *scene) adopt(t *testing.T, res providers.Result) {
	t.Helper()
	if res.Ref == "" || len(res.Observation.Facts.Attempts) != 1 {
		t.Fatalf("creation brought ref %q and %d attempts", res.Ref, len(res.Observation.Facts.Attempts))
	}
	fact := res.Observation.Facts.Attempts[0]
	if fact.Key.ID != res.Ref {
		t.Fatalf("creation says ref %q and root %q", res.Ref, fact.Key.ID)
	}
	s.root = providers.Ref{Kind: fact.Kind, ID: fact.Key.ID}
	s.observe(t, res.Observation)
}

// fetch reads the attempt whole.
func (s *scene) fetch(t *testing.T) payment.Observation {
	t.Helper()
	obs, err := s.h.Provider.Fetch(t.Context(), s.attempt())
	if err != nil {
		t.Fatalf("fetch: %v", err)
	}
	if !obs.Complete {
		t.Fatal("Fetch must report a complete snapshot")
	}
	s.observe(t, obs)
	return obs
}

// pay lets the customer act and then does what is due, as the gateway would. The
// error is that of our own call that takes the money, if one was needed.
func (s *scene) pay(t *testing.T, how How) error {
	t.Helper()
	if err := s.h.Pay(t, s.root, how); err != nil && how != PayDeclined {
		t.Fatalf("the customer could not pay: %v", err)
	}
	s.tick(t)
	s.fetch(t)
	fact, _ := s.facts.AttemptFact(1)
	if fact.State != payment.AttemptApproved {
		return nil
	}
	if got := s.facts.Status(); got != payment.StatusProcessing {
		t.Fatalf("status of an approved attempt: %s, want processing", got)
	}
	return s.takeApproved(t)
}

// takeApproved captures or authorizes an approved checkout.
func (s *scene) takeApproved(t *testing.T) error {
	t.Helper()
	req := providers.CaptureRequest{Attempt: s.attempt(), Target: s.root.ID, Amount: s.req.Amount, Final: true}
	call := s.h.Provider.Capture
	if s.req.Manual {
		authorizer, ok := s.h.Provider.(providers.Authorizer)
		if !ok {
			t.Fatal("an attempt was approved, capture is manual, and the adapter is no Authorizer")
		}
		call = authorizer.Authorize
	}
	res, err := call(t.Context(), req, s.key("take"))
	if err != nil {
		if res.Observation.Provider != "" { // what the refusal itself tells
			s.observe(t, res.Observation)
		}
		return err
	}
	s.observe(t, res.Observation)
	s.tick(t)
	s.fetch(t)
	return nil
}

// paid is a scene whose money was taken.
func (s *scene) paid(t *testing.T) *scene {
	t.Helper()
	s.open(t)
	if err := s.pay(t, PayNow); err != nil {
		t.Fatalf("taking the money: %v", err)
	}
	s.wantStatus(t, payment.StatusSucceeded)
	return s
}

// authorized is a scene whose money is held.
func (s *scene) authorized(t *testing.T) payment.Authorization {
	t.Helper()
	s.open(t)
	if err := s.pay(t, PayNow); err != nil {
		t.Fatalf("holding the money: %v", err)
	}
	s.wantStatus(t, payment.StatusAuthorized)
	if len(s.facts.Authorizations) != 1 {
		t.Fatalf("%d authorizations, want 1", len(s.facts.Authorizations))
	}
	auth := s.facts.Authorizations[0]
	if auth.State != payment.AuthActive || auth.Amount != s.req.Amount || auth.Capturable != s.req.Amount.Minor {
		t.Fatalf("authorization is %+v, want %s active and capturable whole", auth, s.req.Amount)
	}
	if !auth.ExpiresAt.After(auth.Created) {
		t.Fatalf("authorization expires at %v, created %v", auth.ExpiresAt, auth.Created)
	}
	return auth
}

// capture is the only completed capture.
func (s *scene) capture(t *testing.T) payment.Capture {
	t.Helper()
	var out []payment.Capture
	for _, c := range s.facts.Captures {
		if c.State == payment.CaptureCompleted {
			out = append(out, c)
		}
	}
	if len(out) != 1 {
		t.Fatalf("%d completed captures, want exactly 1: %+v", len(out), s.facts.Captures)
	}
	return out[0]
}

// refund gives amount back and merges what came of it.
func (s *scene) refund(t *testing.T, operation string, amount int64) (providers.Result, error) {
	t.Helper()
	res, err := s.h.Provider.Refund(t.Context(), s.refundRequest(t, operation, amount), s.key(operation))
	if err == nil {
		s.observe(t, res.Observation)
		s.tick(t)
	}
	return res, err
}

func (s *scene) refundRequest(t *testing.T, operation string, amount int64) providers.RefundRequest {
	t.Helper()
	return providers.RefundRequest{
		Attempt: s.attempt(), Capture: s.capture(t).Key.ID, Operation: operation, Reason: "requested_by_customer",
		Amount: payment.Money{Minor: amount, Currency: s.req.Amount.Currency},
	}
}

// tick lets a little provider time pass, so that two sightings differ in it.
func (s *scene) tick(t *testing.T) {
	t.Helper()
	if s.h.Advance != nil {
		s.h.Advance(t, 2*time.Second)
	}
}

func (s *scene) wantStatus(t *testing.T, want payment.Status) {
	t.Helper()
	if got := s.facts.Status(); got != want {
		t.Fatalf("status %s, want %s; conflicts %v; facts %+v", got, want, s.facts.Conflicts(), s.facts)
	}
}

func (s *scene) wantState(t *testing.T, want ...payment.AttemptState) {
	t.Helper()
	fact, _ := s.facts.AttemptFact(1)
	for _, w := range want {
		if fact.State == w {
			return
		}
	}
	t.Fatalf("attempt is %s, want one of %v", fact.State, want)
}

// wantLedger compares the sums of our facts with the provider's own books, and
// wants every movement under our payment's id.
func (s *scene) wantLedger(t *testing.T) {
	t.Helper()
	type sums struct{ Captured, Refunded, Disputed, Fee, Net int64 }
	var theirs sums
	for _, m := range s.h.Ledger(t) {
		if m.Reference != s.req.PaymentID || m.Currency != string(s.req.Amount.Currency) || m.Amount < 0 {
			t.Errorf("the provider moved money under the wrong name: %+v", m)
			continue
		}
		switch m.Kind {
		case "capture":
			theirs.Captured += m.Amount
		case "refund":
			theirs.Refunded += m.Amount
		case "refund_failed":
			theirs.Refunded -= m.Amount
		case "dispute":
			theirs.Disputed += m.Amount
		case "dispute_won":
			theirs.Disputed -= m.Amount
		case "fee":
			theirs.Fee += m.Amount
		}
	}
	theirs.Net = theirs.Captured - theirs.Refunded - theirs.Disputed - theirs.Fee
	got := s.facts.Amounts(nil)
	ours := sums{Captured: got.Captured, Refunded: got.Refunded + got.RefundPending, Disputed: got.Disputed}
	for _, m := range got.Fee {
		ours.Fee += m.Minor
	}
	for _, m := range got.Net {
		ours.Net += m.Minor
	}
	if diff := cmp.Diff(theirs, ours); diff != "" {
		t.Errorf("our record differs from the provider's ledger (-ledger +ours):\n%s", diff)
	}
}

// wantClass checks an error's class, that it is a *providers.Error and that it
// names its provider and operation.
func wantClass(t *testing.T, err error, want ...providers.Class) *providers.Error {
	t.Helper()
	e, ok := asError(err)
	if !ok {
		t.Fatalf("got the error %v, want a *providers.Error of class %v", err, want)
	}
	if e.Provider == "" || e.Op == "" {
		t.Errorf("error names no provider or operation: %v", e)
	}
	for _, w := range want {
		if e.Class == w {
			return e
		}
	}
	t.Fatalf("class %s, want one of %v: %v", e.Class, want, e)
	return nil
}

// canceled is a context that ended before the call.
func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
