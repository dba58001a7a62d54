package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/store/mem"
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
	failures, tries := map[faults.When]int{}, map[faults.When]int{}
	e := faults.Wrap(raw, faults.Options{Points: store.WritePoints(), Write: func(p store.WritePoint, when faults.When) error {
		if tries[when]++; tries[when]%7 == 0 {
			if p == store.PointReseal {
				failures[when]++
			}
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
	if state.Phase != store.ResealDone || failures[faults.Before] == 0 || failures[faults.After] == 0 {
		t.Fatalf("%+v after failures %v", state, failures)
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

// Guards that the other key may be dropped when nothing is left under it, also after going back to a key that was active
// before: an earlier round for it says nothing of what was written since.
func TestGoingBackToAFormerKeyIsARoundOfItsOwn(t *testing.T) {
	t.Parallel()
	raw := newMem(t)
	clock := func() time.Time { return now }
	for i, active := range []string{"a", "b", "a"} {
		e := sealed(t, raw, active, "a", "b")
		simple(t, store.NewPayments(e), i+1, func(p *payment.Payment) { p.Request.Customer.Email = "c@example.com" })
		r := store.NewResealer(e, clock)
		s, err := r.State(t.Context())
		if err != nil || s.Active != active || s.Phase != store.ResealRewriting || s.Records != nil || !s.At.IsZero() && i == 0 {
			t.Errorf("active %s, before the first step: %+v, %v", active, s, err)
		}
		s = finish(t, r)
		if diff := cmp.Diff(map[string]map[string]int64{"payments": {active: int64(i + 1)}}, s.Records); diff != "" || s.Left() != 0 {
			t.Errorf("active %s: %+v\n%s", active, s, diff)
		}
	}
	for i := range 3 {
		if _, err := store.NewPayments(sealed(t, raw, "a", "a")).Get(t.Context(), fmt.Sprintf("pay_%03d", i+1)); err != nil {
			t.Errorf("after the other key was dropped: %v", err)
		}
	}
}

// Guards that what a new program declares as personal is sealed in old records too, with no order from anybody.
func TestNewlyDeclaredPlacesAreSealed(t *testing.T) {
	t.Parallel()
	raw, err := mem.New([]store.Collection{store.CursorCollection(), {Name: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Insert(t.Context(), "c", store.Doc{ID: "1", Body: []byte(`{"name":"Ann","street":"Elm"}`)}); err != nil {
		t.Fatal(err)
	}
	for _, places := range [][]string{{"name"}, {"name", "street"}, {"street", "name"}} {
		e, err := store.Sealed(raw, []store.Collection{{Name: "c", Sealed: places}}, sealer(t, "a", "a"))
		if err != nil {
			t.Fatal(err)
		}
		s := finish(t, store.NewResealer(e, func() time.Time { return now }))
		if s.Written != 1 || s.Left() != 0 { // the last one finds the round of the same places: it reports that
			t.Errorf("%v: %+v", places, s)
		}
	}
	d, err := raw.Get(t.Context(), "c", "1")
	if err != nil || strings.Contains(string(d.Body), "Ann") || strings.Contains(string(d.Body), "Elm") || d.Version != 3 {
		t.Errorf("%+v, %v", d, err)
	}
}

// Guards servers that restart one by one: the one that was started last decides, the others don't rewrite the same
// records back, and once it is gone they have their turn.
func TestTwoConfigurationsDoNotFight(t *testing.T) {
	t.Parallel()
	raw, at := newMem(t), now
	clock := func() time.Time { return at }
	for i := range 250 {
		simple(t, store.NewPayments(sealed(t, raw, "a", "a")), i+1, func(p *payment.Payment) { p.Request.Customer.Email = "c@example.com" })
	}
	old := store.NewResealer(sealed(t, raw, "a", "a", "b"), clock)
	finish(t, old)
	later := store.NewResealer(sealed(t, raw, "b", "a", "b"), clock)
	for done := false; !done; at = at.Add(2 * time.Minute) {
		if _, _, err := later.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		did, next, err := old.Step(t.Context())
		if did != 0 || err != nil || !next.After(at) {
			t.Fatalf("the earlier one did %d until %s, %v", did, next, err)
		}
		s, err := old.State(t.Context())
		if err != nil || s.Active != "a" || s.Phase != store.ResealRewriting {
			t.Fatalf("the earlier one says %+v, %v", s, err)
		}
		s, err = later.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done = s.Phase == store.ResealDone
		if done && (s.Written != 250 || s.Records["payments"]["b"] != 250 || s.Left() != 0) {
			t.Errorf("the later one says %+v", s)
		}
	}
	at = at.Add(time.Hour)
	if s := finish(t, old); s.Records["payments"]["a"] != 250 || s.Left() != 0 {
		t.Errorf("an hour later: %+v", s)
	}
}

// Guards a round that was ordered against a step of the one before it that was under way: that one's progress is not the
// new one's.
func TestALateStepDoesNotUndoARestart(t *testing.T) {
	t.Parallel()
	raw := newMem(t)
	clock := func() time.Time { return now }
	simple(t, store.NewPayments(sealed(t, raw, "a", "a")), 1, func(p *payment.Payment) { p.Request.Customer.Email = "c@example.com" })
	other := store.NewResealer(sealed(t, raw, "a", "a", "b"), clock)
	restarted := false
	e := faults.Wrap(raw, faults.Options{Points: store.WritePoints(), Write: func(p store.WritePoint, when faults.When) error {
		if p == store.PointCursorSet && when == faults.Before && !restarted {
			restarted = true
			return other.Restart(t.Context())
		}
		return nil
	}})
	finish(t, store.NewResealer(sealed(t, raw, "b", "b", "a"), clock))
	if _, _, err := other.Step(t.Context()); err != nil { // begins a round
		t.Fatal(err)
	}
	late := store.NewResealer(sealed(t, e, "a", "a", "b"), clock)
	if _, _, err := late.Step(t.Context()); err != nil || !restarted {
		t.Fatal(err)
	}
	if s, err := late.State(t.Context()); err != nil || s.Written != 0 {
		t.Errorf("after the restart: %+v, %v", s, err)
	}
	if s := finish(t, late); s.Left() != 0 || s.Records["payments"]["a"] != 1 {
		t.Errorf("at the end: %+v", s)
	}
}
