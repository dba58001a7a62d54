package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Promise: a created payment has every field of the contract, its checkout is the
// provider's own page, and its references are there before we answer.
func TestCreateWithProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.create("k1", map[string]any{
		"currency": "USD", "reference": "order-7", "description": "Two <b>shoes</b>", "metadata": map[string]string{"a": "1"},
		"customer": map[string]string{"ref": "c1", "email": "a@b.test", "name": "Ann"},
	})
	if a.text("status") != "requires_action" || a.text("currency") != "usd" || a.text("capture") != "automatic" || a.text("provider") != "stripe" ||
		a.text("account") != "stripe-test" || a.text("customer", "ref") != "c1" || a.text("metadata", "a") != "1" {
		t.Fatalf("payment: %s", a.raw)
	}
	if url := a.text("checkout", "url"); url != "https://stripe.test/c/cs_stripe_1" {
		t.Fatalf("checkout url %s", url)
	}
	if a.text("provider_refs", "checkout_session") != "cs_stripe_1" || a.text("attempts", 0, "state") != "open" {
		t.Fatalf("refs: %s", a.raw)
	}
	if a.at("amounts", "fee") != nil || a.at("failure") != nil || a.at("settled_by") != nil {
		t.Fatalf("not null: %s", a.raw)
	}
	a.wantMoney("expected", 1999).wantMoney("captured", 0)
	got := w.get("/v1/payments/"+a.text("id")).want(http.StatusOK, "")
	if got.raw != a.raw {
		t.Fatalf("read back differently:\n%s\n%s", a.raw, got.raw)
	}
}

// Promise: without a provider the customer chooses on our page, and no provider
// is told anything yet.
func TestCreateWithoutProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.create("k1", map[string]any{"provider": nil})
	if url := a.text("checkout", "url"); !strings.HasPrefix(url, "https://pay.test/pay/"+a.text("id")+"?t=SECRETTOKEN") {
		t.Fatalf("checkout url %s", url)
	}
	if refs, ok := a.at("provider_refs").(map[string]any); !ok || len(refs) != 0 || a.at("provider") != nil || w.stripe.count("") != 0 {
		t.Fatalf("payment: %s", a.raw)
	}
}

// Promise: amounts are minor units of their own currency, also where it has no
// decimals.
func TestAmountsByCurrency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []string{"JPY", "usd"} {
		a := w.paid("k"+c, map[string]any{"currency": c, "amount": 500})
		if a.at("amount") != float64(500) || a.text("amounts", "captured", "currency") != strings.ToLower(c) {
			t.Fatalf("%s: %s", c, a.raw)
		}
		a.wantMoney("captured", 500)
		if a.at("amounts", "fee", 0, "amount") != float64(30) || a.at("amounts", "net", 0, "amount") != float64(470) {
			t.Fatalf("fees: %s", a.raw)
		}
	}
	w.post("/v1/payments", "k3", body(map[string]any{"currency": "jpy", "provider": "paypal"})).want(http.StatusUnprocessableEntity, "unsupported").wantField("/currency")
}

// Promise: an unknown outcome is 202 with the object, and stays 202 until it is
// known; then a replay says what became of it.
func TestUnknownOutcomeIs202(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	timeout := providerError(providers.Unknown, "timeout")
	w.stripe.fails("create", timeout, timeout)
	a := w.post("/v1/payments", "k1", body(nil)).want(http.StatusAccepted, "")
	if a.text("status") != "processing" || a.at("checkout") != nil {
		t.Fatalf("payment: %s", a.raw)
	}
	b := w.post("/v1/payments", "k1", body(nil)).want(http.StatusAccepted, "")
	c := w.post("/v1/payments", "k1", body(nil)).want(http.StatusCreated, "")
	if b.text("id") != a.text("id") || c.text("id") != a.text("id") || c.header.Get("Idempotent-Replayed") != "true" || c.text("status") != "requires_action" {
		t.Fatalf("replays: %s %s", b.raw, c.raw)
	}

	p := w.paid("k2", nil)
	w.stripe.fails("refund", timeout)
	r := w.post("/v1/payments/"+p.text("id")+"/refunds", "r1", "").want(http.StatusAccepted, "")
	if r.text("status") != "pending" || r.text("object") != "refund" {
		t.Fatalf("refund: %s", r.raw)
	}
	again := w.post("/v1/payments/"+p.text("id")+"/refunds", "r1", "").want(http.StatusCreated, "")
	if again.text("id") != r.text("id") || again.text("status") != "succeeded" {
		t.Fatalf("refund replay: %s", again.raw)
	}
}

// Promise: capture, partial capture and cancel answer with the payment; what the
// state forbids is 409, what the account can't do is 422 unsupported.
func TestCaptureAndCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	manual := map[string]any{"capture": "manual"}
	p := w.paid("k1", manual)
	path := "/v1/payments/" + p.text("id")
	if p.text("status") != "authorized" || p.text("attempts", 0, "state") != "authorized" {
		t.Fatalf("payment: %s", p.raw)
	}
	p.wantMoney("capturable", 1999)
	w.post(path+"/capture", "c0", `{"amount":2000}`).want(http.StatusConflict, "conflict")
	part := w.post(path+"/capture", "c1", `{"amount":500,"final":false}`).want(http.StatusOK, "")
	part.wantMoney("captured", 500).wantMoney("capturable", 1499)
	if part.text("status") != "authorized" {
		t.Fatalf("partly captured: %s", part.raw)
	}
	whole := w.post(path+"/capture", "c2", "").want(http.StatusOK, "")
	if whole.text("status") != "succeeded" || whole.text("attempts", 0, "state") != "captured" {
		t.Fatalf("captured: %s", whole.raw)
	}
	again := w.post(path+"/capture", "c1", `{"final":false,"amount":500}`).want(http.StatusOK, "")
	if again.header.Get("Idempotent-Replayed") != "true" {
		t.Fatal("a repeated capture is not marked")
	}
	w.post(path+"/capture", "c1", `{"final":false,"amount":501}`).want(http.StatusUnprocessableEntity, "idempotency_key_reused")
	w.post(path+"/capture", "c3", "").want(http.StatusConflict, "conflict")
	w.post(path+"/cancel", "x1", "").want(http.StatusConflict, "conflict")

	q := w.paid("k2", map[string]any{"capture": "manual", "provider": "paypal"})
	w.post("/v1/payments/"+q.text("id")+"/capture", "c4", `{"final":false,"amount":1}`).want(http.StatusUnprocessableEntity, "unsupported").wantField("/final")
	void := w.post("/v1/payments/"+q.text("id")+"/cancel", "x2", "{}").want(http.StatusOK, "")
	if void.text("status") != "canceled" || void.at("checkout") != nil {
		t.Fatalf("canceled: %s", void.raw)
	}
	o := w.create("k3", nil)
	closed := w.post("/v1/payments/"+o.text("id")+"/cancel", "x3", "").want(http.StatusOK, "")
	if closed.text("status") != "canceled" || closed.text("attempts", 0, "state") != "abandoned" {
		t.Fatalf("canceled: %s", closed.raw)
	}
	late := w.create("k4", nil)
	w.stripe.pay()
	w.post("/v1/payments/"+late.text("id")+"/cancel", "x4", "").want(http.StatusConflict, "conflict")
}

// Promise: refunds are 201 with the refund, listed, and found by id; refusals
// carry the contract's codes and the payment's id.
func TestRefunds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.paid("k1", nil)
	path := "/v1/payments/" + p.text("id") + "/refunds"
	r := w.post(path, "r1", `{"amount":500,"reason":"duplicate"}`).want(http.StatusCreated, "")
	if r.text("status") != "succeeded" || r.text("reason") != "duplicate" || r.at("amount") != float64(500) || r.text("payment") != p.text("id") {
		t.Fatalf("refund: %s", r.raw)
	}
	again := w.post(path, "r1", `{"reason":"duplicate","amount":500}`).want(http.StatusCreated, "")
	if again.text("id") != r.text("id") || again.header.Get("Idempotent-Replayed") != "true" || w.stripe.count("refund") != 1 {
		t.Fatalf("replay: %s", again.raw)
	}
	over := w.post(path, "r2", `{"amount":1500}`).want(http.StatusConflict, "conflict")
	if over.at("payment_id") != p.text("id") && over.at("payment_id") != nil {
		t.Fatalf("payment_id: %s", over.raw)
	}
	w.stripe.fails("refund", &providers.Error{Class: providers.Declined, Code: "card_declined", DeclineCode: "expired_card"})
	declined := w.post(path, "r3", `{"amount":100}`).want(http.StatusPaymentRequired, "declined")
	if declined.text("decline_code") != "expired_card" || declined.text("payment_id") != p.text("id") {
		t.Fatalf("declined: %s", declined.raw)
	}
	w.stripe.fails("refund", providerError(providers.NotDone, "rate_limit"))
	busy := w.post(path, "r4", `{"amount":100}`).want(http.StatusServiceUnavailable, "provider_unavailable")
	if busy.header.Get("Retry-After") == "" || busy.text("payment_id") != p.text("id") {
		t.Fatalf("unavailable: %v %s", busy.header, busy.raw)
	}
	w.post(path, "r4", `{"amount":100}`).want(http.StatusCreated, "")
	list := w.get(path+"?limit=1").want(http.StatusOK, "")
	next := list.text("next")
	if list.at("data", 0, "amount") != float64(100) {
		t.Fatalf("newest first: %s", list.raw)
	}
	w.get(path+"?after="+next).want(http.StatusOK, "")
	w.get(path+"?after=nonsense").want(http.StatusBadRequest, "malformed").wantField("?after")
	if one := w.get("/v1/refunds/"+r.text("id")).want(http.StatusOK, ""); one.raw != again.raw {
		t.Fatalf("read back differently: %s", one.raw)
	}
	state := w.get("/v1/payments/" + p.text("id"))
	state.wantMoney("refunded", 600).wantMoney("refundable", 1399)
	if state.text("status") != "succeeded" {
		t.Fatalf("refunds change the status: %s", state.raw)
	}
}

// Promise: history says who, through which layer, and what changed; funds list
// every movement with its fee.
func TestHistoryAndFunds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.paid("k1", nil)
	path := "/v1/payments/" + p.text("id")
	w.post(path+"/refunds", "r1", `{"amount":500}`).want(http.StatusCreated, "")
	root := w.stripe.roots[0]
	w.stripe.mu.Lock()
	root.disputes = append(root.disputes, payment.Dispute{
		Key: w.stripe.key("dp_1"), Capture: root.captures[0].Key.ID, Amount: root.captures[0].Amount, Stage: "chargeback",
		Status: payment.DisputeNeedsResponse, Reason: "fraudulent", DueBy: w.clock.now(), Withheld: 1000, Stamp: w.stripe.stamp(),
	})
	w.stripe.mu.Unlock()
	after := w.post(path+"/sync", "s2", "{}").want(http.StatusOK, "")
	after.wantMoney("disputed", 1000).wantMoney("refundable", 499)
	if after.text("disputes", 0, "status") != "needs_response" || after.text("disputes", 0, "payment") != p.text("id") {
		t.Fatalf("dispute: %s", after.raw)
	}
	funds := w.get(path+"/funds").want(http.StatusOK, "")
	var kinds []string
	rows, _ := funds.at("data").([]any)
	for i := range rows {
		kinds = append(kinds, funds.text("data", i, "type"))
	}
	if strings.Join(kinds, " ") != "dispute refund capture" || funds.at("data", 2, "fee", 0, "amount") != float64(30) || funds.at("data", 1, "fee") != nil {
		t.Fatalf("funds: %s", funds.raw)
	}
	history := w.get(path+"/history").want(http.StatusOK, "")
	if history.text("data", 0, "actor", "type") != "api_key" || history.text("data", 0, "layer") != "api" {
		t.Fatalf("history: %s", history.raw)
	}
	if id := history.text("data", 0, "request_id"); id == "" || id != after.header.Get("Trifecta-Request-Id") {
		t.Fatalf("the request that changed it: %q, want %q", id, after.header.Get("Trifecta-Request-Id"))
	}
	page := w.get(path+"/history?limit=1").want(http.StatusOK, "")
	rest := w.get(path+"/history?after="+page.text("next")).want(http.StatusOK, "")
	all, _ := history.at("data").([]any)
	tail, _ := rest.at("data").([]any)
	if len(tail) != len(all)-1 {
		t.Fatalf("paged history: %d of %d", len(tail), len(all))
	}
}

// Promise: what stands in the query of a POST is refused, never passed over: an amount
// that was put there by mistake would leave a refund, or a capture, of everything.
func TestPostsTakeNoQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.paid("k1", nil)
	path := "/v1/payments/" + p.text("id")
	for _, route := range []string{path + "/refunds?amount=500", path + "/capture?amount=500&final=false", path + "/cancel?reason=x", "/v1/payments?amount=5", path + "/sync?attempt=1"} {
		a := w.do(call{method: "POST", path: route, key: shopKey, idem: "q" + route, bad: true}).want(http.StatusUnprocessableEntity, "invalid_request")
		if field := a.text("errors", 0, "pointer"); !strings.HasPrefix(field, "?") {
			t.Errorf("%s: %s", route, a.raw)
		}
	}
	if w.stripe.count("refund") != 0 {
		t.Fatal("everything was given back")
	}
	w.get(path).want(http.StatusOK, "").wantMoney("refundable", 1999)
}

// Promise: lists are newest first, paged by cursor, filtered, and only one's own.
func TestListPayments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.create("k1", map[string]any{"reference": "r1", "customer": map[string]string{"ref": "c1"}})
	b := w.paid("k2", map[string]any{"provider": "paypal"})
	w.do(call{method: "POST", path: "/v1/payments", key: otherKey, idem: "k1", body: body(map[string]any{"return_url": "https://other.test/"})}).want(http.StatusCreated, "")
	one := w.get("/v1/payments?limit=1").want(http.StatusOK, "")
	two := w.get("/v1/payments?limit=1&after="+one.text("next")).want(http.StatusOK, "")
	if one.text("data", 0, "id") != b.text("id") || two.text("data", 0, "id") != a.text("id") {
		t.Fatalf("order: %s %s", one.raw, two.raw)
	}
	for query, want := range map[string]string{
		"status=succeeded": b.text("id"), "provider=paypal": b.text("id"), "reference=r1": a.text("id"), "customer=c1": a.text("id"),
		"created_to=" + a.text("created_at"): a.text("id"), "created_from=" + b.text("created_at"): b.text("id"),
	} {
		got := w.get("/v1/payments?"+query).want(http.StatusOK, "")
		if rows, _ := got.at("data").([]any); len(rows) != 1 || got.text("data", 0, "id") != want || got.at("next") != nil {
			t.Errorf("%s: %s", query, got.raw)
		}
	}
	for query, at := range map[string]string{
		"limit=0": "?limit", "limit=101": "?limit", "limit=-1": "?limit", "limit=1000000000": "?limit", "limit=+5": "?limit", "limit=05": "?limit",
		"limit=": "?limit", "status=paid": "?status", "created_from=yesterday": "?created_from", "sort=asc": "?sort", "status[$ne]=x": "?status[$ne]",
		"reference=a%00b": "?reference", "limit=1&limit=2": "?limit", "customer=%ff": "?customer",
	} {
		got := w.do(call{method: "GET", path: "/v1/payments?" + query, key: shopKey, bad: true})
		got.want(http.StatusUnprocessableEntity, "invalid_request").wantField(at)
	}
	for _, cursor := range []string{"garbage", "", "a%00b", "%ff", strings.Repeat("a", 2000)} {
		w.do(call{method: "GET", path: "/v1/payments?after=" + cursor, key: shopKey, bad: true}).want(http.StatusBadRequest, "malformed").wantField("?after")
	}
	w.do(call{method: "GET", path: "/v1/payments?a=%zz", key: shopKey, bad: true}).want(http.StatusBadRequest, "malformed")
}

// Promise: an operator resolves a conflict, an app does not, and only a
// conflicted payment can be resolved.
func TestResolve(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.create("k1", nil)
	w.stripe.mu.Lock()
	capture := w.stripe.capture(w.stripe.roots[0], 2500, "")
	w.stripe.mu.Unlock()
	path := "/v1/payments/" + p.text("id")
	held := w.post(path+"/sync", "s1", "").want(http.StatusOK, "")
	if held.text("status") != "conflicted" {
		t.Fatalf("payment: %s", held.raw)
	}
	w.post(path+"/refunds", "r1", "").want(http.StatusConflict, "conflict")
	order := `{"action":"accept","captures":["` + capture + `"],"reason":"customer agreed"}`
	w.post(path+"/resolve", "d1", order).want(http.StatusForbidden, "forbidden")
	asOperator := call{method: "POST", path: path + "/resolve", key: opKey, idem: "d1", body: order}
	for body, at := range map[string]string{
		`{"action":"keep","captures":["x"],"reason":"r"}`:   "/action",
		`{"captures":["x"],"reason":"r"}`:                   "/action",
		`{"action":"accept","captures":[],"reason":"r"}`:    "/captures",
		`{"action":"accept","captures":["x"],"reason":"r"}`: "/captures/0",
		`{"action":"accept","captures":[1],"reason":"r"}`:   "/captures/0",
		`{"action":"accept","captures":["x"]}`:              "/reason",
	} {
		c := asOperator
		c.body, c.bad = body, true
		w.do(c).want(http.StatusUnprocessableEntity, "invalid_request").wantField(at)
	}
	if done := w.do(asOperator).want(http.StatusOK, ""); done.text("status") != "succeeded" {
		t.Fatalf("resolved: %s", done.raw)
	}
	w.do(asOperator).want(http.StatusOK, "")
	asOperator.idem = "d2"
	w.do(asOperator).want(http.StatusConflict, "conflict")
}

// Promise: somebody else's object, an unknown one and a malformed id answer alike.
func TestForeignObjectsAreNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.paid("k1", nil)
	r := w.post("/v1/payments/"+p.text("id")+"/refunds", "r1", `{"amount":1}`).want(http.StatusCreated, "")
	unknown := "pay_" + strings.Repeat("a", 26)
	body := func(a answer) string { return strings.ReplaceAll(a.raw, a.text("request_id"), "ID") }
	for _, route := range []struct{ method, path, body string }{
		{"GET", "/v1/payments/%", ""},
		{"GET", "/v1/payments/%/refunds", ""},
		{"GET", "/v1/payments/%/history", ""},
		{"GET", "/v1/payments/%/funds", ""},
		{"POST", "/v1/payments/%/capture", `{"amount":1}`},
		{"POST", "/v1/payments/%/cancel", ""},
		{"POST", "/v1/payments/%/sync", ""},
		{"POST", "/v1/payments/%/refunds", `{"amount":1}`},
	} {
		foreign := w.do(call{method: route.method, path: strings.Replace(route.path, "%", p.text("id"), 1), key: otherKey, idem: "x", body: route.body})
		absent := w.do(call{method: route.method, path: strings.Replace(route.path, "%", unknown, 1), key: otherKey, idem: "x", body: route.body})
		broken := w.do(call{method: route.method, path: strings.Replace(route.path, "%", "pay_..%2f1", 1), key: otherKey, idem: "x", body: route.body, bad: true})
		foreign.want(http.StatusNotFound, "not_found")
		if body(foreign) != body(absent) || body(foreign) != body(broken) {
			t.Errorf("%s %s tells objects apart:\n%s\n%s\n%s", route.method, route.path, foreign.raw, absent.raw, broken.raw)
		}
	}
	w.do(call{method: "GET", path: "/v1/refunds/" + r.text("id"), key: otherKey}).want(http.StatusNotFound, "not_found")
	if w.stripe.count("refund") != 1 {
		t.Error("a foreign request reached the provider")
	}
}
