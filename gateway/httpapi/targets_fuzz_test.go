package httpapi_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/httpapi"
)

// targetsWorld is a gateway with three payments, a refund and the cursors of their list,
// the same in every process: ids follow from keys.
func targetsWorld(f *testing.F) (w *world, id string, cursors []string) {
	f.Helper()
	w, _ = newPortsWorld(f, func(o *httpapi.Options) {
		o.Logger, o.RatePerSecond, o.Webhooks = slog.New(slog.NewTextHandler(io.Discard, nil)), 1e9, http.NotFoundHandler()
	})
	for _, key := range []string{"k1", "k2", "k3"} {
		id = w.paid(key, nil).text("id")
	}
	w.post("/v1/payments/"+id+"/refunds", "r", `{"amount":300}`).want(http.StatusCreated, "")
	for next := "?limit=1"; ; {
		page := w.get("/v1/payments"+next).want(http.StatusOK, "")
		if page.body["next"] == nil {
			return w, id, cursors
		}
		cursors = append(cursors, page.text("next"))
		next = "?limit=1&after=" + page.text("next")
	}
}

// FuzzTargets: no method, path or query is answered by an error of ours, with a key or
// without; what is refused under /v1 is told as a problem; without a key nothing there but
// the customer's return is answered by anything but a refusal, and with one no cursor opens
// a page of the payments that we did not give out.
func FuzzTargets(f *testing.F) {
	w, id, cursors := targetsWorld(f)
	if len(cursors) < 2 {
		f.Fatalf("cursors %q", cursors)
	}
	for _, p := range []string{
		"/v1/payments", "/v1/payments/pay_x", "/v1/payments/%00", "/v1/payments/..%2f..%2fx", "/v1/payments/pay_%ff/refunds", "//v1/payments", "/v1/./payments", "/v1/events",
		"/webhooks/stripe", "/healthz", "/docs", "/v1/../metrics", "/v1/alerts/x/ack", "/v1/disputes/;a=b", "/%2e%2e/", "/v1/payments/$ne", "/V1/payments",
		"/v1/payments/" + id, "/v1/payments/" + id + "/refunds", "/v1/payments/" + id + "/history", "/v1/payments/" + id + "/funds", "/v1/disputes", "/v1/alerts", "/v1/blocks",
		"/v1/risk/decisions", "/v1/reconcile/runs", "/v1/discrepancies", "/v1/erasures", "/v1/api_keys", "/v1/settings", "/v1/encryption", "/v1/refunds/" + id,
		"/v1/payments/" + id + "/cancel", "/v1/payments/" + id + "/sync",
	} {
		for who := range byte(4) {
			f.Add(who, "GET", p, "limit=0&after=x")
		}
		f.Add(byte(1), "GET", p, "limit=2&after="+cursors[0])
		f.Add(byte(2), "GET", p, "limit=100")
		f.Add(byte(1), "POST", p, "a[$gt]=&a=1;b=2")
	}
	for _, query := range []string{
		"after=" + cursors[1] + "&limit=1", "status=succeeded&limit=1", "after=" + cursors[0] + "&status=succeeded", "created_after=2026-01-01T00:00:00Z&created_before=x", "limit=1&limit=2",
		"reference[$ne]=x", "reference=%00", "provider=stripe&account=x&customer=%ff", "after=", "limit=-1", "limit=1e3", "limit=99999999999999999999", "after=" + cursors[0] + "=", "%zz", ";", "x=y",
	} {
		f.Add(byte(1), "GET", "/v1/payments", query)
	}
	f.Add(byte(0), "TRACE", "/v1/payments", "%zz")
	keys := []string{"", shopKey, opKey, readKey}
	f.Fuzz(func(t *testing.T, who byte, method, path, query string) {
		if !strings.HasPrefix(path, "/") {
			return
		}
		req, err := http.NewRequestWithContext(t.Context(), method, "http://gw/", strings.NewReader("{}"))
		if err != nil {
			return
		}
		key := keys[int(who)%len(keys)]
		if key != "" {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "k")
		req.URL.Path, req.URL.RawQuery = path, query
		req.RemoteAddr = "192.0.2.1:1234"
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, req)
		if rec.Code >= 500 {
			t.Fatalf("%s %q?%q: %d %s", method, path, query, rec.Code, rec.Body)
		}
		if !strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v1/return/") {
			return
		}
		if key == "" && rec.Code < 400 {
			t.Fatalf("%s %q without a key: %d %s", method, path, rec.Code, rec.Body)
		}
		if rec.Code >= 400 {
			wantTold(t, rec)
		}
		values, err := url.ParseQuery(query)
		if after := values["after"]; err == nil && rec.Code < 300 && path == "/v1/payments" && len(after) > 0 && !slices.Contains(cursors, after[0]) {
			t.Fatalf("the cursor %q opens %s", after, rec.Body)
		}
	})
}

// wantTold checks that a refusal is a problem with a code, and of the status it came with.
func wantTold(t *testing.T, rec *httptest.ResponseRecorder) {
	t.Helper()
	var problem struct {
		Status     int
		Type, Code string
	}
	err := json.Unmarshal(rec.Body.Bytes(), &problem)
	if err != nil || rec.Header().Get("Content-Type") != "application/problem+json" || problem.Status != rec.Code || problem.Code == "" || problem.Type == "" {
		t.Fatalf("%d is told as %s: %s", rec.Code, rec.Header().Get("Content-Type"), rec.Body)
	}
}
