package e2e

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

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

// likePayPal holds every exchange with the PayPal half to PayPal's OpenAPI documents.
// Where those aren't, paypalspec skips the test; what is proved here is too much to
// lose for that, so the test runs without them and says so.
func (tn *town) likePayPal(h http.Handler) http.Handler {
	docs := filepath.Join("..", "..", "..", "shared", "specs", "paypal")
	if _, err := os.Stat(docs); errors.Is(err, fs.ErrNotExist) {
		tn.t.Logf("PayPal's OpenAPI documents are not in %s: the PayPal half is not held to them", docs)
		return h
	}
	return paypalspec.Load(tn.t).Middleware(tn.t, h)
}
