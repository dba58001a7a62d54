package e2e

import (
	"net/http"

	"github.com/trifecta-pay/trifecta/providers/providertest/paypalspec"
	"github.com/trifecta-pay/trifecta/providers/providertest/stripespec"
)

// likeStripe holds every exchange with the Stripe half of the sandbox, and every event
// it emits, to Stripe's OpenAPI document.
func (tn *town) likeStripe(h http.Handler) http.Handler {
	validator := stripespec.Load(tn.t)
	tn.t.Cleanup(func() {
		for _, e := range tn.world.Events("stripe") {
			validator.Event(tn.t, e.Body)
		}
	})
	return validator.Middleware(tn.t, h)
}

// likePayPal holds every exchange with the PayPal half to PayPal's OpenAPI documents,
// where those are.
func (tn *town) likePayPal(h http.Handler) http.Handler {
	return paypalspec.Load(tn.t).Middleware(tn.t, h)
}
