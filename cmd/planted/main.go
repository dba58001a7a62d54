// Command planted proves that the tests can fail: it plants one bug after the other
// into a copy of the source, each by a patch of one place, and runs the one test, or
// the simulator in the one mode, that must catch it. The working tree stays as it is
// (go build -overlay). It must not be wired into the product, and the product has no
// switch for it.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out io.Writer) int {
	fs := flag.NewFlagSet("planted", flag.ContinueOnError)
	fs.SetOutput(out)
	which := fs.String("run", "", "only bugs whose name matches this pattern")
	jobs := fs.Int("jobs", 2, "how many at a time")
	if fs.Parse(args) != nil {
		return 2
	}
	pattern, err := regexp.Compile(*which)
	if err != nil {
		_, _ = fmt.Fprintln(out, err) // nobody left to tell
		return 2
	}
	began := time.Now()
	var mu sync.Mutex
	caught, failed := 0, 0
	var all sync.WaitGroup
	slots := make(chan struct{}, max(*jobs, 1))
	bugs := catalogue()
	// The long ones first, so that none is left alone at the end.
	slices.SortStableFunc(bugs, func(a, b bug) int { return cmp.Compare(b.seeds, a.seeds) })
	for _, b := range bugs {
		if !pattern.MatchString(b.name) {
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			start := time.Now()
			err := b.plant(ctx, ".")
			<-slots
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed++
				_, _ = fmt.Fprintf(out, "NOT CAUGHT %s: %v\n", b.name, err)
				return
			}
			caught++
			_, _ = fmt.Fprintf(out, "caught %-34s by %s (%.1f s)\n", b.name, b.by(), time.Since(start).Seconds())
		})
	}
	all.Wait()
	_, _ = fmt.Fprintf(out, "%d planted bugs caught, %d not, in %s\n", caught, failed, time.Since(began).Round(time.Second))
	if failed > 0 || caught == 0 {
		return 1
	}
	return 0
}

// bug is one patch and what must catch it.
type bug struct {
	name string
	file string // from the module's root
	old  string // stands there exactly once
	new  string
	// test is the test in pkg that must fail.
	pkg, test string
	// mode is the simulator's instead, which must say so within so many seeds. off is a class of fault that is switched off,
	// where with it the bug takes hundreds of seeds to show.
	mode  string
	seeds int
	off   string
	says  string
}

func (b bug) by() string {
	if b.mode != "" {
		return "the simulator, " + b.mode
	}
	return b.test + " in " + strings.TrimPrefix(b.pkg, "./")
}

// patched is the file with the bug in it.
func (b bug) patched(root string) ([]byte, error) {
	src, err := os.ReadFile(filepath.Join(root, b.file))
	if err != nil {
		return nil, fmt.Errorf("read what to patch: %w", err)
	}
	if n := strings.Count(string(src), b.old); n != 1 {
		return nil, fmt.Errorf("%s has %d places that read %q: bring the catalogue up to date", b.file, n, b.old)
	}
	return []byte(strings.Replace(string(src), b.old, b.new, 1)), nil
}

// plant builds with the bug and runs what must catch it; nil if it was caught.
func (b bug) plant(ctx context.Context, root string) error {
	src, err := b.patched(root)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "planted")
	if err != nil {
		return fmt.Errorf("make a place to build in: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory: the system sweeps what is left
	original, err := filepath.Abs(filepath.Join(root, b.file))
	if err != nil {
		return fmt.Errorf("find %s: %w", b.file, err)
	}
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		return fmt.Errorf("encode the overlay: %w", err)
	}
	if err := errors.Join(os.WriteFile(changed, src, 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		return fmt.Errorf("write the overlay: %w", err)
	}
	if b.mode != "" {
		return b.simulate(ctx, root, dir, overlay)
	}
	// Vetted is the source as it is, and of what is built once for one test nothing is worth optimizing.
	args := []string{"test", "-vet=off", "-gcflags=github.com/trifecta-pay/trifecta/...=-N -l", "-overlay", overlay, "-count=1", "-timeout", "10m", "-run", "^(" + b.test + ")$", b.pkg}
	if b.pkg == inPayment {
		// No failure is kept as an example to try first, or made smaller; and what is drawn is the same each time, and enough.
		args = append(args, "-rapid.nofailfile", "-rapid.shrinktime=0s", "-rapid.checks=2000", "-rapid.seed=1")
	}
	out, err := command(ctx, root, "go", args...)
	switch {
	case err == nil:
		return fmt.Errorf("%s in %s passes with it", b.test, b.pkg)
	case !regexp.MustCompile(`(?m)^--- FAIL: (` + b.test + `) `).MatchString(out):
		return fmt.Errorf("%s did not run: %s", b.test, tail(out))
	}
	return nil
}

func (b bug) simulate(ctx context.Context, root, dir, overlay string) error {
	sim := filepath.Join(dir, "sim")
	if out, err := command(ctx, root, "go", "build", "-ldflags=-s -w", "-overlay", overlay, "-o", sim, "./cmd/sim"); err != nil {
		return fmt.Errorf("does not build: %s", tail(out))
	}
	args := []string{"-mode", b.mode, "-seeds", fmt.Sprint(b.seeds), "-stop", b.says}
	if b.off != "" {
		args = append(args, "-off", b.off)
	}
	out, err := command(ctx, root, sim, args...)
	switch {
	case err == nil:
		return fmt.Errorf("%d seeds of %s pass with it", b.seeds, b.mode)
	case !strings.Contains(out, "FAIL "+b.mode) || !strings.Contains(out, b.says):
		return fmt.Errorf("the simulator says something else: %s", tail(out))
	}
	return nil
}

func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the go tool, and what it built
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err //nolint:wrapcheck // an exit status, read by the caller
}

// tail is the end of an output.
func tail(out string) string {
	if len(out) > 600 {
		out = "…" + out[len(out)-600:]
	}
	return strings.TrimSpace(out)
}
