package payment

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// owedPayment is a duplicate of which an operator ordered c2 to be given back.
func owedPayment(t *testing.T) *Payment {
	t.Helper()
	p := resolve(t, conflicted(t), "refund", "c2")
	wantStatus(t, p, StatusSucceeded)
	return p
}

// refundSeen is what the provider reports of our operation's refund.
func refundSeen(op Operation, id string, state RefundState, asOf int) Facts {
	r := refunded(id, op.Target, op.Amount.Minor, state, asOf)
	r.Operation = op.ID
	return Facts{Refunds: []Refund{r}}
}

// gaveBack settles the refund that is due as done and seen to succeed.
func gaveBack(t *testing.T, p *Payment, second int, id string) *Payment {
	t.Helper()
	op := *onlyOp(t, p, OpRefund)
	return settle(t, p, op.ID, second, Outcome{State: OpDone, Ref: id}, &Observation{N: 1, Facts: refundSeen(op, id, RefundSucceeded, second)})
}

// critical are the critical alerts, in the order they came.
func critical(p *Payment) (out []Alert) {
	return slices.DeleteFunc(slices.Clone(p.Alerts), func(a Alert) bool { return a.Severity != "critical" || a.Kind != "refund_failed" })
}

// Guards an operator's promise to give a capture back in full: refused or failed, it is ordered again, each time with
// an id of its own and a longer wait, of what is left, and told as what it is. The first order keeps the id it always had.
func TestOperatorRefundIsOrderedAgain(t *testing.T) {
	t.Parallel()
	p := owedPayment(t)
	p.Alerts = nil
	first := *onlyOp(t, p, OpRefund)
	if want := DeriveID("rfd", p.ID, "resolve", "c2"); first.ID != want || first.Amount != usd(1000) || !first.NextAt.Equal(at(20)) {
		t.Fatalf("first order %+v, want id %s", first, want)
	}
	ids, second := map[string]bool{first.ID: true}, 20
	var wait time.Duration
	for i := range 12 {
		op := *onlyOp(t, p, OpRefund)
		second = int(op.NextAt.Sub(start)/time.Second) + 1
		p = settle(t, p, op.ID, second, Outcome{State: OpFailed, Code: CodeConflict, Failure: Failure{Code: "not_allowed"}}, nil)
		next := *onlyOp(t, p, OpRefund)
		if ids[next.ID] || next.Key == op.Key || next.Amount != usd(1000) || next.Ordered() || next.NextAt.Sub(at(second)) < wait {
			t.Fatalf("order %d: %+v", i+1, next)
		}
		ids[next.ID], wait = true, next.NextAt.Sub(at(second))
		if list := critical(p); len(list) != 1 || !strings.Contains(list[0].Message, "charged twice") || !strings.Contains(list[0].Message, "c2") || !p.Owes() {
			t.Fatalf("order %d: alerts %+v, owes %v", i+1, p.Alerts, p.Owes())
		}
	}
	if wait != 24*time.Hour {
		t.Errorf("waits %s in the end", wait)
	}
	p = gaveBack(t, p, second+90000, "r1")
	if p.Unfinished(0) != nil || p.Amounts().Refunded != 1000 || p.Amounts().Refundable != 1000 || p.Owes() {
		t.Errorf("%+v, owes %v", p.Amounts(), p.Owes())
	}
}

// Guards the same where it succeeds and fails days later, or where somebody cancels it at the provider.
func TestOperatorRefundFailsLate(t *testing.T) {
	t.Parallel()
	for _, state := range []RefundState{RefundFailed, RefundCanceled} {
		p := owedPayment(t)
		op := *onlyOp(t, p, OpRefund)
		p = gaveBack(t, p, 21, "r1")
		if p.Unfinished(0) != nil {
			t.Fatal("ordered twice")
		}
		p = observe(t, p, 1, 500, with(attempts(session(1, AttemptComplete, 1000, 500)), refundSeen(op, "r1", state, 500)))
		if again := onlyOp(t, p, OpRefund); again.Amount != usd(1000) || again.ID == op.ID || len(critical(p)) != 1 {
			t.Fatalf("%s: %+v, alerts %+v", state, again, p.Alerts)
		}
		p = gaveBack(t, p, 600, "r2")
		if a := p.Amounts(); p.Unfinished(0) != nil || a.Refunded != 1000 || a.RefundPending != 0 {
			t.Errorf("%s: %+v", state, a)
		}
	}
}

// Guards that never more is given back than is left: what the app or a dashboard gave back is subtracted while it stands,
// and ordered once it fails.
func TestOperatorRefundGivesTheRest(t *testing.T) {
	t.Parallel()
	part := refunded("app", "c2", 400, RefundPending, 7)
	p := newPayment(automatic(opened(1, "stripe")))
	p = observe(t, p, 1, 9, with(attempts(session(1, AttemptComplete, 1000, 9)), captures(captured(1, "c1", 1000, 5), captured(1, "c2", 1000, 6)), Facts{Refunds: []Refund{part}}))
	p = resolve(t, p, "refund", "c2")
	if op := onlyOp(t, p, OpRefund); op.Amount != usd(600) {
		t.Fatalf("%+v", op)
	}
	p = gaveBack(t, p, 21, "r1")
	if p.Unfinished(0) != nil {
		t.Fatalf("ordered more than is left: %+v", p.Operations)
	}
	part.State, part.Stamp = RefundFailed, stamp(7, 50)
	p = observe(t, p, 1, 50, with(attempts(session(1, AttemptComplete, 1000, 50)), Facts{Refunds: []Refund{part}}))
	if op := onlyOp(t, p, OpRefund); op.Amount != usd(400) || len(critical(p)) != 1 {
		t.Fatalf("%+v, alerts %+v", op, p.Alerts)
	}
	op := *onlyOp(t, p, OpRefund)
	dashboard := Facts{Refunds: []Refund{refunded("d", "c2", 400, RefundSucceeded, 60)}}
	p = settle(t, p, op.ID, 61, Outcome{State: OpFailed, Code: CodeConflict}, &Observation{N: 1, Facts: dashboard})
	if a := p.Amounts(); p.Unfinished(0) != nil || a.Refunded != 1000 || p.Owes() {
		t.Errorf("%+v, %+v", a, p.Operations)
	}
}

// Guards the end: what is refused for months is not ordered for ever, and a human is told that nothing follows.
func TestOperatorRefundIsGivenUpInTheEnd(t *testing.T) {
	t.Parallel()
	p := owedPayment(t)
	for range maxOperatorRefunds {
		op := *onlyOp(t, p, OpRefund)
		p.Alerts = nil
		p = settle(t, p, op.ID, int(op.NextAt.Sub(start)/time.Second), Outcome{State: OpFailed, Code: CodeConflict}, nil)
	}
	if list := critical(p); p.Unfinished(0) != nil || len(list) != 1 || !strings.Contains(list[0].Message, "no more") || !p.Owes() {
		t.Errorf("%d operations, alerts %+v, owes %v", len(p.Operations), p.Alerts, p.Owes())
	}
}
