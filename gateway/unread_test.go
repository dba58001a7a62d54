package gateway_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Guards the customer who has paid and comes back while the provider is away: their payment is processing, no page and no
// app asks them to pay again, it is read within a minute, and it ends where the provider says.
func TestReturnUnread(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{timeoutBefore, htmlPage, forbidden, tooMany} {
		w := newWorld(t, nil)
		p := w.mustCreate("k", input("paypal"))
		w.paypal.pay(p.ID, 1)
		w.pass(20 * time.Minute) // past the early points of the schedule
		w.paypal.fail("fetch", f)
		w.comeBack(p.ID, 1)
		w.wantStatus(p.ID, payment.StatusProcessing)
		got := w.get(p.ID)
		if entry := got.History[len(got.History)-1]; !strings.Contains(entry.Source.Reason, "could not be read") || entry.After.Status != payment.StatusProcessing {
			t.Errorf("%v: the history says %+v", f, entry)
		}
		if url := w.svc.Checkout(got); url != "" {
			t.Errorf("%v: sent to pay again at %s", f, url)
		}
		if wait := got.NextSyncAt.Sub(w.now()); wait <= 0 || wait > time.Minute {
			t.Errorf("%v: read again after %s", f, wait)
		}
		w.observe(p.ID, 1)
		w.quiet(p.ID)
		w.wantStatus(p.ID, payment.StatusSucceeded)
		w.wantCaptured(p.ID, 1000)
	}
}

// Guards who came back without having paid: once that is read they can pay again, and the app hears of each change once.
func TestReturnUnreadOfNobodyWhoPaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input("paypal"))
	for range 3 {
		w.pass(time.Minute)
		w.paypal.fail("fetch", timeoutBefore)
		w.comeBack(p.ID, 1)
		w.wantStatus(p.ID, payment.StatusProcessing)
	}
	w.pass(time.Minute)
	w.observe(p.ID, 1)
	w.wantStatus(p.ID, payment.StatusRequiresAction)
	if w.svc.Checkout(w.get(p.ID)) == "" {
		t.Error("it can't be paid any more")
	}
	told := eventTypes(w.get(p.ID))
	if want := []string{"payment.processing", "payment.requires_action"}; !slices.Equal(told[max(0, len(told)-2):], want) {
		t.Errorf("told %v, want %v at the end", told, want)
	}
}

// Guards that "cancel" and a provider that answers "not there" leave a payment payable, as does a return that only stands
// beside a reading that worked.
func TestReturnUnreadOnlyWhereSomebodyMayHavePaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input("paypal"))
	w.paypal.fail("fetch", missing)
	w.comeBack(p.ID, 1)
	w.wantStatus(p.ID, payment.StatusRequiresAction)
	w.paypal.fail("fetch", timeoutBefore)
	if _, _, err := w.svc.Returned(context.Background(), p.ID, p.Token, "cancel", 1); err != nil {
		t.Fatal(err)
	}
	w.wantStatus(p.ID, payment.StatusRequiresAction)
}

// Guards the app's way out: an unread payment can be canceled, which reads it first, so that one that was paid is taken up.
func TestCancelUnread(t *testing.T) {
	t.Parallel()
	for _, paid := range []bool{false, true} {
		w := newWorld(t, nil)
		p := w.mustCreate("k", input("paypal"))
		if paid {
			w.paypal.pay(p.ID, 1)
		}
		w.paypal.fail("fetch", timeoutBefore)
		w.comeBack(p.ID, 1)
		w.wantStatus(p.ID, payment.StatusProcessing)
		_, err := w.cancel(p.ID, "c")
		if err != nil && payment.CodeOf(err) != payment.CodeConflict {
			t.Fatal(err)
		}
		w.quiet(p.ID)
		want := payment.StatusCanceled
		if paid {
			want = payment.StatusSucceeded
		}
		w.wantStatus(p.ID, want)
	}
}

// Guards the end: a payment that nobody could read any more ends at its deadline, by a reading, and not before it.
func TestUnreadEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input("stripe"))
	w.stripe.fail("fetch", timeoutBefore)
	w.comeBack(p.ID, 1)
	w.wantStatus(p.ID, payment.StatusProcessing)
	if at := w.get(p.ID).WorkAt(); !at.Equal(w.get(p.ID).ExpiresAt) {
		t.Errorf("looked at again at %s, the deadline is %s", at, w.get(p.ID).ExpiresAt)
	}
	w.pass(w.get(p.ID).ExpiresAt.Sub(w.now()) + time.Second)
	w.quiet(p.ID)
	w.wantStatus(p.ID, payment.StatusExpired)
}
