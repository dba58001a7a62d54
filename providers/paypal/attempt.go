package paypal

import (
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// attempt maps the order itself; everything below it must be mapped before.
func (m *mapper) attempt() {
	o, at := m.s.order, m.s.attempt
	fact := payment.AttemptFact{
		Key: m.a.key(at.Root.ID), N: at.N, Kind: payment.KindOrder, State: m.state(), Refs: m.refs(),
		PayerID: o.Payer.PayerID, PayerEmail: o.Payer.EmailAddress,
		Stamp: payment.Stamp{Created: parseTime(o.CreateTime), AsOf: m.sighting()},
	}
	if o.ID == "" {
		fact.Total = at.Asked
		fact.Created = m.firstCreated()
	} else {
		m.totals(&fact)
	}
	if fact.PayerID == "" {
		fact.PayerID = o.PaymentSource.PayPal.AccountID
	}
	if fact.PayerEmail == "" {
		fact.PayerEmail = o.PaymentSource.PayPal.EmailAddress
	}
	switch fact.State {
	case payment.AttemptOpen, payment.AttemptApproved:
		fact.URL = m.a.approval(o)
		if !fact.Created.IsZero() {
			fact.ExpiresAt = fact.Created.Add(orderLife)
		}
		if fact.State == payment.AttemptApproved {
			fact.ApprovedAt = firstTime(o.UpdateTime, o.CreateTime)
		}
	case payment.AttemptFailed, payment.AttemptCanceled:
		fact.Failure = m.failure()
	case payment.AttemptProcessing, payment.AttemptAuthorized, payment.AttemptExpired, payment.AttemptComplete:
	}
	m.out.Attempts = append(m.out.Attempts, fact)
}

func (m *mapper) firstCreated() time.Time {
	first := m.s.at
	for _, c := range m.out.Captures {
		if c.Created.Before(first) {
			first = c.Created
		}
	}
	for _, x := range m.out.Authorizations {
		if x.Created.Before(first) {
			first = x.Created
		}
	}
	return first
}

// approval is where the customer agrees to an order.
func (a *Adapter) approval(o orderBody) string {
	if href := linkOf(o.Links, "payer-action", "approve"); href != "" {
		return href
	}
	return a.pages + "/checkoutnow?token=" + o.ID
}

// totals adds up the purchase units. PayPal's discount has two parts.
func (m *mapper) totals(fact *payment.AttemptFact) {
	for i, u := range m.s.order.PurchaseUnits {
		if u.Amount == nil {
			m.money("order", m.s.order.ID, nil)
			return
		}
		amount := m.money("order", m.s.order.ID, &u.Amount.money)
		if i > 0 && amount.Currency != fact.Total.Currency {
			if m.err == nil {
				m.err = fmt.Errorf("order %s has amounts in two currencies", m.s.order.ID)
			}
			return
		}
		fact.Total.Currency = amount.Currency
		fact.Total.Minor = min(fact.Total.Minor+amount.Minor, payment.MaxReported+1) // beyond: refused by Check
		if b := u.Amount.Breakdown; b != nil {
			for _, part := range []struct {
				into *int64
				from *money
			}{{&fact.Discount, b.Discount}, {&fact.Discount, b.ShippingDiscount}, {&fact.Tax, b.TaxTotal}, {&fact.Shipping, b.Shipping}} {
				if part.from != nil {
					*part.into = min(*part.into+m.money("order", m.s.order.ID, part.from).Minor, payment.MaxReported+1)
				}
			}
		}
	}
}

// refs are the ids by which this attempt is known, its newest parts first.
func (m *mapper) refs() payment.Refs {
	refs := m.s.attempt.Refs
	refs.Order = m.s.attempt.Root.ID
	replaced := map[string]bool{}
	for _, x := range m.out.Authorizations {
		replaced[x.Replaces] = true
	}
	for _, x := range m.out.Authorizations {
		if !replaced[x.Key.ID] {
			refs.Authorization = x.Key.ID
		}
	}
	best := payment.CaptureState("")
	for _, c := range m.out.Captures {
		if best == "" || (best != payment.CaptureCompleted && c.State == payment.CaptureCompleted) {
			refs.Capture, best = c.Key.ID, c.State
		}
	}
	return refs
}

// state is how far the attempt got (PayPal OpenAPI orders v2: order_status; a
// COMPLETED order may hold a pending or declined capture).
func (m *mapper) state() payment.AttemptState {
	switch m.s.order.Status {
	case "APPROVED":
		return payment.AttemptApproved
	case "VOIDED":
		if s, ok := m.moneyState(); ok {
			return s
		}
		return m.voided()
	case "COMPLETED", "":
		if s, ok := m.moneyState(); ok {
			return s
		}
		return payment.AttemptComplete
	case "CREATED", "SAVED", "PAYER_ACTION_REQUIRED":
		return payment.AttemptOpen
	default: // whatever PayPal adds: what was taken below it tells, and without a call of ours nothing is
		if s, ok := m.moneyState(); ok {
			return s
		}
		return payment.AttemptOpen
	}
}

// voided: PayPal gave the order up, by call or because its time was over. Where the order
// does not say when, as PayPal's do not before they are completed, it counts as lapsed,
// which does not end its payment as a canceled one does. Judged by when it is read it would
// be canceled first and lapsed later, and bring a payment back whose end was told.
func (m *mapper) voided() payment.AttemptState {
	created, ended := parseTime(m.s.order.CreateTime), parseTime(m.s.order.UpdateTime)
	if ended.IsZero() || !created.IsZero() && !ended.Before(created.Add(orderLife)) {
		return payment.AttemptExpired
	}
	return payment.AttemptCanceled
}

// moneyState reads the attempt's state off its authorizations and captures; ok is
// false where there are none.
func (m *mapper) moneyState() (payment.AttemptState, bool) {
	captures := map[payment.CaptureState]bool{}
	for _, c := range m.out.Captures {
		captures[c.State] = true
	}
	auths := map[payment.AuthState]bool{}
	for _, x := range m.out.Authorizations {
		auths[x.State] = true
	}
	switch {
	case auths[payment.AuthActive]:
		return payment.AttemptAuthorized, true
	case captures[payment.CaptureCompleted]:
		return payment.AttemptComplete, true
	case captures[payment.CapturePending], auths[payment.AuthPending]:
		return payment.AttemptProcessing, true
	case auths[payment.AuthExpired], auths[payment.AuthVoided]:
		return payment.AttemptCanceled, true
	case captures[payment.CaptureDeclined], auths[payment.AuthDenied]:
		return payment.AttemptFailed, true
	case auths[payment.AuthCaptured]:
		return payment.AttemptComplete, true
	default:
		return "", false
	}
}

// failure is why a dead attempt brought no money.
func (m *mapper) failure() payment.Failure {
	for _, x := range m.out.Authorizations {
		switch x.State {
		case payment.AuthExpired:
			return payment.Failure{Code: "authorization_expired", Message: "The authorization lapsed before it was captured."}
		case payment.AuthDenied:
			return payment.Failure{Code: "authorization_denied", Message: "The payment was declined."}
		case payment.AuthPending, payment.AuthActive, payment.AuthCaptured, payment.AuthVoided:
		}
	}
	for _, c := range m.out.Captures {
		if c.State == payment.CaptureDeclined {
			return c.Failure
		}
	}
	return payment.Failure{}
}
