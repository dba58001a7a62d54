package paypal

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/providers"
)

// problem is PayPal's error body: that of the REST APIs, or OAuth's two members.
type problem struct {
	Name    string `json:"name"`
	OAuth   string `json:"error"`
	Details []struct {
		Issue string `json:"issue"`
		Field string `json:"field"`
	} `json:"details"`
	Links []link `json:"links"`
}

// Issues of 422 answers (and some 400) by what they say about the money. Sources:
// PayPal OpenAPI orders v2 and payments v2. What is in no list is a request or a
// state that PayPal refuses.
var (
	// declines: PayPal or a bank said no, for good or until the customer chooses
	// another way to pay on the same order.
	declines = []string{
		"INSTRUMENT_DECLINED", "PAYER_ACTION_REQUIRED", "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING",
		"COMPLIANCE_VIOLATION", "TRANSACTION_REFUSED", "PAYER_CANNOT_PAY", "PAYEE_BLOCKED_TRANSACTION",
		"TRANSACTION_BLOCKED_BY_PAYEE", "PAYER_ACCOUNT_RESTRICTED", "PAYER_ACCOUNT_LOCKED_OR_CLOSED",
		"DOMESTIC_TRANSACTION_REQUIRED", "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED", "TRANSACTION_LIMIT_EXCEEDED",
		"TRANSACTION_RECEIVING_LIMIT_EXCEEDED", "PAYMENT_DENIED", "CARD_EXPIRED", "CARD_CLOSED",
	}
	// merchantFaults: nothing works until the merchant's account is put right.
	merchantFaults = []string{
		"PAYEE_ACCOUNT_RESTRICTED", "PAYEE_ACCOUNT_LOCKED_OR_CLOSED", "PAYEE_ACCOUNT_INVALID", "PERMISSION_DENIED",
		"CONSENT_NEEDED", "PAYEE_NOT_CONSENTED", "INVALID_ACCOUNT_STATUS", "PERMISSION_NOT_GRANTED",
	}
	// unclear: another call for the same thing is or was at work.
	unclear = []string{"ORDER_COMPLETION_IN_PROGRESS", "PREVIOUS_REQUEST_IN_PROGRESS"}
	// used: this invoice id, this transaction or this key came before, perhaps from us and
	// for this very payment: PayPal refuses so what a client repeats whose answer was lost
	// (PayPal docs: duplicate transactions; DUPLICATE_REQUEST_ID is of the v1 APIs).
	used = []string{"DUPLICATE_INVOICE_ID", "DUPLICATE_TRANSACTION", "DUPLICATE_REQUEST_ID"}
)

// classify is the one place that turns an answer into an error, nil for success.
func classify(r call, got *answer, now time.Time) *providers.Error {
	e := newError(providers.Unknown, r, got)
	switch {
	case got.status == 0:
		e.Cause = got.cause
		if got.unsent {
			e.Class, e.Code = providers.NotDone, "not_sent"
		} else {
			e.Code = "no_answer"
		}
		return e
	case got.broken != nil:
		e.Cause, e.Code = got.broken, "cut_answer"
		return e
	case got.status >= 200 && got.status < 300:
		return nil
	case got.status == http.StatusTooManyRequests:
		e.Class, e.RetryAfter = providers.NotDone, max(retryAfter(got, now), time.Second)
		return e
	case got.status == http.StatusUnauthorized:
		e.Class = providers.Misconfigured
		return e
	}
	e.RetryAfter = retryAfter(got, now)
	if !isObject(got.body) { // a proxy's page, or nothing: PayPal itself said nothing
		e.Code = "not_paypals_answer"
		return e
	}
	switch got.status {
	case http.StatusForbidden:
		e.Class = providers.Misconfigured
	case http.StatusNotFound:
		e.Class = providers.NotFound
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		e.Class = classOfIssue(e)
	case http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		e.Class = providers.Refused
	}
	return e
}

// classOfIssue judges a 400 or 422 by its issue, and fills in what belongs to it.
func classOfIssue(e *providers.Error) providers.Class {
	issue := strings.ToUpper(e.Code)
	switch {
	case slices.Contains(declines, issue):
		e.DeclineCode = e.Code
		return providers.Declined
	case slices.Contains(merchantFaults, issue):
		return providers.Misconfigured
	case slices.Contains(unclear, issue):
		return providers.Unknown
	case slices.Contains(used, issue):
		e.Stored = true
		return providers.Unknown
	default:
		return providers.Refused
	}
}

// newError fills in everything an answer says about itself. Only codes and ids go
// in, in a narrow alphabet; PayPal's messages never do.
func newError(class providers.Class, r call, got *answer) *providers.Error {
	e := &providers.Error{Class: class, Provider: Provider, Op: r.op}
	if got == nil {
		return e
	}
	e.Status = got.status
	if id := got.header.Get("Paypal-Debug-Id"); idPattern.MatchString(id) {
		e.RequestID = id
	}
	var p problem
	if got.status < 300 || json.Unmarshal(got.body, &p) != nil {
		return e
	}
	for _, d := range p.Details {
		if code := codeOf(d.Issue); code != "" {
			e.Code, e.Field = code, fieldOf(d.Field)
			return e
		}
	}
	e.Code = codeOf(p.Name)
	if e.Code == "" {
		e.Code = codeOf(p.OAuth)
	}
	return e
}

// issuePattern is what PayPal's issues, names and reasons look like.
var issuePattern = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)

// codeOf is an issue in our own spelling, such as instrument_declined; empty if it is
// not a plain name.
func codeOf(issue string) string {
	if !issuePattern.MatchString(issue) {
		return ""
	}
	return strings.ToLower(issue)
}

// fieldOf maps the place of a fault in PayPal's request to ours, empty if unknown.
func fieldOf(field string) string {
	for _, f := range []struct{ theirs, ours string }{
		{"/currency_code", "/currency"},
		{"/items", "/line_items"},
		{"/amount", "/amount"},
		{"/description", "/description"},
		{"/soft_descriptor", "/statement_descriptor"},
		{"/locale", "/locale"},
		{"/email_address", "/customer/email"},
		{"/return_url", "/return_url"},
		{"/cancel_url", "/cancel_url"},
	} {
		if strings.Contains(field, f.theirs) {
			return f.ours
		}
	}
	return ""
}

func isObject(body []byte) bool {
	var o map[string]json.RawMessage
	return json.Unmarshal(body, &o) == nil && o != nil
}

// maxRetryAfter bounds a wait that a broken answer could make endless.
const maxRetryAfter = time.Hour

// retryAfter reads the header's two forms: seconds, or a date.
func retryAfter(got *answer, now time.Time) time.Duration {
	text := got.header.Get("Retry-After")
	if text == "" {
		return 0
	}
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(text); err == nil {
		wait = time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		if d := got.date(); !d.IsZero() {
			now = d
		}
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// neverSent says whether an error certainly came before the request went out: no
// address, no connection, no TLS.
func neverSent(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.As(err, &dns), errors.As(err, &record), errors.As(err, &verify), errors.As(err, &unknown), errors.As(err, &host):
		return true
	case errors.As(err, &op):
		return op.Op == "dial"
	default:
		return false
	}
}
