package stripeapi

import (
	"strings"
)

// maxExpand is Stripe's limit on the depth of an expansion.
const maxExpand = 4

// expand replaces ids by objects along the given paths ("payment_intent",
// "data.latest_charge.balance_transaction", ...), and adds what an object shows only
// on request (a session's line_items, a charge's refunds).
func (a *API) expand(root obj, paths []string) *apiError {
	for _, path := range paths {
		parts := strings.Split(path, ".")
		depth := len(parts)
		if parts[0] == "data" {
			depth--
		}
		if depth > maxExpand {
			return invalid("expand", "You cannot expand more than 4 levels of a property: "+path)
		}
		if fail := a.expandIn(root, parts, path); fail != nil {
			return fail
		}
	}
	return nil
}

func (a *API) expandIn(o obj, parts []string, path string) *apiError {
	if len(parts) == 0 {
		return nil
	}
	name := parts[0]
	v, ok := o[name]
	if extra := a.onRequest(o, name); extra != nil && (!ok || v == nil) {
		o[name], v, ok = extra, extra, true
	}
	if !ok {
		return invalid("expand", "This property cannot be expanded ("+path+").")
	}
	switch v := v.(type) {
	case string:
		sub := a.renderByID(v)
		if sub == nil {
			return invalid("expand", "This property cannot be expanded ("+path+").")
		}
		o[name] = sub
		return a.expandIn(sub, parts[1:], path)
	case obj:
		return a.expandIn(v, parts[1:], path)
	case []any:
		for _, e := range v {
			if sub, ok := e.(obj); ok {
				if fail := a.expandIn(sub, parts[1:], path); fail != nil {
					return fail
				}
			}
		}
	}
	return nil // null stays null
}

// onRequest builds a property that an object shows only when expanded.
func (a *API) onRequest(o obj, name string) obj {
	id, _ := o["id"].(string)
	switch {
	case o["object"] == "checkout.session" && name == "line_items":
		if s := a.sessions.byID[id]; s != nil {
			return renderItems(s)
		}
	case o["object"] == "charge" && name == "refunds":
		if c := a.charges.byID[id]; c != nil {
			return a.renderChargeRefunds(c)
		}
	}
	return nil
}

// renderByID writes any object by its id; nil if there is none.
func (a *API) renderByID(id string) obj {
	if v := a.intents.byID[id]; v != nil {
		return a.renderIntent(v)
	}
	if v := a.charges.byID[id]; v != nil {
		return a.renderCharge(v)
	}
	if v := a.txns.byID[id]; v != nil {
		return a.renderTxn(v)
	}
	if v := a.refunds.byID[id]; v != nil {
		return a.renderRefund(v)
	}
	if v := a.files.byID[id]; v != nil {
		return a.renderFile(v)
	}
	if v := a.reviews.byID[id]; v != nil {
		return a.renderReview(v)
	}
	if v := a.disputes.byID[id]; v != nil {
		return a.renderDispute(v)
	}
	if v := a.customers.byID[id]; v != nil {
		return renderCustomer(v)
	}
	if v := a.methods.byID[id]; v != nil {
		return a.renderMethod(v)
	}
	if v := a.sessions.byID[id]; v != nil {
		return a.renderSession(v)
	}
	return nil
}
