package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
	"github.com/trifecta-pay/trifecta/store/storetest"
)

// The storm: one process on a file, killed at random moments while payments are
// made, paid and refunded.
func TestKillStorm(t *testing.T) {
	one := startPair(t)
	one.wantWholeFeed(len(storm{kills: 90, houses: []*pair{one}}.rage(t)))
}

// Two processes on one store share the work: each customer is asked of either, the
// webhooks come to one, and each in turn is killed. Afterwards both say the same,
// and the feed has no gap.
func TestKillOneOfTwoReplicas(t *testing.T) {
	if storetest.Engine(storetest.Wire) == storetest.SQLite {
		t.Skip("an SQLite file belongs to one process")
	}
	one := layout{engine: storetest.Wire}.start(t)
	two := one.replica()
	ids := storm{kills: 64, houses: []*pair{one, two}}.rage(t)
	for _, id := range ids {
		a, p := one.ask(http.MethodGet, "/v1/payments/"+id, "", nil)
		b, q := two.ask(http.MethodGet, "/v1/payments/"+id, "", nil)
		if a != http.StatusOK || b != http.StatusOK || p["status"] != q["status"] {
			t.Errorf("payment %s: %d %v at one, %d %v at the other", id, a, p["status"], b, q["status"])
		}
	}
	two.wantWholeFeed(len(ids))
	for _, pr := range []*pair{one, two} {
		if took := pr.serve.terminate(t); took > 10*time.Second {
			t.Errorf("it took %s to end", took)
		}
	}
}

// storm is kill -9, again and again, while customers trade, webhooks are dropped,
// doubled, late and out of order, and provider answers are lost.
type storm struct {
	kills  int
	houses []*pair // on one store; killed in turn, one at a time
}

// rage lets the storm pass, and wants every customer served, every acknowledged
// payment there, and the books equal in the eyes of an independent checker. It
// returns the payments.
func (s storm) rage(t *testing.T) []string {
	t.Helper()
	one, begun := s.houses[0], time.Now()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	draw := rand.New(rand.NewPCG(seed, 1))
	one.control(http.MethodPut, one.stripe+"/_sandbox/faults", object{
		"seed":     seed % 1000,
		"webhooks": object{"drop": 0.3, "duplicate": 0.3, "delay_ms": []int{0, 3000}, "reorder": true},
		"api":      object{"timeout_after_effect": 0.05, "timeout_before_effect": 0.03, "timeout_ms": 30, "latency_ms": []int{5, 60}},
	})
	const customers = 4
	var mu sync.Mutex
	var ids []string
	var busy atomic.Int64
	work := make(chan int, s.kills+customers)
	var wg sync.WaitGroup
	for range customers {
		wg.Go(func() {
			for i := range work {
				busy.Add(1)
				if id := s.houses[i/2%len(s.houses)].shop(i); id != "" {
					mu.Lock()
					ids = append(ids, id)
					mu.Unlock()
				}
				busy.Add(-1)
			}
		})
	}
	for i := range customers {
		work <- i
	}
	during, starting := 0, 0
	for n := 0; n < s.kills; n++ { // with every kill comes one more customer, so that there always are some
		work <- customers + n
		victim := s.houses[n%len(s.houses)]
		time.Sleep(time.Duration(draw.IntN(80)) * time.Millisecond) // a random moment
		if busy.Load() > 0 {
			during++
		}
		victim.serve.kill()
		one.advance(25) // leases of the dead end
		if draw.IntN(6) == 0 && n+1 < s.kills {
			n++
			work <- customers + n
			starting++
			during++
			unborn := spawn(t, "serve", "--config", victim.config)
			time.Sleep(time.Duration(draw.IntN(40)) * time.Millisecond) // a random moment
			unborn.kill()
		}
		victim.start()
	}
	close(work)
	storming := time.Since(begun)
	wg.Wait()
	served := time.Since(begun)
	if during < s.kills*9/10 {
		t.Errorf("only %d of %d kills came while customers were paying", during, s.kills)
	}
	if len(ids) != s.kills+customers {
		t.Errorf("%d of %d payments were acknowledged in the end", len(ids), s.kills+customers)
	}
	t.Logf("%d kills in %s, %d of them while customers were paying, %d of those while it was starting; everybody served after %s", s.kills, storming.Round(time.Millisecond), during, starting, served.Round(time.Millisecond))
	one.control(http.MethodDelete, one.stripe+"/_sandbox/faults", nil)
	one.wantEqualBooks(ids, s.houses...)
	if n := one.given.count(); n < s.kills/20 {
		t.Errorf("the shop gave money back %d times in the storm", n)
	}
	return ids
}

// wantEqualBooks lets time pass until our book and the providers' are equal in the
// eyes of the independent checker, and looks for every acknowledged payment.
func (pr *pair) wantEqualBooks(ids []string, all ...*pair) {
	t := pr.t
	t.Helper()
	var report string
	var err error
	for end := time.Now().Add(4 * time.Minute); time.Now().Before(end); { // due syncs and sweeps run on the sandbox's clock
		if report, err = pr.checkbooks(); err == nil {
			break
		}
		pr.advance(600)
		time.Sleep(250 * time.Millisecond) // the gateway follows that clock by polling
	}
	if err != nil {
		t.Errorf("the books differ: %v\n%s", err, report)
		for _, h := range append(all, pr) {
			t.Logf("%s", h.serve.logs)
		}
		t.FailNow()
	}
	t.Logf("%s; %d refunds", strings.TrimSpace(report), pr.given.count())
	for _, id := range ids {
		code, p := pr.ask(http.MethodGet, "/v1/payments/"+id, "", nil)
		if code != http.StatusOK {
			t.Errorf("acknowledged payment %s is gone: %d", id, code)
			continue
		}
		amounts, _ := p["amounts"].(object)
		back, _ := amounts["refunded"].(object)
		if want := pr.given.amount(id); back["amount"] != float64(want) {
			t.Errorf("of payment %s %v was given back, the shop was told %d", id, back["amount"], want)
		}
	}
}

// returns are the refunds that the shop was told to be done.
type returns struct {
	mu sync.Mutex
	of map[string]int64 // by payment, in minor units
}

func (r *returns) add(payment string, amount int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of[payment] += amount
}

func (r *returns) amount(payment string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[payment]
}

func (r *returns) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.of)
}

// replica starts another gateway on the same store.
func (pr *pair) replica() *pair {
	pr.t.Helper()
	text, err := os.ReadFile(pr.config)
	if err != nil {
		pr.t.Fatal(err)
	}
	addr := wiretest.ReserveFor(pr.t).Addr
	was := strings.TrimPrefix(pr.api, "http://")
	other := *pr
	other.api = "http://" + addr
	other.config = filepath.Join(filepath.Dir(pr.config), "replica.yaml")
	changed := strings.Replace(string(text), fmt.Sprintf("addr: %q", was), fmt.Sprintf("addr: %q", addr), 1)
	if changed == string(text) {
		pr.t.Fatalf("the configuration does not listen on %s", was)
	}
	if err := os.WriteFile(other.config, []byte(changed), 0o600); err != nil {
		pr.t.Fatal(err)
	}
	other.start()
	return &other
}

// wantWholeFeed reads the feed to its end: it counts without gaps or repetitions, and
// tells of the success of so many payments, and of every refund, each once.
func (pr *pair) wantWholeFeed(payments int) {
	pr.t.Helper()
	told := map[string]map[string]int{"payment.succeeded": {}, "refund.succeeded": {}}
	succeeded, refunds, after, sequence := told["payment.succeeded"], pr.given.count(), "", 0.0
	for end, polls := time.Now().Add(3*time.Minute), 1; time.Now().Before(end); polls++ {
		if polls%40 == 0 {
			pr.t.Logf("the feed tells of %d payments so far, want %d", len(succeeded), payments)
			pr.advance(60) // whoever held an event may have been stopped: its lease ends
		}
		path := "/v1/events?limit=100"
		if after != "" {
			path += "&after=" + after
		}
		code, page := pr.ask(http.MethodGet, path, "", nil)
		data, _ := page["data"].([]any)
		if code == http.StatusOK && len(data) == 0 && len(succeeded) >= payments && len(told["refund.succeeded"]) >= refunds {
			break
		}
		if code != http.StatusOK || len(data) == 0 {
			time.Sleep(50 * time.Millisecond) // events are on their way in another process
			continue
		}
		after, _ = page["next"].(string)
		for _, d := range data {
			e, _ := d.(object)
			if sequence++; e["sequence"] != sequence {
				pr.t.Errorf("event %v has sequence %v, want %v", e["id"], e["sequence"], sequence)
			}
			body, _ := e["data"].(object)
			o, _ := body["object"].(object)
			if objects := told[fmt.Sprint(e["type"])]; objects != nil {
				objects[fmt.Sprint(o["id"])]++
			}
		}
	}
	if back := len(told["refund.succeeded"]); len(succeeded) != payments || back != refunds {
		pr.t.Errorf("the feed tells of %d payments and %d refunds that succeeded, want %d and %d", len(succeeded), back, payments, refunds)
	}
	for kind, objects := range told {
		for id, n := range objects {
			if n != 1 {
				pr.t.Errorf("%s of %s is told %d times in the feed", kind, id, n)
			}
		}
	}
}

// shop is one customer's story: order, pay, sometimes come back, sometimes a
// refund.
func (pr *pair) shop(i int) string {
	provider := []string{"stripe", "paypal"}[i%2]
	code, p := pr.insist("/v1/payments", fmt.Sprintf("order-%d", i), order(1000+int64(i), "usd", "provider", provider))
	if code != http.StatusCreated {
		pr.t.Errorf("order %d: %d %v", i, code, p)
		return ""
	}
	id, _ := p["id"].(string)
	pr.customer(i, p)
	if i%5 == 0 {
		for range 40 {
			if code, now := pr.ask(http.MethodGet, "/v1/payments/"+id, "", nil); code == http.StatusOK && now["status"] == "succeeded" {
				code, r := pr.insist("/v1/payments/"+id+"/refunds", fmt.Sprintf("refund-%d", i), object{"amount": 300})
				if code != http.StatusCreated || r["status"] != "succeeded" {
					pr.t.Errorf("refund of payment %s: %d %v", id, code, r)
				}
				pr.given.add(id, 300)
				break
			}
			time.Sleep(50 * time.Millisecond) // waiting for a webhook
		}
	}
	return id
}

// customer pays a payment, or approves it; every third comes back.
func (pr *pair) customer(i int, p object) {
	refs, _ := p["provider_refs"].(object)
	target := ""
	if session, ok := refs["checkout_session"].(string); ok {
		target = pr.pay(pr.stripe+"/_sandbox/checkout/"+session+"/pay", object{"card": good})
	}
	if o, ok := refs["order"].(string); ok {
		target = pr.pay(pr.paypal+"/_sandbox/orders/"+o+"/approve", object{})
	}
	if i%3 == 0 && target != "" { // this one comes back; the others close the tab
		noFollow := &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		if resp, err := noFollow.Get(target); err == nil {
			_ = resp.Body.Close()
		}
	}
}

func (pr *pair) pay(target string, body object) string {
	b, err := json.Marshal(body)
	if err != nil {
		return ""
	}
	resp, err := pr.client.Post(target, "application/json", bytes.NewReader(b))
	if err != nil {
		pr.t.Errorf("customer: %v", err)
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	var out struct {
		URL string `json:"redirect_url"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode != http.StatusOK {
		pr.t.Errorf("customer: %d %v", resp.StatusCode, err)
	}
	return out.URL
}
