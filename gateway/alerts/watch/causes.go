package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// maxPages bounds how many pages of alerts one step looks through, in each state.
const maxPages = 20

// causes ends alerts whose cause is gone, as their subjects stand now.
func (w *Watch) causes(ctx context.Context, now time.Time) (int, error) {
	did := 0
	var errs []error
	for _, state := range []string{"open", "acked", "snoozed"} {
		after := ""
		for range maxPages {
			found, next, err := w.o.Alerts(ctx, state, after)
			if err != nil {
				errs = append(errs, fmt.Errorf("read alerts: %w", err))
				break
			}
			for _, a := range found {
				gone, err := w.gone(ctx, a)
				if err == nil && gone {
					did++
					err = w.o.Notify.Clear(ctx, a.ID, now)
				}
				if err != nil {
					errs = append(errs, fmt.Errorf("alert %s: %w", a.ID, err))
				}
			}
			if after = next; next == "" {
				break
			}
		}
	}
	return did, errors.Join(errs...)
}

// gone says whether what an alert is about has ended.
func (w *Watch) gone(ctx context.Context, a gateway.AlertRecord) (bool, error) {
	switch a.Kind {
	case "sweep_failing":
		_, good, err := w.o.LastSweep(ctx, a.Account)
		return err == nil && good.After(a.LastSeen), err
	case "webhook_forged":
		return w.o.Clock().Sub(a.LastSeen) > forgedWithin+raiseEvery, nil
	case "webhook_dead", "webhook_parked":
		waiting, err := w.o.Waiting(ctx, a.Account, strings.TrimPrefix(a.Kind, "webhook_"))
		return err == nil && !waiting, err
	case "conflicted_payment", "operation_stuck", "dispute_opened", "dispute_due":
	case "refund_failed": // the critical one is about money that an operator ordered to be given back
		if a.Severity != "critical" {
			return false, nil
		}
	default:
		return false, nil
	}
	p, err := w.o.Payment(ctx, a.Payment)
	if errors.Is(err, gateway.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	switch a.Kind {
	case "conflicted_payment":
		return p.Status() != payment.StatusConflicted, nil
	case "operation_stuck":
		return p.Unfinished(0) == nil, nil
	case "refund_failed":
		return !p.Owes(), nil
	}
	// A dispute whose record is not there (yet) is not over.
	i := slices.IndexFunc(p.Facts.Disputes, func(d payment.Dispute) bool { return payment.DisputeID(d.Key) == a.Dispute })
	if i < 0 {
		return false, nil
	}
	switch d := p.Facts.Disputes[i]; d.Status {
	case payment.DisputeWon, payment.DisputeLost, payment.DisputeClosed:
		return true, nil
	case payment.DisputeUnderReview:
		return a.Kind == "dispute_due", nil
	default:
		return false, nil
	}
}
