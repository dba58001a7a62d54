package payment

import (
	"fmt"
	"slices"
	"time"
)

// Outcome is what came of one try at an operation.
type Outcome struct {
	State      OpState // done, failed, unknown; pending: certainly not done, try again with the same key
	Ref        string  // the provider object made
	Code       Code    // with failed or pending: why, for the caller
	Failure    Failure
	Declined   bool // failed because the money was refused, not because the request was wrong
	MustLookUp bool // the provider stored a failure under this key
	LookedUp   bool // this try was a look-up in place of the call; it found nothing
	Looked     bool // the call was sent, after a look in the same try had found nothing
	RetryAfter time.Duration
	Unheard    bool // nobody waits for the answer, and an event would tell of a failure: try again where nothing was done
}

// maxDeaths is how many workers in a row die of an operation before that counts: one
// crash and a long time without any worker is not yet being stuck.
const maxDeaths = 10

// Start leases an operation to one worker and counts the try. The lease only
// saves work: what keeps a repeat harmless is the key. It returns false while
// somebody else holds it or it is settled.
func (p *Payment) Start(id, owner string, lease time.Duration, plan Plan, now time.Time) bool {
	op := p.Operation(id)
	if op == nil || op.State.Settled() || (op.Leased(now) && op.LeaseOwner != owner) {
		return false
	}
	if op.LeaseOwner != "" && op.LeaseOwner != owner { // the try before died
		if op.Deaths++; op.Deaths >= maxDeaths {
			p.tellStuck(op, now) // nothing else would tell
		}
		op.Ambiguous = op.Ambiguous || op.State == OpUnknown // perhaps after it was sent
	}
	op.LookFirst = op.LooksFirst(now) // written before the look: who dies in it, or can't, leaves it to the next
	op.LeaseOwner, op.LeaseUntil = owner, now.Add(lease)
	if op.TriedSince.IsZero() {
		op.TriedSince = now
		if !op.FirstTriedAt.IsZero() { // tried by a program that noted less
			op.TriedSince = op.FirstTriedAt
		}
	}
	switch plan {
	case PlanRenew:
		op.Generation++
		op.Key = ProviderKey(op.ID, op.Generation)
		op.Tries, op.MustLookUp, op.Ambiguous, op.FirstTriedAt = 0, false, false, time.Time{}
		fallthrough
	case PlanCall:
		if op.Tries == 0 {
			op.FirstTriedAt = now
		} else if op.State == OpUnknown {
			op.Ambiguous = true // the try before left no outcome
		}
		if op.Moves() && op.LookUps > 0 {
			op.LookFirst = true // the looks before may be a backup's, and the order done since
		}
		op.LookUps, op.LookedUpAt = 0, time.Time{} // what they did not find may be there after this
		op.Tries++
		op.State = OpUnknown // from here on a crash leaves the outcome unknown
	case PlanLookUp:
		op.MustLookUp = op.MustLookUp || op.Tries == 0 // what postpones it must not make its key look fresh
	}
	return true
}

// Settle records the outcome of a try, with the observation it brought, if any.
// What the outcome decides (an attempt refused or abandoned, a payment
// canceled) is recorded in the same change. A close is done only with the
// complete observation that confirms it.
func (p *Payment) Settle(id string, out Outcome, obs *Observation, now time.Time) {
	failed := p.Status() == StatusFailed
	if obs != nil {
		p.Facts = p.Facts.Observe(*obs)
	}
	op := p.Operation(id)
	if op == nil || op.State.Settled() {
		return
	}
	if op.Kind == OpClose && out.State == OpDone {
		out = p.closed(op.N, out, obs)
	}
	op.LeaseOwner, op.LeaseUntil, op.Deaths = "", time.Time{}, 0
	op.Code, op.Failure = out.Code, out.Failure
	if out.Ref != "" {
		op.Ref = out.Ref
	}
	op.MustLookUp = op.MustLookUp || out.MustLookUp
	op.LookFirst = op.LookFirst && !out.Looked && !out.LookedUp
	switch state := op.resulting(out); state {
	case OpDone, OpFailed:
		op.State, op.DoneAt = state, now
		op.Params = nil // it is never sent again; only the payment's terms say from now on what was asked
		if op.Kind == OpClose && failed && p.Status() == StatusFailed {
			return // denied before the cancel was certain, and told so: that stays
		}
		p.concluded(*op, out, now)
	case OpUnknown, OpPending:
		op.State = state
		p.postpone(op, out, now)
	}
}

// Withdraw takes an order back. What was certainly not done ends; what may have been is
// only looked for from then on, and ends right after the second look-up that found nothing of it.
func (p *Payment) Withdraw(id string, now time.Time) {
	op := p.Operation(id)
	if op == nil || op.State.Settled() {
		return
	}
	if op.Unmoved(now) {
		p.Settle(id, Outcome{State: OpFailed, Code: CodeConflict, Failure: Failure{Code: "reversed"}}, nil, now)
		return
	}
	op.Withdrawn = true
}

// closed checks a checkout that is said to be closed. Without a complete look
// nothing is confirmed, and the next one could be paid beside it; one that turns
// out to be paid is adopted, and its closing has failed.
func (p *Payment) closed(n int, out Outcome, obs *Observation) Outcome {
	switch {
	case obs == nil || !obs.Complete || obs.N != n:
		return Outcome{State: OpUnknown, Ref: out.Ref}
	case !p.Facts.Closable(n):
		return Outcome{State: OpFailed, Ref: out.Ref, Code: CodeConflict}
	default:
		return out
	}
}

// resulting is the operation's state after a try. A try that certainly did
// nothing says nothing about earlier ones without an answer; where there are
// none, whoever ordered it is told that it failed, unless they were promised an
// outcome before.
func (o Operation) resulting(out Outcome) OpState {
	switch {
	case out.State == OpDone, out.State == OpFailed:
		return out.State
	case o.LookFirst && !o.Ambiguous && !o.Ordered():
		return OpPending // no look was answered, so that nothing was sent
	case out.State == OpUnknown, o.Ambiguous, out.LookedUp, o.LookFirst:
		return OpUnknown
	case o.Ordered() && !o.Answered && !out.Unheard:
		return OpFailed
	default:
		return OpPending
	}
}

// postpone says when a worker looks again.
func (p *Payment) postpone(op *Operation, out Outcome, now time.Time) {
	wait := max(Backoff(op.Tries+op.LookUps), out.RetryAfter)
	if !op.TriedSince.IsZero() { // a new key, or a look-up that fails, counts no try up: without its age it would never slow down
		wait = max(wait, min(now.Sub(op.TriedSince)/8, time.Hour).Truncate(time.Second))
	}
	if out.LookedUp {
		if op.LookUps == 0 || !now.Before(op.LookedUpAt.Add(LookUpGap)) {
			op.LookUps++
			op.LookedUpAt = now
		}
		wait = max(wait, LookUpGap)
	} else if out.State == OpUnknown && !op.LookFirst {
		op.Ambiguous = true
	}
	if op.Kind == OpRefund && op.State == OpPending && op.Ordered() && wait >= LateAfter {
		op.LookFirst = true // while it waits, its request may do it under another key, and a backup forget that
	}
	op.NextAt = now.Add(wait)
	p.tellStuck(op, now)
}

// tellStuck tells of an operation that has been tried for long without an
// outcome. Only its age counts: each new key begins its tries anew, a look-up is
// none, and an app that repeats its request makes many within a minute.
func (p *Payment) tellStuck(op *Operation, now time.Time) {
	if op.TriedSince.IsZero() || now.Before(op.TriedSince.Add(StuckAfter)) || now.Before(op.StuckAt.Add(stuckAgain)) {
		return
	}
	op.StuckAt = now
	p.raise(Alert{
		Kind: "operation_stuck", Severity: "critical", At: now,
		Message: fmt.Sprintf("The operation %s has had no outcome since %s.", op.Kind, op.TriedSince.UTC().Format(time.RFC3339)),
	}, op.run())
}

// concluded draws the consequences of a settled operation.
func (p *Payment) concluded(op Operation, out Outcome, now time.Time) {
	note := func(kind DecisionKind, objects ...string) {
		p.decide(Decision{ID: string(kind) + ":" + op.run(), Kind: kind, N: op.N, Operation: op.run(), Objects: objects, By: op.By, At: now})
	}
	done := op.State == OpDone
	switch op.Kind {
	case OpCreate:
		if !done {
			note(DecisionRefused)
		}
	case OpCapture, OpAuthorize:
		if p.Facts.asked(op.run()) {
			if done {
				note(DecisionCaptureDone, op.Ref)
				p.tellOlder(op, now)
			} else {
				note(DecisionCaptureFail)
			}
		} else if !done && out.Declined {
			fact, _ := p.Facts.AttemptFact(op.N)
			note(DecisionDeclined, fact.ApprovedAt.Format(time.RFC3339Nano))
		}
	case OpClose:
		if !done {
			break
		}
		fact, _ := p.Facts.AttemptFact(op.N)
		if ended := fact.State == AttemptCanceled || fact.State == AttemptFailed; !ended {
			note(DecisionAbandoned)
		} else if op.Reason != "cancel" {
			break // it ended by itself, and the payment with it
		}
		p.afterClose(op, now)
	case OpVoid:
		if done && op.Reason == "cancel" {
			p.decide(Decision{ID: "canceled", Kind: DecisionCanceled, By: op.By, Reason: "canceled by the app", At: now})
		}
	case OpRefund, OpAcceptDispute, OpSaveEvidence, OpSubmitEvidence:
	}
}

// tellOlder tells of a capture that stands for an order and is certainly older than it. Where the record is
// a backup that was put back, the order was carried out before; else it was not, and somebody
// else's capture was taken for it. What would tell them apart (PayPal's captures bear an invoice
// id of ours) is not kept.
func (p *Payment) tellOlder(op Operation, now time.Time) {
	for _, c := range p.Facts.Captures {
		if c.Key.ID == op.Ref && p.Facts.dated(c) && c.Created.Before(op.CreatedAt.Add(-ClockGap)) {
			p.raise(Alert{
				Kind: "outside_capture", Severity: "warning", At: now,
				Message: "The capture " + op.Ref + " was made before it was ordered, and counts as what was ordered: right after a backup was put back, else nothing was captured for this order.",
			}, op.run())
		}
	}
}

// dated says that a capture's date is its own, and not that of its hold, as at Stripe.
func (f Facts) dated(c Capture) bool {
	return slices.ContainsFunc(f.Authorizations, func(a Authorization) bool { return a.Key.ID == c.Auth && c.Created.After(a.Created) })
}

func (p *Payment) afterClose(op Operation, now time.Time) {
	switch op.Reason {
	case "cancel":
		p.decide(Decision{ID: "canceled", Kind: DecisionCanceled, By: op.By, Reason: "canceled by the app", At: now})
	case "deadline":
		p.decide(Decision{ID: "deadline", Kind: DecisionDeadline, By: op.By, Reason: "expires_in went by", At: now})
	}
}

// asked says whether the app asked for this capture operation.
func (f Facts) asked(run string) bool {
	for _, d := range f.Decisions {
		if d.Kind == DecisionCaptureAsked && d.Operation == run {
			return true
		}
	}
	return false
}

// Closable says whether attempt n may be abandoned after a fresh look: only
// while the provider still shows it open or already dead, or approved in a way
// that we will not capture (declined, or for another amount), and no money was
// seen below it. Anything else is adopted instead.
func (f Facts) Closable(n int) bool {
	fact, ok := f.AttemptFact(n)
	if f.begun(n) {
		return false
	}
	if !ok || fact.State == AttemptApproved {
		return ok && (f.halted(fact) || len(f.attemptConflicts()) > 0)
	}
	return fact.State == AttemptOpen || fact.State.Dead()
}
