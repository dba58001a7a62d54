// Package parallel runs a bounded number of steps of one worker at once, so that a store
// that commits together what comes together can do so. It must not know what the steps
// are, start goroutines that outlive a call, or swallow a panic.
package parallel

import (
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// Each runs fn for 0..n-1, at most limit at once, and returns when all are done. With a
// limit of 1, or one step, it starts no goroutine, and the order is that of the numbers.
// fn keeps its own error. A panic comes out where it would without goroutines, after the
// other steps have ended.
func Each(limit, n int, fn func(i int)) {
	if limit == 1 || n == 1 {
		for i := range n {
			fn(i)
		}
		return
	}
	var all errgroup.Group
	all.SetLimit(limit)
	var caught atomic.Pointer[any]
	for i := range n {
		all.Go(func() error {
			defer func() {
				if r := recover(); r != nil {
					caught.CompareAndSwap(nil, &r)
				}
			}()
			fn(i)
			return nil
		})
	}
	_ = all.Wait() // fn keeps its own error
	if p := caught.Load(); p != nil {
		panic(*p)
	}
}
