// Package alerts tells admins about alerts. Rules decide from an alert and the
// time which channels are told (routes, escalation, quiet hours); a Box decides
// for one channel what goes out by itself, what waits for a digest and what
// another channel gets instead. Both are pure. The Dispatcher carries it out in
// steps, from durable records: raising an alert only writes a record, so no
// payment ever waits for a mail server.
//
// It must not: decide that something is an alert (whoever sees it raises it),
// speak a channel's protocol (the rooms below it do), or put anything into a
// subject but our own words and configured names.
package alerts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
)

// Channel brings a message to people. It is one try: waiting and trying again
// are the Dispatcher's. An error is a Failure, or counts as a passing one of the
// channel, unless it is a Partial. The same Message.ID may come twice, after a crash.
type Channel interface {
	Send(ctx context.Context, m Message) error
}

// Failure is why a channel did not take a message.
type Failure struct {
	// Permanent: it is about this message, or about who is left to get it; others may pass.
	Permanent bool
	// Unknown: it may have been taken, the answer did not come. Whoever has it gets it again
	// with each try, so there are few.
	Unknown bool
	// RetryAfter is what the channel asked for, zero if nothing.
	RetryAfter time.Duration
	Cause      error
}

func (f Failure) Error() string { return f.Cause.Error() }

// Unwrap gives the cause.
func (f Failure) Unwrap() error { return f.Cause }

// Store keeps alerts and boxes. A function given to ChangeBox may run more than
// once; without the second result nothing is written.
type Store interface {
	// ToTell lists alerts to look at by now, the longest due first. An unreadable
	// record is left out, and told with the error.
	ToTell(ctx context.Context, now time.Time, limit int) ([]gateway.AlertRecord, error)
	Get(ctx context.Context, id string) (gateway.AlertRecord, error)
	Change(ctx context.Context, id string, fn func(gateway.AlertRecord) (gateway.AlertRecord, error)) error
	Box(ctx context.Context, channel string) (Box, error)
	ChangeBox(ctx context.Context, channel string, fn func(*Box) bool) error
	// Boxes lists all boxes, also of channels that are configured no more. Unreadable
	// ones are left out, and told with the error.
	Boxes(ctx context.Context) ([]Box, error)
}

// Options are what a Dispatcher needs. All are required unless a default is named.
type Options struct {
	Store    Store
	Rules    Rules
	Channels map[string]Channel
	Clock    func() time.Time
	Owner    string // names this process run, never reused
	// PublicURL is where the links in messages lead.
	PublicURL string
	Logger    *slog.Logger
	// Sent observes each try by channel and result. Default: nobody.
	Sent func(channel, result string)
}

// Dispatcher tells people. Make it with New.
type Dispatcher struct {
	o     Options
	names []string // of the channels, sorted

	// Of the worker that decides: when it last looked for boxes that nobody serves, and of
	// which it has said that nobody is to have what is in them.
	looked   time.Time
	heirless map[string]bool
}

// Step is one worker: Run does what is due and says when to come again.
type Step struct {
	Name string
	Run  func(ctx context.Context) (did int, next time.Time, err error)
}

const (
	perPlan  = 100 // alerts planned in one step
	perSend  = 10  // messages sent in one step
	idle     = time.Second
	postpone = time.Minute // until an alert is looked at again that can't be queued
	// sendTime bounds one try. A mail server may think for long before it answers, and an
	// answer that is not waited for means the same mail again. It is within claimFor.
	sendTime = time.Minute
	slowStep = 2 * sendTime // a step that takes longer is left to the next one: a worker has to be seen working
)

// New checks that rules and channels fit together.
func New(o Options) (*Dispatcher, error) {
	if o.Store == nil || o.Clock == nil || o.Owner == "" || o.Logger == nil {
		return nil, errors.New("alerts: Store, Clock, Owner and Logger are required")
	}
	if o.Sent == nil {
		o.Sent = func(string, string) {}
	}
	o.Rules = o.Rules.withDefaults()
	d := &Dispatcher{o: o, heirless: map[string]bool{}}
	for name := range o.Channels {
		d.names = append(d.names, name)
	}
	slices.Sort(d.names)
	var named []string
	for _, r := range o.Rules.Routes {
		named = append(append(named, r.Channels...), r.Failover...)
	}
	for _, e := range o.Rules.Escalations {
		named = append(named, e.Channels...)
	}
	for _, n := range named {
		if o.Channels[n] == nil {
			return nil, fmt.Errorf("alerts: a rule names the channel %q, which is not there", n)
		}
	}
	return d, nil
}

// Steps are the workers: one that decides, and one for each channel, so that a
// slow mail server holds up nobody else.
func (d *Dispatcher) Steps() []Step {
	steps := []Step{{Name: "alerts", Run: d.plan}}
	for _, name := range d.names {
		steps = append(steps, Step{Name: "alerts." + name, Run: func(ctx context.Context) (int, time.Time, error) { return d.send(ctx, name) }})
	}
	return steps
}

// Step runs all workers once, one after the other: for tests and simulators.
func (d *Dispatcher) Step(ctx context.Context) (did int, next time.Time, err error) {
	var errs []error
	for _, s := range d.Steps() {
		n, at, err := s.Run(ctx)
		if did += n; next.IsZero() || at.Before(next) {
			next = at
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
		}
	}
	return did, next, errors.Join(errs...)
}

// plan decides who is told of what is new, and hands it to the channels' boxes.
// An alert is marked last: a crash before that plans it again, and boxes know
// notices that they have.
func (d *Dispatcher) plan(ctx context.Context) (int, time.Time, error) {
	now := d.o.Clock()
	did, orphaned := d.inherit(ctx, now)
	due, err := d.o.Store.ToTell(ctx, now, perPlan)
	errs := []error{orphaned, err}
	plans := make([]planned, 0, len(due))
	for _, a := range due {
		a, err := d.wake(ctx, a, now)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p := planned{alert: a}
		p.notices, p.next = d.o.Rules.Plan(a, now)
		plans = append(plans, p)
	}
	failed := map[string]error{}
	digested := map[string]bool{}
	for _, channel := range d.names {
		if err := d.box(ctx, channel, plans, digested, now); err != nil {
			errs = append(errs, fmt.Errorf("alerts: queue for %s: %w", channel, err))
			failed[channel] = err
		}
	}
	for _, p := range plans {
		stuck := func(n Notice) bool { return failed[n.Channel] != nil }
		if slices.ContainsFunc(p.notices, func(n Notice) bool { return stuck(n) && passing(ctx, failed[n.Channel]) }) {
			continue // stays due
		}
		if slices.ContainsFunc(p.notices, stuck) {
			// A queue that takes nothing holds up no other channel, and its alerts no others behind them.
			p.notices = slices.DeleteFunc(slices.Clone(p.notices), stuck)
			if later := now.Add(postpone); p.next.IsZero() || p.next.After(later) {
				p.next = later
			}
		}
		if err := d.mark(ctx, p, digested); err != nil {
			errs = append(errs, fmt.Errorf("alerts: mark %s: %w", p.alert.ID, err))
			continue
		}
		did++
	}
	return did, now.Add(idle), errors.Join(errs...)
}

// planned is one alert with what is to be told about it.
type planned struct {
	alert   gateway.AlertRecord
	notices []Notice
	next    time.Time
}

// wake opens an alert whose snooze is over.
func (d *Dispatcher) wake(ctx context.Context, a gateway.AlertRecord, now time.Time) (gateway.AlertRecord, error) {
	if a.State != "snoozed" {
		return a, nil
	}
	err := d.o.Store.Change(ctx, a.ID, func(old gateway.AlertRecord) (gateway.AlertRecord, error) {
		if old.State == "snoozed" && !old.SnoozedUntil.After(now) {
			old.State, old.SnoozedUntil = "open", time.Time{}
			old.Reopened++
			old.ReopenedAt, old.TellAt = now, now
		}
		a = old
		return old, nil
	})
	if err != nil {
		return a, fmt.Errorf("alerts: end the snooze of %s: %w", a.ID, err)
	}
	return a, nil
}

// box hands a channel its notices in one write. digested learns which went into
// the digest.
func (d *Dispatcher) box(ctx context.Context, channel string, plans []planned, digested map[string]bool, now time.Time) error {
	var mine []Notice
	for _, p := range plans {
		for _, n := range p.notices {
			if n.Channel == channel {
				mine = append(mine, n)
			}
		}
	}
	if len(mine) == 0 {
		return nil
	}
	return d.o.Store.ChangeBox(ctx, channel, func(b *Box) bool {
		for _, n := range mine {
			digested[n.ID] = b.Take(n, d.o.Rules, now)
		}
		return true
	})
}

// mark notes in the alert what has been queued, and when to look again. What was
// raised meanwhile keeps it due.
func (d *Dispatcher) mark(ctx context.Context, p planned, digested map[string]bool) error {
	return d.o.Store.Change(ctx, p.alert.ID, func(a gateway.AlertRecord) (gateway.AlertRecord, error) {
		for _, n := range p.notices {
			if slices.ContainsFunc(a.Told, func(t gateway.AlertNotice) bool { return t.ID == n.ID }) {
				continue
			}
			a.Told = append(slices.Clone(a.Told), gateway.AlertNotice{
				ID: n.ID, Channel: n.Channel, Reason: n.Reason, Severity: n.Severity, Episode: p.alert.Reopened, At: n.At, Digest: digested[n.ID],
			})
		}
		if extra := len(a.Told) - gateway.MaxTold; extra > 0 {
			a.Told = a.Told[extra:]
		}
		if a.TellAt.Equal(p.alert.TellAt) && a.Reopened == p.alert.Reopened {
			a.TellAt = p.next
		}
		return a, nil
	})
}

// send brings a channel what waits for it. The box says before each try who
// tries, and after it what came of it; a crash in between sends the same message
// once more, under the same id.
func (d *Dispatcher) send(ctx context.Context, name string) (did int, next time.Time, err error) {
	now := d.o.Clock()
	b, err := d.o.Store.Box(ctx, name)
	if err != nil {
		return 0, now.Add(idle), fmt.Errorf("alerts: read the queue of %s: %w", name, err)
	}
	if err := d.handover(ctx, name, b, now); err != nil {
		return 0, now.Add(idle), err
	}
	for began := now; did < perSend && d.o.Clock().Sub(began) < slowStep; {
		// Each claim counts from when it is made: a slow channel may take sendTime for each message,
		// and a claim that has ended before it began is no claim for other processes.
		now = d.o.Clock()
		if at := b.Next(); did == 0 && (at.IsZero() || at.After(now)) {
			break // nothing to write down
		}
		var it Item
		ok := false
		err := d.o.Store.ChangeBox(ctx, name, func(b *Box) bool {
			it, ok = b.Claim(d.o.Owner, now)
			return ok
		})
		if err != nil {
			return did, now.Add(idle), fmt.Errorf("alerts: claim a message of %s: %w", name, err)
		}
		if !ok {
			break
		}
		did++
		if err := d.try(ctx, name, it); err != nil {
			return did, now.Add(idle), err
		}
	}
	return did, now.Add(idle), nil
}

// try sends one message and writes down what came of it. Only a store that
// fails is an error here: a channel that fails is a result, and so is a record that
// can't be read, which the store would give again and again.
func (d *Dispatcher) try(ctx context.Context, name string, it Item) error {
	m, serr := d.compose(ctx, it)
	switch {
	case serr == nil:
		limited, cancel := context.WithTimeout(ctx, sendTime)
		m.Done = it.Done
		serr = d.o.Channels[name].Send(limited, m)
		cancel()
	case passing(ctx, serr):
		return fmt.Errorf("alerts: message %s: %w", it.ID, serr)
	default:
		serr = Failure{Permanent: true, Cause: fmt.Errorf("the alert of message %s: %w", it.ID, serr)}
	}
	if part, ok := errors.AsType[Partial](serr); ok {
		return d.partly(ctx, name, it, part)
	}
	if serr == nil {
		d.o.Sent(name, ResultSent)
		err := d.o.Store.ChangeBox(ctx, name, func(b *Box) bool { b.Sent(d.o.Owner, it.ID); return true })
		if err != nil {
			return fmt.Errorf("alerts: note that %s was sent: %w", it.ID, err)
		}
		return nil
	}
	var f Failure
	if !errors.As(serr, &f) {
		f = Failure{Cause: serr}
	}
	gaveUp := false
	err := d.o.Store.ChangeBox(ctx, name, func(b *Box) bool {
		gaveUp = b.Failed(d.o.Owner, it.ID, f, d.o.Clock())
		return true
	})
	d.o.Sent(name, ResultFailed)
	d.o.Logger.WarnContext(ctx, "an alert could not be sent, it stays queued", "channel", name, "message", it.ID, "try", it.Tries, "error", Clean(serr.Error(), 300))
	if gaveUp {
		d.o.Sent(name, ResultGaveUp)
		d.o.Logger.ErrorContext(ctx, "an alert could not be told for a week and is given up; its record stays", "channel", name, "message", it.ID, "alert", it.Alert)
	}
	if err != nil {
		return fmt.Errorf("alerts: note that %s was not sent: %w", it.ID, err)
	}
	return nil
}

// passing says that the store may yet give what it did not give now.
func passing(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, gateway.ErrUnavailable)
}

// handover gives what a channel that is down can't send to those that stand in.
// They get it first and the box is told after: they know what they have.
func (d *Dispatcher) handover(ctx context.Context, name string, b Box, now time.Time) error {
	if len(d.givable(b.Handover(now))) == 0 {
		return nil
	}
	var items []Item
	err := d.o.Store.ChangeBox(ctx, name, func(b *Box) bool {
		items = d.givable(b.Handover(now))
		return len(items) > 0
	})
	if err != nil {
		return fmt.Errorf("alerts: hand over from %s: %w", name, err)
	}
	var ids []string
	targets := map[string][]Item{}
	for _, it := range items {
		ids = append(ids, it.ID)
		for _, f := range it.Failover {
			targets[f] = append(targets[f], it)
		}
	}
	for _, target := range d.names {
		if len(targets[target]) == 0 {
			continue
		}
		err := d.o.Store.ChangeBox(ctx, target, func(b *Box) bool {
			for _, it := range targets[target] {
				b.standIn(name, it, d.o.Rules, now)
			}
			return true
		})
		if err != nil {
			return fmt.Errorf("alerts: hand over from %s to %s: %w", name, target, err)
		}
	}
	if err := d.o.Store.ChangeBox(ctx, name, func(b *Box) bool { b.HandedOver(ids); return true }); err != nil {
		return fmt.Errorf("alerts: note what %s handed over: %w", name, err)
	}
	d.o.Logger.WarnContext(ctx, "an alert channel does not work, others stand in", "channel", name, "messages", len(ids), "error", b.LastError)
	return nil
}

// givable are the messages for which a channel that stands in is still configured. The
// others nobody would have, so they are not to be noted as handed over.
func (d *Dispatcher) givable(items []Item) []Item {
	return slices.DeleteFunc(items, func(it Item) bool {
		return !slices.ContainsFunc(it.Failover, func(f string) bool { return slices.Contains(d.names, f) })
	})
}

// Test sends one message to each channel and says what happened, in the order of
// their names. It writes nothing down.
func (d *Dispatcher) Test(ctx context.Context) []TestResult {
	now := d.o.Clock()
	out := make([]TestResult, 0, len(d.names))
	for _, name := range d.names {
		m := Message{
			ID: "test-" + d.o.Owner + "-" + name, Kind: "test", Severity: Info, Title: "A test, nothing happened", Reason: ReasonNew, At: now,
			Happened: "Somebody ran the test of the alert channels. This is the one named " + name + ".",
			Means:    "If you can read this, alerts that are routed to " + name + " reach you.", Do: "Nothing.",
		}
		limited, cancel := context.WithTimeout(ctx, sendTime)
		out = append(out, TestResult{Channel: name, Err: d.o.Channels[name].Send(limited, m)})
		cancel()
	}
	return out
}

// TestResult is what became of one test message.
type TestResult struct {
	Channel string
	Err     error // nil: the channel took it
}

// Clean makes foreign text fit for one line: control characters, line ends and
// characters that turn the direction of text become spaces, and it is cut to most
// characters.
func Clean(s string, most int) string {
	n := 0
	s = strings.Map(func(r rune) rune {
		if n++; n > most {
			return -1
		}
		switch {
		case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff, r == 0xfffd:
			return ' '
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}
