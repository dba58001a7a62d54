package stripe

import (
	"fmt"
	"strings"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// presentment are the currencies that Stripe lists as "Supported presentment
// currencies" (Stripe docs: currencies). Left out although on a list of theirs:
// UGX, because their page contradicts itself on whether it is sent times 100, and
// the three-decimal BHD, JOD, KWD, OMR and TND, whose last digit must be 0 by an
// older page only.
const presentment = " aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bif bmd bnd bob brl bsd bwp byn bzd " +
	"cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd " +
	"hkd hnl htg huf idr ils inr isk jmd jpy kes kgs khr kmf krw kyd kzt lak lbp lkr lrd lsl " +
	"mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln pyg " +
	"qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd szl thb tjs top try ttd twd tzs " +
	"uah usd uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw "

// scale is how Stripe's integer relates to our minor units of a currency:
// stripe = minor * times / per. They differ where Stripe counts other decimals
// than ISO 4217 (Stripe docs: zero-decimal currencies, special cases).
func scale(c payment.Currency) (times, per int64) {
	switch c {
	case "isk": // ISO has no decimals; sent with two, which must be 00
		return 100, 1
	case "mga": // ISO has two decimals (fifths of an ariary); Stripe none
		return 1, 100
	default:
		return 1, 1
	}
}

// supports says whether Stripe can be asked for exactly this amount. Nothing is
// ever rounded.
func supports(m payment.Money) error {
	_, err := toStripe(m)
	if err == nil && m.Minor < 1 {
		err = fmt.Errorf("an amount of %d can't be charged", m.Minor)
	}
	return err
}

// toStripe is the integer that Stripe wants for an amount.
func toStripe(m payment.Money) (int64, error) {
	switch m.Currency {
	case "bhd", "jod", "kwd", "omr", "tnd", "ugx":
		return 0, fmt.Errorf("stripe: %s is not supported, because its amounts can't be sent exactly", m.Currency.Upper())
	}
	if len(m.Currency) != 3 || !strings.Contains(presentment, " "+string(m.Currency)+" ") {
		return 0, fmt.Errorf("stripe does not take the currency %q", m.Currency)
	}
	times, per := scale(m.Currency)
	if m.Minor < 0 || m.Minor > payment.MaxMinor/times {
		return 0, fmt.Errorf("stripe: %d %s is out of range", m.Minor, m.Currency.Upper())
	}
	if m.Minor%per != 0 {
		return 0, fmt.Errorf("stripe takes whole units of %s only, %s is not", m.Currency.Upper(), m)
	}
	return m.Minor * times / per, nil
}

// fromStripe is the amount that an integer of Stripe's means. It reads more than
// we ask for: settlement currencies and other people's objects. An amount that is
// not a whole number of our minor units, or a currency nobody is sure about, is
// an error.
func fromStripe(amount int64, currency stripesdk.Currency) (payment.Money, error) {
	c, err := payment.ParseCurrency(string(currency))
	if err != nil {
		return payment.Money{}, fmt.Errorf("stripe reported %w", err)
	}
	times, per := scale(c)
	if c == "ugx" || amount%times != 0 {
		return payment.Money{}, fmt.Errorf("stripe reported %d %s, which has no exact meaning here", amount, c.Upper())
	}
	if limit := int64(1) << 53; amount > limit || amount < -limit {
		return payment.Money{}, fmt.Errorf("stripe reported %d %s, which is out of range", amount, c.Upper())
	}
	return payment.Money{Minor: amount / times * per, Currency: c}, nil
}
