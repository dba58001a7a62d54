package reconcile_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

type ctx = context.Context

// listedByChange lists one row whatever its age, as a list by time of change does.
type listedByChange struct {
	*fake
	row providers.SweepItem
	at  time.Time
}

// Sweep implements providers.Sweeper.
func (f listedByChange) Sweep(_ ctx, _ string, from, to time.Time, _ string) (providers.SweepPage, error) {
	page := providers.SweepPage{TrustedTo: to}
	if !f.at.Before(from) && f.at.Before(to) {
		page.Items = []providers.SweepItem{f.row}
	}
	return page, nil
}

// newLabOver is the same store and clock with another adapter.
func newLabOver(l *lab, adapter providers.Provider) *lab {
	l.t.Helper()
	return newLab(l.t, l.clock, options{wrap: func(store.Engine) store.Engine { return l.engine }}, adapter)
}

// Promise: of two replicas one sweeps an account; the other finds the lease taken,
// and later that nothing is due.
func TestSweepOneReplicaAtATime(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	other := l.replica(nil)
	late := l.replica(nil)
	p := l.create("acct", 900)
	f.pay(root(p))
	f.list("money", captured(p, c.now()))
	c.advance(10 * time.Second)
	calls := 0
	f.onSweep = func() {
		if calls++; calls > 1 {
			return
		}
		if did, err := step(t, other, sweepAcct); did != 0 || err != nil {
			t.Errorf("the other replica did %d, %v", did, err)
		}
	}
	must(t, l.rec, sweepAcct)
	must(t, late, sweepAcct)
	if f.swept != 1 || f.fetches() != 1 {
		t.Fatalf("%d sweeps, %d readings", f.swept, f.fetches())
	}
	if runs := l.history(reconcile.JobSweep); len(runs) != 1 {
		t.Fatalf("%d run records for one sweep", len(runs))
	}
}

// Promise: a replica that finds nothing due only reads; it takes no lease, no cursor.
func TestIdleReplicaWritesNothing(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money", "other")
	writes := 0
	l := newLab(t, c, options{wrap: func(e store.Engine) store.Engine {
		return faults.Wrap(e, faults.Options{Write: func(store.WritePoint, faults.When) error { writes++; return nil }})
	}}, f)
	must(t, l.rec, sweepAcct)
	c.advance(time.Minute)
	writes = 0
	for range 3 {
		must(t, l.replica(nil), sweepAcct)
	}
	if writes != 0 || f.swept != 2 {
		t.Fatalf("%d writes, %d lists swept", writes, f.swept)
	}
	c.advance(4 * time.Minute)
	must(t, l.replica(nil), sweepAcct)
	if writes == 0 || f.swept != 4 {
		t.Fatalf("when due: %d writes, %d lists swept", writes, f.swept)
	}
}

// Promise: lists whose times drifted apart are visited together again, with one run
// record; none is visited later than it is due.
func TestSweepVisitsListsTogether(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money", "other")
	l := newLab(t, c, options{}, f)
	f.onSweep = func() { c.advance(10 * time.Second) } // each page takes its time
	must(t, l.rec, sweepAcct)
	f.listErr["money"] = unavailable("sweep")
	c.advance(5 * time.Minute)
	must(t, l.rec, sweepAcct) // one fails and is tried again in a minute
	f.mu.Lock()
	delete(f.listErr, "money")
	f.mu.Unlock()
	c.advance(time.Minute)
	must(t, l.rec, sweepAcct)
	runs, swept := len(l.history(reconcile.JobSweep)), f.swept
	for range 12 * 12 { // an hour
		c.advance(25 * time.Second)
		must(t, l.rec, sweepAcct)
	}
	runs, swept = len(l.history(reconcile.JobSweep))-runs, f.swept-swept
	if swept != 2*runs || runs < 11 {
		t.Fatalf("%d lists swept in %d runs", swept, runs)
	}
}

// Promise: a replica that was paused past its lease can't move the cursor any
// more, stops, and says in its record that it lost the job.
func TestPausedReplicaIsFenced(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	f.pageSize = 1
	l := newLab(t, c, options{}, f)
	other := l.replica(nil)
	for i := range 3 {
		p := l.create("acct", int64(100+i))
		f.pay(root(p))
		f.list("money", captured(p, c.now()))
	}
	c.advance(10 * time.Second)
	cursors := store.NewCursors(l.engine)
	var newest store.Cursor
	paused := false
	f.onSweep = func() {
		if paused {
			return
		}
		paused = true
		c.advance(3 * time.Minute) // the first replica's lease ends while it waits for its page
		must(t, other, sweepAcct)
		var err error
		if newest, err = cursors.Get(t.Context(), "sweep/acct/money"); err != nil {
			t.Error(err)
		}
	}
	must(t, l.rec, sweepAcct)
	after, err := cursors.Get(t.Context(), "sweep/acct/money")
	if err != nil || after != newest || newest.Value == "" {
		t.Fatalf("the paused replica moved the cursor from %+v to %+v, %v", newest, after, err)
	}
	states := map[reconcile.RunState]int{}
	for _, r := range l.history(reconcile.JobSweep) {
		states[r.State]++
	}
	if states[reconcile.RunLost] != 1 || states[reconcile.RunDone] != 1 {
		t.Fatalf("run states %v", states)
	}
	if f.fetches() != 3 {
		t.Fatalf("%d readings of 3 payments", f.fetches())
	}
}

// Promise: cost follows what changed. With 10,000 settled payments and 20 of them
// changed, the sweep makes a few pages and 20 readings, and the due sync none.
func TestSweepCostFollowsChanges(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	template := settled(l, f, 4200)
	for i := range 10_000 {
		p := template.Clone()
		old := root(template)
		fresh := fmt.Sprintf("co_old_%05d", i)
		p.ID, p.Version, p.NextSyncAt = payment.DeriveID("pay", fresh), 1, time.Time{}
		p.Facts.Attempts[0].Key.ID, p.Facts.Attempts[0].Refs = fresh, payment.Refs{}
		p.Facts.Captures[0].Key.ID, p.Facts.Fees[0].Key.ID, p.Facts.Fees[0].Object = "cap_"+fresh, "fee_"+fresh, "cap_"+fresh
		if err := l.payments.Insert(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if i%500 == 0 {
			ck := *f.checkouts[old]
			ck.id, ck.payment = fresh, p.ID
			f.checkouts[fresh] = &ck
		}
	}
	c.advance(48 * time.Hour)
	must(t, l.rec, sweepAcct)
	f.swept = 0
	f.fetched = map[string]int{}
	c.advance(5 * time.Minute)
	for i := 0; i < 10_000; i += 500 {
		f.refund("money", fmt.Sprintf("co_old_%05d", i), 100)
	}
	c.advance(time.Minute)
	if did := must(t, l.rec, sweepAcct); did != 20 {
		t.Fatalf("%d payments read", did)
	}
	run := l.history(reconcile.JobSweep)[0]
	if run.Changed != 20 || run.Calls != 21 || f.swept != 1 || f.fetches() != 20 {
		t.Fatalf("%d pages, %d readings, run %+v", f.swept, f.fetches(), run)
	}
	if did := must(t, l.rec, due); did != 0 {
		t.Fatalf("the due sync read %d settled payments", did)
	}
}

// Promise: a sweep that is longer than one step goes on where it stopped, page by
// page, by any replica.
func TestSweepGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	f.pageSize = 1
	l := newLab(t, c, options{change: func(o *reconcile.Options) { o.MaxPages = 2 }}, f)
	for i := range 5 {
		f.pay(root(l.create("acct", int64(100+i))))
	}
	for _, ck := range f.checkouts {
		f.list("money", providers.SweepItem{
			Object: providers.Ref{Kind: "capture", ID: "cap_" + ck.id}, Hint: providers.Hint{PaymentID: ck.payment, N: 1}, Amount: ck.amount, Created: c.now(), Paid: true,
		})
	}
	c.advance(time.Minute)
	for i := range 3 {
		r := l.replica(func(o *reconcile.Options) { o.MaxPages = 2 })
		must(t, r, sweepAcct)
		if want := min(2*(i+1), 5); f.swept != want || f.fetches() != want {
			t.Fatalf("after step %d: %d pages, %d readings", i, f.swept, f.fetches())
		}
	}
	if len(f.windows) != 1 {
		t.Fatalf("windows opened: %q", f.windows)
	}
}

// Promise: an operator's window is walked as asked and leaves the durable cursor
// alone; a requested run survives until a worker does it, once.
func TestOperatorRuns(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	by := payment.Actor{Type: "operator", ID: "op"}
	p := l.create("acct", 900)
	f.pay(root(p))
	f.list("money", captured(p, c.now()))
	c.advance(72 * time.Hour)
	must(t, l.rec, sweepAcct) // looks back a day only
	cursors := store.NewCursors(l.engine)
	before, err := cursors.Get(t.Context(), "sweep/acct/money")
	if err != nil {
		t.Fatal(err)
	}
	run, err := l.rec.Request(t.Context(), "", reconcile.JobSweep, "acct", start.Add(-time.Hour), start.Add(time.Hour), by)
	if err != nil || run.State != reconcile.RunQueued {
		t.Fatalf("request: %+v, %v", run, err)
	}
	other := l.replica(nil)
	if did := must(t, other, "reconcile/requested") + must(t, l.rec, "reconcile/requested"); did != 1 {
		t.Fatalf("done %d times", did)
	}
	if run, err = l.runs.Get(t.Context(), run.ID); err != nil || run.State != reconcile.RunDone || run.Changed != 1 || run.By != by {
		t.Fatalf("run %+v, %v", run, err)
	}
	if got := l.get(p.ID).Status(); got != payment.StatusSucceeded {
		t.Fatalf("the payment is %s", got)
	}
	after, err := cursors.Get(t.Context(), "sweep/acct/money")
	if err != nil || after != before {
		t.Fatalf("the cursor moved: %+v, %v", after, err)
	}
	run, err = l.rec.RunOnce(t.Context(), reconcile.JobAll, "", time.Time{}, time.Time{}, by)
	if err != nil || run.State != reconcile.RunDone || run.Calls == 0 {
		t.Fatalf("all: %+v, %v", run, err)
	}
}

// Promise: run records are kept for 30 days; a run whose process died is closed;
// what other rooms hand in is cleaned, and one that fails stops nobody.
func TestJanitor(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	cleaned, panicked := 0, 0
	l := newLab(t, c, options{change: func(o *reconcile.Options) {
		o.Janitors = []func(ctx) (int, error){
			func(ctx) (int, error) { panicked++; panic("rusty") },
			func(ctx) (int, error) { cleaned++; return 0, nil },
		}
	}}, f)
	if err := l.runs.Insert(t.Context(), reconcile.Run{ID: "run_dead", Job: reconcile.JobSweep, Account: "acct", State: reconcile.RunRunning, StartedAt: start}); err != nil {
		t.Fatal(err)
	}
	must(t, l.rec, sweepAcct)
	c.advance(7 * time.Hour)
	if _, err := step(t, l.rec, "reconcile/janitor"); err == nil || cleaned != 1 || panicked != 1 {
		t.Fatalf("cleaned %d, panicked %d, error %v", cleaned, panicked, err)
	}
	if r, err := l.runs.Get(t.Context(), "run_dead"); err != nil || r.State != reconcile.RunAbandoned {
		t.Fatalf("dead run: %+v, %v", r, err)
	}
	if n := len(l.history(reconcile.JobSweep)); n != 2 {
		t.Fatalf("%d runs", n)
	}
	c.advance(31 * 24 * time.Hour)
	_, _ = step(t, l.rec, "reconcile/janitor") // still fails: one cleaning is rusty
	if n := len(l.history(reconcile.JobSweep)); n != 0 {
		t.Fatalf("%d runs left after 31 days", n)
	}
}

// Promise: a page full of strangers' money, each asked for at a slow provider, takes
// longer than a lease and is worked through all the same: the job is kept, and no other
// replica begins it anew, again and again.
func TestSweepKeepsItsJobThroughALongPage(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	other := l.replica(nil)
	for i := range 60 {
		f.list("money", providers.SweepItem{
			Object: providers.Ref{Kind: "capture", ID: fmt.Sprintf("foreign_%d", i)}, Created: c.now(), Paid: true,
			Amount: payment.Money{Minor: 100, Currency: "usd"},
		})
	}
	c.advance(10 * time.Second)
	took := 0
	f.onTrace = func() { // three minutes in all
		c.advance(3 * time.Second)
		did, err := step(t, other, sweepAcct)
		if took += did; err != nil {
			t.Errorf("the other replica: %v", err)
		}
	}
	must(t, l.rec, sweepAcct)
	if runs := l.history(reconcile.JobSweep); len(runs) != 1 || runs[0].State != reconcile.RunDone || f.traced != 60 || took != 0 {
		t.Fatalf("runs %+v with %d look-ups, and the other replica did %d", runs, f.traced, took)
	}
}
