package payment

import (
	"fmt"
	"slices"
	"time"
)

// CaseEntry is one line of a dispute's history. It travels inside the payment until
// it stands in the dispute's own record, so no crash can lose it.
type CaseEntry struct {
	ID      string
	Dispute string // DisputeID
	At      time.Time
	// What happened: opened, updated, won, lost, closed, reopened, attached; accept,
	// save_evidence or submit_evidence followed by _requested, _done or _failed;
	// policy_accept, policy_contest, policy_alert, each with _dry_run where nothing
	// was done.
	What     string
	By       Actor
	Layer    Layer
	Reason   string
	Status   DisputeStatus
	Stage    string
	Amount   Money
	Withheld int64
	Evidence string // id of the evidence concerned, empty if none
}

// MaxEvidence bounds how often evidence may be handed in for one dispute, drafts
// included: each is an operation kept for good.
const MaxEvidence = 40

// DisputeOf finds a dispute of this payment by our id.
func (p *Payment) DisputeOf(id string) (Dispute, bool) {
	for _, d := range p.Facts.Disputes {
		if DisputeID(d.Key) == id {
			return d, true
		}
	}
	return Dispute{}, false
}

// OnDispute says whether an operation acts on a dispute.
func (k OpKind) OnDispute() bool {
	return k == OpAcceptDispute || k == OpSaveEvidence || k == OpSubmitEvidence
}

// word is an operation's name in a dispute's history.
func (k OpKind) word() string {
	if k == OpAcceptDispute {
		return "accept"
	}
	return string(k)
}

// noteCases writes down what a change did to disputes, for their own records.
func (p *Payment) noteCases(old *Payment, src Source, now time.Time) {
	add := func(d Dispute, what string, by Actor, reason, evidence string) {
		entry := CaseEntry{
			Dispute: DisputeID(d.Key), At: now, What: what, By: by, Layer: src.Layer, Reason: reason,
			Status: d.Status, Stage: d.Stage, Amount: d.Amount, Withheld: d.Withheld, Evidence: evidence,
		}
		entry.ID = DeriveID("cas", p.ID, fmt.Sprint(p.Version+1), entry.Dispute, what, evidence)
		if !slices.ContainsFunc(p.Cases, func(c CaseEntry) bool { return c.ID == entry.ID }) {
			p.Cases = append(p.Cases, entry)
		}
	}
	was := disputesByKey(old.Facts)
	for _, d := range p.Facts.Disputes {
		before, known := was[d.Key]
		news := DisputeNews(before, known, d)
		if len(news) == 0 && !slices.Equal(p.Facts.feesOf(d.Key), old.Facts.feesOf(d.Key)) {
			news = []string{"updated"}
		}
		for _, what := range news {
			add(d, what, src.Actor, src.Reason, "")
		}
	}
	for _, op := range p.Operations {
		if !op.Kind.OnDispute() {
			continue
		}
		d, ok := p.disputed(op.Target, op.Account)
		if !ok {
			continue
		}
		before := old.Operation(op.ID)
		if before == nil || before.Run != op.Run {
			add(d, op.Kind.word()+"_requested", op.By, op.Reason, op.Evidence)
		}
		settled := op.State.Settled() && (before == nil || !before.State.Settled() || before.Run != op.Run)
		switch {
		case settled && op.State == OpDone:
			add(d, op.Kind.word()+"_done", op.By, op.Reason, op.Evidence)
		case settled:
			add(d, op.Kind.word()+"_failed", op.By, op.Failure.Code, op.Evidence)
		}
	}
}

// disputed finds a dispute by the provider's id.
func (p *Payment) disputed(id, account string) (Dispute, bool) {
	for _, d := range p.Facts.Disputes {
		if d.Key.ID == id && d.Key.Account == account {
			return d, true
		}
	}
	return Dispute{}, false
}

// feesOf lists what a dispute cost, in settlement currencies.
func (f Facts) feesOf(k ObjectKey) []Money {
	fees := map[Currency]int64{}
	for _, x := range f.Fees {
		if x.Object == k.ID && x.Key.Account == k.Account {
			fees[x.Fee.Currency] += x.Fee.Minor
		}
	}
	return sortedMoney(fees)
}

// DisputeFees lists what a dispute of this payment cost, a sum for each settlement
// currency; none while the provider has told nothing.
func (p *Payment) DisputeFees(d Dispute) []Money { return p.Facts.feesOf(d.Key) }

// Evidence is the id of the evidence that stands for a dispute: the newest that was
// saved or submitted and not refused. Empty if there is none.
func (p *Payment) Evidence(d Dispute) string {
	id := ""
	for _, op := range p.Operations {
		given := op.Kind == OpSaveEvidence || op.Kind == OpSubmitEvidence
		if given && op.Target == d.Key.ID && op.Account == d.Key.Account && op.State != OpFailed {
			id = op.Evidence
		}
	}
	return id
}

// answerable says why a dispute can't be acted on now; nil if it can.
func (p *Payment) answerable(d Dispute, now time.Time) error {
	switch {
	case d.Status != DisputeNeedsResponse:
		return NewError(CodeConflict, "The dispute needs no response: it is %s.", d.Status)
	case !d.DueBy.IsZero() && now.After(d.DueBy):
		return NewError(CodeConflict, "The time to answer this dispute ended at %s.", d.DueBy.UTC().Format(time.RFC3339))
	}
	for _, op := range p.Operations {
		if !op.Kind.OnDispute() || op.Target != d.Key.ID || op.Account != d.Key.Account {
			continue
		}
		if !op.State.Settled() {
			return NewError(CodeConflict, "Another answer to this dispute has no outcome yet; wait for it.")
		}
		if op.State == OpDone && op.Kind != OpSaveEvidence && op.Stage == d.Stage {
			return NewError(CodeConflict, "This dispute was answered already.")
		}
	}
	return nil
}

// disputeOperation is an operation on a dispute.
func (p *Payment) disputeOperation(kind OpKind, d Dispute, reason string, c Command) Operation {
	op := c.operation(kind, 0, d.Key.ID)
	op.Account, op.Stage, op.Amount, op.Reason = d.Key.Account, d.Stage, d.Amount, reason
	for _, capture := range p.Facts.Captures {
		if capture.Key.ID == d.Capture && capture.Key.Account == d.Key.Account {
			op.N = capture.N
		}
	}
	if op.N == 0 {
		for _, a := range p.Facts.Opened {
			if a.Account == d.Key.Account {
				op.N = a.N
			}
		}
	}
	return op
}

// RequestAccept orders to give a dispute up: the customer keeps the money.
func (p *Payment) RequestAccept(d Dispute, reason string, c Command) error {
	if err := p.answerable(d, c.Now); err != nil {
		return err
	}
	if !d.Acceptable {
		return NewError(CodeConflict, "The provider does not let this dispute be accepted now.")
	}
	_, err := p.order(p.disputeOperation(OpAcceptDispute, d, reason, c))
	return err
}

// RequestEvidence orders to store evidence at the provider as a draft, or with
// submit to hand it in, which can be done once. base is the evidence it was built
// on: where another came in between, it is a conflict.
func (p *Payment) RequestEvidence(d Dispute, evidence, base string, submit bool, reason string, c Command) error {
	if err := p.answerable(d, c.Now); err != nil {
		return err
	}
	if !d.Answerable {
		return NewError(CodeConflict, "The provider takes no evidence for this dispute now.")
	}
	given := 0
	for _, op := range p.Operations {
		if op.Kind.OnDispute() && op.Target == d.Key.ID && op.Account == d.Key.Account {
			given++
		}
	}
	if given >= MaxEvidence {
		return NewError(CodeConflict, "Evidence was handed in %d times for this dispute; no more is taken.", given)
	}
	kind := OpSaveEvidence
	if submit {
		kind = OpSubmitEvidence
	}
	op := p.disputeOperation(kind, d, reason, c)
	op.Evidence = evidence
	if old := p.Operation(op.ID); p.Evidence(d) != base && (old == nil || old.Evidence != p.Evidence(d)) {
		return NewError(CodeConflict, "The evidence was changed meanwhile; read it and try again.")
	}
	_, err := p.order(op)
	return err
}

// Decide adds a line to a dispute's history that changed nothing else, such as what
// a policy would have done. The same id again is ignored.
func (p *Payment) Decide(d Dispute, id, what, reason string, src Source, now time.Time) {
	if slices.ContainsFunc(p.Cases, func(c CaseEntry) bool { return c.ID == id }) {
		return
	}
	p.Cases = append(p.Cases, CaseEntry{
		ID: id, Dispute: DisputeID(d.Key), At: now, What: what, By: src.Actor, Layer: src.Layer, Reason: reason,
		Status: d.Status, Stage: d.Stage, Amount: d.Amount, Withheld: d.Withheld,
	})
}

// DropCases takes history lines out that stand in their dispute's record. It says
// whether there were any.
func (p *Payment) DropCases(ids map[string]bool) bool {
	before := len(p.Cases)
	p.Cases = slices.DeleteFunc(slices.Clone(p.Cases), func(c CaseEntry) bool { return ids[c.ID] })
	if len(p.Cases) == 0 {
		p.Cases = nil
	}
	return len(p.Cases) < before
}
