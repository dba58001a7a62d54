package stripe

import (
	"time"

	stripesdk "github.com/stripe/stripe-go/v76"
)

// Before API version 2025-03-31.basil, and we pin an older one, Stripe makes a Refund
// also where money was only let go: of a hold that lapsed or was canceled, and of what a
// partial capture left (Stripe changelog 2025-03-31.basil: Partially capturing or
// canceling payments no longer creates a Refund). refund lists and charge.amount_refunded
// count them as any other, although nobody got money back: whoever books one as a refund
// says less is ours than there is.
//
// The same is true of a bank debit that fails: it is booked while it is pending, and the
// balance transaction that takes it back (payment_failure_refund, reported as
// charge_failure) has a Refund as its source, although the money never came (Stripe docs:
// balance transaction types; an example of one is in wyyerd/stripe-rs#177).

// expiredRefund is the reason of such a refund where the hold lapsed. The others are
// documented with no reason of their own.
const expiredRefund = stripesdk.RefundReasonExpiredUncapturedCharge

// release says whether a refund only let money go. certain is false where only the
// amounts speak for it: a person may have given back just as much as the capture left.
func release(r *stripesdk.Refund, c *stripesdk.Charge) (yes, certain bool) {
	t := r.BalanceTransaction
	switch {
	case r.Reason == expiredRefund:
		return true, true
	case t != nil && t.ReportingCategory != "": // as opposed to its id alone
		return t.ReportingCategory == stripesdk.BalanceTransactionReportingCategoryPartialCaptureReversal ||
			t.ReportingCategory == stripesdk.BalanceTransactionReportingCategoryChargeFailure, true
	case c == nil || c.Status == "": // its id alone
		return false, false
	case c.Status == stripesdk.ChargeStatusFailed:
		return true, true
	case c.Status == stripesdk.ChargeStatusSucceeded && !c.Captured:
		return true, true // nothing was taken that could be given back
	case r.Metadata[metaRefund] != "":
		return false, true // we asked for it
	}
	return c.AmountCaptured < c.Amount && r.Amount == c.Amount-c.AmountCaptured, false
}

// released says of a refund of a charge, given all refunds of its intent in the order of
// Stripe's lists, newest first, whether it only let money go. The capture does that
// itself, so where only the amounts speak for it, it must be the charge's oldest refund.
func released(r *stripesdk.Refund, c *stripesdk.Charge, all []*stripesdk.Refund) bool {
	yes, certain := release(r, c)
	if !yes || certain {
		return yes
	}
	oldest := r
	passed := false
	for _, other := range all {
		if other.ID == r.ID {
			passed = true
			continue
		}
		if other.Charge == nil || other.Charge.ID != c.ID {
			continue
		}
		if other.Created < oldest.Created || other.Created == oldest.Created && passed {
			oldest = other
		}
	}
	return passed && oldest == r
}

// releaseWait is for how long the release of a partial capture is waited for: longer than
// a list of Stripe's lags.
const releaseWait = 10 * time.Minute

// untold says that a captured charge's own balance transaction was not read, as where only the
// intent shows the capture yet. What a release took back is the smaller half of such a fee.
func untold(c *stripesdk.Charge) bool {
	return captured(c) && (c.BalanceTransaction == nil || c.BalanceTransaction.Currency == "")
}

// halfTold says that a charge's own balance transaction is only the half of what its last
// capture cost: it is of the whole hold, and the release that takes the rest back is not
// listed yet. Without either the fee is unknown, and the payment is read again. Captures
// that were ordered under a newer version have no release: their transaction says it all.
func (m *mapper) halfTold(c *stripesdk.Charge) bool {
	t, rest := c.BalanceTransaction, c.Amount-c.AmountCaptured
	if !m.manual() || !captured(c) || rest <= 0 || t == nil {
		return false
	}
	for _, r := range m.s.refunds {
		if of := m.chargeOf(r); of != nil && of.ID == c.ID && released(r, c, m.s.refunds) {
			rest -= r.Amount
		}
	}
	whole := t.Currency != c.Currency || t.Amount > c.AmountCaptured
	return rest > 0 && whole && m.s.asOf.Before(unix(t.Created).Add(releaseWait))
}
