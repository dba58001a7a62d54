package watch_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/gateway/alerts/watch"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mem"
)

// world is a Watch over alerts in memory, and what it looks at.
type world struct {
	t           *testing.T
	now         time.Time
	alerts      *store.Alerts
	w           *watch.Watch
	accounts    []watch.Account
	lastWebhook time.Time
	settled     []watch.Settled
	begun, good time.Time
	payments    map[string]*payment.Payment
	waiting     map[string]bool
	fail        error
	workers     []watch.Worker
	due         time.Time // of the oldest work that waits for the inbox; zero: none
	stuckFeed   bool      // events wait for the feed
}

var start = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, a watch.Account) *world {
	t.Helper()
	e, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	a.Name, a.Mode = "stripe-eu", payment.ModeLive
	w := &world{t: t, now: start, alerts: store.NewAlerts(e), accounts: []watch.Account{a}, payments: map[string]*payment.Payment{}}
	w.open()
	return w
}

// open starts a new process.
func (w *world) open() {
	w.w = watch.New(watch.Options{
		Notify: w.alerts, Accounts: w.accounts, Clock: func() time.Time { return w.now },
		LastWebhook: func(context.Context, string) (time.Time, error) { return w.lastWebhook, w.fail },
		Settled:     func(context.Context, string, time.Time) ([]watch.Settled, error) { return w.settled, nil },
		LastSweep:   func(context.Context, string) (time.Time, time.Time, error) { return w.begun, w.good, nil },
		Waiting:     func(_ context.Context, _, state string) (bool, error) { return w.waiting[state], nil },
		Workers:     func() []watch.Worker { return w.workers },
		Behind: func(_ context.Context, due time.Time) (map[string]bool, error) {
			return map[string]bool{"inbox": !w.due.IsZero() && !w.due.After(due), "feed": w.stuckFeed}, nil
		},
		Alerts: func(ctx context.Context, state, after string) ([]gateway.AlertRecord, string, error) {
			return w.alerts.List(ctx, store.AlertFilter{State: state, Limit: 2, After: after})
		},
		Payment: func(_ context.Context, id string) (*payment.Payment, error) {
			if p, ok := w.payments[id]; ok {
				return p, nil
			}
			return nil, gateway.ErrNotFound
		},
	})
}

// pass lets time pass, minute by minute; each does something in each of them.
func (w *world) pass(d time.Duration, each func()) {
	w.t.Helper()
	for end := w.now.Add(d); w.now.Before(end); {
		if each != nil {
			each()
		}
		w.now = w.now.Add(time.Minute)
		if _, _, err := w.w.Step(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// want compares the alerts by kind and state.
func (w *world) want(want map[string]string) {
	w.t.Helper()
	all, _, err := w.alerts.List(w.t.Context(), store.AlertFilter{Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	got := map[string]string{}
	for _, a := range all {
		got[a.Kind] = a.State
		if alerts.KindOf(a.Kind).Title == "Alert of kind "+a.Kind {
			w.t.Errorf("%s is not in the published table", a.Kind)
		}
		if a.State == "resolved" && a.ResolvedBy != "gone" {
			w.t.Errorf("%s was resolved by %q", a.Kind, a.ResolvedBy)
		}
	}
	if !maps.Equal(got, want) {
		w.t.Errorf("at %s: alerts %v, want %v", w.now.Format(time.TimeOnly), got, want)
	}
}

// Guards that a provider's outage is told within minutes and ends by itself with the first good call, also when another
// process sees it; a single failure, and declines, are no outage.
func TestOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watch.Account{})
	observe := func(class string) func() { return func() { w.w.Observe("stripe-eu", "fetch", class) } }
	w.pass(10*time.Minute, observe("declined"))
	w.pass(2*time.Minute, observe("unknown"))
	w.pass(2*time.Minute, observe("ok"))
	w.pass(time.Hour, nil)
	w.want(map[string]string{})
	w.pass(3*time.Minute, observe("unknown"))
	w.want(map[string]string{})
	w.pass(2*time.Minute, observe("not_done"))
	w.want(map[string]string{"provider_outage": "open"})
	w.pass(time.Hour, observe("unknown"))
	w.open() // a new process knows nothing
	w.pass(2*time.Minute, nil)
	w.want(map[string]string{"provider_outage": "open"})
	w.pass(2*time.Minute, observe("ok"))
	w.want(map[string]string{"provider_outage": "resolved"})
	w.pass(15*time.Minute, observe("given_up")) // callers who left are no outage
	w.want(map[string]string{"provider_outage": "resolved"})
	w.pass(15*time.Minute, func() { w.w.Observe("stripe-eu", "fetch", "unknown"); w.w.Observe("stripe-eu", "fetch", "given_up") }) // nor a good call
	w.want(map[string]string{"provider_outage": "open"})
}

// Guards that customers who can't pay are told of although everything else works: no checkout can be opened, or we may
// not open any. It ends with the first that is opened.
func TestNoCheckoutOpens(t *testing.T) {
	t.Parallel()
	for class, kind := range map[string]string{"unknown": "provider_outage", "not_done": "provider_outage", "misconfigured": "credentials_refused"} {
		w := newWorld(t, watch.Account{})
		both := func(class string) func() {
			return func() {
				w.w.Observe("stripe-eu", "create_checkout", class)
				w.w.Observe("stripe-eu", "fetch", "ok")
			}
		}
		w.pass(10*time.Minute, both("declined"))
		w.pass(2*time.Minute, both(class))
		w.want(map[string]string{})
		w.pass(4*time.Minute, both(class))
		w.want(map[string]string{kind: "open"})
		reads := func() { w.w.Observe("stripe-eu", "fetch", "ok") }
		w.pass(20*time.Minute, reads) // nobody tries
		w.want(map[string]string{kind: "open"})
		w.open() // restarted, to see whether it helps
		w.pass(20*time.Minute, reads)
		w.want(map[string]string{kind: "open"})
		w.pass(2*time.Minute, both("ok"))
		w.want(map[string]string{kind: "resolved"})
		w.pass(10*time.Minute, both(class))
		w.want(map[string]string{kind: "open"})
		w.pass(80*time.Minute, reads) // nobody knows any more
		w.want(map[string]string{kind: "resolved"})
	}
}

// Guards that revoked credentials are told as such, and end with the first good call.
func TestCredentialsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watch.Account{})
	w.pass(3*time.Minute, func() { w.w.Observe("stripe-eu", "fetch", "misconfigured") })
	w.want(map[string]string{"credentials_refused": "open"})
	w.pass(time.Minute, func() { w.w.Observe("stripe-eu", "fetch", "ok") })
	w.want(map[string]string{"credentials_refused": "resolved"})
}

// Guards that forged webhooks are told when they are many, not one by one, and end when they stop.
func TestForged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watch.Account{})
	w.pass(19*time.Minute, func() { w.w.Forged("stripe-eu") })
	w.want(map[string]string{})
	w.pass(2*time.Minute, func() { w.w.Forged("stripe-eu") })
	w.want(map[string]string{"webhook_forged": "open"})
	w.pass(50*time.Minute, nil)
	w.want(map[string]string{"webhook_forged": "open"})
	w.pass(20*time.Minute, nil)
	w.want(map[string]string{"webhook_forged": "resolved"})

	w.pass(25*time.Minute, func() { w.w.Forged("stripe-eu") })
	w.want(map[string]string{"webhook_forged": "open"})
	w.open() // with the right secret, in a process that has counted nothing
	w.pass(50*time.Minute, nil)
	w.want(map[string]string{"webhook_forged": "open"})
	w.pass(25*time.Minute, nil)
	w.want(map[string]string{"webhook_forged": "resolved"})
}

// Guards that webhooks which stay away are missed when money was found without them, and only then; the first that comes
// ends it.
func TestSilence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watch.Account{WantWebhooks: true})
	w.pass(3*time.Hour, nil)
	w.want(map[string]string{}) // nothing was paid: silence is right
	made := w.now
	w.settled = []watch.Settled{{made, payment.LayerReturn}, {made.Add(time.Minute), payment.LayerReconcile}}
	w.pass(time.Hour, nil)
	w.want(map[string]string{})
	w.settled = append(w.settled, watch.Settled{Created: made, By: payment.LayerReturn})
	w.lastWebhook = made.Add(time.Second)
	w.pass(time.Hour, nil)
	w.want(map[string]string{}) // returns are first, and webhooks come
	w.lastWebhook = made.Add(-time.Hour)
	w.pass(9*time.Minute, nil)
	w.want(map[string]string{})
	w.pass(5*time.Minute, nil)
	w.want(map[string]string{"webhook_silence": "open"})
	w.lastWebhook = w.now
	w.pass(time.Minute, nil)
	w.want(map[string]string{"webhook_silence": "resolved"})
}

// Guards the shop with a payment a day: that its webhooks stay away is told too, and that they come says that they work.
func TestSilenceOfASmallShop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watch.Account{WantWebhooks: true})
	for day := range 4 {
		w.settled = append(w.settled, watch.Settled{Created: w.now, By: payment.LayerReturn})
		if day == 0 {
			w.lastWebhook = w.now.Add(time.Minute)
		}
		if day < 3 {
			w.pass(24*time.Hour, nil)
			w.want(map[string]string{})
		}
	}
	w.pass(12*time.Minute, nil)
	w.want(map[string]string{"webhook_silence": "open"})
	w.lastWebhook = w.now
	w.pass(time.Minute, nil)
	w.want(map[string]string{"webhook_silence": "resolved"})
}

// Guards that a reconcile layer that does not run is missed, not one that has only just been started or woken.
func TestMissedSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watch.Account{WantReconciled: true})
	w.pass(59*time.Minute, nil)
	w.want(map[string]string{})
	w.pass(20*time.Minute, nil)
	w.want(map[string]string{"reconcile_missed": "open"})
	w.begun = w.now
	w.pass(time.Minute, nil)
	w.want(map[string]string{"reconcile_missed": "resolved"})
	w.now = w.now.Add(24 * time.Hour) // the machine slept
	w.pass(time.Minute, nil)
	w.begun = w.now
	w.pass(30*time.Minute, nil)
	w.want(map[string]string{"reconcile_missed": "resolved"})
}

// Guards that a credential which runs out is told three weeks before, once a day at most, gravely at the end, and that a
// new date ends it.
func TestExpiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watch.Account{SecretExpires: start.Add(22 * 24 * time.Hour)})
	w.pass(time.Hour, nil)
	w.want(map[string]string{})
	w.now = w.now.Add(24 * time.Hour)
	w.pass(3*time.Hour, nil)
	w.want(map[string]string{"secret_expiring": "open"})
	all, _, err := w.alerts.List(t.Context(), store.AlertFilter{Limit: 1})
	if err != nil || all[0].Count != 1 || all[0].Severity != alerts.Warning {
		t.Errorf("%v, %+v", err, all)
	}
	w.now = w.now.Add(19 * 24 * time.Hour)
	w.pass(time.Minute, nil)
	if all, _, err = w.alerts.List(t.Context(), store.AlertFilter{Limit: 1}); err != nil || all[0].Count != 2 || all[0].Severity != alerts.Critical {
		t.Errorf("%v, %+v", err, all)
	}
	w.accounts[0].SecretExpires = start.Add(400 * 24 * time.Hour)
	w.open()
	w.pass(time.Minute, nil)
	w.want(map[string]string{"secret_expiring": "resolved"})
}

// Guards that alerts end with their cause, as their subject stands, whoever acknowledged or snoozed them; and that those
// whose cause stands, or can't be read, stay.
func TestCauses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watch.Account{})
	key := payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: "dp_1"}
	over := func(s payment.DisputeStatus) *payment.Payment {
		p := &payment.Payment{ID: "pay"}
		p.Facts.Disputes = []payment.Dispute{{Key: key, Status: s}}
		return p
	}
	stuck := &payment.Payment{ID: "stuck", Operations: []payment.Operation{{ID: "op", State: payment.OpUnknown}}}
	owing := &payment.Payment{ID: "owing"}
	owing.Facts.Captures = []payment.Capture{{Key: payment.ObjectKey{ID: "c"}, State: payment.CaptureCompleted, Amount: payment.Money{Minor: 5}}}
	owing.Facts.Decisions = []payment.Decision{{ID: "d", Kind: payment.DecisionRefund, Objects: []string{"c"}}}
	w.payments = map[string]*payment.Payment{
		"fine": {ID: "fine"}, "owing": owing, "stuck": stuck, "won": over(payment.DisputeWon), "answered": over(payment.DisputeUnderReview), "due": over(payment.DisputeNeedsResponse),
	}
	raise := func(id, kind, about string, state string) {
		t.Helper()
		err := w.alerts.Raise(t.Context(), gateway.AlertRecord{
			ID: id, Kind: kind, Severity: "critical", State: state, Payment: about, Account: "stripe-eu", Dispute: payment.DisputeID(key), Count: 1, FirstSeen: w.now, LastSeen: w.now,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	raise("a1", "conflicted_payment", "fine", "acked")
	raise("a2", "conflicted_payment", "nobody", "open")
	raise("b1", "operation_stuck", "fine", "open")
	raise("b2", "operation_stuck", "stuck", "open")
	raise("c1", "dispute_opened", "won", "open")
	raise("c2", "dispute_opened", "answered", "open")
	raise("c3", "dispute_due", "answered", "snoozed")
	raise("c4", "dispute_due", "due", "open")
	raise("d1", "late_money", "fine", "open")
	raise("e1", "sweep_failing", "", "open")
	raise("f1", "webhook_dead", "", "open")
	raise("f2", "webhook_parked", "", "open")
	raise("g1", "refund_failed", "fine", "open")
	raise("g2", "refund_failed", "owing", "open")
	w.waiting = map[string]bool{"dead": true}
	w.pass(time.Minute, nil)
	check := func(want ...string) {
		t.Helper()
		var got []string
		for _, state := range []string{"open", "acked", "snoozed"} {
			all, _, err := w.alerts.List(t.Context(), store.AlertFilter{State: state, Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range all {
				got = append(got, a.ID)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("left %v, want %v", got, want)
		}
	}
	check("a2", "b2", "c2", "c4", "d1", "e1", "f1", "g2")
	w.good, w.waiting = w.now, nil
	stuck.Operations[0].State = payment.OpDone
	w.pass(time.Minute, nil)
	check("a2", "c2", "c4", "d1", "g2")
}

// Guards that a worker whose every step fails is told of, not one that fails now and then, and that it ends with
// its first good step, also when another process says so. What one process says, no other takes back.
func TestFailingWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watch.Account{})
	good := func() { w.workers = []watch.Worker{{Name: "feed", Good: w.now}, {Name: "inbox", Good: w.now}} }
	good()
	w.workers[0].Failing = w.now
	w.pass(14*time.Minute, nil)
	w.want(map[string]string{})
	w.pass(20*time.Minute, func() { good(); w.workers[0].Failing = w.now.Add(-time.Minute) })
	w.want(map[string]string{}) // good ones between
	failing := w.now
	fail := func() { good(); w.workers[0].Failing = failing }
	w.pass(16*time.Minute, fail)
	w.want(map[string]string{"worker_failing": "open"})
	all, _, err := w.alerts.List(w.t.Context(), store.AlertFilter{Limit: 1})
	if err != nil || !strings.Contains(all[0].Message, "feed") || strings.Contains(all[0].Message, "inbox") || all[0].Mode != payment.ModeLive {
		t.Errorf("%v, %+v", err, all)
	}
	good()
	w.pass(time.Minute, nil)
	w.want(map[string]string{"worker_failing": "resolved"})
	failing = w.now
	w.pass(30*time.Minute, fail)
	w.want(map[string]string{"worker_failing": "open"})
	w.open() // a new process, whose workers have not ended a step yet
	w.workers = []watch.Worker{{Name: "feed"}, {Name: "inbox", Good: w.now}}
	w.pass(2*time.Minute, nil)
	w.want(map[string]string{"worker_failing": "open"})
	good()
	w.pass(time.Minute, nil)
	w.want(map[string]string{"worker_failing": "resolved"})
	failing = w.now
	first := w.w
	w.pass(20*time.Minute, fail)
	w.want(map[string]string{"worker_failing": "open"})
	w.open() // another one beside it, which is well
	good()
	w.pass(time.Minute, nil)
	w.want(map[string]string{"worker_failing": "resolved"})
	other := w.w
	w.w = first
	w.pass(11*time.Minute, fail)
	w.want(map[string]string{"worker_failing": "open"})
	w.w = other
	good()
	w.pass(5*time.Minute, nil)
	w.want(map[string]string{"worker_failing": "open"}) // it has said so once
}

// Guards that work which nobody does is told of, though no step fails; not what waited while no process ran and is
// being caught up with.
func TestWorkThatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watch.Account{})
	w.due = w.now.Add(-24 * time.Hour)
	w.pass(9*time.Minute, nil)
	w.due = time.Time{}
	w.pass(time.Hour, nil)
	w.want(map[string]string{})
	w.pass(25*time.Minute, func() { w.due = w.now.Add(-18 * time.Minute) })
	w.want(map[string]string{})
	w.pass(12*time.Minute, func() { w.due = w.now.Add(-30 * time.Minute) })
	w.want(map[string]string{"work_waiting": "open"})
	w.open()
	w.pass(5*time.Minute, nil)
	w.want(map[string]string{"work_waiting": "open"})
	w.due = time.Time{}
	w.pass(time.Minute, nil)
	w.want(map[string]string{"work_waiting": "resolved"})
}

// Guards that what somebody knows of and looks after (one record for weeks, say) silences
// no other worker, and no other queue.
func TestEachWorkerIsAnIncident(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watch.Account{})
	bad := map[string]time.Time{"reconcile/janitor": w.now}
	w.due = w.now.Add(-time.Hour)
	each := func() {
		w.workers = nil
		for _, name := range []string{"feed", "reconcile/janitor"} {
			w.workers = append(w.workers, watch.Worker{Name: name, Good: start, Failing: bad[name]})
		}
	}
	list := func(state string) (messages []string) {
		t.Helper()
		all, _, err := w.alerts.List(t.Context(), store.AlertFilter{State: state, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			messages = append(messages, a.Message)
			err := w.alerts.Change(t.Context(), a.ID, func(a gateway.AlertRecord) (gateway.AlertRecord, error) {
				a.State = "acked"
				return a, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(messages)
		return messages
	}
	w.pass(20*time.Minute, each)
	if got := list("open"); len(got) != 2 || !strings.Contains(got[0], "reconcile/janitor") || !strings.Contains(got[1], "inbox") {
		t.Fatalf("told %q, want the janitor and the queue of the inbox", got)
	}
	bad["feed"], w.stuckFeed = w.now, true
	w.pass(30*time.Minute, each)
	if got := list("open"); len(got) != 2 || !strings.Contains(got[0], "of feed has ended") || !strings.Contains(got[1], "Work of feed") {
		t.Errorf("beside what somebody looks after: %q, want the feed, as worker and as queue", got)
	}
	bad["feed"], w.stuckFeed = time.Time{}, false
	w.pass(5*time.Minute, each)
	if got := list("resolved"); len(got) != 2 || !strings.Contains(got[0], "feed") || !strings.Contains(got[1], "feed") {
		t.Errorf("ended %q, want what was about the feed", got)
	}
}

// Guards that one thing that can't be read stops nothing else.
func TestOneFailureStopsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watch.Account{WantWebhooks: true, SecretExpires: start.Add(time.Hour)})
	w.fail = errors.New("store down")
	w.now = w.now.Add(time.Minute)
	if _, _, err := w.w.Step(t.Context()); !errors.Is(err, w.fail) {
		t.Errorf("%v", err)
	}
	w.want(map[string]string{"secret_expiring": "open"})
}
