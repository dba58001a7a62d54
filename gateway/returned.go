package gateway

import (
	"context"
	"net/url"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Returned is layer one: the customer's browser is back from a provider. The
// provider's own query is never believed: the attempt is read, applied, and what
// is due runs (an approved order is captured here). It returns where to send
// the customer next. How long a slow provider keeps them is bounded by the time
// limits of one read and of the calls that are due; one that is down fails at once.
// Who comes back again and again is sent on without asking it.
func (s *Service) Returned(ctx context.Context, id, token, outcome string, n int) (redirect string, p *payment.Payment, err error) {
	p, err = s.forCustomer(ctx, id, token)
	if err != nil {
		return "", nil, err
	}
	canceled := outcome == "cancel"
	if s.opts.ReturnLayer && s.lookBacks.allow(p.ID, s.now()) { // else the other layers are soon enough
		p = s.settleReturn(ctx, p, n, canceled)
	}
	target := p.Request.ReturnURL
	if canceled {
		target = p.Request.CancelURL
	}
	status := p.Status()
	if status == payment.StatusRequiresAction && !canceled {
		if n > 0 && p.Facts.Abandoned(n) {
			return s.PayURL(p), p, nil
		}
		if live, ok := p.Facts.Live(); ok && declinedNow(p, live.N) {
			if next := s.Checkout(p); next != "" {
				return next, p, nil
			}
		}
	}
	app, ok := s.app(p.App, p.Mode)
	if allowed := ok && CheckReturnURL(target, app) == nil; !allowed {
		return "", p, nil // no longer on the app's list: a neutral page, no redirect
	}
	return withPaymentID(target, p.ID), p, nil
}

// settleReturn reads and runs what the return from attempt n makes possible, and gives
// back the newest payment it could store.
func (s *Service) settleReturn(ctx context.Context, p *payment.Payment, n int, canceled bool) *payment.Payment {
	src := payment.Source{Layer: payment.LayerReturn, Actor: customer, Reason: "came back from the provider"}
	known := p.Facts.Snapshot()
	fresh, err := s.Refresh(ctx, p.ID, 0, src)
	unread := err != nil && !providers.Beside(err) && providers.ClassOf(err) != providers.NotFound
	if err != nil {
		s.log.InfoContext(ctx, "provider could not be read on return", "payment", p.ID, "error", err)
	}
	if fresh != nil {
		p = fresh
	}
	if canceled {
		return p
	}
	if unread {
		src.Reason = "came back, and the provider could not be read"
	}
	fresh, err = s.change(ctx, p.ID, src, func(c *payment.Payment) error {
		c.Returned(s.now())
		if unread {
			c.ReturnedUnread(n, known, s.now())
		}
		return nil
	})
	if err != nil {
		s.log.WarnContext(ctx, "return could not be stored", "payment", p.ID, "error", err)
		return p
	}
	done, err := s.runDue(ctx, fresh, src)
	if err != nil {
		s.log.WarnContext(ctx, "due operations could not be stored", "payment", p.ID, "error", err)
	}
	return done
}

// Approved notes that a provider told of the customer's approval of attempt n, at a moment
// in its time: a declined order that they approved again is captured although they never
// come back. What is no news costs one read. RunDue runs what it makes due.
func (s *Service) Approved(ctx context.Context, id string, n int, at time.Time, src payment.Source) error {
	p, err := s.load(ctx, id)
	if err != nil || !p.Reapproved(n, at) {
		return err
	}
	_, err = s.change(ctx, id, src, func(c *payment.Payment) error {
		c.Approved(n, at, s.now())
		return nil
	})
	return err
}

// RunDue runs what became due through a layer: inbox and reconcile call it after
// Apply, so that an approved order is captured although nobody came back.
func (s *Service) RunDue(ctx context.Context, id string, src payment.Source) (*payment.Payment, error) {
	p, err := s.load(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.runDue(ctx, p, src)
}

// declinedNow says whether the last capture of attempt n was declined and the
// customer may choose another instrument on the same checkout.
func declinedNow(p *payment.Payment, n int) bool {
	fact, ok := p.Facts.AttemptFact(n)
	if !ok || fact.State != payment.AttemptOpen && fact.State != payment.AttemptApproved || fact.URL == "" {
		return false
	}
	for i := len(p.Operations) - 1; i >= 0; i-- {
		op := p.Operations[i]
		if op.N == n && (op.Kind == payment.OpCapture || op.Kind == payment.OpAuthorize) {
			return op.State == payment.OpFailed && op.Code == payment.CodeDeclined && op.Failure.Code != DeclineBlocked
		}
	}
	return false
}

// withPaymentID adds payment_id to an app's URL and nothing else: no status is
// ever put there, so that nobody can forge fulfilment.
func withPaymentID(target, id string) string {
	u, err := url.Parse(target)
	if err != nil { // was checked when it was accepted
		return ""
	}
	q := "payment_id=" + url.QueryEscape(id)
	if u.RawQuery != "" {
		q = u.RawQuery + "&" + q
	}
	u.RawQuery = q
	return u.String()
}

// PayURL is our own page, where a customer chooses how to pay.
func (s *Service) PayURL(p *payment.Payment) string {
	return s.opts.PublicURL + "/pay/" + p.ID + "?t=" + url.QueryEscape(p.Token)
}

// Checkout is where the customer goes next: the provider's page while an attempt
// can be paid there, else our own. Empty unless the payment is requires_action.
func (s *Service) Checkout(p *payment.Payment) string {
	if p.Status() != payment.StatusRequiresAction || p.Unfinished(0, payment.OpClose) != nil {
		return ""
	}
	if live, ok := p.Facts.Live(); ok && !p.Facts.Exhausted(live.N) {
		fact, known := p.Facts.AttemptFact(live.N)
		if known && fact.URL != "" && !s.lapsed(fact) {
			return fact.URL
		}
	}
	return s.PayURL(p)
}

// lapsed says that the provider has closed a checkout by now, whether or not we
// have read so.
func (s *Service) lapsed(fact payment.AttemptFact) bool {
	return !fact.ExpiresAt.IsZero() && !s.now().Before(fact.ExpiresAt)
}
