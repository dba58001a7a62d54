package gateway

import (
	"context"
	"slices"

	"github.com/trifecta-pay/trifecta/gateway/parallel"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// MarkFed takes events that stand in the app's feed out of their payments' outboxes. It
// returns an error for each entry, nil where it is done. Nothing about a payment changes.
// Events that are gone already are fine: repeating the call is harmless.
//
// What a payment tells its app, it mostly signals to the rules against fraud as well, in
// the same change. So the same write takes those signals out, if they are due and have
// reached everybody they concern: one write of the payment instead of two. Signals that
// can't be handled now keep no event from being marked; they stay due, and the risk
// worker handles what this never sees.
func (s *Service) MarkFed(ctx context.Context, fed []payment.Fed) []error {
	handled := s.takeAlong(ctx, fed)
	errs := make([]error, len(fed))
	parallel.Each(s.opts.Parallel, len(fed), func(i int) {
		errs[i] = s.adjustFrom(ctx, fed[i].Payment, fed[i].Read, func(p *payment.Payment) bool {
			before := len(p.Outbox)
			p.Outbox = slices.DeleteFunc(slices.Clone(p.Outbox), func(e payment.Event) bool { return slices.Contains(fed[i].Events, e.ID) })
			return p.Handled(handled[fed[i].Payment]) || len(p.Outbox) < before
		})
	})
	return errs
}

// takeAlong handles the signals that are due in payments which are about to be written
// anyway. It returns them by payment.
func (s *Service) takeAlong(ctx context.Context, fed []payment.Fed) map[string][]string {
	if s.opts.Risk == nil {
		return nil
	}
	var due []*payment.Payment
	for _, f := range fed {
		if f.Read != nil && len(f.Read.Signals) > 0 && !f.Read.SignalAt.After(s.now()) && !slices.Contains(due, f.Read) {
			due = append(due, f.Read)
		}
	}
	out := map[string][]string{}
	for chunk := range slices.Chunk(due, riskBatch) {
		for i, h := range s.bring(ctx, chunk) {
			if h.err != nil {
				s.log.InfoContext(ctx, "signals left to the risk worker", "payment", chunk[i].ID, "error", h.err)
				continue
			}
			out[chunk[i].ID] = h.signals
		}
	}
	return out
}
