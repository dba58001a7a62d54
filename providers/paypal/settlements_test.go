package paypal

import (
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Promise (I3): where PayPal gives a part of its fee back with what a case took, so that less
// leaves the account than the buyer gets, nothing is lost twice and nothing that the customer
// has can be refunded again, whether or not the order shows a refund; fee and net are what
// left the account.
func TestSettledNetOfFees(t *testing.T) {
	t.Parallel()
	move := func(party, way, reason, value string) string {
		return `{"affected_party":"` + party + `","type":"` + way + `","reason":"` + reason + `","initiated_time":"2026-03-01T11:57:40Z","amount":{"currency_code":"USD","value":"` + value + `"}}`
	}
	refund := func(value, fee, net string) string {
		usd := func(value string) string { return `{"currency_code":"USD","value":"` + value + `"}` }
		return `{"id":"R1","status":"COMPLETED","amount":` + usd(value) + `,"create_time":"2026-03-01T11:57:30Z",
 "seller_payable_breakdown":{"gross_amount":` + usd(value) + `,"paypal_fee":` + usd(fee) + `,"net_amount":` + usd(net) + `},"links":[{"rel":"up","href":"https://api-m.paypal.com/v2/payments/captures/` + capID + `"}]}`
	}
	const set = "DISPUTE_SETTLEMENT"
	buyers := func(value string) string { return move("BUYER", "CREDIT", set, value) + "," }
	net := move("SELLER", "DEBIT", set, "18.80") + "," + move("SELLER", "DEBIT", set+"_FEE", "0.49")
	gross := move("SELLER", "DEBIT", set, "19.99")
	two := func(buyer, seller string) string {
		return `{"affected_party":"BUYER","type":"CREDIT","reason":"` + set + `","initiated_time":"2026-03-01T11:57:50Z","amount":{"currency_code":"USD","value":"` + buyer + `"}},
 {"affected_party":"SELLER","type":"DEBIT","reason":"` + set + `","initiated_time":"2026-03-01T11:57:50Z","amount":{"currency_code":"USD","value":"` + seller + `"}}`
	}
	const all = `,"amount_refunded":{"currency_code":"USD","value":"19.99"}`
	for name, c := range map[string]struct {
		outcome, moves, refunds        string
		refunded, disputed, refundable int64
		fee, net                       int64
	}{
		"refunded":                               {all, buyers("19.99") + net, refund("19.99", "0.70", "19.29"), 1999, 0, 0, 49, -49},
		"refunded, its fee beside":               {all, buyers("19.99") + net, refund("19.99", "1.19", "18.80"), 1999, 0, 0, 49, -49},
		"refunded, the buyer's side not listed":  {all, net, refund("19.99", "0.70", "19.29"), 1999, 0, 0, 49, -49},
		"refunded, the outcome tells nothing":    {"", buyers("19.99") + net, refund("19.99", "0.70", "19.29"), 1999, 0, 0, 49, -49},
		"the order shows no refund":              {all, buyers("19.99") + net, "", 0, 1999, 0, 49, -49},
		"no refund, the buyer's side not listed": {all, net, "", 0, 1999, 0, 49, -49},
		"no refund, nobody tells the gross":      {"", net, "", 0, 1880, 119, 168, -49},
		"PayPal keeps its fee":                   {all, buyers("19.99") + gross, "", 0, 1999, 0, 119, -119},
		"refunded, PayPal keeps its fee":         {all, buyers("19.99") + gross, refund("19.99", "0.00", "19.99"), 1999, 0, 0, 119, -119},
		"refunded, the buyer's side in euros":    {all, strings.Replace(buyers("18.00"), "USD", "EUR", 1) + gross, refund("19.99", "0.00", "19.99"), 1999, 0, 0, 119, -119},
		"PayPal paid a part of it":               {all, buyers("19.99") + move("SELLER", "DEBIT", set, "10.00"), "", 0, 1000, 999, 119, 880},
		"a part refunded, and a part taken":      {"", buyers("4.00") + move("SELLER", "DEBIT", set, "3.86") + "," + two("6.00", "5.79"), refund("4.00", "0.14", "3.86"), 400, 600, 999, 84, 915},
		"the refund is another one":              {"", two("6.00", "5.79"), refund("4.00", "0.14", "3.86"), 400, 600, 999, 84, 915},
		"given back after an appeal":             {"", buyers("19.99") + move("SELLER", "DEBIT", set, "18.80") + "," + move("SELLER", "CREDIT", set, "18.80"), "", 0, 0, 1999, 119, 1880},
	} {
		sold := `,"seller_receivable_breakdown":{"paypal_fee":{"currency_code":"USD","value":"1.19"},"net_amount":{"currency_code":"USD","value":"18.80"}}`
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "", `{"captures":[`+captureJSON(capID, "COMPLETED", sold)+`],"refunds":[`+c.refunds+`]}`))
		s.on("GET /v1/customer/disputes", 200, `{"items":[{"dispute_id":"PP-D-1"}]}`)
		s.on("GET /v1/customer/disputes/PP-D-1", 200, `{"dispute_id":"PP-D-1","status":"RESOLVED","dispute_life_cycle_stage":"INQUIRY","dispute_amount":{"currency_code":"USD","value":"19.99"},
 "create_time":"2026-03-01T11:57:00.000Z","update_time":"2026-03-01T11:58:00.000Z","disputed_transactions":[{"seller_transaction_id":"`+capID+`"}],
 "dispute_outcome":{"outcome_code":"RESOLVED_BUYER_FAVOUR"`+c.outcome+`},"money_movements":[`+c.moves+`]}`)
		obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
		if err != nil {
			t.Fatal(err)
		}
		usd := func(minor int64) payment.Money { return payment.Money{Minor: minor, Currency: "usd"} }
		a := payment.Facts{Terms: payment.Terms{Amount: usd(1999)}}.Observe(obs).Amounts(nil)
		if a.Captured != 1999 || a.Refunded != c.refunded || a.Disputed != c.disputed || a.Refundable != c.refundable || a.Fee[0] != usd(c.fee) || a.Net[0] != usd(c.net) {
			t.Errorf("%s: %+v", name, a)
		}
		if left := a.Captured - a.Refunded - a.Disputed - a.Fee[0].Minor; left != a.Net[0].Minor {
			t.Errorf("%s: %d is left, net is %d", name, left, a.Net[0].Minor)
		}
	}
}
