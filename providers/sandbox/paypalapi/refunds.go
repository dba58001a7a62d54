package paypalapi

import (
	"net/http"
	"regexp"
	"strings"
	"time"
)

// refundWindow is how long after the payment a refund is possible (PayPal docs: 180 days).
const refundWindow = 180 * 24 * time.Hour

func lower(currency string) string { return strings.ToLower(currency) }

// getCapture is GET /v2/payments/captures/{id}.
func (s *server) getCapture(c *call) reply {
	p := s.captures[c.id()]
	if p == nil {
		return c.notFound()
	}
	return reply{http.StatusOK, s.showCapture(p)}
}

// getRefund is GET /v2/payments/refunds/{id}.
func (s *server) getRefund(c *call) reply {
	r := s.refunds[c.id()]
	if r == nil {
		return c.notFound()
	}
	return reply{http.StatusOK, s.showRefund(r)}
}

func (c *call) refundReply(status int, r *refund) reply {
	full := c.s.showRefund(r)
	if c.full() {
		return reply{status, full}
	}
	return reply{status, refundJSON{ID: full.ID, Status: full.Status, Links: full.Links}}
}

// customPattern is what a refund's custom_id may contain (PayPal OpenAPI payments v2).
var customPattern = regexp.MustCompile(`^[A-Za-z0-9\-_.,]{1,127}$`)

// refundCapture is POST /v2/payments/captures/{id}/refund.
func (s *server) refundCapture(c *call) reply {
	p := s.captures[c.id()]
	if p == nil {
		return c.notFound()
	}
	if st, ok := c.earlier(); ok {
		return c.refundReply(http.StatusOK, s.refunds[st.object])
	}
	var in struct {
		Amount      *money `json:"amount"`
		CustomID    string `json:"custom_id"`
		InvoiceID   string `json:"invoice_id"`
		NoteToPayer string `json:"note_to_payer"`
	}
	if bad := c.decode(&in); bad != nil {
		return *bad
	}
	if in.CustomID != "" && !customPattern.MatchString(in.CustomID) {
		return c.bad("INVALID_PARAMETER_SYNTAX", "/custom_id", in.CustomID)
	}
	amount := p.amount - p.refunded() - p.taken()
	if in.Amount != nil {
		n, is := in.Amount.parse(false)
		if is != "" {
			return c.bad(is, "/amount/value", in.Amount.Value)
		}
		if in.Amount.CurrencyCode != p.unit.currency {
			return c.bad("REFUND_CAPTURE_CURRENCY_MISMATCH", "/amount/currency_code", in.Amount.CurrencyCode)
		}
		amount = n
	}
	if is := s.refuseRefund(p, amount, in.InvoiceID, c.now); is != "" {
		return c.fail(is, fault{})
	}
	r := s.makeRefund(p, amount, refund{invoice: in.InvoiceID, custom: in.CustomID, note: in.NoteToPayer, status: stCompleted})
	c.remember(r.id, nil, keepPayments)
	return c.refundReply(http.StatusCreated, r)
}

// refuseRefund answers the issue that stops a refund, or "".
func (s *server) refuseRefund(p *capture, amount int64, invoice string, now time.Time) string {
	left := p.amount - p.refunded() - p.taken()
	switch {
	case p.status == stPending:
		return "PENDING_CAPTURE"
	case !p.paid():
		return "REFUND_NOT_ALLOWED"
	case p.refunded() >= p.amount:
		return "CAPTURE_FULLY_REFUNDED"
	case now.After(p.created.Add(refundWindow)):
		return "REFUND_TIME_LIMIT_EXCEEDED"
	case left <= 0:
		return "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK"
	case p.openCase() && amount < p.amount:
		return "TRANSACTION_DISPUTED"
	case amount > left:
		return "REFUND_AMOUNT_EXCEEDED"
	}
	if invoice != "" {
		for _, r := range s.refunds {
			if r.invoice == invoice && r.status != stFailed {
				return "DUPLICATE_INVOICE_ID"
			}
		}
	}
	return ""
}

// makeRefund gives money back and announces it. tmpl carries status, invoice, custom
// and note. A refund without its own custom_id shows its capture's: that is how a
// refund made on PayPal's website is recognised.
func (s *server) makeRefund(p *capture, amount int64, tmpl refund) *refund {
	r := &tmpl
	now := s.w.Now()
	r.id, r.capture, r.amount, r.created, r.updated = s.objectID(), p, amount, now, now
	r.total = p.refunded() + amount
	if r.custom == "" && customPattern.MatchString(p.custom) {
		r.custom = p.custom
	}
	p.refunds = append(p.refunds, r)
	p.unit.refunds = append(p.unit.refunds, r)
	s.refunds[r.id] = r
	r.row = s.addRow(row{
		id: r.id, code: "T1107", ref: p.id, refType: "TXN", amount: -amount, currency: p.unit.currency,
		invoice: r.invoice, custom: p.custom, payer: p.unit.order.payer, status: "P",
	})
	if r.status == stPending {
		r.reason = "ECHECK"
		s.announceRefund("PAYMENT.REFUND.PENDING", "Refund pending", r)
		return r
	}
	s.payRefund(r)
	return r
}

// payRefund books a refund's money.
func (s *server) payRefund(r *refund) {
	now := s.w.Now()
	r.status, r.reason, r.updated = stCompleted, "", now
	r.row.status, r.row.updated = "S", now
	r.capture.settle(now)
	r.capture.unit.order.updated = now
	s.book(r.capture, "refund", r.id, r.amount)
	s.announceRefund("PAYMENT.CAPTURE.REFUNDED", "A payment was refunded", r)
	s.closeRefunded(r.capture)
}

// closeRefunded ends inquiries about a capture that was given back in full: for the buyer,
// without another movement (PayPal help: issue a refund to resolve a dispute).
func (s *server) closeRefunded(p *capture) {
	if p.refunded() < p.amount {
		return
	}
	for _, d := range p.disputes {
		if d.stage == stageInquiry && d.status == dispWaiting {
			s.w.Cancel("dispute " + d.id)
			d.status, d.outcome, d.updated = dispResolved, outcomeLost, s.w.Now()
			s.announceDispute("CUSTOMER.DISPUTE.RESOLVED", "A dispute was resolved", d)
		}
	}
}

// failRefund takes a refund back: the money did not reach the buyer.
func (s *server) failRefund(r *refund) {
	now := s.w.Now()
	paid := r.status == stCompleted
	r.status, r.reason, r.updated = stFailed, "", now
	r.row.status, r.row.updated = "D", now
	r.capture.settle(now)
	r.capture.unit.order.updated = now
	if paid {
		s.book(r.capture, "refund_failed", r.id, r.amount)
	}
	s.announceRefund("PAYMENT.REFUND.FAILED", "A refund failed", r)
}

// reverse takes money back without the merchant's doing. With a dispute the money is
// already gone (it was withheld), so that only the announcement is new.
func (s *server) reverse(p *capture, amount int64, d *dispute) *refund {
	now := s.w.Now()
	r := &refund{
		id: s.objectID(), capture: p, amount: amount, status: stCompleted, created: now, updated: now,
		reversal: true, dispute: d, total: p.refunded() + amount,
	}
	if customPattern.MatchString(p.custom) {
		r.custom = p.custom
	}
	p.refunds = append(p.refunds, r)
	s.refunds[r.id] = r
	if d == nil {
		r.row = s.addRow(row{
			id: r.id, code: "T1106", ref: p.id, refType: "TXN", amount: -amount, currency: p.unit.currency,
			invoice: p.invoice, custom: p.custom, payer: p.unit.order.payer, status: "S",
		})
		s.book(p, "reversal", r.id, amount)
	}
	p.updated = now
	s.announceRefund("PAYMENT.CAPTURE.REVERSED", "A payment was reversed", r)
	return r
}
