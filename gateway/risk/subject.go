package risk

import (
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// maxSightings is how many sightings of one kind a subject keeps, the latest; maxAliases is
// how many payments an alias keeps, whose sightings say hardly anything.
const (
	maxSightings = 100
	maxAliases   = 400
)

// Subject is what is remembered of a customer, an e-mail address, a card or a payer, in
// one app. It is one document: taking a sighting twice changes nothing.
type Subject struct {
	ID        string
	App       string
	Mode      payment.Mode
	Ref       Ref
	Trusted   bool
	TrustedAt time.Time // time of the sighting that said so
	ClearedAt time.Time // what was seen up to here doesn't count any more: somebody found it to be nothing
	// ClearedFor is when they found so last. ClearedAt may be later: it is the provider's time.
	ClearedFor time.Time `json:",omitzero"`
	Sightings  []Sighting
	Fired      []Fired
	// Outbox holds decisions until each is stored as a record of its own.
	Outbox []Decision
}

// Fired remembers that a rule fired, so that one incident is one decision.
type Fired struct {
	Rule string // Rule.key
	At   time.Time
}

// NewSubject is a subject of whom nothing is known.
func NewSubject(app string, mode payment.Mode, r Ref) Subject {
	return Subject{ID: SubjectID(app, mode, r), App: app, Mode: mode, Ref: r}
}

// Take adds sightings and lets the rules look. It says whether anything is new; what
// was decided stands in the Outbox.
func (s Subject) Take(p Policy, in []Sighting) (Subject, bool) {
	known := map[string]bool{}
	for _, have := range s.Sightings {
		known[have.ID] = true
	}
	var fresh []Sighting
	for _, x := range in {
		if !known[x.ID] {
			known[x.ID] = true
			fresh = append(fresh, x)
		}
	}
	if len(fresh) == 0 {
		return s, false
	}
	s.Sightings = append(slices.Clone(s.Sightings), fresh...)
	slices.SortFunc(s.Sightings, Sighting.before)
	for _, x := range fresh {
		if !x.At.Before(s.TrustedAt) {
			s.Trusted, s.TrustedAt = x.Trusted, x.At
		}
	}
	if s.Ref.Kind != KindAlias { // the rules know these customers by another name
		s = s.evaluate(p, fresh)
	}
	s.Sightings = latest(s.Sightings, s.keeps())
	return s, true
}

func (s Subject) keeps() int {
	if s.Ref.Kind == KindAlias {
		return maxAliases
	}
	return maxSightings
}

// Full says that earlier payments may have been forgotten for later ones.
func (s Subject) Full() bool {
	seen := map[payment.SignalKind]int{}
	for _, x := range s.Sightings {
		if seen[x.Kind]++; seen[x.Kind] >= s.keeps() {
			return true
		}
	}
	return false
}

// latest keeps the newest of each kind.
func latest(all []Sighting, keep int) []Sighting {
	seen := map[payment.SignalKind]int{}
	var out []Sighting
	for _, x := range slices.Backward(all) {
		if seen[x.Kind]++; seen[x.Kind] <= keep {
			out = append(out, x)
		}
	}
	slices.Reverse(out)
	return out
}

// Relayed takes decisions out of the outbox that are stored on their own.
func (s Subject) Relayed(ids []string) (Subject, bool) {
	before := len(s.Outbox)
	s.Outbox = slices.DeleteFunc(slices.Clone(s.Outbox), func(d Decision) bool { return slices.Contains(ids, d.ID) })
	return s, len(s.Outbox) != before
}

// Clear makes every rule forget what it saw until now: somebody has just decided that it was
// nothing. What comes later counts anew, also where the same is said again.
func (s Subject) Clear(now time.Time) (Subject, bool) {
	seen := now
	for _, x := range s.Sightings {
		if x.At.After(seen) { // the provider's clock may be ahead of ours
			seen = x.At
		}
	}
	return s.ClearLate(now, seen)
}

// ClearLate is Clear for what was said a while ago, as after a crash: what came since counts. seen
// is the latest that had certainly been seen then, in the provider's time.
func (s Subject) ClearLate(said, seen time.Time) (Subject, bool) {
	if !s.ClearedFor.Before(said) {
		return s, false
	}
	s.ClearedFor = said
	for _, to := range []time.Time{said, seen} {
		if to.After(s.ClearedAt) {
			s.ClearedAt = to
		}
	}
	return s, true
}

func (s Subject) fired(rule string) Fired {
	for _, f := range s.Fired {
		if f.Rule == rule {
			return f
		}
	}
	return Fired{Rule: rule}
}

// fire remembers and queues a decision.
func (s Subject) fire(rule string, d Decision) Subject {
	s.Fired, s.Outbox = slices.Clone(s.Fired), slices.Clone(s.Outbox)
	at := slices.IndexFunc(s.Fired, func(f Fired) bool { return f.Rule == rule })
	if at < 0 {
		s.Fired = append(s.Fired, Fired{Rule: rule})
		at = len(s.Fired) - 1
	}
	if d.At.After(s.Fired[at].At) {
		s.Fired[at].At = d.At
	}
	if !slices.ContainsFunc(s.Outbox, func(have Decision) bool { return have.ID == d.ID }) {
		s.Outbox = append(s.Outbox, d)
	}
	return s
}
