package paypalspec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"

	"github.com/trifecta-pay/trifecta/providers/providertest/exchange"
)

// SkipRequestHeader is a header that, set to any value, says that this request is wrong
// on purpose: Middleware then validates only the answer to it. It is removed before
// the request goes on.
const SkipRequestHeader = "Paypalspec-Skip-Request"

// maxBody bounds what is read of one request; larger requests are a test's mistake.
const maxBody = 4 << 20

// Validator checks HTTP exchanges against PayPal's OpenAPI documents. The zero
// Validator has no documents and lets everything pass.
// It is safe for concurrent use.
type Validator struct {
	tables []table // none: no documents
}

// Load reads PayPal's documents from ../shared/specs/paypal beside the repository
// root, once per process. A document that exists but cannot be used fails the test.
//
// Where that folder does not exist the test runs all the same, says so in its log, and
// nothing in it is held to the documents: what it proves of money is too much to lose
// for that. TestDocuments is the one that is skipped there.
func Load(tb testing.TB) *Validator {
	tb.Helper()
	dir, err := findSpecs()
	if errors.Is(err, fs.ErrNotExist) {
		tb.Logf("paypalspec: nothing is held to PayPal's OpenAPI documents: %v", err)
		return &Validator{}
	}
	if err != nil {
		tb.Fatalf("paypalspec: %v", err)
	}
	v, err := loadOnce(dir)
	if err != nil {
		tb.Fatalf("paypalspec: %v", err)
	}
	return v
}

// Middleware validates every exchange that passes through: the request (unknown
// fields are refused, because PayPal's documents would accept a misspelt field) and
// the answer. Violations are reported with tb.Errorf; the exchange itself goes on.
//
// Not judged: anything without documents; the OAuth token call and the certificate download, which no document
// covers; everything outside /v1 and /v2; 429 and 5xx answers, which stand for a
// broken provider; connections that the handler cut; answers that PayPal gives and its
// documents do not have.
func (v *Validator) Middleware(tb testing.TB, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		skip := r.Header.Get(SkipRequestHeader) != ""
		r.Header.Del(SkipRequestHeader)
		if len(v.tables) == 0 || !covered(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			tb.Errorf("paypalspec: %s %s: reading the request: %v", r.Method, r.URL.Path, err)
			http.Error(w, "unreadable request", http.StatusBadRequest)
			return
		}
		in, err := v.input(r, body)
		if err != nil {
			tb.Errorf("paypalspec: %s %s: %v", r.Method, r.URL.Path, err)
		} else if !skip {
			report(tb, r, "request", checkRequest(r.Context(), in, body))
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		rec := &exchange.Recorder{ResponseWriter: w}
		next.ServeHTTP(rec, r)
		if in == nil || rec.Hijacked || rec.Status == 0 && rec.Body.Len() == 0 || broken(rec.Status) || undocumented(r, rec) {
			return
		}
		report(tb, r, fmt.Sprintf("answer %d", rec.Code()), checkAnswer(r.Context(), in, rec))
	})
}

// covered says whether PayPal publishes a document for this path's family.
func covered(path string) bool {
	if strings.HasPrefix(path, "/v1/oauth2/") || strings.HasPrefix(path, "/v1/notifications/certs/") {
		return false
	}
	return strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v2/")
}

// broken says whether an answer stands for a provider in trouble. PayPal's documents
// leave those bodies open, and proxies in front of the API write their own.
func broken(status int) bool {
	return status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
}

// undocumented knows the one refusal that PayPal's callers report and its documents
// lack: a search of transactions that begins after the latest refresh.
func undocumented(r *http.Request, rec *exchange.Recorder) bool {
	return r.URL.Path == "/v1/reporting/transactions" && rec.Status == http.StatusNotFound &&
		bytes.Contains(rec.Body.Bytes(), []byte(`"Data for the given start date is not available."`))
}

func report(tb testing.TB, r *http.Request, what string, faults []string) {
	for _, f := range faults {
		tb.Errorf("paypalspec: %s %s: %s: %s", r.Method, r.URL.Path, what, f)
	}
}

// input finds the operation that a request addresses and prepares its validation.
// The request is copied, because validation consumes bodies.
func (v *Validator) input(r *http.Request, body []byte) (*openapi3filter.RequestValidationInput, error) {
	clone := r.Clone(r.Context())
	clone.Body = io.NopCloser(bytes.NewReader(body))
	clone.ContentLength = int64(len(body))
	route, params, err := v.route(r.Method, r.URL.EscapedPath())
	if err != nil {
		return nil, err
	}
	return &openapi3filter.RequestValidationInput{
		Request: clone, PathParams: params, Route: route, Options: options(),
	}, nil
}

func checkRequest(ctx context.Context, in *openapi3filter.RequestValidationInput, body []byte) []string {
	var faults []string
	if err := openapi3filter.ValidateRequest(ctx, in); err != nil {
		faults = append(faults, err.Error())
	}
	op := in.Route.Operation
	if op.RequestBody == nil || op.RequestBody.Value == nil || len(bytes.TrimSpace(body)) == 0 {
		return faults
	}
	if mt := op.RequestBody.Value.Content.Get("application/json"); mt != nil && isJSON(in.Request.Header) {
		faults = append(faults, unknownFields(body, mt.Schema)...)
	}
	return faults
}

func checkAnswer(ctx context.Context, in *openapi3filter.RequestValidationInput, rec *exchange.Recorder) []string {
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: rec.Code(), Header: rec.Header(), Options: options(),
	}
	out.SetBodyBytes(rec.Body.Bytes())
	var faults []string
	if err := openapi3filter.ValidateResponse(ctx, out); err != nil {
		faults = append(faults, err.Error())
	}
	ref := in.Route.Operation.Responses.Status(rec.Code())
	if ref == nil || ref.Value == nil || rec.Code() >= http.StatusBadRequest {
		return faults
	}
	if mt := ref.Value.Content.Get("application/json"); mt != nil && rec.Body.Len() > 0 {
		faults = append(faults, unknownFields(rec.Body.Bytes(), mt.Schema)...)
	}
	return faults
}

func isJSON(h http.Header) bool {
	return strings.HasPrefix(h.Get("Content-Type"), "application/json")
}

// options are made anew for each use, because kin-openapi's Options hold state.
// SkipSettingDefaults: otherwise validation changes the request. ReadOnly is not
// checked on requests: PayPal marks whole bodies of its own examples read-only.
func options() *openapi3filter.Options {
	o := &openapi3filter.Options{
		SkipSettingDefaults: true, ExcludeReadOnlyValidations: true, MultiError: true,
		IncludeResponseStatus: true, RegexCompiler: compileRegex,
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
	}
	o.WithCustomSchemaErrorFunc(func(e *openapi3.SchemaError) string {
		return fmt.Sprintf("/%s: %s", strings.Join(e.JSONPointer(), "/"), e.Reason)
	})
	return o
}

// compileRegex compiles ECMA patterns of PayPal's documents with Go's RE2: the
// look-ahead is dropped and one malformed character range is repaired.
func compileRegex(expr string) (openapi3.RegexMatcher, error) {
	expr = strings.ReplaceAll(expr, `(?!\d+$)`, "")
	expr = strings.ReplaceAll(expr, `_-.`, `_.-`)
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", expr, err)
	}
	return re, nil
}
