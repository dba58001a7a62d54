package inbox_test

import (
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Promise: a customer whose instrument was declined, who chooses another one on the same
// order and never comes back, has paid by webhooks alone. PayPal's order shows nothing of
// the second approval; the event does, and neither the first one's nor a copy counts.
func TestApprovedAgainByWebhookAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	p := h.create("paypal", "a")
	fact, _ := p.Facts.AttemptFact(1)
	declines := func() int { return len(h.payment(p.ID).Facts.Declines) }
	for want := 1; want <= 2; want++ {
		h.control("paypal", "orders/"+fact.Key.ID+"/approve", map[string]string{"capture": "declined"})
		h.settle()
		if h.want(p.ID, payment.StatusRequiresAction, 0, 0); declines() != want {
			t.Fatalf("%d declines, want %d", declines(), want)
		}
		h.world.Advance(t.Context(), time.Minute)
		h.settle()
		if declines() != want {
			t.Fatalf("tried again without the customer: %d declines", declines())
		}
	}
	h.control("paypal", "orders/"+fact.Key.ID+"/approve", nil)
	h.settle()
	if got := h.want(p.ID, payment.StatusSucceeded, 1999, 0); got.SettledBy != payment.LayerWebhook {
		t.Errorf("settled by %s", got.SettledBy)
	}
	h.wantClean()
}
