package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stripe/stripe-mock/embedded"
)

func testServer(t *testing.T) *httptest.Server {
	t.Helper()
	if err := silenceStdout(); err != nil {
		t.Fatal(err)
	}
	h, err := newHandler()
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func send(t *testing.T, method, url, contentType, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer sk_test_123")
	req.Header.Set("Stripe-Version", "2023-10-16")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if err := resp.Write(&b); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}

// Promise: with -exit-on-stdin-eof the judge ends with its parent, and without
// complaint; before that it serves.
func TestEndsWithStdin(t *testing.T) {
	in, parent := io.Pipe()
	said, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(t.Context(), []string{"-addr", "127.0.0.1:0", "-exit-on-stdin-eof"}, in, out, io.Discard)
	}()
	line, err := bufio.NewReader(said).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("%q %v", line, err)
	}
	if code, body := send(t, "GET", "http://"+addr+"/v1/charges/ch_1", "", ""); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	select {
	case err := <-done:
		t.Fatalf("ended early: %v", err)
	default:
	}
	if err := parent.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Promise: a request the provider would refuse is refused here, and a good one
// is answered.
func TestRequestsAreJudged(t *testing.T) {
	srv := testServer(t)
	form := "application/x-www-form-urlencoded"
	good := "mode=payment&success_url=http%3A%2F%2Fx&line_items[0][quantity]=1&line_items[0][price_data][currency]=usd" +
		"&line_items[0][price_data][unit_amount]=1999&line_items[0][price_data][product_data][name]=Tent"
	if code, body := send(t, "POST", srv.URL+"/v1/checkout/sessions", form, good); code != 200 {
		t.Fatalf("valid request: %d %s", code, body)
	}
	for name, body := range map[string]string{
		"unknown parameter": good + "&bogus=1",
		"bad enum":          strings.Replace(good, "mode=payment", "mode=gift", 1),
		"bad integer":       strings.Replace(good, "=1999", "=19.99", 1),
	} {
		if code, _ := send(t, "POST", srv.URL+"/v1/checkout/sessions", form, body); code != 400 {
			t.Errorf("%s: status %d, want 400", name, code)
		}
	}
}

// Promise: an answer the document does not describe is refused with the place.
func TestResponsesAreJudged(t *testing.T) {
	srv := testServer(t)
	_, raw := send(t, "GET", srv.URL+"/v1/refunds/re_1", "", "")
	refund := raw[strings.Index(raw, "{"):]
	refund = refund[:strings.LastIndex(refund, "}")+1]
	url := srv.URL + "/_validate_response?method=GET&path=/v1/refunds/re_1"
	if code, body := send(t, "POST", url, "application/json", refund); code != 200 {
		t.Fatalf("stripe-mock's own answer: %d %s", code, body)
	}
	for name, c := range map[string]struct{ change, want string }{
		"float amount":  {`"amount": 1.5`, "/amount"},
		"null amount":   {`"amount": null`, "/amount"},
		"unknown field": {`"amount": 1, "bogus": 2`, "/bogus"},
	} {
		var m map[string]any
		if err := json.Unmarshal([]byte(refund), &m); err != nil {
			t.Fatal(err)
		}
		delete(m, "amount")
		rest, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		code, body := send(t, "POST", url, "application/json", "{"+c.change+","+string(rest[1:]))
		if code != 422 || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if code, _ := send(t, "POST", url+"x/y/z", "application/json", refund); code != 422 {
		t.Errorf("unknown path: %d, want 422", code)
	}
	errURL := srv.URL + "/_validate_response?method=GET&status=404&path=/v1/refunds/re_1"
	if code, body := send(t, "POST", errURL, "application/json", `{"error":{"type":"invalid_request_error"}}`); code != 200 {
		t.Errorf("error body: %d %s", code, body)
	}
}

// Promise: the validator agrees with Stripe's own example objects, so that what
// it refuses is wrong and not merely unusual.
func TestFixturesAreValid(t *testing.T) {
	doc, err := parseDocument(embedded.OpenAPISpec)
	if err != nil {
		t.Fatal(err)
	}
	var fx struct {
		Resources map[string]any `json:"resources"`
	}
	dec := json.NewDecoder(strings.NewReader(string(embedded.OpenAPIFixtures)))
	dec.UseNumber()
	if err := dec.Decode(&fx); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"charge", "payment_intent", "checkout.session", "refund", "dispute", "balance_transaction",
		"customer", "event", "invoice", "subscription", "transfer", "payout", "setup_intent", "account",
	} {
		if fx.Resources[name] == nil {
			t.Errorf("no fixture for %s", name)
			continue
		}
		reasons := doc.check(doc.Components.Schemas[name], fx.Resources[name], "")
		if len(reasons) > 0 {
			t.Errorf("%s: %v", name, reasons)
		}
	}
}
