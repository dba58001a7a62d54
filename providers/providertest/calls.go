package providertest

import (
	"context"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// meter keeps, by operation, the most HTTP calls that one took.
type meter struct {
	h    Harness
	most map[string]int
}

func (m meter) during(op string, call func()) {
	before := m.h.Calls()
	call()
	m.most[op] = max(m.most[op], int(m.h.Calls()-before))
}

// want compares with what the adapter says, both ways: a number too low breaks the
// budget, one too high wastes it.
func (m meter) want(t *testing.T) {
	t.Helper()
	said := m.h.Provider.Info().Calls
	for op, n := range m.most {
		if max(1, said[op]) != n {
			t.Errorf("%s takes up to %d HTTP calls, Info says %d", op, n, said[op])
		}
	}
}

// callsCounted: what an adapter says of its calls is what it makes: a payment through all that may become of it, a direct one and one
// that is first held.
func callsCounted(t *testing.T, h Harness) {
	m := meter{h: h, most: map[string]int{}}
	for name, manual := range map[string]bool{"direct": false, "held": true} {
		t.Run(name, func(t *testing.T) { m.pays(t, newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, manual)) })
	}
	t.Run("given up", func(t *testing.T) { m.givesUp(t, h) })
	if sweeper, ok := h.Provider.(providers.Sweeper); ok {
		for _, list := range sweeper.Lists() {
			m.during("sweep", func() {
				if _, err := sweeper.Sweep(t.Context(), list, h.Now().Add(-2*time.Hour), h.Now(), ""); err != nil {
					t.Fatalf("sweep %s: %v", list, err)
				}
			})
		}
	}
	m.want(t)
	for op := range h.Provider.Info().Calls {
		if _, measured := m.most[op]; !measured {
			t.Errorf("%s is in Info.Calls and was not measured", op)
		}
	}
}

// pays takes a payment's money, gives some of it back and closes what can't be closed.
func (m meter) pays(t *testing.T, s *scene) {
	m.during("create_checkout", func() { s.open(t) })
	m.during("fetch", func() { s.fetch(t) })
	if finder, ok := s.h.Provider.(providers.CheckoutFinder); ok {
		m.during("find_checkout", func() {
			if _, found, err := finder.FindCheckout(t.Context(), s.req, s.facts.Opened[0].CreatedAt); err != nil || !found {
				t.Fatalf("found %v, %v", found, err)
			}
		})
	}
	if err := s.h.Pay(t, s.root, PayNow); err != nil {
		t.Fatal(err)
	}
	s.tick(t)
	m.during("fetch", func() { s.fetch(t) })
	if fact, _ := s.facts.AttemptFact(1); fact.State == payment.AttemptApproved {
		op, call := "capture", taker(s.h.Provider.Capture)
		if authorizer, ok := s.h.Provider.(providers.Authorizer); ok && s.req.Manual {
			op, call = "authorize", authorizer.Authorize
		}
		m.takes(t, s, op, s.root.ID, call)
	}
	if s.req.Manual {
		m.takes(t, s, "capture", s.facts.Authorizations[0].Key.ID, s.h.Provider.Capture)
	}
	s.h.Advance(t, time.Hour) // a refund comes later, and has the read look further
	m.during("refund", func() {
		if _, err := s.refund(t, payment.DeriveID("rfd", s.req.PaymentID), 500); err != nil {
			t.Fatal(err)
		}
	})
	m.during("fetch", func() { s.fetch(t) })
	m.during("close_checkout", func() {
		if _, err := s.h.Provider.CloseCheckout(t.Context(), s.attempt(), s.key("close")); err != nil {
			t.Fatal(err)
		}
	})
}

// taker is Capture, Authorize or Void.
type taker func(context.Context, providers.CaptureRequest, string) (providers.Result, error)

func (m meter) takes(t *testing.T, s *scene, op, target string, call taker) {
	req := providers.CaptureRequest{Attempt: s.attempt(), Target: target, Amount: s.req.Amount, Final: true}
	m.during(op, func() {
		res, err := call(t.Context(), req, s.key(op+target))
		if err != nil {
			t.Fatalf("%s: %v", op, err)
		}
		s.observe(t, res.Observation)
	})
	s.tick(t)
	m.during("fetch", func() { s.fetch(t) })
}

// givesUp lets held money go, and closes a checkout that nobody paid.
func (m meter) givesUp(t *testing.T, h Harness) {
	s := newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, true)
	auth := s.authorized(t)
	m.takes(t, s, "void", auth.Key.ID, h.Provider.Void)
	t.Run("unpaid", func(t *testing.T) {
		s := newScene(t, h, payment.Money{Minor: 1999, Currency: usd}, false).open(t)
		m.during("close_checkout", func() {
			if _, err := h.Provider.CloseCheckout(t.Context(), s.attempt(), s.key("close")); err != nil {
				t.Fatal(err)
			}
		})
	})
}
