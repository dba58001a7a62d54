package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/storetest"
)

// A process is stopped (SIGSTOP) in the middle of calls that create checkouts and of a
// sweep, for longer than its leases; another takes over and finishes; then the first
// goes on, with its clock behind and its leases valid as far as it knows. Nothing is
// done twice, its stale fencing token is refused, whoever waited gets the payment that
// the other made, and both go on trading.
func TestPausedLongerThanLeases(t *testing.T) {
	t.Parallel()
	if storetest.Engine(storetest.Wire) == storetest.SQLite {
		t.Skip("an SQLite file belongs to one process")
	}
	one := layout{engine: storetest.Wire}.start(t)
	engine := storetest.OpenAt(t, one.store, store.Collections())
	one.control(http.MethodPut, one.stripe+"/_sandbox/faults", object{"webhooks": object{"drop": 1.0}}) // what is to be found out, sweeps and syncs find
	ids := one.shops(0, 6)
	one.serve.kill()
	killed := len(sweepsOpen(t, engine))
	one.advance(600) // sweeps are due again
	one.control(http.MethodPut, one.stripe+"/_sandbox/faults", object{"webhooks": object{"drop": 1.0}, "api": object{"latency_ms": []int{2500, 2500}}})
	one.start()
	const waiting = 6
	answers := make([]object, waiting)
	codes := make([]int, waiting)
	var customers sync.WaitGroup
	for i := range waiting {
		customers.Go(func() {
			codes[i], answers[i] = one.ask(http.MethodPost, "/v1/payments", fmt.Sprintf("waiting-%d", i), waitingOrder(i))
		})
	}
	held := one.untilBusy(engine, len(ids)+waiting, killed)
	if err := one.serve.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()

	one.control(http.MethodPut, one.stripe+"/_sandbox/faults", object{"webhooks": object{"drop": 1.0}})
	one.advance(150) // leases are of 20 s and of 2 min
	two := one.replica()
	for i := range waiting {
		code, p := two.insist("/v1/payments", fmt.Sprintf("waiting-%d", i), waitingOrder(i))
		if code != http.StatusCreated {
			t.Fatalf("payment %d at the other process: %d %v", i, code, p)
		}
		id, _ := p["id"].(string)
		two.customer(3*i+1, p) // nobody comes back: that would be to the one that is stopped
		ids = append(ids, id)
	}
	taken := two.untilSwept(engine, held.Token)
	paused := time.Since(stopped)
	if err := one.serve.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	customers.Wait()
	for i, code := range codes {
		if id := answers[i]["id"]; code/100 == 2 && id != ids[len(ids)-waiting+i] {
			t.Errorf("customer %d was told of payment %v, the other process made %v", i, id, ids[len(ids)-waiting+i])
		} else if code/100 != 2 && code != http.StatusConflict && code != http.StatusServiceUnavailable {
			t.Errorf("customer %d, who had waited, got %d %v", i, code, answers[i])
		}
	}
	lost := untilLost(t, engine)
	t.Logf("stopped for %s of its own time and 150 s of its leases'; its sweep %s with token %d ended as lost, the newest token is %d; who waited got %v",
		paused.Round(time.Millisecond), lost.ID, held.Token, taken, codes)
	if after, err := store.NewCursors(engine).Get(t.Context(), "sweep/stripe-eu/balance_transactions"); err != nil || after.Token < taken {
		t.Errorf("the cursor bears token %d, had %d: %v", after.Token, taken, err)
	}
	one.control(http.MethodDelete, one.stripe+"/_sandbox/faults", nil)
	for i := range 4 {
		ids = append(ids, []*pair{one, two}[i%2].shop(100+i))
	}
	one.wantEqualBooks(ids, two)
	if n := one.sessions(); n != len(ids)/2 {
		t.Errorf("%d checkouts at Stripe for %d payments", n, len(ids)/2)
	}
	two.wantWholeFeed(len(ids))
}

func waitingOrder(i int) object {
	return order(5000+int64(i), "usd", "provider", []string{"stripe", "paypal"}[i%2])
}

// shops lets customers from..to trade one after the other, and returns their payments.
func (pr *pair) shops(from, to int) []string {
	pr.t.Helper()
	var ids []string
	for i := from; i < to; i++ {
		ids = append(ids, pr.shop(i))
	}
	return ids
}

const sweepLease = "reconcile/sweep/stripe-eu"

// untilBusy waits until a sweep is under way, with its record open, and so many payments
// are there, all operations of the new ones included. It returns the sweep's lease. sweeps
// are the records that an earlier process left open.
func (pr *pair) untilBusy(engine store.Engine, payments, sweeps int) store.Lease {
	pr.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		held, err := store.NewLeases(engine).Get(pr.t.Context(), sweepLease)
		if err != nil {
			pr.t.Fatal(err)
		}
		sweeping := len(sweepsOpen(pr.t, engine)) > sweeps
		docs, _, err := engine.Scan(pr.t.Context(), "payments", "", 0)
		if err != nil {
			pr.t.Fatal(err)
		}
		calling := 0
		for _, d := range docs {
			if bytes.Contains(d.Body, []byte(`"waiting`)) || bytes.Contains(d.Body, []byte(`"unknown"`)) {
				calling++
			}
		}
		if held.Owner != "" && sweeping && len(docs) == payments && calling >= 6 {
			return held
		}
	}
	pr.t.Fatalf("it never was as busy as was meant: %s", pr.serve.logs)
	return store.Lease{}
}

// sweepsOpen are the records of sweeps that are not closed.
func sweepsOpen(t *testing.T, engine store.Engine) []reconcile.Run {
	t.Helper()
	running, err := store.NewRuns(engine).InState(t.Context(), reconcile.RunRunning, time.Now().Add(24*time.Hour), 100)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(running, func(r reconcile.Run) bool { return r.Job != reconcile.JobSweep || r.Account != "stripe-eu" })
}

// untilSwept waits until a newer holder of the sweep has taken the cursors and is done,
// and returns its token.
func (pr *pair) untilSwept(engine store.Engine, old int64) int64 {
	pr.t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		l, err := store.NewLeases(engine).Get(pr.t.Context(), sweepLease)
		if err != nil {
			pr.t.Fatal(err)
		}
		if l.Token > old && l.Owner == "" {
			return l.Token
		}
	}
	pr.t.Fatalf("nobody took the sweep over: %s", pr.serve.logs)
	return 0
}

// untilLost waits for the record of a run that ended because somebody else had the job.
func untilLost(t *testing.T, engine store.Engine) reconcile.Run {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		runs, err := store.NewRuns(engine).InState(t.Context(), reconcile.RunLost, time.Now().Add(24*time.Hour), 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(runs) > 0 {
			return runs[0]
		}
	}
	t.Fatal("no run ended as lost: the stale token was not refused")
	return reconcile.Run{}
}
