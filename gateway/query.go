package gateway

import (
	"context"
	"errors"
	"slices"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

func asError(err error, target **payment.Error) bool { return errors.As(err, target) }

// Get reads one payment of the caller's.
func (s *Service) Get(ctx context.Context, c Caller, id string) (*payment.Payment, error) {
	return s.owned(ctx, c, id)
}

// List reads the caller's payments, newest first.
func (s *Service) List(ctx context.Context, c Caller, f Filter) ([]*payment.Payment, string, error) {
	if c.Operator {
		return nil, "", payment.NewError(payment.CodeForbidden, "Lists of payments belong to one app; use a key of that app.")
	}
	f.App, f.Mode = c.App, c.Mode
	list, next, err := s.opts.Payments.List(ctx, f)
	if err != nil {
		return nil, "", storeError(err)
	}
	return list, next, nil
}

// GetRefund finds a refund by its id, with its payment.
func (s *Service) GetRefund(ctx context.Context, c Caller, id string) (*payment.Payment, payment.RefundView, error) {
	found, err := s.opts.Payments.ByRef(ctx, "", id)
	if err != nil {
		return nil, payment.RefundView{}, storeError(err)
	}
	for _, p := range found {
		if !c.Operator && (p.App != c.App || p.Mode != c.Mode) {
			continue
		}
		for _, r := range p.Refunds() {
			if r.ID == id {
				return p, r, nil
			}
		}
	}
	return nil, payment.RefundView{}, notFound()
}

// History is everything that happened to a payment, oldest first.
func (s *Service) History(ctx context.Context, c Caller, id string) (*payment.Payment, []payment.HistoryEntry, error) {
	p, err := s.owned(ctx, c, id)
	if err != nil {
		return nil, nil, err
	}
	spilled, err := s.opts.Payments.History(ctx, id)
	if err != nil {
		return nil, nil, storeError(err)
	}
	out := slices.Clone(p.History)
	known := map[int64]bool{}
	for _, h := range out {
		known[h.Version] = true
	}
	for _, h := range spilled { // a crash between the two writes leaves an entry in both places
		if !known[h.Version] {
			out = append(out, h)
		}
	}
	slices.SortStableFunc(out, func(a, b payment.HistoryEntry) int { return int(a.Version - b.Version) })
	return p, out, nil
}
