// Package providers is the contract between Trifecta and the companies that
// move the money, and what every adapter shares: error classes, the guard with
// its time limit, breaker and rate budget, and the registry of accounts.
//
// An adapter reports facts; it never decides a status, never stores anything
// and never retries what may have taken effect. Nothing outside an adapter may
// know which provider it talks to.
package providers

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Ref names a provider object: its kind (checkout_session, order,
// payment_intent, charge, capture, authorization, refund, dispute) and id. In lists,
// debit is money that was taken and must be explained by a dispute about what it is of.
type Ref struct {
	Kind string
	ID   string
}

// Info describes one provider account and what its adapter can do.
type Info struct {
	Provider string // "stripe", "paypal": also the word in the API
	Label    string // what customers call it, for buttons, in English
	Account  string // configured name
	Mode     payment.Mode
	// KeyLife is how long the provider remembers an idempotency key of this kind
	// of operation. Past it a repeat could act twice.
	KeyLife func(payment.OpKind) time.Duration
	// Calls is how many HTTP calls an operation takes of the rate budget, by the
	// guard's name of it; one that is not in it takes 1. It is the most that a payment
	// without disputes, failed refunds and long lists takes.
	Calls map[string]int
	// SyncSchedule is when a fresh attempt is read again by id, counted from
	// when it was opened.
	SyncSchedule []time.Duration
	// PartialCapture says whether a capture may leave the rest capturable.
	PartialCapture bool
	// AutomaticTax says whether its checkouts can compute taxes.
	AutomaticTax bool
	// Supports says whether the provider can take this amount's currency
	// exactly; the error names what it can't do.
	Supports func(payment.Money) error
	// MaxCheckout is the longest a checkout stays payable there; the payment
	// itself may live longer and open another.
	MaxCheckout time.Duration
	// Labels is Label in other languages, by their ISO 639-1 code; a name that is the
	// same everywhere needs none.
	Labels map[string]string
}

// Want is what a checkout must be able to do, as far as accounts differ in it.
type Want struct {
	Amount       payment.Money
	AutomaticTax bool // the provider computes the taxes
}

// Takes says whether a checkout of this kind can be opened there. The error is
// payment.CodeUnsupported and names the field that the provider can't do.
func (i Info) Takes(w Want) error {
	refuse := func(pointer string, cause error, format string, args ...any) error {
		e := payment.NewError(payment.CodeUnsupported, format, args...)
		e.Fields = []payment.FieldError{{Pointer: pointer, Rule: "is not supported by " + i.Provider}}
		e.Cause = cause
		return e
	}
	if err := i.Supports(w.Amount); err != nil {
		return refuse("/currency", err, "%s can't take %s exactly", i.Label, w.Amount)
	}
	if w.AutomaticTax && !i.AutomaticTax {
		return refuse("/automatic_tax", nil, "%s computes no taxes", i.Label)
	}
	return nil
}

// LineItem is one line of a checkout; UnitAmount in minor units.
type LineItem struct {
	Name       string
	Quantity   int64
	UnitAmount int64
	SKU        string
}

// CheckoutRequest is everything a checkout is created with. It is stored with
// its operation before the call, so a repeat is byte-equal.
type CheckoutRequest struct {
	PaymentID           string            `json:",omitzero"`
	N                   int               `json:",omitzero"`
	Amount              payment.Money     `json:",omitzero"`
	Manual              bool              `json:",omitzero"`
	ReturnURL           string            `json:",omitzero"` // ours, with the customer's token; providers send the customer here
	CancelURL           string            `json:",omitzero"`
	ExpiresAt           time.Time         `json:",omitzero"`
	Reference           string            `json:",omitzero"`
	Description         string            `json:",omitzero"`
	Locale              string            `json:",omitzero"`
	StatementDescriptor string            `json:",omitzero"`
	BrandName           string            `json:",omitzero"`
	CustomerRef         string            `json:",omitzero"`
	CustomerEmail       string            `json:",omitzero"`
	LineItems           []LineItem        `json:",omitempty"`
	Metadata            map[string]string `json:",omitempty"` // the app's own
	AllowPromotionCodes bool              `json:",omitzero"`
	AutomaticTax        bool              `json:",omitzero"`
	Shipping            bool              `json:",omitzero"`
}

// AttemptID is our reference of one attempt in provider metadata.
func (r CheckoutRequest) AttemptID() string { return AttemptID(r.PaymentID, r.N) }

// AttemptID is our reference of attempt n of a payment, at most 38 characters.
func AttemptID(paymentID string, n int) string {
	return paymentID + "-" + strconv.Itoa(n)
}

// Attempt tells an adapter which checkout to read or act on.
type Attempt struct {
	PaymentID string
	N         int
	Root      Ref
	Refs      payment.Refs
	Manual    bool
	Asked     payment.Money
	CreatedAt time.Time // our clock
}

// CaptureRequest captures an approved checkout (Target is its root) or an
// authorization (Target is its id).
type CaptureRequest struct {
	Attempt Attempt
	Target  string
	Amount  payment.Money
	Final   bool
}

// RefundRequest gives back (part of) one capture. Operation is our refund's id;
// adapters write it into the provider's metadata so that it can be found again.
type RefundRequest struct {
	Attempt   Attempt
	Capture   string
	Amount    payment.Money
	Reason    string
	Operation string
}

// Result is what a mutating call brought back: the provider's id of the object
// made or changed, and what is now known. Adapters re-read the attempt after a
// change, so that the observation is complete; where that read failed it is a
// fragment and the due sync completes it.
type Result struct {
	Ref         string
	Observation payment.Observation
}

// Provider is what every adapter can do. All calls are safe to repeat with the
// same key within Info().KeyLife. Errors are *Error.
type Provider interface {
	Info() Info
	// CreateCheckout opens a checkout and reports it with its URL.
	CreateCheckout(ctx context.Context, req CheckoutRequest, key string) (Result, error)
	// Fetch reads one attempt with everything below it: a complete observation. Where
	// that was read, and only what stands beside it (disputes) could not be, it brings
	// both: the observation, which is narrow, and an error that is Rooted. Whoever asked
	// because of what stands beside has to ask again.
	Fetch(ctx context.Context, a Attempt) (payment.Observation, error)
	// CloseCheckout reads the attempt, makes it impossible to pay where the
	// provider can do that, and reads it again. An attempt that turns out to be
	// approved or paid is reported as it is, without an error.
	CloseCheckout(ctx context.Context, a Attempt, key string) (Result, error)
	// Capture takes the money of an approved checkout or of an authorization.
	Capture(ctx context.Context, req CaptureRequest, key string) (Result, error)
	// Void releases an authorization.
	Void(ctx context.Context, req CaptureRequest, key string) (Result, error)
	// Refund gives money back.
	Refund(ctx context.Context, req RefundRequest, key string) (Result, error)
}

// Authorizer is an adapter whose approved checkouts need a call of ours before
// the money is held.
type Authorizer interface {
	Authorize(ctx context.Context, req CaptureRequest, key string) (Result, error)
}

// CheckoutFinder is an adapter that can find a checkout by our reference after
// the idempotency key died. The look ends in reasonable time whatever else there is: a
// checkout that is not found is given up, which is safe because its address never left
// us. What could not be looked at at all is an error, not found=false.
type CheckoutFinder interface {
	FindCheckout(ctx context.Context, req CheckoutRequest, opened time.Time) (res Result, found bool, err error)
}

// Hint says where an object seen at a provider may belong. Claims come from
// metadata that anyone could have written: they say which payment to read,
// never that the object belongs to it.
type Hint struct {
	PaymentID string   // claimed
	N         int      // claimed attempt, 0 if unknown
	Refs      []string // provider ids by which a payment of ours may know it, most specific first
	// LetGo says that the object only records money that was never ours, a hold that was
	// let go or a debit that failed: no payment shows it, and nothing is missing where
	// none does.
	LetGo bool `json:",omitzero"`
}

// Event is a verified webhook. It is a hint; the object is read before anything
// is believed.
type Event struct {
	Key      string    // unique per account: Stripe's event id, PayPal's signed transmission id
	ID       string    // the provider's event id
	Type     string    // as the provider names it
	Created  time.Time // provider time
	Live     bool
	Account  string // connected account, empty for our own
	Version  string // API version the body was rendered in
	Object   Ref
	Hint     Hint
	Relevant bool // false: a type we keep and count but do not act on
	// Approved: the customer agreed at Created to pay the object, a checkout; the object
	// itself may not say when.
	Approved bool `json:",omitzero"`
}

// Verifier is an adapter that receives webhooks. Verify checks the signature of
// the raw body against every configured secret or webhook id, and the time on
// both sides of now; connect selects the secrets of the Connect endpoint. Its
// errors are ErrSignature or ErrMalformed; ErrVerifyUnavailable means that the
// check could not be made and the provider should try again.
type Verifier interface {
	Verify(ctx context.Context, header http.Header, body []byte, connect bool, now time.Time) (Event, error)
}

// Tracer reads an object that no payment of ours is known to hold, and says
// where it may belong.
type Tracer interface {
	Trace(ctx context.Context, object Ref) (Hint, error)
}

// SweepItem is one row of a provider's own list.
type SweepItem struct {
	Object  Ref
	Hint    Hint
	Amount  payment.Money // signed for movements out; zero value where the list has none
	Created time.Time
	Changed time.Time `json:",omitzero"` // when it changed last; zero where the provider does not say
	Paid    bool      // money moved or is held: an unknown paid item is an orphan
	// Done: the money has moved. Paid alone may mean that it is on its way, as in
	// Stripe's list of refunds; false where a list does not tell the two apart.
	Done bool `json:",omitzero"`
	// Approved: the customer agreed at Created to pay the object, a checkout.
	Approved bool `json:",omitzero"`
	// Counted: the payment that a paid row is about shows this very row once it was read.
	// Where it does not, money moved that nobody counts. False where a provider's list
	// has more rows than its objects tell of.
	Counted bool `json:",omitzero"`
}

// SweepPage is one page of a list. Next is empty on the last page.
type SweepPage struct {
	Items []SweepItem
	Next  string
	// TrustedTo is up to when the list is known to be complete; the durable
	// cursor never moves past it.
	TrustedTo time.Time
}

// Sweeper is an adapter whose provider can list what it holds. Lists names the
// lists in the order in which they are walked.
type Sweeper interface {
	Lists() []string
	Sweep(ctx context.Context, list string, from, to time.Time, cursor string) (SweepPage, error)
}
