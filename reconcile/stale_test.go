package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/reconcile"
)

// Promise I2: a list that can be read, but of which its provider calls nothing complete
// for days, is told of and never counts as swept; it lags for a day and a half at times,
// which is nothing to tell.
func TestSweepTellsOfAListThatIsNeverComplete(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	f.trusted = start
	l := newLab(t, c, options{}, f)
	sweep := func(hours int) {
		t.Helper()
		for range hours {
			c.advance(time.Hour)
			must(t, l.rec, sweepAcct)
		}
	}
	sweep(47)
	if told := l.told("sweep_failing"); len(told) != 0 {
		t.Fatalf("told of %+v after 47 hours", told)
	}
	sweep(30)
	told := l.told("sweep_failing")
	if len(told) != 1 || told[0].Severity != "critical" || !strings.Contains(told[0].Message, start.Format(time.RFC3339)) {
		t.Fatalf("after three days: %+v", told)
	}
	if runs := l.history(reconcile.JobSweep); runs[0].ErrorCount != 1 || runs[0].State != reconcile.RunDone {
		t.Errorf("a run that learnt nothing: %+v", runs[0])
	}
	f.trusted = time.Time{} // it has caught up
	sweep(2)
	if runs := l.history(reconcile.JobSweep); runs[0].ErrorCount != 0 || len(l.told("sweep_failing")) != 1 {
		t.Errorf("afterwards: %+v", runs[0])
	}
	c.advance(20 * 24 * time.Hour) // nobody sweeps for long, which is another matter
	sweep(2)
	if len(l.told("sweep_failing")) != 1 {
		t.Errorf("a long pause was told: %+v", l.told("sweep_failing"))
	}
}

// Promise: a visit in which only a row of another list is tried again is no good run while
// one list is never complete: by such a run the alert would end, for good.
func TestNoGoodRunBesideAListThatIsNeverComplete(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "events", "money")
	f.trusted, f.lagging = start, "money"
	l := newLab(t, c, options{}, f)
	for range 50 {
		c.advance(time.Hour)
		must(t, l.rec, sweepAcct)
	}
	if len(l.told("sweep_failing")) != 1 {
		t.Fatalf("told %+v", l.told("sweep_failing"))
	}
	p := l.create("acct", 900)
	f.list("events", captured(p, c.now()))
	c.advance(5 * time.Minute)
	must(t, l.rec, sweepAcct) // the payment does not show it yet
	f.pay(root(p))
	windows, before := len(f.windows), len(l.history(reconcile.JobSweep))
	c.advance(time.Minute)
	must(t, l.rec, sweepAcct)
	runs := l.history(reconcile.JobSweep)
	if got := l.get(p.ID).Status(); got != payment.StatusSucceeded || len(runs) != before+1 || len(f.windows) != windows {
		t.Fatalf("%s, %d runs, windows %q; want one run in which no list was walked", got, len(runs)-before, f.windows[windows:])
	}
	if runs[0].ErrorCount == 0 {
		t.Errorf("a good run: %+v", runs[0])
	}
}
