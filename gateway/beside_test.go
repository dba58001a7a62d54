package gateway_test

import (
	"errors"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

var errBeside = &providers.Error{Class: providers.Unknown, Provider: "stripe", Op: "fetch", Code: "disputes_away", Aside: true, Rooted: true}

// Promise: where only disputes can't be read, what the reading shows of the payment's own
// money is applied, and the caller hears that it was not all.
func TestRefreshWithoutDisputes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("a", input("stripe"))
	w.pass(time.Minute)
	w.stripe.pay(p.ID, 1)
	w.stripe.beside = errBeside
	got, err := w.svc.Refresh(t.Context(), p.ID, 1, payment.Source{Layer: payment.LayerWebhook})
	if !errors.Is(err, errBeside) || got == nil || got.Status() != payment.StatusSucceeded {
		t.Fatalf("%v, %v", told(got), err)
	}
	if a := got.Facts.Attempts[0]; !a.WholeAsOf.Before(a.CompleteAsOf) {
		t.Errorf("whole as of %v, complete as of %v", a.WholeAsOf, a.CompleteAsOf)
	}
	w.wantStatus(p.ID, payment.StatusSucceeded)
}

// Promise: of several attempts, one that could not be read at all is told before the
// disputes of another: whoever is content without disputes must not take it for read.
func TestRefreshTellsTheAttemptThatWasNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("a", input(""))
	for _, provider := range []string{"paypal", "stripe"} {
		if _, err := w.choose(p.ID, provider); err != nil {
			t.Fatal(err)
		}
	}
	w.paypal.beside = errBeside
	w.stripe.fail("fetch", timeoutBefore)
	_, err := w.svc.Refresh(t.Context(), p.ID, 0, payment.Source{Layer: payment.LayerReconcile})
	if err == nil || providers.Beside(err) {
		t.Errorf("told %v", err)
	}
}

// Promise (I5): a refund whose outcome is unknown is found without disputes; an answer to
// a dispute is neither found nor given up on a look that could not see it, and not given
// twice.
func TestLookUpsWithoutDisputes(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{stored500, stored500Done} {
		w := newWorld(t, nil)
		s := &story{world: w, id: w.paid("stripe").ID}
		disputes("stripe")(s)
		id := s.disputeID()
		w.stripe.fail("accept_dispute", f)
		if a, err := w.svc.AcceptDispute(t.Context(), request("/v1/disputes/"+id+"/accept", "a", "a"), id, ""); err != nil || !a.Unknown {
			t.Fatalf("%d: %+v, %v", f, a, err)
		}
		w.stripe.beside = errBeside
		w.workOn(s.id, 3*time.Hour)
		if n := w.stripe.counted("accept_dispute"); n != 1 || w.get(s.id).Unfinished(0) == nil {
			t.Errorf("%d: told %d times while nobody could look", f, n)
		}
		w.stripe.beside = nil
		w.quiet(s.id)
		want := map[fault]int{stored500: 2, stored500Done: 1}[f]
		if n := w.stripe.counted("accept_dispute"); n != want {
			t.Errorf("%d: told %d times, want %d", f, n, want)
		}

		w = newWorld(t, nil)
		p := w.paid("stripe")
		w.stripe.fail("refund", f)
		w.stripe.beside = errBeside
		if a, err := w.refund(p.ID, "r", 400); err != nil || !a.Unknown {
			t.Fatalf("%d: %+v, %v", f, a, err)
		}
		w.quiet(p.ID)
		w.stripe.beside = nil
		if got := w.refundedSum(p.ID); got != 400 {
			t.Errorf("%d: refunded %d, want 400", f, got)
		}
		w.wantBooks(p.ID)
	}
}

// Promise (I1): money is never taken or given back again on a look that could not see
// what a first try made, because the checkout itself is gone.
func TestLookUpsWithoutTheRoot(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]func(w *world, id string) error{
		"capture": func(w *world, id string) error { _, err := w.capture(id, "c", 300, false); return err },
		"refund":  func(w *world, id string) error { _, err := w.refund(id, "r", 300); return err },
	} {
		for _, f := range []fault{stored500Done, stored500} {
			w := newWorld(t, nil)
			p := w.authorized("paypal")
			if name == "refund" {
				p = w.paid("paypal")
			}
			w.paypal.fail(name, f)
			if err := order(w, p.ID); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			w.paypal.rootless = true
			before := w.paypal.counted(name)
			w.workOn(p.ID, 5*time.Hour)
			if n := w.paypal.counted(name) - before; n != 0 || w.get(p.ID).Unfinished(0) == nil {
				t.Errorf("%s (%d): told %d times more while nobody could look", name, f, n)
			}
			w.paypal.rootless = false
			w.quiet(p.ID)
			if name == "refund" && w.refundedSum(p.ID) != 300 {
				t.Errorf("refunded %d, want 300", w.refundedSum(p.ID))
			}
			if name == "capture" {
				w.wantCaptured(p.ID, 300)
			}
			w.wantBooks(p.ID)
		}
	}
}
