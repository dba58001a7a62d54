package house

import (
	"log/slog"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mem"
)

// clock is a clock that tests move.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func shared(t *testing.T) store.Engine {
	t.Helper()
	e, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// build makes a house over a store that others may share.
func build(t *testing.T, e store.Engine, c *clock) *House {
	t.Helper()
	h, err := Build(t.Context(), options(e, c))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func options(e store.Engine, c *clock) Options {
	return Options{
		Config: config.Config{
			PublicURL: "https://pay.example.com", Layers: config.Layers{Return: true, Webhook: true, Reconcile: true},
			Accounts: []config.Account{{
				Name: "stripe-eu", Provider: "stripe", Mode: "test", SecretKey: config.NewSecret("sk_test_house"),
				WebhookSecrets: []config.Secret{config.NewSecret("whsec_0123456789abcdef0123456789")}, APIBase: "http://127.0.0.1:9",
			}},
			Apps: []config.App{{Name: "shop", Mode: "test"}},
		},
		Clock: c.Now, Wall: c.Now, Logger: slog.New(slog.DiscardHandler), Engine: e,
	}
}

// Promise: a migration sees every process that runs, also one that was killed,
// and none that was stopped or has been dead for half a minute.
func TestProcessesAnnounceThemselves(t *testing.T) {
	ctx := t.Context()
	e, c := shared(t), &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	live := func() int {
		t.Helper()
		found, err := store.LivePresences(ctx, e, c.now)
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	a, b := build(t, e, c), build(t, e, c)
	if n := live(); n != 0 {
		t.Errorf("%d processes before any has worked", n)
	}
	for range 7 { // twice as long as a presence lasts
		for _, h := range []*House{a, b} {
			if err := h.Quiesce(ctx); err != nil {
				t.Fatal(err)
			}
		}
		c.now = c.now.Add(presenceEvery)
		if n := live(); n != 2 {
			t.Fatalf("%d processes live, want 2", n)
		}
	}
	if err := a.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	if n := live(); n != 1 {
		t.Errorf("%d processes live after one stopped, want the killed one", n)
	}
	c.now = c.now.Add(presenceFor)
	if n := live(); n != 0 {
		t.Errorf("%d processes live after the killed one's presence, want 0", n)
	}
}
