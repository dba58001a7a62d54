package judge

import (
	"maps"
	"slices"
)

// asked: I1, money moved by what somebody asked for, not by what we made of it: each
// capture and refund is of an amount that was named, or answers one that named none
// (all that is left). again is how many refunds repeat one whose amount is unknown here.
func (j *Judge) asked(o *Order, b *book, again int) {
	if o.Manual && !o.Wrong && !o.Late {
		j.named("capture", o, b.taken, o.Holds, o.Captures-len(o.Holds))
	}
	// Where money was taken twice, one order to give back may become several refunds.
	if b.captures == 1 {
		j.named("refund", o, slices.Collect(maps.Values(b.refunds)), o.Parts, o.Refunds-len(o.Parts)+again)
	}
}

// named wants each amount among those that were named, each of which counts once, but
// for so many that stand for an order without an amount.
func (j *Judge) named(what string, o *Order, moved, orders []int64, free int) {
	left := slices.Clone(orders)
	for _, amount := range slices.Sorted(slices.Values(moved)) {
		if i := slices.Index(left, amount); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else if free--; free < 0 {
			j.fail("I1 %s: a %s of %d, asked for were %v", o.ID, what, amount, orders)
		}
	}
}
