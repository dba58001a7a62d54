package payment

import (
	"fmt"
	"slices"
)

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

// authorizedIn is how much of attempt n may be captured at most: what is in force, and
// what was taken from an authorization before it was renewed, but together no more than
// the largest of them. One that is renewed for the whole after a part was taken holds that
// part twice; the customer agreed to it once. An order's first authorization holds the
// order's total, so that it counts even where only its renewal was ever seen.
func (f Facts) authorizedIn(n int) int64 {
	var sum int64
	for _, a := range f.currentAuthorizations() {
		if a.N != n || a.Amount.Currency != f.Terms.Amount.Currency {
			continue
		}
		held, largest := a.Amount.Minor, a.Amount.Minor
		if order, ok := f.orderOf(a); ok {
			if a.State == AuthDenied {
				continue // beside the one that holds the money
			}
			if order.Total.Currency == a.Amount.Currency {
				largest = max(largest, order.Total.Minor)
			}
			for _, b := range f.family(a) {
				largest = max(largest, b.Amount.Minor)
			}
			sum += min(held+f.takenBeside(a), largest)
			continue
		}
		for _, before := range f.renewedBy(a) {
			held += min(f.takenOf(before), before.Amount.Minor)
			largest = max(largest, before.Amount.Minor)
		}
		sum += min(held, largest)
	}
	return sum
}

// renewedBy are the authorizations that this one stands for, the newest first.
func (f Facts) renewedBy(a Authorization) []Authorization {
	var out []Authorization
	for range f.Authorizations { // a provider that names them in a circle ends here
		i := slices.IndexFunc(f.Authorizations, func(b Authorization) bool {
			return a.Replaces != "" && b.Key.ID == a.Replaces && b.N == a.N && b.Amount.Currency == a.Amount.Currency
		})
		if i < 0 {
			break
		}
		a = f.Authorizations[i]
		out = append(out, a)
	}
	return out
}

// takenBeside is what was captured in an order, but not of this authorization, in minor
// units.
func (f Facts) takenBeside(a Authorization) (taken int64) {
	for _, c := range f.Captures {
		if c.N == a.N && c.Key.Account == a.Key.Account && c.State == CaptureCompleted && !f.takenFrom(c, a) {
			taken += c.Amount.Minor
		}
	}
	return taken
}

// takenOf is what was captured of an authorization, in minor units.
func (f Facts) takenOf(a Authorization) (taken int64) {
	for _, c := range f.Captures {
		if c.Auth == a.Key.ID && c.State == CaptureCompleted {
			taken += c.Amount.Minor
		}
	}
	return taken
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

// overRefunded are the captures of which more was given back than they took. Only
// what a complete snapshot covers is summed up: a refund may run ahead.
func (f Facts) overRefunded() []string {
	var out []string
	for _, c := range f.Captures {
		if c.State != CaptureCompleted || !f.counted(c) {
			continue
		}
		left := c.Amount.Minor
		for _, r := range f.Refunds {
			if r.Capture == c.Key.ID && r.State == RefundSucceeded && f.counted(Capture{N: c.N, Stamp: r.Stamp}) {
				left -= r.Amount.Minor
			}
		}
		if left < 0 {
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
