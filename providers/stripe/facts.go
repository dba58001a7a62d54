package stripe

import (
	"time"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// holdLife is how long an uncaptured intent lives by default (Stripe docs: place a
// hold); capture_before is more exact where it is given.
const holdLife = 7 * 24 * time.Hour

// mapper turns a snapshot into facts. It is pure but for remembering the first
// amount that has no exact meaning.
type mapper struct {
	a   *Adapter
	s   snapshot
	n   int
	err error
	// strange: a charge has a status that nobody knows.
	strange bool
}

// observation is what a snapshot says. complete: everything below the root was read.
func (a *Adapter) observation(op string, s snapshot, n int, complete bool) (payment.Observation, error) {
	m := &mapper{a: a, s: s, n: n}
	obs := payment.Observation{Provider: provider, Account: a.opts.Account, N: n, Complete: complete, AsOf: s.asOf}
	if complete {
		obs.Facts.Attempts = []payment.AttemptFact{m.attempt()}
	}
	if auth, ok := m.authorization(); ok {
		obs.Facts.Authorizations = []payment.Authorization{auth}
	}
	obs.Facts.Captures = m.captures()
	obs.Facts.Refunds = m.refunds()
	obs.Facts.Reversals = m.reversals()
	obs.Facts.Disputes = m.disputes()
	obs.Facts.Warnings, obs.Facts.Reviews = m.warnings(), m.reviews()
	obs.Facts.Fees = m.fees()
	obs.Facts.Payers, obs.Facts.Declines = m.payers()
	if m.strange {
		return payment.Observation{}, unreadable(op, "unknown_charge_status", nil)
	}
	if m.err != nil {
		return payment.Observation{}, unreadable(op, "unreadable_amount", nil)
	}
	if err := obs.Check(); err != nil {
		return payment.Observation{}, unreadable(op, "implausible", err)
	}
	return obs, nil
}

// unreadable is an answer about one object that means nothing to us. It says nothing about
// the account, which goes on: a few payments that stay so must not close it for all.
func unreadable(op, code string, cause error) error {
	return &providers.Error{Class: providers.Unknown, Provider: provider, Op: op, Code: code, Aside: true, Cause: cause}
}

// money converts an amount; the first that can't be is kept as the error.
func (m *mapper) money(amount int64, currency stripesdk.Currency) payment.Money {
	out, err := fromStripe(amount, currency)
	if err != nil && m.err == nil {
		m.err = err
	}
	return out
}

// manual says whether the money is only held until a call of ours.
func (m *mapper) manual() bool {
	return m.s.intent != nil && m.s.intent.CaptureMethod == stripesdk.PaymentIntentCaptureMethodManual
}

// attempt is the fact about the root.
func (m *mapper) attempt() payment.AttemptFact {
	p := m.s.intent
	f := payment.AttemptFact{N: m.n, State: m.state(), Stamp: payment.Stamp{AsOf: m.s.asOf}}
	if s := m.s.session; s != nil {
		f.Key, f.Kind = m.a.key(s.ID), kindSession
		f.Created, f.ExpiresAt = unix(s.Created), unix(s.ExpiresAt)
		f.Refs.CheckoutSession = s.ID
		f.Total = m.money(s.AmountTotal, s.Currency)
		if d := s.TotalDetails; d != nil {
			f.Discount = m.money(d.AmountDiscount, s.Currency).Minor
			f.Tax = m.money(d.AmountTax, s.Currency).Minor
			f.Shipping = m.money(d.AmountShipping, s.Currency).Minor
		}
		if f.State == payment.AttemptOpen {
			f.URL = s.URL
		}
		if s.CustomerDetails != nil {
			f.PayerEmail = s.CustomerDetails.Email
		}
		if s.Customer != nil {
			f.PayerID = s.Customer.ID
		}
	} else {
		f.Key, f.Kind = m.a.key(p.ID), kindIntent
		f.Created = unix(p.Created)
		f.Total = m.money(p.Amount, p.Currency)
	}
	if p != nil {
		f.Refs.PaymentIntent = p.ID
		m.refs(&f)
	}
	f.Failure = m.failure(f.State)
	return f
}

// refs names the charge that counts, and when the customer agreed to it.
func (m *mapper) refs(f *payment.AttemptFact) {
	for _, c := range m.s.charges {
		if c.Status == stripesdk.ChargeStatusFailed || f.Refs.Capture != "" {
			continue
		}
		f.Refs.Charge = c.ID
		f.ApprovedAt = unix(c.Created)
		if captured(c) {
			f.Refs.Capture = c.ID
		}
	}
	if m.manual() && f.Refs.Charge != "" {
		f.Refs.Authorization = m.s.intent.ID
	}
}

// state is how far the attempt got. Money that is held or moved counts more than
// what the session says of itself; a status nobody knows counts as on its way,
// never as failed.
func (m *mapper) state() payment.AttemptState {
	p, s := m.s.intent, m.s.session
	if p != nil {
		switch p.Status {
		case stripesdk.PaymentIntentStatusSucceeded:
			return payment.AttemptComplete
		case stripesdk.PaymentIntentStatusRequiresCapture:
			return payment.AttemptAuthorized
		case stripesdk.PaymentIntentStatusProcessing:
			return payment.AttemptProcessing
		default: // nothing held or moved: the session says more
		}
	}
	if s == nil {
		return intentState(p.Status)
	}
	switch s.Status {
	case stripesdk.CheckoutSessionStatusOpen:
		return payment.AttemptOpen
	case stripesdk.CheckoutSessionStatusExpired:
		return payment.AttemptExpired
	case stripesdk.CheckoutSessionStatusComplete:
		return completeState(s, p)
	default:
		return payment.AttemptProcessing
	}
}

// completeState is the state of a session that the customer finished, while its
// intent neither holds nor took money.
func completeState(s *stripesdk.CheckoutSession, p *stripesdk.PaymentIntent) payment.AttemptState {
	switch {
	case s.PaymentStatus == stripesdk.CheckoutSessionPaymentStatusPaid,
		s.PaymentStatus == stripesdk.CheckoutSessionPaymentStatusNoPaymentRequired:
		return payment.AttemptComplete
	case p == nil:
		return payment.AttemptProcessing
	default:
		return intentState(p.Status)
	}
}

// intentState is the state by an intent alone that nobody can submit again on a page.
func intentState(status stripesdk.PaymentIntentStatus) payment.AttemptState {
	switch status {
	case stripesdk.PaymentIntentStatusCanceled:
		return payment.AttemptCanceled
	case stripesdk.PaymentIntentStatusRequiresPaymentMethod:
		return payment.AttemptFailed // the money that was on its way was denied
	default:
		return payment.AttemptProcessing // a voucher to be paid, a confirmation, or something new
	}
}

// lapsed says that a hold ended because nobody captured it in time.
func (m *mapper) lapsed() bool {
	p := m.s.intent
	if p == nil || p.Status != stripesdk.PaymentIntentStatusCanceled {
		return false
	}
	// "expired" is newer than this SDK.
	if p.CancellationReason == stripesdk.PaymentIntentCancellationReasonAutomatic || p.CancellationReason == "expired" {
		return true
	}
	for _, r := range m.s.refunds {
		if r.Reason == expiredRefund {
			return true
		}
	}
	return false
}

// failure is the last try at paying that did not work, in our words.
func (m *mapper) failure(state payment.AttemptState) payment.Failure {
	p := m.s.intent
	if p == nil {
		return payment.Failure{}
	}
	if state == payment.AttemptCanceled && m.lapsed() {
		return payment.Failure{Code: "authorization_expired", Message: "The authorization ended before it was captured."}
	}
	if e := p.LastPaymentError; e != nil {
		return declined(string(e.Code), string(e.DeclineCode))
	}
	if state == payment.AttemptFailed && p.LatestCharge != nil {
		return declined(p.LatestCharge.FailureCode, "")
	}
	return payment.Failure{}
}

// declined is a refused try at paying. The provider's text is never passed on.
func declined(code, declineCode string) payment.Failure {
	code = word(code)
	if code == "" {
		code = "payment_failed"
	}
	return payment.Failure{Code: code, DeclineCode: word(declineCode), Message: "The payment was declined."}
}

// authorization is the hold of a manual intent. Its id is the intent's: that is
// what is captured and canceled.
func (m *mapper) authorization() (payment.Authorization, bool) {
	held := m.held()
	if !m.manual() || held == nil {
		return payment.Authorization{}, false
	}
	p := m.s.intent
	auth := payment.Authorization{
		Key: m.a.key(p.ID), N: m.n, Amount: m.money(p.Amount, p.Currency), State: payment.AuthPending,
		ExpiresAt: unix(held.Created).Add(holdLife), Stamp: payment.Stamp{Created: unix(held.Created), AsOf: m.s.asOf},
	}
	if d := held.PaymentMethodDetails; d != nil && d.Card != nil && d.Card.CaptureBefore > 0 {
		auth.ExpiresAt = unix(d.Card.CaptureBefore)
	}
	switch p.Status {
	case stripesdk.PaymentIntentStatusRequiresCapture:
		auth.State, auth.Capturable = payment.AuthActive, m.money(p.AmountCapturable, p.Currency).Minor
	case stripesdk.PaymentIntentStatusSucceeded:
		auth.State = payment.AuthCaptured
	case stripesdk.PaymentIntentStatusCanceled:
		auth.State = payment.AuthVoided
		if m.lapsed() {
			auth.State = payment.AuthExpired
		}
	default: // on its way
	}
	return auth, true
}

// held is the charge that holds or held the money.
func (m *mapper) held() *stripesdk.Charge {
	if m.s.intent == nil {
		return nil
	}
	if c := m.s.intent.LatestCharge; c != nil && c.Status == stripesdk.ChargeStatusSucceeded {
		return c
	}
	for _, c := range m.s.charges {
		if c.Status == stripesdk.ChargeStatusSucceeded {
			return c
		}
	}
	return nil
}

// captured says that a charge took money, as opposed to holding it.
func captured(c *stripesdk.Charge) bool {
	return c.Status == stripesdk.ChargeStatusSucceeded && c.Captured
}

// captures are the charges that took money or may still.
func (m *mapper) captures() []payment.Capture {
	var out []payment.Capture
	for _, c := range m.s.charges {
		f := payment.Capture{
			Key: m.a.key(c.ID), N: m.n, Amount: m.money(c.Amount, c.Currency),
			// Captures merge by state and amount first; a row of a list says no more
			// about its time than when it was created.
			Stamp: payment.Stamp{Created: unix(c.Created), AsOf: unix(c.Created)},
		}
		if m.manual() {
			f.Auth = m.s.intent.ID
		}
		switch {
		case captured(c):
			f.State, f.Amount = payment.CaptureCompleted, m.money(c.AmountCaptured, c.Currency)
			f.Final = m.manual() && m.s.intent.Status == stripesdk.PaymentIntentStatusSucceeded
		case c.Status == stripesdk.ChargeStatusSucceeded:
			continue // held only
		case c.Status == stripesdk.ChargeStatusFailed:
			if !m.wasPending(c) {
				continue // a declined try on the page: nothing was ever on its way
			}
			f.State, f.Failure = payment.CaptureDeclined, declined(c.FailureCode, "")
		case c.Status != stripesdk.ChargeStatusPending:
			// Whether a charge took money decides what is asked, refunded and disputed beside
			// it. A status nobody knows is no answer: this one is read again, and told of where
			// it stays.
			m.strange = true
		case m.manual() && !c.Captured:
			continue // on its way to be held, not captured
		default:
			f.State = payment.CapturePending
		}
		out = append(out, f)
	}
	return out
}

// wasPending says whether a failed charge may have been seen as pending: cards
// answer at once, bank debits and the like do not.
func (m *mapper) wasPending(c *stripesdk.Charge) bool {
	if d := c.PaymentMethodDetails; d != nil && d.Type != "card" {
		return true
	}
	s, p := m.s.session, m.s.intent
	return s != nil && s.Status == stripesdk.CheckoutSessionStatusComplete &&
		p != nil && p.LatestCharge != nil && p.LatestCharge.ID == c.ID
}

// refunds are money given back; letting go of a hold is none.
func (m *mapper) refunds() []payment.Refund {
	var out []payment.Refund
	for _, r := range m.s.refunds {
		if c := m.chargeOf(r); c != nil && captured(c) && !released(r, c, m.s.refunds) {
			out = append(out, m.refund(r))
		}
	}
	return out
}

// reversals are what banks took back of payments that had succeeded, where the charge
// names it. The amount is in settlement currency: where that is another, all is gone.
func (m *mapper) reversals() []payment.Reversal {
	var out []payment.Reversal
	for _, c := range m.s.charges {
		t := c.FailureBalanceTransaction
		if t == nil || t.ID == "" || t.Currency == "" || !captured(c) {
			continue
		}
		amount := c.AmountCaptured
		if t.Currency == c.Currency {
			amount = max(0, -t.Amount)
		}
		out = append(out, payment.Reversal{
			Key: m.a.key(t.ID), Capture: c.ID, Amount: m.money(amount, c.Currency),
			Stamp: payment.Stamp{Created: unix(t.Created), AsOf: unix(t.Created)},
		})
	}
	return out
}

// chargeOf is a refund's charge as it was read, nil where it was not.
func (m *mapper) chargeOf(r *stripesdk.Refund) *stripesdk.Charge {
	for _, c := range m.s.charges {
		if r.Charge != nil && r.Charge.ID == c.ID {
			return c
		}
	}
	return nil
}

func (m *mapper) refund(r *stripesdk.Refund) payment.Refund {
	f := payment.Refund{
		Key: m.a.key(r.ID), Amount: m.money(r.Amount, r.Currency), State: refundState(r.Status),
		Reason: word(string(r.Reason)), FailureCode: word(string(r.FailureReason)), Operation: r.Metadata[metaRefund],
		Stamp: payment.Stamp{Created: unix(r.Created), AsOf: unix(r.Created)},
	}
	if r.Charge != nil {
		f.Capture = r.Charge.ID
	}
	return f
}

// refundState maps Stripe's status; one that nobody knows is on its way.
func refundState(s stripesdk.RefundStatus) payment.RefundState {
	switch s {
	case stripesdk.RefundStatusSucceeded:
		return payment.RefundSucceeded
	case stripesdk.RefundStatusFailed:
		return payment.RefundFailed
	case stripesdk.RefundStatusCanceled:
		return payment.RefundCanceled
	case stripesdk.RefundStatusRequiresAction:
		return payment.RefundRequiresAction
	default:
		return payment.RefundPending
	}
}

// fees are what each movement cost, by its balance transaction. A fee without an
// exact meaning is left out: it must not hide the money it belongs to. A partial capture
// has two, the whole amount and what takes the rest back with its share of the fee: net
// and fee are right with both only, and both are the charge's. So has a debit that failed:
// it is booked while it is pending, and what takes it back costs a fee of its own.
func (m *mapper) fees() []payment.Fee {
	var out []payment.Fee
	told := map[string]bool{} // what took a debit back is named by the charge and by the Refund
	add := func(object string, t *stripesdk.BalanceTransaction) {
		if t == nil || t.ID == "" || t.Currency == "" || told[t.ID] { // an id alone: not read
			return
		}
		told[t.ID] = true
		fee, errFee := fromStripe(t.Fee, t.Currency)
		net, errNet := fromStripe(t.Net, t.Currency)
		if errFee == nil && errNet == nil {
			out = append(out, payment.Fee{Key: m.a.key(t.ID), Object: object, Fee: fee, Net: net})
		}
	}
	for _, c := range m.s.charges {
		if !m.halfTold(c) {
			add(c.ID, c.BalanceTransaction)
		}
		add(c.ID, c.FailureBalanceTransaction)
	}
	for _, r := range m.s.refunds {
		object := r.ID
		if c := m.chargeOf(r); c != nil && released(r, c, m.s.refunds) {
			if untold(c) {
				continue
			}
			object = c.ID
		}
		add(object, r.BalanceTransaction)
	}
	for _, r := range m.s.reversed {
		add(r.refund, r.txn)
	}
	for _, d := range m.s.disputes {
		for _, t := range d.BalanceTransactions {
			add(d.ID, t)
		}
	}
	return out
}
