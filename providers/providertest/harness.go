// Package providertest is the conformance suite that every provider adapter
// passes. The contract in package providers says what compiles; this suite says
// what is meant: facts that equal the provider's own ledger, keys that make a
// repetition harmless, unclear answers that stay unclear.
//
// It knows no provider and imports no SDK. An adapter's test builds a Harness
// against its sandbox and calls Run:
//
//	func TestConformance(t *testing.T) {
//		providertest.Run(t, func(t *testing.T) providertest.Harness { ... })
//	}
package providertest

import (
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// How is how the customer behaves on the provider's page.
type How string

// The ways to behave.
const (
	// PayNow agrees with an instrument that works. Where the provider takes the
	// money itself it is taken (or held, with manual capture); where our call is
	// needed the checkout is approved.
	PayNow How = "now"
	// PayDeclined tries with an instrument that is refused: on the page, or when
	// our call takes the money.
	PayDeclined How = "declined"
	// PayPending agrees with an instrument whose money is on its way for a while.
	PayPending How = "pending"
)

// Fault is what goes wrong with every call to the provider while it is set.
type Fault string

// The faults.
const (
	NoFault       Fault = ""
	TimeoutBefore Fault = "timeout_before_effect" // the connection is cut, nothing happened
	TimeoutAfter  Fault = "timeout_after_effect"  // it happened, the answer is lost
	Answer500     Fault = "status_500"
	Answer429     Fault = "status_429"
)

// Movement is one movement of money in the provider's own books. Amount is in
// minor units and positive; Kind is the sandbox ledger's: capture, refund,
// refund_failed, dispute, dispute_won, reversal, fee.
type Movement struct {
	Object    string
	Kind      string
	Amount    int64
	Currency  string
	Reference string // our payment's id
}

// Harness is one adapter in front of one fresh provider world, and the levers of
// that world. Each case gets its own. A nil lever skips the cases that need it;
// the adapter's author says there why the provider has no such thing.
type Harness struct {
	// Provider is the adapter under test, not behind a guard.
	Provider providers.Provider
	// Unreachable is the same adapter in front of an address where nobody listens.
	Unreachable providers.Provider
	// Now is the provider's clock; Advance moves it.
	Now     func() time.Time
	Advance func(t *testing.T, d time.Duration)
	// SetFault makes every call of the adapter go wrong until NoFault is set.
	SetFault func(t *testing.T, f Fault)
	// Ledger is the provider's own record of all money it moved.
	Ledger func(t *testing.T) []Movement
	// Calls counts the HTTP calls that the adapter made so far.
	Calls func() int64
	// Checkouts counts the checkouts that exist at the provider.
	Checkouts func(t *testing.T) int

	// Pay is the customer on the provider's page. It returns an error where the
	// page no longer takes payments.
	Pay func(t *testing.T, root providers.Ref, how How) error
	// Expire lets an open checkout reach its end with nobody paying.
	Expire func(t *testing.T, root providers.Ref)
	// ExpireAuthorization lets a hold lapse.
	ExpireAuthorization func(t *testing.T, authorization string)
	// Settle ends a pending capture: the money arrives, or is denied.
	Settle func(t *testing.T, capture string, arrives bool)
	// RefundOutside refunds in the provider's own dashboard.
	RefundOutside func(t *testing.T, capture string, amount int64)
	// FailRefund makes a refund that succeeded fail afterwards.
	FailRefund func(t *testing.T, refund string)
	// Dispute opens a dispute that withholds the amount, and returns its id.
	Dispute func(t *testing.T, capture string, amount int64) string
	// Resolve decides a dispute.
	Resolve func(t *testing.T, dispute string, won bool)

	// Closes says that the provider can make an open checkout impossible to pay.
	Closes bool
	// UnknownRoot is a well-formed root that the provider does not have.
	UnknownRoot providers.Ref
	// Fees says that the sandbox charges fees that the provider reports.
	Fees bool
}

// Currencies of the suite; every provider takes them. JPY has no decimals.
const (
	usd payment.Currency = "usd"
	jpy payment.Currency = "jpy"
)
