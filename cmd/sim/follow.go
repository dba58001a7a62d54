package main

import (
	"bytes"
	"context"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// follower is an app that reads its feed all along, each time from where it was.
type follower struct {
	heard  []outbox.Event
	cursor string
	due    time.Time
}

// often is how an app reads that follows: a third of the seeds has such apps, and in
// the others they read in the end only, as reading takes its time.
const often = 2 * time.Hour

// follow lets an app read on, if it is time.
func (c *checker) follow(app string) {
	if f := c.follower(app); c.t.plan.patient && !c.t.now.Before(f.due) {
		f.due = c.t.now.Add(often)
		if len(f.heard) > 0 {
			c.t.count("feed_followed")
		}
		c.read(app, f)
	}
}

func (c *checker) follower(app string) *follower {
	if c.following[app] == nil {
		c.following[app] = &follower{}
	}
	return c.following[app]
}

func (c *checker) read(app string, f *follower) {
	reader := outbox.NewReader(store.NewFeed(c.t.engine))
	for {
		events, next, err := reader.Read(context.Background(), app, payment.ModeTest, f.cursor, 100)
		if err != nil {
			c.t.fail("I9 %s can't read on after %q: %v", app, f.cursor, err)
			return
		}
		f.heard, f.cursor = append(f.heard, events...), next
		if len(events) == 0 {
			return
		}
	}
}

// followed: I9, who read the feed as it grew heard what it tells in the end: nothing
// came behind a reader, and nothing that was told has changed.
func (c *checker) followed(app string) {
	var whole follower
	c.read(app, &whole)
	f := c.follower(app)
	c.read(app, f)
	if len(f.heard) != len(whole.heard) {
		c.t.fail("I9 %s heard %d events while it followed its feed, which has %d", app, len(f.heard), len(whole.heard))
		return
	}
	for i, e := range whole.heard {
		h := f.heard[i]
		if h.ID != e.ID || h.Type != e.Type || h.Sequence != e.Sequence || !h.CreatedAt.Equal(e.CreatedAt) || !bytes.Equal(h.Object, e.Object) {
			c.t.fail("I9 %s heard while it followed its feed %s %s at %d, which is %s %s now", app, h.Type, h.ID, h.Sequence, e.Type, e.ID)
			return
		}
	}
}

// posted counts what became of webhooks.
func (c *checker) posted(api string) {
	emitted, twice, newest := map[string]time.Time{}, map[string]bool{}, time.Time{}
	for _, e := range c.t.world.Events(api) {
		emitted[e.ID] = e.At
	}
	deliveries := c.t.world.Deliveries(api)
	first := func(d sandbox.Delivery) time.Time {
		if len(d.Attempts) == 0 {
			return time.Time{}
		}
		return d.Attempts[0].At
	}
	for _, d := range deliveries {
		at := first(d)
		switch {
		case d.Dropped:
			c.t.count("webhook_lost")
		case twice[d.Event]:
			c.t.count("webhook_doubled")
		case at.IsZero():
		case at.Before(newest):
			c.t.count("webhook_overtaken")
		}
		if !at.IsZero() && at.Sub(emitted[d.Event]) > time.Hour {
			c.t.count("webhook_late")
		}
		twice[d.Event] = true
		if at.After(newest) {
			newest = at
		}
	}
}
