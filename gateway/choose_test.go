package gateway_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// ops are the calls that reached both providers, in order, reads left out.
func (w *world) told() string {
	var out []string
	for _, f := range []*fakeProvider{w.stripe, w.paypal} {
		f.mu.Lock()
		for _, c := range f.calls {
			if c.key != "" {
				out = append(out, f.name+":"+c.op)
			}
		}
		f.mu.Unlock()
	}
	return strings.Join(out, " ")
}

// Guards the pay page: buttons for who can take it, the same choice gives the same checkout, strangers get nothing.
func TestChoose(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input(""))
	ctx := context.Background()
	_, choices, err := w.svc.Choices(ctx, p.ID, p.Token)
	if err != nil || len(choices) != 2 || choices[0].Provider != "stripe" || choices[1].Label != "paypal" {
		t.Errorf("choices %v, %v", choices, err)
	}
	first, err := w.choose(p.ID, "stripe")
	if err != nil || !strings.HasPrefix(first, "https://stripe.test/") {
		t.Fatalf("%s, %v", first, err)
	}
	if again, err := w.choose(p.ID, "stripe"); err != nil || again != first || w.stripe.counted("create_checkout") != 1 {
		t.Errorf("again: %s, %v", again, err)
	}
	if w.svc.Checkout(w.get(p.ID)) != first {
		t.Errorf("checkout %s", w.svc.Checkout(w.get(p.ID)))
	}
	_, err = w.choose(p.ID, "venmo")
	wantCode(t, err, payment.CodeInvalid)
	for _, token := range []string{"", "x", p.Token + "x", strings.ToUpper(p.Token)} {
		if _, _, err := w.svc.Choose(ctx, p.ID, token, "paypal"); payment.CodeOf(err) != payment.CodeNotFound {
			t.Errorf("token %q: %v", token, err)
		}
	}
	if _, _, err := w.svc.Choices(ctx, "pay_none", p.Token); payment.CodeOf(err) != payment.CodeNotFound {
		t.Errorf("no payment: %v", err)
	}
	w.stripe.pay(p.ID, 1)
	w.comeBack(p.ID, 1)
	_, err = w.choose(p.ID, "paypal")
	wantCode(t, err, payment.CodeConflict)
	in := input("")
	in.Account = "paypal-eu"
	a := w.mustCreate("k2", in)
	if _, choices, err := w.svc.Choices(ctx, a.ID, a.Token); err != nil || len(choices) != 1 || choices[0].Provider != "paypal" {
		t.Errorf("account given: %v, %v", choices, err)
	}
}

// Guards I1 when the customer changes their mind: the first checkout is closed before the second opens, and only the
// second can be paid.
func TestSwitchProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input(""))
	if _, err := w.choose(p.ID, "stripe"); err != nil {
		t.Fatal(err)
	}
	w.paypal.during = func(op string) {
		if op == "create_checkout" && w.stripe.pay(p.ID, 1) {
			t.Error("the first page was still open when the second opened")
		}
	}
	url, err := w.choose(p.ID, "paypal")
	if err != nil || !strings.HasPrefix(url, "https://paypal.test/") {
		t.Fatalf("%s, %v", url, err)
	}
	w.paypal.pay(p.ID, 2)
	w.comeBack(p.ID, 2)
	w.wantStatus(p.ID, payment.StatusSucceeded)
	w.wantCaptured(p.ID, 1000)
	if got := w.told(); got != "stripe:create_checkout stripe:close_checkout paypal:create_checkout paypal:capture" {
		t.Errorf("told %s", got)
	}
}

// Guards I1 against the race: found paid while it was being closed, the first checkout is kept and no second opens.
func TestSwitchFindsPaid(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "paypal"} {
		w := newWorld(t, nil)
		p := w.mustCreate("k", input(""))
		if _, err := w.choose(p.ID, provider); err != nil {
			t.Fatal(err)
		}
		w.fake(provider).during = func(op string) {
			if op == "close_checkout" {
				w.fake(provider).during = nil
				w.fake(provider).pay(p.ID, 1)
			}
		}
		to := map[string]string{"stripe": "paypal", "paypal": "stripe"}[provider]
		_, err := w.choose(p.ID, to)
		wantCode(t, err, payment.CodeConflict)
		w.quiet(p.ID)
		w.wantStatus(p.ID, payment.StatusSucceeded)
		w.wantCaptured(p.ID, 1000)
		if n := len(w.fake(to).roots); n != 0 {
			t.Errorf("%d checkouts at %s", n, to)
		}
	}
}

// Guards that nothing opens while it is not certain that the first checkout is closed.
func TestSwitchUnknown(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{timeoutBefore, tooMany, stored500} {
		w := newWorld(t, nil)
		p := w.mustCreate("k", input(""))
		if _, err := w.choose(p.ID, "stripe"); err != nil {
			t.Fatal(err)
		}
		w.stripe.fail("close_checkout", f)
		_, err := w.choose(p.ID, "paypal")
		wantCode(t, err, payment.CodeProviderUnavailable)
		if len(w.paypal.roots) != 0 {
			t.Fatal("the second opened")
		}
		w.quiet(p.ID)
		if _, err := w.choose(p.ID, "paypal"); err != nil || w.stripe.pay(p.ID, 1) {
			t.Errorf("%d: %v", f, err)
		}
	}
	w := newWorld(t, nil)
	p := w.mustCreate("k", input(""))
	w.paypal.fail("create_checkout", refused)
	_, err := w.choose(p.ID, "paypal")
	wantCode(t, err, payment.CodeConflict)
	if _, err = w.choose(p.ID, "stripe"); err != nil {
		t.Errorf("after a refused choice: %v", err)
	}
}

// Guards that an abandoned PayPal order is never captured, even if its customer approves it later and comes back.
func TestAbandonedOrderIsNeverCaptured(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"switch", "cancel"} {
		w := newWorld(t, nil)
		p := w.mustCreate("k", input("paypal"))
		if how == "cancel" {
			if _, err := w.cancel(p.ID, "x"); err != nil {
				t.Fatal(err)
			}
		} else {
			p = w.mustCreate("k2", input(""))
			for _, provider := range []string{"paypal", "stripe"} {
				if _, err := w.choose(p.ID, provider); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !w.paypal.pay(p.ID, 1) {
			t.Fatal("the order can't be approved: this test proves nothing")
		}
		redirect := w.comeBack(p.ID, 1)
		w.observe(p.ID, 0)
		w.quiet(p.ID)
		if n := w.paypal.counted("capture"); n != 0 {
			t.Errorf("%s: %d captures", how, n)
		}
		want := w.svc.PayURL(p)
		if how == "cancel" {
			want = "https://shop.test/done?order=7&payment_id=" + p.ID
		}
		if redirect != want {
			t.Errorf("%s: sent to %s, want %s", how, redirect, want)
		}
		w.wantCaptured(p.ID, 0)
		if how == "switch" {
			w.stripe.pay(p.ID, 2)
			w.comeBack(p.ID, 2)
			w.wantStatus(p.ID, payment.StatusSucceeded)
			w.wantCaptured(p.ID, 1000)
		}
	}
}

// Guards I1, I7: money that comes late on an abandoned or canceled attempt is recorded, held where it is double, and
// told to a human.
func TestLateMoney(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input("paypal"))
	if _, err := w.cancel(p.ID, "x"); err != nil {
		t.Fatal(err)
	}
	w.paypal.takeOutside(p.ID, 1, 1000)
	w.pass(time.Minute)
	w.observe(p.ID, 1)
	w.wantStatus(p.ID, payment.StatusSucceeded)
	w.wantAlerts(p.ID, "late_money", "late_money")

	p = w.mustCreate("k2", input(""))
	for _, provider := range []string{"paypal", "stripe"} {
		if _, err := w.choose(p.ID, provider); err != nil {
			t.Fatal(err)
		}
	}
	w.stripe.pay(p.ID, 2)
	w.comeBack(p.ID, 2)
	w.paypal.takeOutside(p.ID, 1, 1000)
	w.pass(time.Minute)
	w.observe(p.ID, 0)
	w.wantStatus(p.ID, payment.StatusConflicted)
	w.wantAlerts(p.ID, "late_money", "conflicted_payment")
	w.wantBooks(p.ID)
}

// Guards that a checkout that lapsed at the provider is no dead end: our page is where the customer goes on, and the
// next attempt opens.
func TestChooseAfterLapse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input("paypal"))
	w.pass(3*time.Hour + time.Minute)
	if got := w.svc.Checkout(w.get(p.ID)); got != w.svc.PayURL(p) {
		t.Errorf("checkout %s of a lapsed order", got)
	}
	url, err := w.choose(p.ID, "paypal")
	if err != nil || len(w.paypal.roots) != 2 || !strings.HasSuffix(url, w.paypal.roots[1].id) {
		t.Fatalf("%s, %v", url, err)
	}
	w.paypal.pay(p.ID, 2)
	w.comeBack(p.ID, 2)
	w.wantStatus(p.ID, payment.StatusSucceeded)
}

// Guards I1 against a customer with many tabs: whatever is chosen at the same time and paid everywhere it can be paid,
// one capture remains.
func TestChooseConcurrently(t *testing.T) {
	t.Parallel()
	for range 5 {
		w := newWorld(t, nil)
		p := w.mustCreate("k", input(""))
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				_, err := w.choose(p.ID, []string{"stripe", "paypal"}[i%2])
				switch payment.CodeOf(err) {
				case payment.CodeInternal:
					if err != nil {
						t.Error(err)
					}
				case payment.CodeConflict, payment.CodeProviderUnavailable, payment.CodeIdempotencyInProgress:
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.quiet(p.ID)
		attempts := len(w.get(p.ID).Facts.Opened)
		for n := attempts; n > 0; n-- {
			w.stripe.pay(p.ID, n)
			w.paypal.pay(p.ID, n)
		}
		for n := range attempts {
			w.comeBack(p.ID, n+1)
		}
		w.quiet(p.ID)
		w.wantStatus(p.ID, payment.StatusSucceeded)
		w.wantCaptured(p.ID, 1000)
	}
}
