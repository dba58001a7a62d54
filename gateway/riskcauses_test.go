package gateway_test

import (
	"context"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
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
