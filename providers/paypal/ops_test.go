package paypal

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/providertest"
)

// inMemory is a transport without a network.
type inMemory struct{ h http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	m.h.ServeHTTP(rec, r)
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

// played is a payment of 19.99 USD that a customer agreed to in the lab.
type played struct {
	attempt providers.Attempt
	facts   payment.Facts
}

func (p *played) observe(obs payment.Observation) {
	p.facts = p.facts.Observe(obs)
	if fact, ok := p.facts.AttemptFact(1); ok {
		p.attempt.Refs = fact.Refs
	}
}

func (l *lab) opened(t *testing.T, manual bool) *played {
	t.Helper()
	req := checkoutRequest()
	req.PaymentID, req.N, req.Manual = payment.DeriveID("pay", t.Name()), 1, manual
	res, err := l.adapter.CreateCheckout(t.Context(), req, payment.DeriveID("tf", t.Name(), "create"))
	if err != nil {
		t.Fatal(err)
	}
	p := &played{attempt: providers.Attempt{
		PaymentID: req.PaymentID, N: 1, Root: providers.Ref{Kind: "order", ID: res.Ref}, Manual: manual, Asked: req.Amount, CreatedAt: l.world.Now(),
	}}
	p.facts = payment.Facts{
		Terms:  payment.Terms{Amount: req.Amount, Manual: manual},
		Opened: []payment.Attempt{{N: 1, Provider: Provider, Account: "paypal-test", CreatedAt: l.world.Now()}},
	}
	p.observe(res.Observation)
	return p
}

func (p *played) take() providers.CaptureRequest {
	return providers.CaptureRequest{Attempt: p.attempt, Target: p.attempt.Root.ID, Amount: p.attempt.Asked, Final: true}
}

// paid is a payment that was captured, or authorized where manual.
func (l *lab) paid(t *testing.T, manual bool) *played {
	t.Helper()
	p := l.opened(t, manual)
	if err := l.pay(t, p.attempt.Root, providertest.PayNow); err != nil {
		t.Fatal(err)
	}
	call := l.adapter.Capture
	if manual {
		call = l.adapter.Authorize
	}
	res, err := call(t.Context(), p.take(), "take-1")
	if err != nil {
		t.Fatal(err)
	}
	if !res.Observation.Complete {
		t.Fatal("the observation after a change is not complete")
	}
	p.observe(res.Observation)
	return p
}

// TestCaptureDeclined guards the way back: a declined instrument is a decline with a
// code, moves nothing, and the customer goes on at the same order's page; an event tells
// of the next approval, and it can be captured with a new key.
func TestCaptureDeclined(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.opened(t, false)
	open, _ := p.facts.AttemptFact(1)
	if err := l.pay(t, p.attempt.Root, providertest.PayDeclined); err != nil {
		t.Fatal(err)
	}
	res, err := l.adapter.Capture(t.Context(), p.take(), "k1")
	if e := wantError(t, err, providers.Declined, "instrument_declined"); e.DeclineCode != "instrument_declined" {
		t.Errorf("%+v", e)
	}
	p.observe(res.Observation)
	declined, _ := p.facts.AttemptFact(1)
	if declined.State != payment.AttemptApproved || declined.URL != open.URL {
		t.Errorf("after the decline: %s at %q, want approved at %q", declined.State, declined.URL, open.URL)
	}
	obs, err := l.adapter.Fetch(t.Context(), p.attempt)
	if err != nil || obs.Facts.Attempts[0].URL != open.URL {
		t.Errorf("a later look sends the customer to %q (%v)", obs.Facts.Attempts[0].URL, err)
	}
	_, err = l.adapter.Capture(t.Context(), p.take(), "k1") // PayPal keeps the decline under the key
	wantError(t, err, providers.Declined, "instrument_declined")
	l.advance(t, time.Minute)
	if err := l.pay(t, p.attempt.Root, providertest.PayNow); err != nil {
		t.Fatal(err)
	}
	if obs, err = l.adapter.Fetch(t.Context(), p.attempt); err != nil || !obs.Facts.Attempts[0].ApprovedAt.Equal(declined.ApprovedAt) {
		t.Errorf("the order dates its new approval, which PayPal's don't: %+v, %v", obs.Facts.Attempts, err)
	}
	events := 0
	items, _, _ := walk(t, l.adapter, listEvents, startWall, l.world.Now())
	for _, it := range items {
		if it.Approved && it.Object == p.attempt.Root && !it.Created.Before(startWall) {
			events++
		}
	}
	if events != 2 {
		t.Errorf("%d events tell of an approval, want 2: %+v", events, items)
	}
	if _, err := l.adapter.Capture(t.Context(), p.take(), "k2"); err != nil {
		t.Error(err)
	}
}

// TestCaptureCreatedDeclined: HTTP success with a DECLINED capture is a decline.
func TestCaptureCreatedDeclined(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.opened(t, false)
	l.must(t, "orders/"+p.attempt.Root.ID+"/approve", map[string]any{"capture": "declined_capture"})
	res, err := l.adapter.Capture(t.Context(), p.take(), "k1")
	if e := wantError(t, err, providers.Declined, "capture_declined"); e.DeclineCode != "other" {
		t.Errorf("%+v", e)
	}
	p.observe(res.Observation)
	if got := p.facts.Status(); got != payment.StatusFailed {
		t.Errorf("status %s, want failed", got)
	}
}

// TestCaptureAlready guards I1: "already captured" under another key is found to be
// our own capture, and reported as done, once.
func TestCaptureAlready(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.paid(t, false)
	res, err := l.adapter.Capture(t.Context(), p.take(), "another-key")
	if err != nil || res.Ref != p.attempt.Refs.Capture || !res.Observation.Complete {
		t.Errorf("%+v, %v", res, err)
	}
	l = newLab(t)
	m := l.paid(t, true)
	res, err = l.adapter.Authorize(t.Context(), m.take(), "another-key")
	if err != nil || res.Ref != m.attempt.Refs.Authorization {
		t.Errorf("authorize: %+v, %v", res, err)
	}
}

// TestCaptureInDisguise: what PayPal says happened is believed only as far as a read
// shows it.
func TestCaptureInDisguise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, issue, order string
		status             int
		class              providers.Class // empty: success
	}{
		{"already, shown", "ORDER_ALREADY_CAPTURED", `{"captures":[` + captureJSON(capID, "COMPLETED", "") + `]}`, 200, ""},
		{"already, pending", "ORDER_ALREADY_CAPTURED", `{"captures":[` + captureJSON(capID, "PENDING", "") + `]}`, 200, ""},
		{"already, but declined", "ORDER_ALREADY_CAPTURED", `{"captures":[` + captureJSON(capID, "DECLINED", "") + `]}`, 200, providers.Declined},
		{"already, not shown", "ORDER_ALREADY_CAPTURED", ``, 200, providers.Unknown},
		{"already, no look", "ORDER_ALREADY_CAPTURED", ``, 500, providers.Unknown},
		{"invoice, shown", "DUPLICATE_INVOICE_ID", `{"captures":[` + captureJSON(capID, "COMPLETED", "") + `]}`, 200, ""},
		{"invoice, not shown", "DUPLICATE_INVOICE_ID", ``, 200, providers.Unknown},
		{"transaction, shown", "DUPLICATE_TRANSACTION", `{"captures":[` + captureJSON(capID, "COMPLETED", "") + `]}`, 200, ""},
		{"transaction, not shown", "DUPLICATE_TRANSACTION", ``, 200, providers.Unknown},
		{"key, shown", "DUPLICATE_REQUEST_ID", `{"captures":[` + captureJSON(capID, "COMPLETED", "") + `]}`, 200, ""},
		{"key, no look", "DUPLICATE_REQUEST_ID", ``, 500, providers.Unknown},
	} {
		status := "COMPLETED"
		if c.order == "" {
			status = "APPROVED"
		}
		s := newStub(t).on("POST /v2/checkout/orders/"+orderID+"/capture", 422, issueJSON(c.issue))
		s.on("GET /v2/checkout/orders/"+orderID, c.status, orderJSON(status, "CAPTURE", c.order))
		res, err := s.adapter().Capture(t.Context(), providers.CaptureRequest{Attempt: attemptOf(false), Target: orderID}, "k")
		if c.class == "" {
			if err != nil || res.Ref != capID {
				t.Errorf("%s: %q, %v", c.name, res.Ref, err)
			}
			continue
		}
		e := &providers.Error{}
		if !errors.As(err, &e) || e.Class != c.class || e.Stored != strings.HasPrefix(c.issue, "DUPLICATE_") && c.class == providers.Unknown {
			t.Errorf("%s: %v (stored %v)", c.name, err, e.Stored)
		}
	}
}

// TestCaptureReadFails: money taken is reported although the look after it fails, as a
// fragment; and the disputes service has no say in it.
func TestCaptureReadFails(t *testing.T) {
	t.Parallel()
	s := newStub(t).on("POST /v2/checkout/orders/"+orderID+"/capture", 201, orderJSON("COMPLETED", "CAPTURE", `{"captures":[`+captureJSON(capID, "COMPLETED", "")+`]}`))
	s.on("GET /v2/checkout/orders/"+orderID, 503, "<html>")
	s.on("GET /v1/customer/disputes", 500, "")
	res, err := s.adapter().Capture(t.Context(), providers.CaptureRequest{Attempt: attemptOf(false), Target: orderID}, "k")
	if err != nil || res.Ref != capID || res.Observation.Complete || len(res.Observation.Facts.Captures) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	s.on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("APPROVED", "CAPTURE", "")) // a stale copy
	res, err = s.adapter().Capture(t.Context(), providers.CaptureRequest{Attempt: attemptOf(false), Target: orderID}, "k")
	if err != nil || len(res.Observation.Facts.Captures) != 1 {
		t.Errorf("with a stale look: %+v, %v", res, err)
	}
	if s.count("GET /v1/customer/disputes") != 0 {
		t.Error("taking money asked for disputes")
	}
}

// TestCaptureKeys: the key goes out as PayPal-Request-Id, byte for byte, also after a
// token refresh; reads carry none.
func TestCaptureKeys(t *testing.T) {
	t.Parallel()
	s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "CAPTURE", `{"captures":[`+captureJSON(capID, "COMPLETED", "")+`]}`))
	tries := 0
	s.handle("POST /v2/checkout/orders/"+orderID+"/capture", func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries == 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Header.Get("Prefer") != "return=representation" || r.Header.Get("PayPal-Mock-Response") != "" {
			t.Errorf("headers %v", r.Header)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(orderJSON("COMPLETED", "CAPTURE", `{"captures":[`+captureJSON(capID, "COMPLETED", "")+`]}`)))
	})
	key := payment.ProviderKey("op", 0)
	if _, err := s.adapter().Capture(t.Context(), providers.CaptureRequest{Attempt: attemptOf(false), Target: orderID}, key); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.keys, ","); got != key+","+key+"," {
		t.Errorf("keys %s", got)
	}
}

// TestPartialCaptures guards the order of sightings within one second: PayPal's times
// have whole seconds, and the later look must win all the same.
func TestPartialCaptures(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.paid(t, true)
	seen := []payment.Observation{}
	parts := []int64{400, 100, 50, 150, 30, 200, 70}
	for i, amount := range parts {
		res, err := l.adapter.Capture(t.Context(), providers.CaptureRequest{
			Attempt: p.attempt, Target: p.attempt.Refs.Authorization, Amount: payment.Money{Minor: amount, Currency: "usd"},
		}, "part-"+string(rune('a'+i)))
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, res.Observation)
	}
	left := int64(1999)
	for i := range seen {
		left -= parts[i]
		if i > 0 && !seen[i].Facts.Attempts[0].AsOf.After(seen[i-1].Facts.Attempts[0].AsOf) {
			t.Errorf("look %d is not newer than the one before: %v", i+1, seen[i].Facts.Attempts[0].AsOf)
		}
		facts := p.facts
		for j := i; j >= 0; j-- { // the latest first: older ones must not undo it
			facts = facts.Observe(seen[j])
		}
		if got := facts.Amounts(nil); got.Capturable != left || got.Captured != 1999-left || facts.Status() != payment.StatusAuthorized {
			t.Errorf("after %d captures: %+v, want %d capturable, status %s", i+1, got, left, facts.Status())
		}
	}
	p.observe(seen[len(seen)-1])
	res, err := l.adapter.Capture(t.Context(), providers.CaptureRequest{
		Attempt: p.attempt, Target: p.attempt.Refs.Authorization, Amount: payment.Money{Minor: 999, Currency: "usd"}, Final: true,
	}, "part-z")
	if err != nil {
		t.Fatal(err)
	}
	p.observe(res.Observation)
	if got := p.facts.Status(); got != payment.StatusSucceeded {
		t.Errorf("status %s", got)
	}
	// A repetition under a new key, after the old one died, finds its own capture by amount and invoice only.
	again, err := l.adapter.Capture(t.Context(), providers.CaptureRequest{
		Attempt: p.attempt, Target: p.attempt.Refs.Authorization, Amount: payment.Money{Minor: 999, Currency: "usd"}, Final: true,
	}, "part-other")
	wantError(t, err, providers.Refused, "authorization_already_captured")
	if again.Ref != "" {
		t.Errorf("took %s for its own", again.Ref)
	}
}

// TestReauthorization: a renewal replaces its parent and holds the rest of it, and voiding
// the renewal releases the whole.
func TestReauthorization(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.paid(t, true)
	parent := p.attempt.Refs.Authorization
	if _, err := l.adapter.Capture(t.Context(), providers.CaptureRequest{Attempt: p.attempt, Target: parent, Amount: payment.Money{Minor: 500, Currency: "usd"}}, "part"); err != nil {
		t.Fatal(err)
	}
	l.advance(t, 4*24*time.Hour)
	var renewed authorizationBody
	if _, err := l.adapter.api.write(t.Context(), "test", "/v2/payments/authorizations/"+parent+"/reauthorize", "renew", nothing{}, &renewed); err != nil {
		t.Fatal(err)
	}
	obs, err := l.adapter.Fetch(t.Context(), p.attempt)
	if err != nil {
		t.Fatal(err)
	}
	p.observe(obs)
	got := p.facts.Amounts(nil)
	if got.Capturable != 1499 || p.attempt.Refs.Authorization != renewed.ID || got.Authorized != 1499 {
		t.Errorf("amounts %+v, refs %+v, authorizations %+v", got, p.attempt.Refs, p.facts.Authorizations)
	}
	res, err := l.adapter.Capture(t.Context(), providers.CaptureRequest{Attempt: p.attempt, Target: renewed.ID, Amount: payment.Money{Minor: 200, Currency: "usd"}}, "more")
	if err != nil {
		t.Fatal(err)
	}
	p.observe(res.Observation)
	if got := p.facts.Amounts(nil); got.Capturable != 1299 || got.Captured != 700 {
		t.Errorf("after a capture on the renewal: %+v", got)
	}
	res, err = l.adapter.Void(t.Context(), providers.CaptureRequest{Attempt: p.attempt, Target: renewed.ID}, "void")
	if err != nil || res.Ref != renewed.ID {
		t.Fatalf("%+v, %v", res, err)
	}
	p.observe(res.Observation)
	if got := p.facts.Amounts(nil); got.Capturable != 0 || p.facts.Status() != payment.StatusSucceeded {
		t.Errorf("after the void: %+v, status %s", got, p.facts.Status())
	}
}

// Promise (I1, I7): an authorization that was renewed several times holds its money once,
// whether or not PayPal says what renews what, and all of it is released through the first.
func TestRenewedTwice(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.paid(t, true)
	first := p.attempt.Refs.Authorization
	var renewed authorizationBody
	for _, key := range []string{"one", "two"} {
		l.advance(t, 4*24*time.Hour)
		if _, err := l.adapter.api.write(t.Context(), "test", "/v2/payments/authorizations/"+first+"/reauthorize", key, nothing{}, &renewed); err != nil {
			t.Fatal(err)
		}
	}
	obs, err := l.adapter.Fetch(t.Context(), p.attempt)
	if err != nil {
		t.Fatal(err)
	}
	p.observe(obs)
	if got := p.facts.Amounts(nil); len(p.facts.Authorizations) != 3 || got.Authorized != 1999 || got.Capturable != 1999 || p.attempt.Refs.Authorization != renewed.ID {
		t.Errorf("amounts %+v, refs %+v", got, p.attempt.Refs)
	}
	res, err := l.adapter.Void(t.Context(), providers.CaptureRequest{Attempt: p.attempt, Target: renewed.ID}, "void")
	if err != nil {
		t.Fatal(err)
	}
	p.observe(res.Observation)
	if got := p.facts.Amounts(nil); got.Capturable != 0 || got.Authorized != 0 {
		t.Errorf("after the void: %+v", got)
	}

	auth := func(id, status, day string) string {
		return `{"id":"` + id + `","status":"` + status + `","amount":{"currency_code":"USD","value":"19.99"},"expiration_time":"2026-03-30T11:55:00Z","create_time":"2026-02-` + day + `T11:55:00Z","update_time":"2026-02-` + day + `T11:55:00Z"}`
	}
	all := map[string]string{"A0": auth("A0", "DENIED", "09"), "A1": auth("A1", "PARTIALLY_CAPTURED", "10"), "A2": auth("A2", "PARTIALLY_CAPTURED", "15"), "A3": auth("A3", "PARTIALLY_CAPTURED", "20")}
	s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "AUTHORIZE", `{"authorizations":[`+all["A3"]+`,`+all["A0"]+`,`+all["A1"]+`,`+all["A2"]+`],"captures":[`+
		strings.Replace(captureJSON(capID, "COMPLETED", ""), "19.99", "5.00", 1)+`]}`))
	for id, body := range all {
		s.on("GET /v2/payments/authorizations/"+id, 200, body).on("POST /v2/payments/authorizations/"+id+"/void", 422, issueJSON("CANNOT_BE_VOIDED"))
	}
	if obs, err = s.adapter().Fetch(t.Context(), attemptOf(true)); err != nil {
		t.Fatal(err)
	}
	facts := payment.Facts{Terms: payment.Terms{Amount: payment.Money{Minor: 1999, Currency: "usd"}, Manual: true}}.Observe(obs)
	if got := facts.Amounts(nil); got.Authorized != 1999 || got.Capturable != 1499 {
		t.Errorf("nobody says what renews what: %+v", got)
	}
	for _, x := range obs.Facts.Authorizations {
		if want := map[string]string{"A2": "A1", "A3": "A2"}[x.Key.ID]; x.Replaces != want {
			t.Errorf("%s renews %q, want %q", x.Key.ID, x.Replaces, want)
		}
	}
	s.on("POST /v2/payments/authorizations/A1/void", 204, "")
	if _, err := s.adapter().Void(t.Context(), providers.CaptureRequest{Attempt: attemptOf(true), Target: "A3"}, "v"); err != nil || s.count("POST /v2/payments/authorizations/A1/void") != 1 {
		t.Errorf("void: %v, calls %v", err, s.seen)
	}
}

// TestVoid: voided twice is voided; what was captured can't be.
func TestVoid(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.paid(t, true)
	auth := p.attempt.Refs.Authorization
	for range 2 {
		res, err := l.adapter.Void(t.Context(), providers.CaptureRequest{Attempt: p.attempt, Target: auth}, "v")
		if err != nil || res.Ref != auth || !res.Observation.Complete {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	s := newStub(t).on("POST /v2/payments/authorizations/"+authID+"/void", 422, issueJSON("PREVIOUSLY_CAPTURED"))
	_, err := s.adapter().Void(t.Context(), providers.CaptureRequest{Attempt: attemptOf(true), Target: authID}, "v")
	wantError(t, err, providers.Refused, "previously_captured")
	s.handle("POST /v2/payments/authorizations/"+authID+"/void", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s.on("GET /v2/checkout/orders/"+orderID, 500, "")
	res, err := s.adapter().Void(t.Context(), providers.CaptureRequest{Attempt: attemptOf(true), Target: authID}, "v")
	if err != nil || res.Ref != authID || res.Observation.Complete || res.Observation.N != 1 {
		t.Errorf("204 and no look: %+v, %v", res, err)
	}
}

// TestRefundAgain guards I1: the same refund under a new key is refused by PayPal for
// its invoice id, and found.
func TestRefundAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.paid(t, false)
	req := providers.RefundRequest{Attempt: p.attempt, Capture: p.attempt.Refs.Capture, Amount: payment.Money{Minor: 500, Currency: "usd"}, Operation: "rfd_one"}
	first, err := l.adapter.Refund(t.Context(), req, "k1")
	if err != nil {
		t.Fatal(err)
	}
	second, err := l.adapter.Refund(t.Context(), req, "k2")
	if err != nil || second.Ref != first.Ref {
		t.Errorf("again: %q, %v; first %q", second.Ref, err, first.Ref)
	}
	req.Amount.Minor, req.Operation = 1499, "rfd_two"
	whole, err := l.adapter.Refund(t.Context(), req, "k3")
	if err != nil {
		t.Fatal(err)
	}
	again, err := l.adapter.Refund(t.Context(), req, "k4") // now "fully refunded"
	if err != nil || again.Ref != whole.Ref {
		t.Errorf("fully refunded: %q, %v; want %q", again.Ref, err, whole.Ref)
	}
	req.Operation = "rfd_three"
	_, err = l.adapter.Refund(t.Context(), req, "k5")
	wantError(t, err, providers.Refused, "capture_fully_refunded")
}

// TestRefundUnseen: an invoice id that was used, by a refund no look shows, is unknown
// and stored, never a decline; so is a "fully refunded" that nothing explains.
func TestRefundUnseen(t *testing.T) {
	t.Parallel()
	for issue, stored := range map[string]bool{"DUPLICATE_INVOICE_ID": true, "DUPLICATE_TRANSACTION": true, "CAPTURE_FULLY_REFUNDED": false} {
		s := newStub(t).on("POST /v2/payments/captures/"+capID+"/refund", 422, issueJSON(issue))
		s.on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("COMPLETED", "CAPTURE", `{"captures":[`+captureJSON(capID, "COMPLETED", "")+`]}`))
		_, err := s.adapter().Refund(t.Context(), providers.RefundRequest{Attempt: attemptOf(false), Capture: capID, Amount: payment.Money{Minor: 5, Currency: "usd"}, Operation: "rfd_x"}, "k")
		if e := wantError(t, err, providers.Unknown, strings.ToLower(issue)); e.Stored != stored {
			t.Errorf("%+v", e)
		}
	}
}

// TestClose: an open order is reported as it is, and nothing is sent to PayPal that
// could change it.
func TestClose(t *testing.T) {
	t.Parallel()
	s := newStub(t).on("GET /v2/checkout/orders/"+orderID, 200, orderJSON("PAYER_ACTION_REQUIRED", "CAPTURE", ""))
	res, err := s.adapter().CloseCheckout(t.Context(), attemptOf(false), "k")
	if err != nil || res.Ref != orderID || res.Observation.Facts.Attempts[0].State != payment.AttemptOpen {
		t.Errorf("%+v, %v", res, err)
	}
	for _, seen := range s.seen {
		if !strings.HasPrefix(seen, "GET ") {
			t.Errorf("closing sent %s", seen)
		}
	}
}

// TestMockResponse: PayPal's negative tests can be asked for by operation, in test
// mode only (TestOptions).
func TestMockResponse(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(o *Options) {
		o.MockResponse = func(op string) string {
			return map[string]string{"capture": "TRANSACTION_REFUSED", "refund": "bad\"issue"}[op]
		}
	})
	p := l.opened(t, false)
	if err := l.pay(t, p.attempt.Root, providertest.PayNow); err != nil {
		t.Fatal(err)
	}
	_, err := l.adapter.Capture(t.Context(), p.take(), "k1")
	wantError(t, err, providers.Declined, "transaction_refused")
}

// TestKeyLife: a key is never taken for alive when PayPal may have forgotten it.
func TestKeyLife(t *testing.T) {
	t.Parallel()
	for kind, limit := range map[payment.OpKind]time.Duration{
		payment.OpCreate: 6 * time.Hour, payment.OpAuthorize: 6 * time.Hour, payment.OpCapture: 6 * time.Hour, payment.OpRefund: 45 * 24 * time.Hour,
	} {
		if life := keyLife(kind); life <= 0 || life >= limit {
			t.Errorf("%s: %v, PayPal forgets after %v", kind, life, limit)
		}
	}
}

// TestNoSecretsInErrors plants PayPal's messages, our secret and our token in every
// answer, and finds none of them in any error's text.
func TestNoSecretsInErrors(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 201, 302, 400, 401, 403, 404, 409, 422, 429, 500} {
		for _, body := range []string{
			issueJSON("X"), issueJSON(canarySecret + " " + canaryToken), `{"name":"` + canaryMessage + `"}`, `{"error":"` + canaryMessage + `","error_description":"` + canaryToken + `"}`,
			"<html>" + canaryMessage + canaryToken, `{"id":"` + canaryMessage + `","amount":{"value":"` + canaryMessage + `"}}`,
		} {
			s := newStub(t)
			for _, route := range []string{
				"POST /v2/checkout/orders", "GET /v2/checkout/orders/" + orderID, "POST /v2/checkout/orders/" + orderID + "/capture",
				"POST /v2/payments/captures/" + capID + "/refund", "GET /v2/payments/captures/" + capID,
			} {
				s.on(route, status, body)
			}
			a := s.adapter()
			_, err1 := a.CreateCheckout(t.Context(), checkoutRequest(), "k")
			_, err2 := a.Fetch(t.Context(), attemptOf(false))
			_, err3 := a.Capture(t.Context(), providers.CaptureRequest{Attempt: attemptOf(false), Target: orderID}, "k")
			_, err4 := a.Refund(t.Context(), providers.RefundRequest{Attempt: attemptOf(false), Capture: capID, Amount: attemptOf(false).Asked, Operation: "rfd_x"}, "k")
			_, err5 := a.Trace(t.Context(), providers.Ref{Kind: "capture", ID: capID})
			for _, err := range []error{err1, err2, err3, err4, err5} {
				if err == nil {
					continue
				}
				e := &providers.Error{}
				if !errors.As(err, &e) {
					t.Fatalf("%v is not a *providers.Error", err)
				}
				for _, secret := range []string{"canary", "buyer@example.com", "client-a"} {
					if strings.Contains(err.Error(), secret) || strings.Contains(e.Failure().Message, secret) || strings.Contains(e.Code+e.DeclineCode+e.RequestID+e.Field, secret) {
						t.Errorf("%d: %v", status, err)
					}
				}
			}
		}
	}
}
