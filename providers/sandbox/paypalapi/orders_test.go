package paypalapi_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/trifecta-pay/trifecta/providers/providertest/paypalspec"
)

// Guards the whole life of a paid order: links, statuses, times, the redirect, the
// fee, refunds in two parts, ledger and events.
func TestOrderLifeCycle(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	o := e.must(201, "POST", "/v2/checkout/orders", orderBody("CAPTURE", "10.00", "USD", "pay_1", "INV-1"), key("k1"))
	id := o.str("id")
	if o.str("status") != "PAYER_ACTION_REQUIRED" || o.link("payer-action") != e.srv.URL+"/checkoutnow?token="+id {
		t.Fatalf("created order = %v", o)
	}
	if o.str("create_time") != "2026-11-22T10:00:00Z" || o.str("purchase_units.0.payee.merchant_id") == "" {
		t.Errorf("created order = %v", o)
	}
	e.refused(422, "ORDER_NOT_APPROVED", "POST", "/v2/checkout/orders/"+id+"/capture", "", key("k2"))
	e.advance(time.Minute)
	back := e.control(200, "/orders/"+id+"/approve", "").str("redirect_url")
	u, err := url.Parse(back)
	if err != nil || u.Query().Get("token") != id || u.Query().Get("PayerID") == "" || u.Query().Get("x") != "1" {
		t.Fatalf("redirect = %q, %v", back, err)
	}
	if got := e.must(200, "GET", "/v2/checkout/orders/"+id, "", nil); got.str("status") != "APPROVED" || got.str("update_time") != "" {
		t.Fatalf("approved order = %v", got)
	}
	done := e.must(201, "POST", "/v2/checkout/orders/"+id+"/capture", "{}", key("k2"))
	capture := object(done.at("purchase_units.0.payments.captures.0").(map[string]any))
	if done.str("status") != "COMPLETED" || capture.str("status") != "COMPLETED" || capture["final_capture"] != true {
		t.Fatalf("captured order = %v", done)
	}
	if fee := capture.str("seller_receivable_breakdown.paypal_fee.value"); fee != "0.84" { // 3.49 % of 10.00 + 0.49
		t.Errorf("fee = %s", fee)
	}
	e.refused(422, "ORDER_ALREADY_CAPTURED", "POST", "/v2/checkout/orders/"+id+"/capture", "", key("k3"))

	cid := capture.str("id")
	r1 := e.must(201, "POST", "/v2/payments/captures/"+cid+"/refund", `{"amount":{"currency_code":"USD","value":"4.00"},"invoice_id":"R-1","custom_id":"rfd_1"}`, key("k4"))
	if r1.str("status") != "COMPLETED" || r1.link("up") != e.srv.URL+"/v2/payments/captures/"+cid || r1.str("custom_id") != "rfd_1" {
		t.Fatalf("refund = %v", r1)
	}
	e.refused(422, "DUPLICATE_INVOICE_ID", "POST", "/v2/payments/captures/"+cid+"/refund", `{"amount":{"currency_code":"USD","value":"1.00"},"invoice_id":"R-1"}`, key("k5"))
	e.refused(422, "REFUND_AMOUNT_EXCEEDED", "POST", "/v2/payments/captures/"+cid+"/refund", `{"amount":{"currency_code":"USD","value":"6.01"}}`, key("k6"))
	if got := e.must(200, "GET", "/v2/payments/captures/"+cid, "", nil); got.str("status") != "PARTIALLY_REFUNDED" {
		t.Errorf("capture = %v", got)
	}
	r2 := e.must(201, "POST", "/v2/payments/captures/"+cid+"/refund", "{}", key("k7"))
	if r2.str("amount.value") != "6.00" || r2.str("seller_payable_breakdown.total_refunded_amount.value") != "10.00" || r2.str("custom_id") != "pay_1" {
		t.Errorf("rest of refund = %v", r2)
	}
	e.refused(422, "CAPTURE_FULLY_REFUNDED", "POST", "/v2/payments/captures/"+cid+"/refund", "", key("k8"))
	got := e.must(200, "GET", "/v2/checkout/orders/"+id, "", nil)
	if got.str("purchase_units.0.payments.captures.0.status") != "REFUNDED" || got.len("purchase_units.0.payments.refunds") != 2 {
		t.Errorf("order after refunds = %v", got)
	}
	if r := e.must(200, "GET", "/v2/payments/refunds/"+r1.str("id"), "", nil); r.str("invoice_id") != "R-1" {
		t.Errorf("refund by id = %v", r)
	}
	want := []entry{{"capture", 1000, "pay_1"}, {"fee", 84, "pay_1"}, {"refund", 400, "pay_1"}, {"refund", 600, "pay_1"}}
	if diff := cmp.Diff(want, e.ledger()); diff != "" {
		t.Error(diff)
	}
	wantEvents := []string{"CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED", "CHECKOUT.ORDER.COMPLETED", "PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REFUNDED"}
	if diff := cmp.Diff(wantEvents, e.events()); diff != "" {
		t.Error(diff)
	}
	if ev := e.lastEvent(); ev.str("resource_type") != "refund" || ev.str("resource.id") != r2.str("id") {
		t.Errorf("last event = %v", ev)
	}
}

// Guards the shape without payment_source: CREATED, an approve link, no request id
// needed, minimal answers unless the whole is asked for.
func TestPlainOrder(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	body := `{"intent":"CAPTURE","purchase_units":[{"amount":{"currency_code":"EUR","value":"5"}}],
		"application_context":{"return_url":"https://shop.example.com/a","cancel_url":"https://shop.example.com/b"}}`
	o := e.must(201, "POST", "/v2/checkout/orders", body, nil)
	if o.str("status") != "CREATED" || o.link("approve") == "" || o["purchase_units"] != nil || o["create_time"] != nil {
		t.Fatalf("minimal order = %v", o)
	}
	if got := e.control(200, "/orders/"+o.str("id")+"/cancel", "").str("redirect_url"); got != "https://shop.example.com/b?token="+o.str("id") {
		t.Errorf("cancel goes to %q", got)
	}
	e.must(204, "PATCH", "/v2/checkout/orders/"+o.str("id"), `[{"op":"replace","path":"/purchase_units/@reference_id=='default'/amount","value":{"currency_code":"EUR","value":"6.00"}},
		{"op":"add","path":"/purchase_units/@reference_id=='default'/custom_id","value":"pay_9"}]`, nil)
	got := e.must(200, "GET", "/v2/checkout/orders/"+o.str("id"), "", nil)
	if got.str("purchase_units.0.amount.value") != "6.00" || got.str("purchase_units.0.custom_id") != "pay_9" {
		t.Errorf("patched order = %v", got)
	}
	e.refused(422, "AMOUNT_MISMATCH", "PATCH", "/v2/checkout/orders/"+o.str("id"), `[{"op":"replace","path":"/purchase_units/@reference_id=='default'/amount",
		"value":{"currency_code":"EUR","value":"6.00","breakdown":{"item_total":{"currency_code":"EUR","value":"5.00"}}}}]`, nil)
	e.control(200, "/orders/"+o.str("id")+"/approve", "")
	m := e.must(201, "POST", "/v2/checkout/orders/"+o.str("id")+"/capture", "", nil)
	if m.str("status") != "COMPLETED" || m["purchase_units"] != nil {
		t.Errorf("minimal capture = %v", m)
	}
}

// Guards that requests PayPal refuses are refused, with PayPal's issue and place.
func TestOrderChecks(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	unit := func(u string) string { return `{"intent":"CAPTURE","purchase_units":[` + u + `]}` }
	usd := func(v string) string { return `{"currency_code":"USD","value":"` + v + `"}` }
	item := `"items":[{"name":"A","quantity":"2","unit_amount":` + usd("3.00") + `,"tax":` + usd("0.50") + `}]`
	for name, tc := range map[string]struct {
		body, issue string
		status      int
	}{
		"no units":       {`{"intent":"CAPTURE","purchase_units":[]}`, "MISSING_REQUIRED_PARAMETER", 400},
		"bad json":       {`{"intent":`, "MALFORMED_REQUEST_JSON", 400},
		"intent":         {`{"intent":"SALE","purchase_units":[{"amount":` + usd("1") + `}]}`, "INVALID_PARAMETER_VALUE", 400},
		"currency":       {unit(`{"amount":{"currency_code":"XXX","value":"1"}}`), "INVALID_CURRENCY_CODE", 422},
		"yen decimals":   {unit(`{"amount":{"currency_code":"JPY","value":"10.50"}}`), "DECIMALS_NOT_SUPPORTED", 422},
		"forint point":   {unit(`{"amount":{"currency_code":"HUF","value":"10.00"}}`), "DECIMALS_NOT_SUPPORTED", 422},
		"precision":      {unit(`{"amount":` + usd("10.999") + `}`), "DECIMAL_PRECISION", 422},
		"zero":           {unit(`{"amount":` + usd("0.00") + `}`), "CANNOT_BE_ZERO_OR_NEGATIVE", 422},
		"negative":       {unit(`{"amount":` + usd("-1.00") + `}`), "CANNOT_BE_ZERO_OR_NEGATIVE", 422},
		"too much":       {unit(`{"amount":` + usd("9999999999999999.99") + `}`), "MAX_VALUE_EXCEEDED", 422},
		"syntax":         {unit(`{"amount":` + usd("1,00") + `}`), "INVALID_PARAMETER_SYNTAX", 400},
		"no item total":  {unit(`{"amount":` + usd("6.00") + `,` + item + `}`), "ITEM_TOTAL_REQUIRED", 422},
		"item total":     {unit(`{"amount":{"currency_code":"USD","value":"7.00","breakdown":{"item_total":` + usd("7.00") + `}},` + item + `}`), "ITEM_TOTAL_MISMATCH", 422},
		"no tax total":   {unit(`{"amount":{"currency_code":"USD","value":"6.00","breakdown":{"item_total":` + usd("6.00") + `}},` + item + `}`), "TAX_TOTAL_REQUIRED", 422},
		"tax total":      {unit(`{"amount":{"currency_code":"USD","value":"8.00","breakdown":{"item_total":` + usd("6.00") + `,"tax_total":` + usd("2.00") + `}},` + item + `}`), "TAX_TOTAL_MISMATCH", 422},
		"breakdown":      {unit(`{"amount":{"currency_code":"USD","value":"7.00","breakdown":{"item_total":` + usd("6.00") + `,"discount":` + usd("1.00") + `}}}`), "AMOUNT_MISMATCH", 422},
		"two currencies": {unit(`{"reference_id":"a","amount":` + usd("1") + `},{"reference_id":"b","amount":{"currency_code":"EUR","value":"1"}}`), "MULTI_CURRENCY_ORDER", 422},
		"same reference": {unit(`{"reference_id":"a","amount":` + usd("1") + `},{"reference_id":"a","amount":` + usd("1") + `}`), "DUPLICATE_REFERENCE_ID", 422},
		"no reference":   {unit(`{"reference_id":"a","amount":` + usd("1") + `},{"amount":` + usd("1") + `}`), "REFERENCE_ID_REQUIRED", 422},
		"custom id":      {unit(`{"custom_id":"` + strings.Repeat("x", 128) + `","amount":` + usd("1") + `}`), "INVALID_STRING_LENGTH", 400},
		"return url":     {`{"intent":"CAPTURE","purchase_units":[{"amount":` + usd("1") + `}],"application_context":{"return_url":"javascript:alert(1)"}}`, "INVALID_PARAMETER_SYNTAX", 400},
		"no request id":  {orderBody("CAPTURE", "1.00", "USD", "c", "i"), "PAYPAL_REQUEST_ID_REQUIRED", 400},
	} {
		t.Run(name, func(t *testing.T) {
			e := &env{t: t, w: e.w, srv: e.srv, token: e.token}
			e.refused(tc.status, tc.issue, "POST", "/v2/checkout/orders", tc.body, opts{paypalspec.SkipRequestHeader: "1"})
		})
	}
	good := unit(`{"amount":{"currency_code":"USD","value":"7.00","breakdown":{"item_total":` + usd("6.00") + `,"tax_total":` + usd("1.00") + `}},` + item + `}`)
	e.must(201, "POST", "/v2/checkout/orders", good, full)
}

// Guards the order's death: three hours after creation, unless completed, it is not
// found, can't be approved, and its page says so.
func TestOrderExpires(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	dead := e.order("CAPTURE", "pay_1", "")
	approved := e.order("CAPTURE", "pay_2", "")
	paid, _ := e.paid("pay_3", "")
	e.control(200, "/orders/"+approved+"/approve", "")
	e.advance(3*time.Hour - time.Second)
	e.must(200, "GET", "/v2/checkout/orders/"+dead, "", nil)
	e.advance(time.Second)
	for _, id := range []string{dead, approved, "NOSUCHORDER"} {
		if o := e.refused(404, "INVALID_RESOURCE_ID", "GET", "/v2/checkout/orders/"+id, "", nil); o.str("name") != "RESOURCE_NOT_FOUND" {
			t.Errorf("name = %s", o.str("name"))
		}
	}
	e.refused(404, "INVALID_RESOURCE_ID", "POST", "/v2/checkout/orders/"+approved+"/capture", "", e.nextKey())
	e.control(409, "/orders/"+dead+"/approve", "")
	e.must(200, "GET", "/v2/checkout/orders/"+paid, "", nil)
	if len(e.w.Ledger()) != 2 {
		t.Errorf("ledger = %v", e.ledger())
	}
}

// Guards idempotency: a repeat within the retention answers the same object with 200
// and moves nothing; after it, the natural guards answer instead.
func TestRequestIDRetention(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	body := orderBody("CAPTURE", "10.00", "USD", "pay_1", "")
	first := e.must(201, "POST", "/v2/checkout/orders", body, key("create"))
	id := first.str("id")
	e.control(200, "/orders/"+id+"/approve", "")
	again := e.must(200, "POST", "/v2/checkout/orders", body, key("create"))
	if again.str("id") != id || again.str("status") != "APPROVED" {
		t.Fatalf("replay = %v, want the latest status of %s", again, id)
	}
	e.must(201, "POST", "/v2/checkout/orders/"+id+"/capture", "", key("capture"))
	e.advance(6*time.Hour - time.Second)
	replay := e.must(200, "POST", "/v2/checkout/orders/"+id+"/capture", "", key("capture"))
	cid := replay.str("purchase_units.0.payments.captures.0.id")
	e.advance(time.Second)
	e.refused(422, "ORDER_ALREADY_CAPTURED", "POST", "/v2/checkout/orders/"+id+"/capture", "", key("capture"))
	if other := e.must(201, "POST", "/v2/checkout/orders", body, key("create")); other.str("id") == id {
		t.Error("an expired request id still answers the old order")
	}

	refund := `{"amount":{"currency_code":"USD","value":"1.00"}}`
	r := e.must(201, "POST", "/v2/payments/captures/"+cid+"/refund", refund, key("refund"))
	e.advance(45*24*time.Hour - time.Second)
	if got := e.must(200, "POST", "/v2/payments/captures/"+cid+"/refund", refund, key("refund")); got.str("id") != r.str("id") {
		t.Errorf("replay made %s", got.str("id"))
	}
	e.advance(time.Second)
	if got := e.must(201, "POST", "/v2/payments/captures/"+cid+"/refund", refund, key("refund")); got.str("id") == r.str("id") {
		t.Error("an expired request id still answers the old refund")
	}
	e.advance(140 * 24 * time.Hour)
	e.refused(422, "REFUND_TIME_LIMIT_EXCEEDED", "POST", "/v2/payments/captures/"+cid+"/refund", refund, key("late"))
}

// Guards the declined instrument: no money, links back to the same order, the same
// request id repeats the decline, a new approval with a new id pays.
func TestInstrumentDeclined(t *testing.T) {
	t.Parallel()
	for intent, verb := range map[string]string{"CAPTURE": "capture", "AUTHORIZE": "authorize"} {
		t.Run(intent, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			id := e.order(intent, "pay_1", "")
			path := "/v2/checkout/orders/" + id + "/" + verb
			e.control(200, "/orders/"+id+"/approve", `{"capture":"declined"}`)
			no := e.refused(422, "INSTRUMENT_DECLINED", "POST", path, "", key("a"))
			if want := e.srv.URL + "/checkoutnow?token=" + id; no.link("redirect") != want || no.link("payer-action") != want {
				t.Errorf("links = %v", no["links"])
			}
			e.refused(422, "INSTRUMENT_DECLINED", "POST", path, "", key("b")) // nothing changed meanwhile
			e.control(200, "/orders/"+id+"/approve", "")
			e.refused(422, "INSTRUMENT_DECLINED", "POST", path, "", key("a")) // the id remembers its decline
			e.must(201, "POST", path, "", key("c"))
			if n := len(e.w.Ledger()); (intent == "CAPTURE") != (n == 2) {
				t.Errorf("ledger rows = %d", n)
			}
		})
	}
}

// Guards the invoice id as a second guard against paying twice.
func TestDuplicateInvoice(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a, b := e.order("CAPTURE", "pay_1", "INV-7"), e.order("CAPTURE", "pay_1", "INV-7")
	for _, id := range []string{a, b} {
		e.control(200, "/orders/"+id+"/approve", "")
	}
	e.must(201, "POST", "/v2/checkout/orders/"+a+"/capture", "", e.nextKey())
	e.refused(422, "DUPLICATE_INVOICE_ID", "POST", "/v2/checkout/orders/"+b+"/capture", "", e.nextKey())
	e.refused(422, "ACTION_DOES_NOT_MATCH_INTENT", "POST", "/v2/checkout/orders/"+b+"/authorize", "", e.nextKey())
	if got := e.ledger(); len(got) != 2 {
		t.Errorf("ledger = %v", got)
	}
}

// Guards the asynchronous outcomes: pending moves no money and can't be refunded,
// settling completes or denies it, and a declined capture completes its order.
func TestPendingAndDeclinedCaptures(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	o1, c1 := e.paid("pay_1", `{"capture":"pending"}`)
	got := e.must(200, "GET", "/v2/payments/captures/"+c1, "", nil)
	if got.str("status") != "PENDING" || got.str("status_details.reason") != "ECHECK" || got["seller_receivable_breakdown"] != nil {
		t.Fatalf("pending capture = %v", got)
	}
	e.refused(422, "PENDING_CAPTURE", "POST", "/v2/payments/captures/"+c1+"/refund", "", e.nextKey())
	if len(e.w.Ledger()) != 0 {
		t.Errorf("ledger before settling = %v", e.ledger())
	}
	e.advance(48 * time.Hour)
	e.control(400, "/captures/"+c1+"/settle", `{"outcome":"maybe"}`)
	e.control(200, "/captures/"+c1+"/settle", `{"outcome":"completed"}`)
	e.control(409, "/captures/"+c1+"/settle", `{"outcome":"completed"}`)
	got = e.must(200, "GET", "/v2/checkout/orders/"+o1, "", nil)
	if got.str("purchase_units.0.payments.captures.0.status") != "COMPLETED" || got.str("update_time") != "2026-11-24T10:00:00Z" {
		t.Errorf("settled order = %v", got)
	}
	_, c2 := e.paid("pay_2", `{"capture":"pending"}`)
	e.control(200, "/captures/"+c2+"/settle", `{"outcome":"denied"}`)
	if got := e.must(200, "GET", "/v2/payments/captures/"+c2, "", nil); got.str("status") != "DECLINED" {
		t.Errorf("denied capture = %v", got)
	}
	_, c3 := e.paid("pay_3", `{"capture":"declined_capture"}`)
	e.refused(422, "REFUND_NOT_ALLOWED", "POST", "/v2/payments/captures/"+c3+"/refund", "", e.nextKey())
	if diff := cmp.Diff([]entry{{"capture", 1000, "pay_1"}, {"fee", 84, "pay_1"}}, e.ledger()); diff != "" {
		t.Error(diff)
	}
	for _, want := range []string{"PAYMENT.CAPTURE.PENDING", "PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.DENIED", "PAYMENT.CAPTURE.DECLINED"} {
		if !slices.Contains(e.events(), want) {
			t.Errorf("no %s in %v", want, e.events())
		}
	}
}

// Guards the capture faults: what is taken may differ from what was asked, or be taken
// twice, and the ledger tells.
func TestCaptureFaults(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	f := e.w.Faults()
	f.Capture.AmountDelta, f.Capture.Duplicate = 1, true
	if err := e.w.SetFaults(f); err != nil {
		t.Fatal(err)
	}
	id, _ := e.paid("pay_1", "")
	got := e.must(200, "GET", "/v2/checkout/orders/"+id, "", nil)
	a, b := got.str("purchase_units.0.payments.captures.0.id"), got.str("purchase_units.0.payments.captures.1.id")
	if a == b || b == "" || got.str("purchase_units.0.payments.captures.1.amount.value") != "10.01" || got.str("purchase_units.0.amount.value") != "10.00" {
		t.Fatalf("order = %v", got)
	}
	want := []entry{{"capture", 1001, "pay_1"}, {"fee", 84, "pay_1"}, {"capture", 1001, "pay_1"}, {"fee", 84, "pay_1"}}
	if diff := cmp.Diff(want, e.ledger()); diff != "" {
		t.Error(diff)
	}
}
