package httpapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/httpapi"
	"github.com/trifecta-pay/trifecta/gateway/httpapi/apitest"
)

// Promise: every refused create names its field, stores nothing and tells no
// provider anything.
func TestCreateRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := strings.Repeat("x", 600)
	keys := map[string]string{}
	for i := range 51 {
		keys[fmt.Sprint("k", i)] = "v"
	}
	with := func(key string, value any) string { return body(map[string]any{key: value}) }
	raw := func(key, value string) string {
		return strings.Replace(body(map[string]any{key: nil}), "{", `{"`+key+`":`+value+",", 1)
	}
	for _, c := range []struct{ body, at string }{
		{with("amount", nil), "/amount"},
		{with("amount", 0), "/amount"},
		{with("amount", -1), "/amount"},
		{raw("amount", "1e3"), "/amount"},
		{raw("amount", "1.0"), "/amount"},
		{raw("amount", "0.1"), "/amount"},
		{raw("amount", "-0"), "/amount"},
		{raw("amount", "9007199254740993"), "/amount"},
		{raw("amount", "99999999999999999999999999"), "/amount"},
		{raw("amount", "1e400"), "/amount"},
		{with("amount", "1999"), "/amount"},
		{with("amount", true), "/amount"},
		{raw("amount", "null"), "/amount"},
		{raw("amount", "[1]"), "/amount"},
		{raw("amount", "1000000000000"), "/amount"},
		{with("currency", nil), "/currency"},
		{with("currency", "zzz"), "/currency"},
		{with("currency", "dem"), "/currency"},
		{with("currency", "us"), "/currency"},
		{with("currency", 5), "/currency"},
		{with("currency", map[string]any{"$gt": ""}), "/currency"},
		{with("currency", "$"), "/currency"},
		{with("provider", "adyen"), "/provider"},
		{with("account", "nowhere"), "/account"},
		{with("account", "paypal-test"), "/account"},
		{with("capture", "later"), "/capture"},
		{with("capture", ""), "/capture"},
		{with("return_url", nil), "/return_url"},
		{with("return_url", "https://evil.test/"), "/return_url"},
		{with("return_url", "javascript:alert(1)"), "/return_url"},
		{with("return_url", "//shop.test"), "/return_url"},
		{with("return_url", "https://shop.test@evil.test/"), "/return_url"},
		{with("return_url", "https://shop.test/\r\nX: y"), "/return_url"},
		{with("cancel_url", "http://shop.test/"), "/cancel_url"},
		{with("reference", strings.Repeat("r", 128)), "/reference"},
		{with("reference", "a\u0000b"), "/reference"},
		{with("description", long), "/description"},
		{with("description", "line\nbreak"), "/description"},
		{with("locale", "no_such_locale_at_all"), "/locale"},
		{with("locale", "<b>"), "/locale"},
		{with("metadata", keys), "/metadata"},
		{with("metadata", map[string]any{"a": 1}), "/metadata/a"},
		{with("metadata", map[string]any{"a/b": nil}), "/metadata/a~1b"},
		{with("metadata", map[string]any{"a": long}), "/metadata/a"},
		{with("metadata", "a"), "/metadata"},
		{with("metadata", map[string]any{"trifecta_payment": "x"}), "/metadata/trifecta_payment"},
		{with("statement_descriptor", strings.Repeat("s", 23)), "/statement_descriptor"},
		{with("statement_descriptor", "A*B"), "/statement_descriptor"},
		{with("customer", "bob"), "/customer"},
		{with("customer", 7), "/customer"},
		{with("customer", map[string]any{"id": "cus_1"}), "/customer/id"},
		{with("customer", map[string]any{"email": "not an address"}), "/customer/email"},
		{with("customer", map[string]any{"email": "a@b.test, c@d.test"}), "/customer/email"},
		{with("line_items", "x"), "/line_items"},
		{with("line_items", []any{1}), "/line_items/0"},
		{with("line_items", []any{map[string]any{"name": "a", "quantity": 1, "unit_amount": 1}}), "/line_items"},
		{with("line_items", []any{map[string]any{"name": "a", "quantity": 0, "unit_amount": 1999}}), "/line_items/0/quantity"},
		{with("line_items", []any{map[string]any{"name": "", "quantity": 1, "unit_amount": 1999}}), "/line_items/0/name"},
		{with("line_items", []any{map[string]any{"name": "a", "quantity": 1, "unit_amount": 1999, "tax": 1}}), "/line_items/0/tax"},
		{with("line_items", []any{map[string]any{"name": "a", "quantity": 1, "unit_amount": 1999}, map[string]any{"name": "b", "quantity": 1}}), "/line_items/1/unit_amount"},
		{with("provider", ""), "/provider"},
		{with("account", ""), "/account"},
		{with("automatic_tax", "yes"), "/automatic_tax"},
		{with("shipping", nil), ""},
		{with("expires_in", 1799), "/expires_in"},
		{with("expires_in", 0), "/expires_in"},
		{with("expires_in", 86401), "/expires_in"},
		{with("status", "succeeded"), "/status"},
		{with("Amount ", 1), "/Amount "},
		{with("merchant_id", "x"), "/merchant_id"},
		{"[]", ""},
		{`"text"`, ""},
		{"null", ""},
		{"7", ""},
	} {
		if c.at == "" && strings.HasPrefix(c.body, "{") {
			continue // the control row: taking an absent member away is valid
		}
		a := w.do(call{method: "POST", path: "/v1/payments", key: shopKey, idem: "k", body: c.body, bad: true})
		if a.status != http.StatusUnprocessableEntity || a.body["code"] != "invalid_request" {
			t.Errorf("%.120s: %d %s", c.body, a.status, a.raw)
			continue
		}
		a.wantField(c.at)
	}
	if n := w.stored(); n != 0 || w.stripe.count("")+w.paypal.count("") != 0 {
		t.Fatalf("refused requests stored %d payments and made %d provider calls", n, w.stripe.count("")+w.paypal.count(""))
	}
	w.post("/v1/payments", "k", body(nil)).want(http.StatusCreated, "") // a refusal does not burn its key
}

// Promise: what is not available yet is refused by name, never silently ignored.
func TestNotAvailableYet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for field, value := range map[string]any{
		"payment_method": "pm_1", "off_session": true, "save_payment_method": true, "charge_at": "2027-01-01T00:00:00Z",
		"marketplace": map[string]any{"account": "a"}, "customer": "cus_1",
	} {
		w.post("/v1/payments", "k", body(map[string]any{field: value})).want(http.StatusUnprocessableEntity, "unsupported").wantField("/" + field)
	}
	both := w.do(call{method: "POST", path: "/v1/payments", key: shopKey, idem: "k", bad: true, body: body(map[string]any{"charge_at": "x", "nonsense": 1})})
	both.want(http.StatusUnprocessableEntity, "invalid_request").wantField("/charge_at").wantField("/nonsense")
	if w.stored() != 0 {
		t.Fatal("stored")
	}
}

// Promise: all faults of a body are told at once.
func TestAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.do(call{method: "POST", path: "/v1/payments", key: shopKey, idem: "k", bad: true, body: `{"amount":"1","x":1,"y":2,"metadata":{"a":1}}`})
	a.want(http.StatusUnprocessableEntity, "invalid_request").wantField("/amount").wantField("/x").wantField("/y").wantField("/metadata/a")
}

// Promise: bodies that two readers could read differently are 400 and name the place.
func TestMalformedBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ok := body(nil)
	for _, c := range []struct{ body, at string }{
		{"", ""},
		{"   ", ""},
		{"{", ""},
		{ok + "x", ""},
		{ok + ok, ""},
		{ok[:len(ok)-1] + ",}", ""},
		{"{'amount':1}", ""},
		{`{"amount":01}`, ""},
		{`{"amount":1,"amount":2}`, "/amount"},
		{`{"amount":1,"Amount":2}`, "/Amount"},
		{`{"metadata":{"a":"1","a":"2"}}`, "/metadata/a"},
		{`{"metadata":{"a":"\ud800"}}`, ""},
		{`{"metadata":{"a":"\udc00\ud800"}}`, ""},
		{"{\"reference\":\"\xff\"}", ""},
		{"\xef\xbb\xbf" + ok, ""},
		{strings.Repeat("[", 33) + strings.Repeat("]", 33), strings.Repeat("/0", 32)},
		{strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), strings.Repeat("/a", 32)},
		{strings.Repeat("[", 100_000), ""},
	} {
		a := w.do(call{method: "POST", path: "/v1/payments", key: shopKey, idem: "k", body: c.body, bad: true})
		if a.status != http.StatusBadRequest || a.body["code"] != "malformed" {
			t.Errorf("%.60q: %d %.200s", c.body, a.status, a.raw)
			continue
		}
		a.wantField(c.at)
	}
}

// Promise: every command refuses what it does not know and what makes no sense.
func TestCommandBodyRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.paid("k1", nil)
	path := "/v1/payments/" + p.text("id")
	for _, c := range []struct{ path, body, at string }{
		{"/capture", `{"amount":0}`, "/amount"},
		{"/capture", `{"amount":-5}`, "/amount"},
		{"/capture", `{"final":"no"}`, "/final"},
		{"/capture", `{"final":null}`, "/final"},
		{"/capture", `{"reason":"x"}`, "/reason"},
		{"/cancel", `{"reason":"x"}`, "/reason"},
		{"/sync", `{"now":true}`, "/now"},
		{"/cancel", `[]`, ""},
		{"/refunds", `{"amount":0}`, "/amount"},
		{"/refunds", `{"amount":1.5}`, "/amount"},
		{"/refunds", `{"reason":"because"}`, "/reason"},
		{"/refunds", `{"reason":""}`, "/reason"},
		{"/refunds", `{"currency":"eur","amount":1}`, "/currency"},
	} {
		a := w.do(call{method: "POST", path: path + c.path, key: shopKey, idem: "k", body: c.body, bad: true})
		a.want(http.StatusUnprocessableEntity, "invalid_request").wantField(c.at)
	}
	if w.stripe.count("refund")+w.stripe.count("capture") != 0 {
		t.Fatal("a refused command reached the provider")
	}
}

// Promise: without a good key there is nothing to see, wherever it is put.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, header := range map[string]string{
		"none": "", "other scheme": "Basic " + shopKey, "bare": shopKey, "unknown": "Bearer tk_test_nonsense", "empty": "Bearer ", "long": "Bearer tk_" + strings.Repeat("x", 5000),
		"two in one": "Bearer " + shopKey + ", Bearer " + otherKey,
	} {
		c := call{method: "GET", path: "/v1/payments", bad: true}
		if header != "" {
			c.header = map[string]string{"Authorization": header}
		}
		if a := w.do(c).want(http.StatusUnauthorized, "unauthenticated"); a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	w.do(call{method: "GET", path: "/v1/payments?key=" + shopKey + "&access_token=" + shopKey, bad: true}).want(http.StatusUnauthorized, "unauthenticated")
	if a := w.do(call{method: "GET", path: "/v1/payments", header: map[string]string{"Authorization": "bearer " + shopKey}}); a.status != http.StatusOK {
		t.Errorf("the scheme's case matters: %d", a.status)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+"/v1/payments", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + shopKey, "Bearer " + otherKey}, apitest.BadHeader: {"1"}}
	res, err := w.server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _ = res.Body.Close(); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("two Authorization headers were answered %d", res.StatusCode)
	}
	if strings.Contains(w.log.String(), shopKey) {
		t.Error("a key is in the log")
	}
}

// Promise: a key does what its scopes allow.
func TestScopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.paid("k1", nil)
	path := "/v1/payments/" + p.text("id")
	w.do(call{method: "GET", path: path, key: readKey}).want(http.StatusOK, "")
	for _, route := range []string{"/v1/payments", path + "/capture", path + "/cancel", path + "/sync", path + "/refunds", path + "/resolve", "/v1/reconcile/runs"} {
		w.do(call{method: "POST", path: route, key: readKey, idem: "x", body: "{}", bad: true}).want(http.StatusForbidden, "forbidden")
	}
	w.do(call{method: "GET", path: "/v1/reconcile/runs", key: shopKey}).want(http.StatusForbidden, "forbidden")
	// Blocking somebody and giving their money back is a refund.
	ban := `{"customer":"eve","reason":"x","refund":true}`
	w.do(call{method: "POST", path: "/v1/blocks", key: writeKey, idem: "x", body: ban}).want(http.StatusForbidden, "forbidden")
	w.do(call{method: "POST", path: "/v1/blocks", key: shopKey, idem: "x", body: ban}).want(http.StatusUnprocessableEntity, "unsupported") // no rules here
	w.do(call{method: "POST", path: "/v1/payments", key: opKey, idem: "x", body: body(nil)}).want(http.StatusForbidden, "forbidden")
	w.do(call{method: "GET", path: path, key: opKey}).want(http.StatusOK, "")
}

// Promise: sizes, encodings and types that we don't read are refused as such.
func TestMediaRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	send := func(body string, header map[string]string) answer {
		return w.do(call{method: "POST", path: "/v1/payments", key: shopKey, idem: "k", body: body, header: header, bad: true})
	}
	pad := func(n int) string { return body(nil) + strings.Repeat(" ", n-len(body(nil))) }
	send(pad(256<<10+1), nil).want(http.StatusRequestEntityTooLarge, "too_large")
	send(pad(256<<10), nil).want(http.StatusCreated, "")
	for _, encoding := range []string{"gzip", "br", "identity, gzip"} {
		send(body(nil), map[string]string{"Content-Encoding": encoding}).want(http.StatusUnsupportedMediaType, "unsupported_media_type")
	}
	send(body(nil), map[string]string{"Content-Encoding": "identity"}).want(http.StatusCreated, "")
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/jsonx", ";", "application/xml"} {
		send(body(nil), map[string]string{"Content-Type": kind}).want(http.StatusUnsupportedMediaType, "unsupported_media_type")
	}
	send(body(nil), map[string]string{"Content-Type": "Application/JSON; charset=UTF-8"}).want(http.StatusCreated, "")
}

// Promise: other methods are 405 with Allow, unknown paths 404, and nothing redirects.
func TestMethodsAndPaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.do(call{method: "DELETE", path: "/v1/payments", key: shopKey}).want(http.StatusMethodNotAllowed, "method_not_allowed")
	if allow := a.header.Get("Allow"); !strings.Contains(allow, "GET") || !strings.Contains(allow, "POST") {
		t.Errorf("Allow: %q", allow)
	}
	for _, method := range []string{"TRACE", "PUT", "PATCH", "OPTIONS"} {
		w.do(call{method: method, path: "/v1/payments"}).want(http.StatusMethodNotAllowed, "")
	}
	for _, path := range []string{"/", "/v1", "/v1/payments/", "/V1/payments", "//v1/payments", "/v1/nothing", "/metrics", "/readyz", "/debug/pprof/", "/favicon.ico"} {
		w.do(call{method: "GET", path: path, key: shopKey}).want(http.StatusNotFound, "not_found")
	}
	w.do(call{method: "GET", path: "/healthz"}).want(http.StatusOK, "")
}

// Guards E15: a script of another origin is allowed nothing, whatever it asks, with a key
// and without, by a simple request or a preflight, of the API and of customers' pages.
func TestNoOtherOriginsScripts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.create("k", map[string]any{"provider": nil})
	page := strings.TrimPrefix(p.text("checkout", "url"), "https://pay.test")
	paths := []string{"/v1/payments", "/v1/payments/" + p.text("id"), "/v1/nothing", "/healthz", "/docs", "/webhooks/stripe/x", page, strings.Replace(page, "/pay/", "/v1/return/", 1)}
	for _, origin := range []string{"https://evil.test", "https://shop.test", "https://pay.test", "null"} {
		for _, path := range paths {
			for _, c := range []struct{ method, key string }{{"GET", shopKey}, {"GET", ""}, {"OPTIONS", ""}, {"OPTIONS", shopKey}} {
				h := map[string]string{"Origin": origin}
				if c.method == "OPTIONS" {
					h["Access-Control-Request-Method"], h["Access-Control-Request-Headers"] = "POST", "authorization,idempotency-key"
					h["Access-Control-Request-Private-Network"] = "true"
				}
				a := w.do(call{method: c.method, path: path, key: c.key, header: h, bad: true})
				for name := range a.header {
					if strings.HasPrefix(name, "Access-Control-") {
						t.Errorf("%s %s from %s is told %s: %s", c.method, path, origin, name, a.header.Get(name))
					}
				}
				if c.method == "OPTIONS" && a.status < 400 {
					t.Errorf("a preflight of %s is answered %d", path, a.status)
				}
			}
		}
	}
}

// Promise: a client's own request id is not believed, ours is in answer and log.
func TestRequestID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.do(call{method: "GET", path: "/v1/nothing", header: map[string]string{"Trifecta-Request-Id": "mine", "X-Request-Id": "mine"}})
	id := a.header.Get("Trifecta-Request-Id")
	if id == "mine" || a.text("request_id") != id || !strings.Contains(w.log.String(), id) {
		t.Errorf("request id %q: %s", id, a.raw)
	}
}

// Promise: a key that asks too much is told to wait and when; other keys don't notice.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *httpapi.Options) { o.RatePerSecond, o.Burst = 1, 3 })
	for left := 2; left >= 0; left-- {
		a := w.get("/v1/payments").want(http.StatusOK, "")
		if a.header.Get("RateLimit-Limit") != "3" || a.header.Get("RateLimit-Remaining") != fmt.Sprint(left) {
			t.Fatalf("headers: %v", a.header)
		}
	}
	a := w.get("/v1/payments").want(http.StatusTooManyRequests, "rate_limited")
	if a.header.Get("Retry-After") == "" || a.header.Get("RateLimit-Remaining") != "0" || a.header.Get("RateLimit-Reset") != "3" {
		t.Fatalf("headers: %v", a.header)
	}
	w.do(call{method: "GET", path: "/v1/payments", key: otherKey}).want(http.StatusOK, "")
	w.clock.advance(1e9)
	w.get("/v1/payments").want(http.StatusOK, "")
}

// J5: Promise: where nothing else is configured, a key has 400 requests at once and 200 a
// second (Options), and is told when there are too many; time alone brings them back.
func TestJ5DefaultRateLimit(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	w := newWorld(t, func(o *httpapi.Options) { o.RatePerSecond, o.Clock = 0, func() time.Time { return at } })
	for _, may := range []int{400, 200, 200} {
		for i := range may + 20 {
			rec := w.direct("GET", "/v1/payments", "203.0.113.7:4711", shopKey, "", nil)
			if i < may && rec.Code != http.StatusOK {
				t.Fatalf("request %d of %d: %d %s", i+1, may, rec.Code, rec.Body)
			}
			if i >= may && (rec.Code != http.StatusTooManyRequests || rec.Header().Get("Retry-After") == "" || rec.Header().Get("RateLimit-Limit") != "400") {
				t.Fatalf("request %d, of which %d may pass: %d %v", i+1, may, rec.Code, rec.Header())
			}
		}
		at = at.Add(time.Second)
	}
}

// Promise: no key, customer's token or provider's text reaches a log line.
func TestNothingSecretInLogs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.create("secret-idempotency-key", map[string]any{"provider": nil})
	page := strings.TrimPrefix(p.text("checkout", "url"), "https://pay.test")
	w.do(call{method: "GET", path: page})
	w.do(call{method: "GET", path: page + "x"})
	w.stripe.fails("create", providerError("not_done", "down"))
	w.choose(p, "stripe")
	w.do(call{method: "GET", path: strings.Replace(page, "/pay/", "/v1/return/", 1) + "&outcome=success"})
	w.do(call{method: "GET", path: "/v1/payments/" + shopKey, key: shopKey})
	w.do(call{method: "GET", path: "/" + shopKey})
	log := w.log.String()
	for _, secret := range []string{shopKey, p.text("checkout", "url"), "?t=", "secret driver text", page} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	token := strings.SplitN(page, "t=", 2)[1]
	if strings.Contains(log, token) {
		t.Error("the customer's token is in the log")
	}
	if !strings.Contains(log, `"route":"/pay/:id"`) {
		t.Error("no access log")
	}
}

// E10: Promise: every method that the document does not describe is refused with 405,
// and Allow names exactly those that it does.
func TestE10UndescribedMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	doc, err := httpapi.Document()
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for path, item := range doc.Paths.Map() {
		var allowed []string
		for method := range item.Operations() {
			allowed = append(allowed, method)
		}
		slices.Sort(allowed)
		target := strings.NewReplacer("{id}", "x", "{provider}", "stripe", "{account}", "a").Replace(path)
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
			if slices.Contains(allowed, method) {
				continue
			}
			asked++
			a := w.do(call{method: method, path: target, key: opKey, bad: true})
			said := strings.FieldsFunc(a.header.Get("Allow"), func(r rune) bool { return r == ',' || r == ' ' })
			slices.Sort(said)
			if a.status != http.StatusMethodNotAllowed || !slices.Equal(said, allowed) {
				t.Errorf("%s %s: %d, Allow %v; want 405 and %v", method, path, a.status, said, allowed)
			}
		}
	}
	if asked < 100 {
		t.Errorf("only %d questions: the document was not read", asked)
	}
}
