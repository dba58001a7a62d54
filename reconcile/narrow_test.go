package reconcile_test

import (
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
)

// Promise: a reading that left out disputes and reversals, or could not look at them,
// is no proof that a row tells nothing new; one that looked is, and once is enough.
func TestNarrowLookIsNoLook(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "disputes")
	l := newLab(t, c, options{}, f)
	p := settled(l, f, 5000)
	c.advance(time.Minute)
	dispute := payment.Dispute{
		Key: f.key("dp_1"), Capture: "cap_" + root(p), Amount: usd(5000), Stage: "chargeback", Status: payment.DisputeUnderReview,
		Withheld: 5000, Stamp: payment.Stamp{Created: c.now(), AsOf: c.now()},
	}
	refresh := func() {
		t.Helper()
		if _, err := l.service.Refresh(t.Context(), p.ID, 0, payment.Source{Layer: payment.LayerWebhook}); err != nil {
			t.Fatal(err)
		}
	}
	f.checkouts[root(p)].disputes = []payment.Dispute{dispute}
	c.advance(10 * time.Second)
	refresh()
	c.advance(10 * time.Second)
	lost := dispute
	lost.Status, lost.AsOf = payment.DisputeLost, c.now()
	f.checkouts[root(p)].disputes = []payment.Dispute{lost}
	f.list("disputes", providers.SweepItem{
		Object: providers.Ref{Kind: "dispute", ID: "dp_1"}, Hint: providers.Hint{Refs: []string{"dp_1", "cap_" + root(p)}},
		Amount: usd(-5000), Created: dispute.Created, Changed: c.now(), Paid: true,
	})
	c.advance(10 * time.Second)
	f.narrow = true
	refresh() // after a capture of ours, say
	f.narrow = false
	before := f.fetches()
	for range 4 {
		c.advance(5*time.Minute + time.Second)
		must(t, l.rec, sweepAcct)
	}
	if got := l.get(p.ID).Facts.Disputes; len(got) != 1 || got[0].Status != payment.DisputeLost || f.fetches()-before != 1 {
		t.Errorf("after %d readings the disputes are %+v, want one that is lost, after one", f.fetches()-before, got)
	}
}

// Promise: a row that a payment lacks is no difference for a human while the reading
// that would show it fails to look; the row is kept and found when it does look.
func TestMissingAfterNarrowLooks(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "money")
	l := newLab(t, c, options{}, f)
	p := settled(l, f, 5000)
	c.advance(time.Minute)
	f.checkouts[root(p)].disputes = []payment.Dispute{{
		Key: f.key("dp_1"), Capture: "cap_" + root(p), Amount: usd(5000), Stage: "chargeback", Status: payment.DisputeLost,
		Withheld: 5000, Stamp: payment.Stamp{Created: c.now(), AsOf: c.now()},
	}}
	f.list("money", providers.SweepItem{
		Object: providers.Ref{Kind: "dispute", ID: "dp_1"}, Hint: providers.Hint{Refs: []string{"dp_1", "cap_" + root(p)}},
		Amount: usd(-5000), Created: c.now(), Paid: true,
	})
	f.narrow = true
	for range 30 {
		c.advance(5 * time.Minute)
		must(t, l.rec, sweepAcct)
	}
	found, _, err := l.differ.List(t.Context(), store.DiscrepancyFilter{Payment: p.ID, State: "open", Limit: 10})
	if err != nil || len(found) != 0 {
		t.Errorf("differences for a human: %+v, %v", found, err)
	}
	f.narrow = false
	for range 30 {
		c.advance(5 * time.Minute)
		must(t, l.rec, sweepAcct)
	}
	if got := l.get(p.ID).Amounts().Disputed; got != 5000 {
		t.Errorf("disputed %d, want 5000", got)
	}
}

// Promise (I2): a reading that could not look at disputes, and says so, brings the money
// below the root all the same; what asked because of a dispute is kept until one can.
func TestReadingWithoutDisputes(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "disputes")
	l := newLab(t, c, options{}, f)
	p := settled(l, f, 5000)
	c.advance(time.Minute)
	f.refund("elsewhere", root(p), 100)
	f.checkouts[root(p)].disputes = []payment.Dispute{{
		Key: f.key("dp_1"), Capture: "cap_" + root(p), Amount: usd(4000), Stage: "chargeback", Status: payment.DisputeUnderReview,
		Withheld: 4000, Stamp: payment.Stamp{Created: c.now(), AsOf: c.now()},
	}}
	f.list("disputes", providers.SweepItem{
		Object: providers.Ref{Kind: "dispute", ID: "dp_1"}, Hint: providers.Hint{Refs: []string{"dp_1", "cap_" + root(p)}},
		Amount: usd(-4000), Created: c.now(), Changed: c.now(), Paid: true,
	})
	f.beside = &providers.Error{Class: providers.Unknown, Provider: "fake", Op: "fetch", Aside: true, Rooted: true}
	for range 6 {
		c.advance(5*time.Minute + time.Second)
		must(t, l.rec, sweepAcct)
	}
	if got := l.get(p.ID).Amounts(); got.Refunded != 100 || got.Disputed != 0 {
		t.Errorf("while disputes can't be read: %+v, want the refund", got)
	}
	f.beside = nil
	for range 6 {
		c.advance(5*time.Minute + time.Second)
		must(t, l.rec, sweepAcct)
	}
	if got := l.get(p.ID).Amounts(); got.Refunded != 100 || got.Disputed != 4000 {
		t.Errorf("afterwards: %+v, want the refund and the dispute", got)
	}
}

// Promise: while only disputes can't be read, for however long, events about payments' own
// money are done once the payment was read, and nobody is woken up for each of them; more
// of them than rows are remembered don't stop the list.
func TestListGoesOnWithoutDisputes(t *testing.T) {
	t.Parallel()
	c := &clock{t: start}
	f := newFake("acct", c, "events")
	l := newLab(t, c, options{}, f)
	f.beside = &providers.Error{Class: providers.Unknown, Provider: "fake", Op: "fetch", Aside: true, Rooted: true}
	event := func(p *payment.Payment) {
		f.pay(root(p))
		row := captured(p, c.now().Add(time.Second)) // an event is later than what it tells of, and names no sum
		row.Amount, row.Paid = payment.Money{}, false
		f.list("events", row)
	}
	for range 201 {
		event(l.create("acct", 900))
	}
	late := l.create("acct", 900)
	for i := range 20 {
		c.advance(5 * time.Hour)
		if _, err := step(t, l.rec, sweepAcct); err != nil {
			t.Fatalf("after %d sweeps: %v", i, err)
		}
		if i == 10 {
			event(late)
		}
	}
	if got := l.get(late.ID).Status(); got != payment.StatusSucceeded {
		t.Errorf("the payment after them is %s", got)
	}
	for _, kind := range []string{"unreadable_item", "sweep_failing"} {
		if told := l.told(kind); len(told) > 0 {
			t.Errorf("told: %d of %s, such as %+v", len(told), kind, told[0])
		}
	}
}
