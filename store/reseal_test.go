package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// Guards rotation as an operator sees it: a new active key is noticed by itself, everything is brought under it
// whatever process steps and wherever it is stopped, the count says that the old key can go, and then it is at rest.
func TestResealerFinishesWhereverItIsStopped(t *testing.T) {
	t.Parallel()
	raw := newMem(t)
	old := store.NewPayments(sealed(t, raw, "a", "a"))
	for i := range 250 {
		simple(t, old, i+1, func(p *payment.Payment) { p.Request.Customer.Email = fmt.Sprintf("c%d@example.com", i) })
	}
	failures, writes := 0, 0
	e := faults.Wrap(raw, faults.Options{Points: store.WritePoints(), Write: func(_ store.WritePoint, when faults.When) error {
		if writes++; writes%7 == 0 {
			failures++
			return fmt.Errorf("%w: %s", store.ErrUnavailable, when)
		}
		return nil
	}})
	clock := func() time.Time { return now }
	var state store.ResealState
	for range 500 {
		r := store.NewResealer(sealed(t, e, "b", "b", "a"), clock) // each step in a new process
		if _, _, err := r.Step(t.Context()); err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
		var err error
		if state, err = r.State(t.Context()); err != nil {
			t.Fatal(err)
		}
		if state.Phase == store.ResealDone {
			break
		}
	}
	if state.Phase != store.ResealDone || failures == 0 {
		t.Fatalf("%+v after %d failures", state, failures)
	}
	if state.Failed > 0 { // records whose write failed for certain or perhaps: another round is for these
		r := store.NewResealer(sealed(t, raw, "b", "b", "a"), clock)
		if err := r.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		state = finish(t, r)
	}
	if diff := cmp.Diff(map[string]map[string]int64{"payments": {"b": 250}}, state.Records); diff != "" || state.Left() != 0 || state.Failed != 0 {
		t.Errorf("%+v\n%s", state, diff)
	}
	last := store.NewPayments(sealed(t, raw, "b", "b"))
	for i := range 250 {
		if _, err := last.Get(t.Context(), fmt.Sprintf("pay_%03d", i+1)); err != nil {
			t.Fatal(err)
		}
	}
}

// finish steps until a round is done.
func finish(t *testing.T, r *store.Resealer) store.ResealState {
	t.Helper()
	for range 100 {
		if _, _, err := r.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, err := r.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Phase == store.ResealDone || s.Phase == store.ResealOff {
			return s
		}
	}
	t.Fatal("it does not end")
	return store.ResealState{}
}

// Guards that an old key is not called droppable too early: what can't be brought over is counted under its key, and a
// record written by a process that still has the old configuration is found by the next round.
func TestResealerCountsWhatIsLeft(t *testing.T) {
	t.Parallel()
	raw := newMem(t)
	clock := func() time.Time { return now }
	simple(t, store.NewPayments(sealed(t, raw, "lost", "lost")), 1, nil)
	r := store.NewResealer(sealed(t, raw, "b", "b", "a"), clock)
	s := finish(t, r)
	if s.Failed != 1 || s.Left() != 1 || s.Records["payments"]["lost"] != 1 || s.Problem == "" {
		t.Errorf("with a lost key: %+v", s)
	}
	simple(t, store.NewPayments(sealed(t, raw, "a", "a")), 2, nil)
	if did, next, err := r.Step(t.Context()); did != 0 || err != nil || !next.After(now) {
		t.Errorf("at rest it did %d until %s, %v", did, next, err)
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s = finish(t, r); s.Records["payments"]["b"] != 1 || s.Records["payments"]["a"] != 0 {
		t.Errorf("after another round: %+v", s)
	}
	if s = finish(t, store.NewResealer(sealed(t, raw, ""), clock)); s.Phase != store.ResealOff {
		t.Errorf("without keys: %+v", s)
	}
}
