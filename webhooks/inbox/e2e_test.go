package inbox_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/bits"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/paypal"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/providers/sandbox/paypalapi"
	"github.com/trifecta-pay/trifecta/providers/sandbox/stripeapi"
	"github.com/trifecta-pay/trifecta/providers/stripe"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mem"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

const (
	secretNew     = "whsec_new_0123456789abcdef0123456789abcdef"
	secretOld     = "whsec_old_0123456789abcdef0123456789abcdef"
	secretConnect = "whsec_con_0123456789abcdef0123456789abcdef"
	webhookID     = "WH-1AB2C3D4E5F6G7H8I"
)

// sharedChain: RSA keys are slow to make, and every test may use the same.
var sharedChain = sync.OnceValues(func() (*paypalapi.Chain, error) { return paypalapi.NewChain(e2eWall, nil) })

// e2eWall is where the wall clock stands; only Advance moves the virtual one.
var e2eWall = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// house is the whole way: both sandboxes with their signed webhooks, both real
// adapters, gateway and inbox. Nobody ever returns from a checkout, nothing is
// reconciled, and the operations worker does not run.
type house struct {
	t       *testing.T
	world   *sandbox.World
	servers map[string]*httptest.Server
	engine  store.Engine
	service *gateway.Service
	inbox   *inbox.Inbox
	seen    func(*http.Request, []byte) error // every delivery, if set; an error cuts it off
}

// handlerTransport delivers webhooks without a network.
type handlerTransport struct{ h *house }

func (d handlerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	if d.h.seen != nil {
		if err := d.h.seen(req, body); err != nil {
			return nil, err
		}
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	w := httptest.NewRecorder()
	d.h.inbox.ServeHTTP(w, req)
	return w.Result(), nil
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, servers: map[string]*httptest.Server{}}
	h.world = sandbox.NewWorld(sandbox.Options{
		Wall: func() time.Time { return e2eWall }, Seed: 3, Client: &http.Client{Transport: handlerTransport{h}},
		Wait: func(context.Context, time.Duration) {},
	})
	chain, err := sharedChain()
	h.must(err)
	h.servers["stripe"] = httptest.NewServer(stripeapi.New(h.world, stripeapi.Options{}))
	h.servers["paypal"] = httptest.NewUnstartedServer(nil)
	pp, err := paypalapi.New(h.world, paypalapi.Options{BaseURL: "http://" + h.servers["paypal"].Listener.Addr().String(), Chain: chain})
	h.must(err)
	h.servers["paypal"].Config.Handler = pp
	h.servers["paypal"].Start()
	for _, s := range h.servers {
		t.Cleanup(s.Close)
	}
	registry := h.accounts(chain)
	h.engine, err = mem.New(store.Collections())
	h.must(err)
	payments, alerts := store.NewPayments(h.engine), store.NewAlerts(h.engine)
	n := 0
	h.service, err = gateway.New(gateway.Options{
		Payments: payments, Keys: store.NewKeys(h.engine), Notify: alerts, Providers: registry,
		Apps:  []gateway.App{{Name: "shop", Mode: payment.ModeTest, ReturnOrigins: []string{"https://shop.example.com"}}},
		Clock: h.world.Now, Token: func() string { n++; return fmt.Sprintf("token%020d", n) }, PublicURL: "https://pay.example.com",
		Render: func(p *payment.Payment, e payment.Event) ([]byte, error) {
			return json.Marshal(map[string]string{"id": e.Object})
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	h.must(err)
	h.inbox, err = inbox.New(inbox.Options{
		Accounts: registry, Store: store.NewInbox(h.engine), Applier: h.service, Finder: payments, Notify: alerts,
		Orphans: store.NewOrphans(h.engine), Clock: h.world.Now, Wall: h.world.Wall, Owner: "e2e", Logger: slog.New(slog.DiscardHandler),
		APIVersions: map[string]string{"stripe": "2023-10-16"},
	})
	h.must(err)
	h.world.AddEndpoint(sandbox.Endpoint{API: "stripe", URL: "http://gateway/webhooks/stripe/stripe-test", Secret: secretNew})
	h.world.AddEndpoint(sandbox.Endpoint{API: "paypal", URL: "http://gateway/webhooks/paypal/paypal-test", WebhookID: webhookID})
	return h
}

func (h *house) accounts(chain *paypalapi.Chain) *providers.Registry {
	h.t.Helper()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{}}
	s, err := stripe.New(stripe.Options{
		Account: "stripe-test", Mode: payment.ModeTest, SecretKey: "sk_test_e2e", APIBase: h.servers["stripe"].URL, HTTPClient: client,
		WebhookSecrets: []string{secretNew, secretOld}, ConnectWebhookSecrets: []string{secretConnect},
	})
	h.must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(chain.RootPEM())
	p, err := paypal.New(paypal.Options{
		Account: "paypal-test", Mode: payment.ModeTest, ClientID: "client", ClientSecret: "a secret of enough length", APIBase: h.servers["paypal"].URL,
		HTTPClient: client, Now: h.world.Now, WebhookIDs: []string{webhookID}, WebhookRootCA: roots,
		WebhookCertHosts: []string{strings.TrimPrefix(h.servers["paypal"].URL, "http://")},
	})
	h.must(err)
	registry, err := providers.NewRegistry(providers.Guard(s, providers.GuardOptions{}), providers.Guard(p, providers.GuardOptions{}))
	h.must(err)
	return registry
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) create(provider, key string) *payment.Payment {
	h.t.Helper()
	ans, err := h.service.Create(h.t.Context(), gateway.Request{
		Caller: gateway.Caller{App: "shop", Mode: payment.ModeTest}, Path: "/v1/payments", Key: key, Fingerprint: key,
	}, gateway.CreateInput{Amount: 1999, Currency: "usd", Provider: provider, ReturnURL: "https://shop.example.com/back"})
	h.must(err)
	if ans.Payment.Status() != payment.StatusRequiresAction {
		h.t.Fatalf("created %s", ans.Payment.Status())
	}
	return ans.Payment
}

// control is what buyers, banks and dashboards do.
func (h *house) control(provider, path string, in any) {
	h.t.Helper()
	body, err := json.Marshal(in)
	h.must(err)
	resp, err := h.servers[provider].Client().Post(h.servers[provider].URL+"/_sandbox/"+path, "application/json", bytes.NewReader(body))
	h.must(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		h.t.Fatalf("%s: %d %s", path, resp.StatusCode, text)
	}
}

// settle delivers webhooks and works on them until nothing is due.
func (h *house) settle() {
	h.t.Helper()
	for range 20 {
		sent, _, err := h.world.StepDeliveries(h.t.Context())
		h.must(err)
		did, _, err := h.inbox.Step(h.t.Context())
		h.must(err)
		if sent+did == 0 {
			return
		}
	}
	h.t.Fatal("never quiet")
}

func (h *house) payment(id string) *payment.Payment {
	h.t.Helper()
	p, err := store.NewPayments(h.engine).Get(h.t.Context(), id)
	h.must(err)
	return p
}

func (h *house) want(id string, status payment.Status, captured, refunded int64) *payment.Payment {
	h.t.Helper()
	p := h.payment(id)
	if a := p.Amounts(); p.Status() != status || a.Captured != captured || a.Refunded != refunded {
		h.t.Fatalf("payment is %s, captured %d, refunded %d; want %s, %d, %d", p.Status(), a.Captured, a.Refunded, status, captured, refunded)
	}
	return p
}

// wantClean checks that every delivery was acknowledged, every event came to its
// end, and nobody had to be told of anything but disputes.
func (h *house) wantClean() {
	h.t.Helper()
	for _, api := range []string{"stripe", "paypal"} {
		for _, d := range h.world.Deliveries(api) {
			if len(d.Attempts) != 1 || d.Attempts[0].Status != http.StatusOK {
				h.t.Errorf("delivery of %s: %+v", d.Type, d.Attempts)
			}
		}
	}
	all, _, err := h.inbox.List(h.t.Context(), inbox.Filter{Limit: 500})
	h.must(err)
	for _, r := range all {
		if r.State != inbox.Done && r.State != inbox.Irrelevant {
			h.t.Errorf("%s %s about %s is %s (%s)", r.Provider, r.Event.Type, r.Event.Object.ID, r.State, r.Reason)
		}
	}
	alerts, _, err := store.NewAlerts(h.engine).List(h.t.Context(), store.AlertFilter{Limit: 100})
	h.must(err)
	for _, a := range alerts {
		if a.Kind != "dispute_opened" && a.Kind != "refund_failed" {
			h.t.Errorf("alert %s: %s", a.Kind, a.Message)
		}
	}
}

// Guards the promise "webhook alone is enough" with the real adapter against the
// Stripe sandbox: paid, declined, refunded in the dashboard, refund failed,
// disputed, expired. Nobody returns and nothing is reconciled.
func TestStripeByWebhookAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	p := h.create("stripe", "a")
	latest, _ := p.Facts.AttemptFact(1)
	session := latest.Key.ID
	h.control("stripe", "checkout/"+session+"/pay", map[string]any{"card": "4242424242424242"})
	h.settle()
	got := h.want(p.ID, payment.StatusSucceeded, 1999, 0)
	if got.SettledBy != payment.LayerWebhook {
		t.Errorf("settled by %s", got.SettledBy)
	}
	charge := got.Facts.Captures[0].Key.ID
	h.world.Advance(t.Context(), time.Minute)
	h.control("stripe", "refunds", map[string]any{"charge": charge, "amount": 500})
	h.settle()
	got = h.want(p.ID, payment.StatusSucceeded, 1999, 500)
	h.world.Advance(t.Context(), time.Minute)
	h.control("stripe", "refunds/"+got.Facts.Refunds[0].Key.ID+"/fail", nil)
	h.settle()
	h.want(p.ID, payment.StatusSucceeded, 1999, 0)

	q := h.create("stripe", "b")
	latest, _ = q.Facts.AttemptFact(1)
	h.control("stripe", "checkout/"+latest.Key.ID+"/pay", map[string]any{"card": "4242424242424242"})
	h.settle()
	h.world.Advance(t.Context(), time.Minute)
	h.control("stripe", "disputes", map[string]any{"charge": h.payment(q.ID).Facts.Captures[0].Key.ID, "amount": 1999, "reason": "fraudulent"})
	h.settle()
	if n := len(h.payment(q.ID).Facts.Disputes); n != 1 {
		t.Errorf("%d disputes", n)
	}

	x := h.create("stripe", "c")
	latest, _ = x.Facts.AttemptFact(1)
	h.world.Advance(t.Context(), time.Minute)
	h.control("stripe", "checkout/"+latest.Key.ID+"/expire", nil)
	h.settle()
	if fact, _ := h.payment(x.ID).Facts.AttemptFact(1); fact.State != payment.AttemptExpired {
		t.Errorf("the expired session is %s", fact.State)
	}
	for range 3 { // soft tries of objects that need not appear
		h.world.Advance(t.Context(), time.Minute)
		h.settle()
	}
	h.wantClean()
}

// Guards the same with PayPal, where our call takes the money: approved, and
// captured by the webhook alone, refunded outside, disputed.
func TestPayPalByWebhookAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	p := h.create("paypal", "a")
	fact, _ := p.Facts.AttemptFact(1)
	h.control("paypal", "orders/"+fact.Key.ID+"/approve", nil)
	h.settle()
	got := h.want(p.ID, payment.StatusSucceeded, 1999, 0)
	if got.SettledBy != payment.LayerWebhook {
		t.Errorf("settled by %s", got.SettledBy)
	}
	capture := got.Facts.Captures[0].Key.ID
	h.world.Advance(t.Context(), time.Minute)
	h.control("paypal", "refunds", map[string]any{"capture": capture, "amount": 500})
	h.settle()
	h.want(p.ID, payment.StatusSucceeded, 1999, 500)
	h.world.Advance(t.Context(), time.Minute)
	h.control("paypal", "disputes", map[string]any{"capture": capture, "amount": 1499, "reason": "MERCHANDISE_OR_SERVICE_NOT_RECEIVED"})
	h.settle()
	if n := len(h.payment(p.ID).Facts.Disputes); n != 1 {
		t.Errorf("%d disputes", n)
	}
	h.wantClean()
}

// stripeHeader signs a body as Stripe does (Stripe docs: verify signatures).
func stripeHeader(scheme string, at time.Time, body string, secrets ...string) string {
	out := fmt.Sprintf("t=%d", at.Unix())
	for _, s := range secrets {
		mac := hmac.New(sha256.New, []byte(s))
		fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
		out += "," + scheme + "=" + hex.EncodeToString(mac.Sum(nil))
	}
	return out
}

// Guards list A of reliability.md at the receiver, with Stripe's real signature
// check: what is refused leaves no row.
func TestStripeSignatureRows(t *testing.T) {
	t.Parallel()
	const event = `{"id":"evt_1","object":"event","type":"charge.succeeded","created":1772366400,"livemode":false,` +
		`"api_version":"2023-10-16","data":{"object":{"id":"ch_1","object":"charge"}}}`
	other := strings.Replace(event, "ch_1", "ch_2", 1)
	now := e2eWall
	for _, c := range []struct {
		name, path, header, body string
		want                     int
	}{
		{"A1 no header", "", "", event, 400},
		{"A2 without t", "", strings.Replace(stripeHeader("v1", now, event, secretNew), "t=", "x=", 1), event, 400},
		{"A2 t twice", "", "t=1," + stripeHeader("v1", now, event, secretNew), event, 400},
		{"A2 hex cut", "", stripeHeader("v1", now, event, secretNew)[:60], event, 400},
		{"A2 rubbish", "", "t=;v1=;;,,==", event, 400},
		{"A3 v1 of another body", "", stripeHeader("v1", now, other, secretNew), event, 400},
		{"A4 only v0", "", stripeHeader("v0", now, event, secretNew), event, 400},
		{"A5 301 s old", "", stripeHeader("v1", now.Add(-301*time.Second), event, secretNew), event, 400},
		{"A6 301 s in the future", "", stripeHeader("v1", now.Add(301*time.Second), event, secretNew), event, 400},
		{"A8 two v1, the second right", "", stripeHeader("v1", now, event, "whsec_wrong_0123456789abcdef", secretNew), event, 200},
		{"A9 the old secret while it is configured", "", stripeHeader("v1", now, event, secretOld), event, 200},
		{"A9 the old secret after it is gone", "", stripeHeader("v1", now, event, "whsec_gone_0123456789abcdef0123456789"), event, 400},
		{"A11 the other endpoint's secret", "", stripeHeader("v1", now, event, secretConnect), event, 400},
		{"the connect endpoint's own", "/connect", stripeHeader("v1", now, event, secretConnect), event, 200},
		{"A22 trailing bytes, signed", "", stripeHeader("v1", now, event+"{}", secretNew), event + "{}", 400},
		{"A10 300 s old", "", stripeHeader("v1", now.Add(-300*time.Second), event, secretNew), event, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			for i := range 2 { // A10: a replay within the tolerance is no second event
				req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/stripe/stripe-test"+c.path, strings.NewReader(c.body))
				if c.header != "" {
					req.Header.Set("Stripe-Signature", c.header)
				}
				w := httptest.NewRecorder()
				h.inbox.ServeHTTP(w, req)
				if w.Code != c.want {
					t.Errorf("try %d: %d %s, want %d", i, w.Code, w.Body, c.want)
				}
			}
			docs, _, err := h.engine.Scan(t.Context(), "inbox", "", 10)
			if err != nil || len(docs) != map[int]int{200: 1, 400: 0}[c.want] {
				t.Errorf("%d rows, %v", len(docs), err)
			}
		})
	}
}

// Guards A9: a secret that was rolled opens the door while it is configured, and no more
// from the moment the program runs without it; the new one does throughout.
func TestOldSecretIsGone(t *testing.T) {
	t.Parallel()
	const body = `{"id":"evt_1","object":"event","type":"charge.succeeded","created":1772366400,"livemode":false,` +
		`"api_version":"2023-10-16","data":{"object":{"id":"ch_1","object":"charge"}}}`
	for _, c := range []struct {
		name       string
		configured []string
		signedWith string
		accepted   bool
	}{
		{"old, while both are there", []string{secretNew, secretOld}, secretOld, true},
		{"new, while both are there", []string{secretNew, secretOld}, secretNew, true},
		{"old, after it was taken out", []string{secretNew}, secretOld, false},
		{"new, after the old was taken out", []string{secretNew}, secretNew, true},
	} {
		a, err := stripe.New(stripe.Options{Account: "a", Mode: payment.ModeTest, SecretKey: "sk_test_x", WebhookSecrets: c.configured})
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{"Stripe-Signature": {stripeHeader("v1", e2eWall, body, c.signedWith)}}
		_, err = a.Verify(t.Context(), h, []byte(body), false, e2eWall)
		if c.accepted && err != nil || !c.accepted && !errors.Is(err, providers.ErrSignature) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Guards A7: without a usable secret no adapter is made, so that the program
// refuses to start instead of accepting everything.
func TestWeakSecretsAreRefused(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"", " ", "whsec_", "whsec_short", "                                "} {
		_, err := stripe.New(stripe.Options{Account: "a", Mode: payment.ModeTest, SecretKey: "sk_test_x", WebhookSecrets: []string{secret}})
		if err == nil {
			t.Errorf("secret %q is accepted", secret)
		}
	}
}

// forge gives body the CRC-32 of genuine by choosing the letters of its padding,
// a run of at least 64 times "a": the checksum is linear, so this is solving
// equations, not guessing.
func forge(t *testing.T, genuine, body []byte) []byte {
	t.Helper()
	pad := bytes.Index(body, bytes.Repeat([]byte("a"), 64))
	if pad < 0 {
		t.Fatal("no padding")
	}
	body = bytes.Clone(body)
	base := crc32.ChecksumIEEE(body)
	type row struct {
		effect uint32
		flips  uint64
	}
	var rows [32]*row // by highest bit
	reduce := func(r row) row {
		for bit := 31; bit >= 0; bit-- {
			if r.effect>>bit&1 == 1 && rows[bit] != nil {
				r.effect ^= rows[bit].effect
				r.flips ^= rows[bit].flips
			}
		}
		return r
	}
	for i := range 64 {
		body[pad+i] ^= 2 // "a" becomes "c"
		r := reduce(row{effect: crc32.ChecksumIEEE(body) ^ base, flips: 1 << i})
		body[pad+i] ^= 2
		if r.effect != 0 {
			rows[bits.Len32(r.effect)-1] = &r
		}
	}
	want := reduce(row{effect: crc32.ChecksumIEEE(genuine) ^ base})
	for i := range 64 {
		body[pad+i] ^= byte(want.flips >> i & 1 << 1)
	}
	if crc32.ChecksumIEEE(body) != crc32.ChecksumIEEE(genuine) {
		t.Fatal("the forgery failed")
	}
	return body
}

// Guards B6: PayPal's signature covers only a CRC-32 of the body. Whoever has the
// headers of one delivery can say anything; all it causes is reads of the true
// objects, and a human hears of the object that nobody can find.
func TestForgedPayPalBody(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	victim, p := h.create("paypal", "victim"), h.create("paypal", "a")
	fact, _ := p.Facts.AttemptFact(1)
	order, _ := victim.Facts.AttemptFact(1)
	var headers http.Header
	var genuine []byte
	h.seen = func(r *http.Request, body []byte) error {
		headers, genuine = r.Header.Clone(), body
		return errors.New("intercepted")
	}
	h.control("paypal", "orders/"+fact.Key.ID+"/approve", nil)
	_, _, err := h.world.StepDeliveries(t.Context())
	h.must(err)
	forged := forge(t, genuine, fmt.Appendf(nil, `{"id":"WH-FORGED","event_type":"PAYMENT.CAPTURE.COMPLETED","resource_type":"capture","resource_version":"2.0",`+
		`"create_time":"2026-03-01T12:00:00Z","pad":"%s","resource":{"id":"9AB12345CD678901E","custom_id":"%s","status":"COMPLETED",`+
		`"amount":{"currency_code":"USD","value":"19.99"},"supplementary_data":{"related_ids":{"order_id":"%s"}}}}`,
		strings.Repeat("a", 64), victim.ID, order.Key.ID))
	before := h.payment(victim.ID)
	if code, text := h.post("paypal", headers, forged); code != http.StatusOK {
		t.Fatalf("the forgery does not pass the signature, so this test tests nothing: %d %s", code, text)
	}
	h.settle()
	after := h.payment(victim.ID)
	if after.Status() != payment.StatusRequiresAction || len(after.Facts.Captures) != 0 || len(after.History) != len(before.History) {
		t.Errorf("a forged body changed the payment: %s, %d captures", after.Status(), len(after.Facts.Captures))
	}
	h.want(p.ID, payment.StatusRequiresAction, 0, 0)
	for range 6 {
		h.world.Advance(t.Context(), 5*time.Minute)
		_, _, err := h.inbox.Step(t.Context())
		h.must(err)
	}
	alerts, _, err := store.NewAlerts(h.engine).List(t.Context(), store.AlertFilter{Limit: 10})
	h.must(err)
	if len(alerts) != 1 || alerts[0].Kind != "orphan_money" {
		t.Errorf("alerts %+v, want one about an object that nobody holds", alerts)
	}
	// The way is free again: the provider's next try, under the same transmission
	// id, settles what is true.
	h.seen = nil
	h.world.Advance(t.Context(), time.Hour)
	h.settle()
	h.want(p.ID, payment.StatusSucceeded, 1999, 0)
}

// Guards B7: the same transmission again has no effect at all.
func TestPayPalTransmissionIsTheKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	p := h.create("paypal", "a")
	fact, _ := p.Facts.AttemptFact(1)
	var headers http.Header
	var genuine []byte
	h.seen = func(r *http.Request, body []byte) error {
		headers, genuine = r.Header.Clone(), body
		return nil
	}
	h.control("paypal", "orders/"+fact.Key.ID+"/approve", nil)
	h.settle()
	done := h.want(p.ID, payment.StatusSucceeded, 1999, 0)
	rows, _, err := h.inbox.List(t.Context(), inbox.Filter{Limit: 100})
	h.must(err)
	for range 3 {
		if code, text := h.post("paypal", headers, genuine); code != http.StatusOK || !strings.Contains(text, "already_stored") {
			t.Errorf("replay: %d %s", code, text)
		}
	}
	h.settle()
	again, _, err := h.inbox.List(t.Context(), inbox.Filter{Limit: 100})
	h.must(err)
	if len(again) != len(rows) || len(rows) == 0 {
		t.Errorf("%d rows, before the replays %d", len(again), len(rows))
	}
	if p := h.payment(p.ID); p.Version != done.Version {
		t.Errorf("the replays changed the payment from version %d to %d", done.Version, p.Version)
	}
}

func (h *house) post(provider string, header http.Header, body []byte) (int, string) {
	h.t.Helper()
	req := httptest.NewRequestWithContext(h.t.Context(), http.MethodPost, "/webhooks/"+provider+"/"+provider+"-test", bytes.NewReader(body))
	req.Header = header
	w := httptest.NewRecorder()
	h.inbox.ServeHTTP(w, req)
	return w.Code, w.Body.String()
}
