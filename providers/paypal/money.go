package paypal

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// exponents are the currencies PayPal takes and how many decimals it accepts for
// each (PayPal docs: "Currency codes"). HUF, JPY and TWD take none, although ISO 4217
// gives HUF and TWD two.
var exponents = map[payment.Currency]int{
	"aud": 2, "brl": 2, "cad": 2, "cny": 2, "czk": 2, "dkk": 2, "eur": 2, "hkd": 2, "huf": 0, "ils": 2,
	"jpy": 0, "myr": 2, "mxn": 2, "twd": 0, "nzd": 2, "nok": 2, "php": 2, "pln": 2, "gbp": 2, "rub": 2,
	"sgd": 2, "sek": 2, "chf": 2, "thb": 2, "usd": 2,
}

// money is PayPal's form of an amount: a decimal text beside its currency.
type money struct {
	CurrencyCode string `json:"currency_code"`
	Value        string `json:"value"`
}

// toMoney writes an amount the way PayPal takes it. An amount that PayPal can't
// take exactly is an error; nothing is ever rounded.
func toMoney(m payment.Money) (money, error) {
	exponent, ok := exponents[m.Currency]
	if !ok {
		return money{}, fmt.Errorf("paypal: currency %s is not supported", m.Currency.Upper())
	}
	minor, err := payment.ParseDecimal(payment.FormatDecimal(m.Minor, m.Currency.Exponent()), exponent)
	if err != nil {
		return money{}, fmt.Errorf("paypal: %s takes at most %d decimals here: %w", m.Currency.Upper(), exponent, err)
	}
	return money{CurrencyCode: m.Currency.Upper(), Value: payment.FormatDecimal(minor, exponent)}, nil
}

// parse reads PayPal's form into ISO minor units. Any active currency is read: fees
// and settlements may come in one that PayPal would not take from a customer.
func (m *money) parse() (payment.Money, error) {
	if m == nil {
		return payment.Money{}, fmt.Errorf("paypal: an amount is missing")
	}
	currency, err := payment.ParseCurrency(m.CurrencyCode)
	if err != nil {
		return payment.Money{}, fmt.Errorf("paypal: amount: %w", err)
	}
	value := m.Value
	if strings.HasPrefix(value, ".") { // PayPal OpenAPI money: digits before the point are optional
		value = "0" + value
	} else if strings.HasPrefix(value, "-.") {
		value = "-0" + value[1:]
	}
	minor, err := payment.ParseDecimal(value, currency.Exponent())
	if err != nil {
		return payment.Money{}, fmt.Errorf("paypal: amount: %w", err)
	}
	return payment.Money{Minor: minor, Currency: currency}, nil
}

// supports says whether PayPal can take this amount exactly.
func supports(m payment.Money) error {
	if m.Minor <= 0 {
		return fmt.Errorf("paypal: the amount must be more than zero")
	}
	_, err := toMoney(m)
	return err
}

func negative(m payment.Money) payment.Money {
	return payment.Money{Minor: -m.Minor, Currency: m.Currency}
}

// compare orders amounts by what they say, a missing one first.
func (m *money) compare(o *money) int {
	var x, y money
	if m != nil {
		x = *m
	}
	if o != nil {
		y = *o
	}
	return cmp.Or(strings.Compare(x.CurrencyCode, y.CurrencyCode), strings.Compare(x.Value, y.Value))
}
