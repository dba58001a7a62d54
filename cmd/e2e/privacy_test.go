package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/store"
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

// forms are the spellings in which a text may stand in a document: plain, in a URL,
// and in base64 at each of the three alignments.
func forms(plain string) []string {
	out := []string{plain, url.QueryEscape(plain)}
	for skip := range 3 {
		enc := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", skip) + plain))
		out = append(out, enc[4*((skip+2)/3):len(enc)-4])
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
