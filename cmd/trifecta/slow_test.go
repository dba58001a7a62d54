package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// serving runs a handler as "trifecta serve" runs its own, and says how to stop it.
func serving(t *testing.T, on net.Listener, h http.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serveAll(ctx, slog.New(slog.DiscardHandler), running{
			sites: []site{{name: "test", listener: on, handler: h}}, workers: func(ctx context.Context) error { <-ctx.Done(); return nil },
		})
	}()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// served is a handler behind a real listener that serveAll serves.
func served(t *testing.T) *listening {
	t.Helper()
	on, err := listen(t.Context(), "--test", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &listening{addr: on.Addr().String()}
	t.Cleanup(serving(t, on, l))
	return l
}

const unfinished = "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "

// J2: Promise: a client that sends a byte of its header a second is dropped after 5
// seconds, and so are some hundred that send nothing or as slowly, while an honest one is
// served. It takes real time because the sockets are real.
func TestJ2SlowClientsAreDropped(t *testing.T) {
	t.Parallel()
	l := served(t)
	begun := time.Now()
	lived := make(chan time.Duration, 200)
	var trickling []net.Conn
	for i := range cap(lived) {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // the server has ended it
		if err := c.SetReadDeadline(begun.Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 { // the others send nothing at all
			trickling = append(trickling, c)
			_, _ = io.WriteString(c, unfinished)
		}
		go func() {
			_, _ = io.Copy(io.Discard, c) // ends with the connection
			lived <- time.Since(begun)
		}()
	}
	honest := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for range cap(lived) {
		for waiting := true; waiting; {
			select {
			case took := <-lived:
				waiting = false
				if took < 4*time.Second || took > 10*time.Second {
					t.Fatalf("a slow client was dropped after %v", took)
				}
			case <-tick.C:
				for _, c := range trickling {
					_, _ = io.WriteString(c, "x") // fails where it was dropped
				}
				ask(t, honest, "http://"+l.addr)
			}
		}
	}
	ask(t, honest, "http://"+l.addr)
	for _, one := range l.served() {
		if one != "GET /honest 0 true" {
			t.Errorf("served %q", one)
		}
	}
}

// ask is an honest client's request.
func ask(t *testing.T, c *http.Client, at string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+"/honest", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Errorf("an honest client: %v", err)
		return
	}
	if _ = res.Body.Close(); res.StatusCode != http.StatusNoContent {
		t.Errorf("an honest client was answered %d", res.StatusCode)
	}
}

// J4: Promise: what listens takes headers of 64 KiB and no more, as it is served.
func TestJ4HeaderLimitAsServed(t *testing.T) {
	t.Parallel()
	l := served(t)
	for size, want := range map[int]string{60 << 10: "204", 80 << 10: "431", 1 << 20: "431"} {
		got := l.exchange(t, "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Large: "+strings.Repeat("x", size)+"\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+want+" ") {
			t.Errorf("a header of %d bytes was answered %.60q, want %s", size, got, want)
		}
	}
	if n := len(l.served()); n != 1 {
		t.Errorf("%d were served, want the one of 60 KiB", n)
	}
}

// pipes is a listener without a network, so that time may be the test's own.
type pipes struct {
	accept chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{accept: make(chan net.Conn), closed: make(chan struct{})} }

// timed is the server's end of a connection; it notes when it was ended.
type timed struct {
	net.Conn
	once  sync.Once
	ended chan time.Time
}

func (c *timed) Close() error {
	c.once.Do(func() { c.ended <- time.Now() })
	return c.Conn.Close()
}

func (p *pipes) dial() (client net.Conn, ended <-chan time.Time) {
	client, server := net.Pipe()
	c := &timed{Conn: server, ended: make(chan time.Time, 1)}
	p.accept <- c
	return client, c.ended
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// trickle sends a text, then a byte a second for as long as somebody takes them.
func trickle(c net.Conn, text string) {
	_, err := io.WriteString(c, text)
	for err == nil {
		time.Sleep(time.Second) // the bubble's time, which takes none
		_, err = io.WriteString(c, "x")
	}
}

// J2: Promise: every way to hold a connection without asking anything of it ends, each
// within its time, also for a crowd that uses all of them at once; an honest client is
// served all the while, and nothing of the crowd is left. The time is a bubble's, so that
// minutes take none.
func TestJ2IdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		stop := serving(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if r.URL.Path != "/much" {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			_, _ = io.Copy(w, io.LimitReader(endlessly{}, 1<<20))
		}))
		defer time.Sleep(2 * time.Second) // at the very end: who trickles sees that it is over
		defer stop()
		synctest.Wait()
		before := goroutines()
		type held struct {
			way   string
			after time.Duration
			ended <-chan time.Time
		}
		var crowd []held
		begun := time.Now()
		for way, c := range map[string]struct {
			after time.Duration
			hold  func(net.Conn)
		}{
			"nothing":       {5 * time.Second, func(net.Conn) {}},
			"slow header":   {5 * time.Second, func(c net.Conn) { trickle(c, unfinished) }},
			"slow body":     {30 * time.Second, func(c net.Conn) { trickle(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n") }},
			"deaf":          {60 * time.Second, func(c net.Conn) { _, _ = io.WriteString(c, "GET /much HTTP/1.1\r\nHost: x\r\n\r\n") }},
			"nothing after": {60 * time.Second, func(c net.Conn) { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }},
		} {
			for range 60 {
				client, ended := p.dial()
				defer client.Close() //nolint:errcheck // a pipe's end: never fails
				crowd = append(crowd, held{way, c.after, ended})
				go c.hold(client)
				if way == "slow body" || way == "nothing after" { // they hear their answers
					go func() { _, _ = io.Copy(io.Discard, client) }()
				}
			}
		}
		honest := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
			c, _ := p.dial()
			return c, nil
		}}}
		for time.Since(begun) < 70*time.Second {
			ask(t, honest, "http://pipe")
			time.Sleep(time.Second)
		}
		synctest.Wait()
		wrong := map[string]int{}
		for _, h := range crowd {
			select {
			case at := <-h.ended:
				if lived := at.Sub(begun); lived < h.after || lived > h.after+2*time.Second {
					wrong[fmt.Sprintf("%s: ended after %v, want %v", h.way, lived, h.after)]++
				}
			default:
				wrong[h.way+": still there"]++
			}
		}
		if now := goroutines(); len(wrong) > 0 || now > before {
			t.Errorf("%v; %d goroutines, %d before the crowd came", wrong, now, before)
		}
	})
}

// goroutines counts those of the bubbles that there are, of which this file has one.
// runtime.NumGoroutine is some thirty off at times, while dead ones are put away.
func goroutines() int {
	stacks := make([]byte, 4<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "synctest bubble")
}

// endlessly is as many bytes as somebody asks for.
type endlessly struct{}

func (endlessly) Read(b []byte) (int, error) { return len(b), nil }
