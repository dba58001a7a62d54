package payment

import (
	"fmt"
	"testing"
	"time"
)

// approvedOrder is a payment whose order the customer approved at second 5: the
// capture is due and written down.
func approvedOrder(t *testing.T) *Payment {
	t.Helper()
	p := newPayment(automatic(opened(1, "paypal")))
	return observe(t, p, 1, 5, attempts(order(1, AttemptApproved, 1000, 5)))
}

// Guards that an approval makes exactly one capture due, over what the order
// totals, and that looking again adds none.
func TestApprovalMakesOneCaptureDue(t *testing.T) {
	t.Parallel()
	p := approvedOrder(t)
	op := onlyOp(t, p, OpCapture)
	if op.Target != "ORDER1" || op.Amount != usd(1000) || !op.Final || op.Ordered() || op.Key != ProviderKey(op.ID, 0) {
		t.Fatalf("operation %+v", op)
	}
	p = observe(t, p, 1, 7, attempts(order(1, AttemptApproved, 1000, 7)))
	onlyOp(t, p, OpCapture)

	m := newPayment(manual(opened(1, "paypal")))
	m = observe(t, m, 1, 5, attempts(order(1, AttemptApproved, 5000, 5)))
	onlyOp(t, m, OpAuthorize)
}

// declineOnce settles the pending capture with a decline at a second.
func declineOnce(t *testing.T, p *Payment, second int) *Payment {
	t.Helper()
	out := Outcome{State: OpFailed, Declined: true, Code: CodeDeclined, Failure: Failure{Code: "instrument_declined"}}
	return settle(t, p, onlyOp(t, p, OpCapture).ID, second, out, nil)
}

func unsettled(p *Payment, kind OpKind) int {
	n := 0
	for _, op := range p.Operations {
		if op.Kind == kind && !op.State.Settled() {
			n++
		}
	}
	return n
}

// Guards against a storm of captures: after a decline it is the customer's turn;
// only coming back, or approving anew, makes a capture due, with a new key, and
// five times at most.
func TestDeclinedCaptureWaitsForTheCustomer(t *testing.T) {
	t.Parallel()
	p := declineOnce(t, approvedOrder(t), 6)
	wantStatus(t, p, StatusRequiresAction)
	if unsettled(p, OpCapture) != 0 || len(p.Next(at(7))) != 0 {
		t.Fatal("a declined capture is due again by itself")
	}
	p = observe(t, p, 1, 8, attempts(withApproval(order(1, AttemptApproved, 1000, 8), at(5))))
	if unsettled(p, OpCapture) != 0 {
		t.Fatal("another reading of the same approval made a capture due")
	}
	keys := map[string]bool{p.Operations[0].Key: true}
	for declines := 2; declines <= maxDeclinedCaptures; declines++ {
		p = change(t, p, 6, func(c *Payment) error { c.Returned(at(6)); return nil }) // one virtual second for all of it
		wantStatus(t, p, StatusProcessing)
		op := onlyOp(t, p, OpCapture)
		if keys[op.Key] || op.NextAt.After(at(6)) {
			t.Fatalf("key %s used again, or the customer waits until %s", op.Key, op.NextAt)
		}
		keys[op.Key] = true
		p = declineOnce(t, p, 6)
		if unsettled(p, OpCapture) != 0 {
			t.Fatalf("after decline %d a capture is due without the customer", declines)
		}
	}
	p = change(t, p, 30, func(c *Payment) error { c.Returned(at(30)); return nil })
	p = observe(t, p, 1, 31, attempts(order(1, AttemptApproved, 1000, 31)))
	if unsettled(p, OpCapture) != 0 {
		t.Fatalf("captured more than %d times", maxDeclinedCaptures)
	}
	wantStatus(t, p, StatusRequiresAction)
}

func withApproval(a AttemptFact, when time.Time) AttemptFact {
	a.ApprovedAt = when
	return a
}

// Guards that an approval that a provider tells of makes a declined capture due once: not
// the approval that the decline spent, not one told twice, and not one of another attempt.
func TestApprovedAfterADecline(t *testing.T) {
	t.Parallel()
	approve := func(p *Payment, n, second int) *Payment {
		return change(t, p, 40, func(c *Payment) error { c.Approved(n, at(second), at(40)); return nil })
	}
	if p := approvedOrder(t); approve(p, 1, 30) != p {
		t.Error("an approval without a decline changed the payment")
	}
	p := declineOnce(t, approvedOrder(t), 6)
	for _, second := range []int{4, 6, 11} {
		if got := approve(p, 1, second); got != p {
			t.Errorf("an approval at %d made the capture declined at 6 due", second)
		}
	}
	if got := approve(p, 2, 30); got != p {
		t.Error("an approval of another attempt counts")
	}
	p = approve(p, 1, 30)
	if unsettled(p, OpCapture) != 1 {
		t.Fatal("a new approval makes no capture due")
	}
	p = declineOnce(t, p, 31)
	if p = approve(p, 1, 30); unsettled(p, OpCapture) != 0 {
		t.Error("one approval counts for two declines")
	}
}

// Guards that the app is told why the customer must act again.
func TestDeclinedCaptureIsTheFailure(t *testing.T) {
	t.Parallel()
	p := declineOnce(t, approvedOrder(t), 6)
	if got := p.Failure().Code; got != "instrument_declined" {
		t.Errorf("failure %q", got)
	}
	p = change(t, p, 7, func(c *Payment) error { c.Returned(at(7)); return nil })
	if got := p.Failure(); got != (Failure{}) {
		t.Errorf("processing again, and still failed: %+v", got)
	}
}

// Guards that "approved anew" is judged as time, not as text: fractions of a
// second and zones included.
func TestNewerApprovalMakesCaptureDue(t *testing.T) {
	t.Parallel()
	first := at(5)
	for _, c := range []struct {
		name string
		when time.Time
		due  bool
	}{
		{"same", first, false},
		{"same, other zone", first.In(time.FixedZone("", 7200)), false},
		{"older", first.Add(-time.Millisecond), false},
		{"older, other zone", first.Add(-time.Millisecond).In(time.FixedZone("", 7200)), false},
		{"half a second newer", first.Add(500 * time.Millisecond), true},
		{"newer, other zone", first.Add(time.Second).In(time.FixedZone("", -7200)), true},
	} {
		p := declineOnce(t, approvedOrder(t), 6)
		p = observe(t, p, 1, 8, attempts(withApproval(order(1, AttemptApproved, 1000, 8), c.when)))
		if got := unsettled(p, OpCapture) == 1; got != c.due {
			t.Errorf("%s: due %v, want %v", c.name, got, c.due)
		}
	}
}

// Guards I1: no second capture while money of this payment is taken, held or on
// its way, nor after our own capture took effect and only its sighting is missing.
func TestCaptureIsNotDueTwice(t *testing.T) {
	t.Parallel()
	p := approvedOrder(t)
	p = settle(t, p, onlyOp(t, p, OpCapture).ID, 6, Outcome{State: OpDone, Ref: "CAP1"}, nil)
	p = observe(t, p, 1, 7, attempts(order(1, AttemptApproved, 1000, 7))) // a lagging read
	if unsettled(p, OpCapture) != 0 {
		t.Fatal("captured again although the first capture took effect")
	}
	two := with(automatic(opened(1, "stripe"), opened(2, "paypal")), decisions(decision(DecisionAbandoned, 1)), attempts(order(2, AttemptOpen, 1000, 5)))
	for name, first := range map[string]Facts{
		"captured":      with(attempts(session(1, AttemptComplete, 1000, 6)), captures(captured(1, "c1", 1000, 5))),
		"pending":       with(attempts(session(1, AttemptComplete, 1000, 6)), captures(pendingCapture("c1"))),
		"not yet whole": with(attempts(session(1, AttemptOpen, 1000, 4)), captures(captured(1, "c1", 1000, 5))),
	} {
		p := newPayment(with(two, first))
		p = observe(t, p, 2, 8, attempts(order(2, AttemptApproved, 1000, 8)))
		if unsettled(p, OpCapture) != 0 {
			t.Errorf("%s in attempt 1, and attempt 2 is captured as well", name)
		}
		// What attempt 2 was read as whole says nothing of what attempt 1 took.
		if name == "not yet whole" {
			wantStatus(t, p, StatusProcessing)
		}
	}
	held := newPayment(manual(opened(1, "paypal")))
	held = observe(t, held, 1, 5, attempts(order(1, AttemptApproved, 5000, 5)))
	held = settle(t, held, onlyOp(t, held, OpAuthorize).ID, 6, Outcome{State: OpDone, Ref: "AUTH1"}, nil)
	held = observe(t, held, 1, 7, attempts(order(1, AttemptApproved, 5000, 7)))
	if unsettled(held, OpAuthorize) != 0 {
		t.Error("authorized again although the first authorization took effect")
	}
}

// Guards abandonment: an abandoned attempt is never captured, however often it
// is approved, and what it holds is released.
func TestAbandonedAttempt(t *testing.T) {
	t.Parallel()
	p := newPayment(with(automatic(opened(1, "paypal")), decisions(decision(DecisionAbandoned, 1)), attempts(order(1, AttemptOpen, 1000, 3))))
	p = observe(t, p, 1, 5, attempts(order(1, AttemptApproved, 1000, 5)))
	if len(p.Operations) != 0 {
		t.Fatalf("operations %+v on an abandoned attempt", p.Operations)
	}
	m := newPayment(with(manual(opened(1, "stripe")), decisions(decision(DecisionAbandoned, 1), decision(DecisionCanceled, 0)), attempts(session(1, AttemptOpen, 5000, 3))))
	m = observe(t, m, 1, 5, with(attempts(session(1, AttemptAuthorized, 5000, 5)), authorizations(authorized(1, "a1", 5000, 5000, 5))))
	op := onlyOp(t, m, OpVoid)
	if op.Target != "a1" {
		t.Fatalf("voids %q, want a1", op.Target)
	}
	wantStatus(t, m, StatusCanceled)
	if a := m.Amounts(); a.Authorized != 0 || a.Capturable != 0 {
		t.Fatalf("amounts %+v: what is held on an abandoned attempt is not the app's", a)
	}
}

// Guards that a refusal for good is no storm: a due operation that failed is due
// again later and later, and each time with its own key.
func TestRefusedDueOperationBacksOff(t *testing.T) {
	t.Parallel()
	p := approvedOrder(t)
	refused := Outcome{State: OpFailed, Code: CodeConflict}
	keys := map[string]bool{}
	for i, wait := 0, time.Duration(0); i < 13; i++ {
		op := onlyOp(t, p, OpCapture)
		if got := op.NextAt.Sub(op.CreatedAt); got < wait || i > 0 && got <= 0 || i == 12 && got < 24*time.Hour {
			t.Fatalf("refusal %d: waits %s, after %s", i, got, wait)
		} else {
			wait = got
		}
		if keys[op.Key] {
			t.Fatal("one key twice")
		}
		keys[op.Key] = true
		p = settle(t, p, op.ID, 10+i, refused, nil)
	}
}

// Guards expires_in: an open checkout is closed at the deadline and the payment
// expires; before it nothing is due; with nothing open it expires by itself; a
// payment on its way is left alone.
func TestDeadline(t *testing.T) {
	t.Parallel()
	late := int(time.Hour / time.Second)
	nothing := func(*Payment) error { return nil }
	open := newPayment(with(automatic(opened(1, "stripe")), attempts(session(1, AttemptOpen, 1000, 5))))
	if got := change(t, open, late-1, nothing); got != open {
		t.Fatal("something is due before the deadline")
	}
	open = change(t, open, late, nothing)
	op := onlyOp(t, open, OpClose)
	if op.Reason != "deadline" || open.Status() != StatusRequiresAction {
		t.Fatalf("%s %s: the checkout is closed first", op.Reason, open.Status())
	}
	open = settle(t, open, op.ID, late+1, Outcome{State: OpDone}, snapshot(1, late+1, attempts(session(1, AttemptExpired, 1000, late+1))))
	wantStatus(t, open, StatusExpired)

	halted := declineOnce(t, approvedOrder(t), 6)
	halted = change(t, halted, late, nothing)
	op = onlyOp(t, halted, OpClose)
	halted = settle(t, halted, op.ID, late+1, Outcome{State: OpDone}, snapshot(1, late+1, attempts(withApproval(order(1, AttemptApproved, 1000, late+1), at(5)))))
	wantStatus(t, halted, StatusExpired)

	for name, f := range map[string]Facts{
		"nothing opened":   automatic(),
		"creation refused": with(automatic(opened(1, "stripe")), decisions(decision(DecisionRefused, 1))),
		"checkout lapsed":  with(automatic(opened(1, "paypal")), attempts(order(1, AttemptExpired, 1000, 5))),
	} {
		p := newPayment(f)
		p.Answered = true
		if p = change(t, p, late, nothing); p.Status() != StatusExpired {
			t.Errorf("%s: %s at the deadline", name, p.Status())
		}
	}
	for name, f := range map[string]Facts{
		"unknown creation": automatic(opened(1, "stripe")),
		"approved":         with(automatic(opened(1, "paypal")), attempts(order(1, AttemptProcessing, 1000, 5))),
		"failed":           with(automatic(opened(1, "stripe")), attempts(session(1, AttemptFailed, 1000, 5))),
		"canceled":         with(automatic(), decisions(decision(DecisionCanceled, 0))),
	} {
		if p := newPayment(f); change(t, p, late, nothing) != p {
			t.Errorf("%s: the deadline changed it", name)
		}
	}
}

// Guards I1 from the other side: a payment that was paid closes what else is
// open, so that it can't be paid twice.
func TestPaidPaymentClosesOtherCheckout(t *testing.T) {
	t.Parallel()
	p := newPayment(with(automatic(opened(1, "paypal"), opened(2, "stripe")), decisions(decision(DecisionAbandoned, 1)),
		attempts(order(1, AttemptOpen, 1000, 3), session(2, AttemptOpen, 1000, 4))))
	c := captured(1, "CAP1", 1000, 5)
	c.Key = paypalKey("CAP1")
	p = observe(t, p, 1, 6, with(attempts(order(1, AttemptComplete, 1000, 6)), captures(c)))
	wantStatus(t, p, StatusSucceeded)
	if op := onlyOp(t, p, OpClose); op.N != 2 || op.Reason != "switch" {
		t.Fatalf("%+v, want attempt 2 closed", op)
	}
}

// Guards the worker's clock: it sleeps until the next operation, also when the
// deadline of the payment is long over, and forever when nothing can happen.
func TestWorkAt(t *testing.T) {
	t.Parallel()
	late := start.Add(time.Hour)
	open := newPayment(with(automatic(opened(1, "stripe")), attempts(session(1, AttemptOpen, 1000, 5))))
	if !open.WorkAt().Equal(late) {
		t.Errorf("open: %s, want its deadline", open.WorkAt())
	}
	past := change(t, open, 3600, func(*Payment) error { return nil })
	id := onlyOp(t, past, OpClose).ID
	past = settle(t, past, id, 3600, Outcome{State: OpUnknown}, nil)
	if want := past.Operation(id).NextAt; !past.WorkAt().Equal(want) || !want.After(late) {
		t.Errorf("past the deadline, close in back-off: %s, want %s", past.WorkAt(), want)
	}
	leased := approvedOrder(t)
	id = onlyOp(t, leased, OpCapture).ID
	leased.Start(id, "w1", time.Minute, PlanCall, at(6))
	if !leased.WorkAt().Equal(at(66)) {
		t.Errorf("leased: %s, want the lease's end", leased.WorkAt())
	}
	paid := newPayment(with(automatic(opened(1, "stripe")), attempts(session(1, AttemptComplete, 1000, 5)), captures(captured(1, "c1", 1000, 5))))
	if !paid.WorkAt().IsZero() {
		t.Errorf("paid: %s, want never", paid.WorkAt())
	}
	paid.Alerts = []Alert{{Kind: "late_money"}}
	if !paid.WorkAt().Equal(paid.UpdatedAt) {
		t.Errorf("an alert to store: %s, want at once", paid.WorkAt())
	}
}

// Guards the due sync: widening while the provider may still move the payment,
// daily then, and never once it is settled for good.
func TestNextSync(t *testing.T) {
	t.Parallel()
	schedule := []time.Duration{time.Minute, 10 * time.Minute}
	open := newPayment(with(automatic(opened(1, "stripe")), attempts(session(1, AttemptOpen, 1000, 5))))
	for _, c := range []struct {
		now  time.Time
		want time.Time
	}{
		{at(0), at(60)},
		{at(60), at(600)},
		{at(599), at(600)},
		{at(600), at(600).Add(24 * time.Hour)},
		{at(0).Add(29 * 24 * time.Hour), time.Time{}},
	} {
		if got := open.NextSync(schedule, c.now); !got.Equal(c.want) {
			t.Errorf("at %s: %s, want %s", c.now, got, c.want)
		}
	}
	paid := with(automatic(opened(1, "stripe")), attempts(session(1, AttemptComplete, 1000, 5)), captures(captured(1, "c1", 1000, 5)))
	fee := Facts{Fees: []Fee{{Key: stripeKey("t1"), Object: "c1", Fee: usd(59), Net: usd(941)}}}
	ordered := newPayment(with(paid, fee))
	ordered.Operations = []Operation{{ID: "rfd_1", Kind: OpRefund, Target: "c1", Amount: usd(10), State: OpDone, Ref: "r1"}}
	for _, c := range []struct {
		name string
		p    *Payment
		want bool
	}{
		{"nothing opened", newPayment(automatic()), false},
		{"canceled, nothing captured", newPayment(with(automatic(opened(1, "stripe")), attempts(session(1, AttemptExpired, 1000, 5)), decisions(decision(DecisionCanceled, 0)))), false},
		{"paid, fee not known", newPayment(paid), true},
		{"paid, fee known", newPayment(with(paid, fee)), false},
		{"refund pending", newPayment(with(paid, fee, Facts{Refunds: []Refund{refunded("r1", "c1", 10, RefundPending, 6)}})), true},
		{"refund done but never seen", ordered, true},
		{"dispute open", newPayment(with(paid, fee, Facts{Disputes: []Dispute{{Key: stripeKey("d1"), Status: DisputeUnderReview}}})), true},
		{"dispute lost", newPayment(with(paid, fee, Facts{Disputes: []Dispute{{Key: stripeKey("d1"), Status: DisputeLost}}})), false},
	} {
		if got := !c.p.NextSync(schedule, at(0)).IsZero(); got != c.want {
			t.Errorf("%s: syncs %v, want %v", c.name, got, c.want)
		}
	}
}

// Guards that a customer who comes back without a decline, or to nothing,
// changes nothing, and that coming back twice counts once.
func TestReturned(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]*Payment{
		"open":     newPayment(with(automatic(opened(1, "stripe")), attempts(session(1, AttemptOpen, 1000, 5)))),
		"nothing":  newPayment(automatic()),
		"approved": approvedOrder(t),
	} {
		if got := change(t, p, 9, func(c *Payment) error { c.Returned(at(9)); return nil }); got != p {
			t.Errorf("%s: coming back changed it", name)
		}
	}
	p := declineOnce(t, approvedOrder(t), 6)
	for i := range 3 {
		p = change(t, p, 9, func(c *Payment) error { c.Returned(at(9)); return nil })
		if n := unsettled(p, OpCapture); n != 1 {
			t.Fatal(fmt.Sprint("return ", i, " leaves ", n, " captures due"))
		}
	}
}

// A refund that succeeded can still fail, and not every provider lists that anew: it
// is read again daily for a while, however old the payment is, and then no more.
func TestRefundIsReadAgain(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	key := func(id string) ObjectKey { return ObjectKey{Provider: "stripe", Account: "a", ID: id} }
	usd := Money{Minor: 1999, Currency: "usd"}
	stamp := Stamp{Created: at, AsOf: at}
	refunded := at.Add(60 * 24 * time.Hour)
	p := New("pay_1", "shop", ModeTest, Terms{Amount: usd}, Request{ExpiresIn: time.Hour}, "t", at)
	p.Facts = p.Facts.Merge(Facts{
		Opened:   []Attempt{{N: 1, Provider: "stripe", Account: "a", CreatedAt: at}},
		Attempts: []AttemptFact{{Key: key("cs_1"), N: 1, State: AttemptComplete, Total: usd, Stamp: stamp, CompleteAsOf: at}},
		Captures: []Capture{{Key: key("ch_1"), N: 1, Amount: usd, State: CaptureCompleted, Stamp: stamp}},
		Fees:     []Fee{{Key: key("txn_1"), Object: "ch_1", Fee: Money{Minor: 88, Currency: "usd"}, Net: Money{Minor: 1911, Currency: "usd"}}},
	})
	if next := p.NextSync(nil, at.Add(time.Hour)); !next.IsZero() {
		t.Errorf("a paid payment is settled for good, next sync %v", next)
	}
	p.Facts = p.Facts.Merge(Facts{Refunds: []Refund{{
		Key: key("re_1"), Capture: "ch_1", Amount: usd, State: RefundSucceeded, Stamp: Stamp{Created: refunded, AsOf: refunded},
	}}})
	now := refunded.Add(24 * time.Hour)
	if next := p.NextSync(nil, now); !next.Equal(now.Add(24 * time.Hour)) {
		t.Errorf("next sync %v, want a day later", next)
	}
	if next := p.NextSync(nil, refunded.Add(15*24*time.Hour)); !next.IsZero() {
		t.Errorf("next sync %v two weeks after the refund, want none", next)
	}
}

// Promise: a refund that is not through, or a dispute that is open, is read daily
// until it ends, however old the payment is: its end moves no balance and need not be
// listed anew, so a webhook that is lost would leave it open for ever.
func TestOpenRefundsAndDisputesAreReadToTheirEnd(t *testing.T) {
	t.Parallel()
	fee := Facts{Fees: []Fee{{Key: stripeKey("t1"), Object: "c1", Fee: usd(59), Net: usd(941)}}}
	paid := with(automatic(opened(1, "stripe")), attempts(session(1, AttemptComplete, 1000, 5)), captures(captured(1, "c1", 1000, 5)), fee)
	refund := func(s RefundState) Facts { return Facts{Refunds: []Refund{refunded("r1", "c1", 10, s, 6)}} }
	dispute := func(stage string, s DisputeStatus) Facts {
		return Facts{Disputes: []Dispute{{Key: stripeKey("d1"), Capture: "c1", Stage: stage, Status: s}}}
	}
	now := at(0).Add(400 * 24 * time.Hour)
	for name, c := range map[string]struct {
		facts Facts
		daily bool
	}{
		"refund pending":         {refund(RefundPending), true},
		"refund requires action": {refund(RefundRequiresAction), true},
		"refund succeeded":       {refund(RefundSucceeded), false},
		"refund failed":          {refund(RefundFailed), false},
		"refund canceled":        {refund(RefundCanceled), false},
		"dispute needs response": {dispute("chargeback", DisputeNeedsResponse), true},
		"dispute under review":   {dispute("chargeback", DisputeUnderReview), true},
		"inquiry needs response": {dispute("inquiry", DisputeNeedsResponse), true},
		"inquiry under review":   {dispute("inquiry", DisputeUnderReview), true},
		"dispute won":            {dispute("chargeback", DisputeWon), false},
		"dispute lost":           {dispute("chargeback", DisputeLost), false},
		"inquiry closed":         {dispute("inquiry", DisputeClosed), false},
		"nothing open":           {Facts{}, false},
	} {
		want := time.Time{}
		if c.daily {
			want = now.Add(24 * time.Hour)
		}
		if got := newPayment(with(paid, c.facts)).NextSync(nil, now); !got.Equal(want) {
			t.Errorf("%s: next sync %v, want %v", name, got, want)
		}
	}
	held := newPayment(with(automatic(opened(1, "paypal")), attempts(order(1, AttemptProcessing, 1000, 5)), captures(pendingCapture("c1"))))
	if got := held.NextSync(nil, now); !got.Equal(now.Add(24 * time.Hour)) {
		t.Errorf("a capture that is held: next sync %v, want a day later", got)
	}
	beside := newPayment(with(paid, captures(pendingCapture("c2"))))
	if got := beside.NextSync(nil, now); !got.Equal(now.Add(24 * time.Hour)) {
		t.Errorf("a capture that is pending beside a paid one: next sync %v, want a day later", got)
	}
}
