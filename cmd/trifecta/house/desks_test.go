package house

import (
	"testing"
	"time"

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
	if got, err := desk.StartRun(t.Context(), gateway.Caller{Operator: true}, order); err != nil || got.ID != "run_1" {
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
		if _, err := desk.StartRun(t.Context(), gateway.Caller{Operator: true}, other); payment.CodeOf(err) != payment.CodeIdempotencyReused {
			t.Errorf("another %s: %v", name, err)
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
		return desk.ChangeAlert(t.Context(), operator, "inc_1", httpapi.AlertChange{State: state, Until: until, Request: r})
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
