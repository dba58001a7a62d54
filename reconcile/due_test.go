package reconcile_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
)

const due = "reconcile/due"

// Promise I2: with redirect and webhook both lost, a payment that was paid becomes
// succeeded by the due sync alone, and says who settled it.
func TestDueSyncSettlesAPaidPayment(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c)
	l := newLab(t, c, options{}, f)
	p := l.create("acct", 1999)
	f.pay(root(p))
	if did := must(t, l.rec, due); did != 0 {
		t.Fatalf("read %d payments before their time", did)
	}
	c.advance(2*time.Minute + time.Second)
	if did := must(t, l.rec, due); did != 1 {
		t.Fatalf("read %d payments, want 1", did)
	}
	got := l.get(p.ID)
	if got.Status() != payment.StatusSucceeded || got.SettledBy != payment.LayerReconcile || got.Amounts().Captured != 1999 {
		t.Fatalf("status %s by %s, captured %d", got.Status(), got.SettledBy, got.Amounts().Captured)
	}
	runs := l.history(reconcile.JobDue)
	if len(runs) != 1 || runs[0].Changed != 1 || runs[0].Calls != 1 || runs[0].State != reconcile.RunDone {
		t.Fatalf("runs: %+v", runs)
	}
	last := got.History[len(got.History)-1].Source.Actor
	if want := (payment.Actor{Type: "job", ID: runs[0].ID}); last != want {
		t.Fatalf("history names %+v, want %+v", last, want)
	}
}

// Promise: the due sync reads an open payment on its schedule and never spins on
// one that brings no news.
func TestDueSyncWidens(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c)
	l := newLab(t, c, options{}, f)
	p := l.create("acct", 500)
	for range 120 {
		c.advance(30 * time.Second)
		must(t, l.rec, due)
	}
	if n := f.fetched[root(p)]; n != 3 {
		t.Fatalf("read %d times in an hour, want at 2, 10 and 60 minutes", n)
	}
	if next := l.get(p.ID).NextSyncAt; !next.After(c.now()) {
		t.Fatalf("next sync at %s lies in the past", next)
	}
}

// Promise: where more payments are due than can be read at once, one that has just become
// due is read at once, and those that wait longest are read too.
func TestDueSyncReadsTheFreshBesideABacklog(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c)
	l := newLab(t, c, options{change: func(o *reconcile.Options) { o.Batch = 4 }}, f)
	for range 40 {
		l.create("acct", 100)
		c.advance(time.Second)
	}
	oldest := l.create("acct", 100)
	c.advance(90 * time.Minute) // nobody reads for so long
	fresh := l.create("acct", 200)
	f.pay(root(fresh))
	c.advance(2*time.Minute + time.Second)
	must(t, l.rec, due)
	if got := l.get(fresh.ID).Status(); got != payment.StatusSucceeded {
		t.Errorf("the payment that was just paid is %s", got)
	}
	for range 25 {
		must(t, l.rec, due)
	}
	if f.fetched[root(oldest)] == 0 || f.fetches() != 42 {
		t.Errorf("%d payments read, want all 42 once", f.fetches())
	}
}

// Promise: a payment that can't be read is postponed ever further, its failures
// stand in the run record, and the others are read all the same.
func TestDueSyncPoisonedPaymentBlocksNobody(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c)
	l := newLab(t, c, options{change: func(o *reconcile.Options) { o.Batch = 2 }}, f)
	broken, panics, good := l.create("acct", 100), l.create("acct", 200), l.create("acct", 300)
	f.poison[root(broken)] = unavailable("fetch")
	f.panics[root(panics)] = true
	f.pay(root(good))
	c.advance(3 * time.Minute)
	must(t, l.rec, due)
	must(t, l.rec, due)
	if got := l.get(good.ID).Status(); got != payment.StatusSucceeded {
		t.Fatalf("the good payment is %s", got)
	}
	all := append(l.history(reconcile.JobDue)[0].Errors, l.history(reconcile.JobDue)[1].Errors...)
	if !contains(all, broken.ID) || !contains(all, "panic") {
		t.Fatalf("errors recorded: %q", all)
	}
	var gaps []time.Duration
	last := c.now()
	for range 24 * 60 {
		c.advance(time.Minute)
		before := f.fetched[root(broken)]
		must(t, l.rec, due)
		if f.fetched[root(broken)] > before {
			gaps = append(gaps, c.now().Sub(last))
			last = c.now()
		}
	}
	if len(gaps) < 5 || len(gaps) > 30 {
		t.Fatalf("%d readings in a day: %v", len(gaps), gaps)
	}
	if first, end := gaps[0], gaps[len(gaps)-1]; first > 10*time.Minute || end < time.Hour {
		t.Fatalf("readings do not widen: %v", gaps)
	}
}

// Promise: a payment whose document can't even be postponed does not keep its
// place at the head of the queue.
func TestDueSyncStuckDocument(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c)
	l := newLab(t, c, options{change: func(o *reconcile.Options) { o.Batch = 1 }}, f)
	bad := l.create("acct", 100)
	c.advance(time.Second)
	good := l.create("acct", 200)
	d, err := l.engine.Get(t.Context(), "payments", bad.ID)
	if err != nil {
		t.Fatal(err)
	}
	d.Body = []byte(`{"schema":99}`)
	if err := l.engine.Replace(store.WithPoint(t.Context(), store.PointPaymentReplace), "payments", d, d.Version); err != nil {
		t.Fatal(err)
	}
	f.pay(root(good))
	c.advance(3 * time.Minute)
	must(t, l.rec, due)
	must(t, l.rec, due)
	if got := l.get(good.ID).Status(); got != payment.StatusSucceeded {
		t.Fatalf("the payment behind the stuck one is %s", got)
	}
}

// Promise: of two replicas one does the due sync; the other does nothing.
func TestDueSyncOneReplicaAtATime(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c)
	l := newLab(t, c, options{}, f)
	other := l.replica(nil)
	for i := range 5 {
		f.pay(root(l.create("acct", int64(100+i))))
	}
	c.advance(3 * time.Minute)
	busy := 0
	f.onFetch = func(string) { // in the middle of the first replica's work
		f.mu.Unlock()
		defer f.mu.Lock()
		did, _, err := other.DueSync().Step(context.Background())
		if err != nil {
			t.Errorf("other replica: %v", err)
		}
		busy += did
	}
	if did := must(t, l.rec, due); did != 5 || busy != 0 {
		t.Fatalf("one replica did %d, the other %d", did, busy)
	}
	if f.fetches() != 5 {
		t.Fatalf("%d readings of 5 payments", f.fetches())
	}
}

// Promise: an operator can have everything that is due read at once, batch after
// batch, with one record.
func TestRunOnceDue(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c)
	l := newLab(t, c, options{change: func(o *reconcile.Options) { o.Batch = 3 }}, f)
	for i := range 10 {
		f.pay(root(l.create("acct", int64(100+i))))
	}
	c.advance(3 * time.Minute)
	run, err := l.rec.RunOnce(t.Context(), reconcile.JobDue, "", time.Time{}, time.Time{}, payment.Actor{Type: "operator", ID: "op"})
	if err != nil || run.Seen != 10 || run.Changed != 10 || run.State != reconcile.RunDone {
		t.Fatalf("run %+v, error %v", run, err)
	}
	for _, bad := range []struct {
		job      reconcile.Job
		account  string
		from, to time.Time
	}{{job: "audit"}, {job: reconcile.JobSweep, account: "nobody"}, {job: reconcile.JobSweep, to: start}, {job: reconcile.JobDue, from: start, to: start.Add(1)}} {
		if _, err := l.rec.RunOnce(t.Context(), bad.job, bad.account, bad.from, bad.to, payment.Actor{}); err == nil {
			t.Errorf("%s was run", fmt.Sprint(bad))
		}
	}
}
