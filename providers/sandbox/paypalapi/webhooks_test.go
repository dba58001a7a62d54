package paypalapi_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/providers/sandbox/paypalapi"
)

// receiver is a shop's webhook endpoint.
type receiver struct {
	srv    *httptest.Server
	mu     sync.Mutex
	status int
	got    []received
}

type received struct {
	header http.Header
	body   []byte
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK}
	r.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, received{req.Header.Clone(), body})
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.srv.Close)
	return r
}

func (r *receiver) answer(status int) { r.mu.Lock(); r.status = status; r.mu.Unlock() }

// take hands over what arrived since the last take.
func (r *receiver) take() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.got
	r.got = nil
	return out
}

// fetch downloads something without a token.
func (e *env) fetch(url string) []byte {
	e.t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	resp, body := e.send(req)
	if resp.StatusCode != http.StatusOK {
		e.t.Fatalf("%s = %d", url, resp.StatusCode)
	}
	return body
}

// verify does what PayPal tells merchants to do, with the root as the only trust.
func (e *env) verify(in received, webhookID string) error {
	e.t.Helper()
	h := in.header
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(e.fetch(e.srv.URL + "/_sandbox/ca.pem")) {
		return errors.New("no root")
	}
	block, rest := pem.Decode(e.fetch(h.Get("Paypal-Cert-Url")))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("leaf: %w", err)
	}
	between := x509.NewCertPool()
	between.AppendCertsFromPEM(rest)
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, DNSName: paypalapi.CertHost, CurrentTime: start, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}); err != nil {
		return fmt.Errorf("chain: %w", err)
	}
	pub, ok := leaf.PublicKey.(*rsa.PublicKey)
	if !ok || pub.N.BitLen() < 2048 || h.Get("Paypal-Auth-Algo") != "SHA256withRSA" {
		return fmt.Errorf("not an RSA key of 2048 bits, or algorithm %q", h.Get("Paypal-Auth-Algo"))
	}
	sig, err := base64.StdEncoding.DecodeString(h.Get("Paypal-Transmission-Sig"))
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	text := fmt.Sprintf("%s|%s|%s|%d", h.Get("Paypal-Transmission-Id"), h.Get("Paypal-Transmission-Time"), webhookID, crc32.ChecksumIEEE(in.body))
	sum := sha256.Sum256([]byte(text))
	if err := rsa.VerifyPKCS1v15(pub, crypto.SHA256, sum[:], sig); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return nil
}

// postback asks the API to verify, with the event's bytes as they came.
func (e *env) postback(in received, webhookID string) string {
	e.t.Helper()
	h := in.header
	head, err := json.Marshal(map[string]string{
		"auth_algo": h.Get("Paypal-Auth-Algo"), "cert_url": h.Get("Paypal-Cert-Url"), "transmission_id": h.Get("Paypal-Transmission-Id"),
		"transmission_sig": h.Get("Paypal-Transmission-Sig"), "transmission_time": h.Get("Paypal-Transmission-Time"), "webhook_id": webhookID,
	})
	if err != nil {
		e.t.Fatal(err)
	}
	body := strings.TrimSuffix(string(head), "}") + `,"webhook_event":` + string(in.body) + "}"
	return e.must(200, "POST", "/v1/notifications/verify-webhook-signature", body, nil).str("verification_status")
}

// Guards webhook signatures: verifiable with nothing but the root certificate, by the
// documented text; a changed byte, another webhook id or certificate fails; a retry
// keeps its transmission id.
func TestSignedDeliveries(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	rcv := newReceiver(t)
	hookID := e.control(200, "/webhooks/endpoints", `{"url":"`+rcv.srv.URL+`"}`).str("webhook_id")
	rcv.answer(http.StatusInternalServerError)
	e.control(200, "/orders/"+e.order("CAPTURE", "AT&T <1>", "")+"/approve", "")
	e.advance(0)
	rcv.answer(http.StatusOK)
	e.advance(time.Minute)
	got := rcv.take()
	if len(got) != 2 {
		t.Fatalf("deliveries = %d, want a failure and its retry", len(got))
	}
	if a, b := got[0].header.Get("Paypal-Transmission-Id"), got[1].header.Get("Paypal-Transmission-Id"); a != b || a == "" {
		t.Errorf("transmission ids %q and %q differ", a, b)
	}
	if at := got[0].header.Get("Paypal-Transmission-Time"); at != "2026-11-22T10:00:00Z" {
		t.Errorf("transmission time = %s", at)
	}
	if !strings.Contains(string(got[0].body), "AT&T <1>") {
		t.Errorf("the body is HTML-escaped: %s", got[0].body)
	}
	in := got[1]
	if err := e.verify(in, hookID); err != nil {
		t.Error(err)
	}
	if s := e.postback(in, hookID); s != "SUCCESS" {
		t.Errorf("postback = %s", s)
	}
	changed := received{in.header, []byte(strings.Replace(string(in.body), "APPROVED", "APPROVEE", 1))}
	if err := e.verify(changed, hookID); err == nil {
		t.Error("a changed body verifies")
	}
	if s := e.postback(changed, hookID); s != "FAILURE" {
		t.Errorf("postback of a changed body = %s", s)
	}
	if err := e.verify(in, "WH-OTHER"); err == nil {
		t.Error("another webhook id verifies")
	}
	foreign := received{in.header.Clone(), in.body}
	foreign.header.Set("Paypal-Cert-Url", "https://evil.example.com/v1/notifications/certs/CERT-1")
	if s := e.postback(foreign, hookID); s != "FAILURE" {
		t.Errorf("postback with a foreign certificate = %s", s)
	}
}

// Guards transmission ids: two endpoints and two events never share one.
func TestTransmissionIDs(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	rcv := newReceiver(t)
	for range 2 {
		e.control(200, "/webhooks/endpoints", `{"url":"`+rcv.srv.URL+`"}`)
	}
	e.paid("pay_1", "")
	e.advance(0)
	ids := map[string]bool{}
	got := rcv.take()
	for _, in := range got {
		ids[in.header.Get("Paypal-Transmission-Id")] = true
	}
	if len(got) != 6 || len(ids) != 6 {
		t.Errorf("%d deliveries, %d ids, want 6 of each", len(got), len(ids))
	}
}

// Guards that a sandbox makes its own chain when none is given, and that two differ.
func TestOwnChain(t *testing.T) {
	t.Parallel()
	e := newEnv(t, func(o *paypalapi.Options) { o.Chain = nil })
	shared, err := sharedChain()
	if err != nil {
		t.Fatal(err)
	}
	if root := e.fetch(e.srv.URL + "/_sandbox/ca.pem"); string(root) == string(shared.RootPEM()) || !strings.HasPrefix(string(root), "-----BEGIN CERTIFICATE") {
		t.Errorf("root = %s", root)
	}
}

// Guards webhooks registered through the API: an app sees and receives its own events
// only, of the types it asked for, until it deletes the webhook.
func TestRegisteredWebhooks(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	mine, other := newReceiver(t), newReceiver(t)
	path := "/v1/notifications/webhooks"
	hook := e.must(201, "POST", path, `{"url":"`+mine.srv.URL+`","event_types":[{"name":"PAYMENT.CAPTURE.COMPLETED"}]}`, nil)
	e.must(400, "POST", path, `{"url":"`+mine.srv.URL+`","event_types":[{"name":"*"}]}`, nil)
	e.must(400, "POST", path, `{"url":"ftp://x","event_types":[{"name":"*"}]}`, nil)
	a := e.token
	e.token = e.login("client-b")
	e.must(201, "POST", path, `{"url":"`+other.srv.URL+`","event_types":[{"name":"*"}]}`, nil)
	if got := e.must(200, "GET", path, "", nil); got.len("webhooks") != 1 || got.str("webhooks.0.url") != other.srv.URL {
		t.Errorf("client b's webhooks = %v", got)
	}
	e.must(404, "GET", path+"/"+hook.str("id"), "", nil)
	e.token = a
	e.must(200, "GET", path+"/"+hook.str("id"), "", nil)
	e.paid("pay_1", "")
	e.advance(0)
	got := mine.take()
	if len(got) != 1 || len(other.take()) != 0 {
		t.Fatalf("mine got %d", len(got))
	}
	if err := e.verify(got[0], hook.str("id")); err != nil {
		t.Error(err)
	}
	e.token = e.login("client-b")
	if got := e.must(200, "GET", path+"-events", "", nil); got.len("events") != 0 {
		t.Errorf("client b sees client a's events: %v", got)
	}
	e.token = a
	e.must(204, "DELETE", path+"/"+hook.str("id"), "", nil)
	e.must(404, "DELETE", path+"/"+hook.str("id"), "", nil)
	e.paid("pay_2", "")
	e.advance(0)
	if n := len(mine.take()); n != 0 {
		t.Errorf("a deleted webhook got %d events", n)
	}
}

// Guards backfill: dropped events are still listed, page by page, newest first, for 30
// days; any of them can be resent.
func TestEventList(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	rcv := newReceiver(t)
	e.control(200, "/webhooks/endpoints", `{"url":"`+rcv.srv.URL+`"}`)
	f := e.w.Faults()
	f.Webhooks.Drop = 1
	if err := e.w.SetFaults(f); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		e.paid(fmt.Sprintf("pay_%d", i), "")
		e.advance(time.Hour)
	}
	if n := len(rcv.take()); n != 0 {
		t.Fatalf("%d dropped events arrived", n)
	}
	path := "/v1/notifications/webhooks-events"
	var ids []string
	var last string
	for next := path + "?page_size=5"; next != ""; {
		got := e.must(200, "GET", strings.TrimPrefix(next, e.srv.URL), "", nil)
		for i := range got.len("events") {
			ids = append(ids, got.str("events."+fmt.Sprint(i)+".id"))
			if at := got.str("events." + fmt.Sprint(i) + ".create_time"); last != "" && at > last {
				t.Errorf("%s after %s", at, last)
			} else {
				last = at
			}
		}
		next = got.link("next")
	}
	if len(ids) != 12 {
		t.Fatalf("listed %d events, want 12", len(ids))
	}
	some := e.must(200, "GET", path+query("start_time", "2026-11-22T11:00:00Z", "end_time", "2026-11-22T12:59:00Z", "event_type", "PAYMENT.CAPTURE.COMPLETED"), "", nil)
	if some.len("events") != 2 || some.at("count") != 2.0 {
		t.Errorf("window = %v", some)
	}
	if got := e.must(200, "GET", path+"/"+ids[0], "", nil); got.str("id") != ids[0] || got.at("resource") == nil {
		t.Errorf("event = %v", got)
	}
	e.must(202, "POST", path+"/"+ids[0]+"/resend", "{}", nil)
	e.advance(0)
	if got := rcv.take(); len(got) != 1 || !strings.Contains(string(got[0].body), ids[0]) {
		t.Errorf("resent = %d", len(got))
	}
	e.must(404, "GET", path+"/WH-NO", "", nil)
	e.w.Advance(context.Background(), 30*24*time.Hour)
	e.token = e.login("client-a")
	if got := e.must(200, "GET", path, "", nil); got.len("events") != 0 {
		t.Errorf("after 30 days = %v", got)
	}
}
