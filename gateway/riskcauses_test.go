package gateway_test

import (
	"context"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// ban blocks a customer by hand.
func (w *world) ban(c gateway.Caller, key string, in gateway.BlockInput) gateway.BlockAnswer {
	w.t.Helper()
	r := request("/v1/blocks", key, in)
	if r.Caller = c; c.Operator {
		in.App = "shop"
	}
	set, err := w.svc.SetBlock(context.Background(), r, in)
	if err != nil {
		w.t.Fatal(err)
	}
	return set
}

// Guards an app's own block against the end of a rule's over it: once the decision is reversed, the app's stands, says
// so, and can be lifted by the app.
func TestReversalLeavesWhatOthersBlocked(t *testing.T) {
	t.Parallel()
	w := withRules(t, banning(risk.ActBlock))
	open := w.mustCreate("open", of("eve", "stripe"))
	own := w.ban(shop, "ban", gateway.BlockInput{Customer: "eve", Reason: "ours"})
	w.declines(open.ID, 5)
	if err := w.work(3); err != nil {
		t.Fatal(err)
	}
	var rule risk.Decision
	for _, d := range w.decisions() {
		if d.Rule == risk.DeclineVelocity {
			rule = d
		}
	}
	if b, err := w.svc.Block(t.Context(), shop, own.Block.ID); err != nil || b.Decision != rule.ID {
		t.Fatalf("the rule blocked nobody: %+v, %v", b, err)
	}
	w.reverse(rule.ID)
	_, err := w.create("again", of("eve", "stripe"))
	wantStopped(t, err, gateway.DeclineBlocked)
	b, err := w.svc.Block(t.Context(), shop, own.Block.ID)
	if err != nil || b.Reason != "ours" || b.Decision != own.Decision.ID {
		t.Errorf("it shows %+v, %v", b, err)
	}
	if _, err := w.svc.LiftBlock(t.Context(), shop, b.ID, "settled"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.create("again", of("eve", "stripe")); err != nil {
		t.Errorf("lifted, and still: %v", err)
	}
}

// Guards a permanent block against a short one over it: it goes on when the short one is over, and a hold goes on when a
// block over it is.
func TestShortBlockEndsNoLongOne(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	w.ban(shop, "ban", gateway.BlockInput{Customer: "eve", Reason: "ours"})
	short := gateway.BlockInput{Customer: "eve", Reason: "theirs", ExpiresAt: w.now().Add(time.Hour)}
	set := w.ban(operator, "short", short)
	if _, err := w.svc.LiftBlock(t.Context(), shop, set.Block.ID, "mine"); payment.CodeOf(err) != payment.CodeForbidden {
		t.Errorf("an app lifted what an operator blocked: %v", err)
	}
	w.pass(2 * time.Hour)
	_, err := w.create("again", of("eve", "stripe"))
	wantStopped(t, err, gateway.DeclineBlocked)
	if b, err := w.svc.Block(t.Context(), shop, set.Block.ID); err != nil || b.Reason != "ours" || !b.ExpiresAt.IsZero() {
		t.Errorf("it shows %+v, %v", b, err)
	}

	w, held := heldForReview(t)
	w.review(held.ID)
	hold, err := w.svc.Block(t.Context(), shop, risk.BlockID("shop", payment.ModeTest, risk.Ref{Kind: risk.KindPayment, Value: held.ID}))
	if err != nil || hold.Effect != risk.EffectHold {
		t.Fatalf("%+v, %v", hold, err)
	}
	_, err = w.rules.ChangeBlock(t.Context(), hold, func(b risk.Block) (risk.Block, bool) {
		return b.Set(risk.EffectBlock, "for now", "rde_1", w.now().Add(time.Hour), payment.Actor{Type: payment.ActorRisk}, "rde_1", w.now())
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{gateway.DeclineBlocked, gateway.DeclineHeld} {
		_, err = w.capture(held.ID, "c", 0, true)
		wantStopped(t, err, want)
		w.pass(2 * time.Hour)
	}
}

// confirm is an operator's word on a decision.
func (w *world) confirm(id string) (risk.Decision, error) {
	r := request("/v1/risk/decisions/"+id+"/confirm", "confirm", "x")
	r.Caller = operator
	d, _, err := w.svc.ConfirmDecision(context.Background(), r, id, "stolen cards, police")
	return d, err
}

// Guards what an operator confirmed after the rule had acted: an app's key does not lift it, whatever became of the
// decision, and wherever the process died that was told so.
func TestConfirmedBlockIsTheOperators(t *testing.T) {
	t.Parallel()
	confirmed := func(rounds, dies int) (writes int) {
		w := withRules(t, banning(risk.ActBlock, risk.ActCancel))
		open := w.mustCreate("open", of("eve", "stripe"))
		w.declines(open.ID, 5)
		if rounds == 1 {
			w.stripe.fail("close_checkout", tooMany, tooMany) // it stays pending
		}
		if err := w.work(rounds); err != nil {
			t.Fatal(err)
		}
		d := w.decisions()[0]
		if (d.State == risk.Pending) != (rounds == 1) {
			t.Fatalf("after %d rounds it is %s", rounds, d.State)
		}
		w.hook = func(_ store.WritePoint, when faults.When) error {
			if when == faults.After {
				if writes++; writes == dies {
					panic(crash{})
				}
			}
			return nil
		}
		w.crashed(func() {
			if _, err := w.confirm(d.ID); err != nil {
				t.Fatal(err)
			}
		})
		if err := w.work(6); err != nil {
			t.Fatal(err)
		}
		id := risk.BlockID("shop", payment.ModeTest, risk.Ref{Kind: risk.KindCustomer, Value: "eve"})
		if _, err := w.svc.LiftBlock(t.Context(), shop, id, "we like eve"); payment.CodeOf(err) != payment.CodeForbidden {
			t.Errorf("%d rounds, died after write %d: an app lifts what an operator confirmed: %v", rounds, dies, err)
		}
		if d := w.decisions()[0]; d.State != risk.Applied || d.Open() {
			t.Errorf("%d rounds, died after write %d: it is %s, looked at %s", rounds, dies, d.State, d.NextAt)
		}
		if _, err := w.svc.LiftBlock(t.Context(), operator, id, "settled"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.create("again", of("eve", "stripe")); err != nil {
			t.Errorf("lifted by an operator: %v", err)
		}
		return writes
	}
	for _, rounds := range []int{1, 6} {
		total := confirmed(rounds, 0)
		for dies := 1; dies <= total; dies++ {
			confirmed(rounds, dies)
		}
	}
}

// Guards the same against a worker that was carrying the decision out when it was confirmed, and did not know.
func TestConfirmedWhileItIsCarriedOut(t *testing.T) {
	t.Parallel()
	w := withRules(t, banning(risk.ActBlock, risk.ActCancel))
	open := w.mustCreate("open", of("eve", "stripe"))
	w.declines(open.ID, 5)
	changes := 0 // of the decision; the last one makes it applied
	w.hook = func(p store.WritePoint, when faults.When) error {
		if p != store.PointRiskDecisionChange || when != faults.Before || w.decisions()[0].Unsettled() > 0 || !w.decisions()[0].Planned {
			return nil
		}
		if changes++; changes == 2 {
			w.mu.Lock()
			w.hook = func(p store.WritePoint, when faults.When) error {
				if p == store.PointRiskDecisionChange && when == faults.After {
					panic(crash{}) // the operator's process
				}
				return nil
			}
			w.mu.Unlock()
			func() {
				defer func() { _ = recover() }()
				_, _ = w.confirm(w.decisions()[0].ID)
			}()
			w.mu.Lock()
			w.hook = nil
			w.mu.Unlock()
		}
		return nil
	}
	if err := w.work(8); err != nil {
		t.Fatal(err)
	}
	if d := w.decisions()[0]; changes < 2 || d.By.Type != payment.ActorOperator || d.State != risk.Applied || d.Open() {
		t.Fatalf("%d changes: %+v", changes, d)
	}
	id := risk.BlockID("shop", payment.ModeTest, risk.Ref{Kind: risk.KindCustomer, Value: "eve"})
	if _, err := w.svc.LiftBlock(t.Context(), shop, id, "we like eve"); payment.CodeOf(err) != payment.CodeForbidden {
		t.Errorf("an app lifts what an operator confirmed: %v", err)
	}
}
