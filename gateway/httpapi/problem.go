package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// This is the one file in which errors become HTTP.

// codeMethodNotAllowed exists at the listener only: no use case knows methods.
const codeMethodNotAllowed payment.Code = "method_not_allowed"

// problemPrefix makes a code the stable type URI of RFC 9457. It is the same in
// every deployment; /docs#<code> of any of them explains it.
const problemPrefix = "urn:trifecta:problem:"

// problemKind is what a code means over HTTP.
type problemKind struct {
	Code       payment.Code
	Status     int
	Title      string
	RetryAfter string // seconds, where repeating makes sense
}

// problemKinds lists every code, in the order of the docs.
var problemKinds = []problemKind{
	{payment.CodeMalformed, http.StatusBadRequest, "The request could not be read", ""},
	{payment.CodeIdempotencyRequired, http.StatusBadRequest, "An Idempotency-Key header is required", ""},
	{payment.CodeUnauthenticated, http.StatusUnauthorized, "A valid API key is required", ""},
	{payment.CodeDeclined, http.StatusPaymentRequired, "The money was declined", ""},
	{payment.CodeForbidden, http.StatusForbidden, "This key may not do that", ""},
	{payment.CodeNotFound, http.StatusNotFound, "There is no such object, or it is not yours", ""},
	{codeMethodNotAllowed, http.StatusMethodNotAllowed, "This path does not take this method", ""},
	{payment.CodeConflict, http.StatusConflict, "The object's state forbids this", ""},
	{payment.CodeIdempotencyInProgress, http.StatusConflict, "The same request is still running", "2"},
	{payment.CodeTooLarge, http.StatusRequestEntityTooLarge, "The body is too large", ""},
	{payment.CodeUnsupportedMedia, http.StatusUnsupportedMediaType, "The body's type or encoding is not supported", ""},
	{payment.CodeInvalid, http.StatusUnprocessableEntity, "A field breaks a rule", ""},
	{payment.CodeIdempotencyReused, http.StatusUnprocessableEntity, "The Idempotency-Key was used for another request", ""},
	{payment.CodeUnsupported, http.StatusUnprocessableEntity, "This can't be done here", ""},
	{payment.CodeRateLimited, http.StatusTooManyRequests, "Too many requests", "1"},
	{payment.CodeInternal, http.StatusInternalServerError, "Something went wrong on our side", ""},
	{payment.CodeProviderUnavailable, http.StatusServiceUnavailable, "The provider could not be reached: certainly not done", "5"},
	{payment.CodeStoreUnavailable, http.StatusServiceUnavailable, "The store could not be reached", "5"},
}

// kindOf finds a code's row; what is unknown is internal.
func kindOf(code payment.Code) problemKind {
	internal := problemKind{Code: payment.CodeInternal, Status: http.StatusInternalServerError}
	for _, k := range problemKinds {
		if k.Code == code {
			return k
		}
		if k.Code == payment.CodeInternal {
			internal = k
		}
	}
	return internal
}

// problem is an RFC 9457 document.
type problem struct {
	Type        string         `json:"type"`
	Title       string         `json:"title"`
	Status      int            `json:"status"`
	Detail      string         `json:"detail"`
	Code        payment.Code   `json:"code"`
	RequestID   string         `json:"request_id"`
	Errors      []problemField `json:"errors,omitempty"`
	DeclineCode string         `json:"decline_code,omitempty"`
	PaymentID   string         `json:"payment_id,omitempty"`
}

type problemField struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// fail ends a request with an error. What is not one of our own errors, or is
// internal, is logged with its cause and told as nothing but "internal".
func (a *api) fail(c *gin.Context, err error) {
	e := asProblem(err)
	a.logFailure(c, e)
	a.render(c, e)
}

func asProblem(err error) *payment.Error {
	var e *payment.Error
	if !errors.As(err, &e) {
		e = &payment.Error{Code: payment.CodeInternal, Cause: err}
	}
	return e
}

// logFailure logs what the caller is not told.
func (a *api) logFailure(c *gin.Context, e *payment.Error) {
	ctx := c.Request.Context()
	args := []any{"request_id", gateway.RequestID(ctx), "route", c.FullPath(), "code", e.Code, "error", e}
	switch {
	case kindOf(e.Code).Code == payment.CodeInternal:
		a.log.ErrorContext(ctx, "request failed", args...)
	case e.Cause != nil:
		a.log.WarnContext(ctx, "request not done", args...)
	}
}

// render writes the problem document.
func (a *api) render(c *gin.Context, e *payment.Error) {
	kind := kindOf(e.Code)
	p := problem{
		Type: problemPrefix + string(kind.Code), Title: kind.Title, Status: kind.Status, Detail: e.Message, Code: kind.Code,
		RequestID: gateway.RequestID(c.Request.Context()), DeclineCode: e.DeclineCode, PaymentID: e.PaymentID,
	}
	for _, f := range e.Fields {
		p.Errors = append(p.Errors, problemField{Pointer: f.Pointer, Detail: f.Rule})
	}
	if kind.Code == payment.CodeInternal {
		p.Detail, p.Errors = "The request could not be completed. Tell us the request_id.", nil
	}
	if kind.RetryAfter != "" {
		c.Header("Retry-After", kind.RetryAfter)
	}
	if kind.Status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", "Bearer")
	}
	body, err := encode(p)
	if err != nil { // strings and numbers always encode
		body = []byte(`{"code":"internal"}`)
	}
	c.Abort()
	c.Data(kind.Status, "application/problem+json", body)
}

// json writes an answer.
func (a *api) json(c *gin.Context, status int, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	c.Data(status, "application/json", body)
	return nil
}

// encode is JSON without HTML escapes, so that URLs stay readable.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func notFoundError() error {
	return payment.NewError(payment.CodeNotFound, "There is no such object, or it is not yours.")
}

func webhooksOff() error {
	return payment.NewError(payment.CodeStoreUnavailable, "Webhooks are switched off here; nothing was stored.")
}

// malformed is a 400 that names the place.
func malformed(pointer, rule string) error {
	e := payment.NewError(payment.CodeMalformed, "The request could not be read: %s %s.", pointer, rule)
	if pointer == "" {
		e.Message = "The body " + rule + "."
	}
	e.Fields = []payment.FieldError{{Pointer: pointer, Rule: rule}}
	return e
}

func notServed() error {
	return payment.NewError(payment.CodeNotFound, "This server does not serve that.")
}

// portError makes an error for the caller from one of a port's.
func portError(err error) error {
	var known *payment.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, gateway.ErrNotFound):
		return notFoundError()
	case errors.Is(err, gateway.ErrBadCursor):
		return malformed("?after", "must be the value of next in an earlier answer")
	case errors.Is(err, gateway.ErrUnavailable):
		e := payment.NewError(payment.CodeStoreUnavailable, "The record could not be read or written now. Repeat the request with the same key.")
		e.Cause = err
		return e
	}
	return err
}
