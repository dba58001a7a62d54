package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
)

// Guards what a bank reads of a customer whose data was erased before the dispute came: nothing, and never that
// something was erased. Where a policy's answer has nothing left to say it is not given, and people are told.
func TestPolicySaysNothingOfWhatWasErased(t *testing.T) {
	t.Parallel()
	personal := map[string]string{
		payment.TextCustomerName: "{{customer.name}}", payment.TextCustomerEmail: "{{customer.email}}", payment.TextProduct: "{{payment.description}}",
	}
	mixed := map[string]string{payment.TextOther: "Order {{payment.reference}} of {{customer.name}}."}
	for kind, text := range personal {
		mixed[kind] = text
	}
	for name, c := range map[string]struct {
		template, want map[string]string
	}{
		"some is left":    {mixed, map[string]string{payment.TextOther: "Order order-7 of ."}},
		"nothing is left": {personal, nil},
	} {
		w := newWorld(t, func(o *gateway.Options) { o.Apps[0].Disputes = gateway.DisputePolicy{Contest: c.template} })
		in := input("stripe")
		in.Customer, in.Description = payment.Customer{Ref: "eve", Email: "eve@example.com", Name: "Eve Example"}, "for Eve"
		p := w.mustCreate("paid", in)
		w.stripe.pay(p.ID, 1)
		w.comeBack(p.ID, 1)
		p = w.get(p.ID)
		ids := make([]string, 0, len(p.Outbox))
		for _, e := range p.Outbox {
			ids = append(ids, e.ID)
		}
		for _, err := range w.svc.MarkFed(t.Context(), []payment.Fed{{Payment: p.ID, Events: ids}}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.svc.Erase(t.Context(), p.ID, payment.Erasure{ID: "e", Texts: true, Reason: "asked"}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		w.stripe.dispute(p.ID)
		w.observe(p.ID, 1)
		if _, _, err := w.svc.DisputeDesk(0).Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		d := w.stripe.roots[len(w.stripe.roots)-1].disputes[0]
		if diff := cmp.Diff(c.want, d.texts); diff != "" || (d.submitted == 1) != (c.want != nil) {
			t.Errorf("%s: submitted %d times: %s", name, d.submitted, diff)
		}
		list, _, err := w.alerts.List(t.Context(), store.AlertFilter{Limit: 100})
		told := 0
		for _, a := range list {
			if a.Severity == "critical" && strings.Contains(a.Message, "nothing is left") {
				told++
			}
		}
		if err != nil || (told == 1) != (c.want == nil) {
			t.Errorf("%s: told %d times, %v: %+v", name, told, err, list)
		}
	}
}

// Guards the same for an answer of before: what was erased in it is not handed in again at the next stage.
func TestErasedEvidenceIsNotHandedInAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.disputed()
	give := func(key string, in gateway.EvidenceInput) {
		t.Helper()
		if _, err := w.svc.GiveEvidence(t.Context(), request("/v1/disputes/"+id+"/evidence", key, in.Texts), id, in); err != nil {
			t.Fatal(err)
		}
	}
	give("draft", gateway.EvidenceInput{Texts: map[string]string{payment.TextCustomerName: payment.Erased, payment.TextOther: "Sent to " + payment.Erased + "."}})
	give("answer", gateway.EvidenceInput{Texts: map[string]string{payment.TextProduct: "Two books"}, Submit: true})
	d := w.stripe.roots[len(w.stripe.roots)-1].disputes[0]
	if diff := cmp.Diff(map[string]string{payment.TextProduct: "Two books"}, d.texts); diff != "" || d.submitted != 1 {
		t.Errorf("handed in %d times: %s", d.submitted, diff)
	}
}
