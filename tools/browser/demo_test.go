package browser

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
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// demo is a running `trifecta demo` of its own.
type demo struct {
	shop, inbox, api, stripe, paypal string
	log                              *bytes.Buffer
}

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "trifecta-browser-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "trifecta")
	build := exec.Command("go", "build", "-C", "../..", "-o", binary, "./cmd/trifecta")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// startDemo runs the demo on free ports and reads from its welcome where to go,
// as a newcomer would.
func startDemo(t *testing.T, args ...string) *demo {
	t.Helper()
	free := "127.0.0.1:0"
	cmd := exec.Command(binary, append([]string{"demo", "--addr", free, "--internal-addr", free, "--shop-addr", free, "--mail-addr", free, "--stripe-addr", free, "--paypal-addr", free}, args...)...)
	d := &demo{log: &bytes.Buffer{}}
	cmd.Stderr = d.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the demo did not stop cleanly: %v", err)
			}
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			t.Error("the demo did not stop within a minute of SIGTERM")
		}
		if t.Failed() {
			t.Log(d.log.String())
		}
	})
	lines := bufio.NewScanner(out)
	find := regexp.MustCompile(`(Open the shop|Open the inbox|API and its docs|Stripe sandbox|PayPal sandbox)\s+(http://127\.0\.0\.1:\d+)`)
	for lines.Scan() {
		if m := find.FindStringSubmatch(lines.Text()); m != nil {
			switch m[1] {
			case "Open the shop":
				d.shop = m[2]
			case "Open the inbox":
				d.inbox = m[2]
			case "API and its docs":
				d.api = m[2]
			case "Stripe sandbox":
				d.stripe = m[2]
			case "PayPal sandbox":
				d.paypal = m[2]
			}
		}
		if d.paypal != "" && d.shop != "" && d.inbox != "" {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return d
		}
	}
	t.Fatalf("the demo said nothing useful: %s", d.log)
	return nil
}

// control calls a control route of a sandbox.
func (d *demo) control(t *testing.T, method, url string, body any) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %s: %d %s", method, url, resp.StatusCode, text)
	}
}

// captures are both providers' captures so far, in minor units.
func (d *demo) captures(t *testing.T) []int64 {
	t.Helper()
	out := []int64{}
	for _, sandbox := range []string{d.stripe, d.paypal} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, sandbox+"/_sandbox/ledger", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var book struct {
			Data []struct {
				Kind   string
				Amount int64
			}
		}
		err = json.NewDecoder(resp.Body).Decode(&book)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range book.Data {
			if row.Kind == "capture" {
				out = append(out, row.Amount)
			}
		}
	}
	return out
}

func (d *demo) wantCaptures(t *testing.T, want ...int64) {
	t.Helper()
	if got := d.captures(t); fmt.Sprint(got) != fmt.Sprint(append([]int64{}, want...)) {
		t.Errorf("the provider's book has captures %v, want %v", got, want)
	}
}

// screen is how a person looks at it.
type screen struct {
	width, height int64
	script        bool
	dark          bool
}

var desk = screen{width: 1200, height: 900, script: true}

// person is one browser tab with a fresh profile.
type person struct {
	t    *testing.T
	ctx  context.Context
	name string
	shot int
	// script is whether the person has JavaScript.
	script bool
}

func open(t *testing.T, s screen) *person {
	t.Helper()
	exe := os.Getenv("CHROMIUM")
	if exe == "" {
		exe = "chromium"
	}
	path, err := exec.LookPath(exe)
	if err != nil {
		t.Fatalf("no browser: %v (install Debian's chromium, or set CHROMIUM)", err)
	}
	opts := append([]chromedp.ExecAllocatorOption{}, chromedp.DefaultExecAllocatorOptions[:]...)
	profile, err := os.MkdirTemp("", "trifecta-profile-")
	if err != nil {
		t.Fatal(err)
	}
	// Chromium may still be writing when it is told to go: what is left is not
	// the test's concern.
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	opts = append(opts, chromedp.ExecPath(path), chromedp.WSURLReadTimeout(2*time.Minute), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("no-first-run", true), chromedp.WindowSize(int(s.width), int(s.height)))
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(stopAlloc)
	ctx, stop := chromedp.NewContext(alloc)
	t.Cleanup(stop)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	p := &person{t: t, ctx: ctx, script: s.script, name: strings.ReplaceAll(t.Name(), "/", "-")}
	scheme := "light"
	if s.dark {
		scheme = "dark"
	}
	p.run(
		emulation.SetDeviceMetricsOverride(s.width, s.height, 1, s.width < 600),
		emulation.SetScriptExecutionDisabled(!s.script),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
	)
	return p
}

func (p *person) run(actions ...chromedp.Action) {
	p.t.Helper()
	if err := chromedp.Run(p.ctx, actions...); err != nil {
		p.picture("failed")
		p.t.Fatalf("%v\n%s", err, p.text())
	}
}

func (p *person) visit(url string) { p.t.Helper(); p.run(chromedp.Navigate(url)) }

// click presses what a selector finds and waits for the next page.
func (p *person) click(selector string) {
	p.t.Helper()
	if _, err := chromedp.RunResponse(p.ctx, chromedp.Click(selector, chromedp.ByQuery)); err != nil {
		p.picture("failed")
		p.t.Fatalf("click %s: %v\n%s", selector, err, p.text())
	}
}

func (p *person) fill(selector, value string) {
	p.t.Helper()
	p.run(chromedp.SetValue(selector, value, chromedp.ByQuery))
}

// text is what the person reads.
func (p *person) text() string {
	var s string
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	_ = chromedp.Run(ctx, chromedp.Text("body", &s, chromedp.ByQuery))
	return s
}

func (p *person) sees(want string) {
	p.t.Helper()
	if s := p.text(); !strings.Contains(strings.ToLower(s), strings.ToLower(want)) {
		p.picture("failed")
		p.t.Fatalf("the page does not say %q:\n%s", want, s)
	}
}

func (p *person) url() string {
	p.t.Helper()
	var s string
	p.run(chromedp.Location(&s))
	return s
}

// picture keeps a screenshot where SHOTS says.
func (p *person) picture(what string) {
	dir := os.Getenv("SHOTS")
	if dir == "" {
		return
	}
	var png []byte
	if err := chromedp.Run(p.ctx, chromedp.FullScreenshot(&png, 100)); err != nil {
		p.t.Logf("no picture: %v", err)
		return
	}
	p.shot++
	name := filepath.Join(dir, fmt.Sprintf("%s-%02d-%s.png", p.name, p.shot, what))
	if err := os.WriteFile(name, png, 0o600); err != nil {
		p.t.Error(err)
	}
}

// fits says that nothing has to be scrolled sideways.
func (p *person) fits() {
	p.t.Helper()
	var inner, scroll int64
	if err := chromedp.Run(p.ctx,
		emulation.SetScriptExecutionDisabled(false),
		chromedp.Evaluate("window.innerWidth", &inner), chromedp.Evaluate("document.documentElement.scrollWidth", &scroll)); err != nil {
		p.t.Fatal(err)
	}
	if scroll > inner {
		p.t.Errorf("the page is %d px wide on a screen of %d: %s", scroll, inner, p.url())
	}
}
