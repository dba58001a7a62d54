package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/reconcile"
)

// Write points of discrepancies.
const (
	PointDiscrepancyInsert  WritePoint = "discrepancy.insert"
	PointDiscrepancyResolve WritePoint = "discrepancy.resolve"
)

const discrepanciesName = "discrepancies"

// DiscrepancyCollection declares the differences between providers and us. Never
// deleted.
func DiscrepancyCollection() Collection {
	return Collection{Name: discrepanciesName, Indexes: []Index{
		{Name: "by_seen", Fields: []string{"scope", "seen"}},
		{Name: "by_state", Fields: []string{"state", "seen"}},
		{Name: "by_payment", Fields: []string{"payment", "seen"}},
	}}
}

// Discrepancies keeps differences over an Engine. It implements
// reconcile.Discrepancies.
type Discrepancies struct{ e Engine }

// NewDiscrepancies keeps discrepancies in an engine.
func NewDiscrepancies(e Engine) *Discrepancies { return &Discrepancies{e: e} }

type discrepancyRecord struct {
	Schema      int                   `json:"schema"`
	Discrepancy reconcile.Discrepancy `json:"discrepancy"`
}

func discrepancyDoc(d reconcile.Discrepancy) (Doc, error) {
	body, err := json.Marshal(discrepancyRecord{Schema: 1, Discrepancy: d})
	if err != nil {
		return Doc{}, fmt.Errorf("store: encode discrepancy %s: %w", d.ID, err)
	}
	index := map[string]any{"scope": "all", "state": d.State, "seen": d.SeenAt}
	if d.Payment != "" {
		index["payment"] = d.Payment
	}
	return Doc{ID: d.ID, Body: body, Index: index}, nil
}

func discrepancyOf(d Doc) (reconcile.Discrepancy, error) {
	var r discrepancyRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return reconcile.Discrepancy{}, fmt.Errorf("store: discrepancy %s can't be read: %w", d.ID, err)
	}
	if r.Schema != 1 {
		return reconcile.Discrepancy{}, unreadable("discrepancy", d, r.Schema)
	}
	return r.Discrepancy, nil
}

// Record stores a discrepancy; one that is known stays as it was first seen.
func (s *Discrepancies) Record(ctx context.Context, d reconcile.Discrepancy) (reconcile.Discrepancy, bool, error) {
	doc, err := discrepancyDoc(d)
	if err != nil {
		return reconcile.Discrepancy{}, false, err
	}
	stored, created, err := InsertOnce(WithPoint(ctx, PointDiscrepancyInsert), s.e, discrepanciesName, doc)
	if err != nil {
		return reconcile.Discrepancy{}, false, portError(err)
	}
	d, err = discrepancyOf(stored)
	return d, created, err
}

// Resolution is a word that closes a discrepancy. Request and Fingerprint may be empty.
type Resolution struct {
	By                           payment.Actor
	Reason, Request, Fingerprint string
	At                           time.Time
}

// Resolve closes a discrepancy; one that is closed stays as it is, and first is false.
// gateway.ErrNotFound.
func (s *Discrepancies) Resolve(ctx context.Context, id string, r Resolution) (closed reconcile.Discrepancy, first bool, err error) {
	doc, err := Update(WithPoint(ctx, PointDiscrepancyResolve), s.e, discrepanciesName, id, func(old Doc) (Doc, error) {
		d, err := discrepancyOf(old)
		if err != nil {
			return Doc{}, err
		}
		if first = d.State != "resolved"; !first {
			return old, ErrUnchanged
		}
		d.State, d.Actor, d.Reason, d.Closed, d.Request, d.Fingerprint = "resolved", r.By, r.Reason, r.At, r.Request, r.Fingerprint
		return discrepancyDoc(d)
	})
	if err != nil {
		return reconcile.Discrepancy{}, false, portError(err)
	}
	closed, err = discrepancyOf(doc)
	return closed, first, err
}

// DiscrepancyFilter narrows a list; zero values do not filter, App and Mode together.
// Limit is 1..100.
type DiscrepancyFilter struct {
	App     string
	Mode    payment.Mode
	Payment string
	State   string
	Limit   int
	After   string
}

// List reads discrepancies, newest first, and a cursor, empty at the end. With several
// filters a page may be short, with a cursor.
func (s *Discrepancies) List(ctx context.Context, f DiscrepancyFilter) ([]reconcile.Discrepancy, string, error) {
	q := Query{Index: "by_seen", Where: []Filter{Where("scope", Eq, "all")}, SortBy: "seen", Desc: true, After: f.After}
	switch {
	case f.Payment != "":
		q.Index, q.Where = "by_payment", []Filter{Where("payment", Eq, f.Payment)}
	case f.State != "":
		q.Index, q.Where = "by_state", []Filter{Where("state", Eq, f.State)}
	}
	return listed(ctx, s.e, discrepanciesName, q, min(f.Limit, 100), discrepancyOf, func(d reconcile.Discrepancy) bool {
		return (f.App == "" || d.App == f.App && d.Mode == f.Mode) && (f.State == "" || d.State == f.State)
	})
}

// KnownOrphan finds the orphan that is listed under a provider's id. It implements
// reconcile.Orphans, as AddOrphan does.
func (s *Orphans) KnownOrphan(ctx context.Context, account, ref string) (reconcile.Orphan, bool, error) {
	docs, _, err := s.e.Query(ctx, orphansName, Query{Index: "by_ref", Where: []Filter{Where("refs", Eq, refText(account, ref))}, Limit: 1})
	if err != nil || len(docs) == 0 {
		return reconcile.Orphan{}, false, portError(err)
	}
	var r orphanRecord
	if err := json.Unmarshal(docs[0].Body, &r); err != nil {
		return reconcile.Orphan{}, false, fmt.Errorf("store: orphan %s can't be read: %w", docs[0].ID, err)
	}
	return r.Orphan.found(), true, nil
}

// AddOrphan stores an orphan that reconcile found.
func (s *Orphans) AddOrphan(ctx context.Context, o reconcile.Orphan) (reconcile.Orphan, bool, error) {
	created, err := s.Record(ctx, OrphanRecord{
		Provider: o.Provider, Account: o.Account, Kind: o.Object.Kind, Object: o.Object.ID, Refs: o.Refs, Amount: o.Amount,
		Claimed: o.Claimed, Found: "reconcile", Evidence: o.Run, FirstSeen: o.SeenAt,
	})
	if err != nil || created {
		return o, created, err
	}
	stored, ok, err := s.KnownOrphan(ctx, o.Account, o.Object.ID)
	if err == nil && !ok {
		err = errors.New("store: an orphan is there and can't be found")
	}
	return stored, false, err
}
