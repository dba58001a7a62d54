package gateway_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// wantRemembered is a request that was answered 202 once and came to nothing: its key says so for ever.
func wantRemembered(t *testing.T, a gateway.Answer, err error) {
	t.Helper()
	wantCode(t, err, payment.CodeConflict)
	if !a.Replayed {
		t.Errorf("not told as a replay: %v", err)
	}
}

// Guards a refund that was answered 202 and failed later, which its app was told by an event: whatever still comes under
// its key, the same or corrected, gives nothing back. The app has asked again under another key by then.
func TestAnsweredRefundIsNeverOrderedAgain(t *testing.T) {
	t.Parallel()
	for _, seen := range []string{"by the worker", "by a replay"} {
		w := newWorld(t, nil)
		p := w.paid("stripe")
		w.stripe.fail("refund", timeoutBefore, refused)
		if a, err := w.refund(p.ID, "r", 300); err != nil || !a.Unknown {
			t.Fatalf("%+v, %v", a, err)
		}
		if seen == "by a replay" {
			a, err := w.refund(p.ID, "r", 300)
			wantRemembered(t, a, err)
		}
		w.quiet(p.ID)
		if a, err := w.refund(p.ID, "r2", 300); err != nil || a.Replayed {
			t.Fatalf("%s: asked again with a fresh key: %+v, %v", seen, a, err)
		}
		for range 2 {
			a, err := w.refund(p.ID, "r", 300)
			wantRemembered(t, a, err)
			_, err = w.refund(p.ID, "r", 400)
			wantCode(t, err, payment.CodeIdempotencyReused)
		}
		w.quiet(p.ID)
		if got := w.refundedSum(p.ID); got != 300 {
			t.Errorf("%s: %d were given back, one refund of 300 was wanted", seen, got)
		}
		w.wantBooks(p.ID)
	}
}

// Guards the other side of it: a refund whose app is told to try again, with the same key, is told to nobody else as
// failed. Whoever heard so would give the money back another way, beside the repetition. Once it is done it is told as
// any other, and nobody is alarmed.
func TestTurnedAwayRefundIsToldByItsAnswerOnly(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{refused, tooMany, missing, forbidden} {
		w := newWorld(t, nil)
		p := w.paid("stripe")
		before := eventTypes(w.get(p.ID))
		w.stripe.fail("refund", f, f)
		for range 2 {
			if _, err := w.refund(p.ID, "r", 300); err == nil {
				t.Fatal("nothing was turned away")
			}
			if got := eventTypes(w.get(p.ID)); !slices.Equal(got, before) {
				t.Errorf("fault %d: told %v before, %v after", f, before, got)
			}
		}
		w.wantAlerts(p.ID)
		if a, err := w.refund(p.ID, "r", 300); err != nil || a.Unknown {
			t.Fatalf("fault %d: %+v, %v", f, a, err)
		}
		if got := eventTypes(w.get(p.ID))[len(before):]; !slices.Equal(got, []string{"refund.created", "refund.succeeded"}) {
			t.Errorf("fault %d, then done: told %v", f, got)
		}
		w.wantAlerts(p.ID)
		w.wantBooks(p.ID)
	}
}

// Guards the same for a capture: 900 under a key that was answered for 300 is refused, and takes nothing.
func TestAnsweredCaptureIsNeverOrderedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.authorized("paypal")
	w.paypal.fail("capture", timeoutBefore, refused)
	if a, err := w.capture(p.ID, "c", 300, true); err != nil || !a.Unknown {
		t.Fatalf("%+v, %v", a, err)
	}
	w.quiet(p.ID)
	_, err := w.capture(p.ID, "c", 900, true)
	wantCode(t, err, payment.CodeIdempotencyReused)
	a, err := w.capture(p.ID, "c", 300, true)
	wantRemembered(t, a, err)
	w.wantCaptured(p.ID, 0)
	if a, err = w.capture(p.ID, "c2", 900, true); err != nil || a.Replayed {
		t.Errorf("with a fresh key: %+v, %v", a, err)
	}
	w.wantCaptured(p.ID, 900)
	w.wantBooks(p.ID)
}

// Guards the same for what moves no money by itself: releasing a hold, closing a checkout, and answers to a dispute.
func TestAnsweredCommandsAreNeverOrderedAgain(t *testing.T) {
	t.Parallel()
	for op, prepare := range map[string]func(*world) func(key, body string) (gateway.Answer, error){
		"void": func(w *world) func(string, string) (gateway.Answer, error) {
			p := w.authorized("stripe")
			return func(key, body string) (gateway.Answer, error) {
				return w.svc.Cancel(context.Background(), request("/v1/payments/"+p.ID+"/cancel", key, body), p.ID)
			}
		},
		"close_checkout": func(w *world) func(string, string) (gateway.Answer, error) {
			p := w.mustCreate("k", input("stripe"))
			return func(key, body string) (gateway.Answer, error) {
				return w.svc.Cancel(context.Background(), request("/v1/payments/"+p.ID+"/cancel", key, body), p.ID)
			}
		},
		"accept_dispute": func(w *world) func(string, string) (gateway.Answer, error) {
			id := w.disputed()
			return func(key, body string) (gateway.Answer, error) {
				return w.svc.AcceptDispute(context.Background(), request("/v1/disputes/"+id+"/accept", key, body), id, body)
			}
		},
		"give_evidence": func(w *world) func(string, string) (gateway.Answer, error) {
			id := w.disputed()
			return func(key, body string) (gateway.Answer, error) {
				in := gateway.EvidenceInput{Texts: map[string]string{payment.TextOther: body}, Submit: true}
				return w.svc.GiveEvidence(context.Background(), request("/v1/disputes/"+id+"/evidence", key, body), id, in)
			}
		},
	} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			do := prepare(w)
			w.stripe.fail(op, timeoutBefore, refused)
			if a, err := do("x", "one"); err != nil || !a.Unknown {
				t.Fatalf("%+v, %v", a, err)
			}
			w.quiet(idOf(t, w))
			calls := w.stripe.counted(op)
			a, err := do("x", "one")
			wantRemembered(t, a, err)
			_, err = do("x", "two")
			wantCode(t, err, payment.CodeIdempotencyReused)
			if got := w.stripe.counted(op); got != calls {
				t.Errorf("told the provider %d times more", got-calls)
			}
			if a, err = do("y", "two"); err != nil || a.Replayed || a.Unknown {
				t.Errorf("with a fresh key: %+v, %v", a, err)
			}
		})
	}
}

// disputed is a dispute of a paid payment, by our id.
func (w *world) disputed() string {
	w.t.Helper()
	p := w.paid("stripe")
	id := w.stripe.dispute(p.ID)
	w.pass(time.Minute)
	w.observe(p.ID, 1)
	return id
}

// Guards an order that was answered 202, looked for twice in vain, and then turned away under its new key: an outcome was
// promised, so it is tried on, by its replays and by the worker, and done once.
func TestAnsweredAndTurnedAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.paid("stripe")
	w.stripe.fail("refund", stored500, tooMany, tooMany)
	for i := 0; w.stripe.counted("refund") < 3; i++ {
		a, err := w.refund(p.ID, "r", 300)
		if err != nil || !a.Unknown || a.Replayed != (i > 0) || i > 10 {
			t.Fatalf("%d: %+v, %v: %s", i, a, err, told(w.get(p.ID)))
		}
		w.pass(16 * time.Minute)
	}
	if op := w.get(p.ID).Unfinished(0); op == nil || op.State != payment.OpPending {
		t.Fatal(told(w.get(p.ID)))
	}
	w.quiet(p.ID)
	if a, err := w.refund(p.ID, "r", 300); err != nil || a.Unknown || !a.Replayed || w.refundedSum(p.ID) != 300 {
		t.Errorf("%+v, %v: %d were given back", a, err, w.refundedSum(p.ID))
	}
	w.wantBooks(p.ID)
}

// Guards orders that a worker carried out after a crash, before anybody was answered. Of a refund's refusal the app is
// told by an event, and may have acted on it: it counts as answered; one that was only turned away is tried again, and
// nothing is told. Of a capture's failure nobody was told, so its request may be corrected.
func TestFailedAfterCrash(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{refused, tooMany} {
		w := newWorld(t, nil)
		p := w.paid("stripe")
		w.crashAt(store.PointPaymentReplace, faults.After, 1) // ordered, and nothing else
		if !w.crashed(func() { _, _ = w.refund(p.ID, "r", 300) }) {
			t.Fatal("no crash")
		}
		w.stripe.fail("refund", f)
		w.quiet(p.ID)
		_, err := w.refund(p.ID, "r", 400)
		wantCode(t, err, payment.CodeIdempotencyReused)
		want := int64(300)
		if a, err := w.refund(p.ID, "r", 300); f == refused {
			want = 0
			wantRemembered(t, a, err)
		} else if err != nil || !a.Replayed || a.Unknown {
			t.Errorf("%+v, %v", a, err)
		}
		if got := w.refundedSum(p.ID); got != want {
			t.Errorf("%d were given back, want %d", got, want)
		}

		w = newWorld(t, nil)
		p = w.authorized("stripe")
		w.crashAt(store.PointPaymentReplace, faults.After, 1)
		if !w.crashed(func() { _, _ = w.capture(p.ID, "c", 300, true) }) {
			t.Fatal("no crash")
		}
		w.stripe.fail("capture", f)
		w.quiet(p.ID)
		if a, err := w.capture(p.ID, "c", 900, true); err != nil || a.Replayed {
			t.Errorf("corrected: %+v, %v", a, err)
		}
		w.wantCaptured(p.ID, 900)
	}
}

// Guards two requests with one key that meet between the reading of the payment and the order: what the first was told
// holds for the second, a decline too, and another body is refused.
func TestOneKeyTwoRequests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first  fault
		amount int64 // of the second request
		want   payment.Code
		taken  int64
	}{
		"other body, declined":          {declined, 500, payment.CodeIdempotencyReused, 0},
		"same body, declined":           {declined, 1000, payment.CodeDeclined, 0},
		"other body, done":              {fine, 500, payment.CodeIdempotencyReused, 1000},
		"same body, done":               {fine, 1000, "", 1000},
		"other body, unknown":           {timeoutBefore, 500, payment.CodeIdempotencyReused, 0},
		"same body, unknown":            {timeoutBefore, 1000, payment.CodeIdempotencyInProgress, 0},
		"other body, refused: anew":     {refused, 500, "", 500},
		"other body, not done: anew":    {tooMany, 500, "", 500},
		"other body, effect unknown":    {timeoutAfter, 500, payment.CodeIdempotencyReused, 1000},
		"same body, the effect unknown": {timeoutAfter, 1000, payment.CodeIdempotencyInProgress, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			p := w.authorized("stripe")
			w.stripe.fail("capture", c.first)
			w.hook = func(point store.WritePoint, when faults.When) error {
				if point == store.PointPaymentReplace && when == faults.Before {
					w.hook = nil
					_, _ = w.capture(p.ID, "c", 1000, true) // on another process
				}
				return nil
			}
			a, err := w.capture(p.ID, "c", c.amount, true)
			switch {
			case c.want != "":
				wantCode(t, err, c.want)
			case err != nil || a.Unknown || a.Replayed != (c.first == fine):
				t.Errorf("%+v, %v", a, err)
			}
			captures, _ := w.stripe.books(p.ID)
			var taken int64
			for _, amount := range captures {
				taken += amount
			}
			if taken != c.taken {
				t.Errorf("%d were taken, want %d", taken, c.taken)
			}
		})
	}
}

// Guards an operator's word on a decision: said again it changes nothing, and with other words under its key neither. Who
// said it and why stay as they were, and the rules do not forget once more what they saw since.
func TestJudgedOncePerKey(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"confirm", "reverse"} {
		w := withRules(t, banning(risk.ActAlert, risk.ActHold))
		open := w.mustCreate("open", of("eve", "stripe"))
		w.declines(open.ID, 5)
		if err := w.work(3); err != nil {
			t.Fatal(err)
		}
		id := w.decisions()[0].ID
		judge := func(by, reason string) (risk.Decision, bool, error) {
			r := request("/v1/risk/decisions/"+id+"/"+verb, "k", reason)
			r.Caller = gateway.Caller{KeyID: by, Operator: true}
			if verb == "confirm" {
				return w.svc.ConfirmDecision(context.Background(), r, id, reason)
			}
			return w.svc.ReverseDecision(context.Background(), r, id, reason)
		}
		if _, replayed, err := judge("tk_op_ann", "looked at it"); err != nil || replayed {
			t.Fatal(replayed, err)
		}
		before := w.decisions()[0]
		w.pass(time.Hour)
		w.written()
		_, _, err := judge("tk_op_bob", "something else")
		wantCode(t, err, payment.CodeIdempotencyReused)
		if again, replayed, err := judge("tk_op_ann", "looked at it"); err != nil || !replayed || again.ByReason != "looked at it" {
			t.Errorf("%s, said again: %+v, replayed %v, %v", verb, again, replayed, err)
		}
		if d := cmp.Diff(before, w.decisions()[0]); d != "" || w.written() != "" {
			t.Errorf("%s: the repetitions changed it:\n%s", verb, d)
		}
	}
}

// Guards a block under its key: said again it says so and changes nothing, also after the block's end, when the same words
// would be refused as new; with other words it is refused.
func TestBlockedOncePerKey(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	in := gateway.BlockInput{Customer: "eve", Reason: "stolen", ExpiresAt: w.now().Add(time.Hour)}
	set := func(key string, in gateway.BlockInput) (gateway.BlockAnswer, error) {
		return w.svc.SetBlock(context.Background(), request("/v1/blocks", key, in), in)
	}
	first, err := set("k", in)
	if err != nil || first.Replayed {
		t.Fatal(first, err)
	}
	for _, wait := range []time.Duration{0, 2 * time.Hour} {
		w.pass(wait)
		again, err := set("k", in)
		if err != nil || !again.Replayed || again.Block.ID != first.Block.ID || len(again.Block.Log) != 1 {
			t.Errorf("said again after %s: %+v, %v", wait, again, err)
		}
	}
	_, err = set("fresh", in)
	wantCode(t, err, payment.CodeInvalid)
	other := in
	other.Refund = true
	_, err = set("k", other)
	wantCode(t, err, payment.CodeIdempotencyReused)
}
