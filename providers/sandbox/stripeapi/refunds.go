package stripeapi

import (
	"net/http"
	"slices"
	"time"
)

// refundDelay is when a slow refund of the two special cards gets its outcome.
const refundDelay = time.Hour

// refundable is what may still be given back.
func (c *charge) refundable() int64 { return max(0, c.captured-c.refundedSum()-c.withheld()) }

// createRefund is POST /v1/refunds for a charge or a payment intent.
func (c *call) createRefund() (obj, *apiError) {
	f := c.form
	ch, fail := c.refundTarget()
	if fail != nil {
		return nil, fail
	}
	amount, given, fail := f.integer("amount")
	if fail != nil {
		return nil, fail
	}
	if given && amount < 1 {
		return nil, checkAmount("amount", amount, ch.currency)
	}
	reason, fail := f.oneOf("reason", "", "duplicate", "fraudulent", "requested_by_customer")
	if fail != nil {
		return nil, fail
	}
	for _, key := range []string{"refund_application_fee", "reverse_transfer"} {
		if f.flag(key) {
			return nil, invalid(key, "The sandbox does not simulate "+key+".")
		}
	}
	meta, fail := f.metadata("metadata", nil)
	if fail != nil {
		return nil, fail
	}
	if !given {
		amount = ch.refundable()
	}
	if fail := ch.checkRefund(amount); fail != nil {
		return nil, fail
	}
	return c.api.renderRefund(c.api.refund(ch, amount, reason, meta)), nil
}

// refundTarget finds the charge to refund.
func (c *call) refundTarget() (*charge, *apiError) {
	chargeID, intentID := c.form.get("charge"), c.form.get("payment_intent")
	switch {
	case chargeID == "" && intentID == "":
		return nil, &apiError{status: http.StatusBadRequest, typ: typeInvalid, code: "parameter_missing", msg: "One of the following params should be provided for this request: payment_intent or charge."}
	case chargeID != "":
		ch, ok := c.api.charges.find(c.acct, chargeID)
		if !ok {
			return nil, &apiError{status: http.StatusNotFound, typ: typeInvalid, code: "resource_missing", param: "charge", msg: "No such charge: '" + chargeID + "'"}
		}
		if intentID != "" && ch.intent.id != intentID {
			return nil, invalid("payment_intent", "The charge does not belong to this PaymentIntent.")
		}
		return ch, nil
	}
	p, ok := c.api.intents.find(c.acct, intentID)
	if !ok {
		return nil, &apiError{status: http.StatusNotFound, typ: typeInvalid, code: "resource_missing", param: "payment_intent", msg: "No such payment_intent: '" + intentID + "'"}
	}
	if p.latest == nil {
		return nil, refused("payment_intent_unexpected_state", "This PaymentIntent ("+p.id+") does not have a successful charge to refund.")
	}
	return p.latest, nil
}

// checkRefund says why a charge can't be refunded by that amount, nil if it can.
func (c *charge) checkRefund(amount int64) *apiError {
	left := c.refundable()
	e := (*apiError)(nil)
	switch {
	case c.status != "succeeded" || !c.done:
		e = refused("charge_not_refundable", "Charge "+c.id+" is not captured and cannot be refunded.")
	case left == 0 && c.withheld() > 0 && c.refundedSum() < c.captured:
		e = refused("charge_disputed", "Charge "+c.id+" has been charged back; cannot issue a refund.")
	case left == 0:
		e = refused("charge_already_refunded", "Charge "+c.id+" has already been refunded.")
	case amount > left:
		e = refused("amount_too_large", "Refund amount ("+display(amount, c.currency)+") is greater than unrefunded amount on charge ("+display(left, c.currency)+")")
		e.param = "amount"
	}
	if e != nil {
		e.charge = c
	}
	return e
}

// refund gives money back. Two test cards make it slow, or undone later.
func (a *API) refund(ch *charge, amount int64, reason string, meta map[string]string) *refund {
	r := &refund{owner: ch.owner, id: a.w.NewID("re_", 24), created: a.w.Now(), amount: amount, status: "succeeded", reason: reason, charge: ch, meta: meta}
	a.refunds.add(r)
	warned := ch.warned()
	ch.refunds = append(ch.refunds, r)
	defer a.settleWarnings(ch, warned) // told after the refund itself
	r.txn = a.newTxn(r.charge, "refund", "refund", r.id, -amount, 0)
	switch ch.method.card.refunds {
	case "pending":
		r.status = "pending"
		a.w.After(r.created.Add(refundDelay), "refund "+r.id, func() { a.succeedRefund(r) })
	case "fails":
		a.w.After(r.created.Add(refundDelay), "refund "+r.id, func() { a.failRefund(r, "lost_or_stolen_card") })
	}
	if r.status == "succeeded" {
		a.bookRefund(r)
	}
	a.emit(r.owner, "refund.created", a.renderRefund(r))
	a.emit(ch.owner, "charge.refunded", a.renderCharge(ch))
	return r
}

// letGo records that what is left of a hold is released. Before API 2025-03-31.basil a
// partial capture and a cancellation, by hand or automatic, create a Refund that
// charge.amount_refunded counts (Stripe changelog: Partially capturing or canceling
// payments no longer creates a Refund). Its reason is known for a lapsed hold alone; that
// the others have none is assumed. The ledger has no row of it: no money moved.
func (a *API) letGo(ch *charge, amount int64, reason string) *refund {
	r := &refund{
		owner: ch.owner, id: a.w.NewID("re_", 24), created: a.w.Now(), amount: amount, status: "succeeded",
		reason: reason, charge: ch, meta: map[string]string{}, release: true,
	}
	ch.refunds = append(ch.refunds, r)
	ch.released += amount
	a.refunds.add(r)
	return r
}

// failureFee is what a debit that its bank returns costs, in minor units.
const failureFee = 400

// takeBack books a debit out of the pending balance that failed: under a balance
// transaction of its own, whose source is a Refund, and whose fee is that of the failure
// less the one of the charge (Stripe docs: balance transaction types; wyyerd/stripe-rs#177
// shows one). That this Refund is listed is what its being one says; that no event tells
// of it is assumed. The ledger has the fee only: the money never came.
func (a *API) takeBack(ch *charge) {
	r := &refund{
		owner: ch.owner, id: a.w.NewID("pyr_", 24), created: a.w.Now(), amount: ch.amount, status: "succeeded",
		charge: ch, meta: map[string]string{}, release: true,
	}
	r.txn = a.newTxn(ch, "payment_failure_refund", "charge_failure", r.id, -ch.txn.amount, failureFee-ch.txn.fee)
	r.txn.text = "REFUND FOR FAILED PAYMENT"
	ch.refunds, ch.failTxn = append(ch.refunds, r), r.txn
	a.refunds.add(r)
	a.ledger(ch, ch.id, "fee", failureFee)
}

// tellRelease announces it as the changelog names it: by these two types and no other.
func (a *API) tellRelease(r *refund) {
	a.emit(r.owner, "charge.refunded", a.renderCharge(r.charge))
	a.emit(r.owner, "charge.refund.updated", a.renderRefund(r))
}

func (a *API) bookRefund(r *refund) {
	r.booked = true
	a.ledger(r.charge, r.id, "refund", r.amount)
}

func (a *API) succeedRefund(r *refund) {
	if r.status != "pending" {
		return
	}
	r.status = "succeeded"
	a.bookRefund(r)
	a.refundUpdated(r, obj{"status": "pending"})
}

// failRefund undoes a refund: the money returns to our balance (Stripe docs: failed
// refunds). It says whether that was possible.
func (a *API) failRefund(r *refund, why string) bool {
	if !slices.Contains([]string{"pending", "succeeded"}, r.status) || r.release {
		return false
	}
	a.w.Cancel("refund " + r.id)
	before := r.status
	r.status, r.failReason = "failed", why
	r.failTxn = a.newTxn(r.charge, "refund_failure", "refund_failure", r.id, r.amount, 0)
	if r.booked {
		a.ledger(r.charge, r.id, "refund_failed", r.amount)
	}
	a.refundUpdated(r, obj{"status": before})
	return true
}

// refundUpdated announces a change in both families of events; refund.failed is the
// newer third one.
func (a *API) refundUpdated(r *refund, previous obj) {
	a.emitChange(r.owner, "charge.refund.updated", a.renderRefund(r), previous)
	a.emitChange(r.owner, "refund.updated", a.renderRefund(r), previous)
	if r.status == "failed" {
		a.emit(r.owner, "refund.failed", a.renderRefund(r))
	}
}

func (c *call) findRefund() (*refund, *apiError) {
	id := c.r.PathValue("id")
	r, ok := c.api.refunds.find(c.acct, id)
	if !ok {
		return nil, notFound("refund", id)
	}
	return r, nil
}

func (c *call) getRefund() (obj, *apiError) {
	r, fail := c.findRefund()
	if fail != nil {
		return nil, fail
	}
	return c.api.renderRefund(r), nil
}

func (c *call) updateRefund() (obj, *apiError) {
	r, fail := c.findRefund()
	if fail != nil {
		return nil, fail
	}
	meta, fail := c.form.metadata("metadata", r.meta)
	if fail != nil {
		return nil, fail
	}
	r.meta = meta
	a := c.api
	a.refundUpdated(r, nil)
	return a.renderRefund(r), nil
}

func (c *call) listRefunds() (obj, *apiError) {
	f := c.form
	return listOf(c, &c.api.refunds, func(r *refund) bool {
		return matches(f.get("charge"), r.charge.id) && matches(f.get("payment_intent"), r.charge.intent.id)
	}, c.api.renderRefund)
}
