package house

import (
	"context"
	"time"
)

// gather is how long a woken worker waits before its step, so that what comes in a
// burst (a provider sends several webhooks about one payment) is worked on together.
const gather = 15 * time.Millisecond

// bells wake workers before their time. A worker that is never woken still looks by
// itself every maxSleep: a lost ring costs a second, not work.
type bells map[string]chan struct{}

// newBells makes one bell a worker.
func newBells(workers ...string) bells {
	b := bells{}
	for _, name := range workers {
		b[name] = make(chan struct{}, 1)
	}
	return b
}

// ring wakes a worker, or does nothing if it was woken already.
func (b bells) ring(worker string) {
	select {
	case b[worker] <- struct{}{}:
	default:
	}
}

// wait lets a worker sleep until its time, its bell, or the end. ok is false at the
// end. A worker without a bell (a nil channel) is never woken.
func (b bells) wait(ctx context.Context, worker string, timer *time.Timer) (ok bool) {
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	case <-b[worker]:
	}
	timer.Reset(gather)
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
