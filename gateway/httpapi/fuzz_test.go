package httpapi

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// FuzzBodies: every request body is bound or refused as malformed or invalid, whoever
// reads it; never a panic, and never another kind of answer.
func FuzzBodies(f *testing.F) {
	readers := map[string]func([]byte) error{
		"capture":  func(b []byte) error { _, err := bindCapture(b); return err },
		"refund":   func(b []byte) error { _, err := bindRefund(b); return err },
		"resolve":  func(b []byte) error { _, err := bindResolve(b); return err },
		"snooze":   func(b []byte) error { _, err := bindSnooze(b); return err },
		"nothing":  bindNothing,
		"run":      func(b []byte) error { _, err := bindRun(b); return err },
		"block":    func(b []byte) error { _, err := bindBlock(b); return err },
		"judge":    func(b []byte) error { _, err := bindJudge(b); return err },
		"dry run":  func(b []byte) error { _, err := bindDryRun(b); return err },
		"settings": func(b []byte) error { _, err := bindSettings(b, []string{`"1"`}); return err },
		"evidence": func(b []byte) error { _, err := bindEvidence(b); return err },
		"erasure":  func(b []byte) error { _, err := bindErasure(b); return err },
	}
	for _, seed := range []string{
		``, `{}`, `{"amount":5,"final":true}`, `{"amount":5,"reason":"other"}`, `{"action":"accept","captures":["c"],"reason":"r"}`, `{"seconds":60}`,
		`{"job":"sweep","account":"a","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}`, `{"app":"shop","kind":"email","value":"a@b.c","reason":"r","cancel":true}`,
		`{"days":30,"app":"shop","rules":[{"rule":"x","threshold":5}]}`, `{"shipping":{"carrier":"x"},"files":[{"name":"a.pdf","content":"aGk="}],"submit":true}`,
		`{"shipping":5,"files":{"a":null}}`, `{"files":[null,{"content":"!!"}]}`, `{"customer":"ref","reason":"r","texts":["x"]}`, `{"paused":{"accounts":["a"]},"reason":"r"}`,
		`null`, `[]`, `{"amount":-0}`, `{"amount":1e3}`, `{"captures":{}}`, `{"from":"9999-12-31T23:59:59-01:00"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for name, read := range readers {
			if err := read(raw); err != nil && payment.CodeOf(err) != payment.CodeMalformed && payment.CodeOf(err) != payment.CodeInvalid {
				t.Fatalf("%s: %q: %v", name, raw, err)
			}
		}
	})
}

// FuzzTargets: no method, path or query is answered by an error of ours, and without
// credentials nothing under /v1 but the customer's return is answered by anything but
// a refusal.
func FuzzTargets(f *testing.F) {
	opts := bare()
	opts.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	opts.RatePerSecond = 1e9
	opts.Webhooks = http.NotFoundHandler()
	h := New(opts)
	for _, p := range []string{
		"/v1/payments", "/v1/payments/pay_x", "/v1/payments/%00", "/v1/payments/..%2f..%2fx", "/v1/payments/pay_%ff/refunds", "//v1/payments", "/v1/./payments", "/v1/events",
		"/webhooks/stripe", "/healthz", "/docs", "/v1/../metrics", "/v1/alerts/x/ack", "/v1/disputes/;a=b", "/%2e%2e/", "/v1/payments/$ne", "/V1/payments",
	} {
		f.Add("GET", p, "limit=0&after=x")
		f.Add("POST", p, "a[$gt]=&a=1;b=2")
	}
	f.Add("TRACE", "/v1/payments", "%zz")
	f.Fuzz(func(t *testing.T, method, path, query string) {
		if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/v1/return/") || strings.HasPrefix(path, "/pay/") {
			return // customers' pages read the store, which there is none of here
		}
		req, err := http.NewRequestWithContext(t.Context(), method, "http://gw/", nil)
		if err != nil {
			return
		}
		req.URL.Path, req.URL.RawQuery = path, query
		req.RemoteAddr = "192.0.2.1:1234"
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if rec.Code >= 500 {
			t.Fatalf("%s %q?%q: %d %s", method, path, query, rec.Code, rec.Body)
		}
		if strings.HasPrefix(path, "/v1/") && rec.Code < 300 {
			t.Fatalf("%s %q without a key: %d %s", method, path, rec.Code, rec.Body)
		}
	})
}
