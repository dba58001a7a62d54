package gateway_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// Guards that a repeated creation says 201 again although a customer's choice on our page has no outcome at that moment.
func TestCreateReplayedDuringChoice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input(""))
	w.paypal.fail("create_checkout", timeoutAfter, timeoutAfter, timeoutAfter)
	if _, err := w.choose(p.ID, "paypal"); payment.CodeOf(err) != payment.CodeProviderUnavailable {
		t.Fatalf("choose: %v", err)
	}
	a, err := w.create("k", input(""))
	if err != nil || a.Unknown || !a.Replayed {
		t.Errorf("replayed: %+v, %v", a, err)
	}
}

// Guards "create once": many at the same time with one key make one payment, one checkout and one provider key.
func TestCreateConcurrently(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]int{}
	for range 16 {
		wg.Go(func() {
			a, err := w.create("k", input("stripe"))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && !a.Unknown:
				ids[a.Payment.ID]++
			case payment.CodeOf(err) != payment.CodeIdempotencyInProgress:
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	wg.Wait()
	if len(ids) != 1 || len(w.stripe.roots) != 1 || w.stripe.counted("create_checkout") != 1 {
		t.Errorf("payments %v, %d checkouts, %d calls", ids, len(w.stripe.roots), w.stripe.counted("create_checkout"))
	}
}

// Guards that a second request meets the first one while it runs: 409, not a second call.
func TestCreateInProgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.stripe.during = func(op string) {
		if op != "create_checkout" {
			return
		}
		w.stripe.during = nil
		_, err := w.create("k", input("stripe"))
		wantCode(t, err, payment.CodeIdempotencyInProgress)
	}
	w.mustCreate("k", input("stripe"))
	if n := w.stripe.counted("create_checkout"); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// Guards creation against kill -9: whatever was reached, the worker finishes it with the same key, and the app's
// repetition finds it.
func TestCreateFinishedByWorker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		point store.WritePoint
		when  faults.When
	}{{store.PointPaymentInsert, faults.After}, {store.PointPaymentReplace, faults.Before}, {store.PointPaymentReplace, faults.After}} {
		w := newWorld(t, nil)
		w.crashAt(c.point, c.when, 1)
		if !w.crashed(func() { _, _ = w.create("k", input("paypal")) }) {
			t.Fatal("no crash")
		}
		id := idOf(t, w)
		if c.when == faults.Before || c.point == store.PointPaymentInsert {
			_, err := w.create("k", input("paypal"))
			wantCode(t, err, payment.CodeIdempotencyInProgress) // the lease of the dead process
		}
		w.quiet(id)
		w.wantStatus(id, payment.StatusRequiresAction)
		a, err := w.create("k", input("paypal"))
		if err != nil || !a.Replayed || a.Unknown || len(w.paypal.roots) != 1 || len(w.paypal.keysOf("create_checkout")) != 1 {
			t.Errorf("%v %s: %+v, %v, %d orders", c.when, c.point, a, err, len(w.paypal.roots))
		}
	}
}

// Guards a creation whose key died without an answer: found by our reference it is adopted; not to be found it is given
// up, because its URL never left us, and the customer pays through our page.
func TestCreateKeyDead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		provider string
		first    fault
		adopted  bool
	}{{"stripe", timeoutAfter, true}, {"stripe", timeoutBefore, false}, {"paypal", timeoutAfter, false}, {"stripe", stored500Done, true}, {"stripe", stored500, false}} {
		w := newWorld(t, nil)
		fake := w.fake(c.provider)
		fake.fail("create_checkout", c.first)
		fake.keyLife = time.Hour
		in := input(c.provider)
		a, err := w.create("k", in)
		if err != nil || !a.Unknown {
			t.Fatalf("%+v: %+v, %v", c, a, err)
		}
		if c.first == timeoutAfter || c.first == timeoutBefore {
			w.pass(2 * time.Hour)
		}
		a, err = w.create("k", in)
		if err != nil || a.Unknown || !a.Replayed {
			t.Fatalf("%+v replayed: %+v, %v", c, a, err)
		}
		p := w.get(a.Payment.ID)
		if op := p.Operations[0]; op.State != map[bool]payment.OpState{true: payment.OpDone, false: payment.OpFailed}[c.adopted] {
			t.Errorf("%+v: operation %+v", c, op)
		}
		if n := fake.counted("create_checkout"); n != 1 {
			t.Errorf("%+v: %d creating calls", c, n)
		}
		if c.adopted {
			continue
		}
		w.wantStatus(p.ID, payment.StatusRequiresAction)
		if got := w.svc.Checkout(p); got != w.svc.PayURL(p) {
			t.Errorf("%+v: checkout %s", c, got)
		}
		if _, err := w.choose(p.ID, c.provider); err != nil {
			t.Errorf("%+v: next attempt: %v", c, err)
		}
	}
}

// Guards an order against the worst moment: its start was written, nobody said so, and somebody else changed the payment
// right after. Whoever asked still carries it out at once, and does not take their own lease for another's.
func TestStartWhoseAnswerIsLostIsRecognised(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.paid("stripe")
	direct := store.NewPayments(w.inner)
	writes := 0
	w.hook = func(point store.WritePoint, when faults.When) error {
		if point != store.PointPaymentReplace || when != faults.After {
			return nil
		}
		if writes++; writes != 2 { // the order, then its start
			return nil
		}
		other, err := direct.Get(context.Background(), p.ID)
		if err != nil {
			return err
		}
		other.Version++
		if err := direct.Replace(store.WithPoint(context.Background(), "test"), other); err != nil {
			return err
		}
		return fmt.Errorf("lost: %w", store.ErrUnavailable)
	}
	answer, err := w.refund(p.ID, "r", 100)
	if err != nil || answer.Unknown || w.refundedSum(p.ID) != 100 {
		t.Errorf("%+v, %v; refunded %d", answer.Unknown, err, w.refundedSum(p.ID))
	}
}
