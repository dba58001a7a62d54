package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
)

// listening is a server as every listener of ours has it, and what reached its handler.
type listening struct {
	addr string
	mu   sync.Mutex
	seen []string
}

func (l *listening) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	l.mu.Lock()
	l.seen = append(l.seen, fmt.Sprint(r.Method, " ", r.URL.Path, " ", len(b), " ", err == nil))
	l.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (l *listening) served() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

func listenAs(t *testing.T, adjust func(*http.Server)) *listening {
	t.Helper()
	l := &listening{}
	srv := server(l, slog.New(slog.DiscardHandler))
	adjust(srv)
	on, err := listen(t.Context(), "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = on.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(on) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l
}

// exchange sends bytes and reads what comes until the server ends the connection.
func (l *listening) exchange(t *testing.T, raw string) string {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, raw)
		sent <- err
	}()
	var got bytes.Buffer
	_, err = io.Copy(&got, bufio.NewReader(c))
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("the connection was not ended: %v, after %q", err, got.String())
	}
	<-sent // may fail: the server need not read to the end
	return got.String()
}

// E14: Promise: a request whose end can be read in two ways brings no second one in: it
// is refused, or the connection ends with its answer.
func TestE14TwoLengths(t *testing.T) {
	t.Parallel()
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, header := range map[string]string{
		"length first":          "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
		"length last":           "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
		"odd case":              "content-length: 4\r\ntransfer-encoding: CHUNKED\r\n",
		"length of all":         fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n", 5+len(smuggled)),
		"other encoding":        "Content-Length: 4\r\nTransfer-Encoding: xchunked\r\n",
		"encoding twice":        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
		"two lengths":           "Content-Length: 4\r\nContent-Length: 5\r\n",
		"space before colon":    "Content-Length : 4\r\nTransfer-Encoding: chunked\r\n",
		"signed length":         "Content-Length: +4\r\n",
		"encoding and a length": "Transfer-Encoding: chunked, identity\r\nContent-Length: 4\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listenAs(t, func(*http.Server) {})
			got := l.exchange(t, "POST /first HTTP/1.1\r\nHost: x\r\n"+header+"\r\n0\r\n\r\n"+smuggled)
			refused := strings.HasPrefix(got, "HTTP/1.1 400 ") || strings.HasPrefix(got, "HTTP/1.1 501 ")
			closed := strings.HasPrefix(got, "HTTP/1.1 204 ") && strings.Contains(got, "Connection: close\r\n")
			if seen := l.served(); strings.Count(got, "HTTP/1.1 ") != 1 || !refused && !closed || refused && len(seen) != 0 || closed && (len(seen) != 1 || seen[0] != "POST /first 0 true") {
				t.Errorf("answered %q, served %q", got, seen)
			}
		})
	}
}

// Promise: a client that sends all of a body before it looks for an answer gets it, also
// where the body was refused unread; who announces too much is answered and cut off, and
// who asks first whether to send it is told without sending.
func TestRefusedBodiesAreHeardOut(t *testing.T) {
	t.Parallel()
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) })
	l := listenAs(t, func(s *http.Server) { s.Handler = server(refuse, slog.New(slog.DiscardHandler)).Handler })
	send := func(header string, body int) (status string, err error) {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // the server may have ended it
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\n"+header+"\r\n"+strings.Repeat("x", body)); err != nil {
			return "", err
		}
		return bufio.NewReader(c).ReadString('\n')
	}
	for name, c := range map[string]struct {
		header string
		body   int
	}{
		"all of it":      {"Content-Length: 8388608\r\n", 8 << 20},
		"asked first":    {"Content-Length: 8388608\r\nExpect: 100-continue\r\n", 0},
		"too much of it": {"Content-Length: 99999999\r\n", 0},
	} {
		if status, err := send(c.header, c.body); err != nil || !strings.Contains(status, " 413 ") {
			t.Errorf("%s: %q, %v", name, status, err)
		}
	}
}

// J2: Promise: who sends headers slowly is dropped after 5 seconds, unanswered.
func TestJ2SlowHeaders(t *testing.T) {
	t.Parallel()
	if got := server(http.NotFoundHandler(), slog.New(slog.DiscardHandler)); got.ReadHeaderTimeout != 5*time.Second || got.ReadTimeout <= 0 || got.WriteTimeout <= 0 || got.IdleTimeout <= 0 {
		t.Errorf("times: headers %v, request %v, answer %v, idle %v", got.ReadHeaderTimeout, got.ReadTimeout, got.WriteTimeout, got.IdleTimeout)
	}
	l := listenAs(t, func(s *http.Server) {
		s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout = s.ReadHeaderTimeout/50, 0, 0, 0
	})
	if got := l.exchange(t, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "); strings.Contains(got, " 204 ") || len(l.served()) != 0 {
		t.Errorf("answered %q, served %q", got, l.served())
	}
}

// J4: Promise: headers of a megabyte are refused with 431, and no handler sees them.
func TestJ4LargeHeader(t *testing.T) {
	t.Parallel()
	l := listenAs(t, func(*http.Server) {})
	got := l.exchange(t, "GET / HTTP/1.1\r\nHost: x\r\nX-Large: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 431 ") || len(l.served()) != 0 {
		t.Errorf("answered %q, served %q", got, l.served())
	}
}

// Row I3 of the security list. Promise: both kinds of log write one line for one record, whatever stands in it.
func TestI3LoggersEscape(t *testing.T) {
	t.Parallel()
	const evil = "x\r\nlevel=INFO msg=forged\x1b[2J\a"
	for _, readable := range []bool{false, true} {
		var out bytes.Buffer
		program{err: &out}.logger(readable, slog.LevelInfo).Info(evil, "reference", evil, "error", errors.New(evil), evil, "x")
		line, ended := strings.CutSuffix(out.String(), "\n")
		if !ended || strings.ContainsAny(line, "\r\n\x1b\a") {
			t.Errorf("readable %v: %q", readable, out.String())
		}
		if !readable && !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %q", line)
		}
	}
}

// J6: Promise: no caller makes the metrics grow: paths, accounts, methods and keys of
// their invention leave as many series as a first few left.
func TestJ6MetricSeriesStayFew(t *testing.T) {
	t.Parallel()
	h := testHouse(t, config.Layers{Webhook: true})
	hit := func(word string) {
		for _, path := range []string{"/" + word, "/v1/" + word, "/v1/payments/" + word, "/pay/" + word, "/webhooks/" + word + "/" + word, "/webhooks/stripe/" + word, "/webhooks/" + word + "/stripe-eu", "/webhooks/stripe/stripe-eu/" + word, "/webhooks/stripe/stripe-eu"} {
			for _, method := range []string{http.MethodGet, http.MethodPost, strings.ToUpper(word)} {
				req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(`{"id":"`+word+`"}`))
				req.Header.Set("Authorization", "Bearer tk_"+word)
				req.Header.Set("Stripe-Signature", word)
				h.Public.ServeHTTP(httptest.NewRecorder(), req)
			}
		}
	}
	series := func() (int, string) {
		rec := httptest.NewRecorder()
		h.Internal().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		n := 0
		for line := range strings.SplitSeq(rec.Body.String(), "\n") {
			if strings.HasPrefix(line, "trifecta_") {
				n++
			}
		}
		return n, rec.Body.String()
	}
	hit("warmx")
	before, text := series()
	if !strings.Contains(text, "trifecta_webhook_in_total{") {
		t.Fatalf("nothing was counted:\n%s", text)
	}
	for i := range 200 {
		hit(fmt.Sprintf("evil%dx", i))
	}
	if after, text := series(); after != before || strings.Contains(text, "evil") || strings.Contains(text, "EVIL") {
		t.Errorf("%d series, %d before:\n%s", after, before, text)
	}
}

// A provider keeps its connection after a chunked request, which is all that stripe-go
// sends; a stand-in that ended it would make every call dial, as no real one does. Our
// own listeners end it (E14).
func TestStandInsKeepChunkedConnections(t *testing.T) {
	t.Parallel()
	for _, standIn := range []bool{true, false} {
		l, err := listen(t.Context(), "--test", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- serveAll(ctx, slog.New(slog.DiscardHandler), running{
				sites: []site{{name: "test", listener: l, standIn: standIn, handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body) // what is left unread would end it too
				})}},
				workers: func(ctx context.Context) error { <-ctx.Done(); return nil },
			})
		}()
		reused := false
		for range 2 {
			trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }}
			req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost, "http://"+l.Addr().String(), io.MultiReader(strings.NewReader("a=b")))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		if reused != standIn {
			t.Errorf("stand-in %v: the second request reused its connection: %v", standIn, reused)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
