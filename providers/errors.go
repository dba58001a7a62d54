package providers

import (
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Class is what an error says about the money.
type Class string

// The error classes.
const (
	// Declined: the provider or a bank said no to this money. Certainly not done.
	Declined Class = "declined"
	// Refused: the request is wrong or the object's state forbids it. Certainly
	// not done, and repeating it will not help.
	Refused Class = "refused"
	// NotDone: certainly not done, and worth repeating: never sent, rate
	// limited, refused for now.
	NotDone Class = "not_done"
	// Unknown: it may have happened. Timeouts, cut connections, 5xx, unreadable
	// answers. Settle it by repeating with the same key or by reading.
	Unknown Class = "unknown"
	// NotFound: the object is not there, or not there any more.
	NotFound Class = "not_found"
	// Misconfigured: the credentials or rights are wrong. Certainly not done;
	// nothing will work until a human acts.
	Misconfigured Class = "misconfigured"
)

// Webhook verification errors.
var (
	ErrSignature         = errors.New("providers: webhook signature is not valid")
	ErrMalformed         = errors.New("providers: webhook could not be read")
	ErrVerifyUnavailable = errors.New("providers: webhook could not be checked now")
)

// Error is the one error type adapters return. Its text is safe to log: it
// never holds a provider's message, which may carry secrets or personal data.
type Error struct {
	Class       Class
	Provider    string
	Op          string // create_checkout, fetch, capture ...
	Code        string // the provider's error code or issue
	DeclineCode string
	Field       string // JSON pointer into our API's request, if the fault is one field's
	Status      int    // HTTP status, 0 if there was no answer
	RequestID   string // the provider's request or debug id
	Stored      bool   // the provider keeps this failure under the idempotency key
	Aside       bool   // about a service beside the money's own, such as reports or disputes, or one object that is busy or can't be read: the account goes on without it
	Rooted      bool   // of a Fetch: its observation has all of the root, and only what stands beside that could not be read
	RetryAfter  time.Duration
	Cause       error // for errors.Is only; not printed
}

// Error is the text for logs.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %s (code %q, decline %q, http %d, request %s)", e.Provider, e.Op, e.Class, e.Code, e.DeclineCode, e.Status, e.RequestID)
}

// Unwrap gives the cause to errors.Is, so that a canceled context stays visible.
func (e *Error) Unwrap() error { return e.Cause }

// ClassOf is the class of an error; anything that is not an *Error is Unknown,
// because nobody said that it did not happen.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Unknown
}

// Beside says that a Fetch failed beside the root only, and brings its observation all the
// same: narrow, and complete about the root.
func Beside(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Rooted
}

// aside says that the account goes on without what failed.
func aside(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Aside
}

// Failure turns an error into the failure a payment keeps, in our own words.
func (e *Error) Failure() payment.Failure {
	f := payment.Failure{Code: e.Code, DeclineCode: e.DeclineCode}
	switch e.Class {
	case Declined:
		f.Message = "The payment was declined."
	case Refused:
		f.Message = "The provider refused the request."
	case NotDone, NotFound, Misconfigured, Unknown:
		f.Message = "The provider could not be reached or did not answer clearly."
	}
	return f
}
