package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/cmd/trifecta/doctor"
	"github.com/trifecta-pay/trifecta/cmd/trifecta/house"
	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mongo"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
	"github.com/trifecta-pay/trifecta/store/sqlite"
)

// programEnv, when set, makes this test binary be the program itself, so that a test
// can start it as a process of its own and kill it.
const programEnv = "TRIFECTA_TEST_BE_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		main()
	}
	os.Exit(m.Run())
}

// child is the program as a process.
type child struct {
	cmd  *exec.Cmd
	done chan struct{}
	mu   sync.Mutex
	said bytes.Buffer
}

func (c *child) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.Write(p)
}

func (c *child) output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.String()
}

func spawn(t *testing.T, args ...string) *child {
	t.Helper()
	c := &child{cmd: exec.CommandContext(context.Background(), os.Args[0], args...), done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), programEnv+"=1")
	c.cmd.Stdout, c.cmd.Stderr = c, c
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = c.cmd.Wait(); close(c.done) }() // its exit code is asked for where it counts
	t.Cleanup(func() { c.kill(t) })
	return c
}

// kill is kill -9.
func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	<-c.done
}

func (c *child) wait() int {
	<-c.done
	return c.cmd.ProcessState.ExitCode()
}

// until waits for a condition that another process brings about.
func until(t *testing.T, what string, c *child, fn func() bool) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); !fn(); {
		select {
		case <-c.done:
			t.Fatalf("the program ended before %s:\n%s", what, c.output())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("no %s in 90 s:\n%s", what, c.output())
		}
		time.Sleep(2 * time.Millisecond) // another process is at work
	}
}

// caller is a product app.
type caller struct {
	t         *testing.T
	base, key string
}

func (a caller) do(method, path, idem string, body any) (int, map[string]any) {
	a.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		a.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.base+path, bytes.NewReader(b))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.key)
	req.Header.Set("Content-Type", "application/json")
	if idem != "" {
		req.Header.Set("Idempotency-Key", idem)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		a.t.Fatalf("%s %s: %d, %v", method, path, resp.StatusCode, err)
	}
	return resp.StatusCode, out
}

// buy makes a payment and pays it at Stripe; redirect is where the customer is sent.
func (a caller) buy(stripe, order string) (id, redirect string) {
	a.t.Helper()
	code, p := a.do(http.MethodPost, "/v1/payments", order, map[string]any{
		"amount": 1999, "currency": "usd", "provider": "stripe", "reference": order, "return_url": "http://127.0.0.1:9/thanks",
	})
	if code != http.StatusCreated {
		a.t.Fatalf("create: %d %v", code, p)
	}
	refs, _ := p["provider_refs"].(map[string]any)
	resp, err := http.Post(fmt.Sprintf("%s/_sandbox/checkout/%s/pay", stripe, refs["checkout_session"]), "application/json", strings.NewReader(`{"card":"4242424242424242"}`))
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var paid struct {
		URL string `json:"redirect_url"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&paid); err != nil || paid.URL == "" {
		a.t.Fatalf("pay: %d %v", resp.StatusCode, err)
	}
	id, _ = p["id"].(string)
	return id, paid.URL
}

// comeBack is the customer's browser following the provider's redirect to us.
func comeBack(t *testing.T, redirect string) {
	t.Helper()
	browser := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(redirect)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("return: %d", resp.StatusCode)
	}
}

// sold are payments that an old shop took through all its rooms.
const sold = 20

// oldShop runs a shop on its SQLite file: payments are made, paid, some refunded. It
// returns them as its API showed them.
func (c *clinic) oldShop(key string) map[string]map[string]any {
	c.t.Helper()
	listener := httptest.NewUnstartedServer(nil)
	public := "http://" + listener.Listener.Addr().String()
	cfg, err := config.Load(config.Options{File: c.file})
	if err != nil {
		c.t.Fatal(err)
	}
	cfg.PublicURL = public
	h, err := house.Build(c.t.Context(), house.Options{Config: cfg, Clock: time.Now, Wall: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		c.t.Fatal(err)
	}
	listener.Config.Handler = h.Public
	listener.Start()
	defer listener.Close()
	app := caller{c.t, public, key}
	shown := map[string]map[string]any{}
	for i := range sold {
		id, redirect := app.buy(c.stripe.URL, fmt.Sprint("order-", i))
		if i%5 != 0 { // some never come back
			comeBack(c.t, redirect)
		}
		if i%5 == 1 {
			if code, out := app.do(http.MethodPost, "/v1/payments/"+id+"/refunds", fmt.Sprint("refund-", i), map[string]any{"amount": 300}); code >= http.StatusMultipleChoices {
				c.t.Fatalf("refund: %d %v", code, out)
			}
		}
		shown[id] = nil
	}
	if err := h.Quiesce(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	for id := range shown {
		code, p := app.do(http.MethodGet, "/v1/payments/"+id, "", nil)
		if code != http.StatusOK {
			c.t.Fatal(code, p)
		}
		shown[id] = p
	}
	if err := h.Close(); err != nil {
		c.t.Fatal(err)
	}
	return shown
}

// grow copies the shop's payments under new ids until there are n.
func (c *clinic) grow(path string, n int) {
	c.t.Helper()
	e, err := sqlite.Open(c.t.Context(), sqlite.Options{Path: path, Collections: store.Collections()})
	if err != nil {
		c.t.Fatal(err)
	}
	originals, _, err := e.Scan(c.t.Context(), "payments", "", 500)
	if err != nil || len(originals) != sold {
		c.t.Fatalf("%d payments, %v", len(originals), err)
	}
	var batch []store.Doc
	for i := sold; i < n; i++ {
		d := originals[i%sold].Clone()
		id := fmt.Sprintf("pay_%x", sha256.Sum256(fmt.Append(nil, i)))[:len(d.ID)]
		d.Body = bytes.ReplaceAll(d.Body, []byte(d.ID), []byte(id))
		d.ID, d.Version = id, d.Version+int64(i%7)
		if refs, ok := d.Index["refs"].([]string); ok {
			for j := range refs {
				refs[j] += fmt.Sprint("-", i)
			}
		}
		if batch = append(batch, d); len(batch) == 500 || i == n-1 {
			if err := e.Import(c.t.Context(), "payments", batch); err != nil {
				c.t.Fatal(err)
			}
			batch = nil
		}
	}
	if err := e.Close(); err != nil {
		c.t.Fatal(err)
	}
}

func sum(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

func openMongo(t *testing.T, url string) *mongo.Engine {
	t.Helper()
	e, err := mongo.Open(t.Context(), mongo.Options{URL: url, Collections: store.Collections()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// everything reads a store whole, but for what belongs to running processes and to the migration itself.
func everything(t *testing.T, e store.Engine) map[string][]store.Doc {
	t.Helper()
	out := map[string][]store.Doc{}
	for _, c := range store.Collections() {
		if c.Name == store.MigrationCollection().Name || c.Name == store.ReplicaCollection().Name {
			continue
		}
		for after, more := "", true; more; {
			docs, next, err := e.Scan(t.Context(), c.Name, after, 500)
			if err != nil {
				t.Fatal(err)
			}
			out[c.Name] = append(out[c.Name], docs...)
			after, more = next, next != ""
		}
	}
	return out
}

// Promise: a shop of thousands of payments moves to MongoDB with the real program, killed by kill -9 while it copies
// and while it compares. Both stores hold the same, the old file is as it was, no server starts on the half of it, and
// then the shop goes on there: old payments are shown as before and refunded, new ones are taken.
// (The database is the tests' stand-in of a replica set.)
func TestMigrateKilledTwice(t *testing.T) {
	t.Parallel()
	payments := 2000
	if os.Getenv("TRIFECTA_PROCESS_TESTS") != "" {
		payments = 10_000
	}
	c := newClinic(t)
	c.healthy()
	key := strings.TrimSpace(c.must("apikey", "create", "--config", c.file, "--app", "shop"))
	shown := c.oldShop(key)
	old := filepath.Join(c.dir, "shop.db")
	c.grow(old, payments)
	before := sum(t, old)

	set := wiretest.Start(t, wiretest.Options{})
	url := set.URL("shop")
	fresh := openMongo(t, url)
	c.change("sqlite:"+old, url)
	args := []string{"migrate", "--from", "sqlite:" + old, "--config", c.file}

	// So that no kill comes too late, however slow this test is: the set leaves everything unanswered after half of
	// the pages, and later what the comparison reads.
	set.Inject(wiretest.Fault{Command: "update", Collection: "payments", Skip: payments / 200 / 2, Times: -1, Delay: time.Hour})
	first := spawn(t, args...)
	until(t, "a part of the payments was copied", first, func() bool {
		n, err := fresh.Count(t.Context(), "payments")
		return err == nil && n >= int64(payments/5)
	})
	first.kill(t)
	set.Heal()
	if n, err := fresh.Count(t.Context(), "payments"); err != nil || n >= int64(payments) {
		t.Fatalf("the first kill came too late: %d payments, %v", n, err)
	}
	if code, _, errOut := c.run("serve", "--config", c.file); code != 1 || !strings.Contains(errOut, "is not finished") {
		t.Errorf("a server started on half a shop: exit code %d, %s", code, errOut)
	}

	set.Inject(wiretest.Fault{Command: "find", Collection: "payments", Times: -1, Delay: time.Hour})
	second := spawn(t, args...)
	until(t, "comparing", second, func() bool {
		m, found, err := store.NewMigrations(fresh).Get(t.Context())
		return err == nil && found && m.State == store.MigrationVerifying
	})
	second.kill(t)
	set.Heal()
	if err := store.CheckMigrated(t.Context(), fresh); !errors.Is(err, store.ErrMigrating) {
		t.Fatalf("the second kill came too late: %v", err)
	}

	third := spawn(t, args...)
	if code := third.wait(); code != 0 || !strings.Contains(third.output(), "is unchanged") {
		t.Fatalf("exit code %d:\n%s", code, third.output())
	}
	t.Logf("%s", third.output())
	if after := sum(t, old); after != before {
		t.Error("the old file was changed")
	}
	source, err := sqlite.Open(t.Context(), sqlite.Options{Path: old, Collections: store.Collections(), ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	want, got := everything(t, source), everything(t, fresh)
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	if len(want["payments"]) != payments || len(want["feed"]) == 0 || len(want["api_keys"]) < 3 {
		t.Fatalf("the old shop is not what was meant: %d payments", len(want["payments"]))
	}
	for name, docs := range want {
		if len(docs) != len(got[name]) {
			t.Errorf("%s: %d documents in the old store, %d in the new one", name, len(docs), len(got[name]))
			continue
		}
		for i := range docs {
			if !reflect.DeepEqual(docs[i], got[name][i]) { // cmp takes a minute for thousands
				t.Fatalf("%s (-old +new):\n%s", name, cmp.Diff(docs[i], got[name][i]))
			}
		}
	}
	c.goesOn(key, shown)
	if sum(t, old) != before {
		t.Error("the old file was changed by the shop that left it")
	}
}

// goesOn runs the configured shop as a process and trades.
func (c *clinic) goesOn(key string, shown map[string]map[string]any) {
	t := c.t
	t.Helper()
	addr := wiretest.ReserveFor(t).Addr
	c.change(c.public.URL, "http://"+addr)
	c.text += fmt.Sprintf("http: {addr: %q, internal_addr: \"127.0.0.1:0\"}\n", addr)
	c.write()
	server := spawn(t, "serve", "--config", c.file)
	until(t, "ready", server, func() bool { return strings.Contains(server.output(), `"msg":"ready"`) })
	app := caller{t, "http://" + addr, key}
	refunded := ""
	for id, was := range shown {
		code, now := app.do(http.MethodGet, "/v1/payments/"+id, "", nil)
		if code != http.StatusOK {
			t.Fatalf("an old payment is gone: %d %v", code, now)
		}
		delete(was, "checkout") // its URL follows public_url
		delete(now, "checkout")
		if diff := cmp.Diff(was, now); diff != "" {
			t.Errorf("an old payment looks different (-was +is):\n%s", diff)
		}
		if now["status"] == "succeeded" {
			refunded = id
		}
	}
	if code, out := app.do(http.MethodPost, "/v1/payments/"+refunded+"/refunds", "refund-new", map[string]any{"amount": 100}); code >= http.StatusMultipleChoices {
		t.Errorf("refund of an old payment: %d %v", code, out)
	}
	id, redirect := app.buy(c.stripe.URL, "order-new")
	comeBack(t, redirect)
	if code, p := app.do(http.MethodGet, "/v1/payments/"+id, "", nil); code != http.StatusOK || p["status"] != "succeeded" {
		t.Errorf("a new payment: %d %v", code, p)
	}
	// The same request as before the move is the same payment: the key came along.
	if code, p := app.do(http.MethodPost, "/v1/payments", "order-1", map[string]any{
		"amount": 1999, "currency": "usd", "provider": "stripe", "reference": "order-1", "return_url": "http://127.0.0.1:9/thanks",
	}); shown[fmt.Sprint(p["id"])] == nil {
		t.Errorf("an old idempotency key made a new payment: %d %v", code, p)
	}
	server.kill(t)
}

// Promise: migrate without --from makes what MongoDB needs, says so, may be repeated, and run by several at once; with
// --dry-run it makes nothing. serve refuses the database before that, and doctor says what is missing.
func TestMigrateIndexes(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.healthy()
	set := wiretest.Start(t, wiretest.Options{})
	url := set.URL("shop")
	c.change("sqlite:"+filepath.Join(c.dir, "shop.db"), url)
	if out := c.must("migrate", "--config", c.file, "--dry-run"); !strings.Contains(out, "missing payments.by_ref") {
		t.Errorf("dry run:\n%s", out)
	}
	if n := set.Count("createIndexes"); n != 0 {
		t.Errorf("the dry run made %d indexes", n)
	}
	code, r := c.examine()
	at := slices.IndexFunc(r.Findings, func(f doctor.Finding) bool {
		return f.Check == "store.indexes" && f.Mark == doctor.Fail && strings.Contains(f.What, "payments.by_ref") && strings.Contains(f.Fix, "trifecta migrate")
	})
	if code != 1 || at < 0 {
		t.Errorf("doctor before: exit code %d, %+v", code, r.Findings)
	}
	var wg sync.WaitGroup
	outs := make([]string, 4)
	for i := range outs {
		wg.Go(func() {
			var out, errOut bytes.Buffer
			if code := run(t.Context(), []string{"migrate", "--config", c.file}, nil, &out, &errOut); code != 0 {
				t.Errorf("one of several: exit code %d\n%s", code, errOut.String())
			}
			outs[i] = out.String()
		})
	}
	wg.Wait()
	if all := strings.Join(outs, ""); !strings.Contains(all, "created index payments.by_ref") || strings.Count(all, "is ready") != len(outs) {
		t.Errorf("%s", all)
	}
	if out := c.must("migrate", "--config", c.file); strings.Contains(out, "created") {
		t.Errorf("again:\n%s", out)
	}
	c.must("apikey", "create", "--config", c.file, "--app", "shop")
	c.must("apikey", "create", "--config", c.file, "--operator")
	code, r = c.examine("--strict")
	if code != 0 {
		t.Errorf("doctor after: exit code %d, %+v", code, r.Findings)
	}
	for _, check := range []string{"store.indexes", "store.replicas", "store.write"} {
		if !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return f.Check == check && f.Mark == doctor.OK }) {
			t.Errorf("doctor says nothing of %s: %+v", check, r.Findings)
		}
	}
}

// Promise: a server that is at work is not copied from under, and what the command is asked that makes no sense is
// refused before anything is opened.
func TestMigrateRefusals(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.healthy()
	old := "sqlite:" + filepath.Join(c.dir, "shop.db")
	set := wiretest.Start(t, wiretest.Options{})
	url := set.URL("shop")
	e := openMongo(t, url)
	if _, err := e.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ctx := t.Context()
	if err := store.NewReplicas(e).Announce(ctx, store.Presence{ID: "busy-server", Host: "host-1", Started: now, Expires: now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"--from", old, "--to", url}, "busy-server"},
		{[]string{"--from", old, "--to", url, "--dry-run"}, "busy-server"},
		{[]string{"--from", url, "--to", old + ".new"}, "busy-server"},
		{[]string{"--to", url}, "--to needs --from"},
		{[]string{"--from", old, "--to", url, "--config", c.file}, "not both"},
		{[]string{"--from", old, "--config", c.file}, "both stores are"},
		// The names of these are withheld. They are two stores, and one of them may have been copied from before.
		{[]string{"--from", "mongodb://u:pw@h1/shop?x=a@b", "--to", "mongodb://u:pw@h2/shop?x=a@b"}, "the store to copy: "},
		{[]string{"--from", "mongodb://u:pw@h1/shop?x=a@b", "--to", url}, "%40"},
		{[]string{"--from", old, "--to", "mongodb://u:pw@h2/shop?x=a@b"}, "the store to copy into: "},
		{[]string{"--from", "postgres://x", "--to", url}, "must be sqlite:FILE or mongodb://"},
		{[]string{"--from", old + ".nope", "--to", url}, "no such file"},
	} {
		code, _, errOut := c.run(append([]string{"migrate"}, test.args...)...)
		if code != 1 || !strings.Contains(errOut, test.says) {
			t.Errorf("%v: exit code %d, %s", test.args, code, errOut)
		}
	}
	if err := store.CheckMigrated(ctx, e); err != nil {
		t.Errorf("a refusal marked the database: %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "shop.db.nope")); err == nil {
		t.Error("a store to copy was made")
	}
}

// Promise: progress shows how much is done, how fast and how long it will take; a line now and then where nobody
// watches.
func TestProgress(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	bar := newProgress(&out, func() time.Time { return now })
	for done := int64(0); done <= 1000; done += 100 {
		bar.show("copying", "payments", done, 1000)
		now = now.Add(2 * time.Second)
	}
	bar.show("verifying", "payments", 10, 1000)
	bar.end()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) < 4 || len(lines) > 8 {
		t.Fatalf("%d lines:\n%s", len(lines), out.String())
	}
	if want := regexp.MustCompile(`^copying +\[######\.+\] 300 of 1000  50/s  15s left  payments$`); !want.MatchString(lines[1]) {
		t.Errorf("%q", lines[1])
	}
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "verifying") {
		t.Errorf("the new stage is not shown: %q", last)
	}
}
