package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// serve answers each path with a value as JSON.
func serve(t *testing.T, key string, answers map[string]any) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.RequestURI()]
		if !ok || key != "" && r.Header.Get("Authorization") != "Bearer "+key {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

type object = map[string]any

// list is a page of the API; next may be nil.
func list(next any, rows ...any) object { return object{"data": rows, "next": next} }

// paid is a payment of 1000 that is paid, a part of it given back, and what two sandboxes
// say of it.
func paid() (pay, ledger object) {
	usd := func(n int) object { return object{"amount": n, "currency": "usd"} }
	pay = object{"id": "pay_1", "status": "succeeded", "amount": 1000, "currency": "usd", "amounts": object{
		"captured": usd(1000), "refunded": usd(300), "disputed": usd(0), "refund_pending": usd(0), "fee": []object{usd(59)}, "net": []object{usd(641)},
	}}
	row := func(name, kind string, n int) object {
		return object{"object": name, "kind": kind, "currency": "usd", "reference": "pay_1", "amount": n}
	}
	return pay, list(nil, row("ch_1", "capture", 1000), row("", "fee", 59), row("re_1", "refund", 300))
}

// Every difference that the checker is there for is told, and equal books are called
// equal: what runs behind kill -9 and load rests on it.
func TestCheck(t *testing.T) {
	t.Parallel()
	amounts := func(p object) object { return p["amounts"].(object) }
	rows := func(l object) []any { return l["data"].([]any) }
	move := func(kind string, n int) object {
		return object{"object": "x_2", "kind": kind, "currency": "usd", "reference": "pay_1", "amount": n}
	}
	for name, tc := range map[string]struct {
		change      func(p, l object)
		open, plain bool
		says        string
	}{
		"equal":               {plain: true},
		"captured less":       {change: func(p, _ object) { amounts(p)["captured"] = object{"amount": 999, "currency": "usd"} }, says: "captured 999, the provider 1000"},
		"in another currency": {change: func(p, _ object) { amounts(p)["captured"] = object{"amount": 1000, "currency": "eur"} }, says: "captured in eur"},
		"refunded unknown":    {change: func(_, l object) { l["data"] = append(rows(l), move("refund", 5)) }, says: "refunded 300, the provider 305"},
		"a refund failed":     {change: func(_, l object) { l["data"] = append(rows(l), move("refund_failed", 300)) }, says: "refunded 300, the provider 0"},
		"disputed unknown":    {change: func(_, l object) { l["data"] = append(rows(l), move("dispute", 1000)) }, open: true, says: "disputed 0, the provider 1000"},
		"taken back unknown":  {change: func(_, l object) { l["data"] = append(rows(l), move("reversal", 1000)) }, open: true, says: "disputed 0, the provider 1000"},
		"a fee unknown":       {change: func(_, l object) { l["data"] = append(rows(l), move("fee", 15)) }, says: "the provider 74 and 626"},
		"a fee unknown yet":   {change: func(_, l object) { l["data"] = append(rows(l), move("fee", 15)) }, open: true},
		"a fee told wrongly":  {change: func(_, l object) { l["data"] = append(rows(l), move("fee", 15)) }, open: true, plain: true, says: "the provider 74 and 626"},
		"charged twice": {change: func(p, l object) {
			l["data"] = append(rows(l), move("capture", 1000))
			amounts(p)["captured"] = object{"amount": 2000, "currency": "usd"}
		}, says: "charged 2 times"},
		"charged twice, held": {change: func(p, l object) {
			l["data"], p["status"] = append(rows(l), move("capture", 1000)), "conflicted"
			amounts(p)["captured"] = object{"amount": 2000, "currency": "usd"}
		}, open: true},
		"charged twice and held, where nobody may be": {change: func(p, l object) {
			l["data"], p["status"] = append(rows(l), move("capture", 1000)), "conflicted"
			amounts(p)["captured"] = object{"amount": 2000, "currency": "usd"}
		}, open: true, plain: true, says: "charged 2 times"},
		"held, where nobody may be": {change: func(p, _ object) { p["status"] = "conflicted" }, plain: true, says: "conflicted, took 1000 of 1000"},
		"given back twice": {change: func(p, l object) {
			l["data"] = append(rows(l), move("refund", 300))
			amounts(p)["refunded"] = object{"amount": 600, "currency": "usd"}
		}, open: true, plain: true, says: "2 refunds"},
		"overcharged":         {change: func(p, _ object) { p["amount"] = 900 }, plain: true, says: "took 1000 of 900"},
		"told as canceled":    {change: func(p, _ object) { p["status"] = "canceled" }, says: "is canceled, the provider captured 1000"},
		"told as paid":        {change: func(_, l object) { l["data"] = []any{} }, says: "is succeeded, the provider captured 0"},
		"processing":          {change: func(p, _ object) { p["status"] = "processing" }, says: "still processing"},
		"a refund under way":  {change: func(p, _ object) { amounts(p)["refund_pending"] = object{"amount": 5} }, says: "refund on its way"},
		"money of nobody":     {change: func(_, l object) { m := move("capture", 7); m["reference"] = "pay_2"; l["data"] = append(rows(l), m) }, says: `moved money for "pay_2"`},
		"another is answered": {change: func(p, l object) { p["id"] = "pay_3"; l["data"] = []any{} }, open: true, says: "pay_1: was acknowledged and is gone"},
		"another amount was":  {change: func(p, _ object) { p["amount"] = 1001 }, says: "was acknowledged for 1000, is of 1001"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, l := paid()
			if tc.change != nil {
				tc.change(p, l)
			}
			b := books{
				key: "k", allowOpen: tc.open, plain: tc.plain, answered: map[string]int64{"pay_1": 1000},
				api: serve(t, "k", object{
					"/v1/payments?limit=100": list("a b", object{"id": "pay_0", "status": "expired", "amount": 5}), "/v1/payments?limit=100&after=a+b": list(nil, p),
				}),
				sandboxes: []string{serve(t, "", object{"/_sandbox/ledger": l}), serve(t, "", object{"/_sandbox/ledger": list(nil)})},
			}
			n, found, err := b.check(t.Context())
			if got := strings.Join(found, "; "); err != nil || n != 2 || (tc.says == "") != (got == "") || !strings.Contains(got, tc.says) {
				t.Errorf("%d payments, said %q, want %q: %v", n, got, tc.says, err)
			}
		})
	}
}

// A book that can't be read is no equal book.
func TestUnreadableBooks(t *testing.T) {
	t.Parallel()
	ledger := serve(t, "", object{"/_sandbox/ledger": list(nil)})
	for name, b := range map[string]books{
		"a wrong key": {key: "other", api: serve(t, "k", object{"/v1/payments?limit=100": list(nil)}), sandboxes: []string{ledger}},
		"no ledger":   {api: serve(t, "", object{"/v1/payments?limit=100": list(nil)}), sandboxes: []string{ledger, "http://127.0.0.1:1"}},
	} {
		if _, _, err := b.check(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	file := filepath.Join(t.TempDir(), "answered")
	if err := os.WriteFile(file, []byte("pay_1 x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readAnswered(file); err == nil {
		t.Error("a line without an amount was read")
	}
}
