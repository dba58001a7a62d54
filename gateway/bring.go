package gateway

import (
	"context"
	"errors"
	"slices"

	"github.com/trifecta-pay/trifecta/gateway/parallel"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

// bringing is what became of one payment's signals: all of them have reached everybody
// they concern, or err.
type bringing struct {
	signals []string
	err     error
}

// errand is news for one record, from any number of payments.
type errand[T any] struct {
	empty T // the record, where there is none yet
	news  []risk.Sighting
	from  []int // places of the payments
}

// errands collects them by the id of the record, in the order in which they came up.
type errands[T any] struct {
	at   map[string]int
	list []errand[T]
}

func (e *errands[T]) add(id string, empty T, from int, news ...risk.Sighting) {
	if len(news) == 0 {
		return
	}
	if e.at == nil {
		e.at = map[string]int{}
	}
	i, known := e.at[id]
	if !known {
		i = len(e.list)
		e.at[id] = i
		e.list = append(e.list, errand[T]{empty: empty})
	}
	e.list[i].news = append(e.list[i].news, news...)
	e.list[i].from = append(e.list[i].from, from)
}

// bring takes the signals of these payments to their subjects and tallies: each of those
// is written once, whatever number of the payments concern it, so that a card or customer
// that pays often costs no more than many. One that fails fails only the payments that
// concern it. Doing all of it again changes nothing: subjects and tallies know signals by
// their ids.
func (s *Service) bring(ctx context.Context, ps []*payment.Payment) []bringing {
	out := make([]bringing, len(ps))
	news, errs := s.sightings(ctx, ps)
	var subjects errands[risk.Subject]
	for i, p := range ps {
		for _, sig := range p.Signals {
			out[i].signals = append(out[i].signals, sig.ID)
		}
		if out[i].err = errs[i]; errs[i] != nil {
			continue
		}
		subject := func(ref risk.Ref, of []risk.Sighting) {
			subjects.add(risk.SubjectID(p.App, p.Mode, ref), risk.NewSubject(p.App, p.Mode, ref), i, of...)
		}
		subject(risk.Primary(p), news[i])
		for _, ref := range risk.Aliases(p) {
			subject(ref, risk.Alias(p, news[i]))
		}
		for _, ref := range risk.Instruments(p) {
			var mine []risk.Sighting
			for _, x := range news[i] {
				if ref.Kind == risk.KindCard && x.Card == ref.Value || ref.Kind == risk.KindPayer && x.Payer == ref.Value {
					mine = append(mine, x)
				}
			}
			subject(ref, mine)
		}
	}
	carry(s, out, subjects, func(e errand[risk.Subject]) error { return s.tell(ctx, e.empty, e.news) })
	s.tally(ctx, ps, news, out)
	return out
}

// carry runs errands, and notes with the payments what failed.
func carry[T any](s *Service, out []bringing, all errands[T], do func(errand[T]) error) {
	errs := make([]error, len(all.list))
	parallel.Each(s.opts.Parallel, len(all.list), func(i int) { errs[i] = do(all.list[i]) })
	for i, err := range errs {
		for _, from := range all.list[i].from {
			out[from].err = errors.Join(out[from].err, err)
		}
	}
}

// sightings are the signals still to handle of each payment, with the block that concerns
// them; none where that can't be told, with the error.
func (s *Service) sightings(ctx context.Context, ps []*payment.Payment) ([][]risk.Sighting, []error) {
	out, errs := make([][]risk.Sighting, len(ps)), make([]error, len(ps))
	names := make([][]risk.Ref, len(ps))
	for i, p := range ps {
		names[i] = risk.Identities(p)
	}
	blocks, err := s.blockingEach(ctx, ps, names)
	if err != nil {
		blocks = make([]risk.Block, len(ps))
	}
	for i, p := range ps {
		if errs[i] = err; err != nil && len(ps) > 1 && !errors.Is(err, ErrUnavailable) {
			// One of the blocks can't be read: that stops nobody whom it does not concern.
			blocks[i], _, errs[i] = s.blockingAny(ctx, p, names[i])
		}
		if errs[i] != nil {
			continue
		}
		for _, x := range risk.Sightings(p) {
			if !slices.ContainsFunc(p.Signals, func(sig payment.Signal) bool { return sig.ID == x.ID }) {
				continue
			}
			reached := x.Kind == payment.SignalAsked || x.Kind == payment.SignalPayer || x.Kind == payment.SignalPaid
			if reached && blocks[i].Effect == risk.EffectBlock {
				x.Blocked = blocks[i].ID
			}
			out[i] = append(out[i], x)
		}
	}
	return out, errs
}

// tally counts accounts' months, and judges those to which something bad was added.
func (s *Service) tally(ctx context.Context, ps []*payment.Payment, news [][]risk.Sighting, out []bringing) {
	var shares errands[risk.Tally]
	for i, p := range ps {
		for _, x := range news[i] {
			if out[i].err != nil || x.Account == "" {
				continue
			}
			if share := risk.TallyFor(p.Mode, x); share.Counts(x) {
				shares.add(share.ID, share, i, x)
			}
		}
	}
	carry(s, out, shares, func(e errand[risk.Tally]) error {
		return storeError(s.opts.Risk.Store.ChangeTally(ctx, e.empty, func(t risk.Tally) (risk.Tally, bool) {
			changed := false
			for _, x := range e.news {
				var counted bool
				t, counted = t.Count(x)
				changed = changed || counted
			}
			return t, changed
		}))
	})
	for i, p := range ps {
		for _, x := range news[i] {
			if out[i].err == nil && (x.Kind == payment.SignalDispute || x.Kind == payment.SignalWarning) && x.Account != "" {
				out[i].err = s.judgeAccount(ctx, p, x)
			}
		}
	}
}

// judgeAccount looks at an account's month after something bad was added to it.
func (s *Service) judgeAccount(ctx context.Context, p *payment.Payment, x risk.Sighting) error {
	shares, err := s.opts.Risk.Store.Tallies(ctx, risk.TallyIDs(x.Account, x.At))
	if err != nil {
		return storeError(err)
	}
	for _, d := range s.policy(p.App, p.Mode).Rate(p.Mode, x.Account, x, shares) {
		if err := s.propose(ctx, d); err != nil {
			return err
		}
	}
	return nil
}
