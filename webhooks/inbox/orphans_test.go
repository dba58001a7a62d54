package inbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// Guards A15 and I2: an unknown object is looked for again for 15 minutes, told of
// then and not before, once; it is an orphan, and no payment was touched.
func TestUnknownObjectBecomesOrphan(t *testing.T) {
	t.Parallel()
	for _, claimed := range []bool{false, true} {
		t.Run(fmt.Sprint("claimed ", claimed), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			victim := r.create("a")
			h := hook{Key: "e1", Type: "capture.completed", Kind: "capture", Object: "cap_foreign"}
			kind := "foreign_money"
			if claimed {
				h.Payment, kind = victim.ID, "orphan_money"
			}
			before := r.payment(victim.ID)
			id := r.stored(h)
			start := r.clock.now()
			for r.clock.now().Sub(start) < 15*time.Minute {
				r.step()
				rec := r.wantState(id, inbox.Pending, inbox.ReasonUnknown)
				if len(r.alertsOf(kind)) > 0 {
					t.Fatalf("told after %s", r.clock.now().Sub(start))
				}
				r.clock.advance(rec.DueAt.Sub(r.clock.now()))
			}
			if over := r.clock.now().Sub(start); over != 15*time.Minute {
				t.Errorf("looked for it over %s, want 15m", over)
			}
			r.step()
			rec := r.wantState(id, inbox.Parked, inbox.ReasonUnknown)
			if !rec.DueAt.IsZero() {
				t.Error("still due")
			}
			orphans, _, err := store.NewOrphans(r.engine).List(t.Context(), account, 10, "")
			if err != nil || len(orphans) != 1 || orphans[0].Object != "cap_foreign" || orphans[0].Claimed != h.Payment {
				t.Errorf("orphans %+v, %v", orphans, err)
			}
			if alerts := r.alertsOf(kind); len(alerts) != 1 || alerts[0].Count != 1 {
				t.Errorf("alerts %+v, want one", alerts)
			}
			if after := r.payment(victim.ID); len(after.Facts.Captures) != 0 || after.Status() != before.Status() || len(after.History) != len(before.History) {
				t.Error("somebody else's object changed a payment")
			}
			// A second event about it is the same incident.
			h.Key = "e2"
			r.stored(h)
			r.step()
			r.clock.advance(15 * time.Minute)
			r.step()
			if alerts := r.alertsOf(kind); len(alerts) != 1 || alerts[0].Count != 2 {
				t.Errorf("alerts %+v, want one counted twice", alerts)
			}
		})
	}
}

// Guards against crying wolf: an object that appears in its payment meanwhile is
// no orphan.
func TestLateObjectIsNoOrphan(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	id := r.stored(hook{Key: "e1", Type: "refund.created", Kind: "refund", Object: "re_1", Refs: []string{"ch_" + rootOf(p.ID), rootOf(p.ID)}})
	r.step() // the read does not show it yet
	r.wantState(id, inbox.Pending, inbox.ReasonUnknown)
	r.fake.set(func() { r.fake.roots[rootOf(p.ID)].refunds["re_1"] = 500 })
	r.clock.advance(2 * time.Second)
	r.step()
	r.wantState(id, inbox.Done, "")
	if got := r.payment(p.ID).Amounts().Refunded; got != 500 {
		t.Errorf("refunded %d", got)
	}
	if len(r.alertsOf("foreign_money"))+len(r.alertsOf("orphan_money")) != 0 {
		t.Error("an alert was raised")
	}
}

// Guards IgnoreForeign: on a shared account, objects that claim nothing of ours
// are nobody's business, but those that do are.
func TestIgnoreForeign(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *inbox.Options) { o.IgnoreForeign = []string{account} })
	foreign := r.stored(hook{Key: "e1", Type: "x", Kind: "charge", Object: "ch_1"})
	ours := r.stored(hook{Key: "e2", Type: "x", Kind: "charge", Object: "ch_2", Payment: "pay_gone"})
	r.step()
	r.clock.advance(15 * time.Minute)
	r.step()
	r.wantState(foreign, inbox.Irrelevant, inbox.ReasonUnknown)
	r.wantState(ours, inbox.Parked, inbox.ReasonUnknown)
}

// Guards B6, B9 and "a claim only says which payment to Fetch": a forged or
// foreign body that names one payment and carries another's object costs a read
// of the true one, and the trace puts the object where it belongs.
func TestClaimNeverAdopts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	victim, other := r.create("a"), r.create("b")
	r.fake.pay(rootOf(other.ID))
	object := "ch_" + rootOf(other.ID)
	r.fake.set(func() { r.fake.traces[object] = providers.Hint{PaymentID: other.ID, Refs: []string{rootOf(other.ID)}} })
	id := r.stored(hook{Key: "e1", Type: "charge.succeeded", Kind: "charge", Object: object, Payment: victim.ID})
	r.step()
	if rec := r.wantState(id, inbox.Done, ""); rec.Payment != other.ID {
		t.Errorf("placed at %s", rec.Payment)
	}
	r.wantStatus(victim.ID, payment.StatusRequiresAction)
	if got := r.payment(victim.ID); len(got.Facts.Captures) != 0 {
		t.Error("the victim holds a foreign capture")
	}
	r.wantStatus(other.ID, payment.StatusSucceeded)
}

// Guards tracing: an object without any reference in its body is read once, and
// found through what it hangs on; a provider that can't answer is asked later.
func TestTraceFindsThePayment(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	r.fake.set(func() {
		r.fake.roots[rootOf(p.ID)].refunds["re_1"] = 700
		r.fake.traces["re_1"] = providers.Hint{Refs: []string{"re_1", "ch_x", rootOf(p.ID)}}
		r.fake.traceErr = errSlow
	})
	id := r.stored(hook{Key: "e1", Type: "refund.created", Kind: "refund", Object: "re_1"})
	r.step()
	if rec := r.record(id); rec.State != inbox.Pending || !rec.FirstMissed.IsZero() {
		t.Errorf("after a failed trace: %s, missed %s", rec.State, rec.FirstMissed)
	}
	r.fake.set(func() { r.fake.traceErr = nil })
	r.clock.advance(2 * time.Second)
	r.step()
	r.wantState(id, inbox.Done, "")
	if got := r.payment(p.ID).Amounts().Refunded; got != 700 {
		t.Errorf("refunded %d", got)
	}
	if len(r.fake.traced) != 2 || r.fake.fetched() != 1 {
		t.Errorf("%d traces, %d reads; want 2 and 1", len(r.fake.traced), r.fake.fetched())
	}
}

// Guards tracing that came too early: what the provider said of an object is
// asked anew on the next try.
func TestTraceIsRepeated(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	wrong, right := r.create("a"), r.create("b")
	r.fake.pay(rootOf(right.ID))
	r.fake.set(func() {
		r.fake.roots[rootOf(right.ID)].refunds["re_1"] = 700
		r.fake.traces["re_1"] = providers.Hint{PaymentID: wrong.ID}
	})
	id := r.stored(hook{Key: "e1", Type: "refund.created", Kind: "refund", Object: "re_1"})
	r.step()
	r.wantState(id, inbox.Pending, inbox.ReasonUnknown)
	r.fake.set(func() { r.fake.traces["re_1"] = providers.Hint{Refs: []string{rootOf(right.ID)}} })
	r.clock.advance(time.Minute)
	r.step()
	if rec := r.wantState(id, inbox.Done, ""); rec.Payment != right.ID {
		t.Errorf("placed at %s", rec.Payment)
	}
}

// Guards I5 for "webhook before our own write": an object of a checkout whose
// creation has no outcome is not adopted by its own word and is no orphan. The
// due operation finds the checkout, and then the object is in it.
func TestCreationUnknown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.fake.set(func() { r.fake.lost = true })
	p := r.create("a")
	if _, known := p.Facts.AttemptFact(1); known {
		t.Fatal("the test needs a checkout that we don't know")
	}
	r.fake.pay(rootOf(p.ID))
	id := r.stored(paid("e1", p))
	r.step() // the operation is not due yet
	r.wantState(id, inbox.Pending, "creation_unknown")
	if got := r.payment(p.ID); len(got.Facts.Attempts)+len(got.Facts.Captures) != 0 {
		t.Fatal("adopted on its own word")
	}
	r.fake.set(func() { r.fake.lost = false })
	for range 3 {
		r.clock.advance(10 * time.Second)
		r.step()
	}
	r.wantState(id, inbox.Done, "")
	r.wantStatus(p.ID, payment.StatusSucceeded)
	if len(r.alertsOf("orphan_money")) != 0 {
		t.Error("told as an orphan")
	}
}

// Guards against reading for ever: a declined charge of a known checkout need not
// appear in it, and a warning can't; neither is an orphan.
func TestObjectsThatNeedNotAppear(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	declined := r.stored(hook{Key: "e1", Type: "charge.failed", Kind: "charge", Object: "ch_declined", Refs: []string{rootOf(p.ID)}})
	warning := r.stored(hook{Key: "e2", Type: "warning", Kind: "early_fraud_warning", Object: "issfr_1", Refs: []string{rootOf(p.ID)}})
	r.step()
	r.wantState(warning, inbox.Done, "")
	for range 2 {
		r.clock.advance(10 * time.Second)
		r.step()
	}
	r.wantState(declined, inbox.Done, "")
	if r.fake.fetched() > 3 {
		t.Errorf("%d reads", r.fake.fetched())
	}
}

// Guards against alarms after an outage: where the store was away for hours between
// two looks, a charge that need not appear in its known checkout is no orphan, and a
// capture that must appear is one.
func TestOutageMakesNoOrphans(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	declined := r.stored(hook{Key: "e1", Type: "charge.failed", Kind: "charge", Object: "ch_declined", Refs: []string{rootOf(p.ID)}})
	captured := r.stored(hook{Key: "e2", Type: "captured", Kind: "capture", Object: "cap_lost", Refs: []string{rootOf(p.ID)}})
	r.step()
	r.wantState(declined, inbox.Pending, inbox.ReasonUnknown)
	r.clock.advance(4 * time.Hour) // nobody could look again meanwhile
	r.step()
	r.wantState(declined, inbox.Done, "")
	r.wantState(captured, inbox.Parked, inbox.ReasonUnknown)
}
