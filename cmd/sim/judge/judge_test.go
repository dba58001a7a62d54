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

// I12: an app that looks seldom may miss a status, but never read one that the
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
		{"a step that the graph does not have", append(first[:2:2], entry(7, "expired", "canceled")), "I12 pay_1 went from expired to canceled"},
		{"a read that the history denies", append(first[:2:2], entry(5, "expired", "conflicted")), "I12 pay_1 was read as canceled in version 8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var failed []string
			j := New(func(format string, args ...any) {
				if f := fmt.Sprintf(format, args...); strings.HasPrefix(f, "I12") {
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

// I5: what an app was told to have failed, by an answer or an event, neither goes on nor
// moves money, whatever the record says of it in the end; what only failed in the end may
// have moved before.
func TestToldAsFailed(t *testing.T) {
	t.Parallel()
	event := func(kind, id string) Event {
		e := Event{Type: "refund." + kind}
		e.Data.Object.ID = id
		return e
	}
	for name, tc := range map[string]struct {
		told    []string
		refused bool
		status  string
		ledger  []string
		says    string
	}{
		"succeeded":                       {told: []string{"created", "succeeded"}, status: "succeeded", ledger: []string{"refund"}},
		"failed at once":                  {told: []string{"created", "failed"}, status: "failed"},
		"failed late":                     {told: []string{"created", "succeeded", "failed"}, status: "failed", ledger: []string{"refund", "refund_failed"}},
		"run again after an event":        {told: []string{"created", "failed", "succeeded"}, status: "succeeded", ledger: []string{"refund"}, says: "told as failed"},
		"ordered again after an event":    {told: []string{"created", "failed", "created"}, status: "pending", says: "told as failed, then as created"},
		"money moved without a word":      {told: []string{"created", "failed"}, status: "failed", ledger: []string{"refund"}, says: "took effect"},
		"money moved after an answer":     {refused: true, status: "pending", ledger: []string{"refund"}, says: "took effect"},
		"succeeded after an answer":       {refused: true, status: "succeeded", says: "took effect"},
		"refused, and nothing happened":   {refused: true, status: "failed"},
		"refused, and nobody knows of it": {refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var failed []string
			j := New(func(format string, args ...any) { failed = append(failed, fmt.Sprintf(format, args...)) })
			o := &Order{ID: "pay_1", App: "shop", Amount: 5000, Refunds: 1}
			if tc.refused {
				o.Refused = []string{"rfd_1"}
			}
			j.Expect(o)
			j.Moved(Row{Object: "ch_1", Kind: "capture", Reference: "pay_1", Amount: 5000})
			for _, kind := range tc.ledger {
				j.Moved(Row{Object: "re_1", Kind: kind, Reference: "pay_1", Amount: 300})
			}
			p := Payment{ID: "pay_1"}
			if tc.status != "" {
				p.Refunds = []Refund{{ID: "rfd_1", Status: tc.status, Amount: 300, ProviderRef: "re_1"}}
			}
			var told []Event
			for _, kind := range tc.told {
				told = append(told, event(kind, "rfd_1"))
			}
			j.failed(o, p, told)
			if got := strings.Join(failed, "; "); (tc.says == "") != (got == "") || !strings.Contains(got, tc.says) {
				t.Errorf("said %q, want %q", got, tc.says)
			}
		})
	}
}

// I3: fee and net are held against the provider's books, in each currency that it settled in.
func TestFeeAndNet(t *testing.T) {
	t.Parallel()
	j := New(t.Errorf)
	o := &Order{ID: "pay_1", Amount: 1000, Refunds: 1}
	j.Expect(o)
	for _, r := range []Row{
		{Kind: "capture", Amount: 1000},
		{Kind: "fee", Amount: 59},
		{Kind: "refund", Object: "re_1", Amount: 100},
		{Kind: "dispute", Object: "dp_1", Amount: 300},
		{Kind: "fee", Amount: 15},
	} {
		r.Reference, r.Currency, r.Settles = "pay_1", "usd", true
		j.Moved(r)
	}
	j.Settled("pay_1", "eur", 7, -7)
	usd, eur := func(n int64) Money { return Money{n, "usd"} }, func(n int64) Money { return Money{n, "eur"} }
	p := Payment{ID: "pay_1", Status: "succeeded"}
	p.Amounts.Captured, p.Amounts.Refunded, p.Amounts.Disputed = usd(1000), usd(100), usd(300)
	for _, tc := range []struct {
		name     string
		fee, net []Money
		right    bool
	}{
		{"right", []Money{eur(7), usd(74)}, []Money{eur(-7), usd(526)}, true},
		{"unknown", nil, nil, false},
		{"a fee forgotten", []Money{eur(7), usd(59)}, []Money{eur(-7), usd(526)}, false},
		{"disputed money counted as ours", []Money{eur(7), usd(74)}, []Money{eur(-7), usd(826)}, false},
		{"another currency", []Money{usd(81)}, []Money{usd(519)}, false},
	} {
		var said []string
		j.fail = func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
		p.Amounts.Fee, p.Amounts.Net = tc.fee, tc.net
		j.sums(o, p, nil)
		if (len(said) == 0) != tc.right {
			t.Errorf("%s: said %q", tc.name, said)
		}
	}
}

// I1: each refund and capture is of an amount that somebody named, once, or answers an
// order that named none.
func TestAmountsThatWereAsked(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		order Order
		moved []Row
		says  string
	}{
		"as named":          {order: Order{Refunds: 2, Parts: []int64{300, 200}}, moved: []Row{{Object: "re_1", Amount: 200}, {Object: "re_2", Amount: 300}}},
		"one is on its way": {order: Order{Refunds: 2, Parts: []int64{300, 200}}, moved: []Row{{Object: "re_1", Amount: 200}}},
		"all that is left":  {order: Order{Refunds: 2, Parts: []int64{300}}, moved: []Row{{Object: "re_1", Amount: 300}, {Object: "re_2", Amount: 700}}},
		"another amount":    {order: Order{Refunds: 1, Parts: []int64{300}}, moved: []Row{{Object: "re_1", Amount: 301}}, says: "a refund of 301"},
		"one order twice":   {order: Order{Refunds: 2, Parts: []int64{300, 200}}, moved: []Row{{Object: "re_1", Amount: 200}, {Object: "re_2", Amount: 200}}, says: "a refund of 200"},
		"held, in part":     {order: Order{Manual: true, Captures: 1, Holds: []int64{1000}}},
		"another part":      {order: Order{Manual: true, Captures: 1, Holds: []int64{400}}, says: "a capture of 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var failed []string
			j := New(func(format string, args ...any) { failed = append(failed, fmt.Sprintf(format, args...)) })
			o := tc.order
			o.ID, o.Amount = "pay_1", 1000
			j.Expect(&o)
			j.Moved(Row{Object: "ch_1", Kind: "capture", Reference: "pay_1", Amount: 1000})
			for _, r := range tc.moved {
				r.Kind, r.Reference = "refund", "pay_1"
				j.Moved(r)
			}
			j.asked(&o, j.book("pay_1"), 0)
			if got := strings.Join(failed, "; "); (tc.says == "") != (got == "") || !strings.Contains(got, tc.says) {
				t.Errorf("said %q, want %q", got, tc.says)
			}
		})
	}
}
