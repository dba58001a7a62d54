package paypalapi

import (
	"encoding/json"
	"net/http"
	"regexp"
)

// createOrder is POST /v2/checkout/orders.
func (s *server) createOrder(c *call) reply {
	var in orderRequest
	if bad := c.decode(&in); bad != nil {
		return *bad
	}
	if in.PaymentSource != nil && c.requestID() == "" {
		return c.fail("PAYPAL_REQUEST_ID_REQUIRED", fault{})
	}
	if st, ok := c.earlier(); ok {
		o := s.alive(st.object, c)
		if o == nil {
			return c.notFound()
		}
		return c.orderReply(http.StatusOK, o)
	}
	o, bad := c.checkOrder(in)
	if bad != nil {
		return *bad
	}
	o.id, o.client = s.objectID(), c.client
	o.created, o.updated = c.now, c.now
	s.orders[o.id] = o
	c.remember(o.id, nil, keepOrders)
	return c.orderReply(http.StatusCreated, o)
}

// checkOrder validates a request and makes the order, not yet registered.
func (c *call) checkOrder(in orderRequest) (*order, *reply) {
	switch in.Intent {
	case intentCapture, intentAuthorize:
	case "":
		return nil, ptr(c.bad("MISSING_REQUIRED_PARAMETER", "/intent", ""))
	default:
		return nil, ptr(c.bad("INVALID_PARAMETER_VALUE", "/intent", in.Intent))
	}
	units, bad := c.checkUnits(in.PurchaseUnits, in.Intent)
	if bad != nil {
		return nil, bad
	}
	o := &order{intent: in.Intent, status: orderCreated, units: units}
	where := "/application_context"
	if in.ApplicationContext != nil {
		o.context = *in.ApplicationContext
	}
	if in.PaymentSource != nil {
		if in.PaymentSource.PayPal == nil { // cards and local methods never reach this sandbox: redirect only
			return nil, ptr(c.bad("INCOMPATIBLE_PARAMETER_VALUE", "/payment_source", ""))
		}
		o.withSource, o.status = true, orderAction
		if x := in.PaymentSource.PayPal.ExperienceContext; x != nil {
			o.context, where = *x, "/payment_source/paypal/experience_context"
		}
	}
	if bad := c.checkURL(where+"/return_url", o.context.ReturnURL); bad != nil {
		return nil, bad
	}
	if bad := c.checkURL(where+"/cancel_url", o.context.CancelURL); bad != nil {
		return nil, bad
	}
	for _, u := range o.units {
		u.order = o
	}
	return o, nil
}

// alive finds an order that still exists: nobody completed it in time means gone.
func (s *server) alive(id string, c *call) *order {
	o := s.orders[id]
	if o == nil || s.lapsed(o, c.now) {
		return nil
	}
	return o
}

// getOrder is GET /v2/checkout/orders/{id}.
func (s *server) getOrder(c *call) reply {
	o := s.alive(c.id(), c)
	if o == nil {
		return c.notFound()
	}
	return reply{http.StatusOK, s.showOrder(o)}
}

// orderReply answers an order, whole or minimal as the caller prefers.
func (c *call) orderReply(status int, o *order) reply {
	full := c.s.showOrder(o)
	if c.full() {
		return reply{status, full}
	}
	return reply{status, orderJSON{ID: full.ID, Status: full.Status, PaymentSource: full.PaymentSource, Links: full.Links}}
}

type patchJSON struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

var unitPath = regexp.MustCompile(`^/purchase_units/@reference_id=='([^']+)'(?:/([a-z_]+))?$`)

// patchOrder is PATCH /v2/checkout/orders/{id}: replaces or adds a purchase unit or
// one of its simple members before the order is completed. All or nothing.
func (s *server) patchOrder(c *call) reply {
	o := s.alive(c.id(), c)
	if o == nil {
		return c.notFound()
	}
	var in []patchJSON
	if bad := c.decode(&in); bad != nil {
		return *bad
	}
	if o.status == orderCompleted {
		return c.fail("ORDER_ALREADY_COMPLETED", fault{})
	}
	reqs := make([]unitJSON, len(o.units))
	for i, u := range o.units {
		reqs[i] = u.req
	}
	for _, p := range in {
		if bad := c.applyPatch(reqs, p); bad != nil {
			return *bad
		}
	}
	units, bad := c.checkUnits(reqs, o.intent)
	if bad != nil {
		return *bad
	}
	for i, u := range units {
		if o.status == orderApproved && u.amount != o.units[i].amount {
			return c.fail("AMOUNT_CHANGE_NOT_ALLOWED", fault{})
		}
		u.order = o
	}
	o.units, o.updated = units, c.now
	return reply{status: http.StatusNoContent}
}

func (c *call) applyPatch(reqs []unitJSON, p patchJSON) *reply {
	if p.Op != "replace" && p.Op != "add" {
		return ptr(c.bad("INVALID_PARAMETER_VALUE", "/op", p.Op))
	}
	m := unitPath.FindStringSubmatch(p.Path)
	if m == nil {
		return ptr(c.bad("NOT_PATCHABLE", p.Path, ""))
	}
	for i := range reqs {
		if reqs[i].ReferenceID != m[1] {
			continue
		}
		r := &reqs[i]
		target := map[string]any{
			"": r, "amount": &r.Amount, "custom_id": &r.CustomID, "invoice_id": &r.InvoiceID, "description": &r.Description,
			"soft_descriptor": &r.SoftDescriptor, "items": &r.Items,
		}[m[2]]
		if target == nil {
			return ptr(c.bad("NOT_PATCHABLE", p.Path, ""))
		}
		if len(p.Value) == 0 {
			return ptr(c.bad("PATCH_VALUE_REQUIRED", p.Path, ""))
		}
		if m[2] == "" {
			*r = unitJSON{}
		}
		// Replaced as a whole: neither an old breakdown nor shared memory may survive.
		switch m[2] {
		case "amount":
			r.Amount = nil
		case "items":
			r.Items = nil
		}
		if err := json.Unmarshal(p.Value, target); err != nil {
			return ptr(c.bad("INVALID_PARAMETER_SYNTAX", p.Path, ""))
		}
		r.ReferenceID = m[1]
		return nil
	}
	return ptr(c.bad("REFERENCE_ID_NOT_FOUND", p.Path, ""))
}
