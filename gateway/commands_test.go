package gateway_test

import (
	"cmp"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// Guards manual capture: in parts where the provider can, never above the hold, twice is a conflict.
func TestCapture(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.authorized("paypal")
	if a, err := w.capture(p.ID, "c1", 300, false); err != nil || a.Payment.Status() != payment.StatusAuthorized || a.Payment.Amounts().Capturable != 700 {
		t.Fatalf("%+v, %v", a, err)
	}
	_, err := w.capture(p.ID, "c2", 701, true)
	wantCode(t, err, payment.CodeConflict)
	if a, err := w.capture(p.ID, "c2", 500, true); err != nil || a.Payment.Status() != payment.StatusSucceeded {
		t.Fatalf("%+v, %v", a, err)
	}
	_, err = w.capture(p.ID, "c3", 0, true)
	wantCode(t, err, payment.CodeConflict)
	if a, err := w.capture(p.ID, "c1", 300, false); err != nil || !a.Replayed {
		t.Errorf("replayed: %+v, %v", a, err)
	}
	w.wantCaptured(p.ID, 800)
	w.wantBooks(p.ID)
	w.wantAlerts(p.ID)

	w = newWorld(t, nil)
	p = w.authorized("stripe")
	_, err = w.capture(p.ID, "c", 300, false)
	wantCode(t, err, payment.CodeUnsupported)
	_, err = w.capture(p.ID, "c", -5, true)
	wantCode(t, err, payment.CodeInvalid)
	if a, err := w.capture(p.ID, "c", 300, true); err != nil || a.Payment.Status() != payment.StatusSucceeded {
		t.Errorf("%+v, %v", a, err)
	}
	w.wantBooks(p.ID)
	p = w.paid("stripe")
	_, err = w.capture(p.ID, "c", 0, true)
	wantCode(t, err, payment.CodeConflict)
}

// Guards that capture and cancel of one authorization never both happen, however they meet.
func TestCaptureCancelRace(t *testing.T) {
	t.Parallel()
	for range 10 {
		w := newWorld(t, nil)
		p := w.authorized("stripe")
		var wg sync.WaitGroup
		var captureErr, cancelErr error
		wg.Go(func() { _, captureErr = w.capture(p.ID, "c", 0, true) })
		wg.Go(func() { _, cancelErr = w.cancel(p.ID, "x") })
		wg.Wait()
		if (captureErr == nil) == (cancelErr == nil) {
			t.Errorf("capture: %v, cancel: %v", captureErr, cancelErr)
		}
		w.quiet(p.ID)
		want := payment.StatusSucceeded
		if cancelErr == nil {
			want = payment.StatusCanceled
		}
		w.wantStatus(p.ID, want)
		w.wantBooks(p.ID)
	}
	// One arrives in the very middle of the other.
	w := newWorld(t, nil)
	p := w.authorized("stripe")
	w.stripe.during = func(op string) {
		if op == "void" {
			w.stripe.during = nil
			_, err := w.capture(p.ID, "c", 0, true)
			wantCode(t, err, payment.CodeConflict)
		}
	}
	if _, err := w.cancel(p.ID, "x"); err != nil {
		t.Fatal(err)
	}
	w.wantStatus(p.ID, payment.StatusCanceled)
}

// Guards cancel: at once where nothing is open, by closing or abandoning what is, by releasing what is held; again is
// the same; a payment that took money can't be canceled.
func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("none", input(""))
	if a, err := w.cancel(p.ID, "x"); err != nil || a.Payment.Status() != payment.StatusCanceled {
		t.Errorf("nothing open: %+v, %v", a, err)
	}
	for _, provider := range []string{"stripe", "paypal"} {
		for _, in := range []gateway.CreateInput{input(provider), manualInput(provider)} {
			w := newWorld(t, nil)
			p := w.mustCreate("k", in)
			if in.Capture == "manual" {
				w.fake(provider).pay(p.ID, 1)
				w.comeBack(p.ID, 1)
			}
			a, err := w.cancel(p.ID, "x")
			if err != nil || a.Unknown || a.Payment.Status() != payment.StatusCanceled || w.svc.Checkout(a.Payment) != "" {
				t.Fatalf("%s %s: %+v, %v", provider, in.Capture, a, err)
			}
			for _, key := range []string{"x", "y"} {
				if a, err := w.cancel(p.ID, key); err != nil || a.Replayed != (key == "x") || a.Payment.Status() != payment.StatusCanceled {
					t.Errorf("%s again: %+v, %v", key, a, err)
				}
			}
			if provider == "stripe" && w.stripe.pay(p.ID, 1) {
				t.Error("the page still took money")
			}
			w.quiet(p.ID)
			w.wantCaptured(p.ID, 0)
			w.wantAlerts(p.ID)
		}
	}
	p = w.paid("stripe")
	_, err := w.cancel(p.ID, "x")
	wantCode(t, err, payment.CodeConflict)
}

// Guards the race between the app's cancel and the customer: whoever is first at the provider wins, the loser is told,
// and the money is never both taken and canceled.
func TestCancelPayRace(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "paypal"} {
		w := newWorld(t, nil)
		p := w.mustCreate("k", input(provider))
		w.fake(provider).during = func(op string) {
			if op == "close_checkout" {
				w.fake(provider).during = nil
				w.fake(provider).pay(p.ID, 1)
			}
		}
		_, err := w.cancel(p.ID, "x")
		wantCode(t, err, payment.CodeConflict)
		w.quiet(p.ID)
		w.wantStatus(p.ID, payment.StatusSucceeded)
		_, err = w.cancel(p.ID, "x")
		wantCode(t, err, payment.CodeConflict)
		w.wantBooks(p.ID)
		w.wantAlerts(p.ID)
	}
}

// Guards the same where the news of the payment overtakes the answer to the close: still a conflict for the app, not
// "repeat it".
func TestCancelOvertakenByWebhook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input("paypal"))
	w.hook = func(store.WritePoint, faults.When) error {
		if w.paypal.counted("close_checkout") == 1 { // answered, not stored yet
			w.hook = nil
			w.pass(time.Second)
			w.paypal.pay(p.ID, 1)
			w.observe(p.ID, 1)
		}
		return nil
	}
	_, err := w.cancel(p.ID, "x")
	wantCode(t, err, payment.CodeConflict)
	w.quiet(p.ID)
	w.wantStatus(p.ID, payment.StatusSucceeded)
	w.wantBooks(p.ID)
}

// Guards cancels with lost answers: 202 until it is known, then canceled, with one outcome for ever.
func TestCancelUnknown(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{timeoutBefore, timeoutAfter, stored500, stored500Done, htmlPage} {
		for _, manual := range []bool{false, true} {
			w := newWorld(t, nil)
			op, p := "close_checkout", (*payment.Payment)(nil)
			if manual {
				op, p = "void", w.authorized("stripe")
			} else {
				p = w.mustCreate("k", input("stripe"))
			}
			w.stripe.fail(op, f)
			a, err := w.cancel(p.ID, "x")
			if err != nil || !a.Unknown {
				t.Fatalf("%d: %+v, %v", f, a, err)
			}
			w.quiet(p.ID)
			w.wantStatus(p.ID, payment.StatusCanceled)
			if a, err = w.cancel(p.ID, "x"); err != nil || a.Unknown || !a.Replayed {
				t.Errorf("%d: %+v, %v", f, a, err)
			}
			w.wantCaptured(p.ID, 0)
		}
	}
	w := newWorld(t, nil)
	p := w.mustCreate("k", input("stripe"))
	w.stripe.fail("close_checkout", tooMany)
	_, err := w.cancel(p.ID, "x")
	wantCode(t, err, payment.CodeProviderUnavailable)
	w.quiet(p.ID)
	w.wantStatus(p.ID, payment.StatusRequiresAction)
	if a, err := w.cancel(p.ID, "x"); err != nil || a.Payment.Status() != payment.StatusCanceled {
		t.Errorf("%+v, %v", a, err)
	}
}

// Guards the deadline: past it the checkout is closed by call after one look, the payment expires, and late money is
// adopted and told.
func TestDeadline(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "paypal", ""} {
		w := newWorld(t, nil)
		in := input(provider)
		in.ExpiresIn = 1800
		p := w.mustCreate("k", in)
		w.pass(30*time.Minute - time.Millisecond)
		w.step()
		w.wantStatus(p.ID, payment.StatusRequiresAction)
		w.pass(time.Millisecond)
		w.quiet(p.ID)
		w.wantStatus(p.ID, payment.StatusExpired)
		if _, err := w.choose(p.ID, cmp.Or(provider, "stripe")); payment.CodeOf(err) != payment.CodeConflict {
			t.Errorf("choose after the deadline: %v", err)
		}
		if provider == "stripe" && w.stripe.pay(p.ID, 1) {
			t.Error("the page still took money")
		}
		if provider == "paypal" { // approved late: never captured
			w.paypal.pay(p.ID, 1)
			w.comeBack(p.ID, 1)
			w.wantStatus(p.ID, payment.StatusExpired)
			w.wantCaptured(p.ID, 0)
		}
	}
	w := newWorld(t, nil)
	in := input("stripe")
	in.ExpiresIn = 1800
	q := w.mustCreate("short", in)
	w.stripe.during = func(op string) {
		if op == "close_checkout" {
			w.stripe.during = nil
			w.stripe.pay(q.ID, 1)
		}
	}
	w.pass(30 * time.Minute)
	w.quiet(q.ID)
	w.wantStatus(q.ID, payment.StatusSucceeded)
	w.wantBooks(q.ID)
}

// Guards a close that the provider keeps refusing under one key ("still open"): the worker takes a new key and the
// payment expires, instead of repeating a stored refusal for ever.
func TestDeadlineKeptRefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	in := input("stripe")
	in.ExpiresIn = 1800
	p := w.mustCreate("k", in)
	w.stripe.fail("close_checkout", keptRefusal)
	w.pass(30 * time.Minute)
	w.quiet(p.ID)
	w.wantStatus(p.ID, payment.StatusExpired)
	if n := len(w.stripe.keysOf("close_checkout")); n != 2 || w.now().After(begin.Add(time.Hour)) {
		t.Errorf("%d keys, at %v", n, w.now())
	}
}

// Guards sync: the provider is read now and what is due runs; a provider that can't be read is 503.
func TestSync(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input("paypal"))
	w.paypal.pay(p.ID, 1)
	got, err := w.svc.Sync(context.Background(), shop, p.ID)
	if err != nil || got.Status() != payment.StatusSucceeded {
		t.Errorf("%v, %v", got, err)
	}
	w.wantBooks(p.ID)
	w.paypal.fail("fetch", timeoutBefore)
	_, err = w.svc.Sync(context.Background(), shop, p.ID)
	wantCode(t, err, payment.CodeProviderUnavailable)
}

// Guards the release of a hold against its own echo: the first call worked, its answer was lost for good, and what the
// repetition hears is "it is gone". The app hears that it is canceled, also where that can't be read at once.
func TestVoidEcho(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.authorized("stripe")
	w.stripe.fail("void", stored500Done)
	w.stripe.fail("fetch", timeoutBefore)
	for range 2 {
		if a, err := w.cancel(p.ID, "x"); err != nil || !a.Unknown {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	if a, err := w.cancel(p.ID, "x"); err != nil || a.Unknown || a.Payment.Status() != payment.StatusCanceled {
		t.Errorf("%+v, %v", a, err)
	}
	w.wantStatus(p.ID, payment.StatusCanceled)
}
