package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
)

// harm is what a relay does to what passes. The zero harm is none.
type harm struct {
	refuse    bool          // nobody listens, and what was open is cut
	cutBefore bool          // a connection is cut when a request comes, before any of it is passed on
	cutAfter  bool          // a request is passed on, and the connection is cut when its answer comes
	hole      bool          // nothing passes and nothing is closed; what waits passes once this ends
	latency   time.Duration // of every piece, each way
	perSecond int           // bytes that pass, each way of each connection; 0: any number
}

// relay stands between two programs on TCP.
type relay struct {
	t    *testing.T
	to   string
	addr string
	bit  atomic.Int64 // pieces that were harmed on their way, and open connections that were refused

	mu       sync.Mutex
	listener net.Listener
	harm     harm
	changed  chan struct{} // closed and renewed when harm changes
	open     map[net.Conn]bool
	wg       sync.WaitGroup
}

// newRelay relays to an address until the test ends.
func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	r := &relay{t: t, to: to, addr: wiretest.ReserveFor(t).Addr, changed: make(chan struct{}), open: map[net.Conn]bool{}}
	r.listen()
	t.Cleanup(func() {
		r.set(harm{refuse: true})
		r.wg.Wait()
	})
	return r
}

// set harms what passes from now on, connections that are open included.
func (r *relay) set(h harm) {
	r.mu.Lock()
	was := r.harm.refuse
	r.harm = h
	close(r.changed)
	r.changed = make(chan struct{})
	if h.refuse && !was {
		_ = r.listener.Close()
		for c := range r.open {
			_ = c.Close()
			r.bit.Add(1)
		}
	}
	r.mu.Unlock()
	if was && !h.refuse {
		r.listen()
	}
}

func (r *relay) now() (harm, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.harm, r.changed
}

func (r *relay) listen() {
	r.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.listener = l
	r.mu.Unlock()
	r.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			r.wg.Go(func() { r.pass(c, l) })
		}
	})
}

// pass relays one connection until either side ends it or it is cut: also if that was before it got here.
func (r *relay) pass(client net.Conn, came net.Listener) {
	defer func() { _ = client.Close() }()
	server, err := net.DialTimeout("tcp", r.to, 5*time.Second)
	if err != nil {
		return // the client sees a closed connection
	}
	ctx, end := context.WithCancel(context.Background())
	cut := func() {
		end()
		_, _ = client.Close(), server.Close()
	}
	defer cut()
	r.mu.Lock()
	refused := r.harm.refuse || r.listener != came
	r.open[client], r.open[server] = true, true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.open, client)
		delete(r.open, server)
		r.mu.Unlock()
	}()
	if refused {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { defer cut(); r.pump(ctx, server, client, func(h harm) bool { return h.cutBefore }) })
	both.Go(func() { defer cut(); r.pump(ctx, client, server, func(h harm) bool { return h.cutAfter }) })
	both.Wait()
}

// pump passes pieces on, one way, until it ends or cut says so.
func (r *relay) pump(ctx context.Context, to io.Writer, from io.Reader, cut func(harm) bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		h, changed := r.now()
		if n > 0 && (h.hole || h.latency > 0 || h.perSecond > 0 || cut(h)) {
			r.bit.Add(1)
		}
		for h.hole && n > 0 {
			select {
			case <-changed:
				h, changed = r.now()
			case <-ctx.Done():
				return
			}
		}
		if n > 0 && cut(h) {
			return
		}
		wait := h.latency
		if h.perSecond > 0 {
			wait += time.Duration(n) * time.Second / time.Duration(h.perSecond)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// The relay is what other tests rest on: every harm harms as it says, and ends.
func TestRelay(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		served.Add(1)
		_, _ = io.WriteString(w, strings.Repeat("x", 1000))
	}))
	defer server.Close()
	r := newRelay(t, strings.TrimPrefix(server.URL, "http://"))
	ask := func(patience time.Duration) (time.Duration, error) {
		client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
		begun := time.Now()
		resp, err := client.Post("http://"+r.addr, "text/plain", strings.NewReader("hello"))
		if err != nil {
			return time.Since(begun), err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return time.Since(begun), errors.Join(err, resp.Body.Close())
	}
	for _, c := range []struct {
		name     string
		harm     harm
		patience time.Duration
		served   int64 // requests that reach the server
		fails    bool
		is       error
		slow     time.Duration
	}{
		{name: "none", served: 1},
		{name: "refuse", harm: harm{refuse: true}, fails: true, is: syscall.ECONNREFUSED},
		{name: "cut before", harm: harm{cutBefore: true}, fails: true},
		{name: "cut after", harm: harm{cutAfter: true}, served: 1, fails: true},
		{name: "hole", harm: harm{hole: true}, patience: 200 * time.Millisecond, fails: true, slow: 150 * time.Millisecond},
		{name: "latency", harm: harm{latency: 100 * time.Millisecond}, served: 1, slow: 200 * time.Millisecond},
		{name: "narrow", harm: harm{perSecond: 4000}, served: 1, slow: 250 * time.Millisecond},
	} {
		before, bit := served.Load(), r.bit.Load()
		r.set(c.harm)
		if c.patience == 0 {
			c.patience = 20 * time.Second
		}
		took, err := ask(c.patience)
		if (err != nil) != c.fails || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.name, err)
		}
		if n := served.Load() - before; n != c.served {
			t.Errorf("%s: %d requests reached the server, want %d", c.name, n, c.served)
		}
		if took < c.slow {
			t.Errorf("%s: took %s, want %s or more", c.name, took, c.slow)
		}
		if told := r.bit.Load() > bit; told != (c.harm != harm{}) && !c.harm.refuse { // nothing was open
			t.Errorf("%s: that it harmed is told as %t", c.name, told)
		}
		r.set(harm{refuse: true}) // nothing of this one reaches the next
		r.set(harm{})
		if _, err := ask(20 * time.Second); err != nil {
			t.Errorf("after %s: %v", c.name, err)
		}
	}
}
