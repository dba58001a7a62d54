package httpapi

import (
	"strings"
	"unicode/utf8"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// The bodies of requests, as they are written on the wire. Their JSON form,
// rather than the bytes that came in, is what idempotency compares.

type createBody struct {
	Amount              int64             `json:"amount"`
	Currency            string            `json:"currency"`
	Provider            string            `json:"provider,omitempty"`
	Account             string            `json:"account,omitempty"`
	Capture             string            `json:"capture,omitempty"`
	ReturnURL           string            `json:"return_url,omitempty"`
	CancelURL           string            `json:"cancel_url,omitempty"`
	Reference           string            `json:"reference,omitempty"`
	Description         string            `json:"description,omitempty"`
	Locale              string            `json:"locale,omitempty"`
	Metadata            map[string]string `json:"metadata,omitempty"`
	StatementDescriptor string            `json:"statement_descriptor,omitempty"`
	Customer            *customerBody     `json:"customer,omitempty"`
	LineItems           []itemBody        `json:"line_items,omitempty"`
	AllowPromotionCodes bool              `json:"allow_promotion_codes,omitempty"`
	AutomaticTax        bool              `json:"automatic_tax,omitempty"`
	Shipping            bool              `json:"shipping,omitempty"`
	ExpiresIn           int64             `json:"expires_in,omitempty"`
}

type customerBody struct {
	Ref     string `json:"ref,omitempty"`
	Email   string `json:"email,omitempty"`
	Name    string `json:"name,omitempty"`
	Trusted bool   `json:"trusted,omitempty"`
}

type itemBody struct {
	Name       string `json:"name"`
	Quantity   int64  `json:"quantity"`
	UnitAmount int64  `json:"unit_amount"`
	SKU        string `json:"sku,omitempty"`
}

// bindCreate reads a request for a new payment: its shape and types. What the
// values must be among each other is for gateway to judge.
func bindCreate(raw []byte) (createBody, error) {
	var b createBody
	n, err := parseJSON(raw)
	if err != nil {
		return b, err
	}
	f := &faults{}
	o := f.object(n, "")
	o.integer("amount", &b.Amount, 1, payment.MaxMinor)
	o.str("currency", &b.Currency)
	o.name("provider", &b.Provider)
	o.name("account", &b.Account)
	o.enum("capture", &b.Capture, "automatic", "manual")
	o.str("return_url", &b.ReturnURL)
	o.str("cancel_url", &b.CancelURL)
	o.str("reference", &b.Reference)
	o.str("description", &b.Description)
	o.str("locale", &b.Locale)
	o.strings("metadata", &b.Metadata)
	o.str("statement_descriptor", &b.StatementDescriptor)
	bindCustomer(o, &b)
	o.list("line_items", func(n node, at string) {
		var item itemBody
		io := f.object(n, at)
		io.str("name", &item.Name)
		io.integer("quantity", &item.Quantity, 1, 1_000_000)
		io.required("unit_amount", "is required") // its least is 0, which would pass for what was left out
		io.integer("unit_amount", &item.UnitAmount, 0, payment.MaxMinor)
		io.str("sku", &item.SKU)
		io.done()
		b.LineItems = append(b.LineItems, item)
	})
	o.boolean("allow_promotion_codes", &b.AllowPromotionCodes)
	o.boolean("automatic_tax", &b.AutomaticTax)
	o.boolean("shipping", &b.Shipping)
	o.integer("expires_in", &b.ExpiresIn, 1800, 86400)
	o.later("payment_method", "off_session", "save_payment_method", "charge_at", "marketplace")
	o.done()
	return b, f.err()
}

// bindCustomer reads the customer: an object, or a stored customer's id.
func bindCustomer(o *object, b *createBody) {
	n, at, ok := o.take("customer")
	if !ok {
		return
	}
	if n.kind == kindString {
		if strings.HasPrefix(n.text, "cus_") {
			o.f.unsupported = append(o.f.unsupported, payment.FieldError{Pointer: at, Rule: "must be an object with ref, email or name: stored customers are not available yet"})
		} else {
			o.f.add(at, "must be a stored customer's id (cus_…) or an object with ref, email or name")
		}
		return
	}
	b.Customer = &customerBody{}
	co := o.f.object(n, at)
	co.str("ref", &b.Customer.Ref)
	co.str("email", &b.Customer.Email)
	co.str("name", &b.Customer.Name)
	co.boolean("trusted", &b.Customer.Trusted)
	co.done()
}

func (b createBody) input() gateway.CreateInput {
	in := gateway.CreateInput{
		Amount: b.Amount, Currency: b.Currency, Provider: b.Provider, Account: b.Account, Capture: b.Capture,
		ReturnURL: b.ReturnURL, CancelURL: b.CancelURL, Reference: b.Reference, Description: b.Description, Locale: b.Locale,
		Metadata: b.Metadata, StatementDescriptor: b.StatementDescriptor, AllowPromotionCodes: b.AllowPromotionCodes,
		AutomaticTax: b.AutomaticTax, Shipping: b.Shipping, ExpiresIn: b.ExpiresIn,
	}
	if b.Customer != nil {
		in.Customer = payment.Customer{Ref: b.Customer.Ref, Email: b.Customer.Email, Name: b.Customer.Name, Trusted: b.Customer.Trusted}
	}
	for _, item := range b.LineItems {
		in.LineItems = append(in.LineItems, payment.LineItem{Name: item.Name, Quantity: item.Quantity, UnitAmount: item.UnitAmount, SKU: item.SKU})
	}
	return in
}

type captureBody struct {
	Amount int64 `json:"amount,omitempty"` // 0: all
	Final  *bool `json:"final,omitempty"`  // nil: true
}

func bindCapture(raw []byte) (captureBody, error) {
	var b captureBody
	err := bindOptional(raw, func(o *object) {
		o.integer("amount", &b.Amount, 1, payment.MaxMinor)
		if n, at, ok := o.take("final"); ok {
			if n.kind != kindBool {
				o.f.wrong(at, n, "true or false")
				return
			}
			final := n.text == "true"
			b.Final = &final
		}
	})
	return b, err
}

func (b captureBody) final() bool { return b.Final == nil || *b.Final }

type refundBody struct {
	Amount int64  `json:"amount,omitempty"` // 0: all
	Reason string `json:"reason,omitempty"`
}

func bindRefund(raw []byte) (refundBody, error) {
	var b refundBody
	err := bindOptional(raw, func(o *object) {
		o.integer("amount", &b.Amount, 1, payment.MaxMinor)
		o.enum("reason", &b.Reason, refundReasons...)
	})
	return b, err
}

type resolveBody struct {
	Action   string   `json:"action"`
	Captures []string `json:"captures"`
	Reason   string   `json:"reason"`
}

func bindResolve(raw []byte) (resolveBody, error) {
	var b resolveBody
	err := bindObject(raw, func(o *object) {
		o.required("action", "is required: accept or refund")
		o.enum("action", &b.Action, "accept", "refund")
		o.texts("captures", &b.Captures)
		o.str("reason", &b.Reason)
		if utf8.RuneCountInString(b.Reason) > 1000 {
			o.f.add("/reason", "must have at most 1000 characters")
		}
	})
	return b, err
}

type snoozeBody struct {
	Seconds int64 `json:"seconds,omitempty"`
}

func bindSnooze(raw []byte) (snoozeBody, error) {
	b := snoozeBody{Seconds: 86400}
	err := bindOptional(raw, func(o *object) { o.integer("seconds", &b.Seconds, 60, 30*86400) })
	return b, err
}

// bindNothing reads a body in which nothing can be said.
func bindNothing(raw []byte) error {
	return bindOptional(raw, func(*object) {})
}

// bindOptional reads a body whose fields are all optional: no body at all is
// the same as an empty object.
func bindOptional(raw []byte, read func(*object)) error {
	if len(raw) == 0 {
		return nil
	}
	return bindObject(raw, read)
}

// bindObject reads a body that is one object: what read does not take is unknown.
func bindObject(raw []byte, read func(*object)) error {
	n, err := parseJSON(raw)
	if err != nil {
		return err
	}
	f := &faults{}
	o := f.object(n, "")
	read(o)
	o.done()
	return f.err()
}

// name reads a name that is looked up: an empty one is none, and would be taken for one
// that was left out.
func (o *object) name(key string, dst *string) {
	n, at, ok := o.take(key)
	switch {
	case !ok:
	case n.kind != kindString:
		o.f.wrong(at, n, "a string")
	case n.text == "":
		o.f.add(at, "must not be empty; leave it out instead")
	default:
		*dst = n.text
	}
}

// required finds fault with an object that has no such key.
func (o *object) required(key, rule string) {
	if o.valid && !o.has(key) {
		o.f.add(o.at+"/"+key, "%s", rule)
	}
}

func (o *object) has(key string) bool {
	for _, m := range o.left {
		if m.key == key {
			return true
		}
	}
	return false
}
