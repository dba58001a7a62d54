package alerts

import (
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Bounds of a Box, so that no flood makes it too large to store.
const (
	maxItems   = 50
	maxRecent  = 1000
	maxTallies = 60
	maxSamples = 20
	maxWindows = 100
	maxDigests = 4 // that were tried and still wait; the oldest are merged
)

// How a channel that fails is tried again.
const (
	failoverAfter = 2 // failures in a row
	claimFor      = 2 * time.Minute
	giveUpAfter   = 7 * 24 * time.Hour
)

// otherKinds is the kind that a digest of too many kinds counts the rest under.
const otherKinds = "other"

// Box is everything that is known about one channel, in one stored document:
// what waits to be sent, what the next digest holds, how much of each kind went
// out lately, and whether the channel works. Its methods are pure.
type Box struct {
	Channel string
	Items   []Item
	Digest  Digest
	// Kept is what failover channels have been told in their digests and this
	// channel is still to be told, once it works again.
	Kept    Digest
	Windows []Window
	// Recent are the notices taken lately; one that comes again is known by it.
	Recent []string
	// Failures counts failures in a row since DownSince; until NextTry nothing is
	// tried. LastError is for operators.
	Failures  int
	DownSince time.Time
	NextTry   time.Time
	LastError string
	// Owner is the process that is sending Sending until Until.
	Owner   string
	Sending string
	Until   time.Time
}

// Item is one message that waits: about one alert, or a digest.
type Item struct {
	ID       string
	Alert    string
	Kind     string
	Severity string
	Reason   string
	At       time.Time
	Tries    int
	NextTry  time.Time
	Failover []string
	// HandedOver says that the failover channels have it too.
	HandedOver bool
	Digest     *Digest `json:",omitempty"`
	// Done marks those of the channel's people who need it no more, in the channel's own
	// words. A version that does not know it tells them once more.
	Done []string `json:",omitempty"`
	// Unknown counts the tries that may have told somebody.
	Unknown int `json:",omitempty"`
}

// Digest is what was held back.
type Digest struct {
	Since    time.Time
	DueAt    time.Time
	Tallies  []Tally
	Failover []string
}

// Tally counts what was held back of one kind and severity.
type Tally struct {
	Kind, Severity string
	Count          int64
	First, Last    time.Time
	Samples        []string // ids of the first alerts among them
}

// Window counts what went out of one kind since Start.
type Window struct {
	Kind  string
	Start time.Time
	Count int
}

// Take puts a notice into the box: as a message of its own, or into the digest
// when it is quiet, when its kind has had its share, or when too much waits
// already. A notice that was taken before changes nothing.
func (b *Box) Take(n Notice, r Rules, now time.Time) (digest bool) {
	r = r.withDefaults()
	if slices.Contains(b.Recent, n.ID) {
		return false
	}
	b.remember(n.ID)
	b.fold()
	_, quiet := r.Quiet.until(now)
	if n.Hold || quiet && n.Severity != Critical || b.untold() >= maxItems || !b.admit(n.Kind, r, now) {
		b.hold(Digest{Tallies: []Tally{{Kind: n.Kind, Severity: n.Severity, Count: 1, First: n.At, Last: n.At, Samples: []string{n.Alert}}}, Failover: n.Failover}, r, now)
		return true
	}
	b.Items = append(b.Items, Item{
		ID: n.ID, Alert: n.Alert, Kind: n.Kind, Severity: n.Severity, Reason: n.Reason, At: n.At, Failover: slices.Clone(n.Failover),
	})
	return false
}

// TakeDigest merges another channel's digest into this one's, once per id.
func (b *Box) TakeDigest(id string, d Digest, r Rules, now time.Time) {
	if slices.Contains(b.Recent, id) {
		return
	}
	b.remember(id)
	r = r.withDefaults()
	b.hold(d, r, now)
	// It has waited in the other channel already.
	if _, quiet := r.Quiet.until(now); !quiet || d.severity() == Critical {
		b.Digest.DueAt = now
	}
}

func (b *Box) remember(id string) {
	b.Recent = append(b.Recent, id)
	if extra := len(b.Recent) - maxRecent; extra > 0 {
		b.Recent = b.Recent[extra:]
	}
}

// admit counts a message of a kind, if there is room for it.
func (b *Box) admit(kind string, r Rules, now time.Time) bool {
	b.Windows = slices.DeleteFunc(b.Windows, func(w Window) bool { return !now.Before(w.Start.Add(r.Window)) })
	i := slices.IndexFunc(b.Windows, func(w Window) bool { return w.Kind == kind })
	if i < 0 {
		if len(b.Windows) >= maxWindows {
			return false
		}
		b.Windows = append(b.Windows, Window{Kind: kind, Start: now, Count: 1})
		return true
	}
	if b.Windows[i].Count >= r.Burst {
		return false
	}
	b.Windows[i].Count++
	return true
}

func (b *Box) hold(d Digest, r Rules, now time.Time) {
	if len(b.Digest.Tallies) == 0 {
		b.Digest.Since, b.Digest.DueAt = now, now.Add(r.DigestEvery)
		if end, quiet := r.Quiet.until(b.Digest.DueAt); quiet {
			b.Digest.DueAt = end
		}
	}
	for _, t := range d.Tallies {
		b.Digest.add(t)
		// What is critical does not wait for the morning.
		if soon := now.Add(r.DigestEvery); t.Severity == Critical && b.Digest.DueAt.After(soon) {
			b.Digest.DueAt = soon
		}
	}
	for _, f := range d.Failover {
		if !slices.Contains(b.Digest.Failover, f) {
			b.Digest.Failover = append(b.Digest.Failover, f)
		}
	}
}

func (d *Digest) add(t Tally) {
	same := func(o Tally) bool { return o.Kind == t.Kind && o.Severity == t.Severity }
	i := slices.IndexFunc(d.Tallies, same)
	if i < 0 && len(d.Tallies) >= maxTallies {
		t.Kind = otherKinds
		i = slices.IndexFunc(d.Tallies, same)
	}
	if i < 0 {
		t.Samples = slices.Clone(t.Samples)
		d.Tallies = append(d.Tallies, t)
		return
	}
	old := &d.Tallies[i]
	old.Count += t.Count
	if t.First.Before(old.First) {
		old.First = t.First
	}
	if t.Last.After(old.Last) {
		old.Last = t.Last
	}
	if room := maxSamples - len(old.Samples); room > 0 {
		old.Samples = append(old.Samples, t.Samples[:min(room, len(t.Samples))]...)
	}
}

// severity is the worst one in it.
func (d Digest) severity() string {
	worst := Info
	for _, t := range d.Tallies {
		if rank(t.Severity) > rank(worst) {
			worst = t.Severity
		}
	}
	return worst
}

func (d Digest) count() int64 {
	var n int64
	for _, t := range d.Tallies {
		n += t.Count
	}
	return n
}

// close turns the digest into a message. With kept it takes along what was kept.
func (b *Box) close(now time.Time, kept bool) {
	d := Digest{Since: b.Digest.Since, DueAt: now}
	failover := b.Digest.Failover
	for _, t := range b.Digest.Tallies {
		d.add(t)
	}
	b.Digest = Digest{}
	if kept && len(b.Kept.Tallies) > 0 {
		for _, t := range b.Kept.Tallies {
			d.add(t)
		}
		d.Since, failover = b.Kept.Since, nil
		b.Kept = Digest{}
	}
	b.fold()
	b.Items = append(b.Items, Item{
		ID:   payment.DeriveID("dig", b.Channel, fmt.Sprint(d.Since.UnixNano()), fmt.Sprint(d.count()), d.Tallies[0].Samples[0]),
		Kind: "digest", Severity: d.severity(), Reason: "digest", At: now, Failover: failover, Digest: &d,
	})
}

// fold merges digests that were tried and that nobody else is to be given, the oldest
// first, until few are left: a channel that refuses them gets a new one each half hour, and
// within a week they would be too large to be stored, so that nothing at all could be
// written down any more. The counts stay, and the first samples of each kind.
func (b *Box) fold() {
	for {
		var old []int
		for i, it := range b.Items {
			if it.Digest != nil && it.Tries > 0 && it.ID != b.Sending && (it.HandedOver || len(it.Failover) == 0 || len(it.Done) > 0) {
				old = append(old, i)
			}
		}
		if len(old) <= maxDigests {
			return
		}
		first, second := b.Items[old[0]], &b.Items[old[1]]
		d := Digest{Since: first.Digest.Since, DueAt: second.Digest.DueAt}
		for _, t := range slices.Concat(first.Digest.Tallies, second.Digest.Tallies) {
			d.add(t)
		}
		// It is as new as what is newest in it: that has not been tried for a week yet.
		second.ID = payment.DeriveID("dig", first.ID, second.ID)
		second.Digest, second.Severity, second.Tries = &d, d.severity(), max(first.Tries, second.Tries)
		second.Unknown = max(first.Unknown, second.Unknown)
		second.Done = slices.DeleteFunc(slices.Clone(second.Done), func(mark string) bool { return !slices.Contains(first.Done, mark) }) // who has both
		if !first.HandedOver || !second.HandedOver {                                                                                     // part of it nobody else has, and nobody is to
			second.HandedOver, second.Failover = false, nil
		}
		b.Items = slices.Delete(b.Items, old[0], old[0]+1)
	}
}

// waiting counts the digests that are messages.
func (b *Box) waiting() (digests int) {
	for _, it := range b.Items {
		if it.Digest != nil {
			digests++
		}
	}
	return digests
}

func (b *Box) digestDue(now time.Time) bool {
	return len(b.Digest.Tallies) > 0 && !now.Before(b.Digest.DueAt)
}

// Claim picks what owner is to send now; ok is false when there is nothing, or
// somebody else is at it. A claim ends by itself, should its owner die; then the
// same message is sent again, under the same id.
func (b *Box) Claim(owner string, now time.Time) (it Item, ok bool) {
	if b.Owner != "" && now.Before(b.Until) && b.Owner != owner {
		return Item{}, false
	}
	b.Owner, b.Sending, b.Until = "", "", time.Time{}
	b.fold()
	if now.Before(b.NextTry) {
		return Item{}, false
	}
	// While the channel is down its digest goes on collecting: a day makes one, not
	// fifty. What is not due yet waits, also when there is something kept to send.
	if (len(b.Items) == 0 || !b.Down() || b.NextTry.IsZero()) && b.waiting() < 2*maxDigests && (b.digestDue(now) || len(b.Kept.Tallies) > 0) {
		b.close(now, true)
	}
	i := b.due(now)
	if i < 0 {
		return Item{}, false
	}
	b.Items[i].Tries++
	b.Owner, b.Sending, b.Until = owner, b.Items[i].ID, now.Add(claimFor)
	return b.Items[i], true
}

// due is the place of what is to be sent next, -1 for nothing. What nobody may have yet comes
// before what somebody has: behind a server that hangs over each repetition, news would wait
// for an hour.
func (b *Box) due(now time.Time) int {
	first := slices.IndexFunc(b.Items, func(it Item) bool { return !now.Before(it.NextTry) && len(it.Done) == 0 && it.Unknown == 0 })
	if first >= 0 {
		return first
	}
	return slices.IndexFunc(b.Items, func(it Item) bool { return !now.Before(it.NextTry) })
}

// Sent takes a message out: the channel has it.
func (b *Box) Sent(owner, id string) {
	b.release(owner, id)
	b.Items = slices.DeleteFunc(b.Items, func(it Item) bool { return it.ID == id })
	b.Failures, b.DownSince, b.NextTry, b.LastError = 0, time.Time{}, time.Time{}, ""
}

// Failed notes a failure. One of the channel stops all its messages until the
// next try; one of the message itself only delays that, and so does one of which
// nobody knows whether it is one. gaveUp says that the message was tried for so
// long that it is dropped.
func (b *Box) Failed(owner, id string, f Failure, now time.Time) (gaveUp bool) {
	b.release(owner, id)
	i := slices.IndexFunc(b.Items, func(it Item) bool { return it.ID == id })
	b.LastError = Clean(f.Error(), 300)
	if !f.Permanent {
		b.Failures++
		if b.DownSince.IsZero() {
			b.DownSince = now
		}
		b.NextTry = now.Add(max(backoff(b.Failures), min(f.RetryAfter, time.Hour)))
	}
	if i < 0 {
		return false
	}
	if f.Unknown {
		return b.doubt(i, now)
	}
	if now.Sub(b.Items[i].At) > giveUpAfter && f.Permanent {
		b.Items = slices.Delete(b.Items, i, i+1)
		return true
	}
	b.Items[i].NextTry = b.NextTry
	if f.Permanent {
		b.Items[i].NextTry = now.Add(b.Items[i].patience())
	}
	return false
}

func (b *Box) release(owner, id string) {
	if b.Owner == owner && b.Sending == id {
		b.Owner, b.Sending, b.Until = "", "", time.Time{}
	}
}

// backoff is the wait after so many failures.
func backoff(failures int) time.Duration {
	steps := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute}
	return steps[min(max(failures, 1), len(steps))-1]
}

// Down says that the channel has failed often enough for others to stand in.
func (b *Box) Down() bool { return b.Failures >= failoverAfter }

// Handover lists what the failover channels are to have: everything that waits
// while the channel is down, and messages that it refuses or may not have taken. A due
// digest becomes a message for it, so that what it holds is handed over once. Of what some
// of its people have, somebody knows.
func (b *Box) Handover(now time.Time) []Item {
	if b.Down() && len(b.Digest.Failover) > 0 && b.digestDue(now) && b.waiting() <= 2*maxDigests {
		b.close(now, false)
	}
	var out []Item
	for _, it := range b.Items {
		doubtful := (it.Tries >= failoverAfter || it.Unknown > 0) && b.Sending != it.ID
		if !it.HandedOver && len(it.Failover) > 0 && len(it.Done) == 0 && (b.Down() || doubtful) {
			out = append(out, it)
		}
	}
	return out
}

// HandedOver notes that the failover channels have these. A digest that was never
// tried goes back, to be one with what this channel has still to be told.
func (b *Box) HandedOver(ids []string) {
	left := make([]Item, 0, len(b.Items))
	for _, it := range b.Items {
		it.HandedOver = it.HandedOver || slices.Contains(ids, it.ID)
		if !it.HandedOver || it.Digest == nil || it.Tries > 0 {
			left = append(left, it)
			continue
		}
		if len(b.Kept.Tallies) == 0 {
			b.Kept.Since = it.Digest.Since
		}
		for _, t := range it.Digest.Tallies {
			b.Kept.add(t)
		}
	}
	b.Items = left
}

// Next is when there may be something to do, zero for never.
func (b *Box) Next() time.Time {
	var next time.Time
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, it := range b.Items {
		sooner(slices.MaxFunc([]time.Time{it.At, it.NextTry, b.NextTry, b.Until}, time.Time.Compare))
	}
	if len(b.Digest.Tallies) > 0 {
		sooner(b.Digest.DueAt)
	}
	if len(b.Kept.Tallies) > 0 {
		// Not NextTry alone: it is zero in a channel that works, and zero means never.
		sooner(slices.MaxFunc([]time.Time{b.Kept.Tallies[0].First, b.NextTry, b.Until}, time.Time.Compare))
	}
	return next
}

// standIn takes another channel's message.
func (b *Box) standIn(from string, it Item, r Rules, now time.Time) {
	id := payment.DeriveID("ntc", it.ID, ReasonFailover, from, b.Channel)
	if it.Digest != nil {
		d := *it.Digest
		d.Failover = nil // what stands in has no stand-in: the first channel keeps trying
		b.TakeDigest(id, d, r, now)
		return
	}
	b.Take(Notice{ID: id, Alert: it.Alert, Kind: it.Kind, Severity: it.Severity, Reason: ReasonFailover, Channel: b.Channel, At: it.At}, r, now)
}
