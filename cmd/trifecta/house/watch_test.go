package house

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// paid stores a payment of the app that was paid at an account, named after its provider,
// and found by a layer.
func paid(t *testing.T, s *store.Payments, id, account string, by payment.Layer, at time.Time) {
	t.Helper()
	provider, _, _ := strings.Cut(account, "-")
	amount := payment.Money{Minor: 1999, Currency: "usd"}
	p := payment.New(id, "shop", payment.ModeTest, payment.Terms{Amount: amount}, payment.Request{ExpiresIn: time.Hour}, "token-"+id, at)
	key := payment.ObjectKey{Provider: provider, Account: account, ID: "ch_" + id}
	p.Version, p.SettledBy = 1, by
	p.Facts.Opened = []payment.Attempt{{N: 1, Provider: provider, Account: account, CreatedAt: at}}
	p.Facts.Attempts = []payment.AttemptFact{{
		Key: payment.ObjectKey{Provider: provider, Account: account, ID: "cs_" + id}, N: 1, Kind: "checkout_session", State: payment.AttemptComplete,
		Total: amount, Stamp: payment.Stamp{Created: at, AsOf: at}, CompleteAsOf: at, WholeAsOf: at,
	}}
	p.Facts.Captures = []payment.Capture{{Key: key, N: 1, State: payment.CaptureCompleted, Amount: amount, Stamp: payment.Stamp{Created: at, AsOf: at}}}
	if got := p.Status(); got != payment.StatusSucceeded {
		t.Fatalf("the payment is %s", got)
	}
	if err := s.Insert(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

// alertsAfter are the alerts after that many minutes of watching.
func alertsAfter(t *testing.T, h *House, c *clock, minutes int) []gateway.AlertRecord {
	t.Helper()
	for range minutes {
		c.now = c.now.Add(time.Minute)
		if _, _, err := h.metrics.watch.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	found, _, err := store.NewAlerts(h.engine).List(t.Context(), store.AlertFilter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Promise: when webhooks die, an operator hears of it: payments that apps made are
// found by other layers, and none came by webhook.
func TestWebhooksThatStayAwayAreTold(t *testing.T) {
	e := shared(t)
	c := &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	h := build(t, e, c)
	payments := store.NewPayments(h.engine)
	for i := range 4 {
		account := "stripe-eu"
		if i == 3 {
			account = "stripe-us" // says nothing about stripe-eu
		}
		paid(t, payments, fmt.Sprintf("pay_%d", i), account, payment.LayerReconcile, c.now)
	}
	found := alertsAfter(t, h, c, 20)
	if len(found) != 1 || found[0].Kind != "webhook_silence" || found[0].Account != "stripe-eu" {
		t.Errorf("alerts %+v, want one of webhooks that stay away", found)
	}
}

// Promise: the payments of the provider that most customers choose don't hide that the
// webhooks of the other one stay away.
func TestSettledOfTheRarerProvider(t *testing.T) {
	payments, now := store.NewPayments(shared(t)), time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for i := range 130 {
		account, by := "stripe-eu", payment.LayerWebhook
		if i < 3 {
			account, by = "paypal-eu", payment.LayerReconcile
		}
		paid(t, payments, fmt.Sprintf("pay_%03d", i), account, by, now.Add(time.Duration(i)*time.Second))
	}
	cfg := config.Config{
		Accounts: []config.Account{{Name: "stripe-eu", Provider: "stripe", Mode: "test"}, {Name: "paypal-eu", Provider: "paypal", Mode: "test"}},
		Apps:     []config.App{{Name: "shop", Mode: "test"}, {Name: "shop", Mode: "live"}, {Name: "idle", Mode: "test"}},
	}
	got, err := settled(t.Context(), payments, cfg, "paypal-eu", now.Add(-time.Hour))
	if err != nil || len(got) != 3 || got[0].By != payment.LayerReconcile {
		t.Errorf("%v, %+v, want the three of PayPal", err, got)
	}
}

// lame is a store of which one index can't be asked.
type lame struct {
	store.Engine
	index string
}

func (l *lame) Query(ctx context.Context, coll string, q store.Query) ([]store.Doc, string, error) {
	if q.Index == l.index {
		return nil, "", store.ErrUnavailable
	}
	return l.Engine.Query(ctx, coll, q)
}

// Promise: an operator hears of a worker, or of a job of the schedule, that does nothing
// but fail, and that it works again; both are in the metrics.
func TestFailingWorkersAreTold(t *testing.T) {
	for _, c := range []struct{ worker, index string }{{"feed", "by_unfed"}, {"reconcile/due", "by_sync"}} {
		e := &lame{Engine: shared(t), index: c.index}
		clock := &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
		h := build(t, e, clock)
		steps := slices.Clone(h.workers)
		for _, s := range h.scheduled {
			steps = append(steps, Worker{Name: s.Name, Step: s.Step})
		}
		want := func(when, state string) {
			t.Helper()
			for range 20 {
				clock.now = clock.now.Add(time.Minute)
				for _, w := range steps {
					h.step(t.Context(), w)
				}
			}
			found, _, err := store.NewAlerts(h.engine).List(t.Context(), store.AlertFilter{Limit: 10})
			// No provider answers here, and what watches asks the index too.
			found = slices.DeleteFunc(found, func(a gateway.AlertRecord) bool {
				return a.Kind != "worker_failing" || !strings.Contains(a.Message, " "+c.worker+" ")
			})
			if err != nil || len(found) != 1 || found[0].State != state {
				t.Errorf("%s, %s: %v, alerts %+v", c.worker, when, err, found)
			}
		}
		want("while it fails", "open")
		if text := scrape(h); strings.Contains(text, last(c.worker)) {
			t.Errorf("%s succeeded, by its metric", c.worker)
		}
		e.index = ""
		want("when it works again", "resolved")
		if text := scrape(h); !strings.Contains(text, last(c.worker)) {
			t.Errorf("%s has no metric", c.worker)
		}
	}
}

func last(worker string) string {
	return `trifecta_worker_last_success_timestamp_seconds{worker="` + worker + `"}`
}

func scrape(h *House) string {
	rec := httptest.NewRecorder()
	h.Internal().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return rec.Body.String()
}

// Promise: an operator hears of work that is due and that nobody does: payments to be
// read again, operations, webhooks, events of apps.
func TestWorkThatWaitsIsTold(t *testing.T) {
	e, c := shared(t), &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	h := build(t, e, c)
	payments, amount := store.NewPayments(h.engine), payment.Money{Minor: 1999, Currency: "usd"}
	p := payment.New("pay_1", "shop", payment.ModeTest, payment.Terms{Amount: amount}, payment.Request{ExpiresIn: time.Hour}, "token", c.now)
	p.Version, p.NextSyncAt = 1, c.now
	p.Operations = []payment.Operation{{ID: "op", Kind: payment.OpCreate, N: 1, State: payment.OpPending, NextAt: c.now}}
	p.Outbox = []payment.Event{{ID: "evt", Type: "payment.requires_action", At: c.now, Body: []byte("{}")}}
	if err := payments.Insert(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	event := inbox.Record{ID: "in_1", Provider: "stripe", Account: "stripe-eu", State: inbox.Pending, ReceivedAt: c.now, DueAt: c.now}
	if _, _, err := store.NewInbox(h.engine).Insert(t.Context(), event, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	found := alertsAfter(t, h, c, 31)
	var got []string
	for _, a := range found {
		got = append(got, a.Kind+" "+strings.Fields(a.Message)[2])
	}
	slices.Sort(got)
	if want := []string{"work_waiting feed", "work_waiting inbox", "work_waiting operations", "work_waiting reconcile/due"}; !slices.Equal(got, want) {
		t.Errorf("alerts %q, want %q", got, want)
	}
}

// Promise: a webhook that can't be read, and so stays due for ever, is told as work that
// waits, and keeps no other queue from being looked at.
func TestUnreadableWebhookHidesNoOtherQueue(t *testing.T) {
	e, c := shared(t), &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	h := build(t, e, c)
	events := store.NewInbox(h.engine)
	event := inbox.Record{ID: "in_1", Provider: "stripe", Account: "stripe-eu", State: inbox.Pending, ReceivedAt: c.now, DueAt: c.now}
	if _, _, err := events.Insert(t.Context(), event, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	d, err := e.Get(t.Context(), "inbox", "in_1")
	if err != nil {
		t.Fatal(err)
	}
	d.Body = []byte(`{"schema":99}`)
	if err := e.Replace(t.Context(), "inbox", d, d.Version); err != nil {
		t.Fatal(err)
	}
	late, err := behind(t.Context(), store.NewPayments(h.engine), events, true, c.now)
	want := map[string]bool{"inbox": true, "feed": false, "operations": false, "reconcile/due": false}
	if err != nil || !maps.Equal(late, want) {
		t.Errorf("%v, %v; want %v", late, err, want)
	}
}

// Promise: a run over a window that an operator asked for neither ends the alert about a
// list that can't be walked on, nor hides that no sweep begins by itself.
func TestWindowIsNoGoodSweep(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	runs := store.NewRuns(shared(t))
	for i, r := range []reconcile.Run{
		{ID: "run_good", StartedAt: now},
		{ID: "run_failed", StartedAt: now.Add(time.Hour), ErrorCount: 1},
		{ID: "run_window", StartedAt: now.Add(2 * time.Hour), From: now.Add(-48 * time.Hour), To: now},
	} {
		r.Job, r.Account, r.State = reconcile.JobSweep, "stripe-eu", reconcile.RunDone
		if err := runs.Insert(t.Context(), r); err != nil {
			t.Fatal(i, err)
		}
	}
	begun, good, err := lastSweep(t.Context(), runs, "stripe-eu")
	if err != nil || !begun.Equal(now.Add(time.Hour)) || !good.Equal(now) {
		t.Errorf("begun %s, good %s, %v", begun, good, err)
	}
}
