package paypal

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

func checkoutRequest() providers.CheckoutRequest {
	return providers.CheckoutRequest{
		PaymentID: payID, N: 2, Amount: payment.Money{Minor: 1999, Currency: "usd"},
		ReturnURL: "https://pay.example.com/v1/return/x?t=tok&outcome=success", CancelURL: "https://pay.example.com/v1/return/x?t=tok&outcome=cancel",
		ExpiresAt: startWall.Add(2 * time.Hour), Reference: "order-1", Description: "A blue chair", Locale: "de_at",
		StatementDescriptor: "CHAIRS* Ltd/42", CustomerEmail: "ann@example.com", Metadata: map[string]string{"a": "b"},
		LineItems: []providers.LineItem{{Name: "Chair", Quantity: 2, UnitAmount: 950, SKU: "c1"}, {Name: "Screw", Quantity: 1, UnitAmount: 99}},
	}
}

// TestOrderRequest guards what PayPal is told: our ids where a look-up finds them, the
// exact amount, no shipping, pay now, immediate payment.
func TestOrderRequest(t *testing.T) {
	t.Parallel()
	a := newStub(t).adapter(func(o *Options) { o.BrandName = "Blue Chairs" })
	body, err := a.orderRequest("create_checkout", checkoutRequest())
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(body, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "intent": "CAPTURE",
 "purchase_units": [
  {
   "reference_id": "pay_aaaabbbbccccddddeeeeffffgg-2",
   "custom_id": "pay_aaaabbbbccccddddeeeeffffgg",
   "invoice_id": "pay_aaaabbbbccccddddeeeeffffgg-2",
   "description": "A blue chair",
   "soft_descriptor": "CHAIRS* Ltd42",
   "amount": {
    "currency_code": "USD",
    "value": "19.99",
    "breakdown": {
     "item_total": {
      "currency_code": "USD",
      "value": "19.99"
     }
    }
   },
   "items": [
    {
     "name": "Chair",
     "quantity": "2",
     "unit_amount": {
      "currency_code": "USD",
      "value": "9.50"
     },
     "sku": "c1"
    },
    {
     "name": "Screw",
     "quantity": "1",
     "unit_amount": {
      "currency_code": "USD",
      "value": "0.99"
     }
    }
   ]
  }
 ],
 "payment_source": {
  "paypal": {
   "email_address": "ann@example.com",
   "experience_context": {
    "payment_method_preference": "IMMEDIATE_PAYMENT_REQUIRED",
    "brand_name": "Blue Chairs",
    "locale": "de-AT",
    "landing_page": "LOGIN",
    "shipping_preference": "NO_SHIPPING",
    "user_action": "PAY_NOW",
    "return_url": "https://pay.example.com/v1/return/x?t=tok\u0026outcome=success",
    "cancel_url": "https://pay.example.com/v1/return/x?t=tok\u0026outcome=cancel"
   }
  }
 }
}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

// TestOrderRequestLimits: texts too long, odd or half known never stop a payment, and
// every variant passes PayPal's own documents (the lab's middleware checks).
func TestOrderRequestLimits(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	long := strings.Repeat("ü", 300)
	for name, change := range map[string]func(*providers.CheckoutRequest){
		"bare": func(r *providers.CheckoutRequest) {
			*r = providers.CheckoutRequest{PaymentID: r.PaymentID, N: 1, Amount: r.Amount, ReturnURL: r.ReturnURL}
		},
		"manual": func(r *providers.CheckoutRequest) { r.Manual = true },
		"long texts": func(r *providers.CheckoutRequest) {
			r.Description, r.BrandName, r.StatementDescriptor = long, long, strings.Repeat("A", 90)
		},
		"lines and tabs":  func(r *providers.CheckoutRequest) { r.Description, r.BrandName = "a\nb\tc\x00", "\n" },
		"broken UTF-8":    func(r *providers.CheckoutRequest) { r.Description = "a\xff\xfeb" },
		"odd email":       func(r *providers.CheckoutRequest) { r.CustomerEmail = `"quoted @ local"@example.com` },
		"no email":        func(r *providers.CheckoutRequest) { r.CustomerEmail = "not an address" },
		"odd locale":      func(r *providers.CheckoutRequest) { r.Locale = "x-klingon" },
		"long locale":     func(r *providers.CheckoutRequest) { r.Locale = "zh_hans_cn" },
		"long items":      func(r *providers.CheckoutRequest) { r.LineItems[0].Name, r.LineItems[0].SKU = long, long },
		"nameless item":   func(r *providers.CheckoutRequest) { r.LineItems[0].Name = " " },
		"items off":       func(r *providers.CheckoutRequest) { r.LineItems[0].Quantity = 3 },
		"items overflow":  func(r *providers.CheckoutRequest) { r.LineItems[0].Quantity, r.LineItems[0].UnitAmount = 9e9, 9e17 },
		"negative item":   func(r *providers.CheckoutRequest) { r.LineItems[1].UnitAmount = -1 },
		"shipping":        func(r *providers.CheckoutRequest) { r.Shipping = true },
		"promotion codes": func(r *providers.CheckoutRequest) { r.AllowPromotionCodes = true },
		"whole forints":   func(r *providers.CheckoutRequest) { r.Amount = payment.Money{Minor: 50000, Currency: "huf"} },
		"yen":             func(r *providers.CheckoutRequest) { r.Amount = payment.Money{Minor: 500, Currency: "jpy"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := checkoutRequest()
			req.PaymentID = payment.DeriveID("pay", name)
			change(&req)
			res, err := l.adapter.CreateCheckout(t.Context(), req, payment.DeriveID("tf", name))
			if err != nil {
				t.Fatal(err)
			}
			fact := res.Observation.Facts.Attempts[0]
			if fact.Total != req.Amount || fact.State != payment.AttemptOpen || fact.N != req.N || !res.Observation.Complete || fact.Refs.Order != res.Ref {
				t.Errorf("fact %+v", fact)
			}
			if want := fact.Created.Add(3 * time.Hour); !fact.ExpiresAt.Equal(want) {
				t.Errorf("expires %v, want %v", fact.ExpiresAt, want)
			}
		})
	}
}

// TestOrderRequestRefused: what PayPal can't do is refused before it is asked.
func TestOrderRequestRefused(t *testing.T) {
	t.Parallel()
	s := newStub(t)
	a := s.adapter()
	for name, c := range map[string]struct {
		change func(*providers.CheckoutRequest)
		field  string
	}{
		"half a forint": {func(r *providers.CheckoutRequest) { r.Amount = payment.Money{Minor: 50050, Currency: "huf"} }, "/amount"},
		"dinar":         {func(r *providers.CheckoutRequest) { r.Amount.Currency = "kwd" }, "/amount"},
		"nothing":       {func(r *providers.CheckoutRequest) { r.Amount.Minor = 0 }, "/amount"},
		"tax":           {func(r *providers.CheckoutRequest) { r.AutomaticTax = true }, "/automatic_tax"},
	} {
		req := checkoutRequest()
		c.change(&req)
		_, err := a.CreateCheckout(t.Context(), req, "key")
		if e := wantError(t, err, providers.Refused, ""); e.Field != c.field {
			t.Errorf("%s: field %q, want %q", name, e.Field, c.field)
		}
	}
	if _, err := a.CreateCheckout(t.Context(), checkoutRequest(), strings.Repeat("k", 39)); providers.ClassOf(err) != providers.Refused {
		t.Errorf("a key of 39 characters: %v", err)
	}
	if len(s.seen) > 0 {
		t.Errorf("calls were sent: %v", s.seen)
	}
}

// TestOrderPageUnsafe: a customer is never sent to an address that is none.
func TestOrderPageUnsafe(t *testing.T) {
	t.Parallel()
	for _, href := range []string{"javascript:alert(1)", "/relative", "ftp://x/y", "https://"} {
		body := strings.Replace(orderJSON("PAYER_ACTION_REQUIRED", "CAPTURE", ""), "https://www.paypal.com/checkoutnow?token="+orderID, href, 1)
		s := newStub(t).on("POST /v2/checkout/orders", 201, body)
		_, err := s.adapter().CreateCheckout(t.Context(), checkoutRequest(), "key")
		wantError(t, err, providers.Unknown, "unreadable_answer")
	}
}

// TestLocale maps tags the way PayPal's pattern wants them.
func TestLocale(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "en": "en", "EN-us": "en-US", "de_AT": "de-AT", "zh-hans-cn": "zh-Hans-CN", "es-419": "es-419",
		"english": "", "en-US-posix": "", "e": "", "en--US": "en-US", "../": "",
	} {
		if got := locale(in); got != want {
			t.Errorf("locale(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestOptions: an account that can't work is refused at start.
func TestOptions(t *testing.T) {
	t.Parallel()
	good := Options{Account: "a", Mode: payment.ModeLive, ClientID: "i", ClientSecret: "s", Now: func() time.Time { return startWall }}
	if a, err := New(good); err != nil || a.api.base != liveBase || a.pages != "https://www.paypal.com" {
		t.Fatalf("%v", err)
	}
	for name, change := range map[string]func(*Options){
		"no account":          func(o *Options) { o.Account = "" },
		"no client":           func(o *Options) { o.ClientID = "" },
		"no secret":           func(o *Options) { o.ClientSecret = "" },
		"no clock":            func(o *Options) { o.Now = nil },
		"no mode":             func(o *Options) { o.Mode = "" },
		"live over http":      func(o *Options) { o.APIBase = "http://127.0.0.1:1" },
		"live with mocks":     func(o *Options) { o.MockResponse = func(string) string { return "" } },
		"live with hosts":     func(o *Options) { o.WebhookCertHosts = []string{"127.0.0.1:1"} },
		"http far away":       func(o *Options) { o.Mode, o.APIBase = payment.ModeTest, "http://example.com" },
		"base with user":      func(o *Options) { o.APIBase = "https://u:p@example.com" },
		"base with a query":   func(o *Options) { o.APIBase = "https://example.com?x=1" },
		"not a base":          func(o *Options) { o.APIBase = "example.com" },
		"bad webhook id":      func(o *Options) { o.WebhookIDs = []string{"a|b"} },
		"an empty webhook id": func(o *Options) { o.WebhookIDs = []string{""} },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
