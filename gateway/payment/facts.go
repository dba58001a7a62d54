package payment

import (
	"slices"
	"time"
)

// ObjectKey names one object at one provider account. Ids of different
// accounts may collide, so the account is always part of the key.
type ObjectKey struct {
	Provider string // "stripe", "paypal"
	Account  string // configured account name, such as "stripe-eu"
	ID       string // the provider's id
}

func (k ObjectKey) text() string { return k.Provider + "\x00" + k.Account + "\x00" + k.ID }

// Stamp is the pair of times every fact carries, both in provider time, never
// by our clock.
type Stamp struct {
	Created time.Time // the object's immutable creation time
	AsOf    time.Time // when the provider said this; orders two sightings
}

// AttemptState is how far one checkout at a provider got, as the provider sees it.
type AttemptState string

// Attempt states in rank order: of two sightings with the same as_of the later
// in this list wins.
const (
	AttemptOpen       AttemptState = "open"       // the customer can still pay
	AttemptApproved   AttemptState = "approved"   // the customer agreed, no money moved: our capture or authorize call is due
	AttemptProcessing AttemptState = "processing" // money is on its way (bank debit, review)
	AttemptAuthorized AttemptState = "authorized" // funds are held, capture is the app's decision
	AttemptExpired    AttemptState = "expired"    // dead, nobody paid
	AttemptCanceled   AttemptState = "canceled"   // voided, or the authorization lapsed
	AttemptFailed     AttemptState = "failed"     // denied for good
	AttemptComplete   AttemptState = "complete"   // executed: the captures tell the amounts
)

// attemptStates is the rank order of AttemptState.
var attemptStates = []AttemptState{
	AttemptOpen, AttemptApproved, AttemptProcessing, AttemptAuthorized,
	AttemptExpired, AttemptCanceled, AttemptFailed, AttemptComplete,
}

// Dead says that no customer can pay this attempt any more and none has.
func (s AttemptState) Dead() bool {
	return s == AttemptExpired || s == AttemptCanceled || s == AttemptFailed
}

// Failure is why a try at paying did not work. Message is for people and is
// written by us; provider texts are never passed on.
type Failure struct {
	Code        string `json:",omitzero"` // card_declined, instrument_declined, authorization_expired, capture_denied ...
	DeclineCode string `json:",omitzero"` // the provider's finer code, such as insufficient_funds
	Message     string `json:",omitzero"`
}

// Refs are the provider's ids for one attempt; empty where there is none.
type Refs struct {
	CheckoutSession string `json:",omitzero"`
	PaymentIntent   string `json:",omitzero"`
	Charge          string `json:",omitzero"`
	Order           string `json:",omitzero"`
	Authorization   string `json:",omitzero"`
	Capture         string `json:",omitzero"`
	Subscription    string `json:",omitzero"`
}

// KindOrder is the kind of an attempt that is authorized once: whatever is authorized below
// it later renews what was before.
const KindOrder = "order"

// AttemptFact is what a provider reports of one checkout: a Checkout Session,
// an order, or an off-session charge. It merges by greatest (as_of, rank,
// digest); CompleteAsOf and WholeAsOf merge by maximum.
type AttemptFact struct {
	Key   ObjectKey // the attempt's root object
	N     int       // which of the payment's attempts this is
	Kind  string    // checkout_session | order | payment_intent
	State AttemptState
	Total Money // what the provider takes when it is paid
	// Discount, Tax and Shipping are minor units of Total's currency, by the
	// provider's own breakdown.
	Discount, Tax, Shipping int64     `json:",omitzero"`
	Refs                    Refs      `json:",omitzero"`
	URL                     string    `json:",omitzero"` // where the customer continues while it is open
	ApprovedAt              time.Time `json:",omitzero"` // when the customer agreed, zero if not
	ExpiresAt               time.Time // when the provider closes it, zero if unknown
	Failure                 Failure   `json:",omitzero"` // the last failed try at paying, if any
	PayerID, PayerEmail     string    `json:",omitzero"`
	Stamp
	CompleteAsOf time.Time // newest complete snapshot seen of this root
	// WholeAsOf is the newest that looked at what stands beside the root as well. What
	// is decided of the root's own money (is a capture counted, may a checkout be
	// closed, did a refused call take effect) needs CompleteAsOf only; that a row of a
	// list tells nothing new of a dispute or a reversal needs this.
	WholeAsOf time.Time `json:",omitzero"`
}

// free says that it was completed and takes nothing.
func (a AttemptFact) free() bool { return a.State == AttemptComplete && a.Total.Minor == 0 }

// AuthState is the state of one authorization.
type AuthState string

// Authorization states in rank order.
const (
	AuthPending  AuthState = "pending"
	AuthActive   AuthState = "active"   // capturable > 0
	AuthCaptured AuthState = "captured" // nothing left to capture
	AuthVoided   AuthState = "voided"
	AuthExpired  AuthState = "expired"
	AuthDenied   AuthState = "denied"
)

var authStates = []AuthState{AuthPending, AuthActive, AuthCaptured, AuthVoided, AuthExpired, AuthDenied}

// Authorization is a hold on the customer's money.
type Authorization struct {
	Key        ObjectKey
	N          int // attempt
	Amount     Money
	Capturable int64 `json:",omitzero"` // minor units that can still be captured
	State      AuthState
	ExpiresAt  time.Time `json:",omitzero"`
	Replaces   string    `json:",omitzero"` // id of the authorization this one renews; that one no longer counts
	Stamp
}

// CaptureState is the state of one capture.
type CaptureState string

// Capture states in rank order.
const (
	CapturePending   CaptureState = "pending"
	CaptureDeclined  CaptureState = "declined"
	CaptureCompleted CaptureState = "completed"
)

var captureStates = []CaptureState{CapturePending, CaptureDeclined, CaptureCompleted}

// Capture is money taken. It merges by (rank, amount, as_of, digest), because a
// charge that is captured several times grows.
type Capture struct {
	Key     ObjectKey
	N       int    // attempt
	Auth    string `json:",omitzero"` // id of the authorization it was taken from, if any
	Amount  Money
	State   CaptureState
	Failure Failure `json:",omitzero"`
	// Final: it is completed, and was the last of its authorization. Once seen, it stays:
	// it merges on its own.
	Final bool `json:",omitzero"`
	Stamp
}

// RefundState is the state of one refund.
type RefundState string

// Refund states in rank order: a refund that succeeded can fail later.
const (
	RefundPending        RefundState = "pending"
	RefundRequiresAction RefundState = "requires_action"
	RefundSucceeded      RefundState = "succeeded"
	RefundCanceled       RefundState = "canceled"
	RefundFailed         RefundState = "failed"
)

var refundStates = []RefundState{RefundPending, RefundRequiresAction, RefundSucceeded, RefundCanceled, RefundFailed}

// Refund is money given back. It merges by (rank, as_of, digest).
type Refund struct {
	Key         ObjectKey
	Capture     string // id of the capture it gives back
	Amount      Money
	State       RefundState
	Reason      string `json:",omitzero"`
	FailureCode string `json:",omitzero"`
	Operation   string `json:",omitzero"` // id of our refund operation, read from the provider's metadata; empty if made outside
	Stamp
}

// Reversal is money a provider took back by itself.
type Reversal struct {
	Key     ObjectKey
	Capture string
	Amount  Money
	Dispute string `json:",omitzero"` // id of the dispute that explains it, if known
	Stamp
}

// Fee is what one movement cost and netted, by the provider's balance
// transaction, in settlement currency.
type Fee struct {
	Key    ObjectKey // balance transaction id, or the capture's id where the provider has none
	Object string    // the capture, refund or dispute it belongs to
	Fee    Money
	Net    Money
}

// DecisionKind says what was decided on our side.
type DecisionKind string

// Decisions. They are never undone by an observation.
const (
	DecisionRefused      DecisionKind = "attempt_refused"   // creating this attempt's checkout certainly failed
	DecisionAbandoned    DecisionKind = "attempt_abandoned" // this attempt must not be paid or captured any more
	DecisionCanceled     DecisionKind = "canceled"          // the app canceled, nothing was left open
	DecisionDeadline     DecisionKind = "deadline_passed"   // expires_in went by with nobody paid or authorised
	DecisionCaptureAsked DecisionKind = "capture_asked"     // the app asked to capture Amount
	DecisionCaptureDone  DecisionKind = "capture_done"      // that request took effect in capture Objects[0]
	DecisionCaptureFail  DecisionKind = "capture_refused"   // that request certainly had no effect
	DecisionAccept       DecisionKind = "accept"            // an operator accepts exactly the captures in Objects
	DecisionRefund       DecisionKind = "refund"            // an operator gives back exactly the captures in Objects
	DecisionDeclined     DecisionKind = "capture_declined"  // the provider declined our capture of an approved attempt
	DecisionReturned     DecisionKind = "returned"          // the customer came back after a decline and may be tried again
	// The customer came back from an open checkout that could not be read then.
	DecisionReturnedUnread DecisionKind = "returned_unread"
)

// Decision is a local fact. Decisions form a set keyed by ID.
type Decision struct {
	ID        string
	Kind      DecisionKind
	N         int      `json:",omitzero"` // attempt concerned, 0 if none
	Operation string   `json:",omitzero"` // operation concerned, or the id of the request that needed none, if any
	Amount    int64    `json:",omitzero"` // minor units, DecisionCaptureAsked only
	Objects   []string `json:",omitempty"`
	By        Actor
	Reason    string    `json:",omitzero"`
	At        time.Time // our clock: a decision is ours
	// Fingerprint is of the request that was decided at once: no operation keeps it.
	Fingerprint string `json:",omitzero"`
}

// Terms are what the app asked for. They never change once a provider object
// may exist.
type Terms struct {
	Amount   Money
	Manual   bool `json:",omitzero"` // capture: manual
	Flexible bool `json:",omitzero"` // promotion codes, tax or shipping may change the final amount
}

// Attempt is our own record of one try at one provider account. Its provider
// state, once known, is the AttemptFact with the same N.
type Attempt struct {
	N         int
	Provider  string
	Account   string
	CreatedAt time.Time
}

// Facts are everything known about a payment: terms, our decisions, and the
// provider's objects as sets. All slices are kept sorted by key, so two Facts
// with the same content are deeply equal.
type Facts struct {
	Terms          Terms
	Opened         []Attempt       `json:",omitempty"`
	Decisions      []Decision      `json:",omitempty"`
	Attempts       []AttemptFact   `json:",omitempty"`
	Authorizations []Authorization `json:",omitempty"`
	Captures       []Capture       `json:",omitempty"`
	Refunds        []Refund        `json:",omitempty"`
	Reversals      []Reversal      `json:",omitempty"`
	Disputes       []Dispute       `json:",omitempty"`
	Warnings       []FraudWarning  `json:",omitempty"`
	Reviews        []Review        `json:",omitempty"`
	Fees           []Fee           `json:",omitempty"`
	Payers         []Payer         `json:",omitempty"`
	Declines       []Decline       `json:",omitempty"`
}

// clone is a copy with slices of its own. A set that is missing here fails
// TestCloneSharesNothing.
func (f Facts) clone() Facts {
	f.Opened = slices.Clone(f.Opened)
	f.Decisions = slices.Clone(f.Decisions)
	for i := range f.Decisions {
		f.Decisions[i].Objects = slices.Clone(f.Decisions[i].Objects)
	}
	f.Attempts = slices.Clone(f.Attempts)
	f.Authorizations = slices.Clone(f.Authorizations)
	f.Captures = slices.Clone(f.Captures)
	f.Refunds = slices.Clone(f.Refunds)
	f.Reversals = slices.Clone(f.Reversals)
	f.Disputes = slices.Clone(f.Disputes)
	f.Fees = slices.Clone(f.Fees)
	f.Warnings = slices.Clone(f.Warnings)
	f.Reviews = slices.Clone(f.Reviews)
	f.Payers = slices.Clone(f.Payers)
	f.Declines = slices.Clone(f.Declines)
	return f
}
