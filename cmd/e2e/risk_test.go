package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
)

var riskLayers = config.Layers{Return: true, Webhook: true, Reconcile: true}

// declinedCards are cards of the sandbox that answer card_declined.
var declinedCards = []string{"4000000000000002", "4000000000009995", "4000000000009987", "4000000000009979", "4000000000006975"}

func liveRule(name string, actions ...string) func(*config.Config) {
	return func(c *config.Config) { c.Risk = append(c.Risk, config.RiskRule{Rule: name, Actions: actions}) }
}

// shopper is an order of one of the shop's customers.
func shopper(ref string, amount int64, more ...string) object {
	o := order(amount, "usd", more...)
	o["customer"] = object{"ref": ref, "email": ref + "@example.com"}
	return o
}

func trusted(o object) object {
	o["customer"].(object)["trusted"] = true //nolint:forcetypeassert // shopper made it
	return o
}

// buy makes a payment that is paid.
func (tn *town) buy(idem string, o object) object {
	tn.t.Helper()
	o["provider"] = "stripe"
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", idem, o)
	tn.pay(p, "4242424242424242")
	tn.quiesce(tn.t.Context())
	return tn.wantStatus(text(tn.t, p, "id"), "succeeded")
}

// refuse pays with cards that are declined.
func (tn *town) refuse(p object, cards ...string) {
	tn.t.Helper()
	for _, card := range cards {
		tn.sandbox(tn.stripe, "/_sandbox/checkout/"+ref(tn.t, p, "checkout_session")+"/pay", object{"card": card}, http.StatusPaymentRequired)
	}
	tn.quiesce(tn.t.Context())
}

func (tn *town) list(path, key string) []object {
	tn.t.Helper()
	code, _, out := tn.do(http.MethodGet, path, key, "", nil)
	if code != http.StatusOK {
		tn.t.Fatalf("%s: %d: %v", path, code, out)
	}
	data, _ := out["data"].([]any)
	rows := make([]object, 0, len(data))
	for _, d := range data {
		rows = append(rows, d.(object)) //nolint:forcetypeassert // validated against the document
	}
	return rows
}

func (tn *town) decisions(rule string) []object {
	tn.t.Helper()
	return tn.list("/v1/risk/decisions?limit=100&rule="+rule, operatorKey)
}

// decided wants exactly one decision of a rule, in this state.
func (tn *town) decided(rule, state string) object {
	tn.t.Helper()
	found := tn.decisions(rule)
	if len(found) != 1 || found[0]["state"] != state {
		tn.t.Fatalf("decisions of %s: want one that is %s, got %v", rule, state, found)
	}
	return found[0]
}

func (tn *town) alerts(kind string) []object {
	tn.t.Helper()
	return slices.DeleteFunc(tn.list("/v1/alerts?limit=100", operatorKey), func(a object) bool { return a["kind"] != kind })
}

// inHistory says whether a payment's history names a decision.
func (tn *town) inHistory(id string, decision object) bool {
	tn.t.Helper()
	return slices.ContainsFunc(tn.list("/v1/payments/"+id+"/history", appKey), func(h object) bool {
		actor, _ := h["actor"].(object)
		return actor["type"] == "risk" && actor["id"] == decision["id"]
	})
}

func velocity() func(*config.Config) {
	return func(c *config.Config) {
		liveRule("decline_velocity", "alert", "block", "cancel", "refund")(c)
		c.Risk = append(c.Risk, config.RiskRule{Rule: "distinct_cards", Off: true}) // it would tell of the same cards
	}
}

// Five declined cards of an untrusted customer: they are blocked, what is open or held
// is closed, what they paid and is not contested is given back, people hear of it once,
// and all of it stands in the payments' histories.
func TestDeclinedCardsBan(t *testing.T) {
	t.Parallel()
	tn := start(t, riskLayers, velocity())
	paid := tn.buy("paid", shopper("eve", 1999))
	disputed := tn.buy("disputed", shopper("eve", 2500))
	other := tn.buy("other", shopper("ann", 3000))
	tn.sandbox(tn.stripe, "/_sandbox/disputes", object{"charge": ref(t, disputed, "charge"), "amount": 2500, "reason": "fraudulent"}, http.StatusOK)
	held := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "held", shopper("eve", 4000, "provider", "stripe", "capture", "manual"))
	tn.pay(held, "4242424242424242")
	wallet := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "wallet", shopper("eve", 700, "provider", "paypal"))
	open := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "open", shopper("eve", 500, "provider", "stripe"))
	tn.quiesce(t.Context())
	tn.wantStatus(text(t, held, "id"), "authorized")

	tn.refuse(open, declinedCards[:4]...)
	if got := tn.decisions("decline_velocity"); len(got) != 0 {
		t.Fatalf("four declines already decide: %v", got)
	}
	tn.refuse(open, declinedCards[4])

	d := tn.decided("decline_velocity", "applied")
	for _, p := range []object{open, wallet, held} {
		tn.wantStatus(text(t, p, "id"), "canceled")
	}
	back := tn.wantStatus(text(t, paid, "id"), "succeeded")
	if got := amount(t, back, "refunded"); got != 1999 {
		t.Errorf("%d was given back of the paid one, want all of it", got)
	}
	tn.wantLedger(text(t, paid, "id"), "refund", 1999)
	tn.wantLedger(text(t, disputed, "id"), "refund")
	tn.wantLedger(text(t, other, "id"), "refund")
	tn.wantLedger(text(t, held, "id"), "capture")
	if got := tn.alerts("customer_blocked"); len(got) != 1 || len(tn.alerts("rule_fired")) != 0 {
		t.Errorf("people hear of it %d times: %v", len(got), got)
	}
	for _, p := range []object{paid, open, wallet, held} {
		if !tn.inHistory(text(t, p, "id"), d) {
			t.Errorf("the history of %v does not name the decision", p["id"])
		}
	}
	code, _, out := tn.do(http.MethodPost, "/v1/payments", appKey, "again", shopper("eve", 999, "provider", "stripe"))
	if code != http.StatusConflict || out["decline_code"] != "blocked" {
		t.Errorf("a blocked customer's payment: %d %v", code, out)
	}
	tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "ann", shopper("ann", 999, "provider", "stripe"))
	tn.advance(2 * time.Hour)
	tn.wantLedger(text(t, paid, "id"), "refund", 1999)

	// Lifted: the very request that was refused works, and old declines count no more.
	block := tn.list("/v1/blocks?state=active", appKey)
	if len(block) != 1 {
		t.Fatalf("blocks: %v", block)
	}
	tn.must(http.StatusOK, http.MethodDelete, "/v1/blocks/"+text(t, block[0], "id")+"?reason=mistake", "", nil)
	again := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "again", shopper("eve", 999, "provider", "stripe"))
	tn.refuse(again, declinedCards[0])
	tn.wantStatus(text(t, again, "id"), "requires_action")
	tn.decided("decline_velocity", "applied")
	lifted := tn.must(http.StatusOK, http.MethodGet, "/v1/blocks/"+text(t, block[0], "id"), "", nil)
	log, _ := lifted["log"].([]any)
	if lifted["state"] != "lifted" || len(log) != 2 {
		t.Errorf("a lifted block keeps its record: %v", lifted)
	}
}

// The same of a trusted customer: people are told, and nothing else happens.
func TestDeclinedCardsOfATrustedCustomer(t *testing.T) {
	t.Parallel()
	tn := start(t, riskLayers, velocity())
	paid := tn.buy("paid", trusted(shopper("eve", 1999)))
	open := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "open", trusted(shopper("eve", 500, "provider", "stripe")))
	tn.refuse(open, declinedCards...)
	d := tn.decided("decline_velocity", "applied")
	if d["trusted"] != true || len(tn.alerts("rule_fired")) != 1 {
		t.Errorf("decision %v, alerts %v", d, tn.alerts("rule_fired"))
	}
	tn.wantStatus(text(t, open, "id"), "requires_action")
	tn.wantLedger(text(t, paid, "id"), "refund")
	if got := tn.list("/v1/blocks", appKey); len(got) != 0 {
		t.Errorf("a trusted customer is blocked: %v", got)
	}
	tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "again", trusted(shopper("eve", 999, "provider", "stripe")))
}

// Without a configured policy everything automatic is a dry run, until an operator
// confirms it; reversing it lets the customer pay again.
func TestDryRunFirst(t *testing.T) {
	t.Parallel()
	tn := start(t, riskLayers)
	paid := tn.buy("paid", shopper("eve", 1999))
	open := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "open", shopper("eve", 500, "provider", "stripe"))
	tn.refuse(open, declinedCards...)
	d := tn.decided("decline_velocity", "dry_run")
	tn.wantStatus(text(t, open, "id"), "requires_action")
	if len(tn.alerts("rule_fired")) == 0 || len(tn.alerts("customer_blocked")) != 0 {
		t.Errorf("alerts: %v", tn.alerts("rule_fired"))
	}
	path := "/v1/risk/decisions/" + text(t, d, "id")
	if code, _, _ := tn.do(http.MethodPost, path+"/confirm", appKey, "app", object{"reason": "x"}); code != http.StatusForbidden {
		t.Errorf("an app may confirm: %d", code)
	}
	if code, _, out := tn.do(http.MethodPost, path+"/confirm", operatorKey, "op", object{"reason": "looked at it"}); code != http.StatusOK {
		t.Fatalf("confirm: %d %v", code, out)
	}
	tn.quiesce(t.Context())
	tn.decided("decline_velocity", "applied")
	tn.wantStatus(text(t, open, "id"), "canceled")
	tn.wantLedger(text(t, paid, "id"), "refund", 1999)
	if code, _, out := tn.do(http.MethodPost, path+"/reverse", operatorKey, "op2", object{"reason": "not them"}); code != http.StatusOK || out["state"] != "reversed" {
		t.Fatalf("reverse: %d %v", code, out)
	}
	tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "again", shopper("eve", 999, "provider", "stripe"))
}

// A ban while the providers are down: it is in force at once, stays pending, and what
// it promised is done when they are back.
func TestBanWhileProviderIsDown(t *testing.T) {
	t.Parallel()
	tn := start(t, riskLayers)
	paid := tn.buy("paid", shopper("eve", 1999))
	open := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "open", shopper("eve", 500, "provider", "stripe"))
	tn.sandbox(tn.stripe, "/_sandbox/faults", object{"seed": 1, "api": object{"status_500": 1}}, http.StatusOK)
	b := tn.must(http.StatusCreated, http.MethodPost, "/v1/blocks", "ban", object{"customer": "eve", "reason": "stolen cards", "refund": true})
	if b["state"] != "active" {
		t.Fatalf("block: %v", b)
	}
	if code, _, out := tn.do(http.MethodPost, "/v1/payments", appKey, "n", shopper("eve", 1, "provider", "stripe")); code != http.StatusConflict {
		t.Errorf("in force at once: %d %v", code, out)
	}
	tn.decided("manual", "pending")
	tn.sandbox(tn.stripe, "/_sandbox/faults", nil, http.StatusOK)
	for range 12 {
		tn.advance(30 * time.Minute)
	}
	tn.decided("manual", "applied")
	tn.wantStatus(text(t, open, "id"), "canceled")
	tn.wantLedger(text(t, paid, "id"), "refund", 1999)
	replay := tn.must(http.StatusCreated, http.MethodPost, "/v1/blocks", "ban", object{"customer": "eve", "reason": "stolen cards", "refund": true})
	if replay["id"] != b["id"] || len(tn.decisions("manual")) != 1 {
		t.Errorf("the same request again: %v", replay)
	}
}

// A payer blocked by their PayPal id: their approval is never captured.
func TestBlockedPayersApprovalIsNotCaptured(t *testing.T) {
	t.Parallel()
	tn := start(t, riskLayers, liveRule("blocked_payer", "alert", "cancel", "refund"))
	tn.must(http.StatusCreated, http.MethodPost, "/v1/blocks", "ban", object{"payer": "QYR5Z8XDVJNXQ", "reason": "fraud"})
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "p", order(1999, "usd", "provider", "paypal"))
	back := tn.approve(p, object{"payer_id": "QYR5Z8XDVJNXQ", "email": "mallory@example.com"})
	tn.comeBack(back, text(t, p, "id"))
	tn.quiesce(t.Context())
	tn.advance(time.Hour)
	tn.wantStatus(text(t, p, "id"), "canceled")
	tn.wantLedger(text(t, p, "id"), "capture")
	d := tn.decided("blocked_payer", "applied")
	if !tn.inHistory(text(t, p, "id"), d) {
		t.Error("the history does not name the decision")
	}
}

// A card that is blocked is known only once it was used: then the money goes back.
func TestBlockedCardIsPaidBack(t *testing.T) {
	t.Parallel()
	tn := start(t, riskLayers, liveRule("blocked_payer", "alert", "cancel", "refund"), velocity())
	first := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "first", shopper("eve", 500, "provider", "stripe"))
	tn.refuse(first, declinedCards...)
	evidence, _ := tn.decided("decline_velocity", "applied")["evidence"].([]any)
	if len(evidence) != 5 {
		t.Fatalf("evidence: %v", evidence)
	}
	card := text(t, tn.buyer("4242424242424242"), "card_fingerprint")
	tn.must(http.StatusCreated, http.MethodPost, "/v1/blocks", "ban", object{"card_fingerprint": card, "reason": "stolen"})
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "p", shopper("new", 1234, "provider", "stripe"))
	tn.pay(p, "4242424242424242")
	tn.quiesce(t.Context())
	tn.wantLedger(text(t, p, "id"), "refund", 1234)
}

// buyer is the evidence of one declined or paid card, as a rule sees it.
func (tn *town) buyer(card string) object {
	tn.t.Helper()
	for i := range 3 { // one card of three customers: shared_payer fires
		p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", fmt.Sprint("shared", i), shopper(fmt.Sprint("c", i), 900, "provider", "stripe"))
		tn.pay(p, card)
	}
	tn.quiesce(tn.t.Context())
	evidence, _ := tn.decided("shared_payer", "applied")["evidence"].([]any)
	if len(evidence) == 0 {
		tn.t.Fatal("no evidence")
	}
	return evidence[0].(object) //nolint:forcetypeassert // validated against the document
}

// An early fraud warning gives the payment back where a refund can still help.
func TestFraudWarningIsPaidBack(t *testing.T) {
	t.Parallel()
	tn := start(t, riskLayers, liveRule("fraud_warning", "alert", "refund"))
	p, other := tn.buy("p", shopper("eve", 1999)), tn.buy("other", shopper("eve", 2000))
	tn.sandbox(tn.stripe, "/_sandbox/early_fraud_warnings", object{"charge": ref(t, p, "charge")}, http.StatusOK)
	tn.quiesce(t.Context())
	tn.advance(time.Hour)
	tn.wantLedger(text(t, p, "id"), "refund", 1999)
	tn.wantLedger(text(t, other, "id"), "refund")
	tn.decided("fraud_warning", "applied")
}

// What would have happened: the report counts it, and nothing is changed by asking.
func TestDryRunReport(t *testing.T) {
	t.Parallel()
	tn := start(t, riskLayers)
	paid := tn.buy("paid", shopper("eve", 1999))
	open := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "open", shopper("eve", 500, "provider", "stripe"))
	tn.refuse(open, declinedCards[:3]...)
	before := tn.get(text(t, paid, "id"))
	code, _, report := tn.do(http.MethodPost, "/v1/risk/dry_run", operatorKey, "dry", object{
		"app": "shop", "rules": []object{{"rule": "decline_velocity", "threshold": 3, "actions": []string{"block", "cancel", "refund"}}},
	})
	if code != http.StatusOK || report["would_block"] != 1.0 || report["would_cancel"] != 1.0 || report["would_refund"] != 1.0 {
		t.Fatalf("%d %v", code, report)
	}
	total, _ := report["would_refund_total"].([]any)
	if fmt.Sprint(total) != "[map[amount:1999 currency:usd]]" {
		t.Errorf("total %v", total)
	}
	if after := tn.get(text(t, paid, "id")); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("asking changed a payment: %v", after)
	}
	if len(tn.list("/v1/blocks", operatorKey))+len(tn.decisions("decline_velocity")) != 0 {
		t.Error("asking decided something")
	}
	if code, _, _ := tn.do(http.MethodPost, "/v1/risk/dry_run", appKey, "dry", nil); code != http.StatusForbidden {
		t.Errorf("an app may ask: %d", code)
	}
}

// What a block may say, who may say it, and who sees it. Nothing that is refused
// blocks anybody.
func TestBlockRequests(t *testing.T) {
	t.Parallel()
	tn := start(t, riskLayers)
	for name, c := range map[string]struct {
		key  string
		body object
		want int
		at   string
	}{
		"nobody":            {appKey, object{"reason": "x"}, http.StatusUnprocessableEntity, ""},
		"two at once":       {appKey, object{"reason": "x", "customer": "a", "payer": "b"}, http.StatusUnprocessableEntity, ""},
		"no address":        {appKey, object{"reason": "x", "email": "nobody"}, http.StatusUnprocessableEntity, "/email"},
		"over already":      {appKey, object{"reason": "x", "customer": "a", "expires_at": "2020-01-01T00:00:00Z"}, http.StatusUnprocessableEntity, "/expires_at"},
		"another app":       {appKey, object{"reason": "x", "customer": "a", "app": "other"}, http.StatusForbidden, ""},
		"nobody's customer": {operatorKey, object{"reason": "x", "customer": "a"}, http.StatusUnprocessableEntity, "/app"},
		"no such app":       {operatorKey, object{"reason": "x", "customer": "a", "app": "none"}, http.StatusUnprocessableEntity, "/app"},
	} {
		code, _, out := tn.do(http.MethodPost, "/v1/blocks", c.key, "k "+name, c.body)
		if code != c.want {
			t.Errorf("%s: %d %v", name, code, out)
		}
		if errs, _ := out["errors"].([]any); c.at != "" && (len(errs) == 0 || errs[0].(object)["pointer"] != c.at) { //nolint:forcetypeassert // validated
			t.Errorf("%s names %v, want %s", name, errs, c.at)
		}
	}
	if got := tn.list("/v1/blocks", operatorKey); len(got) != 0 {
		t.Fatalf("refused, and yet: %v", got)
	}
	// Across apps: both refuse the address, however it is written; neither may lift it.
	code, _, all := tn.do(http.MethodPost, "/v1/blocks", operatorKey, "all", object{"email": "Eve@Example.com", "reason": "everywhere"})
	if code != http.StatusCreated || all["app"] != nil {
		t.Fatalf("%d %v", code, all)
	}
	for _, key := range []string{appKey, otherKey} {
		o := order(100, "usd", "provider", "stripe")
		o["customer"] = object{"email": "eve@example.com"}
		o["return_url"] = "http://127.0.0.1:9/x"
		if code, _, out := tn.do(http.MethodPost, "/v1/payments", key, "p", o); code != http.StatusConflict || out["decline_code"] != "blocked" {
			t.Errorf("%s: %d %v", key, code, out)
		}
		if code, _, _ := tn.do(http.MethodDelete, "/v1/blocks/"+text(t, all, "id"), key, "", nil); code != http.StatusNotFound {
			t.Errorf("%s lifts an operator's block: %d", key, code)
		}
	}
	if tn.sessions() != 0 {
		t.Errorf("%d checkouts were opened for a blocked customer", tn.sessions())
	}
	// An app's own block is nobody else's.
	own := tn.must(http.StatusCreated, http.MethodPost, "/v1/blocks", "own", object{"customer": "eve", "reason": "here"})
	if code, _, _ := tn.do(http.MethodGet, "/v1/blocks/"+text(t, own, "id"), otherKey, "", nil); code != http.StatusNotFound {
		t.Errorf("another app reads it: %d", code)
	}
	if code, _, _ := tn.do(http.MethodGet, "/v1/risk/decisions/"+text(t, own, "decision"), otherKey, "", nil); code != http.StatusNotFound {
		t.Errorf("another app reads its decision: %d", code)
	}
	if n := len(tn.list("/v1/blocks", otherKey)) + len(tn.list("/v1/risk/decisions", otherKey)); n != 0 {
		t.Errorf("another app lists %d of it", n)
	}
	// What an operator blocked within an app, the app reads, and neither lifts nor shortens.
	theirs := object{"app": "shop", "mode": "test", "customer": "mallory", "reason": "stolen cards"}
	code, _, set := tn.do(http.MethodPost, "/v1/blocks", operatorKey, "theirs", theirs)
	if code != http.StatusCreated {
		t.Fatalf("%d %v", code, set)
	}
	at := "/v1/blocks/" + text(t, set, "id")
	kept := tn.must(http.StatusCreated, http.MethodPost, "/v1/blocks", "shorter", object{
		"customer": "mallory", "reason": "a minute", "expires_at": tn.world.Now().Add(time.Minute).Format(time.RFC3339),
	})
	if kept["id"] != set["id"] || kept["expires_at"] != nil || kept["reason"] != "stolen cards" {
		t.Errorf("an app shortened an operator's block: %v", kept)
	}
	if code, _, out := tn.do(http.MethodDelete, at, appKey, "", nil); code != http.StatusForbidden || out["code"] != "forbidden" {
		t.Errorf("an app lifts an operator's block: %d %v", code, out)
	}
	if code, _, out := tn.do(http.MethodGet, at, appKey, "", nil); code != http.StatusOK || out["state"] != "active" {
		t.Errorf("after the refusal: %d %v", code, out)
	}
	if code, _, out := tn.do(http.MethodDelete, at, operatorKey, "", nil); code != http.StatusOK || out["state"] != "lifted" {
		t.Errorf("the operator lifts it: %d %v", code, out)
	}
	// It ends by itself.
	tn.must(http.StatusCreated, http.MethodPost, "/v1/blocks", "soon", object{
		"customer": "bob", "reason": "an hour", "expires_at": tn.world.Now().Add(time.Hour).Format(time.RFC3339),
	})
	bob := shopper("bob", 100, "provider", "stripe")
	if code, _, _ := tn.do(http.MethodPost, "/v1/payments", appKey, "bob", bob); code != http.StatusConflict {
		t.Errorf("within the hour: %d", code)
	}
	tn.advance(2 * time.Hour)
	tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "bob", bob)
}

// A customer who is blocked while they stand on our page can't choose a provider.
func TestBlockedOnThePayPage(t *testing.T) {
	t.Parallel()
	tn := start(t, riskLayers)
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", "p", shopper("eve", 1999))
	page := checkoutURL(t, p)
	tn.must(http.StatusCreated, http.MethodPost, "/v1/blocks", "ban", object{"customer": "eve", "reason": "x", "cancel": false})
	if code, to := tn.choose(page, "stripe"); code != http.StatusConflict || to != "" {
		t.Errorf("choosing: %d to %q", code, to)
	}
	if tn.sessions() != 0 {
		t.Error("a checkout was opened for a blocked customer")
	}
}
