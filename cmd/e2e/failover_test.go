package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
	"github.com/trifecta-pay/trifecta/store/storetest"
)

// outcome makes a request again until it has an outcome, as a careful app does;
// what failed is counted.
func (tn *town) outcome(path, idem string, body any) object {
	var last object
	for began := time.Now(); time.Since(began) < 4*time.Minute; {
		code, _, out := tn.do(http.MethodPost, path, appKey, idem, body)
		last = out
		switch {
		case code >= 200 && code < 300:
			return out
		case code == http.StatusServiceUnavailable, code == http.StatusConflict && out["code"] == "idempotency_in_progress":
			time.Sleep(20 * time.Millisecond) // a fail-over is going on
		default:
			tn.t.Errorf("%s: %d %v", path, code, out)
			return nil
		}
	}
	tn.t.Errorf("%s was never answered: %v", path, last)
	return nil
}

// Guards I1 to I4 over a fail-over: at least 30 payments (200 in the whole matrix) at both
// providers, with refunds, webhooks and all layers at work, while primaries are deposed and acknowledgements of every kind of write are lost. Afterwards every acknowledged
// payment and refund is there, nobody was charged twice, and our books equal the providers'.
func TestFailOverDuringPayments(t *testing.T) {
	t.Parallel()
	tn := startOn(t, storetest.Wire, config.Layers{Return: true, Webhook: true, Reconcile: true})
	if tn.wire == nil {
		t.Skip("fail-over needs the stand-in")
	}
	const enoughElections = 3
	payments := 30
	if wholeMatrix() {
		payments = 200
	}
	for _, f := range []wiretest.Fault{
		{Command: "update", Every: 41, Code: wiretest.NotWritablePrimary, Elect: true, ElectGap: 200 * time.Millisecond},
		{Command: "insert", Every: 31, Code: wiretest.InterruptedByElect, Effect: true, Elect: true},
		{Command: "update", Every: 83, Cut: true, Effect: true, Forget: true},
		{Command: "insert", Every: 47, Cut: true, Effect: true, Forget: true},
		{Command: "update", Every: 19, ConcernCode: wiretest.WriteConcernTimeout, Effect: true},
		{Command: "insert", Every: 17, ConcernCode: wiretest.WriteConcernTimeout, Effect: true},
		{Command: "update", Every: 29, ConcernCode: wiretest.WriteConcernTimeout},
		{Command: "find", Every: 211, Cut: true},
		{Command: "find", Every: 101, Code: wiretest.MaxTimeMSExpired},
	} {
		f.Times = -1
		tn.wire.Inject(f)
	}
	done := make(chan struct{})
	tn.settle = func(ctx context.Context) {
		_ = tn.house.Quiesce(ctx) // a failed step is done again
	}
	var background sync.WaitGroup
	background.Go(func() { // everything that works by itself, and what is repeated after a while
		for {
			select {
			case <-done:
				return
			default:
				tn.world.Advance(t.Context(), 2*time.Second)
			}
		}
	})
	var mu sync.Mutex
	refunds := map[string]int64{}
	var customers sync.WaitGroup
	work := make(chan int)
	for range 8 {
		customers.Go(func() {
			for i := range work {
				id, refunded := tn.customer(i)
				if id == "" {
					continue
				}
				mu.Lock()
				refunds[id] = refunded
				mu.Unlock()
			}
		})
	}
	made := 0
	for made < payments || (tn.wire.Elections() < enoughElections && made < 10*payments) { // how many commands a payment takes varies
		work <- made
		made++
	}
	close(work)
	customers.Wait()
	close(done)
	background.Wait()
	tn.wire.Heal()
	tn.settle = nil
	if n := tn.wire.Elections(); n < enoughElections {
		t.Errorf("only %d elections during %d payments", n, made)
	}
	for range 24 {
		tn.advance(5 * time.Minute)
	}
	tn.advance(26 * time.Hour)
	tn.equalBooks(refunds)
	if len(refunds) != made {
		t.Errorf("%d of %d payments were acknowledged in the end", len(refunds), made)
	}
	t.Logf("%d payments, %d elections, %d store commands", made, tn.wire.Elections(), tn.wire.Data())
}

// customer orders, pays, sometimes comes back, sometimes gets a part refunded.
func (tn *town) customer(i int) (id string, refunded int64) {
	provider := []string{"stripe", "paypal"}[i%2]
	p := tn.outcome("/v1/payments", fmt.Sprintf("order-%d", i), order(1000+int64(i), "usd", "provider", provider))
	if p == nil {
		return "", 0
	}
	id, _ = p["id"].(string)
	refs, _ := p["provider_refs"].(object)
	at := ""
	if session, ok := refs["checkout_session"].(string); ok {
		at, _ = tn.sandbox(tn.stripe, "/_sandbox/checkout/"+session+"/pay", object{"card": good}, http.StatusOK)["redirect_url"].(string)
	} else if o, ok := refs["order"].(string); ok {
		at, _ = tn.sandbox(tn.paypal, "/_sandbox/orders/"+o+"/approve", object{}, http.StatusOK)["redirect_url"].(string)
	} else {
		tn.t.Errorf("payment %s was acknowledged without a checkout: %v", id, p)
		return id, 0
	}
	if i%3 == 0 { // the others close the tab
		if code := tn.raw(call{method: http.MethodGet, path: at}).code; code >= 400 && code != http.StatusServiceUnavailable {
			tn.t.Errorf("return of %s: %d", id, code)
		}
	}
	if i%5 == 0 {
		for began := time.Now(); time.Since(began) < 2*time.Minute; {
			if code, _, now := tn.do(http.MethodGet, "/v1/payments/"+id, appKey, "", nil); code == http.StatusOK && now["status"] == "succeeded" {
				tn.outcome("/v1/payments/"+id+"/refunds", fmt.Sprintf("refund-%d", i), object{"amount": 300})
				return id, 300
			}
			tn.raw(call{method: http.MethodGet, path: at}) // impatient, they load the page again
			time.Sleep(20 * time.Millisecond)
		}
		tn.t.Errorf("payment %s does not become paid", id)
	}
	return id, 0
}

// equalBooks holds our record of every payment against the providers' ledgers.
func (tn *town) equalBooks(refunds map[string]int64) {
	tn.t.Helper()
	for id, refunded := range refunds {
		p := tn.get(id)
		captures := tn.ledger(id, "capture")
		if len(captures) != 1 || p["status"] != "succeeded" {
			tn.t.Errorf("%s is %v with %d captures at the provider", id, p["status"], len(captures))
			continue
		}
		if got := amount(tn.t, p, "captured"); got != captures[0].Amount {
			tn.t.Errorf("%s: we say captured %d, the provider %d", id, got, captures[0].Amount)
		}
		sum := int64(0)
		for _, r := range tn.ledger(id, "refund") {
			sum += r.Amount
		}
		if got := amount(tn.t, p, "refunded"); got != sum || sum != refunded {
			tn.t.Errorf("%s: we say refunded %d, the provider %d, asked for %d", id, got, sum, refunded)
		}
	}
	for _, listener := range []string{"stripe", "paypal"} {
		srv := tn.stripe
		if listener == "paypal" {
			srv = tn.paypal
		}
		for _, row := range rowsOf(tn, tn.sandbox(srv, "/_sandbox/ledger", nil, http.StatusOK)) {
			if _, ours := refunds[row.Reference]; !ours {
				tn.t.Errorf("%s moved money for %q, which was never acknowledged", listener, row.Reference)
			}
		}
	}
}

// Guards I4 of webhooks: with webhooks as the only way for the truth to come in, and every store command of the
// receiver and the worker failing in turn, an event that was answered with 200 is worked on in the end.
func TestWebhooksUnderStoreFaults(t *testing.T) {
	t.Parallel()
	for name, f := range storeFaults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tn := startOn(t, storetest.Wire, config.Layers{Webhook: true})
			if tn.wire == nil {
				t.Skip("faults need the stand-in")
			}
			for k := range 12 {
				provider := []string{"stripe", "paypal"}[k%2]
				p := opened(tn, k, "provider", provider)
				id := text(t, p, "id")
				if provider == "stripe" {
					tn.pay(p, good)
				} else {
					tn.approve(p, object{})
				}
				fault := f
				fault.Skip = k
				tn.wire.Inject(fault)
				_, _, _ = tn.world.StepDeliveries(t.Context())
				_ = tn.house.Quiesce(t.Context()) // a failed step is done again
				tn.wire.Heal()
				for range 24 { // the provider sends again what was refused
					if tn.advance(5 * time.Minute); tn.get(id)["status"] == "succeeded" {
						break
					}
				}
				tn.wantStatus(id, "succeeded")
				tn.wantLedger(id, "capture", 1999)
			}
			if strings.Contains(tn.logs.String(), "injected") {
				t.Error("the log repeats the server's text")
			}
		})
	}
}
