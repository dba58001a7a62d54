package inbox_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// Guards the lease: a worker that dies leaves its event to others after the
// lease, each such death counts as a try, and an event that always kills is given
// up.
func TestWorkerDeathCounts(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *inbox.Options) { o.MaxTries = 3 })
	p := r.create("a")
	id := r.stored(paid("e1", p))
	for i := range 3 {
		r.fault.set(func(pt store.WritePoint, w faults.When) error {
			if pt == store.PointInboxSettle {
				panic("killed")
			}
			return nil
		}, nil)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("death %d did not happen", i)
				}
			}()
			_, _, _ = r.inbox.Step(t.Context())
		}()
		r.fault.up()
		r.boot(func(o *inbox.Options) { o.MaxTries = 3; o.Owner = fmt.Sprint("run", i) })
		if r.step() != 0 {
			t.Error("taken over before the lease was over")
		}
		r.clock.advance(2 * time.Minute)
	}
	r.step()
	r.wantState(id, inbox.Dead, "never_finished")
	if len(r.alertsOf("webhook_dead")) != 1 {
		t.Error("nobody was told")
	}
}

// Guards I14: two workers never hold one event, and what a former holder writes
// after its lease is refused.
func TestFencing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.pay(rootOf(p.ID))
	id := r.stored(paid("e1", p))
	slow := r.inbox
	// The slow worker pauses between reading and settling; meanwhile its lease ends,
	// another worker takes the event, and fails on it.
	armed := true
	r.fault.set(func(pt store.WritePoint, w faults.When) error {
		if pt != store.PointInboxSettle || w != faults.Before || !armed {
			return nil
		}
		armed = false
		r.clock.advance(2 * time.Minute)
		r.fake.set(func() { r.fake.fetchErr = errSlow })
		fast := r.inbox
		if did, _, err := fast.Step(t.Context()); did != 1 || err != nil {
			t.Errorf("the other worker did %d, %v", did, err)
		}
		r.wantState(id, inbox.Pending, "fetch: unknown (timeout)")
		return nil
	}, nil)
	r.boot(func(o *inbox.Options) { o.Owner = "fast" })
	if _, _, err := slow.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rec := r.wantState(id, inbox.Pending, "fetch: unknown (timeout)"); rec.Gen != 2 {
		t.Errorf("generation %d, want 2", rec.Gen)
	}
	if r.counts.get("processed lost") != 1 {
		t.Error("the lost lease was not noticed")
	}
}

// Guards the back-off against a worker that saw an event due a while ago: what
// another one has put back meanwhile is not due any more.
func TestStaleClaim(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.set(func() { r.fake.fetchErr = errSlow })
	r.stored(paid("e1", p))
	slow := r.inbox
	r.boot(func(o *inbox.Options) { o.Owner = "fast" })
	armed := true
	r.fault.set(func(pt store.WritePoint, w faults.When) error {
		if pt == store.PointInboxClaim && w == faults.Before && armed {
			armed = false
			r.step()
		}
		return nil
	}, nil)
	if did, _, err := slow.Step(t.Context()); did != 0 || err != nil {
		t.Errorf("did %d, %v", did, err)
	}
	if n := r.fake.fetched(); n != 1 {
		t.Errorf("%d reads, want 1", n)
	}
}

// Guards I14 under real parallelism: many workers over one store process each
// event once.
func TestParallelWorkers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var ids []string
	for i := range 12 {
		p := r.create(fmt.Sprint("p", i))
		r.fake.pay(rootOf(p.ID))
		ids = append(ids, p.ID)
		r.stored(paid(fmt.Sprint("e", i), p))
	}
	var wg sync.WaitGroup
	for i := range 6 {
		r.boot(func(o *inbox.Options) { o.Owner, o.Parallel = fmt.Sprint("worker", i), 4 })
		w := r.inbox
		wg.Go(func() {
			for range 4 {
				if _, _, err := w.Step(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		r.wantStatus(id, payment.StatusSucceeded)
	}
	if n := r.fake.fetched(); n != 12 {
		t.Errorf("%d reads for 12 events, want 12", n)
	}
}

// Guards Parallel: a panic in one payment's work reaches the caller of Step, who
// knows what to do with it, instead of ending the process.
func TestParallelPanic(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *inbox.Options) { o.Parallel = 4 })
	for i := range 4 {
		r.stored(paid(fmt.Sprint("e", i), r.create(fmt.Sprint("p", i))))
	}
	r.fault.set(func(p store.WritePoint, _ faults.When) error {
		if p == store.PointInboxSettle {
			panic("killed")
		}
		return nil
	}, nil)
	defer func() {
		if recover() != "killed" {
			t.Error("the panic was lost")
		}
	}()
	_, _, _ = r.inbox.Step(t.Context())
}

// Guards the redelivery that comes while a worker holds the event: should the
// work fail, the event is due again at once.
func TestRedeliveryDuringWork(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.set(func() { r.fake.fetchErr = errSlow })
	id := r.stored(paid("e1", p))
	armed := true
	r.fault.set(func(pt store.WritePoint, w faults.When) error {
		if pt == store.PointInboxSettle && w == faults.Before && armed {
			armed = false
			r.send(paid("e1", p))
			r.send(paid("e1", p))
		}
		return nil
	}, nil)
	if _, _, err := r.inbox.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rec := r.record(id); !rec.DueAt.Equal(r.clock.now()) || rec.Woken {
		t.Errorf("due in %s (woken %t), want now", rec.DueAt.Sub(r.clock.now()), rec.Woken)
	}
}
