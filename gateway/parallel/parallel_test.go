package parallel_test

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/parallel"
)

// Guards workers: every step is done once, also beside one that panics, and the panic
// reaches whoever called, as it does without goroutines.
func TestEach(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 3} {
		var done [20]atomic.Int32
		parallel.Each(limit, len(done), func(i int) { done[i].Add(1) })
		for i := range done {
			if n := done[i].Load(); n != 1 {
				t.Errorf("limit %d: step %d was done %d times", limit, i, n)
			}
		}
		caught := func() (r any) {
			defer func() { r = recover() }()
			parallel.Each(limit, len(done), func(i int) {
				if i == 7 {
					panic("the seventh")
				}
				done[i].Add(1)
			})
			return nil
		}()
		if caught != "the seventh" {
			t.Errorf("limit %d: the caller saw %v", limit, caught)
		}
		if n := done[19].Load(); limit > 1 && n != 2 {
			t.Errorf("limit %d: the last step was done %d times beside a panic", limit, n)
		}
	}
	var order []int
	parallel.Each(1, 5, func(i int) { order = append(order, i) })
	if !slices.IsSorted(order) || len(order) != 5 {
		t.Errorf("one at a time they came as %v", order)
	}
}
