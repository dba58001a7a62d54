package httpapi_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/httpapi"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// What a route asks of a key, in words of this test's own: if a route of the product asked
// for less, the table below would not follow it.
const (
	anybody  = "" // no key at all
	read     = "payments:read"
	write    = "payments:write"
	refund   = "refunds:write"
	dispute  = "disputes:write"
	operator = "operator"
)

// needs is every route that there is, with what a key must carry for it.
var needs = map[string]string{
	"GET /healthz":       anybody,
	"GET /openapi.json":  anybody,
	"GET /openapi.yaml":  anybody,
	"GET /docs":          anybody,
	"GET /pay/:id":       anybody, // the customer's token is the key there
	"POST /pay/:id":      anybody,
	"GET /v1/return/:id": anybody,

	// The provider's signature is the key there.
	"POST /webhooks/:provider/:account":         anybody,
	"POST /webhooks/:provider/:account/connect": anybody,

	"POST /v1/payments":             write,
	"GET /v1/payments":              read,
	"GET /v1/payments/:id":          read,
	"POST /v1/payments/:id/capture": write,
	"POST /v1/payments/:id/cancel":  write,
	"POST /v1/payments/:id/sync":    write,
	"POST /v1/payments/:id/resolve": operator,
	"POST /v1/payments/:id/refunds": refund,
	"GET /v1/payments/:id/refunds":  read,
	"GET /v1/payments/:id/history":  read,
	"GET /v1/payments/:id/funds":    read,
	"GET /v1/refunds/:id":           read,

	"GET /v1/disputes":               read,
	"GET /v1/disputes/:id":           read,
	"POST /v1/disputes/:id/accept":   dispute,
	"POST /v1/disputes/:id/evidence": dispute,

	"GET /v1/alerts":              read,
	"POST /v1/alerts/:id/ack":     write,
	"POST /v1/alerts/:id/snooze":  write,
	"POST /v1/alerts/:id/resolve": write,
	"GET /v1/events":              read,
	"GET /v1/blocks":              read,
	"POST /v1/blocks":             write,
	"GET /v1/blocks/:id":          read,
	"DELETE /v1/blocks/:id":       write,
	"GET /v1/discrepancies":       read,

	"GET /v1/risk/decisions":              read,
	"GET /v1/risk/decisions/:id":          read,
	"POST /v1/risk/decisions/:id/confirm": operator,
	"POST /v1/risk/decisions/:id/reverse": operator,
	"POST /v1/risk/dry_run":               operator,
	"GET /v1/reconcile/runs":              operator,
	"POST /v1/reconcile/runs":             operator,
	"POST /v1/discrepancies/:id/resolve":  operator,
	"GET /v1/api_keys":                    operator,
	"POST /v1/api_keys":                   operator,
	"DELETE /v1/api_keys/:id":             operator,
	"GET /v1/encryption":                  operator,
	"POST /v1/encryption/rotate":          operator,
	"GET /v1/erasures":                    operator,
	"POST /v1/erasures":                   operator,
	"GET /v1/erasures/:id":                operator,
	"GET /v1/settings":                    operator,
	"PUT /v1/settings":                    operator,
}

// keyOf makes a key with these scopes alone, for the shop.
func (w *world) keyOf(scopes ...string) string {
	w.t.Helper()
	token := "tk_test_" + strings.Join(append(scopes, "scopesscopesscopesscopes"), "_")
	if err := w.svc.AddKey(w.t.Context(), token, gateway.Key{App: "shop", Mode: payment.ModeTest, Scopes: scopes}); err != nil {
		w.t.Fatal(err)
	}
	return token
}

// asks sends the least request of a route with a key, and says how it was answered.
func (w *world) asks(route, key string) (status int, says string) {
	w.t.Helper()
	method, path, _ := strings.Cut(route, " ")
	path = strings.NewReplacer(":provider", "stripe", ":account", "x", ":id", "pay_"+strings.Repeat("a", 26)).Replace(path)
	body, h := "", http.Header{}
	if method == http.MethodPost || method == http.MethodPut {
		body = "{}"
		h.Set("Content-Type", "application/json")
		h.Set("Idempotency-Key", "k")
	}
	rec := w.direct(method, path, "203.0.113.7:4711", key, body, h)
	return rec.Code, rec.Body.String()
}

// E4: Promise: a key does what its scopes allow and nothing else, on every route there is:
// with none of them, each of them, and every set of them; a route that is new must say
// here what it asks for.
func TestE4EveryRouteNeedsItsScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(needs)), httpapi.RoutesOf(w.handler)); diff != "" {
		t.Fatalf("the table (-) and the routes (+) differ:\n%s", diff)
	}
	all := []string{read, write, refund, dispute}
	for set := range 1 << len(all) {
		var scopes []string
		for i, scope := range all {
			if set&(1<<i) != 0 {
				scopes = append(scopes, scope)
			}
		}
		key := w.keyOf(scopes...)
		for route, needed := range needs {
			may := needed == anybody || slices.Contains(scopes, needed)
			status, says := w.asks(route, key)
			if refused := status == http.StatusForbidden && strings.Contains(says, `"forbidden"`); refused == may || status == http.StatusUnauthorized {
				t.Errorf("%s with %v: %d %s; it needs %q", route, scopes, status, says, needed)
			}
		}
	}
	for route, needed := range needs {
		if status, says := w.asks(route, ""); (status == http.StatusUnauthorized) != (needed != anybody) {
			t.Errorf("%s without a key: %d %s; it needs %q", route, status, says, needed)
		}
		ofOneApp := route == "GET /v1/payments" || route == "POST /v1/payments" // an operator has none
		if status, says := w.asks(route, opKey); status == http.StatusUnauthorized || (status == http.StatusForbidden) != ofOneApp {
			t.Errorf("%s with an operator's key: %d %s", route, status, says)
		}
	}
	if w.stored() != 0 || w.stripe.count("")+w.paypal.count("") != 0 {
		t.Error("an empty request stored a payment or called a provider")
	}
}
