package paypal

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/providers"
)

func asError(err error, into **providers.Error) bool { return errors.As(err, into) }

func issueJSON(issue string) string {
	return `{"name":"UNPROCESSABLE_ENTITY","message":"` + canaryMessage + `","debug_id":"b1","details":[{"issue":"` + issue + `","description":"` + canaryMessage + `"}]}`
}

const canaryMessage = "canary-message-from-paypal-with-buyer@example.com"

// TestClassify guards I5, row by row: what each answer says about the money. Only a
// clear answer of PayPal's own is a refusal; everything unclear stays unknown.
func TestClassify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		body   string
		header map[string]string
		class  providers.Class // empty: success
		code   string
		check  func(*providers.Error) bool
	}{
		{name: "created", status: 201, body: `{}`},
		{name: "no content", status: 204},
		{name: "empty 200 is a success of the call", status: 200},
		{name: "redirect", status: 302, class: providers.Unknown},
		{name: "bad request", status: 400, body: issueJSON("MISSING_REQUIRED_PARAMETER"), class: providers.Refused, code: "missing_required_parameter"},
		{name: "name without details", status: 400, body: `{"name":"INVALID_REQUEST","message":"x"}`, class: providers.Refused, code: "invalid_request"},
		{name: "permission", status: 403, body: issueJSON("PERMISSION_DENIED"), class: providers.Misconfigured, code: "permission_denied"},
		{name: "a proxy's 403", status: 403, body: "<html>denied</html>", class: providers.Unknown, code: "not_paypals_answer"},
		{name: "not found", status: 404, body: issueJSON("INVALID_RESOURCE_ID"), class: providers.NotFound, code: "invalid_resource_id"},
		{name: "a proxy's 404 is not PayPal's", status: 404, body: "<html>nginx</html>", class: providers.Unknown},
		{name: "an empty 404", status: 404, class: providers.Unknown},
		{name: "method", status: 405, body: `{"name":"METHOD_NOT_SUPPORTED"}`, class: providers.Refused},
		{name: "request timeout", status: 408, body: `{"name":"X"}`, class: providers.Unknown},
		{name: "conflict", status: 409, body: issueJSON("PREVIOUS_REQUEST_IN_PROGRESS"), class: providers.Unknown},
		{
			name: "conflict with a wait", status: 409, body: `{}`, header: map[string]string{"Retry-After": "7"}, class: providers.Unknown,
			check: func(e *providers.Error) bool { return e.RetryAfter == 7*time.Second },
		},
		{
			name: "declined", status: 422, body: issueJSON("INSTRUMENT_DECLINED"), class: providers.Declined, code: "instrument_declined",
			check: func(e *providers.Error) bool {
				return e.DeclineCode == "instrument_declined" && e.RequestID == "f1d2e3"
			},
		},
		{name: "payer action", status: 422, body: issueJSON("PAYER_ACTION_REQUIRED"), class: providers.Declined},
		{name: "compliance", status: 422, body: issueJSON("COMPLIANCE_VIOLATION"), class: providers.Declined},
		{name: "refused", status: 422, body: issueJSON("TRANSACTION_REFUSED"), class: providers.Declined},
		{name: "cannot pay", status: 422, body: issueJSON("PAYER_CANNOT_PAY"), class: providers.Declined},
		{name: "blocked", status: 422, body: issueJSON("PAYEE_BLOCKED_TRANSACTION"), class: providers.Declined},
		{name: "too many tries", status: 422, body: issueJSON("MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED"), class: providers.Declined},
		{name: "merchant restricted", status: 422, body: issueJSON("PAYEE_ACCOUNT_RESTRICTED"), class: providers.Misconfigured},
		{name: "not approved", status: 422, body: issueJSON("ORDER_NOT_APPROVED"), class: providers.Refused},
		{name: "expired", status: 422, body: issueJSON("AUTHORIZATION_EXPIRED"), class: providers.Refused},
		{name: "completion in progress", status: 422, body: issueJSON("ORDER_COMPLETION_IN_PROGRESS"), class: providers.Unknown},
		{
			name: "duplicate invoice is not a decline", status: 422, body: issueJSON("DUPLICATE_INVOICE_ID"), class: providers.Unknown,
			check: func(e *providers.Error) bool { return e.Stored },
		},
		{
			name: "a duplicate may be our own success", status: 422, body: issueJSON("DUPLICATE_TRANSACTION"), class: providers.Unknown, code: "duplicate_transaction",
			check: func(e *providers.Error) bool { return e.Stored },
		},
		{
			name: "so may a key that was used", status: 400, body: `{"name":"DUPLICATE_REQUEST_ID"}`, class: providers.Unknown, code: "duplicate_request_id",
			check: func(e *providers.Error) bool { return e.Stored },
		},
		{name: "an issue nobody knows", status: 422, body: issueJSON("SOMETHING_NEW"), class: providers.Refused, code: "something_new"},
		{name: "a 422 that is no JSON", status: 422, body: "oops", class: providers.Unknown},
		{name: "an issue that is no name", status: 422, body: issueJSON("buyer@example.com said no"), class: providers.Refused, code: "unprocessable_entity"},
		{
			name: "field", status: 400, body: `{"details":[{"issue":"X","field":"/purchase_units/@reference_id=='a'/soft_descriptor"}]}`, class: providers.Refused,
			check: func(e *providers.Error) bool { return e.Field == "/statement_descriptor" },
		},
		{
			name: "rate limit", status: 429, body: issueJSON("RATE_LIMIT_REACHED"), header: map[string]string{"Retry-After": "30"}, class: providers.NotDone,
			check: func(e *providers.Error) bool { return e.RetryAfter == 30*time.Second },
		},
		{
			name: "rate limit as a page", status: 429, body: "<html>", class: providers.NotDone,
			check: func(e *providers.Error) bool { return e.RetryAfter == time.Second },
		},
		{
			name: "rate limit until a date", status: 429, header: map[string]string{"Retry-After": startWall.Add(time.Minute).Format(http.TimeFormat)}, class: providers.NotDone,
			check: func(e *providers.Error) bool { return e.RetryAfter == time.Minute },
		},
		{
			name: "an absurd wait", status: 429, header: map[string]string{"Retry-After": "999999999999"}, class: providers.NotDone,
			check: func(e *providers.Error) bool { return e.RetryAfter <= time.Hour },
		},
		{
			name: "a negative wait", status: 429, header: map[string]string{"Retry-After": "-5"}, class: providers.NotDone,
			check: func(e *providers.Error) bool { return e.RetryAfter == time.Second },
		},
		{name: "internal error", status: 500, body: `{"name":"INTERNAL_SERVER_ERROR"}`, class: providers.Unknown, code: "internal_server_error"},
		{name: "html 503", status: 503, body: "<html>maintenance</html>", class: providers.Unknown},
		{name: "empty 502", status: 502, class: providers.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStub(t)
			s.handle("POST /x", func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range c.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			_, err := s.adapter().api.do(t.Context(), call{op: "capture", method: http.MethodPost, path: "/x"})
			if c.class == "" {
				if err != nil {
					t.Fatalf("got %v, want success", err)
				}
				return
			}
			e := wantError(t, err, c.class, c.code)
			if e.Status != c.status || e.Op != "capture" || e.Provider != Provider {
				t.Errorf("error %+v", e)
			}
			if c.check != nil && !c.check(e) {
				t.Errorf("error %+v", e)
			}
			if n := s.count("POST /x"); n != 1 {
				t.Errorf("%d calls for one", n)
			}
		})
	}
}

// TestUnreadableSuccess guards I5: a success whose body can't be read may have moved
// money, so it is unknown, and never a panic.
func TestUnreadableSuccess(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"html": "<html>", "empty": "", "null": "null", "array": "[]", "cut": `{"id":"5O1`, "wrong types": `{"id":7}`} {
		s := newStub(t).on("POST /v2/checkout/orders/"+orderID+"/capture", 201, body)
		_, err := s.adapter().Capture(t.Context(), providers.CaptureRequest{Attempt: attemptOf(false), Target: orderID}, "key")
		if providers.ClassOf(err) != providers.Unknown {
			t.Errorf("%s: %v, want unknown", name, err)
		}
	}
}

// TestNoAnswer tells "certainly not sent" from "nobody knows".
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	send := func(t *testing.T, a *Adapter, ctx context.Context) error {
		_, err := a.api.do(ctx, call{op: "capture", method: http.MethodPost, path: "/x"})
		return err
	}
	t.Run("connection cut after sending", func(t *testing.T) {
		t.Parallel()
		s := newStub(t)
		s.handle("POST /x", func(w http.ResponseWriter, _ *http.Request) { breakOff(t, w, "") })
		wantError(t, send(t, s.adapter(), t.Context()), providers.Unknown, "no_answer")
	})
	t.Run("answer cut in the middle", func(t *testing.T) {
		t.Parallel()
		s := newStub(t)
		s.handle("POST /x", func(w http.ResponseWriter, _ *http.Request) {
			breakOff(t, w, "HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{\"id\":")
		})
		wantError(t, send(t, s.adapter(), t.Context()), providers.Unknown, "cut_answer")
	})
	t.Run("answer without end", func(t *testing.T) {
		t.Parallel()
		s := newStub(t)
		s.handle("POST /x", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.Copy(w, io.LimitReader(zeros{}, maxAnswer+10))
		})
		wantError(t, send(t, s.adapter(), t.Context()), providers.Unknown, "cut_answer")
	})
	t.Run("deadline while waiting", func(t *testing.T) {
		t.Parallel()
		s := newStub(t)
		ctx, cancel := context.WithCancel(t.Context())
		s.handle("POST /x", func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
		e := wantError(t, send(t, s.adapter(), ctx), providers.Unknown, "no_answer")
		if !errors.Is(e, context.Canceled) {
			t.Error("the canceled context is not visible")
		}
	})
	t.Run("given up before sending", func(t *testing.T) {
		t.Parallel()
		s := newStub(t)
		a := s.adapter()
		if _, err := a.api.tokens.get(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantError(t, send(t, a, ctx), providers.NotDone, "not_sent")
		if s.count("POST /x") != 0 {
			t.Error("it was sent")
		}
	})
	t.Run("nobody listens, no such host, no TLS", func(t *testing.T) {
		t.Parallel()
		plain := httptest.NewUnstartedServer(http.NotFoundHandler())
		plain.Config.ErrorLog = log.New(io.Discard, "", 0)
		plain.StartTLS() // its certificate is nobody's
		t.Cleanup(plain.Close)
		for _, base := range []string{"http://127.0.0.1:1", plain.URL} {
			s := newStub(t)
			a := s.adapter()
			if _, err := a.api.tokens.get(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			a.api.base = base
			wantError(t, send(t, a, t.Context()), providers.NotDone, "not_sent")
		}
		if !neverSent(&net.DNSError{}) || neverSent(errors.New("boom")) || neverSent(&net.OpError{Op: "read"}) {
			t.Error("neverSent")
		}
	})
	t.Run("a transport of memory that breaks off", func(t *testing.T) {
		t.Parallel()
		s := newStub(t)
		a := s.adapter(func(o *Options) {
			next := o.HTTPClient.Transport
			o.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if strings.HasSuffix(r.URL.Path, "/x") {
					return nil, io.ErrUnexpectedEOF // nobody says whether it arrived
				}
				return next.RoundTrip(r)
			})}
		})
		wantError(t, send(t, a, t.Context()), providers.Unknown, "no_answer")
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// breakOff writes raw bytes and closes the connection.
func breakOff(t *testing.T, w http.ResponseWriter, raw string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = io.WriteString(conn, raw)
	_ = conn.Close()
}

// TestRedirectNotFollowed: a redirected POST could reach anybody, with our token.
func TestRedirectNotFollowed(t *testing.T) {
	t.Parallel()
	s := newStub(t)
	s.handle("POST /x", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	_, err := s.adapter().api.do(t.Context(), call{op: "capture", method: http.MethodPost, path: "/x"})
	wantError(t, err, providers.Unknown, "")
	if s.count("POST /elsewhere") != 0 {
		t.Error("the redirect was followed")
	}
}

// TestIDsInPaths: an id that could address another object is refused before anything
// is sent.
func TestIDsInPaths(t *testing.T) {
	t.Parallel()
	s := newStub(t)
	a := s.adapter()
	for _, id := range []string{"", "../../v1/x", "a/b", "a?b", "a%2fb", strings.Repeat("A", 65), "a b", "ä"} {
		at := attemptOf(true)
		at.Root.ID = id
		_, err := a.Fetch(t.Context(), at)
		wantError(t, err, providers.Refused, "bad_id")
		_, err = a.Capture(t.Context(), providers.CaptureRequest{Attempt: attemptOf(true), Target: id, Amount: at.Asked}, "k")
		wantError(t, err, providers.Refused, "bad_id")
		_, err = a.Void(t.Context(), providers.CaptureRequest{Attempt: attemptOf(true), Target: id}, "k")
		wantError(t, err, providers.Refused, "bad_id")
		_, err = a.Refund(t.Context(), providers.RefundRequest{Attempt: attemptOf(true), Capture: id, Amount: at.Asked}, "k")
		wantError(t, err, providers.Refused, "bad_id")
		_, err = a.Trace(t.Context(), providers.Ref{Kind: "capture", ID: id})
		wantError(t, err, providers.Refused, "bad_id")
	}
	if len(s.seen) != 0 {
		t.Errorf("calls were sent: %v", s.seen)
	}
}
