// Package httpapi is the HTTP face of the gateway: it binds requests, calls the
// use cases of gateway.Service, and renders their answers, the customers' pages
// and the OpenAPI document.
//
// It is the only room that imports Gin. It decides nothing about money, status
// or idempotency, talks to no provider and no store, and never lets the text of
// an internal error out.
package httpapi

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/trifecta-pay/trifecta/gateway"
)

// Limits of the listener.
const (
	maxBody       = 256 << 10 // bytes of one request body
	defaultRate   = 200       // requests a second for one key
	maxRateKeys   = 10_000    // keys whose budgets are remembered
	wrongPerSec   = 1         // wrong keys a second from one address
	wrongBurst    = 100       // wrong keys that may come at once from it
	maxAddresses  = 10_000    // addresses whose wrong keys are remembered
	defaultPage   = 20        // payments, alerts, runs in one list answer
	defaultNested = 100       // rows of a list below one payment
)

// Options are what the listener needs. Service, Clock, NewID and Logger are
// required: New panics without them. What is nil below them answers 404, and
// webhooks 503.
type Options struct {
	Service *gateway.Service
	Clock   func() time.Time
	NewID   func() string // a fresh request id, printable ASCII
	Logger  *slog.Logger
	// PublicURL is where browsers reach us, without a slash at its end: with
	// https every answer carries Strict-Transport-Security.
	PublicURL string
	// BrandName stands on the customers' pages; default: the app's name.
	BrandName string
	// Webhooks receives POST /webhooks/{provider}/{account}[/connect] as it came,
	// with its own limits. nil: webhooks are off, 503.
	Webhooks http.Handler
	Alerts   Alerts
	Events   Events
	Runs     Runs
	Settings Settings
	// Discrepancies are the differences that reconciling found.
	Discrepancies Discrepancies
	// Encryption and Erasures are for operators who look after what is kept.
	Encryption Encryption
	Erasures   Erasures
	// RatePerSecond bounds the requests of one API key; default 200. Burst is how
	// many may come at once; default twice that.
	RatePerSecond int
	Burst         int
}

// api holds what handlers share.
type api struct {
	opts    Options
	svc     *gateway.Service
	log     *slog.Logger
	limiter *limiter
	wrong   *limiter // of the keys that are refused, by address
	pages   *pages
	// document is made once, and only when somebody asks for it.
	document func() (loaded, error)
}

// New builds the public listener's handler.
func New(opts Options) http.Handler {
	if opts.Service == nil || opts.Clock == nil || opts.NewID == nil || opts.Logger == nil {
		panic("httpapi: an Options field is missing")
	}
	return newEngine(opts)
}

func newEngine(opts Options) *gin.Engine {
	if opts.RatePerSecond <= 0 {
		opts.RatePerSecond = defaultRate
	}
	if opts.Burst <= 0 {
		opts.Burst = 2 * opts.RatePerSecond
	}
	a := &api{
		opts: opts, svc: opts.Service, log: opts.Logger, pages: newPages(), document: sync.OnceValues(loadDocument),
		limiter: newLimiter(opts.RatePerSecond, opts.Burst, maxRateKeys),
		wrong:   newLimiter(wrongPerSec, wrongBurst, maxAddresses),
	}
	gin.SetMode(gin.ReleaseMode) // no debug output of Gin's own
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false
	e.RedirectFixedPath = false
	if err := e.SetTrustedProxies(nil); err != nil { // can't fail without a list
		panic(err)
	}
	e.Use(a.requestID, a.accessLog, a.recovery, a.headers)
	e.NoRoute(a.do(func(*gin.Context) error { return notFoundError() }))
	e.NoMethod(a.do(a.methodNotAllowed))
	a.routes(e)
	return e
}

// routes are all of them; openapi.yaml describes each, and a test compares.
func (a *api) routes(e *gin.Engine) {
	e.GET("/healthz", a.do(a.healthz))
	e.GET("/openapi.json", a.do(a.openapiJSON))
	e.GET("/openapi.yaml", a.do(a.openapiYAML))
	e.GET("/docs", a.do(a.docsPage))

	e.GET("/pay/:id", a.payPage)
	e.POST("/pay/:id", a.payChoose)
	e.GET("/v1/return/:id", a.returned)

	e.POST("/webhooks/:provider/:account", a.webhook)
	e.POST("/webhooks/:provider/:account/connect", a.webhook)

	v1 := e.Group("/v1", a.authenticate, a.rateLimit)
	read, write, refund := a.scope(gateway.ScopePaymentsRead), a.scope(gateway.ScopePaymentsWrite), a.scope(gateway.ScopeRefundsWrite)

	v1.POST("/payments", write, a.post, a.do(a.createPayment))
	v1.GET("/payments", read, a.do(a.listPayments))
	v1.GET("/payments/:id", read, a.do(a.getPayment))
	v1.POST("/payments/:id/capture", write, a.post, a.do(a.capturePayment))
	v1.POST("/payments/:id/cancel", write, a.post, a.do(a.cancelPayment))
	v1.POST("/payments/:id/sync", write, a.post, a.do(a.syncPayment))
	v1.POST("/payments/:id/resolve", a.operator, a.post, a.do(a.resolvePayment))
	v1.POST("/payments/:id/refunds", refund, a.post, a.do(a.createRefund))
	v1.GET("/payments/:id/refunds", read, a.do(a.listRefunds))
	v1.GET("/payments/:id/history", read, a.do(a.listHistory))
	v1.GET("/payments/:id/funds", read, a.do(a.listFunds))
	v1.GET("/refunds/:id", read, a.do(a.getRefund))

	dispute := a.scope(gateway.ScopeDisputesWrite)
	v1.GET("/disputes", read, a.do(a.listDisputes))
	v1.GET("/disputes/:id", read, a.do(a.getDispute))
	v1.POST("/disputes/:id/accept", dispute, a.post, a.do(a.acceptDispute))
	v1.POST("/disputes/:id/evidence", dispute, a.postUpTo(maxEvidenceBody), a.do(a.giveEvidence))

	v1.GET("/alerts", read, a.do(a.listAlerts))
	v1.POST("/alerts/:id/ack", write, a.post, a.do(a.ackAlert))
	v1.POST("/alerts/:id/snooze", write, a.post, a.do(a.snoozeAlert))
	v1.POST("/alerts/:id/resolve", write, a.post, a.do(a.resolveAlert))
	v1.GET("/events", read, a.do(a.listEvents))
	v1.GET("/blocks", read, a.do(a.listBlocks))
	v1.POST("/blocks", write, a.post, a.do(a.setBlock))
	v1.GET("/blocks/:id", read, a.do(a.getBlock))
	v1.DELETE("/blocks/:id", write, a.do(a.liftBlock))
	v1.GET("/risk/decisions", read, a.do(a.listDecisions))
	v1.GET("/risk/decisions/:id", read, a.do(a.getDecision))
	v1.POST("/risk/decisions/:id/confirm", a.operator, a.post, a.do(a.confirmDecision))
	v1.POST("/risk/decisions/:id/reverse", a.operator, a.post, a.do(a.reverseDecision))
	v1.POST("/risk/dry_run", a.operator, a.post, a.do(a.dryRun))
	v1.GET("/reconcile/runs", a.operator, a.do(a.listRuns))
	v1.POST("/reconcile/runs", a.operator, a.post, a.do(a.startRun))
	v1.GET("/discrepancies", read, a.do(a.listDiscrepancies))
	v1.POST("/discrepancies/:id/resolve", a.operator, a.post, a.do(a.resolveDiscrepancy))
	v1.GET("/api_keys", a.operator, a.unasked, a.do(a.listKeys))
	v1.POST("/api_keys", a.operator, a.post, a.do(a.makeKey))
	v1.DELETE("/api_keys/:id", a.operator, a.unasked, a.do(a.revokeKey))
	v1.GET("/encryption", a.operator, a.unasked, a.do(a.getEncryption))
	v1.POST("/encryption/rotate", a.operator, a.post, a.do(a.rotateEncryption))
	v1.GET("/erasures", a.operator, a.do(a.listErasures))
	v1.POST("/erasures", a.operator, a.post, a.do(a.orderErasure))
	v1.GET("/erasures/:id", a.operator, a.unasked, a.do(a.getErasure))
	v1.GET("/settings", a.operator, a.unasked, a.do(a.getSettings))
	v1.PUT("/settings", a.operator, a.put, a.do(a.putSettings))
}

// do turns a handler that returns an error into one of Gin's.
func (a *api) do(fn func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := fn(c); err != nil {
			a.fail(c, err)
		}
	}
}

func (a *api) healthz(c *gin.Context) error {
	return a.json(c, http.StatusOK, map[string]string{"status": "ok"})
}

func (a *api) webhook(c *gin.Context) {
	if a.opts.Webhooks == nil {
		a.fail(c, webhooksOff())
		return
	}
	a.opts.Webhooks.ServeHTTP(c.Writer, c.Request)
}

func (a *api) secure() bool { return strings.HasPrefix(a.opts.PublicURL, "https://") }
