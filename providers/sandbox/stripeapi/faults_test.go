package stripeapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"
)

// faults sets faults or fails the test.
func (r *rig) faults(body string) {
	r.t.Helper()
	if code := r.control(http.MethodPut, "/_sandbox/faults", body, nil); code != 200 {
		r.t.Fatal("faults refused", code, body)
	}
}

// intents counts the intents that exist, without faults.
func (r *rig) intents() int {
	r.t.Helper()
	r.control(http.MethodDelete, "/_sandbox/faults", "", nil)
	_, body, err := r.raw(r.t.Context(), "GET", "/v1/payment_intents", nil, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return count(r.t, body)
}

// A timeout before the effect cuts the connection and did nothing; after the effect
// it cuts the connection too, but the effect is there, and the same key finds it.
func TestTimeoutFaultsCutTheConnection(t *testing.T) {
	t.Parallel()
	for kind, effect := range map[string]int{"timeout_before_effect": 0, "timeout_after_effect": 1} {
		r := newRig(t)
		r.faults(`{"api":{"` + kind + `":1,"timeout_ms":1}}`)
		key := map[string]string{"Idempotency-Key": "k1"}
		if resp, _, err := r.raw(t.Context(), "POST", "/v1/payment_intents", intentForm, key); err == nil {
			t.Fatalf("%s answered %d", kind, resp.StatusCode)
		}
		if n := r.intents(); n != effect {
			t.Errorf("%s: %d intents, want %d", kind, n, effect)
		}
		resp, _, err := r.raw(t.Context(), "POST", "/v1/payment_intents", intentForm, key)
		if err != nil || resp.StatusCode != 200 || (resp.Header.Get("Idempotent-Replayed") == "true") != (effect == 1) {
			t.Errorf("%s, repeated: %v %v", kind, resp, err)
		}
		if n := r.intents(); n != 1 {
			t.Errorf("%s: %d intents in the end", kind, n)
		}
	}
}

// The timeout holds the call only as long as its caller waits, and the effect comes
// even if the caller has gone.
func TestTimeoutEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.faults(`{"api":{"timeout_after_effect":1,"timeout_ms":3600000}}`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := r.raw(ctx, "POST", "/v1/payment_intents", intentForm, nil)
		done <- err
	}()
	for len(r.w.Events("stripe")) == 0 { // the effect happens first
		runtime.Gosched()
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("answered")
	}
	if n := r.intents(); n != 1 {
		t.Errorf("%d intents", n)
	}
}

// An injected 500 did nothing, has Stripe's shape, and is stored under its key as
// Stripe stores it: the same key gets the same 500 although the fault is over.
func TestStatus500IsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.faults(`{"api":{"status_500":1}}`)
	p := &stripe.PaymentIntentParams{Amount: stripe.Int64(500), Currency: stripe.String("usd")}
	p.SetIdempotencyKey("k1")
	_, err := r.sc.PaymentIntents.New(p)
	if e := want(t, err, 500, ""); e.Type != stripe.ErrorTypeAPI || e.RequestID == "" {
		t.Errorf("%+v", e)
	}
	if n := r.intents(); n != 0 {
		t.Errorf("%d intents", n)
	}
	resp, _, err := r.raw(t.Context(), "POST", "/v1/payment_intents", intentForm, map[string]string{"Idempotency-Key": "k1"})
	if err != nil || resp.StatusCode != 500 || resp.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%+v %v", resp, err)
	}
	p.SetIdempotencyKey("k2")
	if _, err := r.sc.PaymentIntents.New(p); err != nil {
		t.Error(err)
	}
}

// A 429 says when to come back and is not stored.
func TestStatus429(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.faults(`{"api":{"status_429":1}}`)
	key := map[string]string{"Idempotency-Key": "k1"}
	resp, body, err := r.raw(t.Context(), "POST", "/v1/payment_intents", intentForm, key)
	if err != nil || resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "1" || !strings.Contains(string(body), "rate_limit") {
		t.Fatalf("%+v %s %v", resp, body, err)
	}
	if n := r.intents(); n != 0 {
		t.Errorf("%d intents", n)
	}
	if resp, _, err := r.raw(t.Context(), "POST", "/v1/payment_intents", intentForm, key); err != nil || resp.StatusCode != 200 {
		t.Errorf("%+v %v", resp, err)
	}
}

// Faults never touch the control API or the hosted page, and a wrong fault is refused.
func TestFaultsSpareControlAndPages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.session(nil)
	r.faults(`{"api":{"timeout_before_effect":1,"status_500":1,"status_429":1,"timeout_ms":1}}`)
	r.pay(s.ID, "4242424242424242")
	resp, _, err := r.raw(t.Context(), "GET", "/c/pay/"+s.ID, nil, nil)
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("%+v %v", resp, err)
	}
	for _, bad := range []string{`{"api":{"status_500":1.5}}`, `{"webhooks":{"delay_ms":[5,1]}}`, `{`, `{"api":{"latency_ms":[-1,2]}}`} {
		if code := r.control(http.MethodPut, "/_sandbox/faults", bad, nil); code != 400 {
			t.Errorf("%s: %d", bad, code)
		}
	}
}

// Every webhook verifies with the SDK, carries the version the SDK is pinned to, and
// shows the object as it was; the event list has the same events.
func TestWebhooksVerifyWithTheSDK(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pi := r.paid("4242424242424242", nil)
	r.deliver()
	got := r.in.events()
	if len(got) != 4 || got[0].Type != "payment_intent.created" || got[3].Type != "checkout.session.completed" {
		t.Fatalf("%+v", got)
	}
	for _, ev := range got {
		if ev.APIVersion != stripe.APIVersion || ev.Created != start.Unix() || ev.Livemode || ev.Account != "" {
			t.Errorf("%+v", ev)
		}
		same, err := r.sc.Events.Get(ev.ID, nil)
		if err != nil || same.Type != ev.Type {
			t.Errorf("%+v %v", same, err)
		}
	}
	var snapshot stripe.PaymentIntent
	if err := json.Unmarshal(got[2].Data.Raw, &snapshot); err != nil || snapshot.ID != pi.ID || snapshot.AmountReceived != 2000 {
		t.Errorf("%+v %v", snapshot, err)
	}
	it, n := r.sc.Events.List(&stripe.EventListParams{Types: stripe.StringSlice([]string{"payment_intent.succeeded", "charge.succeeded"})}), 0
	for it.Next() {
		n++
	}
	if n != 2 || it.Err() != nil {
		t.Errorf("%d events %v", n, it.Err())
	}
	r.advance(30*24*time.Hour + time.Second)
	if it := r.sc.Events.List(nil); it.Next() {
		t.Errorf("event older than 30 days is still listed: %+v", it.Event())
	}
}

// The signature covers the body with the endpoint's own secret and nothing else.
func TestForgedWebhookFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.paid("4242424242424242", nil)
	r.deliver()
	ev, head := r.w.Events("stripe")[0], r.in.heads[0].Get("Stripe-Signature")
	if err := webhook.ValidatePayloadIgnoringTolerance(ev.Body, head, secret); err != nil {
		t.Fatal(err)
	}
	if err := webhook.ValidatePayloadIgnoringTolerance(append(ev.Body, ' '), head, secret); err == nil {
		t.Error("a changed body verifies")
	}
	if err := webhook.ValidatePayloadIgnoringTolerance(ev.Body, head, secret+"x"); err == nil {
		t.Error("another secret verifies")
	}
}

// Connect endpoints get the events of connected accounts and nobody else does.
func TestConnectEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	connect := newReceiver(t)
	r.post("/_sandbox/webhooks/endpoints", `{"url":"`+connect.url+`","secret":"`+secret+`","connect":true}`, nil)
	p := sessionParams(nil)
	p.SetStripeAccount("acct_seller")
	s, err := r.sc.CheckoutSessions.New(p)
	if err != nil {
		t.Fatal(err)
	}
	r.pay(s.ID, "4242424242424242")
	r.deliver()
	if got := connect.events(); len(got) != 4 || got[0].Account != "acct_seller" {
		t.Errorf("%+v", got)
	}
	if got := r.in.events(); len(got) != 0 {
		t.Errorf("the account endpoint got %+v", got)
	}
}

// Endpoints made through the API get what they asked for with the secret they were
// told, and nothing after their deletion.
func TestWebhookEndpointsOfTheAPI(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := newReceiver(t)
	we, err := r.sc.WebhookEndpoints.New(&stripe.WebhookEndpointParams{
		URL: &in.url, APIVersion: stripe.String(stripe.APIVersion),
		EnabledEvents: stripe.StringSlice([]string{"checkout.session.completed"}),
	})
	if err != nil || !strings.HasPrefix(we.Secret, "whsec_") {
		t.Fatal(we, err)
	}
	r.paid("4242424242424242", nil)
	r.deliver()
	in.mu.Lock()
	if len(in.heads) != 1 || len(in.bad) != 1 { // the receiver knows another secret
		t.Errorf("%d deliveries", len(in.heads))
	}
	last := r.w.Events("stripe")[3]
	if err := webhook.ValidatePayloadIgnoringTolerance(last.Body, in.heads[0].Get("Stripe-Signature"), we.Secret); err != nil {
		t.Error(err)
	}
	in.bad = nil
	in.mu.Unlock()
	if it := r.sc.WebhookEndpoints.List(nil); !it.Next() || it.WebhookEndpoint().ID != we.ID || it.WebhookEndpoint().Secret != "" {
		t.Error("list", it.Err())
	}
	if _, err := r.sc.WebhookEndpoints.Del(we.ID, nil); err != nil {
		t.Fatal(err)
	}
	r.paid("4242424242424242", nil)
	r.deliver()
	if len(in.events()) != 1 {
		t.Error("a deleted endpoint got webhooks")
	}
}

// An event names the request and the key that caused it; what happens at the
// dashboard names none. That is how an unknown outcome is recognised.
func TestEventsNameTheirRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pi := r.paid("4242424242424242", nil)
	p := refundParams(pi.LatestCharge.ID, 100)
	p.SetIdempotencyKey("refund-key")
	if _, err := r.sc.Refunds.New(p); err != nil {
		t.Fatal(err)
	}
	r.post("/_sandbox/refunds", `{"charge":"`+pi.ID+`","amount":100}`, nil)
	var keys []string
	for _, e := range r.w.Events("stripe") {
		if e.Type != "refund.created" {
			continue
		}
		var ev struct {
			Request struct {
				ID  string
				Key string `json:"idempotency_key"`
			}
		}
		if err := json.Unmarshal(e.Body, &ev); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, ev.Request.Key)
		if (ev.Request.ID == "") != (ev.Request.Key == "") {
			t.Errorf("%+v", ev)
		}
	}
	if !slices.Equal(keys, []string{"refund-key", ""}) {
		t.Errorf("%q", keys)
	}
}
