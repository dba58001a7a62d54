package gateway

import (
	"context"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Erase overwrites the personal data in one payment, in one write that also says
// who had it done and why. A payment that is not over yet is refused with conflict:
// it is erased later. Repeating it is harmless.
func (s *Service) Erase(ctx context.Context, id string, e payment.Erasure) (*payment.Payment, error) {
	return s.change(ctx, id, e.Source(), func(p *payment.Payment) error { return p.Erase(e, s.now()) })
}
