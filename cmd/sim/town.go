package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/httpapi"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/paypal"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/providers/sandbox/paypalapi"
	"github.com/trifecta-pay/trifecta/providers/sandbox/stripeapi"
	"github.com/trifecta-pay/trifecta/providers/stripe"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/store/mem"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// Names and addresses of the simulated world. Nothing listens there: every
// transport is in memory.
const (
	publicURL  = "http://127.0.0.1:18080"
	stripeURL  = "http://127.0.0.1:12110"
	paypalURL  = "http://127.0.0.1:12120"
	paypalHost = "127.0.0.1:12120"
	stripeName = "stripe-sim"
	paypalName = "paypal-sim"
	stripeHook = "whsec_0123456789abcdef0123456789abcdef"
	paypalHook = "WH-SIM0123456789"
	returnURL  = "https://shop.example.com/thanks"
)

// appNames are the apps that there may be.
func appNames() []string { return []string{"shop", "school", "zoo"} }

// began is when every run begins.
func began() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// wiring is where a test plants a bug between the rooms. The zero value is the
// product as it is.
type wiring struct {
	transport func(http.RoundTripper) http.RoundTripper
	provider  func(providers.Provider) providers.Provider
	receiver  func(http.Handler) http.Handler
	engine    func(store.Engine) store.Engine
	inbox     func(*inbox.Options)
	service   func(*gateway.Options)
	reconcile func(*reconcile.Options)
}

// town is both sides: the providers' sandbox, one store, and the processes of
// ours over it.
type town struct {
	*loop
	plan   plan
	wiring wiring
	world  *sandbox.World
	stripe http.Handler
	paypal http.Handler
	roots  *x509.CertPool
	engine *mem.Engine
	insts  []*instance
	healed bool
	depth  int    // of what happens inside a call or write
	inside string // the call or write in which it happens
	log    *slog.Logger

	apps   []string
	shop   *shop
	check  *checker
	script *script // plays a scene instead of the people; nil: the people
	failed []string
}

// instance is one process of ours.
type instance struct {
	t       *town
	id      int
	gen     int // counts starts
	dead    bool
	skew    time.Duration // of its clock
	service *gateway.Service
	inbox   *inbox.Inbox
	handler http.Handler
	workers []*worker
}

// worker is a step function with its own pace: soon after there was something to
// do, ever later while there is not. Most steps of a run find nothing, so the pace
// decides what a seed costs: it slackens fast, and what looks after days looks hourly.
type worker struct {
	name     string
	step     func(context.Context) (int, time.Time, error)
	least    time.Duration
	pause    time.Duration
	schedule int // counts plans, so that a newer one replaces an older one
}

func newTown(l *loop, p plan, w wiring, chain *paypalapi.Chain, logs io.Writer) (*town, error) {
	t := &town{loop: l, plan: p, apps: appNames()[:p.apps], wiring: w, log: slog.New(slog.DiscardHandler)}
	if logs != nil {
		t.log = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.String("at", l.now.Format("02 15:04:05.000"))
			}
			return a
		}}))
	}
	t.world = sandbox.NewWorld(sandbox.Options{
		Wall: l.clock, Seed: l.random.Uint64(), Client: &http.Client{Transport: post{t}}, Wait: func(context.Context, time.Duration) {},
	})
	t.stripe = stripeapi.New(t.world, stripeapi.Options{BaseURL: stripeURL, Compact: true, Settlement: p.pays})
	var err error
	t.paypal, err = paypalapi.New(t.world, paypalapi.Options{BaseURL: paypalURL, Chain: chain, Wait: func(context.Context, time.Duration) {}})
	if err != nil {
		return nil, err
	}
	t.roots = x509.NewCertPool()
	if !t.roots.AppendCertsFromPEM(chain.RootPEM()) {
		return nil, errors.New("the sandbox's root is no certificate")
	}
	if t.engine, err = mem.New(store.Collections()); err != nil {
		return nil, err
	}
	t.world.AddEndpoint(sandbox.Endpoint{API: "stripe", URL: publicURL + "/webhooks/stripe/" + stripeName, Secret: stripeHook})
	t.world.AddEndpoint(sandbox.Endpoint{API: "paypal", URL: publicURL + "/webhooks/paypal/" + paypalName, WebhookID: paypalHook})
	for i := range p.instances {
		inst := &instance{t: t, id: i}
		t.insts = append(t.insts, inst)
		if err := inst.boot(); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// clock is what this process takes for the time.
func (i *instance) clock() time.Time { return i.t.now.Add(i.skew) }

// boot starts a process: everything it remembered is gone, the store is as it is.
func (i *instance) boot() error {
	t := i.t
	i.gen++
	i.dead, i.skew = false, t.plan.skewOf(i.id)
	if t.healed {
		i.skew = 0
	}
	gen := i.gen
	var e store.Engine = faults.Wrap(t.engine, faults.Options{
		Write:  func(p store.WritePoint, when faults.When) error { return i.onWrite(gen, p, when) },
		Read:   func(string) error { return i.onRead(gen) },
		Points: store.WritePoints(),
	})
	if t.wiring.engine != nil {
		e = t.wiring.engine(e)
	}
	registry, err := i.accounts()
	if err != nil {
		return err
	}
	payments, alerts, orphans := store.NewPayments(e), store.NewAlerts(e), store.NewOrphans(e)
	opts := gateway.Options{
		Payments: payments, Keys: store.NewKeys(e), Notify: alerts, Providers: registry, Disputes: store.NewDisputes(e),
		Risk:  &gateway.RiskOptions{Store: store.NewRisk(e), Policy: func(string, payment.Mode) risk.Policy { return risk.Default() }},
		Clock: i.clock, Token: t.token, PublicURL: publicURL, BrandName: "Shop", Render: httpapi.NewRenderer(publicURL),
		ReturnLayer: t.plan.mode != modeWebhook, Logger: t.log,
	}
	for _, name := range t.apps {
		opts.Apps = append(opts.Apps, gateway.App{Name: name, Mode: payment.ModeTest, ReturnOrigins: []string{"https://shop.example.com"}})
	}
	if t.wiring.service != nil {
		t.wiring.service(&opts)
	}
	if i.service, err = gateway.New(opts); err != nil {
		return err
	}
	if err := i.receiver(e, registry, payments, alerts, orphans); err != nil {
		return err
	}
	feed := store.NewFeed(e)
	relay, err := outbox.NewRelay(outbox.RelayOptions{Payments: payments, Marker: i.service, Pages: feed, Clock: i.clock})
	if err != nil {
		return err
	}
	i.workers = []*worker{
		{name: "operations", step: i.service.Operations(0).Step, least: time.Second},
		{name: "inbox", step: i.inbox.Step, least: time.Second},
		{name: "feed", step: relay.Step, least: time.Second},
		{name: "risk", step: i.service.Risk().Step, least: 5 * time.Second},
		{name: "disputes", step: i.service.DisputeDesk(0).Step, least: 5 * time.Second},
	}
	if err := i.dispatcher(alerts); err != nil {
		return err
	}
	if t.plan.mode != modeWebhook {
		if err := i.reconciler(e, registry, payments, alerts, orphans); err != nil {
			return err
		}
	}
	for _, w := range i.workers {
		w.pause = w.least
		i.wake(w, within(t.chance, 0, w.least))
	}
	return nil
}

func (i *instance) receiver(e store.Engine, registry *providers.Registry, payments *store.Payments, alerts *store.Alerts, orphans *store.Orphans) error {
	t := i.t
	in := inbox.Options{
		Accounts: registry, Store: store.NewInbox(e), Applier: i.service, Finder: payments, Notify: alerts, Orphans: orphans, Disputes: i.service,
		Clock: i.clock, Owner: t.token(), Logger: t.log, APIVersions: map[string]string{"stripe": stripe.APIVersion},
	}
	in.Metrics.Processed = func(_, result string, _ time.Duration) { t.count("inbox_" + result) }
	if t.wiring.inbox != nil {
		t.wiring.inbox(&in)
	}
	var err error
	if i.inbox, err = inbox.New(in); err != nil {
		return err
	}
	i.handler = i.inbox
	if t.wiring.receiver != nil {
		i.handler = t.wiring.receiver(i.inbox)
	}
	return nil
}

func (i *instance) reconciler(e store.Engine, registry *providers.Registry, payments *store.Payments, alerts *store.Alerts, orphans *store.Orphans) error {
	t := i.t
	every := t.plan.sweep
	if t.healed {
		every = 4 * time.Hour
	}
	opts := reconcile.Options{
		Payments: payments, Applier: i.service, Accounts: registry.Accounts(), Leases: store.NewLeases(e), Cursors: store.NewSweepCursors(e),
		Runs: store.NewRuns(e), Discrepancies: store.NewDiscrepancies(e), Orphans: orphans, Disputes: i.service, Alerts: alerts, Clock: i.clock,
		NewID: t.token, Logger: t.log, SweepEvery: every,
	}
	if t.wiring.reconcile != nil {
		t.wiring.reconcile(&opts)
	}
	r, err := reconcile.New(opts)
	if err != nil {
		return err
	}
	for _, s := range r.Steps() {
		least := s.Every
		if s.Name == "reconcile/janitor" {
			least = time.Hour // what it cleans is six hours old at least
		}
		i.workers = append(i.workers, &worker{name: s.Name, step: s.Step, least: least})
	}
	return nil
}

// accounts makes the adapters over transports in memory.
func (i *instance) accounts() (*providers.Registry, error) {
	t := i.t
	stripeHooks, paypalHooks := t.hooks()
	client := func(name string, h http.Handler) *http.Client {
		var rt http.RoundTripper = wire{i: i, gen: i.gen, provider: name, handler: h}
		if t.wiring.transport != nil {
			rt = t.wiring.transport(rt)
		}
		return &http.Client{Transport: rt}
	}
	s, err := stripe.New(stripe.Options{
		Account: stripeName, Mode: payment.ModeTest, SecretKey: "sk_test_simulated", APIBase: stripeURL,
		HTTPClient: client("stripe", t.stripe), WebhookSecrets: stripeHooks,
	})
	if err != nil {
		return nil, err
	}
	p, err := paypal.New(paypal.Options{
		Account: paypalName, Mode: payment.ModeTest, ClientID: "sim", ClientSecret: "simulated", APIBase: paypalURL,
		HTTPClient: client("paypal", t.paypal), WebhookIDs: paypalHooks, WebhookRootCA: t.roots,
		WebhookCertHosts: []string{paypalHost}, Now: i.clock, BrandName: "Shop", Inline: true,
	})
	if err != nil {
		return nil, err
	}
	var guarded []*providers.Account
	for _, a := range []providers.Provider{s, p} {
		if t.wiring.provider != nil {
			a = t.wiring.provider(a)
		}
		// The time limits are of real time, in which nothing here takes long.
		guarded = append(guarded, providers.Guard(a, providers.GuardOptions{Unlimited: true, ReadTimeout: time.Hour, WriteTimeout: time.Hour}))
	}
	return providers.NewRegistry(guarded...)
}

// wake plans a worker's next step, instead of any planned before.
func (i *instance) wake(w *worker, after time.Duration) {
	w.schedule++
	gen, schedule := i.gen, w.schedule
	i.t.loop.plan(after, w.name, func() {
		if i.gen == gen && w.schedule == schedule && !i.dead {
			i.run(w)
		}
	})
}

// idle is the longest a worker sleeps: coarser than in the product, to be fast.
func (t *town) idle() time.Duration {
	if t.healed {
		return time.Hour
	}
	return 15 * time.Minute
}

// run makes one step of a worker and plans the next.
func (i *instance) run(w *worker) {
	var did int
	var next time.Time
	var err error
	if !i.t.alive(i, func() { did, next, err = w.step(context.Background()) }) {
		return
	}
	if did > 0 || err != nil {
		i.t.trace("%d %s did %d err %v", i.id, w.name, did, err != nil)
	}
	w.pause = min(w.pause*4, max(i.t.idle(), w.least))
	if did > 0 {
		w.pause = w.least
		i.stir()
	}
	i.wake(w, max(w.pause, min(next.Sub(i.clock()), 12*time.Hour)))
}

// stir lets the workers look sooner: something happened.
func (i *instance) stir() {
	for _, w := range i.workers[:3] {
		if w.pause > 4*w.least {
			w.pause = w.least
			i.wake(w, within(i.t.chance, 0, 2*w.least))
		}
	}
}

// crash is the panic by which a process dies at a write.
type crash struct{ i *instance }

// alive runs what a process does. Should it die in it, everything it knew is
// gone, and it is started again after a while. It says whether it survived.
func (t *town) alive(i *instance, fn func()) (survived bool) {
	gen := i.gen
	defer func() {
		if v := recover(); v != nil {
			if c, ok := v.(crash); !ok || c.i != i {
				panic(v)
			}
			survived = false
		}
	}()
	fn()
	return !i.gone(gen)
}

// gone says that the run of this process that is number gen is over: what is left
// of it on the stack must not touch anything any more.
func (i *instance) gone(gen int) bool { return i.dead || i.gen != gen }

// die ends a process now, and plans its return.
func (i *instance) die(where string) {
	if !i.dead {
		i.dead = true
		i.t.count("crash")
		i.t.trace("%d crashes %s", i.id, where)
		i.t.loop.plan(within(i.t.chance, time.Second, time.Minute), "restart", func() { i.restart() })
	}
	panic(crash{i})
}

func (i *instance) restart() {
	if !i.dead {
		return
	}
	if err := i.boot(); err != nil {
		i.t.fail("boot: %v", err)
	}
}

// some is a living process, nil if none is.
func (t *town) some() *instance {
	first := t.chance.IntN(len(t.insts))
	for n := range t.insts {
		if i := t.insts[(first+n)%len(t.insts)]; !i.dead {
			return i
		}
	}
	return nil
}

func (t *town) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.trace("VIOLATION %s", text)
	if len(t.failed) < 20 {
		t.failed = append(t.failed, text)
	}
}
