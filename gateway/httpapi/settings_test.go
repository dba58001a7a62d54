package httpapi_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/httpapi"
	"github.com/trifecta-pay/trifecta/gateway/settings"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mem"
)

// desk is the settings as cmd wires them.
type desk struct{ *settings.Settings }

func (d desk) ReadSettings(ctx context.Context) (settings.Document, error) { return d.Current(ctx) }

func (d desk) ChangeSettings(ctx context.Context, c gateway.Caller, r settings.Request) (settings.Document, error) {
	return d.Put(ctx, c.Actor(), r)
}

func newSettingsWorld(t *testing.T) *world {
	return newWorld(t, func(o *httpapi.Options) {
		engine, err := mem.New(store.Collections())
		if err != nil {
			t.Fatal(err)
		}
		s, err := settings.New(settings.Options{Store: store.NewSettings(engine), Clock: o.Clock, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		settings.Add(s, settings.Definition[gateway.Pauses]{Name: gateway.PausesSection, Keys: gateway.PausesKeys()})
		o.Settings = desk{s}
	})
}

// Promise: an operator reads the settings with their version and changes just that
// version; the answer and the history say who changed what and why.
func TestSettings(t *testing.T) {
	t.Parallel()
	w := newSettingsWorld(t)
	get := func() answer {
		return w.do(call{method: "GET", path: "/v1/settings", key: opKey}).want(http.StatusOK, "")
	}
	put := func(body string, header map[string]string) answer {
		return w.do(call{method: "PUT", path: "/v1/settings", key: opKey, body: body, header: header})
	}
	a := get()
	if a.body["version"] != 0.0 || a.header.Get("ETag") != `"0"` {
		t.Errorf("never written: %s %v", a.raw, a.header)
	}
	a = put(`{"version":0,"reason":"provider incident","settings":{"payments":{"paused_accounts":{"stripe-eu":{"reason":"slow"}}}}}`, nil).want(http.StatusOK, "")
	if a.body["version"] != 1.0 || a.text("settings", "payments", "paused_accounts", "stripe-eu", "reason") != "slow" ||
		a.text("changes", 0, "reason") != "provider incident" || a.text("changes", 0, "actor", "type") != "operator" || a.text("changes", 0, "actor", "id") == "" {
		t.Errorf("changed: %s", a.raw)
	}
	put(`{"version":0,"reason":"late","settings":{"payments":null}}`, nil).want(http.StatusConflict, "conflict")
	put(`{"reason":"late","settings":{"payments":null}}`, map[string]string{"If-Match": `"0"`}).want(http.StatusConflict, "conflict")
	a = put(`{"reason":"over","settings":{"payments":null}}`, map[string]string{"If-Match": `"1"`}).want(http.StatusOK, "")
	if after := get(); a.body["version"] != 2.0 || after.raw != a.raw || len(a.body["settings"].(map[string]any)) != 0 {
		t.Errorf("reset: %s, read back %s", a.raw, after.raw)
	}
}

// Promise: a doubtful change of settings is refused with its place, and only
// operators see or change settings.
func TestSettingsRefusals(t *testing.T) {
	t.Parallel()
	w := newSettingsWorld(t)
	for body, pointer := range map[string]string{
		`{"version":0,"settings":{"payments":{}}}`:                                               "/reason",
		`{"version":0,"reason":"x"}`:                                                             "/settings",
		`{"reason":"x","settings":{"payments":{}}}`:                                              "/version",
		`{"version":0,"reason":"x","settings":[]}`:                                               "/settings",
		`{"version":0,"reason":"x","settings":{"payments":{}},"more":1}`:                         "/more",
		`{"version":0,"reason":"x","settings":{"flavour":{}}}`:                                   "/settings/flavour",
		`{"version":0,"reason":"x","settings":{"payments":{"puased":null}}}`:                     "/settings/payments/puased",
		`{"version":0,"reason":"x","settings":{"payments":{"paused":true}}}`:                     "/settings/payments/paused",
		`{"version":0,"reason":"x","settings":{"payments":{"paused":{"reason":"x","until":1}}}}`: "/settings/payments",
	} {
		w.do(call{method: "PUT", path: "/v1/settings", key: opKey, body: body, bad: true}).want(http.StatusUnprocessableEntity, "invalid_request").wantField(pointer)
	}
	twice := `{"version":0,"reason":"x","settings":{"payments":{"paused":null,"paused":{"reason":"x"}}}}`
	w.do(call{method: "PUT", path: "/v1/settings", key: opKey, body: twice, bad: true}).want(http.StatusBadRequest, "malformed")
	good := `{"version":0,"reason":"x","settings":{"payments":{}}}`
	both := call{method: "PUT", path: "/v1/settings", key: opKey, body: good, header: map[string]string{"If-Match": `"0"`}, bad: true}
	w.do(both).want(http.StatusUnprocessableEntity, "").wantField("/version")
	for _, key := range []string{shopKey, readKey} {
		w.do(call{method: "GET", path: "/v1/settings", key: key}).want(http.StatusForbidden, "forbidden")
		w.do(call{method: "PUT", path: "/v1/settings", key: key, body: good}).want(http.StatusForbidden, "forbidden")
	}
	if a := w.do(call{method: "GET", path: "/v1/settings", key: opKey}).want(http.StatusOK, ""); a.body["version"] != 0.0 {
		t.Errorf("a refused change was stored: %s", a.raw)
	}
}
