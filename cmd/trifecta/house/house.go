// Package house wires the rooms together: from a configuration to handlers and
// workers. It holds no rule of its own; commands and whole-process tests build
// the same house.
package house

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/httpapi"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/settings"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/paypal"
	"github.com/trifecta-pay/trifecta/providers/stripe"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	sealing "github.com/trifecta-pay/trifecta/store/seal"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// Options are what a house is built from.
type Options struct {
	Config config.Config
	Clock  func() time.Time // ours
	Wall   func() time.Time // the machine's, for webhook signatures
	Logger *slog.Logger
	// Transport carries provider calls; nil makes one with time limits.
	Transport http.RoundTripper
	// Engine is a store that the caller opened, and closes after the house; several
	// houses may share it. nil: the one that the configuration names.
	Engine store.Engine
}

// House is a built gateway: what it serves and what it works on.
type House struct {
	Service    *gateway.Service
	Public     http.Handler
	Inbox      *inbox.Inbox
	Reconciler *reconcile.Reconciler
	Runs       *store.Runs
	Resealer   *store.Resealer
	apps       []gateway.App
	Erasures   *store.Erasures
	Eraser     *store.Eraser
	engine     *store.SealedEngine
	owned      bool // the engine is ours to close
	presence   *presence
	shares     *shares
	watch      *watch
	patience   patience
	runtime    *settings.Settings
	metrics    *metrics
	workers    []Worker // always running
	bells      bells
	scheduled  []reconcile.Step
	log        *slog.Logger
	clock      func() time.Time
}

// Workers that are woken when there is something to do.
const (
	workerInbox = "inbox"
	workerFeed  = "feed"
)

// Worker is a step function with a name.
type Worker struct {
	Name string
	Step func(context.Context) (did int, next time.Time, err error)
}

// Build opens the store and wires the rooms. Close the house when done.
func Build(ctx context.Context, o Options) (*House, error) {
	engine, owned := o.Engine, o.Engine == nil
	if owned {
		var err error
		if engine, err = openStore(ctx, o.Config, o.Logger); err != nil {
			return nil, err
		}
	}
	h, err := wire(o, engine) //nolint:contextcheck // wiring starts nothing that a context could end
	switch {
	case err != nil && owned:
		return nil, errors.Join(err, engine.Close())
	case err != nil:
		return nil, err
	}
	h.owned = owned
	for _, w := range h.workers {
		h.watch.expect(w.Name)
	}
	if err := h.engine.CheckKeys(ctx, o.Clock(), o.Config.Encryption.Lost...); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	// What an operator has paused must be paused from the first request on.
	if _, _, err := h.runtime.Step(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// openStore refuses a store that is not all there yet: whoever took payments on it
// would do so beside half a record.
func openStore(ctx context.Context, cfg config.Config, log *slog.Logger) (store.Engine, error) {
	e, err := OpenStore(ctx, cfg.Store, false)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkIndexes(ctx, e, log), store.CheckMigrated(ctx, e)); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// checkIndexes refuses a store without its indexes: its queries would be refused one
// by one later, in the middle of taking payments. One that somebody added and that does
// no harm is told, once.
func checkIndexes(ctx context.Context, e store.Engine, log *slog.Logger) error {
	drifts, err := IndexDrift(ctx, e)
	if err != nil {
		return err
	}
	var wrong []string
	for _, d := range drifts {
		if d.Harmless {
			log.InfoContext(ctx, "the store has an index that is not declared; it costs a little at every write", "index", d.Text)
			continue
		}
		wrong = append(wrong, d.Text)
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("the store's indexes are not as declared; run \"trifecta migrate\", which creates what is missing and says what else to do: %s", strings.Join(wrong, "; "))
}

// seal wraps the store so that personal data and secrets are encrypted in it.
func seal(cfg config.Config, engine store.Engine) (*store.SealedEngine, error) {
	var keys []sealing.Key
	for _, k := range cfg.Encryption.Keys {
		secret, err := k.Bytes()
		if err != nil {
			return nil, fmt.Errorf("encryption: %w", err)
		}
		keys = append(keys, sealing.Key{ID: k.ID, Secret: secret})
	}
	sealer, err := sealing.New(cfg.Encryption.Active, keys...)
	if err != nil {
		return nil, fmt.Errorf("encryption: %w", err)
	}
	return store.Sealed(engine, store.Collections(), sealer)
}

func wire(o Options, below store.Engine) (*House, error) {
	engine, err := seal(o.Config, below)
	if err != nil {
		return nil, err
	}
	watch := newWatch(below, o.Wall)
	m := newMetrics(watcher(o, engine, watch.health))
	run := rand.Text() // names this process run
	share := newShares(o, engine, run)
	patience := newPatience()
	registry, err := accounts(o, m, share.parts, patience.ctx)
	if err != nil {
		return nil, err
	}
	share.tell = func() { m.shared(registry.Accounts()) }
	payments, alerts := store.NewPayments(engine), store.NewAlerts(engine)
	apps, err := configuredApps(o.Config)
	if err != nil {
		return nil, err
	}
	runtime, pauses, err := runtimeSettings(o, engine)
	if err != nil {
		return nil, err
	}
	service, err := gateway.New(gateway.Options{
		Payments: payments, Keys: store.NewKeys(engine), Disputes: store.NewDisputes(engine), Notify: alerts, Providers: registry, Apps: apps,
		Clock: o.Clock, Token: rand.Text, PublicURL: o.Config.PublicURL, BrandName: o.Config.BrandName,
		Render: httpapi.NewRenderer(o.Config.PublicURL), ReturnLayer: o.Config.Layers.Return, Logger: o.Logger,
		Pauses: pauses.Get, Parallel: 8,
		Risk: &gateway.RiskOptions{Store: store.NewRisk(engine), Policy: policies(o.Config)},
	})
	if err != nil {
		return nil, fmt.Errorf("wire the gateway: %w", err)
	}
	h := &House{
		apps: apps, Service: service, engine: engine, metrics: m, log: o.Logger, clock: o.Clock, Runs: store.NewRuns(engine),
		presence: newPresence(o, engine, run), runtime: runtime, shares: share, watch: watch, patience: patience,
		bells: newBells(workerInbox, workerFeed),
	}
	if err := h.layers(o, registry, payments, alerts); err != nil {
		return nil, err
	}
	feed := store.NewFeed(engine)
	relay, err := outbox.NewRelay(outbox.RelayOptions{Payments: payments, Marker: service, Pages: feed, Clock: o.Clock})
	if err != nil {
		return nil, fmt.Errorf("wire the feed: %w", err)
	}
	h.workers = append(h.workers,
		Worker{Name: "presence", Step: h.presence.Step},
		Worker{Name: "settings", Step: runtime.Step},
		Worker{Name: "shares", Step: share.Step},
		Worker{Name: "operations", Step: service.Operations(0).Step},
		Worker{Name: "risk", Step: service.Risk().Step},
		Worker{Name: workerInbox, Step: h.Inbox.Step}, // what was acknowledged is worked on, whatever the layers say
		Worker{Name: workerFeed, Step: relay.Step},
		Worker{Name: "disputes", Step: service.DisputeDesk(0).Step})
	if err := h.keepers(o); err != nil {
		return nil, err
	}
	api := httpapi.Options{
		Service: service, Clock: o.Clock, NewID: func() string { return "req_" + rand.Text() }, Logger: o.Logger,
		PublicURL: o.Config.PublicURL, BrandName: o.Config.BrandName,
		Alerts: alertDesk{alerts, o.Clock}, Events: feedDesk{outbox.NewReader(feed)}, Runs: runDesk{h.Reconciler, h.Runs},
		Settings: settingsDesk{runtime}, Encryption: encryptionDesk{h.Resealer}, Erasures: erasureDesk{h},
		Discrepancies: discrepancyDesk{store.NewDiscrepancies(engine), alerts, o.Clock},
	}
	if o.Config.Layers.Webhook {
		api.Webhooks = h.Inbox
	}
	h.Public = httpapi.New(api)
	return h, nil
}

// layers wires webhooks and reconciliation, and what watches and tells of them.
func (h *House) layers(o Options, registry *providers.Registry, payments *store.Payments, alerts *store.Alerts) error {
	orphans := store.NewOrphans(h.engine)
	metrics := h.metrics.inbox()
	count := metrics.Received
	metrics.Received = func(provider, result string) {
		count(provider, result)
		if result == "stored" {
			h.bells.ring(workerInbox)
		}
	}
	var err error
	h.Inbox, err = inbox.New(inbox.Options{
		Accounts: registry, Store: store.NewInbox(h.engine), Applier: h.Service, Finder: payments, Notify: alerts, Orphans: orphans, Disputes: h.Service,
		Clock: o.Clock, Wall: o.Wall, Owner: rand.Text(), Logger: o.Logger, Metrics: metrics,
		APIVersions: map[string]string{config.ProviderStripe: stripe.APIVersion},
		Parallel:    8, // payments: most of the work is waiting for the provider

		IgnoreForeign: sharedAccounts(o.Config),
	})
	if err != nil {
		return fmt.Errorf("wire the inbox: %w", err)
	}
	h.Reconciler, err = reconcile.New(reconcile.Options{
		Payments: payments, Applier: h.Service, Accounts: registry.Accounts(), Leases: store.NewLeases(h.engine),
		Cursors: store.NewSweepCursors(h.engine), Runs: h.Runs, Discrepancies: store.NewDiscrepancies(h.engine),
		Orphans: orphans, Disputes: h.Service, Alerts: alerts, Clock: o.Clock, NewID: rand.Text, Logger: o.Logger, Pace: pace(registry),
		KeepRuns: config.Days(o.Config.Retention.WithDefaults().Runs), Janitors: h.janitors(o), IgnoreForeign: sharedAccounts(o.Config),
	})
	if err != nil {
		return fmt.Errorf("wire reconcile: %w", err)
	}
	for _, s := range h.Reconciler.Steps() {
		if s.Always || o.Config.Layers.Reconcile {
			h.scheduled = append(h.scheduled, h.watched(s))
		}
	}
	return h.tellAdmins(o, alerts)
}

// sharedAccounts names the accounts that other systems use too.
func sharedAccounts(c config.Config) (names []string) {
	for _, a := range c.Accounts {
		if a.IgnoreForeign {
			names = append(names, a.Name)
		}
	}
	return names
}

// callsPerSecond is the rate budget of one account. Stripe allows 100 reads and
// 100 writes a second in live mode, 25 each in test mode (Stripe docs, "Rate
// limits"); PayPal publishes no number. A sandbox of ours has no limit to keep; a live
// account behind an address of its own is its provider's all the same.
func callsPerSecond(a config.Account) int {
	switch {
	case a.Mode == config.ModeLive:
		return 80
	case a.APIBase != "":
		return 10_000
	}
	return 20
}

// pace holds reads of the background to its part of each account's budget.
func pace(registry *providers.Registry) func(context.Context, string) error {
	return func(ctx context.Context, account string) error {
		if a, ok := registry.Account(account); ok {
			return a.Pace(ctx)
		}
		return nil
	}
}

// Accounts makes the provider accounts of a configuration alone, for tools that need
// nothing else.
func Accounts(o Options) (*providers.Registry, error) {
	return accounts(o, newMetrics(watcher(o, nil, nil)), nil, context.Background())
}

// accounts makes an adapter and its guard for every configured account. Until
// stopping ends they may call; share nil: their rate budgets are whole.
func accounts(o Options, m *metrics, share func() int64, stopping context.Context) (*providers.Registry, error) {
	var guarded []*providers.Account
	for _, a := range o.Config.Accounts {
		p, err := adapter(o, a)
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", a.Name, err)
		}
		guarded = append(guarded, providers.Guard(p, providers.GuardOptions{
			Clock: o.Wall, Observe: m.provider(a.Name), PerSecond: callsPerSecond(a), Share: share, Stopping: stopping,
		}))
	}
	r, err := providers.NewRegistry(guarded...)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	return r, nil
}

func adapter(o Options, a config.Account) (providers.Provider, error) {
	client := &http.Client{Transport: o.Transport}
	if o.Transport == nil {
		client.Transport = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 20 * time.Second,
			MaxIdleConnsPerHost: 64, IdleConnTimeout: 60 * time.Second, ForceAttemptHTTP2: true,
		}
	}
	switch a.Provider {
	case config.ProviderStripe:
		return stripe.New(stripe.Options{
			Account: a.Name, Mode: payment.Mode(a.Mode), SecretKey: a.SecretKey.Reveal(), APIBase: a.APIBase, HTTPClient: client,
			WebhookSecrets: reveal(a.WebhookSecrets), ConnectWebhookSecrets: reveal(a.ConnectWebhookSecrets),
		})
	case config.ProviderPayPal:
		pool, err := rootCA(a.WebhookRootCA)
		if err != nil {
			return nil, err
		}
		return paypal.New(paypal.Options{
			Account: a.Name, Mode: payment.Mode(a.Mode), ClientID: a.ClientID, ClientSecret: a.ClientSecret.Reveal(),
			APIBase: a.APIBase, HTTPClient: client, WebhookIDs: a.WebhookIDs, WebhookRootCA: pool,
			WebhookCertHosts: a.WebhookCertHosts, Now: o.Clock, BrandName: o.Config.BrandName,
		})
	}
	return nil, fmt.Errorf("unknown provider %q", a.Provider)
}

func reveal(secrets []config.Secret) []string {
	out := make([]string, 0, len(secrets))
	for _, s := range secrets {
		out = append(out, s.Reveal())
	}
	return out
}

func rootCA(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // no file: the system's roots
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("webhook_root_ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("webhook_root_ca: %s holds no PEM certificate", file)
	}
	return pool, nil
}

// Enter announces this process in the store, and then looks again whether the
// store is complete: a migration that began meanwhile either sees this process, or
// is seen here. Then it takes its share of the rate budgets. Call it before serving.
func (h *House) Enter(ctx context.Context) error {
	if _, _, err := h.presence.Step(ctx); err != nil {
		return err
	}
	if err := store.CheckMigrated(ctx, h.engine); err != nil {
		return err
	}
	_, _, err := h.shares.Step(ctx)
	return err
}

// farewell is how long leaving may take: what is not taken back ends by itself.
const farewell = time.Second

// Leave says that this process is gone: presence and rate share are given back,
// also where ctx has ended. Call it when nothing runs and no request is under way.
func (h *House) Leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	return errors.Join(h.shares.leave(ctx), h.presence.leave(ctx))
}

// Close closes the store. Nothing may be running any more.
func (h *House) Close() error {
	h.Cut()
	if !h.owned {
		return nil
	}
	return h.engine.Close()
}
