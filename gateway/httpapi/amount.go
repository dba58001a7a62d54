package httpapi

import (
	"strings"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// amountText is an amount as people of a language write it, and the currency's
// code where the symbol alone leaves a doubt (there are many dollars).
type amountText struct {
	Text string
	Code string
}

// symbols are the signs of common currencies; all others are written with their
// code.
var symbols = map[payment.Currency]string{
	"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "krw": "₩", "cad": "CA$", "aud": "A$", "nzd": "NZ$", "mxn": "MX$",
	"brl": "R$", "inr": "₹", "cny": "CN¥", "hkd": "HK$", "twd": "NT$", "ils": "₪", "vnd": "₫",
}

const (
	noBreak     = "\u00a0" // between amount and sign
	thinNoBreak = "\u202f" // between thousands in French
)

// formatAmount writes an amount for a language, with the currency's own number
// of decimals.
func formatAmount(m payment.Money, lang string) amountText {
	group, point, signFirst := ",", ".", true
	switch lang {
	case "de", "es", "it":
		group, point, signFirst = ".", ",", false
	case "fr":
		group, point, signFirst = thinNoBreak, ",", false
	}
	whole, fraction, _ := strings.Cut(payment.FormatDecimal(m.Minor, m.Currency.Exponent()), ".")
	var b strings.Builder
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteString(group)
		}
		b.WriteRune(digit)
	}
	if fraction != "" {
		b.WriteString(point + fraction)
	}
	sign, known := symbols[m.Currency]
	out := amountText{Code: m.Currency.Upper()}
	if !known {
		sign, out.Code = m.Currency.Upper(), ""
		if signFirst {
			sign += noBreak
		}
	}
	if signFirst {
		out.Text = sign + b.String()
	} else {
		out.Text = b.String() + noBreak + sign
	}
	return out
}
