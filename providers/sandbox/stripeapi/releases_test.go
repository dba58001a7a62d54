package stripeapi_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
)

// Guards the sandbox's likeness with API versions before 2025-03-31.basil: a partial
// capture, a cancellation and a lapse each leave a Refund that is listed and counted by
// the charge, and announced by charge.refunded and charge.refund.updated; the ledger of
// money that moved knows none of them, and nobody can refund that money.
func TestReleasesShowAsRefunds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		let      func(r *rig, pi *stripe.PaymentIntent) error
		amount   int64
		reason   stripe.RefundReason
		refunded bool
		captured int64
		more     string // the refusal of giving back more than was captured
	}{
		"partial capture": {func(r *rig, pi *stripe.PaymentIntent) error {
			_, err := r.sc.PaymentIntents.Capture(pi.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(1500)})
			return err
		}, 500, "", false, 1500, "amount_too_large"},
		"cancellation": {func(r *rig, pi *stripe.PaymentIntent) error {
			_, err := r.sc.PaymentIntents.Cancel(pi.ID, nil)
			return err
		}, 2000, "", true, 0, "charge_not_refundable"},
		"lapse": {func(r *rig, _ *stripe.PaymentIntent) error {
			r.advance(7 * 24 * time.Hour)
			return nil
		}, 2000, "expired_uncaptured_charge", true, 0, "charge_not_refundable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			pi := r.paid("4242424242424242", manual)
			if err := c.let(r, pi); err != nil {
				t.Fatal(err)
			}
			ch, err := r.sc.Charges.Get(pi.LatestCharge.ID, nil)
			if err != nil || ch.AmountCaptured != c.captured || ch.AmountRefunded != c.amount || ch.Refunded != c.refunded {
				t.Fatalf("charge: captured %d, refunded %d %v; %v", ch.AmountCaptured, ch.AmountRefunded, ch.Refunded, err)
			}
			var listed []*stripe.Refund
			for it := r.sc.Refunds.List(&stripe.RefundListParams{PaymentIntent: &pi.ID}); it.Next(); {
				listed = append(listed, it.Refund())
			}
			if len(listed) != 1 || listed[0].Amount != c.amount || listed[0].Reason != c.reason || listed[0].Charge.ID != ch.ID || listed[0].Status != "succeeded" {
				t.Fatalf("refunds %+v", listed)
			}
			for _, typ := range []string{"charge.refunded", "charge.refund.updated"} {
				if !slices.Contains(r.types(), typ) {
					t.Errorf("no event %s in %v", typ, r.types())
				}
			}
			if rows := r.ledger("refund"); len(rows) != 0 {
				t.Errorf("the ledger says that money was given back: %+v", rows)
			}
			_, err = r.sc.Refunds.New(&stripe.RefundParams{Charge: &ch.ID, Amount: stripe.Int64(c.captured + 1)})
			want(t, err, 400, c.more)
			if code := r.post("/_sandbox/refunds/"+listed[0].ID+"/fail", "", nil); code != 409 {
				t.Errorf("a release was made to fail: %d", code)
			}
		})
	}
}

// Guards the two balance transactions of a partial capture: the whole amount, and the
// reversal of the rest with its share of the fee. Together they are what was captured.
func TestPartialCaptureHasTwoTransactions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pi := r.paid("4242424242424242", manual)
	if _, err := r.sc.PaymentIntents.Capture(pi.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(1500)}); err != nil {
		t.Fatal(err)
	}
	var amount, fee int64
	seen := map[stripe.BalanceTransactionReportingCategory]int64{}
	for it := r.sc.BalanceTransactions.List(nil); it.Next(); {
		x := it.BalanceTransaction()
		seen[x.ReportingCategory] = x.Amount
		amount, fee = amount+x.Amount, fee+x.Fee
	}
	if len(seen) != 2 || seen["charge"] != 2000 || seen["partial_capture_reversal"] != -500 {
		t.Errorf("transactions %v", seen)
	}
	if rows := r.ledger("fee"); amount != 1500 || len(rows) != 1 || rows[0].Amount != fee || fee != 74 {
		t.Errorf("sum %d, fee %d, ledger %+v", amount, fee, rows)
	}
}
