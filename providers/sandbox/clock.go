package sandbox

import (
	"context"
	"errors"
	"time"
)

// timer is something that happens at a moment of the virtual clock; without fn it
// was cancelled.
type timer struct {
	at  time.Time
	key string
	fn  func()
}

// After runs fn once the virtual clock has reached at (session expiry, a late
// settlement, ...). fn runs with Lock held and must not take it. A second After
// with the same key replaces the first.
func (w *World) After(at time.Time, key string, fn func()) {
	w.inner.Lock()
	w.cancel(key)
	t := &timer{at: at, key: key, fn: fn}
	w.byKey[key] = t
	w.timers.add(at, t)
	w.inner.Unlock()
	w.wake()
}

// Cancel removes the timer with that key, if there is one.
func (w *World) Cancel(key string) {
	w.inner.Lock()
	defer w.inner.Unlock()
	w.cancel(key)
}

func (w *World) cancel(key string) {
	if t := w.byKey[key]; t != nil {
		t.fn = nil
		delete(w.byKey, key)
	}
}

// nextTimer takes out the earliest timer due at now; nil if none is.
func (w *World) nextTimer(now time.Time) func() {
	w.inner.Lock()
	defer w.inner.Unlock()
	for {
		t, ok := w.timers.pop(now)
		if !ok {
			return nil
		}
		if t.fn != nil {
			delete(w.byKey, t.key)
			return t.fn
		}
	}
}

// RunDue runs all timers that are due, each under Lock. Call it without Lock held.
func (w *World) RunDue() {
	for {
		w.state.Lock()
		fn := w.nextTimer(w.Now())
		if fn != nil {
			fn()
		}
		w.state.Unlock()
		if fn == nil {
			return
		}
	}
}

// NextDue is the moment of the virtual clock at which the next timer or delivery is
// due; zero when nothing is planned.
func (w *World) NextDue() time.Time {
	w.inner.Lock()
	defer w.inner.Unlock()
	next := w.timers.next()
	if d := w.due.next(); next.IsZero() || (!d.IsZero() && d.Before(next)) {
		next = d
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
	at := w.timers.next()
	return !at.IsZero() && !at.After(w.Now())
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
