package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// Guards a reversal against what was under way: what a provider was told before, and did not answer, is looked for and
// never told again; and the decision's step says in the end what happened: done with its amount, or skipped.
func TestReversalSendsNothingAgain(t *testing.T) {
	t.Parallel()
	for f, happened := range map[fault]bool{timeoutBefore: false, timeoutAfter: true, stored500: false, stored500Done: true, tooMany: false} {
		for _, call := range []string{"refund", "void", "close_checkout"} {
			w := withRules(t)
			in := of("eve", "stripe")
			if call == "void" {
				in.Capture = "manual"
			}
			p := w.mustCreate("a", in)
			if call != "close_checkout" {
				w.stripe.pay(p.ID, 1)
				w.comeBack(p.ID, 1)
			}
			w.stripe.fail(call, f)
			before := w.get(p.ID).Status()
			set := w.ban(shop, "ban", gateway.BlockInput{Customer: "eve", Reason: "stolen", Cancel: true, Refund: true})
			d := w.reverse(set.Decision.ID)
			sent := f != tooMany
			if got := d.Steps[0].State; sent != (got == risk.StepPending) {
				t.Errorf("%s, fault %d: right after the reversal its step is %s", call, f, got)
			}
			if err := w.work(30); err != nil {
				t.Fatal(err)
			}
			if n := w.stripe.counted(call); n != 1 {
				t.Errorf("%s, fault %d: sent %d times", call, f, n)
			}
			d, err := w.rules.Decision(t.Context(), d.ID)
			if err != nil || d.State != risk.Reversed || len(d.Steps) != 1 || d.Open() {
				t.Fatalf("%s, fault %d: %+v, %v", call, f, d, err)
			}
			want := risk.Step{State: risk.StepSkipped}
			if happened {
				want.State = risk.StepDone
			}
			if happened && call == "refund" {
				want.Amount = payment.Money{Minor: 1000, Currency: "usd"}
			}
			if got := d.Steps[0]; got.State != want.State || got.Amount != want.Amount {
				t.Errorf("%s, fault %d: its step says %+v, want %+v; %s", call, f, got, want, told(w.get(p.ID)))
			}
			if got := w.refundedSum(p.ID); got != want.Amount.Minor {
				t.Errorf("%s, fault %d: %d were given back", call, f, got)
			}
			if got := w.get(p.ID); !happened && (got.Status() != before || got.Unfinished(0) != nil) {
				t.Errorf("%s, fault %d: nothing happened, and it is %s: %s", call, f, got.Status(), told(got))
			}
			w.wantBooks(p.ID)
		}
	}
}

// Guards the rules' memory: what they see after a reversal counts, also while something of the decision is still looked
// for.
func TestReversalForgetsOnce(t *testing.T) {
	t.Parallel()
	w := withRules(t, banning(risk.ActBlock))
	p, open := w.mustCreate("a", of("eve", "stripe")), w.mustCreate("b", of("eve", "stripe"))
	w.stripe.pay(p.ID, 1)
	w.comeBack(p.ID, 1)
	w.stripe.fail("refund", timeoutBefore)
	set := w.ban(shop, "ban", gateway.BlockInput{Customer: "eve", Reason: "stolen", Refund: true})
	w.reverse(set.Decision.ID)
	w.pass(time.Minute)
	w.declines(open.ID, 4)
	if err := w.work(30); err != nil {
		t.Fatal(err)
	}
	obs := payment.Observation{Provider: "stripe", Account: "stripe-eu", Facts: payment.Facts{Declines: []payment.Decline{{
		Key: payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: "ch_fifth"}, N: 1, Code: "card_declined",
		Stamp: payment.Stamp{Created: w.now(), AsOf: w.now()},
	}}}}
	if _, err := w.svc.Apply(t.Context(), open.ID, obs, payment.Source{}); err != nil {
		t.Fatal(err)
	}
	if err := w.work(3); err != nil {
		t.Fatal(err)
	}
	if n := len(w.decisions()); n != 2 {
		t.Errorf("%d decisions: five declines after the reversal fired nothing", n)
	}
}

// Guards the same where the provider needed not be told and nobody wrote down that the step was done: the payment knows.
func TestReversalKnowsWhatWasCanceledAtOnce(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	p := w.mustCreate("a", of("eve", ""))
	crashed := false
	w.hook = func(point store.WritePoint, when faults.When) error {
		crashed = crashed || point == store.PointPaymentReplace && when == faults.After && w.get(p.ID).Status() == payment.StatusCanceled
		if crashed && when == faults.Before {
			return fmt.Errorf("crashed: %w", store.ErrUnavailable)
		}
		return nil
	}
	set := w.ban(shop, "ban", gateway.BlockInput{Customer: "eve", Reason: "stolen", Cancel: true})
	w.hook = nil
	d := w.reverse(set.Decision.ID)
	if len(d.Steps) != 1 || d.Steps[0].State != risk.StepDone || !crashed {
		t.Errorf("%s: %+v", w.get(p.ID).Status(), d.Steps)
	}
}

// Guards a reversal against a process that was just setting the block, and died before it could look again: what comes
// after the reversal blocks nobody, however late.
func TestReversalStopsABlockUnderWay(t *testing.T) {
	t.Parallel()
	w := withRules(t, banning(risk.ActBlock, risk.ActCancel))
	open := w.mustCreate("open", of("eve", "stripe"))
	w.declines(open.ID, 5)
	reversed := false
	w.hook = func(p store.WritePoint, when faults.When) error {
		if reversed || p != store.PointRiskBlockInsert || when != faults.Before {
			return nil
		}
		reversed = true
		w.mu.Lock()
		w.hook = func(p store.WritePoint, when faults.When) error { // whatever it writes next is its last
			if when == faults.Before && p != store.PointRiskBlockInsert && p != store.PointRiskBlockChange {
				panic(crash{})
			}
			return nil
		}
		dies := w.hook
		w.hook = nil
		w.mu.Unlock()
		w.reverse(w.decisions()[0].ID)
		w.mu.Lock()
		w.hook = dies
		w.mu.Unlock()
		return nil
	}
	if !w.crashed(func() { _ = w.work(1) }) || !reversed {
		t.Fatal("nobody was setting the block")
	}
	if err := w.work(40); err != nil {
		t.Fatal(err)
	}
	if _, err := w.create("again", of("eve", "stripe")); err != nil {
		t.Errorf("a reversed decision blocks: %v", err)
	}
}

// Guards the list of blocks: a dry run that was found to be nothing never was a block, and is none in the list.
func TestReversedDryRunIsNoBlock(t *testing.T) {
	t.Parallel()
	rule := banning(risk.ActBlock)
	rule.DryRun = true
	w := withRules(t, rule)
	open := w.mustCreate("open", of("eve", "stripe"))
	w.declines(open.ID, 5)
	if err := w.work(2); err != nil {
		t.Fatal(err)
	}
	w.reverse(w.decisions()[0].ID)
	if list, _, err := w.rules.ListBlocks(t.Context(), gateway.BlockFilter{Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// Guards the rules' memory where the process dies that reversed a decision, before it wrote down that they forgot or
// before they did: what they see until another one comes is not forgotten with the rest.
func TestReversalDoneLateForgetsNothingMore(t *testing.T) {
	t.Parallel()
	for _, point := range []store.WritePoint{store.PointRiskSubjectChange, store.PointRiskDecisionChange} {
		w := withRules(t, banning(risk.ActBlock))
		first, second := w.mustCreate("a", of("eve", "stripe")), w.mustCreate("b", of("eve", "stripe"))
		w.declines(first.ID, 5)
		if err := w.work(2); err != nil {
			t.Fatal(err)
		}
		judged := false
		w.hook = func(p store.WritePoint, when faults.When) error {
			if judged && p == point && when == faults.Before {
				panic(crash{})
			}
			judged = judged || p == store.PointRiskDecisionChange && when == faults.After
			return nil
		}
		if !w.crashed(func() { w.reverse(w.decisions()[0].ID) }) {
			t.Fatal("it did not die")
		}
		w.pass(30 * time.Second)
		var facts payment.Facts
		for i := range 5 {
			facts.Declines = append(facts.Declines, payment.Decline{
				Key: payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: fmt.Sprint("ch_late", i)}, N: 1, Code: "card_declined",
				Stamp: payment.Stamp{Created: w.now(), AsOf: w.now()},
			})
		}
		apply := func(n int) {
			t.Helper()
			obs := payment.Observation{Provider: "stripe", Account: "stripe-eu", Facts: payment.Facts{Declines: facts.Declines[:n]}}
			if _, err := w.svc.Apply(t.Context(), second.ID, obs, payment.Source{}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := w.svc.Risk().Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		apply(4) // the same step takes the decision back, after them
		apply(5)
		if n := len(w.decisions()); n != 2 {
			t.Errorf("died at %s: %d decisions: five declines after the reversal fired nothing", point, n)
		}
	}
}
