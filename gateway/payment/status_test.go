package payment

import (
	"testing"
)

// Guards that every row of the published table is reachable and means its
// status: each by conditions in which all weaker rows would hold as well.
func TestStatusTableRows(t *testing.T) {
	t.Parallel()
	weaker := Conditions{Conflict: true, Paid: true, Authorized: true, Processing: true, Open: true, Canceled: true, Deadline: true, Failed: true}
	peel := []struct {
		status Status
		clear  func(*Conditions)
	}{
		{StatusConflicted, func(c *Conditions) { c.Conflict = false }},
		{StatusSucceeded, func(c *Conditions) { c.Paid = false }},
		{StatusAuthorized, func(c *Conditions) { c.Authorized = false }},
		{StatusProcessing, func(c *Conditions) { c.Processing = false }},
		{StatusRequiresAction, func(c *Conditions) { c.Open = false }},
		{StatusCanceled, func(c *Conditions) { c.Canceled = false }},
		{StatusExpired, func(c *Conditions) { c.Deadline = false }},
		{StatusFailed, func(*Conditions) {}},
	}
	table := StatusTable()
	if len(table) != len(peel) {
		t.Fatalf("the table has %d rows, the promise has %d", len(table), len(peel))
	}
	for i, p := range peel {
		if table[i].Status != p.status {
			t.Errorf("row %d is %s, want %s: precedence is part of the promise", i+1, table[i].Status, p.status)
		}
		if got := weaker.Status(); got != p.status {
			t.Errorf("%+v = %s, want %s", weaker, got, p.status)
		}
		if table[i].Means == "" {
			t.Errorf("row %s says nothing for the docs", table[i].Status)
		}
		p.clear(&weaker)
	}
}

// precedence is architecture.md's order of statuses, written down a second time
// and independently of the table.
func precedence(c Conditions) Status {
	dead := c.Canceled || c.Deadline || c.Failed
	switch {
	case c.Conflict:
		return StatusConflicted
	case c.Paid:
		return StatusSucceeded
	case c.Authorized:
		return StatusAuthorized
	case c.Processing:
		return StatusProcessing
	case c.Open, !dead:
		return StatusRequiresAction
	case c.Canceled:
		return StatusCanceled
	case c.Deadline:
		return StatusExpired
	default:
		return StatusFailed
	}
}

// Guards that all 256 combinations of conditions have exactly one status, the
// one that precedence gives, and that the last row is a true rest and no trap.
func TestAllConditions(t *testing.T) {
	t.Parallel()
	for bits := range 256 {
		on := func(i int) bool { return bits>>i&1 == 1 }
		c := Conditions{on(0), on(1), on(2), on(3), on(4), on(5), on(6), on(7)}
		if got, want := c.Status(), precedence(c); got != want {
			t.Errorf("%+v = %s, want %s", c, got, want)
		}
		var first Status
		for _, row := range StatusTable() {
			if row.When(c) {
				first = row.Status
				break
			}
		}
		if first != c.Status() {
			t.Errorf("%+v: the first matching row is %q, Status says %s", c, first, c.Status())
		}
		if c.Status() == StatusFailed && !c.Failed {
			t.Errorf("%+v failed, but nothing did", c)
		}
	}
}

type factsCase struct {
	name  string
	facts Facts
	want  Status
}

func runFacts(t *testing.T, cases []factsCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := c.facts.Merge(Facts{})
			if got := f.Status(); got != c.want {
				t.Errorf("status = %s, want %s (conditions %+v, conflicts %v)", got, c.want, f.Conditions(), f.Conflicts())
			}
		})
	}
}

func with(f Facts, more ...Facts) Facts {
	for _, m := range more {
		f = f.Merge(m)
	}
	return f
}

func attempts(a ...AttemptFact) Facts         { return Facts{Attempts: a} }
func captures(c ...Capture) Facts             { return Facts{Captures: c} }
func authorizations(a ...Authorization) Facts { return Facts{Authorizations: a} }
func decisions(d ...Decision) Facts           { return Facts{Decisions: d} }

// Guards architecture.md section 3, the life of a checkout before money moves:
// an unknown creation is never failed, a decline is not the end, late money wins.
func TestStatusOfCheckouts(t *testing.T) {
	t.Parallel()
	one := automatic(opened(1, "stripe"))
	two := automatic(opened(1, "stripe"), opened(2, "paypal"))
	declined := session(1, AttemptOpen, 1000, 5)
	declined.Failure = Failure{Code: "card_declined"}
	abandoned := decisions(decision(DecisionAbandoned, 1))
	canceled, deadline := decisions(decision(DecisionCanceled, 0)), decisions(decision(DecisionDeadline, 0))
	c1 := captures(captured(1, "c1", 1000, 3))
	done := attempts(session(1, AttemptComplete, 1000, 5))
	runFacts(t, []factsCase{
		{"nothing opened yet", automatic(), StatusRequiresAction},
		{"creation without an answer", one, StatusProcessing},
		{"creation certainly failed", with(one, decisions(decision(DecisionRefused, 1))), StatusRequiresAction},
		{"creation certainly failed, deadline", with(one, decisions(decision(DecisionRefused, 1)), deadline), StatusExpired},
		{"open", with(one, attempts(session(1, AttemptOpen, 1000, 5))), StatusRequiresAction},
		{"open with a decline", with(one, attempts(declined)), StatusRequiresAction},
		{"approved", with(one, attempts(session(1, AttemptApproved, 1000, 5))), StatusProcessing},
		{"async processing", with(one, attempts(session(1, AttemptProcessing, 1000, 5))), StatusProcessing},
		{"async failed", with(one, attempts(session(1, AttemptFailed, 1000, 5))), StatusFailed},
		{"complete, capture not seen", with(one, done), StatusProcessing},
		{"captured", with(one, done, c1), StatusSucceeded},
		{"captured, attempt report lags behind", with(one, attempts(session(1, AttemptOpen, 1000, 5)), c1), StatusSucceeded},
		{"first expired, nobody opened another", with(one, attempts(session(1, AttemptExpired, 1000, 5))), StatusRequiresAction},
		{"first expired, second unknown", with(two, attempts(session(1, AttemptExpired, 1000, 5))), StatusProcessing},
		{"first abandoned, second open", with(two, attempts(session(1, AttemptOpen, 1000, 5), order(2, AttemptOpen, 1000, 5)), abandoned), StatusRequiresAction},
		{"abandoned and deadline", with(one, attempts(session(1, AttemptOpen, 1000, 5)), abandoned, deadline), StatusExpired},
		{"abandoned and canceled", with(one, attempts(session(1, AttemptOpen, 1000, 5)), abandoned, canceled), StatusCanceled},
		{"late money on expired", with(one, done, c1, deadline), StatusSucceeded},
		{"late money on canceled", with(one, done, c1, canceled), StatusSucceeded},
		{"late money on abandoned and canceled", with(one, done, c1, abandoned, canceled), StatusSucceeded},
		{"late money on failed", with(one, attempts(session(1, AttemptFailed, 1000, 5)), c1), StatusSucceeded},
		{"late pending money on expired", with(one, done, captures(pendingCapture("c1")), deadline), StatusProcessing},
	})
}

func pendingCapture(id string) Capture {
	c := captured(1, id, 1000, 3)
	c.State = CapturePending
	return c
}

func declinedCapture(id string) Capture {
	c := captured(1, id, 1000, 3)
	c.State = CaptureDeclined
	return c
}

// Guards architecture.md section 3, captures: pending is not paid, a denial
// after pending is failed, refunds and disputes never take succeeded away, and
// nothing but an agreed discount makes a free payment.
func TestStatusOfCaptures(t *testing.T) {
	t.Parallel()
	one := automatic(opened(1, "stripe"))
	done := attempts(session(1, AttemptComplete, 1000, 5))
	paid := with(one, done, captures(captured(1, "c1", 1000, 3)))
	free, cut := session(1, AttemptComplete, 0, 5), session(1, AttemptComplete, 0, 5)
	free.Discount, cut.Discount = 1000, 900
	gone := authorized(2, "a2", 1000, 0, 4)
	gone.State = AuthVoided
	flexible := one
	flexible.Terms.Flexible = true
	full := session(1, AttemptComplete, 1130, 5)
	full.Discount, full.Tax, full.Shipping = 100, 180, 50
	runFacts(t, []factsCase{
		{"pending", with(one, done, captures(pendingCapture("c1"))), StatusProcessing},
		{"pending then denied", with(one, done, captures(declinedCapture("c1"))), StatusFailed},
		{"denied then captured in the same order", with(one, done, captures(declinedCapture("c1"), captured(1, "c2", 1000, 4))), StatusSucceeded},
		{"fully refunded", with(paid, Facts{Refunds: []Refund{refunded("r1", "c1", 1000, RefundSucceeded, 4)}}), StatusSucceeded},
		{"dispute lost", with(paid, Facts{Disputes: []Dispute{{Key: stripeKey("d1"), Capture: "c1", Amount: usd(1000), Status: DisputeLost, Stage: "chargeback", Withheld: 1000}}}), StatusSucceeded},
		{"reversed", with(paid, Facts{Reversals: []Reversal{{Key: stripeKey("v1"), Capture: "c1", Amount: usd(1000)}}}), StatusSucceeded},
		{"complete for nothing, agreed discount", with(flexible, attempts(free)), StatusSucceeded},
		{"complete for nothing, another attempt was voided", with(flexible, Facts{Opened: []Attempt{opened(2, "stripe")}}, decisions(decision(DecisionAbandoned, 2)), attempts(free), authorizations(gone)), StatusSucceeded},
		{"complete for nothing, breakdown differs", with(flexible, attempts(cut)), StatusConflicted},
		{"complete for nothing, nothing of the kind agreed", with(one, attempts(session(1, AttemptComplete, 0, 5))), StatusConflicted},
		{"the same, canceled by the app", with(one, attempts(session(1, AttemptComplete, 0, 5)), decisions(decision(DecisionCanceled, 0))), StatusCanceled},
		{"discount, tax and shipping agreed", with(flexible, attempts(full), captures(captured(1, "c1", 1130, 3))), StatusSucceeded},
		{"short of discount, tax and shipping by 1", with(flexible, attempts(full), captures(captured(1, "c1", 1129, 3))), StatusConflicted},
		{"discount, tax and shipping not agreed", with(one, attempts(full), captures(captured(1, "c1", 1130, 3))), StatusConflicted},
		{"short by 1", with(one, done, captures(captured(1, "c1", 999, 3))), StatusConflicted},
		{"over by 1", with(one, done, captures(captured(1, "c1", 1001, 3))), StatusConflicted},
		{"two halves are the whole", with(one, done, captures(captured(1, "c1", 400, 3), captured(1, "c2", 600, 4))), StatusSucceeded},
	})
}

// Guards the manual half of section 3: authorized while anything is capturable,
// canceled when voided or lapsed, and the authorization's own end decides even
// where the attempt's report is older.
func TestStatusOfAuthorizations(t *testing.T) {
	t.Parallel()
	one := manual(opened(1, "stripe"))
	held := attempts(session(1, AttemptAuthorized, 5000, 5))
	active := authorizations(authorized(1, "a1", 5000, 5000, 5))
	state := func(s AuthState) Facts {
		a := authorized(1, "a1", 5000, 0, 6)
		a.State = s
		return authorizations(a)
	}
	part, whole := captures(captured(1, "c1", 1500, 4)), captures(captured(1, "c1", 5000, 4))
	renewed := authorized(1, "a2", 5000, 5000, 6)
	renewed.Replaces = "a1"
	late := captures(captured(1, "c1", 5000, 6))
	runFacts(t, []factsCase{
		{"held", with(one, held, active), StatusAuthorized},
		{"held, authorization not seen", with(one, held), StatusProcessing},
		{"authorization under review", with(one, held, state(AuthPending)), StatusProcessing},
		{"authorization denied after review", with(one, held, state(AuthDenied)), StatusFailed},
		{"partly captured, rest capturable", with(one, held, authorizations(authorized(1, "a1", 5000, 3500, 5)), part), StatusAuthorized},
		{"partly captured, rest released", with(one, held, state(AuthVoided), part), StatusSucceeded},
		{"wholly captured", with(one, held, state(AuthCaptured), whole), StatusSucceeded},
		{"captured, capture not seen", with(one, held, state(AuthCaptured)), StatusProcessing},
		{"captured, capture ahead of the snapshot", with(one, held, state(AuthCaptured), late), StatusProcessing},
		{"voided", with(one, attempts(session(1, AttemptCanceled, 5000, 6)), state(AuthVoided)), StatusCanceled},
		{"lapsed", with(one, attempts(session(1, AttemptCanceled, 5000, 6)), state(AuthExpired)), StatusCanceled},
		{"voided, attempt report lags behind", with(one, held, state(AuthVoided)), StatusCanceled},
		{"held, attempt report lags behind", with(one, attempts(session(1, AttemptOpen, 5000, 5)), active), StatusAuthorized},
		{"voided, attempt still reported open", with(one, attempts(session(1, AttemptOpen, 5000, 5)), state(AuthVoided)), StatusCanceled},
		{"voided, order still reported approved", with(one, attempts(session(1, AttemptApproved, 5000, 5)), state(AuthVoided)), StatusCanceled},
		{"lapsed, the order is gone", with(one, attempts(session(1, AttemptExpired, 5000, 6)), state(AuthExpired)), StatusCanceled},
		{"renewed: the old one no longer counts", with(one, held, state(AuthExpired), authorizations(renewed)), StatusAuthorized},
		{"held on an abandoned attempt", with(one, held, active, decisions(decision(DecisionAbandoned, 1), decision(DecisionCanceled, 0))), StatusCanceled},
		{"held for less than asked", with(one, attempts(session(1, AttemptAuthorized, 4999, 5)), authorizations(authorized(1, "a1", 4999, 4999, 5))), StatusConflicted},
	})
}

// Guards the CompleteAsOf rule: a fragment that runs ahead of its snapshot makes
// neither a success nor an alarm, and takes no success away.
func TestFragmentsRunAhead(t *testing.T) {
	t.Parallel()
	one := automatic(opened(1, "stripe"))
	open := attempts(session(1, AttemptOpen, 1000, 5))
	paid := with(one, attempts(session(1, AttemptComplete, 1000, 5)), captures(captured(1, "c1", 1000, 5)))
	runFacts(t, []factsCase{
		{"capture before its snapshot", with(one, open, captures(captured(1, "c1", 1000, 6))), StatusProcessing},
		{"capture before any snapshot", with(one, captures(captured(1, "c1", 1000, 6))), StatusProcessing},
		{"wrong capture before its snapshot", with(one, open, captures(captured(1, "c1", 77, 6))), StatusProcessing},
		{"second capture before its snapshot", with(paid, captures(captured(1, "c2", 1000, 6))), StatusSucceeded},
		{"second capture after its snapshot", with(paid, attempts(session(1, AttemptComplete, 1000, 7)), captures(captured(1, "c2", 1000, 6))), StatusConflicted},
		{"a second root of the attempt, seen in part", with(paid, attempts(AttemptFact{Key: stripeKey("cs_other"), N: 1, State: AttemptComplete, Total: usd(1000), Stamp: stamp(6, 9)})), StatusSucceeded},
	})
	f := with(one, open, Facts{Refunds: []Refund{refunded("r1", "c1", 400, RefundSucceeded, 6)}})
	if got := f.Status(); got != StatusRequiresAction || len(f.Conflicts()) > 0 {
		t.Errorf("a refund ahead of its capture: %s, %v", got, f.Conflicts())
	}
	wantDiff(t, "a refund ahead of its capture", f.Amounts(nil), Amounts{Expected: 1000, Refunded: 400})
	f = with(f, attempts(session(1, AttemptComplete, 1000, 7)), captures(captured(1, "c1", 1000, 5)))
	wantDiff(t, "and after it", f.Amounts(nil), Amounts{Expected: 1000, Captured: 1000, Refunded: 400, Refundable: 600})
}

// Guards failure codes: a lapsed authorization says so, a payment that waits or
// got its money says nothing, and an app's own cancel is no failure.
func TestFailure(t *testing.T) {
	t.Parallel()
	declined := session(1, AttemptOpen, 1000, 5)
	declined.Failure = Failure{Code: "card_declined", DeclineCode: "insufficient_funds"}
	lapsed := authorized(1, "a1", 5000, 0, 6)
	lapsed.State = AuthExpired
	gone := session(1, AttemptCanceled, 5000, 6)
	said := gone
	said.Failure = Failure{Code: "card_declined"} // the last decline before the one that worked
	paid := declined
	paid.State = AttemptComplete
	for _, c := range []struct {
		name  string
		facts Facts
		want  string
	}{
		{"decline on an open checkout", with(automatic(opened(1, "stripe")), attempts(declined)), "card_declined"},
		{"paid after a decline", with(automatic(opened(1, "stripe")), attempts(paid), captures(captured(1, "c1", 1000, 5))), ""},
		{"lapsed", with(manual(opened(1, "stripe")), attempts(gone), authorizations(lapsed)), "authorization_expired"},
		{"lapsed after a decline", with(manual(opened(1, "stripe")), attempts(said), authorizations(lapsed)), "authorization_expired"},
		{"canceled by the app, hold ran out later", with(manual(opened(1, "stripe")), attempts(gone), authorizations(lapsed), decisions(decision(DecisionCanceled, 0))), ""},
		{"nothing opened", automatic(), ""},
	} {
		if got := newPayment(c.facts).Failure().Code; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// Guards the published graph where a part of a held sum is captured by us and the rest in the dashboard, pending: the
// payment is succeeded when that is decided and not before, because a denial makes the rest capturable again.
func TestPendingCaptureOutsideKeepsManualOpen(t *testing.T) {
	t.Parallel()
	facts := func(state CaptureState, capturable int64, asOf int) Facts {
		outside := captured(1, "c2", 1000, 6)
		outside.State = state
		return with(attempts(session(1, AttemptComplete, 5000, asOf)), Facts{
			Authorizations: []Authorization{authorized(1, "a1", 5000, capturable, asOf)}, Captures: []Capture{captured(1, "c1", 4000, 5), outside},
		})
	}
	base := with(manual(opened(1, "stripe")), decisions(asked(1, "op#0000", 4000, "c1")...))
	for _, c := range []struct {
		state      CaptureState
		capturable int64
		want       Status
	}{{CaptureCompleted, 0, StatusSucceeded}, {CaptureDeclined, 1000, StatusAuthorized}} {
		p := observe(t, newPayment(base), 1, 10, facts(CapturePending, 0, 10))
		wantStatus(t, p, StatusProcessing)
		p = observe(t, p, 1, 20, facts(c.state, c.capturable, 20))
		wantStatus(t, p, c.want)
	}
}

// Guards the published graph where somebody captures the checkout that was given up with another tool: the payment that
// succeeded stays so while that is pending, and is held once it is taken.
func TestPendingCaptureInAnotherAttemptTakesNothingBack(t *testing.T) {
	t.Parallel()
	p := newPayment(with(manual(opened(1, "stripe"), opened(2, "stripe")), Facts{Decisions: []Decision{decision(DecisionAbandoned, 1)}}, attempts(session(1, AttemptOpen, 5000, 5))))
	p = observe(t, p, 2, 10, with(attempts(session(2, AttemptComplete, 5000, 10)), Facts{
		Authorizations: []Authorization{authorized(2, "a2", 5000, 0, 10)}, Captures: []Capture{captured(2, "c2", 5000, 8)},
	}))
	wantStatus(t, p, StatusSucceeded)
	outside := captured(1, "c1", 5000, 15)
	for _, c := range []struct {
		state CaptureState
		asOf  int
		want  Status
	}{{CapturePending, 20, StatusSucceeded}, {CaptureCompleted, 30, StatusConflicted}} {
		outside.State = c.state
		p = observe(t, p, 1, c.asOf, with(attempts(session(1, AttemptComplete, 5000, c.asOf)), Facts{
			Authorizations: []Authorization{authorized(1, "a1", 5000, 0, c.asOf)}, Captures: []Capture{outside},
		}))
		wantStatus(t, p, c.want)
	}
}

// Guards "failed" as a denial for good: a wallet or bank that declined on the page leaves a failed charge behind, but the
// page stayed open until nobody paid in time.
func TestDeclinedTryOnAPageThatExpired(t *testing.T) {
	t.Parallel()
	try := captured(1, "py_1", 1000, 5)
	try.State = CaptureDeclined
	seen := func(state AttemptState, asOf int) Facts {
		return with(attempts(session(1, state, 1000, asOf)), Facts{Captures: []Capture{try}})
	}
	p := observe(t, newPayment(automatic(opened(1, "stripe"))), 1, 10, seen(AttemptOpen, 10))
	wantStatus(t, p, StatusRequiresAction)
	p = observe(t, p, 1, 3500, seen(AttemptExpired, 3500))
	wantStatus(t, p, StatusRequiresAction)
	p = change(t, p, 3601, func(*Payment) error { return nil })
	wantStatus(t, p, StatusExpired)
	p = observe(t, newPayment(automatic(opened(1, "stripe"))), 1, 10, seen(AttemptFailed, 10))
	wantStatus(t, p, StatusFailed)
}
