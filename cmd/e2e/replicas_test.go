package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway/httpapi/apitest"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

var allLayers = config.Layers{Return: true, Webhook: true, Reconcile: true}

// twins are two processes on one store behind one address: whoever asks, customer,
// app or provider, lands at either. The second can be killed.
type twins struct {
	*town
	second *house.House
	direct http.Handler // the second alone
	turn   atomic.Int64
	dead   atomic.Bool
	// strike counts the second's calls down; with the answer to the last of them it dies.
	// Where aim is set, only calls with that in their path count, and so do requests land at it.
	strike atomic.Int64
	aim    string
	calls2 atomic.Int64
}

var errKilled = errors.New("the process was killed")

// RoundTrip carries the second's provider calls. A call that has reached the
// provider when it is killed has its effect, and nobody ever learns.
func (tw *twins) RoundTrip(r *http.Request) (*http.Response, error) {
	if tw.dead.Load() {
		return nil, errKilled
	}
	tw.calls2.Add(1)
	resp, err := tw.calls.next.RoundTrip(r)
	if strings.Contains(r.URL.Path, tw.aim) && tw.strike.Add(-1) == 0 {
		tw.dead.Store(true)
	}
	if tw.dead.Load() {
		if err == nil {
			_ = resp.Body.Close()
		}
		return nil, errKilled
	}
	return resp, err
}

func (tw *twins) reach() error {
	if tw.dead.Load() {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, errKilled)
	}
	return nil
}

func startTwins(t *testing.T, edit ...func(*config.Config)) *twins {
	t.Helper()
	var cfg config.Config
	tw := &twins{town: start(t, allLayers, append(edit, func(c *config.Config) { cfg = *c })...)}
	engine := faults.Wrap(tw.store, faults.Options{
		Points: store.WritePoints(),
		Write:  func(store.WritePoint, faults.When) error { return tw.reach() },
		Read:   func(string) error { return tw.reach() },
	})
	log := slog.New(slog.NewTextHandler(tw.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	tw.second, err = house.Build(t.Context(), house.Options{Config: cfg, Clock: tw.world.Now, Wall: time.Now, Logger: log, Transport: tw, Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tw.second.Close(); err != nil && !tw.dead.Load() {
			t.Error(err)
		}
	})
	first := tw.api.Config.Handler
	tw.direct = apitest.Validate(t, tw.second.Public)
	tw.api.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		turn := tw.turn.Add(1)%2 == 0 || tw.aim != "" && strings.Contains(r.URL.Path, tw.aim)
		if turn && !tw.dead.Load() {
			tw.direct.ServeHTTP(w, r)
			return
		}
		first.ServeHTTP(w, r)
	})
	tw.settle = tw.both
	return tw
}

// together runs the workers of processes and the provider's deliveries side by
// side, as they run in life, until nobody finds work.
func (tn *town) together(ctx context.Context, houses ...func(context.Context) error) {
	tn.t.Helper()
	deliveries := func(ctx context.Context) error {
		for {
			if did, _, err := tn.world.StepDeliveries(ctx); err != nil || did == 0 {
				return err
			}
		}
	}
	for range 3 { // what one had in its hands when the others looked
		var wg sync.WaitGroup
		for _, work := range append(houses, deliveries) {
			wg.Go(func() {
				if err := work(ctx); err != nil {
					tn.t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// both runs the workers of both processes.
func (tw *twins) both(ctx context.Context) {
	tw.t.Helper()
	quiesce := func(h *house.House, mayDie bool) func(context.Context) error {
		return func(ctx context.Context) error {
			if mayDie && tw.dead.Load() {
				return nil
			}
			if err := h.Quiesce(ctx); err != nil && !(mayDie && tw.dead.Load()) {
				return err
			}
			return nil
		}
	}
	tw.together(ctx, quiesce(tw.house, false), quiesce(tw.second, true))
}

// insist repeats a request with its key, as a careful app does, until it has an
// outcome. Time passes meanwhile: leases of the dead end.
func (tn *town) insist(path, idem string, body any) (int, object) {
	for range 40 {
		code, _, out := tn.do(http.MethodPost, path, appKey, idem, body)
		running := code == http.StatusConflict && out["code"] == "idempotency_in_progress"
		if code != http.StatusServiceUnavailable && code != http.StatusAccepted && !running {
			return code, out
		}
		tn.advance(5 * time.Second)
	}
	return 0, nil
}

// deal is what a customer was told: a payment, and what of it was given back.
type deal struct {
	id, refund string // refund "": none
	refunded   int64
}

// trade is one customer's story: order, pay, every third comes back, every fifth
// gets some of it back.
func (tn *town) trade(i int) deal {
	provider := []string{"stripe", "paypal"}[i%2]
	code, p := tn.insist("/v1/payments", fmt.Sprintf("order-%d", i), order(1000+int64(i), "usd", "provider", provider))
	if code != http.StatusCreated {
		tn.t.Errorf("order %d: %d %v", i, code, p)
		return deal{}
	}
	d, target := deal{id: text(tn.t, p, "id")}, ""
	if provider == "stripe" {
		target = tn.pay(p, good)
	} else {
		target = tn.approve(p, object{})
	}
	if i%3 == 0 {
		tn.browse(target)
	}
	if i%5 == 0 {
		d.refund, d.refunded = tn.giveBack(d.id, i)
	}
	return d
}

// giveBack refunds a part of a payment as soon as it is paid.
func (tn *town) giveBack(id string, i int) (refund string, part int64) {
	part = 200 + int64(i)
	for range 60 { // a webhook takes up to twenty seconds
		if code, _, now := tn.do(http.MethodGet, "/v1/payments/"+id, appKey, "", nil); code == http.StatusOK && now["status"] == "succeeded" {
			code, r := tn.insist("/v1/payments/"+id+"/refunds", fmt.Sprintf("refund-%d", i), object{"amount": part})
			if code != http.StatusCreated {
				tn.t.Errorf("refund of payment %d: %d %v", i, code, r)
				return "", 0
			}
			return text(tn.t, r, "id"), part
		}
		tn.advance(time.Second)
	}
	tn.t.Errorf("payment %d does not become paid", i)
	return "", 0
}

// trades lets n customers trade, four at a time, and returns what they were told.
func (tn *town) trades(n int, each func(done int)) []deal {
	deals, work := make([]deal, n), make(chan int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range work {
				deals[i] = tn.trade(i)
			}
		})
	}
	for i := range n {
		work <- i
		each(i)
	}
	close(work)
	wg.Wait()
	return deals
}

// wantSettled looks into all three books: ours, the provider's, the app's feed. What was
// charged and what was given back stand in each once.
func (tn *town) wantSettled(deals []deal) {
	tn.t.Helper()
	told, refunds := tn.feed(), 0
	for i, d := range deals {
		if d.id == "" {
			continue
		}
		p := tn.get(d.id)
		if p["status"] != "succeeded" || amount(tn.t, p, "captured") != 1000+int64(i) || amount(tn.t, p, "refunded") != d.refunded {
			tn.t.Errorf("payment %d: %v, %v, want %d given back", i, p["status"], p["amounts"], d.refunded)
		}
		tn.wantLedger(d.id, "capture", 1000+int64(i))
		if n := told["payment.succeeded "+d.id]; n != 1 {
			tn.t.Errorf("payment %d stands %d times as succeeded in the feed", i, n)
		}
		if d.refund == "" {
			tn.wantLedger(d.id, "refund")
			continue
		}
		refunds++
		tn.wantLedger(d.id, "refund", d.refunded)
		if n := told["refund.succeeded "+d.refund]; n != 1 {
			tn.t.Errorf("the refund of payment %d stands %d times as succeeded in the feed", i, n)
		}
	}
	if want := (len(deals) + 4) / 5; refunds != want {
		tn.t.Errorf("%d refunds were acknowledged, want %d", refunds, want)
	}
}

// feed reads the whole feed, which must count without gaps or repetitions, and
// counts each type of event of each object.
func (tn *town) feed() map[string]int {
	tn.t.Helper()
	told, seen, after, sequence := map[string]int{}, map[any]bool{}, "", 0.0
	for range 200 {
		path := "/v1/events?limit=50"
		if after != "" {
			path += "&after=" + after
		}
		page := tn.must(http.StatusOK, http.MethodGet, path, "", nil)
		data, _ := page["data"].([]any)
		if len(data) == 0 {
			return told
		}
		after = text(tn.t, page, "next")
		for _, d := range data {
			e, _ := d.(object)
			if sequence++; e["sequence"] != sequence || seen[e["id"]] {
				tn.t.Errorf("event %v has sequence %v, want %v", e["id"], e["sequence"], sequence)
			}
			seen[e["id"]] = true
			body, _ := e["data"].(object)
			o, _ := body["object"].(object)
			told[fmt.Sprint(e["type"], " ", o["id"])]++
		}
	}
	tn.t.Error("the feed does not end")
	return told
}

// Promise: with two processes on one store, customers, apps and webhooks landing at
// either, and one of them killed in the middle of a provider call, nobody is
// charged or refunded twice, every payment is settled, and the feed has no gap.
func TestTwoReplicasOneKilled(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		strike int64
		aim    string
	}{
		{name: "in call 1", strike: 1}, // in a creation, and later in whatever it does then
		{name: "in call 14", strike: 14},
		{name: "in call 37", strike: 37},
		{name: "in a refund", strike: 1, aim: "/refund"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tw := startTwins(t)
			tw.aim = tc.aim
			tw.sandbox(tw.stripe, "/_sandbox/faults", object{"webhooks": object{"duplicate": 0.3, "delay_ms": []int{0, 20000}, "reorder": true}}, http.StatusOK)
			const n = 24
			deals := tw.trades(n, func(done int) {
				if done == n/3 {
					tw.strike.Store(tc.strike)
				}
				if done%4 == 3 {
					tw.advance(2 * time.Second)
				}
			})
			tw.advance(3 * time.Minute)
			if !tw.dead.Load() {
				t.Fatalf("the second process was never killed; it made %d calls", tw.calls2.Load())
			}
			tw.advance(15 * time.Minute)
			tw.wantSettled(deals)
		})
	}
}

// Promise: two processes do the work of one: the calls made to the providers for
// each payment stay nearly the same, though both look at the same queues.
func TestReplicasShareTheWork(t *testing.T) {
	t.Parallel()
	for range 3 { // who is how fast is up to the machine, and the numbers differ by a tenth: three times too many are no accident
		alone, together, second := sharedWork(t)
		if second >= together/10 && together <= alone*120/100 {
			return
		}
	}
	t.Error("two processes make more calls than one, or one of them makes nearly none")
}

// sharedWork counts the provider calls that one process makes for some payments, and
// those that two make together, of which the second.
func sharedWork(t *testing.T) (alone, together, second int64) {
	t.Helper()
	const n = 30
	run := func(tn *town) {
		deals := tn.trades(n, func(int) {})
		tn.quiesce(t.Context())
		for range 6 {
			tn.advance(5 * time.Minute)
		}
		tn.wantSettled(deals)
	}
	one := start(t, allLayers)
	one.settle = func(ctx context.Context) {
		one.together(ctx, func(ctx context.Context) error { return one.house.Quiesce(ctx) })
	}
	run(one)
	tw := startTwins(t)
	run(tw.town)
	alone, second = one.calls.n.Load(), tw.calls2.Load()
	together = tw.calls.n.Load() + second
	t.Logf("%d payments: %d provider calls by one process (%d.%02d each), %d by two (%d.%02d each), of which the second made %d",
		n, alone, alone/n, alone%n*100/n, together, together/n, together%n*100/n, second)
	return alone, together, second
}

// Promise: what an operator pauses at one process is paused at the other within two
// seconds, and what is let go on goes on; nobody who had begun to pay notices.
func TestSettingsReachTheOtherReplica(t *testing.T) {
	t.Parallel()
	tw := startTwins(t)
	at := func(second bool) { // who answers the next request
		if (tw.turn.Load()%2 == 1) != second {
			tw.turn.Add(1)
		}
	}
	create := func(second bool, key string, more ...string) (int, object) {
		at(second)
		code, header, out := tw.do(http.MethodPost, "/v1/payments", appKey, key, order(1999, "usd", more...))
		if code == http.StatusServiceUnavailable && header.Get("Retry-After") == "" {
			t.Error("a refusal without Retry-After")
		}
		return code, out
	}
	change := func(version int, section any) {
		t.Helper()
		at(false)
		code, _, out := tw.do(http.MethodPut, "/v1/settings", operatorKey, "", object{"version": version, "reason": "incident 7", "settings": object{"payments": section}})
		if code != http.StatusOK {
			t.Fatalf("change of settings: %d %v", code, out)
		}
	}
	code, begun := create(true, "begun", "provider", "stripe")
	if code != http.StatusCreated {
		t.Fatalf("before the pause: %d %v", code, begun)
	}
	change(0, object{"paused_accounts": object{"stripe-e2e": object{"reason": "incident 7"}}})
	if code, out := create(false, "k1", "provider", "stripe"); code != http.StatusServiceUnavailable || out["code"] != "provider_unavailable" {
		t.Errorf("at the process that was told: %d %v", code, out)
	}
	tw.advance(2 * time.Second)
	code, out := create(true, "k1", "provider", "stripe")
	if code != http.StatusServiceUnavailable || out["code"] != "provider_unavailable" || strings.Contains(fmt.Sprint(out), "incident 7") {
		t.Errorf("at the other after two seconds: %d %v", code, out)
	}
	if code, out := create(true, "k2", "provider", "paypal"); code != http.StatusCreated {
		t.Errorf("the other account: %d %v", code, out)
	}
	tw.pay(begun, good)
	tw.advance(time.Minute)
	tw.wantStatus(text(t, begun, "id"), "succeeded")
	change(1, nil)
	tw.advance(2 * time.Second)
	if code, out := create(true, "k1", "provider", "stripe"); code != http.StatusCreated {
		t.Errorf("after the pause: %d %v", code, out)
	}
}
