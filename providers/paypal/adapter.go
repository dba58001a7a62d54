// Package paypal is the adapter for PayPal: Orders v2, Payments v2, disputes,
// transaction search and signed webhooks of one merchant's REST app.
//
// It is the only room that imports plutov/paypal, and uses it as transport only:
// bodies, answers, tokens and errors are our own. It reports facts and classified
// errors; it must not decide a status, keep state about payments, or repeat a call
// that may have moved money.
package paypal

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Provider is this adapter's word in the API and in object keys.
const Provider = "paypal"

// PayPal's API hosts (PayPal docs: "REST APIs, base URLs").
const (
	liveBase = "https://api-m.paypal.com"
	testBase = "https://api-m.sandbox.paypal.com"
)

// orderLife is how long a customer can approve an order and we can capture it
// (PayPal docs: 3 hours by default).
const orderLife = 3 * time.Hour

// Options describe one PayPal account. Account, Mode, ClientID, ClientSecret and
// Now are required.
type Options struct {
	Account      string // configured name
	Mode         payment.Mode
	ClientID     string
	ClientSecret string
	// WebhookIDs are the ids of our webhook registrations at PayPal; a webhook is
	// taken if it was signed for any of them. None: every webhook is refused.
	WebhookIDs []string
	// APIBase replaces PayPal's own host, such as a sandbox on loopback. Plain http
	// is allowed for loopback in test mode only.
	APIBase string
	// HTTPClient carries every call, certificate downloads included. Nil: one of our
	// own. Its redirect policy is ignored: nothing is ever redirected.
	HTTPClient *http.Client
	// WebhookRootCA replaces the system's roots for webhook certificates, and
	// WebhookCertHosts ("host[:port]") PayPal's certificate hosts. Test mode only.
	WebhookRootCA    *x509.CertPool
	WebhookCertHosts []string
	Now              func() time.Time
	BrandName        string // on PayPal's pages, where a checkout names none
	// Inline fetches access tokens in the caller's goroutine, for a simulator with
	// one thread. Otherwise a goroutine of its own does, so that no caller's deadline
	// ends it.
	Inline bool
	// MockResponse names the PayPal issue that a call of this operation shall fail
	// with, empty for none (PayPal docs: negative testing). Test mode only.
	MockResponse func(op string) string
}

// Adapter talks to one PayPal account. It is safe for concurrent use.
type Adapter struct {
	opts   Options
	api    *client
	pages  string // where PayPal's checkout pages are
	certs  *certificates
	events *webhookRules
}

// New checks the options and makes an adapter. It calls nobody.
func New(o Options) (*Adapter, error) {
	if o.Account == "" || o.ClientID == "" || o.ClientSecret == "" {
		return nil, errors.New("paypal: account, client id and client secret are required")
	}
	if o.Now == nil {
		return nil, errors.New("paypal: a clock is required")
	}
	test := o.Mode == payment.ModeTest
	if !test && o.Mode != payment.ModeLive {
		return nil, fmt.Errorf("paypal: account %s: mode must be test or live", o.Account)
	}
	if !test && (o.WebhookRootCA != nil || len(o.WebhookCertHosts) > 0 || o.MockResponse != nil) {
		return nil, fmt.Errorf("paypal: account %s: webhook root, certificate hosts and mock answers are for test mode only", o.Account)
	}
	base, err := checkBase(o)
	if err != nil {
		return nil, err
	}
	rules, err := newWebhookRules(o)
	if err != nil {
		return nil, err
	}
	transport := newHTTPClient(o.HTTPClient)
	api, err := newClient(o, base, transport)
	if err != nil {
		return nil, err
	}
	return &Adapter{
		opts: o, api: api, pages: pagesOf(base), events: rules,
		certs: newCertificates(transport, rules, o.WebhookRootCA),
	}, nil
}

// checkBase is the API's base URL without a slash at its end.
func checkBase(o Options) (string, error) {
	if o.APIBase == "" {
		if o.Mode == payment.ModeLive {
			return liveBase, nil
		}
		return testBase, nil
	}
	u, err := url.Parse(o.APIBase)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("paypal: account %s: api_base is not a plain URL", o.Account)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || o.Mode == payment.ModeLive || !loopback(u.Hostname())) {
		return "", fmt.Errorf("paypal: account %s: api_base must be https (http only for loopback in test mode)", o.Account)
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// pagesOf is where the approval pages of an API host live. PayPal's links say so
// themselves while an order waits for its customer; an approved order has no such
// link, and its page has the same address (PayPal docs: approve link,
// /checkoutnow?token=ORDER-ID).
func pagesOf(base string) string {
	switch base {
	case liveBase:
		return "https://www.paypal.com"
	case testBase:
		return "https://www.sandbox.paypal.com"
	default:
		return base
	}
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// How long PayPal remembers a PayPal-Request-Id, with a margin for slow clocks and
// calls (PayPal OpenAPI: orders v2 6 hours, payments v2 45 days).
const (
	orderKeyLife   = 5*time.Hour + 30*time.Minute
	paymentKeyLife = 44 * 24 * time.Hour
	// Disputes v1 takes no request id, so a call is not repeated without a look. Its
	// first try must fit in; a second one that soon is refused by the case's state.
	disputeKeyLife = 2 * time.Second
	// Voiding and reading an order again do no harm however often they happen.
	harmless = 10 * 365 * 24 * time.Hour
)

// keyLife is the life of an operation's key. A capture is either of an order (6 h)
// or of an authorization (45 days); the contract does not tell them apart, so the
// shorter counts.
func keyLife(kind payment.OpKind) time.Duration {
	switch kind {
	case payment.OpRefund:
		return paymentKeyLife
	case payment.OpAcceptDispute, payment.OpSubmitEvidence, payment.OpSaveEvidence:
		return disputeKeyLife
	case payment.OpVoid, payment.OpClose:
		return harmless
	case payment.OpCreate, payment.OpAuthorize, payment.OpCapture:
		return orderKeyLife
	default:
		return orderKeyLife
	}
}

// calls is what operations take of the rate budget. A read of a captured hold is the
// order, its authorization and disputes, and once it changed a search for reversals.
var calls = map[string]int{"fetch": 4, "close_checkout": 4, "authorize": 3, "capture": 3, "void": 3, "refund": 3}

// Info describes the account.
func (a *Adapter) Info() providers.Info {
	return providers.Info{
		Provider: Provider,
		Label:    "PayPal",
		Account:  a.opts.Account,
		Mode:     a.opts.Mode,
		KeyLife:  keyLife,
		Calls:    calls,
		// Orders die after 3 hours and can't be listed, so the reads come before that.
		SyncSchedule: []time.Duration{
			2 * time.Minute, 10 * time.Minute, 30 * time.Minute, 90 * time.Minute, 170 * time.Minute, 4 * time.Hour, 24 * time.Hour,
		},
		PartialCapture: true,
		Supports:       supports,
		MaxCheckout:    orderLife,
	}
}

// key names one of this account's objects.
func (a *Adapter) key(id string) payment.ObjectKey {
	return payment.ObjectKey{Provider: Provider, Account: a.opts.Account, ID: id}
}
