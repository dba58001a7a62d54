package paypal

import (
	"errors"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// payers maps who agreed to the order and which of its tries to pay were refused; the
// captures, the authorizations and the attempt must be mapped before. An order read by
// its parts names no payer.
func (m *mapper) payers() {
	id, email := "", ""
	for _, a := range m.out.Attempts {
		id, email = a.PayerID, payment.EmailHash(a.PayerEmail)
		if id != "" || email != "" {
			m.out.Payers = append(m.out.Payers, payment.Payer{
				Key: a.Key, N: a.N, PayerID: id, EmailHash: email, Stamp: payment.Stamp{Created: a.Created, AsOf: a.AsOf},
			})
		}
	}
	refused := func(key payment.ObjectKey, code, declineCode string, stamp payment.Stamp) {
		m.out.Declines = append(m.out.Declines, payment.Decline{
			Key: key, N: m.s.attempt.N, Code: code, DeclineCode: declineCode, PayerID: id, EmailHash: email, Stamp: stamp,
		})
	}
	for _, c := range m.out.Captures {
		if c.State == payment.CaptureDeclined {
			refused(c.Key, c.Failure.Code, c.Failure.DeclineCode, c.Stamp)
		}
	}
	for _, x := range m.out.Authorizations {
		if x.State == payment.AuthDenied {
			refused(x.Key, "authorization_denied", "", x.Stamp)
		}
	}
}

// refusal is the fact that a call of ours to complete an order was declined. PayPal
// makes no object of it and shows it in no order, so its id is the call's own key: the
// same call again gets the stored answer again.
func (a *Adapter) refusal(at providers.Attempt, key string, got *answer, callErr error) payment.Observation {
	now := a.opts.Now().UTC()
	if got != nil && !got.date().IsZero() {
		now = got.date()
	}
	decline := payment.Decline{
		Key: a.key(at.Root.ID + ":" + key), N: at.N, Code: "instrument_declined", Stamp: payment.Stamp{Created: now, AsOf: now},
	}
	var e *providers.Error
	if errors.As(callErr, &e) {
		decline.Code, decline.DeclineCode = e.Code, e.DeclineCode
	}
	return payment.Observation{
		Provider: Provider, Account: a.opts.Account, N: at.N, AsOf: now, Facts: payment.Facts{Declines: []payment.Decline{decline}},
	}
}
