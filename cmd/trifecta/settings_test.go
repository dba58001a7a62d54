package main

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mem"
)

// testHouse is a house over a store in memory, with one Stripe account where nobody answers.
func testHouse(t *testing.T, layers config.Layers) *house.House {
	t.Helper()
	engine, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	h, err := house.Build(t.Context(), house.Options{
		Config: config.Config{
			PublicURL: "https://pay.example.com", Layers: layers, Apps: []config.App{{Name: "shop", Mode: "test"}},
			Accounts: []config.Account{{
				Name: "stripe-eu", Provider: "stripe", Mode: "test", SecretKey: config.NewSecret("sk_test_settings"),
				WebhookSecrets: []config.Secret{config.NewSecret("whsec_0123456789abcdef0123456789")}, APIBase: "http://127.0.0.1:9",
			}},
		},
		Clock: time.Now, Wall: time.Now, Logger: slog.New(slog.DiscardHandler), Engine: engine,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// Promise: an operator pauses an account of a running server from the command line,
// is refused where somebody else was faster, and is told what is missing.
func TestSettingsCommands(t *testing.T) {
	h := testHouse(t, config.Layers{})
	if err := h.Service.AddKey(t.Context(), "tk_op_settings", gateway.Key{Operator: true}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h.Public)
	t.Cleanup(srv.Close)
	try := func(environ []string, args ...string) (int, string) {
		var out bytes.Buffer
		code := run(t.Context(), append([]string{"settings"}, args...), environ, &out, &out)
		return code, out.String()
	}
	key := []string{operatorKeyVariable + "=tk_op_settings"}
	want := func(code int, said string, args ...string) {
		t.Helper()
		if got, out := try(key, args...); got != code || !strings.Contains(out, said) {
			t.Errorf("settings %v: exit code %d, want %d with %q:\n%s", args, got, code, said, out)
		}
	}
	pause := `{"paused_accounts":{"stripe-eu":{"reason":"incident"}}}`
	want(0, `"version": 0`, "get", "--server", srv.URL)
	want(0, `"version": 1`, "set", "--server", srv.URL, "--reason", "incident", "payments", pause)
	want(0, `"stripe-eu"`, "get", "--server", srv.URL)
	want(1, "409", "set", "--server", srv.URL, "--reason", "over", "--version", "0", "payments", "null")
	want(0, `"version": 2`, "set", "--server", srv.URL, "--reason", "over", "--version", "1", "payments", "null")
	want(1, "/reason", "set", "--server", srv.URL, "payments", "null")
	want(1, "/settings/payments/paused_accounts/stripe-us", "set", "--server", srv.URL, "--reason", "x", "payments", strings.Replace(pause, "eu", "us", 1))
	want(1, "JSON", "set", "--server", srv.URL, "--reason", "x", "payments", "{")
	want(1, "--server", "get")
	if code, out := try(nil, "get", "--server", srv.URL); code != 1 || !strings.Contains(out, operatorKeyVariable) {
		t.Errorf("without a key: %d %s", code, out)
	}
}
