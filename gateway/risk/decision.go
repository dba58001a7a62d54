package risk

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// State is how far a decision got.
type State string

// The states of a decision.
const (
	Proposed State = "proposed" // waits for an operator's confirmation
	DryRun   State = "dry_run"  // written down; nothing is done
	Pending  State = "pending"  // being carried out; a provider that is down keeps it here
	Applied  State = "applied"  // done, all that could be
	Failed   State = "failed"   // some step was refused for good; the steps say which
	Reversed State = "reversed" // taken back, as far as it can be
)

// Decision is what a rule decided about a subject, and how far that got. It is kept for
// good.
type Decision struct {
	ID       string
	App      string // empty: about an account, which all apps share
	Mode     payment.Mode
	Rule     Name
	Subject  Ref
	Actions  []Action
	Trusted  bool // the customer is trusted: people are told, nothing else is done
	State    State
	Reason   string     // for people
	Evidence []Sighting // the latest ones, at most maxEvidence
	Payments []string   // the payments in evidence
	Scope    Scope
	Severity string // of the alert: info | warning | critical
	// ExpiresAt is until when a block that it sets lasts; zero: until it is lifted.
	ExpiresAt   time.Time
	Fingerprint string // of the request that ordered it by hand
	// Fingerprints are those of the requests that judged it, by the request's id.
	Fingerprints map[string]string
	At           time.Time
	// What became of it.
	Told      bool // the alert is raised and the payments' histories say so
	FailTold  bool // people were told that it failed
	Cleared   bool `json:",omitempty"` // reversed, and what the rules saw until then counts no more
	Acted     bool `json:",omitempty"` // reversed when it was being carried out, or had been
	Confirmed bool `json:",omitempty"` // by an operator after it acted, and what it set does not say so yet
	Planned   bool // Steps holds everything that was to do when it was last looked
	Steps     []Step
	Left      int // payments that did not fit into Steps yet
	Note      string
	NextAt    time.Time // when a worker goes on with it; zero: never
	Tries     int       // visits in a row that left something undone
	CreatedAt time.Time
	UpdatedAt time.Time
	By        payment.Actor // who confirmed or reversed it, or ordered it by hand
	ByReason  string
	ByAt      time.Time
}

// Scope is which payments an action concerns.
type Scope string

// The scopes.
const (
	ScopeSubject Scope = "subject" // every payment of the subject
	ScopePayment Scope = "payment" // the payments in evidence only
)

// Limits of a decision.
const (
	maxEvidence = 20
	MaxSteps    = 400 // steps one decision holds; what is left is planned once these are done
)

// StepState is how far one step of a decision got.
type StepState string

// The states of a step.
const (
	StepPending StepState = "pending"
	StepDone    StepState = "done"
	StepSkipped StepState = "skipped" // not possible or not needed any more
	StepFailed  StepState = "failed"
)

// Step is one thing that is done to one payment.
type Step struct {
	ID      string
	Action  Action // cancel or refund
	Payment string
	Capture string        `json:",omitempty"` // refund: of this capture
	Amount  payment.Money `json:",omitzero"`  // refund: how much was given back
	State   StepState
	Note    string `json:",omitempty"`
	Tries   int    `json:",omitempty"`
	At      time.Time
}

// Clone is a deep copy of what a change may touch.
func (d Decision) Clone() Decision {
	d.Steps, d.Fingerprints = slices.Clone(d.Steps), maps.Clone(d.Fingerprints)
	return d
}

// Judged notes who confirmed or reversed the decision, and why.
func (d *Decision) Judged(request, fingerprint string, by payment.Actor, reason string, now time.Time) {
	if d.Fingerprints == nil {
		d.Fingerprints = map[string]string{}
	}
	d.Fingerprints[request] = fingerprint
	d.By, d.ByReason, d.ByAt, d.UpdatedAt = by, reason, now, now
}

// Has says whether the decision includes an action.
func (d Decision) Has(a Action) bool { return slices.Contains(d.Actions, a) }

// Acting says whether it does anything to a customer.
func (d Decision) Acting() bool { return slices.ContainsFunc(d.Actions, Action.acts) }

// Open says that a worker has something to do for it.
func (d Decision) Open() bool { return !d.NextAt.IsZero() }

// Barred says whom the decision keeps from paying, and how: the subject, or where a
// hold rests on single payments, those.
func (d Decision) Barred() (Effect, []Ref) {
	switch {
	case d.Has(ActBlock):
		return EffectBlock, []Ref{d.Subject}
	case d.Has(ActHold) && d.Scope == ScopePayment:
		var refs []Ref
		for _, id := range d.Payments {
			refs = append(refs, Ref{KindPayment, id})
		}
		return EffectHold, refs
	case d.Has(ActHold):
		return EffectHold, []Ref{d.Subject}
	}
	return "", nil
}

// Step finds a step.
func (d *Decision) Step(id string) *Step {
	for i := range d.Steps {
		if d.Steps[i].ID == id {
			return &d.Steps[i]
		}
	}
	return nil
}

// Unsettled counts the steps still to do.
func (d Decision) Unsettled() int {
	n := 0
	for _, s := range d.Steps {
		if s.State == StepPending {
			n++
		}
	}
	return n
}

// StepID is the id of what a decision does to a payment, or to one of its captures.
func (d Decision) StepID(a Action, paymentID, capture string) string {
	return payment.DeriveID("rst", d.ID, string(a), paymentID, capture)
}

// decide makes a decision of a rule that fired.
func (s Subject) decide(r Rule, anchor, reason string, scope Scope, evidence []Sighting) Decision {
	end := evidence[len(evidence)-1]
	d := Decision{
		ID:  payment.DeriveID("rde", s.App, string(s.Mode), r.key(), string(s.Ref.Kind), s.Ref.Value, anchor),
		App: s.App, Mode: s.Mode, Rule: r.Name, Subject: s.Ref, Actions: slices.Clone(r.Actions), State: Pending,
		Reason: reason, Scope: scope, Severity: "warning", At: end.At, Trusted: s.Trusted,
	}
	for _, e := range evidence {
		d.Trusted = d.Trusted || e.Trusted
		if !slices.Contains(d.Payments, e.Payment) && len(d.Payments) < maxEvidence {
			d.Payments = append(d.Payments, e.Payment)
		}
	}
	d.Evidence = slices.Clone(evidence[max(0, len(evidence)-maxEvidence):])
	switch {
	case d.Trusted && d.Acting():
		d.Actions = []Action{ActAlert}
		d.Reason += "; the customer is trusted, so people are told and nothing else is done"
	case !d.Acting():
	case r.DryRun:
		d.State = DryRun
	case r.Confirm:
		d.State = Proposed
	}
	return d
}

// Waiting says that a decision acts only once an operator confirms it.
func (d Decision) Waiting() bool { return d.State == DryRun || d.State == Proposed }

// Sentence is what the alert of a decision says. It names no customer: alerts are
// mailed.
func (d Decision) Sentence() string {
	switch {
	case d.State == DryRun:
		return fmt.Sprintf("%s (%s). Dry run: nothing was done; it would %v.", d.Reason, d.Rule, d.Actions)
	case d.State == Proposed:
		return fmt.Sprintf("%s (%s). To be confirmed: %v.", d.Reason, d.Rule, d.Actions)
	case d.Acting():
		return fmt.Sprintf("%s (%s). Done about it: %v.", d.Reason, d.Rule, d.Actions)
	}
	return fmt.Sprintf("%s (%s).", d.Reason, d.Rule)
}
