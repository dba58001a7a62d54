package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
	"github.com/trifecta-pay/trifecta/store/storetest"
)

// binaries are built once for all tests that run real processes.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "trifecta-e2e-")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"trifecta", "checkbooks"} {
		out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), "github.com/trifecta-pay/trifecta/cmd/"+name).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	return dir, nil
})

// process is one running program of ours.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	logs *safeBuffer
}

func launch(t *testing.T, ready *regexp.Regexp, args ...string) (*process, []string) {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(filepath.Join(dir, "trifecta"), args...), done: make(chan struct{}), logs: &safeBuffer{}}
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		_ = w.Close()
		close(p.done)
	}()
	lines := make(chan string, 100)
	go func() {
		scan := bufio.NewScanner(r)
		for scan.Scan() {
			_, _ = p.logs.Write([]byte(scan.Text() + "\n"))
			select {
			case lines <- scan.Text():
			default:
			}
		}
		close(lines)
	}()
	t.Cleanup(p.kill)
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	var found []string
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("%v ended: %s", args, p.logs)
			}
			if m := ready.FindStringSubmatch(line); m != nil {
				found = append(found, strings.Join(m[1:], ""))
				if len(found) > strings.Count(ready.String(), "|") {
					return p, found
				}
			}
		case <-deadline.C:
			t.Fatalf("%v never became ready: %s", args, p.logs)
		}
	}
}

// kill is kill -9, and waits until the process is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// pair is a sandbox and a gateway as two processes.
type pair struct {
	t              *testing.T
	stripe, paypal string
	config, store  string
	api            string
	key            string
	serve          *process
	client         *http.Client
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// startPair starts both. more is further configuration, as lines of YAML.
func startPair(t *testing.T, more ...string) *pair {
	t.Helper()
	if os.Getenv("TRIFECTA_PROCESS_TESTS") == "" {
		t.Skip("needs the machine for itself: run `make test-process`")
	}
	_, found := launch(t, regexp.MustCompile(`Stripe sandbox +(http\S+)|PayPal sandbox +(http\S+)`), "sandbox", "--stripe-addr", "127.0.0.1:0", "--paypal-addr", "127.0.0.1:0")
	pr := &pair{t: t, client: &http.Client{Timeout: 20 * time.Second}}
	pr.stripe, pr.paypal = found[0], found[1]
	dir := t.TempDir()
	pr.store = storetest.New(t, storetest.SQLite, store.Collections(), wiretest.Options{}).URL
	addr := freeAddr(t)
	pr.api = "http://" + addr
	pr.control(http.MethodPost, pr.stripe+"/_sandbox/webhooks/endpoints", object{"url": pr.api + "/webhooks/stripe/stripe-eu", "secret": "whsec_0123456789abcdef0123456789"})
	pr.control(http.MethodPost, pr.paypal+"/_sandbox/webhooks/endpoints", object{"url": pr.api + "/webhooks/paypal/paypal-eu", "webhook_id": "WH-PROCESS0123456"})
	ca := pr.raw(pr.paypal + "/_sandbox/ca.pem")
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	pr.config = filepath.Join(dir, "trifecta.yaml")
	text := fmt.Sprintf(`public_url: %s
store: %s
http: {addr: "%s", internal_addr: "127.0.0.1:0"}
accounts:
  - {name: stripe-eu, provider: stripe, mode: test, secret_key: sk_test_process, webhook_secrets: [whsec_0123456789abcdef0123456789], api_base: "%s"}
  - {name: paypal-eu, provider: paypal, mode: test, client_id: a, client_secret: b, webhook_ids: [WH-PROCESS0123456], api_base: "%s", webhook_root_ca: %s, webhook_cert_hosts: ["%s"]}
apps:
  - {name: shop, mode: test}
test_clock: %s
`, pr.api, pr.store, addr, pr.stripe, pr.paypal, filepath.Join(dir, "ca.pem"), strings.TrimPrefix(pr.paypal, "http://"), pr.stripe)
	text += strings.Join(more, "\n") + "\n"
	if err := os.WriteFile(pr.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	key, err := exec.CommandContext(t.Context(), filepath.Join(bin, "trifecta"), "apikey", "create", "--config", pr.config, "--app", "shop").Output()
	if err != nil {
		t.Fatalf("apikey: %v", err)
	}
	pr.key = strings.TrimSpace(string(key))
	pr.start()
	return pr
}

func (pr *pair) start() {
	pr.t.Helper()
	pr.serve, _ = launch(pr.t, regexp.MustCompile(`"msg":"(ready)"`), "serve", "--config", pr.config)
}

func (pr *pair) raw(target string) []byte {
	pr.t.Helper()
	resp, err := pr.client.Get(target)
	if err != nil {
		pr.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		pr.t.Fatal(err)
	}
	return b
}

func (pr *pair) control(method, target string, body any) object {
	pr.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		pr.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, target, bytes.NewReader(b))
	if err != nil {
		pr.t.Fatal(err)
	}
	resp, err := pr.client.Do(req)
	if err != nil {
		pr.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out object
	_ = json.NewDecoder(resp.Body).Decode(&out)
	if resp.StatusCode >= 300 {
		pr.t.Fatalf("%s %s: %d %v", method, target, resp.StatusCode, out)
	}
	return out
}

// ask makes one API call; code 0 means that nobody answered.
func (pr *pair) ask(method, path, idem string, body any) (int, object) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, pr.api+path, in)
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+pr.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if idem != "" {
		req.Header.Set("Idempotency-Key", idem)
	}
	resp, err := pr.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = resp.Body.Close() }()
	var out object
	if json.NewDecoder(resp.Body).Decode(&out) != nil {
		return 0, nil
	}
	return resp.StatusCode, out
}

// insist repeats a request with its key until it has an outcome, as a careful
// app does.
func (pr *pair) insist(path, idem string, body any) (int, object) {
	for range 300 {
		code, out := pr.ask(http.MethodPost, path, idem, body)
		if code != 0 && code != http.StatusConflict && code != http.StatusServiceUnavailable && code != http.StatusAccepted && code != http.StatusTooManyRequests {
			return code, out
		}
		if code == http.StatusConflict && out["code"] != "idempotency_in_progress" {
			return code, out
		}
		time.Sleep(50 * time.Millisecond) // another process is being restarted
	}
	return 0, nil
}

// checkbooks runs the independent checker.
func (pr *pair) checkbooks() (string, error) {
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	out, err := exec.Command(filepath.Join(bin, "checkbooks"), "-api", pr.api, "-key", pr.key, "-stripe", pr.stripe, "-paypal", pr.paypal).CombinedOutput()
	return string(out), err
}

func (pr *pair) advance(seconds int) {
	pr.t.Helper()
	pr.control(http.MethodPost, pr.stripe+"/_sandbox/clock/advance", object{"seconds": seconds})
}

// A real kill -9 between our write and the provider's answer; then the same
// request: the same payment, and still one session at the provider.
func TestKilledDuringCreate(t *testing.T) {
	t.Parallel()
	pr := startPair(t)
	pr.control(http.MethodPut, pr.stripe+"/_sandbox/faults", object{"api": object{"latency_ms": []int{1500, 1500}}})
	answered := make(chan int, 1)
	go func() {
		code, _ := pr.ask(http.MethodPost, "/v1/payments", "k", order(1999, "usd", "provider", "stripe"))
		answered <- code
	}()
	time.Sleep(700 * time.Millisecond) // the provider is thinking
	pr.serve.kill()
	if code := <-answered; code != 0 {
		t.Fatalf("the request was answered %d before the kill", code)
	}
	pr.control(http.MethodDelete, pr.stripe+"/_sandbox/faults", nil)
	time.Sleep(1200 * time.Millisecond) // the provider finishes what it was doing
	pr.start()
	code, out := pr.ask(http.MethodPost, "/v1/payments", "k", order(1999, "usd", "provider", "stripe"))
	if code != http.StatusConflict && code != http.StatusCreated {
		t.Fatalf("right after the restart: %d %v", code, out)
	}
	pr.advance(30) // the dead process's lease ends
	code, out = pr.insist("/v1/payments", "k", order(1999, "usd", "provider", "stripe"))
	if code != http.StatusCreated || out["status"] != "requires_action" {
		t.Fatalf("after the restart: %d %v", code, out)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, pr.stripe+"/v1/checkout/sessions", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk_test_count")
	resp, err := pr.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var list struct{ Data []any }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || len(list.Data) != 1 {
		t.Errorf("%d sessions at the provider, want 1 (%v)", len(list.Data), err)
	}
}

// Two processes on one SQLite store: the second is refused and says why.
func TestSecondProcessRefused(t *testing.T) {
	t.Parallel()
	if storetest.Engine(storetest.SQLite) != storetest.SQLite {
		t.Skip("only a file belongs to one process")
	}
	pr := startPair(t)
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "trifecta"), "serve", "--config", pr.config).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "shop.db") {
		t.Errorf("the second process: %v\n%s", err, out)
	}
}

// The storm: kill -9 at random moments while payments are made, paid and
// refunded, with webhooks dropped, doubled, late and out of order, and provider
// answers lost. Afterwards an independent checker finds both books equal.
func TestKillStorm(t *testing.T) {
	pr := startPair(t)
	const payments, kills = 50, 30
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	draw := rand.New(rand.NewPCG(seed, 1))
	pr.control(http.MethodPut, pr.stripe+"/_sandbox/faults", object{
		"seed":     seed % 1000,
		"webhooks": object{"drop": 0.3, "duplicate": 0.3, "delay_ms": []int{0, 3000}, "reorder": true},
		"api":      object{"timeout_after_effect": 0.05, "timeout_before_effect": 0.03, "timeout_ms": 50, "latency_ms": []int{50, 400}},
	})
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	work := make(chan int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range work {
				if id := pr.shop(i); id != "" {
					mu.Lock()
					acknowledged[id] = true
					mu.Unlock()
				}
			}
		})
	}
	finished := make(chan struct{})
	during := 0
	go func() {
		for i := range payments {
			work <- i
		}
		close(work)
		wg.Wait()
		close(finished)
	}()
	for range kills {
		select {
		case <-finished:
			time.Sleep(20 * time.Millisecond) // what is left to kill now is workers
		case <-time.After(time.Duration(20+draw.IntN(300)) * time.Millisecond):
		}
		select {
		case <-finished:
		default:
			during++
		}
		pr.serve.kill()
		pr.start()
		pr.advance(25) // leases of the dead process end
	}
	t.Logf("%d of %d kills came while customers were paying", during, kills)
	if during < kills/2 {
		t.Errorf("only %d of %d kills came while customers were paying", during, kills)
	}
	<-finished
	pr.control(http.MethodDelete, pr.stripe+"/_sandbox/faults", nil)
	var report string
	var err error
	for range 120 { // due syncs and sweeps run on the sandbox's clock
		pr.advance(600)
		time.Sleep(250 * time.Millisecond) // the gateway follows that clock by polling
		if report, err = pr.checkbooks(); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("the books differ: %v\n%s\n%s", err, report, pr.serve.logs)
	}
	t.Log(strings.TrimSpace(report))
	if len(acknowledged) != payments {
		t.Errorf("%d of %d payments were acknowledged in the end", len(acknowledged), payments)
	}
	for id := range acknowledged {
		if code, _ := pr.ask(http.MethodGet, "/v1/payments/"+id, "", nil); code != http.StatusOK {
			t.Errorf("acknowledged payment %s is gone: %d", id, code)
		}
	}
}

// shop is one customer's story: order, pay, sometimes come back, sometimes a
// refund.
func (pr *pair) shop(i int) string {
	provider := []string{"stripe", "paypal"}[i%2]
	code, p := pr.insist("/v1/payments", fmt.Sprintf("order-%d", i), order(1000+int64(i), "usd", "provider", provider))
	if code != http.StatusCreated {
		pr.t.Errorf("order %d: %d %v", i, code, p)
		return ""
	}
	id, _ := p["id"].(string)
	refs, _ := p["provider_refs"].(object)
	target := ""
	if session, ok := refs["checkout_session"].(string); ok {
		target = pr.pay(pr.stripe+"/_sandbox/checkout/"+session+"/pay", object{"card": good})
	}
	if o, ok := refs["order"].(string); ok {
		target = pr.pay(pr.paypal+"/_sandbox/orders/"+o+"/approve", object{})
	}
	if i%3 == 0 && target != "" { // this one comes back; the others close the tab
		noFollow := &http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		if resp, err := noFollow.Get(target); err == nil {
			_ = resp.Body.Close()
		}
	}
	if i%5 == 0 {
		for range 40 {
			if code, now := pr.ask(http.MethodGet, "/v1/payments/"+id, "", nil); code == http.StatusOK && now["status"] == "succeeded" {
				pr.insist("/v1/payments/"+id+"/refunds", fmt.Sprintf("refund-%d", i), object{"amount": 300})
				break
			}
			time.Sleep(50 * time.Millisecond) // waiting for a webhook
		}
	}
	return id
}

func (pr *pair) pay(target string, body object) string {
	b, err := json.Marshal(body)
	if err != nil {
		return ""
	}
	resp, err := pr.client.Post(target, "application/json", bytes.NewReader(b))
	if err != nil {
		pr.t.Errorf("customer: %v", err)
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	var out struct {
		URL string `json:"redirect_url"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode != http.StatusOK {
		pr.t.Errorf("customer: %d %v", resp.StatusCode, err)
	}
	return out.URL
}
