package stripeapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/providers/providertest/stripespec"
)

// count is the length of a list answer.
func count(t *testing.T, body []byte) int {
	t.Helper()
	var l struct{ Data []json.RawMessage }
	if err := json.Unmarshal(body, &l); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return len(l.Data)
}

var intentForm = url.Values{"amount": {"500"}, "currency": {"usd"}}

// The same key gives the first answer again, byte for byte, and makes nothing new.
func TestIdempotentReplay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	key := map[string]string{"Idempotency-Key": "k1"}
	first, body, err := r.raw(t.Context(), "POST", "/v1/payment_intents", intentForm, key)
	if err != nil || first.StatusCode != 200 || first.Header.Get("Idempotent-Replayed") != "" {
		t.Fatal(first, err)
	}
	second, again, err := r.raw(t.Context(), "POST", "/v1/payment_intents", intentForm, key)
	if err != nil || second.StatusCode != 200 || second.Header.Get("Idempotent-Replayed") != "true" || string(again) != string(body) {
		t.Fatal(second.Header, err)
	}
	if second.Header.Get("Original-Request") != first.Header.Get("Request-Id") {
		t.Error("the replay does not name its original")
	}
	if _, body, err := r.raw(t.Context(), "GET", "/v1/payment_intents", nil, nil); err != nil || count(t, body) != 1 {
		t.Errorf("%s %v", body, err)
	}
}

// A key belongs to its parameters, its path and its account.
func TestIdempotencyKeyMisuse(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	key := map[string]string{"Idempotency-Key": "k1"}
	if resp, _, err := r.raw(t.Context(), "POST", "/v1/payment_intents", intentForm, key); err != nil || resp.StatusCode != 200 {
		t.Fatal(err)
	}
	p := &stripe.PaymentIntentParams{Amount: stripe.Int64(501), Currency: stripe.String("usd")}
	p.SetIdempotencyKey("k1")
	_, err := r.sc.PaymentIntents.New(p)
	if e := want(t, err, 400, ""); e.Type != stripe.ErrorTypeIdempotency {
		t.Errorf("%+v", e)
	}
	c := &stripe.CustomerParams{}
	c.SetIdempotencyKey("k1")
	_, err = r.sc.Customers.New(c)
	if e := want(t, err, 400, ""); e.Type != stripe.ErrorTypeIdempotency {
		t.Errorf("%+v", e)
	}
	resp, _, err := r.raw(t.Context(), "POST", "/v1/payment_intents", url.Values{"amount": {"501"}, "currency": {"usd"}},
		map[string]string{"Idempotency-Key": "k1", "Stripe-Account": "acct_seller"})
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("another account's key: %v %v", resp.StatusCode, err)
	}
	long := map[string]string{"Idempotency-Key": strings.Repeat("k", 256)}
	if resp, _, err := r.raw(t.Context(), "POST", "/v1/payment_intents", intentForm, long); err != nil || resp.StatusCode != 400 {
		t.Errorf("long key: %v %v", resp.StatusCode, err)
	}
}

// Failed validation is not remembered, so a corrected request may use the key again;
// a decline or a refusal by the object's state is remembered.
func TestIdempotencyRemembersExecutionsOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	key := map[string]string{"Idempotency-Key": "k1"}
	bad := url.Values{"amount": {"0"}, "currency": {"usd"}}
	if resp, _, err := r.raw(t.Context(), "POST", "/v1/payment_intents", bad, key); err != nil || resp.StatusCode != 400 {
		t.Fatal(err)
	}
	if resp, _, err := r.raw(t.Context(), "POST", "/v1/payment_intents", intentForm, key); err != nil || resp.StatusCode != 200 || resp.Header.Get("Idempotent-Replayed") != "" {
		t.Fatal(resp.StatusCode, err)
	}
	declined := url.Values{"amount": {"500"}, "currency": {"usd"}, "confirm": {"true"}, "payment_method": {"pm_card_chargeDeclined"}}
	key = map[string]string{"Idempotency-Key": "k2"}
	for i, replayed := range []string{"", "true"} {
		resp, _, err := r.raw(t.Context(), "POST", "/v1/payment_intents", declined, key)
		if err != nil || resp.StatusCode != 402 || resp.Header.Get("Idempotent-Replayed") != replayed {
			t.Errorf("%d: %v %v", i, resp.StatusCode, err)
		}
	}
	pi := r.paid("4242424242424242", nil)
	key = map[string]string{"Idempotency-Key": "k3"}
	for i, replayed := range []string{"", "true"} { // refused by state, not by validation
		resp, _, err := r.raw(t.Context(), "POST", "/v1/payment_intents/"+pi.ID+"/capture", nil, key)
		if err != nil || resp.StatusCode != 400 || resp.Header.Get("Idempotent-Replayed") != replayed {
			t.Errorf("%d: %v %v", i, resp.StatusCode, err)
		}
	}
}

// A key is forgotten after 24 hours of the virtual clock, not before: then the same
// request makes a second object, which is why blind repeats are dangerous.
func TestIdempotencyKeysDieAfterADay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	key := map[string]string{"Idempotency-Key": "k1"}
	for _, step := range []struct {
		advance  time.Duration
		replayed string
	}{{0, ""}, {24 * time.Hour, "true"}, {time.Second, ""}} {
		r.advance(step.advance)
		resp, _, err := r.raw(t.Context(), "POST", "/v1/payment_intents", intentForm, key)
		if err != nil || resp.StatusCode != 200 || resp.Header.Get("Idempotent-Replayed") != step.replayed {
			t.Errorf("%+v: %v %v", step, resp.Header, err)
		}
	}
}

// Any sk_test_ key works, by bearer or basic authentication; everything else is 401
// in Stripe's error shape.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for header, status := range map[string]int{
		"Bearer sk_test_x": 200, "Basic c2tfdGVzdF94Og==": 200, "Bearer rk_test_x": 200,
		"Bearer sk_live_x": 401, "Bearer sk_test_": 401, "Bearer ": 401, "": 401, "Token sk_test_x": 401,
	} {
		resp, body, err := r.raw(t.Context(), "GET", "/v1/account", nil, map[string]string{"Authorization": header, stripespec.SkipRequestHeader: "1"})
		if err != nil || resp.StatusCode != status {
			t.Errorf("%q: %v %v", header, resp.StatusCode, err)
		}
		if status == 401 && !strings.Contains(string(body), `"invalid_request_error"`) {
			t.Errorf("%q: %s", header, body)
		}
	}
	_, err := r.client("sk_live_123").CheckoutSessions.Get("cs_test_x", nil)
	want(t, err, 401, "")
}

// Accounts don't see each other's objects: neither connected accounts, nor keys that
// name an account of their own.
func TestAccountsAreSeparate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := sessionParams(nil)
	p.SetStripeAccount("acct_seller")
	s, err := r.sc.CheckoutSessions.New(p)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.sc.CheckoutSessions.Get(s.ID, nil)
	want(t, err, 404, "resource_missing")
	g := &stripe.CheckoutSessionParams{}
	g.SetStripeAccount("acct_seller")
	if _, err := r.sc.CheckoutSessions.Get(s.ID, g); err != nil {
		t.Error(err)
	}
	own := r.session(nil)
	_, err = r.client("sk_test_acct_other").CheckoutSessions.Get(own.ID, nil)
	want(t, err, 404, "resource_missing")
	if _, err := r.client("sk_test_zzz").CheckoutSessions.Get(own.ID, nil); err != nil {
		t.Errorf("any plain test key is the same account: %v", err)
	}
	r.pay(s.ID, "4242424242424242")
	r.pay(own.ID, "4242424242424242")
	rows := r.ledger("capture")
	if len(rows) != 2 || rows[0].Account != "acct_seller" || rows[1].Account == "acct_seller" {
		t.Errorf("%+v", rows)
	}
}

// The answer's Date is the virtual clock, because adapters take it as the time at
// which an object was read.
func TestDateFollowsTheVirtualClock(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.advance(36 * time.Hour)
	for path, mark := range map[string]map[string]string{"/v1/account": nil, "/v1/charges/none": nil, "/v1/nowhere": wrong} {
		resp, _, err := r.raw(t.Context(), "GET", path, nil, mark)
		if err != nil {
			t.Fatal(err)
		}
		at, err := http.ParseTime(resp.Header.Get("Date"))
		if err != nil || !at.Equal(start.Add(36*time.Hour)) || resp.Header.Get("Request-Id") == "" {
			t.Errorf("%s: %v %v", path, resp.Header, err)
		}
	}
}

// What Stripe refuses is refused, with the parameter named.
func TestValidation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, tc := range map[string]struct {
		change func(*stripe.CheckoutSessionParams)
		param  string
	}{
		"currency": {func(p *stripe.CheckoutSessionParams) { p.LineItems[0].PriceData.Currency = stripe.String("zzz") }, "line_items[0][price_data][currency]"},
		"mixed":    {func(p *stripe.CheckoutSessionParams) { p.LineItems[1].PriceData.Currency = stripe.String("eur") }, "line_items[1][price_data][currency]"},
		"negative": {func(p *stripe.CheckoutSessionParams) { p.LineItems[0].PriceData.UnitAmount = stripe.Int64(-1) }, "line_items[0][price_data][unit_amount]"},
		"kwd digits": {func(p *stripe.CheckoutSessionParams) {
			p.LineItems = p.LineItems[:1]
			p.LineItems[0].PriceData.Currency, p.LineItems[0].PriceData.UnitAmount = stripe.String("kwd"), stripe.Int64(5124)
		}, "line_items[0][price_data][unit_amount]"},
		"quantity":  {func(p *stripe.CheckoutSessionParams) { p.LineItems[0].Quantity = nil }, "line_items[0][quantity]"},
		"no items":  {func(p *stripe.CheckoutSessionParams) { p.LineItems = nil }, "line_items"},
		"no mode":   {func(p *stripe.CheckoutSessionParams) { p.Mode = nil }, "mode"},
		"setup":     {func(p *stripe.CheckoutSessionParams) { p.Mode = stripe.String("setup") }, "mode"},
		"success":   {func(p *stripe.CheckoutSessionParams) { p.SuccessURL = nil }, "success_url"},
		"bad url":   {func(p *stripe.CheckoutSessionParams) { p.CancelURL = stripe.String("nowhere") }, "cancel_url"},
		"reference": {func(p *stripe.CheckoutSessionParams) { p.ClientReferenceID = stripe.String(strings.Repeat("r", 201)) }, "client_reference_id"},
		"capture":   {func(p *stripe.CheckoutSessionParams) { p.PaymentIntentData.CaptureMethod = stripe.String("later") }, "payment_intent_data[capture_method]"},
		"fee":       {func(p *stripe.CheckoutSessionParams) { p.PaymentIntentData.ApplicationFeeAmount = stripe.Int64(1) }, "payment_intent_data[application_fee_amount]"},
		"metadata":  {func(p *stripe.CheckoutSessionParams) { p.Metadata["long"] = strings.Repeat("v", 501) }, "metadata[long]"},
		"keys": {func(p *stripe.CheckoutSessionParams) {
			for i := range 51 {
				p.PaymentIntentData.Metadata[fmt.Sprint("k", i)] = "v"
			}
		}, "payment_intent_data[metadata]"},
		"customer": {func(p *stripe.CheckoutSessionParams) { p.Customer = stripe.String("cus_none") }, "customer"},
	} {
		p := sessionParams(tc.change)
		p.Headers = http.Header{stripespec.SkipRequestHeader: {"1"}}
		_, err := r.sc.CheckoutSessions.New(p)
		var e *stripe.Error
		if !errors.As(err, &e) || e.HTTPStatusCode != 400 || e.Param != tc.param || e.Type != "invalid_request_error" {
			t.Errorf("%s: %v, want param %s", name, err, tc.param)
		}
	}
	_, err := r.sc.PaymentIntents.New(&stripe.PaymentIntentParams{Amount: stripe.Int64(0), Currency: stripe.String("usd")})
	want(t, err, 400, "parameter_invalid_integer")
	_, err = r.sc.Charges.Get("ch_none", nil)
	want(t, err, 404, "resource_missing")
	bad := &stripe.CheckoutSessionParams{}
	bad.AddExpand("nothing.here")
	_, err = r.sc.CheckoutSessions.Get(r.session(nil).ID, bad)
	want(t, err, 400, "")
	if resp, body, err := r.raw(t.Context(), "DELETE", "/v1/checkout/sessions", nil, wrong); err != nil || resp.StatusCode != 404 {
		t.Errorf("unknown route: %s %v", body, err)
	}
}

// Lists page newest first without gaps or repeats, filter, and expand their rows.
func TestLists(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var made []string
	for range 7 {
		s := r.session(nil)
		made = append([]string{s.ID}, made...)
		r.advance(time.Minute)
	}
	r.pay(made[2], "4242424242424242")
	var got []string
	p := &stripe.CheckoutSessionListParams{}
	p.Limit = stripe.Int64(3)
	it := r.sc.CheckoutSessions.List(p)
	for it.Next() {
		got = append(got, it.CheckoutSession().ID)
	}
	if diff := cmp.Diff(made, got); it.Err() != nil || diff != "" {
		t.Error(it.Err(), diff)
	}
	for query, n := range map[string]int{
		"status=open": 6, "status=complete": 1, "created[gte]=" + fmt.Sprint(start.Add(2*time.Minute).Unix()): 5,
		"created[gt]=" + fmt.Sprint(start.Add(2*time.Minute).Unix()): 4, "created[lt]=" + fmt.Sprint(start.Add(2*time.Minute).Unix()): 2,
		"created[lte]=" + fmt.Sprint(start.Add(2*time.Minute).Unix()): 3, "limit=2": 2, "subscription=sub_x": 0,
		"starting_after=" + made[5]: 1, "ending_before=" + made[3] + "&limit=2": 2,
	} {
		resp, body, err := r.raw(t.Context(), "GET", "/v1/checkout/sessions?"+query, nil, nil)
		if err != nil || resp.StatusCode != 200 || count(t, body) != n {
			t.Errorf("%s: %d rows, want %d (%v)", query, count(t, body), n, err)
		}
	}
	for _, query := range []string{"limit=0", "limit=101", "limit=x", "starting_after=cs_none", "created[gte]=x"} {
		if resp, _, err := r.raw(t.Context(), "GET", "/v1/checkout/sessions?"+query, nil, wrong); err != nil || resp.StatusCode != 400 {
			t.Errorf("%s: %d %v", query, resp.StatusCode, err)
		}
	}
	e := &stripe.CheckoutSessionListParams{Status: stripe.String("complete")}
	e.AddExpand("data.payment_intent.latest_charge")
	e.AddExpand("data.line_items")
	it = r.sc.CheckoutSessions.List(e)
	if !it.Next() || it.CheckoutSession().PaymentIntent.LatestCharge.AmountCaptured != 2000 || len(it.CheckoutSession().LineItems.Data) != 2 {
		t.Errorf("expanded rows: %+v %v", it.Current(), it.Err())
	}
	items := r.sc.CheckoutSessions.ListLineItems(&stripe.CheckoutSessionListLineItemsParams{Session: &made[2]})
	if !items.Next() || items.LineItem().Description != "Tea" || items.LineItem().Price.UnitAmount != 500 {
		t.Errorf("%+v %v", items.Current(), items.Err())
	}
}

// Customers are stored, found again, and belong to their payments.
func TestCustomers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c, err := r.sc.Customers.New(&stripe.CustomerParams{Email: stripe.String("a@example.com"), Name: stripe.String("Ann")})
	if err != nil || c.Email != "a@example.com" {
		t.Fatal(c, err)
	}
	if c, err = r.sc.Customers.Update(c.ID, &stripe.CustomerParams{Name: stripe.String("Anna")}); err != nil || c.Name != "Anna" || c.Email != "a@example.com" {
		t.Fatal(c, err)
	}
	it := r.sc.Customers.List(&stripe.CustomerListParams{Email: stripe.String("a@example.com")})
	if !it.Next() || it.Customer().ID != c.ID {
		t.Error("not found by e-mail", it.Err())
	}
	pi := r.paid("4242424242424242", func(p *stripe.CheckoutSessionParams) {
		p.Customer = &c.ID
		p.PaymentIntentData.SetupFutureUsage = stripe.String("off_session")
	})
	if pi.Customer.ID != c.ID {
		t.Errorf("%+v", pi.Customer)
	}
	saved := r.sc.Customers.ListPaymentMethods(&stripe.CustomerListPaymentMethodsParams{Customer: &c.ID})
	if !saved.Next() || saved.PaymentMethod().Card.Last4 != "4242" {
		t.Fatal("card not saved", saved.Err())
	}
	later, err := r.sc.PaymentIntents.New(&stripe.PaymentIntentParams{
		Amount: stripe.Int64(100), Currency: stripe.String("usd"), Customer: &c.ID,
		PaymentMethod: &saved.PaymentMethod().ID, Confirm: stripe.Bool(true), OffSession: stripe.Bool(true),
	})
	if err != nil || later.Status != "succeeded" {
		t.Errorf("saved card: %+v %v", later, err)
	}
}
