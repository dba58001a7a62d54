package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/storetest"
)

// A flood of 40,000 forged webhooks, 2,000 a second where the machine sends as many, beside
// 20 honest ones a second: no honest one is lost, the forged write nothing, and memory
// stays bounded. The gateway is a process of its own, so its memory is its own.
func TestWebhookFlood(t *testing.T) {
	pr := startPair(t, "layers: {return: true, webhook: true, reconcile: false}") // only webhooks can bring the truth
	const seconds, forgedPerSecond, honestPerSecond = 20, 2000, 20
	before, begun := pr.memory(), time.Now()
	var forged, refused, honest, other atomic.Int64
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64}}
	body := []byte(`{"id":"evt_forged","object":"event","type":"checkout.session.completed","data":{"object":{"id":"cs_1","object":"checkout.session"}}}`)
	ctx, over := context.WithCancel(t.Context()) // a count ends it, not a time: a slow machine takes longer
	defer over()
	var wg sync.WaitGroup
	work := make(chan struct{}, forgedPerSecond)
	for range 48 {
		wg.Go(func() {
			for range work {
				forged.Add(1)
				switch code := pr.forge(client, body); code {
				case http.StatusBadRequest:
					refused.Add(1)
				default:
					other.Add(1)
				}
			}
		})
	}
	wg.Go(func() { // arrivals are fixed beforehand: a slow answer does not slow the flood
		defer over()
		defer close(work)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range seconds * 100 {
			<-tick.C
			for range forgedPerSecond / 100 {
				work <- struct{}{}
			}
		}
	})
	var mu sync.Mutex
	var ids []string
	tick := time.NewTicker(time.Second / honestPerSecond * 4) // each payment brings several events
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		<-tick.C
		wg.Go(func() {
			code, p := pr.insist("/v1/payments", "flood-"+strconv.Itoa(i), order(1000+int64(i), "usd", "provider", "stripe"))
			if code != http.StatusCreated {
				t.Errorf("payment %d during the flood: %d %v", i, code, p)
				return
			}
			refs, _ := p["provider_refs"].(object)
			session, _ := refs["checkout_session"].(string)
			pr.pay(pr.stripe+"/_sandbox/checkout/"+session+"/pay", object{"card": good})
			honest.Add(1)
			mu.Lock()
			defer mu.Unlock()
			id, _ := p["id"].(string)
			ids = append(ids, id)
		})
	}
	wg.Wait()
	after := pr.memory()
	t.Logf("in %s %d forged (%d refused with 400), %d honest payments, memory %d -> %d KiB", time.Since(begun).Round(time.Second), forged.Load(), refused.Load(), honest.Load(), before, after)
	if forged.Load() != seconds*forgedPerSecond || other.Load() > 0 || refused.Load() != forged.Load() {
		t.Errorf("forged %d, refused %d, answered otherwise %d", forged.Load(), refused.Load(), other.Load())
	}
	if after > before+96*1024 {
		t.Errorf("memory grew from %d to %d KiB", before, after)
	}
	pr.advance(60)
	deadline := time.Now().Add(3 * time.Minute)
	for {
		report, err := pr.checkbooks()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("honest payments are missing: %s", report)
		}
		time.Sleep(200 * time.Millisecond) // webhooks are worked on in another process
	}
	for _, id := range ids {
		if code, p := pr.ask(http.MethodGet, "/v1/payments/"+id, "", nil); code != http.StatusOK || p["status"] != "succeeded" || p["settled_by"] != "webhook" {
			t.Errorf("payment %s: %d %v by %v", id, code, p["status"], p["settled_by"])
		}
	}
	pr.wantNothingForged()
}

func (pr *pair) forge(client *http.Client, body []byte) int {
	req, err := http.NewRequest(http.MethodPost, pr.api+"/webhooks/stripe/stripe-eu", bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", time.Now().Unix(), strings.Repeat("ab", 32)))
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// memory is the gateway's resident memory in KiB (Linux).
func (pr *pair) memory() int64 {
	pr.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pr.serve.cmd.Process.Pid))
	if err != nil {
		pr.t.Skipf("memory can only be read from /proc: %v", err)
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				pr.t.Fatal(err)
			}
			return n
		}
	}
	pr.t.Fatal("no VmRSS")
	return 0
}

// wantNothingForged looks for the forged event in the store, once nobody uses it
// any more.
func (pr *pair) wantNothingForged() {
	pr.t.Helper()
	pr.serve.kill()
	e := storetest.OpenAt(pr.t, pr.store, store.Collections())
	for _, c := range store.Collections() {
		for after, more := "", true; more; {
			docs, next, err := e.Scan(pr.t.Context(), c.Name, after, 0)
			if err != nil {
				pr.t.Fatal(err)
			}
			for _, d := range docs {
				if strings.Contains(d.ID, "evt_forged") || bytes.Contains(d.Body, []byte("evt_forged")) {
					pr.t.Errorf("%s %s holds a forged event", c.Name, d.ID)
				}
			}
			after, more = next, next != ""
		}
	}
}
