package gateway_test

import (
	"errors"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Guards I5 for creations: a lost answer is 202 whether or not it took effect; the repetition drives it one step with
// the same key and finds the one checkout.
func TestCreateUnknown(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{timeoutBefore, timeoutAfter, htmlPage} {
		for _, provider := range []string{"stripe", "paypal"} {
			w := newWorld(t, nil)
			w.fake(provider).fail("create_checkout", f, f)
			a, err := w.create("k", input(provider))
			if err != nil || !a.Unknown || a.Replayed {
				t.Fatalf("%s %d: %+v, %v", provider, f, a, err)
			}
			w.wantStatus(a.Payment.ID, payment.StatusProcessing)
			if url := w.svc.Checkout(a.Payment); url != "" {
				t.Errorf("checkout %s of an unknown creation", url)
			}
			if a, err = w.create("k", input(provider)); err != nil || !a.Unknown || !a.Replayed {
				t.Fatalf("%s %d again: %+v, %v", provider, f, a, err)
			}
			a, err = w.create("k", input(provider))
			if err != nil || a.Unknown || !a.Replayed {
				t.Fatalf("%s %d third: %+v, %v", provider, f, a, err)
			}
			w.wantStatus(a.Payment.ID, payment.StatusRequiresAction)
			if fake := w.fake(provider); len(fake.roots) != 1 || len(fake.keysOf("create_checkout")) != 1 {
				t.Errorf("%d checkouts with keys %v", len(fake.roots), fake.keysOf("create_checkout"))
			}
		}
	}
}

// Guards that what certainly did not happen is said so and not remembered: the same key works again, with the same
// request or a corrected one, and never has two checkouts open.
func TestCreateNotDone(t *testing.T) {
	t.Parallel()
	for f, code := range map[fault]payment.Code{
		tooMany: payment.CodeProviderUnavailable, forbidden: payment.CodeProviderUnavailable, missing: payment.CodeProviderUnavailable,
		refused: payment.CodeConflict,
	} {
		w := newWorld(t, nil)
		w.stripe.fail("create_checkout", f, f)
		_, err := w.create("k", input("stripe"))
		wantCode(t, err, code)
		var e *payment.Error
		if !errors.As(err, &e) || e.PaymentID == "" {
			t.Fatalf("%d: no payment named: %v", f, err)
		}
		w.quiet(e.PaymentID)
		if n := w.stripe.counted("create_checkout"); n != 1 {
			t.Errorf("%d: tried %d times behind the app's back", f, n)
		}
		_, err = w.create("k", input("stripe"))
		wantCode(t, err, code)
		corrected := input("stripe")
		corrected.Amount = 1500
		a, err := w.create("k", corrected)
		if err != nil || a.Payment.ID != e.PaymentID || a.Payment.Facts.Terms.Amount.Minor != 1500 {
			t.Fatalf("%d corrected: %+v, %v", f, a, err)
		}
		if a, err = w.create("k", corrected); err != nil || !a.Replayed {
			t.Errorf("%d replayed: %+v, %v", f, a, err)
		}
		_, err = w.create("k", input("stripe"))
		wantCode(t, err, payment.CodeIdempotencyReused)
		if len(w.stripe.roots) != 1 || w.stripe.roots[0].req.Amount.Minor != 1500 {
			t.Errorf("%d: %d checkouts", f, len(w.stripe.roots))
		}
	}
}

// Guards that a long outage does not use a payment up: an app that repeats its creation every five seconds for three
// hours, as it is told to, gets its checkout with the same key once the provider is back.
func TestCreateThroughLongOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for range payment.MaxAttempts {
		w.stripe.fail("create_checkout", tooMany)
	}
	for began := w.now(); w.now().Before(began.Add(3 * time.Hour)); w.pass(5 * time.Second) {
		_, err := w.create("k", input("stripe"))
		wantCode(t, err, payment.CodeProviderUnavailable)
		var e *payment.Error
		if !errors.As(err, &e) || e.PaymentID == "" {
			t.Fatalf("no payment named: %v", err)
		}
	}
	if tried := w.stripe.counted("create_checkout"); tried < 20 || tried >= payment.MaxAttempts {
		t.Errorf("tried %d times in three hours", tried)
	}
	w.stripe.mu.Lock()
	clear(w.stripe.script)
	w.stripe.mu.Unlock()
	w.pass(10 * time.Minute)
	if a, err := w.create("k", input("stripe")); err != nil || a.Unknown {
		t.Errorf("after the outage: %+v, %v", a, err)
	}
	if len(w.stripe.roots) != 1 {
		t.Errorf("%d checkouts", len(w.stripe.roots))
	}
}

// Guards that a provider's complaint about one field reaches the app as that field, and that the correction may choose
// another provider or none.
func TestCreateRefusedField(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	in := input("stripe")
	in.Amount = 666
	_, err := w.create("k", in)
	wantCode(t, err, payment.CodeInvalid)
	var e *payment.Error
	if !errors.As(err, &e) || len(e.Fields) != 1 || e.Fields[0].Pointer != "/amount" {
		t.Errorf("fields %v", err)
	}
	a, err := w.create("k", input(""))
	if err != nil || a.Payment.ID != e.PaymentID {
		t.Fatalf("corrected: %v", err)
	}
	if _, err := w.choose(a.Payment.ID, "paypal"); err != nil {
		t.Errorf("choose: %v", err)
	}
	if a, err = w.create("k", input("")); err != nil || !a.Replayed || a.Unknown {
		t.Errorf("replayed: %+v, %v", a, err)
	}
}

// Guards that a 402 is remembered: the same request hears it again without another call.
func TestCreateDeclined(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.stripe.fail("create_checkout", declined)
	for _, again := range []bool{false, true} {
		a, err := w.create("k", input("stripe"))
		wantCode(t, err, payment.CodeDeclined)
		if a.Replayed != again {
			t.Errorf("replayed: %v", a.Replayed)
		}
		var e *payment.Error
		if !errors.As(err, &e) || e.PaymentID == "" || e.DeclineCode != "insufficient_funds" {
			t.Errorf("declined as %+v", e)
		}
	}
	corrected := input("stripe")
	corrected.Amount = 5
	_, err := w.create("k", corrected)
	wantCode(t, err, payment.CodeIdempotencyReused)
	if n := w.stripe.counted("create_checkout"); n != 1 {
		t.Errorf("%d calls", n)
	}
}
