package stripespec

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// spy collects what a Validator reports instead of failing this test.
type spy struct {
	testing.TB

	mu     sync.Mutex
	faults []string
}

func (s *spy) Errorf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

func (s *spy) expect(t *testing.T, parts ...string) {
	t.Helper()
	if len(s.faults) != len(parts) {
		t.Fatalf("reports = %q, want %d", s.faults, len(parts))
	}
	for i, part := range parts {
		if !strings.Contains(s.faults[i], part) {
			t.Errorf("report %q does not mention %q", s.faults[i], part)
		}
	}
}

const (
	form       = "application/x-www-form-urlencoded"
	goodCus    = `{"id":"cus_1","object":"customer","created":1,"livemode":false,"email":null,"description":null,"shipping":null}`
	goodError  = `{"error":{"type":"card_error","code":"card_declined","message":"no"}}`
	goodCreate = "email=a%40example.com&metadata[k]=v"
)

// Guards the validator's own promise: it can fail. An unknown parameter, one of the
// wrong type, another API version, a wrong answer, a wrong error and an unknown path
// are reported; a right exchange is not, and neither is it changed.
func TestMiddlewareReports(t *testing.T) {
	t.Parallel()
	v := Load(t)
	for _, tc := range []struct {
		name, method, path, body, skip, version string
		status                                  int
		answer                                  string
		want                                    []string
	}{
		{name: "right", path: "/v1/customers", body: goodCreate, status: 200, answer: goodCus},
		{name: "right, read", method: "GET", path: "/v1/customers/cus_1?expand[]=default_source", status: 200, answer: goodCus},
		{name: "right error", path: "/v1/customers", body: goodCreate, status: 402, answer: goodError},
		{name: "unknown parameter", path: "/v1/customers", body: "emial=a", status: 200, answer: goodCus, want: []string{"emial"}},
		{name: "unknown query", method: "GET", path: "/v1/customers?lim=3", status: 200, answer: `{"object":"list","url":"/v1/customers","has_more":false,"data":[]}`, want: []string{"lim"}},
		{name: "wrong type", path: "/v1/payment_intents", body: "amount=19.99&currency=usd", skip: "", status: 402, answer: goodError, want: []string{"amount"}},
		{name: "other version", path: "/v1/customers", version: "2022-08-01", status: 200, answer: goodCus, want: []string{"2022-08-01"}},
		{name: "wrong on purpose", path: "/v1/customers", body: "emial=a", skip: "1", status: 402, answer: goodError},
		{name: "wrong answer", path: "/v1/customers", body: goodCreate, status: 200, answer: strings.Replace(goodCus, `"created":1`, `"created":"x"`, 1), want: []string{"/created"}},
		{name: "unknown field", path: "/v1/customers", body: goodCreate, status: 200, answer: strings.Replace(goodCus, `"email"`, `"emial"`, 1), want: []string{"/emial"}},
		{name: "wrong error", path: "/v1/customers", body: goodCreate, status: 404, answer: `{"error":{"type":"gone"}}`, want: []string{"/error/type"}},
		{name: "no JSON", path: "/v1/customers", body: goodCreate, status: 200, answer: "ok", want: []string{"not JSON"}},
		{name: "unknown path", path: "/v1/nothing", status: 404, answer: goodError, want: []string{"/v1/nothing"}},
		{name: "not Stripe's", path: "/_sandbox/x", status: 200, answer: "x"},
		{name: "hosted page", method: "GET", path: "/c/pay/cs_1", status: 200, answer: "<html>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := &spy{TB: t}
			h := v.Middleware(s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if b, err := io.ReadAll(r.Body); err != nil || string(b) != tc.body {
					t.Errorf("handler got body %q, %v", b, err)
				}
				if r.Header.Get("Authorization") != "Bearer sk_test_acct_own" || r.Header.Get(SkipRequestHeader) != "" {
					t.Errorf("handler got headers %v", r.Header)
				}
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.answer)
			}))
			method := tc.method
			if method == "" {
				method = http.MethodPost
			}
			req := httptest.NewRequest(method, tc.path, strings.NewReader(tc.body))
			req.Header.Set("Authorization", "Bearer sk_test_acct_own")
			req.Header.Set("Content-Type", form)
			if tc.version != "" {
				req.Header.Set("Stripe-Version", tc.version)
			}
			if tc.skip != "" {
				req.Header.Set(SkipRequestHeader, tc.skip)
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, req)
			if rec.Code != tc.status || rec.Body.String() != tc.answer {
				t.Errorf("the answer was changed: %d %s", rec.Code, rec.Body)
			}
			s.expect(t, tc.want...)
		})
	}
}

// A request without a key is refused by Stripe, so it is reported.
func TestKeyIsNeeded(t *testing.T) {
	t.Parallel()
	s := &spy{TB: t}
	h := Load(t).Middleware(s, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, goodCus) }))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/v1/customers/cus_1", nil))
	s.expect(t, "Please authenticate")
}

// An event is judged twice: its envelope, and the object in it by that object's schema.
func TestEventReports(t *testing.T) {
	t.Parallel()
	v := Load(t)
	event := func(version, object string) []byte {
		return []byte(`{"id":"evt_1","object":"event","api_version":` + version + `,"created":1,"livemode":false,"pending_webhooks":1,` +
			`"request":{"id":null,"idempotency_key":null},"type":"customer.created","data":{"object":` + object + `}}`)
	}
	for _, tc := range []struct {
		body []byte
		want []string
	}{
		{event(`"2023-10-16"`, goodCus), nil},
		{event(`7`, goodCus), []string{"/api_version"}},
		{event(`"2023-10-16"`, `{"object":"customer"}`), []string{"/id", "/created", "/livemode"}},
		{event(`"2023-10-16"`, `{"object":"refound"}`), []string{"refound"}},
		{[]byte(`{`), []string{"not JSON"}},
	} {
		s := &spy{TB: t}
		v.Event(s, tc.body)
		if len(tc.want) != len(s.faults) {
			t.Errorf("%s: reports %q, want %q", tc.body, s.faults, tc.want)
			continue
		}
		for _, part := range tc.want {
			if !strings.Contains(strings.Join(s.faults, "\n"), part) {
				t.Errorf("%s: reports %q, want %q", tc.body, s.faults, part)
			}
		}
	}
}

// A judge that can't be built, or isn't there, is an error that says what was tried:
// a suite that silently skipped it would prove nothing.
func TestNoJudgeIsAnError(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "tools", "stripemock")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"go.mod": "module broken\n", "main.go": "package main\n\nfunc main() { broken }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := start(root); err == nil || !strings.Contains(err.Error(), "go build") || !strings.Contains(err.Error(), "broken") {
		t.Errorf("broken build: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() { println(\"no port\") }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := start(root); err == nil || !strings.Contains(err.Error(), "no port") {
		t.Errorf("a judge that does not listen: %v", err)
	}
	if _, err := connect(&judge{base: "http://127.0.0.1:1", stderr: &head{}}); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("nobody there: %v", err)
	}
}
