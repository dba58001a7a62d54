package paypalapi

import (
	"net/http"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

// captureOrder is POST /v2/checkout/orders/{id}/capture.
func (s *server) captureOrder(c *call) reply { return s.completeOrder(c, intentCapture) }

// authorizeOrder is POST /v2/checkout/orders/{id}/authorize.
func (s *server) authorizeOrder(c *call) reply { return s.completeOrder(c, intentAuthorize) }

// completeOrder does what the order was made for. Only what was really tried is
// remembered under the request id: success and a declined instrument.
func (s *server) completeOrder(c *call, intent string) reply {
	o := s.alive(c.id(), c)
	if o == nil {
		return c.notFound()
	}
	if st, ok := c.earlier(); ok {
		if st.fail != nil {
			return *st.fail
		}
		return c.orderReply(http.StatusOK, o)
	}
	if bad := c.decode(&struct{}{}); bad != nil {
		return *bad
	}
	if bad := s.refuseCompletion(c, o, intent); bad != nil {
		return *bad
	}
	if o.funding == fundDeclined {
		o.declined = true
		no := c.instrumentDeclined(o)
		c.remember("", &no, keepOrders)
		return no
	}
	o.status, o.updated = orderCompleted, c.now
	for _, u := range o.units {
		if u.req.InvoiceID != "" {
			s.invoices[u.req.InvoiceID] = o
		}
		if intent == intentAuthorize {
			s.makeAuthorization(u, u.amount, nil)
			continue
		}
		var fees []platformFeeJSON
		if u.req.PaymentInstruction != nil {
			fees = u.req.PaymentInstruction.PlatformFees
		}
		s.makeCapture(u, nil, u.amount, true, u.req.InvoiceID, fees)
	}
	s.announceOrder("CHECKOUT.ORDER.COMPLETED", "Checkout Order Completed", o)
	c.remember(o.id, nil, keepOrders)
	return c.orderReply(http.StatusCreated, o)
}

// refuseCompletion answers why an order can't be captured or authorized now.
func (s *server) refuseCompletion(c *call, o *order, intent string) *reply {
	switch {
	case o.intent != intent:
		return ptr(c.fail("ACTION_DOES_NOT_MATCH_INTENT", fault{}))
	case o.status == orderCompleted && intent == intentCapture:
		return ptr(c.fail("ORDER_ALREADY_CAPTURED", fault{}))
	case o.status == orderCompleted:
		return ptr(c.fail("ORDER_ALREADY_AUTHORIZED", fault{}))
	case o.status != orderApproved:
		return ptr(c.fail("ORDER_NOT_APPROVED", fault{}))
	}
	for _, u := range o.units {
		if other := s.invoices[u.req.InvoiceID]; other != nil && other != o {
			return ptr(c.fail("DUPLICATE_INVOICE_ID", fault{field: "/purchase_units/invoice_id", value: u.req.InvoiceID, location: "body"}))
		}
	}
	return nil
}

// makeCapture takes money (or promises to, or fails to, by the order's funding) and
// announces it. asked is what the merchant asked for; a capture fault of the world
// changes what is taken, or takes it twice.
func (s *server) makeCapture(u *unit, a *authorization, asked int64, final bool, invoice string, fees []platformFeeJSON) *capture {
	now := s.w.Now()
	delta, twice := s.w.CaptureFault()
	amount := asked + delta*step(u.currency)
	if amount <= 0 {
		amount = asked // a fault can't make money out of nothing
	}
	c := &capture{
		id: s.objectID(), unit: u, auth: a, amount: amount, final: final, platform: fees,
		invoice: invoice, custom: u.req.CustomID, created: now, updated: now, odd: amount != asked,
	}
	u.captures = append(u.captures, c)
	s.captures[c.id] = c
	c.row = s.addRow(row{
		id: c.id, code: "T0006", ref: u.order.id, refType: "ODR", amount: amount, currency: u.currency,
		invoice: invoice, custom: c.custom, payer: u.order.payer,
	})
	switch u.order.funding {
	case fundEcheck:
		c.status, c.reason, c.row.status = stPending, "ECHECK", "P"
		s.announceCapture("PAYMENT.CAPTURE.PENDING", "Payment pending", c)
		return c
	case fundRefused:
		c.status, c.reason, c.row.status = stDeclined, "OTHER", "D"
		s.announceCapture("PAYMENT.CAPTURE.DECLINED", "Payment declined", c)
		return c
	}
	s.receive(c)
	if twice {
		again := *c
		again.id, again.odd = s.objectID(), true
		u.captures = append(u.captures, &again)
		s.captures[again.id] = &again
		again.row = s.addRow(row{
			id: again.id, code: "T0006", ref: u.order.id, refType: "ODR", amount: amount, currency: u.currency,
			invoice: invoice, custom: again.custom, payer: u.order.payer,
		})
		s.receive(&again)
	}
	return c
}

// receive books the money of a capture and announces it.
func (s *server) receive(c *capture) {
	now := s.w.Now()
	c.status, c.reason, c.updated = stCompleted, "", now
	c.fee = feeOf(c.amount, c.unit.currency)
	c.row.status, c.row.fee, c.row.updated = "S", -c.fee, now
	s.book(c, "capture", c.id, c.amount)
	s.book(c, "fee", c.id, c.fee)
	s.announceCapture("PAYMENT.CAPTURE.COMPLETED", "Payment completed", c)
}

// book writes one movement into the world's ledger. Account is the seller that the
// request named; empty means the sandbox's own merchant.
func (s *server) book(c *capture, kind, object string, minor int64) {
	account := ""
	if p := c.unit.req.Payee; p != nil {
		account = p.MerchantID
	}
	s.w.Record(sandbox.LedgerRow{
		Object: object, Kind: kind, Amount: minor, Currency: lower(c.unit.currency),
		Reference: c.unit.req.CustomID, Account: account, At: s.w.Now(), Odd: kind == "capture" && c.odd, API: api,
	})
}
