package paypal

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// snapshot is what was read of one attempt. Facts are made of it and of nothing else.
type snapshot struct {
	attempt  providers.Attempt
	order    orderBody // empty where the order is gone and its parts were read by id
	parts    payments
	disputes []disputeBody
	reversed []transaction
	at       time.Time // provider time of the read
	complete bool
	narrow   bool // disputes and reversals were not, or not all, looked at
	rootless bool // the order is gone: only what was known of it was read
}

// mapper turns a snapshot into facts and keeps the first thing it could not read.
type mapper struct {
	a   *Adapter
	s   snapshot
	out payment.Facts
	err error
}

// observe makes an observation of a snapshot. An amount that can't be read is an
// error: money we can't count must not look like none.
func (a *Adapter) observe(s snapshot) (payment.Observation, error) {
	for _, c := range s.parts.Captures {
		s.at = latest(s.at, parseTime(c.CreateTime))
	}
	for _, x := range s.parts.Authorizations {
		s.at = latest(s.at, parseTime(x.CreateTime))
	}
	for _, r := range s.parts.Refunds {
		s.at = latest(s.at, parseTime(r.CreateTime))
	}
	s.at = latest(s.at, parseTime(s.order.UpdateTime), parseTime(s.order.CreateTime))
	m := &mapper{a: a, s: s}
	m.captures()
	m.authorizations()
	m.refunds()
	m.reversals()
	for _, d := range s.disputes {
		m.dispute(d)
	}
	m.attempt()
	m.payers()
	if m.err != nil {
		return payment.Observation{}, m.err
	}
	obs := payment.Observation{
		Provider: Provider, Account: a.opts.Account, N: s.attempt.N, Complete: s.complete, Narrow: s.narrow, Rootless: s.rootless, AsOf: s.at, Facts: m.out,
	}
	if err := obs.Check(); err != nil {
		return payment.Observation{}, err
	}
	return obs, nil
}

func latest(times ...time.Time) time.Time {
	var out time.Time
	for _, t := range times {
		if t.After(out) {
			out = t
		}
	}
	return out
}

// sighting is the provider time of this read, made finer: PayPal's times have whole
// seconds, and of two reads within one second the one that shows more movements
// under the order is the later one.
func (m *mapper) sighting() time.Time {
	n := len(m.s.parts.Authorizations) + len(m.s.parts.Captures) + len(m.s.parts.Refunds)
	return m.s.at.Add(time.Duration(min(n, 999)) * time.Millisecond)
}

func (m *mapper) money(what, id string, v *money) payment.Money {
	out, err := v.parse()
	if err == nil && (out.Minor > payment.MaxReported || out.Minor < -payment.MaxReported) {
		err = payment.ErrOverflow // a bound here, so that no sum below leaves int64
	}
	if err != nil && m.err == nil {
		m.err = fmt.Errorf("%s %s: %w", what, id, err)
	}
	return out
}

// stamp is the times of an object that tells its own.
func (m *mapper) stamp(created, updated string) payment.Stamp {
	st := payment.Stamp{Created: firstTime(created, updated), AsOf: firstTime(updated, created)}
	if st.Created.IsZero() {
		st = payment.Stamp{Created: m.s.at, AsOf: m.s.at}
	}
	return st
}

func (m *mapper) captures() {
	for _, c := range m.s.parts.Captures {
		state := payment.CapturePending
		switch c.Status {
		case "COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED":
			state = payment.CaptureCompleted
		case "DECLINED", "FAILED":
			state = payment.CaptureDeclined
		}
		fact := payment.Capture{
			Key: m.a.key(c.ID), N: m.s.attempt.N, Auth: c.authorization(), Amount: m.money("capture", c.ID, c.Amount),
			State: state, Stamp: m.stamp(c.CreateTime, c.UpdateTime),
		}
		if state == payment.CaptureDeclined {
			fact.Failure = captureFailure(c)
		}
		m.out.Captures = append(m.out.Captures, fact)
		if state == payment.CaptureCompleted {
			m.fee(c.ID, c.ID, c.Receivable, 1)
		}
	}
}

func captureFailure(c captureBody) payment.Failure {
	return payment.Failure{Code: "capture_declined", DeclineCode: codeOf(c.StatusDetails.Reason), Message: "The payment was declined."}
}

// fee adds what a movement cost and netted, in settlement currency. PayPal has no
// balance transactions, so the movement's id stands for them. sign is -1 for money
// given back: then the fee that PayPal returns counts against what it took.
func (m *mapper) fee(id, object string, b *receivable, sign int64) {
	if b == nil {
		return
	}
	feeText, netText := b.PaypalFee, b.NetAmount
	if b.FeeInReceivable != nil {
		feeText = b.FeeInReceivable
	}
	// What reaches or leaves the account says itself in which currency it did, whatever
	// the fee was charged in (PayPal OpenAPI payments v2: receivable_amount, and of
	// refunds net_amount_in_receivable_currency or net_amount_breakdown).
	switch {
	case b.ReceivableAmount != nil:
		netText = b.ReceivableAmount
	case b.NetAmountInReceivable != nil:
		netText = b.NetAmountInReceivable
	}
	if netText == nil {
		return // not settled yet
	}
	net := m.money("net of", id, netText)
	if paid, ok := m.payable(id, b.NetBreakdown); ok && netText == b.NetAmount {
		net = paid
	}
	fee := payment.Money{Currency: net.Currency}
	if feeText != nil {
		fee = m.money("fee of", id, feeText)
	}
	fee.Minor, net.Minor = sign*fee.Minor, sign*net.Minor
	m.out.Fees = append(m.out.Fees, payment.Fee{Key: m.a.key(id), Object: object, Fee: fee, Net: net})
}

// payable is what a refund took from the account where it was paid in one other currency;
// ok is false where PayPal tells of none, or of several.
func (m *mapper) payable(id string, parts []payablePart) (sum payment.Money, ok bool) {
	for i, part := range parts {
		if part.Payable == nil {
			return payment.Money{}, false
		}
		amount := m.money("net of", id, part.Payable)
		if i > 0 && amount.Currency != sum.Currency {
			return payment.Money{}, false
		}
		sum.Currency = amount.Currency
		sum.Minor = max(-payment.MaxReported-1, min(sum.Minor+amount.Minor, payment.MaxReported+1)) // beyond: refused by Check
	}
	return sum, len(parts) > 0
}

// renewals tells which authorization each one renews. An order is authorized once (PayPal
// OpenAPI orders v2: ORDER_ALREADY_AUTHORIZED) and may be renewed several times, each time
// from the first one (payments v2: reauthorize). So of those that were not refused each
// renews the one before, whether or not PayPal names any: counted beside each other they
// would hold the money as often.
func renewals(all []authorizationBody) map[string]string {
	family := slices.DeleteFunc(slices.Clone(all), func(x authorizationBody) bool { return x.Status == "DENIED" })
	slices.SortStableFunc(family, func(x, y authorizationBody) int { return parseTime(x.CreateTime).Compare(parseTime(y.CreateTime)) })
	out := map[string]string{}
	for i, x := range family {
		if i > 0 {
			out[x.ID] = family[i-1].ID
			continue
		}
		beside := slices.ContainsFunc(family, func(y authorizationBody) bool { return y.ID == x.parent() })
		if !beside { // read without what it renews
			out[x.ID] = x.parent()
		}
	}
	return out
}

// authorizations maps every authorization of the order; captures must be mapped
// before. Renewals and what they renew share one amount of captures. After a final capture
// nothing more can be taken, whatever it left: that is told by the capture (PayPal OpenAPI
// payments v2: final_capture), while the authorization's status goes by the amounts alone
// and stays PARTIALLY_CAPTURED.
func (m *mapper) authorizations() {
	replaces := renewals(m.s.parts.Authorizations)
	taken, closed := int64(0), false
	for i, c := range m.out.Captures { // one of each of PayPal's, in their order
		if c.State != payment.CaptureDeclined {
			taken = min(taken+c.Amount.Minor, payment.MaxReported)
			closed = closed || m.s.parts.Captures[i].Final
		}
	}
	for _, x := range m.s.parts.Authorizations {
		amount := m.money("authorization", x.ID, x.Amount)
		st := m.stamp(x.CreateTime, x.UpdateTime)
		st.AsOf = m.sighting()
		fact := payment.Authorization{
			Key: m.a.key(x.ID), N: m.s.attempt.N, Amount: amount, State: m.authState(x),
			ExpiresAt: parseTime(x.ExpirationTime), Replaces: replaces[x.ID], Stamp: st,
		}
		if fact.State == payment.AuthActive {
			fact.Capturable = max(0, amount.Minor-taken)
			if fact.Capturable == 0 || closed {
				fact.State, fact.Capturable = payment.AuthCaptured, 0
			}
		}
		m.out.Authorizations = append(m.out.Authorizations, fact)
	}
}

// authState: PayPal reports a lapsed authorization as VOIDED, like one that was
// released by call; the times tell them apart.
func (m *mapper) authState(x authorizationBody) payment.AuthState {
	expires := parseTime(x.ExpirationTime)
	switch x.Status {
	case "CAPTURED":
		return payment.AuthCaptured
	case "DENIED":
		return payment.AuthDenied
	case "VOIDED":
		if ended := firstTime(x.UpdateTime); !expires.IsZero() && !ended.Before(expires) {
			return payment.AuthExpired
		}
		return payment.AuthVoided
	}
	switch {
	case !expires.IsZero() && !m.s.at.Before(expires):
		return payment.AuthExpired
	case x.Status == "CREATED", x.Status == "PARTIALLY_CAPTURED":
		return payment.AuthActive
	default:
		return payment.AuthPending
	}
}

func (m *mapper) refunds() {
	for _, r := range m.s.parts.Refunds {
		fact := payment.Refund{
			Key: m.a.key(r.ID), Capture: r.capture(), Amount: m.money("refund", r.ID, r.Amount),
			Operation: m.operation(r), Stamp: m.stamp(r.CreateTime, r.UpdateTime),
		}
		switch r.Status {
		case "COMPLETED":
			fact.State = payment.RefundSucceeded
			m.fee(r.ID, r.ID, r.Payable, -1)
		case "CANCELLED":
			fact.State = payment.RefundCanceled
		case "FAILED":
			fact.State, fact.FailureCode = payment.RefundFailed, codeOf(r.StatusDetails.Reason)
			if fact.FailureCode == "" {
				fact.FailureCode = "refund_failed"
			}
			// The money is back: what it had cost while it looked done is undone.
			m.fee(r.ID, r.ID, r.Payable, -1)
			m.fee(r.ID+":failed", r.ID, r.Payable, 1)
		default:
			fact.State = payment.RefundPending
		}
		m.out.Refunds = append(m.out.Refunds, fact)
	}
}

// operation is the id of our refund operation: we write it as custom_id and as
// invoice_id, and one of them will do where PayPal shows no more. A refund made on
// PayPal's own pages carries its capture's custom_id, the payment's id, and one made with
// another tool whatever that writes, such as an order's number on each of its refunds:
// were that an operation, they would be one refund to an app.
func (m *mapper) operation(r refundBody) string {
	foreign := !strings.HasPrefix(r.CustomID, refundPrefix)
	switch {
	case foreign && strings.HasPrefix(r.InvoiceID, refundPrefix):
		return r.InvoiceID
	case foreign || (r.InvoiceID != "" && r.InvoiceID != r.CustomID):
		return ""
	}
	return r.CustomID
}

// refundPrefix begins the ids of refund operations; nobody else writes such ids.
const refundPrefix = "rfd_"

// reversals: amounts are signed from the account's view. A row above zero is money that
// came back, and must not count as taken once more: nothing is made of it, and the sweep
// tells of a row that no payment shows. One that PayPal has undone took nothing in the end
// (PayPal OpenAPI reporting v1: transaction_status V).
func (m *mapper) reversals() {
	for _, t := range m.s.reversed {
		amount := m.money("reversal", t.ID, t.Amount)
		if amount.Minor > 0 {
			continue
		}
		amount = negative(amount)
		if t.Status == undone {
			amount.Minor = 0
		}
		m.out.Reversals = append(m.out.Reversals, payment.Reversal{
			Key: m.a.key(t.ID), Capture: t.ReferenceID, Amount: amount, Stamp: m.stamp(t.Initiated, t.Updated),
		})
	}
}

// attempt maps the order itself; everything below it must be mapped before.
func (m *mapper) attempt() {
	o, at := m.s.order, m.s.attempt
	fact := payment.AttemptFact{
		Key: m.a.key(at.Root.ID), N: at.N, Kind: "order", State: m.state(), Refs: m.refs(),
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
	default: // CREATED, SAVED, PAYER_ACTION_REQUIRED, and whatever PayPal adds
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
