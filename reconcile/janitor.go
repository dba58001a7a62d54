package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// janitor looks after what no worker will ever pick up again: runs whose process
// died, run records that are too old, and what other rooms hand in.
type janitor struct {
	r    *Reconciler
	gate gate
}

// janitorEvery is how often the janitor works.
const janitorEvery = time.Minute

// cleanAtOnce bounds one visit.
const cleanAtOnce = 200

// Step cleans once a minute.
func (j *janitor) Step(ctx context.Context) (did int, next time.Time, err error) {
	now := j.r.now()
	if next = j.gate.next(); now.Before(next) {
		return 0, next, nil
	}
	next = now.Add(janitorEvery)
	j.gate.set(next)
	h, ok, err := j.r.acquire(ctx, JobJanitor, "")
	if err != nil || !ok {
		return 0, next, err
	}
	defer h.release(ctx)
	w := j.r.work(Run{Job: JobJanitor, StartedAt: now})
	w.hold = h
	err = j.r.clean(ctx, w)
	if w.run.Seen == 0 && err == nil {
		return 0, next, nil // nothing to record
	}
	ended, beginErr := j.r.begin(ctx, w.run)
	if beginErr != nil {
		return w.run.Changed, next, errors.Join(err, beginErr)
	}
	return w.run.Changed, next, errors.Join(err, ended.end(ctx, err))
}

// clean runs every cleaning; one that fails never stops the others. It counts into
// Seen and Changed.
func (r *Reconciler) clean(ctx context.Context, w *work) error {
	var problems []error
	for i, clean := range append([]func(context.Context) (int, error){r.abandon, r.expire}, r.opts.Janitors...) {
		if err := w.hold.keep(ctx); err != nil {
			return errors.Join(append(problems, err)...)
		}
		n := 0
		err := safely(func() (err error) {
			n, err = clean(ctx)
			return err
		})
		w.run.Seen += n
		w.run.Changed += n
		if err != nil {
			problems = append(problems, fmt.Errorf("cleaning %d: %w", i, err))
		}
	}
	return errors.Join(problems...)
}

// expire deletes old run records.
func (r *Reconciler) expire(ctx context.Context) (int, error) {
	n, err := r.opts.Runs.Expire(ctx, r.now().Add(-r.opts.KeepRuns), cleanAtOnce)
	if err != nil {
		return n, fmt.Errorf("expire runs: %w", err)
	}
	return n, nil
}

// abandon closes runs that nobody ended: their process died. What they were doing
// is done again by the next run.
func (r *Reconciler) abandon(ctx context.Context) (int, error) {
	dead, err := r.opts.Runs.InState(ctx, RunRunning, r.now().Add(-abandonAfter), cleanAtOnce)
	if err != nil {
		return 0, fmt.Errorf("list dead runs: %w", err)
	}
	for i, run := range dead {
		run.State, run.EndedAt = RunAbandoned, r.now()
		if err := r.opts.Runs.Save(ctx, run); err != nil {
			return i, fmt.Errorf("close the dead run %s: %w", run.ID, err)
		}
	}
	return len(dead), nil
}
