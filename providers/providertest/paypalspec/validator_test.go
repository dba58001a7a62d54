package paypalspec

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// spy collects what Middleware reports instead of failing this test.
type spy struct {
	testing.TB
	faults []string
}

func (s *spy) Errorf(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// Guards the validator's own promise: it can fail. A misspelt request field at any
// depth, a wrong answer, an unknown path are reported; a right exchange is not. This is
// the one test that is skipped where PayPal's documents aren't.
func TestDocuments(t *testing.T) {
	t.Parallel()
	if _, err := findSpecs(); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("PayPal's OpenAPI documents are not here, so that no test of this run holds an exchange to them: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	v := Load(t)
	const create, order = "/v2/checkout/orders", `{"id":"5O190127TN364715T","status":"CREATED"}`
	good := `{"intent":"CAPTURE","purchase_units":[{"amount":{"currency_code":"USD","value":"10.00"}}]}`
	for _, tc := range []struct {
		name, path, body, skip string
		status                 int
		answer                 string
		want                   []string // a part of each expected report
	}{
		{name: "right", path: create, body: good, status: 201, answer: order},
		{
			name: "typo", path: create, body: strings.Replace(good, `"amount"`, `"custom_idd":"x","amount"`, 1),
			status: 201, answer: order, want: []string{"/purchase_units/0/custom_idd: unknown field"},
		},
		{
			name: "typo on purpose", path: create, skip: "yes", status: 201, answer: order,
			body: strings.Replace(good, `"amount"`, `"custom_idd":"x","amount"`, 1),
		},
		{name: "missing", path: create, body: `{"intent":"CAPTURE"}`, status: 201, answer: order, want: []string{"purchase_units"}},
		{name: "bad status", path: create, body: good, status: 201, answer: `{"status":"NEW"}`, want: []string{"answer 201"}},
		{
			name: "unknown answer field", path: create, body: good, status: 201, answer: `{"id":"X","colour":"red"}`,
			want: []string{"/colour: unknown field"},
		},
		{name: "no such operation", path: "/v2/payments/refund/1", body: "", status: 200, answer: `{}`, want: []string{"no PayPal document"}},
		{name: "broken provider", path: create, body: good, status: 503, answer: `<html>`},
		{name: "not covered", path: "/v1/oauth2/token", body: "x", status: 200, answer: `x`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := &spy{TB: t}
			h := v.Middleware(s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if b, err := io.ReadAll(r.Body); err != nil || string(b) != tc.body {
					t.Errorf("handler got body %q, %v", b, err)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.answer)
			}))
			req := httptest.NewRequest(http.MethodPost, tc.path, strings.NewReader(tc.body))
			req.Header.Set("Content-Type", "application/json")
			if tc.skip != "" {
				req.Header.Set(SkipRequestHeader, tc.skip)
			}
			h.ServeHTTP(httptest.NewRecorder(), req)
			if len(s.faults) != len(tc.want) {
				t.Fatalf("reports = %q, want %d", s.faults, len(tc.want))
			}
			for i, part := range tc.want {
				if !strings.Contains(s.faults[i], part) {
					t.Errorf("report %q does not mention %q", s.faults[i], part)
				}
			}
		})
	}
}

// Guards that a clone without PayPal's documents proves the rest: every exchange passes
// unread and unchanged, but for the header, which is a word to the validator alone.
func TestWithoutDocuments(t *testing.T) {
	t.Parallel()
	s := &spy{TB: t}
	h := new(Validator).Middleware(s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err != nil || string(b) != "no JSON" || r.Header.Get(SkipRequestHeader) != "" {
			t.Errorf("handler got body %q, %v, headers %v", b, err, r.Header)
		}
		w.WriteHeader(http.StatusTeapot)
	}))
	req := httptest.NewRequest(http.MethodPost, "/v2/checkout/orders", strings.NewReader("no JSON"))
	req.Header.Set(SkipRequestHeader, "yes")
	got := httptest.NewRecorder()
	h.ServeHTTP(got, req)
	if got.Code != http.StatusTeapot || len(s.faults) > 0 {
		t.Errorf("answered %d, reports %q", got.Code, s.faults)
	}
}
