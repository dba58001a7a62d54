package stripeapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/trifecta-pay/trifecta/providers/providertest/stripespec"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/providers/sandbox/stripeapi"
)

// start is the wall clock of all tests; it stands still, only Advance moves time.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const secret = "whsec_test_0123456789abcdef0123456789abcdef"

// rig is a sandbox on loopback with the official SDK pointed at it and a receiver of
// webhooks; every exchange and event is checked against Stripe's OpenAPI document.
type rig struct {
	t   *testing.T
	w   *sandbox.World
	url string
	sc  *client.API
	in  *receiver
}

func newRig(t *testing.T, around ...func(http.Handler) http.Handler) *rig {
	t.Helper()
	return newRigOf(t, stripeapi.Options{}, around...)
}

func newRigOf(t *testing.T, o stripeapi.Options, around ...func(http.Handler) http.Handler) *rig {
	t.Helper()
	w := sandbox.NewWorld(sandbox.Options{Wall: func() time.Time { return start }, Seed: 1, Client: &http.Client{}})
	validator := stripespec.Load(t)
	h := stripeapi.New(w, o)
	for _, wrap := range around {
		h = wrap(h)
	}
	srv := httptest.NewServer(validator.Middleware(t, h))
	t.Cleanup(func() {
		srv.Close()
		for _, e := range w.Events("stripe") {
			validator.Event(t, e.Body)
		}
	})
	r := &rig{t: t, w: w, url: srv.URL, in: newReceiver(t)}
	r.sc = r.client("sk_test_123")
	r.post("/_sandbox/webhooks/endpoints", `{"url":"`+r.in.url+`","secret":"`+secret+`"}`, nil)
	return r
}

// client is the SDK without retries of its own, so that tests see every answer.
func (r *rig) client(key string) *client.API {
	b := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL: stripe.String(r.url), HTTPClient: &http.Client{}, MaxNetworkRetries: stripe.Int64(0),
		EnableTelemetry: stripe.Bool(false), LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
	})
	return client.New(key, &stripe.Backends{API: b, Connect: b, Uploads: b})
}

// post calls the control API and returns the status.
func (r *rig) post(path, body string, into any) int {
	r.t.Helper()
	return r.control(http.MethodPost, path, body, into)
}

func (r *rig) control(method, path, body string, into any) int {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			r.t.Fatalf("%s %s: %s: %v", method, path, b, err)
		}
	}
	return resp.StatusCode
}

// advance moves the virtual clock.
func (r *rig) advance(d time.Duration) { r.w.Advance(r.t.Context(), d) }

// deliver sends the webhooks that are due.
func (r *rig) deliver() {
	r.t.Helper()
	if _, _, err := r.w.StepDeliveries(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// sessionParams ask for 20.00 USD in two lines.
func sessionParams(change func(*stripe.CheckoutSessionParams)) *stripe.CheckoutSessionParams {
	line := func(name string, unit, n int64) *stripe.CheckoutSessionLineItemParams {
		return &stripe.CheckoutSessionLineItemParams{Quantity: stripe.Int64(n), PriceData: &stripe.CheckoutSessionLineItemPriceDataParams{
			Currency: stripe.String("usd"), UnitAmount: stripe.Int64(unit),
			ProductData: &stripe.CheckoutSessionLineItemPriceDataProductDataParams{Name: stripe.String(name)},
		}}
	}
	p := &stripe.CheckoutSessionParams{
		Mode:       stripe.String("payment"),
		SuccessURL: stripe.String("http://127.0.0.1:9/ok?s={CHECKOUT_SESSION_ID}"), CancelURL: stripe.String("http://127.0.0.1:9/back"),
		ClientReferenceID: stripe.String("order-1"),
		LineItems:         []*stripe.CheckoutSessionLineItemParams{line("Tea", 500, 2), line("Cup", 1000, 1)},
		PaymentIntentData: &stripe.CheckoutSessionPaymentIntentDataParams{Metadata: map[string]string{"trifecta_payment": "pay_1"}},
	}
	p.Metadata = map[string]string{"trifecta_payment": "pay_1"}
	if change != nil {
		change(p)
	}
	return p
}

func (r *rig) session(change func(*stripe.CheckoutSessionParams)) *stripe.CheckoutSession {
	r.t.Helper()
	s, err := r.sc.CheckoutSessions.New(sessionParams(change))
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func manual(p *stripe.CheckoutSessionParams) {
	p.PaymentIntentData.CaptureMethod = stripe.String("manual")
}

// pay pays a session as a buyer and fails the test if that is refused.
func (r *rig) pay(session, card string) {
	r.t.Helper()
	var out map[string]string
	if code := r.post("/_sandbox/checkout/"+session+"/pay", `{"card":"`+card+`"}`, &out); code != 200 {
		r.t.Fatalf("pay: %d %v", code, out)
	}
}

// paid makes a session, pays it, and returns its intent with everything expanded.
func (r *rig) paid(card string, change func(*stripe.CheckoutSessionParams)) *stripe.PaymentIntent {
	r.t.Helper()
	s := r.session(change)
	r.pay(s.ID, card)
	return r.intentOf(s.ID)
}

// intentOf reads a session with its intent, charge and balance transaction.
func (r *rig) intentOf(session string) *stripe.PaymentIntent {
	r.t.Helper()
	p := &stripe.CheckoutSessionParams{}
	p.AddExpand("payment_intent.latest_charge.balance_transaction")
	s, err := r.sc.CheckoutSessions.Get(session, p)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.PaymentIntent
}

// ledger reads the ledger rows of one kind.
func (r *rig) ledger(kind string) []sandbox.LedgerRow {
	r.t.Helper()
	var out struct{ Data []sandbox.LedgerRow }
	if code := r.control(http.MethodGet, "/_sandbox/ledger", "", &out); code != 200 {
		r.t.Fatal(code)
	}
	var rows []sandbox.LedgerRow
	for _, row := range out.Data {
		if row.Kind == kind {
			rows = append(rows, row)
		}
	}
	return rows
}

// types are the types of all events so far, oldest first.
func (r *rig) types() []string {
	var out []string
	for _, e := range r.w.Events("stripe") {
		out = append(out, e.Type)
	}
	return out
}

// want fails unless the SDK's error is Stripe's with that status and code.
func want(t *testing.T, err error, status int, code string) *stripe.Error {
	t.Helper()
	var e *stripe.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a Stripe error %d %s", err, status, code)
	}
	if e.HTTPStatusCode != status || string(e.Code) != code {
		t.Fatalf("got %d %q (%s), want %d %q", e.HTTPStatusCode, e.Code, e.Msg, status, code)
	}
	return e
}

// receiver collects verified webhooks; answers chooses the status of each request.
type receiver struct {
	url string

	mu      sync.Mutex
	answers []int // consumed first; then 200
	got     []stripe.Event
	heads   []http.Header
	bad     []error
	now     func() time.Time
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	in := &receiver{now: func() time.Time { return start }}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		in.mu.Lock()
		defer in.mu.Unlock()
		if err == nil {
			var ev stripe.Event
			// The wall clock of the tests stands in the past, so the age can't be checked here.
			ev, err = webhook.ConstructEventIgnoringTolerance(body, r.Header.Get("Stripe-Signature"), secret)
			in.got = append(in.got, ev)
			in.heads = append(in.heads, r.Header.Clone())
		}
		if err != nil {
			in.bad = append(in.bad, err)
		}
		status := http.StatusOK
		if len(in.answers) > 0 {
			status, in.answers = in.answers[0], in.answers[1:]
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	in.url = srv.URL
	t.Cleanup(func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		for _, err := range in.bad {
			t.Errorf("webhook does not verify with the SDK: %v", err)
		}
	})
	return in
}

func (in *receiver) events() []stripe.Event {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]stripe.Event{}, in.got...)
}

// wrong marks a request that Stripe's validator refuses too, on purpose.
var wrong = map[string]string{stripespec.SkipRequestHeader: "1"}

// raw calls a provider endpoint without the SDK.
func (r *rig) raw(ctx context.Context, method, path string, form url.Values, header map[string]string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, bytes.NewReader([]byte(form.Encode())))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer sk_test_123")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}
