package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store/storetest"
)

// Both providers accept calls and never answer, for 30 seconds. A creation is answered
// within 25 s, with 202 (the outcome is unknown) or 503 (nothing was done); reading is
// as fast as ever; goroutines stay bounded. Afterwards all that was begun is found out.
func TestProviderStalled(t *testing.T) {
	t.Parallel()
	w := startWeb(t, storetest.SQLite)
	known := w.shops(0, 4)
	const customers, stall = 16, 30 * time.Second
	before, _ := w.goroutines()
	w.client.Transport = &http.Transport{MaxIdleConnsPerHost: 2 * customers}
	hurt(w.stripeWay, harm{hole: true})
	hurt(w.paypalWay, harm{hole: true})
	ctx, healed := context.WithTimeout(t.Context(), stall)
	defer healed()
	var mu sync.Mutex
	codes := map[int]int{}
	var longest time.Duration
	var wg sync.WaitGroup
	for c := range customers {
		wg.Go(func() {
			key, n := "", 0
			for ; ctx.Err() == nil; n++ {
				key = fmt.Sprintf("stall-%d-%d", c, n)
				begun := time.Now()
				code, out := w.ask(http.MethodPost, "/v1/payments", key, order(3000, "usd", "provider", []string{"stripe", "paypal"}[c%2]))
				mu.Lock()
				codes[code]++
				longest = max(longest, time.Since(begun))
				mu.Unlock()
				if code != http.StatusAccepted && code != http.StatusServiceUnavailable && ctx.Err() == nil {
					t.Errorf("a creation was answered %d during the stall: %v", code, out)
				}
				if code == http.StatusServiceUnavailable {
					time.Sleep(250 * time.Millisecond) // an app that is told to wait waits; this one hardly
				}
			}
		})
	}
	var reads []time.Duration
	most := 0
	for ctx.Err() == nil {
		begun := time.Now()
		if code, _ := w.ask(http.MethodGet, "/v1/payments/"+known[len(reads)%len(known)], "", nil); code != http.StatusOK {
			t.Errorf("a read was answered %d during the stall", code)
		}
		if reads = append(reads, time.Since(begun)); len(reads)%100 == 0 {
			now, _ := w.goroutines()
			most = max(most, now)
		}
		time.Sleep(10 * time.Millisecond) // readers come one after another
	}
	hurt(w.stripeWay, harm{})
	hurt(w.paypalWay, harm{})
	wg.Wait()
	slices.Sort(reads)
	p99 := reads[len(reads)*99/100]
	t.Logf("creations by status: %v, the longest took %s; %d reads, p99 %s; goroutines %d before, at most %d during",
		codes, longest.Round(time.Millisecond), len(reads), p99.Round(time.Microsecond), before, most)
	if longest > 25*time.Second || codes[http.StatusAccepted] == 0 {
		t.Errorf("the longest creation took %s; %v", longest, codes)
	}
	if p99 > 500*time.Millisecond || len(reads) < 100 {
		t.Errorf("p99 of %d reads is %s", len(reads), p99)
	}
	if most > 2*before+customers || most == 0 {
		t.Errorf("%d goroutines before, %d during the stall", before, most)
	}
	w.wantNoneUnknown()
	w.wantGoroutines(before)
}

// wantNoneUnknown waits until the outcome of every creation has been found out. A payment
// that nobody paid stays open, or expires, and the providers took nothing for it.
func (pr *pair) wantNoneUnknown() {
	pr.t.Helper()
	var last any
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); {
		pr.advance(60)
		time.Sleep(250 * time.Millisecond) // the gateway follows that clock by polling
		code, page := pr.ask(http.MethodGet, "/v1/payments?status=processing&limit=100", "", nil)
		data, _ := page["data"].([]any)
		if code == http.StatusOK && len(data) == 0 {
			if report, err := pr.checkbooks(); err != nil {
				pr.t.Errorf("the books differ: %v\n%s", err, report)
			}
			return
		}
		last = data
	}
	pr.t.Errorf("still without an outcome: %v\n%s", last, pr.serve.logs)
}
