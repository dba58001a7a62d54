package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/store/mem"
)

const (
	shareTTL    = 12 * time.Second
	shareMargin = 2 * time.Second
)

// budgeted is one process: the share it has, and what it believes the time to be.
type budgeted struct {
	id    string
	skew  time.Duration
	share store.Share
	cut   bool // can't reach the store
}

func (b *budgeted) step(t interface {
	Helper()
	Fatal(args ...any)
}, shares *store.Shares, now time.Time,
) {
	t.Helper()
	if b.cut {
		return
	}
	got, err := shares.Take(context.Background(), b.id, shareTTL, now.Add(b.skew))
	if err != nil {
		t.Fatal(err)
	}
	b.share = got
}

// Promise: whatever comes, goes, dies or loses the store, in any order, what all
// processes may use together never exceeds the whole budget; and when it is quiet
// each has the same share of nearly all of it.
func TestSharesNeverExceedTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inner, err := mem.New(store.Collections())
		if err != nil {
			t.Fatal(err)
		}
		shares := store.NewShares(faults.Wrap(inner, faults.Options{Points: store.WritePoints()}))
		now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		var live []*budgeted
		born := 0
		observe := func(what string) {
			t.Helper()
			sum := int64(0)
			for _, b := range live {
				sum += b.share.At(now.Add(b.skew), shareMargin)
			}
			if sum > 1_000_000 {
				t.Fatalf("after %s %d processes may use %d millionths", what, len(live), sum)
			}
		}
		pick := func() *budgeted { return live[rapid.IntRange(0, len(live)-1).Draw(t, "which")] }
		for range rapid.IntRange(5, 60).Draw(t, "events") {
			what := rapid.SampledFrom([]string{"join", "leave", "crash", "cut", "mend", "step", "step", "pass", "pass"}).Draw(t, "event")
			cut := 0
			for _, b := range live {
				if b.cut {
					cut++
				}
			}
			switch {
			case what == "join" && len(live) < 12:
				born++
				skew := time.Duration(rapid.IntRange(-900, 900).Draw(t, "skew")) * time.Millisecond
				b := &budgeted{id: fmt.Sprintf("p%03d", born), skew: skew}
				b.step(t, shares, now)
				live = append(live, b)
			case len(live) == 0:
			case what == "step":
				pick().step(t, shares, now)
			case what == "pass": // every process steps every two seconds
				for range rapid.IntRange(1, 8).Draw(t, "rounds") {
					now = now.Add(2 * time.Second)
					observe("time passed")
					for _, b := range live {
						b.step(t, shares, now)
						observe("a step")
					}
				}
			case what == "cut" && cut < 2:
				pick().cut = true
			case what == "mend":
				b := pick()
				b.cut = false
				b.step(t, shares, now)
			case what == "leave" || what == "crash":
				b := pick()
				if what == "leave" && !b.cut {
					if err := shares.Leave(context.Background(), b.id); err != nil {
						t.Fatal(err)
					}
				}
				for i := range live {
					if live[i] == b {
						live = append(live[:i:i], live[i+1:]...)
						break
					}
				}
			}
			observe(what)
		}
		for _, b := range live {
			b.cut = false
		}
		for range 10 { // the dead ones' shares end, everybody follows
			now = now.Add(2 * time.Second)
			for _, b := range live {
				b.step(t, shares, now)
				observe("settling")
			}
		}
		for _, b := range live {
			if got, want := b.share.At(now.Add(b.skew), shareMargin), int64(850_000/len(live)); got != want {
				t.Fatalf("%s of %d has %d millionths when all is quiet, want %d", b.id, len(live), got, want)
			}
		}
	})
}

// Promise: a newcomer has its full share within two steps of everybody, a share
// that was given back is used by the others at their next step, a dead process's
// when its time is over; quiet processes rarely write.
func TestSharesAdaptWithinSeconds(t *testing.T) {
	inner := newMem(t)
	writes := 0
	shares := store.NewShares(faults.Wrap(inner, faults.Options{Write: func(_ store.WritePoint, w faults.When) error {
		if w == faults.Before {
			writes++
		}
		return nil
	}}))
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	a, b := &budgeted{id: "a"}, &budgeted{id: "b"}
	want := func(p *budgeted, parts int64) {
		t.Helper()
		if got := p.share.At(now, shareMargin); got != parts {
			t.Errorf("%s has %d millionths, want %d", p.id, got, parts)
		}
	}
	want(a, 50_000) // before its first step
	a.step(t, shares, now)
	want(a, 850_000)
	b.step(t, shares, now)
	want(b, 50_000)
	for range 2 {
		now = now.Add(2 * time.Second)
		a.step(t, shares, now)
		b.step(t, shares, now)
	}
	want(a, 425_000)
	want(b, 425_000)
	writes = 0
	for range 30 {
		now = now.Add(2 * time.Second)
		a.step(t, shares, now)
		b.step(t, shares, now)
	}
	if writes > 22 { // each renews after six seconds
		t.Errorf("%d writes in a quiet minute of two processes", writes)
	}
	if err := shares.Leave(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	a.step(t, shares, now)
	want(a, 850_000)
	b.step(t, shares, now)
	now = now.Add(2 * time.Second)
	a.step(t, shares, now)
	want(a, 425_000) // b died without leaving
	now = now.Add(shareTTL)
	want(a, 25_000) // and a could not reach the store for so long
	a.step(t, shares, now)
	want(a, 850_000)
	down := store.NewShares(faults.Wrap(inner, faults.Options{Read: func(string) error { return store.ErrUnavailable }}))
	if _, err := down.Take(t.Context(), "a", shareTTL, now); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("without a store: %v", err)
	}
}
