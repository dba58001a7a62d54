package paypalapi

import (
	"net/http"
	"time"
)

// approveURL is the page on which the buyer approves an order.
func (s *server) approveURL(o *order) string { return s.base + "/checkoutnow?token=" + o.id }

// lapsed says whether an order died because nobody completed it in time.
func (s *server) lapsed(o *order, now time.Time) bool {
	return o.status != orderCompleted && !now.Before(o.created.Add(s.opt.OrderTTL))
}

func (s *server) orderLinks(o *order) []link {
	self := s.base + "/v2/checkout/orders/" + o.id
	links := []link{{self, "self", http.MethodGet}}
	act := link{self + "/capture", "capture", http.MethodPost}
	if o.intent == intentAuthorize {
		act = link{self + "/authorize", "authorize", http.MethodPost}
	}
	switch o.status {
	case orderCreated:
		links = append(links, link{s.approveURL(o), "approve", http.MethodGet}, link{self, "update", http.MethodPatch}, act)
	case orderAction:
		links = append(links, link{s.approveURL(o), "payer-action", http.MethodGet})
	case orderApproved:
		links = append(links, link{self, "update", http.MethodPatch}, act)
	}
	return links
}

func (s *server) showOrder(o *order) orderJSON {
	out := orderJSON{
		ID: o.id, Intent: o.intent, Status: o.status, Payer: o.payer,
		CreateTime: stamp(o.created), Links: s.orderLinks(o),
	}
	if o.status == orderCompleted {
		// Before, PayPal's orders have none: an approval, also a second one, leaves no time in
		// them (seen in real CHECKOUT.ORDER.APPROVED events).
		out.UpdateTime = stamp(o.updated)
	}
	if p := o.payer; p != nil {
		out.PaymentSource = &sourceJSON{walletJSON{
			EmailAddress: p.EmailAddress, AccountID: p.PayerID, AccountStatus: "VERIFIED", Name: &p.Name, Address: &p.Address,
		}}
	} else if o.withSource {
		out.PaymentSource = &sourceJSON{}
	}
	for _, u := range o.units {
		out.PurchaseUnits = append(out.PurchaseUnits, s.showUnit(u))
	}
	return out
}

func (s *server) showUnit(u *unit) unitJSON {
	out := u.req
	out.Payee = ptr(payeeOf(u))
	p := paymentsJSON{}
	for _, a := range u.auths {
		j := s.showAuthorization(a)
		j.Payee, j.SupplementaryData = nil, nil // not part of an order's nested form
		p.Authorizations = append(p.Authorizations, j)
	}
	for _, c := range u.captures {
		j := s.showCapture(c)
		j.Payee, j.SupplementaryData = nil, nil
		p.Captures = append(p.Captures, j)
	}
	for _, r := range u.refunds {
		p.Refunds = append(p.Refunds, s.showRefund(r))
	}
	if len(p.Authorizations)+len(p.Captures)+len(p.Refunds) > 0 {
		out.Payments = &p
	}
	return out
}

// payeeOf is who gets the money: the merchant, or the seller the request named.
func payeeOf(u *unit) payeeJSON {
	if p := u.req.Payee; p != nil && (p.MerchantID != "" || p.EmailAddress != "") {
		return *p
	}
	return payeeJSON{EmailAddress: merchantEmail, MerchantID: merchantID}
}

func protection() *protectionJSON {
	return &protectionJSON{Status: "ELIGIBLE", DisputeCategories: []string{"ITEM_NOT_RECEIVED", "UNAUTHORIZED_TRANSACTION"}}
}

func related(orderID, authorizationID string) *relatedJSON {
	r := &relatedJSON{}
	r.RelatedIDs.OrderID, r.RelatedIDs.AuthorizationID = orderID, authorizationID
	return r
}

func (s *server) showAuthorization(a *authorization) authorizationJSON {
	self := s.base + "/v2/payments/authorizations/" + a.id
	order := a.unit.order
	out := authorizationJSON{
		ID: a.id, Status: a.status, Amount: ptr(toMoney(a.amount, a.unit.currency)),
		InvoiceID: a.unit.req.InvoiceID, CustomID: a.unit.req.CustomID, SellerProtection: protection(),
		ExpirationTime: stamp(a.expires), Payee: ptr(payeeOf(a.unit)), SupplementaryData: related(order.id, ""),
		CreateTime: stamp(a.created), UpdateTime: stamp(a.updated),
		Links: []link{{self, "self", http.MethodGet}},
	}
	if a.parent != nil {
		out.SupplementaryData = related(order.id, a.parent.id)
	}
	if a.open() {
		out.Links = append(out.Links,
			link{self + "/capture", "capture", http.MethodPost}, link{self + "/void", "void", http.MethodPost},
			link{self + "/reauthorize", "reauthorize", http.MethodPost})
	}
	out.Links = append(out.Links, link{s.base + "/v2/checkout/orders/" + order.id, "up", http.MethodGet})
	return out
}

func (s *server) showCapture(c *capture) captureJSON {
	self := s.base + "/v2/payments/captures/" + c.id
	u := c.unit
	out := captureJSON{
		ID: c.id, Status: c.status, Amount: ptr(toMoney(c.amount, u.currency)), FinalCapture: ptr(c.final),
		SellerProtection: protection(), InvoiceID: c.invoice, CustomID: c.custom, Payee: ptr(payeeOf(u)),
		SupplementaryData: related(u.order.id, ""), CreateTime: stamp(c.created), UpdateTime: stamp(c.updated),
		Links: []link{{self, "self", http.MethodGet}},
	}
	if c.reason != "" {
		out.StatusDetails = &reasonJSON{c.reason}
	}
	up := link{s.base + "/v2/checkout/orders/" + u.order.id, "up", http.MethodGet}
	if c.auth != nil {
		out.SupplementaryData = related(u.order.id, c.auth.id)
		up.Href = s.base + "/v2/payments/authorizations/" + c.auth.id
	}
	if c.paid() {
		net := c.amount - c.fee
		for _, f := range c.platform {
			n, _ := f.Amount.parse(true) // checked when it was asked for
			net -= n
		}
		out.SellerReceivableBreakdown = &receivableJSON{
			GrossAmount: toMoney(c.amount, u.currency), PaypalFee: toMoney(c.fee, u.currency),
			PlatformFees: c.platform, NetAmount: toMoney(net, u.currency),
		}
		out.DisbursementMode = "INSTANT"
		out.Links = append(out.Links, link{self + "/refund", "refund", http.MethodPost})
	}
	out.Links = append(out.Links, up)
	return out
}

// paid says whether the money of a capture was received at some time.
func (c *capture) paid() bool {
	return c.status == stCompleted || c.status == stPartly || c.status == stRefunded
}

func (s *server) showRefund(r *refund) refundJSON {
	cur := r.capture.unit.currency
	out := refundJSON{
		ID: r.id, Status: r.status, Amount: ptr(toMoney(r.amount, cur)), InvoiceID: r.invoice, CustomID: r.custom,
		NoteToPayer: r.note, CreateTime: stamp(r.created), UpdateTime: stamp(r.updated),
		SellerPayableBreakdown: &payableJSON{
			GrossAmount: toMoney(r.amount, cur), PaypalFee: toMoney(0, cur), // PayPal keeps its fee
			NetAmount: toMoney(r.amount, cur), TotalRefundedAmount: toMoney(r.total, cur),
		},
		Links: []link{
			{s.base + "/v2/payments/refunds/" + r.id, "self", http.MethodGet},
			{s.base + "/v2/payments/captures/" + r.capture.id, "up", http.MethodGet},
		},
	}
	if r.reason != "" {
		out.StatusDetails = &reasonJSON{r.reason}
	}
	return out
}
