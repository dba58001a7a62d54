package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// workers: every step of a worker has failed for long. Its errors stand in the log of
// this process only, and what it does for others (an app's events, payments to be read
// again) waits. Each worker is an incident of its own: one that fails for weeks because of
// one record, which somebody has acknowledged, must not keep the next one silent. A process
// says once that a worker of its own does not fail, at its start or after it said
// otherwise, and so takes nothing back that another says.
func (w *Watch) workers(ctx context.Context, now time.Time) error {
	var errs []error
	for _, k := range w.o.Workers() {
		switch {
		case !k.Failing.IsZero() && now.Sub(k.Failing) >= workerFails:
			delete(w.worked, k.Name)
			errs = append(errs, w.part(ctx, "worker_failing", k.Name, fmt.Sprintf("No step of %s has ended without an error since %s.",
				k.Name, k.Failing.UTC().Format(time.RFC3339)), true, now))
		case k.Failing.IsZero() && !k.Good.IsZero() && !w.worked[k.Name]:
			err := w.part(ctx, "worker_failing", k.Name, "", false, now)
			w.worked[k.Name] = err == nil
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// behind: work that is due is not done, by nobody: there is more of it than can be done,
// or something keeps the workers from it without an error. What failed is put off, so it
// is not meant; nor is what waited while no process ran. Each queue is an incident of its
// own, as each worker is.
func (w *Watch) behind(ctx context.Context, now time.Time) error {
	queues, err := w.o.Behind(ctx, now.Add(-behindBy))
	if err != nil {
		return err
	}
	var errs []error
	for queue, late := range queues {
		if w.stands("behind/"+queue, late, now) {
			errs = append(errs, w.part(ctx, "work_waiting", queue, fmt.Sprintf("Work of %s that was due %d minutes ago and more is not done.",
				queue, int(behindBy.Minutes())), true, now))
		} else if !late {
			errs = append(errs, w.part(ctx, "work_waiting", queue, "", false, now))
		}
	}
	return errors.Join(errs...)
}

// part raises or ends the critical alert of one part of the house.
func (w *Watch) part(ctx context.Context, kind, name, message string, on bool, now time.Time) error {
	return w.put(ctx, payment.DeriveID("inc", kind, name), Account{Mode: w.mode()}, kind, alerts.Critical, message, on, now)
}

// mode is that of what concerns every account: test only where all accounts are.
func (w *Watch) mode() payment.Mode {
	if slices.ContainsFunc(w.o.Accounts, func(a Account) bool { return a.Mode == payment.ModeLive }) {
		return payment.ModeLive
	}
	return payment.ModeTest
}
