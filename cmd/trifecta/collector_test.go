package main

import (
	"runtime/debug"
	"testing"
)

// Guards: memory is the operator's to decide; only where they say nothing do we.
//
//nolint:paralleltest // the collector is the process's
func TestCollectorIsTheOperators(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	for name, c := range map[string]struct {
		environ []string
		percent int
	}{
		"nothing said":    {[]string{"HOME=/", "GOGCX=1"}, collectorPercent},
		"empty is unsaid": {[]string{"GOGC="}, collectorPercent},
		"GOGC":            {[]string{"GOGC=50"}, 100},
		"GOMEMLIMIT":      {[]string{"GOMEMLIMIT=100MiB"}, 100},
	} {
		debug.SetGCPercent(100)
		eased := easeCollector(c.environ)
		if got := debug.SetGCPercent(100); got != c.percent || eased != (c.percent == collectorPercent) {
			t.Errorf("%s: %d %%, eased %v, want %d %%", name, got, eased, c.percent)
		}
	}
}
