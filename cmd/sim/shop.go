package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/cmd/sim/judge"
	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// shop is the product app. It remembers what it asked for and what it was told,
// whatever happens to our processes.
type shop struct {
	t      *town
	orders []*order
}

// order is one payment that the shop wants.
type order struct {
	*judge.Order
	n        int
	in       gateway.CreateInput
	id       string // once it was told
	asks     []*ask
	refunds  int            // still to be asked for; -1: not decided yet
	reversed bool           // the provider took the money back by itself
	seen     payment.Status // when the app last looked
	due      time.Time      // when its customer may no longer pay
}

// ask is one request under one idempotency key.
type ask struct {
	kind   string // create | capture | part | cancel | refund
	key    string
	amount int64
	tries  int
	limit  int // then the shop gives up; 0: never
	done   bool
	gaveUp bool
	refund string
}

func caller(app string) gateway.Caller {
	return gateway.Caller{App: app, Mode: payment.ModeTest, KeyID: "tk_test_sim", Scopes: gateway.AllScopes()}
}

func operator() gateway.Caller { return gateway.Caller{Operator: true, KeyID: "tk_op_sim"} }

// open lets the orders come in over the first part of the faulty phase.
func (s *shop) open() {
	t := s.t
	for n := range t.plan.payments {
		o := &order{n: n, in: s.basket(n), refunds: -1}
		o.Order = &judge.Order{App: t.apps[t.people.IntN(len(t.apps))], Amount: o.in.Amount, Manual: o.in.Capture == "manual"}
		o.ID = payment.DeriveID("pay", "v1", o.App, string(payment.ModeTest), "POST", "/v1/payments", fmt.Sprintf("create-%d-0", n))
		t.check.expect(o)
		s.orders = append(s.orders, o)
		t.loop.plan(within(t.people, 0, t.plan.faulty*6/10), fmt.Sprintf("order %d", n), func() {
			s.send(o, s.newAsk(o, "create", o.in.Amount))
		})
	}
}

func (s *shop) basket(n int) gateway.CreateInput {
	r := s.t.people
	in := gateway.CreateInput{
		Amount: 200 + r.Int64N(50000), Currency: []string{"usd", "eur", "usd", "jpy"}[r.IntN(4)], ReturnURL: returnURL, Reference: fmt.Sprintf("order-%d", n),
		Provider: []string{"stripe", "paypal", ""}[r.IntN(3)], ExpiresIn: []int64{1800, 3600, 6 * 3600, 24 * 3600}[r.IntN(4)],
	}
	if r.IntN(3) == 0 {
		in.Capture = "manual"
	}
	return in
}

func (s *shop) newAsk(o *order, kind string, amount int64) *ask {
	a := &ask{kind: kind, amount: amount, key: fmt.Sprintf("%s-%d-%d", kind, o.n, len(o.asks))}
	switch kind {
	case "capture", "part":
		o.Captures++
		o.Holds = append(o.Holds, named(amount)...)
	case "refund":
		o.Refunds++
		o.Parts = append(o.Parts, named(amount)...)
	}
	if s.t.people.IntN(5) == 0 {
		a.limit = 1 + s.t.people.IntN(4)
	}
	o.asks = append(o.asks, a)
	return a
}

// named is an amount that a request names; 0 is all that is left.
func named(amount int64) []int64 {
	if amount == 0 {
		return nil
	}
	return []int64{amount}
}

// without takes one of an amount away.
func without(amounts []int64, amount int64) []int64 {
	if i := slices.Index(amounts, amount); i >= 0 {
		return slices.Delete(amounts, i, i+1)
	}
	return amounts
}

// send makes one try at a request, and plans the next while the answer leaves
// anything open.
func (s *shop) send(o *order, a *ask) {
	t := s.t
	if a.done || a.gaveUp {
		return
	}
	a.tries++
	again := func(why string) {
		t.trace("shop %s try %d: %s", a.key, a.tries, why)
		if a.limit > 0 && a.tries >= a.limit {
			a.gaveUp = true
			t.count("shop_gave_up")
			return
		}
		wait := min(time.Second<<min(a.tries, 9), 8*time.Minute)
		if a.tries > 20 {
			wait = 40 * time.Minute // it waits for days, if it must
		}
		t.loop.plan(within(t.people, wait/2, wait), "retry "+a.key, func() { s.send(o, a) })
	}
	i := t.some()
	if i == nil {
		again("nobody there")
		return
	}
	var ans gateway.Answer
	var err error
	if !t.alive(i, func() { ans, err = s.do(i, o, a) }) {
		t.count("crash_in_request")
		again("cut")
		return
	}
	i.stir()
	if hits(t.chance, t.rate(faultAnswer)) {
		t.count("answer_lost")
		again("answer lost")
		return
	}
	switch code := payment.CodeOf(err); {
	case err == nil && ans.Unknown:
		t.count("answered_unknown")
		s.told(i, o, a, ans)
		again("unknown")
	case err == nil:
		a.done = true
		t.trace("shop %s try %d: %s replayed %v", a.key, a.tries, ans.Payment.Status(), ans.Replayed)
		s.told(i, o, a, ans)
	case code == payment.CodeInternal:
		t.fail("I5 %s was answered with an internal error: %v", a.key, err)
		again("internal")
	case code == payment.CodeIdempotencyInProgress, code == payment.CodeProviderUnavailable, code == payment.CodeStoreUnavailable:
		t.count("answered_" + string(code))
		again(string(code))
	default:
		a.done = true
		t.count("refused_" + string(code))
		t.trace("shop %s try %d: refused %s", a.key, a.tries, code)
		switch a.kind {
		case "capture", "part":
			o.Captures--
			o.Holds = without(o.Holds, a.amount)
		case "refund":
			o.Refunds--
			o.Parts = without(o.Parts, a.amount)
			if ans.Refund != "" {
				o.Refused = append(o.Refused, ans.Refund)
			}
		}
	}
}

// repeatRefunds is the shop asking once more, under their keys, for the refunds that it was
// told of: it has lost its own answers, say, as they stand in the same backup.
func (s *shop) repeatRefunds() {
	for _, o := range s.orders {
		for _, a := range o.asks {
			if a.kind == "refund" && a.done && a.refund != "" {
				a.done, a.tries = false, 0
				s.send(o, a)
			}
		}
	}
}

func (s *shop) do(i *instance, o *order, a *ask) (gateway.Answer, error) {
	ctx := context.Background()
	r := gateway.Request{Caller: caller(o.App), Path: "/v1/payments", Key: a.key}
	switch a.kind {
	case "create":
	case "part":
		r.Path += "/" + o.id + "/capture"
	default:
		r.Path += "/" + o.id + "/" + a.kind
	}
	var err error
	if r.Fingerprint, err = gateway.Fingerprint(struct {
		K string
		A int64
	}{a.kind, a.amount}); err != nil {
		return gateway.Answer{}, err
	}
	switch a.kind {
	case "create":
		return i.service.Create(ctx, r, o.in)
	case "capture", "part": // of which more may follow
		return i.service.Capture(ctx, r, o.id, a.amount, a.kind == "capture")
	case "cancel":
		return i.service.Cancel(ctx, r, o.id)
	case "refund":
		return i.service.Refund(ctx, r, o.id, a.amount, "")
	}
	return gateway.Answer{}, errors.New("sim: unknown request " + a.kind)
}

// told is the shop learning about its payment.
func (s *shop) told(i *instance, o *order, a *ask, ans gateway.Answer) {
	t := s.t
	p := ans.Payment
	t.check.answered(o, p)
	if a.refund != "" && ans.Refund != a.refund {
		t.fail("I15 %s was answered with refund %s, before with %s", a.key, ans.Refund, a.refund)
	}
	a.refund = ans.Refund
	if o.id == "" {
		o.id, o.Told, o.due = p.ID, true, p.ExpiresAt
		if t.script != nil {
			return
		}
		t.loop.plan(within(t.people, time.Minute, 20*time.Minute), "look "+p.ID, func() { s.look(o) })
	}
	if url := i.service.Checkout(p); t.script == nil && a.kind == "create" && a.done && url != "" {
		newCustomer(t, o).arrive(url)
	}
}

// look is the shop reading its payment and deciding what to do about it.
func (s *shop) look(o *order) {
	t := s.t
	pause := within(t.people, 5*time.Minute, time.Hour)
	if t.healed {
		pause = within(t.people, 2*time.Hour, 5*time.Hour)
	}
	defer func() { t.loop.plan(pause, "look "+o.id, func() { s.look(o) }) }()
	i := t.some()
	if i == nil {
		return
	}
	var p *payment.Payment
	var err error
	if !t.alive(i, func() { p, err = i.service.Get(context.Background(), caller(o.App), o.id) }) || err != nil {
		return
	}
	o.seen = p.Status()
	t.check.observed(o, p)
	t.check.follow(o.App)
	if s.waiting(o) {
		return
	}
	switch p.Status() {
	case payment.StatusAuthorized:
		s.authorized(o, p)
	case payment.StatusSucceeded:
		s.succeeded(o, p)
	case payment.StatusRequiresAction:
		if t.people.IntN(30) == 0 {
			s.send(o, s.newAsk(o, "cancel", 0))
		}
	case payment.StatusConflicted, payment.StatusProcessing, payment.StatusCanceled, payment.StatusExpired, payment.StatusFailed:
	}
}

func (s *shop) waiting(o *order) bool {
	for _, a := range o.asks {
		if !a.done && !a.gaveUp {
			return true
		}
	}
	return false
}

func (s *shop) authorized(o *order, p *payment.Payment) {
	r := s.t.people
	switch n := r.IntN(10); {
	case n < 5:
		s.send(o, s.newAsk(o, "capture", 0))
	case n < 7 && p.Amounts().Capturable > 2:
		s.t.count("partial_capture")
		s.send(o, s.newAsk(o, "capture", 1+r.Int64N(p.Amounts().Capturable-1)))
	case n < 8:
		s.send(o, s.newAsk(o, "cancel", 0))
	case s.t.healed:
		s.send(o, s.newAsk(o, "capture", 0))
	}
}

// succeeded decides once how many refunds there will be, and asks for the next.
func (s *shop) succeeded(o *order, p *payment.Payment) {
	r := s.t.people
	if o.refunds < 0 {
		o.refunds = max(0, r.IntN(5)-2)
	}
	left := p.Amounts().Refundable
	if o.refunds == 0 || left == 0 {
		return
	}
	o.refunds--
	amount := int64(0)
	if r.IntN(3) > 0 {
		amount = 1 + r.Int64N(max(left/2, 1))
	}
	s.send(o, s.newAsk(o, "refund", amount))
}
