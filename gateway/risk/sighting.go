package risk

import (
	"slices"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Sighting is one signal with everything a rule may ask about it. It is kept with its
// subject, so it holds nothing that names a person in clear.
type Sighting struct {
	ID      string
	Kind    payment.SignalKind
	At      time.Time
	Payment string
	Account string        `json:",omitempty"`
	Object  string        `json:",omitempty"` // the provider object
	Amount  payment.Money `json:",omitzero"`
	Code    string        `json:",omitempty"` // decline code, dispute reason, kind of fraud
	Detail  string        `json:",omitempty"` // the provider's finer code
	Card    string        `json:",omitempty"` // fingerprint
	Payer   string        `json:",omitempty"`
	Primary string        `json:",omitempty"` // id of the subject that stands for the customer
	Trusted bool          `json:",omitempty"`
	// Actionable: a refund now can still avoid a dispute.
	Actionable bool   `json:",omitempty"`
	Blocked    string `json:",omitempty"` // id of the block that concerns the payment
}

func (s Sighting) before(o Sighting) int {
	if c := s.At.Compare(o.At); c != 0 {
		return c
	}
	return strings.Compare(s.ID, o.ID)
}

// Primary is who a payment's customer is to the rules: the app's own id of them, else
// their e-mail address, else nobody but this payment.
func Primary(p *payment.Payment) Ref {
	if ref := p.Request.Customer.Ref; ref != "" {
		return Ref{KindCustomer, ref}
	}
	if h := payment.EmailHash(p.Request.Customer.Email); h != "" {
		return Ref{KindEmail, h}
	}
	for _, x := range p.Facts.Payers {
		if x.EmailHash != "" {
			return Ref{KindEmail, x.EmailHash}
		}
	}
	for _, d := range p.Facts.Declines {
		if d.EmailHash != "" {
			return Ref{KindEmail, d.EmailHash}
		}
	}
	return Ref{KindPayment, p.ID}
}

// Identities are all names under which whoever pays this may be blocked. Of the addresses that
// only declined tries gave, it is the one that stands for the customer: the others may be a
// victim's.
func Identities(p *payment.Payment) []Ref {
	var out []Ref
	add := func(kind Kind, value string) {
		if r := (Ref{kind, value}); value != "" && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	add(KindCustomer, p.Request.Customer.Ref)
	add(KindEmail, payment.EmailHash(p.Request.Customer.Email))
	for _, x := range p.Facts.Payers {
		add(KindEmail, x.EmailHash)
		add(KindPayer, x.PayerID)
		add(KindCard, x.Card.Fingerprint)
	}
	primary := Primary(p)
	add(primary.Kind, primary.Value)
	add(KindPayment, p.ID)
	return out
}

// Aliases are the e-mail addresses among the Identities under which the rules do not know
// this customer. Who is blocked by one of them must be found by it; the rules count each
// customer once, under their Primary name.
func Aliases(p *payment.Payment) []Ref {
	var out []Ref
	primary := Primary(p)
	for _, r := range Identities(p) {
		if r.Kind == KindEmail && r != primary {
			out = append(out, r.Alias())
		}
	}
	return out
}

// Alias is the subject that knows the payments of an e-mail address which stand for a
// customer of another name.
func (r Ref) Alias() Ref { return Ref{KindAlias, r.Value} }

// Alias is what such a subject is told of a payment, once: that it exists. Only news that
// may name somebody is worth a look.
func Alias(p *payment.Payment, news []Sighting) []Sighting {
	for _, x := range news {
		if x.Kind == payment.SignalAsked || x.Kind == payment.SignalPayer {
			return []Sighting{{ID: payment.DeriveID("sig", p.ID, string(KindAlias)), Kind: payment.SignalAsked, At: p.CreatedAt, Payment: p.ID}}
		}
	}
	return nil
}

// Instruments are the cards and payers that a payment showed, refused ones included.
func Instruments(p *payment.Payment) []Ref {
	var out []Ref
	add := func(kind Kind, value string) {
		if r := (Ref{kind, value}); value != "" && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	for _, x := range p.Facts.Payers {
		add(KindPayer, x.PayerID)
		add(KindCard, x.Card.Fingerprint)
	}
	for _, d := range p.Facts.Declines {
		add(KindPayer, d.PayerID)
		add(KindCard, d.Card.Fingerprint)
	}
	return out
}

// Sightings are all signals of a payment with what the rules ask about them.
func Sightings(p *payment.Payment) []Sighting {
	primary := Primary(p)
	var out []Sighting
	for _, sig := range p.AllSignals() {
		s := Sighting{
			ID: sig.ID, Kind: sig.Kind, At: sig.At, Payment: p.ID, Account: sig.Key.Account, Object: sig.Key.ID,
			Primary: SubjectID(p.App, p.Mode, primary), Trusted: p.Request.Customer.Trusted,
		}
		describe(&s, p, sig)
		out = append(out, s)
	}
	return out
}

func describe(s *Sighting, p *payment.Payment, sig payment.Signal) {
	switch sig.Kind {
	case payment.SignalAsked:
		s.Amount = p.Facts.Terms.Amount
	case payment.SignalPayer:
		for _, x := range p.Facts.Payers {
			if x.Key == sig.Key {
				s.Card, s.Payer = x.Card.Fingerprint, x.PayerID
			}
		}
	case payment.SignalPaid:
		for _, c := range p.Facts.Captures {
			if c.Key == sig.Key {
				s.Amount = c.Amount
			}
		}
	case payment.SignalDecline:
		for _, d := range p.Facts.Declines {
			if d.Key == sig.Key {
				s.Card, s.Payer, s.Code, s.Detail = d.Card.Fingerprint, d.PayerID, d.Code, d.DeclineCode
			}
		}
	case payment.SignalDispute:
		for _, d := range p.Facts.Disputes {
			if d.Key == sig.Key {
				s.Code, s.Amount = d.Reason, d.Amount
			}
		}
	case payment.SignalWarning:
		for _, w := range p.Facts.Warnings {
			if w.Key == sig.Key {
				s.Code, s.Actionable = w.FraudType, w.Actionable
			}
		}
	case payment.SignalReview:
		for _, r := range p.Facts.Reviews {
			if r.Key == sig.Key {
				s.Code = r.Opened
			}
		}
	}
}
