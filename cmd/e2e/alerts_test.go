package e2e

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/mailbox"
	"github.com/trifecta-pay/trifecta/config"
)

// Guards the way from a provider to an admin: a customer disputes at the provider, and a mail that says what to do
// lands in a mail server, once; acknowledged over the API, it is not escalated; and the mail names no customer.
func TestDisputeBecomesMail(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "paypal"} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			box, err := mailbox.New(time.Now, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- box.Serve(ctx, l) }()
			t.Cleanup(func() {
				stop()
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
			tn := start(t, config.Layers{Return: true, Webhook: true, Reconcile: true}, func(c *config.Config) {
				c.Alerts = config.Alerts{
					Channels: []config.AlertChannel{{
						Name: "ops", Type: config.ChannelEmail, SMTPHost: "127.0.0.1", SMTPPort: l.Addr().(*net.TCPAddr).Port, SMTPTLS: "none",
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
