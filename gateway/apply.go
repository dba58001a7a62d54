package gateway

import (
	"context"
	"errors"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Apply merges an observation into its payment, stores what is due next in the
// same write, and returns the payment. It never calls a provider. Like every
// write of what a provider said (applyTo, execute) it goes through change or save,
// and Facts.Observe is the only thing that adds to what is known.
func (s *Service) Apply(ctx context.Context, id string, obs payment.Observation, src payment.Source) (*payment.Payment, error) {
	return s.change(ctx, id, src, func(p *payment.Payment) error {
		p.Facts = p.Facts.Observe(obs)
		return nil
	})
}

// applyTo is Apply to a payment as it was read a moment ago, which spares reading it
// again. Where it has changed since, the write loses its race and Apply reads it anew.
// Where the observation brings nothing, it brings nothing to a later version either:
// facts only grow, and merging does not mind the order (I6).
func (s *Service) applyTo(ctx context.Context, p *payment.Payment, obs payment.Observation, src payment.Source) (*payment.Payment, error) {
	next, err := s.save(ctx, p, src, func(p *payment.Payment) error {
		p.Facts = p.Facts.Observe(obs)
		return nil
	})
	if errors.Is(err, ErrConflict) {
		return s.Apply(ctx, p.ID, obs, src)
	}
	return next, err
}

// attempt describes attempt n to its adapter. ok is false while its root is
// not known.
func attempt(p *payment.Payment, n int) (a providers.Attempt, account string, ok bool) {
	for _, opened := range p.Facts.Opened {
		if opened.N != n {
			continue
		}
		fact, known := p.Facts.AttemptFact(n)
		a = providers.Attempt{
			PaymentID: p.ID, N: n, Manual: p.Facts.Terms.Manual, Asked: p.Facts.Terms.Amount, CreatedAt: opened.CreatedAt,
			Root: providers.Ref{Kind: fact.Kind, ID: fact.Key.ID}, Refs: fact.Refs,
		}
		return a, opened.Account, known
	}
	return providers.Attempt{}, "", false
}

// Refresh reads the attempts of a payment at their providers and applies what
// they say: attempt n, or with n 0 every attempt in which anything can still
// change. It returns the payment and the first error of a read, that of an attempt that
// could not be read at all before others; attempts that could be read are applied all the
// same, and so is one of which only what stands beside it could not be.
func (s *Service) Refresh(ctx context.Context, id string, n int, src payment.Source) (*payment.Payment, error) {
	p, err := s.load(ctx, id)
	if err != nil {
		return nil, err
	}
	var first error
	for _, opened := range p.Facts.Opened {
		if n != 0 && opened.N != n || n == 0 && !worthReading(p, opened.N) {
			continue
		}
		obs, ok, err := s.fetch(ctx, p, opened.N)
		if err != nil && (first == nil || !ok && providers.Beside(first)) {
			first = err
		}
		if !ok {
			continue
		}
		if p, err = s.applyTo(ctx, p, obs, src); err != nil {
			return nil, err
		}
	}
	return p, first
}

// fetch reads one attempt; ok is false where its root is not known yet or could not be
// read. With ok and an error, what stands beside the root could not be.
func (s *Service) fetch(ctx context.Context, p *payment.Payment, n int) (payment.Observation, bool, error) {
	a, name, ok := attempt(p, n)
	if !ok {
		return payment.Observation{}, false, nil
	}
	account, found := s.opts.Providers.Account(name)
	if !found {
		return payment.Observation{}, false, &providers.Error{Class: providers.Misconfigured, Op: "fetch", Code: "account_not_configured"}
	}
	obs, err := account.Fetch(ctx, a)
	if err != nil && !(providers.Beside(err) && obs.Complete) {
		return payment.Observation{}, false, err
	}
	obs.N = n
	return obs, true, err
}

// worthReading says whether an attempt can still bring news: it is not dead, or
// money is or was in it.
func worthReading(p *payment.Payment, n int) bool {
	fact, known := p.Facts.AttemptFact(n)
	if !known {
		return false
	}
	if !fact.State.Dead() {
		return true
	}
	for _, c := range p.Facts.Captures {
		if c.N == n {
			return true
		}
	}
	return false
}

// providerError makes an error for the caller from a provider call that was
// certainly not done or refused. Provider texts stay inside.
func providerError(err error, p *payment.Payment) error {
	var own *payment.Error
	if errors.As(err, &own) || errors.Is(err, ErrUnavailable) {
		return err // what happened beside the call, such as a store that is away, is not the provider's
	}
	var e *providers.Error
	if !errors.As(err, &e) {
		e = &providers.Error{Class: providers.Unknown, Cause: err}
	}
	var out *payment.Error
	switch e.Class {
	case providers.Declined:
		out = payment.NewError(payment.CodeDeclined, "The payment was declined.")
		out.DeclineCode = e.DeclineCode
		if out.DeclineCode == "" {
			out.DeclineCode = e.Code
		}
	case providers.Refused:
		if e.Field != "" {
			out = payment.Invalid(e.Field, "is refused by the provider (%s)", e.Code)
		} else {
			out = payment.NewError(payment.CodeConflict, "The provider refused this for the object's present state (%s).", e.Code)
		}
	case providers.NotDone, providers.NotFound, providers.Misconfigured, providers.Unknown:
		out = payment.NewError(payment.CodeProviderUnavailable, "The provider could not be reached. Nothing was done; repeat the request with the same key.")
	}
	out.Cause = e
	if p != nil {
		out.PaymentID = p.ID
	}
	return out
}
