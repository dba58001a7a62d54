package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one program under measurement.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	mu   sync.Mutex
	logs []string
}

// readyWait is how long a program may take to say that it is ready.
const readyWait = 60 * time.Second

// launch starts a program with additions to its environment, and waits until its output matches ready as often as
// wanted; it returns what the groups matched.
func launch(ctx context.Context, environ []string, ready *regexp.Regexp, wanted int, name string, args ...string) (*process, []string, error) {
	p := &process{cmd: exec.CommandContext(ctx, name, args...), done: make(chan struct{})} //nolint:gosec // our own programs
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.Env = append(os.Environ(), environ...)
	p.cmd.WaitDelay = 15 * time.Second
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		return nil, nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		_ = w.Close()
		close(p.done)
	}()
	found := make(chan string, 16)
	go p.read(r, ready, found)
	timeout := time.After(readyWait)
	var out []string
	for len(out) < wanted {
		select {
		case m := <-found:
			out = append(out, m)
		case <-p.done:
			return nil, nil, fmt.Errorf("%s ended:\n%s", name, p.tail())
		case <-timeout:
			p.stop()
			return nil, nil, fmt.Errorf("%s never became ready:\n%s", name, p.tail())
		}
	}
	return p, out, nil
}

func (p *process) read(r io.Reader, ready *regexp.Regexp, found chan<- string) {
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		p.mu.Lock()
		if len(p.logs) > 200 {
			p.logs = p.logs[100:]
		}
		p.logs = append(p.logs, scan.Text())
		p.mu.Unlock()
		if m := ready.FindStringSubmatch(scan.Text()); m != nil {
			select {
			case found <- strings.Join(m[1:], ""):
			default:
			}
		}
	}
}

// tail is the last the program said.
func (p *process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.logs[max(0, len(p.logs)-10):], "\n")
}

// stop ends the program as an operator would.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// clockTick is what /proc/PID/stat counts CPU time in: USER_HZ, 100 on every
// architecture of Linux that Go runs on (proc(5)).
const clockTick = 10 * time.Millisecond

// cpu is the CPU time the process has used, by Linux's own count.
func (p *process) cpu() (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("CPU time is read from /proc, which only Linux has: %w", err)
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest) // from field 3 of proc(5) on: utime and stime are 14 and 15
	if len(fields) < 13 {
		return 0, errors.New("/proc/PID/stat has too few fields")
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// memory is the process's resident memory in MiB now, and the most it ever was.
func (p *process) memory() (now, most float64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		name, value, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		if err != nil {
			continue
		}
		switch name {
		case "VmRSS":
			now = kib / 1024
		case "VmHWM":
			most = kib / 1024
		}
	}
	return now, most, nil
}

// program runs another program to its end.
func (t *town) program(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput() //nolint:gosec // our own programs
	return string(out), err
}
