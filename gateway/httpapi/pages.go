package httpapi

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed" // the pages
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

//go:embed pages/page.html
var pageHTML string

//go:embed pages/docs.html
var docsHTML string

//go:embed pages/style.css
var styleCSS string

// pages are the parsed templates and the policy under which they are shown.
type pages struct {
	page  *template.Template
	docs  *template.Template
	style template.CSS
	csp   string
}

func newPages() *pages {
	sum := sha256.Sum256([]byte(styleCSS))
	return &pages{
		page:  template.Must(template.New("page").Parse(pageHTML)),
		docs:  template.Must(template.New("docs").Parse(docsHTML)),
		style: template.CSS(styleCSS), //nolint:gosec // G203: our own file, no input in it
		csp: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; " +
			"base-uri 'none'; frame-ancestors 'none'",
	}
}

// pageData is what one page shows. Everything in it is text for the template to
// escape.
type pageData struct {
	Lang, Title, Heading, Alert, Message string
	Amount                               *amountText
	Facts                                []namedText
	Choose, Leaves, Action, Token        string
	Buttons                              []button
	Link, LinkText, Hint                 string
	Style                                template.CSS
}

type namedText struct{ Name, Value string }

type button struct{ Provider, Label string }

// write sends a page under a policy that lets it do nothing but show itself and
// post its forms.
func (p *pages) write(c *gin.Context, status int, t *template.Template, data any, formAction string) error {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return fmt.Errorf("httpapi: page: %w", err)
	}
	c.Header("Content-Security-Policy", p.csp+"; form-action "+formAction)
	c.Header("X-Frame-Options", "DENY")
	c.Header("X-Robots-Tag", "noindex")
	c.Data(status, "text/html; charset=utf-8", b.Bytes())
	return nil
}

// formAction is where forms of a payment's page may lead. Chromium applies it to
// the redirect after the post too, and where providers' pages are (also under
// domains of the merchant's own) is for adapters to know: so any https page, and
// in test mode plain http, where sandboxes live.
func formAction(mode payment.Mode) string {
	if mode == payment.ModeTest {
		return "'self' https: http:"
	}
	return "'self' https:"
}

// show writes a page about a payment, or about nothing we know (p nil).
func (a *api) show(c *gin.Context, status int, p *payment.Payment, data pageData) {
	mode := payment.ModeLive
	if p != nil {
		mode = p.Mode
	}
	data.Style = a.pages.style
	if data.Title == "" {
		data.Title = data.Heading
	}
	if err := a.pages.write(c, status, a.pages.page, data, formAction(mode)); err != nil {
		a.fail(c, err)
	}
}

// showError ends a page request with an error in the customer's language.
func (a *api) showError(c *gin.Context, err error) {
	e := asProblem(err)
	a.logFailure(c, e)
	lang := language("", c.GetHeader("Accept-Language"))
	words := languages[lang]
	kind := kindOf(e.Code)
	data := pageData{Lang: lang, Heading: words.ErrorTitle, Message: words.Error}
	if e.Code == payment.CodeNotFound {
		data.Heading, data.Message = words.NotFoundTitle, words.NotFound
	}
	if kind.RetryAfter != "" {
		c.Header("Retry-After", kind.RetryAfter)
	}
	a.show(c, kind.Status, nil, data)
}

// customerParams are the payment's id and the customer's token; what can't be
// right is not found, without asking the store.
func customerParams(c *gin.Context, token string) (id, t string, err error) {
	id, err = idParam(c, "pay")
	if err != nil || token == "" || len(token) > 200 {
		return "", "", notFoundError()
	}
	return id, token, nil
}

// payPage shows where and how to pay, or how the payment stands.
func (a *api) payPage(c *gin.Context) {
	id, t, err := customerParams(c, c.Query("t"))
	if err != nil {
		a.showError(c, err)
		return
	}
	p, choices, err := a.svc.Choices(c.Request.Context(), id, t)
	if err != nil {
		a.showError(c, err)
		return
	}
	a.showPayment(c, http.StatusOK, p, choices, "")
}

// payChoose is the form's post: the customer chose how to pay.
func (a *api) payChoose(c *gin.Context) {
	raw, err := readBody(c, "application/x-www-form-urlencoded", maxBody)
	if err != nil {
		a.showError(c, err)
		return
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		a.showError(c, malformed("", "must be a form"))
		return
	}
	id, t, err := customerParams(c, form.Get("t"))
	if err != nil {
		a.showError(c, err)
		return
	}
	ctx := c.Request.Context()
	target, _, err := a.svc.Choose(ctx, id, t, form.Get("provider"))
	if err == nil {
		a.redirect(c, target)
		return
	}
	e := asProblem(err)
	if e.Code == payment.CodeNotFound {
		a.showError(c, err)
		return
	}
	p, choices, readErr := a.svc.Choices(ctx, id, t)
	if readErr != nil {
		a.showError(c, readErr)
		return
	}
	a.logFailure(c, e)
	words := languages[pageLanguage(c, p)]
	switch {
	case p.Status() != payment.StatusRequiresAction: // paid or closed meanwhile: how it stands is the answer
		a.showPayment(c, http.StatusOK, p, choices, "")
	case e.Code == payment.CodeConflict:
		a.showPayment(c, http.StatusConflict, p, choices, words.Busy)
	case e.Code == payment.CodeDeclined:
		a.showPayment(c, http.StatusPaymentRequired, p, choices, words.Declined)
	case e.Code == payment.CodeInvalid || e.Code == payment.CodeUnsupported:
		a.showPayment(c, http.StatusUnprocessableEntity, p, choices, words.Error)
	case kindOf(e.Code).Code == payment.CodeInternal:
		a.showPayment(c, http.StatusInternalServerError, p, choices, words.Error)
	default:
		c.Header("Retry-After", "5")
		a.showPayment(c, http.StatusServiceUnavailable, p, choices, words.Unavailable)
	}
}

func pageLanguage(c *gin.Context, p *payment.Payment) string {
	return language(p.Request.Locale, c.GetHeader("Accept-Language"))
}

// redirect sends a browser on. Only web pages are led to, whatever a store or a
// provider said.
func (a *api) redirect(c *gin.Context, target string) {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		a.showError(c, errors.New("httpapi: a redirect that leads to no web page"))
		return
	}
	c.Header("Location", target) // no body: one would repeat the URL, and a token may stand in it
	c.Status(http.StatusSeeOther)
	c.Writer.WriteHeaderNow()
}

// showPayment shows how a payment stands, with buttons while it can be paid.
func (a *api) showPayment(c *gin.Context, status int, p *payment.Payment, choices []gateway.Choice, alert string) {
	lang := pageLanguage(c, p)
	words := languages[lang]
	merchant := a.opts.BrandName
	if merchant == "" {
		merchant = p.App
	}
	amount := formatAmount(p.Facts.Terms.Amount, lang)
	data := pageData{Lang: lang, Alert: alert, Amount: &amount, Choose: words.Choose, Action: "/pay/" + p.ID, Token: p.Token}
	data.Title = fmt.Sprintf(words.PayTo, merchant)
	if p.Request.Reference != "" {
		data.Facts = append(data.Facts, namedText{words.Reference, p.Request.Reference})
	}
	if p.Request.Description != "" {
		data.Facts = append(data.Facts, namedText{words.Description, p.Request.Description})
	}
	if p.Mode == payment.ModeTest {
		data.Hint = words.TestMode
	}
	outcome := "cancel"
	switch p.Status() {
	case payment.StatusRequiresAction:
		a.offer(p, lang, choices, &data, merchant)
	case payment.StatusSucceeded, payment.StatusAuthorized:
		data.Heading, data.Message, outcome = words.PaidTitle, words.Paid, "success"
	case payment.StatusProcessing, payment.StatusConflicted:
		data.Heading, data.Message, outcome = words.CheckingTitle, words.Checking, "success"
	case payment.StatusExpired:
		data.Heading, data.Message = words.ExpiredTitle, words.Expired
	case payment.StatusCanceled:
		data.Heading, data.Message = words.CanceledTitle, words.Canceled
	case payment.StatusFailed:
		data.Heading, data.Message = words.FailedTitle, words.Failed
	}
	data.LinkText = fmt.Sprintf(words.Back, merchant)
	data.Link = "/v1/return/" + p.ID + "?" + url.Values{"t": {p.Token}, "outcome": {outcome}}.Encode()
	a.show(c, status, p, data)
}

// offer fills in the buttons of a payment that can be paid.
func (a *api) offer(p *payment.Payment, lang string, choices []gateway.Choice, data *pageData, merchant string) {
	words := languages[lang]
	data.Heading = fmt.Sprintf(words.PayTo, merchant)
	if len(choices) == 0 {
		data.Alert = words.NoWay
		return
	}
	if data.Alert == "" && p.Failure() != (payment.Failure{}) {
		data.Alert = words.Declined
	}
	data.Leaves = words.Leaves
	for _, choice := range choices {
		data.Buttons = append(data.Buttons, button{Provider: choice.Provider, Label: fmt.Sprintf(words.PayWith, cmp.Or(choice.Labels[lang], choice.Label))})
	}
}

// returnedWire is the answer to a return for programs.
type returnedWire struct {
	RedirectTo *string     `json:"redirect_to"`
	Payment    paymentWire `json:"payment"`
}

// returned is where providers send the customer back to.
func (a *api) returned(c *gin.Context) {
	asJSON := wantsJSON(c.GetHeader("Accept"))
	end := a.showError
	if asJSON {
		end = a.fail
	}
	id, t, err := customerParams(c, c.Query("t"))
	if err != nil {
		end(c, err)
		return
	}
	n, err := strconv.Atoi(c.Query("attempt"))
	if err != nil || n < 0 {
		n = 0 // a hint only: without it the newest attempt counts
	}
	target, p, err := a.svc.Returned(c.Request.Context(), id, t, c.Query("outcome"), n)
	switch {
	case err != nil:
		end(c, err)
	case asJSON:
		if err := a.json(c, http.StatusOK, returnedWire{RedirectTo: opt(target), Payment: a.payment(p)}); err != nil {
			a.fail(c, err)
		}
	case target == "":
		lang := pageLanguage(c, p)
		a.show(c, http.StatusOK, p, pageData{Lang: lang, Heading: languages[lang].DoneTitle, Message: languages[lang].Done})
	default:
		a.redirect(c, target)
	}
}

// wantsJSON says whether a program asks: browsers name text/html.
func wantsJSON(accept string) bool {
	accept = strings.ToLower(accept) // RFC 9110, 8.3.1: media types know no case
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}
