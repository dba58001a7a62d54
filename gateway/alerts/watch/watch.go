// Package watch sees what no single payment can show, and raises alerts about
// it: a provider that does not answer, webhooks that are forged or stay away, a
// layer that stands still, a credential that runs out. It also ends alerts whose
// cause is gone.
//
// It must not: tell anybody (gateway/alerts does), call a provider, or change a
// payment.
package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Account is a configured account.
type Account struct {
	Name           string
	Mode           payment.Mode
	SecretExpires  time.Time // zero: nobody said
	WantWebhooks   bool
	WantReconciled bool
}

// Options are what a Watch looks at. All are required.
type Options struct {
	Notify   gateway.Notify
	Accounts []Account
	Clock    func() time.Time
	// LastWebhook is when the account's last verified webhook came; zero for never.
	LastWebhook func(ctx context.Context, account string) (time.Time, error)
	// Settled lists the latest payments with money of an account, made since then.
	Settled func(ctx context.Context, account string, since time.Time) ([]Settled, error)
	// LastSweep is when the account's last sweep began, and when the last one began
	// that ended without an error; zero for never.
	LastSweep func(ctx context.Context, account string) (begun, good time.Time, err error)
	// Waiting says whether the account has webhooks in a state: dead or parked.
	Waiting func(ctx context.Context, account, state string) (bool, error)
	// Alerts reads alerts in one state, the last seen first, in pages.
	Alerts func(ctx context.Context, state, after string) (found []gateway.AlertRecord, next string, err error)
	// Payment reads a payment; gateway.ErrNotFound.
	Payment func(ctx context.Context, id string) (*payment.Payment, error)
	// Workers tells how the steps of this process's workers end. It asks no store.
	Workers func() []Worker
	// Behind says of each queue, by its worker, whether work is waiting in it that was due at a time.
	Behind func(ctx context.Context, due time.Time) (map[string]bool, error)
}

// Worker is how the steps of one worker of this process have ended.
type Worker struct {
	Name    string
	Good    time.Time // when the last one ended without an error; zero: none has yet
	Failing time.Time // when the first failed of those that have failed since; zero: the last one did not
}

// Settled is one payment with money: when it was made, and the layer that found
// the money.
type Settled struct {
	Created time.Time
	By      payment.Layer
}

// How often and how long things are looked at.
const (
	checkEvery     = time.Minute
	raiseEvery     = 10 * time.Minute // an incident that goes on is seen again this often
	outageAfter    = 3 * time.Minute
	outageCalls    = 3
	forgedCount    = 20
	forgedWithin   = time.Hour
	silentPayments = 3
	silentWindow   = 7 * 24 * time.Hour
	sweepMissed    = time.Hour
	workerFails    = 15 * time.Minute
	behindBy       = 20 * time.Minute
	standsFor      = 10 * time.Minute // how long a layer must look dead: longer than it takes to catch up after a pause
	warnBefore     = 21 * 24 * time.Hour
	critBefore     = 3 * 24 * time.Hour
)

// Watch is the watcher. Its Observe and Forged methods are for any goroutine;
// Step is one worker's.
type Watch struct {
	o       Options
	started time.Time
	next    time.Time
	bad     map[string]time.Time // since when a layer has looked dead
	mu      sync.Mutex
	calls   map[string]*calls
	forged  map[string]*forged
	worked  map[string]bool // workers of which this process has said that they do not fail
}

type forged struct {
	began, last time.Time
	count       int
}

// New makes a Watch.
func New(o Options) *Watch {
	return &Watch{
		o: o, started: o.Clock(), bad: map[string]time.Time{}, calls: map[string]*calls{}, forged: map[string]*forged{}, worked: map[string]bool{},
	}
}

// Forged notes a webhook with a wrong signature.
func (w *Watch) Forged(account string) {
	now := w.o.Clock()
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.forged[account]
	if f == nil || now.Sub(f.began) > forgedWithin {
		f = &forged{began: now}
		w.forged[account] = f
	}
	f.count++
	f.last = now
}

// Step looks at everything once a minute.
func (w *Watch) Step(ctx context.Context) (did int, next time.Time, err error) {
	now := w.o.Clock()
	if now.Before(w.next) {
		return 0, w.next, nil
	}
	w.next = now.Add(checkEvery)
	var errs []error
	for _, a := range w.o.Accounts {
		for _, check := range []func(context.Context, Account, time.Time) error{w.outage, w.forgeries, w.silence, w.missed, w.expiry} {
			if err := check(ctx, a, now); err != nil {
				errs = append(errs, fmt.Errorf("watch %s: %w", a.Name, err))
			}
		}
	}
	if err := errors.Join(w.workers(ctx, now), w.behind(ctx, now)); err != nil {
		errs = append(errs, fmt.Errorf("watch workers: %w", err))
	}
	did, err = w.causes(ctx, now)
	if err = errors.Join(append(errs, err)...); err != nil {
		w.next = now // what failed is looked at again
		return did, now.Add(checkEvery / 4), err
	}
	return did, w.next, nil
}

// set raises or ends one alert of an account.
func (w *Watch) set(ctx context.Context, a Account, kind, severity, message string, on bool, now time.Time) error {
	return w.put(ctx, payment.DeriveID("inc", kind, a.Name), a, kind, severity, message, on, now)
}

// put raises or ends an alert. Its moments are rounded, so that replicas count one
// sighting once; what begins anew within the same ten minutes is seen with the next.
func (w *Watch) put(ctx context.Context, id string, a Account, kind, severity, message string, on bool, now time.Time) error {
	if !on {
		return w.o.Notify.Clear(ctx, id, now)
	}
	seen := now.Truncate(raiseEvery)
	return w.o.Notify.Raise(ctx, gateway.AlertRecord{
		ID: id, Mode: a.Mode, Account: a.Name, Kind: kind, Severity: severity, State: "open", Message: message, Count: 1, FirstSeen: seen, LastSeen: seen,
	})
}

// forgeries: many wrong signatures within an hour. That they stopped, causes sees by the
// alert itself: the process that counted them may have been restarted with the right
// secret since, and another one may still count.
func (w *Watch) forgeries(ctx context.Context, a Account, now time.Time) error {
	w.mu.Lock()
	f := forged{}
	if known := w.forged[a.Name]; known != nil {
		f = *known
	}
	if now.Sub(f.last) > forgedWithin {
		delete(w.forged, a.Name)
		f = forged{}
	}
	w.mu.Unlock()
	if f.count < forgedCount {
		return nil
	}
	return w.set(ctx, a, "webhook_forged", alerts.Warning, fmt.Sprintf("%d webhooks with a wrong signature since %s.", f.count, f.began.UTC().Format(time.RFC3339)), true, f.last)
}

// stands says whether something has looked dead for long enough to say so.
func (w *Watch) stands(key string, dead bool, now time.Time) bool {
	if !dead {
		delete(w.bad, key)
		return false
	}
	since, ok := w.bad[key]
	if !ok {
		w.bad[key] = now
	}
	return ok && now.Sub(since) >= standsFor
}

// silence: payments of an account are found by the other layers only, and not one
// webhook has come since they were made. However few pay: each payment brings some.
func (w *Watch) silence(ctx context.Context, a Account, now time.Time) error {
	if !a.WantWebhooks {
		return nil
	}
	last, err := w.o.LastWebhook(ctx, a.Name)
	if err != nil {
		return err
	}
	since := now.Add(-silentWindow)
	if last.After(since) {
		since = last
	}
	settled, err := w.o.Settled(ctx, a.Name, since)
	if err != nil {
		return err
	}
	first, found := now, 0
	for _, s := range settled {
		if s.By == payment.LayerWebhook || !s.Created.After(last) {
			continue
		}
		found++
		if s.Created.Before(first) {
			first = s.Created
		}
	}
	dead := found >= silentPayments
	if w.stands("silence/"+a.Name, dead, now) {
		return w.set(ctx, a, "webhook_silence", alerts.Critical, fmt.Sprintf("%d payments since %s were found by other layers, and no webhook came.", found, first.UTC().Format(time.RFC3339)), true, now)
	}
	if dead || last.IsZero() {
		return nil
	}
	return w.set(ctx, a, "webhook_silence", "", "", false, last)
}

// missed: no sweep of an account has begun for an hour.
func (w *Watch) missed(ctx context.Context, a Account, now time.Time) error {
	if !a.WantReconciled {
		return nil
	}
	begun, _, err := w.o.LastSweep(ctx, a.Name)
	if err != nil {
		return err
	}
	since := begun
	if since.Before(w.started) {
		since = w.started
	}
	dead := now.Sub(since) > sweepMissed
	if w.stands("missed/"+a.Name, dead, now) {
		return w.set(ctx, a, "reconcile_missed", alerts.Critical, fmt.Sprintf("No sweep of %s has begun since %s.", a.Name, since.UTC().Format(time.RFC3339)), true, now)
	}
	if dead || begun.IsZero() {
		return nil
	}
	return w.set(ctx, a, "reconcile_missed", "", "", false, begun)
}

// expiry: the day that the configuration names comes near. Told once a day, so it
// counts days.
func (w *Watch) expiry(ctx context.Context, a Account, now time.Time) error {
	if a.SecretExpires.IsZero() || now.Before(a.SecretExpires.Add(-warnBefore)) {
		return w.set(ctx, a, "secret_expiring", "", "", false, now)
	}
	severity := alerts.Warning
	if !now.Before(a.SecretExpires.Add(-critBefore)) {
		severity = alerts.Critical
	}
	day := now.UTC().Truncate(24 * time.Hour)
	return w.set(ctx, a, "secret_expiring", severity, fmt.Sprintf("The configuration says that a credential of %s runs out on %s.", a.Name, a.SecretExpires.UTC().Format(time.DateOnly)), true, day)
}
