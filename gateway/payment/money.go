package payment

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// MaxMinor is the largest amount accepted, in minor units: twelve digits, the
// most any card network takes (Stripe docs, "Currencies").
const MaxMinor int64 = 999_999_999_999

// ErrOverflow says that an amount is larger than what can be counted: an adapter lets none
// in whose sums could leave int64.
var ErrOverflow = errors.New("payment: amount overflows")

// Currency is an ISO 4217 code in lower case, such as "usd".
type Currency string

// Money is an amount in minor units of its currency. It is never a float.
type Money struct {
	Minor    int64
	Currency Currency
}

// ParseCurrency accepts an active ISO 4217 code in any case and returns it in
// lower case. Unknown and retired codes are refused.
func ParseCurrency(s string) (Currency, error) {
	if len(s) != 3 {
		return "", fmt.Errorf("payment: %q is not a three-letter ISO 4217 code", s)
	}
	c := Currency(strings.ToLower(s))
	if _, ok := exponentOf(c); !ok {
		return "", fmt.Errorf("payment: %q is not an active ISO 4217 currency", s)
	}
	return c, nil
}

// Exponent is the number of decimal digits of the currency's minor unit by ISO
// 4217: 2 for usd, 0 for jpy, 3 for kwd. Providers differ from ISO for some
// currencies; their adapters keep their own tables.
func (c Currency) Exponent() int {
	e, _ := exponentOf(c)
	return e
}

// Upper is the code in capital letters, as PayPal writes it.
func (c Currency) Upper() string { return strings.ToUpper(string(c)) }

// IsZero says whether the amount is nothing, in whatever currency.
func (m Money) IsZero() bool { return m.Minor == 0 }

// String is the amount for people and logs, such as "19.99 USD".
func (m Money) String() string {
	return FormatDecimal(m.Minor, m.Currency.Exponent()) + " " + m.Currency.Upper()
}

// FormatDecimal writes minor units as a decimal text with exactly exponent
// digits after the point, and no point where exponent is 0.
func FormatDecimal(minor int64, exponent int) string {
	sign := ""
	digits := fmt.Sprintf("%d", minor)
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if exponent == 0 {
		return sign + digits
	}
	for len(digits) <= exponent {
		digits = "0" + digits
	}
	cut := len(digits) - exponent
	return sign + digits[:cut] + "." + digits[cut:]
}

// ParseDecimal reads a decimal text such as "19.99" into minor units with the
// given exponent, digit by digit. It accepts fewer decimals than the exponent,
// and more only where the surplus digits are zeros ("500.00" for a currency
// without decimals); anything else, a value that does not fit included, is an
// error and never rounded.
func ParseDecimal(s string, exponent int) (int64, error) {
	text, negative := s, false
	if strings.HasPrefix(text, "-") {
		negative, text = true, text[1:]
	}
	whole, fraction, hasPoint := strings.Cut(text, ".")
	if whole == "" || (hasPoint && fraction == "") || len(whole)+len(fraction) > 40 {
		return 0, fmt.Errorf("payment: %q is not a decimal amount", s)
	}
	for len(fraction) > exponent {
		if fraction[len(fraction)-1] != '0' {
			return 0, fmt.Errorf("payment: %q has more than %d decimals", s, exponent)
		}
		fraction = fraction[:len(fraction)-1]
	}
	fraction += strings.Repeat("0", exponent-len(fraction))
	var minor int64
	for _, digit := range whole + fraction {
		if digit < '0' || digit > '9' {
			return 0, fmt.Errorf("payment: %q is not a decimal amount", s)
		}
		d := int64(digit - '0')
		if minor > (math.MaxInt64-d)/10 {
			return 0, fmt.Errorf("%w: %q", ErrOverflow, s)
		}
		minor = minor*10 + d
	}
	if negative {
		minor = -minor
	}
	return minor, nil
}
