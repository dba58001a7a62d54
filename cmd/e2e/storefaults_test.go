package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
	"github.com/trifecta-pay/trifecta/store/storetest"
)

// answer is one answer of ours, in the raw.
type answer struct {
	code   int
	header http.Header
	body   string
}

// call is one request that a case makes, and makes again until it is answered.
type call struct {
	method, path, key, idem string
	body                    string
	form                    bool
}

func (tn *town) raw(c call) answer {
	tn.t.Helper()
	target := c.path
	if strings.HasPrefix(target, "/") {
		target = tn.api.URL + target
	}
	req, err := http.NewRequestWithContext(tn.t.Context(), c.method, target, strings.NewReader(c.body))
	if err != nil {
		tn.t.Fatal(err)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	switch {
	case c.form:
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	case c.body != "":
		req.Header.Set("Content-Type", "application/json")
	}
	if c.idem != "" {
		req.Header.Set("Idempotency-Key", c.idem)
	}
	resp, err := tn.client.Do(req)
	if err != nil {
		tn.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tn.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// endpoint is one of ours, with what it takes to call it and to see its effect.
type endpoint struct {
	name string
	// arrange prepares case number n and returns the call, and a check of what must be true once the call was
	// answered with success.
	arrange func(tn *town, n int) (call, func())
}

func key(n int, what string) string { return fmt.Sprintf("%s-%d", what, n) }

// opened is an open payment.
func opened(tn *town, n int, more ...string) object {
	tn.t.Helper()
	return tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", key(n, "open"), order(1999, "usd", more...))
}

// paid is a payment that a customer has paid and come back from.
func paid(tn *town, n int, provider string) (id string, p object) {
	tn.t.Helper()
	p = opened(tn, n, "provider", provider)
	id = text(tn.t, p, "id")
	if provider == "stripe" {
		tn.comeBack(tn.pay(p, good), id)
	} else {
		tn.comeBack(tn.approve(p, object{}), id)
	}
	return id, tn.wantStatus(id, "succeeded")
}

// held is a payment whose captured amount is wrong, and its alert.
func held(tn *town, n int) (id, alert string, p object) {
	tn.t.Helper()
	p = opened(tn, n, "provider", "stripe")
	id = text(tn.t, p, "id")
	tn.sandbox(tn.stripe, "/_sandbox/faults", object{"capture": object{"amount_delta": -1}}, http.StatusOK)
	tn.comeBack(tn.pay(p, good), id)
	tn.sandbox(tn.stripe, "/_sandbox/faults", nil, http.StatusOK)
	p = tn.wantStatus(id, "conflicted")
	_, _, list := tn.do(http.MethodGet, "/v1/alerts?payment="+id, operatorKey, "", nil)
	data, _ := list["data"].([]any)
	if len(data) == 0 {
		tn.t.Fatalf("no alert for %s", id)
	}
	first, _ := data[0].(object)
	return id, text(tn.t, first, "id"), p
}

// reads are those of the payments' side. What they read is made once: reading changes nothing.
func reads() []endpoint {
	id, refund := "", ""
	get := func(name, who string, path func(id, refund string) string) endpoint {
		return endpoint{"GET " + name, func(tn *town, n int) (call, func()) {
			if id == "" {
				id, _ = paid(tn, n, "stripe")
				r := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments/"+id+"/refunds", key(n, "refund"), object{"amount": 100})
				refund = text(tn.t, r, "id")
			}
			return call{method: http.MethodGet, path: path(id, refund), key: who}, func() {}
		}}
	}
	return []endpoint{
		get("/v1/payments", appKey, func(string, string) string { return "/v1/payments?limit=5" }),
		get("/v1/payments?status", appKey, func(string, string) string { return "/v1/payments?status=succeeded" }),
		get("/v1/payments/{id}", appKey, func(id, _ string) string { return "/v1/payments/" + id }),
		get("/v1/payments/{id}/refunds", appKey, func(id, _ string) string { return "/v1/payments/" + id + "/refunds" }),
		get("/v1/payments/{id}/history", appKey, func(id, _ string) string { return "/v1/payments/" + id + "/history" }),
		get("/v1/payments/{id}/funds", appKey, func(id, _ string) string { return "/v1/payments/" + id + "/funds" }),
		get("/v1/refunds/{id}", appKey, func(_, refund string) string { return "/v1/refunds/" + refund }),
		get("/v1/events", appKey, func(string, string) string { return "/v1/events" }),
		get("/v1/alerts", operatorKey, func(string, string) string { return "/v1/alerts" }),
		get("/v1/reconcile/runs", operatorKey, func(string, string) string { return "/v1/reconcile/runs" }),
		get("/v1/settings", operatorKey, func(string, string) string { return "/v1/settings" }),
		{"GET /pay/{id}", func(tn *town, n int) (call, func()) {
			return call{method: http.MethodGet, path: checkoutURL(tn.t, opened(tn, n))}, func() {}
		}},
	}
}

func writes() []endpoint {
	create := func(provider string) endpoint {
		return endpoint{"POST /v1/payments " + provider, func(tn *town, n int) (call, func()) {
			c := call{
				method: http.MethodPost, path: "/v1/payments", key: appKey, idem: key(n, "create-"+provider),
				body: fmt.Sprintf(`{"amount":1999,"currency":"usd","reference":"r","return_url":%q,"provider":%q}`, shopURL, provider),
			}
			return c, func() { // the same request is the same payment, and it can be paid once
				p := tn.must(http.StatusCreated, http.MethodPost, c.path, c.idem, object{
					"amount": 1999, "currency": "usd", "reference": "r", "return_url": shopURL, "provider": provider,
				})
				id := text(tn.t, p, "id")
				if provider == "stripe" {
					tn.comeBack(tn.pay(p, good), id)
				} else {
					tn.comeBack(tn.approve(p, object{}), id)
				}
				tn.wantStatus(id, "succeeded")
				tn.wantLedger(id, "capture", 1999)
			}
		}}
	}
	refund := func(provider string) endpoint {
		return endpoint{"POST /v1/payments/{id}/refunds " + provider, func(tn *town, n int) (call, func()) {
			id, _ := paid(tn, n, provider)
			return call{method: http.MethodPost, path: "/v1/payments/" + id + "/refunds", key: appKey, idem: key(n, "refund"), body: `{"amount":999}`}, func() {
				tn.wantLedger(id, "refund", 999)
				if got := amount(tn.t, tn.get(id), "refunded"); got != 999 {
					tn.t.Errorf("refunded %d, want 999", got)
				}
			}
		}}
	}
	return []endpoint{
		create("stripe"), create("paypal"), refund("stripe"), refund("paypal"),
		{"POST /v1/payments/{id}/capture", func(tn *town, n int) (call, func()) {
			p := opened(tn, n, "provider", "paypal", "capture", "manual")
			id := text(tn.t, p, "id")
			tn.comeBack(tn.approve(p, object{}), id)
			tn.wantStatus(id, "authorized")
			return call{method: http.MethodPost, path: "/v1/payments/" + id + "/capture", key: appKey, idem: key(n, "capture"), body: `{}`}, func() {
				tn.wantStatus(id, "succeeded")
				tn.wantLedger(id, "capture", 1999)
			}
		}},
		{"POST /v1/payments/{id}/cancel", func(tn *town, n int) (call, func()) {
			id := text(tn.t, opened(tn, n, "provider", "stripe"), "id")
			return call{method: http.MethodPost, path: "/v1/payments/" + id + "/cancel", key: appKey, idem: key(n, "cancel"), body: `{}`}, func() {
				tn.wantStatus(id, "canceled")
			}
		}},
		{"POST /v1/payments/{id}/sync", func(tn *town, n int) (call, func()) {
			p := opened(tn, n, "provider", "stripe")
			tn.pay(p, good) // and does not come back
			id := text(tn.t, p, "id")
			return call{method: http.MethodPost, path: "/v1/payments/" + id + "/sync", key: appKey, idem: key(n, "sync"), body: `{}`}, func() {
				tn.wantStatus(id, "succeeded")
				tn.wantLedger(id, "capture", 1999)
			}
		}},
		{"POST /v1/payments/{id}/resolve", func(tn *town, n int) (call, func()) {
			id, _, p := held(tn, n)
			body := fmt.Sprintf(`{"action":"accept","captures":[%q],"reason":"agreed"}`, ref(tn.t, p, "charge"))
			return call{method: http.MethodPost, path: "/v1/payments/" + id + "/resolve", key: operatorKey, idem: key(n, "resolve"), body: body}, func() {
				tn.wantStatus(id, "succeeded")
				tn.wantLedger(id, "capture", 1998)
			}
		}},
		alertCase("ack", `{}`, "acked"), alertCase("resolve", `{}`, "resolved"),
		{"POST /v1/reconcile/runs", func(_ *town, n int) (call, func()) {
			return call{method: http.MethodPost, path: "/v1/reconcile/runs", key: operatorKey, idem: key(n, "run"), body: `{"job":"due","account":"stripe-e2e"}`}, func() {}
		}},
		{"POST /pay/{id}", func(tn *town, n int) (call, func()) {
			p := opened(tn, n)
			id, page := text(tn.t, p, "id"), checkoutURL(tn.t, p)
			at, form := splitToken(tn, page)
			form.Set("provider", "stripe")
			return call{method: http.MethodPost, path: at, body: form.Encode(), form: true}, func() {
				tn.comeBack(tn.pay(tn.get(id), good), id)
				tn.wantLedger(id, "capture", 1999)
			}
		}},
		{"GET /v1/return/{id}", func(tn *town, n int) (call, func()) {
			p := opened(tn, n, "provider", "paypal")
			id := text(tn.t, p, "id")
			return call{method: http.MethodGet, path: tn.approve(p, object{})}, func() {
				tn.advance(time.Minute)
				tn.wantStatus(id, "succeeded")
				tn.wantLedger(id, "capture", 1999)
			}
		}},
		// The last one: it leaves PayPal paused.
		{"PUT /v1/settings", func(tn *town, n int) (call, func()) {
			_, _, now := tn.do(http.MethodGet, "/v1/settings", operatorKey, "", nil)
			version, _ := now["version"].(float64)
			reason := key(n, "incident")
			body := fmt.Sprintf(`{"version":%d,"reason":%q,"settings":{"payments":{"paused_accounts":{"paypal-e2e":{"reason":%q}}}}}`, int(version), reason, reason)
			return call{method: http.MethodPut, path: "/v1/settings", key: operatorKey, body: body}, func() {
				_, _, now := tn.do(http.MethodGet, "/v1/settings", operatorKey, "", nil)
				if !strings.Contains(fmt.Sprint(now), reason) {
					tn.t.Errorf("the change is not there: %v", now)
				}
			}
		}},
	}
}

func alertCase(verb, body, state string) endpoint {
	return endpoint{"POST /v1/alerts/{id}/" + verb, func(tn *town, n int) (call, func()) {
		_, alert, _ := held(tn, n)
		return call{method: http.MethodPost, path: "/v1/alerts/" + alert + "/" + verb, key: operatorKey, idem: key(n, verb), body: body}, func() {
			_, _, list := tn.do(http.MethodGet, "/v1/alerts?state="+state, operatorKey, "", nil)
			if !strings.Contains(fmt.Sprint(list), alert) {
				tn.t.Errorf("alert %s is not %s: %v", alert, state, list)
			}
		}
	}}
}

func splitToken(tn *town, page string) (string, url.Values) {
	u, err := url.Parse(page)
	if err != nil {
		tn.t.Fatal(err)
	}
	form := u.Query()
	u.RawQuery = ""
	return u.String(), form
}

// wholeMatrix says whether there is time for every fault at every command (make
// test-wire); otherwise the cheap ones meet the first few.
func wholeMatrix() bool { return os.Getenv("TRIFECTA_FAULT_MATRIX") != "" }

// storeFaults are what meets the store commands of a call, from its k-th on.
func storeFaults() map[string]wiretest.Fault {
	faults := map[string]wiretest.Fault{
		"all refused":       {Code: wiretest.WriteConflict, Times: -1},
		"written, not told": {ConcernCode: wiretest.WriteConcernTimeout, Effect: true, Times: -1},
	}
	if wholeMatrix() { // each costs the driver half a second
		faults["cut before"] = wiretest.Fault{Cut: true}
		faults["cut after"] = wiretest.Fault{Cut: true, Effect: true, Forget: true}
		faults["new primary"] = wiretest.Fault{Code: wiretest.NotWritablePrimary, Elect: true}
		faults["deposed after"] = wiretest.Fault{Code: wiretest.InterruptedByElect, Effect: true, Elect: true}
	}
	return faults
}

// Guards I4 at every endpoint, for every store command that it makes: the answer is success and true, or 503
// store_unavailable with Retry-After; it holds nothing of the database's words; and the same request, repeated when the
// store is well, has its effect once.
func TestEveryEndpointUnderStoreFaults(t *testing.T) {
	t.Parallel()
	for name, f := range storeFaults() {
		for what, group := range map[string][]endpoint{"reads": slices.Concat(reads(), deskReads()), "writes": writes(), "desks": deskWrites()} {
			if what == "reads" && (f.ConcernCode != 0 || f.Code == wiretest.InterruptedByElect) {
				continue // not of reads
			}
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				underFault(t, f, group)
			})
		}
	}
}

// underFault lets every endpoint of a group meet a fault, at each of its store commands.
func underFault(t *testing.T, f wiretest.Fault, group []endpoint) {
	t.Helper()
	tn := startOn(t, storetest.Wire, config.Layers{Return: true, Webhook: true, Reconcile: true})
	if tn.wire == nil {
		t.Skip("faults need the stand-in")
	}
	n, unavailable, most := 0, 0, 1 // the first command of each; `make test-wire` takes all
	if wholeMatrix() {
		most = 12
	}
	for _, ep := range group {
		commands := 1
		for k := 0; k < commands && k < most; k++ {
			n++
			c, check := ep.arrange(tn, n)
			before := tn.wire.Data()
			fault := f
			fault.Skip = k
			tn.wire.Inject(fault)
			a := tn.raw(c)
			if made := tn.wire.Data() - before; k == 0 && f.Times < 0 {
				commands = max(commands, 6) // the first fault ended it; later ones see further
			} else {
				commands = max(commands, min(made, 12))
			}
			tn.wire.Heal()
			if tn.judge(fmt.Sprintf("%s, command %d", ep.name, k+1), a) {
				unavailable++
			}
			tn.repeat(ep.name, c, a)
			check()
		}
	}
	tn.advance(24 * time.Hour)
	if f.Times < 0 && f.Code != 0 && unavailable < len(group) {
		t.Errorf("only %d of %d cases met the fault", unavailable, n)
	}
	t.Logf("%d cases, %d answered 503", n, unavailable)
}

// judge checks an answer that was made under a fault; true if it was 503.
func (tn *town) judge(what string, a answer) bool {
	tn.t.Helper()
	for _, word := range []string{"mongo", "Mongo", "injected", "E11000", "127.0.0.1:27", "WriteConflict", "majority", "wire"} {
		if strings.Contains(a.body, word) {
			tn.t.Errorf("%s: the answer holds %q: %s", what, word, a.body)
		}
	}
	switch {
	case a.code < 400:
		return false
	case a.code == http.StatusServiceUnavailable:
		if a.header.Get("Retry-After") == "" {
			tn.t.Errorf("%s: 503 without Retry-After", what)
		}
		if strings.Contains(a.header.Get("Content-Type"), "json") && !strings.Contains(a.body, "store_unavailable") {
			tn.t.Errorf("%s: 503 without store_unavailable: %s", what, a.body)
		}
		return true
	}
	tn.t.Errorf("%s: answered %d: %s", what, a.code, a.body)
	return false
}

// repeat sends the request again until it is answered with success, as a careful app does.
func (tn *town) repeat(what string, c call, a answer) {
	tn.t.Helper()
	for range 5 {
		if a.code < 400 {
			return
		}
		tn.advance(time.Minute) // who had begun it has lost its lease
		if a = tn.raw(c); a.code == http.StatusConflict && c.method == http.MethodPut {
			return // PUT names the version it changes: it was changed, by itself
		}
	}
	tn.t.Fatalf("%s: never answered: %d %s", what, a.code, a.body)
}
