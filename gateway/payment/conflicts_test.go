package payment

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Guards I1: two captures are seen, held and kept as evidence, never summed
// away, be they in one attempt, in two, or at two providers, and in any order
// of arrival.
func TestTwoCapturesAreNeverSummedAway(t *testing.T) {
	t.Parallel()
	done := session(1, AttemptComplete, 1000, 9)
	second := session(2, AttemptComplete, 1000, 9)
	other := order(2, AttemptComplete, 1000, 9)
	pp := captured(2, "CAP2", 1000, 6)
	pp.Key = paypalKey("CAP2")
	cases := []struct {
		name string
		base Facts
		seen []Facts
	}{
		{"one attempt", automatic(opened(1, "stripe")), []Facts{with(attempts(done), captures(captured(1, "c1", 1000, 5))), with(attempts(done), captures(captured(1, "c2", 1000, 6)))}},
		{"two attempts", automatic(opened(1, "stripe"), opened(2, "stripe")), []Facts{with(attempts(done), captures(captured(1, "c1", 1000, 5))), with(attempts(second), captures(captured(2, "c2", 1000, 6)))}},
		{"two providers", automatic(opened(1, "stripe"), opened(2, "paypal")), []Facts{with(attempts(done), captures(captured(1, "c1", 1000, 5))), with(attempts(other), captures(pp))}},
		{"two providers, halves", automatic(opened(1, "stripe"), opened(2, "paypal")), []Facts{with(attempts(done), captures(captured(1, "c1", 500, 5))), with(attempts(other), captures(halve(pp)))}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				f := c.base
				for _, i := range rapid.Permutation([]int{0, 1, 0, 1}).Draw(t, "order") {
					f = f.Merge(c.seen[i])
				}
				if f.Status() != StatusConflicted || len(f.Captures) != 2 {
					t.Fatalf("%s with %d captures", f.Status(), len(f.Captures))
				}
				var sum int64
				for _, x := range f.Captures {
					sum += x.Amount.Minor
				}
				if got := f.Amounts(nil).Captured; got != sum {
					t.Fatalf("captured = %d, want all of %d", got, sum)
				}
			})
		})
	}
}

func halve(c Capture) Capture {
	c.Amount.Minor /= 2
	return c
}

// Guards I7: currency, account and amount of what was captured are compared with
// what was asked, and each difference is named as evidence.
func TestConflictEvidence(t *testing.T) {
	t.Parallel()
	one := with(automatic(opened(1, "stripe")), attempts(session(1, AttemptComplete, 1000, 9)))
	eur := captured(1, "c1", 1000, 5)
	eur.Amount.Currency = "eur"
	us := captured(1, "c1", 1000, 5)
	us.Key.Account = "stripe-us"
	stray := captured(7, "c7", 1000, 5)
	odd := session(1, AttemptApproved, 999, 9)
	foreign := session(1, AttemptApproved, 1000, 9)
	foreign.Total.Currency = "eur"
	for _, c := range []struct {
		name, evidence string
		facts          Facts
	}{
		{"currency", "is in eur, asked was usd", with(one, captures(eur))},
		{"account", "stripe/stripe-us", with(one, captures(us))},
		{"attempt never opened", "did not use for attempt 7", with(one, attempts(session(7, AttemptComplete, 1000, 9)), captures(stray))},
		{"short by 1", "captured 999 in 1 capture(s), expected 1000", with(one, captures(captured(1, "c1", 999, 5)))},
		{"over by 1", "captured 1001 in 1 capture(s), expected 1000", with(one, captures(captured(1, "c1", 1001, 5)))},
		{"approved for more", "attempt 1 is for 1001, asked was 1000", with(automatic(opened(1, "stripe")), attempts(session(1, AttemptApproved, 1001, 9)))},
		{"approved for less", "attempt 1 is for 999, asked was 1000", with(automatic(opened(1, "stripe")), attempts(odd))},
		{"approved in another currency", "attempt 1 is in eur", with(automatic(opened(1, "stripe")), attempts(foreign))},
	} {
		got := c.facts.Conflicts()
		if c.facts.Status() != StatusConflicted || !strings.Contains(strings.Join(got, "; "), c.evidence) {
			t.Errorf("%s: %s, evidence %q, want %q in it", c.name, c.facts.Status(), got, c.evidence)
		}
	}
	lone := with(automatic(opened(1, "stripe")), attempts(session(1, AttemptOpen, 999, 9)))
	if lone.Status() != StatusRequiresAction {
		t.Errorf("an open checkout for another amount is no conflict before the customer acts: %s", lone.Status())
	}
}

// Guards I7 for manual capture: each of our requests took exactly what it asked,
// never more than was authorised, no repetition; what was captured outside
// within the authorised amount is accepted. An answer that is not in yet, or
// not covered by a snapshot yet, is no reason for an alarm.
func TestManualConflicts(t *testing.T) {
	t.Parallel()
	one := with(manual(opened(1, "stripe")), attempts(session(1, AttemptAuthorized, 5000, 9)), authorizations(authorized(1, "a1", 5000, 100, 9)))
	c := func(id string, minor int64) Facts { return captures(captured(1, id, minor, 5)) }
	ours := func(run string, amount int64, answer string) Facts {
		return decisions(asked(1, run, amount, answer)...)
	}
	pending := captured(1, "c2", 700, 5)
	pending.State = CapturePending
	renewed := authorized(1, "a2", 4000, 4000, 9)
	renewed.Replaces = "a1"
	whole := authorized(1, "a2", 5000, 5000, 9)
	whole.Replaces = "a1"
	before := captured(1, "c1", 1000, 5)
	before.Auth = "a1"
	runFacts(t, []factsCase{
		{"asked 1500, captured 1500", with(one, ours("o1", 1500, "c1"), c("c1", 1500)), StatusAuthorized},
		{"asked 1500, captured 1501", with(one, ours("o1", 1500, "c1"), c("c1", 1501)), StatusConflicted},
		{"asked 1500, captured 1499", with(one, ours("o1", 1500, "c1"), c("c1", 1499)), StatusConflicted},
		{"asked 1500, captured twice", with(one, ours("o1", 1500, "c1"), c("c1", 1500), c("c2", 1500)), StatusConflicted},
		{"asked 1500, and 300 outside", with(one, ours("o1", 1500, "c1"), c("c1", 1500), c("c2", 300)), StatusAuthorized},
		{"only outside", with(one, c("c1", 300), c("c2", 300)), StatusAuthorized},
		{"outside beyond the authorisation", with(one, c("c1", 5001)), StatusConflicted},
		{"refused request, then another", with(one, ours("o1", 9000, "refused"), ours("o2", 1500, "c1"), c("c1", 1500)), StatusAuthorized},
		{"request without an answer", with(one, ours("o1", 1500, ""), c("c1", 1500)), StatusAuthorized},
		{"one charge grew by two requests", with(one, ours("o1", 500, "c1"), ours("o2", 700, "c1"), c("c1", 1200)), StatusAuthorized},
		{"one charge grew by more than two requests", with(one, ours("o1", 500, "c1"), ours("o2", 700, "c1"), c("c1", 1201)), StatusConflicted},
		{"second answered, its capture not seen", with(one, ours("o1", 500, "c1"), ours("o2", 700, "c2"), c("c1", 500)), StatusAuthorized},
		{"second answered, its capture ahead of the snapshot", with(one, ours("o1", 500, "c1"), ours("o2", 700, "c2"), c("c1", 500), captures(captured(1, "c2", 700, 10))), StatusAuthorized},
		{"second answered, its capture pending", with(one, ours("o1", 500, "c1"), ours("o2", 700, "c2"), c("c1", 500), captures(pending)), StatusAuthorized},
		{"renewed after a part was taken", with(one, authorizations(renewed), captures(before, captured(1, "c2", 4000, 6))), StatusAuthorized},
		{"renewed for the whole, and no more taken than agreed", with(one, authorizations(whole), captures(before, captured(1, "c2", 4000, 6))), StatusAuthorized},
		{"renewed for the whole, and more taken than agreed", with(one, authorizations(whole), captures(before, captured(1, "c2", 4001, 6))), StatusConflicted},
		{"renewed, and more than both taken", with(one, authorizations(renewed), captures(before, captured(1, "c2", 4001, 6))), StatusConflicted},
	})
	denied := pending
	denied.State = CaptureDeclined
	f := with(one, ours("o1", 500, "c1"), ours("o2", 700, "c2"), c("c1", 500), captures(denied))
	if got := f.Conflicts(); len(got) > 0 {
		t.Errorf("a capture that was denied in the end took nothing, and nothing is missing: %v", got)
	}
}

// Guards that a manual payment whose last capture is pending or unseen is
// processing and not yet succeeded: what is held is gone, the money is not here.
func TestManualWaitsForItsCapture(t *testing.T) {
	t.Parallel()
	one := with(manual(opened(1, "stripe")), attempts(session(1, AttemptComplete, 5000, 9)), authorizations(authorized(1, "a1", 5000, 0, 9)))
	first, ask := captures(captured(1, "c1", 1000, 5)), decisions(slices.Concat(asked(1, "o1", 1000, "c1"), asked(1, "o2", 4000, "c2"))...)
	ahead := captures(captured(1, "c2", 4000, 10))
	runFacts(t, []factsCase{
		{"unseen", with(one, first, ask), StatusProcessing},
		{"ahead of its snapshot", with(one, first, ask, ahead), StatusProcessing},
		{"covered", with(one, first, ask, ahead, attempts(session(1, AttemptComplete, 5000, 10))), StatusSucceeded},
	})
}

// conflicted is a payment with a duplicate: c1 and c2, each of the full amount.
func conflicted(t *testing.T) *Payment {
	t.Helper()
	p := newPayment(automatic(opened(1, "stripe")))
	p = observe(t, p, 1, 9, with(attempts(session(1, AttemptComplete, 1000, 9)), captures(captured(1, "c1", 1000, 5), captured(1, "c2", 1000, 6))))
	wantStatus(t, p, StatusConflicted)
	return p
}

func resolve(t *testing.T, p *Payment, action string, ids ...string) *Payment {
	t.Helper()
	return change(t, p, 20, func(c *Payment) error {
		return c.Resolve(action, ids, "agreed with the customer", Command{ID: "res_" + action + strings.Join(ids, ""), By: operator, Now: at(20)})
	})
}

// Guards the exit of a conflict: accept covers exactly the listed captures, and
// any later one conflicts again, even one that would fit the sum.
func TestResolveAccept(t *testing.T) {
	t.Parallel()
	p := resolve(t, conflicted(t), "accept", "c1", "c2")
	wantStatus(t, p, StatusSucceeded)
	wantDiff(t, "amounts", p.Amounts(), Amounts{Expected: 1000, Captured: 2000, Refundable: 2000})
	later := with(attempts(session(1, AttemptComplete, 1000, 30)), captures(captured(1, "c3", 1000, 25)))
	wantStatus(t, observe(t, p, 1, 30, later), StatusConflicted)

	short := newPayment(automatic(opened(1, "stripe")))
	short = observe(t, short, 1, 9, with(attempts(session(1, AttemptComplete, 1000, 9)), captures(captured(1, "c1", 999, 5))))
	short = resolve(t, short, "accept", "c1")
	wantStatus(t, short, StatusSucceeded)
	cent := with(attempts(session(1, AttemptComplete, 1000, 30)), captures(captured(1, "c2", 1, 25)))
	wantStatus(t, observe(t, short, 1, 30, cent), StatusConflicted)
}

// Guards the operator's refund: it orders exactly the listed captures to be
// given back in full, keeps the rest, and stays resolved; a later capture
// conflicts again.
func TestResolveRefund(t *testing.T) {
	t.Parallel()
	p := resolve(t, conflicted(t), "refund", "c2")
	wantStatus(t, p, StatusSucceeded)
	op := onlyOp(t, p, OpRefund)
	if op.Target != "c2" || op.Amount != usd(1000) || op.By.Type != "operator" {
		t.Fatalf("operation %+v, want a refund of c2 over 1000", op)
	}
	wantDiff(t, "amounts", p.Amounts(), Amounts{Expected: 1000, Captured: 2000, RefundPending: 1000, Refundable: 1000})
	p = settle(t, p, op.ID, 30, Outcome{State: OpDone, Ref: "r1"}, snapshot(1, 30, with(
		attempts(session(1, AttemptComplete, 1000, 30)), Facts{Refunds: []Refund{refunded("r1", "c2", 1000, RefundSucceeded, 29)}})))
	wantStatus(t, p, StatusSucceeded)
	wantDiff(t, "amounts", p.Amounts(), Amounts{Expected: 1000, Captured: 2000, Refunded: 1000, Refundable: 1000})
	if due := p.Next(at(31)); len(due) > 0 {
		t.Fatalf("still due: %+v", due)
	}
	again := with(attempts(session(1, AttemptComplete, 1000, 40)), captures(captured(1, "c3", 1000, 35)))
	wantStatus(t, observe(t, p, 1, 40, again), StatusConflicted)

	none := resolve(t, conflicted(t), "refund", "c1", "c2")
	wantStatus(t, none, StatusCanceled)
	if n := len(none.Next(at(21))); n != 0 || len(none.Operations) != 2 {
		t.Fatalf("%d operations and %d more due, want 2 and none", len(none.Operations), n)
	}
	fits := with(attempts(session(1, AttemptComplete, 1000, 40)), captures(captured(1, "c3", 1000, 35)))
	wantStatus(t, observe(t, none, 1, 40, fits), StatusConflicted) // late money after "give it all back" is for a human
}

// Guards what may be left: the expected amount in the payment's own currency, or
// nothing; and that a refused decision changes nothing.
func TestResolveGuards(t *testing.T) {
	t.Parallel()
	mixed := func(amounts ...Money) *Payment {
		p := newPayment(automatic(opened(1, "stripe")))
		f := attempts(session(1, AttemptComplete, 1000, 9))
		for i, m := range amounts {
			c := captured(1, []string{"c1", "c2", "c3"}[i], m.Minor, 5)
			c.Amount = m
			f = with(f, captures(c))
		}
		return observe(t, p, 1, 9, f)
	}
	eur := Money{Minor: 1000, Currency: "eur"}
	held := newPayment(automatic(opened(1, "stripe")))
	held = observe(t, held, 1, 9, attempts(session(1, AttemptApproved, 900, 9)))
	paid := newPayment(with(automatic(opened(1, "stripe")), attempts(session(1, AttemptComplete, 1000, 9)), captures(captured(1, "c1", 1000, 5))))
	for _, c := range []struct {
		name   string
		p      *Payment
		action string
		ids    []string
		want   Code
	}{
		{"not conflicted", paid, "accept", []string{"c1"}, CodeConflict},
		{"unknown action", conflicted(t), "forget", []string{"c1"}, CodeInvalid},
		{"unknown capture", conflicted(t), "refund", []string{"c9"}, CodeInvalid},
		{"accept leaves one out", conflicted(t), "accept", []string{"c1"}, CodeInvalid},
		{"accept of nothing", conflicted(t), "accept", nil, CodeInvalid},
		{"refund of nothing", conflicted(t), "refund", nil, CodeInvalid},
		{"accept cannot settle an approval", held, "accept", nil, CodeInvalid},
		{"rest is neither expected nor nothing", mixed(usd(1000), usd(1000), usd(10)), "refund", []string{"c1"}, CodeInvalid},
		{"rest has the right number in another currency", mixed(usd(1000), eur), "refund", []string{"c1"}, CodeInvalid},
		{"given back already", resolveThenDuplicate(t), "accept", []string{"c1", "c2", "c3"}, CodeInvalid},
	} {
		before := digest(*c.p)
		got, err := c.p.Change(apiCall, at(20), func(p *Payment) error {
			return p.Resolve(c.action, c.ids, "why", Command{ID: "res", By: operator, Now: at(20)})
		})
		if got != nil || err == nil || CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		if digest(*c.p) != before {
			t.Errorf("%s: an error changed the payment", c.name)
		}
	}
	wantStatus(t, resolve(t, mixed(usd(1000), eur), "refund", "c2"), StatusSucceeded)
	if op := onlyOp(t, resolve(t, mixed(usd(1000), usd(1)), "refund", "c2"), OpRefund); op.Amount != usd(1) {
		t.Errorf("gives back %s, want the one cent", op.Amount)
	}
}

// resolveThenDuplicate had c2 refunded by an operator, and then c3 came.
func resolveThenDuplicate(t *testing.T) *Payment {
	t.Helper()
	p := resolve(t, conflicted(t), "refund", "c2")
	return observe(t, p, 1, 40, with(attempts(session(1, AttemptComplete, 1000, 40)), captures(captured(1, "c3", 1000, 35))))
}

// Guards the operator's way out for manual capture: what our own request asked
// may stay, whichever of two equal captures is given back.
func TestResolveRefundManual(t *testing.T) {
	t.Parallel()
	for _, give := range []string{"c1", "c2"} {
		p := newPayment(with(manual(opened(1, "stripe")), decisions(asked(1, "o1", 1500, "c1")...)))
		p = observe(t, p, 1, 9, with(attempts(session(1, AttemptComplete, 5000, 9)), authorizations(authorized(1, "a1", 5000, 0, 9)),
			captures(captured(1, "c1", 1500, 5), captured(1, "c2", 1500, 6))))
		wantStatus(t, p, StatusConflicted)
		p = resolve(t, p, "refund", give)
		wantStatus(t, p, StatusSucceeded)
		wantDiff(t, "amounts after refund of "+give, p.Amounts(), Amounts{Expected: 1500, Authorized: 5000, Captured: 3000, RefundPending: 1500, Refundable: 1500})
	}
}

// Guards that a conflict never grows: with money taken, what could still take
// more is closed, and nothing is captured; after the operator gave all back the
// payment is over.
func TestConflictClosesOtherCheckouts(t *testing.T) {
	t.Parallel()
	p := newPayment(with(automatic(opened(1, "stripe"), opened(2, "paypal")), decisions(decision(DecisionAbandoned, 1)),
		attempts(session(1, AttemptOpen, 1000, 5), order(2, AttemptOpen, 1000, 5))))
	p = observe(t, p, 1, 9, with(attempts(session(1, AttemptComplete, 1000, 9)), captures(captured(1, "c1", 999, 8))))
	wantStatus(t, p, StatusConflicted)
	op := onlyOp(t, p, OpClose)
	if op.N != 2 {
		t.Fatalf("closes attempt %d, want 2", op.N)
	}
	p = settle(t, p, op.ID, 10, Outcome{State: OpDone}, snapshot(2, 10, attempts(order(2, AttemptOpen, 1000, 10))))
	p = resolve(t, p, "refund", "c1")
	wantStatus(t, p, StatusCanceled)

	approved := newPayment(automatic(opened(1, "paypal")))
	approved = observe(t, approved, 1, 9, attempts(order(1, AttemptApproved, 900, 9)))
	wantStatus(t, approved, StatusConflicted)
	if len(approved.Operations) != 0 {
		t.Fatalf("a conflicted approval made %+v due", approved.Operations)
	}
}
