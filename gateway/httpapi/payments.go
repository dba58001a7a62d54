package httpapi

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// body is what post read.
func body(c *gin.Context) []byte {
	raw, _ := c.MustGet(ginBody).([]byte)
	return raw
}

// payment renders a payment for its app.
func (a *api) payment(p *payment.Payment) paymentWire { return paymentOf(p, a.svc.Checkout(p)) }

// answered writes a use case's answer: 202 while its outcome is not known, and
// whether this was a repetition.
func (a *api) answered(c *gin.Context, ans gateway.Answer, done int, object any) error {
	if ans.Unknown {
		done = http.StatusAccepted
	}
	markReplay(c, ans.Replayed)
	return a.json(c, done, object)
}

// markReplay also stands before an error: a decline is remembered too.
func markReplay(c *gin.Context, replayed bool) {
	if replayed {
		c.Header("Idempotent-Replayed", "true")
	}
}

func (a *api) createPayment(c *gin.Context) error {
	b, err := bindCreate(body(c))
	if err != nil {
		return err
	}
	r, err := a.request(c, "/v1/payments", b)
	if err != nil {
		return err
	}
	ans, err := a.svc.Create(c.Request.Context(), r, b.input())
	if err != nil {
		if e := (*payment.Error)(nil); errors.As(err, &e) {
			c.Set(ginObject, e.PaymentID)
		}
		markReplay(c, ans.Replayed)
		return err
	}
	c.Set(ginObject, ans.Payment.ID)
	return a.answered(c, ans, http.StatusCreated, a.payment(ans.Payment))
}

func (a *api) listPayments(c *gin.Context) error {
	f, err := paymentFilter(c.Request.URL.RawQuery)
	if err != nil {
		return err
	}
	found, next, err := a.svc.List(c.Request.Context(), callerOf(c), f)
	return answerList(a, c, found, next, err, a.payment)
}

func (a *api) getPayment(c *gin.Context) error {
	p, err := a.paymentParam(c)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, a.payment(p))
}

// paymentParam reads the payment in the path for its caller. No query parameter
// means anything there.
func (a *api) paymentParam(c *gin.Context) (*payment.Payment, error) {
	id, err := idParam(c, "pay")
	if err != nil {
		return nil, err
	}
	if err := noQuery(c.Request.URL.RawQuery); err != nil {
		return nil, err
	}
	return a.svc.Get(c.Request.Context(), callerOf(c), id)
}

func (a *api) capturePayment(c *gin.Context) error {
	id, err := idParam(c, "pay")
	if err != nil {
		return err
	}
	b, err := bindCapture(body(c))
	if err != nil {
		return err
	}
	r, err := a.request(c, "/v1/payments/"+id+"/capture", b)
	if err != nil {
		return err
	}
	ans, err := a.svc.Capture(c.Request.Context(), r, id, b.Amount, b.final())
	if err != nil {
		markReplay(c, ans.Replayed)
		return err
	}
	return a.answered(c, ans, http.StatusOK, a.payment(ans.Payment))
}

func (a *api) cancelPayment(c *gin.Context) error {
	id, err := idParam(c, "pay")
	if err != nil {
		return err
	}
	if err := bindNothing(body(c)); err != nil {
		return err
	}
	r, err := a.request(c, "/v1/payments/"+id+"/cancel", struct{}{})
	if err != nil {
		return err
	}
	ans, err := a.svc.Cancel(c.Request.Context(), r, id)
	if err != nil {
		markReplay(c, ans.Replayed)
		return err
	}
	return a.answered(c, ans, http.StatusOK, a.payment(ans.Payment))
}

func (a *api) syncPayment(c *gin.Context) error {
	id, err := idParam(c, "pay")
	if err != nil {
		return err
	}
	if err := bindNothing(body(c)); err != nil {
		return err
	}
	p, err := a.svc.Sync(c.Request.Context(), callerOf(c), id)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, a.payment(p))
}

func (a *api) resolvePayment(c *gin.Context) error {
	id, err := idParam(c, "pay")
	if err != nil {
		return err
	}
	b, err := bindResolve(body(c))
	if err != nil {
		return err
	}
	r, err := a.request(c, "/v1/payments/"+id+"/resolve", b)
	if err != nil {
		return err
	}
	ans, err := a.svc.Resolve(c.Request.Context(), r, id, b.Action, b.Captures, b.Reason)
	if err != nil {
		return err
	}
	return a.answered(c, ans, http.StatusOK, a.payment(ans.Payment))
}

func (a *api) createRefund(c *gin.Context) error {
	id, err := idParam(c, "pay")
	if err != nil {
		return err
	}
	b, err := bindRefund(body(c))
	if err != nil {
		return err
	}
	r, err := a.request(c, "/v1/payments/"+id+"/refunds", b)
	if err != nil {
		return err
	}
	ans, err := a.svc.Refund(c.Request.Context(), r, id, b.Amount, b.Reason)
	if err != nil {
		markReplay(c, ans.Replayed)
		return err
	}
	made, err := refundByID(ans.Payment, ans.Refund)
	if err != nil {
		return err
	}
	return a.answered(c, ans, http.StatusCreated, made)
}

func (a *api) getRefund(c *gin.Context) error {
	id, err := idParam(c, "rfd")
	if err != nil {
		return err
	}
	if err := noQuery(c.Request.URL.RawQuery); err != nil {
		return err
	}
	p, r, err := a.svc.GetRefund(c.Request.Context(), callerOf(c), id)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, refundOf(p, r))
}
