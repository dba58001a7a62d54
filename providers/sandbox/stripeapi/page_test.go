package stripeapi_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
)

// browser sends forms and does not follow redirects, so that tests see them.
func (r *rig) browser(method, path string, form url.Values, lang string) (int, string, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept-Language", lang)
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Location"), string(b)
}

// page is a session's page as a path.
func (r *rig) page(s *stripe.CheckoutSession) string {
	r.t.Helper()
	path, ok := strings.CutPrefix(s.URL, r.url)
	if !ok {
		r.t.Fatalf("session url %q is not on %q", s.URL, r.url)
	}
	return path
}

// A person sees what they pay, in labelled fields on a small screen without scripts,
// and pays with a 303 to the shop.
func TestHostedPagePays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.session(nil)
	code, _, html := r.browser("GET", r.page(s), nil, "en")
	if code != 200 {
		t.Fatal(code)
	}
	for _, part := range []string{
		"20.00 USD", "2 × Tea", "10.00 USD", "Cup", `name="viewport"`, `<label for="card">`, `<label for="cvc">`,
		`<label for="expiry">`, "Sandbox", "4000 0000 0000 0002", "4242 4242 4242 4242", ">Back<", `lang="en"`,
	} {
		if !strings.Contains(html, part) {
			t.Errorf("page lacks %q", part)
		}
	}
	if strings.Contains(html, "<script") {
		t.Error("page has a script")
	}
	code, to, _ := r.browser("POST", r.page(s), url.Values{"card": {"4242 4242 4242 4242"}, "email": {"a@example.com"}}, "en")
	if want := "http://127.0.0.1:9/ok?s=" + s.ID; code != 303 || to != want {
		t.Errorf("%d %q, want 303 %q", code, to, want)
	}
	if pi := r.intentOf(s.ID); pi.Status != "succeeded" {
		t.Errorf("%+v", pi)
	}
	if got, err := r.sc.CheckoutSessions.Get(s.ID, nil); err != nil || got.CustomerDetails.Email != "a@example.com" {
		t.Errorf("%+v %v", got, err)
	}
	if code, _, html = r.browser("GET", r.page(s), nil, "en"); code != 200 || !strings.Contains(html, "already paid") || strings.Contains(html, "<form") {
		t.Errorf("paid page: %d", code)
	}
	if code, _, _ = r.browser("POST", r.page(s), url.Values{"card": {"4242424242424242"}}, "en"); code != 409 || len(r.ledger("capture")) != 1 {
		t.Errorf("paying twice on the page: %d", code)
	}
}

// A decline is announced on the page, which stays usable; Back leads to the shop.
func TestHostedPageDeclineAndBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.session(nil)
	code, _, html := r.browser("POST", r.page(s), url.Values{"card": {"4000 0000 0000 9995"}}, "en")
	if code != 402 || !strings.Contains(html, `role="alert"`) || !strings.Contains(html, "insufficient funds") || !strings.Contains(html, "<form") {
		t.Errorf("%d %s", code, html)
	}
	code, to, _ := r.browser("POST", r.page(s)+"/back", nil, "en")
	if code != 303 || to != "http://127.0.0.1:9/back" {
		t.Errorf("%d %s", code, to)
	}
	if got, err := r.sc.CheckoutSessions.Get(s.ID, nil); err != nil || got.Status != "open" {
		t.Errorf("%+v %v", got, err)
	}
	var out map[string]string
	if code := r.post("/_sandbox/checkout/"+s.ID+"/cancel", "", &out); code != 200 || out["redirect_url"] != "http://127.0.0.1:9/back" {
		t.Errorf("%d %v", code, out)
	}
}

// 3-D Secure cards lead to a challenge page; both its buttons do what they say.
func TestHostedPageChallenge(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.session(nil)
	challenge := func() string {
		code, to, _ := r.browser("POST", r.page(s), url.Values{"card": {"4000002760003184"}}, "en")
		path, ok := strings.CutPrefix(to, r.url)
		if code != 303 || !ok {
			t.Fatalf("%d %q", code, to)
		}
		return path
	}
	path := challenge()
	code, _, html := r.browser("GET", path, nil, "en")
	if code != 200 || !strings.Contains(html, "Complete authentication") || !strings.Contains(html, "Fail authentication") || !strings.Contains(html, "20.00 USD") {
		t.Fatalf("%d %s", code, html)
	}
	if len(r.ledger("capture")) != 0 {
		t.Error("charged before the challenge")
	}
	code, _, html = r.browser("POST", path, url.Values{"outcome": {"fail"}}, "en")
	if code != 402 || !strings.Contains(html, `role="alert"`) {
		t.Errorf("%d %s", code, html)
	}
	if code, _, _ = r.browser("GET", path, nil, "en"); code != 409 {
		t.Errorf("an answered challenge: %d", code)
	}
	code, to, _ := r.browser("POST", challenge(), url.Values{"outcome": {"pass"}}, "en")
	if code != 303 || !strings.Contains(to, s.ID) || r.intentOf(s.ID).Status != "succeeded" {
		t.Errorf("%d %s", code, to)
	}
}

// An expired session can't be paid on its page, nor through a challenge left open.
func TestHostedPageExpired(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.session(nil)
	_, to, _ := r.browser("POST", r.page(s), url.Values{"card": {"4000002760003184"}}, "en")
	r.advance(24 * time.Hour)
	code, _, html := r.browser("GET", r.page(s), nil, "en")
	if code != 410 || !strings.Contains(html, "expired") || strings.Contains(html, "<form") {
		t.Errorf("%d %s", code, html)
	}
	if code, _, _ = r.browser("POST", strings.TrimPrefix(to, r.url), url.Values{"outcome": {"pass"}}, "en"); code != 409 {
		t.Errorf("late challenge: %d", code)
	}
	if len(r.ledger("capture")) != 0 {
		t.Error("an expired session took money")
	}
	if code, _, _ = r.browser("GET", "/c/pay/cs_none", nil, "en"); code != 404 {
		t.Errorf("unknown session: %d", code)
	}
}

// The page speaks the session's language, else the browser's, and shows what a
// shop typed as text, never as markup.
func TestHostedPageLanguageAndEscaping(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	german := r.session(func(p *stripe.CheckoutSessionParams) {
		p.Locale = stripe.String("de")
		p.LineItems[0].PriceData.ProductData.Name = stripe.String(`<b onclick=x>"Tee"</b>`)
	})
	_, _, html := r.browser("GET", r.page(german), nil, "fr")
	if !strings.Contains(html, "Bezahlen") || !strings.Contains(html, "Zurück") || strings.Contains(html, "<b onclick") {
		t.Error(html)
	}
	auto := r.session(nil)
	for lang, word := range map[string]string{"fr-FR,fr;q=0.9": "Payer", "es": "Pagar", "it,en": "Paga", "xx": ">Pay "} {
		if _, _, html := r.browser("GET", r.page(auto), nil, lang); !strings.Contains(html, word) {
			t.Errorf("%s: no %q", lang, word)
		}
	}
}
