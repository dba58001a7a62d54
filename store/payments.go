package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Write points of payments.
const (
	PointPaymentInsert  WritePoint = "payment.insert"
	PointPaymentReplace WritePoint = "payment.replace"
	PointHistorySpill   WritePoint = "payment.history_spill"
)

const (
	paymentsName = "payments"
	historyName  = "payment_history"
)

// PaymentCollection declares the payments: one document each.
func PaymentCollection() Collection {
	return Collection{Name: paymentsName, Indexes: []Index{
		{Name: "by_created", Fields: []string{"tenant", "created"}},
		{Name: "by_status", Fields: []string{"tenant", "status", "created"}},
		{Name: "by_provider", Fields: []string{"tenant", "provider", "created"}},
		{Name: "by_reference", Fields: []string{"tenant", "reference", "created"}},
		{Name: "by_customer", Fields: []string{"tenant", "customer", "created"}},
		{Name: "by_ref", Fields: []string{"refs"}, Array: "refs"},
		{Name: "by_work", Fields: []string{"work_at"}},
		{Name: "by_sync", Fields: []string{"sync_at"}},
		{Name: "by_unfed", Fields: []string{"unfed_since"}},
		{Name: "by_signal", Fields: []string{"signal_at"}},
	}, Sealed: []string{
		"payment.Request.Customer.Email", "payment.Request.Customer.Name", "payment.Request.Description", "payment.Request.Metadata",
		"payment.Request.ReturnURL", "payment.Request.CancelURL", // apps put tokens of their own into them
		"payment.Token", "payment.Facts.Attempts[].PayerEmail", "payment.Facts.Attempts[].URL",
		"payment.Facts.Payers[].EmailHash", "payment.Facts.Declines[].EmailHash",
		"payment.Operations[].Params", "payment.Outbox[].Body",
	}}
}

// HistoryCollection declares the history entries that have left their payment's
// document.
func HistoryCollection() Collection {
	return Collection{Name: historyName, Indexes: []Index{{Name: "by_payment", Fields: []string{"payment", "version"}}}}
}

// Payments keeps payments over an Engine. It implements gateway.Payments.
type Payments struct {
	e Engine
	// recent spares payments that are read several times within one request or step
	// from being decoded each time. Payments are never deleted.
	recent *recent[decodedPayment]
}

// decodedPayment is a payment and the very bytes it was decoded from.
type decodedPayment struct {
	body    []byte
	payment *payment.Payment
}

// recentPayments bounds the payments remembered.
const recentPayments = 256

// NewPayments keeps payments in an engine that was opened with Collections().
func NewPayments(e Engine) *Payments {
	return &Payments{e: e, recent: newRecent[decodedPayment](recentPayments)}
}

// of decodes a payment, unless it is known in this version. It is the caller's own.
func (s *Payments) of(d Doc) (*payment.Payment, error) {
	if known, ok := s.recent.at(d.ID, d.Version); ok && bytes.Equal(known.body, d.Body) {
		return known.payment.Clone(), nil
	}
	p, err := paymentOf(d)
	if err == nil {
		s.recent.put(d.ID, d.Version, decodedPayment{d.Body, p.Clone()})
	}
	return p, err
}

// paymentSchema is the version of the stored form. The form is the domain
// struct itself, pinned by a golden file: a copy would be one more place to
// forget a field of somebody's money.
const paymentSchema = 1

type paymentRecord struct {
	Schema  int              `json:"schema"`
	Payment *payment.Payment `json:"payment"`
}

func paymentDoc(p *payment.Payment) (Doc, error) {
	body, err := json.Marshal(paymentRecord{Schema: paymentSchema, Payment: p})
	if err != nil {
		return Doc{}, fmt.Errorf("store: encode payment %s: %w", p.ID, err)
	}
	index := map[string]any{
		"tenant": tenant(p.App, p.Mode), "created": p.CreatedAt, "status": string(p.Status()),
		"reference": p.Request.Reference, "customer": p.Request.Customer.Ref,
		"work_at": p.WorkAt(), "sync_at": p.NextSyncAt, "refs": paymentRefs(p), "signal_at": p.SignalAt,
	}
	if winner, ok := p.Facts.Winner(); ok {
		index["provider"] = winner.Provider
	}
	for _, name := range []string{"reference", "customer"} {
		if index[name] == "" {
			delete(index, name)
		}
	}
	if len(p.Outbox) > 0 {
		index["unfed_since"] = p.UpdatedAt
	}
	return Doc{ID: p.ID, Version: p.Version, Body: body, Index: index}, nil
}

func tenant(app string, mode payment.Mode) string { return string(mode) + "/" + app }

// refText is how one id stands in the refs index: ids of different accounts
// never meet.
func refText(account, id string) string { return account + "\x1f" + id }

// paymentRefs are the ids by which a payment can be found, the ones that matter
// most first: money, disputes, checkouts, our own refund ids, the provider's
// refund ids. Past the limit the last give way, oldest first; a webhook about
// such a refund still names its capture.
func paymentRefs(p *payment.Payment) []string {
	var out []string
	seen := map[string]bool{}
	add := func(account, id string) {
		if text := refText(account, id); id != "" && !seen[text] && len(out) < MaxIndexArray {
			seen[text] = true
			out = append(out, text)
		}
	}
	for _, c := range p.Facts.Captures {
		add(c.Key.Account, c.Key.ID)
	}
	for _, d := range p.Facts.Disputes {
		add(d.Key.Account, d.Key.ID)
		add("", payment.DisputeID(d.Key))
	}
	for _, a := range p.Facts.Authorizations {
		add(a.Key.Account, a.Key.ID)
	}
	for _, a := range p.Facts.Attempts {
		add(a.Key.Account, a.Key.ID)
		add(a.Key.Account, a.Refs.PaymentIntent)
		add(a.Key.Account, a.Refs.Order)
	}
	refunds := p.Refunds() // oldest first
	for _, r := range slices.Backward(refunds) {
		add("", r.ID)
	}
	for _, r := range slices.Backward(refunds) {
		add(r.Account, r.ProviderRef)
	}
	return out
}

func paymentOf(d Doc) (*payment.Payment, error) {
	var r paymentRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return nil, fmt.Errorf("store: payment %s can't be read: %w", d.ID, err)
	}
	if r.Schema != paymentSchema || r.Payment == nil || r.Payment.ID != d.ID {
		return nil, unreadable("payment", d, r.Schema)
	}
	r.Payment.Version = d.Version
	return r.Payment, nil
}

// portError turns an engine's error into the gateway's.
func portError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrExists):
		return fmt.Errorf("%w: %w", gateway.ErrExists, err)
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("%w: %w", gateway.ErrNotFound, err)
	case errors.Is(err, ErrConflict):
		return fmt.Errorf("%w: %w", gateway.ErrConflict, err)
	case errors.Is(err, ErrBadCursor):
		return fmt.Errorf("%w: %w", gateway.ErrBadCursor, err)
	case errors.Is(err, ErrUnavailable):
		return fmt.Errorf("%w: %w", gateway.ErrUnavailable, err)
	}
	return err
}

// Insert stores a new payment. Its token makes its body unlike any other, so a
// lost acknowledgement is recognised.
func (s *Payments) Insert(ctx context.Context, p *payment.Payment) error {
	d, err := paymentDoc(p)
	if err != nil {
		return err
	}
	_, created, err := InsertOnce(WithPoint(ctx, PointPaymentInsert), s.e, paymentsName, d)
	if err == nil && !created {
		err = ErrExists
	}
	return portError(err)
}

// Get reads one payment.
func (s *Payments) Get(ctx context.Context, id string) (*payment.Payment, error) {
	d, err := s.e.Get(ctx, paymentsName, id)
	if err != nil {
		return nil, portError(err)
	}
	return s.of(d)
}

// Replace stores a payment over its previous version. An unknown outcome is
// read back: our own bytes at our version are success.
func (s *Payments) Replace(ctx context.Context, p *payment.Payment) error {
	d, err := paymentDoc(p)
	if err != nil {
		return err
	}
	if err = s.replace(WithPoint(ctx, PointPaymentReplace), p, d); err == nil {
		s.recent.put(p.ID, p.Version, decodedPayment{d.Body, p.Clone()})
	}
	return portError(err)
}

func (s *Payments) replace(ctx context.Context, p *payment.Payment, d Doc) error {
	err := s.e.Replace(ctx, paymentsName, d, p.Version-1)
	for range unknownTries {
		if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrConflict) {
			break
		}
		stored, readErr := s.e.Get(ctx, paymentsName, p.ID)
		if readErr != nil {
			break
		}
		if stored.Version == p.Version && bytes.Equal(stored.Body, d.Body) {
			return nil
		}
		if stored.Version >= p.Version {
			return ErrConflict
		}
		if errors.Is(err, ErrConflict) {
			break
		}
		err = s.e.Replace(ctx, paymentsName, d, p.Version-1)
	}
	return err
}

// List reads payments newest first.
func (s *Payments) List(ctx context.Context, f gateway.Filter) ([]*payment.Payment, string, error) {
	q := Query{Index: "by_created", Where: []Filter{Where("tenant", Eq, tenant(f.App, f.Mode))}, SortBy: "created", Desc: true, After: f.After}
	for _, by := range []struct{ index, field, value string }{
		{"by_reference", "reference", f.Reference},
		{"by_customer", "customer", f.Customer},
		{"by_status", "status", string(f.Status)},
		{"by_provider", "provider", f.Provider},
	} {
		if by.value != "" {
			q.Index = by.index
			q.Where = append(q.Where, Where(by.field, Eq, by.value))
			break
		}
	}
	if !f.CreatedFrom.IsZero() {
		q.Where = append(q.Where, Where("created", Gte, f.CreatedFrom))
	}
	if !f.CreatedTo.IsZero() {
		q.Where = append(q.Where, Where("created", Lte, f.CreatedTo))
	}
	return listed(ctx, s.e, paymentsName, q, min(f.Limit, 100), s.of, func(p *payment.Payment) bool { return matches(p, f) })
}

func matches(p *payment.Payment, f gateway.Filter) bool {
	winner, _ := p.Facts.Winner()
	return (f.Status == "" || p.Status() == f.Status) &&
		(f.Provider == "" || winner.Provider == f.Provider) &&
		(f.Reference == "" || p.Request.Reference == f.Reference) &&
		(f.Customer == "" || p.Request.Customer.Ref == f.Customer)
}

// ByRef finds the payments that know one of these ids.
func (s *Payments) ByRef(ctx context.Context, account string, refs ...string) ([]*payment.Payment, error) {
	values := make([]any, 0, len(refs))
	for _, r := range refs {
		if r != "" && len(values) < MaxInBranches {
			values = append(values, refText(account, r))
		}
	}
	if len(values) == 0 {
		return nil, nil
	}
	docs, _, err := s.e.Query(ctx, paymentsName, Query{Index: "by_ref", Where: []Filter{Where("refs", In, values...)}})
	if err != nil {
		return nil, portError(err)
	}
	var out []*payment.Payment
	for _, d := range docs {
		p, err := s.of(d)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// WorkDue lists payments with work due, soonest first.
func (s *Payments) WorkDue(ctx context.Context, now time.Time, limit int) ([]string, error) {
	return s.due(ctx, "by_work", "work_at", now, limit, false)
}

// SyncDue lists payments to be read again, soonest first.
func (s *Payments) SyncDue(ctx context.Context, now time.Time, limit int) ([]string, error) {
	return s.due(ctx, "by_sync", "sync_at", now, limit, false)
}

// SyncFresh lists payments to be read again, those that became due last first.
func (s *Payments) SyncFresh(ctx context.Context, now time.Time, limit int) ([]string, error) {
	return s.due(ctx, "by_sync", "sync_at", now, limit, true)
}

// Unfed reads payments with events that no feed has yet, oldest change first, and the
// cursor after them, empty at the end. Those that can't be read are named in unreadable
// and hide no others.
func (s *Payments) Unfed(ctx context.Context, limit int, after string) (found []*payment.Payment, unreadable []error, next string, err error) {
	docs, next, err := s.e.Query(ctx, paymentsName, Query{Index: "by_unfed", SortBy: "unfed_since", Limit: limit, After: after})
	if err != nil {
		return nil, nil, "", portError(err)
	}
	for _, d := range docs {
		p, err := s.of(d)
		if err != nil {
			unreadable = append(unreadable, err)
			continue
		}
		found = append(found, p)
	}
	return found, unreadable, next, nil
}

func (s *Payments) due(ctx context.Context, index, field string, until time.Time, limit int, latest bool) ([]string, error) {
	docs, _, err := s.e.Query(ctx, paymentsName, Query{Index: index, Where: []Filter{Where(field, Lte, until)}, SortBy: field, Desc: latest, Limit: limit})
	if err != nil {
		return nil, portError(err)
	}
	ids := make([]string, 0, len(docs))
	for _, d := range docs {
		ids = append(ids, d.ID)
	}
	return ids, nil
}

type historyRecord struct {
	Schema  int                  `json:"schema"`
	Payment string               `json:"payment"`
	Entry   payment.HistoryEntry `json:"entry"`
}

// SpillHistory keeps entries that leave the payment's document. An entry that
// is there already stays as it is.
func (s *Payments) SpillHistory(ctx context.Context, id string, entries []payment.HistoryEntry) error {
	for _, h := range entries {
		body, err := json.Marshal(historyRecord{Schema: 1, Payment: id, Entry: h})
		if err != nil {
			return fmt.Errorf("store: encode history of %s: %w", id, err)
		}
		d := Doc{
			ID: fmt.Sprintf("%s/%012d", id, h.Version), Body: body,
			Index: map[string]any{"payment": id, "version": h.Version},
		}
		if _, _, err := InsertOnce(WithPoint(ctx, PointHistorySpill), s.e, historyName, d); err != nil {
			return portError(err)
		}
	}
	return nil
}

// History reads the spilled entries, oldest first.
func (s *Payments) History(ctx context.Context, id string) ([]payment.HistoryEntry, error) {
	var out []payment.HistoryEntry
	q := Query{Index: "by_payment", Where: []Filter{Where("payment", Eq, id)}, SortBy: "version", Limit: MaxLimit}
	for range listPages {
		docs, next, err := s.e.Query(ctx, historyName, q)
		if err != nil {
			return nil, portError(err)
		}
		for _, d := range docs {
			var r historyRecord
			if err := json.Unmarshal(d.Body, &r); err != nil {
				return nil, fmt.Errorf("store: history %s can't be read: %w", d.ID, err)
			}
			if r.Schema != 1 {
				return nil, unreadable("history", d, r.Schema)
			}
			out = append(out, r.Entry)
		}
		if next == "" {
			break
		}
		q.After = next
	}
	return out, nil
}
