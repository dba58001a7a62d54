package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// An erasure overwrites the address by which it found a payment, and then forgets it. If it leaves something, such as a name
// in metadata, the next one, which shall take that too, would find no payment of this address any more, nothing of a name
// that it does not know, and would say that all is done. So an incomplete erasure keeps what the next one needs to go on:
// which payments it left, and a digest by which the same address is known again. Neither says who the customer was.

// maxLeft bounds the payments that an incomplete erasure names.
const maxLeft = 500

// erasureRest is what an incomplete erasure keeps.
type erasureRest struct {
	// AddressDigest recognises the address that was asked for, if somebody names it again. It is made with the erasure's id,
	// so that two of them don't show that they were of one address, and it is sealed.
	AddressDigest string   `json:",omitempty"`
	LeftIn        []string `json:",omitempty"` // payments that still hold the customer
	LeftMore      bool     `json:",omitempty"` // there are more of these
	// FinishedBy is a later erasure that found nothing left; then the rest is empty.
	FinishedBy string `json:",omitempty"`
}

// earlierErasure is an erasure of the same customer that has not taken everything.
type earlierErasure struct {
	ID, Ref string
	// Address: it was of the same address, not only of the same ref.
	Address bool
}

// addressDigest is empty for no address.
func addressDigest(erasure, email string) string {
	if email == "" {
		return ""
	}
	h := hmac.New(sha256.New, []byte(erasure))
	_, _ = h.Write([]byte(strings.ToLower(email))) // a hash never fails
	return hex.EncodeToString(h.Sum(nil))
}

// recall notes the earlier erasures of the same customer, and what they left.
func (r *Eraser) recall(ctx context.Context, e *Erasure) error {
	e.Earlier, e.Doubts, e.DoubtAll = nil, nil, false
	for after := ""; ; {
		docs, next, err := r.engine.Query(ctx, erasuresName, Query{
			Index: "by_asked", Where: []Filter{Where("scope", Eq, "all")}, SortBy: "asked", Limit: MaxLimit, After: after,
		})
		if err != nil {
			return portError(err)
		}
		for _, d := range docs {
			if was, err := erasureOf(d); err == nil { // one that can't be read stops no other
				e.follow(was)
			}
		}
		if after = next; after == "" {
			return nil
		}
	}
}

// follow notes an erasure if it is an earlier one of the same customer that has not taken everything.
func (e *Erasure) follow(was Erasure) {
	if was.ID == e.ID || was.App != e.App || was.Mode != e.Mode || was.State == ErasureDone || was.FinishedBy != "" {
		return
	}
	address := e.Email != "" && (strings.EqualFold(was.Email, e.Email) || hmac.Equal([]byte(was.AddressDigest), []byte(addressDigest(was.ID, e.Email))))
	if !address && (e.Ref == "" || was.Ref != e.Ref) {
		return
	}
	e.Earlier = append(e.Earlier, earlierErasure{ID: was.ID, Ref: was.Ref, Address: address})
	e.DoubtAll = e.DoubtAll || was.LeftMore
	for _, id := range was.LeftIn {
		switch {
		case slices.Contains(e.Doubts, id):
		case len(e.Doubts) < maxLeft:
			e.Doubts = append(e.Doubts, id)
		default:
			e.DoubtAll = true
		}
	}
}

// tookByAddress says whether an earlier erasure of the same address took a payment for its address. One that it took for
// the app's id of the customer may be of another address: whoever orders this names that id too, or leaves it alone.
func (e *Erasure) tookByAddress(p *payment.Payment) bool {
	return slices.ContainsFunc(e.Earlier, func(was earlierErasure) bool {
		return was.Address && p.ErasedBy(was.ID) && (was.Ref == "" || p.Request.Customer.Ref != was.Ref)
	})
}

// doubts says whether a payment still has the texts in which an earlier erasure found the customer. What it looked for is
// forgotten, so that no proof can say that they are harmless.
func (e *Erasure) doubts(p *payment.Payment) bool {
	if p == nil || len(e.Doubts) == 0 && !e.DoubtAll || p.App != e.App || p.Mode != e.Mode {
		return false
	}
	if _, texts := p.Erased(); texts || !hasTexts(p) {
		return false
	}
	return slices.Contains(e.Doubts, p.ID) ||
		e.DoubtAll && slices.ContainsFunc(e.Earlier, func(was earlierErasure) bool { return p.ErasedBy(was.ID) })
}

func hasTexts(p *payment.Payment) bool {
	return p.Request.Description != "" || len(p.Request.Metadata) > 0
}

// leave notes a payment that still holds the customer. A batch that is proven again names none twice.
func (e *Erasure) leave(id string) {
	switch {
	case slices.Contains(e.LeftIn, id):
	case len(e.LeftIn) < maxLeft:
		e.LeftIn = append(e.LeftIn, id)
	default:
		e.LeftMore = true
	}
}

// finish lets go of what incomplete erasures kept, once a later one found nothing left.
func (s *Erasures) finish(ctx context.Context, earlier []earlierErasure, by string) error {
	for _, was := range earlier {
		_, err := Update(WithPoint(ctx, PointErasureStep), s.e, erasuresName, was.ID, func(d Doc) (Doc, error) {
			e, err := erasureOf(d)
			if err != nil {
				return Doc{}, err
			}
			if e.State != ErasureIncomplete || e.FinishedBy != "" { // one that goes on has its own end
				return d, ErrUnchanged
			}
			e.erasureRest = erasureRest{FinishedBy: by}
			return erasureDoc(e)
		})
		if err != nil {
			return portError(err)
		}
	}
	return nil
}
