package gateway

import (
	"context"
	"errors"
	"slices"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Choice is one way to pay, for a button.
type Choice struct {
	Provider string
	Label    string            // in English
	Labels   map[string]string // in other languages, by ISO 639-1 code; where one is missing, Label is meant
}

// Choices reads a payment for its hosted page and lists the providers that can
// take it now.
func (s *Service) Choices(ctx context.Context, id, token string) (*payment.Payment, []Choice, error) {
	p, err := s.forCustomer(ctx, id, token)
	if err != nil {
		return nil, nil, err
	}
	live, open := p.Facts.Live() // a checkout that is open stays payable, whatever is paused
	return p, choices(p, slices.DeleteFunc(s.able(p), func(a *providers.Account) bool {
		return s.paused(a) && !(open && live.Account == a.Info().Account)
	})), nil
}

// able are the accounts that could take a payment, paused or not.
func (s *Service) able(p *payment.Payment) []*providers.Account {
	return s.opts.Providers.For(p.Mode, p.Request.Provider, want(p.Request, p.Facts.Terms))
}

// choices are one way to pay a provider.
func choices(p *payment.Payment, accounts []*providers.Account) []Choice {
	var out []Choice
	seen := map[string]bool{}
	for _, a := range accounts {
		info := a.Info()
		if seen[info.Provider] || p.Request.Account != "" && p.Request.Account != info.Account {
			continue
		}
		seen[info.Provider] = true
		out = append(out, Choice{Provider: info.Provider, Label: info.Label, Labels: info.Labels})
	}
	return out
}

// Choose opens a checkout at the provider the customer chose and returns its
// URL. A checkout open elsewhere is closed first, and only when that is certain
// does the new one open; found paid meanwhile, it is kept instead.
func (s *Service) Choose(ctx context.Context, id, token, provider string) (string, *payment.Payment, error) {
	p, err := s.forCustomer(ctx, id, token)
	if err != nil {
		return "", nil, err
	}
	offered := slices.ContainsFunc(choices(p, s.able(p)), func(c Choice) bool { return c.Provider == provider })
	if !offered {
		return "", p, payment.Invalid("/provider", "must be one of the offered providers")
	}
	if p, err = s.upToDate(ctx, p); err != nil {
		return "", p, err
	}
	if p.Status() != payment.StatusRequiresAction {
		return "", p, payment.NewError(payment.CodeConflict, "This payment is %s.", p.Status())
	}
	if err := s.refuseBlocked(ctx, p); err != nil {
		return "", p, err
	}
	if live, ok := p.Facts.Live(); ok {
		fact, known := p.Facts.AttemptFact(live.N)
		if known && live.Provider == provider && fact.URL != "" && p.Unfinished(live.N) == nil && !p.Facts.Exhausted(live.N) {
			return fact.URL, p, nil
		}
		if _, err := s.chosen(p, provider); err != nil {
			return "", p, err // what is open stays open
		}
		closed, err := s.closeForSwitch(ctx, p)
		if err != nil {
			return "", p, err
		}
		p = closed
	}
	return s.openChosen(ctx, p, provider)
}

// upToDate runs what is due before the customer's choice counts, and reads a
// checkout whose time is over.
func (s *Service) upToDate(ctx context.Context, p *payment.Payment) (*payment.Payment, error) {
	src := customerSource("opened the pay page")
	if live, ok := p.Facts.Live(); ok {
		if fact, known := p.Facts.AttemptFact(live.N); known && s.lapsed(fact) {
			fresh, err := s.Refresh(ctx, p.ID, live.N, src)
			if err != nil && !providers.Beside(err) {
				return p, providerError(err, p)
			}
			p = fresh
		}
	}
	return s.runDue(ctx, p, src)
}

func (s *Service) closeForSwitch(ctx context.Context, p *payment.Payment) (*payment.Payment, error) {
	var opID string
	id := payment.DeriveID("op", p.ID, "switch", s.opts.Token())
	next, err := s.change(ctx, p.ID, customerSource("chose another way to pay"), func(c *payment.Payment) error {
		op, err := c.RequestSwitch(payment.Command{ID: id, By: customer, Now: s.now()})
		if err != nil {
			return err
		}
		opID = ""
		if op != nil {
			opID = op.ID
		}
		return nil
	})
	if err != nil || opID == "" {
		return next, err
	}
	a, err := s.ordered(ctx, next, opID, false)
	if err != nil {
		return next, err
	}
	if a.Unknown {
		return a.Payment, payment.NewError(payment.CodeProviderUnavailable, "The checkout opened before could not be closed yet. Try again in a moment.")
	}
	return a.Payment, nil
}

// chosen is the account at the provider that the customer chose.
func (s *Service) chosen(p *payment.Payment, provider string) (*providers.Account, error) {
	req := p.Request
	req.Provider = provider
	return s.route(p.Mode, req, p.Facts.Terms)
}

func (s *Service) openChosen(ctx context.Context, p *payment.Payment, provider string) (string, *payment.Payment, error) {
	app, ok := s.app(p.App, p.Mode)
	if !ok {
		return "", p, payment.NewError(payment.CodeConflict, "The shop that made this payment is not configured any more.")
	}
	account, err := s.chosen(p, provider)
	if err != nil || account == nil {
		return "", p, err
	}
	owner := s.opts.Token()
	var opID string
	next, err := s.change(ctx, p.ID, customerSource("chose "+provider), func(c *payment.Payment) error {
		opID, err = s.open(c, account, app, owner, payment.Command{By: customer, Now: s.now()})
		return err
	})
	if err != nil {
		return "", p, err
	}
	done, err := s.created(ctx, next, opID, owner)
	if err != nil {
		return "", next, err
	}
	if done.Unknown {
		return "", done.Payment, payment.NewError(payment.CodeProviderUnavailable, "The provider has not answered yet. Try again in a moment.")
	}
	if target := s.Checkout(done.Payment); target != "" {
		return target, done.Payment, nil
	}
	return "", done.Payment, errors.New("gateway: the checkout that was opened has no page")
}

// customer is whoever holds the payment's token.
var customer = payment.Actor{Type: "customer"}

func customerSource(reason string) payment.Source {
	return payment.Source{Layer: payment.LayerAPI, Actor: customer, Reason: reason}
}
