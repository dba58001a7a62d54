package main

import (
	"runtime/debug"
	"strings"
)

// collectorPercent lets the heap grow to four times what is in use before it is
// collected, where Go's own default is twice. What a server keeps is some 10 MiB, so
// this costs some 45 MiB under load (measured by cmd/bench) and saves two thirds of
// the collections, which took an eighth of all CPU.
const collectorPercent = 300

// easeCollector sets collectorPercent, unless the environment says what is wanted: GOGC,
// or GOMEMLIMIT without which a small container would be killed.
func easeCollector(environ []string) (eased bool) {
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if (name == "GOGC" || name == "GOMEMLIMIT") && value != "" {
			return false
		}
	}
	debug.SetGCPercent(collectorPercent)
	return true
}
