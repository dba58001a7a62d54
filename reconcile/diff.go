package reconcile

import (
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// verdict is how a payment compares with one row of a provider's list.
type verdict int

const (
	reflected verdict = iota // what the row tells is in the payment already
	stale                    // the row may tell of something that happened after the payment was last read
	differs                  // the payment knows the object, in another state or amount
	missing                  // the payment does not know an object that it should know
)

// sighting is what a payment knows of one provider object.
type sighting struct {
	kind    string // attempt | authorization | capture | refund | reversal | dispute | fraud_warning | review | movement
	n       int    // attempt, 0 if unknown
	created time.Time
	amount  payment.Money
	agrees  bool // with the row it was looked up for
}

// compare says whether a row of an account's list is reflected in a payment. at is
// when what the row tells of happened, in provider time; a snapshot of the attempt
// taken later than that has it. The provider's clock stands still for a second, so
// "later" is strict: better one reading too many.
func compare(p *payment.Payment, account string, item providers.SweepItem, at time.Time) verdict {
	s, ok := sight(p.Facts, account, item.Object.ID, item)
	if !ok {
		if tellsOfItself(item.Object.Kind) || item.Object.Kind == "debit" && !disputed(p.Facts, account, item) {
			return missing
		}
		n, known := holder(p.Facts, account, item)
		switch {
		case !known:
			return missing
		case !readAfter(p.Facts, account, n, at):
			return stale
		case item.Counted:
			return missing
		}
		return reflected
	}
	switch {
	case !s.agrees:
		return differs
	case s.kind == "movement", s.kind == "reversal":
		return reflected // it is as it was when the payment was read
	case (s.kind == "capture" || s.kind == "refund") && item.Amount.Minor != 0:
		return reflected // the row is about this very movement, and the sum is the same
	case !at.After(s.created):
		return reflected // the row is about its making
	case readAfter(p.Facts, account, s.n, at):
		return reflected
	}
	return stale
}

// belongs says whether a payment holds the object of a row, or what the provider
// itself says the object is about. Claims count for nothing.
func belongs(p *payment.Payment, account string, item providers.SweepItem) bool {
	_, ok := holder(p.Facts, account, item)
	return ok
}

// attemptOf is the attempt a row is about: the one that holds it, else the claimed
// one; 0 if neither is known.
func attemptOf(p *payment.Payment, account string, item providers.SweepItem) int {
	if n, ok := holder(p.Facts, account, item); ok {
		return n
	}
	for _, a := range p.Facts.Opened {
		if a.Account == account && a.N == item.Hint.N {
			return a.N
		}
	}
	return 0
}

// tellsOfItself names the kinds of object that a payment keeps as facts of their
// own: knowing what they are about is not knowing them.
func tellsOfItself(kind string) bool {
	switch kind {
	case "capture", "refund", "dispute", "authorization", "early_fraud_warning", "review":
		return true
	}
	return false
}

// disputed says whether a dispute is known of what a row is about. Money that was taken
// without one is in none of the payment's sums, and reading the payment again does not
// bring it there.
func disputed(f payment.Facts, account string, item providers.SweepItem) bool {
	about := ids(item)
	return slices.ContainsFunc(f.Disputes, func(d payment.Dispute) bool {
		return d.Key.Account == account && slices.Contains(about, d.Capture)
	})
}

// ids are the provider's ids on a row, most specific first.
func ids(item providers.SweepItem) []string {
	out := []string{item.Object.ID}
	for _, id := range item.Hint.Refs {
		if id != "" && id != item.Object.ID {
			out = append(out, id)
		}
	}
	return out
}

// holder finds the attempt that knows one of the row's ids.
func holder(f payment.Facts, account string, item providers.SweepItem) (n int, ok bool) {
	for _, id := range ids(item) {
		if s, found := sight(f, account, id, providers.SweepItem{}); found {
			return s.n, true
		}
	}
	return 0, false
}

// sight looks an object up in the facts of an account and judges it against a row.
func sight(f payment.Facts, account, id string, item providers.SweepItem) (sighting, bool) {
	is := func(k payment.ObjectKey) bool { return id != "" && k.ID == id && k.Account == account }
	for _, c := range f.Captures {
		if is(c.Key) {
			return sighting{"capture", c.N, c.Created, c.Amount, agreesCapture(c, item)}, true
		}
	}
	for _, r := range f.Refunds {
		if is(r.Key) {
			return sighting{"refund", captureN(f, account, r.Capture), r.Created, r.Amount, agreesRefund(r, item)}, true
		}
	}
	for _, r := range f.Reversals {
		if is(r.Key) {
			return sighting{"reversal", captureN(f, account, r.Capture), r.Created, r.Amount, !item.Changed.After(r.AsOf)}, true
		}
	}
	for _, d := range f.Disputes {
		if is(d.Key) {
			return sighting{"dispute", captureN(f, account, d.Capture), d.Created, d.Amount, true}, true
		}
	}
	for _, w := range f.Warnings {
		if is(w.Key) {
			return sighting{kind: "fraud_warning", n: captureN(f, account, w.Capture), created: w.Created, agrees: true}, true
		}
	}
	for _, r := range f.Reviews {
		if is(r.Key) {
			return sighting{kind: "review", n: captureN(f, account, r.Capture), created: r.Created, agrees: true}, true
		}
	}
	for _, a := range f.Authorizations {
		if is(a.Key) {
			return sighting{"authorization", a.N, a.Created, a.Amount, true}, true
		}
	}
	for _, a := range f.Attempts {
		if a.Key.Account == account && (is(a.Key) || inRefs(a.Refs, id)) {
			return sighting{"attempt", a.N, a.Created, a.Total, !item.Paid || hasMoney(f, a)}, true
		}
	}
	for _, x := range f.Fees {
		if is(x.Key) {
			return sighting{kind: "movement", n: captureN(f, account, x.Object), amount: x.Net, agrees: true}, true
		}
	}
	return sighting{}, false
}

// agreesCapture: a row may show less than we know, because a charge that is
// captured several times grows, but never more; and money that moved was not
// declined.
func agreesCapture(c payment.Capture, item providers.SweepItem) bool {
	if item.Paid && c.State != payment.CaptureCompleted {
		return false
	}
	return item.Amount.Currency != c.Amount.Currency || item.Amount.Minor <= c.Amount.Minor
}

// agreesRefund: the same sum, and moved here as there.
func agreesRefund(r payment.Refund, item providers.SweepItem) bool {
	if item.Amount.Minor == 0 {
		return true // an event: it names no sum
	}
	if !item.Paid && r.State == payment.RefundSucceeded {
		return false // it failed meanwhile
	}
	if item.Done && !agreesDone(r, item) {
		return false
	}
	minor := item.Amount.Minor
	if minor < 0 {
		minor = -minor
	}
	return item.Amount.Currency != r.Amount.Currency || minor == r.Amount.Minor
}

// agreesDone: money that is said to have moved does not fit a refund that is held as
// under way, which the sum alone would hide. It fits one that failed only where that is
// known of a later moment: a list that lags may still show the state before.
func agreesDone(r payment.Refund, item providers.SweepItem) bool {
	switch r.State {
	case payment.RefundSucceeded:
		return true
	case payment.RefundFailed, payment.RefundCanceled:
		return !item.Changed.IsZero() && r.AsOf.After(item.Changed)
	case payment.RefundPending, payment.RefundRequiresAction:
	}
	return false
}

// hasMoney says whether money was taken, is held or is on its way in an attempt.
func hasMoney(f payment.Facts, a payment.AttemptFact) bool {
	switch a.State {
	case payment.AttemptProcessing, payment.AttemptAuthorized, payment.AttemptComplete:
		return true
	case payment.AttemptOpen, payment.AttemptApproved, payment.AttemptExpired, payment.AttemptCanceled, payment.AttemptFailed:
	}
	for _, c := range f.Captures {
		if c.N == a.N && c.State == payment.CaptureCompleted {
			return true
		}
	}
	for _, h := range f.Authorizations {
		if h.N == a.N {
			return true
		}
	}
	return false
}

func inRefs(r payment.Refs, id string) bool {
	switch id {
	case "":
		return false
	case r.CheckoutSession, r.PaymentIntent, r.Charge, r.Order, r.Authorization, r.Capture, r.Subscription:
		return true
	}
	return false
}

// captureN is the attempt of a capture, 0 if it is not known.
func captureN(f payment.Facts, account, id string) int {
	for _, c := range f.Captures {
		if c.Key.ID == id && c.Key.Account == account {
			return c.N
		}
	}
	return 0
}

// readAfter says whether attempt n (0: every attempt at the account) was read as a
// whole, with what stands beside it, later than a moment. A look that left that out, or
// whose search for reversals failed, is none: a row may tell of just that.
func readAfter(f payment.Facts, account string, n int, at time.Time) bool {
	read := false
	for _, a := range f.Attempts {
		if a.Key.Account != account || n != 0 && a.N != n {
			continue
		}
		if !a.WholeAsOf.After(at) {
			return false
		}
		read = true
	}
	return read
}
