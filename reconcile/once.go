package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// RunOnce does a job now, whether it is due or not, and returns its record. account
// empty means every account. With from and to, a sweep walks just that window and
// leaves the durable cursors alone; rows that fail are then named in the record.
// ErrBusy: another replica is doing it. ErrUnknownJob: no such job or account, or
// the window is not one.
func (r *Reconciler) RunOnce(ctx context.Context, job Job, account string, from, to time.Time, by payment.Actor) (Run, error) {
	run := Run{Job: job, Account: account, From: from, To: to, By: by}
	if err := r.check(run); err != nil {
		return Run{}, err
	}
	w, err := r.begin(ctx, run)
	if err != nil {
		return Run{}, err
	}
	return r.execute(ctx, w, false)
}

// Request writes down that an operator wants a run, and returns its record at
// once; a worker does it. id names the order, empty for a fresh one; ordering the
// same id again is harmless. ErrUnknownJob as for RunOnce.
func (r *Reconciler) Request(ctx context.Context, id string, job Job, account string, from, to time.Time, by payment.Actor) (Run, error) {
	if id == "" {
		id = "run_" + r.opts.NewID()
	}
	run := Run{ID: id, Job: job, Account: account, From: from, To: to, By: by, StartedAt: r.now(), State: RunQueued}
	if err := r.check(run); err != nil {
		return Run{}, err
	}
	if err := r.opts.Runs.Insert(ctx, run); err != nil {
		return Run{}, fmt.Errorf("reconcile: ask for a run: %w", err)
	}
	return run, nil
}

// check refuses what can't be run.
func (r *Reconciler) check(run Run) error {
	switch run.Job {
	case JobDue, JobSweep, JobJanitor, JobAll:
	default:
		return fmt.Errorf("%w: %q; there are due, sweep, janitor and all", ErrUnknownJob, run.Job)
	}
	if _, ok := r.account(run.Account); run.Account != "" && !ok {
		return fmt.Errorf("%w: no account %q", ErrUnknownJob, run.Account)
	}
	window := !run.From.IsZero() || !run.To.IsZero()
	if window && (run.Job != JobSweep || !run.From.Before(run.To) || run.From.IsZero()) {
		return fmt.Errorf("%w: a window is for sweeps, and goes from an earlier to a later time", ErrUnknownJob)
	}
	return nil
}

// stepRequested does the oldest run that an operator asked for.
func (r *Reconciler) stepRequested(ctx context.Context) (did int, next time.Time, err error) {
	now := r.now()
	next = now.Add(5 * time.Second)
	queued, err := r.opts.Runs.InState(ctx, RunQueued, now, 1)
	if err != nil || len(queued) == 0 {
		return 0, next, err
	}
	ok, err := r.opts.Runs.Start(ctx, queued[0].ID, now)
	if err != nil || !ok {
		return 0, next, err
	}
	run := queued[0]
	run.State, run.StartedAt = RunRunning, now
	_, err = r.execute(ctx, r.work(run), true)
	if errors.Is(err, ErrBusy) {
		return 0, next, nil // queued again
	}
	return 1, next, err
}

// execute does the parts of a run one after the other and closes its record. A part
// that fails never stops the others. requeue puts a run back that another replica
// kept from doing anything, or that this process can't finish because it is being
// stopped: it was promised, so another one begins it anew.
func (r *Reconciler) execute(ctx context.Context, w *work, requeue bool) (Run, error) {
	var problems []error
	job := w.run.Job
	if job == JobDue || job == JobAll {
		problems = append(problems, r.held(ctx, w, JobDue, "", func() error { return r.due.once(ctx, w) }))
	}
	if job == JobSweep || job == JobAll {
		for _, a := range r.opts.Accounts {
			if w.run.Account == "" || w.run.Account == a.Info().Account {
				problems = append(problems, r.held(ctx, w, JobSweep, a.Info().Account, func() error { return r.sweepOnce(ctx, w, a) }))
			}
		}
	}
	if job == JobJanitor || job == JobAll {
		problems = append(problems, r.held(ctx, w, JobJanitor, "", func() error { return r.clean(ctx, w) }))
	}
	cause := errors.Join(problems...)
	if busy := errors.Is(cause, ErrBusy) && w.run.Seen == 0 && w.run.Calls == 0; requeue && (busy || cause != nil && ctx.Err() != nil) {
		again := Run{ID: w.run.ID, Job: w.run.Job, Account: w.run.Account, By: w.run.By, From: w.run.From, To: w.run.To}
		again.State, again.StartedAt = RunQueued, r.now()
		return again, errors.Join(cause, r.opts.Runs.Save(context.WithoutCancel(ctx), again))
	}
	if err := w.end(ctx, cause); err != nil {
		return w.run, errors.Join(cause, err)
	}
	return w.run, cause
}

// held does one part of a run under the lease of its job.
func (r *Reconciler) held(ctx context.Context, w *work, job Job, account string, fn func() error) error {
	h, ok, err := r.acquire(ctx, job, account)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: %s %s", ErrBusy, job, account)
	}
	defer h.release(ctx)
	w.hold = h
	return fn()
}

// maxRounds bounds how many batches a due sync that was asked for works through.
const maxRounds = 500

// once reads everything that is due.
func (d *DueSync) once(ctx context.Context, w *work) error {
	for range maxRounds {
		ids, err := d.ids(ctx, d.r.now())
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := d.sync(ctx, w, ids); err != nil {
			return err
		}
	}
	return nil
}

// sweepOnce walks every list of an account: the window that was asked for, or what
// its durable cursor says, due or not.
func (r *Reconciler) sweepOnce(ctx context.Context, w *work, a *providers.Account) error {
	t := &sweep{r: r, account: a, hold: w.hold, w: w}
	var problems []error
	for _, list := range a.Lists() {
		var err error
		if w.run.From.IsZero() {
			_, err = t.list(ctx, list, true)
		} else {
			p := progress{Schema: progressSchema, Mark: w.run.From, Open: &window{From: w.run.From, To: w.run.To}, single: true}
			for round := 0; p.Open != nil && err == nil && round < maxRounds; round++ {
				err = t.walk(ctx, list, &p, func() error { return nil })
			}
		}
		if err != nil {
			problems = append(problems, err)
			if fatal(ctx, err) {
				break
			}
		}
	}
	return errors.Join(problems...)
}
