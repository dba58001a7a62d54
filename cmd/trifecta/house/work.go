package house

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// Bounds of a worker's sleep. The upper one also bounds how late a worker
// notices that a virtual clock was advanced by somebody else.
const (
	minSleep = 20 * time.Millisecond
	maxSleep = time.Second
)

// Run runs every worker until ctx ends, and returns when all have stopped.
func (h *House) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, w := range h.workers {
		wg.Go(func() { h.loop(ctx, w) })
	}
	wg.Wait()
	return nil
}

func (h *House) loop(ctx context.Context, w Worker) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		next := h.step(ctx, w)
		timer.Reset(min(max(next.Sub(h.clock()), minSleep), maxSleep))
	}
}

// step runs one step and keeps a panic from taking the process down: what it
// was doing is written down and will be done again.
func (h *House) step(ctx context.Context, w Worker) (next time.Time) {
	next = h.clock().Add(maxSleep)
	defer func() {
		if r := recover(); r != nil {
			h.log.ErrorContext(ctx, "worker panicked", "worker", w.Name, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	_, at, err := w.Step(ctx)
	if err != nil && ctx.Err() == nil {
		h.log.WarnContext(ctx, "worker step failed, will be repeated", "worker", w.Name, "error", err)
	}
	return at
}

// maxRounds bounds Quiesce: work that makes work for ever is a bug.
const maxRounds = 200

// Quiesce steps every worker, and also, until nobody finds anything to do.
func (h *House) Quiesce(ctx context.Context, also ...Worker) error {
	for range maxRounds {
		did := 0
		for _, w := range append(also, h.workers...) {
			n, _, err := w.Step(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", w.Name, err)
			}
			did += n
		}
		if did == 0 || ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("not quiet after %d rounds", maxRounds)
}
