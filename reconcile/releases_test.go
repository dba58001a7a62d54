package reconcile_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
)

// hold is a payment at Stripe whose money is held, found by reconcile alone.
func (s *street) hold() *payment.Payment {
	s.t.Helper()
	key := s.id()
	a, err := s.service.Create(s.t.Context(), gateway.Request{
		Caller: gateway.Caller{App: "shop", Mode: payment.ModeTest, KeyID: "key"}, Path: "/v1/payments", Key: key, Fingerprint: key,
	}, gateway.CreateInput{
		Amount: 1000, Currency: "usd", Capture: "manual", Account: stripeAcct, Provider: s.provider(stripeAcct), ReturnURL: "https://shop.example/done",
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.control(stripeAcct, "checkout/"+root(a.Payment)+"/pay", map[string]any{"card": "4242424242424242"})
	s.pass(3 * time.Minute)
	p := s.get(a.Payment.ID)
	if p.Status() != payment.StatusAuthorized {
		s.t.Fatalf("%s; troubles %q", p.Status(), s.troubles())
	}
	return p
}

func intentOf(p *payment.Payment) string {
	f, _ := p.Facts.AttemptFact(1)
	return f.Refs.PaymentIntent
}

// Guards the sums, and people's sleep, with reconcile alone: Stripe lists a Refund of what
// a partial capture or a void let go. That is no money given back and no discrepancy, and
// the payments are not read again and again for it. A genuine refund of just that sum is
// still found.
func TestReleasesAreNoDiscrepancies(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	most, half, voided := s.hold(), s.hold(), s.hold()
	for p, part := range map[*payment.Payment]string{most: "800", half: "500"} {
		s.call(stripeAcct, "/v1/payment_intents/"+intentOf(p)+"/capture", nil, url.Values{"amount_to_capture": {part}})
	}
	s.call(stripeAcct, "/v1/payment_intents/"+intentOf(voided)+"/cancel", nil, url.Values{})
	s.pass(20 * time.Minute)
	for p, want := range map[*payment.Payment]payment.Amounts{most: {Captured: 800, Refundable: 800}, half: {Captured: 500, Refundable: 500}, voided: {}} {
		got := s.get(p.ID).Amounts()
		if got.Captured != want.Captured || got.Refunded != 0 || got.Refundable != want.Refundable {
			t.Errorf("%+v, want %+v; troubles %q", got, want, s.troubles())
		}
	}
	charge := s.get(half.ID).Facts.Captures[0].Key.ID
	s.control(stripeAcct, "refunds", map[string]any{"charge": charge, "amount": 500})
	s.pass(20 * time.Minute)
	if got := s.get(half.ID).Amounts(); got.Refunded != 500 || got.Refundable != 0 {
		t.Errorf("a genuine refund of the sum that was released: %+v; troubles %q", got, s.troubles())
	}
	s.pass(24 * time.Hour)
	if reads := s.reads(func() { s.pass(30 * time.Minute) }); reads > 4 {
		t.Errorf("%d readings in half an hour in which nothing happened", reads)
	}
	s.quiet()
}

// Guards people's sleep with reconcile alone: Stripe takes a bank debit that failed back by
// a Refund. Nothing came and nothing was given back, so nobody is asked about it, and the
// payment is not read again and again.
func TestReturnedDebitIsNoDiscrepancy(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	p := s.create(stripeAcct, 5000)
	s.control(stripeAcct, "checkout/"+root(p)+"/pay", map[string]any{"method": "async"})
	s.pass(3 * time.Minute)
	if p = s.get(p.ID); p.Status() != payment.StatusProcessing {
		t.Fatalf("%s; troubles %q", p.Status(), s.troubles())
	}
	f, _ := p.Facts.AttemptFact(1)
	s.control(stripeAcct, "captures/"+f.Refs.Charge+"/settle", map[string]any{"outcome": "denied"})
	s.pass(20 * time.Minute)
	p = s.get(p.ID)
	got := p.Amounts()
	if p.Status() != payment.StatusFailed || got.Captured != 0 || got.Refunded != 0 || len(got.Net) != 1 || got.Net[0].Minor != -got.Fee[0].Minor {
		t.Errorf("%s %+v; troubles %q", p.Status(), got, s.troubles())
	}
	s.pass(24 * time.Hour)
	if reads := s.reads(func() { s.pass(30 * time.Minute) }); reads > 4 {
		t.Errorf("%d readings in half an hour in which nothing happened", reads)
	}
	s.quiet()
}

// Promise I2: what a bank takes back of a payment that had succeeded, with nothing but a
// balance transaction to tell of it, is told to a human; the transactions that payments
// show alarm nobody.
func TestMoneyTakenBackIsADiscrepancy(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	p := s.create(stripeAcct, 5000)
	s.control(stripeAcct, "checkout/"+root(p)+"/pay", map[string]any{"method": "async"})
	s.pass(3 * time.Minute)
	f, _ := s.get(p.ID).Facts.AttemptFact(1)
	s.control(stripeAcct, "captures/"+f.Refs.Charge+"/settle", map[string]any{"outcome": "completed"})
	s.pass(20 * time.Minute)
	refund, _ := s.control(stripeAcct, "refunds", map[string]any{"charge": f.Refs.Charge, "amount": 1000})["refund"].(string)
	s.pass(10 * time.Minute)
	s.control(stripeAcct, "refunds/"+refund+"/fail", nil)
	s.pass(10 * time.Minute)
	dispute, _ := s.control(stripeAcct, "disputes", map[string]any{"charge": f.Refs.Charge, "amount": 2000})["dispute"].(string)
	s.pass(10 * time.Minute)
	s.control(stripeAcct, "disputes/"+dispute+"/resolve", map[string]any{"outcome": "won"})
	s.pass(20 * time.Minute)
	if got := s.get(p.ID); got.Status() != payment.StatusSucceeded || got.Amounts().Refundable != 5000 {
		t.Fatalf("%s %+v; troubles %q", got.Status(), got.Amounts(), s.troubles())
	}
	s.quiet()

	id, _ := s.control(stripeAcct, "captures/"+f.Refs.Charge+"/take_back", nil)["balance_transaction"].(string)
	s.pass(30 * time.Minute)
	found, _, err := s.differ.List(t.Context(), store.DiscrepancyFilter{Payment: p.ID, State: "open", Limit: 10})
	if err != nil || len(found) != 1 || found[0].Object.ID != id || found[0].Severity != "critical" || found[0].Amount.Minor != -5000 {
		t.Errorf("discrepancies %+v, %v; troubles %q", found, err, s.troubles())
	}
	s.pass(24 * time.Hour)
	if reads := s.reads(func() { s.pass(30 * time.Minute) }); reads > 4 {
		t.Errorf("%d readings in half an hour in which nothing happened", reads)
	}
}

// Promise I2: of foreign money that was captured in part, people are told the sum that
// moved, not the one that was held.
func TestForeignPartialCaptureIsToldAsTaken(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	made := s.call(stripeAcct, "/v1/payment_intents", nil, url.Values{
		"amount": {"1000"}, "currency": {"usd"}, "capture_method": {"manual"}, "payment_method": {"pm_card_visa"}, "confirm": {"true"},
		"payment_method_types[]": {"card"},
	})
	id, _ := made["id"].(string)
	s.call(stripeAcct, "/v1/payment_intents/"+id+"/capture", nil, url.Values{"amount_to_capture": {"400"}})
	s.pass(30 * time.Minute)
	told := s.told("foreign_money")
	if len(told) != 1 || !strings.Contains(told[0].Message, "(400 usd in minor units)") {
		t.Errorf("told %+v; troubles %q", told, s.troubles())
	}
	orphans, _, err := s.orphans.List(t.Context(), stripeAcct, 100, "")
	if err != nil || len(orphans) != 1 || orphans[0].Amount != (payment.Money{Minor: 400, Currency: "usd"}) {
		t.Errorf("orphans %+v, %v", orphans, err)
	}
}
