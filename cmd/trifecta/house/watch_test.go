package house

import (
	"fmt"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
)

// paid stores a payment of the app that was paid at an account and found by a layer.
func paid(t *testing.T, s *store.Payments, id, account string, by payment.Layer, at time.Time) {
	t.Helper()
	amount := payment.Money{Minor: 1999, Currency: "usd"}
	p := payment.New(id, "shop", payment.ModeTest, payment.Terms{Amount: amount}, payment.Request{ExpiresIn: time.Hour}, "token-"+id, at)
	key := payment.ObjectKey{Provider: "stripe", Account: account, ID: "ch_" + id}
	p.Version, p.SettledBy = 1, by
	p.Facts.Opened = []payment.Attempt{{N: 1, Provider: "stripe", Account: account, CreatedAt: at}}
	p.Facts.Attempts = []payment.AttemptFact{{
		Key: payment.ObjectKey{Provider: "stripe", Account: account, ID: "cs_" + id}, N: 1, Kind: "checkout_session", State: payment.AttemptComplete,
		Total: amount, Stamp: payment.Stamp{Created: at, AsOf: at}, CompleteAsOf: at, WholeAsOf: at,
	}}
	p.Facts.Captures = []payment.Capture{{Key: key, N: 1, State: payment.CaptureCompleted, Amount: amount, Stamp: payment.Stamp{Created: at, AsOf: at}}}
	if got := p.Status(); got != payment.StatusSucceeded {
		t.Fatalf("the payment is %s", got)
	}
	if err := s.Insert(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

// Promise: when webhooks die, an operator hears of it: payments that apps made are
// found by other layers, and none came by webhook.
func TestWebhooksThatStayAwayAreTold(t *testing.T) {
	e := shared(t)
	c := &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	h := build(t, e, c)
	payments := store.NewPayments(h.engine)
	for i := range 4 {
		account := "stripe-eu"
		if i == 3 {
			account = "stripe-us" // says nothing about stripe-eu
		}
		paid(t, payments, fmt.Sprintf("pay_%d", i), account, payment.LayerReconcile, c.now)
	}
	for range 20 {
		c.now = c.now.Add(time.Minute)
		if _, _, err := h.metrics.watch.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	found, _, err := store.NewAlerts(h.engine).List(t.Context(), store.AlertFilter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].Kind != "webhook_silence" || found[0].Account != "stripe-eu" {
		t.Errorf("alerts %+v, want one of webhooks that stay away", found)
	}
}
