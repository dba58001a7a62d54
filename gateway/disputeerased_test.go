package gateway_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
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

// eraseEvidence overwrites texts in all evidence that is stored, as an erasure does.
func (w *world) eraseEvidence(texts ...string) {
	w.t.Helper()
	docs, _, err := w.inner.Scan(w.t.Context(), "evidence", "", store.MaxLimit)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range docs {
		if _, err := store.Update(w.t.Context(), w.inner, "evidence", d.ID, func(d store.Doc) (store.Doc, error) {
			for _, text := range texts {
				d.Body = bytes.ReplaceAll(d.Body, []byte(text), []byte(payment.Erased))
			}
			return d, nil
		}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) giveEvidence(id, key string, in gateway.EvidenceInput) error {
	_, err := w.svc.GiveEvidence(w.t.Context(), request("/v1/disputes/"+id+"/evidence", key, []any{in.Texts, in.Submit}), id, in)
	return err
}

// Guards the same for an answer of before: what was erased in it, a document's name too, is not handed in again at the
// next stage; and nobody hands it in by hand.
func TestErasedEvidenceIsNotHandedInAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.disputed()
	if err := w.giveEvidence(id, "draft", gateway.EvidenceInput{
		Texts: map[string]string{payment.TextCustomerName: "Eve Example", payment.TextOther: "Sent to Eve Example."},
		Files: []gateway.FileInput{{Name: "Eve Example.pdf", Type: payment.EvidenceFiles()[0], Data: []byte("%PDF-1")}},
	}); err != nil {
		t.Fatal(err)
	}
	w.eraseEvidence("Eve Example")
	wantCode(t, w.giveEvidence(id, "by hand", gateway.EvidenceInput{Texts: map[string]string{payment.TextOther: "Sent to " + payment.Erased}}), payment.CodeInvalid)
	if err := w.giveEvidence(id, "answer", gateway.EvidenceInput{Texts: map[string]string{payment.TextProduct: "Two books"}, Submit: true}); err != nil {
		t.Fatal(err)
	}
	d := w.stripe.roots[len(w.stripe.roots)-1].disputes[0]
	if diff := cmp.Diff(map[string]string{payment.TextProduct: "Two books"}, d.texts); diff != "" || d.submitted != 1 {
		t.Errorf("handed in %d times: %s", d.submitted, diff)
	}
	p := w.get(w.stripe.roots[len(w.stripe.roots)-1].req.PaymentID)
	e, err := store.NewDisputes(w.inner).GetEvidence(t.Context(), p.Evidence(p.Facts.Disputes[0]))
	if err != nil || len(e.Files) != 1 || e.Files[0].Name != "document.pdf" {
		t.Errorf("the document is handed in as %+v, %v", e.Files, err)
	}
}

// Guards what a bank reads of evidence that was erased and is given again, as often as that happens: all of it, in the
// words in which it is given now, though the same words were stored before.
func TestErasedEvidenceIsGivenAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.disputed()
	texts := map[string]string{payment.TextCustomerName: "Eve Example", payment.TextProduct: "Two books"}
	for _, key := range []string{"draft", "again"} {
		if err := w.giveEvidence(id, key, gateway.EvidenceInput{Texts: texts}); err != nil {
			t.Fatal(err)
		}
		w.eraseEvidence("Eve Example")
	}
	if err := w.giveEvidence(id, "answer", gateway.EvidenceInput{Texts: texts, Submit: true}); err != nil {
		t.Fatal(err)
	}
	d := w.stripe.roots[len(w.stripe.roots)-1].disputes[0]
	if diff := cmp.Diff(texts, d.texts); diff != "" || d.submitted != 1 {
		t.Errorf("handed in %d times: %s", d.submitted, diff)
	}
}

// Guards the same where the erasure comes between the order and the call: nothing is handed in, the caller hears of it,
// and the same request again hands in all of it.
func TestEvidenceErasedUnderWayIsNotHandedIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.disputed()
	in := gateway.EvidenceInput{Texts: map[string]string{payment.TextCustomerName: "Eve Example"}, Submit: true}
	once := true
	w.hook = func(p store.WritePoint, when faults.When) error {
		if once && p == store.PointPaymentReplace && when == faults.After {
			once = false
			w.eraseEvidence("Eve Example")
		}
		return nil
	}
	err := w.giveEvidence(id, "answer", in)
	d := w.stripe.roots[len(w.stripe.roots)-1].disputes[0]
	var told *payment.Error
	if !errors.As(err, &told) || told.Code != payment.CodeConflict || !strings.Contains(told.Message, "was erased meanwhile") || once || d.submitted != 0 {
		t.Errorf("handed in %d times, %v: %v", d.submitted, d.texts, err)
	}
	if err := w.giveEvidence(id, "answer", in); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in.Texts, d.texts); diff != "" || d.submitted != 1 {
		t.Errorf("handed in %d times: %s", d.submitted, diff)
	}
}
