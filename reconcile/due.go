package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// DueSync reads again, by id, the payments whose next sync has come: those that
// are open, fresh, or waiting for a provider.
type DueSync struct {
	r  *Reconciler
	mu sync.Mutex
	// stuck are payments whose next sync could not be moved, with when to try them
	// again: they stay first in the queue and must not keep it from the others.
	stuck map[string]time.Time
}

// DueSync is the due sync, one for this process.
func (r *Reconciler) DueSync() *DueSync { return r.due }

// stuckFor is how long a payment is left alone whose next sync could not be stored.
const stuckFor = time.Minute

// maxStuck bounds how many of those are remembered.
const maxStuck = 400

// Step reads a batch of due payments. It returns at once where none is due or
// another replica is at it. next is now where more are waiting.
func (d *DueSync) Step(ctx context.Context) (did int, next time.Time, err error) {
	now := d.r.now()
	next = now.Add(5 * time.Second)
	ids, err := d.ids(ctx, now)
	if err != nil || len(ids) == 0 {
		return 0, next, err
	}
	h, ok, err := d.r.acquire(ctx, JobDue, "")
	if err != nil || !ok {
		return 0, next, err
	}
	defer h.release(ctx)
	if ids, err = d.ids(ctx, now); err != nil || len(ids) == 0 { // somebody may just have done them
		return 0, next, err
	}
	w, err := d.r.begin(ctx, Run{Job: JobDue})
	if err != nil {
		return 0, next, err
	}
	w.hold = h
	cause := d.sync(ctx, w, ids)
	err = w.end(ctx, cause)
	if ours(cause) {
		err = errors.Join(err, cause)
	}
	if len(ids) == d.r.opts.Batch && cause == nil {
		next = now
	}
	return w.did(), next, err
}

// ids lists a batch of due payments without those that are stuck. Where more are due than
// a batch, as after a day without reading, half of it are those that became due last: a
// customer who has just paid must not wait behind thousands that are read once a day.
func (d *DueSync) ids(ctx context.Context, now time.Time) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, until := range d.stuck {
		if !now.Before(until) {
			delete(d.stuck, id)
		}
	}
	all, err := d.r.opts.Payments.SyncDue(ctx, now, d.r.opts.Batch+len(d.stuck))
	if err != nil {
		return nil, fmt.Errorf("reconcile: list due payments: %w", err)
	}
	batch := d.r.opts.Batch
	ids := d.choose(nil, all, batch)
	if len(ids) < batch {
		return ids, nil
	}
	fresh, err := d.r.opts.Payments.SyncFresh(ctx, now, batch+len(d.stuck))
	if err != nil {
		return nil, fmt.Errorf("reconcile: list fresh payments: %w", err)
	}
	return d.choose(ids[:batch-batch/2], fresh, batch), nil
}

// choose adds ids to a batch until it is full, none twice and none that is stuck.
func (d *DueSync) choose(ids, from []string, batch int) []string {
	for _, id := range from {
		if _, skip := d.stuck[id]; !skip && len(ids) < batch && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// sync reads payments one after the other. One that fails is postponed and never
// stops the rest; the error is why the job can't go on.
func (d *DueSync) sync(ctx context.Context, w *work, ids []string) error {
	for _, id := range ids {
		if err := w.hold.keep(ctx); err != nil {
			return err
		}
		w.run.Seen++
		readErr := safely(func() error {
			_, err := w.refresh(ctx, "", id, 0)
			return err
		})
		if readErr != nil {
			if fatal(ctx, readErr) {
				return readErr
			}
			w.note(fmt.Errorf("%s: %w", id, readErr))
		}
		// Reading that brought no news left the next sync where it was.
		if err := safely(func() error { return d.r.opts.Applier.Postpone(ctx, id, readErr != nil) }); err != nil {
			if fatal(ctx, err) {
				return err
			}
			w.note(fmt.Errorf("%s can't be postponed: %w", id, err))
			d.skip(id)
		}
	}
	return nil
}

// skip leaves a payment alone for a while.
func (d *DueSync) skip(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.stuck) < maxStuck {
		d.stuck[id] = d.r.now().Add(stuckFor)
	}
}
