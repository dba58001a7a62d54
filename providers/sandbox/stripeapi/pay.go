package stripeapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

const (
	authorizationLife = 7 * 24 * time.Hour // card-not-present, customer-initiated (Stripe docs: place a hold)
	promotionCode     = "SAVE10"           // the one promotion code there is: 10 % off
	taxPercent        = 10                 // what automatic tax comes to here
	clearingTime      = 2 * 24 * time.Hour // until a balance transaction is available
)

// submission is what a buyer does on the hosted page.
type submission struct {
	card        string
	fingerprint string // "": the number's own
	asyncMethod bool
	threeDS     string // "": stop at the challenge page; "pass"; "fail"
	promotion   string
	email, name string
}

// submit pays an open session as a buyer would. A decline leaves the session open.
// The session is complete afterwards, or waits for the challenge, or a decline is
// returned.
func (a *API) submit(s *session, in submission) *apiError {
	if s.intent == nil {
		a.price(s, in.promotion)
	}
	if in.email != "" {
		s.email = in.email
	}
	if in.name != "" {
		s.name = in.name
	}
	if s.total() == 0 {
		a.complete(s)
		return nil
	}
	if s.intent == nil {
		s.intent = a.sessionIntent(s)
	}
	m := &method{owner: s.owner, id: a.w.NewID("pm_", 24), created: a.w.Now(), kind: "card", card: lookUpCard(in.card), email: s.email, name: s.name}
	m.card.named = in.fingerprint
	if in.asyncMethod {
		m.kind, m.card = "us_bank_account", rule{number: "000000003000"}
		if s.currency == "eur" {
			m.kind = "sepa_debit"
		}
	}
	a.methods.add(m)
	return a.attempt(s.intent, m, in.threeDS, false)
}

// price fixes what may differ from the asked amount: promotion and tax.
func (a *API) price(s *session, promotion string) {
	s.discount, s.tax = 0, 0
	if s.form.flag("allow_promotion_codes") && strings.EqualFold(promotion, promotionCode) {
		s.discount = s.subtotal / 10
	}
	if s.form.flag("automatic_tax[enabled]") {
		s.tax = (s.subtotal - s.discount) * taxPercent / 100
	}
	discount, tax := s.discount, s.tax
	for i, it := range s.items { // shares in proportion, the rest on the last line
		if i == len(s.items)-1 || s.subtotal == 0 {
			it.discount, it.tax = discount, tax
			break
		}
		sub := it.unit * it.quantity
		it.discount, it.tax = share(s.discount, sub, s.subtotal), share(s.tax, sub, s.subtotal)
		discount, tax = discount-it.discount, tax-it.tax
	}
}

// share is total*part/whole without overflow for the amounts allowed here.
func share(total, part, whole int64) int64 {
	return total/whole*part + total%whole*part/whole
}

// sessionIntent makes the PaymentIntent at the buyer's first submit.
func (a *API) sessionIntent(s *session) *intent {
	meta, fail := s.form.metadata("payment_intent_data[metadata]", nil)
	if fail != nil {
		meta = map[string]string{} // refused at creation already
	}
	p := &intent{
		owner: s.owner, id: a.w.NewID("pi_", 24), created: a.w.Now(), amount: s.total(), currency: s.currency,
		status: "requires_payment_method", capture: "automatic", form: s.form, prefix: "payment_intent_data", meta: meta,
		session: s, customer: s.customer,
		multicapture: s.form.get("payment_method_options[card][request_multicapture]") == "if_available",
	}
	if v := p.param("capture_method"); v != "" {
		p.capture = v
	}
	p.nextURL = strings.TrimSuffix(s.url, "/c/pay/"+s.id) + "/c/authenticate/" + p.id
	a.intents.add(p)
	a.emit(p.owner, "payment_intent.created", a.renderIntent(p))
	return p
}

// attempt tries to take an intent's money with a method. threeDS answers a challenge:
// "" leaves it open (requires_action), "pass" or "fail". It returns the decline.
func (a *API) attempt(p *intent, m *method, threeDS string, offSession bool) *apiError {
	p.method, p.lastError = m, nil
	switch {
	case m.card.authOff && offSession:
		return a.decline(p, m, &apiError{
			code: "authentication_required", decline: "authentication_required",
			msg: "Your card was declined. This transaction requires authentication.",
		})
	case m.card.auth && !offSession:
		if p.status != "requires_action" {
			p.status = "requires_action"
			a.emit(p.owner, "payment_intent.requires_action", a.renderIntent(p))
		}
		switch threeDS {
		case "":
			return nil
		case "fail":
			p.method = nil // as Stripe: the method is taken off the intent
			fail := &apiError{
				status: http.StatusPaymentRequired, typ: typeCard, code: "payment_intent_authentication_failure", method: m, intent: p, executed: true,
				msg: "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
			}
			return a.failAttempt(p, fail)
		}
	}
	if m.card.code != "" {
		return a.decline(p, m, &apiError{code: m.card.code, decline: m.card.decline, msg: m.card.message})
	}
	p.status = "processing"
	ch := a.newCharge(p, m)
	ch.auth3DS = m.card.auth && !offSession
	p.latest = ch
	switch {
	case m.kind != "card":
		ch.status = "pending"
		// It is in the pending balance from now on (Stripe docs: balance transaction types).
		ch.txn = a.newTxn(ch, "payment", "charge", ch.id, ch.amount, processingFee(ch.amount))
		a.emit(p.owner, "charge.pending", a.renderCharge(ch))
		a.emit(p.owner, "payment_intent.processing", a.renderIntent(p))
	case p.capture == "manual":
		p.status, p.capturable = "requires_capture", p.amount
		ch.expires = a.w.Now().Add(authorizationLife)
		a.w.After(ch.expires, "authorization "+p.id, func() { a.lapseAuthorization(p) })
		a.emit(p.owner, "charge.succeeded", a.renderCharge(ch))
		a.emit(p.owner, "payment_intent.amount_capturable_updated", a.renderIntent(p))
	default:
		a.takeAll(p, ch)
		return nil
	}
	a.completeOf(p)
	return nil
}

func (a *API) newCharge(p *intent, m *method) *charge {
	prefix := "ch_"
	if m.kind != "card" {
		prefix = "py_"
	}
	ch := &charge{
		owner: p.owner, id: a.w.NewID(prefix, 24), created: a.w.Now(), amount: p.amount, currency: p.currency,
		status: "succeeded", intent: p, method: m, meta: p.meta,
	}
	a.charges.add(ch)
	ch.intent.charges = append(ch.intent.charges, ch)
	return ch
}

// decline books a failed charge and returns the error for the caller.
func (a *API) decline(p *intent, m *method, e *apiError) *apiError {
	e.status, e.typ, e.executed = http.StatusPaymentRequired, typeCard, true
	e.intent, e.method = p, m
	ch := a.newCharge(p, m)
	ch.status, ch.failure = "failed", e
	e.charge, p.latest = ch, ch
	p.method = nil
	a.emit(p.owner, "charge.failed", a.renderCharge(ch))
	return a.failAttempt(p, e)
}

// failAttempt puts the intent back to where the buyer may try again.
func (a *API) failAttempt(p *intent, e *apiError) *apiError {
	p.status, p.lastError = "requires_payment_method", e
	a.emit(p.owner, "payment_intent.payment_failed", a.renderIntent(p))
	return e
}

// takeAll captures a charge in full at once.
func (a *API) takeAll(p *intent, ch *charge) {
	a.take(p, ch)
	a.completeOf(p)
	a.aftermath(ch)
}

// take books a charge's whole amount, with the capture faults: other money than
// asked, or a second charge for the same intent.
func (a *API) take(p *intent, ch *charge) {
	delta, twice := a.w.CaptureFault()
	ch.status, p.status = "succeeded", "succeeded"
	ch.odd = delta != 0
	a.book(ch, max(p.amount+delta, 1), 0) // a fault can't make a capture negative
	p.received = ch.captured
	a.emit(p.owner, "charge.succeeded", a.renderCharge(ch))
	a.emit(p.owner, "payment_intent.succeeded", a.renderIntent(p))
	if twice {
		a.chargeAgain(p, ch)
	}
}

// chargeAgain is the fault that a provider charges twice: another successful charge
// on the intent, which the intent itself does not mention.
func (a *API) chargeAgain(p *intent, first *charge) {
	second := a.newCharge(p, first.method)
	second.amount, second.odd = first.captured, true
	a.book(second, first.captured, 0)
	a.emit(p.owner, "charge.succeeded", a.renderCharge(second))
}

// book moves captured money: the charge, its balance transactions and the ledger. rest
// is what a final capture leaves of a hold: Stripe books the whole amount, and takes the
// rest back with its share of the fee under a balance transaction of its own. The ledger
// tells what really moved: neither the rest nor its fee.
func (a *API) book(ch *charge, amount, rest int64) (release *refund) {
	t := ch.txn
	if t == nil || ch.done {
		t = a.newTxn(ch, "charge", "charge", ch.id, 0, 0)
	}
	t.amount, t.fee = amount+rest, processingFee(amount+rest)
	ch.done = true
	ch.captured += amount
	ch.amount = max(ch.amount, ch.captured)
	if ch.method.card.instant {
		t.available = t.created
	}
	if ch.txn == nil {
		ch.txn = t
	}
	fee := t.fee
	if rest > 0 {
		release = a.letGo(ch, rest, "")
		release.txn = a.newTxn(ch, "refund", "partial_capture_reversal", release.id, -rest, processingFee(amount)-t.fee)
		release.txn.available = t.available
		fee += release.txn.fee
	}
	a.ledger(ch, ch.id, "capture", amount)
	a.ledger(ch, ch.id, "fee", fee)
	return release
}

// processingFee is 2.9 % + 30 minor units, rounded half up.
func processingFee(amount int64) int64 { return (amount*29+500)/1000 + 30 }

func (a *API) newTxn(ch *charge, kind, category, source string, amount, fee int64) *txn {
	t := &txn{
		owner: ch.owner, id: a.w.NewID("txn_", 24), created: a.w.Now(), amount: amount, fee: fee, currency: ch.currency,
		kind: kind, category: category, source: source, charge: ch,
	}
	if a.opt.Settlement != "" && a.opt.Settlement != ch.currency {
		t.rate = 90 + unix(t.created)/3600*5%7
	}
	t.available = t.created.Add(clearingTime)
	a.txns.add(t)
	return t
}

// settled is a transaction as it is shown: in the currency that the account settles in.
func (a *API) settled(t *txn) (amount, fee int64, currency string, rate any) {
	if t.rate == 0 {
		return t.amount, t.fee, t.currency, nil
	}
	return share(t.amount, t.rate, 100), share(t.fee, t.rate, 100), a.opt.Settlement, json.Number(fmt.Sprintf("0.%02d", t.rate))
}

// ledger records a movement of money on a charge.
func (a *API) ledger(ch *charge, object, kind string, amount int64) {
	a.w.Record(sandbox.LedgerRow{
		Object: object, Kind: kind, Amount: amount, Currency: ch.currency,
		Reference: ch.intent.reference(), Account: ch.acct, At: a.w.Now(), Odd: kind == "capture" && ch.odd, API: apiName,
	})
}

// completeOf completes the session that an intent belongs to.
func (a *API) completeOf(p *intent) {
	if p.session != nil && p.session.status == "open" {
		a.complete(p.session)
	}
}

func (a *API) complete(s *session) {
	a.w.Cancel("session " + s.id)
	s.status = "complete"
	keep := s.form.get("payment_intent_data[setup_future_usage]") != ""
	if s.customer == nil && (s.form.get("customer_creation") == "always" || keep) {
		s.customer = &customer{owner: s.owner, id: a.w.NewID("cus_", 14), created: a.w.Now(), email: s.email, name: s.name, meta: map[string]string{}}
		a.customers.add(s.customer)
		a.emit(s.owner, "customer.created", renderCustomer(s.customer))
	}
	if s.intent != nil && s.customer != nil {
		s.intent.customer = s.customer
		if keep {
			s.intent.method.customer = s.customer
		}
	}
	a.emit(s.owner, "checkout.session.completed", a.renderSession(s))
}

// aftermath is what some test cards bring about once they were captured.
func (a *API) aftermath(ch *charge) {
	card := ch.method.card
	rest := ch.captured
	for i, reason := range card.disputes {
		part := rest / int64(len(card.disputes)-i)
		rest -= part
		a.openDispute(ch, max(part, 1), reason, card.inquiry)
	}
	if card.warning {
		a.warn(ch)
	}
}

// settleAsync ends a bank debit that is under way.
func (a *API) settleAsync(ch *charge, completed bool) {
	p := ch.intent
	if completed {
		a.take(p, ch)
		if p.session != nil {
			a.emit(p.owner, "checkout.session.async_payment_succeeded", a.renderSession(p.session))
		}
		return
	}
	e := &apiError{
		status: http.StatusPaymentRequired, typ: typeCard, code: "payment_intent_payment_attempt_failed",
		msg: "The payment failed: the customer's bank refused the debit.", charge: ch, method: ch.method, intent: p,
	}
	ch.status, ch.failure = "failed", e
	p.method = nil
	a.takeBack(ch)
	a.emit(p.owner, "charge.failed", a.renderCharge(ch))
	a.failAttempt(p, e)
	if p.session != nil {
		a.emit(p.owner, "checkout.session.async_payment_failed", a.renderSession(p.session))
	}
}
