package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/httpapi"
)

// direct hands a request to the handler without a client of Go's between, which would
// mend or refuse what is sent here, and without the document's judge, who is slow.
func (w *world) direct(method, path, remote, key, body string, header http.Header) *httptest.ResponseRecorder {
	w.t.Helper()
	req := httptest.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(body))
	req.RemoteAddr = remote
	maps.Copy(req.Header, header)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, req)
	w.guarded(method+" "+path, rec.Result().Header)
	return rec
}

// E8: Promise: who guesses keys is answered 429 soon, at every address of their IPv6
// network and for unknown keys only; right keys work on, from the same address too.
func TestE8GuessingKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const from = "203.0.113.7:4711"
	got := map[int]int{}
	for i := range 10_000 {
		got[w.direct("GET", "/v1/payments", from, fmt.Sprintf("tk_test_%026d", i), "", nil).Code]++
		if i%1000 == 999 {
			if rec := w.direct("GET", "/v1/payments", from, shopKey, "", nil); rec.Code != http.StatusOK {
				t.Fatalf("a right key beside %d wrong ones: %d %s", i+1, rec.Code, rec.Body)
			}
		}
	}
	if got[http.StatusUnauthorized] < 100 || got[http.StatusTooManyRequests] < 9_800 || len(got) != 2 {
		t.Errorf("10,000 wrong keys within 40 s were answered %v", got)
	}
	rec := w.direct("GET", "/v1/payments", from, "tk_test_wrong", "", nil)
	if rec.Code != http.StatusTooManyRequests || rec.Header().Get("Retry-After") == "" || !strings.Contains(rec.Body.String(), "rate_limited") {
		t.Errorf("the last wrong key: %d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	if rec := w.direct("GET", "/v1/payments", "203.0.113.8:4711", "tk_test_wrong", "", nil); rec.Code != http.StatusUnauthorized {
		t.Errorf("another address: %d", rec.Code)
	}
	for range 100 { // over a connection, where the document judges the answers
		w.do(call{method: "GET", path: "/v1/payments", key: "tk_test_wrong"}).want(http.StatusUnauthorized, "unauthenticated")
	}
	w.do(call{method: "GET", path: "/v1/payments", key: "tk_test_wrong"}).want(http.StatusTooManyRequests, "rate_limited")
	clear(got)
	for i := range 300 {
		got[w.direct("GET", "/v1/payments", fmt.Sprintf("[2001:db8:0:1::%x]:4711", i), "tk_test_wrong", "", nil).Code]++
	}
	if got[http.StatusTooManyRequests] < 150 {
		t.Errorf("300 addresses of one IPv6 network were answered %v", got)
	}
	if log := w.log.String(); !strings.Contains(log, `"address":"203.0.113.7"`) || strings.Contains(log, "tk_test_000000000") {
		t.Error("the log doesn't name who guesses, or holds a guess")
	}
}

// E13: Promise: neither who calls nor where customers are sent is taken from headers
// that anybody may write.
func TestE13ForwardedHeadersAreIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	forged := func(i int) http.Header {
		ip := fmt.Sprintf("198.51.100.%d", i%256)
		return http.Header{
			"X-Forwarded-For": {ip}, "X-Real-Ip": {ip}, "Forwarded": {"for=" + ip + ";host=evil.test;proto=http"}, "True-Client-Ip": {ip}, "Cf-Connecting-Ip": {ip},
			"X-Forwarded-Host": {"evil.test"}, "X-Forwarded-Proto": {"http"}, "X-Original-Url": {"/healthz"}, "X-Http-Method-Override": {"GET"}, "Host": {"evil.test"},
		}
	}
	limited := 0
	for i := range 200 {
		if w.direct("GET", "/v1/payments", "203.0.113.7:4711", "tk_test_wrong", "", forged(i)).Code == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited < 90 {
		t.Errorf("an address that names others in its headers was limited %d times of 200", limited)
	}
	h := forged(1)
	h.Set("Idempotency-Key", "k1")
	h.Set("Content-Type", "application/json")
	rec := w.direct("POST", "/v1/payments", "203.0.113.7:4711", shopKey, body(map[string]any{"provider": nil}), h)
	var made struct{ Checkout struct{ URL string } }
	if err := json.Unmarshal(rec.Body.Bytes(), &made); err != nil || rec.Code != http.StatusCreated || !strings.HasPrefix(made.Checkout.URL, "https://pay.test/pay/") {
		t.Fatalf("create: %d %v %s", rec.Code, err, rec.Body)
	}
	page := w.direct("GET", strings.TrimPrefix(made.Checkout.URL, "https://pay.test"), "203.0.113.7:4711", "", "", forged(2))
	if page.Code != http.StatusOK || page.Header().Get("Strict-Transport-Security") == "" {
		t.Errorf("page: %d %v", page.Code, page.Header())
	}
	for name, text := range map[string]string{"answer": rec.Body.String(), "page": page.Body.String(), "headers": fmt.Sprint(rec.Header(), page.Header()), "log": w.log.String()} {
		if strings.Contains(text, "evil.test") || strings.Contains(text, "198.51.100.") {
			t.Errorf("%s: a forged header is in it:\n%s", name, text)
		}
	}
}

// Row I3 of the security list. Promise: line breaks and terminal codes in whatever a caller chooses make no line
// of the log and reach nobody's terminal.
func TestI3LogInjection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *httpapi.Options) { o.NewID = func() string { return "req_1" } })
	const evil = "x\r\n{\"level\":\"INFO\",\"msg\":\"forged\"}\x1b[2J\x1b]0;owned\a\u2028\u0085"
	const inPath = "x%0d%0a%7B%22msg%22:%22forged%22%7D%1b%5B2J"
	const from = "203.0.113.7:4711"
	create := func(idem, body string) int {
		h := http.Header{"Idempotency-Key": {idem}, "Content-Type": {"application/json"}}
		return w.direct("POST", "/v1/payments", from, shopKey, body, h).Code
	}
	asked := 1
	if code := create(evil, body(nil)); code != http.StatusBadRequest {
		t.Errorf("a key with line breaks was answered %d", code)
	}
	for _, field := range []string{"reference", "description", "provider", "currency", "return_url"} {
		asked++
		create("k-"+field, body(map[string]any{field: evil}))
	}
	for _, path := range []string{"/" + inPath, "/v1/payments/" + inPath, "/pay/" + inPath + "?t=" + inPath, "/webhooks/" + inPath + "/" + inPath, "/v1/payments?after=" + inPath} {
		asked += 2
		w.direct("GET", path, from, shopKey, "", http.Header{"User-Agent": {evil}, "X-Request-Id": {evil}})
		w.direct("GET", path, evil, evil, "", nil)
	}
	asked++
	w.stripe.fails("create", providerError("not_done", evil))
	create("k-down", body(nil))
	log := strings.TrimSuffix(w.log.String(), "\n")
	requests := 0
	for line := range strings.SplitSeq(log, "\n") {
		var l struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Msg == "forged" {
			t.Errorf("a line that is not ours: %q (%v)", line, err)
		}
		if l.Msg == "request" {
			requests++
		}
	}
	if requests != asked {
		t.Errorf("%d requests, %d lines of them", asked, requests)
	}
	if strings.ContainsAny(log, "\r\x1b\a") {
		t.Errorf("control characters in the log:\n%q", log)
	}
}
