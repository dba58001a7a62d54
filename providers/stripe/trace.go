package stripe

import (
	"context"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/providers"
)

// Trace reads an object that no payment is known to hold and follows it up: to its
// charge, its intent, and where none of them carries our reference, to the session
// that made the intent.
func (a *Adapter) Trace(ctx context.Context, object providers.Ref) (providers.Hint, error) {
	const op = "trace"
	if object.Kind == kindSession {
		s, err := a.session(ctx, op, object.ID)
		if err != nil {
			return providers.Hint{}, err
		}
		return sessionHint(s), nil
	}
	t := trail{ids: []string{object.ID}}
	if err := a.follow(ctx, op, object, &t); err != nil {
		return providers.Hint{}, err
	}
	if t.hint.PaymentID == "" && t.intent == "" && t.charge != "" {
		c, err := a.charge(ctx, op, t.charge)
		if err != nil {
			return providers.Hint{}, err
		}
		t.sawCharge(c)
	}
	if t.hint.PaymentID == "" && t.intent != "" && object.Kind != kindIntent {
		p, err := a.intent(ctx, op, t.intent)
		if err != nil {
			return providers.Hint{}, err
		}
		t.sawIntent(p)
	}
	if t.hint.PaymentID == "" && t.intent != "" {
		if err := a.sessionOf(ctx, op, &t); err != nil {
			return providers.Hint{}, err
		}
	}
	t.hint.Refs, t.hint.LetGo = refs(t.ids...), t.letGo
	return t.hint, nil
}

// trail is what was found on the way up, most specific id first.
type trail struct {
	hint           providers.Hint
	ids            []string
	charge, intent string
	letGo          bool
}

// saw adds ids and, where none was found yet, the claim.
func (t *trail) saw(meta map[string]string, ids ...string) {
	t.ids = append(t.ids, ids...)
	if t.hint.PaymentID == "" {
		t.hint = claim(meta, "")
	}
}

func (t *trail) sawCharge(c *stripesdk.Charge) {
	if c == nil {
		return
	}
	t.charge = c.ID
	t.saw(c.Metadata, c.ID)
	t.sawIntent(c.PaymentIntent)
}

func (t *trail) sawIntent(p *stripesdk.PaymentIntent) {
	if p == nil {
		return
	}
	t.intent = p.ID
	t.saw(p.Metadata, p.ID)
}

// follow reads the object itself.
func (a *Adapter) follow(ctx context.Context, op string, object providers.Ref, t *trail) error {
	switch object.Kind {
	case kindIntent:
		p, err := a.intent(ctx, op, object.ID)
		if err != nil {
			return err
		}
		t.sawIntent(p)
		t.sawCharge(p.LatestCharge)
	case kindCharge:
		c, err := a.charge(ctx, op, object.ID)
		if err != nil {
			return err
		}
		t.sawCharge(c)
	case kindRefund:
		r, err := a.refund(ctx, op, object.ID)
		if err != nil {
			return err
		}
		t.saw(r.Metadata)
		t.sawCharge(r.Charge)
		t.sawIntent(r.PaymentIntent)
		if t.letGo, err = a.letGo(ctx, op, r); err != nil {
			return err
		}
	case kindDispute:
		d, err := a.dispute(ctx, op, object.ID)
		if err != nil {
			return err
		}
		t.saw(d.Metadata)
		t.sawCharge(d.Charge)
		t.sawIntent(d.PaymentIntent)
	case kindWarning, kindReview:
		return a.followRisk(ctx, op, object, t)
	case kindTransaction:
		x, err := a.transaction(ctx, op, object.ID)
		if err != nil {
			return err
		}
		t.sawSource(x.Source)
	default:
		return &providers.Error{Class: providers.NotFound, Provider: provider, Op: op, Code: "unsupported_kind"}
	}
	return nil
}

// followRisk reads an early fraud warning or a review.
func (a *Adapter) followRisk(ctx context.Context, op string, object providers.Ref, t *trail) error {
	if object.Kind == kindWarning {
		w, err := read(ctx, op, func(ctx context.Context) (*stripesdk.RadarEarlyFraudWarning, error) {
			w, err := a.sdk.RadarEarlyFraudWarnings.Get(object.ID, &stripesdk.RadarEarlyFraudWarningParams{Params: stripesdk.Params{Context: ctx}})
			return whole(w, err, func() bool { return w.ID == object.ID })
		})
		if err != nil {
			return err
		}
		t.sawCharge(w.Charge)
		t.sawIntent(w.PaymentIntent)
		return nil
	}
	r, err := read(ctx, op, func(ctx context.Context) (*stripesdk.Review, error) {
		r, err := a.sdk.Reviews.Get(object.ID, &stripesdk.ReviewParams{Params: stripesdk.Params{Context: ctx}})
		return whole(r, err, func() bool { return r.ID == object.ID })
	})
	if err != nil {
		return err
	}
	t.sawCharge(r.Charge)
	t.sawIntent(r.PaymentIntent)
	return nil
}

// sawSource adds what a balance transaction is about, expanded.
func (t *trail) sawSource(s *stripesdk.BalanceTransactionSource) {
	if s == nil {
		return
	}
	t.ids = append(t.ids, s.ID)
	switch {
	case s.Charge != nil:
		t.sawCharge(s.Charge)
	case s.Refund != nil:
		t.saw(s.Refund.Metadata)
		t.sawCharge(s.Refund.Charge)
		t.sawIntent(s.Refund.PaymentIntent)
	case s.Dispute != nil:
		t.saw(s.Dispute.Metadata)
		t.sawCharge(s.Dispute.Charge)
		t.sawIntent(s.Dispute.PaymentIntent)
	}
}

func (a *Adapter) charge(ctx context.Context, op, id string) (*stripesdk.Charge, error) {
	return read(ctx, op, func(ctx context.Context) (*stripesdk.Charge, error) {
		c, err := a.sdk.Charges.Get(id, &stripesdk.ChargeParams{Params: stripesdk.Params{Context: ctx}})
		return whole(c, err, func() bool { return c.ID == id && c.Status != "" })
	})
}

func (a *Adapter) refund(ctx context.Context, op, id string) (*stripesdk.Refund, error) {
	return read(ctx, op, func(ctx context.Context) (*stripesdk.Refund, error) {
		params := &stripesdk.RefundParams{Params: stripesdk.Params{Context: ctx}}
		params.AddExpand("charge")
		params.AddExpand("balance_transaction")
		r, err := a.sdk.Refunds.Get(id, params)
		return whole(r, err, func() bool { return r.ID == id && r.Status != "" })
	})
}

// letGo says whether a refund, read with its charge, only let money go. Where that is
// not certain by itself, the other refunds of its payment are read too.
func (a *Adapter) letGo(ctx context.Context, op string, r *stripesdk.Refund) (bool, error) {
	yes, certain := release(r, r.Charge)
	if !yes || certain || r.PaymentIntent == nil {
		return yes && certain, nil
	}
	all, err := a.refunds(ctx, op, r.PaymentIntent.ID)
	return err == nil && released(r, r.Charge, all), err
}

// sessionOf finds the session that made an intent.
func (a *Adapter) sessionOf(ctx context.Context, op string, t *trail) error {
	rows, err := a.sessions(ctx, op, stripesdk.CheckoutSessionListParams{PaymentIntent: stripesdk.String(t.intent)})
	if err != nil {
		return err
	}
	for _, s := range rows {
		h := sessionHint(s)
		t.ids = append(t.ids, h.Refs...)
		if t.hint.PaymentID == "" {
			t.hint = h
		}
	}
	return nil
}

// sessionHint says where a session may belong.
func sessionHint(s *stripesdk.CheckoutSession) providers.Hint {
	h := claim(s.Metadata, s.ClientReferenceID)
	intent := ""
	if s.PaymentIntent != nil {
		intent = s.PaymentIntent.ID
	}
	h.Refs = refs(s.ID, intent)
	return h
}
