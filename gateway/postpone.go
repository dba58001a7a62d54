package gateway

import (
	"context"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Postpone moves a payment's next sync, where it has come or gone by, to a later
// time: the next of its account's schedule, or after a reading that failed sooner,
// but ever later the older the payment is. Nothing about the payment changes.
func (s *Service) Postpone(ctx context.Context, id string, failed bool) error {
	return s.adjust(ctx, id, func(p *payment.Payment) bool {
		now := s.now()
		if p.NextSyncAt.IsZero() || p.NextSyncAt.After(now) {
			return false // a change of the payment has set it anew
		}
		p.NextSyncAt = p.NextSync(s.schedule(p), now)
		if failed {
			p.NextSyncAt = afterFailure(p, now)
		}
		return true
	})
}

// Bounds of the time between two readings that fail.
const (
	firstRetrySync = time.Minute
	lastRetrySync  = 24 * time.Hour
)

// afterFailure is when to read again after a reading failed: in a quarter of the
// payment's age, which widens by itself, and not after the schedule. A payment
// whose outcome is open is never given up.
func afterFailure(p *payment.Payment, now time.Time) time.Time {
	opened := p.CreatedAt
	if latest, ok := p.Facts.Latest(); ok {
		opened = latest.CreatedAt
	}
	retry := now.Add(min(max(now.Sub(opened)/4, firstRetrySync), lastRetrySync))
	if p.NextSyncAt.IsZero() {
		switch p.Status() {
		case payment.StatusProcessing, payment.StatusRequiresAction, payment.StatusAuthorized, payment.StatusConflicted:
			return retry
		case payment.StatusSucceeded, payment.StatusCanceled, payment.StatusExpired, payment.StatusFailed:
		}
		return time.Time{}
	}
	if p.NextSyncAt.Before(retry) {
		return p.NextSyncAt
	}
	return retry
}

// schedule is when a fresh attempt of this payment is read again by id, by the
// account of its latest attempt.
func (s *Service) schedule(p *payment.Payment) []time.Duration {
	if latest, ok := p.Facts.Latest(); ok {
		if account, ok := s.opts.Providers.Account(latest.Account); ok {
			return account.Info().SyncSchedule
		}
	}
	return nil
}
