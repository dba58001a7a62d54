package gateway_test

import (
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Guards I1 against our own patience: a capture that the provider turned away waits for its next try, and is not sent
// any more once the payment's money was taken in another attempt meanwhile (an abandoned order that somebody captured
// with another tool).
func TestCaptureThatWasOvertakenIsNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input(""))
	for _, provider := range []string{"paypal", "stripe", "paypal"} {
		if _, err := w.choose(p.ID, provider); err != nil {
			t.Fatal(err)
		}
	}
	w.paypal.pay(p.ID, 3)
	w.paypal.fail("capture", tooMany)
	w.observe(p.ID, 3)
	w.wantStatus(p.ID, payment.StatusProcessing)

	w.paypal.takeOutside(p.ID, 1, 1000)
	w.pass(time.Minute)
	w.observe(p.ID, 1)
	w.wantStatus(p.ID, payment.StatusSucceeded)
	w.quiet(p.ID)
	w.wantStatus(p.ID, payment.StatusSucceeded)
	w.wantCaptured(p.ID, 1000)
	w.wantAlerts(p.ID, "late_money")
	if n := w.paypal.counted("capture"); n != 1 {
		t.Errorf("captured in %d calls", n)
	}
}
