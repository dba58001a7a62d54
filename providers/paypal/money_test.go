package paypal

import (
	"math"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// TestMoneyBothWays guards I10: for each of PayPal's currencies an amount goes out in
// the decimals PayPal takes and comes back as the same minor units.
func TestMoneyBothWays(t *testing.T) {
	t.Parallel()
	if len(exponents) != 25 {
		t.Fatalf("%d currencies, PayPal lists 25", len(exponents))
	}
	for currency := range exponents {
		minor, wire := int64(123400), "1234.00"
		switch currency {
		case "huf", "twd": // ISO says two decimals, PayPal none
			wire = "1234"
		case "jpy":
			wire = "123400"
		}
		asked := payment.Money{Minor: minor, Currency: currency}
		got, err := toMoney(asked)
		if err != nil || got.Value != wire || got.CurrencyCode != currency.Upper() {
			t.Errorf("%s: sent as %+v (%v), want %s", currency, got, err, wire)
		}
		back, err := got.parse()
		if err != nil || back != asked {
			t.Errorf("%s: came back as %v (%v), want %v", currency, back, err, asked)
		}
		if err := supports(asked); err != nil {
			t.Errorf("%s: %v", currency, err)
		}
	}
}

// TestMoneyRefused guards "never rounded": what PayPal can't take exactly is an error.
func TestMoneyRefused(t *testing.T) {
	t.Parallel()
	for _, m := range []payment.Money{
		{Minor: 123401, Currency: "huf"},
		{Minor: 150, Currency: "twd"},
		{Minor: 100, Currency: "krw"},
		{Minor: 100, Currency: "kwd"},
		{Minor: 100, Currency: ""},
		{Minor: 0, Currency: "usd"},
		{Minor: -100, Currency: "usd"},
	} {
		if supports(m) == nil {
			t.Errorf("%d %s is supported, want a refusal", m.Minor, m.Currency)
		}
	}
	for _, m := range []*money{
		nil,
		{"USD", ""},
		{"USD", "1.999"},
		{"USD", "1e3"},
		{"USD", "NaN"},
		{"USD", "1,00"},
		{"USD", " 1"},
		{"USD", "--1"},
		{"USD", "92233720368547758.08"},
		{"JPY", "1.5"},
		{"ZZZ", "1"},
		{"", "1"},
		{"USD", "."},
		{"USD", "1."},
	} {
		if got, err := m.parse(); err == nil {
			t.Errorf("%+v was read as %v", m, got)
		}
	}
}

// TestMoneyRead reads the forms PayPal's pattern allows.
func TestMoneyRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   money
		want int64
	}{
		{money{"USD", "19.99"}, 1999},
		{money{"USD", "5"}, 500},
		{money{"USD", "0.1"}, 10},
		{money{"USD", ".50"}, 50},
		{money{"USD", "-.50"}, -50},
		{money{"USD", "-3.10"}, -310},
		{money{"HUF", "500"}, 50000},
		{money{"HUF", "500.00"}, 50000},
		{money{"JPY", "500"}, 500},
		{money{"JPY", "500.00"}, 500},
		{money{"KWD", "1.234"}, 1234},
		{money{"USD", "92233720368547758.07"}, math.MaxInt64},
	} {
		got, err := c.in.parse()
		if err != nil || got.Minor != c.want {
			t.Errorf("%+v was read as %v (%v), want %d", c.in, got, err, c.want)
		}
	}
}

// FuzzMoney: whatever is read goes back out to the same value, or is refused.
func FuzzMoney(f *testing.F) {
	for _, s := range []string{"0", "1", "19.99", "-3.1", ".5", "500.00", "1e9", "99999999999999999999", "１"} {
		f.Add("USD", s)
		f.Add("HUF", s)
	}
	f.Fuzz(func(t *testing.T, currency, value string) {
		m := &money{CurrencyCode: currency, Value: value}
		got, err := m.parse()
		if err != nil {
			return
		}
		wire, err := toMoney(got)
		if err != nil {
			return
		}
		if back, err := wire.parse(); err != nil || back != got {
			t.Fatalf("%q %q: read %v, sent %+v, read %v (%v)", currency, value, got, wire, back, err)
		}
	})
}
