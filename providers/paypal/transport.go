package paypal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"sync/atomic"
	"time"

	plutov "github.com/plutov/paypal/v4"

	"github.com/trifecta-pay/trifecta/providers"
)

// maxAnswer bounds what is read of one answer: a page of 500 transactions is well
// below it.
const maxAnswer = 8 << 20

// maxKey is the longest PayPal-Request-Id we send: PayPal once cut them to 38.
const maxKey = 38

// idPattern is what may stand in a path. The SDK and we put ids into paths as they
// are, so anything else could address another object.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// call is one request to PayPal.
type call struct {
	op     string // the contract's operation, for errors and mock answers
	method string
	path   string // with its query
	key    string // PayPal-Request-Id, empty for reads
	body   []byte // sent byte for byte; nil for none
	kind   string // media type of the body; empty: JSON
}

// answer is what came back of one call. Status 0 means that nothing did.
type answer struct {
	status int
	header http.Header
	body   []byte
	broken error // why the body is not whole
	cause  error // why there is no answer
	unsent bool  // nothing of the request can have left this process
}

// date is the provider's time of this answer, zero if it said none.
func (a *answer) date() time.Time {
	if a == nil || a.header == nil {
		return time.Time{}
	}
	t, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// client sends calls with a token and keeps everything an answer tells.
type client struct {
	base   string
	plutov *plutov.Client
	tokens *tokens
	mock   func(op string) string
	now    func() time.Time

	reports, cases service
}

// newHTTPClient makes the client of all calls out of a given one, or of nothing. It
// follows no redirect and records each answer whole.
func newHTTPClient(given *http.Client) *http.Client {
	out := &http.Client{Timeout: 30 * time.Second}
	if given != nil {
		*out = *given
	}
	if out.Transport == nil {
		out.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 32,
			IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		}
	}
	out.Transport = recorder{out.Transport}
	out.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return out
}

func newClient(o Options, base string, transport *http.Client) (*client, error) {
	sdk, err := plutov.NewClient(o.ClientID, o.ClientSecret, base)
	if err != nil {
		return nil, fmt.Errorf("paypal: account %s: %w", o.Account, err)
	}
	sdk.SetHTTPClient(transport)
	c := &client{base: base, plutov: sdk, mock: o.MockResponse, now: o.Now}
	c.reports.path, c.reports.code = reportsPath, "reports_rest"
	c.cases.path, c.cases.code = disputesPath, "disputes_rest"
	c.tokens = &tokens{now: o.Now, inline: o.Inline, fetch: func(ctx context.Context) (string, time.Duration, error) {
		return fetchToken(ctx, o, base, transport)
	}}
	return c, nil
}

// recorder keeps what an answer really was, in the *answer its request carries. The
// SDK loses status, headers and body of anything it can't decode.
type recorder struct{ next http.RoundTripper }

type answerKey struct{}

// RoundTrip reads the whole answer, within a limit.
func (r recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	into, ok := req.Context().Value(answerKey{}).(*answer)
	if err != nil || !ok {
		return resp, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = fmt.Errorf("paypal: the answer is longer than %d bytes", maxAnswer)
	}
	into.status, into.header, into.body, into.broken = resp.StatusCode, resp.Header, body, err
	if cerr := resp.Body.Close(); err == nil {
		into.broken = cerr
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		body = nil // the SDK would try to decode it; we do
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// fetchToken asks for an access token. A throw-away SDK client does it, because the
// SDK's GetAccessToken writes into its client without a lock.
func fetchToken(ctx context.Context, o Options, base string, transport *http.Client) (string, time.Duration, error) {
	sdk, err := plutov.NewClient(o.ClientID, o.ClientSecret, base)
	if err != nil {
		return "", 0, fmt.Errorf("paypal: token: %w", err)
	}
	sdk.SetHTTPClient(transport)
	got := &answer{}
	token, err := sdk.GetAccessToken(context.WithValue(ctx, answerKey{}, got))
	c := call{op: "token", method: http.MethodPost, path: "/v1/oauth2/token"}
	switch {
	case got.status == http.StatusUnauthorized, got.status == http.StatusForbidden, got.status == http.StatusBadRequest:
		return "", 0, newError(providers.Misconfigured, c, got)
	case err != nil, got.broken != nil, token == nil, token.Token == "":
		// The call that needs the token was never sent, whatever happened to this one.
		e := newError(providers.NotDone, c, got)
		if e.Code == "" {
			e.Code = "token_unavailable"
		}
		e.RetryAfter = max(e.RetryAfter, time.Second)
		e.Cause = errors.Join(err, got.broken)
		return "", 0, e
	}
	life := time.Duration(token.ExpiresIn) * time.Second
	if life <= 0 {
		life = time.Minute // PayPal always says; a token without a life is used briefly
	}
	return token.Token, life, nil
}

// do sends one call. A refused token is renewed once. The answer is there even with
// an error, as far as there was one; the error is a *providers.Error.
func (c *client) do(ctx context.Context, r call) (*answer, error) {
	if len(r.key) > maxKey {
		return nil, &providers.Error{Class: providers.Refused, Provider: Provider, Op: r.op, Code: "key_too_long"}
	}
	stale := ""
	for {
		token, err := c.tokens.get(ctx, stale)
		if err != nil {
			return nil, c.noToken(r, err)
		}
		got := c.send(ctx, r, token)
		if got.status == http.StatusUnauthorized && stale == "" {
			stale = token
			continue
		}
		if e := classify(r, got, c.now()); e != nil {
			return got, e
		}
		return got, nil
	}
}

// noToken: without a token nothing was sent.
func (c *client) noToken(r call, err error) error {
	var e *providers.Error
	if errors.As(err, &e) {
		named := *e
		named.Op = r.op
		return &named
	}
	return &providers.Error{
		Class: providers.NotDone, Provider: Provider, Op: r.op, Code: "token_unavailable", RetryAfter: time.Second, Cause: err,
	}
}

// send makes one HTTP exchange.
func (c *client) send(ctx context.Context, r call, token string) *answer {
	got := &answer{}
	if err := ctx.Err(); err != nil {
		got.cause, got.unsent = err, true
		return got
	}
	var dialing, connected atomic.Bool
	ctx = httptrace.WithClientTrace(context.WithValue(ctx, answerKey{}, got), &httptrace.ClientTrace{
		GetConn: func(string) { dialing.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, body)
	if err != nil {
		got.cause, got.unsent = err, true
		return got
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Prefer", "return=representation")
	if r.kind != "" {
		req.Header.Set("Content-Type", r.kind)
	}
	if r.key != "" {
		req.Header.Set("PayPal-Request-Id", r.key)
	}
	if c.mock != nil {
		if issue := c.mock(r.op); issuePattern.MatchString(issue) {
			req.Header.Set("PayPal-Mock-Response", `{"mock_application_codes":"`+issue+`"}`)
		}
	}
	var copied bytes.Buffer // an io.Writer makes the SDK drain the body and decode nothing
	err = c.plutov.Send(req, &copied)
	if got.status == 0 {
		got.cause = err
		got.unsent = (dialing.Load() && !connected.Load()) || neverSent(err)
	}
	return got
}

// read sends a GET and decodes its answer.
func (c *client) read(ctx context.Context, op, path string, into any) (*answer, error) {
	r := call{op: op, method: http.MethodGet, path: path}
	aside := c.asideOf(path)
	if aside != nil {
		if left := aside.left(c.now()); left > 0 {
			return nil, aside.resting(op, left)
		}
	}
	got, err := c.do(ctx, r)
	if err != nil {
		if e := (*providers.Error)(nil); aside != nil && errors.As(err, &e) && got != nil {
			aside.heard(e, c.now())
		}
		return got, err
	}
	// Nothing that we read is an object without a member, a list of nothing neither: it
	// has its links. Taken for one, it would hide what is listed.
	if bytes.Equal(bytes.TrimSpace(got.body), []byte("{}")) {
		return got, c.unreadable(op, got, nil)
	}
	return got, c.decode(r, got, into)
}

// write sends a POST with a JSON body and decodes its answer, unless into is nil.
func (c *client) write(ctx context.Context, op, path, key string, body, into any) (*answer, error) {
	r := call{op: op, method: http.MethodPost, path: path, key: key}
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, &providers.Error{Class: providers.Refused, Provider: Provider, Op: op, Code: "not_encodable", Cause: err}
		}
		r.body = raw
	}
	got, err := c.do(ctx, r)
	if err != nil || into == nil {
		return got, err
	}
	return got, c.decode(r, got, into)
}

// decode reads a successful answer. One that can't be read leaves the outcome unknown.
func (c *client) decode(r call, got *answer, into any) error {
	if err := json.Unmarshal(got.body, into); err != nil {
		return c.unreadable(r.op, got, err)
	}
	return nil
}

// unreadable is a success whose content makes no sense: whatever was asked for may
// have happened.
func (c *client) unreadable(op string, got *answer, cause error) *providers.Error {
	e := newError(providers.Unknown, call{op: op}, got)
	e.Code, e.Cause = "unreadable_answer", cause
	return e
}

// checkID refuses an id that must not stand in a path.
func checkID(op, id string) error {
	if idPattern.MatchString(id) {
		return nil
	}
	return &providers.Error{Class: providers.Refused, Provider: Provider, Op: op, Code: "bad_id"}
}
