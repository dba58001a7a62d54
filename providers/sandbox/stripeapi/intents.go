package stripeapi

import (
	"net/http"
	"slices"
)

// createIntent is POST /v1/payment_intents, with or without confirm=true.
func (c *call) createIntent() (obj, *apiError) {
	f := c.form
	currency, fail := f.readCurrency("currency")
	if fail != nil {
		return nil, fail
	}
	amount, ok, fail := f.integer("amount")
	if fail != nil {
		return nil, fail
	}
	if !ok {
		return nil, missing("amount")
	}
	if fail := checkAmount("amount", amount, currency); fail != nil {
		return nil, fail
	}
	capture, fail := f.oneOf("capture_method", "automatic", "automatic", "automatic_async", "manual")
	if fail != nil {
		return nil, fail
	}
	if fail := checkDescriptor(f, "statement_descriptor"); fail != nil {
		return nil, fail
	}
	if fail := f.refuseUnsupported(""); fail != nil {
		return nil, fail
	}
	meta, fail := f.metadata("metadata", nil)
	if fail != nil {
		return nil, fail
	}
	p := &intent{
		owner: owner{c.acct, c.platform}, created: c.api.w.Now(), amount: amount, currency: currency,
		status: "requires_payment_method", capture: capture, form: f, meta: meta,
		multicapture: f.get("payment_method_options[card][request_multicapture]") == "if_available",
	}
	if id := f.get("customer"); id != "" {
		if p.customer, ok = c.api.customers.find(c.acct, id); !ok {
			return nil, &apiError{status: 400, typ: typeInvalid, code: "resource_missing", param: "customer", msg: "No such customer: '" + id + "'"}
		}
	}
	m, fail := c.readMethod(p.customer)
	if fail != nil {
		return nil, fail
	}
	if f.flag("off_session") && !f.flag("confirm") {
		return nil, invalid("off_session", "`off_session` can only be used with `confirm=true`.")
	}
	p.id = c.api.w.NewID("pi_", 24)
	c.api.intents.add(p)
	if m != nil {
		p.method, p.status = m, "requires_confirmation"
	}
	c.api.emit(p.owner, "payment_intent.created", c.api.renderIntent(p))
	if f.flag("confirm") {
		return c.confirm(p)
	}
	return c.api.renderIntent(p), nil
}

// readMethod reads payment_method: a test token, or a stored method of the customer.
func (c *call) readMethod(cus *customer) (*method, *apiError) {
	id := c.form.get("payment_method")
	if id == "" {
		return nil, nil
	}
	if number, ok := tokens[id]; ok {
		m := &method{owner: owner{c.acct, c.platform}, id: c.api.w.NewID("pm_", 24), created: c.api.w.Now(), kind: "card", card: lookUpCard(number)}
		c.api.methods.add(m)
		return m, nil
	}
	m, ok := c.api.methods.find(c.acct, id)
	if !ok {
		return nil, &apiError{status: 400, typ: typeInvalid, code: "resource_missing", param: "payment_method", msg: "No such PaymentMethod: '" + id + "'"}
	}
	if m.customer != nil && m.customer != cus {
		return nil, invalid("payment_method", "The provided PaymentMethod belongs to another Customer.")
	}
	return m, nil
}

// confirm tries to take the money; error_on_requires_action turns a challenge into a
// decline (Stripe docs: confirm).
func (c *call) confirm(p *intent) (obj, *apiError) {
	a := c.api
	if p.method == nil {
		return nil, refused("payment_intent_unexpected_state", "You cannot confirm this PaymentIntent because it's missing a payment method.")
	}
	p.nextURL = c.base + "/c/authenticate/" + p.id
	if u := c.form.get("return_url"); u != "" {
		p.form = cloneForm(p.form)
		p.form["return_url"] = []string{u}
	}
	offSession := c.form.flag("off_session")
	if !offSession && p.method.card.auth && c.form.flag("error_on_requires_action") {
		return nil, a.decline(p, p.method, &apiError{
			code: "authentication_required", decline: "authentication_required",
			msg: "Your card was declined. This transaction requires authentication.",
		})
	}
	if fail := a.attempt(p, p.method, "", offSession); fail != nil {
		return nil, fail
	}
	return a.renderIntent(p), nil
}

func cloneForm(f form) form {
	out := form{}
	for k, v := range f {
		out[k] = v
	}
	return out
}

func (c *call) findIntent() (*intent, *apiError) {
	id := c.r.PathValue("id")
	p, ok := c.api.intents.find(c.acct, id)
	if !ok {
		return nil, notFound("payment_intent", id)
	}
	return p, nil
}

func (c *call) getIntent() (obj, *apiError) {
	p, fail := c.findIntent()
	if fail != nil {
		return nil, fail
	}
	return c.api.renderIntent(p), nil
}

func (c *call) listIntents() (obj, *apiError) {
	return listOf(c, &c.api.intents, func(p *intent) bool {
		cus := ""
		if p.customer != nil {
			cus = p.customer.id
		}
		return matches(c.form.get("customer"), cus)
	}, c.api.renderIntent)
}

// updateIntent changes metadata and description.
func (c *call) updateIntent() (obj, *apiError) {
	p, fail := c.findIntent()
	if fail != nil {
		return nil, fail
	}
	if c.form.has("amount") || c.form.has("currency") {
		return nil, invalid("amount", "The sandbox updates metadata and description only.")
	}
	meta, fail := c.form.metadata("metadata", p.meta)
	if fail != nil {
		return nil, fail
	}
	p.meta = meta
	if c.form.has("description") && p.prefix == "" {
		p.form = cloneForm(p.form)
		p.form["description"] = c.form["description"]
	}
	return c.api.renderIntent(p), nil
}

func (c *call) confirmIntent() (obj, *apiError) {
	p, fail := c.findIntent()
	if fail != nil {
		return nil, fail
	}
	if p.session != nil || !slices.Contains([]string{"requires_payment_method", "requires_confirmation", "requires_action"}, p.status) {
		return nil, c.unexpected(p, "confirm")
	}
	m, fail := c.readMethod(p.customer)
	if fail != nil {
		return nil, fail
	}
	if m != nil {
		p.method, p.status = m, "requires_confirmation"
	}
	return c.confirm(p)
}

// unexpected is the refusal of an action that an intent's status forbids.
func (c *call) unexpected(p *intent, action string) *apiError {
	why := "it has a status of " + p.status + "."
	if p.session != nil && action != "capture" {
		why = "it was made by a Checkout Session and " + why + " Expire the session instead."
	}
	e := refused("payment_intent_unexpected_state", "You cannot "+action+" this PaymentIntent because "+why)
	e.intent = p
	return e
}

// cancelIntent is POST .../cancel. A Checkout Session's intent can be cancelled only
// in requires_capture (Stripe docs: cancel).
func (c *call) cancelIntent() (obj, *apiError) {
	p, fail := c.findIntent()
	if fail != nil {
		return nil, fail
	}
	reason, fail := c.form.oneOf("cancellation_reason", "", "duplicate", "fraudulent", "requested_by_customer", "abandoned")
	if fail != nil {
		return nil, fail
	}
	allowed := []string{"requires_payment_method", "requires_confirmation", "requires_action", "requires_capture"}
	if p.session != nil {
		allowed = []string{"requires_capture"}
	}
	if !slices.Contains(allowed, p.status) {
		return nil, c.unexpected(p, "cancel")
	}
	c.api.cancel(p, reason)
	return c.api.renderIntent(p), nil
}

// cancel ends an intent and lets go what is still authorized. Already captured parts
// (multicapture) stay taken.
func (a *API) cancel(p *intent, reason string) {
	a.w.Cancel("authorization " + p.id)
	if p.status == "requires_capture" {
		why := ""
		if reason == "automatic" {
			why = "expired_uncaptured_charge"
		}
		r := a.letGo(p.latest, p.capturable, why)
		p.capturable = 0
		a.tellRelease(r)
	}
	p.status, p.canceledAt, p.cancelReason = "canceled", a.w.Now(), reason
	if p.received > 0 {
		p.status, p.cancelReason = "succeeded", ""
		a.emit(p.owner, "payment_intent.succeeded", a.renderIntent(p))
		return
	}
	a.emit(p.owner, "payment_intent.canceled", a.renderIntent(p))
}

// lapseAuthorization ends an authorization that was not captured in time: the intent
// is canceled "automatic".
func (a *API) lapseAuthorization(p *intent) {
	if p.status != "requires_capture" {
		return
	}
	a.cancel(p, "automatic")
	a.emit(p.owner, "charge.expired", a.renderCharge(p.latest))
}

// captureIntent is POST .../capture: once, in full or less, the rest is let go;
// several times only with multicapture and final_capture=false.
func (c *call) captureIntent() (obj, *apiError) {
	p, fail := c.findIntent()
	if fail != nil {
		return nil, fail
	}
	f, a := c.form, c.api
	amount, given, fail := f.integer("amount_to_capture")
	if fail != nil {
		return nil, fail
	}
	if fail := f.refuseUnsupported(""); fail != nil {
		return nil, fail
	}
	meta, fail := f.metadata("metadata", p.meta)
	if fail != nil {
		return nil, fail
	}
	if p.status != "requires_capture" {
		return nil, c.unexpected(p, "capture")
	}
	if !given {
		amount = p.capturable
	}
	final := !f.has("final_capture") || f.flag("final_capture")
	switch {
	case amount < 1:
		return nil, checkAmount("amount_to_capture", amount, p.currency)
	case amount > p.capturable:
		return nil, &apiError{
			status: http.StatusBadRequest, typ: typeInvalid, code: "amount_too_large", param: "amount_to_capture", executed: true,
			msg: "You cannot capture more than the remaining amount_capturable (" + display(p.capturable, p.currency) + ").",
		}
	case !final && !p.multicapture:
		return nil, invalid("final_capture", "final_capture=false needs multicapture, which was not requested for this PaymentIntent.")
	}
	p.meta = meta
	a.captureSome(p, amount, final)
	return a.renderIntent(p), nil
}

// captureSome takes a part of an authorization; final lets the rest go.
func (a *API) captureSome(p *intent, amount int64, final bool) {
	ch := p.latest
	delta, twice := a.w.CaptureFault()
	taken := max(amount+delta, 1) // a fault can't make a capture negative
	rest := int64(0)
	if final {
		rest = max(0, p.capturable-taken)
	}
	ch.odd = taken != amount
	release := a.book(ch, taken, rest)
	p.received += taken
	p.capturable -= amount
	if !final && p.capturable > 0 {
		a.emit(ch.owner, "charge.captured", a.renderCharge(ch))
		a.emit(p.owner, "payment_intent.amount_capturable_updated", a.renderIntent(p))
		return
	}
	a.w.Cancel("authorization " + p.id)
	p.capturable, p.status = 0, "succeeded"
	a.emit(ch.owner, "charge.captured", a.renderCharge(ch))
	if release != nil {
		a.tellRelease(release)
	}
	a.emit(p.owner, "payment_intent.succeeded", a.renderIntent(p))
	if twice {
		a.chargeAgain(p, ch)
	}
	a.aftermath(ch)
}
