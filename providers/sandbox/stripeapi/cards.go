package stripeapi

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
)

// rule says what a test card does (Stripe docs: testing; provider facts section 7).
type rule struct {
	number  string
	brand   string
	country string
	funding string

	// A decline: error code, decline code and message. Empty code: the card works.
	code, decline, message string
	blocked                bool   // refused by Radar, never sent to the network
	risk                   string // "elevated" or "highest"; else normal

	auth     bool // 3-D Secure is required when the customer is present
	authOff  bool // ... and also off-session, where nobody can answer it
	disputes []string
	inquiry  bool
	warning  bool
	refunds  string // "pending": succeeds later; "fails": succeeds, then fails
	instant  bool   // balance available at once

	named string // the fingerprint, where the control API named one; else the number's own
}

const (
	declined     = "card_declined"
	plainDecline = "Your card was declined."
)

// testCards are the official test cards; numbers not listed are declined.
var testCards = []rule{
	{number: "4242424242424242", brand: "visa"},
	{number: "4000056655665556", brand: "visa", funding: "debit"},
	{number: "5555555555554444", brand: "mastercard"},
	{number: "2223003122003222", brand: "mastercard"},
	{number: "5200828282828210", brand: "mastercard", funding: "debit"},
	{number: "5105105105105100", brand: "mastercard", funding: "prepaid"},
	{number: "378282246310005", brand: "amex"},
	{number: "371449635398431", brand: "amex"},
	{number: "6011111111111117", brand: "discover"},
	{number: "3056930009020004", brand: "diners"},
	{number: "3566002020360505", brand: "jcb", country: "JP"},
	{number: "6200000000000005", brand: "unionpay", country: "CN"},
	{number: "4000000000003055", brand: "visa"}, // 3-D Secure supported, not required
	{number: "4000000000000077", brand: "visa", instant: true},

	{number: "4000000000000002", brand: "visa", code: declined, decline: "generic_decline", message: plainDecline},
	{number: "4000000000009995", brand: "visa", code: declined, decline: "insufficient_funds", message: "Your card has insufficient funds."},
	{number: "4000000000009987", brand: "visa", code: declined, decline: "lost_card", message: plainDecline},
	{number: "4000000000009979", brand: "visa", code: declined, decline: "stolen_card", message: plainDecline},
	{number: "4000000000000069", brand: "visa", code: "expired_card", decline: "expired_card", message: "Your card has expired."},
	{number: "4000000000000127", brand: "visa", code: "incorrect_cvc", decline: "incorrect_cvc", message: "Your card's security code is incorrect."},
	{number: "4000000000000119", brand: "visa", code: "processing_error", decline: "processing_error", message: "An error occurred while processing your card. Try again in a little bit."},
	{number: "4000000000006975", brand: "visa", code: declined, decline: "card_velocity_exceeded", message: plainDecline},
	{number: "4000000000000341", brand: "visa", code: declined, decline: "generic_decline", message: plainDecline},
	{number: "4100000000000019", brand: "visa", code: declined, decline: "fraudulent", message: plainDecline, blocked: true, risk: "highest"},
	{number: "4000000000004954", brand: "visa", code: declined, decline: "fraudulent", message: plainDecline, blocked: true, risk: "highest"},
	{number: "4000000000009235", brand: "visa", risk: "elevated"},

	{number: "4000002500003155", brand: "visa", auth: true},
	{number: "4000003800000446", brand: "visa", auth: true},
	{number: "4000002760003184", brand: "visa", auth: true, authOff: true},
	{number: "4000000000003220", brand: "visa", auth: true, authOff: true},
	{number: "4000008400001629", brand: "visa", auth: true, authOff: true, code: declined, decline: "generic_decline", message: plainDecline},
	{number: "4000008260003178", brand: "visa", auth: true, authOff: true, code: declined, decline: "insufficient_funds", message: "Your card has insufficient funds."},

	{number: "4000000000000259", brand: "visa", disputes: []string{"fraudulent"}},
	{number: "4000000000002685", brand: "visa", disputes: []string{"product_not_received"}},
	{number: "4000000000001976", brand: "visa", disputes: []string{"fraudulent"}, inquiry: true},
	{number: "4000000404000079", brand: "visa", disputes: []string{"fraudulent", "fraudulent"}},
	{number: "4000000404000038", brand: "visa", disputes: []string{"fraudulent"}},
	{number: "4000008400000779", brand: "visa", disputes: []string{"noncompliant"}},
	{number: "4000000000005423", brand: "visa", warning: true},
	{number: "4000000000007726", brand: "visa", refunds: "pending"},
	{number: "4000000000005126", brand: "visa", refunds: "fails"},
}

// tokens are the ready-made test payment methods and their cards.
var tokens = map[string]string{
	"pm_card_visa": "4242424242424242", "pm_card_mastercard": "5555555555554444", "pm_card_amex": "378282246310005",
	"pm_card_visa_debit": "4000056655665556", "pm_card_discover": "6011111111111117", "pm_card_jcb": "3566002020360505",
	"pm_card_visa_chargeDeclined": "4000000000000002", "pm_card_chargeDeclined": "4000000000000002",
	"pm_card_visa_chargeDeclinedInsufficientFunds": "4000000000009995", "pm_card_chargeDeclinedInsufficientFunds": "4000000000009995",
	"pm_card_visa_chargeDeclinedLostCard": "4000000000009987", "pm_card_visa_chargeDeclinedStolenCard": "4000000000009979",
	"pm_card_chargeDeclinedExpiredCard": "4000000000000069", "pm_card_chargeDeclinedIncorrectCvc": "4000000000000127",
	"pm_card_chargeDeclinedProcessingError": "4000000000000119", "pm_card_chargeCustomerFail": "4000000000000341",
	"pm_card_authenticationRequired": "4000002760003184", "pm_card_threeDSecure2Required": "4000000000003220",
	"pm_card_authenticationRequiredOnSetup": "4000002500003155", "pm_card_authenticationRequiredSetupForOffSession": "4000003800000446",
	"pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": "4000008260003178",
	"pm_card_createDispute": "4000000000000259", "pm_card_createDisputeProductNotReceived": "4000000000002685",
	"pm_card_createDisputeInquiry": "4000000000001976", "pm_card_createIssuerFraudRecord": "4000000000005423",
	"pm_card_createMultipleDisputes": "4000000404000079", "pm_card_createCe3EligibleDispute": "4000000404000038",
	"pm_card_createComplianceDispute": "4000008400000779", "pm_card_bypassPending": "4000000000000077",
	"pm_card_refundPending": "4000000000007726", "pm_card_pendingRefund": "4000000000007726", "pm_card_refundFail": "4000000000005126",
	"pm_card_riskLevelElevated": "4000000000009235", "pm_card_radarBlock": "4100000000000019",
}

// lookUpCard finds what a card number does; spaces and dashes are allowed in it.
func lookUpCard(number string) rule {
	number = strings.NewReplacer(" ", "", "-", "").Replace(number)
	for _, r := range testCards {
		if r.number == number {
			if r.country == "" {
				r.country = "US"
			}
			if r.funding == "" {
				r.funding = "credit"
			}
			return r
		}
	}
	r := rule{
		number: number, brand: "visa", country: "US", funding: "credit", code: declined, decline: "test_mode_live_card",
		message: "Your card was declined. Your request was in test mode, but used a non test card.",
	}
	if !luhn(number) {
		r.code, r.decline, r.message = "incorrect_number", "incorrect_number", "Your card number is incorrect."
	}
	return r
}

// luhn checks a card number's check digit.
func luhn(number string) bool {
	if len(number) < 12 || len(number) > 19 {
		return false
	}
	sum := 0
	for i := range len(number) {
		d := int(number[len(number)-1-i] - '0')
		if d < 0 || d > 9 {
			return false
		}
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

func (r rule) last4() string {
	if len(r.number) < 4 {
		return "0000"
	}
	return r.number[len(r.number)-4:]
}

// fingerprintForm is what a fingerprint looks like (Stripe docs: PaymentMethod, card.fingerprint).
var fingerprintForm = regexp.MustCompile(`^[0-9A-Za-z]{16}$`)

// fingerprint is the same for the same number, and says nothing of it.
func (r rule) fingerprint() string {
	if r.named != "" {
		return r.named
	}
	sum := sha256.Sum256([]byte("sandbox account\x00" + r.number))
	return strings.NewReplacer("-", "a", "_", "b").Replace(base64.RawURLEncoding.EncodeToString(sum[:12]))
}
