package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// Promise: whoever must not run beside a server sees every process that lives,
// none that left, and a killed one no longer than its presence lasts.
func TestLivePresences(t *testing.T) {
	ctx := t.Context()
	e := faults.Wrap(newMem(t), faults.Options{Points: store.WritePoints()})
	s := store.NewReplicas(e)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	a := store.Presence{ID: "a/1", Host: "a", Version: "v1", Started: now, Expires: now.Add(20 * time.Second)}
	b := store.Presence{ID: "b/1", Host: "b", Version: "v2", Started: now, Expires: now.Add(30 * time.Second)}
	for _, p := range []store.Presence{b, a} {
		if err := s.Announce(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	want := func(at time.Time, want ...store.Presence) {
		t.Helper()
		got, err := store.LivePresences(ctx, e, at)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]store.Presence{}, want...), got); diff != "" {
			t.Errorf("live at %s (-want +got):\n%s", at.Sub(now), diff)
		}
	}
	want(now, a, b)
	want(now.Add(20*time.Second), b)
	a.Expires = now.Add(40 * time.Second)
	if err := s.Announce(ctx, a); err != nil {
		t.Fatal(err)
	}
	want(now.Add(25*time.Second), b, a)
	early := a
	early.Expires = now.Add(5 * time.Second) // a late repetition of an earlier renewal
	if err := s.Announce(ctx, early); err != nil {
		t.Fatal(err)
	}
	want(now.Add(35*time.Second), a)
	if n, err := s.Prune(ctx, now.Add(35*time.Second)); n != 1 || err != nil {
		t.Errorf("pruned %d (%v), want the one that expired", n, err)
	}
	want(now, a)
	for range 2 { // leaving twice is harmless
		if err := s.Leave(ctx, a.ID); err != nil {
			t.Fatal(err)
		}
	}
	want(now)
}
