// Command planted proves that the tests can fail: it plants one bug after the other
// into a copy of the source, each by a patch of one place (rarely two), and runs the one test, or
// the simulator in the one mode, that must catch it. The working tree stays as it is
// (go build -overlay). It must not be wired into the product, and the product has no
// switch for it.
package main

import (
	"cmp"
	"context"
	"encoding/json"
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

// patch is one place of a bug.
type patch struct{ file, old, new string }

// bug is one patch, rarely more, and what must catch it.
type bug struct {
	name string
	file string // from the module's root
	old  string // stands there exactly once
	new  string
	// also are its other places, of a bug that takes more than one.
	also []patch
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

// patched are the files with the bug in them, by their paths from the root.
func (b bug) patched(root string) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range append([]patch{{b.file, b.old, b.new}}, b.also...) {
		if _, ok := out[p.file]; !ok {
			src, err := os.ReadFile(filepath.Join(root, p.file))
			if err != nil {
				return nil, fmt.Errorf("read what to patch: %w", err)
			}
			out[p.file] = string(src)
		}
		if n := strings.Count(out[p.file], p.old); n != 1 {
			return nil, fmt.Errorf("%s has %d places that read %q: bring the catalogue up to date", p.file, n, p.old)
		}
		out[p.file] = strings.Replace(out[p.file], p.old, p.new, 1)
	}
	return out, nil
}

// overlay writes the files with the bug, and the list of them that go build reads.
func (b bug) overlay(root, dir string) (string, error) {
	files, err := b.patched(root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, src := range files {
		original, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			return "", fmt.Errorf("find %s: %w", file, err)
		}
		replace[original] = filepath.Join(dir, fmt.Sprintf("changed%d.go", len(replace)))
		if err := os.WriteFile(replace[original], []byte(src), 0o600); err != nil {
			return "", fmt.Errorf("write the bug: %w", err)
		}
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("encode the overlay: %w", err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	return overlay, nil
}

// plant builds with the bug and runs what must catch it; nil if it was caught.
func (b bug) plant(ctx context.Context, root string) error {
	dir, err := os.MkdirTemp("", "planted")
	if err != nil {
		return fmt.Errorf("make a place to build in: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory: the system sweeps what is left
	overlay, err := b.overlay(root, dir)
	if err != nil {
		return err
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
	out, err := command(ctx, root, []string{sourceOverlay + "=" + overlay}, "go", args...)
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
	if out, err := command(ctx, root, nil, "go", "build", "-ldflags=-s -w", "-overlay", overlay, "-o", sim, "./cmd/sim"); err != nil {
		return fmt.Errorf("does not build: %s", tail(out))
	}
	args := []string{"-mode", b.mode, "-seeds", fmt.Sprint(b.seeds), "-stop", b.says}
	if b.off != "" {
		args = append(args, "-off", b.off)
	}
	out, err := command(ctx, root, nil, sim, args...)
	switch {
	case err == nil:
		return fmt.Errorf("%d seeds of %s pass with it", b.seeds, b.mode)
	case !strings.Contains(out, "FAIL "+b.mode) || !strings.Contains(out, b.says):
		return fmt.Errorf("the simulator says something else: %s", tail(out))
	}
	return nil
}

// sourceOverlay tells a test that reads source, not only runs it, where the bug is.
const sourceOverlay = "TRIFECTA_SOURCE_OVERLAY"

func command(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the go tool, and what it built
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
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
