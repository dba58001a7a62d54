// Package stripeapi is a stateful stand-in for Stripe's HTTP API as of API version
// 2023-10-16: checkout sessions with their hosted page, payment intents, charges,
// refunds, disputes, balance transactions, events and signed webhooks, and a control
// API for tests. It keeps its state in memory, on top of a sandbox.World.
//
// It must not import any other room of this module nor Stripe's SDK: it is the
// independent witness against which the adapter is checked. Sources: Stripe's API
// reference for 2023-10-16 and the OpenAPI document that stripe-mock v0.183.0 embeds.
package stripeapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

const (
	apiName    = "stripe"
	apiVersion = "2023-10-16"
	// defaultAccount owns what any sk_test_ key makes, except keys of the form
	// sk_test_acct_NAME, each of which is an account of its own.
	defaultAccount = "acct_1SandboxStripe00"
	maxBody        = 1 << 20
	maxUpload      = 16 << 20 // of a file (Stripe docs: file uploads)
)

// Options configure the API.
type Options struct {
	// BaseURL is the public base of this listener, for hosted pages, for example
	// http://127.0.0.1:12110. Empty: taken from each request's Host.
	BaseURL string
	// Settlement is the currency that the account settles in, such as "eur". Empty: each
	// payment in its own. What is in another currency is converted at a rate that is
	// another every hour (Stripe docs: conversions on disputes and refunds).
	Settlement string
	// Compact leaves the white space out of answers, which Stripe's have: reading
	// them is a good part of what a simulation costs.
	Compact bool
}

// obj is a JSON object on the wire.
type obj = map[string]any

// API is the Stripe-shaped API; New returns it as a handler.
type API struct {
	w    *sandbox.World
	opt  Options
	mux  *http.ServeMux
	idem *idempotency

	// What follows is guarded by the world's lock.
	current   *call // the API call being executed, for the events' request field
	sessions  book[*session]
	intents   book[*intent]
	charges   book[*charge]
	refunds   book[*refund]
	disputes  book[*dispute]
	txns      book[*txn]
	warnings  book[*warning]
	reviews   book[*review]
	files     book[*file]
	customers book[*customer]
	methods   book[*method]
	hooks     book[*hook]
}

// New returns the API's handler: provider endpoints under /v1, hosted pages under /c
// and the control API under /_sandbox. API faults are applied inside.
func New(w *sandbox.World, o Options) http.Handler { return w.WithFaults(newAPI(w, o)) }

func newAPI(w *sandbox.World, o Options) *API {
	o.BaseURL = strings.TrimSuffix(o.BaseURL, "/")
	a := &API{w: w, opt: o, mux: http.NewServeMux(), idem: newIdempotency(w.Now)}
	w.SetSigner(apiName, sign)
	a.routes()
	a.pageRoutes()
	a.controlRoutes()
	return a
}

// ServeHTTP serves all routes.
func (a *API) ServeHTTP(rw http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(rw, r) }

// call is one request to a provider endpoint.
type call struct {
	api      *API
	r        *http.Request
	form     form
	acct     string // account the call acts on
	platform string // account of the key
	id       string // Request-Id
	key      string // Idempotency-Key
	base     string // public base URL
	upload   []byte // the file of a multipart request
}

// endpoint executes a call under the world's lock.
type endpoint func(c *call) (obj, *apiError)

func (a *API) routes() {
	for pattern, e := range map[string]endpoint{
		"POST /v1/checkout/sessions":                (*call).createSession,
		"GET /v1/checkout/sessions":                 (*call).listSessions,
		"GET /v1/checkout/sessions/{id}":            (*call).getSession,
		"GET /v1/checkout/sessions/{id}/line_items": (*call).sessionItems,
		"POST /v1/checkout/sessions/{id}/expire":    (*call).expireSession,
		"POST /v1/payment_intents":                  (*call).createIntent,
		"GET /v1/payment_intents":                   (*call).listIntents,
		"GET /v1/payment_intents/{id}":              (*call).getIntent,
		"POST /v1/payment_intents/{id}":             (*call).updateIntent,
		"POST /v1/payment_intents/{id}/confirm":     (*call).confirmIntent,
		"POST /v1/payment_intents/{id}/capture":     (*call).captureIntent,
		"POST /v1/payment_intents/{id}/cancel":      (*call).cancelIntent,
		"GET /v1/charges":                           (*call).listCharges,
		"GET /v1/charges/{id}":                      (*call).getCharge,
		"GET /v1/charges/{id}/refunds":              (*call).listChargeRefunds,
		"POST /v1/refunds":                          (*call).createRefund,
		"GET /v1/refunds":                           (*call).listRefunds,
		"GET /v1/refunds/{id}":                      (*call).getRefund,
		"POST /v1/refunds/{id}":                     (*call).updateRefund,
		"GET /v1/disputes":                          (*call).listDisputes,
		"GET /v1/disputes/{id}":                     (*call).getDispute,
		"POST /v1/disputes/{id}":                    (*call).updateDispute,
		"POST /v1/disputes/{id}/close":              (*call).closeDispute,
		"GET /v1/balance":                           (*call).getBalance,
		"GET /v1/balance_transactions":              (*call).listTxns,
		"GET /v1/balance_transactions/{id}":         (*call).getTxn,
		"GET /v1/events":                            (*call).listEvents,
		"GET /v1/events/{id}":                       (*call).getEvent,
		"POST /v1/files":                            (*call).createFile,
		"GET /v1/files/{id}":                        (*call).getFile,
		"GET /v1/radar/early_fraud_warnings":        (*call).listWarnings,
		"GET /v1/radar/early_fraud_warnings/{id}":   (*call).getWarning,
		"GET /v1/reviews":                           (*call).listReviews,
		"GET /v1/reviews/{id}":                      (*call).getReview,
		"POST /v1/reviews/{id}/approve":             (*call).approveReview,
		"POST /v1/customers":                        (*call).createCustomer,
		"GET /v1/customers":                         (*call).listCustomers,
		"GET /v1/customers/{id}":                    (*call).getCustomer,
		"POST /v1/customers/{id}":                   (*call).updateCustomer,
		"GET /v1/customers/{id}/payment_methods":    (*call).listCustomerMethods,
		"GET /v1/payment_methods/{id}":              (*call).getMethod,
		"GET /v1/account":                           (*call).getAccount,
		"GET /v1/accounts/{id}":                     (*call).getAccountByID,
		"POST /v1/webhook_endpoints":                (*call).createHook,
		"GET /v1/webhook_endpoints":                 (*call).listHooks,
		"GET /v1/webhook_endpoints/{id}":            (*call).getHook,
		"POST /v1/webhook_endpoints/{id}":           (*call).updateHook,
		"DELETE /v1/webhook_endpoints/{id}":         (*call).deleteHook,
		"/v1/": func(c *call) (obj, *apiError) {
			return nil, &apiError{
				status: http.StatusNotFound, typ: typeInvalid,
				msg: "Unrecognized request URL (" + c.r.Method + ": " + c.r.URL.Path + "). This sandbox serves a part of the API only.",
			}
		},
	} {
		a.mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) { a.serve(rw, r, e) })
	}
}

// serve authenticates, applies idempotency, runs the endpoint and answers.
func (a *API) serve(rw http.ResponseWriter, r *http.Request, e endpoint) {
	c, fail := a.newCall(rw, r)
	if fail != nil {
		a.answerError(rw, c, fail)
		return
	}
	if r.Method != http.MethodPost || c.key == "" {
		ans := a.run(c, e)
		if failsLate(r) {
			ans = a.encodeError(c, unknownFailure())
		}
		a.write(rw, c, ans)
		return
	}
	done, stored, fail := a.idem.begin(c)
	switch {
	case fail != nil:
		a.answerError(rw, c, fail)
	case stored != nil:
		rw.Header().Set("Idempotent-Replayed", "true")
		rw.Header().Set("Original-Request", stored.request)
		a.write(rw, c, *stored)
	default:
		ans := answer{status: http.StatusInternalServerError}
		defer func() { done(ans) }() // also if the endpoint panics: the key must not stay busy
		ans = a.run(c, e)
		if failsLate(r) && ans.status < http.StatusBadRequest {
			ans = a.encodeError(c, unknownFailure())
		}
		a.write(rw, c, ans)
	}
}

// newCall reads and authenticates a request.
func (a *API) newCall(rw http.ResponseWriter, r *http.Request) (*call, *apiError) {
	c := &call{api: a, r: r, id: a.w.NewID("req_", 14), key: r.Header.Get("Idempotency-Key"), base: a.base(r)}
	limit, upload := int64(maxBody), strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data")
	if upload {
		limit = maxUpload
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, limit))
	if err != nil {
		return c, &apiError{status: http.StatusRequestEntityTooLarge, typ: typeInvalid, msg: "Request body too large or cut."}
	}
	platform, fail := authenticate(r)
	if fail != nil {
		return c, fail
	}
	c.platform, c.acct = platform, platform
	if other := r.Header.Get("Stripe-Account"); other != "" {
		if !strings.HasPrefix(other, "acct_") {
			return c, &apiError{
				status: http.StatusForbidden, typ: typeInvalid, code: "account_invalid",
				msg: "The provided key does not have access to account '" + other + "' (or that account does not exist).",
			}
		}
		c.acct = other
	}
	if len(c.key) > 255 {
		return c, &apiError{status: http.StatusBadRequest, typ: typeInvalid, msg: "Idempotency-Key is longer than 255 characters."}
	}
	values, err := url.ParseQuery(string(body))
	if upload {
		values, err = c.readUpload(body)
	}
	if err != nil {
		return c, invalid("", "The request body is not form-encoded: "+err.Error())
	}
	for k, v := range r.URL.Query() {
		values[k] = append(values[k], v...)
	}
	c.form = form(values)
	return c, nil
}

// authenticate returns the account that a test key belongs to.
func authenticate(r *http.Request) (string, *apiError) {
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		key, _, ok = r.BasicAuth()
	}
	if !ok || key == "" {
		return "", &apiError{
			status: http.StatusUnauthorized, typ: typeInvalid,
			msg: "You did not provide an API key. Use 'Authorization: Bearer sk_test_...'.",
		}
	}
	name, secret := strings.CutPrefix(key, "sk_test_")
	limited := false
	if !secret {
		name, limited = strings.CutPrefix(key, "rk_test_")
	}
	if !secret && !limited || name == "" {
		shown := key[:min(len(key), 8)]
		return "", &apiError{status: http.StatusUnauthorized, typ: typeInvalid, msg: "Invalid API Key provided: " + shown + "***"}
	}
	if secret && strings.HasPrefix(name, "acct_") {
		return name, nil
	}
	return defaultAccount, nil
}

// base is the public base URL of this listener.
func (a *API) base(r *http.Request) string {
	if a.opt.BaseURL != "" {
		return a.opt.BaseURL
	}
	return "http://" + r.Host
}

// answer is a finished response, as idempotency keeps it.
type answer struct {
	status  int
	body    []byte
	request string // Request-Id of the first execution
	keep    bool   // execution began, so the answer is stored under the key
}

// run executes an endpoint under the lock and encodes what it answers.
func (a *API) run(c *call, e endpoint) answer {
	a.w.RunDue() // what has lapsed by now has lapsed, whether or not World.Run is running
	a.w.Lock()
	defer a.w.Unlock()
	a.current = c
	defer func() { a.current = nil }()
	out, fail := e(c)
	if fail == nil {
		fail = a.expand(out, c.form.list("expand"))
	}
	if fail != nil {
		return a.encodeError(c, fail)
	}
	return c.encode(http.StatusOK, out, true)
}

func (c *call) encode(status int, v any, keep bool) answer {
	var b []byte
	var err error
	if c.api.opt.Compact {
		b, err = json.Marshal(v)
	} else {
		b, err = json.MarshalIndent(v, "", "  ")
	}
	if err != nil {
		b, status = []byte(`{"error":{"type":"api_error","message":"answer not encodable"}}`), http.StatusInternalServerError
	}
	return answer{status: status, body: append(b, '\n'), request: c.id, keep: keep}
}

func (a *API) write(rw http.ResponseWriter, c *call, ans answer) {
	h := rw.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Request-Id", c.id)
	h.Set("Stripe-Version", apiVersion)
	// Object times follow the virtual clock, so the answer's own time must too.
	h.Set("Date", a.w.Now().Format(http.TimeFormat))
	if c.key != "" {
		h.Set("Idempotency-Key", c.key)
	}
	if c.acct != "" && c.acct != c.platform {
		h.Set("Stripe-Account", c.acct)
	}
	rw.WriteHeader(ans.status)
	_, _ = rw.Write(ans.body) // a client that hung up can't be told
}

func (a *API) answerError(rw http.ResponseWriter, c *call, fail *apiError) {
	a.write(rw, c, a.encodeError(c, fail))
}

// AnswerFault writes an injected 500 or 429 in Stripe's shape. A 500 to a POST with a
// key is stored and replayed (Stripe docs: idempotent requests, "including 500
// errors"); a 429 is not.
func (a *API) AnswerFault(rw http.ResponseWriter, r *http.Request, status int) {
	if status == http.StatusInternalServerError {
		a.serve(rw, r, func(*call) (obj, *apiError) {
			return nil, unknownFailure()
		})
		return
	}
	c := &call{api: a, r: r, id: a.w.NewID("req_", 14), key: r.Header.Get("Idempotency-Key")}
	a.answerError(rw, c, &apiError{status: status, typ: typeInvalid, code: "rate_limit", msg: "Too many requests (injected)."})
}

// unknownFailure is a 500 that is kept for its call's key.
func unknownFailure() *apiError {
	return &apiError{status: http.StatusInternalServerError, typ: typeAPI, msg: "An unknown error occurred (injected).", executed: true}
}

// lateKey marks the context of a call that is to be answered 500 after its effect.
type lateKey struct{}

func failsLate(r *http.Request) bool { return r.Context().Value(lateKey{}) != nil }

// FailAfterEffect implements sandbox.LateFailer: the 500 is what the call's key gets from
// now on (Stripe docs: idempotent requests, "including 500 errors").
func (a *API) FailAfterEffect(rw http.ResponseWriter, r *http.Request) {
	a.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), lateKey{}, true)))
}

// unix is a time on the wire.
func unix(t time.Time) int64 { return t.Unix() }
