package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Promise: a command that is stopped before it was done says so, and does not end as if it
// had been: what comes after it in a script must not begin.
func TestInterruptedCommandsFail(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	register := []string{"webhooks", "register", "--config", c.file}
	c.change("webhook_secrets: []", "webhook_secrets: [whsec_0123456789abcdef0123456789]")
	c.change("webhook_ids: []", "webhook_ids: [WH-0123456789]")
	busy := httptest.NewServer(nil)
	t.Cleanup(busy.Close)
	for name, args := range map[string][]string{
		"register":         register,
		"reconcile":        {"reconcile", "run", "--config", c.file, "--job", "sweep"},
		"erase, elsewhere": {"erase", "customer", "--server", busy.URL, "--app", "shop", "--ref", "eve", "--reason", "asked"},
	} {
		ctx, stop := context.WithCancel(t.Context())
		c.meddle = func(_ http.ResponseWriter, r *http.Request) bool {
			stop()
			<-r.Context().Done()
			return true
		}
		busy.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.WriteHeader(http.StatusAccepted)
			} else {
				stop()
			}
			_, _ = fmt.Fprint(w, `{"id":"ers_1","state":"running"}`)
		})
		var out, errOut strings.Builder
		code := run(ctx, args, []string{operatorKeyVariable + "=tk_op_x"}, &out, &errOut)
		if stop(); code == 0 || !strings.Contains(errOut.String(), "trifecta: ") {
			t.Errorf("%s: exit code %d\n%s%s", name, code, out.String(), errOut.String())
		}
	}
}
