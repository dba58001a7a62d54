package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/store"
)

// fakeDispute is a case in the fake provider's books.
type fakeDispute struct {
	id, capture string
	amount      int64
	status      payment.DisputeStatus
	unclear     bool
	shut        bool // it takes no answer yet
	drafts      int
	submitted   int64
	texts       map[string]string
	files       int
	created     time.Time
}

var _ providers.Disputer = (*fakeProvider)(nil)

// dispute opens a case about the first capture of a payment, once.
func (f *fakeProvider) dispute(paymentID string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.roots {
		if r.req.PaymentID != paymentID || len(r.captures) == 0 {
			continue
		}
		if len(r.disputes) == 0 {
			r.disputes = append(r.disputes, &fakeDispute{
				id: f.id("dp"), capture: r.captures[0].id, amount: r.captures[0].amount, status: payment.DisputeNeedsResponse, created: f.clock(),
			})
		}
		return payment.DisputeID(payment.ObjectKey{Provider: f.name, Account: f.account, ID: r.disputes[0].id})
	}
	return ""
}

func (f *fakeProvider) disputesOf(r *fakeRoot, now time.Time) []payment.Dispute {
	var out []payment.Dispute
	for _, d := range r.disputes {
		open := d.status == payment.DisputeNeedsResponse
		fact := payment.Dispute{
			Key: payment.ObjectKey{Provider: f.name, Account: f.account, ID: d.id}, Capture: d.capture, Stage: "chargeback", Status: d.status, Unclear: d.unclear,
			Amount: payment.Money{Minor: d.amount, Currency: r.req.Amount.Currency}, Reason: "fraudulent", Withheld: d.amount,
			Acceptable: open && !d.shut, Answerable: open && !d.shut && d.submitted == 0, Evidence: payment.EvidenceState{Given: d.drafts > 0, Submitted: d.submitted},
			Stamp: payment.Stamp{Created: d.created, AsOf: now},
		}
		if open {
			fact.DueBy = d.created.Add(9 * 24 * time.Hour)
		}
		out = append(out, fact)
	}
	return out
}

// answer finds an open case and lets effect act on it.
func (f *fakeProvider) answer(op, id string, effect func(*fakeDispute)) (string, *fakeRoot, *providers.Error) {
	for _, r := range f.roots {
		for _, d := range r.disputes {
			if d.id != id {
				continue
			}
			if d.status != payment.DisputeNeedsResponse {
				return "", nil, f.refuse(op, "not_open")
			}
			effect(d)
			return d.id, r, nil
		}
	}
	return "", nil, f.refuse(op, "no_such_dispute")
}

func (f *fakeProvider) AcceptDispute(_ context.Context, req providers.DisputeRequest, key string) (providers.Result, error) {
	return f.change("accept_dispute", key, req.Dispute, func() (string, *fakeRoot, *providers.Error) {
		return f.answer("accept_dispute", req.Dispute, func(d *fakeDispute) { d.status = payment.DisputeLost })
	})
}

func (f *fakeProvider) GiveEvidence(_ context.Context, req providers.EvidenceRequest, key string) (providers.Result, error) {
	files := 0
	for _, file := range req.Files {
		files += len(file.Data)
	}
	return f.change("give_evidence", key, fmt.Sprint(req.Dispute, req.Submit, req.Texts, files), func() (string, *fakeRoot, *providers.Error) {
		return f.answer("give_evidence", req.Dispute, func(d *fakeDispute) {
			d.drafts, d.texts, d.files = d.drafts+1, req.Texts, files
			if req.Submit {
				d.submitted++
				d.status = payment.DisputeUnderReview
			}
		})
	})
}

func (f *fakeProvider) CheckEvidence(req providers.EvidenceRequest) error {
	if len(req.Texts[payment.TextOther]) > 100 {
		return payment.Invalid("/"+payment.TextOther, "must have at most 100 characters")
	}
	return nil
}

func (f *fakeProvider) ReadDispute(context.Context, string) (payment.Observation, error) {
	return payment.Observation{}, &providers.Error{Class: providers.NotFound, Provider: f.name, Op: "read_dispute"}
}

// disputes opens a case and lets a webhook tell of it.
func disputes(provider string) step {
	return func(s *story) bool {
		if s.fake(provider).dispute(s.id) == "" {
			s.sees()
			return false
		}
		return s.sees() && len(s.get(s.id).Facts.Disputes) == 1
	}
}

func (s *story) disputeID() string { return payment.DisputeID(s.get(s.id).Facts.Disputes[0].Key) }

func accepts(s *story) bool {
	id := s.disputeID()
	a, err := s.svc.AcceptDispute(context.Background(), request("/v1/disputes/"+id+"/accept", "accept", "accept"), id, "")
	if s.outdated(err) {
		return false
	}
	if err == nil && !a.Unknown {
		s.promise(func() error {
			return s.recorded(id, payment.DisputeLost, "opened", "accept_requested", "accept_done", "lost")
		})
	}
	return s.heard(a, err)
}

// evidence hands evidence in under a key of its own.
func evidence(provider, key string, in gateway.EvidenceInput) step {
	return func(s *story) bool {
		id := s.disputeID()
		a, err := s.svc.GiveEvidence(context.Background(), request("/v1/disputes/"+id+"/evidence", key, in), id, in)
		if s.outdated(err) {
			return false
		}
		if err == nil && !a.Unknown && in.Submit {
			s.promise(func() error {
				r := s.fake(provider).roots[0].disputes[0]
				if r.submitted != 1 || r.texts[payment.TextProduct] != "A book" || r.texts[payment.TextTracking] != "JD1" || r.files == 0 {
					return fmt.Errorf("the provider was told %+v", r)
				}
				return s.recorded(id, payment.DisputeUnderReview, "opened", "save_evidence_done", "submit_evidence_requested", "submit_evidence_done")
			})
		}
		return s.heard(a, err)
	}
}

// recorded says whether a dispute's own record tells how it is and what happened,
// each thing once.
func (s *story) recorded(id string, status payment.DisputeStatus, want ...string) error {
	list, _, err := s.svc.ListDisputes(context.Background(), shop, gateway.DisputeFilter{Limit: 10})
	if err != nil || len(list) != 1 || list[0].ID != id || list[0].Dispute.Status != status {
		return fmt.Errorf("records %+v (%w)", list, err)
	}
	var got []string
	ids := map[string]bool{}
	for _, line := range list[0].History {
		got = append(got, line.What)
		if ids[line.ID] {
			return fmt.Errorf("the line %s stands twice", line.What)
		}
		ids[line.ID] = true
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			return fmt.Errorf("the record lacks %q: %q", w, got)
		}
	}
	return nil
}

// disputeScenarios are lives of a payment that is disputed and answered.
func disputeScenarios() []scenario {
	fails := func(provider, op string, planned ...fault) func(*world) {
		return func(w *world) { w.fake(provider).fail(op, planned...) }
	}
	draft := gateway.EvidenceInput{
		Texts: map[string]string{payment.TextProduct: "A book", payment.TextCustomerName: "Ann"},
		Files: []gateway.FileInput{{Name: "receipt.pdf", Type: payment.FileReceipt, Data: []byte("%PDF-1.4 " + strings.Repeat("x", 600_000))}},
	}
	final := gateway.EvidenceInput{Texts: map[string]string{payment.TextTracking: "JD1"}, Submit: true}
	return []scenario{
		{
			"dispute accepted", fails("stripe", "accept_dispute", timeoutAfter),
			[]step{creates(input("stripe")), pays("stripe", 1), returns(1), disputes("stripe"), accepts},
			payment.StatusSucceeded, 1000, 0,
		},
		{
			"dispute answered", fails("paypal", "give_evidence", fine, timeoutAfter),
			[]step{
				creates(input("paypal")), pays("paypal", 1), returns(1), disputes("paypal"),
				evidence("paypal", "e1", draft), evidence("paypal", "e2", final),
			},
			payment.StatusSucceeded, 1000, 0,
		},
	}
}

// Guards that a refused or repeated answer changes nothing: once submitted no more is
// taken, a repetition finds the first, too much is refused with its place, and what is
// over can't be accepted.
func TestDisputeRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	s := &story{world: w, id: w.paid("stripe").ID}
	disputes("stripe")(s)
	id := s.disputeID()
	give := func(key string, in gateway.EvidenceInput) error {
		_, err := s.svc.GiveEvidence(t.Context(), request("/v1/disputes/"+id+"/evidence", key, in), id, in)
		return err
	}
	text := func(s string, submit bool) gateway.EvidenceInput {
		return gateway.EvidenceInput{Texts: map[string]string{payment.TextOther: s}, Submit: submit}
	}
	wantCode(t, give("e0", text(strings.Repeat("x", 101), false)), payment.CodeInvalid)
	wantCode(t, give("e1", gateway.EvidenceInput{Submit: true}), payment.CodeInvalid)
	if n := len(w.get(s.id).Operations); n != 1 {
		t.Errorf("%d operations after refusals", n)
	}
	if err := give("e2", text("mine", true)); err != nil {
		t.Fatal(err)
	}
	if err := give("e2", text("mine", true)); err != nil {
		t.Errorf("the same again: %v", err)
	}
	wantCode(t, give("e2", text("other", true)), payment.CodeIdempotencyReused)
	w.written()
	wantCode(t, give("e3", gateway.EvidenceInput{Submit: true, Files: []gateway.FileInput{{Name: "a.pdf", Type: payment.EvidenceFiles()[0], Data: []byte("%PDF-1")}}}), payment.CodeConflict)
	if after := w.written(); after != "" {
		t.Errorf("a refused answer was stored: %s", after)
	}
	_, err := s.svc.AcceptDispute(t.Context(), request("/v1/disputes/"+id+"/accept", "a", "a"), id, "")
	wantCode(t, err, payment.CodeConflict)
	if n := w.stripe.counted("give_evidence"); n != 1 {
		t.Errorf("the provider was told %d times", n)
	}
}

// Guards the deadline: an answer after it is refused before the provider is asked.
func TestDisputeAnswerTooLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	s := &story{world: w, id: w.paid("stripe").ID}
	disputes("stripe")(s)
	id := s.disputeID()
	w.pass(9*24*time.Hour + time.Minute)
	_, err := s.svc.AcceptDispute(t.Context(), request("/v1/disputes/"+id+"/accept", "a", "a"), id, "")
	wantCode(t, err, payment.CodeConflict)
	if n := w.stripe.counted("accept_dispute"); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// Guards what a policy gives up by itself: where the provider turned the order away, it
// is given again only if the policy would still order it, for the dispute as it is now.
func TestPolicyAcceptsOnlyWhatItStillWould(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(w *world, d *fakeDispute)
		want   payment.DisputeStatus
		shown  gateway.PolicyState
	}{
		"nothing changed":                     {func(*world, *fakeDispute) {}, payment.DisputeLost, gateway.PolicyDone},
		"the amount grew":                     {func(_ *world, d *fakeDispute) { d.amount = 900_00 }, payment.DisputeNeedsResponse, gateway.PolicyLapsed},
		"its status is one that nobody knows": {func(_ *world, d *fakeDispute) { d.unclear = true }, payment.DisputeNeedsResponse, gateway.PolicyLapsed},
		"now it is dry": {
			func(w *world, _ *fakeDispute) { w.opts.Apps[0].Disputes.DryRun = true; w.restart() }, payment.DisputeNeedsResponse, gateway.PolicyLapsed,
		},
		"the policy is off": {
			func(w *world, _ *fakeDispute) { w.opts.Apps[0].Disputes = gateway.DisputePolicy{}; w.restart() },
			payment.DisputeNeedsResponse, gateway.PolicyLapsed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *gateway.Options) {
				o.Apps[0].Disputes = gateway.DisputePolicy{AcceptUnder: map[payment.Currency]int64{"usd": 50_00, "eur": 50_00}}
			})
			p := w.paid("stripe")
			w.stripe.dispute(p.ID)
			w.stripe.fail("accept_dispute", tooMany)
			w.observe(p.ID, 1)
			if _, _, err := w.svc.DisputeDesk(0).Step(context.Background()); err != nil {
				t.Fatal(err)
			}
			if n := w.stripe.counted("accept_dispute"); n != 1 {
				t.Fatalf("asked %d times", n)
			}
			d := w.stripe.roots[len(w.stripe.roots)-1].disputes[0]
			w.pass(time.Second)
			c.change(w, d)
			w.observe(p.ID, 1)
			for range 6 {
				w.pass(time.Minute)
				w.step()
				if _, _, err := w.svc.DisputeDesk(0).Step(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			if d.status != c.want {
				t.Errorf("the dispute is %s, want %s: %+v", d.status, c.want, w.get(p.ID).Operations)
			}
			v, err := w.svc.Dispute(context.Background(), shop, payment.DisputeID(w.get(p.ID).Facts.Disputes[0].Key))
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := v.Policy(); !ok || got.Decision != "accept" || got.State != c.shown {
				t.Errorf("the dispute shows %+v of its policy, want %s: %+v", got, c.shown, v.History)
			}
		})
	}
}

// Guards that a policy waits for what its provider has not said yet, and then acts: one
// reading in which nobody could tell how a dispute stands, or what may be answered, does not
// switch it off.
func TestPolicyWaitsForItsProvider(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]gateway.DisputePolicy{
		"accept":  {AcceptUnder: map[payment.Currency]int64{"usd": 50_00, "eur": 50_00}},
		"contest": {Contest: map[string]string{payment.TextOther: "It was delivered."}},
	} {
		for _, first := range []func(*fakeDispute){func(d *fakeDispute) { d.unclear = true }, func(d *fakeDispute) { d.shut = true }} {
			w := newWorld(t, func(o *gateway.Options) { o.Apps[0].Disputes = policy })
			p := w.paid("stripe")
			w.stripe.dispute(p.ID)
			d := w.stripe.roots[len(w.stripe.roots)-1].disputes[0]
			first(d)
			look := func() {
				w.pass(time.Minute)
				w.observe(p.ID, 1)
				if _, _, err := w.svc.DisputeDesk(0).Step(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			look()
			if d.status != payment.DisputeNeedsResponse {
				t.Fatalf("%s: acted on a guess: %s", name, d.status)
			}
			d.unclear, d.shut = false, false
			look()
			if d.status == payment.DisputeNeedsResponse {
				t.Errorf("%s: nothing was done: %+v", name, w.get(p.ID).Operations)
			}
		}
	}
}

// Guards the desk against records that nobody can read: however many stand at the head of the queue, a dispute behind
// them is looked after, and somebody hears of them.
func TestPoisonedDisputesStopNoDispute(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *gateway.Options) {
		o.Apps[0].Disputes = gateway.DisputePolicy{AcceptUnder: map[payment.Currency]int64{"usd": 50_00, "eur": 50_00}}
	})
	index := map[string]any{"check_at": w.now()}
	for i := range 120 {
		bad := store.Doc{ID: fmt.Sprintf("dsp_bad%d", i), Body: []byte(`{"schema":1,"dispute":{"ID":7}}`), Index: index}
		if err := w.inner.Insert(context.Background(), "disputes", bad); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(time.Minute)
	p := w.paid("stripe")
	w.stripe.dispute(p.ID)
	w.observe(p.ID, 1)
	if _, _, err := w.svc.DisputeDesk(0).Step(context.Background()); err == nil {
		t.Error("nobody hears of the records that can't be read")
	}
	if n := w.stripe.counted("accept_dispute"); n != 1 {
		t.Errorf("the provider was asked %d times to accept, want once", n)
	}
}
