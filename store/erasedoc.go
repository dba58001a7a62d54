package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// unit is what is judged by itself: a document, or one event of a page.
type unit struct {
	payment string // the payment it is about, "" if none is known
	mention func(needles) mention
}

// unitsOf are the units of a document.
func unitsOf(coll string, d Doc) []unit {
	whole := unit{mention: func(n needles) mention { return n.doc(d) }}
	switch coll {
	case paymentsName:
		whole.payment = d.ID
	case inboxName:
		if r, err := inboxOf(d); err == nil {
			whole.payment = r.Event.Payment
		}
	case feedName:
		p, err := feedOf(d)
		if err != nil {
			return []unit{whole}
		}
		units := make([]unit, 0, len(p.Events))
		for _, ev := range p.Events {
			units = append(units, unit{payment: ev.Payment, mention: func(n needles) mention { return n.json(ev.Object) }})
		}
		return units
	case alertsName:
		if a, err := alertOf(d); err == nil {
			whole.payment = a.Payment
		}
	case historyName:
		var r historyRecord
		if json.Unmarshal(d.Body, &r) == nil {
			whole.payment = r.Payment
		}
	}
	return []unit{whole}
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
		return r.eraseTexts(ctx, k.Collection, d, n)
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
	return n.bytes(rec.Body).email
}

func (r *Eraser) deletePart(ctx context.Context, d Doc) error {
	err := r.engine.Delete(WithPoint(ctx, PointEraseBody), bodiesName, d.ID, d.Version)
	if errors.Is(err, ErrConflict) { // gone already
		return nil
	}
	return err
}

// eraseTexts overwrites the address and the name wherever they stand in a text.
func (r *Eraser) eraseTexts(ctx context.Context, coll string, d Doc, n needles) (int, error) {
	if !n.doc(d).any() {
		return 0, nil
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
