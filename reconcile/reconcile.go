package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Options are what reconciling needs. All are required unless a default is named.
type Options struct {
	Payments      Payments
	Applier       Applier
	Accounts      []*providers.Account
	Leases        Leases
	Cursors       Cursors
	Runs          Runs
	Discrepancies Discrepancies
	Orphans       Orphans
	Alerts        Alerter
	Clock         func() time.Time
	NewID         func() string // unique in the world, at most 60 characters
	Logger        *slog.Logger

	// Janitors are further cleanings, called once a minute; each says how much it
	// cleaned. Default: none.
	Janitors []func(context.Context) (int, error)
	// Pace waits for a place in the background share of an account's rate budget
	// before a payment is read; the account is empty where it is not known yet.
	// Default: no waiting. (Pages of lists have their own share in the guard.)
	Pace func(ctx context.Context, account string) error
	// IgnoreForeign names accounts that others use too: money there that nothing
	// connects with us is left alone. Default: none, every such cent is reported.
	IgnoreForeign []string
	// Disputes keeps disputes that no payment explains. Default: they are orphans like
	// any other money.
	Disputes Disputes
	// LookBack is how far the very first sweep of a list looks back. Default 24 h.
	LookBack time.Duration
	// SweepEvery is the time from one sweep of a list to the next; up to a quarter less
	// where another list of the account is due. Default 5 min.
	SweepEvery time.Duration
	// Overlap is how far back each window reaches into the one before, default
	// 10 min. Overlaps overrides it by "provider/list"; default 4 h for PayPal's
	// transactions, which appear up to 3 h late and out of order.
	Overlap  time.Duration
	Overlaps map[string]time.Duration
	// Lease is how long a replica keeps a job without renewing; it must exceed the
	// longest provider call. Default 2 min.
	Lease time.Duration
	// Batch bounds the payments of one due sync, MaxPages the pages of one sweep.
	// Defaults 20 and 50.
	Batch    int
	MaxPages int
	// KeepRuns is how long run records are kept. Default 30 days.
	KeepRuns time.Duration
}

// maxWindow is the longest window asked of a list at once; more is walked piece
// by piece. PayPal allows 31 days.
const maxWindow = 7 * 24 * time.Hour

func (o *Options) defaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.LookBack, 24*time.Hour)
	def(&o.SweepEvery, 5*time.Minute)
	def(&o.Overlap, 10*time.Minute)
	def(&o.Lease, 2*time.Minute)
	def(&o.KeepRuns, 30*24*time.Hour)
	if o.Overlaps == nil {
		o.Overlaps = map[string]time.Duration{"paypal/transactions": 4 * time.Hour}
	}
	if o.Batch == 0 {
		o.Batch = 20
	}
	if o.MaxPages == 0 {
		o.MaxPages = 50
	}
	if o.Pace == nil {
		o.Pace = func(context.Context, string) error { return nil }
	}
}

// Reconciler holds the jobs. It is safe for concurrent use.
type Reconciler struct {
	opts Options
	due  *DueSync
}

// New makes the jobs.
func New(opts Options) (*Reconciler, error) {
	if opts.Payments == nil || opts.Applier == nil || opts.Leases == nil || opts.Cursors == nil || opts.Runs == nil ||
		opts.Discrepancies == nil || opts.Orphans == nil || opts.Alerts == nil || opts.Clock == nil || opts.NewID == nil || opts.Logger == nil {
		return nil, errors.New("reconcile: an Options field is missing")
	}
	opts.defaults()
	r := &Reconciler{opts: opts}
	r.due = &DueSync{r: r, stuck: map[string]time.Time{}}
	return r, nil
}

// Steps are the jobs by name, for whoever calls them: a scheduler, a simulator, a
// test. Each is gated by the clock and shared by leases, so calling one too often,
// or in several processes, is harmless.
func (r *Reconciler) Steps() []Step {
	steps := []Step{{Name: "reconcile/due", Every: 5 * time.Second, Step: r.due.Step}}
	for _, a := range r.opts.Accounts {
		if len(a.Lists()) == 0 {
			continue
		}
		s := &accountSweep{r: r, account: a}
		// Called more often than it sweeps: a window longer than one step goes on
		// sooner, and rows to be tried again don't wait for the next sweep.
		steps = append(steps, Step{Name: "reconcile/sweep/" + a.Info().Account, Every: r.opts.SweepEvery / 5, Step: s.Step})
	}
	j := &janitor{r: r}
	return append(steps,
		Step{Name: "reconcile/janitor", Every: time.Minute, Always: true, Step: j.Step},
		Step{Name: "reconcile/requested", Every: 5 * time.Second, Always: true, Step: r.stepRequested})
}

// now is our clock at the precision every store keeps.
func (r *Reconciler) now() time.Time { return r.opts.Clock().UTC().Truncate(time.Millisecond) }

// account finds a configured account by name.
func (r *Reconciler) account(name string) (*providers.Account, bool) {
	i := slices.IndexFunc(r.opts.Accounts, func(a *providers.Account) bool { return a.Info().Account == name })
	if i < 0 {
		return nil, false
	}
	return r.opts.Accounts[i], true
}

// gate says when a job is next due in this process.
type gate struct {
	mu sync.Mutex
	at time.Time
}

func (g *gate) next() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.at
}

func (g *gate) set(at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = at
}

// hold is a held lease.
type hold struct {
	r           *Reconciler
	name, owner string
	token       int64
	until       time.Time
}

// acquire takes the lease of a job, or says that somebody else has it.
func (r *Reconciler) acquire(ctx context.Context, job Job, account string) (*hold, bool, error) {
	h := &hold{r: r, name: "reconcile/" + string(job) + "/" + account, owner: r.opts.NewID()}
	now := r.now()
	token, ok, err := r.opts.Leases.Acquire(ctx, h.name, h.owner, r.opts.Lease, now)
	if err != nil || !ok {
		return nil, false, err
	}
	h.token, h.until = token, now.Add(r.opts.Lease)
	return h, true, nil
}

// keep makes sure that the lease is still ours for a while. ErrLost: stop.
func (h *hold) keep(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := h.r.now()
	if now.Add(h.r.opts.Lease / 2).Before(h.until) {
		return nil
	}
	ok, err := h.r.opts.Leases.Renew(ctx, h.name, h.owner, h.token, h.r.opts.Lease, now)
	if err != nil {
		return err
	}
	if !ok {
		return ErrLost
	}
	h.until = now.Add(h.r.opts.Lease)
	return nil
}

// release gives the job back, also after a shutdown; should that fail, the lease
// ends by itself.
func (h *hold) release(ctx context.Context) {
	if err := h.r.opts.Leases.Release(context.WithoutCancel(ctx), h.name, h.owner, h.token); err != nil {
		h.r.opts.Logger.InfoContext(ctx, "lease not released, it will end by itself", "lease", h.name, "error", err)
	}
}

// safely turns a panic into an error: what a stranger wrote into one object must
// not stop the work on the others.
func safely(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %s\n%s", payment.PanicText(v), debug.Stack())
		}
	}()
	return fn()
}

// fatal says whether an error ends the job, as opposed to one item: the lease is
// gone, or the process is being stopped.
func fatal(ctx context.Context, err error) bool {
	return errors.Is(err, ErrLost) || ctx.Err() != nil
}

// changedBy says whether a payment's history names this actor last.
func changedBy(p *payment.Payment, actor payment.Actor) bool {
	return p != nil && len(p.History) > 0 && p.History[len(p.History)-1].Source.Actor == actor
}
