package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	stripeHook = "whsec_0123456789abcdef0123456789"
	paypalHook = "WH-BENCH0123456789"
	// keyCount API keys share the load: each may make 200 requests a second.
	keyCount = 24
)

// town is a sandbox and a gateway, each a process of its own, and the app's side.
type town struct {
	o              options
	dir, config    string
	api, internal  string
	stripe, paypal string
	keys           []string
	operator       string
	sandbox        *process
	gateway        *process
	floor          *process
	floorURL       string
	client         *http.Client
	began          time.Time

	mu       sync.Mutex
	answered bytes.Buffer // a line for each payment that the gateway acknowledged
	hooked   []string     // the webhooks that it acknowledged, by the event's id
}

func openTown(ctx context.Context, o options, dir string, began time.Time) (*town, error) {
	t := &town{o: o, dir: dir, began: began, client: &http.Client{
		Timeout: 60 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 128},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	ready := regexp.MustCompile(`Stripe sandbox +(http\S+)|PayPal sandbox +(http\S+)`)
	box, found, err := launch(ctx, dir, nil, ready, 2, filepath.Join(o.bin, "trifecta"), "sandbox", "--stripe-addr", "127.0.0.1:0", "--paypal-addr", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t.sandbox, t.stripe, t.paypal = box, found[0], found[1]
	if err := t.configure(ctx); err != nil {
		t.close()
		return nil, err
	}
	if err := t.serve(ctx); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *town) close() {
	for _, p := range []*process{t.gateway, t.floor, t.sandbox} {
		if p != nil {
			p.stop()
		}
	}
}

func freeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// configure writes the gateway's configuration, tells the sandbox where webhooks go,
// and makes the keys.
func (t *town) configure(ctx context.Context) error {
	addr, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	internal, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	t.api, t.internal = "http://"+addr, "http://"+internal
	hooks := map[string]map[string]any{
		t.stripe: {"url": t.api + "/webhooks/stripe/stripe-bench", "secret": stripeHook},
		t.paypal: {"url": t.api + "/webhooks/paypal/paypal-bench", "webhook_id": paypalHook},
	}
	for where, hook := range hooks {
		if err := t.control(ctx, http.MethodPost, where+"/_sandbox/webhooks/endpoints", hook); err != nil {
			return err
		}
	}
	ca := filepath.Join(t.dir, "ca.pem")
	pem, _, err := t.call(ctx, http.MethodGet, t.paypal+"/_sandbox/ca.pem", "", "", nil)
	if err != nil {
		return err
	}
	if err := os.WriteFile(ca, pem, 0o600); err != nil {
		return err
	}
	store := "sqlite:" + filepath.Join(t.dir, "bench.db")
	if t.o.mongo != "" {
		store = t.o.mongo
	}
	t.config = filepath.Join(t.dir, "trifecta.yaml")
	text := fmt.Sprintf(`public_url: %s
store: %q
http: {addr: %q, internal_addr: %q}
accounts:
  - {name: stripe-bench, provider: stripe, mode: test, secret_key: sk_test_bench, webhook_secrets: [%s], api_base: %q}
  - {name: paypal-bench, provider: paypal, mode: test, client_id: a, client_secret: b, webhook_ids: [%s], api_base: %q, webhook_root_ca: %s, webhook_cert_hosts: [%q]}
apps:
  - {name: shop, mode: test}
test_clock: %s
`, t.api, store, addr, internal, stripeHook, t.stripe, paypalHook, t.paypal, ca, strings.TrimPrefix(t.paypal, "http://"), t.stripe)
	if err := os.WriteFile(t.config, []byte(text), 0o600); err != nil {
		return err
	}
	if t.o.mongo != "" {
		if out, err := t.program(ctx, filepath.Join(t.o.bin, "trifecta"), "migrate", "--config", t.config); err != nil {
			return fmt.Errorf("migrate: %w\n%s", err, out)
		}
	}
	for range keyCount {
		key, err := t.apikey(ctx, "--app", "shop")
		if err != nil {
			return err
		}
		t.keys = append(t.keys, key)
	}
	t.operator, err = t.apikey(ctx, "--operator")
	return err
}

func (t *town) apikey(ctx context.Context, args ...string) (string, error) {
	out, err := t.program(ctx, filepath.Join(t.o.bin, "trifecta"), append([]string{"apikey", "create", "--config", t.config}, args...)...)
	if err != nil {
		return "", fmt.Errorf("apikey: %w\n%s", err, out)
	}
	return lastLine(out), nil
}

func (t *town) serve(ctx context.Context, environ ...string) error {
	p, _, err := launch(ctx, t.dir, environ, regexp.MustCompile(`"msg":"(ready)"`), 1, filepath.Join(t.o.bin, "trifecta"), "serve", "--config", t.config)
	t.gateway = p
	return err
}

// withFloor starts the floor.
func (t *town) withFloor(ctx context.Context) error {
	if t.floor != nil {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p, found, err := launch(ctx, t.dir, nil, regexp.MustCompile(`floor at (http\S+)`), 1, self, "-floor", filepath.Join(t.dir, "floor.db"), "-floor-stripe", t.stripe)
	if err != nil {
		return err
	}
	t.floor, t.floorURL = p, found[0]
	return nil
}

// call makes one request and reads the whole answer.
func (t *town) call(ctx context.Context, method, target, key, idem string, body []byte) ([]byte, int, error) {
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, in)
	if err != nil {
		return nil, 0, err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if idem != "" {
		req.Header.Set("Idempotency-Key", idem)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	out, err := io.ReadAll(resp.Body)
	return out, resp.StatusCode, errors.Join(err, resp.Body.Close())
}

// control speaks to the sandbox's control API.
func (t *town) control(ctx context.Context, method, target string, body any) error {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return err
		}
	}
	out, code, err := t.call(ctx, method, target, "", "", raw)
	if err != nil {
		return err
	}
	if code >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, target, code, out)
	}
	return nil
}

func (t *town) key(i int) string { return t.keys[i%len(t.keys)] }

// paid is the part of a payment that is measured.
type paid struct {
	ID, Status string
	Refs       struct {
		Session string `json:"checkout_session"`
		Order   string `json:"order"`
		Charge  string `json:"charge"`
	} `json:"provider_refs"`
}

// create asks for one payment.
func (t *town) create(ctx context.Context, provider, name string, i int) (paid, error) {
	var p paid
	amount := 1000 + i%9000
	body := fmt.Appendf(nil, `{"amount":%d,"currency":"usd","provider":%q,"reference":"%s-%d","return_url":"http://127.0.0.1:9/thanks"}`, amount, provider, name, i)
	out, code, err := t.call(ctx, http.MethodPost, t.api+"/v1/payments", t.key(i), fmt.Sprintf("%s-%d", name, i), body)
	if err != nil {
		return p, err
	}
	if code != http.StatusCreated {
		return p, fmt.Errorf("create: %d %s", code, out)
	}
	if err := json.Unmarshal(out, &p); err != nil || p.ID == "" {
		return p, fmt.Errorf("create: %w: %s", err, out)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintf(&t.answered, "%s %d\n", p.ID, amount) // a buffer takes everything
	return p, nil
}

// pay is customer i at the provider, who never comes back. Each has an address, and a card or a
// PayPal account: at one and the same card the rules against fraud would keep one large record.
func (t *town) pay(ctx context.Context, p paid, i int) error {
	email := fmt.Sprintf("buyer-%d@example.com", i)
	if p.Refs.Order != "" {
		return t.control(ctx, http.MethodPost, t.paypal+"/_sandbox/orders/"+p.Refs.Order+"/approve", map[string]any{"email": email, "payer_id": payerID(i)})
	}
	body := map[string]any{"card": "4242424242424242", "email": email, "fingerprint": fmt.Sprintf("bench%011d", i)}
	return t.control(ctx, http.MethodPost, t.stripe+"/_sandbox/checkout/"+p.Refs.Session+"/pay", body)
}

// payerID has the form of a PayPal account's id, whose digits leave out 0 and 1.
func payerID(i int) string {
	const digits = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
	id := []byte("BENCH22222222")
	for at := len(id) - 1; i > 0 && at >= len("BENCH"); at-- {
		id[at] = digits[i%len(digits)]
		i /= len(digits)
	}
	return string(id)
}

func (t *town) get(ctx context.Context, id string, i int) (paid, error) {
	var p paid
	out, code, err := t.call(ctx, http.MethodGet, t.api+"/v1/payments/"+id, t.key(i), "", nil)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("get: %d %s", code, out)
	}
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(out, &p)
}

// told follows the feed until n events of a type were seen.
func (t *town) told(ctx context.Context, kind string, n int, limit time.Duration) error {
	began := time.Now()
	after, seen := "", 0
	for time.Since(began) < limit {
		var page struct {
			Data []struct{ Type string }
			Next string
		}
		target := t.api + "/v1/events?limit=100"
		if after != "" {
			target += "&after=" + after
		}
		out, code, err := t.call(ctx, http.MethodGet, target, t.keys[0], "", nil)
		if err != nil {
			return err
		}
		if code != http.StatusOK {
			return fmt.Errorf("events: %d %s", code, out)
		}
		if err := json.Unmarshal(out, &page); err != nil {
			return err
		}
		for _, e := range page.Data {
			if e.Type == kind {
				seen++
			}
		}
		if seen >= n {
			return nil
		}
		after = page.Next
		if len(page.Data) < 100 {
			time.Sleep(50 * time.Millisecond)
		} else {
			time.Sleep(6 * time.Millisecond) // within the key's budget of requests
		}
	}
	return fmt.Errorf("only %d of %d events %s within %s", seen, n, kind, limit)
}

// metric sums the gateway's samples of one metric.
func (t *town) metric(ctx context.Context, name string) (float64, error) {
	out, code, err := t.call(ctx, http.MethodGet, t.internal+"/metrics", "", "", nil)
	if err != nil || code != http.StatusOK {
		return 0, fmt.Errorf("metrics: %d %w", code, err)
	}
	var sum float64
	found := false
	for line := range strings.SplitSeq(string(out), "\n") {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &v); err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum += v
		found = true
	}
	if !found {
		return 0, fmt.Errorf("there is no metric %s", name)
	}
	return sum, nil
}
