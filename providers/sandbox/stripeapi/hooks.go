package stripeapi

import (
	"net/http"
	"slices"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

// updateHook is POST /v1/webhook_endpoints/{id}: url, enabled_events, disabled,
// description and metadata; the API version is for good (Stripe docs: update a webhook
// endpoint).
func (c *call) updateHook() (obj, *apiError) {
	id, f := c.r.PathValue("id"), c.form
	h, ok := c.api.hooks.find(c.acct, id)
	if !ok {
		return nil, notFound("webhook endpoint", id)
	}
	meta, fail := f.metadata("metadata", h.meta)
	if fail != nil {
		return nil, fail
	}
	if f.has("api_version") {
		return nil, invalid("api_version", "Received unknown parameter: api_version")
	}
	if f.has("url") && !isURL(f.get("url")) {
		return nil, &apiError{status: http.StatusBadRequest, typ: typeInvalid, code: "url_invalid", param: "url", msg: "Invalid URL: An explicit scheme (such as https) must be provided."}
	}
	if f.has("url") {
		h.url = f.get("url")
	}
	if types := f.list("enabled_events"); len(types) > 0 {
		h.types = types
	}
	if f.has("description") {
		h.description = f.get("description")
	}
	if f.has("disabled") {
		h.disabled = f.flag("disabled")
	}
	h.meta = meta
	c.api.w.RemoveEndpoint(apiName, h.id)
	if !h.disabled {
		c.api.w.AddEndpoint(h.endpoint())
	}
	return renderHook(h), nil
}

func (h *hook) endpoint() sandbox.Endpoint {
	return sandbox.Endpoint{ID: h.id, URL: h.url, Secret: h.secret, Connect: h.connect, API: apiName, Owner: h.platform, Types: h.types}
}

func (h *hook) status() string {
	if h.disabled {
		return "disabled"
	}
	return "enabled"
}

// getBalance is GET /v1/balance: per currency, what is available and what is still on
// its way.
func (c *call) getBalance() (obj, *apiError) {
	now := c.api.w.Now()
	available, pending := map[string]int64{}, map[string]int64{}
	currencies := []string{}
	for _, t := range c.api.txns.order {
		if t.acct != c.acct {
			continue
		}
		if !slices.Contains(currencies, t.currency) {
			currencies = append(currencies, t.currency)
		}
		if t.available.After(now) {
			pending[t.currency] += t.amount - t.fee
		} else {
			available[t.currency] += t.amount - t.fee
		}
	}
	if len(currencies) == 0 {
		currencies = []string{"usd"}
	}
	slices.Sort(currencies)
	rows := func(sums map[string]int64) []any {
		out := []any{}
		for _, currency := range currencies {
			out = append(out, obj{"amount": sums[currency], "currency": currency, "source_types": obj{"card": sums[currency]}})
		}
		return out
	}
	return obj{"object": "balance", "livemode": false, "available": rows(available), "pending": rows(pending)}, nil
}
