package reconcile

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// progress is what the durable cursor of one list holds. It is written after each
// page, so that a crash repeats a page and never skips one.
type progress struct {
	Schema  int
	Mark    time.Time // everything before it was worked through; it only moves forward
	SweptAt time.Time // our clock: when a window was last walked to its end
	Open    *window   // the window being walked, nil between two
	Retry   []retry   // rows that could not be worked through yet

	single bool // an operator's window: there is none after it
}

// window is one walk through a list.
type window struct {
	From, To time.Time
	Next     string    // the provider's page cursor, empty for the first page
	Trusted  time.Time // up to when all pages so far are complete
}

// retry is a row that failed. It is kept here, so that the mark may move on.
type retry struct {
	Item   providers.SweepItem
	At     time.Time // when what it tells of happened at the latest, provider time
	Tries  int
	First  time.Time // our clock
	NextAt time.Time
}

const (
	progressSchema = 1
	maxRetries     = 200            // rows remembered; with more failing, the mark stays
	giveUpAfter    = 72 * time.Hour // then a human is asked to look at the row
)

func decodeProgress(value string) (progress, error) {
	if value == "" {
		return progress{Schema: progressSchema}, nil
	}
	var p progress
	if err := json.Unmarshal([]byte(value), &p); err != nil {
		return progress{}, fmt.Errorf("reconcile: cursor can't be read: %w", err)
	}
	if p.Schema != progressSchema {
		return progress{}, fmt.Errorf("reconcile: cursor has schema %d, this program reads %d", p.Schema, progressSchema)
	}
	return p, nil
}

func (p progress) encode() (string, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("reconcile: encode cursor: %w", err)
	}
	return string(b), nil
}

// open starts the next window: from the mark less the overlap, which finds what
// appeared late, to now, or as far as one window goes.
func (p *progress) open(overlap time.Duration, now time.Time) {
	w := window{From: p.Mark.Add(-overlap), To: now}
	if limit := p.Mark.Add(maxWindow); w.To.After(limit) {
		w.To = limit
	}
	p.Open = &w
}

// turn notes a page that was worked through; at the end of the window it moves the
// mark, never past what the provider calls complete.
func (p *progress) turn(page providers.SweepPage, now time.Time) {
	w := p.Open
	if w.Next == "" || page.TrustedTo.Before(w.Trusted) {
		w.Trusted = page.TrustedTo
	}
	if page.Next != "" {
		w.Next = page.Next
		return
	}
	p.Open = nil
	mark := w.To
	if w.Trusted.Before(mark) {
		mark = w.Trusted
	}
	moved := mark.After(p.Mark)
	if moved {
		p.Mark = mark
	}
	if !moved || !w.To.Before(now.Add(-time.Minute)) {
		p.SweptAt = now // else there is more to walk: go on at once
	}
}

// pending says whether a row is waiting to be tried again.
func (p *progress) pending(item providers.SweepItem) bool {
	for _, r := range p.Retry {
		if sameRow(r.Item, item) {
			return true
		}
	}
	return false
}

func sameRow(a, b providers.SweepItem) bool {
	return a.Object == b.Object && a.Amount == b.Amount && a.Paid == b.Paid && a.Done == b.Done && a.Created.Equal(b.Created) && a.Changed.Equal(b.Changed)
}

// dueAt is when this list wants to be looked at again.
func (p *progress) dueAt(every time.Duration) time.Time {
	if p.Open != nil {
		return p.SweptAt
	}
	at := p.SweptAt.Add(every)
	for _, r := range p.Retry {
		if r.NextAt.Before(at) {
			at = r.NextAt
		}
	}
	return at
}

// walkDue says whether the list itself is to be walked, not only rows of it to be
// tried again. A list that is nearly due is walked along with one that is: their
// times drift apart by what each walk takes, and by a fifth of the interval where one
// failed and was tried again. One visit to all costs one lease, one record and one
// taking of each cursor; a visit to each costs as many of all of them.
func (p *progress) walkDue(now time.Time, every time.Duration) bool {
	return p.Open != nil || !now.Before(p.SweptAt.Add(every-every/4))
}

// due says whether a visit finds anything to do.
func (p *progress) due(now time.Time, every time.Duration) bool {
	return p.walkDue(now, every) || !now.Before(p.dueAt(every))
}

// retryDelay widens from 30 s to an hour.
func retryDelay(tries int) time.Duration { return max(30*time.Second, payment.Backoff(tries+2)) }
