package gateway_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// Guards that a block stops a capture that the provider has certainly not made, also
// where it was asked before: "too many requests" moved no money. One whose answer was
// lost is settled instead, or money would be taken that nobody recorded.
func TestBlockStopsWhatWasCertainlyNotDone(t *testing.T) {
	t.Parallel()
	for f, want := range map[fault]int64{tooMany: 0, timeoutAfter: 1000} {
		w := withRules(t)
		p := w.mustCreate("wallet", of("eve", "paypal"))
		w.paypal.pay(p.ID, 1)
		w.paypal.fail("capture", f)
		w.comeBack(p.ID, 1)
		if _, err := w.svc.SetBlock(context.Background(), request("/v1/blocks", "ban", "eve"), gateway.BlockInput{Customer: "eve", Reason: "stolen"}); err != nil {
			t.Fatal(err)
		}
		if err := w.work(12); err != nil {
			t.Fatal(err)
		}
		w.wantCaptured(p.ID, want)
		w.wantBooks(p.ID)
	}
}

// Guards what a reversal means while a worker is amid the decision: no further step is
// begun, no block appears after it, and what was done all the same is not called skipped.
func TestReversalStopsAVisitUnderWay(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	first, second := w.mustCreate("a", of("eve", "stripe")), w.mustCreate("b", of("eve", "stripe"))
	for _, p := range []*payment.Payment{first, second} {
		w.stripe.pay(p.ID, 1)
		w.comeBack(p.ID, 1)
	}
	id := ""
	w.stripe.during = func(op string) {
		if op != "refund" || id != "" {
			return
		}
		id = w.decisions()[0].ID
		r := request("/v1/risk/decisions/"+id+"/reverse", "k", "x")
		r.Caller = operator
		if _, _, err := w.svc.ReverseDecision(context.Background(), r, id, "the wrong one"); err != nil {
			t.Error(err)
		}
	}
	_, err := w.svc.SetBlock(context.Background(), request("/v1/blocks", "ban", "eve"), gateway.BlockInput{Customer: "eve", Reason: "stolen", Refund: true})
	if err != nil {
		t.Fatal(err)
	}
	w.stripe.during = nil
	if err := w.work(12); err != nil {
		t.Fatal(err)
	}
	if sum := w.refundedSum(first.ID) + w.refundedSum(second.ID); sum != 1000 {
		t.Errorf("%d were given back, want the 1000 that were on their way", sum)
	}
	d := w.decisions()[0]
	done := 0
	for _, step := range d.Steps {
		if step.State == risk.StepDone && step.Amount.Minor == 1000 {
			done++
		}
	}
	if d.State != risk.Reversed || done != 1 || d.Unsettled() != 0 {
		t.Errorf("the decision says %s, %+v", d.State, d.Steps)
	}
	if _, err := w.create("again", of("eve", "stripe")); err != nil {
		t.Errorf("still blocked: %v", err)
	}
}

// Guards a reversal that comes between a worker's reading of a decision and its block:
// the block must not outlive it.
func TestReversalOutlivesALateBlock(t *testing.T) {
	t.Parallel()
	w := withRules(t, banning(risk.ActBlock))
	open := w.mustCreate("open", of("eve", "stripe"))
	w.declines(open.ID, 5)
	once := true
	w.hook = func(p store.WritePoint, when faults.When) error {
		if !once || p != store.PointRiskBlockInsert || when != faults.Before {
			return nil
		}
		once = false
		d := w.decisions()[0]
		r := request("/v1/risk/decisions/"+d.ID+"/reverse", "k", "x")
		r.Caller = operator
		if _, _, err := w.svc.ReverseDecision(context.Background(), r, d.ID, "the wrong one"); err != nil {
			t.Error(err)
		}
		return nil
	}
	if err := w.work(12); err != nil {
		t.Fatal(err)
	}
	if once {
		t.Fatal("nothing was blocked")
	}
	if _, err := w.create("again", of("eve", "stripe")); err != nil {
		t.Errorf("the decision is %s, and still: %v", w.decisions()[0].State, err)
	}
}

// Guards a reversal while the provider is away: what was ordered and turned away is not
// done behind the operator's back, what may have happened is settled.
func TestReversalStopsWhatTheProviderTurnedAway(t *testing.T) {
	t.Parallel()
	for f, want := range map[fault]int64{tooMany: 0, timeoutAfter: 1000} {
		w := withRules(t)
		p := w.mustCreate("a", of("eve", "stripe"))
		w.stripe.pay(p.ID, 1)
		w.comeBack(p.ID, 1)
		w.stripe.fail("refund", f)
		in := gateway.BlockInput{Customer: "eve", Reason: "stolen", Refund: true}
		set, err := w.svc.SetBlock(context.Background(), request("/v1/blocks", "ban", "eve"), in)
		d := set.Decision
		if err != nil {
			t.Fatal(err)
		}
		r := request("/v1/risk/decisions/"+d.ID+"/reverse", "k", "x")
		r.Caller = operator
		if _, _, err := w.svc.ReverseDecision(context.Background(), r, d.ID, "the wrong one"); err != nil {
			t.Fatal(err)
		}
		if err := w.work(12); err != nil {
			t.Fatal(err)
		}
		if got := w.refundedSum(p.ID); got != want {
			t.Errorf("fault %v: %d were given back, want %d", f, got, want)
		}
		w.wantBooks(p.ID)
	}
}

// Guards the queues against records that nobody can work on: however many stand at the
// head, somebody's ban behind them is carried out, and news behind them is heard.
func TestPoisonedRecordsStopNobody(t *testing.T) {
	t.Parallel()
	w := withRules(t, banning(risk.ActBlock))
	index := map[string]any{"signal_at": w.now()}
	for i := range 60 {
		id := fmt.Sprintf("pay_bad%d", i)
		if err := w.inner.Insert(context.Background(), "payments", store.Doc{ID: id, Body: []byte(`{"schema":9}`), Index: index}); err != nil {
			t.Fatal(err)
		}
		bad := risk.Decision{ID: fmt.Sprintf("rde_bad%d", i), App: "shop", Mode: payment.ModeTest, State: risk.Pending, Payments: []string{id}, NextAt: w.now()}
		if _, _, err := w.rules.InsertDecision(context.Background(), bad); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(time.Minute)
	open := w.mustCreate("open", of("eve", "stripe"))
	w.declines(open.ID, 5)
	for range 6 {
		if _, _, err := w.svc.Risk().Step(context.Background()); err == nil {
			t.Error("nobody hears of the records that can't be read")
		}
		w.pass(time.Second)
	}
	if _, err := w.create("again", of("eve", "stripe")); payment.CodeOf(err) != payment.CodeConflict {
		t.Errorf("not blocked: %v", err)
	}
}

// Guards contested money where the provider does not say which capture a chargeback is
// about: nothing is given back beside it.
func TestBanLeavesMoneyAloneThatMayBeContested(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	p := w.mustCreate("paid", of("eve", "stripe"))
	w.stripe.pay(p.ID, 1)
	w.comeBack(p.ID, 1)
	obs := payment.Observation{Provider: "stripe", Account: "stripe-eu", Facts: payment.Facts{Disputes: []payment.Dispute{{
		Key: payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: "dp_1"}, Amount: payment.Money{Minor: 1000, Currency: "usd"}, Stage: "chargeback",
		Status: payment.DisputeNeedsResponse, Stamp: payment.Stamp{Created: w.now(), AsOf: w.now()},
	}}}}
	if _, err := w.svc.Apply(context.Background(), p.ID, obs, payment.Source{}); err != nil {
		t.Fatal(err)
	}
	in := gateway.BlockInput{Customer: "eve", Reason: "stolen", Refund: true}
	if _, err := w.svc.SetBlock(context.Background(), request("/v1/blocks", "ban", "eve"), in); err != nil {
		t.Fatal(err)
	}
	if err := w.work(6); err != nil {
		t.Fatal(err)
	}
	if got := w.refundedSum(p.ID); got != 0 {
		t.Errorf("%d were given back", got)
	}
}
