package e2e

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mongo"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
	"github.com/trifecta-pay/trifecta/store/storetest"
)

// web is a gateway whose every way to others leads through relays.
type web struct {
	*pair
	wire                           *wiretest.Server
	stripeWay, paypalWay, storeWay []*relay
}

// startWeb starts it; on is the store's engine: a file, or the stand-in of MongoDB
// with relays before its members.
func startWeb(t *testing.T, on string) *web {
	t.Helper()
	needProcesses(t)
	w := &web{}
	l := layout{engine: on, way: func(to string) string {
		r := newRelay(t, strings.TrimPrefix(to, "http://"))
		if w.stripeWay == nil {
			w.stripeWay = []*relay{r}
		} else {
			w.paypalWay = []*relay{r}
		}
		return "http://" + r.addr
	}}
	if on == storetest.Wire {
		w.wire = wiretest.Start(t, wiretest.Options{})
		w.wire.Relay(func(member string) string {
			r := newRelay(t, member)
			w.storeWay = append(w.storeWay, r)
			return r.addr
		})
		l.store = w.wire.URL("network")
		migrate(t, l.store)
	}
	w.pair = l.start(t)
	return w
}

// migrate makes the indexes of a MongoDB store.
func migrate(t *testing.T, url string) {
	t.Helper()
	e, err := mongo.Open(t.Context(), mongo.Options{URL: url, Collections: store.Collections()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func hurt(ways []*relay, h harm) {
	for _, r := range ways {
		r.set(h)
	}
}

// bitten counts what was harmed on these ways.
func bitten(ways []*relay) (n int64) {
	for _, r := range ways {
		n += r.bit.Load()
	}
	return n
}

// goroutines counts the gateway's, apart from those that keep idle connections and
// serve its callers.
func (pr *pair) goroutines() (count int, stacks string) {
	pr.t.Helper()
	m := internalAddr.FindStringSubmatch(pr.serve.logs.String())
	if m == nil {
		pr.t.Fatal("the log names no internal address")
	}
	stacks = string(pr.raw("http://" + m[1] + "/debug/pprof/goroutine?debug=2"))
	for g := range strings.SplitSeq(stacks, "\n\n") {
		if !strings.Contains(g, "net/http.(*persistConn)") && !strings.Contains(g, "net/http.(*conn).serve") && !strings.Contains(g, "net/http.(*connReader).backgroundRead") {
			count++
		}
	}
	return count, stacks
}

// leak is what a caller must never read: pieces of the driver's, the operating system's
// or a provider's errors. Identifiers are random letters, and left out first.
var (
	leak        = regexp.MustCompile(`(?i)mongo|topology|server selection|dial tcp|connection re|broken pipe|\beof\b|i/o timeout|context |deadline|api_base|stripe:|paypal:|panic|goroutine`)
	identifiers = regexp.MustCompile(`\b(req|pay|rfd|op)_\w+`)
)

// listener keeps what callers were answered while the network was bad.
type listener struct {
	t     *testing.T
	mu    sync.Mutex
	codes map[int]int
	store int // answers that the store is not there
}

// noStore counts the answers that said that the store is not there.
func (l *listener) noStore() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.store
}

// RoundTrip implements http.RoundTripper.
func (l *listener) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if !strings.HasPrefix(r.URL.Path, "/v1/") {
		return resp, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.codes[0]++
		l.t.Errorf("%s %s was not answered: %v", r.Method, r.URL.Path, err)
		return nil, err
	}
	l.codes[resp.StatusCode]++
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		l.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	text := string(body)
	if strings.Contains(text, `"store_unavailable"`) {
		l.store++
	}
	running := resp.StatusCode == http.StatusConflict && strings.Contains(text, `"idempotency_in_progress"`)
	if !running && resp.StatusCode != http.StatusServiceUnavailable {
		l.t.Errorf("%s %s answered %d: %s", r.Method, r.URL.Path, resp.StatusCode, text)
	}
	if found := leak.FindString(identifiers.ReplaceAllString(text, "")); found != "" {
		l.t.Errorf("%s %s answered %d with %q: %s", r.Method, r.URL.Path, resp.StatusCode, found, text)
	}
	resp.Body = io.NopCloser(strings.NewReader(text))
	return resp, nil
}

// crowd is customers who trade with one gateway until they are told to stop.
type crowd struct {
	mu   sync.Mutex
	ids  []string
	work chan int
	wg   sync.WaitGroup
	next int
}

func (pr *pair) crowd(customers int) *crowd {
	c := &crowd{work: make(chan int, 1000)}
	for range customers {
		c.wg.Go(func() {
			for i := range c.work {
				id := pr.shop(i)
				c.mu.Lock()
				c.ids = append(c.ids, id)
				c.mu.Unlock()
			}
		})
	}
	return c
}

func (c *crowd) come(n int) {
	for range n {
		c.work <- c.next
		c.next++
	}
}

// served waits until everybody who came is served, and says what they bought.
func (c *crowd) served() []string {
	close(c.work)
	c.wg.Wait()
	return c.ids
}

// Every way from the gateway, to either provider and to its store, is harmed in every
// manner, one at a time; then several are cut one after another and mended in another
// order, and the store's primary is cut off and another elected. Customers go on
// trading all the while. Whoever asks is told 2xx, that it is running, or 503, never
// what a driver or provider said. Afterwards the books are equal, every acknowledged
// payment is there, the feed is whole, and the same process has no goroutine left over.
func TestNetworkFaults(t *testing.T) {
	t.Parallel()
	if storetest.Engine(storetest.Wire) != storetest.Wire {
		t.Skip("the relays stand before the stand-in of MongoDB")
	}
	w := startWeb(t, storetest.Wire)
	heard := &listener{t: t, codes: map[int]int{}}
	w.client.Transport, w.patience = heard, 250*time.Millisecond
	warm := w.crowd(8)
	warm.come(8)
	ids := warm.served()
	before, _ := w.goroutines()

	c := w.crowd(8)
	c.next = len(ids)
	begun := time.Now()
	phase := func(hold time.Duration, during, after func()) {
		c.come(4)
		during()
		time.Sleep(hold) // customers are at it, with the network as it is
		after()
		w.advance(25) // leases of calls that were cut end
	}
	// until waits for something that the harm of this phase must come to.
	until := func(what string, was func() bool) {
		for end := time.Now().Add(30 * time.Second); !was(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%s", what)
				return
			}
			w.advance(1)
		}
	}
	for _, h := range []harm{
		{cutBefore: true}, {cutAfter: true}, {hole: true}, {latency: 20 * time.Millisecond, perSecond: 200_000}, {refuse: true},
	} {
		for i, ways := range [][]*relay{w.stripeWay, w.paypalWay, w.storeWay} {
			bit, told := bitten(ways), heard.noStore()
			phase(time.Second, func() { hurt(ways, h) }, func() {
				until(fmt.Sprintf("%+v harmed nothing on way %d", h, i), func() bool { return bitten(ways) > bit })
				if i == 2 && (h.hole || h.refuse) { // longer than the driver looks for a primary, and waits for an answer
					until(fmt.Sprintf("%+v: no caller was told that the store is not there", h), func() bool { return heard.noStore() > told })
				}
				hurt(ways, harm{})
			})
		}
	}
	phase(time.Second, func() { hurt(w.storeWay[:1], harm{hole: true}); w.wire.Elect(300 * time.Millisecond) }, func() { hurt(w.storeWay, harm{}) })
	for _, h := range []harm{{refuse: true}, {hole: true}, {cutAfter: true}} {
		ways := [][]*relay{w.stripeWay, w.storeWay, w.paypalWay}
		for _, way := range ways {
			phase(400*time.Millisecond, func() { hurt(way, h) }, func() {})
		}
		for _, i := range []int{1, 2, 0} {
			phase(400*time.Millisecond, func() { hurt(ways[i], harm{}) }, func() {})
		}
	}
	bad := time.Since(begun)
	ids = append(ids, c.served()...)
	if t.Failed() {
		t.Fatalf("%s", w.serve.logs)
	}
	t.Logf("%d payments while the network was bad for %s, all served after %s; answers by status: %v",
		c.next-8, bad.Round(time.Second), time.Since(begun).Round(time.Second), heard.codes)
	if heard.codes[http.StatusAccepted] == 0 || heard.codes[http.StatusServiceUnavailable] == 0 || heard.codes[http.StatusCreated] == 0 {
		t.Errorf("nobody was told of an outcome that is not known, or that nothing was done, or all were: %v", heard.codes)
	}
	w.wantEqualBooks(ids)
	w.wantWholeFeed(len(ids))
	select {
	case <-w.serve.done:
		t.Errorf("the process died: %s", w.serve.logs)
	default:
	}
	w.wantGoroutines(before)
}

// wantGoroutines waits until the gateway has no more goroutines than it had.
func (pr *pair) wantGoroutines(before int) {
	pr.t.Helper()
	const slack = 4
	var now int
	var stacks string
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if now, stacks = pr.goroutines(); now <= before+slack {
			pr.t.Logf("%d goroutines before, %d after", before, now)
			return
		}
	}
	pr.t.Errorf("%d goroutines before, %d after:\n%s", before, now, stacks)
}
