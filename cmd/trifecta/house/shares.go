package house

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
)

// How a process holds its share of the rate budgets: looked at often, so that room
// is made for a newcomer within seconds; over soon after the process is gone.
const (
	shareEvery  = 2 * time.Second
	shareFor    = 12 * time.Second
	shareMargin = 2 * time.Second // for clocks that differ
)

// shares is this process's share of every account's rate budget.
type shares struct {
	store *store.Shares // nil: the store has one process, which has the whole
	id    string
	clock func() time.Time
	now   atomic.Pointer[store.Share]
	tell  func() // after each step: metrics
}

func newShares(o Options, engine store.Engine, id string) *shares {
	s := &shares{id: id, clock: o.Clock, tell: func() {}}
	s.now.Store(&store.Share{})
	if scheme, _ := o.Config.StoreURL(); o.Engine != nil || scheme != "sqlite" { // SQLite is locked to one process
		s.store = store.NewShares(engine)
	}
	return s
}

// parts is the share of now. It costs no store call.
func (s *shares) parts() int64 {
	if s.store == nil {
		return providers.Whole
	}
	return s.now.Load().At(s.clock(), shareMargin)
}

// Step takes or renews the share. Without a store it stays what it was until its
// end, then it is a small part that is safe to use by anybody.
func (s *shares) Step(ctx context.Context) (did int, next time.Time, err error) {
	now := s.clock()
	next = now.Add(shareEvery)
	if s.store == nil {
		return 0, now.Add(time.Minute), nil
	}
	defer s.tell()
	soon, err := s.store.Preview(ctx, s.id, shareFor, now)
	if err != nil {
		return 0, next, fmt.Errorf("read the rate shares: %w", err)
	}
	if held := *s.now.Load(); soon.Parts < held.Parts {
		held.Parts = soon.Parts // make room before the others may use it
		s.now.Store(&held)
	}
	got, err := s.store.Take(ctx, s.id, shareFor, now)
	if err != nil {
		return 0, next, fmt.Errorf("take a rate share: %w", err)
	}
	s.now.Store(&got)
	return 0, next, nil
}

// leave gives the share back.
func (s *shares) leave(ctx context.Context) error {
	if s.store == nil {
		return nil
	}
	s.now.Store(&store.Share{})
	if err := s.store.Leave(ctx, s.id); err != nil {
		return fmt.Errorf("give the rate share back, it ends by itself: %w", err)
	}
	return nil
}
