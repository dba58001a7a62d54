package inbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/parallel"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// group is the due events that wait for one payment; without a payment, one
// event that nobody can place yet.
type group struct {
	placement
	events []member
	err    error // its one event can't be placed: the payment that it may concern can't be read
}

// member is one event and the attempts that it wants read.
type member struct {
	Record
	at placement
}

// Step does the work that is due now: it claims events, reads each payment
// concerned once, and settles its events. did is how many events it worked on,
// next when to look again at the latest. One event that fails never stops the
// others; err tells of what could not be written down and will be done again.
func (b *Inbox) Step(ctx context.Context) (did int, next time.Time, err error) {
	now := b.now()
	next = now.Add(b.opts.Poll)
	if b.opts.Off {
		return 0, next, nil
	}
	due, err := b.opts.Store.Due(ctx, now, b.opts.Batch)
	if err != nil {
		err = fmt.Errorf("inbox: due events: %w", err)
	}
	groups := b.grouped(ctx, due)
	var worked atomic.Int64
	results := make([]error, len(groups))
	parallel.Each(b.opts.Parallel, len(groups), func(i int) {
		n, err := b.work(ctx, groups[i])
		worked.Add(int64(n))
		results[i] = err
	})
	did = int(worked.Load())
	if len(due) == b.opts.Batch && did > 0 { // there may be more; where nothing can be done, asking at once helps nobody
		next = now
	}
	return did, next, errors.Join(append(results, err)...)
}

// grouped puts due events together by the payment to read, in order of their
// first event. What can't be placed now stands by itself.
func (b *Inbox) grouped(ctx context.Context, due []Record) (groups []*group) {
	byPayment, read := map[string]*group{}, claims{}
	for _, r := range due {
		var at placement
		if r.State == Pending {
			var err error
			if at, err = b.place(ctx, r.Account, r.Event.Object, r.Event.Hint, read); err != nil {
				err = fmt.Errorf("inbox: place %s: %w", r.ID, err)
				groups = append(groups, &group{events: []member{{r, at}}, err: err})
				continue
			}
		}
		g := byPayment[at.payment]
		if g == nil || at.payment == "" {
			g = &group{placement: at}
			groups = append(groups, g)
			byPayment[at.payment] = g
		}
		g.events = append(g.events, member{r, at})
	}
	return groups
}

// unplaced puts an event back whose payment can't be read, like any other that failed:
// left due it would keep its place at the head of the queue, before events that can be
// worked on, and nobody would ever hear of it. Where the store does not answer at all,
// it can't be claimed either, stays due and costs no try.
func (b *Inbox) unplaced(ctx context.Context, g *group) (did int, err error) {
	t := b.take(ctx, g.events[0])
	switch {
	case t.dead:
		return 1, t.err
	case t.err != nil || !t.ok:
		return 0, errors.Join(g.err, t.err)
	}
	return 1, errors.Join(g.err, b.later(ctx, t.Record, errUnplaced))
}

// work does one group: claim, read, settle. Where another process has the first
// event already, it is about to read the payment for the whole group: the rest is
// left to it, and stays due should it die.
func (b *Inbox) work(ctx context.Context, g *group) (did int, err error) {
	if ctx.Err() != nil {
		return 0, nil //nolint:nilerr // stopping: everything stays due
	}
	if first := g.events[0]; first.State != Pending {
		return 1, b.tell(ctx, first.Record)
	}
	if g.err != nil {
		return b.unplaced(ctx, g)
	}
	// The first one by itself, then the rest together, and so are they settled: writes
	// that come at once share one commit.
	took := make([]taken, len(g.events))
	take := func(i int) { took[i] = b.take(ctx, g.events[i]) }
	take(0)
	if !took[0].ok && took[0].err == nil {
		return 0, nil
	}
	parallel.Each(b.opts.Parallel, len(took)-1, func(i int) { take(i + 1) })
	var problems []error
	claimed := make([]member, 0, len(took))
	for _, t := range took {
		problems = append(problems, t.err)
		switch {
		case t.dead:
			did++
		case t.ok:
			claimed = append(claimed, t.member)
		}
	}
	if len(claimed) == 0 {
		return did, errors.Join(problems...)
	}
	seen := b.look(ctx, g.payment, claimed)
	results := make([]error, len(claimed))
	parallel.Each(b.opts.Parallel, len(claimed), func(i int) { results[i] = b.conclude(ctx, claimed[i], seen) })
	return did + len(claimed), errors.Join(append(problems, results...)...)
}

// taken is what came of taking one event of a group.
type taken struct {
	member
	ok   bool // it is ours
	dead bool // it was given up at once
	err  error
}

// take claims an event. One whose every try ended without a word may be what kills
// us: it is given up.
func (b *Inbox) take(ctx context.Context, m member) (t taken) {
	r, ok, err := b.claim(ctx, m.Record)
	t = taken{member: member{r, m.at}, ok: ok, err: err}
	if ok && r.Tries > b.opts.MaxTries {
		t.dead = true
		t.err = b.settle(ctx, r, func(r Record, now time.Time) Record {
			return r.final(Dead, "never_finished", false, now)
		})
	}
	return t
}

// claim takes an event. ok is false where another worker was first.
func (b *Inbox) claim(ctx context.Context, r Record) (Record, bool, error) {
	owner := fmt.Sprintf("%s/%d", b.opts.Owner, b.claims.Add(1)) // no two claims write equal bytes
	now := b.now()
	r, ok, err := b.opts.Store.Change(ctx, r.ID, WriteClaim, func(r Record) (Record, bool) {
		return r.claimed(owner, b.opts.Lease, now)
	})
	if err != nil {
		return r, false, fmt.Errorf("inbox: claim %s: %w", r.ID, err)
	}
	return r, ok, nil
}

// sight is what reading a group's payment brought.
type sight struct {
	payment *payment.Payment // as it is now, nil where nothing is known
	failed  map[int]error    // attempts that could not be read
	err     error            // nothing could be done at all
}

// of is the error that stands between an event and its conclusion. An event about the
// root's own money need not wait for what stands beside the root.
func (s sight) of(m member) error {
	if s.err != nil {
		return s.err
	}
	for _, n := range m.at.ns {
		if err := s.failed[n]; err != nil && !(providers.Beside(err) && below(m.Event.Object.Kind)) {
			return err
		}
	}
	return nil
}

// below says whether an object of this kind is a checkout or stands below it, so that
// reading the checkout shows it.
func below(kind string) bool { return carries(kind) && kind != "dispute" }

// look reads the attempts that a group wants, each once, and runs what became
// due, so that an approved order is captured although nobody came back.
func (b *Inbox) look(ctx context.Context, id string, events []member) sight {
	s := sight{failed: map[int]error{}}
	if id == "" {
		return s
	}
	newest := events[0]
	done := map[int]bool{}
	for _, m := range events {
		if m.Event.Created.After(newest.Event.Created) {
			newest = m
		}
	}
	src := newest.source()
	for _, m := range events {
		for _, n := range m.at.ns {
			if done[n] {
				continue
			}
			done[n] = true
			p, err := b.opts.Applier.Refresh(ctx, id, n, src)
			if p != nil {
				s.payment = p
			}
			if err != nil {
				s.failed[n] = err
			}
		}
	}
	if len(done) > 0 {
		b.opts.Metrics.Fetched(newest.Provider, len(events))
	}
	agreed := b.approvals(ctx, id, events, s)
	if s.payment != nil && len(s.failed) == 0 && !agreed && settled(s.payment) {
		return s // read a moment ago, and nothing is to be done
	}
	p, err := b.opts.Applier.RunDue(ctx, id, src)
	if err != nil {
		s.err = err
		return s
	}
	s.payment = p
	return s
}

// approvals notes when customers agreed, of attempts that were read, and says whether there
// was any. It makes an order due that they approved again after a decline.
func (b *Inbox) approvals(ctx context.Context, id string, events []member, s sight) (agreed bool) {
	for _, m := range events {
		for _, n := range m.at.ns {
			if !m.Event.Approved || !m.at.known || s.failed[n] != nil {
				continue
			}
			agreed = true
			if err := b.opts.Applier.Approved(ctx, id, n, m.Event.Created, m.source()); err != nil {
				s.failed[n] = err
			}
		}
	}
	return agreed
}

// settled says that nothing is to be done about a payment now or later.
func settled(p *payment.Payment) bool {
	return !slices.ContainsFunc(p.Operations, func(op payment.Operation) bool { return !op.State.Settled() })
}
