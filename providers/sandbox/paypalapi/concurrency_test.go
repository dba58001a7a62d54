package paypalapi_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Guards state under concurrency: of many simultaneous captures with different request
// ids one takes the money, the others learn that it was taken.
func TestConcurrentCaptures(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	id := e.order("CAPTURE", "pay_1", "INV-1")
	e.control(200, "/orders/"+id+"/approve", "")
	statuses := make([]int, 12)
	var wg sync.WaitGroup
	for i := range statuses {
		wg.Go(func() {
			req, err := http.NewRequest(http.MethodPost, e.srv.URL+"/v2/checkout/orders/"+id+"/capture", nil)
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+e.token)
			req.Header.Set("PayPal-Request-Id", fmt.Sprintf("c%d", i))
			resp, err := e.srv.Client().Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			statuses[i] = resp.StatusCode
		})
	}
	wg.Wait()
	count := map[int]int{}
	for _, s := range statuses {
		count[s]++
	}
	if diff := cmp.Diff(map[int]int{201: 1, 422: 11}, count); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]entry{{"capture", 1000, "pay_1"}, {"fee", 84, "pay_1"}}, e.ledger()); diff != "" {
		t.Error(diff)
	}
}
