package house

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/httpapi"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mem"
)

// Guards the order of a run: the same key with another job, account or window is refused, not answered with the run that
// it ordered first.
func TestRunOfOneKey(t *testing.T) {
	t.Parallel()
	engine, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	desk := runDesk{runs: store.NewRuns(engine)}
	run := reconcile.Run{ID: "run_1", Job: reconcile.JobSweep, Account: "eu", From: at, To: at.Add(time.Hour), StartedAt: at, State: reconcile.RunQueued}
	if err := desk.runs.Insert(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	order := httpapi.RunRequest{ID: "run_1", Job: "sweep", Account: "eu", From: at, To: at.Add(time.Hour)}
	if got, replayed, err := desk.StartRun(t.Context(), gateway.Caller{Operator: true}, order); err != nil || !replayed || got.ID != "run_1" {
		t.Errorf("the same: %+v, %v", got, err)
	}
	for name, edit := range map[string]func(*httpapi.RunRequest){
		"job":     func(r *httpapi.RunRequest) { r.Job = "due" },
		"account": func(r *httpapi.RunRequest) { r.Account = "us" },
		"from":    func(r *httpapi.RunRequest) { r.From = at.Add(time.Minute) },
		"to":      func(r *httpapi.RunRequest) { r.To = time.Time{} },
	} {
		other := order
		edit(&other)
		if _, _, err := desk.StartRun(t.Context(), gateway.Caller{Operator: true}, other); payment.CodeOf(err) != payment.CodeIdempotencyReused {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

// runsInTheWay keeps runs of which another process writes one first.
type runsInTheWay struct {
	*store.Runs
	first *reconcile.Run
}

func (r runsInTheWay) Insert(ctx context.Context, run reconcile.Run) error {
	if r.first != nil {
		if err := r.Runs.Insert(ctx, *r.first); err != nil {
			return err
		}
	}
	return r.Runs.Insert(ctx, run)
}

// Guards "refused, and the field is named": who misspelt an account is not sent to look at
// the job.
func TestRunsRefusedByField(t *testing.T) {
	t.Parallel()
	engine, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	desk := runDesk{reconciler: newReconciler(t, engine, store.NewRuns(engine), at), runs: store.NewRuns(engine)}
	for field, order := range map[string]httpapi.RunRequest{
		"/account": {Job: "sweep", Account: "stripe-ue", From: at, To: at.Add(time.Hour)},
		"/to":      {Job: "sweep", From: at},
		"/from":    {Job: "due", From: at, To: at.Add(time.Hour)},
	} {
		order.ID = "run_1"
		_, _, err := desk.StartRun(t.Context(), gateway.Caller{Operator: true}, order)
		var e *payment.Error
		if !errors.As(err, &e) || e.Code != payment.CodeInvalid || len(e.Fields) != 1 || e.Fields[0].Pointer != field {
			t.Errorf("%+v: %v, want %s", order, err, field)
		}
	}
}

// newReconciler is one of no account.
func newReconciler(t *testing.T, engine store.Engine, runs reconcile.Runs, at time.Time) *reconcile.Reconciler {
	t.Helper()
	r, err := reconcile.New(reconcile.Options{
		Payments: store.NewPayments(engine), Applier: nobody{}, Leases: store.NewLeases(engine), Cursors: store.NewSweepCursors(engine),
		Runs: runs, Discrepancies: store.NewDiscrepancies(engine), Orphans: store.NewOrphans(engine), Alerts: store.NewAlerts(engine),
		Clock: func() time.Time { return at }, NewID: func() string { return "x" }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Guards the same where two orders with one key come at once: the second is told what stands there, or refused where it
// asked for something else. Nobody hears that a run is on its way that was never ordered.
func TestRunsOfOneKeyAtOnce(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for job, want := range map[reconcile.Job]payment.Code{reconcile.JobDue: "", reconcile.JobJanitor: payment.CodeIdempotencyReused} {
		engine, err := mem.New(store.Collections())
		if err != nil {
			t.Fatal(err)
		}
		runs := store.NewRuns(engine)
		first := reconcile.Run{ID: "run_1", Job: job, StartedAt: at, State: reconcile.RunRunning}
		desk := runDesk{reconciler: newReconciler(t, engine, runsInTheWay{runs, &first}, at), runs: runs}
		got, _, err := desk.StartRun(t.Context(), gateway.Caller{Operator: true}, httpapi.RunRequest{ID: "run_1", Job: "due"})
		if payment.CodeOf(err) != want && err != nil || err == nil && (want != "" || got.State != "running") {
			t.Errorf("behind an order for %s: %+v, %v", job, got, err)
		}
	}
}

// nobody applies nothing.
type nobody struct{ reconcile.Applier }

// Guards the proof of an erasure: once the address is gone from the order, another one under the same key is still told
// from it, so that nobody hears "done" of a customer who was never erased.
func TestErasuresOfOneKey(t *testing.T) {
	t.Parallel()
	engine, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	eraser, err := store.NewEraser(engine, nil, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	h := &House{
		apps: []gateway.App{{Name: "shop", Mode: payment.ModeTest}}, Erasures: store.NewErasures(engine), Eraser: eraser, clock: func() time.Time { return at },
	}
	order := func(email, fingerprint string) (httpapi.Erasure, bool, error) {
		return erasureDesk{h}.OrderErasure(t.Context(), gateway.Caller{Operator: true}, httpapi.ErasureRequest{
			ID: "ers_1", App: "shop", Email: email, Reason: "asked", Fingerprint: fingerprint,
		})
	}
	if _, replayed, err := order("eve@example.com", "of eve"); err != nil || replayed {
		t.Fatal(replayed, err)
	}
	for range 200 {
		if _, _, err := eraser.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if e, replayed, err := order("eve@example.com", "of eve"); err != nil || !replayed || e.State != store.ErasureDone {
		t.Fatalf("said again: %+v, %v, %v", e, replayed, err)
	}
	if e, _, err := order("bob@example.com", "of bob"); payment.CodeOf(err) != payment.CodeIdempotencyReused {
		t.Errorf("another customer: %+v, %v", e, err)
	}
}

// Guards whoever reads what came of an erasure over the API: it names the records that the proof found, as collection/id,
// also where an older program kept the ids of payments only.
func TestErasureDeskSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	e := store.Erasure{ID: "ers_1", State: store.ErasureIncomplete}
	for _, left := range []string{"payments/pay_1", "pay_1"} {
		e.LeftIn = []string{left}
		if got := wireErasure(e); len(got.LeftIn) != 1 || got.LeftIn[0] != "payments/pay_1" || e.LeftIn[0] != left {
			t.Errorf("%+v", got)
		}
	}
}

// Guards what people do about an alert against late repetitions: the same request again changes nothing, whatever has
// become of the alert since, and with another body it is refused.
func TestAlertChangedOncePerKey(t *testing.T) {
	t.Parallel()
	engine, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	desk := alertDesk{store.NewAlerts(engine), func() time.Time { return at }}
	seen := gateway.AlertRecord{ID: "inc_1", Kind: "late_money", State: "open", Count: 1, FirstSeen: at, LastSeen: at}
	if err := desk.alerts.Raise(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	operator := gateway.Caller{Operator: true}
	change := func(verb, state, body string, until time.Time) (gateway.AlertRecord, error) {
		r := gateway.Request{Caller: operator, Path: "/v1/alerts/inc_1/" + verb, Key: "k", Fingerprint: body}
		a, _, err := desk.ChangeAlert(t.Context(), operator, "inc_1", httpapi.AlertChange{State: state, Until: until, Request: r})
		return a, err
	}
	if a, err := change("resolve", "resolved", "", time.Time{}); err != nil || a.State != "resolved" {
		t.Fatalf("%+v, %v", a, err)
	}
	seen.LastSeen = at.Add(time.Hour)
	if err := desk.alerts.Raise(t.Context(), seen); err != nil { // it happened again
		t.Fatal(err)
	}
	if a, err := change("resolve", "resolved", "", time.Time{}); err != nil || a.State != "open" {
		t.Errorf("a late repetition silenced it: %+v, %v", a, err)
	}
	if a, err := change("snooze", "snoozed", "60", at.Add(time.Minute)); err != nil || a.State != "snoozed" {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := change("snooze", "snoozed", "60", at.Add(time.Hour)); err != nil || !a.SnoozedUntil.Equal(at.Add(time.Minute)) {
		t.Errorf("repeated: %+v, %v", a, err)
	}
	if _, err := change("snooze", "snoozed", "3600", at.Add(time.Hour)); payment.CodeOf(err) != payment.CodeIdempotencyReused {
		t.Errorf("another body: %v", err)
	}
	if a, err := desk.alerts.Get(t.Context(), "inc_1"); err != nil || !a.SnoozedUntil.Equal(at.Add(time.Minute)) || len(a.Asked) != 2 {
		t.Errorf("%+v, %v", a, err)
	}
}

// Guards the next incident against a word that comes too late: what is over can be neither
// acknowledged nor put off, by itself or by a person, so that it is told when it happens again.
func TestLateWordOnAnAlertThatIsOver(t *testing.T) {
	t.Parallel()
	engine, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	desk, operator := alertDesk{store.NewAlerts(engine), func() time.Time { return at }}, gateway.Caller{Operator: true}
	seen := gateway.AlertRecord{ID: "inc_1", Kind: "provider_outage", State: "open", Count: 1, FirstSeen: at, LastSeen: at}
	if err := desk.alerts.Raise(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	say := func(key, state string) error {
		r := gateway.Request{Caller: operator, Path: "/v1/alerts/inc_1/" + state, Key: key}
		_, _, err := desk.ChangeAlert(t.Context(), operator, "inc_1", httpapi.AlertChange{State: state, Until: at.Add(time.Hour), Request: r})
		return err
	}
	over := map[string]func() error{
		"gone":     func() error { return desk.alerts.Clear(t.Context(), "inc_1", seen.LastSeen) },
		"operator": func() error { return say(seen.LastSeen.String(), "resolved") },
	}
	for by, end := range over {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		for _, state := range []string{"acked", "snoozed"} {
			if err := say("late", state); payment.CodeOf(err) != payment.CodeConflict {
				t.Errorf("%s after %s: %v", state, by, err)
			}
		}
		if a, err := desk.alerts.Get(t.Context(), "inc_1"); err != nil || a.State != "resolved" || a.ResolvedBy != by {
			t.Errorf("%+v, %v", a, err)
		}
		seen.LastSeen = seen.LastSeen.Add(time.Hour)
		if err := desk.alerts.Raise(t.Context(), seen); err != nil {
			t.Fatal(err)
		}
		if a, err := desk.alerts.Get(t.Context(), "inc_1"); err != nil || a.State != "open" || !a.TellAt.Equal(seen.LastSeen) {
			t.Errorf("the next time: %+v, %v", a, err)
		}
	}
}

// Guards what is done about a difference: an app sees its own only, the word that resolves it is said once and by one
// request, and the alert that told of it ends with it, also where a crash came between the two.
func TestDiscrepancyResolvedOnce(t *testing.T) {
	t.Parallel()
	engine, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	desk := discrepancyDesk{store.NewDiscrepancies(engine), store.NewAlerts(engine), func() time.Time { return at }}
	for i, app := range []string{"shop", "other", ""} {
		d := reconcile.Discrepancy{ID: fmt.Sprint("dis_", i), Kind: reconcile.KindMismatch, App: app, Mode: payment.ModeTest, State: "open", SeenAt: at}
		if _, _, err := desk.kept.Record(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		caller gateway.Caller
		want   int
	}{{gateway.Caller{Operator: true}, 3}, {gateway.Caller{App: "shop", Mode: payment.ModeTest}, 1}, {gateway.Caller{App: "shop", Mode: payment.ModeLive}, 0}} {
		found, next, err := desk.ListDiscrepancies(t.Context(), c.caller, httpapi.DiscrepancyFilter{State: "open", Limit: 2})
		if err != nil || len(found) != min(c.want, 2) || (next != "") != (c.want > 2) {
			t.Errorf("%+v sees %+v, %q, %v", c.caller, found, next, err)
		}
	}
	alert := gateway.AlertRecord{ID: reconcile.AlertOf("dis_0"), Kind: reconcile.KindMismatch, State: "open", Count: 1, FirstSeen: at, LastSeen: at}
	if err := desk.alerts.Raise(t.Context(), alert); err != nil {
		t.Fatal(err)
	}
	say := func(id, request, words string) (httpapi.Discrepancy, bool, error) {
		return desk.ResolveDiscrepancy(t.Context(), gateway.Caller{Operator: true}, id, httpapi.DiscrepancyResolution{Reason: words, Request: request, Fingerprint: words})
	}
	if d, replayed, err := say("dis_0", "one", "theirs"); err != nil || replayed || d.State != "resolved" || d.Reason != "theirs" {
		t.Fatalf("%+v, %v, %v", d, replayed, err)
	}
	for _, state := range []string{"resolved", "open"} { // open: the process was killed before the alert was written
		if err := desk.alerts.Change(t.Context(), alert.ID, func(a gateway.AlertRecord) (gateway.AlertRecord, error) { a.State = state; return a, nil }); err != nil {
			t.Fatal(err)
		}
		if d, replayed, err := say("dis_0", "one", "theirs"); err != nil || !replayed || d.Reason != "theirs" {
			t.Errorf("said again: %+v, %v, %v", d, replayed, err)
		}
		if a, err := desk.alerts.Get(t.Context(), alert.ID); err != nil || a.State != "resolved" || a.ResolvedBy != "operator" {
			t.Errorf("its alert: %+v, %v", a, err)
		}
	}
	if _, _, err := say("dis_0", "one", "ours"); payment.CodeOf(err) != payment.CodeIdempotencyReused {
		t.Errorf("other words: %v", err)
	}
	if _, _, err := say("dis_0", "two", "ours"); payment.CodeOf(err) != payment.CodeConflict {
		t.Errorf("another request: %v", err)
	}
	if _, _, err := say("dis_1", "one", "no alert of it is left"); err != nil {
		t.Error(err)
	}
	if _, _, err := say("dis_9", "one", "x"); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("of none: %v", err)
	}
}

// Guards the rate budget: only a sandbox is called without one, not a live account whose api_base leads to its provider
// by another way.
func TestRateBudgets(t *testing.T) {
	t.Parallel()
	for want, accounts := range map[int][]config.Account{
		20: {{Mode: config.ModeTest}}, 10_000: {{Mode: config.ModeTest, APIBase: "http://127.0.0.1:12110"}},
		80: {{Mode: config.ModeLive}, {Mode: config.ModeLive, APIBase: "https://stripe.proxy.example"}},
	} {
		for _, a := range accounts {
			if got := callsPerSecond(a); got != want {
				t.Errorf("%+v: %d calls a second, want %d", a, got, want)
			}
		}
	}
}
