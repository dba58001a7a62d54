package httpapi_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/httpapi"
)

// story is every line of the log in which an id stands, as the words that matter of it.
func (w *world) story(id string) []string {
	w.t.Helper()
	out := []string{}
	for lines := bufio.NewScanner(strings.NewReader(w.log.String())); lines.Scan(); {
		if !strings.Contains(lines.Text(), id) {
			continue
		}
		line := map[string]any{}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			w.t.Fatal(err)
		}
		words := []string{}
		for _, key := range []string{"msg", "method", "route", "was", "status", "layer", "by", "reason"} {
			if s, ok := line[key].(string); ok && s != "" {
				words = append(words, s)
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}

// Promise: whoever searches the log for a payment's id reads what became of it and how we learnt
// that, from its creation on, and nothing about the customer.
func TestLogTellsAPayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.create("k", map[string]any{"customer": map[string]any{"name": "Ann Canary", "email": "ann@canary.test"}, "description": "canary shoes"})
	id := p.text("id")
	w.stripe.pay()
	w.comeBack(p, "&attempt=1&outcome=success", nil)
	w.post("/v1/payments/"+id+"/refunds", "r", `{"amount":1}`).want(http.StatusCreated, "")
	story := w.story(id)
	for _, want := range []string{
		"payment changed processing requires_action api api_key", "request POST /v1/payments",
		"payment changed requires_action succeeded return customer came back from the provider", "request GET /v1/return/:id",
		"payment changed succeeded succeeded api api_key", "request POST /v1/payments/:id/refunds",
	} {
		at := slices.Index(story, want)
		if at < 0 {
			t.Fatalf("the log does not say %q, or not in this order:\n%s", want, w.log.String())
		}
		story = story[at+1:]
	}
	for _, personal := range []string{"anary", w.customerToken(id)} {
		if strings.Contains(w.log.String(), personal) {
			t.Errorf("%q is in the log", personal)
		}
	}
}

// Promise: the line of a webhook names the account that it came for, and never what a stranger wrote in its place.
func TestLogNamesTheAccountOfAWebhook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *httpapi.Options) {
		o.Webhooks = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if !strings.Contains(r.URL.Path, "/stripe-eu") {
				rw.WriteHeader(http.StatusNotFound)
			}
		})
	})
	w.do(call{method: "POST", path: "/webhooks/stripe/stripe-eu", body: "{}", bad: true}).want(http.StatusOK, "")
	w.do(call{method: "POST", path: "/webhooks/stripe/whatever-i-like", body: "{}", bad: true}).want(http.StatusNotFound, "")
	if log := w.log.String(); !strings.Contains(log, `"account":"stripe-eu"`) || strings.Contains(log, "whatever-i-like") {
		t.Errorf("the log:\n%s", log)
	}
}
