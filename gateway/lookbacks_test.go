package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Guards everybody else's calls: whoever loads the address of their return in a loop is
// sent on each time, and makes us read a few times only; others are read as ever.
func TestReturnInALoop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p, q := w.mustCreate("k", input("stripe")), w.mustCreate("k2", input("stripe"))
	want := w.comeBack(p.ID, 1)
	for range 100 {
		if got := w.comeBack(p.ID, 1); got != want {
			t.Fatalf("sent to %s, want %s", got, want)
		}
	}
	if n := w.stripe.counted("fetch"); n != 10 {
		t.Errorf("%d reads for 101 returns at once, want 10", n)
	}
	w.comeBack(q.ID, 1)
	if n := w.stripe.counted("fetch"); n != 11 {
		t.Errorf("another customer was not read: %d", n)
	}
	w.pass(10 * time.Second)
	w.stripe.pay(p.ID, 1)
	w.comeBack(p.ID, 1)
	w.comeBack(p.ID, 1)
	if n := w.stripe.counted("fetch"); n != 12 || w.get(p.ID).Status() != payment.StatusSucceeded {
		t.Errorf("ten seconds later: %d reads, want 12; the payment is %s", n, w.get(p.ID).Status())
	}
	for i := range 30 { // others don't spend its reads either
		w.comeBack(w.mustCreate(fmt.Sprint("other", i), input("stripe")).ID, 1)
	}
	if n := w.stripe.counted("fetch"); n != 42 {
		t.Errorf("%d reads, want 42", n)
	}
}
