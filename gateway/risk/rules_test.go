package risk_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

func subject() risk.Subject {
	return risk.NewSubject("shop", payment.ModeTest, risk.Ref{Kind: risk.KindCustomer, Value: "eve"})
}

func declined(id string, minute int) risk.Sighting {
	return risk.Sighting{ID: id, Kind: payment.SignalDecline, At: at(minute), Payment: "pay_" + id, Code: "card_declined", Card: "card " + id, Primary: "p"}
}

func paid(id string, minute int, minor int64, currency payment.Currency) risk.Sighting {
	return risk.Sighting{ID: id, Kind: payment.SignalPaid, At: at(minute), Payment: "pay_" + id, Amount: payment.Money{Minor: minor, Currency: currency}}
}

func asked(id string, minute int, minor int64, currency payment.Currency) risk.Sighting {
	s := paid(id, minute, minor, currency)
	s.Kind = payment.SignalAsked
	return s
}

func policy(r risk.Rule) risk.Policy { return risk.Policy{Rules: []risk.Rule{r}} }

func velocity(threshold int64, minutes int) risk.Policy {
	return policy(risk.Rule{
		Name: risk.DeclineVelocity, Threshold: threshold, Window: time.Duration(minutes) * time.Minute, Codes: []string{"card_declined"},
		Actions: []risk.Action{risk.ActAlert, risk.ActBlock},
	})
}

// take feeds a subject and gives what was decided.
func take(s risk.Subject, p risk.Policy, in ...risk.Sighting) (risk.Subject, []risk.Decision) {
	s, _ = s.Take(p, in)
	out := s.Outbox
	s.Outbox = nil
	return s, out
}

// Guards the velocity rule against order, chunks and repetition: it fires if and only
// if some window holds enough declines, however late, mixed or often they are heard.
func TestVelocityInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		threshold := rapid.Int64Range(1, 5).Draw(t, "threshold")
		window := rapid.IntRange(1, 20).Draw(t, "window")
		var all []risk.Sighting
		for i, minute := range rapid.SliceOfN(rapid.IntRange(0, 60), 0, 15).Draw(t, "minutes") {
			x := declined(fmt.Sprint(i), minute)
			if rapid.IntRange(0, 4).Draw(t, "other code") == 0 {
				x.Code = "expired_card"
			}
			all = append(all, x)
		}
		want := false
		for _, end := range all {
			n := int64(0)
			for _, x := range all {
				if x.Code == "card_declined" && !x.At.After(end.At) && x.At.After(end.At.Add(-time.Duration(window)*time.Minute)) {
					n++
				}
			}
			want = want || end.Code == "card_declined" && n >= threshold
		}
		order := slices.Concat(all, all)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		s, p, fired := subject(), velocity(threshold, window), 0
		for len(order) > 0 {
			n := min(rapid.IntRange(1, 4).Draw(t, "chunk"), len(order))
			var decided []risk.Decision
			s, decided = take(s, p, order[:n]...)
			order = order[n:]
			for _, d := range decided {
				fired++
				if d.State != risk.Pending || len(d.Evidence) == 0 || int64(len(d.Evidence)) < min(threshold, 20) {
					t.Fatalf("decision without its evidence: %+v", d)
				}
			}
		}
		if (fired > 0) != want {
			t.Fatalf("fired %d times, want firing: %v", fired, want)
		}
	})
}

// Guards that what was taken once changes nothing the second time, whatever it was.
func TestTakingTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var in []risk.Sighting
		for i, minute := range rapid.SliceOfN(rapid.IntRange(0, 9), 1, 9).Draw(t, "minutes") {
			in = append(in, declined(fmt.Sprint(i), minute))
		}
		s, changed := subject().Take(risk.Default(), in)
		again, twice := s.Take(risk.Default(), in)
		if !changed || twice {
			t.Fatalf("changed %v, and again %v", changed, twice)
		}
		if d := cmp.Diff(s, again); d != "" {
			t.Fatal(d)
		}
	})
}

// Guards a rule that is switched on: whom it only wrote down so far it acts on at the next sign, and nobody for what is
// long over, though a rule of other numbers would have acted then.
func TestRuleSwitchedOn(t *testing.T) {
	t.Parallel()
	dry := velocity(3, 60)
	dry.Rules[0].DryRun = true
	ask := velocity(3, 60)
	ask.Rules[0].DryRun, ask.Rules[0].Confirm = false, true
	for name, before := range map[string]risk.Policy{"dry run": dry, "to be confirmed": ask, "other numbers": velocity(9, 60)} {
		s := subject()
		for i := range 4 {
			s, _ = take(s, before, declined(fmt.Sprint("old", i), i))
		}
		s, decided := take(s, velocity(3, 60), asked("later", 20_000, 900, "usd"))
		if len(decided) != 0 {
			t.Errorf("%s: acts on what is over: %+v", name, decided)
		}
		for i := range 3 {
			s, _ = take(s, before, declined(fmt.Sprint("new", i), 30_000+i))
		}
		if _, decided = take(s, velocity(3, 60), declined("next", 30_005)); len(decided) != 1 || decided[0].State != risk.Pending || len(decided[0].Evidence) != 4 {
			t.Errorf("%s: at the next sign: %+v", name, decided)
		}
	}
}

// Guards that one incident is one decision, and a new one after the window another.
func TestOneIncidentOneDecision(t *testing.T) {
	t.Parallel()
	s, p := subject(), velocity(3, 60)
	var decided []risk.Decision
	for i := range 10 {
		var d []risk.Decision
		s, d = take(s, p, declined(fmt.Sprint("a", i), i))
		decided = append(decided, d...)
	}
	if len(decided) != 1 {
		t.Fatalf("%d decisions of ten declines in ten minutes", len(decided))
	}
	for i := range 3 {
		var d []risk.Decision
		s, d = take(s, p, declined(fmt.Sprint("b", i), 500+i))
		decided = append(decided, d...)
	}
	if len(decided) != 2 || decided[0].ID == decided[1].ID {
		t.Fatalf("hours later: %d decisions", len(decided))
	}
}

// Guards the way back: what somebody found to be nothing counts no more, what comes
// later does.
func TestClearedSightingsCountNoMore(t *testing.T) {
	t.Parallel()
	p := velocity(3, 600)
	s, first := take(subject(), p, declined("1", 1), declined("2", 2), declined("3", 3))
	s, changed := s.Clear(at(10))
	if len(first) != 1 || !changed {
		t.Fatalf("%d decisions, cleared %v", len(first), changed)
	}
	s, d := take(s, p, declined("4", 11), declined("5", 12))
	if len(d) != 0 {
		t.Fatalf("two declines after it was cleared decide: %v", d[0].Reason)
	}
	if _, d = take(s, p, declined("6", 13)); len(d) != 1 {
		t.Fatal("three declines after it was cleared are nothing")
	}
	// Also where no rule had fired yet.
	s, _ = take(subject(), p, declined("1", 1), declined("2", 2))
	s, _ = s.Clear(at(10))
	if _, d = take(s, p, declined("3", 11)); len(d) != 0 {
		t.Fatal("what was cleared before a rule fired still counts")
	}
}

// Guards what is seen after somebody found the rest to be nothing: it counts, also where that is said again or done late,
// as after a crash; a provider's clock that is ahead of ours brings nothing back and silences no rule.
func TestClearedAgainForgetsNothingMore(t *testing.T) {
	t.Parallel()
	p := velocity(3, 600)
	s, _ := take(subject(), p, declined("1", 11), declined("2", 12)) // their clock is ahead
	s, _ = s.Clear(at(10))
	s, _ = take(s, p, declined("3", 13), declined("4", 14))
	s, changed := s.Clear(at(10))
	if _, d := take(s, p, declined("5", 15)); changed || len(d) != 1 || len(d[0].Evidence) != 3 {
		t.Errorf("said again: %v, %d decisions by three declines after it", changed, len(d))
	}
	if s, changed = s.Clear(at(12)); !changed {
		t.Error("cleared anew, and nothing changed")
	}
	if _, d := take(s, p, declined("5", 15), declined("6", 16)); len(d) != 0 {
		t.Errorf("cleared anew: %v", d)
	}

	s, first := take(subject(), p, declined("1", 9), declined("2", 10), declined("3", 12))
	s, _ = take(s, p, declined("4", 13), declined("5", 14))
	s, _ = s.ClearLate(at(10), first[0].At)
	if _, d := take(s, p, declined("6", 15)); len(d) != 1 || len(d[0].Evidence) != 3 {
		t.Errorf("cleared late: %d decisions", len(d))
	}
}

// Guards trusted customers: no rule does anything to them by itself.
func TestTrustedCustomersAreOnlyTold(t *testing.T) {
	t.Parallel()
	all := []risk.Action{risk.ActAlert, risk.ActHold, risk.ActBlock, risk.ActCancel, risk.ActRefund}
	rapid.Check(t, func(t *rapid.T) {
		var p risk.Policy
		for _, name := range risk.Names() {
			p.Rules = append(p.Rules, risk.Rule{Name: name, Threshold: 1, Min: 1, Window: time.Hour, Codes: []string{"card_declined"}, Actions: all})
		}
		s := subject()
		if rapid.Bool().Draw(t, "card") {
			s = risk.NewSubject("shop", payment.ModeTest, risk.Ref{Kind: risk.KindCard, Value: "f"})
		}
		kinds := []payment.SignalKind{payment.SignalAsked, payment.SignalPaid, payment.SignalDecline, payment.SignalPayer, payment.SignalWarning, payment.SignalReview}
		for i := range rapid.IntRange(1, 12).Draw(t, "n") {
			x := declined(fmt.Sprint(i), i)
			x.Kind, x.Trusted, x.Actionable, x.Blocked = rapid.SampledFrom(kinds).Draw(t, "kind"), true, true, "blk"
			x.Amount = payment.Money{Minor: rapid.Int64Range(1, 1000).Draw(t, "minor"), Currency: rapid.SampledFrom([]payment.Currency{"usd", "eur"}).Draw(t, "currency")}
			var decided []risk.Decision
			s, decided = take(s, p, x)
			for _, d := range decided {
				if d.Acting() || !d.Trusted || d.State != risk.Pending || !d.Has(risk.ActAlert) {
					t.Fatalf("%s acts on a trusted customer: %+v", d.Rule, d)
				}
			}
		}
	})
}

// Guards the other rules, each with the case beside it that must not fire.
func TestRules(t *testing.T) {
	t.Parallel()
	alert := []risk.Action{risk.ActAlert}
	warning := risk.Sighting{ID: "w", Kind: payment.SignalWarning, At: at(9), Payment: "pay_w", Actionable: true}
	late := warning
	late.Actionable = false
	blocked := asked("x", 9, 100, "usd")
	blocked.Blocked = "blk_1"
	history := []risk.Sighting{paid("1", 1, 1000, "usd"), paid("2", 2, 2000, "usd"), paid("3", 3, 1500, "usd")}
	with := func(x ...risk.Sighting) []risk.Sighting { return append(slices.Clone(history), x...) }
	same := declined("2", 2)
	same.Card = "card 1"
	for _, c := range []struct {
		name string
		rule risk.Rule
		in   []risk.Sighting
		want int
	}{
		{"ten times the largest", risk.Rule{Name: risk.AmountAnomaly, Threshold: 10, Min: 3}, with(asked("x", 9, 20_000, "usd")), 0},
		{"a cent more", risk.Rule{Name: risk.AmountAnomaly, Threshold: 10, Min: 3}, with(asked("x", 9, 20_001, "usd")), 1},
		{"too little history", risk.Rule{Name: risk.AmountAnomaly, Threshold: 10, Min: 4}, with(asked("x", 9, 20_001, "usd")), 0},
		{"another currency can't be compared", risk.Rule{Name: risk.AmountAnomaly, Threshold: 10, Min: 3}, with(asked("x", 9, 99_999, "jpy")), 0},
		{"paid later is no history", risk.Rule{Name: risk.AmountAnomaly, Threshold: 10, Min: 3}, with(asked("x", 2, 20_001, "usd")), 0},
		{"a new currency", risk.Rule{Name: risk.CurrencyAnomaly, Min: 3}, with(asked("x", 9, 10, "jpy")), 1},
		{"the usual currency", risk.Rule{Name: risk.CurrencyAnomaly, Min: 3}, with(asked("x", 9, 10, "usd")), 0},
		{"a warning in time", risk.Rule{Name: risk.FraudWarning}, []risk.Sighting{warning}, 1},
		{"a warning too late", risk.Rule{Name: risk.FraudWarning}, []risk.Sighting{late}, 0},
		{"a review", risk.Rule{Name: risk.ReviewOpened}, []risk.Sighting{{ID: "r", Kind: payment.SignalReview, At: at(1), Payment: "p"}}, 1},
		{"a blocked customer", risk.Rule{Name: risk.BlockedPayer}, []risk.Sighting{blocked}, 1},
		{"two cards", risk.Rule{Name: risk.DistinctCards, Threshold: 2, Window: time.Hour}, []risk.Sighting{declined("1", 1), declined("2", 2)}, 1},
		{"one card twice", risk.Rule{Name: risk.DistinctCards, Threshold: 2, Window: time.Hour}, []risk.Sighting{declined("1", 1), same}, 0},
		{"shared payers are no customer's business", risk.Rule{Name: risk.SharedPayer, Threshold: 1, Window: time.Hour}, []risk.Sighting{declined("1", 1)}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.rule.Actions = alert
			s := subject()
			got := 0
			for _, x := range c.in { // one by one, as they are heard
				var d []risk.Decision
				s, d = take(s, policy(c.rule), x)
				got += len(d)
			}
			if got != c.want {
				t.Errorf("fired %d times, want %d", got, c.want)
			}
		})
	}
}

// Guards shared payers: one card of several customers, not of one who pays often.
func TestSharedPayer(t *testing.T) {
	t.Parallel()
	p := policy(risk.Rule{Name: risk.SharedPayer, Threshold: 3, Window: time.Hour, Actions: []risk.Action{risk.ActAlert}})
	card := risk.NewSubject("shop", payment.ModeTest, risk.Ref{Kind: risk.KindCard, Value: "f"})
	use := func(id, customer string, minute int) risk.Sighting {
		x := declined(id, minute)
		x.Kind, x.Primary = payment.SignalPayer, customer
		return x
	}
	s, d := take(card, p, use("1", "ann", 1), use("2", "ann", 2), use("3", "ann", 3), use("4", "bob", 4))
	if len(d) != 0 {
		t.Fatalf("two customers decide: %v", d[0].Reason)
	}
	if _, d = take(s, p, use("5", "eve", 5)); len(d) != 1 || d[0].Subject.Kind != risk.KindCard {
		t.Fatalf("three customers: %v", d)
	}
}

// Guards a subject's size: however many tries there are, the document stays small, and
// the latest are kept.
func TestSubjectsAreBounded(t *testing.T) {
	t.Parallel()
	s := subject()
	for i := range 1000 {
		s, _ = take(s, velocity(5, 60), declined(fmt.Sprint(i), i), paid(fmt.Sprint("p", i), i, 1, "usd"))
	}
	if len(s.Sightings) != 200 || s.Sightings[199].At != at(999) || len(s.Fired) != 1 {
		t.Fatalf("%d sightings, the last at %s, %d rules", len(s.Sightings), s.Sightings[len(s.Sightings)-1].At, len(s.Fired))
	}
}

// Guards the account's rate: both a fraud report and its dispute count, and one that is
// counted again after a crash does not.
func TestDisputeRate(t *testing.T) {
	t.Parallel()
	p := policy(risk.Rule{Name: risk.DisputeRate, Threshold: 100, Min: 2, Actions: []risk.Action{risk.ActAlert}})
	shares := map[string]risk.Tally{}
	count := func(kind payment.SignalKind, id string) risk.Sighting {
		x := risk.Sighting{ID: id, Kind: kind, At: at(1), Payment: id, Account: "stripe-eu"}
		for range 2 { // the second is a repetition
			empty := risk.TallyFor(payment.ModeTest, x)
			if have, ok := shares[empty.ID]; ok {
				empty = have
			}
			shares[empty.ID], _ = empty.Count(x)
		}
		return x
	}
	judge := func(x risk.Sighting) []risk.Decision {
		var all []risk.Tally
		for _, id := range risk.TallyIDs("stripe-eu", at(1)) {
			all = append(all, shares[id])
		}
		return p.Rate(payment.ModeTest, "stripe-eu", x, all)
	}
	for i := range 200 {
		count(payment.SignalPaid, fmt.Sprint("pay_", i))
	}
	if d := judge(count(payment.SignalDispute, "d1")); len(d) != 0 {
		t.Fatalf("one case decides: %v", d[0].Reason)
	}
	d := judge(count(payment.SignalWarning, "w1"))
	if len(d) != 1 || d[0].Reason != "2 disputes and fraud warnings over 200 payments in 2026-03: over 100 basis points" {
		t.Fatalf("two of two hundred: %v", d)
	}
	if again := judge(count(payment.SignalDispute, "d2")); len(again) != 1 || again[0].ID != d[0].ID {
		t.Errorf("one month is one incident: %v", again)
	}
}

// Guards the default policy: nothing is done to anybody before somebody says so, and
// every rule of it is valid.
func TestDefaultPolicyIsDry(t *testing.T) {
	t.Parallel()
	for _, r := range risk.Default().Rules {
		if f := r.Faults(); len(f) > 0 {
			t.Errorf("%s: %v", r.Name, f)
		}
		for _, a := range r.Actions {
			if a != risk.ActObserve && a != risk.ActAlert && !r.DryRun {
				t.Errorf("%s does %s by itself", r.Name, a)
			}
		}
	}
	for _, bad := range []risk.Rule{
		{Name: "nonsense"},
		{Name: risk.DeclineVelocity, Window: time.Hour},
		{Name: risk.DeclineVelocity, Threshold: 5},
		{Name: risk.DeclineVelocity, Threshold: 101, Window: time.Hour},
		{Name: risk.DisputeRate, Threshold: 50, Actions: []risk.Action{risk.ActRefund}},
		{Name: risk.FraudWarning, Actions: []risk.Action{"shoot"}},
		{Name: risk.FraudWarning, DryRun: true, Confirm: true},
	} {
		if len(bad.Faults()) == 0 {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// Guards the life of a block: the same cause never sets it twice, also after it was
// lifted; a hold weakens no block; the record stays.
func TestBlockLife(t *testing.T) {
	t.Parallel()
	by := payment.Actor{Type: "operator", ID: "op"}
	b, ok := risk.Block{ID: "blk"}.Set(risk.EffectBlock, "why", "rde_1", at(60), by, "rde_1", at(0))
	if !ok || !b.In(at(59)) || b.In(at(60)) {
		t.Fatalf("set until an hour later: %+v", b)
	}
	if b, _ = b.Set(risk.EffectHold, "hold", "rde_2", time.Time{}, by, "rde_2", at(1)); b.Effect != risk.EffectBlock || b.Decision != "rde_1" {
		t.Fatalf("a hold weakened a block: %+v", b)
	}
	b, ok = b.Lift("mistake", by, "", at(2))
	if !ok || b.In(at(3)) || len(b.Log) != 3 {
		t.Fatalf("lifted: %+v", b)
	}
	if _, again := b.Set(risk.EffectBlock, "why", "rde_1", time.Time{}, by, "rde_1", at(4)); again {
		t.Error("the decision that somebody lifted set it again")
	}
	if _, again := b.Lift("twice", by, "", at(5)); again {
		t.Error("lifted twice")
	}
	if b, ok = b.Set(risk.EffectBlock, "new", "rde_3", time.Time{}, by, "rde_3", at(6)); !ok || !b.In(at(99)) || b.CreatedAt != at(0) {
		t.Errorf("a new cause: %+v", b)
	}
}

// Guards what an operator blocked: apps and rules make it stronger, never weaker, and
// it stays the operator's, however often they set it again; over, it is nobody's.
func TestBlockOfAnOperator(t *testing.T) {
	t.Parallel()
	operator, app := payment.Actor{Type: payment.ActorOperator, ID: "op"}, payment.Actor{Type: "api_key", ID: "key"}
	b, _ := risk.Block{ID: "blk"}.Set(risk.EffectBlock, "stolen cards", "rde_1", at(60), operator, "rde_1", at(0))
	for i := range 100 { // more than the log keeps
		ref := fmt.Sprint("rde_app", i)
		b, _ = b.Set(risk.EffectBlock, "ours", ref, at(1), app, ref, at(0))
	}
	if !b.Operators(at(59)) || !b.In(at(59)) || b.In(at(60)) || b.Decision != "rde_1" || b.Reason != "stolen cards" {
		t.Errorf("an app weakened it: %+v", b)
	}
	longer, changed := b.Set(risk.EffectBlock, "for good", "rde_2", time.Time{}, app, "rde_2", at(2))
	if !changed || !longer.In(at(999)) || !longer.Operators(at(999)) || longer.Decision != "rde_1" {
		t.Errorf("an app made it longer: %+v", longer)
	}
	again, _ := b.Set(risk.EffectBlock, "ours", "rde_3", time.Time{}, app, "rde_3", at(61))
	if again.Operators(at(62)) || again.Decision != "rde_3" {
		t.Errorf("set by an app after the operator's was over: %+v", again)
	}
	if lifted, _ := b.Lift("settled", operator, "", at(3)); lifted.Operators(at(4)) {
		t.Errorf("lifted: %+v", lifted)
	}
	held, _ := risk.Block{ID: "blk"}.Set(risk.EffectHold, "look", "rde_4", time.Time{}, operator, "rde_4", at(0))
	if held, _ = held.Set(risk.EffectBlock, "ours", "rde_5", at(9), app, "rde_5", at(1)); held.Effect != risk.EffectBlock || !held.In(at(99)) {
		t.Errorf("an app's block over an operator's hold: %+v", held)
	}
	own, _ := risk.Block{ID: "blk"}.Set(risk.EffectBlock, "ours", "rde_6", time.Time{}, app, "rde_6", at(0))
	if own.Operators(at(1)) {
		t.Error("an app's own block is taken for an operator's")
	}
	if own, _ = own.Set(risk.EffectBlock, "theirs", "rde_7", at(9), operator, "rde_7", at(1)); !own.Operators(at(2)) || !own.In(at(99)) || own.Operators(at(9)) {
		t.Errorf("an operator's short block over an app's permanent one: %+v", own)
	}
}
