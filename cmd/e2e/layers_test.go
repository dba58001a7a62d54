package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
)

// Each layer alone, the other two switched off, brings our record to the
// provider's truth: paid, refunded outside, disputed. The customer closes the
// tab after paying, so nobody ever comes back.
func TestEachLayerAlone(t *testing.T) {
	t.Parallel()
	for name, layers := range map[string]config.Layers{"webhook": {Webhook: true}, "reconcile": {Reconcile: true}} {
		for _, provider := range []string{"stripe", "paypal"} {
			t.Run(name+"/"+provider, func(t *testing.T) {
				t.Parallel()
				tn := start(t, layers)
				p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(1999, "usd", "provider", provider))
				id := text(t, p, "id")
				control, captureField := tn.stripe, "charge"
				if provider == "stripe" {
					tn.pay(p, good)
				} else {
					control, captureField = tn.paypal, "capture"
					tn.approve(p, object{})
				}
				tn.advance(12 * time.Minute)
				p = tn.wantStatus(id, "succeeded")
				if amount(t, p, "captured") != 1999 || p["settled_by"] != name {
					t.Errorf("captured %v, settled by %v", p["amounts"], p["settled_by"])
				}
				tn.wantLedger(id, "capture", 1999)
				capture := tn.ledger(id, "capture")[0].Object
				tn.sandbox(control, "/_sandbox/refunds", object{captureField: capture, "amount": 500}, http.StatusOK)
				tn.advance(8 * time.Hour)
				p = tn.get(id)
				if amount(t, p, "refunded") != 500 {
					t.Errorf("a refund from the provider's dashboard: %v", p["amounts"])
				}
				tn.sandbox(control, "/_sandbox/disputes", object{captureField: capture, "amount": 1499, "reason": reasonOf(provider)}, http.StatusOK)
				tn.advance(8 * time.Hour)
				p = tn.get(id)
				if d, _ := p["disputes"].([]any); len(d) != 1 || amount(t, p, "disputed") != 1499 || amount(t, p, "refundable") != 0 {
					t.Errorf("a dispute: %v %v", p["disputes"], p["amounts"])
				}
				tn.wantLedger(id, "capture", 1999)
				tn.wantFeed(id)
			})
		}
	}
}

func reasonOf(provider string) string {
	if provider == "stripe" {
		return "fraudulent"
	}
	return "UNAUTHORISED"
}

// wantFeed reads the app's feed from the beginning: no gap, every id once, the
// payment's success in it once.
func (tn *town) wantFeed(id string) {
	tn.t.Helper()
	seen := map[string]bool{}
	succeeded, next, sequence := 0, "", 0.0
	for range 100 {
		path := "/v1/events?limit=2"
		if next != "" {
			path += "&after=" + next
		}
		page := tn.must(http.StatusOK, http.MethodGet, path, "", nil)
		data, _ := page["data"].([]any)
		next = text(tn.t, page, "next")
		if len(data) == 0 {
			break
		}
		for _, d := range data {
			e, _ := d.(object)
			sequence++
			if e["sequence"] != sequence || seen[fmt.Sprint(e["id"])] {
				tn.t.Errorf("event %v has sequence %v, want %v", e["id"], e["sequence"], sequence)
			}
			seen[fmt.Sprint(e["id"])] = true
			body, _ := e["data"].(object)
			o, _ := body["object"].(object)
			if e["type"] == "payment.succeeded" && o["id"] == id {
				succeeded++
			}
		}
	}
	if succeeded != 1 {
		tn.t.Errorf("payment.succeeded stands %d times in the feed", succeeded)
	}
}

// Return and webhooks both lost by faults: reconcile alone finds the money.
func TestEverythingLost(t *testing.T) {
	t.Parallel()
	tn := start(t, config.Layers{Return: true, Webhook: true, Reconcile: true})
	tn.sandbox(tn.stripe, "/_sandbox/faults", object{"webhooks": object{"drop": 1}}, http.StatusOK)
	one := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k1", order(1999, "usd", "provider", "stripe"))
	two := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k2", order(500, "jpy", "provider", "paypal"))
	tn.pay(one, good)
	tn.approve(two, object{})
	tn.advance(12 * time.Minute)
	for _, p := range []object{one, two} {
		if p = tn.wantStatus(text(t, p, "id"), "succeeded"); p["settled_by"] != "reconcile" {
			t.Errorf("settled by %v", p["settled_by"])
		}
	}
	tn.wantLedger(text(t, one, "id"), "capture", 1999)
	tn.wantLedger(text(t, two, "id"), "capture", 500)
}

// Webhooks doubled, late and out of order, beside the customer's return: one
// capture, one success in the feed.
func TestWebhookStorm(t *testing.T) {
	t.Parallel()
	tn := start(t, config.Layers{Return: true, Webhook: true, Reconcile: true})
	tn.sandbox(tn.stripe, "/_sandbox/faults", object{"webhooks": object{"duplicate": 1, "delay_ms": []int{0, 60000}, "reorder": true}}, http.StatusOK)
	one := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k1", order(1999, "usd", "provider", "stripe"))
	two := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k2", order(1999, "usd", "provider", "paypal"))
	tn.comeBack(tn.pay(one, good), text(t, one, "id"))
	tn.comeBack(tn.approve(two, object{}), text(t, two, "id"))
	tn.advance(10 * time.Minute)
	for _, p := range []object{one, two} {
		id := text(t, p, "id")
		tn.wantStatus(id, "succeeded")
		tn.wantLedger(id, "capture", 1999)
		tn.wantFeed(id)
	}
}
