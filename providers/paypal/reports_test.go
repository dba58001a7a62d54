package paypal

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

const notAvailable = `{"name":"INVALID_REQUEST","message":"Data for the given start date is not available.","debug_id":"f1d2e3","details":[],"links":[]}`

// refundedStub is a PayPal whose order was paid and refunded in part a while after.
func refundedStub(t *testing.T) *stub { return changedStub(t, "PARTIALLY_REFUNDED", "") }

// changedStub is refundedStub with a capture of another status, with more members.
func changedStub(t *testing.T, status, more string) *stub {
	t.Helper()
	capture := strings.Replace(captureJSON(capID, status, more), `"update_time":"2026-03-01T11:56:00Z"`, `"update_time":"2026-03-01T11:59:00Z"`, 1)
	refund := `{"id":"` + refID + `","status":"COMPLETED","amount":{"currency_code":"USD","value":"5.00"},"create_time":"2026-03-01T11:59:00Z","update_time":"2026-03-01T11:59:00Z","links":[{"rel":"up","href":"https://api-m.paypal.com/v2/payments/captures/` + capID + `"}]}`
	return newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "CAPTURE", `{"captures":[`+capture+`],"refunds":[`+refund+`]}`)).
		on("GET /v1/customer/disputes", 200, `{"items":[],"links":[]}`)
}

// Promise: a search for reversals that fails, as PayPal's does for hours after every
// fresh refund, does not make a payment unreadable; and nobody may take the look for
// proof that there is no reversal.
func TestFetchWithoutReports(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		narrow bool
	}{
		"told":                   {200, `{"total_pages":1,"last_refreshed_datetime":"2026-03-01T11:59:59+0000","links":[]}`, false},
		"told of times before":   {200, `{"total_pages":1,"last_refreshed_datetime":"2026-03-01T11:58:59+0000","links":[]}`, true},
		"told of no time":        {200, `{"total_pages":1,"links":[]}`, true},
		"not refreshed, as 400":  {400, notAvailable, true},
		"not refreshed, as 404":  {404, notAvailable, true},
		"too many requests":      {429, `{"name":"RATE_LIMIT_REACHED"}`, true},
		"broken":                 {500, `{"name":"INTERNAL_SERVICE_ERROR"}`, true},
		"a page of a proxy":      {502, "<html>", true},
		"no right, now and ever": {403, `{"name":"NOT_AUTHORIZED"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := refundedStub(t).on("GET /v1/reporting/transactions", c.status, c.body)
			obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
			if err != nil {
				t.Fatal(err)
			}
			if len(obs.Facts.Refunds) != 1 || obs.Facts.Refunds[0].State != payment.RefundSucceeded || !obs.Complete || obs.Narrow != c.narrow {
				t.Errorf("complete %v, narrow %v, want true and %v; refunds %+v", obs.Complete, obs.Narrow, c.narrow, obs.Facts.Refunds)
			}
			seen := payment.Facts{}.Observe(obs).Attempts[0]
			if seen.CompleteAsOf.IsZero() || seen.WholeAsOf.IsZero() != c.narrow {
				t.Errorf("complete as of %v, whole as of %v", seen.CompleteAsOf, seen.WholeAsOf)
			}
		})
	}
}

// Promise: a capture of a status that nobody knows may hold money, so what was disputed or
// taken back of it is looked for; and the look proves nothing.
func TestFetchUnknownCaptureStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]int{"SOMETHING_NEW": 1, "PENDING": 0, "DECLINED": 0, "FAILED": 0} {
		s := changedStub(t, status, "").on("GET /v1/reporting/transactions", 200, `{"total_pages":1,"last_refreshed_datetime":"2026-03-01T11:59:59+0000","links":[]}`)
		obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
		if err != nil {
			t.Fatal(err)
		}
		if n := s.count("GET /v1/customer/disputes"); n != want || s.count("GET /v1/reporting/transactions") != want || obs.Narrow != (want > 0) {
			t.Errorf("%s: %d looks for disputes, %d for reversals, narrow %t", status, n, s.count("GET /v1/reporting/transactions"), obs.Narrow)
		}
	}
}

// Promise (I3): a capture that waits, or failed, because somebody wants its money back held
// money. Its disputes and reversals are found, by a look that counts as whole; one that waits
// for an ordinary reason costs no extra calls.
func TestFetchComplainedCapture(t *testing.T) {
	t.Parallel()
	const disputed = `{"dispute_id":"PP-D-1","status":"UNDER_REVIEW","dispute_life_cycle_stage":"CHARGEBACK","dispute_amount":{"currency_code":"USD","value":"10.00"},"disputed_transactions":[{"seller_transaction_id":"` + capID + `"}]}`
	for _, status := range []string{"PENDING", "DECLINED", "FAILED"} {
		for reason, want := range map[string]int{
			"BUYER_COMPLAINT": 1, "CHARGEBACK": 1, "REFUNDED": 1, "ECHECK": 0, "PENDING_REVIEW": 0, "OTHER": 0, "": 0,
		} {
			s := changedStub(t, status, `,"status_details":{"reason":"`+reason+`"}`)
			s.on("GET /v1/customer/disputes", 200, `{"items":[{"dispute_id":"PP-D-1"}]}`).on("GET /v1/customer/disputes/PP-D-1", 200, disputed)
			s.on("GET /v1/reporting/transactions", 200, `{"total_pages":1,"last_refreshed_datetime":"2026-03-01T11:59:59+0000","transaction_details":[{"transaction_info":{
 "transaction_id":"9AB","paypal_reference_id":"`+capID+`","paypal_reference_id_type":"TXN","transaction_event_code":"T1106","transaction_status":"S",
 "transaction_amount":{"currency_code":"USD","value":"-7.00"},"transaction_initiation_date":"2026-03-01T11:57:00+0000","transaction_updated_date":"2026-03-01T11:58:00+0000"}}]}`)
			obs, err := s.adapter().Fetch(t.Context(), attemptOf(false))
			if err != nil {
				t.Fatal(err)
			}
			if len(obs.Facts.Disputes) != want || len(obs.Facts.Reversals) != want || obs.Narrow || s.count("GET /v1/customer/disputes") != want || s.count("GET /v1/reporting/transactions") != want {
				t.Errorf("%s, %q: %d disputes, %d reversals, narrow %t, calls %v", status, reason, len(obs.Facts.Disputes), len(obs.Facts.Reversals), obs.Narrow, s.seen)
			}
			if state := obs.Facts.Captures[0].State; (state == payment.CapturePending) != (status == "PENDING") || state == payment.CaptureCompleted {
				t.Errorf("%s, %q: capture %s", status, reason, state)
			}
		}
	}
}

// Promise: the look right after a call of ours leaves out disputes and reversals, and
// says so.
func TestLookAfterACallIsNarrow(t *testing.T) {
	t.Parallel()
	s := refundedStub(t)
	obs, err := s.adapter().fetch(t.Context(), "capture", attemptOf(false), false)
	if err != nil || !obs.Complete || !obs.Narrow || s.count("GET /v1/reporting/transactions")+s.count("GET /v1/customer/disputes") != 0 {
		t.Errorf("complete %v, narrow %v, %v, calls %v", obs.Complete, obs.Narrow, err, s.seen)
	}
}

// Promise: too many requests of the reporting service keep nothing but reports waiting:
// no payment, no capture, and for no longer than a minute.
func TestReportsRestAlone(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := startWall
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	s := refundedStub(t).handle("GET /v1/reporting/transactions", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1800")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"name":"RATE_LIMIT_REACHED"}`)
	})
	a := providers.Guard(s.adapter(func(o *Options) { o.Now = clock }), providers.GuardOptions{PerSecond: 1000, Clock: clock})
	search := func() error {
		_, err := a.Sweep(t.Context(), listTransactions, startWall.Add(-time.Hour), startWall, "")
		return err
	}
	var e *providers.Error
	if err := search(); !errors.As(err, &e) || e.Status != http.StatusTooManyRequests || e.Class != providers.NotDone {
		t.Fatalf("the sweep: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 3 {
		if obs, err := a.Fetch(ctx, attemptOf(false)); err != nil || !obs.Narrow {
			t.Fatalf("reading a payment while reports rest: narrow %v, %v", obs.Narrow, err)
		}
	}
	if err := search(); !errors.As(err, &e) || e.Code != "reports_rest" || e.Class != providers.NotDone {
		t.Errorf("the next sweep: %v", err)
	}
	if n := s.count("GET /v1/reporting/transactions"); n != 1 {
		t.Errorf("%d searches were sent while they rest, want the first alone", n)
	}
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	if _ = search(); s.count("GET /v1/reporting/transactions") != 2 {
		t.Error("searches still rest after a minute")
	}
}

// Promise: where PayPal's reports do not reach the start of a stretch yet, the walk ends
// without an error and trusts nothing from there on; an answer that can't be lag is one.
func TestSweepBeforeTheRefresh(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 404} {
		s := newStub(t).on("GET /v1/reporting/transactions", status, notAvailable)
		from := startWall.Add(-2 * time.Hour)
		page, err := s.adapter().Sweep(t.Context(), listTransactions, from, startWall, "")
		if err != nil || page.Next != "" || len(page.Items) != 0 || !page.TrustedTo.Equal(from) {
			t.Errorf("as %d: %+v, %v", status, page, err)
		}
		later := window{from: startWall.Add(-time.Hour), to: startWall, page: 1}
		if page, err = s.adapter().Sweep(t.Context(), listTransactions, from, startWall, later.String()); err != nil || page.Next != "" || !page.TrustedTo.Equal(later.from) {
			t.Errorf("as %d, a later stretch: %+v, %v", status, page, err)
		}
		if _, err = s.adapter().Sweep(t.Context(), listTransactions, startWall.Add(-longestLag-time.Hour), startWall, ""); err == nil {
			t.Errorf("as %d: a start of days ago counts as lag", status)
		}
	}
	s := newStub(t).on("GET /v1/reporting/transactions", 400, issueJSON("INVALID_PARAMETER_VALUE"))
	_, err := s.adapter().Sweep(t.Context(), listTransactions, startWall.Add(-time.Hour), startWall, "")
	wantError(t, err, providers.Refused, "")
}

// Promise: a disputes service that fails or has too many requests keeps no capture waiting:
// neither a rest nor the breaker of the account is its own.
func TestDisputesRestAlone(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 500} {
		s := refundedStub(t).handle("GET /v1/customer/disputes", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1800")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"name":"X"}`)
		}).on("GET /v2/payments/captures/"+capID, 200, captureJSON(capID, "COMPLETED", ""))
		a := providers.Guard(s.adapter(), providers.GuardOptions{PerSecond: 1000, Clock: func() time.Time { return startWall }})
		for range 30 {
			if obs, err := a.Fetch(t.Context(), attemptOf(false)); !providers.Beside(err) || !obs.Complete || len(obs.Facts.Captures) != 1 {
				t.Fatalf("as %d: reading a payment: complete %v, %v", status, obs.Complete, err)
			}
		}
		if _, err := a.Trace(t.Context(), providers.Ref{Kind: "capture", ID: capID}); err != nil {
			t.Errorf("as %d: everything else rests too: %v", status, err)
		}
		if n := s.count("GET /v1/customer/disputes"); (n == 1) != (status == 429) {
			t.Errorf("as %d: %d lists of disputes were asked for", status, n)
		}
	}
}
