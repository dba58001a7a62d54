package paypal

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// walk reads a list to its end.
func walk(t *testing.T, a *Adapter, list string, from, to time.Time) (items []providers.SweepItem, pages int, trusted time.Time) {
	t.Helper()
	cursor := ""
	for {
		page, err := a.Sweep(t.Context(), list, from, to, cursor)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		items, trusted = append(items, page.Items...), page.TrustedTo
		if page.Next == "" {
			return items, pages, trusted
		}
		if pages > 200 {
			t.Fatalf("the walk does not end: %s", page.Next)
		}
		cursor = page.Next
	}
}

// TestSweepTransactions guards I2: every movement of money is on the list, under our
// payment's id, and is trusted only as far as PayPal has refreshed.
func TestSweepTransactions(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.paid(t, false)
	capture := p.attempt.Refs.Capture
	res, err := l.adapter.Refund(t.Context(), providers.RefundRequest{Attempt: p.attempt, Capture: capture, Amount: payment.Money{Minor: 100, Currency: "usd"}, Operation: "rfd_x"}, "k")
	if err != nil {
		t.Fatal(err)
	}
	reversal, _ := l.must(t, "reversals", map[string]any{"capture": capture, "amount": 50})["reversal"].(string)
	l.must(t, "disputes", map[string]any{"capture": capture, "amount": 200})
	from := startWall.Add(-4 * time.Hour)

	items, _, trusted := walk(t, l.adapter, listTransactions, from, l.world.Now())
	if len(items) != 0 || !trusted.Equal(l.world.Now().Add(-3*time.Hour)) {
		t.Errorf("before the index caught up: %d rows, trusted to %v", len(items), trusted)
	}
	l.advance(t, 4*time.Hour)
	to := l.world.Now()
	items, pages, trusted := walk(t, l.adapter, listTransactions, from, to)
	if pages != 1 || !trusted.Equal(to.Add(-3*time.Hour)) {
		t.Errorf("%d pages, trusted to %v", pages, trusted)
	}
	want := map[string]providers.SweepItem{
		capture:  {Object: providers.Ref{Kind: "capture", ID: capture}, Amount: payment.Money{Minor: 1999, Currency: "usd"}, Paid: true, Hint: providers.Hint{N: 1, Refs: []string{capture, p.attempt.Root.ID}}},
		res.Ref:  {Object: providers.Ref{Kind: "refund", ID: res.Ref}, Amount: payment.Money{Minor: -100, Currency: "usd"}, Paid: true, Done: true, Hint: providers.Hint{Refs: []string{res.Ref, capture}}},
		reversal: {Object: providers.Ref{Kind: "refund", ID: reversal}, Amount: payment.Money{Minor: -50, Currency: "usd"}, Paid: true, Done: true, Hint: providers.Hint{N: 1, Refs: []string{reversal, capture}}},
	}
	chargebacks := 0
	for _, it := range items {
		if !it.Created.Equal(startWall) || it.Hint.PaymentID != p.attempt.PaymentID {
			t.Errorf("%+v", it)
		}
		w, ok := want[it.Object.ID]
		if !ok {
			if it.Object.Kind != "debit" || !it.Paid || it.Amount.Minor != -200 || it.Hint.Refs[1] != capture {
				t.Errorf("row %+v", it)
			}
			chargebacks++
			continue
		}
		w.Created, w.Changed, w.Hint.PaymentID = startWall, startWall, p.attempt.PaymentID
		if diff := cmp.Diff(w, it); diff != "" {
			t.Error(diff)
		}
	}
	if len(items) != 4 || chargebacks != 1 {
		t.Errorf("%d rows, %d chargebacks", len(items), chargebacks)
	}
}

// search is a transaction search that holds rows at given times.
type search struct {
	rows  []time.Time
	limit int
	calls []string
}

func (s *search) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	start, end := parseTime(q.Get("start_date")), parseTime(q.Get("end_date"))
	s.calls = append(s.calls, q.Get("start_date")+" "+q.Get("end_date")+" "+q.Get("page"))
	if end.Sub(start) > searchWindow {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, issueJSON("INVALID_DATE_RANGE"))
		return
	}
	var found []string
	for i, at := range s.rows {
		if !at.Before(start) && !at.After(end) {
			found = append(found, fmt.Sprintf(`{"transaction_info":{"transaction_id":"T%d","transaction_event_code":"T0006","transaction_status":"S",
 "transaction_amount":{"currency_code":"USD","value":"1.00"},"transaction_initiation_date":"%s"}}`, i, at.Format("2006-01-02T15:04:05+0000")))
		}
	}
	if len(found) > s.limit {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"name":"RESULTSET_TOO_LARGE","message":"Result set size is greater than the maximum limit."}`)
		return
	}
	page, _ := strconv.Atoi(q.Get("page"))
	const size = 2
	pages := (len(found) + size - 1) / size
	lo := min((page-1)*size, len(found))
	_, _ = fmt.Fprintf(w, `{"transaction_details":[%s],"total_pages":%d,"last_refreshed_datetime":"%s"}`,
		strings.Join(found[lo:min(lo+size, len(found))], ","), pages, startWall.Format(time.RFC3339))
}

// TestSweepTransactionWindows: months are walked in stretches of 31 days, several pages
// each, and stretches with too many rows are halved; no row is missed.
func TestSweepTransactionWindows(t *testing.T) {
	t.Parallel()
	from := startWall.AddDate(0, 0, -100)
	find := &search{limit: 5}
	for i := range 40 {
		find.rows = append(find.rows, from.Add(time.Duration(i)*60*time.Hour))
	}
	for i := range 12 { // a busy hour
		find.rows = append(find.rows, startWall.Add(-40*time.Hour).Add(time.Duration(i)*5*time.Minute))
	}
	s := newStub(t).handle("GET /v1/reporting/transactions", find.ServeHTTP)
	items, _, trusted := walk(t, s.adapter(), listTransactions, from, startWall)
	seen := map[string]bool{}
	for _, it := range items {
		seen[it.Object.ID] = true
		if it.Created.IsZero() {
			t.Errorf("no time: %+v", it)
		}
	}
	if len(seen) != len(find.rows) || !trusted.Equal(startWall) {
		t.Errorf("%d of %d rows seen, trusted to %v", len(seen), len(find.rows), trusted)
	}
	crowded := &search{limit: 5}
	for range 9 {
		crowded.rows = append(crowded.rows, startWall.Add(-time.Hour))
	}
	s = newStub(t).handle("GET /v1/reporting/transactions", crowded.ServeHTTP)
	var err error
	for a, cursor := s.adapter(), ""; err == nil; {
		var page providers.SweepPage
		if page, err = a.Sweep(t.Context(), listTransactions, startWall.Add(-24*time.Hour), startWall, cursor); err == nil && page.Next == "" {
			t.Fatal("rows were passed over")
		}
		cursor = page.Next
	}
	wantError(t, err, providers.Refused, "resultset_too_large") // one second can't be halved
	if len(crowded.calls) > 100 {
		t.Errorf("%d calls before giving up", len(crowded.calls))
	}
}

// TestSweepItemCodes maps event codes; the merchant's own banking is never an orphan.
func TestSweepItemCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code, status, value, kind string
		paid                      bool
	}{
		{"T0006", "S", "10.00", "capture", true},
		{"T0000", "S", "-10.00", "transaction", false},
		{"T0006", "P", "10.00", "capture", false},
		{"T0006", "D", "10.00", "capture", false},
		{"T0006", "V", "10.00", "capture", true},
		{"T1107", "S", "-1.00", "refund", true},
		{"T1106", "S", "-1.00", "refund", true},
		{"T1201", "S", "-1.00", "debit", true},
		{"T1110", "S", "-1.00", "debit", true},
		{"T1116", "S", "-1.00", "debit", true},
		{"T1201", "P", "-1.00", "debit", false},
		{"T1111", "S", "1.00", "transaction", true},
		{"T1202", "S", "1.00", "transaction", true},
		{"T1300", "S", "1.00", "authorization", true},
		{"T0400", "S", "-5.00", "transaction", false},
		{"T0200", "S", "5.00", "transaction", false},
		{"", "S", "1.00", "transaction", false},
		{"T9999", "S", "1.00", "transaction", false},
		{"T0006", "S", "garbage", "capture", true},
	} {
		it := transactionItem(transaction{ID: "T1", EventCode: c.code, Status: c.status, Amount: &money{"USD", c.value}})
		if it.Object.Kind != c.kind || it.Paid != c.paid {
			t.Errorf("%+v: %+v", c, it)
		}
	}
	transactionItem(transaction{}) // no amount: no panic
}

// TestSweepEvents: events nobody delivered are on the list, over several pages. That of a completed capture says that
// money moved, as nothing else may: no other does.
func TestSweepEvents(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.paid(t, false)
	for range 115 {
		d := l.must(t, "disputes", map[string]any{"capture": p.attempt.Refs.Capture, "amount": 5, "stage": "INQUIRY"})["dispute"]
		if d == "" {
			t.Fatal("no dispute")
		}
	}
	items, pages, trusted := walk(t, l.adapter, listEvents, startWall.Add(-time.Hour), l.world.Now().Add(time.Hour))
	disputes, paid := map[string]bool{}, 0
	for _, it := range items {
		if it.Object.Kind == "dispute" {
			disputes[it.Object.ID] = true
		}
		if it.Paid {
			paid++
			if it.Object.Kind != "capture" || it.Object.ID != p.attempt.Refs.Capture || it.Amount.Minor != 1999 || it.Amount.Currency != "usd" {
				t.Errorf("paid: %+v", it)
			}
		}
		if it.Hint.PaymentID != p.attempt.PaymentID || it.Created.IsZero() {
			t.Errorf("%+v", it)
		}
	}
	if len(disputes) != 115 || pages < 2 || paid != 1 {
		t.Errorf("%d disputes on %d pages, %d paid captures", len(disputes), pages, paid)
	}
	if !trusted.Equal(l.world.Now()) {
		t.Errorf("trusted to %v, the list was read at %v", trusted, l.world.Now())
	}
}

// TestSweepDisputes: every case that changed, over several pages.
func TestSweepDisputes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.paid(t, false)
	for i := range 60 {
		stage := "INQUIRY"
		if i == 0 {
			stage = "CHARGEBACK"
		}
		l.must(t, "disputes", map[string]any{"capture": p.attempt.Refs.Capture, "amount": 5, "stage": stage})
	}
	l.advance(t, time.Minute)
	items, pages, _ := walk(t, l.adapter, listDisputes, startWall.AddDate(-1, 0, 0), l.world.Now())
	held := 0
	for _, it := range items {
		if it.Object.Kind != "dispute" || it.Amount.Minor != -5 || it.Hint.Refs[0] != it.Object.ID {
			t.Errorf("%+v", it)
		}
		if it.Paid {
			held++
		}
	}
	if len(items) != 60 || pages != 2 || held != 1 {
		t.Errorf("%d cases on %d pages, %d hold money", len(items), pages, held)
	}
	if items, _, _ = walk(t, l.adapter, listDisputes, l.world.Now(), l.world.Now().Add(time.Hour)); len(items) != 0 {
		t.Errorf("%d cases changed after the last change", len(items))
	}
}

// Promise: a row says when its object changed last, not only when it was made: both may
// lie in one window.
func TestSweepRowsTellTheirChange(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.paid(t, false)
	made := l.world.Now()
	d := l.must(t, "disputes", map[string]any{"capture": p.attempt.Refs.Capture, "amount": 5, "stage": "CHARGEBACK"})["dispute"]
	l.advance(t, 10*time.Minute)
	l.must(t, "disputes/"+fmt.Sprint(d)+"/resolve", map[string]any{"outcome": "lost"})
	changed := l.world.Now()
	items, _, _ := walk(t, l.adapter, listDisputes, made.Add(-time.Minute), changed.Add(time.Minute))
	if len(items) != 1 || !items[0].Created.Equal(made) || !items[0].Changed.Equal(changed) {
		t.Errorf("%+v, want one made at %v and changed at %v", items, made, changed)
	}
	row := transactionItem(transaction{Initiated: "2026-03-01T11:00:00+0000", Updated: "2026-03-01T12:00:00+0000"})
	if row.Changed.Sub(row.Created) != time.Hour {
		t.Errorf("%+v", row)
	}
}

// Promise: only a row that PayPal calls successful says that a refund is through: not
// one that is pending, denied, or was taken back.
func TestSweepRefundsThatAreThrough(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]bool{"S": true, "P": false, "D": false, "V": false, "": false} {
		if got := transactionItem(transaction{EventCode: "T1107", Status: status}).Done; got != want {
			t.Errorf("status %q: done %v, want %v", status, got, want)
		}
	}
}

// TestSweepRefused: lists and cursors that are none.
func TestSweepRefused(t *testing.T) {
	t.Parallel()
	a := newStub(t).adapter()
	for _, c := range []struct{ list, cursor string }{
		{"nothing", ""},
		{listTransactions, "x"},
		{listTransactions, "a|b|c"},
		{listTransactions, "2026-03-01T00:00:00Z|2026-03-02T00:00:00Z|0"},
		{listTransactions, "2026-03-02T00:00:00Z|2026-03-01T00:00:00Z|1"},
		{listEvents, "%zz"},
	} {
		_, err := a.Sweep(t.Context(), c.list, startWall.Add(-time.Hour), startWall, c.cursor)
		wantError(t, err, providers.Refused, "")
	}
	page, err := a.Sweep(t.Context(), listTransactions, startWall, startWall, "")
	if err != nil || len(page.Items) != 0 || page.Next != "" {
		t.Errorf("an empty window: %+v, %v", page, err)
	}
	// A next link that leads back to the same page must not walk for ever.
	s := newStub(t).handle("GET /v1/notifications/webhooks-events", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"events":[],"links":[{"rel":"next","href":"https://evil.test`+r.URL.Path+"?"+strings.ReplaceAll(r.URL.Query().Encode(), `"`, "")+`"}]}`)
	})
	if page, err = s.adapter().Sweep(t.Context(), listEvents, startWall.Add(-time.Hour), startWall, ""); err != nil || page.Next != "" {
		t.Errorf("%+v, %v", page, err)
	}
	if queryOf("%zz").Encode() != (url.Values{}).Encode() {
		t.Error("queryOf")
	}
}

// TestTraceGone: what is not there is not found; what can't be placed has no claim.
func TestTraceGone(t *testing.T) {
	t.Parallel()
	s := newStub(t)
	a := s.adapter()
	for _, kind := range []string{"order", "capture", "authorization", "refund", "dispute", "transaction", ""} {
		_, err := a.Trace(t.Context(), providers.Ref{Kind: kind, ID: "X1"})
		wantError(t, err, providers.NotFound, "")
	}
	s.on("GET /v2/payments/refunds/R1", 200, `{"id":"R1","custom_id":"rfd_1","links":[{"rel":"up","href":"https://x/v2/payments/captures/GONE"}]}`)
	h, err := a.Trace(t.Context(), providers.Ref{Kind: "refund", ID: "R1"})
	if err != nil || h.PaymentID != "" || strings.Join(h.Refs, " ") != "R1 GONE" {
		t.Errorf("%+v, %v", h, err)
	}
	s.on("GET /v1/customer/disputes/D1", 200, `{"dispute_id":"D1"}`)
	if h, err = a.Trace(t.Context(), providers.Ref{Kind: "dispute", ID: "D1"}); err != nil || len(h.Refs) != 1 {
		t.Errorf("%+v, %v", h, err)
	}
}
