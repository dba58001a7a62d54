// Package apitest holds tests' HTTP traffic against the published OpenAPI
// document: every request that a test does not mark as deliberately bad, and
// every answer, problems and pages included. It is for tests only and must not
// be linked into the product.
package apitest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/trifecta-pay/trifecta/gateway/httpapi"
)

// BadHeader marks a request that breaks the contract on purpose: it is not
// validated, its answer is. The header does not reach the handler.
const BadHeader = "Trifecta-Test-Bad"

// Validator knows the document, with every object closed: what an answer says
// beyond the document is a fault here, while the published schemas stay open for
// what later versions add.
type Validator struct{ doc *openapi3.T }

// New loads the document.
func New() (*Validator, error) {
	doc, err := httpapi.Document()
	if err != nil {
		return nil, err
	}
	seen := map[*openapi3.Schema]bool{}
	for _, ref := range doc.Components.Schemas {
		closeObjects(ref, seen)
	}
	return &Validator{doc: doc}, nil
}

// closeObjects forbids undescribed members wherever a schema describes some.
func closeObjects(ref *openapi3.SchemaRef, seen map[*openapi3.Schema]bool) {
	if ref == nil || ref.Value == nil || seen[ref.Value] {
		return
	}
	s := ref.Value
	seen[s] = true
	if len(s.Properties) > 0 && s.AdditionalProperties.Has == nil && s.AdditionalProperties.Schema == nil {
		closed := false
		s.AdditionalProperties.Has = &closed
	}
	for _, p := range s.Properties {
		closeObjects(p, seen)
	}
	for _, p := range s.AnyOf {
		closeObjects(p, seen)
	}
	closeObjects(s.Items, seen)
}

// Validate wraps a handler: faults of the traffic through it fail the test.
func Validate(tb testing.TB, next http.Handler) http.Handler {
	tb.Helper()
	v, err := New()
	if err != nil {
		tb.Fatal(err)
	}
	return v.Wrap(tb, next)
}

// Wrap is Validate with a document that is loaded already.
func (v *Validator) Wrap(tb testing.TB, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bad := r.Header.Get(BadHeader) != ""
		r.Header.Del(BadHeader)
		in, body, err := v.input(r)
		if err != nil { // not in the document: only refusals may come of it
			rec := &recorder{ResponseWriter: w}
			next.ServeHTTP(rec, r)
			if rec.code() < http.StatusBadRequest && rec.code() != http.StatusOK {
				tb.Errorf("apitest: %s %s: %v, and it answers %d", r.Method, r.URL.Path, err, rec.code())
			}
			return
		}
		if !bad {
			if err := openapi3filter.ValidateRequest(r.Context(), in); err != nil {
				tb.Errorf("apitest: %s %s: request: %v", r.Method, r.URL.Path, err)
			}
		}
		r.Body = io.NopCloser(body)
		rec := &recorder{ResponseWriter: w}
		next.ServeHTTP(rec, r)
		if err := checkAnswer(in, rec); err != nil {
			tb.Errorf("apitest: %s %s: answer %d: %v\n%s", r.Method, r.URL.Path, rec.code(), err, rec.body.String())
		}
	})
}

// input finds the request's operation and keeps its body for both readers.
func (v *Validator) input(r *http.Request) (*openapi3filter.RequestValidationInput, *bytes.Reader, error) {
	route, params, err := v.route(r)
	if err != nil {
		return nil, nil, err
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("the body can't be read: %w", err)
	}
	clone := r.Clone(r.Context())
	clone.Body = io.NopCloser(bytes.NewReader(raw))
	return &openapi3filter.RequestValidationInput{
		Request: clone, PathParams: params, Route: route, Options: &openapi3filter.Options{
			MultiError: true, IncludeResponseStatus: true, SkipSettingDefaults: true, RejectWhenRequestBodyNotSpecified: true,
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
		},
	}, bytes.NewReader(raw), nil
}

func (v *Validator) route(r *http.Request) (*routers.Route, map[string]string, error) {
	for _, path := range v.doc.Paths.InMatchingOrder() {
		params, ok := match(path, r.URL.EscapedPath())
		if !ok {
			continue
		}
		item := v.doc.Paths.Value(path)
		if op := item.GetOperation(r.Method); op != nil {
			return &routers.Route{Spec: v.doc, Path: path, PathItem: item, Method: r.Method, Operation: op}, params, nil
		}
	}
	return nil, nil, fmt.Errorf("the document has no such operation")
}

// match compares a path of the document with a request's, segment by segment.
func match(path, escaped string) (map[string]string, bool) {
	want, got := strings.Split(path, "/"), strings.Split(escaped, "/")
	if len(want) != len(got) {
		return nil, false
	}
	params := map[string]string{}
	for i, segment := range want {
		value, err := url.PathUnescape(got[i])
		switch {
		case err != nil || value == "" && segment != "":
			return nil, false
		case strings.HasPrefix(segment, "{"):
			params[strings.Trim(segment, "{}")] = value
		case segment != value:
			return nil, false
		}
	}
	return params, true
}

func checkAnswer(in *openapi3filter.RequestValidationInput, rec *recorder) error {
	options := *in.Options
	if kind := rec.Header().Get("Content-Type"); strings.HasPrefix(kind, "text/html") {
		options.ExcludeResponseBody = true // there is no schema for pages, but they must be announced
		ref := in.Route.Operation.Responses.Status(rec.code())
		if ref == nil {
			ref = in.Route.Operation.Responses.Default()
		}
		if ref == nil || ref.Value.Content.Get(kind) == nil {
			return fmt.Errorf("the document announces no %s", kind)
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: rec.code(), Header: rec.Header(), Options: &options,
	}
	out.SetBodyBytes(rec.body.Bytes())
	return openapi3filter.ValidateResponse(in.Request.Context(), out)
}

// recorder passes an answer on and keeps a copy of it.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// WriteHeader keeps the status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write keeps what is written.
func (r *recorder) Write(p []byte) (int, error) {
	r.body.Write(p)
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
