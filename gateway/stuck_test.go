package gateway_test

import (
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
)

// many is one fault so often that no test uses it up.
func many(f fault) []fault {
	out := make([]fault, 5000)
	for i := range out {
		out[i] = f
	}
	return out
}

// workOn lets the worker do what is due for so long, each thing when its time has come.
func (w *world) workOn(id string, long time.Duration) {
	w.t.Helper()
	for end := w.now().Add(long); ; {
		w.step()
		at := w.get(id).WorkAt()
		if at.IsZero() || at.After(end) {
			w.pass(end.Sub(w.now()))
			return
		}
		if wait := at.Sub(w.now()); wait > 0 {
			w.pass(wait)
		}
	}
}

// stuck is how often it was said that an operation of this payment is stuck; 0: never.
func (w *world) stuck(id string) (records int, count int64) {
	w.t.Helper()
	list, _, err := w.alerts.List(w.t.Context(), store.AlertFilter{Payment: id, Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, a := range list {
		if a.Kind == "operation_stuck" {
			records++
			count += int64(a.Count)
		}
	}
	return records, count
}

// Guards that an operation without an outcome reaches a human by its age, however it is tried: with a new key each time,
// by look-ups alone, or not at all because we are refused. Not before two hours have gone by, and then once a day.
func TestStuckIsToldByAge(t *testing.T) {
	t.Parallel()
	refund := func(w *world, f ...fault) string {
		p := w.paid("stripe")
		w.stripe.fail("refund", f...)
		if a, err := w.refund(p.ID, "r", 400); err != nil || !a.Unknown {
			w.t.Fatalf("%+v, %v", a, err)
		}
		return p.ID
	}
	for name, order := range map[string]func(w *world) string{
		"each new key meets a stored 500": func(w *world) string { return refund(w, many(stored500)...) },
		"a stored 500, then no look-up works": func(w *world) string {
			id := refund(w, stored500)
			w.stripe.fail("fetch", many(htmlPage)...)
			return id
		},
		"a creation that nobody waits for": func(w *world) string {
			w.stripe.fail("create_checkout", many(timeoutBefore)...)
			w.stripe.fail("find_checkout", many(htmlPage)...)
			return w.mustCreate("k", input("stripe")).ID
		},
		"a close": func(w *world) string {
			p := w.mustCreate("k", input("stripe"))
			w.stripe.fail("close_checkout", many(keptRefusal)...)
			w.pass(25 * time.Hour)
			w.step()
			return p.ID
		},
		"a void": func(w *world) string {
			p := w.authorized("stripe")
			w.stripe.fail("void", many(stored500)...)
			if a, err := w.cancel(p.ID, "c"); err != nil || !a.Unknown {
				w.t.Fatalf("%+v, %v", a, err)
			}
			return p.ID
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			id := order(w)
			w.workOn(id, payment.StuckAfter-2*time.Minute)
			if _, count := w.stuck(id); count != 0 {
				t.Errorf("told after less than %s: %s", 2*time.Hour, told(w.get(id)))
			}
			w.workOn(id, 2*time.Hour)
			if records, count := w.stuck(id); records != 1 || count != 1 {
				t.Fatalf("%d records, told %d times, want one: %s", records, count, told(w.get(id)))
			}
			w.workOn(id, 9*24*time.Hour)
			if calls := len(w.stripe.calls); calls > 2000 {
				t.Errorf("%d calls in ten days: it never slows down", calls)
			}
			if records, count := w.stuck(id); records != 1 || count < 9 || count > 10 {
				t.Errorf("after ten days: %d records, told %d times, want once a day: %s", records, count, told(w.get(id)))
			}
		})
	}
}

// Guards against false alarms: the age counts from the first try of this order, not from when it was written down or
// from an order before it.
func TestPutOffIsNotStuck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.paid("stripe")
	w.stripe.fail("refund", refused)
	if _, err := w.refund(p.ID, "r", 400); err == nil {
		t.Fatal("not refused")
	}
	w.pass(30 * time.Hour)
	w.stripe.fail("refund", timeoutBefore, timeoutBefore)
	if a, err := w.refund(p.ID, "r", 400); err != nil || !a.Unknown {
		t.Fatalf("%+v, %v", a, err)
	}
	w.quiet(p.ID)
	if _, told := w.stuck(p.ID); told != 0 || w.refundedSum(p.ID) != 400 {
		t.Errorf("told %d times, refunded %d", told, w.refundedSum(p.ID))
	}
}
