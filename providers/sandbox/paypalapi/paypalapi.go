// Package paypalapi is a PayPal-shaped HTTP API that keeps state: OAuth, Orders v2,
// Payments v2, transaction search, webhooks with signed deliveries, disputes, the
// page on which a buyer approves an order, and a control API for tests. It plays one
// PayPal merchant account with any number of REST apps: every client id and secret is
// taken; apps share the merchant's money and objects, and each has its own webhooks.
//
// Its truth is PayPal's published OpenAPI documents and documentation, not our
// adapter: it must not import any room of this module except the sandbox core, nor
// a PayPal SDK. It is for loopback and tests; it moves no money.
package paypalapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

// Options say what New needs from outside. BaseURL is required.
type Options struct {
	// BaseURL is how others reach this listener ("http://127.0.0.1:12120"): links,
	// hosted pages and certificates are below it.
	BaseURL string
	// OrderTTL is how long an order that nobody completed lives. Default 3 h
	// (PayPal docs: an order must be approved and captured within 3 hours).
	OrderTTL time.Duration
	// SearchDelay is how far transaction search lags behind. Default 3 h (PayPal
	// OpenAPI reporting v1: "It takes a maximum of three hours for executed
	// transactions to appear"). Negative: no lag.
	SearchDelay time.Duration
	// Chain signs webhooks. Nil makes one on first use, valid around the wall clock.
	Chain *Chain
	// Wait replaces real waiting in the token endpoint's slow mode; it returns early
	// when ctx ends. Nil waits in real time.
	Wait func(ctx context.Context, d time.Duration)
}

const (
	api                = "paypal" // our name in the core's books
	defaultOrderTTL    = 3 * time.Hour
	defaultSearchDelay = 3 * time.Hour
	merchantID         = "SANDBXMERCH22" // 13 of PayPal's payer id alphabet
	merchantEmail      = "merchant@business.example.com"
)

// server holds all state of the API, guarded by the world's Lock.
type server struct {
	w      *sandbox.World
	opt    Options
	base   string
	issues map[string]map[string]issue
	chain  func() (*Chain, error)

	tokens   map[string]token
	oauth    oauthFault
	requests map[string]stored
	orders   map[string]*order
	auths    map[string]*authorization
	captures map[string]*capture
	refunds  map[string]*refund
	disputes []*dispute // in order of creation
	rows     []*row     // in order of creation
	hooks    map[string]hook
	invoices map[string]*order // invoice id -> the order that was paid with it
}

// New returns the handler of the whole listener: API, hosted pages, control API. It
// registers the signer of PayPal's webhooks with w. It fails on an unusable BaseURL.
func New(w *sandbox.World, o Options) (http.Handler, error) {
	u, err := url.Parse(o.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("paypalapi: base URL: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		return nil, errors.New("paypalapi: base URL must be http(s)://host[:port]")
	}
	issues, err := readIssues()
	if err != nil {
		return nil, err
	}
	if o.OrderTTL <= 0 {
		o.OrderTTL = defaultOrderTTL
	}
	switch {
	case o.SearchDelay == 0:
		o.SearchDelay = defaultSearchDelay
	case o.SearchDelay < 0:
		o.SearchDelay = 0
	}
	if o.Wait == nil {
		o.Wait = waitReal
	}
	s := &server{
		w: w, opt: o, base: strings.TrimSuffix(o.BaseURL, "/"), issues: issues,
		tokens: map[string]token{}, requests: map[string]stored{}, orders: map[string]*order{},
		auths: map[string]*authorization{}, captures: map[string]*capture{}, refunds: map[string]*refund{},
		hooks: map[string]hook{}, invoices: map[string]*order{},
	}
	s.chain = sync.OnceValues(func() (*Chain, error) {
		if o.Chain != nil {
			return o.Chain, nil
		}
		return NewChain(w.Wall(), nil)
	})
	w.SetSigner(api, s.sign)
	return s.routes(), nil
}

// waitReal waits d in real time or until ctx ends.
func waitReal(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// routes puts the listener together. Faults hit only the API's own paths.
func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]struct {
		op string // operationId in PayPal's documents: the list of issues goes by it
		fn func(*call) reply
	}{
		"POST /v2/checkout/orders":                                {"orders.create", s.createOrder},
		"GET /v2/checkout/orders/{id}":                            {"orders.get", s.getOrder},
		"PATCH /v2/checkout/orders/{id}":                          {"orders.patch", s.patchOrder},
		"POST /v2/checkout/orders/{id}/capture":                   {"orders.capture", s.captureOrder},
		"POST /v2/checkout/orders/{id}/authorize":                 {"orders.authorize", s.authorizeOrder},
		"GET /v2/payments/authorizations/{id}":                    {"authorizations.get", s.getAuthorization},
		"POST /v2/payments/authorizations/{id}/capture":           {"authorizations.capture", s.captureAuthorization},
		"POST /v2/payments/authorizations/{id}/reauthorize":       {"authorizations.reauthorize", s.reauthorize},
		"POST /v2/payments/authorizations/{id}/void":              {"authorizations.void", s.voidAuthorization},
		"GET /v2/payments/captures/{id}":                          {"captures.get", s.getCapture},
		"POST /v2/payments/captures/{id}/refund":                  {"captures.refund", s.refundCapture},
		"GET /v2/payments/refunds/{id}":                           {"refunds.get", s.getRefund},
		"GET /v1/reporting/transactions":                          {"search.get", s.searchTransactions},
		"POST /v1/notifications/webhooks":                         {"webhooks.post", s.createHook},
		"GET /v1/notifications/webhooks":                          {"webhooks.list", s.listHooks},
		"GET /v1/notifications/webhooks/{id}":                     {"webhooks.get", s.getHook},
		"PATCH /v1/notifications/webhooks/{id}":                   {"webhooks.update", s.updateHook},
		"DELETE /v1/notifications/webhooks/{id}":                  {"webhooks.delete", s.deleteHook},
		"GET /v1/notifications/webhooks-events":                   {"webhooks-events.list", s.listEvents},
		"GET /v1/notifications/webhooks-events/{id}":              {"webhooks-events.get", s.getEvent},
		"POST /v1/notifications/webhooks-events/{id}/resend":      {"webhooks-events.resend", s.resendEvent},
		"POST /v1/notifications/verify-webhook-signature":         {"verify-webhook-signature.post", s.verifySignature},
		"GET /v1/customer/disputes":                               {"disputes.list", s.listDisputes},
		"GET /v1/customer/disputes/{id}":                          {"disputes.get", s.getDispute},
		"POST /v1/customer/disputes/{id}/accept-claim":            {"disputes.accept-claim", s.acceptClaim},
		"POST /v1/customer/disputes/{id}/provide-evidence":        {"disputes.provide-evidence", s.provideEvidence},
		"POST /v1/customer/disputes/{id}/provide-supporting-info": {"disputes.provide-supporting-info", s.provideSupportingInfo},
		"/v1/": {"", s.unknownPath},
		"/v2/": {"", s.unknownPath},
	} {
		mux.HandleFunc(pattern, s.handle(h.op, h.fn))
	}
	mux.HandleFunc("POST /v1/oauth2/token", s.issueToken)
	mux.HandleFunc("GET /v1/notifications/certs/{name}", s.serveCert)
	mux.HandleFunc("GET /{$}", showRoot)
	mux.HandleFunc("GET /checkoutnow", s.showPage)
	mux.HandleFunc("POST /checkoutnow", s.postPage)
	s.controlRoutes(mux)
	s.w.ControlRoutes(mux, api)
	faulty := s.w.WithFaults(faultBodies{mux, s})
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Date", s.w.Now().Format(http.TimeFormat))
		faulty.ServeHTTP(rw, r)
	})
}

// faultBodies writes injected failures the way PayPal words them.
type faultBodies struct {
	http.Handler
	s *server
}

// AnswerFault implements sandbox.FaultAnswerer.
func (f faultBodies) AnswerFault(rw http.ResponseWriter, _ *http.Request, status int) {
	body := problemJSON{Name: "INTERNAL_SERVER_ERROR", Message: "An internal server error occurred."}
	if status == http.StatusTooManyRequests {
		body = problemJSON{Name: "RATE_LIMIT_REACHED", Message: "Too many requests. Blocked due to rate limiting."}
	}
	f.s.write(rw, reply{status: status, body: body})
}
