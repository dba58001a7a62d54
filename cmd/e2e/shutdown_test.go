package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// terminate sends SIGTERM and says how long the process took to end.
func (p *process) terminate(t *testing.T) time.Duration {
	t.Helper()
	begun := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		t.Fatalf("still running after a minute: %s", p.logs)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.logs)
	}
	return time.Since(begun)
}

var internalAddr = regexp.MustCompile(`"internal":"([^"]+)"`)

// ready asks the gateway's internal listener; code 0 means that nobody answered.
func (pr *pair) ready() (code int, status string, failing []string) {
	m := internalAddr.FindStringSubmatch(pr.serve.logs.String())
	if m == nil {
		pr.t.Fatal("the log names no internal address")
	}
	resp, err := (&http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + m[1] + "/readyz")
	if err != nil {
		return 0, "", nil
	}
	defer func() { _ = resp.Body.Close() }()
	var body struct {
		Status string
		Checks []struct {
			Name string
			OK   bool
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		pr.t.Errorf("readyz: %v", err)
	}
	for _, c := range body.Checks {
		if !c.OK {
			failing = append(failing, c.Name)
		}
	}
	return resp.StatusCode, body.Status, failing
}

// untilReady waits for the process's own word that it is ready.
func (pr *pair) untilReady() {
	pr.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if code, _, _ := pr.ready(); code == http.StatusOK {
			return
		}
	}
	_, _, failing := pr.ready()
	pr.t.Fatalf("never ready: %v", failing)
}

// visit is one request on a connection of its own, and what came of it.
type visit struct {
	connected time.Time // zero: never
	ended     time.Time
	code      int // 0: no answer, and err says why
	id        string
	err       error
}

// certain is how long after connecting a customer was let in for certain. Before that
// the connection may still be in the kernel's queue, which is thrown away when the door
// is closed: nobody has read a word of it.
const certain = 100 * time.Millisecond

// visit orders once. Each has a connection of its own: a request on one that was kept
// may meet its closing, which no server can help.
func (pr *pair) visit(client *http.Client, idem, provider string) (v visit) {
	defer func() { v.ended = time.Now() }()
	b, err := json.Marshal(order(1999, "usd", "provider", provider))
	if err != nil {
		return visit{err: err}
	}
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { v.connected = time.Now() }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, pr.api+"/v1/payments", bytes.NewReader(b))
	if err != nil {
		return visit{err: err}
	}
	req.Header.Set("Authorization", "Bearer "+pr.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", idem)
	resp, err := client.Do(req)
	if err != nil {
		v.err = err
		return v
	}
	defer func() { _ = resp.Body.Close() }()
	var out struct{ ID string }
	if v.err = json.NewDecoder(resp.Body).Decode(&out); v.err == nil { // otherwise it was cut in the middle
		v.code, v.id = resp.StatusCode, out.ID
	}
	return v
}

// visitors order without a pause until stop is closed. wait waits for them and returns
// all visits, seen says whether one like that was made yet.
func (pr *pair) visitors(n int, stop <-chan struct{}) (wait func() []visit, seen func(like func(visit) bool) bool) {
	client := &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	var mu sync.Mutex
	var visits []visit
	var wg sync.WaitGroup
	for c := range n {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				v := pr.visit(client, fmt.Sprintf("load-%d-%d", c, i), []string{"stripe", "paypal"}[i%2])
				mu.Lock()
				visits = append(visits, v)
				mu.Unlock()
				if v.code == 0 {
					time.Sleep(20 * time.Millisecond) // nobody is there any more
				}
			}
		})
	}
	wait = func() []visit { wg.Wait(); return visits }
	seen = func(like func(visit) bool) bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.ContainsFunc(visits, like)
	}
	return wait, seen
}

func (v visit) refused() bool { return errors.Is(v.err, syscall.ECONNREFUSED) }

// Guards that a stop loses no request. SIGTERM while customers are paying: whoever was
// let in before it is answered well, whoever comes later finds the door closed, every 2xx
// is durable, and the process ends in time.
func TestStoppedUnderLoad(t *testing.T) {
	pr := startPair(t)
	pr.untilReady()
	pr.control(http.MethodPut, pr.stripe+"/_sandbox/faults", object{"api": object{"latency_ms": []int{100, 600}}})
	stop := make(chan struct{})
	wait, seen := pr.visitors(8, stop)
	until := func(like func(visit) bool) { // customers have got this answer
		for end := time.Now().Add(time.Minute); time.Now().Before(end) && !seen(like); {
			time.Sleep(10 * time.Millisecond)
		}
	}
	until(func(v visit) bool { return v.code == http.StatusCreated })
	time.Sleep(time.Second) // customers are at it
	told := time.Now()
	took := pr.serve.terminate(t)
	until(visit.refused)
	close(stop)
	var ids []string
	answered, refused, atTheDoor, carried := map[int]int{}, 0, 0, 0
	for _, v := range wait() {
		inside := !v.connected.IsZero() && v.connected.Add(certain).Before(told)
		switch {
		case v.code != 0:
			if answered[v.code]++; inside && v.ended.After(told) {
				carried++
			}
			if v.code/100 == 2 {
				ids = append(ids, v.id)
			}
		case v.refused():
			refused++
		case inside:
			t.Errorf("a customer who was let in %s before the stop got no answer: %v", told.Sub(v.connected), v.err)
		default:
			atTheDoor++
		}
	}
	t.Logf("ended after %s; answers by status: %v, %d of them to who was inside; %d found the door closed, on %d it was closed",
		took.Round(time.Millisecond), answered, carried, refused, atTheDoor)
	if took > 10*time.Second {
		t.Errorf("it took %s to end", took)
	}
	if answered[http.StatusCreated] == 0 || refused == 0 || carried == 0 {
		t.Error("the test saw too little")
	}
	for code, n := range answered {
		if code/100 != 2 {
			t.Errorf("%d answers with %d", n, code)
		}
	}
	pr.control(http.MethodDelete, pr.stripe+"/_sandbox/faults", nil)
	pr.start()
	for _, id := range ids {
		if code, _ := pr.ask(http.MethodGet, "/v1/payments/"+id, "", nil); code != http.StatusOK {
			t.Errorf("the acknowledged payment %s is gone: %d", id, code)
		}
	}
}

// SIGTERM while a provider hangs: the process is not ready from that moment on, takes
// no new connection, tells its waiting customer that the outcome is unknown, and ends
// in time. Afterwards the payment is found out, with one checkout at the provider.
func TestStoppedWhileProviderHangs(t *testing.T) {
	pr := startPair(t)
	pr.untilReady()
	pr.control(http.MethodPut, pr.stripe+"/_sandbox/faults", object{"api": object{"latency_ms": []int{30_000, 30_000}}})
	type answer struct {
		code int
		out  object
	}
	answered := make(chan answer, 1)
	go func() {
		code, out := pr.ask(http.MethodPost, "/v1/payments", "k", order(1999, "usd", "provider", "stripe"))
		answered <- answer{code, out}
	}()
	pr.untilCalling() // the provider has it and is silent
	stopped := make(chan time.Duration, 1)
	go func() { stopped <- pr.serve.terminate(t) }()
	code, status, failing := pr.ready()
	for ; code == http.StatusOK; code, status, failing = pr.ready() {
		time.Sleep(10 * time.Millisecond) // the signal is on its way
	}
	if code != http.StatusServiceUnavailable || strings.Join(failing, " ") != "running" {
		t.Errorf("while it stops: %d %q %v", code, status, failing)
	}
	time.Sleep(200 * time.Millisecond) // the door is closed right after that
	if _, err := (&http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Get(pr.api + "/healthz"); err == nil {
		t.Error("a new connection is accepted while it stops")
	}
	got, took := <-answered, <-stopped
	t.Logf("ended after %s, the waiting customer got %d", took.Round(time.Millisecond), got.code)
	if took > 10*time.Second {
		t.Errorf("it took %s to end", took)
	}
	if got.code != http.StatusAccepted || got.out["status"] != "processing" {
		t.Errorf("the waiting customer got %d %v", got.code, got.out)
	}
	pr.control(http.MethodDelete, pr.stripe+"/_sandbox/faults", nil)
	pr.start()
	pr.advance(60)
	code, out := pr.insist("/v1/payments", "k", order(1999, "usd", "provider", "stripe"))
	if code != http.StatusCreated || out["id"] != got.out["id"] || out["status"] != "requires_action" {
		t.Errorf("after the restart: %d %v", code, out)
	}
	if n := pr.sessions(); n != 1 {
		t.Errorf("%d sessions at the provider, want 1", n)
	}
}

// sessions counts the checkout sessions at the Stripe sandbox.
func (pr *pair) sessions() int {
	pr.t.Helper()
	req, err := http.NewRequestWithContext(pr.t.Context(), http.MethodGet, pr.stripe+"/v1/checkout/sessions?limit=100", nil)
	if err != nil {
		pr.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk_test_count")
	resp, err := pr.client.Do(req)
	if err != nil {
		pr.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var list struct{ Data []any }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		pr.t.Fatal(err)
	}
	return len(list.Data)
}
