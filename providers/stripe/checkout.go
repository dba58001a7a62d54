package stripe

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Limits of Stripe's metadata (Stripe docs: metadata).
const (
	maxMetadata      = 50
	maxMetadataKey   = 40
	maxMetadataValue = 500
)

// CreateCheckout opens a Checkout Session in payment mode.
func (a *Adapter) CreateCheckout(ctx context.Context, req providers.CheckoutRequest, key string) (providers.Result, error) {
	const op = "create_checkout"
	if err := checkKey(op, key); err != nil {
		return providers.Result{}, err
	}
	params, err := sessionParams(op, req)
	if err != nil {
		return providers.Result{}, err
	}
	params.SetIdempotencyKey(key)
	session, err := write(ctx, op, func(ctx context.Context) (*stripesdk.CheckoutSession, error) {
		params.Context = ctx
		s, err := a.sdk.CheckoutSessions.New(params)
		return whole(s, err, func() bool { return s.ID != "" && s.Status != "" })
	})
	if err != nil {
		return providers.Result{}, err
	}
	if session.Livemode != a.live() {
		return providers.Result{}, &providers.Error{Class: providers.Misconfigured, Provider: provider, Op: op, Code: "livemode_mismatch"}
	}
	return a.opened(ctx, op, session, req.N)
}

// opened reports a created session. The answer to a first call is a complete
// snapshot: nothing hangs below a session that no customer has seen. The answer to
// a repetition is an old one, so the session is read; its age tells it apart where
// no header does.
func (a *Adapter) opened(ctx context.Context, op string, session *stripesdk.CheckoutSession, n int) (providers.Result, error) {
	s := snapshot{session: session, intent: session.PaymentIntent, asOf: sessionTime(session, date(session.LastResponse))}
	old := replayed(session.LastResponse) || s.asOf.Sub(unix(session.Created)) > clockSkew
	if old || session.Status != stripesdk.CheckoutSessionStatusOpen {
		again, err := a.snapshot(ctx, op, providers.Ref{Kind: kindSession, ID: session.ID})
		if err == nil {
			s = again
		} else {
			s.asOf = unix(session.Created) // all that is certain of a stored answer
		}
	}
	obs, err := a.observation(op, s, n, true)
	return providers.Result{Ref: session.ID, Observation: obs}, err
}

// sessionParams are the session's parameters. They depend on the request alone, so
// that a repetition says the same.
func sessionParams(op string, req providers.CheckoutRequest) (*stripesdk.CheckoutSessionParams, error) {
	items, err := lineItems(op, req)
	if err != nil {
		return nil, err
	}
	meta := metadata(req)
	params := &stripesdk.CheckoutSessionParams{
		Mode:              stripesdk.String("payment"),
		ClientReferenceID: stripesdk.String(req.PaymentID),
		LineItems:         items,
		SuccessURL:        stripesdk.String(req.ReturnURL),
		CancelURL:         text(req.CancelURL),
		CustomerEmail:     text(req.CustomerEmail),
		Locale:            stripesdk.String(locale(req.Locale)),
		Metadata:          meta,
		PaymentIntentData: &stripesdk.CheckoutSessionPaymentIntentDataParams{
			CaptureMethod: stripesdk.String("automatic"),
			Description:   text(cut(req.Description, 1000)),
			Metadata:      maps.Clone(meta),
			// The suffix is what cards take; the full descriptor is for other
			// methods only and makes card payments fail (Stripe docs: statement
			// descriptors).
			StatementDescriptorSuffix: text(req.StatementDescriptor),
		},
	}
	if req.Manual {
		params.PaymentIntentData.CaptureMethod = stripesdk.String("manual")
	}
	if !req.ExpiresAt.IsZero() {
		params.ExpiresAt = stripesdk.Int64(req.ExpiresAt.Unix())
	}
	if req.AllowPromotionCodes {
		params.AllowPromotionCodes = stripesdk.Bool(true)
	}
	if req.AutomaticTax {
		params.AutomaticTax = &stripesdk.CheckoutSessionAutomaticTaxParams{Enabled: stripesdk.Bool(true)}
	}
	if req.Shipping {
		params.ShippingAddressCollection = &stripesdk.CheckoutSessionShippingAddressCollectionParams{
			AllowedCountries: stripesdk.StringSlice(strings.Fields(shippingCountries)),
		}
	}
	params.AddExpand("payment_intent")
	return params, nil
}

// lineItems are the request's lines, or one line for everything. Their sum is what
// the session will ask for, so it must be the amount.
func lineItems(op string, req providers.CheckoutRequest) ([]*stripesdk.CheckoutSessionLineItemParams, error) {
	if _, err := toStripe(req.Amount); err != nil || req.Amount.Minor < 1 {
		return nil, refuse(op, "unsupported_amount", "/amount")
	}
	lines := req.LineItems
	if len(lines) == 0 {
		lines = []providers.LineItem{{Name: itemName(req), Quantity: 1, UnitAmount: req.Amount.Minor}}
	}
	var sum int64
	out := make([]*stripesdk.CheckoutSessionLineItemParams, 0, len(lines))
	for _, line := range lines {
		unit, err := toStripe(payment.Money{Minor: line.UnitAmount, Currency: req.Amount.Currency})
		if err != nil || line.Quantity < 1 || line.UnitAmount > payment.MaxMinor/line.Quantity {
			return nil, refuse(op, "unsupported_amount", "/line_items")
		}
		sum += line.UnitAmount * line.Quantity
		if sum > payment.MaxMinor {
			return nil, refuse(op, "unsupported_amount", "/line_items")
		}
		price := &stripesdk.CheckoutSessionLineItemPriceDataParams{
			Currency:    stripesdk.String(string(req.Amount.Currency)),
			UnitAmount:  stripesdk.Int64(unit),
			ProductData: &stripesdk.CheckoutSessionLineItemPriceDataProductDataParams{Name: stripesdk.String(line.Name)},
		}
		if req.AutomaticTax {
			// Added on top, so that total = amount - discount + tax + shipping holds.
			price.TaxBehavior = stripesdk.String("exclusive")
		}
		if line.SKU != "" {
			price.ProductData.Metadata = map[string]string{"sku": cut(line.SKU, maxMetadataValue)}
		}
		out = append(out, &stripesdk.CheckoutSessionLineItemParams{PriceData: price, Quantity: stripesdk.Int64(line.Quantity)})
	}
	if sum != req.Amount.Minor {
		return nil, refuse(op, "line_items_sum", "/line_items")
	}
	return out, nil
}

// itemName is what the customer reads where the app gave no lines.
func itemName(req providers.CheckoutRequest) string {
	for _, name := range []string{req.Description, req.Reference} {
		if strings.TrimSpace(name) != "" {
			return cut(name, 250)
		}
	}
	return "Payment"
}

// metadata are the app's own keys as far as Stripe takes them, and ours, which win.
// What does not fit is left out: the payment's own record has it.
func metadata(req providers.CheckoutRequest) map[string]string {
	out := map[string]string{metaPayment: req.PaymentID, metaAttempt: req.AttemptID()}
	for _, k := range slices.Sorted(maps.Keys(req.Metadata)) {
		v := req.Metadata[k]
		fits := k != "" && v != "" && len([]rune(k)) <= maxMetadataKey && len([]rune(v)) <= maxMetadataValue && !strings.ContainsAny(k, "[]")
		if len(out) < maxMetadata && fits && !strings.HasPrefix(k, metaPrefix) {
			out[k] = v
		}
	}
	return out
}

// text is an optional parameter: an empty value would mean "unset it".
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// cut shortens a text to at most n characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// locales are the languages of the hosted page (Stripe OpenAPI 2023-10-16:
// checkout session locale).
const locales = "bg cs da de el en en-GB es es-419 et fi fil fr fr-CA hr hu id it ja ko lt lv ms mt nb nl pl pt pt-BR " +
	"ro ru sk sl sv th tr vi zh zh-HK zh-TW"

// locale picks the page's language for a BCP 47 tag: the exact one, else the
// language alone, else Stripe decides by the browser.
func locale(tag string) string {
	tag = strings.ReplaceAll(tag, "_", "-")
	language, _, _ := strings.Cut(tag, "-")
	if strings.EqualFold(language, "no") || strings.EqualFold(language, "nn") {
		language = "nb" // the only Norwegian there is
	}
	for _, want := range []string{tag, language} {
		for _, have := range strings.Fields(locales) {
			if strings.EqualFold(want, have) {
				return have
			}
		}
	}
	return "auto"
}

// shippingCountries are all that Stripe ships to (Stripe OpenAPI 2023-10-16:
// shipping_address_collection.allowed_countries), without ZZ, which is none.
const shippingCountries = "AC AD AE AF AG AI AL AM AO AQ AR AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
	"CA CD CF CG CH CI CK CL CM CN CO CR CV CW CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FO FR GA GB GD GE GF GG GH GI GL GM GN " +
	"GP GQ GR GS GT GU GW GY HK HN HR HT HU ID IE IL IM IN IO IQ IS IT JE JM JO JP KE KG KH KI KM KN KR KW KY KZ LA LB LC LI LK LR LS LT LU " +
	"LV LY MA MC MD ME MF MG MK ML MM MN MO MQ MR MS MT MU MV MW MX MY MZ NA NC NE NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR " +
	"PS PT PY QA RE RO RS RU RW SA SB SC SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SZ TA TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ " +
	"UA UG US UY UZ VA VC VE VG VN VU WF WS XK YE YT ZA ZM ZW"

// findWindows are where the session of a creation may stand in Stripe's list, counted
// from its first try, the likely ones first: most are made at once, clocks differ, and
// the key may have been used for a day.
var findWindows = [...]struct{ from, to time.Duration }{
	{-5 * time.Second, 30 * time.Second}, {30 * time.Second, 5 * time.Minute}, {-10 * time.Minute, -5 * time.Second}, {5 * time.Minute, 25 * time.Hour},
}

// findPages is how many pages of 100 sessions a search reads at most. Some shops make
// that many in minutes, and a search that never ends would hold a payment up for good.
const findPages = 6

// FindCheckout looks for the session of an attempt in Stripe's list, for which there is
// no filter by reference.
func (a *Adapter) FindCheckout(ctx context.Context, req providers.CheckoutRequest, opened time.Time) (providers.Result, bool, error) {
	const op = "find_checkout"
	id, left := "", findPages
	for _, w := range findWindows {
		if id != "" || left == 0 {
			break
		}
		created := &stripesdk.RangeQueryParams{GreaterThanOrEqual: max(1, opened.Add(w.from).Unix()), LesserThanOrEqual: opened.Add(w.to).Unix()}
		err := a.eachSession(ctx, op, stripesdk.CheckoutSessionListParams{CreatedRange: created}, func(part []*stripesdk.CheckoutSession) bool {
			left--
			for _, s := range part {
				ours := s.ClientReferenceID == req.PaymentID && s.Metadata[metaPayment] == req.PaymentID && s.Metadata[metaAttempt] == req.AttemptID()
				// Should there ever be two, the one that the customer finished counts.
				if ours && (id == "" || s.Status == stripesdk.CheckoutSessionStatusComplete) {
					id = s.ID
				}
			}
			return left > 0
		})
		if err != nil {
			return providers.Result{}, false, err
		}
	}
	if id == "" {
		return providers.Result{}, false, nil
	}
	s, err := a.snapshot(ctx, op, providers.Ref{Kind: kindSession, ID: id})
	if err != nil {
		return providers.Result{}, false, err
	}
	obs, err := a.observation(op, s, req.N, true)
	if err != nil {
		return providers.Result{}, false, err
	}
	return providers.Result{Ref: id, Observation: obs}, true, nil
}
