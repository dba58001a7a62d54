package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

const (
	maxErrors    = 50  // errors kept in one run record
	maxErrorText = 300 // bytes of each
)

// work is one run under way.
type work struct {
	r       *Reconciler
	run     Run
	src     payment.Source
	hold    *hold
	changed map[string]bool
	touched int // payments read
}

// begin opens the record of a run before anything is done in it.
func (r *Reconciler) begin(ctx context.Context, run Run) (*work, error) {
	run.ID, run.State, run.StartedAt = "run_"+r.opts.NewID(), RunRunning, r.now()
	if err := r.opts.Runs.Insert(ctx, run); err != nil {
		return nil, fmt.Errorf("reconcile: open the run: %w", err)
	}
	return r.work(run), nil
}

func (r *Reconciler) work(run Run) *work {
	return &work{r: r, run: run, changed: map[string]bool{}, src: payment.Source{
		Layer: payment.LayerReconcile, Actor: payment.Actor{Type: "job", ID: run.ID}, Reason: string(run.Job),
	}}
}

// end closes the record. cause is why the job could not go on, nil if it could.
func (w *work) end(ctx context.Context, cause error) error {
	w.run.EndedAt, w.run.State = w.r.now(), RunDone
	if cause != nil {
		w.run.State = RunFailed
		if errors.Is(cause, ErrLost) {
			w.run.State = RunLost
		}
		w.note(cause)
	}
	// A run that was stopped is recorded all the same.
	if err := w.r.opts.Runs.Save(context.WithoutCancel(ctx), w.run); err != nil {
		return fmt.Errorf("reconcile: close the run: %w", err)
	}
	if w.run.ErrorCount > 0 {
		w.r.opts.Logger.WarnContext(ctx, "reconcile run had errors", "run", w.run.ID, "job", w.run.Job, "account", w.run.Account,
			"errors", w.run.ErrorCount, "first", w.run.Errors[0])
	}
	return nil
}

// note writes an error into the record.
func (w *work) note(err error) {
	w.run.ErrorCount++
	if len(w.run.Errors) < maxErrors {
		text := err.Error()
		w.run.Errors = append(w.run.Errors, text[:min(len(text), maxErrorText)])
	}
}

// did is how much this run did, for the caller of a step.
func (w *work) did() int { return w.touched + w.run.Orphans + w.run.Discrepancies }

// refresh reads a payment at its provider and runs what became due.
func (w *work) refresh(ctx context.Context, account, id string, n int) (*payment.Payment, error) {
	if err := w.r.opts.Pace(ctx, account); err != nil {
		return nil, err
	}
	if err := w.hold.keep(ctx); err != nil {
		return nil, err
	}
	w.run.Calls++
	w.touched++
	p, err := w.r.opts.Applier.Refresh(ctx, id, n, w.src)
	if changedBy(p, w.src.Actor) {
		w.changed[id] = true
	}
	if err == nil || providers.Beside(err) { // what stands beside the root makes nothing due
		done, failed := w.r.opts.Applier.RunDue(ctx, id, w.src)
		if done != nil {
			p = done
		}
		if failed != nil {
			err = failed
		}
		if changedBy(p, w.src.Actor) {
			w.changed[id] = true
		}
	}
	w.run.Changed = len(w.changed)
	return p, err
}

// errList: a provider's list can't be walked on, by no fault of ours.
var errList = errors.New("reconcile: the list can't be walked on")

// ours reports an error that is about our own side, not a provider's.
func ours(err error) bool {
	var e *providers.Error
	return err != nil && !errors.As(err, &e) && !errors.Is(err, errList) && !errors.Is(err, ErrLost) && !errors.Is(err, context.Canceled)
}

// abandonAfter is when a run that nobody ended is taken for dead.
const abandonAfter = 6 * time.Hour
