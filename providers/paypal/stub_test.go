package paypal

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// stub is a PayPal that answers what a test says: for answers the stateful sandbox
// would never give.
type stub struct {
	t      *testing.T
	server *httptest.Server
	mu     sync.Mutex
	seen   []string // method and path of each API call, token calls left out
	keys   []string
	tokens int
	routes map[string]http.HandlerFunc // "METHOD /path" -> answer
}

func newStub(t *testing.T) *stub {
	t.Helper()
	s := &stub{t: t, routes: map[string]http.HandlerFunc{}}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", startWall.Format(http.TimeFormat))
	w.Header().Set("Paypal-Debug-Id", "f1d2e3")
	if r.URL.Path == "/v1/oauth2/token" {
		s.mu.Lock()
		s.tokens++
		s.mu.Unlock()
		_, _ = io.WriteString(w, `{"access_token":"`+canaryToken+`","token_type":"Bearer","expires_in":32400}`)
		return
	}
	s.mu.Lock()
	s.seen = append(s.seen, r.Method+" "+r.URL.Path)
	s.keys = append(s.keys, r.Header.Get("PayPal-Request-Id"))
	route := s.routes[r.Method+" "+r.URL.Path]
	s.mu.Unlock()
	if route == nil {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"name":"RESOURCE_NOT_FOUND","details":[{"issue":"INVALID_RESOURCE_ID"}]}`)
		return
	}
	route(w, r)
}

// on sets an answer.
func (s *stub) on(route string, status int, body string) *stub {
	return s.handle(route, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func (s *stub) handle(route string, h http.HandlerFunc) *stub {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routes[route] = h
	return s
}

// count is how many API calls had this method and path.
func (s *stub) count(route string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, seen := range s.seen {
		if seen == route {
			n++
		}
	}
	return n
}

func (s *stub) adapter(mod ...func(*Options)) *Adapter {
	s.t.Helper()
	o := Options{
		Account: "paypal-test", Mode: payment.ModeTest, ClientID: "client-a", ClientSecret: canarySecret, APIBase: s.server.URL,
		HTTPClient: &http.Client{Timeout: time.Minute, Transport: &http.Transport{}}, WebhookIDs: []string{"WHFIRST"},
		Now: func() time.Time { return startWall },
	}
	for _, m := range mod {
		m(&o)
	}
	a, err := New(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

const (
	orderID = "5O190127TN364715T"
	authID  = "0AA00000AA000000A"
	capID   = "3C679366HH908993F"
	refID   = "1JU08902781691411"
	payID   = "pay_aaaabbbbccccddddeeeeffffgg"
)

// attemptOf is an attempt of that order, opened when the lab's clock stood.
func attemptOf(manual bool) providers.Attempt {
	return providers.Attempt{
		PaymentID: payID, N: 1, Root: providers.Ref{Kind: "order", ID: orderID}, Manual: manual,
		Asked: payment.Money{Minor: 1999, Currency: "usd"}, CreatedAt: startWall,
	}
}

// orderJSON is an order of 19.99 USD with the given status, intent and payments.
func orderJSON(status, intent, payments string) string {
	if payments == "" {
		payments = "{}"
	}
	return strings.NewReplacer("STATUS", status, "INTENT", intent, "PAYMENTS", payments).Replace(`{"id":"` + orderID + `","intent":"INTENT","status":"STATUS",
 "create_time":"2026-03-01T11:50:00Z","update_time":"2026-03-01T11:55:00Z",
 "payer":{"payer_id":"QYR5Z8XDVJNXQ","email_address":"buyer@example.com"},
 "purchase_units":[{"reference_id":"` + payID + `-1","custom_id":"` + payID + `","invoice_id":"` + payID + `-1","amount":{"currency_code":"USD","value":"19.99"},"payments":PAYMENTS}],
 "links":[{"href":"https://www.paypal.com/checkoutnow?token=` + orderID + `","rel":"payer-action","method":"GET"}]}`)
}

func captureJSON(id, status, more string) string {
	return `{"id":"` + id + `","status":"` + status + `","amount":{"currency_code":"USD","value":"19.99"},"create_time":"2026-03-01T11:56:00Z","update_time":"2026-03-01T11:56:00Z"` + more + `}`
}

func authJSON(id, status, more string) string {
	return `{"id":"` + id + `","status":"` + status + `","amount":{"currency_code":"USD","value":"19.99"},"expiration_time":"2026-03-30T11:55:00Z","create_time":"2026-03-01T11:55:00Z","update_time":"2026-03-01T11:55:00Z"` + more + `}`
}

const canaryToken = "A21AAcanary-token-77c1"

// wantError checks an error's class and code.
func wantError(t *testing.T, err error, class providers.Class, code string) *providers.Error {
	t.Helper()
	e := &providers.Error{}
	if !asError(err, &e) {
		t.Fatalf("got %v, want a *providers.Error", err)
	}
	if e.Class != class || (code != "" && e.Code != code) {
		t.Fatalf("got %v, want class %s code %q", e, class, code)
	}
	return e
}
