package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// MarkFed takes events that stand in the app's feed out of a payment's outbox.
// Nothing about the payment changes, so this is the one write without a history
// entry, and updated_at stays. Events that are gone already are fine: repeating
// the call is harmless.
func (s *Service) MarkFed(ctx context.Context, paymentID string, events []string) error {
	for range maxRaces {
		p, err := s.opts.Payments.Get(ctx, paymentID)
		if err != nil {
			return storeError(err)
		}
		left := slices.DeleteFunc(slices.Clone(p.Outbox), func(e payment.Event) bool { return slices.Contains(events, e.ID) })
		if len(left) == len(p.Outbox) {
			return nil
		}
		p.Outbox = left
		p.Version++
		err = s.opts.Payments.Replace(ctx, p)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return storeError(err)
		}
	}
	return storeError(fmt.Errorf("%w: %s changed %d times while its events were marked", ErrUnavailable, paymentID, maxRaces))
}
