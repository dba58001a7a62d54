package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/httpapi"
	"github.com/trifecta-pay/trifecta/gateway/httpapi/apitest"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mem"
)

// Keys of the test world.
const (
	shopKey  = "tk_test_shopshopshopshopshop"
	otherKey = "tk_test_otherotherotherother"
	readKey  = "tk_test_readreadreadreadread"
	writeKey = "tk_test_writewritewritewrite"
	opKey    = "tk_op_operatoroperatoroperator"
)

// clock moves a millisecond at each look, so that nothing happens at once.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Millisecond)
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// logBuffer is a log that many write to.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// world is the real use cases over a store in memory, two scripted providers,
// and the handler under test behind a real server that judges all traffic by the
// document.
type world struct {
	t              testing.TB
	clock          *clock
	stripe, paypal *fakeProvider
	payments       *store.Payments
	svc            *gateway.Service
	handler        http.Handler // under test, without its judge
	server         *httptest.Server
	log            *logBuffer
	seq            int
	mu             sync.Mutex
}

func newWorld(t testing.TB, adjust ...func(*httpapi.Options)) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{at: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}, log: &logBuffer{}}
	w.stripe, w.paypal = newFake("stripe", "Card", w.clock.now), newFake("paypal", "PayPal", w.clock.now)
	engine, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	w.payments = store.NewPayments(engine)
	unlimited := providers.GuardOptions{PerSecond: 1e6, Clock: w.clock.now}
	registry, err := providers.NewRegistry(providers.Guard(w.stripe, unlimited), providers.Guard(w.paypal, unlimited))
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.svc, err = gateway.New(gateway.Options{
		Payments: w.payments, Keys: store.NewKeys(engine), Notify: store.NewAlerts(engine), Providers: registry,
		Apps: []gateway.App{
			{Name: "shop", Mode: payment.ModeTest, ReturnOrigins: []string{"https://shop.test"}},
			{Name: "other", Mode: payment.ModeTest, ReturnOrigins: []string{"https://other.test"}},
		},
		Clock: w.clock.now, Token: w.token, PublicURL: "https://pay.test", Render: httpapi.NewRenderer("https://pay.test"),
		ReturnLayer: true, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	for token, k := range map[string]gateway.Key{
		shopKey:  {App: "shop", Mode: payment.ModeTest, Scopes: gateway.AllScopes()},
		otherKey: {App: "other", Mode: payment.ModeTest, Scopes: gateway.AllScopes()},
		readKey:  {App: "shop", Mode: payment.ModeTest, Scopes: []string{gateway.ScopePaymentsRead}},
		writeKey: {App: "shop", Mode: payment.ModeTest, Scopes: []string{gateway.ScopePaymentsRead, gateway.ScopePaymentsWrite}},
		opKey:    {Operator: true},
	} {
		if err := w.svc.AddKey(context.Background(), token, k); err != nil {
			t.Fatal(err)
		}
	}
	opts := httpapi.Options{
		Service: w.svc, Clock: w.clock.now, NewID: func() string { return "req_" + strings.TrimPrefix(w.token(), "SECRETTOKEN") }, Logger: logger, PublicURL: "https://pay.test",
		RatePerSecond: 10_000,
	}
	for _, fn := range adjust {
		fn(&opts)
	}
	w.handler = httpapi.New(opts)
	w.server = httptest.NewServer(apitest.Validate(t, w.handler))
	t.Cleanup(w.server.Close)
	return w
}

// token is unguessable enough for a test, and easy to find in a log.
func (w *world) token() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq++
	return fmt.Sprintf("SECRETTOKEN%05d", w.seq)
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// call is one request; set changes its headers.
type call struct {
	method, path, key, idem, body string
	header                        map[string]string
	bad                           bool // breaks the document on purpose
}

func (w *world) do(c call) answer {
	w.t.Helper()
	req, err := http.NewRequest(c.method, w.server.URL+c.path, strings.NewReader(c.body))
	if err != nil {
		w.t.Fatal(err)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if c.idem != "" {
		req.Header.Set("Idempotency-Key", c.idem)
	}
	if c.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.bad {
		req.Header.Set(apitest.BadHeader, "1")
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{t: w.t, status: res.StatusCode, header: res.Header, raw: string(raw)}
	if strings.Contains(res.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			w.t.Fatalf("%s %s: %v in %s", c.method, c.path, err, raw)
		}
	}
	w.guarded(c.method+" "+c.path, res.Header)
	return a
}

// guarded checks what every answer must carry, whatever it answers: that it is neither kept
// nor taken for another type, tells no other site where it was, and is never asked for in
// the clear.
func (w *world) guarded(asked string, h http.Header) {
	w.t.Helper()
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"Strict-Transport-Security": "max-age=31536000",
	} {
		if got := h.Values(name); len(got) != 1 || got[0] != want {
			w.t.Errorf("%.100s: %s is %q, want %q", asked, name, got, want)
		}
	}
	if h.Get("Trifecta-Request-Id") == "" {
		w.t.Errorf("%.100s: no Trifecta-Request-Id", asked)
	}
}

func (w *world) post(path, idem, body string) answer {
	w.t.Helper()
	return w.do(call{method: "POST", path: path, key: shopKey, idem: idem, body: body})
}

func (w *world) get(path string) answer {
	w.t.Helper()
	return w.do(call{method: "GET", path: path, key: shopKey})
}

// at reads a member by a path of keys and list positions.
func (a answer) at(path ...any) any {
	a.t.Helper()
	var v any = a.body
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				a.t.Fatalf("no object at %v of %v in %s", s, path, a.raw)
			}
			v = m[s]
		case int:
			l, ok := v.([]any)
			if !ok || s >= len(l) {
				a.t.Fatalf("no item %d at %v in %s", s, path, a.raw)
			}
			v = l[s]
		}
	}
	return v
}

func (a answer) text(path ...any) string {
	a.t.Helper()
	s, ok := a.at(path...).(string)
	if !ok {
		a.t.Fatalf("no text at %v in %s", path, a.raw)
	}
	return s
}

// want checks the status, and the code of a problem.
func (a answer) want(status int, code string) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("answered %d, want %d: %s", a.status, status, a.raw)
	}
	if code != "" && a.body["code"] != code {
		a.t.Fatalf("code %v, want %s: %s", a.body["code"], code, a.raw)
	}
	return a
}

// wantField checks that a problem names a field.
func (a answer) wantField(pointer string) answer {
	a.t.Helper()
	list, _ := a.body["errors"].([]any)
	for _, e := range list {
		if m, ok := e.(map[string]any); ok && m["pointer"] == pointer {
			return a
		}
	}
	a.t.Fatalf("no error names %q: %s", pointer, a.raw)
	return a
}

// wantMoney checks one of a payment's amounts.
func (a answer) wantMoney(name string, minor int64) answer {
	a.t.Helper()
	if got := a.at("amounts", name, "amount"); got != float64(minor) {
		a.t.Fatalf("amounts.%s is %v, want %d", name, got, minor)
	}
	return a
}

// body is a valid request for a payment, with changes: a nil value takes a
// member away.
func body(changes map[string]any) string {
	m := map[string]any{"amount": 1999, "currency": "usd", "provider": "stripe", "return_url": "https://shop.test/done?order=7"}
	for k, v := range changes {
		if v == nil {
			delete(m, k)
			continue
		}
		m[k] = v
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// create makes a payment.
func (w *world) create(idem string, changes map[string]any) answer {
	w.t.Helper()
	return w.post("/v1/payments", idem, body(changes)).want(http.StatusCreated, "")
}

// paid makes a payment and pays it; sync makes us see it.
func (w *world) paid(idem string, changes map[string]any) answer {
	w.t.Helper()
	made := w.create(idem, changes)
	provider := w.stripe
	if changes["provider"] == "paypal" {
		provider = w.paypal
	}
	provider.pay()
	return w.post("/v1/payments/"+made.text("id")+"/sync", idem+"-sync", "").want(http.StatusOK, "")
}

// stored counts the shop's payments.
func (w *world) stored() int {
	w.t.Helper()
	list, _, err := w.payments.List(context.Background(), gateway.Filter{App: "shop", Mode: payment.ModeTest, Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}
