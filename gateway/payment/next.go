package payment

import (
	"fmt"
	"slices"
	"time"
)

// maxDeclinedCaptures is how often a capture of one approved attempt is tried
// again after a decline, each time only because the customer came back.
const maxDeclinedCaptures = 5

// Next says what is due by itself: capture this approved order, close that
// checkout, void what nobody wants any more, pay back what an operator ordered.
// It never repeats what an unsettled operation is already doing. While a payment
// is conflicted nothing is captured, but what could take more money is closed.
func (p *Payment) Next(now time.Time) []Operation {
	var due []Operation
	c := p.Facts.Conditions()
	taking := p.Unfinished(0, OpAuthorize, OpCapture) != nil
	for _, a := range p.Facts.Opened {
		fact, known := p.Facts.AttemptFact(a.N)
		if !known || p.Unfinished(a.N, OpCreate, OpClose, OpAuthorize, OpCapture, OpVoid) != nil {
			continue
		}
		open := !p.Facts.begun(a.N) && (fact.State == AttemptOpen || fact.State == AttemptApproved && p.Facts.halted(fact))
		switch {
		case p.Facts.Abandoned(a.N):
			due = append(due, p.dueVoids(a.N, now)...)
		case open && (c.Paid || c.Canceled):
			due = append(due, p.newOperation(OpClose, a.N, fact.Key.ID, "switch", now))
		case c.Conflict, p.Facts.refused(fact):
		case open && !now.Before(p.ExpiresAt):
			due = append(due, p.newOperation(OpClose, a.N, fact.Key.ID, "deadline", now))
		case !open && !taking && fact.State == AttemptApproved && p.captureDue(fact, c):
			taking = true // an order that was gone can come back approved beside the one after it
			due = append(due, p.dueCapture(fact, now))
		}
	}
	return append(due, p.dueOperatorRefunds(now)...)
}

// addDue stores what is due as operations, in the same write that made it due.
func (p *Payment) addDue(now time.Time) {
	p.Operations = append(p.Operations, p.Next(now)...)
}

// newOperation writes down an operation that is due by itself. Where it was
// settled before and yet is due again (refused, or done without visible effect),
// it waits longer each time, so that a refusal for good is not a storm. A
// decline is no such failure: the customer who came back waits for the answer.
func (p *Payment) newOperation(kind OpKind, n int, target, reason string, now time.Time) Operation {
	count, vain := 0, 0
	for _, op := range p.Operations {
		if op.Kind == kind && op.N == n && op.Target == target {
			count++
			if !p.Facts.has(string(DecisionDeclined) + ":" + op.run()) {
				vain++
			}
		}
	}
	id := DeriveID("op", p.ID, string(kind), pad(n), target, pad(count))
	return Operation{
		ID: id, Kind: kind, N: n, Target: target, Reason: reason, Key: ProviderKey(id, 0),
		By: Actor{Type: "worker"}, CreatedAt: now, State: OpPending, NextAt: now.Add(vainWait(vain)),
	}
}

// vainWait is how long what was tried in vain so often waits.
func vainWait(vain int) time.Duration {
	switch {
	case vain > 10:
		return 24 * time.Hour
	case vain > 0:
		return Backoff(vain)
	}
	return 0
}

// captureDue guards against charging twice: never while any money of this
// payment is taken, held or on its way, nor where our own capture took effect
// and only its sighting is missing.
func (p *Payment) captureDue(fact AttemptFact, c Conditions) bool {
	if p.Facts.over(c) {
		return false
	}
	for _, op := range p.Operations {
		if (op.Kind == OpCapture || op.Kind == OpAuthorize) && op.N == fact.N && op.State == OpDone {
			return false
		}
	}
	return true
}

// over says that nothing may be taken of this payment by itself any more: its money is
// taken, held or on its way, or its end was told.
func (f Facts) over(c Conditions) bool {
	return c.Paid || c.Authorized || c.Canceled || c.Deadline || len(f.uncounted()) > 0 || f.pendingCapture()
}

// Overtaken says that a capture which became due by itself has certainly not been done,
// and is due no more: while it waited for its provider, the payment was paid in another
// attempt, say, or is held as conflicted, or its own checkout lapsed. What the app asked
// for stays its order.
func (p *Payment) Overtaken(op Operation) bool {
	sent := op.State != OpPending || op.Unseen()
	if takes := op.Kind == OpCapture || op.Kind == OpAuthorize; !takes || sent || p.Facts.asked(op.run()) {
		return false
	}
	c := p.Facts.Conditions()
	fact, known := p.Facts.AttemptFact(op.N)
	return c.Conflict || p.Facts.over(c) || p.Facts.Abandoned(op.N) || known && fact.State.Dead()
}

// halted says that our capture of this approved attempt was declined and waits
// for the customer: a capture is due again only when they came back, or approved
// anew after the decline, and at most maxDeclinedCaptures times in all.
func (f Facts) halted(fact AttemptFact) bool {
	waiting := false
	for _, d := range f.Decisions {
		if d.Kind == DecisionDeclined && d.N == fact.N {
			waiting = waiting || !f.has(returnedID(d)) && !approvedAfter(fact, d)
		}
	}
	return waiting || f.Exhausted(fact.N)
}

// Exhausted says that captures of attempt n were declined so often that none is
// tried any more, whatever its customer does on its page.
func (f Facts) Exhausted(n int) bool {
	declines := 0
	for _, d := range f.Decisions {
		if d.Kind == DecisionDeclined && d.N == n {
			declines++
		}
	}
	return declines >= maxDeclinedCaptures
}

// approvedAfter says whether the customer approved again after a decline, which
// notes the approval that it spent.
func approvedAfter(fact AttemptFact, decline Decision) bool {
	if len(decline.Objects) != 1 {
		return false
	}
	spent, err := time.Parse(time.RFC3339Nano, decline.Objects[0])
	return err == nil && fact.ApprovedAt.After(spent)
}

// has says whether a decision with this id was taken.
func (f Facts) has(id string) bool {
	return slices.ContainsFunc(f.Decisions, func(d Decision) bool { return d.ID == id })
}

func returnedID(decline Decision) string { return "returned:" + decline.ID }

func (p *Payment) dueCapture(fact AttemptFact, now time.Time) Operation {
	kind := OpCapture
	if p.Facts.Terms.Manual {
		kind = OpAuthorize
	}
	op := p.newOperation(kind, fact.N, fact.Key.ID, "approved", now)
	op.Amount, op.Final = fact.Total, true
	return op
}

func (p *Payment) dueVoids(n int, now time.Time) []Operation {
	var due []Operation
	for _, auth := range p.Facts.Authorizations {
		if auth.N == n && auth.State == AuthActive {
			due = append(due, p.newOperation(OpVoid, n, auth.Key.ID, "abandoned", now))
		}
	}
	return due
}

// captureLeft is what can still be refunded of one capture, in minor units.
func (p *Payment) captureLeft(c Capture) int64 {
	left := c.Amount.Minor
	observed := map[string]bool{}
	for _, r := range p.Facts.Refunds {
		observed[refundOperation(r, p.Operations)] = true
		if r.Capture != c.Key.ID {
			continue
		}
		switch r.State {
		case RefundPending, RefundRequiresAction, RefundSucceeded:
			left -= r.Amount.Minor
		case RefundCanceled, RefundFailed:
		}
	}
	for _, op := range p.Operations {
		if op.Kind == OpRefund && op.Target == c.Key.ID && op.State != OpFailed && !observed[op.ID] {
			left -= op.Amount.Minor
		}
	}
	for _, d := range p.Facts.Disputes {
		if d.Capture == c.Key.ID {
			left -= d.taken()
		}
	}
	for _, r := range p.Facts.unexplained() { // the customer has that back already
		if r.Capture == c.Key.ID && r.Amount.Currency == c.Amount.Currency {
			left -= r.Amount.Minor
		}
	}
	return max(0, left)
}

// WorkAt is when a worker must look at the payment next, zero if never: an
// unsettled operation, the deadline of an open payment, or an alert or a dispute's
// history to store.
func (p *Payment) WorkAt() time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	working := false
	for _, op := range p.Operations {
		if op.State.Settled() {
			continue
		}
		working = true
		next := op.NextAt
		if op.LeaseUntil.After(next) {
			next = op.LeaseUntil
		}
		sooner(next)
	}
	if len(p.Alerts) > 0 || len(p.Cases) > 0 {
		sooner(p.UpdatedAt)
	}
	if s := p.Status(); (s == StatusRequiresAction || s == StatusProcessing && p.Facts.Unread()) && !working { // else its outcome looks again
		sooner(p.deadline())
	}
	return at
}

// Returned notes that the customer is back from the provider, which makes a
// declined capture due once more.
func (p *Payment) Returned(now time.Time) {
	a, ok := p.Facts.Live()
	if !ok {
		return
	}
	for _, d := range p.Facts.Decisions {
		if d.Kind != DecisionDeclined || d.N != a.N {
			continue
		}
		p.decide(Decision{ID: returnedID(d), Kind: DecisionReturned, N: a.N, By: Actor{Type: "customer"}, At: now})
	}
}

// reapproval is the least time from a decline to an approval that it can't have spent: a
// provider tells of an approval seconds late, and nobody chooses another way to pay so fast.
const reapproval = 5 * time.Second

// Reapproved says whether it is news that the customer agreed to attempt n at a moment, in
// provider time: after a decline of it for which nobody came back yet.
func (p *Payment) Reapproved(n int, at time.Time) bool {
	var declined time.Time
	for _, d := range p.Facts.Declines {
		if d.N == n && d.Created.After(declined) {
			declined = d.Created
		}
	}
	for _, d := range p.Facts.Decisions {
		if d.Kind != DecisionDeclined || d.N != n || p.Facts.has(returnedID(d)) {
			continue
		}
		if declined.IsZero() {
			declined = d.At
		}
		if at.After(declined.Add(reapproval)) {
			return true
		}
	}
	return false
}

// Approved notes that the customer agreed to attempt n at a moment, in provider time. After
// a decline that makes its capture due once more, as their return does: not every provider
// dates an approval in the object itself.
func (p *Payment) Approved(n int, at, now time.Time) {
	if live, ok := p.Facts.Live(); ok && live.N == n && p.Reapproved(n, at) {
		p.Returned(now)
	}
}

// NextSync is the first point of a widening schedule after now, counted from
// when the attempt was opened; past its end, daily for thirty days, and as long as
// something is under way that must end. Zero means that nothing can change any more.
func (p *Payment) NextSync(schedule []time.Duration, now time.Time) time.Time {
	latest, ok := p.Facts.Latest()
	if !ok || !p.mayChange(now) {
		return time.Time{}
	}
	var soon time.Time
	if since, ok := p.Facts.unreadSince(); ok {
		soon = firstAfter(since, afterUnread(), now)
	}
	if at := firstAfter(latest.CreatedAt, schedule, now); !at.IsZero() || !soon.IsZero() {
		return earlier(at, soon)
	}
	next := now.Add(24 * time.Hour)
	switch s := p.Status(); {
	case next.Before(latest.CreatedAt.Add(30 * 24 * time.Hour)), p.underway(), p.refundedLately(now):
		return next
	case s == StatusAuthorized, s == StatusProcessing: // a pending capture that is denied moves no balance either
		return next
	}
	return time.Time{}
}

// firstAfter is the first point of a schedule after now, zero past its end.
func firstAfter(from time.Time, schedule []time.Duration, now time.Time) time.Time {
	for _, after := range schedule {
		if at := from.Add(after); at.After(now) {
			return at
		}
	}
	return time.Time{}
}

// earlier is the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// refundSettles is for how long a refund that succeeded is read again: it can
// still fail (a closed account, a card that takes nothing), and not every provider
// lists that anew. It is a guess at how late banks are, not a provider's number.
const refundSettles = 14 * 24 * time.Hour

// mayChange says whether the provider can still move this payment by itself.
func (p *Payment) mayChange(now time.Time) bool {
	switch p.Status() {
	case StatusProcessing, StatusRequiresAction, StatusAuthorized, StatusConflicted:
		return true
	case StatusSucceeded, StatusCanceled, StatusExpired, StatusFailed:
	}
	if p.underway() || p.refundedLately(now) {
		return true
	}
	return len(p.Facts.Captures) > 0 && len(p.Facts.Fees) == 0
}

// underway says whether a refund, a dispute or a capture waits for its end, which only
// its provider can bring. It is looked for as long as that takes: Stripe lists the first
// two by when they were made, and a refund that is canceled or a case that is lost after a
// review moves no balance, so no list need ever tell of it. PayPal lists a capture by when
// it was made, too: one that is pending beside what is paid, of a checkout that was given
// up, say, takes the money a second time when it completes.
func (p *Payment) underway() bool {
	for _, c := range p.Facts.Captures {
		if c.State == CapturePending {
			return true
		}
	}
	for _, r := range p.Refunds() {
		if r.State == RefundPending || r.State == RefundRequiresAction {
			return true
		}
	}
	for _, d := range p.Facts.Disputes {
		if d.Status == DisputeNeedsResponse || d.Status == DisputeUnderReview {
			return true
		}
	}
	return false
}

// refundedLately says whether a refund may still fail, however old the payment is.
func (p *Payment) refundedLately(now time.Time) bool {
	for _, r := range p.Refunds() {
		if r.State == RefundSucceeded && now.Before(r.CreatedAt.Add(refundSettles)) {
			return true
		}
	}
	return false
}

// describe is the message of a refused command.
func describe(s Status) string { return fmt.Sprintf("the payment is %s", s) }
