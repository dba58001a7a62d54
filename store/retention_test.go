package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

const day = 24 * time.Hour

// Guards what somebody still has to act on: only webhooks that are finished, old, and without a body any more are
// dropped, in bounded steps.
func TestRetentionOfInbox(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewInbox(e)
		ctx := t.Context()
		insert := func(id string, state inbox.State, at time.Time, body string) {
			t.Helper()
			if _, _, err := s.Insert(ctx, inbox.Record{ID: id, State: state, Account: "a", ReceivedAt: at}, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		old := now.Add(-401 * day)
		for i := range 5 {
			insert(fmt.Sprintf("in_old%d", i), inbox.Done, old.Add(time.Duration(i)*time.Second), "")
		}
		insert("in_irrelevant", inbox.Irrelevant, old, "")
		insert("in_body", inbox.Done, old, "{}")
		insert("in_pending", inbox.Pending, old, "")
		insert("in_parked", inbox.Parked, old, "")
		insert("in_dead", inbox.Dead, old, "")
		insert("in_young", inbox.Done, now.Add(-399*day), "")
		r, total := store.NewRetention(e), 0
		for range 10 {
			n, err := r.Inbox(ctx, now.Add(-400*day), 3)
			if err != nil || n > 3 {
				t.Fatalf("%d, %v", n, err)
			}
			total += n
		}
		left, _, err := s.List(ctx, inbox.Filter{Limit: 100})
		if err != nil || total != 6 || len(left) != 5 {
			t.Fatalf("dropped %d, left %d, %v", total, len(left), err)
		}
		for _, r := range left {
			if r.ID == "in_irrelevant" || r.ID[:6] == "in_old" {
				t.Errorf("%s is still there", r.ID)
			}
		}
	})
}

// Guards open alerts: only what is resolved, and was for long, is dropped.
func TestRetentionOfAlerts(t *testing.T) {
	t.Parallel()
	e := newMem(t)
	s, old := store.NewAlerts(e), now.Add(-500*day)
	for id, edit := range map[string]struct {
		state          string
		seen, resolved time.Time
	}{
		"old":      {"resolved", old, old},
		"open":     {"open", old, time.Time{}},
		"acked":    {"acked", old, time.Time{}},
		"lately":   {"resolved", old, now.Add(-10 * day)},
		"seen now": {"resolved", now, now},
	} {
		a := incident(id, edit.seen)
		a.State, a.ResolvedAt, a.TellAt = edit.state, edit.resolved, time.Time{}
		if err := s.Raise(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := store.NewRetention(e).Alerts(t.Context(), now.Add(-400*day), 100); n != 1 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	if _, err := s.Get(t.Context(), "old"); err == nil {
		t.Error("the old one is still there")
	}
}

// Guards I9 under retention: a feed is cut from the front only, keeps the page on which its numbering goes on, and
// keeps a page whose events may still be in their payment; what is kept is read on without a gap.
func TestRetentionOfFeeds(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		ctx, s, r := t.Context(), store.NewFeed(e), store.NewRetention(e)
		old := now.Add(-500 * day)
		p := simple(t, store.NewPayments(e), 1, func(p *payment.Payment) {
			p.Outbox = []payment.Event{{ID: "evt_2", Type: "payment.succeeded", At: old, Object: p.ID, Body: []byte(`{}`)}}
		})
		page := func(app string, n int64, closed bool, at time.Time) outbox.Page {
			return outbox.Page{
				App: app, Mode: payment.ModeTest, N: n, First: n, Closed: closed,
				Events:   []outbox.Event{{ID: fmt.Sprint("evt_", n), CreatedAt: at, Sequence: n, Payment: p.ID, Object: json.RawMessage(`{}`)}},
				Unmarked: []outbox.Unmarked{{Payment: p.ID, Events: []string{fmt.Sprint("evt_", n)}}},
			}
		}
		for n := range int64(6) { // page 5 is younger than page 6
			at := old.Add(time.Duration(n) * day)
			if n == 4 {
				at = now
			}
			if err := s.InsertPage(ctx, page("shop", n+1, true, at)); err != nil {
				t.Fatal(err)
			}
			if err := s.InsertPage(ctx, page("quiet", n+1, n < 5, old)); err != nil && n == 0 {
				t.Fatal(err)
			}
		}
		kept := func(app string) (out []int64) {
			t.Helper()
			for n := range int64(7) {
				if _, ok, err := s.Page(ctx, app, payment.ModeTest, n); err != nil {
					t.Fatal(err)
				} else if ok {
					out = append(out, n)
				}
			}
			return out
		}
		prune := func() {
			t.Helper()
			for range 20 {
				if n, err := r.Feed(ctx, now.Add(-400*day), 2); err != nil || n > 2 {
					t.Fatalf("%d, %v", n, err)
				}
			}
		}
		prune()
		if got := fmt.Sprint(kept("shop"), kept("quiet")); got != "[2 3 4 5 6] [2 3 4 5 6]" {
			t.Errorf("with an event of page 2 still in its payment %s are kept", got)
		}
		p.Version, p.Outbox = 2, nil
		if err := store.NewPayments(e).Replace(ctx, p); err != nil {
			t.Fatal(err)
		}
		prune()
		if got := fmt.Sprint(kept("shop"), kept("quiet")); got != "[5 6] [6]" {
			t.Errorf("at last %s are kept", got)
		}
		reader := outbox.NewReader(s)
		events, next, err := reader.Read(ctx, "shop", payment.ModeTest, "", 100)
		if err != nil || len(events) != 2 || events[0].Sequence != 5 || events[1].Sequence != 6 {
			t.Errorf("from the beginning: %+v, %v", events, err)
		}
		if again, _, err := reader.Read(ctx, "shop", payment.ModeTest, next, 100); err != nil || len(again) != 0 {
			t.Errorf("at the end: %+v, %v", again, err)
		}
	})
}
