package stripe

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// parse reads a provider object from the JSON that Stripe would send.
func parse[T any](t *testing.T, text string) *T {
	t.Helper()
	v := new(T)
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func mapped(t *testing.T, s snapshot) payment.Observation {
	t.Helper()
	a := (&lab{}).connect(t, "http://127.0.0.1:1")
	obs, err := a.observation("fetch", s, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	return obs
}

// TestAttemptStates: how far an attempt got, for every combination of session and
// intent that Stripe can show, and for statuses that nobody knows yet.
func TestAttemptStates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		session, paid, intent string
		want                  payment.AttemptState
	}{
		{"open", "unpaid", "", payment.AttemptOpen},
		{"open", "unpaid", "requires_payment_method", payment.AttemptOpen},
		{"open", "unpaid", "requires_action", payment.AttemptOpen},
		{"open", "unpaid", "requires_confirmation", payment.AttemptOpen},
		{"open", "unpaid", "canceled", payment.AttemptOpen},
		{"open", "unpaid", "processing", payment.AttemptProcessing}, // the money is faster than the session
		{"open", "unpaid", "requires_capture", payment.AttemptAuthorized},
		{"open", "unpaid", "succeeded", payment.AttemptComplete},
		{"expired", "unpaid", "", payment.AttemptExpired},
		{"expired", "unpaid", "canceled", payment.AttemptExpired},
		{"expired", "unpaid", "requires_payment_method", payment.AttemptExpired},
		{"expired", "unpaid", "succeeded", payment.AttemptComplete},
		{"complete", "paid", "succeeded", payment.AttemptComplete},
		{"complete", "paid", "", payment.AttemptComplete},
		{"complete", "no_payment_required", "", payment.AttemptComplete},
		{"complete", "unpaid", "requires_capture", payment.AttemptAuthorized},
		{"complete", "unpaid", "processing", payment.AttemptProcessing},
		{"complete", "unpaid", "requires_action", payment.AttemptProcessing}, // a voucher to be paid
		{"complete", "unpaid", "requires_payment_method", payment.AttemptFailed},
		{"complete", "unpaid", "canceled", payment.AttemptCanceled},
		{"complete", "unpaid", "", payment.AttemptProcessing},
		{"complete", "unpaid", "a_new_one", payment.AttemptProcessing},
		{"complete", "a_new_one", "", payment.AttemptProcessing},
		{"a_new_one", "unpaid", "", payment.AttemptProcessing},
		{"", "", "requires_capture", payment.AttemptAuthorized}, // the root is an intent
		{"", "", "succeeded", payment.AttemptComplete},
		{"", "", "canceled", payment.AttemptCanceled},
		{"", "", "requires_payment_method", payment.AttemptFailed},
		{"", "", "a_new_one", payment.AttemptProcessing},
	} {
		s := snapshot{asOf: startWall}
		if c.session != "" {
			s.session = parse[stripesdk.CheckoutSession](t, `{"id":"cs_1","created":5,"status":"`+c.session+`","payment_status":"`+c.paid+`","url":"https://c/1","currency":"usd"}`)
		}
		if c.intent != "" {
			s.intent = parse[stripesdk.PaymentIntent](t, `{"id":"pi_1","created":5,"status":"`+c.intent+`","currency":"usd"}`)
		}
		got := mapped(t, s).Facts.Attempts[0]
		if got.State != c.want {
			t.Errorf("session %s/%s, intent %s: %s, want %s", c.session, c.paid, c.intent, got.State, c.want)
		}
		if (got.URL != "") != (got.State == payment.AttemptOpen) {
			t.Errorf("session %s: state %s has the address %q", c.session, got.State, got.URL)
		}
	}
}

// TestBreakdown: total, discount, tax and shipping are the session's own, in our
// minor units.
func TestBreakdown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		currency string
		factor   int64 // Stripe's integer per minor unit of ours
	}{{"usd", 1}, {"isk", 100}} {
		s := parse[stripesdk.CheckoutSession](t, `{"id":"cs_1","created":5,"expires_at":9,"status":"complete","payment_status":"paid",
			"customer":"cus_1","customer_details":{"email":"b@example.com"}}`)
		s.Currency, s.AmountTotal = stripesdk.Currency(c.currency), 1150*c.factor
		s.TotalDetails = &stripesdk.CheckoutSessionTotalDetails{AmountDiscount: 100 * c.factor, AmountTax: 200 * c.factor, AmountShipping: 50 * c.factor}
		got := mapped(t, snapshot{session: s, asOf: startWall}).Facts.Attempts[0]
		if got.Total.Minor != 1150 || got.Discount != 100 || got.Tax != 200 || got.Shipping != 50 {
			t.Errorf("%s: %+v", c.currency, got)
		}
		if got.PayerEmail != "b@example.com" || got.PayerID != "cus_1" || !got.ExpiresAt.Equal(time.Unix(9, 0)) {
			t.Errorf("%+v", got)
		}
	}
}

// paidSnapshot is a complete session with one captured charge.
func paidSnapshot(t *testing.T) snapshot {
	t.Helper()
	return snapshot{
		asOf:    startWall,
		session: parse[stripesdk.CheckoutSession](t, `{"id":"cs_1","created":5,"status":"complete","payment_status":"paid","currency":"usd","amount_total":1000}`),
		intent:  parse[stripesdk.PaymentIntent](t, `{"id":"pi_1","created":6,"status":"succeeded","currency":"usd","amount":1000,"latest_charge":"ch_1"}`),
		charges: []*stripesdk.Charge{parse[stripesdk.Charge](t, `{"id":"ch_1","created":7,"status":"succeeded","captured":true,"amount":1000,"amount_captured":1000,"currency":"usd"}`)},
	}
}

// TestUnknownChargeStatus: a charge of a status that nobody knows is no answer about its money, whatever else is known: not a
// capture on its way, which no later reading would take back, and not one without refunds and disputes, which would order
// a refund again.
func TestUnknownChargeStatus(t *testing.T) {
	t.Parallel()
	for _, captured := range []string{"true", "false"} {
		s := paidSnapshot(t)
		s.charges = append(s.charges, parse[stripesdk.Charge](t, `{"id":"ch_2","created":8,"status":"brand_new","captured":`+captured+`,"amount":1000,"currency":"usd"}`))
		_, err := (&lab{}).connect(t, "http://127.0.0.1:1").observation("fetch", s, 1, true)
		var e *providers.Error
		if !errors.As(err, &e) || e.Class != providers.Unknown || e.Code != "unknown_charge_status" || !e.Aside {
			t.Errorf("captured %s: %v", captured, err)
		}
	}
}

// TestChargesThatLag guards the hold (I5): where the intent shows its charge as captured and the list of charges doesn't
// yet, the capture is read all the same, and as the last of its hold, so that no older reading holds the rest again.
func TestChargesThatLag(t *testing.T) {
	t.Parallel()
	latest := parse[stripesdk.Charge](t, `{"id":"ch_1","created":7,"status":"succeeded","captured":true,"amount":1000,"amount_captured":800,"currency":"usd"}`)
	const held, other = `{"id":"ch_1","created":7,"status":"succeeded","captured":false,"amount":1000,"amount_captured":0,"currency":"usd"}`,
		`{"id":"ch_0","created":6,"status":"failed","amount":1000,"currency":"usd"}`
	for name, c := range map[string]struct {
		list []string
		want int // rows
	}{"held": {[]string{held, other}, 2}, "absent": {[]string{other}, 2}, "empty": {nil, 1}} {
		s := paidSnapshot(t)
		s.session.PaymentIntent = s.intent
		s.intent.CaptureMethod, s.intent.LatestCharge = stripesdk.PaymentIntentCaptureMethodManual, latest
		var list []*stripesdk.Charge
		for _, text := range c.list {
			list = append(list, parse[stripesdk.Charge](t, text))
		}
		s.charges = caughtUp(list, latest)
		got := mapped(t, s).Facts
		if len(s.charges) != c.want || len(got.Captures) != 1 || got.Captures[0].Amount.Minor != 800 || !got.Captures[0].Final {
			t.Errorf("%s: %d rows, %+v", name, len(s.charges), got.Captures)
		}
	}
	newer := parse[stripesdk.Charge](t, `{"id":"ch_1","created":7,"status":"succeeded","captured":true,"amount":1000,"amount_captured":900,"currency":"usd"}`)
	for _, row := range []*stripesdk.Charge{newer, parse[stripesdk.Charge](t, `{"id":"ch_1","status":"failed","amount":1000}`)} {
		if got := caughtUp([]*stripesdk.Charge{row}, latest); len(got) != 1 || got[0] != row {
			t.Errorf("the row says more: %+v", got)
		}
	}
}

// TestTwoChargesAreTwoCaptures: a double charge is never summed away (I1).
func TestTwoChargesAreTwoCaptures(t *testing.T) {
	t.Parallel()
	s := paidSnapshot(t)
	s.charges = append(s.charges, parse[stripesdk.Charge](t, `{"id":"ch_2","created":8,"status":"succeeded","captured":true,"amount":1000,"amount_captured":1000,"currency":"usd"}`))
	obs := mapped(t, s)
	if len(obs.Facts.Captures) != 2 {
		t.Fatalf("captures: %+v", obs.Facts.Captures)
	}
	facts := payment.Facts{
		Terms:  payment.Terms{Amount: payment.Money{Minor: 1000, Currency: "usd"}},
		Opened: []payment.Attempt{{N: 1, Provider: provider, Account: "stripe-test"}},
	}.Observe(obs)
	if facts.Status() != payment.StatusConflicted {
		t.Errorf("status %s, want conflicted", facts.Status())
	}
}

// TestChargesThatAreNoCaptures: a hold is no capture, nor is a declined try; a bank
// debit that fails was one on its way.
func TestChargesThatAreNoCaptures(t *testing.T) {
	t.Parallel()
	s := paidSnapshot(t)
	s.session.Status, s.intent.Status = stripesdk.CheckoutSessionStatusOpen, stripesdk.PaymentIntentStatusRequiresPaymentMethod
	s.intent.LatestCharge = &stripesdk.Charge{ID: "ch_card"}
	s.charges = []*stripesdk.Charge{
		parse[stripesdk.Charge](t, `{"id":"ch_card","created":7,"status":"failed","amount":1000,"currency":"usd","failure_code":"card_declined","payment_method_details":{"type":"card"}}`),
		parse[stripesdk.Charge](t, `{"id":"py_bank","created":8,"status":"failed","amount":1000,"currency":"usd","failure_code":"account_closed","payment_method_details":{"type":"us_bank_account"}}`),
		parse[stripesdk.Charge](t, `{"id":"py_way","created":9,"status":"pending","amount":1000,"currency":"usd"}`),
	}
	got := map[string]payment.CaptureState{}
	for _, c := range mapped(t, s).Facts.Captures {
		got[c.Key.ID] = c.State
	}
	want := map[string]payment.CaptureState{"py_bank": payment.CaptureDeclined, "py_way": payment.CapturePending}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("open session (-want +got):\n%s", diff)
	}
	s.session.Status = stripesdk.CheckoutSessionStatusComplete
	got = map[string]payment.CaptureState{}
	for _, c := range mapped(t, s).Facts.Captures {
		got[c.Key.ID] = c.State
	}
	want["ch_card"] = payment.CaptureDeclined
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("complete session (-want +got):\n%s", diff)
	}
}

// TestFinalCapture: a capture is the last of its hold once Stripe says that the intent succeeded, and not before.
func TestFinalCapture(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, status string
		want           bool
	}{{"manual", "succeeded", true}, {"manual", "requires_capture", false}, {"automatic", "succeeded", false}} {
		s := paidSnapshot(t)
		s.intent.CaptureMethod, s.intent.Status = stripesdk.PaymentIntentCaptureMethod(c.method), stripesdk.PaymentIntentStatus(c.status)
		s.charges[0].AmountCaptured = 400
		if got := mapped(t, s).Facts.Captures; len(got) != 1 || got[0].Final != c.want || got[0].Amount.Minor != 400 {
			t.Errorf("%s, %s: %+v", c.method, c.status, got)
		}
	}
}

// TestHoldUnderWayIsNoCapture: facts are never taken back, so a charge that may become a
// hold, read before it is one, must not be told as a capture under way: nothing would
// ever end it, and the payment stayed processing for good.
func TestHoldUnderWayIsNoCapture(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"pending", "succeeded"} {
		charge := `{"id":"ch_1","created":7,"status":"` + status + `","captured":false,"amount":1000,"currency":"usd","payment_intent":"pi_1"}`
		s := snapshot{asOf: startWall, session: parse[stripesdk.CheckoutSession](t, `{"id":"cs_1","created":5,"status":"complete","payment_status":"unpaid","currency":"usd"}`)}
		s.intent = parse[stripesdk.PaymentIntent](t, `{"id":"pi_1","created":6,"status":"processing","capture_method":"manual","currency":"usd","amount":1000,"latest_charge":`+charge+`}`)
		s.charges = []*stripesdk.Charge{parse[stripesdk.Charge](t, charge)}
		if got := mapped(t, s).Facts.Captures; len(got) > 0 {
			t.Errorf("%s: %+v", status, got)
		}
	}
}

// TestAuthorizations: what is held, until when, and how the hold ended.
func TestAuthorizations(t *testing.T) {
	t.Parallel()
	const hold = `{"id":"ch_1","created":1000,"status":"succeeded","captured":false,"amount":1000,"currency":"usd","payment_method_details":{"type":"card","card":{"capture_before":2000}}}`
	for _, c := range []struct {
		status, reason, refunds string
		want                    payment.AuthState
		capturable              int64
		failure                 string
	}{
		{"requires_capture", "", "", payment.AuthActive, 900, ""},
		{"succeeded", "", "", payment.AuthCaptured, 0, ""},
		{"canceled", "requested_by_customer", "", payment.AuthVoided, 0, ""},
		{"canceled", "", "", payment.AuthVoided, 0, ""},
		{"canceled", "automatic", "", payment.AuthExpired, 0, "authorization_expired"},
		{"canceled", "expired", "", payment.AuthExpired, 0, "authorization_expired"},
		{"canceled", "", `{"id":"re_1","created":9,"status":"succeeded","reason":"expired_uncaptured_charge","charge":"ch_1","amount":1000,"currency":"usd"}`, payment.AuthExpired, 0, "authorization_expired"},
		{"a_new_one", "", "", payment.AuthPending, 0, ""},
	} {
		s := paidSnapshot(t)
		s.intent = parse[stripesdk.PaymentIntent](t, `{"id":"pi_1","created":6,"status":"`+c.status+`","cancellation_reason":"`+c.reason+`","capture_method":"manual","currency":"usd","amount":1000,"amount_capturable":900,"latest_charge":`+hold+`}`)
		s.charges = []*stripesdk.Charge{s.intent.LatestCharge}
		s.session.PaymentStatus = stripesdk.CheckoutSessionPaymentStatusUnpaid
		if c.refunds != "" {
			s.refunds = []*stripesdk.Refund{parse[stripesdk.Refund](t, c.refunds)}
		}
		obs := mapped(t, s)
		if len(obs.Facts.Authorizations) != 1 {
			t.Fatalf("%s: %d authorizations", c.status, len(obs.Facts.Authorizations))
		}
		auth := obs.Facts.Authorizations[0]
		if auth.State != c.want || auth.Capturable != c.capturable || auth.Key.ID != "pi_1" || auth.Amount.Minor != 1000 || auth.ExpiresAt.Unix() != 2000 {
			t.Errorf("%s %s: %+v", c.status, c.reason, auth)
		}
		if got := obs.Facts.Attempts[0].Failure.Code; got != c.failure {
			t.Errorf("%s %s: failure %q, want %q", c.status, c.reason, got, c.failure)
		}
		if len(obs.Facts.Captures)+len(obs.Facts.Refunds) != 0 {
			t.Errorf("%s: a hold shows as %+v %+v", c.status, obs.Facts.Captures, obs.Facts.Refunds)
		}
	}
}

// TestRefundFacts: refunds of captured money only, with whose they are.
func TestRefundFacts(t *testing.T) {
	t.Parallel()
	s := paidSnapshot(t)
	for _, text := range []string{
		`{"id":"re_ours","created":9,"status":"succeeded","charge":"ch_1","amount":100,"currency":"usd","reason":"duplicate","metadata":{"trifecta_refund":"rfd_1"}}`,
		`{"id":"re_outside","created":9,"status":"pending","charge":"ch_1","amount":100,"currency":"usd"}`,
		`{"id":"re_failed","created":9,"status":"failed","failure_reason":"declined","charge":"ch_1","amount":100,"currency":"usd"}`,
		`{"id":"re_mail","created":9,"status":"requires_action","charge":"ch_1","amount":100,"currency":"usd"}`,
		`{"id":"re_canceled","created":9,"status":"canceled","charge":"ch_1","amount":100,"currency":"usd"}`,
		`{"id":"re_new","created":9,"status":"a_new_one","charge":"ch_1","amount":100,"currency":"usd"}`,
		`{"id":"re_release","created":9,"status":"succeeded","charge":"ch_1","amount":100,"currency":"usd","reason":"expired_uncaptured_charge"}`,
		`{"id":"re_hold","created":9,"status":"succeeded","charge":"ch_other","amount":100,"currency":"usd"}`,
	} {
		s.refunds = append(s.refunds, parse[stripesdk.Refund](t, text))
	}
	got := map[string]payment.RefundState{}
	for _, r := range mapped(t, s).Facts.Refunds {
		got[r.Key.ID] = r.State
		if r.Capture != "ch_1" || (r.Operation != "") != (r.Key.ID == "re_ours") {
			t.Errorf("refund %+v", r)
		}
	}
	want := map[string]payment.RefundState{
		"re_ours": payment.RefundSucceeded, "re_outside": payment.RefundPending, "re_failed": payment.RefundFailed,
		"re_mail": payment.RefundRequiresAction, "re_canceled": payment.RefundCanceled, "re_new": payment.RefundPending,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDisputeFacts (I3): inquiries withhold nothing, chargebacks what their own balance
// transactions took less what they gave back; of a lost one in another currency, the share
// that did not come back, and rather too much than too little.
func TestDisputeFacts(t *testing.T) {
	t.Parallel()
	const took, back = `{"id":"txn_1","amount":-600,"fee":1500,"net":-2100,"currency":"usd","reporting_category":"dispute"}`,
		`{"id":"txn_2","amount":600,"fee":0,"net":600,"currency":"usd","reporting_category":"dispute_reversal"}`
	const tookEUR, backEUR, againEUR = `{"id":"txn_1","created":9,"amount":-540,"currency":"eur"}`,
		`{"id":"txn_2","created":19,"amount":531,"currency":"eur"}`, `{"id":"txn_3","created":29,"amount":-520,"currency":"eur"}`
	const partEUR, lateEUR, wholeEUR, partUSD = `{"id":"txn_4","created":19,"amount":179,"currency":"eur"}`, `{"id":"txn_4","created":39,"amount":179,"currency":"eur"}`,
		`{"id":"txn_4","created":19,"amount":545,"currency":"eur"}`, `{"id":"txn_4","created":19,"amount":200,"currency":"usd"}`
	for _, c := range []struct {
		status, txns string
		stage        string
		want         payment.DisputeStatus
		withheld     int64
		due          bool
	}{
		{"warning_needs_response", "", "inquiry", payment.DisputeNeedsResponse, 0, true},
		{"warning_under_review", "", "inquiry", payment.DisputeUnderReview, 0, false},
		{"warning_closed", "", "inquiry", payment.DisputeClosed, 0, false},
		{"needs_response", took, "chargeback", payment.DisputeNeedsResponse, 600, true},
		{"needs_response", "", "chargeback", payment.DisputeNeedsResponse, 0, true}, // not withdrawn yet
		{"under_review", took, "chargeback", payment.DisputeUnderReview, 600, false},
		{"won", took + "," + back, "chargeback", payment.DisputeWon, 0, false},
		{"won", took, "chargeback", payment.DisputeWon, 600, false}, // not given back yet
		{"lost", took, "chargeback", payment.DisputeLost, 600, false},
		{"prevented", "", "chargeback", payment.DisputeClosed, 0, false},
		{"appeal_needs_response", took, "pre_arbitration", payment.DisputeNeedsResponse, 600, true},
		{"appeal_under_review", took, "pre_arbitration", payment.DisputeUnderReview, 600, false},
		{"a_new_one", took, "chargeback", payment.DisputeNeedsResponse, 600, true},
		{"lost", `{"id":"txn_1","amount":-540,"fee":1500,"net":-2040,"currency":"eur"}`, "chargeback", payment.DisputeLost, 600, false}, // settled in another currency
		{"won", tookEUR + "," + backEUR, "chargeback", payment.DisputeWon, 0, false},                                                    // at the rate of its own day
		{"won", backEUR + "," + tookEUR, "chargeback", payment.DisputeWon, 0, false},                                                    // nobody promises their order
		{"lost", partEUR + "," + tookEUR, "chargeback", payment.DisputeLost, 402, false},                                                // a part had been refunded, and came back: 600 - 600*179/540
		{"appeal_lost", tookEUR + "," + partEUR, "pre_arbitration", payment.DisputeLost, 402, false},
		{"lost", tookEUR + "," + backEUR + "," + againEUR + "," + lateEUR, "chargeback", payment.DisputeLost, 394, false}, // of what was taken last: 600 - 600*179/520
		{"lost", tookEUR + "," + wholeEUR, "chargeback", payment.DisputeLost, 0, false},
		{"lost", tookEUR + "," + partUSD, "chargeback", payment.DisputeLost, 600, false}, // in two currencies: nothing to compare
		{"lost", partEUR, "chargeback", payment.DisputeLost, 600, false},                 // nor here
		{"lost", took + "," + partUSD, "chargeback", payment.DisputeLost, 400, false},    // settled in the payment's own: exact
		{"needs_response", tookEUR + "," + backEUR + "," + againEUR, "chargeback", payment.DisputeNeedsResponse, 600, true},
	} {
		s := paidSnapshot(t)
		d := parse[stripesdk.Dispute](t, `{"id":"dp_1","created":9,"charge":"ch_1","amount":600,"currency":"usd","reason":"fraudulent","status":"`+c.status+`","evidence_details":{"due_by":77},"balance_transactions":[`+c.txns+`]}`)
		s.disputes = []datedDispute{{Dispute: d, asOf: startWall.Add(time.Second)}}
		got := mapped(t, s).Facts.Disputes[0]
		if got.Stage != c.stage || got.Status != c.want || got.Withheld != c.withheld || got.DueBy.IsZero() == c.due {
			t.Errorf("%s [%s]: %+v", c.status, c.txns, got)
		}
		if got.Unclear != (c.status == "a_new_one") {
			t.Errorf("%s: unclear %t", c.status, got.Unclear)
		}
		if !got.AsOf.Equal(startWall.Add(time.Second)) || got.Capture != "ch_1" || got.Amount.Minor != 600 {
			t.Errorf("%s: %+v", c.status, got)
		}
	}
}

// TestFeeFacts: every movement's fee and net once, in settlement currency; one
// without an exact meaning does not hide the rest.
func TestFeeFacts(t *testing.T) {
	t.Parallel()
	s := paidSnapshot(t)
	txn := func(id, currency string, fee, net int64) *stripesdk.BalanceTransaction {
		return &stripesdk.BalanceTransaction{ID: id, Currency: stripesdk.Currency(currency), Fee: fee, Net: net}
	}
	s.charges[0].BalanceTransaction = txn("txn_c", "eur", 59, 841)
	s.refunds = []*stripesdk.Refund{
		{ID: "re_1", BalanceTransaction: txn("txn_r", "eur", 0, -90)},
		{ID: "re_2", BalanceTransaction: &stripesdk.BalanceTransaction{ID: "txn_unread"}},
		{ID: "re_3", BalanceTransaction: txn("txn_odd", "isk", 55, 100)},
	}
	s.reversed = []reversedRefund{{refund: "re_1", txn: txn("txn_back", "eur", 0, 90)}}
	got := map[string]string{}
	for _, f := range mapped(t, s).Facts.Fees {
		got[f.Key.ID] = f.Object + " " + f.Fee.String() + " " + f.Net.String()
	}
	want := map[string]string{"txn_c": "ch_1 0.59 EUR 8.41 EUR", "txn_r": "re_1 0.00 EUR -0.90 EUR", "txn_back": "re_1 0.00 EUR 0.90 EUR"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestUnreadableAmount: an amount without an exact meaning is an error, never zero.
func TestUnreadableAmount(t *testing.T) {
	t.Parallel()
	s := paidSnapshot(t)
	s.charges[0].Currency = "ugx"
	a := (&lab{}).connect(t, "http://127.0.0.1:1")
	_, err := a.observation("fetch", s, 1, true)
	wantClass(t, err, "unknown")
}

// TestPayers: whoever was charged is known by their card, and every refused try is a
// decline with its card and its code, also where a later try worked.
func TestPayers(t *testing.T) {
	t.Parallel()
	s := paidSnapshot(t)
	s.charges = append(s.charges, parse[stripesdk.Charge](t, `{"id":"ch_no","status":"failed","amount":1999,"currency":"usd","created":1772366300,
 "failure_code":"card_declined","outcome":{"type":"issuer_declined","reason":"insufficient_funds"},"billing_details":{"email":"Ann@Example.com"},
 "payment_method_details":{"type":"card","card":{"fingerprint":"Xt5EWLLDS7FJjR1c","brand":"visa","last4":"9995"}}}`))
	got := mapped(t, s).Facts
	want := []payment.Decline{{
		Key: payment.ObjectKey{Provider: "stripe", Account: "stripe-test", ID: "ch_no"}, N: 1, Code: "card_declined", DeclineCode: "insufficient_funds",
		Card: payment.Card{Fingerprint: "Xt5EWLLDS7FJjR1c", Brand: "visa", Last4: "9995"}, EmailHash: payment.EmailHash("ann@example.com"),
		Stamp: payment.Stamp{Created: unix(1772366300), AsOf: unix(1772366300)},
	}}
	if diff := cmp.Diff(want, got.Declines); diff != "" {
		t.Errorf("declines (-want +got):\n%s", diff)
	}
	for _, p := range got.Payers {
		if p.Key.ID == "ch_no" {
			t.Error("a refused try is told as a payer")
		}
	}
}
