package house

import (
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// Promise: with reconciling switched off personal data is dropped in time all the same,
// and a run that an operator was promised with 202 is done; nothing else asks a provider.
func TestWithoutReconciling(t *testing.T) {
	c := &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	o := options(shared(t), c)
	o.Config.Layers = config.Layers{Return: true, Webhook: true}
	h, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	events := store.NewInbox(h.engine)
	old := inbox.Record{ID: "in_1", Provider: "stripe", Account: "stripe-eu", State: inbox.Done, ReceivedAt: c.now.AddDate(0, 0, -100)}
	if _, _, err := events.Insert(t.Context(), old, []byte(`{"name":"Ann"}`)); err != nil {
		t.Fatal(err)
	}
	run, err := h.Reconciler.Request(t.Context(), "", reconcile.JobDue, "", time.Time{}, time.Time{}, payment.Actor{Type: payment.ActorOperator, ID: "key"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range h.scheduled {
		if !s.Always {
			t.Errorf("%s runs", s.Name)
		}
		if _, _, err := s.Step(t.Context()); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	if body, err := events.Body(t.Context(), old.ID); len(body) > 0 || err != nil {
		t.Errorf("a body of 100 days is kept: %q, %v", body, err)
	}
	if run, err = h.Runs.Get(t.Context(), run.ID); err != nil || run.State != reconcile.RunDone {
		t.Errorf("%v, the run is %s", err, run.State)
	}
}
