package gateway_test

import (
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// Guards the key of a cancel for which no provider had to be told: the same request again is told as a replay, also after
// the payment was paid all the same, and another one under its key is refused.
func TestCancelAtOnceIsRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("none", input(""))
	cancel := func(body any) (gateway.Answer, error) {
		return w.svc.Cancel(t.Context(), request("/v1/payments/"+p.ID+"/cancel", "x", body), p.ID)
	}
	again := func(when string) {
		t.Helper()
		if a, err := cancel("b"); err != nil || !a.Replayed || a.Unknown {
			t.Errorf("again, %s: %+v, %v", when, a, err)
		}
		_, err := cancel("another")
		wantCode(t, err, payment.CodeIdempotencyReused)
	}
	if a, err := cancel("b"); err != nil || a.Replayed || a.Payment.Status() != payment.StatusCanceled {
		t.Fatalf("%+v, %v", a, err)
	}
	again("canceled")
	if a, err := w.cancel(p.ID, "y"); err != nil || a.Replayed {
		t.Errorf("with a fresh key: %+v, %v", a, err)
	}
	late := payment.Observation{Provider: "stripe", Account: "stripe-eu", Facts: payment.Facts{Captures: []payment.Capture{{
		Key: payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: "ch_late"}, N: 1, State: payment.CaptureCompleted,
		Amount: payment.Money{Minor: 1000, Currency: "usd"}, Stamp: payment.Stamp{Created: w.now(), AsOf: w.now()},
	}}}}
	if _, err := w.svc.Apply(t.Context(), p.ID, late, payment.Source{}); err != nil {
		t.Fatal(err)
	}
	if got := w.get(p.ID).Status(); got == payment.StatusCanceled {
		t.Fatalf("money came, and it is %s", got)
	}
	again("paid")
}

// Guards the same where two requests with one key come at once: one of them is the replay.
func TestCancelAtOnceTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("none", input(""))
	var first gateway.Answer
	once := true
	w.hook = func(point store.WritePoint, when faults.When) error {
		if once && point == store.PointPaymentReplace && when == faults.Before {
			once = false
			w.pass(time.Second)
			var err error
			if first, err = w.cancel(p.ID, "x"); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	if a, err := w.cancel(p.ID, "x"); err != nil || first.Replayed || !a.Replayed {
		t.Errorf("%+v, then %+v, %v", first, a, err)
	}
}
