package payment

import "time"

// OpKind is what an operation tells a provider to do.
type OpKind string

// The operations. Only gateway.Operations executes them.
const (
	OpCreate    OpKind = "create_checkout" // open attempt N
	OpClose     OpKind = "close_checkout"  // make attempt N impossible to pay, or find that it was paid
	OpAuthorize OpKind = "authorize"       // authorize an approved attempt
	OpCapture   OpKind = "capture"         // capture an approved attempt, or an authorization
	OpVoid      OpKind = "void"            // release an authorization
	OpRefund    OpKind = "refund"
	// On a dispute.
	OpAcceptDispute  OpKind = "accept_dispute"  // give it up
	OpSaveEvidence   OpKind = "save_evidence"   // a draft, where the provider keeps drafts
	OpSubmitEvidence OpKind = "submit_evidence" // the answer, once
)

// OpState is how far an operation got.
type OpState string

// Operation states.
const (
	OpPending OpState = "pending" // written down, not certainly sent
	OpUnknown OpState = "unknown" // sent, the answer was lost: it may have happened
	OpDone    OpState = "done"    // it happened
	OpFailed  OpState = "failed"  // it certainly did not happen and will not be tried again
)

// Settled says that the outcome is known.
func (s OpState) Settled() bool { return s == OpDone || s == OpFailed }

// Operation is one thing a provider is told, written down before it is told.
type Operation struct {
	ID         string
	Kind       OpKind
	N          int    // attempt
	Target     string `json:",omitzero"` // provider object acted on: order, authorization, capture, charge, intent
	Amount     Money  `json:",omitzero"` // capture and refund
	Final      bool   `json:",omitzero"` // capture: release what is left
	Reason     string `json:",omitzero"` // refund reason; cancel | deadline | switch for a close or void
	Key        string // the provider's idempotency key, at most 38 characters
	Generation int    `json:",omitzero"`  // counts keys: a new one only after a certain refusal or two look-ups
	Run        int    `json:",omitzero"`  // counts how often the app ordered it again after a certain refusal
	Params     []byte `json:",omitempty"` // the whole provider request until it is settled, so that a repeat is byte-equal
	// Of operations on a dispute: the account it is at, its stage when ordered, and
	// the evidence, which is stored by itself and never changes.
	Account  string `json:",omitempty"`
	Stage    string `json:",omitempty"`
	Evidence string `json:",omitempty"`

	Fingerprint string `json:",omitzero"` // of the API request that ordered it, empty if it was due by itself
	By          Actor
	CreatedAt   time.Time

	State        OpState
	Tries        int       `json:",omitzero"`
	FirstTriedAt time.Time // of this generation: the key's age counts from here
	NextAt       time.Time // when the worker looks at it again
	TurnedAwayAt time.Time `json:",omitzero"` // when the run before this one was turned away
	TriedSince   time.Time `json:",omitzero"` // the first try of this run, under any key, or when it was last held back
	StuckAt      time.Time `json:",omitzero"` // when it was last told that this run is stuck
	LookUps      int       `json:",omitzero"` // look-ups that found nothing, in this generation
	LookedUpAt   time.Time `json:",omitzero"`
	MustLookUp   bool      `json:",omitzero"` // the provider stored a failure under this key, or the key died before any try that is known: sending it proves nothing
	Ambiguous    bool      `json:",omitzero"` // some try of this generation may have taken effect unseen
	Withdrawn    bool      `json:",omitzero"` // whoever ordered it took it back after it was sent: it is looked for, and not sent again
	LookFirst    bool      `json:",omitzero"` // it came late, or may have been done under another key, and no look since has been answered: it is not sent before one
	Barred       bool      `json:",omitzero"` // this try was stopped by a block or hold: it is looked for, and not sent
	LeaseOwner   string    `json:",omitzero"`
	LeaseUntil   time.Time `json:",omitzero"`
	Deaths       int       `json:",omitzero"` // how many workers in a row died of it, or never got an outcome written

	Ref     string    `json:",omitzero"` // the provider object it made
	Code    Code      `json:",omitzero"` // why it failed, for the caller
	Failure Failure   `json:",omitzero"`
	DoneAt  time.Time `json:",omitzero"`
	// Answered: a 2xx or 402 may have reached whoever ordered it, or an event said how it ended. It stays the answer to
	// its request.
	Answered bool `json:",omitzero"`
}

// Repeatable says that the request that ordered it may order it once more, corrected even: it certainly did nothing,
// and all that anybody was told is to try again.
func (o Operation) Repeatable() bool {
	return o.State == OpFailed && o.Code != CodeDeclined && !o.Answered
}

// Open says that nobody was told yet what became of it, or was only told to try again:
// its request may still order it anew, or is just being answered.
func (o Operation) Open() bool {
	return o.Ordered() && !o.Answered && (o.State == OpPending || o.State == OpUnknown || o.Repeatable())
}

// Ordered says that an app, an operator or a customer asked for it and waits
// for the answer. What certainly did not happen is then told to them and not
// tried again behind their back. What follows from an operator's decision (no
// request of its own) nobody waits for: it was promised and must be done.
func (o Operation) Ordered() bool {
	decided := o.By.Type == ActorOperator && o.Fingerprint == ""
	return o.By.Type != "worker" && o.By.Type != ActorRisk && o.By.Type != ActorPolicy && !decided
}

// Unseen says whether a try before the last one may have taken effect without our
// knowing: under this key, or under one that it replaced after look-ups.
func (o Operation) Unseen() bool { return o.Ambiguous || o.Generation > o.Run }

// run names this run of the operation in decisions.
func (o Operation) run() string { return o.ID + "#" + pad(o.Run) }

// ClockGap is the most by which our clock and a provider's are believed to differ.
const ClockGap = 10 * time.Minute

// LookUpGap is the least time between the two look-ups that must both find
// nothing before an operation whose key may be dead is tried with a new key.
const LookUpGap = 15 * time.Minute

// StuckAfter is how long an operation may be tried, by whatever means, before a
// human is told that it has no outcome: longer than most outages, short enough
// that a customer's money is looked for on the same day.
const StuckAfter = 2 * time.Hour

// stuckAgain is how often it is told again while nothing changes.
const stuckAgain = 24 * time.Hour

// Plan is how to go on with an operation.
type Plan string

// The plans.
const (
	PlanCall   Plan = "call"    // send it with its key
	PlanLookUp Plan = "look_up" // read by our own reference first
	PlanRenew  Plan = "renew"   // certainly absent: take a new key, then call
)

// Plan decides how to finish an operation. keyLife is how long the provider
// remembers this kind of key: within it the same call with the same key is
// safe; past it, or after a stored failure, only a look-up is. That holds for
// money that was never tried to move, too: the record may be a restored backup.
// The whole table is in docs/adr/0010-send-or-look.md.
func (o Operation) Plan(now time.Time, keyLife time.Duration) Plan {
	if o.Withdrawn || o.Barred {
		return PlanLookUp
	}
	if o.Tries == 0 && !o.MustLookUp && !o.overdue(now, keyLife) {
		return PlanCall
	}
	if !o.MustLookUp && now.Before(o.FirstTriedAt.Add(keyLife)) {
		return PlanCall
	}
	if o.LookUps >= 2 {
		return PlanRenew
	}
	return PlanLookUp
}

// LateAfter is how long after its time an operation counts as late: workers come within
// seconds.
const LateAfter = 5 * time.Minute

// Late says that money was to move some time ago and nobody was at it. Mostly nothing ran.
// But the record may be a restored backup, and what it lost may include that this try was
// turned away and the order done under another key since: then its own key, alive or not,
// keeps nobody from doing it twice.
func (o Operation) Late(now time.Time) bool {
	if !o.Moves() {
		return false
	}
	since := o.since()
	if o.LeaseUntil.After(since) {
		since = o.LeaseUntil
	}
	return !now.Before(since.Add(LateAfter))
}

// LooksFirst says that it is not to be sent before a look, if it is tried now.
func (o Operation) LooksFirst(now time.Time) bool { return o.LookFirst || o.Late(now) }

// Moves says whether it moves money or holds it.
func (o Operation) Moves() bool {
	return o.Kind == OpAuthorize || o.Kind == OpCapture || o.Kind == OpRefund
}

// since is when it was to be tried, or, of what was turned away and is ordered again,
// when that was: a backup may be from between the two.
func (o Operation) since() time.Time {
	if o.Tries == 0 && o.LookUps == 0 && !o.TurnedAwayAt.IsZero() {
		return o.TurnedAwayAt
	}
	if o.NextAt.After(o.CreatedAt) {
		return o.NextAt
	}
	return o.CreatedAt
}

// overdueAfter is the least time after which an operation that was never tried is overdue, however short its key lives.
const overdueAfter = time.Hour

// overdue says that money was to move so long ago that the key may be dead, and that no try is known. Either nobody
// worked since, or the record is a backup from before a try: the two look the same, and only a look-up tells.
func (o Operation) overdue(now time.Time, keyLife time.Duration) bool {
	return o.Moves() && !now.Before(o.since().Add(max(keyLife, overdueAfter)))
}

// Unmoved says that it has certainly done nothing: it was never sent, or every try was turned
// away, or was looked for twice since and not found, the last time just now. Older looks may be
// a backup's, and the order done since. What is leased may be under way, or is a try of our own
// that was written down.
func (o Operation) Unmoved(now time.Time) bool {
	switch {
	case o.Leased(now) || o.LooksFirst(now):
		return false
	case o.State == OpPending && !o.Unseen():
		return true
	}
	return o.LookUps >= 2 && now.Before(o.LookedUpAt.Add(LateAfter))
}

// Leased says whether somebody else may be executing it at this moment.
func (o Operation) Leased(now time.Time) bool {
	return o.LeaseOwner != "" && now.Before(o.LeaseUntil)
}

// Backoff is how long to wait before looking at an unsettled operation again,
// after the given number of tries.
func Backoff(tries int) time.Duration {
	steps := []time.Duration{
		2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 20 * time.Minute, 30 * time.Minute, time.Hour,
	}
	return steps[min(max(tries, 1), len(steps))-1]
}

// Layer names which of the feeds brought a change.
type Layer string

// The layers.
const (
	LayerReturn    Layer = "return"
	LayerWebhook   Layer = "webhook"
	LayerReconcile Layer = "reconcile"
	LayerAPI       Layer = "api"
)

// ActorOperator is the actor type of whoever holds an operator key.
const ActorOperator = "operator"

// ActorRisk is the actor type of what a rule against fraud decided; the id is the
// decision's.
const ActorRisk = "risk"

// ActorPolicy is the actor type of what an app's dispute policy decided; the id is the
// app.
const ActorPolicy = "policy"

// Actor is who caused a change.
type Actor struct {
	Type string // api_key | operator | customer | webhook | job | worker | risk | policy
	ID   string // key id, event id, run id ...
}

// Source is who, through which layer, and why.
type Source struct {
	Layer  Layer
	Actor  Actor
	Reason string `json:",omitzero"`
	// Request is the id of the HTTP request in which it happened; empty outside of one.
	Request string `json:",omitzero"`
}

// HistoryEntry says who changed what, when and why.
type HistoryEntry struct {
	At      time.Time
	Source  Source
	Before  Snapshot
	After   Snapshot
	Version int64
}

// Snapshot is the part of a payment that history compares.
type Snapshot struct {
	Status  Status
	Amounts Amounts
}

// Event is something an app is told. Its id never changes.
type Event struct {
	ID     string
	Type   string // payment.succeeded, refund.created ...
	At     time.Time
	Object string // id of the payment, refund or dispute it is about
	Body   []byte `json:",omitempty"` // the object as JSON at that moment, rendered by the caller of Apply
}

// Fed names events of one payment that stand in its app's feed.
type Fed struct {
	Payment string
	Events  []string
	// Read is the payment as it was read just before, so that it need not be read again;
	// nil: unknown. It may have changed since.
	Read *Payment
}

// Alert is something a human must hear. It travels inside the payment until it
// is stored as a record of its own, so it can't be lost between two writes.
type Alert struct {
	// Kind is one of conflicted_payment, late_money, outside_capture, over_refunded, money_reversed, refund_failed, operation_stuck,
	// fraud_warning, dispute_opened, dispute_won, dispute_lost.
	Kind        string
	Severity    string // critical | warning | info
	Fingerprint string // one incident, one fingerprint
	Message     string
	Dispute     string `json:",omitzero"`
	At          time.Time
}
