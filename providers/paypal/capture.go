package paypal

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Capture takes the money of an approved order (Target is its id) or of an
// authorization. PayPal's declines and its "already captured" are told apart by
// reading again: only what a read shows counts.
func (a *Adapter) Capture(ctx context.Context, req providers.CaptureRequest, key string) (providers.Result, error) {
	if req.Target == req.Attempt.Root.ID {
		return a.completeOrder(ctx, "capture", req, key)
	}
	return a.captureAuthorization(ctx, req, key)
}

// Authorize holds the money of an approved order made for manual capture.
func (a *Adapter) Authorize(ctx context.Context, req providers.CaptureRequest, key string) (providers.Result, error) {
	return a.completeOrder(ctx, "authorize", req, key)
}

// completeOrder does what an approved order was made for: POST .../capture or
// .../authorize (the operation and PayPal's path have the same word).
func (a *Adapter) completeOrder(ctx context.Context, op string, req providers.CaptureRequest, key string) (providers.Result, error) {
	if err := checkID(op, req.Target); err != nil {
		return providers.Result{}, err
	}
	var o orderBody
	got, err := a.api.write(ctx, op, "/v2/checkout/orders/"+req.Target+"/"+op, key, nothing{}, &o)
	if err != nil {
		if res, declined := a.backToCustomer(ctx, op, req, key, got, err); declined {
			return res, err
		}
		return a.explain(ctx, op, req, err, func(obs payment.Observation) (string, error) {
			return a.held(op, obs.Facts, unsure(err)) // PayPal says done, the order does not show it
		})
	}
	if o.ID != req.Target {
		return providers.Result{}, a.api.unreadable(op, got, nil)
	}
	seen, err := a.observe(snapshot{attempt: req.Attempt, order: o, parts: o.payments(), at: got.date()})
	if err != nil {
		return providers.Result{}, a.api.unreadable(op, got, err)
	}
	ref, err := a.held(op, seen.Facts, a.api.unreadable(op, got, nil))
	if err != nil {
		return providers.Result{Observation: seen}, err
	}
	return providers.Result{Ref: ref, Observation: a.again(ctx, op, req.Attempt, seen)}, nil
}

// buyerCanFix are declines after which the customer may choose another way to pay on
// the same order (PayPal docs: "Handle funding failures").
var buyerCanFix = map[string]bool{
	"instrument_declined": true, "payer_action_required": true, "redirect_payer_for_alternate_funding": true,
}

// backToCustomer reads an order whose instrument was declined, and says where its
// customer goes on: PayPal's answer to the declined call names the page. The decline
// itself is told in any case.
func (a *Adapter) backToCustomer(ctx context.Context, op string, req providers.CaptureRequest, key string, got *answer, callErr error) (providers.Result, bool) {
	var e *providers.Error
	if !errors.As(callErr, &e) || e.Class != providers.Declined {
		return providers.Result{}, false
	}
	told := a.refusal(req.Attempt, key, got, callErr)
	if !buyerCanFix[e.Code] {
		return providers.Result{Observation: told}, true
	}
	obs, err := a.fetch(ctx, op, req.Attempt, false)
	if err != nil {
		return providers.Result{Observation: told}, true // the decline stands without it
	}
	for _, who := range obs.Facts.Payers {
		told.Facts.Declines[0].PayerID, told.Facts.Declines[0].EmailHash = who.PayerID, who.EmailHash
	}
	obs.Facts = obs.Facts.Merge(told.Facts)
	var p problem
	if got != nil && json.Unmarshal(got.body, &p) == nil {
		href := linkOf(p.Links, "payer-action", "redirect", "approve")
		for i := range obs.Facts.Attempts {
			if fact := &obs.Facts.Attempts[i]; fact.URL != "" && a.safePage(href) {
				fact.URL = href
			}
		}
	}
	return providers.Result{Observation: obs}, true
}

// unsure is an error whose outcome is not known after all.
func unsure(err error) error {
	var e *providers.Error
	if !errors.As(err, &e) {
		return err
	}
	out := *e
	out.Class = providers.Unknown
	return &out
}

// held finds what an order's completion brought: the capture or the authorization
// that is not refused. All refused is a decline; none at all is the given error.
func (a *Adapter) held(op string, f payment.Facts, none error) (string, error) {
	declined := ""
	found := false
	if op == "authorize" {
		for _, x := range f.Authorizations {
			if x.State != payment.AuthDenied {
				return x.Key.ID, nil
			}
			found = true
		}
	} else {
		for _, c := range f.Captures {
			if c.State != payment.CaptureDeclined {
				return c.Key.ID, nil
			}
			found, declined = true, c.Failure.DeclineCode
		}
	}
	if !found {
		return "", none
	}
	return "", refusedMoney(op, declined)
}

// refusedMoney is PayPal's "created, and declined at once": HTTP success, no money.
func refusedMoney(op, decline string) error {
	code := "capture_declined"
	if op == "authorize" {
		code = "authorization_denied"
	}
	if decline == "" {
		decline = code
	}
	return &providers.Error{Class: providers.Declined, Provider: Provider, Op: op, Code: code, DeclineCode: decline}
}

// captureAuthorization takes (part of) held money. Its invoice id is the key's, so
// that a read can tell this capture from every other.
func (a *Adapter) captureAuthorization(ctx context.Context, req providers.CaptureRequest, key string) (providers.Result, error) {
	const op = "capture"
	if err := checkID(op, req.Target); err != nil {
		return providers.Result{}, err
	}
	amount, err := toMoney(req.Amount)
	if err != nil || req.Amount.Minor <= 0 {
		return providers.Result{}, &providers.Error{Class: providers.Refused, Provider: Provider, Op: op, Code: "amount_unsupported", Field: "/amount", Cause: err}
	}
	body := captureRequest{Amount: amount, InvoiceID: captureInvoice(req.Attempt, key), FinalCapture: req.Final}
	var c captureBody
	got, err := a.api.write(ctx, op, "/v2/payments/authorizations/"+req.Target+"/capture", key, body, &c)
	if err != nil {
		return a.explain(ctx, op, req, err, func(obs payment.Observation) (string, error) {
			return a.ours(ctx, op, req, body.InvoiceID, obs.Facts, err)
		})
	}
	if !idPattern.MatchString(c.ID) {
		return providers.Result{}, a.api.unreadable(op, got, nil)
	}
	seen, err := a.fragment(req.Attempt, got, payments{Captures: []captureBody{c}})
	if err != nil {
		return providers.Result{}, a.api.unreadable(op, got, err)
	}
	if fact := seen.Facts.Captures[0]; fact.State == payment.CaptureDeclined {
		return providers.Result{Observation: seen}, refusedMoney(op, fact.Failure.DeclineCode)
	}
	return providers.Result{Ref: c.ID, Observation: a.again(ctx, op, req.Attempt, seen)}, nil
}

// captureInvoice is this capture's own invoice id: unique for each key, equal on
// every repetition.
func captureInvoice(at providers.Attempt, key string) string {
	return providers.AttemptID(at.PaymentID, at.N) + "-" + key
}

// ours finds the capture that an earlier try of this very request made, by its
// invoice id; where PayPal shows none, by authorization and amount.
func (a *Adapter) ours(ctx context.Context, op string, req providers.CaptureRequest, invoice string, f payment.Facts, none error) (string, error) {
	seen := false
	for _, c := range f.Captures {
		if c.Auth != req.Target || c.State == payment.CaptureDeclined {
			continue
		}
		seen = true
		if c.Amount != req.Amount {
			continue
		}
		var body captureBody
		if err := a.readObject(ctx, op, "captures", c.Key.ID, &body); err != nil {
			return "", err
		}
		if body.InvoiceID == invoice || body.InvoiceID == "" {
			return c.Key.ID, nil
		}
	}
	if !seen {
		return "", unsure(none)
	}
	return "", none
}

// successInDisguise are refusals that an earlier try of ours may have caused.
var successInDisguise = map[string]bool{
	"order_already_captured": true, "order_already_authorized": true, "order_already_completed": true,
	"order_completed_or_voided": true, "authorization_already_captured": true,
	"duplicate_invoice_id": true, "duplicate_transaction": true, "duplicate_request_id": true, "capture_fully_refunded": true, "refund_amount_exceeded": true,
}

// explain settles an error of a call that may have happened before: it reads the
// attempt, and where that shows what was asked for, the call is done. shown names the
// object, or gives back the error to report.
func (a *Adapter) explain(ctx context.Context, op string, req providers.CaptureRequest, callErr error, shown func(payment.Observation) (string, error)) (providers.Result, error) {
	var e *providers.Error
	if !errors.As(callErr, &e) || !successInDisguise[e.Code] {
		return providers.Result{}, callErr
	}
	obs, err := a.fetch(ctx, op, req.Attempt, false)
	if err != nil {
		// What PayPal said may be our own success; without a look nobody knows.
		return providers.Result{}, unsure(callErr)
	}
	ref, err := shown(obs)
	if err != nil {
		return providers.Result{Observation: obs}, err
	}
	return providers.Result{Ref: ref, Observation: obs}, nil
}

// fragment maps single objects that an answer brought.
func (a *Adapter) fragment(at providers.Attempt, got *answer, parts payments) (payment.Observation, error) {
	obs, err := a.observe(snapshot{attempt: at, parts: parts, at: got.date()})
	obs.Facts.Attempts = nil // an answer about a part says nothing of the order
	return obs, err
}

// again reads the attempt after a change and adds what the answer itself told, which
// a read may not show yet. Where the read fails, the answer alone is reported.
func (a *Adapter) again(ctx context.Context, op string, at providers.Attempt, seen payment.Observation) payment.Observation {
	obs, err := a.fetch(ctx, op, at, false)
	if err != nil {
		return seen
	}
	told := seen.Facts
	if len(obs.Facts.Attempts) > 0 {
		told.Attempts = nil
	}
	obs.Facts = obs.Facts.Merge(told)
	if seen.AsOf.After(obs.AsOf) {
		obs.AsOf = seen.AsOf
	}
	return obs
}
