package stripeapi

import (
	"slices"
	"strings"
	"time"
)

const (
	disputeFee  = 1500               // minor units, not returned on a win (Stripe: since June 2025)
	disputeTime = 9 * 24 * time.Hour // until evidence is due
	maxEvidence = 150_000            // characters, all fields together
	verdictTime = 10 * time.Minute   // until winning_evidence or losing_evidence is judged
)

// disputeReasons are Stripe's names (Stripe docs: dispute reason).
var disputeReasons = strings.Fields(`bank_cannot_process check_returned credit_not_processed customer_initiated debit_not_authorized
	duplicate fraudulent general incorrect_account_details insufficient_funds noncompliant product_not_received product_unacceptable
	subscription_canceled unrecognized`)

// openDispute starts a chargeback, which takes the money at once, or an inquiry,
// which takes none.
func (a *API) openDispute(ch *charge, amount int64, reason string, inquiry bool) *dispute {
	d := &dispute{
		owner: ch.owner, id: a.w.NewID("dp_", 24), created: a.w.Now(), amount: amount, status: "needs_response",
		reason: reason, charge: ch, evidence: map[string]string{}, meta: map[string]string{},
	}
	d.dueBy = d.created.Add(disputeTime)
	if inquiry {
		d.status = "warning_needs_response"
	}
	a.disputes.add(d)
	warned := ch.warned()
	ch.disputes = append(ch.disputes, d)
	if !inquiry {
		a.withdraw(d)
	}
	a.w.After(d.dueBy, "dispute "+d.id, func() { a.silence(d) })
	a.emit(d.owner, "charge.dispute.created", a.renderDispute(d))
	if !inquiry {
		a.emit(d.owner, "charge.dispute.funds_withdrawn", a.renderDispute(d))
	}
	a.settleWarnings(ch, warned)
	return d
}

// withdraw takes amount and fee out of the balance.
func (a *API) withdraw(d *dispute) {
	d.withdrawn = true
	t := a.newTxn(d.charge, "adjustment", "dispute", d.id, -d.amount, disputeFee)
	t.text = "Chargeback withdrawal for " + d.charge.id
	d.txns = append(d.txns, t)
	a.ledger(d.charge, d.id, "dispute", d.amount)
	a.ledger(d.charge, d.id, "fee", disputeFee)
}

// silence is what happens when nobody answered in time: lost.
func (a *API) silence(d *dispute) {
	switch d.status {
	case "needs_response":
		a.closeAs(d, "lost")
	case "warning_needs_response":
		a.closeAs(d, "warning_closed")
	}
}

// resolve decides a dispute: "won" or "lost"; an inquiry just closes. It says whether
// the dispute was open.
func (a *API) resolve(d *dispute, outcome string) bool {
	switch {
	case slices.Contains([]string{"won", "lost", "warning_closed"}, d.status):
		return false
	case strings.HasPrefix(d.status, "warning"):
		a.closeAs(d, "warning_closed")
	default:
		a.closeAs(d, outcome)
	}
	return true
}

func (a *API) closeAs(d *dispute, status string) {
	a.w.Cancel("dispute " + d.id)
	before := d.status
	d.status = status
	if status == "won" && d.withdrawn {
		d.withdrawn = false
		t := a.newTxn(d.charge, "adjustment", "dispute_reversal", d.id, d.amount, 0)
		t.text = "Chargeback reversal for " + d.charge.id
		d.txns = append(d.txns, t)
		a.ledger(d.charge, d.id, "dispute_won", d.amount)
		a.emit(d.owner, "charge.dispute.funds_reinstated", a.renderDispute(d))
	}
	a.emitChange(d.owner, "charge.dispute.updated", a.renderDispute(d), obj{"status": before})
	a.emit(d.owner, "charge.dispute.closed", a.renderDispute(d))
}

// appeal reopens a decided chargeback: a lost one is reviewed again, a won one is
// contested again by the bank and the money leaves once more. False if undecided.
func (a *API) appeal(d *dispute) bool {
	before := d.status
	switch before {
	case "lost":
		d.status = "under_review"
	case "won":
		d.status = "needs_response"
		d.dueBy = a.w.Now().Add(disputeTime)
		a.withdraw(d)
		a.w.After(d.dueBy, "dispute "+d.id, func() { a.silence(d) })
		a.emit(d.owner, "charge.dispute.funds_withdrawn", a.renderDispute(d))
	default:
		return false
	}
	a.emitChange(d.owner, "charge.dispute.updated", a.renderDispute(d), obj{"status": before})
	return true
}

// escalate turns an inquiry into a chargeback. False if it is not an open inquiry.
func (a *API) escalate(d *dispute) bool {
	if d.status != "warning_needs_response" && d.status != "warning_under_review" {
		return false
	}
	before := d.status
	d.status, d.submitted = "needs_response", 0
	d.dueBy = a.w.Now().Add(disputeTime)
	a.withdraw(d)
	a.w.After(d.dueBy, "dispute "+d.id, func() { a.silence(d) })
	a.emitChange(d.owner, "charge.dispute.updated", a.renderDispute(d), obj{"status": before})
	a.emit(d.owner, "charge.dispute.funds_withdrawn", a.renderDispute(d))
	return true
}

func (c *call) findDispute() (*dispute, *apiError) {
	id := c.r.PathValue("id")
	d, ok := c.api.disputes.find(c.acct, id)
	if !ok {
		return nil, notFound("dispute", id)
	}
	return d, nil
}

func (c *call) getDispute() (obj, *apiError) {
	d, fail := c.findDispute()
	if fail != nil {
		return nil, fail
	}
	return c.api.renderDispute(d), nil
}

func (c *call) listDisputes() (obj, *apiError) {
	f := c.form
	return listOf(c, &c.api.disputes, func(d *dispute) bool {
		return matches(f.get("charge"), d.charge.id) && matches(f.get("payment_intent"), d.charge.intent.id)
	}, c.api.renderDispute)
}

// updateDispute stores evidence; unless submit=false it goes to the bank, once.
func (c *call) updateDispute() (obj, *apiError) {
	d, fail := c.findDispute()
	if fail != nil {
		return nil, fail
	}
	meta, fail := c.form.metadata("metadata", d.meta)
	if fail != nil {
		return nil, fail
	}
	evidence := map[string]string{}
	for k, v := range d.evidence {
		evidence[k] = v
	}
	given, total := c.form.sub("evidence"), 0
	for k, v := range given {
		if !slices.Contains(evidenceFields, k) {
			return nil, invalid("evidence["+k+"]", "Received unknown parameter: evidence["+k+"]")
		}
		evidence[k] = v
		if v == "" {
			delete(evidence, k)
		}
	}
	for k, v := range evidence {
		if !isFile(k) {
			total += len([]rune(v))
		}
	}
	if fail := c.checkFiles(evidence); fail != nil {
		return nil, fail
	}
	if total > maxEvidence {
		return nil, invalid("evidence", "The combined evidence can have up to 150000 characters.")
	}
	submit := len(evidence) > 0 && (!c.form.has("submit") && len(given) > 0 || c.form.flag("submit"))
	open := d.status == "needs_response" || d.status == "warning_needs_response"
	if (submit || len(given) > 0) && (!open || d.submitted > 0) {
		return nil, refused("", "This dispute can no longer take evidence: its status is "+d.status+".")
	}
	d.meta, d.evidence = meta, evidence
	if submit {
		c.api.submitEvidence(d)
	} else if len(given) > 0 {
		c.api.emit(d.owner, "charge.dispute.updated", c.api.renderDispute(d))
	}
	return c.api.renderDispute(d), nil
}

// submitEvidence sends the answer; the two magic texts decide the verdict (Stripe
// docs: testing, evidence).
func (a *API) submitEvidence(d *dispute) {
	a.w.Cancel("dispute " + d.id)
	before := d.status
	d.submitted++
	d.status = strings.Replace(before, "needs_response", "under_review", 1)
	verdict := map[string]string{"winning_evidence": "won", "losing_evidence": "lost"}[d.evidence["uncategorized_text"]]
	if verdict != "" {
		a.w.After(a.w.Now().Add(verdictTime), "dispute "+d.id, func() { a.resolve(d, verdict) })
	}
	a.emitChange(d.owner, "charge.dispute.updated", a.renderDispute(d), obj{"status": before})
}

// closeDispute accepts the claim, for good.
func (c *call) closeDispute() (obj, *apiError) {
	d, fail := c.findDispute()
	if fail != nil {
		return nil, fail
	}
	if !c.api.resolve(d, "lost") {
		return nil, refused("", "This dispute is already closed: its status is "+d.status+".")
	}
	return c.api.renderDispute(d), nil
}
