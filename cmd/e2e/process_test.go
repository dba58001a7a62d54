package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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
	cmd   *exec.Cmd
	done  chan struct{}
	logs  *safeBuffer
	lines chan string // of what it says, until nobody listens
}

// spawn starts the program and does not wait for it.
func spawn(t *testing.T, args ...string) *process {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(filepath.Join(dir, "trifecta"), args...), done: make(chan struct{}), logs: &safeBuffer{}, lines: make(chan string, 100)}
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
	go func() {
		scan := bufio.NewScanner(r)
		for scan.Scan() {
			_, _ = p.logs.Write([]byte(scan.Text() + "\n"))
			select {
			case p.lines <- scan.Text():
			default:
			}
		}
		close(p.lines)
	}()
	t.Cleanup(p.kill)
	return p
}

// launch starts the program and waits until it has said so many lines that fit as ready has alternatives.
func launch(t *testing.T, ready *regexp.Regexp, args ...string) (*process, []string) {
	t.Helper()
	p := spawn(t, args...)
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	var found []string
	for {
		select {
		case line, ok := <-p.lines:
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
	patience       time.Duration // of apps, before they repeat a request
	given          *returns      // by the shop, whichever replica it asked
}

// layout says how a pair is built.
type layout struct {
	engine string                 // of the store, unless the environment names another; "": SQLite
	store  string                 // URL of a store that has its indexes; "": a new one
	way    func(to string) string // where the gateway finds the provider at this address; nil: there
	more   []string               // further configuration, as lines of YAML
}

// startPair starts both. more is further configuration, as lines of YAML.
func startPair(t *testing.T, more ...string) *pair {
	t.Helper()
	return layout{more: more}.start(t)
}

func needProcesses(t *testing.T) {
	t.Helper()
	if os.Getenv("TRIFECTA_PROCESS_TESTS") == "" {
		t.Skip("needs the machine for itself: run `make test-process`")
	}
}

func (l layout) start(t *testing.T) *pair {
	t.Helper()
	needProcesses(t)
	_, found := launch(t, regexp.MustCompile(`Stripe sandbox +(http\S+)|PayPal sandbox +(http\S+)`), "sandbox", "--stripe-addr", "127.0.0.1:0", "--paypal-addr", "127.0.0.1:0")
	pr := &pair{t: t, client: &http.Client{Timeout: 2 * time.Minute}, given: &returns{of: map[string]int64{}}, stripe: found[0], paypal: found[1], store: l.store}
	if pr.store == "" {
		if l.engine == "" {
			l.engine = storetest.SQLite
		}
		pr.store = storetest.New(t, l.engine, store.Collections(), wiretest.Options{}).URL
	}
	addr := wiretest.ReserveFor(t).Addr
	pr.api = "http://" + addr
	pr.control(http.MethodPost, pr.stripe+"/_sandbox/webhooks/endpoints", object{"url": pr.api + "/webhooks/stripe/stripe-eu", "secret": "whsec_0123456789abcdef0123456789"})
	pr.control(http.MethodPost, pr.paypal+"/_sandbox/webhooks/endpoints", object{"url": pr.api + "/webhooks/paypal/paypal-eu", "webhook_id": "WH-PROCESS0123456"})
	l.configure(pr, addr)
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

// configure writes the gateway's configuration.
func (l layout) configure(pr *pair, addr string) {
	pr.t.Helper()
	dir := pr.t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pr.raw(pr.paypal+"/_sandbox/ca.pem"), 0o600); err != nil {
		pr.t.Fatal(err)
	}
	stripe, paypal := pr.stripe, pr.paypal
	if l.way != nil {
		stripe, paypal = l.way(stripe), l.way(paypal)
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
`, pr.api, pr.store, addr, stripe, paypal, ca, strings.TrimPrefix(pr.paypal, "http://"), pr.stripe)
	text += strings.Join(l.more, "\n") + "\n"
	if err := os.WriteFile(pr.config, []byte(text), 0o600); err != nil {
		pr.t.Fatal(err)
	}
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
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); {
		code, out := pr.ask(http.MethodPost, path, idem, body)
		if code != 0 && code != http.StatusConflict && code != http.StatusServiceUnavailable && code != http.StatusAccepted && code != http.StatusTooManyRequests {
			return code, out
		}
		if code == http.StatusConflict && out["code"] != "idempotency_in_progress" {
			return code, out
		}
		time.Sleep(max(20*time.Millisecond, pr.patience)) // another process is being restarted
	}
	return 0, nil
}

// checkbooks runs the independent checker. In no story here is anybody charged wrongly, so
// a payment that is held, or paid or given back twice, is a difference too.
func (pr *pair) checkbooks() (string, error) {
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	out, err := exec.Command(filepath.Join(bin, "checkbooks"), "-api", pr.api, "-key", pr.key, "-stripe", pr.stripe, "-paypal", pr.paypal, "-plain").CombinedOutput()
	return string(out), err
}

func (pr *pair) advance(seconds int) {
	pr.t.Helper()
	pr.control(http.MethodPost, pr.stripe+"/_sandbox/clock/advance", object{"seconds": seconds})
}

// untilCalling waits until a payment is stored, and then for the call to the provider,
// which comes next, to be there.
func (pr *pair) untilCalling() {
	pr.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		code, page := pr.ask(http.MethodGet, "/v1/payments?limit=1", "", nil)
		if data, _ := page["data"].([]any); code == http.StatusOK && len(data) > 0 {
			time.Sleep(500 * time.Millisecond) // the call is on its way between two other processes
			return
		}
	}
	pr.t.Fatalf("no payment was stored: %s", pr.serve.logs)
}

// A real kill -9 between our write and the provider's answer; then the same
// request: the same payment, and still one session at the provider.
func TestKilledDuringCreate(t *testing.T) {
	t.Parallel()
	pr := startPair(t)
	pr.control(http.MethodPut, pr.stripe+"/_sandbox/faults", object{"api": object{"latency_ms": []int{30_000, 30_000}}})
	answered := make(chan int, 1)
	go func() {
		code, _ := pr.ask(http.MethodPost, "/v1/payments", "k", order(1999, "usd", "provider", "stripe"))
		answered <- code
	}()
	pr.untilCalling()
	pr.serve.kill() // and the provider, which sees that nobody listens any more, does what it was asked
	if code := <-answered; code != 0 {
		t.Fatalf("the request was answered %d before the kill", code)
	}
	pr.control(http.MethodDelete, pr.stripe+"/_sandbox/faults", nil)
	for range 20 {
		if pr.sessions() > 0 {
			break
		}
		time.Sleep(50 * time.Millisecond) // another process is at it
	}
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
	if n := pr.sessions(); n != 1 {
		t.Errorf("%d sessions at the provider, want 1", n)
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
