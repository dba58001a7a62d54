package stripeapi

import (
	"net/http"
	"strings"
)

const (
	typeAPI         = "api_error"
	typeCard        = "card_error"
	typeIdempotency = "idempotency_error"
	typeInvalid     = "invalid_request_error"
)

// apiError is an error answer in Stripe's shape (Stripe docs: errors).
type apiError struct {
	status  int
	typ     string
	code    string
	decline string
	param   string
	msg     string
	charge  *charge
	intent  *intent
	method  *method
	// executed: the request was valid and was refused by state, so that the answer
	// is remembered under its idempotency key.
	executed bool
}

// invalid is a failed validation; it is never stored under an idempotency key.
func invalid(param, msg string) *apiError {
	return &apiError{status: http.StatusBadRequest, typ: typeInvalid, param: param, msg: msg}
}

func missing(param string) *apiError {
	return &apiError{
		status: http.StatusBadRequest, typ: typeInvalid, code: "parameter_missing", param: param,
		msg: "Missing required param: " + param + ".",
	}
}

func notFound(what, id string) *apiError {
	return &apiError{
		status: http.StatusNotFound, typ: typeInvalid, code: "resource_missing", param: "id",
		msg: "No such " + what + ": '" + id + "'",
	}
}

// refused is a valid request that the object's state forbids.
func refused(code, msg string) *apiError {
	return &apiError{status: http.StatusBadRequest, typ: typeInvalid, code: code, msg: msg, executed: true}
}

// wire renders the error object; the world's lock is held if it names objects.
func (e *apiError) wire(a *API) obj {
	o := obj{"type": e.typ, "message": e.msg}
	if e.code != "" {
		o["code"] = e.code
		o["doc_url"] = "https://stripe.com/docs/error-codes/" + strings.ReplaceAll(e.code, "_", "-")
	}
	if e.decline != "" {
		o["decline_code"] = e.decline
	}
	if e.param != "" {
		o["param"] = e.param
	}
	if e.charge != nil {
		o["charge"] = e.charge.id
	}
	if e.method != nil {
		o["payment_method"] = a.renderMethod(e.method)
	}
	if e.intent != nil {
		o["payment_intent"] = a.renderIntent(e.intent)
	}
	return o
}

func (a *API) encodeError(c *call, e *apiError) answer {
	return c.encode(e.status, obj{"error": e.wire(a)}, e.executed)
}
