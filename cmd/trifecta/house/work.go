package house

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/reconcile"
)

// Bounds of a worker's sleep. The upper one also bounds how late a worker
// notices that a virtual clock was advanced by somebody else.
const (
	minSleep = 20 * time.Millisecond
	maxSleep = time.Second
)

// stopWait is how long a reconcile step may take to notice that it shall stop.
const stopWait = 8 * time.Second

// Run runs every worker and the schedule until ctx ends, and returns when all
// have stopped.
func (h *House) Run(ctx context.Context) error {
	schedule, err := reconcile.NewSchedule(h.scheduled, h.log, stopWait)
	if err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	schedule.Start()
	var wg sync.WaitGroup
	for _, w := range h.workers {
		wg.Go(func() { h.loop(ctx, w) })
	}
	<-ctx.Done()
	err = schedule.Stop() // beside the workers, which are stopping too
	wg.Wait()
	if err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	return nil
}

func (h *House) loop(ctx context.Context, w Worker) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if !h.bells.wait(ctx, w.Name, timer) {
			return
		}
		next := h.step(ctx, w)
		timer.Reset(min(max(next.Sub(h.clock()), minSleep), maxSleep))
	}
}

// step runs one step and keeps a panic from taking the process down: what it
// was doing is written down and will be done again. A step that panicked has ended: the
// worker does not stand still, it fails, which an alert tells. All processes meet the same
// record, so taking them out of service would stop everything else too.
func (h *House) step(ctx context.Context, w Worker) (next time.Time) {
	next = h.clock().Add(maxSleep)
	defer func() {
		if r := recover(); r != nil {
			h.watch.beat(w.Name)
			h.watch.ended(w.Name, false, h.clock())
			h.log.ErrorContext(ctx, "worker panicked", "worker", w.Name, "panic", payment.PanicText(r), "stack", string(debug.Stack()))
		}
	}()
	did, at, err := w.Step(ctx)
	h.watch.beat(w.Name)
	if err != nil && ctx.Err() == nil {
		h.log.WarnContext(ctx, "worker step failed, will be repeated", "worker", w.Name, "error", err)
	}
	h.ended(ctx, w.Name, did, err)
	if did > 0 && w.Name != workerFeed {
		h.bells.ring(workerFeed) // it may have made events
	}
	return at
}

// ended notes how a step ended, for metrics and for who watches the workers.
func (h *House) ended(ctx context.Context, worker string, did int, err error) {
	now := h.clock()
	if err == nil {
		h.metrics.stepped(worker, did, now)
	}
	if err == nil || ctx.Err() == nil { // else it was stopped, which is no failure
		h.watch.ended(worker, err == nil, now)
	}
}

// watched is a job of the schedule whose steps are noted like those of a worker.
func (h *House) watched(s reconcile.Step) reconcile.Step {
	step := s.Step
	s.Step = func(ctx context.Context) (did int, next time.Time, err error) {
		ok := false
		defer func() {
			if !ok { // it panics, which is for the schedule
				h.watch.ended(s.Name, false, h.clock())
			}
		}()
		did, next, err = step(ctx)
		ok = true
		h.ended(ctx, s.Name, did, err)
		return did, next, err
	}
	return s
}

// maxRounds bounds Quiesce: work that makes work for ever is a bug.
const maxRounds = 200

// Quiesce steps every worker, and also, until nobody finds anything to do.
func (h *House) Quiesce(ctx context.Context, also ...Worker) error {
	all := append(also, h.workers...)
	for _, s := range h.scheduled {
		all = append(all, Worker{Name: s.Name, Step: s.Step})
	}
	for range maxRounds {
		did := 0
		for _, w := range all {
			n, _, err := w.Step(ctx)
			h.watch.beat(w.Name)
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
