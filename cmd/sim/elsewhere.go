package main

import (
	"context"
	"net/http"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// What a merchant does with other tools than ours, under the same credentials: steps of
// scenes.

// renews is another tool renewing what PayPal holds, for all that is left.
func renews() step {
	return step{"renew", func(s *script) bool {
		p := s.payment()
		if p == nil || len(p.Facts.Authorizations) == 0 {
			return false
		}
		id := p.Facts.Authorizations[0].Key.ID
		status, _ := s.t.paypalCall("/v2/payments/authorizations/"+id+"/reauthorize", "renew-"+id, "{}")
		return status == http.StatusCreated
	}}
}

// capturesLate is the customer approving the PayPal order that was left, and another tool
// capturing it. It stays pending until someone settles it.
func capturesLate() step {
	return step{"capture what was left", func(s *script) bool {
		if id := s.checkout("paypal"); id != "" && !s.o.Late {
			s.t.captureLate(s.o, id, "pending")
		}
		return s.o.Late
	}}
}

// latePending is what such a capture is known by.
func latePending(s *script) string { return s.seen("paypal", "PAYMENT.CAPTURE.PENDING") }

// comesToNothing is such a capture denied in the end: then nobody took money late.
func comesToNothing() step {
	denied := does("paypal", "captures/{id}/settle", latePending, map[string]string{"outcome": "denied"})
	return step{denied.name, func(s *script) bool {
		if !denied.do(s) {
			return false
		}
		s.o.Late = false
		return true
	}}
}

// returnsLate is an operator who gives back what was taken once more.
func returnsLate() step {
	return step{"give back", func(s *script) bool {
		p := s.payment()
		s.once("give back", func() { s.o.Refunds++ })
		s.o.Resolved = true
		return s.alive(func(i *instance) error {
			r := gateway.Request{Caller: operator(), Path: "/v1/payments/" + p.ID + "/resolve", Key: "resolve"}
			_, err := i.service.Resolve(context.Background(), r, p.ID, "refund", []string{latePending(s)}, "paid twice")
			return err
		})
	}}
}

// elsewhereScenes are stories of such tools.
func elsewhereScenes() []scene {
	held := []step{create("paypal", "manual"), approves(""), returns(), becomes(payment.StatusAuthorized)}
	left := []step{create("", ""), chooses("paypal"), chooses("stripe"), pays(good, http.StatusOK), returns(), becomes(payment.StatusSucceeded), capturesLate()}
	settled := does("paypal", "captures/{id}/settle", latePending, map[string]string{"outcome": "completed"})
	return []scene{
		{name: "held at PayPal, renewed, captured", steps: append(held[:4:4], waits(4*day), renews(), asks("capture", 4000), becomes(payment.StatusSucceeded))},
		{name: "captured in part, renewed for the rest", steps: append(held[:4:4], asks("part", 2000), waits(4*day), renews(), asks("capture", 3000), becomes(payment.StatusSucceeded))},
		{name: "renewed, canceled", steps: append(held[:4:4], waits(4*day), renews(), asks("cancel", 0), becomes(payment.StatusCanceled))},
		{name: "expired, captured elsewhere, pending", steps: []step{
			create("paypal", "", func(in *gateway.CreateInput) { in.ExpiresIn = 1800 }), becomes(payment.StatusExpired), capturesLate(), waits(day), settled, becomes(payment.StatusSucceeded),
		}},
		{name: "paid, and pending at the other provider", decided: true, steps: append(left[:7:7], waits(3*day), settled, becomes(payment.StatusConflicted), returnsLate(), becomes(payment.StatusSucceeded))},
		{name: "paid, and denied at the other provider", steps: append(left[:7:7], waits(3*day), comesToNothing())},
	}
}
