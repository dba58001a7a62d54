package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
)

// Guards the way from a provider to an admin: a customer disputes at the provider, and a mail that says what to do
// lands in a mail server, once; acknowledged over the API, it is not escalated; and the mail names no customer.
func TestDisputeBecomesMail(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "paypal"} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			box, port := mailServer(t)
			tn := start(t, config.Layers{Return: true, Webhook: true, Reconcile: true}, func(c *config.Config) {
				c.Alerts = config.Alerts{
					Channels: []config.AlertChannel{{
						Name: "ops", Type: config.ChannelEmail, SMTPHost: "127.0.0.1", SMTPPort: port, SMTPTLS: "none",
						From: "alerts@pay.example", To: []string{"ops@shop.example"},
					}},
					Routes:      []config.AlertRoute{{Kinds: []string{"dispute_opened"}, Channels: []string{"ops"}}},
					Escalations: []config.AlertEscalation{{After: 30 * time.Minute, Channels: []string{"ops"}}},
				}
			})
			ordered := order(1999, "usd", "provider", provider)
			ordered["customer"] = object{"email": "customer@home.example"}
			p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", ordered)
			id, control, captureField := text(t, p, "id"), tn.stripe, "charge"
			if provider == "stripe" {
				tn.pay(p, good)
			} else {
				control, captureField = tn.paypal, "capture"
				tn.approve(p, object{})
			}
			tn.advance(12 * time.Minute)
			tn.wantStatus(id, "succeeded")
			if n := len(box.Mails()); n != 0 {
				t.Fatalf("%d mails before anything happened", n)
			}
			tn.sandbox(control, "/_sandbox/disputes", object{captureField: tn.ledger(id, "capture")[0].Object, "amount": 1999, "reason": reasonOf(provider)}, http.StatusOK)
			tn.advance(10 * time.Minute)
			mails := box.Mails()
			if len(mails) != 1 {
				t.Fatalf("%d mails", len(mails))
			}
			m := mails[0]
			if !strings.Contains(m.Subject, "A customer disputes a payment") || strings.Join(m.To, " ") != "ops@shop.example" {
				t.Errorf("subject %q to %v", m.Subject, m.To)
			}
			for _, want := range []string{"What happened", "What it means", "What to do", tn.api.URL + "/v1/payments/" + id} {
				if !strings.Contains(m.Text, want) {
					t.Errorf("the text does not hold %q:\n%s", want, m.Text)
				}
			}
			if strings.Contains(m.Text+m.HTML+m.Subject, "customer@") {
				t.Errorf("the mail names the customer:\n%s", m.Text)
			}
			_, _, list := tn.do(http.MethodGet, "/v1/alerts?state=open&payment="+id, operatorKey, "", nil)
			found, _ := list["data"].([]any)
			if len(found) != 1 {
				t.Fatalf("open alerts: %v", list)
			}
			alert, _ := found[0].(object)["id"].(string)
			if code, _, got := tn.do(http.MethodPost, "/v1/alerts/"+alert+"/ack", operatorKey, "ack-"+id, object{}); code != http.StatusOK || got["state"] != "acked" {
				t.Errorf("ack: %d %v", code, got)
			}
			tn.advance(2 * time.Hour)
			if n := len(box.Mails()); n != 1 {
				t.Errorf("%d mails after it was acknowledged", n)
			}
		})
	}
}

// alertStates are the alerts of a kind that an operator sees, by state.
func (tn *town) alertStates(kind string) []string {
	tn.t.Helper()
	_, _, list := tn.do(http.MethodGet, "/v1/alerts?limit=100", operatorKey, "", nil)
	found, _ := list["data"].([]any)
	var out []string
	for _, a := range found {
		if alert, _ := a.(object); alert["kind"] == kind {
			state, _ := alert["state"].(string)
			by, _ := alert["resolved_by"].(string)
			out = append(out, strings.TrimSpace(state+" "+by))
		}
	}
	return out
}

// Guards that the house watches itself: a provider that fails for minutes becomes an alert, which ends when the provider
// works again; forged webhooks become one alert, not many.
func TestHouseWatchesItself(t *testing.T) {
	t.Parallel()
	tn := start(t, config.Layers{Return: true, Webhook: true})
	tn.sandbox(tn.stripe, "/_sandbox/faults", object{"api": object{"status_500": 1}}, http.StatusOK)
	tn.do(http.MethodPost, "/v1/payments", appKey, "down", order(1999, "usd", "provider", "stripe"))
	for range 6 { // the operation is tried again, with few calls: the breaker opens after twenty, in real time
		tn.advance(time.Minute)
	}
	if got := strings.Join(tn.alertStates("provider_outage"), ","); got != "open" {
		t.Errorf("provider_outage is %q", got)
	}
	tn.sandbox(tn.stripe, "/_sandbox/faults", object{"api": object{"status_500": 0}}, http.StatusOK)
	tn.advance(30 * time.Minute)
	tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "up", order(1999, "usd", "provider", "stripe"))
	tn.advance(2 * time.Minute)
	if got := strings.Join(tn.alertStates("provider_outage"), ","); got != "resolved gone" {
		t.Errorf("after it works again, provider_outage is %q", got)
	}
	for range 25 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tn.api.URL+"/webhooks/stripe/stripe-e2e", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Stripe-Signature", "t=1,v1=00")
		if code, _, _ := tn.send(req); code != http.StatusBadRequest {
			t.Fatalf("a forged webhook got %d", code)
		}
	}
	tn.advance(2 * time.Minute)
	if got := strings.Join(tn.alertStates("webhook_forged"), ","); got != "open" {
		t.Errorf("webhook_forged is %q", got)
	}
}
