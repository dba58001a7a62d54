package stripespec

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/trifecta-pay/trifecta/providers/providertest/exchange"
)

// addrEnv names a judge that already runs, as HOST:PORT.
const addrEnv = "TRIFECTA_STRIPEMOCK"

// judgeTimeout bounds one question; the judge answers within milliseconds, but the
// machine may be busy with other packages' tests.
const judgeTimeout = 60 * time.Second

// judge is the running validator. A process has one, because starting it costs about
// two seconds.
type judge struct {
	base   string // http://HOST:PORT
	client *http.Client
	cmd    *exec.Cmd // nil if it is not ours; holds the pipe that keeps the child alive
	stderr *head
}

// sharedJudge is the one judge of this process.
var sharedJudge = sync.OnceValues(func() (*judge, error) {
	if addr := os.Getenv(addrEnv); addr != "" {
		return connect(&judge{base: "http://" + addr, stderr: &head{}})
	}
	root, err := findRoot()
	if err != nil {
		return nil, err
	}
	return start(root)
})

// connect makes sure that a judge answers, so that a wrong address is told once and
// clearly instead of by every request.
func connect(j *judge) (*judge, error) {
	j.client = &http.Client{Timeout: judgeTimeout, Transport: &http.Transport{MaxIdleConns: 64, MaxIdleConnsPerHost: 64}}
	q := url.Values{"schema": {"error"}}
	if faults, err := j.ask(context.Background(), "/_validate_object?"+q.Encode(), []byte(`{"error":{"type":"api_error"}}`)); err != nil {
		return nil, fmt.Errorf("no Stripe judge at %s: %w", j.base, err)
	} else if len(faults) > 0 {
		return nil, fmt.Errorf("the judge at %s is not tools/stripemock: %q", j.base, faults)
	}
	return j, nil
}

// start builds the judge into a temporary folder and runs it. It ends when this
// process does, however that ends: its standard input is a pipe that only we hold.
func start(root string) (*judge, error) {
	dir, err := os.MkdirTemp("", "stripemock-")
	if err != nil {
		return nil, fmt.Errorf("temporary folder: %w", err)
	}
	j, err := launch(root, filepath.Join(dir, "stripemock"))
	// A running program needs its file no longer, except on Windows, where it can't go.
	if gone := os.RemoveAll(dir); gone != nil && runtime.GOOS != "windows" {
		err = errors.Join(err, gone)
	}
	if err != nil {
		return nil, err
	}
	return connect(j)
}

func launch(root, bin string) (*judge, error) {
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	build := exec.CommandContext(context.Background(), "go", "build", "-C", filepath.Join(root, "tools", "stripemock"), "-o", bin, ".")
	// The judge is a module of its own, whatever workspace or flags the caller has.
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build -C tools/stripemock (needs the Go module proxy or a filled module cache; or set %s=HOST:PORT): %w\n%s", addrEnv, err, out)
	}
	j := &judge{stderr: &head{}, cmd: exec.CommandContext(context.Background(), bin, "-addr", "127.0.0.1:0", "-exit-on-stdin-eof")}
	j.cmd.Stderr = j.stderr
	if _, err := j.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("pipe to the judge: %w", err)
	}
	stdout, err := j.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("pipe from the judge: %w", err)
	}
	if err := j.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the judge: %w", err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		_ = j.cmd.Process.Kill() // it may have ended by itself
		ended := j.cmd.Wait()    // now stderr is complete
		return nil, fmt.Errorf("the judge said %q (%w) instead of its address and ended with %w: %s", line, err, ended, j.stderr)
	}
	j.base = "http://" + addr
	return j, nil
}

// findRoot is the module that has the judge.
func findRoot() (string, error) {
	dir, err := exchange.Root()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, "tools", "stripemock", "go.mod")); err != nil {
		return "", fmt.Errorf("the judge's module is not here: %w", err)
	}
	return dir, nil
}

// head keeps the beginning of what the judge says when something is wrong with it.
type head struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write keeps at most 8 KiB and drops the rest.
func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.b.Write(p[:min(len(p), max(0, 8<<10-h.b.Len()))])
	return len(p), nil
}

// String is what was kept.
func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.String()
}
