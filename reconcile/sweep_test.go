package reconcile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

const sweepAcct = "reconcile/sweep/acct"

func usd(minor int64) payment.Money { return payment.Money{Minor: minor, Currency: "usd"} }

// settled makes a payment that is paid, known to be, and settled for good.
func settled(l *lab, f *fake, amount int64) *payment.Payment {
	l.t.Helper()
	p := l.create("acct", amount)
	f.pay(root(p))
	src := payment.Source{Layer: payment.LayerReturn, Actor: payment.Actor{Type: "customer"}}
	p, err := l.service.Refresh(l.t.Context(), p.ID, 0, src)
	if err != nil || p.Status() != payment.StatusSucceeded {
		l.t.Fatalf("refresh: %v", err)
	}
	return p
}

// sighting is the row of a capture.
func captured(p *payment.Payment, at time.Time) providers.SweepItem {
	return providers.SweepItem{
		Object: providers.Ref{Kind: "capture", ID: "cap_" + root(p)}, Hint: providers.Hint{PaymentID: p.ID, N: 1, Refs: []string{root(p)}},
		Amount: p.Facts.Terms.Amount, Created: at, Paid: true,
	}
}

// Promise I2: a refund made in the provider's dashboard months after the payment
// was settled for good is found by the sweep, although nothing reads the payment
// by itself any more.
func TestSweepFindsDashboardRefundOfOldPayment(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	p := settled(l, f, 5000)
	c.advance(60 * 24 * time.Hour)
	must(t, l.rec, due)
	must(t, l.rec, sweepAcct) // the first sweep: nothing yet
	before := f.fetches()
	c.advance(time.Minute)
	f.refund("money", root(p), 1200)
	c.advance(5 * time.Minute)
	if did := must(t, l.rec, sweepAcct); did != 1 {
		t.Fatalf("the sweep read %d payments", did)
	}
	got := l.get(p.ID)
	if a := got.Amounts(); a.Refunded != 1200 || a.Captured != 5000 {
		t.Fatalf("amounts %+v", a)
	}
	for range 6 { // the overlap shows it again and again
		c.advance(5 * time.Minute)
		must(t, l.rec, sweepAcct)
	}
	if n := f.fetches() - before; n != 1 {
		t.Fatalf("%d readings for one refund", n)
	}
	if runs := l.history(reconcile.JobSweep); len(runs) < 3 || runs[len(runs)-2].Changed != 1 {
		t.Fatalf("runs %+v", runs)
	}
}

// Promise: a dispute that changed long after it was opened is read again: a list
// by time of change shows a row older than its window.
func TestSweepReadsAgainWhatChangedInTheWindow(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "disputes")
	l := newLab(t, c, options{}, f)
	p := settled(l, f, 5000)
	dispute := payment.Dispute{
		Key: f.key("dp_1"), Capture: "cap_" + root(p), Amount: usd(5000), Stage: "chargeback", Status: payment.DisputeNeedsResponse,
		Withheld: 5000, Stamp: payment.Stamp{Created: c.now(), AsOf: c.now()},
	}
	f.checkouts[root(p)].disputes = []payment.Dispute{dispute}
	row := providers.SweepItem{
		Object: providers.Ref{Kind: "dispute", ID: "dp_1"}, Hint: providers.Hint{Refs: []string{"dp_1", "cap_" + root(p)}},
		Amount: usd(-5000), Created: c.now(), Paid: true,
	}
	f.list("disputes", row)
	c.advance(time.Minute)
	must(t, l.rec, sweepAcct)
	if got := l.get(p.ID).Amounts().Disputed; got != 5000 {
		t.Fatalf("disputed %d", got)
	}
	c.advance(20 * 24 * time.Hour)
	must(t, l.rec, sweepAcct)
	dispute.Status, dispute.Withheld, dispute.AsOf = payment.DisputeWon, 0, c.now()
	f.mu.Lock()
	f.checkouts[root(p)].disputes = []payment.Dispute{dispute}
	f.rows["disputes"] = nil
	f.mu.Unlock()
	l.rec = l.replica(nil) // and by a fresh process
	changed := listedByChange{fake: f, row: row, at: c.now().Add(time.Minute)}
	l2 := newLabOver(l, changed)
	c.advance(5 * time.Minute)
	must(t, l2.rec, sweepAcct)
	if got := l.get(p.ID); got.Amounts().Disputed != 0 || got.Facts.Disputes[0].Status != payment.DisputeWon {
		t.Fatalf("dispute %+v", got.Facts.Disputes)
	}
}

// Promise: a dispute that is opened and changes within one window of its list is read
// again for the change, and once: a reading after the change has it.
func TestSweepReadsAgainWhatChangedSoon(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "disputes")
	l := newLab(t, c, options{}, f)
	p := settled(l, f, 5000)
	c.advance(40 * 24 * time.Hour) // no daily look finds it
	must(t, l.rec, due)
	must(t, l.rec, sweepAcct)
	c.advance(time.Minute)
	opened := c.now()
	dispute := payment.Dispute{
		Key: f.key("dp_1"), Capture: "cap_" + root(p), Amount: usd(5000), Stage: "chargeback", Status: payment.DisputeUnderReview,
		Withheld: 5000, Stamp: payment.Stamp{Created: opened, AsOf: opened},
	}
	f.checkouts[root(p)].disputes = []payment.Dispute{dispute}
	c.advance(10 * time.Second)
	if _, err := l.service.Refresh(t.Context(), p.ID, 0, payment.Source{Layer: payment.LayerWebhook}); err != nil { // a webhook told of it
		t.Fatal(err)
	}
	before := f.fetches()
	c.advance(10 * time.Second)
	dispute.Status, dispute.AsOf = payment.DisputeLost, c.now() // and none tells of this
	f.checkouts[root(p)].disputes = []payment.Dispute{dispute}
	f.list("disputes", providers.SweepItem{
		Object: providers.Ref{Kind: "dispute", ID: "dp_1"}, Hint: providers.Hint{Refs: []string{"dp_1", "cap_" + root(p)}},
		Amount: usd(-5000), Created: opened, Changed: c.now(), Paid: true,
	})
	for range 6 { // the overlap shows it again and again
		c.advance(5*time.Minute + time.Second)
		must(t, l.rec, sweepAcct)
	}
	if got := l.get(p.ID).Facts.Disputes; len(got) != 1 || got[0].Status != payment.DisputeLost {
		t.Errorf("disputes %+v, want one that is lost", got)
	}
	if n := f.fetches() - before; n != 1 {
		t.Errorf("%d readings for one change", n)
	}
}

// Promise I2: what nobody explains becomes an orphan, told once, however often and
// under however many ids it is listed: critical where it names us, a warning where
// nothing does.
func TestSweepOrphans(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money", "objects")
	l := newLab(t, c, options{}, f)
	p := settled(l, f, 700)
	row := func(id, kind, claim string, minor int64, refs ...string) providers.SweepItem {
		return providers.SweepItem{
			Object: providers.Ref{Kind: kind, ID: id}, Hint: providers.Hint{PaymentID: claim, N: 1, Refs: refs}, Amount: usd(minor), Created: c.now(), Paid: true,
		}
	}
	f.list("money",
		row("txn_1", "transaction", "", 900, "ch_foreign", "pi_foreign"),
		row("txn_2", "transaction", "", -900, "re_foreign", "ch_foreign", "pi_foreign"),
		row("cap_lost", "capture", "pay_nobodyknowsthisone", 800),
		row("cap_forged", "capture", p.ID, 600),
		providers.SweepItem{Object: providers.Ref{Kind: "capture", ID: "cap_unpaid"}, Amount: usd(1), Created: c.now()},
	)
	f.list("objects", row("pi_foreign", "payment_intent", "", 900, "ch_foreign"))
	for range 8 {
		c.advance(5 * time.Minute)
		must(t, l.rec, sweepAcct)
	}
	orphans, _, err := l.orphans.List(t.Context(), "acct", 100, "")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, o := range orphans {
		ids = append(ids, o.Object)
	}
	if len(orphans) != 4 || !contains(ids, "ch_foreign") || !contains(ids, "re_foreign") || !contains(ids, "cap_lost") || !contains(ids, "cap_forged") {
		t.Fatalf("orphans %q", ids)
	}
	if critical, warnings := l.told("orphan_money"), l.told("foreign_money"); len(critical) != 2 || len(warnings) != 2 {
		t.Fatalf("%d critical and %d warnings", len(critical), len(warnings))
	}
	for _, a := range append(l.told("orphan_money"), l.told("foreign_money")...) {
		if a.Count != 1 || a.Account != "acct" {
			t.Errorf("alert counted %d times at %q", a.Count, a.Account)
		}
		if want := map[string]string{"orphan_money": "critical", "foreign_money": "warning"}[a.Kind]; a.Severity != want {
			t.Errorf("%s is %s", a.Kind, a.Severity)
		}
	}
	if got := l.get(p.ID).Amounts(); got.Captured != 700 || got.Refunded != 0 {
		t.Fatalf("a forged claim changed the payment: %+v", got)
	}
}

// Promise: an account that others use too can be told to leave their money alone;
// what names us is reported even there.
func TestSweepIgnoresForeign(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{change: func(o *reconcile.Options) { o.IgnoreForeign = []string{"acct"} }}, f)
	f.list("money",
		providers.SweepItem{Object: providers.Ref{Kind: "capture", ID: "theirs"}, Amount: usd(1), Created: c.now(), Paid: true},
		providers.SweepItem{Object: providers.Ref{Kind: "capture", ID: "ours"}, Hint: providers.Hint{PaymentID: "pay_gone"}, Amount: usd(1), Created: c.now(), Paid: true})
	c.advance(time.Minute)
	must(t, l.rec, sweepAcct)
	orphans, _, err := l.orphans.List(t.Context(), "acct", 100, "")
	if err != nil || len(orphans) != 1 || orphans[0].Object != "ours" {
		t.Fatalf("orphans %+v, %v", orphans, err)
	}
}

// Promise: money that a payment's own objects don't show yet is looked for again
// before anybody is alarmed, and a trace leads stray objects home.
func TestSweepWaitsAndTraces(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	p, q := l.create("acct", 900), l.create("acct", 800)
	f.list("money", captured(p, c.now()))
	f.pay(root(q))
	stray := captured(q, c.now())
	stray.Hint = providers.Hint{}
	f.list("money", stray)
	f.traces[stray.Object.ID] = providers.Hint{Refs: []string{root(q)}}
	c.advance(30 * time.Second)
	must(t, l.rec, sweepAcct)
	if got := l.get(q.ID).Status(); got != payment.StatusSucceeded {
		t.Fatalf("the traced payment is %s", got)
	}
	if len(l.told("orphan_money"))+len(l.told("provider_mismatch")) != 0 {
		t.Fatal("alarmed at the first sighting")
	}
	f.pay(root(p))
	c.advance(40 * time.Second) // not the next sweep: the row is tried by itself
	must(t, l.rec, sweepAcct)
	if got := l.get(p.ID).Status(); got != payment.StatusSucceeded {
		t.Fatalf("the late payment is %s", got)
	}
	for range 5 {
		c.advance(5 * time.Minute)
		must(t, l.rec, sweepAcct)
	}
	if n := len(l.told("orphan_money")) + len(l.told("foreign_money")) + len(l.told("provider_mismatch")); n != 0 {
		t.Fatalf("%d alarms about money that was found", n)
	}
}

// Promise I3: a difference that reading does not explain is kept as evidence and
// told once.
func TestSweepMismatch(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	p := settled(l, f, 900)
	row := captured(p, c.now())
	row.Amount = usd(901)
	f.list("money", row)
	for range 10 {
		c.advance(2 * time.Minute)
		must(t, l.rec, sweepAcct)
	}
	found, _, err := l.differ.List(t.Context(), store.DiscrepancyFilter{Payment: p.ID, State: "open", Limit: 10})
	if err != nil || len(found) != 1 || found[0].Kind != reconcile.KindMismatch || found[0].Amount.Minor != 901 {
		t.Fatalf("discrepancies %+v, %v", found, err)
	}
	if told := l.told("provider_mismatch"); len(told) != 1 || told[0].Count != 1 {
		t.Fatalf("alerts %+v", told)
	}
	word := store.Resolution{By: payment.Actor{Type: "operator", ID: "op"}, Reason: "their rounding", At: c.now()}
	for _, want := range []bool{true, false} {
		d, first, err := l.differ.Resolve(t.Context(), found[0].ID, word)
		if err != nil || first != want || d.State != "resolved" || d.Reason != "their rounding" {
			t.Fatalf("resolve: %+v, %v, %v", d, first, err)
		}
		word.Reason = "something else"
	}
}

// Promise: one poisoned row never stops the rest of its page, is tried again by
// itself, and the mark moves on without losing it.
func TestSweepPoisonedItem(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	var ps []*payment.Payment
	for i := range 5 {
		p := l.create("acct", int64(1000+i))
		f.pay(root(p))
		f.list("money", captured(p, c.now()))
		ps = append(ps, p)
	}
	f.panics[root(ps[1])] = true
	f.poison[root(ps[3])] = unavailable("fetch")
	c.advance(10 * time.Second)
	must(t, l.rec, sweepAcct)
	for i, p := range ps {
		if got, bad := l.get(p.ID).Status(), i == 1 || i == 3; (got == payment.StatusSucceeded) == bad {
			t.Errorf("payment %d is %s", i, got)
		}
	}
	run := l.history(reconcile.JobSweep)[0]
	if run.ErrorCount != 2 || run.State != reconcile.RunDone || !contains(run.Errors, "panic") {
		t.Fatalf("run %+v", run)
	}
	f.mu.Lock()
	delete(f.panics, root(ps[1]))
	f.mu.Unlock()
	for range 20 { // hours later the rows have left every window
		c.advance(30 * time.Minute)
		must(t, l.rec, sweepAcct)
	}
	if got := l.get(ps[1].ID).Status(); got != payment.StatusSucceeded {
		t.Fatalf("the healed payment is %s", got)
	}
	for range 80 {
		c.advance(time.Hour)
		must(t, l.rec, sweepAcct)
	}
	found, _, err := l.differ.List(t.Context(), store.DiscrepancyFilter{Limit: 10})
	if err != nil || len(found) != 1 || found[0].Kind != reconcile.KindUnreadable || len(l.told("unreadable_item")) != 1 {
		t.Fatalf("what failed for three days: %+v, %v", found, err)
	}
}

// Promise: a list that fails does not stop the others of its account, its own mark
// stays, and a human hears of it when it stays so.
func TestSweepFailingList(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "broken", "money")
	l := newLab(t, c, options{}, f)
	p := l.create("acct", 900)
	f.pay(root(p))
	f.list("money", captured(p, c.now()))
	f.listErr["broken"] = unavailable("sweep")
	c.advance(10 * time.Second)
	must(t, l.rec, sweepAcct)
	if got := l.get(p.ID).Status(); got != payment.StatusSucceeded {
		t.Fatalf("behind a broken list the payment is %s", got)
	}
	q := l.create("acct", 800)
	f.pay(root(q))
	f.list("broken", captured(q, c.now()))
	for range 26 * 12 { // more than the first look back
		c.advance(5 * time.Minute)
		must(t, l.rec, sweepAcct)
	}
	if told := l.told("sweep_failing"); len(told) != 1 || told[0].Severity != "critical" {
		t.Fatalf("alerts %+v", told)
	}
	f.mu.Lock()
	delete(f.listErr, "broken")
	f.mu.Unlock()
	c.advance(5 * time.Minute)
	must(t, l.rec, sweepAcct)
	if got := l.get(q.ID).Status(); got != payment.StatusSucceeded {
		t.Fatalf("after the outage the payment is %s", got)
	}
}

// Promise: the mark never moves past what the provider calls complete, so a row
// that appears late is found however long the provider lagged.
func TestSweepRespectsTrustedTo(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	p := l.create("acct", 900)
	f.pay(root(p))
	late := captured(p, c.now()) // happened now, is listed in six hours
	f.trusted = c.now().Add(-time.Minute)
	for range 6 * 12 {
		c.advance(5 * time.Minute)
		must(t, l.rec, sweepAcct)
	}
	f.list("money", late)
	f.mu.Lock()
	f.trusted = time.Time{}
	f.mu.Unlock()
	c.advance(5 * time.Minute)
	must(t, l.rec, sweepAcct)
	if got := l.get(p.ID).Status(); got != payment.StatusSucceeded {
		t.Fatalf("money listed late: the payment is %s", got)
	}
}

// Promise: whatever write fails or whenever the process dies, no row is skipped:
// the page is walked again, and nothing is done twice.
func TestSweepCrashAnywhereSkipsNothing(t *testing.T) {
	t.Parallel()
	for _, when := range []faults.When{faults.Before, faults.After} {
		for crashAt := 1; ; crashAt++ {
			writes, crashed := 0, false
			armed := false
			crash := errors.New("crash")
			c := &clock{t: start}
			f := newFake("acct", c, "money")
			f.pageSize = 2
			l := newLab(t, c, options{wrap: func(e store.Engine) store.Engine {
				dead := func() error { // what a dead process writes and reads: nothing
					if armed && crashed {
						return store.ErrUnavailable
					}
					return nil
				}
				return faults.Wrap(e, faults.Options{
					Points: store.WritePoints(), Read: func(string) error { return dead() },
					Write: func(_ store.WritePoint, w faults.When) error {
						if !armed || crashed || w != when {
							return dead()
						}
						if writes++; writes == crashAt {
							crashed = true
							panic(crash)
						}
						return nil
					},
				})
			}}, f)
			var ps []*payment.Payment
			for i := range 5 {
				p := l.create("acct", int64(1000+i))
				f.pay(root(p))
				f.list("money", captured(p, c.now()))
				ps = append(ps, p)
			}
			f.list("money", providers.SweepItem{Object: providers.Ref{Kind: "capture", ID: "stray"}, Amount: usd(5), Created: c.now(), Paid: true})
			c.advance(10 * time.Second)
			armed = true
			crashing(t, crash, func() { _, _ = step(t, l.rec, sweepAcct) })
			armed = false

			l.rec = l.replica(nil) // a new process
			for range 3 {
				c.advance(3 * time.Minute) // past the dead one's lease
				must(t, l.rec, sweepAcct)
			}
			for i, p := range ps {
				got := l.get(p.ID)
				if got.Status() != payment.StatusSucceeded || got.Amounts().Captured != int64(1000+i) {
					t.Fatalf("crash %d: payment %d is %s", crashAt, i, got.Status())
				}
			}
			orphans, _, err := l.orphans.List(t.Context(), "acct", 100, "")
			if told := l.told("foreign_money"); err != nil || len(orphans) != 1 || len(told) != 1 || told[0].Count != 1 {
				t.Fatalf("crash %d: orphans %+v, alerts %+v, %v", crashAt, orphans, told, err)
			}
			if !crashed {
				if crashAt < 10 {
					t.Fatalf("only %d writes were crashed", crashAt)
				}
				break
			}
		}
	}
}

// crashing runs fn and swallows the one panic that plays a crash. A panic on the
// way through one item is caught by the job, as it should be: then the process
// lives on.
func crashing(t *testing.T, crash error, fn func()) {
	t.Helper()
	defer func() {
		if v := recover(); v != nil && !strings.Contains(fmt.Sprint(v), crash.Error()) {
			panic(v)
		}
	}()
	fn()
}
