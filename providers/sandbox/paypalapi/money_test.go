package paypalapi

import (
	"testing"

	"pgregory.net/rapid"
)

// Guards PayPal's number rules: decimals by currency, and no rounding anywhere.
func TestMoneyParse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		currency, value string
		zeroOK          bool
		want            int64
		issue           string
	}{
		{"USD", "10.05", false, 1005, ""},
		{"USD", "10", false, 1000, ""},
		{"USD", "0.1", false, 10, ""},
		{"USD", ".99", false, 99, ""},
		{"JPY", "500", false, 500, ""},
		{"HUF", "500", false, 50000, ""},
		{"TWD", "3", false, 300, ""},
		{"USD", "0", true, 0, ""},
		{"USD", "0.00", false, 0, "CANNOT_BE_ZERO_OR_NEGATIVE"},
		{"USD", "-1", true, 0, "CANNOT_BE_NEGATIVE"},
		{"USD", "1.001", false, 0, "DECIMAL_PRECISION"},
		{"JPY", "1.0", false, 0, "DECIMALS_NOT_SUPPORTED"},
		{"KWD", "1", false, 0, "INVALID_CURRENCY_CODE"},
		{"USD", "1e3", false, 0, "INVALID_PARAMETER_SYNTAX"},
		{"USD", "", false, 0, "INVALID_PARAMETER_SYNTAX"},
		{"usd", "1", false, 0, "INVALID_CURRENCY_CODE"},
		{"USD", "999999999999999.99", false, 99999999999999999, ""},
		{"USD", "1000000000000000.00", false, 0, "MAX_VALUE_EXCEEDED"},
		{"HUF", "99999999999999999", false, 0, "MAX_VALUE_EXCEEDED"},
		{"USD", "00000000000000000000000001.00", false, 100, ""},
	} {
		got, issue := money{tc.currency, tc.value}.parse(tc.zeroOK)
		if got != tc.want || issue != tc.issue {
			t.Errorf("%s %q = %d %q, want %d %q", tc.currency, tc.value, got, issue, tc.want, tc.issue)
		}
	}
}

// Guards that an amount survives the wire in every currency, and that a fee is between
// 0 and the amount.
func TestMoneyRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		currency := rapid.SampledFrom(currencies).Draw(t, "currency")
		n := rapid.Int64Range(1, maxMinor/step(currency)).Draw(t, "n") * step(currency)
		if got, issue := toMoney(n, currency).parse(false); got != n || issue != "" {
			t.Fatalf("%d -> %v -> %d %q", n, toMoney(n, currency), got, issue)
		}
		if fee := feeOf(n, currency); fee < 0 || fee > n || fee%step(currency) != 0 {
			t.Fatalf("fee of %d %s = %d", n, currency, fee)
		}
	})
}
