package inbox_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

var errSlow = &providers.Error{Class: providers.Unknown, Provider: "stripe", Op: "fetch", Code: "timeout"}

// Guards the back-off schedule and "seen is not done": a redelivery of an event
// that is not done makes it due now.
func TestRedeliveryWakes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	r.fake.set(func() { r.fake.fetchErr = errSlow })
	id := r.stored(paid("e1", p))
	for _, wait := range []time.Duration{2 * time.Second, 10 * time.Second, time.Minute} {
		r.step()
		if rec := r.wantState(id, inbox.Pending, "fetch: unknown (timeout)"); !rec.DueAt.Equal(r.clock.now().Add(wait)) {
			t.Fatalf("due in %s, want %s", rec.DueAt.Sub(r.clock.now()), wait)
		}
		if wait < time.Minute {
			r.clock.advance(wait - time.Millisecond)
			if r.step() != 0 {
				t.Fatal("worked on before it was due")
			}
			r.clock.advance(time.Millisecond)
		}
	}
	r.fake.set(func() { r.fake.fetchErr = nil })
	if r.step() != 0 {
		t.Fatal("not due yet")
	}
	if code, word := r.send(paid("e1", p)); code != 200 || word != "already_stored" {
		t.Fatalf("%d %s", code, word)
	}
	r.step()
	r.wantState(id, inbox.Done, "")
	r.wantStatus(p.ID, payment.StatusSucceeded)
}

// Guards 429 handling: a provider that names a time is not asked before it.
func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.set(func() {
		r.fake.fetchErr = &providers.Error{Class: providers.NotDone, Op: "fetch", Code: "rate_limited", RetryAfter: 40 * time.Second}
	})
	id := r.stored(paid("e1", p))
	r.step()
	if rec := r.record(id); !rec.DueAt.Equal(r.clock.now().Add(40 * time.Second)) {
		t.Errorf("due in %s, want 40s", rec.DueAt.Sub(r.clock.now()))
	}
}

// Guards the dead-letter rule: after twelve tries over more than the 72 hours of
// the fault model the event is given up with one alert; a replay, and also a
// redelivery, brings it back.
func TestDeadLetterAndReplay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	r.fake.set(func() { r.fake.fetchErr = errSlow })
	first, second := r.stored(paid("e1", p)), r.stored(paid("e2", p))
	start := r.clock.now()
	for range 11 {
		r.step()
		r.clock.advance(r.wantState(first, inbox.Pending, "fetch: unknown (timeout)").DueAt.Sub(r.clock.now()))
	}
	if over := r.clock.now().Sub(start); over < 72*time.Hour {
		t.Errorf("given up after %s, less than 72h", over)
	}
	r.step()
	if rec := r.wantState(first, inbox.Dead, "fetch: unknown (timeout)"); rec.Tries != 12 {
		t.Errorf("%d tries", rec.Tries)
	}
	r.wantState(second, inbox.Dead, "fetch: unknown (timeout)")
	if alerts := r.alertsOf("webhook_dead"); len(alerts) != 1 || alerts[0].Severity != "critical" {
		t.Errorf("alerts %+v, want one incident", alerts)
	}
	r.clock.advance(100 * 24 * time.Hour)
	if r.step() != 0 {
		t.Error("a dead event was worked on")
	}
	backlog, err := r.inbox.Backlog(t.Context())
	if err != nil || backlog.Dead != 2 || backlog.Pending != 0 {
		t.Errorf("backlog %+v, %v", backlog, err)
	}
	r.fake.set(func() { r.fake.fetchErr = nil })
	if n, err := r.inbox.ReplayAll(t.Context(), inbox.Filter{State: inbox.Dead}); n != 2 || err != nil {
		t.Fatalf("replayed %d, %v", n, err)
	}
	r.step()
	r.wantState(first, inbox.Done, "")
	r.wantStatus(p.ID, payment.StatusSucceeded)

	if rec, err := r.inbox.Replay(t.Context(), first); err != nil || rec.State != inbox.Pending {
		t.Errorf("replay of a done event: %s, %v", rec.State, err)
	}
	if _, err := r.inbox.Replay(t.Context(), "in_nothing"); !errors.Is(err, inbox.ErrNotFound) {
		t.Errorf("replay of nothing: %v", err)
	}
	if _, err := r.inbox.ReplayAll(t.Context(), inbox.Filter{State: inbox.Done}); !errors.Is(err, inbox.ErrState) {
		t.Errorf("replay of everything done: %v", err)
	}
}

// Guards "a redelivery wakes" for the dead.
func TestRedeliveryRaisesTheDead(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *inbox.Options) { o.MaxTries = 1 })
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	r.fake.set(func() { r.fake.fetchErr = errSlow })
	id := r.stored(paid("e1", p))
	r.step()
	r.wantState(id, inbox.Dead, "fetch: unknown (timeout)")
	r.fake.set(func() { r.fake.fetchErr = nil })
	r.send(paid("e1", p))
	r.step()
	r.wantState(id, inbox.Done, "")
}

// Guards "one poisoned item never stops the rest": an event whose account is
// gone, a payment that can't be read, and an unreadable row.
func TestPoisonStopsNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	bad := r.create("b")
	r.fake.set(func() { delete(r.fake.roots, rootOf(bad.ID)) }) // its Fetch fails for good
	poisoned := r.stored(paid("e0", bad))
	row, err := r.engine.Get(t.Context(), "inbox", poisoned)
	if err != nil {
		t.Fatal(err)
	}
	row.ID, row.Body = "in_broken", []byte(`{"schema":99}`)
	if err := r.engine.Insert(t.Context(), "inbox", row); err != nil {
		t.Fatal(err)
	}
	id := r.stored(paid("e1", p))
	did, _, err := r.inbox.Step(t.Context())
	if err == nil || did != 2 {
		t.Errorf("did %d, error %v; want 2 and the broken row's error", did, err)
	}
	r.wantState(id, inbox.Done, "")
	r.wantState(poisoned, inbox.Pending, "fetch: not_found ()")
}

// Guards P10: an alert that can't be stored is told when it can.
func TestAlertIsNotLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.stored(hook{Key: "e1", Type: "x", Kind: "charge", Object: "ch", Live: true})
	r.fault.set(func(p store.WritePoint, _ faults.When) error {
		if p == store.PointAlertRaise {
			return errDown
		}
		return nil
	}, nil)
	if _, _, err := r.inbox.Step(t.Context()); err == nil {
		t.Error("the failure was swallowed")
	}
	r.fault.up()
	if len(r.alertsOf("webhook_parked")) != 0 {
		t.Fatal("the fault did not work")
	}
	r.clock.advance(time.Minute)
	r.step()
	if len(r.alertsOf("webhook_parked")) != 1 || !r.record(id).DueAt.IsZero() {
		t.Error("nobody was told")
	}
}

// Guards "a redelivery wakes" against the note that a human was told: an event
// that was woken in between stays due.
func TestWokenWhileBeingTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *inbox.Options) { o.MaxTries = 1 })
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	r.fake.set(func() { r.fake.fetchErr = errSlow })
	id := r.stored(paid("e1", p))
	r.fault.set(func(pt store.WritePoint, w faults.When) error {
		if pt == store.PointInboxTold && w == faults.Before {
			r.send(paid("e1", p))
		}
		return nil
	}, nil)
	if _, _, err := r.inbox.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.fault.up()
	r.fake.set(func() { r.fake.fetchErr = nil })
	r.step()
	r.wantState(id, inbox.Done, "")
}

// Guards the operator's view and retention: lists by state and account page
// through everything; bodies go after their time, large ones too, events stay.
func TestListAndPrune(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 5 {
		r.clock.advance(time.Second)
		r.stored(hook{Key: fmt.Sprint("k", i), Type: "x", Kind: "charge", Object: "ch", Other: i%2 == 0})
	}
	big := append([]byte(`{"key":"big","type":"x","kind":"charge","object":"ch_1"}`), make([]byte, 0)...)
	for len(big) < 700<<10 {
		big = append(big, "          "...)
	}
	if code, _ := r.post("/webhooks/stripe/acct", big, http.Header{"X-Sig": {"good"}}); code != 200 {
		t.Fatal(code)
	}
	var keys []string
	f := inbox.Filter{State: inbox.Irrelevant, Limit: 2, Account: account}
	for {
		page, next, err := r.inbox.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range page {
			keys = append(keys, rec.Event.Key)
		}
		if f.After = next; next == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"k4", "k2", "k0"}, keys); diff != "" {
		t.Errorf("irrelevant, newest first (-want +got):\n%s", diff)
	}
	all, _, err := r.inbox.List(t.Context(), inbox.Filter{Limit: 100})
	if err != nil || len(all) != 6 {
		t.Fatalf("%d events, %v", len(all), err)
	}
	if n, err := r.inbox.Prune(t.Context(), r.clock.now()); err != nil || n != 4 {
		t.Errorf("pruned %d (%v), want the 4 older than the last second", n, err)
	}
	r.clock.advance(time.Second)
	if n, err := r.inbox.Prune(t.Context(), r.clock.now()); err != nil || n != 3 {
		t.Errorf("pruned %d (%v), want 1 and the large one's 2 parts", n, err)
	}
	for _, rec := range all {
		if body, err := r.inbox.Body(t.Context(), rec.ID); err != nil || body != nil {
			t.Errorf("body of %s: %d bytes, %v", rec.ID, len(body), err)
		}
		if _, err := r.inbox.Get(t.Context(), rec.ID); err != nil {
			t.Errorf("the event went with its body: %v", err)
		}
	}
	if n, err := r.inbox.Prune(t.Context(), r.clock.now()); err != nil || n != 0 {
		t.Errorf("pruned %d again, %v", n, err)
	}
}
