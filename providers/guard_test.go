package providers_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// fake is a provider whose reads and sweeps count and answer what a test says.
type fake struct {
	providers.Provider
	reads, pages atomic.Int64
	answer       func(ctx context.Context) error
}

func (f *fake) Info() providers.Info {
	return providers.Info{Provider: "fake", Account: "fake-eu", Calls: map[string]int{"fetch": 4}}
}

func (f *fake) Fetch(ctx context.Context, _ providers.Attempt) (payment.Observation, error) {
	f.reads.Add(1)
	if f.answer != nil {
		return payment.Observation{}, f.answer(ctx)
	}
	return payment.Observation{}, nil
}

func (f *fake) CreateCheckout(ctx context.Context, _ providers.CheckoutRequest, _ string) (providers.Result, error) {
	if f.answer != nil {
		return providers.Result{}, f.answer(ctx)
	}
	return providers.Result{}, nil
}

func (f *fake) Lists() []string { return []string{"things"} }

func (f *fake) Sweep(context.Context, string, time.Time, time.Time, string) (providers.SweepPage, error) {
	f.pages.Add(1)
	return providers.SweepPage{}, nil
}

// until calls fn until ctx ends, from several callers at once.
func until(ctx context.Context, fn func(context.Context) error) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if fn(ctx) != nil {
					time.Sleep(100 * time.Millisecond) // in the bubble's time
				}
			}
		})
	}
	wg.Wait()
}

// Promise: a process keeps to its share of the rate budget, reads count as the
// calls that they make, and follows its share within a call; sweeps and the reads
// that follow from them have a fifth of it together.
func TestGuardKeepsToTheShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		var share atomic.Int64
		share.Store(providers.Whole)
		a := providers.Guard(f, providers.GuardOptions{PerSecond: 80, Share: share.Load, Clock: time.Now})
		run := func(fn func(context.Context) error, count *atomic.Int64) int64 {
			time.Sleep(time.Minute) // the bucket is full
			ctx, stop := context.WithTimeout(t.Context(), 100*time.Second)
			defer stop()
			before := count.Load()
			until(ctx, fn)
			return count.Load() - before
		}
		read := func(ctx context.Context) error { _, err := a.Fetch(ctx, providers.Attempt{}); return err }
		page := func(ctx context.Context) error {
			_, err := a.Sweep(ctx, "things", time.Time{}, time.Time{}, "")
			return err
		}
		var paced atomic.Int64
		pace := func(ctx context.Context) error {
			err := a.Pace(ctx)
			if err == nil {
				paced.Add(1)
			}
			return err
		}
		within := func(what string, got, want int64) {
			t.Helper()
			if got < want*95/100 || got > want*105/100+8 {
				t.Errorf("%s: %d in 100 seconds, want about %d", what, got, want)
			}
		}
		within("reads with all of 80 calls a second", run(read, &f.reads), 2000)
		within("pages with all of it", run(page, &f.pages), 1600)
		within("paced reads with all of it", run(pace, &paced), 400)
		share.Store(providers.Whole / 4)
		within("reads with a quarter", run(read, &f.reads), 500)
		within("pages with a quarter", run(page, &f.pages), 400)
		if got := a.PerSecondMilli(); got != 20_000 {
			t.Errorf("the slice is told as %d thousandths of a call a second", got)
		}
		share.Store(providers.Whole)
		within("reads with all of it again", run(read, &f.reads), 2000)
	})
}

// Promise: after "too many requests" the account is left alone for as long as the
// provider asked, and callers are told when to come again; nothing was sent.
func TestGuardRestsWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		a := providers.Guard(f, providers.GuardOptions{PerSecond: 80, Clock: time.Now})
		read := func() error { _, err := a.Fetch(t.Context(), providers.Attempt{}); return err }
		busy := func(after time.Duration) {
			f.answer = func(context.Context) error {
				return &providers.Error{Class: providers.NotDone, Op: "fetch", Status: 429, RetryAfter: after}
			}
			if err := read(); err == nil {
				t.Fatal("the provider's refusal got lost")
			}
			f.answer = nil
		}
		busy(30 * time.Second)
		before := f.reads.Load()
		var e *providers.Error
		if err := read(); !errors.As(err, &e) || e.Class != providers.NotDone || e.Code != "rate_limited" || e.RetryAfter != 30*time.Second {
			t.Errorf("while the account rests: %v", err)
		}
		time.Sleep(20 * time.Second)
		if err := read(); !errors.As(err, &e) || e.RetryAfter != 10*time.Second || f.reads.Load() != before {
			t.Errorf("after 20 of 30 seconds: %v, %d calls sent", err, f.reads.Load()-before)
		}
		time.Sleep(10 * time.Second)
		if err := read(); err != nil {
			t.Errorf("after the rest: %v", err)
		}
		busy(0) // no time named: a short rest, which calls wait out
		start := time.Now()
		if err := read(); err != nil || time.Since(start) != time.Second {
			t.Errorf("a short rest: %v after %s", err, time.Since(start))
		}
		busy(24 * time.Hour) // a wrong one does not close the account for a day
		time.Sleep(time.Minute)
		if err := read(); err != nil {
			t.Errorf("after the longest rest: %v", err)
		}
	})
}

// Promise: a process that must end waits for no provider: a call under way comes
// back at once with an unknown outcome, and no other is sent.
func TestGuardCutsCallsAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		stopping, cut := context.WithCancel(t.Context())
		a := providers.Guard(f, providers.GuardOptions{Stopping: stopping, Clock: time.Now})
		time.AfterFunc(3*time.Second, cut)
		start := time.Now()
		_, err := a.CreateCheckout(t.Context(), providers.CheckoutRequest{}, "k")
		if providers.ClassOf(err) != providers.Unknown || time.Since(start) != 3*time.Second {
			t.Errorf("the call under way: %v after %s", err, time.Since(start))
		}
		before := f.reads.Load()
		if _, err := a.Fetch(t.Context(), providers.Attempt{}); providers.ClassOf(err) != providers.NotDone || f.reads.Load() != before {
			t.Errorf("a call afterwards: %v", err)
		}
	})
}

// Promise: customers who close their browsers while we read don't shut the account for
// everybody else, nor do they look like an outage; a provider that does not answer does.
func TestCallersWhoLeaveDoNotTripTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := map[providers.Class]int{}
		f := &fake{}
		a := providers.Guard(f, providers.GuardOptions{
			PerSecond: 1000, Clock: time.Now, Observe: func(_ string, class providers.Class, _ time.Duration) { heard[class]++ },
		})
		f.answer = func(ctx context.Context) error {
			<-ctx.Done()
			return &providers.Error{Class: providers.Unknown, Op: "fetch", Cause: ctx.Err()}
		}
		silent := f.answer
		leaves := func() {
			t.Helper()
			ctx, leave := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, leave)
			if _, err := a.Fetch(ctx, providers.Attempt{}); providers.ClassOf(err) != providers.Unknown || !errors.Is(err, context.Canceled) {
				t.Fatalf("a read whose caller left: %v", err)
			}
		}
		for range 50 {
			leaves()
		}
		f.answer = nil
		if _, err := a.CreateCheckout(t.Context(), providers.CheckoutRequest{}, "k"); err != nil {
			t.Fatalf("the next customer's checkout: %v", err)
		}
		if heard[providers.GivenUp] != 50 || heard[providers.Unknown] != 0 || heard["ok"] != 1 {
			t.Errorf("heard %v", heard)
		}
		f.answer = silent
		for range 20 {
			if _, err := a.Fetch(t.Context(), providers.Attempt{}); providers.ClassOf(err) != providers.Unknown {
				t.Fatalf("a provider that does not answer: %v", err)
			}
		}
		var e *providers.Error
		if _, err := a.Fetch(t.Context(), providers.Attempt{}); !errors.As(err, &e) || e.Class != providers.NotDone || e.Code != "breaker_open" {
			t.Errorf("after 20 reads without an answer: %v", err)
		}
		// When it is tried again, one who leaves decides nothing either.
		time.Sleep(11 * time.Second)
		leaves()
		f.answer = nil
		for range 3 {
			if _, err := a.Fetch(t.Context(), providers.Attempt{}); err != nil {
				t.Errorf("a provider that answers again: %v", err)
			}
		}
	})
}

// Promise: a payment that was read, though not its disputes, is a provider that answers:
// unclear answers around such reads don't shut the account. A service beside the money's
// own that fails says nothing, for or against.
func TestReadsWithoutDisputesAreGoodReads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		between *providers.Error
		open    bool
	}{
		"read":     {&providers.Error{Class: providers.Unknown, Op: "fetch", Aside: true, Rooted: true}, false},
		"not read": {&providers.Error{Class: providers.Unknown, Op: "fetch", Aside: true}, true},
	} {
		f := &fake{}
		a := providers.Guard(f, providers.GuardOptions{PerSecond: 1000})
		for i := range 21 {
			failure := &providers.Error{Class: providers.Unknown, Op: "fetch"}
			if i == 10 {
				failure = c.between
			}
			f.answer = func(context.Context) error { return failure }
			if _, err := a.Fetch(t.Context(), providers.Attempt{}); !errors.Is(err, failure) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		f.answer = nil
		if _, err := a.Fetch(t.Context(), providers.Attempt{}); (err != nil) != c.open {
			t.Errorf("%s: %v", name, err)
		}
	}
}
