package payment

import (
	"fmt"
	"slices"
	"strings"
)

// Status is what a payment is, for the app.
type Status string

// The statuses, in order of precedence.
const (
	StatusConflicted     Status = "conflicted"
	StatusSucceeded      Status = "succeeded"
	StatusAuthorized     Status = "authorized"
	StatusProcessing     Status = "processing"
	StatusRequiresAction Status = "requires_action"
	StatusCanceled       Status = "canceled"
	StatusExpired        Status = "expired"
	StatusFailed         Status = "failed"
)

// Conditions are the yes-or-no questions that decide a status. Each is read off
// facts by Facts.Conditions.
type Conditions struct {
	Conflict   bool // captured money differs from what was asked, in a way no operator has settled
	Paid       bool // what was asked is captured, or a complete attempt asked for nothing
	Authorized bool // funds are held and can still be captured
	Processing bool // an outcome is on its way: creation unknown, approved, pending
	Open       bool // some customer can still pay
	Canceled   bool // the app canceled, or the authorization was voided or lapsed
	Deadline   bool // expires_in went by
	Failed     bool // an attempt was denied for good after processing
}

// StatusRow is one row of the status table. The first row whose When holds
// decides.
type StatusRow struct {
	Status Status
	When   func(Conditions) bool
	Means  string // for docs/state-machine.md
}

// StatusTable is the whole of the state machine's decision, in precedence order.
// It is printed into docs/state-machine.md and every row is tested.
func StatusTable() []StatusRow {
	t := statusTable()
	return t[:]
}

// statusTable is an array, which costs no memory: statuses are read off facts many
// times a request.
func statusTable() [8]StatusRow {
	return [...]StatusRow{
		{
			StatusConflicted, func(c Conditions) bool { return c.Conflict },
			"Captured money differs from what was asked (amount, currency, account, a second capture). Held until an operator accepts or refunds.",
		},
		{
			StatusSucceeded, func(c Conditions) bool { return c.Paid },
			"The expected amount is captured. Refunds and disputes do not change this; late money reaches it from any dead status.",
		},
		{
			StatusAuthorized, func(c Conditions) bool { return c.Authorized },
			"Funds are held and capturable, also while partly captured.",
		},
		{
			StatusProcessing, func(c Conditions) bool { return c.Processing },
			"The outcome is on its way: a creation or capture without an answer, an approval being captured, money pending, a customer who came back while the provider could not be read.",
		},
		{
			StatusRequiresAction, func(c Conditions) bool { return c.Open || !(c.Canceled || c.Deadline || c.Failed) },
			"The customer can pay: at the provider's page (again, after a decline), or on our page where the next attempt opens.",
		},
		{
			StatusCanceled, func(c Conditions) bool { return c.Canceled },
			"Canceled before money moved, or the authorization was voided or lapsed.",
		},
		{
			StatusExpired, func(c Conditions) bool { return c.Deadline },
			"Nobody paid or authorised before expires_in.",
		},
		{
			StatusFailed, func(Conditions) bool { return true },
			"The provider denied the money after processing. A retry is a new payment.",
		},
	}
}

// Status is what the facts say by themselves. Payment.Status, which also knows of calls
// without an answer, is what a payment is.
func (f Facts) Status() Status { return f.Conditions().Status() }

// Status decides, by the table's answer to these conditions. It is the only place in the
// program that does.
func (c Conditions) Status() Status {
	for _, row := range statusTable() {
		if row.When(c) {
			return row.Status
		}
	}
	return StatusFailed
}

// Conditions answers the table's questions from the facts.
func (f Facts) Conditions() Conditions {
	c := Conditions{
		Conflict: len(f.Conflicts()) > 0,
		Canceled: f.decided(DecisionCanceled, 0),
		Deadline: f.decided(DecisionDeadline, 0),
	}
	ended := c.Canceled || c.Deadline
	for _, a := range f.Opened {
		if f.Abandoned(a.N) || f.decided(DecisionRefused, a.N) {
			continue
		}
		fact, known := f.AttemptFact(a.N)
		switch {
		case !known:
			c.Processing = true // its creation has no answer yet
		case f.begun(a.N) && fact.State != AttemptCanceled && fact.State != AttemptFailed:
			f.outcome(fact, &c)
		case f.refused(fact):
			c.Failed = true
		case ended && (fact.State == AttemptOpen || fact.State == AttemptApproved):
			// It was gone when the payment ended, and came back: it is closed, and never captured.
		case fact.State == AttemptOpen, fact.State == AttemptApproved && f.halted(fact):
			c.Open = true
			c.Processing = c.Processing || f.unread(fact) // they have most likely paid: reading tells
		case fact.State == AttemptApproved, fact.State == AttemptProcessing:
			c.Processing = true
		case fact.State == AttemptCanceled:
			c.Canceled = true
		case fact.State == AttemptFailed:
			c.Failed = true
		default: // authorized, complete, expired: what lies below it tells
			f.outcome(fact, &c)
		}
	}
	captured := f.acceptedCaptures()
	c.Authorized = f.capturable() > 0
	c.Paid = len(captured) > 0 || f.completeForNothing()
	if f.Terms.Manual {
		// A capture that is pending, whoever made it, can be denied, and then what it holds can be captured again.
		c.Paid = c.Paid && !c.Authorized && !f.captureOutstanding() && !f.pendingBeside(captured)
		c.Processing = c.Processing || f.captureOutstanding()
	}
	c.Processing = c.Processing || len(f.uncounted()) > 0 || f.pendingCapture()
	if f.refundedByOperator() && len(captured) == 0 {
		c.Canceled = true
	}
	return c
}

// outcome reads what became of an attempt that was executed (or lapsed) off the
// authorizations and captures below it. Money taken, pending or held has
// conditions of its own.
func (f Facts) outcome(fact AttemptFact, c *Conditions) {
	captures := map[CaptureState]bool{}
	for _, capture := range f.Captures {
		if capture.N == fact.N {
			captures[capture.State] = true
		}
	}
	auths := map[AuthState]bool{}
	for _, a := range f.currentAuthorizations() {
		if a.N == fact.N {
			auths[a.State] = true
		}
	}
	switch {
	case captures[CaptureCompleted] || captures[CapturePending]:
	case auths[AuthActive] || auths[AuthPending] || auths[AuthCaptured]:
		c.Processing = true // unless Authorized, which goes before
	case auths[AuthVoided] || auths[AuthExpired]:
		c.Canceled = true
	case fact.State == AttemptExpired: // what was declined on a page that stayed open was no more than a try
	case auths[AuthDenied] || captures[CaptureDeclined]:
		c.Failed = true
	case fact.Total.Minor > 0:
		c.Processing = true // executed, and nothing below it is known yet
	}
}

// begun says whether money below attempt n was ever taken, held or on its way. A
// report of the attempt that calls it open or approved is then older than that.
func (f Facts) begun(n int) bool {
	return slices.ContainsFunc(f.Captures, func(c Capture) bool { return c.N == n && c.State != CaptureDeclined }) ||
		slices.ContainsFunc(f.Authorizations, func(a Authorization) bool { return a.N == n && a.State != AuthDenied })
}

// refused says that an order which is shown as open or approved is over: its money was
// taken for and denied, which completes an order (PayPal OpenAPI orders v2: capture
// status DECLINED), so the reading is older than what it follows. A page of Stripe's stays
// open after a charge that was declined.
func (f Facts) refused(fact AttemptFact) bool {
	if fact.Kind != "order" || fact.State != AttemptOpen && fact.State != AttemptApproved {
		return false
	}
	return slices.ContainsFunc(f.Captures, func(c Capture) bool { return c.N == fact.N && c.State == CaptureDeclined }) ||
		slices.ContainsFunc(f.Authorizations, func(a Authorization) bool { return a.N == fact.N && a.State == AuthDenied })
}

// executed says whether a complete attempt's outcome is already told by other
// facts: a capture of any state, or an authorization.
func (f Facts) executed(n int) bool {
	for _, c := range f.Captures {
		if c.N == n {
			return true
		}
	}
	for _, a := range f.Authorizations {
		if a.N == n {
			return true
		}
	}
	return false
}

func (f Facts) completeForNothing() bool {
	return slices.ContainsFunc(f.Attempts, f.completedForNothing)
}

// completedForNothing says whether an attempt was completed without money
// because nothing was expected: a discount of the whole amount, where the
// payment allows one.
func (f Facts) completedForNothing(a AttemptFact) bool {
	if !a.free() || f.executed(a.N) {
		return false
	}
	expected, problem := f.expectedOf(a.N)
	return expected == 0 && problem == ""
}

func (f Facts) pendingCapture() bool {
	for _, c := range f.Captures {
		if c.State == CapturePending {
			return true
		}
	}
	return false
}

// pendingBeside says whether a capture is pending in an attempt that one of these is of.
// In another one, which was given up, it keeps no payment from having succeeded.
func (f Facts) pendingBeside(captured []Capture) bool {
	return slices.ContainsFunc(f.Captures, func(c Capture) bool {
		return c.State == CapturePending && slices.ContainsFunc(captured, func(done Capture) bool { return done.N == c.N })
	})
}

func (f Facts) refundedByOperator() bool {
	for _, d := range f.Decisions {
		if d.Kind == DecisionRefund {
			return true
		}
	}
	return false
}

// decided says whether a decision of this kind was taken for attempt n (0: for
// the payment as a whole).
func (f Facts) decided(kind DecisionKind, n int) bool {
	for _, d := range f.Decisions {
		if d.Kind == kind && d.N == n {
			return true
		}
	}
	return false
}

// Abandoned says whether attempt n must not be paid or captured any more.
func (f Facts) Abandoned(n int) bool { return f.decided(DecisionAbandoned, n) }

// Refused says whether creating attempt n certainly failed.
func (f Facts) Refused(n int) bool { return f.decided(DecisionRefused, n) }

// AttemptFact is the provider's report of attempt n. The newest one counts
// should there ever be two roots.
func (f Facts) AttemptFact(n int) (AttemptFact, bool) {
	var found AttemptFact
	ok := false
	for _, a := range f.Attempts {
		if a.N == n && (!ok || compareAttempts(found, a) < 0) {
			found, ok = a, true
		}
	}
	return found, ok
}

// Latest is the newest attempt, and whether there is any.
func (f Facts) Latest() (Attempt, bool) {
	if len(f.Opened) == 0 {
		return Attempt{}, false
	}
	return f.Opened[len(f.Opened)-1], true
}

// Live is the attempt in which a customer can still pay or has agreed to: open,
// approved, or of unknown creation. There is at most one.
func (f Facts) Live() (Attempt, bool) {
	for i := len(f.Opened) - 1; i >= 0; i-- {
		a := f.Opened[i]
		if f.Abandoned(a.N) || f.Refused(a.N) {
			continue
		}
		fact, known := f.AttemptFact(a.N)
		if !known || !fact.State.Dead() && fact.State != AttemptComplete {
			return a, true
		}
	}
	return Attempt{}, false
}

// Winner is the attempt that holds the money, else the latest.
func (f Facts) Winner() (Attempt, bool) {
	for _, c := range f.acceptedCaptures() {
		if a, ok := f.opened(c.N); ok {
			return a, true
		}
	}
	for _, auth := range f.effectiveAuthorizations() {
		if a, ok := f.opened(auth.N); ok {
			return a, true
		}
	}
	return f.Latest()
}

func (f Facts) opened(n int) (Attempt, bool) {
	for _, a := range f.Opened {
		if a.N == n {
			return a, true
		}
	}
	return Attempt{}, false
}

// StateMachineDoc prints the table as the Markdown of docs/state-machine.md.
func StateMachineDoc() string {
	var b strings.Builder
	b.WriteString("# The state machine\n\nThis page is printed from `payment.StatusTable`; `make docs` writes it and a test compares it.\n\n")
	b.WriteString("A status is never stored as an opinion: it is read off facts, the first matching row wins.\n\n")
	b.WriteString("| # | status | means |\n|---|---|---|\n")
	for i, row := range StatusTable() {
		fmt.Fprintf(&b, "| %d | `%s` | %s |\n", i+1, row.Status, row.Means)
	}
	b.WriteString("\n## Which conditions lead where\n\n")
	b.WriteString("Every combination of the eight conditions has exactly one status; these are the combinations with one condition set.\n\n")
	b.WriteString("| condition | status |\n|---|---|\n")
	for _, one := range SingleConditions() {
		fmt.Fprintf(&b, "| %s | `%s` |\n", one.Name, one.Set.Status())
	}
	b.WriteString("\n## Which status may follow which\n\n| from | to |\n|---|---|\n")
	for _, from := range StatusTable() {
		var to []string
		for _, t := range StatusTable() {
			if MayFollow(from.Status, t.Status) && from.Status != t.Status {
				to = append(to, "`"+string(t.Status)+"`")
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", from.Status, strings.Join(to, ", "))
	}
	b.WriteString("\n## Which capture, refund or authorization entry wins when two sightings differ\n\n| set | order, weakest first |\n|---|---|\n")
	fmt.Fprintf(&b, "| captures | %s, then amount, then provider time |\n", join(captureStates))
	fmt.Fprintf(&b, "| refunds | %s, then provider time |\n", join(refundStates))
	fmt.Fprintf(&b, "| attempts | provider time, then %s, then time of approval |\n", join(attemptStates))
	fmt.Fprintf(&b, "| authorizations | provider time, then %s, then less left to capture |\n", join(authStates))
	fmt.Fprintf(&b, "| disputes | provider time, then %s, then more answers submitted, then less withheld, then more of its fee returned |\n", join(disputeStates))
	return b.String()
}

func join[S ~string](states []S) string {
	out := make([]string, len(states))
	for i, s := range states {
		out[i] = string(s)
	}
	return strings.Join(out, " < ")
}

// NamedConditions is one set of conditions with a name, for docs and tests.
type NamedConditions struct {
	Name string
	Set  Conditions
}

// SingleConditions are the sets with exactly one condition, and the empty one.
func SingleConditions() []NamedConditions {
	return []NamedConditions{
		{"none: nothing opened yet, or every attempt dead while the payment is open", Conditions{}},
		{"conflict", Conditions{Conflict: true}},
		{"paid", Conditions{Paid: true}},
		{"authorized", Conditions{Authorized: true}},
		{"processing", Conditions{Processing: true}},
		{"open", Conditions{Open: true}},
		{"canceled", Conditions{Canceled: true}},
		{"deadline", Conditions{Deadline: true}},
		{"failed", Conditions{Failed: true}},
	}
}

// MayFollow is the published graph: whether a payment seen as from may next be
// seen as to. Statuses do not only move forward: late money revives the dead,
// and a conflict has an exit.
func MayFollow(from, to Status) bool {
	if from == to || to == StatusConflicted {
		return true
	}
	switch from {
	case StatusConflicted:
		return true // resolved by an operator, or the approval that differed lapsed
	case StatusSucceeded:
		return false
	case StatusAuthorized:
		return to == StatusSucceeded || to == StatusCanceled || to == StatusProcessing
	case StatusCanceled, StatusExpired, StatusFailed:
		return to == StatusSucceeded || to == StatusAuthorized || to == StatusProcessing
	case StatusProcessing, StatusRequiresAction:
		return true
	}
	return false
}
