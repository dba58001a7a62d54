package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store/storetest"
)

// replica starts another gateway on the same store.
func (pr *pair) replica() *pair {
	pr.t.Helper()
	text, err := os.ReadFile(pr.config)
	if err != nil {
		pr.t.Fatal(err)
	}
	addr := freeAddr(pr.t)
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
	other.serve, _ = launch(pr.t, regexp.MustCompile(`"msg":"(ready)"`), "serve", "--config", other.config)
	return &other
}

// Two gateways on one store share the work: each customer is asked of either, the
// webhooks come to one, dropped, doubled, late and out of order, and each in turn is
// killed. Afterwards the books are equal, both say the same, and the feed has no gap.
func TestKillOneOfTwoReplicas(t *testing.T) {
	if storetest.Engine(storetest.SQLite) == storetest.SQLite {
		t.Skip("an SQLite file belongs to one process: TRIFECTA_TEST_ENGINE=wire, or a real MongoDB")
	}
	one := startPair(t)
	two := one.replica()
	one.control(http.MethodPut, one.stripe+"/_sandbox/faults", object{
		"seed":     7,
		"webhooks": object{"drop": 0.2, "duplicate": 0.3, "delay_ms": []int{0, 2000}, "reorder": true},
		"api":      object{"timeout_after_effect": 0.03, "timeout_ms": 50, "latency_ms": []int{20, 200}},
	})
	const payments = 40
	var mu sync.Mutex
	var ids []string
	work := make(chan int)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range work {
				at := one
				if (i+w)%2 == 0 {
					at = two
				}
				if id := at.shop(i); id != "" {
					mu.Lock()
					ids = append(ids, id)
					mu.Unlock()
				}
			}
		})
	}
	go func() {
		for i := range payments {
			work <- i
		}
		close(work)
	}()
	for n := range 6 {
		time.Sleep(400 * time.Millisecond) // customers are paying
		victim := []*pair{one, two}[n%2]
		victim.serve.kill()
		victim.start()
		one.advance(25)
	}
	wg.Wait()
	one.control(http.MethodDelete, one.stripe+"/_sandbox/faults", nil)
	var report string
	var err error
	for range 120 {
		one.advance(600)
		time.Sleep(250 * time.Millisecond) // the gateways follow that clock by polling
		if report, err = two.checkbooks(); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("the books differ: %v\n%s\n%s\n%s", err, report, one.serve.logs, two.serve.logs)
	}
	t.Log(strings.TrimSpace(report))
	if len(ids) != payments {
		t.Errorf("%d of %d payments were acknowledged in the end", len(ids), payments)
	}
	for _, id := range ids {
		a, p := one.ask(http.MethodGet, "/v1/payments/"+id, "", nil)
		b, q := two.ask(http.MethodGet, "/v1/payments/"+id, "", nil)
		if a != http.StatusOK || b != http.StatusOK || p["status"] != q["status"] {
			t.Errorf("payment %s: %d %v at one, %d %v at the other", id, a, p["status"], b, q["status"])
		}
	}
	two.wantWholeFeed(payments)
	for _, pr := range []*pair{one, two} {
		if took := pr.serve.terminate(t); took > 10*time.Second {
			t.Errorf("it took %s to end", took)
		}
	}
}

// wantWholeFeed reads the feed to its end: it counts without gaps or repetitions, and
// tells of the success of so many payments, each once.
func (pr *pair) wantWholeFeed(payments int) {
	pr.t.Helper()
	succeeded, after, sequence := map[string]int{}, "", 0.0
	for range 500 {
		path := "/v1/events?limit=100"
		if after != "" {
			path += "&after=" + after
		}
		code, page := pr.ask(http.MethodGet, path, "", nil)
		if code == 0 || code == http.StatusServiceUnavailable {
			continue
		}
		data, _ := page["data"].([]any)
		if len(data) == 0 {
			break
		}
		after, _ = page["next"].(string)
		for _, d := range data {
			e, _ := d.(object)
			if sequence++; e["sequence"] != sequence {
				pr.t.Errorf("event %v has sequence %v, want %v", e["id"], e["sequence"], sequence)
			}
			body, _ := e["data"].(object)
			o, _ := body["object"].(object)
			if e["type"] == "payment.succeeded" {
				succeeded[fmt.Sprint(o["id"])]++
			}
		}
	}
	if len(succeeded) != payments {
		pr.t.Errorf("the feed tells of %d payments that succeeded, want %d", len(succeeded), payments)
	}
	for id, n := range succeeded {
		if n != 1 {
			pr.t.Errorf("payment %s succeeded %d times in the feed", id, n)
		}
	}
}
