package alerts

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// What comes of a message, as Options.Sent hears it.
const (
	ResultSent    = "sent"
	ResultPartly  = "partly"  // some of the channel's people have it, it stays queued for the others
	ResultFailed  = "failed"  // it stays queued
	ResultGaveUp  = "gave_up" // whoever does not have it yet gets it no more
	ResultRefused = "refused" // for each of the channel's people who was refused for good what others got
)

// Results lists them.
func Results() []string {
	return []string{ResultSent, ResultPartly, ResultFailed, ResultGaveUp, ResultRefused}
}

// Partial says that some of a channel's people have the message, and others don't. To send
// it again to all would tell those who have it once more, each time.
type Partial struct {
	Missed int // people who were refused it for good
	Later  int // people who may yet get it: it stays queued for them; with none it counts as sent
	Of     int // people in all
	// Unknown: some of the latter may have it.
	Unknown bool
	// Done marks who needs it no more, in the channel's own words and without addresses. The
	// next try gets it back in Message.Done.
	Done []string
	// Cause says who and why, without addresses.
	Cause error
}

func (p Partial) Error() string {
	s := fmt.Sprintf("%d of %d recipients did not get it", p.Missed+p.Later, p.Of)
	if p.Later > 0 {
		s += fmt.Sprintf(", %d yet", p.Later)
	}
	return fmt.Sprintf("%s: %v", s, p.Cause)
}

// Unwrap gives the cause.
func (p Partial) Unwrap() error { return p.Cause }

// Bounds of what waits for a part of a channel's people.
const (
	maxPartly = 50
	maxDone   = 10_000 // marks in all, so that they can be stored
)

// partly writes down that some of a channel's people have a message.
func (d *Dispatcher) partly(ctx context.Context, name string, it Item, p Partial) error {
	for range p.Missed {
		d.o.Sent(name, ResultRefused)
	}
	result := ResultSent
	if p.Later > 0 {
		result = ResultPartly
	}
	d.o.Sent(name, result)
	d.o.Logger.WarnContext(ctx, "an alert reached only some of the people of its channel", "channel", name, "message", it.ID, "queued_for", p.Later, "error", Clean(p.Error(), 300))
	gaveUp := 0
	err := d.o.Store.ChangeBox(ctx, name, func(b *Box) bool {
		gaveUp = b.Partly(d.o.Owner, it.ID, p, d.o.Clock())
		return true
	})
	for range gaveUp {
		d.o.Sent(name, ResultGaveUp)
	}
	if gaveUp > 0 {
		d.o.Logger.ErrorContext(ctx, "alerts that some people of a channel lack wait too long or are too many: the oldest are given up; others have them", "channel", name, "messages", gaveUp)
	}
	if err != nil {
		return fmt.Errorf("alerts: note that %s was sent to some: %w", it.ID, err)
	}
	return nil
}

// Partly notes that some of the channel's people have a message: the channel works, and the
// message waits for the others. One mailbox that is full for days must not fill the box:
// gaveUp is how many of such messages are dropped, the oldest first.
func (b *Box) Partly(owner, id string, p Partial, now time.Time) (gaveUp int) {
	i := slices.IndexFunc(b.Items, func(it Item) bool { return it.ID == id })
	if p.Later == 0 || i < 0 {
		b.Sent(owner, id)
		return 0
	}
	it := b.Items[i]
	if p.Unknown {
		it.Unknown++
	}
	it.Done = slices.Clone(p.Done)
	it.NextTry = now.Add(it.patience())
	b.Sent(owner, id)
	if now.Sub(it.At) > giveUpAfter {
		return 1
	}
	b.Items = slices.Insert(b.Items, i, it)
	for b.crowded(0, 0) {
		oldest := slices.IndexFunc(b.Items, func(it Item) bool { return len(it.Done) > 0 })
		b.Items = slices.Delete(b.Items, oldest, oldest+1)
		gaveUp++
	}
	return gaveUp
}

// crowded says whether the box holds too much that waits for a part of the people, with so
// many more messages and marks.
func (b *Box) crowded(n, marks int) bool {
	for _, it := range b.Items {
		n += min(len(it.Done), 1)
		marks += len(it.Done)
	}
	return n > maxPartly || marks > maxDone
}

// doubt notes that the channel may have taken a message: it takes messages, and so it may
// take the next one too. gaveUp is as for a failure.
func (b *Box) doubt(i int, now time.Time) (gaveUp bool) {
	b.NextTry = time.Time{}
	if now.Sub(b.Items[i].At) > giveUpAfter {
		b.Items = slices.Delete(b.Items, i, i+1)
		return true
	}
	b.Items[i].Unknown++
	b.Items[i].NextTry = now.Add(b.Items[i].patience())
	return false
}

// untold counts the messages that nobody has: those of which some have do not crowd others out.
func (b *Box) untold() (n int) {
	for _, it := range b.Items {
		n += 1 - min(len(it.Done), 1)
	}
	return n
}

// patience is how long a message waits that its channel, which works, did not take: the longer
// where it is a full mailbox that nobody empties.
func (it Item) patience() time.Duration {
	wait := max(backoff(it.Tries), unsure(it.Unknown))
	if len(it.Done) > 0 && it.Tries > 10 {
		wait = max(wait, 2*time.Hour)
	}
	return wait
}

// unsure is the wait after so many tries of which nobody knows what came: each may have told
// everybody once more.
func unsure(tries int) time.Duration {
	steps := []time.Duration{0, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 12 * time.Hour}
	return steps[min(tries, len(steps)-1)]
}
