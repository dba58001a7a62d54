package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

// Write points of what the rules against fraud keep.
const (
	PointRiskSubjectInsert  WritePoint = "risk_subject.insert"
	PointRiskSubjectChange  WritePoint = "risk_subject.change"
	PointRiskTallyInsert    WritePoint = "risk_tally.insert"
	PointRiskTallyChange    WritePoint = "risk_tally.change"
	PointRiskDecisionInsert WritePoint = "risk_decision.insert"
	PointRiskDecisionChange WritePoint = "risk_decision.change"
	PointRiskBlockInsert    WritePoint = "risk_block.insert"
	PointRiskBlockChange    WritePoint = "risk_block.change"
)

const (
	riskSubjectsName  = "risk_subjects"
	riskTalliesName   = "risk_tallies"
	riskDecisionsName = "risk_decisions"
	riskBlocksName    = "risk_blocks"
)

// RiskSubjectCollection declares what is remembered of customers, e-mail addresses,
// cards and payers: one document each, found by id.
func RiskSubjectCollection() Collection {
	return Collection{Name: riskSubjectsName, Sealed: []string{"record.Ref.Value", "record.Outbox[].Subject.Value"}}
}

// RiskTallyCollection declares the monthly counts of accounts, found by id.
func RiskTallyCollection() Collection { return Collection{Name: riskTalliesName} }

// RiskDecisionCollection declares what the rules decided. Never deleted.
func RiskDecisionCollection() Collection {
	return Collection{Name: riskDecisionsName, Indexes: []Index{
		{Name: "by_created", Fields: []string{"scope", "created"}},
		{Name: "by_app", Fields: []string{"tenant", "created"}},
		{Name: "by_due", Fields: []string{"next_at"}},
	}, Sealed: []string{"record.Subject.Value"}}
}

// RiskBlockCollection declares who is blocked. Never deleted: lifting is a change.
func RiskBlockCollection() Collection {
	return Collection{Name: riskBlocksName, Indexes: []Index{
		{Name: "by_changed", Fields: []string{"scope", "changed"}},
		{Name: "by_app", Fields: []string{"tenant", "changed"}},
	}, Sealed: []string{"record.Subject.Value"}}
}

// Risk keeps subjects, tallies, decisions and blocks over an Engine. It implements
// gateway.RiskStore.
type Risk struct {
	e        Engine
	payments *Payments
}

// NewRisk keeps them in an engine.
func NewRisk(e Engine) *Risk { return &Risk{e: e, payments: NewPayments(e)} }

// riskRecord is the stored form of all of them.
type riskRecord[T any] struct {
	Schema int `json:"schema"`
	Record T   `json:"record"`
}

// shelf is one kind of record: where it lies and how it is found.
type shelf[T any] struct {
	name           string
	insert, change WritePoint
	id             func(T) string
	index          func(T) map[string]any
}

var errRiskSchema = errors.New("store: this program reads another schema")

func (s shelf[T]) doc(v T) (Doc, error) {
	body, err := json.Marshal(riskRecord[T]{Schema: 1, Record: v})
	if err != nil {
		return Doc{}, fmt.Errorf("store: encode %s %s: %w", s.name, s.id(v), err)
	}
	return Doc{ID: s.id(v), Body: body, Index: s.index(v)}, nil
}

func (s shelf[T]) of(d Doc) (T, error) {
	var r riskRecord[T]
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return r.Record, fmt.Errorf("store: %s %s can't be read: %w", s.name, d.ID, err)
	}
	if r.Schema != 1 {
		return r.Record, fmt.Errorf("%w: %s %s has %d", errRiskSchema, s.name, d.ID, r.Schema)
	}
	return r.Record, nil
}

func (s shelf[T]) get(ctx context.Context, e Engine, id string) (T, error) {
	d, err := e.Get(ctx, s.name, id)
	if err != nil {
		var none T
		return none, portError(err)
	}
	return s.of(d)
}

// update changes a record. Where there is none, it begins with empty; nil: not found.
func (s shelf[T]) update(ctx context.Context, e Engine, id string, empty *T, fn func(T) (T, bool)) (T, error) {
	var out T
	apply := func(d Doc) (Doc, error) {
		old, err := s.of(d)
		if err != nil {
			return Doc{}, err
		}
		next, changed := fn(old)
		if out = next; !changed {
			return d, ErrUnchanged
		}
		return s.doc(next)
	}
	_, err := Update(WithPoint(ctx, s.change), e, s.name, id, apply)
	if errors.Is(err, ErrNotFound) && empty != nil {
		first, changed := fn(*empty)
		if !changed {
			return first, nil
		}
		d, err := s.doc(first)
		if err != nil {
			return out, err
		}
		_, created, err := InsertOnce(WithPoint(ctx, s.insert), e, s.name, d)
		if err != nil || created {
			return first, portError(err)
		}
		_, err = Update(WithPoint(ctx, s.change), e, s.name, id, apply) // somebody else was faster
		return out, portError(err)
	}
	return out, portError(err)
}

var (
	subjects = shelf[risk.Subject]{
		riskSubjectsName, PointRiskSubjectInsert, PointRiskSubjectChange, func(s risk.Subject) string { return s.ID },
		func(risk.Subject) map[string]any { return nil },
	}
	tallies = shelf[risk.Tally]{
		riskTalliesName, PointRiskTallyInsert, PointRiskTallyChange, func(t risk.Tally) string { return t.ID },
		func(risk.Tally) map[string]any { return nil },
	}
	decisions = shelf[risk.Decision]{
		riskDecisionsName, PointRiskDecisionInsert, PointRiskDecisionChange, func(d risk.Decision) string { return d.ID },
		func(d risk.Decision) map[string]any {
			return map[string]any{"scope": "all", "tenant": tenant(d.App, d.Mode), "created": d.CreatedAt, "next_at": d.NextAt}
		},
	}
	blocks = shelf[risk.Block]{
		riskBlocksName, PointRiskBlockInsert, PointRiskBlockChange, func(b risk.Block) string { return b.ID },
		func(b risk.Block) map[string]any {
			return map[string]any{"scope": "all", "tenant": tenant(b.App, b.Mode), "changed": b.UpdatedAt}
		},
	}
)

// Signaling lists payments with signals to handle, soonest first.
func (r *Risk) Signaling(ctx context.Context, now time.Time, limit int) ([]string, error) {
	return r.payments.due(ctx, "by_signal", "signal_at", now, limit, false)
}

// Subject reads one subject.
func (r *Risk) Subject(ctx context.Context, id string) (risk.Subject, error) {
	return subjects.get(ctx, r.e, id)
}

// ChangeSubject changes a subject, or makes it.
func (r *Risk) ChangeSubject(ctx context.Context, empty risk.Subject, fn func(risk.Subject) (risk.Subject, bool)) (risk.Subject, error) {
	return subjects.update(ctx, r.e, empty.ID, &empty, fn)
}

// ChangeTally changes a tally, or makes it.
func (r *Risk) ChangeTally(ctx context.Context, empty risk.Tally, fn func(risk.Tally) (risk.Tally, bool)) error {
	_, err := tallies.update(ctx, r.e, empty.ID, &empty, fn)
	return err
}

// Tallies reads those of these tallies that exist.
func (r *Risk) Tallies(ctx context.Context, ids []string) ([]risk.Tally, error) {
	return many(ctx, r.e, tallies, ids)
}

func many[T any](ctx context.Context, e Engine, s shelf[T], ids []string) ([]T, error) {
	var out []T
	for chunk := range slices.Chunk(ids, MaxGetMany) {
		docs, err := e.GetMany(ctx, s.name, chunk)
		if err != nil {
			return nil, portError(err)
		}
		found, err := all(s, docs)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

func all[T any](s shelf[T], docs []Doc) ([]T, error) {
	out := make([]T, 0, len(docs))
	for _, d := range docs {
		v, err := s.of(d)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// InsertDecision stores a decision once.
func (r *Risk) InsertDecision(ctx context.Context, d risk.Decision) (risk.Decision, bool, error) {
	doc, err := decisions.doc(d)
	if err != nil {
		return d, false, err
	}
	stored, created, err := InsertOnce(WithPoint(ctx, PointRiskDecisionInsert), r.e, riskDecisionsName, doc)
	if err != nil || created {
		return d, created, portError(err)
	}
	d, err = decisions.of(stored)
	return d, false, err
}

// Decision reads one decision.
func (r *Risk) Decision(ctx context.Context, id string) (risk.Decision, error) {
	return decisions.get(ctx, r.e, id)
}

// ChangeDecision changes a decision.
func (r *Risk) ChangeDecision(ctx context.Context, id string, fn func(risk.Decision) (risk.Decision, bool)) (risk.Decision, error) {
	return decisions.update(ctx, r.e, id, nil, fn)
}

// DueDecisions lists decisions to go on with, soonest first.
func (r *Risk) DueDecisions(ctx context.Context, now time.Time, limit int) ([]string, error) {
	docs, _, err := r.e.Query(ctx, riskDecisionsName, Query{
		Index: "by_due", Where: []Filter{Where("next_at", Lte, now)}, SortBy: "next_at", Limit: limit,
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

// Decisions lists decisions, newest first, and a cursor, empty at the end.
func (r *Risk) Decisions(ctx context.Context, f gateway.DecisionFilter) ([]risk.Decision, string, error) {
	q := Query{Index: "by_created", Where: []Filter{Where("scope", Eq, "all")}, SortBy: "created", Desc: true, After: f.After}
	if f.App != "" {
		q.Index, q.Where = "by_app", []Filter{Where("tenant", Eq, tenant(f.App, f.Mode))}
	}
	return listed(ctx, r.e, riskDecisionsName, q, min(f.Limit, 100), decisions.of, func(d risk.Decision) bool {
		return (f.State == "" || d.State == f.State) && (f.Rule == "" || d.Rule == f.Rule)
	})
}

// Blocks reads those of these blocks that exist.
func (r *Risk) Blocks(ctx context.Context, ids []string) ([]risk.Block, error) {
	return many(ctx, r.e, blocks, ids)
}

// ChangeBlock changes a block, or makes it.
func (r *Risk) ChangeBlock(ctx context.Context, empty risk.Block, fn func(risk.Block) (risk.Block, bool)) (risk.Block, error) {
	return blocks.update(ctx, r.e, empty.ID, &empty, fn)
}

// ListBlocks lists blocks, the latest changed first, and a cursor, empty at the end.
func (r *Risk) ListBlocks(ctx context.Context, f gateway.BlockFilter) ([]risk.Block, string, error) {
	q := Query{Index: "by_changed", Where: []Filter{Where("scope", Eq, "all")}, SortBy: "changed", Desc: true, After: f.After}
	if f.App != "" {
		q.Index, q.Where = "by_app", []Filter{Where("tenant", Eq, tenant(f.App, f.Mode))}
	}
	return listed(ctx, r.e, riskBlocksName, q, min(f.Limit, 100), blocks.of, func(b risk.Block) bool { return f.Active == nil || b.Active == *f.Active })
}
