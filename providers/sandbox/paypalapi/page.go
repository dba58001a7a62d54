package paypalapi

import (
	_ "embed" // the page
	"html/template"
	"net/http"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// pageView is what the approval page shows. Without a Token it is only a message.
type pageView struct {
	Title, Message         string
	Token, Brand           string
	Total, Currency        string
	Lines                  []pageLine
	Fundings               []pageFunding
	Declined, Again, Error bool
	BackURL                string
	BackLabel              string
}

type pageLine struct{ Name, Amount string }

type pageFunding struct {
	Value, Label, Hint string
	Checked            bool
}

// showRoot says to somebody who opens the bare address where they are.
func showRoot(rw http.ResponseWriter, _ *http.Request) {
	render(rw, http.StatusOK, pageView{Title: "The PayPal sandbox", Message: "Its API is under /v1 and /v2, its control API under /_sandbox."})
}

// showPage is GET /checkoutnow?token=ORDER: the page a shop sends its customer to.
func (s *server) showPage(rw http.ResponseWriter, r *http.Request) {
	s.w.RunDue()
	s.w.Lock()
	status, view := s.viewOf(r.URL.Query().Get("token"))
	s.w.Unlock()
	render(rw, status, view)
}

// viewOf decides what the page of an order shows now.
func (s *server) viewOf(token string) (int, pageView) {
	o := s.orders[token]
	switch {
	case o == nil:
		return http.StatusNotFound, pageView{Title: "Order not found", Message: "There is no such order. Please go back to the shop and start again."}
	case o.status == orderCompleted:
		return http.StatusOK, pageView{
			Title: "Already paid", Message: "This order is completed. Nothing more will be charged.",
			BackURL: withQuery(o.context.ReturnURL, "token", o.id), BackLabel: "Return to the shop",
		}
	case s.lapsed(o, s.w.Now()):
		return http.StatusGone, pageView{
			Title: "Order expired", Message: "This order has expired and nothing was charged. Please go back to the shop and start again.",
			BackURL: cancelURL(o), BackLabel: "Return to the shop",
		}
	}
	m := toMoney(o.total(), o.currency())
	v := pageView{
		Title: "Review your payment", Token: o.id, Brand: o.context.BrandName, Total: m.Value, Currency: m.CurrencyCode,
		Declined: o.declined, Again: o.status == orderApproved && !o.declined,
	}
	if v.Brand == "" {
		v.Brand = "Sandbox merchant"
	}
	for _, u := range o.units {
		v.Lines = append(v.Lines, unitLines(u)...)
	}
	for i, f := range fundings {
		v.Fundings = append(v.Fundings, pageFunding{f.Value, f.Label, f.Hint, i == 0})
	}
	return http.StatusOK, v
}

// unitLines lists a unit's items, or its description when it has none.
func unitLines(u *unit) []pageLine {
	var out []pageLine
	for _, it := range u.req.Items {
		line := pageLine{Name: it.Quantity + " × " + it.Name}
		if it.UnitAmount != nil {
			line.Amount = it.UnitAmount.Value + " " + it.UnitAmount.CurrencyCode
		}
		out = append(out, line)
	}
	if len(out) == 0 && u.req.Description != "" {
		m := toMoney(u.amount, u.currency)
		out = append(out, pageLine{u.req.Description, m.Value + " " + m.CurrencyCode})
	}
	return out
}

// postPage is the page's form: action "approve" with a funding, or "cancel".
func (s *server) postPage(rw http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(rw, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		render(rw, http.StatusBadRequest, pageView{Title: "Unreadable form", Message: "Please go back and try again."})
		return
	}
	s.w.RunDue()
	s.w.Lock()
	to, status, view := s.choose(r.PostForm.Get("token"), r.PostForm.Get("action"), r.PostForm.Get("funding"))
	s.w.Unlock()
	if to != "" {
		http.Redirect(rw, r, to, http.StatusSeeOther) //nolint:gosec // the URL that the merchant's order named
		return
	}
	render(rw, status, view)
}

// choose does what the buyer chose: a place to go, or a page.
func (s *server) choose(token, action, funding string) (string, int, pageView) {
	o, bad := s.openOrder(token)
	if bad != nil {
		status, view := s.viewOf(token)
		return "", status, view
	}
	if action == "cancel" {
		return cancelURL(o), http.StatusOK, pageView{Title: "Cancelled", Message: "You did not pay. You can close this page."}
	}
	for _, f := range fundings {
		if action == "approve" && f.Value == funding {
			return s.approve(o, funding), http.StatusOK, pageView{Title: "Approved", Message: "Thank you. The shop will now complete the payment; you can close this page."}
		}
	}
	_, view := s.viewOf(token)
	view.Error = true
	return "", http.StatusUnprocessableEntity, view
}

func render(rw http.ResponseWriter, status int, view pageView) {
	sandbox.WritePage(rw, status, pageTemplate, view)
}
