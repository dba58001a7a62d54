package stripeapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

// controlInput is the body of every control request of this API. Amounts are minor
// units.
type controlInput struct {
	Card      string `json:"card"`
	Print     string `json:"fingerprint"` // a card of its own that behaves as the test card does
	ThreeDS   string `json:"three_ds"`
	Method    string `json:"method"`
	Promotion string `json:"promotion_code"`
	Email     string `json:"email"`
	Charge    string `json:"charge"`
	Amount    *int64 `json:"amount"`
	Reason    string `json:"reason"`
	Inquiry   bool   `json:"inquiry"`
	Outcome   string `json:"outcome"`
}

// controlFail is a refusal of the control API.
type controlFail struct {
	status int
	body   obj
}

func controlErr(status int, msg string) *controlFail { return &controlFail{status, obj{"error": msg}} }

// controlled executes a control request under the world's lock.
type controlled func(a *API, id string, in controlInput) (obj, *controlFail)

// controlRoutes registers /_sandbox for this API: what buyers, banks and people at
// the dashboard do.
func (a *API) controlRoutes() {
	a.w.ControlRoutes(a.mux, apiName)
	for pattern, do := range map[string]controlled{
		"GET /_sandbox/settled":                     (*API).controlSettled,
		"POST /_sandbox/checkout/{id}/pay":          (*API).controlPay,
		"POST /_sandbox/checkout/{id}/cancel":       (*API).controlBack,
		"POST /_sandbox/checkout/{id}/expire":       (*API).controlExpire,
		"POST /_sandbox/captures/{id}/settle":       (*API).controlSettle,
		"POST /_sandbox/captures/{id}/take_back":    (*API).controlTakeBack,
		"POST /_sandbox/authorizations/{id}/expire": (*API).controlLapse,
		"POST /_sandbox/refunds":                    (*API).controlRefund,
		"POST /_sandbox/refunds/{id}/fail":          (*API).controlFailRefund,
		"POST /_sandbox/disputes":                   (*API).controlDispute,
		"POST /_sandbox/disputes/{id}/resolve":      (*API).controlResolve,
		"POST /_sandbox/disputes/{id}/appeal":       (*API).controlAppeal,
		"POST /_sandbox/disputes/{id}/escalate":     (*API).controlEscalate,
		"POST /_sandbox/early_fraud_warnings":       (*API).controlWarn,
		"POST /_sandbox/reviews":                    (*API).controlReview,
		"POST /_sandbox/reviews/{id}/close":         (*API).controlCloseReview,
	} {
		a.mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) { a.control(rw, r, do) })
	}
	a.mux.HandleFunc("/_sandbox/", func(rw http.ResponseWriter, r *http.Request) {
		sandbox.ControlError(rw, http.StatusNotFound, "no such control route: "+r.Method+" "+r.URL.Path)
	})
}

func (a *API) control(rw http.ResponseWriter, r *http.Request, do controlled) {
	var in controlInput
	if err := sandbox.ReadControl(r, &in); err != nil {
		sandbox.ControlError(rw, http.StatusBadRequest, err.Error())
		return
	}
	a.w.RunDue() // what has lapsed by now has lapsed, whether or not Run is running
	out, fail := func() (obj, *controlFail) {
		a.w.Lock()
		defer a.w.Unlock()
		return do(a, r.PathValue("id"), in)
	}()
	if fail != nil {
		sandbox.WriteControl(rw, fail.status, fail.body)
		return
	}
	sandbox.WriteControl(rw, http.StatusOK, out)
}

// openSession finds a session that can still be acted on.
func (a *API) openSession(id string) (*session, *controlFail) {
	s := a.sessions.byID[id]
	if s == nil {
		return nil, controlErr(http.StatusNotFound, "no such checkout session")
	}
	if s.status != "open" {
		return nil, controlErr(http.StatusConflict, "the checkout session is "+s.status)
	}
	return s, nil
}

func (a *API) controlPay(id string, in controlInput) (obj, *controlFail) {
	s, fail := a.openSession(id)
	if fail != nil {
		return nil, fail
	}
	if in.ThreeDS == "" {
		in.ThreeDS = "pass"
	}
	if in.ThreeDS != "pass" && in.ThreeDS != "fail" {
		return nil, controlErr(http.StatusBadRequest, "three_ds must be pass or fail")
	}
	if in.Method != "" && in.Method != "card" && in.Method != "async" {
		return nil, controlErr(http.StatusBadRequest, "method must be card or async")
	}
	if in.Print != "" && !fingerprintForm.MatchString(in.Print) {
		return nil, controlErr(http.StatusBadRequest, "fingerprint must be 16 letters and digits")
	}
	if in.Card == "" {
		in.Card = "4242424242424242"
	}
	if in.Email == "" {
		in.Email = "buyer@example.com"
	}
	e := a.submit(s, submission{card: in.Card, fingerprint: in.Print, asyncMethod: in.Method == "async", threeDS: in.ThreeDS, promotion: in.Promotion, email: in.Email, name: "Sandbox Buyer"})
	if e != nil {
		decline := e.decline
		if decline == "" {
			decline = e.code
		}
		return nil, &controlFail{http.StatusPaymentRequired, obj{"decline_code": decline, "code": e.code, "error": e.msg}}
	}
	return obj{"redirect_url": s.successURL()}, nil
}

// successURL is where the buyer goes after paying; only the literal placeholder is
// replaced (Stripe docs: custom success page).
func (s *session) successURL() string {
	return strings.ReplaceAll(s.form.get("success_url"), "{CHECKOUT_SESSION_ID}", s.id)
}

// controlBack is the buyer's way back; it changes nothing, the session stays open.
func (a *API) controlBack(id string, _ controlInput) (obj, *controlFail) {
	s, fail := a.openSession(id)
	if fail != nil {
		return nil, fail
	}
	return obj{"redirect_url": orNull(s.form.get("cancel_url"))}, nil
}

func (a *API) controlExpire(id string, _ controlInput) (obj, *controlFail) {
	s, fail := a.openSession(id)
	if fail != nil {
		return nil, fail
	}
	a.lapse(s)
	return obj{"redirect_url": orNull(s.form.get("cancel_url"))}, nil
}

// findCharge takes a charge's or a payment intent's id.
func (a *API) controlCharge(id string) (*charge, *controlFail) {
	if ch := a.charges.byID[id]; ch != nil {
		return ch, nil
	}
	if p := a.intents.byID[id]; p != nil && p.latest != nil {
		return p.latest, nil
	}
	return nil, controlErr(http.StatusNotFound, "no such charge: "+id)
}

// controlSettled lists what balance transactions left in the account, by the payments they
// belong to, in the currency they were settled in. Stripe's own list knows charges only.
func (a *API) controlSettled(string, controlInput) (obj, *controlFail) {
	out := make([]obj, 0, len(a.txns.order))
	for _, t := range a.txns.order {
		amount, fee, currency, _ := a.settled(t)
		out = append(out, obj{"reference": t.charge.intent.reference(), "currency": currency, "fee": fee, "net": amount - fee})
	}
	return obj{"data": out}, nil
}

func (a *API) controlSettle(id string, in controlInput) (obj, *controlFail) {
	ch, fail := a.controlCharge(id)
	if fail != nil {
		return nil, fail
	}
	if in.Outcome == "" {
		in.Outcome = "completed"
	}
	if in.Outcome != "completed" && in.Outcome != "denied" {
		return nil, controlErr(http.StatusBadRequest, "outcome must be completed or denied")
	}
	if ch.status != "pending" {
		return nil, controlErr(http.StatusConflict, "the charge is "+ch.status+", not pending")
	}
	a.settleAsync(ch, in.Outcome == "completed")
	return obj{"capture": ch.id, "status": ch.status}, nil
}

// controlTakeBack is a bank that takes a payment back after it succeeded, without a
// dispute: a balance transaction is all there is of it (Stripe docs: balance transaction
// types, payment_reversal). That the charge does not name it is assumed.
func (a *API) controlTakeBack(id string, _ controlInput) (obj, *controlFail) {
	ch, fail := a.controlCharge(id)
	if fail != nil {
		return nil, fail
	}
	if ch.status != "succeeded" || !ch.done {
		return nil, controlErr(http.StatusConflict, "only a captured charge can be taken back")
	}
	t := a.newTxn(ch, "payment_reversal", "other_adjustment", ch.id, -ch.captured, 0)
	a.ledger(ch, t.id, "reversal", ch.captured)
	return obj{"balance_transaction": t.id}, nil
}

func (a *API) controlLapse(id string, _ controlInput) (obj, *controlFail) {
	ch, fail := a.controlCharge(id)
	if fail != nil {
		return nil, fail
	}
	if ch.intent.status != "requires_capture" {
		return nil, controlErr(http.StatusConflict, "the payment intent is "+ch.intent.status)
	}
	a.lapseAuthorization(ch.intent)
	return obj{"authorization": ch.id, "payment_intent": ch.intent.id}, nil
}

// amountOr reads the amount, or takes a default; it must be positive.
func (in controlInput) amountOr(def int64) (int64, *controlFail) {
	if in.Amount != nil {
		def = *in.Amount
	}
	if def < 1 {
		return 0, controlErr(http.StatusBadRequest, "amount must be at least 1 minor unit")
	}
	return def, nil
}

// controlRefund is a refund made at the provider's dashboard, behind our back.
func (a *API) controlRefund(_ string, in controlInput) (obj, *controlFail) {
	ch, fail := a.controlCharge(in.Charge)
	if fail != nil {
		return nil, fail
	}
	if e := ch.checkRefund(1); e != nil {
		return nil, &controlFail{http.StatusConflict, obj{"error": e.msg, "code": e.code}}
	}
	amount, fail := in.amountOr(ch.refundable())
	if fail != nil {
		return nil, fail
	}
	if e := ch.checkRefund(amount); e != nil {
		return nil, &controlFail{http.StatusConflict, obj{"error": e.msg, "code": e.code}}
	}
	if in.Reason != "" && !slices.Contains([]string{"duplicate", "fraudulent", "requested_by_customer"}, in.Reason) {
		return nil, controlErr(http.StatusBadRequest, "unknown refund reason")
	}
	return obj{"refund": a.refund(ch, amount, in.Reason, map[string]string{}).id}, nil
}

func (a *API) controlFailRefund(id string, in controlInput) (obj, *controlFail) {
	r := a.refunds.byID[id]
	if r == nil {
		return nil, controlErr(http.StatusNotFound, "no such refund")
	}
	if in.Reason == "" {
		in.Reason = "lost_or_stolen_card"
	}
	if !a.failRefund(r, in.Reason) {
		return nil, controlErr(http.StatusConflict, "the refund is "+r.status)
	}
	return obj{"refund": r.id}, nil
}

func (a *API) controlDispute(_ string, in controlInput) (obj, *controlFail) {
	ch, fail := a.controlCharge(in.Charge)
	if fail != nil {
		return nil, fail
	}
	if ch.status != "succeeded" || !ch.done {
		return nil, controlErr(http.StatusConflict, "only a captured charge can be disputed")
	}
	amount, fail := in.amountOr(ch.captured - ch.refundedSum())
	if fail != nil {
		return nil, fail
	}
	if in.Reason == "" {
		in.Reason = "fraudulent"
	}
	if !slices.Contains(disputeReasons, in.Reason) {
		return nil, controlErr(http.StatusBadRequest, "unknown dispute reason; use one of "+strings.Join(disputeReasons, ", "))
	}
	return obj{"dispute": a.openDispute(ch, amount, in.Reason, in.Inquiry).id}, nil
}

func (a *API) controlResolve(id string, in controlInput) (obj, *controlFail) {
	if in.Outcome != "won" && in.Outcome != "lost" {
		return nil, controlErr(http.StatusBadRequest, "outcome must be won or lost")
	}
	return a.onDispute(id, func(d *dispute) bool { return a.resolve(d, in.Outcome) })
}

func (a *API) controlAppeal(id string, _ controlInput) (obj, *controlFail) {
	return a.onDispute(id, a.appeal)
}

func (a *API) controlEscalate(id string, _ controlInput) (obj, *controlFail) {
	return a.onDispute(id, a.escalate)
}

func (a *API) onDispute(id string, do func(*dispute) bool) (obj, *controlFail) {
	d := a.disputes.byID[id]
	if d == nil {
		return nil, controlErr(http.StatusNotFound, "no such dispute")
	}
	if !do(d) {
		return nil, controlErr(http.StatusConflict, "the dispute is "+d.status)
	}
	return obj{"dispute": d.id, "status": d.status}, nil
}

func (a *API) controlWarn(_ string, in controlInput) (obj, *controlFail) {
	ch, fail := a.controlCharge(in.Charge)
	if fail != nil {
		return nil, fail
	}
	if ch.status != "succeeded" {
		return nil, controlErr(http.StatusConflict, "the charge is "+ch.status)
	}
	return obj{"early_fraud_warning": a.warn(ch).id}, nil
}
