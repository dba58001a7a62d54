package gateway_test

import (
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
)

// D9: Promise: where the provider keeps a 500 under our key, the same key is never sent again: what may have happened
// is looked up first, adopted where it did, and ordered with a fresh key only where nothing is there.
func TestD9StoredFailureIsLookedUp(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"refund", "capture"} {
		for name, f := range map[string]fault{"it happened": stored500Done, "nothing happened": stored500} {
			t.Run(kind+", "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, nil)
				var id string
				var order func() (gateway.Answer, error)
				if kind == "refund" {
					id = w.paid("stripe").ID
					order = func() (gateway.Answer, error) { return w.refund(id, "r", 400) }
				} else {
					id = w.authorized("stripe").ID
					order = func() (gateway.Answer, error) { return w.capture(id, "c", 1000, true) }
				}
				w.stripe.fail(kind, f)
				a, err := order()
				if err != nil || !a.Unknown {
					t.Fatalf("the 500 is told as %+v, %v", a, err)
				}
				reads := w.stripe.counted("fetch")
				for n := 0; a.Unknown && n < 20; n++ {
					if sent := w.stripe.keysOf(kind); len(sent) > 1 && w.stripe.counted("fetch") == reads {
						t.Fatalf("sent again without a look: %v", sent)
					}
					w.pass(4 * time.Minute)
					if a, err = order(); err != nil {
						t.Fatal(err)
					}
				}
				want := map[fault]int{stored500Done: 1, stored500: 2}[f]
				if calls, keys := w.stripe.counted(kind), len(w.stripe.keysOf(kind)); a.Unknown || calls != want || keys != want {
					t.Errorf("unknown %v after %d calls with %d keys, want %d each", a.Unknown, calls, keys, want)
				}
				w.quiet(id)
				w.wantBooks(id)
				w.wantCaptured(id, 1000)
				if got, want := w.refundedSum(id), map[string]int64{"refund": 400}[kind]; got != want {
					t.Errorf("%d were given back, want %d", got, want)
				}
			})
		}
	}
}
