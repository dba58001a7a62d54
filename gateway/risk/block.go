package risk

import (
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Effect is what a block does.
type Effect string

// The effects.
const (
	EffectBlock Effect = "block" // no payment is opened and no approved one is captured
	EffectHold  Effect = "hold"  // the same until somebody has looked
)

// AnyApp is the app of a block that an operator set across all apps and modes.
const AnyApp = "*"

// Block keeps one subject from paying. Setting it again and lifting it change the same
// record, which keeps who did so.
type Block struct {
	ID        string
	App       string // AnyApp: all of them
	Mode      payment.Mode
	Subject   Ref
	Effect    Effect
	Reason    string
	Decision  string    // the decision that set it
	ExpiresAt time.Time // zero: never
	Active    bool
	Guarded   bool `json:",omitempty"` // an operator set it; see Operators
	CreatedAt time.Time
	UpdatedAt time.Time
	Log       []BlockEntry // oldest first, at most maxBlockLog
}

// BlockEntry is one change of a block.
type BlockEntry struct {
	At     time.Time
	By     payment.Actor
	What   string // set | lifted
	Effect Effect `json:",omitempty"`
	Reason string
	Ref    string // the decision or request it came from: the same again changes nothing
}

const maxBlockLog = 50

// BlockID is the id of the block of a subject in an app.
func BlockID(app string, mode payment.Mode, r Ref) string {
	if app == AnyApp {
		mode = ""
	}
	return payment.DeriveID("blk", app, string(mode), string(r.Kind), r.Value)
}

// In says whether the block is in force.
func (b Block) In(now time.Time) bool {
	return b.Active && (b.ExpiresAt.IsZero() || now.Before(b.ExpiresAt))
}

// Operators says that the block is in force and an operator's: whoever knows only one
// app, or one rule, must not undo what was decided with more in sight.
func (b Block) Operators(now time.Time) bool { return b.Guarded && b.In(now) }

// Set puts the block in force. ref names the cause: the same cause again changes
// nothing, also after somebody lifted it. A hold never weakens a block, and nobody but
// an operator weakens an operator's: of what others ask, what is stronger is added.
func (b Block) Set(effect Effect, reason, decision string, expires time.Time, by payment.Actor, ref string, now time.Time) (Block, bool) {
	if slices.ContainsFunc(b.Log, func(e BlockEntry) bool { return e.What == "set" && e.Ref == ref }) {
		return b, false
	}
	entry := BlockEntry{At: now, By: by, What: "set", Effect: effect, Reason: reason, Ref: ref}
	if effect == EffectHold && b.In(now) && b.Effect == EffectBlock {
		return b.log(entry, now), true
	}
	operator := by.Type == payment.ActorOperator
	if b.Operators(now) && !operator {
		if expires.IsZero() || !b.ExpiresAt.IsZero() && expires.After(b.ExpiresAt) {
			b.ExpiresAt = expires
		}
		if effect == EffectBlock {
			b.Effect = EffectBlock
		}
		return b.log(entry, now), true
	}
	if b.CreatedAt.IsZero() {
		b.CreatedAt = now
	}
	b.Guarded = operator
	b.Effect, b.Reason, b.Decision, b.ExpiresAt, b.Active = effect, reason, decision, expires, true
	return b.log(entry, now), true
}

// Lift ends the block and keeps its record.
func (b Block) Lift(reason string, by payment.Actor, ref string, now time.Time) (Block, bool) {
	if !b.Active {
		return b, false
	}
	b.Active, b.Guarded = false, false
	return b.log(BlockEntry{At: now, By: by, What: "lifted", Reason: reason, Ref: ref}, now), true
}

func (b Block) log(e BlockEntry, now time.Time) Block {
	b.Log = append(slices.Clone(b.Log), e)
	if extra := len(b.Log) - maxBlockLog; extra > 0 {
		b.Log = b.Log[extra:]
	}
	b.UpdatedAt = now
	return b
}
