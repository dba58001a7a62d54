package httpapi_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/trifecta-pay/trifecta/providers"
)

// Promise: fifty equal requests at once make one payment and one provider call;
// each is answered with that payment, or told to come again.
func TestParallelCreatesMakeOnePayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	answers := make([]answer, 50)
	for i := range answers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			answers[i] = w.post("/v1/payments", "same", body(nil))
		}()
	}
	wg.Wait()
	ids := map[string]int{}
	for _, a := range answers {
		switch a.status {
		case http.StatusCreated:
			ids[a.text("id")]++
		case http.StatusConflict:
			if a.body["code"] != "idempotency_in_progress" || a.header.Get("Retry-After") != "2" {
				t.Errorf("conflict: %v %s", a.header, a.raw)
			}
		default:
			t.Errorf("answered %d: %s", a.status, a.raw)
		}
	}
	if len(ids) != 1 || w.stored() != 1 || w.stripe.count("create") != 1 {
		t.Fatalf("%d payments answered, %d stored, %d provider calls", len(ids), w.stored(), w.stripe.count("create"))
	}
}

// Promise: equal values in any spelling are a replay, marked as one; other values are refused.
func TestReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.post("/v1/payments", "k", `{"amount":1999,"currency":"usd","provider":"stripe","return_url":"https://shop.test/","metadata":{"a":"1","b":"2"}}`).want(http.StatusCreated, "")
	if a.header.Get("Idempotent-Replayed") != "" {
		t.Fatal("the first answer is marked as a replay")
	}
	b := w.post("/v1/payments", "k", `{ "metadata":{"b":"2","a":"\u0031"}, "return_url":"https:\/\/shop.test/", "provider":"stripe", "currency":"usd", "amount":1999 }`)
	b.want(http.StatusCreated, "")
	if b.header.Get("Idempotent-Replayed") != "true" || b.text("id") != a.text("id") || w.stripe.count("create") != 1 {
		t.Fatalf("replay: %s", b.raw)
	}
	w.post("/v1/payments", "k", body(map[string]any{"amount": 2000})).want(http.StatusUnprocessableEntity, "idempotency_key_reused")
	c := w.post("/v1/payments", "other key", body(nil)).want(http.StatusCreated, "")
	d := w.do(call{method: "POST", path: "/v1/payments", key: otherKey, idem: "k", body: body(map[string]any{"return_url": "https://other.test/"})}).want(http.StatusCreated, "")
	if c.text("id") == a.text("id") || d.text("id") == a.text("id") {
		t.Fatal("another key or app got the same payment")
	}
}

// Promise: the key is required on every POST, and must be usable.
func TestKeyRequired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, key := range map[string]string{"missing": "", "long": strings.Repeat("k", 256), "not ASCII": "schlüssel", "tab": "a\tb"} {
		a := w.do(call{method: "POST", path: "/v1/payments", key: shopKey, idem: key, body: body(nil), bad: true})
		if a.status != http.StatusBadRequest || a.body["code"] != "idempotency_key_required" {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	id := "pay_" + strings.Repeat("a", 26)
	for _, path := range []string{"/capture", "/cancel", "/sync", "/refunds"} {
		w.do(call{method: "POST", path: "/v1/payments/" + id + path, key: shopKey, bad: true}).want(http.StatusBadRequest, "idempotency_key_required")
	}
	w.post("/v1/payments", strings.Repeat("k", 255), body(nil)).want(http.StatusCreated, "")
	two := http.Header{"Idempotency-Key": {"a", "b"}, "Content-Type": {"application/json"}}
	if rec := w.direct("POST", "/v1/payments", "203.0.113.7:4711", shopKey, body(nil), two); rec.Code != http.StatusBadRequest || w.stored() != 1 {
		t.Errorf("two keys: %d %s, %d payments", rec.Code, rec.Body, w.stored())
	}
}

// Promise: a 503 certainly did nothing: the request may be corrected and
// repeated with its key, and makes the same payment.
func TestCorrectedAfter503(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stripe.fails("create", providerError(providers.NotDone, "rate_limit"))
	a := w.post("/v1/payments", "k", body(nil)).want(http.StatusServiceUnavailable, "provider_unavailable")
	if a.header.Get("Retry-After") == "" || strings.Contains(a.raw, "secret") {
		t.Fatalf("503: %v %s", a.header, a.raw)
	}
	b := w.post("/v1/payments", "k", body(map[string]any{"amount": 2500})).want(http.StatusCreated, "")
	if b.text("id") != a.text("payment_id") || b.at("amount") != float64(2500) || w.stored() != 1 {
		t.Fatalf("corrected: %s", b.raw)
	}
}

// Guards D10: a request that is refused for what stands in it does not burn its key: the
// corrected one is done under the same key, once, and from then on the key is used.
func TestCorrectedAfterRefusal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body, code string
		status           int
	}{
		{"not JSON", `{"amount":`, "malformed", http.StatusBadRequest},
		{"an amount of none", body(map[string]any{"amount": 0}), "invalid_request", http.StatusUnprocessableEntity},
		{"an unknown field", body(map[string]any{"status": "succeeded"}), "invalid_request", http.StatusUnprocessableEntity},
		{"another's return URL", body(map[string]any{"return_url": "https://other.test/"}), "invalid_request", http.StatusUnprocessableEntity},
		{"a currency that is none", body(map[string]any{"currency": "xxx"}), "invalid_request", http.StatusUnprocessableEntity},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for range 2 {
				w.do(call{method: "POST", path: "/v1/payments", key: shopKey, idem: "k", body: c.body, bad: true}).want(c.status, c.code)
			}
			if w.stored() != 0 || w.stripe.count("create") != 0 {
				t.Fatalf("refused, and %d payments, %d calls", w.stored(), w.stripe.count("create"))
			}
			a := w.post("/v1/payments", "k", body(nil)).want(http.StatusCreated, "")
			if a.header.Get("Idempotent-Replayed") != "" || w.stored() != 1 || w.stripe.count("create") != 1 {
				t.Errorf("corrected: %v, %d payments, %d calls", a.header, w.stored(), w.stripe.count("create"))
			}
			w.post("/v1/payments", "k", body(map[string]any{"amount": 2500})).want(http.StatusUnprocessableEntity, "idempotency_key_reused")
		})
	}
	w := newWorld(t)
	path := "/v1/payments/" + w.paid("k", nil).text("id") + "/refunds"
	w.post(path, "r", `{"amount":999999}`).want(http.StatusConflict, "conflict")
	w.post(path, "r", `{"amount":300}`).want(http.StatusCreated, "")
	if n := w.stripe.count("refund"); n != 1 {
		t.Errorf("%d refunds were asked for", n)
	}
}

// Promise: what was answered 202 and came to nothing is told so for ever under its key, and another body is refused; it
// is asked for again with a fresh key.
func TestFailedAfter202(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := "/v1/payments/" + w.paid("k", nil).text("id") + "/refunds"
	w.stripe.fails("refund", providerError(providers.Unknown, "timeout"), providerError(providers.Refused, "not_allowed"))
	w.post(path, "r", `{"amount":300}`).want(http.StatusAccepted, "")
	for range 2 {
		again := w.post(path, "r", `{"amount":300}`).want(http.StatusConflict, "conflict")
		if again.header.Get("Idempotent-Replayed") != "true" || strings.Contains(again.raw, "secret") {
			t.Errorf("again: %v %s", again.header, again.raw)
		}
	}
	w.post(path, "r", `{"amount":400}`).want(http.StatusUnprocessableEntity, "idempotency_key_reused")
	if n := w.stripe.count("refund"); n != 2 {
		t.Errorf("%d calls", n)
	}
	w.post(path, "fresh", `{"amount":300}`).want(http.StatusCreated, "")
}
