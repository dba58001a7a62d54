package payment

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

const (
	canaryEmail = "canary@post.example"
	canaryName  = "Canary Birdsong"
)

// personal is a paid payment of a customer who can be recognised everywhere.
func personal(t *testing.T) *Payment {
	t.Helper()
	req := Request{
		ExpiresIn: time.Hour, Reference: "order-1", Description: "for Canary", Metadata: map[string]string{"note": "Canary's"},
		Customer: Customer{Ref: "cust-7", Email: canaryEmail, Name: canaryName},
	}
	p := New("pay_1", "shop", ModeTest, Terms{Amount: usd(1000)}, req, "token", start)
	p = change(t, p, 1, func(c *Payment) error {
		c.Answered = true
		return c.OpenAttempt("stripe", "stripe-eu", command("x", 1))
	})
	op := onlyOp(t, p, OpCreate)
	p = change(t, p, 1, func(c *Payment) error {
		c.Operation(op.ID).Params = []byte(`{"CustomerEmail":"` + canaryEmail + `"}`)
		return nil
	})
	p = settle(t, p, op.ID, 2, Outcome{State: OpDone, Ref: "cs_1"}, snapshot(1, 2, attempts(session(1, AttemptOpen, 1000, 2))))
	return observe(t, p, 1, 9, paidBy(9))
}

func paidBy(second int) Facts {
	a := session(1, AttemptComplete, 1000, second)
	a.PayerEmail = canaryEmail
	f := with(attempts(a), captures(captured(1, "c1", 1000, 8)))
	f.Payers = []Payer{{Key: stripeKey("ch_1"), N: 1, EmailHash: EmailHash(canaryEmail), PayerID: "cus_1", Stamp: stamp(8, second)}}
	return f
}

func holds(t *testing.T, p *Payment) string {
	t.Helper()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, op := range p.Operations {
		text += string(op.Params)
	}
	var found []string
	for _, s := range []string{canaryEmail, canaryName, EmailHash(canaryEmail), "Canary"} {
		if strings.Contains(text, s) {
			found = append(found, s)
		}
	}
	return strings.Join(found, ", ")
}

// Guards erasure: everything personal is gone for good, also when the provider tells it
// again; money, ids, references and history stay, and the history says who and why.
func TestErase(t *testing.T) {
	t.Parallel()
	p := personal(t)
	p.Outbox = nil // fed
	if holds(t, p) == "" {
		t.Fatal("the test's payment holds nothing personal")
	}
	e := Erasure{ID: "ers_1", Texts: true, By: operator, Reason: "request of 1 March"}
	before := p.Snapshot()
	erase := func(p *Payment, second int) *Payment {
		t.Helper()
		next, err := p.Change(e.Source(), at(second), func(c *Payment) error { return c.Erase(e, at(second)) })
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	next := erase(p, 100)
	if found := holds(t, next); found != "" {
		t.Errorf("still there: %s", found)
	}
	if holds(t, p) == "" {
		t.Error("the payment handed in was changed")
	}
	if next.Request.Customer.Ref != "cust-7" || next.Request.Reference != "order-1" || next.Facts.Payers[0].PayerID != "cus_1" ||
		next.Request.Customer.Name != Erased || next.Request.Customer.KnownEmail() != "" || next.Request.Metadata["note"] != Erased {
		t.Errorf("%+v", next.Request)
	}
	wantDiff(t, "money and status", next.Snapshot(), before)
	last := next.History[len(next.History)-1]
	if len(next.History) != len(p.History)+1 || last.Source.Actor != operator || !strings.Contains(last.Source.Reason, e.Reason) || !last.At.Equal(at(100)) {
		t.Errorf("history says %+v", last)
	}
	if len(next.Outbox) != 0 || len(next.Alerts) != len(p.Alerts) {
		t.Errorf("it told %v %v", next.Outbox, next.Alerts)
	}
	if again := erase(next, 101); again != next {
		t.Error("a second time changed something")
	}
	told := observe(t, next, 1, 200, paidBy(200))
	if found := holds(t, told); found != "" {
		t.Errorf("an observation brought back: %s", found)
	}
	other := personal(t)
	other.Outbox = nil
	e = Erasure{ID: "ers_2", By: operator, Reason: "r"}
	if kept := erase(other, 100); kept.Request.Description != "for Canary" || kept.Request.Metadata["note"] != "Canary's" || kept.Request.Customer.Email != Erased {
		t.Errorf("without texts: %+v", kept.Request)
	}
}

// Guards money under way: what a provider, an app or a feed still needs is not erased
// from under it.
func TestEraseWaits(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*Payment){
		"events unfed":       func(*Payment) {},
		"refund unsettled":   func(p *Payment) { p.Outbox, p.Operations[0].State = nil, OpUnknown },
		"creation unheard":   func(p *Payment) { p.Outbox, p.Answered = nil, false },
		"a checkout is open": func(p *Payment) { p.Outbox, p.Facts.Attempts[0].State, p.Facts.Captures = nil, AttemptOpen, nil },
		"a second capture": func(p *Payment) {
			p.Outbox, p.Facts.Captures = nil, append(p.Facts.Captures, captured(1, "c2", 1000, 9))
		},
	} {
		p := personal(t)
		edit(p)
		if _, err := p.Change(apiCall, at(100), func(c *Payment) error {
			return c.Erase(Erasure{ID: "e"}, at(100))
		}); CodeOf(err) != CodeConflict {
			t.Errorf("%s: %v, want conflict", name, err)
		}
	}
	p := personal(t)
	p.Outbox, p.Answered = nil, false
	if !p.Erasable(p.CreatedAt.Add(24 * time.Hour)) {
		t.Error("a creation that nobody repeated for a day is not over")
	}
}

// Guards the answer to a dispute: while it is undecided the evidence needs to say who the
// customer is, and asking to be forgotten must not win it.
func TestEraseWaitsForDisputes(t *testing.T) {
	t.Parallel()
	p := personal(t)
	p.Outbox = nil
	for status, want := range map[DisputeStatus]bool{
		DisputeNeedsResponse: false, DisputeUnderReview: false, DisputeWon: true, DisputeLost: true, DisputeClosed: true,
	} {
		c := p.Clone()
		c.Facts = c.Facts.Merge(Facts{Disputes: []Dispute{{Key: stripeKey("dp_1"), Capture: "c1", Amount: usd(1000), Stage: "chargeback", Status: status, Stamp: stamp(9, 9)}}})
		if got := c.Erasable(at(20)); got != want {
			t.Errorf("%s: erasable %t, want %t", status, got, want)
		}
	}
}
