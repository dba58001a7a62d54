package house

import (
	"context"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/httpapi"
	"github.com/trifecta-pay/trifecta/store"
)

// alertDesk lets the API read and change alerts: an app sees those of its own
// payments, an operator all of them.
type alertDesk struct{ alerts *store.Alerts }

func (d alertDesk) ListAlerts(ctx context.Context, c gateway.Caller, f httpapi.AlertFilter) ([]gateway.AlertRecord, string, error) {
	filter := store.AlertFilter{Payment: f.Payment, State: f.State, Limit: f.Limit, After: f.After}
	if !c.Operator {
		filter.App, filter.Mode = c.App, c.Mode
	}
	return d.alerts.List(ctx, filter)
}

func (d alertDesk) ChangeAlert(ctx context.Context, c gateway.Caller, id string, change httpapi.AlertChange) (gateway.AlertRecord, error) {
	a, err := d.alerts.Get(ctx, id)
	if err != nil {
		return gateway.AlertRecord{}, err
	}
	if !c.Operator && (a.App != c.App || a.Mode != c.Mode) {
		return gateway.AlertRecord{}, gateway.ErrNotFound
	}
	err = d.alerts.Change(ctx, id, func(old gateway.AlertRecord) (gateway.AlertRecord, error) {
		old.State, old.SnoozedUntil = change.State, change.Until
		a = old
		return old, nil
	})
	return a, err
}
