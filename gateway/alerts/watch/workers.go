package watch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// workers: every step of a worker has failed for long. Its errors stand in the log of
// this process only, and what it does for others (an app's events, payments to be read
// again) waits. It is one incident whichever and how many fail: a store that was away
// made all of them fail. A process says once that none of its own does, at its start or
// after it said otherwise, and so takes nothing back that another says.
func (w *Watch) workers(ctx context.Context, now time.Time) error {
	var failing []string
	since, all := now, true
	for _, k := range w.o.Workers() {
		all = all && !k.Good.IsZero() && k.Failing.IsZero()
		if k.Failing.IsZero() || now.Sub(k.Failing) < workerFails {
			continue
		}
		failing = append(failing, k.Name)
		if k.Failing.Before(since) {
			since = k.Failing
		}
	}
	switch {
	case len(failing) > 0:
		slices.Sort(failing)
		w.worked = false
		return w.set(ctx, Account{Mode: w.mode()}, "worker_failing", alerts.Critical, fmt.Sprintf("No step of %s has ended without an error since %s.",
			strings.Join(failing, ", "), since.UTC().Format(time.RFC3339)), true, now)
	case !all || w.worked:
		return nil
	}
	if err := w.set(ctx, Account{}, "worker_failing", "", "", false, now); err != nil {
		return err
	}
	w.worked = true
	return nil
}

// behind: work that is due is not done, by nobody: there is more of it than can be done,
// or something keeps the workers from it without an error. What failed is put off, so it
// is not meant; nor is what waited while no process ran.
func (w *Watch) behind(ctx context.Context, now time.Time) error {
	queues, err := w.o.Behind(ctx, now.Add(-behindBy))
	if err != nil {
		return err
	}
	late := len(queues) > 0
	if w.stands("behind", late, now) {
		slices.Sort(queues)
		return w.set(ctx, Account{Mode: w.mode()}, "work_waiting", alerts.Critical, fmt.Sprintf("Work that was due %d minutes ago and more is not done, in: %s.",
			int(behindBy.Minutes()), strings.Join(queues, ", ")), true, now)
	}
	if late {
		return nil
	}
	return w.set(ctx, Account{}, "work_waiting", "", "", false, now)
}

// mode is that of what concerns every account: test only where all accounts are.
func (w *Watch) mode() payment.Mode {
	if slices.ContainsFunc(w.o.Accounts, func(a Account) bool { return a.Mode == payment.ModeLive }) {
		return payment.ModeLive
	}
	return payment.ModeTest
}
