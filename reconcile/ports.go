// Package reconcile is the third feed: it asks the providers themselves, on a
// schedule, and brings what it finds to the one write path. With redirects and
// webhooks both lost it still finds every cent within a bounded time, or raises
// it to a human as an orphan.
//
// Its cost follows what changed: the due sync reads payments that are still open,
// the sweeps read windows of the providers' own lists. It must not decide a status
// (gateway/payment does), must not tell a provider to do something (gateway's
// Operations does), must not write a payment itself, and starts no goroutine: jobs
// are step functions, and only schedule.go knows a scheduler. The daily audit of
// totals, part four of the layer, is not built yet.
package reconcile

import (
	"context"
	"errors"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Errors of this room.
var (
	// ErrLost: another replica has the job now. Nothing more may be written for it.
	ErrLost = errors.New("reconcile: the lease of this job was lost")
	// ErrBusy: another replica is doing this job; ask again later.
	ErrBusy = errors.New("reconcile: this job is running elsewhere")
	// ErrUnknownJob: there is no such job, account, or window.
	ErrUnknownJob = errors.New("reconcile: no such job")
)

// Applier is the write path: it reads a payment at its provider, applies what it
// says, and runs what became due by that. gateway.Service implements it.
type Applier interface {
	// Refresh reads attempt n of a payment, or with n 0 every attempt that can
	// still change. The payment may come back together with the error of a read.
	Refresh(ctx context.Context, id string, n int, src payment.Source) (*payment.Payment, error)
	// Approved notes that the customer agreed to attempt n at a moment, in provider time.
	Approved(ctx context.Context, id string, n int, at time.Time, src payment.Source) error
	// RunDue runs the operations that are due.
	RunDue(ctx context.Context, id string, src payment.Source) (*payment.Payment, error)
	// Postpone moves a next sync that lies in the past to a later time; sooner
	// where the reading failed.
	Postpone(ctx context.Context, id string, failed bool) error
}

// Payments is what this room reads of the stored payments.
type Payments interface {
	// SyncDue lists ids of payments to be read again, soonest first.
	SyncDue(ctx context.Context, now time.Time, limit int) ([]string, error)
	// SyncFresh lists them the other way round: those that became due last first.
	SyncFresh(ctx context.Context, now time.Time, limit int) ([]string, error)
	// ByRef finds the payments that know one of at most 64 provider ids of the account.
	ByRef(ctx context.Context, account string, refs ...string) ([]*payment.Payment, error)
}

// Leases let one of several replicas do a job. The token grows with every
// acquisition.
type Leases interface {
	Acquire(ctx context.Context, name, owner string, ttl time.Duration, now time.Time) (token int64, ok bool, err error)
	Renew(ctx context.Context, name, owner string, token int64, ttl time.Duration, now time.Time) (ok bool, err error)
	Release(ctx context.Context, name, owner string, token int64) error
}

// Cursors remember how far a sweep got. A holder with a smaller token than the
// newest gets ErrLost.
type Cursors interface {
	// Look reads a cursor, empty if it was never set, and shuts out nobody.
	Look(ctx context.Context, name string) (value string, err error)
	// Take reads a cursor, empty if it was never set, and shuts out smaller tokens.
	Take(ctx context.Context, name string, token int64) (value string, err error)
	Set(ctx context.Context, name, value string, token int64, now time.Time) error
}

// Runs keep run records.
type Runs interface {
	// Insert stores a new run; the same id again is harmless.
	Insert(ctx context.Context, r Run) error
	// Save stores a run that was inserted.
	Save(ctx context.Context, r Run) error
	// Start turns one queued run into a running one; ok is false if somebody else did.
	Start(ctx context.Context, id string, now time.Time) (ok bool, err error)
	// InState lists runs in a state that started (or were asked for) at or before a time, oldest first.
	InState(ctx context.Context, state RunState, until time.Time, limit int) ([]Run, error)
	// Expire deletes up to limit runs that started before a time.
	Expire(ctx context.Context, before time.Time, limit int) (int, error)
}

// Discrepancies keep differences that a human must look at.
type Discrepancies interface {
	// Record stores one, or returns the one that has the id already.
	Record(ctx context.Context, d Discrepancy) (stored Discrepancy, created bool, err error)
}

// Disputes keeps disputes that no payment explains, with their money, up to date.
type Disputes interface {
	// OrphanDispute reads a dispute at its provider and keeps it; kept is false where
	// the provider shows none.
	OrphanDispute(ctx context.Context, account, id string, src payment.Source) (kept bool, err error)
}

// Orphans keep provider objects that belong to no payment, whichever layer found
// them.
type Orphans interface {
	// KnownOrphan finds one by the provider's id of any of its objects.
	KnownOrphan(ctx context.Context, account, ref string) (Orphan, bool, error)
	// AddOrphan stores one, or returns the one that has its object already.
	AddOrphan(ctx context.Context, o Orphan) (stored Orphan, created bool, err error)
}

// Orphan is money at a provider that no payment of ours explains.
type Orphan struct {
	Provider string
	Account  string
	Object   providers.Ref
	Refs     []string      // other ids under which the same money is listed
	Amount   payment.Money // signed as the provider lists it; zero where it names none
	Claimed  string        // the payment that it names without belonging to it, if any
	Run      string        // that found it
	SeenAt   time.Time     // first; our clock
}

// Alerter tells humans. The same alert at the same moment again is harmless.
type Alerter interface {
	Alert(ctx context.Context, a Alert) error
}

// Alert is one incident by its ID.
type Alert struct {
	ID       string
	Kind     string // orphan_money | foreign_money | provider_mismatch | sweep_failing | unreadable_item
	Severity string // critical | warning
	Account  string
	Mode     payment.Mode
	Payment  string // empty where none is known
	Message  string
	At       time.Time
}

// Job names what a run does.
type Job string

// The jobs.
const (
	JobDue     Job = "due"     // read the payments whose next sync has come
	JobSweep   Job = "sweep"   // walk the lists of an account
	JobJanitor Job = "janitor" // what no worker will ever pick up again, and old run records
	JobAll     Job = "all"     // all of them, every account
)

// RunState is how far a run got.
type RunState string

// Run states.
const (
	RunQueued    RunState = "queued"    // asked for by an operator
	RunRunning   RunState = "running"   // or its process died: see RunAbandoned
	RunDone      RunState = "done"      // what went wrong with single items is in Errors
	RunFailed    RunState = "failed"    // it could not go on; it will be repeated
	RunLost      RunState = "lost"      // another replica took over
	RunAbandoned RunState = "abandoned" // nobody ended it
)

// Run is the record of one run. Times are ours.
type Run struct {
	ID      string
	Job     Job
	Account string // empty: none, or all of them
	By      payment.Actor
	// From and To are the window an operator asked for; zero where the durable
	// cursor decides.
	From, To      time.Time
	Calls         int      // calls to providers: pages, payments read, traces
	Seen          int      // payments due, or rows listed
	Changed       int      // payments whose status or sums changed
	Discrepancies int      // differences from the provider that a re-read did not explain
	Orphans       int      // money that no payment of ours explains, seen in this run
	Errors        []string // the first of them; at most maxErrors
	ErrorCount    int
	StartedAt     time.Time
	EndedAt       time.Time // zero while it runs
	State         RunState
}

// Kinds of alert about an orphan.
const (
	KindOrphan  = "orphan_money"  // moved in our name, and no payment holds it
	KindForeign = "foreign_money" // moved in our account, and nothing says that it is ours
)

// Kinds of discrepancy.
const (
	KindMismatch   = "provider_mismatch" // a payment, read again, still differs from the provider's list
	KindUnreadable = "unreadable_item"   // could not be worked through for three days
)

// Discrepancy is one difference between a provider and us, kept until a human
// resolves it.
type Discrepancy struct {
	ID       string
	Kind     string
	Severity string
	Provider string
	Account  string
	Mode     payment.Mode
	Object   providers.Ref
	Amount   payment.Money // signed as the provider lists it; zero where it names none
	Payment  string        // the payment concerned: known, or only claimed by the object
	App      string        // of a known payment
	Evidence string        // in our words
	Run      string        // that found it
	Occurred time.Time     // provider time
	SeenAt   time.Time
	State    string // open | resolved
	Actor    payment.Actor
	Reason   string
	Closed   time.Time
	// Request is the request that resolved it, and Fingerprint its words; empty where
	// none did.
	Request     string `json:",omitempty"`
	Fingerprint string `json:",omitempty"`
}

// Step is one job as a function: it does what is due now, says how much that was
// and when to call again at the latest, and may be called at any time. What goes
// wrong at a provider is in the run record and the log; err is for what keeps the
// job itself from working, such as our own store.
type Step struct {
	Name  string
	Every time.Duration // how often a scheduler should call it
	// Always: also where the layer is switched off. What has been kept long enough is
	// dropped all the same, and a run that an operator was promised is done.
	Always bool
	Step   func(ctx context.Context) (did int, next time.Time, err error)
}
