package paypal

import (
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Members of a case's movements of money (PayPal OpenAPI customer disputes v1:
// money_movement).
const (
	seller, buyer = "SELLER", "BUYER"
	debit, credit = "DEBIT", "CREDIT"

	settlement    = "DISPUTE_SETTLEMENT"
	settlementFee = "DISPUTE_SETTLEMENT_FEE"
)

// sameMoney is how far a case's movement of money and the refund that made it may be apart.
const sameMoney = time.Hour

// settled is one movement of a case's own money from the seller's account; below zero it
// came back. gross is what the buyer got by it: PayPal may give a part of its fee back at
// the same time, and then takes less from the seller than the buyer gets (PayPal's example
// of a case: BUYER CREDIT 100.00, SELLER DEBIT 96.02, all at one moment).
type settled struct {
	at            time.Time
	amount, gross payment.Money
}

// settlingRefund is a refund that settled a case, and what the movement that it made took.
type settlingRefund struct {
	refund payment.Refund
	by     settled
}

// settlements are a case's movements of its own money, without fees. Where the buyer's side
// of one is not listed, or in the currency that the buyer paid with, its gross is the amount
// itself.
func (m *mapper) settlements(d disputeBody) []settled {
	var out []settled
	disputed := m.money("dispute", d.ID, d.Amount)
	for _, move := range d.Movements {
		if move.Party != seller || move.Reason != settlement {
			continue
		}
		s := settled{at: parseTime(move.Initiated), amount: m.money("movement of dispute", d.ID, move.Amount)}
		if move.Type == credit {
			s.amount = negative(s.amount)
		}
		s.gross = s.amount
		for _, other := range d.Movements {
			got, ok := other.received()
			if ok && got.Currency == disputed.Currency && (got.Minor > 0) == (s.amount.Minor > 0) && parseTime(other.Initiated).Equal(s.at) {
				s.gross = got
			}
		}
		out = append(out, s)
	}
	return out
}

// received is what a movement of a case's own money brought the buyer, below zero if it took
// it back; ok is false for any other. An amount that can't be read only explains the
// seller's, and is left out.
func (v movement) received() (amount payment.Money, ok bool) {
	if v.Party != buyer || v.Reason != settlement {
		return payment.Money{}, false
	}
	amount, err := v.Amount.parse()
	if err != nil || amount.Minor <= 0 || amount.Minor > payment.MaxReported {
		return payment.Money{}, false
	}
	if v.Type == debit {
		amount = negative(amount)
	}
	return amount, true
}

// outcome is what the customer got in the end, as the case's outcome tells it; ok is false
// where it does not (PayPal OpenAPI customer disputes v1: amount_refunded).
func (d *disputeBody) outcome(fact payment.Dispute) (amount payment.Money, ok bool) {
	if fact.Status != payment.DisputeLost || d.Outcome.AmountRefunded == nil {
		return payment.Money{}, false
	}
	amount, err := d.Outcome.AmountRefunded.parse()
	return amount, err == nil && amount.Minor <= payment.MaxReported && amount.Currency == fact.Amount.Currency
}

// given is what the customer has of a case that keeps money, in minor units: what the buyer
// got by its movements, or else by its outcome. It is never less than what it keeps.
func (m *mapper) given(d disputeBody, fact payment.Dispute) int64 {
	if fact.Withheld == 0 {
		return 0
	}
	var sum int64
	told := false
	for _, move := range d.Movements {
		if got, ok := move.received(); ok && got.Currency == fact.Amount.Currency {
			told = true
			sum = max(-payment.MaxReported, min(sum+got.Minor, payment.MaxReported))
		}
	}
	if got, ok := d.outcome(fact); ok && !told {
		sum = got.Minor
	}
	return max(sum, fact.Withheld)
}

// refundedInstead are the refunds that gave back what a case keeps: a seller who refunds a
// disputed payment, or whose offer to do so is accepted, ends the case in the buyer's favour
// (PayPal docs: use the Resolution Center; PayPal OpenAPI customer disputes v1:
// amount_refunded is what "either the merchant or PayPal refunds"), and the capture shows
// that same money as a refund. Counted in both it would be lost twice. Refunds from before
// the case don't count, nor do larger ones than the customer got by it. Where PayPal lists
// the case's movements, a refund counts only if it made one of them.
func (m *mapper) refundedInstead(d disputeBody, fact payment.Dispute, given int64) []settlingRefund {
	var out []settlingRefund
	for _, r := range m.out.Refunds {
		gone := r.State == payment.RefundSucceeded || r.State == payment.RefundPending
		if !gone || r.Capture != fact.Capture || r.Amount.Currency != fact.Amount.Currency || r.Created.Before(fact.Created) || r.Amount.Minor > given {
			continue
		}
		if by, ok := m.movedBy(d, fact, r); ok {
			given -= r.Amount.Minor
			out = append(out, settlingRefund{r, by})
		}
	}
	return out
}

// movedBy is the movement that a refund made: one of the same money at about the same time.
// A refund tells what the customer gets, a movement what left the account.
func (m *mapper) movedBy(d disputeBody, fact payment.Dispute, r payment.Refund) (by settled, ok bool) {
	moves := m.settlements(d)
	got, told := d.outcome(fact)
	for _, s := range moves {
		same := s.gross == r.Amount || told && s.gross == s.amount && got == r.Amount
		if same && s.amount.Minor > 0 && s.at.Sub(r.Created).Abs() <= sameMoney {
			return s, true
		}
	}
	return settled{at: r.Created, amount: r.Amount, gross: r.Amount}, len(moves) == 0
}

// kept is what a case keeps beside the refunds that settled it: what left the account, and
// what of PayPal's fee came back with it. More than the fee was can't come back: what the
// customer got beyond that PayPal paid.
func (m *mapper) kept(fact payment.Dispute, given int64, refunds []settlingRefund) (withheld, returned int64) {
	withheld = fact.Withheld
	for _, r := range refunds {
		given -= r.refund.Amount.Minor
		took := r.refund.Amount.Minor
		if r.by.amount.Currency == fact.Amount.Currency {
			took = r.by.amount.Minor
		}
		withheld = max(0, withheld-took)
	}
	withheld = min(withheld, given)
	if withheld == 0 {
		return 0, 0
	}
	returned = given - withheld
	for _, f := range m.out.Fees {
		if f.Key.ID == fact.Capture && f.Fee.Currency == fact.Amount.Currency && returned > f.Fee.Minor {
			return withheld, 0
		}
	}
	return withheld, returned
}

// inRefund says that a refund that settled a case tells of this fee already: what PayPal
// keeps of its own fee when it gives the rest back is a movement of the case, and part of
// what the refund took.
func (m *mapper) inRefund(d disputeBody, fee movement, refunds []settlingRefund) bool {
	if fee.Reason != settlementFee {
		return false
	}
	for _, r := range refunds {
		if !parseTime(fee.Initiated).Equal(r.by.at) {
			continue
		}
		whole := r.by.amount
		for _, move := range d.Movements {
			if move.Party != seller || move.Type != debit || move.Reason != settlementFee || !parseTime(move.Initiated).Equal(r.by.at) {
				continue
			}
			if cost := m.money("fee of dispute", d.ID, move.Amount); cost.Currency == whole.Currency {
				whole.Minor += cost.Minor
			}
		}
		for _, f := range m.out.Fees {
			if f.Key == r.refund.Key && f.Net == negative(whole) {
				return true
			}
		}
	}
	return false
}
