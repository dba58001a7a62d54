package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/store/mem"
)

// begin is when every test's world starts.
var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a gateway over memory and two fake providers, with a clock of its own.
type world struct {
	noStripe       bool // the configuration lacks the account
	t              testing.TB
	stripe, paypal *fakeProvider
	payments       *store.Payments
	alerts         *store.Alerts
	svc            *gateway.Service
	ops            *gateway.Operations
	inner          store.Engine
	rules          *store.Risk // where opts.Risk is set
	rulesThrough   func(gateway.RiskStore) gateway.RiskStore
	opts           gateway.Options

	mu     sync.Mutex
	at     time.Time
	tokens int
	hook   func(p store.WritePoint, when faults.When) error
	writes []store.WritePoint
}

func newWorld(t testing.TB, edit func(*gateway.Options)) *world {
	t.Helper()
	w := &world{t: t, at: begin}
	w.stripe, w.paypal = newFake("stripe", w.now), newFake("paypal", w.now)
	var err error
	if w.inner, err = mem.New(store.Collections()); err != nil {
		t.Fatal(err)
	}
	w.opts = gateway.Options{
		Apps: []gateway.App{
			{Name: "shop", Mode: payment.ModeTest, ReturnOrigins: []string{"https://shop.test"}},
			{Name: "other", Mode: payment.ModeTest, ReturnOrigins: []string{"https://other.test"}},
		},
		Clock: w.now, Token: w.token, PublicURL: "https://pay.test", Render: render, ReturnLayer: true,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if edit != nil {
		edit(&w.opts)
	}
	w.restart()
	t.Cleanup(func() {
		for _, f := range []*fakeProvider{w.stripe, w.paypal} {
			for _, b := range f.broken {
				t.Errorf("%s: %s", f.name, b)
			}
		}
	})
	return w
}

// restart is a new process over the same store and providers.
func (w *world) restart() {
	w.t.Helper()
	engine := faults.Wrap(w.inner, faults.Options{Points: store.WritePoints(), Write: w.around})
	w.payments, w.alerts = store.NewPayments(engine), store.NewAlerts(engine)
	accounts := []*providers.Account{providers.Guard(fakePayPal{w.paypal}, providers.GuardOptions{Unlimited: true})}
	if !w.noStripe {
		accounts = append([]*providers.Account{providers.Guard(fakeStripe{w.stripe}, providers.GuardOptions{Unlimited: true})}, accounts...)
	}
	registry, err := providers.NewRegistry(accounts...)
	if err != nil {
		w.t.Fatal(err)
	}
	o := w.opts
	o.Payments, o.Providers, o.Keys, o.Disputes = w.payments, registry, store.NewKeys(engine), store.NewDisputes(engine)
	if o.Notify == nil {
		o.Notify = w.alerts
	}
	if o.Risk != nil {
		w.rules = store.NewRisk(engine)
		o.Risk = &gateway.RiskOptions{Store: w.rules, Policy: o.Risk.Policy}
		if w.rulesThrough != nil {
			o.Risk.Store = w.rulesThrough(w.rules)
		}
	}
	if w.svc, err = gateway.New(o); err != nil {
		w.t.Fatal(err)
	}
	w.ops = w.svc.Operations(0)
}

func (w *world) around(p store.WritePoint, when faults.When) error {
	w.mu.Lock()
	hook := w.hook
	if when == faults.Before {
		w.writes = append(w.writes, p)
	}
	w.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(p, when)
}

// written says which writes happened since the last call.
func (w *world) written() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, p := range w.writes {
		out = append(out, string(p))
	}
	w.writes = nil
	return strings.Join(out, " ")
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

func (w *world) token() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens++
	return fmt.Sprintf("t%031d", w.tokens)
}

// render is a small body that shows what the payment was at that moment.
func render(p *payment.Payment, e payment.Event) ([]byte, error) {
	return json.Marshal(map[string]any{"id": e.Object, "type": e.Type, "status": p.Status(), "captured": p.Amounts().Captured, "version": p.Version})
}

var (
	shop     = gateway.Caller{App: "shop", Mode: payment.ModeTest, KeyID: "tk_test_shop", Scopes: gateway.AllScopes()}
	other    = gateway.Caller{App: "other", Mode: payment.ModeTest, KeyID: "tk_test_other", Scopes: gateway.AllScopes()}
	operator = gateway.Caller{KeyID: "tk_op_ann", Operator: true}
)

// request is a POST of the shop's.
func request(path, key string, body any) gateway.Request {
	fp, err := gateway.Fingerprint(body)
	if err != nil {
		panic(err)
	}
	return gateway.Request{Caller: shop, Path: path, Key: key, Fingerprint: fp}
}

func input(provider string) gateway.CreateInput {
	return gateway.CreateInput{Amount: 1000, Currency: "usd", Provider: provider, ReturnURL: "https://shop.test/done?order=7", Reference: "order-7"}
}

func manualInput(provider string) gateway.CreateInput {
	in := input(provider)
	in.Capture = "manual"
	return in
}

func (w *world) create(key string, in gateway.CreateInput) (gateway.Answer, error) {
	return w.svc.Create(context.Background(), request("/v1/payments", key, in), in)
}

func (w *world) mustCreate(key string, in gateway.CreateInput) *payment.Payment {
	w.t.Helper()
	a, err := w.create(key, in)
	if err != nil {
		w.t.Fatalf("create: %v", err)
	}
	return a.Payment
}

func (w *world) refund(id, key string, amount int64) (gateway.Answer, error) {
	return w.svc.Refund(context.Background(), request("/v1/payments/"+id+"/refunds", key, amount), id, amount, "")
}

func (w *world) capture(id, key string, amount int64, final bool) (gateway.Answer, error) {
	return w.svc.Capture(context.Background(), request("/v1/payments/"+id+"/capture", key, []any{amount, final}), id, amount, final)
}

func (w *world) cancel(id, key string) (gateway.Answer, error) {
	return w.svc.Cancel(context.Background(), request("/v1/payments/"+id+"/cancel", key, nil), id)
}

func (w *world) decide(id, key, action string, captures ...string) (gateway.Answer, error) {
	r := request("/v1/payments/"+id+"/resolve", key, []any{action, captures})
	r.Caller = operator
	return w.svc.Resolve(context.Background(), r, id, action, captures, "looked at it")
}

func (w *world) resolve(id, key, action string, captures ...string) (*payment.Payment, error) {
	a, err := w.decide(id, key, action, captures...)
	return a.Payment, err
}

// comeBack is the customer's browser returning from attempt n.
func (w *world) comeBack(id string, n int) string {
	w.t.Helper()
	redirect, _, err := w.svc.Returned(context.Background(), id, w.get(id).Token, "success", n)
	if err != nil {
		w.t.Fatalf("return: %v", err)
	}
	return redirect
}

func (w *world) choose(id, provider string) (string, error) {
	url, _, err := w.svc.Choose(context.Background(), id, w.get(id).Token, provider)
	return url, err
}

func (w *world) get(id string) *payment.Payment {
	w.t.Helper()
	p, err := w.payments.Get(context.Background(), id)
	if err != nil {
		w.t.Fatalf("get %s: %v", id, err)
	}
	return p
}

func (w *world) step() {
	w.t.Helper()
	if _, _, err := w.ops.Step(context.Background()); err != nil {
		w.t.Fatalf("step: %v", err)
	}
}

// quiet runs the worker, moving the clock to whatever is due next, until the
// payment waits for nobody but its customer or its deadline.
func (w *world) quiet(id string) *payment.Payment {
	w.t.Helper()
	for range 400 {
		w.step()
		p := w.get(id)
		at := p.WorkAt()
		if at.IsZero() || p.Unfinished(0) == nil && len(p.Alerts) == 0 && at.After(w.now()) {
			return p
		}
		if wait := at.Sub(w.now()); wait > 0 {
			w.pass(wait)
		}
	}
	w.t.Fatalf("never quiet: %s", told(w.get(id)))
	return nil
}

// observe is a webhook: the attempt is read and applied, and what is due runs.
func (w *world) observe(id string, n int) *payment.Payment {
	w.t.Helper()
	src := payment.Source{Layer: payment.LayerWebhook, Actor: payment.Actor{Type: "webhook", ID: "evt_1"}}
	if _, err := w.svc.Refresh(context.Background(), id, n, src); err != nil {
		w.t.Fatalf("refresh: %v", err)
	}
	p, err := w.svc.RunDue(context.Background(), id, src)
	if err != nil {
		w.t.Fatalf("run due: %v", err)
	}
	return p
}

// paid is a payment of 1000 that was paid at a provider and seen by return.
func (w *world) paid(provider string) *payment.Payment {
	w.t.Helper()
	p := w.mustCreate("paid", input(provider))
	w.fake(provider).pay(p.ID, 1)
	w.comeBack(p.ID, 1)
	w.wantStatus(p.ID, payment.StatusSucceeded)
	return w.get(p.ID)
}

// authorized is a payment of 1000 whose money is held.
func (w *world) authorized(provider string) *payment.Payment {
	w.t.Helper()
	p := w.mustCreate("authorized", manualInput(provider))
	w.fake(provider).pay(p.ID, 1)
	w.comeBack(p.ID, 1)
	w.wantStatus(p.ID, payment.StatusAuthorized)
	return w.get(p.ID)
}

func (w *world) fake(provider string) *fakeProvider {
	if provider == "stripe" {
		return w.stripe
	}
	return w.paypal
}

func (w *world) wantStatus(id string, want payment.Status) {
	w.t.Helper()
	if p := w.get(id); p.Status() != want {
		w.t.Fatalf("status %s, want %s; operations %s, decisions %+v", p.Status(), want, told(p), p.Facts.Decisions)
	}
}

// wantBooks compares the provider's movements with our record, object by object.
func (w *world) wantBooks(id string) {
	w.t.Helper()
	p := w.get(id)
	ours, back := map[string]int64{}, map[string]int64{}
	for _, c := range p.Facts.Captures {
		ours[c.Key.ID] = c.Amount.Minor
	}
	for _, r := range p.Facts.Refunds {
		back[r.Key.ID] = r.Amount.Minor
	}
	captures, refunds := w.stripe.books(id)
	more, moreRefunds := w.paypal.books(id)
	maps.Copy(captures, more)
	maps.Copy(refunds, moreRefunds)
	if d := cmp.Diff(captures, ours); d != "" {
		w.t.Errorf("captures (-provider +ours):\n%s", d)
	}
	if d := cmp.Diff(refunds, back); d != "" {
		w.t.Errorf("refunds (-provider +ours):\n%s", d)
	}
}

func (w *world) wantCaptured(id string, want int64) {
	w.t.Helper()
	var sum int64
	for _, f := range []*fakeProvider{w.stripe, w.paypal} {
		captures, _ := f.books(id)
		for _, amount := range captures {
			sum += amount
		}
	}
	if sum != want || w.get(id).Amounts().Captured != want {
		w.t.Errorf("captured %d at the providers, %d in the record, want %d", sum, w.get(id).Amounts().Captured, want)
	}
}

// refundedSum is what the providers gave back.
func (w *world) refundedSum(id string) int64 {
	var sum int64
	for _, f := range []*fakeProvider{w.stripe, w.paypal} {
		_, refunds := f.books(id)
		for _, amount := range refunds {
			sum += amount
		}
	}
	return sum
}

func wantCode(t testing.TB, err error, want payment.Code) {
	t.Helper()
	if err == nil || payment.CodeOf(err) != want {
		t.Fatalf("error %v, want %s", err, want)
	}
}

// wantAlerts compares the kinds of the stored alerts about a payment.
func (w *world) wantAlerts(id string, want ...string) []gateway.AlertRecord {
	w.t.Helper()
	list, _, err := w.alerts.List(context.Background(), store.AlertFilter{Payment: id, Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	var got []string
	for _, a := range list {
		got = append(got, a.Kind)
	}
	if d := cmp.Diff(sorted(want), sorted(got)); d != "" {
		w.t.Errorf("alerts (-want +got):\n%s", d)
	}
	return list
}

func sorted(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return out
}

// told is what a payment's operations came to, in short.
func told(p *payment.Payment) string {
	var out []string
	for _, op := range p.Operations {
		out = append(out, fmt.Sprintf("%s(n=%d %s %s by %s, %s, tries %d, code %s %s)",
			op.Kind, op.N, op.Target, op.Amount, op.By.Type, op.State, op.Tries, op.Code, op.Failure.Code))
	}
	return strings.Join(out, " ")
}
