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
