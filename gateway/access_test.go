package gateway_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// crashAt makes the n-th write at a point (from 1) panic, as kill -9 would.
func (w *world) crashAt(point store.WritePoint, when faults.When, n int) {
	w.hook = func(p store.WritePoint, now faults.When) error {
		if p == point && now == when {
			if n--; n == 0 {
				panic(crash{})
			}
		}
		return nil
	}
}

type crash struct{}

// crashed runs fn and reports whether it ran into a planned crash. The hook is gone afterwards.
func (w *world) crashed(fn func()) bool {
	defer func() { w.hook = nil }()
	return w.survive(fn)
}

// survive runs fn and reports whether it ran into a planned crash; then a new process takes over.
func (w *world) survive(fn func()) (did bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, planned := r.(crash); !planned {
				panic(r)
			}
			did = true
			w.restart()
		}
	}()
	fn()
	return false
}

// idOf is the id of the only payment.
func idOf(t *testing.T, w *world) string {
	t.Helper()
	list, _, err := w.svc.List(t.Context(), shop, gateway.Filter{Limit: 10})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d payments, %v", len(list), err)
	}
	return list[0].ID
}

// Guards the list and single reads of the API: an app sees its own, an operator everything, a stranger nothing.
func TestForeignAppSeesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.paid("stripe")
	a, err := w.refund(p.ID, "r", 100)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	foreign := func(path string) gateway.Request {
		r := request(path, "k", 1)
		r.Caller = other
		return r
	}
	live := shop
	live.Mode = payment.ModeLive
	for name, try := range map[string]func() error{
		"get":         func() error { _, err := w.svc.Get(ctx, other, p.ID); return err },
		"other mode":  func() error { _, err := w.svc.Get(ctx, live, p.ID); return err },
		"refund":      func() error { _, err := w.svc.Refund(ctx, foreign("r"), p.ID, 1, ""); return err },
		"capture":     func() error { _, err := w.svc.Capture(ctx, foreign("c"), p.ID, 1, true); return err },
		"cancel":      func() error { _, err := w.svc.Cancel(ctx, foreign("x"), p.ID); return err },
		"sync":        func() error { _, err := w.svc.Sync(ctx, other, p.ID); return err },
		"history":     func() error { _, _, err := w.svc.History(ctx, other, p.ID); return err },
		"refund read": func() error { _, _, err := w.svc.GetRefund(ctx, other, a.Refund); return err },
		"no payment":  func() error { _, err := w.svc.Get(ctx, shop, "pay_none"); return err },
		"no refund":   func() error { _, _, err := w.svc.GetRefund(ctx, shop, "rfd_none"); return err },
	} {
		if err := try(); payment.CodeOf(err) != payment.CodeNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w.refundedSum(p.ID) != 100 {
		t.Error("a foreign app moved money")
	}
	for _, who := range []gateway.Caller{shop, operator} {
		if _, r, err := w.svc.GetRefund(ctx, who, a.Refund); err != nil || r.Amount.Minor != 100 {
			t.Errorf("refund: %+v, %v", r, err)
		}
	}
	for caller, want := range map[string]int{"shop": 1, "other": 0} {
		list, _, err := w.svc.List(ctx, gateway.Caller{App: caller, Mode: payment.ModeTest}, gateway.Filter{App: "shop", Limit: 10})
		if err != nil || len(list) != want {
			t.Errorf("%s lists %d, %v", caller, len(list), err)
		}
	}
	_, _, err = w.svc.List(ctx, shop, gateway.Filter{After: "x", Limit: 1})
	wantCode(t, err, payment.CodeMalformed)
}

// Guards that a store that can't answer is 503 with nothing half done, and that the repetition works.
func TestStoreOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	down := fmt.Errorf("down: %w", store.ErrUnavailable)
	w.hook = func(store.WritePoint, faults.When) error { return down }
	_, err := w.create("k", input("stripe"))
	wantCode(t, err, payment.CodeStoreUnavailable)
	if n := w.stripe.counted("create_checkout"); n != 0 {
		t.Error("a provider was told before anything was stored")
	}
	w.hook = nil
	a, err := w.create("k", input("stripe"))
	if err != nil || len(w.stripe.roots) != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	if d := cmp.Diff(payment.StatusRequiresAction, a.Payment.Status()); d != "" {
		t.Error(d)
	}
}

// Guards E2: a key of one mode reaches nothing of the other, of the same app: no test key a
// live payment, no live key a test payment. Live keys where the app is not live are refused
// at the door (TestKeysRefused).
func TestModesAreApart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, mode := range []payment.Mode{payment.ModeLive, payment.ModeTest} {
		w := newWorld(t, nil)
		p := w.paid("stripe")
		a, err := w.refund(p.ID, "r", 100)
		if err != nil {
			t.Fatal(err)
		}
		stored := w.get(p.ID)
		stored.Mode = mode
		stored.Version++
		if err := w.payments.Replace(ctx, stored); err != nil {
			t.Fatal(err)
		}
		who := shop // a key of the other mode
		if mode == payment.ModeTest {
			who.Mode = payment.ModeLive
		}
		ask := func(path string) gateway.Request {
			r := request(path, "k", 1)
			r.Caller = who
			return r
		}
		for name, try := range map[string]func() error{
			"get":         func() error { _, err := w.svc.Get(ctx, who, p.ID); return err },
			"refund":      func() error { _, err := w.svc.Refund(ctx, ask("r"), p.ID, 1, ""); return err },
			"capture":     func() error { _, err := w.svc.Capture(ctx, ask("c"), p.ID, 1, true); return err },
			"cancel":      func() error { _, err := w.svc.Cancel(ctx, ask("x"), p.ID); return err },
			"sync":        func() error { _, err := w.svc.Sync(ctx, who, p.ID); return err },
			"history":     func() error { _, _, err := w.svc.History(ctx, who, p.ID); return err },
			"refund read": func() error { _, _, err := w.svc.GetRefund(ctx, who, a.Refund); return err },
		} {
			if err := try(); payment.CodeOf(err) != payment.CodeNotFound {
				t.Errorf("a %s key, a %s payment, %s: %v", who.Mode, mode, name, err)
			}
		}
		list, _, err := w.svc.List(ctx, who, gateway.Filter{Limit: 10})
		if err != nil || len(list) != 0 || w.refundedSum(p.ID) != 100 {
			t.Errorf("a %s key lists %d %s payments, %v; refunded %d", who.Mode, len(list), mode, err, w.refundedSum(p.ID))
		}
	}
}
