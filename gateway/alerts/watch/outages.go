package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/gateway/payment"
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
// first good call of this process also ends what an earlier one raised: of the latter a
// checkout that was opened, which no read stands for. So each is an alert of its own.
func (w *Watch) outage(ctx context.Context, a Account, now time.Time) error {
	all, opening := w.state(a.Name), w.state(a.Name+"/"+opOpen)
	failing, err := w.answers(ctx, a, "", all, "All of the last %d calls failed, since %s.",
		"The provider refused our credentials in %d calls in a row, the last at %s.", now)
	if failing || err != nil {
		return err
	}
	if opening.failures+opening.refused > 0 && now.Sub(opening.lastFailure) >= openFor && now.Sub(opening.lastRefused) >= openFor {
		opening = calls{lastGood: now, cleared: opening.cleared}
	}
	_, err = w.answers(ctx, a, opOpen, opening, "None of the last %d checkouts could be opened, since %s. Other calls work.",
		"The provider refused to open %d checkouts in a row with our credentials, the last at %s. Other calls work.", now)
	return err
}

// answers raises or ends the alerts about an account's calls of one kind; op is empty for
// all of them. bad says that they fail.
func (w *Watch) answers(ctx context.Context, a Account, op string, c calls, outage, refused string, now time.Time) (bad bool, err error) {
	key, parts := a.Name, []string{a.Name}
	if op != "" {
		key, parts = a.Name+"/"+op, append(parts, op)
	}
	set := func(kind, message string, on bool) error {
		return w.put(ctx, payment.DeriveID("inc", append([]string{kind}, parts...)...), a, kind, alerts.Critical, message, on, now)
	}
	switch {
	case c.failing():
		w.note(key, false)
		return true, set("provider_outage", fmt.Sprintf(outage, c.failures, c.failingSince.UTC().Format(time.RFC3339)), true)
	case c.refused >= outageCalls:
		w.note(key, false)
		return true, set("credentials_refused", fmt.Sprintf(refused, c.refused, c.lastRefused.UTC().Format(time.RFC3339)), true)
	case c.failures > 0 || c.refused > 0 || c.cleared || c.lastGood.IsZero():
		return false, nil
	}
	if err := errors.Join(set("provider_outage", "", false), set("credentials_refused", "", false)); err != nil {
		return false, err
	}
	w.note(key, true)
	return false, nil
}

// state is what is known of an account's calls, or of those of one kind.
func (w *Watch) state(key string) (c calls) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if found := w.calls[key]; found != nil {
		return *found
	}
	return c
}

func (w *Watch) note(key string, cleared bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[key].cleared = cleared
}
