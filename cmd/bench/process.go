package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one program under measurement.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	log  string // the file with all it says
}

const (
	// readyWait is how long a program may take to say that it is ready, readyEvery how
	// often is looked whether it has.
	readyWait  = 60 * time.Second
	readyEvery = 2 * time.Millisecond
	// tailBytes bounds what of a log is shown when a program fails.
	tailBytes = 4 << 10
)

// launch starts a program with additions to its environment, and waits until its output matches ready as often as
// wanted; it returns what the groups matched. What the program says goes to a file in dir, as it would on a server: to
// read it here while it is under load would take its machine's time, for each line more than to write it.
func launch(ctx context.Context, dir string, environ []string, ready *regexp.Regexp, wanted int, name string, args ...string) (*process, []string, error) {
	out, err := os.CreateTemp(dir, filepath.Base(name)+"-*.log")
	if err != nil {
		return nil, nil, err
	}
	// The program has a descriptor of its own.
	defer func() { _ = out.Close() }()

	p := &process{cmd: exec.CommandContext(ctx, name, args...), done: make(chan struct{}), log: out.Name()} //nolint:gosec // our own programs
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.Env = append(os.Environ(), environ...)
	p.cmd.WaitDelay = 15 * time.Second
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	timeout := time.After(readyWait)
	for {
		if found := p.said(ready); len(found) >= wanted {
			return p, found, nil
		}
		select {
		case <-time.After(readyEvery):
		case <-p.done:
			return nil, nil, fmt.Errorf("%s ended:\n%s", name, p.tail())
		case <-timeout:
			p.stop()
			return nil, nil, fmt.Errorf("%s never became ready:\n%s", name, p.tail())
		}
	}
}

// said are the matches in what the program has said in whole lines so far.
func (p *process) said(ready *regexp.Regexp) (found []string) {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return nil // it is looked for again, until the wait is over
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	for _, m := range ready.FindAllSubmatch(text, -1) {
		found = append(found, string(bytes.Join(m[1:], nil)))
	}
	return found
}

// tail is the last the program said.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-tailBytes):])
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
