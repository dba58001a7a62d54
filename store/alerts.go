package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Write points of alerts.
const (
	PointAlertRaise  WritePoint = "alert.raise"
	PointAlertChange WritePoint = "alert.change"
	PointAlertClear  WritePoint = "alert.clear"
)

const alertsName = "alerts"

// AlertCollection declares the alerts: one document an incident.
func AlertCollection() Collection {
	return Collection{Name: alertsName, Indexes: []Index{
		{Name: "by_seen", Fields: []string{"scope", "last_seen"}},
		{Name: "by_state", Fields: []string{"scope", "state", "last_seen"}},
		{Name: "by_payment", Fields: []string{"payment", "last_seen"}},
		{Name: "by_tell", Fields: []string{"scope", "tell_at"}},
	}}
}

// Alerts keeps alert records over an Engine. It implements gateway.Notify.
type Alerts struct{ e Engine }

// NewAlerts keeps alerts in an engine.
func NewAlerts(e Engine) *Alerts { return &Alerts{e: e} }

type alertRecord struct {
	Schema int                 `json:"schema"`
	Alert  gateway.AlertRecord `json:"alert"`
}

// alertDoc is the stored form. All alerts stand in one list, so that operators can read across apps.
func alertDoc(a gateway.AlertRecord) (Doc, error) {
	body, err := json.Marshal(alertRecord{Schema: 1, Alert: a})
	if err != nil {
		return Doc{}, fmt.Errorf("store: encode alert %s: %w", a.ID, err)
	}
	index := map[string]any{"scope": "all", "state": a.State, "last_seen": a.LastSeen}
	if a.Payment != "" {
		index["payment"] = a.Payment
	}
	switch a.State { // nobody is told of what somebody has seen to
	case "open":
		index["tell_at"] = a.TellAt
	case "snoozed":
		index["tell_at"] = a.SnoozedUntil
	}
	return Doc{ID: a.ID, Body: body, Index: index}, nil
}

func alertOf(d Doc) (gateway.AlertRecord, error) {
	var r alertRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return gateway.AlertRecord{}, fmt.Errorf("store: alert %s can't be read: %w", d.ID, err)
	}
	if r.Schema != 1 {
		return gateway.AlertRecord{}, unreadable("alert", d, r.Schema)
	}
	return r.Alert, nil
}

// Raise stores an alert. The same incident seen again later counts up and opens
// again what was resolved; seen again at the same moment it is a repetition of
// this very call. What is new, open again or has become worse is to be told; what has
// become critical is open again, whatever was said of it while it was not.
func (s *Alerts) Raise(ctx context.Context, a gateway.AlertRecord) error {
	if a.TellAt.IsZero() {
		a.TellAt = a.LastSeen
	}
	d, err := alertDoc(a)
	if err != nil {
		return err
	}
	_, created, err := InsertOnce(WithPoint(ctx, PointAlertRaise), s.e, alertsName, d)
	if err != nil || created {
		return portError(err)
	}
	return s.Change(ctx, a.ID, func(old gateway.AlertRecord) (gateway.AlertRecord, error) {
		if !a.LastSeen.After(old.LastSeen) {
			return old, ErrUnchanged
		}
		if a.Severity == "critical" && old.Severity != "critical" {
			old.TellAt = a.LastSeen
			if old.State == "acked" || old.State == "snoozed" { // people have seen to something milder
				old.State, old.SnoozedUntil, old.ReopenedAt = "open", time.Time{}, a.LastSeen
			}
		}
		old.LastSeen, old.Message, old.Severity = a.LastSeen, a.Message, a.Severity
		old.Count++
		if old.State == "resolved" {
			old.State, old.ResolvedBy, old.ResolvedAt = "open", "", time.Time{}
			old.Reopened++
			old.ReopenedAt, old.TellAt = a.LastSeen, a.LastSeen
		}
		return old, nil
	})
}

// Clear resolves an alert whose cause is gone. See gateway.Notify.
func (s *Alerts) Clear(ctx context.Context, id string, at time.Time) error {
	_, err := Update(WithPoint(ctx, PointAlertClear), s.e, alertsName, id, func(d Doc) (Doc, error) {
		old, err := alertOf(d)
		if err != nil {
			return Doc{}, err
		}
		if old.State == "resolved" || old.LastSeen.After(at) {
			return Doc{}, ErrUnchanged
		}
		old.State, old.SnoozedUntil = "resolved", time.Time{}
		old.ResolvedBy, old.ResolvedAt = "gone", at
		return alertDoc(old)
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return portError(err)
}

// Change updates one alert by compare-and-swap; ErrUnchanged from fn writes
// nothing.
func (s *Alerts) Change(ctx context.Context, id string, fn func(gateway.AlertRecord) (gateway.AlertRecord, error)) error {
	_, err := Update(WithPoint(ctx, PointAlertChange), s.e, alertsName, id, func(d Doc) (Doc, error) {
		old, err := alertOf(d)
		if err != nil {
			return Doc{}, err
		}
		next, err := fn(old)
		if err != nil {
			return Doc{}, err
		}
		return alertDoc(next)
	})
	return portError(err)
}

// Get reads one alert.
func (s *Alerts) Get(ctx context.Context, id string) (gateway.AlertRecord, error) {
	d, err := s.e.Get(ctx, alertsName, id)
	if err != nil {
		return gateway.AlertRecord{}, portError(err)
	}
	return alertOf(d)
}

// ToTell lists alerts that somebody may have to be told of by now: open ones whose
// TellAt has come and snoozed ones whose time is over, the longest due first. One
// that can't be read is left out and told with the error.
func (s *Alerts) ToTell(ctx context.Context, now time.Time, limit int) ([]gateway.AlertRecord, error) {
	docs, _, err := s.e.Query(ctx, alertsName, Query{
		Index: "by_tell", Where: []Filter{Where("scope", Eq, "all"), Where("tell_at", Lte, now)}, SortBy: "tell_at", Limit: min(max(limit, 1), MaxLimit),
	})
	if err != nil {
		return nil, portError(err)
	}
	out := make([]gateway.AlertRecord, 0, len(docs))
	var unreadable error
	for _, d := range docs {
		a, err := alertOf(d)
		if err != nil {
			unreadable = err
			continue
		}
		out = append(out, a)
	}
	return out, unreadable
}

// AlertFilter narrows a list of alerts. App and Mode empty: all of them.
type AlertFilter struct {
	App     string
	Mode    payment.Mode
	Payment string
	State   string
	Limit   int
	After   string
}

// List reads alerts, the newest seen first.
func (s *Alerts) List(ctx context.Context, f AlertFilter) ([]gateway.AlertRecord, string, error) {
	q := Query{Index: "by_seen", Where: []Filter{Where("scope", Eq, "all")}, SortBy: "last_seen", Desc: true, After: f.After}
	switch {
	case f.Payment != "":
		q.Index, q.Where = "by_payment", []Filter{Where("payment", Eq, f.Payment)}
	case f.State != "":
		q.Index = "by_state"
		q.Where = append(q.Where, Where("state", Eq, f.State))
	}
	return listed(ctx, s.e, alertsName, q, min(f.Limit, 100), alertOf, func(a gateway.AlertRecord) bool {
		return (f.App == "" || a.App == f.App && a.Mode == f.Mode) && (f.State == "" || a.State == f.State)
	})
}
