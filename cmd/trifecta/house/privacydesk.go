package house

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/httpapi"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
)

// encryptionDesk lets operators see and order how records are sealed.
type encryptionDesk struct{ r *store.Resealer }

func (d encryptionDesk) EncryptionState(ctx context.Context) (httpapi.EncryptionState, error) {
	s, err := d.r.State(ctx)
	out := httpapi.EncryptionState{
		Active: s.Active, State: s.Phase, Written: s.Written, Failed: s.Failed, Problem: s.Problem, Left: s.Left(), At: s.At,
	}
	for coll, keys := range s.Records {
		for key, n := range keys {
			out.Records = append(out.Records, httpapi.KeyCount{Collection: coll, Key: key, Records: n})
		}
	}
	slices.SortFunc(out.Records, func(a, b httpapi.KeyCount) int {
		return cmp.Or(strings.Compare(a.Collection, b.Collection), strings.Compare(a.Key, b.Key))
	})
	return out, err
}

func (d encryptionDesk) RotateEncryption(ctx context.Context) (httpapi.EncryptionState, error) {
	if err := d.r.Restart(ctx); err != nil {
		return httpapi.EncryptionState{}, err
	}
	return d.EncryptionState(ctx)
}

// erasureDesk lets operators order erasures.
type erasureDesk struct{ h *House }

func (d erasureDesk) OrderErasure(ctx context.Context, c gateway.Caller, r httpapi.ErasureRequest) (httpapi.Erasure, bool, error) {
	e, replayed, err := d.h.OrderErasure(ctx, store.Erasure{
		ID: r.ID, App: r.App, Ref: r.Ref, Email: strings.TrimSpace(r.Email), Texts: r.Texts, Reason: r.Reason, By: c.Actor(), Fingerprint: r.Fingerprint,
	})
	return wireErasure(e), replayed, err
}

func (d erasureDesk) GetErasure(ctx context.Context, id string) (httpapi.Erasure, error) {
	e, err := d.h.Erasures.Get(ctx, id)
	return wireErasure(e), err
}

func (d erasureDesk) ListErasures(ctx context.Context, limit int, after string) ([]httpapi.Erasure, string, error) {
	found, next, err := d.h.Erasures.List(ctx, limit, after)
	out := make([]httpapi.Erasure, 0, len(found))
	for _, e := range found {
		out = append(out, wireErasure(e))
	}
	return out, next, err
}

// OrderErasure writes an erasure down for the worker. The same id again is a
// repetition; with another customer it is refused, also when the first one's address
// is erased.
func (h *House) OrderErasure(ctx context.Context, order store.Erasure) (e store.Erasure, replayed bool, err error) {
	known := false
	for _, a := range h.apps {
		if a.Name == order.App {
			order.Mode, known = a.Mode, true
		}
	}
	if !known {
		return store.Erasure{}, false, payment.Invalid("/app", "must be an app in the configuration")
	}
	order.At = h.clock()
	e, created, err := h.Erasures.Order(ctx, order)
	if err != nil {
		return store.Erasure{}, false, err
	}
	if e.Fingerprint != "" && e.Fingerprint != order.Fingerprint || e.App != order.App || e.Ref != order.Ref || e.ByEmail != (order.Email != "") || e.Texts != order.Texts || e.Reason != order.Reason ||
		e.Email != "" && e.Email != order.Email {
		return store.Erasure{}, false, payment.NewError(payment.CodeIdempotencyReused, "This Idempotency-Key ordered another erasure.")
	}
	h.Eraser.Ordered()
	return e, !created, nil
}

func wireErasure(e store.Erasure) httpapi.Erasure {
	e.LeftIn = slices.Clone(e.LeftIn)
	for i, place := range e.LeftIn {
		if !strings.Contains(place, "/") { // older programs kept ids of payments only
			e.LeftIn[i] = "payments/" + place
		}
	}
	out := httpapi.Erasure{
		ID: e.ID, App: e.App, Ref: e.Ref, Reason: e.Reason, Texts: e.Texts, By: e.By, State: e.State, Found: e.Found, Pending: e.Pending,
		Left: e.Left(), LeftIn: e.LeftIn, Waiting: e.Waiting, OrderedAt: e.At, CompletedAt: e.DoneAt,
	}
	for _, k := range store.Keepings() {
		if c, ok := e.Counts[k.Collection]; ok {
			out.Collections = append(out.Collections, httpapi.ErasureCount{
				Collection: k.Collection, Scanned: c.Scanned, Erased: c.Erased, Left: c.Left, Elsewhere: c.Elsewhere, Unreadable: c.Unreadable,
			})
		}
	}
	return out
}
