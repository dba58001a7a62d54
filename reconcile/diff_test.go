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
)

// Promise: a row that says a refund is through is news to a payment that holds it as
// under way; a row that says no more than that it was made is none.
func TestSweepRefundThatIsThrough(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		done  bool
		reads int
		want  payment.RefundState
	}{
		"a list that tells": {true, 1, payment.RefundSucceeded},
		"one that does not": {false, 0, payment.RefundPending},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clk := &clock{t: start}
			f := newFake("acct", clk, "money")
			l := newLab(t, clk, options{}, f)
			p := settled(l, f, 900)
			clk.advance(time.Minute)
			f.refund("elsewhere", root(p), 100)
			refund := &f.checkouts[root(p)].refunds[0]
			refund.State = payment.RefundPending
			clk.advance(time.Minute)
			if _, err := l.service.Refresh(t.Context(), p.ID, 0, payment.Source{Layer: payment.LayerWebhook}); err != nil {
				t.Fatal(err)
			}
			row := f.rows["elsewhere"][0]
			row.Done = c.done
			f.checkouts[root(p)].refunds = []payment.Refund{*refund} // what was read stays as it was
			f.checkouts[root(p)].refunds[0].State = payment.RefundSucceeded
			f.checkouts[root(p)].refunds[0].AsOf = clk.now()
			f.list("money", row)
			before := f.fetches()
			for range 3 {
				clk.advance(5 * time.Minute)
				must(t, l.rec, sweepAcct)
			}
			if got := l.get(p.ID).Facts.Refunds[0].State; got != c.want || f.fetches()-before != c.reads {
				t.Errorf("the refund is %s after %d readings, want %s after %d", got, f.fetches()-before, c.want, c.reads)
			}
			if found, _, err := l.differ.List(t.Context(), store.DiscrepancyFilter{Payment: p.ID, State: "open", Limit: 10}); err != nil || len(found) != 0 {
				t.Errorf("differences for a human: %+v, %v", found, err)
			}
		})
	}
}

// Promise: a list that lags and still shows a refund as through is no news to a payment
// that knows, of a later moment, that it failed.
func TestSweepRefundThatFailedSince(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		changed time.Duration // of the row, after the refund's own latest change
		reads   int
	}{"before": {-time.Second, 0}, "as it failed": {0, 1}, "later": {time.Second, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clk := &clock{t: start}
			f := newFake("acct", clk, "money")
			l := newLab(t, clk, options{}, f)
			p := settled(l, f, 900)
			clk.advance(time.Minute)
			f.refund("elsewhere", root(p), 100)
			clk.advance(time.Minute)
			refund := &f.checkouts[root(p)].refunds[0]
			refund.State, refund.AsOf = payment.RefundFailed, clk.now()
			if _, err := l.service.Refresh(t.Context(), p.ID, 0, payment.Source{Layer: payment.LayerWebhook}); err != nil {
				t.Fatal(err)
			}
			row := f.rows["elsewhere"][0]
			row.Done, row.Changed = true, clk.now().Add(c.changed)
			f.list("money", row)
			before := f.fetches()
			clk.advance(5 * time.Minute)
			must(t, l.rec, sweepAcct)
			if n := f.fetches() - before; n != c.reads {
				t.Errorf("%d readings, want %d", n, c.reads)
			}
		})
	}
}

// Promise: a row that appears in a list after the mark has passed its time is found
// by the overlap.
func TestSweepOverlapFindsLateRow(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	p := l.create("acct", 900)
	f.pay(root(p))
	late := captured(p, c.now())
	c.advance(5 * time.Minute)
	must(t, l.rec, sweepAcct)
	f.list("money", late)
	c.advance(5 * time.Minute)
	must(t, l.rec, sweepAcct)
	if got := l.get(p.ID).Status(); got != payment.StatusSucceeded {
		t.Fatalf("the payment of a late row is %s", got)
	}
}

// Promise: money that went out is never taken for the money that came in, whichever
// is seen first.
func TestSweepOrphanRefundDoesNotHideItsCharge(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	row := func(id string, minor int64, refs ...string) providers.SweepItem {
		return providers.SweepItem{
			Object: providers.Ref{Kind: "transaction", ID: id}, Hint: providers.Hint{Refs: refs}, Amount: usd(minor), Created: c.now(), Paid: true,
		}
	}
	f.list("money", row("txn_2", -900, "re_1", "ch_1", "pi_1"), row("txn_1", 900, "ch_1", "pi_1"))
	c.advance(time.Minute)
	must(t, l.rec, sweepAcct)
	orphans, _, err := l.orphans.List(t.Context(), "acct", 100, "")
	if err != nil || len(orphans) != 2 || f.traced != 2 {
		t.Fatalf("orphans %+v, %v", orphans, err)
	}
	c.advance(5 * time.Minute)
	must(t, l.rec, sweepAcct)
	if f.traced != 2 {
		t.Errorf("known orphans were traced again: %d traces", f.traced)
	}
}

// Promise: what a row tells is compared in state and amount, not only in id; and a
// payment is read again only where the row may tell news.
func TestSweepRowsThatTellNews(t *testing.T) {
	t.Parallel()
	refundRow := func(f *fake, p *payment.Payment, minor int64, paid bool) providers.SweepItem {
		return providers.SweepItem{
			Object: providers.Ref{Kind: "refund", ID: "re_" + root(p) + "_0"}, Hint: providers.Hint{Refs: []string{"cap_" + root(p)}},
			Amount: usd(-minor), Created: f.checkouts[root(p)].refunds[0].Created, Paid: paid,
		}
	}
	event := func(p *payment.Payment, at time.Time) providers.SweepItem {
		return providers.SweepItem{Object: providers.Ref{Kind: "checkout", ID: root(p)}, Hint: providers.Hint{PaymentID: p.ID, N: 1}, Created: at}
	}
	cases := map[string]struct {
		row   func(f *fake, p *payment.Payment, read time.Time) providers.SweepItem
		reads int
	}{
		"the same refund":            {func(f *fake, p *payment.Payment, _ time.Time) providers.SweepItem { return refundRow(f, p, 100, true) }, 0},
		"a refund that failed since": {func(f *fake, p *payment.Payment, _ time.Time) providers.SweepItem { return refundRow(f, p, 100, false) }, 1},
		"a refund of another sum":    {func(f *fake, p *payment.Payment, _ time.Time) providers.SweepItem { return refundRow(f, p, 101, true) }, 1},
		"the same capture":           {func(_ *fake, p *payment.Payment, _ time.Time) providers.SweepItem { return captured(p, start) }, 0},
		"an event before the reading": {func(_ *fake, p *payment.Payment, at time.Time) providers.SweepItem {
			return event(p, at.Add(-time.Second))
		}, 0},
		"an event of the same second": {func(_ *fake, p *payment.Payment, at time.Time) providers.SweepItem { return event(p, at) }, 1},
		"an event after the reading": {func(_ *fake, p *payment.Payment, at time.Time) providers.SweepItem {
			return event(p, at.Add(time.Second))
		}, 1},
		"an object nobody knows, unpaid": {func(*fake, *payment.Payment, time.Time) providers.SweepItem {
			return providers.SweepItem{Object: providers.Ref{Kind: "x", ID: "x"}, Created: start}
		}, 0},
		"a dispute nobody knows": {func(_ *fake, p *payment.Payment, _ time.Time) providers.SweepItem {
			return providers.SweepItem{Object: providers.Ref{Kind: "dispute", ID: "dp"}, Hint: providers.Hint{Refs: []string{"cap_" + root(p)}}, Created: start}
		}, 1},
		"a movement of a known capture": {func(_ *fake, p *payment.Payment, _ time.Time) providers.SweepItem {
			return providers.SweepItem{Object: providers.Ref{Kind: "transaction", ID: "txn"}, Hint: providers.Hint{Refs: []string{"cap_" + root(p)}}, Amount: usd(900), Created: start, Paid: true}
		}, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &clock{t: start}
			f := newFake("acct", c, "money")
			l := newLab(t, c, options{}, f)
			p := settled(l, f, 900)
			f.refund("elsewhere", root(p), 100)
			c.advance(time.Minute)
			read := c.now()
			p, err := l.service.Refresh(t.Context(), p.ID, 0, payment.Source{Layer: payment.LayerWebhook})
			if err != nil || p.Amounts().Refunded != 100 {
				t.Fatalf("refresh: %v", err)
			}
			f.list("money", tc.row(f, p, read))
			before := f.fetches()
			c.advance(10 * time.Second)
			must(t, l.rec, sweepAcct)
			if n := f.fetches() - before; n != tc.reads {
				t.Errorf("%d readings, want %d", n, tc.reads)
			}
		})
	}
}

// Promise: several rows about one payment on one page cost one reading.
func TestSweepReadsAPaymentOnceAPage(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	p := l.create("acct", 900)
	for _, id := range []string{"a", "b", "c"} {
		f.list("money", providers.SweepItem{
			Object: providers.Ref{Kind: "capture", ID: id}, Hint: providers.Hint{PaymentID: p.ID, N: 1}, Amount: usd(1), Created: c.now(), Paid: true,
		})
	}
	c.advance(10 * time.Second)
	must(t, l.rec, sweepAcct)
	if f.fetches() != 1 {
		t.Fatalf("%d readings of one payment", f.fetches())
	}
}

// Promise: a replica that lost its lease while it worked through its last page is
// stopped by the fencing token alone.
func TestFencedAtTheCursor(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	short := func(o *reconcile.Options) { o.Lease = 30 * time.Second }
	l := newLab(t, c, options{change: short}, f)
	other := l.replica(short)
	paused := false
	f.onSweep = func() {
		if paused {
			return
		}
		paused = true
		c.advance(40 * time.Second)
		must(t, other, sweepAcct)
	}
	must(t, l.rec, sweepAcct)
	var states []reconcile.RunState
	for _, r := range l.history(reconcile.JobSweep) {
		states = append(states, r.State)
	}
	if len(states) != 2 || states[0] != reconcile.RunDone || states[1] != reconcile.RunLost {
		t.Fatalf("run states, newest first: %v", states)
	}
}

// Promise: a requested run that one replica is doing is not begun by another.
func TestRequestedRunIsDoneOnce(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	run, err := l.rec.Request(t.Context(), "", reconcile.JobSweep, "acct", time.Time{}, time.Time{}, payment.Actor{Type: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	other := l.replica(nil)
	f.onSweep = func() {
		if r, err := l.runs.Get(t.Context(), run.ID); err != nil || r.State != reconcile.RunRunning {
			t.Errorf("a run under way is %s, %v", r.State, err)
		}
		if did := must(t, other, "reconcile/requested"); did != 0 {
			t.Errorf("the other replica began it too")
		}
	}
	if did := must(t, l.rec, "reconcile/requested"); did != 1 || f.swept != 1 {
		t.Fatalf("did %d, %d sweeps", did, f.swept)
	}
	if ok, err := l.runs.Start(t.Context(), run.ID, c.now()); ok || err != nil {
		t.Fatalf("a finished run was started: %v", err)
	}
}

// Promise: a requested run that another replica's schedule keeps busy stays asked
// for until it was done.
func TestRequestedRunWaitsForTheLease(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	run, err := l.rec.Request(t.Context(), "", reconcile.JobSweep, "acct", time.Time{}, time.Time{}, payment.Actor{Type: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	leases := store.NewLeases(l.engine)
	if _, ok, err := leases.Acquire(t.Context(), "reconcile/sweep/acct", "somebody", time.Minute, c.now()); !ok || err != nil {
		t.Fatal(err)
	}
	if did := must(t, l.rec, "reconcile/requested"); did != 0 {
		t.Fatal("done without the lease")
	}
	c.advance(2 * time.Minute)
	if did := must(t, l.rec, "reconcile/requested"); did != 1 {
		t.Fatal("forgotten")
	}
	if run, err = l.runs.Get(t.Context(), run.ID); err != nil || run.State != reconcile.RunDone {
		t.Fatalf("run %+v, %v", run, err)
	}
}

// Promise: a due sync that lost its lease stops, and its record says so.
func TestDueSyncLostLease(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c)
	l := newLab(t, c, options{}, f)
	other := l.replica(nil)
	for i := range 4 {
		f.pay(root(l.create("acct", int64(100+i))))
	}
	c.advance(3 * time.Minute)
	paused := false
	f.onFetch = func(string) {
		if paused {
			return
		}
		paused = true
		f.mu.Unlock()
		defer f.mu.Lock()
		c.advance(3 * time.Minute)
		must(t, other, due)
	}
	must(t, l.rec, due)
	if n := f.fetches(); n != 5 { // the paused replica's one, and the other's four
		t.Fatalf("%d readings", n)
	}
	states := map[reconcile.RunState]int{}
	for _, r := range l.history(reconcile.JobDue) {
		states[r.State]++
	}
	if states[reconcile.RunLost] != 1 || states[reconcile.RunDone] != 1 {
		t.Fatalf("run states %v", states)
	}
}

// Promise: with more failing rows than can be remembered the mark stays, so that
// nothing is lost, and the rows are worked through once the provider is well again.
func TestSweepTooManyFailures(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	f.pageSize = 500
	l := newLab(t, c, options{}, f)
	p := l.create("acct", 900)
	f.poison[root(p)] = unavailable("fetch")
	for i := range 201 {
		f.list("money", providers.SweepItem{
			Object: providers.Ref{Kind: "capture", ID: fmt.Sprintf("cap_%d", i)}, Hint: providers.Hint{PaymentID: p.ID, N: 1}, Created: c.now(), Paid: true,
		})
	}
	for range 20 { // long after every overlap
		c.advance(30 * time.Minute)
		must(t, l.rec, sweepAcct)
	}
	if n := f.fetched[root(p)]; n > 21 {
		t.Fatalf("%d readings of one broken payment in 20 sweeps", n)
	}
	f.mu.Lock()
	f.poison = map[string]error{}
	f.paid(root(p))
	f.rows["money"] = append(f.rows["money"][:150], captured(p, start))
	f.mu.Unlock()
	c.advance(10 * time.Minute)
	must(t, l.rec, sweepAcct)
	if got := l.get(p.ID).Status(); got != payment.StatusSucceeded {
		t.Fatalf("after the outage the payment is %s", got)
	}
}

// Promise: a page cursor that the provider does not honour any more costs a new
// walk through the window, not the window.
func TestSweepStalePageCursor(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	f.pageSize = 1
	l := newLab(t, c, options{change: func(o *reconcile.Options) { o.MaxPages = 1 }}, f)
	var ps []*payment.Payment
	for i := range 3 {
		p := l.create("acct", int64(100+i))
		f.pay(root(p))
		f.list("money", captured(p, c.now()))
		ps = append(ps, p)
	}
	c.advance(time.Second)
	must(t, l.rec, sweepAcct)
	f.listErr["money"] = &providers.Error{Class: providers.Refused, Provider: "fake", Op: "sweep", Code: "bad_cursor"}
	must(t, l.replica(func(o *reconcile.Options) { o.MaxPages = 1 }), sweepAcct)
	f.mu.Lock()
	delete(f.listErr, "money")
	f.mu.Unlock()
	must(t, l.replica(nil), sweepAcct)
	for i, p := range ps {
		if got := l.get(p.ID).Status(); got != payment.StatusSucceeded {
			t.Errorf("payment %d is %s", i, got)
		}
	}
	if len(f.windows) != 2 {
		t.Errorf("windows %q", f.windows)
	}
}

// Promise: a run that an operator was promised outlives the process that began it: stopped
// in the middle, it is done by another one.
func TestRequestedRunOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	f.pageSize = 1
	l := newLab(t, c, options{}, f)
	p, q := l.create("acct", 100), l.create("acct", 200)
	f.list("money", captured(p, c.now()), captured(q, c.now()))
	c.advance(10 * time.Second)
	run, err := l.rec.Request(t.Context(), "", reconcile.JobSweep, "acct", start.Add(-time.Hour), start.Add(time.Hour), payment.Actor{Type: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	f.onSweep = func() { stop(); f.onSweep = nil }
	for _, s := range l.rec.Steps() {
		if s.Name == "reconcile/requested" {
			_, _, _ = s.Step(stopped)
		}
	}
	if got, err := l.runs.Get(t.Context(), run.ID); err != nil || got.State != reconcile.RunQueued || got.ErrorCount != 0 {
		t.Fatalf("after the stop: %+v, %v", got, err)
	}
	if did := must(t, l.replica(nil), "reconcile/requested"); did != 1 {
		t.Fatal("nobody took it over")
	}
	if got, err := l.runs.Get(t.Context(), run.ID); err != nil || got.State != reconcile.RunDone || got.Seen != 2 || got.By != run.By {
		t.Fatalf("in the end: %+v, %v", got, err)
	}
}
