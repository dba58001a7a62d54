package paypalapi

import (
	"net/http"
	"time"
)

// PayPal OpenAPI payments v2: funds are honored for 3 days, an authorization lives 29.
const (
	honorPeriod = 3 * 24 * time.Hour
	authPeriod  = 29 * 24 * time.Hour
)

// makeAuthorization blocks money and plans the end of it. A reauthorization gets a new
// honor period, but dies with its parent's authorization period.
func (s *server) makeAuthorization(u *unit, amount int64, parent *authorization) *authorization {
	now := s.w.Now()
	a := &authorization{
		id: s.objectID(), unit: u, amount: amount, status: authCreated, created: now, updated: now,
		honored: now.Add(honorPeriod), expires: now.Add(authPeriod), parent: parent,
	}
	if parent != nil {
		a.expires = parent.expires
		if a.honored.After(a.expires) {
			a.honored = a.expires
		}
	}
	u.auths = append(u.auths, a)
	s.auths[a.id] = a
	if parent == nil {
		s.w.After(a.expires, expiryKey(a), func() { s.voidFamily(a) })
	}
	s.announceAuthorization("PAYMENT.AUTHORIZATION.CREATED", "A payment authorization was created", a)
	return a
}

func expiryKey(a *authorization) string { return "paypal/authorization/" + a.id }

// family is a root authorization with its reauthorizations.
func family(root *authorization) []*authorization {
	out := []*authorization{root}
	for _, a := range root.unit.auths {
		if a.parent == root {
			out = append(out, a)
		}
	}
	return out
}

func (a *authorization) open() bool {
	return (a.status == authCreated || a.status == authPartly) && !a.root().closed
}

// left is what can still be captured through an authorization. A renewal blocks money
// anew, so what was captured before it does not count against it; all of a family together
// never give more than was authorized at first.
func (a *authorization) left() int64 {
	root := a.root()
	left := root.amount - root.captured
	if a.parent != nil {
		left = min(left, a.amount-a.through)
	}
	return left
}

// voidFamily releases what is still blocked, by call or because the time is over
// (PayPal docs: both announce PAYMENT.AUTHORIZATION.VOIDED).
func (s *server) voidFamily(root *authorization) {
	s.w.Cancel(expiryKey(root))
	for _, a := range family(root) {
		if !a.open() {
			continue
		}
		a.status, a.updated = authVoided, s.w.Now()
		s.announceAuthorization("PAYMENT.AUTHORIZATION.VOIDED", "A payment authorization was voided", a)
	}
}

// getAuthorization is GET /v2/payments/authorizations/{id}.
func (s *server) getAuthorization(c *call) reply {
	a := s.auths[c.id()]
	if a == nil {
		return c.notFound()
	}
	return reply{http.StatusOK, s.showAuthorization(a)}
}

func (c *call) authorizationReply(status int, a *authorization) reply {
	full := c.s.showAuthorization(a)
	if c.full() {
		return reply{status, full}
	}
	return reply{status, authorizationJSON{ID: full.ID, Status: full.Status, Links: full.Links}}
}

func (c *call) captureReply(status int, p *capture) reply {
	full := c.s.showCapture(p)
	if c.full() {
		return reply{status, full}
	}
	return reply{status, captureJSON{ID: full.ID, Status: full.Status, Links: full.Links}}
}

type captureRequest struct {
	Amount             *money           `json:"amount"`
	InvoiceID          string           `json:"invoice_id"`
	FinalCapture       bool             `json:"final_capture"`
	NoteToPayer        string           `json:"note_to_payer"`
	SoftDescriptor     string           `json:"soft_descriptor"`
	PaymentInstruction *instructionJSON `json:"payment_instruction"`
}

// captureAuthorization is POST /v2/payments/authorizations/{id}/capture.
func (s *server) captureAuthorization(c *call) reply {
	a := s.auths[c.id()]
	if a == nil {
		return c.notFound()
	}
	if st, ok := c.earlier(); ok {
		return c.captureReply(http.StatusOK, s.captures[st.object])
	}
	var in captureRequest
	if bad := c.decode(&in); bad != nil {
		return *bad
	}
	root := a.root()
	amount, bad := s.capturable(c, a, in)
	if bad != nil {
		return *bad
	}
	invoice := in.InvoiceID
	if invoice == "" {
		invoice = a.unit.req.InvoiceID
	}
	if other := s.invoices[invoice]; other != nil && other != a.unit.order {
		return c.bad("DUPLICATE_INVOICE_ID", "/invoice_id", invoice)
	}
	var fees []platformFeeJSON
	if in.PaymentInstruction != nil {
		fees = in.PaymentInstruction.PlatformFees
		if bad := c.checkFees(fees, amount, a.unit.currency, "/payment_instruction"); bad != nil {
			return *bad
		}
	}
	final := in.FinalCapture || root.captured+amount >= root.amount
	p := s.makeCapture(a.unit, a, amount, final, invoice, fees)
	if invoice != "" {
		s.invoices[invoice] = a.unit.order
	}
	if p.status != stDeclined {
		s.noteCaptured(a, amount, final, c.now)
	}
	a.unit.order.updated = c.now
	c.remember(p.id, nil, keepPayments)
	return c.captureReply(http.StatusCreated, p)
}

// noteCaptured updates a family of authorizations after a capture on one of them. The
// status goes by the amounts alone; only the capture itself says that it was the final one
// (PayPal OpenAPI payments v2: authorization status; PayPal docs, definition "capture":
// less than the authorized amount makes it PARTIALLY_CAPTURED). A renewal of which nothing
// was taken stays as it was.
func (s *server) noteCaptured(a *authorization, amount int64, final bool, now time.Time) {
	root := a.root()
	root.captured += amount
	a.through += amount
	if final {
		root.closed = true
		s.w.Cancel(expiryKey(root))
	}
	for _, m := range family(root) {
		switch {
		case m.left() <= 0:
			m.status, m.updated = authCaptured, now
		case m == root, m == a:
			m.status, m.updated = authPartly, now
		}
	}
}

// capturable answers how much this request captures, or why nothing. The overage of
// up to 115 % that some accounts have is not played: more than authorized is refused,
// as PSD2 countries demand.
func (s *server) capturable(c *call, a *authorization, in captureRequest) (int64, *reply) {
	switch {
	case a.status == authVoided && !c.now.Before(a.expires):
		return 0, ptr(c.fail("AUTHORIZATION_EXPIRED", fault{}))
	case a.status == authVoided:
		return 0, ptr(c.fail("AUTHORIZATION_VOIDED", fault{}))
	case a.status == authCaptured, a.root().closed:
		return 0, ptr(c.fail("AUTHORIZATION_ALREADY_CAPTURED", fault{}))
	}
	left := a.left()
	if in.Amount == nil {
		if left <= 0 {
			return 0, ptr(c.fail("AUTHORIZATION_ALREADY_CAPTURED", fault{}))
		}
		return left, nil
	}
	amount, is := in.Amount.parse(false)
	if is != "" {
		return 0, ptr(c.bad(is, "/amount/value", in.Amount.Value))
	}
	if in.Amount.CurrencyCode != a.unit.currency {
		return 0, ptr(c.bad("AUTH_CAPTURE_CURRENCY_MISMATCH", "/amount/currency_code", in.Amount.CurrencyCode))
	}
	if amount > left {
		return 0, ptr(c.bad("MAX_CAPTURE_AMOUNT_EXCEEDED", "/amount/value", in.Amount.Value))
	}
	return amount, nil
}

// reauthorize is POST /v2/payments/authorizations/{id}/reauthorize: after the honor
// period, until the authorization period ends, on an original authorization only, for what
// is left of it. PayPal also renews up to 115 % of the original less what was captured;
// that is not played.
func (s *server) reauthorize(c *call) reply {
	a := s.auths[c.id()]
	if a == nil {
		return c.notFound()
	}
	if st, ok := c.earlier(); ok {
		return c.authorizationReply(http.StatusOK, s.auths[st.object])
	}
	var in struct {
		Amount *money `json:"amount"`
	}
	if bad := c.decode(&in); bad != nil {
		return *bad
	}
	switch {
	case a.status == authVoided:
		return c.fail("AUTHORIZATION_VOIDED", fault{})
	case a.status == authCaptured, a.root().closed:
		return c.fail("AUTHORIZATION_ALREADY_CAPTURED", fault{})
	case a.parent != nil, c.now.Before(a.honored):
		// The document has no issue for "too early"; this is its closest.
		return c.fail("REAUTHORIZATION_NOT_SUPPORTED", fault{})
	}
	amount := a.left()
	if in.Amount != nil {
		n, is := in.Amount.parse(false)
		if is != "" {
			return c.bad(is, "/amount/value", in.Amount.Value)
		}
		if in.Amount.CurrencyCode != a.unit.currency {
			return c.bad("AUTH_CURRENCY_MISMATCH", "/amount/currency_code", in.Amount.CurrencyCode)
		}
		if n > amount {
			return c.bad("TRANSACTION_REFUSED", "/amount/value", in.Amount.Value)
		}
		amount = n
	}
	again := s.makeAuthorization(a.unit, amount, a)
	a.unit.order.updated = c.now
	c.remember(again.id, nil, keepPayments)
	return c.authorizationReply(http.StatusCreated, again)
}

// voidAuthorization is POST /v2/payments/authorizations/{id}/void.
func (s *server) voidAuthorization(c *call) reply {
	a := s.auths[c.id()]
	if a == nil {
		return c.notFound()
	}
	switch {
	case a.parent != nil:
		return c.fail("CANNOT_BE_VOIDED", fault{})
	case a.status == authVoided:
		return c.fail("PREVIOUSLY_VOIDED", fault{})
	case a.status == authCaptured, a.root().closed:
		return c.fail("PREVIOUSLY_CAPTURED", fault{})
	}
	s.voidFamily(a)
	a.unit.order.updated = c.now
	if c.full() {
		return reply{http.StatusOK, s.showAuthorization(a)}
	}
	return reply{status: http.StatusNoContent}
}
