package stripeapi

import (
	"net/http"
	"slices"
)

func (c *call) createCustomer() (obj, *apiError) {
	meta, fail := c.form.metadata("metadata", nil)
	if fail != nil {
		return nil, fail
	}
	cus := &customer{owner: owner{c.acct, c.platform}, id: c.api.w.NewID("cus_", 14), created: c.api.w.Now(), meta: meta}
	c.fill(cus)
	c.api.customers.add(cus)
	c.api.emit(cus.owner, "customer.created", renderCustomer(cus))
	return renderCustomer(cus), nil
}

// fill takes over the given scalar fields.
func (c *call) fill(cus *customer) {
	for key, field := range map[string]*string{"email": &cus.email, "name": &cus.name, "phone": &cus.phone, "description": &cus.description} {
		if c.form.has(key) {
			*field = c.form.get(key)
		}
	}
}

func (c *call) findCustomer() (*customer, *apiError) {
	id := c.r.PathValue("id")
	cus, ok := c.api.customers.find(c.acct, id)
	if !ok {
		return nil, notFound("customer", id)
	}
	return cus, nil
}

func (c *call) getCustomer() (obj, *apiError) {
	cus, fail := c.findCustomer()
	if fail != nil {
		return nil, fail
	}
	return renderCustomer(cus), nil
}

func (c *call) updateCustomer() (obj, *apiError) {
	cus, fail := c.findCustomer()
	if fail != nil {
		return nil, fail
	}
	meta, fail := c.form.metadata("metadata", cus.meta)
	if fail != nil {
		return nil, fail
	}
	if id := c.form.get("invoice_settings[default_payment_method]"); id != "" {
		m, ok := c.api.methods.find(c.acct, id)
		if !ok || m.customer != cus {
			return nil, invalid("invoice_settings[default_payment_method]", "The customer does not have a payment method with the ID "+id+".")
		}
		cus.defaultMethod = m
	}
	cus.meta = meta
	c.fill(cus)
	c.api.emit(cus.owner, "customer.updated", renderCustomer(cus))
	return renderCustomer(cus), nil
}

func (c *call) listCustomers() (obj, *apiError) {
	return listOf(c, &c.api.customers, func(cus *customer) bool { return matches(c.form.get("email"), cus.email) }, renderCustomer)
}

func (c *call) listCustomerMethods() (obj, *apiError) {
	cus, fail := c.findCustomer()
	if fail != nil {
		return nil, fail
	}
	return listOf(c, &c.api.methods, func(m *method) bool {
		return m.customer == cus && matches(c.form.get("type"), m.kind)
	}, c.api.renderMethod)
}

func (c *call) getMethod() (obj, *apiError) {
	id := c.r.PathValue("id")
	m, ok := c.api.methods.find(c.acct, id)
	if !ok {
		return nil, notFound("PaymentMethod", id)
	}
	return c.api.renderMethod(m), nil
}

func (c *call) getAccount() (obj, *apiError) { return renderAccount(c.acct), nil }

// getAccountByID knows the caller's own account and any connected one it names.
func (c *call) getAccountByID() (obj, *apiError) {
	id := c.r.PathValue("id")
	if len(id) < 6 || id[:5] != "acct_" {
		return nil, notFound("account", id)
	}
	return renderAccount(id), nil
}

// createHook is POST /v1/webhook_endpoints; only its answer shows the secret.
func (c *call) createHook() (obj, *apiError) {
	f := c.form
	meta, fail := f.metadata("metadata", nil)
	if fail != nil {
		return nil, fail
	}
	types := f.list("enabled_events")
	switch {
	case !isURL(f.get("url")):
		return nil, &apiError{status: http.StatusBadRequest, typ: typeInvalid, code: "url_invalid", param: "url", msg: "Invalid URL: An explicit scheme (such as https) must be provided."}
	case len(types) == 0:
		return nil, missing("enabled_events")
	case f.get("api_version") != "" && f.get("api_version") != apiVersion:
		return nil, invalid("api_version", "The sandbox speaks API version "+apiVersion+" only.")
	}
	h := &hook{
		owner: owner{c.acct, c.platform}, id: c.api.w.NewID("we_", 24), created: c.api.w.Now(), url: f.get("url"),
		secret: c.api.w.NewID("whsec_", 32), description: f.get("description"), version: f.get("api_version"),
		connect: f.flag("connect"), types: types, meta: meta,
	}
	c.api.hooks.add(h)
	c.api.w.AddEndpoint(h.endpoint())
	o := renderHook(h)
	o["secret"] = h.secret
	return o, nil
}

func (c *call) getHook() (obj, *apiError) {
	id := c.r.PathValue("id")
	h, ok := c.api.hooks.find(c.acct, id)
	if !ok {
		return nil, notFound("webhook endpoint", id)
	}
	return renderHook(h), nil
}

func (c *call) listHooks() (obj, *apiError) {
	return listOf(c, &c.api.hooks, func(*hook) bool { return true }, renderHook)
}

func (c *call) deleteHook() (obj, *apiError) {
	id := c.r.PathValue("id")
	h, ok := c.api.hooks.find(c.acct, id)
	if !ok {
		return nil, notFound("webhook endpoint", id)
	}
	c.api.w.RemoveEndpoint(apiName, id)
	delete(c.api.hooks.byID, id)
	c.api.hooks.order = slices.DeleteFunc(c.api.hooks.order, func(x *hook) bool { return x == h })
	return obj{"id": id, "object": "webhook_endpoint", "deleted": true}, nil
}
