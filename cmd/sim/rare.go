package main

import (
	"slices"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// raced counts webhooks that overtook something of ours.
func (c *checker) raced() {
	if c.t.depth == 0 {
		return
	}
	c.t.count("webhook_inside_call")
	switch what := c.t.inside; {
	case strings.HasPrefix(what, "write payment."):
		c.t.count("webhook_before_own_write")
	case strings.Contains(what, " POST ") && strings.Contains(what, "refund"):
		c.t.count("webhook_raced_refund")
	case strings.Contains(what, " POST "):
		c.t.count("webhook_raced_call")
	}
}

// rare counts what the seeds must bring about.
func (c *checker) rare(p *payment.Payment) {
	c.t.count("status_" + string(p.Status()))
	if p.SettledBy != "" {
		c.t.count("settled_by_" + string(p.SettledBy))
	}
	// A layer that is said to be off must not have helped: the mode would prove nothing.
	if slices.Contains(map[string][]string{
		modeWebhook: {"reconcile", "return"}, modeReconcile: {"webhook", "return"},
	}[c.t.plan.mode], string(p.SettledBy)) {
		c.t.fail("%s was settled by %s, in a world without it", p.ID, p.SettledBy)
	}
	for _, op := range p.Operations {
		switch {
		case op.MustLookUp:
			c.t.count("stored_500_looked_up")
		case op.Failure.Code == "creation_given_up", !op.FirstTriedAt.IsZero() && op.DoneAt.Sub(op.FirstTriedAt) > keyLife(p, op):
			c.t.count("key_expired")
		}
		if op.Generation > op.Run {
			c.t.count("key_renewed")
		}
		if op.Tries > 1 {
			c.t.count("operation_repeated")
		}
	}
	if len(p.Facts.Opened) > 1 {
		c.t.count("second_attempt")
	}
	for _, d := range p.Facts.Decisions {
		if d.Kind == payment.DecisionReturnedUnread {
			c.t.count("returned_unread")
		}
	}
}

// keyLife is how long a provider remembers the key of an operation, as they say
// themselves: 24 hours at one, 6 hours or 45 days at the other.
func keyLife(p *payment.Payment, op payment.Operation) time.Duration {
	for _, a := range p.Facts.Opened {
		if a.N != op.N || a.Account != paypalName {
			continue
		}
		if op.Kind == payment.OpRefund {
			return 45 * 24 * time.Hour
		}
		return 6 * time.Hour
	}
	return 24 * time.Hour
}
