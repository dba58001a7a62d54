package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// Promise: a running server gives a key to whoever has an operator's, alone on stdout; who has
// none hears what to do.
func TestKeyFromAServer(t *testing.T) {
	t.Parallel()
	var asked map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer tk_op_x" || r.URL.Path != "/v1/api_keys" || r.Header.Get("Idempotency-Key") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		asked = nil
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusCreated)
		if asked["app"] == "lost" {
			_, _ = fmt.Fprint(w, `{"id":"key_1","key":null}`)
			return
		}
		_, _ = fmt.Fprint(w, `{"id":"key_1","key":"tk_test_new"}`)
	}))
	t.Cleanup(server.Close)
	create := func(key string, args ...string) (code int, out, errOut string) {
		var o, e strings.Builder
		code = run(t.Context(), append([]string{"apikey", "create", "--server", server.URL}, args...), []string{operatorKeyVariable + "=" + key}, &o, &e)
		return code, o.String(), e.String()
	}
	for args, want := range map[string]map[string]any{
		"--app shop": {"app": "shop"}, "--app shop --scopes payments:read,refunds:write": {"app": "shop", "scopes": []any{"payments:read", "refunds:write"}},
		"--operator": {"operator": true},
	} {
		code, out, errOut := create("tk_op_x", strings.Fields(args)...)
		if d := cmp.Diff(want, asked); code != 0 || out != "tk_test_new\n" || d != "" {
			t.Errorf("%s: exit code %d, %q, %q, asked (-want +got):\n%s", args, code, out, errOut, d)
		}
	}
	for says, args := range map[string][]string{
		"--app NAME or --operator": {}, "everything": {"--app", "shop", "--scopes", "everything"}, "revoke what was made": {"--app", "lost"},
		"may do everything": {"--operator", "--scopes", "payments:read"},
	} {
		if code, out, errOut := create("tk_op_x", args...); code != 1 || out != "" || !strings.Contains(errOut, says) {
			t.Errorf("%v: exit code %d, %q, %q", args, code, out, errOut)
		}
	}
	if code, _, errOut := create("tk_op_wrong", "--app", "shop"); code != 1 || !strings.Contains(errOut, "operator key") {
		t.Errorf("a wrong key: exit code %d, %q", code, errOut)
	}
}
