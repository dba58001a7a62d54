package inbox_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// hold is a payment whose money is held, and its intent.
func (h *house) hold(key string) (id, intent string) {
	h.t.Helper()
	ans, err := h.service.Create(h.t.Context(), gateway.Request{
		Caller: gateway.Caller{App: "shop", Mode: payment.ModeTest}, Path: "/v1/payments", Key: key, Fingerprint: key,
	}, gateway.CreateInput{Amount: 1000, Currency: "usd", Capture: "manual", Provider: "stripe", ReturnURL: "https://shop.example.com/back"})
	h.must(err)
	fact, _ := ans.Payment.Facts.AttemptFact(1)
	h.control("stripe", "checkout/"+fact.Key.ID+"/pay", map[string]any{"card": "4242424242424242"})
	h.settle()
	p := h.want(ans.Payment.ID, payment.StatusAuthorized, 0, 0)
	fact, _ = p.Facts.AttemptFact(1)
	h.world.Advance(h.t.Context(), time.Minute)
	return p.ID, fact.Refs.PaymentIntent
}

// cancelOutside lets a hold go in Stripe's dashboard, behind our back.
func (h *house) cancelOutside(intent string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.servers["stripe"].URL+"/v1/payment_intents/"+intent+"/cancel", nil)
	h.must(err)
	req.Header.Set("Authorization", "Bearer sk_test_e2e")
	resp, err := h.servers["stripe"].Client().Do(req)
	h.must(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		h.t.Fatalf("cancel: %d", resp.StatusCode)
	}
}

// Guards the sums, and people's sleep: Stripe makes a Refund of what a partial capture or
// a void lets go, whoever asked for it, and announces it. By webhook alone nothing counts
// as given back, every event comes to its end, and nobody is told of an orphan.
func TestReleasesAreNoOrphans(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	request := func(id string) gateway.Request {
		return gateway.Request{Caller: gateway.Caller{App: "shop", Mode: payment.ModeTest}, Path: "/v1/payments/" + id, Key: id, Fingerprint: id}
	}
	most, _ := h.hold("most")
	_, err := h.service.Capture(t.Context(), request(most), most, 800, true)
	h.must(err)
	little, _ := h.hold("little")
	_, err = h.service.Capture(t.Context(), request(little), little, 400, true)
	h.must(err)
	ours, _ := h.hold("ours")
	_, err = h.service.Cancel(t.Context(), request(ours), ours)
	h.must(err)
	theirs, intent := h.hold("theirs")
	h.cancelOutside(intent)
	lapsed, intent := h.hold("lapsed")
	h.control("stripe", "authorizations/"+intent+"/expire", nil)
	for range 4 {
		h.world.Advance(t.Context(), time.Minute)
		h.settle()
	}
	if a := h.want(most, payment.StatusSucceeded, 800, 0).Amounts(); a.Refundable != 800 {
		t.Errorf("most: %+v", a)
	}
	if a := h.want(little, payment.StatusSucceeded, 400, 0).Amounts(); a.Refundable != 400 {
		t.Errorf("little: %+v", a)
	}
	for _, id := range []string{ours, theirs, lapsed} {
		h.want(id, payment.StatusCanceled, 0, 0)
	}
	told := 0
	for _, e := range h.world.Events("stripe") {
		if e.Type == "charge.refund.updated" {
			told++
		}
	}
	if told != 5 {
		t.Errorf("the sandbox told of %d releases", told)
	}
	h.wantClean()
}

// Guards the same where the event's body does not lead to the payment, and the other side
// of it: an object that nobody knows stays an orphan, whatever it is.
func TestReleaseIsTraced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.create("a")
	r.fake.set(func() {
		r.fake.traces = map[string]providers.Hint{
			"re_ours":    {Refs: []string{rootOf(p.ID)}, LetGo: true},
			"re_foreign": {Refs: []string{"root_of_others"}, LetGo: true},
		}
	})
	ours := r.stored(hook{Key: "e1", Type: "charge.refund.updated", Kind: "refund", Object: "re_ours"})
	foreign := r.stored(hook{Key: "e2", Type: "charge.refund.updated", Kind: "refund", Object: "re_foreign"})
	r.step()
	r.step()
	if got := r.wantState(ours, inbox.Done, ""); got.Payment != p.ID {
		t.Errorf("done for %q", got.Payment)
	}
	r.clock.advance(4 * time.Hour)
	r.step()
	r.clock.advance(4 * time.Hour)
	r.step()
	r.wantState(foreign, inbox.Parked, inbox.ReasonUnknown)
	if got := r.alertsOf("foreign_money"); len(got) != 1 {
		t.Errorf("alerts %+v", got)
	}
}
