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

// Bounds of the risk worker.
const (
	riskBatch = 50               // payments and decisions one Step looks at, each
	heldLook  = time.Minute      // between two looks at a capture that a hold puts off
	riskRetry = 5 * time.Minute  // until a payment whose signals can't be handled is tried again
	stuckLook = 30 * time.Second // until a decision that could not be gone on with is
)

// Risk is the worker behind the rules against fraud: it brings signals from payments
// to their subjects, lets the rules decide, and carries decisions out.
type Risk struct{ s *Service }

// Risk gives the worker over this service. Without RiskOptions it never finds work.
func (s *Service) Risk() *Risk { return &Risk{s: s} }

// Step handles the signals and decisions that are due now. One that fails never stops
// the others. next is when to look again at the latest.
func (r *Risk) Step(ctx context.Context) (did int, next time.Time, err error) {
	now := r.s.now()
	next = now.Add(time.Second)
	if r.s.opts.Risk == nil {
		return 0, now.Add(time.Hour), nil
	}
	store := r.s.opts.Risk.Store
	signals, more, err := upTo(ctx, now, riskBatch, store.Signaling, func(id string) error {
		err := r.s.handleSignals(ctx, id)
		if err != nil {
			err = errors.Join(fmt.Errorf("signals of %s: %w", id, err), r.s.putOffSignals(ctx, id))
		}
		return err
	})
	decided, moreDecisions, err2 := upTo(ctx, now, riskBatch, store.DueDecisions, func(id string) error {
		_, err := r.s.visit(ctx, id)
		if err != nil {
			err = errors.Join(fmt.Errorf("decision %s: %w", id, err), r.s.putOffDecision(ctx, id, now))
		}
		return err
	})
	if more || moreDecisions {
		next = now
	}
	return signals + decided, next, errors.Join(err, err2)
}

// upTo works on what is due, batch at first. One that fails never stops the others, nor do
// many that can't even be put off at the head of the queue: then it looks further. more
// says that the queue goes on.
func upTo(ctx context.Context, now time.Time, batch int, due func(context.Context, time.Time, int) ([]string, error), do func(id string) error) (did int, more bool, err error) {
	var problems []error
	tried := map[string]bool{}
	for limit := batch; ; limit *= 2 {
		ids, err := due(ctx, now, limit)
		if err != nil {
			return did, false, errors.Join(append(problems, storeError(err))...)
		}
		for _, id := range ids {
			if tried[id] {
				continue
			}
			tried[id] = true
			if err := do(id); err != nil {
				problems = append(problems, err)
				continue
			}
			did++
		}
		if full := len(ids) == limit; !full || did > 0 || limit >= maxLook {
			return did, full && did > 0, errors.Join(problems...)
		}
	}
}

// putOffSignals keeps a payment whose signals can't be handled from being tried in
// every step.
func (s *Service) putOffSignals(ctx context.Context, id string) error {
	return s.adjust(ctx, id, func(p *payment.Payment) bool {
		if p.SignalAt.IsZero() || p.SignalAt.After(s.now()) {
			return false
		}
		p.SignalAt = s.now().Add(riskRetry)
		return true
	})
}

// putOffDecision keeps a decision that can't be gone on with from standing at the head
// of the queue.
func (s *Service) putOffDecision(ctx context.Context, id string, now time.Time) error {
	_, err := s.opts.Risk.Store.ChangeDecision(ctx, id, func(d risk.Decision) (risk.Decision, bool) {
		if !d.Open() || d.NextAt.After(now) {
			return d, false // done, or to be looked at later already
		}
		d.NextAt = now.Add(stuckLook)
		return d, true
	})
	return storeError(err)
}

// policy is an app's rules.
func (s *Service) policy(app string, mode payment.Mode) risk.Policy {
	if s.opts.Risk.Policy == nil {
		return risk.Default()
	}
	return s.opts.Risk.Policy(app, mode)
}

// handleSignals brings a payment's news to everybody it concerns, and takes it out of
// the payment only when all of them have it and all decisions stand on their own. A
// crash before that only repeats it.
func (s *Service) handleSignals(ctx context.Context, id string) error {
	p, err := s.load(ctx, id)
	if err != nil || len(p.Signals) == 0 {
		return err
	}
	handled := make([]string, 0, len(p.Signals))
	for _, sig := range p.Signals {
		handled = append(handled, sig.ID)
	}
	news, err := s.sightings(ctx, p, handled)
	if err != nil {
		return err
	}
	policy := s.policy(p.App, p.Mode)
	if err := s.tell(ctx, p, risk.Primary(p), policy, news); err != nil {
		return err
	}
	for _, ref := range risk.Instruments(p) {
		var mine []risk.Sighting
		for _, x := range news {
			if ref.Kind == risk.KindCard && x.Card == ref.Value || ref.Kind == risk.KindPayer && x.Payer == ref.Value {
				mine = append(mine, x)
			}
		}
		if err := s.tell(ctx, p, ref, policy, mine); err != nil {
			return err
		}
	}
	if err := s.tally(ctx, p, policy, news); err != nil {
		return err
	}
	return s.adjust(ctx, id, func(c *payment.Payment) bool { return c.Handled(handled) })
}

// sightings are the signals still to handle, with the block that concerns them.
func (s *Service) sightings(ctx context.Context, p *payment.Payment, ids []string) ([]risk.Sighting, error) {
	b, blocked, err := s.blocking(ctx, p)
	if err != nil {
		return nil, err
	}
	var out []risk.Sighting
	for _, x := range risk.Sightings(p) {
		if !slices.Contains(ids, x.ID) {
			continue
		}
		reached := x.Kind == payment.SignalAsked || x.Kind == payment.SignalPayer || x.Kind == payment.SignalPaid
		if blocked && b.Effect == risk.EffectBlock && reached {
			x.Blocked = b.ID
		}
		out = append(out, x)
	}
	return out, nil
}

// tell gives a subject its sightings and stores what the rules decided by them.
func (s *Service) tell(ctx context.Context, p *payment.Payment, ref risk.Ref, policy risk.Policy, news []risk.Sighting) error {
	if len(news) == 0 {
		return nil
	}
	empty := risk.NewSubject(p.App, p.Mode, ref)
	subject, err := s.opts.Risk.Store.ChangeSubject(ctx, empty, func(old risk.Subject) (risk.Subject, bool) { return old.Take(policy, news) })
	if err != nil {
		return storeError(err)
	}
	if len(subject.Outbox) == 0 {
		return nil
	}
	var stored []string
	for _, d := range subject.Outbox {
		if err := s.propose(ctx, d); err != nil {
			return err
		}
		stored = append(stored, d.ID)
	}
	_, err = s.opts.Risk.Store.ChangeSubject(ctx, empty, func(old risk.Subject) (risk.Subject, bool) { return old.Relayed(stored) })
	return storeError(err)
}

// propose stores a decision and makes it due. One that stands already is looked at
// again where it acts on payments: the same cause may have brought a new one to act on.
func (s *Service) propose(ctx context.Context, d risk.Decision) error {
	now := s.now()
	d.CreatedAt, d.UpdatedAt, d.NextAt = now, now, now
	known, created, err := s.opts.Risk.Store.InsertDecision(ctx, d)
	if err != nil {
		return storeError(err)
	}
	if created {
		s.log.WarnContext(ctx, "a rule fired", "decision", d.ID, "rule", d.Rule, "state", d.State, "payments", d.Payments)
		return nil
	}
	if known.State != risk.Applied || !known.Acting() {
		return nil
	}
	_, err = s.opts.Risk.Store.ChangeDecision(ctx, d.ID, func(old risk.Decision) (risk.Decision, bool) {
		if old.State != risk.Applied {
			return old, false
		}
		old.State, old.NextAt, old.UpdatedAt, old.Tries = risk.Pending, now, now, 0
		return old, true
	})
	return storeError(err)
}

// tally counts an account's month, and judges it where something bad was added.
func (s *Service) tally(ctx context.Context, p *payment.Payment, policy risk.Policy, news []risk.Sighting) error {
	for _, x := range news {
		if x.Account == "" {
			continue
		}
		if _, counts := risk.TallyFor(p.Mode, x).Count(x); !counts {
			continue
		}
		if err := s.opts.Risk.Store.ChangeTally(ctx, risk.TallyFor(p.Mode, x), func(t risk.Tally) (risk.Tally, bool) { return t.Count(x) }); err != nil {
			return storeError(err)
		}
		if x.Kind == payment.SignalPaid {
			continue
		}
		shares, err := s.opts.Risk.Store.Tallies(ctx, risk.TallyIDs(x.Account, x.At))
		if err != nil {
			return storeError(err)
		}
		for _, d := range policy.Rate(p.Mode, x.Account, x, shares) {
			if err := s.propose(ctx, d); err != nil {
				return err
			}
		}
	}
	return nil
}
