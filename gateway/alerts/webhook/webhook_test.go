package webhook_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/gateway/alerts/webhook"
	"github.com/trifecta-pay/trifecta/webhooks/egress"
)

var now = time.Unix(1_800_000_000, 0)

func serve(t *testing.T, secret string, h http.HandlerFunc) *webhook.Channel {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	client, err := egress.New(egress.Options{AllowPrivate: true, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	c, err := webhook.New(webhook.Options{URL: server.URL, Secret: secret, Client: client, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Guards that a receiver can trust what it gets: the body is signed under an id that is the same each time, and says
// what happened, what it means and what to do.
func TestSigned(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte("k"), 32)
	var header []http.Header
	var raw []byte
	c := serve(t, "whsec_"+base64.StdEncoding.EncodeToString(key), func(w http.ResponseWriter, r *http.Request) {
		raw, _ = io.ReadAll(r.Body)
		header = append(header, r.Header)
		w.WriteHeader(http.StatusAccepted)
	})
	m := alerts.Message{
		ID: "ntc_1", Kind: "late_money", Severity: "critical", Reason: "new", Title: "T", At: now, Happened: "H", Means: "M", Do: "D",
		Facts: []alerts.Fact{{Name: "Payment", Value: "pay_1"}}, Links: []alerts.Link{{Text: "L", URL: "https://x"}},
	}
	for range 2 {
		if err := c.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	want := egress.Sign("ntc_1", now, raw, key)
	for _, h := range header {
		for k := range want {
			if h.Get(k) != want.Get(k) {
				t.Errorf("%s: %q, want %q", k, h.Get(k), want.Get(k))
			}
		}
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	data, _ := got["data"].(map[string]any)
	if got["type"] != "alert" || data["happened"] != "H" || data["means"] != "M" || data["do"] != "D" || data["severity"] != "critical" {
		t.Errorf("%s", raw)
	}
}

// Guards that only 2xx counts as taken, that a receiver can ask for patience, and that no weak secret is accepted.
func TestAnswers(t *testing.T) {
	t.Parallel()
	secret := "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))
	for status, ok := range map[int]bool{200: true, 204: true, 302: false, 400: false, 410: false, 429: false, 500: false} {
		c := serve(t, secret, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(status)
		})
		err := c.Send(t.Context(), alerts.Message{ID: "x"})
		var f alerts.Failure
		if (err == nil) != ok || !ok && (!errors.As(err, &f) || f.Permanent || f.RetryAfter != time.Minute) {
			t.Errorf("%d: %v", status, err)
		}
	}
	client, err := egress.New(egress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []webhook.Options{
		{URL: "https://x.example", Secret: "short", Client: client, Clock: time.Now},
		{URL: "http://x.example", Secret: secret, Client: client, Clock: time.Now},
		{URL: "https://x.example", Secret: secret, Clock: time.Now},
	} {
		if _, err := webhook.New(o); err == nil {
			t.Errorf("accepted %q", o.URL)
		}
	}
}
