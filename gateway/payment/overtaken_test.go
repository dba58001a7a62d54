package payment

import "testing"

// twoApproved is a payment whose first order was gone (a 404 for a while), was followed by a second one, and came back:
// the customer has approved both.
func twoApproved(t *testing.T) *Payment {
	t.Helper()
	p := newPayment(automatic(opened(1, "paypal"), opened(2, "paypal")))
	p = observe(t, p, 1, 5, attempts(order(1, AttemptExpired, 1000, 5)))
	p = observe(t, p, 2, 6, attempts(order(2, AttemptOpen, 1000, 6)))
	p = observe(t, p, 2, 7, with(attempts(order(1, AttemptApproved, 1000, 7)), attempts(order(2, AttemptApproved, 1000, 7))))
	return p
}

// Guards I1 where two orders of one payment are approved: one capture at a time, and none once the other has the money.
func TestOneCaptureAmongAttempts(t *testing.T) {
	t.Parallel()
	p := twoApproved(t)
	op := *onlyOp(t, p, OpCapture)
	if op.N != 1 {
		t.Fatalf("operation %+v", op)
	}
	p = settle(t, p, op.ID, 8, Outcome{State: OpUnknown}, nil)
	p = observe(t, p, 2, 9, attempts(order(2, AttemptApproved, 1000, 9)))
	if n := unsettled(p, OpCapture); n != 1 {
		t.Fatalf("%d captures while the outcome of one is unknown", n)
	}
	paid := with(attempts(order(1, AttemptComplete, 1000, 10)), Facts{Captures: []Capture{{
		Key: paypalKey("CAP1"), N: 1, Amount: usd(1000), State: CaptureCompleted, Stamp: stamp(8, 10),
	}}})
	p = settle(t, p, op.ID, 10, Outcome{State: OpDone, Ref: "CAP1"}, snapshot(1, 10, paid))
	p = observe(t, p, 2, 11, attempts(order(2, AttemptApproved, 1000, 11)))
	wantStatus(t, p, StatusSucceeded)
	if n := unsettled(p, OpCapture); n != 0 {
		t.Fatalf("%d captures of a payment that is paid", n)
	}
	declined := settle(t, twoApproved(t), op.ID, 8, Outcome{State: OpFailed, Declined: true, Code: CodeDeclined}, nil)
	if next := onlyOp(t, declined, OpCapture); next.N != 2 {
		t.Fatalf("after a decline of the first: %+v", next)
	}
}

// Guards I1 and the word that an app was given: an order that comes back after the payment ended is not captured, and
// does not make the payment one that waits for money.
func TestApprovalAfterTheEndIsNotCaptured(t *testing.T) {
	t.Parallel()
	for kind, want := range map[DecisionKind]Status{DecisionDeadline: StatusExpired, DecisionCanceled: StatusCanceled} {
		p := newPayment(with(automatic(opened(1, "paypal")), decisions(decision(kind, 0))))
		p = observe(t, p, 1, 5, attempts(order(1, AttemptExpired, 1000, 5)))
		p.Outbox = nil
		p = observe(t, p, 1, 6, attempts(order(1, AttemptApproved, 1000, 6)))
		wantStatus(t, p, want)
		if len(p.Operations) > 0 || len(p.Alerts) > 0 || len(p.Outbox) > 0 {
			t.Errorf("%s: operations %+v, alerts %v, events %v", kind, p.Operations, alertKinds(p), eventTypes(p))
		}
		p = observe(t, p, 1, 3601, attempts(order(1, AttemptOpen, 1000, 3601)))
		wantStatus(t, p, want)
		if onlyOp(t, p, OpClose); len(p.Outbox) > 0 {
			t.Errorf("%s: open again: events %v", kind, eventTypes(p))
		}
	}
}

// Guards which captures are given up before they are sent: those that became due by themselves, that certainly did
// nothing yet, and that are due no more.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	money := Facts{Captures: []Capture{captured(2, "ch_late", 1000, 6)}}
	elsewhere := with(automatic(opened(1, "paypal"), opened(2, "stripe")), attempts(order(1, AttemptApproved, 1000, 5), session(2, AttemptComplete, 1000, 7)))
	waiting := Operation{ID: "op", Kind: OpCapture, N: 1, By: worker, State: OpPending, Tries: 1}
	edit := func(fn func(*Operation)) Operation {
		op := waiting
		fn(&op)
		return op
	}
	for name, c := range map[string]struct {
		f    Facts
		op   Operation
		want bool
	}{
		"nothing happened":      {elsewhere, waiting, false},
		"paid elsewhere":        {with(elsewhere, money), waiting, true},
		"pending elsewhere":     {with(elsewhere, Facts{Captures: []Capture{{Key: stripeKey("ch"), N: 2, Amount: usd(1000), State: CapturePending, Stamp: stamp(6, 6)}}}), waiting, true},
		"conflict":              {with(elsewhere, Facts{Captures: []Capture{captured(2, "ch_late", 999, 6)}}), waiting, true},
		"ended":                 {with(elsewhere, decisions(decision(DecisionCanceled, 0))), waiting, true},
		"abandoned":             {with(elsewhere, decisions(decision(DecisionAbandoned, 1))), waiting, true},
		"its order lapsed":      {with(automatic(opened(1, "paypal")), attempts(order(1, AttemptExpired, 1000, 5))), waiting, true},
		"perhaps done":          {with(elsewhere, money), edit(func(op *Operation) { op.State = OpUnknown }), false},
		"an earlier key, too":   {with(elsewhere, money), edit(func(op *Operation) { op.Generation = 1 }), false},
		"another try, perhaps":  {with(elsewhere, money), edit(func(op *Operation) { op.Ambiguous = true }), false},
		"the app asked for it":  {with(elsewhere, money, decisions(asked(1, waiting.run(), 1000, "")...)), waiting, false},
		"not a capture":         {with(elsewhere, money), edit(func(op *Operation) { op.Kind = OpRefund }), false},
		"an authorization, too": {with(elsewhere, money), edit(func(op *Operation) { op.Kind = OpAuthorize }), true},
	} {
		if got := newPayment(c.f).Overtaken(c.op); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
