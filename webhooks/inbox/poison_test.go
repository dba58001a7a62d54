package inbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// spoil makes a stored record unreadable, as one of a later program's is.
func (r *rig) spoil(collection, id string) {
	r.t.Helper()
	d, err := r.engine.Get(r.t.Context(), collection, id)
	if err != nil {
		r.t.Fatal(err)
	}
	d.Body = []byte(`{"schema":99}`)
	if err := r.engine.Replace(r.t.Context(), collection, d, d.Version); err != nil {
		r.t.Fatal(err)
	}
}

// Guards the queue against poison at its head: events of payments that can't be read
// keep no others from being worked on, however many they are; they back off, and in the
// end a human is told.
func TestUnreadablePaymentsHoldNobodyBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *inbox.Options) { o.Batch = 10 })
	var bad []string
	for i := range 15 {
		p := r.create(fmt.Sprint("bad", i))
		bad = append(bad, r.stored(paid(fmt.Sprint("bad", i), p)))
		r.spoil("payments", p.ID)
	}
	r.clock.advance(time.Second)
	p := r.create("good")
	r.fake.pay(rootOf(p.ID))
	good := r.stored(paid("good", p))
	for range 4 {
		_, _, _ = r.inbox.Step(t.Context()) // its errors name the payments that can't be read
	}
	r.wantState(good, inbox.Done, "")
	r.wantStatus(p.ID, payment.StatusSucceeded)
	if rec := r.wantState(bad[0], inbox.Pending, "payment_unreadable"); !rec.DueAt.After(r.clock.now()) {
		t.Errorf("due at %s, want later", rec.DueAt)
	}
	for range 12 {
		r.clock.advance(31 * time.Hour)
		for range 3 {
			_, _, _ = r.inbox.Step(t.Context())
		}
	}
	r.wantState(bad[14], inbox.Dead, "payment_unreadable")
	if got := r.alertsOf("webhook_dead"); len(got) != 1 {
		t.Errorf("alerts %+v, want one", got)
	}
}

// Guards the queue against events that nobody can be told of: they wait, and are told
// as soon as that works.
func TestUntoldAlertsHoldNobodyBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *inbox.Options) { o.Batch = 10 })
	var parked []string
	for i := range 15 {
		h := paid(fmt.Sprint("live", i), r.create(fmt.Sprint("p", i)))
		h.Live = true
		parked = append(parked, r.stored(h))
	}
	r.clock.advance(time.Second)
	p := r.create("good")
	r.fake.pay(rootOf(p.ID))
	good := r.stored(paid("good", p))
	r.fault.set(func(pt store.WritePoint, _ faults.When) error {
		if pt == store.PointAlertRaise {
			return errDown
		}
		return nil
	}, nil)
	for range 4 {
		_, _, _ = r.inbox.Step(t.Context()) // its errors say that nobody could be told
	}
	r.wantState(good, inbox.Done, "")
	r.fault.up()
	r.clock.advance(time.Minute)
	r.step()
	if rec := r.record(parked[14]); !rec.DueAt.IsZero() || len(r.alertsOf("webhook_parked")) != 1 {
		t.Errorf("due at %s, alerts %+v", rec.DueAt, r.alertsOf("webhook_parked"))
	}
}

// Guards the queue against events that can't be read themselves.
func TestUnreadableEventsHoldNobodyBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *inbox.Options) { o.Batch = 10 })
	for i := range 25 {
		r.spoil("inbox", r.stored(paid(fmt.Sprint("bad", i), r.create(fmt.Sprint("p", i)))))
	}
	r.clock.advance(time.Second)
	p := r.create("good")
	r.fake.pay(rootOf(p.ID))
	good := r.stored(paid("good", p))
	if _, _, err := r.inbox.Step(t.Context()); err == nil {
		t.Error("nobody hears of the events that can't be read")
	}
	r.wantState(good, inbox.Done, "")
}

// Guards the queue's pace: events that can't be read take no places of a batch from those
// behind them, and a full batch is followed by the next at once beside them, but not where
// nothing can be done.
func TestUnreadableEventsSlowNobodyDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *inbox.Options) { o.Batch = 10 })
	for i := range 9 {
		r.spoil("inbox", r.stored(paid(fmt.Sprint("bad", i), r.create(fmt.Sprint("p", i)))))
	}
	r.clock.advance(time.Second)
	var good []string
	for i := range 20 {
		p := r.create(fmt.Sprint("good", i))
		r.fake.pay(rootOf(p.ID))
		good = append(good, r.stored(paid(fmt.Sprint("good", i), p)))
	}
	r.fault.set(func(pt store.WritePoint, _ faults.When) error {
		if pt == store.PointInboxClaim {
			return errDown
		}
		return nil
	}, nil)
	if did, next, err := r.inbox.Step(t.Context()); did != 0 || err == nil || !next.After(r.clock.now()) {
		t.Errorf("while nothing can be claimed: %d done, again at %s, %v", did, next, err)
	}
	r.fault.up()
	for range 2 {
		did, next, err := r.inbox.Step(t.Context())
		if did != 10 || err == nil || next.After(r.clock.now()) {
			t.Errorf("%d done, again at %s, %v; want 10 and the next at once", did, next, err)
		}
	}
	for _, id := range good {
		r.wantState(id, inbox.Done, "")
	}
}

// Guards retention of personal data: an event that can't be read keeps nobody else's
// body, and is named.
func TestUnreadableEventKeepsNoOtherBody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var ids []string
	for i := range 3 {
		ids = append(ids, r.stored(paid(fmt.Sprint("e", i), r.create(fmt.Sprint("p", i)))))
		r.clock.advance(time.Second)
	}
	r.spoil("inbox", ids[0])
	n, err := r.inbox.Prune(t.Context(), r.clock.now())
	if n != 2 || err == nil {
		t.Errorf("pruned %d, %v", n, err)
	}
	for _, id := range ids[1:] {
		if body, err := r.inbox.Body(t.Context(), id); body != nil || err != nil {
			t.Errorf("%s still has its body (%v)", id, err)
		}
	}
}

// Guards retention of personal data, however much comes: beside an event that can't be
// read one visit drops as many bodies as without it.
func TestUnreadableEventEndsNoPruning(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("p")
	r.spoil("inbox", r.stored(paid("bad", p)))
	for i := range 130 {
		r.stored(paid(fmt.Sprint("e", i), p))
	}
	r.clock.advance(time.Second)
	if n, err := r.inbox.Prune(t.Context(), r.clock.now()); n != 130 || err == nil {
		t.Errorf("pruned %d of 130, %v", n, err)
	}
}

// Guards the operator at three in the morning: one event that can't be read hides no
// other from the list, the counts and the replay of all that are dead.
func TestUnreadableEventStopsNoReplay(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *inbox.Options) { o.MaxTries = 1 })
	r.fake.set(func() { r.fake.fetchErr = errSlow })
	var ids []string
	for i := range 3 {
		p := r.create(fmt.Sprint("p", i))
		r.fake.pay(rootOf(p.ID))
		ids = append(ids, r.stored(paid(fmt.Sprint("e", i), p)))
		r.clock.advance(time.Second)
	}
	r.step()
	r.spoil("inbox", ids[1])
	listed, _, err := r.inbox.List(t.Context(), inbox.Filter{State: inbox.Dead, Account: account, Limit: 10})
	if err != nil || len(listed) != 3 || listed[1].ID != ids[1] || listed[1].Reason != inbox.ReasonUnreadable || listed[1].ReceivedAt.IsZero() {
		t.Fatalf("%v, listed %+v", err, listed)
	}
	if b, err := r.inbox.Backlog(t.Context()); err != nil || b.Dead != 3 {
		t.Errorf("%v, backlog %+v", err, b)
	}
	r.fake.set(func() { r.fake.fetchErr = nil })
	n, err := r.inbox.ReplayAll(t.Context(), inbox.Filter{State: inbox.Dead})
	if n != 2 || err == nil || !strings.Contains(err.Error(), ids[1]) {
		t.Errorf("replayed %d, %v", n, err)
	}
	r.step()
	r.wantState(ids[0], inbox.Done, "")
	r.wantState(ids[2], inbox.Done, "")
}
