package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

// Decline codes of what a block of ours refuses.
const (
	DeclineBlocked = "blocked"
	DeclineHeld    = "held"
)

// blocking finds the block in force against whoever pays this, by every name they are
// known under, in the app and across apps. A block goes before a hold.
func (s *Service) blocking(ctx context.Context, p *payment.Payment) (risk.Block, bool, error) {
	return s.blockingAny(ctx, p, risk.Identities(p))
}

// blockingAny finds the block in force against one of these names of whoever pays this.
func (s *Service) blockingAny(ctx context.Context, p *payment.Payment, names []risk.Ref) (risk.Block, bool, error) {
	if s.opts.Risk == nil || len(names) == 0 {
		return risk.Block{}, false, nil
	}
	found, err := s.blockingEach(ctx, []*payment.Payment{p}, [][]risk.Ref{names})
	if err != nil {
		return risk.Block{}, false, err
	}
	return found[0], found[0].ID != "", nil
}

// blockingEach is blockingAny for several payments: their blocks in order, empty where
// there is none.
func (s *Service) blockingEach(ctx context.Context, ps []*payment.Payment, names [][]risk.Ref) ([]risk.Block, error) {
	ids := make([][]string, len(ps))
	for i, p := range ps {
		for _, r := range names[i] {
			ids[i] = append(ids[i], risk.BlockID(p.App, p.Mode, r), risk.BlockID(risk.AnyApp, "", r))
		}
	}
	found, err := s.opts.Risk.Store.Blocks(ctx, slices.Concat(ids...))
	if err != nil {
		return nil, storeError(err)
	}
	out := make([]risk.Block, len(ps))
	for _, b := range found {
		b = b.At(s.now()) // a longer hold may stand behind a block that is over
		for i := range ps {
			if b.In(s.now()) && slices.Contains(ids[i], b.ID) && (out[i].ID == "" || b.Effect == risk.EffectBlock && out[i].Effect != risk.EffectBlock) {
				out[i] = b
			}
		}
	}
	return out, nil
}

// refuseBlocked is the check before anything is asked of a provider for a customer.
func (s *Service) refuseBlocked(ctx context.Context, p *payment.Payment) error {
	b, blocked, err := s.blocking(ctx, p)
	if err != nil || !blocked {
		return err
	}
	return errBlocked(b)
}

// refuseBlockedPayer is the check of a payment that nobody has heard of yet: a block names a payment by its id, so none
// can name this one, and a customer without a name costs no read.
func (s *Service) refuseBlockedPayer(ctx context.Context, p *payment.Payment) error {
	names := slices.DeleteFunc(risk.Identities(p), func(r risk.Ref) bool { return r.Kind == risk.KindPayment })
	b, blocked, err := s.blockingAny(ctx, p, names)
	if err != nil || !blocked {
		return err
	}
	return errBlocked(b)
}

func errBlocked(b risk.Block) error {
	e := payment.NewError(payment.CodeConflict, "Nothing was done: this customer is blocked (%s).", b.ID)
	e.DeclineCode = DeclineBlocked
	if b.Effect == risk.EffectHold {
		return errHeld(" (" + b.ID + ")")
	}
	return e
}

// errHeld answers a request that a hold stopped; which names it, if it is known.
func errHeld(which string) *payment.Error {
	e := payment.NewError(payment.CodeConflict, "Nothing was done: this customer is held until somebody has looked%s.", which)
	e.DeclineCode = DeclineHeld
	return e
}

// gated says whether an operation takes money, so that a block may still stop it.
func gated(op *payment.Operation) bool {
	return op != nil && !op.State.Settled() && (op.Kind == payment.OpCapture || op.Kind == payment.OpAuthorize)
}

// putOff says that a hold puts off once more what two looks did not find, however long ago:
// that ends nothing, and once the hold is lifted it is looked for again.
func putOff(op payment.Operation, b risk.Block, now time.Time) bool {
	return b.Effect == risk.EffectHold && op.State == payment.OpPending && op.LookUps >= 2 &&
		(!op.Ordered() || op.Answered) && !op.Leased(now) && !op.LooksFirst(now)
}

// verdict is what the gate says of an operation.
type verdict int

const (
	mustNotRun verdict = iota
	mayRun
	mayBeLookedFor // it may have been done, and must not be sent again
)

// gate keeps a blocked customer's approval from being captured. A block ends the
// operation like a decline; a hold puts it off, but ends what somebody asked for and was
// promised nothing: they are told so, and must not find it done later. What may have been
// done is left to be looked for.
func (s *Service) gate(ctx context.Context, p *payment.Payment, opID string) (*payment.Payment, verdict, error) {
	if s.opts.Risk == nil {
		return nil, mayRun, nil
	}
	op := p.Operation(opID)
	if op == nil || op.State.Settled() {
		return nil, mayRun, nil
	}
	if _, done := shown(p, *op, s.now()); done {
		return nil, mayRun, nil // it ends as done, whoever is blocked
	}
	if op.By.Type == payment.ActorRisk {
		return s.stillMeant(ctx, p, *op)
	}
	if !gated(op) || p.Overtaken(*op) { // what is due no more ends, though nobody has looked at the hold
		return nil, mayRun, nil
	}
	b, blocked, err := s.blocking(ctx, p)
	switch {
	case err != nil:
		return nil, mustNotRun, err
	case !blocked:
		return nil, mayRun, nil
	case !op.Unmoved(s.now()) && !putOff(*op, b, s.now()):
		return nil, mayBeLookedFor, nil
	}
	src := payment.Source{Layer: payment.LayerAPI, Actor: payment.Actor{Type: payment.ActorRisk, ID: b.Decision}, Reason: "not captured: the customer is " + word(b)}
	p, err = s.change(ctx, p.ID, src, func(c *payment.Payment) error {
		op, now := c.Operation(opID), s.now()
		switch {
		case !gated(op) || !op.Unmoved(now) && !putOff(*op, b, now):
		case b.Effect == risk.EffectHold && op.Ordered() && !op.Answered:
			c.Settle(opID, payment.Outcome{State: payment.OpFailed, Code: payment.CodeConflict, Failure: payment.Failure{Code: DeclineHeld}}, nil, now)
		case b.Effect == risk.EffectHold:
			op.State, op.Ambiguous = payment.OpPending, false
			op.NextAt, op.TriedSince = now.Add(heldLook), now // waiting for a person is not being stuck, nor a reason to try seldom afterwards
		default:
			c.Settle(opID, payment.Outcome{
				State: payment.OpFailed, Declined: true, Code: payment.CodeDeclined,
				Failure: payment.Failure{Code: DeclineBlocked, DeclineCode: DeclineBlocked, Message: "The payment was declined."},
			}, nil, now)
		}
		return nil
	})
	return p, mustNotRun, err
}

// stillMeant keeps what a decision ordered from being sent after the decision was reversed.
// What may have been done already passes: it is looked for.
func (s *Service) stillMeant(ctx context.Context, p *payment.Payment, op payment.Operation) (*payment.Payment, verdict, error) {
	if op.Withdrawn && op.State == payment.OpUnknown && op.LookUps < 2 {
		return nil, mayRun, nil // written down already
	}
	if !op.Withdrawn {
		d, err := s.opts.Risk.Store.Decision(ctx, op.By.ID)
		if errors.Is(err, ErrNotFound) || err == nil && d.State != risk.Reversed {
			return nil, mayRun, nil
		}
		if err != nil {
			return nil, mustNotRun, storeError(err)
		}
	}
	src := payment.Source{Layer: payment.LayerAPI, Actor: op.By, Reason: "the decision was reversed"}
	p, err := s.change(ctx, p.ID, src, func(c *payment.Payment) error {
		if !s.endShown(c, op.ID) {
			c.Withdraw(op.ID, s.now())
		}
		return nil
	})
	if err != nil {
		return nil, mustNotRun, err
	}
	if now := p.Operation(op.ID); now == nil || now.State.Settled() {
		return p, mustNotRun, nil
	}
	return p, mayRun, nil
}

// word is what somebody under a block is.
func word(b risk.Block) string {
	if b.Effect == risk.EffectHold {
		return DeclineHeld
	}
	return DeclineBlocked
}
