package paypalapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/trifecta-pay/trifecta/providers/providertest/paypalspec"
	"github.com/trifecta-pay/trifecta/providers/sandbox/paypalapi"
)

const search = "/v1/reporting/transactions"

func window(from, to time.Time, more ...string) string {
	return search + query(append([]string{"start_date", from.Format(time.RFC3339), "end_date", to.Format(time.RFC3339)}, more...)...)
}

// tx is what tests compare of a transaction.
type tx struct{ Code, Amount, Fee, RefType, Custom, Status string }

func txs(o object) []tx {
	var out []tx
	for i := range o.len("transaction_details") {
		p := fmt.Sprintf("transaction_details.%d.transaction_info.", i)
		out = append(out, tx{
			o.str(p + "transaction_event_code"), o.str(p + "transaction_amount.value"), o.str(p + "fee_amount.value"),
			o.str(p + "paypal_reference_id_type"), o.str(p + "custom_field"), o.str(p + "transaction_status"),
		})
	}
	return out
}

// Guards transaction search: nothing before the delay, then signed amounts, fees and
// join keys, for captures, refunds, reversals and disputes.
func TestSearchDelay(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	id, c := e.paid("pay_1", "")
	r := e.must(201, "POST", "/v2/payments/captures/"+c+"/refund", usd("4.00"), e.nextKey()).str("id")
	e.paid("pay_2", `{"capture":"pending"}`)
	_, c3 := e.paid("pay_3", "")
	e.control(200, "/reversals", `{"capture":"`+c3+`","amount":100}`)
	e.control(200, "/disputes", `{"capture":"`+c3+`","amount":300,"reason":"UNAUTHORISED"}`)
	_, c4 := e.paid("pay_4", "")
	failed := e.control(200, "/refunds", `{"capture":"`+c4+`","amount":250}`).str("refund")
	e.control(200, "/refunds/"+failed+"/fail", "")
	url := window(start.Add(-time.Hour), start.Add(24*time.Hour))
	e.advance(3*time.Hour - time.Second)
	early := e.must(200, "GET", url, "", nil)
	if early.len("transaction_details") != 0 || early.str("last_refreshed_datetime") != "2026-11-22T09:59:59Z" {
		t.Fatalf("too early: %v", early)
	}
	e.advance(time.Second)
	got := e.must(200, "GET", url, "", nil)
	want := []tx{
		{"T0006", "10.00", "-0.84", "ODR", "pay_1", "S"},
		{"T1107", "-4.00", "", "TXN", "pay_1", "S"},
		{"T0006", "10.00", "-0.84", "ODR", "pay_3", "S"},
		{"T1106", "-1.00", "", "TXN", "pay_3", "S"},
		{"T1201", "-3.00", "", "TXN", "pay_3", "S"},
		{"T0006", "10.00", "-0.84", "ODR", "pay_4", "S"},
	}
	if diff := cmp.Diff(want, txs(got)); diff != "" {
		t.Error(diff)
	}
	info := object(got.at("transaction_details.0.transaction_info").(map[string]any))
	if info.str("transaction_id") != c || info.str("paypal_reference_id") != id || info.str("invoice_id") != "INV-pay_1" || info.str("transaction_initiation_date") != "2026-11-22T10:00:00Z" {
		t.Errorf("first row = %v", info)
	}
	if got.str("transaction_details.1.transaction_info.transaction_id") != r || got.str("transaction_details.1.transaction_info.paypal_reference_id") != c {
		t.Errorf("refund row = %v", got.at("transaction_details.1"))
	}
	all := e.must(200, "GET", url+"&balance_affecting_records_only=N&fields=all", "", nil)
	if n := len(txs(all)); n != 8 || all.str("transaction_details.0.payer_info.email_address") == "" {
		t.Errorf("with pending and denied: %d rows, %v", n, all.at("transaction_details.0"))
	}
}

// Guards paging: every row once, in order, over all pages, and links to walk them.
func TestSearchPages(t *testing.T) {
	t.Parallel()
	e := newEnv(t, func(o *paypalapi.Options) { o.SearchDelay = -1 })
	for i := range 5 {
		e.paid(fmt.Sprintf("pay_%d", i), "")
	}
	next := window(start.Add(-time.Minute), start.Add(time.Minute), "page_size", "2")
	seen := map[string]bool{}
	for page := 0; next != ""; page++ {
		got := e.must(200, "GET", strings.TrimPrefix(next, e.srv.URL), "", nil)
		if got.at("total_items") != 5.0 || got.at("total_pages") != 3.0 {
			t.Fatalf("page %d = %v", page, got)
		}
		for _, x := range txs(got) {
			seen[x.Custom] = true
		}
		next = got.link("next")
		if page > 3 {
			t.Fatal("endless pages")
		}
	}
	if len(seen) != 5 {
		t.Errorf("seen = %v", seen)
	}
	one := e.must(200, "GET", window(start, start, "transaction_status", "S", "transaction_currency", "EUR"), "", nil)
	if one.len("transaction_details") != 0 {
		t.Errorf("other currency = %v", one)
	}
}

// Guards the refusals of a search.
func TestSearchChecks(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	skip := opts{paypalspec.SkipRequestHeader: "1"}
	for _, url := range []string{
		search, search + "?start_date=yesterday&end_date=today", window(start, start.Add(-time.Second)),
		window(start, start.Add(31*24*time.Hour+time.Second)), window(start, start, "page_size", "501"), window(start, start, "page", "0"),
	} {
		if status, body := e.call("GET", url, "", skip); status != 400 || body.str("name") != "INVALID_REQUEST" {
			t.Errorf("%s: %d %v", url, status, body)
		}
	}
	begins := start.Add(-3 * time.Hour) // how far the reports have come
	e.must(200, "GET", window(begins, begins.Add(31*24*time.Hour)), "", nil)
	status, body := e.call("GET", window(begins.Add(time.Second), start), "", nil)
	if status != 404 || body.str("name") != "INVALID_REQUEST" || body.str("message") != "Data for the given start date is not available." {
		t.Errorf("a search that begins after the latest refresh: %d %v", status, body)
	}
}
