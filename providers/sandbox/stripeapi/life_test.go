package stripeapi_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stripe/stripe-go/v76"
)

// A session has no intent until the buyer submits; paying it moves exactly the asked
// amount, and the SDK reads every figure of it: intent, charge, fee, net, ledger.
func TestPaidCheckoutIsReadByTheSDK(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.session(nil)
	if s.PaymentIntent != nil || s.Status != "open" || s.PaymentStatus != "unpaid" || s.AmountTotal != 2000 || s.URL == "" || s.Currency != "usd" {
		t.Fatalf("new session: %+v", s)
	}
	if got := time.Unix(s.ExpiresAt, 0).UTC(); !got.Equal(start.Add(24 * time.Hour)) {
		t.Errorf("expires_at %v", got)
	}
	var out map[string]string
	if code := r.post("/_sandbox/checkout/"+s.ID+"/pay", `{"card":"4242 4242 4242 4242"}`, &out); code != 200 {
		t.Fatal(code, out)
	}
	if want := "http://127.0.0.1:9/ok?s=" + s.ID; out["redirect_url"] != want {
		t.Errorf("redirect %q, want %q", out["redirect_url"], want)
	}
	p := &stripe.CheckoutSessionParams{}
	p.AddExpand("payment_intent.latest_charge.balance_transaction")
	p.AddExpand("line_items")
	s, err := r.sc.CheckoutSessions.Get(s.ID, p)
	if err != nil {
		t.Fatal(err)
	}
	if s.Status != "complete" || s.PaymentStatus != "paid" || s.URL != "" || s.ClientReferenceID != "order-1" || s.Metadata["trifecta_payment"] != "pay_1" {
		t.Errorf("paid session: %+v", s)
	}
	if len(s.LineItems.Data) != 2 || s.LineItems.Data[0].AmountTotal != 1000 || s.LineItems.Data[0].Quantity != 2 {
		t.Errorf("line items: %+v", s.LineItems.Data)
	}
	pi := s.PaymentIntent
	if pi.Status != "succeeded" || pi.Amount != 2000 || pi.AmountReceived != 2000 || pi.AmountCapturable != 0 || pi.Metadata["trifecta_payment"] != "pay_1" {
		t.Errorf("intent: %+v", pi)
	}
	ch := pi.LatestCharge
	if ch.Status != "succeeded" || !ch.Captured || !ch.Paid || ch.AmountCaptured != 2000 || ch.Refunded || ch.PaymentIntent.ID != pi.ID || ch.Outcome.Type != "authorized" {
		t.Errorf("charge: %+v", ch)
	}
	if ch.PaymentMethodDetails.Card.Last4 != "4242" || ch.PaymentMethodDetails.Card.Brand != "visa" {
		t.Errorf("card: %+v", ch.PaymentMethodDetails.Card)
	}
	bt := ch.BalanceTransaction
	if bt.Amount != 2000 || bt.Fee != 88 || bt.Net != 1912 || bt.Type != "charge" || bt.Source.ID != ch.ID || bt.FeeDetails[0].Amount != 88 {
		t.Errorf("balance transaction: %+v", bt)
	}
	rows := r.ledger("capture")
	if len(rows) != 1 || rows[0].Object != ch.ID || rows[0].Amount != 2000 || rows[0].Reference != "pay_1" || rows[0].Currency != "usd" {
		t.Errorf("ledger: %+v", rows)
	}
	want := []string{"payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "checkout.session.completed"}
	if diff := cmp.Diff(want, r.types()); diff != "" {
		t.Error(diff)
	}
}

// Payments of the same test card are made with one card, unless the control API names a
// fingerprint: shops have customers with cards of their own. That card behaves as the
// test card does.
func TestATestCardCanBeManyCards(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pay := func(body string) string {
		t.Helper()
		s := r.session(nil)
		if code := r.post("/_sandbox/checkout/"+s.ID+"/pay", body, nil); code != 200 {
			t.Fatal(body, code)
		}
		return string(r.intentOf(s.ID).LatestCharge.PaymentMethodDetails.Card.Fingerprint)
	}
	one, again := pay(`{"card":"4242424242424242"}`), pay(`{"card":"4242 4242 4242 4242"}`)
	if one != again || len(one) != 16 {
		t.Errorf("one card twice: %q, %q", one, again)
	}
	const other = "aB34567890123456"
	if got := pay(`{"card":"4242424242424242","fingerprint":"` + other + `"}`); got != other {
		t.Errorf("the named card: %q", got)
	}
	if got := pay(""); got != one {
		t.Errorf("the name stuck: %q", got)
	}
	var out map[string]string
	s := r.session(nil)
	if code := r.post("/_sandbox/checkout/"+s.ID+"/pay", `{"card":"4000000000009995","fingerprint":"`+other+`"}`, &out); code != 402 || out["decline_code"] != "insufficient_funds" {
		t.Error(code, out)
	}
	if code := r.post("/_sandbox/checkout/"+s.ID+"/pay", `{"fingerprint":"short"}`, nil); code != 400 {
		t.Error("a fingerprint of no form was taken:", code)
	}
}

// A decline leaves the session open with everything a caller needs to know, and the
// buyer can pay with another card afterwards: a failed attempt is not a failed payment.
func TestDeclineKeepsTheSessionOpen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.session(nil)
	var out map[string]string
	if code := r.post("/_sandbox/checkout/"+s.ID+"/pay", `{"card":"4000000000009995"}`, &out); code != 402 || out["decline_code"] != "insufficient_funds" {
		t.Fatal(code, out)
	}
	pi := r.intentOf(s.ID)
	if pi.Status != "requires_payment_method" || pi.LastPaymentError.DeclineCode != "insufficient_funds" || pi.LastPaymentError.Code != "card_declined" {
		t.Errorf("intent after decline: %+v", pi)
	}
	if pi.LatestCharge.Status != "failed" || pi.LatestCharge.FailureCode != "card_declined" || pi.LatestCharge.BalanceTransaction != nil {
		t.Errorf("failed charge: %+v", pi.LatestCharge)
	}
	if s, err := r.sc.CheckoutSessions.Get(s.ID, nil); err != nil || s.Status != "open" || s.URL == "" {
		t.Fatalf("session after decline: %+v %v", s, err)
	}
	if len(r.ledger("capture")) != 0 {
		t.Error("a decline moved money")
	}
	r.pay(s.ID, "4242424242424242")
	if again := r.intentOf(s.ID); again.ID != pi.ID || again.Status != "succeeded" || again.LastPaymentError != nil {
		t.Errorf("second try: %+v", again)
	}
	for _, typ := range []string{"charge.failed", "payment_intent.payment_failed", "checkout.session.completed"} {
		if !slices.Contains(r.types(), typ) {
			t.Errorf("no event %s", typ)
		}
	}
	if code := r.post("/_sandbox/checkout/"+s.ID+"/pay", "", &out); code != http.StatusConflict {
		t.Errorf("paying twice: %d", code)
	}
}

// Every official declining card says why in its own words.
func TestTestCardsDeclineWithTheirCodes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.session(nil)
	for card, want := range map[string]string{
		"4000000000000002": "generic_decline", "4000000000009987": "lost_card", "4000000000009979": "stolen_card",
		"4000000000000069": "expired_card", "4000000000000127": "incorrect_cvc", "4000000000000119": "processing_error",
		"4100000000000019": "fraudulent", "4000008400001629": "generic_decline", "4000008260003178": "insufficient_funds",
		"4242424242424241": "incorrect_number", "4111111111111111": "test_mode_live_card",
	} {
		var out map[string]string
		if code := r.post("/_sandbox/checkout/"+s.ID+"/pay", `{"card":"`+card+`"}`, &out); code != 402 || out["decline_code"] != want {
			t.Errorf("%s: %d %v, want 402 %s", card, code, out, want)
		}
	}
}

// 3-D Secure: passing pays, failing leaves the session open with the error, and no
// charge is made before the challenge is answered.
func TestThreeDSecureThroughTheControlAPI(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, card := range []string{"4000002760003184", "4000002500003155", "4000000000003220"} {
		s := r.session(nil)
		var out map[string]string
		if code := r.post("/_sandbox/checkout/"+s.ID+"/pay", `{"card":"`+card+`","three_ds":"fail"}`, &out); code != 402 {
			t.Fatalf("%s failed challenge: %d %v", card, code, out)
		}
		pi := r.intentOf(s.ID)
		if pi.Status != "requires_payment_method" || pi.LastPaymentError.Code != "payment_intent_authentication_failure" || pi.LatestCharge != nil {
			t.Errorf("%s after failed challenge: %+v", card, pi)
		}
		r.pay(s.ID, card)
		pi = r.intentOf(s.ID)
		if pi.Status != "succeeded" || pi.LatestCharge.PaymentMethodDetails.Card.ThreeDSecure.Result != "authenticated" {
			t.Errorf("%s after passed challenge: %+v", card, pi)
		}
	}
	if !slices.Contains(r.types(), "payment_intent.requires_action") {
		t.Error("no requires_action event")
	}
}

// Manual capture: authorized first, unpaid; a partial capture takes only that and
// lets the rest go, once.
func TestManualCapturePartial(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pi := r.paid("4242424242424242", manual)
	if pi.Status != "requires_capture" || pi.AmountCapturable != 2000 || pi.LatestCharge.Captured || pi.LatestCharge.BalanceTransaction != nil {
		t.Fatalf("authorized: %+v", pi)
	}
	if got := time.Unix(pi.LatestCharge.PaymentMethodDetails.Card.CaptureBefore, 0).UTC(); !got.Equal(start.Add(7 * 24 * time.Hour)) {
		t.Errorf("capture_before %v", got)
	}
	_, err := r.sc.PaymentIntents.Capture(pi.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(2001)})
	want(t, err, 400, "amount_too_large")
	got, err := r.sc.PaymentIntents.Capture(pi.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(1500)})
	if err != nil || got.Status != "succeeded" || got.AmountReceived != 1500 || got.AmountCapturable != 0 || got.Amount != 2000 {
		t.Fatalf("captured: %+v %v", got, err)
	}
	_, err = r.sc.PaymentIntents.Capture(pi.ID, nil)
	want(t, err, 400, "payment_intent_unexpected_state")
	if rows := r.ledger("capture"); len(rows) != 1 || rows[0].Amount != 1500 {
		t.Errorf("ledger %+v", rows)
	}
	ch, err := r.sc.Charges.Get(pi.LatestCharge.ID, nil)
	if err != nil || ch.AmountCaptured != 1500 || ch.AmountRefunded != 500 || ch.Refunded {
		t.Errorf("charge %+v %v", ch, err)
	}
}

// Multicapture takes several parts of one charge; each is its own ledger row.
func TestMulticapture(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pi := r.paid("4242424242424242", manual)
	_, err := r.sc.PaymentIntents.Capture(pi.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(100), FinalCapture: stripe.Bool(false)})
	want(t, err, 400, "")
	pi = r.paid("4242424242424242", func(p *stripe.CheckoutSessionParams) {
		manual(p)
		p.AddExtra("payment_method_options[card][request_multicapture]", "if_available")
	})
	for _, step := range []struct {
		amount, received, left int64
		final                  bool
		status                 stripe.PaymentIntentStatus
	}{{500, 500, 1500, false, "requires_capture"}, {700, 1200, 0, true, "succeeded"}} {
		got, err := r.sc.PaymentIntents.Capture(pi.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: &step.amount, FinalCapture: &step.final})
		if err != nil || got.AmountReceived != step.received || got.AmountCapturable != step.left || got.Status != step.status {
			t.Fatalf("%+v: %+v %v", step, got, err)
		}
	}
	if rows := r.ledger("capture"); len(rows) != 2 || rows[0].Amount != 500 || rows[1].Amount != 700 {
		t.Errorf("ledger %+v", rows)
	}
}

// An authorization that nobody captures is canceled by itself after seven days, and
// never moved money; so is one whose expiry is asked for.
func TestAuthorizationLapses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	byTime, byCall := r.paid("4242424242424242", manual), r.paid("4242424242424242", manual)
	if code := r.post("/_sandbox/authorizations/"+byCall.ID+"/expire", "", nil); code != 200 {
		t.Fatal(code)
	}
	r.advance(7*24*time.Hour - time.Second)
	if got, err := r.sc.PaymentIntents.Get(byTime.ID, nil); err != nil || got.Status != "requires_capture" {
		t.Fatalf("before the deadline: %+v %v", got, err)
	}
	r.advance(time.Second)
	for _, id := range []string{byTime.ID, byCall.ID} {
		got, err := r.sc.PaymentIntents.Get(id, nil)
		if err != nil || got.Status != "canceled" || got.CancellationReason != "automatic" || got.AmountCapturable != 0 {
			t.Fatalf("after: %+v %v", got, err)
		}
	}
	it := r.sc.Refunds.List(&stripe.RefundListParams{PaymentIntent: &byTime.ID})
	for it.Next() {
		if it.Refund().Reason != "expired_uncaptured_charge" {
			t.Errorf("refund %+v", it.Refund())
		}
	}
	if !slices.Contains(r.types(), "charge.expired") || len(r.w.Ledger()) != 0 {
		t.Errorf("events %v, ledger %v", r.types(), r.w.Ledger())
	}
}

// A checkout's intent can be cancelled only while it waits for capture; an open
// session can be stopped only by expiring it.
func TestCancelAndExpire(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	auth := r.paid("4242424242424242", manual)
	got, err := r.sc.PaymentIntents.Cancel(auth.ID, &stripe.PaymentIntentCancelParams{CancellationReason: stripe.String("requested_by_customer")})
	if err != nil || got.Status != "canceled" || got.CancellationReason != "requested_by_customer" || got.CanceledAt == 0 {
		t.Fatalf("%+v %v", got, err)
	}
	s := r.session(nil)
	r.post("/_sandbox/checkout/"+s.ID+"/pay", `{"card":"4000000000000002"}`, nil)
	_, err = r.sc.PaymentIntents.Cancel(r.intentOf(s.ID).ID, nil)
	want(t, err, 400, "payment_intent_unexpected_state")
	_, err = r.sc.PaymentIntents.Confirm(r.intentOf(s.ID).ID, nil)
	want(t, err, 400, "payment_intent_unexpected_state")
	if s, err := r.sc.CheckoutSessions.Expire(s.ID, nil); err != nil || s.Status != "expired" || s.URL != "" {
		t.Fatalf("%+v %v", s, err)
	}
	_, err = r.sc.CheckoutSessions.Expire(s.ID, nil)
	want(t, err, 400, "")
	if code := r.post("/_sandbox/checkout/"+s.ID+"/pay", "", nil); code != http.StatusConflict {
		t.Errorf("paying an expired session: %d", code)
	}
}

// Sessions expire by the virtual clock at expires_at, which must lie within 30
// minutes and 24 hours.
func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := func(d time.Duration) func(*stripe.CheckoutSessionParams) {
		return func(p *stripe.CheckoutSessionParams) { p.ExpiresAt = stripe.Int64(start.Add(d).Unix()) }
	}
	for _, d := range []time.Duration{29 * time.Minute, 24*time.Hour + time.Minute} {
		_, err := r.sc.CheckoutSessions.New(sessionParams(at(d)))
		if e := want(t, err, 400, ""); e.Param != "expires_at" {
			t.Errorf("param %q", e.Param)
		}
	}
	s, other := r.session(at(30*time.Minute)), r.session(nil)
	r.advance(30*time.Minute - time.Second)
	if got, err := r.sc.CheckoutSessions.Get(s.ID, nil); err != nil || got.Status != "open" {
		t.Fatalf("%+v %v", got, err)
	}
	r.advance(time.Second)
	if got, err := r.sc.CheckoutSessions.Get(s.ID, nil); err != nil || got.Status != "expired" {
		t.Fatalf("%+v %v", got, err)
	}
	if got, err := r.sc.CheckoutSessions.Get(other.ID, nil); err != nil || got.Status != "open" {
		t.Fatalf("%+v %v", got, err)
	}
	if diff := cmp.Diff([]string{"checkout.session.expired"}, r.types()); diff != "" {
		t.Error(diff)
	}
}

// A delayed method completes the session unpaid; settling decides it later.
func TestAsyncMethod(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for outcome, end := range map[string]struct {
		pi    stripe.PaymentIntentStatus
		pay   stripe.CheckoutSessionPaymentStatus
		event string
		rows  int
	}{
		"completed": {"succeeded", "paid", "checkout.session.async_payment_succeeded", 1},
		"denied":    {"requires_payment_method", "unpaid", "checkout.session.async_payment_failed", 0},
	} {
		before := len(r.ledger("capture"))
		s := r.session(nil)
		r.post("/_sandbox/checkout/"+s.ID+"/pay", `{"method":"async"}`, nil)
		pi := r.intentOf(s.ID)
		if pi.Status != "processing" || pi.LatestCharge.Status != "pending" || pi.LatestCharge.Paid {
			t.Fatalf("processing: %+v", pi)
		}
		if got, err := r.sc.CheckoutSessions.Get(s.ID, nil); err != nil || got.Status != "complete" || got.PaymentStatus != "unpaid" {
			t.Fatalf("%+v %v", got, err)
		}
		if code := r.post("/_sandbox/captures/"+pi.LatestCharge.ID+"/settle", `{"outcome":"`+outcome+`"}`, nil); code != 200 {
			t.Fatal(code)
		}
		if code := r.post("/_sandbox/captures/"+pi.LatestCharge.ID+"/settle", `{"outcome":"`+outcome+`"}`, nil); code != 409 {
			t.Errorf("settled twice: %d", code)
		}
		got, err := r.sc.CheckoutSessions.Get(s.ID, nil)
		if err != nil || got.PaymentStatus != end.pay {
			t.Errorf("%s: %+v %v", outcome, got, err)
		}
		if pi := r.intentOf(s.ID); pi.Status != end.pi || len(r.ledger("capture"))-before != end.rows {
			t.Errorf("%s: %+v", outcome, pi)
		}
		if !slices.Contains(r.types(), end.event) {
			t.Errorf("no %s", end.event)
		}
	}
}

// Only where the session allows it may the final amount differ, and the breakdown
// says by what.
func TestPromotionTaxAndShippingChangeTheAmount(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.session(func(p *stripe.CheckoutSessionParams) {
		p.AllowPromotionCodes = stripe.Bool(true)
		p.AutomaticTax = &stripe.CheckoutSessionAutomaticTaxParams{Enabled: stripe.Bool(true)}
		p.ShippingOptions = []*stripe.CheckoutSessionShippingOptionParams{{ShippingRateData: &stripe.CheckoutSessionShippingOptionShippingRateDataParams{
			DisplayName: stripe.String("Post"), Type: stripe.String("fixed_amount"),
			FixedAmount: &stripe.CheckoutSessionShippingOptionShippingRateDataFixedAmountParams{Amount: stripe.Int64(300), Currency: stripe.String("usd")},
		}}}
	})
	r.post("/_sandbox/checkout/"+s.ID+"/pay", `{"promotion_code":"SAVE10"}`, nil)
	got, err := r.sc.CheckoutSessions.Get(s.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := got.TotalDetails
	if d.AmountDiscount != 200 || d.AmountTax != 180 || d.AmountShipping != 300 || got.AmountSubtotal != 2000 || got.AmountTotal != 2280 {
		t.Errorf("%+v %+v", got, d)
	}
	if pi := r.intentOf(s.ID); pi.AmountReceived != 2280 {
		t.Errorf("received %d", pi.AmountReceived)
	}
	plain := r.session(nil)
	r.post("/_sandbox/checkout/"+plain.ID+"/pay", `{"promotion_code":"SAVE10"}`, nil)
	if pi := r.intentOf(plain.ID); pi.AmountReceived != 2000 {
		t.Errorf("a promotion code where none is allowed: %d", pi.AmountReceived)
	}
}
