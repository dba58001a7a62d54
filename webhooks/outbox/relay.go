package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Limits of one page. An append writes the whole page anew, so small ones are cheap;
// bytes keep the document far below what a store takes. A single event always fits.
// (Pages of earlier versions may hold up to 200 events.)
const (
	MaxPageEvents = 40
	maxPageBytes  = 448 << 10
)

// RelayOptions are what the relay needs. All are required unless a default is
// named.
type RelayOptions struct {
	Payments Payments
	Marker   Marker
	Pages    Pages
	Clock    func() time.Time
	Batch    int           // payments in one Step, at most 500; default 100
	Poll     time.Duration // how soon to look again when there is nothing to do; default 1 s
	// Parallel is how many payments are marked at once, so that a store that commits
	// together what comes together can do so; default 1.
	Parallel int
	// Fed counts events fed, per Step and app; nil: nobody counts.
	Fed func(app string, mode payment.Mode, events int)
}

// Relay moves events from payments to feeds. Any number may run at once.
type Relay struct {
	opts RelayOptions

	mu    sync.Mutex
	clean map[tenant]place // pages as we wrote them, with nothing left to mark
}

// place is one page in one version.
type place struct{ n, version int64 }

// NewRelay checks the options and makes a relay.
func NewRelay(o RelayOptions) (*Relay, error) {
	if o.Payments == nil || o.Marker == nil || o.Pages == nil || o.Clock == nil {
		return nil, errors.New("outbox: a RelayOptions field is missing")
	}
	if o.Batch <= 0 {
		o.Batch = 100
	}
	if o.Batch > 500 {
		return nil, fmt.Errorf("outbox: Batch %d is out of range", o.Batch)
	}
	if o.Poll <= 0 {
		o.Poll = time.Second
	}
	o.Parallel = max(1, o.Parallel)
	if o.Fed == nil {
		o.Fed = func(string, payment.Mode, int) {}
	}
	return &Relay{opts: o, clean: map[tenant]place{}}, nil
}

// tenant is whose feed.
type tenant struct {
	app  string
	mode payment.Mode
}

// Step feeds what waits now. did is how many events it fed, next when to look
// again at the latest. A payment that can't be read or an app whose feed can't be
// written never stops the others.
func (r *Relay) Step(ctx context.Context) (did int, next time.Time, err error) {
	now := r.opts.Clock().UTC()
	next = now.Add(r.opts.Poll)
	ids, err := r.opts.Payments.Unfed(ctx, r.opts.Batch)
	if err != nil {
		return 0, next, fmt.Errorf("outbox: unfed payments: %w", err)
	}
	var problems []error
	var order []tenant
	waiting := map[tenant][]string{}
	for _, id := range ids {
		p, err := r.opts.Payments.Get(ctx, id)
		if err != nil {
			problems = append(problems, fmt.Errorf("outbox: read %s: %w", id, err))
			continue
		}
		t := tenant{p.App, p.Mode}
		if waiting[t] == nil {
			order = append(order, t)
		}
		waiting[t] = append(waiting[t], id)
	}
	for _, t := range order {
		n, err := r.feed(ctx, t, waiting[t])
		did += n
		if n > 0 {
			r.opts.Fed(t.app, t.mode, n)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("outbox: feed of %s %s: %w", t.mode, t.app, err))
		}
	}
	if len(ids) == r.opts.Batch && did > 0 {
		next = now
	}
	return did, next, errors.Join(problems...)
}

// maxRaces bounds how often an append is begun again because others were faster.
// They have fed what was to be fed, so giving up until the next Step is no loss.
const maxRaces = 16

// feed appends the events of these payments to one feed.
func (r *Relay) feed(ctx context.Context, t tenant, ids []string) (did int, err error) {
	var problems error
	for range maxRaces {
		n, more, err := r.round(ctx, t, ids)
		did += n
		if errors.Is(err, ErrTaken) {
			continue
		}
		problems = err // of the last round: what an earlier one could not do, it tried too
		if n == 0 && err != nil || !more {
			break
		}
	}
	return did, problems
}

// maxLeft bounds the payments that can't be marked and are carried from page to
// page: more than a few mean that something else is wrong.
const maxLeft = 50

// round is one append: last page, marking, payments, append, marking, in this
// order (see the package comment). more says that events are left.
func (r *Relay) round(ctx context.Context, t tenant, ids []string) (did int, more bool, err error) {
	page, found, err := r.opts.Pages.Last(ctx, t.app, t.mode)
	if err != nil {
		return 0, false, err
	}
	var left []Unmarked
	if !r.finished(t, page) {
		left, err = r.mark(ctx, page.Unmarked)
	}
	if len(left) > maxLeft {
		return 0, false, err
	}
	// From here on what is unfed in a payment and not in left is not in the feed as
	// we read it.
	events, readErr := r.collect(ctx, t, ids, left)
	err = errors.Join(err, readErr)
	if len(events) == 0 {
		return 0, false, err
	}
	switch {
	case !found:
		page = Page{App: t.app, Mode: t.mode, N: 1, First: 1}
	case page.Closed:
		page = Page{App: t.app, Mode: t.mode, N: page.N + 1, First: page.next()}
	}
	page.Unmarked = left
	n := page.take(events)
	write := r.opts.Pages.ReplacePage
	if page.Version == 0 {
		write = r.opts.Pages.InsertPage
	}
	if writeErr := write(ctx, page); writeErr != nil {
		return 0, false, writeErr
	}
	page.Version++
	if left, markErr := r.mark(ctx, page.Unmarked); len(left) == 0 {
		r.finish(t, page)
	} else {
		err = errors.Join(err, markErr)
	}
	return n, n < len(events), err
}

// mark finishes marking, also what somebody else left, and returns what it could
// not mark.
func (r *Relay) mark(ctx context.Context, entries []Unmarked) (left []Unmarked, err error) {
	failed := make([]error, len(entries))
	if r.opts.Parallel == 1 {
		for i, u := range entries {
			failed[i] = r.opts.Marker.MarkFed(ctx, u.Payment, u.Events)
		}
	} else {
		var all errgroup.Group
		all.SetLimit(r.opts.Parallel)
		for i, u := range entries {
			all.Go(func() error {
				failed[i] = r.opts.Marker.MarkFed(ctx, u.Payment, u.Events)
				return nil // one that fails does not stop the others
			})
		}
		_ = all.Wait()
	}
	var problems []error
	for i, err := range failed {
		if err != nil {
			left = append(left, entries[i])
			problems = append(problems, fmt.Errorf("mark events of %s: %w", entries[i].Payment, err))
		}
	}
	return left, errors.Join(problems...)
}

// finish remembers that everything on a page as we wrote it is marked, which
// saves reading those payments again.
func (r *Relay) finish(t tenant, p Page) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clean[t] = place{p.N, p.Version}
}

func (r *Relay) finished(t tenant, p Page) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clean[t] == place{p.N, p.Version}
}

// collect reads the events that wait in these payments, per payment in order,
// without those that the feed has already. A payment that can't be read is left
// for later.
func (r *Relay) collect(ctx context.Context, t tenant, ids []string, fed []Unmarked) ([]Event, error) {
	known := map[string]bool{}
	for _, u := range fed {
		for _, id := range u.Events {
			known[id] = true
		}
	}
	var out []Event
	var problems []error
	for _, id := range ids {
		p, err := r.opts.Payments.Get(ctx, id)
		if err != nil {
			problems = append(problems, fmt.Errorf("read %s: %w", id, err))
			continue
		}
		if p.App != t.app || p.Mode != t.mode {
			continue
		}
		for _, e := range p.Outbox {
			if known[e.ID] {
				continue
			}
			if !json.Valid(e.Body) {
				problems = append(problems, fmt.Errorf("event %s of %s carries no JSON", e.ID, id))
				break // order within a payment is kept: what follows waits too
			}
			out = append(out, Event{ID: e.ID, Type: e.Type, CreatedAt: e.At.UTC(), Payment: id, Object: e.Body})
		}
	}
	return out, errors.Join(problems...)
}

// take appends as many events as fit, numbered, and closes the page when it is
// full. It says how many it took; none from a page that only had to be closed.
func (p *Page) take(events []Event) int {
	bytes := 0
	for _, e := range p.Events {
		bytes += len(e.Object)
	}
	for i, e := range events {
		bytes += len(e.Object)
		if len(p.Events) >= MaxPageEvents || bytes > maxPageBytes && len(p.Events) > 0 {
			p.Closed = true
			return i
		}
		e.Sequence = p.next()
		p.Events = append(p.Events, e)
		p.noteUnmarked(e)
	}
	p.Closed = len(p.Events) >= MaxPageEvents
	return len(events)
}

func (p *Page) noteUnmarked(e Event) {
	if last := len(p.Unmarked) - 1; last >= 0 && p.Unmarked[last].Payment == e.Payment {
		p.Unmarked[last].Events = append(p.Unmarked[last].Events, e.ID)
		return
	}
	p.Unmarked = append(p.Unmarked, Unmarked{Payment: e.Payment, Events: []string{e.ID}})
}
