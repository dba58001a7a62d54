package store_test

import (
	"errors"
	"fmt"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

var order = store.Ref{Provider: "paypal", Account: "main", Kind: "order", ID: "5O190127TN364715T"}

func newClaims(e store.Engine) *store.Claims {
	at := now
	return store.NewClaims(e, func() time.Time { at = at.Add(time.Second); return at })
}

// Guards I1: a provider object belongs to one payment for good; asking again gives the same answer.
func TestClaim(t *testing.T) {
	t.Parallel()
	c := newClaims(newMem(t))
	ctx := t.Context()
	if holder, err := c.Holder(ctx, order); err != nil || holder != "" {
		t.Errorf("before: %q, %v", holder, err)
	}
	for _, want := range []struct {
		owner, holder string
		ok            bool
	}{{"pay_1", "pay_1", true}, {"pay_2", "pay_1", false}, {"pay_1", "pay_1", true}} {
		holder, ok, err := c.Claim(ctx, order, want.owner)
		if err != nil || holder != want.holder || ok != want.ok {
			t.Errorf("%s claims: %q, %v, %v", want.owner, holder, ok, err)
		}
	}
	if holder, err := c.Holder(ctx, order); err != nil || holder != "pay_1" {
		t.Errorf("after: %q, %v", holder, err)
	}
	for i := range 5 {
		bad, owner := order, "pay_1"
		*[]*string{&bad.Provider, &bad.Account, &bad.Kind, &bad.ID, &owner}[i] = ""
		if _, ok, err := c.Claim(ctx, bad, owner); ok || !errors.Is(err, store.ErrInvalid) {
			t.Errorf("empty part %d: %v, %v", i, ok, err)
		}
	}
}

// Guards: two references never share a claim because their parts run together.
func TestClaimID(t *testing.T) {
	t.Parallel()
	seen := map[string]store.Ref{}
	for _, ref := range []store.Ref{
		order,
		{"paypal", "main", "orde", "r5O190127TN364715T"},
		{"paypa", "lmain", "order", "5O190127TN364715T"},
		{"paypal", "mai", "norder", "5O190127TN364715T"},
		{"stripe", "main", "order", "5O190127TN364715T"},
		{"paypal", "main", "order", "5o190127tn364715t"},
		{"1:a", "b", "c", "d"},
		{"1", "a1:b", "c", "d"},
	} {
		id := store.ClaimID(ref)
		if other, ok := seen[id]; ok {
			t.Errorf("%+v and %+v share %s", ref, other, id)
		}
		seen[id] = ref
		if !regexp.MustCompile(`^claim/[0-9a-f]{64}$`).MatchString(id) {
			t.Errorf("id %q", id)
		}
	}
	// Stored for ever, so it must never change. Computed by hand: sha256("6:paypal4:main5:order17:5O190127TN364715T").
	if id := store.ClaimID(order); id != "claim/3da739199f21a63bce15fc265dcec7155b4f77bf551d0314271650f351ba7bb9" {
		t.Errorf("the id changed to %s", id)
	}
}

// Guards: 32 payments claim one order; one gets it, all others learn who.
func TestClaimRace(t *testing.T) {
	t.Parallel()
	c := store.NewClaims(newMem(t), func() time.Time { return now })
	var mu sync.Mutex
	won, holders := 0, map[string]bool{}
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			holder, ok, err := c.Claim(t.Context(), order, fmt.Sprint("pay_", w))
			if err != nil {
				t.Errorf("claim: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if holders[holder] = true; ok {
				won++
			}
		})
	}
	wg.Wait()
	if won != 1 || len(holders) != 1 {
		t.Errorf("%d winners, holders %v", won, holders)
	}
}

// Guards I5: a claim whose answer was lost is ours when asked again, even at another time, and never the next one's.
func TestClaimLostAcknowledgement(t *testing.T) {
	t.Parallel()
	inner := newMem(t)
	lose := true
	e := faults.Wrap(inner, faults.Options{Points: store.WritePoints(), Write: func(_ store.WritePoint, w faults.When) error {
		if lose && w == faults.After {
			return errLost
		}
		return nil
	}, Read: func(string) error {
		if lose {
			return errLost
		}
		return nil
	}})
	c := newClaims(e)
	if _, ok, err := c.Claim(t.Context(), order, "pay_1"); ok || !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("nothing was readable, and yet: %v, %v", ok, err)
	}
	lose = false
	if holder, ok, err := c.Claim(t.Context(), order, "pay_2"); err != nil || ok || holder != "pay_1" {
		t.Errorf("the next one: %q, %v, %v", holder, ok, err)
	}
	if holder, ok, err := c.Claim(t.Context(), order, "pay_1"); err != nil || !ok || holder != "pay_1" {
		t.Errorf("asked again: %q, %v, %v", holder, ok, err)
	}
}
