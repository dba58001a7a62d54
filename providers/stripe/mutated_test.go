package stripe

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// mutator damages one place of every answer.
type mutator struct{ draw *rand.Rand }

func (m *mutator) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var v any
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return nil, err
	}
	b, err := json.Marshal(m.damage(v, 1+m.draw.IntN(6)))
	if err != nil {
		return nil, err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return resp, nil
}

// damage walks down depth levels at random and puts something else there.
func (m *mutator) damage(v any, depth int) any {
	if depth > 0 {
		switch x := v.(type) {
		case map[string]any:
			n := m.draw.IntN(len(x) + 1)
			for k := range x {
				if n--; n < 0 {
					if depth == 1 && m.draw.IntN(4) == 0 {
						delete(x, k)
					} else {
						x[k] = m.damage(x[k], depth-1)
					}
					return x
				}
			}
			return x
		case []any:
			if len(x) > 0 {
				i := m.draw.IntN(len(x))
				x[i] = m.damage(x[i], depth-1)
			}
			return x
		}
	}
	odd := []any{nil, "", "x", 0, -1, 9e18, true, []any{}, []any{nil}, map[string]any{}, map[string]any{"id": nil}}
	return odd[m.draw.IntN(len(odd))]
}

// TestDamagedAnswers: whatever an answer looks like, the adapter does not panic, and
// says either something that can be merged or an *Error.
func TestDamagedAnswers(t *testing.T) {
	t.Parallel()
	s := newSwept(t)
	m := &mutator{draw: rand.New(rand.NewPCG(3, 4))}
	a, err := New(Options{Account: "stripe-test", Mode: payment.ModeTest, SecretKey: testKey, APIBase: s.server.URL, HTTPClient: &http.Client{Transport: m}})
	if err != nil {
		t.Fatal(err)
	}
	read, refused := 0, 0
	for range 400 {
		obs, err := a.Fetch(t.Context(), s.at)
		var e *providers.Error
		switch {
		case err == nil:
			read++
			(payment.Facts{}).Observe(obs).Observe(obs).Status()
		case errors.As(err, &e):
			refused++
		default:
			t.Fatalf("%T leaves the adapter: %v", err, err)
		}
	}
	if read == 0 || refused == 0 {
		t.Errorf("%d read, %d refused: the damage is too small or too great", read, refused)
	}
	for range 40 {
		for _, list := range a.Lists() {
			if _, err := a.Sweep(t.Context(), list, startWall.Add(-time.Hour), s.world.Now(), ""); err != nil && !errors.As(err, new(*providers.Error)) {
				t.Fatalf("%s: %v", list, err)
			}
		}
		for _, o := range []providers.Ref{{Kind: kindDispute, ID: s.dispute}, {Kind: kindRefund, ID: s.refund}, {Kind: kindCharge, ID: s.charge}} {
			if _, err := a.Trace(t.Context(), o); err != nil && !errors.As(err, new(*providers.Error)) {
				t.Fatalf("%+v: %v", o, err)
			}
		}
		if _, err := a.Refund(t.Context(), providers.RefundRequest{Attempt: s.at, Capture: s.charge, Amount: payment.Money{Minor: 1, Currency: "usd"}}, "k"); err != nil && !errors.As(err, new(*providers.Error)) {
			t.Fatal(err)
		}
	}
}
