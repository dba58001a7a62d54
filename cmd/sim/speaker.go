package main

import (
	"context"
	"errors"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/store"
)

// speaker is one channel by which admins hear of alerts: it may be away for a day,
// refuse, or take a message and not say so.
type speaker struct {
	i    *instance
	gen  int
	name string
}

// The channels: what mail can't bring, chat does.
const (
	mailChannel = "mail"
	chatChannel = "chat"
)

// Send implements alerts.Channel.
func (s speaker) Send(_ context.Context, m alerts.Message) error {
	t := s.i.t
	if s.i.gone(s.gen) {
		panic(crash{s.i})
	}
	t.pass(50 * time.Millisecond)
	for _, w := range t.plan.mute {
		if !t.healed && w.holds(t.age()) && (s.name == mailChannel || t.plan.muteAll) {
			t.count("channel_down")
			return errors.New("sim: nobody answers")
		}
	}
	if s.name == chatChannel && m.Reason == alerts.ReasonFailover {
		t.count("channel_failover")
	}
	t.check.heard(s.name, m)
	if hits(t.chance, t.rate(faultAnswer)) {
		t.count("message_answer_lost")
		return errCut
	}
	return nil
}

// dispatcher makes the workers that tell admins.
func (i *instance) dispatcher(kept *store.Alerts) error {
	t := i.t
	d, err := alerts.New(alerts.Options{
		Store: kept, Clock: i.clock, Owner: t.token(), PublicURL: publicURL, Logger: t.log,
		Channels: map[string]alerts.Channel{mailChannel: speaker{i, i.gen, mailChannel}, chatChannel: speaker{i, i.gen, chatChannel}},
		Rules:    alerts.Rules{Routes: []alerts.Route{{MinSeverity: alerts.Warning, Channels: []string{mailChannel}, Failover: []string{chatChannel}}}},
	})
	if err != nil {
		return err
	}
	for _, s := range d.Steps() {
		i.workers = append(i.workers, &worker{name: s.Name, step: s.Run, least: 20 * time.Second})
	}
	return nil
}

// told: I13, every alert that somebody must hear of was heard of, by itself or
// counted in a digest, and no message came twice unless its answer was lost.
func (c *checker) told(ctx context.Context) {
	kept := store.NewAlerts(c.t.engine)
	counted := int64(0)
	for after := ""; ; {
		page, next, err := kept.List(ctx, store.AlertFilter{Limit: 100, After: after})
		if err != nil {
			c.t.fail("alerts can't be read: %v", err)
			return
		}
		for _, a := range page {
			c.t.count("alert_" + a.Kind)
			known := a.Severity == alerts.Info || a.ResolvedBy == "gone" && len(a.Told) == 0 // it was over before anybody could hear
			for _, n := range a.Told {
				known = known || c.messages[n.ID] > 0
			}
			// What failed by mail went out by chat, under an id of its own.
			known = known || c.kinds[a.Kind+" "+a.Payment] > 0
			if !known && len(a.Told) > 0 {
				counted++ // only a digest can have told it
			} else if !known {
				c.t.fail("I13 alert %s (%s %s, %s) was never told", a.ID, a.Severity, a.Kind, a.Payment)
			}
		}
		if after = next; after == "" {
			break
		}
	}
	if counted > c.digests {
		c.t.fail("I13 %d alerts were never heard of by themselves, digests count %d", counted, c.digests)
	}
	lossy := c.t.plan.has(faultAnswer) || c.t.plan.has(faultCrash) || c.t.plan.has(faultAck) || c.t.plan.has(faultAsleep) ||
		c.t.plan.has(faultStore) || c.t.plan.has(faultFailover) || c.t.plan.has(faultConflict) || c.t.script != nil
	for id, n := range c.messages {
		if n > 1 && !lossy {
			c.t.fail("I13 message %s came %d times", id, n)
		}
	}
}

// heard is an admin reading a message.
func (c *checker) heard(channel string, m alerts.Message) {
	c.t.trace("admins hear by %s of %s %s (%s)", channel, m.Severity, m.Kind, m.Reason)
	if c.messages[m.ID]++; m.Reason == "digest" && c.messages[m.ID] == 1 {
		c.digests += m.More
		c.t.count("digest")
	}
	for _, f := range m.Facts {
		if f.Name == "Payment" {
			c.kinds[m.Kind+" "+f.Value]++
		}
	}
}

// untold says what waits to be told.
func (c *checker) untold(ctx context.Context) (out []string) {
	kept := store.NewAlerts(c.t.engine)
	for _, name := range []string{mailChannel, chatChannel} {
		b, err := kept.Box(ctx, name)
		if err != nil || len(b.Items) > 0 || len(b.Digest.Tallies) > 0 {
			out = append(out, "alerts wait for "+name)
		}
	}
	return out
}
