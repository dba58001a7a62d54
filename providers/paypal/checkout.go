package paypal

import (
	"context"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Limits of texts (PayPal OpenAPI orders v2), in characters.
const (
	maxText       = 127
	maxDescriptor = 22
	maxEmail      = 254
	maxQuantity   = 9_999_999_999
)

// CreateCheckout makes an order and reports it with the page where the customer
// approves it. No money moves before our capture or authorize call.
func (a *Adapter) CreateCheckout(ctx context.Context, req providers.CheckoutRequest, key string) (providers.Result, error) {
	const op = "create_checkout"
	body, err := a.orderRequest(op, req)
	if err != nil {
		return providers.Result{}, err
	}
	var o orderBody
	got, err := a.api.write(ctx, op, "/v2/checkout/orders", key, body, &o)
	if err != nil {
		return providers.Result{}, err
	}
	if !idPattern.MatchString(o.ID) {
		return providers.Result{}, a.api.unreadable(op, got, nil)
	}
	at := providers.Attempt{
		PaymentID: req.PaymentID, N: req.N, Root: providers.Ref{Kind: "order", ID: o.ID}, Manual: req.Manual, Asked: req.Amount,
	}
	s := snapshot{attempt: at, order: o, parts: o.payments(), at: got.date()}
	// A fresh order has nothing below it. The repetition of an old creation may.
	s.complete = len(s.parts.Authorizations)+len(s.parts.Captures)+len(s.parts.Refunds) == 0
	obs, err := a.observe(s)
	if err != nil {
		return providers.Result{}, a.api.unreadable(op, got, err)
	}
	if fact := obs.Facts.Attempts[0]; fact.State == payment.AttemptOpen && !a.safePage(fact.URL) {
		return providers.Result{}, a.api.unreadable(op, got, nil)
	}
	return providers.Result{Ref: o.ID, Observation: obs}, nil
}

// safePage says whether a customer may be sent there.
func (a *Adapter) safePage(href string) bool {
	u, err := url.Parse(href)
	if err != nil || u.Host == "" {
		return false
	}
	return u.Scheme == "https" || (u.Scheme == "http" && a.opts.Mode == payment.ModeTest)
}

// orderRequest is the order as PayPal takes it. The same request always gives the
// same bytes.
func (a *Adapter) orderRequest(op string, req providers.CheckoutRequest) (orderRequest, error) {
	refuse := func(code, field string) (orderRequest, error) {
		return orderRequest{}, &providers.Error{Class: providers.Refused, Provider: Provider, Op: op, Code: code, Field: field}
	}
	if err := supports(req.Amount); err != nil {
		return refuse("amount_unsupported", "/amount")
	}
	if req.AutomaticTax { // PayPal computes none; leaving it out would be the merchant's loss
		return refuse("unsupported", "/automatic_tax")
	}
	amount, err := toMoney(req.Amount)
	if err != nil {
		return refuse("amount_unsupported", "/amount")
	}
	u := unitRequest{
		ReferenceID: req.AttemptID(), CustomID: req.PaymentID, InvoiceID: req.AttemptID(),
		Description: cut(req.Description, maxText), SoftDescriptor: descriptor(req.StatementDescriptor),
		Amount: amountBody{money: amount},
	}
	if items, ok := lineItems(req); ok {
		u.Items, u.Amount.Breakdown = items, &breakdown{ItemTotal: &amount}
	}
	out := orderRequest{Intent: "CAPTURE", PurchaseUnits: []unitRequest{u}}
	if req.Manual {
		out.Intent = "AUTHORIZE"
	}
	out.PaymentSource.PayPal = walletRequest{EmailAddress: email(req.CustomerEmail), ExperienceContext: a.experience(req)}
	return out, nil
}

func (a *Adapter) experience(req providers.CheckoutRequest) experience {
	x := experience{
		PaymentMethodPreference: "IMMEDIATE_PAYMENT_REQUIRED", BrandName: cut(req.BrandName, maxText), Locale: locale(req.Locale),
		LandingPage: "NO_PREFERENCE", ShippingPreference: "NO_SHIPPING", UserAction: "PAY_NOW",
		ReturnURL: req.ReturnURL, CancelURL: req.CancelURL,
	}
	if x.BrandName == "" {
		x.BrandName = cut(a.opts.BrandName, maxText)
	}
	if x.CancelURL == "" {
		x.CancelURL = req.ReturnURL
	}
	if email(req.CustomerEmail) != "" {
		x.LandingPage = "LOGIN"
	}
	if req.Shipping {
		x.ShippingPreference = "GET_FROM_FILE"
	}
	return x
}

// lineItems are the lines in PayPal's form; ok is false where PayPal would refuse
// them: they are for display, and must not stop a payment.
func lineItems(req providers.CheckoutRequest) ([]item, bool) {
	var out []item
	var sum int64
	for _, l := range req.LineItems {
		name := cut(l.Name, maxText)
		unitAmount, err := toMoney(payment.Money{Minor: l.UnitAmount, Currency: req.Amount.Currency})
		if err != nil || name == "" || l.UnitAmount < 0 || l.Quantity < 1 || l.Quantity > maxQuantity {
			return nil, false
		}
		if l.UnitAmount > 0 && l.Quantity > payment.MaxMinor/l.UnitAmount {
			return nil, false
		}
		sum += l.UnitAmount * l.Quantity
		if sum > payment.MaxMinor {
			return nil, false
		}
		out = append(out, item{Name: name, Quantity: strconv.FormatInt(l.Quantity, 10), UnitAmount: unitAmount, SKU: cut(l.SKU, maxText)})
	}
	return out, len(out) > 0 && sum == req.Amount.Minor
}

// cut shortens a text to n characters and makes it one line.
func cut(s string, n int) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "")))
	if runes := []rune(s); len(runes) > n {
		return strings.TrimSpace(string(runes[:n]))
	}
	return s
}

// descriptor keeps what a card statement can show (PayPal docs: letters, digits,
// dash, asterisk, period, space).
func descriptor(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-*. ", r)) {
			return r
		}
		return -1
	}, s)
	return cut(s, maxDescriptor)
}

// emailPattern is the common part of PayPal's own pattern. An address that PayPal
// might refuse is left out: it only fills in a form.
var emailPattern = regexp.MustCompile(`^[a-zA-Z0-9_+-]+(\.[a-zA-Z0-9_+-]+)*@([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$`)

func email(s string) string {
	if len(s) > maxEmail || !emailPattern.MatchString(s) {
		return ""
	}
	return s
}

// localePattern is PayPal's (OpenAPI orders v2: language).
var localePattern = regexp.MustCompile(`^[a-z]{2}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$`)

// locale spells a BCP 47 tag the way PayPal takes it, empty if it can't be.
func locale(s string) string {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == '-' || r == '_' })
	for i, p := range parts {
		switch {
		case i == 0:
			parts[i] = strings.ToLower(p)
		case len(p) == 4:
			parts[i] = strings.ToUpper(p[:1]) + strings.ToLower(p[1:])
		default:
			parts[i] = strings.ToUpper(p)
		}
	}
	out := strings.Join(parts, "-")
	if !localePattern.MatchString(out) {
		return ""
	}
	return out
}
