package main

import (
	"path/filepath"
	"strings"
	"testing"

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
		"no operator key":       {nil, []string{"settings", "get"}, []string{"apikey create --operator"}},
		"nobody there":          {key, []string{"settings", "get", "--server", away.stripe.URL}, []string{"is the server running", "--server URL"}},
		"a provider away":       {nil, []string{"webhooks", "register", "--config", away.file}, []string{"can't be reached", "firewall"}},
	} {
		t.Run(name, func(t *testing.T) { failsSaying(t, c.environ, c.args, c.says) })
	}
	// One after the other: both open the store.
	failsSaying(t, nil, []string{"apikey", "create", "--config", free.file, "--app", "shpo"}, []string{`no app is called "shpo"`, "shop"})
	failsSaying(t, nil, []string{"apikey", "revoke", "--config", free.file, "tk_test_none"}, []string{"apikey list"})
}

func failsSaying(t *testing.T, environ, args, says []string) {
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
}
