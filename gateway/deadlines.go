package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// DisputeDesk looks after disputes between the provider's news: it warns before an
// answer is due, takes the warnings back when it was given, applies the apps'
// policies, and reads disputes without a payment again.
type DisputeDesk struct {
	s     *Service
	batch int
}

// DisputeDesk gives the worker over this service. batch bounds one Step, 0 means 50
// disputes.
func (s *Service) DisputeDesk(batch int) *DisputeDesk {
	if batch <= 0 {
		batch = 50
	}
	return &DisputeDesk{s: s, batch: batch}
}

// deadline is one warning before an answer is due.
type deadline struct {
	name     string
	before   time.Duration
	severity string
}

// deadlines in the order in which they come.
var deadlines = []deadline{
	{"7d", 7 * 24 * time.Hour, "info"},
	{"3d", 3 * 24 * time.Hour, "warning"},
	{"24h", 24 * time.Hour, "critical"},
	{"past", 0, "critical"},
}

// orphanReads is how often an undecided dispute without a payment is read again:
// nothing else reads it should an event never be made.
const orphanReads = 24 * time.Hour

var deskSource = payment.Source{Layer: payment.LayerAPI, Actor: payment.Actor{Type: "worker", ID: "disputes"}, Reason: "looked after"}

// Step looks at the disputes that are due. One that fails never stops the others, nor do
// many that can't even be read; it is tried again a little later.
func (d *DisputeDesk) Step(ctx context.Context) (did int, next time.Time, err error) {
	now := d.s.now()
	next = now.Add(time.Minute)
	did, more, err := upTo(ctx, now, d.batch, d.s.opts.Disputes.DisputesDue, oneByOne(func(id string) error {
		err := d.s.lookAfter(ctx, id)
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", id, err), d.s.lookLater(ctx, id, now.Add(time.Minute)))
		}
		return err
	}))
	if more {
		next = now
	}
	return did, next, err
}

// lookLater keeps a record that fails from standing at the head of the queue.
func (s *Service) lookLater(ctx context.Context, id string, at time.Time) error {
	_, err := s.opts.Disputes.ChangeDispute(ctx, id, func(r DisputeRecord, found bool) (DisputeRecord, bool) {
		r.CheckAt = at
		return r, found
	})
	return storeOr(err)
}

// lookAfter does what is due for one dispute, then notes it. What was raised is
// raised before it is noted, so a crash between repeats it under the same id.
func (s *Service) lookAfter(ctx context.Context, id string) error {
	r, err := s.opts.Disputes.GetDispute(ctx, id)
	if err != nil {
		return storeError(err)
	}
	now := s.now()
	if r.Orphan() && !r.over() && !now.Before(r.UpdatedAt.Add(orphanReads)) {
		if err := s.rereadOrphan(ctx, r); err != nil {
			return err
		}
		if r, err = s.opts.Disputes.GetDispute(ctx, id); err != nil {
			return storeError(err)
		}
	}
	policed := ""
	if r.waits() && !slices.Contains(r.Policed, r.Dispute.Stage) {
		done, err := s.police(ctx, r)
		if err != nil {
			return err
		}
		if done {
			policed = r.Dispute.Stage
		}
	}
	told, gone, err := s.remind(ctx, r, now)
	if err != nil {
		return err
	}
	_, err = s.opts.Disputes.ChangeDispute(ctx, id, func(c DisputeRecord, found bool) (DisputeRecord, bool) {
		if policed != "" && !slices.Contains(c.Policed, policed) {
			c.Policed = append(slices.Clone(c.Policed), policed)
		}
		if told != "" && !slices.Contains(c.Told, told) {
			c.Told = append(slices.Clone(c.Told), told)
		}
		if gone {
			c.Told = nil
		}
		if c.UpdatedAt.Equal(r.UpdatedAt) && c.Dispute.AsOf.Equal(r.Dispute.AsOf) { // else there is news to look at
			c.CheckAt = c.nextCheck(now)
		}
		return c, found
	})
	return storeOr(err)
}

// rereadOrphan asks the provider about a dispute that no payment holds, and sees
// whether its payment has become known.
func (s *Service) rereadOrphan(ctx context.Context, r DisputeRecord) error {
	src := deskSource
	src.Reason = "no payment holds it"
	_, err := s.OrphanDispute(ctx, r.Dispute.Key.Account, r.Dispute.Key.ID, src)
	if providers.ClassOf(err) == providers.NotFound {
		err = nil // not shown any more: it stays as it was last seen
	}
	if err != nil {
		return err
	}
	_, err = s.opts.Disputes.ChangeDispute(ctx, r.ID, func(c DisputeRecord, found bool) (DisputeRecord, bool) {
		c.UpdatedAt = s.now() // read, though there may be no news
		return c, found && c.Orphan()
	})
	return storeOr(err)
}

// waits says that the provider waits for our answer.
func (r DisputeRecord) waits() bool { return r.Dispute.Status == payment.DisputeNeedsResponse }

// remind raises the warning of the stage that has come, or clears all of them where
// no answer is needed any more.
func (s *Service) remind(ctx context.Context, r DisputeRecord, now time.Time) (told string, gone bool, err error) {
	if !r.waits() || r.Dispute.DueBy.IsZero() {
		for _, id := range r.Told {
			if err := s.opts.Notify.Clear(ctx, id, now); err != nil {
				return "", false, storeError(err)
			}
		}
		return "", len(r.Told) > 0, nil
	}
	var stage deadline
	for _, d := range deadlines {
		if !now.Before(r.Dispute.DueBy.Add(-d.before)) {
			stage = d
		}
	}
	id := payment.DeriveID("inc", r.ID, "dispute_due", stage.name, r.Dispute.DueBy.UTC().Format(time.RFC3339))
	if stage.name == "" || slices.Contains(r.Told, id) {
		return "", false, nil
	}
	err = s.opts.Notify.Raise(ctx, AlertRecord{
		ID: id, App: r.App, Mode: r.Mode, Payment: r.Payment, Dispute: r.ID, Account: r.Dispute.Key.Account, Kind: "dispute_due",
		Severity: stage.severity, State: "open", Message: dueMessage(r.Dispute, stage.name == "past"), Count: 1, FirstSeen: now, LastSeen: now,
	})
	return id, false, storeOr(err)
}

// dueMessage says by when a dispute wants its answer and, once that is past, what silence
// comes to: an inquiry is not lost by it, but nobody answered who could have ended it.
func dueMessage(d payment.Dispute, past bool) string {
	due := d.DueBy.UTC().Format(time.RFC3339)
	switch {
	case !past:
		return fmt.Sprintf("An answer to a dispute (%s, %s) is due by %s.", d.Stage, d.Reason, due)
	case d.Stage == payment.StageInquiry:
		return fmt.Sprintf("The time to answer an inquiry (%s) ended at %s: it closes, or becomes a chargeback.", d.Reason, due)
	}
	return fmt.Sprintf("The time to answer a dispute (%s, %s) ended at %s: without an answer it is lost.", d.Stage, d.Reason, due)
}

// nextCheck is when the next warning is due, or the next reading of a dispute
// without a payment; zero if nothing is left to wait for.
func (r DisputeRecord) nextCheck(now time.Time) time.Time {
	var at time.Time
	if r.waits() && !r.Dispute.DueBy.IsZero() {
		for _, d := range slices.Backward(deadlines) {
			if t := r.Dispute.DueBy.Add(-d.before); t.After(now) {
				at = t
			}
		}
	}
	if r.Orphan() && !r.over() {
		if again := r.UpdatedAt.Add(orphanReads); at.IsZero() || again.Before(at) {
			at = again
		}
	}
	return at
}
