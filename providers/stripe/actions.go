package stripe

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// CloseCheckout expires an open session, the only way to stop it: its intent can't
// be canceled (Stripe docs: expire a session). Whoever paid first wins and is
// reported.
func (a *Adapter) CloseCheckout(ctx context.Context, at providers.Attempt, key string) (providers.Result, error) {
	const op = "close_checkout"
	if err := checkKey(op, key); err != nil {
		return providers.Result{}, err
	}
	s, err := a.snapshot(ctx, op, at.Root)
	if err != nil {
		return providers.Result{}, err
	}
	if closable(s) {
		if err := a.stop(ctx, op, s, key); err != nil && providers.ClassOf(err) != providers.Refused {
			return providers.Result{}, err
		}
		// Refused means that it is no longer open; who was faster is read now.
		if s, err = a.snapshot(ctx, op, at.Root); err != nil {
			return providers.Result{}, unclear(err)
		}
		if closable(s) {
			// Stripe keeps the refusal under the key, so another try needs a new one.
			return providers.Result{}, &providers.Error{
				Class: providers.NotDone, Provider: provider, Op: op, Code: "still_open", Stored: true, RetryAfter: time.Minute,
			}
		}
	}
	obs, err := a.observation(op, s, at.N, true)
	return providers.Result{Ref: at.Root.ID, Observation: obs}, err
}

// closable says that a customer can still pay and that no money moves yet.
func closable(s snapshot) bool {
	state := (&mapper{s: s}).state()
	if s.session != nil {
		return state == payment.AttemptOpen
	}
	return slices.Contains([]stripesdk.PaymentIntentStatus{
		stripesdk.PaymentIntentStatusRequiresPaymentMethod,
		stripesdk.PaymentIntentStatusRequiresConfirmation,
		stripesdk.PaymentIntentStatusRequiresAction,
	}, s.intent.Status)
}

// stop makes a root impossible to pay.
func (a *Adapter) stop(ctx context.Context, op string, s snapshot, key string) error {
	if s.session == nil {
		_, err := a.cancelIntent(ctx, op, s.intent.ID, key)
		return err
	}
	_, err := write(ctx, op, func(ctx context.Context) (*stripesdk.CheckoutSession, error) {
		params := &stripesdk.CheckoutSessionExpireParams{Params: stripesdk.Params{Context: ctx}}
		params.SetIdempotencyKey(key)
		return a.sdk.CheckoutSessions.Expire(s.session.ID, params)
	})
	return err
}

func (a *Adapter) cancelIntent(ctx context.Context, op, id, key string) (*stripesdk.PaymentIntent, error) {
	return write(ctx, op, func(ctx context.Context) (*stripesdk.PaymentIntent, error) {
		params := &stripesdk.PaymentIntentCancelParams{Params: stripesdk.Params{Context: ctx}}
		params.SetIdempotencyKey(key)
		params.AddExpand("latest_charge")
		p, err := a.sdk.PaymentIntents.Cancel(id, params)
		return whole(p, err, func() bool { return p.ID == id && p.Status != "" })
	})
}

// Capture takes money that is held. The capture's id is the charge's.
func (a *Adapter) Capture(ctx context.Context, req providers.CaptureRequest, key string) (providers.Result, error) {
	const op = "capture"
	if err := checkKey(op, key); err != nil {
		return providers.Result{}, err
	}
	amount, err := toStripe(req.Amount)
	switch {
	case err != nil || amount < 1:
		return providers.Result{}, refuse(op, "unsupported_amount", "/amount")
	case !req.Final:
		return providers.Result{}, refuse(op, "unsupported", "/final") // needs multicapture
	}
	id, err := a.intentOf(ctx, op, req)
	if err != nil {
		return providers.Result{}, err
	}
	intent, err := write(ctx, op, func(ctx context.Context) (*stripesdk.PaymentIntent, error) {
		params := &stripesdk.PaymentIntentCaptureParams{Params: stripesdk.Params{Context: ctx}, AmountToCapture: stripesdk.Int64(amount)}
		params.SetIdempotencyKey(key)
		params.AddExpand("latest_charge")
		p, err := a.sdk.PaymentIntents.Capture(id, params)
		return whole(p, err, func() bool { return p.ID == id && p.LatestCharge != nil && p.LatestCharge.ID != "" })
	})
	if inDisguise(err) {
		return a.capturedAlready(ctx, op, req, err)
	}
	if err != nil {
		return providers.Result{}, err
	}
	return a.after(ctx, op, req.Attempt, intent.LatestCharge.ID, intentFragment(intent))
}

// intentOf is the intent that a capture or void means: the authorization's id is
// the intent's; a session is asked for its own.
func (a *Adapter) intentOf(ctx context.Context, op string, req providers.CaptureRequest) (string, error) {
	if strings.HasPrefix(req.Target, "pi_") {
		return req.Target, nil
	}
	if id := req.Attempt.Refs.PaymentIntent; id != "" {
		return id, nil
	}
	s, err := a.session(ctx, op, req.Target)
	if err != nil {
		return "", err
	}
	if s.PaymentIntent == nil {
		return "", refuse(op, "nothing_authorized", "")
	}
	return s.PaymentIntent.ID, nil
}

// inDisguise says that a refusal may mean "that was done already".
func inDisguise(err error) bool {
	var e *providers.Error
	if !errors.As(err, &e) || e.Class != providers.Refused {
		return false
	}
	switch stripesdk.ErrorCode(e.Code) {
	case stripesdk.ErrorCodePaymentIntentUnexpectedState, stripesdk.ErrorCodeChargeAlreadyCaptured:
		return true
	default:
		return false
	}
}

// capturedAlready looks whether the state that refused a capture is just what was
// asked for. Money taken in another amount is not ours: the refusal stands, and
// the observation comes with it.
func (a *Adapter) capturedAlready(ctx context.Context, op string, req providers.CaptureRequest, refusal error) (providers.Result, error) {
	obs, err := a.observe(ctx, op, req.Attempt)
	if err != nil {
		return providers.Result{}, unclear(err)
	}
	for _, c := range obs.Facts.Captures {
		if c.State == payment.CaptureCompleted && c.Amount == req.Amount {
			return providers.Result{Ref: c.Key.ID, Observation: obs}, nil
		}
	}
	return providers.Result{Observation: obs}, refusal
}

// Void lets held money go.
func (a *Adapter) Void(ctx context.Context, req providers.CaptureRequest, key string) (providers.Result, error) {
	const op = "void"
	if err := checkKey(op, key); err != nil {
		return providers.Result{}, err
	}
	id, err := a.intentOf(ctx, op, req)
	if err != nil {
		return providers.Result{}, err
	}
	intent, err := a.cancelIntent(ctx, op, id, key)
	if inDisguise(err) {
		obs, readErr := a.observe(ctx, op, req.Attempt)
		if readErr != nil {
			return providers.Result{}, unclear(readErr)
		}
		for _, auth := range obs.Facts.Authorizations {
			if auth.State == payment.AuthVoided || auth.State == payment.AuthExpired {
				return providers.Result{Ref: id, Observation: obs}, nil
			}
		}
		return providers.Result{Observation: obs}, err
	}
	if err != nil {
		return providers.Result{}, err
	}
	return a.after(ctx, op, req.Attempt, id, intentFragment(intent))
}

// Refund gives back (part of) one charge.
func (a *Adapter) Refund(ctx context.Context, req providers.RefundRequest, key string) (providers.Result, error) {
	const op = "refund"
	if err := checkKey(op, key); err != nil {
		return providers.Result{}, err
	}
	amount, err := toStripe(req.Amount)
	if err != nil || amount < 1 {
		return providers.Result{}, refuse(op, "unsupported_amount", "/amount")
	}
	refund, err := write(ctx, op, func(ctx context.Context) (*stripesdk.Refund, error) {
		params := &stripesdk.RefundParams{
			Params: stripesdk.Params{Context: ctx}, Charge: stripesdk.String(req.Capture), Amount: stripesdk.Int64(amount),
			Reason: refundReason(req.Reason),
			Metadata: map[string]string{
				metaRefund: req.Operation, metaPayment: req.Attempt.PaymentID,
				metaAttempt: providers.AttemptID(req.Attempt.PaymentID, req.Attempt.N),
			},
		}
		params.SetIdempotencyKey(key)
		r, err := a.sdk.Refunds.New(params)
		return whole(r, err, func() bool { return r.ID != "" && r.Status != "" })
	})
	if err != nil {
		return providers.Result{}, err
	}
	return a.after(ctx, op, req.Attempt, refund.ID, snapshot{refunds: []*stripesdk.Refund{refund}})
}

// refundReason is Stripe's word for ours; "other" has none (Stripe docs: create a
// refund).
func refundReason(reason string) *string {
	switch reason {
	case "duplicate", "fraudulent", "requested_by_customer":
		return &reason
	}
	return nil
}

// intentFragment is what the answer to a capture or cancel says by itself. A stored
// answer is dated by its content: its Date is that of the repetition.
func intentFragment(p *stripesdk.PaymentIntent) snapshot {
	s := snapshot{intent: p, asOf: asOf(date(p.LastResponse), chargeTime(p.LatestCharge))}
	if replayed(p.LastResponse) {
		s.asOf = asOf(time.Time{}, unix(p.Created), chargeTime(p.LatestCharge))
	}
	if p.LatestCharge != nil {
		s.charges = []*stripesdk.Charge{p.LatestCharge}
	}
	return s
}

// observe reads the attempt whole.
func (a *Adapter) observe(ctx context.Context, op string, at providers.Attempt) (payment.Observation, error) {
	s, err := a.snapshot(ctx, op, at.Root)
	if err != nil {
		return payment.Observation{}, err
	}
	return a.observation(op, s, at.N, true)
}

// after reports a change that took effect: the attempt read again, or what the
// answer itself says where that read fails; the due sync completes it.
func (a *Adapter) after(ctx context.Context, op string, at providers.Attempt, ref string, answer snapshot) (providers.Result, error) {
	obs, err := a.observe(ctx, op, at)
	if err != nil {
		if obs, err = a.fragment(op, answer, at.N); err != nil {
			return providers.Result{}, err
		}
	}
	return providers.Result{Ref: ref, Observation: obs}, nil
}

// fragment is what a single answer says. A refund's charge is not part of it, and
// is known to have been captured.
func (a *Adapter) fragment(op string, answer snapshot, n int) (payment.Observation, error) {
	if len(answer.refunds) == 0 {
		return a.observation(op, answer, n, false)
	}
	m := &mapper{a: a, s: answer, n: n}
	obs := payment.Observation{Provider: provider, Account: a.opts.Account, N: n}
	for _, r := range answer.refunds {
		obs.Facts.Refunds = append(obs.Facts.Refunds, m.refund(r))
	}
	if m.err != nil {
		return payment.Observation{}, &providers.Error{Class: providers.Unknown, Provider: provider, Op: op, Code: "unreadable_amount"}
	}
	return obs, nil
}
