package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/httpapi"
)

// E3: Promise: no route tells another app's object from one that does not exist:
// whatever the document describes with an id in its path answers both alike, 404, or
// 403 where only operators may ask at all. A route that is added is held to it.
func TestE3ForeignAndUnknownAreAlike(t *testing.T) {
	t.Parallel()
	tn := start(t, everyLayer)
	ids := tn.oneOfEach()
	doc, err := httpapi.Document()
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string]any{
		"/v1/payments/{id}/capture": object{"amount": 1}, "/v1/payments/{id}/refunds": object{"amount": 1}, "/v1/disputes/{id}/evidence": object{"uncategorized_text": "x"},
		"/v1/risk/decisions/{id}/confirm": object{"reason": "r"}, "/v1/risk/decisions/{id}/reverse": object{"reason": "r"},
		"/v1/discrepancies/{id}/resolve": object{"reason": "r"}, "/v1/payments/{id}/resolve": object{"action": "accept", "captures": []string{"c"}, "reason": "r"},
	}
	notFound := 0
	for path, item := range doc.Paths.Map() {
		before, after, found := strings.Cut(path, "{id}")
		if !found || !strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v1/return/") {
			continue
		}
		id, known := ids[strings.TrimSuffix(before, "/")]
		if !known {
			t.Errorf("%s: the test has no object for it", path)
			continue
		}
		for method := range item.Operations() {
			ask := func(id string) (int, object) {
				var body any
				if method == http.MethodPost {
					if body = bodies[path]; body == nil {
						body = object{}
					}
				}
				code, _, out := tn.do(method, before+id+after, otherKey, "e3", body)
				delete(out, "request_id")
				return code, out
			}
			unknown := strings.Map(func(r rune) rune {
				if r >= '0' && r <= '9' || r == 'c' {
					return 'd'
				}
				return r
			}, id) + "x"
			code, foreign := ask(id)
			again, absent := ask(unknown[:len(id)-1] + "d")
			f, errF := json.Marshal(foreign)
			a, errA := json.Marshal(absent)
			if errF != nil || errA != nil || code != again || string(f) != string(a) || code != http.StatusNotFound && code != http.StatusForbidden {
				t.Errorf("%s %s: foreign %d %s, unknown %d %s", method, path, code, f, again, a)
			}
			if code == http.StatusNotFound {
				notFound++
			}
		}
	}
	if notFound < 12 {
		t.Errorf("only %d routes answered 404: the rest refused before they looked", notFound)
	}
}

// oneOfEach makes one of everything that the shop has an id of, by the path it is read at.
func (tn *town) oneOfEach() map[string]string {
	tn.t.Helper()
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k", customer(order(1999, "usd", "provider", "stripe")))
	pay := text(tn.t, p, "id")
	tn.comeBack(tn.pay(p, good), pay)
	r := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments/"+pay+"/refunds", "r", object{"amount": 1})
	tn.sandbox(tn.stripe, "/_sandbox/disputes", object{"charge": tn.ledger(pay, "capture")[0].Object, "amount": 1000, "reason": reasonOf("stripe")}, http.StatusOK)
	b := tn.must(http.StatusCreated, http.MethodPost, "/v1/blocks", "b", object{"customer": "cust-7", "reason": "test"})
	tn.advance(15 * time.Minute)
	first := func(path string) string {
		tn.t.Helper()
		code, _, list := tn.do(http.MethodGet, path, operatorKey, "", nil)
		data, _ := list["data"].([]any)
		if code != http.StatusOK || len(data) == 0 {
			tn.t.Fatalf("%s: %d, nothing to take an id from: %v", path, code, list)
		}
		o, _ := data[0].(object)
		return text(tn.t, o, "id")
	}
	code, _, e := tn.do(http.MethodPost, "/v1/erasures", operatorKey, "e", object{"app": "shop", "ref": "cust-7", "reason": "test"})
	if code != http.StatusAccepted {
		tn.t.Fatalf("an erasure: %d %v", code, e)
	}
	out := map[string]string{
		"/v1/payments": pay, "/v1/refunds": text(tn.t, r, "id"), "/v1/disputes": first("/v1/disputes"), "/v1/alerts": first("/v1/alerts?payment=" + pay),
		"/v1/blocks": text(tn.t, b, "id"), "/v1/risk/decisions": first("/v1/risk/decisions"), "/v1/api_keys": first("/v1/api_keys"), "/v1/erasures": text(tn.t, e, "id"),
		"/v1/discrepancies": differs(tn, 9),
	}
	for path, id := range out {
		if code, _, own := tn.do(http.MethodGet, path+"/"+id, appKey, "", nil); code != http.StatusOK && !slices.Contains([]string{"/v1/alerts", "/v1/api_keys", "/v1/erasures", "/v1/discrepancies"}, path) {
			tn.t.Fatalf("the shop can't read its own %s: %d %v", fmt.Sprint(path, "/", id), code, own)
		}
	}
	return out
}
