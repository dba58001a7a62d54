package payment

import "testing"

// reversal is money of a capture that the provider took back by itself.
func reversal(id, capture string, minor int64) Facts {
	return Facts{Reversals: []Reversal{{Key: stripeKey(id), Capture: capture, Amount: usd(minor), Stamp: stamp(30, 30)}}}
}

// Guards that nobody is told to pay a customer back who has the money already: what an operator ordered to be given
// back and the provider reversed by itself is not ordered any more, and not owed.
func TestReversedCaptureIsNotOwed(t *testing.T) {
	t.Parallel()
	p := owedPayment(t)
	p.Alerts = nil
	op := *onlyOp(t, p, OpRefund)
	if op.Target != "c2" {
		t.Fatalf("operation %+v", op)
	}
	p = observe(t, p, 1, 31, with(attempts(session(1, AttemptComplete, 1000, 31)), reversal("v1", "c2", 1000)))
	p = settle(t, p, op.ID, 32, Outcome{State: OpFailed, Code: CodeConflict, Failure: Failure{Code: "charge_already_refunded"}}, nil)
	if n := unsettled(p, OpRefund); n != 0 || p.Owes() || len(critical(p)) > 0 {
		t.Errorf("%d more refunds ordered, owes %v, alerts %+v", n, p.Owes(), p.Alerts)
	}
}

// Guards that a refund is taken from a capture that still has the money.
func TestRefundPassesOverWhatWasReversed(t *testing.T) {
	t.Parallel()
	f := with(manual(opened(1, "stripe")), attempts(session(1, AttemptComplete, 5000, 20)), Facts{
		Authorizations: []Authorization{authorized(1, "a1", 5000, 0, 20)},
		Captures:       []Capture{captured(1, "c1", 2000, 10), captured(1, "c2", 3000, 11)},
	}, reversal("v1", "c1", 2000))
	p := newPayment(f)
	if got := p.Amounts().Refundable; got != 3000 {
		t.Fatalf("refundable %d", got)
	}
	p = change(t, p, 40, func(c *Payment) error { return c.RequestRefund(1500, "other", command("r1", 40)) })
	if op := onlyOp(t, p, OpRefund); op.Target != "c2" {
		t.Errorf("refund of %s", op.Target)
	}
}

// Guards expected of a payment that is captured by the app: before the first capture it is what is held, discounts
// included; then what was taken.
func TestExpectedOfManualWithDiscount(t *testing.T) {
	t.Parallel()
	f := manual(opened(1, "stripe"))
	f.Terms.Flexible = true
	s := session(1, AttemptAuthorized, 4500, 20)
	s.Discount = 500
	held := with(f, attempts(s), Facts{Authorizations: []Authorization{authorized(1, "a1", 4500, 4500, 20)}})
	p := newPayment(held)
	wantStatus(t, p, StatusAuthorized)
	if a := p.Amounts(); a.Expected != 4500 || a.Discount != 500 {
		t.Errorf("held: %+v", a)
	}
	s.State = AttemptComplete
	taken := with(f, attempts(s), Facts{Authorizations: []Authorization{authorized(1, "a1", 4500, 0, 20)}, Captures: []Capture{captured(1, "c1", 4000, 15)}})
	if a := newPayment(taken).Amounts(); a.Expected != 4000 {
		t.Errorf("taken: %+v", a)
	}
	free := session(1, AttemptComplete, 0, 20)
	free.Discount = 5000
	p = newPayment(with(f, attempts(free)))
	wantStatus(t, p, StatusSucceeded)
	if a := p.Amounts(); a.Expected != 0 {
		t.Errorf("completed for nothing: %+v", a)
	}
}

// Guards that money which a provider took back by itself reaches a human, once: nothing else tells of it, as the
// payment stays succeeded. What a dispute or a refund explains, or the provider undid, is told by those.
func TestReversalAlerts(t *testing.T) {
	t.Parallel()
	done := func(asOf int) Facts { return attempts(session(1, AttemptComplete, 1000, asOf)) }
	p := observe(t, paidPayment(t), 1, 31, with(done(31), reversal("v1", "c1", 1000)))
	wantStatus(t, p, StatusSucceeded)
	wantDiff(t, "reversed", alertKinds(p), []string{"money_reversed"})
	if a := p.Alerts[0]; a.Severity != "critical" || a.Message != "The provider took 10.00 USD of a paid payment back by itself (capture c1)." {
		t.Errorf("alert %+v", a)
	}
	p.Alerts = nil
	p = observe(t, p, 1, 32, with(done(32), reversal("v1", "c1", 1000)))
	wantDiff(t, "seen again", alertKinds(p), []string{})

	for name, f := range map[string]Facts{
		"a refund": with(reversal("r1", "c1", 1000), Facts{Refunds: []Refund{refunded("r1", "c1", 1000, RefundSucceeded, 30)}}),
		"undone":   reversal("v1", "c1", 0),
	} {
		p := observe(t, paidPayment(t), 1, 31, with(done(31), f))
		wantDiff(t, name, alertKinds(p), []string{})
	}
	lost := Facts{Disputes: []Dispute{{Key: stripeKey("d1"), Capture: "c1", Amount: usd(1000), Stage: "chargeback", Status: DisputeLost, Withheld: 1000, Stamp: stamp(29, 30)}}}
	p = observe(t, paidPayment(t), 1, 31, with(done(31), lost, reversal("v1", "c1", 1000)))
	wantDiff(t, "a dispute", alertKinds(p), []string{"dispute_opened", "dispute_lost"})
}
