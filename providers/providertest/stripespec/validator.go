package stripespec

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/providers/providertest/exchange"
)

// SkipRequestHeader is a header that, set to any value, says that this request is wrong
// on purpose: Middleware then validates only the answer to it. It is removed before
// the request goes on.
const SkipRequestHeader = "Stripespec-Skip-Request"

// maxBody bounds what is read of one request; larger requests are a test's mistake.
const maxBody = 4 << 20

// Validator checks HTTP exchanges and events against Stripe's OpenAPI document.
// It is safe for concurrent use.
type Validator struct{ judge *judge }

// Load finds the validator: the one at TRIFECTA_STRIPEMOCK=HOST:PORT if that is set;
// otherwise tools/stripemock is built and started once per process, and dies with it.
// Where neither works, for example without a network to download stripe-mock, the
// test fails with the reason.
func Load(tb testing.TB) *Validator {
	tb.Helper()
	j, err := sharedJudge()
	if err != nil {
		tb.Fatalf("stripespec: Stripe's validator can't be used: %v", err)
	}
	return &Validator{judge: j}
}

// Middleware validates every exchange under /v1 that passes through: first the
// request, by stripe-mock, then the answer, errors included. Violations are reported
// with tb.Errorf; the exchange itself goes on and is not changed.
//
// Not judged: hosted pages, control routes, and the answer on a connection that the
// handler cut. The secret key isn't judged either, since stripe-mock refuses keys that
// a stand-in must take; a request without any key is refused.
func (v *Validator) Middleware(tb testing.TB, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/") {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			tb.Errorf("stripespec: %s %s: reading the request: %v", r.Method, r.URL.Path, err)
			http.Error(w, "unreadable request", http.StatusBadRequest)
			return
		}
		skip := r.Header.Get(SkipRequestHeader) != ""
		r.Header.Del(SkipRequestHeader)
		// A client that hangs up does not make its request or our answer right.
		ctx := context.WithoutCancel(r.Context())
		if !skip {
			faults, err := v.judge.request(ctx, r, body)
			v.report(tb, r.Method+" "+r.URL.Path+": request "+strconv.Quote(r.URL.RawQuery+" "+string(body)), faults, err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		rec := &exchange.Recorder{ResponseWriter: w}
		next.ServeHTTP(rec, r)
		if rec.Hijacked {
			return
		}
		faults, err := v.judge.answer(ctx, r, rec)
		v.report(tb, fmt.Sprintf("%s %s: answer %d", r.Method, r.URL.Path, rec.Code()), faults, err)
	})
}

// Event validates an event as a webhook carries it, and the object inside it, each
// against its own schema.
func (v *Validator) Event(tb testing.TB, body []byte) {
	tb.Helper()
	var ev struct {
		ID, Type string
		Data     struct{ Object json.RawMessage }
	}
	if err := json.Unmarshal(body, &ev); err != nil {
		tb.Errorf("stripespec: event is not JSON: %v: %s", err, body)
		return
	}
	for _, part := range []struct {
		what, schema string
		raw          []byte
	}{{"envelope", "event", body}, {"object", "", ev.Data.Object}} {
		faults, err := v.judge.object(context.Background(), part.schema, part.raw)
		v.report(tb, fmt.Sprintf("event %s %s: %s", ev.Type, ev.ID, part.what), faults, err)
	}
}

func (v *Validator) report(tb testing.TB, what string, faults []string, err error) {
	if err != nil {
		tb.Errorf("stripespec: %s: the judge failed: %v %s", what, err, v.judge.stderr)
	}
	for _, f := range faults {
		tb.Errorf("stripespec: %s: %s", what, f)
	}
}

// request repeats a request to stripe-mock and returns why it was refused.
func (j *judge) request(ctx context.Context, r *http.Request, body []byte) ([]string, error) {
	out, err := http.NewRequestWithContext(ctx, r.Method, j.base+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("repeat the request: %w", err)
	}
	out.Header = r.Header.Clone()
	out.Header.Del("Connection")
	out.Header.Del("Accept-Encoding") // the client's own; ours is the transport's business
	if out.Header.Get("Authorization") != "" {
		out.Header.Set("Authorization", "Bearer sk_test_123")
	}
	status, answer, err := j.do(out)
	if err != nil || status < http.StatusBadRequest {
		return nil, err
	}
	var refusal struct{ Error struct{ Message string } }
	if unreadable := json.Unmarshal(answer, &refusal); unreadable != nil || refusal.Error.Message == "" {
		return []string{fmt.Sprintf("stripe-mock answered %d %s", status, answer)}, nil //nolint:nilerr // then the answer itself is the reason
	}
	return []string{refusal.Error.Message}, nil
}

// answer asks whether what was recorded is an answer of that operation. Errors have
// one schema for all operations, so that they can be judged where there is none.
func (j *judge) answer(ctx context.Context, r *http.Request, rec *exchange.Recorder) ([]string, error) {
	if rec.Code() >= http.StatusBadRequest {
		return j.object(ctx, "error", rec.Body.Bytes())
	}
	q := url.Values{"method": {r.Method}, "path": {r.URL.Path}, "status": {strconv.Itoa(rec.Code())}}
	return j.ask(ctx, "/_validate_response?"+q.Encode(), rec.Body.Bytes())
}

// object asks whether an object fits a schema; schema "" is the one it names itself.
func (j *judge) object(ctx context.Context, schema string, raw []byte) ([]string, error) {
	return j.ask(ctx, "/_validate_object?"+url.Values{"schema": {schema}}.Encode(), raw)
}

// ask puts a question to the judge and returns the faults it sees.
func (j *judge) ask(ctx context.Context, path string, raw []byte) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, j.base+path, bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	status, body, err := j.do(req)
	if err != nil {
		return nil, err
	}
	var verdict struct {
		Valid   bool
		Reasons []string
	}
	if err := json.Unmarshal(body, &verdict); err != nil {
		return nil, fmt.Errorf("ask: HTTP %d %s: %w", status, body, err)
	}
	if !verdict.Valid && len(verdict.Reasons) == 0 {
		return nil, fmt.Errorf("ask: HTTP %d %s has neither approval nor reasons", status, body)
	}
	return verdict.Reasons, nil
}

// do sends a request and reads the answer to its end, so that the connection is used
// again.
func (j *judge) do(req *http.Request) (int, []byte, error) {
	resp, err := j.client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("reach the judge: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("read the judge's answer: %w", err)
	}
	return resp.StatusCode, body, nil
}
