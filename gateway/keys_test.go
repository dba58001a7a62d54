package gateway_test

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
)

// Guards the keys: only their digest is stored, and they authenticate as what they were made for.
func TestKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ctx := t.Context()
	token, err := w.svc.NewKey(ctx, "shop", false, []string{gateway.ScopePaymentsRead})
	if err != nil || !strings.HasPrefix(token, "tk_test_") || len(token) < 60 {
		t.Fatalf("%s, %v", token, err)
	}
	op, err := w.svc.NewKey(ctx, "", true, nil)
	if err != nil || !strings.HasPrefix(op, "tk_op_") {
		t.Fatalf("%s, %v", op, err)
	}
	if err := w.svc.AddKey(ctx, "tk_test_demo", gateway.Key{App: "shop", Mode: payment.ModeTest, Scopes: gateway.AllScopes()}); err != nil {
		t.Fatal(err)
	}
	if err := w.svc.AddKey(ctx, "tk_test_demo", gateway.Key{App: "other", Mode: payment.ModeTest}); err != nil {
		t.Errorf("added again: %v", err)
	}
	docs, _, err := w.inner.Scan(ctx, "api_keys", "", 100)
	if err != nil || len(docs) != 3 {
		t.Fatalf("%d keys, %v", len(docs), err)
	}
	for _, d := range docs {
		for _, secret := range []string{token, op, "tk_test_demo"} {
			sum := sha256.Sum256([]byte(secret))
			if body := string(d.Body); strings.Contains(body, secret) || strings.Contains(body, secret[len(secret)/2:]) {
				t.Errorf("a key stands in %s", body)
			}
			if strings.Contains(d.ID, secret) || d.ID == hex.EncodeToString(sum[:]) && !strings.Contains(string(d.Body), d.ID) {
				t.Errorf("stored under %s", d.ID)
			}
		}
	}
	who, err := w.svc.Authenticate(ctx, token)
	if err != nil || who.App != "shop" || who.Mode != payment.ModeTest || who.Operator || len(who.KeyID) > 20 {
		t.Errorf("%+v, %v", who, err)
	}
	if who.Allow(gateway.ScopePaymentsRead) != nil || payment.CodeOf(who.Allow(gateway.ScopeRefundsWrite)) != payment.CodeForbidden {
		t.Error("scopes are not kept")
	}
	if who, err = w.svc.Authenticate(ctx, op); err != nil || !who.Operator || who.Allow(gateway.ScopeRefundsWrite) != nil || who.Actor().Type != "operator" {
		t.Errorf("%+v, %v", who, err)
	}
	if who, err = w.svc.Authenticate(ctx, "tk_test_demo"); err != nil || who.App != "shop" || !slices.Equal(who.Scopes, gateway.AllScopes()) {
		t.Errorf("%+v, %v", who, err)
	}
	_, err = w.svc.NewKey(ctx, "nobody", false, nil)
	wantCode(t, err, payment.CodeInvalid)
	_, err = w.svc.NewKey(ctx, "shop", false, []string{"everything"})
	wantCode(t, err, payment.CodeInvalid)
	if _, err := store.NewKeys(w.inner).GetKey(ctx, token); err == nil {
		t.Error("found by the key itself")
	}
}

// Guards against keys that are revoked, unknown, malformed or of an app that is gone: all are refused in one voice.
func TestKeysRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ctx := t.Context()
	token, err := w.svc.NewKey(ctx, "shop", false, nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(token))
	if err := w.svc.AddKey(ctx, "tk_test_revoked", gateway.Key{App: "shop", Mode: payment.ModeTest, RevokedAt: w.now()}); err != nil {
		t.Fatal(err)
	}
	if err := w.svc.AddKey(ctx, "tk_test_gone", gateway.Key{App: "gone", Mode: payment.ModeTest}); err != nil {
		t.Fatal(err)
	}
	if err := w.svc.AddKey(ctx, "tk_live_shop", gateway.Key{App: "shop", Mode: payment.ModeLive}); err != nil {
		t.Fatal(err)
	}
	voice := ""
	for _, bad := range []string{"", "tk_", "tk_test_nobody", token[:len(token)-1], token + "0", strings.ToUpper(token), " " + token, "tk_test_revoked", "tk_test_gone", "tk_live_shop", hex.EncodeToString(sum[:]), "tk_" + strings.Repeat("x", 5000)} {
		who, err := w.svc.Authenticate(ctx, bad)
		if payment.CodeOf(err) != payment.CodeUnauthenticated || who.App != "" || who.Operator {
			t.Errorf("%.40q: %+v, %v", bad, who, err)
			continue
		}
		if voice == "" {
			voice = err.Error()
		}
		if err.Error() != voice {
			t.Errorf("%.40q is told apart: %v", bad, err)
		}
	}
}

// Guards the idempotency header's form.
func TestCheckKey(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "~ !", strings.Repeat("k", 255), "0190c0de-7e57-7000-8000-000000000000"} {
		if err := gateway.CheckKey(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", strings.Repeat("k", 256), "a\n", "a\tb", "\x00", "\x7f", "ä", "a\u200b", "\xff"} {
		if err := gateway.CheckKey(bad); payment.CodeOf(err) != payment.CodeIdempotencyRequired {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Guards what "the same request" means: values, not spelling; and one key means another thing for another app, mode or
// path.
func TestRequestIdentity(t *testing.T) {
	t.Parallel()
	a, errA := gateway.Fingerprint(map[string]any{"a": 1, "b": "x"})
	b, errB := gateway.Fingerprint(map[string]any{"b": "x", "a": 1})
	c, errC := gateway.Fingerprint(map[string]any{"a": 2, "b": "x"})
	if errA != nil || errB != nil || errC != nil || a != b || a == c {
		t.Errorf("%s %s %s", a, b, c)
	}
	if _, err := gateway.Fingerprint(func() {}); err == nil {
		t.Error("a function has a fingerprint")
	}
	w := newWorld(t, nil)
	p := w.mustCreate("k", input(""))
	r := request("/v1/payments", "k", input(""))
	r.Caller = other
	in := input("")
	in.ReturnURL = "https://other.test/"
	q, err := w.svc.Create(t.Context(), r, in)
	if err != nil || q.Payment.ID == p.ID || q.Replayed {
		t.Errorf("another app's key: %+v, %v", q, err)
	}
}

// Guards D4: one key at several paths is as many requests, each done once, with no replay
// of another's answer; at the same path it is the same request.
func TestOneKeyAtSeveralPaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p, q := w.mustCreate("k", input("stripe")), w.mustCreate("k2", input("stripe"))
	w.stripe.pay(p.ID, 1)
	w.stripe.pay(q.ID, 1)
	w.comeBack(p.ID, 1)
	w.comeBack(q.ID, 1)
	var refunds []string
	for _, id := range []string{p.ID, q.ID} {
		for _, again := range []bool{false, true} {
			a, err := w.refund(id, "k", 300)
			if err != nil || a.Payment.ID != id || a.Replayed != again {
				t.Fatalf("refund of %s: %+v, %v", id, a, err)
			}
			refunds = append(refunds, a.Refund)
		}
	}
	if refunds[0] != refunds[1] || refunds[2] != refunds[3] || refunds[0] == refunds[2] {
		t.Errorf("refunds %v, want one for each payment", refunds)
	}
	if a, err := w.create("k", input("stripe")); err != nil || !a.Replayed || a.Payment.ID != p.ID {
		t.Errorf("the creation's own key: %+v, %v", a, err)
	}
	if w.refundedSum(p.ID) != 300 || w.refundedSum(q.ID) != 300 || w.stripe.counted("refund") != 2 {
		t.Errorf("refunded %d and %d in %d calls", w.refundedSum(p.ID), w.refundedSum(q.ID), w.stripe.counted("refund"))
	}
}

// Guards revocation: a revoked key opens nothing from the next request on, the others
// go on, it says who ended it and when, and an ambiguous name ends none.
func TestRevokedKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ctx := t.Context()
	by := payment.Actor{Type: "operator", ID: "tk_op_x"}
	var tokens []string
	for range 2 {
		token, err := w.svc.NewKey(ctx, "shop", false, nil)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	keys, err := w.svc.ListKeys(ctx)
	if err != nil || len(keys) != 2 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for _, k := range keys {
		for _, token := range tokens {
			if strings.Contains(k.ID(), token) || len(k.Prefix) > len(token)/3 {
				t.Errorf("listed as %s, %s", k.ID(), k.Prefix)
			}
		}
	}
	sum := sha256.Sum256([]byte(tokens[0]))
	revoked, err := w.svc.RevokeKey(ctx, gateway.Key{Hash: hex.EncodeToString(sum[:])}.ID(), by)
	if err != nil || revoked.RevokedBy != by || !revoked.RevokedAt.Equal(w.now()) {
		t.Fatalf("%+v, %v", revoked, err)
	}
	if _, err := w.svc.Authenticate(ctx, tokens[0]); payment.CodeOf(err) != payment.CodeUnauthenticated {
		t.Errorf("a revoked key: %v", err)
	}
	if _, err := w.svc.Authenticate(ctx, tokens[1]); err != nil {
		t.Errorf("the other key: %v", err)
	}
	if err := w.svc.AddKey(ctx, "tk_op_alone_0123456789012345678901234567890", gateway.Key{Operator: true}); err != nil {
		t.Fatal(err)
	}
	if k, err := w.svc.RevokeKey(ctx, "tk_op_alone_01", by); err != nil || k.RevokedAt.IsZero() {
		t.Errorf("by what is shown of it: %+v, %v", k, err)
	}
	again, err := w.svc.RevokeKey(ctx, revoked.ID(), payment.Actor{Type: "operator", ID: "another"})
	if err != nil || again.RevokedBy != by {
		t.Errorf("again: %+v, %v", again, err)
	}
	for _, unknown := range []string{"", "tk_", "tk_test_nobody", "key_", "key_0123"} {
		if _, err := w.svc.RevokeKey(ctx, unknown, by); payment.CodeOf(err) != payment.CodeNotFound {
			t.Errorf("%q: %v, want not_found", unknown, err)
		}
	}
	for _, token := range []string{"tk_op_same_beginning_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "tk_op_same_beginning_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"} {
		if err := w.svc.AddKey(ctx, token, gateway.Key{Operator: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.svc.RevokeKey(ctx, "tk_op_same_beg", by); payment.CodeOf(err) != payment.CodeConflict {
		t.Errorf("ambiguous: %v, want conflict", err)
	}
	if _, err := w.svc.Authenticate(ctx, "tk_op_same_beginning_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"); err != nil {
		t.Errorf("an ambiguous name revoked a key: %v", err)
	}
}
