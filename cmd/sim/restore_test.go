package main

import (
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A backup put back loses what only the record knew, and never a cent: from any moment, and
// also after the providers forgot our keys, nothing is paid, captured or refunded a second
// time, and all money is found again or told as an orphan; also where the process dies at one
// of its first writes on what was put back.
func TestRestorePoints(t *testing.T) {
	t.Parallel()
	all := os.Getenv(everyCrash) != ""
	var backups atomic.Int64
	t.Cleanup(func() { t.Logf("%d backups put back", backups.Load()) })
	for _, sc := range scenes() {
		for _, mode := range []string{modeAll, modeReconcile} {
			// An operator's decision, or a webhook alone, can't be had again from a provider.
			if sc.only != "" || sc.strangers || sc.decided {
				continue
			}
			t.Run(strings.ReplaceAll(sc.name+" "+mode, " ", "_"), func(t *testing.T) {
				t.Parallel()
				restoreScene(t, sc, mode, all, &backups)
			})
		}
	}
}

// gaps are how long after the scene the backup is put back: at once, and when PayPal, then
// Stripe, has forgotten our keys.
func gaps() []time.Duration {
	return []time.Duration{10 * time.Minute, 30 * time.Hour, 9 * 24 * time.Hour}
}

// firstWrites are the writes on what was put back after which the process dies.
const firstWrites = 10

// deathsOn are after how many writes on the i-th backup the process dies; 0: it lives.
func deathsOn(sc scene, i int, all bool) []int {
	switch {
	case !all:
		return []int{0, 1 + i%firstWrites}
	case !sc.turned && i%3 > 0:
		return []int{0}
	case !sc.turned:
		return []int{0, 1 + i/3%firstWrites}
	}
	out := make([]int, firstWrites)
	for n := range out {
		out[n] = n
	}
	return out
}

func restoreScene(t *testing.T, sc scene, mode string, all bool, backups *atomic.Int64) {
	t.Helper()
	r := runnerOf(t, wiring{})
	base, err := r.telling(sc, mode, &script{backup: &backup{at: -1}})
	if err != nil || len(base.failed) > 0 {
		t.Fatalf("without a backup: %q %v", base.failed, err)
	}
	n := len(sc.name)
	for i, m := range worth(base.marks, 12) {
		if n++; !all && (n%stride != 0 || raced) {
			continue
		}
		after := gaps()[i/2%3:][:1] // whatever the stride, each of them in turn
		if all && sc.main {
			after = gaps()
		}
		for g, gap := range after {
			for _, dies := range deathsOn(sc, i, all) {
				if sampled := dies > 0 == (n/stride%2 > 0); !all && !sampled || dies > 0 && g > 0 {
					continue // in a sample, every other backup
				}
				out, err := r.telling(sc, mode, &script{backup: &backup{at: m.n, after: gap, dies: dies}})
				if err != nil || len(out.failed) > 0 {
					t.Errorf("backup before write %d (%s), put back after %s, death after %d writes: %q %v", m.n, m.point, gap, dies, out.failed, err)
				}
				backups.Add(1)
			}
		}
	}
}
