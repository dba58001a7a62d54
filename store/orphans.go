package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// PointOrphan is the write point of orphans.
const PointOrphan WritePoint = "orphan.insert"

const orphansName = "orphans"

// OrphanCollection declares the orphans: one document per object at a provider
// that belongs to no payment of ours. Never deleted.
func OrphanCollection() Collection {
	return Collection{Name: orphansName, Indexes: []Index{
		{Name: "by_seen", Fields: []string{"scope", "first_seen"}},
		{Name: "by_account", Fields: []string{"account", "first_seen"}},
		{Name: "by_ref", Fields: []string{"refs"}, Array: "refs"},
	}}
}

// OrphanRecord is one orphan as stored.
type OrphanRecord struct {
	ID        string
	Provider  string
	Account   string
	Kind      string   // capture, charge, refund ...
	Object    string   // the provider's id
	Refs      []string // other ids under which the provider lists the same money
	Amount    payment.Money
	Claimed   string // the payment it claims to belong to, if any
	Found     string // webhook | reconcile
	Evidence  string // the provider's event, or the run that found it
	FirstSeen time.Time
}

// Orphans keeps orphans over an Engine. It implements inbox.Orphans.
type Orphans struct{ e Engine }

var _ inbox.Orphans = (*Orphans)(nil)

// NewOrphans keeps orphans in an engine.
func NewOrphans(e Engine) *Orphans { return &Orphans{e: e} }

// OrphanID is the id of the orphan that an object is, whoever finds it.
func OrphanID(provider, account, object string) string {
	return payment.DeriveID("orp", provider, account, object)
}

type orphanRecord struct {
	Schema int          `json:"schema"`
	Orphan OrphanRecord `json:"orphan"`
}

// Record stores an orphan, whose ID it fills in; one that is known stays as it
// was first seen.
func (s *Orphans) Record(ctx context.Context, o OrphanRecord) (created bool, err error) {
	o.ID = OrphanID(o.Provider, o.Account, o.Object)
	body, err := json.Marshal(orphanRecord{Schema: 1, Orphan: o})
	if err != nil {
		return false, fmt.Errorf("store: encode orphan %s: %w", o.ID, err)
	}
	d := Doc{ID: o.ID, Body: body, Index: map[string]any{
		"scope": "all", "account": o.Account, "first_seen": o.FirstSeen, "refs": o.refTexts(),
	}}
	_, created, err = InsertOnce(WithPoint(ctx, PointOrphan), s.e, orphansName, d)
	return created, portError(err)
}

// refTexts are the ids by which an orphan is found.
func (o OrphanRecord) refTexts() []string {
	var out []string
	for _, id := range append([]string{o.Object}, o.Refs...) {
		if text := refText(o.Account, id); id != "" && !slices.Contains(out, text) && len(out) < MaxIndexArray {
			out = append(out, text)
		}
	}
	return out
}

// found is the orphan as reconcile knows it.
func (o OrphanRecord) found() reconcile.Orphan {
	return reconcile.Orphan{
		Provider: o.Provider, Account: o.Account, Object: providers.Ref{Kind: o.Kind, ID: o.Object}, Refs: o.Refs,
		Amount: o.Amount, Claimed: o.Claimed, Run: o.Evidence, SeenAt: o.FirstSeen,
	}
}

// RecordOrphan implements inbox.Orphans.
func (s *Orphans) RecordOrphan(ctx context.Context, o inbox.Orphan) error {
	_, err := s.Record(ctx, OrphanRecord{
		Provider: o.Provider, Account: o.Account, Kind: o.Object.Kind, Object: o.Object.ID, Amount: o.Amount, Claimed: o.Claimed,
		Found: "webhook", Evidence: o.Event, FirstSeen: o.SeenAt,
	})
	return err
}

// List reads orphans of an account (empty: of all), newest first, and a cursor,
// empty at the end. limit is 1..100.
func (s *Orphans) List(ctx context.Context, account string, limit int, after string) ([]OrphanRecord, string, error) {
	q := Query{Index: "by_seen", Where: []Filter{Where("scope", Eq, "all")}, SortBy: "first_seen", Desc: true, Limit: min(max(limit, 1), 100), After: after}
	if account != "" {
		q.Index, q.Where = "by_account", []Filter{Where("account", Eq, account)}
	}
	docs, next, err := s.e.Query(ctx, orphansName, q)
	if err != nil {
		return nil, "", portError(err)
	}
	out := make([]OrphanRecord, 0, len(docs))
	for _, d := range docs {
		var r orphanRecord
		if err := json.Unmarshal(d.Body, &r); err != nil {
			return nil, "", fmt.Errorf("store: orphan %s can't be read: %w", d.ID, err)
		}
		if r.Schema != 1 {
			return nil, "", unreadable("orphan", d, r.Schema)
		}
		out = append(out, r.Orphan)
	}
	return out, next, nil
}
