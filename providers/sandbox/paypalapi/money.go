package paypalapi

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// money is PayPal's wire form of an amount: a decimal string beside its currency.
type money struct {
	CurrencyCode string `json:"currency_code"`
	Value        string `json:"value"`
}

// currencies are those PayPal accepts (PayPal docs: currency codes).
var currencies = []string{
	"AUD", "BRL", "CAD", "CNY", "CZK", "DKK", "EUR", "HKD", "HUF", "ILS", "JPY", "MYR", "MXN", "TWD", "NZD",
	"NOK", "PHP", "PLN", "GBP", "RUB", "SGD", "SEK", "CHF", "THB", "USD",
}

// wholeUnits are the currencies in which PayPal refuses a decimal point.
var wholeUnits = []string{"HUF", "JPY", "TWD"}

// Amounts are kept in minor units by the ISO 4217 exponent, because the ledger and
// the control API speak that. For HUF and TWD ISO has two decimals where PayPal
// takes none: there one unit of PayPal is 100 minor units.
const isoExponent = 2

func decimals(currency string) int {
	if slices.Contains(wholeUnits, currency) {
		return 0
	}
	return isoExponent
}

// step is the smallest amount PayPal can move, in ISO minor units.
func step(currency string) int64 {
	if currency == "HUF" || currency == "TWD" {
		return 100
	}
	return 1
}

// maxMinor is PayPal's 999999999999999.99 in cents; it leaves room for sums in int64.
const maxMinor = 99999999999999999

var valuePattern = regexp.MustCompile(`^((-?[0-9]+)|(-?([0-9]+)?[.][0-9]+))$`)

// parse answers the amount in ISO minor units, or the issue that PayPal would name.
// With zeroOK an amount of 0 is allowed.
func (m money) parse(zeroOK bool) (int64, string) {
	if !slices.Contains(currencies, m.CurrencyCode) {
		return 0, "INVALID_CURRENCY_CODE"
	}
	if len(m.Value) > 32 || !valuePattern.MatchString(m.Value) {
		return 0, "INVALID_PARAMETER_SYNTAX"
	}
	whole, frac, dotted := strings.Cut(m.Value, ".")
	places := decimals(m.CurrencyCode)
	switch {
	case dotted && places == 0:
		return 0, "DECIMALS_NOT_SUPPORTED"
	case len(frac) > places:
		return 0, "DECIMAL_PRECISION"
	}
	negative := strings.HasPrefix(whole, "-")
	digits := strings.TrimPrefix(whole, "-") + frac + strings.Repeat("0", places-len(frac))
	digits = strings.TrimLeft(digits, "0")
	if len(digits) > 17 {
		return 0, "MAX_VALUE_EXCEEDED"
	}
	n := int64(0)
	if digits != "" {
		v, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return 0, "INVALID_PARAMETER_SYNTAX"
		}
		n = v
	}
	if n > maxMinor/step(m.CurrencyCode) {
		return 0, "MAX_VALUE_EXCEEDED"
	}
	switch {
	case negative && n != 0 && zeroOK:
		return 0, "CANNOT_BE_NEGATIVE"
	case (negative || n == 0) && !zeroOK:
		return 0, "CANNOT_BE_ZERO_OR_NEGATIVE"
	}
	return n * step(m.CurrencyCode), ""
}

// toMoney writes ISO minor units in PayPal's form. minor may be negative; it must be a
// multiple of step(currency).
func toMoney(minor int64, currency string) money {
	n := minor / step(currency)
	if decimals(currency) == 0 {
		return money{currency, strconv.FormatInt(n, 10)}
	}
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return money{currency, fmt.Sprintf("%s%d.%02d", sign, n/100, n%100)}
}

// feeOf is what PayPal keeps of a capture: 3.49 % rounded half up, plus 49 of the
// currency's smallest units, never more than the amount itself. Integer arithmetic.
func feeOf(minor int64, currency string) int64 {
	n := minor / step(currency)
	fee := (n/10000)*349 + ((n%10000)*349+5000)/10000 + 49
	return min(fee, n) * step(currency)
}
