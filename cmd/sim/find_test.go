package main

import (
	"os"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	if os.Getenv("FIND") == "" {
		t.Skip()
	}
	for _, b := range bugs() {
		r := runnerOf(t, b.wiring())
		for seed := uint64(1); seed < 150; seed++ {
			res, err := r.run(draw(seed, b.mode, nil), seed, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(res.failed) > 0 && strings.Contains(strings.Join(res.failed, "\n"), b.says) {
				clean := play(t, b.without, b.mode, seed)
				t.Logf("%s: seed %d %v clean=%d: %s", b.name, seed, b.mode, len(clean.failed), res.failed[0])
				if len(clean.failed) == 0 {
					break
				}
			}
			if seed == 149 {
				t.Logf("%s: NOT", b.name)
			}
		}
	}
}
