package stripe

import (
	"math"
	"testing"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// TestEveryCurrency: every active currency is either refused with a reason, or goes
// to Stripe and comes back to the last minor unit (I10).
func TestEveryCurrency(t *testing.T) {
	t.Parallel()
	zeroDecimal := map[payment.Currency]bool{}
	for _, c := range []payment.Currency{"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"} {
		zeroDecimal[c] = true
	}
	supported := 0
	for _, c := range payment.Currencies() {
		for _, minor := range []int64{1, 7, 99, 100, 101, 500, 1999, 123_456_789_00, payment.MaxMinor} {
			m := payment.Money{Minor: minor, Currency: c}
			sent, err := toStripe(m)
			if (err == nil) != (supports(m) == nil) {
				t.Fatalf("%s: supports and toStripe disagree", m)
			}
			if err != nil {
				continue
			}
			supported++
			want := minor
			switch c {
			case "isk":
				want = minor * 100
			case "mga":
				want = minor / 100
			}
			if sent != want {
				t.Errorf("%d minor units of %s are sent as %d, want %d", minor, c, sent, want)
			}
			if zeroDecimal[c] && (c.Exponent() != 0 || sent != minor) {
				t.Errorf("%s has no decimals at Stripe and %d here, sent %d", c, c.Exponent(), sent)
			}
			back, err := fromStripe(sent, stripesdk.Currency(c))
			if err != nil || back != m {
				t.Errorf("%s came back as %s: %v", m, back, err)
			}
		}
	}
	if supported < 1000 { // 135 currencies, 9 amounts, few of them inexact
		t.Errorf("only %d combinations are supported", supported)
	}
}

// TestRefusedAmounts: what Stripe can't take exactly is refused, never rounded.
func TestRefusedAmounts(t *testing.T) {
	t.Parallel()
	for _, m := range []payment.Money{
		{Minor: 1000, Currency: "kwd"},
		{Minor: 1000, Currency: "bhd"},
		{Minor: 1000, Currency: "jod"},
		{Minor: 1000, Currency: "omr"},
		{Minor: 1000, Currency: "tnd"},
		{Minor: 500, Currency: "ugx"},
		{Minor: 150, Currency: "mga"},
		{Minor: 1, Currency: "kpw"},
		{Minor: 1, Currency: "irr"},
		{Minor: 1, Currency: "xxx"},
		{Minor: 1, Currency: "USD"},
		{Minor: 1, Currency: ""},
		{Minor: 1, Currency: " us"},
		{Minor: 1, Currency: "d a"},
		{Minor: 0, Currency: "usd"},
		{Minor: -5, Currency: "usd"},
		{Minor: payment.MaxMinor + 1, Currency: "usd"},
		{Minor: payment.MaxMinor, Currency: "isk"},
		{Minor: math.MaxInt64, Currency: "isk"},
		{Minor: math.MinInt64, Currency: "usd"},
	} {
		if err := supports(m); err == nil {
			t.Errorf("%d %q is supported", m.Minor, m.Currency)
		}
	}
}

// TestReading: amounts of other people's objects are read exactly or not at all.
func TestReading(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		amount   int64
		currency stripesdk.Currency
		want     payment.Money
		ok       bool
	}{
		{-1999, "usd", payment.Money{Minor: -1999, Currency: "usd"}, true},
		{5130, "kwd", payment.Money{Minor: 5130, Currency: "kwd"}, true}, // a settlement currency
		{500, "isk", payment.Money{Minor: 5, Currency: "isk"}, true},
		{550, "isk", payment.Money{}, false},
		{3, "mga", payment.Money{Minor: 300, Currency: "mga"}, true},
		{500, "ugx", payment.Money{}, false},
		{1, "hrk", payment.Money{}, false},
		{1, "", payment.Money{}, false},
		{math.MaxInt64, "usd", payment.Money{}, false},
		{math.MinInt64, "mga", payment.Money{}, false},
	} {
		got, err := fromStripe(c.amount, c.currency)
		if (err == nil) != c.ok || (c.ok && got != c.want) {
			t.Errorf("%d %q reads as %v, %v", c.amount, c.currency, got, err)
		}
	}
}
