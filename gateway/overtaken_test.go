package gateway_test

import (
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

// Guards I1 against our own patience: a capture that the provider turned away waits for its next try, and is not sent
// any more once the payment's money was taken in another attempt meanwhile (an abandoned order that somebody captured
// with another tool).
func TestCaptureThatWasOvertakenIsNotSent(t *testing.T) {
	t.Parallel()
	w, p := paidThirdTime(t)
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

// Guards the app against a payment that never ends: while a hold keeps an approved order from being captured, the order
// lapses at its provider; then the payment can be canceled, and ends at its deadline, though nobody has looked at the
// hold yet. It does so later where nobody worked for hours, as it is looked for first.
func TestHeldOrderThatLapsedEnds(t *testing.T) {
	t.Parallel()
	held := func(worked bool) (*world, *payment.Payment) {
		w := withRules(t, banning(risk.ActHold))
		wallet, open := w.mustCreate("wallet", of("eve", "paypal")), w.mustCreate("open", of("eve", "stripe"))
		w.declines(open.ID, 5)
		w.mustWork(3)
		w.paypal.pay(wallet.ID, 1)
		w.comeBack(wallet.ID, 1)
		w.mustWork(3)
		w.wantStatus(wallet.ID, payment.StatusProcessing)
		for range 120 {
			w.pass(2 * time.Minute)
			if worked {
				w.step()
			}
		}
		w.observe(wallet.ID, 1)
		w.pass(2 * time.Minute)
		w.step()
		for range 20 {
			if !worked {
				w.pass(2 * time.Minute)
				w.step()
			}
		}
		w.wantStatus(wallet.ID, payment.StatusRequiresAction)
		return w, wallet
	}
	for _, worked := range []bool{true, false} {
		w, p := held(worked)
		if _, err := w.cancel(p.ID, "x"); err != nil {
			t.Errorf("cancel: %v", err)
		}
		w.wantStatus(p.ID, payment.StatusCanceled)

		w, p = held(worked)
		w.pass(24 * time.Hour)
		w.step()
		w.wantStatus(p.ID, payment.StatusExpired)
		w.wantCaptured(p.ID, 0)
	}
}

func (w *world) mustWork(rounds int) {
	w.t.Helper()
	if err := w.work(rounds); err != nil {
		w.t.Fatal(err)
	}
}
