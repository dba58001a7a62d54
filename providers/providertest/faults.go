package providertest

import (
	"context"
	"errors"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// call is one mutating or reading call of the contract, for the cases that look
// at all of them.
type call struct {
	name string
	do   func(ctx context.Context, p providers.Provider) error
}

// calls are all calls on an authorized payment of its own; none of them is made yet.
func (s *scene) calls(auth payment.Authorization) []call {
	refund := providers.RefundRequest{Attempt: s.attempt(), Capture: auth.Key.ID, Operation: "rfd_x", Amount: payment.Money{Minor: 1, Currency: usd}}
	out := []call{
		{"create_checkout", func(ctx context.Context, p providers.Provider) error {
			_, err := p.CreateCheckout(ctx, s.req, s.key("create-other"))
			return err
		}},
		{"fetch", func(ctx context.Context, p providers.Provider) error {
			_, err := p.Fetch(ctx, s.attempt())
			return err
		}},
		{"close_checkout", func(ctx context.Context, p providers.Provider) error {
			_, err := p.CloseCheckout(ctx, s.attempt(), s.key("close"))
			return err
		}},
		{"capture", func(ctx context.Context, p providers.Provider) error {
			_, err := p.Capture(ctx, s.captureRequest(auth, 100), s.key("capture"))
			return err
		}},
		{"void", func(ctx context.Context, p providers.Provider) error {
			_, err := p.Void(ctx, s.captureRequest(auth, 0), s.key("void"))
			return err
		}},
		{"refund", func(ctx context.Context, p providers.Provider) error {
			_, err := p.Refund(ctx, refund, s.key("refund"))
			return err
		}},
	}
	if _, ok := s.h.Provider.(providers.Authorizer); ok {
		out = append(out, call{"authorize", func(ctx context.Context, p providers.Provider) error {
			a, ok := p.(providers.Authorizer)
			if !ok {
				return errors.New("the unreachable adapter is no Authorizer")
			}
			_, err := a.Authorize(ctx, s.captureRequest(auth, 100), s.key("authorize"))
			return err
		}})
	}
	return out
}

// canceledContext: a caller that gave up learns nothing (I5).
func canceledContext(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 5000, Currency: usd}, true)
	for _, c := range s.calls(s.authorized(t)) {
		err := c.do(canceled(t), h.Provider)
		e := wantClass(t, err, providers.Unknown, providers.NotDone)
		if !errors.Is(e, context.Canceled) {
			t.Errorf("%s: the canceled context is not visible in %v", c.name, e)
		}
		if e.Op != c.name {
			t.Errorf("%s calls itself %s", c.name, e.Op)
		}
	}
	s.fetch(t)
	s.wantStatus(t, payment.StatusAuthorized)
	s.wantLedger(t)
}

// neverSent: what certainly never left may be repeated by anybody.
func neverSent(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 5000, Currency: usd}, true)
	for _, c := range s.calls(s.authorized(t)) {
		if e := wantClass(t, c.do(t.Context(), h.Unreachable), providers.NotDone); e.Status != 0 {
			t.Errorf("%s: HTTP status %d of a call that was never answered", c.name, e.Status)
		}
	}
}

// status500: an internal error of the provider says nothing about the money (I5).
func status500(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 5000, Currency: usd}, true)
	auth := s.authorized(t)
	h.SetFault(t, Answer500)
	for _, c := range s.calls(auth) {
		if e := wantClass(t, c.do(t.Context(), h.Provider), providers.Unknown); e.Status != 500 {
			t.Errorf("%s: HTTP status %d, want 500", c.name, e.Status)
		}
	}
	h.SetFault(t, NoFault)
	s.fetch(t)
	s.wantStatus(t, payment.StatusAuthorized)
	s.wantLedger(t)
}

// status429: a call that was turned away at the door is certainly not done.
func status429(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 5000, Currency: usd}, true)
	auth := s.authorized(t)
	h.SetFault(t, Answer429)
	for _, c := range s.calls(auth) {
		e := wantClass(t, c.do(t.Context(), h.Provider), providers.NotDone)
		if e.Status != 429 || e.RetryAfter <= 0 {
			t.Errorf("%s: HTTP status %d, retry after %v", c.name, e.Status, e.RetryAfter)
		}
	}
	h.SetFault(t, NoFault)
	s.fetch(t)
	s.wantStatus(t, payment.StatusAuthorized)
	s.take(t, auth, 5000) // and worth repeating
	s.wantLedger(t)
}

// lost makes one call under each timeout fault and wants it unknown.
func (s *scene) lost(t *testing.T, do func() error) {
	t.Helper()
	for _, f := range []Fault{TimeoutBefore, TimeoutAfter, TimeoutAfter} {
		s.h.SetFault(t, f)
		wantClass(t, do(), providers.Unknown)
	}
	s.h.SetFault(t, NoFault)
	s.tick(t)
}

// createLost: a creation without an answer is repeated with its key, and is one checkout.
func createLost(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, false)
	s.lost(t, func() error {
		_, err := h.Provider.CreateCheckout(t.Context(), s.req, s.key("create"))
		return err
	})
	s.open(t)
	if h.Checkouts != nil && h.Checkouts(t) != 1 {
		t.Errorf("%d checkouts exist, want 1", h.Checkouts(t))
	}
	if err := s.pay(t, PayNow); err != nil {
		t.Fatal(err)
	}
	s.wantStatus(t, payment.StatusSucceeded)
	s.wantLedger(t)
}

// refundLost: money is given back once, however many answers were lost (I1, I5).
func refundLost(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1000, Currency: usd}, false).paid(t)
	req := s.refundRequest(t, "rfd_one", 400)
	s.lost(t, func() error {
		_, err := h.Provider.Refund(t.Context(), req, s.key("rfd_one"))
		return err
	})
	if _, err := s.refund(t, "rfd_one", 400); err != nil {
		t.Fatalf("the repetition with the same key: %v", err)
	}
	s.fetch(t)
	if len(s.facts.Refunds) != 1 || s.facts.Refunds[0].Operation != "rfd_one" {
		t.Errorf("refunds: %+v", s.facts.Refunds)
	}
	s.wantLedger(t)
}

// captureLost: money is taken once, however many answers were lost (I1, I5).
func captureLost(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 5000, Currency: usd}, true)
	auth := s.authorized(t)
	s.lost(t, func() error {
		_, err := h.Provider.Capture(t.Context(), s.captureRequest(auth, 5000), s.key("capture"))
		return err
	})
	s.take(t, auth, 5000)
	s.fetch(t)
	s.wantStatus(t, payment.StatusSucceeded)
	s.wantLedger(t)
}
