package paypalapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/providers/providertest/paypalspec"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/providers/sandbox/paypalapi"
)

// start is the wall clock of every test; it stands still, the virtual clock advances.
var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// sharedChain: RSA keys are slow to make, and every test may use the same.
var sharedChain = sync.OnceValues(func() (*paypalapi.Chain, error) { return paypalapi.NewChain(start, nil) })

// env is one sandbox listener with every exchange validated against PayPal's documents.
type env struct {
	t     *testing.T
	w     *sandbox.World
	srv   *httptest.Server
	token string
	keys  atomic.Int64
}

func newEnv(t *testing.T, mod ...func(*paypalapi.Options)) *env {
	t.Helper()
	validator := paypalspec.Load(t)
	chain, err := sharedChain()
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(nil)
	w := sandbox.NewWorld(sandbox.Options{Wall: func() time.Time { return start }, Seed: 7, Client: &http.Client{Timeout: time.Minute}})
	opt := paypalapi.Options{BaseURL: "http://" + srv.Listener.Addr().String(), Chain: chain}
	for _, m := range mod {
		m(&opt)
	}
	h, err := paypalapi.New(w, opt)
	if err != nil {
		t.Fatal(err)
	}
	srv.Config.Handler = validator.Middleware(t, h)
	srv.Start()
	t.Cleanup(srv.Close)
	e := &env{t: t, w: w, srv: srv}
	e.token = e.login("client-a")
	return e
}

// login fetches a token for a REST app.
func (e *env) login(client string) string {
	e.t.Helper()
	status, body := e.tokenCall(client, "secret")
	if status != http.StatusOK {
		e.t.Fatalf("token: %d %s", status, body)
	}
	var out struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &out); err != nil || out.AccessToken == "" {
		e.t.Fatalf("token answer %s: %v", body, err)
	}
	return out.AccessToken
}

func (e *env) tokenCall(client, secret string) (int, []byte) {
	e.t.Helper()
	req, err := http.NewRequest(http.MethodPost, e.srv.URL+"/v1/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(client, secret)
	resp, body := e.send(req)
	return resp.StatusCode, body
}

// send does a request without following redirects.
func (e *env) send(req *http.Request) (*http.Response, []byte) {
	e.t.Helper()
	c := *e.srv.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Do(req)
	if err != nil {
		e.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp, body
}

// object is a decoded JSON answer with short ways to look into it.
type object map[string]any

// at follows keys and indexes: "purchase_units.0.payments".
func (o object) at(path string) any {
	var v any = map[string]any(o)
	for k := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[k]
		case []any:
			i := int(k[0] - '0')
			if i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func (o object) str(path string) string { s, _ := o.at(path).(string); return s }

func (o object) len(path string) int { l, _ := o.at(path).([]any); return len(l) }

// issue is the first detail of an error body.
func (o object) issue() string { return o.str("details.0.issue") }

// link finds a link by its rel.
func (o object) link(rel string) string {
	links, _ := o["links"].([]any)
	for _, l := range links {
		if m, ok := l.(map[string]any); ok && m["rel"] == rel {
			s, _ := m["href"].(string)
			return s
		}
	}
	return ""
}

// opts are a request's extra headers.
type opts map[string]string

var full = opts{"Prefer": "return=representation"}

// key makes a representation request with its own PayPal-Request-Id.
func key(id string) opts { return opts{"Prefer": "return=representation", "PayPal-Request-Id": id} }

// call does an API request; body "" is none.
func (e *env) call(method, path, body string, o opts) (int, object) {
	e.t.Helper()
	status, _, out := e.callRaw(method, path, body, o)
	return status, out
}

func (e *env) callRaw(method, path, body string, o opts) (int, http.Header, object) {
	e.t.Helper()
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, e.srv.URL+path, rd)
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range o {
		req.Header.Set(k, v)
	}
	resp, raw := e.send(req)
	if resp.Header.Get("Paypal-Debug-Id") == "" {
		e.t.Errorf("%s %s: no Paypal-Debug-Id", method, path)
	}
	out := object{}
	if len(bytes.TrimSpace(raw)) > 0 {
		if err := json.Unmarshal(raw, &out); err != nil {
			e.t.Fatalf("%s %s: %d %q: %v", method, path, resp.StatusCode, raw, err)
		}
	}
	return resp.StatusCode, resp.Header, out
}

// must is call with an expected status.
func (e *env) must(want int, method, path, body string, o opts) object {
	e.t.Helper()
	status, out := e.call(method, path, body, o)
	if status != want {
		e.t.Fatalf("%s %s = %d, want %d: %v", method, path, status, want, out)
	}
	return out
}

// refused expects an issue with a status.
func (e *env) refused(want int, issue, method, path, body string, o opts) object {
	e.t.Helper()
	status, out := e.call(method, path, body, o)
	if status != want || out.issue() != issue {
		e.t.Fatalf("%s %s = %d %q, want %d %q: %v", method, path, status, out.issue(), want, issue, out)
	}
	return out
}

// control does a control request and expects a status.
func (e *env) control(want int, path, body string) object {
	e.t.Helper()
	req, err := http.NewRequest(http.MethodPost, e.srv.URL+"/_sandbox"+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	resp, raw := e.send(req)
	out := object{}
	if err := json.Unmarshal(raw, &out); err != nil {
		e.t.Fatalf("control %s: %q: %v", path, raw, err)
	}
	if resp.StatusCode != want {
		e.t.Fatalf("control %s = %d, want %d: %s", path, resp.StatusCode, want, raw)
	}
	return out
}

// advance moves the virtual clock; tokens live on it too, so a new one is fetched.
func (e *env) advance(d time.Duration) {
	e.t.Helper()
	e.w.Advance(context.Background(), d)
	e.token = e.login("client-a")
}

// nextKey is a fresh PayPal-Request-Id.
func (e *env) nextKey() opts { return key(fmt.Sprintf("req-%d", e.keys.Add(1))) }

// orderBody is a redirect order as a gateway makes it.
func orderBody(intent, value, currency, custom, invoice string) string {
	unit := map[string]any{
		"custom_id": custom, "soft_descriptor": "SHOP", "description": "A thing & more",
		"amount": map[string]any{"currency_code": currency, "value": value},
	}
	if invoice != "" {
		unit["invoice_id"] = invoice
	}
	b, err := json.Marshal(map[string]any{
		"intent":         intent,
		"purchase_units": []any{unit},
		"payment_source": map[string]any{"paypal": map[string]any{"experience_context": map[string]any{
			"brand_name": "Fish & Chips", "return_url": "https://shop.example.com/back?x=1", "cancel_url": "https://shop.example.com/no",
			"user_action": "PAY_NOW", "shipping_preference": "NO_SHIPPING",
		}}},
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// order creates an order of 10.00 USD and answers its id.
func (e *env) order(intent, custom, invoice string) string {
	e.t.Helper()
	o := e.must(201, "POST", "/v2/checkout/orders", orderBody(intent, "10.00", "USD", custom, invoice), e.nextKey())
	return o.str("id")
}

// paid makes an order, approves and captures it, and answers order and capture id.
func (e *env) paid(custom, approve string) (string, string) {
	e.t.Helper()
	id := e.order("CAPTURE", custom, "INV-"+custom)
	e.control(200, "/orders/"+id+"/approve", approve)
	o := e.must(201, "POST", "/v2/checkout/orders/"+id+"/capture", "", e.nextKey())
	return id, o.str("purchase_units.0.payments.captures.0.id")
}

// authorized makes an authorized order of 10.00 USD.
func (e *env) authorized(custom string) (string, string) {
	e.t.Helper()
	id := e.order("AUTHORIZE", custom, "INV-"+custom)
	e.control(200, "/orders/"+id+"/approve", "")
	o := e.must(201, "POST", "/v2/checkout/orders/"+id+"/authorize", "", e.nextKey())
	return id, o.str("purchase_units.0.payments.authorizations.0.id")
}

// events lists the types announced so far, in order.
func (e *env) events() []string {
	var out []string
	for _, ev := range e.w.Events("paypal") {
		out = append(out, ev.Type)
	}
	return out
}

// lastEvent decodes the latest event's envelope.
func (e *env) lastEvent() object {
	e.t.Helper()
	all := e.w.Events("paypal")
	out := object{}
	if err := json.Unmarshal(all[len(all)-1].Body, &out); err != nil {
		e.t.Fatal(err)
	}
	return out
}

// entry is what tests compare of a ledger row.
type entry struct {
	Kind      string
	Amount    int64
	Reference string
}

func (e *env) ledger() []entry {
	var out []entry
	for _, r := range e.w.Ledger() {
		out = append(out, entry{r.Kind, r.Amount, r.Reference})
	}
	return out
}

func query(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return "?" + v.Encode()
}
