package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trifecta-pay/trifecta/providers/sandbox/paypalapi"
)

// keys makes the certificates once for all tests: it takes longer than a seed.
var keys = sync.OnceValues(func() (*paypalapi.Chain, error) { return paypalapi.NewChain(began(), nil) })

func runnerOf(t *testing.T, w wiring) *runner {
	t.Helper()
	chain, err := keys()
	if err != nil {
		t.Fatal(err)
	}
	return &runner{chain: chain, wiring: w}
}

func play(t *testing.T, w wiring, mode string, seed uint64, off ...string) result {
	t.Helper()
	r := runnerOf(t, w)
	res, err := r.run(seed, mode, off, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Every promise of the product (I1 to I9) holds under every fault, with each layer
// alone as well. A failing seed says how to see it again.
func TestSeeds(t *testing.T) {
	t.Parallel()
	for _, mode := range modes() {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := runnerOf(t, wiring{})
			var out strings.Builder
			if bad := r.series(mode, 1, few, nil, false, &out, map[string]int{}); bad > 0 {
				t.Errorf("%d seeds failed:\n%s", bad, out.String())
			}
		})
	}
}

// Seeds that once found something are played for ever.
func TestRegressions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seed uint64
		mode string
		off  string
		was  string
	}{
		{5, modeWebhook, "provider_outage,clock_jump,wrong_money", "the reversal of a lost PayPal dispute was called an orphan"},
		{670, modeWebhook, "store_outage", "an empty answer was read as no disputes"},
	} {
		t.Run(fmt.Sprint(c.mode, c.seed), func(t *testing.T) {
			t.Parallel()
			if res := play(t, wiring{}, c.mode, c.seed, strings.Split(c.off, ",")...); len(res.failed) > 0 {
				t.Errorf("again (%s): %q", c.was, res.failed)
			}
		})
	}
}

// A seed plays the same way every time, in another process with other keys too:
// without that, no failure could be seen again.
func TestReplay(t *testing.T) {
	t.Parallel()
	other, err := newRunner(wiring{})
	if err != nil {
		t.Fatal(err)
	}
	for seed := range replays {
		mode := modes()[seed%4]
		a := play(t, wiring{}, mode, 1000+seed)
		b, err := other.run(1000+seed, mode, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.hash != b.hash || a.lines != b.lines {
			t.Errorf("%s: two traces: %s of %d lines, %s of %d lines", replayLine(1000+seed, mode, nil), a.hash, a.lines, b.hash, b.lines)
		}
	}
}

// A class that is switched off leaves the other draws of a seed as they were, so
// that a failing seed can be made smaller.
func TestShrinkingKeepsTheRest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		whole := draw(seed, modeAll, nil)
		for _, class := range faultClasses() {
			less := draw(seed, modeAll, []string{class})
			if less.has(class) || less.payments != whole.payments || less.faulty != whole.faulty {
				t.Fatalf("seed %d without %s: %+v", seed, class, less)
			}
			for _, other := range faultClasses() {
				if other != class && less.rate[other] != whole.rate[other] {
					t.Fatalf("seed %d without %s changed %s", seed, class, other)
				}
			}
		}
	}
}

// Each class of fault is off in about 30 % of the seeds, and on in the others.
func TestSwarm(t *testing.T) {
	t.Parallel()
	const n = 2000
	off := map[string]int{}
	for seed := range uint64(n) {
		p := draw(seed, modeAll, nil)
		for _, class := range faultClasses() {
			if !p.has(class) {
				off[class]++
			}
		}
	}
	for _, class := range faultClasses() {
		if got := float64(off[class]) / n; got < offShare-0.05 || got > offShare+0.05 {
			t.Errorf("%s is off in %.0f %% of the seeds", class, 100*got)
		}
	}
}

// The command refuses what it does not know, and says how to see a seed again.
func TestCommand(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if run([]string{"-mode", "sideways"}, &out) != 2 || run([]string{"-off", "gravity"}, &out) != 2 {
		t.Errorf("taken: %s", out.String())
	}
	out.Reset()
	if code := run([]string{"-mode", modeAll, "-seed", "7", "-v", "-off", faultCrash}, &out); code != 0 || !strings.Contains(out.String(), "HEAL") || !strings.Contains(out.String(), "trace ") {
		t.Errorf("exit %d: %.2000s", code, out.String())
	}
	if line := replayLine(7, modeAll, []string{faultCrash}); !slices.Contains(strings.Fields(line), "crash") {
		t.Error(line)
	}
}
