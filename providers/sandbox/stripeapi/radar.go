package stripeapi

import (
	"net/http"
	"slices"
)

// warn announces an early fraud warning about a charge.
func (a *API) warn(ch *charge) *warning {
	w := &warning{owner: ch.owner, id: a.w.NewID("issfr_", 24), created: a.w.Now(), kind: "made_with_stolen_card", charge: ch}
	a.warnings.add(w)
	ch.warnings = append(ch.warnings, w)
	a.emit(w.owner, "radar.early_fraud_warning.created", a.renderWarning(w))
	return w
}

func (c *call) getWarning() (obj, *apiError) {
	id := c.r.PathValue("id")
	w, ok := c.api.warnings.find(c.acct, id)
	if !ok {
		return nil, notFound("early fraud warning", id)
	}
	return c.api.renderWarning(w), nil
}

func (c *call) listWarnings() (obj, *apiError) {
	f := c.form
	return listOf(c, &c.api.warnings, func(w *warning) bool {
		return matches(f.get("charge"), w.charge.id) && matches(f.get("payment_intent"), w.charge.intent.id)
	}, c.api.renderWarning)
}

// actionable says whether giving the money back can still avoid a dispute: until the
// charge is disputed or fully refunded (Stripe API reference: early fraud warning).
func (w *warning) actionable() bool {
	return len(w.charge.disputes) == 0 && w.charge.refundedSum() < w.charge.captured
}

// settleWarnings announces what a dispute or a refund did to the charge's warnings,
// given whether they were actionable before.
func (a *API) settleWarnings(ch *charge, before bool) {
	for _, w := range ch.warnings {
		if before && !w.actionable() {
			a.emitChange(w.owner, "radar.early_fraud_warning.updated", a.renderWarning(w), obj{"actionable": true})
		}
	}
}

// warned says whether the charge has warnings that can still be acted on.
func (c *charge) warned() bool { return len(c.warnings) > 0 && c.warnings[0].actionable() }

// review is the id of the review of the intent's charge, or null.
func (p *intent) review() any {
	if p.latest == nil {
		return nil
	}
	return idOrNull(p.latest.review, p.latest.review != nil)
}

// openReview asks a human about a charge: by a rule of the merchant's, or by hand.
func (a *API) openReview(ch *charge, opened string) *review {
	v := &review{owner: ch.owner, id: a.w.NewID("prv_", 24), created: a.w.Now(), charge: ch, opened: opened}
	a.reviews.add(v)
	ch.review = v
	a.emit(v.owner, "review.opened", a.renderReview(v))
	return v
}

// closeReview ends a review; false if it is closed already.
func (a *API) closeReview(v *review, reason string) bool {
	if v == nil || v.closed != "" {
		return false
	}
	v.closed = reason
	a.emitChange(v.owner, "review.closed", a.renderReview(v), obj{"open": true})
	return true
}

func (a *API) renderReview(v *review) obj {
	reason := v.closed
	if reason == "" {
		reason = v.opened
	}
	return obj{
		"id": v.id, "object": "review", "livemode": false, "created": unix(v.created), "charge": v.charge.id,
		"payment_intent": v.charge.intent.id, "open": v.closed == "", "opened_reason": v.opened, "closed_reason": orNull(v.closed),
		"reason": reason, "billing_zip": nil, "ip_address": nil, "ip_address_location": nil, "session": nil,
	}
}

func (c *call) findReview() (*review, *apiError) {
	id := c.r.PathValue("id")
	v, ok := c.api.reviews.find(c.acct, id)
	if !ok {
		return nil, notFound("review", id)
	}
	return v, nil
}

// listReviews lists open reviews only (Stripe API reference: list all open reviews).
func (c *call) listReviews() (obj, *apiError) {
	return listOf(c, &c.api.reviews, func(v *review) bool { return v.closed == "" }, c.api.renderReview)
}

func (c *call) getReview() (obj, *apiError) {
	v, fail := c.findReview()
	if fail != nil {
		return nil, fail
	}
	return c.api.renderReview(v), nil
}

func (c *call) approveReview() (obj, *apiError) {
	v, fail := c.findReview()
	if fail != nil {
		return nil, fail
	}
	if !c.api.closeReview(v, "approved") {
		return nil, refused("", "This review is already closed.")
	}
	return c.api.renderReview(v), nil
}

func (a *API) controlReview(_ string, in controlInput) (obj, *controlFail) {
	ch, fail := a.controlCharge(in.Charge)
	if fail != nil {
		return nil, fail
	}
	if in.Reason == "" {
		in.Reason = "rule"
	}
	switch {
	case in.Reason != "rule" && in.Reason != "manual":
		return nil, controlErr(http.StatusBadRequest, "reason must be rule or manual")
	case ch.review != nil:
		return nil, controlErr(http.StatusConflict, "the charge has a review already")
	}
	return obj{"review": a.openReview(ch, in.Reason).id}, nil
}

func (a *API) controlCloseReview(id string, in controlInput) (obj, *controlFail) {
	v := a.reviews.byID[id]
	if v == nil {
		return nil, controlErr(http.StatusNotFound, "no such review")
	}
	if !slices.Contains([]string{"approved", "refunded", "refunded_as_fraud", "disputed", "redacted"}, in.Outcome) {
		return nil, controlErr(http.StatusBadRequest, "outcome must be approved, refunded, refunded_as_fraud, disputed or redacted")
	}
	if !a.closeReview(v, in.Outcome) {
		return nil, controlErr(http.StatusConflict, "the review is closed: "+v.closed)
	}
	return obj{"review": v.id}, nil
}
