package reconcile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/paypal"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/providers/sandbox/paypalapi"
	"github.com/trifecta-pay/trifecta/providers/sandbox/stripeapi"
	"github.com/trifecta-pay/trifecta/providers/stripe"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
)

// street is a gateway with reconcile alone in front of both sandboxes, over HTTP:
// no webhook is delivered and no customer comes back.
type street struct {
	*lab
	world *sandbox.World
	urls  map[string]string // by account
}

const (
	stripeAcct = "stripe-test"
	paypalAcct = "paypal-test"
)

func newStreet(t *testing.T) *street {
	t.Helper()
	c := &clock{t: start}
	world := sandbox.NewWorld(sandbox.Options{
		Wall: func() time.Time { return start }, Seed: 11, Client: &http.Client{}, Wait: func(context.Context, time.Duration) {},
	})
	strip := httptest.NewServer(stripeapi.New(world, stripeapi.Options{}))
	t.Cleanup(strip.Close)
	var pal http.Handler
	paypalServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { pal.ServeHTTP(w, r) }))
	t.Cleanup(paypalServer.Close)
	var err error
	if pal, err = paypalapi.New(world, paypalapi.Options{BaseURL: paypalServer.URL, Wait: func(context.Context, time.Duration) {}}); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{}}
	s, err := stripe.New(stripe.Options{
		Account: stripeAcct, Mode: payment.ModeTest, SecretKey: "sk_test_reconcile", APIBase: strip.URL, HTTPClient: client,
		WebhookSecrets: []string{"whsec_abcdefghijklmnopqrstuvwxyz012345"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := paypal.New(paypal.Options{
		Account: paypalAcct, Mode: payment.ModeTest, ClientID: "client", ClientSecret: "secret", APIBase: paypalServer.URL, HTTPClient: client,
		WebhookIDs: []string{"WH-1"}, Now: world.Now, BrandName: "Shop",
	})
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, c, options{}, s, p)
	return &street{lab: l, world: world, urls: map[string]string{stripeAcct: strip.URL, paypalAcct: paypalServer.URL}}
}

// advance moves both clocks.
func (s *street) advance(d time.Duration) {
	s.world.Advance(s.t.Context(), d)
	s.clock.advance(d)
}

// call posts to a sandbox: JSON, or a form where form is not nil.
func (s *street) call(account, path string, in any, form url.Values) map[string]any {
	s.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		s.t.Fatal(err)
	}
	kind, text := "application/json", bytes.NewBuffer(body)
	if form != nil {
		kind, text = "application/x-www-form-urlencoded", bytes.NewBufferString(form.Encode())
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.urls[account]+path, text)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Authorization", "Bearer sk_test_reconcile")
	resp, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	out := map[string]any{}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode >= 300 {
		s.t.Fatalf("%s: HTTP %d %v %v", path, resp.StatusCode, out, err)
	}
	return out
}

func (s *street) control(account, path string, in any) map[string]any {
	s.t.Helper()
	return s.call(account, "/_sandbox/"+path, in, nil)
}

// pass lets time go by, with every job called each minute.
func (s *street) pass(d time.Duration) {
	s.t.Helper()
	for range int(d / time.Minute) {
		s.advance(time.Minute)
		for _, step := range s.rec.Steps() {
			if _, _, err := step.Step(s.t.Context()); err != nil {
				s.t.Fatalf("%s: %v", step.Name, err)
			}
		}
		if _, _, err := s.service.Operations(0).Step(s.t.Context()); err != nil {
			s.t.Fatalf("operations: %v", err)
		}
	}
}

// quiet says that nothing alarmed anybody.
func (s *street) quiet() {
	s.t.Helper()
	found, _, err := s.differ.List(s.t.Context(), store.DiscrepancyFilter{Limit: 100})
	if err != nil || len(found) != 0 {
		s.t.Errorf("discrepancies %+v, %v", found, err)
	}
	orphans, _, err := s.orphans.List(s.t.Context(), "", 100, "")
	if err != nil || len(orphans) != 0 {
		s.t.Errorf("orphans %+v, %v", orphans, err)
	}
}

// reads counts the payments read at providers while fn runs.
func (s *street) reads(fn func()) int {
	s.t.Helper()
	count := func() (n int) {
		for _, job := range []reconcile.Job{reconcile.JobSweep, reconcile.JobDue} {
			for after := ""; ; {
				runs, next, err := s.runs.List(s.t.Context(), store.RunFilter{Job: job, Limit: 100, After: after})
				if err != nil {
					s.t.Fatal(err)
				}
				for _, r := range runs {
					n += r.Calls
					if a, ok := s.registry.Account(r.Account); ok {
						n -= len(a.Lists()) // one page each
					}
				}
				if after = next; next == "" {
					break
				}
			}
		}
		return n
	}
	before := count()
	fn()
	return count() - before
}

// troubles are the errors of all runs.
func (s *street) troubles() []string {
	s.t.Helper()
	var out []string
	for _, r := range append(s.history(reconcile.JobSweep), s.history(reconcile.JobDue)...) {
		out = append(out, r.Errors...)
	}
	return out
}

// Promise I2 at Stripe: with reconcile alone a payment settles, and a refund, a
// dispute and its end, and the failure of a refund are found long afterwards.
func TestStripeByReconcileAlone(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	p := s.create(stripeAcct, 5000)
	s.control(stripeAcct, "checkout/"+root(p)+"/pay", map[string]any{"card": "4242424242424242"})
	s.pass(3 * time.Minute)
	p = s.get(p.ID)
	if p.Status() != payment.StatusSucceeded || p.SettledBy != payment.LayerReconcile {
		t.Fatalf("%s by %s; troubles %q", p.Status(), p.SettledBy, s.troubles())
	}
	charge := p.Facts.Captures[0].Key.ID
	s.advance(20 * 24 * time.Hour)
	s.pass(20 * time.Minute)
	refund, _ := s.control(stripeAcct, "refunds", map[string]any{"charge": charge, "amount": 1200})["refund"].(string)
	s.pass(7 * time.Minute)
	if got := s.get(p.ID).Amounts(); got.Refunded != 1200 {
		t.Fatalf("after the refund %+v; troubles %q", got, s.troubles())
	}
	dispute, _ := s.control(stripeAcct, "disputes", map[string]any{"charge": charge, "amount": 3800, "reason": "fraudulent"})["dispute"].(string)
	s.pass(7 * time.Minute)
	if got := s.get(p.ID).Amounts(); got.Disputed != 3800 {
		t.Fatalf("after the dispute %+v; troubles %q", got, s.troubles())
	}
	s.advance(3 * 24 * time.Hour)
	s.pass(10 * time.Minute)
	s.control(stripeAcct, "disputes/"+dispute+"/resolve", map[string]any{"outcome": "won"})
	s.control(stripeAcct, "refunds/"+refund+"/fail", nil)
	s.pass(7 * time.Minute)
	got := s.get(p.ID)
	if a := got.Amounts(); a.Disputed != 0 || a.Refunded != 0 || got.Facts.Disputes[0].Status != payment.DisputeWon {
		t.Fatalf("after the end %+v %+v; troubles %q", a, got.Facts.Disputes, s.troubles())
	}
	if reads := s.reads(func() { s.pass(30 * time.Minute) }); reads > 4 {
		t.Errorf("%d readings in half an hour in which nothing happened", reads)
	}
	s.quiet()
	if troubles := s.troubles(); len(troubles) != 0 {
		t.Errorf("troubles %q", troubles)
	}
}

// Promise I2 at PayPal: an order that was approved by a customer who never came
// back is captured by the due sync; refund and dispute are found later.
func TestPayPalByReconcileAlone(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	p := s.create(paypalAcct, 5000)
	s.control(paypalAcct, "orders/"+root(p)+"/approve", map[string]any{})
	s.pass(3 * time.Minute)
	p = s.get(p.ID)
	if p.Status() != payment.StatusSucceeded || p.SettledBy != payment.LayerReconcile || p.Amounts().Captured != 5000 {
		t.Fatalf("%s by %s; troubles %q", p.Status(), p.SettledBy, s.troubles())
	}
	if got := len(s.world.Ledger()); got == 0 {
		t.Fatal("nothing in the provider's ledger")
	}
	capture := p.Facts.Captures[0].Key.ID
	s.advance(20 * 24 * time.Hour)
	s.pass(10 * time.Minute)
	s.control(paypalAcct, "refunds", map[string]any{"capture": capture, "amount": 1200})
	s.pass(7 * time.Minute)
	if got := s.get(p.ID).Amounts(); got.Refunded != 1200 {
		t.Fatalf("after the refund %+v; troubles %q", got, s.troubles())
	}
	dispute, _ := s.control(paypalAcct, "disputes", map[string]any{"capture": capture, "amount": 3800, "reason": "MERCHANDISE_OR_SERVICE_NOT_RECEIVED"})["dispute"].(string)
	s.pass(7 * time.Minute)
	if got := s.get(p.ID); len(got.Facts.Disputes) != 1 {
		t.Fatalf("no dispute; troubles %q", s.troubles())
	}
	s.control(paypalAcct, "disputes/"+dispute+"/resolve", map[string]any{"outcome": "won"})
	s.pass(7 * time.Minute)
	if got := s.get(p.ID).Facts.Disputes[0].Status; got != payment.DisputeWon {
		t.Fatalf("dispute is %s; troubles %q", got, s.troubles())
	}
	// Transaction search comes hours later and tells nothing new.
	if reads := s.reads(func() { s.pass(5 * time.Hour) }); reads > 6 {
		t.Errorf("%d readings in hours in which nothing happened", reads)
	}
	s.quiet()
	if troubles := s.troubles(); len(troubles) != 0 {
		t.Errorf("troubles %q", troubles)
	}
}

// Promise: a customer who chose another way to pay after a decline, and never came back, has
// paid by reconciling alone: PayPal's list of events tells of the second approval.
func TestApprovedAgainByReconcileAlone(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	p := s.create(paypalAcct, 5000)
	s.control(paypalAcct, "orders/"+root(p)+"/approve", map[string]any{"capture": "declined"})
	s.pass(12 * time.Minute)
	if got := s.get(p.ID); got.Status() != payment.StatusRequiresAction || len(got.Facts.Declines) != 1 {
		t.Fatalf("%s after %d declines; troubles %q", got.Status(), len(got.Facts.Declines), s.troubles())
	}
	s.control(paypalAcct, "orders/"+root(p)+"/approve", map[string]any{})
	s.pass(12 * time.Minute)
	if got := s.get(p.ID); got.Status() != payment.StatusSucceeded || got.SettledBy != payment.LayerReconcile {
		t.Fatalf("%s by %s; troubles %q", got.Status(), got.SettledBy, s.troubles())
	}
}

// Promise I2: money of another system in the same account is told once, although
// Stripe lists it as a transaction, a charge's intent, a session and events.
func TestStripeForeignMoneyIsToldOnce(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	session := s.call(stripeAcct, "/v1/checkout/sessions", nil, url.Values{
		"mode": {"payment"}, "success_url": {"https://other.example/ok"}, "cancel_url": {"https://other.example/no"},
		"line_items[0][quantity]": {"1"}, "line_items[0][price_data][currency]": {"usd"},
		"line_items[0][price_data][unit_amount]": {"777"}, "line_items[0][price_data][product_data][name]": {"thing"},
	})
	id, _ := session["id"].(string)
	s.control(stripeAcct, "checkout/"+id+"/pay", map[string]any{"card": "4242424242424242"})
	s.pass(30 * time.Minute)
	orphans, _, err := s.orphans.List(t.Context(), stripeAcct, 100, "")
	if err != nil || len(orphans) != 1 || !strings.HasPrefix(orphans[0].Object, "ch_") {
		t.Fatalf("orphans %+v, %v; troubles %q", orphans, err, s.troubles())
	}
	if told := s.told("foreign_money"); len(told) != 1 || told[0].Count != 1 {
		t.Fatalf("alerts %+v", told)
	}
}

var _ providers.Sweeper = (*fake)(nil)
