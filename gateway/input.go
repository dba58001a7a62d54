package gateway

import (
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// CreateInput is a request for a new payment as it came in, not yet checked.
type CreateInput struct {
	Amount              int64
	Currency            string
	Provider            string
	Account             string
	Capture             string
	ReturnURL           string
	CancelURL           string
	Reference           string
	Description         string
	Locale              string
	Metadata            map[string]string
	StatementDescriptor string
	Customer            payment.Customer
	LineItems           []payment.LineItem
	AllowPromotionCodes bool
	AutomaticTax        bool
	Shipping            bool
	ExpiresIn           int64 // seconds, 0 for the default
}

// Limits of a create request.
const (
	minExpiresIn     = 1800
	maxExpiresIn     = 86400
	maxReference     = 127
	maxDescription   = 500
	maxMetadata      = 50
	maxMetadataKey   = 40
	maxMetadataValue = 500
	maxLineItems     = 100
	maxDescriptor    = 22
)

// faults collects every broken rule, so that a caller hears of all at once.
type faults []payment.FieldError

func (f *faults) add(pointer, format string, args ...any) {
	*f = append(*f, payment.FieldError{Pointer: pointer, Rule: fmt.Sprintf(format, args...)})
}

func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return &payment.Error{Code: payment.CodeInvalid, Message: "The request breaks a rule: " + f[0].Pointer + " " + f[0].Rule + ".", Fields: f}
}

// parse checks a create request and turns it into terms and a request. All
// faults are reported at once, each naming its field.
func (in CreateInput) parse(app App) (payment.Terms, payment.Request, error) {
	var f faults
	terms := payment.Terms{Flexible: in.AllowPromotionCodes || in.AutomaticTax || in.Shipping}
	currency, err := payment.ParseCurrency(in.Currency)
	if err != nil {
		f.add("/currency", "must be an active three-letter ISO 4217 code")
	}
	if in.Amount < 1 || in.Amount > payment.MaxMinor {
		f.add("/amount", "must be from 1 to %d minor units", payment.MaxMinor)
	}
	terms.Amount = payment.Money{Minor: in.Amount, Currency: currency}
	switch in.Capture {
	case "", "automatic":
	case "manual":
		terms.Manual = true
	default:
		f.add("/capture", "must be automatic or manual")
	}
	in.checkTexts(&f)
	in.checkItems(&f)
	req := payment.Request{
		Provider: in.Provider, Account: in.Account, Reference: in.Reference, Description: in.Description,
		Locale: in.Locale, Metadata: in.Metadata, StatementDescriptor: in.StatementDescriptor, Customer: in.Customer,
		LineItems: in.LineItems, AllowPromotionCodes: in.AllowPromotionCodes, AutomaticTax: in.AutomaticTax, Shipping: in.Shipping,
	}
	req.ReturnURL = in.url(&f, "/return_url", in.ReturnURL, app)
	req.CancelURL = req.ReturnURL
	if in.CancelURL != "" {
		req.CancelURL = in.url(&f, "/cancel_url", in.CancelURL, app)
	}
	switch {
	case in.ExpiresIn == 0:
		in.ExpiresIn = maxExpiresIn
	case in.ExpiresIn < minExpiresIn || in.ExpiresIn > maxExpiresIn:
		f.add("/expires_in", "must be from %d to %d seconds", minExpiresIn, maxExpiresIn)
	}
	req.ExpiresIn = time.Duration(in.ExpiresIn) * time.Second
	return terms, req, f.err()
}

func (in CreateInput) url(f *faults, pointer, raw string, app App) string {
	if raw == "" {
		f.add(pointer, "is required: the customer is sent there after paying")
		return ""
	}
	if err := CheckReturnURL(raw, app); err != nil {
		f.add(pointer, "%s", err.Error())
	}
	return raw
}

func (in CreateInput) checkTexts(f *faults) {
	text := func(pointer, value string, limit int) {
		if utf8.RuneCountInString(value) > limit {
			f.add(pointer, "must have at most %d characters", limit)
		}
		if !clean(value) {
			f.add(pointer, "must be valid UTF-8 without control characters")
		}
	}
	text("/reference", in.Reference, maxReference)
	text("/description", in.Description, maxDescription)
	text("/statement_descriptor", in.StatementDescriptor, maxDescriptor)
	if strings.ContainsAny(in.StatementDescriptor, `<>\'"*`) {
		f.add("/statement_descriptor", `must not contain < > \ ' " *`)
	}
	text("/customer/id", in.Customer.ID, 64)
	text("/customer/ref", in.Customer.Ref, 200)
	text("/customer/name", in.Customer.Name, 200)
	text("/customer/email", in.Customer.Email, 254)
	if in.Customer.Email != "" {
		if !plainAddress(in.Customer.Email) {
			f.add("/customer/email", "must be one plain e-mail address")
		}
	}
	if in.Customer.ID != "" {
		f.add("/customer", "must be an object with ref, email or name: stored customers are not supported yet")
	}
	if in.Locale != "" && !localeLike(in.Locale) {
		f.add("/locale", "must be a language tag such as en, de or pt-BR")
	}
	if len(in.Metadata) > maxMetadata {
		f.add("/metadata", "must have at most %d keys", maxMetadata)
	}
	for k, v := range in.Metadata {
		pointer := "/metadata/" + escapePointer(k)
		if k == "" || utf8.RuneCountInString(k) > maxMetadataKey || !clean(k) {
			f.add(pointer, "keys must have 1 to %d characters", maxMetadataKey)
		}
		if strings.HasPrefix(k, "trifecta_") {
			f.add(pointer, "keys starting with trifecta_ are ours")
		}
		text(pointer, v, maxMetadataValue)
	}
}

// plainAddress says that a text is one e-mail address, without a name or anything else.
func plainAddress(text string) bool {
	a, err := mail.ParseAddress(text)
	return err == nil && a.Address == text
}

func (in CreateInput) checkItems(f *faults) {
	if len(in.LineItems) > maxLineItems {
		f.add("/line_items", "must have at most %d items", maxLineItems)
		return
	}
	var sum int64
	broken := false
	for i, item := range in.LineItems {
		at := fmt.Sprintf("/line_items/%d", i)
		if item.Name == "" || utf8.RuneCountInString(item.Name) > 127 || !clean(item.Name) {
			f.add(at+"/name", "must have 1 to 127 characters")
		}
		if utf8.RuneCountInString(item.SKU) > 127 || !clean(item.SKU) {
			f.add(at+"/sku", "must have at most 127 characters")
		}
		if item.Quantity < 1 || item.Quantity > 1_000_000 {
			f.add(at+"/quantity", "must be from 1 to 1000000")
			broken = true
			continue
		}
		if item.UnitAmount < 0 || item.UnitAmount > payment.MaxMinor/item.Quantity {
			f.add(at+"/unit_amount", "must be 0 or more minor units, and the line at most %d", payment.MaxMinor)
			broken = true
			continue
		}
		sum += item.Quantity * item.UnitAmount
	}
	if len(in.LineItems) > 0 && !broken && sum != in.Amount {
		f.add("/line_items", "must sum to amount: they sum to %d", sum)
	}
}

// clean refuses control characters and broken UTF-8: such text would end up in
// headers, logs, mails and providers' pages.
func clean(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return false
		}
	}
	return true
}

func localeLike(s string) bool {
	if len(s) > 12 {
		return false
	}
	for i, part := range strings.Split(strings.ReplaceAll(s, "_", "-"), "-") {
		if part == "" || len(part) > 8 || (i == 0 && (len(part) < 2 || len(part) > 3)) {
			return false
		}
		for _, r := range part {
			if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9' || i == 0) {
				return false
			}
		}
	}
	return true
}

func escapePointer(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}
