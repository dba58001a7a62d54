package gateway_test

import (
	"errors"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// madeSince is a world on a backup from before or within the first try of a refund (before the n-th write of it), which
// was turned away; the repetition then made it, under another key. The backup is ten minutes old, and all keys live.
func madeSince(t *testing.T, provider string, n int) (w *world, id string) {
	t.Helper()
	w = newWorld(t, nil)
	id = w.paid(provider).ID
	w.fake(provider).fail("refund", tooMany)
	var saved store.Engine
	writes := 0
	w.hook = func(_ store.WritePoint, when faults.When) error {
		if when == faults.Before {
			if writes == n {
				saved = w.backup()
			}
			writes++
		}
		return nil
	}
	_, err := w.refund(id, "r", 400)
	wantCode(t, err, payment.CodeProviderUnavailable)
	w.hook = nil
	if _, err := w.refund(id, "r", 400); err != nil || saved == nil {
		t.Fatalf("%v, backup %v", err, saved != nil)
	}
	w.pass(10 * time.Minute)
	w.restore(saved)
	return w, id
}

// Guards I1 over a restored backup whose first look fails: what came late is not sent before a look was answered, though
// the process dies in it, the store's answer is lost, or the provider gives none. What was read since is looked up in our
// own record.
func TestLateOrderWaitsForALook(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "paypal"} {
		for _, n := range []int{1, 2} {
			for name, trouble := range map[string]func(w *world, try func()){
				"it dies": func(w *world, try func()) {
					w.crashAt(store.PointPaymentReplace, faults.After, 1)
					w.crashed(try)
				},
				"the store's answer is lost": func(w *world, try func()) {
					once := true
					w.hook = func(p store.WritePoint, when faults.When) error {
						if once && p == store.PointPaymentReplace && when == faults.After {
							once = false
							return errors.New("cut")
						}
						return nil
					}
					try()
					w.hook = nil
				},
				"the look fails": func(w *world, _ func()) { w.fake(provider).fail("fetch", timeoutBefore) },
				"the look fails for long": func(w *world, _ func()) {
					w.fake(provider).fail("fetch", timeoutBefore, timeoutBefore, tooMany, timeoutBefore)
				},
			} {
				for _, read := range []bool{false, true} {
					w, id := madeSince(t, provider, n)
					if read {
						w.observe(id, 1)
					}
					trouble(w, func() {
						_, _, _ = w.ops.Step(t.Context())
						_, _ = w.refund(id, "r", 400)
					})
					for range 8 {
						w.pass(time.Minute)
						w.step()
						if a, err := w.refund(id, "r", 400); err == nil && !a.Unknown {
							break
						}
					}
					w.quiet(id)
					if got := w.refundedSum(id); got != 400 {
						t.Errorf("%s, backup before write %d, %s, read %v: gave back %d, want 400", provider, n, name, read, got)
					}
					w.wantBooks(id)
				}
			}
		}
	}
}

// Guards I1 where a webhook or sweep is faster than a repetition: a refund that our own record shows is not sent again
// under a new key, however many looks before found nothing.
func TestShownRefundIsNotSentAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.paid("stripe").ID
	w.stripe.fail("refund", stored500)
	if a, err := w.refund(id, "r", 400); err != nil || !a.Unknown {
		t.Fatalf("%+v, %v", a, err)
	}
	op := func() payment.Operation { return w.get(id).Operations[len(w.get(id).Operations)-1] }
	for range 40 {
		if op().LookUps == 2 {
			break
		}
		w.pass(time.Minute)
		w.step()
	}
	sent := w.stripe.counted("refund")
	seen := payment.Refund{
		Key: payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: "re_seen"}, Operation: op().ID, Amount: op().Amount,
		State: payment.RefundSucceeded, Stamp: payment.Stamp{Created: w.now(), AsOf: w.now()},
	}
	late := payment.Observation{Provider: "stripe", Account: "stripe-eu", Facts: payment.Facts{Refunds: []payment.Refund{seen}}}
	if _, err := w.svc.Apply(t.Context(), id, late, payment.Source{}); err != nil || op().LookUps != 2 {
		t.Fatalf("%v, %+v", err, op())
	}
	for range 40 {
		w.pass(time.Minute)
		w.step()
	}
	if got := op(); w.stripe.counted("refund") != sent || got.State != payment.OpDone || got.Ref != "re_seen" {
		t.Errorf("%d calls more; %+v", w.stripe.counted("refund")-sent, got)
	}
}

// Guards a block against our own persistence: a capture without an outcome is not sent again once its customer is
// blocked. It is looked for; found, it is told, and not found twice it ends as declined. A hold puts it off the same
// way, and it goes on when the hold is lifted.
func TestBlockedCaptureIsOnlyLookedFor(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{stored500, timeoutBefore, timeoutAfter} {
		for _, hold := range []bool{false, true} {
			w := withRules(t, banning(risk.ActHold))
			p, open := w.mustCreate("k", of("eve", "paypal")), w.mustCreate("open", of("eve", "stripe"))
			w.paypal.pay(p.ID, 1)
			w.paypal.fail("capture", f)
			w.comeBack(p.ID, 1)
			if hold {
				w.declines(open.ID, 5)
				w.mustWork(3)
			} else {
				w.block()
			}
			for range 90 {
				w.pass(time.Minute)
				w.step()
			}
			if n := w.paypal.counted("capture"); n != 1 {
				t.Errorf("fault %d, hold %v: captured in %d calls", f, hold, n)
			}
			want := int64(0)
			switch {
			case f == timeoutAfter:
				want = 1000
			case hold:
				w.lift()
				want = 1000
			}
			for range 20 {
				w.pass(time.Minute)
				w.step()
			}
			w.wantCaptured(p.ID, want)
			w.wantBooks(p.ID)
		}
	}
}

// Guards what an app hears over a restored backup of a capture that was done since: a block that was set before does not
// end it as declined, unlooked.
func TestBlockDoesNotEndWhatWasDone(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	p := w.mustCreate("k", of("eve", "paypal"))
	w.paypal.pay(p.ID, 1)
	var saved store.Engine
	w.hook = func(point store.WritePoint, when faults.When) error {
		if saved == nil && point == store.PointPaymentReplace && when == faults.After {
			saved = w.backup() // the capture is written down, and not sent
		}
		return nil
	}
	w.comeBack(p.ID, 1)
	w.hook = nil
	w.wantStatus(p.ID, payment.StatusSucceeded)
	w.pass(time.Hour)
	w.restore(saved)
	if op := w.get(p.ID).Unfinished(0, payment.OpCapture); op == nil || op.State != payment.OpPending {
		t.Fatalf("no capture waits in the backup: %+v", w.get(p.ID).Operations)
	}
	w.block()
	w.quiet(p.ID)
	ops := w.get(p.ID).Operations
	if op := ops[len(ops)-1]; op.Kind != payment.OpCapture || op.State != payment.OpDone || w.paypal.counted("capture") != 1 {
		t.Errorf("%+v, %d calls", op, w.paypal.counted("capture"))
	}
	w.wantStatus(p.ID, payment.StatusSucceeded)
	w.wantBooks(p.ID)
}

// Guards the replay of a cancel over a program of before: it drops the fingerprint that it does not know from what it
// writes, and the same request is no other one for that.
func TestCancelIsKnownWithoutItsFingerprint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("none", input(""))
	if _, err := w.cancel(p.ID, "x"); err != nil {
		t.Fatal(err)
	}
	old := w.get(p.ID)
	for i := range old.Facts.Decisions {
		old.Facts.Decisions[i].Fingerprint = ""
	}
	old.Version++
	if err := store.NewPayments(w.inner).Replace(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if a, err := w.cancel(p.ID, "x"); err != nil || !a.Replayed {
		t.Errorf("%+v, %v", a, err)
	}
}

// Guards I1 where nothing could be looked at for a while: a late capture that was never sent counts as never sent, and
// is not sent any more once the payment's money was taken in another attempt.
func TestFailedLookIsNoTry(t *testing.T) {
	t.Parallel()
	w, p := paidThirdTime(t)
	w.crashAt(store.PointPaymentReplace, faults.After, 1) // the capture is written down
	if !w.crashed(func() { w.observe(p.ID, 3) }) {
		t.Fatal("nothing was written")
	}
	w.pass(10 * time.Minute)
	w.paypal.fail("fetch", tooMany)
	w.paypal.fail("capture", tooMany)
	w.step()
	if op := w.get(p.ID).Unfinished(0, payment.OpCapture); op == nil || op.State != payment.OpPending || w.paypal.counted("capture") != 0 {
		t.Fatalf("%+v, %d calls", op, w.paypal.counted("capture"))
	}
	w.paypal.takeOutside(p.ID, 1, 1000)
	w.observe(p.ID, 1)
	w.quiet(p.ID)
	w.wantStatus(p.ID, payment.StatusSucceeded)
	w.wantCaptured(p.ID, 1000)
}

// Guards I1 over a restored backup and a configuration that lacks the account for a while: what the provider could not be
// asked about is not told as "not done", after which a repetition would do it under a new key.
func TestLateOrderWithoutItsAccount(t *testing.T) {
	t.Parallel()
	w, id := madeSince(t, "stripe", 1)
	w.noStripe = true
	w.restart()
	if a, err := w.refund(id, "r", 400); err != nil || !a.Unknown {
		t.Errorf("without the account: %+v, %v", a, err)
	}
	w.noStripe = false
	w.restart()
	if _, err := w.refund(id, "r", 400); err != nil {
		t.Errorf("again: %v", err)
	}
	w.pass(time.Minute)
	w.quiet(id)
	if got := w.refundedSum(id); got != 400 {
		t.Errorf("gave back %d, want 400", got)
	}
	w.wantBooks(id)
}

// Guards captures of one hold against each other: what somebody else took of it is not taken for ours, for which a key
// that is alive is sent once more.
func TestStrangersCaptureIsNotOurs(t *testing.T) {
	t.Parallel()
	for _, amount := range []int64{300, 500} {
		w := newWorld(t, nil)
		p := w.authorized("paypal")
		w.paypal.takeOutside(p.ID, 1, 300)
		w.observe(p.ID, 1)
		w.paypal.fail("capture", timeoutBefore)
		if a, err := w.capture(p.ID, "c", amount, false); err != nil || !a.Unknown {
			t.Fatalf("%+v, %v", a, err)
		}
		w.quiet(p.ID)
		w.wantCaptured(p.ID, 300+amount)
	}
}

// Guards the merchant against a hold that was lifted: a capture without an outcome goes on under its key, though nothing
// could be looked at while the hold stood, or can be at all.
func TestLiftedHoldLetsACaptureGoOn(t *testing.T) {
	t.Parallel()
	w := withRules(t, banning(risk.ActHold))
	p, open := w.unanswered(true), w.mustCreate("open", of("eve", "stripe"))
	w.declines(open.ID, 5)
	w.mustWork(3)
	w.paypal.fail("fetch", tooMany, tooMany)
	for range 3 {
		w.pass(2 * time.Minute)
		w.step()
	}
	if w.paypal.counted("capture") != 1 {
		t.Errorf("captured in %d calls under the hold", w.paypal.counted("capture"))
	}
	w.lift()
	w.pass(10 * time.Minute)
	w.step()
	w.wantCaptured(p.ID, 400)
	if n := len(w.paypal.keysOf("capture")); n != 1 {
		t.Errorf("%d keys", n)
	}
}

// Guards I1 after a hold: a capture that was not found twice, and shows in our record before the hold is lifted, is not
// made once more.
func TestCaptureShownUnderAHold(t *testing.T) {
	t.Parallel()
	w, p := lookedForTwice(t)
	w.paypal.takeOutside(p.ID, 1, 400) // it landed late
	w.observe(p.ID, 1)
	w.lift()
	w.quiet(p.ID)
	w.wantCaptured(p.ID, 400)
	if n := w.paypal.counted("capture"); n != 1 {
		t.Errorf("captured in %d calls", n)
	}
}

// Guards what an app hears of a capture that shows in our record after a look found nothing: a block does not tell it
// as declined.
func TestCaptureShownUnderABlock(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	p := w.unanswered(true)
	w.block()
	w.looks(p.ID, 1)
	w.paypal.takeOutside(p.ID, 1, 400) // it landed late
	w.observe(p.ID, 1)
	w.quiet(p.ID)
	if got := w.lastOp(p.ID); got.State != payment.OpDone || w.paypal.counted("capture") != 1 {
		t.Errorf("%+v, %d calls", got, w.paypal.counted("capture"))
	}
	w.wantCaptured(p.ID, 400)
}
