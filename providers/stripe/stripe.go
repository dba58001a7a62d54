// Package stripe is the adapter of Stripe: hosted Checkout Sessions, payment
// intents, refunds and disputes, webhooks and lists, by stripe-go v76 and API
// version 2023-10-16. It is the only room that imports Stripe's SDK.
//
// It reports what Stripe says as facts and must not decide a status, store
// anything, retry what may have taken effect, or let a text of Stripe's out: the
// SDK's errors print client secrets and billing e-mails.
package stripe

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	stripesdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// provider is this adapter's word in the API and in every fact.
const provider = "stripe"

// Names of our references in Stripe's metadata.
const (
	metaPayment = "trifecta_payment"
	metaAttempt = "trifecta_attempt"
	metaRefund  = "trifecta_refund"
	metaPrefix  = "trifecta_"
)

// Kinds of provider objects in providers.Ref.
const (
	kindSession     = "checkout_session"
	kindIntent      = "payment_intent"
	kindCharge      = "charge"
	kindRefund      = "refund"
	kindDispute     = "dispute"
	kindWarning     = "early_fraud_warning"
	kindReview      = "review"
	kindTransaction = "balance_transaction"
	kindEvent       = "event"
)

const (
	// keyLife is shorter than the 24 hours that Stripe keeps a key at least
	// (Stripe docs: idempotent requests), so that clocks may differ.
	keyLife = 23 * time.Hour
	// maxCheckout is the longest life of a session (Stripe docs: expires_at).
	maxCheckout = 24 * time.Hour
	// maxKey is the longest idempotency key, in characters.
	maxKey = 255
	// minSecret is shorter than any signing secret of Stripe's ("whsec_" and 32 more).
	minSecret = 24
)

// Options configure one Stripe account.
type Options struct {
	Account   string       // configured name, such as "stripe-eu"; required
	Mode      payment.Mode // must fit the key
	SecretKey string       // sk_… or a restricted rk_…; required
	// WebhookSecrets and ConnectWebhookSecrets are the signing secrets of the two
	// endpoints. Several are tried, so that a secret can be rolled.
	WebhookSecrets        []string
	ConnectWebhookSecrets []string
	// APIBase replaces https://api.stripe.com; test mode only, http only on loopback.
	APIBase string
	// HTTPClient makes the calls. Nil takes one with timeouts. Redirects are never
	// followed.
	HTTPClient *http.Client
}

// Adapter is one Stripe account. It is safe for concurrent use.
type Adapter struct {
	opts Options
	sdk  *client.API
}

// New checks the options and returns the account's adapter. It makes no call.
func New(opts Options) (*Adapter, error) {
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("stripe account %q: %w", opts.Account, err)
	}
	hc := http.Client{Timeout: 30 * time.Second, Transport: transport()}
	if opts.HTTPClient != nil {
		hc = *opts.HTTPClient
	}
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	backend := func(kind stripesdk.SupportedBackend) stripesdk.Backend {
		// A config of its own for each: the SDK writes the URL into it.
		config := &stripesdk.BackendConfig{
			HTTPClient:        &hc,
			MaxNetworkRetries: stripesdk.Int64(0), // repeating is the caller's decision, it has written the key down
			EnableTelemetry:   stripesdk.Bool(false),
			LeveledLogger:     &stripesdk.LeveledLogger{Level: stripesdk.LevelNull},
		}
		if opts.APIBase != "" {
			config.URL = stripesdk.String(opts.APIBase)
		}
		return stripesdk.GetBackendWithConfig(kind, config)
	}
	return &Adapter{opts: opts, sdk: client.New(opts.SecretKey, &stripesdk.Backends{
		API:     backend(stripesdk.APIBackend),
		Connect: backend(stripesdk.ConnectBackend),
		Uploads: backend(stripesdk.UploadsBackend),
	})}, nil
}

func transport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: 25 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   16,
		ForceAttemptHTTP2:     true,
	}
}

// check refuses what could only go wrong later: a key of the other mode, a
// webhook secret that would let forgeries in, a key sent in the clear.
func (o Options) check() error {
	if o.Account == "" {
		return errors.New("it has no name")
	}
	word, ok := map[payment.Mode]string{payment.ModeTest: "test", payment.ModeLive: "live"}[o.Mode]
	if !ok {
		return fmt.Errorf("mode %q is neither test nor live", o.Mode)
	}
	if !strings.HasPrefix(o.SecretKey, "sk_"+word+"_") && !strings.HasPrefix(o.SecretKey, "rk_"+word+"_") {
		return fmt.Errorf("the secret key is not one of %s mode (sk_%s_… or rk_%s_…)", word, word, word)
	}
	for _, secret := range append(append([]string{}, o.WebhookSecrets...), o.ConnectWebhookSecrets...) {
		if len(strings.TrimSpace(secret)) < minSecret || strings.TrimSpace(secret) != secret {
			return fmt.Errorf("a webhook secret is empty, shorter than %d characters, or has spaces around it", minSecret)
		}
	}
	return o.checkBase()
}

func (o Options) checkBase() error {
	if o.APIBase == "" {
		return nil
	}
	if o.Mode == payment.ModeLive {
		return errors.New("api_base can be changed in test mode only")
	}
	u, err := url.Parse(o.APIBase)
	if err != nil || u.Host == "" {
		return errors.New("api_base is not a URL")
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return errors.New("api_base must be https; http is for loopback only")
	}
	return nil
}

// calls is what operations take of the rate budget. A read of a paid session is the
// session, its charges, refunds, disputes and warnings.
var calls = map[string]int{"fetch": 5, "find_checkout": 2, "close_checkout": 5, "capture": 6, "void": 4, "refund": 6}

// labels are what customers call paying here, after the words "pay with" of their language.
var labels = map[string]string{
	"de": "Karte oder Wallet (Stripe)",
	"es": "tarjeta o monedero digital (Stripe)",
	"fr": "une carte ou un portefeuille électronique (Stripe)",
	"it": "carta o portafoglio digitale (Stripe)",
	"ko": "카드 또는 간편결제(Stripe)",
}

// Info describes the account.
func (a *Adapter) Info() providers.Info {
	return providers.Info{
		Provider: provider,
		Label:    "Card or wallet (Stripe)",
		Account:  a.opts.Account,
		Mode:     a.opts.Mode,
		KeyLife:  func(payment.OpKind) time.Duration { return keyLife },
		Calls:    calls,
		SyncSchedule: []time.Duration{
			2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, 80 * time.Minute,
			3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24*time.Hour + 30*time.Minute,
		},
		PartialCapture: false, // only accounts with multicapture can; it is not assumed
		AutomaticTax:   true,
		Supports:       supports,
		MaxCheckout:    maxCheckout,
		Labels:         labels,
	}
}

// live is whether objects of this account must carry livemode.
func (a *Adapter) live() bool { return a.opts.Mode == payment.ModeLive }

func (a *Adapter) key(id string) payment.ObjectKey {
	return payment.ObjectKey{Provider: provider, Account: a.opts.Account, ID: id}
}

// attemptNumber reads n from our attempt reference "pay_…-n"; 0 if it is not one of
// that payment.
func attemptNumber(paymentID, attempt string) int {
	text, ok := strings.CutPrefix(attempt, paymentID+"-")
	if !ok || text == "" || len(text) > 4 {
		return 0
	}
	n := 0
	for _, r := range text {
		if r < '0' || r > '9' {
			return 0
		}
		n = n*10 + int(r-'0')
	}
	return n
}
