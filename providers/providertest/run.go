package providertest

import (
	"errors"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// Run runs the whole suite. open builds a fresh world for each case; it may use
// t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			if c.needs != nil && !c.needs(h) {
				t.Skip("the provider has no such thing")
			}
			c.run(t, h)
		})
	}
}

// testCase is one promise of the contract. needs says whether a harness has the
// levers for it; nil: every harness has.
type testCase struct {
	name  string
	needs func(Harness) bool
	run   func(t *testing.T, h Harness)
}

func cases() []testCase {
	faults := func(h Harness) bool { return h.SetFault != nil }
	return []testCase{
		{"info describes the account", nil, infoDescribes},
		{"an operation takes of the rate budget what it calls", nil, callsCounted},
		{"create opens a checkout", nil, createOpens},
		{"create repeated with its key is one checkout", nil, createRepeated},
		{"fetching twice says the same", nil, fetchTwice},
		{"USD 19.99 arrives exactly", nil, func(t *testing.T, h Harness) { exact(t, h, payment.Money{Minor: 1999, Currency: usd}) }},
		{"JPY 500 arrives exactly", nil, func(t *testing.T, h Harness) { exact(t, h, payment.Money{Minor: 500, Currency: jpy}) }},
		{"fees are reported once", func(h Harness) bool { return h.Fees }, feesOnce},
		{"manual: authorized, captured whole", nil, manualWhole},
		{"manual: a final partial capture releases the rest", nil, manualPartial},
		{"manual: void releases the money", nil, manualVoid},
		{"manual: a lapsed hold is canceled", func(h Harness) bool { return h.ExpireAuthorization != nil }, manualLapsed},
		{"capture repeated with its key takes money once", nil, captureRepeated},
		{"capturing what is captured is refused", nil, captureTwice},
		{"refund in three parts", nil, refundParts},
		{"refund repeated with its key gives back once", nil, refundRepeated},
		{"refund above what was captured is refused", nil, refundTooMuch},
		{"a refund made outside is seen", func(h Harness) bool { return h.RefundOutside != nil }, refundOutside},
		{"a refund that fails later is seen", func(h Harness) bool { return h.FailRefund != nil }, refundFails},
		{"a decline moves no money", nil, declined},
		{"pending money arrives", func(h Harness) bool { return h.Settle != nil }, pendingArrives},
		{"pending money is denied", func(h Harness) bool { return h.Settle != nil }, pendingDenied},
		{"closing an open checkout", nil, closeOpen},
		{"closing a paid checkout reports it paid", nil, closePaid},
		{"an expired checkout is dead", func(h Harness) bool { return h.Expire != nil }, expired},
		{"a dispute withholds and is decided", func(h Harness) bool { return h.Dispute != nil }, disputed},
		{"a dispute is accepted, for good", disputer, disputeAccepted},
		{"a dispute is answered in a draft, then once", disputer, disputeAnswered},
		{"a dispute is read by its id", disputer, disputeRead},
		{"snapshots merge in any order", nil, anyOrder},
		{"an unknown attempt is not found", nil, unknownAttempt},
		{"a check tells that the credentials work", nil, checks},
		{"webhook registrations are made, found and put right", nil, registers},
		{"a canceled context is never success", nil, canceledContext},
		{"what was never sent is not done", func(h Harness) bool { return h.Unreachable != nil }, neverSent},
		{"create: a lost answer is unknown, the repetition is one checkout", faults, createLost},
		{"refund: a lost answer is unknown, the repetition gives back once", faults, refundLost},
		{"capture: a lost answer is unknown, the repetition takes money once", faults, captureLost},
		{"a 500 is unknown", faults, status500},
		{"a 429 is not done", faults, status429},
		{"a checkout is found by our reference", isFinder, foundByReference},
	}
}

func isFinder(h Harness) bool {
	_, ok := h.Provider.(providers.CheckoutFinder)
	return ok
}

func asError(err error) (*providers.Error, bool) {
	var e *providers.Error
	ok := errors.As(err, &e)
	return e, ok
}
