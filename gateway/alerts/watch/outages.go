package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
)

// opOpen is the provider call that opens a checkout, by which customers begin to pay.
// Where it alone fails, reads that work must not hide that nobody can pay.
const opOpen = "create_checkout"

// openFor is how long checkouts that could not be opened count: afterwards nobody knows.
const openFor = time.Hour

// calls is how an account's provider has answered lately.
type calls struct {
	failures     int // in a row
	failingSince time.Time
	lastFailure  time.Time
	lastGood     time.Time
	refused      int // in a row: our credentials
	lastRefused  time.Time
	cleared      bool
}

// failing says that there was no good call for minutes.
func (c calls) failing() bool {
	return c.failures >= outageCalls && c.lastFailure.Sub(c.failingSince) >= outageAfter
}

// Observe notes how one provider call ended: op names it, class is a providers.Class
// (given_up and aside included, which say nothing), or "ok".
func (w *Watch) Observe(account, op, class string) {
	now := w.o.Clock()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard(account, class, now)
	if op == opOpen {
		w.heard(account+"/"+opOpen, class, now)
	}
}

// heard counts a call. The lock is held.
func (w *Watch) heard(key, class string, now time.Time) {
	c := w.calls[key]
	if c == nil {
		c = &calls{}
		w.calls[key] = c
	}
	switch class {
	case "given_up", "aside": // whoever asked went away, or it was not about payments: no word of the provider's on those
		return
	case "unknown", "not_done":
		if c.failures == 0 {
			c.failingSince = now
		}
		c.failures++
		c.lastFailure = now
		return
	case "misconfigured": // it answers, and says that we are nobody
		c.refused++
		c.lastRefused = now
	default:
		c.refused = 0
	}
	c.failures, c.lastGood = 0, now
}

// outage: every call has failed for minutes, or every one that opens a checkout. The
// first good call of this process also ends what an earlier one raised.
func (w *Watch) outage(ctx context.Context, a Account, now time.Time) error {
	all, known := w.state(a.Name)
	if !known {
		return nil
	}
	opening, _ := w.state(a.Name + "/" + opOpen)
	raise := func(kind, format string, n int, since time.Time) error {
		w.note(a.Name, false)
		return w.set(ctx, a, kind, alerts.Critical, fmt.Sprintf(format, n, since.UTC().Format(time.RFC3339)), true, now)
	}
	switch {
	case all.failing():
		return raise("provider_outage", "All of the last %d calls failed, since %s.", all.failures, all.failingSince)
	case all.refused >= outageCalls:
		return raise("credentials_refused", "The provider refused our credentials in %d calls in a row, the last at %s.", all.refused, all.lastRefused)
	case opening.failing() && now.Sub(opening.lastFailure) < openFor:
		return raise("provider_outage", "None of the last %d checkouts could be opened, since %s. Other calls work.", opening.failures, opening.failingSince)
	case opening.refused >= outageCalls && now.Sub(opening.lastRefused) < openFor:
		return raise("credentials_refused", "The provider refused to open %d checkouts in a row with our credentials, the last at %s. Other calls work.",
			opening.refused, opening.lastRefused)
	case all.failures > 0 || all.refused > 0 || all.cleared || all.lastGood.IsZero():
		return nil
	}
	if err := errors.Join(w.set(ctx, a, "provider_outage", "", "", false, now), w.set(ctx, a, "credentials_refused", "", "", false, now)); err != nil {
		return err
	}
	w.note(a.Name, true)
	return nil
}

// state is what is known of an account's calls, or of those of one kind.
func (w *Watch) state(key string) (c calls, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if found := w.calls[key]; found != nil {
		return *found, true
	}
	return c, false
}

func (w *Watch) note(account string, cleared bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[account].cleared = cleared
}
