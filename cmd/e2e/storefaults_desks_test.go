package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/httpapi"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// disputed is a paid payment with an open dispute that our record knows.
func disputed(tn *town, n int) (dispute, id string) {
	tn.t.Helper()
	id, _ = paid(tn, n, "stripe")
	s := tn.side("stripe")
	tn.sandbox(s.control, "/_sandbox/disputes", object{s.capture: tn.ledger(id, "capture")[0].Object, "amount": 1999, "reason": s.reason}, http.StatusOK)
	tn.quiesce(tn.t.Context())
	list := tn.list("/v1/disputes?payment="+id, appKey)
	if len(list) != 1 {
		tn.t.Fatalf("disputes of %s: %v", id, list)
	}
	return text(tn.t, list[0], "id"), id
}

// barred is a customer whom the shop has blocked.
func barred(tn *town, n int) (block object, who string) {
	tn.t.Helper()
	who = key(n, "eve")
	return tn.must(http.StatusCreated, http.MethodPost, "/v1/blocks", key(n, "block"), object{"customer": who, "reason": "test"}), who
}

// erased is an erasure that was ordered.
func erased(tn *town, n int) string {
	tn.t.Helper()
	code, _, e := tn.do(http.MethodPost, "/v1/erasures", operatorKey, key(n, "erase"), object{"app": "shop", "ref": key(n, "cust"), "reason": "test"})
	if code != http.StatusAccepted {
		tn.t.Fatalf("an erasure: %d %v", code, e)
	}
	return text(tn.t, e, "id")
}

// deskReads are what the people at the desks read. What one of them needs is made once.
func deskReads() []endpoint {
	made := map[string]string{}
	get := func(name, who string, arrange func(tn *town, n int) string, path func(id string) string) endpoint {
		return endpoint{"GET " + name, func(tn *town, n int) (call, func()) {
			if made[name] == "" {
				made[name] = path(arrange(tn, n))
			}
			return call{method: http.MethodGet, path: made[name], key: who}, func() {}
		}}
	}
	under := func(path string) func(string) string { return func(id string) string { return path + id } }
	aDispute := func(tn *town, n int) string { id, _ := disputed(tn, n); return id }
	aBlock := func(tn *town, n int) string { b, _ := barred(tn, n); return text(tn.t, b, "id") }
	aDecision := func(tn *town, n int) string { b, _ := barred(tn, n); return text(tn.t, b, "decision") }
	nothing := func(*town, int) string { return "" }
	return []endpoint{
		get("/v1/disputes", appKey, nothing, under("/v1/disputes?status=needs_response")),
		get("/v1/disputes/{id}", appKey, aDispute, under("/v1/disputes/")),
		get("/v1/blocks", appKey, nothing, under("/v1/blocks")),
		get("/v1/blocks/{id}", appKey, aBlock, under("/v1/blocks/")),
		get("/v1/risk/decisions", operatorKey, nothing, under("/v1/risk/decisions")),
		get("/v1/risk/decisions/{id}", operatorKey, aDecision, under("/v1/risk/decisions/")),
		get("/v1/api_keys", operatorKey, nothing, under("/v1/api_keys")),
		get("/v1/erasures", operatorKey, nothing, under("/v1/erasures")),
		get("/v1/erasures/{id}", operatorKey, erased, under("/v1/erasures/")),
		get("/v1/encryption", operatorKey, nothing, under("/v1/encryption")),
		get("/v1/discrepancies", operatorKey, nothing, under("/v1/discrepancies")),
	}
}

// deskWrites are what the people at the desks decide. Those that have the whole store read come first, while it is small.
func deskWrites() []endpoint {
	return slices.Concat(privacyWrites(), disputeWrites(), riskWrites(), []endpoint{alertCase("snooze", `{"seconds":3600}`, "snoozed"), differenceWrite()})
}

// differs is a payment whose money a bank took back, with nothing but a list to tell of it.
func differs(tn *town, n int) string {
	tn.t.Helper()
	id, _ := paid(tn, n, "stripe")
	tn.sandbox(tn.stripe, "/_sandbox/captures/"+tn.ledger(id, "capture")[0].Object+"/take_back", nil, http.StatusOK)
	var list []object
	for range 12 { // a row is tried several times before it is told
		if list = tn.list("/v1/discrepancies?state=open&payment="+id, operatorKey); len(list) > 0 {
			break
		}
		tn.advance(5 * time.Minute)
	}
	if len(list) != 1 {
		tn.t.Fatalf("discrepancies of %s: %v", id, list)
	}
	return text(tn.t, list[0], "id")
}

func differenceWrite() endpoint {
	return endpoint{"POST /v1/discrepancies/{id}/resolve", func(tn *town, n int) (call, func()) {
		id := differs(tn, n)
		c := call{method: http.MethodPost, path: "/v1/discrepancies/" + id + "/resolve", key: operatorKey, idem: key(n, "settle"), body: `{"reason":"seen"}`}
		return c, func() {
			found := slices.DeleteFunc(tn.list("/v1/discrepancies?state=resolved&limit=100", operatorKey), func(d object) bool { return d["id"] != id })
			if len(found) != 1 || found[0]["reason"] != "seen" {
				tn.t.Errorf("discrepancy %s: %v", id, found)
			}
		}
	}}
}

func privacyWrites() []endpoint {
	return []endpoint{
		{"POST /v1/encryption/rotate", func(tn *town, n int) (call, func()) {
			return call{method: http.MethodPost, path: "/v1/encryption/rotate", key: operatorKey, idem: key(n, "rotate"), body: `{}`}, func() {
				tn.quiesce(tn.t.Context())
				if code, _, e := tn.do(http.MethodGet, "/v1/encryption", operatorKey, "", nil); code != http.StatusOK || e["left"] != 0.0 {
					tn.t.Errorf("after rotating: %d %v", code, e)
				}
			}
		}},
		{"POST /v1/api_keys", func(tn *town, n int) (call, func()) {
			before := len(tn.list("/v1/api_keys", operatorKey))
			return call{method: http.MethodPost, path: "/v1/api_keys", key: operatorKey, idem: key(n, "make"), body: `{"app":"shop"}`}, func() {
				if made := len(tn.list("/v1/api_keys", operatorKey)) - before; made != 1 {
					tn.t.Errorf("%d keys were made", made)
				}
			}
		}},
		{"DELETE /v1/api_keys/{id}", func(tn *town, n int) (call, func()) {
			token := fmt.Sprintf("tk_test_%06d", n) + strings.Repeat("x", 40)
			k := gateway.Key{App: "shop", Mode: payment.ModeTest, Scopes: gateway.AllScopes()}
			if err := tn.house.Service.AddKey(tn.t.Context(), token, k); err != nil {
				tn.t.Fatal(err)
			}
			keys := tn.list("/v1/api_keys", operatorKey)
			at := slices.IndexFunc(keys, func(k object) bool { return k["revoked_at"] == nil && k["prefix"] == token[:14] })
			if at < 0 {
				tn.t.Fatalf("the key is not listed: %v", keys)
			}
			return call{method: http.MethodDelete, path: "/v1/api_keys/" + text(tn.t, keys[at], "id"), key: operatorKey}, func() {
				if code, _, _ := tn.do(http.MethodGet, "/v1/payments", token, "", nil); code != http.StatusUnauthorized {
					tn.t.Errorf("a revoked key is answered %d", code)
				}
			}
		}},
		{"POST /v1/erasures", func(tn *town, n int) (call, func()) {
			who := key(n, "gone")
			o := order(700, "usd", "provider", "stripe")
			o["customer"] = object{"ref": who, "email": who + "@post.example", "name": "Somebody"}
			p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", key(n, "open"), o)
			tn.comeBack(tn.pay(p, good), text(tn.t, p, "id"))
			body := fmt.Sprintf(`{"app":"shop","ref":%q,"reason":"test"}`, who)
			return call{method: http.MethodPost, path: "/v1/erasures", key: operatorKey, idem: key(n, "erase"), body: body}, func() {
				tn.quiesce(tn.t.Context())
				orders := slices.DeleteFunc(tn.list("/v1/erasures?limit=100", operatorKey), func(e object) bool { return e["ref"] != who })
				if len(orders) != 1 || orders[0]["found"] != 1.0 {
					tn.t.Errorf("orders to erase %s: %v", who, orders)
				}
				if c, _ := tn.get(text(tn.t, p, "id"))["customer"].(object); c["email"] != "[erased]" {
					tn.t.Errorf("%s is not erased: %v", who, c)
				}
			}
		}},
	}
}

func disputeWrites() []endpoint {
	answer := func(verb, body, status, order string) endpoint {
		return endpoint{"POST /v1/disputes/{id}/" + verb, func(tn *town, n int) (call, func()) {
			id, pay := disputed(tn, n)
			return call{method: http.MethodPost, path: "/v1/disputes/" + id + "/" + verb, key: appKey, idem: key(n, verb), body: body}, func() {
				tn.quiesce(tn.t.Context())
				d := tn.readDispute(id)
				ordered := slices.DeleteFunc(happened(d), func(e string) bool { return e != order })
				if d["status"] != status || len(ordered) != 1 {
					tn.t.Errorf("the dispute is %v, want %s; ordered %d times", d["status"], status, len(ordered))
				}
				tn.wantLedger(pay, "dispute", 1999)
			}
		}}
	}
	return []endpoint{
		answer("accept", `{"reason":"theirs"}`, "lost", "accept_requested"),
		answer("evidence", `{"product_description":"A book","submit":true}`, "under_review", "submit_evidence_requested"),
	}
}

func riskWrites() []endpoint {
	// refused wants a customer's next payment turned away or taken.
	refused := func(tn *town, n int, who string, want int) {
		tn.t.Helper()
		code, _, out := tn.do(http.MethodPost, "/v1/payments", appKey, key(n, "next"), shopper(who, 100, "provider", "stripe"))
		if code != want {
			tn.t.Errorf("%s is answered %d, want %d: %v", who, code, want, out)
		}
	}
	return []endpoint{
		{"POST /v1/blocks", func(tn *town, n int) (call, func()) {
			who := key(n, "mallory")
			open := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", key(n, "open"), shopper(who, 500, "provider", "stripe"))
			c := call{method: http.MethodPost, path: "/v1/blocks", key: appKey, idem: key(n, "block"), body: fmt.Sprintf(`{"customer":%q,"reason":"test"}`, who)}
			return c, func() {
				refused(tn, n, who, http.StatusConflict)
				tn.quiesce(tn.t.Context())
				tn.wantStatus(text(tn.t, open, "id"), "canceled")
			}
		}},
		{"DELETE /v1/blocks/{id}", func(tn *town, n int) (call, func()) {
			b, who := barred(tn, n)
			return call{method: http.MethodDelete, path: "/v1/blocks/" + text(tn.t, b, "id"), key: appKey}, func() { refused(tn, n, who, http.StatusCreated) }
		}},
		{"POST /v1/risk/decisions/{id}/confirm", func(tn *town, n int) (call, func()) {
			who := key(n, "trudy")
			open := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", key(n, "open"), shopper(who, 500, "provider", "stripe"))
			tn.refuse(open, declinedCards...)
			found := slices.DeleteFunc(tn.decisions("decline_velocity"), func(d object) bool { return d["state"] != "dry_run" })
			if len(found) != 1 {
				tn.t.Fatalf("decisions that wait: %v", found)
			}
			path := "/v1/risk/decisions/" + text(tn.t, found[0], "id") + "/confirm"
			return call{method: http.MethodPost, path: path, key: operatorKey, idem: key(n, "confirm"), body: `{"reason":"looked"}`}, func() {
				tn.quiesce(tn.t.Context())
				tn.wantStatus(text(tn.t, open, "id"), "canceled")
				refused(tn, n, who, http.StatusConflict)
			}
		}},
		{"POST /v1/risk/decisions/{id}/reverse", func(tn *town, n int) (call, func()) {
			b, who := barred(tn, n)
			path := "/v1/risk/decisions/" + text(tn.t, b, "decision") + "/reverse"
			return call{method: http.MethodPost, path: path, key: operatorKey, idem: key(n, "reverse"), body: `{"reason":"not them"}`}, func() {
				tn.quiesce(tn.t.Context())
				refused(tn, n, who, http.StatusCreated)
			}
		}},
		{"POST /v1/risk/dry_run", func(_ *town, n int) (call, func()) {
			return call{method: http.MethodPost, path: "/v1/risk/dry_run", key: operatorKey, idem: key(n, "dry"), body: `{"app":"shop","days":1}`}, func() {}
		}},
	}
}

// Guards the matrix: an endpoint of the document that is in none of its lists would never meet a fault.
func TestEveryEndpointIsInTheMatrix(t *testing.T) {
	t.Parallel()
	doc, err := httpapi.Document()
	if err != nil {
		t.Fatal(err)
	}
	met := map[string]bool{
		"GET /healthz": true, // asks nothing of the store
		// Who sends webhooks is no app: webhooks/inbox holds them to their own answers (TestStoreDownIs503).
		"POST /webhooks/{provider}/{account}": true, "POST /webhooks/{provider}/{account}/connect": true,
	}
	for _, ep := range slices.Concat(reads(), deskReads(), writes(), deskWrites()) {
		words := strings.Fields(ep.name)
		path, _, _ := strings.Cut(words[1], "?")
		met[words[0]+" "+path] = true
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !met[method+" "+path] {
				t.Errorf("%s %s is in no list of the matrix", method, path)
			}
		}
	}
}
