package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// checker holds the product against the providers' own ledger. It reads nothing
// but that ledger, what the shop was told, and the records through the reads that
// apps and operators have. It decides nothing in the run.
type checker struct {
	t      *town
	acks   []string // ids of webhooks that were answered 200
	rows   int      // ledger rows looked at
	ledger map[string]*book
}

// book is one payment's money in the ledger.
type book struct {
	captures, refunds          int
	captured, refunded, failed int64
	disputed, won              int64
	refundObjects              map[string]bool
	currency                   string
}

func newChecker(t *town) *checker { return &checker{t: t, ledger: map[string]*book{}} }

func (c *checker) book(id string) *book {
	if c.ledger[id] == nil {
		c.ledger[id] = &book{refundObjects: map[string]bool{}}
	}
	return c.ledger[id]
}

// order finds the shop's order of a payment, by what the shop was told or, where
// it never was, by its reference.
func (c *checker) order(id string) *order {
	for _, o := range c.t.shop.orders {
		if o.id == id || c.idOf(o) == id {
			return o
		}
	}
	return nil
}

// idOf is the id that an order's payment must have: it follows from the request.
func (c *checker) idOf(o *order) string {
	return payment.DeriveID("pay", "v1", appName, string(payment.ModeTest), "POST", "/v1/payments", fmt.Sprintf("create-%d-0", o.n))
}

// moved reads new rows of the ledger. I1 holds at every moment: nobody is charged
// twice, and no more is given back than somebody asked for.
func (c *checker) moved() {
	all := c.t.world.Ledger()
	for _, row := range all[c.rows:] {
		c.t.trace("ledger %s %s %d %s", row.Kind, row.API, row.Amount, row.Reference)
		b := c.book(row.Reference)
		switch row.Kind {
		case "capture":
			b.captures++
			b.captured += row.Amount
			b.currency = row.Currency
			if o := c.order(row.Reference); o == nil {
				c.t.fail("I16 money moved for %q, which nobody asked for", row.Reference)
			} else if b.captures > 1 && o.in.Capture == "" && !c.wrongMoney() {
				c.t.fail("I1 %s was charged %d times", row.Reference, b.captures)
			} else if b.captured > o.in.Amount && !c.wrongMoney() {
				c.t.fail("I1 %s was charged %d of %d", row.Reference, b.captured, o.in.Amount)
			}
		case "refund":
			if !b.refundObjects[row.Object] {
				b.refunds++
				b.refundObjects[row.Object] = true
			}
			b.refunded += row.Amount
		case "refund_failed":
			b.failed += row.Amount
		case "dispute", "reversal":
			b.disputed += row.Amount
		case "dispute_won":
			b.won += row.Amount
		}
	}
	c.rows = len(all)
}

func (c *checker) wrongMoney() bool { return c.t.plan.wrong.to > 0 }

// acknowledged: I4, what was answered 200 is in the store at that moment.
func (c *checker) acknowledged(path, key string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	id := inbox.RecordID(parts[1], parts[2], false, key)
	c.raced()
	c.acks = append(c.acks, id)
	if _, err := store.NewInbox(c.t.engine).Get(context.Background(), id); err != nil {
		c.t.fail("I4 webhook %s was answered 200 and is not stored: %v", key, err)
	}
}

// answered: I4, what was answered 2xx is in the store at that moment.
func (c *checker) answered(o *order, p *payment.Payment) {
	if p.ID != c.idOf(o) {
		c.t.fail("I4 order %d was given the payment %s", o.n, p.ID)
	}
	stored, err := store.NewPayments(c.t.engine).Get(context.Background(), p.ID)
	if err != nil {
		c.t.fail("I4 payment %s was answered and is not stored: %v", p.ID, err)
	} else if stored.Version < p.Version {
		c.t.fail("I4 payment %s was answered in version %d, stored is %d", p.ID, p.Version, stored.Version)
	}
	c.observed(o, p)
}

// observed: what is said to be paid is paid, in full (I2, I7), and statuses move
// along the published graph.
func (c *checker) observed(o *order, p *payment.Payment) {
	c.moved()
	s, b := p.Status(), c.book(p.ID)
	if s == payment.StatusSucceeded && b.captured == 0 {
		c.t.fail("I2 %s is said to be paid, and no money moved", p.ID)
	}
	if o.seen != "" && !payment.MayFollow(o.seen, s) && c.t.depth == 0 {
		c.t.fail("I3 %s went from %s to %s", p.ID, o.seen, s)
	}
	o.seen = s
}

// service is a living process to read through.
func (c *checker) service() *gateway.Service { return c.t.insts[0].service }

func (c *checker) payments() []*payment.Payment {
	list, next, err := c.service().List(context.Background(), caller(), gateway.Filter{Limit: 100})
	if err != nil || next != "" {
		c.t.fail("payments can't be listed: %v", err)
	}
	return list
}

// open says what is not finished yet.
func (c *checker) open() (out []string) {
	for _, p := range c.payments() {
		switch s := p.Status(); s {
		case payment.StatusProcessing, payment.StatusRequiresAction, payment.StatusAuthorized, payment.StatusConflicted:
			out = append(out, fmt.Sprintf("%s is %s", p.ID, s))
		case payment.StatusSucceeded, payment.StatusCanceled, payment.StatusExpired, payment.StatusFailed:
		}
		if op := p.Unfinished(0); op != nil {
			out = append(out, fmt.Sprintf("%s has an unfinished %s (%s)", p.ID, op.Kind, op.State))
		}
		if len(p.Outbox) > 0 || len(p.Alerts) > 0 {
			out = append(out, fmt.Sprintf("%s has %d events and %d alerts to tell", p.ID, len(p.Outbox), len(p.Alerts)))
		}
		if a := p.Amounts(); a.RefundPending > 0 {
			out = append(out, fmt.Sprintf("%s has a refund of %d pending", p.ID, a.RefundPending))
		}
	}
	backlog, err := c.t.insts[0].inbox.Backlog(context.Background())
	if err != nil || backlog.Pending+backlog.Dead > 0 {
		out = append(out, fmt.Sprintf("the inbox has %d events pending and %d dead: %v", backlog.Pending, backlog.Dead, err))
	}
	for _, o := range c.t.shop.orders {
		if c.t.shop.waiting(o) {
			out = append(out, fmt.Sprintf("order %d waits for an answer", o.n))
		}
	}
	for _, api := range []string{"stripe", "paypal"} {
		for _, e := range c.t.world.Events(api) {
			if c.t.world.PendingDeliveries(api, e.ID) > 0 {
				out = append(out, "webhook "+e.Type+" is on its way")
			}
		}
	}
	return out
}

// end checks everything that must hold once nothing moves any more.
func (c *checker) end() {
	ctx := context.Background()
	c.moved()
	alerts := c.alerts(ctx)
	seen := map[string]bool{}
	told := c.feed(ctx)
	for _, p := range c.payments() {
		seen[p.ID] = true
		o := c.order(p.ID)
		if o == nil {
			c.t.fail("I16 payment %s belongs to no order", p.ID)
			continue
		}
		c.sums(o, p, alerts)
		c.asked(ctx, o, p)
		c.history(ctx, p, told[p.ID])
		c.reread(ctx, p)
		c.rare(p)
	}
	for _, o := range c.t.shop.orders {
		if o.id != "" && !seen[o.id] {
			c.t.fail("I4 payment %s was answered and is gone", o.id)
		}
	}
	for id := range c.ledger {
		if !seen[id] {
			c.t.fail("I16 money moved for %q, which is not on record", id)
		}
	}
	for _, id := range c.acks {
		if _, err := c.t.insts[0].inbox.Get(ctx, id); err != nil {
			c.t.fail("I4 webhook %s was answered 200 and is gone: %v", id, err)
		}
	}
	c.strays(ctx)
	lost, err := store.NewRuns(c.t.engine).InState(ctx, reconcile.RunLost, c.t.now, 100)
	if err != nil {
		c.t.fail("runs can't be read: %v", err)
	}
	c.t.counts["run_lost"] += len(lost)
}

// sums: I2, I3, I7.
func (c *checker) sums(o *order, p *payment.Payment, alerts map[string][]string) {
	b, a, s := c.book(p.ID), p.Amounts(), p.Status()
	if a.Captured != b.captured || a.Refunded != b.refunded-b.failed || a.Disputed != b.disputed-b.won {
		c.t.fail("I3 %s (%s): captured %d refunded %d disputed %d, the provider says %d %d %d", p.ID, s,
			a.Captured, a.Refunded, a.Disputed, b.captured, b.refunded-b.failed, b.disputed-b.won)
	}
	paid := s == payment.StatusSucceeded
	if paid != (b.captured > 0) && !(o.resolved > 0 && s == payment.StatusCanceled) {
		c.t.fail("I2 %s is %s, the provider took %d", p.ID, s, b.captured)
	}
	odd := o.in.Capture == "" && paid && b.captured != o.in.Amount
	if odd && (!o.accepted && o.resolved == 0 || !slices.Contains(alerts[p.ID], "conflicted_payment")) {
		c.t.fail("I7 %s: asked %d, taken %d, and nobody was told", p.ID, o.in.Amount, b.captured)
	}
	if b.captures > 1 && !slices.Contains(alerts[p.ID], "conflicted_payment") {
		c.t.fail("I1 %s was charged %d times, and nobody was told", p.ID, b.captures)
	}
}

// asked: I1 and I5 for refunds and captures: each took effect at most once, and
// what was refused did not happen.
func (c *checker) asked(ctx context.Context, o *order, p *payment.Payment) {
	b := c.book(p.ID)
	refunds, captures := o.outside+o.resolved, 0
	for _, a := range o.asks {
		if a.kind == "capture" && a.refused == "" {
			captures++
		}
		if a.kind != "refund" {
			continue
		}
		if a.refused == "" {
			refunds++
			continue
		}
		_, r, err := c.service().GetRefund(ctx, caller(), a.refund)
		if err == nil && r.State == payment.RefundSucceeded {
			c.t.fail("I5 refund %s was refused (%s) and took effect", a.refund, a.refused)
		}
	}
	if b.refunds > refunds {
		c.t.fail("I1 %s: %d refunds, asked for were %d", p.ID, b.refunds, refunds)
	}
	if o.in.Capture == "manual" && b.captures > captures && !c.wrongMoney() {
		c.t.fail("I5 %s: %d captures, asked for and not refused were %d", p.ID, b.captures, captures)
	}
}

// alerts are the kinds of alert by payment. A dead or parked event has one too.
func (c *checker) alerts(ctx context.Context) map[string][]string {
	out := map[string][]string{}
	list := store.NewAlerts(c.t.engine)
	for after := ""; ; {
		page, next, err := list.List(ctx, store.AlertFilter{Limit: 100, After: after})
		if err != nil {
			c.t.fail("alerts can't be read: %v", err)
			return out
		}
		for _, a := range page {
			out[a.Payment] = append(out[a.Payment], a.Kind)
			c.t.count("alert_" + a.Kind)
		}
		if after = next; after == "" {
			return out
		}
	}
}
