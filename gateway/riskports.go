package gateway

import (
	"context"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

// DecisionFilter narrows a list of decisions. Zero values do not filter.
type DecisionFilter struct {
	App   string
	Mode  payment.Mode
	State risk.State
	Rule  risk.Name
	Limit int
	After string
}

// BlockFilter narrows a list of blocks. Zero values do not filter.
type BlockFilter struct {
	App    string
	Mode   payment.Mode
	Active *bool // in force or not, by the record; an expired one counts as in force
	Limit  int
	After  string
}

// RiskStore keeps what the rules against fraud remember, decide and block. A change
// function must be pure: it may run more than once. It says whether there is anything
// to write, and is given the empty record where there is none yet.
type RiskStore interface {
	// Signaling lists ids of payments whose SignalAt has come, soonest first.
	Signaling(ctx context.Context, now time.Time, limit int) ([]string, error)
	Subject(ctx context.Context, id string) (risk.Subject, error) // ErrNotFound
	ChangeSubject(ctx context.Context, empty risk.Subject, fn func(risk.Subject) (risk.Subject, bool)) (risk.Subject, error)
	ChangeTally(ctx context.Context, empty risk.Tally, fn func(risk.Tally) (risk.Tally, bool)) error
	Tallies(ctx context.Context, ids []string) ([]risk.Tally, error)
	// InsertDecision stores a decision once; created is false where it was there.
	InsertDecision(ctx context.Context, d risk.Decision) (stored risk.Decision, created bool, err error)
	Decision(ctx context.Context, id string) (risk.Decision, error) // ErrNotFound
	ChangeDecision(ctx context.Context, id string, fn func(risk.Decision) (risk.Decision, bool)) (risk.Decision, error)
	// DueDecisions lists ids of decisions whose NextAt has come, soonest first.
	DueDecisions(ctx context.Context, now time.Time, limit int) ([]string, error)
	Decisions(ctx context.Context, f DecisionFilter) ([]risk.Decision, string, error)
	// Blocks reads those of these blocks that exist.
	Blocks(ctx context.Context, ids []string) ([]risk.Block, error)
	ChangeBlock(ctx context.Context, empty risk.Block, fn func(risk.Block) (risk.Block, bool)) (risk.Block, error)
	ListBlocks(ctx context.Context, f BlockFilter) ([]risk.Block, string, error)
}

// RiskOptions switch the rules against fraud on.
type RiskOptions struct {
	Store RiskStore
	// Policy is the policy of an app; an app it does not know gets the default one.
	Policy func(app string, mode payment.Mode) risk.Policy
}
