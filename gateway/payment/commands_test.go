package payment

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// refuse runs a command that must be refused, and checks that nothing changed:
// not in the payment that Change was given, and not in the one the command saw.
func refuse(t *testing.T, name string, p *Payment, want Code, fn func(*Payment) error) {
	t.Helper()
	before := digest(*p)
	var inner, seen string
	got, err := p.Change(apiCall, at(20), func(c *Payment) error {
		seen = digest(*c)
		err := fn(c)
		inner = digest(*c)
		return err
	})
	if got != nil || err == nil || CodeOf(err) != want {
		t.Errorf("%s: %v, want %s", name, err, want)
	}
	if digest(*p) != before || inner != seen {
		t.Errorf("%s: an error changed the payment", name)
	}
}

func heldPayment(t *testing.T) *Payment {
	t.Helper()
	p := newPayment(manual(opened(1, "stripe")))
	p = observe(t, p, 1, 9, with(attempts(session(1, AttemptAuthorized, 5000, 9)), authorizations(authorized(1, "a1", 5000, 5000, 9))))
	wantStatus(t, p, StatusAuthorized)
	return p
}

func paidPayment(t *testing.T) *Payment {
	t.Helper()
	p := newPayment(automatic(opened(1, "stripe")))
	p = observe(t, p, 1, 9, with(attempts(session(1, AttemptComplete, 1000, 9)), captures(captured(1, "c1", 1000, 8))))
	wantStatus(t, p, StatusSucceeded)
	return p
}

func openPayment(t *testing.T) *Payment {
	t.Helper()
	p := newPayment(automatic(opened(1, "stripe")))
	return observe(t, p, 1, 9, attempts(session(1, AttemptOpen, 1000, 9)))
}

func conflictedPayment(t *testing.T) *Payment { return conflicted(t) }

func canceledPayment(*testing.T) *Payment {
	return newPayment(with(automatic(), decisions(decision(DecisionCanceled, 0))))
}

// Guards opening: one live checkout at most, in time, and a bounded number.
func TestOpenAttempt(t *testing.T) {
	t.Parallel()
	open := func(second int) func(*Payment) error {
		return func(p *Payment) error { return p.OpenAttempt("stripe", "stripe-eu", command("x", second)) }
	}
	p := change(t, newPayment(automatic()), 1, open(1))
	op := onlyOp(t, p, OpCreate)
	if op.N != 1 || op.Amount != usd(1000) || len(p.Facts.Opened) != 1 {
		t.Fatalf("operation %+v, opened %+v", op, p.Facts.Opened)
	}
	wantStatus(t, p, StatusProcessing)
	many := newPayment(automatic())
	for n := 1; n <= MaxAttempts; n++ {
		many.Facts = with(many.Facts, Facts{Opened: []Attempt{opened(n, "paypal")}}, attempts(order(n, AttemptExpired, 1000, n)))
	}
	refuse(t, "creation without an answer", p, CodeConflict, open(2))
	refuse(t, "another is open", openPayment(t), CodeConflict, open(10))
	refuse(t, "approved", approvedOrder(t), CodeConflict, open(10))
	refuse(t, "declined, may be approved again", declineOnce(t, approvedOrder(t), 6), CodeConflict, open(10))
	refuse(t, "paid", paidPayment(t), CodeConflict, open(10))
	refuse(t, "canceled", canceledPayment(t), CodeConflict, open(10))
	closing := change(t, openPayment(t), 20, func(p *Payment) error { _, err := p.RequestCancel(command("k", 20)); return err })
	closing = observe(t, closing, 1, 21, attempts(session(1, AttemptExpired, 1000, 21)))
	wantStatus(t, closing, StatusRequiresAction)
	refuse(t, "dead, but a cancel of it has no outcome", closing, CodeConflict, open(22))
	refuse(t, "too late", newPayment(automatic()), CodeConflict, open(3600))
	refuse(t, "too many", many, CodeConflict, open(10))

	p = settle(t, p, op.ID, 2, Outcome{State: OpFailed, Code: CodeInvalid}, nil)
	wantStatus(t, p, StatusRequiresAction)
	p = change(t, p, 3, open(3))
	if second := onlyOp(t, p, OpCreate); second.N != 2 || second.Key == op.Key {
		t.Fatalf("the next attempt is %+v", second)
	}
}

// Guards capture requests: only what is held, one at a time, never more than is
// capturable, and each request noted so that its outcome can be judged (I7).
func TestRequestCapture(t *testing.T) {
	t.Parallel()
	capture := func(amount int64, id string) func(*Payment) error {
		return func(p *Payment) error { return p.RequestCapture(amount, false, command(id, 20)) }
	}
	held := heldPayment(t)
	refuse(t, "automatic", paidPayment(t), CodeConflict, capture(1, "k"))
	refuse(t, "one too many", held, CodeConflict, capture(5001, "k"))
	refuse(t, "negative", held, CodeInvalid, capture(-1, "k"))
	refuse(t, "nothing held", newPayment(manual()), CodeConflict, capture(1, "k"))

	p := change(t, held, 20, capture(1500, "k1"))
	op := onlyOp(t, p, OpCapture)
	if op.ID != "k1" || op.Target != "a1" || op.Amount != usd(1500) || op.Final || op.Fingerprint != "f-k1" {
		t.Fatalf("operation %+v", op)
	}
	refuse(t, "another has no outcome", p, CodeConflict, capture(1, "k2"))
	after := with(attempts(session(1, AttemptAuthorized, 5000, 22)), authorizations(authorized(1, "a1", 5000, 3500, 22)), captures(captured(1, "c1", 1500, 21)))
	p = settle(t, p, "k1", 22, Outcome{State: OpDone, Ref: "c1"}, snapshot(1, 22, after))
	wantStatus(t, p, StatusAuthorized)
	refuse(t, "the same order again", p, CodeConflict, capture(1500, "k1"))
	wantDiff(t, "amounts", p.Amounts(), Amounts{Expected: 1500, Authorized: 5000, Capturable: 3500, Captured: 1500, Refundable: 1500})

	unseen := settle(t, change(t, p, 30, capture(500, "k2")), "k2", 31, Outcome{State: OpDone, Ref: "c2"}, nil)
	refuse(t, "the last one took effect and was not seen yet", unseen, CodeConflict, capture(1, "k3"))

	p = change(t, p, 30, capture(0, "k2"))
	if got := onlyOp(t, p, OpCapture).Amount; got != usd(3500) {
		t.Fatalf("capture of all is %s, want all that is capturable", got)
	}
}

// Guards the order of a second try: what was certainly refused may be ordered
// again by the same request, with a new key; what may have worked, or was answered,
// may not.
func TestOrderAgain(t *testing.T) {
	t.Parallel()
	capture := func(p *Payment) error { return p.RequestCapture(1500, true, command("k1", 20)) }
	p := change(t, heldPayment(t), 20, capture)
	first := *onlyOp(t, p, OpCapture)
	declined := settle(t, p, "k1", 21, Outcome{State: OpFailed, Code: CodeDeclined, Declined: true}, nil)
	refuse(t, "declined", declined, CodeConflict, capture)
	p = settle(t, p, "k1", 21, Outcome{State: OpFailed, Code: CodeConflict}, nil)
	answered := change(t, p, 22, func(c *Payment) error { c.Operation("k1").Answered = true; return nil })
	refuse(t, "answered", answered, CodeConflict, capture)
	p = change(t, p, 22, capture)
	second := *onlyOp(t, p, OpCapture)
	if second.Key == first.Key || second.Run != 1 || second.Generation != 1 || len(p.Operations) != 1 {
		t.Fatalf("second %+v of %d operations", second, len(p.Operations))
	}
	after := with(attempts(session(1, AttemptComplete, 5000, 24)), authorizations(authorized(1, "a1", 5000, 0, 24)), captures(captured(1, "c1", 1500, 23)))
	p = settle(t, p, "k1", 24, Outcome{State: OpDone, Ref: "c1"}, snapshot(1, 24, after))
	wantStatus(t, p, StatusSucceeded) // the refused run asked for nothing that is missing now

	refund := func(p *Payment) error { return p.RequestRefund(100, "other", command("rfd_1", 30)) }
	p = change(t, p, 30, refund)
	refuse(t, "pending", p, CodeConflict, refund)
	p = settle(t, p, "rfd_1", 31, Outcome{State: OpUnknown}, nil)
	refuse(t, "unknown", p, CodeConflict, refund)
	p = settle(t, p, "rfd_1", 32, Outcome{State: OpDone, Ref: "r1"}, nil)
	refuse(t, "done", p, CodeConflict, refund)
}

// Guards refunds: never more than is refundable, whatever is on its way, and
// nothing while an operator must decide.
func TestRequestRefundGuards(t *testing.T) {
	t.Parallel()
	refund := func(amount int64, id string) func(*Payment) error {
		return func(p *Payment) error { return p.RequestRefund(amount, "other", command(id, 20)) }
	}
	paid := paidPayment(t)
	refuse(t, "one too many", paid, CodeConflict, refund(1001, "r"))
	refuse(t, "negative", paid, CodeInvalid, refund(-1, "r"))
	refuse(t, "nothing captured", openPayment(t), CodeConflict, refund(1, "r"))
	refuse(t, "nothing captured, all of it", openPayment(t), CodeConflict, refund(0, "r"))
	refuse(t, "held as conflicted", conflictedPayment(t), CodeConflict, refund(1, "r"))
	disputed := with(paid.Facts, Facts{Disputes: []Dispute{{Key: stripeKey("d1"), Capture: "c1", Amount: usd(600), Stage: "chargeback", Status: DisputeNeedsResponse, Withheld: 600}}})
	refuse(t, "withheld by a dispute", newPayment(disputed), CodeConflict, refund(401, "r"))
	change(t, newPayment(disputed), 20, refund(400, "r"))

	last := newPayment(with(paid.Facts, Facts{Refunds: []Refund{refunded("r1", "c1", 999, RefundSucceeded, 10)}}))
	if op := onlyOp(t, change(t, last, 20, refund(0, "r")), OpRefund); op.Amount != usd(1) {
		t.Errorf("the rest is %s, want one cent", op.Amount)
	}

	parts := newPayment(manual(opened(1, "stripe")))
	parts = observe(t, parts, 1, 9, with(attempts(session(1, AttemptComplete, 5000, 9)), authorizations(authorized(1, "a1", 5000, 0, 9)),
		captures(captured(1, "c1", 2000, 8), captured(1, "c2", 3000, 8))))
	refuse(t, "more than the largest capture", parts, CodeConflict, refund(3001, "r"))
	if op := onlyOp(t, change(t, parts, 20, refund(2500, "r")), OpRefund); op.Target != "c2" {
		t.Errorf("refund of 2500 goes to %s, want c2", op.Target)
	}
}

// Guards exactness: a third, a third and the rest are the whole, to the cent;
// and an operation and its observed refund count once at every moment, also
// Guards refunds of a payment with two captures: what was ordered of one and not seen yet
// counts against that one, so the next goes to the other and is not refused for nothing.
func TestRefundOfTheCaptureThatHasIt(t *testing.T) {
	t.Parallel()
	p := newPayment(with(manual(opened(1, "stripe")), attempts(session(1, AttemptComplete, 5000, 9)),
		authorizations(authorized(1, "a1", 1000, 0, 9)), captures(captured(1, "c1", 600, 3), captured(1, "c2", 400, 4))))
	p = change(t, p, 10, func(c *Payment) error { return c.RequestRefund(600, "other", command("rfd_1", 10)) })
	p = change(t, p, 11, func(c *Payment) error { return c.RequestRefund(400, "other", command("rfd_2", 11)) })
	if a, b := p.Operation("rfd_1").Target, p.Operation("rfd_2").Target; a != "c1" || b != "c2" {
		t.Fatalf("refunds of %s and %s, want c1 and c2", a, b)
	}
	if _, err := p.Change(apiCall, at(12), func(c *Payment) error { return c.RequestRefund(1, "other", command("rfd_3", 12)) }); CodeOf(err) != CodeConflict {
		t.Errorf("more than was captured: %v", err)
	}
	// The first is refused for good: its capture has the money again.
	p = settle(t, p, "rfd_1", 13, Outcome{State: OpFailed, Code: CodeConflict}, nil)
	p = change(t, p, 14, func(c *Payment) error { return c.RequestRefund(600, "other", command("rfd_4", 14)) })
	if got := p.Operation("rfd_4").Target; got != "c1" {
		t.Errorf("refund of %s, want c1", got)
	}
}

// when the provider's metadata is missing or the answer brought no observation.
func TestRefundThirds(t *testing.T) {
	t.Parallel()
	p := paidPayment(t)
	seen := with(attempts(session(1, AttemptComplete, 1000, 40)))
	var total int64
	for i, amount := range []int64{333, 333, 0} {
		id, second := []string{"rfd_1", "rfd_2", "rfd_3"}[i], 20+10*i
		p = change(t, p, second, func(c *Payment) error { return c.RequestRefund(amount, "other", command(id, second)) })
		op := onlyOp(t, p, OpRefund)
		total += op.Amount.Minor
		check := func(when string, refunded, pending int64) {
			t.Helper()
			want := Amounts{Expected: 1000, Captured: 1000, Refunded: refunded, RefundPending: pending, Refundable: 1000 - total}
			wantDiff(t, id+" "+when, p.Amounts(), want)
			if n := len(p.Refunds()); n != i+1 {
				t.Fatalf("%s %s: %d refunds listed, want %d", id, when, n, i+1)
			}
		}
		before := total - op.Amount.Minor
		check("ordered", before, op.Amount.Minor)
		p = settle(t, p, id, second+1, Outcome{State: OpUnknown}, nil)
		check("unknown", before, op.Amount.Minor)
		r := refunded("re_"+id, "c1", total-before, RefundPending, second+2)
		if i != 1 {
			r.Operation = id // the second refund comes back without metadata
		}
		obs := snapshot(1, 40+i, with(seen, Facts{Refunds: []Refund{r}}))
		if i == 2 {
			p = settle(t, p, id, second+2, Outcome{State: OpDone, Ref: r.Key.ID}, nil)
			check("done, not seen", before, total-before)
			p = observe(t, p, 1, 40+i, obs.Facts)
		} else {
			p = settle(t, p, id, second+3, Outcome{State: OpDone, Ref: r.Key.ID}, obs)
		}
		check("seen", before, total-before)
		r.State = RefundSucceeded
		p = observe(t, p, 1, 50+i, with(seen, Facts{Refunds: []Refund{r}}))
		check("succeeded", total, 0)
	}
	if total != 1000 {
		t.Fatalf("three thirds are %d", total)
	}
	refuse(t, "a cent more", p, CodeConflict, func(c *Payment) error { return c.RequestRefund(1, "other", command("rfd_4", 70)) })
}

// Guards cancel: at once where nothing is open, by closing or voiding where
// something is, and never past money.
func TestRequestCancel(t *testing.T) {
	t.Parallel()
	cancel := func(p *Payment) error {
		_, err := p.RequestCancel(command("k", 20))
		return err
	}
	wantStatus(t, change(t, newPayment(automatic()), 20, cancel), StatusCanceled)

	open := change(t, openPayment(t), 20, cancel)
	op := onlyOp(t, open, OpClose)
	if op.Reason != "cancel" || op.Target != "cs_1" {
		t.Fatalf("operation %+v", op)
	}
	refuse(t, "already closing", open, CodeConflict, cancel)
	open = settle(t, open, op.ID, 21, Outcome{State: OpDone}, snapshot(1, 21, attempts(session(1, AttemptExpired, 1000, 21))))
	wantStatus(t, open, StatusCanceled)
	if got := change(t, open, 22, cancel); got != open {
		t.Error("canceling what is canceled changed it")
	}

	held := change(t, heldPayment(t), 20, cancel)
	op = onlyOp(t, held, OpVoid)
	held = settle(t, held, op.ID, 21, Outcome{State: OpDone}, snapshot(1, 21, with(attempts(session(1, AttemptCanceled, 5000, 21)), authorizations(voided("a1", 21)))))
	wantStatus(t, held, StatusCanceled)

	c := openPayment(t).Clone()
	if got, err := c.RequestCancel(command("k", 20)); err != nil || got == nil || got != c.Operation("k") {
		t.Errorf("the operation to run first is %+v (%v), want the one written down", got, err)
	}
	c.Operations[0].State = OpDone // closed, and yet the checkout is still reported open
	refuse(t, "the same order again", c, CodeConflict, cancel)

	refuse(t, "paid", paidPayment(t), CodeConflict, cancel)
	refuse(t, "approved", approvedOrder(t), CodeConflict, cancel)
	refuse(t, "creation without an answer", newPayment(automatic(opened(1, "stripe"))), CodeConflict, cancel)
	refuse(t, "conflicted with money", conflictedPayment(t), CodeConflict, cancel)
}

func voided(id string, asOf int) Authorization {
	a := authorized(1, id, 5000, 0, asOf)
	a.State = AuthVoided
	return a
}

// Guards the exit of a conflict without money: an authorization or approval for
// another amount can be canceled, for there is no capture to accept or refund.
func TestCancelConflictWithoutMoney(t *testing.T) {
	t.Parallel()
	cancel := func(p *Payment) error { _, err := p.RequestCancel(command("k", 20)); return err }
	held := newPayment(manual(opened(1, "stripe")))
	held = observe(t, held, 1, 9, with(attempts(session(1, AttemptAuthorized, 4000, 9)), authorizations(authorized(1, "a1", 4000, 4000, 9))))
	wantStatus(t, held, StatusConflicted)
	held = change(t, held, 20, cancel)
	id := onlyOp(t, held, OpVoid).ID
	held = settle(t, held, id, 21, Outcome{State: OpDone}, snapshot(1, 21, with(attempts(session(1, AttemptCanceled, 4000, 21)), authorizations(voided("a1", 21)))))
	wantStatus(t, held, StatusCanceled)

	approved := newPayment(automatic(opened(1, "paypal")))
	approved = observe(t, approved, 1, 9, attempts(order(1, AttemptApproved, 900, 9)))
	approved = change(t, approved, 20, cancel)
	id = onlyOp(t, approved, OpClose).ID
	approved = settle(t, approved, id, 21, Outcome{State: OpDone}, snapshot(1, 21, attempts(order(1, AttemptApproved, 900, 21))))
	wantStatus(t, approved, StatusCanceled)

	free := newPayment(automatic(opened(1, "stripe")))
	free = observe(t, free, 1, 9, attempts(session(1, AttemptComplete, 0, 9)))
	wantStatus(t, free, StatusConflicted)
	wantStatus(t, change(t, free, 20, cancel), StatusCanceled)
}

// Guards the switch to another provider: the live checkout is closed first; a
// declined approval may be left behind, an undecided one may not.
func TestRequestSwitch(t *testing.T) {
	t.Parallel()
	sw := func(p *Payment) error { _, err := p.RequestSwitch(command("k", 20)); return err }
	none := newPayment(automatic())
	if got := change(t, none, 20, sw); got != none {
		t.Error("nothing is open, and yet something changed")
	}
	refuse(t, "being captured", approvedOrder(t), CodeConflict, sw)
	refuse(t, "creation without an answer", newPayment(automatic(opened(1, "stripe"))), CodeConflict, sw)
	p := change(t, declineOnce(t, approvedOrder(t), 6), 20, sw)
	p = settle(t, p, onlyOp(t, p, OpClose).ID, 21, Outcome{State: OpDone}, snapshot(1, 21, attempts(withApproval(order(1, AttemptApproved, 1000, 21), at(5)))))
	wantStatus(t, p, StatusRequiresAction)
	p = change(t, p, 22, func(c *Payment) error { return c.OpenAttempt("stripe", "stripe-eu", command("x", 22)) })
	if live, _ := p.Facts.Live(); live.N != 2 {
		t.Fatalf("live attempt %d, want 2", live.N)
	}
}

// Guards I1/I11 arithmetic under any mix of refunds, answers and sightings: what
// is refundable plus what is gone, going or withheld is what was captured, an
// operation and its refund count once, and more is never ordered.
func TestRefundsNeverExceedCaptured(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := newPayment(with(automatic(opened(1, "stripe")), attempts(session(1, AttemptComplete, 1000, 5)), captures(captured(1, "c1", 1000, 3))))
		ids := []string{"rfd_0", "rfd_1", "rfd_2", "rfd_3", "rfd_4"}
		provider := map[string]int64{} // what truly left, by operation
		for step := range rapid.IntRange(1, 25).Draw(t, "steps") {
			id := rapid.SampledFrom(ids).Draw(t, "id")
			now := at(10 + step)
			next, err := p.Change(apiCall, now, func(c *Payment) error {
				op := c.Operation(id)
				if op == nil {
					return c.RequestRefund(rapid.Int64Range(0, 600).Draw(t, "amount"), "other", Command{ID: id, By: apiKey, Now: now})
				}
				refundStep(t, c, *op, now, provider)
				return nil
			})
			if err != nil {
				continue
			}
			if next != p {
				next.Version++
			}
			p = next
			var left int64
			for _, minor := range provider {
				left += minor
			}
			a := p.Amounts()
			if left > 1000 || a.Refunded+a.RefundPending > 1000 || a.Refundable != 1000-a.Refunded-a.RefundPending || a.Refunded+a.RefundPending < left {
				t.Fatalf("amounts %+v, and %d truly left", a, left)
			}
		}
	})
}

// refundStep lets a try at a refund end in some way, and the provider be seen.
func refundStep(t *rapid.T, c *Payment, op Operation, now time.Time, provider map[string]int64) {
	what := rapid.SampledFrom([]string{"lost", "lost with effect", "refused", "done", "done and seen", "seen"}).Draw(t, "what")
	r := Refund{Key: stripeKey("re_" + op.ID), Capture: "c1", Amount: op.Amount, State: RefundSucceeded, Operation: op.ID, Stamp: Stamp{Created: now, AsOf: now}}
	obs := &Observation{N: 1, AsOf: now, Facts: Facts{Refunds: []Refund{r}}}
	_, effect := provider[op.ID]
	if !effect {
		if what == "seen" {
			return
		}
		if what == "refused" && op.State == OpUnknown {
			return // a provider with a live key answers what it did the first time
		}
	}
	if what == "seen" {
		c.Facts = c.Facts.Observe(*obs)
		return
	}
	if !c.Start(op.ID, "w1", time.Minute, PlanCall, now) {
		return
	}
	if what != "lost" && what != "refused" || effect {
		provider[op.ID] = op.Amount.Minor
	}
	switch {
	case what == "lost", what == "lost with effect":
		c.Settle(op.ID, Outcome{State: OpUnknown}, nil, now)
	case what == "refused" && !effect:
		c.Settle(op.ID, Outcome{State: OpFailed}, nil, now)
	case what == "done":
		c.Settle(op.ID, Outcome{State: OpDone, Ref: r.Key.ID}, nil, now)
	default:
		c.Settle(op.ID, Outcome{State: OpDone, Ref: r.Key.ID}, obs, now)
	}
}
