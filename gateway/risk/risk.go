// Package risk holds the rules against fraud: what is known of a customer, card or
// payer goes in, decisions come out. Rules are data (a Policy); the same code decides
// for real and in a dry run.
//
// It is pure: no clock, no store, no provider, no goroutine. It never moves money and
// blocks nobody; gateway carries its decisions out. A decision always says which rule,
// about whom, on what evidence.
package risk

import (
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Action is what a rule does when it fires.
type Action string

// The actions, from nothing to everything.
const (
	ActObserve Action = "observe" // write the decision down
	ActAlert   Action = "alert"   // tell people
	ActHold    Action = "hold"    // take no money and open no payment until somebody looked
	ActBlock   Action = "block"   // open no payment any more
	ActCancel  Action = "cancel"  // close open payments, release held money
	ActRefund  Action = "refund"  // give back what was taken and is not contested
)

// actions is the order in which they are carried out.
var actions = []Action{ActObserve, ActAlert, ActHold, ActBlock, ActCancel, ActRefund}

// acts says that an action does something to a customer.
func (a Action) acts() bool { return slices.Index(actions, a) >= slices.Index(actions, ActHold) }

// Name is which rule.
type Name string

// The rules.
const (
	DeclineVelocity Name = "decline_velocity" // Threshold declines within Window, by Codes
	DistinctCards   Name = "distinct_cards"   // Threshold different cards or payers of one customer within Window
	AmountAnomaly   Name = "amount_anomaly"   // more than Threshold times the largest amount paid before, given Min payments
	CurrencyAnomaly Name = "currency_anomaly" // a currency never paid in before, given Min payments
	FraudWarning    Name = "fraud_warning"    // an issuer reports fraud, and a refund can still avoid the dispute
	ReviewOpened    Name = "review"           // the provider asks a human to look
	SharedPayer     Name = "shared_payer"     // one card or payer of Threshold customers within Window
	BlockedPayer    Name = "blocked_payer"    // somebody who is blocked got as far as a payment
	DisputeRate     Name = "dispute_rate"     // disputes and fraud warnings over Threshold basis points of an account's month, given Min of them
	Manual          Name = "manual"           // an operator or app blocked somebody; not a rule of a policy
)

// Names are the rules a policy may have.
func Names() []Name {
	return []Name{
		DeclineVelocity, DistinctCards, AmountAnomaly, CurrencyAnomaly, FraudWarning, ReviewOpened, SharedPayer, BlockedPayer, DisputeRate,
	}
}

// Actions are the actions a rule may have.
func Actions() []Action { return slices.Clone(actions) }

// Rule is one rule of a policy.
type Rule struct {
	Name      Name
	Threshold int64         // a count, a factor, or basis points: see the rule
	Window    time.Duration // how far back it counts
	Min       int64         // evidence without which an anomaly or a rate means nothing
	Codes     []string      // decline_velocity: which codes count
	Actions   []Action
	DryRun    bool // write down and tell what would be done, and do nothing
	Confirm   bool // do it only once an operator has confirmed it
}

// Policy is the rules of one app.
type Policy struct {
	Rules []Rule
}

// Limits of a rule.
const (
	MaxWindow    = 180 * 24 * time.Hour
	MaxThreshold = 10_000
	MaxRules     = 50
)

const day = 24 * time.Hour

// Default is the policy of an app that configures none: it tells people, and only
// writes down what it would do.
func Default() Policy {
	all := []Action{ActAlert, ActBlock, ActCancel, ActRefund}
	declines := []string{"card_declined", "instrument_declined"}
	return Policy{Rules: []Rule{
		{Name: DeclineVelocity, Threshold: 5, Window: 30 * day, Codes: declines, Actions: all, DryRun: true},
		{Name: DistinctCards, Threshold: 4, Window: 30 * day, Actions: []Action{ActAlert, ActHold}, DryRun: true},
		{Name: AmountAnomaly, Threshold: 10, Min: 3, Actions: []Action{ActAlert}},
		{Name: CurrencyAnomaly, Min: 3, Actions: []Action{ActObserve}},
		{Name: FraudWarning, Actions: []Action{ActAlert, ActRefund}, DryRun: true},
		{Name: ReviewOpened, Actions: []Action{ActAlert, ActHold}, DryRun: true},
		{Name: SharedPayer, Threshold: 3, Window: 30 * day, Actions: []Action{ActAlert}},
		{Name: BlockedPayer, Actions: []Action{ActAlert, ActCancel, ActRefund}, DryRun: true},
		// Half a percent is where processors begin to ask, long before the card
		// schemes' own programmes (150 basis points at Visa, VAMP).
		{Name: DisputeRate, Threshold: 50, Min: 5, Actions: []Action{ActAlert}},
		{Name: DisputeRate, Threshold: 75, Min: 5, Actions: []Action{ActAlert}},
	}}
}

// Defaulted fills in what a rule leaves out, from the default policy.
func (r Rule) Defaulted() Rule {
	for _, d := range Default().Rules {
		if d.Name != r.Name {
			continue
		}
		if r.Threshold == 0 {
			r.Threshold = d.Threshold
		}
		if r.Window == 0 {
			r.Window = d.Window
		}
		if r.Min == 0 {
			r.Min = d.Min
		}
		if len(r.Codes) == 0 {
			r.Codes = slices.Clone(d.Codes)
		}
		if len(r.Actions) == 0 {
			r.Actions = slices.Clone(d.Actions)
		}
		break
	}
	return r
}

// Faults says what is wrong with a rule; nothing if it can be used.
func (r Rule) Faults() []string {
	var out []string
	if !slices.Contains(Names(), r.Name) {
		return []string{fmt.Sprintf("rule must be one of %v", Names())}
	}
	counts := r.Name == DeclineVelocity || r.Name == DistinctCards || r.Name == SharedPayer
	if (counts || r.Name == AmountAnomaly || r.Name == DisputeRate) && (r.Threshold < 1 || r.Threshold > MaxThreshold) {
		out = append(out, fmt.Sprintf("threshold must be from 1 to %d", MaxThreshold))
	}
	if counts && r.Threshold > maxSightings {
		out = append(out, fmt.Sprintf("threshold must be at most %d: no more are kept of one kind", maxSightings))
	}
	if counts && (r.Window < time.Minute || r.Window > MaxWindow) {
		out = append(out, "window must be from one minute to 180 days")
	}
	if r.Min < 0 || r.Min > MaxThreshold {
		out = append(out, fmt.Sprintf("min must be from 0 to %d", MaxThreshold))
	}
	for _, a := range r.Actions {
		switch {
		case !slices.Contains(actions, a):
			out = append(out, fmt.Sprintf("actions must be among %v", actions))
		case a.acts() && r.Name == DisputeRate:
			out = append(out, "actions of dispute_rate are observe and alert: it is about an account, not about a customer")
		}
	}
	if r.DryRun && r.Confirm {
		out = append(out, "dry_run and confirm exclude each other")
	}
	return out
}

// key names a rule among those of its name, so that two of them fire on their own. One
// that only says what it would do, or asks first, is another one: what it has said
// keeps it from acting on nobody once it is switched on.
func (r Rule) key() string {
	key := fmt.Sprintf("%s/%d/%d", r.Name, r.Threshold, int64(r.Window/time.Second))
	switch {
	case r.DryRun:
		key += "/dry_run"
	case r.Confirm:
		key += "/confirm"
	}
	return key
}

// Kind is what a subject is.
type Kind string

// The kinds of subjects.
const (
	KindCustomer Kind = "customer" // the app's own customer id
	KindEmail    Kind = "email"    // payment.EmailHash
	KindPayer    Kind = "payer"    // the provider's id of a person
	KindCard     Kind = "card"     // a card's fingerprint
	KindPayment  Kind = "payment"  // a payment of nobody known
	KindAccount  Kind = "account"  // one of our accounts at a provider
	KindAlias    Kind = "alias"    // payment.EmailHash, where the rules know the customer by another name: which payments it concerns, and nothing else
)

// Ref names a subject within an app.
type Ref struct {
	Kind  Kind
	Value string
}

// Zero says that it names nobody.
func (r Ref) Zero() bool { return r.Value == "" }

// SubjectID is the id under which a subject is kept.
func SubjectID(app string, mode payment.Mode, r Ref) string {
	return payment.DeriveID("rsk", app, string(mode), string(r.Kind), r.Value)
}
