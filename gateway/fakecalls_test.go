package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

func (f *fakeProvider) CreateCheckout(_ context.Context, req providers.CheckoutRequest, key string) (providers.Result, error) {
	params, err := json.Marshal(req)
	if err != nil {
		return providers.Result{}, err
	}
	return f.change("create_checkout", key, string(params), func() (string, *fakeRoot, *providers.Error) {
		if req.Amount.Minor == 666 {
			e := f.refuse("create_checkout", "amount_too_small")
			e.Field = "/amount"
			return "", nil, e
		}
		r := &fakeRoot{id: f.id(map[bool]string{true: "cs", false: "order"}[f.stripeLike]), req: req, state: payment.AttemptOpen, created: f.clock()}
		f.roots = append(f.roots, r)
		return r.id, r, nil
	})
}

func (f *fakeProvider) Fetch(_ context.Context, a providers.Attempt) (payment.Observation, error) {
	_, err := f.enter("fetch", "")
	defer f.mu.Unlock()
	if err != nil {
		return payment.Observation{}, err
	}
	r := f.root(a.Root.ID)
	if r == nil {
		return payment.Observation{}, &providers.Error{Class: providers.NotFound, Provider: f.name, Op: "fetch", Status: 404}
	}
	obs := f.observe(r)
	if f.rootless {
		obs.Rootless, obs.Facts.Captures, obs.Facts.Refunds = true, nil, nil
	}
	if f.beside != nil {
		obs.Narrow, obs.Facts.Disputes = true, nil
	}
	return obs, f.beside
}

func (f *fakeProvider) CloseCheckout(_ context.Context, a providers.Attempt, key string) (providers.Result, error) {
	return f.change("close_checkout", key, a.Root.ID, func() (string, *fakeRoot, *providers.Error) {
		r := f.root(a.Root.ID)
		f.lapse(r)
		if f.stripeLike && r.state == payment.AttemptOpen {
			r.state = payment.AttemptExpired
		}
		return r.id, r, nil
	})
}

func captureParams(req providers.CaptureRequest) string {
	return fmt.Sprint(req.Attempt.Root.ID, req.Target, req.Amount, req.Final)
}

func (f *fakeProvider) Capture(_ context.Context, req providers.CaptureRequest, key string) (providers.Result, error) {
	return f.change("capture", key, captureParams(req), func() (string, *fakeRoot, *providers.Error) {
		r := f.root(req.Attempt.Root.ID)
		f.lapse(r)
		if req.Target == r.id {
			if r.state != payment.AttemptApproved {
				return "", nil, f.refuse("capture", "order_not_approved")
			}
			r.state = payment.AttemptComplete
			return f.take(r, "", r.req.Amount.Minor), r, nil
		}
		for _, h := range r.holds {
			if h.id != req.Target || h.left() < req.Amount.Minor {
				continue
			}
			id := f.take(r, h.id, req.Amount.Minor)
			h.taken += req.Amount.Minor
			if req.Final || h.left() == 0 {
				h.state, r.state = payment.AuthCaptured, payment.AttemptComplete
			}
			return id, r, nil
		}
		return "", nil, f.refuse("capture", "already_captured")
	})
}

// take books a capture. Stripe dates one by its hold, as both are one charge.
func (f *fakeProvider) take(r *fakeRoot, hold string, amount int64) string {
	c := &fakeCapture{id: f.id("cap"), hold: hold, amount: amount, created: f.clock()}
	for _, h := range r.holds {
		if f.stripeLike && h.id == hold {
			c.created = h.created
		}
	}
	r.captures = append(r.captures, c)
	return c.id
}

func (f *fakeProvider) Void(_ context.Context, req providers.CaptureRequest, key string) (providers.Result, error) {
	return f.change("void", key, captureParams(req), func() (string, *fakeRoot, *providers.Error) {
		r := f.root(req.Attempt.Root.ID)
		for _, h := range r.holds {
			if h.id != req.Target {
				continue
			}
			if h.state != payment.AuthActive || h.taken > 0 && f.stripeLike {
				return "", nil, f.refuse("void", "not_voidable")
			}
			h.state = payment.AuthVoided
			r.state = payment.AttemptCanceled
			return h.id, r, nil
		}
		return "", nil, f.refuse("void", "no_such_hold")
	})
}

func (f *fakeProvider) Refund(_ context.Context, req providers.RefundRequest, key string) (providers.Result, error) {
	params := fmt.Sprint(req.Capture, req.Amount, req.Reason, req.Operation)
	return f.change("refund", key, params, func() (string, *fakeRoot, *providers.Error) {
		for _, r := range f.roots {
			for _, c := range r.captures {
				if c.id != req.Capture {
					continue
				}
				left := c.amount
				for _, x := range c.refunds {
					left -= x.amount
				}
				if left < req.Amount.Minor {
					return "", nil, f.refuse("refund", "amount_too_large")
				}
				x := &fakeRefund{id: f.id("re"), op: req.Operation, amount: req.Amount.Minor, created: f.clock()}
				c.refunds = append(c.refunds, x)
				return x.id, r, nil
			}
		}
		return "", nil, f.refuse("refund", "no_such_capture")
	})
}

// Authorize holds the money of an approved order.
func (f fakePayPal) Authorize(_ context.Context, req providers.CaptureRequest, key string) (providers.Result, error) {
	return f.change("authorize", key, captureParams(req), func() (string, *fakeRoot, *providers.Error) {
		r := f.root(req.Attempt.Root.ID)
		f.lapse(r)
		if r.state != payment.AttemptApproved {
			return "", nil, f.refuse("authorize", "order_not_approved")
		}
		return f.hold(r), r, nil
	})
}

func (f *fakeProvider) hold(r *fakeRoot) string {
	h := &fakeHold{id: f.id("auth"), amount: r.req.Amount.Minor, state: payment.AuthActive, created: f.clock()}
	r.holds, r.state = append(r.holds, h), payment.AttemptAuthorized
	return h.id
}

// FindCheckout looks a session up by our reference.
func (f fakeStripe) FindCheckout(_ context.Context, req providers.CheckoutRequest, _ time.Time) (providers.Result, bool, error) {
	_, err := f.enter("find_checkout", "")
	defer f.mu.Unlock()
	if err != nil {
		return providers.Result{}, false, err
	}
	for _, r := range f.roots {
		if r.req.AttemptID() == req.AttemptID() {
			return providers.Result{Ref: r.id, Observation: f.observe(r)}, true, nil
		}
	}
	return providers.Result{}, false, nil
}
