package payment

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Observation is what an adapter reports: provider facts, never a status. A
// complete observation is a whole snapshot of one attempt's root; a fragment
// tells of single objects only.
type Observation struct {
	Provider string
	Account  string
	N        int  // attempt the snapshot was fetched for; 0 for a fragment about several
	Complete bool // everything below the root was read
	// Narrow: what stands beside the root, its disputes and the money a provider took
	// back by itself, was not looked at or could not be. What is missing of those in a
	// narrow observation may exist all the same.
	Narrow bool
	// Rootless: the root itself is gone, and was read by what was known of it. What else
	// was made below it may exist all the same: not to see it there proves nothing.
	Rootless bool
	AsOf     time.Time // provider time of the read; becomes CompleteAsOf
	Facts    Facts     // Terms, Opened and Decisions are ignored
}

// Merge is the union of two sets of provider facts and decisions. It is
// commutative, associative and idempotent. Terms are taken from f.
func (f Facts) Merge(o Facts) Facts {
	return Facts{
		Terms:          f.Terms,
		Opened:         mergeSets(f.Opened, o.Opened, func(a Attempt) string { return pad(a.N) }, nil, nil),
		Decisions:      mergeSets(f.Decisions, o.Decisions, func(d Decision) string { return d.ID }, nil, nil),
		Attempts:       mergeSets(f.Attempts, o.Attempts, func(a AttemptFact) string { return a.Key.text() }, compareAttempts, joinAttempts),
		Authorizations: mergeSets(f.Authorizations, o.Authorizations, func(a Authorization) string { return a.Key.text() }, compareAuthorizations, nil),
		Captures:       mergeSets(f.Captures, o.Captures, func(c Capture) string { return c.Key.text() }, compareCaptures, joinCaptures),
		Refunds:        mergeSets(f.Refunds, o.Refunds, func(r Refund) string { return r.Key.text() }, compareRefunds, nil),
		Reversals:      mergeSets(f.Reversals, o.Reversals, func(r Reversal) string { return r.Key.text() }, compareReversals, nil),
		Disputes:       mergeSets(f.Disputes, o.Disputes, func(d Dispute) string { return d.Key.text() }, compareDisputes, nil),
		Warnings:       mergeSets(f.Warnings, o.Warnings, func(w FraudWarning) string { return w.Key.text() }, compareWarnings, nil),
		Reviews:        mergeSets(f.Reviews, o.Reviews, func(r Review) string { return r.Key.text() }, compareReviews, nil),
		Fees:           mergeSets(f.Fees, o.Fees, func(x Fee) string { return x.Key.text() }, nil, nil),
		Payers:         mergeSets(f.Payers, o.Payers, func(p Payer) string { return p.Key.text() }, comparePayers, nil),
		Declines:       earliest(mergeSets(f.Declines, o.Declines, func(d Decline) string { return d.Key.text() }, compareDeclines, nil), MaxDeclines),
	}
}

// Observe merges one observation. A complete one also advances CompleteAsOf of
// its root, and WholeAsOf unless it is narrow.
func (f Facts) Observe(o Observation) Facts {
	seen := o.Facts
	seen.Opened, seen.Decisions = nil, nil
	if o.Complete {
		seen.Attempts = slices.Clone(seen.Attempts)
		for i := range seen.Attempts {
			if seen.Attempts[i].N != o.N {
				continue
			}
			if a := &seen.Attempts[i]; o.AsOf.After(a.CompleteAsOf) {
				a.CompleteAsOf = o.AsOf
			}
			if a := &seen.Attempts[i]; !o.Narrow && o.AsOf.After(a.WholeAsOf) {
				a.WholeAsOf = o.AsOf
			}
		}
	}
	return f.Merge(seen)
}

// mergeSets is the union of two sets by key, sorted by key. Of two entries with
// one key the greater by compare stays, and by digest where compare finds them
// equal; join then carries over what merges on its own.
func mergeSets[T any](a, b []T, key func(T) string, compare func(T, T) int, join func(winner *T, loser T)) []T {
	byKey := make(map[string]T, len(a)+len(b))
	for _, entry := range slices.Concat(a, b) {
		k := key(entry)
		old, ok := byKey[k]
		if !ok {
			byKey[k] = entry
			continue
		}
		winner, loser := old, entry
		order := 0
		if compare != nil {
			order = compare(old, entry)
		}
		if order == 0 {
			order = strings.Compare(digest(old), digest(entry))
		}
		if order < 0 {
			winner, loser = entry, old
		}
		if join != nil {
			join(&winner, loser)
		}
		byKey[k] = winner
	}
	if len(byKey) == 0 {
		return nil
	}
	out := make([]T, 0, len(byKey))
	for _, entry := range byKey {
		out = append(out, entry)
	}
	slices.SortFunc(out, func(x, y T) int { return strings.Compare(key(x), key(y)) })
	return out
}

// digest breaks ties between two different sightings that claim the same
// moment: any total order will do, as long as everyone uses the same.
func digest(v any) string {
	if a, ok := v.(AttemptFact); ok {
		a.CompleteAsOf, a.WholeAsOf = time.Time{}, time.Time{} // they merge on their own
		v = a
	}
	if c, ok := v.(Capture); ok {
		c.Final = false // likewise
		v = c
	}
	b, err := json.Marshal(v)
	if err != nil { // plain structs of strings, ints and times always marshal
		panic("payment: digest: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return string(sum[:])
}

func rank[S comparable](order []S, s S) int { return slices.Index(order, s) }

func compareStamped[S comparable](a, b Stamp, order []S, sa, sb S) int {
	if c := a.AsOf.Compare(b.AsOf); c != 0 {
		return c
	}
	return rank(order, sa) - rank(order, sb)
}

// compareAttempts lets the newer sighting count, but for a checkout that was completed
// for nothing: that is final, and no money below it would say so against a reading that
// lags.
func compareAttempts(a, b AttemptFact) int {
	if c := rank([]bool{false, true}, a.free()) - rank([]bool{false, true}, b.free()); c != 0 {
		return c
	}
	if c := compareStamped(a.Stamp, b.Stamp, attemptStates, a.State, b.State); c != 0 {
		return c
	}
	if c := a.ApprovedAt.Compare(b.ApprovedAt); c != 0 {
		return c
	}
	// Within one second of provider time a failed try is news, its absence is not.
	return rank([]bool{false, true}, a.Failure != Failure{}) - rank([]bool{false, true}, b.Failure != Failure{})
}

func joinAttempts(winner *AttemptFact, loser AttemptFact) {
	if loser.CompleteAsOf.After(winner.CompleteAsOf) {
		winner.CompleteAsOf = loser.CompleteAsOf
	}
	if loser.WholeAsOf.After(winner.WholeAsOf) {
		winner.WholeAsOf = loser.WholeAsOf
	}
}

// compareAuthorizations decides within one second of provider time by what is
// left to capture: it only ever shrinks, so the smaller is the later sighting.
func compareAuthorizations(a, b Authorization) int {
	if c := compareStamped(a.Stamp, b.Stamp, authStates, a.State, b.State); c != 0 {
		return c
	}
	return cmp.Compare(b.Capturable, a.Capturable)
}

func compareDisputes(a, b Dispute) int {
	if c := compareStamped(a.Stamp, b.Stamp, disputeStates, a.Status, b.Status); c != 0 {
		return c
	}
	if c := rank([]bool{true, false}, a.Unclear) - rank([]bool{true, false}, b.Unclear); c != 0 {
		return c // what can be understood says more than what can't
	}
	if c := cmp.Compare(a.Evidence.Submitted, b.Evidence.Submitted); c != 0 { // it only ever grows
		return c
	}
	// The money follows the decision: what is seen later of it, without another date, gives back.
	if c := cmp.Compare(b.Withheld, a.Withheld); c != 0 {
		return c
	}
	return cmp.Compare(a.Returned, b.Returned) // a reading from before anyone looked for it tells of none
}

func compareWarnings(a, b FraudWarning) int {
	return rank([]bool{true, false}, a.Actionable) - rank([]bool{true, false}, b.Actionable)
}

func compareReviews(a, b Review) int {
	return rank([]bool{true, false}, a.Open) - rank([]bool{true, false}, b.Open)
}

func compareReversals(a, b Reversal) int { return a.AsOf.Compare(b.AsOf) }

func compareCaptures(a, b Capture) int {
	if c := rank(captureStates, a.State) - rank(captureStates, b.State); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Amount.Minor, b.Amount.Minor); c != 0 {
		return c
	}
	return a.AsOf.Compare(b.AsOf)
}

func joinCaptures(winner *Capture, loser Capture) { winner.Final = winner.Final || loser.Final }

func compareRefunds(a, b Refund) int {
	if c := rank(refundStates, a.State) - rank(refundStates, b.State); c != 0 {
		return c
	}
	return a.AsOf.Compare(b.AsOf)
}

// pad makes attempt numbers sort as text.
func pad(n int) string {
	const digits = "0123456789"
	out := []byte("0000")
	for i := len(out) - 1; i >= 0 && n > 0; i-- {
		out[i] = digits[n%10]
		n /= 10
	}
	return string(out)
}
