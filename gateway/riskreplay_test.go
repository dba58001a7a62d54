package gateway_test

import (
	"context"
	"errors"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// wantStopped is a request that a block of ours refused before a provider was asked.
func wantStopped(t *testing.T, err error, why string) {
	t.Helper()
	if e := (*payment.Error)(nil); !errors.As(err, &e) || e.Code != payment.CodeConflict || e.DeclineCode != why {
		t.Errorf("%v, want a conflict that says %s", err, why)
	}
}

// reverse takes a decision back.
func (w *world) reverse(id string) risk.Decision {
	w.t.Helper()
	r := request("/v1/risk/decisions/"+id+"/reverse", "reverse", "x")
	r.Caller = operator
	d, _, err := w.svc.ReverseDecision(context.Background(), r, id, "it is fine")
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// review is a rule's hold of one payment.
func (w *world) review(id string) {
	w.t.Helper()
	obs := payment.Observation{Provider: "stripe", Account: "stripe-eu", Facts: payment.Facts{Reviews: []payment.Review{{
		Key: payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: "prv_1"}, Open: true, Opened: "rule",
		Stamp: payment.Stamp{Created: w.now(), AsOf: w.now()},
	}}}}
	if _, err := w.svc.Apply(context.Background(), id, obs, payment.Source{}); err != nil {
		w.t.Fatal(err)
	}
	if _, _, err := w.svc.Risk().Step(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// heldForReview is a customer's payment whose money is held, in a world where a review holds payments.
func heldForReview(t *testing.T) (*world, *payment.Payment) {
	t.Helper()
	w := withRules(t, risk.Rule{Name: risk.ReviewOpened, Actions: []risk.Action{risk.ActHold}})
	_, _, held := w.eve()
	return w, held
}

// Guards a block against a capture that was asked for before it and turned away: the same key again is asked for anew,
// and takes no more of a blocked customer than a fresh one.
func TestBlockStopsARepeatedCapture(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	_, _, held := w.eve()
	w.stripe.fail("capture", tooMany)
	_, err := w.capture(held.ID, "c", 0, true)
	wantCode(t, err, payment.CodeProviderUnavailable)
	in := gateway.BlockInput{Customer: "eve", Reason: "stolen"}
	if _, err := w.svc.SetBlock(context.Background(), request("/v1/blocks", "ban", in), in); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"c", "fresh"} {
		_, err := w.capture(held.ID, key, 0, true)
		wantStopped(t, err, gateway.DeclineBlocked)
	}
	w.wantCaptured(held.ID, 0)
	if a, err := w.cancel(held.ID, "x"); err != nil || a.Payment.Status() != payment.StatusCanceled {
		t.Errorf("canceled after it: %+v, %v", a, err)
	}
}

// Guards what an app hears of a payment that somebody must look at: its repeated capture says held, as a fresh one does,
// not that it is still running, and cancel stays possible. What it was told is not done is not done by itself later.
func TestHoldStopsARepeatedCapture(t *testing.T) {
	t.Parallel()
	w, held := heldForReview(t)
	w.stripe.fail("capture", tooMany)
	_, err := w.capture(held.ID, "c", 0, true)
	wantCode(t, err, payment.CodeProviderUnavailable)
	w.review(held.ID)
	for _, key := range []string{"c", "fresh", "c"} {
		_, err := w.capture(held.ID, key, 0, true)
		wantStopped(t, err, gateway.DeclineHeld)
	}
	w.reverse(w.decisions()[0].ID)
	if err := w.work(6); err != nil {
		t.Fatal(err)
	}
	w.wantCaptured(held.ID, 0)
	if a, err := w.cancel(held.ID, "x"); err != nil || a.Payment.Status() != payment.StatusCanceled {
		t.Errorf("canceled after it: %+v, %v", a, err)
	}
}

// Guards the same where the hold comes after the request looked for one: between its order and the provider's call.
func TestHoldStopsACaptureUnderWay(t *testing.T) {
	t.Parallel()
	w, held := heldForReview(t)
	once := true
	w.hook = func(p store.WritePoint, when faults.When) error {
		if once && p == store.PointPaymentReplace && when == faults.After {
			once = false
			w.review(held.ID)
		}
		return nil
	}
	for range 2 {
		_, err := w.capture(held.ID, "c", 0, true)
		wantStopped(t, err, gateway.DeclineHeld)
	}
	if once {
		t.Fatal("nothing held it")
	}
	w.reverse(w.decisions()[0].ID)
	if err := w.work(6); err != nil {
		t.Fatal(err)
	}
	w.wantCaptured(held.ID, 0)
	if a, err := w.capture(held.ID, "c", 0, true); err != nil || a.Unknown {
		t.Errorf("asked for again once it was let go: %+v, %v", a, err)
	}
	w.wantCaptured(held.ID, 1000)
}
