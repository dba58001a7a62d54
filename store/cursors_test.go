package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// Guards: a sweep resumes where it stopped.
func TestCursorKeepsItsPlace(t *testing.T) {
	t.Parallel()
	c := store.NewCursors(newMem(t))
	ctx := t.Context()
	got, err := c.Get(ctx, "events")
	if err != nil || got != (store.Cursor{Name: "events"}) {
		t.Errorf("never set: %+v, %v", got, err)
	}
	if err := c.Set(ctx, "events", "evt_1", 1, now.Add(time.Nanosecond)); err != nil {
		t.Fatal(err)
	}
	if err := c.Set(ctx, "events", "evt_2", 1, now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	want := store.Cursor{Name: "events", Value: "evt_2", Token: 1, At: now.Add(time.Second)}
	if got, err = c.Get(ctx, "events"); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err = c.Get(ctx, "disputes"); err != nil || got.Value != "" {
		t.Errorf("another cursor: %+v, %v", got, err)
	}
	for _, token := range []int64{0, -1} {
		if err := c.Set(ctx, "events", "x", token, now); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("token %d: %v", token, err)
		}
	}
	if err := c.Set(ctx, "", "x", 1, now); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("no name: %v", err)
	}
}

// Guards I14: from the moment a new holder takes the cursor, the former one (paused, not dead) can't move it.
func TestCursorFencing(t *testing.T) {
	t.Parallel()
	c := store.NewCursors(newMem(t))
	ctx := t.Context()
	if got, err := c.Take(ctx, "events", 5); err != nil || got != (store.Cursor{Name: "events", Token: 5}) {
		t.Fatalf("first: %+v, %v", got, err)
	}
	if err := c.Set(ctx, "events", "evt_5", 5, now); err != nil {
		t.Fatal(err)
	}
	got, err := c.Take(ctx, "events", 6)
	if want := (store.Cursor{Name: "events", Value: "evt_5", Token: 6, At: now}); err != nil || got != want {
		t.Fatalf("second: %+v, %v", got, err)
	}
	if err := c.Set(ctx, "events", "stale", 5, now); !errors.Is(err, store.ErrFenced) {
		t.Errorf("former holder's set: %v", err)
	}
	if _, err := c.Take(ctx, "events", 5); !errors.Is(err, store.ErrFenced) {
		t.Errorf("former holder's take: %v", err)
	}
	if got, err = c.Take(ctx, "events", 6); err != nil || got.Value != "evt_5" {
		t.Errorf("again: %+v, %v", got, err)
	}
	if err := c.Set(ctx, "events", "evt_4", 7, now); err != nil {
		t.Errorf("a newer holder may set at once, also back: %v", err)
	}
	if got, err = c.Get(ctx, "events"); err != nil || got.Value != "evt_4" || got.Token != 7 {
		t.Errorf("at the end: %+v, %v", got, err)
	}
}

// Guards: a lost acknowledgement anywhere is read back; the value arrives.
func TestCursorFaults(t *testing.T) {
	t.Parallel()
	for _, when := range []faults.When{faults.Before, faults.After} {
		for fail := range 3 {
			n := 0
			e := faults.Wrap(newMem(t), faults.Options{Points: store.WritePoints(), Write: func(_ store.WritePoint, w faults.When) error {
				if w == when {
					if n++; n == fail+1 {
						return errLost
					}
				}
				return nil
			}})
			c := store.NewCursors(e)
			if _, err := c.Take(t.Context(), "events", 1); err != nil {
				t.Errorf("%s %d: take %v", when, fail, err)
			}
			if err := c.Set(t.Context(), "events", "evt_1", 1, now); err != nil {
				t.Errorf("%s %d: set %v", when, fail, err)
			}
			if got, err := c.Get(t.Context(), "events"); err != nil || got.Value != "evt_1" {
				t.Errorf("%s %d: got %+v, %v", when, fail, got, err)
			}
			if n <= fail {
				t.Errorf("%s %d: the fault was never reached", when, fail)
			}
		}
	}
}
