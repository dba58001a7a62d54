package gateway

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Capture takes money that is held. amount is in minor units, 0 for all that is
// capturable; final releases the rest.
func (s *Service) Capture(ctx context.Context, r Request, id string, amount int64, final bool) (Answer, error) {
	p, err := s.owned(ctx, r.Caller, id)
	if err != nil {
		return Answer{}, err
	}
	if amount < 0 || amount > payment.MaxMinor {
		return Answer{}, payment.Invalid("/amount", "must be from 1 to %d minor units", payment.MaxMinor)
	}
	// What this very request ordered before and may still order anew takes money like a fresh one; what it was told of
	// already is only said again.
	if op := p.Operation(r.id("op")); op == nil || op.Repeatable() {
		if err := s.refuseBlocked(ctx, p); err != nil {
			return Answer{}, withPayment(err, p)
		}
	}
	if winner, ok := p.Facts.Winner(); ok && !final {
		if account, found := s.opts.Providers.Account(winner.Account); found && !account.Info().PartialCapture {
			return Answer{}, s.unsupported(p.Mode, "/final", "false is not supported by "+account.Info().Provider)
		}
	}
	return s.command(ctx, r, p, r.id("op"), func(c *payment.Payment, cmd payment.Command) error {
		return c.RequestCapture(amount, final, cmd)
	})
}

// unsupported says what can't be done here and which provider can.
func (s *Service) unsupported(mode payment.Mode, pointer, rule string) error {
	able := "none of the configured accounts"
	for _, a := range s.opts.Providers.Accounts() {
		if info := a.Info(); info.Mode == mode && info.PartialCapture {
			able = info.Provider
			break
		}
	}
	e := payment.NewError(payment.CodeUnsupported, "Capturing a part and keeping the rest capturable is not supported here; it is by: %s.", able)
	e.Fields = []payment.FieldError{{Pointer: pointer, Rule: rule}}
	return e
}

// Refund gives money back. amount is in minor units, 0 for all that is
// refundable.
func (s *Service) Refund(ctx context.Context, r Request, id string, amount int64, reason string) (Answer, error) {
	p, err := s.owned(ctx, r.Caller, id)
	if err != nil {
		return Answer{}, err
	}
	if amount < 0 || amount > payment.MaxMinor {
		return Answer{}, payment.Invalid("/amount", "must be from 1 to %d minor units", payment.MaxMinor)
	}
	switch reason {
	case "":
		reason = "requested_by_customer"
	case "requested_by_customer", "duplicate", "fraudulent", "other":
	default:
		return Answer{}, payment.Invalid("/reason", "must be requested_by_customer, duplicate, fraudulent or other")
	}
	refund := r.id("rfd")
	if made, ok := p.MadeBefore(refund); ok {
		if amount != 0 && amount != made.Amount.Minor {
			return Answer{}, reused()
		}
		return Answer{Payment: p, Refund: refund, Replayed: true}, nil
	}
	a, err := s.command(ctx, r, p, refund, func(c *payment.Payment, cmd payment.Command) error {
		return c.RequestRefund(amount, reason, cmd)
	})
	a.Refund = refund
	return a, err
}

// headStart is how long workers, and whoever else runs what is due, leave an operation to
// the request that has just ordered it. Without it they are faster now and then, as when a
// webhook tells of the refund before, and the request would be answered that it is still
// running: 409 to whoever never sent its key before.
const headStart = 2 * time.Second

// command orders one operation on a payment and runs it. The operation's id
// comes from the request, so the same request again finds it: what was told is
// said again, unknown is driven one step, and what certainly did not happen, with
// nobody told more than to try again, is ordered anew.
func (s *Service) command(ctx context.Context, r Request, p *payment.Payment, opID string, order func(*payment.Payment, payment.Command) error) (Answer, error) {
	if op := p.Operation(opID); op != nil && !op.Repeatable() {
		if op.Fingerprint == r.Fingerprint && !op.State.Settled() && !op.Leased(s.now()) {
			return s.ordered(ctx, p, opID, true)
		}
		return remembered(r, p, *op)
	}
	src := payment.Source{Layer: payment.LayerAPI, Actor: r.Caller.Actor(), Reason: "requested"}
	if r.Reason != "" {
		src.Reason = r.Reason
	}
	var faster *payment.Payment // where a request with the same key has ordered meanwhile
	ordered, err := s.change(ctx, p.ID, src, func(c *payment.Payment) error {
		faster = nil
		if known := c.Operation(opID); known != nil && !known.Repeatable() {
			faster = c
			return inProgress(c)
		}
		if err := order(c, r.command(s, opID)); err != nil {
			return err
		}
		if op := c.Operation(opID); op != nil && !op.State.Settled() {
			op.NextAt = s.now().Add(headStart)
		}
		return nil
	})
	if faster != nil {
		return remembered(r, faster, *faster.Operation(opID))
	}
	if err != nil {
		return Answer{}, withPayment(err, p)
	}
	if ordered.Operation(opID) == nil { // nothing had to be told to a provider; a decision remembers it
		return Answer{Payment: ordered}, nil
	}
	return s.ordered(ctx, ordered, opID, false)
}

// remembered answers a request whose operation stands there already and is not
// ordered again.
func remembered(r Request, p *payment.Payment, op payment.Operation) (Answer, error) {
	switch {
	case op.Fingerprint != r.Fingerprint:
		return Answer{}, reused()
	case op.State == payment.OpDone:
		return Answer{Payment: p, Replayed: true}, nil
	case op.State == payment.OpFailed:
		return Answer{Replayed: true}, failedForGood(p, op)
	}
	return Answer{}, inProgress(p)
}

// failedForGood is what whoever ordered an operation hears for ever after it failed: never
// that the same key may be tried again.
func failedForGood(p *payment.Payment, op payment.Operation) error {
	switch {
	case op.Code == payment.CodeDeclined:
		return declined(p, op)
	case op.Kind == payment.OpClose && op.Code == payment.CodeConflict:
		return paidMeanwhile(p)
	}
	e := payment.NewError(payment.CodeConflict,
		"This request was taken and failed for good (%s): it was certainly not done. Use a fresh key to ask for it again.",
		cmp.Or(op.Failure.Code, string(op.Code)))
	e.PaymentID = p.ID
	return e
}

func paidMeanwhile(p *payment.Payment) error {
	e := payment.NewError(payment.CodeConflict, "The customer has paid or agreed to pay meanwhile; the payment is %s.", p.Status())
	e.PaymentID = p.ID
	return e
}

// ordered runs an ordered operation and turns its outcome into an answer.
func (s *Service) ordered(ctx context.Context, p *payment.Payment, opID string, replayed bool) (Answer, error) {
	driven, callErr := s.drive(ctx, p, opID, orderedBy(p, opID), true)
	if driven == nil {
		return Answer{}, callErr
	}
	op := driven.Operation(opID)
	if op == nil {
		return Answer{}, fmt.Errorf("gateway: operation %s vanished", opID)
	}
	switch op.State {
	case payment.OpDone:
		return Answer{Payment: driven, Replayed: replayed}, nil
	case payment.OpUnknown:
		if op.Leased(s.now()) || op.Ordered() && !op.Answered {
			return Answer{}, inProgress(driven) // 202 is a promise, given only where it is written down
		}
		return Answer{Payment: driven, Unknown: true, Replayed: replayed}, nil
	case payment.OpPending:
		if op.Answered && !op.Leased(s.now()) { // certainly not done yet, and still promised
			return Answer{Payment: driven, Unknown: true, Replayed: replayed}, nil
		}
		return Answer{}, inProgress(driven)
	case payment.OpFailed:
	}
	switch {
	case !op.Repeatable():
		return Answer{Replayed: replayed}, failedForGood(driven, *op)
	case op.Failure.Code == DeclineHeld: // the hold came after this request had looked for one
		return Answer{}, withPayment(errHeld(""), driven)
	case callErr != nil:
		return Answer{}, providerError(callErr, driven)
	case op.Kind == payment.OpClose && op.Code == payment.CodeConflict:
		return Answer{}, paidMeanwhile(driven)
	default:
		return Answer{}, &payment.Error{
			Code: payment.CodeProviderUnavailable, PaymentID: driven.ID,
			Message: "It was certainly not done. Repeat the request with the same key.",
		}
	}
}

// orderedBy credits an operation to whoever ordered it.
func orderedBy(p *payment.Payment, opID string) payment.Source {
	src := payment.Source{Layer: payment.LayerAPI}
	if op := p.Operation(opID); op != nil {
		src.Actor = op.By
	}
	return src
}

func declined(p *payment.Payment, op payment.Operation) error {
	e := payment.NewError(payment.CodeDeclined, "The provider declined it.")
	e.PaymentID = p.ID
	e.DeclineCode = op.Failure.DeclineCode
	if e.DeclineCode == "" {
		e.DeclineCode = op.Failure.Code
	}
	return e
}

func withPayment(err error, p *payment.Payment) error {
	var e *payment.Error
	if p != nil && asError(err, &e) && e.PaymentID == "" {
		e.PaymentID = p.ID
	}
	return err
}

// Cancel makes a payment impossible to pay, or releases what is held. Losing
// the race against the customer is a conflict.
func (s *Service) Cancel(ctx context.Context, r Request, id string) (Answer, error) {
	p, err := s.owned(ctx, r.Caller, id)
	if err != nil {
		return Answer{}, err
	}
	opID := r.id("op")
	op := p.Operation(opID)
	d, decided := p.Facts.CanceledBy(opID)
	switch {
	case decided && !d.SameRequest(r.Fingerprint), op != nil && op.Fingerprint != r.Fingerprint && !op.Repeatable():
		return Answer{}, reused()
	case decided: // whatever became of the payment since
		return Answer{Payment: p, Replayed: true}, nil
	case p.Status() == payment.StatusCanceled:
		return Answer{Payment: p, Replayed: op != nil}, nil
	}
	known := false // a request with the same key was faster
	a, err := s.command(ctx, r, p, opID, func(c *payment.Payment, cmd payment.Command) error {
		if d, known = c.Facts.CanceledBy(opID); known {
			if !d.SameRequest(r.Fingerprint) {
				return reused()
			}
			return nil
		}
		_, err := c.RequestCancel(cmd)
		return err
	})
	a.Replayed = a.Replayed || known
	return a, err
}

// Sync reads the providers now and returns what is true.
func (s *Service) Sync(ctx context.Context, c Caller, id string) (*payment.Payment, error) {
	p, err := s.owned(ctx, c, id)
	if err != nil {
		return nil, err
	}
	src := payment.Source{Layer: payment.LayerAPI, Actor: c.Actor(), Reason: "sync requested"}
	p, err = s.Refresh(ctx, p.ID, 0, src)
	if err != nil {
		return nil, providerError(err, p)
	}
	return s.runDue(ctx, p, src)
}

// decisions are the ways out of a conflict.
var decisions = map[string]payment.DecisionKind{"accept": payment.DecisionAccept, "refund": payment.DecisionRefund}

// Resolve is the operator's decision on a conflicted payment.
func (s *Service) Resolve(ctx context.Context, r Request, id, action string, captures []string, reason string) (Answer, error) {
	if !r.Caller.Operator {
		return Answer{}, payment.NewError(payment.CodeForbidden, "Resolving a conflict needs an operator key.")
	}
	if reason == "" {
		return Answer{}, payment.Invalid("/reason", "is required")
	}
	if len(captures) == 0 {
		return Answer{}, payment.Invalid("/captures", "must list at least one capture")
	}
	src := payment.Source{Layer: payment.LayerAPI, Actor: r.Caller.Actor(), Reason: reason}
	opID, known := r.id("dec"), false
	p, err := s.change(ctx, id, src, func(c *payment.Payment) error {
		known = false
		for _, d := range c.Facts.Decisions {
			if d.ID == opID { // decided already by this very request, or by another with its key
				if decided := decisions[action]; d.Kind != decided || !slices.Equal(d.Objects, captures) || d.Reason != reason {
					return reused()
				}
				known = true
				return nil
			}
		}
		return c.Resolve(action, captures, reason, r.command(s, opID))
	})
	if err != nil {
		return Answer{}, err
	}
	p, err = s.runDue(ctx, p, src)
	return Answer{Payment: p, Replayed: known}, err
}
