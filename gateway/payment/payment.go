package payment

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
)

// Mode keeps test and live apart.
type Mode string

// The modes.
const (
	ModeTest Mode = "test"
	ModeLive Mode = "live"
)

// Limits of one payment document.
const (
	MaxHistory  = 20 // entries kept in the document; older ones are spilled to pages
	MaxAttempts = 50 // checkouts one payment may open in its life
)

// Customer is who pays, as the app names them.
type Customer struct {
	ID    string `json:",omitzero"` // a stored customer
	Ref   string `json:",omitzero"` // the app's own customer id
	Email string `json:",omitzero"`
	Name  string `json:",omitzero"`
	// Trusted says that the app knows this customer well: what looks like fraud is
	// told to people, and nothing is done by itself.
	Trusted bool `json:",omitempty"`
}

// LineItem is one line of the order. UnitAmount is in minor units.
type LineItem struct {
	Name       string
	Quantity   int64
	UnitAmount int64
	SKU        string `json:",omitzero"`
}

// Request is what the app asked for, beside the Terms.
type Request struct {
	Provider            string `json:",omitzero"` // empty: the customer chooses
	Account             string `json:",omitzero"`
	ReturnURL           string
	CancelURL           string
	Reference           string            `json:",omitzero"`
	Description         string            `json:",omitzero"`
	Locale              string            `json:",omitzero"`
	Metadata            map[string]string `json:",omitempty"`
	StatementDescriptor string            `json:",omitzero"`
	Customer            Customer          `json:",omitzero"`
	LineItems           []LineItem        `json:",omitempty"`
	AllowPromotionCodes bool              `json:",omitzero"`
	AutomaticTax        bool              `json:",omitzero"`
	Shipping            bool              `json:",omitzero"`
	ExpiresIn           time.Duration
}

// Payment is one payment: what was asked, everything known about it, what was
// told to providers, and what is still to be told to others. It is stored as
// one document and changed only by compare-and-swap on Version.
type Payment struct {
	ID          string
	App         string
	Mode        Mode
	Version     int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
	ExpiresAt   time.Time // when the customer may no longer pay
	Request     Request
	Fingerprint string // of the creating request's values
	Answered    bool   `json:",omitzero"` // a 2xx or 402 may have reached the app: the request can't change any more
	Token       string // the customer's unguessable token
	Facts       Facts
	Operations  []Operation    `json:",omitempty"`
	Outbox      []Event        `json:",omitempty"`
	EventSeq    int64          `json:",omitzero"`
	Alerts      []Alert        `json:",omitempty"`
	Signals     []Signal       `json:",omitempty"`
	SignalAt    time.Time      `json:",omitzero"`  // when the signals are to be handled next; zero: none
	Cases       []CaseEntry    `json:",omitempty"` // dispute history that is not in the disputes' own records yet
	History     []HistoryEntry `json:",omitempty"`
	SettledBy   Layer          `json:",omitzero"`
	NextSyncAt  time.Time      // zero: settled for good
}

// New is a payment as it was asked for, with nothing told to any provider yet.
// It is not stored: its Version is 0.
func New(id, app string, mode Mode, terms Terms, req Request, token string, now time.Time) *Payment {
	return &Payment{
		ID: id, App: app, Mode: mode, CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(req.ExpiresIn),
		Request: req, Token: token, Facts: Facts{Terms: terms},
	}
}

// Status is the payment's status, read off its facts. While money was told to be taken
// and nobody knows what became of it, it is being processed, whatever a reading says of
// the checkout in the meantime: a customer who was asked to pay again could pay twice.
func (p *Payment) Status() Status {
	c := p.Facts.Conditions()
	c.Processing = c.Processing || p.taking()
	return c.Status()
}

// taking says whether a capture or authorization of ours was sent and has no outcome.
func (p *Payment) taking() bool {
	return slices.ContainsFunc(p.Operations, func(op Operation) bool {
		takes := op.Kind == OpCapture || op.Kind == OpAuthorize
		return takes && !op.State.Settled() && (op.State == OpUnknown || op.Unseen())
	})
}

// Amounts are the payment's sums.
func (p *Payment) Amounts() Amounts { return p.Facts.Amounts(p.Operations) }

// Snapshot is the status and sums at this moment.
func (p *Payment) Snapshot() Snapshot { return Snapshot{Status: p.Status(), Amounts: p.Amounts()} }

// Clone is a deep copy: changing it never changes p.
func (p *Payment) Clone() *Payment {
	c := *p
	c.Facts = p.Facts.clone()
	c.Request.Metadata = maps.Clone(p.Request.Metadata)
	c.Request.LineItems = slices.Clone(p.Request.LineItems)
	c.Operations = slices.Clone(p.Operations)
	for i := range c.Operations {
		c.Operations[i].Params = slices.Clone(c.Operations[i].Params)
	}
	c.Outbox = slices.Clone(p.Outbox)
	for i := range c.Outbox {
		c.Outbox[i].Body = slices.Clone(c.Outbox[i].Body)
	}
	c.Alerts = slices.Clone(p.Alerts)
	c.Signals = slices.Clone(p.Signals)
	c.Cases = slices.Clone(p.Cases)
	c.History = slices.Clone(p.History) // entries are never changed
	return &c
}

// Operation finds an operation by id; nil if there is none. The pointer is into
// the payment.
func (p *Payment) Operation(id string) *Operation {
	for i := range p.Operations {
		if p.Operations[i].ID == id {
			return &p.Operations[i]
		}
	}
	return nil
}

// Unfinished is the first unsettled operation of attempt n (0: of any), nil if none.
func (p *Payment) Unfinished(n int, kinds ...OpKind) *Operation {
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.State.Settled() || (n != 0 && op.N != n) {
			continue
		}
		if len(kinds) == 0 || slices.Contains(kinds, op.Kind) {
			return op
		}
	}
	return nil
}

// Equal says whether two payments would be stored as the same document. The stored
// form decides (where an empty set equals a missing one); it is made only where
// neither a glance nor a comparison in memory has the answer.
func (p *Payment) Equal(o *Payment) bool {
	if p.plainlyDiffers(o) {
		return false
	}
	if reflect.DeepEqual(p, o) {
		return true
	}
	a, errA := json.Marshal(p)
	b, errB := json.Marshal(o)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// plainlyDiffers sees what most changes change. False says nothing.
func (p *Payment) plainlyDiffers(o *Payment) bool {
	f, g := p.Facts, o.Facts
	if p.Answered != o.Answered || p.EventSeq != o.EventSeq || p.SettledBy != o.SettledBy || !p.NextSyncAt.Equal(o.NextSyncAt) ||
		len(p.Operations) != len(o.Operations) || len(p.Outbox) != len(o.Outbox) || len(p.Alerts) != len(o.Alerts) ||
		len(p.History) != len(o.History) || len(f.Opened) != len(g.Opened) || len(f.Decisions) != len(g.Decisions) ||
		len(f.Attempts) != len(g.Attempts) || len(f.Captures) != len(g.Captures) || len(f.Refunds) != len(g.Refunds) || len(f.Fees) != len(g.Fees) {
		return true
	}
	for i, op := range p.Operations {
		if q := o.Operations[i]; op.State != q.State || op.Tries != q.Tries || op.LeaseOwner != q.LeaseOwner {
			return true
		}
	}
	return false
}

// Change runs fn on a copy of the payment and returns the copy with everything
// that follows from the change: what is due next, events, alerts and a history
// entry. It returns p itself where fn changed nothing, unless p was never written
// down: then its creation is the change. An error from fn changes nothing.
func (p *Payment) Change(src Source, now time.Time, fn func(*Payment) error) (*Payment, error) {
	before := p.Snapshot()
	next := p.Clone()
	if err := fn(next); err != nil {
		return nil, err
	}
	next.settleDeadline(now)
	next.addDue(now)
	next.scrub()
	if next.Equal(p) && !p.fresh() {
		return p, nil
	}
	after := next.Snapshot()
	next.UpdatedAt = now
	next.tell(p, before, after, now)
	next.alert(p, before, after, now)
	next.signal(p, now)
	next.noteCases(p, src, now)
	if before.Status != after.Status && settledStatus(after.Status) {
		next.SettledBy = src.Layer
	}
	switch noted := len(next.History) - len(p.History); {
	case noted > 0: // a note made in this very write tells what else the write changed
		next.History[len(next.History)-1].After = after
	case before.Status != after.Status || !sameAmounts(before.Amounts, after.Amounts) || len(p.History) == 0, next.erasedMore(p):
		next.History = append(next.History, HistoryEntry{At: now, Source: src, Before: before, After: after, Version: p.Version + 1})
	}
	return next, nil
}

// fresh says that nobody has written this payment down yet: its creation is the
// change.
func (p *Payment) fresh() bool { return p.Version == 0 && len(p.History) == 0 }

// Apply merges what a provider reported.
func (p *Payment) Apply(obs Observation, src Source, now time.Time) (*Payment, error) {
	return p.Change(src, now, func(c *Payment) error {
		c.Facts = c.Facts.Observe(obs)
		return nil
	})
}

func sameAmounts(a, b Amounts) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func settledStatus(s Status) bool {
	switch s {
	case StatusProcessing, StatusRequiresAction:
		return false
	case StatusConflicted, StatusSucceeded, StatusAuthorized, StatusCanceled, StatusExpired, StatusFailed:
		return true
	}
	return false
}

// decide adds a local fact. The id makes a repetition harmless.
func (p *Payment) decide(d Decision) {
	p.Facts = p.Facts.Merge(Facts{Decisions: []Decision{d}})
}

// unanswered says that every creation of this payment certainly failed and that its
// app was told to repeat the request.
func (p *Payment) unanswered() bool {
	if p.Answered || len(p.Facts.Opened) == 0 || len(p.Facts.Attempts) > 0 {
		return false
	}
	return !slices.ContainsFunc(p.Facts.Opened, func(a Attempt) bool { return !p.Facts.Refused(a.N) })
}

// deadline is when a payment ends that nobody can pay. A repeated creation counts
// its time to pay anew, so while one may come, the time of the first means nothing.
func (p *Payment) deadline() time.Time {
	if latest, ok := p.Facts.Latest(); ok && p.unanswered() {
		if until := latest.CreatedAt.Add(replayable); until.After(p.ExpiresAt) {
			return until
		}
	}
	return p.ExpiresAt
}

// settleDeadline closes a payment whose time is up and that nobody can pay.
func (p *Payment) settleDeadline(now time.Time) {
	if now.Before(p.deadline()) || p.Facts.decided(DecisionDeadline, 0) {
		return
	}
	c := p.Facts.Conditions()
	if c.Conflict || c.Paid || c.Authorized || c.Processing || c.Open || c.Canceled || c.Failed || p.Unfinished(0) != nil {
		return
	}
	p.decide(Decision{ID: "deadline", Kind: DecisionDeadline, By: Actor{Type: "worker"}, Reason: "expires_in went by", At: now})
}

// tell adds the events that follow from the difference between before and after.
func (p *Payment) tell(old *Payment, before, after Snapshot, now time.Time) {
	changed := before.Status != after.Status
	if old.fresh() {
		changed = after.Status != StatusProcessing // being created: its answer is told, not the waiting for it
	}
	if after.Status == StatusExpired && p.unanswered() {
		changed = false // its app was never given it, so there is no end to tell
	}
	if changed {
		p.emit("payment."+string(after.Status), p.ID, now)
	}
	if after.Amounts.Captured > before.Amounts.Captured {
		p.emit("payment.captured", p.ID, now)
	}
	p.tellRefunds(old, now)
	p.tellDisputes(old, now)
}

func (p *Payment) tellRefunds(old *Payment, now time.Time) {
	was := old.refundStates()
	for _, r := range p.heard() {
		if was[r.ID] == nil {
			p.emit("refund.created", r.ID, now)
		}
		if was[r.ID][r.State] {
			continue
		}
		switch r.State {
		case RefundSucceeded, RefundFailed, RefundCanceled:
			p.emit("refund."+string(r.State), r.ID, now)
		case RefundPending, RefundRequiresAction:
		}
	}
}

// heard are the refunds that may be told of. Whoever asks for one and is turned away
// hears so in the answer, and that the same request may be made again, with the same key
// and to the same end: an event or an alert that it failed would make somebody give the
// money back another way beside it. So nothing is told until its answer stands.
func (p *Payment) heard() []RefundView {
	return slices.DeleteFunc(p.Refunds(), func(r RefundView) bool {
		op := p.Operation(r.ID)
		return op != nil && op.Open() && !slices.ContainsFunc(p.Facts.Refunds, func(f Refund) bool { return refundOperation(f, p.Operations) == r.ID })
	})
}

// refundStates are the states in which each refund's id stands. It may stand in
// several: two objects at a provider can carry the id of one of our refunds, and
// what each of them is must be no news the second time.
func (p *Payment) refundStates() map[string]map[RefundState]bool {
	out := map[string]map[RefundState]bool{}
	for _, r := range p.heard() {
		if out[r.ID] == nil {
			out[r.ID] = map[RefundState]bool{}
		}
		out[r.ID][r.State] = true
	}
	return out
}

func (p *Payment) emit(kind, object string, now time.Time) {
	p.EventSeq++
	p.Outbox = append(p.Outbox, Event{
		// Its kind and object are in the id, too: in a restored backup the same number may come to another event, which whoever
		// has heard the first must not take for known.
		ID:   DeriveID("evt", p.ID, fmt.Sprint(p.EventSeq), kind, object),
		Type: kind, At: now, Object: object,
	})
}

// alert adds what a human must hear.
func (p *Payment) alert(old *Payment, before, after Snapshot, now time.Time) {
	if conflicts := p.Facts.Conflicts(); len(conflicts) > 0 && !slices.Equal(conflicts, old.Facts.Conflicts()) {
		p.raise(Alert{Kind: "conflicted_payment", Severity: "critical", Message: "Payment held: " + conflicts[0] + ".", At: now}, conflicts...)
	}
	dead := before.Status == StatusCanceled || before.Status == StatusExpired || before.Status == StatusFailed
	if dead && (after.Status == StatusSucceeded || after.Status == StatusAuthorized || after.Status == StatusProcessing) {
		p.raise(Alert{
			Kind: "late_money", Severity: "critical", At: now,
			Message: fmt.Sprintf("Money moved on a payment that was %s.", before.Status),
		}, string(after.Status))
	}
	p.alertCaptures(old, now)
	p.alertRefunds(old, now)
	p.alertDisputes(old, now)
}

// alertCaptures tells of money taken, or given back, in a way nobody here asked for.
func (p *Payment) alertCaptures(old *Payment, now time.Time) {
	known := map[ObjectKey]bool{}
	for _, c := range old.Facts.Captures {
		known[c.Key] = c.State == CaptureCompleted
	}
	for _, c := range p.Facts.Captures {
		if c.State == CaptureCompleted && !known[c.Key] && p.Facts.Abandoned(c.N) {
			p.raise(Alert{Kind: "late_money", Severity: "critical", Message: "Money was captured on an abandoned attempt.", At: now}, c.Key.ID)
		}
	}
	over := old.Facts.overRefunded()
	for _, id := range p.Facts.overRefunded() {
		if !slices.Contains(over, id) {
			p.raise(Alert{Kind: "over_refunded", Severity: "critical", Message: "More was given back of a capture than it took.", At: now}, id)
		}
	}
	p.alertReversals(old, now)
	before := old.Facts.outsideCaptures()
	for _, id := range p.Facts.outsideCaptures() {
		if !slices.Contains(before, id) {
			p.raise(Alert{Kind: "outside_capture", Severity: "warning", Message: "An authorization was captured outside this API.", At: now}, id)
		}
	}
}

// alertReversals tells of money that a provider took back by itself, such as a returned
// bank payment: no dispute and no refund tells of it, and the payment stays succeeded.
func (p *Payment) alertReversals(old *Payment, now time.Time) {
	known := map[ObjectKey]bool{}
	for _, r := range old.Facts.unexplained() {
		known[r.Key] = r.Amount.Minor > 0
	}
	for _, r := range p.Facts.unexplained() {
		if r.Amount.Minor > 0 && !known[r.Key] {
			p.raise(Alert{
				Kind: "money_reversed", Severity: "critical", At: now,
				Message: fmt.Sprintf("The provider took %s of a paid payment back by itself (capture %s).", r.Amount, r.Capture),
			}, r.Key.ID)
		}
	}
}

// raise queues an alert once per incident.
func (p *Payment) raise(a Alert, parts ...string) {
	a.Fingerprint = DeriveID("inc", append([]string{p.ID, a.Kind}, parts...)...)
	for _, have := range p.Alerts {
		if have.Fingerprint == a.Fingerprint {
			return
		}
	}
	p.Alerts = append(p.Alerts, a)
}
