package stripe

import (
	"cmp"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// payers are who the charges were taken from, and the tries that were refused, on the
// page included: there a decline leaves the session open. A list row says no more
// about its time than when it was created.
func (m *mapper) payers() (payers []payment.Payer, declines []payment.Decline) {
	for _, c := range m.s.charges {
		stamp := payment.Stamp{Created: unix(c.Created), AsOf: unix(c.Created)}
		card, email, customer := cardOf(c), m.email(c), ""
		if c.Customer != nil {
			customer = c.Customer.ID
		}
		if c.Status == stripesdk.ChargeStatusFailed {
			failure := declined(c.FailureCode, declineCode(c))
			declines = append(declines, payment.Decline{
				Key: m.a.key(c.ID), N: m.n, Code: failure.Code, DeclineCode: failure.DeclineCode,
				Card: card, PayerID: customer, EmailHash: email, Stamp: stamp,
			})
			continue
		}
		p := payment.Payer{Key: m.a.key(c.ID), N: m.n, Card: card, PayerID: customer, EmailHash: email, Stamp: stamp}
		if p.Card != (payment.Card{}) || p.PayerID != "" || p.EmailHash != "" {
			payers = append(payers, p)
		}
	}
	return payers, declines
}

// cardOf is what Stripe tells of a charge's card; the fingerprint is the same for the
// same number within one account (Stripe API reference: charge.payment_method_details).
func cardOf(c *stripesdk.Charge) payment.Card {
	d := c.PaymentMethodDetails
	if d == nil || d.Card == nil {
		return payment.Card{}
	}
	return payment.Card{Fingerprint: d.Card.Fingerprint, Brand: word(string(d.Card.Brand)), Last4: d.Card.Last4}
}

// email is the address that the customer typed on the page, by its hash.
func (m *mapper) email(c *stripesdk.Charge) string {
	address := ""
	if c.BillingDetails != nil {
		address = c.BillingDetails.Email
	}
	if s := m.s.session; s != nil && s.CustomerDetails != nil {
		address = cmp.Or(address, s.CustomerDetails.Email)
	}
	return payment.EmailHash(address)
}

// declineCode is the issuer's or Radar's reason (Stripe docs: declines; for an
// issuer's decline outcome.reason is the decline code).
func declineCode(c *stripesdk.Charge) string {
	if c.Outcome == nil {
		return ""
	}
	return c.Outcome.Reason
}
