package inbox_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// Guards the layer's promise: a webhook alone brings a payment to what the
// provider says, and history tells which event did.
func TestWebhookAloneSettles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	id := r.stored(paid("e1", p))
	r.wantStatus(p.ID, payment.StatusRequiresAction) // nothing happens in the request path
	r.step()
	got := r.wantStatus(p.ID, payment.StatusSucceeded)
	if got.SettledBy != payment.LayerWebhook {
		t.Errorf("settled by %s", got.SettledBy)
	}
	want := payment.Source{Layer: payment.LayerWebhook, Actor: payment.Actor{Type: "webhook", ID: "evt_e1"}, Reason: "checkout.completed"}
	if diff := cmp.Diff(want, got.History[len(got.History)-1].Source); diff != "" {
		t.Errorf("history source (-want +got):\n%s", diff)
	}
	if rec := r.wantState(id, inbox.Done, ""); rec.Payment != p.ID || rec.Tries != 1 {
		t.Errorf("event %+v", rec)
	}
}

// Guards A18, "an event is a hint": the event says paid, the provider says open,
// so nothing changes.
func TestFetchIsTheTruth(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	id := r.stored(paid("e1", p))
	before := r.payment(p.ID)
	r.step()
	r.wantState(id, inbox.Done, "")
	if after := r.wantStatus(p.ID, payment.StatusRequiresAction); len(after.History) != len(before.History) || len(after.Outbox) != len(before.Outbox) {
		t.Error("a claim of money changed the payment")
	}
}

// Guards A10, A19, B7 and I1: a hundred parallel copies are one row, one read and
// one effect; so are copies that come after it is done.
func TestHundredCopiesOneEffect(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.approve(rootOf(p.ID)) // the effect is a capture by our own call
	var wg sync.WaitGroup
	var mu sync.Mutex
	words := map[string]int{}
	for range 100 {
		wg.Go(func() {
			code, word := r.send(paid("e1", p))
			mu.Lock()
			defer mu.Unlock()
			words[fmt.Sprint(code, " ", word)]++
		})
	}
	wg.Wait()
	if diff := cmp.Diff(map[string]int{"200 stored": 1, "200 already_stored": 99}, words); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	r.step()
	for range 3 {
		r.send(paid("e1", p))
		r.step()
	}
	got := r.wantStatus(p.ID, payment.StatusSucceeded)
	told := 0
	for _, e := range got.Outbox {
		if e.Type == "payment.succeeded" {
			told++
		}
	}
	if r.rows() != 1 || r.fake.fetched() != 1 || r.fake.captures != 1 || told != 1 {
		t.Errorf("%d rows, %d reads, %d captures, %d payment.succeeded; want 1 of each", r.rows(), r.fake.fetched(), r.fake.captures, told)
	}
}

// Guards "several events waiting for one payment cost one Fetch": however the
// events name the payment.
func TestCoalescing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.create("a"), r.create("b")
	r.fake.pay(rootOf(a.ID))
	r.fake.pay(rootOf(b.ID))
	ids := []string{
		r.stored(paid("a1", a)),
		r.stored(hook{Key: "a2", Type: "charge.succeeded", Kind: "charge", Object: "ch_" + rootOf(a.ID), Payment: a.ID}),
		r.stored(hook{Key: "b1", Type: "charge.succeeded", Kind: "charge", Object: "ch_" + rootOf(b.ID), Refs: []string{rootOf(b.ID)}}),
		r.stored(hook{Key: "a3", Type: "checkout.updated", Kind: "checkout_session", Object: rootOf(a.ID)}),
		r.stored(hook{Key: "b2", Type: "checkout.updated", Kind: "checkout_session", Object: rootOf(b.ID), Payment: "pay_else"}),
	}
	did, _, err := r.inbox.Step(t.Context())
	if err != nil || did != len(ids) {
		t.Fatalf("did %d (%v), want %d", did, err, len(ids))
	}
	if n := r.fake.fetched(); n != 2 {
		t.Errorf("%d reads for 5 events of 2 payments, want 2", n)
	}
	for _, id := range ids {
		r.wantState(id, inbox.Done, "")
	}
	r.wantStatus(a.ID, payment.StatusSucceeded)
	r.wantStatus(b.ID, payment.StatusSucceeded)
}

// Guards the layer's promise at providers where our call takes the money: an
// approved order is captured although nobody came back, exactly once.
func TestApprovedIsCaptured(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.approve(rootOf(p.ID))
	r.stored(hook{Key: "e1", Type: "order.approved", Kind: "order", Object: rootOf(p.ID)})
	r.stored(hook{Key: "e2", Type: "order.approved", Kind: "order", Object: rootOf(p.ID)})
	r.step()
	got := r.wantStatus(p.ID, payment.StatusSucceeded)
	if r.fake.captures != 1 || got.SettledBy != payment.LayerWebhook {
		t.Errorf("%d captures, settled by %s", r.fake.captures, got.SettledBy)
	}
}

var errSlow = &providers.Error{Class: providers.Unknown, Provider: "stripe", Op: "fetch", Code: "timeout"}

// Guards the back-off schedule and "seen is not done": a redelivery of an event
// that is not done makes it due now.
func TestRedeliveryWakes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	r.fake.set(func() { r.fake.fetchErr = errSlow })
	id := r.stored(paid("e1", p))
	for _, wait := range []time.Duration{2 * time.Second, 10 * time.Second, time.Minute} {
		r.step()
		if rec := r.wantState(id, inbox.Pending, "fetch: unknown (timeout)"); !rec.DueAt.Equal(r.clock.now().Add(wait)) {
			t.Fatalf("due in %s, want %s", rec.DueAt.Sub(r.clock.now()), wait)
		}
		if wait < time.Minute {
			r.clock.advance(wait - time.Millisecond)
			if r.step() != 0 {
				t.Fatal("worked on before it was due")
			}
			r.clock.advance(time.Millisecond)
		}
	}
	r.fake.set(func() { r.fake.fetchErr = nil })
	if r.step() != 0 {
		t.Fatal("not due yet")
	}
	if code, word := r.send(paid("e1", p)); code != 200 || word != "already_stored" {
		t.Fatalf("%d %s", code, word)
	}
	r.step()
	r.wantState(id, inbox.Done, "")
	r.wantStatus(p.ID, payment.StatusSucceeded)
}

// Guards 429 handling: a provider that names a time is not asked before it.
func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.set(func() {
		r.fake.fetchErr = &providers.Error{Class: providers.NotDone, Op: "fetch", Code: "rate_limited", RetryAfter: 40 * time.Second}
	})
	id := r.stored(paid("e1", p))
	r.step()
	if rec := r.record(id); !rec.DueAt.Equal(r.clock.now().Add(40 * time.Second)) {
		t.Errorf("due in %s, want 40s", rec.DueAt.Sub(r.clock.now()))
	}
}

// Guards the dead-letter rule: after twelve tries over more than the 72 hours of
// the fault model the event is given up with one alert; a replay, and also a
// redelivery, brings it back.
func TestDeadLetterAndReplay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	r.fake.set(func() { r.fake.fetchErr = errSlow })
	first, second := r.stored(paid("e1", p)), r.stored(paid("e2", p))
	start := r.clock.now()
	for range 11 {
		r.step()
		r.clock.advance(r.wantState(first, inbox.Pending, "fetch: unknown (timeout)").DueAt.Sub(r.clock.now()))
	}
	if over := r.clock.now().Sub(start); over < 72*time.Hour {
		t.Errorf("given up after %s, less than 72h", over)
	}
	r.step()
	if rec := r.wantState(first, inbox.Dead, "fetch: unknown (timeout)"); rec.Tries != 12 {
		t.Errorf("%d tries", rec.Tries)
	}
	r.wantState(second, inbox.Dead, "fetch: unknown (timeout)")
	if alerts := r.alertsOf("webhook_dead"); len(alerts) != 1 || alerts[0].Severity != "critical" {
		t.Errorf("alerts %+v, want one incident", alerts)
	}
	r.clock.advance(100 * 24 * time.Hour)
	if r.step() != 0 {
		t.Error("a dead event was worked on")
	}
	backlog, err := r.inbox.Backlog(t.Context())
	if err != nil || backlog.Dead != 2 || backlog.Pending != 0 {
		t.Errorf("backlog %+v, %v", backlog, err)
	}
	r.fake.set(func() { r.fake.fetchErr = nil })
	if n, err := r.inbox.ReplayAll(t.Context(), inbox.Filter{State: inbox.Dead}); n != 2 || err != nil {
		t.Fatalf("replayed %d, %v", n, err)
	}
	r.step()
	r.wantState(first, inbox.Done, "")
	r.wantStatus(p.ID, payment.StatusSucceeded)

	if rec, err := r.inbox.Replay(t.Context(), first); err != nil || rec.State != inbox.Pending {
		t.Errorf("replay of a done event: %s, %v", rec.State, err)
	}
	if _, err := r.inbox.Replay(t.Context(), "in_nothing"); !errors.Is(err, inbox.ErrNotFound) {
		t.Errorf("replay of nothing: %v", err)
	}
	if _, err := r.inbox.ReplayAll(t.Context(), inbox.Filter{State: inbox.Done}); !errors.Is(err, inbox.ErrState) {
		t.Errorf("replay of everything done: %v", err)
	}
}

// Guards "a redelivery wakes" for the dead.
func TestRedeliveryRaisesTheDead(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *inbox.Options) { o.MaxTries = 1 })
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	r.fake.set(func() { r.fake.fetchErr = errSlow })
	id := r.stored(paid("e1", p))
	r.step()
	r.wantState(id, inbox.Dead, "fetch: unknown (timeout)")
	r.fake.set(func() { r.fake.fetchErr = nil })
	r.send(paid("e1", p))
	r.step()
	r.wantState(id, inbox.Done, "")
}

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

// Guards the cost of the usual event, a true claim on a known checkout: its payment is
// read once to place it and once to apply what the provider says, and never searched for.
// A claim beside somebody else's known object still loses to whoever knows the object.
func TestReadsOfOneEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p, other := r.create("a"), r.create("b")
	r.fake.pay(rootOf(p.ID))
	r.fake.pay(rootOf(other.ID))
	first := r.stored(paid("e1", p))
	var reads []string
	r.fault.set(nil, func(method string) error {
		reads = append(reads, method)
		return nil
	})
	if did, _, err := r.inbox.Step(t.Context()); did != 1 || err != nil {
		t.Fatalf("did %d (%v)", did, err)
	}
	r.fault.up()
	if diff := cmp.Diff([]string{"Query", "Get", "Get"}, reads); diff != "" {
		t.Errorf("reads: what is due, the payment to place the event, the payment to apply to (-want +got):\n%s", diff)
	}
	if rec := r.wantState(first, inbox.Done, ""); rec.Payment != p.ID {
		t.Errorf("placed at %s", rec.Payment)
	}
	h := paid("e2", other)
	h.Payment = p.ID
	second := r.stored(h)
	r.step()
	if rec := r.wantState(second, inbox.Done, ""); rec.Payment != other.ID {
		t.Errorf("a false claim leads to %s, not to the payment that knows the object", rec.Payment)
	}
	r.wantStatus(other.ID, payment.StatusSucceeded)
}

// Guards the write that trusts what was read before the provider was asked: whoever
// changed the payment meanwhile keeps their change, and the observation is not lost.
func TestPaymentChangesWhileItIsRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	id := r.stored(paid("e1", p))
	decline := payment.Decline{Key: payment.ObjectKey{Provider: "stripe", Account: p.Facts.Opened[0].Account, ID: "ch_declined"}, N: 1, Stamp: payment.Stamp{AsOf: r.clock.now()}}
	raced := false
	r.fault.set(func(pt store.WritePoint, w faults.When) error {
		if pt == store.PointPaymentReplace && w == faults.Before && !raced {
			raced = true
			news := payment.Observation{N: 1, Facts: payment.Facts{Declines: []payment.Decline{decline}}}
			if _, err := r.service.Apply(t.Context(), p.ID, news, payment.Source{Layer: payment.LayerReconcile}); err != nil {
				t.Error(err)
			}
		}
		return nil
	}, nil)
	r.step()
	r.fault.up()
	r.wantState(id, inbox.Done, "")
	got := r.wantStatus(p.ID, payment.StatusSucceeded)
	if len(got.Facts.Captures) != 1 || len(got.Facts.Declines) != 1 {
		t.Errorf("%d captures and %d declines, want one each", len(got.Facts.Captures), len(got.Facts.Declines))
	}
	if n := r.fake.fetched(); n != 1 {
		t.Errorf("%d reads at the provider, want 1", n)
	}
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

// Guards "one poisoned item never stops the rest": an event whose account is
// gone, a payment that can't be read, and an unreadable row.
func TestPoisonStopsNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	bad := r.create("b")
	r.fake.set(func() { delete(r.fake.roots, rootOf(bad.ID)) }) // its Fetch fails for good
	poisoned := r.stored(paid("e0", bad))
	row, err := r.engine.Get(t.Context(), "inbox", poisoned)
	if err != nil {
		t.Fatal(err)
	}
	row.ID, row.Body = "in_broken", []byte(`{"schema":99}`)
	if err := r.engine.Insert(t.Context(), "inbox", row); err != nil {
		t.Fatal(err)
	}
	id := r.stored(paid("e1", p))
	did, _, err := r.inbox.Step(t.Context())
	if err == nil || did != 2 {
		t.Errorf("did %d, error %v; want 2 and the broken row's error", did, err)
	}
	r.wantState(id, inbox.Done, "")
	r.wantState(poisoned, inbox.Pending, "fetch: not_found ()")
}

// Guards the lease: a worker that dies leaves its event to others after the
// lease, each such death counts as a try, and an event that always kills is given
// up.
func TestWorkerDeathCounts(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *inbox.Options) { o.MaxTries = 3 })
	p := r.create("a")
	id := r.stored(paid("e1", p))
	for i := range 3 {
		r.fault.set(func(pt store.WritePoint, w faults.When) error {
			if pt == store.PointInboxSettle {
				panic("killed")
			}
			return nil
		}, nil)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("death %d did not happen", i)
				}
			}()
			_, _, _ = r.inbox.Step(t.Context())
		}()
		r.fault.up()
		r.boot(func(o *inbox.Options) { o.MaxTries = 3; o.Owner = fmt.Sprint("run", i) })
		if r.step() != 0 {
			t.Error("taken over before the lease was over")
		}
		r.clock.advance(2 * time.Minute)
	}
	r.step()
	r.wantState(id, inbox.Dead, "never_finished")
	if len(r.alertsOf("webhook_dead")) != 1 {
		t.Error("nobody was told")
	}
}

// Guards I14: two workers never hold one event, and what a former holder writes
// after its lease is refused.
func TestFencing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	id := r.stored(paid("e1", p))
	slow := r.inbox
	// The slow worker pauses between reading and settling; meanwhile its lease ends,
	// another worker takes the event, and fails on it.
	armed := true
	r.fault.set(func(pt store.WritePoint, w faults.When) error {
		if pt != store.PointInboxSettle || w != faults.Before || !armed {
			return nil
		}
		armed = false
		r.clock.advance(2 * time.Minute)
		r.fake.set(func() { r.fake.fetchErr = errSlow })
		fast := r.inbox
		if did, _, err := fast.Step(t.Context()); did != 1 || err != nil {
			t.Errorf("the other worker did %d, %v", did, err)
		}
		r.wantState(id, inbox.Pending, "fetch: unknown (timeout)")
		return nil
	}, nil)
	r.boot(func(o *inbox.Options) { o.Owner = "fast" })
	if _, _, err := slow.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rec := r.wantState(id, inbox.Pending, "fetch: unknown (timeout)"); rec.Gen != 2 {
		t.Errorf("generation %d, want 2", rec.Gen)
	}
	if r.counts.get("processed lost") != 1 {
		t.Error("the lost lease was not noticed")
	}
}

// Guards the back-off against a worker that saw an event due a while ago: what
// another one has put back meanwhile is not due any more.
func TestStaleClaim(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.set(func() { r.fake.fetchErr = errSlow })
	r.stored(paid("e1", p))
	slow := r.inbox
	r.boot(func(o *inbox.Options) { o.Owner = "fast" })
	armed := true
	r.fault.set(func(pt store.WritePoint, w faults.When) error {
		if pt == store.PointInboxClaim && w == faults.Before && armed {
			armed = false
			r.step()
		}
		return nil
	}, nil)
	if did, _, err := slow.Step(t.Context()); did != 0 || err != nil {
		t.Errorf("did %d, %v", did, err)
	}
	if n := r.fake.fetched(); n != 1 {
		t.Errorf("%d reads, want 1", n)
	}
}

// Guards I14 under real parallelism: many workers over one store process each
// event once.
func TestParallelWorkers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var ids []string
	for i := range 12 {
		p := r.create(fmt.Sprint("p", i))
		r.fake.pay(rootOf(p.ID))
		ids = append(ids, p.ID)
		r.stored(paid(fmt.Sprint("e", i), p))
	}
	var wg sync.WaitGroup
	for i := range 6 {
		r.boot(func(o *inbox.Options) { o.Owner, o.Parallel = fmt.Sprint("worker", i), 4 })
		w := r.inbox
		wg.Go(func() {
			for range 4 {
				if _, _, err := w.Step(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		r.wantStatus(id, payment.StatusSucceeded)
	}
	if n := r.fake.fetched(); n != 12 {
		t.Errorf("%d reads for 12 events, want 12", n)
	}
}

// Guards Parallel: a panic in one payment's work reaches the caller of Step, who
// knows what to do with it, instead of ending the process.
func TestParallelPanic(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *inbox.Options) { o.Parallel = 4 })
	for i := range 4 {
		r.stored(paid(fmt.Sprint("e", i), r.create(fmt.Sprint("p", i))))
	}
	r.fault.set(func(p store.WritePoint, _ faults.When) error {
		if p == store.PointInboxSettle {
			panic("killed")
		}
		return nil
	}, nil)
	defer func() {
		if recover() != "killed" {
			t.Error("the panic was lost")
		}
	}()
	_, _, _ = r.inbox.Step(t.Context())
}

// Guards the redelivery that comes while a worker holds the event: should the
// work fail, the event is due again at once.
func TestRedeliveryDuringWork(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.set(func() { r.fake.fetchErr = errSlow })
	id := r.stored(paid("e1", p))
	armed := true
	r.fault.set(func(pt store.WritePoint, w faults.When) error {
		if pt == store.PointInboxSettle && w == faults.Before && armed {
			armed = false
			r.send(paid("e1", p))
			r.send(paid("e1", p))
		}
		return nil
	}, nil)
	if _, _, err := r.inbox.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rec := r.record(id); !rec.DueAt.Equal(r.clock.now()) || rec.Woken {
		t.Errorf("due in %s (woken %t), want now", rec.DueAt.Sub(r.clock.now()), rec.Woken)
	}
}

// Guards P10: an alert that can't be stored is told when it can.
func TestAlertIsNotLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.stored(hook{Key: "e1", Type: "x", Kind: "charge", Object: "ch", Live: true})
	r.fault.set(func(p store.WritePoint, _ faults.When) error {
		if p == store.PointAlertRaise {
			return errDown
		}
		return nil
	}, nil)
	if _, _, err := r.inbox.Step(t.Context()); err == nil {
		t.Error("the failure was swallowed")
	}
	r.fault.up()
	if len(r.alertsOf("webhook_parked")) != 0 {
		t.Fatal("the fault did not work")
	}
	r.step()
	if len(r.alertsOf("webhook_parked")) != 1 || !r.record(id).DueAt.IsZero() {
		t.Error("nobody was told")
	}
}

// Guards "a redelivery wakes" against the note that a human was told: an event
// that was woken in between stays due.
func TestWokenWhileBeingTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *inbox.Options) { o.MaxTries = 1 })
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	r.fake.set(func() { r.fake.fetchErr = errSlow })
	id := r.stored(paid("e1", p))
	r.fault.set(func(pt store.WritePoint, w faults.When) error {
		if pt == store.PointInboxTold && w == faults.Before {
			r.send(paid("e1", p))
		}
		return nil
	}, nil)
	if _, _, err := r.inbox.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.fault.up()
	r.fake.set(func() { r.fake.fetchErr = nil })
	r.step()
	r.wantState(id, inbox.Done, "")
}

// Guards the operator's view and retention: lists by state and account page
// through everything; bodies go after their time, large ones too, events stay.
func TestListAndPrune(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 5 {
		r.clock.advance(time.Second)
		r.stored(hook{Key: fmt.Sprint("k", i), Type: "x", Kind: "charge", Object: "ch", Other: i%2 == 0})
	}
	big := append([]byte(`{"key":"big","type":"x","kind":"charge","object":"ch_1"}`), make([]byte, 0)...)
	for len(big) < 700<<10 {
		big = append(big, "          "...)
	}
	if code, _ := r.post("/webhooks/stripe/acct", big, http.Header{"X-Sig": {"good"}}); code != 200 {
		t.Fatal(code)
	}
	var keys []string
	f := inbox.Filter{State: inbox.Irrelevant, Limit: 2, Account: account}
	for {
		page, next, err := r.inbox.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range page {
			keys = append(keys, rec.Event.Key)
		}
		if f.After = next; next == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"k4", "k2", "k0"}, keys); diff != "" {
		t.Errorf("irrelevant, newest first (-want +got):\n%s", diff)
	}
	all, _, err := r.inbox.List(t.Context(), inbox.Filter{Limit: 100})
	if err != nil || len(all) != 6 {
		t.Fatalf("%d events, %v", len(all), err)
	}
	if n, err := r.inbox.Prune(t.Context(), r.clock.now()); err != nil || n != 4 {
		t.Errorf("pruned %d (%v), want the 4 older than the last second", n, err)
	}
	r.clock.advance(time.Second)
	if n, err := r.inbox.Prune(t.Context(), r.clock.now()); err != nil || n != 3 {
		t.Errorf("pruned %d (%v), want 1 and the large one's 2 parts", n, err)
	}
	for _, rec := range all {
		if body, err := r.inbox.Body(t.Context(), rec.ID); err != nil || body != nil {
			t.Errorf("body of %s: %d bytes, %v", rec.ID, len(body), err)
		}
		if _, err := r.inbox.Get(t.Context(), rec.ID); err != nil {
			t.Errorf("the event went with its body: %v", err)
		}
	}
	if n, err := r.inbox.Prune(t.Context(), r.clock.now()); err != nil || n != 0 {
		t.Errorf("pruned %d again, %v", n, err)
	}
}
