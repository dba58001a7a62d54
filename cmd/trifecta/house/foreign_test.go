package house

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
)

// Promise: what another system does in an account is told, unless the configuration says
// that it is that system's business.
func TestIgnoreForeign(t *testing.T) {
	c := &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	stripe := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Date", c.now.Format(http.TimeFormat))
		charge := fmt.Sprintf(`{"id":"ch_1","object":"charge","amount":500,"currency":"usd","created":%d,"paid":true,"captured":true,"status":"succeeded","metadata":{}}`, c.now.Add(-time.Hour).Unix())
		switch r.URL.Path {
		case "/v1/balance_transactions":
			_, _ = fmt.Fprintf(w, `{"object":"list","url":"/v1/balance_transactions","has_more":false,"data":[{"id":"txn_1","object":"balance_transaction","amount":500,"currency":"usd","created":%d,
				"reporting_category":"charge","type":"charge","source":%s}]}`, c.now.Add(-time.Hour).Unix(), charge)
		case "/v1/balance_transactions/txn_1": // nothing more is known of it
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprint(w, `{"error":{"type":"invalid_request_error","code":"resource_missing"}}`)
		default:
			_, _ = fmt.Fprintf(w, `{"object":"list","url":%q,"has_more":false,"data":[]}`, r.URL.Path)
		}
	}))
	defer stripe.Close()
	for ignore, want := range map[bool]int{false: 1, true: 0} {
		o := options(shared(t), c)
		o.Config.Accounts[0].APIBase, o.Config.Accounts[0].IgnoreForeign = stripe.URL, ignore
		h, err := Build(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range h.scheduled {
			if s.Name == "reconcile/sweep/stripe-eu" {
				if _, _, err := s.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		runs, _, err := h.Runs.List(t.Context(), store.RunFilter{Limit: 1})
		if err != nil || len(runs) != 1 || runs[0].Seen != 1 || runs[0].ErrorCount != 0 {
			t.Errorf("ignore_foreign %t: %v, runs %+v", ignore, err, runs)
		}
		found, _, err := store.NewAlerts(h.engine).List(t.Context(), store.AlertFilter{Limit: 10})
		if err != nil || len(found) != want || want > 0 && found[0].Kind != "foreign_money" {
			t.Errorf("ignore_foreign %t: %v, alerts %+v", ignore, err, found)
		}
	}
}
