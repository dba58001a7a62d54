package payment

import (
	"cmp"
	"slices"
	"strings"
)

// Amounts are the sums over a payment's facts, in minor units of the payment's
// own currency. They are computed, never stored.
type Amounts struct {
	Expected      int64   // what must be captured in the end
	Discount      int64   `json:",omitzero"`
	Tax           int64   `json:",omitzero"`
	Shipping      int64   `json:",omitzero"`
	Authorized    int64   `json:",omitzero"` // held at most, of the authorizations in force
	Capturable    int64   `json:",omitzero"`
	Captured      int64   `json:",omitzero"` // completed captures
	Refunded      int64   `json:",omitzero"` // succeeded refunds
	RefundPending int64   `json:",omitzero"` // refunds on their way, our own not yet observed ones included
	Disputed      int64   `json:",omitzero"` // withheld or lost, plus reversals nothing else explains
	Refundable    int64   `json:",omitzero"` // max(0, captured - refunded - refund_pending - disputed)
	Fee           []Money `json:",omitempty"`
	Net           []Money `json:",omitempty"`
}

// Amounts computes the sums. operations are the payment's own, so that a refund
// that was asked for but not yet seen counts exactly once.
func (f Facts) Amounts(operations []Operation) Amounts {
	currency := f.Terms.Amount.Currency
	a := Amounts{Expected: f.Terms.Amount.Minor, Capturable: f.capturable()}
	if fact, ok := f.settlingAttempt(); ok && f.Terms.Flexible && fact.Total.Currency == currency {
		a.Expected, a.Discount, a.Tax, a.Shipping = fact.Total.Minor, fact.Discount, fact.Tax, fact.Shipping
	}
	for _, auth := range f.effectiveAuthorizations() {
		if auth.Amount.Currency == currency {
			a.Authorized += auth.Amount.Minor
		}
	}
	for _, c := range f.Captures {
		if c.State == CaptureCompleted && c.Amount.Currency == currency {
			a.Captured += c.Amount.Minor
		}
	}
	if f.Terms.Manual {
		var sum int64
		for _, c := range f.acceptedCaptures() {
			sum += c.Amount.Minor
		}
		if sum > 0 { // before, what is held, which a discount may have changed
			a.Expected = sum
		}
	}
	a.Refunded, a.RefundPending = f.refundSums(operations)
	a.Disputed = f.disputed()
	a.Refundable = max(0, a.Captured-a.Refunded-a.RefundPending-a.Disputed)
	a.Fee, a.Net = f.feeSums()
	return a
}

// settlingAttempt is the report of the attempt whose breakdown counts.
func (f Facts) settlingAttempt() (AttemptFact, bool) {
	winner, ok := f.Winner()
	if !ok {
		return AttemptFact{}, false
	}
	return f.AttemptFact(winner.N)
}

func (f Facts) refundSums(operations []Operation) (succeeded, pending int64) {
	observed := make(map[string]bool, len(f.Refunds))
	for _, r := range f.Refunds {
		observed[refundOperation(r, operations)] = true
		if r.Amount.Currency != f.Terms.Amount.Currency {
			continue
		}
		switch r.State {
		case RefundSucceeded:
			succeeded += r.Amount.Minor
		case RefundPending, RefundRequiresAction:
			pending += r.Amount.Minor
		case RefundCanceled, RefundFailed:
		}
	}
	for _, op := range operations {
		if op.Kind == OpRefund && op.State != OpFailed && !observed[op.ID] {
			pending += op.Amount.Minor // done but not seen yet is still on its way
		}
	}
	return succeeded, pending
}

func (f Facts) disputed() int64 {
	var sum int64
	for _, d := range f.Disputes {
		if d.Amount.Currency == f.Terms.Amount.Currency {
			sum += d.taken()
		}
	}
	for _, r := range f.unexplained() {
		if r.Amount.Currency == f.Terms.Amount.Currency {
			sum += r.Amount.Minor
		}
	}
	return sum
}

// unexplained are the reversals that no dispute or refund on record accounts for.
func (f Facts) unexplained() []Reversal {
	explained := make(map[string]bool, len(f.Disputes)+len(f.Refunds))
	for _, d := range f.Disputes {
		explained[d.Key.ID] = true
		if d.taken() > 0 || d.Status == DisputeLost { // lost without taking anything: a refund settled it
			explained["capture:"+d.Capture] = true
		}
	}
	for _, r := range f.Refunds {
		explained[r.Key.ID] = true
	}
	var out []Reversal
	for _, r := range f.Reversals {
		if !explained[r.Dispute] && !explained[r.Key.ID] && !explained["capture:"+r.Capture] {
			out = append(out, r)
		}
	}
	return out
}

func (f Facts) feeSums() (fee, net []Money) {
	fees, nets := map[Currency]int64{}, map[Currency]int64{}
	for _, x := range f.Fees {
		fees[x.Fee.Currency] += x.Fee.Minor
		nets[x.Net.Currency] += x.Net.Minor
	}
	if len(nets) > 0 { // else nothing is known yet, and what is missing of it says nothing
		for _, m := range f.unbooked() {
			nets[m.Currency] -= m.Minor
		}
		for _, d := range f.Disputes {
			if back := d.returned(); back > 0 {
				fees[d.Amount.Currency] -= back
			}
		}
	}
	return sortedMoney(fees), sortedMoney(nets)
}

// unbooked is what disputes and reversals took and no balance transaction tells of: Stripe
// books each of them, PayPal has no such objects.
func (f Facts) unbooked() []Money {
	booked, told := map[string]int64{}, map[string]bool{}
	for _, x := range f.Fees {
		booked[x.Object] += x.Fee.Minor + x.Net.Minor // what was moved, its fee aside
		told[x.Key.ID] = true                         // a reversal at Stripe is a balance transaction itself, booked as its charge's
	}
	var out []Money
	for _, d := range f.Disputes {
		if booked[d.Key.ID] == 0 {
			out = append(out, Money{Minor: d.taken() - d.returned(), Currency: d.Amount.Currency})
		}
	}
	for _, r := range f.unexplained() {
		if !told[r.Key.ID] {
			out = append(out, r.Amount)
		}
	}
	return slices.DeleteFunc(out, Money.IsZero)
}

func sortedMoney(by map[Currency]int64) []Money {
	out := make([]Money, 0, len(by))
	for c, minor := range by {
		out = append(out, Money{Minor: minor, Currency: c})
	}
	slices.SortFunc(out, func(a, b Money) int { return strings.Compare(string(a.Currency), string(b.Currency)) })
	if len(out) == 0 {
		return nil
	}
	return out
}

// effectiveAuthorizations are those in force: not replaced by a renewal and not
// of an abandoned attempt.
func (f Facts) effectiveAuthorizations() []Authorization {
	var out []Authorization
	for _, a := range f.currentAuthorizations() {
		if f.Abandoned(a.N) {
			continue
		}
		switch a.State {
		case AuthActive:
			a.Capturable = min(a.Capturable, f.leftOf(a))
			out = append(out, a)
		case AuthCaptured:
			out = append(out, a)
		case AuthPending, AuthVoided, AuthExpired, AuthDenied:
		}
	}
	return out
}

// leftOf is the most that captures can have left of an authorization, in minor units. What
// was taken or is on its way can't be captured again, nor anything after the final capture,
// whatever a reading says that lags behind.
func (f Facts) leftOf(a Authorization) int64 {
	left := a.Amount.Minor
	for _, c := range f.Captures {
		if !f.takenFrom(c, a) || c.Key.Account != a.Key.Account || c.State == CaptureDeclined || c.Amount.Currency != a.Amount.Currency {
			continue
		}
		if c.Final {
			return 0
		}
		left -= c.Amount.Minor
	}
	return max(0, left)
}

// currentAuthorizations are those not replaced by a renewal. Of an order that is the
// youngest that was not denied, whatever it says it renews: a reading that did not see them
// all can't name the one before, and two counted beside each other would hold the money
// twice.
func (f Facts) currentAuthorizations() []Authorization {
	replaced := map[string]bool{}
	for _, a := range f.Authorizations {
		if a.Replaces != "" {
			replaced[a.Replaces] = true
		}
	}
	var out []Authorization
	for _, a := range f.Authorizations {
		current := !replaced[a.Key.ID]
		if family := f.family(a); len(family) > 0 {
			current = family[len(family)-1].Key == a.Key
		}
		if current {
			out = append(out, a)
		}
	}
	return out
}

// orderOf is the order that an authorization belongs to; ok is false where it belongs to
// none.
func (f Facts) orderOf(a Authorization) (order AttemptFact, ok bool) {
	for _, x := range f.Attempts {
		if x.Kind == KindOrder && x.N == a.N && x.Key.Provider == a.Key.Provider && x.Key.Account == a.Key.Account {
			return x, true
		}
	}
	return AttemptFact{}, false
}

// family are an authorization of an order, what it renews and what renews it, the oldest
// first. One that was denied renews nothing, and is of no family.
func (f Facts) family(a Authorization) []Authorization {
	if _, ok := f.orderOf(a); !ok || a.State == AuthDenied {
		return nil
	}
	var out []Authorization
	for _, b := range f.Authorizations {
		if b.N == a.N && b.Key.Provider == a.Key.Provider && b.Key.Account == a.Key.Account && b.State != AuthDenied {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(x, y Authorization) int {
		return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(len(f.renewedBy(x)), len(f.renewedBy(y))), strings.Compare(x.Key.ID, y.Key.ID))
	})
	return out
}

// takenFrom says whether a capture was made of this authorization: of the one that it
// names, or, where it names none of an order's, of the youngest there was.
func (f Facts) takenFrom(c Capture, a Authorization) bool {
	if c.Auth != "" || c.N != a.N || c.Key.Provider != a.Key.Provider || c.Key.Account != a.Key.Account {
		return c.Auth == a.Key.ID
	}
	var source ObjectKey
	for _, b := range f.family(a) {
		if !b.Created.After(c.Created) {
			source = b.Key
		}
	}
	return source == a.Key
}

func (f Facts) capturable() int64 {
	var sum int64
	for _, a := range f.effectiveAuthorizations() {
		if a.State == AuthActive && a.Amount.Currency == f.Terms.Amount.Currency {
			sum += a.Capturable
		}
	}
	return sum
}

// counted says whether a capture is covered by a complete snapshot of its
// attempt. Sum checks look at those only: a fragment may run ahead of the rest.
func (f Facts) counted(c Capture) bool {
	for _, a := range f.Attempts {
		if a.N == c.N && !c.Created.After(a.CompleteAsOf) {
			return true
		}
	}
	return false
}

// uncounted are completed captures that no complete snapshot covers yet.
func (f Facts) uncounted() []Capture {
	var out []Capture
	for _, c := range f.Captures {
		if c.State == CaptureCompleted && !f.counted(c) {
			out = append(out, c)
		}
	}
	return out
}

// acceptedCaptures are the completed, counted captures that no operator has
// ordered to be refunded as a whole.
func (f Facts) acceptedCaptures() []Capture {
	refunded := f.decidedObjects(DecisionRefund)
	var out []Capture
	for _, c := range f.Captures {
		if c.State == CaptureCompleted && f.counted(c) && !refunded[c.Key.ID] {
			out = append(out, c)
		}
	}
	return out
}

func (f Facts) decidedObjects(kind DecisionKind) map[string]bool {
	out := map[string]bool{}
	for _, d := range f.Decisions {
		if d.Kind == kind {
			for _, id := range d.Objects {
				out[id] = true
			}
		}
	}
	return out
}
