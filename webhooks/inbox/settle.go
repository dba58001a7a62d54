package inbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// softTries is how often a payment is read for an object that need not appear
// in it: a lagging read gets its chance, a declined charge costs no day of reads.
const softTries = 3

// conclude decides what becomes of a claimed event, now that its payment was
// read, and writes that down.
func (b *Inbox) conclude(ctx context.Context, m member, seen sight) error {
	if err := seen.of(m); err != nil {
		return b.later(ctx, m.Record, err)
	}
	object := m.Event.Object
	if p := seen.payment; p != nil {
		_, shown := holds(p, m.Account, object.ID)
		vain := !carries(object.Kind) || m.Event.Hint.LetGo || !money(object.Kind) && (m.Tries >= softTries || b.overdue(m.Record, b.now()))
		if shown || m.at.known && vain {
			return b.done(ctx, m.Record, p.ID)
		}
		if creating(p, m.Account) {
			// A checkout of this payment may exist that we don't know yet. Operations
			// finds out; taking the object's word for it would be adopting it blindly.
			return b.later(ctx, m.Record, errCreating)
		}
	}
	if !m.Traced {
		hint, found, err := b.trace(ctx, m)
		if err != nil {
			return b.later(ctx, m.Record, err)
		}
		// Held money that was let go shows in no payment: that this one was read will do.
		if hint.LetGo && seen.payment != nil && m.at.known {
			return b.done(ctx, m.Record, seen.payment.ID)
		}
		if found {
			return b.settle(ctx, m.Record, func(r Record, now time.Time) Record {
				r = r.released()
				r.Event.Hint, r.Traced, r.Reason, r.DueAt = hint, true, "traced", now
				return r
			})
		}
	}
	return b.missed(ctx, m)
}

// done ends an event whose payment was read after it came.
func (b *Inbox) done(ctx context.Context, r Record, payment string) error {
	return b.settle(ctx, r, func(r Record, now time.Time) Record {
		r.Payment = payment
		return r.final(Done, "", true, now)
	})
}

// trace asks the provider where the object belongs. found says that its answer
// leads to another place than the body did.
func (b *Inbox) trace(ctx context.Context, m member) (h providers.Hint, found bool, err error) {
	account, ok := b.opts.Accounts.Account(m.Account)
	if !ok {
		return h, false, &providers.Error{Class: providers.Misconfigured, Provider: m.Provider, Op: "trace", Code: "account_not_configured"}
	}
	if m.Event.Object.ID == "" {
		return h, false, nil
	}
	h, err = account.Trace(ctx, m.Event.Object)
	if providers.ClassOf(err) == providers.NotFound {
		return h, false, nil // not there, or not ours to see
	}
	if err != nil {
		return h, false, err
	}
	old := m.Event.Hint
	if h.PaymentID == "" {
		h.PaymentID, h.N = old.PaymentID, old.N
	}
	for _, id := range old.Refs {
		if !slices.Contains(h.Refs, id) {
			h.Refs = append(h.Refs, id)
		}
	}
	h = boundedHint(h)
	at, err := b.place(ctx, m.Account, m.Event.Object, h, claims{})
	if err != nil {
		return h, false, err
	}
	return h, at.payment != "" && (at.payment != m.at.payment || at.known && !m.at.known), nil
}

// missed is an event whose object no payment of ours shows: it may be on its way
// into one, so it is looked for again until Missing is over. Then it is an orphan.
func (b *Inbox) missed(ctx context.Context, m member) error {
	if kept, err := b.orphanDispute(ctx, m); err != nil {
		return b.later(ctx, m.Record, err)
	} else if kept {
		return b.settle(ctx, m.Record, func(r Record, now time.Time) Record { return r.final(Done, "orphan_dispute", true, now) })
	}
	return b.settle(ctx, m.Record, func(r Record, now time.Time) Record {
		r.Traced = false
		if r.FirstMissed.IsZero() {
			r.FirstMissed = now
		}
		end := r.FirstMissed.Add(b.opts.Missing)
		if b.overdue(r, now) || r.Tries >= b.opts.MaxTries {
			if r.Event.Hint.PaymentID == "" && slices.Contains(b.opts.IgnoreForeign, r.Account) {
				return r.final(Irrelevant, ReasonUnknown, true, now)
			}
			return r.final(Parked, ReasonUnknown, false, now)
		}
		r = r.retried(ReasonUnknown, 0, b.opts.MaxTries, now)
		if r.State == Pending && r.DueAt.After(end) {
			r.DueAt = end
		}
		return r
	})
}

// overdue says that an object was first looked for in vain longer than Missing ago.
// Where the store or the provider was away meanwhile, that takes two looks, not softTries.
func (b *Inbox) overdue(r Record, now time.Time) bool {
	return !r.FirstMissed.IsZero() && !now.Before(r.FirstMissed.Add(b.opts.Missing))
}

// orphanDispute keeps a dispute that no payment holds as a record of its own, at
// once: its answer is due by a date. One that claims a payment of ours may be on its
// way into it and waits its turn, unless it is kept already or its time is over.
func (b *Inbox) orphanDispute(ctx context.Context, m member) (kept bool, err error) {
	if b.opts.Disputes == nil || m.Event.Object.Kind != "dispute" || m.Event.Object.ID == "" {
		return false, nil
	}
	claims := m.Event.Hint.PaymentID != ""
	switch {
	case claims && !b.overdue(m.Record, b.now()):
		return false, nil
	case !claims && slices.Contains(b.opts.IgnoreForeign, m.Account):
		return false, nil
	}
	kept, err = b.opts.Disputes.OrphanDispute(ctx, m.Account, m.Event.Object.ID, m.source())
	if providers.ClassOf(err) == providers.NotFound {
		return false, nil
	}
	return kept, err
}

// errUnplaced: the payment that an event may concern can't be read.
var errUnplaced = errors.New("inbox: the payment can't be read")

// errCreating: the attempt that the object may belong to is still being created.
var errCreating = errors.New("inbox: a checkout's creation has no outcome yet")

// later puts an event back after an error. Where the process is being stopped, the
// error is ours: another process takes over at once, and no try is counted.
func (b *Inbox) later(ctx context.Context, r Record, cause error) error {
	if ctx.Err() != nil {
		return b.settle(ctx, r, func(r Record, now time.Time) Record {
			r = r.released()
			r.Tries, r.DueAt = r.Tries-1, now
			return r
		})
	}
	var e *providers.Error
	wait := time.Duration(0)
	if errors.As(cause, &e) {
		wait = e.RetryAfter
	}
	b.log.InfoContext(ctx, "event not processed yet", "event", r.ID, "type", r.Event.Type, "account", r.Account, "tries", r.Tries, "reason", describe(cause))
	return b.settle(ctx, r, func(r Record, now time.Time) Record {
		return r.retried(describe(cause), wait, b.opts.MaxTries, now)
	})
}

// describe is an error in words that may be stored and shown: neither a driver's
// nor a provider's own text.
func describe(err error) string {
	var p *providers.Error
	var c *payment.Error
	switch {
	case errors.Is(err, errCreating):
		return "creation_unknown"
	case errors.Is(err, errUnplaced):
		return "payment_unreadable"
	case errors.As(err, &c): // before its cause: what the use case made of it counts
		return string(c.Code)
	case errors.As(err, &p):
		return cut(fmt.Sprintf("%s: %s (%s)", p.Op, p.Class, p.Code))
	}
	return "internal"
}

// settle writes the outcome down, if this worker still holds the event, and
// tells a human at once where one must hear. Should that fail, the event is still
// due and the next Step tells.
func (b *Inbox) settle(ctx context.Context, claimed Record, fn func(Record, time.Time) Record) error {
	now := b.now()
	// What came of an event is written down also by a process that is being stopped.
	r, ok, err := b.opts.Store.Change(context.WithoutCancel(ctx), claimed.ID, WriteSettle, func(r Record) (Record, bool) {
		if r.Owner != claimed.Owner || r.Gen != claimed.Gen {
			return r, false
		}
		return fn(r, now), true
	})
	if err != nil {
		return fmt.Errorf("inbox: settle %s: %w", claimed.ID, err)
	}
	b.opts.Metrics.Processed(r.Provider, result(r, ok), now.Sub(r.ReceivedAt))
	if !ok || r.State == Pending || r.DueAt.IsZero() {
		return nil
	}
	return b.tell(ctx, r)
}

// result is the metric label of a settled event.
func result(r Record, ours bool) string {
	switch {
	case !ours:
		return "lost" // our lease ended before we did
	case r.State == Pending && r.Traced:
		return "learned"
	case r.State == Pending:
		return "retried"
	}
	return string(r.State)
}

// tell raises the alert of a parked or dead event and notes that it was raised.
// Both are safe to repeat, so a crash between them loses nothing. What can't be told
// waits a while: it must not keep the head of the queue from others.
func (b *Inbox) tell(ctx context.Context, r Record) error {
	problem, again := b.raise(ctx, r), time.Time{}
	if problem != nil {
		again = b.now().Add(tellAgain)
	}
	_, _, err := b.opts.Store.Change(ctx, r.ID, WriteTold, func(now Record) (Record, bool) {
		if now.State != r.State || now.DueAt.IsZero() {
			return now, false
		}
		now.DueAt = again
		return now, true
	})
	if err != nil {
		err = fmt.Errorf("inbox: note the alert about %s: %w", r.ID, err)
	}
	return errors.Join(problem, err)
}

// tellAgain is how long an alert waits that could not be stored.
const tellAgain = time.Minute

// raise raises the alert of a parked or dead event, an orphan's after its record.
func (b *Inbox) raise(ctx context.Context, r Record) error {
	if r.State == Parked && r.Reason == ReasonUnknown {
		o := Orphan{
			Provider: r.Provider, Account: r.Account, Object: r.Event.Object, Claimed: r.Event.Hint.PaymentID,
			Event: r.Event.ID, SeenAt: r.DoneAt,
		}
		if err := b.opts.Orphans.RecordOrphan(ctx, o); err != nil {
			return fmt.Errorf("inbox: orphan of %s: %w", r.ID, err)
		}
	}
	if r.State == Parked || r.State == Dead {
		if err := b.opts.Notify.RaiseAlert(ctx, b.alert(r)); err != nil {
			return fmt.Errorf("inbox: alert about %s: %w", r.ID, err)
		}
	}
	return nil
}

// alert says what happened to an event. A misconfigured endpoint is one incident
// however many events it sends; an orphan is one by itself.
func (b *Inbox) alert(r Record) Alert {
	a := Alert{Account: r.Account, Payment: r.Payment, At: r.DoneAt, Severity: "warning"}
	if account, ok := b.opts.Accounts.Account(r.Account); ok {
		a.Mode = account.Info().Mode
	}
	switch {
	case r.State == Dead:
		a.Kind, a.Severity = "webhook_dead", "critical"
		a.Message = fmt.Sprintf("A webhook (%s) was given up after %d tries: %s. Replay it when the cause is gone.", r.Event.Type, r.Tries, r.Reason)
	case r.Reason == ReasonUnknown:
		// The same names as the reconcile layer's, so that one object is one incident.
		a.ID = payment.DeriveID("inc", "orphan", r.Provider, r.Account, r.Event.Object.ID)
		a.Kind = "foreign_money"
		a.Message = fmt.Sprintf("Nothing connects the %s %s at %s with a payment made here: another system may use the account.",
			r.Event.Object.Kind, r.Event.Object.ID, r.Account)
		if claimed := r.Event.Hint.PaymentID; claimed != "" {
			a.Kind, a.Severity, a.Payment = "orphan_money", "critical", claimed
			a.Message = fmt.Sprintf("The %s %s names the payment %s, which does not hold it.", r.Event.Object.Kind, r.Event.Object.ID, claimed)
		}
		return a
	default:
		a.Kind = "webhook_parked"
		a.Message = fmt.Sprintf("Webhooks of %s are stored but not acted upon: %s (first: %s).", r.Account, r.Reason, r.Event.Type)
	}
	a.ID = payment.DeriveID("inc", a.Kind, r.Provider, r.Account, r.Reason)
	return a
}
