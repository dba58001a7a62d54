package payment

import (
	"fmt"
	"slices"
	"strings"
)

// Amounts are the sums over a payment's facts, in minor units of the payment's
// own currency. They are computed, never stored.
type Amounts struct {
	Expected      int64 // what must be captured in the end
	Discount      int64
	Tax           int64
	Shipping      int64
	Authorized    int64 // held at most, of the authorizations in force
	Capturable    int64
	Captured      int64 // completed captures
	Refunded      int64 // succeeded refunds
	RefundPending int64 // refunds on their way, our own not yet observed ones included
	Disputed      int64 // withheld or lost, plus reversals nothing else explains
	Refundable    int64 // max(0, captured - refunded - refund_pending - disputed)
	Fee           []Money
	Net           []Money
}

// Amounts computes the sums. operations are the payment's own, so that a refund
// that was asked for but not yet seen counts exactly once.
func (f Facts) Amounts(operations []Operation) Amounts {
	currency := f.Terms.Amount.Currency
	a := Amounts{Expected: f.Terms.Amount.Minor, Capturable: f.capturable()}
	if fact, ok := f.settlingAttempt(); ok && f.Terms.Flexible && fact.Total.Currency == currency {
		a.Expected, a.Discount, a.Tax, a.Shipping = fact.Total.Minor, fact.Discount, fact.Tax, fact.Shipping
	}
	for _, auth := range f.effectiveAuthorizations() {
		if auth.Amount.Currency == currency {
			a.Authorized += auth.Amount.Minor
		}
	}
	for _, c := range f.Captures {
		if c.State == CaptureCompleted && c.Amount.Currency == currency {
			a.Captured += c.Amount.Minor
		}
	}
	if f.Terms.Manual {
		a.Expected = 0
		for _, c := range f.acceptedCaptures() {
			a.Expected += c.Amount.Minor
		}
		if a.Expected == 0 {
			a.Expected = f.Terms.Amount.Minor
		}
	}
	a.Refunded, a.RefundPending = f.refundSums(operations)
	a.Disputed = f.disputed()
	a.Refundable = max(0, a.Captured-a.Refunded-a.RefundPending-a.Disputed)
	a.Fee, a.Net = f.feeSums()
	return a
}

// settlingAttempt is the report of the attempt whose breakdown counts.
func (f Facts) settlingAttempt() (AttemptFact, bool) {
	winner, ok := f.Winner()
	if !ok {
		return AttemptFact{}, false
	}
	return f.AttemptFact(winner.N)
}

func (f Facts) refundSums(operations []Operation) (succeeded, pending int64) {
	observed := make(map[string]bool, len(f.Refunds))
	for _, r := range f.Refunds {
		observed[refundOperation(r, operations)] = true
		if r.Amount.Currency != f.Terms.Amount.Currency {
			continue
		}
		switch r.State {
		case RefundSucceeded:
			succeeded += r.Amount.Minor
		case RefundPending, RefundRequiresAction:
			pending += r.Amount.Minor
		case RefundCanceled, RefundFailed:
		}
	}
	for _, op := range operations {
		if op.Kind == OpRefund && op.State != OpFailed && !observed[op.ID] {
			pending += op.Amount.Minor // done but not seen yet is still on its way
		}
	}
	return succeeded, pending
}

func (f Facts) disputed() int64 {
	var sum int64
	explained := make(map[string]bool, len(f.Disputes)+len(f.Refunds))
	for _, d := range f.Disputes {
		if d.Stage != "inquiry" && d.Amount.Currency == f.Terms.Amount.Currency {
			sum += d.Withheld
		}
		explained[d.Key.ID] = true
		if d.Withheld > 0 {
			explained["capture:"+d.Capture] = true
		}
	}
	for _, r := range f.Refunds {
		explained[r.Key.ID] = true
	}
	for _, r := range f.Reversals {
		if explained[r.Dispute] || explained[r.Key.ID] || explained["capture:"+r.Capture] || r.Amount.Currency != f.Terms.Amount.Currency {
			continue
		}
		sum += r.Amount.Minor
	}
	return sum
}

func (f Facts) feeSums() (fee, net []Money) {
	fees, nets := map[Currency]int64{}, map[Currency]int64{}
	for _, x := range f.Fees {
		fees[x.Fee.Currency] += x.Fee.Minor
		nets[x.Net.Currency] += x.Net.Minor
	}
	return sortedMoney(fees), sortedMoney(nets)
}

func sortedMoney(by map[Currency]int64) []Money {
	out := make([]Money, 0, len(by))
	for c, minor := range by {
		out = append(out, Money{Minor: minor, Currency: c})
	}
	slices.SortFunc(out, func(a, b Money) int { return strings.Compare(string(a.Currency), string(b.Currency)) })
	if len(out) == 0 {
		return nil
	}
	return out
}

// effectiveAuthorizations are those in force: not replaced by a renewal and not
// of an abandoned attempt.
func (f Facts) effectiveAuthorizations() []Authorization {
	var out []Authorization
	for _, a := range f.currentAuthorizations() {
		if f.Abandoned(a.N) {
			continue
		}
		switch a.State {
		case AuthActive, AuthCaptured:
			out = append(out, a)
		case AuthPending, AuthVoided, AuthExpired, AuthDenied:
		}
	}
	return out
}

// currentAuthorizations are those not replaced by a renewal.
func (f Facts) currentAuthorizations() []Authorization {
	replaced := map[string]bool{}
	for _, a := range f.Authorizations {
		if a.Replaces != "" {
			replaced[a.Replaces] = true
		}
	}
	var out []Authorization
	for _, a := range f.Authorizations {
		if !replaced[a.Key.ID] {
			out = append(out, a)
		}
	}
	return out
}

func (f Facts) capturable() int64 {
	var sum int64
	for _, a := range f.effectiveAuthorizations() {
		if a.State == AuthActive && a.Amount.Currency == f.Terms.Amount.Currency {
			sum += a.Capturable
		}
	}
	return sum
}

// counted says whether a capture is covered by a complete snapshot of its
// attempt. Sum checks look at those only: a fragment may run ahead of the rest.
func (f Facts) counted(c Capture) bool {
	for _, a := range f.Attempts {
		if a.N == c.N && !c.Created.After(a.CompleteAsOf) {
			return true
		}
	}
	return false
}

// uncounted are completed captures that no complete snapshot covers yet.
func (f Facts) uncounted() []Capture {
	var out []Capture
	for _, c := range f.Captures {
		if c.State == CaptureCompleted && !f.counted(c) {
			out = append(out, c)
		}
	}
	return out
}

// acceptedCaptures are the completed, counted captures that no operator has
// ordered to be refunded as a whole.
func (f Facts) acceptedCaptures() []Capture {
	refunded := f.decidedObjects(DecisionRefund)
	var out []Capture
	for _, c := range f.Captures {
		if c.State == CaptureCompleted && f.counted(c) && !refunded[c.Key.ID] {
			out = append(out, c)
		}
	}
	return out
}

func (f Facts) decidedObjects(kind DecisionKind) map[string]bool {
	out := map[string]bool{}
	for _, d := range f.Decisions {
		if d.Kind == kind {
			for _, id := range d.Objects {
				out[id] = true
			}
		}
	}
	return out
}

// Conflicts compares what was captured with what was asked: currency, account,
// number of attempts, amount. Each line is evidence for an operator. An
// operator's accept covers exactly the captures it lists; a later one conflicts
// again.
func (f Facts) Conflicts() []string {
	captures := f.acceptedCaptures()
	if len(captures) == 0 {
		return f.attemptConflicts()
	}
	accepted := f.decidedObjects(DecisionAccept)
	decided := len(accepted) > 0 || f.refundedByOperator()
	unsettled := false
	var out []string
	for _, c := range captures {
		if accepted[c.Key.ID] {
			continue
		}
		unsettled = true
		if decided {
			out = append(out, fmt.Sprintf("capture %s is not covered by what the operator decided", c.Key.ID))
		}
	}
	if unsettled {
		out = append(out, f.captureConflicts(captures)...)
	}
	return out
}

// captureConflicts judges a set of captures that is not wholly accepted.
func (f Facts) captureConflicts(captures []Capture) []string {
	var out []string
	attempts := map[int]bool{}
	var sum int64
	for _, c := range captures {
		attempts[c.N] = true
		if c.Amount.Currency != f.Terms.Amount.Currency {
			out = append(out, fmt.Sprintf("capture %s is in %s, asked was %s", c.Key.ID, c.Amount.Currency, f.Terms.Amount.Currency))
			continue
		}
		sum += c.Amount.Minor
		if a, ok := f.opened(c.N); !ok || a.Provider != c.Key.Provider || a.Account != c.Key.Account {
			out = append(out, fmt.Sprintf("capture %s is at %s/%s, which this payment did not use for attempt %d", c.Key.ID, c.Key.Provider, c.Key.Account, c.N))
		}
	}
	if len(attempts) > 1 {
		out = append(out, fmt.Sprintf("money was captured in %d attempts", len(attempts)))
	}
	if len(out) > 0 {
		return out
	}
	n := captures[0].N
	if f.Terms.Manual {
		return f.manualConflicts(n, captures, sum)
	}
	expected, problem := f.expectedOf(n)
	if problem != "" {
		return []string{problem}
	}
	if sum != expected {
		out = append(out, fmt.Sprintf("captured %d in %d capture(s), expected %d", sum, len(captures), expected))
	}
	return out
}

// expectedOf is what attempt n must capture in automatic mode.
func (f Facts) expectedOf(n int) (int64, string) {
	asked := f.Terms.Amount
	fact, ok := f.AttemptFact(n)
	if !ok {
		return asked.Minor, ""
	}
	if fact.Total.Currency != "" && fact.Total.Currency != asked.Currency {
		return 0, fmt.Sprintf("attempt %d is in %s, asked was %s", n, fact.Total.Currency, asked.Currency)
	}
	if !f.Terms.Flexible {
		return asked.Minor, ""
	}
	want := asked.Minor - fact.Discount + fact.Tax + fact.Shipping
	if fact.Total.Minor != want {
		return 0, fmt.Sprintf("attempt %d totals %d, its own breakdown gives %d", n, fact.Total.Minor, want)
	}
	return want, ""
}

// manualConflicts judges captures of an authorization: never more than was
// authorised; each of our own requests took exactly what it asked; what was
// captured outside within the authorised amount is accepted, unless it looks
// like a repetition of one of our own.
func (f Facts) manualConflicts(n int, captures []Capture, sum int64) []string {
	if limit := f.authorizedIn(n); sum > limit {
		return []string{fmt.Sprintf("captured %d, authorised %d", sum, limit)}
	}
	asked, ours, outstanding := f.askedCaptures(n)
	if len(asked) == 0 || outstanding {
		return nil
	}
	var askedSum, oursSum int64
	for _, amount := range asked {
		askedSum += amount
	}
	var out []string
	for _, c := range captures {
		switch {
		case ours[c.Key.ID]:
			oursSum += c.Amount.Minor
		case slices.Contains(asked, c.Amount.Minor):
			out = append(out, fmt.Sprintf("capture %s repeats the amount %d of one of our own", c.Key.ID, c.Amount.Minor))
		}
	}
	if oursSum != askedSum {
		out = append(out, fmt.Sprintf("captured %d, asked %d", oursSum, askedSum))
	}
	return out
}

// remainder says what is wrong with keeping these captures and no others; empty
// if they are what was asked: in automatic mode the expected amount, in manual
// mode the sum of our requests, or at most what was authorised if there are none.
func (f Facts) remainder(rest []Capture) string {
	var sum, asked, limit int64
	for _, c := range rest {
		if c.Amount.Currency != f.Terms.Amount.Currency {
			return fmt.Sprintf("capture %s is in %s", c.Key.ID, c.Amount.Currency)
		}
		sum += c.Amount.Minor
	}
	if !f.Terms.Manual {
		expected, problem := f.expectedOf(rest[0].N)
		if problem == "" && sum != expected {
			problem = fmt.Sprintf("%d, expected %d", sum, expected)
		}
		return problem
	}
	for _, a := range f.Opened {
		limit += f.authorizedIn(a.N)
		amounts, _, _ := f.askedCaptures(a.N)
		for _, amount := range amounts {
			asked += amount
		}
	}
	if asked > 0 && sum != asked || sum > limit {
		return fmt.Sprintf("%d, asked %d, authorised %d", sum, asked, limit)
	}
	return ""
}

func (f Facts) authorizedIn(n int) int64 {
	var sum int64
	for _, a := range f.currentAuthorizations() {
		if a.N == n && a.Amount.Currency == f.Terms.Amount.Currency {
			sum += a.Amount.Minor
		}
	}
	return sum
}

// askedCaptures are the amounts of our capture requests in attempt n that were
// neither refused nor declined, the captures they took effect in, and whether
// one has no outcome yet. One that took effect in a capture that is pending or
// that no complete snapshot covers has none: a sum without it is a false alarm.
func (f Facts) askedCaptures(n int) (asked []int64, ours map[string]bool, outstanding bool) {
	answers := map[string]Decision{}
	ours = map[string]bool{}
	for _, d := range f.Decisions {
		if d.Kind == DecisionCaptureDone || d.Kind == DecisionCaptureFail {
			answers[d.Operation] = d
			for _, id := range d.Objects {
				ours[id] = true
			}
		}
	}
	for _, d := range f.Decisions {
		if d.Kind != DecisionCaptureAsked || d.N != n {
			continue
		}
		state := CapturePending
		if answer, ok := answers[d.Operation]; ok {
			state = f.tookEffect(answer)
		}
		if state != CaptureDeclined {
			asked = append(asked, d.Amount)
			outstanding = outstanding || state == CapturePending
		}
	}
	return asked, ours, outstanding
}

// outsideCaptures are the captures of authorizations that none of our requests
// made. While one of ours has no outcome, nobody knows which is which.
func (f Facts) outsideCaptures() []string {
	var out []string
	for _, c := range f.Captures {
		if !f.Terms.Manual || c.State != CaptureCompleted || f.Abandoned(c.N) {
			continue
		}
		if _, ours, outstanding := f.askedCaptures(c.N); !outstanding && !ours[c.Key.ID] {
			out = append(out, c.Key.ID)
		}
	}
	return out
}

// tookEffect is the state of the capture that an answered request made.
func (f Facts) tookEffect(answer Decision) CaptureState {
	if answer.Kind == DecisionCaptureFail {
		return CaptureDeclined
	}
	for _, c := range f.Captures {
		if slices.Contains(answer.Objects, c.Key.ID) && f.counted(c) {
			return c.State
		}
	}
	return CapturePending
}

func (f Facts) captureOutstanding() bool {
	for _, a := range f.Opened {
		if _, _, outstanding := f.askedCaptures(a.N); outstanding {
			return true
		}
	}
	return false
}

// attemptConflicts stops a payment before money moves: an approved or
// authorised attempt whose total is not what was asked must not be captured.
func (f Facts) attemptConflicts() []string {
	var out []string
	for _, a := range f.Attempts {
		if f.Abandoned(a.N) {
			continue
		}
		switch a.State {
		case AttemptApproved, AttemptProcessing, AttemptAuthorized:
			expected, problem := f.expectedOf(a.N)
			if problem == "" && a.Total.Minor != expected {
				problem = fmt.Sprintf("attempt %d is for %d, asked was %d", a.N, a.Total.Minor, expected)
			}
			if problem != "" {
				out = append(out, problem)
			}
		case AttemptComplete:
			if a.Total.Minor == 0 && !f.executed(a.N) && !f.completedForNothing(a) && !f.decided(DecisionCanceled, 0) {
				out = append(out, fmt.Sprintf("attempt %d was completed without any money, asked was %d", a.N, f.Terms.Amount.Minor))
			}
		case AttemptOpen, AttemptExpired, AttemptCanceled, AttemptFailed:
		}
	}
	return out
}
