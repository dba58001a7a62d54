package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// people are those at the providers' dashboards and our own operators.
type people struct {
	t       *town
	read    map[string]int // events read, by API
	pending map[string][]string
	dispute map[string][]string
	resolve int
}

func newPeople(t *town) *people {
	return &people{t: t, read: map[string]int{}, pending: map[string][]string{}, dispute: map[string][]string{}}
}

// work is people's round, every hour or so.
func (p *people) work() {
	t := p.t
	for _, api := range []string{"stripe", "paypal"} {
		p.notice(api)
		p.settle(api)
		p.judge(api)
	}
	if !t.healed {
		p.meddle()
		p.late()
	}
	p.conflicts()
	if t.healed {
		p.replay()
	}
	pause := within(t.people, 30*time.Minute, 2*time.Hour)
	if t.healed {
		pause = within(t.people, 2*time.Hour, 4*time.Hour)
	}
	t.loop.plan(pause, "people", p.work)
}

// notice reads what the providers announced.
func (p *people) notice(api string) {
	all := p.t.world.Events(api)
	for _, e := range all[p.read[api]:] {
		switch e.Type {
		case "charge.pending", "PAYMENT.CAPTURE.PENDING":
			p.pending[api] = append(p.pending[api], e.Object)
		case "charge.dispute.created", "CUSTOMER.DISPUTE.CREATED":
			p.dispute[api] = append(p.dispute[api], e.Object)
		}
	}
	p.read[api] = len(all)
}

// settle ends captures that are under way at a bank.
func (p *people) settle(api string) {
	t := p.t
	var left []string
	for _, id := range p.pending[api] {
		if !t.healed && t.people.IntN(3) > 0 {
			left = append(left, id)
			continue
		}
		outcome := "completed"
		if t.people.IntN(4) == 0 {
			outcome = "denied"
		}
		t.sandbox(api, "captures/"+id+"/settle", map[string]string{"outcome": outcome})
	}
	p.pending[api] = left
}

// judge ends disputes.
func (p *people) judge(api string) {
	t := p.t
	var left []string
	for _, id := range p.dispute[api] {
		if !t.healed && t.people.IntN(3) > 0 {
			left = append(left, id)
			continue
		}
		t.sandbox(api, "disputes/"+id+"/resolve", map[string]string{"outcome": []string{"won", "lost"}[t.people.IntN(2)]})
	}
	p.dispute[api] = left
}

// leastDispute is the least that is disputed, in minor units: where an account settles in
// another currency, it is still something there.
const leastDispute = 200

// meddle does things at the dashboard that nobody asked us about.
func (p *people) meddle() {
	t := p.t
	for _, row := range t.world.Ledger() {
		o := t.check.order(row.Reference)
		if o == nil || o.reversed || t.people.IntN(25) > 0 {
			continue
		}
		part := 1 + t.people.Int64N(max(row.Amount/3, 1))
		disputed := max(part, min(row.Amount, leastDispute))
		object := "charge"
		if row.API == "paypal" {
			object = "capture"
		}
		switch {
		case row.Kind == "refund" && row.API == "paypal" && t.plan.hidden() && !p.onRecord(o, row.Object):
			// Where lists of events are empty, one that was made elsewhere and fails before
			// anybody read it leaves no trace: no money moved in the end.
		case row.Kind == "refund" && t.people.IntN(2) == 0:
			if status, _ := t.sandbox(row.API, "refunds/"+row.Object+"/fail", nil); status == 200 {
				t.count("refund_failed_late")
			}
		case row.Kind == "capture" && t.people.IntN(3) == 0:
			if disputed < leastDispute {
				continue // nobody disputes that: of a few yen nothing is left in euros, for the bank to take
			}
			if status, _ := t.sandbox(row.API, "disputes", map[string]any{object: row.Object, "amount": disputed}); status == 200 {
				t.count("dispute")
				if o.Refunds > 0 {
					t.count("dispute_after_refund")
				}
			}
		case row.Kind == "capture" && row.API == "paypal" && t.plan.mode != modeWebhook && t.people.IntN(3) == 0:
			// Only transaction search tells of it, hours later, and only where nothing
			// else happens to the capture; see reversible.
			if !p.reversible(o) {
				continue
			}
			o.reversed = true
			if status, _ := t.sandbox(row.API, "reversals", map[string]any{object: row.Object, "amount": part}); status == 200 {
				t.count("reversal")
			}
		case row.Kind == "capture":
			if status, _ := t.sandbox(row.API, "refunds", map[string]any{object: row.Object, "amount": part}); status == 200 {
				o.Refunds++
				t.count("dashboard_refund")
			}
		}
	}
}

// onRecord says whether a refund is known to the gateway as given.
func (p *people) onRecord(o *order, refund string) bool {
	pay, err := store.NewPayments(p.t.engine).Get(context.Background(), o.ID)
	return err == nil && slices.ContainsFunc(pay.Facts.Refunds, func(r payment.Refund) bool {
		return r.Key.ID == refund && r.State == payment.RefundSucceeded
	})
}

// late is somebody who finds an approved PayPal order of a payment that is over, and
// captures it with another tool under the merchant's own credentials.
func (p *people) late() {
	t := p.t
	if !t.plan.has(faultLate) {
		return
	}
	for _, o := range t.shop.orders {
		over := o.seen == payment.StatusCanceled || o.seen == payment.StatusExpired || o.seen == payment.StatusSucceeded
		if !over || o.Manual || o.Late || o.reversed || t.shop.waiting(o) || t.people.IntN(2) > 0 {
			continue
		}
		pay, err := store.NewPayments(t.engine).Get(context.Background(), o.ID)
		if err != nil {
			continue
		}
		for _, a := range pay.Facts.Attempts {
			if a.Key.Provider == "paypal" && a.State != payment.AttemptComplete && !o.Late {
				t.captureLate(o, a.Key.ID, "")
			}
		}
	}
}

// captureLate lets the customer approve an order, and another tool of the merchant's
// capture it. Money that is pending does not move yet.
func (t *town) captureLate(o *order, id, how string) {
	if status, _ := t.sandbox("paypal", "orders/"+id+"/approve", map[string]string{"capture": how}); status != http.StatusOK {
		return
	}
	o.Late = true
	status, _ := t.paypalCall("/v2/checkout/orders/"+id+"/capture", "late-"+id, "{}")
	t.trace("somebody captures order %s of %s: %d", id, o.ID, status)
	if status == http.StatusCreated {
		t.count("late_capture")
	}
	t.check.moved()
	o.Late = status == http.StatusCreated && (how == "pending" || t.check.judge.Captured(o.ID) > 0)
}

// paypalCall is a call of PayPal's API by another tool of the merchant's.
func (t *town) paypalCall(path, key, body string) (int, []byte) {
	post := func(path, contentType, auth, body string) (int, []byte) {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, paypalURL+path, strings.NewReader(body))
		if err != nil {
			return 0, nil
		}
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Authorization", auth)
		req.Header.Set("PayPal-Request-Id", key)
		resp, err := serve(t.paypal, req)
		if err != nil {
			return 0, nil
		}
		defer resp.Body.Close()
		out, err := io.ReadAll(resp.Body)
		if err != nil {
			return 0, nil
		}
		return resp.StatusCode, out
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("sim:simulated"))
	_, granted := post("/v1/oauth2/token", "application/x-www-form-urlencoded", basic, "grant_type=client_credentials")
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal(granted, &token) != nil {
		return 0, nil
	}
	return post(path, "application/json", "Bearer "+token.AccessToken, body)
}

// reversible says that nothing else gave money of this order back or will. PayPal
// does not list a reversal with its capture: where a dispute or refund stands
// beside it, the product can't tell them apart and raises a discrepancy at best.
func (p *people) reversible(o *order) bool {
	return o.refunds == 0 && !o.Resolved && o.Refunds == 0 && p.t.check.judge.Plain(o.ID) && !p.t.shop.waiting(o)
}

// conflicts is an operator resolving what is held.
func (p *people) conflicts() {
	for _, app := range p.t.apps {
		p.conflictsOf(app)
	}
}

func (p *people) conflictsOf(app string) {
	t := p.t
	i := t.some()
	if i == nil {
		return
	}
	ctx := context.Background()
	var held []*payment.Payment
	var err error
	if !t.alive(i, func() {
		held, _, err = i.service.List(ctx, caller(app), gateway.Filter{Status: payment.StatusConflicted, Limit: 100})
	}) || err != nil {
		return
	}
	for _, pay := range held {
		o := t.check.order(pay.ID)
		if o == nil || i.dead {
			continue
		}
		t.count("conflict_seen")
		p.decide(ctx, i, o, pay)
	}
}

// decide keeps the first capture and gives the rest back where that is possible,
// else gives all back, else keeps all. What was given back after an earlier conflict
// is no choice any more: the API refuses a list that names it.
func (p *people) decide(ctx context.Context, i *instance, o *order, pay *payment.Payment) {
	t := p.t
	var all, back []string
	for _, d := range pay.Facts.Decisions {
		if d.Kind == payment.DecisionRefund {
			back = append(back, d.Objects...)
		}
	}
	for _, c := range pay.Facts.Captures {
		if c.State == payment.CaptureCompleted && !slices.Contains(back, c.Key.ID) {
			all = append(all, c.Key.ID)
		}
	}
	if len(all) == 0 {
		if !p.t.shop.waiting(o) {
			p.t.shop.send(o, p.t.shop.newAsk(o, "cancel", 0)) //nolint:contextcheck // an actor of its own: no caller's context reaches it
		}
		return
	}
	type choice struct {
		action   string
		captures []string
	}
	choices := []choice{{"refund", all[1:]}, {"refund", all}, {"accept", all}}
	if t.people.IntN(2) == 0 {
		choices[1], choices[2] = choices[2], choices[1]
	}
	for _, c := range choices {
		if len(c.captures) == 0 {
			continue
		}
		p.resolve++
		before := *o.Order
		r := gateway.Request{Caller: operator(), Path: "/v1/payments/" + pay.ID + "/resolve", Key: fmt.Sprintf("resolve-%d", p.resolve)}
		if c.action == "refund" {
			o.Refunds += len(c.captures) // perhaps: the answer may be lost
			o.Resolved = true
		} else {
			o.Accepted = true
		}
		var err error
		if !t.alive(i, func() { _, err = i.service.Resolve(ctx, r, pay.ID, c.action, c.captures, "simulated") }) {
			return
		}
		t.trace("operator %s %s %d: %v", c.action, pay.ID, len(c.captures), err == nil)
		var known *payment.Error
		if !errors.As(err, &known) || known.Code != payment.CodeInvalid {
			return
		}
		// Refused by a rule, so for certain nothing was decided: the judge excuses nothing.
		o.Resolved, o.Accepted = before.Resolved, before.Accepted
		if c.action == "refund" {
			o.Refunds -= len(c.captures) // others may have added theirs meanwhile
		}
	}
}

// replay is an operator replaying what was given up, once all is well again.
func (p *people) replay() {
	t := p.t
	i := t.some()
	if i == nil {
		return
	}
	var n int
	var err error
	if t.alive(i, func() { n, err = i.inbox.ReplayAll(context.Background(), inbox.Filter{State: inbox.Dead}) }) && n > 0 {
		t.count("dead_replayed")
		t.trace("replayed %d err %v", n, err != nil)
	}
}
