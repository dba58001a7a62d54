package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// withRules is a world whose shop has these rules against fraud.
func withRules(t testing.TB, rules ...risk.Rule) *world {
	t.Helper()
	return newWorld(t, func(o *gateway.Options) {
		o.Risk = &gateway.RiskOptions{Policy: func(string, payment.Mode) risk.Policy { return risk.Policy{Rules: rules} }}
	})
}

func banning(actions ...risk.Action) risk.Rule {
	return risk.Rule{
		Name: risk.DeclineVelocity, Threshold: 5, Window: 30 * 24 * time.Hour, Codes: []string{"card_declined"},
		Actions: append([]risk.Action{risk.ActAlert}, actions...),
	}
}

func of(ref, provider string) gateway.CreateInput {
	in := input(provider)
	in.Customer = payment.Customer{Ref: ref}
	return in
}

// declines is what an adapter reports of n declined cards on an open page.
func (w *world) declines(id string, n int) {
	w.t.Helper()
	var facts payment.Facts
	for i := range n {
		facts.Declines = append(facts.Declines, payment.Decline{
			Key: payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: fmt.Sprint("ch_no", i)}, N: 1, Code: "card_declined",
			Card: payment.Card{Fingerprint: fmt.Sprint("card", i)}, Stamp: payment.Stamp{Created: w.now(), AsOf: w.now()},
		})
	}
	src := payment.Source{Layer: payment.LayerWebhook, Actor: payment.Actor{Type: "webhook", ID: "evt"}}
	if _, err := w.svc.Apply(context.Background(), id, payment.Observation{Provider: "stripe", Account: "stripe-eu", Facts: facts}, src); err != nil {
		w.t.Fatal(err)
	}
}

// work steps both workers for hours, and gives the first error.
func (w *world) work(rounds int) error {
	var first error
	for range rounds {
		_, _, err := w.svc.Risk().Step(context.Background())
		_, _, err2 := w.ops.Step(context.Background())
		for _, e := range []error{err, err2} {
			if e != nil && first == nil {
				first = e
			}
		}
		w.pass(10 * time.Minute)
	}
	return first
}

func (w *world) decisions() []risk.Decision {
	w.t.Helper()
	list, _, err := w.rules.Decisions(context.Background(), gateway.DecisionFilter{Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// wantBan is how a ban of "eve" must end.
func (w *world) wantBan(paid, open, held *payment.Payment) {
	w.t.Helper()
	for _, p := range []*payment.Payment{open, held} {
		if got := w.get(p.ID).Status(); got != payment.StatusCanceled {
			w.t.Errorf("%s is %s, want canceled: %s", p.ID, got, told(w.get(p.ID)))
		}
	}
	if got := w.refundedSum(paid.ID); got != 1000 {
		w.t.Errorf("%d were given back, want 1000", got)
	}
	w.wantBooks(paid.ID)
	d := w.decisions()
	if len(d) != 1 || d[0].State != risk.Applied || d[0].Unsettled() != 0 {
		w.t.Fatalf("decisions %+v", d)
	}
	list, _, err := w.alerts.List(context.Background(), store.AlertFilter{Limit: 100})
	if err != nil || len(list) != 1 || list[0].Kind != "customer_blocked" || list[0].Count != 1 {
		w.t.Errorf("alerts %+v, %v", list, err)
	}
	for _, id := range []string{paid.ID, open.ID, held.ID} {
		p := w.get(id)
		notes := 0
		for _, h := range p.History {
			if h.Source.Actor == (payment.Actor{Type: payment.ActorRisk, ID: d[0].ID}) && h.Before.Status == h.After.Status && h.Before.Amounts.RefundPending == h.After.Amounts.RefundPending {
				notes++
			}
		}
		if len(p.Signals) != 0 || notes > 2 {
			w.t.Errorf("%s: %d signals left, %d notes", id, len(p.Signals), notes)
		}
	}
	if _, err := w.create("again", of("eve", "stripe")); payment.CodeOf(err) != payment.CodeConflict {
		w.t.Errorf("a blocked customer's create: %v", err)
	}
}

// eve is a customer with something paid, open and held.
func (w *world) eve() (paid, open, held *payment.Payment) {
	w.t.Helper()
	paid = w.mustCreate("paid", of("eve", "stripe"))
	w.stripe.pay(paid.ID, 1)
	w.comeBack(paid.ID, 1)
	in := of("eve", "stripe")
	in.Capture = "manual"
	held = w.mustCreate("held", in)
	w.stripe.pay(held.ID, 1)
	w.comeBack(held.ID, 1)
	return paid, w.mustCreate("open", of("eve", "stripe")), held
}

// Guards a ban against crashes: the process dies before or after any write of it, and
// still every step is done, once, and people are told once.
func TestBanSurvivesACrashAnywhere(t *testing.T) {
	t.Parallel()
	reached := map[store.WritePoint]bool{}
	ban := func(t testing.TB, at int, when faults.When) (writes int) {
		t.Helper()
		w := withRules(t, banning(risk.ActBlock, risk.ActCancel, risk.ActRefund))
		paid, open, held := w.eve()
		w.declines(open.ID, 5)
		dead := false
		w.mu.Lock()
		w.hook = func(p store.WritePoint, now faults.When) error {
			if now == faults.Before {
				writes++
			}
			if at == 0 { // the first walk, alone
				reached[p] = true
			}
			if dead = dead || writes == at && now == when; dead {
				return fmt.Errorf("crashed: %w", store.ErrUnavailable)
			}
			return nil
		}
		w.mu.Unlock()
		_ = w.work(12) // dies on the way
		w.mu.Lock()
		w.hook = nil
		w.mu.Unlock()
		w.restart()
		if err := w.work(12); err != nil {
			t.Fatalf("after the crash: %v", err)
		}
		w.wantBan(paid, open, held)
		return writes
	}
	total := ban(t, 0, faults.Before)
	if total < 20 {
		t.Fatalf("a ban makes only %d writes: the walk would prove nothing", total)
	}
	for _, p := range []store.WritePoint{store.PointRiskDecisionInsert, store.PointRiskDecisionChange, store.PointRiskBlockInsert} {
		if !reached[p] {
			t.Errorf("a ban makes no write at %s", p)
		}
	}
	for at := 1; at <= total; at++ {
		for _, when := range []faults.When{faults.Before, faults.After} {
			t.Run(fmt.Sprint(when, at), func(t *testing.T) {
				t.Parallel()
				ban(t, at, when)
			})
		}
	}
}

// Guards refunds against providers that fail in every way: never twice, and done in
// the end.
func TestBanRefundsOnceWhateverTheProviderDoes(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{timeoutBefore, timeoutAfter, tooMany, stored500, stored500Done, htmlPage, blindRead} {
		t.Run(fmt.Sprint(f), func(t *testing.T) {
			t.Parallel()
			w := withRules(t, banning(risk.ActBlock, risk.ActCancel, risk.ActRefund))
			paid, open, held := w.eve()
			w.declines(open.ID, 5)
			w.stripe.fail("refund", f)
			w.stripe.fail("close_checkout", f)
			w.stripe.fail("void", f)
			if err := w.work(200); err != nil {
				t.Fatal(err)
			}
			w.wantBan(paid, open, held)
		})
	}
}

// Guards money that is contested: a chargeback and a refund would pay twice.
func TestBanLeavesContestedMoneyAlone(t *testing.T) {
	t.Parallel()
	for stage, want := range map[string]int64{"chargeback": 0, payment.StageInquiry: 1000} {
		w := withRules(t, banning(risk.ActBlock, risk.ActRefund))
		paid, open, _ := w.eve()
		capture := w.get(paid.ID).Facts.Captures[0]
		obs := payment.Observation{Provider: "stripe", Account: "stripe-eu", Facts: payment.Facts{Disputes: []payment.Dispute{{
			Key: payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: "dp_1"}, Capture: capture.Key.ID, Amount: capture.Amount, Stage: stage,
			Status: payment.DisputeNeedsResponse, Stamp: payment.Stamp{Created: w.now(), AsOf: w.now()},
		}}}}
		if _, err := w.svc.Apply(context.Background(), paid.ID, obs, payment.Source{}); err != nil {
			t.Fatal(err)
		}
		w.declines(open.ID, 5)
		if err := w.work(12); err != nil {
			t.Fatal(err)
		}
		if got := w.refundedSum(paid.ID); got != want {
			t.Errorf("%s: %d were given back, want %d", stage, got, want)
		}
	}
}

// Guards that a hold keeps an approval from being captured, without losing it: once
// somebody reversed the decision, the money is taken.
func TestHoldPutsCaptureOff(t *testing.T) {
	t.Parallel()
	w := withRules(t, banning(risk.ActHold))
	wallet, open := w.mustCreate("wallet", of("eve", "paypal")), w.mustCreate("open", of("eve", "stripe"))
	w.declines(open.ID, 5)
	if err := w.work(3); err != nil {
		t.Fatal(err)
	}
	w.paypal.pay(wallet.ID, 1)
	w.comeBack(wallet.ID, 1)
	if err := w.work(3); err != nil {
		t.Fatal(err)
	}
	w.wantStatus(wallet.ID, payment.StatusProcessing)
	w.wantCaptured(wallet.ID, 0)
	_, err := w.create("more", of("eve", "stripe"))
	if e := (*payment.Error)(nil); !errors.As(err, &e) || e.Code != payment.CodeConflict || e.DeclineCode != gateway.DeclineHeld {
		t.Errorf("a held customer's create: %v", err)
	}
	d := w.decisions()[0]
	r := request("/v1/risk/decisions/"+d.ID+"/reverse", "k", "x")
	r.Caller = operator
	if _, _, err := w.svc.ReverseDecision(context.Background(), r, d.ID, "it is fine"); err != nil {
		t.Fatal(err)
	}
	if err := w.work(3); err != nil {
		t.Fatal(err)
	}
	w.wantStatus(wallet.ID, payment.StatusSucceeded)
	w.wantCaptured(wallet.ID, 1000)
}

// Guards a dry run: it leaves the whole store byte for byte as it was, and a dry rule
// touches nothing but its own records and the notes about it.
func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	w := withRules(t, banning(risk.ActBlock, risk.ActCancel, risk.ActRefund))
	paid, open, _ := w.eve()
	w.declines(open.ID, 5)
	dump := func() []byte {
		var b bytes.Buffer
		for _, c := range store.Collections() {
			docs, next, err := w.inner.Scan(context.Background(), c.Name, "", store.MaxLimit)
			if err != nil || next != "" {
				t.Fatal(err, next)
			}
			for _, d := range docs {
				fmt.Fprintf(&b, "%s %s %d %s %v\n", c.Name, d.ID, d.Version, d.Body, d.Index)
			}
		}
		return b.Bytes()
	}
	before := dump()
	report, err := w.svc.DryRun(context.Background(), operator, gateway.DryRunInput{App: "shop", Days: 30})
	if err != nil || report.Blocked != 1 || report.Refunded != 1 || report.Canceled != 2 || report.Total[0].Minor != 1000 || report.Refunds[0].Payment != paid.ID {
		t.Fatalf("%+v, %v", report, err)
	}
	if !bytes.Equal(before, dump()) {
		t.Error("asking changed the store")
	}
	// What it foretold is what happens.
	if err := w.work(12); err != nil {
		t.Fatal(err)
	}
	if got := w.refundedSum(paid.ID); got != report.Total[0].Minor {
		t.Errorf("%d were given back, the report said %s", got, report.Total[0])
	}
}

// Guards blocks against requests that say too little: nobody is blocked by them.
func TestBlockNeedsAReasonAndOneName(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	for _, in := range []gateway.BlockInput{
		{Customer: "eve"},
		{Reason: "x"},
		{Reason: "x", EmailHash: "abc"},
		{Reason: "x", Email: "nobody"},
		{Reason: "x", Email: "Ann <ann@example.com>"},
		{Reason: "x", Email: "ann@example.com, bob@example.com"},
		{Reason: "x", Email: "<ann@example.com>"},
		{Reason: "x", Email: "ann@example.com;bob@example.com"},
		{Reason: "x", Email: "ann@bob@example.com"},
		{Reason: "x", Email: "ann @example.com"},
		{Reason: "x", Email: "@example.com"},
		{Reason: "x", Email: "ann@"},
		{Reason: "x", Customer: "eve", Payer: "P"},
		{Reason: "x", Customer: "e\nve"},
	} {
		_, err := w.svc.SetBlock(context.Background(), request("/v1/blocks", "k", in), in)
		wantCode(t, err, payment.CodeInvalid)
	}
	if list, _, err := w.rules.ListBlocks(context.Background(), gateway.BlockFilter{}); err != nil || len(list) != 0 || len(w.decisions()) != 0 {
		t.Errorf("blocked all the same: %v, %v", list, err)
	}
}

// Guards blocks of people whose address breaks the RFC and exists all the same, as providers tell of it.
func TestBlockByAnAddressThatBreaksTheRFC(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	for _, email := range []string{"john..doe@docomo.ne.jp", " john.@docomo.ne.jp"} {
		in := gateway.BlockInput{Email: email, Reason: "stolen"}
		got, err := w.svc.SetBlock(t.Context(), request("/v1/blocks", email, in), in)
		if err != nil || got.Block.Subject.Value != payment.EmailHash(email) || !got.Block.Active {
			t.Errorf("%s: %+v, %v", email, got.Block, err)
		}
	}
}

// Guards the lengths that the API promises: they are of characters, so that whoever may
// pay under a name can also be blocked by it, in any script.
func TestBlockLengthsAreOfCharacters(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	set := func(in gateway.BlockInput) error {
		_, err := w.svc.SetBlock(t.Context(), request("/v1/blocks", "k", in), in)
		return err
	}
	name, reason := strings.Repeat("한", 200), strings.Repeat("이", 1000)
	if err := set(gateway.BlockInput{Customer: name, Reason: reason}); err != nil {
		t.Errorf("200 characters, and a reason of 1000: %v", err)
	}
	in := input("")
	in.Customer.Ref = name
	_, err := w.create("blocked", in)
	wantCode(t, err, payment.CodeConflict)
	wantCode(t, set(gateway.BlockInput{Customer: name + "한", Reason: "x"}), payment.CodeInvalid)
	wantCode(t, set(gateway.BlockInput{Customer: "eve", Reason: reason + "x"}), payment.CodeInvalid)
}

// Guards modes: an app's key does not block in its own mode when the other was asked for.
func TestBlockInTheOtherMode(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	in := gateway.BlockInput{Customer: "eve", Mode: payment.ModeLive, Reason: "x"}
	_, err := w.svc.SetBlock(t.Context(), request("/v1/blocks", "k", in), in)
	wantCode(t, err, payment.CodeForbidden)
	if list, _, err := w.rules.ListBlocks(t.Context(), gateway.BlockFilter{}); err != nil || len(list) != 0 {
		t.Errorf("blocked all the same: %v, %v", list, err)
	}
}

// Guards a review: it holds the payment it is about, and nothing else of the customer.
func TestReviewHoldsItsPaymentOnly(t *testing.T) {
	t.Parallel()
	w := withRules(t, risk.Rule{Name: risk.ReviewOpened, Actions: []risk.Action{risk.ActAlert, risk.ActHold}})
	_, _, held := w.eve()
	obs := payment.Observation{Provider: "stripe", Account: "stripe-eu", Facts: payment.Facts{Reviews: []payment.Review{{
		Key: payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: "prv_1"}, Open: true, Opened: "rule",
		Stamp: payment.Stamp{Created: w.now(), AsOf: w.now()},
	}}}}
	if _, err := w.svc.Apply(context.Background(), held.ID, obs, payment.Source{}); err != nil {
		t.Fatal(err)
	}
	if err := w.work(2); err != nil {
		t.Fatal(err)
	}
	_, err := w.capture(held.ID, "c", 0, true)
	if e := (*payment.Error)(nil); !errors.As(err, &e) || e.DeclineCode != gateway.DeclineHeld {
		t.Fatalf("capturing a payment in review: %v", err)
	}
	if _, err := w.create("more", of("eve", "stripe")); err != nil {
		t.Errorf("the customer's next payment: %v", err)
	}
	d := w.decisions()[0]
	r := request("/v1/risk/decisions/"+d.ID+"/reverse", "k", "x")
	r.Caller = operator
	if _, _, err := w.svc.ReverseDecision(context.Background(), r, d.ID, "approved"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.capture(held.ID, "c", 0, true); err != nil {
		t.Errorf("after the review: %v", err)
	}
}

// Guards people against a promise that quietly came to nothing: a refund that the
// provider refuses for good ends the decision as failed, and is told.
func TestRefusedRefundIsTold(t *testing.T) {
	t.Parallel()
	w := withRules(t, banning(risk.ActBlock, risk.ActRefund))
	_, open, _ := w.eve()
	for range 200 {
		w.stripe.fail("refund", refused)
	}
	w.declines(open.ID, 5)
	if err := w.work(600); err != nil {
		t.Fatal(err)
	}
	d := w.decisions()[0]
	if d.State != risk.Failed || len(d.Steps) != 1 || d.Steps[0].State != risk.StepFailed {
		t.Fatalf("%s: %+v", d.State, d.Steps)
	}
	list, _, err := w.alerts.List(context.Background(), store.AlertFilter{Limit: 100})
	critical := 0
	for _, a := range list {
		if a.Kind == "rule_fired" && a.Severity == "critical" && a.Payment == d.Steps[0].Payment {
			critical++
		}
	}
	if err != nil || critical != 1 {
		t.Errorf("told %d times: %+v, %v", critical, list, err)
	}
}
