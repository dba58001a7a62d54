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
		fact.Final = c.Final && state == payment.CaptureCompleted && fact.Auth != ""
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

// agreed is the most that captures may take of this attempt in all: the order's total,
// which its first authorization holds, or what its largest one does. That first one may be
// out of sight, and a renewal for the rest holds less. Without the order it is at least what
// was asked for.
func (m *mapper) agreed() int64 {
	most := m.s.attempt.Asked.Minor
	if m.s.order.ID != "" {
		most = m.ordered()
	}
	for _, x := range m.s.parts.Authorizations {
		if x.Status != "DENIED" {
			most = max(most, m.money("authorization", x.ID, x.Amount).Minor)
		}
	}
	return most
}

// ordered is what the order is for in all, in minor units; one whose amount is missing is
// refused elsewhere.
func (m *mapper) ordered() (sum int64) {
	for _, u := range m.s.order.PurchaseUnits {
		if u.Amount != nil {
			sum = min(sum+m.money("order", m.s.order.ID, &u.Amount.money).Minor, payment.MaxReported)
		}
	}
	return sum
}

// takenOf is what captures took of an authorization itself, or are about to take: those that
// name it, and those that name none of this order, unless they are older than it.
func (m *mapper) takenOf(x authorizationBody) int64 {
	var sum int64
	for _, c := range m.out.Captures {
		named := slices.ContainsFunc(m.s.parts.Authorizations, func(y authorizationBody) bool { return y.ID == c.Auth })
		before := !named && c.Created.Before(parseTime(x.CreateTime))
		if c.State == payment.CaptureDeclined || named && c.Auth != x.ID || before {
			continue
		}
		sum = min(sum+c.Amount.Minor, payment.MaxReported)
	}
	return sum
}

// authorizations maps every authorization of the order; captures must be mapped before.
// What a renewal holds comes on top of what was captured before it (PayPal docs,
// "Authorization & Capture": both together may be 115 % of the original amount), so only
// what was taken of it since counts against it. A renewal for the full amount would let
// more be taken than the customer agreed to: that bounds them all. After a final capture
// nothing more can be taken, whatever it left: that is told by the capture (PayPal OpenAPI
// payments v2: final_capture), while the authorization's status goes by the amounts alone
// and stays PARTIALLY_CAPTURED.
func (m *mapper) authorizations() {
	replaces, agreed := renewals(m.s.parts.Authorizations), m.agreed()
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
			fact.Capturable = max(0, min(amount.Minor-m.takenOf(x), agreed-taken))
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
