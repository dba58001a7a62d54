package providers

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Whole is the share of a process that has every rate budget to itself, in the
// unit that shares are counted in: millionths.
const Whole = 1_000_000

// How long an account rests after it said "too many requests". The shortest is
// for answers that name no time; the longest for ones that name a wrong one.
const (
	shortestRest = time.Second
	longestRest  = time.Minute
	// patience is how much of a rest a call waits out; with more of it left the call
	// is not sent, and its caller told when to come again.
	patience = 2 * time.Second
)

// budget is this process's part of one account's calls a second. Live traffic has
// all of it, the background a fifth at most.
type budget struct {
	perSecond int
	calls     map[string]int // what an operation takes, see Info.Calls
	dearest   int
	share     func() int64
	clock     func() time.Time // nil: rests are not kept

	live, background *rate.Limiter

	mu      sync.Mutex
	tuned   int64 // the share that the limiters are set to
	resting time.Time
}

func newBudget(perSecond int, calls map[string]int, share func() int64, clock func() time.Time) *budget {
	b := &budget{perSecond: perSecond, calls: calls, dearest: 1, share: share, clock: clock, live: rate.NewLimiter(0, 0), background: rate.NewLimiter(0, 0)}
	for _, n := range calls {
		b.dearest = max(b.dearest, n)
	}
	b.tune()
	return b
}

// tune sets the limiters to the share of now.
func (b *budget) tune() {
	share := max(b.share(), 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if share == b.tuned {
		return
	}
	b.tuned = share
	perSecond := rate.Limit(b.perSecond) * rate.Limit(share) / Whole
	for _, l := range []struct {
		limiter *rate.Limiter
		limit   rate.Limit
	}{{b.live, perSecond}, {b.background, perSecond / 5}} {
		l.limiter.SetLimit(l.limit)
		l.limiter.SetBurst(max(b.dearest, int(l.limit))) // else it would never be let through
	}
}

// perSecondMilli is this process's part in thousandths of a call a second.
func (b *budget) perSecondMilli() int64 {
	return int64(b.perSecond) * max(b.share(), 1) / (Whole / 1000)
}

// wait waits for a place for all calls of an operation. Where the caller's time would
// not do, it says so at once.
func (b *budget) wait(ctx context.Context, l *rate.Limiter, op string) error {
	b.tune()
	return l.WaitN(ctx, max(1, b.calls[op]))
}

// rest makes the account rest, as its provider asked.
func (b *budget) rest(wanted time.Duration) {
	if b.clock == nil {
		return
	}
	until := b.clock().Add(min(max(wanted, shortestRest), longestRest))
	b.mu.Lock()
	defer b.mu.Unlock()
	if until.After(b.resting) {
		b.resting = until
	}
}

// errResting: the provider asked us to wait, for longer than a caller should.
var errResting = errors.New("providers: the account rests, it had too many requests")

// rested waits out a short rest. Of a longer one it returns what is left.
func (b *budget) rested(ctx context.Context) (left time.Duration, err error) {
	if b.clock == nil {
		return 0, nil
	}
	b.mu.Lock()
	until := b.resting
	b.mu.Unlock()
	left = until.Sub(b.clock())
	if left <= 0 {
		return 0, nil
	}
	if left > patience {
		return left, errResting
	}
	pause, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	<-pause.Done()
	return left, ctx.Err()
}
