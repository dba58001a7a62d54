package payment

import (
	"slices"
	"time"
)

// Erased stands where personal data stood before it was erased.
const Erased = "[erased]"

// DecisionErased says that the personal data of a payment was erased, and must not
// come back with a later observation. Objects names what else than name and e-mail
// address went (ErasedTexts).
const DecisionErased DecisionKind = "personal_data_erased"

// ErasedTexts in Decision.Objects: the app's own texts (description, metadata) are
// erased too.
const ErasedTexts = "texts"

// erasedParams stand where the provider request of a settled operation stood; older programs kept it.
const erasedParams = `{"erased":true}`

// replayable is how long an app may still repeat a creation that it never got an
// answer to, which would bring its data back.
const replayable = 24 * time.Hour

// Erasure is an order to erase one customer's personal data.
type Erasure struct {
	ID     string
	Texts  bool // description and metadata too
	By     Actor
	Reason string
}

// Erased says whether the customer's personal data was erased, and whether the
// app's own texts were too.
func (p *Payment) Erased() (personal, texts bool) {
	for _, d := range p.Facts.Decisions {
		if d.Kind == DecisionErased {
			personal = true
			texts = texts || slices.Contains(d.Objects, ErasedTexts)
		}
	}
	return personal, texts
}

// ErasedBy says whether this very erasure was decided.
func (p *Payment) ErasedBy(id string) bool {
	return slices.ContainsFunc(p.Facts.Decisions, func(d Decision) bool { return d.ID == erasedID(id) })
}

func erasedID(erasure string) string { return "erased/" + erasure }

// Erasable says whether nothing needs the customer's data any more: the payment is
// over, everything told to a provider has its answer, every event has left for the
// feed, and its creation can't be repeated with the data in it. A hold on the
// customer's money, a conflict, an open checkout and an undecided dispute need it.
func (p *Payment) Erasable(now time.Time) bool {
	switch p.Status() {
	case StatusSucceeded, StatusCanceled, StatusExpired, StatusFailed:
	case StatusRequiresAction, StatusProcessing, StatusAuthorized, StatusConflicted:
		return false
	}
	for _, d := range p.Facts.Disputes {
		if d.Status == DisputeNeedsResponse || d.Status == DisputeUnderReview {
			return false // the evidence names the customer
		}
	}
	return p.Unfinished(0) == nil && len(p.Outbox) == 0 && (p.Answered || !now.Before(p.CreatedAt.Add(replayable)))
}

// Source is how the erasure stands in histories.
func (e Erasure) Source() Source {
	return Source{Layer: LayerAPI, Actor: e.By, Reason: "personal data erased: " + e.Reason}
}

// Erase decides, within a Change, that the customer's personal data is overwritten
// with Erased, for good. Money, ids, references and history stay. It changes
// nothing the second time, and is refused while the data is needed.
func (p *Payment) Erase(e Erasure, now time.Time) error {
	if personal, texts := p.Erased(); personal && (texts || !e.Texts) {
		return nil
	}
	if !p.Erasable(now) {
		return NewError(CodeConflict, "The payment is not over yet; its customer's data is still needed.")
	}
	d := Decision{ID: erasedID(e.ID), Kind: DecisionErased, By: e.By, Reason: e.Reason, At: now}
	if e.Texts {
		d.Objects = []string{ErasedTexts}
	}
	p.decide(d)
	return nil
}

// erasedMore says that more was erased than in old.
func (p *Payment) erasedMore(old *Payment) bool {
	personal, texts := p.Erased()
	was, wereTexts := old.Erased()
	return personal && !was || texts && !wereTexts
}

// scrub keeps erased what was erased: an observation may bring a payer's address
// again.
func (p *Payment) scrub() {
	personal, texts := p.Erased()
	if !personal {
		return
	}
	c := &p.Request.Customer
	overwrite(&c.Email)
	overwrite(&c.Name)
	for i := range p.Facts.Attempts {
		overwrite(&p.Facts.Attempts[i].PayerEmail)
	}
	for i := range p.Facts.Payers {
		p.Facts.Payers[i].EmailHash = ""
	}
	for i := range p.Facts.Declines {
		p.Facts.Declines[i].EmailHash = ""
	}
	for i := range p.Operations {
		if op := &p.Operations[i]; op.State.Settled() && len(op.Params) > 0 {
			op.Params = []byte(erasedParams)
		}
	}
	if texts {
		overwrite(&p.Request.Description)
		for k := range p.Request.Metadata {
			p.Request.Metadata[k] = Erased
		}
	}
}

func overwrite(text *string) {
	if *text != "" {
		*text = Erased
	}
}

// KnownEmail is the customer's address, empty where it was erased.
func (c Customer) KnownEmail() string { return Known(c.Email) }

// Known is a text that may have been erased; empty where it was: nobody outside is to be
// told Erased in its place.
func Known(text string) string {
	if text == Erased {
		return ""
	}
	return text
}
