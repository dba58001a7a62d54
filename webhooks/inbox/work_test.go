package inbox_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
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
