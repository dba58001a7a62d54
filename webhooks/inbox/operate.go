package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Filter narrows a list of events. Zero values do not filter.
type Filter struct {
	State   State
	Account string
	Limit   int // 1..500
	After   string
}

// maxProblems bounds how many events an error of ReplayAll names.
const maxProblems = 10

// pruneBatch is how many bodies one write round of Prune deletes.
const pruneBatch = 100

// List reads events, newest received first, and a cursor, empty at the end.
func (b *Inbox) List(ctx context.Context, f Filter) ([]Record, string, error) {
	return b.opts.Store.List(ctx, f)
}

// Get reads one event; ErrNotFound.
func (b *Inbox) Get(ctx context.Context, id string) (Record, error) { return b.opts.Store.Get(ctx, id) }

// Body reads an event's raw body as evidence; nil once it was pruned. It may hold
// personal data: for operators only, and never for a log.
func (b *Inbox) Body(ctx context.Context, id string) ([]byte, error) {
	return b.opts.Store.Body(ctx, id)
}

// Backlog is how much waits, by state. Counts stop at CountLimit.
type Backlog struct {
	Pending, Parked, Dead int
	OldestPending         time.Time // received; zero where none waits
}

// CountLimit is where a Backlog stops counting.
const CountLimit = 10_000

// Backlog counts what is not done.
func (b *Inbox) Backlog(ctx context.Context) (Backlog, error) {
	var out Backlog
	for _, c := range []struct {
		state State
		n     *int
	}{{Pending, &out.Pending}, {Parked, &out.Parked}, {Dead, &out.Dead}} {
		f := Filter{State: c.state, Limit: 500}
		for *c.n < CountLimit {
			page, next, err := b.opts.Store.List(ctx, f)
			if err != nil {
				return Backlog{}, fmt.Errorf("inbox: count %s: %w", c.state, err)
			}
			*c.n += len(page)
			if c.state == Pending && len(page) > 0 {
				out.OldestPending = page[len(page)-1].ReceivedAt
			}
			if next == "" {
				break
			}
			f.After = next
		}
	}
	return out, nil
}

// Replay queues one event again, as if it had just come in. An operator's word
// overrides why it was parked: all that follows is a read. ErrState for an event
// that a worker holds, or of a type that nobody acts on; ErrNotFound.
func (b *Inbox) Replay(ctx context.Context, id string) (Record, error) {
	now := b.now()
	refused := State("")
	r, ok, err := b.opts.Store.Change(ctx, id, WriteReplay, func(r Record) (Record, bool) {
		refused = ""
		if r.State == Irrelevant || r.held(now) {
			refused = r.State
			return r, false
		}
		return r.restarted(now), true
	})
	if err != nil {
		return r, fmt.Errorf("inbox: replay %s: %w", id, err)
	}
	if !ok {
		return r, fmt.Errorf("%w: %s is %s", ErrState, id, refused)
	}
	return r, nil
}

// ReplayAll replays every event in a final state (Dead or Parked) that f names,
// and says how many. One that changed meanwhile is left alone; one that can't be
// replayed, such as one that can't be read, stops no other and is named in the error.
func (b *Inbox) ReplayAll(ctx context.Context, f Filter) (n int, err error) {
	ids, err := b.ReplayNamed(ctx, f)
	return len(ids), err
}

// ReplayNamed is ReplayAll, and says which.
func (b *Inbox) ReplayNamed(ctx context.Context, f Filter) (ids []string, err error) {
	if f.State != Dead && f.State != Parked {
		return nil, fmt.Errorf("%w: only dead or parked events are replayed in bulk", ErrState)
	}
	f.Limit = 100
	var problems []error
	for {
		page, next, err := b.opts.Store.List(ctx, f)
		if err != nil {
			return ids, errors.Join(append(problems, fmt.Errorf("inbox: list %s: %w", f.State, err))...)
		}
		now := b.now()
		for _, r := range page {
			_, ok, err := b.opts.Store.Change(ctx, r.ID, WriteReplay, func(r Record) (Record, bool) {
				if r.State != f.State {
					return r, false
				}
				return r.restarted(now), true
			})
			switch {
			case ctx.Err() != nil:
				return ids, errors.Join(append(problems, ctx.Err())...)
			case err != nil && len(problems) < maxProblems:
				problems = append(problems, fmt.Errorf("inbox: replay %s: %w", r.ID, err))
			case ok:
				ids = append(ids, r.ID)
			}
		}
		if next == "" {
			return ids, errors.Join(problems...)
		}
		f.After = next
	}
}

// Prune deletes the raw bodies of events received before the given time (90 days
// ago); what was read from them, and that they came, stays. It works at most one
// batch of a hundred rounds and may simply be called again. Events that can't be read
// are named, and stop no round.
func (b *Inbox) Prune(ctx context.Context, before time.Time) (n int, err error) {
	for range 100 {
		did, roundErr := b.opts.Store.PruneBodies(ctx, before, pruneBatch)
		n += did
		if err = nil; roundErr != nil { // the last round's: each of them meets the same events
			err = fmt.Errorf("inbox: prune: %w", roundErr)
		}
		if did < pruneBatch {
			break
		}
	}
	return n, err
}
