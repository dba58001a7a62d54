package payment

import (
	"errors"
	"fmt"
	"strings"
)

// Code is one of the short list of error codes that programs may act on. The
// same code stands in answers, logs and docs.
type Code string

// The codes, with the HTTP status each becomes (gateway/httpapi maps them).
const (
	CodeMalformed             Code = "malformed"                // 400 the request could not be read
	CodeIdempotencyRequired   Code = "idempotency_key_required" // 400 header missing or malformed
	CodeUnauthenticated       Code = "unauthenticated"          // 401
	CodeDeclined              Code = "declined"                 // 402 the customer's bank or the provider refused the money
	CodeForbidden             Code = "forbidden"                // 403 the key lacks a scope
	CodeNotFound              Code = "not_found"                // 404 absent, or somebody else's
	CodeConflict              Code = "conflict"                 // 409 the payment's state forbids it
	CodeIdempotencyInProgress Code = "idempotency_in_progress"  // 409 the same request is still running
	CodeTooLarge              Code = "too_large"                // 413
	CodeUnsupportedMedia      Code = "unsupported_media_type"   // 415
	CodeInvalid               Code = "invalid_request"          // 422 a field breaks a rule
	CodeIdempotencyReused     Code = "idempotency_key_reused"   // 422 same key, other values
	CodeUnsupported           Code = "unsupported"              // 422 this provider can't
	CodeRateLimited           Code = "rate_limited"             // 429
	CodeInternal              Code = "internal"                 // 500
	CodeProviderUnavailable   Code = "provider_unavailable"     // 503 certainly not done
	CodeStoreUnavailable      Code = "store_unavailable"        // 503
)

// FieldError is one broken rule: Pointer is a JSON pointer into the request
// body ("/amount"), or "?limit" for a query parameter; Rule says what holds.
type FieldError struct {
	Pointer string
	Rule    string
}

// Error is an error a caller may be shown: Message tells them what to do and
// never carries a provider's or a driver's own words.
type Error struct {
	Code        Code
	Message     string
	Fields      []FieldError
	DeclineCode string // with CodeDeclined: the provider's decline code
	PaymentID   string // the payment concerned, when one was stored
	Cause       error  // for the log only
}

// Error is the text for logs.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Code, e.Message)
	for _, f := range e.Fields {
		fmt.Fprintf(&b, " [%s %s]", f.Pointer, f.Rule)
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	return b.String()
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// NewError makes an Error from a code and a message for the caller.
func NewError(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid makes an invalid_request error that names one field.
func Invalid(pointer, format string, args ...any) *Error {
	rule := fmt.Sprintf(format, args...)
	return &Error{
		Code: CodeInvalid, Message: "The request breaks a rule: " + pointer + " " + rule + ".",
		Fields: []FieldError{{Pointer: pointer, Rule: rule}},
	}
}

// PanicText is what may be written down of a panic: the runtime's own words. Of any
// other value it is the type alone, because its text may hold what was being worked on,
// a key or a customer. The stack says where it was.
func PanicText(v any) string {
	if r, ok := v.(interface {
		error
		RuntimeError() // of runtime.Error alone
	}); ok {
		return r.Error()
	}
	return fmt.Sprintf("%T", v)
}

// CodeOf is the code of an error, CodeInternal for one that has none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
