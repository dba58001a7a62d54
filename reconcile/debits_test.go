package reconcile_test

import (
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
)

// Promise (I2): money that a provider took for a known capture is explained by a dispute
// about it, or told to a human: reading the payment again does not book it.
func TestUnexplainedDebit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		disputed bool
		found    int
	}{"nothing explains it": {false, 1}, "a dispute explains it": {true, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clk := &clock{t: start}
			f := newFake("acct", clk, "money")
			l := newLab(t, clk, options{}, f)
			p := settled(l, f, 5000)
			clk.advance(time.Minute)
			if c.disputed {
				f.checkouts[root(p)].disputes = []payment.Dispute{{
					Key: f.key("dp_1"), Capture: "cap_" + root(p), Amount: usd(5000), Stage: "chargeback", Status: payment.DisputeLost,
					Withheld: 5000, Stamp: payment.Stamp{Created: clk.now(), AsOf: clk.now()},
				}}
			}
			f.list("money", providers.SweepItem{
				Object: providers.Ref{Kind: "debit", ID: "t1201"}, Hint: providers.Hint{Refs: []string{"t1201", "cap_" + root(p)}},
				Amount: usd(-5000), Created: clk.now(), Paid: true,
			})
			for range 30 {
				clk.advance(5 * time.Minute)
				must(t, l.rec, sweepAcct)
			}
			found, _, err := l.differ.List(t.Context(), store.DiscrepancyFilter{Payment: p.ID, State: "open", Limit: 10})
			if err != nil || len(found) != c.found {
				t.Errorf("differences for a human: %+v, %v; want %d", found, err, c.found)
			}
			if got := l.get(p.ID).Amounts().Disputed; c.disputed && got != 5000 {
				t.Errorf("disputed %d, want 5000", got)
			}
		})
	}
}

// Promise: a reversal that the provider undid is read again for that.
func TestReversalThatWasUndone(t *testing.T) {
	t.Parallel()
	clk := &clock{t: start}
	f := newFake("acct", clk, "money")
	l := newLab(t, clk, options{}, f)
	p := settled(l, f, 5000)
	clk.advance(time.Minute)
	taken := payment.Reversal{Key: f.key("rev_1"), Capture: "cap_" + root(p), Amount: usd(5000), Stamp: payment.Stamp{Created: clk.now(), AsOf: clk.now()}}
	f.checkouts[root(p)].reversals = []payment.Reversal{taken}
	row := providers.SweepItem{
		Object: providers.Ref{Kind: "refund", ID: "rev_1"}, Hint: providers.Hint{Refs: []string{"rev_1", "cap_" + root(p)}},
		Amount: usd(-5000), Created: clk.now(), Changed: clk.now(), Paid: true, Done: true,
	}
	f.list("money", row)
	for range 3 {
		clk.advance(5 * time.Minute)
		must(t, l.rec, sweepAcct)
	}
	if got := l.get(p.ID).Amounts().Disputed; got != 5000 {
		t.Fatalf("disputed %d, want 5000", got)
	}
	taken.Amount, taken.AsOf = usd(0), clk.now()
	f.checkouts[root(p)].reversals = []payment.Reversal{taken}
	row.Changed, row.Done = clk.now(), false
	f.list("money", row)
	before := f.fetches()
	for range 4 {
		clk.advance(5 * time.Minute)
		must(t, l.rec, sweepAcct)
	}
	if got := l.get(p.ID).Amounts().Disputed; got != 0 || f.fetches()-before != 1 {
		t.Errorf("disputed %d after %d readings, want 0 after one", got, f.fetches()-before)
	}
}
