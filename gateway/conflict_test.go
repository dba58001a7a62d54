package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// conflicted is a payment of 1000 that the provider took twice; it returns the ids of both captures.
func (w *world) conflicted() (id, first, second string) {
	w.t.Helper()
	p := w.paid("stripe")
	first = p.Facts.Captures[0].Key.ID
	w.stripe.takeOutside(p.ID, 1, 1000)
	w.pass(time.Minute)
	p = w.observe(p.ID, 1)
	w.wantStatus(p.ID, payment.StatusConflicted)
	for _, c := range p.Facts.Captures {
		if c.Key.ID != first {
			second = c.Key.ID
		}
	}
	return p.ID, first, second
}

// Guards I1, I7: a second capture is held and told once, the app can't move its money, and neither time nor repeated
// news nor the worker ends the conflict.
func TestConflictStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id, _, _ := w.conflicted()
	for range 5 {
		w.pass(13 * time.Hour)
		w.step()
		w.observe(id, 0)
		w.comeBack(id, 1)
		w.wantStatus(id, payment.StatusConflicted)
	}
	_, err := w.refund(id, "r", 1000)
	wantCode(t, err, payment.CodeConflict)
	_, err = w.capture(id, "c", 0, true)
	wantCode(t, err, payment.CodeConflict)
	_, err = w.cancel(id, "x")
	wantCode(t, err, payment.CodeConflict)
	if list := w.wantAlerts(id, "conflicted_payment"); len(list) == 1 && (list[0].Count != 1 || list[0].Account != "stripe-eu" || list[0].Severity != "critical") {
		t.Errorf("alert %+v", list[0])
	}
	w.wantCaptured(id, 2000)
}

// Guards the way out: an operator only, with a reason, for exactly the listed captures; repeated it is the same
// decision, with other values under its key it is refused.
func TestResolve(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id, first, second := w.conflicted()
	ctx := context.Background()
	_, err := w.svc.Resolve(ctx, request("p", "k", 1), id, "accept", []string{first, second}, "because")
	wantCode(t, err, payment.CodeForbidden)
	r := request("p", "k", 1)
	r.Caller = operator
	_, err = w.svc.Resolve(ctx, r, id, "accept", []string{first, second}, "")
	wantCode(t, err, payment.CodeInvalid)
	_, err = w.resolve(id, "k", "refund")
	wantCode(t, err, payment.CodeInvalid)
	_, err = w.resolve(id, "k", "shrug", first)
	wantCode(t, err, payment.CodeInvalid)
	_, err = w.resolve(id, "k", "refund", "cap_unknown")
	wantCode(t, err, payment.CodeInvalid)
	_, err = w.resolve("pay_none", "k", "refund", first)
	wantCode(t, err, payment.CodeNotFound)
	w.wantStatus(id, payment.StatusConflicted)
	for _, again := range []bool{false, true} {
		a, err := w.decide(id, "k", "refund", second)
		if err != nil || a.Replayed != again || a.Payment.Status() != payment.StatusSucceeded {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	_, err = w.resolve(id, "k", "refund", first)
	wantCode(t, err, payment.CodeIdempotencyReused)
	_, err = w.resolve(id, "k", "accept", second)
	wantCode(t, err, payment.CodeIdempotencyReused)
	_, err = w.resolve(id, "k2", "refund", first)
	wantCode(t, err, payment.CodeConflict)
	w.quiet(id)
	w.wantBooks(id)
	if w.refundedSum(id) != 1000 || w.stripe.counted("refund") != 1 {
		t.Errorf("refunded %d in %d calls", w.refundedSum(id), w.stripe.counted("refund"))
	}
	if h := w.get(id).History; h[len(h)-1].Source.Actor.Type == "" {
		t.Errorf("history names nobody: %+v", h[len(h)-1])
	}

	w = newWorld(t, nil)
	id, first, second = w.conflicted()
	if p, err := w.resolve(id, "k", "accept", first, second); err != nil || p.Status() != payment.StatusSucceeded {
		t.Fatalf("%v, %v", p, err)
	}
	w.stripe.takeOutside(id, 1, 1000) // a third one is not covered
	w.pass(time.Minute)
	w.observe(id, 1)
	w.wantStatus(id, payment.StatusConflicted)
	if list := w.wantAlerts(id, "conflicted_payment", "conflicted_payment"); len(list) == 2 && list[0].ID == list[1].ID {
		t.Error("one record for two incidents")
	}
}

// Guards the operator's refund against a provider in trouble: it was promised with a 200, so it is done in the end,
// exactly once, whatever goes wrong first.
func TestResolveRefundIsDone(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{tooMany, timeoutBefore, timeoutAfter, missing, forbidden, stored500, refused, declined} {
		w := newWorld(t, nil)
		id, _, second := w.conflicted()
		w.stripe.fail("refund", f)
		if _, err := w.resolve(id, "k", "refund", second); err != nil {
			t.Fatal(err)
		}
		w.quiet(id)
		if got := w.refundedSum(id); got != 1000 {
			t.Errorf("fault %d: refunded %d: %s", f, got, told(w.get(id)))
		}
		w.wantBooks(id)
	}
}

// failing is a Notify that does not work for a while.
type failing struct {
	mu   sync.Mutex
	down bool
	got  []gateway.AlertRecord
}

func (f *failing) Clear(context.Context, string, time.Time) error { return nil }

func (f *failing) Raise(_ context.Context, a gateway.AlertRecord) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return errors.New("no")
	}
	f.got = append(f.got, a)
	return nil
}

// Guards that no alert is lost: it stays inside its payment while it can't be stored, a worker stores it later, and then
// it leaves the payment.
func TestAlertWaitsInPayment(t *testing.T) {
	t.Parallel()
	notify := &failing{down: true}
	w := newWorld(t, func(o *gateway.Options) { o.Notify = notify })
	id, _, _ := w.conflicted()
	w.step()
	if n := len(w.get(id).Alerts); n != 1 || len(notify.got) != 0 {
		t.Fatalf("%d alerts in the payment, %d stored", n, len(notify.got))
	}
	notify.down = false
	w.quiet(id)
	if len(w.get(id).Alerts) != 0 || len(notify.got) != 1 || notify.got[0].Payment != id || notify.got[0].App != "shop" {
		t.Errorf("in the payment %v, stored %+v", w.get(id).Alerts, notify.got)
	}
}

// Guards the same against kill -9 around both writes: stored once, counted once, gone from the payment.
func TestAlertRelayedAfterCrash(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		point store.WritePoint
		when  faults.When
		n     int
	}{{store.PointAlertRaise, faults.Before, 1}, {store.PointAlertRaise, faults.After, 1}, {store.PointPaymentReplace, faults.Before, 2}, {store.PointPaymentReplace, faults.After, 2}} {
		w := newWorld(t, nil)
		p := w.paid("stripe")
		w.stripe.takeOutside(p.ID, 1, 1000)
		w.pass(time.Minute)
		w.crashAt(c.point, c.when, c.n)
		if !w.crashed(func() { w.observe(p.ID, 1) }) {
			t.Fatalf("%+v: no crash", c)
		}
		w.quiet(p.ID)
		if list := w.wantAlerts(p.ID, "conflicted_payment"); len(list) == 1 && list[0].Count != 1 || len(w.get(p.ID).Alerts) != 0 {
			t.Errorf("%+v: %+v", c, list)
		}
	}
}

// Guards I9 at its source: every event is there once, in order, with an id that never changes and the object as it was
// at that moment.
func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input("paypal"))
	w.paypal.pay(p.ID, 1)
	w.comeBack(p.ID, 1)
	a, err := w.refund(p.ID, "r", 400)
	if err != nil {
		t.Fatal(err)
	}
	w.comeBack(p.ID, 1)
	w.observe(p.ID, 0)
	p = w.get(p.ID)
	type body struct {
		ID, Type, Status  string
		Captured, Version int64
	}
	var got []body
	ids := map[string]bool{}
	for i, e := range p.Outbox {
		var b body
		if err := json.Unmarshal(e.Body, &b); err != nil {
			t.Fatalf("event %d: %s: %v", i, e.Body, err)
		}
		if b.Type != e.Type || b.ID != e.Object || e.At.IsZero() || e.ID != payment.DeriveID("evt", p.ID, fmt.Sprint(i+1), e.Type, e.Object) {
			t.Errorf("event %+v with body %+v", e, b)
		}
		ids[e.ID] = true
		b.Version = 0
		got = append(got, b)
	}
	want := []body{
		{p.ID, "payment.requires_action", "requires_action", 0, 0},
		{p.ID, "payment.processing", "processing", 0, 0},
		{p.ID, "payment.succeeded", "succeeded", 1000, 0},
		{p.ID, "payment.captured", "succeeded", 1000, 0},
		{a.Refund, "refund.created", "succeeded", 1000, 0},
		{a.Refund, "refund.succeeded", "succeeded", 1000, 0},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
	if len(ids) != len(got) || p.EventSeq != int64(len(got)) {
		t.Errorf("%d ids, sequence %d", len(ids), p.EventSeq)
	}
}

// Guards that a body that can't be rendered stores nothing, so that no event goes out empty.
func TestRenderFails(t *testing.T) {
	t.Parallel()
	broken := false
	w := newWorld(t, func(o *gateway.Options) {
		o.Render = func(p *payment.Payment, e payment.Event) ([]byte, error) {
			if broken {
				return nil, errors.New("no")
			}
			return render(p, e)
		}
	})
	p := w.mustCreate("k", input("stripe"))
	w.stripe.pay(p.ID, 1)
	broken = true
	if _, err := w.svc.Refresh(t.Context(), p.ID, 1, payment.Source{}); err == nil {
		t.Error("stored without a body")
	}
	w.wantStatus(p.ID, payment.StatusRequiresAction)
	broken = false
	w.observe(p.ID, 1)
	w.wantStatus(p.ID, payment.StatusSucceeded)
}

// Guards I8: the history is complete, in order and without repetition however much of it has left the document, with
// kill -9 on the way, and says who, through which layer and from what to what.
func TestHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.paid("paypal")
	for i := range 12 {
		if i == 8 {
			w.crashAt(store.PointHistorySpill, faults.After, 1)
			if !w.crashed(func() { _, _ = w.refund(p.ID, "r8", 10) }) {
				t.Fatal("nothing spilled")
			}
			_, entries, err := w.svc.History(t.Context(), shop, p.ID) // one entry is in both places now
			seen := map[int64]bool{}
			for _, h := range entries {
				if seen[h.Version] || err != nil {
					t.Errorf("version %d comes twice, %v", h.Version, err)
				}
				seen[h.Version] = true
			}
			w.pass(time.Minute)
		}
		if _, err := w.refund(p.ID, fmt.Sprint("r", i), 10); err != nil {
			t.Fatal(err)
		}
	}
	p, entries, err := w.svc.History(t.Context(), shop, p.ID)
	if err != nil || len(p.History) != payment.MaxHistory || len(entries) <= payment.MaxHistory {
		t.Fatalf("%d in the document, %d in all, %v", len(p.History), len(entries), err)
	}
	var versions []int64
	for i, h := range entries {
		versions = append(versions, h.Version)
		if h.At.IsZero() || h.Source.Layer == "" || h.Source.Actor.Type == "" {
			t.Errorf("entry %+v", h)
		}
		if i > 0 && cmp.Diff(entries[i-1].After, h.Before) != "" {
			t.Errorf("a gap before version %d (-after +before):\n%s", h.Version, cmp.Diff(entries[i-1].After, h.Before))
		}
	}
	if !slices.IsSorted(versions) || len(slices.Compact(versions)) != len(entries) || entries[0].Source.Actor.ID != shop.KeyID {
		t.Errorf("versions %v", versions)
	}
	if d := cmp.Diff(p.Snapshot(), entries[len(entries)-1].After); d != "" {
		t.Errorf("the end is not the present (-present +end):\n%s", d)
	}
}

// Guards the queue: records that can't be worked on, however many, never keep the worker from the others.
func TestPoisonedRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	in := input("stripe")
	in.ExpiresIn = 1800
	p := w.mustCreate("k", in)
	for i := range 70 {
		doc := store.Doc{ID: fmt.Sprintf("pay_bad%02d", i), Body: []byte(`{"schema":1}`), Index: map[string]any{"work_at": begin.Add(time.Duration(i) * time.Second)}}
		if err := w.inner.Insert(t.Context(), "payments", doc); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(time.Hour)
	did, _, err := w.ops.Step(t.Context())
	if did != 1 || err == nil {
		t.Errorf("did %d, %v", did, err)
	}
	w.wantStatus(p.ID, payment.StatusExpired)
}

// Guards the pace: a full batch is followed at once, an empty one is not.
func TestStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for i := range 5 {
		in := input("stripe")
		in.ExpiresIn = 1800
		w.mustCreate(fmt.Sprint(i), in)
	}
	w.pass(time.Hour)
	ops := w.svc.Operations(2)
	for i, want := range []int{2, 2, 1, 0} {
		did, next, err := ops.Step(t.Context())
		if err != nil || did != want || (want == 2) != next.Equal(w.now()) {
			t.Errorf("step %d: did %d, next in %v, %v", i, did, next.Sub(w.now()), err)
		}
	}
}
