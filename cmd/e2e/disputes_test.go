package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
)

// side is one provider as these tests see it.
type side struct {
	name    string
	control *httptest.Server
	capture string // how its control API names a capture
	reason  string
	inquiry object
}

func (tn *town) side(provider string) side {
	if provider == "stripe" {
		return side{provider, tn.stripe, "charge", "fraudulent", object{"inquiry": true}}
	}
	return side{provider, tn.paypal, "capture", "UNAUTHORISED", object{"stage": "INQUIRY"}}
}

// paid makes a payment and lets its customer pay.
func (tn *town) paid(provider, key string) (id, capture string) {
	tn.t.Helper()
	p := tn.must(http.StatusCreated, http.MethodPost, "/v1/payments", key, order(2000, "usd", "provider", provider))
	id = text(tn.t, p, "id")
	if provider == "stripe" {
		tn.pay(p, good)
	} else {
		tn.approve(p, object{})
	}
	tn.advance(12 * time.Minute)
	tn.wantStatus(id, "succeeded")
	return id, tn.ledger(id, "capture")[0].Object
}

// dispute opens a case at the provider and lets the layers find it.
func (tn *town) dispute(s side, payment, capture string, more object) object {
	tn.t.Helper()
	body := object{s.capture: capture, "amount": 2000, "reason": s.reason}
	for k, v := range more {
		body[k] = v
	}
	tn.sandbox(s.control, "/_sandbox/disputes", body, http.StatusOK)
	tn.advance(time.Hour)
	list := tn.must(http.StatusOK, http.MethodGet, "/v1/disputes?payment="+payment, "", nil)
	data, _ := list["data"].([]any)
	if len(data) != 1 {
		tn.t.Fatalf("disputes of %s: %v", payment, list)
	}
	d, _ := data[0].(object)
	return d
}

func (tn *town) readDispute(id string) object {
	tn.t.Helper()
	return tn.must(http.StatusOK, http.MethodGet, "/v1/disputes/"+id, "", nil)
}

// happened lists the events of a dispute's history.
func happened(d object) []string {
	var out []string
	lines, _ := d["history"].([]any)
	for _, l := range lines {
		line, _ := l.(object)
		out = append(out, fmt.Sprint(line["event"]))
	}
	return out
}

// events lists the types of the app's events about an object.
func (tn *town) events(object_ string) []string {
	tn.t.Helper()
	var out []string
	next := ""
	for range 100 {
		path := "/v1/events?limit=100"
		if next != "" {
			path += "&after=" + next
		}
		page := tn.must(http.StatusOK, http.MethodGet, path, "", nil)
		data, _ := page["data"].([]any)
		next = text(tn.t, page, "next")
		if len(data) == 0 {
			return out
		}
		for _, e := range data {
			event, _ := e.(object)
			body, _ := event["data"].(object)
			if o, _ := body["object"].(object); o["id"] == object_ {
				out = append(out, fmt.Sprint(event["type"]))
			}
		}
	}
	return out
}

// disputeAlerts lists kind/severity/state of every alert about a dispute.
func (tn *town) disputeAlerts(dispute string) []string {
	tn.t.Helper()
	var out []string
	_, _, page := tn.do(http.MethodGet, "/v1/alerts?limit=100", operatorKey, "", nil)
	data, _ := page["data"].([]any)
	for _, a := range data {
		alert, _ := a.(object)
		if alert["dispute"] == dispute {
			out = append(out, fmt.Sprintf("%v/%v/%v", alert["kind"], alert["severity"], alert["state"]))
		}
	}
	slices.Sort(out)
	return out
}

func (tn *town) wantAll(what string, got []string, want ...string) {
	tn.t.Helper()
	for _, w := range want {
		if !slices.Contains(got, w) {
			tn.t.Errorf("%s: %q is missing in %q", what, w, got)
		}
	}
}

// each runs a test at both providers with each layer that finds disputes alone.
func each(t *testing.T, run func(t *testing.T, tn *town, s side)) {
	t.Helper()
	for name, layers := range map[string]config.Layers{"webhook": {Webhook: true}, "reconcile": {Reconcile: true}} {
		for _, provider := range []string{"stripe", "paypal"} {
			t.Run(name+"/"+provider, func(t *testing.T) {
				t.Parallel()
				tn := start(t, layers)
				run(t, tn, tn.side(provider))
			})
		}
	}
}

const pdf = "%PDF-1.4\nproof"

// A dispute is opened, answered in drafts, submitted once, and won: the record, the
// money, the events and the alerts tell it.
func TestDisputeAnsweredAndWon(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, tn *town, s side) {
		pay, capture := tn.paid(s.name, "k")
		d := tn.dispute(s, pay, capture, nil)
		id := text(t, d, "id")
		if d["status"] != "needs_response" || d["withheld"] != 2000.0 || d["due_by"] == nil || d["orphan"] != false || d["payment"] != pay {
			t.Errorf("opened: %v", d)
		}
		tn.wantAll("alerts", tn.disputeAlerts(id), "dispute_opened/warning/open")
		path := "/v1/disputes/" + id + "/evidence"
		tn.must(http.StatusOK, http.MethodPost, path, "e1", object{"product_description": "A book", "customer_name": "Ann", "shipping": object{"carrier": "DHL"}})
		d = tn.must(http.StatusOK, http.MethodPost, path, "e2", object{
			"customer_name": "", "shipping": object{"tracking_number": "JD0123"},
			"files": []object{{"name": "receipt.pdf", "type": "receipt", "content": base64.StdEncoding.EncodeToString([]byte(pdf))}},
		})
		evidence, _ := d["evidence"].(object)
		want := object{"product_description": "A book", "shipping.carrier": "DHL", "shipping.tracking_number": "JD0123"}
		if fmt.Sprint(evidence["texts"]) != fmt.Sprint(want) || evidence["submitted"] != false || d["status"] != "needs_response" {
			t.Errorf("draft: %v of %v", evidence, d)
		}
		d = tn.must(http.StatusOK, http.MethodPost, path, "e3", object{"submit": true})
		if d["status"] != "under_review" {
			t.Errorf("submitted: %v", d)
		}
		again := tn.must(http.StatusOK, http.MethodPost, path, "e3", object{"submit": true})
		if again["status"] != "under_review" {
			t.Errorf("repeated: %v", again)
		}
		tn.must(http.StatusConflict, http.MethodPost, path, "e4", object{"submit": true})
		tn.must(http.StatusConflict, http.MethodPost, "/v1/disputes/"+id+"/accept", "a1", object{})
		tn.sandbox(s.control, "/_sandbox/disputes/"+text(t, d, "provider_ref")+"/resolve", object{"outcome": "won"}, http.StatusOK)
		tn.advance(8 * time.Hour)
		d = tn.readDispute(id)
		if d["status"] != "won" || d["withheld"] != 0.0 || d["closed_at"] == nil {
			t.Errorf("won: %v", d)
		}
		tn.wantAll("history", happened(d), "opened", "save_evidence_requested", "save_evidence_done", "submit_evidence_requested", "submit_evidence_done", "won")
		tn.wantAll("events", tn.events(id), "dispute.opened", "dispute.updated", "dispute.won")
		tn.wantAll("alerts", tn.disputeAlerts(id), "dispute_won/info/open")
		if p := tn.get(pay); amount(t, p, "disputed") != 0 || p["status"] != "succeeded" {
			t.Errorf("payment: %v", p["amounts"])
		}
		code, _, _ := tn.do(http.MethodGet, "/v1/disputes/"+id, otherKey, "", nil)
		if code != http.StatusNotFound {
			t.Errorf("another app reads it: %d", code)
		}
	})
}

// A dispute is given up: the money is gone, and so is every way to answer.
func TestDisputeAccepted(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, tn *town, s side) {
		pay, capture := tn.paid(s.name, "k")
		id := text(t, tn.dispute(s, pay, capture, nil), "id")
		d := tn.must(http.StatusOK, http.MethodPost, "/v1/disputes/"+id+"/accept", "a1", object{"reason": "their card was stolen"})
		if d["status"] != "lost" || d["withheld"] != 2000.0 {
			t.Errorf("accepted: %v", d)
		}
		tn.must(http.StatusConflict, http.MethodPost, "/v1/disputes/"+id+"/evidence", "e1", object{"product_description": "A book"})
		tn.advance(8 * time.Hour)
		d = tn.readDispute(id)
		tn.wantAll("history", happened(d), "opened", "accept_requested", "accept_done", "lost")
		tn.wantAll("events", tn.events(id), "dispute.opened", "dispute.lost")
		if p := tn.get(pay); amount(t, p, "disputed") != 2000 || amount(t, p, "refundable") != 0 {
			t.Errorf("payment: %v", p["amounts"])
		}
	})
}

// Nobody answers: people are warned with rising urgency, the dispute is lost, and the
// warnings go away by themselves.
func TestDisputeLostBySilence(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, tn *town, s side) {
		pay, capture := tn.paid(s.name, "k")
		d := tn.dispute(s, pay, capture, nil)
		id := text(t, d, "id")
		due, err := time.Parse(time.RFC3339, text(t, d, "due_by"))
		if err != nil {
			t.Fatal(err)
		}
		for before, want := range map[time.Duration]string{
			7*24*time.Hour - time.Hour: "dispute_due/info/open",
		} {
			tn.advance(due.Add(-before).Sub(tn.world.Now()))
			tn.wantAll("alerts", tn.disputeAlerts(id), want)
		}
		tn.advance(due.Add(-71 * time.Hour).Sub(tn.world.Now()))
		tn.wantAll("alerts", tn.disputeAlerts(id), "dispute_due/info/open", "dispute_due/warning/open")
		tn.advance(due.Add(-23 * time.Hour).Sub(tn.world.Now()))
		tn.wantAll("alerts", tn.disputeAlerts(id), "dispute_due/critical/open")
		list := tn.must(http.StatusOK, http.MethodGet, "/v1/disputes?status=needs_response&due_before="+url.QueryEscape(due.Add(time.Second).Format(time.RFC3339)), "", nil)
		if data, _ := list["data"].([]any); len(data) != 1 {
			t.Errorf("due soon: %v", list)
		}
		tn.advance(48 * time.Hour)
		d = tn.readDispute(id)
		if d["status"] != "lost" || d["withheld"] != 2000.0 || d["due_by"] != nil {
			t.Errorf("after the deadline: %v", d)
		}
		for _, a := range tn.disputeAlerts(id) {
			if strings.HasPrefix(a, "dispute_due/") && strings.HasSuffix(a, "/open") {
				t.Errorf("a warning is left: %q", tn.disputeAlerts(id))
			}
		}
		tn.wantAll("alerts", tn.disputeAlerts(id), "dispute_lost/warning/open")
		tn.wantAll("events", tn.events(id), "dispute.opened", "dispute.lost")
	})
}

// An inquiry takes no money, and closes when nobody takes it further.
func TestInquiryCloses(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, tn *town, s side) {
		pay, capture := tn.paid(s.name, "k")
		d := tn.dispute(s, pay, capture, s.inquiry)
		id := text(t, d, "id")
		if d["stage"] != "inquiry" || d["withheld"] != 0.0 || d["refund_prevents_loss"] != true {
			t.Errorf("inquiry: %v", d)
		}
		tn.advance(12 * 24 * time.Hour)
		d = tn.readDispute(id)
		if d["status"] != "closed" || d["withheld"] != 0.0 {
			t.Errorf("after its time: %v", d)
		}
		tn.wantAll("events", tn.events(id), "dispute.opened", "dispute.closed")
		if p := tn.get(pay); amount(t, p, "disputed") != 0 || amount(t, p, "refundable") != 2000 {
			t.Errorf("payment: %v", p["amounts"])
		}
	})
}

// foreignCapture takes money at a provider that no payment made here knows.
func (tn *town) foreignCapture(provider string) string {
	tn.t.Helper()
	send := func(srv *httptest.Server, path, kind, auth, body string) object {
		tn.t.Helper()
		req, err := http.NewRequestWithContext(tn.t.Context(), http.MethodPost, srv.URL+path, strings.NewReader(body))
		if err != nil {
			tn.t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Authorization", auth)
		code, _, out := tn.send(req)
		if code >= 300 {
			tn.t.Fatalf("%s: %d %v", path, code, out)
		}
		return out
	}
	if provider == "stripe" {
		out := send(tn.stripe, "/v1/payment_intents", "application/x-www-form-urlencoded", "Bearer sk_test_canary_51e2e",
			"amount=2000&currency=usd&payment_method=pm_card_visa&confirm=true&payment_method_types[]=card")
		return text(tn.t, out, "latest_charge")
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("e2e:canary-paypal-secret"))
	token := "Bearer " + text(tn.t, send(tn.paypal, "/v1/oauth2/token", "application/x-www-form-urlencoded", basic, "grant_type=client_credentials"), "access_token")
	o := send(tn.paypal, "/v2/checkout/orders", "application/json", token,
		`{"intent":"CAPTURE","purchase_units":[{"amount":{"currency_code":"USD","value":"20.00"}}]}`)
	id := text(tn.t, o, "id")
	tn.sandbox(tn.paypal, "/_sandbox/orders/"+id+"/approve", object{}, http.StatusOK)
	send(tn.paypal, "/v2/checkout/orders/"+id+"/capture", "application/json", token, "{}")
	for _, r := range tn.sandbox(tn.paypal, "/_sandbox/ledger", nil, http.StatusOK)["data"].([]any) {
		if entry, _ := r.(object); entry["kind"] == "capture" {
			return text(tn.t, entry, "object")
		}
	}
	tn.t.Fatal("no capture in the ledger")
	return ""
}

// A dispute of a payment we never saw: a record with its money for operators, a
// critical alert, and its end is recorded too.
func TestDisputeOfAnUnknownPayment(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, tn *town, s side) {
		capture := tn.foreignCapture(s.name)
		out := tn.sandbox(s.control, "/_sandbox/disputes", object{s.capture: capture, "amount": 2000, "reason": s.reason}, http.StatusOK)
		tn.advance(2 * time.Hour)
		read := func(status string) object {
			t.Helper()
			_, _, list := tn.do(http.MethodGet, "/v1/disputes?provider="+s.name, operatorKey, "", nil)
			data, _ := list["data"].([]any)
			if len(data) != 1 {
				t.Fatalf("disputes: %v", list)
			}
			d, _ := data[0].(object)
			if d["status"] != status || d["orphan"] != true || d["payment"] != nil || d["amount"] != 2000.0 || d["provider_ref"] != out["dispute"] {
				t.Errorf("want %s: %v", status, d)
			}
			return d
		}
		d := read("needs_response")
		id := text(t, d, "id")
		if d["withheld"] != 2000.0 || d["due_by"] == nil {
			t.Errorf("money: %v", d)
		}
		tn.wantAll("alerts", tn.disputeAlerts(id), "orphan_dispute/critical/open")
		code, _, _ := tn.do(http.MethodGet, "/v1/disputes/"+id, appKey, "", nil)
		if code != http.StatusNotFound {
			t.Errorf("an app reads an orphan: %d", code)
		}
		code, _, problem := tn.do(http.MethodPost, "/v1/disputes/"+id+"/accept", operatorKey, "a1", object{})
		if code != http.StatusConflict {
			t.Errorf("accepting an orphan: %d %v", code, problem)
		}
		tn.sandbox(s.control, "/_sandbox/disputes/"+fmt.Sprint(out["dispute"])+"/resolve", object{"outcome": "lost"}, http.StatusOK)
		tn.advance(2 * time.Hour)
		tn.wantAll("history", happened(read("lost")), "opened", "lost")
	})
}

// An issuer's early warning is a fact of its payment, an event and an alert; giving
// the money back ends what can be done about it.
func TestFraudWarning(t *testing.T) {
	t.Parallel()
	for name, layers := range map[string]config.Layers{"webhook": {Webhook: true}, "reconcile": {Reconcile: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tn := start(t, layers)
			pay, capture := tn.paid("stripe", "k")
			tn.sandbox(tn.stripe, "/_sandbox/early_fraud_warnings", object{"charge": capture}, http.StatusOK)
			tn.advance(time.Hour)
			var seen object
			page := tn.must(http.StatusOK, http.MethodGet, "/v1/events?limit=100", "", nil)
			data, _ := page["data"].([]any)
			for _, e := range data {
				if event, _ := e.(object); event["type"] == "fraud_warning.created" {
					body, _ := event["data"].(object)
					seen, _ = body["object"].(object)
				}
			}
			if seen["payment"] != pay || seen["actionable"] != true || seen["capture"] != capture {
				t.Errorf("the event: %v", seen)
			}
			alerts := tn.must(http.StatusOK, http.MethodGet, "/v1/alerts?payment="+pay, "", nil)
			if !strings.Contains(fmt.Sprint(alerts), "fraud_warning") {
				t.Errorf("alerts: %v", alerts)
			}
		})
	}
}

// What a provider would not take is refused with its place, and changes nothing.
func TestEvidenceRefused(t *testing.T) {
	t.Parallel()
	tn := start(t, config.Layers{Webhook: true})
	for _, provider := range []string{"stripe", "paypal"} {
		s := tn.side(provider)
		pay, capture := tn.paid(provider, "k"+provider)
		id := text(t, tn.dispute(s, pay, capture, nil), "id")
		path := "/v1/disputes/" + id + "/evidence"
		for i, c := range []struct {
			body    object
			pointer string
		}{
			{object{"uncategorized_text": strings.Repeat("x", 20_001)}, "/uncategorized_text"},
			{object{"shipping": object{"tracking_number": strings.Repeat("1", 501)}}, "/shipping/tracking_number"},
			{object{"files": []object{{"name": "a.pdf", "type": "receipt", "content": "bm90IGEgcGRm"}}}, "/files/0/content"},
			{object{"submit": true}, "/submit"},
		} {
			code, _, problem := tn.do(http.MethodPost, path, appKey, fmt.Sprintf("%s%d", provider, i), c.body)
			if code != http.StatusUnprocessableEntity || !strings.Contains(fmt.Sprint(problem["errors"]), c.pointer) {
				t.Errorf("%s %s: %d %v", provider, c.pointer, code, problem)
			}
		}
		big := base64.StdEncoding.EncodeToString([]byte(pdf + strings.Repeat("x", 4<<20)))
		code, _, _ := tn.do(http.MethodPost, path, appKey, "big"+provider, object{"files": []object{{"name": "a.pdf", "type": "receipt", "content": big}}})
		if code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: a body of more than 5 MiB: %d", provider, code)
		}
		if d := tn.readDispute(id); d["evidence"] != nil || d["status"] != "needs_response" {
			t.Errorf("%s: %v", provider, d)
		}
	}
}

// An app's policy gives small disputes up, calls people for large ones, contests the
// rest with its template, and in a dry run only says so; all of it in the history.
func TestDisputePolicy(t *testing.T) {
	t.Parallel()
	policy := func(dry bool) func(*config.Config) {
		return func(c *config.Config) {
			c.Apps[0].Disputes = config.DisputePolicy{
				AcceptUnder: map[string]int64{"usd": 600}, AlertAbove: map[string]int64{"usd": 1900}, DryRun: dry,
				Contest: map[string]string{"product_description": "Order {{payment.reference}}", "customer_name": "{{customer.name}}"},
			}
		}
	}
	for _, provider := range []string{"stripe", "paypal"} {
		for name, c := range map[string]struct {
			dry    bool
			amount int
			status string
			event  string
		}{
			"accept":  {false, 500, "lost", "policy_accept"},
			"contest": {false, 1500, "under_review", "policy_contest"},
			"alert":   {false, 2000, "needs_response", "policy_alert"},
			"dry run": {true, 500, "needs_response", "policy_accept_dry_run"},
		} {
			t.Run(provider+"/"+name, func(t *testing.T) {
				t.Parallel()
				tn := start(t, config.Layers{Webhook: true}, policy(c.dry))
				s := tn.side(provider)
				pay, capture := tn.paid(provider, "k")
				id := text(t, tn.dispute(s, pay, capture, object{"amount": c.amount}), "id")
				d := tn.readDispute(id)
				if d["status"] != c.status {
					t.Errorf("%v, want %s: %v", d["status"], c.status, d)
				}
				tn.wantAll("history", happened(d), "opened", c.event)
				switch name {
				case "contest":
					evidence, _ := d["evidence"].(object)
					if want := (object{"product_description": "Order order-1"}); fmt.Sprint(evidence["texts"]) != fmt.Sprint(want) || evidence["submitted"] != true {
						t.Errorf("evidence: %v", evidence)
					}
				case "alert":
					tn.wantAll("alerts", tn.disputeAlerts(id), "dispute_opened/critical/open")
				case "dry run":
					if slices.Contains(happened(d), "accept_requested") {
						t.Errorf("a dry run did something: %q", happened(d))
					}
				}
			})
		}
	}
}
