package gateway_test

import (
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Guards the promise of a 503: nothing was done, and the same key works, also when the time to pay of that first request
// has gone by meanwhile. It is given up in the end; nobody is told of an end of what nobody was given.
func TestUnansweredCreationDoesNotExpire(t *testing.T) {
	t.Parallel()
	for waited, works := range map[time.Duration]bool{31 * time.Minute: true, 23 * time.Hour: true, 25 * time.Hour: false} {
		w := newWorld(t, nil)
		w.stripe.fail("create_checkout", tooMany)
		in := input("stripe")
		in.ExpiresIn = 1800
		_, err := w.create("k", in)
		wantCode(t, err, payment.CodeProviderUnavailable)
		if ids, err := w.payments.WorkDue(t.Context(), w.now().Add(23*time.Hour), 10); err != nil || len(ids) != 0 {
			t.Errorf("a worker looks at %v, %v", ids, err)
		}
		w.pass(waited)
		w.step()
		id := payment.DeriveID("pay", "v1", "shop", string(payment.ModeTest), "POST", "/v1/payments", "k")
		if _, err = w.create("k", in); works != (err == nil) {
			t.Fatalf("after %s: %v", waited, err)
		}
		p := w.get(id)
		for _, e := range p.Outbox {
			if e.Type == "payment.expired" {
				t.Errorf("after %s: told %s", waited, e.Type)
			}
		}
		if !works {
			wantCode(t, err, payment.CodeConflict)
			w.wantStatus(id, payment.StatusExpired)
			continue
		}
		w.wantStatus(id, payment.StatusRequiresAction)
		if !p.ExpiresAt.Equal(w.now().Add(30 * time.Minute)) {
			t.Errorf("after %s: it may be paid until %s", waited, p.ExpiresAt)
		}
		w.pass(31 * time.Minute)
		w.quiet(id)
		w.wantStatus(id, payment.StatusExpired)
	}
}

// Guards the bound: a creation whose outcome was lost is not unanswered. What it made is found, and closed at its deadline.
func TestLostCreationIsClosedInTime(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{timeoutAfter, timeoutBefore} {
		w := newWorld(t, nil)
		w.stripe.fail("create_checkout", f, timeoutBefore)
		in := input("stripe")
		in.ExpiresIn = 1800
		p := w.mustCreate("k", in)
		w.quiet(p.ID)
		w.pass(31 * time.Minute)
		w.quiet(p.ID)
		w.wantStatus(p.ID, payment.StatusExpired)
		if w.stripe.pay(p.ID, 1) {
			t.Error("it can still be paid")
		}
	}
}
