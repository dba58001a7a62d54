package gateway_test

import (
	"testing"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// pausing is a world in which tests say what is paused.
func pausing(t *testing.T) (*world, *gateway.Pauses) {
	t.Helper()
	now := &gateway.Pauses{}
	return newWorld(t, func(o *gateway.Options) { o.Pauses = func() gateway.Pauses { return *now } }), now
}

// Promise: a paused account gets no new checkout and nothing is stored or asked of
// it; the same request succeeds when the pause is over.
func TestPausedAccountTakesNothingNew(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]gateway.Pauses{
		"account": {Accounts: map[string]gateway.Pause{"stripe-eu": {Reason: "incident"}}},
		"all":     {All: &gateway.Pause{Reason: "incident"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, now := pausing(t)
			*now = p
			named := input("")
			named.Account = "stripe-eu"
			for _, in := range []gateway.CreateInput{input("stripe"), named} {
				_, err := w.create("k", in)
				wantCode(t, err, payment.CodeProviderUnavailable)
			}
			if got := w.written() + w.told(); got != "" {
				t.Errorf("a refused payment left %q", got)
			}
			_, err := w.create("other", input(""))
			if other := payment.CodeOf(err) == payment.CodeProviderUnavailable; other != (p.All != nil) {
				t.Errorf("a payment whose provider is open: %v", err)
			}
			_, err = w.create("paypal", input("paypal"))
			if other := payment.CodeOf(err) == payment.CodeProviderUnavailable; other != (p.All != nil) {
				t.Errorf("a payment at the other provider: %v", err)
			}
			bad := input("stripe")
			bad.Amount = -1
			_, err = w.create("bad", bad)
			wantCode(t, err, payment.CodeInvalid) // a fault of the request comes first
			*now = gateway.Pauses{}
			w.mustCreate("k", input("stripe"))
		})
	}
}

// Promise: a pause holds up nothing that was begun: an open checkout is paid and
// settled, a repeated request is answered, captures and refunds are made.
func TestPauseHoldsUpNothingBegun(t *testing.T) {
	t.Parallel()
	w, now := pausing(t)
	held := w.authorized("paypal")
	p := w.mustCreate("k", input("stripe"))
	*now = gateway.Pauses{All: &gateway.Pause{Reason: "incident"}}
	if again := w.mustCreate("k", input("stripe")); again.ID != p.ID {
		t.Errorf("the repetition made %s", again.ID)
	}
	w.stripe.pay(p.ID, 1)
	w.comeBack(p.ID, 1)
	w.wantStatus(p.ID, payment.StatusSucceeded)
	if _, err := w.refund(p.ID, "r", 100); err != nil {
		t.Errorf("refund: %v", err)
	}
	if _, err := w.capture(held.ID, "c", 0, true); err != nil {
		t.Errorf("capture: %v", err)
	}
}

// Promise: the pay page offers only what is not paused; the checkout that is open
// stays, and is not given up for one that can't be opened.
func TestPayPageLeavesOutWhatIsPaused(t *testing.T) {
	t.Parallel()
	w, now := pausing(t)
	p := w.mustCreate("k", input(""))
	open, err := w.choose(p.ID, "stripe")
	if err != nil {
		t.Fatal(err)
	}
	offered := func(want ...string) {
		t.Helper()
		_, choices, err := w.svc.Choices(t.Context(), p.ID, p.Token)
		if err != nil || len(choices) != len(want) {
			t.Fatalf("offered %v (%v), want %v", choices, err, want)
		}
		for i := range want {
			if choices[i].Provider != want[i] {
				t.Errorf("offered %v, want %v", choices, want)
			}
		}
	}
	*now = gateway.Pauses{Accounts: map[string]gateway.Pause{"paypal-eu": {Reason: "incident"}}}
	offered("stripe")
	_, err = w.choose(p.ID, "paypal") // a button from before the pause
	wantCode(t, err, payment.CodeProviderUnavailable)
	if got := w.svc.Checkout(w.get(p.ID)); got != open || w.stripe.counted("close_checkout") != 0 {
		t.Errorf("the open checkout is %q now, closed %d times", got, w.stripe.counted("close_checkout"))
	}
	*now = gateway.Pauses{Accounts: map[string]gateway.Pause{"stripe-eu": {Reason: "incident"}}}
	offered("stripe", "paypal")
	if again, err := w.choose(p.ID, "stripe"); err != nil || again != open {
		t.Errorf("going on with the open checkout: %q, %v", again, err)
	}
	if _, err := w.choose(p.ID, "paypal"); err != nil {
		t.Errorf("switching away from a paused account: %v", err)
	}
	offered("paypal")
}

// Promise: an operator's pause names a configured account and says why.
func TestPausesAreChecked(t *testing.T) {
	t.Parallel()
	known := func(name string) bool { return name == "stripe-eu" }
	good := gateway.Pauses{All: &gateway.Pause{Reason: "x"}, Accounts: map[string]gateway.Pause{"stripe-eu": {Reason: "x"}}}
	if got := good.Check(known); got != nil {
		t.Errorf("refused: %v", got)
	}
	bad := gateway.Pauses{All: &gateway.Pause{}, Accounts: map[string]gateway.Pause{"stripe-us": {}}}
	var at []string
	for _, f := range bad.Check(known) {
		at = append(at, f.Pointer)
	}
	if len(at) != 3 || at[0] != "/paused/reason" || at[1] != "/paused_accounts/stripe-us" || at[2] != "/paused_accounts/stripe-us/reason" {
		t.Errorf("refused at %v", at)
	}
}
