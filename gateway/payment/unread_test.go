package payment

import (
	"testing"
	"time"
)

func unreadReturn(t *testing.T, p *Payment, n int, known time.Time, now int) *Payment {
	t.Helper()
	next, err := p.Change(Source{Layer: LayerReturn}, at(now), func(c *Payment) error {
		c.ReturnedUnread(n, known, at(now))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// Guards which returns are noted, and that only a newer complete snapshot ends them, in provider time.
func TestReturnedUnread(t *testing.T) {
	t.Parallel()
	open := func(state AttemptState, asOf int) *Payment {
		p := newPayment(Facts{Terms: Terms{Amount: usd(1000)}})
		p.Facts = p.Facts.Merge(Facts{Opened: []Attempt{opened(1, "stripe")}, Attempts: []AttemptFact{session(1, state, 1000, asOf)}})
		return p
	}
	for name, c := range map[string]struct {
		p     *Payment
		n     int
		known time.Time
		want  bool
	}{
		"the live attempt":                {open(AttemptOpen, 5), 1, at(5), true},
		"no attempt named":                {open(AttemptOpen, 5), 0, at(5), true},
		"another attempt":                 {open(AttemptOpen, 5), 2, at(5), false},
		"read meanwhile by another layer": {open(AttemptOpen, 7), 1, at(5), false},
		"approved":                        {open(AttemptApproved, 5), 1, at(5), false},
		"expired":                         {open(AttemptExpired, 5), 1, at(5), false},
		"nothing opened":                  {newPayment(Facts{Terms: Terms{Amount: usd(1000)}}), 0, time.Time{}, false},
	} {
		before := c.p.Status()
		got := unreadReturn(t, c.p, c.n, c.known, 9)
		if got.Facts.Unread() != c.want {
			t.Errorf("%s: unread %t, want %t", name, got.Facts.Unread(), c.want)
		}
		if want := map[bool]Status{true: StatusProcessing, false: before}[c.want]; got.Status() != want {
			t.Errorf("%s: %s, want %s", name, got.Status(), want)
		}
	}

	p := unreadReturn(t, open(AttemptOpen, 5), 1, at(5), 9)
	for asOf, want := range map[int]bool{4: true, 5: true, 6: false} {
		f := p.Facts.Observe(Observation{N: 1, Provider: "stripe", Account: "stripe-eu", Complete: true, AsOf: at(asOf), Facts: Facts{Attempts: []AttemptFact{session(1, AttemptOpen, 1000, asOf)}}})
		if f.Unread() != want {
			t.Errorf("read as of %d: unread %t, want %t", asOf, f.Unread(), want)
		}
	}
}

// Guards the document's size: who comes back again and again is noted once for a snapshot, and ten times at most.
func TestUnreadReturnsAreBounded(t *testing.T) {
	t.Parallel()
	p := newPayment(Facts{Terms: Terms{Amount: usd(1000)}})
	p.Facts = p.Facts.Merge(Facts{Opened: []Attempt{opened(1, "stripe")}})
	for i := range 30 {
		p.Facts = p.Facts.Merge(Facts{Attempts: []AttemptFact{session(1, AttemptOpen, 1000, 5+i)}})
		for range 2 {
			p = unreadReturn(t, p, 1, at(5+i), 10+i)
		}
	}
	if n := p.Facts.unreadReturns(1); n != maxUnread {
		t.Errorf("%d are noted, want %d", n, maxUnread)
	}
}

// Guards that somebody who waits is read for soon, however far the schedule's next point is, and never later than that.
func TestUnreadIsReadSoon(t *testing.T) {
	t.Parallel()
	p := newPayment(Facts{Terms: Terms{Amount: usd(1000)}})
	p.Facts = p.Facts.Merge(Facts{Opened: []Attempt{opened(1, "stripe")}, Attempts: []AttemptFact{session(1, AttemptOpen, 1000, 5)}})
	schedule := []time.Duration{2 * time.Minute, 10 * time.Hour}
	p = unreadReturn(t, p, 1, at(5), 600)
	for _, c := range []struct{ now, want int }{{30, 120}, {600, 660}, {661, 780}, {1300, 2400}, {2400, 36000}} {
		if got := p.NextSync(schedule, at(c.now)); !got.Equal(at(c.want)) {
			t.Errorf("at %d: read at %s, want %s", c.now, got.Sub(start), at(c.want).Sub(start))
		}
	}
	if got := p.NextSync(nil, at(90)); !got.Equal(at(660)) {
		t.Errorf("without a schedule: %s", got.Sub(start))
	}
}

// Guards that what is captured of a hold can't be captured again, and that a payment that succeeded stays so, when a reading
// lags behind: it has the date of now, and shows the hold as it was.
func TestCapturedHoldIsNotCapturable(t *testing.T) {
	t.Parallel()
	hold := func(capturable int64, asOf int) Facts {
		return Facts{Attempts: []AttemptFact{session(1, AttemptAuthorized, 1000, asOf)}, Authorizations: []Authorization{authorized(1, "a1", 1000, capturable, asOf)}}
	}
	take := func(minor int64, state CaptureState, final bool) Facts {
		return Facts{Captures: []Capture{{Key: stripeKey("c1"), N: 1, Auth: "a1", Amount: usd(minor), State: state, Stamp: stamp(5, 5), Final: final}}}
	}
	for _, c := range []struct {
		taken, stale int64
		state        CaptureState
		final        bool
		want         int64
	}{
		{1000, 1000, CaptureCompleted, false, 0},
		{400, 1000, CaptureCompleted, false, 600},
		{400, 600, CaptureCompleted, false, 600},
		{400, 1000, CaptureCompleted, true, 0},
		{1000, 1000, CapturePending, false, 0},
		{1000, 1000, CaptureDeclined, false, 1000},
		{1200, 1000, CaptureCompleted, false, 0}, // more than was held, as PayPal allows
	} {
		f := manual(opened(1, "stripe")).Merge(hold(1000, 4)).Merge(take(c.taken, c.state, c.final)).Merge(take(c.taken, c.state, false)).Merge(hold(c.stale, 9))
		if got := f.capturable(); got != c.want {
			t.Errorf("%s %d, told as %d capturable: %d, want %d", c.state, c.taken, c.stale, got, c.want)
		}
		p := newPayment(f)
		if err := p.RequestCapture(c.want+1, true, command("op", 20)); err == nil {
			t.Errorf("%s %d: %d more could be captured", c.state, c.taken, c.want+1)
		}
	}
}
