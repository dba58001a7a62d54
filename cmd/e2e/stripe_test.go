package e2e

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
)

var returnOnly = config.Layers{Return: true}

const good = "4242424242424242"

// The main job: an app asks for money, the customer pays by redirect, comes
// back, and the record says what the provider's book says.
func TestCardPayment(t *testing.T) {
	t.Parallel()
	for _, money := range []struct {
		amount   int64
		currency string
	}{{1999, "usd"}, {500, "JPY"}} {
		tn := start(t, returnOnly)
		p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k1", order(money.amount, money.currency, "provider", "stripe"))
		id := text(t, p, "id")
		if p["status"] != "requires_action" || !strings.HasPrefix(checkoutURL(t, p), tn.stripe.URL) {
			t.Fatalf("a new payment must be payable at the provider's page: %v", p)
		}
		tn.comeBack(tn.pay(p, good), id)
		p = tn.wantStatus(id, "succeeded")
		if amount(t, p, "captured") != money.amount || amount(t, p, "refundable") != money.amount || p["settled_by"] != "return" {
			t.Errorf("captured %d, settled by %v: %v", amount(t, p, "captured"), p["settled_by"], p["amounts"])
		}
		if p["checkout"] != nil || p["currency"] != strings.ToLower(money.currency) {
			t.Errorf("a paid payment has no checkout, and its currency is lower case: %v", p)
		}
		tn.wantLedger(id, "capture", money.amount)
	}
}

// A decline is not the end: the session stays open and the next card pays. 3-D
// Secure passed pays, failed leaves the page open.
func TestDeclinesAndThreeDSecure(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k1", order(1999, "usd", "provider", "stripe"))
	id := text(t, p, "id")
	out := tn.sandbox(tn.stripe, "/_sandbox/checkout/"+ref(t, p, "checkout_session")+"/pay", object{"card": "4000000000009995"}, http.StatusPaymentRequired)
	if out["decline_code"] != "insufficient_funds" {
		t.Errorf("decline: %v", out)
	}
	tn.must(http.StatusOK, http.MethodPost, "/v1/payments/"+id+"/sync", "s1", object{})
	p = tn.wantStatus(id, "requires_action")
	failure, _ := p["failure"].(object)
	if failure["decline_code"] != "insufficient_funds" {
		t.Errorf("the last decline must show: %v", p["failure"])
	}
	tn.sandbox(tn.stripe, "/_sandbox/checkout/"+ref(t, p, "checkout_session")+"/pay", object{"card": "4000002760003184", "three_ds": "fail"}, http.StatusPaymentRequired)
	tn.comeBack(tn.pay(p, "4000002760003184"), id)
	tn.wantStatus(id, "succeeded")
	tn.wantLedger(id, "capture", 1999)
}

// Coming back from cancel changes nothing; the deadline closes the session by
// call, and nobody can pay it any more.
func TestCancelAndDeadline(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	body := order(1999, "usd", "provider", "stripe")
	body["expires_in"] = 1800
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k1", body)
	id, session := text(t, p, "id"), ref(t, p, "checkout_session")
	out := tn.sandbox(tn.stripe, "/_sandbox/checkout/"+session+"/cancel", object{}, http.StatusOK)
	tn.comeBack(text(t, out, "redirect_url"), id)
	tn.wantStatus(id, "requires_action")
	tn.advance(30*time.Minute + 5*time.Second)
	p = tn.wantStatus(id, "expired")
	if p["checkout"] != nil {
		t.Errorf("an expired payment has no checkout: %v", p["checkout"])
	}
	code, _, _ := tn.do(http.MethodPost, "/v1/payments/"+id+"/cancel", appKey, "c1", object{})
	if code != http.StatusConflict {
		t.Errorf("canceling an expired payment: %d, want 409", code)
	}
	tn.sandbox(tn.stripe, "/_sandbox/checkout/"+session+"/pay", object{"card": good}, http.StatusConflict)
	tn.wantLedger(id, "capture")
}

// One key, fifty requests at once: one payment, one session at the provider.
// Everybody else gets the same payment or is told to wait.
func TestOneKeyFiftyTimes(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	var mu sync.Mutex
	ids, codes := map[string]int{}, map[int]int{}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			code, _, out := tn.do(http.MethodPost, "/v1/payments", appKey, "the-key", order(1999, "usd", "provider", "stripe"))
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
			if code == http.StatusCreated {
				id, _ := out["id"].(string)
				ids[id]++
			}
		})
	}
	wg.Wait()
	if len(ids) != 1 || codes[201]+codes[409] != 50 || codes[201] < 1 {
		t.Errorf("answers %v, payments %v", codes, ids)
	}
	if n := tn.sessions(); n != 1 {
		t.Errorf("%d sessions at the provider, want 1", n)
	}
	code, header, _ := tn.do(http.MethodPost, "/v1/payments", appKey, "the-key", order(1999, "USD", "provider", "stripe"))
	if code != http.StatusUnprocessableEntity && (code != http.StatusCreated || header.Get("Idempotent-Replayed") != "true") {
		t.Errorf("a repetition: %d, replayed %q", code, header.Get("Idempotent-Replayed"))
	}
	code, _, out := tn.do(http.MethodPost, "/v1/payments", appKey, "the-key", order(2000, "usd", "provider", "stripe"))
	if code != http.StatusUnprocessableEntity || out["code"] != "idempotency_key_reused" {
		t.Errorf("the key with another amount: %d %v", code, out)
	}
}

// Refunds in thirds add up exactly, in a currency with and one without
// decimals; one more is refused and the provider is not called.
func TestRefundsInThirds(t *testing.T) {
	t.Parallel()
	for _, money := range []struct {
		amount   int64
		currency string
	}{{1999, "usd"}, {500, "jpy"}} {
		tn := start(t, returnOnly)
		p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(money.amount, money.currency, "provider", "stripe"))
		id := text(t, p, "id")
		tn.comeBack(tn.pay(p, good), id)
		third := money.amount / 3
		for _, key := range []string{"r1", "r2"} {
			r := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments/"+id+"/refunds", key, object{"amount": third})
			if r["status"] != "succeeded" || r["amount"] != float64(third) {
				t.Errorf("refund: %v", r)
			}
		}
		again, header, same := tn.do(http.MethodPost, "/v1/payments/"+id+"/refunds", appKey, "r2", object{"amount": third})
		if again != http.StatusCreated || header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("a repeated refund: %d %v", again, same)
		}
		before := tn.calls.n.Load()
		code, _, out := tn.do(http.MethodPost, "/v1/payments/"+id+"/refunds", appKey, "r-too-much", object{"amount": money.amount - 2*third + 1})
		if code != http.StatusConflict || out["code"] != "conflict" || tn.calls.n.Load() != before {
			t.Errorf("too much: %d %v, %d provider calls", code, out, tn.calls.n.Load()-before)
		}
		rest := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments/"+id+"/refunds", "r3", object{})
		if rest["amount"] != float64(money.amount-2*third) {
			t.Errorf("the rest: %v", rest)
		}
		p = tn.wantStatus(id, "succeeded")
		if amount(t, p, "refunded") != money.amount || amount(t, p, "refundable") != 0 {
			t.Errorf("amounts: %v", p["amounts"])
		}
		tn.wantLedger(id, "refund", third, third, money.amount-2*third)
	}
}

// Money that differs from what was asked is held, with its evidence, until an
// operator decides; it is never succeeded by itself. C2: be it less or more than asked,
// and somebody is alerted.
func TestWrongAmountIsHeld(t *testing.T) {
	t.Parallel()
	for name, delta := range map[string]int64{"one less": -1, "one more": 1} {
		t.Run(name, func(t *testing.T) { t.Parallel(); wrongAmount(t, delta) })
	}
}

func wrongAmount(t *testing.T, delta int64) {
	t.Helper()
	tn := start(t, returnOnly)
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(1999, "usd", "provider", "stripe"))
	id := text(t, p, "id")
	tn.sandbox(tn.stripe, "/_sandbox/faults", object{"capture": object{"amount_delta": delta}}, http.StatusOK)
	tn.comeBack(tn.pay(p, good), id)
	p = tn.wantStatus(id, "conflicted")
	if amount(t, p, "captured") != 1999+delta {
		t.Errorf("the evidence: %v", p["amounts"])
	}
	alerts := tn.list("/v1/alerts?state=open&payment="+id, operatorKey)
	if len(alerts) != 1 || alerts[0]["kind"] != "conflicted_payment" {
		t.Errorf("alerts: %v, want one of the conflict", alerts)
	}
	code, _, _ := tn.do(http.MethodPost, "/v1/payments/"+id+"/refunds", appKey, "r", object{})
	if code != http.StatusConflict {
		t.Errorf("a refund of a held payment: %d, want 409", code)
	}
	resolve := object{"action": "accept", "captures": []string{ref(t, p, "charge")}, "reason": "customer agreed"}
	code, _, _ = tn.do(http.MethodPost, "/v1/payments/"+id+"/resolve", appKey, "o", resolve)
	if code != http.StatusForbidden {
		t.Errorf("resolving with an app key: %d, want 403", code)
	}
	code, _, out := tn.do(http.MethodPost, "/v1/payments/"+id+"/resolve", operatorKey, "o", resolve)
	if code != http.StatusOK || out["status"] != "succeeded" {
		t.Errorf("resolve: %d %v", code, out)
	}
	tn.wantLedger(id, "capture", 1999+delta)
}

// A second capture is seen, held and shown, never added up.
func TestSecondCaptureIsHeld(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(1999, "usd", "provider", "stripe"))
	id := text(t, p, "id")
	tn.sandbox(tn.stripe, "/_sandbox/faults", object{"capture": object{"duplicate": true}}, http.StatusOK)
	tn.comeBack(tn.pay(p, good), id)
	tn.wantStatus(id, "conflicted")
	rows := tn.ledger(id, "capture")
	if len(rows) != 2 {
		t.Fatalf("the fault made %d captures, want 2", len(rows))
	}
	code, _, out := tn.do(http.MethodPost, "/v1/payments/"+id+"/resolve", operatorKey, "o",
		object{"action": "refund", "captures": []string{rows[1].Object}, "reason": "charged twice"})
	if code != http.StatusOK || out["status"] != "succeeded" {
		t.Fatalf("resolve: %d %v", code, out)
	}
	tn.wantLedger(id, "refund", 1999)
	code, _, alerts := tn.do(http.MethodGet, "/v1/alerts", operatorKey, "", nil)
	if data, _ := alerts["data"].([]any); code != http.StatusOK || len(data) == 0 {
		t.Errorf("alerts: %d %v", code, alerts)
	}
}

// Manual capture: authorised money is taken in part, the rest is released; a
// second capture is refused; another authorisation can be released whole.
func TestAuthorizeCaptureVoid(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(2000, "eur", "provider", "stripe", "capture", "manual"))
	id := text(t, p, "id")
	tn.comeBack(tn.pay(p, good), id)
	p = tn.wantStatus(id, "authorized")
	if amount(t, p, "capturable") != 2000 || amount(t, p, "captured") != 0 {
		t.Errorf("amounts: %v", p["amounts"])
	}
	code, _, out := tn.do(http.MethodPost, "/v1/payments/"+id+"/capture", appKey, "c0", object{"amount": 2001})
	if code != http.StatusConflict {
		t.Errorf("capturing too much: %d %v", code, out)
	}
	p = tn.must(http.StatusOK, http.MethodPost, "/v1/payments/"+id+"/capture", "c1", object{"amount": 1500})
	if p["status"] != "succeeded" || amount(t, p, "captured") != 1500 {
		t.Errorf("captured: %v", p)
	}
	if code, _, _ := tn.do(http.MethodPost, "/v1/payments/"+id+"/capture", appKey, "c2", object{}); code != http.StatusConflict {
		t.Errorf("capturing twice: %d, want 409", code)
	}
	tn.wantLedger(id, "capture", 1500)
	p = tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k2", order(2000, "eur", "provider", "stripe", "capture", "manual"))
	id = text(t, p, "id")
	tn.comeBack(tn.pay(p, good), id)
	p = tn.must(http.StatusOK, http.MethodPost, "/v1/payments/"+id+"/cancel", "v1", object{})
	if p["status"] != "canceled" {
		t.Errorf("voided: %v", p)
	}
	tn.wantLedger(id, "capture")
}

// A cancel closes the session at the provider; one that comes after the money
// is a conflict and the money is kept.
func TestCancelAndItsRace(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(1999, "usd", "provider", "stripe"))
	id := text(t, p, "id")
	p = tn.must(http.StatusOK, http.MethodPost, "/v1/payments/"+id+"/cancel", "c", object{})
	if p["status"] != "canceled" || p["checkout"] != nil {
		t.Errorf("canceled: %v", p)
	}
	tn.sandbox(tn.stripe, "/_sandbox/checkout/"+ref(t, p, "checkout_session")+"/pay", object{"card": good}, http.StatusConflict)
	p = tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k2", order(1999, "usd", "provider", "stripe"))
	id = text(t, p, "id")
	tn.pay(p, good) // the customer pays and closes the browser
	code, _, out := tn.do(http.MethodPost, "/v1/payments/"+id+"/cancel", appKey, "c2", object{})
	if code != http.StatusConflict {
		t.Errorf("cancel after the money: %d %v", code, out)
	}
	tn.wantStatus(id, "succeeded")
	tn.wantLedger(id, "capture", 1999)
}

// An answer that is lost is unknown: 202, processing, and the repetition finds
// the one session that was made.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	lose := object{"api": object{"timeout_after_effect": 1, "timeout_ms": 1}}
	tn.sandbox(tn.stripe, "/_sandbox/faults", lose, http.StatusOK)
	body := order(1999, "usd", "provider", "stripe")
	p := tn.must(http.StatusAccepted, http.MethodPost, "/v1/payments", "k", body)
	id := text(t, p, "id")
	if p["status"] != "processing" {
		t.Errorf("an unknown creation is processing: %v", p)
	}
	tn.sandbox(tn.stripe, "/_sandbox/faults", nil, http.StatusOK)
	p = tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", body)
	if p["status"] != "requires_action" || tn.sessions() != 1 {
		t.Errorf("after the repetition: %v, %d sessions", p["status"], tn.sessions())
	}
	tn.comeBack(tn.pay(p, good), id)
	tn.sandbox(tn.stripe, "/_sandbox/faults", lose, http.StatusOK)
	r := tn.must(http.StatusAccepted, http.MethodPost, "/v1/payments/"+id+"/refunds", "r", object{"amount": 999})
	if r["status"] != "pending" {
		t.Errorf("an unknown refund is pending: %v", r)
	}
	tn.sandbox(tn.stripe, "/_sandbox/faults", nil, http.StatusOK)
	tn.advance(time.Minute) // the worker settles it
	p = tn.get(id)
	if amount(t, p, "refunded") != 999 || amount(t, p, "refund_pending") != 0 {
		t.Errorf("amounts: %v", p["amounts"])
	}
	tn.wantLedger(id, "refund", 999)
	tn.wantLedger(id, "capture", 1999)
}

// A provider that certainly did nothing is 503, with the payment's id; the same
// key then works, and there is one session.
func TestProviderAway(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	tn.sandbox(tn.stripe, "/_sandbox/faults", object{"api": object{"status_429": 1}}, http.StatusOK)
	body := order(1999, "usd", "provider", "stripe")
	code, header, out := tn.do(http.MethodPost, "/v1/payments", appKey, "k", body)
	if code != http.StatusServiceUnavailable || out["code"] != "provider_unavailable" || out["payment_id"] == nil || header.Get("Retry-After") == "" {
		t.Fatalf("%d %v", code, out)
	}
	tn.sandbox(tn.stripe, "/_sandbox/faults", nil, http.StatusOK)
	body["amount"] = 2500 // a corrected request may use the same key: nothing was ever answered 2xx
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", body)
	if p["id"] != out["payment_id"] || p["amount"] != float64(2500) || tn.sessions() != 1 {
		t.Errorf("%v, %d sessions", p, tn.sessions())
	}
}

// Another app's payment does not exist, in the same words as one that never did.
func TestOtherAppsSeeNothing(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(1999, "usd", "provider", "stripe"))
	id := text(t, p, "id")
	code, _, foreign := tn.do(http.MethodGet, "/v1/payments/"+id, otherKey, "", nil)
	_, _, unknown := tn.do(http.MethodGet, "/v1/payments/pay_aaaaaaaaaaaaaaaaaaaaaaaaaa", otherKey, "", nil)
	delete(foreign, "request_id")
	delete(unknown, "request_id")
	if code != http.StatusNotFound || len(foreign) == 0 || foreign["detail"] != unknown["detail"] {
		t.Errorf("%d %v, unknown: %v", code, foreign, unknown)
	}
}
