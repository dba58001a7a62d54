package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Limits of one page. An append writes the whole page anew, so small ones are cheap;
// bytes keep the document far below what a store takes. A single event always fits.
// (Pages of earlier versions may hold up to 200 events.)
const (
	MaxPageEvents = 16
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
	// Fed counts events fed, per Step and app; nil: nobody counts.
	Fed func(app string, mode payment.Mode, events int)
}

// Relay moves events from payments to feeds. Any number may run at once.
type Relay struct {
	opts RelayOptions

	mu      sync.Mutex
	ends    map[tenant]tail // where feeds end, as we left them, with nothing to mark
	further string          // where to look on, past what can't be fed
}

// maxEnds bounds the feeds whose last page is kept in memory.
const maxEnds = 64

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
	if o.Fed == nil {
		o.Fed = func(string, payment.Mode, int) {}
	}
	return &Relay{opts: o, ends: map[tenant]tail{}}, nil
}

// tenant is whose feed.
type tenant struct {
	app  string
	mode payment.Mode
}

// tail is the last page of a feed, and the ids in the one before it.
type tail struct {
	Page

	before []string
}

// holds are the events that are known to stand in the feed: reads right after a fail-over may
// still show them as waiting.
func (t tail) holds() map[string]bool {
	ids := map[string]bool{}
	for _, id := range t.before {
		ids[id] = true
	}
	for _, e := range t.Events {
		ids[e.ID] = true
	}
	return ids
}

func idsOf(events []Event) []string {
	ids := make([]string, 0, len(events))
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

// Step feeds what waits now. did is how many events it fed, next when to look
// again at the latest. A payment that can't be read or an app whose feed can't be
// written never stops the others.
func (r *Relay) Step(ctx context.Context) (did int, next time.Time, err error) {
	now := r.opts.Clock().UTC()
	next = now.Add(r.opts.Poll)
	// What is known of pages is taken before payments are read (see the package
	// comment), and by one Step only.
	ends := r.takeEnds()
	defer r.keepEnds(ends)
	did, after, err := r.page(ctx, ends, "")
	if did > 0 || after == "" {
		if after != "" {
			next = now
		}
		return did, next, err
	}
	// The head of the queue is full of what can't be fed. Others wait behind it: some more
	// pages are looked through, and the next Step goes on behind them.
	problems := []error{err}
	if at := r.lookOn(); at != "" {
		after = at
	}
	for range maxFurther {
		n, on, err := r.page(ctx, ends, after)
		did += n
		problems = append(problems, err)
		if after = on; after == "" {
			break
		}
	}
	r.lookOnFrom(after)
	return did, next, errors.Join(problems...)
}

// maxFurther bounds how many pages of payments one Step looks through behind a first one
// of which nothing could be fed.
const maxFurther = 4

func (r *Relay) lookOn() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.further
}

func (r *Relay) lookOnFrom(after string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.further = after
}

// page feeds one page of waiting payments. next is the cursor after it, empty where no
// more wait.
func (r *Relay) page(ctx context.Context, ends map[tenant]tail, after string) (did int, next string, err error) {
	waiting, problems, next, err := r.opts.Payments.Unfed(ctx, r.opts.Batch, after)
	if err != nil {
		clear(ends)
		return 0, "", fmt.Errorf("outbox: unfed payments: %w", err)
	}
	var order []tenant
	of := map[tenant][]*payment.Payment{}
	for _, p := range waiting {
		t := tenant{p.App, p.Mode}
		if of[t] == nil {
			order = append(order, t)
		}
		of[t] = append(of[t], p)
	}
	for _, t := range order {
		n, err := r.feed(ctx, t, of[t], ends)
		did += n
		if n > 0 {
			r.opts.Fed(t.app, t.mode, n)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("outbox: feed of %s %s: %w", t.mode, t.app, err))
		}
	}
	return did, next, errors.Join(problems...)
}

func (r *Relay) takeEnds() map[tenant]tail {
	r.mu.Lock()
	defer r.mu.Unlock()
	ends := r.ends
	r.ends = map[tenant]tail{}
	return ends
}

// keepEnds keeps what a Step knows of pages for the next. Too much of it is forgotten:
// a page can be read again.
func (r *Relay) keepEnds(ends map[tenant]tail) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(ends) <= maxEnds {
		r.ends = ends
	}
}

// maxRaces bounds how often an append is begun again because others were faster.
// They have fed what was to be fed, so giving up until the next Step is no loss.
const maxRaces = 16

// feed appends the events of these payments to one feed. ends holds where the feed
// ends, if that was known before the payments were read, and is told where it ends now.
func (r *Relay) feed(ctx context.Context, t tenant, waiting []*payment.Payment, ends map[tenant]tail) (did int, err error) {
	for range maxRaces {
		end, known := ends[t]
		delete(ends, t) // whatever happens now, it is to be read again unless we know better
		var left []Unmarked
		var problem error
		if !known {
			var done bool
			if end, left, done, problem = r.end(ctx, t); done {
				clear(ends)
				return did, problem
			}
			// From here on what is unfed in a payment and not in left is not in the feed as we
			// read it.
			var unread error
			waiting, unread = r.again(ctx, waiting)
			problem = errors.Join(problem, unread)
		}
		events, seen, unfit := collect(t, waiting, left, end.holds())
		old, unseen := r.mark(ctx, seen, nil)
		problem = errors.Join(problem, unseen)
		n, left, appendErr := r.append(ctx, t, &end, events, append(left, old...), waiting)
		did += n
		if errors.Is(appendErr, ErrTaken) {
			continue // what this round could not do, the next one tries too
		}
		// A full page is not kept: its version proves nothing. Others may have gone on from it, and retention may have
		// dropped what they filled since, so that inserting the page after it would succeed, behind all readers.
		if appendErr == nil && end.Version > 0 && !end.Closed && len(left) == 0 {
			ends[t] = end
		}
		if problem != nil || appendErr != nil {
			clear(ends) // the store is in trouble, perhaps failing over: every feed is read again before it is written
		}
		return did, errors.Join(problem, unfit, appendErr)
	}
	return did, nil
}

// maxLeft bounds the payments that can't be marked and are carried from page to
// page: more than a few mean that something else is wrong.
const maxLeft = 50

// end reads where a feed ends, and marks what that page says is perhaps not marked yet.
// done: nothing can be appended now.
func (r *Relay) end(ctx context.Context, t tenant) (end tail, left []Unmarked, done bool, err error) {
	page, found, err := r.opts.Pages.Last(ctx, t.app, t.mode)
	if err != nil {
		return tail{}, nil, true, err
	}
	if !found {
		page = Page{}
	}
	end.Page = page
	if page.N > 1 && !page.Closed { // opened a short while ago, perhaps
		before, _, err := r.opts.Pages.Page(ctx, t.app, t.mode, page.N-1)
		if err != nil {
			return tail{}, nil, true, err
		}
		end.before = idsOf(before.Events)
	}
	left, err = r.mark(ctx, page.Unmarked, nil)
	return end, left, len(left) > maxLeft, err
}

// again reads payments anew. One that can't be read is left for later.
func (r *Relay) again(ctx context.Context, waiting []*payment.Payment) (fresh []*payment.Payment, err error) {
	var problems []error
	for _, p := range waiting {
		now, err := r.opts.Payments.Get(ctx, p.ID)
		if err != nil {
			problems = append(problems, fmt.Errorf("read %s: %w", p.ID, err))
			continue
		}
		fresh = append(fresh, now)
	}
	return fresh, errors.Join(problems...)
}

// append writes events to the end of a feed, page by page, each followed by marking.
// Every page is written against the version that is known of it, so events that were read
// before the first write are not in the feed at the last one either. left is what could not
// be marked: it goes along from page to page.
func (r *Relay) append(ctx context.Context, t tenant, end *tail, events []Event, left []Unmarked, read []*payment.Payment) (did int, _ []Unmarked, err error) {
	for len(events) > 0 && len(left) <= maxLeft {
		page := end.following(t)
		page.Unmarked = left
		n := page.take(events)
		write := r.opts.Pages.ReplacePage
		if page.Version == 0 {
			write = r.opts.Pages.InsertPage
		}
		if writeErr := write(ctx, page); writeErr != nil {
			return did, left, errors.Join(err, writeErr)
		}
		page.Version++
		did += n
		events = events[n:]
		var unmarked error
		left, unmarked = r.mark(ctx, page.Unmarked, read)
		err = errors.Join(err, unmarked)
		if page.N > end.N {
			end.before = idsOf(end.Events)
		}
		end.Page = page
	}
	return did, left, err
}

// following is the page that the next event goes to: the same, or a new one.
func (p Page) following(t tenant) Page {
	switch {
	case p.Version == 0:
		return Page{App: t.app, Mode: t.mode, N: 1, First: 1}
	case p.Closed:
		return Page{App: t.app, Mode: t.mode, N: p.N + 1, First: p.next()}
	}
	return p
}

// mark finishes marking, also what somebody else left, and returns what it could
// not mark. read holds payments as they were just read.
func (r *Relay) mark(ctx context.Context, entries []Unmarked, read []*payment.Payment) (left []Unmarked, err error) {
	if len(entries) == 0 {
		return nil, nil
	}
	known := make(map[string]*payment.Payment, len(read))
	for _, p := range read {
		known[p.ID] = p
	}
	fed := make([]payment.Fed, len(entries))
	for i, u := range entries {
		fed[i] = payment.Fed{Payment: u.Payment, Events: u.Events, Read: known[u.Payment]}
	}
	var problems []error
	for i, err := range r.opts.Marker.MarkFed(ctx, fed) {
		if err != nil {
			left = append(left, entries[i])
			problems = append(problems, fmt.Errorf("mark events of %s: %w", entries[i].Payment, err))
		}
	}
	return left, errors.Join(problems...)
}

// collect gathers the events that wait in these payments, per payment in order,
// without those that the feed has already: fed, which can't be marked now, and those that
// it holds although the payment still shows them. seen are the latter.
func collect(t tenant, waiting []*payment.Payment, fed []Unmarked, holds map[string]bool) (out []Event, seen []Unmarked, err error) {
	known := map[string]bool{}
	for _, u := range fed {
		for _, id := range u.Events {
			known[id] = true
		}
	}
	var problems []error
	for _, p := range waiting {
		if p.App != t.app || p.Mode != t.mode {
			continue
		}
		old := Unmarked{Payment: p.ID}
		for _, e := range p.Outbox {
			if known[e.ID] {
				continue
			}
			if holds[e.ID] {
				old.Events = append(old.Events, e.ID)
				continue
			}
			if !json.Valid(e.Body) {
				problems = append(problems, fmt.Errorf("event %s of %s carries no JSON", e.ID, p.ID))
				break // order within a payment is kept: what follows waits too
			}
			out = append(out, Event{ID: e.ID, Type: e.Type, CreatedAt: e.At.UTC(), Payment: p.ID, Object: e.Body})
		}
		if len(old.Events) > 0 {
			seen = append(seen, old)
		}
	}
	return out, seen, errors.Join(problems...)
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
