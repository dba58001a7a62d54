package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// Guards refunds: what was asked is done once, a repetition says the same, another value under the key is refused, and
// never more goes back than was taken.
func TestRefund(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "paypal"} {
		w := newWorld(t, nil)
		p := w.paid(provider)
		a, err := w.refund(p.ID, "r1", 300)
		if err != nil || a.Unknown || a.Replayed || a.Refund == "" {
			t.Fatalf("%+v, %v", a, err)
		}
		again, err := w.refund(p.ID, "r1", 300)
		if err != nil || !again.Replayed || again.Refund != a.Refund {
			t.Errorf("again: %+v, %v", again, err)
		}
		_, err = w.refund(p.ID, "r1", 301)
		wantCode(t, err, payment.CodeIdempotencyReused)
		_, err = w.refund(p.ID, "r2", 701)
		wantCode(t, err, payment.CodeConflict)
		if a, err = w.refund(p.ID, "r2", 0); err != nil || a.Payment.Amounts().Refunded != 1000 {
			t.Errorf("the rest: %+v, %v", a, err)
		}
		_, err = w.refund(p.ID, "r3", 0)
		wantCode(t, err, payment.CodeConflict)
		w.wantBooks(p.ID)
		w.wantStatus(p.ID, payment.StatusSucceeded)
		if n := w.fake(provider).counted("refund"); n != 2 || w.refundedSum(p.ID) != 1000 {
			t.Errorf("%d calls, %d refunded", n, w.refundedSum(p.ID))
		}
		for _, bad := range []int64{-1, payment.MaxMinor + 1} {
			_, err = w.refund(p.ID, "bad", bad)
			wantCode(t, err, payment.CodeInvalid)
		}
		_, err = w.svc.Refund(t.Context(), request("x", "y", 1), p.ID, 1, "because")
		wantCode(t, err, payment.CodeInvalid)
	}
	w := newWorld(t, nil)
	p := w.mustCreate("k", input("stripe"))
	_, err := w.refund(p.ID, "r", 0)
	wantCode(t, err, payment.CodeConflict)
}

// Guards I1, I5 for refunds with every kind of lost answer: 202, then the same key drives it to exactly one refund, also
// when nobody asks again and only the worker goes on.
func TestRefundUnknown(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{timeoutBefore, timeoutAfter, htmlPage, stored500, stored500Done} {
		for _, asksAgain := range []bool{true, false} {
			w := newWorld(t, nil)
			p := w.paid("stripe")
			w.stripe.fail("refund", f)
			a, err := w.refund(p.ID, "r", 400)
			if err != nil || !a.Unknown {
				t.Fatalf("%d: %+v, %v", f, a, err)
			}
			if got := a.Payment.Amounts(); got.RefundPending != 400 || got.Refundable != 600 {
				t.Errorf("%d: %+v", f, got)
			}
			if asksAgain {
				for range 60 {
					if a, err = w.refund(p.ID, "r", 400); err != nil || !a.Replayed {
						t.Fatalf("%d: %+v, %v", f, a, err)
					}
					if !a.Unknown {
						break
					}
					w.pass(5 * time.Minute)
				}
			}
			w.quiet(p.ID)
			a, err = w.refund(p.ID, "r", 400)
			if err != nil || a.Unknown || !a.Replayed || w.refundedSum(p.ID) != 400 {
				t.Errorf("%d: %+v, %v, refunded %d", f, a, err, w.refundedSum(p.ID))
			}
			w.wantBooks(p.ID)
		}
	}
}

// Guards the order of a dead key: look up, look up again at least 15 minutes later, and only then a new key; what a
// look-up finds is adopted without another call.
func TestKeyDeadMoney(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"refund", "capture"} {
		for _, f := range []fault{timeoutBefore, timeoutAfter} {
			w := newWorld(t, nil)
			var order func() (gateway.Answer, error)
			var id string
			if kind == "refund" {
				id = w.paid("paypal").ID
				order = func() (gateway.Answer, error) { return w.refund(id, "r", 400) }
			} else {
				id = w.authorized("paypal").ID
				order = func() (gateway.Answer, error) { return w.capture(id, "c", 400, true) }
			}
			w.paypal.fail(kind, f)
			a, err := order()
			if err != nil || !a.Unknown {
				t.Fatalf("%s %d: %+v, %v", kind, f, a, err)
			}
			w.pass(7 * time.Hour) // the key is dead
			before := w.paypal.counted(kind)
			reads := w.paypal.counted("fetch")
			a, err = order()
			if f == timeoutAfter {
				if err != nil || a.Unknown || w.paypal.counted(kind) != before {
					t.Errorf("%s not adopted: %+v, %v", kind, a, err)
				}
				w.wantBooks(id)
				continue
			}
			for range 3 { // many look-ups within 15 minutes are one
				if err != nil || !a.Unknown || w.paypal.counted(kind) != before {
					t.Fatalf("%s: %+v, %v", kind, a, err)
				}
				w.pass(4 * time.Minute)
				a, err = order()
			}
			if got := w.paypal.counted("fetch") - reads; got != 4 {
				t.Errorf("%s: %d look-ups", kind, got)
			}
			w.pass(11 * time.Minute)
			if a, err = order(); err != nil || !a.Unknown || w.paypal.counted(kind) != before {
				t.Fatalf("%s after the second look-up: %+v, %v", kind, a, err)
			}
			if a, err = order(); err != nil || a.Unknown || w.paypal.counted(kind) != before+1 || len(w.paypal.keysOf(kind)) != 2 {
				t.Errorf("%s with a new key: %+v, %v, keys %v", kind, a, err, w.paypal.keysOf(kind))
			}
			w.wantBooks(id)
		}
	}
}

// Guards the same for a key that the provider forgot early: what refuses the repetition ("already captured") is read,
// and the effect of the first call is adopted instead of lost.
func TestKeyForgottenEarly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.authorized("paypal")
	w.paypal.fail("capture", timeoutAfter)
	w.paypal.remembers = time.Minute
	a, err := w.capture(p.ID, "c", 1000, true)
	if err != nil || !a.Unknown {
		t.Fatalf("%+v, %v", a, err)
	}
	w.pass(time.Hour)
	if a, err = w.capture(p.ID, "c", 1000, true); err != nil || a.Unknown {
		t.Errorf("%+v, %v", a, err)
	}
	w.wantStatus(p.ID, payment.StatusSucceeded)
	w.wantBooks(p.ID)
	w.wantAlerts(p.ID)
}

// Guards that a dead key's look-up does not take an older capture, made outside, for its own.
func TestKeyDeadBesidesOutsideCapture(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.authorized("paypal")
	w.paypal.takeOutside(p.ID, 1, 300)
	w.observe(p.ID, 1)
	w.pass(time.Hour)
	w.paypal.fail("capture", timeoutBefore)
	if a, err := w.capture(p.ID, "c", 700, true); err != nil || !a.Unknown {
		t.Fatalf("%+v, %v", a, err)
	}
	w.pass(7 * time.Hour)
	w.quiet(p.ID)
	w.wantCaptured(p.ID, 1000)
	w.wantStatus(p.ID, payment.StatusSucceeded)
	w.wantBooks(p.ID)
	w.wantAlerts(p.ID, "outside_capture", "operation_stuck")
}

// Guards that what was ordered and certainly not done is said so (503), is never done behind the app's back, holds
// nothing reserved, and works again with the app's same key and a new key at the provider: at once, but after a look
// where the provider has forgotten the keys of a try that a restored backup may not know.
func TestRefundCertainlyNotDone(t *testing.T) {
	t.Parallel()
	for i, f := range []fault{tooMany, missing, forbidden, tooMany, missing, forbidden} {
		w := newWorld(t, nil)
		p := w.paid("stripe")
		w.stripe.fail("refund", f)
		late := i >= 3
		_, err := w.refund(p.ID, "r", 400)
		wantCode(t, err, payment.CodeProviderUnavailable)
		var e *payment.Error
		if !errors.As(err, &e) || e.PaymentID != p.ID {
			t.Errorf("%v names no payment", err)
		}
		w.pass(20 * time.Hour)
		if late {
			w.pass(28 * time.Hour)
		}
		w.quiet(p.ID)
		if w.refundedSum(p.ID) != 0 || w.stripe.counted("refund") != 1 || w.get(p.ID).Amounts().Refundable != 1000 {
			t.Errorf("%d: %d calls, %+v", f, w.stripe.counted("refund"), w.get(p.ID).Amounts())
		}
		a, err := w.refund(p.ID, "r", 500) // nothing is remembered: it may be corrected
		if late {
			w.quiet(p.ID)
		}
		if err != nil || a.Unknown != late || a.Replayed || w.refundedSum(p.ID) != 500 || len(w.stripe.keysOf("refund")) != 2 {
			t.Errorf("%d: %+v, %v, keys %v", f, a, err, w.stripe.keysOf("refund"))
		}
		if n := len(w.get(p.ID).Refunds()); n != 1 {
			t.Errorf("%d: %d refunds", f, n)
		}
		w.wantBooks(p.ID)
	}
}

// Guards that a "not done" after a lost answer settles nothing: the first call may still have taken effect. Where it is
// read at the provider meanwhile, it is the answer.
func TestRefundNotDoneAfterUnknown(t *testing.T) {
	t.Parallel()
	for _, first := range []fault{timeoutBefore, timeoutAfter} {
		w := newWorld(t, nil)
		p := w.paid("stripe")
		w.stripe.fail("refund", first, tooMany, missing, forbidden)
		for range 4 {
			read := len(w.get(p.ID).Facts.Refunds) > 0
			if a, err := w.refund(p.ID, "r", 400); err != nil || a.Unknown == read {
				t.Fatalf("%+v, %v", a, err)
			}
		}
		if a, err := w.refund(p.ID, "r", 400); err != nil || a.Unknown || w.refundedSum(p.ID) != 400 || len(w.stripe.keysOf("refund")) != 1 {
			t.Errorf("%+v, %v", a, err)
		}
	}
}

// Guards declines (remembered) and refusals (not remembered) of refunds and captures.
func TestDeclinedAndRefusedCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.authorized("stripe")
	w.stripe.fail("capture", declined)
	for range 2 {
		_, err := w.capture(p.ID, "c", 0, true)
		wantCode(t, err, payment.CodeDeclined)
	}
	if n := w.stripe.counted("capture"); n != 1 {
		t.Errorf("%d calls for a remembered decline", n)
	}
	_, err := w.capture(p.ID, "c", 10, true)
	wantCode(t, err, payment.CodeIdempotencyReused)
	w.stripe.fail("capture", refused)
	_, err = w.capture(p.ID, "c2", 0, true)
	wantCode(t, err, payment.CodeConflict)
	if a, err := w.capture(p.ID, "c2", 0, true); err != nil || a.Replayed {
		t.Errorf("%+v, %v", a, err)
	}
	w.wantStatus(p.ID, payment.StatusSucceeded)
	w.stripe.fail("refund", refused)
	_, err = w.refund(p.ID, "r", 0)
	wantCode(t, err, payment.CodeConflict)
	if a, err := w.refund(p.ID, "r", 100); err != nil || a.Payment.Amounts().Refunded != 100 {
		t.Errorf("%+v, %v", a, err)
	}
	w.wantBooks(p.ID)
}

// Guards the fragment that a call brings where the read after it failed: nothing is counted wrongly, and the next read
// completes it.
func TestBlindRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.authorized("paypal")
	w.paypal.fail("capture", blindRead)
	if a, err := w.capture(p.ID, "c", 600, true); err != nil || a.Unknown {
		t.Fatalf("%+v, %v", a, err)
	}
	w.pass(2 * time.Minute)
	w.observe(p.ID, 1)
	w.wantStatus(p.ID, payment.StatusSucceeded)
	w.paypal.fail("refund", blindRead)
	if a, err := w.refund(p.ID, "r", 600); err != nil || a.Payment.Amounts().Refunded != 600 {
		t.Fatalf("%+v, %v", a, err)
	}
	w.wantBooks(p.ID)
	w.wantAlerts(p.ID)
}

// Guards "one key, one refund": 32 at the same time.
func TestRefundConcurrentlyOneKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.paid("stripe")
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	for range 32 {
		wg.Go(func() {
			a, err := w.refund(p.ID, "r", 300)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && !a.Unknown:
				answers[a.Refund]++
			case payment.CodeOf(err) != payment.CodeIdempotencyInProgress:
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	wg.Wait()
	if len(answers) != 1 || w.refundedSum(p.ID) != 300 || w.stripe.counted("refund") != 1 {
		t.Errorf("answers %v, refunded %d in %d calls", answers, w.refundedSum(p.ID), w.stripe.counted("refund"))
	}
	if n := len(w.get(p.ID).Refunds()); n != 1 {
		t.Errorf("%d refunds", n)
	}
}

// Guards that different refunds racing never give back more than was taken, with lost answers among them, and that the
// sum of what was promised is what the provider did.
func TestRefundRace(t *testing.T) {
	t.Parallel()
	for round := range 5 {
		w := newWorld(t, nil)
		p := w.paid("stripe")
		w.stripe.fail("refund", fine, timeoutAfter, timeoutBefore, fine, tooMany)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var promised int64
		for i := range 8 {
			wg.Go(func() {
				amount := int64(200 + 50*(i+round)%150)
				_, err := w.refund(p.ID, fmt.Sprintf("r%d", i), amount)
				mu.Lock()
				defer mu.Unlock()
				switch code := payment.CodeOf(err); {
				case err == nil:
					promised += amount
				case code != payment.CodeConflict && code != payment.CodeProviderUnavailable:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.quiet(p.ID)
		if got := w.refundedSum(p.ID); got != promised || got > 1000 || got < 400 {
			t.Errorf("refunded %d, promised %d", got, promised)
		}
		w.wantBooks(p.ID)
	}
}

// Guards that a provider's answer outlives an impatient caller: it is stored although nobody waits for it any more.
func TestCallerGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.paid("stripe")
	ctx, gone := context.WithCancel(t.Context())
	w.stripe.during = func(op string) {
		if op == "refund" {
			gone()
		}
	}
	a, err := w.svc.Refund(ctx, request("/v1/payments/"+p.ID+"/refunds", "r", int64(300)), p.ID, 300, "")
	if err != nil || a.Unknown || w.get(p.ID).Amounts().Refunded != 300 {
		t.Errorf("%+v, %v, %+v", a, err, w.get(p.ID).Amounts())
	}
}

// Guards a worker whose lease ran out while its call hung: whoever took over settles the operation, and what the late
// one heard neither ends nor frees it.
func TestLateWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.paid("stripe")
	w.stripe.fail("refund", tooMany) // the late one's answer
	lateIsStored, secondIsCalling, secondIsDone := make(chan struct{}), make(chan struct{}), make(chan struct{})
	calls := 0
	w.stripe.during = func(op string) {
		if op != "refund" {
			return
		}
		calls++
		if calls == 1 { // the late one hangs until the other is in the middle of its own call
			w.pass(21 * time.Second)
			go func() {
				defer close(secondIsDone)
				a, err := w.refund(p.ID, "r", 300)
				if err != nil || a.Unknown || !a.Replayed {
					t.Errorf("the second: %+v, %v", a, err)
				}
			}()
			<-secondIsCalling
			return
		}
		close(secondIsCalling)
		<-lateIsStored
	}
	_, err := w.refund(p.ID, "r", 300)
	wantCode(t, err, payment.CodeIdempotencyInProgress)
	close(lateIsStored)
	<-secondIsDone
	if w.refundedSum(p.ID) != 300 || w.get(p.ID).Unfinished(0) != nil {
		t.Errorf("refunded %d: %s", w.refundedSum(p.ID), told(w.get(p.ID)))
	}
}

// Guards that a crash after the call leaves "it may have happened": a certain "not done" for the repetition says nothing
// about the first call.
func TestNotDoneAfterCrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.paid("stripe")
	w.crashAt(store.PointPaymentReplace, faults.Before, 3) // ordered, started, and not settled
	if !w.crashed(func() { _, _ = w.refund(p.ID, "r", 300) }) || w.refundedSum(p.ID) != 300 {
		t.Fatal("no crash after the effect")
	}
	w.pass(time.Minute)
	w.stripe.fail("refund", tooMany)
	if a, err := w.refund(p.ID, "r", 300); err != nil || !a.Unknown {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := w.refund(p.ID, "r", 300); err != nil || a.Unknown || w.refundedSum(p.ID) != 300 {
		t.Errorf("%+v, %v, refunded %d", a, err, w.refundedSum(p.ID))
	}
}
