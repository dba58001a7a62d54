package httpapi_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/httpapi"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// customerToken reads the token of a payment, which its app never needs.
func (w *world) customerToken(id string) string {
	w.t.Helper()
	p, err := w.payments.Get(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p.Token
}

func (w *world) page(p answer, header map[string]string) answer {
	w.t.Helper()
	return w.do(call{method: "GET", path: "/pay/" + p.text("id") + "?t=" + w.customerToken(p.text("id")), header: header})
}

// choose posts the page's form.
func (w *world) choose(p answer, provider string) answer {
	w.t.Helper()
	form := url.Values{"t": {w.customerToken(p.text("id"))}, "provider": {provider}}.Encode()
	return w.do(call{method: "POST", path: "/pay/" + p.text("id"), body: form, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}})
}

func (w *world) comeBack(p answer, query string, header map[string]string) answer {
	w.t.Helper()
	return w.do(call{method: "GET", path: "/v1/return/" + p.text("id") + "?t=" + w.customerToken(p.text("id")) + query, header: header})
}

// wantPage checks a page's status, its policy, and some words in it.
func (a answer) wantPage(status int, words ...string) answer {
	a.t.Helper()
	a.want(status, "")
	if kind := a.header.Get("Content-Type"); kind != "text/html; charset=utf-8" {
		a.t.Fatalf("Content-Type %q: %s", kind, a.raw)
	}
	csp := a.header.Get("Content-Security-Policy")
	for _, rule := range []string{"default-src 'none'", "style-src 'sha256-", "frame-ancestors 'none'", "base-uri 'none'", "form-action "} {
		if !strings.Contains(csp, rule) {
			a.t.Errorf("CSP lacks %s: %s", rule, csp)
		}
	}
	for header, value := range map[string]string{
		"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
		"Strict-Transport-Security": "max-age=31536000",
	} {
		if got := a.header.Get(header); got != value {
			a.t.Errorf("%s: %q", header, got)
		}
	}
	for _, word := range words {
		if !strings.Contains(a.raw, word) {
			a.t.Errorf("the page lacks %q:\n%s", word, a.raw)
		}
	}
	for _, outside := range []string{"<script", "src=", "@import", "url(", "onclick"} {
		if strings.Contains(a.raw, outside) {
			a.t.Errorf("the page has %q", outside)
		}
	}
	return a
}

// Promise: the pay page shows amount, reference and a button for each provider
// that can take the payment; a choice leads to that provider's page, and the same
// choice again to the same page.
func TestPayPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.create("k1", map[string]any{"provider": nil, "reference": "order-7", "description": "Two shoes"})
	a := w.page(p, nil).wantPage(http.StatusOK, `lang="en"`, "Payment to shop", "$19.99", "USD", "order-7", "Two shoes", "Pay with Card", "Pay with PayPal")
	if !strings.Contains(a.header.Get("Content-Security-Policy"), "form-action 'self' https: http:") {
		t.Errorf("in test mode a form may lead to a sandbox: %s", a.header.Get("Content-Security-Policy"))
	}
	b := w.choose(p, "paypal").want(http.StatusSeeOther, "")
	if target := b.header.Get("Location"); target != "https://paypal.test/c/cs_paypal_1" {
		t.Fatalf("Location %q", target)
	}
	if again := w.choose(p, "paypal"); again.header.Get("Location") != b.header.Get("Location") || w.paypal.count("create") != 1 {
		t.Fatal("a double click opened a second checkout")
	}
	other := w.choose(p, "stripe").want(http.StatusSeeOther, "")
	if other.header.Get("Location") != "https://stripe.test/c/cs_stripe_1" || w.paypal.count("close") != 1 {
		t.Fatalf("switch: %q, closed %d", other.header.Get("Location"), w.paypal.count("close"))
	}
	w.choose(p, "adyen").wantPage(http.StatusUnprocessableEntity, `role="alert"`, "Pay with Card")
	yen := w.create("k2", map[string]any{"provider": nil, "currency": "jpy"})
	if page := w.page(yen, nil).wantPage(http.StatusOK, "¥1,999", "Pay with Card"); strings.Contains(page.raw, "PayPal") {
		t.Error("a provider that can't take yen is offered")
	}
}

// Promise: a wrong, missing or foreign token is a page like that of no payment at
// all, and malformed ids never reach the store.
func TestPageTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.create("k1", map[string]any{"provider": nil})
	q := w.create("k2", map[string]any{"provider": nil})
	token := w.customerToken(q.text("id"))
	for _, path := range []string{
		"/pay/" + p.text("id"), "/pay/" + p.text("id") + "?t=", "/pay/" + p.text("id") + "?t=" + token, "/pay/" + p.text("id") + "?t=x", "/pay/nothing?t=" + token,
		"/pay/pay_" + strings.Repeat("a", 26) + "?t=" + token,
	} {
		for _, prefix := range []string{"/pay/", "/v1/return/"} {
			a := w.do(call{method: "GET", path: strings.Replace(path, "/pay/", prefix, 1), bad: true})
			a.wantPage(http.StatusNotFound, "This link is not valid")
		}
	}
	w.do(call{method: "GET", path: "/v1/return/" + p.text("id") + "?t=x", header: map[string]string{"Accept": "application/json"}}).want(http.StatusNotFound, "not_found")
	form := url.Values{"t": {token}, "provider": {"stripe"}}.Encode()
	asForm := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	w.do(call{method: "POST", path: "/pay/" + p.text("id"), body: form, header: asForm}).wantPage(http.StatusNotFound)
	w.do(call{method: "POST", path: "/pay/" + p.text("id"), body: `{"t":"x"}`, bad: true}).wantPage(http.StatusUnsupportedMediaType)
	w.do(call{method: "POST", path: "/pay/" + p.text("id"), body: strings.Repeat("x", 300_000), header: asForm, bad: true}).wantPage(http.StatusRequestEntityTooLarge)
	if w.stripe.count("") != 0 {
		t.Error("a provider was called")
	}
}

// Guards K3: no id is a key. Whatever else names a payment opens its page and its return
// address to nobody, in the token's place or with the token in the id's.
func TestIDsOpenNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.paid("k1", map[string]any{"reference": "order-7", "metadata": map[string]string{"order": "7"}})
	id := p.text("id")
	refund := w.post("/v1/payments/"+id+"/refunds", "r", `{"amount":1}`).want(http.StatusCreated, "")
	stored, err := w.payments.Get(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	token := stored.Token
	names := []string{
		id, strings.TrimPrefix(id, "pay_"), refund.text("id"), "shop", "order-7", "k1", p.header.Get("Trifecta-Request-Id"), shopKey, opKey,
		stored.Facts.Attempts[0].Key.ID, stored.Facts.Captures[0].Key.ID, stored.Facts.Refunds[0].Key.ID, id + token, token + id, token[:len(token)-1], strings.ToLower(token),
	}
	calls := w.stripe.count("")
	for _, name := range names {
		query := "?t=" + url.QueryEscape(name)
		for _, key := range []string{"", shopKey} { // a key opens no customer's page either
			w.do(call{method: "GET", path: "/pay/" + id + query, key: key}).wantPage(http.StatusNotFound, "This link is not valid")
			w.do(call{method: "GET", path: "/v1/return/" + id + query, key: key}).wantPage(http.StatusNotFound, "This link is not valid")
			w.do(call{method: "GET", path: "/v1/return/" + id + query + "&outcome=success", key: key, header: map[string]string{"Accept": "application/json"}}).want(http.StatusNotFound, "not_found")
			form := url.Values{"t": {name}, "provider": {"stripe"}}.Encode()
			w.do(call{method: "POST", path: "/pay/" + id, key: key, body: form, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}).wantPage(http.StatusNotFound, "This link is not valid")
		}
	}
	for _, path := range []string{"/pay/", "/v1/return/"} {
		w.do(call{method: "GET", path: path + token + "?t=" + id, bad: true}).wantPage(http.StatusNotFound, "This link is not valid")
		w.do(call{method: "GET", path: path + refund.text("id") + "?t=" + token, bad: true}).wantPage(http.StatusNotFound, "This link is not valid")
	}
	if w.stripe.count("") != calls {
		t.Error("a provider was called")
	}
	w.page(p, nil).wantPage(http.StatusOK, "Payment received") // and the right one does
}

// Promise: a customer's links end: 30 days after the deadline they are those of no payment at all, and nothing is done.
func TestPageTokensExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.paid("k1", nil)
	back := "/v1/return/" + p.text("id") + "?t=" + w.customerToken(p.text("id"))
	w.clock.advance(24*time.Hour + 29*24*time.Hour)
	w.page(p, nil).wantPage(http.StatusOK, "Payment received")
	w.do(call{method: "GET", path: back}).want(http.StatusSeeOther, "")
	calls := w.stripe.count("")
	w.clock.advance(2 * 24 * time.Hour)
	w.page(p, nil).wantPage(http.StatusNotFound, "This link is not valid")
	w.do(call{method: "GET", path: back}).wantPage(http.StatusNotFound, "This link is not valid")
	w.choose(p, "stripe").wantPage(http.StatusNotFound, "This link is not valid")
	if w.stripe.count("") != calls {
		t.Error("a provider was called")
	}
}

// Promise: each state has its page, with the way back to the shop, and no button
// to pay again.
func TestPageStates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check := func(p answer, words ...string) {
		t.Helper()
		a := w.page(p, nil).wantPage(http.StatusOK, append(words, "Return to shop")...)
		if strings.Contains(a.raw, "<button") {
			t.Errorf("%s: a button on %s", p.text("id"), words[0])
		}
	}
	check(w.paid("k1", nil), "Payment received")
	check(w.paid("k2", map[string]any{"capture": "manual"}), "Payment received")
	canceled := w.create("k3", nil)
	w.post("/v1/payments/"+canceled.text("id")+"/cancel", "c", "")
	check(canceled, "This payment was canceled")
	w.stripe.fails("create", providerError(providers.Unknown, "timeout"))
	check(w.post("/v1/payments", "k4", body(nil)), "We are checking your payment")
	conflicted := w.create("k5", nil)
	w.stripe.mu.Lock()
	w.stripe.capture(w.stripe.roots[len(w.stripe.roots)-1], 1, "")
	w.stripe.mu.Unlock()
	w.post("/v1/payments/"+conflicted.text("id")+"/sync", "s", "")
	check(conflicted, "We are checking your payment")
	denied := w.create("k6", nil)
	w.stripe.mu.Lock()
	w.stripe.roots[len(w.stripe.roots)-1].state = payment.AttemptFailed
	w.stripe.mu.Unlock()
	w.post("/v1/payments/"+denied.text("id")+"/sync", "s", "")
	check(denied, "The payment failed")

	declined := w.create("k7", nil)
	w.stripe.mu.Lock()
	w.stripe.roots[len(w.stripe.roots)-1].failure = payment.Failure{Code: "card_declined", Message: "The payment was declined."}
	w.stripe.mu.Unlock()
	d := w.post("/v1/payments/"+declined.text("id")+"/sync", "s", "").want(http.StatusOK, "")
	if d.text("failure", "code") != "card_declined" || d.text("status") != "requires_action" {
		t.Fatalf("declined: %s", d.raw)
	}
	w.page(declined, nil).wantPage(http.StatusOK, `role="alert"`, "declined", "<button")

	lapsed := w.create("k8", map[string]any{"provider": nil, "expires_in": 1800})
	w.clock.advance(time.Hour)
	if _, _, err := w.svc.Operations(0).Step(context.Background()); err != nil {
		t.Fatal(err)
	}
	check(lapsed, "The time to pay is over")
	if a := w.get("/v1/payments/" + lapsed.text("id")); a.text("status") != "expired" || a.at("checkout") != nil {
		t.Fatalf("expired: %s", a.raw)
	}
	// A form sent from a page that is out of date shows how things stand.
	w.choose(canceled, "stripe").wantPage(http.StatusOK, "This payment was canceled")
}

// Promise: a provider that can't be reached is said so, with the buttons to try
// again, and the next try works.
func TestProviderDownOnPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.create("k1", map[string]any{"provider": nil})
	w.stripe.fails("create", providerError(providers.NotDone, "down"))
	a := w.choose(p, "stripe").wantPage(http.StatusServiceUnavailable, `role="alert"`, "could not be reached", "Pay with Card", "Pay with PayPal")
	if a.header.Get("Retry-After") == "" || strings.Contains(a.raw, "secret driver text") {
		t.Fatalf("page: %v", a.header)
	}
	w.choose(p, "stripe").want(http.StatusSeeOther, "")
}

// Promise: what an app puts into a payment is shown as text and is nothing else.
func TestMarkupIsInert(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *httpapi.Options) { o.BrandName = `Shop"><script>alert(3)</script>` })
	for i, attack := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `javascript:alert(1)`, `{{.Token}}`, `</title><svg onload=alert(1)>`, `' onfocus='alert(1)`} {
		p := w.create("k"+string(rune('a'+i)), map[string]any{"provider": nil, "reference": attack, "description": attack, "metadata": map[string]string{"x": attack}})
		a := w.page(p, nil)
		for _, live := range []string{"<script", "<img", "<svg", "onfocus='", `onerror=alert(1)>"`} {
			if strings.Contains(a.raw, live) {
				t.Errorf("%s is live in:\n%s", live, a.raw)
			}
		}
		if got := w.get("/v1/payments/" + p.text("id")); got.text("reference") != attack {
			t.Errorf("reference changed: %s", got.raw)
		}
	}
}

// Promise: pages speak the payment's language, else the browser's, else English,
// and write amounts as that language does.
func TestLanguages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plain := w.create("k1", map[string]any{"provider": nil, "currency": "eur", "amount": 123456789})
	for accept, words := range map[string][]string{
		"de-AT,de;q=0.9":         {`lang="de"`, "Zahlung an shop", "1.234.567,89\u00a0€", "Mit [PayPal] bezahlen"},
		"fr":                     {`lang="fr"`, "1\u202f234\u202f567,89\u00a0€"},
		"xx, es;q=0.3, it;q=0.7": {`lang="it"`, "Paga con PayPal"},
		"ko-KR":                  {`lang="ko"`, "€1,234,567.89", "PayPal(으)로 결제"},
		"":                       {`lang="en"`, "€1,234,567.89"},
		"tlh;q=banana,,;;":       {`lang="en"`},
	} {
		w.page(plain, map[string]string{"Accept-Language": accept}).wantPage(http.StatusOK, words...)
	}
	fixed := w.create("k2", map[string]any{"provider": nil, "locale": "es-MX"})
	w.page(fixed, map[string]string{"Accept-Language": "de"}).wantPage(http.StatusOK, `lang="es"`, "Pagar con PayPal", "19,99\u00a0$")
}

// Promise: the customer comes back to the app with payment_id and nothing about
// the outcome, whatever the query claims; programs get it as JSON.
func TestReturn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.create("k1", map[string]any{"cancel_url": "https://shop.test/basket"})
	a := w.comeBack(p, "&outcome=success&attempt=1&status=succeeded&session_id=cs_forged&return_url=https://evil.test", nil).want(http.StatusSeeOther, "")
	if target := a.header.Get("Location"); target != "https://shop.test/done?order=7&payment_id="+p.text("id") {
		t.Fatalf("Location %q", target)
	}
	if b := w.comeBack(p, "&outcome=cancel&attempt=1", nil); b.header.Get("Location") != "https://shop.test/basket?payment_id="+p.text("id") {
		t.Fatalf("Location %q", b.header.Get("Location"))
	}
	w.stripe.pay()
	j := w.comeBack(p, "&outcome=success&attempt=banana", map[string]string{"Accept": "application/json"}).want(http.StatusOK, "")
	if j.text("payment", "status") != "succeeded" || j.text("payment", "settled_by") != "return" || j.text("redirect_to") != "https://shop.test/done?order=7&payment_id="+p.text("id") {
		t.Fatalf("return: %s", j.raw)
	}
	w.stripe.fails("fetch", providerError(providers.Unknown, "timeout"))
	w.comeBack(p, "&outcome=success", map[string]string{"Accept": "text/html,application/json"}).want(http.StatusSeeOther, "")
}

// Guards C1 and F3: what an unpaid customer writes into the return address decides
// nothing: the payment stays unpaid, of its amount, and where they are sent stays ours.
func TestReturnQueryDecidesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.create("k1", nil)
	paid := w.paid("k2", nil)
	read := func() map[string]any { // all but that it was looked at
		got := w.get("/v1/payments/"+p.text("id")).want(http.StatusOK, "").body
		delete(got, "version")
		delete(got, "updated_at")
		return got
	}
	before := read()
	ids := "&payment_id=" + paid.text("id") + "&id=" + paid.text("id")
	for _, query := range []string{
		"&outcome=success&status=succeeded", "&outcome=succeeded", "&outcome=paid&paid=true&settled_by=return", "&outcome=success&amount=1&amount=0&captured=1999&currency=jpy",
		"&outcome=success" + ids, "&outcome=success&session_id=cs_forged&payment_intent=pi_forged&redirect_status=succeeded",
		"&outcome=success&token=ORDER&PayerID=BUYER&attempt=1", "&outcome=success&attempt=99", "&outcome=success&attempt=-1&status[]=succeeded",
		"&outcome=success&return_url=https://evil.test&redirect_to=https://evil.test&cancel_url=https://evil.test", "&outcome=success&t=x&status=succeeded",
	} {
		a := w.comeBack(p, query, nil).want(http.StatusSeeOther, "")
		if target := a.header.Get("Location"); target != "https://shop.test/done?order=7&payment_id="+p.text("id") {
			t.Errorf("%s: sent to %s", query, target)
		}
		j := w.comeBack(p, query, map[string]string{"Accept": "application/json"}).want(http.StatusOK, "")
		if j.text("payment", "id") != p.text("id") || j.text("payment", "status") != "requires_action" || j.at("payment", "amount") != p.at("amount") {
			t.Errorf("%s: %s", query, j.raw)
		}
		if diff := cmp.Diff(before, read()); diff != "" {
			t.Errorf("%s changed the payment:\n%s", query, diff)
		}
	}
	if n := w.stripe.count("capture") + w.stripe.count("refund"); n != 0 {
		t.Errorf("%d calls moved money", n)
	}
}

// Promise: a return URL that is on the app's list no more gets a neutral page
// instead of a redirect.
func TestReturnWithoutTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.create("k1", nil)
	stored, err := w.payments.Get(context.Background(), p.text("id"))
	if err != nil {
		t.Fatal(err)
	}
	stored.Request.ReturnURL = "https://gone.test/"
	stored.Version++
	if err := w.payments.Replace(context.Background(), stored); err != nil {
		t.Fatal(err)
	}
	if a := w.comeBack(p, "&outcome=success", nil).wantPage(http.StatusOK, "You can close this page"); strings.Contains(a.raw, "gone.test") {
		t.Error("the page names the URL")
	}
	j := w.comeBack(p, "&outcome=success", map[string]string{"Accept": "application/json"}).want(http.StatusOK, "")
	if j.at("redirect_to") != nil {
		t.Errorf("redirect_to: %s", j.raw)
	}
}

// Promise: an attempt that the customer left for another leads back to our page.
func TestReturnFromAbandonedAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.create("k1", map[string]any{"provider": nil})
	w.choose(p, "paypal").want(http.StatusSeeOther, "")
	w.choose(p, "stripe").want(http.StatusSeeOther, "")
	a := w.comeBack(p, "&outcome=success&attempt=1", nil).want(http.StatusSeeOther, "")
	if !strings.HasPrefix(a.header.Get("Location"), "https://pay.test/pay/"+p.text("id")+"?t=") {
		t.Fatalf("Location %q", a.header.Get("Location"))
	}
}

// Promise: the customer's token stands in checkout.url and nowhere else of an
// answer, and no answer carries a secret.
func TestTokenOnlyInCheckoutURL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.create("k1", map[string]any{"provider": nil})
	token := w.customerToken(p.text("id"))
	if n := strings.Count(p.raw, token); n != 1 || !strings.Contains(p.text("checkout", "url"), token) {
		t.Errorf("the token stands %d times in %s", n, p.raw)
	}
	w.choose(p, "stripe")
	for _, path := range []string{"", "/history", "/funds", "/refunds"} {
		if a := w.get("/v1/payments/" + p.text("id") + path); strings.Contains(a.raw, "SECRETTOKEN") || strings.Contains(a.raw, "client_secret") {
			t.Errorf("%s: %s", path, a.raw)
		}
	}
}

// Promise: events render without a Service exactly as the API answers.
func TestRenderedEventsEqualAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	render := httpapi.NewRenderer("https://pay.test")
	a := w.create("k1", map[string]any{"provider": nil})
	b := w.create("k2", nil)
	c := w.paid("k3", nil)
	w.post("/v1/payments/"+c.text("id")+"/refunds", "r", "").want(http.StatusCreated, "")
	for _, id := range []string{a.text("id"), b.text("id"), c.text("id")} {
		p, err := w.payments.Get(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		got, err := render(p, payment.Event{Type: "payment.succeeded", Object: id})
		if err != nil || string(got) != w.get("/v1/payments/"+id).raw {
			t.Errorf("event renders %s (%v)", got, err)
		}
		for _, r := range p.Refunds() {
			got, err := render(p, payment.Event{Type: "refund.succeeded", Object: r.ID})
			if err != nil || string(got) != w.get("/v1/refunds/"+r.ID).raw {
				t.Errorf("event renders %s (%v)", got, err)
			}
		}
	}
	p := &payment.Payment{ID: "pay_x"}
	for _, kind := range []string{"refund.created", "dispute.opened", "weather.changed"} {
		if _, err := render(p, payment.Event{Type: kind, Object: "none"}); err == nil {
			t.Errorf("%s of nothing renders", kind)
		}
	}
}
