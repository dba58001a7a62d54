package risk_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

var (
	never    time.Time
	anyApp   = payment.Actor{Type: "api_key", ID: "key"}
	anyRule  = payment.Actor{Type: payment.ActorRisk, ID: "rde"}
	somebody = payment.Actor{Type: payment.ActorOperator, ID: "op"}
)

// set puts a block in force by a decision of that name.
func set(b risk.Block, effect risk.Effect, decision string, expires time.Time, by payment.Actor, minute int) risk.Block {
	b, _ = b.Set(effect, "by "+decision, decision, expires, by, decision, at(minute))
	return b
}

// Guards what others decided: taking one decision back, or its end, leaves every block in force that somebody else set,
// whichever of the two came first and whoever is stronger.
func TestBlockOutlivesOneOfItsCauses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		other  func(risk.Block) risk.Block // what somebody else set
		effect risk.Effect
	}{
		"an app's":    {func(b risk.Block) risk.Block { return set(b, risk.EffectBlock, "rde_app", never, anyApp, 1) }, risk.EffectBlock},
		"a long one":  {func(b risk.Block) risk.Block { return set(b, risk.EffectBlock, "rde_long", at(999), anyApp, 1) }, risk.EffectBlock},
		"an operator": {func(b risk.Block) risk.Block { return set(b, risk.EffectBlock, "rde_op", never, somebody, 1) }, risk.EffectBlock},
		"a hold":      {func(b risk.Block) risk.Block { return set(b, risk.EffectHold, "rde_hold", never, anyRule, 1) }, risk.EffectHold},
	} {
		for _, by := range []payment.Actor{anyRule, anyApp, somebody} {
			for _, ends := range []time.Time{never, at(60)} {
				mine := func(b risk.Block) risk.Block { return set(b, risk.EffectBlock, "rde_1", ends, by, 2) }
				for _, both := range []risk.Block{mine(c.other(risk.Block{ID: "blk"})), c.other(mine(risk.Block{ID: "blk"}))} {
					if got := both.At(at(3)); !got.In(at(3)) || got.Effect != risk.EffectBlock {
						t.Errorf("%s and %s's: %+v", name, by.Type, got)
					}
					b, changed := both.Withdraw("rde_1", "a mistake", somebody, at(4))
					if got := b.At(at(99)); !changed || !got.In(at(99)) || got.Effect != c.effect || got.Decision == "rde_1" {
						t.Errorf("%s, after %s's was taken back: %+v", name, by.Type, got)
					}
					if again, changed := b.Withdraw("rde_1", "a mistake", somebody, at(5)); changed {
						t.Errorf("taken back twice: %+v", again)
					}
					if got := both.At(at(99)); !ends.IsZero() && (!got.In(at(99)) || got.Effect != c.effect) {
						t.Errorf("%s, after %s's was over: %+v", name, by.Type, got)
					}
					if lifted, _ := both.Lift("settled", somebody, "", at(6)); lifted.In(at(7)) {
						t.Errorf("%s: lifted, and still in force: %+v", name, lifted)
					}
				}
			}
		}
	}
}

// Guards the end of a block: the last cause taken back lifts it; what an app added to an operator's block is its own to
// lift again once the operator's was taken back.
func TestLastCauseLiftsTheBlock(t *testing.T) {
	t.Parallel()
	b := set(set(risk.Block{ID: "blk"}, risk.EffectBlock, "rde_op", never, somebody, 0), risk.EffectBlock, "rde_app", never, anyApp, 1)
	if !b.Operators(at(2)) {
		t.Fatal("an app may lift what an operator set")
	}
	if b, _ = b.Withdraw("rde_op", "settled", somebody, at(2)); !b.In(at(3)) || b.Operators(at(3)) || b.Reason != "by rde_app" {
		t.Errorf("the app's own is left: %+v", b)
	}
	if b, _ = b.Withdraw("rde_app", "settled", anyApp, at(4)); b.Active || b.In(at(5)) || len(b.Log) != 4 {
		t.Errorf("nothing is left: %+v", b)
	}
}

// Guards blocks set by a program that kept one cause only, and the bound: the strongest are kept.
func TestCausesOfOldAndMany(t *testing.T) {
	t.Parallel()
	old := risk.Block{ID: "blk", Effect: risk.EffectBlock, Reason: "stolen", Decision: "rde_old", Active: true, CreatedAt: at(0)}
	if b, changed := set(old, risk.EffectBlock, "rde_1", at(9), anyRule, 1).Withdraw("rde_1", "x", somebody, at(2)); !changed || !b.In(at(99)) || b.Decision != "rde_old" {
		t.Errorf("an old block: %+v", b)
	}
	if b, _ := old.Withdraw("rde_old", "x", somebody, at(2)); b.In(at(3)) {
		t.Errorf("taken back: %+v", b)
	}
	b := set(risk.Block{ID: "blk"}, risk.EffectBlock, "rde_app", never, anyApp, 0)
	for i := range 100 {
		b = set(b, risk.EffectBlock, fmt.Sprint("rde_", i), at(1000+i), somebody, 1)
	}
	if b = b.At(at(4000)); !b.In(at(5000)) || b.Decision != "rde_app" || len(b.Causes) > 20 {
		t.Errorf("%d causes: %+v", len(b.Causes), b)
	}
}

// Guards the end of a reversed decision: whoever was just setting its block, and comes after the reversal, sets nothing,
// whether others block the same subject, did so once, or nobody ever did.
func TestVoidDecisionSetsNothing(t *testing.T) {
	t.Parallel()
	lifted, _ := set(risk.Block{ID: "blk"}, risk.EffectHold, "rde_0", never, anyApp, 0).Lift("settled", anyApp, "", at(1))
	for name, b := range map[string]risk.Block{
		"nobody": {ID: "blk"}, "others": set(risk.Block{ID: "blk"}, risk.EffectHold, "rde_0", never, anyApp, 0), "once": lifted,
	} {
		was := b.In(at(9))
		void, changed := b.Void(risk.EffectBlock, "rde_1", "a mistake", somebody, at(2))
		if !changed || void.In(at(9)) != was || void.Effect == "" || void.CreatedAt.IsZero() {
			t.Errorf("%s: %v, %+v", name, changed, void)
		}
		if again, changed := void.Void(risk.EffectBlock, "rde_1", "a mistake", somebody, at(3)); changed {
			t.Errorf("%s: void twice: %+v", name, again)
		}
		if late, changed := void.Set(risk.EffectBlock, "stolen", "rde_1", never, anyRule, "rde_1", at(4)); changed || late.In(at(9)) != was {
			t.Errorf("%s: set after it was taken back: %+v", name, late)
		}
		if next := set(void, risk.EffectBlock, "rde_2", never, anyRule, 5); next.Decision != "rde_2" || !next.In(at(9)) {
			t.Errorf("%s: the next decision: %+v", name, next)
		}
	}
}

// Guards what an operator confirmed: it is theirs to lift like what they set, once, and only what still stands; the rest
// of the block stays as it is.
func TestConfirmedCauseIsTheOperators(t *testing.T) {
	t.Parallel()
	b := set(set(risk.Block{ID: "blk"}, risk.EffectBlock, "rde_app", never, anyApp, 0), risk.EffectBlock, "rde_rule", at(60), anyRule, 1)
	c, changed := b.Confirm("rde_rule", "police", somebody, at(2))
	if !changed || !c.Operators(at(3)) || c.Operators(at(99)) || c.Decision != "rde_rule" {
		t.Errorf("confirmed: %v, %+v", changed, c)
	}
	if again, changed := c.Confirm("rde_rule", "police", somebody, at(3)); changed {
		t.Errorf("twice: %+v", again)
	}
	if c, changed = b.Set(risk.EffectBlock, "stolen", "rde_rule", at(60), somebody, "rde_rule", at(2)); !changed || !c.Operators(at(3)) || len(c.Causes) != 2 {
		t.Errorf("set again by who confirmed it: %v, %+v", changed, c)
	}
	lifted, _ := b.Lift("settled", anyApp, "", at(2))
	withdrawn, _ := b.Withdraw("rde_rule", "a mistake", somebody, at(2))
	for name, gone := range map[string]risk.Block{"lifted": lifted, "withdrawn": withdrawn, "over": b.At(at(61)), "never": {ID: "blk"}} {
		if got, changed := gone.Confirm("rde_rule", "police", somebody, at(62)); changed {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got, changed := b.Confirm("rde_rule", "police", anyApp, at(2)); changed {
		t.Errorf("by an app: %+v", got)
	}
}

// Guards the bound on causes: what an app adds pushes nothing out that an operator set, and what lasts longest stays
// whoever set it.
func TestManyCausesLeaveTheOperators(t *testing.T) {
	t.Parallel()
	b := set(set(risk.Block{ID: "blk"}, risk.EffectBlock, "rde_long", at(500), somebody, 0), risk.EffectBlock, "rde_short", at(100), somebody, 0)
	b = set(b, risk.EffectBlock, "rde_last", at(9999), anyApp, 1)
	for i := range 45 {
		b = set(b, risk.EffectBlock, fmt.Sprint("rde_", i), at(1000+i), anyApp, 1)
	}
	kept := map[string]bool{}
	for _, c := range b.Causes {
		kept[c.Decision] = true
	}
	if !kept["rde_long"] || !kept["rde_short"] || !kept["rde_last"] || len(b.Causes) != 20 {
		t.Errorf("kept %v", kept)
	}
}

// Guards a cause that stands longer than the log remembers: set again, it is still one.
func TestCauseOutlivesItsLog(t *testing.T) {
	t.Parallel()
	b := set(risk.Block{ID: "blk"}, risk.EffectBlock, "rde_op", never, somebody, 0)
	for i := range 60 {
		b = set(b, risk.EffectHold, fmt.Sprint("rde_", i), at(2+i), anyRule, 1+i)
	}
	if again, changed := b.Set(risk.EffectBlock, "x", "rde_op", never, somebody, "rde_op", at(99)); changed {
		t.Errorf("%+v", again.Causes)
	}
}
