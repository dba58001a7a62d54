package payment

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// RefundView is one refund as an app sees it: our operation and what the
// provider reports of it are one thing.
type RefundView struct {
	ID          string
	Amount      Money
	State       RefundState
	Reason      string
	FailureCode string
	Provider    string
	Account     string
	ProviderRef string
	Capture     string
	CreatedAt   time.Time
}

// Refunds lists every refund once, oldest first, whether ordered through us,
// seen at the provider, or both.
func (p *Payment) Refunds() []RefundView {
	var out []RefundView
	observed := map[string]bool{}
	for _, r := range p.Facts.Refunds {
		v := RefundView{
			ID: cmp.Or(refundOperation(r, p.Operations), RefundID(r)), Amount: r.Amount, State: r.State, Reason: r.Reason, FailureCode: r.FailureCode,
			Provider: r.Key.Provider, Account: r.Key.Account, ProviderRef: r.Key.ID, Capture: r.Capture, CreatedAt: r.Created,
		}
		if op := p.Operation(v.ID); op != nil {
			v.Reason, v.CreatedAt = op.Reason, op.CreatedAt
		}
		observed[v.ID] = true
		out = append(out, v)
	}
	for _, op := range p.Operations {
		if op.Kind != OpRefund || observed[op.ID] {
			continue
		}
		a, _ := p.Facts.opened(op.N)
		v := RefundView{
			ID: op.ID, Amount: op.Amount, State: RefundPending, Reason: op.Reason,
			Provider: a.Provider, Account: a.Account, ProviderRef: op.Ref, Capture: op.Target, CreatedAt: op.CreatedAt,
		}
		if op.State == OpFailed {
			v.State, v.FailureCode = RefundFailed, op.Failure.Code
		}
		out = append(out, v)
	}
	slices.SortStableFunc(out, func(a, b RefundView) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// refundOperation is the id of our operation that made this refund: what the
// provider's metadata says, else the operation whose call brought this very
// object; empty if it was made outside.
func refundOperation(r Refund, operations []Operation) string {
	if r.Operation != "" {
		return r.Operation
	}
	for _, op := range operations {
		if op.Kind == OpRefund && op.Ref != "" && op.Ref == r.Key.ID {
			return op.ID
		}
	}
	return ""
}

// Failure is why nobody has paid yet, or why the payment ended without money;
// the zero value if there is nothing to say.
func (p *Payment) Failure() Failure {
	switch p.Status() {
	case StatusSucceeded, StatusAuthorized, StatusConflicted, StatusProcessing:
		return Failure{}
	case StatusRequiresAction, StatusCanceled, StatusExpired, StatusFailed:
	}
	if p.lapsed() {
		return Failure{Code: "authorization_expired", Message: "The authorization lapsed before it was captured."}
	}
	for i := len(p.Facts.Opened) - 1; i >= 0; i-- {
		n := p.Facts.Opened[i].N
		fact, ok := p.Facts.AttemptFact(n)
		if ok && fact.Failure != (Failure{}) {
			return fact.Failure
		}
		if declined := p.lastDecline(n); declined != (Failure{}) {
			return declined
		}
	}
	return Failure{}
}

// lapsed says that the payment is canceled because an authorization ran out,
// not because the app wanted it.
func (p *Payment) lapsed() bool {
	if p.Status() != StatusCanceled || p.Facts.decided(DecisionCanceled, 0) || p.Facts.refundedByOperator() {
		return false
	}
	return slices.ContainsFunc(p.Facts.currentAuthorizations(), func(a Authorization) bool {
		return a.State == AuthExpired && !p.Facts.Abandoned(a.N)
	})
}

// lastDecline is why the newest capture or authorization of attempt n was
// declined; the zero value if it was not.
func (p *Payment) lastDecline(n int) Failure {
	for i := len(p.Operations) - 1; i >= 0; i-- {
		op := p.Operations[i]
		if op.N == n && (op.Kind == OpCapture || op.Kind == OpAuthorize) {
			if op.State == OpFailed && op.Code == CodeDeclined {
				return op.Failure
			}
			return Failure{}
		}
	}
	return Failure{}
}
