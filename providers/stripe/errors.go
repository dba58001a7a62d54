package stripe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/providers"
)

// errUnreadable is a 2xx answer without the object that was asked for.
var errUnreadable = errors.New("stripe: the answer holds no such object")

// errTruncated is a list that says there is more and does not give it.
var errTruncated = errors.New("stripe: a list ended before its end")

// errUnknownList is a name that Lists does not give.
var errUnknownList = errors.New("stripe: there is no such list")

// wire watches one call on its way out. It can prove that nothing was sent: a
// connection was asked for and none was got. Transports that do not trace prove
// nothing.
type wire struct{ asked, got atomic.Bool }

func (w *wire) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { w.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { w.got.Store(true) },
	})
}

func (w *wire) neverSent() bool { return w.asked.Load() && !w.got.Load() }

// read makes one call that changes nothing.
func read[T any](ctx context.Context, op string, call func(context.Context) (T, error)) (T, error) {
	return do(ctx, op, false, call)
}

// write makes one call that may change something.
func write[T any](ctx context.Context, op string, call func(context.Context) (T, error)) (T, error) {
	return do(ctx, op, true, call)
}

func do[T any](ctx context.Context, op string, writes bool, call func(context.Context) (T, error)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, &providers.Error{Class: providers.NotDone, Provider: provider, Op: op, Code: "not_sent", Cause: err}
	}
	var w wire
	v, err := call(w.trace(ctx))
	if err != nil {
		return zero, classify(op, writes, w.neverSent(), err)
	}
	return v, nil
}

// classify is the one place where an error of the SDK becomes a class. The SDK's
// own text never leaves it: it holds the whole answer.
func classify(op string, writes, neverSent bool, err error) *providers.Error {
	e := &providers.Error{Class: providers.Unknown, Provider: provider, Op: op}
	var answer *stripesdk.Error
	if errors.As(err, &answer) {
		answered(e, writes, answer)
		return e
	}
	e.Cause = contextCause(err)
	switch {
	case errors.Is(err, errUnknownList):
		e.Class, e.Code = providers.Refused, "unknown_list"
	case neverSent || dialFailed(err):
		e.Class, e.Code = providers.NotDone, "not_sent"
	case errors.Is(err, errUnreadable), errors.Is(err, errTruncated):
		e.Code = "unreadable_answer"
	case e.Cause != nil:
		e.Code = "timeout"
	default:
		// Cut connections, and answers that are not JSON: proxies' 502 pages,
		// truncated bodies.
		e.Code = "no_clear_answer"
	}
	return e
}

// answered classifies an answer in Stripe's error shape (Stripe docs: errors,
// idempotent requests).
func answered(e *providers.Error, writes bool, answer *stripesdk.Error) {
	e.Status = answer.HTTPStatusCode
	e.Code, e.DeclineCode = word(string(answer.Code)), word(string(answer.DeclineCode))
	if e.Code == "" {
		e.Code = word(string(answer.Type))
	}
	if strings.HasPrefix(answer.RequestID, "req_") && identifier(answer.RequestID) {
		e.RequestID = answer.RequestID
	}
	if answer.LastResponse != nil {
		e.RetryAfter = retryAfter(answer.LastResponse.Header)
	}
	switch {
	case answer.Type == stripesdk.ErrorTypeIdempotency:
		// The key was used before with other parameters. What that first request
		// did is not known here, so nothing may be concluded but to look.
		e.Class, e.Code, e.Stored = providers.Unknown, "idempotency_error", true
	case answer.Code == stripesdk.ErrorCodeIdempotencyKeyInUse:
		e.Class = providers.Unknown // a copy of this very call is running
		e.RetryAfter = max(e.RetryAfter, time.Second)
	case answer.Code == stripesdk.ErrorCodeLockTimeout, answer.Code == stripesdk.ErrorCodeRateLimit, e.Status == http.StatusTooManyRequests:
		e.Class = providers.NotDone
		e.RetryAfter = max(e.RetryAfter, time.Second)
		// A lock is about one object that somebody else is busy with, not about how many
		// calls there are (Stripe docs: rate limits).
		e.Aside = answer.Code == stripesdk.ErrorCodeLockTimeout
	case e.Status >= 500:
		e.Class = providers.Unknown
		e.Stored = writes && e.Status == http.StatusInternalServerError
	case answer.Type == stripesdk.ErrorTypeCard:
		e.Class = providers.Declined
	case e.Status == http.StatusFailedDependency, answer.Type == stripesdk.ErrorTypeAPI:
		// Somebody beyond Stripe failed, a bank or a wallet (Stripe docs: errors, 424),
		// or Stripe itself, whatever the status says: what they did is not known.
		e.Class, e.Stored = providers.Unknown, writes
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		e.Class = providers.Misconfigured
	case e.Status == http.StatusNotFound:
		e.Class = providers.NotFound
	case e.Status == http.StatusConflict:
		e.Class = providers.Unknown
	case e.Status >= 400:
		e.Class, e.Field = providers.Refused, field(answer)
	}
}

// field is where in our API's request the fault lies, by Stripe's code and param.
func field(answer *stripesdk.Error) string {
	switch answer.Code {
	case stripesdk.ErrorCodeAmountTooSmall, stripesdk.ErrorCodeAmountTooLarge:
		return "/amount"
	case stripesdk.ErrorCodeEmailInvalid:
		return "/customer/email"
	default:
	}
	for _, f := range []struct{ param, field string }{
		{"currency", "/currency"},
		{"line_items[0][price_data][currency]", "/currency"},
		{"line_items", "/line_items"},
		{"amount", "/amount"},
		{"customer_email", "/customer/email"},
		{"success_url", "/return_url"},
		{"cancel_url", "/cancel_url"},
		{"expires_at", "/expires_in"},
		{"locale", "/locale"},
		{"metadata", "/metadata"},
		{"payment_intent_data[metadata]", "/metadata"},
		{"payment_intent_data[statement_descriptor", "/statement_descriptor"},
		{"payment_intent_data[description]", "/description"},
		{"automatic_tax", "/automatic_tax"},
		{"allow_promotion_codes", "/allow_promotion_codes"},
		{"shipping", "/shipping"},
		{"reason", "/reason"},
	} {
		if strings.HasPrefix(answer.Param, f.param) {
			return f.field
		}
	}
	return ""
}

// word lets one of Stripe's machine-readable words through and nothing else:
// whatever an answer holds in its place may be a secret.
func word(s string) string {
	if len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' }) {
		return ""
	}
	return s
}

// identifier says that a text looks like an id of Stripe's: session ids have 66
// characters, and their length may grow.
func identifier(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_'
	})
}

// retryAfter reads the header's seconds, at most an hour; the form with a date
// would need a clock.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, time.Hour)
}

// contextCause keeps a canceled or timed out context visible to errors.Is. Other
// causes stay inside: their texts are not ours.
func contextCause(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// dialFailed says that no connection was made, for transports that do not trace.
func dialFailed(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	return errors.As(err, &dns) || (errors.As(err, &op) && op.Op == "dial")
}

// unclear turns the error of a read that follows a write into Unknown: the write
// may have taken effect, so a clean refusal of the read says nothing.
func unclear(err error) error {
	var e *providers.Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	c.Class = providers.Unknown
	return &c
}

// refuse is a request that never leaves: it could only be refused.
func refuse(op, code, field string) *providers.Error {
	return &providers.Error{Class: providers.Refused, Provider: provider, Op: op, Code: code, Field: field}
}

// checkKey refuses an idempotency key that the SDK would refuse or, empty, replace
// by one of its own that nobody wrote down.
func checkKey(op, key string) error {
	if key == "" || len(key) > maxKey || strings.TrimSpace(key) != key {
		return refuse(op, "invalid_idempotency_key", "")
	}
	return nil
}
