package stripeapi

import (
	"net/url"
	"time"
)

const (
	minSessionLife = 30 * time.Minute
	maxSessionLife = 24 * time.Hour
	maxItems       = 100
)

// unsupported are parameters whose effect on money this sandbox does not simulate.
// Refusing them is honest; taking them silently would not be.
var unsupported = []string{"application_fee_amount", "transfer_data", "on_behalf_of"}

func (f form) refuseUnsupported(prefix string) *apiError {
	for _, name := range unsupported {
		key := name
		if prefix != "" {
			key = prefix + "[" + name + "]"
		}
		if f.has(key) || f.under(key) {
			return invalid(key, "The sandbox does not simulate "+name+".")
		}
	}
	return nil
}

// createSession is POST /v1/checkout/sessions in payment mode.
func (c *call) createSession() (obj, *apiError) {
	f, now := c.form, c.api.w.Now()
	if fail := c.checkSession(); fail != nil {
		return nil, fail
	}
	s := &session{owner: owner{c.acct, c.platform}, created: now, expires: now.Add(maxSessionLife), status: "open", form: f}
	if at, ok, fail := f.integer("expires_at"); fail != nil {
		return nil, fail
	} else if ok {
		s.expires = time.Unix(at, 0).UTC()
		// Whole seconds: "now + 30 minutes" computed in seconds must pass.
		if at < unix(now.Add(minSessionLife)) || at > unix(now.Add(maxSessionLife)) {
			return nil, invalid("expires_at", "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation.")
		}
	}
	var fail *apiError
	if s.meta, fail = f.metadata("metadata", nil); fail != nil {
		return nil, fail
	}
	if _, fail = f.metadata("payment_intent_data[metadata]", nil); fail != nil {
		return nil, fail
	}
	if fail = c.readItems(s); fail != nil {
		return nil, fail
	}
	if fail = readShipping(s); fail != nil {
		return nil, fail
	}
	if id := f.get("customer"); id != "" {
		cus, ok := c.api.customers.find(c.acct, id)
		if !ok {
			return nil, &apiError{status: 400, typ: typeInvalid, code: "resource_missing", param: "customer", msg: "No such customer: '" + id + "'"}
		}
		s.customer, s.email, s.name = cus, cus.email, cus.name
	}
	s.id = c.api.w.NewID("cs_test_a1", 56)
	s.url = c.base + "/c/pay/" + s.id
	c.api.sessions.add(s)
	c.api.w.After(s.expires, "session "+s.id, func() { c.api.lapse(s) })
	return c.api.renderSession(s), nil
}

// checkSession validates the scalar parameters.
func (c *call) checkSession() *apiError {
	f := c.form
	mode, fail := f.oneOf("mode", "", "payment", "setup", "subscription")
	switch {
	case fail != nil:
		return fail
	case mode == "":
		return missing("mode")
	case mode != "payment":
		return invalid("mode", "The sandbox simulates mode=payment only.")
	case f.get("ui_mode") != "" && f.get("ui_mode") != "hosted":
		return invalid("ui_mode", "The sandbox simulates ui_mode=hosted only.")
	case f.get("success_url") == "":
		return missing("success_url")
	case len([]rune(f.get("client_reference_id"))) > 200:
		return invalid("client_reference_id", "client_reference_id can have up to 200 characters.")
	}
	for _, key := range []string{"success_url", "cancel_url"} {
		if v := f.get(key); v != "" && !isURL(v) {
			return &apiError{status: 400, typ: typeInvalid, code: "url_invalid", param: key, msg: "Not a valid URL"}
		}
	}
	if _, fail := f.oneOf("payment_intent_data[capture_method]", "", "automatic", "automatic_async", "manual"); fail != nil {
		return fail
	}
	if _, fail := f.oneOf("payment_intent_data[setup_future_usage]", "", "on_session", "off_session"); fail != nil {
		return fail
	}
	if fail := checkDescriptor(f, "payment_intent_data[statement_descriptor]"); fail != nil {
		return fail
	}
	if f.under("discounts") || f.under("subscription_data") {
		return invalid("discounts", "The sandbox simulates neither discounts nor subscription_data; use allow_promotion_codes.")
	}
	return f.refuseUnsupported("payment_intent_data")
}

func checkDescriptor(f form, key string) *apiError {
	v := f.get(key)
	if v != "" && (len(v) < 5 || len(v) > 22) {
		return invalid(key, "The statement descriptor must be between 5 and 22 characters.")
	}
	return nil
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// readItems reads line_items with inline prices; amounts must be >= 0 and their sum
// within limits.
func (c *call) readItems(s *session) *apiError {
	groups := c.form.groups("line_items")
	if len(groups) == 0 {
		return missing("line_items")
	}
	if len(groups) > maxItems {
		return invalid("line_items", "A Checkout Session can have up to 100 line items.")
	}
	for _, g := range groups {
		if id := c.form.get(g + "[price]"); id != "" {
			return &apiError{
				status: 400, typ: typeInvalid, code: "resource_missing", param: g + "[price]",
				msg: "No such price: '" + id + "' (the sandbox takes price_data only)",
			}
		}
		it, currency, fail := c.readItem(g)
		if fail != nil {
			return fail
		}
		if s.currency == "" {
			s.currency = currency
		} else if s.currency != currency {
			return invalid(g+"[price_data][currency]", "All prices on a Checkout Session must use the same currency.")
		}
		s.items = append(s.items, it)
		s.subtotal += it.unit * it.quantity
		if s.subtotal > maxAmount {
			return checkAmount("line_items", s.subtotal, currency)
		}
	}
	return nil
}

func (c *call) readItem(g string) (*item, string, *apiError) {
	f := c.form
	currency, fail := f.readCurrency(g + "[price_data][currency]")
	if fail != nil {
		return nil, "", fail
	}
	unit, ok, fail := f.integer(g + "[price_data][unit_amount]")
	if fail != nil {
		return nil, "", fail
	}
	if !ok {
		return nil, "", missing(g + "[price_data][unit_amount]")
	}
	if unit < 0 {
		return nil, "", checkAmount(g+"[price_data][unit_amount]", unit, currency)
	}
	if unit > 0 {
		if fail := checkAmount(g+"[price_data][unit_amount]", unit, currency); fail != nil {
			return nil, "", fail
		}
	}
	quantity, ok, fail := f.integer(g + "[quantity]")
	if fail != nil {
		return nil, "", fail
	}
	if !ok || quantity < 1 || quantity > 1_000_000 {
		return nil, "", invalid(g+"[quantity]", "Quantity is required and must be between 1 and 1000000.")
	}
	name := f.get(g + "[price_data][product_data][name]")
	product := f.get(g + "[price_data][product]")
	if name == "" && product == "" {
		return nil, "", missing(g + "[price_data][product_data][name]")
	}
	if product == "" {
		product = c.api.w.NewID("prod_", 14)
	}
	if name == "" {
		name = product
	}
	return &item{
		id: c.api.w.NewID("li_", 24), priceID: c.api.w.NewID("price_", 24), productID: product, name: name,
		description: f.get(g + "[price_data][product_data][description]"), unit: unit, quantity: quantity,
	}, currency, nil
}

// readShipping takes the first shipping option, the one a buyer finds preselected.
func readShipping(s *session) *apiError {
	const p = "shipping_options[0]"
	if !s.form.under(p) {
		return nil
	}
	const key = p + "[shipping_rate_data][fixed_amount][amount]"
	n, ok, fail := s.form.integer(key)
	if fail != nil {
		return fail
	}
	if !ok || n < 0 || n > maxAmount {
		return invalid(key, "The sandbox needs an inline shipping rate with a fixed amount.")
	}
	if cur := s.form.get(p + "[shipping_rate_data][fixed_amount][currency]"); cur != s.currency {
		return invalid(key, "The shipping rate must use the session's currency.")
	}
	s.shipping = n
	return nil
}

func (c *call) findSession() (*session, *apiError) {
	id := c.r.PathValue("id")
	s, ok := c.api.sessions.find(c.acct, id)
	if !ok {
		return nil, notFound("checkout.session", id)
	}
	return s, nil
}

func (c *call) getSession() (obj, *apiError) {
	s, fail := c.findSession()
	if fail != nil {
		return nil, fail
	}
	return c.api.renderSession(s), nil
}

func (c *call) sessionItems() (obj, *apiError) {
	s, fail := c.findSession()
	if fail != nil {
		return nil, fail
	}
	p, fail := c.form.paging()
	if fail != nil {
		return nil, fail
	}
	all := renderItems(s)
	data, _ := all["data"].([]any)
	start := 0
	for i, it := range s.items {
		if it.id == p.after {
			start = i + 1
		}
	}
	end := min(start+int(p.limit), len(data))
	return list(c.r.URL.Path, data[start:end], end < len(data)), nil
}

func (c *call) listSessions() (obj, *apiError) {
	f := c.form
	return listOf(c, &c.api.sessions, func(s *session) bool {
		intent, cus := "", ""
		if s.intent != nil {
			intent = s.intent.id
		}
		if s.customer != nil {
			cus = s.customer.id
		}
		return matches(f.get("status"), s.status) && matches(f.get("payment_intent"), intent) &&
			matches(f.get("customer"), cus) && f.get("subscription") == ""
	}, c.api.renderSession)
}

// expireSession is the only way to stop an open session (Stripe docs: expire).
func (c *call) expireSession() (obj, *apiError) {
	s, fail := c.findSession()
	if fail != nil {
		return nil, fail
	}
	if s.status != "open" {
		return nil, refused("", "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of `"+s.status+"`.")
	}
	c.api.lapse(s)
	return c.api.renderSession(s), nil
}

// lapse ends an open session, by call or by time.
func (a *API) lapse(s *session) {
	if s.status != "open" {
		return
	}
	a.w.Cancel("session " + s.id)
	s.status = "expired"
	a.emit(s.owner, "checkout.session.expired", a.renderSession(s))
}
