package stripeapi

import (
	"embed"
	"html/template"
	"net/http"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

//go:embed page.html
var pageFS embed.FS

var pageTemplate = template.Must(template.ParseFS(pageFS, "page.html"))

// view is what the hosted page shows. Exactly one of Form, Challenge and Notice is
// set.
type view struct {
	W         words
	Amount    string
	Lines     []line
	Error     string
	Form      bool
	Challenge bool
	Notice    string
	Action    string // where forms post to
	BackTo    string // where Back posts to; empty without a cancel_url
	Shop      string // link on a notice
	Promotion bool
	Email     string
	Card      string
	Cards     []cardHint
}

type line struct{ Name, Detail, Amount string }

type cardHint struct{ Number, Does string }

// cardHints are the test cards that the page explains.
var cardHints = []cardHint{
	{"4242 4242 4242 4242", "succeeds"},
	{"4000 0000 0000 0002", "is declined"},
	{"4000 0000 0000 9995", "is declined: insufficient funds"},
	{"4000 0027 6000 3184", "asks for 3-D Secure"},
	{"4000 0084 0000 1629", "asks for 3-D Secure, then is declined"},
	{"4000 0000 0000 0259", "succeeds, then is disputed"},
	{"4000 0000 0000 5423", "succeeds, then an early fraud warning"},
	{"4000 0000 0000 5126", "succeeds; a refund of it fails later"},
}

func (a *API) pageRoutes() {
	a.mux.HandleFunc("GET /c/pay/{id}", a.showPage)
	a.mux.HandleFunc("POST /c/pay/{id}", a.submitPage)
	a.mux.HandleFunc("POST /c/pay/{id}/back", a.leavePage)
	a.mux.HandleFunc("GET /c/authenticate/{id}", a.showChallenge)
	a.mux.HandleFunc("POST /c/authenticate/{id}", a.answerChallenge)
	a.mux.HandleFunc("GET /{$}", func(rw http.ResponseWriter, r *http.Request) {
		render(rw, http.StatusOK, view{W: wordsFor(nil, r), Notice: "This is the Stripe sandbox. Its API is under /v1, its control API under /_sandbox."})
	})
}

func render(rw http.ResponseWriter, status int, v view) {
	sandbox.WritePage(rw, status, pageTemplate, v)
}

// onPage finds the session under the lock, lets what is due lapse first, and runs do.
func (a *API) onPage(rw http.ResponseWriter, r *http.Request, do func(s *session) func()) {
	a.w.RunDue()
	a.w.Lock()
	s := a.sessions.byID[r.PathValue("id")]
	var answer func()
	if s == nil {
		v := view{W: wordsFor(nil, r), Notice: "There is no such checkout."}
		answer = func() { render(rw, http.StatusNotFound, v) }
	} else {
		answer = do(s)
	}
	a.w.Unlock()
	answer()
}

// pageOf describes a session for the page.
func pageOf(s *session, r *http.Request) view {
	v := view{
		W: wordsFor(s, r), Amount: display(s.total(), s.currency), Action: "/c/pay/" + s.id, Card: "4242 4242 4242 4242",
		Email: s.form.get("customer_email"), Cards: cardHints, Promotion: s.form.flag("allow_promotion_codes") && s.intent == nil,
	}
	if v.Email == "" {
		v.Email = s.email
	}
	if s.form.get("cancel_url") != "" {
		v.BackTo = v.Action + "/back"
	}
	for _, it := range s.items {
		l := line{Name: it.name, Detail: it.description, Amount: display(it.unit*it.quantity, s.currency)}
		if it.quantity > 1 {
			l.Name = decimal(it.quantity) + " × " + it.name
		}
		v.Lines = append(v.Lines, l)
	}
	for _, extra := range []struct {
		name string
		sum  int64
	}{{"Shipping", s.shipping}, {"Tax", s.tax}, {"Discount −", s.discount}} {
		if extra.sum > 0 {
			v.Lines = append(v.Lines, line{Name: extra.name, Amount: display(extra.sum, s.currency)})
		}
	}
	switch s.status {
	case "open":
		v.Form = true
	case "complete":
		v.Notice, v.Shop = v.W.Done, s.successURL()
	default:
		v.Notice, v.Shop = v.W.Expired, s.form.get("cancel_url")
	}
	return v
}

func (a *API) showPage(rw http.ResponseWriter, r *http.Request) {
	a.onPage(rw, r, func(s *session) func() {
		v, status := pageOf(s, r), http.StatusOK
		if s.status == "expired" {
			status = http.StatusGone
		}
		return func() { render(rw, status, v) }
	})
}

func (a *API) submitPage(rw http.ResponseWriter, r *http.Request) {
	if !parsePageForm(rw, r) {
		return
	}
	a.onPage(rw, r, func(s *session) func() {
		if s.status != "open" {
			v := pageOf(s, r)
			return func() { render(rw, http.StatusConflict, v) }
		}
		fail := a.submit(s, submission{
			card: r.PostForm.Get("card"), asyncMethod: r.PostForm.Get("method") == "bank",
			promotion: r.PostForm.Get("promotion_code"), email: r.PostForm.Get("email"), name: r.PostForm.Get("name"),
		})
		return a.afterSubmit(rw, r, s, fail)
	})
}

// afterSubmit sends the buyer on, to the challenge, or back to the form.
func (a *API) afterSubmit(rw http.ResponseWriter, r *http.Request, s *session, fail *apiError) func() {
	if fail != nil {
		v := pageOf(s, r)
		v.Error = fail.msg
		if card := r.PostForm.Get("card"); card != "" {
			v.Card = card
		}
		return func() { render(rw, http.StatusPaymentRequired, v) }
	}
	to := s.successURL()
	if s.status == "open" {
		to = s.intent.nextURL
	}
	return func() { redirect(rw, to) }
}

// redirect is a 303 that leaves the address as it is given.
func redirect(rw http.ResponseWriter, to string) {
	rw.Header().Set("Location", to)
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(http.StatusSeeOther)
}

func (a *API) leavePage(rw http.ResponseWriter, r *http.Request) {
	a.onPage(rw, r, func(s *session) func() {
		to := s.form.get("cancel_url")
		if to == "" {
			to = s.url
		}
		return func() { redirect(rw, to) }
	})
}

// challenged finds an intent that waits for its buyer; else a notice is shown.
func (a *API) challenged(rw http.ResponseWriter, r *http.Request, do func(p *intent) func()) {
	a.w.RunDue()
	a.w.Lock()
	p := a.intents.byID[r.PathValue("id")]
	var answer func()
	switch {
	case p == nil:
		v := view{W: wordsFor(nil, r), Notice: "There is no such payment."}
		answer = func() { render(rw, http.StatusNotFound, v) }
	case p.status != "requires_action" || p.session != nil && p.session.status != "open":
		v := view{W: wordsFor(p.session, r), Notice: "There is nothing to authenticate here any more."}
		if p.session != nil {
			v.Shop = "/c/pay/" + p.session.id
		}
		answer = func() { render(rw, http.StatusConflict, v) }
	default:
		answer = do(p)
	}
	a.w.Unlock()
	answer()
}

func (a *API) showChallenge(rw http.ResponseWriter, r *http.Request) {
	a.challenged(rw, r, func(p *intent) func() {
		v := view{W: wordsFor(p.session, r), Challenge: true, Amount: display(p.amount, p.currency), Action: "/c/authenticate/" + p.id}
		return func() { render(rw, http.StatusOK, v) }
	})
}

func (a *API) answerChallenge(rw http.ResponseWriter, r *http.Request) {
	if !parsePageForm(rw, r) {
		return
	}
	a.challenged(rw, r, func(p *intent) func() {
		outcome := "fail"
		if r.PostForm.Get("outcome") == "pass" {
			outcome = "pass"
		}
		fail := a.attempt(p, p.method, outcome, false)
		if p.session != nil {
			return a.afterSubmit(rw, r, p.session, fail)
		}
		if to := p.param("return_url"); to != "" {
			return func() { redirect(rw, to) }
		}
		v := view{W: wordsFor(nil, r), Notice: "Done: the payment is " + p.status + "."}
		return func() { render(rw, http.StatusOK, v) }
	})
}

// parsePageForm reads a small form; false if it answered already.
func parsePageForm(rw http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(rw, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		render(rw, http.StatusBadRequest, view{W: wordsFor(nil, r), Notice: "The form could not be read."})
		return false
	}
	return true
}
