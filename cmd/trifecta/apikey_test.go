package main

import (
	"strings"
	"testing"
)

// E8: Promise: a key can't be guessed. What is random in it are at least 256 bits: 52
// characters of an alphabet of 32, each of which takes every value at every place.
func TestE8KeysCantBeGuessed(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.healthy()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	seen := map[string]bool{}
	values := map[int]map[rune]bool{}
	for range 20 {
		key := strings.TrimSpace(c.must("apikey", "create", "--config", c.file, "--app", "shop"))
		random, ok := strings.CutPrefix(key, "tk_test_")
		if !ok || len(random)*5 < 256 || strings.Trim(random, alphabet) != "" || seen[random] {
			t.Fatalf("a key of %d characters, seen before: %v", len(key), seen[random])
		}
		seen[random] = true
		for at, r := range random {
			if values[at] == nil {
				values[at] = map[rune]bool{}
			}
			values[at][r] = true
		}
	}
	for at, v := range values { // 20 draws of 32 with fewer than 4 values: less than once in 10^13
		if len(v) < 4 {
			t.Errorf("character %d of the random part takes only %d values in 20 keys", at, len(v))
		}
	}
}
