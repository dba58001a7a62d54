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
// record, which keeps who did so. Several may want it at once: each is a cause of its own,
// so that taking back one of them leaves what the others set. Effect, Reason, Decision and
// ExpiresAt are those of the strongest cause.
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
	Guarded   bool    `json:",omitempty"` // an operator set it; see Operators
	Causes    []Cause `json:",omitempty"` // what keeps it in force, the one that is shown first, at most maxCauses
	CreatedAt time.Time
	UpdatedAt time.Time
	Log       []BlockEntry // oldest first, at most maxBlockLog
}

// BlockEntry is one change of a block.
type BlockEntry struct {
	At     time.Time
	By     payment.Actor
	What   string // set | confirmed | lifted | withdrawn: one cause was taken back, others stand, or it had not come yet
	Effect Effect `json:",omitempty"`
	Reason string
	Ref    string // the decision or request it came from: the same again changes nothing
}

// Cause is one reason why a block is in force.
type Cause struct {
	Effect    Effect
	Reason    string
	Decision  string    // the decision that set it
	ExpiresAt time.Time `json:",omitzero"`  // zero: never
	Operator  bool      `json:",omitempty"` // set by an operator
	Guarded   bool      `json:",omitempty"` // an operator's to lift: theirs, or added to theirs
	At        time.Time `json:",omitzero"`
}

func (c Cause) in(now time.Time) bool { return c.ExpiresAt.IsZero() || now.Before(c.ExpiresAt) }

// The log keeps more than the causes: a cause that is dropped for want of room is a weak
// one, and is still known as set.
const (
	maxBlockLog = 50
	maxCauses   = 20
)

// BlockID is the id of the block of a subject in an app.
func BlockID(app string, mode payment.Mode, r Ref) string {
	if app == AnyApp {
		mode = ""
	}
	return payment.DeriveID("blk", app, string(mode), string(r.Kind), r.Value)
}

// causes are those on record. One that was set by a program that knew of one only is what
// the block itself says.
func (b Block) causes() []Cause {
	if len(b.Causes) > 0 || !b.Active {
		return b.Causes
	}
	return []Cause{{Effect: b.Effect, Reason: b.Reason, Decision: b.Decision, ExpiresAt: b.ExpiresAt, Operator: b.Guarded, Guarded: b.Guarded, At: b.UpdatedAt}}
}

// standing are the causes whose time is not over.
func (b Block) standing(now time.Time) []Cause {
	return slices.DeleteFunc(slices.Clone(b.causes()), func(c Cause) bool { return !c.in(now) })
}

// In says whether the block is in force.
func (b Block) In(now time.Time) bool { return b.Active && len(b.standing(now)) > 0 }

// Operators says that the block is in force and an operator's: whoever knows only one
// app, or one rule, must not undo what was decided with more in sight.
func (b Block) Operators(now time.Time) bool {
	return b.Active && slices.ContainsFunc(b.standing(now), func(c Cause) bool { return c.Guarded })
}

// At is the block as it stands now: where a cause's time is over, the next one counts. One
// that is over altogether shows what it was last.
func (b Block) At(now time.Time) Block {
	if !b.Active {
		return b
	}
	return b.of(b.standing(now))
}

// of makes these causes the block's.
func (b Block) of(causes []Cause) Block {
	if len(causes) == 0 {
		return b
	}
	slices.SortStableFunc(causes, Cause.before)
	lead := causes[0]
	if len(causes) > maxCauses {
		causes = strongest(causes)
	}
	b.Causes, b.Active = causes, true
	b.Effect, b.Reason, b.Decision, b.ExpiresAt, b.Guarded = lead.Effect, lead.Reason, lead.Decision, lead.ExpiresAt, false
	for _, c := range causes {
		b.Guarded = b.Guarded || c.Guarded
		if c.Effect == lead.Effect && outlives(c.ExpiresAt, b.ExpiresAt) {
			b.ExpiresAt = c.ExpiresAt
		}
	}
	return b
}

// strongest are as many causes as are kept: the one that is shown, what lasts longest, what
// operators set, so that nobody pushes theirs out, and of the rest what lasts longest.
func strongest(causes []Cause) []Cause {
	slices.SortStableFunc(causes[1:], func(c, o Cause) int {
		switch {
		case outlives(c.ExpiresAt, o.ExpiresAt):
			return -1
		case outlives(o.ExpiresAt, c.ExpiresAt):
			return 1
		}
		return 0
	})
	slices.SortStableFunc(causes[2:], func(c, o Cause) int {
		switch {
		case c.Operator && !o.Operator:
			return -1
		case o.Operator && !c.Operator:
			return 1
		}
		return 0
	})
	return causes[:maxCauses]
}

// before says which of two causes is shown: a block goes before a hold, an operator's word
// before others', what lasts longer before what ends sooner, the later one before the
// earlier.
func (c Cause) before(o Cause) int {
	for _, first := range [][2]bool{
		{c.Effect == EffectBlock, o.Effect == EffectBlock},
		{c.Operator, o.Operator},
		{outlives(c.ExpiresAt, o.ExpiresAt), outlives(o.ExpiresAt, c.ExpiresAt)},
		{c.At.After(o.At), o.At.After(c.At)},
	} {
		switch {
		case first[0] && !first[1]:
			return -1
		case first[1] && !first[0]:
			return 1
		}
	}
	return 0
}

// outlives compares two ends, of which zero is never.
func outlives(a, b time.Time) bool { return !b.IsZero() && (a.IsZero() || a.After(b)) }

// Set puts the block in force. ref names the cause: the same cause again changes
// nothing, also after somebody lifted it or took it back before it came, but that an
// operator who confirmed it makes it theirs. Nobody shortens or weakens what somebody else
// set: all causes stand beside each other until their time is over, they are taken back,
// or the block is lifted. What others add to an operator's block is the operators' to
// lift, as the rest of it is.
func (b Block) Set(effect Effect, reason, decision string, expires time.Time, by payment.Actor, ref string, now time.Time) (Block, bool) {
	if b.knows(ref) {
		return b.Confirm(decision, reason, by, now)
	}
	operator := by.Type == payment.ActorOperator
	cause := Cause{Effect: effect, Reason: reason, Decision: decision, ExpiresAt: expires, Operator: operator, Guarded: operator, At: now}
	if b.Operators(now) && !operator {
		cause.Guarded = true
	}
	if b.CreatedAt.IsZero() {
		b.CreatedAt = now
	}
	b = b.of(append([]Cause{cause}, b.standing(now)...))
	return b.log(BlockEntry{At: now, By: by, What: "set", Effect: effect, Reason: reason, Ref: ref}, now), true
}

// knows says whether a cause was here before, or was taken back before it came.
func (b Block) knows(ref string) bool {
	return slices.ContainsFunc(b.Log, func(e BlockEntry) bool { return e.Ref == ref }) ||
		slices.ContainsFunc(b.causes(), func(c Cause) bool { return c.Decision == ref })
}

// Confirm makes what a decision set an operator's, as if they had set it: theirs to lift. What
// does not stand any more it does not set.
func (b Block) Confirm(decision, reason string, by payment.Actor, now time.Time) (Block, bool) {
	causes := b.standing(now)
	at := slices.IndexFunc(causes, func(c Cause) bool { return c.Decision == decision })
	if !b.Active || by.Type != payment.ActorOperator || at < 0 || causes[at].Operator {
		return b, false
	}
	causes[at].Operator, causes[at].Guarded = true, true
	e := BlockEntry{At: now, By: by, What: "confirmed", Effect: causes[at].Effect, Reason: reason, Ref: decision}
	return b.of(causes).log(e, now), true
}

// Void says that a decision was taken back before it set anything here: whoever is just
// carrying it out must not set it afterwards.
func (b Block) Void(effect Effect, decision, reason string, by payment.Actor, now time.Time) (Block, bool) {
	if b.knows(decision) {
		return b, false
	}
	if b.CreatedAt.IsZero() { // it shows what it would have been
		b.CreatedAt, b.Effect, b.Reason, b.Decision = now, effect, reason, decision
	}
	return b.log(BlockEntry{At: now, By: by, What: "withdrawn", Reason: reason, Ref: decision}, now), true
}

// Withdraw takes back what one decision set. What others set stays in force; where nobody
// did, the block is lifted. What was added to an operator's block is the operators' no
// more once theirs is taken back.
func (b Block) Withdraw(decision, reason string, by payment.Actor, now time.Time) (Block, bool) {
	left := slices.DeleteFunc(slices.Clone(b.causes()), func(c Cause) bool { return c.Decision == decision })
	if !b.Active || len(left) == len(b.causes()) {
		return b, false
	}
	left = slices.DeleteFunc(left, func(c Cause) bool { return !c.in(now) })
	if len(left) == 0 {
		return b.Lift(reason, by, decision, now)
	}
	if !slices.ContainsFunc(left, func(c Cause) bool { return c.Operator }) {
		for i := range left {
			left[i].Guarded = false
		}
	}
	return b.of(left).log(BlockEntry{At: now, By: by, What: "withdrawn", Reason: reason, Ref: decision}, now), true
}

// Lift ends the block, whoever set it, and keeps its record.
func (b Block) Lift(reason string, by payment.Actor, ref string, now time.Time) (Block, bool) {
	if !b.Active {
		return b, false
	}
	b.Active, b.Guarded, b.Causes = false, false, nil
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
