package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/cmd/sim/judge"
	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// script is one telling of a scene.
type script struct {
	t      *town
	o      *order
	back   string // where the provider sends the customer
	done   map[string]bool
	marks  []mark
	under  []mark
	deaths []death
	mortal bool
	died   int
	backup *backup
}

// step is tried again until it says that it is done: whoever takes it comes back
// after a crash, as customers and apps do.
type step struct {
	name string
	do   func(*script) bool
}

// once runs fn at the first try of a step.
func (s *script) once(name string, fn func()) {
	if s.done == nil {
		s.done = map[string]bool{}
	}
	if !s.done[name] {
		s.done[name] = true
		fn()
	}
}

// alive calls a living process; false: there is none, it died, or it said no.
func (s *script) alive(fn func(i *instance) error) bool {
	i := s.t.some()
	if i == nil {
		return false
	}
	var err error
	ok := s.t.alive(i, func() { err = fn(i) })
	if !i.dead {
		i.stir()
	}
	return ok && err == nil
}

// payment is the record as it stands in the store; nil while there is none.
func (s *script) payment() *payment.Payment {
	p, err := store.NewPayments(s.t.engine).Get(context.Background(), s.o.ID)
	if err != nil {
		return nil
	}
	return p
}

func create(provider, capture string, change ...func(*gateway.CreateInput)) step {
	in := gateway.CreateInput{Amount: 5000, Currency: "usd", ReturnURL: returnURL, Reference: "order-0", Provider: provider, Capture: capture, ExpiresIn: 6 * 3600}
	for _, fn := range change {
		fn(&in)
	}
	return step{"create", func(s *script) bool {
		s.once("create", func() {
			s.o = &order{in: in, Order: &judge.Order{App: appNames()[0], Amount: in.Amount, Manual: capture == "manual"}}
			s.o.ID = payment.DeriveID("pay", "v1", s.o.App, string(payment.ModeTest), "POST", "/v1/payments", "create-0-0")
			s.t.check.expect(s.o)
			s.t.shop.orders = append(s.t.shop.orders, s.o)
			s.send("create", in.Amount)
		})
		return s.o.asks[0].done
	}}
}

func (s *script) send(kind string, amount int64) {
	a := s.t.shop.newAsk(s.o, kind, amount)
	a.limit = 0
	s.t.shop.send(s.o, a)
}

// asks is a command of the app's, sent under one key until it is answered.
func asks(kind string, amount int64) step {
	return step{kind, func(s *script) bool {
		name := fmt.Sprint(kind, amount)
		s.once(name, func() { s.send(kind, amount) })
		return !s.t.shop.waiting(s.o)
	}}
}

// checkout is the id of the newest checkout at a provider that we know of.
func (s *script) checkout(provider string) string {
	id := ""
	if p := s.payment(); p != nil {
		for _, a := range p.Facts.Attempts {
			if a.Key.Provider == provider {
				id = a.Key.ID
			}
		}
	}
	return id
}

// pays is the customer at Stripe's page.
func pays(card string, want int) step {
	return step{"pay by card", func(s *script) bool {
		id := s.checkout("stripe")
		if id == "" {
			return false
		}
		status, out := s.t.sandbox("stripe", "checkout/"+id+"/pay", map[string]string{"card": card})
		s.back, _ = out["redirect_url"].(string)
		return status == want
	}}
}

// approves is the customer at PayPal's page.
func approves(capture string) step {
	return step{"approve", func(s *script) bool {
		id := s.checkout("paypal")
		if id == "" {
			return false
		}
		status, out := s.t.sandbox("paypal", "orders/"+id+"/approve", map[string]string{"capture": capture})
		s.back, _ = out["redirect_url"].(string)
		return status == http.StatusOK
	}}
}

// returns is the customer's browser coming back; nobody does where nobody may.
func returns() step {
	return step{"return", func(s *script) bool {
		u, err := url.Parse(s.back)
		if err != nil || s.back == "" || s.t.plan.mode == modeReconcile {
			return true
		}
		q := u.Query()
		n, err := strconv.Atoi(q.Get("attempt"))
		if err != nil {
			n = 0
		}
		return s.alive(func(i *instance) error {
			_, _, err := i.service.Returned(context.Background(), strings.TrimPrefix(u.Path, "/v1/return/"), q.Get("t"), q.Get("outcome"), n)
			return err
		})
	}}
}

// chooses is the customer on our own page.
func chooses(provider string) step {
	return step{"choose " + provider, func(s *script) bool {
		p := s.payment()
		return p != nil && s.alive(func(i *instance) error {
			_, _, err := i.service.Choose(context.Background(), p.ID, p.Token, provider)
			return err
		})
	}}
}

func becomes(want payment.Status) step {
	return step{"becomes " + string(want), func(s *script) bool {
		p := s.payment()
		return p != nil && p.Status() == want
	}}
}

// capture is the id of the first capture that we know of.
func (s *script) capture() string {
	if p := s.payment(); p != nil && len(p.Facts.Captures) > 0 {
		return p.Facts.Captures[0].Key.ID
	}
	return ""
}

// seen is what the provider announced last of an object.
func (s *script) seen(api, kind string) string {
	id := ""
	for _, e := range s.t.world.Events(api) {
		if e.Type == kind {
			id = e.Object
		}
	}
	return id
}

// does is a person at the provider: path may name what the function returns.
func does(api, path string, object func(*script) string, in any) step {
	return step{path, func(s *script) bool {
		id := object(s)
		if id == "" {
			return false
		}
		status, _ := s.t.sandbox(api, strings.ReplaceAll(path, "{id}", id), in)
		return status == http.StatusOK
	}}
}

// answers is the app answering the dispute: it gives it up, or hands in evidence.
func answers(give bool) step {
	return step{"answer the dispute", func(s *script) bool {
		p := s.payment()
		if p == nil || len(p.Facts.Disputes) == 0 {
			return false
		}
		id := payment.DisputeID(p.Facts.Disputes[0].Key)
		return s.alive(func(i *instance) error {
			r := gateway.Request{Caller: caller(s.o.App), Path: "/v1/disputes/" + id + "/answer", Key: "answer", Fingerprint: "answer"}
			if give {
				_, err := i.service.AcceptDispute(context.Background(), r, id, "it was our mistake")
				return err
			}
			_, err := i.service.GiveEvidence(context.Background(), r, id, gateway.EvidenceInput{
				Texts: map[string]string{"uncategorized_text": "it was delivered"}, Submit: true,
				Files: []gateway.FileInput{{Name: "receipt.pdf", Type: "receipt", Data: []byte("%PDF-1.4 a receipt")}},
			})
			return err
		})
	}}
}

// outside are refunds at the dashboard.
func outside(n int) step {
	return step{"refunds outside", func(s *script) bool {
		if s.capture() == "" {
			return false
		}
		for range n {
			s.o.Refunds++
			s.t.sandbox("stripe", "refunds", map[string]any{"charge": s.capture(), "amount": 1})
			s.t.until(s.t.now.Add(time.Hour))
		}
		return true
	}}
}

func waits(d time.Duration) step {
	return step{"wait", func(s *script) bool { s.t.until(s.t.now.Add(d)); return true }}
}

// away makes a provider unreachable from now on for a while.
func away(provider string, d time.Duration) step {
	return step{provider + " is away", func(s *script) bool {
		s.t.plan.outages = append(s.t.plan.outages, outage{window{s.t.age(), s.t.age() + d}, provider, 0})
		return true
	}}
}

// wrong makes the providers take another amount for a while.
func wrong(delta int64) step {
	return step{"wrong money", func(s *script) bool {
		s.o.Wrong = delta != 0
		now := s.t.world.Faults() // webhooks go on being lost where all are
		if err := s.t.world.SetFaults(sandbox.Faults{Seed: 1, Webhooks: now.Webhooks, Capture: sandbox.CaptureFaults{AmountDelta: delta}}); err != nil {
			s.t.fail("faults: %v", err)
		}
		return true
	}}
}

// resolves is an operator who takes the money as it is.
func resolves() step {
	return step{"resolve", func(s *script) bool {
		p := s.payment()
		s.o.Accepted, s.o.Wrong = true, true
		return s.alive(func(i *instance) error {
			r := gateway.Request{Caller: operator(), Path: "/v1/payments/" + p.ID + "/resolve", Key: "resolve"}
			_, err := i.service.Resolve(context.Background(), r, p.ID, "accept", []string{s.capture()}, "as it is")
			return err
		})
	}}
}

// redelivers is a provider sending all its events again, where any ever arrives.
func redelivers(api string) step {
	return step{"redeliver", func(s *script) bool {
		if s.t.plan.mode == modeReconcile {
			return true
		}
		for _, e := range s.t.world.Events(api) {
			s.t.world.Resend(api, e.ID, "")
		}
		return true
	}}
}

// replaysDead is an operator replaying what was given up.
func replaysDead() step {
	return step{"replay", func(s *script) bool {
		return s.alive(func(i *instance) error {
			_, err := i.inbox.ReplayAll(context.Background(), inbox.Filter{State: inbox.Dead})
			return err
		})
	}}
}

// prunes is the janitor of the far future.
func prunes() step {
	return step{"prune", func(s *script) bool {
		return s.alive(func(i *instance) error {
			_, err := i.inbox.Prune(context.Background(), s.t.now.Add(24*time.Hour))
			return err
		})
	}}
}

// keysOf is an operator making an API key.
func keysOf(app string) step {
	return step{"key", func(s *script) bool {
		return s.alive(func(i *instance) error {
			_, err := i.service.NewKey(context.Background(), app, false, nil)
			return err
		})
	}}
}

// stranger is somebody with the same PayPal account selling something else.
func stranger() step {
	return step{"a stranger sells", func(s *script) bool {
		s.once("stranger", func() {
			_, body := s.t.paypalCall("/v2/checkout/orders", "stranger-1", `{"intent":"CAPTURE","purchase_units":[{"amount":{"currency_code":"USD","value":"12.00"}}]}`)
			var order struct{ ID string }
			if json.Unmarshal(body, &order) != nil || order.ID == "" {
				s.t.fail("no order of a stranger: %s", body)
				return
			}
			s.t.sandbox("paypal", "orders/"+order.ID+"/approve", nil)
			if status, body := s.t.paypalCall("/v2/checkout/orders/"+order.ID+"/capture", "stranger-2", "{}"); status != http.StatusCreated {
				s.t.fail("a stranger can't sell: %d %s", status, body)
			}
		})
		return true
	}}
}
