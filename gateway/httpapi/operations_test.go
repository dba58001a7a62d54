package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/httpapi"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// ports stands in for what cmd wires: alerts, events and runs.
type ports struct {
	filter httpapi.AlertFilter
	change httpapi.AlertChange
	caller gateway.Caller
	run    httpapi.RunRequest
	order  httpapi.ErasureRequest
	known  bool // what is asked was asked before

	differences httpapi.DiscrepancyFilter
	resolution  httpapi.DiscrepancyResolution
	err         error
}

var (
	alertID      = "inc_" + strings.Repeat("a", 26)
	differenceID = "dis_" + strings.Repeat("a", 26)
)

func (p *ports) ListAlerts(_ context.Context, c gateway.Caller, f httpapi.AlertFilter) ([]gateway.AlertRecord, string, error) {
	p.caller, p.filter = c, f
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	return []gateway.AlertRecord{{ID: alertID, Kind: "late_money", Severity: "critical", State: "open", Message: "m", Count: 2, FirstSeen: at, LastSeen: at, Payment: "pay_1"}}, "cursor", p.err
}

func (p *ports) ChangeAlert(_ context.Context, c gateway.Caller, id string, change httpapi.AlertChange) (gateway.AlertRecord, bool, error) {
	p.caller, p.change = c, change
	return gateway.AlertRecord{ID: id, Kind: "late_money", Severity: "info", State: change.State, Count: 1}, p.known, p.err
}

func (p *ports) ListEvents(_ context.Context, c gateway.Caller, after string, limit int) ([]httpapi.FeedEvent, string, error) {
	p.caller = c
	if after == "end" {
		return nil, "end", p.err
	}
	return []httpapi.FeedEvent{{ID: "evt_1", Type: "payment.succeeded", At: time.Unix(1, 0), Sequence: 1, Object: json.RawMessage(`{"id":"pay_1"}`)}}, "end", p.err
}

func (p *ports) ListRuns(context.Context, int, string) ([]httpapi.Run, string, error) {
	return []httpapi.Run{{ID: "run_1", Job: "due", State: "done", StartedAt: time.Unix(1, 0), EndedAt: time.Unix(2, 0)}}, "", p.err
}

func (p *ports) StartRun(_ context.Context, _ gateway.Caller, r httpapi.RunRequest) (httpapi.Run, bool, error) {
	p.run = r
	return httpapi.Run{ID: r.ID, Job: r.Job, Account: r.Account, State: "running", From: r.From, StartedAt: time.Unix(1, 0)}, p.known, p.err
}

func (p *ports) OrderErasure(_ context.Context, _ gateway.Caller, r httpapi.ErasureRequest) (httpapi.Erasure, bool, error) {
	p.order = r
	return httpapi.Erasure{ID: r.ID, App: r.App, Ref: r.Ref, Reason: r.Reason, State: "running", OrderedAt: time.Unix(1, 0)}, p.known, p.err
}

func (p *ports) GetErasure(context.Context, string) (httpapi.Erasure, error) {
	return httpapi.Erasure{}, gateway.ErrNotFound
}

func (p *ports) ListErasures(context.Context, int, string) ([]httpapi.Erasure, string, error) {
	return []httpapi.Erasure{{ID: "ers_1", App: "shop", State: "incomplete", Left: 1, LeftIn: []string{"payments/pay_1"}}}, "", p.err
}

func (p *ports) ListDiscrepancies(_ context.Context, c gateway.Caller, f httpapi.DiscrepancyFilter) ([]httpapi.Discrepancy, string, error) {
	p.caller, p.differences = c, f
	return []httpapi.Discrepancy{{ID: differenceID, Kind: "provider_mismatch", Severity: "critical", State: "open", Mode: "test", SeenAt: time.Unix(1, 0)}}, "", p.err
}

func (p *ports) ResolveDiscrepancy(_ context.Context, c gateway.Caller, id string, r httpapi.DiscrepancyResolution) (httpapi.Discrepancy, bool, error) {
	p.caller, p.resolution = c, r
	return httpapi.Discrepancy{
		ID: id, Kind: "provider_mismatch", Severity: "critical", State: "resolved", Mode: "test", Amount: payment.Money{Minor: -5, Currency: "usd"},
		SeenAt: time.Unix(1, 0), By: c.Actor(), Reason: r.Reason, ResolvedAt: time.Unix(2, 0),
	}, p.known, p.err
}

func newPortsWorld(t testing.TB, adjust ...func(*httpapi.Options)) (*world, *ports) {
	p := &ports{}
	wire := func(o *httpapi.Options) { o.Alerts, o.Events, o.Runs, o.Erasures, o.Discrepancies = p, p, p, p, p }
	return newWorld(t, append(adjust, wire)...), p
}

// Promise: alerts are listed by filter and changed for the key that asks.
func TestAlerts(t *testing.T) {
	t.Parallel()
	w, p := newPortsWorld(t)
	a := w.get("/v1/alerts?state=open&limit=5").want(http.StatusOK, "")
	if a.text("data", 0, "kind") != "late_money" || a.text("next") != "cursor" || p.filter.State != "open" || p.filter.Limit != 5 || p.caller.App != "shop" {
		t.Fatalf("alerts: %s, asked %+v", a.raw, p)
	}
	w.do(call{method: "GET", path: "/v1/alerts?state=shut", key: shopKey, bad: true}).want(http.StatusUnprocessableEntity, "invalid_request").wantField("?state")
	w.post("/v1/alerts/"+alertID+"/ack", "k", "").want(http.StatusOK, "")
	if p.change.State != "acked" {
		t.Errorf("changed to %s", p.change.State)
	}
	w.post("/v1/alerts/"+alertID+"/snooze", "k", `{"seconds":60}`).want(http.StatusOK, "")
	if until := p.change.Until.Sub(w.clock.now()); p.change.State != "snoozed" || until < 59*time.Second || until > 61*time.Second {
		t.Errorf("snoozed: %+v", p.change)
	}
	w.do(call{method: "POST", path: "/v1/alerts/" + alertID + "/snooze", key: shopKey, idem: "k", body: `{"seconds":1}`, bad: true}).want(http.StatusUnprocessableEntity, "").wantField("/seconds")
	if r := w.post("/v1/alerts/"+alertID+"/resolve", "k", "{}").want(http.StatusOK, ""); r.text("state") != "resolved" {
		t.Errorf("resolved: %s", r.raw)
	}
	w.post("/v1/alerts/nonsense/resolve", "k", "").want(http.StatusNotFound, "not_found")
	for status, err := range map[int]error{
		http.StatusNotFound: gateway.ErrNotFound, http.StatusServiceUnavailable: gateway.ErrUnavailable, http.StatusInternalServerError: errors.New("dsn"),
		http.StatusConflict: payment.NewError(payment.CodeConflict, "no"),
	} {
		p.err = err
		if a := w.post("/v1/alerts/"+alertID+"/ack", "k", "").want(status, ""); strings.Contains(a.raw, "dsn") {
			t.Errorf("leaks: %s", a.raw)
		}
	}
	p.err = gateway.ErrBadCursor
	w.get("/v1/alerts?after=x").want(http.StatusBadRequest, "malformed")
}

// Promise: the feed gives a cursor to resume from, also at its end, to apps only.
func TestEvents(t *testing.T) {
	t.Parallel()
	w, _ := newPortsWorld(t)
	a := w.get("/v1/events").want(http.StatusOK, "")
	if a.text("data", 0, "data", "object", "id") != "pay_1" || a.text("next") != "end" || a.at("data", 0, "sequence") != float64(1) {
		t.Fatalf("events: %s", a.raw)
	}
	if b := w.get("/v1/events?after=end&limit=10").want(http.StatusOK, ""); b.text("next") != "end" {
		t.Fatalf("at the end: %s", b.raw)
	}
	first := w.do(call{method: "GET", path: "/v1/events?after=", key: shopKey}).want(http.StatusOK, "") // no cursor yet
	if first.text("data", 0, "id") != a.text("data", 0, "id") || first.text("data", 0, "id") == "" {
		t.Fatalf("from the beginning: %s", first.raw)
	}
	w.do(call{method: "GET", path: "/v1/events", key: opKey}).want(http.StatusForbidden, "forbidden")
}

// Promise: operators order runs; the same request has the same id.
func TestRuns(t *testing.T) {
	t.Parallel()
	w, p := newPortsWorld(t)
	start := call{method: "POST", path: "/v1/reconcile/runs", key: opKey, idem: "k", body: `{"job":"sweep","account":"stripe-eu","from":"2026-01-01T00:00:00+01:00"}`}
	a := w.do(start).want(http.StatusAccepted, "")
	if a.text("state") != "running" || p.run.Account != "stripe-eu" || p.run.From.Hour() != 23 || w.do(start).text("id") != a.text("id") {
		t.Fatalf("run: %s", a.raw)
	}
	for body, at := range map[string]string{
		`{}`: "/job", `{"job":"everything"}`: "/job", `{"job":"due","from":"now"}`: "/from", `{"job":"due","from":"2026-01-02T00:00:00Z","to":"2026-01-01T00:00:00Z"}`: "/to",
	} {
		w.do(call{method: "POST", path: "/v1/reconcile/runs", key: opKey, idem: "k", body: body, bad: true}).want(http.StatusUnprocessableEntity, "invalid_request").wantField(at)
	}
	if l := w.do(call{method: "GET", path: "/v1/reconcile/runs", key: opKey}).want(http.StatusOK, ""); l.text("data", 0, "id") != "run_1" {
		t.Fatalf("runs: %s", l.raw)
	}
	for _, method := range []string{"GET", "POST"} {
		w.do(call{method: method, path: "/v1/reconcile/runs", key: shopKey, idem: "k", body: map[string]string{"POST": `{"job":"due"}`}[method]}).want(http.StatusForbidden, "forbidden")
	}
}

// Promise: whatever is kept under a key says of a repetition that it is one, and of nothing
// else: alerts, runs and erasures too.
func TestRepetitionsAreMarked(t *testing.T) {
	t.Parallel()
	w, p := newPortsWorld(t)
	for path, body := range map[string]string{
		"/v1/alerts/" + alertID + "/ack": "", "/v1/alerts/" + alertID + "/snooze": `{"seconds":60}`, "/v1/alerts/" + alertID + "/resolve": "{}",
		"/v1/reconcile/runs": `{"job":"due"}`, "/v1/erasures": `{"app":"shop","email":"eve@example.com","reason":"asked"}`,
		"/v1/discrepancies/" + differenceID + "/resolve": `{"reason":"theirs"}`,
	} {
		for _, p.known = range []bool{false, true} {
			a := w.do(call{method: "POST", path: path, key: opKey, idem: "k", body: body})
			if a.status >= 300 || (a.header.Get("Idempotent-Replayed") == "true") != p.known {
				t.Errorf("%s, repeated %v: %d %v", path, p.known, a.status, a.header)
			}
		}
	}
}

// Promise: an order to erase is told from another one under its key by the whole of its
// words, and the address can't be guessed from what tells them apart.
func TestErasureFingerprint(t *testing.T) {
	t.Parallel()
	w, p := newPortsWorld(t)
	order := func(key, email string) string {
		w.do(call{method: "POST", path: "/v1/erasures", key: opKey, idem: key, body: `{"app":"shop","email":"` + email + `","reason":"asked"}`}).want(http.StatusAccepted, "")
		return p.order.Fingerprint
	}
	one := order("k", "eve@example.com")
	if one == "" || one != order("k", "eve@example.com") || one == order("k", "bob@example.com") || one == order("other", "eve@example.com") {
		t.Errorf("fingerprints: %s", one)
	}
}

// Promise: whoever asks what came of an erasure is told where the customer still stands.
func TestErasureSaysWhereTheCustomerStands(t *testing.T) {
	t.Parallel()
	w, _ := newPortsWorld(t)
	a := w.do(call{method: "GET", path: "/v1/erasures", key: opKey}).want(http.StatusOK, "")
	if a.text("data", 0, "left_in", 0) != "payments/pay_1" {
		t.Errorf("%s", a.raw)
	}
	a = w.do(call{method: "POST", path: "/v1/erasures", key: opKey, idem: "k", body: `{"app":"shop","ref":"eve","reason":"asked"}`}).want(http.StatusAccepted, "")
	if !strings.Contains(string(a.raw), `"left_in":[]`) {
		t.Errorf("%s", a.raw)
	}
}

// Promise: differences are listed by filter for the key that asks, and resolved by operators
// with a reason, told apart by their request.
func TestDiscrepancies(t *testing.T) {
	t.Parallel()
	w, p := newPortsWorld(t)
	pay := "pay_" + strings.Repeat("b", 26)
	a := w.get("/v1/discrepancies?state=open&limit=5&payment="+pay).want(http.StatusOK, "")
	want := httpapi.DiscrepancyFilter{State: "open", Payment: pay, Limit: 5}
	if a.text("data", 0, "id") != differenceID || p.differences != want || p.caller.App != "shop" {
		t.Fatalf("listed %s, asked %+v", a.raw, p.differences)
	}
	for _, query := range []string{"state=shut", "payment=nonsense", "kind=x"} {
		w.do(call{method: "GET", path: "/v1/discrepancies?" + query, key: shopKey, bad: true}).want(http.StatusUnprocessableEntity, "invalid_request")
	}
	path := "/v1/discrepancies/" + differenceID + "/resolve"
	resolve := func(idem, body string, bad bool) answer {
		return w.do(call{method: "POST", path: path, key: opKey, idem: idem, body: body, bad: bad})
	}
	d := resolve("k", `{"reason":"their rounding"}`, false).want(http.StatusOK, "")
	first := p.resolution
	if d.text("state") != "resolved" || d.text("resolved_by", "type") != "operator" || first.Reason != "their rounding" || first.Request == "" || first.Fingerprint == "" {
		t.Fatalf("resolved %s, asked %+v", d.raw, first)
	}
	resolve("k", `{"reason":"their rounding"}`, false)
	again := p.resolution
	resolve("other", `{"reason":"their rounding"}`, false)
	if again != first || p.resolution.Request == first.Request {
		t.Errorf("one key is not one request: %+v, %+v, %+v", first, again, p.resolution)
	}
	for _, body := range []string{"{}", `{"reason":""}`} {
		resolve("k", body, true).want(http.StatusUnprocessableEntity, "invalid_request").wantField("/reason")
	}
	w.post(path, "k", `{"reason":"x"}`).want(http.StatusForbidden, "forbidden")
	w.do(call{method: "POST", path: "/v1/discrepancies/nonsense/resolve", key: opKey, idem: "k", body: `{"reason":"x"}`}).want(http.StatusNotFound, "not_found")
}

// Promise: a query that means nothing is refused, never passed over.
func TestUnknownQueriesAreRefused(t *testing.T) {
	t.Parallel()
	w, _ := newPortsWorld(t)
	for _, target := range []string{
		"GET /v1/api_keys", "DELETE /v1/api_keys/tk_test_x", "GET /v1/settings", "GET /v1/encryption", "GET /v1/erasures/ers_" + strings.Repeat("a", 26),
		"GET /v1/erasures", "GET /v1/reconcile/runs", "GET /v1/discrepancies", "GET /v1/alerts", "GET /v1/blocks", "GET /v1/risk/decisions", "GET /v1/disputes",
	} {
		method, path, _ := strings.Cut(target, " ")
		w.do(call{method: method, path: path + "?app=shop", key: opKey, bad: true}).want(http.StatusUnprocessableEntity, "invalid_request").wantField("?app")
	}
}

// Promise: what cmd did not wire is not there, and webhooks that are off say 503
// so that providers try again.
func TestUnwired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.get("/v1/alerts").want(http.StatusNotFound, "not_found")
	w.get("/v1/events").want(http.StatusNotFound, "not_found")
	w.do(call{method: "GET", path: "/v1/reconcile/runs", key: opKey}).want(http.StatusNotFound, "not_found")
	a := w.do(call{method: "POST", path: "/webhooks/stripe/stripe-eu", body: "{}"}).want(http.StatusServiceUnavailable, "store_unavailable")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// Promise: webhooks reach their handler as they came, whatever their type, size
// or encoding, and without any key of ours.
func TestWebhooksPassThrough(t *testing.T) {
	t.Parallel()
	var got, path string
	w := newWorld(t, func(o *httpapi.Options) {
		o.Webhooks = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			raw, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			got, path = string(raw), r.URL.Path
			rw.WriteHeader(http.StatusOK)
		})
	})
	large := strings.Repeat("x", 300<<10)
	for _, p := range []string{"/webhooks/stripe/stripe-eu", "/webhooks/stripe/stripe-eu/connect", "/webhooks/paypal/paypal-eu"} {
		w.do(call{method: "POST", path: p, body: large, header: map[string]string{"Content-Type": "text/plain"}, bad: true}).want(http.StatusOK, "")
		if got != large || path != p {
			t.Errorf("%s: %d bytes came to %s", p, len(got), path)
		}
	}
	w.do(call{method: "GET", path: "/webhooks/stripe/stripe-eu"}).want(http.StatusMethodNotAllowed, "")
}

// Promise: an operator makes keys for apps and operators; each is shown once, to whoever asked
// first, opens what it should from then on, and stands in no list and no log.
func TestMakeKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	do := func(key, idem, body string, bad bool) answer {
		return w.do(call{method: "POST", path: "/v1/api_keys", key: key, idem: idem, body: body, bad: bad})
	}
	made := do(opKey, "k", `{"app":"shop","scopes":["payments:read"]}`, false).want(http.StatusCreated, "")
	token := made.text("key")
	if !strings.HasPrefix(token, "tk_") || made.text("created_by", "type") != "operator" || made.header.Get("Idempotent-Replayed") != "" {
		t.Fatalf("made: %s", made.raw)
	}
	w.do(call{method: "GET", path: "/v1/payments", key: token}).want(http.StatusOK, "")
	w.do(call{method: "POST", path: "/v1/payments", key: token, idem: "p", body: body(nil)}).want(http.StatusForbidden, "forbidden")
	again := do(opKey, "k", `{"scopes":["payments:read"],"app":"shop"}`, false).want(http.StatusCreated, "")
	if again.at("key") != nil || again.text("id") != made.text("id") || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("repeated: %s", again.raw)
	}
	do(opKey, "k", `{"app":"shop"}`, false).want(http.StatusUnprocessableEntity, "idempotency_key_reused")
	op := do(opKey, "op", `{"operator":true}`, false).want(http.StatusCreated, "")
	list := w.do(call{method: "GET", path: "/v1/api_keys", key: op.text("key")}).want(http.StatusOK, "")
	if strings.Contains(list.raw, token) || strings.Contains(w.log.String(), token) {
		t.Error("the key is in the list or in the log")
	}
	w.do(call{method: "DELETE", path: "/v1/api_keys/" + made.text("id"), key: op.text("key")}).want(http.StatusOK, "")
	w.do(call{method: "GET", path: "/v1/payments", key: token}).want(http.StatusUnauthorized, "unauthenticated")
	do(shopKey, "x", `{"operator":true}`, false).want(http.StatusForbidden, "forbidden")
	for body, at := range map[string]string{
		`{}`: "/app", `{"app":"shop","operator":true}`: "/app", `{"app":"nobody"}`: "/app", `{"app":"shop","scopes":[]}`: "/scopes",
		`{"app":"shop","scopes":["everything"]}`: "/scopes", `{"operator":true,"scopes":["payments:read"]}`: "/scopes", `{"app":"shop","mode":"live"}`: "/mode",
	} {
		do(opKey, "bad", body, true).want(http.StatusUnprocessableEntity, "invalid_request").wantField(at)
	}
}
