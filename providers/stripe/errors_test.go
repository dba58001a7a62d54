package stripe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// canary stands wherever Stripe could put a secret or a customer's data.
const canary = "pi_1_secret_CANARY buyer@example.com"

// against is the adapter in front of a handler of the test's own.
func against(t *testing.T, h http.HandlerFunc) *Adapter {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return (&lab{}).connect(t, server.URL)
}

// problem is an error answer in Stripe's shape, full of what must not leak.
func problem(kind, code, param string) string {
	return fmt.Sprintf(`{"error":{"type":%q,"code":%q,"param":%q,"message":%q,"decline_code":"insufficient_funds",
		"payment_intent":{"id":"pi_1","client_secret":%q},"charge":"ch_1"}}`, kind, code, param, canary, canary)
}

var refundRequest = providers.RefundRequest{
	Attempt: providers.Attempt{PaymentID: "pay_x", N: 1, Root: providers.Ref{Kind: kindSession, ID: "cs_1"}},
	Capture: "ch_1", Amount: payment.Money{Minor: 100, Currency: "usd"}, Operation: "rfd_x",
}

// TestAnswersAreClassified: one row for every kind of answer, and for each what it
// says about the money. No text of Stripe's gets out.
func TestAnswersAreClassified(t *testing.T) {
	t.Parallel()
	type row struct {
		status int
		body   string
		class  providers.Class
		code   string
		field  string
		stored bool
	}
	for _, c := range []row{
		{402, problem("card_error", "card_declined", ""), providers.Declined, "card_declined", "", false},
		{402, problem("card_error", "expired_card", ""), providers.Declined, "expired_card", "", false},
		{402, problem("invalid_request_error", "payment_intent_authentication_failure", ""), providers.Refused, "payment_intent_authentication_failure", "", false},
		{400, problem("invalid_request_error", "amount_too_small", "line_items[0]"), providers.Refused, "amount_too_small", "/amount", false},
		{400, problem("invalid_request_error", "amount_too_large", "amount"), providers.Refused, "amount_too_large", "/amount", false},
		{400, problem("invalid_request_error", "", "currency"), providers.Refused, "invalid_request_error", "/currency", false},
		{400, problem("invalid_request_error", "parameter_invalid_empty", "line_items[0][price_data][currency]"), providers.Refused, "parameter_invalid_empty", "/currency", false},
		{400, problem("invalid_request_error", "email_invalid", "customer_email"), providers.Refused, "email_invalid", "/customer/email", false},
		{400, problem("invalid_request_error", "url_invalid", "success_url"), providers.Refused, "url_invalid", "/return_url", false},
		{400, problem("invalid_request_error", "", "payment_intent_data[statement_descriptor_suffix]"), providers.Refused, "invalid_request_error", "/statement_descriptor", false},
		{400, problem("invalid_request_error", "charge_already_refunded", ""), providers.Refused, "charge_already_refunded", "", false},
		{400, problem("invalid_request_error", "charge_disputed", ""), providers.Refused, "charge_disputed", "", false},
		{400, problem("invalid_request_error", "balance_insufficient", ""), providers.Refused, "balance_insufficient", "", false},
		{400, problem("idempotency_error", "", ""), providers.Unknown, "idempotency_error", "", true},
		{409, problem("idempotency_error", "", ""), providers.Unknown, "idempotency_error", "", true},
		{409, problem("invalid_request_error", "idempotency_key_in_use", ""), providers.Unknown, "idempotency_key_in_use", "", false},
		{409, problem("invalid_request_error", "lock_timeout", ""), providers.NotDone, "lock_timeout", "", false},
		{409, problem("invalid_request_error", "", ""), providers.Unknown, "invalid_request_error", "", false},
		{429, problem("invalid_request_error", "lock_timeout", ""), providers.NotDone, "lock_timeout", "", false},
		{429, problem("invalid_request_error", "rate_limit", ""), providers.NotDone, "rate_limit", "", false},
		{401, problem("invalid_request_error", "", ""), providers.Misconfigured, "invalid_request_error", "", false},
		{403, problem("invalid_request_error", "account_invalid", ""), providers.Misconfigured, "account_invalid", "", false},
		{404, problem("invalid_request_error", "resource_missing", "charge"), providers.NotFound, "resource_missing", "", false},
		{424, problem("invalid_request_error", "", ""), providers.Unknown, "invalid_request_error", "", true},
		{400, problem("api_error", "", ""), providers.Unknown, "api_error", "", true},
		{500, problem("api_error", "", ""), providers.Unknown, "api_error", "", true},
		{502, problem("api_error", "", ""), providers.Unknown, "api_error", "", false},
		{503, problem("api_error", "", ""), providers.Unknown, "api_error", "", false},
		{504, problem("api_error", "", ""), providers.Unknown, "api_error", "", false},
		{500, problem("invalid_request_error", canary, ""), providers.Unknown, "invalid_request_error", "", true}, // a code is a word or nothing
		{502, "<html>" + canary + "</html>", providers.Unknown, "no_clear_answer", "", false},
		{500, canary, providers.Unknown, "no_clear_answer", "", false},
		{429, "<html>slow down</html>", providers.Unknown, "no_clear_answer", "", false},
		{400, `{"message":"` + canary + `"}`, providers.Unknown, "no_clear_answer", "", false},
		{200, `{"id":"re_1","status":"succ`, providers.Unknown, "no_clear_answer", "", false},
		{200, `{}`, providers.Unknown, "unreadable_answer", "", false},
		{200, `null`, providers.Unknown, "unreadable_answer", "", false},
		{302, ``, providers.Unknown, "no_clear_answer", "", false},
		{204, ``, providers.Unknown, "no_clear_answer", "", false},
	} {
		a := against(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Request-Id", "req_123")
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Location", "https://elsewhere.example.com/")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		_, err := a.Refund(t.Context(), refundRequest, "key")
		e := wantClass(t, err, c.class)
		if e.Code != c.code || e.Field != c.field || e.Stored != c.stored || e.Op != "refund" || e.Provider != "stripe" {
			t.Errorf("%d %.60s: %+v, want code %s field %s stored %v", c.status, c.body, e, c.code, c.field, c.stored)
		}
		if e.Aside != (c.code == "lock_timeout") {
			t.Errorf("%d %s: the account rests: %v", c.status, c.code, !e.Aside)
		}
		if strings.HasPrefix(c.body, `{"error"`) && (e.Status != c.status || e.RequestID != "req_123" || e.RetryAfter != 7*time.Second) {
			t.Errorf("%d: status %d, request %q, retry after %v", c.status, e.Status, e.RequestID, e.RetryAfter)
		}
		noLeak(t, err)
		if failure := e.Failure(); strings.Contains(fmt.Sprint(failure), "CANARY") {
			t.Errorf("the payment's failure leaks: %+v", failure)
		}
	}
}

func wantClass(t *testing.T, err error, want providers.Class) *providers.Error {
	t.Helper()
	var e *providers.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no *providers.Error", err)
	}
	if e.Class != want {
		t.Errorf("class %s, want %s: %v", e.Class, want, e)
	}
	return e
}

// noLeak follows an error to its end: nothing of an answer may be in it.
func noLeak(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
			if strings.Contains(text, "CANARY") || strings.Contains(text, "buyer@") || strings.Contains(text, testKey) {
				t.Errorf("a secret leaks through %T: %s", err, text)
			}
		}
	}
}

// TestTransportErrors: what certainly never left is not done; everything else that
// has no answer is unknown (I5).
func TestTransportErrors(t *testing.T) {
	t.Parallel()
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(silent.Close)
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	secure.Config.ErrorLog = nil
	t.Cleanup(secure.Close)
	// Names are asked of nobody: the answer of whoever serves them here may be late, or a lie.
	nameless := (&net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no server of names")
	}}}).DialContext
	cut := func(ctx context.Context, network, addr string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New(canary)}
	}
	for _, c := range []struct {
		name  string
		base  string
		rt    http.RoundTripper
		class providers.Class
	}{
		{"nobody listens", "http://127.0.0.1:1", &http.Transport{}, providers.NotDone},
		{"no such host", "https://nowhere.invalid", &http.Transport{DialContext: nameless}, providers.NotDone},
		{"dial fails", "https://stripe.example", &http.Transport{DialContext: cut}, providers.NotDone},
		{"certificate of somebody else", secure.URL, &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}, providers.NotDone},
		{"connection cut", silent.URL, &http.Transport{}, providers.Unknown},
		{"a transport that proves nothing", "https://stripe.example", failing{errors.New(canary)}, providers.Unknown},
		{"a dial error without a trace", "https://stripe.example", failing{&net.OpError{Op: "dial", Err: errors.New(canary)}}, providers.NotDone},
		{"a read error without a trace", "https://stripe.example", failing{&net.OpError{Op: "read", Err: errors.New(canary)}}, providers.Unknown},
	} {
		a, err := New(Options{Account: "a", Mode: payment.ModeTest, SecretKey: testKey, APIBase: c.base, HTTPClient: &http.Client{Transport: c.rt, Timeout: time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Refund(t.Context(), refundRequest, "key")
		t.Run(c.name, func(t *testing.T) {
			wantClass(t, err, c.class)
			noLeak(t, err)
		})
	}
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// TestTimeoutIsUnknown: an answer that comes too late may still have been an effect.
func TestTimeoutIsUnknown(t *testing.T) {
	t.Parallel()
	arrived, done := make(chan struct{}, 1), make(chan struct{})
	a := against(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-done
	})
	t.Cleanup(func() { close(done) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, err := a.Refund(ctx, refundRequest, "key")
	e := wantClass(t, err, providers.Unknown)
	if !errors.Is(e, context.Canceled) {
		t.Errorf("the canceled context is not visible in %v", e)
	}
}

// TestKeysAndRedirects: an empty key would be replaced by one nobody wrote down, and
// a redirect would carry the secret key elsewhere.
func TestKeysAndRedirects(t *testing.T) {
	t.Parallel()
	calls := 0
	a := against(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	for _, key := range []string{"", " ", " k", strings.Repeat("k", 256)} {
		_, err := a.Refund(t.Context(), refundRequest, key)
		wantClass(t, err, providers.Refused)
	}
	if calls != 0 {
		t.Errorf("%d calls left with a bad key", calls)
	}
	_, err := a.Refund(t.Context(), refundRequest, "key")
	wantClass(t, err, providers.Unknown)
	if calls != 1 {
		t.Errorf("%d calls, want 1: a redirect is not followed", calls)
	}
}

// TestNewRefuses: a wrong setup is refused at start, without printing a secret.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := Options{Account: "a", Mode: payment.ModeTest, SecretKey: "sk_test_1", WebhookSecrets: []string{secretA}}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"no name":            func(o *Options) { o.Account = "" },
		"no mode":            func(o *Options) { o.Mode = "" },
		"no key":             func(o *Options) { o.SecretKey = "" },
		"live key in test":   func(o *Options) { o.SecretKey = "sk_live_CANARY" },
		"test key in live":   func(o *Options) { o.Mode, o.SecretKey = payment.ModeLive, "sk_test_CANARY" },
		"publishable key":    func(o *Options) { o.SecretKey = "pk_test_CANARY" },
		"empty secret":       func(o *Options) { o.WebhookSecrets = []string{""} },
		"blank secret":       func(o *Options) { o.WebhookSecrets = []string{strings.Repeat(" ", 40)} },
		"short secret":       func(o *Options) { o.WebhookSecrets = []string{secretA, "whsec_CANARY"} },
		"secret with blank":  func(o *Options) { o.WebhookSecrets = []string{secretA + "\n"} },
		"short connect":      func(o *Options) { o.ConnectWebhookSecrets = []string{"whsec_CANARY"} },
		"base of live":       func(o *Options) { o.Mode, o.SecretKey, o.APIBase = payment.ModeLive, "sk_live_1", "https://x.example" },
		"base in the clear":  func(o *Options) { o.APIBase = "http://stripe.example" },
		"base without host":  func(o *Options) { o.APIBase = "127.0.0.1" },
		"base of other kind": func(o *Options) { o.APIBase = "ftp://127.0.0.1/" },
	} {
		o := good
		change(&o)
		_, err := New(o)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: the error prints the secret: %v", name, err)
		}
	}
}
