package providertest

import (
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// disputer says that a harness can play disputes and its adapter answer them.
func disputer(h Harness) bool {
	_, ok := h.Provider.(providers.Disputer)
	return ok && h.Dispute != nil
}

// disputedScene is a paid checkout with one open dispute.
func disputedScene(t *testing.T, h Harness) (*scene, providers.Disputer, providers.DisputeRequest) {
	t.Helper()
	s := newScene(t, h, payment.Money{Minor: 1000, Currency: usd}, false).paid(t)
	id := h.Dispute(t, s.capture(t).Key.ID, 1000)
	s.tick(t)
	s.fetch(t)
	if d := s.facts.Disputes; len(d) != 1 || !d[0].Acceptable || !d[0].Answerable || d[0].Evidence.Submitted != 0 || d[0].DueBy.IsZero() {
		t.Fatalf("an open dispute: %+v", d)
	}
	answerer, _ := h.Provider.(providers.Disputer)
	return s, answerer, providers.DisputeRequest{Attempt: s.attempt(), Dispute: id}
}

// disputeAccepted: giving a dispute up is final, and the money is gone once.
func disputeAccepted(t *testing.T, h Harness) {
	s, p, req := disputedScene(t, h)
	res, err := p.AcceptDispute(t.Context(), req, s.key("accept_dispute"))
	if err != nil || res.Ref != req.Dispute {
		t.Fatalf("accept: %+v, %v", res, err)
	}
	s.observe(t, res.Observation)
	s.tick(t)
	s.fetch(t)
	if d := s.facts.Disputes[0]; d.Status != payment.DisputeLost || d.Withheld != 1000 || d.Acceptable || d.Answerable || d.Outcome == "" {
		t.Errorf("accepted: %+v", d)
	}
	s.wantLedger(t)
	if _, err := p.AcceptDispute(t.Context(), req, s.key("accept_again")); providers.ClassOf(err) != providers.Refused {
		t.Errorf("accepted again: %v", err)
	}
	evidence := providers.EvidenceRequest{DisputeRequest: req, Texts: map[string]string{payment.TextProduct: "A book"}, Submit: true}
	if _, err := p.GiveEvidence(t.Context(), evidence, s.key("give_evidence")); providers.ClassOf(err) != providers.Refused {
		t.Errorf("evidence for a lost dispute: %v", err)
	}
}

// disputeAnswered: a draft leaves the dispute waiting, submitting hands it in once.
func disputeAnswered(t *testing.T, h Harness) {
	s, p, req := disputedScene(t, h)
	evidence := providers.EvidenceRequest{
		DisputeRequest: req,
		Texts: map[string]string{
			payment.TextProduct: "A book", payment.TextCarrier: "DHL", payment.TextTracking: "JD0123", payment.TextShippingDate: "2026-11-02",
			payment.TextCommunication: "They wrote that it came.", payment.TextRefundID: "none",
		},
		Files: []providers.EvidenceFile{
			{Name: "receipt.pdf", Type: payment.FileReceipt, Media: "application/pdf", Size: 13, Data: []byte("%PDF-1.4 paid")},
			{Name: "policy.pdf", Type: payment.FileRefundPolicy, Media: "application/pdf", Size: 15, Data: []byte("%PDF-1.4 policy")},
		},
	}
	if err := p.CheckEvidence(evidence); err != nil {
		t.Fatal(err)
	}
	for _, submit := range []bool{false, true} {
		evidence.Submit = submit
		res, err := p.GiveEvidence(t.Context(), evidence, s.key(map[bool]string{false: "draft", true: "submit"}[submit]))
		if err != nil || res.Ref != req.Dispute {
			t.Fatalf("submit %v: %+v, %v", submit, res, err)
		}
		s.observe(t, res.Observation)
		s.tick(t)
		s.fetch(t)
		want := map[bool]payment.DisputeStatus{false: payment.DisputeNeedsResponse, true: payment.DisputeUnderReview}[submit]
		if d := s.facts.Disputes[0]; d.Status != want || d.Answerable == submit || (d.Evidence.Submitted > 0) != submit {
			t.Errorf("submit %v: %+v", submit, d)
		}
	}
	if _, err := p.GiveEvidence(t.Context(), evidence, s.key("submit_again")); providers.ClassOf(err) != providers.Refused {
		t.Errorf("submitted again: %v", err)
	}
	s.wantLedger(t)
}

// disputeRead: a dispute is read by its id alone, as the same facts that its payment
// shows; one that is not there is not found.
func disputeRead(t *testing.T, h Harness) {
	s, p, req := disputedScene(t, h)
	obs, err := p.ReadDispute(t.Context(), req.Dispute)
	if err != nil || len(obs.Facts.Disputes) != 1 || obs.Complete || len(obs.Facts.Attempts) != 0 {
		t.Fatalf("%+v, %v", obs, err)
	}
	got, want := obs.Facts.Disputes[0], s.facts.Disputes[0]
	got.Stamp, want.Stamp = payment.Stamp{}, payment.Stamp{}
	if got != want {
		t.Errorf("read alone %+v, in its payment %+v", got, want)
	}
	if _, err := p.ReadDispute(t.Context(), "PP-D-NOSUCHCASE"); providers.ClassOf(err) != providers.NotFound && providers.ClassOf(err) != providers.Refused {
		t.Errorf("a dispute that is not there: %v", err)
	}
}
