package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Promise: what an operator types about an alert is what the server is asked.
func TestAlertCommands(t *testing.T) {
	t.Parallel()
	for args, want := range map[string][]any{
		"ack inc_a":             {"POST /v1/alerts/inc_a/ack"},
		"resolve inc_a":         {"POST /v1/alerts/inc_a/resolve"},
		"snooze inc_a":          {"POST /v1/alerts/inc_a/snooze", 86400.0},
		"snooze inc_a --for 8h": {"POST /v1/alerts/inc_a/snooze", 28800.0},
	} {
		var got []any
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := map[string]any{}
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			if got = []any{r.Method + " " + r.URL.Path}; body["seconds"] != nil {
				got = append(got, body["seconds"])
			}
			_, _ = w.Write([]byte("{}"))
		}))
		var out, errOut strings.Builder
		code := run(t.Context(), append(append([]string{"alerts"}, strings.Fields(args)...), "--server", server.URL), []string{operatorKeyVariable + "=tk_op_x"}, &out, &errOut)
		server.Close()
		if diff := cmp.Diff(want, got); code != 0 || diff != "" {
			t.Errorf("%s: exit code %d, %s%s", args, code, errOut.String(), diff)
		}
	}
}
