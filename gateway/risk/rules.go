package risk

import (
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// evaluate lets every rule that is about this kind of subject look. Rules that count
// look at all sightings, rules about one event at the fresh ones.
func (s Subject) evaluate(p Policy, fresh []Sighting) Subject {
	shared := s.Ref.Kind == KindCard || s.Ref.Kind == KindPayer
	for _, r := range p.Rules {
		if shared != (r.Name == SharedPayer) {
			continue
		}
		switch r.Name {
		case DeclineVelocity:
			s = s.counted(r, fresh, func(x Sighting) bool { return x.Kind == payment.SignalDecline && slices.Contains(r.Codes, x.Code) },
				func(in []Sighting) int64 { return int64(len(in)) }, "%d declined tries to pay")
		case DistinctCards:
			s = s.counted(r, fresh, func(x Sighting) bool { return x.Card != "" || x.Payer != "" },
				func(in []Sighting) int64 { return distinct(in, Sighting.instrument) }, "%d different cards or payers")
		case SharedPayer:
			s = s.counted(r, fresh, func(x Sighting) bool { return x.Primary != "" },
				func(in []Sighting) int64 { return distinct(in, func(x Sighting) string { return x.Primary }) },
				"one "+string(s.Ref.Kind)+" used by %d customers")
		case AmountAnomaly, CurrencyAnomaly, BlockedPayer, FraudWarning, ReviewOpened:
			for _, x := range fresh {
				s = s.single(r, x)
			}
		case DisputeRate, Manual: // about an account; by hand
		}
	}
	return s
}

// instrument is what was used to pay, or to try.
func (s Sighting) instrument() string {
	if s.Card != "" {
		return s.Card
	}
	return s.Payer
}

func distinct(in []Sighting, of func(Sighting) string) int64 {
	seen := map[string]bool{}
	for _, x := range in {
		seen[of(x)] = true
	}
	return int64(len(seen))
}

// counted fires where, within the rule's window, a measure reaches its threshold. What
// follows within a window after that is the same incident. It goes by the provider's
// times, not by when we heard, so late news counts where it belongs. A window without
// news was judged when its last sighting came, by the rules of then: a rule that was
// switched on or sharpened since does not act on what is long over.
func (s Subject) counted(r Rule, fresh []Sighting, which func(Sighting) bool, measure func([]Sighting) int64, text string) Subject {
	var all []Sighting
	for _, x := range s.Sightings {
		if which(x) && x.At.After(s.ClearedAt) {
			all = append(all, x)
		}
	}
	from := 0
	for i, end := range all {
		if was := s.fired(r.key()).At; !was.IsZero() && was.After(s.ClearedAt) && end.At.Before(was.Add(r.Window)) {
			continue // told already
		}
		for all[from].At.Compare(end.At.Add(-r.Window)) <= 0 {
			from++
		}
		window := all[from : i+1]
		if n := measure(window); n >= r.Threshold && slices.ContainsFunc(window, func(x Sighting) bool { return known(fresh, x) }) {
			reason := fmt.Sprintf(text+" within %s", n, span(r.Window))
			s = s.fire(r.key(), s.decide(r, end.ID, reason, ScopeSubject, window))
		}
	}
	return s
}

func known(in []Sighting, x Sighting) bool {
	return slices.ContainsFunc(in, func(have Sighting) bool { return have.ID == x.ID })
}

// single judges one sighting by itself, or against what was paid before it.
func (s Subject) single(r Rule, x Sighting) Subject {
	switch {
	case r.Name == BlockedPayer && x.Blocked != "":
		// One decision a payment and block, whatever brings it up.
		return s.fire(r.key(), s.decide(r, x.Payment+x.Blocked, "a blocked customer got as far as a payment", ScopePayment, []Sighting{x}))
	case r.Name == FraudWarning && x.Kind == payment.SignalWarning && x.Actionable:
		return s.fire(r.key(), s.decide(r, x.ID, "the issuer reports fraud, and a full refund can still avoid a dispute", ScopePayment, []Sighting{x}))
	case r.Name == ReviewOpened && x.Kind == payment.SignalReview:
		return s.fire(r.key(), s.decide(r, x.ID, "the provider asks a human to review a payment", ScopePayment, []Sighting{x}))
	case x.Kind != payment.SignalAsked:
		return s
	case r.Name == AmountAnomaly:
		largest, n := s.paidBefore(x, true)
		if n >= max(r.Min, 1) && x.Amount.Minor/r.Threshold >= largest && x.Amount.Minor > largest*r.Threshold {
			reason := fmt.Sprintf("an amount of more than %d times the largest paid before", r.Threshold)
			return s.fire(r.key(), s.decide(r, x.ID, reason, ScopePayment, []Sighting{x}))
		}
	case r.Name == CurrencyAnomaly:
		_, same := s.paidBefore(x, true)
		if _, n := s.paidBefore(x, false); n >= max(r.Min, 1) && same == 0 {
			reason := "a currency that this customer never paid in before (" + string(x.Amount.Currency) + ")"
			return s.fire(r.key(), s.decide(r, x.ID, reason, ScopePayment, []Sighting{x}))
		}
	}
	return s
}

// paidBefore is the largest amount paid before a sighting, and how many payments there
// were; sameCurrency: in its currency only, without which amounts can't be compared.
func (s Subject) paidBefore(x Sighting, sameCurrency bool) (largest, n int64) {
	for _, have := range s.Sightings {
		if have.Kind != payment.SignalPaid || have.Payment == x.Payment || have.At.After(x.At) {
			continue
		}
		if sameCurrency && have.Amount.Currency != x.Amount.Currency {
			continue
		}
		largest, n = max(largest, have.Amount.Minor), n+1
	}
	return largest, n
}

// span writes a window in words.
func span(d time.Duration) string {
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}

// Tally counts one month of one account, or a share of it: who counts adds to one of
// many shares, so that they do not wait for each other.
type Tally struct {
	ID       string
	Account  string
	Mode     payment.Mode
	Month    string // 2026-11, UTC
	Paid     int64
	Disputes int64
	Warnings int64
	// Recent are signals counted lately: one that is counted again after a crash
	// changes nothing.
	Recent []string
}

// TallyShares is how many shares one account's month has.
const TallyShares = 16

const maxRecent = 64

// TallyIDs are the ids of all shares of an account's month.
func TallyIDs(account string, at time.Time) []string {
	out := make([]string, TallyShares)
	for i := range out {
		out[i] = tallyID(account, at, i)
	}
	return out
}

func tallyID(account string, at time.Time, share int) string {
	return payment.DeriveID("rty", account, month(at), fmt.Sprint(share))
}

func month(at time.Time) string { return at.UTC().Format("2006-01") }

// TallyFor is the share in which a sighting is counted, empty.
func TallyFor(mode payment.Mode, x Sighting) Tally {
	sum := 0
	for _, b := range []byte(x.Payment) {
		sum = (sum*31 + int(b)) % TallyShares
	}
	return Tally{ID: tallyID(x.Account, x.At, sum), Account: x.Account, Mode: mode, Month: month(x.At)}
}

// Counts says whether a tally has anything to do with a sighting.
func (t Tally) Counts(x Sighting) bool {
	return x.Kind == payment.SignalPaid || x.Kind == payment.SignalDispute || x.Kind == payment.SignalWarning
}

// Count adds a sighting; one counted before changes nothing.
func (t Tally) Count(x Sighting) (Tally, bool) {
	if !t.Counts(x) || slices.Contains(t.Recent, x.ID) {
		return t, false
	}
	switch x.Kind {
	case payment.SignalPaid:
		t.Paid++
	case payment.SignalDispute:
		t.Disputes++
	case payment.SignalWarning:
		t.Warnings++
	case payment.SignalAsked, payment.SignalPayer, payment.SignalDecline, payment.SignalReview:
		return t, false
	}
	t.Recent = append(slices.Clone(t.Recent), x.ID)
	t.Recent = t.Recent[max(0, len(t.Recent)-maxRecent):]
	return t, true
}

// Rate judges an account's month by its shares. Visa counts a fraud report and the
// dispute that follows it both (VAMP), so both are added.
func (p Policy) Rate(mode payment.Mode, account string, x Sighting, shares []Tally) []Decision {
	var paid, bad int64
	for _, t := range shares {
		paid, bad = paid+t.Paid, bad+t.Disputes+t.Warnings
	}
	s := NewSubject("", mode, Ref{KindAccount, account})
	var out []Decision
	for _, r := range p.Rules {
		if r.Name != DisputeRate || bad < max(r.Min, 1) || bad*10_000 < r.Threshold*max(paid, 1) {
			continue
		}
		reason := fmt.Sprintf("%d disputes and fraud warnings over %d payments in %s: over %d basis points", bad, paid, month(x.At), r.Threshold)
		x.Trusted = false // it is about the account
		out = append(out, s.decide(r, month(x.At), reason, ScopePayment, []Sighting{x}))
	}
	return out
}
