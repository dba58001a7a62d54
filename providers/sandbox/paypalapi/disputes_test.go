package paypalapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const cases = "/v1/customer/disputes"

// Guards a claim's life: money withheld once, given back when won, withheld again on
// appeal, gone when lost; the reversal that announces the loss moves nothing more.
func TestDisputeLife(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	_, c := e.paid("pay_1", "")
	e.control(422, "/disputes", `{"capture":"`+c+`","reason":"BAD_MOOD"}`)
	e.control(422, "/disputes", `{"capture":"`+c+`","amount":1001}`)
	e.control(404, "/disputes", `{"capture":"NOSUCH"}`)
	d := e.control(200, "/disputes", `{"capture":"`+c+`","amount":600,"reason":"UNAUTHORISED"}`).str("dispute")
	got := e.must(200, "GET", cases+"/"+d, "", nil)
	if got.str("status") != "WAITING_FOR_SELLER_RESPONSE" || got.str("dispute_life_cycle_stage") != "CHARGEBACK" || got.str("dispute_amount.value") != "6.00" ||
		got.str("disputed_transactions.0.seller_transaction_id") != c || got.str("disputed_transactions.0.custom") != "pay_1" {
		t.Fatalf("dispute = %v", got)
	}
	if ev := e.lastEvent(); ev.str("event_type") != "CUSTOMER.DISPUTE.CREATED" || ev.str("resource.dispute_id") != d {
		t.Errorf("event = %v", ev)
	}
	e.refused(422, "TRANSACTION_DISPUTED", "POST", "/v2/payments/captures/"+c+"/refund", usd("1.00"), e.nextKey())
	e.must(200, "POST", cases+"/"+d+"/provide-evidence", "", nil)
	e.control(200, "/disputes/"+d+"/resolve", `{"outcome":"won"}`)
	e.control(409, "/disputes/"+d+"/resolve", `{"outcome":"lost"}`)
	if got := e.must(200, "GET", cases+"/"+d, "", nil); got.str("dispute_outcome.outcome_code") != "RESOLVED_SELLER_FAVOUR" || got.len("money_movements") != 2 {
		t.Errorf("won = %v", got)
	}
	e.control(200, "/disputes/"+d+"/appeal", "")
	e.control(200, "/disputes/"+d+"/resolve", `{"outcome":"lost"}`)
	if got := e.must(200, "GET", cases+"/"+d, "", nil); got.str("status") != "RESOLVED" || got.str("dispute_outcome.outcome_code") != "RESOLVED_BUYER_FAVOUR" {
		t.Errorf("lost = %v", got)
	}
	if ev := e.lastEvent(); ev.str("event_type") != "PAYMENT.CAPTURE.REVERSED" || ev.str("resource.amount.value") != "6.00" || !strings.HasSuffix(object(ev.at("resource").(map[string]any)).link("up"), c) {
		t.Errorf("event = %v", ev)
	}
	e.refused(422, "REFUND_AMOUNT_EXCEEDED", "POST", "/v2/payments/captures/"+c+"/refund", usd("4.01"), e.nextKey())
	e.must(201, "POST", "/v2/payments/captures/"+c+"/refund", usd("4.00"), e.nextKey())
	want := []entry{{"capture", 1000, "pay_1"}, {"fee", 84, "pay_1"}, {"dispute", 600, "pay_1"}, {"dispute_won", 600, "pay_1"}, {"dispute", 600, "pay_1"}, {"refund", 400, "pay_1"}}
	if diff := cmp.Diff(want, e.ledger()); diff != "" {
		t.Error(diff)
	}
}

// Guards the seller's and the inquiry's ways: an inquiry moves nothing until it is
// escalated or given in to; accepting a claim is a loss and moves money once.
func TestInquiryAndAcceptance(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	_, c1 := e.paid("pay_1", "")
	_, c2 := e.paid("pay_2", "")
	d1 := e.control(200, "/disputes", `{"capture":"`+c1+`","stage":"INQUIRY"}`).str("dispute")
	d2 := e.control(200, "/disputes", `{"capture":"`+c2+`","stage":"INQUIRY"}`).str("dispute")
	if n := len(e.ledger()); n != 4 {
		t.Errorf("an inquiry moved money: %v", e.ledger())
	}
	e.control(200, "/disputes/"+d1+"/escalate", "")
	if ev := e.lastEvent(); ev.str("event_type") != "CUSTOMER.DISPUTE.UPDATED" || ev.str("resource.dispute_life_cycle_stage") != "CHARGEBACK" {
		t.Errorf("event = %v", ev)
	}
	for _, d := range []string{d1, d2} {
		if out := e.must(200, "POST", cases+"/"+d+"/accept-claim", `{"note":"sorry","accept_claim_type":"REFUND"}`, nil); out.link("self") == "" {
			t.Errorf("answer = %v", out)
		}
		if got := e.must(200, "GET", cases+"/"+d, "", nil); got.str("dispute_outcome.outcome_code") != "ACCEPTED" {
			t.Errorf("accepted = %v", got)
		}
		e.must(422, "POST", cases+"/"+d+"/accept-claim", "", nil)
	}
	e.refused(422, "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK", "POST", "/v2/payments/captures/"+c1+"/refund", "", e.nextKey())
	if diff := cmp.Diff([]entry{{"dispute", 1000, "pay_1"}, {"dispute", 1000, "pay_2"}}, e.ledger()[4:]); diff != "" {
		t.Error(diff)
	}
	e.must(404, "GET", cases+"/PP-NO", "", nil)
}

// Guards the third way out of an inquiry: the seller gives everything back, which ends it for the buyer and moves
// nothing more.
func TestInquiryEndsWithRefund(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	_, c := e.paid("pay_1", "")
	d := e.control(200, "/disputes", `{"capture":"`+c+`","stage":"INQUIRY"}`).str("dispute")
	if got := e.must(200, "GET", cases+"/"+d, "", nil); got.str("status") != "WAITING_FOR_SELLER_RESPONSE" {
		t.Errorf("open = %v", got)
	}
	e.must(201, "POST", "/v2/payments/captures/"+c+"/refund", "", e.nextKey())
	got := e.must(200, "GET", cases+"/"+d, "", nil)
	if got.str("status") != "RESOLVED" || got.str("dispute_outcome.outcome_code") != "RESOLVED_BUYER_FAVOUR" || got["money_movements"] != nil {
		t.Errorf("after the refund = %v", got)
	}
	if ev := e.lastEvent(); ev.str("event_type") != "CUSTOMER.DISPUTE.RESOLVED" {
		t.Errorf("event = %v", ev)
	}
	if diff := cmp.Diff([]entry{{"refund", 1000, "pay_1"}}, e.ledger()[2:]); diff != "" {
		t.Error(diff)
	}
}

// Guards the list as an incremental source: by update time, by transaction, over pages
// without loss or repetition.
func TestDisputeList(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	if got := e.must(200, "GET", cases, "", nil); got["items"] != nil {
		t.Errorf("empty list = %v", got)
	}
	var ids, caps []string
	for i := range 5 {
		_, c := e.paid(fmt.Sprintf("pay_%d", i), "")
		caps = append(caps, c)
		ids = append(ids, e.control(200, "/disputes", `{"capture":"`+c+`"}`).str("dispute"))
		e.advance(time.Hour)
	}
	e.control(200, "/disputes/"+ids[0]+"/resolve", `{"outcome":"won"}`) // now, at 15:00
	list := func(url string) []string {
		var out []string
		for url != "" {
			got := e.must(200, "GET", strings.TrimPrefix(url, e.srv.URL), "", nil)
			for i := range got.len("items") {
				out = append(out, got.str(fmt.Sprintf("items.%d.dispute_id", i)))
			}
			url = got.link("next")
		}
		return out
	}
	for url, want := range map[string][]string{
		cases + "?page_size=2": {ids[4], ids[3], ids[2], ids[1], ids[0]},
		cases + query("update_time_after", "2026-11-22T13:30:00.000Z", "page_size", "1"): {ids[4], ids[0]},
		cases + query("update_time_before", "2026-11-22T12:30:00.000Z"):                  {ids[2], ids[1]},
		cases + query("disputed_transaction_id", caps[3]):                                {ids[3]},
		cases + query("dispute_state", "RESOLVED"):                                       {ids[0]},
		cases + query("start_time", "2026-11-22T13:30:00.000Z"):                          {ids[4]},
	} {
		if diff := cmp.Diff(want, list(url)); diff != "" {
			t.Errorf("%s: %s", url, diff)
		}
	}
	e.must(400, "GET", cases+query("start_time", "2026-11-22T13:30:00.000Z", "disputed_transaction_id", caps[0]), "", nil)
}

// Guards the control API's refunds: they look like the merchant's own, may pend, and
// may fail later, which gives the money back to the merchant.
func TestControlRefunds(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	id, c := e.paid("pay_1", "")
	r1 := e.control(200, "/refunds", `{"capture":"`+c+`","amount":400}`).str("refund")
	if ev := e.lastEvent(); ev.str("event_type") != "PAYMENT.CAPTURE.REFUNDED" || ev.str("resource.id") != r1 || ev.str("resource.custom_id") != "pay_1" {
		t.Errorf("event = %v", ev)
	}
	r2 := e.control(200, "/refunds", `{"capture":"`+c+`","status":"pending"}`).str("refund")
	if ev := e.lastEvent(); ev.str("event_type") != "PAYMENT.REFUND.PENDING" || ev.str("resource.amount.value") != "6.00" {
		t.Errorf("event = %v", ev)
	}
	if got := e.must(200, "GET", "/v2/payments/captures/"+c, "", nil); got.str("status") != "PARTIALLY_REFUNDED" {
		t.Errorf("capture = %v", got)
	}
	e.control(422, "/refunds", `{"capture":"`+c+`","amount":1}`)
	e.control(200, "/refunds/"+r2+"/settle", "")
	if got := e.must(200, "GET", "/v2/checkout/orders/"+id, "", nil); got.str("purchase_units.0.payments.captures.0.status") != "REFUNDED" {
		t.Errorf("order = %v", got)
	}
	e.control(200, "/refunds/"+r2+"/fail", "")
	e.control(409, "/refunds/"+r2+"/fail", "")
	e.control(404, "/refunds/NOSUCH/fail", "")
	if ev := e.lastEvent(); ev.str("event_type") != "PAYMENT.REFUND.FAILED" || ev.str("resource.status") != "FAILED" {
		t.Errorf("event = %v", ev)
	}
	if got := e.must(200, "GET", "/v2/payments/captures/"+c, "", nil); got.str("status") != "PARTIALLY_REFUNDED" {
		t.Errorf("capture = %v", got)
	}
	want := []entry{{"capture", 1000, "pay_1"}, {"fee", 84, "pay_1"}, {"refund", 400, "pay_1"}, {"refund", 600, "pay_1"}, {"refund_failed", 600, "pay_1"}}
	if diff := cmp.Diff(want, e.ledger()); diff != "" {
		t.Error(diff)
	}
}
