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

// An erasure overwrites the address and the names by which it looks for a customer. If it leaves something, such as a name
// in metadata or in an operator's reason, the next one would learn no name from the payments any more, find nothing, and say
// that all is done. So an incomplete erasure keeps what the next one needs to go on: those addresses and names that it still
// found standing, which it makes no more known than they are there, and digests of the address it was ordered by and of those
// it found, which may be gone everywhere else. All of it is sealed, and dropped when a later one is done.

// maxLeft bounds the places that an erasure names.
const maxLeft = 50

// erasureRest is what an incomplete erasure keeps, beside Emails and Names.
type erasureRest struct {
	// AddressDigest recognises the address that was asked for, if somebody names it again. It is made with the erasure's id,
	// so that two of them don't show that they were of one address, and it is sealed.
	AddressDigest string `json:",omitempty"`
	// AddressDigests recognise all addresses that it looked for. Older programs knew only the one.
	AddressDigests []string `json:",omitempty"`
	// LeftIn are the places that still hold the customer, or can't be read, and earlier erasures that forgot what they found
	// there: collection/id. Without Knows ids of payments.
	LeftIn   []string `json:",omitempty"`
	LeftMore bool     `json:",omitempty"` // there are more of these
	// Knows: what still stands there is in Emails and Names. Older programs forgot it, and people may add it by hand.
	Knows bool `json:",omitempty"`
	// FinishedBy is a later erasure that found nothing left; then the rest is empty.
	FinishedBy string `json:",omitempty"`
}

// earlierErasure is an erasure of the same customer that has not taken everything.
type earlierErasure struct {
	ID, Ref string
	// Address: it was ordered by the same address, not only by the same ref or of payments that held that address too.
	Address bool

	// Of one whose program forgot what it found: in which collections that was, in which payments, whether in more than
	// these, and whether their texts were erased already.
	Forgot, LeftIn  []string `json:",omitempty"`
	LeftMore, Texts bool     `json:",omitempty"`
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

// addressDigests are of the first addresses of a list, as many as fit the record.
func addressDigests(erasure string, emails []string) (out []string) {
	for _, email := range emails[:min(len(emails), maxNeedles)] {
		out = append(out, addressDigest(erasure, email))
	}
	return out
}

// knew says whether an erasure looks for an address, or did.
func (e *Erasure) knew(email string) bool {
	return slices.ContainsFunc(e.Emails, func(known string) bool { return strings.EqualFold(known, email) }) ||
		slices.Contains(e.AddressDigests, addressDigest(e.ID, email))
}

// recall notes the earlier erasures of the same customer, and what they look for.
func (r *Eraser) recall(ctx context.Context, e *Erasure) error {
	e.Earlier = nil
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
	if !address && (e.Email == "" || !was.knew(e.Email)) && (e.Ref == "" || was.Ref != e.Ref) {
		return
	}
	noted := earlierErasure{ID: was.ID, Ref: was.Ref, Address: address}
	if was.State == ErasureIncomplete && !was.Knows {
		noted.LeftIn, noted.LeftMore, noted.Texts = was.LeftIn, was.LeftMore || len(was.LeftIn) == 0, was.Texts
		for coll, c := range was.Counts {
			if c.Left > 0 {
				noted.Forgot = append(noted.Forgot, coll)
			}
		}
	}
	e.Earlier = append(e.Earlier, noted)
	e.inherit(was)
}

// inherit looks for what an earlier erasure looks for, without a bound: what is passed over here is never found again.
func (e *Erasure) inherit(was Erasure) {
	add := func(list *[]string, text string) {
		if !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	for _, name := range was.Names {
		add(&e.Names, name)
	}
	for _, email := range was.Emails {
		add(&e.Emails, email)
		if strings.EqualFold(email, was.Email) || hmac.Equal([]byte(was.AddressDigest), []byte(addressDigest(was.ID, email))) {
			add(&e.Asked, email)
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

// before says whether a record's owner was the customer of an earlier erasure: this one ends that one, so it has to have
// proven what that one would have.
func (e *Erasure) before(p *payment.Payment) bool {
	return p.App == e.App && p.Mode == e.Mode && slices.ContainsFunc(e.Earlier, func(was earlierErasure) bool {
		return p.ErasedBy(was.ID) || was.Ref != "" && p.Request.Customer.Ref == was.Ref
	})
}

// doubts says which earlier erasure may have found the customer in a record and forgot as what, so that no proof can say
// that it is harmless; empty for none. Texts that are erased since end that, or somebody who says what it forgot: see
// docs/privacy.md. That the record changed since ends nothing, as this erasure changes it itself.
func (e *Erasure) doubts(coll string, p *payment.Payment) string {
	if p == nil || p.App != e.App || p.Mode != e.Mode {
		return ""
	}
	for _, was := range e.Earlier {
		if was.doubts(coll, p) {
			return was.ID
		}
	}
	return ""
}

func (was earlierErasure) doubts(coll string, p *payment.Payment) bool {
	switch took := p.ErasedBy(was.ID); {
	case !slices.Contains(was.Forgot, coll):
		return false
	case coll != paymentsName:
		return took
	case !slices.Contains(was.LeftIn, p.ID) && !(took && was.LeftMore):
		return false
	}
	_, erased := p.Erased()
	return was.Texts || !erased && (p.Request.Description != "" || len(p.Request.Metadata) > 0)
}

// leave notes a record that still holds the customer, or can't be read. A batch that is proven again names none twice; an
// id that is personal itself is not repeated.
func (e *Erasure) leave(coll, id string, n needles) {
	place := coll + "/" + id
	if n.text(id).any() {
		place = coll + "/" + payment.Erased
	}
	switch {
	case slices.Contains(e.LeftIn, place):
	case len(e.LeftIn) < maxLeft:
		e.LeftIn = append(e.LeftIn, place)
	default:
		e.LeftMore = true
	}
}

// stand notes which of the addresses and names a record of the customer's holds.
func (e *Erasure) stand(u unit) {
	for _, text := range slices.Concat(e.Emails, e.Names) {
		if !slices.Contains(e.Still, text) && u.mention(newNeedles(nil, nil, []string{text})).any() {
			e.Still = append(e.Still, text)
		}
	}
}

// forget drops what was looked for. While something is left, those addresses and names stay that still stand; and all of
// them if a record can't be read, since it may hold any.
func (e *Erasure) forget() {
	unread := int64(0)
	for _, c := range e.Counts {
		unread += c.Unreadable
	}
	kept := func(list []string) (out []string) {
		for _, text := range list {
			if e.State == ErasureIncomplete && (unread > 0 || slices.Contains(e.Still, text)) {
				out = append(out, text)
			}
		}
		return out
	}
	e.Email, e.Emails, e.Names = "", kept(e.Emails), kept(e.Names)
	e.Asked, e.Still, e.Earlier = nil, nil, nil
}

// withoutNeedles is an erasure without what it looks for: that stands there until it is done, and is nothing that another
// one has left.
func (e Erasure) withoutNeedles() Erasure {
	e.Email, e.Emails, e.Names, e.Asked, e.Still, e.LeftIn = "", nil, nil, nil, nil, nil
	return e
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
			e.Emails, e.Names = nil, nil
			return erasureDoc(e)
		})
		if err != nil {
			return portError(err)
		}
	}
	return nil
}
