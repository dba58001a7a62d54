package payment

import (
	"slices"
	"time"
)

// SignalKind says what kind of news a payment has for whoever watches for fraud.
type SignalKind string

// The kinds of signals.
const (
	SignalAsked   SignalKind = "asked"   // the app made the payment for a customer it named
	SignalPayer   SignalKind = "payer"   // it is known who pays
	SignalPaid    SignalKind = "paid"    // money was captured
	SignalDecline SignalKind = "decline" // a try at paying was refused
	SignalDispute SignalKind = "dispute" // a customer or a bank objects, and not only asks
	SignalWarning SignalKind = "warning" // an issuer reports fraud
	SignalReview  SignalKind = "review"  // the provider asks a human to look
)

// Signal is one such piece of news. It travels inside the payment until it has been
// handled, so it can't be lost between two writes.
type Signal struct {
	ID   string // the same for the same news, in every payment document
	Kind SignalKind
	Key  ObjectKey `json:",omitzero"` // the provider object it is about; zero for asked
	At   time.Time // provider time; for asked ours
}

func newSignal(kind SignalKind, p *Payment, key ObjectKey, at time.Time) Signal {
	return Signal{ID: DeriveID("sig", p.ID, string(kind), key.Provider, key.Account, key.ID), Kind: kind, Key: key, At: at}
}

// AllSignals is every signal that this payment ever gave, read off what it is now.
func (p *Payment) AllSignals() []Signal {
	var out []Signal
	if c := p.Request.Customer; c.Ref != "" || c.Email != "" || c.ID != "" {
		out = append(out, newSignal(SignalAsked, p, ObjectKey{}, p.CreatedAt))
	}
	for _, x := range p.Facts.Payers {
		out = append(out, newSignal(SignalPayer, p, x.Key, x.Created))
	}
	for _, c := range p.Facts.Captures {
		if c.State == CaptureCompleted {
			out = append(out, newSignal(SignalPaid, p, c.Key, c.Created))
		}
	}
	for _, d := range p.Facts.Declines {
		out = append(out, newSignal(SignalDecline, p, d.Key, d.Created))
	}
	for _, d := range p.Facts.Disputes {
		if d.Stage != StageInquiry { // an inquiry that becomes a chargeback is news, and it alone counts
			out = append(out, newSignal(SignalDispute, p, d.Key, d.Created))
		}
	}
	for _, w := range p.Facts.Warnings {
		out = append(out, newSignal(SignalWarning, p, w.Key, w.Created))
	}
	for _, r := range p.Facts.Reviews {
		if r.Open {
			out = append(out, newSignal(SignalReview, p, r.Key, r.Created))
		}
	}
	return out
}

// signal queues the news that a change brought.
func (p *Payment) signal(old *Payment, now time.Time) {
	told := map[string]bool{}
	if !old.fresh() {
		for _, s := range old.AllSignals() {
			told[s.ID] = true
		}
	}
	for _, s := range p.AllSignals() {
		if told[s.ID] || slices.ContainsFunc(p.Signals, func(have Signal) bool { return have.ID == s.ID }) {
			continue
		}
		p.Signals = append(p.Signals, s)
		p.SignalAt = now
	}
}

// Handled takes signals out of the payment. It says whether anything changed.
func (p *Payment) Handled(ids []string) bool {
	before := len(p.Signals)
	p.Signals = slices.DeleteFunc(slices.Clone(p.Signals), func(s Signal) bool { return slices.Contains(ids, s.ID) })
	if len(p.Signals) == 0 {
		p.Signals, p.SignalAt = nil, time.Time{}
	}
	return len(p.Signals) != before
}

// Note adds a history entry although nothing changed: a rule against fraud looked at
// this payment. The same note again adds nothing.
func (p *Payment) Note(src Source, now time.Time) {
	for _, h := range p.History {
		if h.Source == src {
			return
		}
	}
	at := p.Snapshot()
	p.History = append(p.History, HistoryEntry{At: now, Source: src, Before: at, After: at, Version: p.Version + 1})
}

// Owed is what can be given back of one capture.
type Owed struct {
	Capture string
	N       int
	Amount  Money
}

// Returnable lists the captures of which something can be given back without paying
// twice: never while the payment is conflicted, and nothing of a capture that a
// chargeback concerns, unless it was won. One that names none of the captures may be
// about any of them. A refund closes an inquiry, so those count.
func (p *Payment) Returnable() []Owed {
	if p.Status() == StatusConflicted {
		return nil
	}
	contested := map[string]bool{}
	for _, d := range p.Facts.Disputes {
		if d.Stage == StageInquiry || d.Status == DisputeWon {
			continue
		}
		if !slices.ContainsFunc(p.Facts.Captures, func(c Capture) bool { return c.Key.ID == d.Capture }) {
			return nil
		}
		contested[d.Capture] = true
	}
	reversed := map[string]bool{}
	for _, r := range p.Facts.Reversals {
		reversed[r.Capture] = true
	}
	left := p.Amounts().Refundable
	var out []Owed
	for _, c := range p.Facts.Captures {
		if c.State != CaptureCompleted || c.Amount.Currency != p.Facts.Terms.Amount.Currency || contested[c.Key.ID] || reversed[c.Key.ID] {
			continue
		}
		if amount := min(p.captureLeft(c), left); amount > 0 {
			left -= amount
			out = append(out, Owed{Capture: c.Key.ID, N: c.N, Amount: Money{Minor: amount, Currency: c.Amount.Currency}})
		}
	}
	return out
}

// RequestReturn orders that all that is returnable of one capture is given back.
func (p *Payment) RequestReturn(capture, reason string, c Command) error {
	for _, owed := range p.Returnable() {
		if owed.Capture != capture {
			continue
		}
		op := c.operation(OpRefund, owed.N, capture)
		op.Amount, op.Reason = owed.Amount, reason
		_, err := p.order(op)
		return err
	}
	return NewError(CodeConflict, "Nothing of this capture can be given back now; %s.", describe(p.Status()))
}
