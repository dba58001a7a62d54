package inbox_test

import (
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// Promise: while a provider's disputes can't be read, an event about a payment's own money
// is worked off; one about a dispute waits, known or not, until they can be.
func TestEventsWhileDisputesCantBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	r.fake.set(func() {
		r.fake.beside = &providers.Error{Class: providers.Unknown, Provider: "stripe", Op: "fetch", Code: "disputes_away", Aside: true, Rooted: true}
	})
	own := r.stored(paid("e1", p))
	dispute := r.stored(hook{Key: "e2", Type: "dispute.created", Kind: "dispute", Object: "dp_1", Payment: p.ID, N: 1, Refs: []string{"dp_1", rootOf(p.ID)}})
	for range 3 {
		r.step()
		r.wantState(own, inbox.Done, "")
		r.wantStatus(p.ID, payment.StatusSucceeded)
		r.wantState(dispute, inbox.Pending, "fetch: unknown (disputes_away)")
		r.clock.advance(time.Minute)
	}
	if got := r.payment(p.ID).Facts.Attempts[0]; got.CompleteAsOf.IsZero() || got.WholeAsOf.After(got.CompleteAsOf) || !got.WholeAsOf.Before(got.CompleteAsOf) {
		t.Errorf("complete as of %v, whole as of %v: what was not read counts as read", got.CompleteAsOf, got.WholeAsOf)
	}
}

// Promise: an event is not worked off on a reading that was not made, even where its
// failure concerns one object only.
func TestEventsOfABusyObjectWait(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	r.fake.set(func() {
		r.fake.fetchErr = &providers.Error{Class: providers.NotDone, Provider: "stripe", Op: "fetch", Code: "busy", Aside: true}
	})
	id := r.stored(paid("e1", p))
	r.step()
	r.wantState(id, inbox.Pending, "fetch: not_done (busy)")
	r.wantStatus(p.ID, payment.StatusRequiresAction)
}
