package shop

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// paymentView is what the shop reads of a payment. Clients ignore fields they
// do not know.
type paymentView struct {
	ID        string `json:"id"`
	Status    string `json:"status"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	Provider  string `json:"provider"`
	SettledBy string `json:"settled_by"`
	Checkout  *struct {
		URL string `json:"url"`
	} `json:"checkout"`
	Amounts struct {
		Captured      moneyView `json:"captured"`
		Capturable    moneyView `json:"capturable"`
		Refunded      moneyView `json:"refunded"`
		RefundPending moneyView `json:"refund_pending"`
		Refundable    moneyView `json:"refundable"`
		Disputed      moneyView `json:"disputed"`
	} `json:"amounts"`
	Refunds []struct {
		ID     string `json:"id"`
		Amount int64  `json:"amount"`
		Status string `json:"status"`
	} `json:"refunds"`
	Failure *struct {
		Code        string `json:"code"`
		DeclineCode string `json:"decline_code"`
		Message     string `json:"message"`
	} `json:"failure"`
}

// moneyView is an amount in minor units.
type moneyView struct {
	Amount int64 `json:"amount"`
}

type historyView struct {
	Data []struct {
		At     time.Time                 `json:"at"`
		Layer  string                    `json:"layer"`
		Reason string                    `json:"reason"`
		Actor  struct{ Type, ID string } `json:"actor"`
		After  struct{ Status string }   `json:"after"`
		Before struct{ Status string }   `json:"before"`
	} `json:"data"`
}

func (s *Shop) catalogue(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, http.StatusOK, "catalogue.html", map[string]any{"Products": products(), "OrderID": s.opts.NewID()})
}

// buy makes an order and its payment. The order's id comes with the form, so
// that a double click is one order and one payment.
func (s *Shop) buy(w http.ResponseWriter, r *http.Request) {
	id := r.PostFormValue("order")
	i := slices.IndexFunc(products(), func(p product) bool { return p.ID == r.PostFormValue("product") })
	if i < 0 || len(id) < 8 || len(id) > 64 {
		s.fail(w, r, http.StatusBadRequest, "There is no such product.")
		return
	}
	p := products()[i]
	id = "order-" + strings.ToLower(id[:8]) + "-" + p.ID
	request := map[string]any{
		"amount": p.Amount, "currency": p.Currency, "reference": id, "description": p.Name,
		"return_url": s.opts.BaseURL + "/orders/" + id, "cancel_url": s.opts.BaseURL + "/orders/" + id,
		"line_items": []map[string]any{{"name": p.Name, "quantity": 1, "unit_amount": p.Amount}},
	}
	if p.Manual {
		request["capture"] = "manual"
	}
	if email := strings.TrimSpace(r.PostFormValue("email")); email != "" {
		request["customer"] = map[string]any{"email": email}
	}
	var made paymentView
	s.remember(order{ID: id, Product: p.Name, At: s.opts.Clock()})
	if err := s.call(r.Context(), http.MethodPost, "/v1/payments", id, request, &made); err != nil {
		s.fail(w, r, http.StatusBadGateway, err.Error())
		return
	}
	s.remember(order{ID: id, Product: p.Name, PaymentID: made.ID, At: s.opts.Clock()})
	if made.Checkout != nil {
		http.Redirect(w, r, made.Checkout.URL, http.StatusSeeOther)
		return
	}
	http.Redirect(w, r, "/orders/"+id, http.StatusSeeOther) //nolint:gosec // a path of our own, id is made of a product and what find accepts
}

// list shows what the feed of events has told so far: no call per order.
func (s *Shop) list(w http.ResponseWriter, r *http.Request) {
	type row struct {
		Order  order
		Status string
	}
	problem := ""
	if err := s.catchUp(r.Context()); err != nil {
		problem = "This list may be out of date: " + err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := make([]row, 0, len(s.orders))
	for _, o := range slices.Backward(s.orders) {
		rows = append(rows, row{Order: o, Status: s.told[o.PaymentID]})
	}
	s.render(w, r, http.StatusOK, "orders.html", map[string]any{"Rows": rows, "Problem": problem})
}

// show asks for the truth: what stands in the address never says that an order
// is paid.
func (s *Shop) show(w http.ResponseWriter, r *http.Request) {
	o, ok := s.find(r.PathValue("id"))
	if !ok || o.PaymentID == "" {
		s.fail(w, r, http.StatusNotFound, "There is no such order.")
		return
	}
	var p paymentView
	if err := s.call(r.Context(), http.MethodGet, "/v1/payments/"+o.PaymentID, "", nil, &p); err != nil {
		s.fail(w, r, http.StatusBadGateway, err.Error())
		return
	}
	var history historyView
	if err := s.call(r.Context(), http.MethodGet, "/v1/payments/"+o.PaymentID+"/history", "", nil, &history); err != nil {
		s.fail(w, r, http.StatusBadGateway, err.Error())
		return
	}
	s.render(w, r, http.StatusOK, "order.html", map[string]any{
		"Order": o, "Payment": p, "History": history.Data, "Token": s.opts.NewID(),
		"Captured": p.Amounts.Captured.Amount, "Refunded": p.Amounts.Refunded.Amount, "Pending": p.Amounts.RefundPending.Amount,
		"Refundable": p.Amounts.Refundable.Amount, "Capturable": p.Amounts.Capturable.Amount, "Disputed": p.Amounts.Disputed.Amount,
		"Problem": r.URL.Query().Get("problem"), "Inbox": s.opts.Inbox, "Disputable": s.opts.Dispute != nil && p.Amounts.Captured.Amount > 0 && p.Amounts.Disputed.Amount == 0,
	})
}

// act carries out one of the buttons on the order page. The token in the form
// makes a double click one refund.
func (s *Shop) act(w http.ResponseWriter, r *http.Request) {
	o, ok := s.find(r.PathValue("id"))
	token := r.PostFormValue("token")
	if !ok || o.PaymentID == "" || len(token) < 8 || len(token) > 64 {
		s.fail(w, r, http.StatusNotFound, "There is no such order.")
		return
	}
	path, body := "/v1/payments/"+o.PaymentID, map[string]any{}
	if r.PathValue("action") == "dispute" && s.opts.Dispute != nil {
		s.dispute(w, r, o)
		return
	}
	switch r.PathValue("action") {
	case "refund":
		path += "/refunds"
	case "refund-third":
		var p paymentView
		if err := s.call(r.Context(), http.MethodGet, path, "", nil, &p); err != nil {
			s.fail(w, r, http.StatusBadGateway, err.Error())
			return
		}
		path, body = path+"/refunds", map[string]any{"amount": p.Amount / 3}
	case "capture", "cancel", "sync":
		path += "/" + r.PathValue("action")
	default:
		s.fail(w, r, http.StatusNotFound, "There is no such button.")
		return
	}
	if err := s.call(r.Context(), http.MethodPost, path, token, body, nil); err != nil {
		var refused *apiError
		if !errors.As(err, &refused) {
			s.opts.Logger.WarnContext(r.Context(), "shop action failed", "error", err)
		}
		s.fail(w, r, http.StatusConflict, err.Error())
		return
	}
	http.Redirect(w, r, "/orders/"+o.ID, http.StatusSeeOther)
}

// dispute has the customer dispute what was captured: at the provider, where
// customers do that. The shop only helps the demo along.
func (s *Shop) dispute(w http.ResponseWriter, r *http.Request, o order) {
	var funds struct {
		Data []struct {
			Type, Provider string
			ProviderRef    string `json:"provider_ref"`
		} `json:"data"`
	}
	if err := s.call(r.Context(), http.MethodGet, "/v1/payments/"+o.PaymentID+"/funds", "", nil, &funds); err != nil {
		s.fail(w, r, http.StatusBadGateway, err.Error())
		return
	}
	for _, f := range funds.Data {
		if f.Type != "capture" {
			continue
		}
		if err := s.opts.Dispute(r.Context(), f.Provider, f.ProviderRef); err != nil {
			s.fail(w, r, http.StatusConflict, err.Error())
			return
		}
		http.Redirect(w, r, "/orders/"+o.ID, http.StatusSeeOther)
		return
	}
	s.fail(w, r, http.StatusConflict, "Nothing was captured, so there is nothing to dispute.")
}
