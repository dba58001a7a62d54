package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// history: I8, it explains every status; I9, each change of status stands in the
// feed once and in order.
func (c *checker) history(ctx context.Context, p *payment.Payment, told []string) {
	_, entries, err := c.service().History(ctx, caller(), p.ID)
	if err != nil || len(entries) == 0 {
		c.t.fail("I8 %s has no history: %v", p.ID, err)
		return
	}
	var want []string
	for i, h := range entries {
		if i > 0 && entries[i-1].After.Status != h.Before.Status {
			c.t.fail("I8 %s: history jumps from %s to %s", p.ID, entries[i-1].After.Status, h.Before.Status)
		}
		if i > 0 && !payment.MayFollow(h.Before.Status, h.After.Status) {
			c.t.fail("I3 %s went from %s to %s", p.ID, h.Before.Status, h.After.Status)
		}
		if h.Source.Actor.Type == "" || h.Source.Layer == "" {
			c.t.fail("I8 %s: nobody is named for version %d", p.ID, h.Version)
		}
		if i == 0 && h.After.Status != payment.StatusProcessing || i > 0 && h.Before.Status != h.After.Status {
			want = append(want, "payment."+string(h.After.Status))
		}
	}
	if last := entries[len(entries)-1].After; last.Status != p.Status() {
		c.t.fail("I8 %s: history ends with %s, it is %s", p.ID, last.Status, p.Status())
	}
	if fmt.Sprint(want) != fmt.Sprint(told) {
		c.t.fail("I9 %s: the feed tells %v, history %v", p.ID, told, want)
	}
}

// reread: I3 and I6, reading everything once more brings nothing new.
func (c *checker) reread(ctx context.Context, p *payment.Payment) {
	again, err := c.service().Sync(ctx, caller(), p.ID)
	if err != nil {
		c.t.fail("I3 %s can't be read: %v", p.ID, err)
		return
	}
	if fmt.Sprint(again.Snapshot()) != fmt.Sprint(p.Snapshot()) {
		c.t.fail("I3 %s: read once more it is %v, on record was %v", p.ID, again.Snapshot(), p.Snapshot())
	}
}

// feed: I9, no gap, no repetition, nothing that changes; the status events of
// each payment.
func (c *checker) feed(ctx context.Context) map[string][]string {
	told := map[string][]string{}
	ids := map[string]bool{}
	reader := outbox.NewReader(store.NewFeed(c.t.engine))
	n, after := int64(0), ""
	for {
		events, next, err := reader.Read(ctx, appName, payment.ModeTest, after, outbox.MaxRead)
		if err != nil {
			c.t.fail("I9 the feed can't be read: %v", err)
			return told
		}
		for _, e := range events {
			n++
			if e.Sequence != n || ids[e.ID] {
				c.t.fail("I9 event %s stands at %d, expected %d; twice %v", e.ID, e.Sequence, n, ids[e.ID])
			}
			ids[e.ID] = true
			if kind, what, _ := strings.Cut(e.Type, "."); kind == "payment" && what != "captured" {
				told[e.Payment] = append(told[e.Payment], e.Type)
			}
		}
		if after = next; len(events) == 0 {
			return told
		}
	}
}

// strays: all money here is ours, so nobody may be told that some is not, and no
// difference may be left.
func (c *checker) strays(ctx context.Context) {
	orphans, _, err := store.NewOrphans(c.t.engine).List(ctx, "", 100, "")
	if err != nil || len(orphans) > 0 {
		c.t.fail("I16 %d orphans, the first %+v: %v", len(orphans), orphans[:min(1, len(orphans))], err)
	}
	found, _, err := store.NewDiscrepancies(c.t.engine).List(ctx, store.DiscrepancyFilter{Limit: 100})
	if err != nil || len(found) > 0 {
		c.t.fail("I3 %d discrepancies, the first %+v: %v", len(found), found[:min(1, len(found))], err)
	}
}
