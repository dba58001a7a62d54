package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/doctor"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/providers/sandbox/paypalapi"
	"github.com/trifecta-pay/trifecta/providers/sandbox/stripeapi"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mongo"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
	"github.com/trifecta-pay/trifecta/store/sqlite"
)

const canary = "sk_test_canary_doctor"

// clinic is a sandbox, an address that answers as a gateway does, and a shop's
// configuration: what doctor and register look at.
type clinic struct {
	t              *testing.T
	world          *sandbox.World
	stripe, paypal *httptest.Server
	public         *httptest.Server
	dir, file      string
	text           string // of the configuration
	environ        []string
	// meddle, where set, may answer a call to Stripe in its place.
	meddle func(w http.ResponseWriter, r *http.Request) bool
}

// unstarted is a server to start. Once it is closed, nobody answers at its address.
func unstarted(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	l, err := wiretest.ReserveFor(t).Listen()
	if err != nil {
		t.Fatal(err)
	}
	return &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{t: t, dir: t.TempDir()}
	c.world = sandbox.NewWorld(sandbox.Options{Wall: time.Now, Seed: 1, Client: http.DefaultClient})
	c.stripe = unstarted(t, nil)
	api := stripeapi.New(c.world, stripeapi.Options{BaseURL: "http://" + c.stripe.Listener.Addr().String()})
	c.stripe.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.meddle == nil || !c.meddle(w, r) {
			api.ServeHTTP(w, r)
		}
	})
	c.paypal = httptest.NewUnstartedServer(nil)
	chain, err := paypalapi.NewChain(time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := paypalapi.New(c.world, paypalapi.Options{BaseURL: "http://" + c.paypal.Listener.Addr().String(), Chain: chain})
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(c.dir, "ca.pem")
	if err := os.WriteFile(ca, chain.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	c.paypal.Config.Handler = handler
	c.public = unstarted(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	c.public.Start()
	c.stripe.Start()
	c.paypal.Start()
	t.Cleanup(func() { c.stripe.Close(); c.paypal.Close(); c.public.Close() })
	c.file = filepath.Join(c.dir, "trifecta.yaml")
	c.text = fmt.Sprintf(`public_url: %s
store: sqlite:%s
accounts:
  - {name: stripe-eu, provider: stripe, mode: test, secret_key: %s, api_base: "%s", webhook_secrets: []}
  - {name: paypal-eu, provider: paypal, mode: test, client_id: shop, client_secret: canary-paypal-secret, api_base: "%s", webhook_ids: [], webhook_root_ca: %s, webhook_cert_hosts: ["%s"]}
apps:
  - {name: shop, mode: test}
`, c.public.URL, filepath.Join(c.dir, "shop.db"), canary, c.stripe.URL, c.paypal.URL, ca, c.paypal.Listener.Addr())
	c.write()
	return c
}

func (c *clinic) write() {
	c.t.Helper()
	if err := os.WriteFile(c.file, []byte(c.text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// change edits the configuration; every old text must be there.
func (c *clinic) change(old, now string) {
	c.t.Helper()
	if !strings.Contains(c.text, old) {
		c.t.Fatalf("the configuration has no %q", old)
	}
	c.text = strings.ReplaceAll(c.text, old, now)
	c.write()
}

// run runs the program and fails if it says a secret.
func (c *clinic) run(args ...string) (code int, out, errOut string) {
	c.t.Helper()
	var o, e bytes.Buffer
	code = run(c.t.Context(), args, c.environ, &o, &e)
	for _, secret := range []string{canary, "canary-paypal-secret"} {
		if strings.Contains(o.String()+e.String(), secret) {
			c.t.Errorf("%v printed the secret %q:\n%s%s", args, secret, o.String(), e.String())
		}
	}
	return code, o.String(), e.String()
}

func (c *clinic) must(args ...string) string {
	c.t.Helper()
	code, out, errOut := c.run(args...)
	if code != 0 {
		c.t.Fatalf("%v: exit code %d\n%s%s", args, code, out, errOut)
	}
	return out
}

// examine runs doctor --json.
func (c *clinic) examine(more ...string) (int, doctor.Report) {
	c.t.Helper()
	code, out, errOut := c.run(append([]string{"doctor", "--config", c.file, "--json"}, more...)...)
	var r doctor.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		c.t.Fatalf("exit code %d, no report: %v\n%s\n%s", code, err, out, errOut)
	}
	return code, r
}

var (
	madeSecret = regexp.MustCompile(`webhook_secrets: \[(whsec_\w+)\]`)
	madeID     = regexp.MustCompile(`webhook_ids: \[(\w+)\]`)
)

// healthy registers the webhooks, configures what that prints, and makes keys.
func (c *clinic) healthy() {
	c.t.Helper()
	out := c.must("webhooks", "register", "--config", c.file)
	secret, id := madeSecret.FindStringSubmatch(out), madeID.FindStringSubmatch(out)
	if secret == nil || id == nil {
		c.t.Fatalf("register printed no secret or id:\n%s", out)
	}
	c.change("webhook_secrets: []", "webhook_secrets: ["+secret[1]+"]")
	c.change("webhook_ids: []", "webhook_ids: ["+id[1]+"]")
	c.must("apikey", "create", "--config", c.file, "--app", "shop")
	c.must("apikey", "create", "--config", c.file, "--operator")
}

// stripeAPI calls the sandbox as its owner would in the dashboard.
func (c *clinic) stripeAPI(method, path string, form url.Values) map[string]any {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.stripe.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+canary)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("%s %s: %d %v %v", method, path, resp.StatusCode, out, err)
	}
	return out
}

// hook is the id of the only endpoint at Stripe.
func (c *clinic) hook() string {
	c.t.Helper()
	data, _ := c.stripeAPI(http.MethodGet, "/v1/webhook_endpoints", nil)["data"].([]any)
	if len(data) != 1 {
		c.t.Fatalf("%d endpoints", len(data))
	}
	id, _ := data[0].(map[string]any)["id"].(string)
	return id
}

func (c *clinic) advance(d time.Duration) {
	c.t.Helper()
	resp, err := http.Post(c.stripe.URL+"/_sandbox/clock/advance", "application/json", strings.NewReader(fmt.Sprintf(`{"seconds":%d}`, int(d.Seconds()))))
	if err != nil {
		c.t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// Promise: a healthy shop has no failure and no warning, and doctor changes nothing in it.
func TestDoctorHealthy(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.healthy()
	code, r := c.examine("--strict")
	if code != 0 || r.Failures != 0 || r.Warnings != 0 || len(r.Findings) < 12 {
		t.Errorf("exit code %d: %+v", code, r)
	}
	for _, f := range r.Findings {
		if f.Mark != doctor.OK || f.Fix != "" || f.What == "" {
			t.Errorf("%+v", f)
		}
	}
	out := c.must("doctor", "--config", c.file)
	for _, want := range []string{"\nstore\n", "  ok    stripe-eu: ", "0 failures, 0 warnings"} {
		if !strings.Contains(out, want) {
			t.Errorf("the text lacks %q:\n%s", want, out)
		}
	}
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(c.dir, "shop.db"), Collections: store.Collections()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	left, _, err := e.Scan(t.Context(), store.ReplicaCollection().Name, "", 0)
	if err != nil || len(left) != 0 {
		t.Errorf("doctor left its probe: %v, %v", left, err)
	}
	// A running server has the file: that is no fault.
	if code, r := c.examine(); code != 0 || r.Failures != 0 {
		t.Errorf("beside a running server: exit code %d, %+v", code, r)
	}
}

// Promise: each broken thing gives its own finding, with what to do, and the exit code says so.
func TestDoctorFindings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(c *clinic)
		check string
		mark  doctor.Mark
		says  string
		fix   string
	}{
		{"a fault in the configuration", func(c *clinic) { c.change("mode: test, secret_key", "mode: live, secret_key") }, "config.valid", doctor.Fail, "test key in a live account", ""},
		{"a secret file that everybody may read", func(c *clinic) {
			file := filepath.Join(c.dir, "key")
			if err := os.WriteFile(file, []byte(canary+"\n"), 0o600); err != nil {
				c.t.Fatal(err)
			}
			chmod(c.t, file, 0o644)
			c.change("secret_key: "+canary, "secret_key_file: "+file)
		}, "config.valid", doctor.Fail, "0644", "chmod 600"},
		{"a file that everybody may read", func(c *clinic) { chmod(c.t, c.file, 0o644) }, "config.file_mode", doctor.Warn, "0644", "chmod"},
		{"refused credentials", func(c *clinic) {
			c.meddle = func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = w.Write([]byte(`{"error":{"type":"invalid_request_error","message":"Invalid API Key provided: ` + canary + `"}}`))
				return true
			}
		}, "credentials", doctor.Fail, "refuses the credentials", "Copy the key again"},
		{"a provider that is away", func(c *clinic) { c.stripe.Close() }, "credentials", doctor.Fail, "can't be reached", "firewall"},
		{"a provider in trouble", func(c *clinic) {
			c.meddle = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true }
		}, "credentials", doctor.Fail, "no clear answer", "status page"},
		{"refused PayPal credentials", func(c *clinic) {
			c.paypal.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = w.Write([]byte(`{"error":"invalid_client","error_description":"Client Authentication failed"}`))
			})
		}, "credentials", doctor.Fail, "refuses the credentials", "Copy the key again"},
		{"a key that may not read disputes", func(c *clinic) {
			c.meddle = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/v1/disputes" {
					return false
				}
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write([]byte(`{"error":{"type":"invalid_request_error","message":"The provided key '` + canary + `' does not have the required permissions for this endpoint."}}`))
				return true
			}
		}, "lists", doctor.Fail, "disputes can't be read", "right to read"},
		{"an app without transaction search", func(c *clinic) {
			inner := c.paypal.Config.Handler
			c.paypal.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasPrefix(r.URL.Path, "/v1/reporting/") {
					inner.ServeHTTP(w, r)
					return
				}
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write([]byte(`{"name":"NOT_AUTHORIZED","message":"Authorization failed due to insufficient permissions.","debug_id":"d1","details":[{"issue":"PERMISSION_DENIED"}]}`))
			})
		}, "lists", doctor.Fail, "transactions can't be read", "Transaction Search"},
		{"a list in trouble", func(c *clinic) {
			c.meddle = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/v1/refunds" {
					w.WriteHeader(http.StatusBadGateway)
				}
				return r.URL.Path == "/v1/refunds"
			}
		}, "lists", doctor.Warn, "refunds could not be read", "status page"},
		{"a key of the other mode", func(c *clinic) {
			c.meddle = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/v1/balance" {
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write([]byte(`{"object":"balance","livemode":true,"available":[],"pending":[]}`))
				}
				return r.URL.Path == "/v1/balance"
			}
		}, "mode", doctor.Fail, "live is true", "key of the account's mode"},
		{"a clock that is a little off", func(c *clinic) { c.advance(20 * time.Second) }, "clock", doctor.Warn, "off stripe's", "time server"},
		{"a clock that is far off", func(c *clinic) { c.advance(2 * time.Minute) }, "clock", doctor.Fail, "off stripe's", "time server"},
		{"no registration", func(c *clinic) { c.stripeAPI(http.MethodDelete, "/v1/webhook_endpoints/"+c.hook(), nil) }, "webhooks.registered", doctor.Fail, "not registered at stripe", "webhooks register"},
		{"another public_url than was registered", func(c *clinic) {
			u, _ := url.Parse(c.public.URL)
			c.change(c.public.URL, "http://localhost:"+u.Port())
		}, "webhooks.registered", doctor.Fail, "not registered at paypal", "webhooks register"},
		{"a registration that is switched off", func(c *clinic) {
			c.stripeAPI(http.MethodPost, "/v1/webhook_endpoints/"+c.hook(), url.Values{"disabled": {"true"}})
		}, "webhooks.enabled", doctor.Fail, "switched off", "webhooks register"},
		{"events that are not sent", func(c *clinic) {
			c.stripeAPI(http.MethodPost, "/v1/webhook_endpoints/"+c.hook(), url.Values{"enabled_events[]": {"charge.refunded", "charge.succeeded"}})
		}, "webhooks.events", doctor.Fail, "checkout.session.completed", "webhooks register"},
		{"an API version that is not pinned", func(c *clinic) {
			id := c.hook()
			c.stripeAPI(http.MethodPost, "/v1/webhook_endpoints", url.Values{"url": {c.public.URL + "/webhooks/stripe/stripe-eu"}, "enabled_events[]": {"*"}})
			c.stripeAPI(http.MethodDelete, "/v1/webhook_endpoints/"+id, nil)
		}, "webhooks.version", doctor.Fail, "2023-10-16", "webhooks register"},
		{"a registration twice", func(c *clinic) {
			c.stripeAPI(http.MethodPost, "/v1/webhook_endpoints", url.Values{"url": {c.public.URL + "/webhooks/stripe/stripe-eu"}, "enabled_events[]": {"*"}, "api_version": {"2023-10-16"}})
		}, "webhooks.once", doctor.Warn, "registered 2 times", "Remove"},
		{"another webhook id", func(c *clinic) { c.change("webhook_ids: [", "webhook_ids: [OTHER") }, "webhooks.id", doctor.Fail, "another id", "Set webhook_ids to"},
		{"a sandbox whose webhooks nobody trusts", func(c *clinic) {
			c.change(", webhook_root_ca: "+filepath.Join(c.dir, "ca.pem"), "")
		}, "webhooks.certificate", doctor.Warn, "costs a call", "docs/sandbox.md"},
		{"a sandbox that may serve no certificates", func(c *clinic) {
			c.change("webhook_cert_hosts: [", "secret_expires: 2036-01-01} #")
		}, "webhooks.certificate", doctor.Warn, "will be refused", "docs/sandbox.md"},
		{"two secrets", func(c *clinic) {
			c.change("webhook_secrets: [", "webhook_secrets: [whsec_0123456789abcdef0123456789, ")
		}, "secrets.rotation", doctor.Warn, "rotation", "Remove the old one"},
		{"a misspelt variable", func(c *clinic) {
			c.environ = []string{"TRIFECTA_PUBLIC_ULR=https://" + canary, "TRIFECTA_OPERATOR_KEY=k"}
		}, "config.variables", doctor.Warn, "TRIFECTA_PUBLIC_ULR sets nothing", "spelling"},
		{"a layer that is off", func(c *clinic) { c.text += "layers: {reconcile: false}\n"; c.write() }, "layers", doctor.Warn, "reconcile", "Remove layers.reconcile"},
		{"an app without a key", func(c *clinic) { c.text += "  - {name: second, mode: test}\n"; c.write() }, "api_keys", doctor.Warn, "no API key", "apikey create"},
		{"no operator", func(c *clinic) {
			c.change("shop.db", "fresh.db")
			c.must("apikey", "create", "--config", c.file, "--app", "shop")
		}, "api_keys", doctor.Warn, "operator key", "--operator"},
		{"a store that isn't there", func(c *clinic) { c.change("shop.db", "nope.db") }, "store.open", doctor.Warn, "no such file yet", "check the path"},
		{"a store that can't be opened", func(c *clinic) { c.change("shop.db", "trifecta.yaml") }, "store.open", doctor.Fail, "not a database", "Check the path"},
		{"webhooks that were never registered", func(c *clinic) {
			c.text = madeSecret.ReplaceAllString(c.text, "webhook_secrets: []")
			c.write()
		}, "config.valid", doctor.Fail, "is missing", "webhooks register"},
		{"a database that is away", func(c *clinic) { c.change("sqlite:"+filepath.Join(c.dir, "shop.db"), "mongodb://127.0.0.1:9/shop") }, "store.open", doctor.Fail, "unavailable", "has a primary"},
		{"a store that is half migrated", func(c *clinic) { halfMigrated(c.t, filepath.Join(c.dir, "shop.db")) }, "store.migration", doctor.Fail, "not finished", "Finish the migration"},
		{"nobody at public_url", func(c *clinic) { c.public.Close() }, "public_url", doctor.Warn, "nobody answers", "DNS"},
		{"somebody else at public_url", func(c *clinic) { c.public.Config.Handler = http.NotFoundHandler() }, "public_url", doctor.Warn, "somebody else", "proxy"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newClinic(t)
			c.healthy()
			test.spoil(c)
			code, r := c.examine()
			if want := map[doctor.Mark]int{doctor.Warn: 0, doctor.Fail: 1}[test.mark]; code != want {
				t.Errorf("exit code %d, want %d: %+v", code, want, r)
			}
			at := slices.IndexFunc(r.Findings, func(f doctor.Finding) bool {
				return f.Check == test.check && f.Mark == test.mark && strings.Contains(f.What, test.says)
			})
			if at < 0 {
				t.Fatalf("no finding %s %s that says %q: %+v", test.mark, test.check, test.says, r.Findings)
			}
			if fix := r.Findings[at].Fix; fix == "" || !strings.Contains(fix, test.fix) {
				t.Errorf("its fix is %q, want it to say %q", fix, test.fix)
			}
			if test.mark == doctor.Warn {
				if code, _ := c.examine("--strict"); code != 2 {
					t.Errorf("--strict: exit code %d, want 2", code)
				}
			}
		})
	}
}

func chmod(t *testing.T, file string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

// halfMigrated marks a store as being filled.
func halfMigrated(t *testing.T, path string) {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Collections: store.Collections()})
	if err != nil {
		t.Fatal(err)
	}
	m := store.Migration{Source: "sqlite:/old.db", State: store.MigrationCopying, Owner: "x", StartedAt: time.Now(), UpdatedAt: time.Now(), Until: time.Now()}
	if _, err := store.NewMigrations(e).Begin(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// Promise: registering twice makes one registration, and puts right what was spoilt in between.
func TestRegisterRepeated(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.healthy()
	id := c.hook()
	out := c.must("webhooks", "register", "--config", c.file)
	if c.hook() != id || strings.Contains(out, "whsec_") || strings.Count(out, "is registered already") != 2 {
		t.Errorf("the second time:\n%s", out)
	}
	c.stripeAPI(http.MethodPost, "/v1/webhook_endpoints/"+id, url.Values{"disabled": {"true"}, "enabled_events[]": {"charge.refunded", "price.created"}})
	out = c.must("webhooks", "register", "--config", c.file, "--account", "stripe-eu")
	if c.hook() != id || !strings.Contains(out, "switched on again") {
		t.Errorf("after it was switched off:\n%s", out)
	}
	if code, r := c.examine("--strict"); code != 0 {
		t.Errorf("exit code %d: %+v", code, r.Findings)
	}
	types, _ := c.stripeAPI(http.MethodGet, "/v1/webhook_endpoints/"+id, nil)["enabled_events"].([]any)
	if !slices.Contains(types, any("price.created")) {
		t.Error("an event that somebody else wanted was taken away")
	}
	if code, _, errOut := c.run("webhooks", "register", "--config", c.file, "--account", "nobody"); code != 1 || !strings.Contains(errOut, "nobody") {
		t.Errorf("an unknown account: exit code %d, %s", code, errOut)
	}
}

// Promise: a registration of another API version stays, because a version can't be changed; a new one is made beside it,
// and the output says what to remove when.
func TestRegisterOtherVersion(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	old, _ := c.stripeAPI(http.MethodPost, "/v1/webhook_endpoints", url.Values{"url": {c.public.URL + "/webhooks/stripe/stripe-eu"}, "enabled_events[]": {"*"}})["id"].(string)
	out := c.must("webhooks", "register", "--config", c.file)
	if !madeSecret.MatchString(out) || !strings.Contains(out, "then remove "+old) {
		t.Errorf("%s", out)
	}
}

// Promise: doctor sees a database that has one copy only, and an index that somebody added.
func TestDoctorMongo(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.healthy()
	set := wiretest.Start(t, wiretest.Options{Members: 1})
	colls := store.Collections()
	for i := range colls {
		if colls[i].Name == "payments" {
			colls[i].Indexes = append(slices.Clone(colls[i].Indexes), store.Index{Name: "by_hand", Fields: []string{"reference"}})
		}
	}
	e, err := mongo.Open(t.Context(), mongo.Options{URL: set.URL("shop"), Collections: colls})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	c.change("sqlite:"+filepath.Join(c.dir, "shop.db"), set.URL("shop"))
	code, r := c.examine()
	if code != 0 {
		t.Errorf("exit code %d: %+v", code, r.Findings)
	}
	for check, says := range map[string]string{"store.replicas": "1 members", "store.indexes": "by_hand"} {
		if !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool {
			return f.Check == check && f.Mark == doctor.Warn && strings.Contains(f.What, says) && f.Fix != ""
		}) {
			t.Errorf("no warning %s that says %q: %+v", check, says, r.Findings)
		}
	}
}
