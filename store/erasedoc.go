package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// unit is what is judged by itself: a document, or one event of a page.
type unit struct {
	about   string           // the payment or the dispute it is about, "" if none is known
	tenant  *payment.Payment // where about leads to no payment: all that is known of its owner; nil if nothing is
	mention func(needles) mention
}

// owner is the payment that a unit is about, or what stands for it; nil if its owner is not known.
func (u unit) owner(who map[string]*payment.Payment) *payment.Payment {
	if p := who[u.about]; p != nil {
		return p
	}
	return u.tenant
}

// tenantOf stands for the owner of a record without a payment; nil where it belongs to no app.
func tenantOf(app string, mode payment.Mode, customer risk.Ref) *payment.Payment {
	if app == "" || app == risk.AnyApp {
		return nil
	}
	p := &payment.Payment{App: app, Mode: mode}
	if customer.Kind == risk.KindCustomer {
		p.Request.Customer.Ref = customer.Value
	}
	return p
}

// unitsOf are the units of a document.
func unitsOf(coll string, d Doc) []unit {
	if coll == feedName {
		if p, err := feedOf(d); err == nil {
			units := make([]unit, 0, len(p.Events))
			for _, ev := range p.Events {
				units = append(units, unit{about: ev.Payment, mention: func(n needles) mention { return n.json(ev.Object) }})
			}
			return units
		}
	}
	if coll == erasuresName {
		if e, err := erasureOf(d); err == nil {
			if bare, err := erasureDoc(e.withoutNeedles()); err == nil {
				d.Body = bare.Body
			}
		}
	}
	whole := unit{mention: func(n needles) mention { return n.doc(d) }}
	whole.about, whole.tenant = aboutOf(coll, d)
	return []unit{whole}
}

// aboutOf says what a document is about, and of its owner what it says itself. One that can't be read is about nothing.
func aboutOf(coll string, d Doc) (string, *payment.Payment) {
	switch coll {
	case paymentsName:
		return d.ID, nil
	case inboxName:
		if r, err := inboxOf(d); err == nil {
			return r.Event.Payment, nil
		}
	case alertsName:
		if a, err := alertOf(d); err == nil {
			return cmp.Or(a.Payment, a.Dispute), tenantOf(a.App, a.Mode, risk.Ref{})
		}
	case historyName:
		var r historyRecord
		if json.Unmarshal(d.Body, &r) == nil {
			return r.Payment, nil
		}
	case disputesName:
		if r, err := disputeOf(d); err == nil {
			return cmp.Or(r.Payment, r.ID), tenantOf(r.App, r.Mode, risk.Ref{})
		}
	case evidenceName:
		var r evidenceRecord
		if json.Unmarshal(d.Body, &r) == nil {
			return r.Evidence.Dispute, nil
		}
	case discrepanciesName:
		if r, err := discrepancyOf(d); err == nil {
			return r.Payment, tenantOf(r.App, r.Mode, risk.Ref{})
		}
	case riskDecisionsName:
		if r, err := decisions.of(d); err == nil {
			return "", tenantOf(r.App, r.Mode, r.Subject)
		}
	case riskBlocksName:
		if r, err := blocks.of(d); err == nil {
			return "", tenantOf(r.App, r.Mode, r.Subject)
		}
	}
	return "", nil
}

// eraseDoc erases one document and says how many records of it were overwritten. Each write is a compare-and-swap, so
// that nothing that somebody else writes is lost; and doing it twice changes nothing.
func (r *Eraser) eraseDoc(ctx context.Context, e *Erasure, k Keeping, d Doc, n needles, who map[string]*payment.Payment) (int, error) {
	var u unreadableRecord
	if json.Unmarshal(d.Body, &u) == nil && u.Unreadable != "" {
		return 0, nil // the proof counts it
	}
	switch k.Erase {
	case EraseFeed:
		return r.eraseFeed(ctx, d, who)
	case EraseInbox:
		return r.eraseEvent(ctx, e, d, n, who)
	case EraseBodies:
		if !n.json(d.Body).email {
			return 0, nil
		}
		return 1, r.deletePart(ctx, d)
	case EraseTexts:
		return r.eraseTexts(ctx, e, k.Collection, d, n, who)
	case EraseNothing, ErasePayment:
	}
	return 0, nil
}

// rewrite changes one document; fn gets its body and returns it changed, or as it was.
func (r *Eraser) rewrite(ctx context.Context, coll, id string, fn func(Doc) (Doc, int, error)) (int, error) {
	did := 0
	_, err := Update(WithPoint(ctx, PointErase), r.engine, coll, id, func(d Doc) (Doc, error) {
		next, n, err := fn(d)
		if did = n; err == nil && n == 0 {
			return d, ErrUnchanged
		}
		return next, err
	})
	if errors.Is(err, ErrNotFound) { // dropped meanwhile
		return 0, nil
	}
	return did, err
}

// eraseFeed overwrites the customer in the events of erased payments. An event keeps its id, type, time, sequence and
// everything about money.
func (r *Eraser) eraseFeed(ctx context.Context, d Doc, who map[string]*payment.Payment) (int, error) {
	page, err := feedOf(d)
	if err != nil {
		return 0, nil //nolint:nilerr // the proof counts what can't be read
	}
	if n, err := r.erasePage(&page, who); err != nil || n == 0 {
		return 0, err
	}
	return r.rewrite(ctx, feedName, d.ID, func(d Doc) (Doc, int, error) {
		page, err := feedOf(d)
		if err != nil {
			return Doc{}, 0, err
		}
		n, err := r.erasePage(&page, who)
		if err != nil || n == 0 {
			return d, 0, err
		}
		next, err := feedDoc(page)
		return next, n, err
	})
}

func (r *Eraser) erasePage(page *outbox.Page, who map[string]*payment.Payment) (int, error) {
	did := 0
	for i := range page.Events {
		p := who[page.Events[i].Payment]
		if p == nil {
			continue
		}
		personal, texts := p.Erased()
		if !personal {
			continue
		}
		at := r.personal
		if texts {
			at = r.texts
		}
		changed := false
		object, err := at.rewrite(page.Events[i].Object, func(path string, raw []byte) ([]byte, error) {
			next, err := erasedValue(raw)
			changed = changed || next != nil
			return next, err
		})
		if err != nil {
			return did, fmt.Errorf("event %s: %w", page.Events[i].ID, err)
		}
		if changed {
			page.Events[i].Object = object
			did++
		}
	}
	return did, nil
}

// erasedValue is what stands for a text, or for a map of texts; nil where nothing is to be erased.
func erasedValue(raw []byte) ([]byte, error) {
	if empty(raw) {
		return nil, nil
	}
	if raw[0] != '{' {
		if string(raw) == `"`+payment.Erased+`"` {
			return nil, nil
		}
		return json.Marshal(payment.Erased)
	}
	var texts map[string]string
	if err := json.Unmarshal(raw, &texts); err != nil {
		return nil, fmt.Errorf("store: metadata of an event: %w", err)
	}
	changed := false
	for k, v := range texts {
		changed = changed || v != payment.Erased
		texts[k] = payment.Erased
	}
	if !changed {
		return nil, nil
	}
	return json.Marshal(texts)
}

// eraseEvent drops the raw body of a webhook that is about an erased payment, or that names the address and is about
// none. One that is still worked on waits: its body is evidence until then.
func (r *Eraser) eraseEvent(ctx context.Context, e *Erasure, d Doc, n needles, who map[string]*payment.Payment) (int, error) {
	rec, err := inboxOf(d)
	if err != nil || len(rec.Body) == 0 && rec.Parts == 0 {
		return 0, nil //nolint:nilerr // the proof counts what can't be read
	}
	if !r.concerns(rec, n, who) {
		return 0, nil
	}
	if rec.Event.State == inbox.Pending {
		e.Pending++
		return 0, nil
	}
	for part := range rec.Parts {
		p, err := r.engine.Get(ctx, bodiesName, partID(rec.Event, part))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if err := r.deletePart(ctx, p); err != nil {
			return 0, err
		}
	}
	return r.rewrite(ctx, inboxName, d.ID, func(d Doc) (Doc, int, error) {
		rec, err := inboxOf(d)
		if err != nil || len(rec.Body) == 0 && rec.Parts == 0 {
			return d, 0, err
		}
		rec.Body, rec.Parts = nil, 0
		next, err := rec.doc()
		return next, 1, err
	})
}

func (r *Eraser) concerns(rec inboxRecord, n needles, who map[string]*payment.Payment) bool {
	if p := who[rec.Event.Payment]; p != nil {
		personal, _ := p.Erased()
		return personal
	}
	return n.bytes(rec.Body).email || n.json(rec.Body).email // the proof looks both ways too
}

func (r *Eraser) deletePart(ctx context.Context, d Doc) error {
	err := r.engine.Delete(WithPoint(ctx, PointEraseBody), bodiesName, d.ID, d.Version)
	if errors.Is(err, ErrConflict) { // gone already
		return nil
	}
	return err
}

// eraseTexts overwrites the address and the name wherever they stand in a text of the customer's. Somebody else's record
// loses no more than the address that was asked for: namesakes keep their name, and so do texts that nobody owns.
func (r *Eraser) eraseTexts(ctx context.Context, e *Erasure, coll string, d Doc, n needles, who map[string]*payment.Payment) (int, error) {
	u := unitsOf(coll, d)[0]
	m, owner := u.mention(n), u.owner(who)
	if !m.any() || !e.theirs(m, owner) || needed(coll, owner) {
		return 0, nil
	}
	if p := who[u.about]; p != nil && e.mine(p) {
		if personal, _ := p.Erased(); !personal {
			return 0, nil // its payment is not over: a later round comes back
		}
	}
	if owner != nil && !e.mine(owner) {
		n.names = nil
	}
	return r.rewrite(ctx, coll, d.ID, func(d Doc) (Doc, int, error) {
		body := n.overwrite(slices.Clone(d.Body), payment.Erased)
		if string(body) == string(d.Body) {
			return d, 0, nil
		}
		d.Body = body
		return d, 1, nil
	})
}

// needed says whether a provider may still be told what a record holds: evidence of a payment with an order under way or
// with an undecided dispute, which may also have come after the payment was erased.
func needed(coll string, owner *payment.Payment) bool {
	return coll == evidenceName && owner != nil && (owner.Unfinished(0) != nil || slices.ContainsFunc(owner.Facts.Disputes, func(d payment.Dispute) bool {
		return d.Status == payment.DisputeNeedsResponse || d.Status == payment.DisputeUnderReview
	}))
}
