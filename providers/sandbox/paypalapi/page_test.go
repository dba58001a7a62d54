package paypalapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// page opens the approval page.
func (e *env) page(token string) (int, string) {
	e.t.Helper()
	req, err := http.NewRequest(http.MethodGet, e.srv.URL+"/checkoutnow?token="+url.QueryEscape(token), nil)
	if err != nil {
		e.t.Fatal(err)
	}
	resp, body := e.send(req)
	if resp.Header.Get("Content-Security-Policy") == "" || resp.Header.Get("Cache-Control") != "no-store" {
		e.t.Errorf("page headers = %v", resp.Header)
	}
	return resp.StatusCode, string(body)
}

// press submits its form and answers where the browser is sent.
func (e *env) press(token, action, funding string) (int, string) {
	e.t.Helper()
	form := url.Values{"token": {token}, "action": {action}, "funding": {funding}}
	req, err := http.NewRequest(http.MethodPost, e.srv.URL+"/checkoutnow", strings.NewReader(form.Encode()))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, _ := e.send(req)
	return resp.StatusCode, resp.Header.Get("Location")
}

// Guards what people see and press: merchant, amount, the sandbox note, no script;
// cancel, a declined card, another choice on the same order, payment, a finished order.
func TestApprovalPage(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	id := e.order("CAPTURE", "pay_1", "")
	status, html := e.page(id)
	for _, part := range []string{"Fish &amp; Chips", "10.00 USD", "A thing &amp; more", "No real money moves", `value="declined"`, "Pay now", "Cancel and return", `name="viewport"`, `<html lang="en">`} {
		if status != 200 || !strings.Contains(html, part) {
			t.Errorf("page %d lacks %q", status, part)
		}
	}
	if strings.Contains(html, "<script") || strings.Contains(html, "was declined") {
		t.Error("page has a script or a decline")
	}
	if status, to := e.press(id, "cancel", ""); status != 303 || to != "https://shop.example.com/no?token="+id {
		t.Errorf("cancel: %d %q", status, to)
	}
	if status, _ := e.press(id, "approve", "gold"); status != 422 {
		t.Errorf("unknown funding: %d", status)
	}
	if status, to := e.press(id, "approve", "declined"); status != 303 || !strings.HasPrefix(to, "https://shop.example.com/back?x=1&token="+id+"&PayerID=") {
		t.Errorf("approve: %d %q", status, to)
	}
	e.refused(422, "INSTRUMENT_DECLINED", "POST", "/v2/checkout/orders/"+id+"/capture", "", e.nextKey())
	if _, html := e.page(id); !strings.Contains(html, `role="alert"`) || !strings.Contains(html, "was declined") || !strings.Contains(html, "Pay now") {
		t.Error("the page does not offer another choice after a decline")
	}
	e.press(id, "approve", "completed")
	e.must(201, "POST", "/v2/checkout/orders/"+id+"/capture", "", e.nextKey())
	if status, html := e.page(id); status != 200 || strings.Contains(html, "Pay now") || !strings.Contains(html, "Already paid") {
		t.Errorf("page of a paid order: %d", status)
	}
	if status, to := e.press(id, "approve", "completed"); status != 200 || to != "" {
		t.Errorf("pressing again: %d %q", status, to)
	}
}

// Guards the dead ends: an expired order and an unknown one have clear pages.
func TestDeadPages(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	id := e.order("CAPTURE", "pay_1", "")
	e.advance(3 * time.Hour)
	if status, html := e.page(id); status != http.StatusGone || !strings.Contains(html, "Order expired") || !strings.Contains(html, "https://shop.example.com/no?token="+id) {
		t.Errorf("expired page: %d %s", status, html)
	}
	if status, to := e.press(id, "approve", "completed"); status != http.StatusGone || to != "" {
		t.Errorf("approving an expired order: %d %q", status, to)
	}
	if status, html := e.page("<b>"); status != http.StatusNotFound || strings.Contains(html, "<b>") {
		t.Errorf("unknown page: %d", status)
	}
}
