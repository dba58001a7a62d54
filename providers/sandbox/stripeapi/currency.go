package stripeapi

import (
	"fmt"
	"strings"
)

// currencies are those that Stripe can present (Stripe docs: currencies).
const currencies = " usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf clp cny cop crc cve czk" +
	" djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl hrk htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt" +
	" lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mro mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf" +
	" sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw "

const (
	zeroDecimal  = " bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf "
	threeDecimal = " bhd jod kwd omr tnd "
	wholeUnits   = " isk ugx " // sent x100, without a fraction
	maxAmount    = 999_999_999_999
)

func in(set, currency string) bool { return strings.Contains(set, " "+currency+" ") }

// readCurrency reads a required currency.
func (f form) readCurrency(key string) (string, *apiError) {
	c := strings.ToLower(f.get(key))
	if c == "" {
		return "", missing(key)
	}
	if len(c) != 3 || strings.Contains(c, " ") || !in(currencies, c) {
		return "", invalid(key, "Invalid currency: "+c+". Stripe currently supports these currencies:"+strings.TrimRight(currencies, " "))
	}
	return c, nil
}

// checkAmount refuses what a currency can't express: 0 or less, too much, and
// fractions that Stripe does not take (Stripe docs: special cases).
func checkAmount(key string, amount int64, currency string) *apiError {
	switch {
	case amount < 1:
		return &apiError{status: 400, typ: typeInvalid, code: "parameter_invalid_integer", param: key, msg: "This value must be greater than or equal to 1."}
	case amount > maxAmount:
		return &apiError{status: 400, typ: typeInvalid, code: "amount_too_large", param: key, msg: "Amount must be no more than 999999999999."}
	case in(threeDecimal, currency) && amount%10 != 0, in(wholeUnits, currency) && amount%100 != 0:
		return invalid(key, "Invalid amount for "+currency+": the last digits must be 0.")
	}
	return nil
}

// display writes an amount for people.
func display(amount int64, currency string) string {
	digits := 2
	if in(zeroDecimal, currency) {
		digits = 0
	}
	if in(threeDecimal, currency) {
		digits = 3
	}
	s := fmt.Sprintf("%0*d", digits+1, amount)
	if digits > 0 {
		s = s[:len(s)-digits] + "." + s[len(s)-digits:]
	}
	return s + " " + strings.ToUpper(currency)
}
