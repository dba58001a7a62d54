package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/httpapi/apitest"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/providers/sandbox/paypalapi"
	"github.com/trifecta-pay/trifecta/providers/sandbox/stripeapi"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
	"github.com/trifecta-pay/trifecta/store/storetest"
)

const (
	appKey      = "tk_test_e2e"
	otherKey    = "tk_test_other"
	operatorKey = "tk_op_e2e"
	shopURL     = "http://127.0.0.1:9/thanks?cart=7"
)

// town is a sandbox and a house beside it. No worker runs by itself: tests step
// them, so nothing depends on timing.
type town struct {
	t      *testing.T
	world  *sandbox.World
	stripe *httptest.Server
	paypal *httptest.Server
	api    *httptest.Server
	house  *house.House
	store  store.Engine     // as it is kept: what is personal stands sealed in it
	wire   *wiretest.Server // what the store is, if it is that
	logs   *safeBuffer
	calls  *counter
	client *http.Client
	settle func(context.Context) // replaces quiesce where there are more houses
}

// counter counts the calls that reach the providers.
type counter struct {
	next http.RoundTripper
	n    atomic.Int64
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.next.RoundTrip(r)
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// sealKey is a key as openssl rand -base64 32 prints it.
const sealKey = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="

// start builds a town; edit changes its configuration first.
func start(t *testing.T, layers config.Layers, edit ...func(*config.Config)) *town {
	t.Helper()
	return startOn(t, storetest.SQLite, layers, edit...)
}

// startOn starts a town on this engine, unless the environment says another.
func startOn(t *testing.T, engine string, layers config.Layers, edit ...func(*config.Config)) *town {
	t.Helper()
	dir := t.TempDir()
	kept := storetest.New(t, engine, store.Collections(), wiretest.Options{Secrets: []string{
		"sk_test_canary_51e2e", "canary-paypal-secret", "whsec_0123456789", appKey, otherKey, operatorKey, sealKey,
	}})
	tn := &town{t: t, logs: &safeBuffer{}, wire: kept.Wire}
	log := slog.New(slog.NewTextHandler(tn.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	tn.world = sandbox.NewWorld(sandbox.Options{
		Wall: time.Now, Seed: 1, Client: &http.Client{Timeout: time.Minute}, Logger: log,
		AfterAdvance: func(ctx context.Context) { tn.quiesce(ctx) },
	})
	chain, err := paypalapi.NewChain(time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	tn.stripe = httptest.NewUnstartedServer(nil)
	tn.stripe.Config.Handler = tn.likeStripe(stripeapi.New(tn.world, stripeapi.Options{BaseURL: "http://" + tn.stripe.Listener.Addr().String()}))
	tn.paypal = httptest.NewUnstartedServer(nil)
	handler, err := paypalapi.New(tn.world, paypalapi.Options{BaseURL: "http://" + tn.paypal.Listener.Addr().String(), Chain: chain})
	if err != nil {
		t.Fatal(err)
	}
	tn.paypal.Config.Handler = tn.likePayPal(handler)
	tn.api = httptest.NewUnstartedServer(nil)
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, chain.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	tn.stripe.Start()
	tn.paypal.Start()
	public := "http://" + tn.api.Listener.Addr().String()
	stripeHook := tn.world.AddEndpoint(sandbox.Endpoint{API: "stripe", URL: public + "/webhooks/stripe/stripe-e2e", Secret: "whsec_0123456789abcdef0123456789"})
	paypalHook := tn.world.AddEndpoint(sandbox.Endpoint{API: "paypal", URL: public + "/webhooks/paypal/paypal-e2e", WebhookID: "WH-E2E0123456789"})
	paypalHost := tn.paypal.Listener.Addr().String()
	cfg := config.Config{
		PublicURL: public, Store: config.NewSecret(kept.URL),
		HTTP: config.HTTP{Addr: "127.0.0.1:0", InternalAddr: "127.0.0.1:0"},
		Accounts: []config.Account{
			{
				Name: "stripe-e2e", Provider: "stripe", Mode: "test", SecretKey: config.NewSecret("sk_test_canary_51e2e"),
				WebhookSecrets: []config.Secret{config.NewSecret(stripeHook.Secret)}, APIBase: tn.stripe.URL,
			},
			{
				Name: "paypal-e2e", Provider: "paypal", Mode: "test", ClientID: "e2e", ClientSecret: config.NewSecret("canary-paypal-secret"),
				WebhookIDs: []string{paypalHook.WebhookID}, APIBase: tn.paypal.URL, WebhookRootCA: ca, WebhookCertHosts: []string{paypalHost},
			},
		},
		Apps: []config.App{
			{Name: "shop", Mode: "test", ReturnOrigins: []string{"https://shop.example.com"}},
			{Name: "other", Mode: "test"},
		},
		Layers: layers,

		Encryption: config.Encryption{Keys: []config.EncryptionKey{{ID: "e2e", Key: config.NewSecret(sealKey)}}, Active: "e2e"},
	}
	for _, e := range edit {
		e(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	tn.store = storetest.OpenAt(t, cfg.Store.Reveal(), store.Collections())
	tn.calls = &counter{next: &http.Transport{MaxIdleConnsPerHost: 64}}
	tn.house, err = house.Build(t.Context(), house.Options{Config: cfg, Clock: tn.world.Now, Wall: time.Now, Logger: log, Transport: tn.calls, Engine: tn.store})
	if err != nil {
		t.Fatal(err)
	}
	tn.api.Config.Handler = apitest.Validate(t, tn.house.Public) // every request and answer against the served document
	tn.api.Start()
	tn.client = &http.Client{Timeout: 5 * time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ctx := t.Context()
	for key, k := range map[string]gateway.Key{
		appKey:      {App: "shop", Mode: payment.ModeTest, Scopes: gateway.AllScopes()},
		otherKey:    {App: "other", Mode: payment.ModeTest, Scopes: gateway.AllScopes()},
		operatorKey: {Operator: true},
	} {
		if err := tn.house.Service.AddKey(ctx, key, k); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(tn.stop)
	return tn
}

func (tn *town) stop() {
	tn.api.Close()
	if err := tn.house.Close(); err != nil {
		tn.t.Error(err)
	}
	tn.stripe.Close()
	tn.paypal.Close()
	logs := tn.logs.String()
	for _, secret := range []string{"sk_test_canary_51e2e", "canary-paypal-secret", appKey, "client_secret", "whsec_0123"} {
		if strings.Contains(logs, secret) {
			tn.t.Errorf("the log holds the secret %q", secret)
		}
	}
	if tn.t.Failed() {
		tn.t.Log(logs)
	}
}

// quiesce runs every worker, and the sandbox's deliveries, until nothing is due.
func (tn *town) quiesce(ctx context.Context) {
	tn.t.Helper()
	if tn.settle != nil {
		tn.settle(ctx)
		return
	}
	if err := tn.house.Quiesce(ctx, house.Worker{Name: "sandbox", Step: tn.world.StepDeliveries}); err != nil {
		tn.t.Error(err)
	}
}

// advance moves the one clock; everything that falls due on the way is done.
func (tn *town) advance(d time.Duration) {
	tn.t.Helper()
	tn.sandbox(tn.stripe, "/_sandbox/clock/advance", map[string]any{"seconds": int64(d.Seconds())}, http.StatusOK)
}

type object = map[string]any

// do makes one API call and decodes the answer.
func (tn *town) do(method, path, key, idem string, body any) (int, http.Header, object) {
	tn.t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			tn.t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(tn.t.Context(), method, tn.api.URL+path, in)
	if err != nil {
		tn.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if idem != "" {
		req.Header.Set("Idempotency-Key", idem)
	}
	return tn.send(req)
}

func (tn *town) send(req *http.Request) (int, http.Header, object) {
	resp, err := tn.client.Do(req)
	if err != nil {
		tn.t.Error(err)
		return 0, nil, nil
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tn.t.Error(err)
	}
	var out object
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(b, &out); err != nil {
			tn.t.Errorf("%s %s answered %d with broken JSON: %s", req.Method, req.URL.Path, resp.StatusCode, b)
		}
	}
	return resp.StatusCode, resp.Header, out
}

// must makes an API call of the shop and expects this status.
func (tn *town) must(want int, method, path, idem string, body any) object {
	tn.t.Helper()
	code, _, out := tn.do(method, path, appKey, idem, body)
	if code != want {
		tn.t.Fatalf("%s %s: %d, want %d: %v", method, path, code, want, out)
	}
	return out
}

func (tn *town) get(id string) object {
	tn.t.Helper()
	return tn.must(http.StatusOK, http.MethodGet, "/v1/payments/"+id, "", nil)
}

func order(amount int64, currency string, more ...string) object {
	o := object{"amount": amount, "currency": currency, "reference": "order-1", "return_url": shopURL}
	for i := 0; i+1 < len(more); i += 2 {
		o[more[i]] = more[i+1]
	}
	return o
}

// sandbox calls a control route.
func (tn *town) sandbox(srv *httptest.Server, path string, body any, want int) object {
	tn.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		tn.t.Fatal(err)
	}
	method := http.MethodPost
	switch {
	case strings.HasSuffix(path, "/faults") && body != nil:
		method = http.MethodPut
	case strings.HasSuffix(path, "/faults"):
		method = http.MethodDelete
	case strings.HasSuffix(path, "/ledger"):
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(tn.t.Context(), method, srv.URL+path, bytes.NewReader(b))
	if err != nil {
		tn.t.Fatal(err)
	}
	code, _, out := tn.send(req)
	if code != want {
		tn.t.Fatalf("sandbox %s: %d, want %d: %v", path, code, want, out)
	}
	return out
}

// pay pays a Stripe checkout as the customer, and returns where the browser is
// sent to.
func (tn *town) pay(p object, card string, more ...string) string {
	tn.t.Helper()
	body := object{"card": card}
	for i := 0; i+1 < len(more); i += 2 {
		body[more[i]] = more[i+1]
	}
	session := ref(tn.t, p, "checkout_session")
	out := tn.sandbox(tn.stripe, "/_sandbox/checkout/"+session+"/pay", body, http.StatusOK)
	return text(tn.t, out, "redirect_url")
}

// approve approves a PayPal order as the customer.
func (tn *town) approve(p object, body object) string {
	tn.t.Helper()
	out := tn.sandbox(tn.paypal, "/_sandbox/orders/"+ref(tn.t, p, "order")+"/approve", body, http.StatusOK)
	return text(tn.t, out, "redirect_url")
}

// browse opens a URL as a browser would, without following a redirect.
func (tn *town) browse(target string) (int, string) {
	tn.t.Helper()
	req, err := http.NewRequestWithContext(tn.t.Context(), http.MethodGet, target, nil)
	if err != nil {
		tn.t.Fatal(err)
	}
	code, header, _ := tn.send(req)
	return code, header.Get("Location")
}

// comeBack follows the provider's redirect to us and expects to be sent to the
// shop, with nothing but the payment's id added.
func (tn *town) comeBack(redirect, id string) {
	tn.t.Helper()
	code, location := tn.browse(redirect)
	if want := shopURL + "&payment_id=" + id; code != http.StatusSeeOther || location != want {
		tn.t.Fatalf("return: %d to %q, want 303 to %q", code, location, want)
	}
}

type row struct {
	Object, Kind, Currency, Reference string
	Amount                            int64
}

// ledger is both providers' books of one payment.
func (tn *town) ledger(id string, kind string) []row {
	tn.t.Helper()
	var mine []row
	for _, listener := range []*httptest.Server{tn.stripe, tn.paypal} {
		out := tn.sandbox(listener, "/_sandbox/ledger", nil, http.StatusOK)
		for _, r := range rowsOf(tn, out) {
			if r.Reference == id && r.Kind == kind {
				mine = append(mine, r)
			}
		}
	}
	return mine
}

func rowsOf(tn *town, ledger object) []row {
	tn.t.Helper()
	b, err := json.Marshal(ledger["data"])
	if err != nil {
		tn.t.Fatal(err)
	}
	var rows []row
	if err := json.Unmarshal(b, &rows); err != nil {
		tn.t.Fatal(err)
	}
	return rows
}

func (tn *town) wantLedger(id, kind string, amounts ...int64) {
	tn.t.Helper()
	rows := tn.ledger(id, kind)
	got := make([]int64, 0, len(rows))
	for _, r := range rows {
		got = append(got, r.Amount)
	}
	if fmt.Sprint(got) != fmt.Sprint(amounts) && len(got)+len(amounts) > 0 {
		tn.t.Errorf("the provider's book has %s %v for %s, want %v", kind, got, id, amounts)
	}
}

func (tn *town) wantStatus(id, status string) object {
	tn.t.Helper()
	p := tn.get(id)
	if p["status"] != status {
		tn.t.Fatalf("payment is %v, want %s: %v", p["status"], status, p)
	}
	return p
}

// amount reads amounts.NAME of a payment.
func amount(t *testing.T, p object, name string) int64 {
	t.Helper()
	amounts, _ := p["amounts"].(object)
	m, _ := amounts[name].(object)
	v, ok := m["amount"].(float64)
	if !ok {
		t.Fatalf("amounts.%s is missing in %v", name, p)
	}
	return int64(v)
}

func text(t *testing.T, o object, name string) string {
	t.Helper()
	s, ok := o[name].(string)
	if !ok || s == "" {
		t.Fatalf("%s is missing in %v", name, o)
	}
	return s
}

func ref(t *testing.T, p object, name string) string {
	t.Helper()
	refs, _ := p["provider_refs"].(object)
	return text(t, refs, name)
}

func checkoutURL(t *testing.T, p object) string {
	t.Helper()
	c, _ := p["checkout"].(object)
	return text(t, c, "url")
}

// sessions counts the checkout sessions the Stripe sandbox has.
func (tn *town) sessions() int {
	tn.t.Helper()
	req, err := http.NewRequestWithContext(tn.t.Context(), http.MethodGet, tn.stripe.URL+"/v1/checkout/sessions?limit=100", nil)
	if err != nil {
		tn.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk_test_count")
	_, _, out := tn.send(req)
	data, _ := out["data"].([]any)
	return len(data)
}

// choose presses a provider's button on our pay page.
func (tn *town) choose(page, provider string) (int, string) {
	tn.t.Helper()
	u, err := url.Parse(page)
	if err != nil {
		tn.t.Fatal(err)
	}
	form := url.Values{"t": {u.Query().Get("t")}, "provider": {provider}}
	u.RawQuery = ""
	req, err := http.NewRequestWithContext(tn.t.Context(), http.MethodPost, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		tn.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	code, header, _ := tn.send(req)
	return code, header.Get("Location")
}
