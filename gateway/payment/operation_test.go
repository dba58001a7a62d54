package payment

import (
	"fmt"
	"testing"
	"time"
)

// Guards I5 and the rule about dead keys: repeat with the same key while it
// lives; past it, or after a stored failure, look first; only two look-ups that
// found nothing allow a new key.
func TestPlan(t *testing.T) {
	t.Parallel()
	const life = 24 * time.Hour
	tried := Operation{Tries: 1, FirstTriedAt: at(0)}
	with := func(edit func(*Operation)) Operation {
		op := tried
		edit(&op)
		return op
	}
	stored := with(func(o *Operation) { o.MustLookUp = true })
	for _, c := range []struct {
		name string
		op   Operation
		now  time.Time
		want Plan
	}{
		{"never tried", Operation{}, at(0), PlanCall},
		{"never tried, written down long ago", Operation{}, at(0).Add(100 * life), PlanCall},
		{"money never tried, its key perhaps dead", Operation{Kind: OpRefund, CreatedAt: at(0)}, at(0).Add(life), PlanLookUp},
		{"money never tried, its key alive", Operation{Kind: OpRefund, CreatedAt: at(0)}, at(0).Add(life - 1), PlanCall},
		{"key alive", tried, at(0).Add(life - 1), PlanCall},
		{"key alive, looked up twice before", with(func(o *Operation) { o.LookUps = 2 }), at(0).Add(life - 1), PlanCall},
		{"key just dead", tried, at(0).Add(life), PlanLookUp},
		{"key dead, one look-up", with(func(o *Operation) { o.LookUps = 1 }), at(0).Add(life), PlanLookUp},
		{"key dead, two look-ups", with(func(o *Operation) { o.LookUps = 2 }), at(0).Add(life), PlanRenew},
		{"stored failure, key alive", stored, at(1), PlanLookUp},
		{"stored failure, two look-ups", with(func(o *Operation) { o.MustLookUp, o.LookUps = true, 2 }), at(1), PlanRenew},
	} {
		if got := c.op.Plan(c.now, life); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// opPayment is a payment with one operation of the given kind and owner.
func opPayment(kind OpKind, by Actor) *Payment {
	p := newPayment(with(automatic(opened(1, "stripe")), attempts(session(1, AttemptComplete, 1000, 5)), captures(captured(1, "c1", 1000, 3))))
	p.Operations = []Operation{{ID: "op", Kind: kind, N: 1, Target: "c1", Amount: usd(100), Key: ProviderKey("op", 0), By: by, State: OpPending, NextAt: at(0)}}
	return p
}

// Guards the outcome of a try, given what is known of earlier ones: a lost
// answer stays unknown until it is answered (I5), a certain refusal is final only
// where no earlier try is open, and whoever ordered it is told.
func TestStartSettleMatrix(t *testing.T) {
	t.Parallel()
	lost := Outcome{State: OpUnknown}
	notDone := Outcome{State: OpPending, Code: CodeProviderUnavailable}
	refused := Outcome{State: OpFailed, Code: CodeConflict}
	done := Outcome{State: OpDone, Ref: "r1"}
	for _, c := range []struct {
		name string
		by   Actor
		outs []Outcome
		want OpState
	}{
		{"done", apiKey, []Outcome{done}, OpDone},
		{"refused", apiKey, []Outcome{refused}, OpFailed},
		{"lost", apiKey, []Outcome{lost}, OpUnknown},
		{"ordered, certainly not done: told", apiKey, []Outcome{notDone}, OpFailed},
		{"decided by an operator, certainly not done: it was promised", operator, []Outcome{notDone}, OpPending},
		{"decided by an operator, refused for good", operator, []Outcome{refused}, OpFailed},
		{"due by itself, certainly not done: tried again", worker, []Outcome{notDone}, OpPending},
		{"ordered, lost, then not done: the first may have worked", apiKey, []Outcome{lost, notDone}, OpUnknown},
		{"worker, lost, then not done", worker, []Outcome{lost, notDone}, OpUnknown},
		{"worker, not done, then lost", worker, []Outcome{notDone, lost}, OpUnknown},
		{"lost, not done, not done", apiKey, []Outcome{lost, notDone, notDone}, OpUnknown},
		{"lost, then the same key is answered: done", apiKey, []Outcome{lost, done}, OpDone},
		{"lost, then the same key is answered: refused", apiKey, []Outcome{lost, refused}, OpFailed},
		{"settled once is settled", apiKey, []Outcome{refused, done}, OpFailed},
	} {
		p := opPayment(OpRefund, c.by)
		for i, out := range c.outs {
			p.Start("op", "w1", time.Minute, PlanCall, at(i))
			p.Settle("op", out, nil, at(i))
		}
		op := p.Operation("op")
		if op.State != c.want {
			t.Errorf("%s: %s, want %s", c.name, op.State, c.want)
		}
		if op.LeaseOwner != "" || op.Key != ProviderKey("op", 0) {
			t.Errorf("%s: lease %q, key %q: the lease ends and the key stays", c.name, op.LeaseOwner, op.Key)
		}
		if !op.State.Settled() && !op.NextAt.After(at(len(c.outs)-1)) {
			t.Errorf("%s: looked at again at %s, which is no wait", c.name, op.NextAt)
		}
	}
}

// Guards that a crash between Start and Settle is remembered: the try before
// left no answer, so a later "not done" proves nothing.
func TestCrashBetweenStartAndSettle(t *testing.T) {
	t.Parallel()
	p := opPayment(OpRefund, apiKey)
	p.Start("op", "w1", time.Minute, PlanCall, at(0)) // and w1 dies
	if p.Operation("op").State != OpUnknown {
		t.Fatal("a started call may have happened")
	}
	if p.Start("op", "w2", time.Minute, PlanCall, at(59)) {
		t.Fatal("w2 took a lease that w1 still holds")
	}
	if !p.Start("op", "w2", time.Minute, PlanCall, at(60)) {
		t.Fatal("a lapsed lease is free")
	}
	if op := p.Operation("op"); !op.Ambiguous || op.Tries != 2 || !op.FirstTriedAt.Equal(at(0)) {
		t.Fatalf("%+v: ambiguous, second try, the key's age counts from the first", op)
	}
	p.Settle("op", Outcome{State: OpPending}, nil, at(61))
	if got := p.Operation("op").State; got != OpUnknown {
		t.Fatalf("%s, want unknown", got)
	}
}

// Guards the lease: its owner may go on, others may not, and nobody starts what
// is settled or absent.
func TestStartGuards(t *testing.T) {
	t.Parallel()
	p := opPayment(OpRefund, apiKey)
	if p.Start("other", "w1", time.Minute, PlanCall, at(0)) {
		t.Error("started an operation that does not exist")
	}
	if !p.Start("op", "w1", time.Minute, PlanCall, at(0)) || !p.Start("op", "w1", time.Minute, PlanCall, at(1)) {
		t.Error("the owner of a lease may start again")
	}
	p.Settle("op", Outcome{State: OpDone}, nil, at(2))
	if p.Start("op", "w1", time.Minute, PlanCall, at(3)) {
		t.Error("started a settled operation")
	}
	if n := p.Operation("op").Tries; n != 2 {
		t.Errorf("%d tries, want 2", n)
	}
}

// Guards I1: looks count only until it is sent again. What two looks did not find before is not given up after one more,
// or none: the provider's lists lag.
func TestSendBeginsTheLooksAnew(t *testing.T) {
	t.Parallel()
	p := opPayment(OpRefund, apiKey)
	p.Start("op", "w1", time.Minute, PlanCall, at(0))
	p.Settle("op", Outcome{State: OpUnknown}, nil, at(0))
	gap := int(LookUpGap / time.Second)
	for _, second := range []int{10, 10 + gap} { // under a hold, say
		p.Start("op", "w1", time.Minute, PlanLookUp, at(second))
		p.Settle("op", Outcome{State: OpUnknown, LookedUp: true}, nil, at(second))
	}
	p.Start("op", "w1", time.Minute, PlanCall, at(20+gap))
	p.Settle("op", Outcome{State: OpUnknown, MustLookUp: true}, nil, at(20+gap))
	op := p.Operation("op")
	if plan := op.Plan(at(30+gap), 24*time.Hour); plan != PlanLookUp || op.Unmoved(at(30+gap)) {
		t.Errorf("plan %s, unmoved %v", plan, op.Unmoved(at(30+gap)))
	}
}

// Guards the way past a dead key: two look-ups count only if they lie apart in
// time; the renewed generation has a new key and starts counting anew.
func TestLookUpsThenRenew(t *testing.T) {
	t.Parallel()
	p := opPayment(OpRefund, apiKey)
	p.Start("op", "w1", time.Minute, PlanCall, at(0))
	p.Settle("op", Outcome{State: OpUnknown, MustLookUp: true}, nil, at(0))
	absent := Outcome{State: OpPending, LookedUp: true}
	gap := int(LookUpGap / time.Second)
	for _, c := range []struct{ second, want int }{{10, 1}, {20, 1}, {10 + gap - 1, 1}, {10 + gap, 2}} {
		p.Start("op", "w1", time.Minute, PlanLookUp, at(c.second))
		p.Settle("op", absent, nil, at(c.second))
		op := p.Operation("op")
		if op.LookUps != c.want || op.State != OpUnknown || op.Tries != 1 {
			t.Fatalf("at %d: %d look-ups (state %s, %d tries), want %d", c.second, op.LookUps, op.State, op.Tries, c.want)
		}
		if op.NextAt.Before(at(c.second).Add(LookUpGap)) {
			t.Fatalf("looks again at %s, before the gap is over", op.NextAt)
		}
	}
	op := p.Operation("op")
	if plan := op.Plan(at(11+gap), time.Hour); plan != PlanRenew {
		t.Fatalf("plan %s, want renew", plan)
	}
	p.Start("op", "w1", time.Minute, PlanRenew, at(11+gap))
	if op.Generation != 1 || op.Key != ProviderKey("op", 1) || op.Tries != 1 || op.LookUps != 0 || op.MustLookUp || op.Ambiguous || !op.FirstTriedAt.Equal(at(11+gap)) {
		t.Fatalf("renewed: %+v", op)
	}
	p.Settle("op", Outcome{State: OpPending, Looked: true}, nil, at(12+gap))
	if op.State != OpFailed {
		t.Fatalf("%s: the new key was certainly refused, and the old one is certainly absent", op.State)
	}
}

// Guards that waits grow to an hour and no further, or as long as the provider asks.
func TestBackoff(t *testing.T) {
	t.Parallel()
	for i := 1; i < 30; i++ {
		if Backoff(i) < Backoff(i-1) || Backoff(i) > time.Hour || Backoff(i) <= 0 {
			t.Fatalf("Backoff(%d) = %s after %s", i, Backoff(i), Backoff(i-1))
		}
	}
	if Backoff(1) >= Backoff(2) || Backoff(1) > 5*time.Second {
		t.Fatalf("the first wait is %s, of which somebody is waiting for the end", Backoff(1))
	}
	p := opPayment(OpRefund, worker)
	p.Start("op", "w1", time.Minute, PlanCall, at(0))
	p.Settle("op", Outcome{State: OpUnknown, RetryAfter: 3 * time.Hour}, nil, at(9))
	if want := at(9).Add(3 * time.Hour); !p.Operation("op").NextAt.Equal(want) {
		t.Fatalf("next at %s, want what the provider asked for, %s", p.Operation("op").NextAt, want)
	}
}

// Guards that what has no outcome for long reaches a human by its age, whichever
// way it is tried, also where each try dies without a word; once a day, and not
// because somebody repeats a request quickly.
func TestStuckByAge(t *testing.T) {
	t.Parallel()
	long, kinds := int(StuckAfter/time.Second), []OpKind{
		OpCreate, OpClose, OpAuthorize, OpCapture, OpVoid, OpRefund, OpAcceptDispute, OpSaveEvidence, OpSubmitEvidence,
	}
	for _, kind := range kinds {
		for _, plan := range []Plan{PlanCall, PlanLookUp, PlanRenew} {
			for _, dies := range []bool{false, plan == PlanCall} {
				p := opPayment(kind, worker)
				p.Operation("op").CreatedAt = at(-9 * long) // waiting to be tried is not being stuck
				try := func(plan Plan, second int) {
					p.Start("op", fmt.Sprint("w", second), time.Second, plan, at(second))
					if !dies {
						p.Settle("op", Outcome{State: OpUnknown, LookedUp: plan == PlanLookUp}, nil, at(second))
					}
				}
				try(PlanCall, 0)
				for second := 1; second < 30; second++ {
					try(plan, second)
				}
				try(plan, long-1)
				if len(p.Alerts) != 0 {
					t.Fatalf("%s by %s: told after less than %s", kind, plan, StuckAfter)
				}
				try(plan, long)
				wantDiff(t, "alerts", alertKinds(p), []string{"operation_stuck"})
				p.Alerts = nil
				try(plan, 2*long)
				wantDiff(t, "alerts", alertKinds(p), []string{})
				try(plan, long+24*3600)
				wantDiff(t, "alerts", alertKinds(p), []string{"operation_stuck"})
			}
		}
	}
}

// Guards that truth is taken even when nobody waits for it any more: the
// observation of a late answer is merged although its operation is settled.
func TestSettleKeepsLateObservation(t *testing.T) {
	t.Parallel()
	p := opPayment(OpRefund, apiKey)
	p.Start("op", "w1", time.Minute, PlanCall, at(0))
	p.Settle("op", Outcome{State: OpFailed}, nil, at(1))
	r := refunded("r1", "c1", 100, RefundSucceeded, 2)
	r.Operation = "op"
	p.Settle("op", Outcome{State: OpDone, Ref: "r1"}, &Observation{Facts: Facts{Refunds: []Refund{r}}}, at(2))
	if got := p.Amounts().Refunded; got != 100 {
		t.Fatalf("refunded %d, want 100", got)
	}
	if views := p.Refunds(); len(views) != 1 || views[0].State != RefundSucceeded {
		t.Fatalf("refunds %+v, want one that succeeded", views)
	}
}

// Guards adoption: a checkout that turns out approved or paid while it is being
// closed is never abandoned, whatever the caller says; one that is open or dead
// is, and the reason decides what becomes of the payment.
func TestCloseAdoptsWhatWasPaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		state     AttemptState
		reason    string
		abandoned bool
		want      Status
	}{
		{AttemptOpen, "cancel", true, StatusCanceled},
		{AttemptOpen, "deadline", true, StatusExpired},
		{AttemptOpen, "switch", true, StatusRequiresAction},
		{AttemptExpired, "cancel", true, StatusCanceled},
		{AttemptApproved, "cancel", false, StatusProcessing},
		{AttemptApproved, "deadline", false, StatusProcessing},
		{AttemptProcessing, "cancel", false, StatusProcessing},
		{AttemptComplete, "cancel", false, StatusSucceeded},
		{AttemptComplete, "switch", false, StatusSucceeded},
	} {
		p := newPayment(with(automatic(opened(1, "stripe")), attempts(session(1, AttemptOpen, 1000, 5))))
		p.Operations = []Operation{{ID: "op", Kind: OpClose, N: 1, Target: "cs_1", Reason: c.reason, By: apiKey, State: OpPending}}
		seen := attempts(session(1, c.state, 1000, 9))
		if c.state == AttemptComplete {
			seen = with(seen, captures(captured(1, "c1", 1000, 8)))
		}
		p = settle(t, p, "op", 9, Outcome{State: OpDone}, snapshot(1, 9, seen))
		if p.Facts.Abandoned(1) != c.abandoned || p.Status() != c.want {
			t.Errorf("%s found %s: abandoned %v, %s; want %v, %s", c.reason, c.state, p.Facts.Abandoned(1), p.Status(), c.abandoned, c.want)
		}
		if op := p.Operation("op"); !c.abandoned && (op.State != OpFailed || op.Code != CodeConflict) {
			t.Errorf("%s found %s: operation %s %s, want failed with conflict", c.reason, c.state, op.State, op.Code)
		}
	}
}

// Guards confirmation: a checkout is closed only by a complete look at it. A lost
// or partial one leaves the outcome open, and the next checkout unopened; one
// that ended by itself is not abandoned, which would forget how it ended.
func TestCloseNeedsConfirmation(t *testing.T) {
	t.Parallel()
	closing := func() *Payment {
		p := newPayment(with(automatic(opened(1, "stripe")), attempts(session(1, AttemptOpen, 1000, 5))))
		p.Operations = []Operation{{ID: "op", Kind: OpClose, N: 1, Target: "cs_1", Reason: "switch", By: apiKey, State: OpPending}}
		return p
	}
	dead := attempts(session(1, AttemptExpired, 1000, 9))
	for name, obs := range map[string]*Observation{
		"no look":              nil,
		"fragment":             {N: 1, AsOf: at(9), Facts: dead},
		"look at another":      snapshot(2, 9, dead),
		"payment seen in part": {N: 1, AsOf: at(9), Facts: captures(captured(1, "c1", 1000, 8))},
	} {
		p := settle(t, closing(), "op", 9, Outcome{State: OpDone}, obs)
		if p.Facts.Abandoned(1) || p.Operation("op").State.Settled() {
			t.Errorf("%s: abandoned %v, operation %s", name, p.Facts.Abandoned(1), p.Operation("op").State)
		}
	}
	late := closing()
	late = observe(t, late, 1, 8, Facts{Captures: []Capture{captured(1, "c1", 1000, 8)}})
	late = settle(t, late, "op", 9, Outcome{State: OpDone}, snapshot(1, 7, attempts(session(1, AttemptOpen, 1000, 7))))
	if late.Facts.Abandoned(1) {
		t.Error("abandoned by an old look although money was seen")
	}
	for _, c := range []struct {
		state  AttemptState
		reason string
		want   Status
	}{
		{AttemptFailed, "switch", StatusFailed},
		{AttemptCanceled, "deadline", StatusCanceled},
		{AttemptFailed, "cancel", StatusCanceled},
	} {
		p := closing()
		p.Operations[0].Reason = c.reason
		p = settle(t, p, "op", 9, Outcome{State: OpDone}, snapshot(1, 9, attempts(session(1, c.state, 1000, 9))))
		if p.Facts.Abandoned(1) || p.Status() != c.want {
			t.Errorf("%s found %s: abandoned %v, %s, want %s", c.reason, c.state, p.Facts.Abandoned(1), p.Status(), c.want)
		}
	}
	denied := closing()
	denied.Operations[0].Reason = "cancel"
	denied = observe(t, denied, 1, 7, attempts(session(1, AttemptFailed, 1000, 7)))
	wantStatus(t, denied, StatusFailed)
	denied = settle(t, denied, "op", 9, Outcome{State: OpDone}, snapshot(1, 9, attempts(session(1, AttemptFailed, 1000, 9))))
	wantStatus(t, denied, StatusFailed) // the app was told so, and failed is never followed by canceled
}
