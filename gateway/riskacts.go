package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

// Bounds of carrying out one decision.
const (
	stepsPerVisit = 25 // provider calls of one visit
	maxStepTries  = 60 // visits after which a step that is refused every time has failed
	maxPlanPages  = 40 // pages of 100 payments looked through for what to do
)

// visit goes on with one decision: people are told, the block is set, then payment by
// payment is closed or given back, each through its own use case under an operation id
// of its own. Everything is safe to repeat, and what a provider that is down keeps
// from being done stays to do.
func (s *Service) visit(ctx context.Context, id string) (risk.Decision, error) {
	d, err := s.opts.Risk.Store.Decision(ctx, id)
	if err != nil {
		return risk.Decision{}, storeError(err)
	}
	if d.State == risk.Reversed {
		return s.takeBack(ctx, d)
	}
	if !d.Told {
		if err := s.announce(ctx, d); err != nil {
			return d, err
		}
	}
	if d.State == risk.Failed && !d.FailTold {
		if err := s.announceFailure(ctx, d); err != nil {
			return d, err
		}
	}
	if d.State == risk.Pending {
		if err := s.block(ctx, d); err != nil {
			return d, err
		}
	}
	if d.Confirmed {
		if err := s.guard(ctx, d); err != nil {
			return d, err
		}
	}
	if d.State != risk.Pending {
		return s.changeDecision(ctx, id, func(c *risk.Decision) {
			c.Told, c.FailTold = true, c.FailTold || d.State == risk.Failed
			c.Confirmed = c.Confirmed && !d.Confirmed
			if c.State == d.State && !c.Confirmed { // else somebody has just confirmed or reversed it
				c.NextAt = time.Time{}
			}
		})
	}
	planned, err := s.planSteps(ctx, d)
	if err != nil {
		return d, err
	}
	d, err = s.changeDecision(ctx, id, func(c *risk.Decision) {
		c.Told, c.Confirmed = true, c.Confirmed && !d.Confirmed
		if c.State == risk.Reversed {
			c.NextAt = s.now() // the block may have come after it was lifted
		}
		if c.State != risk.Pending {
			return
		}
		c.Planned, c.Left, c.Note = true, planned.left, planned.note
		for _, step := range planned.steps {
			if c.Step(step.ID) == nil {
				c.Steps = append(c.Steps, step)
			}
		}
	})
	switch {
	case err != nil:
		return d, err
	case d.State == risk.Reversed:
		return s.takeBack(ctx, d)
	case d.State != risk.Pending:
		return d, nil
	}
	return s.carryOut(ctx, d)
}

func (s *Service) changeDecision(ctx context.Context, id string, fn func(*risk.Decision)) (risk.Decision, error) {
	d, err := s.opts.Risk.Store.ChangeDecision(ctx, id, func(old risk.Decision) (risk.Decision, bool) {
		next := old.Clone()
		fn(&next)
		next.UpdatedAt = s.now()
		return next, true
	})
	return d, storeError(err)
}

// announce raises the decision's alert, one an incident, and writes it into the
// histories of the payments it rests on.
func (s *Service) announce(ctx context.Context, d risk.Decision) error {
	if d.Has(risk.ActAlert) {
		a := AlertRecord{
			ID: payment.DeriveID("inc", "risk", d.ID), App: d.App, Mode: d.Mode, Kind: "rule_fired", Severity: d.Severity, State: "open",
			Message: d.Sentence(), Count: 1, FirstSeen: d.CreatedAt, LastSeen: d.CreatedAt,
		}
		if len(d.Payments) > 0 {
			a.Payment = d.Payments[len(d.Payments)-1]
		}
		if d.Subject.Kind == risk.KindAccount {
			a.Account = d.Subject.Value
		}
		if d.State == risk.Pending && (d.Has(risk.ActBlock) || d.Has(risk.ActHold)) {
			a.Kind = "customer_blocked"
		}
		if err := s.opts.Notify.Raise(ctx, a); err != nil {
			return fmt.Errorf("gateway: alert of decision %s: %w", d.ID, err)
		}
	}
	for _, id := range d.Payments {
		if err := s.note(ctx, id, d); err != nil {
			return err
		}
	}
	return nil
}

// announceFailure tells people that something a decision promised was refused for good.
func (s *Service) announceFailure(ctx context.Context, d risk.Decision) error {
	a := AlertRecord{
		ID: payment.DeriveID("inc", "risk", d.ID, "failed"), App: d.App, Mode: d.Mode, Kind: "rule_fired", Severity: "critical", State: "open",
		Message: "A decision against fraud could not be carried out in full (" + string(d.Rule) + "): see its steps.", Count: 1, FirstSeen: d.UpdatedAt, LastSeen: d.UpdatedAt,
	}
	for _, step := range d.Steps {
		if step.State == risk.StepFailed {
			a.Payment = step.Payment
		}
	}
	if err := s.opts.Notify.Raise(ctx, a); err != nil {
		return fmt.Errorf("gateway: alert of failed decision %s: %w", d.ID, err)
	}
	return nil
}

// note writes a decision into a payment's history, once.
func (s *Service) note(ctx context.Context, id string, d risk.Decision) error {
	reason := fmt.Sprintf("%s: %s", d.State, d.Reason)
	src := payment.Source{Layer: payment.LayerAPI, Actor: payment.Actor{Type: payment.ActorRisk, ID: d.ID}, Reason: reason}
	_, err := s.change(ctx, id, src, func(p *payment.Payment) error {
		p.Note(src, s.now())
		return nil
	})
	if payment.CodeOf(err) == payment.CodeNotFound {
		return nil
	}
	return err
}

// block sets what keeps the subject from paying. The decision's own id makes a
// repetition harmless, also after somebody lifted it.
func (s *Service) block(ctx context.Context, d risk.Decision) error {
	effect, refs := d.Barred()
	by := d.By
	if by.Type == "" {
		by = payment.Actor{Type: payment.ActorRisk, ID: d.ID}
	}
	reason := d.Reason
	if d.ByReason != "" && d.Rule == risk.Manual {
		reason = d.ByReason
	}
	for _, ref := range refs {
		_, err := s.opts.Risk.Store.ChangeBlock(ctx, emptyBlock(d, ref), func(b risk.Block) (risk.Block, bool) {
			return b.Set(effect, reason, d.ID, d.ExpiresAt, by, d.ID, s.now())
		})
		if err != nil {
			return storeError(err)
		}
	}
	return nil
}

func emptyBlock(d risk.Decision, ref risk.Ref) risk.Block {
	b := risk.Block{ID: risk.BlockID(d.App, d.Mode, ref), App: d.App, Mode: d.Mode, Subject: ref}
	if d.App == risk.AnyApp {
		b.Mode = ""
	}
	return b
}

// plan is what a decision has to do that it has not planned yet.
type plan struct {
	steps []risk.Step
	left  int    // payments that did not fit in
	note  string // how far it could look
}

func (s *Service) planSteps(ctx context.Context, d risk.Decision) (out plan, err error) {
	if !d.Has(risk.ActCancel) && !d.Has(risk.ActRefund) {
		return plan{}, nil
	}
	targets, full, err := s.targets(ctx, d)
	if err != nil {
		return plan{}, err
	}
	out.note = reach(d, len(targets), full)
	for _, p := range targets {
		for _, step := range s.stepsFor(d, p) {
			switch {
			case d.Step(step.ID) != nil:
			case len(d.Steps)+len(out.steps) >= risk.MaxSteps:
				out.left++
			default:
				out.steps = append(out.steps, step)
			}
		}
	}
	return out, nil
}

// reach says how far a decision could look, where that is not all and "applied" alone would
// hide it: a block by another name than the app's own looks only through what is known under
// that name, and of a customer's payments the latest are looked at.
func reach(d risk.Decision, n int, full bool) string {
	switch {
	case d.Subject.Kind == risk.KindCustomer && full:
		return fmt.Sprintf("only the latest %d payments of this customer were looked at: there are more", n)
	case d.Subject.Kind == risk.KindCustomer || d.Rule != risk.Manual:
		return ""
	}
	text := fmt.Sprintf("%d payments are known under this name and were looked at", n)
	if full {
		text += "; only the latest are kept, so there may be more"
	}
	if d.Subject.Kind == risk.KindEmail {
		text += "; of customers with an id of the app's own, those made before this version may be missing: block the customer to reach them"
	}
	return text
}

// stepsFor is what a decision means for one payment now.
func (s *Service) stepsFor(d risk.Decision, p *payment.Payment) []risk.Step {
	var out []risk.Step
	add := func(a risk.Action, capture string) {
		out = append(out, risk.Step{ID: d.StepID(a, p.ID, capture), Action: a, Payment: p.ID, Capture: capture, State: risk.StepPending, At: s.now()})
	}
	if d.Has(risk.ActCancel) && cancelable(p) {
		add(risk.ActCancel, "")
	}
	if d.Has(risk.ActRefund) {
		for _, owed := range p.Returnable() {
			add(risk.ActRefund, owed.Capture)
		}
	}
	return out
}

// cancelable says that money of this payment could still be taken.
func cancelable(p *payment.Payment) bool {
	switch p.Status() {
	case payment.StatusRequiresAction, payment.StatusAuthorized:
		return true
	case payment.StatusProcessing:
		_, live := p.Facts.Live()
		return live
	case payment.StatusConflicted, payment.StatusSucceeded, payment.StatusCanceled, payment.StatusExpired, payment.StatusFailed:
	}
	return false
}

// targets are the payments a decision acts on. full says that there may be more, which
// were forgotten for later ones.
func (s *Service) targets(ctx context.Context, d risk.Decision) (out []*payment.Payment, full bool, err error) {
	ids := slices.Clone(d.Payments)
	if d.Scope == risk.ScopeSubject {
		for _, app := range s.opts.Apps {
			if d.App != risk.AnyApp && (d.App != app.Name || d.Mode != app.Mode) {
				continue
			}
			if d.Subject.Kind == risk.KindCustomer {
				list, more, err := s.customersPayments(ctx, app, d.Subject.Value)
				if err != nil {
					return nil, false, err
				}
				out, full = append(out, list...), full || more
			}
			for _, ref := range namesOf(d) {
				subject, err := s.opts.Risk.Store.Subject(ctx, risk.SubjectID(app.Name, app.Mode, ref))
				if errors.Is(err, ErrNotFound) {
					continue
				}
				if err != nil {
					return nil, false, storeError(err)
				}
				full = full || subject.Full() && d.Subject.Kind != risk.KindCustomer // whose payments are listed
				for _, x := range subject.Sightings {
					ids = append(ids, x.Payment)
				}
			}
		}
	}
	out, err = s.alsoLoad(ctx, out, ids)
	return out, full, err
}

// namesOf are the subjects whose payments a decision concerns. Somebody who is blocked by
// their e-mail address is also blocked where the app names them otherwise; a rule that
// fired about an address saw, and foretold, only those who have no other name.
func namesOf(d risk.Decision) []risk.Ref {
	if d.Rule == risk.Manual && d.Subject.Kind == risk.KindEmail {
		return []risk.Ref{d.Subject, d.Subject.Alias()}
	}
	return []risk.Ref{d.Subject}
}

// alsoLoad adds payments to a list that are not in it.
func (s *Service) alsoLoad(ctx context.Context, out []*payment.Payment, ids []string) ([]*payment.Payment, error) {
	seen := map[string]bool{}
	for _, p := range out {
		seen[p.ID] = true
	}
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		p, err := s.load(ctx, id)
		if payment.CodeOf(err) == payment.CodeNotFound && err != nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// customersPayments lists what a customer may still have open or paid, the latest first.
// Providers give back what is at most about 180 days old (PayPal docs: refunds). more says
// that there are more than one decision looks at.
func (s *Service) customersPayments(ctx context.Context, app App, ref string) (out []*payment.Payment, more bool, err error) {
	f := Filter{App: app.Name, Mode: app.Mode, Customer: ref, CreatedFrom: s.now().Add(-risk.MaxWindow), Limit: 100}
	for range maxPlanPages {
		list, next, err := s.opts.Payments.List(ctx, f)
		if err != nil {
			return nil, false, storeError(err)
		}
		out = append(out, list...)
		if next == "" {
			return out, false, nil
		}
		f.After = next
	}
	return out, true, nil
}

// carryOut does the steps that are left, a bounded number a visit.
func (s *Service) carryOut(ctx context.Context, d risk.Decision) (risk.Decision, error) {
	results := map[string]risk.Step{}
	for _, step := range d.Steps {
		if step.State != risk.StepPending || len(results) >= stepsPerVisit {
			continue
		}
		if now, err := s.opts.Risk.Store.Decision(ctx, d.ID); err != nil || now.State != risk.Pending {
			break // it may have been reversed while the step before was done
		}
		results[step.ID] = s.carryOutStep(ctx, d, step)
	}
	moved := false
	return s.changeDecision(ctx, d.ID, func(c *risk.Decision) {
		for i := range c.Steps {
			r, ok := results[c.Steps[i].ID]
			switch {
			case !ok:
			case c.State == risk.Reversed && r.State == risk.StepPending: // what was sent is looked for
				c.Steps[i], c.NextAt = r, s.now()
			// What was done is done, also where the decision was reversed meanwhile.
			case c.Steps[i].State == risk.StepPending || c.State == risk.Reversed && r.State == risk.StepDone:
				c.Steps[i] = r
				moved = moved || r.State != risk.StepPending
			}
		}
		if c.State != risk.Pending {
			return // reversed meanwhile
		}
		switch open := c.Unsettled(); {
		case len(results) == 0 && open == 0 && c.Left == 0:
			c.State, c.NextAt, c.Tries = risk.Applied, time.Time{}, 0
			if c.Confirmed { // meanwhile: the block must say so
				c.NextAt = s.now()
			}
			if slices.ContainsFunc(c.Steps, func(x risk.Step) bool { return x.State == risk.StepFailed }) {
				c.State, c.NextAt = risk.Failed, s.now() // people must hear of it
			}
		case len(results) == 0 && open == 0: // full: what is settled makes room
			full := len(c.Steps)
			c.Steps = slices.DeleteFunc(c.Steps, func(x risk.Step) bool { return x.State == risk.StepDone })
			if c.NextAt = s.now(); len(c.Steps) == full {
				c.State, c.Note = risk.Failed, "more payments than a decision can hold could not be dealt with"
			}
		case moved:
			c.NextAt, c.Tries = s.now(), 0 // look again: more may have come
		default:
			c.Tries++
			c.NextAt = s.now().Add(payment.Backoff(c.Tries))
		}
	})
}

// carryOutStep does one thing to one payment and says what came of it.
func (s *Service) carryOutStep(ctx context.Context, d risk.Decision, step risk.Step) risk.Step {
	step.At = s.now()
	p, err := s.load(ctx, step.Payment)
	if err == nil {
		switch {
		case step.Action == risk.ActCancel && !cancelable(p):
			return ended(step, p)
		case step.Action == risk.ActRefund && p.Operation(refundID(step)) == nil && !returnable(p, step.Capture):
			step.State, step.Note = risk.StepSkipped, "given back, contested or held meanwhile"
			return step
		}
		var a Answer
		if a, err = s.act(ctx, d, step, p); err == nil && !a.Unknown {
			step.State = risk.StepDone
			if op := a.Payment.Operation(refundID(step)); op != nil {
				step.Amount = op.Amount
			}
			return step
		}
	}
	step.Tries++
	switch code := payment.CodeOf(err); {
	case err == nil:
		step.Note = "its outcome is not known yet"
	case code == payment.CodeConflict || code == payment.CodeDeclined || code == payment.CodeNotFound || code == payment.CodeInvalid:
		step.Note = "refused: " + err.Error()
		if step.Tries >= maxStepTries {
			step.State = risk.StepFailed
		}
	default:
		step.Note = "not done yet (" + string(code) + ")"
	}
	return step
}

// ended is a cancel with nothing left to cancel.
func ended(step risk.Step, p *payment.Payment) risk.Step {
	step.State, step.Note = risk.StepDone, ""
	if s := p.Status(); s == payment.StatusSucceeded || s == payment.StatusConflicted {
		step.State, step.Note = risk.StepSkipped, "the payment is "+string(s)
	}
	return step
}

func returnable(p *payment.Payment, capture string) bool {
	return slices.ContainsFunc(p.Returnable(), func(o payment.Owed) bool { return o.Capture == capture })
}

// The operations of a step have ids of their own, so a step is done once whatever is
// repeated.
func refundID(step risk.Step) string { return payment.DeriveID("rfd", "risk", step.ID) }
func cancelID(step risk.Step) string { return payment.DeriveID("op", "risk", step.ID) }

func stepOp(step risk.Step) string {
	if step.Action == risk.ActCancel {
		return cancelID(step)
	}
	return refundID(step)
}

// act orders and runs what a step means, through the same path as an app's request.
func (s *Service) act(ctx context.Context, d risk.Decision, step risk.Step, p *payment.Payment) (Answer, error) {
	r := Request{Caller: Caller{Operator: true, Risk: d.ID}, Fingerprint: d.ID, Reason: d.Reason}
	if step.Action == risk.ActCancel {
		return s.command(ctx, r, p, cancelID(step), func(c *payment.Payment, cmd payment.Command) error {
			_, err := c.RequestCancel(cmd)
			return err
		})
	}
	return s.command(ctx, r, p, refundID(step), func(c *payment.Payment, cmd payment.Command) error {
		return c.RequestReturn(step.Capture, "fraudulent", cmd)
	})
}
