package house

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// secrets are what a house hands out for the same few requests, at a time that stands
// still: customers' tokens, keys, and the ids of requests.
func secrets(t *testing.T) (out []string) {
	t.Helper()
	o := options(shared(t), &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)})
	o.Config.Apps[0].ReturnOrigins = []string{"https://shop.example.com"}
	h, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for token, k := range map[string]gateway.Key{
		"tk_test_house": {App: "shop", Mode: payment.ModeTest, Scopes: gateway.AllScopes()}, "tk_op_house": {Operator: true},
	} {
		if err := h.Service.AddKey(t.Context(), token, k); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		n := string(rune('a' + len(out)))
		for _, c := range []struct{ path, key, body string }{
			{"/v1/payments", "tk_test_house", `{"amount":500,"currency":"usd","return_url":"https://shop.example.com/done"}`},
			{"/v1/api_keys", "tk_op_house", `{"app":"shop"}`},
		} {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, c.path, strings.NewReader(c.body))
			req.Header.Set("Authorization", "Bearer "+c.key)
			req.Header.Set("Idempotency-Key", n)
			req.Header.Set("Content-Type", "application/json")
			rec := httptest.NewRecorder()
			h.Public.ServeHTTP(rec, req)
			var made struct {
				Key      string
				Checkout struct{ URL string }
			}
			if err := json.Unmarshal(rec.Body.Bytes(), &made); err != nil || rec.Code != http.StatusCreated {
				t.Fatalf("%s: %v, %d %s", c.path, err, rec.Code, rec.Body)
			}
			_, token, _ := strings.Cut(made.Checkout.URL, "?t=")
			out = append(out, rec.Header().Get("Trifecta-Request-Id"), made.Key+token)
		}
	}
	return out
}

// K3: Promise: what is handed out is drawn, not made of anything that another process
// could know too: two houses on stores of their own, at the same frozen time and for the
// same requests, share no customer's token, no key, and no id of a request, nor does one
// give any of them twice.
func TestK3NothingIsHandedOutTwice(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 2 {
		for _, s := range secrets(t) {
			if len(s) < 26 || seen[s] {
				t.Errorf("of %d characters, handed out before: %t", len(s), seen[s])
			}
			seen[s] = true
		}
	}
	if len(seen) != 40 {
		t.Errorf("%d were handed out, want 40", len(seen))
	}
}
