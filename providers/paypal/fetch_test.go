package paypal

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// TestFetchStates guards I3, row by row: what each order of PayPal's means.
func TestFetchStates(t *testing.T) {
	t.Parallel()
	up := `,"links":[{"href":"https://api-m.paypal.com/v2/payments/authorizations/` + authID + `","rel":"up"}]`
	for _, c := range []struct {
		name, status, intent, payments, auth string
		want                                 payment.AttemptState
		failure                              string
		check                                func(payment.Facts) bool
	}{
		{name: "created", status: "CREATED", want: payment.AttemptOpen},
		{name: "payer action", status: "PAYER_ACTION_REQUIRED", want: payment.AttemptOpen, check: func(f payment.Facts) bool {
			return f.Attempts[0].URL != "" && f.Attempts[0].ExpiresAt.Equal(startWall.Add(170*time.Minute))
		}},
		{name: "saved", status: "SAVED", want: payment.AttemptOpen},
		{name: "a status PayPal invents", status: "SOMETHING_NEW", want: payment.AttemptOpen},
		{name: "a status PayPal invents, paid", status: "SOMETHING_NEW", payments: `{"captures":[` + captureJSON(capID, "COMPLETED", "") + `]}`, want: payment.AttemptComplete},
		{name: "a status PayPal invents, declined", status: "SOMETHING_NEW", payments: `{"captures":[` + captureJSON(capID, "DECLINED", "") + `]}`, want: payment.AttemptFailed, failure: "capture_declined"},
		{name: "approved", status: "APPROVED", want: payment.AttemptApproved, check: func(f payment.Facts) bool {
			return f.Attempts[0].ApprovedAt.Equal(startWall.Add(-5*time.Minute)) && f.Attempts[0].PayerID == "QYR5Z8XDVJNXQ" && f.Attempts[0].URL != ""
		}},
		{
			name: "captured", status: "COMPLETED", payments: `{"captures":[` + captureJSON(capID, "COMPLETED", "") + `]}`, want: payment.AttemptComplete,
			check: func(f payment.Facts) bool { return f.Attempts[0].URL == "" && f.Attempts[0].Refs.Capture == capID },
		},
		{name: "refunded stays complete", status: "COMPLETED", payments: `{"captures":[` + captureJSON(capID, "REFUNDED", "") + `]}`, want: payment.AttemptComplete},
		{name: "partly refunded", status: "COMPLETED", payments: `{"captures":[` + captureJSON(capID, "PARTIALLY_REFUNDED", "") + `]}`, want: payment.AttemptComplete},
		{name: "pending", status: "COMPLETED", payments: `{"captures":[` + captureJSON(capID, "PENDING", `,"status_details":{"reason":"ECHECK"}`) + `]}`, want: payment.AttemptProcessing},
		{name: "declined", status: "COMPLETED", payments: `{"captures":[` + captureJSON(capID, "DECLINED", `,"status_details":{"reason":"OTHER"}`) + `]}`, want: payment.AttemptFailed, failure: "capture_declined"},
		{name: "failed", status: "COMPLETED", payments: `{"captures":[` + captureJSON(capID, "FAILED", "") + `]}`, want: payment.AttemptFailed, failure: "capture_declined"},
		{
			name: "a declined and a completed one", status: "COMPLETED", payments: `{"captures":[` + captureJSON("C1", "DECLINED", "") + `,` + captureJSON(capID, "COMPLETED", "") + `]}`, want: payment.AttemptComplete,
			check: func(f payment.Facts) bool { return f.Attempts[0].Refs.Capture == capID },
		},
		{name: "completed, nothing shown", status: "COMPLETED", want: payment.AttemptComplete},
		{name: "voided", status: "VOIDED", want: payment.AttemptCanceled},
		{
			name: "authorized", status: "COMPLETED", intent: "AUTHORIZE", auth: authJSON(authID, "CREATED", ""), want: payment.AttemptAuthorized,
			check: func(f payment.Facts) bool { return f.Authorizations[0].Capturable == 1999 },
		},
		{name: "authorization in review", status: "COMPLETED", intent: "AUTHORIZE", auth: authJSON(authID, "PENDING", ""), want: payment.AttemptProcessing},
		{name: "authorization denied", status: "COMPLETED", intent: "AUTHORIZE", auth: authJSON(authID, "DENIED", ""), want: payment.AttemptFailed, failure: "authorization_denied"},
		{name: "authorization voided", status: "COMPLETED", intent: "AUTHORIZE", auth: authJSON(authID, "VOIDED", ""), want: payment.AttemptCanceled},
		{
			name: "authorization over its time", status: "COMPLETED", intent: "AUTHORIZE",
			auth: strings.Replace(authJSON(authID, "CREATED", ""), "2026-03-30", "2026-02-28", 1), want: payment.AttemptCanceled, failure: "authorization_expired",
		},
		{
			name: "captured from an authorization", status: "COMPLETED", intent: "AUTHORIZE", auth: authJSON(authID, "CAPTURED", ""),
			payments: `"captures":[` + captureJSON(capID, "COMPLETED", up) + `]`, want: payment.AttemptComplete,
			check: func(f payment.Facts) bool {
				return f.Captures[0].Auth == authID && f.Authorizations[0].State == payment.AuthCaptured
			},
		},
		{
			name: "partly captured", status: "COMPLETED", intent: "AUTHORIZE", auth: authJSON(authID, "PARTIALLY_CAPTURED", ""),
			payments: `"captures":[` + strings.Replace(captureJSON(capID, "COMPLETED", up), "19.99", "5.00", 1) + `]`, want: payment.AttemptAuthorized,
			check: func(f payment.Facts) bool { return f.Authorizations[0].Capturable == 1499 },
		},
		{
			name: "partly captured, for good", status: "COMPLETED", intent: "AUTHORIZE", auth: authJSON(authID, "PARTIALLY_CAPTURED", ""),
			payments: `"captures":[` + strings.Replace(captureJSON(capID, "COMPLETED", `,"final_capture":true`+up), "19.99", "5.00", 1) + `]`, want: payment.AttemptComplete,
			check: func(f payment.Facts) bool { return f.Captures[0].Final },
		},
		{
			name: "partly captured, for good, pending", status: "COMPLETED", intent: "AUTHORIZE", auth: authJSON(authID, "PARTIALLY_CAPTURED", ""),
			payments: `"captures":[` + strings.Replace(captureJSON(capID, "PENDING", `,"final_capture":true`+up), "19.99", "5.00", 1) + `]`, want: payment.AttemptProcessing,
			check: func(f payment.Facts) bool { return !f.Captures[0].Final },
		},
		{
			name: "partly captured, rest voided", status: "COMPLETED", intent: "AUTHORIZE", auth: authJSON(authID, "VOIDED", ""),
			payments: `"captures":[` + strings.Replace(captureJSON(capID, "COMPLETED", up), "19.99", "5.00", 1) + `]`, want: payment.AttemptComplete,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStub(t)
			if c.auth != "" {
				s.on("GET /v2/payments/authorizations/"+authID, 200, c.auth)
				rest := ""
				if c.payments != "" {
					rest = "," + c.payments
				}
				c.payments = `{"authorizations":[{"id":"` + authID + `","status":"CREATED"}]` + rest + `}`
			}
			s.on("GET /v2/checkout/orders/"+orderID, 200, orderJSON(c.status, c.intent, c.payments))
			obs, err := s.adapter().Fetch(t.Context(), attemptOf(c.intent == "AUTHORIZE"))
			if err != nil {
				t.Fatal(err)
			}
			fact := obs.Facts.Attempts[0]
			if fact.State != c.want || fact.Failure.Code != c.failure || !obs.Complete || !obs.AsOf.Equal(startWall) {
				t.Errorf("state %s, failure %+v, complete %v as of %v; want %s", fact.State, fact.Failure, obs.Complete, obs.AsOf, c.want)
			}
			if fact.Total != (payment.Money{Minor: 1999, Currency: "usd"}) || fact.Kind != "order" || fact.Key.ID != orderID || fact.N != 1 {
				t.Errorf("fact %+v", fact)
			}
			if c.check != nil && !c.check(obs.Facts) {
				t.Errorf("facts %+v", obs.Facts)
			}
		})
	}
}

// TestFetchGone guards the rule for vanished orders: young is not found, old is
// expired, and what is known below it is read by its own id, never given up.
func TestFetchGone(t *testing.T) {
	t.Parallel()
	gone := func(t *testing.T, age time.Duration, refs payment.Refs, setup func(*stub)) (payment.Observation, error) {
		t.Helper()
		s := newStub(t)
		if setup != nil {
			setup(s)
		}
		at := attemptOf(refs.Authorization != "")
		at.CreatedAt, at.Refs = startWall.Add(-age), refs
		return s.adapter().Fetch(t.Context(), at)
	}
	_, err := gone(t, 3*time.Hour-time.Second, payment.Refs{}, nil)
	wantError(t, err, providers.NotFound, "")

	obs, err := gone(t, 3*time.Hour, payment.Refs{}, nil)
	if err != nil || !obs.Complete || obs.Facts.Attempts[0].State != payment.AttemptExpired || !obs.AsOf.Equal(startWall) ||
		obs.Facts.Attempts[0].Key.ID != orderID || !obs.Facts.Attempts[0].AsOf.Equal(startWall) {
		t.Errorf("old: %+v, %v", obs, err)
	}

	_, err = gone(t, 300*time.Hour, payment.Refs{}, func(s *stub) { s.on("GET /v2/checkout/orders/"+orderID, 404, "<html>") })
	wantError(t, err, providers.Unknown, "not_paypals_answer") // a proxy's 404 kills no order

	obs, err = gone(t, 300*time.Hour, payment.Refs{Capture: capID}, func(s *stub) {
		s.on("GET /v2/payments/captures/"+capID, 200, captureJSON(capID, "COMPLETED", ""))
	})
	if err != nil || obs.Facts.Attempts[0].State != payment.AttemptComplete || obs.Facts.Captures[0].Amount.Minor != 1999 || !obs.Complete {
		t.Errorf("with a capture: %+v, %v", obs, err)
	}

	obs, err = gone(t, 300*time.Hour, payment.Refs{Authorization: authID}, func(s *stub) {
		s.on("GET /v2/payments/authorizations/"+authID, 200, authJSON(authID, "CREATED", ""))
	})
	if err != nil || obs.Facts.Attempts[0].State != payment.AttemptAuthorized || obs.Facts.Authorizations[0].Capturable != 1999 {
		t.Errorf("with an authorization: %+v, %v", obs, err)
	}

	if !obs.Rootless {
		t.Error("a look without the order counts as one with it")
	}
	_, err = gone(t, 300*time.Hour, payment.Refs{Authorization: authID, Capture: capID}, func(s *stub) {
		s.on("GET /v2/payments/authorizations/"+authID, 200, authJSON(authID, "PARTIALLY_CAPTURED", "")).
			on("GET /v2/payments/captures/"+capID, 200, captureJSON(capID, "COMPLETED", ""))
	})
	wantError(t, err, providers.NotFound, "") // nobody can tell what is left to capture
	obs, err = gone(t, 300*time.Hour, payment.Refs{Authorization: authID, Capture: capID}, func(s *stub) {
		s.on("GET /v2/payments/authorizations/"+authID, 200, authJSON(authID, "PARTIALLY_CAPTURED", "")).
			on("GET /v2/payments/captures/"+capID, 200, strings.Replace(captureJSON(capID, "COMPLETED", `,"final_capture":true`), "19.99", "5.00", 1))
	})
	if err != nil || !obs.Rootless || obs.Facts.Authorizations[0].State != payment.AuthCaptured || obs.Facts.Authorizations[0].Capturable != 0 {
		t.Errorf("after a final capture nothing is left: %+v, %v", obs, err)
	}
	_, err = gone(t, 300*time.Hour, payment.Refs{Capture: capID}, nil) // money we knew of is gone too: never "expired"
	wantError(t, err, providers.NotFound, "")
}

// Promise: an order that PayPal voided and that does not say when counts as lapsed: its
// customer can open another checkout. That is so however early it is read, because a later
// reading must not say otherwise: a payment that was told as canceled would come back.
func TestFetchVoidedWithoutATime(t *testing.T) {
	t.Parallel()
	for _, created := range []string{"2026-03-01T08:59:00Z", "2026-03-01T11:50:00Z"} {
		body := strings.Replace(orderJSON("VOIDED", "CAPTURE", ""), `"create_time":"2026-03-01T11:50:00Z","update_time":"2026-03-01T11:55:00Z",`, `"create_time":"`+created+`",`, 1)
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, body)
		obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
		if err != nil || obs.Facts.Attempts[0].State != payment.AttemptExpired {
			t.Errorf("made at %s: %+v, %v", created, obs.Facts.Attempts, err)
		}
	}
}

// TestFetchUnreadable: an amount that can't be read is an unknown, not a zero.
func TestFetchUnreadable(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"amount":          strings.Replace(orderJSON("APPROVED", "", ""), `"19.99"`, `"19.999"`, 1),
		"currency":        strings.Replace(orderJSON("APPROVED", "", ""), `"USD"`, `"XXX"`, 1),
		"no amount":       strings.Replace(orderJSON("APPROVED", "", ""), `"amount"`, `"amt"`, 1),
		"capture":         orderJSON("COMPLETED", "", `{"captures":[{"id":"C","status":"COMPLETED"}]}`),
		"another order":   strings.Replace(orderJSON("APPROVED", "", ""), orderID, "OTHER", 1),
		"nothing":         `{}`,
		"units of number": `{"id":"` + orderID + `","purchase_units":5}`,
	} {
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, body)
		_, err := s.adapter().Fetch(t.Context(), attemptOf(false))
		if providers.ClassOf(err) != providers.Unknown || err == nil {
			t.Errorf("%s: %v, want unknown", name, err)
		}
		// What one object says is no reason to close the account for all; an answer that is none may be.
		var e *providers.Error
		whole := name != "another order" && name != "nothing" && name != "units of number"
		if errors.As(err, &e); e.Aside != whole {
			t.Errorf("%s: aside %t", name, e.Aside)
		}
	}
}

// TestFetchDisputesForbidden: an account without the right to see disputes still has
// payments; a dispute service that is down keeps none of the money back, and is told, so
// that no case is lost or taken for gone.
func TestFetchDisputesForbidden(t *testing.T) {
	t.Parallel()
	const known = `{"dispute_id":"PP-D-1","status":"UNDER_REVIEW","dispute_life_cycle_stage":"CHARGEBACK","dispute_amount":{"currency_code":"USD","value":"10.00"},"disputed_transactions":[{"seller_transaction_id":"` + capID + `"}]}`
	for name, c := range map[string]struct {
		list, one int // status of the list, and of the second of its two cases
		ok        bool
		found     int
	}{
		"no right": {403, 0, true, 0}, "no such service": {404, 0, true, 0}, "refused token": {401, 0, false, 0},
		"down": {500, 0, false, 0}, "asleep": {503, 0, false, 0}, "too many": {429, 0, false, 0}, "one is broken": {200, 500, false, 1}, "one is gone": {200, 404, false, 1},
	} {
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "", `{"captures":[`+captureJSON(capID, "COMPLETED", "")+`]}`))
		s.on("GET /v1/customer/disputes", c.list, `{"items":[{"dispute_id":"PP-D-1"},{"dispute_id":"PP-D-2"}]}`).
			on("GET /v1/customer/disputes/PP-D-1", 200, known).on("GET /v1/customer/disputes/PP-D-2", c.one, `{"name":"X"}`)
		obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
		if (err == nil) != c.ok || err != nil && !providers.Beside(err) {
			t.Errorf("%s: %v", name, err)
		}
		if !obs.Complete || obs.Narrow == c.ok || len(obs.Facts.Captures) != 1 || len(obs.Facts.Disputes) != c.found {
			t.Errorf("%s: complete %v, narrow %v, %d captures, %d disputes", name, obs.Complete, obs.Narrow, len(obs.Facts.Captures), len(obs.Facts.Disputes))
		}
		if res, err := s.adapter().CloseCheckout(t.Context(), attemptOf(false), "k"); err != nil || !res.Observation.Complete {
			t.Errorf("%s: closing hangs on disputes: %v", name, err)
		}
	}
}

// TestFetchFees: fee and net come in settlement currency, each movement once, and
// cancel out for a refund that failed.
func TestFetchFees(t *testing.T) {
	t.Parallel()
	usd := func(v string) string { return `{"currency_code":"USD","value":"` + v + `"}` }
	eur := func(v string) string { return `{"currency_code":"EUR","value":"` + v + `"}` }
	up := `,"links":[{"href":"https://api-m.paypal.com/v2/payments/captures/` + capID + `","rel":"up"}]`
	payments := `{"captures":[` + captureJSON(capID, "PARTIALLY_REFUNDED", `,"seller_receivable_breakdown":{"gross_amount":`+usd("19.99")+`,"paypal_fee":`+usd("1.19")+
		`,"net_amount":`+usd("18.80")+`,"paypal_fee_in_receivable_currency":`+eur("1.10")+`,"receivable_amount":`+eur("17.40")+`}`) + `],
 "refunds":[{"id":"R1","status":"COMPLETED","amount":` + usd("5.00") + `,"seller_payable_breakdown":{"gross_amount":` + usd("5.00") + `,"paypal_fee":` + usd("0.10") + `,"net_amount":` + usd("4.90") + `}` + up + `},
  {"id":"R2","status":"FAILED","amount":` + usd("1.00") + `,"seller_payable_breakdown":{"gross_amount":` + usd("1.00") + `,"paypal_fee":` + usd("0.00") + `,"net_amount":` + usd("1.00") + `}` + up + `},
  {"id":"R3","status":"PENDING","amount":` + usd("1.00") + `,"seller_payable_breakdown":{"net_amount":` + usd("1.00") + `}` + up + `}]}`
	s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "", payments))
	obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
	if err != nil {
		t.Fatal(err)
	}
	amounts := payment.Facts{Terms: payment.Terms{Amount: payment.Money{Minor: 1999, Currency: "usd"}}}.Observe(obs).Amounts(nil)
	if diff := cmp.Diff([]payment.Money{{Minor: 110, Currency: "eur"}, {Minor: -10, Currency: "usd"}}, amounts.Fee); diff != "" {
		t.Errorf("fee: %s", diff)
	}
	if diff := cmp.Diff([]payment.Money{{Minor: 1740, Currency: "eur"}, {Minor: -490, Currency: "usd"}}, amounts.Net); diff != "" {
		t.Errorf("net: %s", diff)
	}
}

// Promise (I3): what reached or left the account stands in the currency it did so in, also
// where PayPal charged its fee in the payment's own.
func TestFetchNetAfterConversion(t *testing.T) {
	t.Parallel()
	usd := func(v string) string { return `{"currency_code":"USD","value":"` + v + `"}` }
	eur := func(v string) string { return `{"currency_code":"EUR","value":"` + v + `"}` }
	chf := `{"currency_code":"CHF","value":"0.50"}`
	up := `,"links":[{"href":"https://api-m.paypal.com/v2/payments/captures/` + capID + `","rel":"up"}]`
	refund := func(more string) string {
		return `{"id":"R1","status":"COMPLETED","amount":` + usd("5.00") + up + `,"seller_payable_breakdown":{"paypal_fee":` + usd("0.00") + `,"net_amount":` + usd("5.00") + more + `}}`
	}
	for name, c := range map[string]struct {
		more string
		net  []payment.Money
	}{
		"one balance":    {`,"net_amount_breakdown":[{"payable_amount":` + eur("4.60") + `,"converted_amount":` + usd("5.00") + `}]`, []payment.Money{{Minor: 1720 - 460, Currency: "eur"}}},
		"two of one":     {`,"net_amount_breakdown":[{"payable_amount":` + eur("4.00") + `},{"payable_amount":` + eur("0.60") + `}]`, []payment.Money{{Minor: 1720 - 460, Currency: "eur"}}},
		"two currencies": {`,"net_amount_breakdown":[{"payable_amount":` + eur("4.00") + `},{"payable_amount":` + chf + `}]`, []payment.Money{{Minor: 1720, Currency: "eur"}, {Minor: -500, Currency: "usd"}}},
		"in one sum":     {`,"net_amount_in_receivable_currency":` + eur("4.61"), []payment.Money{{Minor: 1720 - 461, Currency: "eur"}}},
		"not converted":  {``, []payment.Money{{Minor: 1720, Currency: "eur"}, {Minor: -500, Currency: "usd"}}},
	} {
		payments := `{"captures":[` + captureJSON(capID, "PARTIALLY_REFUNDED", `,"seller_receivable_breakdown":{"gross_amount":`+usd("19.99")+`,"paypal_fee":`+usd("1.19")+
			`,"net_amount":`+usd("18.80")+`,"receivable_amount":`+eur("17.20")+`,"exchange_rate":{"source_currency":"USD","target_currency":"EUR","value":"0.915"}}`) + `],"refunds":[` + refund(c.more) + `]}`
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "", payments))
		obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
		if err != nil {
			t.Fatal(err)
		}
		amounts := payment.Facts{Terms: payment.Terms{Amount: payment.Money{Minor: 1999, Currency: "usd"}}}.Observe(obs).Amounts(nil)
		if diff := cmp.Diff([]payment.Money{{Minor: 119, Currency: "usd"}}, amounts.Fee); diff != "" {
			t.Errorf("%s: fee: %s", name, diff)
		}
		if diff := cmp.Diff(c.net, amounts.Net); diff != "" {
			t.Errorf("%s: net: %s", name, diff)
		}
	}
}

// TestFetchRefundOperation: a refund is ours where our operation's id stands in one
// place and in no other stands another; PayPal's own pages copy the capture's custom_id.
func TestFetchRefundOperation(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`"custom_id":"rfd_1","invoice_id":"rfd_1"`: "rfd_1", `"custom_id":"rfd_1"`: "rfd_1", `"custom_id":"` + payID + `"`: "",
		`"custom_id":"` + payID + `","invoice_id":"` + payID + `-1"`: "", `"custom_id":"x","invoice_id":"y"`: "", `"invoice_id":"rfd_1"`: "rfd_1",
		`"custom_id":"` + payID + `","invoice_id":"rfd_1"`: "rfd_1", `"custom_id":"rfd_2","invoice_id":"rfd_1"`: "", `"invoice_id":"1644280607"`: "",
		`"note_to_payer":"n"`: "", `"custom_id":"ORDER-7"`: "", `"custom_id":"ORDER-7","invoice_id":"ORDER-7"`: "", `"custom_id":"ORDER-7","invoice_id":"rfd_1"`: "rfd_1",
	} {
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "",
			`{"captures":[`+captureJSON(capID, "COMPLETED", "")+`],"refunds":[{"id":"R1","status":"COMPLETED","amount":{"currency_code":"USD","value":"1.00"},`+in+`}]}`))
		obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
		if err != nil || obs.Facts.Refunds[0].Operation != want {
			t.Errorf("%s: operation %q (%v), want %q", in, obs.Facts.Refunds[0].Operation, err, want)
		}
	}
}

// TestFetchDispute maps every status, stage and outcome of PayPal's documents.
func TestFetchDispute(t *testing.T) {
	t.Parallel()
	move := func(kind, reason string) string {
		return `{"affected_party":"SELLER","type":"` + kind + `","reason":"` + reason + `","amount":{"currency_code":"USD","value":"10.00"}}`
	}
	inEuros := func(move string) string { return strings.Replace(move, "USD", "EUR", 1) }
	for _, c := range []struct {
		status, stage, outcome, moves string
		want                          payment.DisputeStatus
		withheld                      int64
	}{
		{"OPEN", "INQUIRY", "", "", payment.DisputeNeedsResponse, 0},
		{"WAITING_FOR_SELLER_RESPONSE", "INQUIRY", "", "", payment.DisputeNeedsResponse, 0},
		{"WAITING_FOR_SELLER_RESPONSE", "CHARGEBACK", "", "", payment.DisputeNeedsResponse, 1000},
		{"WAITING_FOR_BUYER_RESPONSE", "CHARGEBACK", "", "", payment.DisputeUnderReview, 1000},
		{"UNDER_REVIEW", "PRE_ARBITRATION", "", move("DEBIT", "DISPUTE_SETTLEMENT"), payment.DisputeUnderReview, 1000},
		{"SOMETHING_NEW", "CHARGEBACK", "", "", payment.DisputeNeedsResponse, 1000},
		{"OTHER", "ARBITRATION", "", "", payment.DisputeUnderReview, 1000},
		{"RESOLVED", "CHARGEBACK", "RESOLVED_BUYER_FAVOUR", "", payment.DisputeLost, 1000},
		{"RESOLVED", "CHARGEBACK", "ACCEPTED", move("DEBIT", "DISPUTE_SETTLEMENT"), payment.DisputeLost, 1000},
		{"RESOLVED", "CHARGEBACK", "RESOLVED_SELLER_FAVOUR", move("DEBIT", "DISPUTE_SETTLEMENT") + "," + move("CREDIT", "DISPUTE_SETTLEMENT"), payment.DisputeWon, 0},
		{"RESOLVED", "CHARGEBACK", "RESOLVED_SELLER_FAVOUR", move("DEBIT", "DISPUTE_SETTLEMENT") + "," + inEuros(move("CREDIT", "DISPUTE_SETTLEMENT")), payment.DisputeWon, 0},
		{"RESOLVED", "CHARGEBACK", "RESOLVED_BUYER_FAVOUR", inEuros(move("DEBIT", "DISPUTE_SETTLEMENT")), payment.DisputeLost, 1000},
		{"RESOLVED", "CHARGEBACK", "RESOLVED_WITH_PAYOUT", "", payment.DisputeWon, 0},
		{"RESOLVED", "INQUIRY", "CANCELED_BY_BUYER", "", payment.DisputeWon, 0},
		{"RESOLVED", "CHARGEBACK", "DENIED", "", payment.DisputeWon, 0},
		{"RESOLVED", "CHARGEBACK", "NONE", "", payment.DisputeClosed, 0},
		{"RESOLVED", "CHARGEBACK", "ACCEPTED", move("DEBIT", "DISPUTE_SETTLEMENT") + "," + move("DEBIT", "CHARGEBACK_FEE"), payment.DisputeLost, 1000},
		// An end that nobody knows may have cost the money: a human looks, and it counts as taken.
		{"RESOLVED", "CHARGEBACK", "SOMETHING_NEW", "", payment.DisputeNeedsResponse, 1000},
		{"RESOLVED", "CHARGEBACK", "SOMETHING_NEW", move("DEBIT", "DISPUTE_SETTLEMENT") + "," + move("CREDIT", "DISPUTE_SETTLEMENT"), payment.DisputeNeedsResponse, 0},
		{"RESOLVED", "INQUIRY", "SOMETHING_NEW", "", payment.DisputeNeedsResponse, 1000},
		{"RESOLVED", "CHARGEBACK", "", "", payment.DisputeNeedsResponse, 1000},
		{"RESOLVED", "INQUIRY", "", "", payment.DisputeClosed, 0},
	} {
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "", `{"captures":[`+captureJSON(capID, "COMPLETED", "")+`]}`))
		s.on("GET /v1/customer/disputes", 200, `{"items":[{"dispute_id":"PP-D-1"}]}`)
		s.on("GET /v1/customer/disputes/PP-D-1", 200, `{"dispute_id":"PP-D-1","status":"`+c.status+`","reason":"UNAUTHORISED","dispute_life_cycle_stage":"`+c.stage+
			`","dispute_amount":{"currency_code":"USD","value":"10.00"},"create_time":"2026-03-01T11:57:00.000Z","update_time":"2026-03-01T11:58:00.000Z",
 "seller_response_due_date":"2026-03-11T00:00:00.000Z","disputed_transactions":[{"seller_transaction_id":"`+capID+`"}],"dispute_outcome":{"outcome_code":"`+c.outcome+`"},"money_movements":[`+c.moves+`]}`)
		obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
		if err != nil {
			t.Fatal(err)
		}
		d := obs.Facts.Disputes[0]
		if d.Status != c.want || d.Withheld != c.withheld || d.Capture != capID || d.Stage != strings.ToLower(c.stage) || d.Reason != "unauthorised" || d.DueBy.IsZero() == (c.want == payment.DisputeNeedsResponse) {
			t.Errorf("%s %s %s: %+v", c.status, c.stage, c.outcome, d)
		}
		if unclear := c.status == "SOMETHING_NEW" || c.outcome == "SOMETHING_NEW" || c.status == "RESOLVED" && c.outcome == "" && c.stage != "INQUIRY"; d.Unclear != unclear {
			t.Errorf("%s %s %s: unclear %t", c.status, c.stage, c.outcome, d.Unclear)
		}
		if fees := strings.Count(c.moves, "CHARGEBACK_FEE"); len(obs.Facts.Fees) != fees {
			t.Errorf("%d fees, want %d", len(obs.Facts.Fees), fees)
		}
	}
}

// Promise: what the customer got back in another currency is not read as the payment's.
func TestFetchDisputeRefundedInAnotherCurrency(t *testing.T) {
	t.Parallel()
	for currency, want := range map[string]int64{"USD": 900, "EUR": 1000} {
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "", `{"captures":[`+captureJSON(capID, "COMPLETED", "")+`]}`))
		s.on("GET /v1/customer/disputes", 200, `{"items":[{"dispute_id":"PP-D-1"}]}`)
		s.on("GET /v1/customer/disputes/PP-D-1", 200, `{"dispute_id":"PP-D-1","status":"RESOLVED","dispute_life_cycle_stage":"CHARGEBACK","dispute_amount":{"currency_code":"USD","value":"10.00"},
 "disputed_transactions":[{"seller_transaction_id":"`+capID+`"}],"dispute_outcome":{"outcome_code":"RESOLVED_BUYER_FAVOUR","amount_refunded":{"currency_code":"`+currency+`","value":"9.00"}}}`)
		obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
		if err != nil || obs.Facts.Disputes[0].Withheld != want {
			t.Errorf("%s: %v, %+v", currency, err, obs.Facts.Disputes)
		}
	}
}

// Promise: a case that names no transaction is still about the capture by which PayPal
// listed it.
func TestFetchDisputeThatNamesNothing(t *testing.T) {
	t.Parallel()
	for _, named := range []string{"", `,"disputed_transactions":[]`, `,"disputed_transactions":[{"buyer_transaction_id":"B1"}]`} {
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "", `{"captures":[`+captureJSON(capID, "COMPLETED", "")+`]}`))
		s.on("GET /v1/customer/disputes", 200, `{"items":[{"dispute_id":"PP-D-1"}]}`)
		s.on("GET /v1/customer/disputes/PP-D-1", 200, `{"dispute_id":"PP-D-1","status":"UNDER_REVIEW","dispute_life_cycle_stage":"CHARGEBACK","dispute_amount":{"currency_code":"USD","value":"10.00"}`+named+`}`)
		obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
		if err != nil || len(obs.Facts.Disputes) != 1 || obs.Facts.Disputes[0].Capture != capID {
			t.Errorf("%q: %v, %+v", named, err, obs.Facts.Disputes)
		}
	}
}

// TestEmptyAnswerIsNoEmptyList (I3): "{}" where a list belongs is no complete look; read
// as one, a dispute that was won was never heard of.
func TestEmptyAnswerIsNoEmptyList(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"{}", " {}\n"} {
		s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "", `{"captures":[`+captureJSON(capID, "COMPLETED", "")+`]}`))
		s.on("GET /v1/customer/disputes", 200, body)
		_, err := s.adapter().Fetch(t.Context(), attemptOf(false))
		if providers.ClassOf(err) != providers.Unknown || err == nil {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// TestFetchManyDisputes: a list of several pages is walked to its end.
func TestFetchManyDisputes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.paid(t, false)
	for range 53 {
		l.must(t, "disputes", map[string]any{"capture": p.attempt.Refs.Capture, "amount": 10, "stage": "INQUIRY"})
	}
	obs, err := l.adapter.Fetch(t.Context(), p.attempt)
	if err != nil || len(obs.Facts.Disputes) != 53 {
		t.Errorf("%d disputes (%v), want 53", len(obs.Facts.Disputes), err)
	}
}

// TestFetchReversal guards I2: money that PayPal takes back by itself, which no order
// shows, is found once transaction search knows it.
func TestFetchReversal(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.paid(t, false)
	l.advance(t, time.Hour)
	id := l.must(t, "reversals", map[string]any{"capture": p.attempt.Refs.Capture, "amount": 700})["reversal"]
	l.advance(t, 4*time.Hour)
	obs, err := l.adapter.Fetch(t.Context(), p.attempt)
	if err != nil {
		t.Fatal(err)
	}
	if len(obs.Facts.Reversals) != 1 || obs.Facts.Reversals[0].Key.ID != id || obs.Facts.Reversals[0].Amount.Minor != 700 || obs.Facts.Reversals[0].Capture != p.attempt.Refs.Capture {
		t.Errorf("reversals %+v", obs.Facts.Reversals)
	}
	if got := p.facts.Observe(obs).Amounts(nil); got.Disputed != 700 || got.Refundable != 1299 {
		t.Errorf("amounts %+v", got)
	}
}

// FuzzOrder: whatever PayPal's JSON holds, the mapper makes facts or an error, never a
// panic, and every fact is named.
func FuzzOrder(f *testing.F) {
	f.Add(orderJSON("COMPLETED", "AUTHORIZE", `{"captures":[`+captureJSON(capID, "COMPLETED", "")+`],"authorizations":[`+authJSON(authID, "CREATED", "")+`]}`))
	f.Add(`{"id":"` + orderID + `","purchase_units":[null,{"payments":null},{"payments":{"captures":[null],"refunds":[{}]}}]}`)
	f.Add(`{"id":"` + orderID + `","links":null,"payer":null,"create_time":5}`)
	var body string
	s := &stub{routes: map[string]http.HandlerFunc{}}
	s.routes["GET /v2/checkout/orders/"+orderID] = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
	a, err := New(Options{
		Account: "paypal-test", Mode: payment.ModeTest, ClientID: "c", ClientSecret: "s", Now: func() time.Time { return startWall },
		Inline: true, HTTPClient: &http.Client{Transport: inMemory{s}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in string) {
		body = in
		obs, err := a.Fetch(t.Context(), attemptOf(false))
		if err != nil {
			return
		}
		if len(obs.Facts.Attempts) != 1 || obs.Facts.Attempts[0].Key.ID != orderID || obs.AsOf.IsZero() {
			t.Fatalf("observation %+v", obs)
		}
	})
}

// Promise (I2): only what PayPal took counts as taken: a row above zero is money that came
// back, and a row that PayPal has undone took nothing in the end.
func TestFetchReversalsBySignAndStatus(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status, value string
		want          []int64
	}{
		"taken": {"S", "-7.00", []int64{700}}, "undone": {"V", "-7.00", []int64{0}},
		"given back": {"S", "7.00", nil}, "pending": {"P", "-7.00", nil}, "refused": {"D", "-7.00", nil},
	} {
		s := refundedStub(t).on("GET /v1/reporting/transactions", 200, `{"total_pages":1,"last_refreshed_datetime":"2026-03-01T11:59:59+0000","transaction_details":[{"transaction_info":{
 "transaction_id":"9AB","paypal_reference_id":"`+capID+`","paypal_reference_id_type":"TXN","transaction_event_code":"T1106","transaction_status":"`+c.status+`",
 "transaction_amount":{"currency_code":"USD","value":"`+c.value+`"},"transaction_initiation_date":"2026-03-01T11:57:00+0000","transaction_updated_date":"2026-03-01T11:58:00+0000"}}]}`)
		obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, r := range obs.Facts.Reversals {
			got = append(got, r.Amount.Minor)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: reversals of %v, want %v", name, got, c.want)
		}
	}
}
