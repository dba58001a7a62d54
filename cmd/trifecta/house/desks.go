package house

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/httpapi"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// alertDesk lets the API read and change alerts: an app sees those of its own
// payments, an operator all of them.
type alertDesk struct {
	alerts *store.Alerts
	clock  func() time.Time
}

func (d alertDesk) ListAlerts(ctx context.Context, c gateway.Caller, f httpapi.AlertFilter) ([]gateway.AlertRecord, string, error) {
	filter := store.AlertFilter{Payment: f.Payment, State: f.State, Limit: f.Limit, After: f.After}
	if !c.Operator {
		filter.App, filter.Mode = c.App, c.Mode
	}
	return d.alerts.List(ctx, filter)
}

func (d alertDesk) ChangeAlert(ctx context.Context, c gateway.Caller, id string, change httpapi.AlertChange) (a gateway.AlertRecord, replayed bool, err error) {
	a, err = d.alerts.Get(ctx, id)
	if err != nil {
		return gateway.AlertRecord{}, false, err
	}
	if !c.Operator && (a.App != c.App || a.Mode != c.Mode) {
		return gateway.AlertRecord{}, false, gateway.ErrNotFound
	}
	err = d.alerts.Change(ctx, id, func(old gateway.AlertRecord) (gateway.AlertRecord, error) {
		a = old
		first, err := old.Take(change.Request)
		if replayed = !first; err != nil || replayed {
			return old, cmp.Or(err, store.ErrUnchanged)
		}
		if a.State == "resolved" && change.State != "resolved" {
			return a, over(a)
		}
		old.State, old.SnoozedUntil = change.State, change.Until
		old.ResolvedBy, old.ResolvedAt = "", time.Time{}
		if change.State == "resolved" {
			old.ResolvedBy, old.ResolvedAt = "operator", d.clock()
		}
		a = old
		return old, nil
	})
	return a, replayed, err
}

// over refuses a word about an alert that has ended: acknowledged or put off it would
// stand there as something that somebody looks after, and the next time that it happens
// nobody would be told.
func over(a gateway.AlertRecord) error {
	how := "somebody resolved it"
	if a.ResolvedBy == "gone" {
		how = "its cause went away by itself"
	}
	return payment.NewError(payment.CodeConflict, "This alert is over: %s. Should it happen again, it is told again; nothing was changed.", how)
}

// feedDesk lets the API read an app's own feed.
type feedDesk struct{ reader *outbox.Reader }

func (d feedDesk) ListEvents(ctx context.Context, c gateway.Caller, after string, limit int) ([]httpapi.FeedEvent, string, error) {
	events, next, err := d.reader.Read(ctx, c.App, c.Mode, after, limit)
	if err != nil {
		return nil, "", err
	}
	out := make([]httpapi.FeedEvent, 0, len(events))
	for _, e := range events {
		out = append(out, httpapi.FeedEvent{ID: e.ID, Type: e.Type, At: e.CreatedAt, Sequence: e.Sequence, Object: e.Object})
	}
	return out, next, nil
}

// discrepancyDesk lets the API read differences and operators resolve them: an app sees
// those of its own payments, an operator all of them.
type discrepancyDesk struct {
	kept   *store.Discrepancies
	alerts *store.Alerts
	clock  func() time.Time
}

func (d discrepancyDesk) ListDiscrepancies(ctx context.Context, c gateway.Caller, f httpapi.DiscrepancyFilter) ([]httpapi.Discrepancy, string, error) {
	filter := store.DiscrepancyFilter{Payment: f.Payment, State: f.State, Limit: f.Limit, After: f.After}
	if !c.Operator {
		filter.App, filter.Mode = c.App, c.Mode
	}
	found, next, err := d.kept.List(ctx, filter)
	out := make([]httpapi.Discrepancy, 0, len(found))
	for _, x := range found {
		out = append(out, wireDiscrepancy(x))
	}
	return out, next, err
}

// ResolveDiscrepancy also ends the alert that told of it. Both are safe to repeat, so a
// crash between them is made good by the repetition.
func (d discrepancyDesk) ResolveDiscrepancy(ctx context.Context, c gateway.Caller, id string, r httpapi.DiscrepancyResolution) (httpapi.Discrepancy, bool, error) {
	now := d.clock()
	x, first, err := d.kept.Resolve(ctx, id, store.Resolution{By: c.Actor(), Reason: r.Reason, Request: r.Request, Fingerprint: r.Fingerprint, At: now})
	switch {
	case err != nil:
		return httpapi.Discrepancy{}, false, err
	case x.Request != r.Request:
		return httpapi.Discrepancy{}, false, payment.NewError(payment.CodeConflict, "This discrepancy was resolved already, at %s; nothing was changed.", x.Closed.UTC().Format(time.RFC3339))
	case x.Fingerprint != r.Fingerprint:
		return httpapi.Discrepancy{}, false, payment.NewError(payment.CodeIdempotencyReused, "This Idempotency-Key resolved it with another reason.")
	}
	err = d.alerts.Change(ctx, reconcile.AlertOf(id), func(a gateway.AlertRecord) (gateway.AlertRecord, error) {
		if a.State == "resolved" {
			return a, store.ErrUnchanged
		}
		a.State, a.SnoozedUntil, a.ResolvedBy, a.ResolvedAt = "resolved", time.Time{}, "operator", now
		return a, nil
	})
	if errors.Is(err, gateway.ErrNotFound) { // dropped since
		err = nil
	}
	return wireDiscrepancy(x), !first, err
}

func wireDiscrepancy(x reconcile.Discrepancy) httpapi.Discrepancy {
	return httpapi.Discrepancy{
		ID: x.ID, Kind: x.Kind, Severity: x.Severity, State: x.State, Provider: x.Provider, Account: x.Account, Mode: x.Mode,
		ObjectKind: x.Object.Kind, Object: x.Object.ID, Amount: x.Amount, Payment: x.Payment, App: x.App, Evidence: x.Evidence, Run: x.Run,
		OccurredAt: x.Occurred, SeenAt: x.SeenAt, By: x.Actor, Reason: x.Reason, ResolvedAt: x.Closed,
	}
}

// runDesk lets operators read and order reconcile runs.
type runDesk struct {
	reconciler *reconcile.Reconciler
	runs       *store.Runs
}

func (d runDesk) ListRuns(ctx context.Context, limit int, after string) ([]httpapi.Run, string, error) {
	runs, next, err := d.runs.List(ctx, store.RunFilter{Limit: limit, After: after})
	if err != nil {
		return nil, "", err
	}
	out := make([]httpapi.Run, 0, len(runs))
	for _, r := range runs {
		out = append(out, wireRun(r))
	}
	return out, next, nil
}

// refusedRun names the field for which the reconciler does not know such a run.
func refusedRun(r httpapi.RunRequest) error {
	switch from, to := !r.From.IsZero(), !r.To.IsZero(); {
	case from && !to:
		return payment.Invalid("/to", "is required with from")
	case to && !from:
		return payment.Invalid("/from", "is required with to")
	case from && reconcile.Job(r.Job) != reconcile.JobSweep:
		return payment.Invalid("/from", "is for the job sweep, as to is")
	case r.Account != "":
		return payment.Invalid("/account", "must be a configured account")
	}
	return payment.Invalid("/job", "is not one that can be run")
}

func (d runDesk) StartRun(ctx context.Context, c gateway.Caller, r httpapi.RunRequest) (run httpapi.Run, replayed bool, err error) {
	if r.Job == "audit" {
		return httpapi.Run{}, false, payment.NewError(payment.CodeUnsupported, "The audit of daily totals is not available yet; the jobs are due, sweep, janitor and all.")
	}
	known, err := d.runs.Get(ctx, r.ID)
	switch {
	case err == nil:
		replayed = true
	case !errors.Is(err, gateway.ErrNotFound) && !errors.Is(err, store.ErrNotFound):
		return httpapi.Run{}, false, fmt.Errorf("read run: %w", err)
	default:
		_, err := d.reconciler.Request(ctx, r.ID, reconcile.Job(r.Job), r.Account, r.From, r.To, c.Actor())
		if errors.Is(err, reconcile.ErrUnknownJob) {
			return httpapi.Run{}, false, refusedRun(r)
		}
		if err != nil {
			return httpapi.Run{}, false, err
		}
		if known, err = d.runs.Get(ctx, r.ID); err != nil { // what stands there, should another request with this key have been faster
			return httpapi.Run{}, false, fmt.Errorf("read run: %w", err)
		}
	}
	if known.Job != reconcile.Job(r.Job) || known.Account != r.Account || !known.From.Equal(r.From) || !known.To.Equal(r.To) {
		return httpapi.Run{}, false, payment.NewError(payment.CodeIdempotencyReused, "This Idempotency-Key ordered another run.")
	}
	return wireRun(known), replayed, nil
}

func wireRun(r reconcile.Run) httpapi.Run {
	return httpapi.Run{
		ID: r.ID, Job: string(r.Job), Account: r.Account, State: string(r.State), From: r.From, To: r.To, Calls: int64(r.Calls),
		Seen: int64(r.Seen), Changed: int64(r.Changed), Discrepancies: int64(r.Discrepancies + r.Orphans), Errors: int64(r.ErrorCount),
		StartedAt: r.StartedAt, EndedAt: r.EndedAt,
	}
}
