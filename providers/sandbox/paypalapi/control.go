package paypalapi

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

// controlFault is a refusal of the control API.
type controlFault struct {
	status  int
	message string
}

func refuse(status int, format string, args ...any) *controlFault {
	return &controlFault{status, fmt.Sprintf(format, args...)}
}

// controlRoutes registers what tests and demos do in place of buyers, banks and PayPal.
// Amounts are minor units (ISO 4217 exponent).
func (s *server) controlRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /_sandbox/orders/{id}/approve", control(s, s.controlApprove))
	mux.HandleFunc("POST /_sandbox/orders/{id}/cancel", control(s, s.controlCancel))
	mux.HandleFunc("POST /_sandbox/captures/{id}/settle", control(s, s.controlSettle))
	mux.HandleFunc("POST /_sandbox/refunds", control(s, s.controlRefund))
	mux.HandleFunc("POST /_sandbox/refunds/{id}/fail", control(s, s.controlRefundFails))
	mux.HandleFunc("POST /_sandbox/refunds/{id}/settle", control(s, s.controlRefundSettles))
	mux.HandleFunc("POST /_sandbox/reversals", control(s, s.controlReverse))
	mux.HandleFunc("POST /_sandbox/disputes", control(s, s.controlDispute))
	mux.HandleFunc("POST /_sandbox/disputes/{id}/resolve", control(s, s.controlResolve))
	mux.HandleFunc("POST /_sandbox/disputes/{id}/appeal", control(s, s.controlAppeal))
	mux.HandleFunc("POST /_sandbox/disputes/{id}/escalate", control(s, s.controlEscalate))
	mux.HandleFunc("POST /_sandbox/authorizations/{id}/expire", control(s, s.controlExpire))
	mux.HandleFunc("POST /_sandbox/oauth", s.controlOAuth)
	mux.HandleFunc("POST /_sandbox/oauth/revoke", s.controlRevoke)
	mux.HandleFunc("GET /_sandbox/ca.pem", s.serveRoot)
}

// control reads a JSON body, runs what is due, and calls fn with the lock held.
func control[In any](s *server, fn func(id string, in In) (any, *controlFault)) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		var in In
		if err := sandbox.ReadControl(r, &in); err != nil {
			sandbox.ControlError(rw, http.StatusBadRequest, err.Error())
			return
		}
		s.w.RunDue()
		s.w.Lock()
		out, bad := fn(r.PathValue("id"), in)
		s.w.Unlock()
		if bad != nil {
			sandbox.ControlError(rw, bad.status, bad.message)
			return
		}
		sandbox.WriteControl(rw, http.StatusOK, out)
	}
}

type (
	none      struct{}
	approveIn struct {
		Capture string
		PayerID string `json:"payer_id"` // 13 letters and digits: the same buyer again
		Email   string
	}
	outcomeIn  struct{ Outcome string }
	movementIn struct {
		Capture, Reason, Stage, Status string
		Amount                         int64
	}
)

func (s *server) openOrder(id string) (*order, *controlFault) {
	o := s.orders[id]
	switch {
	case o == nil:
		return nil, refuse(http.StatusNotFound, "no such order")
	case o.status == orderCompleted:
		return nil, refuse(http.StatusConflict, "the order is completed")
	case s.lapsed(o, s.w.Now()):
		return nil, refuse(http.StatusConflict, "the order has expired")
	}
	return o, nil
}

func (s *server) controlApprove(id string, in approveIn) (any, *controlFault) {
	o, bad := s.openOrder(id)
	if bad != nil {
		return nil, bad
	}
	if in.Capture == "" {
		in.Capture = fundBalance
	}
	if in.PayerID != "" && !payerID.MatchString(in.PayerID) {
		return nil, refuse(http.StatusBadRequest, "payer_id must be 13 capital letters and digits")
	}
	if !slices.Contains([]string{fundBalance, fundDeclined, fundEcheck, fundRefused}, in.Capture) {
		return nil, refuse(http.StatusBadRequest, "capture must be completed, pending, declined or declined_capture")
	}
	if in.PayerID != "" || in.Email != "" {
		if o.payer != nil && in.PayerID != "" && o.payer.PayerID != in.PayerID {
			return nil, refuse(http.StatusConflict, "the order was approved by another buyer")
		}
		o.payer = s.buyer(in.PayerID, in.Email)
	}
	return map[string]string{"redirect_url": s.approve(o, in.Capture)}, nil
}

func (s *server) controlCancel(id string, _ none) (any, *controlFault) {
	o, bad := s.openOrder(id)
	if bad != nil {
		return nil, bad
	}
	return map[string]string{"redirect_url": cancelURL(o)}, nil
}

func (s *server) controlSettle(id string, in outcomeIn) (any, *controlFault) {
	c := s.captures[id]
	switch {
	case c == nil:
		return nil, refuse(http.StatusNotFound, "no such capture")
	case c.status != stPending:
		return nil, refuse(http.StatusConflict, "the capture is %s, not PENDING", c.status)
	}
	now := s.w.Now()
	switch in.Outcome {
	case "completed":
		s.receive(c)
	case "denied":
		c.status, c.reason, c.updated = stDeclined, "OTHER", now
		c.row.status, c.row.updated = "D", now
		if s.invoices[c.invoice] == c.unit.order {
			delete(s.invoices, c.invoice) // nothing was paid with it
		}
		s.announceCapture("PAYMENT.CAPTURE.DENIED", "Payment denied", c)
	default:
		return nil, refuse(http.StatusBadRequest, "outcome must be completed or denied")
	}
	c.unit.order.updated = now
	return map[string]string{"capture": c.id, "status": c.status}, nil
}

// movement finds the capture that money goes back from, and how much.
func (s *server) movement(in movementIn) (*capture, int64, *controlFault) {
	c := s.captures[in.Capture]
	if c == nil {
		return nil, 0, refuse(http.StatusNotFound, "no such capture")
	}
	if !c.paid() {
		return nil, 0, refuse(http.StatusConflict, "the capture is %s", c.status)
	}
	amount := in.Amount
	if amount == 0 {
		amount = c.amount - c.refunded() - c.taken()
	}
	if amount <= 0 || amount > c.amount {
		return nil, 0, refuse(http.StatusUnprocessableEntity, "amount must be between 1 and %d minor units", c.amount)
	}
	if amount%step(c.unit.currency) != 0 {
		return nil, 0, refuse(http.StatusUnprocessableEntity, "%s moves only in steps of %d minor units", c.unit.currency, step(c.unit.currency))
	}
	return c, amount, nil
}

func (s *server) controlRefund(_ string, in movementIn) (any, *controlFault) {
	c, amount, bad := s.movement(in)
	if bad != nil {
		return nil, bad
	}
	status := stCompleted
	switch in.Status {
	case "", "completed":
	case "pending":
		status = stPending
	default:
		return nil, refuse(http.StatusBadRequest, "status must be completed or pending")
	}
	if is := s.refuseRefund(c, amount, "", s.w.Now()); is != "" {
		return nil, refuse(http.StatusUnprocessableEntity, "%s", is)
	}
	return map[string]string{"refund": s.makeRefund(c, amount, refund{status: status}).id}, nil
}

func (s *server) knownRefund(id string, statuses ...string) (*refund, *controlFault) {
	r := s.refunds[id]
	switch {
	case r == nil || r.reversal:
		return nil, refuse(http.StatusNotFound, "no such refund")
	case !slices.Contains(statuses, r.status):
		return nil, refuse(http.StatusConflict, "the refund is %s", r.status)
	}
	return r, nil
}

func (s *server) controlRefundFails(id string, _ none) (any, *controlFault) {
	r, bad := s.knownRefund(id, stCompleted, stPending)
	if bad != nil {
		return nil, bad
	}
	s.failRefund(r)
	return map[string]string{"refund": r.id, "status": r.status}, nil
}

func (s *server) controlRefundSettles(id string, _ none) (any, *controlFault) {
	r, bad := s.knownRefund(id, stPending)
	if bad != nil {
		return nil, bad
	}
	s.payRefund(r)
	return map[string]string{"refund": r.id, "status": r.status}, nil
}

func (s *server) controlReverse(_ string, in movementIn) (any, *controlFault) {
	c, amount, bad := s.movement(in)
	if bad != nil {
		return nil, bad
	}
	return map[string]string{"reversal": s.reverse(c, amount, nil).id}, nil
}

func (s *server) controlDispute(_ string, in movementIn) (any, *controlFault) {
	c, amount, bad := s.movement(in)
	if bad != nil {
		return nil, bad
	}
	if in.Reason == "" {
		in.Reason = disputeReasons[0]
	}
	if !slices.Contains(disputeReasons, in.Reason) {
		return nil, refuse(http.StatusUnprocessableEntity, "reason must be one of %v", disputeReasons)
	}
	if in.Stage == "" {
		in.Stage = stageChargeback
	}
	if in.Stage != stageChargeback && in.Stage != stageInquiry {
		return nil, refuse(http.StatusUnprocessableEntity, "stage must be CHARGEBACK or INQUIRY")
	}
	return map[string]string{"dispute": s.openDispute(c, amount, in.Reason, in.Stage).id}, nil
}

func (s *server) knownDispute(id string, resolved bool) (*dispute, *controlFault) {
	d := s.dispute(id)
	switch {
	case d == nil:
		return nil, refuse(http.StatusNotFound, "no such dispute")
	case (d.status == dispResolved) != resolved:
		return nil, refuse(http.StatusConflict, "the dispute is %s", d.status)
	}
	return d, nil
}

func (s *server) controlResolve(id string, in outcomeIn) (any, *controlFault) {
	d, bad := s.knownDispute(id, false)
	if bad != nil {
		return nil, bad
	}
	outcome, ok := map[string]string{"won": outcomeWon, "lost": outcomeLost}[in.Outcome]
	if !ok {
		return nil, refuse(http.StatusBadRequest, "outcome must be won or lost")
	}
	s.decide(d, outcome)
	return map[string]string{"dispute": d.id, "status": d.status}, nil
}

func (s *server) controlAppeal(id string, _ none) (any, *controlFault) {
	d, bad := s.knownDispute(id, true)
	if bad != nil {
		return nil, bad
	}
	s.reopen(d)
	return map[string]string{"dispute": d.id, "status": d.status}, nil
}

func (s *server) controlEscalate(id string, _ none) (any, *controlFault) {
	d, bad := s.knownDispute(id, false)
	if bad != nil {
		return nil, bad
	}
	if d.stage != stageInquiry {
		return nil, refuse(http.StatusConflict, "the dispute is at stage %s", d.stage)
	}
	s.escalate(d)
	return map[string]string{"dispute": d.id, "status": d.status}, nil
}

func (s *server) controlExpire(id string, _ none) (any, *controlFault) {
	a := s.auths[id]
	switch {
	case a == nil:
		return nil, refuse(http.StatusNotFound, "no such authorization")
	case !a.open():
		return nil, refuse(http.StatusConflict, "the authorization is %s", a.status)
	}
	for _, m := range family(a.root()) {
		m.expires = s.w.Now()
	}
	s.voidFamily(a.root())
	return map[string]string{"authorization": a.id, "status": a.status}, nil
}
