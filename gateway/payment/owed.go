package payment

import (
	"fmt"
	"slices"
	"time"
)

// maxOperatorRefunds is how often what an operator ordered to be given back is
// ordered from a provider: for about three months. What is refused for longer
// is refused for good, and a human must know that no late success follows.
const maxOperatorRefunds = 100

// dueOperatorRefunds gives back what operators decided to give back in full:
// while something of such a capture is left, it is ordered, again after each
// failure. Nobody waits for the answer and the decision stands, so a refusal
// must not end it.
func (p *Payment) dueOperatorRefunds(now time.Time) []Operation {
	var due []Operation
	refunds := p.Facts.decidedObjects(DecisionRefund)
	for _, c := range p.Facts.Captures {
		if !refunds[c.Key.ID] || c.State != CaptureCompleted {
			continue
		}
		left := p.captureLeft(c)
		made, vain, busy := p.operatorRefunds(c)
		if left <= 0 || busy != nil || made >= maxOperatorRefunds {
			continue
		}
		id := operatorRefundID(p.ID, c, made)
		due = append(due, Operation{
			ID: id, Kind: OpRefund, N: c.N, Target: c.Key.ID, Amount: Money{Minor: left, Currency: c.Amount.Currency}, Reason: "duplicate",
			Key: ProviderKey(id, 0), By: Actor{Type: ActorOperator}, CreatedAt: now, State: OpPending, NextAt: now.Add(vainWait(vain)),
		})
	}
	return due
}

// operatorRefundID names the orders of one capture. The first has the id it had
// before there were others: it must not be made a second time.
func operatorRefundID(payment string, c Capture, made int) string {
	if made == 0 {
		return DeriveID("rfd", payment, "resolve", c.Key.ID)
	}
	return DeriveID("rfd", payment, "resolve", c.Key.ID, pad(made))
}

// operatorRefunds are the orders of one capture so far, how many of them gave
// nothing back, and the one without an outcome.
func (p *Payment) operatorRefunds(c Capture) (made, vain int, busy *Operation) {
	failed := map[string]bool{}
	for _, r := range p.Facts.Refunds {
		if r.State == RefundFailed || r.State == RefundCanceled {
			failed[refundOperation(r, p.Operations)] = true
		}
	}
	for {
		op := p.Operation(operatorRefundID(p.ID, c, made))
		switch {
		case op == nil:
			return made, vain, busy
		case !op.State.Settled():
			busy = op
		case op.State == OpFailed || failed[op.ID]:
			vain++
		}
		made++
	}
}

// owes is how much of a capture an operator decided to give back and that no
// provider has taken on. An order without an answer may not have been taken on.
func (p *Payment) owes(c Capture) int64 {
	if c.State != CaptureCompleted || !p.Facts.decidedObjects(DecisionRefund)[c.Key.ID] {
		return 0
	}
	owed := p.captureLeft(c)
	_, _, busy := p.operatorRefunds(c)
	if busy != nil && !slices.ContainsFunc(p.Facts.Refunds, func(r Refund) bool { return refundOperation(r, p.Operations) == busy.ID }) {
		owed += busy.Amount.Minor
	}
	return owed
}

// Owes says whether money that an operator decided to give back is neither given
// back nor on its way.
func (p *Payment) Owes() bool {
	for _, c := range p.Facts.Captures {
		if p.owes(c) > 0 {
			return true
		}
	}
	return false
}

// alertRefunds tells of refunds that did not reach the customer. One that an
// operator ordered is graver: the payment reads as settled, and is not.
func (p *Payment) alertRefunds(old *Payment, now time.Time) {
	was := old.refundStates()
	for _, r := range p.heard() {
		failed := r.State == RefundFailed && !was[r.ID][RefundFailed]
		if !failed && (r.State != RefundCanceled || was[r.ID][RefundCanceled]) {
			continue
		}
		c, owed := p.owing(r.Capture)
		switch {
		case owed:
			p.raise(Alert{Kind: "refund_failed", Severity: "critical", Message: p.owedMessage(c), At: now}, "owed", c.Key.ID)
		case failed:
			p.raise(Alert{Kind: "refund_failed", Severity: "warning", Message: "A refund failed: the customer was not paid back.", At: now}, r.ID)
		}
	}
}

// owing finds a capture of which something is owed.
func (p *Payment) owing(id string) (Capture, bool) {
	for _, c := range p.Facts.Captures {
		if c.Key.ID == id && p.owes(c) > 0 {
			return c, true
		}
	}
	return Capture{}, false
}

func (p *Payment) owedMessage(c Capture) string {
	charged := "charged twice"
	if len(p.Facts.acceptedCaptures()) == 0 {
		charged = "charged"
	}
	next := "It is ordered again by itself, so don't give the money back another way meanwhile. Look in the provider's dashboard why it fails."
	if made, _, busy := p.operatorRefunds(c); busy == nil && made >= maxOperatorRefunds {
		next = "It failed too often and is ordered no more: pay the customer back another way."
	}
	return fmt.Sprintf("A refund that an operator ordered failed: the customer is still %s (capture %s). %s", charged, c.Key.ID, next)
}
