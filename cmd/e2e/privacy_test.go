package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/seal"
)

// What must never be found where it has no business. Nothing else in the tests is
// spelt like these.
const (
	canaryEmail = "canary.person@post.example"
	canaryName  = "Canary Birdsong"
	canaryNote  = "canary-metadata-note"
)

var everyLayer = config.Layers{Return: true, Webhook: true, Reconcile: true}

// customer makes an order of the canary customer.
func customer(o object) object {
	o["customer"] = object{"ref": "cust-7", "email": canaryEmail, "name": canaryName}
	o["metadata"] = object{"note": canaryNote}
	return o
}

// forms are the spellings in which a text may stand in a document: plain, in a URL, in
// hex, and in base64 of both alphabets at each of the three alignments.
func forms(plain string) []string {
	out := []string{plain, url.QueryEscape(plain), url.PathEscape(plain), hex.EncodeToString([]byte(plain)), strings.ToUpper(hex.EncodeToString([]byte(plain)))}
	for skip := range 3 {
		for _, alphabet := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			enc := alphabet.EncodeToString([]byte(strings.Repeat("x", skip) + plain))
			out = append(out, enc[4*((skip+2)/3):len(enc)-4])
		}
	}
	return out
}

// holding lists the collections of the store, as it is kept, in which some form of
// a text stands.
func (tn *town) holding(plain string) []string {
	tn.t.Helper()
	var found []string
	for _, c := range store.Collections() {
		for after, more := "", true; more; more = after != "" {
			docs, next, err := tn.store.Scan(tn.t.Context(), c.Name, after, 0)
			if err != nil {
				tn.t.Fatal(err)
			}
			for _, d := range docs {
				index, err := json.Marshal(d.Index)
				if err != nil {
					tn.t.Fatal(err)
				}
				all := slices.Concat([]byte(d.ID), d.Body, index)
				if slices.ContainsFunc(forms(plain), func(f string) bool { return bytes.Contains(all, []byte(f)) }) && !slices.Contains(found, c.Name) {
					found = append(found, c.Name)
				}
			}
			after = next
		}
	}
	return found
}

// tradeOnce lets the canary customer pay at both providers and on our own page,
// with refunds, webhooks and sweeps, and returns the payments' ids and the tokens
// that their browser carried.
func (tn *town) tradeOnce() (ids, tokens []string) {
	tn.t.Helper()
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k1", customer(order(1999, "usd", "provider", "stripe")))
	ids = append(ids, text(tn.t, p, "id"))
	back := tn.pay(p, good)
	tokens = append(tokens, token(tn.t, back))
	tn.comeBack(back, ids[0])
	p = tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k2", customer(order(2999, "usd", "provider", "paypal")))
	ids = append(ids, text(tn.t, p, "id"))
	back = tn.approve(p, object{})
	tokens = append(tokens, token(tn.t, back))
	tn.comeBack(back, ids[1])
	tn.must(http.StatusCreated, http.MethodPost, "/v1/payments/"+ids[1]+"/refunds", "r1", object{"amount": 100})
	p = tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k3", customer(order(3999, "usd")))
	ids = append(ids, text(tn.t, p, "id"))
	tokens = append(tokens, token(tn.t, checkoutURL(tn.t, p)))
	if code, _ := tn.choose(checkoutURL(tn.t, p), "stripe"); code != http.StatusSeeOther {
		tn.t.Fatalf("choosing: %d", code)
	}
	tn.comeBack(tn.pay(tn.get(ids[2]), good), ids[2])
	tn.quiesce(tn.t.Context())
	for _, id := range ids {
		tn.wantStatus(id, "succeeded")
	}
	return ids, tokens
}

func token(t *testing.T, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil || u.Query().Get("t") == "" {
		t.Fatalf("%s carries no token: %v", target, err)
	}
	return u.Query().Get("t")
}

// Promise: with encryption keys nothing personal and no customer's token stands in
// any document that is kept, in no spelling; and the logs hold none, ever.
func TestNothingPersonalIsKeptInTheClear(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string]bool{"sealed": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tn := start(t, everyLayer, func(c *config.Config) {
				if !keys {
					c.Encryption = config.Encryption{}
				}
			})
			ids, tokens := tn.tradeOnce()
			for _, secret := range append(tokens, canaryEmail, canaryName, canaryNote) {
				found := tn.holding(secret)
				if keys && len(found) > 0 {
					t.Errorf("%q stands in %q", secret, found)
				}
				if !keys && !slices.Contains(found, "payments") {
					t.Errorf("without keys %q is found in %q: the test looks for the wrong thing", secret, found)
				}
				if logs := tn.logs.String(); strings.Contains(logs, secret) {
					t.Errorf("%q stands in the logs", secret)
				}
			}
			if found := tn.holding(canaryEmail); !keys && (!slices.Contains(found, "feed") || !slices.Contains(found, "inbox")) {
				t.Errorf("without keys the address is found in %q only", found)
			}
			p := tn.get(ids[0])
			if c, _ := p["customer"].(object); c["email"] != canaryEmail || c["name"] != canaryName {
				t.Errorf("the app reads %v", p["customer"])
			}
			events := tn.must(http.StatusOK, http.MethodGet, "/v1/events", "", nil)
			if b, err := json.Marshal(events); err != nil || !bytes.Contains(b, []byte(canaryEmail)) {
				t.Errorf("the feed reads without the customer: %v", err)
			}
		})
	}
}

// Promise: a customer is erased through the operator's API from everything that is
// kept, with a proof; their money, the feed's order and other customers stay; an app
// can't order it, and repeating it is harmless.
func TestEraseCustomer(t *testing.T) {
	t.Parallel()
	tn := start(t, everyLayer)
	ids, _ := tn.tradeOnce()
	other := order(500, "usd", "provider", "stripe")
	other["customer"] = object{"ref": "cust-8", "email": "somebody.else@post.example", "name": "Somebody Else"}
	op := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k9", other)
	tn.comeBack(tn.pay(op, good), text(t, op, "id"))
	open := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k10", customer(order(700, "usd", "provider", "stripe")))
	tn.quiesce(t.Context())
	before := tn.get(ids[1])
	body := object{"app": "shop", "ref": "cust-7", "metadata": true, "reason": "request of 3 May"}
	if code, _, _ := tn.do(http.MethodPost, "/v1/erasures", appKey, "e1", body); code != http.StatusForbidden {
		t.Errorf("an app ordered an erasure: %d", code)
	}
	code, _, e := tn.do(http.MethodPost, "/v1/erasures", operatorKey, "e1", body)
	if code != http.StatusAccepted || e["state"] != "running" {
		t.Fatalf("%d %v", code, e)
	}
	tn.quiesce(t.Context())
	read := func() object {
		t.Helper()
		code, _, e := tn.do(http.MethodGet, "/v1/erasures/"+text(t, e, "id"), operatorKey, "", nil)
		if code != http.StatusOK {
			t.Fatalf("%d %v", code, e)
		}
		return e
	}
	if e := read(); e["state"] != "pending" || e["found"] != 4.0 || e["pending"] != 1.0 {
		t.Fatalf("with an open payment: %v", e)
	}
	tn.must(http.StatusOK, http.MethodPost, "/v1/payments/"+text(t, open, "id")+"/cancel", "c1", object{})
	tn.advance(2 * time.Hour)
	if e := read(); e["state"] != "done" || e["left"] != 0.0 || e["pending"] != 0.0 {
		t.Fatalf("at last: %v", e)
	}
	p := tn.get(ids[1])
	c, _ := p["customer"].(object)
	meta, _ := p["metadata"].(object)
	if c["email"] != "[erased]" || c["name"] != "[erased]" || c["ref"] != "cust-7" || meta["note"] != "[erased]" || p["status"] != before["status"] ||
		amount(t, p, "captured") != amount(t, before, "captured") || amount(t, p, "refunded") != 100 || p["reference"] != before["reference"] {
		t.Errorf("the erased payment: %v", p)
	}
	history := tn.must(http.StatusOK, http.MethodGet, "/v1/payments/"+ids[1]+"/history", "", nil)
	if b, err := json.Marshal(history); err != nil || !bytes.Contains(b, []byte("personal data erased: request of 3 May")) {
		t.Errorf("history: %s %v", b, err)
	}
	events := tn.must(http.StatusOK, http.MethodGet, "/v1/events?limit=100", "", nil)
	b, err := json.Marshal(events)
	if err != nil || bytes.Contains(b, []byte(canaryEmail)) || bytes.Contains(b, []byte(canaryName)) || !bytes.Contains(b, []byte("Somebody Else")) {
		t.Errorf("the feed: %s %v", b, err)
	}
	opened, err := store.Sealed(tn.store, store.Collections(), sealerOf(t))
	if err != nil {
		t.Fatal(err)
	}
	tn.store = opened // from here on as it reads, not as it is kept
	for _, secret := range []string{canaryEmail, canaryName, canaryNote} {
		if found := tn.holding(secret); len(found) > 0 {
			t.Errorf("%q stands in %q", secret, found)
		}
	}
	if found := tn.holding("somebody.else@post.example"); !slices.Contains(found, "payments") {
		t.Errorf("the other customer is found in %q only", found)
	}
	tn.must(http.StatusCreated, http.MethodPost, "/v1/payments/"+ids[0]+"/refunds", "r9", object{})
	tn.quiesce(t.Context())
	if code, _, again := tn.do(http.MethodPost, "/v1/erasures", operatorKey, "e1", body); code != http.StatusAccepted || again["state"] != "done" {
		t.Errorf("ordered again: %d %v", code, again)
	}
	body["ref"] = "cust-8"
	if code, _, p := tn.do(http.MethodPost, "/v1/erasures", operatorKey, "e1", body); code != http.StatusUnprocessableEntity || p["code"] != "idempotency_key_reused" {
		t.Errorf("another customer under the same key: %d %v", code, p)
	}
}

func sealerOf(t *testing.T) *seal.Sealer {
	t.Helper()
	secret, err := base64.StdEncoding.DecodeString(sealKey)
	if err != nil {
		t.Fatal(err)
	}
	s, err := seal.New("e2e", seal.Key{ID: "e2e", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Promise: a revoked key answers 401 at once, and operators see which keys there are
// and under which keys records stand.
func TestOperatorsLookAfterKeys(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "k1", customer(order(1999, "usd", "provider", "stripe")))
	_, _, list := tn.do(http.MethodGet, "/v1/api_keys", operatorKey, "", nil)
	id := ""
	for _, k := range list["data"].([]any) {
		if k := k.(object); k["app"] == "shop" {
			id = text(t, k, "id")
		}
	}
	if code, _, _ := tn.do(http.MethodDelete, "/v1/api_keys/"+id, appKey, "", nil); code != http.StatusForbidden {
		t.Errorf("an app revoked a key: %d", code)
	}
	code, _, k := tn.do(http.MethodDelete, "/v1/api_keys/"+id, operatorKey, "", nil)
	if by, _ := k["revoked_by"].(object); code != http.StatusOK || k["revoked_at"] == nil || by["type"] != "operator" {
		t.Fatalf("%d %v", code, k)
	}
	if code, _, p := tn.do(http.MethodGet, "/v1/payments", appKey, "", nil); code != http.StatusUnauthorized {
		t.Errorf("a revoked key: %d %v", code, p)
	}
	if code, _, _ := tn.do(http.MethodGet, "/v1/payments", otherKey, "", nil); code != http.StatusOK {
		t.Errorf("the other app's key: %d", code)
	}
	if code, _, p := tn.do(http.MethodDelete, "/v1/api_keys/key_nobody", operatorKey, "", nil); code != http.StatusNotFound {
		t.Errorf("an unknown key: %d %v", code, p)
	}
	code, _, e := tn.do(http.MethodPost, "/v1/encryption/rotate", operatorKey, "x1", object{})
	if code != http.StatusAccepted || e["active"] != "e2e" || e["state"] != "rewriting" {
		t.Errorf("%d %v", code, e)
	}
	tn.quiesce(t.Context())
	code, _, e = tn.do(http.MethodGet, "/v1/encryption", operatorKey, "", nil)
	if code != http.StatusOK || e["state"] != "done" || e["left"] != 0.0 || e["failed"] != 0.0 || len(e["records"].([]any)) == 0 {
		t.Errorf("%d %v", code, e)
	}
}

// K3: Promise: what opens a customer's page can't be guessed: 26 characters of an alphabet of 32, each of which takes
// every value, and nothing of it follows from the payment's id.
func TestK3PageTokensCantBeGuessed(t *testing.T) {
	t.Parallel()
	tn := start(t, returnOnly)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	values := map[int]map[rune]bool{}
	for n := range 20 {
		secret := token(t, checkoutURL(t, opened(tn, n)))
		if len(secret)*5 < 128 || strings.Trim(secret, alphabet) != "" {
			t.Fatalf("a token of %d characters", len(secret))
		}
		for at, r := range secret {
			if values[at] == nil {
				values[at] = map[rune]bool{}
			}
			values[at][r] = true
		}
	}
	for at, v := range values { // 20 draws of 32 with fewer than 4 values: less than once in 10^13
		if len(v) < 4 {
			t.Errorf("character %d takes only %d values in 20 tokens", at, len(v))
		}
	}
}
