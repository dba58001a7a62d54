package stripe

import (
	"cmp"
	"encoding/json"
	"math/big"
	"slices"
	"strings"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// disputes are the objections to the charges.
func (m *mapper) disputes() []payment.Dispute {
	var out []payment.Dispute
	for _, d := range m.s.disputes {
		stage, status, known := disputeState(string(d.Status))
		f := payment.Dispute{
			Key: m.a.key(d.ID), Amount: m.money(d.Amount, d.Currency), Stage: stage, Status: status, Unclear: !known,
			Reason: word(string(d.Reason)), Withheld: m.withheld(d.Dispute), Outcome: outcome(string(d.Status)),
			Refundable: d.IsChargeRefundable, Network: code(d.NetworkReasonCode),
			Stamp: payment.Stamp{Created: unix(d.Created), AsOf: d.asOf},
		}
		if d.Charge != nil {
			f.Capture = d.Charge.ID
		}
		if x := d.PaymentMethodDetails; x != nil && x.Card != nil && f.Network == "" {
			f.Network = code(x.Card.NetworkReasonCode)
		}
		f.Case = caseType(d.Dispute, stage)
		open := status == payment.DisputeNeedsResponse
		f.Acceptable = open
		if e := d.EvidenceDetails; e != nil {
			f.Evidence = payment.EvidenceState{Given: e.HasEvidence, Submitted: e.SubmissionCount, PastDue: e.PastDue}
			if open {
				f.DueBy = unix(e.DueBy)
			}
			// Without a date the bank takes no answer (Stripe API reference: due_by), and
			// evidence can be submitted once.
			f.Answerable = open && e.DueBy > 0 && e.SubmissionCount == 0
		}
		out = append(out, f)
	}
	return out
}

// caseType is Stripe's kind of case. It is newer than this SDK, so it is read from
// the answer itself; older API versions do not say it.
func caseType(d *stripesdk.Dispute, stage string) string {
	var raw struct {
		Details struct {
			Card struct {
				CaseType string `json:"case_type"`
			} `json:"card"`
		} `json:"payment_method_details"`
	}
	if d.LastResponse != nil && json.Unmarshal(d.LastResponse.RawJSON, &raw) == nil && word(raw.Details.Card.CaseType) != "" {
		return word(raw.Details.Card.CaseType)
	}
	if stage == payment.StageInquiry {
		return payment.StageInquiry
	}
	return "chargeback"
}

// outcome is Stripe's word for how a dispute ended, empty while it is open.
func outcome(status string) string {
	switch status {
	case "won", "lost", "warning_closed", "prevented", "charge_refunded":
		return status
	}
	return ""
}

// code is a card network's reason code, such as 10.4 or C08; anything else is not
// one.
func code(s string) string {
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '.' && r != '-' && r != '_' {
			return ""
		}
	}
	if len(s) > 32 {
		return ""
	}
	return s
}

// warnings are the issuers' early reports of fraud.
func (m *mapper) warnings() []payment.FraudWarning {
	var out []payment.FraudWarning
	for _, w := range m.s.warnings {
		f := payment.FraudWarning{
			Key: m.a.key(w.ID), Actionable: w.Actionable, FraudType: word(string(w.FraudType)),
			Stamp: payment.Stamp{Created: unix(w.Created), AsOf: unix(w.Created)}, // a list says no more of its time
		}
		if w.Charge != nil {
			f.Capture = w.Charge.ID
		}
		out = append(out, f)
	}
	return out
}

// reviews are the charges' reviews. Stripe lists open ones only, and by no charge;
// the charge itself knows its own, open or closed.
func (m *mapper) reviews() []payment.Review {
	var out []payment.Review
	for _, c := range m.s.charges {
		r := c.Review
		if r == nil || r.ID == "" || r.OpenedReason == "" { // an id alone: not read
			continue
		}
		out = append(out, payment.Review{
			Key: m.a.key(r.ID), Capture: c.ID, Open: r.Open, Opened: word(string(r.OpenedReason)), Closed: word(string(r.ClosedReason)),
			Stamp: payment.Stamp{Created: unix(r.Created), AsOf: unix(r.Created)},
		})
	}
	return out
}

// disputeState maps Stripe's status, the ones newer than this SDK included. One
// that nobody knows needs a human.
func disputeState(s string) (stage string, status payment.DisputeStatus, known bool) {
	stage = "chargeback"
	if rest, ok := strings.CutPrefix(s, "warning_"); ok {
		stage, s = "inquiry", rest
	} else if rest, ok := strings.CutPrefix(s, "appeal_"); ok {
		stage, s = "pre_arbitration", rest
	}
	switch s {
	case "under_review":
		return stage, payment.DisputeUnderReview, true
	case "won":
		return stage, payment.DisputeWon, true
	case "lost":
		return stage, payment.DisputeLost, true
	case "closed", "prevented", "charge_refunded":
		return stage, payment.DisputeClosed, true
	default:
		return stage, payment.DisputeNeedsResponse, s == "needs_response"
	}
}

// withheld is what the dispute's own balance transactions took, fees aside, less
// what they gave back. They are in settlement currency. Where that is another, each is
// converted at the rate of its own day (Stripe docs: conversions on disputes and
// refunds), so that what comes back differs from what was taken, and no sum says
// anything: the disputed amount is gone if the last of them took money, and back if it
// gave some, except where the dispute was lost: then only a part came back.
func (m *mapper) withheld(d *stripesdk.Dispute) int64 {
	var taken int64
	var last *stripesdk.BalanceTransaction
	same := true
	for _, t := range d.BalanceTransactions {
		if t == nil || t.Amount == 0 {
			continue
		}
		amount := max(-payment.MaxReported, min(t.Amount, payment.MaxReported)) // what is cut is refused below
		taken = min(taken-amount, payment.MaxReported+1)
		same = same && t.Currency == d.Currency
		if last == nil || t.Created >= last.Created {
			last = t
		}
	}
	switch {
	case !same && last.Amount < 0:
		return m.money(d.Amount, d.Currency).Minor
	case !same && lost(d):
		return unreturned(d, m.money(d.Amount, d.Currency).Minor)
	case !same, taken <= 0:
		return 0
	default:
		return m.money(taken, d.Currency).Minor
	}
}

// lost says that a dispute ended against the merchant.
func lost(d *stripesdk.Dispute) bool {
	_, status, _ := disputeState(string(d.Status))
	return status == payment.DisputeLost
}

// unreturned is what a lost dispute keeps of the disputed amount where a part of what was
// taken came back in another currency: of a charge that had been refunded in part, Stripe
// returns that part (Stripe support: "Dispute for full charge amount after a partial refund
// was issued"). It is the share that did not come back of what was taken last. The rates of
// the two days differ, so this is an estimate, rounded up to be on the careful side, and the
// whole amount where nothing can be compared.
func unreturned(d *stripesdk.Dispute, disputed int64) int64 {
	moves := slices.DeleteFunc(slices.Clone(d.BalanceTransactions), func(t *stripesdk.BalanceTransaction) bool { return t == nil || t.Amount == 0 })
	slices.SortStableFunc(moves, func(x, y *stripesdk.BalanceTransaction) int { return cmp.Compare(x.Created, y.Created) })
	taken, returned := new(big.Int), new(big.Int)
	for _, t := range moves {
		amount := big.NewInt(t.Amount)
		switch {
		case t.Currency != moves[0].Currency:
			return disputed
		case t.Amount > 0:
			returned.Add(returned, amount)
		case returned.Sign() > 0: // what was back is taken anew
			taken.Neg(amount)
			returned.SetInt64(0)
		default:
			taken.Sub(taken, amount)
		}
	}
	if taken.Sign() == 0 {
		return disputed
	}
	if returned.Cmp(taken) >= 0 {
		return 0
	}
	back := new(big.Int).Mul(big.NewInt(disputed), returned)
	return disputed - back.Quo(back, taken).Int64() // what came back is rounded down
}
