package payment

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Few ids, few seconds and few amounts: two generated sets then share keys, and
// most of their entries tie or nearly tie, which is where a merge goes wrong.

func drawKey(t *rapid.T, prefix string) ObjectKey {
	return ObjectKey{
		Provider: rapid.SampledFrom([]string{"stripe", "paypal"}).Draw(t, "provider"),
		Account:  rapid.SampledFrom([]string{"eu", "us"}).Draw(t, "account"),
		ID:       prefix + rapid.SampledFrom([]string{"1", "2"}).Draw(t, "id"),
	}
}

func drawStamp(t *rapid.T) Stamp {
	zone := rapid.SampledFrom([]*time.Location{time.UTC, time.FixedZone("", 7200)}).Draw(t, "zone")
	return Stamp{
		Created: at(rapid.IntRange(0, 1).Draw(t, "created")),
		AsOf:    at(rapid.IntRange(0, 2).Draw(t, "as_of")).In(zone),
	}
}

func drawMoney(t *rapid.T) Money {
	return Money{
		Minor:    rapid.Int64Range(999, 1001).Draw(t, "minor"),
		Currency: rapid.SampledFrom([]Currency{"usd", "eur"}).Draw(t, "currency"),
	}
}

func drawN(t *rapid.T) int { return rapid.IntRange(1, 2).Draw(t, "n") }

func drawSet[T any](t *rapid.T, name string, draw func(*rapid.T) T) []T {
	return rapid.SliceOfN(rapid.Custom(draw), 0, 4).Draw(t, name)
}

// drawFacts generates any set of facts, also ones no provider would report: the
// laws of Merge hold for all of them.
func drawFacts(t *rapid.T) Facts {
	f := Facts{Terms: Terms{Amount: usd(1000)}}
	f.Opened = drawSet(t, "opened", func(t *rapid.T) Attempt {
		return Attempt{N: drawN(t), Provider: "stripe", Account: rapid.SampledFrom([]string{"eu", "us"}).Draw(t, "account")}
	})
	f.Decisions = drawSet(t, "decisions", func(t *rapid.T) Decision {
		return Decision{
			ID:   rapid.SampledFrom([]string{"a", "b"}).Draw(t, "id"),
			Kind: rapid.SampledFrom([]DecisionKind{DecisionAbandoned, DecisionAccept}).Draw(t, "kind"), N: drawN(t),
			Objects: rapid.SliceOfN(rapid.SampledFrom([]string{"c1", "c2"}), 0, 2).Draw(t, "objects"),
		}
	})
	f.Attempts = drawSet(t, "attempts", func(t *rapid.T) AttemptFact {
		return AttemptFact{
			Key: drawKey(t, "cs"), N: drawN(t), State: rapid.SampledFrom(append(attemptStates, "unheard-of")).Draw(t, "state"),
			Total: drawMoney(t), Stamp: drawStamp(t), CompleteAsOf: at(rapid.IntRange(0, 2).Draw(t, "complete")),
			ApprovedAt: at(rapid.IntRange(0, 1).Draw(t, "approved")),
		}
	})
	f.Authorizations = drawSet(t, "authorizations", func(t *rapid.T) Authorization {
		return Authorization{
			Key: drawKey(t, "a"), N: drawN(t), State: rapid.SampledFrom(authStates).Draw(t, "state"), Amount: drawMoney(t),
			Capturable: rapid.Int64Range(0, 2).Draw(t, "capturable"), Stamp: drawStamp(t),
		}
	})
	f.Captures = drawSet(t, "captures", func(t *rapid.T) Capture {
		return Capture{Key: drawKey(t, "c"), N: drawN(t), State: rapid.SampledFrom(captureStates).Draw(t, "state"), Amount: drawMoney(t), Stamp: drawStamp(t), Final: rapid.Bool().Draw(t, "final")}
	})
	f.Refunds = drawSet(t, "refunds", func(t *rapid.T) Refund {
		return Refund{Key: drawKey(t, "r"), Capture: "c1", State: rapid.SampledFrom(refundStates).Draw(t, "state"), Amount: drawMoney(t), Stamp: drawStamp(t)}
	})
	f.Reversals = drawSet(t, "reversals", func(t *rapid.T) Reversal {
		return Reversal{Key: drawKey(t, "v"), Capture: "c1", Amount: drawMoney(t), Stamp: drawStamp(t)}
	})
	f.Disputes = drawSet(t, "disputes", func(t *rapid.T) Dispute {
		return Dispute{
			Key: drawKey(t, "d"), Capture: "c1", Status: rapid.SampledFrom(disputeStates).Draw(t, "status"), Amount: drawMoney(t),
			Withheld: rapid.Int64Range(0, 1).Draw(t, "withheld"), Returned: rapid.Int64Range(0, 1).Draw(t, "returned"), Stamp: drawStamp(t),
			Evidence: EvidenceState{Given: rapid.Bool().Draw(t, "given"), Submitted: rapid.Int64Range(0, 1).Draw(t, "submitted")},
			Outcome:  rapid.SampledFrom([]string{"", "won"}).Draw(t, "outcome"),
		}
	})
	f.Warnings = drawSet(t, "warnings", func(t *rapid.T) FraudWarning {
		return FraudWarning{
			Key: drawKey(t, "w"), Capture: "c1", Actionable: rapid.Bool().Draw(t, "actionable"),
			FraudType: rapid.SampledFrom([]string{"misc", "made_with_stolen_card"}).Draw(t, "type"), Stamp: drawStamp(t),
		}
	})
	f.Reviews = drawSet(t, "reviews", func(t *rapid.T) Review {
		return Review{
			Key: drawKey(t, "p"), Capture: "c1", Open: rapid.Bool().Draw(t, "open"),
			Closed: rapid.SampledFrom([]string{"", "approved"}).Draw(t, "closed"), Stamp: drawStamp(t),
		}
	})
	f.Fees = drawSet(t, "fees", func(t *rapid.T) Fee {
		return Fee{Key: drawKey(t, "t"), Object: "c1", Fee: drawMoney(t), Net: drawMoney(t)}
	})
	f.Payers = drawSet(t, "payers", func(t *rapid.T) Payer {
		return Payer{Key: drawKey(t, "c"), N: drawN(t), Card: drawCard(t), PayerID: rapid.SampledFrom([]string{"", "P1"}).Draw(t, "payer"), Stamp: drawStamp(t)}
	})
	f.Declines = drawSet(t, "declines", drawDecline)
	return f
}

func drawCard(t *rapid.T) Card {
	return Card{Fingerprint: rapid.SampledFrom([]string{"", "f1", "f2"}).Draw(t, "fingerprint")}
}

func drawDecline(t *rapid.T) Decline {
	return Decline{
		Key: drawKey(t, "c"), N: drawN(t), Code: rapid.SampledFrom([]string{"card_declined", "expired_card"}).Draw(t, "code"),
		Card: drawCard(t), EmailHash: rapid.SampledFrom([]string{"", "h"}).Draw(t, "email"), Stamp: drawStamp(t),
	}
}

// Guards I6: merging is commutative, associative and idempotent, and what comes
// out is in one canonical order, so equal contents are deeply equal.
func TestMergeLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawFacts(t), drawFacts(t), drawFacts(t)
		sameFacts(t, "a+b = b+a", a.Merge(b), b.Merge(a))
		sameFacts(t, "(a+b)+c = a+(b+c)", a.Merge(b).Merge(c), a.Merge(b.Merge(c)))
		once := a.Merge(b)
		sameFacts(t, "(a+b)+b = a+b", once.Merge(b), once)
		sameFacts(t, "(a+b)+a = a+b", once.Merge(a), once)
		sameFacts(t, "(a+b)+(a+b) = a+b", once.Merge(once), once)
		sameFacts(t, "(a+b)+nothing = a+b", once.Merge(Facts{}), once)
	})
}

// Guards I6 from the outside: any number of observations, complete or not, in
// any order and with repetitions, end in the same facts.
func TestObserveOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(t, "observations")
		list := make([]Observation, n)
		for i := range list {
			list[i] = Observation{
				N: drawN(t), Complete: rapid.Bool().Draw(t, "complete"), AsOf: at(rapid.IntRange(0, 3).Draw(t, "read_at")), Facts: drawFacts(t),
			}
		}
		again := append(append([]Observation{}, list...), list...)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		r.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		base := automatic(opened(1, "stripe"))
		sameFacts(t, "shuffled twice = once in order", feed(base, again), feed(base, list))
	})
}

// Guards that an observation can neither decide for us nor change what was
// asked, whatever an adapter puts into it.
func TestObserveIgnoresWhatIsOurs(t *testing.T) {
	t.Parallel()
	base := automatic(opened(1, "stripe"))
	got := base.Observe(Observation{N: 1, Complete: true, AsOf: at(9), Facts: Facts{
		Terms:     Terms{Amount: usd(1)},
		Opened:    []Attempt{opened(2, "paypal")},
		Decisions: []Decision{decision(DecisionAccept, 0, "c1")},
	}})
	sameFacts(t, "nothing of ours changed", got, base)
}

// Guards CompleteAsOf: it moves forward only, only for the attempt that was
// read, and only by a complete snapshot.
func TestCompleteAsOfMovesForwardOnly(t *testing.T) {
	t.Parallel()
	one, two := session(1, AttemptOpen, 1000, 0), session(2, AttemptOpen, 1000, 0)
	f := automatic().Merge(Facts{Attempts: []AttemptFact{one, two}})
	steps := []struct {
		obs  Observation
		want int
	}{
		{Observation{N: 1, Complete: false, AsOf: at(5), Facts: Facts{Attempts: []AttemptFact{one}}}, 0},
		{Observation{N: 1, Complete: true, AsOf: at(7), Facts: Facts{Attempts: []AttemptFact{one}}}, 7},
		{Observation{N: 1, Complete: true, AsOf: at(6), Facts: Facts{Attempts: []AttemptFact{one}}}, 7},
	}
	for _, s := range steps {
		f = f.Observe(s.obs)
		got, _ := f.AttemptFact(1)
		if !got.CompleteAsOf.Equal(at(s.want)) {
			t.Fatalf("after a read at %s: complete as of %s, want %s", s.obs.AsOf, got.CompleteAsOf, at(s.want))
		}
		if other, _ := f.AttemptFact(2); !other.CompleteAsOf.Equal(at(0)) {
			t.Fatalf("attempt 2 was not read, but is complete as of %s", other.CompleteAsOf)
		}
	}
}

// Guards the winner of two sightings, set by set: the published merge rules,
// each with the pair that a simpler rule would get wrong.
func TestMergeWinners(t *testing.T) {
	t.Parallel()
	newer := func(c Capture, second int) Capture { c.AsOf = at(second); return c }
	withState := func(c Capture, s CaptureState) Capture { c.State = s; return c }
	c := captured(1, "c1", 1000, 1)
	for _, pair := range [][2]Capture{ // loser, winner
		{newer(withState(c, CapturePending), 9), c},  // a stale pending read later never un-captures
		{newer(withState(c, CaptureDeclined), 9), c}, // nor does a decline
		{newer(c, 9), captured(1, "c1", 1500, 1)},    // a charge captured again grows
		{c, newer(c, 2)}, // else provider time decides
		{withState(c, CapturePending), withState(c, CaptureDeclined)}, // pending -> denied
	} {
		f := Facts{Captures: pair[:1]}.Merge(Facts{Captures: pair[1:]})
		wantDiff(t, "capture", f.Captures, pair[1:])
	}
	r := refunded("r1", "c1", 100, RefundSucceeded, 5)
	late := refunded("r1", "c1", 100, RefundFailed, 1)
	wantDiff(t, "a succeeded refund can fail later", Facts{Refunds: []Refund{late}}.Merge(Facts{Refunds: []Refund{r}}).Refunds, []Refund{late})
	lost := Dispute{Key: stripeKey("d1"), Status: DisputeLost, Stamp: stamp(1, 1)}
	appealed := Dispute{Key: stripeKey("d1"), Status: DisputeUnderReview, Stamp: stamp(1, 2)}
	refunded := lost
	lost.Withheld = 600
	for _, two := range [][2]Dispute{{lost, refunded}, {refunded, lost}} {
		got := Facts{Disputes: two[:1]}.Merge(Facts{Disputes: two[1:]}).Disputes
		wantDiff(t, "what is seen later of a decision's money gives back", got, []Dispute{refunded})
	}
	told := lost
	told.Returned = 20
	for _, two := range [][2]Dispute{{lost, told}, {told, lost}} { // in whatever order their digests are
		got := Facts{Disputes: two[:1]}.Merge(Facts{Disputes: two[1:]}).Disputes
		wantDiff(t, "a reading that looked for what came back of the fee says more", got, []Dispute{told})
	}
	clearly := Dispute{Key: stripeKey("d1"), Status: DisputeNeedsResponse, Stamp: stamp(1, 1)}
	for minor := range int64(20) { // in whatever order their digests are
		clearly.Amount = usd(minor)
		unclear := clearly
		unclear.Unclear = true
		got := Facts{Disputes: []Dispute{clearly}}.Merge(Facts{Disputes: []Dispute{unclear}}).Disputes
		wantDiff(t, "of one moment, what can be understood counts", got, []Dispute{clearly})
	}
	wantDiff(t, "a lost dispute can be appealed", Facts{Disputes: []Dispute{appealed}}.Merge(Facts{Disputes: []Dispute{lost}}).Disputes, []Dispute{appealed})
	before, after := authorized(1, "a1", 5000, 5000, 3), authorized(1, "a1", 5000, 3500, 3)
	wantDiff(t, "within one second the smaller rest is the later", Facts{Authorizations: []Authorization{after}}.Merge(Facts{Authorizations: []Authorization{before}}).Authorizations, []Authorization{after})
	first, second := order(1, AttemptApproved, 1000, 3), order(1, AttemptApproved, 1000, 3)
	first.ApprovedAt = at(2)
	wantDiff(t, "within one second the later approval counts", Facts{Attempts: []AttemptFact{second}}.Merge(Facts{Attempts: []AttemptFact{first}}).Attempts, []AttemptFact{second})
}

// Guards that ids of different accounts and providers never meet in one entry.
func TestMergeKeepsAccountsApart(t *testing.T) {
	t.Parallel()
	us := captured(1, "c1", 1000, 1)
	us.Key.Account = "stripe-us"
	pp := captured(1, "c1", 1000, 1)
	pp.Key.Provider = "paypal"
	f := Facts{Captures: []Capture{captured(1, "c1", 1000, 1)}}.Merge(Facts{Captures: []Capture{us, pp}})
	if len(f.Captures) != 3 {
		t.Fatalf("%d captures, want 3: %+v", len(f.Captures), f.Captures)
	}
}

type failer interface {
	Helper()
	Fatalf(string, ...any)
}

func sameFacts(t failer, what string, got, want Facts) {
	t.Helper()
	if digest(got) != digest(want) {
		t.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func feed(f Facts, list []Observation) Facts {
	for _, o := range list {
		f = f.Observe(o)
	}
	return f
}
