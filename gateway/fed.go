package gateway

import (
	"context"
	"slices"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// MarkFed takes events that stand in the app's feed out of a payment's outbox.
// Nothing about the payment changes. Events that are gone already are fine:
// repeating the call is harmless.
func (s *Service) MarkFed(ctx context.Context, paymentID string, events []string) error {
	return s.adjust(ctx, paymentID, func(p *payment.Payment) bool {
		before := len(p.Outbox)
		p.Outbox = slices.DeleteFunc(slices.Clone(p.Outbox), func(e payment.Event) bool { return slices.Contains(events, e.ID) })
		return len(p.Outbox) < before
	})
}
