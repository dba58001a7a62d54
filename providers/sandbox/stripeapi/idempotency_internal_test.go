package stripeapi

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

// While a request runs, a second one with its key is a conflict and runs nothing;
// afterwards it gets the first one's answer.
func TestIdempotencyConflict(t *testing.T) {
	t.Parallel()
	wall := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := sandbox.NewWorld(sandbox.Options{Wall: func() time.Time { return wall }, Client: &http.Client{}})
	a := newAPI(w, Options{})
	send := func() *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/v1/payment_intents", strings.NewReader("amount=500&currency=usd"))
		r.Header.Set("Authorization", "Bearer sk_test_x")
		r.Header.Set("Idempotency-Key", "k1")
		rec := httptest.NewRecorder()
		a.ServeHTTP(rec, r)
		return rec
	}
	w.Lock() // holds the first request inside its execution
	first := make(chan *httptest.ResponseRecorder, 1)
	go func() { first <- send() }()
	for busy := 0; busy == 0; runtime.Gosched() {
		a.idem.mu.Lock()
		busy = len(a.idem.byKey)
		a.idem.mu.Unlock()
	}
	second := send()
	w.Unlock()
	if second.Code != http.StatusConflict || !strings.Contains(second.Body.String(), "idempotency_key_in_use") {
		t.Errorf("%d %s", second.Code, second.Body)
	}
	if got := <-first; got.Code != http.StatusOK {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	if third := send(); third.Code != http.StatusOK || third.Header().Get("Idempotent-Replayed") != "true" || len(a.intents.order) != 1 {
		t.Errorf("%d %v, %d intents", third.Code, third.Header(), len(a.intents.order))
	}
}
