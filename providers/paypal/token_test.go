package paypal

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// crowd is how many callers hit one account at once.
const crowd = 64

// oauth is a PayPal whose tokens a test controls. Orders answer 404, or 401 to a
// token that is not the current one.
type oauth struct {
	mu      sync.Mutex
	current string
	fetches int
	refused int
	life    int
	answer  http.HandlerFunc // replaces the token answer while set
}

func (o *oauth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/oauth2/token" {
		o.mu.Lock()
		ok := r.Header.Get("Authorization") == "Bearer "+o.current
		if !ok {
			o.refused++
		}
		o.mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_token","error_description":"Access Token not found in cache"}`)
			return
		}
		_, _ = io.WriteString(w, `{"id":"x"}`)
		return
	}
	o.mu.Lock()
	o.fetches++
	answer := o.answer
	token := "token-" + strconv.Itoa(o.fetches)
	o.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	o.mu.Lock()
	o.current = token
	life := o.life
	o.mu.Unlock()
	_, _ = io.WriteString(w, `{"access_token":"`+token+`","expires_in":`+strconv.Itoa(life)+`}`)
}

func (o *oauth) set(answer http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = answer
}

func (o *oauth) counts() (fetches, refused int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fetches, o.refused
}

// clock is a clock that a test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

func newOAuth(t *testing.T, inline bool) (*oauth, *Adapter, *clock) {
	t.Helper()
	o := &oauth{life: 32400}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	c := &clock{}
	c.at.Store(startWall.UnixNano())
	a, err := New(Options{
		Account: "paypal-test", Mode: payment.ModeTest, ClientID: "client-a", ClientSecret: canarySecret, APIBase: server.URL, Now: c.now,
		HTTPClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: crowd}, Timeout: time.Minute}, Inline: inline,
	})
	if err != nil {
		t.Fatal(err)
	}
	return o, a, c
}

func ask(ctx context.Context, a *Adapter) error {
	_, err := a.api.do(ctx, call{op: "fetch", method: http.MethodGet, path: "/v2/checkout/orders/x"})
	return err
}

// rush lets the whole crowd call at once. all, if set, is called when everybody has
// joined the token fetch.
func rush(t *testing.T, a *Adapter, all func()) []error {
	t.Helper()
	var joined atomic.Int64
	a.api.tokens.mu.Lock()
	a.api.tokens.joined = func() {
		if joined.Add(1) == crowd && all != nil {
			all()
		}
	}
	a.api.tokens.mu.Unlock()
	errs := make([]error, crowd)
	var wg sync.WaitGroup
	for i := range crowd {
		wg.Go(func() { errs[i] = ask(t.Context(), a) })
	}
	wg.Wait()
	return errs
}

func wantAll(t *testing.T, errs []error, ok func(error) bool) {
	t.Helper()
	for i, err := range errs {
		if !ok(err) {
			t.Fatalf("caller %d: %v", i, err)
		}
	}
}

func isNil(err error) bool     { return err == nil }
func isNotDone(err error) bool { return providers.ClassOf(err) == providers.NotDone }

// gated holds the token answer until everybody waits for it, so that the test counts
// what the whole crowd causes, not what a few quick ones do.
func gated(then http.HandlerFunc) (answer http.HandlerFunc, open func()) {
	gate := make(chan struct{})
	return func(w http.ResponseWriter, r *http.Request) { <-gate; then(w, r) }, sync.OnceFunc(func() { close(gate) })
}

// TestTokenExpires guards "one refresh": 64 callers on an expired token fetch one.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	o, a, c := newOAuth(t, false)
	if err := ask(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := ask(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := o.counts(); n != 1 {
		t.Fatalf("%d fetches for four calls", n)
	}
	c.advance(9 * time.Hour)
	answer, open := gated(func(w http.ResponseWriter, _ *http.Request) {
		o.mu.Lock()
		o.current = "token-late"
		o.mu.Unlock()
		_, _ = io.WriteString(w, `{"access_token":"token-late","expires_in":32400}`)
	})
	o.set(answer)
	wantAll(t, rush(t, a, open), isNil)
	if n, refused := o.counts(); n != 2 || refused != 0 {
		t.Errorf("%d fetches and %d refused calls, want 2 and 0", n, refused)
	}
}

// TestTokenRevoked: all callers are refused with the old token and share one refresh.
func TestTokenRevoked(t *testing.T) {
	t.Parallel()
	o, a, _ := newOAuth(t, false)
	if err := ask(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	o.mu.Lock()
	o.current = "revoked"
	o.mu.Unlock()
	wantAll(t, rush(t, a, nil), isNil)
	if n, refused := o.counts(); n != 2 || refused > crowd {
		t.Errorf("%d fetches and %d refused calls, want 2 and at most %d", n, refused, crowd)
	}
}

// TestTokenRefusedForEver: a token that is refused right after it was fetched is a
// matter of configuration, tried once again and no more.
func TestTokenRefusedForEver(t *testing.T) {
	t.Parallel()
	o, a, _ := newOAuth(t, false)
	o.set(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":"never-good","expires_in":32400}`)
	})
	wantError(t, ask(t.Context(), a), providers.Misconfigured, "invalid_token")
	if n, refused := o.counts(); n != 2 || refused != 2 {
		t.Errorf("%d fetches and %d refused calls, want 2 and 2", n, refused)
	}
}

// TestTokenEndpointBroken guards "never wedges": whatever nonsense the token endpoint
// answers, the crowd is told that nothing was done, by one fetch, and the next call works.
func TestTokenEndpointBroken(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]http.HandlerFunc{
		"html 503": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "<html>maintenance</html>")
		},
		"html 200":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hello</html>") },
		"204":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"empty 200": func(http.ResponseWriter, *http.Request) {},
		"empty token": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"access_token":"","expires_in":32400}`)
		},
		"no token":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"scope":"x"}`) },
		"null":         func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `null`) },
		"rate limited": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"cut":          func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, a, _ := newOAuth(t, false)
			answer, open := gated(broken)
			o.set(answer)
			wantAll(t, rush(t, a, open), isNotDone)
			if n, _ := o.counts(); n != 1 {
				t.Errorf("%d fetches, want 1", n)
			}
			o.set(nil)
			if err := ask(t.Context(), a); err != nil {
				t.Errorf("after it was repaired: %v", err)
			}
		})
	}
}

// TestTokenCredentialsWrong: wrong credentials are a human's business.
func TestTokenCredentialsWrong(t *testing.T) {
	t.Parallel()
	o, a, _ := newOAuth(t, false)
	o.set(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"Client Authentication failed"}`)
	})
	e := wantError(t, ask(t.Context(), a), providers.Misconfigured, "invalid_client")
	if e.Op != "fetch" {
		t.Errorf("the error belongs to %s", e.Op)
	}
}

// TestTokenSlow: a caller that gives up is let go at once, and the fetch it began
// still serves the others.
func TestTokenSlow(t *testing.T) {
	t.Parallel()
	o, a, _ := newOAuth(t, false)
	answer, open := gated(func(w http.ResponseWriter, _ *http.Request) {
		o.mu.Lock()
		o.current = "slow"
		o.mu.Unlock()
		_, _ = io.WriteString(w, `{"access_token":"slow","expires_in":32400}`)
	})
	o.set(answer)
	ctx, cancel := context.WithCancel(t.Context())
	joined := make(chan struct{}, crowd)
	a.api.tokens.joined = func() { joined <- struct{}{} }
	first := make(chan error, 1)
	go func() { first <- ask(ctx, a) }()
	<-joined
	others := make(chan error, crowd)
	for range crowd - 1 {
		go func() { others <- ask(t.Context(), a) }()
	}
	for range crowd - 1 {
		<-joined
	}
	cancel()
	if err := <-first; !isNotDone(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that gave up got %v", err)
	}
	open()
	for range crowd - 1 {
		if err := <-others; err != nil {
			t.Errorf("another caller: %v", err)
		}
	}
	if n, _ := o.counts(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

// TestTokenShortLife: tokens that live shorter than our margin are still used, not
// fetched anew for every call.
func TestTokenShortLife(t *testing.T) {
	t.Parallel()
	o, a, c := newOAuth(t, false)
	o.life = 30
	for range 5 {
		if err := ask(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := o.counts(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
	c.advance(29 * time.Second)
	if err := ask(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if n, _ := o.counts(); n != 2 {
		t.Errorf("%d fetches after it expired, want 2", n)
	}
}

// TestTokenInline guards the simulator's need: with Inline a fetch starts no goroutine.
func TestTokenInline(t *testing.T) {
	t.Parallel()
	fetchedBy := ""
	tk := &tokens{now: func() time.Time { return startWall }, inline: true}
	tk.fetch = func(context.Context) (string, time.Duration, error) {
		fetchedBy = goroutine()
		return "t", time.Hour, nil
	}
	if _, err := tk.get(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if me := goroutine(); fetchedBy != me {
		t.Errorf("fetched in goroutine %q, called in %q", fetchedBy, me)
	}
	_, a, _ := newOAuth(t, true)
	wantAll(t, rush(t, a, nil), isNil) // and it is still safe for several
}

// TestTokenPanic: even a fetch that panics lets everybody go.
func TestTokenPanic(t *testing.T) {
	t.Parallel()
	calls := 0
	tk := &tokens{now: func() time.Time { return startWall }, inline: true}
	tk.fetch = func(context.Context) (string, time.Duration, error) {
		if calls++; calls == 1 {
			panic("boom")
		}
		return "t", time.Hour, nil
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = tk.get(t.Context(), "")
	}()
	if token, err := tk.get(t.Context(), ""); err != nil || token != "t" {
		t.Errorf("after a panic: %q, %v", token, err)
	}
}

// goroutine is the running goroutine's name.
func goroutine() string {
	buf := make([]byte, 64)
	name, _, _ := strings.Cut(string(buf[:runtime.Stack(buf, false)]), "[")
	return name
}
