package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/cmd/trifecta/mailbox"
	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/httpapi/apitest"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// One unguessable text for each secret that the house is given.
const (
	canaryAppKey    = "tk_test_CanaryAppKey8f1c2d3e4b5a6978"
	canaryOpKey     = "tk_op_CanaryOperator7a6b5c4d3e2f1908"
	canaryWrongKey  = "tk_test_CanaryWrongKey0a1b2c3d4e5f60"
	canaryStripe    = "sk_test_CanaryStripe5d4c3b2a19087f6e"
	canaryPayPal    = "CanaryPayPalSecret3e2d1c0b9a8f7e6d"
	canaryWhsec     = "whsec_CanaryOldSecret6f5e4d3c2b1a0f9e"
	canarySMTP      = "CanarySmtpPassword1b2c3d4e5f607182"
	canarySlackPath = "/services/T0CANARY/B0CANARY/CanarySlackToken9c8b7a"
	canaryIdemKey   = "CanaryIdemKey-2d3e4f506172839"
	canaryStorePW   = "CanaryStoreWord4c5d6e7f80912a3b" // without "password" in it, which has a rule of its own
)

var (
	canarySealKey = base64.StdEncoding.EncodeToString([]byte("CanarySealKey-32-bytes-long-0123"))
	canaryHookKey = "whsec_" + base64.StdEncoding.EncodeToString([]byte("CanaryAlertHookKey-32-bytes-0123"))
)

// spy keeps everything of one kind that somebody outside was told.
type spy struct{ safeBuffer }

// keep copies what a handler answers, problems and pages apart from the rest.
func keep(next http.Handler, problems, pages *spy) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		into := io.Discard
		switch kind := rec.Header().Get("Content-Type"); {
		case strings.Contains(kind, "problem"):
			into = problems
		case strings.Contains(kind, "html"):
			into = pages
		}
		_, _ = fmt.Fprintf(into, "%v %s\n", rec.Header(), rec.Body)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

// echoing is a provider that, while it is told so, answers every call with an error
// that repeats the call: its credentials, its body.
func echoing(t *testing.T, target *httptest.Server, status *atomic.Int64) string {
	t.Helper()
	u, err := url.Parse(target.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code := int(status.Load())
		if code == 0 {
			proxy.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		echo := strings.Map(func(c rune) rune {
			if c < ' ' || c == '"' || c == '\\' {
				return ' '
			}
			return c
		}, r.Header.Get("Authorization")+" "+r.Header.Get("Idempotency-Key")+" "+string(body)+" "+canaryStripe+" "+canaryPayPal+" "+canaryEmail)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"error":{"type":"invalid_request_error","code":"x","message":"%[1]s","param":"%[1]s"},"name":"INVALID_REQUEST","message":"%[1]s","error_description":"%[1]s","details":[{"issue":"%[1]s","description":"%[1]s"}]}`, echo)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// bomb is a transport that, while armed, panics with the credentials in its text.
type bomb struct {
	next  http.RoundTripper
	armed atomic.Bool
}

func (b *bomb) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.armed.Load() {
		panic("a library's panic about " + r.Header.Get("Authorization") + " " + canaryStripe)
	}
	return b.next.RoundTrip(r)
}

// canaryTown is a town in which every secret is a canary, and what left it.
type canaryTown struct {
	*town
	problems, pages, chat, hooks spy
	box                          *mailbox.Mailbox
	status                       atomic.Int64 // what the providers answer while not 0
	bomb                         *bomb
}

func startCanaries(t *testing.T) *canaryTown {
	t.Helper()
	c := &canaryTown{}
	box, port := mailServer(t)
	c.box = box
	chat := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(&c.chat, r.Body)
		if r.URL.Path != canarySlackPath {
			t.Errorf("Slack was called at %s", r.URL.Path)
		}
		w.WriteHeader(http.StatusInternalServerError) // as it fails, its error names no address
		_, _ = io.WriteString(w, "no_service "+r.URL.String())
	}))
	t.Cleanup(chat.Close)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(&c.hooks, "%v ", r.Header)
		_, _ = io.Copy(&c.hooks, r.Body)
	}))
	t.Cleanup(hook.Close)
	var stripe, paypal *url.URL
	c.town = start(t, everyLayer, func(cfg *config.Config) {
		for i := range cfg.Accounts {
			a := &cfg.Accounts[i]
			at, err := url.Parse(a.APIBase)
			if err != nil {
				t.Fatal(err)
			}
			server := &httptest.Server{URL: a.APIBase}
			a.APIBase = echoing(t, server, &c.status)
			if a.Provider == "stripe" {
				stripe, a.SecretKey = at, config.NewSecret(canaryStripe)
				a.WebhookSecrets = append(a.WebhookSecrets, config.NewSecret(canaryWhsec))
			} else {
				paypal, a.ClientSecret = at, config.NewSecret(canaryPayPal)
			}
		}
		cfg.Encryption = config.Encryption{Keys: []config.EncryptionKey{{ID: "c", Key: config.NewSecret(canarySealKey)}}, Active: "c"}
		cfg.Alerts = config.Alerts{
			AllowPrivate: true,
			Channels: []config.AlertChannel{
				{Name: "ops", Type: config.ChannelEmail, SMTPHost: "127.0.0.1", SMTPPort: port, SMTPTLS: "none", From: "alerts@pay.example", To: []string{"ops@shop.example"}},
				{Name: "locked", Type: config.ChannelEmail, SMTPHost: "127.0.0.1", SMTPPort: port, SMTPUser: "u", SMTPPassword: config.NewSecret(canarySMTP), From: "alerts@pay.example", To: []string{"ops@shop.example"}},
				{Name: "chat", Type: config.ChannelSlack, URL: config.NewSecret(chat.URL + canarySlackPath)},
				{Name: "hook", Type: config.ChannelWebhook, URL: config.NewSecret(hook.URL), Secret: config.NewSecret(canaryHookKey)},
			},
		}
	})
	if stripe == nil || paypal == nil {
		t.Fatal("an account is missing")
	}
	c.bomb = &bomb{next: c.calls.next}
	c.calls.next = c.bomb
	inner := c.api.Config.Handler
	c.api.Config.Handler = keep(inner, &c.problems, &c.pages)
	for key, k := range map[string]gateway.Key{
		canaryAppKey: {App: "shop", Mode: payment.ModeTest, Scopes: gateway.AllScopes()}, canaryOpKey: {Operator: true},
	} {
		if err := c.house.Service.AddKey(t.Context(), key, k); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func mailServer(t *testing.T) (*mailbox.Mailbox, int) {
	t.Helper()
	box, err := mailbox.New(time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- box.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return box, l.Addr().(*net.TCPAddr).Port
}

// bad makes a request that breaks the document on purpose.
func (c *canaryTown) bad(method, path, key, body string, header ...string) (int, object) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.api.URL+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", canaryIdemKey)
	req.Header.Set(apitest.BadHeader, "1")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	code, _, out := c.send(req)
	return code, out
}

// misbehave takes every wrong turn: bad keys, bad bodies, forged webhooks, providers
// that repeat what they were sent, and a panic with the credentials in its text.
func (c *canaryTown) misbehave(tokens []string) {
	c.t.Helper()
	for _, path := range []string{"/v1/payments", "/v1/payments/" + canaryWrongKey, "/v1/payments?key=" + canaryAppKey, "/v1/payments?after=" + canaryAppKey + "&limit=x", "/" + canaryWrongKey} {
		for _, key := range []string{canaryWrongKey, canaryAppKey} {
			if code, _ := c.bad(http.MethodGet, path, key, ""); key == canaryWrongKey && code != http.StatusUnauthorized && strings.HasPrefix(path, "/v1/") {
				c.t.Errorf("a wrong key at %s: %d", path, code)
			}
		}
	}
	for _, body := range []string{
		`{"amount":"` + canaryName + `","currency":"` + canaryEmail + `","return_url":"https://` + canaryEmail + `","customer":{"email":"` + canaryEmail + `\u0000"},"metadata":{"note":["` + canaryNote + `"]}}`,
		`{"a":"` + canaryNote + `","a":"` + canaryNote + `"}`, `{"amount":1,` + canaryName,
	} {
		if code, out := c.bad(http.MethodPost, "/v1/payments", canaryAppKey, body); code != http.StatusUnprocessableEntity && code != http.StatusBadRequest {
			c.t.Errorf("%s: %d %v", body, code, out)
		}
	}
	c.bad(http.MethodPost, "/v1/reconcile/runs", canaryOpKey, `{"job":"`+canaryOpKey+`"}`) // the name of a field is told back to whoever sent it, its value never
	for _, hook := range []string{"/webhooks/stripe/stripe-e2e", "/webhooks/paypal/paypal-e2e"} {
		if code, _ := c.bad(http.MethodPost, hook, canaryWrongKey, `{"id":"`+canaryEmail+`"}`, "Stripe-Signature", "t=1,v1="+canaryWhsec,
			"Paypal-Transmission-Sig", canaryPayPal, "Paypal-Cert-Url", "https://evil.test/"+canaryPayPal); code != http.StatusBadRequest {
			c.t.Errorf("a forged webhook: %d", code)
		}
	}
	for i, status := range []int64{400, 401, 404, 422, 429, 500} {
		c.status.Store(status)
		for _, provider := range []string{"stripe", "paypal"} {
			c.do(http.MethodPost, "/v1/payments", canaryAppKey, fmt.Sprint(canaryIdemKey, "-", provider, i), customer(order(1999, "usd", "provider", provider)))
		}
	}
	c.status.Store(0)
	c.bomb.armed.Store(true)
	code, _, problem := c.do(http.MethodPost, "/v1/payments", canaryAppKey, canaryIdemKey+"-panics", customer(order(1999, "usd", "provider", "stripe")))
	if code != http.StatusInternalServerError || problem["code"] != "internal" {
		c.t.Errorf("I1: a panic is answered %d %v", code, problem)
	}
	c.quiesce(c.t.Context())
	c.bomb.armed.Store(false)
	for _, token := range tokens {
		for _, page := range []string{"/pay/pay_nobody?t=" + token, "/v1/return/pay_nobody?t=" + token + "&outcome=" + canaryEmail, "/pay/" + token} {
			c.bad(http.MethodGet, page, "none", "")
		}
	}
}

// Row I4 of the security list. Promise: a secret stands nowhere but where it belongs. The house gets a
// canary for every secret, lives through a whole story with every error that we know,
// at debug level; then everything that it wrote, answered, sent and kept is searched
// for every canary, plain, in base64, hex and URL-encoded.
func TestNoSecretLeavesItsPlace(t *testing.T) {
	t.Parallel()
	c := startCanaries(t)
	ids, tokens := c.tradeOnce()
	c.browse(checkoutURL(t, c.must(http.StatusCreated, http.MethodPost, "/v1/payments", "open", customer(order(500, "usd")))))
	c.misbehave(tokens)
	c.sandbox(c.stripe, "/_sandbox/disputes", object{"charge": c.ledger(ids[0], "capture")[0].Object, "amount": 1999, "reason": reasonOf("stripe")}, http.StatusOK)
	c.advance(3 * time.Hour)
	c.status.Store(http.StatusUnauthorized) // sweeps and syncs fail, and the house raises alerts about it
	c.advance(3 * time.Hour)
	c.status.Store(0)
	c.advance(3 * time.Hour)

	metrics := httptest.NewRecorder()
	c.house.Internal().ServeHTTP(metrics, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	var mails strings.Builder
	for _, m := range c.box.Mails() {
		_, _ = fmt.Fprintf(&mails, "%+v\n", m)
	}
	places := map[string]string{
		"logs": c.logs.String(), "metrics": metrics.Body.String(), "problems": c.problems.String(), "pages": c.pages.String(),
		"mails": mails.String(), "Slack": c.chat.String(), "alert webhook": c.hooks.String(), "errors at start": buildErrors(t),
	}
	for place, all := range places {
		if len(all) < 40 {
			t.Fatalf("%s: nothing was collected to search: %q", place, all)
		}
	}
	secrets := slices.Concat(tokens, []string{
		canaryAppKey, canaryOpKey, canaryStripe, canaryPayPal, canaryWhsec, canarySMTP, canarySlackPath, canaryStorePW, canarySealKey, canaryHookKey,
		strings.TrimPrefix(canaryHookKey, "whsec_"), appKey, operatorKey, "whsec_0123456789abcdef", canaryEmail, canaryName, canaryNote, canaryWrongKey, canaryIdemKey,
	})
	for _, secret := range secrets {
		for place, all := range places {
			if place == "pages" && slices.Contains(tokens, secret) {
				continue // a customer's page carries that customer's own token
			}
			for _, form := range forms(secret) {
				if at := strings.Index(all, form); at >= 0 {
					t.Errorf("%q stands in %s: …%s…", secret, place, all[max(0, at-300):min(len(all), at+len(form)+40)])
					break
				}
			}
		}
		if found := c.holding(secret); len(found) > 0 {
			t.Errorf("%q is kept in %q", secret, found)
		}
	}
}

// buildErrors are what the house says when its store is away, and when its URL, which has
// a password, is none.
func buildErrors(t *testing.T) string {
	t.Helper()
	var log bytes.Buffer
	for _, address := range []string{
		"@127.0.0.1:1/x?serverSelectionTimeoutMS=200", "@127.0.0.1:1/x?serverSelectionTimeoutMS=200&authSource=x&tls=true", "@127.0.0.1:port/x", "@127.0.0.1:1", "@", "@:1/x", "/x",
		"@127.0.0.1:1/x?w=z&serverSelectionTimeoutMS=-1", "@127.0.0.1:1/x?authMechanism=none", "%zz@127.0.0.1:1/x", ":more@127.0.0.1:1/x", "@more@127.0.0.1:1/x", "@127.0.0.1:1,/x", "@127.0.0.1:1/x?tlsCAFile=/none",
	} {
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := house.Build(ctx, house.Options{
			Config: config.Config{Store: config.NewSecret("mongodb://u:" + canaryStorePW + address)},
			Clock:  time.Now, Wall: time.Now, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		stop()
		if err == nil {
			t.Fatalf("a store at %s was opened", address)
		}
		_, _ = fmt.Fprintf(&log, "%v %+v %q\n", err, err, err)
	}
	return log.String()
}
