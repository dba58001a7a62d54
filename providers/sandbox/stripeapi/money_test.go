package stripeapi_test

import (
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/providers/sandbox/stripeapi"
)

// refundParams refund a charge in part.
func refundParams(charge string, amount int64) *stripe.RefundParams {
	p := &stripe.RefundParams{Charge: &charge}
	if amount > 0 {
		p.Amount = &amount
	}
	return p
}

// Refunds never exceed what was captured, the fee is not given back, and a refund
// carries our metadata so that it can be found again.
func TestRefunds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pi := r.paid("4242424242424242", nil)
	p := &stripe.RefundParams{PaymentIntent: &pi.ID, Amount: stripe.Int64(500), Reason: stripe.String("requested_by_customer")}
	p.AddMetadata("trifecta_refund", "rfd_1")
	p.AddExpand("balance_transaction")
	re, err := r.sc.Refunds.New(p)
	if err != nil || re.Status != "succeeded" || re.Amount != 500 || re.Charge.ID != pi.LatestCharge.ID || re.Metadata["trifecta_refund"] != "rfd_1" {
		t.Fatalf("%+v %v", re, err)
	}
	if bt := re.BalanceTransaction; bt.Amount != -500 || bt.Fee != 0 || bt.Net != -500 || bt.Type != "refund" || bt.Source.ID != re.ID {
		t.Errorf("%+v", bt)
	}
	_, err = r.sc.Refunds.New(refundParams(pi.LatestCharge.ID, 1501))
	want(t, err, 400, "amount_too_large")
	if _, err := r.sc.Refunds.New(refundParams(pi.LatestCharge.ID, 0)); err != nil {
		t.Fatal(err)
	}
	_, err = r.sc.Refunds.New(refundParams(pi.LatestCharge.ID, 1))
	want(t, err, 400, "charge_already_refunded")
	cp := &stripe.ChargeParams{}
	cp.AddExpand("refunds")
	ch, err := r.sc.Charges.Get(pi.LatestCharge.ID, cp)
	if err != nil || ch.AmountRefunded != 2000 || !ch.Refunded || len(ch.Refunds.Data) != 2 {
		t.Errorf("%+v %v", ch, err)
	}
	it, n := r.sc.Refunds.List(&stripe.RefundListParams{PaymentIntent: &pi.ID}), int64(0)
	for it.Next() {
		n += it.Refund().Amount
	}
	if it.Err() != nil || n != 2000 {
		t.Errorf("listed %d %v", n, it.Err())
	}
	if rows := r.ledger("refund"); len(rows) != 2 || rows[0].Amount+rows[1].Amount != 2000 || rows[0].Reference != "pay_1" {
		t.Errorf("%+v", rows)
	}
}

// A refund made at the dashboard needs no call of ours; a succeeded one can still
// fail, and then the money is back in the balance.
func TestDashboardRefundThatFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pi := r.paid("4242424242424242", nil)
	var out map[string]string
	if code := r.post("/_sandbox/refunds", `{"charge":"`+pi.LatestCharge.ID+`","amount":700}`, &out); code != 200 {
		t.Fatal(code, out)
	}
	if code := r.post("/_sandbox/refunds", `{"charge":"`+pi.LatestCharge.ID+`","amount":1301}`, nil); code != 409 {
		t.Errorf("above the rest: %d", code)
	}
	if code := r.post("/_sandbox/refunds/"+out["refund"]+"/fail", "", nil); code != 200 {
		t.Fatal(code)
	}
	p := &stripe.RefundParams{}
	p.AddExpand("failure_balance_transaction")
	re, err := r.sc.Refunds.Get(out["refund"], p)
	if err != nil || re.Status != "failed" || re.FailureReason != "lost_or_stolen_card" || re.FailureBalanceTransaction.Amount != 700 || re.FailureBalanceTransaction.Type != "refund_failure" {
		t.Fatalf("%+v %v", re, err)
	}
	if ch, err := r.sc.Charges.Get(pi.LatestCharge.ID, nil); err != nil || ch.AmountRefunded != 0 {
		t.Errorf("%+v %v", ch, err)
	}
	if rows := r.ledger("refund_failed"); len(rows) != 1 || rows[0].Amount != 700 {
		t.Errorf("%+v", rows)
	}
	for _, typ := range []string{"refund.created", "charge.refunded", "charge.refund.updated", "refund.updated", "refund.failed"} {
		if !slices.Contains(r.types(), typ) {
			t.Errorf("no %s", typ)
		}
	}
	if code := r.post("/_sandbox/refunds/"+out["refund"]+"/fail", "", nil); code != 409 {
		t.Errorf("failed twice: %d", code)
	}
}

// The two slow refund cards reach their outcome by the virtual clock.
func TestSlowRefundCards(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for card, want := range map[string][2]stripe.RefundStatus{"4000000000007726": {"pending", "succeeded"}, "4000000000005126": {"succeeded", "failed"}} {
		pi := r.paid(card, nil)
		re, err := r.sc.Refunds.New(&stripe.RefundParams{PaymentIntent: &pi.ID})
		if err != nil || re.Status != want[0] {
			t.Fatalf("%s: %+v %v", card, re, err)
		}
		r.advance(2 * time.Hour)
		if re, err = r.sc.Refunds.Get(re.ID, nil); err != nil || re.Status != want[1] {
			t.Errorf("%s: %+v %v", card, re, err)
		}
	}
	if a, b := len(r.ledger("refund")), len(r.ledger("refund_failed")); a != 2 || b != 1 {
		t.Errorf("%d refunds, %d failed", a, b)
	}
}

// A dispute takes the amount and a fee; a win brings the amount back; while it is
// withheld it can't be refunded.
func TestDisputeWonAfterAppeal(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pi := r.paid("4242424242424242", nil)
	var out map[string]string
	if code := r.post("/_sandbox/disputes", `{"charge":"`+pi.LatestCharge.ID+`","reason":"product_not_received"}`, &out); code != 200 {
		t.Fatal(code, out)
	}
	id := out["dispute"]
	d, err := r.sc.Disputes.Get(id, nil)
	if err != nil || d.Status != "needs_response" || d.Amount != 2000 || d.Reason != "product_not_received" || d.Charge.ID != pi.LatestCharge.ID || d.PaymentIntent.ID != pi.ID {
		t.Fatalf("%+v %v", d, err)
	}
	if bt := d.BalanceTransactions; len(bt) != 1 || bt[0].Amount != -2000 || bt[0].Fee != 1500 || bt[0].Net != -3500 || bt[0].ReportingCategory != "dispute" {
		t.Errorf("%+v", bt)
	}
	_, err = r.sc.Refunds.New(&stripe.RefundParams{PaymentIntent: &pi.ID})
	want(t, err, 400, "charge_disputed")
	for _, step := range []struct{ path, body, status string }{
		{"resolve", `{"outcome":"lost"}`, "lost"}, {"appeal", "", "under_review"}, {"resolve", `{"outcome":"won"}`, "won"},
	} {
		if code := r.post("/_sandbox/disputes/"+id+"/"+step.path, step.body, nil); code != 200 {
			t.Fatal(step, code)
		}
		if d, err = r.sc.Disputes.Get(id, nil); err != nil || string(d.Status) != step.status {
			t.Fatalf("%+v: %+v %v", step, d, err)
		}
	}
	if bt := d.BalanceTransactions; len(bt) != 2 || bt[1].Net != 2000 || bt[1].ReportingCategory != "dispute_reversal" {
		t.Errorf("%+v", bt)
	}
	if code := r.post("/_sandbox/disputes/"+id+"/resolve", `{"outcome":"won"}`, nil); code != 409 {
		t.Errorf("resolved twice: %d", code)
	}
	if a, b := r.ledger("dispute"), r.ledger("dispute_won"); len(a) != 1 || len(b) != 1 || a[0].Amount != 2000 || b[0].Amount != 2000 || a[0].Reference != "pay_1" {
		t.Errorf("%+v %+v", a, b)
	}
	var got []string
	for _, typ := range r.types() {
		if len(typ) > 14 && typ[:14] == "charge.dispute" {
			got = append(got, typ[15:])
		}
	}
	if diff := cmp.Diff([]string{"created", "funds_withdrawn", "updated", "closed", "updated", "funds_reinstated", "updated", "closed"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := r.sc.Refunds.New(&stripe.RefundParams{PaymentIntent: &pi.ID}); err != nil {
		t.Errorf("after the win the money is refundable again: %v", err)
	}
}

// Evidence is submitted once, by default at once; silence past due_by loses; close
// accepts the claim.
func TestDisputeEvidenceSilenceAndClose(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	open := func() string {
		var out map[string]string
		r.post("/_sandbox/disputes", `{"charge":"`+r.paid("4242424242424242", nil).LatestCharge.ID+`"}`, &out)
		return out["dispute"]
	}
	text := func(s string, submit *bool) *stripe.DisputeParams {
		return &stripe.DisputeParams{Evidence: &stripe.DisputeEvidenceParams{UncategorizedText: &s}, Submit: submit}
	}
	winning, silent, accepted := open(), open(), open()
	d, err := r.sc.Disputes.Update(winning, text("draft", stripe.Bool(false)))
	if err != nil || d.Status != "needs_response" || !d.EvidenceDetails.HasEvidence || d.EvidenceDetails.SubmissionCount != 0 {
		t.Fatalf("draft: %+v %v", d, err)
	}
	if d, err = r.sc.Disputes.Update(winning, text("winning_evidence", nil)); err != nil || d.Status != "under_review" || d.EvidenceDetails.SubmissionCount != 1 {
		t.Fatalf("submitted: %+v %v", d, err)
	}
	_, err = r.sc.Disputes.Update(winning, text("more", nil))
	want(t, err, 400, "")
	if d, err = r.sc.Disputes.Close(accepted, nil); err != nil || d.Status != "lost" {
		t.Fatalf("closed: %+v %v", d, err)
	}
	r.advance(10 * 24 * time.Hour)
	for id, status := range map[string]stripe.DisputeStatus{winning: "won", silent: "lost"} {
		if d, err = r.sc.Disputes.Get(id, nil); err != nil || d.Status != status {
			t.Errorf("%+v %v, want %s", d, err, status)
		}
	}
}

// The special cards bring their disputes, inquiries and warnings by themselves; an
// inquiry withholds nothing until it escalates.
func TestCardsWithAftermath(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	disputes := func(pi string) []*stripe.Dispute {
		var out []*stripe.Dispute
		it := r.sc.Disputes.List(&stripe.DisputeListParams{PaymentIntent: &pi})
		for it.Next() {
			out = append(out, it.Dispute())
		}
		return out
	}
	if ds := disputes(r.paid("4000000000000259", nil).ID); len(ds) != 1 || ds[0].Reason != "fraudulent" || ds[0].Status != "needs_response" {
		t.Errorf("%+v", ds)
	}
	if ds := disputes(r.paid("4000000404000079", nil).ID); len(ds) != 2 || ds[0].Amount+ds[1].Amount != 2000 {
		t.Errorf("%+v", ds)
	}
	before := len(r.ledger("dispute"))
	ds := disputes(r.paid("4000000000001976", nil).ID)
	if len(ds) != 1 || ds[0].Status != "warning_needs_response" || len(ds[0].BalanceTransactions) != 0 || !ds[0].IsChargeRefundable || len(r.ledger("dispute")) != before {
		t.Fatalf("inquiry: %+v", ds)
	}
	if code := r.post("/_sandbox/disputes/"+ds[0].ID+"/escalate", "", nil); code != 200 || len(r.ledger("dispute")) != before+1 {
		t.Errorf("escalate: %d", code)
	}
	pi := r.paid("4000000000005423", nil)
	r.post("/_sandbox/early_fraud_warnings", `{"charge":"`+pi.LatestCharge.ID+`"}`, nil)
	it, n := r.sc.RadarEarlyFraudWarnings.List(&stripe.RadarEarlyFraudWarningListParams{PaymentIntent: &pi.ID}), 0
	for it.Next() {
		n++
		if w := it.RadarEarlyFraudWarning(); !w.Actionable || w.Charge.ID != pi.LatestCharge.ID {
			t.Errorf("%+v", w)
		}
	}
	if n != 2 {
		t.Errorf("%d warnings", n)
	}
	if it := r.sc.Reviews.List(nil); it.Next() || it.Err() != nil {
		t.Errorf("reviews: %v", it.Err())
	}
}

// Capture faults: the provider takes other money than asked, or takes it twice; the
// ledger, the charges and the balance transactions show what really moved.
func TestCaptureFaults(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if code := r.control("PUT", "/_sandbox/faults", `{"capture":{"amount_delta":1,"duplicate":true}}`, nil); code != 200 {
		t.Fatal(code)
	}
	for _, change := range []func(*stripe.CheckoutSessionParams){nil, manual} {
		before := len(r.ledger("capture"))
		pi := r.paid("4242424242424242", change)
		if change != nil {
			if _, err := r.sc.PaymentIntents.Capture(pi.ID, nil); err != nil {
				t.Fatal(err)
			}
			pi = r.intentOf(r.sessionOf(pi.ID))
		}
		if pi.Amount != 2000 || pi.AmountReceived != 2001 || pi.LatestCharge.AmountCaptured != 2001 || pi.LatestCharge.BalanceTransaction.Amount != 2001 {
			t.Errorf("%+v", pi)
		}
		it, n := r.sc.Charges.List(&stripe.ChargeListParams{PaymentIntent: &pi.ID}), 0
		for it.Next() {
			if it.Charge().AmountCaptured == 2001 && it.Charge().Paid {
				n++
			}
		}
		if rows := r.ledger("capture")[before:]; n != 2 || len(rows) != 2 || rows[0].Amount != 2001 || rows[1].Amount != 2001 || rows[0].Object == rows[1].Object {
			t.Errorf("%d charges, ledger %+v", n, rows)
		}
	}
	r.control("DELETE", "/_sandbox/faults", "", nil)
	if pi := r.paid("4242424242424242", nil); pi.AmountReceived != 2000 {
		t.Errorf("faults still on: %+v", pi)
	}
}

// sessionOf finds the session of an intent by the list's filter.
func (r *rig) sessionOf(pi string) string {
	r.t.Helper()
	it := r.sc.CheckoutSessions.List(&stripe.CheckoutSessionListParams{PaymentIntent: &pi})
	if !it.Next() {
		r.t.Fatal("no session for intent", it.Err())
	}
	return it.CheckoutSession().ID
}

// Charging without a customer present: success, decline and the need for the buyer
// are told apart by the error's code.
func TestOffSessionIntent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	charge := func(pm string) (*stripe.PaymentIntent, error) {
		return r.sc.PaymentIntents.New(&stripe.PaymentIntentParams{
			Amount: stripe.Int64(999), Currency: stripe.String("jpy"),
			PaymentMethod: &pm, Confirm: stripe.Bool(true), OffSession: stripe.Bool(true),
		})
	}
	pi, err := charge("pm_card_visa")
	if err != nil || pi.Status != "succeeded" || pi.AmountReceived != 999 {
		t.Fatalf("%+v %v", pi, err)
	}
	_, err = charge("pm_card_visa_chargeDeclined")
	if e := want(t, err, 402, "card_declined"); e.Type != "card_error" || e.DeclineCode != "generic_decline" || e.PaymentIntent.Status != "requires_payment_method" {
		t.Errorf("%+v", e)
	}
	_, err = charge("pm_card_authenticationRequired")
	e := want(t, err, 402, "authentication_required")
	if got, err := r.sc.PaymentIntents.Cancel(e.PaymentIntent.ID, nil); err != nil || got.Status != "canceled" {
		t.Errorf("%+v %v", got, err)
	}
	on, err := r.sc.PaymentIntents.New(&stripe.PaymentIntentParams{
		Amount: stripe.Int64(999), Currency: stripe.String("eur"),
		PaymentMethod: stripe.String("pm_card_threeDSecure2Required"), Confirm: stripe.Bool(true), ReturnURL: stripe.String("http://127.0.0.1:9/r"),
	})
	if err != nil || on.Status != "requires_action" || on.NextAction.RedirectToURL.URL == "" {
		t.Fatalf("%+v %v", on, err)
	}
}

// Balance transactions are the money truth that a sweep reads: filters and the
// running total must agree with the ledger.
func TestBalanceTransactionsAddUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pi := r.paid("4242424242424242", nil)
	r.advance(time.Hour)
	if _, err := r.sc.Refunds.New(refundParams(pi.LatestCharge.ID, 300)); err != nil {
		t.Fatal(err)
	}
	var net int64
	types := map[string]int{}
	p := &stripe.BalanceTransactionListParams{CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: start.Unix(), LesserThan: start.Add(2 * time.Hour).Unix()}}
	it := r.sc.BalanceTransactions.List(p)
	for it.Next() {
		net += it.BalanceTransaction().Net
		types[string(it.BalanceTransaction().Type)]++
	}
	if net != 2000-88-300 || types["charge"] != 1 || types["refund"] != 1 {
		t.Errorf("net %d, %v", net, types)
	}
	for _, q := range []url.Values{{"type": {"refund"}}, {"source": {pi.LatestCharge.ID}}, {"created[gt]": {strconv.FormatInt(start.Unix(), 10)}}} {
		resp, body, err := r.raw(t.Context(), "GET", "/v1/balance_transactions?"+q.Encode(), nil, nil)
		if err != nil || resp.StatusCode != 200 || count(t, body) != 1 {
			t.Errorf("%v: %s %v", q, body, err)
		}
	}
}

// Guards the likeness with accounts that settle in another currency: every balance
// transaction is converted at the rate of its own hour, so that a dispute that was won
// gives back another sum than it took, while the objects stay in the payment's currency.
func TestSettlementInAnotherCurrency(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, stripeapi.Options{Settlement: "eur"})
	pi := r.paid("4242424242424242", nil)
	var opened struct{ Dispute string }
	r.post("/_sandbox/disputes", `{"charge":"`+pi.LatestCharge.ID+`","amount":1000}`, &opened)
	r.advance(24 * time.Hour)
	r.post("/_sandbox/disputes/"+opened.Dispute+"/resolve", `{"outcome":"won"}`, nil)
	d, err := r.sc.Disputes.Get(opened.Dispute, nil)
	if err != nil || d.Currency != "usd" || d.Amount != 1000 || len(d.BalanceTransactions) != 2 {
		t.Fatalf("%+v, %v", d, err)
	}
	took, back := d.BalanceTransactions[0], d.BalanceTransactions[1]
	if took.Currency != "eur" || took.Amount > -900 || took.Amount < -960 || took.Net != took.Amount-took.Fee || took.ExchangeRate == 0 {
		t.Errorf("taken %+v", took)
	}
	if back.Currency != "eur" || back.Amount < 900 || back.Amount == -took.Amount {
		t.Errorf("given back %+v of %d", back, took.Amount)
	}
}
