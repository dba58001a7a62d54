package judge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// gateway is a gateway that has one payment, with this history.
func gateway(t *testing.T, history ...Entry) Ask {
	t.Helper()
	last := history[len(history)-1].After.Status
	return func(_, _, path string) (int, []byte) {
		p := Payment{ID: "pay_1", App: "shop", Status: last, Amount: 5000, Version: 9}
		var out any = page[any]{}
		switch {
		case strings.HasSuffix(path, "/sync"):
			out = p
		case strings.HasPrefix(path, "/v1/payments?"):
			out = page[Payment]{Data: []Payment{p}}
		case strings.HasPrefix(path, "/v1/payments/pay_1/history"):
			newest := page[Entry]{}
			for i := range history {
				newest.Data = append(newest.Data, history[len(history)-1-i])
			}
			out = newest
		case strings.HasPrefix(path, "/v1/events"):
			told := page[Event]{}
			for i, h := range history[1:] {
				e := Event{ID: fmt.Sprint(i), Type: "payment." + h.After.Status, Sequence: int64(i + 1)}
				e.Data.Object.ID, e.Data.Object.Object, e.Data.Object.Status = "pay_1", "payment", h.After.Status
				told.Data = append(told.Data, e)
			}
			out = told
		}
		b, err := json.Marshal(out)
		if err != nil {
			t.Error(err)
		}
		return http.StatusOK, b
	}
}

func entry(version int64, before, after string) Entry {
	e := Entry{Layer: "webhook", Version: version}
	e.Actor.Type, e.Before.Status, e.After.Status = "system", before, after
	return e
}

// I5: an app that looks seldom may miss a status, but never read one that the
// history does not have, and the history goes along the graph.
func TestReadsAgainstHistory(t *testing.T) {
	t.Parallel()
	first := []Entry{entry(1, "", "processing"), entry(3, "processing", "expired")}
	for _, tc := range []struct {
		name    string
		history []Entry
		says    string
	}{
		{"a status was missed", append(first[:2:2], entry(5, "expired", "conflicted"), entry(7, "conflicted", "canceled")), ""},
		{"a step that the graph does not have", append(first[:2:2], entry(7, "expired", "canceled")), "I5 pay_1 went from expired to canceled"},
		{"a read that the history denies", append(first[:2:2], entry(5, "expired", "conflicted")), "I5 pay_1 was read as canceled in version 8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var failed []string
			j := New(func(format string, args ...any) {
				if f := fmt.Sprintf(format, args...); strings.HasPrefix(f, "I5") {
					failed = append(failed, f)
				}
			})
			o := &Order{ID: "pay_1", App: "shop", Amount: 5000, Told: true}
			j.Expect(o)
			for _, r := range []read{{"expired", 4}, {"expired", 4}, {"canceled", 8}} {
				j.Observed(o, r.status, r.version)
			}
			j.End([]string{"shop"}, gateway(t, tc.history...))
			if got := strings.Join(failed, "; "); (tc.says == "") != (got == "") || !strings.Contains(got, tc.says) {
				t.Errorf("said %q, want %q", got, tc.says)
			}
		})
	}
}
