package stripeapi

import "strings"

func (c *call) findCharge() (*charge, *apiError) {
	id := c.r.PathValue("id")
	ch, ok := c.api.charges.find(c.acct, id)
	if !ok {
		return nil, notFound("charge", id)
	}
	return ch, nil
}

func (c *call) getCharge() (obj, *apiError) {
	ch, fail := c.findCharge()
	if fail != nil {
		return nil, fail
	}
	return c.api.renderCharge(ch), nil
}

func (c *call) listCharges() (obj, *apiError) {
	f := c.form
	among := c.api.charges.order
	if id := f.get("payment_intent"); id != "" {
		p, _ := c.api.intents.find(c.acct, id) // an unknown one has no charges
		if among = nil; p != nil {
			among = p.charges
		}
	}
	return listAmong(c, &c.api.charges, among, func(ch *charge) bool {
		cus := ""
		if ch.intent.customer != nil {
			cus = ch.intent.customer.id
		}
		return matches(f.get("payment_intent"), ch.intent.id) && matches(f.get("customer"), cus) &&
			matches(f.get("transfer_group"), ch.intent.param("transfer_group"))
	}, c.api.renderCharge)
}

func (c *call) listChargeRefunds() (obj, *apiError) {
	ch, fail := c.findCharge()
	if fail != nil {
		return nil, fail
	}
	return listAmong(c, &c.api.refunds, ch.refunds, func(r *refund) bool { return r.charge == ch }, c.api.renderRefund)
}

func (c *call) getTxn() (obj, *apiError) {
	id := c.r.PathValue("id")
	t, ok := c.api.txns.find(c.acct, id)
	if !ok {
		return nil, notFound("balance transaction", id)
	}
	return c.api.renderTxn(t), nil
}

func (c *call) listTxns() (obj, *apiError) {
	f := c.form
	shown := func(t *txn) string {
		_, _, currency, _ := c.api.settled(t)
		return currency
	}
	return listOf(c, &c.api.txns, func(t *txn) bool {
		return matches(f.get("type"), t.kind) && matches(f.get("source"), t.source) &&
			matches(strings.ToLower(f.get("currency")), shown(t)) && f.get("payout") == ""
	}, c.api.renderTxn)
}
