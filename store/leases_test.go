package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

func acquire(t *testing.T, l *store.Leases, owner string, at time.Time) (int64, bool) {
	t.Helper()
	token, ok, err := l.Acquire(t.Context(), "sweep", owner, time.Minute, at)
	if err != nil {
		t.Fatal(err)
	}
	if !ok && token != 0 {
		t.Errorf("refused with token %d", token)
	}
	return token, ok
}

func wantLease(t *testing.T, what string, token int64, ok bool, wantToken int64) {
	t.Helper()
	if token != wantToken || ok != (wantToken > 0) {
		t.Errorf("%s: token %d, ok %v, want token %d", what, token, ok, wantToken)
	}
}

// Guards I14: one holder at a time, a lease ends at its time to the millisecond, tokens only grow.
func TestLeaseLife(t *testing.T) {
	t.Parallel()
	l := store.NewLeases(newMem(t))
	before, err := l.Get(t.Context(), "sweep")
	if err != nil || before != (store.Lease{Name: "sweep"}) {
		t.Errorf("never taken: %+v, %v", before, err)
	}
	token, ok := acquire(t, l, "a", now)
	wantLease(t, "first", token, ok, 1)
	token, ok = acquire(t, l, "b", now.Add(time.Minute-time.Millisecond))
	wantLease(t, "while held", token, ok, 0)
	got, err := l.Get(t.Context(), "sweep")
	if want := (store.Lease{Name: "sweep", Owner: "a", Token: 1, Until: now.Add(time.Minute)}); err != nil || got != want {
		t.Errorf("held: %+v, %v", got, err)
	}
	token, ok = acquire(t, l, "b", now.Add(time.Minute))
	wantLease(t, "at its end", token, ok, 2)
	token, ok = acquire(t, l, "b", now.Add(time.Minute))
	wantLease(t, "the owner's own second", token, ok, 3)
	token, ok = acquire(t, l, "a", now.Add(time.Minute))
	wantLease(t, "the former owner", token, ok, 0)
	other, ok, err := l.Acquire(t.Context(), "another", "a", time.Minute, now)
	if err != nil {
		t.Fatal(err)
	}
	wantLease(t, "another lease", other, ok, 1)
}

// Guards: only the present holder renews, only in time, and never shortens what it has.
func TestLeaseRenew(t *testing.T) {
	t.Parallel()
	l := store.NewLeases(newMem(t))
	acquire(t, l, "a", now)
	renew := func(owner string, token int64, ttl time.Duration, at time.Time) bool {
		t.Helper()
		ok, err := l.Renew(t.Context(), "sweep", owner, token, ttl, at)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if renew("a", 2, time.Hour, now) || renew("b", 1, time.Hour, now) || renew("a", 0, time.Hour, now) {
		t.Error("renewed with a wrong owner or token")
	}
	if renew("a", 1, time.Hour, now.Add(time.Minute)) {
		t.Error("renewed after its end")
	}
	if !renew("a", 1, time.Second, now) {
		t.Error("not renewed")
	}
	if got, err := l.Get(t.Context(), "sweep"); err != nil || !got.Until.Equal(now.Add(time.Minute)) {
		t.Errorf("a shorter renewal moved the end to %s, %v", got.Until, err)
	}
	if !renew("a", 1, time.Minute, now.Add(30*time.Second)) {
		t.Error("not renewed")
	}
	if _, ok := acquire(t, l, "b", now.Add(80*time.Second)); ok {
		t.Error("taken although renewed")
	}
	if ok, err := l.Renew(t.Context(), "unheard of", "a", 1, time.Minute, now); ok || err != nil {
		t.Errorf("a lease that never was: %v, %v", ok, err)
	}
}

// Guards: release frees at once but keeps the token, so a released holder's late writes stay fenced off; and it never
// throws out the next holder.
func TestLeaseRelease(t *testing.T) {
	t.Parallel()
	l := store.NewLeases(newMem(t))
	release := func(owner string, token int64) {
		t.Helper()
		if err := l.Release(t.Context(), "sweep", owner, token); err != nil {
			t.Fatal(err)
		}
	}
	release("a", 1) // never taken: nothing to do
	acquire(t, l, "a", now)
	release("b", 1)
	release("a", 7)
	if _, ok := acquire(t, l, "b", now); ok {
		t.Fatal("released by somebody else")
	}
	release("a", 1)
	got, err := l.Get(t.Context(), "sweep")
	if want := (store.Lease{Name: "sweep", Token: 1}); err != nil || got != want {
		t.Errorf("released: %+v, %v", got, err)
	}
	token, ok := acquire(t, l, "b", now)
	wantLease(t, "after release", token, ok, 2)
	release("a", 1)
	release("a", 2)
	if _, ok := acquire(t, l, "c", now); ok {
		t.Error("the former holder's second release threw the new one out")
	}
}

// Guards I14 under contention: 32 owners, one winner per generation, tokens without a gap or a double.
func TestLeaseRace(t *testing.T) {
	t.Parallel()
	l := store.NewLeases(newMem(t))
	for round := int64(1); round <= 20; round++ {
		at := now.Add(time.Duration(round) * time.Minute)
		var mu sync.Mutex
		var won []int64
		var wg sync.WaitGroup
		for w := range 32 {
			wg.Go(func() {
				token, ok, err := l.Acquire(t.Context(), "sweep", fmt.Sprint("owner-", w), time.Minute, at)
				if err != nil {
					t.Errorf("acquire: %v", err)
				}
				if ok {
					mu.Lock()
					won = append(won, token)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(won) != 1 || won[0] != round {
			t.Fatalf("round %d: winners' tokens %v", round, won)
		}
	}
}

// Guards: wherever the store fails, repeating the call ends with one holder whose token is the stored one.
func TestLeaseFaults(t *testing.T) {
	t.Parallel()
	for _, when := range []faults.When{faults.Before, faults.After} {
		for fail := range 4 { // the n-th call of the hook at this place fails
			n := 0
			e := faults.Wrap(newMem(t), faults.Options{Points: store.WritePoints(), Write: func(_ store.WritePoint, w faults.When) error {
				if w == when {
					if n++; n == fail+1 {
						return errLost
					}
				}
				return nil
			}})
			l := store.NewLeases(e)
			for range 2 {
				token, ok, err := l.Acquire(t.Context(), "sweep", "a", time.Minute, now)
				if err != nil || !ok {
					t.Fatalf("%s %d: %v, %v", when, fail, ok, err)
				}
				if got, err := l.Get(t.Context(), "sweep"); err != nil || got.Token != token || got.Owner != "a" {
					t.Fatalf("%s %d: told token %d, stored %+v, %v", when, fail, token, got, err)
				}
			}
			got, err := l.Get(t.Context(), "sweep")
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := l.Renew(t.Context(), "sweep", "a", got.Token, time.Hour, now); !ok || err != nil {
				t.Errorf("%s %d: renew %v, %v", when, fail, ok, err)
			}
			if err := l.Release(t.Context(), "sweep", "a", got.Token); err != nil {
				t.Errorf("%s %d: release %v", when, fail, err)
			}
			if after, err := l.Get(t.Context(), "sweep"); err != nil || after != (store.Lease{Name: "sweep", Token: got.Token}) {
				t.Errorf("%s %d: after release %+v, %v", when, fail, after, err)
			}
		}
	}
}

// Guards: nonsense and outages are told apart.
func TestLeaseErrors(t *testing.T) {
	t.Parallel()
	l := store.NewLeases(newMem(t))
	for _, c := range []struct {
		name, owner string
		ttl         time.Duration
	}{{"", "a", time.Minute}, {"x", "", time.Minute}, {"x", "a", 0}, {"x", "a", -time.Minute}, {"x", "a", time.Microsecond}} {
		if _, ok, err := l.Acquire(t.Context(), c.name, c.owner, c.ttl, now); ok || !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%+v: %v, %v", c, ok, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok, err := l.Acquire(ctx, "x", "a", time.Minute, now); ok || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("ended context: %v, %v", ok, err)
	}
}
