package stripe

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/providertest"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

// TestSandboxWebhooks: every webhook of a payment's life passes the check, and each
// leads to the payment: by its claim, or by an id that the payment knows.
func TestSandboxWebhooks(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var mu sync.Mutex
	var events []providers.Event
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		e, err := l.adapter.Verify(r.Context(), r.Header, body, false, startWall)
		if err != nil {
			t.Errorf("%v: %s", err, body)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if _, err := l.adapter.Verify(r.Context(), r.Header, append(body, ' '), false, startWall); err == nil {
			t.Error("a changed body passes")
		}
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}))
	t.Cleanup(hook.Close)
	l.world.AddEndpoint(sandbox.Endpoint{URL: hook.URL, Secret: secretB, API: "stripe"})

	at := l.begin(t, true)
	if err := l.pay(t, at.Root, providertest.PayDeclined); err == nil {
		t.Fatal("not declined")
	}
	if err := l.pay(t, at.Root, providertest.PayNow); err != nil {
		t.Fatal(err)
	}
	auth := l.fetched(t, at).Authorizations[0].Key.ID
	res, err := l.adapter.Capture(t.Context(), providers.CaptureRequest{Attempt: at, Target: auth, Amount: at.Asked, Final: true}, "c")
	if err != nil {
		t.Fatal(err)
	}
	refund, err := l.adapter.Refund(t.Context(), providers.RefundRequest{Attempt: at, Capture: res.Ref, Amount: payment.Money{Minor: 100, Currency: "usd"}, Operation: "rfd_1"}, "r")
	if err != nil {
		t.Fatal(err)
	}
	l.must(t, "refunds/"+refund.Ref+"/fail", nil)
	l.must(t, "disputes", map[string]any{"charge": res.Ref, "amount": 500})
	l.must(t, "early_fraud_warnings", map[string]any{"charge": res.Ref})
	l.world.Advance(t.Context(), 0)

	known := []string{at.Root.ID, auth, res.Ref, refund.Ref}
	types := map[string]bool{}
	mu.Lock()
	defer mu.Unlock()
	for _, e := range events {
		types[e.Type] = true
		if !e.Relevant || e.Key == "" || e.Live || e.Version != "2023-10-16" || e.Object.ID == "" {
			t.Errorf("%+v", e)
		}
		claimed := e.Hint.PaymentID == at.PaymentID && e.Hint.N == at.N
		if !claimed && !slices.ContainsFunc(e.Hint.Refs, func(id string) bool { return slices.Contains(known, id) }) {
			t.Errorf("%s leads nowhere: %+v", e.Type, e.Hint)
		}
	}
	for _, want := range []string{
		"checkout.session.completed", "payment_intent.payment_failed", "charge.failed", "payment_intent.amount_capturable_updated",
		"charge.captured", "payment_intent.succeeded", "refund.created", "refund.failed", "charge.dispute.created", "radar.early_fraud_warning.created",
	} {
		if !types[want] {
			t.Errorf("no %s among %v", want, types)
		}
	}
}
