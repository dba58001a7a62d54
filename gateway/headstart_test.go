package gateway_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// Guards "201, 200 or 202": a request runs what it has just ordered itself. A worker that
// looks at the payment between the two leaves it alone, and finishes it where the request
// died.
func TestWorkersLeaveARequestItsOwnOrder(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(w *world) (string, error){
		"refund": func(w *world) (string, error) {
			p := w.paid("stripe")
			w.meddle()
			_, err := w.refund(p.ID, "r", 500)
			return p.ID, err
		},
		"capture": func(w *world) (string, error) {
			p := w.authorized("paypal")
			w.meddle()
			_, err := w.capture(p.ID, "c", 700, true)
			return p.ID, err
		},
		"cancel": func(w *world) (string, error) {
			p := w.mustCreate("k", input("stripe"))
			w.meddle()
			_, err := w.cancel(p.ID, "x")
			return p.ID, err
		},
	} {
		w := newWorld(t, nil)
		id, err := ask(w)
		if err != nil || w.hook != nil {
			t.Errorf("%s: %v", name, err)
		}
		w.wantBooks(id)
	}
	w := newWorld(t, nil)
	p := w.paid("stripe")
	dead := errors.New("killed")
	w.hook = func(_ store.WritePoint, when faults.When) error {
		if when == faults.After {
			w.hook = func(store.WritePoint, faults.When) error { return dead }
		}
		return nil
	}
	if _, err := w.refund(p.ID, "r", 500); err == nil {
		t.Fatal("the request did not die")
	}
	w.hook = nil
	w.restart()
	w.pass(3 * time.Second)
	w.step()
	if got := w.refundedSum(p.ID); got != 500 {
		t.Errorf("%d were given back of an order whose request died", got)
	}
}

// meddle has a worker come right after the next write, and die in the first call that it
// makes, so that it holds what it has begun.
func (w *world) meddle() {
	w.hook = func(_ store.WritePoint, when faults.When) error {
		if when != faults.After {
			return nil
		}
		begun := 0
		w.hook = func(_ store.WritePoint, when faults.When) error {
			if when == faults.Before {
				if begun++; begun > 1 {
					return errors.New("killed")
				}
			}
			return nil
		}
		_, _, _ = w.ops.Step(context.Background()) // dies, if it has found anything
		w.hook = nil
		return nil
	}
}
