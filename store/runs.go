package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/reconcile"
)

// Write points of run records.
const (
	PointRunInsert WritePoint = "run.insert"
	PointRunSave   WritePoint = "run.save"
	PointRunExpire WritePoint = "run.expire"
)

const runsName = "reconcile_runs"

// RunCollection declares the records of reconcile runs; old ones are deleted.
func RunCollection() Collection {
	return Collection{Name: runsName, Indexes: []Index{
		{Name: "by_started", Fields: []string{"scope", "started"}},
		{Name: "by_job", Fields: []string{"job", "started"}},
		{Name: "by_account", Fields: []string{"account", "started"}},
		{Name: "by_state", Fields: []string{"state", "started"}},
	}}
}

// Runs keeps run records over an Engine. It implements reconcile.Runs.
type Runs struct{ e Engine }

// What this room keeps for reconcile.
var (
	_ reconcile.Runs          = (*Runs)(nil)
	_ reconcile.Cursors       = (*SweepCursors)(nil)
	_ reconcile.Alerter       = (*Alerts)(nil)
	_ reconcile.Payments      = (*Payments)(nil)
	_ reconcile.Leases        = (*Leases)(nil)
	_ reconcile.Orphans       = (*Orphans)(nil)
	_ reconcile.Discrepancies = (*Discrepancies)(nil)
)

// NewRuns keeps run records in an engine.
func NewRuns(e Engine) *Runs { return &Runs{e: e} }

type runRecord struct {
	Schema int           `json:"schema"`
	Run    reconcile.Run `json:"run"`
}

func runDoc(r reconcile.Run) (Doc, error) {
	body, err := json.Marshal(runRecord{Schema: 1, Run: r})
	if err != nil {
		return Doc{}, fmt.Errorf("store: encode run %s: %w", r.ID, err)
	}
	index := map[string]any{"scope": "all", "job": string(r.Job), "state": string(r.State), "started": r.StartedAt}
	if r.Account != "" {
		index["account"] = r.Account
	}
	return Doc{ID: r.ID, Body: body, Index: index}, nil
}

func runOf(d Doc) (reconcile.Run, error) {
	var r runRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return reconcile.Run{}, fmt.Errorf("store: run %s can't be read: %w", d.ID, err)
	}
	if r.Schema != 1 {
		return reconcile.Run{}, unreadable("run", d, r.Schema)
	}
	return r.Run, nil
}

// Insert stores a new run. One that has the id already stays.
func (s *Runs) Insert(ctx context.Context, r reconcile.Run) error {
	d, err := runDoc(r)
	if err != nil {
		return err
	}
	_, _, err = InsertOnce(WithPoint(ctx, PointRunInsert), s.e, runsName, d)
	return portError(err)
}

// Save stores a run over what was stored of it.
func (s *Runs) Save(ctx context.Context, r reconcile.Run) error {
	next, err := runDoc(r)
	if err != nil {
		return err
	}
	_, err = Update(WithPoint(ctx, PointRunSave), s.e, runsName, r.ID, func(Doc) (Doc, error) { return next.Clone(), nil })
	return portError(err)
}

// Start turns a queued run into a running one, once.
func (s *Runs) Start(ctx context.Context, id string, now time.Time) (ok bool, err error) {
	_, err = Update(WithPoint(ctx, PointRunSave), s.e, runsName, id, func(d Doc) (Doc, error) {
		r, err := runOf(d)
		if err != nil {
			return Doc{}, err
		}
		if ok = r.State == reconcile.RunQueued; !ok {
			return d, ErrUnchanged
		}
		r.State, r.StartedAt = reconcile.RunRunning, now
		return runDoc(r)
	})
	return ok && err == nil, portError(err)
}

// Get reads one run.
func (s *Runs) Get(ctx context.Context, id string) (reconcile.Run, error) {
	d, err := s.e.Get(ctx, runsName, id)
	if err != nil {
		return reconcile.Run{}, portError(err)
	}
	return runOf(d)
}

// InState lists runs in a state that started at or before a time, oldest first.
func (s *Runs) InState(ctx context.Context, state reconcile.RunState, until time.Time, limit int) ([]reconcile.Run, error) {
	docs, _, err := s.e.Query(ctx, runsName, Query{
		Index: "by_state", Where: []Filter{Where("state", Eq, string(state)), Where("started", Lte, until)}, SortBy: "started", Limit: limit,
	})
	if err != nil {
		return nil, portError(err)
	}
	return runsOf(docs)
}

// RunFilter narrows a list of runs, by account or else by job; zero values do not
// filter. Limit is 1..100.
type RunFilter struct {
	Job     reconcile.Job
	Account string
	Limit   int
	After   string
}

// List reads runs, the latest started first, and a cursor, empty at the end. With
// both filters a page may be short, with a cursor.
func (s *Runs) List(ctx context.Context, f RunFilter) ([]reconcile.Run, string, error) {
	q := Query{
		Index: "by_started", Where: []Filter{Where("scope", Eq, "all")}, SortBy: "started", Desc: true,
		Limit: min(max(f.Limit, 1), 100), After: f.After,
	}
	switch {
	case f.Account != "":
		q.Index, q.Where = "by_account", []Filter{Where("account", Eq, f.Account)}
	case f.Job != "":
		q.Index, q.Where = "by_job", []Filter{Where("job", Eq, string(f.Job))}
	}
	docs, next, err := s.e.Query(ctx, runsName, q)
	if err != nil {
		return nil, "", portError(err)
	}
	all, err := runsOf(docs)
	if err != nil {
		return nil, "", err
	}
	out := make([]reconcile.Run, 0, len(all))
	for _, r := range all {
		if f.Job == "" || r.Job == f.Job {
			out = append(out, r)
		}
	}
	return out, next, nil
}

func runsOf(docs []Doc) ([]reconcile.Run, error) {
	out := make([]reconcile.Run, 0, len(docs))
	for _, d := range docs {
		r, err := runOf(d)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Expire deletes up to limit runs that started before a time, the oldest first.
func (s *Runs) Expire(ctx context.Context, before time.Time, limit int) (int, error) {
	docs, _, err := s.e.Query(ctx, runsName, Query{
		Index: "by_started", Where: []Filter{Where("scope", Eq, "all"), Where("started", Lt, before)}, SortBy: "started", Limit: limit,
	})
	if err != nil {
		return 0, portError(err)
	}
	n := 0
	for _, d := range docs {
		err := s.e.Delete(WithPoint(ctx, PointRunExpire), runsName, d.ID, d.Version)
		if errors.Is(err, ErrConflict) {
			continue // somebody else did, or it was just saved
		}
		if err != nil {
			return n, portError(err)
		}
		n++
	}
	return n, nil
}

// SweepCursors are the cursors as reconcile uses them: being fenced off is losing
// the job.
type SweepCursors struct{ c *Cursors }

// NewSweepCursors keeps sweep cursors in an engine.
func NewSweepCursors(e Engine) *SweepCursors { return &SweepCursors{c: NewCursors(e)} }

// Look reads a cursor and shuts out nobody.
func (s *SweepCursors) Look(ctx context.Context, name string) (string, error) {
	c, err := s.c.Get(ctx, name)
	return c.Value, portError(err)
}

// Take reads a cursor and shuts out smaller tokens.
func (s *SweepCursors) Take(ctx context.Context, name string, token int64) (string, error) {
	c, err := s.c.Take(ctx, name, token)
	return c.Value, lost(err)
}

// Set moves a cursor.
func (s *SweepCursors) Set(ctx context.Context, name, value string, token int64, now time.Time) error {
	return lost(s.c.Set(ctx, name, value, token, now))
}

func lost(err error) error {
	if errors.Is(err, ErrFenced) {
		return fmt.Errorf("%w: %w", reconcile.ErrLost, err)
	}
	return portError(err)
}

// Alert stores an alert of reconcile. It is about an account, so no app sees it by
// itself.
func (s *Alerts) Alert(ctx context.Context, a reconcile.Alert) error {
	return s.Raise(ctx, gateway.AlertRecord{
		ID: a.ID, Mode: a.Mode, Payment: a.Payment, Account: a.Account, Kind: a.Kind, Severity: a.Severity, State: "open",
		Message: a.Message, Count: 1, FirstSeen: a.At, LastSeen: a.At,
	})
}
