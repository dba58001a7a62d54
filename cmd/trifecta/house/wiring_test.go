package house

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/egress"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// stripeEvent is an event about a charge that names nothing of ours.
func stripeEvent(id, version, charge string, at time.Time) string {
	return fmt.Sprintf(`{"id":%q,"object":"event","type":"charge.succeeded","api_version":%q,"created":%d,"livemode":false,
		"data":{"object":{"id":%q,"object":"charge","amount":500,"currency":"usd","paid":true,"status":"succeeded","metadata":{}}}}`, id, version, at.Unix(), charge)
}

// deliver posts an event to a house as Stripe does, signed with a secret.
func deliver(t *testing.T, h *House, event, secret string, at time.Time) *httptest.ResponseRecorder {
	t.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = fmt.Fprintf(mac, "%d.%s", at.Unix(), event)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/stripe/stripe-eu", strings.NewReader(event))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil))))
	rec := httptest.NewRecorder()
	h.Public.ServeHTTP(rec, req)
	return rec
}

// recordOf is what was kept of an event.
func recordOf(t *testing.T, h *House, event string) inbox.Record {
	t.Helper()
	rec, err := store.NewInbox(h.engine).Get(t.Context(), inbox.RecordID("stripe", "stripe-eu", false, event))
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func alertsOf(t *testing.T, h *House) []gateway.AlertRecord {
	t.Helper()
	found, _, err := store.NewAlerts(h.engine).List(t.Context(), store.AlertFilter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

const webhookSecret = "whsec_0123456789abcdef0123456789"

// A13: Promise: an event of another API version than the SDK speaks, which may mean other
// things by the same words, is taken, kept and parked, and told of once; one of that
// version is worked on.
func TestA13OtherAPIVersionIsParked(t *testing.T) {
	t.Parallel()
	c := &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	h := build(t, shared(t), c)
	for id, version := range map[string]string{"evt_old": "2020-08-27", "evt_new": "2025-03-31.basil", "evt_none": "", "evt_ours": "2023-10-16"} {
		if rec := deliver(t, h, stripeEvent(id, version, "ch_"+id, c.now), webhookSecret, c.now); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), `"stored"`) {
			t.Fatalf("%s: %d %s", id, rec.Code, rec.Body)
		}
		want, reason := inbox.Parked, inbox.ReasonVersion
		if id == "evt_ours" {
			want, reason = inbox.Pending, ""
		}
		if got := recordOf(t, h, id); got.State != want || got.Reason != reason {
			t.Errorf("an event of version %q is %s (%q), want %s (%q)", version, got.State, got.Reason, want, reason)
		}
	}
	if _, _, err := h.Inbox.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := alertsOf(t, h); len(found) != 1 || found[0].Kind != "webhook_parked" || found[0].Account != "stripe-eu" {
		t.Errorf("alerts %+v, want one of parked webhooks", found)
	}
}

// Promise: what another system does in a shared account is nobody's business in webhooks
// too: no record of an orphan and no alert, where the configuration says so, and only
// there.
func TestIgnoreForeignWebhooks(t *testing.T) {
	t.Parallel()
	for ignore, want := range map[bool]inbox.State{false: inbox.Parked, true: inbox.Irrelevant} {
		c := &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
		stripe := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Path == "/v1/charges/ch_1" {
				_, _ = fmt.Fprintf(w, `{"id":"ch_1","object":"charge","amount":500,"currency":"usd","created":%d,"paid":true,"captured":true,"status":"succeeded","metadata":{}}`, c.now.Unix())
				return
			}
			_, _ = fmt.Fprintf(w, `{"object":"list","url":%q,"has_more":false,"data":[]}`, r.URL.Path)
		}))
		t.Cleanup(stripe.Close)
		o := options(shared(t), c)
		o.Config.Accounts[0].APIBase, o.Config.Accounts[0].IgnoreForeign = stripe.URL, ignore
		h, err := Build(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if rec := deliver(t, h, stripeEvent("evt_1", "2023-10-16", "ch_1", c.now), webhookSecret, c.now); rec.Code != http.StatusOK {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		for range 40 { // it may belong to a payment that is being made: it is looked for a while
			if _, _, err := h.Inbox.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.now = c.now.Add(time.Minute)
		}
		if got := recordOf(t, h, "evt_1"); got.State != want || got.Reason != inbox.ReasonUnknown {
			t.Errorf("ignore_foreign %t: the event is %s (%q), want %s", ignore, got.State, got.Reason, want)
		}
		if found := alertsOf(t, h); len(found) > 0 == ignore || len(found) > 1 || len(found) == 1 && found[0].Kind != "foreign_money" {
			t.Errorf("ignore_foreign %t: alerts %+v", ignore, found)
		}
	}
}

// channel is an alert channel of a type that calls an address.
func channel(kind, url string) config.AlertChannel {
	return config.AlertChannel{Name: "ops", Type: kind, URL: config.NewSecret(url), Secret: config.NewSecret("whsec_" + strings.Repeat("MDEyMzQ1", 4))}
}

// G6: Promise: no alert is sent to ourselves: a channel at our own name is refused before
// anything is served, in whatever spelling; one elsewhere is not.
func TestG6NoAlertsToOurselves(t *testing.T) {
	t.Parallel()
	try := func(kind, url string) error {
		o := options(shared(t), &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)})
		o.Config.Alerts.Channels = []config.AlertChannel{channel(kind, url)}
		_, err := Build(t.Context(), o)
		return err
	}
	for _, kind := range []string{config.ChannelSlack, config.ChannelWebhook} {
		for _, url := range []string{"https://pay.example.com/hook", "https://PAY.example.com/hook", "https://pay.example.com./hook", "https://pay.example.com:443/hook"} {
			if err := try(kind, url); !errors.Is(err, egress.ErrAddress) || !strings.Contains(err.Error(), "our own") {
				t.Errorf("%s at %s: %v, want it refused as our own", kind, url, err)
			}
		}
		if err := try(kind, "https://hooks.example.org/hook"); err != nil {
			t.Errorf("%s elsewhere: %v", kind, err)
		}
	}
}

// G10: Promise: leave to call private addresses is refused beside anything live, also if a
// configuration got past its own check.
func TestG10NoPrivateAddressesBesideLive(t *testing.T) {
	t.Parallel()
	for mode, ok := range map[string]bool{"test": true, "live": false} {
		o := options(shared(t), &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)})
		o.Config.Accounts[0].Mode, o.Config.Apps[0].Mode = mode, mode
		if mode == "live" {
			o.Config.Accounts[0].SecretKey, o.Config.Accounts[0].APIBase = config.NewSecret("sk_live_house"), ""
		}
		o.Config.Alerts.AllowPrivate = true
		o.Config.Alerts.Channels = []config.AlertChannel{channel(config.ChannelWebhook, "http://127.0.0.1:9/hook")}
		if _, err := Build(t.Context(), o); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "alerts: egress: ") {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

// documents counts what stands in every collection there is.
func documents(t *testing.T, e store.Engine) (n int) {
	t.Helper()
	for _, c := range store.Collections() {
		for after := ""; ; {
			docs, next, err := e.Scan(t.Context(), c.Name, after, store.MaxLimit)
			if err != nil {
				t.Fatalf("%s: %v", c.Name, err)
			}
			n += len(docs)
			if after = next; next == "" {
				break
			}
		}
	}
	return n
}

// J10: Promise: forged webhooks, judged by the real check of Stripe's signature behind the
// whole public handler, leave nothing in any collection, and refusing one costs far less
// than what a flood would need to keep us busy.
func TestJ10ForgedWebhooksLeaveNothing(t *testing.T) {
	t.Parallel()
	c := &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	e := shared(t)
	h := build(t, e, c)
	before, least := documents(t, e), time.Hour
	for batch := range 20 {
		start := time.Now()
		for n := range 100 {
			event := stripeEvent(fmt.Sprintf("evt_%d_%d", batch, n), "2023-10-16", "ch_1", c.now)
			secret, at := "whsec_guessed_by_somebody_else_00", c.now
			if n%2 == 1 { // the right secret, of a delivery that is too old
				secret, at = webhookSecret, c.now.Add(-time.Hour)
			}
			if rec := deliver(t, h, event, secret, at); rec.Code != http.StatusBadRequest {
				t.Fatalf("a forged webhook: %d %s", rec.Code, rec.Body)
			}
		}
		least = min(least, time.Since(start)/100) // the quickest batch: a busy machine slows the others
	}
	if n := documents(t, e); n != before {
		t.Errorf("%d documents, %d before the flood", n, before)
	}
	if least > 2*time.Millisecond { // it takes some 30 µs
		t.Errorf("refusing one takes %v", least)
	}
	if rec := deliver(t, h, stripeEvent("evt_real", "2023-10-16", "ch_1", c.now), webhookSecret, c.now); rec.Code != http.StatusOK || documents(t, e) == before {
		t.Errorf("a real one after the flood: %d %s", rec.Code, rec.Body)
	}
}
