// Package inbox is layer two, provider to us: a receiver that verifies and
// stores webhooks before it answers, and a worker that reads what they hint at.
//
// An event is a hint, never truth: bodies are stale by nature, and PayPal's can
// be forged under a captured signature. All that an event does is name an object;
// the payment concerned is read at its provider and applied through Applier. The
// inbox must not tell a provider to do something (Operations does), decide a
// status, adopt an object because it claims to be ours, or answer 200 before the
// event is durable.
package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// ErrNotFound says that no event has this id.
var ErrNotFound = errors.New("inbox: no such event")

// ErrState says that the event's state does not allow this.
var ErrState = errors.New("inbox: not possible in the event's state")

// Store keeps events. Every error other than ErrNotFound means "not certainly
// written".
type Store interface {
	// Insert stores a new event with its raw body, or returns the one that has its
	// id already (created false). It returns only once both are durable. Only JSON
	// comes here (see ambiguous): a body that begins with a brace is an object.
	Insert(ctx context.Context, r Record, body []byte) (stored Record, created bool, err error)
	// Get reads one event; ErrNotFound.
	Get(ctx context.Context, id string) (Record, error)
	// Change updates one event by compare-and-swap. fn is pure and says whether
	// there is anything to write; changed is what it said of the stored version.
	Change(ctx context.Context, id string, w Write, fn func(Record) (Record, bool)) (r Record, changed bool, err error)
	// Due lists events whose DueAt has come, the longest due first. Those that can
	// be read come beside an error about those that can't.
	Due(ctx context.Context, now time.Time, limit int) ([]Record, error)
	// List reads events, newest received first, and a cursor, empty at the end. One that
	// can't be read is listed with ReasonUnreadable and what else is known of it.
	List(ctx context.Context, f Filter) ([]Record, string, error)
	// Body reads an event's raw body; nil where it was pruned.
	Body(ctx context.Context, id string) ([]byte, error)
	// PruneBodies deletes up to limit bodies (or parts of one) received before the
	// given time, and says how many; fewer than limit means that none is left.
	PruneBodies(ctx context.Context, before time.Time, limit int) (int, error)
}

// Applier is the one write path for provider truth, as far as the inbox uses it.
type Applier interface {
	// Refresh reads attempt n of a payment at its provider and applies it.
	Refresh(ctx context.Context, paymentID string, n int, src payment.Source) (*payment.Payment, error)
	// Approved notes that the customer agreed to attempt n at a moment, in provider time.
	Approved(ctx context.Context, paymentID string, n int, at time.Time, src payment.Source) error
	// RunDue runs what became due, such as the capture of an approved order.
	RunDue(ctx context.Context, paymentID string, src payment.Source) (*payment.Payment, error)
}

// Finder finds payments.
type Finder interface {
	// ByRef finds the payments that know one of these provider ids.
	ByRef(ctx context.Context, account string, refs ...string) ([]*payment.Payment, error)
	// Find reads a payment; ok is false where there is none.
	Find(ctx context.Context, id string) (p *payment.Payment, ok bool, err error)
}

// Alert is what a human must hear. ID is the incident: raising it again counts
// it up.
type Alert struct {
	ID       string
	Kind     string // webhook_parked | webhook_dead | orphan_money | foreign_money
	Severity string // critical | warning
	Message  string
	Account  string
	Mode     payment.Mode
	Payment  string
	At       time.Time
}

// Notify stores alerts durably.
type Notify interface {
	RaiseAlert(ctx context.Context, a Alert) error
}

// Orphan is an object at a provider that belongs to no payment of ours.
type Orphan struct {
	Provider string
	Account  string
	Object   providers.Ref
	Amount   payment.Money // zero where unknown
	Claimed  string        // the payment that the object claims to belong to, if any
	Event    string        // the provider's event id
	SeenAt   time.Time
}

// Orphans records them, each once.
type Orphans interface {
	RecordOrphan(ctx context.Context, o Orphan) error
}

// Disputes keeps disputes that no payment explains, with their money, up to date.
type Disputes interface {
	// OrphanDispute reads a dispute at its provider and keeps it; kept is false where
	// the provider shows none.
	OrphanDispute(ctx context.Context, account, id string, src payment.Source) (kept bool, err error)
}

// Metrics are hooks; nil ones are left out. Labels come from short fixed lists.
type Metrics struct {
	// Received counts requests by result: stored, already_stored, forged,
	// malformed, unverifiable, too_large, unsupported_media_type, not_found,
	// method_not_allowed, busy, off, store_unavailable.
	Received func(provider, result string)
	// Forged counts webhooks of an account whose signature is wrong.
	Forged func(account string)
	// Processed counts worked events by result (done, retried, learned, parked,
	// dead, lost) with their age since they were received.
	Processed func(provider, result string, age time.Duration)
	// Fetched counts payments read, with the number of events each served.
	Fetched func(provider string, events int)
}

// Options are what the inbox needs. All are required unless a default is named.
type Options struct {
	Accounts *providers.Registry
	Store    Store
	Applier  Applier
	Finder   Finder
	Notify   Notify
	Orphans  Orphans
	Disputes Disputes         // nil: a dispute of no payment is an orphan like any other object
	Clock    func() time.Time // ours
	Wall     func() time.Time // for signature times; default Clock
	Owner    string           // names this process run, never reused
	Logger   *slog.Logger
	Metrics  Metrics
	// Connected says whether a connected account (Stripe Connect) is one of ours;
	// nil: none is.
	Connected func(ctx context.Context, account, connected string) (bool, error)
	// APIVersions is the API version that a provider's events must be rendered in;
	// a provider that is not named is not judged.
	APIVersions map[string]string
	// IgnoreForeign names accounts that other systems use too: objects there that
	// claim no payment of ours are nobody's business.
	IgnoreForeign []string
	// Off answers 503 to everything and works on nothing.
	Off bool

	MaxBody  int64         // bytes; default 1 MiB
	Batch    int           // events in one Step, at most 500; default 100
	Parallel int           // payments worked on at a time; default 1, which starts no goroutine
	Lease    time.Duration // how long a worker holds an event; longer than all its provider calls; default 2 min
	MaxTries int           // then dead-letter; default 12
	Missing  time.Duration // how long an unknown object may stay unknown before it is an orphan; default 15 min
	Poll     time.Duration // how soon to look again when there is nothing to do; default 1 s
}

// Memory that bodies under way may take together. Larger ones have their own
// share, so that they can't starve the usual ones of a few kilobytes.
const (
	smallBody   = 64 << 10
	smallBudget = 16 << 20
	largeBudget = 32 << 20
)

// Inbox is both halves: an http.Handler and a worker's Step.
type Inbox struct {
	opts         Options
	log          *slog.Logger
	small, large *semaphore.Weighted
	claims       atomic.Int64
}

// New checks the options and makes an inbox.
func New(o Options) (*Inbox, error) {
	if o.Accounts == nil || o.Store == nil || o.Applier == nil || o.Finder == nil || o.Notify == nil || o.Orphans == nil ||
		o.Clock == nil || o.Owner == "" || o.Logger == nil {
		return nil, errors.New("inbox: an Options field is missing")
	}
	if o.Wall == nil {
		o.Wall = o.Clock
	}
	orDefault(&o.MaxBody, 1<<20)
	orDefault(&o.Batch, 100)
	orDefault(&o.Parallel, 1)
	orDefault(&o.Lease, 2*time.Minute)
	orDefault(&o.MaxTries, 12)
	orDefault(&o.Missing, 15*time.Minute)
	orDefault(&o.Poll, time.Second)
	if o.MaxBody > largeBudget/2 || o.Batch > 500 {
		return nil, fmt.Errorf("inbox: MaxBody %d or Batch %d is out of range", o.MaxBody, o.Batch)
	}
	if o.Metrics.Received == nil {
		o.Metrics.Received = func(string, string) {}
	}
	if o.Metrics.Forged == nil {
		o.Metrics.Forged = func(string) {}
	}
	if o.Metrics.Processed == nil {
		o.Metrics.Processed = func(string, string, time.Duration) {}
	}
	if o.Metrics.Fetched == nil {
		o.Metrics.Fetched = func(string, int) {}
	}
	if o.Connected == nil {
		o.Connected = func(context.Context, string, string) (bool, error) { return false, nil }
	}
	return &Inbox{opts: o, log: o.Logger, small: semaphore.NewWeighted(smallBudget), large: semaphore.NewWeighted(largeBudget)}, nil
}

func orDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// now is our clock at the precision every store keeps.
func (b *Inbox) now() time.Time { return b.opts.Clock().UTC().Truncate(time.Millisecond) }
