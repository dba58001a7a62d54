package house

import (
	"context"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/store"
)

// Bounds of one visit of the janitor: it comes back every minute.
const (
	dropAtOnce = 200
	dropRounds = 10
)

// keepers wires what looks after records: sealing them anew, and erasing customers.
func (h *House) keepers(o Options) (err error) {
	h.Resealer, h.Erasures = store.NewResealer(h.engine, o.Clock), store.NewErasures(h.engine)
	if h.Eraser, err = store.NewEraser(h.engine, h.Service, o.Clock); err != nil {
		return fmt.Errorf("wire erasing: %w", err)
	}
	h.workers = append(h.workers, Worker{Name: "seal", Step: h.Resealer.Step}, Worker{Name: "erase", Step: h.Eraser.Step})
	return nil
}

// janitors drop what has been kept long enough.
func (h *House) janitors(o Options) []func(context.Context) (int, error) {
	keep, clock, old := o.Config.Retention.WithDefaults(), o.Clock, store.NewRetention(h.engine)
	drop := func(days int, fn func(context.Context, time.Time, int) (int, error)) func(context.Context) (int, error) {
		return func(ctx context.Context) (total int, err error) {
			before := clock().Add(-config.Days(days))
			for range dropRounds {
				n, err := fn(ctx, before, dropAtOnce)
				total += n
				if err != nil || n < dropAtOnce {
					return total, err
				}
			}
			return total, nil
		}
	}
	return []func(context.Context) (int, error){
		func(ctx context.Context) (int, error) {
			return h.Inbox.Prune(ctx, clock().Add(-config.Days(keep.InboxBodies)))
		},
		drop(keep.Inbox, old.Inbox),
		drop(keep.AlertsResolved, old.Alerts),
		drop(keep.Feed, old.Feed),
	}
}
