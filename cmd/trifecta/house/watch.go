package house

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway"
	lookout "github.com/trifecta-pay/trifecta/gateway/alerts/watch"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// watcher wires what watches the house itself. It is made before the accounts,
// because it hears how their calls end, and asks stores and workers only when stepped.
func watcher(o Options, engine store.Engine, workers func() []lookout.Worker) *lookout.Watch {
	payments, kept, runs, events := store.NewPayments(engine), store.NewAlerts(engine), store.NewRuns(engine), store.NewInbox(engine)
	var accounts []lookout.Account
	for _, a := range o.Config.Accounts {
		accounts = append(accounts, lookout.Account{
			Name: a.Name, Mode: payment.Mode(a.Mode), SecretExpires: a.SecretExpires,
			WantWebhooks: o.Config.Layers.Webhook, WantReconciled: o.Config.Layers.Reconcile && canBeSwept(a),
		})
	}
	return lookout.New(lookout.Options{
		Notify: kept, Accounts: accounts, Clock: o.Clock, Payment: payments.Get, Workers: workers,
		Behind: func(ctx context.Context, due time.Time) (map[string]bool, error) {
			return behind(ctx, payments, events, o.Config.Layers.Reconcile, due)
		},
		LastWebhook: func(ctx context.Context, account string) (time.Time, error) {
			last, _, err := events.List(ctx, inbox.Filter{Account: account, Limit: 1})
			if err != nil || len(last) == 0 {
				return time.Time{}, err
			}
			return last[0].ReceivedAt, nil
		},
		Settled: func(ctx context.Context, account string, since time.Time) ([]lookout.Settled, error) {
			return settled(ctx, payments, o.Config, account, since)
		},
		LastSweep: func(ctx context.Context, account string) (begun, good time.Time, err error) {
			return lastSweep(ctx, runs, account)
		},
		Waiting: func(ctx context.Context, account, state string) (bool, error) {
			found, next, err := events.List(ctx, inbox.Filter{Account: account, State: inbox.State(state), Limit: 1})
			return len(found) > 0 || next != "", err // a page may be short of this account's
		},
		Alerts: func(ctx context.Context, state, after string) ([]gateway.AlertRecord, string, error) {
			return kept.List(ctx, store.AlertFilter{State: state, Limit: 100, After: after})
		},
	})
}

// canBeSwept says whether the account's provider has lists: all that there are do.
func canBeSwept(a config.Account) bool {
	return a.Provider == config.ProviderStripe || a.Provider == config.ProviderPayPal
}

// settled lists the latest payments with money of an account, whichever app's: payments
// are listed by app. Those of another provider are passed over, so that they can't fill
// the list of a provider that few choose.
func settled(ctx context.Context, payments *store.Payments, cfg config.Config, account string, since time.Time) ([]lookout.Settled, error) {
	i := slices.IndexFunc(cfg.Accounts, func(a config.Account) bool { return a.Name == account })
	if i < 0 {
		return nil, nil
	}
	var out []lookout.Settled
	for _, app := range cfg.Apps {
		if app.Mode != cfg.Accounts[i].Mode {
			continue
		}
		found, _, err := payments.List(ctx, gateway.Filter{
			App: app.Name, Mode: payment.Mode(app.Mode), Status: payment.StatusSucceeded, Provider: cfg.Accounts[i].Provider, CreatedFrom: since, Limit: 100,
		})
		if err != nil {
			return nil, fmt.Errorf("latest payments of %s: %w", app.Name, err)
		}
		for _, p := range found {
			if winner, ok := p.Facts.Winner(); ok && winner.Account == account {
				out = append(out, lookout.Settled{Created: p.CreatedAt, By: p.SettledBy})
			}
		}
	}
	return out, nil
}

// behind says of each worker with a queue whether work waits for it that was due at a
// time: its first piece tells, since each takes what is due longest first. What can't be
// read waits, too, and tells of no other queue.
func behind(ctx context.Context, payments *store.Payments, events *store.Inbox, reconciling bool, due time.Time) (map[string]bool, error) {
	var sync []string
	var err error
	if reconciling {
		if sync, err = payments.SyncDue(ctx, due, 1); err != nil {
			return nil, fmt.Errorf("payments to be read: %w", err)
		}
	}
	work, err := payments.WorkDue(ctx, due, 1)
	if err != nil {
		return nil, fmt.Errorf("payments to be worked on: %w", err)
	}
	found, unread := events.Due(ctx, due, 1)
	if errors.Is(unread, store.ErrUnavailable) {
		return nil, fmt.Errorf("webhooks: %w", unread)
	}
	waiting, unreadable, _, err := payments.Unfed(ctx, 1, "")
	if err != nil {
		return nil, fmt.Errorf("payments with events: %w", err)
	}
	return map[string]bool{
		"reconcile/due": len(sync) > 0, "operations": len(work) > 0, workerInbox: len(found) > 0 || unread != nil,
		workerFeed: len(unreadable) > 0 || len(waiting) > 0 && !waiting[0].UpdatedAt.After(due),
	}, nil
}

// lastSweep looks through the latest runs of an account. One over a window that an
// operator asked for says nothing of the days since.
func lastSweep(ctx context.Context, runs *store.Runs, account string) (begun, good time.Time, err error) {
	found, _, err := runs.List(ctx, store.RunFilter{Account: account, Limit: 20})
	if err != nil {
		return begun, good, fmt.Errorf("latest runs: %w", err)
	}
	for _, r := range found {
		if r.Job != reconcile.JobSweep || !r.From.IsZero() {
			continue
		}
		if begun.IsZero() {
			begun = r.StartedAt
		}
		if r.State == reconcile.RunDone && r.ErrorCount == 0 {
			return begun, r.StartedAt, nil
		}
	}
	return begun, good, nil
}
