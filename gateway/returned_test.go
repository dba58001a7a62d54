package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// Guards layer one: the return alone captures an approval, sends the customer on with nothing but the payment's id
// added, credits the layer, and is safe to repeat.
func TestReturn(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "paypal"} {
		w := newWorld(t, nil)
		p := w.mustCreate("k", input(provider))
		w.fake(provider).pay(p.ID, 1)
		for range 3 {
			if got, want := w.comeBack(p.ID, 1), "https://shop.test/done?order=7&payment_id="+p.ID; got != want {
				t.Errorf("sent to %s, want %s", got, want)
			}
			w.wantStatus(p.ID, payment.StatusSucceeded)
		}
		if by := w.get(p.ID).SettledBy; by != payment.LayerReturn {
			t.Errorf("%s: settled by %s", provider, by)
		}
		w.wantCaptured(p.ID, 1000)
		w.wantBooks(p.ID)
		w.wantAlerts(p.ID)
	}
}

// Guards the return URL: what the app wrote stays as it was.
func TestReturnURLIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for i, c := range []struct{ given, want string }{
		{"https://shop.test", "https://shop.test?payment_id="},
		{"https://shop.test/a;b/%2F%20?", "https://shop.test/a;b/%2F%20?payment_id="},
		{"https://shop.test/?a=1&a=2&b=%20+&c", "https://shop.test/?a=1&a=2&b=%20+&c&payment_id="},
		{"https://shop.test/?status=paid&x=;y", "https://shop.test/?status=paid&x=;y&payment_id="},
	} {
		in := input("stripe")
		in.ReturnURL = c.given
		p := w.mustCreate(fmt.Sprint("k", i), in)
		if got := w.comeBack(p.ID, 1); got != c.want+p.ID {
			t.Errorf("sent to %s, want %s", got, c.want+p.ID)
		}
	}
}

// Guards against forged returns: without the payment's own token there is no such page and nothing is read.
func TestReturnForged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input("stripe"))
	q := w.mustCreate("k2", input("stripe"))
	for _, token := range []string{"", "x", p.Token[1:], p.Token + " ", q.Token, strings.ToUpper(p.Token)} {
		redirect, got, err := w.svc.Returned(context.Background(), p.ID, token, "success", 1)
		if payment.CodeOf(err) != payment.CodeNotFound || redirect != "" || got != nil {
			t.Errorf("token %q: %s, %v", token, redirect, err)
		}
	}
	if _, _, err := w.svc.Returned(context.Background(), "pay_none", p.Token, "success", 1); payment.CodeOf(err) != payment.CodeNotFound {
		t.Error(err)
	}
	if n := w.stripe.counted("fetch"); n != 0 {
		t.Errorf("%d reads", n)
	}
}

// Guards the customer: a provider or store in trouble never keeps them here, and the truth comes later.
func TestReturnInTrouble(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input("paypal"))
	w.paypal.pay(p.ID, 1)
	want := "https://shop.test/done?order=7&payment_id=" + p.ID
	for _, f := range []fault{timeoutBefore, htmlPage, missing, forbidden, tooMany} {
		w.paypal.fail("fetch", f)
		if got := w.comeBack(p.ID, 1); got != want {
			t.Errorf("sent to %s", got)
		}
	}
	w.hook = func(store.WritePoint, faults.When) error { return fmt.Errorf("down: %w", store.ErrUnavailable) }
	if got := w.comeBack(p.ID, 1); got != want {
		t.Errorf("store down: sent to %s", got)
	}
	w.hook = nil
	w.paypal.fail("capture", timeoutAfter)
	if got := w.comeBack(p.ID, 1); got != want {
		t.Errorf("sent to %s", got)
	}
	w.wantStatus(p.ID, payment.StatusProcessing)
	w.quiet(p.ID)
	w.wantStatus(p.ID, payment.StatusSucceeded)
	w.wantCaptured(p.ID, 1000)
}

// Guards that the layer can be switched off: sent on without a read.
func TestReturnLayerOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *gateway.Options) { o.ReturnLayer = false })
	p := w.mustCreate("k", input("paypal"))
	w.paypal.pay(p.ID, 1)
	if got := w.comeBack(p.ID, 1); got != "https://shop.test/done?order=7&payment_id="+p.ID || w.paypal.counted("fetch") != 0 {
		t.Errorf("sent to %s after %d reads", got, w.paypal.counted("fetch"))
	}
	w.wantStatus(p.ID, payment.StatusRequiresAction)
}

// Guards that "cancel" in the URL decides nothing: the payment can still be paid, and was it paid, it is.
func TestReturnCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	in := input("paypal")
	in.CancelURL = "https://shop.test/sorry"
	p := w.mustCreate("k", in)
	back := func() string {
		redirect, _, err := w.svc.Returned(context.Background(), p.ID, p.Token, "cancel", 1)
		if err != nil {
			t.Fatal(err)
		}
		return redirect
	}
	if got := back(); got != "https://shop.test/sorry?payment_id="+p.ID {
		t.Errorf("sent to %s", got)
	}
	w.wantStatus(p.ID, payment.StatusRequiresAction)
	if w.svc.Checkout(w.get(p.ID)) == "" || !w.paypal.pay(p.ID, 1) {
		t.Error("it can't be paid any more")
	}
	w.paypal.fail("capture", declined)
	w.comeBack(p.ID, 1)
	back() // no reason to try the declined capture again
	w.step()
	if n := w.paypal.counted("capture"); n != 1 {
		t.Errorf("%d captures", n)
	}
	w.pass(time.Minute)
	w.paypal.pay(p.ID, 1) // approved anew, and then "cancel" all the same
	back()
	w.quiet(p.ID)
	w.wantStatus(p.ID, payment.StatusSucceeded)
	w.wantCaptured(p.ID, 1000)
}

// Guards against an open redirect: an origin that is no longer on the app's list, or an app that is gone, gets nobody
// sent there; the provider's truth is read all the same.
func TestReturnOriginRemoved(t *testing.T) {
	t.Parallel()
	for _, apps := range [][]gateway.App{nil, {{Name: "shop", Mode: payment.ModeTest, ReturnOrigins: []string{"https://new.test"}}}} {
		w := newWorld(t, nil)
		p := w.mustCreate("k", input("stripe"))
		w.stripe.pay(p.ID, 1)
		w.opts.Apps = apps
		w.restart()
		if got := w.comeBack(p.ID, 1); got != "" {
			t.Errorf("sent to %s", got)
		}
		w.wantStatus(p.ID, payment.StatusSucceeded)
	}
}

// Guards the declined instrument: the customer goes back to the same page of the provider, each return tries once more
// with a new key, at most five times; then our page offers another way, and nothing is ever taken twice.
func TestReturnDeclinedCapture(t *testing.T) {
	t.Parallel()
	for _, declines := range []int{1, 3, 5, 7} {
		w := newWorld(t, nil)
		p := w.mustCreate("k", input("paypal"))
		url := w.svc.Checkout(p)
		for range declines {
			w.paypal.fail("capture", declined)
		}
		tried := 0
		for i := 1; i <= declines+1; i++ {
			w.pass(time.Minute)
			w.paypal.pay(p.ID, 1)
			redirect := w.comeBack(p.ID, 1)
			tried = w.paypal.counted("capture")
			switch {
			case w.get(p.ID).Status() == payment.StatusSucceeded:
				if i != declines+1 || declines >= 5 {
					t.Errorf("%d declines: paid at return %d", declines, i)
				}
			case i < 5:
				if redirect != url || tried != i {
					t.Errorf("%d declines, return %d: sent to %s after %d captures", declines, i, redirect, tried)
				}
				w.wantStatus(p.ID, payment.StatusRequiresAction)
			default:
				if redirect != w.svc.PayURL(p) || tried != 5 {
					t.Errorf("%d declines, return %d: sent to %s after %d captures", declines, i, redirect, tried)
				}
			}
			w.step() // the worker alone never tries again
			if n := w.paypal.counted("capture"); n != tried {
				t.Errorf("%d captures without a return", n-tried)
			}
		}
		if keys := w.paypal.keysOf("capture"); len(keys) != tried {
			t.Errorf("%d keys for %d captures", len(keys), tried)
		}
		if declines < 5 {
			w.wantCaptured(p.ID, 1000)
			continue
		}
		if got := w.svc.Checkout(w.get(p.ID)); got != w.svc.PayURL(p) {
			t.Errorf("checkout %s of an exhausted order", got)
		}
		w.paypal.script["capture"] = nil
		if _, err := w.choose(p.ID, "paypal"); err != nil || len(w.paypal.roots) != 2 {
			t.Fatalf("another order: %v", err)
		}
		w.paypal.pay(p.ID, 2)
		w.comeBack(p.ID, 2)
		w.wantStatus(p.ID, payment.StatusSucceeded)
		w.wantCaptured(p.ID, 1000)
	}
}
