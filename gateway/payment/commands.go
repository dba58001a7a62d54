package payment

import (
	"fmt"
	"slices"
	"time"
)

// Command is one request of an app or operator that orders an operation.
type Command struct {
	ID          string // id of the operation it makes; the same request has the same id
	Fingerprint string // of the request's values
	By          Actor
	Now         time.Time
}

func (c Command) operation(kind OpKind, n int, target string) Operation {
	return Operation{
		ID: c.ID, Kind: kind, N: n, Target: target, Key: ProviderKey(c.ID, 0),
		Fingerprint: c.Fingerprint, By: c.By, CreatedAt: c.Now, State: OpPending, NextAt: c.Now,
	}
}

// order adds an ordered operation. Where the same order stands there already,
// certainly without effect, this one takes its place with a new key; where it
// may have had one, or its outcome was told, it is refused: whoever heard it may
// have asked for the same in another way since. What was given up after looks may land
// yet, and is known by its values, so those may not change.
func (p *Payment) order(op Operation) (Operation, error) {
	for i, old := range p.Operations {
		if old.ID != op.ID {
			continue
		}
		if !old.Repeatable() {
			return Operation{}, NewError(CodeConflict, "This request was taken already; read its outcome.")
		}
		if op.Moves() && old.LookUps > 0 { // nobody refused it
			if op.Fingerprint != old.Fingerprint {
				return Operation{}, NewError(CodeIdempotencyReused, "This request was sent with other values, and may yet take effect with those. Repeat it unchanged, or read the payment, which shows what became of it.")
			}
			op.LookFirst, op.CreatedAt = true, old.CreatedAt
		}
		op.Run, op.Generation, op.TurnedAwayAt = old.Run+1, old.Generation+1, old.DoneAt
		op.Key = ProviderKey(op.ID, op.Generation)
		p.Operations = slices.Delete(p.Operations, i, i+1)
		break
	}
	p.Operations = append(p.Operations, op)
	return op, nil
}

// OpenAttempt writes down the next attempt at a provider account and the
// operation that creates its checkout. It is refused while another attempt is
// live, so that two checkouts can't be paid.
func (p *Payment) OpenAttempt(provider, account string, c Command) error {
	if s := p.Status(); s != StatusRequiresAction {
		return NewError(CodeConflict, "A new checkout can't be opened: %s.", describe(s))
	}
	if live, ok := p.Facts.Live(); ok {
		return NewError(CodeConflict, "A new checkout can't be opened: attempt %d at %s is still open.", live.N, live.Provider)
	}
	if p.Unfinished(0, OpClose, OpVoid) != nil {
		return NewError(CodeConflict, "The checkout before is still being closed; try again in a moment.")
	}
	if !c.Now.Before(p.ExpiresAt) {
		return NewError(CodeConflict, "The time to pay is over.")
	}
	if len(p.Facts.Opened) >= MaxAttempts {
		return NewError(CodeConflict, "This payment has opened %d checkouts already; create a new payment.", MaxAttempts)
	}
	n := len(p.Facts.Opened) + 1
	p.Facts = p.Facts.Merge(Facts{Opened: []Attempt{{N: n, Provider: provider, Account: account, CreatedAt: c.Now}}})
	op := c.operation(OpCreate, n, "")
	op.ID = DeriveID("op", p.ID, string(OpCreate), pad(n))
	op.Key = ProviderKey(op.ID, 0)
	op.Amount = p.Facts.Terms.Amount
	p.Operations = append(p.Operations, op)
	return nil
}

// RequestCapture orders the capture of an authorization. amount is in minor
// units, 0 for all that is capturable.
func (p *Payment) RequestCapture(amount int64, final bool, c Command) error {
	if amount < 0 {
		return Invalid("/amount", "must not be negative")
	}
	if !p.Facts.Terms.Manual {
		return NewError(CodeConflict, "This payment captures automatically; there is nothing to capture.")
	}
	if s := p.Status(); s != StatusAuthorized {
		return NewError(CodeConflict, "Capture needs an authorized payment; %s.", describe(s))
	}
	if p.Unfinished(0, OpCapture, OpVoid) != nil || p.Facts.captureOutstanding() {
		return NewError(CodeConflict, "Another capture or cancel of this payment has no outcome yet; wait for it.")
	}
	for _, auth := range p.Facts.effectiveAuthorizations() {
		if auth.State != AuthActive || auth.Capturable <= 0 {
			continue
		}
		if amount == 0 {
			amount = auth.Capturable
		}
		if amount > auth.Capturable {
			return NewError(CodeConflict, "Only %d minor units can still be captured.", auth.Capturable)
		}
		op := c.operation(OpCapture, auth.N, auth.Key.ID)
		op.Amount, op.Final = Money{Minor: amount, Currency: auth.Amount.Currency}, final
		op, err := p.order(op)
		if err != nil {
			return err
		}
		p.decide(Decision{ID: "capture_asked:" + op.run(), Kind: DecisionCaptureAsked, N: auth.N, Operation: op.run(), Amount: amount, By: c.By, At: c.Now})
		return nil
	}
	return NewError(CodeConflict, "Nothing is left to capture.")
}

// RefundOf finds the refund that was made for an operation, as the provider tells it.
func (f Facts) RefundOf(operation string) (Refund, bool) {
	for _, r := range f.Refunds {
		if operation != "" && r.Operation == operation {
			return r, true
		}
	}
	return Refund{}, false
}

// MadeBefore finds the refund that was made for an operation which this record could order,
// anew or for the first time. The record is a restored backup then: it lost the order, or
// knows only of a try that was turned away, and has learnt from the provider that it was
// carried out.
func (p *Payment) MadeBefore(operation string) (Refund, bool) {
	if op := p.Operation(operation); op != nil && !op.Repeatable() {
		return Refund{}, false
	}
	return p.Facts.RefundOf(operation)
}

// RequestRefund orders a refund. amount is in minor units, 0 for all that is
// refundable. One refund gives back one capture.
func (p *Payment) RequestRefund(amount int64, reason string, c Command) error {
	if amount < 0 {
		return Invalid("/amount", "must not be negative")
	}
	if s := p.Status(); s == StatusConflicted {
		return NewError(CodeConflict, "The payment is held as conflicted; an operator must resolve it first.")
	}
	if _, made := p.MadeBefore(c.ID); made {
		return NewError(CodeConflict, "This refund was made already; read the payment.")
	}
	refundable := p.Amounts().Refundable
	if amount == 0 {
		amount = refundable
	}
	if refundable == 0 || amount > refundable {
		return NewError(CodeConflict, "Only %d minor units can be refunded.", refundable)
	}
	var largest int64
	for _, capture := range p.Facts.Captures {
		if capture.State != CaptureCompleted || capture.Amount.Currency != p.Facts.Terms.Amount.Currency {
			continue
		}
		left := p.captureLeft(capture)
		largest = max(largest, left)
		if left < amount {
			continue
		}
		op := c.operation(OpRefund, capture.N, capture.Key.ID)
		op.Amount, op.Reason = Money{Minor: amount, Currency: capture.Amount.Currency}, reason
		_, err := p.order(op)
		return err
	}
	return NewError(CodeConflict, "The money was taken in several captures; refund at most %d minor units at a time.", largest)
}

// RequestCancel makes the payment impossible to pay, or releases what is held.
// It returns the operation that must run first, or nil where the payment could
// be canceled at once. A conflict about an approval or authorization, with no
// money taken, is left this way too.
func (p *Payment) RequestCancel(c Command) (*Operation, error) {
	s := p.Status()
	switch {
	case s == StatusAuthorized, s == StatusRequiresAction, s == StatusConflicted && !p.Facts.taken():
	case s == StatusProcessing && p.Facts.Unread(): // closing it reads it first, and takes up what was paid
	case s == StatusCanceled:
		return nil, nil
	default:
		return nil, NewError(CodeConflict, "The payment can't be canceled any more: it is %s.", s)
	}
	if p.Unfinished(0, OpCreate, OpClose, OpAuthorize, OpCapture, OpVoid) != nil {
		return nil, NewError(CodeConflict, "Another operation of this payment has no outcome yet; wait for it, then cancel.")
	}
	for _, auth := range p.Facts.effectiveAuthorizations() {
		if auth.State == AuthActive {
			op := c.operation(OpVoid, auth.N, auth.Key.ID)
			op.Reason = "cancel"
			return p.ordered(op)
		}
	}
	live, ok := p.Facts.Live()
	if !ok {
		p.decide(Decision{
			ID: "canceled", Kind: DecisionCanceled, Operation: c.ID, Fingerprint: c.Fingerprint, By: c.By, Reason: "canceled by the app", At: c.Now,
		})
		return nil, nil
	}
	return p.closeLive(live, "cancel", c)
}

// CanceledBy finds what a request decided that canceled the payment at once, with no
// provider to be told.
func (f Facts) CanceledBy(request string) (Decision, bool) {
	for _, d := range f.Decisions {
		if d.Kind == DecisionCanceled && request != "" && d.Operation == request {
			return d, true
		}
	}
	return Decision{}, false
}

// SameRequest says whether a request with the key of the one that decided this may be it.
// A program of before fingerprints were kept here drops them from what it writes.
func (d Decision) SameRequest(fingerprint string) bool {
	return d.Fingerprint == "" || d.Fingerprint == fingerprint
}

// RequestSwitch closes the live attempt so that another one may open. It
// returns nil where no attempt is live.
func (p *Payment) RequestSwitch(c Command) (*Operation, error) {
	live, ok := p.Facts.Live()
	if !ok {
		return nil, nil
	}
	if p.Unfinished(live.N) != nil {
		return nil, NewError(CodeConflict, "The open checkout has an operation without outcome; try again in a moment.")
	}
	return p.closeLive(live, "switch", c)
}

func (p *Payment) closeLive(live Attempt, reason string, c Command) (*Operation, error) {
	fact, known := p.Facts.AttemptFact(live.N)
	if !known {
		return nil, NewError(CodeConflict, "The checkout's creation has no outcome yet; try again in a moment.")
	}
	op := c.operation(OpClose, live.N, fact.Key.ID)
	op.Reason = reason
	return p.ordered(op)
}

// ordered adds an operation and points at it.
func (p *Payment) ordered(op Operation) (*Operation, error) {
	if _, err := p.order(op); err != nil {
		return nil, err
	}
	return p.Operation(op.ID), nil
}

// taken says whether any money was captured or is being captured.
func (f Facts) taken() bool {
	return slices.ContainsFunc(f.Captures, func(c Capture) bool { return c.State != CaptureDeclined })
}

// Resolve is the operator's way out of a conflict. It covers exactly the listed
// captures: accept keeps them, refund gives them back in full; what remains
// must equal the expected amount or be nothing.
func (p *Payment) Resolve(action string, captures []string, reason string, c Command) error {
	if s := p.Status(); s != StatusConflicted {
		return NewError(CodeConflict, "Only a conflicted payment can be resolved; %s.", describe(s))
	}
	if action != "accept" && action != "refund" {
		return Invalid("/action", "must be accept or refund")
	}
	if len(captures) == 0 {
		return Invalid("/captures", "must list at least one capture")
	}
	listed := map[string]bool{}
	for i, id := range captures {
		if !p.hasCapture(id) {
			return Invalid(fmt.Sprintf("/captures/%d", i), "is not a completed capture of this payment, or was given back already")
		}
		listed[id] = true
	}
	if action == "refund" {
		return p.resolveRefund(captures, listed, reason, c)
	}
	for _, capture := range p.Facts.acceptedCaptures() {
		if !listed[capture.Key.ID] {
			return Invalid("/captures", "must list every capture that is to be kept; %s is missing", capture.Key.ID)
		}
	}
	p.decide(Decision{ID: c.ID, Kind: DecisionAccept, Objects: captures, By: c.By, Reason: reason, At: c.Now})
	return nil
}

// resolveRefund orders the listed captures to be given back. What remains is
// kept, and must be the expected amount in the payment's own currency.
func (p *Payment) resolveRefund(captures []string, listed map[string]bool, reason string, c Command) error {
	var rest []Capture
	var keep []string
	for _, capture := range p.Facts.acceptedCaptures() {
		if !listed[capture.Key.ID] {
			rest, keep = append(rest, capture), append(keep, capture.Key.ID)
		}
	}
	if len(rest) > 0 {
		if wrong := p.Facts.remainder(rest); wrong != "" {
			return Invalid("/captures", "would leave what is neither nothing nor the expected amount: %s", wrong)
		}
		p.decide(Decision{ID: c.ID + ":keep", Kind: DecisionAccept, Objects: keep, By: c.By, Reason: reason, At: c.Now})
	}
	p.decide(Decision{ID: c.ID, Kind: DecisionRefund, Objects: captures, By: c.By, Reason: reason, At: c.Now})
	return nil
}

// hasCapture says whether this is a completed capture that no operator has given back.
func (p *Payment) hasCapture(id string) bool {
	refunded := p.Facts.decidedObjects(DecisionRefund)
	return slices.ContainsFunc(p.Facts.Captures, func(c Capture) bool {
		return c.Key.ID == id && c.State == CaptureCompleted && !refunded[id]
	})
}
