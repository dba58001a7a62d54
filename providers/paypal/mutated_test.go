package paypal

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/providertest"
)

// richAnswers are what PayPal says about one paid, refunded, disputed and reversed order.
func richAnswers() map[string]string {
	breakdown := `,"seller_receivable_breakdown":{"gross_amount":{"currency_code":"USD","value":"19.99"},"paypal_fee":{"currency_code":"USD","value":"0.88"},"net_amount":{"currency_code":"USD","value":"19.11"}}`
	capture := strings.Replace(captureJSON(capID, "PARTIALLY_REFUNDED", breakdown+`,"links":[{"rel":"up","href":"https://api-m.paypal.com/v2/payments/authorizations/`+authID+`"}]`), `"update_time":"2026-03-01T11:56:00Z"`, `"update_time":"2026-03-01T11:59:00Z"`, 1)
	refund := `{"id":"` + refID + `","status":"COMPLETED","amount":{"currency_code":"USD","value":"5.00"},"custom_id":"rfd_1","create_time":"2026-03-01T11:58:00Z","update_time":"2026-03-01T11:58:00Z",
 "links":[{"rel":"up","href":"https://api-m.paypal.com/v2/payments/captures/` + capID + `"}],"seller_payable_breakdown":{"paypal_fee":{"currency_code":"USD","value":"0.10"},"net_amount":{"currency_code":"USD","value":"4.90"}}}`
	order := orderJSON("COMPLETED", "AUTHORIZE", `{"captures":[`+capture+`],"authorizations":[`+authJSON(authID, "CAPTURED", "")+`],"refunds":[`+refund+`]}`)
	order = strings.Replace(order, `"amount":{"currency_code":"USD","value":"19.99"},"payments"`,
		`"amount":{"currency_code":"USD","value":"19.99","breakdown":{"item_total":{"currency_code":"USD","value":"20.00"},"discount":{"currency_code":"USD","value":"1.01"},"tax_total":{"currency_code":"USD","value":"1.00"},"shipping":{"currency_code":"USD","value":"0.00"}}},"payments"`, 1)
	dispute := `{"dispute_id":"PP-D-1","create_time":"2026-03-01T11:58:00Z","update_time":"2026-03-01T11:59:00Z","reason":"UNAUTHORISED","status":"RESOLVED","dispute_life_cycle_stage":"CHARGEBACK",
 "dispute_amount":{"currency_code":"USD","value":"4.00"},"seller_response_due_date":"2026-03-11T11:59:00Z","disputed_transactions":[{"seller_transaction_id":"` + capID + `","custom":"` + payID + `"}],
 "dispute_outcome":{"outcome_code":"RESOLVED_BUYER_FAVOUR","amount_refunded":{"currency_code":"USD","value":"4.00"}},
 "money_movements":[{"affected_party":"SELLER","amount":{"currency_code":"USD","value":"4.00"},"type":"DEBIT","reason":"DISPUTE_SETTLEMENT"},{"affected_party":"SELLER","amount":{"currency_code":"USD","value":"20.00"},"type":"DEBIT","reason":"DISPUTE_FEE"}]}`
	return map[string]string{
		"GET /v2/checkout/orders/" + orderID:        order,
		"GET /v2/payments/authorizations/" + authID: authJSON(authID, "CAPTURED", ""),
		"GET /v1/customer/disputes":                 `{"items":[` + dispute + `],"links":[]}`,
		"GET /v1/customer/disputes/PP-D-1":          dispute,
		"GET /v1/reporting/transactions":            `{"page":1,"total_pages":1,"last_refreshed_datetime":"2026-03-01T11:59:59+0000","transaction_details":[{"transaction_info":{"transaction_id":"REV1","paypal_reference_id":"` + capID + `","paypal_reference_id_type":"TXN","transaction_event_code":"T1106","transaction_initiation_date":"2026-03-01T11:58:30+0000","transaction_updated_date":"2026-03-01T11:58:30+0000","transaction_amount":{"currency_code":"USD","value":"-1.00"},"transaction_status":"S"}}]}`,
		"GET /v1/notifications/webhooks-events":     `{"events":[` + captureEvent + `],"links":[]}`,
	}
}

// FuzzFacts: whatever PayPal's answers hold, in whichever place, the adapter does not
// panic, and reports either facts that can be counted, merged and stored, or an
// *Error (I7, I10).
func FuzzFacts(f *testing.F) {
	answers := richAnswers()
	routes := slices.Sorted(maps.Keys(answers))
	damaged := ""
	var body []byte
	s := &stub{routes: map[string]http.HandlerFunc{}}
	for _, route := range routes {
		s.routes[route] = func(w http.ResponseWriter, _ *http.Request) {
			if route == damaged {
				_, _ = w.Write(body)
				return
			}
			_, _ = io.WriteString(w, answers[route])
		}
	}
	a, err := New(Options{
		Account: "paypal-test", Mode: payment.ModeTest, ClientID: "c", ClientSecret: "s", Now: func() time.Time { return startWall },
		Inline: true, HTTPClient: &http.Client{Transport: inMemory{s}},
	})
	if err != nil {
		f.Fatal(err)
	}
	obs, err := a.Fetch(f.Context(), attemptOf(true))
	if err != nil || len(obs.Facts.Captures) != 1 || len(obs.Facts.Refunds) != 1 || len(obs.Facts.Disputes) != 1 || len(obs.Facts.Reversals) != 1 || len(obs.Facts.Fees) < 3 {
		f.Fatalf("the undamaged answers are not read whole: %+v, %v", obs, err)
	}
	for i := range routes {
		for step, value := range []string{`null`, `{}`, `""`, `-1`, `[null]`, `"9999-12-31T23:59:59-01:00"`, `"0000-01-01T00:00:00+01:00"`, `{"currency_code":"USD","value":"-5.00"}`, `{"currency_code":"USD","value":"90071992547409.93"}`} {
			f.Add(byte(i), []byte{byte(step)}, value)
			f.Add(byte(i), []byte{0, 0, byte(step)}, value)
		}
	}
	f.Fuzz(func(t *testing.T, which byte, place []byte, value string) {
		damaged = routes[int(which)%len(routes)]
		var whole, other any
		if err := json.Unmarshal([]byte(answers[damaged]), &whole); err != nil {
			t.Fatal(err)
		}
		if json.Unmarshal([]byte(value), &other) != nil {
			other = value
		}
		if body, err = json.Marshal(providertest.Damage(whole, place[:min(len(place), 12)], other)); err != nil {
			t.Fatal(err)
		}
		obs, err := a.Fetch(t.Context(), attemptOf(true))
		if err == nil {
			providertest.Sound(t, obs)
		} else if e := (*providers.Error)(nil); !asError(err, &e) {
			t.Fatalf("%T leaves the adapter: %v", err, err)
		}
		for _, list := range a.Lists() {
			if _, err := a.Sweep(t.Context(), list, startWall.Add(-time.Hour), startWall, ""); err != nil && !asError(err, new(*providers.Error)) {
				t.Fatalf("%s: %v", list, err)
			}
		}
	})
}
