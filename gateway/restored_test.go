package gateway_test

import (
	"slices"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/store/mem"
)

// backup is a copy of the whole store as it is now.
func (w *world) backup() store.Engine {
	w.t.Helper()
	saved, err := mem.New(store.Collections())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range store.Collections() {
		docs, next, err := w.inner.Scan(w.t.Context(), c.Name, "", store.MaxLimit)
		if err == nil && next == "" {
			err = saved.Import(w.t.Context(), c.Name, docs)
		}
		if err != nil || next != "" {
			w.t.Fatalf("copy %s: %v, next %q", c.Name, err, next)
		}
	}
	return saved
}

// restore puts the store back to a backup; a new process starts on it.
func (w *world) restore(saved store.Engine) {
	w.t.Helper()
	w.inner = saved
	w.restart()
}

// Guards I1 over a restored backup: what was written down but not yet sent when the backup was made, and was sent since,
// is looked for before it is sent again, because by now its key may be dead. If it was not sent after all, it is sent
// once.
func TestRestoredBackupMovesMoneyOnce(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "paypal"} {
		for _, sent := range []bool{true, false} {
			w := newWorld(t, nil)
			id := w.paid(provider).ID
			w.crashAt(store.PointPaymentReplace, faults.Before, 2) // ordered, not begun
			if !w.crashed(func() { _, _ = w.refund(id, "r", 400) }) {
				t.Fatal("no crash")
			}
			saved := w.backup()
			if p := w.get(id); len(p.Operations) == 0 || p.Unfinished(0, payment.OpRefund).Tries != 0 {
				t.Fatalf("the refund was begun: %s", told(p))
			}
			if sent {
				w.quiet(id)
				if got := w.refundedSum(id); got != 400 {
					t.Fatalf("gave back %d", got)
				}
			}
			w.pass(60 * 24 * time.Hour) // the key is dead
			w.restore(saved)
			before := w.fake(provider).counted("refund")
			w.fake(provider).fail("fetch", timeoutBefore) // a look that failed is none
			w.step()
			if sent && w.fake(provider).counted("refund") != before {
				t.Errorf("%s: sent again without a look", provider)
			}
			w.quiet(id)
			if got := w.refundedSum(id); got != 400 {
				t.Errorf("%s, sent before %v: gave back %d, want 400", provider, sent, got)
			}
			w.wantBooks(id)
		}
	}
}

// Guards I1 over a restored backup for what the app repeats: a refund that the record has learnt of from the provider is
// the answer to its own request, not a reason to make another.
func TestRestoredBackupKnowsARefundByItsRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.paid("stripe").ID
	saved := w.backup()
	first, err := w.refund(id, "r", 400)
	if err != nil {
		t.Fatal(err)
	}
	w.pass(25 * time.Hour)
	w.restore(saved)
	w.observe(id, 1) // a sweep finds it
	again, err := w.refund(id, "r", 400)
	if err != nil || again.Refund != first.Refund || !again.Replayed {
		t.Errorf("the same request: %+v, %v", again, err)
	}
	_, err = w.refund(id, "r", 300)
	wantCode(t, err, payment.CodeIdempotencyReused)
	if got := w.refundedSum(id); got != 400 {
		t.Errorf("gave back %d, want 400", got)
	}
	if _, err = w.refund(id, "another", 300); err != nil || w.refundedSum(id) != 700 {
		t.Errorf("another refund: %v, gave back %d", err, w.refundedSum(id))
	}
	w.wantBooks(id)
}

// Guards I1 over a restored backup that knows a refund only as turned away, with the word to try again under the same
// key, which the app did: the refund that was made then is the answer to the next repetition, whether or not it was read
// meanwhile. Where it was not made, it is made once.
func TestRestoredBackupKnowsARefundThatWasTurnedAway(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "paypal"} {
		for name, c := range map[string]struct{ made, read bool }{
			"made and read": {true, true}, "made": {true, false}, "not made": {false, false},
		} {
			w := newWorld(t, nil)
			id := w.paid(provider).ID
			w.fake(provider).fail("refund", tooMany)
			_, err := w.refund(id, "r", 400)
			wantCode(t, err, payment.CodeProviderUnavailable)
			saved := w.backup()
			if c.made {
				if _, err := w.refund(id, "r", 400); err != nil {
					t.Fatal(err)
				}
			}
			w.pass(60 * 24 * time.Hour) // the key is dead
			w.restore(saved)
			if c.read {
				w.observe(id, 1) // a sweep finds it
			}
			a, err := w.refund(id, "r", 400)
			if err != nil || c.read && !a.Replayed {
				t.Errorf("%s, %s: the same request: %+v, %v", provider, name, a, err)
			}
			p := w.quiet(id)
			if got := w.refundedSum(id); got != 400 || p.Amounts().Refunded != 400 {
				t.Errorf("%s, %s: gave back %d, we say %d, want 400", provider, name, got, p.Amounts().Refunded)
			}
			if c.read {
				_, err = w.refund(id, "r", 300)
				wantCode(t, err, payment.CodeIdempotencyReused)
			}
			w.wantBooks(id)
		}
	}
}

// Guards I1 over a backup from any moment of a refund that is turned away once or twice and then made, put back while its
// keys are alive: under the key of a try that was turned away nothing was done, and what was done bears a later one. Late,
// every try is looked for first.
func TestRestoredBackupOfTriesThatWereTurnedAway(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "paypal"} {
		for _, away := range []int{1, 2} {
			for at := 0; ; at++ {
				w := newWorld(t, nil)
				id := w.paid(provider).ID
				w.fake(provider).fail("refund", slices.Repeat([]fault{tooMany}, away)...)
				var saved store.Engine
				writes := 0
				w.hook = func(_ store.WritePoint, when faults.When) error {
					if when == faults.Before {
						if writes == at {
							saved = w.backup()
						}
						writes++
					}
					return nil
				}
				for range away {
					_, err := w.refund(id, "r", 400)
					wantCode(t, err, payment.CodeProviderUnavailable)
				}
				if _, err := w.refund(id, "r", 400); err != nil {
					t.Fatal(err)
				}
				if w.hook = nil; saved == nil {
					break // beyond the last write
				}
				w.pass(10 * time.Minute)
				w.restore(saved)
				if at == 0 { // nothing is known of it: whoever repeats it must have had the payment read (runbook.md)
					w.observe(id, 1)
				}
				w.step()
				for range 5 { // the app, until it is answered
					if _, err := w.refund(id, "r", 400); err == nil {
						break
					}
					w.pass(time.Minute)
				}
				w.quiet(id)
				if got := w.refundedSum(id); got != 400 {
					t.Errorf("%s, turned away %d times, backup before write %d: gave back %d, want 400", provider, away, at, got)
				}
				w.wantBooks(id)
			}
		}
	}
}

// Guards I9 over a restored backup: another event never bears an id that an app has heard, and would drop as known; the
// same event does.
func TestRestoredBackupGivesNoIDToAnotherEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.paid("stripe").ID
	saved := w.backup()
	told := func() map[string]string {
		events := map[string]string{}
		for _, e := range w.get(id).Outbox {
			events[e.ID] = e.Type + " " + e.Object
		}
		return events
	}
	if _, err := w.refund(id, "r", 400); err != nil {
		t.Fatal(err)
	}
	w.quiet(id)
	heard := told()
	w.restore(saved)
	before := len(told())
	if _, err := w.refund(id, "another", 300); err != nil {
		t.Fatal(err)
	}
	w.quiet(id)
	now, again := told(), 0
	for evt, what := range now {
		switch {
		case heard[evt] == what:
			again++
		case heard[evt] != "":
			t.Errorf("%s was %s, and is %s now", evt, heard[evt], what)
		}
	}
	if again < before || len(now) <= before {
		t.Errorf("%d events after the restore, %d before it, %d heard again", len(now), before, again)
	}
}
