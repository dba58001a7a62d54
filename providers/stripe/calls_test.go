package stripe

import (
	"net/http"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/providertest"
)

// TestEveryWriteCarriesItsKey: the key that was written down is the one that is
// sent; reads need none (I1).
func TestEveryWriteCarriesItsKey(t *testing.T) {
	t.Parallel()
	l, g := gated(t)
	var writes []string
	g.set(func(r *http.Request) bool {
		if r.Method == http.MethodPost {
			writes = append(writes, r.Header.Get("Idempotency-Key"))
		}
		return false
	})
	held := func(key string) (providers.Attempt, string) {
		req := checkoutRequest()
		req.Manual = true
		res, err := l.adapter.CreateCheckout(t.Context(), req, key)
		if err != nil {
			t.Fatal(err)
		}
		at := providers.Attempt{PaymentID: req.PaymentID, N: req.N, Root: providers.Ref{Kind: kindSession, ID: res.Ref}, Asked: req.Amount}
		if err := l.pay(t, at.Root, providertest.PayNow); err != nil {
			t.Fatal(err)
		}
		return at, l.fetched(t, at).Authorizations[0].Key.ID
	}
	at, auth := held("create-1")
	res, err := l.adapter.Capture(t.Context(), providers.CaptureRequest{Attempt: at, Target: auth, Amount: at.Asked, Final: true}, "capture-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.adapter.Refund(t.Context(), providers.RefundRequest{Attempt: at, Capture: res.Ref, Amount: at.Asked, Operation: "rfd_1"}, "refund-1"); err != nil {
		t.Fatal(err)
	}
	at, auth = held("create-2")
	if _, err := l.adapter.Void(t.Context(), providers.CaptureRequest{Attempt: at, Target: auth}, "void-1"); err != nil {
		t.Fatal(err)
	}
	req := checkoutRequest()
	opened, err := l.adapter.CreateCheckout(t.Context(), req, "create-3")
	if err != nil {
		t.Fatal(err)
	}
	at.Root.ID = opened.Ref
	if _, err := l.adapter.CloseCheckout(t.Context(), at, "close-1"); err != nil {
		t.Fatal(err)
	}
	want := []string{"create-1", "capture-1", "refund-1", "create-2", "void-1", "create-3", "close-1"}
	if len(writes) != len(want) {
		t.Fatalf("keys %v, want %v", writes, want)
	}
	for i := range want {
		if writes[i] != want[i] {
			t.Errorf("keys %v, want %v", writes, want)
		}
	}
}

// TestNothingIsRetried: repeating is the decision of whoever wrote the key down, so
// one call is one request, whatever the answer.
func TestNothingIsRetried(t *testing.T) {
	t.Parallel()
	for _, status := range []int{409, 429, 500, 503} {
		calls := 0
		a := against(t, func(w http.ResponseWriter, _ *http.Request) {
			calls++
			w.Header().Set("Stripe-Should-Retry", "true")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(problem("api_error", "", "")))
		})
		if _, err := a.Refund(t.Context(), refundRequest, "key"); err == nil || calls != 1 {
			t.Errorf("%d: %d requests, error %v", status, calls, err)
		}
	}
}

// TestAsOf: an answer is as old as its Date, lifted only a little by what it holds;
// one damaged time must not outrank everything that is seen later.
func TestAsOf(t *testing.T) {
	t.Parallel()
	at := startWall
	for _, c := range []struct{ read, created, want time.Time }{
		{at, at.Add(-time.Hour), at},
		{at, at.Add(time.Second), at.Add(time.Second)},
		{at, at.Add(time.Hour), at},
		{time.Time{}, at, at},
		{at, time.Time{}, at},
	} {
		if got := asOf(c.read, c.created); !got.Equal(c.want) {
			t.Errorf("read %v, created %v: %v, want %v", c.read, c.created, got, c.want)
		}
	}
	if !unix(1<<62).IsZero() || !unix(-1).IsZero() || unix(1).IsZero() {
		t.Error("impossible times are read")
	}
}

// TestRowsAreDatedByThemselves: a row of a list says nothing of when it changed, so
// it never claims the time of the read.
func TestRowsAreDatedByThemselves(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	at := l.begin(t, false)
	if err := l.pay(t, at.Root, providertest.PayNow); err != nil {
		t.Fatal(err)
	}
	id := l.fetched(t, at).Captures[0].Key.ID
	l.must(t, "refunds", map[string]any{"charge": id, "amount": 100})
	l.world.Advance(t.Context(), time.Hour)
	obs, err := l.adapter.Fetch(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	if !obs.AsOf.Equal(l.world.Now()) || !obs.Facts.Attempts[0].AsOf.Equal(obs.AsOf) {
		t.Errorf("read at %v, as of %v", l.world.Now(), obs.AsOf)
	}
	for _, s := range []payment.Stamp{obs.Facts.Captures[0].Stamp, obs.Facts.Refunds[0].Stamp} {
		if !s.AsOf.Equal(startWall) || !s.Created.Equal(startWall) {
			t.Errorf("a row is dated %+v", s)
		}
	}
}
