package gateway_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// heldAndDead is a world in which eve's capture of 400 was written down as begun when its process died, before it was
// sent; nobody was answered. Then she was held.
func heldAndDead(t *testing.T) (*world, string) {
	t.Helper()
	w := withRules(t, banning(risk.ActHold))
	id, open := w.holding("eve"), w.mustCreate("open", of("eve", "stripe"))
	w.crashAt(store.PointPaymentReplace, faults.After, 2) // ordered and begun
	if !w.crashed(func() { _, _ = w.capture(id, "c", 400, false) }) {
		t.Fatal("no crash")
	}
	w.declines(open.ID, 5)
	w.mustWork(3)
	return w, id
}

// ends lets workers work until the newest operation has failed.
func (w *world) ends(id string) {
	w.t.Helper()
	w.until(id, func(op payment.Operation) bool { return op.State == payment.OpFailed })
}

// landedLate is such a world in which two looks did not find the capture, so that it ended; then it landed, and may be
// shown in our record.
func landedLate(t *testing.T, shown bool) (*world, string) {
	t.Helper()
	w, id := heldAndDead(t)
	w.ends(id)
	w.paypal.takeOutside(id, 1, 400)
	if shown {
		w.observe(id, 1)
	}
	return w, id
}

// afterTwoLooks is a backup from right after the second look that found nothing of the newest operation; the process died
// then.
func (w *world) afterTwoLooks(id string) store.Engine {
	w.t.Helper()
	w.looks(id, 1)
	w.hook = func(point store.WritePoint, when faults.When) error {
		if op := w.lastOp(id); when == faults.After && point == store.PointPaymentReplace && op.LookUps == 2 {
			panic(crash{})
		}
		return nil
	}
	for range 30 {
		w.pass(time.Minute)
		if w.survive(func() { _, _, _ = w.ops.Step(w.t.Context()) }) {
			break
		}
	}
	w.hook = nil
	if op := w.lastOp(id); op.LookUps != 2 || op.State.Settled() {
		w.t.Fatalf("%+v", op)
	}
	return w.backup()
}

// Guards I1 against a process that was stopped between writing a try down and sending it: once another process was free
// to end the order, and told so, the first sends nothing.
func TestStoppedProcessSendsNothingLater(t *testing.T) {
	t.Parallel()
	for _, block := range []bool{false, true} {
		w := withRules(t, banning(risk.ActHold))
		id, open := w.holding("eve"), w.mustCreate("open", of("eve", "stripe"))
		writes := 0
		w.hook = func(point store.WritePoint, when faults.When) error {
			if point != store.PointPaymentReplace || when != faults.After {
				return nil
			}
			if writes++; writes != 2 { // the second writes the try down: this process is stopped now
				return nil
			}
			w.mu.Lock()
			w.hook = nil
			w.mu.Unlock()
			if block {
				w.block()
			} else {
				w.declines(open.ID, 5)
				w.mustWork(3)
			}
			w.ends(id)
			return nil
		}
		if _, err := w.capture(id, "c", 400, false); err == nil {
			t.Errorf("block %v: the one that was stopped was told that it captured", block)
		}
		w.wantCaptured(id, 0)
		if block {
			continue
		}
		w.lift()
		if _, err := w.capture(id, "c", 400, false); err != nil {
			t.Fatal(err)
		}
		w.quiet(id)
		w.wantCaptured(id, 400)
	}
}

// Guards I1 where an order ended that two looks had not found, and landed late all the same: its repetition is not sent
// under a new key before a look, and our own record counts as one.
func TestRepetitionAfterLooksLooksAgain(t *testing.T) {
	t.Parallel()
	for _, shown := range []bool{false, true} {
		w, id := landedLate(t, shown)
		w.lift()
		if _, err := w.capture(id, "c", 400, false); err != nil {
			t.Errorf("shown %v: %v", shown, err)
		}
		w.quiet(id)
		w.wantCaptured(id, 400)
		if n := w.paypal.counted("capture"); n != 0 {
			t.Errorf("shown %v: sent %d times", shown, n)
		}
	}
}

// Guards I1 over a backup from right after the second look under a hold: the hold was lifted since, and the order done.
// The looks in the backup don't end it, so that it is not done under another key once the hold is lifted again.
func TestRestoredBackupFromRightAfterALook(t *testing.T) {
	t.Parallel()
	w, id := heldAndDead(t)
	saved := w.afterTwoLooks(id)
	w.pass(time.Minute)
	w.lift()
	if _, err := w.capture(id, "c", 400, false); err != nil {
		t.Fatal(err)
	}
	w.wantCaptured(id, 400)
	w.pass(8 * time.Minute)
	w.restore(saved)
	_, _ = w.capture(id, "c", 400, false) // under the hold: whatever it is told
	w.lift()
	if _, err := w.capture(id, "c", 400, false); err != nil {
		t.Error(err)
	}
	w.quiet(id)
	w.wantCaptured(id, 400)
}

// Guards what an app is told over such a backup under a block: what was captured since is not told as declined.
func TestLooksOfABackupDeclineNothing(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	p := w.unanswered(false)
	w.block()
	saved := w.afterTwoLooks(p.ID)
	w.pass(time.Minute)
	w.lift()
	if _, err := w.capture(p.ID, "c", 400, false); err != nil {
		t.Fatal(err)
	}
	w.wantCaptured(p.ID, 400)
	w.pass(9 * time.Minute)
	w.restore(saved)
	if a, err := w.capture(p.ID, "c", 400, false); err != nil {
		t.Errorf("%+v, %v", a, err)
	}
	w.quiet(p.ID)
	if op := w.lastOp(p.ID); op.State != payment.OpDone {
		t.Errorf("told as %s %s", op.State, op.Code)
	}
	w.wantCaptured(p.ID, 400)
}

// Guards what operators are told of a reversal: what our record shows as given back is told as done, though two looks had
// not found it.
func TestReversalOfWhatIsShown(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	p := w.mustCreate("a", of("eve", "stripe"))
	w.stripe.pay(p.ID, 1)
	w.comeBack(p.ID, 1)
	w.stripe.fail("refund", stored500)
	set := w.ban(shop, "ban", gateway.BlockInput{Customer: "eve", Reason: "stolen", Refund: true})
	w.looks(p.ID, 2)
	w.stripe.refundLate(w.lastOp(p.ID).ID, 1000)
	src := payment.Source{Layer: payment.LayerWebhook, Actor: payment.Actor{Type: "webhook", ID: "evt_1"}}
	if _, err := w.svc.Refresh(t.Context(), p.ID, 1, src); err != nil { // nothing that is due has run yet
		t.Fatal(err)
	}
	d := w.reverse(set.Decision.ID)
	if step, op := d.Steps[0], w.lastOp(p.ID); step.State != risk.StepDone || step.Amount.Minor != 1000 || op.State != payment.OpDone {
		t.Errorf("step %+v, operation %s", step, op.State)
	}
	w.quiet(p.ID)
	w.wantBooks(p.ID)
}

// Guards people against a silence: an order whose worker dies each time is told as stuck, though it is only looked for,
// so that no try is ever counted.
func TestOrderThatKillsItsWorkersIsTold(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{timeoutBefore, stored500} {
		w := newWorld(t, nil)
		id := w.paid("stripe").ID
		w.stripe.fail("refund", f)
		if a, err := w.refund(id, "r", 400); err != nil || !a.Unknown {
			t.Fatalf("%+v, %v", a, err)
		}
		w.stripe.during = func(op string) {
			if op == "fetch" || op == "refund" {
				panic(crash{})
			}
		}
		for range 4 * 60 {
			w.pass(time.Minute)
			w.crashed(func() { _, _, _ = w.ops.Step(t.Context()) })
		}
		list, _, err := w.alerts.List(t.Context(), store.AlertFilter{Payment: id, Limit: 10})
		if err != nil || len(list) != 1 || list[0].Kind != "operation_stuck" {
			t.Errorf("%v, %v", list, err)
		}
	}
}

// Guards I1 under a new key: what was given up under the old one and lands after all is seen in our own record, though the
// new one is not late and was not looked for since.
func TestLandedUnderTheKeyBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.authorized("paypal").ID
	w.paypal.fail("capture", stored500)
	if a, err := w.capture(id, "c", 400, false); err != nil || !a.Unknown {
		t.Fatalf("%+v, %v", a, err)
	}
	w.looks(id, 2)
	w.paypal.during = func(op string) {
		if op == "capture" {
			panic(crash{}) // with the second key, before it has any effect
		}
	}
	for range 30 {
		w.pass(time.Minute)
		if w.survive(func() { _, _, _ = w.ops.Step(t.Context()) }) {
			break
		}
	}
	w.paypal.during = nil
	if op := w.lastOp(id); op.Generation != 1 || op.State != payment.OpUnknown {
		t.Fatalf("%+v", op)
	}
	w.paypal.takeOutside(id, 1, 400) // the first key's
	w.observe(id, 1)
	w.quiet(id)
	w.wantCaptured(id, 400)
	if n := w.paypal.counted("capture"); n != 1 {
		t.Errorf("%d calls went through", n)
	}
}

// Guards what an app is told of a late order that was done before a backup was put back, where the look before it lagged:
// that it is captured already is no refusal.
func TestLookThatLaggedIsNoRefusal(t *testing.T) {
	t.Parallel()
	for _, unread := range []bool{false, true} {
		lookThatLagged(t, unread)
	}
}

func lookThatLagged(t *testing.T, unread bool) {
	t.Helper()
	w := newWorld(t, nil)
	id := w.authorized("paypal").ID
	w.crashAt(store.PointPaymentReplace, faults.After, 1) // ordered, not begun
	if !w.crashed(func() { _, _ = w.capture(id, "c", 1000, true) }) {
		t.Fatal("no crash")
	}
	w.pass(10 * time.Minute)
	w.paypal.during = func(op string) {
		if op == "capture" {
			w.paypal.during = nil
			w.paypal.takeOutside(id, 1, 1000)
			if unread {
				w.paypal.fail("fetch", timeoutBefore)
			}
		}
	}
	w.step()
	w.quiet(id)
	if op := w.lastOp(id); op.State != payment.OpDone {
		t.Errorf("unread %v: %s %s", unread, op.State, op.Failure.Code)
	}
	w.wantCaptured(id, 1000)
}

// Guards I1 over a backup from the wait after a look under a hold: the hold was lifted since, and the order done under
// another key. Once it is lifted again, the old key is not sent before a look, though it is not late.
func TestRestoredBackupOfTheWaitAfterALook(t *testing.T) {
	t.Parallel()
	for looks := 1; looks <= 2; looks++ {
		for _, repeated := range []bool{false, true} {
			w, id := heldAndDead(t)
			var saved store.Engine
			if looks == 1 {
				w.looks(id, 1)
				saved = w.backup()
			} else {
				saved = w.afterTwoLooks(id)
			}
			w.pass(time.Minute)
			w.lift()
			w.paypal.fail("capture", refused)
			_, err := w.capture(id, "c", 400, false)
			wantCode(t, err, payment.CodeConflict)
			if _, err := w.capture(id, "c", 400, false); err != nil {
				t.Fatal(err)
			}
			w.pass(7 * time.Minute)
			w.restore(saved)
			w.lift()
			if repeated {
				_, _ = w.capture(id, "c", 400, false) // whatever it is told
			}
			w.quiet(id)
			w.wantCaptured(id, 400)
		}
	}
}

// Guards I1 against a correction: a capture that two looks did not find may land yet, so that its key captures no other
// amount beside it.
func TestCorrectionOfWhatMayLand(t *testing.T) {
	t.Parallel()
	for _, shown := range []bool{false, true} {
		w, id := landedLate(t, shown)
		w.pass(11 * time.Minute)
		w.lift()
		_, err := w.capture(id, "c", 300, false)
		wantCode(t, err, payment.CodeIdempotencyReused)
		w.quiet(id)
		if n := w.paypal.counted("capture"); n != 0 {
			t.Errorf("shown %v: sent %d times", shown, n)
		}
	}
}

// Guards people and rate budgets: a hold over a capture under its second key puts it off without looking for it again and
// again, and is no operation that is stuck.
func TestHoldOverASecondKeyIsQuiet(t *testing.T) {
	t.Parallel()
	w := withRules(t, banning(risk.ActHold))
	id, open := w.holding("eve"), w.mustCreate("open", of("eve", "stripe"))
	w.paypal.fail("capture", stored500, timeoutBefore)
	if a, err := w.capture(id, "c", 400, false); err != nil || !a.Unknown {
		t.Fatalf("%+v, %v", a, err)
	}
	w.until(id, func(op payment.Operation) bool { return op.Generation == 1 })
	w.declines(open.ID, 5)
	w.mustWork(3)
	w.looks(id, 2)
	looks := w.paypal.counted("fetch")
	for range 6 * 60 {
		w.pass(time.Minute)
		w.step()
	}
	if n := w.paypal.counted("fetch") - looks; n > 1 {
		t.Errorf("looked for %d times", n)
	}
	if list, _, err := w.alerts.List(t.Context(), store.AlertFilter{Payment: id, Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	w.lift()
	for range 3 {
		w.pass(time.Minute)
		w.step()
	}
	w.wantCaptured(id, 400)
}

// Guards what is due against the guards above: an order without an outcome, of half a minute's outage, goes on under its
// key, though nothing can be looked at, or the provider has forgotten the order that it hangs below.
func TestOrderGoesOnUnlooked(t *testing.T) {
	t.Parallel()
	for _, blind := range []bool{false, true} {
		for _, kind := range []string{"refund", "capture"} {
			w := newWorld(t, nil)
			var id string
			if kind == "refund" {
				id = w.paid("paypal").ID
			} else {
				id = w.authorized("paypal").ID
			}
			w.paypal.rootless = !blind
			w.paypal.fail(kind, timeoutBefore, timeoutBefore, timeoutBefore, timeoutBefore)
			if kind == "refund" {
				_, _ = w.refund(id, "r", 1000)
			} else {
				_, _ = w.capture(id, "c", 1000, true)
			}
			for range 20 {
				if blind {
					w.paypal.fail("fetch", timeoutBefore)
				}
				w.pass(time.Minute)
				w.step()
			}
			if op := w.lastOp(id); op.State != payment.OpDone {
				t.Errorf("blind %v: %s %s after %d tries", blind, kind, op.State, op.Tries)
			}
		}
	}
}

// Guards the merchant's captures against each other: one that was made in the dashboard, before or meanwhile, is not taken
// for ours, which goes on under its key.
func TestCaptureGoesOnBesideAStrangers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outside int64
		age     time.Duration // 0: made while ours waits
	}{{400, 24 * time.Hour}, {300, 9 * time.Minute}, {300, 0}} {
		w := newWorld(t, nil)
		id := w.authorized("paypal").ID
		if c.age > 0 {
			w.paypal.takeOutside(id, 1, c.outside)
			w.observe(id, 1)
			w.pass(c.age)
		}
		w.paypal.fail("capture", timeoutBefore, timeoutBefore, timeoutBefore, timeoutBefore)
		if a, err := w.capture(id, "c", 400, false); err != nil || !a.Unknown {
			t.Fatalf("%+v, %v", a, err)
		}
		if c.age == 0 {
			w.paypal.takeOutside(id, 1, c.outside)
		}
		w.quiet(id)
		w.observe(id, 1)
		w.wantCaptured(id, 400+c.outside)
	}
}

// Guards people against a capture that nobody made: where one from the dashboard, as large and older than the order, counts
// as what was ordered, as after a backup that was put back, they are told.
func TestOlderCaptureTakenForOursIsTold(t *testing.T) {
	t.Parallel()
	for _, older := range []bool{true, false} {
		w := newWorld(t, nil)
		id := w.authorized("paypal").ID
		w.pass(time.Hour)
		if older {
			w.paypal.takeOutside(id, 1, 400)
			w.observe(id, 1)
			w.pass(24 * time.Hour)
		}
		w.quiet(id)
		w.paypal.fail("capture", tooMany)
		if _, err := w.capture(id, "c", 400, false); payment.CodeOf(err) != payment.CodeProviderUnavailable {
			t.Fatal(err)
		}
		w.pass(payment.LateAfter + time.Minute)
		if a, err := w.capture(id, "c", 400, false); err != nil || a.Unknown {
			t.Fatalf("%+v, %v", a, err)
		}
		w.quiet(id)
		w.wantCaptured(id, 400)
		list, _, err := w.alerts.List(t.Context(), store.AlertFilter{Payment: id, Limit: 10})
		told := slices.ContainsFunc(list, func(a gateway.AlertRecord) bool { return strings.Contains(a.Message, "made before it was ordered") })
		if err != nil || told != older {
			t.Errorf("older %t: %v, %v", older, list, err)
		}
	}
}

// Guards people's trust in alerts: an ordinary capture, days after its hold, raises none at either provider, though Stripe
// dates it by the hold.
func TestOrdinaryCaptureIsNoAlert(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "paypal"} {
		w := newWorld(t, nil)
		id := w.authorized(provider).ID
		w.pass(48 * time.Hour)
		if _, err := w.capture(id, "c", 400, true); err != nil {
			t.Fatal(err)
		}
		w.quiet(id)
		w.wantCaptured(id, 400)
		if list, _, err := w.alerts.List(t.Context(), store.AlertFilter{Payment: id, Limit: 10}); err != nil || len(list) != 0 {
			t.Errorf("%s: %v, %v", provider, list, err)
		}
	}
}

// Guards captures after a hold, and people's sleep: what fails once the hold is over is tried again within seconds, however
// long it was held, and is not stuck.
func TestFailureRightAfterAHold(t *testing.T) {
	t.Parallel()
	w := withRules(t, banning(risk.ActHold))
	id, open := w.holding("eve"), w.mustCreate("open", of("eve", "stripe"))
	w.paypal.fail("capture", timeoutBefore)
	if a, err := w.capture(id, "c", 400, false); err != nil || !a.Unknown {
		t.Fatalf("%+v, %v", a, err)
	}
	w.declines(open.ID, 5)
	w.mustWork(3)
	for range 8 * 60 {
		w.pass(time.Minute)
		w.step()
	}
	w.lift()
	w.paypal.fail("capture", timeoutBefore)
	for range 5 {
		w.pass(time.Minute)
		w.step()
	}
	w.wantCaptured(id, 400)
	if list, _, err := w.alerts.List(t.Context(), store.AlertFilter{Payment: id, Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}
