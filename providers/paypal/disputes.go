package paypal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// dispute maps one dispute (PayPal OpenAPI customer disputes v1).
func (m *mapper) dispute(d disputeBody) {
	st := m.stamp(d.CreateTime, d.UpdateTime)
	fact := payment.Dispute{
		Key: m.a.key(d.ID), Capture: m.disputedCapture(d), Amount: m.money("dispute", d.ID, d.Amount),
		Stage: strings.ToLower(d.Stage), Reason: codeOf(d.Reason), Stamp: st,
	}
	status, known := disputeStatus(d)
	fact.Status, fact.Unclear = status, !known
	if fact.Status == payment.DisputeNeedsResponse {
		fact.DueBy = parseTime(d.SellerDue)
	}
	fact.Withheld = m.withheld(d, fact)
	given := m.given(d, fact)
	refunds := m.refundedInstead(d, fact, given)
	fact.Withheld, fact.Returned = m.kept(fact, given, refunds)
	fact.Case, fact.Network, fact.Outcome = codeOf(d.Channel), codeOf(d.External), codeOf(d.Outcome.Code)
	// What may be done comes as links: none, not allowed (PayPal OpenAPI customer
	// disputes v1: HATEOAS links).
	fact.Acceptable = linkOf(d.Links, relAccept) != ""
	fact.Answerable = fact.Status == payment.DisputeNeedsResponse && linkOf(d.Links, relEvidence, relSupport) != ""
	fact.Appealable = linkOf(d.Links, relAppeal) != ""
	fact.Refundable = fact.Stage == payment.StageInquiry && (fact.Status == payment.DisputeNeedsResponse || fact.Status == payment.DisputeUnderReview)
	fact.Evidence.Submitted = d.given()
	fact.Evidence.Given = fact.Evidence.Submitted > 0
	m.out.Disputes = append(m.out.Disputes, fact)
	m.disputeFees(d, refunds)
}

// disputeFees adds what a case cost beside the money it is about.
func (m *mapper) disputeFees(d disputeBody, refunds []settlingRefund) {
	for i, move := range inTime(d.Movements) {
		if move.Party != seller || !strings.HasSuffix(move.Reason, "_FEE") {
			continue
		}
		cost := m.money("fee of dispute", d.ID, move.Amount)
		if move.Type == credit {
			cost = negative(cost)
		}
		id := fmt.Sprintf("%s:%d", d.ID, i+1)
		m.out.Fees = append(m.out.Fees, payment.Fee{Key: m.a.key(id), Object: d.ID, Fee: cost, Net: negative(cost)})
		if m.inRefund(d, move, refunds) {
			m.out.Fees = append(m.out.Fees, payment.Fee{Key: m.a.key(id + ":refund"), Object: d.ID, Fee: negative(cost), Net: cost})
		}
	}
}

// inTime puts a case's movements in the order of their times. They have no ids, so that a
// fee is known by its place: one that PayPal listed elsewhere the next time would be counted
// once more. PayPal promises no order. All movements of one settlement bear the same time;
// what they say orders them then, as PayPal's documents do: the buyer's, then the seller's,
// the fee at last. Two that say the same remain two.
func inTime(moves []movement) []movement {
	out := slices.Clone(moves)
	slices.SortStableFunc(out, func(x, y movement) int {
		return cmp.Or(parseTime(x.Initiated).Compare(parseTime(y.Initiated)),
			strings.Compare(x.Party, y.Party), strings.Compare(x.Reason, y.Reason), strings.Compare(x.Type, y.Type), x.Amount.compare(y.Amount))
	})
	return out
}

// Link relations of what a seller may do (PayPal OpenAPI customer disputes v1).
const (
	relAccept   = "accept_claim"
	relEvidence = "provide_evidence"
	relSupport  = "provide_supporting_info"
	relAppeal   = "appeal"
)

// given counts what the seller has handed in.
func (d *disputeBody) given() int64 {
	var n int64
	for _, e := range d.Evidences {
		if e.Source == "SUBMITTED_BY_SELLER" {
			n++
		}
	}
	for _, e := range d.Supporting {
		if e.Source == "SUBMITTED_BY_SELLER" {
			n++
		}
	}
	return n
}

// disputedCapture is the capture of this attempt that the case is about.
func (m *mapper) disputedCapture(d disputeBody) string {
	for _, t := range d.Transactions {
		for _, c := range m.s.parts.Captures {
			if t.SellerTransactionID == c.ID {
				return c.ID
			}
		}
	}
	if d.about == "" && len(d.Transactions) > 0 {
		return d.Transactions[0].SellerTransactionID
	}
	return d.about
}

// disputeStatus by PayPal's (PayPal OpenAPI disputes v1: status). A status that nobody
// knows may wait for us: who looks for nothing loses a case, who looks in vain some minutes.
// And a later look may say that it is under review, at the same time of PayPal's.
func disputeStatus(d disputeBody) (status payment.DisputeStatus, known bool) {
	switch d.Status {
	case "UNDER_REVIEW", "WAITING_FOR_BUYER_RESPONSE", "OTHER":
		return payment.DisputeUnderReview, true
	case "RESOLVED":
		return resolved(d)
	case "OPEN", "WAITING_FOR_SELLER_RESPONSE":
		return payment.DisputeNeedsResponse, true
	default:
		return payment.DisputeNeedsResponse, false
	}
}

// resolved is how a case ended (PayPal OpenAPI disputes v1: outcome_code). An end that
// nobody knows, or none where more than an inquiry ends, may have cost the money: a human
// must look, and until then it counts as taken.
func resolved(d disputeBody) (status payment.DisputeStatus, known bool) {
	switch d.Outcome.Code {
	case "RESOLVED_BUYER_FAVOUR", "ACCEPTED":
		return payment.DisputeLost, true
	case "RESOLVED_SELLER_FAVOUR", "RESOLVED_WITH_PAYOUT", "CANCELED_BY_BUYER", "DENIED":
		return payment.DisputeWon, true
	case "NONE":
		return payment.DisputeClosed, true
	case "":
		if strings.EqualFold(d.Stage, payment.StageInquiry) {
			return payment.DisputeClosed, true
		}
	}
	return payment.DisputeNeedsResponse, false
}

// withheld is what the case keeps from the merchant now: by the movements PayPal
// lists, or else by what its stage and outcome mean.
func (m *mapper) withheld(d disputeBody, fact payment.Dispute) int64 {
	var sum int64
	told, converted := false, false
	for _, move := range m.settlements(d) {
		if move.amount.Currency != fact.Amount.Currency {
			converted = true // the disputed amount says it better than half of the movements
			continue
		}
		told = true
		sum = max(-payment.MaxReported, min(sum+move.amount.Minor, payment.MaxReported+1))
	}
	if told && !converted {
		return max(0, sum)
	}
	switch {
	case fact.Status == payment.DisputeLost && d.Outcome.AmountRefunded != nil:
		if given := m.money("outcome of dispute", d.ID, d.Outcome.AmountRefunded); given.Currency == fact.Amount.Currency {
			return given.Minor
		}
		return fact.Amount.Minor // refunded in another currency, as above
	case fact.Status == payment.DisputeLost:
		return fact.Amount.Minor
	case fact.Unclear && d.Status == "RESOLVED":
		return fact.Amount.Minor
	case fact.Status == payment.DisputeWon, fact.Status == payment.DisputeClosed, fact.Stage == "inquiry":
		return 0
	default:
		return fact.Amount.Minor
	}
}
