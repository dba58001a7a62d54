package outbox_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// stale gives payments as they were when it was told to remember them, as a member of a
// replica set does that was primary a moment ago.
type stale struct {
	outbox.Payments
	outbox.Pages
	t     *testing.T
	old   []*payment.Payment
	down  bool
	lasts int
}

func newStale(r *rig) *stale {
	return &stale{Payments: store.NewPayments(r.engine), Pages: store.NewFeed(r.engine), t: r.t}
}

func (s *stale) use(o *outbox.RelayOptions) { o.Payments, o.Pages = s, s }

func (s *stale) remember() {
	s.t.Helper()
	found, _, _, err := s.Payments.Unfed(s.t.Context(), 500, "")
	if err != nil || len(found) == 0 {
		s.t.Fatalf("%d payments to remember, %v", len(found), err)
	}
	s.old = found
}

func (s *stale) Unfed(ctx context.Context, limit int, after string) ([]*payment.Payment, []error, string, error) {
	if s.down {
		return nil, nil, "", errDown
	}
	found, unreadable, next, err := s.Payments.Unfed(ctx, limit, after)
	return append(append([]*payment.Payment{}, s.old...), found...), unreadable, next, err
}

func (s *stale) Get(ctx context.Context, id string) (*payment.Payment, error) {
	for _, p := range s.old {
		if p.ID == id {
			return p, nil
		}
	}
	return s.Payments.Get(ctx, id)
}

func (s *stale) Last(ctx context.Context, app string, mode payment.Mode) (outbox.Page, bool, error) {
	s.lasts++
	return s.Pages.Last(ctx, app, mode)
}

// Guards I9 in a fail-over: a read from before the marking, that still shows events as
// waiting which stand in the feed, feeds none of them twice, whether the relay knows where
// the feed ends or reads it again, and also where a page was opened meanwhile.
func TestStaleReadFeedsNothingTwice(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 3, outbox.MaxPageEvents - 3, outbox.MaxPageEvents - 2, outbox.MaxPageEvents} {
		for _, known := range []bool{true, false} {
			for _, more := range []int{0, 1} {
				t.Run(fmt.Sprintf("before=%d known=%t more=%d", before, known, more), func(t *testing.T) {
					t.Parallel()
					r := newRig(t)
					s := newStale(r)
					relay := r.relay(s.use)
					want := r.pay("shop", payment.ModeTest, "before", before)
					r.run(relay)
					want = append(want, r.pay("shop", payment.ModeTest, "x", 3)...)
					s.remember()
					found := s.old
					s.old = nil
					r.run(relay)
					if more > 0 {
						want = append(want, r.pay("shop", payment.ModeTest, "more", more)...)
						r.run(relay)
					}
					if !known {
						relay = r.relay(s.use)
					}
					want = append(want, r.pay("shop", payment.ModeTest, "new", 2)...)
					s.old = found
					for range 3 {
						if _, _, err := relay.Step(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					s.old = nil
					r.run(relay)
					r.wantFed("shop", payment.ModeTest, want)
				})
			}
		}
	}
}

// Guards I9 in a fail-over: after an error of the store a relay does not go on from what it
// remembers of feeds, but reads where they end, and the payments after that.
func TestRelayForgetsFeedsWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := newStale(r)
	relay := r.relay(s.use)
	want := r.pay("shop", payment.ModeTest, "first", 3)
	want2 := r.pay("other", payment.ModeTest, "theirs", 3)
	r.run(relay)
	s.down, s.lasts = true, 0
	if _, _, err := relay.Step(t.Context()); err == nil {
		t.Fatal("the fault did not work")
	}
	s.down = false
	want = append(want, r.pay("shop", payment.ModeTest, "second", 2)...)
	want2 = append(want2, r.pay("other", payment.ModeTest, "theirs2", 2)...)
	r.run(relay)
	if s.lasts != 2 {
		t.Errorf("%d feeds were read again, want both", s.lasts)
	}
	r.wantFed("shop", payment.ModeTest, want)
	r.wantFed("other", payment.ModeTest, want2)
}

// Guards against an event that waits for ever: one that stands in the feed, and in its
// payment as well because its marking was lost, is marked when it is met.
func TestEventInFeedAndPaymentIsMarked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lost := markerFunc(func(_ context.Context, fed []payment.Fed) []error { return make([]error, len(fed)) })
	relay := r.relay(func(o *outbox.RelayOptions) { o.Marker = lost })
	want := r.pay("shop", payment.ModeTest, "a", 3)
	if _, _, err := relay.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	want = append(want, r.pay("shop", payment.ModeTest, "b", 1)...)
	if _, _, err := relay.Step(t.Context()); err != nil { // Unmarked names b alone from now on
		t.Fatal(err)
	}
	if r.waiting("a") != 3 {
		t.Fatal("the test needs events that are fed and not marked")
	}
	r.run(r.relay())
	r.wantFed("shop", payment.ModeTest, want)
	if r.waiting("a")+r.waiting("b") != 0 {
		t.Error("events still wait in their payments")
	}
}
