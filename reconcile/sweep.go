package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// accountSweep walks the lists of one account.
type accountSweep struct {
	r       *Reconciler
	account *providers.Account
	gate    gate
}

// failingAfter is how long a list may stand still before a human hears of it, and
// staleAfter how far behind it may be although it is read: PayPal's transactions were
// seen 36 hours late.
const (
	failingAfter = time.Hour
	staleAfter   = 48 * time.Hour
)

// Step sweeps what is due of the account's lists.
func (s *accountSweep) Step(ctx context.Context) (did int, next time.Time, err error) {
	now := s.r.now()
	if next = s.gate.next(); now.Before(next) {
		return 0, next, nil
	}
	if at, idle := s.idle(ctx, now); idle {
		s.gate.set(at)
		return 0, at, nil
	}
	h, ok, err := s.r.acquire(ctx, JobSweep, s.account.Info().Account)
	if err != nil || !ok {
		next = now.Add(s.r.opts.SweepEvery / 5)
		s.gate.set(next)
		return 0, next, err
	}
	defer h.release(ctx)
	t := &sweep{r: s.r, account: s.account, hold: h}
	did, next, err = t.lists(ctx)
	s.gate.set(next)
	return did, next, err
}

// idle looks whether nothing is due, without the lease: of several replicas one
// sweeps, and the others find that by reading. It decides nothing that counts: whoever
// does sweep looks again under the lease. What can't be read, the visit says.
func (s *accountSweep) idle(ctx context.Context, now time.Time) (next time.Time, idle bool) {
	every := s.r.opts.SweepEvery
	next = now.Add(every)
	for _, list := range s.account.Lists() {
		value, err := s.r.opts.Cursors.Look(ctx, cursorName(s.account, list))
		if err != nil {
			return now, false
		}
		p, err := decodeProgress(value)
		if err != nil || !now.Before(p.dueAt(every)) {
			return now, false
		}
		if at := p.dueAt(every); at.Before(next) {
			next = at
		}
	}
	return next, true
}

// cursorName is where the progress of one list is kept.
func cursorName(account *providers.Account, list string) string {
	return "sweep/" + account.Info().Account + "/" + list
}

// sweep is one visit to an account's lists. The run record is opened when the
// first list turns out to be due.
type sweep struct {
	r       *Reconciler
	account *providers.Account
	hold    *hold
	w       *work
}

// lists visits each list that is due. A list that fails never stops the others.
func (t *sweep) lists(ctx context.Context) (did int, next time.Time, err error) {
	now := t.r.now()
	next = now.Add(t.r.opts.SweepEvery)
	var own, cause error
	var failed []error
	for _, list := range t.account.Lists() {
		due, listErr := t.list(ctx, list, false)
		if due.IsZero() {
			due = now.Add(min(time.Minute, t.r.opts.SweepEvery))
		}
		if listErr != nil {
			if fatal(ctx, listErr) {
				cause = listErr
				break
			}
			failed = append(failed, listErr)
			if ours(listErr) {
				own = errors.Join(own, listErr)
			}
		}
		if due.Before(next) {
			next = due
		}
	}
	if t.w == nil {
		return 0, next, errors.Join(own, withoutLost(cause))
	}
	for _, err := range failed { // also of lists that were visited before another one opened the run
		t.w.note(err)
	}
	return t.w.did(), next, errors.Join(own, withoutLost(cause), t.w.end(ctx, cause))
}

// withoutLost: that another replica took over is no failure.
func withoutLost(err error) error {
	if errors.Is(err, ErrLost) {
		return nil
	}
	return err
}

// list visits one list under its durable cursor, if it is due or forced, and says
// when it is due again. A list that lags too far behind is an error, also when it is not
// due: no run beside it is a good one.
func (t *sweep) list(ctx context.Context, list string, force bool) (due time.Time, err error) {
	name := cursorName(t.account, list)
	value, err := t.r.opts.Cursors.Take(ctx, name, t.hold.token)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: take the cursor: %w", list, err)
	}
	p, err := decodeProgress(value)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", list, err)
	}
	now := t.r.now()
	if !p.due(now, t.r.opts.SweepEvery) && !force {
		return p.dueAt(t.r.opts.SweepEvery), t.stale(ctx, list, p)
	}
	if t.w == nil {
		if t.w, err = t.r.begin(ctx, Run{Job: JobSweep, Account: t.account.Info().Account}); err != nil {
			return time.Time{}, err
		}
		t.w.hold = t.hold
	}
	save := func() error {
		value, err := p.encode()
		if err == nil {
			err = t.r.opts.Cursors.Set(ctx, name, value, t.hold.token, t.r.now())
		}
		if err != nil {
			return fmt.Errorf("%s: set the cursor: %w", list, err)
		}
		return nil
	}
	if p.Mark.IsZero() {
		// Where the first sweep begins is fixed before it is tried: should it fail for
		// days, it still begins there.
		p.Mark = now.Add(-t.r.opts.LookBack)
		if err := save(); err != nil {
			return time.Time{}, err
		}
	}
	if err := t.again(ctx, &p, save); err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", list, err)
	}
	if !p.walkDue(now, t.r.opts.SweepEvery) && !force {
		return p.dueAt(t.r.opts.SweepEvery), t.stale(ctx, list, p) // only rows to be tried again were due
	}
	if err := t.walk(ctx, list, &p, save); err != nil {
		return time.Time{}, errors.Join(fmt.Errorf("%s: %w", list, err), t.standing(ctx, list, p))
	}
	return p.dueAt(t.r.opts.SweepEvery), t.stale(ctx, list, p)
}

// stale alerts when a list can be read to its end, but its provider has called nothing of
// it complete for too long: the mark stands, and beyond one window nothing newer would be
// looked at any more.
func (t *sweep) stale(ctx context.Context, list string, p progress) error {
	now := t.r.now()
	if now.Sub(p.Mark) < staleAfter || now.Sub(p.SweptAt) >= t.r.opts.SweepEvery {
		return nil // or there is more to walk
	}
	info := t.account.Info()
	err := fmt.Errorf("%w: %s: nothing after %s is complete yet", errList, list, at(p.Mark))
	return errors.Join(err, t.r.opts.Alerts.Alert(ctx, Alert{
		ID:   payment.DeriveID("inc", "sweep_stale", info.Account, list, at(p.Mark)),
		Kind: "sweep_failing", Severity: "critical", Account: info.Account, Mode: info.Mode, At: p.Mark.Add(staleAfter),
		Message: fmt.Sprintf("The list %s of %s can be read, but its provider calls nothing after %s complete.", list, info.Account, at(p.Mark)),
	}))
}

// walk goes on with the open window, or opens one, for a bounded number of pages.
func (t *sweep) walk(ctx context.Context, list string, p *progress, save func() error) error {
	if p.Open == nil {
		p.open(t.r.overlap(t.account.Info().Provider, list), t.r.now())
	}
	for range t.r.opts.MaxPages {
		if err := t.hold.keep(ctx); err != nil {
			return err
		}
		w := *p.Open
		t.w.run.Calls++
		page, err := t.account.Sweep(ctx, list, w.From, w.To, w.Next)
		if err != nil {
			if c := providers.ClassOf(err); w.Next != "" && (c == providers.Refused || c == providers.NotFound) {
				p.Open = nil // the page cursor is worth nothing any more: walk the window anew
				err = errors.Join(err, save())
			}
			return err
		}
		if page.Next != "" && page.Next == w.Next {
			return fmt.Errorf("%w: the page %q follows itself", errList, page.Next)
		}
		failed, err := t.r.place(ctx, t.w, t.account, rows(page.Items, w.From, w.To), p.pending)
		if err != nil {
			return err
		}
		if len(p.Retry)+len(failed) > maxRetries {
			return fmt.Errorf("%w: %d rows fail, the mark stays at %s", errList, len(p.Retry)+len(failed), at(p.Mark))
		}
		p.Retry = append(p.Retry, failed...)
		now := t.r.now()
		p.turn(page, now)
		if err := save(); err != nil {
			return err
		}
		if p.Open != nil {
			continue
		}
		if p.single || now.Before(p.SweptAt.Add(t.r.opts.SweepEvery)) {
			return nil
		}
		p.open(t.r.overlap(t.account.Info().Provider, list), now) // after a long pause there is more to walk
	}
	return nil
}

// row is a list's row with when what it tells of happened at the latest.
type row struct {
	item  providers.SweepItem
	at    time.Time
	tries int // how often it was tried before
}

// rows: what a row tells of happened when its object was made or, where the provider
// says so, when it changed last: both may lie in one window. A row that is older than
// the window it is listed in was changed in it, nobody knows when.
func rows(items []providers.SweepItem, from, to time.Time) []row {
	out := make([]row, 0, len(items))
	for _, item := range items {
		at := item.Created
		if item.Changed.After(at) {
			at = item.Changed
		}
		if at.Before(from.Truncate(time.Second)) {
			at = to
		}
		out = append(out, row{item: item, at: at})
	}
	return out
}

// again tries the rows once more that failed earlier and whose time has come.
func (t *sweep) again(ctx context.Context, p *progress, save func() error) error {
	now := t.r.now()
	var due []retry
	var left []retry
	for _, r := range p.Retry {
		if now.Before(r.NextAt) {
			left = append(left, r)
		} else {
			due = append(due, r)
		}
	}
	if len(due) == 0 {
		return nil
	}
	for _, old := range due {
		failed, err := t.r.place(ctx, t.w, t.account, []row{{item: old.Item, at: old.At, tries: old.Tries}}, nil)
		if err != nil {
			return err
		}
		for _, f := range failed {
			f.First = old.First
			if now.Sub(f.First) < giveUpAfter {
				left = append(left, f)
				continue
			}
			if err := t.r.unreadable(ctx, t.w, t.account, old); err != nil {
				left = append(left, f) // could not be told to anybody: keep it
			}
		}
	}
	p.Retry = left
	return save()
}

// standing alerts when a list has not moved for too long.
func (t *sweep) standing(ctx context.Context, list string, p progress) error {
	since := p.SweptAt
	if since.IsZero() {
		since = p.Mark.Add(t.r.opts.LookBack)
	}
	now := t.r.now()
	if now.Sub(since) < failingAfter || ctx.Err() != nil {
		return nil //nolint:nilerr // stopping is no failure of the list
	}
	info := t.account.Info()
	return t.r.opts.Alerts.Alert(ctx, Alert{
		ID:   payment.DeriveID("inc", "sweep_failing", info.Account, list, since.UTC().Format(time.RFC3339)),
		Kind: "sweep_failing", Severity: "critical", Account: info.Account, Mode: info.Mode, At: since.Add(failingAfter),
		Message: fmt.Sprintf("The list %s of %s could not be swept since %s.", list, info.Account, since.UTC().Format(time.RFC3339)),
	})
}

// overlap is how far a window reaches into the one before.
func (r *Reconciler) overlap(provider, list string) time.Duration {
	if d, ok := r.opts.Overlaps[provider+"/"+list]; ok {
		return d
	}
	return r.opts.Overlap
}
