// Package config reads the configuration once, at start, from a YAML file and
// the environment, and refuses anything doubtful before a single payment is
// taken, naming every fault at once.
//
// It imports none of our rooms and knows no provider; it must not be read from
// anywhere but cmd, which hands each room the few values it needs.
package config

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// Provider names an account may have.
const (
	ProviderStripe = "stripe"
	ProviderPayPal = "paypal"
)

// Modes of accounts and apps. Test and live never mix: a test app sees test
// accounts only.
const (
	ModeTest = "test"
	ModeLive = "live"
)

// Defaults of keys that may be left out.
const (
	DefaultStore        = "sqlite:./trifecta.db"
	DefaultAddr         = ":8080"
	DefaultInternalAddr = "127.0.0.1:8081"
)

// Config is the whole configuration. docs/trifecta.example.yaml explains each
// key. A Config from Load is valid; one made by hand goes through Validate.
type Config struct {
	// PublicURL is the origin under which customers and providers reach us,
	// without a slash at its end. https, except on loopback in test mode.
	PublicURL string
	// Store says where records are kept: sqlite:FILE or mongodb://…. A Secret
	// because a MongoDB URL may hold a password. See StoreURL.
	Store Secret
	HTTP  HTTP
	// Accounts are our accounts at providers, at least one.
	Accounts []Account
	// Apps are the product apps (tenants) that call us.
	Apps   []App
	Layers Layers
	// TestClock is the base URL of a sandbox whose clock we follow; test mode
	// only; "" means the machine's clock.
	TestClock string
	// AllowSQLiteLive permits a live account on the one-process store.
	AllowSQLiteLive bool
	// Encryption seals personal data and secrets in the store.
	Encryption Encryption
	// AllowPlaintextLive permits a live account or app without encryption keys.
	AllowPlaintextLive bool
	// Retention says how long is kept what need not be kept for ever.
	Retention Retention
	// BrandName is shown to customers on our pages and at PayPal; "" leaves it
	// to the provider's account settings. At most 127 characters.
	BrandName string
	// Alerts says who is told of alerts.
	Alerts Alerts
	// Risk are the rules against fraud that differ from the default ones.
	Risk []RiskRule
}

// HTTP has the two listeners.
type HTTP struct {
	// Addr serves apps, customers and providers, as host:port.
	Addr string
	// InternalAddr serves health, metrics and profiles; keep it private.
	InternalAddr string
}

// Account is one account at one provider.
type Account struct {
	// Name is ours, [a-z0-9-]{1,40}; it stands in webhook URLs and on payments
	// and must never change.
	Name string
	// Provider is ProviderStripe or ProviderPayPal.
	Provider string
	// Mode is ModeTest or ModeLive.
	Mode string
	// SecretKey is Stripe's secret or restricted key.
	SecretKey Secret
	// WebhookSecrets verify Stripe's webhooks; several while one is rotated.
	// Each at least 24 characters.
	WebhookSecrets []Secret
	// ConnectWebhookSecrets do so for the endpoint of connected accounts.
	ConnectWebhookSecrets []Secret
	// APIBase replaces the provider's own base URL; "" means the provider's.
	APIBase string
	// ClientID and ClientSecret are PayPal's REST credentials. (Stripe: ClientID
	// is the platform's OAuth client id, if any.)
	ClientID     string
	ClientSecret Secret
	// WebhookIDs are PayPal's ids of our webhook; several while one is replaced.
	WebhookIDs []string
	// WebhookRootCA is a PEM file to trust for PayPal's webhook certificates, and
	// WebhookCertHosts (host[:port]) are where such certificates may come from.
	// For the sandbox; refused beside any live account.
	WebhookRootCA    string
	WebhookCertHosts []string
	// SecretExpires is when one of the account's credentials runs out; admins are
	// alerted three weeks before. Zero: nobody said.
	SecretExpires time.Time
	// IgnoreForeign says that another system uses the account too: what names no
	// payment of ours is its business, neither recorded nor told of.
	IgnoreForeign bool
}

// App is one product app.
type App struct {
	// Name is [a-z0-9-]{1,40}.
	Name string
	// Mode is ModeTest or ModeLive.
	Mode string
	// ReturnOrigins are the exact https origins a return_url may have. In test
	// mode http://127.0.0.1 and http://localhost are accepted with any port, and
	// need not be listed.
	ReturnOrigins []string
	// Disputes is what is done by itself when a customer disputes a payment.
	Disputes DisputePolicy
}

// Layers says which of the three feeds run. All do unless switched off.
type Layers struct {
	Return, Webhook, Reconcile bool
}

// Encryption is the keys that seal personal data and secrets at rest.
type Encryption struct {
	// Keys are all keys that records may be sealed under; several while rotating.
	Keys []EncryptionKey
	// Active is the id of the key that seals what is written from now on; required
	// with keys.
	Active string
	// Lost are the ids of keys that are gone for good: records that they sealed are no
	// reason to refuse the store any more, and stay unreadable.
	Lost []string
}

// EncryptionKey is one named key.
type EncryptionKey struct {
	// ID is [a-z0-9-]{1,40}; it stands in every record sealed under the key, and
	// must never be given to another key.
	ID string
	// Key is 32 random bytes in base64, as "openssl rand -base64 32" prints them.
	Key Secret
}

// Bytes are the key itself; an error for what is not EncryptionKeyBytes in base64.
func (k EncryptionKey) Bytes() ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(k.Key.Reveal())
	if err != nil || len(b) != EncryptionKeyBytes {
		return nil, fmt.Errorf("the key %s is not %d bytes in base64", k.ID, EncryptionKeyBytes)
	}
	return b, nil
}

// EncryptionKeyBytes is the length of an encryption key: AES-256.
const EncryptionKeyBytes = 32

// Retention is how many days things are kept; 0 means the default. Payments,
// their history, claims, orphans, discrepancies and keys are kept for ever, and
// nothing unfinished is ever dropped.
type Retention struct {
	// InboxBodies: raw webhook bodies, from their arrival. Default 90, least 7.
	InboxBodies int
	// Inbox: what is kept of a finished webhook besides. Default 400, least 35, and
	// not less than InboxBodies.
	Inbox int
	// Feed: pages of an app's event feed, from their last event. Default 400, least 30.
	Feed int
	// Runs: records of reconcile runs. Default 30, least 7.
	Runs int
	// AlertsResolved: resolved alerts, from when they were resolved. Default 400,
	// least 30.
	AlertsResolved int
}

// MaxRetention is the longest retention, in days: a hundred years.
const MaxRetention = 36_500

// retentionRule is one key of Retention with its default and its least value.
type retentionRule struct {
	path       string
	days       *int
	def, least int
}

func (r *Retention) rules() []retentionRule {
	return []retentionRule{
		{"retention.inbox_bodies", &r.InboxBodies, 90, 7},
		{"retention.inbox", &r.Inbox, 400, 35},
		{"retention.feed", &r.Feed, 400, 30},
		{"retention.runs", &r.Runs, 30, 7},
		{"retention.alerts_resolved", &r.AlertsResolved, 400, 30},
	}
}

// WithDefaults fills in what is 0.
func (r Retention) WithDefaults() Retention {
	for _, rule := range r.rules() {
		if *rule.days == 0 {
			*rule.days = rule.def
		}
	}
	return r
}

// Days is a number of days as a duration.
func Days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// Live says whether any account or app is live: then every rule of production
// holds.
func (c Config) Live() bool {
	for _, a := range c.Apps {
		if a.Mode == ModeLive {
			return true
		}
	}
	return c.liveAccount() != ""
}

// liveAccount names one live account, "" if there is none.
func (c Config) liveAccount() string {
	for _, a := range c.Accounts {
		if a.Mode == ModeLive {
			return a.Name
		}
	}
	return ""
}

// StoreURL splits Store into its scheme, "sqlite" or "mongodb" (also for
// mongodb+srv), and what its engine wants to hear: a file path, or the whole
// URL. The address may hold a password.
func (c Config) StoreURL() (scheme string, address Secret) {
	whole := c.Store.Reveal()
	if path, ok := strings.CutPrefix(whole, "sqlite:"); ok {
		return "sqlite", NewSecret(path)
	}
	if strings.HasPrefix(whole, "mongodb://") || strings.HasPrefix(whole, "mongodb+srv://") {
		return "mongodb", c.Store
	}
	return "", c.Store
}
