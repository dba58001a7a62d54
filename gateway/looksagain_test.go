package gateway_test

import (
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// lift ends the hold of eve.
func (w *world) lift() {
	w.t.Helper()
	if _, err := w.svc.LiftBlock(w.t.Context(), shop, risk.BlockID("shop", payment.ModeTest, risk.Ref{Kind: risk.KindCustomer, Value: "eve"}), "fine"); err != nil {
		w.t.Fatal(err)
	}
}

// lastOp is the newest operation.
func (w *world) lastOp(id string) payment.Operation {
	ops := w.get(id).Operations
	return ops[len(ops)-1]
}

// looks lets workers work until the newest operation was looked for so often in vain.
func (w *world) looks(id string, n int) {
	w.t.Helper()
	w.until(id, func(op payment.Operation) bool { return op.LookUps == n })
}

// until lets workers work until the newest operation is as it should be.
func (w *world) until(id string, is func(payment.Operation) bool) {
	w.t.Helper()
	for range 90 {
		if is(w.lastOp(id)) {
			return
		}
		w.pass(time.Minute)
		w.step()
	}
	w.t.Fatalf("%+v", w.lastOp(id))
}

// tries lets a worker try the newest operation so often, as soon as it may.
func (w *world) tries(id string, n int) {
	w.t.Helper()
	for range n {
		op := w.lastOp(id)
		for _, at := range []time.Time{op.NextAt, op.LeaseUntil} {
			if d := at.Sub(w.now()); d > 0 {
				w.pass(d)
			}
		}
		w.step()
	}
}

// block sets a block of the app's on eve.
func (w *world) block() {
	w.t.Helper()
	_, err := w.svc.SetBlock(w.t.Context(), request("/v1/blocks", "ban", "eve"), gateway.BlockInput{Customer: "eve", Reason: "stolen"})
	if err != nil {
		w.t.Fatal(err)
	}
}

// unanswered is a payment that eve authorized, and of which a capture of 400 had no answer and did nothing.
func (w *world) unanswered(final bool) *payment.Payment {
	w.t.Helper()
	id := w.holding("eve")
	w.paypal.fail("capture", timeoutBefore)
	if a, err := w.capture(id, "c", 400, final); err != nil || !a.Unknown {
		w.t.Fatalf("%+v, %v", a, err)
	}
	return w.get(id)
}

// holding is a payment that a customer authorized at PayPal, and of which nothing is captured.
func (w *world) holding(customer string) string {
	w.t.Helper()
	in := of(customer, "paypal")
	in.Capture = "manual"
	p := w.mustCreate("k", in)
	w.paypal.pay(p.ID, 1)
	w.comeBack(p.ID, 1)
	w.wantStatus(p.ID, payment.StatusAuthorized)
	return p.ID
}

// paidThirdTime is a payment of three attempts, at PayPal, Stripe and PayPal, whose customer paid the last, unseen yet.
func paidThirdTime(t *testing.T) (*world, *payment.Payment) {
	t.Helper()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input(""))
	for _, provider := range []string{"paypal", "stripe", "paypal"} {
		if _, err := w.choose(p.ID, provider); err != nil {
			t.Fatal(err)
		}
	}
	w.paypal.pay(p.ID, 3)
	return w, p
}

// lookedForTwice is a world in which eve's capture of 400 had no answer and did nothing, then was held and not found by
// two looks.
func lookedForTwice(t *testing.T) (*world, *payment.Payment) {
	t.Helper()
	w := withRules(t, banning(risk.ActHold))
	p, open := w.unanswered(false), w.mustCreate("open", of("eve", "stripe"))
	w.declines(open.ID, 5)
	w.mustWork(3)
	w.looks(p.ID, 2)
	for range 20 {
		w.pass(time.Minute)
		w.step()
	}
	return w, p
}

// Guards I1 after a hold: what two looks did not find counts for nothing once it was sent again. An answer that the
// provider stored is looked for anew, and a later block does not tell it as declined, unlooked.
func TestLooksBeforeASendProveNothingAfterIt(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{stored500Done, timeoutAfter} {
		for _, block := range []bool{false, true} {
			w, p := lookedForTwice(t)
			w.lift()
			w.paypal.fail("capture", f)
			w.pass(2 * time.Minute)
			w.step()
			if block {
				w.block()
			}
			for range 20 {
				w.pass(time.Minute)
				w.step()
			}
			if op := w.lastOp(p.ID); op.State != payment.OpDone {
				t.Errorf("fault %d, blocked %v: told %s %s though captured", f, block, op.State, op.Code)
			}
			w.wantCaptured(p.ID, 400)
		}
	}
}

// Guards I1 over a restored backup whose order PayPal has forgotten: a look that could not see refunds is no look.
func TestLookWithoutTheRootIsNoLook(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2} {
		w, id := madeSince(t, "paypal", n)
		w.paypal.rootless = true
		w.step()
		if a, err := w.refund(id, "r", 400); err != nil || !a.Unknown {
			t.Errorf("%+v, %v", a, err)
		}
		if got := w.refundedSum(id); got != 400 {
			t.Errorf("backup before write %d: gave back %d, want 400", n, got)
		}
		w.paypal.rootless = false
		w.quiet(id)
		if got := w.refundedSum(id); got != 400 {
			t.Errorf("backup before write %d: gave back %d in the end, want 400", n, got)
		}
		w.wantBooks(id)
	}
}

// Guards a block against a lost answer of the store: the try that was written down, and read back after somebody else had
// written, is our own, and is still only looked for.
func TestBlockHoldsOverOurOwnLease(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	p := w.unanswered(true)
	w.block()
	w.pass(time.Minute)
	armed := true
	w.hook = func(point store.WritePoint, when faults.When) error {
		if !armed || point != store.PointPaymentReplace || when != faults.After || w.lastOp(p.ID).LeaseOwner == "" {
			return nil
		}
		armed = false
		key := payment.ObjectKey{Provider: "paypal", Account: "paypal-eu", ID: "x"}
		news := payment.Facts{Declines: []payment.Decline{{Key: key, N: 1, Code: "c", Stamp: payment.Stamp{Created: w.at, AsOf: w.at}}}}
		if _, err := w.svc.Apply(t.Context(), p.ID, payment.Observation{Provider: "paypal", Account: "paypal-eu", Facts: news}, payment.Source{}); err != nil {
			t.Error(err)
		}
		return store.ErrUnavailable
	}
	_, _, _ = w.ops.Step(t.Context())
	if w.hook = nil; armed {
		t.Fatal("no start was written")
	}
	if n := w.paypal.counted("capture"); n != 1 {
		t.Errorf("sent %d times although blocked", n)
	}
	w.wantCaptured(p.ID, 0)
}

// Guards I3 after a death: a try that died may have been sent, also where the look in its place fails; it is not given up
// as overtaken, unlooked.
func TestTryThatDiedMayHaveBeenSent(t *testing.T) {
	t.Parallel()
	w, p := paidThirdTime(t)
	w.paypal.fail("capture", timeoutAfter)
	w.hook = func(point store.WritePoint, when faults.When) error {
		if point == store.PointPaymentReplace && when == faults.Before && w.paypal.counted("capture") == 1 {
			panic(crash{})
		}
		return nil
	}
	if !w.crashed(func() { w.observe(p.ID, 3) }) {
		t.Fatal("no crash")
	}
	w.pass(7 * time.Hour)
	w.paypal.fail("fetch", tooMany)
	w.step()
	if op := w.lastOp(p.ID); op.State != payment.OpUnknown {
		t.Errorf("%s though sent, and done", op.State)
	}
	w.paypal.takeOutside(p.ID, 1, 1000)
	w.observe(p.ID, 1)
	w.quiet(p.ID)
	w.wantBooks(p.ID)
}

// Guards I1 over a backup of a refund that was turned away often and waits for its next try: its request does it under
// another key meanwhile, so that the try is not sent before a look, though it is not late.
func TestRestoredBackupOfALongWait(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "paypal"} {
		w := newWorld(t, nil)
		id := w.paid(provider).ID
		w.crashAt(store.PointPaymentReplace, faults.After, 1)
		if !w.crashed(func() { _, _ = w.refund(id, "r", 400) }) {
			t.Fatal("no crash")
		}
		for range 9 {
			w.fake(provider).fail("refund", tooMany)
		}
		w.tries(id, 9)
		saved := w.backup()
		w.pass(time.Minute)
		w.fake(provider).fail("refund", tooMany)
		_, err := w.refund(id, "r", 400)
		wantCode(t, err, payment.CodeProviderUnavailable)
		if _, err := w.refund(id, "r", 400); err != nil {
			t.Fatal(err)
		}
		w.pass(5 * time.Minute)
		w.restore(saved)
		w.quiet(id)
		if got := w.refundedSum(id); got != 400 {
			t.Errorf("%s: gave back %d, want 400", provider, got)
		}
		w.wantBooks(id)
	}
}

// Guards I1 over a backup from under a hold: the two looks in it are of before, and what was done since, once the hold was
// lifted, is looked for. Neither does the hold keep it from being late, nor does a block tell it as declined.
func TestRestoredBackupFromUnderAHold(t *testing.T) {
	t.Parallel()
	for _, block := range []bool{false, true} {
		w, p := lookedForTwice(t)
		saved := w.backup()
		w.lift()
		w.pass(2 * time.Minute)
		w.step()
		if op := w.lastOp(p.ID); op.State != payment.OpDone {
			t.Fatalf("%+v", op)
		}
		w.pass(time.Hour)
		w.restore(saved)
		if block {
			w.block()
			w.step()
		} else {
			for range 7 * 60 { // PayPal has forgotten the key of the order
				w.pass(time.Minute)
				w.step()
			}
			w.lift()
		}
		w.quiet(p.ID)
		if op := w.lastOp(p.ID); op.State != payment.OpDone || w.paypal.counted("capture") != 2 {
			t.Errorf("blocked %v: %s %s after %d calls", block, op.State, op.Code, w.paypal.counted("capture"))
		}
		w.wantCaptured(p.ID, 400)
	}
}

// Guards I1 over a backup of an order that two looks did not find, and that waits for its new key: it was done since under
// a newer one, so that a new key is not sent before a look either.
func TestRestoredBackupOfARenewal(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"refund", "capture"} {
		w := newWorld(t, nil)
		f, p := w.stripe, (*payment.Payment)(nil)
		if kind == "capture" {
			f, p = w.paypal, w.authorized("paypal")
		} else {
			p = w.paid("stripe")
		}
		do := func() error {
			if kind == "refund" {
				_, err := w.refund(p.ID, "r", 400)
				return err
			}
			_, err := w.capture(p.ID, "c", 400, false)
			return err
		}
		w.crashAt(store.PointPaymentReplace, faults.After, 1)
		if !w.crashed(func() { _ = do() }) {
			t.Fatal("no crash")
		}
		f.fail(kind, stored500)
		w.looks(p.ID, 2)
		saved := w.backup()
		w.pass(time.Minute)
		f.fail(kind, tooMany)
		wantCode(t, do(), payment.CodeProviderUnavailable)
		if err := do(); err != nil {
			t.Fatal(err)
		}
		w.pass(7 * time.Minute)
		w.restore(saved)
		w.quiet(p.ID)
		captures, refunds := f.books(p.ID)
		moved := captures
		if kind == "refund" {
			moved = refunds
		}
		if len(moved) != 1 {
			t.Errorf("%s: done %d times: %v", kind, len(moved), moved)
		}
		w.wantBooks(p.ID)
	}
}
