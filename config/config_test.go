package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const whsec = "whsec_0123456789abcdef0123456789"

// stripeTest is the smallest valid configuration, in test mode.
const stripeTest = `public_url: http://127.0.0.1:8080
accounts:
  - name: stripe-eu
    provider: stripe
    mode: test
    secret_key: sk_test_abc123
    webhook_secrets: [` + whsec + `]
`

// Two keys that seal records, as openssl rand -base64 32 prints them.
const (
	sealKey  = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="
	otherKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

// allLive is a production configuration with nothing to complain about.
const allLive = `public_url: https://pay.example.com
store: mongodb://user:pw@db1,db2/trifecta?replicaSet=rs0
encryption: {keys: [{id: "2026", key: "` + sealKey + `"}], active: "2026"}
accounts:
  - name: stripe-eu
    provider: stripe
    mode: live
    secret_key: sk_live_abc123
    webhook_secrets: [` + whsec + `]
  - name: paypal-eu
    provider: paypal
    mode: live
    client_id: client
    client_secret: topsecret
    webhook_ids: [WH-1]
apps:
  - name: shop
    mode: live
    return_origins: [https://shop.example.com]
`

func write(t *testing.T, name, text string, perm os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), perm); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, perm); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, text string, environ ...string) (Config, error) {
	t.Helper()
	return Load(Options{File: write(t, "trifecta.yaml", text, 0o600), Environ: environ})
}

func faultList(t *testing.T, err error) []Fault {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error is a %T: %v", err, err)
	}
	return e.Faults
}

// faultsOf gives the path of every fault, and the whole message.
func faultsOf(t *testing.T, err error) (places []string, message string) {
	t.Helper()
	if err == nil {
		t.Fatal("the configuration was accepted")
	}
	for _, f := range faultList(t, err) {
		places = append(places, f.Path)
		if f.Problem == "" {
			t.Errorf("fault at %q says nothing", f.Path)
		}
	}
	return places, err.Error()
}

// Promise: a good file gives exactly what it says, with the documented defaults.
func TestLoadGood(t *testing.T) {
	t.Parallel()
	got, err := load(t, allLive)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		PublicURL: "https://pay.example.com",
		Store:     NewSecret("mongodb://user:pw@db1,db2/trifecta?replicaSet=rs0"),
		HTTP:      HTTP{Addr: ":8080", InternalAddr: "127.0.0.1:8081"},
		Accounts: []Account{
			{
				Name: "stripe-eu", Provider: "stripe", Mode: "live",
				SecretKey: NewSecret("sk_live_abc123"), WebhookSecrets: []Secret{NewSecret(whsec)},
			},
			{
				Name: "paypal-eu", Provider: "paypal", Mode: "live",
				ClientID: "client", ClientSecret: NewSecret("topsecret"), WebhookIDs: []string{"WH-1"},
			},
		},
		Apps:   []App{{Name: "shop", Mode: "live", ReturnOrigins: []string{"https://shop.example.com"}}},
		Layers: Layers{Return: true, Webhook: true, Reconcile: true},

		Encryption: Encryption{Keys: []EncryptionKey{{ID: "2026", Key: NewSecret(sealKey)}}, Active: "2026"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration differs (-want +got):\n%s", diff)
	}
	if scheme, _ := got.StoreURL(); scheme != "mongodb" || !got.Live() {
		t.Errorf("scheme %q, live %v", scheme, got.Live())
	}
	small, err := load(t, stripeTest)
	if err != nil {
		t.Fatal(err)
	}
	if scheme, path := small.StoreURL(); scheme != "sqlite" || path.Reveal() != "./trifecta.db" || small.Live() {
		t.Errorf("default store: %s %s, live %v", scheme, path.Reveal(), small.Live())
	}
}

// Promise: each rule of production is refused by itself, naming the key, the
// line where it stands, and what to change.
func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		base string
		// old is replaced by new in base; old "" appends new.
		old, new string
		path     string
		says     string
	}{
		{"missing secret", stripeTest, "    secret_key: sk_test_abc123\n", "", "accounts[0].secret_key", "missing or empty"},
		{"empty secret", stripeTest, "sk_test_abc123", `""`, "accounts[0].secret_key", "missing or empty"},
		{"secret with white space", stripeTest, "sk_test_abc123", `"sk_test_abc 123"`, "accounts[0].secret_key", "white space"},
		{"only a prefix", stripeTest, "sk_test_abc123", "sk_test_", "accounts[0].secret_key", "only the prefix"},
		{"publishable key", stripeTest, "sk_test_abc123", "pk_test_abc123", "accounts[0].secret_key", "publishable"},
		{"not a key", stripeTest, "sk_test_abc123", "changeme", "accounts[0].secret_key", "not a Stripe secret key"},
		{"live key in test", stripeTest, "sk_test_", "sk_live_", "accounts[0].secret_key", "live key in a test account"},
		{"live restricted key in test", stripeTest, "sk_test_", "rk_live_", "accounts[0].secret_key", "live key in a test account"},
		{"test key in live", allLive, "sk_live_", "sk_test_", "accounts[0].secret_key", "test key in a live account"},
		{"no webhook secret", stripeTest, "[" + whsec + "]", "[]", "accounts[0].webhook_secrets", "missing"},
		{"empty webhook secret", stripeTest, "[" + whsec + "]", `[""]`, "accounts[0].webhook_secrets[0]", "empty"},
		{"short webhook secret", stripeTest, "[" + whsec + "]", "[whsec_short]", "accounts[0].webhook_secrets[0]", "shorter than 24"},
		{"blank webhook secret", stripeTest, "[" + whsec + "]", `["                              "]`, "accounts[0].webhook_secrets[0]", "white space"},
		{"an endpoint's id as webhook secret", stripeTest, "[" + whsec + "]", "[we_S79cYOFB0EDmYct3vOw8qmto]", "accounts[0].webhook_secrets[0]", "whsec_"},
		{"webhook secret twice", stripeTest, "[" + whsec + "]", "[" + whsec + ", " + whsec + "]", "accounts[0].webhook_secrets[1]", "twice"},
		{"short connect secret", stripeTest, "", "    connect_webhook_secrets: [x]\n", "accounts[0].connect_webhook_secrets[0]", "shorter"},
		{"unknown provider", stripeTest, "provider: stripe", "provider: adyen", "accounts[0].provider", "neither stripe nor paypal"},
		{"sandbox as provider", stripeTest, "provider: stripe", "provider: sandbox", "accounts[0].provider", "not a provider"},
		{"no mode", stripeTest, "    mode: test\n", "", "accounts[0].mode", "neither test nor live"},
		{"bad name", stripeTest, "stripe-eu", "Stripe_EU", "accounts[0].name", "1 to 40"},
		{"long name", stripeTest, "stripe-eu", strings.Repeat("a", 41), "accounts[0].name", "1 to 40"},
		{"duplicate account", allLive, "name: paypal-eu", "name: stripe-eu", "accounts[1].name", "another account"},
		{"duplicate app", allLive, "", "  - {name: shop, mode: live}\n", "apps[1].name", "another app"},
		{"no accounts", "public_url: https://x.example\n", "", "accounts: []\n", "accounts", "no account"},
		{"PayPal without id", allLive, "    client_id: client\n", "", "accounts[1].client_id", "missing"},
		{"PayPal without secret", allLive, "    client_secret: topsecret\n", "", "accounts[1].client_secret", "missing or empty"},
		{"PayPal without webhook id", allLive, "    webhook_ids: [WH-1]\n", "", "accounts[1].webhook_ids", "missing"},
		{"PayPal blank webhook id", allLive, "[WH-1]", `[""]`, "accounts[1].webhook_ids[0]", "empty"},
		{"Stripe's key at PayPal", allLive, "client_id: client", "client_id: client\n    secret_key: sk_live_abc123", "accounts[1].secret_key", "belongs to Stripe"},
		{"PayPal's key at Stripe", stripeTest, "", "    webhook_ids: [WH-1]\n", "accounts[0].webhook_ids", "belongs to PayPal"},

		{"production with the sandbox", allLive, "sk_live_abc123", "sk_live_abc123\n    api_base: http://127.0.0.1:12110", "accounts[0].api_base", "sandbox in a live account"},
		{"production with PayPal's sandbox", allLive, "client_id: client", "client_id: client\n    api_base: https://api-m.sandbox.paypal.com", "accounts[1].api_base", "sandbox in a live account"},
		{"production over http", allLive, "sk_live_abc123", "sk_live_abc123\n    api_base: http://stripe.proxy.example", "accounts[0].api_base", "not https"},
		{
			"sandbox beside production", allLive, "apps:", "  - {name: t, provider: stripe, mode: test, secret_key: sk_test_1, webhook_secrets: [" + whsec + "], api_base: 'http://localhost:12110'}\napps:",
			"accounts[2].api_base", "is live",
		},
		{"live PayPal in test", strings.ReplaceAll(allLive, "mode: live\n    client_id", "mode: test\n    client_id"), "client_id: client", "client_id: client\n    api_base: https://api-m.paypal.com", "accounts[1].api_base", "real money"},
		{"http far away in test", stripeTest, "", "    api_base: http://10.0.0.1:12110\n", "accounts[0].api_base", "not on this machine"},
		{"api_base with a user", stripeTest, "", "    api_base: https://u:p@stripe.example\n", "accounts[0].api_base", "user name"},
		{"test clock in production", allLive, "", "test_clock: http://127.0.0.1:12110\n", "test_clock", "beside a live"},
		{"test clock far away", stripeTest, "", "test_clock: http://10.0.0.1:1\n", "test_clock", "not on this machine"},
		{"cert hosts in production", allLive, "client_id: client", "client_id: client\n    webhook_cert_hosts: ['127.0.0.1:12120']", "accounts[1].webhook_cert_hosts", "is live"},

		{"no public_url", stripeTest, "public_url: http://127.0.0.1:8080\n", "", "public_url", "missing"},
		{"relative public_url", stripeTest, "http://127.0.0.1:8080", "pay.example.com", "public_url", "not an absolute"},
		{"public_url with a path", stripeTest, "http://127.0.0.1:8080", "https://x.example/pay", "public_url", "path"},
		{"public_url with a query", stripeTest, "http://127.0.0.1:8080", "https://x.example?a=1", "public_url", "query"},
		{"public http in test", stripeTest, "http://127.0.0.1:8080", "http://x.example", "public_url", "not on this machine"},
		{"public http in production", allLive, "https://pay.example.com", "http://pay.example.com", "public_url", "is http with a live"},
		{"SQLite in production", allLive, "mongodb://user:pw@db1,db2/trifecta?replicaSet=rs0", "sqlite:./x.db", "store", "is SQLite"},
		{"unknown store", stripeTest, "", "store: postgres://x\n", "store", "neither sqlite: nor mongodb"},
		{"SQLite without file", stripeTest, "", "store: 'sqlite:'\n", "store", "names no file"},
		{"MongoDB without host", stripeTest, "", "store: mongodb:///trifecta\n", "store", "names no host"},
		{"bad address", stripeTest, "", "http: {addr: '8080'}\n", "http.addr", "not a host and port"},
		{"bad port", stripeTest, "", "http: {addr: ':99999'}\n", "http.addr", "port"},
		{"same address twice", stripeTest, "", "http: {addr: ':1', internal_addr: ':1'}\n", "http.internal_addr", "same"},
		{"long brand", stripeTest, "", "brand_name: " + strings.Repeat("x", 128) + "\n", "brand_name", "127"},

		{"unknown rule", stripeTest, "", "risk: [{rule: magic}]\n", "risk[0].rule", "no rule"},
		{"rule of an unknown app", stripeTest, "", "risk: [{rule: review, app: nobody}]\n", "risk[0].app", "no configured app"},
		{"unknown action", stripeTest, "", "risk: [{rule: review, actions: [shoot]}]\n", "risk[0].actions", "is not"},
		{"acting on an account", stripeTest, "", "risk: [{rule: dispute_rate, actions: [refund]}]\n", "risk[0].actions", "observe and alert"},
		{"window that is none", stripeTest, "", "risk: [{rule: decline_velocity, window: 3 weeks}]\n", "risk[0].window", "length of time"},
		{"window too long", stripeTest, "", "risk: [{rule: decline_velocity, window: 181d}]\n", "risk[0].window", "180d"},
		{"negative threshold", stripeTest, "", "risk: [{rule: decline_velocity, threshold: -1}]\n", "risk[0].threshold", "10000"},

		{"origin over http", allLive, "[https://shop", "[http://shop", "apps[0].return_origins[0]", "is http"},
		{"loopback origin in production", allLive, "[https://shop.example.com]", "['http://127.0.0.1']", "apps[0].return_origins[0]", "is http"},
		{"origin with a path", allLive, "example.com]", "example.com/]", "apps[0].return_origins[0]", "path"},
		{"origin with a user", allLive, "[https://shop", "[https://evil@shop", "apps[0].return_origins[0]", "user name"},
		{"origin with a wildcard", allLive, "[https://shop", "[https://*.shop", "apps[0].return_origins[0]", "wildcard"},
		{"origin in capitals", allLive, "[https://shop", "[https://Shop", "apps[0].return_origins[0]", "browsers"},
		{"origin with default port", allLive, "example.com]", "example.com:443]", "apps[0].return_origins[0]", "default port"},
		{"origin null", allLive, "[https://shop.example.com]", "['null']", "apps[0].return_origins[0]", "not an absolute"},
		{"origin with a backslash", allLive, "[https://shop.example.com]", `['https:\\evil.example']`, "apps[0].return_origins[0]", "not a"},

		{"live without encryption", allLive, "encryption:", "retention: {} #", "encryption.keys", "in the clear"},
		{"how to make a key", allLive, "encryption:", "retention: {} #", "encryption.keys", "openssl rand -base64 32"},
		{"no active key", allLive, `, active: "2026"`, "", "encryption.active", "missing"},
		{"unknown active key", allLive, `active: "2026"`, `active: "2027"`, "encryption.active", "not the id of a key"},
		{"active without keys", stripeTest, "accounts:", "encryption: {active: a}\naccounts:", "encryption.active", "there is none"},
		{"short encryption key", allLive, sealKey, "c2hvcnQ=", "encryption.keys[0].key", "32 bytes in base64"},
		{"encryption key in hex", allLive, sealKey, strings.Repeat("0f", 32), "encryption.keys[0].key", "32 bytes in base64"},
		{"no encryption key", allLive, sealKey, "", "encryption.keys[0].key", "missing"},
		{"encryption key of one byte", allLive, sealKey, strings.Repeat("A", 43) + "=", "encryption.keys[0].key", "repeated"},
		{"lost key that is there", allLive, "keys: [", "lost: [old, \"2026\"], keys: [", "encryption.lost[1]", "configured key"},
		{"bad key id", allLive, "keys: [", "keys: [{id: A_B, key: \"" + otherKey + "\"}, ", "encryption.keys[0].id", "1 to 40"},
		{"key id twice", allLive, "keys: [", "keys: [{id: \"2026\", key: \"" + otherKey + "\"}, ", "encryption.keys[1].id", "another key"},
		{"the same key again", allLive, "keys: [", "keys: [{id: old, key: \"" + sealKey + "\"}, ", "encryption.keys[1].key", "again"},
		{"retention too short", stripeTest, "accounts:", "retention: {inbox_bodies: 6}\naccounts:", "retention.inbox_bodies", "from 7"},
		{"retention negative", stripeTest, "accounts:", "retention: {feed: -1}\naccounts:", "retention.feed", "default of 400"},
		{"retention of centuries", stripeTest, "accounts:", "retention: {runs: 40000}\naccounts:", "retention.runs", "36500"},
		{"bodies outlive their webhook", stripeTest, "accounts:", "retention: {inbox: 60}\naccounts:", "retention.inbox", "less than"},

		{"unknown key", stripeTest, "", "stor: x\n", "stor", "unknown key"},
		{"unknown nested key", stripeTest, "", "    webhook_secret: x\n", "accounts[0].webhook_secret", "unknown key"},
		{"unset variable", stripeTest, "sk_test_abc123", "${NOT_SET}", "accounts[0].secret_key", `"NOT_SET" is not set`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := tt.base + tt.new
			if tt.old != "" {
				if text = strings.Replace(tt.base, tt.old, tt.new, 1); text == tt.base {
					t.Fatal("the test changes nothing")
				}
			}
			_, err := load(t, text)
			places, message := faultsOf(t, err)
			if len(places) != 1 || places[0] != tt.path {
				t.Errorf("faults at %q, want only %q", places, tt.path)
			}
			if !strings.Contains(message, tt.says) {
				t.Errorf("does not say %q: %s", tt.says, message)
			}
			f := faultList(t, err)[0]
			if f.Fix == "" {
				t.Errorf("does not say what to change: %s", message)
			}
			if f.Line == 0 && strings.Contains(text, strings.SplitN(tt.path, "[", 2)[0]+":") {
				t.Errorf("has no line: %s", message)
			}
		})
	}
}

// Promise: the line is the one where the key stands.
func TestFaultLines(t *testing.T) {
	t.Parallel()
	_, err := load(t, strings.Replace(stripeTest, "    mode: test\n", "    mode: test\n    bogus: 1\n", 1)+"extra: 1\n")
	_, message := faultsOf(t, err)
	for _, want := range []string{"2 faults", "line 6: accounts[0].bogus: unknown key", "line 9: extra: unknown key"} {
		if !strings.Contains(message, want) {
			t.Errorf("no %q in: %s", want, message)
		}
	}
	_, err = load(t, strings.Replace(stripeTest, "sk_test_", "sk_live_", 1))
	if _, message = faultsOf(t, err); !strings.Contains(message, "line 6: accounts[0].secret_key") {
		t.Errorf("wrong line: %s", message)
	}
}

// Promise: ten faults cost one start, not ten.
func TestAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := load(t, `public_url: http://pay.example.com/x
stor: y
store: sqlite:./x.db
test_clock: http://127.0.0.1:1
accounts:
  - {name: a, provider: stripe, mode: live, secret_key: sk_test_1, webhook_secrets: [short]}
  - {name: a, provider: paypal, mode: live, client_id: "${NOPE}", client_secret: "", webhook_ids: []}
  - {name: c, provider: square, mode: prod}
apps:
  - {name: shop, mode: live, return_origins: ["http://shop.example.com", "https://*.example.com"]}
`)
	places, message := faultsOf(t, err)
	slices.Sort(places)
	want := []string{
		"accounts[0].secret_key", "accounts[0].webhook_secrets[0]", "accounts[1].client_id", "accounts[1].client_secret",
		"accounts[1].name", "accounts[1].webhook_ids", "accounts[2].mode", "accounts[2].provider",
		"apps[0].return_origins[0]", "apps[0].return_origins[1]", "encryption.keys", "public_url", "stor", "store", "test_clock",
	}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Errorf("faults differ (-want +got):\n%s\n%s", diff, message)
	}
}

// Promise: a value of the wrong shape is one fault with its key, and hides no other.
func TestWrongShapes(t *testing.T) {
	t.Parallel()
	_, err := load(t, `public_url: http://127.0.0.1:8080
store: foo
layers: {webhook: no}
apps: shop
http: [1]
retention:
  feed: many
brand_name: {a: b}
accounts:
  - stripe
  - {name: s, provider: stripe, mode: test, secret_key: sk_test_abc123, webhook_secrets: {a: b}}
`)
	places, message := faultsOf(t, err)
	slices.Sort(places)
	want := []string{
		"accounts[0]", "accounts[0].name", "accounts[0].provider", "accounts[0].mode", "accounts[1].webhook_secrets",
		"apps", "brand_name", "http", "layers.webhook", "retention.feed", "store",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, places); diff != "" {
		t.Errorf("faults differ (-want +got):\n%s\n%s", diff, message)
	}
}

// Promise: what a rule allows is accepted, so that no rule refuses everything.
func TestAccepted(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"restricted key":        strings.Replace(stripeTest, "sk_test_", "rk_test_", 1),
		"sandbox in test mode":  stripeTest + "    api_base: http://127.0.0.1:12110\ntest_clock: http://127.0.0.1:12110\n",
		"two webhook secrets":   strings.Replace(stripeTest, whsec, whsec+", "+whsec+"x", 1),
		"webhook layer off":     strings.Replace(stripeTest, "["+whsec+"]", "[]", 1) + "layers: {webhook: false}\n",
		"SQLite allowed":        strings.Replace(allLive, "mongodb://user:pw@db1,db2/trifecta?replicaSet=rs0", "sqlite:./x.db", 1) + "allow_sqlite_live: true\n",
		"plain texts allowed":   strings.Replace(allLive, "encryption:", "allow_plaintext_live: true\nretention:\n  inbox: 35\n  inbox_bodies: 7 #", 1),
		"two encryption keys":   strings.Replace(allLive, "keys: [", "keys: [{id: old, key: \""+otherKey+"\"}, ", 1),
		"loopback origin":       stripeTest + "apps:\n  - {name: shop, mode: test, return_origins: ['http://127.0.0.1:8090', 'http://localhost', 'https://shop.example.com:8443']}\n",
		"test beside live":      strings.Replace(allLive, "apps:", "  - {name: t, provider: stripe, mode: test, secret_key: sk_test_1, webhook_secrets: ["+whsec+"]}\napps:", 1),
		"trailing slash":        strings.Replace(stripeTest, "8080\n", "8080/\n", 1),
		"any free ports":        stripeTest + "http: {addr: '127.0.0.1:0', internal_addr: '127.0.0.1:0'}\n",
		"paypal sandbox itself": strings.Replace(strings.ReplaceAll(allLive, "mode: live\n    client_id", "mode: test\n    client_id"), "client_id: client", "client_id: client\n    api_base: https://api-m.sandbox.paypal.com", 1),
		"cert hosts in test": stripeTest + "  - {name: p, provider: paypal, mode: test, client_id: a, client_secret: b, webhook_ids: [W], " +
			"webhook_cert_hosts: ['127.0.0.1:12120', certs.example, '[::1]:1']}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := load(t, text); err != nil {
				t.Error(err)
			}
		})
	}
}

// Promise: every key can come from the environment, which wins over the file;
// and a fault in it names the variable.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	got, err := load(t, stripeTest,
		"TRIFECTA_PUBLIC_URL=https://pay.example.com",
		"TRIFECTA_HTTP_ADDR=127.0.0.1:9000",
		"TRIFECTA_ACCOUNTS_0_SECRET_KEY=sk_test_fromenv",
		"TRIFECTA_ACCOUNTS_1_NAME=pp", "TRIFECTA_ACCOUNTS_1_PROVIDER=paypal", "TRIFECTA_ACCOUNTS_1_MODE=test",
		"TRIFECTA_ACCOUNTS_1_CLIENT_ID=id", "TRIFECTA_ACCOUNTS_1_CLIENT_SECRET=secret", "TRIFECTA_ACCOUNTS_1_WEBHOOK_IDS=WH-1,WH-2",
		"TRIFECTA_LAYERS_RECONCILE=false",
		"TRIFECTA_ENCRYPTION_KEYS_0_ID=k", "TRIFECTA_ENCRYPTION_KEYS_0_KEY="+sealKey, "TRIFECTA_ENCRYPTION_ACTIVE=k", "TRIFECTA_RETENTION_FEED=60",
		"TRIFECTA_BRAND_NAME=", // empty counts as not set
		"TRIFECTA_SERVICE_HOST=10.0.0.1", "TRIFECTA_OPERATOR_KEY=tk_op_x",
	)
	if err != nil {
		t.Fatal(err)
	}
	if got.PublicURL != "https://pay.example.com" || got.HTTP.Addr != "127.0.0.1:9000" {
		t.Errorf("got %+v", got)
	}
	if key := got.Accounts[0].SecretKey.Reveal(); key != "sk_test_fromenv" {
		t.Errorf("secret key %q", key)
	}
	if a := got.Accounts[1]; a.Name != "pp" || a.ClientSecret.Reveal() != "secret" || !slices.Equal(a.WebhookIDs, []string{"WH-1", "WH-2"}) {
		t.Errorf("account from the environment: %+v", a)
	}
	if k := got.Encryption.Keys; len(k) != 1 || k[0].ID != "k" || !k[0].Key.Equal(NewSecret(sealKey)) || got.Retention.Feed != 60 {
		t.Errorf("encryption %+v, retention %+v", got.Encryption, got.Retention)
	}
	if want := (Layers{Return: true, Webhook: true}); got.Layers != want {
		t.Errorf("layers %+v", got.Layers)
	}
	for name, tt := range map[string]struct{ env, want string }{
		"bad value":       {"TRIFECTA_ACCOUNTS_0_MODE=prod", "TRIFECTA_ACCOUNTS_0_MODE: accounts[0].mode"},
		"bad boolean":     {"TRIFECTA_LAYERS_WEBHOOK=maybe", "true or false"},
		"misspelt":        {"TRIFECTA_LAYERS_WEBHOKS=false", "unknown variable"},
		"misspelt secret": {"TRIFECTA_ACCOUNTS_0_SECRETKEY=sk_test_1", "unknown variable"},
		"misspelt key":    {"TRIFECTA_ENCRYPTION_KEYS_0_SECRET=x", "unknown variable"},
		"misspelt days":   {"TRIFECTA_RETENTION_FEEDS=60", "unknown variable"},
		"gap":             {"TRIFECTA_ACCOUNTS_5_NAME=x", "gap"},
	} {
		if _, err := load(t, stripeTest, tt.env); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Promise: a server can run on the environment alone.
func TestEnvironmentWithoutFile(t *testing.T) {
	t.Parallel()
	got, err := Load(Options{Environ: []string{
		"TRIFECTA_PUBLIC_URL=http://localhost:8080", "TRIFECTA_ACCOUNTS_0_NAME=s", "TRIFECTA_ACCOUNTS_0_PROVIDER=stripe",
		"TRIFECTA_ACCOUNTS_0_MODE=test", "TRIFECTA_ACCOUNTS_0_SECRET_KEY=sk_test_1", "TRIFECTA_ACCOUNTS_0_WEBHOOK_SECRETS=" + whsec,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Accounts) != 1 || got.Accounts[0].WebhookSecrets[0].Reveal() != whsec {
		t.Errorf("got %+v", got)
	}
}

// Promise: ${VAR} is expanded in values, and only the spelling ${.
func TestExpansion(t *testing.T) {
	t.Parallel()
	got, err := load(t, strings.Replace(strings.Replace(stripeTest, "sk_test_abc123", `"sk_test_${A}$B$$"`, 1), whsec, `"`+whsec+`$${A}"`, 1), "A=one", "B=two")
	if err != nil {
		t.Fatal(err)
	}
	if key := got.Accounts[0].SecretKey.Reveal(); key != "sk_test_one$B$$" {
		t.Errorf("key %q", key)
	}
	if s := got.Accounts[0].WebhookSecrets[0].Reveal(); s != whsec+"${A}" {
		t.Errorf("escaped: %q", s)
	}
	// A variable that replaces a value replaces its faults too.
	if _, err := load(t, strings.Replace(stripeTest, "sk_test_abc123", "${NOT_SET}", 1), "TRIFECTA_ACCOUNTS_0_SECRET_KEY=sk_test_1"); err != nil {
		t.Error(err)
	}
}

// Promise: every secret can come from a file that nobody else can read.
func TestSecretFiles(t *testing.T) {
	t.Parallel()
	key := write(t, "key", "sk_test_fromfile\n", 0o600)
	hooks := write(t, "hooks", whsec+"\n"+whsec+"2\r\n\n", 0o400)
	text := strings.Replace(stripeTest, "secret_key: sk_test_abc123", "secret_key_file: "+key, 1)
	text = strings.Replace(text, "webhook_secrets: ["+whsec+"]", "webhook_secrets_file: "+hooks, 1)
	got, err := load(t, text, "TRIFECTA_STORE_FILE="+write(t, "store", "mongodb://u:p@db/x", 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if a := got.Accounts[0]; a.SecretKey.Reveal() != "sk_test_fromfile" || len(a.WebhookSecrets) != 2 || a.WebhookSecrets[1].Reveal() != whsec+"2" {
		t.Errorf("secrets from files: %d", len(a.WebhookSecrets))
	}
	if got.Store.Reveal() != "mongodb://u:p@db/x" {
		t.Error("store not from file")
	}
	for name, tt := range map[string]struct{ file, want string }{
		"world-readable": {write(t, "key", "sk_test_1", 0o644), "0644"},
		"missing":        {filepath.Join(t.TempDir(), "none"), "cannot be opened"},
		"a directory":    {t.TempDir(), "not a regular file"},
		"empty":          {write(t, "key", "\n", 0o600), "missing or empty"},
	} {
		_, err := load(t, strings.Replace(stripeTest, "secret_key: sk_test_abc123", "secret_key_file: "+tt.file, 1))
		places, message := faultsOf(t, err)
		if !slices.Equal(places, []string{"accounts[0].secret_key"}) || !strings.Contains(message, tt.want) {
			t.Errorf("%s: %s", name, message)
		}
	}
	_, err = load(t, stripeTest+"    secret_key_file: "+key+"\n")
	if _, message := faultsOf(t, err); !strings.Contains(message, "both") {
		t.Errorf("both given: %s", message)
	}
}

// Promise: a root certificate that is none is refused at start, not at the first
// webhook.
func TestWebhookRootCA(t *testing.T) {
	t.Parallel()
	paypal := stripeTest + "  - {name: p, provider: paypal, mode: test, client_id: a, client_secret: b, webhook_ids: [W], webhook_root_ca: '%'}\n"
	for _, file := range []string{"/nowhere/ca.pem", write(t, "ca.pem", "nonsense", 0o644)} {
		_, err := load(t, strings.Replace(paypal, "%", file, 1))
		if places, message := faultsOf(t, err); !slices.Equal(places, []string{"accounts[1].webhook_root_ca"}) {
			t.Error(message)
		}
	}
}

// Promise: a file that is no configuration is refused with the place, and
// without quoting it, because the quoted lines may hold secrets.
func TestUnreadableFiles(t *testing.T) {
	t.Parallel()
	const canary = "sk_live_canary_value"
	for name, tt := range map[string]struct{ text, want string }{
		"syntax":          {"public_url: [\nsecret: " + canary, "line"},
		"duplicate key":   {"public_url: " + canary + "\npublic_url: b\n", "line 2"},
		"wrong type":      {"public_url: a\nallow_sqlite_live: " + canary + "\n", "line 2"},
		"list for map":    {"http: [" + canary + "]\n", "line 1"},
		"map for text":    {"public_url: {a: " + canary + "}\n", "line 1"},
		"anchor":          {"public_url: &a " + canary + "\nstore: *a\n", "anchors"},
		"two documents":   {stripeTest + "---\n" + stripeTest, "several"},
		"text for group":  {"accounts: " + canary + "\n", "line 1"},
		"text for list":   {"accounts:\n  - " + canary + "\n", "line 2"},
		"on a bar's line": {"public_url: a\nstore: |" + canary + "\n", "line 2: invalid header option"},
		"after a bar":     {"accounts:\n  - secret_key: | " + canary + "\n", "line 2: invalid header option"},
		"no blank":        {"accounts:\n  - secret_key:" + canary + ": x\n", "accounts[0].(not a name): unknown key"},
		"no colon":        {"accounts:\n  - secret_key " + canary + ": x\n", "accounts[0].(not a name): unknown key"},
		"no colon, =":     {"secret_key=" + canary + ": x\n", "line 1: (not a name): unknown key"},
		"key twice":       {"store: " + canary + "\nstore: " + canary + "\n", `line 2: mapping key "store" already defined`},
		"tab":             {"accounts:\n\t- secret_key: " + canary + "\n", "line 2"},
		"escape":          {"store: \"\\q" + canary + "\"\n", "escape character 'q'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, tt.text)
			_, message := faultsOf(t, err)
			if !strings.Contains(message, tt.want) {
				t.Errorf("no %q in %s", tt.want, message)
			}
			if strings.Contains(message, canary) {
				t.Errorf("quotes the file: %s", message)
			}
		})
	}
	if _, err := Load(Options{File: filepath.Join(t.TempDir(), "none.yaml")}); err == nil || !strings.Contains(err.Error(), "example.yaml") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := load(t, ""); err == nil {
		t.Error("an empty file was accepted")
	}
}

// shapes are the types of the file, all of them.
func shapes() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[raw](), reflect.TypeFor[rawHTTP](), reflect.TypeFor[rawAccount](), reflect.TypeFor[rawApp](), reflect.TypeFor[rawLayers](), reflect.TypeFor[rawRisk](), reflect.TypeFor[rawDisputes](),
		reflect.TypeFor[rawEncryption](), reflect.TypeFor[rawKey](), reflect.TypeFor[rawRetention](),
		reflect.TypeFor[rawAlerts](), reflect.TypeFor[rawAlertChannel](), reflect.TypeFor[rawAlertRoute](), reflect.TypeFor[rawAlertEscalation](), reflect.TypeFor[rawQuietHours](),
	}
}

// Promise: the example page loads, and explains every key there is.
func TestExample(t *testing.T) {
	t.Parallel()
	const file = "../docs/trifecta.example.yaml"
	_, err := Load(Options{File: file, Environ: []string{
		"STRIPE_KEY=sk_test_1", "STRIPE_WEBHOOK_SECRET=" + whsec, "PAYPAL_CLIENT_ID=id", "PAYPAL_CLIENT_SECRET=secret", "PAYPAL_WEBHOOK_ID=WH-1",
	}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, ty := range shapes() {
		for _, key := range tagValues(ty, "yaml") {
			if !regexp.MustCompile(`(?m)^[ #-]*` + key + `:`).Match(text) {
				t.Errorf("the example does not show %s", key)
			}
		}
	}
}

// Promise: a key's variable is its path in capitals, for every key, so that the
// faults name the right one.
func TestVariableNamesFollowPaths(t *testing.T) {
	t.Parallel()
	for _, ty := range shapes() {
		for i := range ty.NumField() {
			tag := ty.Field(i).Tag
			name := strings.TrimSuffix(tag.Get("env")+tag.Get("envPrefix"), "_")
			if name != strings.ToUpper(tag.Get("yaml")) {
				t.Errorf("%s: variable %s", tag.Get("yaml"), name)
			}
		}
	}
}

// Promise: a configuration built by hand obeys the same rules.
func TestValidate(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, stripeTest)
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	cfg.Accounts[0].SecretKey = Secret{}
	if err := cfg.Validate(); err == nil {
		t.Error("accepted without its key")
	}
}

// Promise: what registering a webhook gives may be missing for the command that registers, and nothing else may.
func TestUnregistered(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(strings.ReplaceAll(allLive, "    webhook_secrets: ["+whsec+"]\n", ""), "    webhook_ids: [WH-1]\n", "")
	file := write(t, "trifecta.yaml", text, 0o600)
	if _, err := Load(Options{File: file}); err == nil {
		t.Fatal("serve would start without webhook secrets")
	}
	if _, err := Load(Options{File: file, Unregistered: true}); err != nil {
		t.Error(err)
	}
	short := strings.Replace(allLive, whsec, "whsec_short", 1)
	if _, err := Load(Options{File: write(t, "t.yaml", short, 0o600), Unregistered: true}); err == nil {
		t.Error("a short webhook secret was accepted")
	}
	missing := strings.Replace(text, "    secret_key: sk_live_abc123\n", "", 1)
	if _, err := Load(Options{File: write(t, "t.yaml", missing, 0o600), Unregistered: true}); err == nil {
		t.Error("a missing key was accepted")
	}
}

// Promise: a rule that acts on customers does nothing before somebody says so.
func TestRiskRulesAreDryUntilToldOtherwise(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, stripeTest+`risk:
  - {rule: decline_velocity, window: 30d, actions: [block]}
  - {rule: decline_velocity, window: 12h, dry_run: false}
  - {rule: fraud_warning, confirm: true}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []RiskRule{
		{Rule: "decline_velocity", Window: 30 * 24 * time.Hour, Actions: []string{"block"}, DryRun: true},
		{Rule: "decline_velocity", Window: 12 * time.Hour},
		{Rule: "fraud_warning", Confirm: true},
	}
	if !reflect.DeepEqual(cfg.Risk, want) {
		t.Errorf("got %+v", cfg.Risk)
	}
}

// Promise: a dispute policy is written as the example shows it, a map of amounts and a map of texts.
func TestDisputePolicyFromFile(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, stripeTest+`apps:
  - name: shop
    mode: test
    disputes:
      accept_under: {usd: 1500, eur: 1400}
      alert_above:
        usd: 100000
      contest:
        product_description: "{{payment.items}}, order {{payment.reference}}"
      dry_run: false
`)
	if err != nil {
		t.Fatal(err)
	}
	want := DisputePolicy{
		AcceptUnder: map[string]int64{"usd": 1500, "eur": 1400}, AlertAbove: map[string]int64{"usd": 100000},
		Contest: map[string]string{"product_description": "{{payment.items}}, order {{payment.reference}}"},
	}
	if diff := cmp.Diff(want, cfg.Apps[0].Disputes); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
}

// Promise: what the example only shows, commented out, can be put into force as it stands.
func TestExampleUncommented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/trifecta.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, ty := range shapes() {
		for _, key := range tagValues(ty, "yaml") {
			known[key] = !strings.HasSuffix(key, "_file") && key != "webhook_root_ca" // those name files
		}
	}
	shown := regexp.MustCompile(`^( *)# ([a-z_]+):( |$)`)
	lines := strings.Split(string(text), "\n")
	var keys []string
	for i := 0; i < len(lines); i++ {
		m := shown.FindStringSubmatch(lines[i])
		if m == nil || !known[m[2]] {
			continue
		}
		keys = append(keys, m[2])
		for prefix := m[1] + "# "; ; i++ {
			lines[i] = m[1] + strings.TrimPrefix(lines[i], prefix)
			if i+1 == len(lines) || !strings.HasPrefix(lines[i+1], prefix+" ") {
				break
			}
		}
	}
	for _, key := range []string{"disputes", "encryption", "channels", "routes", "escalations", "quiet_hours"} {
		if !slices.Contains(keys, key) {
			t.Errorf("%s is not among what was put into force: %v", key, keys)
		}
	}
	_, err = Load(Options{File: write(t, "example.yaml", strings.Join(lines, "\n"), 0o600), Environ: []string{
		"STRIPE_KEY=sk_test_1", "STRIPE_WEBHOOK_SECRET=" + whsec, "PAYPAL_CLIENT_ID=id", "PAYPAL_CLIENT_SECRET=secret", "PAYPAL_WEBHOOK_ID=WH-1",
		"TRIFECTA_SEAL_KEY=" + sealKey, "SMTP_PASSWORD=secret", "SLACK_WEBHOOK_URL=https://hooks.slack.com/services/T/B/x", "PAGER_SECRET=" + whsec,
	}})
	if err != nil {
		t.Error(err)
	}
}
