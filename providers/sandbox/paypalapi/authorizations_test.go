package paypalapi_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const auths = "/v2/payments/authorizations/"

// usd is a request body with an amount in dollars.
func usd(value string) string { return `{"amount":{"currency_code":"USD","value":"` + value + `"}}` }

// Guards manual capture: authorized money is taken in parts, never more than was
// authorized, a repeat takes nothing, the final capture closes the authorization.
func TestAuthorizationCaptures(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	id, a := e.authorized("pay_1")
	if len(e.w.Ledger()) != 0 {
		t.Errorf("ledger after authorize = %v", e.ledger())
	}
	got := e.must(200, "GET", auths+a, "", nil)
	if got.str("status") != "CREATED" || got.str("expiration_time") != "2026-12-21T10:00:00Z" || got.str("supplementary_data.related_ids.order_id") != id {
		t.Fatalf("authorization = %v", got)
	}
	e.refused(422, "ORDER_ALREADY_AUTHORIZED", "POST", "/v2/checkout/orders/"+id+"/authorize", "", e.nextKey())
	e.refused(422, "ACTION_DOES_NOT_MATCH_INTENT", "POST", "/v2/checkout/orders/"+id+"/capture", "", e.nextKey())
	first := e.must(201, "POST", auths+a+"/capture", `{"amount":{"currency_code":"USD","value":"4.00"},"final_capture":false}`, key("c1"))
	if first.str("amount.value") != "4.00" || first["final_capture"] != false || first.str("supplementary_data.related_ids.authorization_id") != a {
		t.Fatalf("first capture = %v", first)
	}
	if again := e.must(200, "POST", auths+a+"/capture", usd("4.00"), key("c1")); again.str("id") != first.str("id") {
		t.Errorf("replay made %s", again.str("id"))
	}
	if got := e.must(200, "GET", auths+a, "", nil); got.str("status") != "PARTIALLY_CAPTURED" {
		t.Errorf("status = %s", got.str("status"))
	}
	e.refused(422, "MAX_CAPTURE_AMOUNT_EXCEEDED", "POST", auths+a+"/capture", usd("6.01"), e.nextKey())
	e.refused(422, "AUTH_CAPTURE_CURRENCY_MISMATCH", "POST", auths+a+"/capture", `{"amount":{"currency_code":"EUR","value":"1.00"}}`, e.nextKey())
	last := e.must(201, "POST", auths+a+"/capture", `{"amount":{"currency_code":"USD","value":"5.00"},"final_capture":true}`, e.nextKey())
	if last["final_capture"] != true {
		t.Errorf("last capture = %v", last)
	}
	e.refused(422, "AUTHORIZATION_ALREADY_CAPTURED", "POST", auths+a+"/capture", usd("1.00"), e.nextKey())
	e.refused(422, "PREVIOUSLY_CAPTURED", "POST", auths+a+"/void", "", nil)
	e.advance(30 * 24 * time.Hour) // nothing is left to expire
	if got := e.must(200, "GET", auths+a, "", nil); got.str("status") != "PARTIALLY_CAPTURED" {
		t.Errorf("status = %s", got.str("status"))
	}
	order := e.must(200, "GET", "/v2/checkout/orders/"+id, "", nil)
	if order.len("purchase_units.0.payments.captures") != 2 || order.str("purchase_units.0.payments.authorizations.0.status") != "PARTIALLY_CAPTURED" {
		t.Errorf("order = %v", order)
	}
	want := []entry{{"capture", 400, "pay_1"}, {"fee", 63, "pay_1"}, {"capture", 500, "pay_1"}, {"fee", 66, "pay_1"}}
	if diff := cmp.Diff(want, e.ledger()); diff != "" {
		t.Error(diff)
	}
}

// Guards void: what remains is released once, with 204 or the object as preferred.
func TestAuthorizationVoid(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	_, a := e.authorized("pay_1")
	e.must(204, "POST", auths+a+"/void", "", nil)
	e.refused(422, "PREVIOUSLY_VOIDED", "POST", auths+a+"/void", "", nil)
	e.refused(422, "AUTHORIZATION_VOIDED", "POST", auths+a+"/capture", "", e.nextKey())
	_, b := e.authorized("pay_2")
	e.must(201, "POST", auths+b+"/capture", usd("1.00"), e.nextKey())
	if got := e.must(200, "POST", auths+b+"/void", "", full); got.str("status") != "VOIDED" {
		t.Errorf("voided = %v", got)
	}
	if ev := e.lastEvent(); ev.str("event_type") != "PAYMENT.AUTHORIZATION.VOIDED" || ev.str("resource.id") != b {
		t.Errorf("last event = %v", ev)
	}
	e.refused(404, "INVALID_RESOURCE_ID", "GET", auths+"NOSUCH", "", nil)
}

// Guards reauthorization: only after the honor period, only of the original, with a new
// id; the money can't be taken through both.
func TestReauthorize(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	_, a := e.authorized("pay_1")
	e.advance(3*24*time.Hour - time.Second)
	e.refused(422, "REAUTHORIZATION_NOT_SUPPORTED", "POST", auths+a+"/reauthorize", usd("10.00"), e.nextKey())
	e.advance(time.Second)
	re := e.must(201, "POST", auths+a+"/reauthorize", usd("10.00"), key("re"))
	b := re.str("id")
	if b == a || re.str("supplementary_data.related_ids.authorization_id") != a || re.str("expiration_time") != "2026-12-21T10:00:00Z" {
		t.Fatalf("reauthorization = %v", re)
	}
	if again := e.must(200, "POST", auths+a+"/reauthorize", usd("10.00"), key("re")); again.str("id") != b {
		t.Errorf("replay made %s", again.str("id"))
	}
	e.advance(4 * 24 * time.Hour)
	e.refused(422, "REAUTHORIZATION_NOT_SUPPORTED", "POST", auths+b+"/reauthorize", "", e.nextKey())
	e.refused(422, "CANNOT_BE_VOIDED", "POST", auths+b+"/void", "", nil)
	e.must(201, "POST", auths+b+"/capture", usd("9.00"), e.nextKey())
	e.refused(422, "MAX_CAPTURE_AMOUNT_EXCEEDED", "POST", auths+b+"/capture", usd("2.00"), e.nextKey())
	e.refused(422, "MAX_CAPTURE_AMOUNT_EXCEEDED", "POST", auths+a+"/capture", usd("2.00"), e.nextKey())
	e.must(201, "POST", auths+a+"/capture", usd("1.00"), e.nextKey())
	e.refused(422, "AUTHORIZATION_ALREADY_CAPTURED", "POST", auths+b+"/capture", usd("1.00"), e.nextKey())
}

// Guards renewals for the rest: what was captured before is not taken off a second time, no
// more than that rest can be renewed or captured, and taking it ends them all.
func TestReauthorizeTheRest(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	_, a := e.authorized("pay_1")
	e.must(201, "POST", auths+a+"/capture", usd("6.00"), e.nextKey())
	e.advance(3 * 24 * time.Hour)
	e.refused(422, "TRANSACTION_REFUSED", "POST", auths+a+"/reauthorize", usd("4.01"), e.nextKey())
	re := e.must(201, "POST", auths+a+"/reauthorize", "", opts{"Prefer": "return=representation", "PayPal-Request-Id": "rest"})
	b := re.str("id")
	if re.str("amount.value") != "4.00" || re.str("status") != "CREATED" {
		t.Fatalf("reauthorization = %v", re)
	}
	status := func(of, want string) {
		t.Helper()
		if got := e.must(200, "GET", auths+of, "", nil); got.str("status") != want {
			t.Errorf("status = %s, want %s", got.str("status"), want)
		}
	}
	e.refused(422, "MAX_CAPTURE_AMOUNT_EXCEEDED", "POST", auths+b+"/capture", usd("4.01"), e.nextKey())
	if got := e.must(201, "POST", auths+b+"/capture", usd("3.00"), e.nextKey()); got["final_capture"] != false {
		t.Errorf("capture = %v", got)
	}
	status(a, "PARTIALLY_CAPTURED")
	status(b, "PARTIALLY_CAPTURED")
	e.refused(422, "MAX_CAPTURE_AMOUNT_EXCEEDED", "POST", auths+b+"/capture", usd("1.01"), e.nextKey())
	e.refused(422, "MAX_CAPTURE_AMOUNT_EXCEEDED", "POST", auths+a+"/capture", usd("1.01"), e.nextKey())
	if got := e.must(201, "POST", auths+b+"/capture", usd("1.00"), e.nextKey()); got["final_capture"] != true {
		t.Errorf("last capture = %v", got)
	}
	status(a, "CAPTURED")
	status(b, "CAPTURED")
	e.refused(422, "AUTHORIZATION_ALREADY_CAPTURED", "POST", auths+a+"/reauthorize", "", e.nextKey())

	// One for less than the rest is captured by its own amount; the original has the rest.
	_, a = e.authorized("pay_2")
	e.must(201, "POST", auths+a+"/capture", usd("6.00"), e.nextKey())
	e.advance(3 * 24 * time.Hour)
	b = e.must(201, "POST", auths+a+"/reauthorize", usd("3.00"), e.nextKey()).str("id")
	e.must(201, "POST", auths+b+"/capture", usd("3.00"), e.nextKey())
	status(a, "PARTIALLY_CAPTURED")
	status(b, "CAPTURED")
	e.must(201, "POST", auths+a+"/capture", usd("1.00"), e.nextKey())
	status(a, "CAPTURED")
}

// Guards the end of an authorization: after 29 days, or when a test says so, it is
// VOIDED with a webhook, and can't be captured.
func TestAuthorizationExpires(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	_, a := e.authorized("pay_1")
	e.advance(29*24*time.Hour - time.Second)
	if got := e.must(200, "GET", auths+a, "", nil); got.str("status") != "CREATED" {
		t.Fatalf("status = %s", got.str("status"))
	}
	e.advance(time.Second)
	got := e.must(200, "GET", auths+a, "", nil)
	if got.str("status") != "VOIDED" || got.str("update_time") != "2026-12-21T10:00:00Z" {
		t.Errorf("authorization = %v", got)
	}
	if ev := e.lastEvent(); ev.str("event_type") != "PAYMENT.AUTHORIZATION.VOIDED" {
		t.Errorf("last event = %v", ev)
	}
	e.refused(422, "AUTHORIZATION_EXPIRED", "POST", auths+a+"/capture", "", e.nextKey())
	_, b := e.authorized("pay_2")
	e.control(200, "/authorizations/"+b+"/expire", "")
	e.control(409, "/authorizations/"+b+"/expire", "")
	e.control(404, "/authorizations/NOSUCH/expire", "")
	e.refused(422, "AUTHORIZATION_EXPIRED", "POST", auths+b+"/capture", "", e.nextKey())
}

// Guards negative testing: PayPal-Mock-Response answers that issue with its documented
// status and changes nothing; a code the operation doesn't know is ignored.
func TestMockResponse(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	id := e.order("CAPTURE", "pay_1", "INV-1")
	e.control(200, "/orders/"+id+"/approve", "")
	_, c := e.paid("pay_2", "")
	_, a := e.authorized("pay_3")
	mock := func(code string) opts {
		return opts{"PayPal-Mock-Response": `{"mock_application_codes":"` + code + `"}`, "PayPal-Request-Id": code}
	}
	for _, tc := range []struct {
		path, code string
		status     int
	}{
		{"/v2/checkout/orders/" + id + "/capture", "TRANSACTION_REFUSED", 422},
		{"/v2/checkout/orders/" + id + "/capture", "PERMISSION_DENIED", 403},
		{"/v2/checkout/orders/" + id + "/capture", "INVALID_RESOURCE_ID", 404},
		{"/v2/checkout/orders/" + id + "/capture", "INVALID_STRING_LENGTH", 400},
		{"/v2/payments/captures/" + c + "/refund", "REFUND_FAILED_INSUFFICIENT_FUNDS", 422},
		{"/v2/payments/captures/" + c + "/refund", "PREVIOUS_REQUEST_IN_PROGRESS", 409},
		{auths + a + "/capture", "AUTHORIZATION_DENIED", 422},
		{auths + a + "/void", "PREVIOUSLY_VOIDED", 422},
	} {
		e.refused(tc.status, tc.code, "POST", tc.path, "{}", mock(tc.code))
	}
	if no := e.refused(422, "INSTRUMENT_DECLINED", "POST", "/v2/checkout/orders/"+id+"/capture", "", mock("INSTRUMENT_DECLINED")); no.link("redirect") == "" {
		t.Errorf("links = %v", no["links"])
	}
	e.must(http.StatusInternalServerError, "POST", "/v2/checkout/orders/"+id+"/capture", "", mock("INTERNAL_SERVER_ERROR"))
	if len(e.w.Ledger()) != 2 {
		t.Errorf("a mocked answer moved money: %v", e.ledger())
	}
	e.must(201, "POST", "/v2/checkout/orders/"+id+"/capture", "", mock("NO_SUCH_ISSUE"))
}
