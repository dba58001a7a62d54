package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/sqlite"
)

// Promise: a command that can't do its work says what to do, not only what is wrong.
func TestFailuresSayWhatToDo(t *testing.T) {
	t.Parallel()
	taken := newClinic(t)
	taken.change("webhook_secrets: []", "webhook_secrets: [whsec_0123456789abcdef0123456789]")
	taken.change("webhook_ids: []", "webhook_ids: [WH-0123456789]")
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(taken.dir, "shop.db"), Collections: store.Collections()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	free := newClinic(t)
	free.change("webhook_secrets: []", "webhook_secrets: [whsec_0123456789abcdef0123456789]")
	free.change("webhook_ids: []", "webhook_ids: [WH-0123456789]")
	bare := newClinic(t)
	bare.change("webhook_secrets: []", "webhook_secrets: [whsec_0123456789abcdef0123456789]")
	bare.change("webhook_ids: []", "webhook_ids: [WH-0123456789]")
	strange := newClinic(t)
	strange.change("webhook_secrets: []", "webhook_secrets: [whsec_0123456789abcdef0123456789]")
	strange.change("webhook_ids: []", "webhook_ids: [WH-0123456789]")
	if err := os.WriteFile(filepath.Join(strange.dir, "shop.db"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	away := newClinic(t)
	away.stripe.Close()
	key := []string{operatorKeyVariable + "=tk_op_x"}
	for name, c := range map[string]struct {
		environ, args []string
		says          []string
	}{
		"no configuration":      {nil, []string{"serve"}, []string{"no file was named", "public_url: is missing"}},
		"an argument missing":   {nil, []string{"apikey", "revoke"}, []string{"accepts 1", "Usage: trifecta apikey revoke", "KEY"}},
		"a misspelt flag":       {nil, []string{"serve", "--confg", "x"}, []string{"trifecta serve --help"}},
		"a store in use, asked": {nil, []string{"apikey", "list", "--config", taken.file}, []string{"in use", "--server URL"}},
		"a store in use":        {nil, []string{"serve", "--config", taken.file}, []string{"in use", "Stop that process"}},
		"no file":               {nil, []string{"reconcile", "status", "--config", bare.file}, []string{"there is no file", "shop.db", "mounted", "migrate"}},
		"no file to look into":  {nil, []string{"apikey", "list", "--config", bare.file}, []string{"there is no file", "shop.db"}},
		"no file to erase in":   {nil, []string{"erase", "customer", "--config", bare.file, "--app", "shop", "--ref", "c", "--reason", "r"}, []string{"there is no file"}},
		"not a database":        {nil, []string{"serve", "--config", strange.file}, []string{"not a database", "who may read and write"}},
		"a misspelt command":    {nil, []string{"apikey", "revok", "tk_test_x"}, []string{`unknown command "revok"`, "trifecta apikey --help"}},
		"no operator key":       {nil, []string{"settings", "get"}, []string{"apikey create --operator"}},
		"nobody there":          {key, []string{"settings", "get", "--server", away.stripe.URL}, []string{"is the server running", "--server URL"}},
		"a provider away":       {nil, []string{"webhooks", "register", "--config", away.file}, []string{"can't be reached", "firewall"}},
	} {
		t.Run(name, func(t *testing.T) { failsSaying(t, c.environ, c.args, c.says) })
	}
	if _, err := os.Stat(filepath.Join(bare.dir, "shop.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a command that needs a record made an empty one: %v", err)
	}
	if code, out, errOut := bare.run("apikey"); code != 0 || !strings.Contains(out, "revoke") {
		t.Errorf("a command that holds others does not show them: %d %s %s", code, out, errOut)
	}
	// One after the other: they open the store.
	free.must("migrate", "--config", free.file)
	failsSaying(t, nil, []string{"apikey", "create", "--config", free.file, "--app", "shpo"}, []string{`no app is called "shpo"`, "shop"})
	failsSaying(t, nil, []string{"apikey", "revoke", "--config", free.file, "tk_test_none"}, []string{"apikey list"})
}

func failsSaying(t *testing.T, environ, args, says []string) (said string) {
	t.Helper()
	var out, errOut strings.Builder
	if code := run(t.Context(), args, environ, &out, &errOut); code != 1 {
		t.Errorf("%v: exit code %d, want 1", args, code)
	}
	for _, want := range says {
		if !strings.Contains(errOut.String(), want) {
			t.Errorf("%v does not say %q: %s", args, want, errOut.String())
		}
	}
	if strings.Contains(errOut.String(), "alert channel") {
		t.Errorf("%v talks of alert channels: %s", args, errOut.String())
	}
	return errOut.String()
}

// Promise: a server for real money never takes an empty file for the shop's record; a first try in test mode needs none.
func TestLiveServerNeedsItsRecord(t *testing.T) {
	cfg := config.Config{Store: config.NewSecret("sqlite:" + filepath.Join(t.TempDir(), "shop.db")), Apps: []config.App{{Name: "shop", Mode: config.ModeTest}}}
	if err := mayStart(cfg); err != nil {
		t.Errorf("in test mode: %v", err)
	}
	cfg.Apps[0].Mode = config.ModeLive
	if err := mayStart(cfg); err == nil || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("live: %v", err)
	}
}

// Guards A7: with a webhook secret that is empty, blank or short the process ends with 1
// before it listens, and says which, in words without the secret.
func TestWeakSecretStopsTheStart(t *testing.T) {
	t.Parallel()
	const variable = "TRIFECTA_ACCOUNTS_0_WEBHOOK_SECRETS"
	for _, c := range []struct{ name, secret, says string }{
		{"missing", "", "webhook_secrets: is missing"},
		{"blank", strings.Repeat(" ", 32), variable},
		{"only its beginning", "whsec_", variable},
		{"short", "whsec_canary7", variable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			environ := []string{
				"TRIFECTA_PUBLIC_URL=http://127.0.0.1:8080", "TRIFECTA_STORE=sqlite:" + filepath.Join(t.TempDir(), "a.db"), "TRIFECTA_HTTP_ADDR=127.0.0.1:0", "TRIFECTA_HTTP_INTERNAL_ADDR=127.0.0.1:0",
				"TRIFECTA_ACCOUNTS_0_NAME=a", "TRIFECTA_ACCOUNTS_0_PROVIDER=stripe", "TRIFECTA_ACCOUNTS_0_MODE=test", "TRIFECTA_ACCOUNTS_0_SECRET_KEY=sk_test_abc123",
				variable + "=" + c.secret,
			}
			said := failsSaying(t, environ, []string{"serve"}, []string{"refused, 1 fault", c.says})
			if strings.Contains(said, "canary") {
				t.Errorf("the secret is told: %s", said)
			}
		})
	}
}
