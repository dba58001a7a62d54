package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/webhooks/inbox"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// Write points of retention.
const (
	PointPruneInbox  WritePoint = "retention.inbox"
	PointPruneAlerts WritePoint = "retention.alerts"
	PointPruneFeed   WritePoint = "retention.feed"
)

// Retention drops what has been kept long enough. Each method is one bounded step that may be repeated; none touches
// a payment, its history, or anything that somebody still has to work on.
type Retention struct{ e Engine }

// NewRetention drops old records of an engine.
func NewRetention(e Engine) *Retention { return &Retention{e: e} }

// drop deletes a document unless it was changed meanwhile.
func (r *Retention) drop(ctx context.Context, p WritePoint, coll string, d Doc) (int, error) {
	err := r.e.Delete(WithPoint(ctx, p), coll, d.ID, d.Version)
	if errors.Is(err, ErrConflict) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// prunePages bounds how many pages of old webhooks one step looks at, for those that may go behind those that stay.
const prunePages = 50

// Inbox drops up to limit webhooks that were finished and received before a time, the oldest first. Parked and dead
// ones stay: nobody has acted on them. One that still has its body waits until that is gone. A webhook that the provider
// sends once more afterwards is worked on as new, which is harmless: an event is a hint.
func (r *Retention) Inbox(ctx context.Context, before time.Time, limit int) (n int, err error) {
	q := Query{
		Index: "by_state", SortBy: "received", Limit: limit,
		Where: []Filter{Where("state", In, string(inbox.Done), string(inbox.Irrelevant)), Where("received", Lt, before)},
	}
	for range prunePages {
		docs, next, err := r.e.Query(ctx, inboxName, q)
		if err != nil {
			return n, err
		}
		for _, d := range docs {
			rec, err := inboxOf(d)
			if err != nil || len(rec.Body) > 0 || !rec.Event.DueAt.IsZero() {
				continue // stays, and is met again
			}
			did, err := r.drop(ctx, PointPruneInbox, inboxName, d)
			if n += did; err != nil || n >= limit {
				return n, err
			}
		}
		if q.After = next; next == "" {
			break
		}
	}
	return n, nil
}

// Alerts drops up to limit alerts that are resolved and were seen and resolved before a time, the oldest first.
func (r *Retention) Alerts(ctx context.Context, before time.Time, limit int) (n int, err error) {
	docs, _, err := r.e.Query(ctx, alertsName, Query{
		Index: "by_state", SortBy: "last_seen", Limit: limit,
		Where: []Filter{Where("scope", Eq, "all"), Where("state", Eq, "resolved"), Where("last_seen", Lt, before)},
	})
	if err != nil {
		return 0, err
	}
	for _, d := range docs {
		a, err := alertOf(d)
		if err != nil || a.State != "resolved" || !a.ResolvedAt.Before(before) {
			continue
		}
		did, err := r.drop(ctx, PointPruneAlerts, alertsName, d)
		if n += did; err != nil {
			return n, err
		}
	}
	return n, nil
}

// feedRounds bounds how many pages of old feed pages one step looks at.
const feedRounds = 200

// Feed drops up to limit pages of feeds whose last event happened before a time. A feed loses its pages from the front
// only, and never its last one, on which the numbering goes on. A page with an event that is not certainly taken out of
// its payment is never dropped.
func (r *Retention) Feed(ctx context.Context, before time.Time, limit int) (n int, err error) {
	q := Query{Index: "by_end", Where: []Filter{Where("ended", Lt, before)}, SortBy: "ended", Limit: atOnce(feedName, limit)}
	for range feedRounds {
		docs, next, err := r.e.Query(ctx, feedName, q)
		if err != nil {
			return n, err
		}
		for _, d := range docs {
			page, err := feedOf(d)
			if err != nil {
				continue // stays, and is met again
			}
			may, err := r.mayDrop(ctx, page)
			if err != nil {
				return n, err
			}
			if !may {
				continue
			}
			did, err := r.drop(ctx, PointPruneFeed, feedName, d)
			if n += did; err != nil || n >= limit {
				return n, err
			}
		}
		if q.After = next; next == "" {
			break
		}
	}
	return n, nil
}

func (r *Retention) mayDrop(ctx context.Context, page outbox.Page) (bool, error) {
	there := func(n int64) (bool, error) {
		_, err := r.e.Get(ctx, feedName, feedID(page.App, page.Mode, n))
		if errors.Is(err, ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	}
	earlier, err := there(page.N - 1)
	if err != nil || earlier {
		return false, err
	}
	later, err := there(page.N + 1)
	if err != nil || !later || !page.Closed {
		return false, err
	}
	for _, u := range page.Unmarked {
		d, err := r.e.Get(ctx, paymentsName, u.Payment)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("store: payment %s of an old page: %w", u.Payment, err)
		}
		p, err := paymentOf(d)
		if err != nil {
			return false, nil //nolint:nilerr // nobody knows whether its events are marked
		}
		for _, e := range p.Outbox {
			if slices.Contains(u.Events, e.ID) {
				return false, nil
			}
		}
	}
	return true, nil
}
