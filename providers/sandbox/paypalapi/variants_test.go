package paypalapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/trifecta-pay/trifecta/providers/providertest/paypalspec"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/providers/sandbox/paypalapi"
)

// Guards an order of two sellers: each unit is captured on its own, for its payee, net
// of the platform's fee; nothing that was asked for is lost in the answer.
func TestTwoSellers(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	amount := func(v string) string { return `{"currency_code":"USD","value":"` + v + `"}` }
	body := `{"intent":"CAPTURE","purchase_units":[
		{"reference_id":"a","custom_id":"pay_1","payee":{"merchant_id":"SELLERAAAAAA2"},"amount":{"currency_code":"USD","value":"10.00","breakdown":{"item_total":` + amount("10.00") + `}},
		 "items":[{"name":"Fish","quantity":"2","unit_amount":` + amount("5.00") + `,"sku":"F","category":"PHYSICAL_GOODS"}],
		 "payment_instruction":{"disbursement_mode":"INSTANT","platform_fees":[{"amount":` + amount("1.50") + `}]}},
		{"reference_id":"b","custom_id":"pay_2","amount":` + amount("3.00") + `}]}`
	o := e.must(201, "POST", "/v2/checkout/orders", body, key("k"))
	if o.str("purchase_units.0.items.0.sku") != "F" || o.str("purchase_units.0.payee.merchant_id") != "SELLERAAAAAA2" {
		t.Errorf("order = %v", o)
	}
	_, html := e.page(o.str("id"))
	for _, part := range []string{"2 × Fish", "5.00 USD", "13.00 USD", "Sandbox merchant"} {
		if !strings.Contains(html, part) {
			t.Errorf("page lacks %q", part)
		}
	}
	e.control(200, "/orders/"+o.str("id")+"/approve", "")
	got := e.must(201, "POST", "/v2/checkout/orders/"+o.str("id")+"/capture", "", key("k"))
	if net := got.str("purchase_units.0.payments.captures.0.seller_receivable_breakdown.net_amount.value"); net != "7.66" { // 10.00 - 0.84 - 1.50
		t.Errorf("net = %s", net)
	}
	if got.str("purchase_units.1.payments.captures.0.amount.value") != "3.00" {
		t.Errorf("second unit = %v", got.at("purchase_units.1"))
	}
	var accounts []string
	for _, r := range e.w.Ledger() {
		accounts = append(accounts, r.Kind+" "+r.Account+" "+r.Reference)
	}
	if diff := cmp.Diff([]string{"capture SELLERAAAAAA2 pay_1", "fee SELLERAAAAAA2 pay_1", "capture  pay_2", "fee  pay_2"}, accounts); diff != "" {
		t.Error(diff)
	}
	big := `{"intent":"CAPTURE","purchase_units":[{"amount":` + amount("1.00") + `,"payment_instruction":{"platform_fees":[{"amount":` + amount("1.01") + `}]}}]}`
	e.refused(422, "INVALID_PLATFORM_FEES_AMOUNT", "POST", "/v2/checkout/orders", big, nil)
}

// Guards currencies without decimals: PayPal's numbers on the wire, ISO minor units in
// the ledger (HUF has two decimals there), steps that PayPal can't move are refused.
func TestWholeUnitCurrencies(t *testing.T) {
	t.Parallel()
	for currency, want := range map[string][]entry{
		"JPY": {{"capture", 2000, "pay_1"}, {"fee", 119, "pay_1"}, {"refund", 100, "pay_1"}},
		"HUF": {{"capture", 200000, "pay_1"}, {"fee", 11900, "pay_1"}, {"refund", 100, "pay_1"}},
	} {
		t.Run(currency, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			o := e.must(201, "POST", "/v2/checkout/orders", orderBody("CAPTURE", "2000", currency, "pay_1", ""), key("k"))
			e.control(200, "/orders/"+o.str("id")+"/approve", "")
			got := e.must(201, "POST", "/v2/checkout/orders/"+o.str("id")+"/capture", "", key("k"))
			c := got.str("purchase_units.0.payments.captures.0.id")
			if v := got.str("purchase_units.0.payments.captures.0.seller_receivable_breakdown.net_amount.value"); v != "1881" {
				t.Errorf("net = %s", v)
			}
			e.control(200, "/refunds", `{"capture":"`+c+`","amount":100}`)
			if currency == "HUF" {
				e.control(422, "/refunds", `{"capture":"`+c+`","amount":150}`)
			}
			if diff := cmp.Diff(want, e.ledger()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Guards the edges of the listener: an unknown object is PayPal's 404, a base address that
// can't be linked to is refused at start, control calls say what is wrong.
func TestEdges(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, base := range []string{"", "127.0.0.1:12120", "http://", "ftp://x", "http://x/?a=b", "://"} {
		w := sandbox.NewWorld(sandbox.Options{Wall: func() time.Time { return start }, Client: &http.Client{}})
		if _, err := paypalapi.New(w, paypalapi.Options{BaseURL: base}); err == nil {
			t.Errorf("base URL %q is taken", base)
		}
	}
	c := e.srv.Client()
	resp, err := c.Get(e.srv.URL + "/v1/notifications/certs/CERT-none")
	if err != nil || resp.StatusCode != http.StatusNotFound {
		t.Fatalf("unknown certificate: %v, %v", resp, err)
	}
	resp.Body.Close()
	e.control(404, "/orders/NOSUCH/approve", "")
	e.control(404, "/captures/NOSUCH/settle", "")
	e.control(400, "/orders/"+e.order("CAPTURE", "pay_1", "")+"/approve", `{"capture":"gold"}`)
	e.control(400, "/refunds", `{"capture":`)
	_, cid := e.paid("pay_2", "")
	e.control(404, "/reversals", `{"capture":"NOSUCH"}`)
	e.control(400, "/refunds", `{"capture":"`+cid+`","status":"lost"}`)
	e.refused(404, "INVALID_RESOURCE_ID", "GET", "/v2/payments/captures/NOSUCH", "", nil)
	e.refused(404, "INVALID_RESOURCE_ID", "GET", "/v2/payments/refunds/NOSUCH", "", nil)
	long := opts{"PayPal-Request-Id": strings.Repeat("k", 109), paypalspec.SkipRequestHeader: "1"}
	e.refused(400, "INVALID_STRING_LENGTH", "POST", "/v2/checkout/orders", orderBody("CAPTURE", "1.00", "USD", "c", ""), long)
	for _, patch := range []struct{ op, path, issue string }{
		{"replace", "/intent", "NOT_PATCHABLE"},
		{"replace", "/purchase_units/@reference_id=='x'/amount", "REFERENCE_ID_NOT_FOUND"},
		{"replace", "/purchase_units/@reference_id=='default'/payee", "NOT_PATCHABLE"},
	} {
		e.refused(422, patch.issue, "PATCH", "/v2/checkout/orders/"+e.order("CAPTURE", "pay_3", ""),
			`[{"op":"`+patch.op+`","path":"`+patch.path+`","value":"v"}]`, nil)
	}
}
