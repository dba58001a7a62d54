package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
)

// Guards the record against a configuration that lost a key: a server that lacks a key under which records are sealed is
// refused, with the key's id and what to do, also where no key is configured at all, and it notes nothing. With the key
// put back, or named as lost, it starts.
func TestMissingKeyIsRefused(t *testing.T) {
	t.Parallel()
	raw := newMem(t)
	first := sealed(t, raw, "a", "a")
	if err := first.CheckKeys(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	simple(t, store.NewPayments(first), 1, func(p *payment.Payment) { p.Request.Customer.Email = "c@example.com" })
	for name, without := range map[string]*store.SealedEngine{"another key": sealed(t, raw, "b", "b"), "no key": sealed(t, raw, "")} {
		for what, err := range map[string]error{"start": without.CheckKeys(t.Context(), now), "look": without.LookAtKeys(t.Context())} {
			if !errors.Is(err, store.ErrMissingKey) || !strings.Contains(err.Error(), "key a ") || !strings.Contains(err.Error(), "payments pay_001") || !strings.Contains(err.Error(), "encryption rotate") {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		if err := without.LookAtKeys(t.Context(), "a"); err != nil {
			t.Errorf("%s, with the key named as lost: %v", name, err)
		}
	}
	both := sealed(t, raw, "b", "b", "a")
	if err := both.CheckKeys(t.Context(), now); err != nil {
		t.Errorf("with the key put back: %v", err)
	}
	if _, _, err := store.NewResealer(both, func() time.Time { return now }).Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sealed(t, raw, "b", "b").CheckKeys(t.Context(), now); !errors.Is(err, store.ErrMissingKey) {
		t.Errorf("in the middle of a rotation: %v", err)
	}
}

// Guards a rotation's end: a key under which nothing is left may go, and stays gone through the rotations that follow, also
// in the middle of them; and a key that never sealed anything stops nobody. A key that came back is missed again.
func TestKeyWithNothingLeftMayGo(t *testing.T) {
	t.Parallel()
	raw := newMem(t)
	start := func(active string, ids ...string) *store.SealedEngine {
		t.Helper()
		e := sealed(t, raw, active, ids...)
		if err := e.CheckKeys(t.Context(), now); err != nil {
			t.Fatalf("active %s of %v: %v", active, ids, err)
		}
		return e
	}
	start("x", "x") // never sealed anything
	e := start("a", "a")
	for i := range 3 {
		simple(t, store.NewPayments(e), i+1, func(p *payment.Payment) { p.Request.Customer.Email = fmt.Sprint(i, "@example.com") })
	}
	finish(t, store.NewResealer(start("b", "b", "a"), func() time.Time { return now }))
	start("b", "b") // a may go
	next := start("c", "c", "b")
	if err := store.NewResealer(next, func() time.Time { return now }).Restart(t.Context()); err != nil { // counts are gone
		t.Fatal(err)
	}
	start("c", "c", "b")
	finish(t, store.NewResealer(next, func() time.Time { return now }))
	start("c", "c")
	back := start("a", "a", "c")
	simple(t, store.NewPayments(back), 4, func(p *payment.Payment) { p.Request.Customer.Email = "d@example.com" })
	if err := store.NewResealer(sealed(t, raw, "c", "c", "a"), func() time.Time { return now }).Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sealed(t, raw, "c", "c").CheckKeys(t.Context(), now); !errors.Is(err, store.ErrMissingKey) || !strings.Contains(err.Error(), "key a ") {
		t.Errorf("a key that came back: %v", err)
	}
}
