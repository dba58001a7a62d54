package paypal

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/providertest"
	"github.com/trifecta-pay/trifecta/providers/providertest/paypalspec"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/providers/sandbox/paypalapi"
)

// startWall is where the wall clock of every lab stands; only Advance moves time.
var startWall = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sharedChain: RSA keys are slow to make, and every test may use the same.
var sharedChain = sync.OnceValues(func() (*paypalapi.Chain, error) { return paypalapi.NewChain(startWall, nil) })

// lab is the adapter in front of PayPal's sandbox, over real HTTP, with every
// exchange checked against PayPal's OpenAPI documents.
type lab struct {
	world   *sandbox.World
	server  *httptest.Server
	adapter *Adapter
	calls   atomic.Int64 // HTTP calls of every adapter that connect made
}

// counted is a transport that counts.
func (l *lab) counted(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		l.calls.Add(1)
		return next.RoundTrip(r)
	})
}

func newLab(t *testing.T, mod ...func(*Options)) *lab {
	t.Helper()
	chain, err := sharedChain()
	if err != nil {
		t.Fatal(err)
	}
	validator := paypalspec.Load(t)
	l := &lab{world: sandbox.NewWorld(sandbox.Options{
		Wall: func() time.Time { return startWall }, Seed: 7, Client: &http.Client{},
		Wait: func(context.Context, time.Duration) {}, // a cut connection need not be waited for
	})}
	l.server = httptest.NewUnstartedServer(nil)
	api, err := paypalapi.New(l.world, paypalapi.Options{BaseURL: "http://" + l.server.Listener.Addr().String(), Chain: chain})
	if err != nil {
		t.Fatal(err)
	}
	l.server.Config.Handler = validator.Middleware(t, api)
	l.server.Start()
	t.Cleanup(l.server.Close)
	l.adapter = l.connect(t, l.server.URL, mod...)
	return l
}

func (l *lab) connect(t *testing.T, base string, mod ...func(*Options)) *Adapter {
	t.Helper()
	chain, err := sharedChain()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(chain.RootPEM())
	o := Options{
		Account: "paypal-test", Mode: payment.ModeTest, ClientID: "client-a", ClientSecret: canarySecret, APIBase: base,
		HTTPClient: &http.Client{Timeout: time.Minute, Transport: l.counted(&http.Transport{})}, Now: l.world.Now,
		WebhookIDs: []string{"WHFIRST", "WHSECOND"}, WebhookRootCA: roots, BrandName: "Blue Chairs",
		WebhookCertHosts: []string{strings.TrimPrefix(base, "http://")},
	}
	for _, m := range mod {
		m(&o)
	}
	a, err := New(o)
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
	funding := map[providertest.How]string{
		providertest.PayNow: "completed", providertest.PayDeclined: "declined", providertest.PayPending: "pending",
	}
	_, err := l.control(t, "orders/"+root.ID+"/approve", map[string]any{"capture": funding[how]})
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

func (l *lab) advance(t *testing.T, d time.Duration) { l.world.Advance(t.Context(), d) }

func (l *lab) harness(t *testing.T) providertest.Harness {
	outcome := map[bool]string{true: "completed", false: "denied"}
	verdict := map[bool]string{true: "won", false: "lost"}
	// The sandbox's faults hit the token endpoint too; a product has its token long
	// before, and what happens without one is tested elsewhere.
	if _, err := l.adapter.api.tokens.get(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	return providertest.Harness{
		Provider:    l.adapter,
		Unreachable: l.connect(t, "http://127.0.0.1:1"),
		Now:         l.world.Now,
		Advance:     l.advance,
		SetFault:    l.setFault,
		Calls:       l.calls.Load,
		Ledger: func(*testing.T) []providertest.Movement {
			var out []providertest.Movement
			for _, r := range l.world.Ledger() {
				out = append(out, providertest.Movement{Object: r.Object, Kind: r.Kind, Amount: r.Amount, Currency: r.Currency, Reference: r.Reference})
			}
			return out
		},
		// Checkouts: PayPal can't list orders, nor can its sandbox.
		Pay: l.pay,
		// An order can't be expired by call; it lapses after three hours.
		Expire:              func(t *testing.T, _ providers.Ref) { l.advance(t, orderLife) },
		ExpireAuthorization: func(t *testing.T, id string) { l.must(t, "authorizations/"+id+"/expire", nil) },
		Settle: func(t *testing.T, id string, arrives bool) {
			l.must(t, "captures/"+id+"/settle", map[string]any{"outcome": outcome[arrives]})
		},
		RefundOutside: func(t *testing.T, capture string, amount int64) {
			l.must(t, "refunds", map[string]any{"capture": capture, "amount": amount})
		},
		FailRefund: func(t *testing.T, id string) { l.must(t, "refunds/"+id+"/fail", nil) },
		Dispute: func(t *testing.T, capture string, amount int64) string {
			id, _ := l.must(t, "disputes", map[string]any{"capture": capture, "amount": amount})["dispute"].(string)
			return id
		},
		Resolve: func(t *testing.T, id string, won bool) {
			l.must(t, "disputes/"+id+"/resolve", map[string]any{"outcome": verdict[won]})
		},
		Closes:      false, // Orders v2 has no way to cancel an order
		UnknownRoot: providers.Ref{Kind: "order", ID: "5O190127TN364715T"},
		Fees:        true,
	}
}

// TestConformance: the adapter means what the contract says.
func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, func(t *testing.T) providertest.Harness { return newLab(t).harness(t) })
}

const canarySecret = "canary-secret-4f1c9a"
