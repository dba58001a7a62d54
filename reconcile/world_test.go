package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/store/mem"
)

// start is where every virtual clock begins.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a virtual clock, safe for concurrent use.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// checkout is one checkout at the scripted provider.
type checkout struct {
	id, payment string
	n           int
	created     time.Time
	amount      payment.Money
	paid        time.Time // zero: not paid
	refunds     []payment.Refund
	disputes    []payment.Dispute
	reversals   []payment.Reversal
}

// fake is a provider account that plays a script: what it lists and what reading
// shows are set separately, so that they can disagree.
type fake struct {
	name  string
	clock *clock
	lists []string

	mu        sync.Mutex
	checkouts map[string]*checkout
	rows      map[string][]providers.SweepItem
	traces    map[string]providers.Hint
	poison    map[string]error // by root: reading fails
	panics    map[string]bool  // by root: reading panics
	fetched   map[string]int   // by root
	swept     int
	traced    int
	trusted   time.Time // zero: everything
	lagging   string    // the list that trusted is about; empty: all
	narrow    bool      // reading shows no disputes
	beside    error     // reading says so too
	pageSize  int
	listErr   map[string]error
	onSweep   func()
	onFetch   func(root string)
	onTrace   func()
	windows   []string // of each first page: "list from to"
}

func newFake(name string, c *clock, lists ...string) *fake {
	return &fake{
		name: name, clock: c, lists: lists, checkouts: map[string]*checkout{}, rows: map[string][]providers.SweepItem{},
		traces: map[string]providers.Hint{}, poison: map[string]error{}, panics: map[string]bool{}, fetched: map[string]int{},
		listErr: map[string]error{}, pageSize: 100,
	}
}

func (f *fake) Info() providers.Info {
	return providers.Info{
		Provider: "fake", Account: f.name, Mode: payment.ModeTest,
		KeyLife:      func(payment.OpKind) time.Duration { return 24 * time.Hour },
		SyncSchedule: []time.Duration{2 * time.Minute, 10 * time.Minute, time.Hour},
		Supports:     func(payment.Money) error { return nil }, MaxCheckout: 24 * time.Hour,
	}
}

func (f *fake) key(id string) payment.ObjectKey {
	return payment.ObjectKey{Provider: "fake", Account: f.name, ID: id}
}

// observe is what reading a checkout shows.
func (f *fake) observe(c *checkout) payment.Observation {
	now := f.clock.now()
	at := payment.AttemptFact{
		Key: f.key(c.id), N: c.n, Kind: "checkout", State: payment.AttemptOpen, Total: c.amount, URL: "https://pay.example/" + c.id,
		Stamp: payment.Stamp{Created: c.created, AsOf: now},
	}
	obs := payment.Observation{Provider: "fake", Account: f.name, N: c.n, Complete: true, AsOf: now}
	if !c.paid.IsZero() {
		at.State = payment.AttemptComplete
		obs.Facts.Captures = []payment.Capture{{
			Key: f.key("cap_" + c.id), N: c.n, Amount: c.amount, State: payment.CaptureCompleted, Stamp: payment.Stamp{Created: c.paid, AsOf: now},
		}}
		obs.Facts.Fees = []payment.Fee{{Key: f.key("fee_" + c.id), Object: "cap_" + c.id, Fee: payment.Money{Minor: 30, Currency: c.amount.Currency}}}
	}
	obs.Facts.Attempts = []payment.AttemptFact{at}
	obs.Facts.Refunds, obs.Facts.Disputes, obs.Facts.Reversals = c.refunds, c.disputes, c.reversals
	if f.narrow || f.beside != nil {
		obs.Narrow, obs.Facts.Disputes = true, nil
	}
	return obs
}

func (f *fake) CreateCheckout(_ context.Context, req providers.CheckoutRequest, _ string) (providers.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := "co_" + req.AttemptID()
	c, ok := f.checkouts[id]
	if !ok {
		c = &checkout{id: id, payment: req.PaymentID, n: req.N, created: f.clock.now(), amount: req.Amount}
		f.checkouts[id] = c
	}
	return providers.Result{Ref: id, Observation: f.observe(c)}, nil
}

func (f *fake) Fetch(_ context.Context, a providers.Attempt) (payment.Observation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fetched[a.Root.ID]++
	if f.onFetch != nil {
		f.onFetch(a.Root.ID)
	}
	if f.panics[a.Root.ID] {
		panic("an object nobody expected")
	}
	if err := f.poison[a.Root.ID]; err != nil {
		return payment.Observation{}, err
	}
	c, ok := f.checkouts[a.Root.ID]
	if !ok {
		return payment.Observation{}, &providers.Error{Class: providers.NotFound, Provider: "fake", Op: "fetch"}
	}
	return f.observe(c), f.beside
}

var errUnused = &providers.Error{Class: providers.Refused, Provider: "fake", Op: "unused"}

func (f *fake) CloseCheckout(ctx context.Context, a providers.Attempt, _ string) (providers.Result, error) {
	obs, err := f.Fetch(ctx, a)
	return providers.Result{Ref: a.Root.ID, Observation: obs}, err
}

func (f *fake) Capture(context.Context, providers.CaptureRequest, string) (providers.Result, error) {
	return providers.Result{}, errUnused
}

func (f *fake) Void(context.Context, providers.CaptureRequest, string) (providers.Result, error) {
	return providers.Result{}, errUnused
}

func (f *fake) Refund(context.Context, providers.RefundRequest, string) (providers.Result, error) {
	return providers.Result{}, errUnused
}

func (f *fake) Trace(_ context.Context, o providers.Ref) (providers.Hint, error) {
	if f.onTrace != nil {
		f.onTrace()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.traced++
	if h, ok := f.traces[o.ID]; ok {
		return h, nil
	}
	return providers.Hint{}, &providers.Error{Class: providers.NotFound, Provider: "fake", Op: "trace"}
}

func (f *fake) Lists() []string { return f.lists }

// Sweep gives the rows created or changed in [from, to), oldest first, a page at a time.
func (f *fake) Sweep(_ context.Context, list string, from, to time.Time, cursor string) (providers.SweepPage, error) {
	if f.onSweep != nil {
		f.onSweep()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.swept++
	if cursor == "" {
		f.windows = append(f.windows, fmt.Sprintf("%s %s %s", list, from.Format(time.RFC3339), to.Format(time.RFC3339)))
	}
	if err := f.listErr[list]; err != nil {
		return providers.SweepPage{}, err
	}
	skip, _ := strconv.Atoi(cursor)
	page := providers.SweepPage{TrustedTo: to}
	if !f.trusted.IsZero() && f.trusted.Before(to) && (f.lagging == "" || f.lagging == list) {
		page.TrustedTo = f.trusted
	}
	n := 0
	for _, row := range f.rows[list] {
		listed := row.Created
		if row.Changed.After(listed) {
			listed = row.Changed
		}
		if listed.Before(from) || !listed.Before(to) {
			continue
		}
		if n++; n <= skip {
			continue
		}
		if len(page.Items) == f.pageSize {
			page.Next = strconv.Itoa(skip + f.pageSize)
			break
		}
		page.Items = append(page.Items, row)
	}
	return page, nil
}

// list puts a row into a list.
func (f *fake) list(name string, items ...providers.SweepItem) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows[name] = append(f.rows[name], items...)
}

func (f *fake) fetches() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, v := range f.fetched {
		n += v
	}
	return n
}

// pay pays a checkout at the provider; nobody is told.
func (f *fake) pay(root string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paid(root)
}

// paid is pay for who holds the lock.
func (f *fake) paid(root string) { f.checkouts[root].paid = f.clock.now() }

// refund refunds a checkout in the provider's dashboard and lists the movement.
func (f *fake) refund(list, root string, minor int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.checkouts[root]
	id := fmt.Sprintf("re_%s_%d", root, len(c.refunds))
	now := f.clock.now()
	c.refunds = append(c.refunds, payment.Refund{
		Key: f.key(id), Capture: "cap_" + root, Amount: payment.Money{Minor: minor, Currency: c.amount.Currency},
		State: payment.RefundSucceeded, Stamp: payment.Stamp{Created: now, AsOf: now},
	})
	f.rows[list] = append(f.rows[list], providers.SweepItem{
		Object: providers.Ref{Kind: "refund", ID: id}, Hint: providers.Hint{Refs: []string{"cap_" + root}},
		Amount: payment.Money{Minor: -minor, Currency: c.amount.Currency}, Created: now, Paid: true,
	})
}

// lab is a gateway over a store in memory, and the jobs.
type lab struct {
	t        *testing.T
	clock    *clock
	engine   store.Engine
	service  *gateway.Service
	payments *store.Payments
	alerts   *store.Alerts
	runs     *store.Runs
	orphans  *store.Orphans
	differ   *store.Discrepancies
	registry *providers.Registry
	rec      *reconcile.Reconciler
	ids      int
	mu       sync.Mutex
}

// options change what a lab is built from.
type options struct {
	wrap   func(store.Engine) store.Engine
	change func(*reconcile.Options)
}

func newLab(t *testing.T, c *clock, o options, adapters ...providers.Provider) *lab {
	t.Helper()
	engine, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, clock: c}
	l.engine = faults.Wrap(engine, faults.Options{Points: store.WritePoints()}) // also proves that every write is named
	if o.wrap != nil {
		l.engine = o.wrap(engine)
	}
	l.payments, l.alerts, l.runs = store.NewPayments(l.engine), store.NewAlerts(l.engine), store.NewRuns(l.engine)
	l.orphans, l.differ = store.NewOrphans(l.engine), store.NewDiscrepancies(l.engine)
	var guarded []*providers.Account
	for _, a := range adapters {
		guarded = append(guarded, providers.Guard(a, providers.GuardOptions{Clock: c.now, Unlimited: true}))
	}
	if l.registry, err = providers.NewRegistry(guarded...); err != nil {
		t.Fatal(err)
	}
	l.service, err = gateway.New(gateway.Options{
		Payments: l.payments, Keys: store.NewKeys(l.engine), Notify: l.alerts, Providers: l.registry, Clock: c.now, Token: l.id,
		Apps:      []gateway.App{{Name: "shop", Mode: payment.ModeTest, ReturnOrigins: []string{"https://shop.example"}}},
		PublicURL: "https://pay.example.com", BrandName: "Shop",
		Render: func(*payment.Payment, payment.Event) ([]byte, error) { return []byte("{}"), nil },
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	l.rec = l.replica(o.change)
	return l
}

func (l *lab) id() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids++
	return fmt.Sprintf("id%027d", l.ids)
}

// replica is another process over the same store.
func (l *lab) replica(change func(*reconcile.Options)) *reconcile.Reconciler {
	l.t.Helper()
	o := reconcile.Options{
		Payments: l.payments, Applier: l.service, Accounts: l.registry.Accounts(), Leases: store.NewLeases(l.engine),
		Cursors: store.NewSweepCursors(l.engine), Runs: l.runs, Discrepancies: l.differ, Orphans: l.orphans, Alerts: l.alerts,
		Clock: l.clock.now, NewID: l.id, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if change != nil {
		change(&o)
	}
	r, err := reconcile.New(o)
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

// create makes a payment at an account; its checkout is open afterwards.
func (l *lab) create(account string, amount int64) *payment.Payment {
	l.t.Helper()
	key := l.id()
	a, err := l.service.Create(l.t.Context(), gateway.Request{
		Caller: gateway.Caller{App: "shop", Mode: payment.ModeTest, KeyID: "key"}, Path: "/v1/payments", Key: key, Fingerprint: key,
	}, gateway.CreateInput{Amount: amount, Currency: "usd", Account: account, Provider: l.provider(account), ReturnURL: "https://shop.example/done"})
	if err != nil {
		l.t.Fatal(err)
	}
	if a.Payment.Status() != payment.StatusRequiresAction {
		l.t.Fatalf("a new payment is %s", a.Payment.Status())
	}
	return a.Payment
}

func (l *lab) provider(account string) string {
	a, ok := l.registry.Account(account)
	if !ok {
		l.t.Fatalf("no account %s", account)
	}
	return a.Info().Provider
}

func (l *lab) get(id string) *payment.Payment {
	l.t.Helper()
	p, err := l.payments.Get(l.t.Context(), id)
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// root is the id of a payment's first checkout at the provider.
func root(p *payment.Payment) string {
	fact, _ := p.Facts.AttemptFact(1)
	return fact.Key.ID
}

// step calls one job by name.
func step(t *testing.T, r *reconcile.Reconciler, name string) (did int, err error) {
	t.Helper()
	for _, s := range r.Steps() {
		if s.Name == name {
			did, _, err = s.Step(t.Context())
			return did, err
		}
	}
	t.Fatalf("no step %q", name)
	return 0, nil
}

// must calls one job that has to work.
func must(t *testing.T, r *reconcile.Reconciler, name string) int {
	t.Helper()
	did, err := step(t, r, name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return did
}

// history lists the runs of a job, newest first.
func (l *lab) history(job reconcile.Job) []reconcile.Run {
	l.t.Helper()
	runs, _, err := l.runs.List(l.t.Context(), store.RunFilter{Job: job, Limit: 100})
	if err != nil {
		l.t.Fatal(err)
	}
	return runs
}

// told lists all alerts of a kind.
func (l *lab) told(kind string) []gateway.AlertRecord {
	l.t.Helper()
	all, _, err := l.alerts.List(l.t.Context(), store.AlertFilter{Limit: 100})
	if err != nil {
		l.t.Fatal(err)
	}
	var out []gateway.AlertRecord
	for _, a := range all {
		if a.Kind == kind {
			out = append(out, a)
		}
	}
	return out
}

var errDown = errors.New("down")

// unavailable is an unclear answer of a provider.
func unavailable(op string) error {
	return &providers.Error{Class: providers.Unknown, Provider: "fake", Op: op, Status: 500, Cause: errDown}
}

func contains(errs []string, part string) bool {
	return strings.Contains(strings.Join(errs, "\n"), part)
}
