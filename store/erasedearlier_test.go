package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
)

// eraseAs orders an erasure of its own id and steps until it rests.
func eraseAs(t *testing.T, e store.Engine, id string, order store.Erasure) store.Erasure {
	t.Helper()
	order.ID, order.App, order.Mode, order.Reason, order.At = id, "shop", payment.ModeTest, "asked for", now
	s := store.NewErasures(e)
	if _, _, err := s.Order(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		r, err := store.NewEraser(e, plainEraser{store.NewPayments(e)}, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), id); err == nil && got.State != store.ErasureRunning {
			return got
		}
	}
	t.Fatal("it does not end")
	return store.Erasure{}
}

// sold makes a payment that is over, with its customer's name in its metadata.
func sold(t *testing.T, e store.Engine, n int, c payment.Customer) {
	t.Helper()
	simple(t, store.NewPayments(e), n, func(p *payment.Payment) {
		p.Answered = true
		p.Request.Customer, p.Request.Metadata = c, map[string]string{"note": "for " + c.Name}
		p.Facts = p.Facts.Merge(payment.Facts{Decisions: []payment.Decision{{ID: "c", Kind: payment.DecisionCanceled, At: now}}})
	})
}

func noteOf(t *testing.T, e store.Engine, id string) string {
	t.Helper()
	p, err := store.NewPayments(e).Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return p.Request.Metadata["note"]
}

// Guards the right to be erased where it takes two orders: the first one leaves the customer's name in metadata and
// overwrites the address by which the payment was found. The same again is not done either; the one that takes metadata
// too finds the payment, and after it nothing of the customer is left, also not in the records of the erasures. Who has
// another address is not touched.
func TestErasureGoesOnWhereAnEarlierOneLeftSomething(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]payment.Customer{
		"by address": {Email: annEmail, Name: annName}, "by ref": {Ref: "ann", Email: annEmail, Name: annName},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := newMem(t)
			e := sealed(t, raw, "k1", "k1")
			sold(t, e, 1, c)
			sold(t, e, 2, payment.Customer{Email: "bob@post.example", Name: "Bob Canary"})
			order := func(texts bool) store.Erasure {
				if c.Ref != "" {
					return store.Erasure{Ref: c.Ref, Texts: texts}
				}
				return store.Erasure{Email: strings.ToUpper(annEmail), Texts: texts}
			}
			for n := range 2 {
				got := eraseAs(t, e, fmt.Sprint("ers_", n), order(false))
				if got.State != store.ErasureIncomplete || got.Left() != 1 || got.Found != 1 || !slices.Equal(got.LeftIn, []string{"payments/pay_001"}) ||
					got.Email != "" || got.Emails != nil || !slices.Equal(got.Names, []string{annName}) {
					t.Fatalf("order %d without metadata: %+v", n, got)
				}
			}
			if found := standing(t, e, annEmail); len(found) > 0 || len(standing(t, e, annName)) != 3 {
				t.Errorf("the address stands in %q, the name in %q", found, standing(t, e, annName))
			}
			d, err := raw.Get(t.Context(), "erasures", "ers_0")
			if err != nil || strings.Contains(string(d.Body), `"AddressDigest":"`) || strings.Contains(string(d.Body), annName) {
				t.Errorf("what it keeps is not sealed: %s, %v", d.Body, err)
			}
			if got := eraseAs(t, e, "ers_bob", store.Erasure{Email: "rob@post.example", Texts: true}); got.State != store.ErasureDone || got.Found != 0 {
				t.Errorf("another address: %+v", got)
			}
			got := eraseAs(t, e, "ers_2", order(true))
			if got.State != store.ErasureDone || got.Found != 1 || got.Earlier != nil || got.Names != nil || noteOf(t, e, "pay_001") != payment.Erased {
				t.Errorf("with metadata: %+v, the note is %q", got, noteOf(t, e, "pay_001"))
			}
			if found := standing(t, e, annName); len(found) > 0 || noteOf(t, e, "pay_002") != "for Bob Canary" {
				t.Errorf("the name stands in %q", found)
			}
			for n := range 2 {
				was, err := store.NewErasures(e).Get(t.Context(), fmt.Sprint("ers_", n))
				if err != nil || was.State != store.ErasureIncomplete || was.FinishedBy != "ers_2" || was.AddressDigest != "" || was.LeftIn != nil || was.Names != nil {
					t.Errorf("the earlier one afterwards: %+v, %v", was, err)
				}
			}
		})
	}
}

// Guards the other customer of a shared address: an earlier erasure of both an app's customer and an address lets a later
// one of that address take what it found by the address only. What it found by the other's id stays the other's, and the
// later one is not called done while the name may stand there.
func TestEarlierErasureGivesNobodyElsesTexts(t *testing.T) {
	t.Parallel()
	e := newMem(t)
	sold(t, e, 1, payment.Customer{Ref: "ann", Email: annEmail, Name: annName})
	sold(t, e, 2, payment.Customer{Email: annEmail, Name: annName})
	first := eraseAs(t, e, "ers_1", store.Erasure{Ref: "ann", Email: annEmail})
	if first.State != store.ErasureIncomplete || first.Left() != 2 {
		t.Fatalf("%+v", first)
	}
	second := eraseAs(t, e, "ers_2", store.Erasure{Ref: "bob", Email: annEmail, Texts: true})
	if second.State != store.ErasureIncomplete || second.Left() != 1 || noteOf(t, e, "pay_001") != "for "+annName || noteOf(t, e, "pay_002") != payment.Erased {
		t.Errorf("%+v, the notes are %q and %q", second, noteOf(t, e, "pay_001"), noteOf(t, e, "pay_002"))
	}
	third := eraseAs(t, e, "ers_3", store.Erasure{Ref: "ann", Email: annEmail, Texts: true})
	if third.State != store.ErasureDone || noteOf(t, e, "pay_001") != payment.Erased {
		t.Errorf("%+v, the note is %q", third, noteOf(t, e, "pay_001"))
	}
}

// Guards the right to be erased where the first order names the customer by the app's id and the second by their address,
// which the first one overwrote: the second is not done while the name stands, also after the first was repeated, and
// names the place. One order with both, and with metadata, is done and ends them all.
func TestErasureByAddressAfterOneByRef(t *testing.T) {
	t.Parallel()
	raw := newMem(t)
	e := sealed(t, raw, "k1", "k1")
	sold(t, e, 1, payment.Customer{Ref: "ann", Email: annEmail, Name: annName})
	for n, order := range []store.Erasure{{Ref: "ann"}, {Ref: "ann"}, {Email: strings.ToUpper(annEmail)}, {Email: annEmail, Texts: true}} {
		got := eraseAs(t, e, fmt.Sprint("ers_", n), order)
		if got.State != store.ErasureIncomplete || got.Left() != 1 || !slices.Equal(got.LeftIn, []string{"payments/pay_001"}) {
			t.Fatalf("order %d: %+v", n, got)
		}
	}
	if found := standing(t, e, annEmail); len(found) > 0 {
		t.Errorf("the address stands in %q", found)
	}
	d, err := raw.Get(t.Context(), "erasures", "ers_0")
	if err != nil || strings.Contains(string(d.Body), `"AddressDigests":["`) {
		t.Errorf("what it keeps is not sealed: %s, %v", d.Body, err)
	}
	if got := eraseAs(t, e, "ers_other", store.Erasure{Email: "bob@post.example", Texts: true}); got.State != store.ErasureDone {
		t.Errorf("another address: %+v", got)
	}
	got := eraseAs(t, e, "ers_last", store.Erasure{Ref: "ann", Email: annEmail, Texts: true})
	if got.State != store.ErasureDone || len(standing(t, e, annName)) > 0 {
		t.Errorf("%+v, the name stands in %q", got, standing(t, e, annName))
	}
	for n := range 4 {
		if was, err := store.NewErasures(e).Get(t.Context(), fmt.Sprint("ers_", n)); err != nil || was.FinishedBy != "ers_last" || was.AddressDigests != nil {
			t.Errorf("order %d afterwards: %+v, %v", n, was, err)
		}
	}
}
