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
)

// Write points of disputes.
const (
	PointDisputeInsert  WritePoint = "dispute.insert"
	PointDisputeReplace WritePoint = "dispute.replace"
	PointEvidence       WritePoint = "evidence.insert"
	PointEvidenceFile   WritePoint = "evidence_file.insert"
)

const (
	disputesName = "disputes"
	evidenceName = "evidence"
	filesName    = "evidence_files"

	// everyone is the tenant under which operators list.
	everyone = "*"
	// fileChunk is how much of a file one document holds, in bytes. JSON makes four
	// thirds of it.
	fileChunk = 512 << 10
	// maxFileChunks bounds one file: 8 MiB, above what any provider takes.
	maxFileChunks = 16
)

// DisputeCollection declares the dispute records. Never deleted.
func DisputeCollection() Collection {
	return Collection{Name: disputesName, Indexes: []Index{
		{Name: "by_opened", Fields: []string{"tenants", "opened"}, Array: "tenants"},
		{Name: "by_status", Fields: []string{"tenants", "status", "opened"}, Array: "tenants"},
		{Name: "by_provider", Fields: []string{"tenants", "provider", "opened"}, Array: "tenants"},
		{Name: "by_payment", Fields: []string{"tenants", "payment", "opened"}, Array: "tenants"},
		{Name: "by_check", Fields: []string{"check_at"}},
	}}
}

// EvidenceCollection declares the texts of evidence, EvidenceFileCollection the
// chunks of its files. Both are read by id only, and never change, but for what is
// erased of them.
func EvidenceCollection() Collection {
	return Collection{Name: evidenceName, Sealed: []string{"evidence.Texts"}}
}

// EvidenceFileCollection declares the chunks of evidence files.
func EvidenceFileCollection() Collection {
	return Collection{Name: filesName, Sealed: []string{"data"}}
}

// Disputes keeps dispute records and evidence over an Engine. It implements
// gateway.Disputes.
type Disputes struct{ e Engine }

var _ gateway.Disputes = (*Disputes)(nil)

// NewDisputes keeps disputes in an engine.
func NewDisputes(e Engine) *Disputes { return &Disputes{e: e} }

type disputeRecord struct {
	Schema  int                   `json:"schema"`
	Dispute gateway.DisputeRecord `json:"dispute"`
}

func disputeDoc(r gateway.DisputeRecord) (Doc, error) {
	body, err := json.Marshal(disputeRecord{Schema: 1, Dispute: r})
	if err != nil {
		return Doc{}, fmt.Errorf("store: encode dispute %s: %w", r.ID, err)
	}
	tenants := []string{everyone}
	if !r.Orphan() {
		tenants = append(tenants, tenant(r.App, r.Mode))
	}
	index := map[string]any{
		"tenants": tenants, "opened": r.OpenedAt, "status": string(r.Dispute.Status), "provider": r.Dispute.Key.Provider, "check_at": r.CheckAt,
	}
	if r.Payment != "" {
		index["payment"] = r.Payment
	}
	return Doc{ID: r.ID, Body: body, Index: index}, nil
}

func disputeOf(d Doc) (gateway.DisputeRecord, error) {
	var r disputeRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return gateway.DisputeRecord{}, fmt.Errorf("store: dispute %s can't be read: %w", d.ID, err)
	}
	if r.Schema != 1 {
		return gateway.DisputeRecord{}, unreadable("dispute", d, r.Schema)
	}
	return r.Dispute, nil
}

// GetDispute reads one record.
func (s *Disputes) GetDispute(ctx context.Context, id string) (gateway.DisputeRecord, error) {
	d, err := s.e.Get(ctx, disputesName, id)
	if err != nil {
		return gateway.DisputeRecord{}, portError(err)
	}
	return disputeOf(d)
}

// ChangeDispute writes one record by compare-and-swap, making it if it is not there.
func (s *Disputes) ChangeDispute(ctx context.Context, id string, fn func(gateway.DisputeRecord, bool) (gateway.DisputeRecord, bool)) (gateway.DisputeRecord, error) {
	for {
		out, err := s.replace(ctx, id, fn)
		if !errors.Is(err, ErrNotFound) {
			return out, portError(err)
		}
		fresh, write := fn(gateway.DisputeRecord{}, false)
		if !write {
			return fresh, nil
		}
		d, err := disputeDoc(fresh)
		if err != nil {
			return gateway.DisputeRecord{}, err
		}
		_, created, err := InsertOnce(WithPoint(ctx, PointDisputeInsert), s.e, disputesName, d)
		if err != nil || created {
			return fresh, portError(err)
		}
		// Somebody else made it: change theirs. Records are never deleted, so this ends.
	}
}

func (s *Disputes) replace(ctx context.Context, id string, fn func(gateway.DisputeRecord, bool) (gateway.DisputeRecord, bool)) (gateway.DisputeRecord, error) {
	d, err := Update(WithPoint(ctx, PointDisputeReplace), s.e, disputesName, id, func(d Doc) (Doc, error) {
		old, err := disputeOf(d)
		if err != nil {
			return Doc{}, err
		}
		next, write := fn(old, true)
		if !write {
			return Doc{}, ErrUnchanged
		}
		doc, err := disputeDoc(next)
		if err == nil && bytes.Equal(doc.Body, d.Body) {
			return Doc{}, ErrUnchanged
		}
		return doc, err
	})
	if err != nil {
		return gateway.DisputeRecord{}, err
	}
	return disputeOf(d)
}

// ListDisputes reads records, newest first. A rare combination of filters may give a
// short page with a cursor.
func (s *Disputes) ListDisputes(ctx context.Context, f gateway.DisputeFilter) ([]gateway.DisputeRecord, string, error) {
	who := everyone
	if f.App != "" {
		who = tenant(f.App, f.Mode)
	}
	q := Query{Index: "by_opened", Where: []Filter{Where("tenants", Eq, who)}, SortBy: "opened", Desc: true, After: f.After}
	for _, by := range []struct{ index, field, value string }{
		{"by_payment", "payment", f.Payment}, {"by_status", "status", string(f.Status)}, {"by_provider", "provider", f.Provider},
	} {
		if by.value != "" {
			q.Index, q.Where = by.index, append(q.Where, Where(by.field, Eq, by.value))
			break
		}
	}
	if !f.CreatedFrom.IsZero() {
		q.Where = append(q.Where, Where("opened", Gte, f.CreatedFrom))
	}
	if !f.CreatedTo.IsZero() {
		q.Where = append(q.Where, Where("opened", Lte, f.CreatedTo))
	}
	return listed(ctx, s.e, disputesName, q, min(f.Limit, 100), disputeOf, func(r gateway.DisputeRecord) bool { return disputeMatches(r, f) })
}

func disputeMatches(r gateway.DisputeRecord, f gateway.DisputeFilter) bool {
	return (f.Status == "" || r.Dispute.Status == f.Status) && (f.Provider == "" || r.Dispute.Key.Provider == f.Provider) &&
		(f.Payment == "" || r.Payment == f.Payment) &&
		(f.DueBefore.IsZero() || !r.Dispute.DueBy.IsZero() && r.Dispute.DueBy.Before(f.DueBefore))
}

// DisputesDue lists ids of records to be looked at, soonest first.
func (s *Disputes) DisputesDue(ctx context.Context, now time.Time, limit int) ([]string, error) {
	docs, _, err := s.e.Query(ctx, disputesName, Query{
		Index: "by_check", SortBy: "check_at", Where: []Filter{Where("check_at", Lte, now)}, Limit: limit,
	})
	if err != nil {
		return nil, portError(err)
	}
	ids := make([]string, 0, len(docs))
	for _, d := range docs {
		ids = append(ids, d.ID)
	}
	return ids, nil
}

type evidenceRecord struct {
	Schema   int              `json:"schema"`
	Evidence gateway.Evidence `json:"evidence"`
}

// PutEvidence stores evidence; the same id is the same content, or what was left of it
// when it was erased, which stays as it is.
func (s *Disputes) PutEvidence(ctx context.Context, e gateway.Evidence) error {
	body, err := json.Marshal(evidenceRecord{Schema: 1, Evidence: e})
	if err != nil {
		return fmt.Errorf("store: encode evidence %s: %w", e.ID, err)
	}
	_, _, err = InsertOnce(WithPoint(ctx, PointEvidence), s.e, evidenceName, Doc{ID: e.ID, Body: body})
	return portError(err)
}

// GetEvidence reads evidence.
func (s *Disputes) GetEvidence(ctx context.Context, id string) (gateway.Evidence, error) {
	d, err := s.e.Get(ctx, evidenceName, id)
	if err != nil {
		return gateway.Evidence{}, portError(err)
	}
	var r evidenceRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return gateway.Evidence{}, fmt.Errorf("store: evidence %s can't be read: %w", id, err)
	}
	return r.Evidence, nil
}

type chunkRecord struct {
	Schema int    `json:"schema"`
	Chunks int    `json:"chunks"` // of the whole file
	Data   []byte `json:"data"`
}

func chunkID(file string, n int) string { return fmt.Sprintf("%s/%04d", file, n) }

// PutFile stores a file in chunks, the last one first: where the first is there, all
// are.
func (s *Disputes) PutFile(ctx context.Context, id string, data []byte) error {
	chunks := slices.Collect(slices.Chunk(data, fileChunk))
	if len(chunks) == 0 || len(chunks) > maxFileChunks {
		return fmt.Errorf("%w: a file of %d bytes", ErrTooLarge, len(data))
	}
	for n := len(chunks) - 1; n >= 0; n-- {
		body, err := json.Marshal(chunkRecord{Schema: 1, Chunks: len(chunks), Data: chunks[n]})
		if err != nil {
			return fmt.Errorf("store: encode file %s: %w", id, err)
		}
		if _, _, err := InsertOnce(WithPoint(ctx, PointEvidenceFile), s.e, filesName, Doc{ID: chunkID(id, n), Body: body}); err != nil {
			return portError(err)
		}
	}
	return nil
}

// GetFile reads a file whole.
func (s *Disputes) GetFile(ctx context.Context, id string) ([]byte, error) {
	var out []byte
	for n, all := 0, 1; n < all; n++ {
		d, err := s.e.Get(ctx, filesName, chunkID(id, n))
		if err != nil {
			return nil, portError(err)
		}
		var r chunkRecord
		if err := json.Unmarshal(d.Body, &r); err != nil || r.Chunks < 1 || r.Chunks > maxFileChunks {
			return nil, fmt.Errorf("store: file %s can't be read: %w", id, errors.Join(err, ErrInvalid))
		}
		all = r.Chunks
		out = append(out, r.Data...)
	}
	return out, nil
}
