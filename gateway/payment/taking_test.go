package payment

import (
	"errors"
	"testing"
)

// lostCapture is a payment whose approved order was told to be captured, with no answer.
func lostCapture(t *testing.T) *Payment {
	t.Helper()
	p := approvedOrder(t)
	return settle(t, p, onlyOp(t, p, OpCapture).ID, 6, Outcome{State: OpUnknown}, nil)
}

// Guards against charging twice: while nobody knows whether our own capture took the money,
// the payment is being processed and no other checkout can be opened, whatever a reading
// makes of the order: a 404 that passes, a replica behind, a word that nobody knows.
func TestCaptureWithoutAnAnswerIsProcessing(t *testing.T) {
	t.Parallel()
	for _, state := range []AttemptState{AttemptExpired, AttemptOpen, AttemptApproved, AttemptCanceled} {
		p := observe(t, lostCapture(t), 1, 20, attempts(order(1, state, 1000, 20)))
		wantStatus(t, p, StatusProcessing)
		var refused *Error
		if err := p.Clone().OpenAttempt("stripe", "stripe-eu", command("switch", 21)); !errors.As(err, &refused) || refused.Code != CodeConflict {
			t.Errorf("%s: another checkout: %v, want it refused", state, err)
		}
	}

	// Known to be taken, it is paid; known not to be, the customer pays elsewhere.
	taken := captured(1, "c1", 1000, 6)
	taken.Key = paypalKey("c1")
	paid := with(attempts(order(1, AttemptComplete, 1000, 20)), captures(taken))
	wantStatus(t, observe(t, lostCapture(t), 1, 20, paid), StatusSucceeded)
	p := observe(t, lostCapture(t), 1, 20, attempts(order(1, AttemptExpired, 1000, 20)))
	p = settle(t, p, onlyOp(t, p, OpCapture).ID, 30, Outcome{State: OpFailed, Code: CodeConflict}, nil)
	wantStatus(t, p, StatusRequiresAction)
	change(t, p, 31, func(c *Payment) error { return c.OpenAttempt("stripe", "stripe-eu", command("switch", 31)) })
}

// Guards that a checkout completed for nothing stays paid: no money below it would say so
// against a reading that lags, or has a status that nobody knows.
func TestCompletedForNothingStaysPaid(t *testing.T) {
	t.Parallel()
	free := session(1, AttemptComplete, 0, 5)
	free.Discount = 1000
	p := newPayment(automatic(opened(1, "stripe")))
	p.Facts.Terms.Flexible = true
	p = observe(t, p, 1, 5, attempts(free))
	wantStatus(t, p, StatusSucceeded)
	for i, state := range []AttemptState{AttemptOpen, AttemptProcessing, AttemptExpired} {
		later := session(1, state, 0, 6+i)
		later.Discount = 1000
		p = observe(t, p, 1, 6+i, attempts(later))
		wantStatus(t, p, StatusSucceeded)
	}
	if got := eventTypes(p); len(got) != 1 {
		t.Errorf("told %v, want one event", got)
	}
}

// Guards that an order whose money was denied stays failed, and is not captured again, when
// a replica behind shows it as it was. A page of Stripe's stays open after a decline.
func TestRefusedOrderStaysFailed(t *testing.T) {
	t.Parallel()
	denied := declinedCapture("c1")
	denied.Key = paypalKey("c1")
	for _, state := range []AttemptState{AttemptOpen, AttemptApproved} {
		p := approvedOrder(t)
		p = settle(t, p, onlyOp(t, p, OpCapture).ID, 6, Outcome{State: OpDone, Ref: "c1"}, nil)
		p = observe(t, p, 1, 7, with(attempts(order(1, AttemptFailed, 1000, 7)), captures(denied)))
		wantStatus(t, p, StatusFailed)
		p = observe(t, p, 1, 9, attempts(order(1, state, 1000, 9)))
		wantStatus(t, p, StatusFailed)
		if n := unsettled(p, OpCapture); n != 0 {
			t.Errorf("%s: %d captures are due", state, n)
		}
		if len(p.Alerts) != 0 {
			t.Errorf("%s: alerts %v", state, alertKinds(p))
		}
	}
	p := newPayment(automatic(opened(1, "stripe")))
	p = observe(t, p, 1, 5, with(attempts(session(1, AttemptOpen, 1000, 5)), captures(denied)))
	wantStatus(t, p, StatusRequiresAction)
}
