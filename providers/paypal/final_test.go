package paypal

import (
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// TestFinalCaptureLeavesNothing (I3): what a final capture left can't be taken any more, though PayPal goes on calling
// the authorization PARTIALLY_CAPTURED: the payment is succeeded at once, not when the authorization ends weeks later.
func TestFinalCaptureLeavesNothing(t *testing.T) {
	t.Parallel()
	captureOf := func(id, status, value, final string) string {
		return `{"id":"` + id + `","status":"` + status + `","amount":{"currency_code":"USD","value":"` + value + `"},"create_time":"2026-03-01T11:56:00Z",` + final +
			`"supplementary_data":{"related_ids":{"authorization_id":"` + authID + `"}}}`
	}
	const final, more = `"final_capture":true,`, `"final_capture":false,`
	for name, c := range map[string]struct {
		captures string
		left     int64
		want     payment.Status
	}{
		"a part, and it was the last":      {captureOf("C1", "COMPLETED", "5.00", final), 0, payment.StatusSucceeded},
		"a part, and more may follow":      {captureOf("C1", "COMPLETED", "5.00", more), 1499, payment.StatusAuthorized},
		"a part, and nothing said":         {captureOf("C1", "COMPLETED", "5.00", ""), 1499, payment.StatusAuthorized},
		"two parts, the second the last":   {captureOf("C1", "COMPLETED", "5.00", more) + "," + captureOf("C2", "COMPLETED", "5.00", final), 0, payment.StatusSucceeded},
		"the last is pending":              {captureOf("C1", "PENDING", "5.00", final), 0, payment.StatusProcessing},
		"the last was declined":            {captureOf("C1", "DECLINED", "5.00", final), 1999, payment.StatusAuthorized},
		"the last after one that was not":  {captureOf("C1", "DECLINED", "5.00", final) + "," + captureOf("C2", "COMPLETED", "5.00", more), 1499, payment.StatusAuthorized},
		"everything, by the amounts alone": {captureOf("C1", "COMPLETED", "19.99", more), 0, payment.StatusSucceeded},
	} {
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "", `{"authorizations":[`+authJSON(authID, "PARTIALLY_CAPTURED", "")+`],"captures":[`+c.captures+`]}`))
		s.on("GET /v2/payments/authorizations/"+authID, 200, authJSON(authID, "PARTIALLY_CAPTURED", ""))
		at := attemptOf(true)
		obs, err := s.adapter().Fetch(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		f := payment.Facts{
			Terms:  payment.Terms{Amount: payment.Money{Minor: 1999, Currency: "usd"}, Manual: true},
			Opened: []payment.Attempt{{N: at.N, Provider: Provider, Account: obs.Account}},
		}.Observe(obs)
		if got := f.Status(); got != c.want || f.Amounts(nil).Capturable != c.left {
			t.Errorf("%s: %s, want %s; capturable %d, want %d; conflicts %v", name, got, c.want, f.Amounts(nil).Capturable, c.left, f.Conflicts())
		}
	}
}
