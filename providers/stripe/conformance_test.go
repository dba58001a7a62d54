package stripe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/providertest"
	"github.com/trifecta-pay/trifecta/providers/providertest/stripespec"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/providers/sandbox/stripeapi"
)

const testKey = "sk_test_conformance"

// lab is the adapter in front of Stripe's sandbox, over real HTTP, with every exchange
// and event checked against Stripe's OpenAPI document.
type lab struct {
	world   *sandbox.World
	server  *httptest.Server
	adapter *Adapter
	calls   atomic.Int64 // HTTP calls of every adapter that connect made
}

// roundTrip is a transport in one function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// counted is a transport that counts.
func (l *lab) counted(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		l.calls.Add(1)
		return next.RoundTrip(r)
	})
}

// startWall is where the wall clock of every lab stands; only Advance moves time.
var startWall = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{}
	l.world = sandbox.NewWorld(sandbox.Options{
		Wall: func() time.Time { return startWall }, Seed: 7, Client: &http.Client{},
		Wait: func(context.Context, time.Duration) {}, // a cut connection need not be waited for
	})
	validator := stripespec.Load(t)
	l.server = httptest.NewServer(validator.Middleware(t, stripeapi.New(l.world, stripeapi.Options{})))
	t.Cleanup(func() {
		l.server.Close()
		for _, e := range l.world.Events("stripe") {
			validator.Event(t, e.Body)
		}
	})
	l.adapter = l.connect(t, l.server.URL)
	return l
}

func (l *lab) connect(t *testing.T, base string) *Adapter {
	t.Helper()
	a, err := New(Options{
		Account: "stripe-test", Mode: payment.ModeTest, SecretKey: testKey, APIBase: base,
		HTTPClient:     &http.Client{Timeout: time.Minute, Transport: l.counted(&http.Transport{})},
		WebhookSecrets: []string{secretA, secretB}, ConnectWebhookSecrets: []string{secretConnect},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// control calls the sandbox's control API.
func (l *lab) control(t *testing.T, path string, in any) (map[string]any, error) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := l.server.Client().Post(l.server.URL+"/_sandbox/"+path, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out := map[string]any{}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return out, fmt.Errorf("%s: HTTP %d %v", path, resp.StatusCode, out)
	}
	return out, nil
}

func (l *lab) must(t *testing.T, path string, in any) map[string]any {
	t.Helper()
	out, err := l.control(t, path, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (l *lab) pay(t *testing.T, root providers.Ref, how providertest.How) error {
	t.Helper()
	in := map[string]any{"card": "4242424242424242"}
	switch how {
	case providertest.PayDeclined:
		in["card"] = "4000000000009995"
	case providertest.PayPending:
		in["method"] = "async"
	case providertest.PayNow:
	}
	_, err := l.control(t, "checkout/"+root.ID+"/pay", in)
	return err
}

func (l *lab) setFault(t *testing.T, f providertest.Fault) {
	t.Helper()
	api := sandbox.APIFaults{TimeoutMS: 1}
	switch f {
	case providertest.TimeoutBefore:
		api.TimeoutBeforeEffect = 1
	case providertest.TimeoutAfter:
		api.TimeoutAfterEffect = 1
	case providertest.Answer500:
		api.Status500 = 1
	case providertest.Answer429:
		api.Status429 = 1
	case providertest.NoFault:
	}
	if err := l.world.SetFaults(sandbox.Faults{API: api}); err != nil {
		t.Fatal(err)
	}
}

func (l *lab) harness(t *testing.T) providertest.Harness {
	outcome := map[bool]string{true: "completed", false: "denied"}
	verdict := map[bool]string{true: "won", false: "lost"}
	return providertest.Harness{
		Provider:    l.adapter,
		Unreachable: l.connect(t, "http://127.0.0.1:1"),
		Now:         l.world.Now,
		Advance:     func(t *testing.T, d time.Duration) { l.world.Advance(t.Context(), d) },
		SetFault:    l.setFault,
		Calls:       l.calls.Load,
		Ledger: func(*testing.T) []providertest.Movement {
			var out []providertest.Movement
			for _, r := range l.world.Ledger() {
				out = append(out, providertest.Movement{Object: r.Object, Kind: r.Kind, Amount: r.Amount, Currency: r.Currency, Reference: r.Reference})
			}
			return out
		},
		Checkouts: func(t *testing.T) int {
			page, err := l.adapter.Sweep(t.Context(), listSessions, startWall.Add(-time.Hour), l.world.Now().Add(time.Hour), "")
			if err != nil {
				t.Fatal(err)
			}
			return len(page.Items)
		},
		Pay:                 l.pay,
		Expire:              func(t *testing.T, root providers.Ref) { l.must(t, "checkout/"+root.ID+"/expire", nil) },
		ExpireAuthorization: func(t *testing.T, id string) { l.must(t, "authorizations/"+id+"/expire", nil) },
		Settle: func(t *testing.T, id string, arrives bool) {
			l.must(t, "captures/"+id+"/settle", map[string]any{"outcome": outcome[arrives]})
		},
		RefundOutside: func(t *testing.T, capture string, amount int64) {
			l.must(t, "refunds", map[string]any{"charge": capture, "amount": amount})
		},
		FailRefund: func(t *testing.T, id string) { l.must(t, "refunds/"+id+"/fail", nil) },
		Dispute: func(t *testing.T, capture string, amount int64) string {
			id, _ := l.must(t, "disputes", map[string]any{"charge": capture, "amount": amount, "reason": "fraudulent"})["dispute"].(string)
			return id
		},
		Resolve: func(t *testing.T, id string, won bool) {
			l.must(t, "disputes/"+id+"/resolve", map[string]any{"outcome": verdict[won]})
		},
		Closes:      true,
		UnknownRoot: providers.Ref{Kind: kindSession, ID: "cs_test_nobodyknowsthissession00"},
		Fees:        true,
	}
}

// TestConformance: the adapter means what the contract says.
func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, func(t *testing.T) providertest.Harness { return newLab(t).harness(t) })
}
