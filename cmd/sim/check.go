package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/trifecta-pay/trifecta/cmd/sim/judge"
	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/httpapi"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// checker hands the judge what it judges by, and checks what only somebody with the
// store in hand can see: that what was acknowledged is there at that very moment,
// and what is not finished yet. It decides nothing in the run.
type checker struct {
	t      *town
	judge  *judge.Judge
	orders map[string]*order
	acks   []string // ids of webhooks that were answered 200
	rows   int      // ledger rows looked at

	following map[string]*follower // by app

	messages map[string]int // heard, by id
	kinds    map[string]int // by kind and payment
	digests  int64          // alerts counted in digests
}

func newChecker(t *town) *checker {
	return &checker{t: t, following: map[string]*follower{}, judge: judge.New(t.fail), orders: map[string]*order{}, messages: map[string]int{}, kinds: map[string]int{}}
}

func (c *checker) expect(o *order) {
	c.judge.Expect(o.Order)
	c.orders[o.ID] = o
}

// order finds the shop's order of a payment; nil if there is none.
func (c *checker) order(id string) *order { return c.orders[id] }

// moved reads new rows of the ledger.
func (c *checker) moved() {
	if c.t.world.Moved() == c.rows {
		return
	}
	all := c.t.world.Ledger()
	for _, row := range all[c.rows:] {
		c.t.trace("ledger %s %s %d %s", row.Kind, row.API, row.Amount, row.Reference)
		if o := c.orders[row.Reference]; o != nil && row.Odd {
			o.Wrong = true
		}
		// PayPal's stand-in settles everything in the currency that was paid; Stripe's tells in the end.
		c.judge.Moved(judge.Row{Object: row.Object, Kind: row.Kind, Reference: row.Reference, Currency: row.Currency, Amount: row.Amount, Settles: row.API == "paypal"})
	}
	c.rows = len(all)
}

// acknowledged: I4, what was answered 200 is in the store at that moment.
func (c *checker) acknowledged(path, key string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	id := inbox.RecordID(parts[1], parts[2], false, key)
	c.raced()
	c.acks = append(c.acks, id)
	if _, err := store.NewInbox(c.t.engine).Get(context.Background(), id); err != nil {
		c.t.fail("I4 webhook %s was answered 200 and is not stored: %v", key, err)
	}
}

// answered: I4, what was answered 2xx is in the store at that moment.
func (c *checker) answered(o *order, p *payment.Payment) {
	if p.ID != o.ID {
		c.t.fail("I4 order %d was given the payment %s", o.n, p.ID)
	}
	stored, err := store.NewPayments(c.t.engine).Get(context.Background(), p.ID)
	if err != nil {
		c.t.fail("I4 payment %s was answered and is not stored: %v", p.ID, err)
	} else if stored.Version < p.Version {
		c.t.fail("I4 payment %s was answered in version %d, stored is %d", p.ID, p.Version, stored.Version)
	}
}

// observed is an app reading its payment, with nothing else under way.
func (c *checker) observed(o *order, p *payment.Payment) {
	c.moved()
	if c.t.depth == 0 {
		c.judge.Observed(o.Order, string(p.Status()), p.Version)
	}
}

// service is a living process to read through.
func (c *checker) service() *gateway.Service { return c.t.insts[0].service }

func (c *checker) payments() (all []*payment.Payment) {
	for _, app := range c.t.apps {
		list, next, err := c.service().List(context.Background(), caller(app), gateway.Filter{Limit: 100})
		if err != nil || next != "" {
			c.t.fail("payments can't be listed: %v", err)
		}
		all = append(all, list...)
	}
	return all
}

// open says what is not finished yet.
func (c *checker) open() (out []string) {
	if n := c.t.world.Pending(); n > 0 {
		return []string{fmt.Sprintf("%d webhooks are on their way", n)}
	}
	for _, p := range c.payments() {
		switch s := p.Status(); s {
		case payment.StatusProcessing, payment.StatusRequiresAction, payment.StatusAuthorized, payment.StatusConflicted:
			out = append(out, fmt.Sprintf("%s is %s", p.ID, s))
		case payment.StatusSucceeded, payment.StatusCanceled, payment.StatusExpired, payment.StatusFailed:
		}
		if op := p.Unfinished(0); op != nil {
			out = append(out, fmt.Sprintf("%s has an unfinished %s (%s)", p.ID, op.Kind, op.State))
		}
		if len(p.Outbox) > 0 || len(p.Alerts) > 0 {
			out = append(out, fmt.Sprintf("%s has %d events and %d alerts to tell", p.ID, len(p.Outbox), len(p.Alerts)))
		}
		if a := p.Amounts(); a.RefundPending > 0 {
			out = append(out, fmt.Sprintf("%s has a refund of %d pending", p.ID, a.RefundPending))
		}
	}
	backlog, err := c.t.insts[0].inbox.Backlog(context.Background())
	if err != nil || backlog.Pending+backlog.Dead > 0 {
		out = append(out, fmt.Sprintf("the inbox has %d events pending and %d dead: %v", backlog.Pending, backlog.Dead, err))
	}
	out = append(out, c.untold(context.Background())...)
	for _, o := range c.t.shop.orders {
		if c.t.shop.waiting(o) {
			out = append(out, fmt.Sprintf("order %d waits for an answer", o.n))
		}
	}
	return out
}

// settled gives the judge what Stripe's balance transactions left in the account.
func (c *checker) settled() error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, stripeURL+"/_sandbox/settled", nil)
	if err != nil {
		return err
	}
	resp, err := serve(c.t.stripe, req) //nolint:bodyclose // a recorder's body: nothing to close
	if err != nil {
		return err
	}
	var list struct {
		Data []struct {
			Reference, Currency string
			Fee, Net            int64
		}
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the sandbox answered %d", resp.StatusCode)
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return err
	}
	for _, s := range list.Data {
		c.judge.Settled(s.Reference, s.Currency, s.Fee, s.Net)
	}
	return nil
}

// end checks everything that must hold once nothing moves any more.
func (c *checker) end() {
	ctx := context.Background()
	c.moved()
	ask, err := c.api()
	if err != nil {
		c.t.fail("no API to read through: %v", err)
		return
	}
	if err := c.settled(); err != nil {
		c.t.fail("what Stripe settled can't be read: %v", err)
	}
	if !c.judge.Restored { // which takes back what was told
		for _, app := range c.t.apps {
			c.followed(app)
		}
	}
	for _, api := range []string{"stripe", "paypal"} {
		c.posted(api)
	}
	c.judge.End(c.t.apps, ask)
	for _, p := range c.payments() {
		c.rare(p)
	}
	if c.judge.Restored { // what was acknowledged since the backup is not on record
		c.acks = nil
	}
	for _, id := range c.acks {
		if _, err := c.t.insts[0].inbox.Get(ctx, id); err != nil {
			c.t.fail("I4 webhook %s was answered 200 and is gone: %v", id, err)
		}
	}
	if !c.judge.Strangers && !c.judge.Restored {
		c.strays(ctx)
	}
	c.told(ctx)
	lost, err := store.NewRuns(c.t.engine).InState(ctx, reconcile.RunLost, c.t.now, 100)
	if err != nil {
		c.t.fail("runs can't be read: %v", err)
	}
	c.t.counts["run_lost"] += len(lost)
}

// api is the public API over the store as it is now, with a key for every app and
// one for the operator.
func (c *checker) api() (judge.Ask, error) {
	t := c.t
	keys := map[string]string{}
	for _, app := range append([]string{""}, t.apps...) {
		key, err := c.service().NewKey(context.Background(), app, app == "", nil)
		if err != nil {
			return nil, err
		}
		keys[app] = key
	}
	n := 0
	h := httpapi.New(httpapi.Options{
		Service: c.service(), Clock: t.clock, NewID: func() string { return "req" }, Logger: t.log, PublicURL: publicURL,
		RatePerSecond: 1_000_000, Alerts: alertDesk{store.NewAlerts(t.engine)}, Events: feedDesk{outbox.NewReader(store.NewFeed(t.engine))},
	})
	return func(app, method, path string) (int, []byte) {
		n++
		req := httptest.NewRequestWithContext(context.Background(), method, publicURL+path, http.NoBody)
		req.Header.Set("Authorization", "Bearer "+keys[app])
		if method != http.MethodGet {
			req.Header.Set("Idempotency-Key", fmt.Sprintf("judge-%d", n))
		}
		out := httptest.NewRecorder()
		h.ServeHTTP(out, req)
		return out.Code, out.Body.Bytes()
	}, nil
}

// alertDesk and feedDesk let the API read what the store keeps.
type (
	alertDesk struct{ alerts *store.Alerts }
	feedDesk  struct{ reader *outbox.Reader }
)

// ListAlerts implements httpapi.Alerts, for an operator.
func (d alertDesk) ListAlerts(ctx context.Context, _ gateway.Caller, f httpapi.AlertFilter) ([]gateway.AlertRecord, string, error) {
	return d.alerts.List(ctx, store.AlertFilter{Limit: f.Limit, After: f.After})
}

// ChangeAlert implements httpapi.Alerts: a judge changes nothing.
func (alertDesk) ChangeAlert(context.Context, gateway.Caller, string, httpapi.AlertChange) (gateway.AlertRecord, bool, error) {
	return gateway.AlertRecord{}, false, gateway.ErrNotFound
}

// ListEvents implements httpapi.Events.
func (d feedDesk) ListEvents(ctx context.Context, c gateway.Caller, after string, limit int) ([]httpapi.FeedEvent, string, error) {
	events, next, err := d.reader.Read(ctx, c.App, c.Mode, after, limit)
	var out []httpapi.FeedEvent
	for _, e := range events {
		out = append(out, httpapi.FeedEvent{ID: e.ID, Type: e.Type, At: e.CreatedAt, Sequence: e.Sequence, Object: e.Object})
	}
	return out, next, err
}

// strays: all money here is ours, so nobody may be told that some is not, and no
// difference may be left.
func (c *checker) strays(ctx context.Context) {
	orphans, _, err := store.NewOrphans(c.t.engine).List(ctx, "", 100, "")
	if err != nil || len(orphans) > 0 {
		c.t.fail("I16 %d orphans, the first %+v: %v", len(orphans), orphans[:min(1, len(orphans))], err)
	}
	found, _, err := store.NewDiscrepancies(c.t.engine).List(ctx, store.DiscrepancyFilter{Limit: 100})
	// What was read with a word that nobody knows is told to operators as a difference.
	if err != nil || len(found) > 0 && c.t.counts["unknown_words"] == 0 {
		c.t.fail("I3 %d discrepancies, the first %+v: %v", len(found), found[:min(1, len(found))], err)
	}
	if b, err := c.t.insts[0].inbox.Backlog(ctx); err != nil || b.Parked > 0 {
		c.t.fail("I16 %d webhooks are parked: %v", b.Parked, err)
	}
}
