package paypal

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// TestDisputeSettledByRefund (I3): a case that a refund settled takes no money beside that refund; every other case
// keeps what it took.
func TestDisputeSettledByRefund(t *testing.T) {
	t.Parallel()
	const lost = `"outcome_code":"RESOLVED_BUYER_FAVOUR"`
	refund := func(value, when, status string) string {
		return `{"id":"R` + value[:1] + `","status":"` + status + `","amount":{"currency_code":"USD","value":"` + value + `"},"create_time":"2026-03-01T` + when + `Z",
 "links":[{"rel":"up","href":"https://api-m.paypal.com/v2/payments/captures/` + capID + `"}]}`
	}
	move := func(when string) string {
		return `{"affected_party":"SELLER","type":"DEBIT","reason":"DISPUTE_SETTLEMENT","initiated_time":"2026-03-01T` + when + `Z","amount":{"currency_code":"USD","value":"10.00"}}`
	}
	for name, c := range map[string]struct {
		stage, outcome, moves, refunds string
		disputed, refundable           int64
	}{
		"nothing given back":                  {"CHARGEBACK", lost, "", "", 1000, 999},
		"refunded, and so decided":            {"CHARGEBACK", lost, "", refund("10.00", "11:57:30", "COMPLETED"), 0, 999},
		"in an inquiry":                       {"INQUIRY", lost, "", refund("10.00", "11:57:30", "COMPLETED"), 0, 999},
		"an offer that was accepted":          {"INQUIRY", lost + `,"amount_refunded":{"currency_code":"USD","value":"4.00"}`, "", refund("4.00", "11:57:30", "PENDING"), 0, 1599},
		"an inquiry without a refund":         {"INQUIRY", lost + `,"amount_refunded":{"currency_code":"USD","value":"4.00"}`, "", "", 400, 1599},
		"the refund failed":                   {"CHARGEBACK", lost, "", refund("10.00", "11:57:30", "FAILED"), 1000, 999},
		"the refund was made before the case": {"CHARGEBACK", lost, "", refund("9.99", "11:56:30", "COMPLETED"), 1000, 0},
		"the refund is another one":           {"CHARGEBACK", lost + `,"amount_refunded":{"currency_code":"USD","value":"4.00"}`, "", refund("5.00", "11:57:30", "COMPLETED"), 400, 1099},
		"its movement is that refund":         {"CHARGEBACK", `"outcome_code":"ACCEPTED"`, move("11:58:00"), refund("10.00", "11:57:30", "COMPLETED"), 0, 999},
		"its movement is another":             {"CHARGEBACK", `"outcome_code":"ACCEPTED"`, move("11:57:00"), refund("9.99", "11:57:30", "COMPLETED"), 1000, 0},
		"its movement was long before":        {"CHARGEBACK", `"outcome_code":"ACCEPTED"`, move("09:00:00"), refund("10.00", "11:57:30", "COMPLETED"), 1000, 0},
		"won after a refund":                  {"CHARGEBACK", `"outcome_code":"RESOLVED_SELLER_FAVOUR"`, "", refund("5.00", "11:57:30", "COMPLETED"), 0, 1499},
	} {
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "", `{"captures":[`+captureJSON(capID, "COMPLETED", "")+`],"refunds":[`+c.refunds+`]}`))
		s.on("GET /v1/customer/disputes", 200, `{"items":[{"dispute_id":"PP-D-1"}]}`)
		s.on("GET /v1/customer/disputes/PP-D-1", 200, `{"dispute_id":"PP-D-1","status":"RESOLVED","dispute_life_cycle_stage":"`+c.stage+`","dispute_amount":{"currency_code":"USD","value":"10.00"},
 "create_time":"2026-03-01T11:57:00.000Z","update_time":"2026-03-01T11:58:00.000Z","disputed_transactions":[{"seller_transaction_id":"`+capID+`"}],
 "dispute_outcome":{`+c.outcome+`},"money_movements":[`+c.moves+`]}`)
		obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
		if err != nil {
			t.Fatal(err)
		}
		a := payment.Facts{Terms: payment.Terms{Amount: payment.Money{Minor: 1999, Currency: "usd"}}}.Observe(obs).Amounts(nil)
		if a.Disputed != c.disputed || a.Refundable != c.refundable {
			t.Errorf("%s: disputed %d, want %d; refundable %d, want %d", name, a.Disputed, c.disputed, a.Refundable, c.refundable)
		}
	}
}

// TestInquiryRefunded (I3): the seller gives everything back while the buyer only asks, which ends the case in the
// buyer's favour; our sums are the ledger's.
func TestInquiryRefunded(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.paid(t, false)
	capture := p.attempt.Refs.Capture
	l.advance(t, time.Hour)
	l.must(t, "disputes", map[string]any{"capture": capture, "stage": "INQUIRY"})
	l.advance(t, time.Hour)
	if _, err := l.adapter.Refund(t.Context(), providers.RefundRequest{
		Attempt: p.attempt, Capture: capture, Amount: payment.Money{Minor: 1999, Currency: "usd"}, Operation: "rfd_all",
	}, "refund-all"); err != nil {
		t.Fatal(err)
	}
	l.advance(t, 4*time.Hour)
	obs, err := l.adapter.Fetch(t.Context(), p.attempt)
	if err != nil {
		t.Fatal(err)
	}
	f := p.facts.Observe(obs)
	if a := f.Amounts(nil); len(f.Disputes) != 1 || f.Disputes[0].Status != payment.DisputeLost || a.Refunded != 1999 || a.Disputed != 0 {
		t.Errorf("disputes %+v, amounts %+v", f.Disputes, a)
	}
}

// Promise (I3, I6): a fee of a case is counted once, in whichever order PayPal lists the case's
// movements, and two equal ones are two. Those of a list in order of time are known by their
// places in it, as they always were.
func TestDisputeFeesInAnyOrder(t *testing.T) {
	t.Parallel()
	move := func(when, reason, value string) string {
		return `{"affected_party":"SELLER","type":"DEBIT","reason":"` + reason + `","initiated_time":"2026-03-01T` + when + `Z","amount":{"currency_code":"USD","value":"` + value + `"}}`
	}
	settled, fee, later := move("11:57:00", "DISPUTE_SETTLEMENT", "10.00"), move("11:57:30", "CHARGEBACK_FEE", "20.00"), move("11:58:00", "DISPUTE_FEE", "8.00")
	facts := payment.Facts{Terms: payment.Terms{Amount: payment.Money{Minor: 1999, Currency: "usd"}}}
	for _, moves := range []string{settled + "," + fee, later + "," + settled + "," + fee, fee + "," + later + "," + settled, settled + "," + fee + "," + later + "," + later} {
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "", `{"captures":[`+captureJSON(capID, "COMPLETED", "")+`]}`))
		s.on("GET /v1/customer/disputes", 200, `{"items":[{"dispute_id":"PP-D-1"}]}`)
		s.on("GET /v1/customer/disputes/PP-D-1", 200, `{"dispute_id":"PP-D-1","status":"UNDER_REVIEW","dispute_life_cycle_stage":"CHARGEBACK","dispute_amount":{"currency_code":"USD","value":"10.00"},
 "create_time":"2026-03-01T11:57:00.000Z","update_time":"2026-03-01T11:58:00.000Z","disputed_transactions":[{"seller_transaction_id":"`+capID+`"}],"money_movements":[`+moves+`]}`)
		obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
		if err != nil {
			t.Fatal(err)
		}
		facts = facts.Observe(obs)
	}
	keys := map[string]int64{}
	for _, f := range facts.Fees {
		keys[f.Key.ID] = f.Fee.Minor
	}
	if want := map[string]int64{"PP-D-1:2": 2000, "PP-D-1:3": 800, "PP-D-1:4": 800}; !maps.Equal(keys, want) {
		t.Errorf("fees %v, want %v", keys, want)
	}
}

// Promise (I3, I6): the movements of one settlement bear one time; in whichever order PayPal
// lists them, a fee among them is counted once, by the place it has in PayPal's documents,
// and two equal ones are two.
func TestDisputeFeesOfOneMoment(t *testing.T) {
	t.Parallel()
	move := func(party, way, reason, value string) string {
		return `{"affected_party":"` + party + `","type":"` + way + `","reason":"` + reason + `","initiated_time":"2026-03-01T11:57:00Z","amount":{"currency_code":"USD","value":"` + value + `"}}`
	}
	got, took, fee := move("BUYER", "CREDIT", "DISPUTE_SETTLEMENT", "10.00"), move("SELLER", "DEBIT", "DISPUTE_SETTLEMENT", "9.16"), move("SELLER", "DEBIT", "DISPUTE_SETTLEMENT_FEE", "0.49")
	dearer := move("SELLER", "DEBIT", "DISPUTE_SETTLEMENT_FEE", "0.50")
	for _, c := range []struct {
		lists [][]string
		want  map[string]int64
	}{
		{[][]string{{got, took, fee}, {fee, took, got}, {took, fee, got}, {fee, got, took}}, map[string]int64{"PP-D-1:3": 49}},
		{[][]string{{got, fee, took, fee}, {fee, fee, took, got}}, map[string]int64{"PP-D-1:3": 49, "PP-D-1:4": 49}},
		{[][]string{{fee, dearer}, {dearer, fee}}, map[string]int64{"PP-D-1:1": 49, "PP-D-1:2": 50}},
	} {
		facts := payment.Facts{Terms: payment.Terms{Amount: payment.Money{Minor: 1999, Currency: "usd"}}}
		for _, moves := range c.lists {
			s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "", `{"captures":[`+captureJSON(capID, "COMPLETED", "")+`]}`))
			s.on("GET /v1/customer/disputes", 200, `{"items":[{"dispute_id":"PP-D-1"}]}`)
			s.on("GET /v1/customer/disputes/PP-D-1", 200, `{"dispute_id":"PP-D-1","status":"RESOLVED","dispute_life_cycle_stage":"CHARGEBACK","dispute_amount":{"currency_code":"USD","value":"10.00"},
 "dispute_outcome":{"outcome_code":"RESOLVED_BUYER_FAVOUR"},"create_time":"2026-03-01T11:56:30.000Z","update_time":"2026-03-01T11:58:00.000Z","disputed_transactions":[{"seller_transaction_id":"`+capID+`"}],"money_movements":[`+strings.Join(moves, ",")+`]}`)
			obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
			if err != nil {
				t.Fatal(err)
			}
			facts = facts.Observe(obs)
		}
		keys := map[string]int64{}
		for _, f := range facts.Fees {
			keys[f.Key.ID] = f.Fee.Minor
		}
		if !maps.Equal(keys, c.want) {
			t.Errorf("fees %v, want %v", keys, c.want)
		}
	}
}

// TestForeignRefundsAreTold (I9): two refunds that another tool made under one number of its own are two to an app.
func TestForeignRefundsAreTold(t *testing.T) {
	t.Parallel()
	at := attemptOf(false)
	refund := func(id string) string {
		return `{"id":"` + id + `","status":"COMPLETED","custom_id":"ORDER-7","amount":{"currency_code":"USD","value":"4.00"},"create_time":"2026-03-01T11:57:00Z",
 "links":[{"rel":"up","href":"https://api-m.paypal.com/v2/payments/captures/` + capID + `"}]}`
	}
	p := payment.New(payID, "shop", payment.ModeTest, payment.Terms{Amount: payment.Money{Minor: 1999, Currency: "usd"}}, payment.Request{ExpiresIn: time.Hour}, "token", startWall)
	p.Facts.Opened = []payment.Attempt{{N: at.N, Provider: Provider, Account: "paypal-test"}}
	told := map[string]int{}
	for i, refunds := range []string{refund("R1"), refund("R1") + "," + refund("R2")} {
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "", `{"captures":[`+captureJSON(capID, "PARTIALLY_REFUNDED", "")+`],"refunds":[`+refunds+`]}`))
		obs, err := s.adapter().Fetch(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if p, err = p.Apply(obs, payment.Source{}, startWall.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range p.Outbox {
		told[e.Type]++
	}
	if told["refund.created"] != 2 || told["refund.succeeded"] != 2 {
		t.Errorf("told %v", told)
	}
}
