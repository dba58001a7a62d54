package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// closed keeps n clients busy for a while: each sends its next request when the last
// is answered. It returns how many were answered a second, and every latency.
func closed(ctx context.Context, n int, span time.Duration, fn func(ctx context.Context, i int) error) (float64, []time.Duration, error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	began := time.Now()
	for range n {
		wg.Go(func() {
			var mine []time.Duration
			var err error
			for err == nil && time.Since(began) < span && ctx.Err() == nil {
				at := time.Now()
				err = fn(ctx, int(next.Add(1)-1))
				mine = append(mine, time.Since(at))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			if failed == nil {
				failed = err
			}
		})
	}
	wg.Wait()
	return float64(len(took)) / time.Since(began).Seconds(), sorted(took), failed
}

// open sends requests at times fixed beforehand, whatever became of those before, so
// that a slow answer can't hide the wait of those behind it. Latency counts from the
// planned time.
func open(ctx context.Context, perSecond int, span time.Duration, fn func(ctx context.Context, i int) error) ([]time.Duration, error) {
	total := int(span.Seconds() * float64(perSecond))
	took := make([]time.Duration, total)
	errs := make(chan error, total)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range total {
		planned := began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		time.Sleep(time.Until(planned))
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			if err := fn(ctx, i); err != nil {
				errs <- err
			}
			took[i] = time.Since(planned)
		})
	}
	wg.Wait()
	close(errs)
	return sorted(took), <-errs
}

// each does n things, at most width at once, and stops at the first error.
func each(ctx context.Context, n, width int, fn func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range width {
		wg.Go(func() {
			for {
				i := int(next.Add(1) - 1)
				if i >= n || ctx.Err() != nil {
					return
				}
				if err := fn(ctx, i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
