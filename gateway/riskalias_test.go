package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

// Guards a block by e-mail address: it closes and gives back what anybody of that address has open or paid, also where
// the app names them by its own id or the address came from the provider, in this app and in no other; and the rules
// still count each customer once.
func TestBlockByEmailFindsNamedCustomers(t *testing.T) {
	t.Parallel()
	w := withRules(t, banning(risk.ActBlock))
	named := func(ref, email string) gateway.CreateInput {
		in := of(ref, "stripe")
		in.Customer.Email = email
		return in
	}
	paid := w.mustCreate("paid", named("eve", "eve@example.com"))
	w.stripe.pay(paid.ID, 1)
	w.comeBack(paid.ID, 1)
	open, guest := w.mustCreate("open", named("eve", "Eve@example.com")), w.mustCreate("guest", named("", "eve@example.com"))
	shown, ann := w.mustCreate("shown", named("mallory", "")), w.mustCreate("ann", named("ann", "ann@example.com"))
	obs := payment.Observation{Provider: "stripe", Account: "stripe-eu", Facts: payment.Facts{Payers: []payment.Payer{{
		Key: payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: "ch_1"}, N: 1, EmailHash: payment.EmailHash("eve@example.com"),
		Stamp: payment.Stamp{Created: w.now(), AsOf: w.now()},
	}}}}
	if _, err := w.svc.Apply(t.Context(), shown.ID, obs, payment.Source{}); err != nil {
		t.Fatal(err)
	}
	w.declines(open.ID, 4)
	w.declines(guest.ID, 4)
	if err := w.work(2); err != nil {
		t.Fatal(err)
	}
	if d := w.decisions(); len(d) != 0 {
		t.Fatalf("two customers were counted as one: %+v", d)
	}
	set := w.ban(shop, "ban", gateway.BlockInput{Email: "eve@example.com", Reason: "stolen", Cancel: true, Refund: true})
	d := set.Decision
	if len(d.Steps) != 4 || d.Unsettled() != 0 || !strings.HasPrefix(d.Note, "4 payments are known") {
		t.Errorf("%s: %+v, %s", d.State, d.Steps, d.Note)
	}
	for _, p := range []*payment.Payment{open, guest, shown} {
		w.wantStatus(p.ID, payment.StatusCanceled)
	}
	w.wantStatus(ann.ID, payment.StatusRequiresAction)
	if got := w.refundedSum(paid.ID); got != 1000 {
		t.Errorf("%d were given back, want 1000", got)
	}
}

// Guards people against a block that says more than it did: where no payment is known under a name, or not all of them
// may be, the decision says how far it looked.
func TestBlockSaysHowFarItLooked(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	set := w.ban(shop, "ban", gateway.BlockInput{Email: "nobody@example.com", Reason: "stolen", Cancel: true})
	if d := set.Decision; !strings.HasPrefix(d.Note, "0 payments are known") || !strings.Contains(d.Note, "may be missing") {
		t.Errorf("%s: %q", d.State, d.Note)
	}
	ref := risk.Ref{Kind: risk.KindEmail, Value: payment.EmailHash("many@example.com")}.Alias()
	_, err := w.rules.ChangeSubject(t.Context(), risk.NewSubject("shop", payment.ModeTest, ref), func(s risk.Subject) (risk.Subject, bool) {
		for i := range 500 {
			s, _ = s.Take(risk.Default(), []risk.Sighting{{ID: fmt.Sprint("sig_", i), Kind: payment.SignalAsked, Payment: fmt.Sprint("pay_", i), At: w.now()}})
		}
		return s, true
	})
	if err != nil {
		t.Fatal(err)
	}
	set = w.ban(shop, "many", gateway.BlockInput{Email: "many@example.com", Reason: "stolen", Cancel: true})
	if d := set.Decision; !strings.Contains(d.Note, "only the latest are kept") {
		t.Errorf("%s: %q", d.State, d.Note)
	}
}

// Guards a customer whom only a declined try names: who is held or blocked by that address is so on the very payment that
// showed it. Another address that was tried there is nobody's: it may be a victim's.
func TestBlockByADeclinedTrysAddress(t *testing.T) {
	t.Parallel()
	for action, want := range map[risk.Action]string{risk.ActHold: gateway.DeclineHeld, risk.ActBlock: gateway.DeclineBlocked} {
		w := withRules(t, banning(action))
		p := w.mustCreate("a", input(""))
		if _, err := w.choose(p.ID, "stripe"); err != nil {
			t.Fatal(err)
		}
		var facts payment.Facts
		for i := range 5 {
			address := "eve@example.com"
			if i == 4 {
				address = "victim@example.com"
			}
			facts.Declines = append(facts.Declines, payment.Decline{
				Key: payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: fmt.Sprint("ch_no", i)}, N: 1, Code: "card_declined",
				EmailHash: payment.EmailHash(address), Stamp: payment.Stamp{Created: w.now(), AsOf: w.now()},
			})
		}
		if _, err := w.svc.Apply(t.Context(), p.ID, payment.Observation{Provider: "stripe", Account: "stripe-eu", Facts: facts}, payment.Source{}); err != nil {
			t.Fatal(err)
		}
		w.ban(shop, "victim", gateway.BlockInput{Email: "victim@example.com", Reason: "theirs"})
		if _, err := w.choose(p.ID, "stripe"); err != nil {
			t.Errorf("stopped by a victim's address: %v", err)
		}
		if err := w.work(2); err != nil {
			t.Fatal(err)
		}
		opened := w.paypal.counted("create_checkout")
		_, err := w.choose(p.ID, "paypal")
		wantStopped(t, err, want)
		if w.paypal.counted("create_checkout") != opened {
			t.Error("a new checkout was opened")
		}
	}
}

// Guards a ban that reaches less than it says: of a customer with more payments than one decision looks at, the latest are
// looked at, and the decision says that there are more.
func TestBanOfMoreThanOneDecisionLooksAt(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	p := w.mustCreate("a", of("guest", "stripe"))
	for i := range 4000 {
		c := p.Clone()
		c.ID, c.Version = fmt.Sprintf("pay_%06d", i), 0
		c.Facts.Opened, c.Operations = nil, nil
		if err := w.payments.Insert(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	set := w.ban(shop, "ban", gateway.BlockInput{Customer: "guest", Reason: "stolen", Cancel: true})
	if d := set.Decision; !strings.Contains(d.Note, "there are more") {
		t.Errorf("%s: %q", d.State, d.Note)
	}
}
