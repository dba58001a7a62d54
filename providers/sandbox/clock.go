package sandbox

import (
	"context"
	"errors"
	"slices"
	"time"
)

// timer is something that happens at a moment of the virtual clock.
type timer struct {
	at  time.Time
	seq uint64
	key string
	fn  func()
}

// After runs fn once the virtual clock has reached at (session expiry, a late
// settlement, ...). fn runs with Lock held and must not take it. A second After
// with the same key replaces the first.
func (w *World) After(at time.Time, key string, fn func()) {
	w.inner.Lock()
	w.removeTimer(key)
	w.timerSeq++
	w.timers = append(w.timers, &timer{at: at, seq: w.timerSeq, key: key, fn: fn})
	w.inner.Unlock()
	w.wake()
}

// Cancel removes the timer with that key, if there is one.
func (w *World) Cancel(key string) {
	w.inner.Lock()
	defer w.inner.Unlock()
	w.removeTimer(key)
}

func (w *World) removeTimer(key string) {
	w.timers = slices.DeleteFunc(w.timers, func(t *timer) bool { return t.key == key })
}

// nextTimer takes out the earliest timer due at now; nil if none is.
func (w *World) nextTimer(now time.Time) *timer {
	w.inner.Lock()
	defer w.inner.Unlock()
	best := w.earliestTimer()
	if best < 0 || w.timers[best].at.After(now) {
		return nil
	}
	t := w.timers[best]
	w.timers = slices.Delete(w.timers, best, best+1)
	return t
}

// earliestTimer is the index of the earliest timer, -1 without any. Ties go to the
// one set first, so that a seed always replays the same way.
func (w *World) earliestTimer() int {
	best := -1
	for i, t := range w.timers {
		if best < 0 || t.at.Before(w.timers[best].at) || (t.at.Equal(w.timers[best].at) && t.seq < w.timers[best].seq) {
			best = i
		}
	}
	return best
}

// RunDue runs all timers that are due, each under Lock. Call it without Lock held.
func (w *World) RunDue() {
	for {
		w.state.Lock()
		t := w.nextTimer(w.Now())
		if t != nil {
			t.fn()
		}
		w.state.Unlock()
		if t == nil {
			return
		}
	}
}

// NextDue is the moment of the virtual clock at which the next timer or delivery is
// due; zero when nothing is planned.
func (w *World) NextDue() time.Time {
	w.inner.Lock()
	defer w.inner.Unlock()
	var next time.Time
	if i := w.earliestTimer(); i >= 0 {
		next = w.timers[i].at
	}
	for _, d := range w.due {
		if next.IsZero() || d.at.Before(next) {
			next = d.at
		}
	}
	return next
}

// maxRounds bounds how often Advance lets the two sides answer each other (a
// delivery makes the other side call us, which emits events, and so on).
const maxRounds = 200

// Advance adds d to the virtual clock. It walks from one due moment to the next, so
// that a retry chain or an expiry inside d happens at its own time; then it calls
// AfterAdvance and repeats while that made something due. It returns when quiet or
// when ctx ends. A negative d is ignored: the clock never goes back.
func (w *World) Advance(ctx context.Context, d time.Duration) {
	w.adv.Lock()
	defer w.adv.Unlock()
	target := w.Now().Add(max(d, 0))
	for ctx.Err() == nil {
		w.settle(ctx)
		next := w.NextDue()
		if next.IsZero() || next.After(target) {
			break
		}
		w.moveTo(next)
	}
	w.moveTo(target)
	for range maxRounds {
		w.settle(ctx)
		if w.opt.AfterAdvance != nil {
			w.opt.AfterAdvance(ctx)
		}
		next := w.NextDue()
		if ctx.Err() != nil || next.IsZero() || next.After(w.Now()) {
			break
		}
	}
	w.wake()
}

// moveTo moves the virtual clock forward to t; it never moves it back.
func (w *World) moveTo(t time.Time) {
	if gap := t.Sub(w.Now()); gap > 0 {
		w.offset.Add(int64(gap))
	}
}

// settle runs due timers and deliveries until neither is left.
func (w *World) settle(ctx context.Context) {
	for ctx.Err() == nil {
		w.RunDue()
		did, _, err := w.StepDeliveries(ctx)
		if err != nil && !errors.Is(err, context.Canceled) {
			w.opt.Logger.Error("sandbox deliveries", "err", err)
		}
		w.waitIdle(ctx)
		if did == 0 && !w.timerDue() {
			return
		}
	}
}

func (w *World) timerDue() bool {
	w.inner.Lock()
	defer w.inner.Unlock()
	i := w.earliestTimer()
	return i >= 0 && !w.timers[i].at.After(w.Now())
}

// wake makes the loops of Run look again.
func (w *World) wake() {
	w.inner.Lock()
	defer w.inner.Unlock()
	for _, c := range w.wakes {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
