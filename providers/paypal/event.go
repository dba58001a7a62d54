package paypal

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/providers"
)

// envelope is a webhook's body (PayPal OpenAPI notifications v1: event).
type envelope struct {
	ID              string          `json:"id"`
	EventType       string          `json:"event_type"`
	CreateTime      string          `json:"create_time"`
	ResourceType    string          `json:"resource_type"`
	ResourceVersion string          `json:"resource_version"`
	Resource        json.RawMessage `json:"resource"`
}

// resource is what is read of any object an event may carry, in its v1 and v2 forms.
type resource struct {
	ID           string  `json:"id"`
	DisputeID    string  `json:"dispute_id"`
	OrderID      string  `json:"order_id"`
	CustomID     string  `json:"custom_id"`
	InvoiceID    string  `json:"invoice_id"`
	Related      related `json:"supplementary_data"`
	Links        []link  `json:"links"`
	Units        []unit  `json:"purchase_units"`
	Transactions []struct {
		SellerTransactionID string `json:"seller_transaction_id"`
		InvoiceNumber       string `json:"invoice_number"`
		Custom              string `json:"custom"`
	} `json:"disputed_transactions"`
}

// relevant are the events after which something must be read (PayPal docs: "Webhook
// event names"). Others are kept and counted.
var relevant = []string{
	approved, "CHECKOUT.ORDER.COMPLETED", "CHECKOUT.ORDER.SAVED", "CHECKOUT.ORDER.VOIDED",
	"CHECKOUT.ORDER.DECLINED", "CHECKOUT.ORDER.PROCESSED", "CHECKOUT.PAYMENT-APPROVAL.REVERSED",
	"PAYMENT.AUTHORIZATION.CREATED", "PAYMENT.AUTHORIZATION.VOIDED",
	completed, "PAYMENT.CAPTURE.PENDING", "PAYMENT.CAPTURE.DECLINED", "PAYMENT.CAPTURE.DENIED",
	"PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED", "PAYMENT.REFUND.PENDING", "PAYMENT.REFUND.FAILED",
	"CUSTOMER.DISPUTE.CREATED", "CUSTOMER.DISPUTE.UPDATED", "CUSTOMER.DISPUTE.RESOLVED", "RISK.DISPUTE.CREATED",
}

// approved is the event of a customer who agreed. An order itself does not say when that
// was, nor that it was a second time: until it is completed it has no update_time.
const approved = "CHECKOUT.ORDER.APPROVED"

// completed is the event of a capture whose money has arrived.
const completed = "PAYMENT.CAPTURE.COMPLETED"

// readEvent reads a delivery whose signature holds.
func (a *Adapter) readEvent(transmission string, sent time.Time, body []byte) (providers.Event, error) {
	var e envelope
	if json.Unmarshal(body, &e) != nil || e.ID == "" || e.EventType == "" {
		return providers.Event{}, providers.ErrMalformed
	}
	object, hint, ok := place(e.EventType, e.ResourceType, e.Resource)
	if !ok {
		return providers.Event{}, providers.ErrMalformed
	}
	created := firstTime(e.CreateTime)
	if created.IsZero() {
		created = sent.UTC()
	}
	return providers.Event{
		Key: transmission, ID: e.ID, Type: e.EventType, Created: created, Live: a.events.live, Version: e.ResourceVersion,
		Object: object, Hint: hint, Relevant: slices.Contains(relevant, e.EventType), Approved: e.EventType == approved,
	}, nil
}

// place says what an event's resource is and where it may belong; ok is false where
// the resource is no object. A resource of a type we don't act on has no place.
func place(eventType, resourceType string, raw json.RawMessage) (providers.Ref, providers.Hint, bool) {
	var r resource
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields == nil {
		return providers.Ref{}, providers.Hint{}, false
	}
	if json.Unmarshal(raw, &r) != nil { // members of other types: not one of ours
		return providers.Ref{}, providers.Hint{}, !slices.Contains(relevant, eventType)
	}
	capture := linkedID(r.Links, "captures")
	if capture == "" {
		capture = r.Related.IDs.CaptureID
	}
	auth := r.Related.IDs.AuthorizationID
	if auth == "" {
		auth = linkedID(r.Links, "authorizations")
	}
	order := r.Related.IDs.OrderID
	if order == "" {
		order = linkedID(r.Links, "orders")
	}
	if capture == r.ID {
		capture = ""
	}
	id, kind := r.ID, kindOf(eventType, resourceType, capture)
	switch kind {
	case "dispute":
		id = r.DisputeID
		if len(r.Transactions) > 0 {
			capture = r.Transactions[0].SellerTransactionID
		}
	case "order":
		if r.OrderID != "" {
			id = r.OrderID
		}
	}
	h := hintOf(claims(r), id, capture, auth, order)
	return providers.Ref{Kind: kind, ID: clean(id)}, h, true
}

// kindOf is the kind of object in a resource. A REVERSED event carries an object of a
// refund's form, or now and then the capture itself. That object is no refund and
// stands in no order: what it tells is read off the capture, its dispute, or hours
// later off the transactions.
func kindOf(eventType, resourceType, capture string) string {
	switch {
	case strings.HasPrefix(eventType, "CUSTOMER.DISPUTE."), strings.HasPrefix(eventType, "RISK.DISPUTE."):
		return "dispute"
	case strings.HasPrefix(eventType, "CHECKOUT."):
		return "order"
	case strings.HasPrefix(eventType, "PAYMENT.AUTHORIZATION."):
		return "authorization"
	case strings.HasPrefix(eventType, "PAYMENT.REFUND."):
		return "refund"
	case eventType == "PAYMENT.CAPTURE.REFUNDED" && capture != "":
		return "refund"
	case eventType == "PAYMENT.CAPTURE.REVERSED" && capture != "":
		return "reversal"
	case strings.HasPrefix(eventType, "PAYMENT.CAPTURE."):
		return "capture"
	default:
		return clean(strings.ToLower(resourceType))
	}
}

// claims are all texts of a resource that we may once have written into it.
func claims(r resource) []string {
	out := []string{r.CustomID, r.InvoiceID}
	for _, u := range r.Units {
		out = append(out, u.CustomID, u.InvoiceID)
	}
	for _, t := range r.Transactions {
		out = append(out, t.Custom, t.InvoiceNumber)
	}
	return out
}

// paymentPattern is the form of our payment ids, and of the attempt ids and capture
// invoices made of them.
var paymentPattern = regexp.MustCompile(`^(pay_[a-z0-9]{1,60})(?:-([0-9]{1,4}))?(?:-[a-z0-9_]{1,38})?$`)

// hintOf reads our ids out of claimed texts and adds the provider ids given, most
// specific first.
func hintOf(claimed []string, ids ...string) providers.Hint {
	var h providers.Hint
	for _, text := range claimed {
		m := paymentPattern.FindStringSubmatch(text)
		if m == nil || (h.PaymentID != "" && h.PaymentID != m[1]) {
			continue
		}
		h.PaymentID = m[1]
		if n, err := strconv.Atoi(m[2]); err == nil && h.N == 0 {
			h.N = n
		}
	}
	for _, id := range ids {
		if id = clean(id); id != "" && !slices.Contains(h.Refs, id) {
			h.Refs = append(h.Refs, id)
		}
	}
	return h
}

// clean drops an id that can't be one.
func clean(id string) string {
	if !idPattern.MatchString(id) {
		return ""
	}
	return id
}
