package paypal

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Refund gives back (part of) a capture. Our operation's id goes in as custom_id and
// as invoice_id, so that the refund can be found again and PayPal itself refuses a
// second one.
func (a *Adapter) Refund(ctx context.Context, req providers.RefundRequest, key string) (providers.Result, error) {
	const op = "refund"
	if err := checkID(op, req.Capture); err != nil {
		return providers.Result{}, err
	}
	amount, err := toMoney(req.Amount)
	if err != nil || req.Amount.Minor <= 0 {
		return providers.Result{}, &providers.Error{Class: providers.Refused, Provider: Provider, Op: op, Code: "amount_unsupported", Field: "/amount", Cause: err}
	}
	body := refundRequest{Amount: amount, CustomID: req.Operation, InvoiceID: req.Operation}
	var r refundBody
	got, err := a.api.write(ctx, op, "/v2/payments/captures/"+req.Capture+"/refund", key, body, &r)
	if err != nil {
		return a.explain(ctx, op, providers.CaptureRequest{Attempt: req.Attempt}, err, func(obs payment.Observation) (string, error) {
			return refunded(obs.Facts, req, err)
		})
	}
	if !idPattern.MatchString(r.ID) {
		return providers.Result{}, a.api.unreadable(op, got, nil)
	}
	if r.capture() == "" {
		r.Related.IDs.CaptureID = req.Capture
	}
	seen, err := a.fragment(req.Attempt, got, payments{Refunds: []refundBody{r}})
	if err != nil {
		return providers.Result{}, a.api.unreadable(op, got, err)
	}
	return providers.Result{Ref: r.ID, Observation: a.again(ctx, op, req.Attempt, seen)}, nil
}

// refunded finds this very refund among the known ones. A capture that PayPal calls
// wholly refunded while no refund is shown leaves open whose it was.
func refunded(f payment.Facts, req providers.RefundRequest, none error) (string, error) {
	shown := false
	for _, r := range f.Refunds {
		if r.Capture != req.Capture {
			continue
		}
		if r.Operation == req.Operation {
			return r.Key.ID, nil
		}
		shown = true
	}
	var e *providers.Error
	if errors.As(none, &e) && e.Code == "capture_fully_refunded" && !shown {
		return "", unsure(none)
	}
	return "", none
}

// Void releases an authorization. A renewed one is released through the first of its
// order, as PayPal demands. The key is not sent: PayPal knows none here, and voiding
// twice is harmless.
func (a *Adapter) Void(ctx context.Context, req providers.CaptureRequest, _ string) (providers.Result, error) {
	res, err := a.void(ctx, req, req.Target)
	var e *providers.Error
	if !errors.As(err, &e) || e.Code != "cannot_be_voided" {
		return res, err
	}
	first, rerr := a.renewed(ctx, req)
	if rerr != nil {
		return providers.Result{}, rerr
	}
	if first == "" {
		return res, err
	}
	return a.void(ctx, req, first)
}

// renewed is the authorization that the one to be voided renews, over all renewals; empty
// if it is none.
func (a *Adapter) renewed(ctx context.Context, req providers.CaptureRequest) (string, error) {
	const op = "void"
	var x authorizationBody
	if err := a.readAuthorization(ctx, op, req.Target, &x); err != nil {
		return "", err
	}
	if first := x.parent(); first != "" {
		return first, nil
	}
	if err := checkID(op, req.Attempt.Root.ID); err != nil {
		return "", err
	}
	var o orderBody
	if _, err := a.api.read(ctx, op, "/v2/checkout/orders/"+req.Attempt.Root.ID, &o); err != nil {
		return "", err
	}
	replaces := renewals(o.payments().Authorizations)
	first := replaces[req.Target]
	for replaces[first] != "" {
		first = replaces[first]
	}
	return first, nil
}

func (a *Adapter) void(ctx context.Context, req providers.CaptureRequest, target string) (providers.Result, error) {
	const op = "void"
	if err := checkID(op, target); err != nil {
		return providers.Result{}, err
	}
	r := call{op: op, method: http.MethodPost, path: "/v2/payments/authorizations/" + target + "/void"}
	got, err := a.api.do(ctx, r)
	var e *providers.Error
	if errors.As(err, &e) && e.Code == "previously_voided" {
		err = nil // what was wanted is so
	}
	if err != nil {
		return providers.Result{}, err
	}
	seen := payment.Observation{Provider: Provider, Account: a.opts.Account, N: req.Attempt.N, AsOf: got.date()}
	var x authorizationBody
	if got.status == http.StatusOK && json.Unmarshal(got.body, &x) == nil && x.ID == target {
		if told, merr := a.fragment(req.Attempt, got, payments{Authorizations: []authorizationBody{x}}); merr == nil {
			seen = told
		}
	}
	return providers.Result{Ref: req.Target, Observation: a.again(ctx, op, req.Attempt, seen)}, nil
}
