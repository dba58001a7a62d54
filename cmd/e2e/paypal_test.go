package e2e

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
)

// PayPal by return: the customer approves, comes back, and only then is the
// money captured, once.
func TestPayPalPayment(t *testing.T) {
	t.Parallel()
	for _, money := range []struct {
		amount   int64
		currency string
	}{{1999, "usd"}, {500, "jpy"}} {
		tn := start(t, returnOnly)
		body := order(money.amount, money.currency, "provider", "paypal")
		body["customer"] = object{"email": "pat@example.com"}
		p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", body)
		id := text(t, p, "id")
		back := tn.approve(p, object{})
		tn.wantLedger(id, "capture")
		tn.comeBack(back, id)
		p = tn.wantStatus(id, "succeeded")
		if amount(t, p, "captured") != money.amount || p["provider"] != "paypal" {
			t.Errorf("%v", p)
		}
		tn.wantLedger(id, "capture", money.amount)
		tn.must(http.StatusCreated, http.MethodPost, "/v1/payments/"+id+"/refunds", "r1", object{"amount": money.amount / 3})
		tn.must(http.StatusCreated, http.MethodPost, "/v1/payments/"+id+"/refunds", "r2", object{"amount": money.amount / 3})
		tn.must(http.StatusCreated, http.MethodPost, "/v1/payments/"+id+"/refunds", "r3", object{})
		tn.wantLedger(id, "refund", money.amount/3, money.amount/3, money.amount-2*(money.amount/3))
	}
}

// A declined instrument sends the customer back to the same order; the second
// try pays it, once.
func TestPayPalDeclinedInstrument(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(1999, "usd", "provider", "paypal"))
	id, page := text(t, p, "id"), checkoutURL(t, p)
	code, location := tn.browse(tn.approve(p, object{"capture": "declined"}))
	if code != http.StatusSeeOther || location != page {
		t.Fatalf("after a decline: %d to %q, want 303 to %q", code, location, page)
	}
	p = tn.wantStatus(id, "requires_action")
	if f, _ := p["failure"].(object); f == nil {
		t.Errorf("the decline must show: %v", p)
	}
	tn.comeBack(tn.approve(p, object{}), id)
	tn.wantStatus(id, "succeeded")
	tn.wantLedger(id, "capture", 1999)
}

// An eCheck is processing until it clears; a denied one is failed, and a
// cleared one is succeeded.
func TestPayPalPending(t *testing.T) {
	t.Parallel()
	for outcome, want := range map[string]string{"completed": "succeeded", "denied": "failed"} {
		tn := start(t, returnOnly)
		p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(1999, "usd", "provider", "paypal"))
		id := text(t, p, "id")
		tn.comeBack(tn.approve(p, object{"capture": "pending"}), id)
		p = tn.wantStatus(id, "processing")
		tn.sandbox(tn.paypal, "/_sandbox/captures/"+ref(t, p, "capture")+"/settle", object{"outcome": outcome}, http.StatusOK)
		tn.must(http.StatusOK, http.MethodPost, "/v1/payments/"+id+"/sync", "s", object{})
		tn.wantStatus(id, want)
	}
}

// Manual capture at PayPal: authorise on return, capture a part, keep the rest
// capturable, capture the rest.
func TestPayPalAuthorizeAndCapture(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(2000, "eur", "provider", "paypal", "capture", "manual"))
	id := text(t, p, "id")
	tn.comeBack(tn.approve(p, object{}), id)
	p = tn.wantStatus(id, "authorized")
	if amount(t, p, "capturable") != 2000 {
		t.Errorf("%v", p["amounts"])
	}
	p = tn.must(http.StatusOK, http.MethodPost, "/v1/payments/"+id+"/capture", "c1", object{"amount": 1500, "final": false})
	if p["status"] != "authorized" || amount(t, p, "captured") != 1500 || amount(t, p, "capturable") != 500 {
		t.Errorf("partly captured: %v %v", p["status"], p["amounts"])
	}
	p = tn.must(http.StatusOK, http.MethodPost, "/v1/payments/"+id+"/capture", "c2", object{})
	if p["status"] != "succeeded" || amount(t, p, "captured") != 2000 {
		t.Errorf("captured: %v %v", p["status"], p["amounts"])
	}
	tn.wantLedger(id, "capture", 1500, 500)
}

// The buttons of the page that lets customers choose speak their language throughout.
func TestChoiceSpeaksTheCustomersLanguage(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	page := checkoutURL(t, tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(1999, "usd")))
	for lang, button := range map[string]string{
		"en": "Pay with Card or wallet (Stripe)", "de": "Mit Karte oder Wallet (Stripe) bezahlen", "es": "Pagar con tarjeta o",
		"fr": "Payer avec une carte ou", "it": "Paga con carta o", "ko": "카드 또는 간편결제(Stripe)(으)로 결제",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Language", lang)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if html := string(body); res.StatusCode != http.StatusOK || !strings.Contains(html, `lang="`+lang+`"`) || !strings.Contains(html, button) {
			t.Errorf("%s: %d, without %q:\n%s", lang, res.StatusCode, button, html)
		}
	}
}

// With no provider named the customer chooses on our page; going back and
// choosing the other closes the first before the second opens.
func TestChooseAndSwitch(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(1999, "usd"))
	id, page := text(t, p, "id"), checkoutURL(t, p)
	if refs, _ := p["provider_refs"].(object); len(refs) != 0 || !strings.Contains(page, "/pay/"+id+"?t=") {
		t.Fatalf("nothing may be open yet: %v", p)
	}
	if tn.calls.n.Load() != 0 {
		t.Error("a payment without a provider must not call one")
	}
	code, location := tn.choose(page, "stripe")
	if code != http.StatusSeeOther || !strings.HasPrefix(location, tn.stripe.URL) {
		t.Fatalf("%d %q", code, location)
	}
	first := tn.get(id)
	session := ref(t, first, "checkout_session")
	code, location = tn.choose(page, "paypal")
	if code != http.StatusSeeOther || !strings.HasPrefix(location, tn.paypal.URL) {
		t.Fatalf("%d %q", code, location)
	}
	tn.sandbox(tn.stripe, "/_sandbox/checkout/"+session+"/pay", object{"card": good}, http.StatusConflict)
	tn.comeBack(tn.approve(tn.get(id), object{}), id)
	p = tn.wantStatus(id, "succeeded")
	attempts, _ := p["attempts"].([]any)
	if len(attempts) != 2 || p["provider"] != "paypal" {
		t.Errorf("%v", p["attempts"])
	}
	tn.wantLedger(id, "capture", 1999)
}

// Two tabs: PayPal open in one, Stripe chosen in the other. The abandoned order
// is never captured, whatever its customer does; it leads back to our page.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(1999, "usd"))
	id, page := text(t, p, "id"), checkoutURL(t, p)
	tn.choose(page, "paypal")
	tabOne := tn.get(id)
	tn.choose(page, "stripe")
	code, location := tn.browse(tn.approve(tabOne, object{}))
	if code != http.StatusSeeOther || !strings.Contains(location, "/pay/"+id) {
		t.Errorf("coming back from an abandoned order: %d %q", code, location)
	}
	tn.wantLedger(id, "capture")
	tn.comeBack(tn.pay(tn.get(id), good), id)
	tn.wantStatus(id, "succeeded")
	tn.advance(4 * time.Hour)
	tn.wantLedger(id, "capture", 1999)
}

// The customer approved at PayPal before the other tab chose Stripe: the
// approval is kept, and no second checkout opens.
func TestSwitchAfterApproval(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(1999, "usd"))
	id, page := text(t, p, "id"), checkoutURL(t, p)
	tn.choose(page, "paypal")
	back := tn.approve(tn.get(id), object{})
	if code, location := tn.choose(page, "stripe"); code == http.StatusSeeOther && strings.HasPrefix(location, tn.stripe.URL) {
		t.Error("a second checkout opened although the first was approved")
	}
	tn.comeBack(back, id)
	tn.wantStatus(id, "succeeded")
	tn.wantLedger(id, "capture", 1999)
	if n := tn.sessions(); n != 0 {
		t.Errorf("%d Stripe sessions, want none", n)
	}
}

// An order that nobody approves lapses at PayPal; the payment stays payable
// until its own deadline, and its next attempt opens on our page.
func TestLapsedOrder(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(1999, "usd", "provider", "paypal"))
	id := text(t, p, "id")
	tn.advance(3*time.Hour + 5*time.Minute)
	tn.must(http.StatusOK, http.MethodPost, "/v1/payments/"+id+"/sync", "s", object{})
	p = tn.wantStatus(id, "requires_action")
	page := checkoutURL(t, p)
	if !strings.Contains(page, "/pay/"+id) {
		t.Fatalf("the next attempt opens on our page, not %q", page)
	}
	tn.choose(page, "paypal")
	tn.comeBack(tn.approve(tn.get(id), object{}), id)
	tn.wantStatus(id, "succeeded")
	tn.wantLedger(id, "capture", 1999)
}

// An order captured with a second capture by a fault is held, both shown.
func TestPayPalDoubleCapture(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(1999, "usd", "provider", "paypal"))
	id := text(t, p, "id")
	tn.sandbox(tn.paypal, "/_sandbox/faults", object{"capture": object{"duplicate": true}}, http.StatusOK)
	tn.comeBack(tn.approve(p, object{}), id)
	tn.wantStatus(id, "conflicted")
	tn.wantLedger(id, "capture", 1999, 1999)
}

// Money taken at both providers for one payment, the abandoned order captured by
// somebody behind our back: seen, held, told to a human, never added up to a
// success. The operator gives one of the two back.
func TestPaidAtBothProviders(t *testing.T) {
	t.Parallel()
	tn := start(t, config.Layers{Return: true, Webhook: true, Reconcile: true})
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", order(1999, "usd"))
	id, page := text(t, p, "id"), checkoutURL(t, p)
	tn.choose(page, "paypal")
	abandoned := tn.get(id)
	tn.choose(page, "stripe")
	tn.approve(abandoned, object{})
	tn.captureBehindOurBack(ref(t, abandoned, "order"))
	tn.comeBack(tn.pay(tn.get(id), good), id)
	tn.advance(12 * time.Minute)
	tn.wantStatus(id, "conflicted")
	tn.wantLedger(id, "capture", 1999, 1999)
	code, _, alerts := tn.do(http.MethodGet, "/v1/alerts?payment="+id, operatorKey, "", nil)
	kinds := map[any]bool{}
	data, _ := alerts["data"].([]any)
	for _, a := range data {
		o, _ := a.(object)
		kinds[o["kind"]] = true
	}
	if code != http.StatusOK || !kinds["conflicted_payment"] || !kinds["late_money"] {
		t.Errorf("alerts: %d %v", code, kinds)
	}
	capture := ""
	for _, row := range tn.ledger(id, "capture") {
		if !strings.HasPrefix(row.Object, "ch_") {
			capture = row.Object
		}
	}
	code, _, out := tn.do(http.MethodPost, "/v1/payments/"+id+"/resolve", operatorKey, "o",
		object{"action": "refund", "captures": []string{capture}, "reason": "paid twice"})
	if code != http.StatusOK || out["status"] != "succeeded" {
		t.Fatalf("resolve: %d %v", code, out)
	}
	tn.advance(10 * time.Minute)
	tn.wantStatus(id, "succeeded")
	tn.wantLedger(id, "refund", 1999)
}

// captureBehindOurBack captures an approved order as another program with the same
// PayPal account could.
func (tn *town) captureBehindOurBack(order string) {
	tn.t.Helper()
	call := func(path, body, authorization string) object {
		req, err := http.NewRequestWithContext(tn.t.Context(), http.MethodPost, tn.paypal.URL+path, strings.NewReader(body))
		if err != nil {
			tn.t.Fatal(err)
		}
		req.Header.Set("Authorization", authorization)
		req.Header.Set("Content-Type", "application/json")
		if strings.HasPrefix(body, "grant_type") {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		code, _, out := tn.send(req)
		if code >= http.StatusMultipleChoices {
			tn.t.Fatalf("%s: %d %v", path, code, out)
		}
		return out
	}
	token := call("/v1/oauth2/token", "grant_type=client_credentials", "Basic "+base64.StdEncoding.EncodeToString([]byte("e2e:other")))
	call("/v2/checkout/orders/"+order+"/capture", "{}", "Bearer "+text(tn.t, token, "access_token"))
}
