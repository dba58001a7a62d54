package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

// riskOff answers where no rules against fraud are wired.
func (s *Service) riskOff() error {
	if s.opts.Risk == nil {
		return payment.NewError(payment.CodeUnsupported, "Rules against fraud are switched off here.")
	}
	return nil
}

// Decisions reads what the rules decided, newest first: an app its own, an operator all.
func (s *Service) Decisions(ctx context.Context, c Caller, f DecisionFilter) ([]risk.Decision, string, error) {
	if err := s.riskOff(); err != nil {
		return nil, "", err
	}
	if !c.Operator {
		f.App, f.Mode = c.App, c.Mode
	}
	list, next, err := s.opts.Risk.Store.Decisions(ctx, f)
	return list, next, storeError(err)
}

// Decision reads one decision of the caller's.
func (s *Service) Decision(ctx context.Context, c Caller, id string) (risk.Decision, error) {
	if err := s.riskOff(); err != nil {
		return risk.Decision{}, err
	}
	d, err := s.opts.Risk.Store.Decision(ctx, id)
	if err != nil {
		return risk.Decision{}, storeError(err)
	}
	if !c.Operator && (d.App != c.App || d.Mode != c.Mode) {
		return risk.Decision{}, notFound()
	}
	return d, nil
}

// ConfirmDecision lets a decision act that only said what it would do. What one has set that
// acted already is the operators' from then on. replayed says that this was a repetition.
func (s *Service) ConfirmDecision(ctx context.Context, r Request, id, reason string) (d risk.Decision, replayed bool, err error) {
	return s.judge(ctx, r, id, reason, func(d *risk.Decision) error {
		switch d.State {
		case risk.DryRun, risk.Proposed:
			d.State, d.NextAt, d.Tries = risk.Pending, s.now(), 0
		case risk.Reversed:
			return payment.NewError(payment.CodeConflict, "This decision was reversed.")
		case risk.Pending, risk.Applied, risk.Failed:
			d.Confirmed, d.NextAt = true, s.now()
		}
		return nil
	})
}

// ReverseDecision takes a decision back: its block is lifted, unless somebody else set it
// too, what it has not done yet it will not do, and what the rules saw until now counts no
// more. Money given back and payments canceled stay so: the steps say which. replayed says
// that this was a repetition.
func (s *Service) ReverseDecision(ctx context.Context, r Request, id, reason string) (d risk.Decision, replayed bool, err error) {
	return s.judge(ctx, r, id, reason, func(d *risk.Decision) error {
		if d.State != risk.Reversed {
			d.Acted = !d.Waiting()
		}
		d.State, d.NextAt, d.Tries, d.Cleared, d.Confirmed = risk.Reversed, s.now(), 0, false, false
		return nil
	})
}

// judge is an operator's word on a decision, and the first visit after it.
func (s *Service) judge(ctx context.Context, r Request, id, reason string, fn func(*risk.Decision) error) (d risk.Decision, replayed bool, err error) {
	switch {
	case !r.Caller.Operator:
		return risk.Decision{}, false, payment.NewError(payment.CodeForbidden, "Judging a decision needs an operator key.")
	case reason == "":
		return risk.Decision{}, false, payment.Invalid("/reason", "is required")
	}
	if _, err := s.Decision(ctx, r.Caller, id); err != nil {
		return risk.Decision{}, false, err
	}
	var refused error
	d, err = s.opts.Risk.Store.ChangeDecision(ctx, id, func(old risk.Decision) (risk.Decision, bool) {
		known, judged := old.Fingerprints[r.id("judge")]
		if replayed = judged; judged { // a request with this key was here
			if refused = nil; known != r.Fingerprint {
				refused = reused()
			}
			return old, false
		}
		next := old.Clone()
		if refused = fn(&next); refused != nil {
			return old, false
		}
		next.Judged(r.id("judge"), r.Fingerprint, r.Caller.Actor(), reason, s.now())
		return next, true
	})
	switch {
	case refused != nil:
		return risk.Decision{}, false, refused
	case err != nil:
		return risk.Decision{}, false, storeError(err)
	}
	return s.visited(ctx, d), replayed, nil
}

// visited is a decision after a first visit. What the visit could not do, a worker does
// later, so its error is not the caller's.
func (s *Service) visited(ctx context.Context, d risk.Decision) risk.Decision {
	if !d.Open() {
		return d
	}
	done, err := s.visit(context.WithoutCancel(ctx), d.ID)
	if err != nil {
		s.log.WarnContext(ctx, "decision will be carried out later", "decision", d.ID, "error", err)
		return d
	}
	return done
}

// takeBack ends what a reversed decision still does.
func (s *Service) takeBack(ctx context.Context, d risk.Decision) (risk.Decision, error) {
	if err := s.unblock(ctx, d); err != nil {
		return d, err
	}
	if !d.Cleared { // once: what was seen after the reversal counts
		err := s.forget(ctx, d.App, d.Mode, d.Subject, func(old risk.Subject) (risk.Subject, bool) {
			if s.now().Sub(d.ByAt) > justNow {
				return old.ClearLate(d.ByAt, d.At)
			}
			return old.Clear(d.ByAt)
		})
		if err != nil {
			return d, err
		}
	}
	results, more := s.withdrawSteps(ctx, d)
	return s.changeDecision(ctx, d.ID, func(c *risk.Decision) {
		if c.State != risk.Reversed || !c.ByAt.Equal(d.ByAt) {
			return
		}
		c.Cleared = true
		for i := range c.Steps {
			if r, ok := results[c.Steps[i].ID]; ok && c.Steps[i].State == risk.StepPending {
				c.Steps[i] = r
			}
		}
		switch {
		case c.Unsettled() == 0:
			c.NextAt, c.Tries = time.Time{}, 0
		case more:
			c.NextAt = s.now()
		default:
			c.Tries++
			c.NextAt = s.now().Add(payment.Backoff(c.Tries))
		}
	})
}

// unblock takes back what a decision set. Where another process may be just about to set it, the
// block says that it must not: that process may die before it looks at the decision again.
func (s *Service) unblock(ctx context.Context, d risk.Decision) error {
	now := s.now()
	effect, refs := d.Barred()
	for _, ref := range refs {
		_, err := s.opts.Risk.Store.ChangeBlock(ctx, emptyBlock(d, ref), func(b risk.Block) (risk.Block, bool) {
			next, changed := b.Withdraw(d.ID, d.ByReason, d.By, now)
			if !changed && d.Acted {
				return b.Void(effect, d.ID, d.ByReason, d.By, now)
			}
			return next, changed
		})
		if err != nil {
			return storeError(err)
		}
	}
	return nil
}

// guard makes what a decision set the operators', who confirmed it after it acted.
func (s *Service) guard(ctx context.Context, d risk.Decision) error {
	_, refs := d.Barred()
	for _, ref := range refs {
		_, err := s.opts.Risk.Store.ChangeBlock(ctx, emptyBlock(d, ref), func(b risk.Block) (risk.Block, bool) {
			return b.Confirm(d.ID, d.ByReason, d.By, s.now())
		})
		if err != nil {
			return storeError(err)
		}
	}
	return nil
}

// takenBackAVisit bounds how many steps one visit takes back.
const takenBackAVisit = 100

// withdrawSteps ends the steps of a reversed decision that are still to do. more says that
// there are others.
func (s *Service) withdrawSteps(ctx context.Context, d risk.Decision) (results map[string]risk.Step, more bool) {
	results = map[string]risk.Step{}
	for _, step := range d.Steps {
		switch {
		case step.State != risk.StepPending:
		case len(results) >= takenBackAVisit:
			return results, true
		default:
			results[step.ID] = s.withdrawStep(ctx, step)
		}
	}
	return results, false
}

// withdrawStep takes one step back, or says what came of it where that is too late. What
// was sent, and whose answer was lost, stays open until it is known: it may have happened.
func (s *Service) withdrawStep(ctx context.Context, step risk.Step) risk.Step {
	step.At = s.now()
	p, err := s.load(ctx, step.Payment)
	var op *payment.Operation
	atOnce := false // canceled, with nobody to be told
	if err == nil {
		_, atOnce = p.Facts.CanceledBy(stepOp(step))
		if op = p.Operation(stepOp(step)); op != nil && !op.State.Settled() {
			var after *payment.Payment
			if after, _, err = s.stillMeant(ctx, p, *op); after != nil {
				op = after.Operation(op.ID)
			}
		}
	}
	switch {
	case err != nil && payment.CodeOf(err) != payment.CodeNotFound:
		step.Note = "not taken back yet (" + string(payment.CodeOf(err)) + ")"
	case atOnce:
		step.State, step.Note = risk.StepDone, "done before it was reversed"
	case op == nil || op.State == payment.OpFailed:
		step.State, step.Note = risk.StepSkipped, "reversed before it was done"
	case op.State == payment.OpDone:
		step.State, step.Note, step.Amount = risk.StepDone, "done before it was reversed", op.Amount
	default:
		step.Note = "sent before it was reversed: looked for, and not sent again"
	}
	return step
}

// justNow is how long after a reversal all that is known counts as known then: a provider's clock
// may be ahead of ours, so its times can't tell.
const justNow = 5 * time.Second

// forget makes the rules count anew for a subject that somebody looked at.
func (s *Service) forget(ctx context.Context, app string, mode payment.Mode, ref risk.Ref, clearing func(risk.Subject) (risk.Subject, bool)) error {
	for _, a := range s.opts.Apps {
		if app != risk.AnyApp && (a.Name != app || a.Mode != mode) {
			continue
		}
		empty := risk.NewSubject(a.Name, a.Mode, ref)
		if _, err := s.opts.Risk.Store.Subject(ctx, empty.ID); errors.Is(err, ErrNotFound) {
			continue
		}
		_, err := s.opts.Risk.Store.ChangeSubject(ctx, empty, clearing)
		if err != nil {
			return storeError(err)
		}
	}
	return nil
}
