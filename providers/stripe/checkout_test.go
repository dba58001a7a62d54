package stripe

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/providertest"
)

func checkoutRequest() providers.CheckoutRequest {
	return providers.CheckoutRequest{
		PaymentID: "pay_abc", N: 2, Amount: payment.Money{Minor: 1999, Currency: "usd"},
		ReturnURL: "https://pay.example.com/v1/return/pay_abc?t=a%2Bb&x={CHECKOUT_SESSION_ID}", CancelURL: "https://pay.example.com/c?t=1",
		ExpiresAt: startWall.Add(time.Hour), Reference: "order-1",
	}
}

// sent is the form that a creation sends.
func sent(t *testing.T, req providers.CheckoutRequest) (url.Values, error) {
	t.Helper()
	var got url.Values
	a := against(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if got, err = url.ParseQuery(string(body)); err != nil {
			t.Error(err)
		}
		if r.Header.Get("Idempotency-Key") != "key" || r.Header.Get("Stripe-Version") != "2023-10-16" || r.Header.Get("Authorization") != "Bearer "+testKey {
			t.Errorf("headers: %v", r.Header)
		}
		if r.Header.Get("X-Stripe-Client-Telemetry") != "" {
			t.Error("telemetry is sent")
		}
		w.Header().Set("Date", startWall.Format(http.TimeFormat))
		fmt.Fprintf(w, `{"id":"cs_1","object":"checkout.session","status":"open","url":"https://c/1","created":%d,"currency":"usd","amount_total":1999}`, startWall.Unix())
	})
	_, err := a.CreateCheckout(t.Context(), req, "key")
	return got, err
}

// TestSessionParams: the plain session, to the last parameter.
func TestSessionParams(t *testing.T) {
	t.Parallel()
	got, err := sent(t, checkoutRequest())
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"mode": {"payment"}, "client_reference_id": {"pay_abc"}, "locale": {"auto"}, "expand[0]": {"payment_intent"},
		"success_url": {checkoutRequest().ReturnURL}, "cancel_url": {checkoutRequest().CancelURL},
		"expires_at":                                    {fmt.Sprint(startWall.Add(time.Hour).Unix())},
		"line_items[0][quantity]":                       {"1"},
		"line_items[0][price_data][currency]":           {"usd"},
		"line_items[0][price_data][unit_amount]":        {"1999"},
		"line_items[0][price_data][product_data][name]": {"order-1"},
		"metadata[trifecta_payment]":                    {"pay_abc"}, "metadata[trifecta_attempt]": {"pay_abc-2"},
		"payment_intent_data[capture_method]":             {"automatic"},
		"payment_intent_data[metadata][trifecta_payment]": {"pay_abc"}, "payment_intent_data[metadata][trifecta_attempt]": {"pay_abc-2"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSessionOptions: everything an app can ask for reaches Stripe.
func TestSessionOptions(t *testing.T) {
	t.Parallel()
	req := checkoutRequest()
	req.Manual, req.AllowPromotionCodes, req.AutomaticTax, req.Shipping = true, true, true, true
	req.Description, req.StatementDescriptor, req.CustomerEmail, req.Locale = "Two chairs", "CHAIRS", "b@example.com", "de_AT"
	req.LineItems = []providers.LineItem{{Name: "chair", Quantity: 2, UnitAmount: 500, SKU: "c-1"}, {Name: "table", Quantity: 1, UnitAmount: 999}}
	req.Metadata = map[string]string{"a": "1", "trifecta_payment": "pay_forged", "empty": "", "b[c]": "2", strings.Repeat("k", 41): "3", "long": strings.Repeat("v", 501)}
	got, err := sent(t, req)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"payment_intent_data[capture_method]": "manual", "allow_promotion_codes": "true", "automatic_tax[enabled]": "true",
		"payment_intent_data[description]": "Two chairs", "payment_intent_data[statement_descriptor_suffix]": "CHAIRS",
		"customer_email": "b@example.com", "locale": "de", "line_items[0][price_data][unit_amount]": "500", "line_items[0][quantity]": "2",
		"line_items[0][price_data][product_data][metadata][sku]": "c-1", "line_items[1][price_data][unit_amount]": "999",
		"line_items[1][price_data][tax_behavior]": "exclusive", "metadata[a]": "1", "metadata[trifecta_payment]": "pay_abc",
		"payment_intent_data[metadata][a]": "1", "shipping_address_collection[allowed_countries][0]": "AC",
	} {
		if got.Get(key) != want {
			t.Errorf("%s is %q, want %q", key, got.Get(key), want)
		}
	}
	for key := range got {
		if strings.Contains(key, "empty") || strings.Contains(key, "kkkk") || strings.Contains(key, "long") || strings.Contains(key, "b[c") {
			t.Errorf("%s does not fit and was sent", key)
		}
	}
}

// TestSessionsAreRepeatable: the same request is the same call, whatever the order
// of its maps; Stripe would refuse another one under the same key.
func TestSessionsAreRepeatable(t *testing.T) {
	t.Parallel()
	req := checkoutRequest()
	req.Metadata = map[string]string{}
	for i := range 60 {
		req.Metadata[fmt.Sprintf("key%02d", i)] = "v"
	}
	first, err := sent(t, req)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		again, err := sent(t, req)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatalf("(-first +again):\n%s", diff)
		}
	}
	count := 0
	for key := range first {
		if strings.HasPrefix(key, "metadata[") {
			count++
		}
	}
	if count != 50 {
		t.Errorf("%d metadata keys, Stripe takes 50", count)
	}
}

// TestUnsendable: a request that can't be exact never leaves.
func TestUnsendable(t *testing.T) {
	t.Parallel()
	lines := func(items ...providers.LineItem) func(*providers.CheckoutRequest) {
		return func(r *providers.CheckoutRequest) { r.LineItems = items }
	}
	for name, c := range map[string]struct {
		change func(*providers.CheckoutRequest)
		field  string
	}{
		"zero":              {func(r *providers.CheckoutRequest) { r.Amount.Minor = 0 }, "/amount"},
		"negative":          {func(r *providers.CheckoutRequest) { r.Amount.Minor = -1 }, "/amount"},
		"three decimals":    {func(r *providers.CheckoutRequest) { r.Amount.Currency = "kwd" }, "/amount"},
		"lines below":       {lines(providers.LineItem{Name: "x", Quantity: 1, UnitAmount: 1998}), "/line_items"},
		"lines above":       {lines(providers.LineItem{Name: "x", Quantity: 2, UnitAmount: 1000}), "/line_items"},
		"no quantity":       {lines(providers.LineItem{Name: "x", Quantity: 0, UnitAmount: 1999}), "/line_items"},
		"negative quantity": {lines(providers.LineItem{Name: "x", Quantity: -1, UnitAmount: -1999}), "/line_items"},
		"overflow":          {lines(providers.LineItem{Name: "x", Quantity: 1 << 62, UnitAmount: 4}), "/line_items"},
	} {
		req := checkoutRequest()
		c.change(&req)
		got, err := sent(t, req)
		if e := wantClass(t, err, providers.Refused); e.Field != c.field || got != nil {
			t.Errorf("%s: field %q, sent %v", name, e.Field, got)
		}
	}
}

// TestLocales: the page speaks the customer's language where it can.
func TestLocales(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"": "auto", "en": "en", "en-GB": "en-GB", "en_us": "en", "EN-gb": "en-GB", "pt-br": "pt-BR", "pt-PT": "pt", "no": "nb",
		"nn-NO": "nb", "zh-Hant-TW": "zh", "es-419": "es-419", "fil-PH": "fil", "xx": "auto", "ar": "auto", "e": "auto",
	} {
		if got := locale(tag); got != want {
			t.Errorf("%q gives %q, want %q", tag, got, want)
		}
	}
}

// gate lets a test fail chosen calls of the adapter on their way to the sandbox.
type gate struct {
	mu    sync.Mutex
	fails func(r *http.Request) bool
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	fails := g.fails
	g.mu.Unlock()
	if fails != nil && fails(r) {
		return &http.Response{
			StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}, Request: r,
			Body: io.NopCloser(strings.NewReader(`{"error":{"type":"invalid_request_error","code":"rate_limit"}}`)),
		}, nil
	}
	return http.DefaultTransport.RoundTrip(r)
}

func (g *gate) set(fails func(r *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fails = fails
}

// gated is a lab whose adapter goes through a gate.
func gated(t *testing.T) (*lab, *gate) {
	t.Helper()
	l, g := newLab(t), &gate{}
	a, err := New(Options{Account: "stripe-test", Mode: payment.ModeTest, SecretKey: testKey, APIBase: l.server.URL, HTTPClient: &http.Client{Transport: g}})
	if err != nil {
		t.Fatal(err)
	}
	l.adapter = a
	return l, g
}

// begin creates a checkout and gives its attempt.
func (l *lab) begin(t *testing.T, manual bool) providers.Attempt {
	t.Helper()
	req := checkoutRequest()
	req.Manual = manual
	res, err := l.adapter.CreateCheckout(t.Context(), req, "create")
	if err != nil {
		t.Fatal(err)
	}
	return providers.Attempt{PaymentID: req.PaymentID, N: req.N, Root: providers.Ref{Kind: kindSession, ID: res.Ref}, Manual: manual, Asked: req.Amount}
}

func (l *lab) fetched(t *testing.T, at providers.Attempt) payment.Facts {
	t.Helper()
	obs, err := l.adapter.Fetch(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	return obs.Facts
}

func reads(r *http.Request) bool { return r.Method == http.MethodGet }

// TestReadAfterWriteFails: a change that took effect is reported as such even where
// the read behind it fails; a fragment tells what is certain (I5).
func TestReadAfterWriteFails(t *testing.T) {
	t.Parallel()
	t.Run("capture", func(t *testing.T) {
		t.Parallel()
		l, g := gated(t)
		at := l.begin(t, true)
		if err := l.pay(t, at.Root, providertest.PayNow); err != nil {
			t.Fatal(err)
		}
		auth := l.fetched(t, at).Authorizations[0]
		g.set(reads)
		res, err := l.adapter.Capture(t.Context(), providers.CaptureRequest{Attempt: at, Target: auth.Key.ID, Amount: at.Asked, Final: true}, "capture")
		if err != nil || res.Observation.Complete || len(res.Observation.Facts.Captures) != 1 || res.Observation.Facts.Captures[0].Key.ID != res.Ref {
			t.Fatalf("%+v, %v", res, err)
		}
		g.set(nil)
		if res2, err := l.adapter.Refund(t.Context(), providers.RefundRequest{Attempt: at, Capture: res.Ref, Amount: at.Asked, Operation: "rfd_1"}, "r"); err != nil || !res2.Observation.Complete {
			t.Fatalf("%+v, %v", res2, err)
		}
	})
	t.Run("refund", func(t *testing.T) {
		t.Parallel()
		l, g := gated(t)
		at := l.begin(t, false)
		if err := l.pay(t, at.Root, providertest.PayNow); err != nil {
			t.Fatal(err)
		}
		charge := l.fetched(t, at).Captures[0].Key.ID
		g.set(reads)
		res, err := l.adapter.Refund(t.Context(), providers.RefundRequest{Attempt: at, Capture: charge, Amount: at.Asked, Operation: "rfd_1"}, "r")
		if err != nil || res.Observation.Complete || len(res.Observation.Facts.Refunds) != 1 {
			t.Fatalf("%+v, %v", res, err)
		}
		if r := res.Observation.Facts.Refunds[0]; r.Key.ID != res.Ref || r.Operation != "rfd_1" || r.Capture != charge || r.State != payment.RefundSucceeded {
			t.Errorf("refund %+v", r)
		}
	})
	t.Run("void", func(t *testing.T) {
		t.Parallel()
		l, g := gated(t)
		at := l.begin(t, true)
		if err := l.pay(t, at.Root, providertest.PayNow); err != nil {
			t.Fatal(err)
		}
		auth := l.fetched(t, at).Authorizations[0]
		g.set(reads)
		res, err := l.adapter.Void(t.Context(), providers.CaptureRequest{Attempt: at, Target: auth.Key.ID}, "void")
		if err != nil || len(res.Observation.Facts.Authorizations) != 1 || res.Observation.Facts.Authorizations[0].State != payment.AuthVoided {
			t.Fatalf("%+v, %v", res, err)
		}
	})
	t.Run("close", func(t *testing.T) {
		t.Parallel()
		l, g := gated(t)
		at := l.begin(t, false)
		seen := 0
		g.set(func(r *http.Request) bool { // the second look fails, after the session was expired
			if reads(r) {
				seen++
			}
			return reads(r) && seen > 1
		})
		_, err := l.adapter.CloseCheckout(t.Context(), at, "close")
		wantClass(t, err, providers.Unknown) // "not done" would be a lie
		g.set(nil)
		if got := l.fetched(t, at).Attempts[0].State; got != payment.AttemptExpired {
			t.Errorf("state %s", got)
		}
	})
}

// TestCloseLosesTheRace: the customer pays between our look and our call.
func TestCloseLosesTheRace(t *testing.T) {
	t.Parallel()
	l, g := gated(t)
	at := l.begin(t, false)
	g.set(func(r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/expire") {
			if err := l.pay(t, at.Root, providertest.PayNow); err != nil {
				t.Error(err)
			}
		}
		return false
	})
	res, err := l.adapter.CloseCheckout(t.Context(), at, "close")
	if err != nil || res.Observation.Facts.Attempts[0].State != payment.AttemptComplete || len(res.Observation.Facts.Captures) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
}

// TestStoredAnswerIsOld: the answer to a repetition says what was true at first; it
// must not pass for news (I6).
func TestStoredAnswerIsOld(t *testing.T) {
	t.Parallel()
	l, g := gated(t)
	at := l.begin(t, false)
	if err := l.pay(t, at.Root, providertest.PayNow); err != nil {
		t.Fatal(err)
	}
	l.world.Advance(t.Context(), time.Minute)
	paid := l.fetched(t, at)
	req := checkoutRequest()
	res, err := l.adapter.CreateCheckout(t.Context(), req, "create")
	if err != nil || res.Observation.Facts.Attempts[0].State != payment.AttemptComplete {
		t.Fatalf("%+v, %v", res, err)
	}
	g.set(reads)
	l.world.Advance(t.Context(), time.Minute)
	if res, err = l.adapter.CreateCheckout(t.Context(), req, "create"); err != nil {
		t.Fatal(err)
	}
	if got, _ := paid.Observe(res.Observation).AttemptFact(req.N); got.State != payment.AttemptComplete {
		t.Errorf("a stored answer put the attempt back to %s", got.State)
	}
}

// TestOldAnswerWithoutHeader: an answer that is older than its Date is an old one,
// also where no header says that it was stored.
func TestOldAnswerWithoutHeader(t *testing.T) {
	t.Parallel()
	a := against(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", startWall.Add(time.Hour).Format(http.TimeFormat))
		status := "open"
		if reads(r) {
			status = "expired"
		}
		fmt.Fprintf(w, `{"id":"cs_1","object":"checkout.session","status":%q,"created":%d,"currency":"usd","amount_total":1999}`, status, startWall.Unix())
	})
	res, err := a.CreateCheckout(t.Context(), checkoutRequest(), "key")
	if err != nil || res.Observation.Facts.Attempts[0].State != payment.AttemptExpired {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestCapturedOutside: a capture that finds the money taken is done only if exactly
// the asked amount was.
func TestCapturedOutside(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outside int64
		done    bool
	}{{1999, true}, {500, false}} {
		l := newLab(t)
		at := l.begin(t, true)
		if err := l.pay(t, at.Root, providertest.PayNow); err != nil {
			t.Fatal(err)
		}
		auth := l.fetched(t, at).Authorizations[0]
		take := providers.CaptureRequest{Attempt: at, Target: auth.Key.ID, Amount: payment.Money{Minor: c.outside, Currency: "usd"}, Final: true}
		if _, err := l.adapter.Capture(t.Context(), take, "outside"); err != nil {
			t.Fatal(err)
		}
		take.Amount = at.Asked
		res, err := l.adapter.Capture(t.Context(), take, "ours")
		if c.done != (err == nil) {
			t.Errorf("%d taken outside: %v", c.outside, err)
		}
		if err != nil {
			wantClass(t, err, providers.Refused)
		}
		if len(res.Observation.Facts.Captures) != 1 {
			t.Errorf("%d taken outside: the answer shows %+v", c.outside, res.Observation.Facts.Captures)
		}
	}
}

// TestNothingToCapture: capture and void of what holds no money are refused.
func TestNothingToCapture(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	at := l.begin(t, true)
	take := providers.CaptureRequest{Attempt: at, Target: at.Root.ID, Amount: at.Asked, Final: true}
	_, err := l.adapter.Capture(t.Context(), take, "k1")
	wantClass(t, err, providers.Refused)
	_, err = l.adapter.Void(t.Context(), take, "k2")
	wantClass(t, err, providers.Refused)
	if err := l.pay(t, at.Root, providertest.PayNow); err != nil {
		t.Fatal(err)
	}
	take.Final = false
	_, err = l.adapter.Capture(t.Context(), take, "k3")
	wantClass(t, err, providers.Refused)
	take.Final = true
	if res, err := l.adapter.Capture(t.Context(), take, "k4"); err != nil || res.Ref == "" {
		t.Errorf("capture by the session's id: %+v, %v", res, err)
	}
	_, err = l.adapter.Void(t.Context(), take, "k5")
	wantClass(t, err, providers.Refused)
}

// TestProviderTakesOtherMoney: a wrong or second charge by Stripe itself ends in
// conflicted, with the evidence (I1, I7).
func TestProviderTakesOtherMoney(t *testing.T) {
	t.Parallel()
	for _, faults := range []string{`{"capture":{"amount_delta":1}}`, `{"capture":{"duplicate":true}}`} {
		l := newLab(t)
		at := l.begin(t, false)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, l.server.URL+"/_sandbox/faults", strings.NewReader(faults))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := l.server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if err := l.pay(t, at.Root, providertest.PayNow); err != nil {
			t.Fatal(err)
		}
		obs, err := l.adapter.Fetch(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		facts := payment.Facts{Terms: payment.Terms{Amount: at.Asked}, Opened: []payment.Attempt{{N: at.N, Provider: provider, Account: "stripe-test"}}}.Observe(obs)
		if facts.Status() != payment.StatusConflicted {
			t.Errorf("%s: %s", faults, facts.Status())
		}
	}
}

// TestPromotionAndTax: the final amount may differ only by Stripe's own breakdown,
// and the breakdown adds up.
func TestPromotionAndTax(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	req := checkoutRequest()
	req.AllowPromotionCodes, req.AutomaticTax = true, true
	res, err := l.adapter.CreateCheckout(t.Context(), req, "create")
	if err != nil {
		t.Fatal(err)
	}
	l.must(t, "checkout/"+res.Ref+"/pay", map[string]any{"promotion_code": "SAVE10"})
	obs, err := l.adapter.Fetch(t.Context(), providers.Attempt{PaymentID: req.PaymentID, N: req.N, Root: providers.Ref{Kind: kindSession, ID: res.Ref}})
	if err != nil {
		t.Fatal(err)
	}
	fact := obs.Facts.Attempts[0]
	if fact.Tax == 0 || fact.Discount == 0 || fact.Total.Minor != 1999-fact.Discount+fact.Tax+fact.Shipping {
		t.Errorf("%+v", fact)
	}
	facts := payment.Facts{Terms: payment.Terms{Amount: req.Amount, Flexible: true}, Opened: []payment.Attempt{{N: req.N, Provider: provider, Account: "stripe-test"}}}.Observe(obs)
	if facts.Status() != payment.StatusSucceeded {
		t.Errorf("%s: %v", facts.Status(), facts.Conflicts())
	}
}
