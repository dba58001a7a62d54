package outbox_test

import (
	"fmt"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// spoil makes the first page of a feed unreadable, as one of a later program's is.
func (r *rig) spoil(app string) {
	r.t.Helper()
	id := fmt.Sprintf("feed/%s/%s/1", payment.ModeLive, app)
	d, err := r.engine.Get(r.t.Context(), "feed", id)
	if err != nil {
		r.t.Fatal(err)
	}
	d.Body = []byte(`{"schema":99}`)
	if err := r.engine.Replace(r.t.Context(), "feed", d, d.Version); err != nil {
		r.t.Fatal(err)
	}
}

// Guards I9 across apps: an app whose feed can't be written keeps no other app's events
// back, however many of its own pile up at the head of the queue.
func TestStuckFeedHoldsNoOtherBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	relay := r.relay(func(o *outbox.RelayOptions) { o.Batch = 5 })
	r.pay("broken", payment.ModeLive, "first", 1)
	r.run(relay)
	r.spoil("broken")
	relay = r.relay(func(o *outbox.RelayOptions) { o.Batch = 5 })
	for i := range 60 {
		r.pay("broken", payment.ModeLive, fmt.Sprintf("a%02d", i), 1)
	}
	var want []string
	for i := range 7 {
		want = append(want, r.pay("shop", payment.ModeLive, fmt.Sprintf("b%02d", i), 2)...)
	}
	for range 6 {
		if _, _, err := relay.Step(t.Context()); err == nil {
			t.Fatal("nobody hears of the feed that can't be written")
		}
	}
	r.wantFed("shop", payment.ModeLive, want)
	more := r.pay("shop", payment.ModeLive, "c00", 1)
	for range 4 {
		_, _, _ = relay.Step(t.Context())
	}
	r.wantFed("shop", payment.ModeLive, append(want, more...))
}
