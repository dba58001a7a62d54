package inbox

import (
	"context"
	"slices"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// placement is which payment to read because of an event. It never says that
// the object belongs to it.
type placement struct {
	payment string
	ns      []int // its attempts to read
	known   bool  // the payment knows the object or one of its refs; else somebody only claims it
}

// claims are the payments that events claim to concern, each read once; nil where there
// is none. They serve one round of placing and are not kept.
type claims map[string]*payment.Payment

func (b *Inbox) claimed(ctx context.Context, read claims, id string) (*payment.Payment, error) {
	if p, ok := read[id]; ok || id == "" {
		return p, nil
	}
	p, ok, err := b.opts.Finder.Find(ctx, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		p = nil
	}
	read[id] = p
	return p, nil
}

// place finds the payment that an object may concern: one that knows the object
// or what it hangs on, else the one that is claimed. The zero placement: none.
func (b *Inbox) place(ctx context.Context, account string, object providers.Ref, h providers.Hint, read claims) (placement, error) {
	claimed, unread := b.claimed(ctx, read, h.PaymentID)
	if claimed != nil {
		// The claim is true, so there is nothing to search for.
		if n, ok := holds(claimed, account, object.ID); ok {
			return placement{payment: claimed.ID, ns: readable(claimed, account, n), known: true}, nil
		}
	}
	ids := h.Refs
	if object.ID != "" {
		ids = append([]string{object.ID}, h.Refs...)
	}
	if len(ids) > 0 {
		found, err := b.opts.Finder.ByRef(ctx, account, ids...)
		if err != nil {
			return placement{}, err
		}
		for _, id := range ids { // most specific first
			for _, p := range found {
				if n, ok := holds(p, account, id); ok {
					return placement{payment: p.ID, ns: readable(p, account, n), known: true}, nil
				}
			}
		}
	}
	if unread != nil || claimed == nil {
		return placement{}, unread
	}
	if !slices.ContainsFunc(claimed.Facts.Opened, func(a payment.Attempt) bool { return a.Account == account }) {
		return placement{}, nil
	}
	return placement{payment: claimed.ID, ns: readable(claimed, account, h.N)}, nil
}

// readable lists the attempts at an account whose root is known: attempt n, or
// all of them where n is 0 or not one of them.
func readable(p *payment.Payment, account string, n int) []int {
	var all []int
	for _, a := range p.Facts.Opened {
		if a.Account != account {
			continue
		}
		_, rooted := p.Facts.AttemptFact(a.N)
		if a.N == n {
			if rooted {
				return []int{n}
			}
			return nil
		}
		if rooted {
			all = append(all, a.N)
		}
	}
	return all
}

// creating says whether a checkout at this account may exist although we don't
// know it yet.
func creating(p *payment.Payment, account string) bool {
	for _, a := range p.Facts.Opened {
		if a.Account == account && p.Unfinished(a.N, payment.OpCreate) != nil {
			return true
		}
	}
	return false
}

// holds says whether an object stands in a payment's facts, which only snapshots
// of its own attempts and answers to our own calls fill, and in which attempt (0
// where that can't be told).
func holds(p *payment.Payment, account, id string) (n int, ok bool) {
	if id == "" {
		return 0, false
	}
	is := func(k payment.ObjectKey) bool { return k.Account == account && k.ID == id }
	f := p.Facts
	for _, a := range f.Attempts {
		r := a.Refs
		if is(a.Key) || a.Key.Account == account &&
			slices.Contains([]string{r.CheckoutSession, r.PaymentIntent, r.Charge, r.Order, r.Authorization, r.Capture, r.Subscription}, id) {
			return a.N, true
		}
	}
	for _, a := range f.Authorizations {
		if is(a.Key) {
			return a.N, true
		}
	}
	capture := func(id string) int {
		for _, c := range f.Captures {
			if c.Key.Account == account && c.Key.ID == id {
				return c.N
			}
		}
		return 0
	}
	for _, c := range f.Captures {
		if is(c.Key) {
			return c.N, true
		}
	}
	for _, r := range f.Refunds {
		if is(r.Key) {
			return capture(r.Capture), true
		}
	}
	for _, d := range f.Disputes {
		if is(d.Key) {
			return capture(d.Capture), true
		}
	}
	for _, w := range f.Warnings {
		if is(w.Key) {
			return capture(w.Capture), true
		}
	}
	for _, r := range f.Reviews {
		if is(r.Key) {
			return capture(r.Capture), true
		}
	}
	for _, d := range f.Declines {
		if is(d.Key) {
			return d.N, true
		}
	}
	for _, r := range f.Reversals {
		if is(r.Key) {
			return capture(r.Capture), true
		}
	}
	for _, x := range f.Fees {
		if is(x.Key) {
			return capture(x.Object), true
		}
	}
	return 0, false
}

// money says whether an object of this kind is money that moved or is held, so
// that a payment which was read whole must show it. Others need not appear: a
// declined charge, a warning, a review.
func money(kind string) bool {
	switch kind {
	case "capture", "authorization", "refund", "dispute":
		return true
	}
	return false
}

// carries says whether facts can hold an object of this kind at all.
func carries(kind string) bool {
	switch kind {
	case "checkout_session", "order", "payment_intent", "charge":
		return true
	}
	return money(kind)
}
