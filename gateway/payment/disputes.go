package payment

import "time"

// DisputeStatus is the unified state of a dispute.
type DisputeStatus string

// Dispute states in rank order. None is final: a lost dispute can be appealed.
const (
	DisputeNeedsResponse DisputeStatus = "needs_response"
	DisputeUnderReview   DisputeStatus = "under_review"
	DisputeClosed        DisputeStatus = "closed"
	DisputeWon           DisputeStatus = "won"
	DisputeLost          DisputeStatus = "lost"
)

var disputeStates = []DisputeStatus{DisputeNeedsResponse, DisputeUnderReview, DisputeClosed, DisputeWon, DisputeLost}

// over says that the dispute is decided, for now.
func (s DisputeStatus) over() bool {
	return s == DisputeWon || s == DisputeLost || s == DisputeClosed
}

// StageInquiry is the stage of a dispute that takes no money: the bank or the customer
// only asks.
const StageInquiry = "inquiry"

// Dispute is a customer's or a bank's objection to a capture. It stays comparable:
// two sightings that say the same are equal.
type Dispute struct {
	Key      ObjectKey
	Capture  string
	Amount   Money
	Stage    string // inquiry | chargeback | pre_arbitration | arbitration
	Status   DisputeStatus
	Reason   string    `json:",omitzero"`
	DueBy    time.Time `json:",omitzero"` // zero: no answer is possible or needed
	Withheld int64     `json:",omitzero"` // minor units the provider holds back or has taken for good
	// Returned is what the provider gave back of its own fee when it took the money: the
	// customer has that much more than left the account.
	Returned int64         `json:",omitzero"`
	Case     string        `json:",omitzero"` // the provider's kind of case: chargeback, inquiry, compliance, internal ...; empty if it does not say
	Network  string        `json:",omitzero"` // the card network's own reason code, such as 10.4
	Outcome  string        `json:",omitzero"` // the provider's word for how it ended; empty while undecided
	Evidence EvidenceState `json:",omitzero"`
	// Refundable says that giving the money back now still prevents the loss.
	Refundable bool `json:",omitzero"`
	// What the provider lets us do at this moment.
	Acceptable, Answerable, Appealable bool `json:",omitzero"`
	// Unclear says that the provider's word for how it stands or ended is one that nobody
	// knows. It needs a human; no policy acts upon it.
	Unclear bool `json:",omitzero"`
	Stamp
}

// taken is what a dispute keeps of the payment, in minor units: what the customer has of it,
// and can't be given back once more. As long as somebody only asks that is nothing, but an
// inquiry can end against the merchant, too: PayPal's does when an offer to pay back is
// accepted (PayPal OpenAPI customer disputes v1: INQUIRY_OFFER_PARTIAL_REFUND,
// PARTIAL_REFUND_OFFER_ACCEPTED). One that ended in a way that nobody knows may have, too.
func (d Dispute) taken() int64 {
	if d.Stage == StageInquiry && d.Status != DisputeLost && !d.Unclear {
		return 0
	}
	return d.Withheld + d.Returned
}

// returned is the part of what a dispute keeps that never left the account.
func (d Dispute) returned() int64 { return min(d.Returned, d.taken()) }

// EvidenceState is what the provider says of our answer to a dispute.
type EvidenceState struct {
	Given     bool  `json:",omitzero"` // some evidence lies at the provider, submitted or not
	Submitted int64 `json:",omitzero"` // how often it was submitted
	PastDue   bool  `json:",omitzero"` // the last submission came too late, or none came in time
}

// FraudWarning is an issuer's report that a charge was fraud, before any dispute.
// It merges by (no longer actionable, digest): once disputed or given back, a
// warning never becomes actionable again.
type FraudWarning struct {
	Key        ObjectKey
	Capture    string
	Actionable bool   `json:",omitzero"` // a full refund now can still avoid the dispute
	FraudType  string `json:",omitzero"` // the provider's word, such as made_with_stolen_card
	Stamp
}

// Review is a provider asking a human whether a payment is what it seems. It does
// not hold the money back by itself. It merges by (closed, digest): a review that
// was closed stays closed.
type Review struct {
	Key     ObjectKey
	Capture string
	Open    bool
	Opened  string // rule | manual
	Closed  string // approved | refunded | refunded_as_fraud | disputed | redacted ...; empty while open
	Stamp
}

// FraudWarningID is our id of a fraud warning, derived from the provider's object.
func FraudWarningID(k ObjectKey) string { return DeriveID("efw", k.Provider, k.Account, k.ID) }

// ReviewID is our id of a review, derived from the provider's object.
func ReviewID(k ObjectKey) string { return DeriveID("rvw", k.Provider, k.Account, k.ID) }

// sameDispute compares what an app sees: another reading of the same dispute is
// no news.
func sameDispute(a, b Dispute) bool {
	due := a.DueBy.Equal(b.DueBy)
	a.Stamp, b.Stamp, a.DueBy, b.DueBy = Stamp{}, Stamp{}, time.Time{}, time.Time{}
	return due && a == b
}

// tellDisputes adds the events of disputes and fraud warnings.
func (p *Payment) tellDisputes(old *Payment, now time.Time) {
	was := disputesByKey(old.Facts)
	for _, d := range p.Facts.Disputes {
		before, known := was[d.Key]
		for _, kind := range DisputeNews(before, known, d) {
			p.emit("dispute."+kind, DisputeID(d.Key), now)
		}
	}
	warned := map[ObjectKey]bool{}
	for _, w := range old.Facts.Warnings {
		warned[w.Key] = true
	}
	for _, w := range p.Facts.Warnings {
		if !warned[w.Key] {
			p.emit("fraud_warning.created", FraudWarningID(w.Key), now)
		}
	}
}

func disputesByKey(f Facts) map[ObjectKey]Dispute {
	out := make(map[ObjectKey]Dispute, len(f.Disputes))
	for _, d := range f.Disputes {
		out[d.Key] = d
	}
	return out
}

// DisputeNews names what happened between two sightings of a dispute: opened,
// updated, won, lost, closed, reopened; nothing where it is the same.
func DisputeNews(before Dispute, known bool, d Dispute) []string {
	switch {
	case !known && d.Status.over():
		return []string{"opened", string(d.Status)}
	case !known:
		return []string{"opened"}
	case sameDispute(before, d):
		return nil
	case before.Status != d.Status && d.Status.over():
		return []string{string(d.Status)}
	case before.Status.over() && !d.Status.over():
		return []string{"reopened"}
	default:
		return []string{"updated"}
	}
}

// disputeOpened says what is disputed and, where an answer is taken, until when.
func disputeOpened(d Dispute) string {
	text := "A customer disputes " + d.Amount.String() + " of a payment (" + d.Stage + ", " + d.Reason + ")."
	if !d.DueBy.IsZero() {
		text += " Answer before " + d.DueBy.UTC().Format("2 Jan 2006 15:04 UTC") + "."
	}
	return text
}

// alertDisputes adds what a human must hear of disputes and fraud warnings.
func (p *Payment) alertDisputes(old *Payment, now time.Time) {
	was := disputesByKey(old.Facts)
	for _, d := range p.Facts.Disputes {
		before, known := was[d.Key]
		if !known {
			p.raise(Alert{
				Kind: "dispute_opened", Severity: "warning", Dispute: DisputeID(d.Key), At: now,
				Message: disputeOpened(d),
			}, d.Key.ID)
		}
		if d.Unclear && !before.Unclear {
			p.raise(Alert{
				Kind: "dispute_opened", Severity: "warning", Dispute: DisputeID(d.Key), At: now,
				Message: "How a dispute stands, or ended, can't be told: its provider's word for it is not known here. Look at it there. What it may have taken counts as taken, and no policy acts on it.",
			}, d.Key.ID, "unclear")
		}
		if known && before.Status == d.Status {
			continue
		}
		switch d.Status {
		case DisputeWon:
			p.raise(Alert{Kind: "dispute_won", Severity: "info", Dispute: DisputeID(d.Key), At: now, Message: "A dispute was won."}, d.Key.ID)
		case DisputeLost:
			p.raise(Alert{Kind: "dispute_lost", Severity: "warning", Dispute: DisputeID(d.Key), At: now, Message: "A dispute was lost (" + d.Reason + ")."}, d.Key.ID)
		case DisputeNeedsResponse, DisputeUnderReview, DisputeClosed:
		}
	}
	warned := map[ObjectKey]bool{}
	for _, w := range old.Facts.Warnings {
		warned[w.Key] = true
	}
	for _, w := range p.Facts.Warnings {
		if !warned[w.Key] && w.Actionable {
			p.raise(Alert{
				Kind: "fraud_warning", Severity: "warning", At: now,
				Message: "The issuer reports a payment as fraud (" + w.FraudType + "). A full refund now can avoid a dispute.",
			}, w.Key.ID)
		}
	}
}
