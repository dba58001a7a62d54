package payment

import "time"

// maxUnread bounds how many returns one attempt remembers: each needs a reading of its
// own in between, so more would be somebody's game.
const maxUnread = 10

// afterUnread is when a payment is read again whose customer came back and that could not
// be read then, counted from their return: someone waits for the answer.
func afterUnread() []time.Duration {
	return []time.Duration{time.Minute, 3 * time.Minute, 10 * time.Minute, 30 * time.Minute}
}

// ReturnedUnread notes that the customer came back from the page of attempt n (0: of the
// live one) and that the attempt could not be read. They have most likely paid: until it is
// read, the payment is processing, so that nobody asks them to pay again. known is the newest
// complete snapshot that was there before the reading failed; where a newer one came in
// meanwhile, there is nothing to note.
func (p *Payment) ReturnedUnread(n int, known, now time.Time) {
	a, ok := p.Facts.Live()
	if !ok || n != 0 && n != a.N {
		return
	}
	fact, ok := p.Facts.AttemptFact(a.N)
	if !ok || fact.State != AttemptOpen || fact.CompleteAsOf.After(known) || p.Facts.unreadReturns(a.N) >= maxUnread {
		return
	}
	p.decide(Decision{
		ID: unreadID(fact), Kind: DecisionReturnedUnread, N: a.N,
		By: Actor{Type: "customer"}, Reason: "came back, and the provider could not be read", At: now,
	})
}

// Snapshot is the moment, in provider time, of the newest complete reading of the attempt
// that can still be paid; zero where there is none.
func (f Facts) Snapshot() time.Time {
	a, ok := f.Live()
	if !ok {
		return time.Time{}
	}
	fact, _ := f.AttemptFact(a.N)
	return fact.CompleteAsOf
}

// Unread says whether the customer came back from an open checkout that was not read since.
func (f Facts) Unread() bool {
	_, ok := f.unreadSince()
	return ok
}

// unreadSince is when they came back, by our clock.
func (f Facts) unreadSince() (time.Time, bool) {
	a, ok := f.Live()
	if !ok {
		return time.Time{}, false
	}
	fact, ok := f.AttemptFact(a.N)
	if !ok {
		return time.Time{}, false
	}
	d, ok := f.unreadReturn(fact)
	return d.At, ok
}

// unread says whether the newest complete snapshot of an open attempt is the one from
// before its customer came back. Both are of provider time, so no clock of ours can end it.
func (f Facts) unread(fact AttemptFact) bool {
	_, ok := f.unreadReturn(fact)
	return ok
}

// unreadReturn is the return to an open attempt that no snapshot newer than fact's has seen.
func (f Facts) unreadReturn(fact AttemptFact) (Decision, bool) {
	if fact.State != AttemptOpen {
		return Decision{}, false
	}
	for _, d := range f.Decisions {
		if d.Kind == DecisionReturnedUnread && d.ID == unreadID(fact) {
			return d, true
		}
	}
	return Decision{}, false
}

func (f Facts) unreadReturns(n int) int {
	count := 0
	for _, d := range f.Decisions {
		if d.Kind == DecisionReturnedUnread && d.N == n {
			count++
		}
	}
	return count
}

// unreadID names the return that no snapshot newer than fact's has seen.
func unreadID(fact AttemptFact) string {
	return string(DecisionReturnedUnread) + ":" + pad(fact.N) + ":" + fact.CompleteAsOf.UTC().Format(time.RFC3339Nano)
}
