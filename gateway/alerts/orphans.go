package alerts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

const (
	// orphanAfter is how long a message waits in the box of a channel that is not
	// configured here: while a new configuration is rolled out, a process with the old one
	// may still send it.
	orphanAfter = 5 * time.Minute
	orphanLook  = time.Minute // how often to look for such boxes
)

// inherit hands what waits in the boxes of channels that are configured no more to those
// that are told of such alerts now: a channel that is replaced takes nothing along.
func (d *Dispatcher) inherit(ctx context.Context, now time.Time) (did int, err error) {
	if now.Before(d.looked.Add(orphanLook)) {
		return 0, nil
	}
	d.looked = now
	boxes, err := d.o.Store.Boxes(ctx)
	errs := []error{err}
	for _, b := range boxes {
		if slices.Contains(d.names, b.Channel) {
			continue
		}
		n, err := d.disown(ctx, b, now)
		if did += n; err != nil {
			errs = append(errs, fmt.Errorf("alerts: hand on what waits for %s, which is configured no more: %w", b.Channel, err))
		}
	}
	return did, errors.Join(errs...)
}

// disown empties one such box. The heirs get it first, and know what they have: after a
// crash in between it is given to them again.
func (d *Dispatcher) disown(ctx context.Context, b Box, now time.Time) (int, error) {
	if changed, items := b.orphans(now); !changed && len(items) == 0 {
		return 0, nil
	}
	from := b.Channel
	var items []Item
	err := d.o.Store.ChangeBox(ctx, from, func(b *Box) (changed bool) {
		changed, items = b.orphans(now)
		return changed
	})
	if err != nil {
		return 0, err
	}
	shares, heirless := d.o.Rules.shares(items)
	var ids []string
	for _, it := range items {
		if !slices.Contains(heirless, it.ID) {
			ids = append(ids, it.ID)
		}
	}
	if len(heirless) > 0 && !d.heirless[from] {
		d.heirless[from] = true
		d.o.Logger.ErrorContext(ctx, "alerts wait for a channel that is configured no more, and no route names who else is to be told: see GET /v1/alerts", "channel", from, "messages", len(heirless))
	}
	if len(ids) == 0 {
		return 0, nil
	}
	for _, heir := range d.names {
		if len(shares[heir]) == 0 {
			continue
		}
		err := d.o.Store.ChangeBox(ctx, heir, func(b *Box) bool {
			for _, s := range shares[heir] {
				b.inherit(from, s, d.o.Rules, now)
			}
			return true
		})
		if err != nil {
			return 0, fmt.Errorf("to %s: %w", heir, err)
		}
	}
	err = d.o.Store.ChangeBox(ctx, from, func(b *Box) bool {
		b.Items = slices.DeleteFunc(b.Items, func(it Item) bool { return slices.Contains(ids, it.ID) })
		return true
	})
	if err != nil {
		return 0, err
	}
	d.o.Logger.WarnContext(ctx, "an alert channel is configured no more, others get what waited for it", "channel", from, "messages", len(ids))
	return len(ids), nil
}

// orphans are what has waited in a box that nobody here serves, and that nobody else has.
// A due digest becomes a message, so that it has an id; changed says so.
func (b *Box) orphans(now time.Time) (changed bool, items []Item) {
	if b.Owner != "" && now.Before(b.Until) { // a process that still has the channel is sending
		return false, nil
	}
	if b.digestDue(now.Add(-orphanAfter)) {
		b.close(now, false)
		b.Items[len(b.Items)-1].At = now.Add(-orphanAfter)
		changed = true
	}
	for _, it := range b.Items {
		if !it.HandedOver && !now.Before(it.At.Add(orphanAfter)) {
			items = append(items, it)
		}
	}
	return changed, items
}

// share is what one heir gets of a message: of a digest the kinds that it is told of.
type share struct {
	Item

	failover []string
}

// shares divides messages among the channels that are told of such alerts now. heirless are
// the ids of those that no channel is.
func (r Rules) shares(items []Item) (of map[string][]share, heirless []string) {
	of = map[string][]share{}
	for _, it := range items {
		mine := map[string]share{}
		add := func(h Notice, t Tally) {
			s, ok := mine[h.Channel]
			if !ok {
				s = share{Item: it, failover: h.Failover}
				if it.Digest != nil {
					s.Digest = &Digest{Since: it.Digest.Since, DueAt: it.Digest.DueAt, Failover: h.Failover}
				}
			}
			if it.Digest != nil {
				s.Digest.add(t)
			}
			mine[h.Channel] = s
		}
		parts := []Tally{{Kind: it.Kind, Severity: it.Severity}}
		if it.Digest != nil {
			parts = it.Digest.Tallies
		}
		var nobodys []Tally
		for _, t := range parts {
			heirs := r.heirs(t.Kind, t.Severity, it.Reason)
			for _, h := range heirs {
				add(h, t)
			}
			if len(heirs) == 0 {
				nobodys = append(nobodys, t)
			}
		}
		if len(mine) == 0 {
			heirless = append(heirless, it.ID)
			continue
		}
		for channel, s := range mine {
			for _, t := range nobodys { // of a digest that somebody gets anyhow
				add(Notice{Channel: channel}, t)
			}
			of[channel] = append(of[channel], s)
		}
	}
	return of, heirless
}

// heirs are the channels that are told of such alerts now: by a route or else by an
// escalation. What nobody has seen to is the other way round: those of the routes were told
// of it long ago.
func (r Rules) heirs(kind, severity, reason string) []Notice {
	a := gateway.AlertRecord{Kind: kind, Severity: severity}
	if kind == otherKinds {
		r.Routes = slices.Clone(r.Routes)
		for i := range r.Routes {
			r.Routes[i].Kinds = nil // it may be any
		}
	}
	routed, escalated := r.targets(a), r.escalated(severity)
	if len(routed) == 0 || reason == ReasonEscalated && len(escalated) > 0 {
		return escalated
	}
	return routed
}

// escalated are the channels of all escalations of such alerts, each once.
func (r Rules) escalated(severity string) (out []Notice) {
	for _, e := range r.Escalations {
		if rank(severity) < rankOr0(e.MinSeverity) {
			continue
		}
		for _, channel := range e.Channels {
			if !slices.ContainsFunc(out, func(n Notice) bool { return n.Channel == channel }) {
				out = append(out, Notice{Channel: channel})
			}
		}
	}
	return out
}

// inherit takes a message that waited for a channel which is configured no more. Its id says
// from where it came, so that what comes back after a change was taken back is not taken
// for what went.
func (b *Box) inherit(from string, s share, r Rules, now time.Time) {
	id := payment.DeriveID("ntc", s.ID, "inherited", from, b.Channel)
	reason := ReasonFailover
	if s.Reason == ReasonEscalated { // it stays one, for whoever reads it and should it be handed on again
		reason = s.Reason
	}
	if len(s.Done) > 0 && !b.crowded(1, len(s.Done)) {
		b.inheritPart(id, reason, s)
		return
	}
	if s.Digest != nil {
		b.TakeDigest(id, *s.Digest, r, now)
		return
	}
	b.Take(Notice{ID: id, Alert: s.Alert, Kind: s.Kind, Severity: s.Severity, Reason: reason, Channel: b.Channel, Failover: s.failover, At: s.At}, r, now)
}

// inheritPart takes a message that some people have, as a message of its own with their marks:
// those of them who are told by this channel too are not told again. In a digest with others
// the marks would be lost.
func (b *Box) inheritPart(id, reason string, s share) {
	if slices.Contains(b.Recent, id) {
		return
	}
	b.remember(id)
	it := Item{ID: id, Alert: s.Alert, Kind: s.Kind, Severity: s.Severity, Reason: reason, At: s.At, Failover: slices.Clone(s.failover), Digest: s.Digest, Done: slices.Clone(s.Done)}
	if s.Digest != nil {
		it.Severity, it.Reason = s.Digest.severity(), s.Reason
	}
	b.Items = append(b.Items, it)
}
