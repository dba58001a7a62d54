package inbox_test

import (
	"context"
	"sync"
	"testing"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// Promise: two processes that see the same events of one payment read it once: the
// one that comes second to the first event leaves the rest to the other.
func TestTwoProcessesReadOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	ids := []string{
		r.stored(paid("e1", p)),
		r.stored(hook{Key: "e2", Type: "checkout.updated", Kind: "checkout_session", Object: rootOf(p.ID)}),
	}
	second := r.inbox
	r.boot(func(o *inbox.Options) { o.Owner = "first" })
	first := r.inbox
	var mu sync.Mutex
	var claims int
	hasFirst, done := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	r.fault.set(func(pt store.WritePoint, w faults.When) error {
		if pt != store.PointInboxClaim || w != faults.Before {
			return nil
		}
		mu.Lock()
		claims++
		n := claims
		mu.Unlock()
		switch n {
		case 1: // the second process has looked and is about to claim the first event
			wg.Go(func() {
				if did, _, err := first.Step(context.Background()); did != 2 || err != nil {
					t.Errorf("the first process did %d (%v), want both events", did, err)
				}
			})
			<-hasFirst
		case 3: // the first process has it
			close(hasFirst)
			<-done
		}
		return nil
	}, nil)
	if did, _, err := second.Step(t.Context()); did != 0 || err != nil {
		t.Errorf("the second process did %d (%v), want nothing", did, err)
	}
	close(done)
	wg.Wait()
	if n := r.fake.fetched(); n != 1 {
		t.Errorf("%d reads, want 1", n)
	}
	for _, id := range ids {
		r.wantState(id, inbox.Done, "")
	}
}

// Promise: a process that is stopped in the middle of an event gives it back: it is
// due at once, and no try is counted.
func TestStoppedProcessGivesBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	id := r.stored(paid("e1", p))
	ctx, stop := context.WithCancel(t.Context())
	r.fault.set(func(pt store.WritePoint, w faults.When) error {
		if pt == store.PointInboxClaim && w == faults.After {
			stop()
		}
		return nil
	}, nil)
	if _, _, err := r.inbox.Step(ctx); err != nil {
		t.Error(err)
	}
	if rec := r.record(id); rec.State != inbox.Pending || rec.Owner != "" || rec.Tries != 0 || rec.DueAt.After(r.clock.now()) {
		t.Errorf("after the stop: %+v", rec)
	}
	r.fault.up()
	r.boot()
	r.step()
	r.wantState(id, inbox.Done, "")
}
