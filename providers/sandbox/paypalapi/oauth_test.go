package paypalapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/providers/sandbox/paypalapi"
)

// Guards tokens: any non-empty client works, a token lives 9 h of the virtual clock,
// dies when revoked, and without one the API answers 401 in PayPal's words.
func TestTokens(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	id := e.order("CAPTURE", "pay_1", "")
	get := func(token string) (int, object) {
		return e.call("GET", "/v2/checkout/orders/"+id, "", opts{"Authorization": "Bearer " + token})
	}
	for _, bad := range []string{"", "nonsense"} {
		if status, body := get(bad); status != 401 || body.str("name") != "AUTHENTICATION_FAILURE" {
			t.Errorf("token %q: %d %v", bad, status, body)
		}
	}
	for _, c := range [][2]string{{"", "x"}, {"x", ""}} {
		if status, body := e.tokenCall(c[0], c[1]); status != 401 || !strings.Contains(string(body), "invalid_client") {
			t.Errorf("%v: %d %s", c, status, body)
		}
	}
	old := e.token
	if status, body := e.tokenCall("a", "b"); status != 200 || !strings.Contains(string(body), `"expires_in":32400`) {
		t.Errorf("token answer %d %s", status, body)
	}
	e.w.Advance(context.Background(), 32399*time.Second)
	if status, _ := get(old); status != 404 { // the order has expired, the token has not
		t.Errorf("status just before expiry = %d", status)
	}
	e.w.Advance(context.Background(), time.Second)
	if status, _ := get(old); status != 401 {
		t.Errorf("status after expiry = %d", status)
	}
	fresh := e.login("client-a")
	e.control(200, "/oauth/revoke", "")
	if status, _ := get(fresh); status != 401 {
		t.Errorf("status of a revoked token = %d", status)
	}
}

// Guards the token endpoint's faults, each as often as asked, then health again.
func TestOAuthFaults(t *testing.T) {
	t.Parallel()
	var waited time.Duration
	e := newEnv(t, func(o *paypalapi.Options) {
		o.Wait = func(_ context.Context, d time.Duration) { waited += d }
	})
	for _, tc := range []struct {
		mode, part string
		status     int
	}{
		{"html", "<html>", http.StatusServiceUnavailable},
		{"empty_token", `"token_type":"Bearer"`, http.StatusOK},
		{"no_content", "", http.StatusNoContent},
		{"slow", "access_token", http.StatusOK},
	} {
		e.control(200, "/oauth", `{"mode":"`+tc.mode+`","count":2,"delay_ms":1500}`)
		for range 2 {
			status, body := e.tokenCall("a", "b")
			if status != tc.status || !strings.Contains(string(body), tc.part) || tc.mode == "empty_token" && strings.Contains(string(body), "access_token") {
				t.Errorf("%s: %d %s", tc.mode, status, body)
			}
		}
		e.login("client-a")
	}
	if waited != 3*time.Second {
		t.Errorf("waited %v", waited)
	}
	e.control(200, "/oauth", `{"mode":"no_content"}`)
	for range 3 {
		if status, _ := e.tokenCall("a", "b"); status != http.StatusNoContent {
			t.Errorf("status = %d", status)
		}
	}
	e.control(200, "/oauth", `{"mode":"ok","expires_in":30}`)
	if _, body := e.tokenCall("a", "b"); !strings.Contains(string(body), `"expires_in":30`) {
		t.Errorf("body = %s", body)
	}
	e.control(400, "/oauth", `{"mode":"sideways"}`)
}

// Guards injected failures: PayPal's words, Retry-After, no effect.
func TestFaultBodies(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, tc := range []struct {
		faults sandbox.APIFaults
		status int
		name   string
	}{
		{sandbox.APIFaults{Status429: 1}, http.StatusTooManyRequests, "RATE_LIMIT_REACHED"},
		{sandbox.APIFaults{Status500: 1}, http.StatusInternalServerError, "INTERNAL_SERVER_ERROR"},
	} {
		if err := e.w.SetFaults(sandbox.Faults{API: tc.faults}); err != nil {
			t.Fatal(err)
		}
		status, h, body := e.callRaw("POST", "/v2/checkout/orders", orderBody("CAPTURE", "1.00", "USD", "c", ""), key("x"))
		if status != tc.status || body.str("name") != tc.name || status == 429 && h.Get("Retry-After") == "" {
			t.Errorf("%d %v", status, body)
		}
	}
	if err := e.w.SetFaults(sandbox.Faults{}); err != nil {
		t.Fatal(err)
	}
	e.must(201, "POST", "/v2/checkout/orders", orderBody("CAPTURE", "1.00", "USD", "c", ""), key("x"))
}

// Guards the Date header: callers take it as the provider's time of a read, so it must
// be the virtual clock.
func TestDateIsVirtual(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.advance(90 * time.Minute)
	_, h, _ := e.callRaw("GET", "/v2/checkout/orders/NOSUCH", "", nil)
	if got, want := h.Get("Date"), "Sun, 22 Nov 2026 11:30:00 GMT"; got != want {
		t.Errorf("Date = %q, want %q", got, want)
	}
}
