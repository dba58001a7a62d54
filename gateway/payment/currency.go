package payment

import (
	"slices"
	"strings"
)

// activeCurrencies are the ISO 4217 codes of national currencies in use, and
// the exponents that are not 2 stand in oddExponents. Funds, metals and test
// codes are left out: nobody can be charged in them.
const activeCurrencies = "aed afn all amd aoa ars aud awg azn bam bbd bdt bhd bif bmd bnd bob brl bsd btn bwp byn bzd " +
	"cad cdf chf clp cny cop crc cup cve czk djf dkk dop dzd egp ern etb eur fjd fkp gbp gel ghs gip gmd gnf gtq gyd " +
	"hkd hnl htg huf idr ils inr iqd irr isk jmd jod jpy kes kgs khr kmf kpw krw kwd kyd kzt lak lbp lkr lrd lsl lyd " +
	"mad mdl mga mkd mmk mnt mop mru mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg " +
	"qar ron rsd rub rwf sar sbd scr sdg sek sgd shp sle sos srd ssp stn svc syp szl thb tjs tmt tnd top try ttd twd tzs " +
	"uah ugx usd uyu uzs ved ves vnd vuv wst xaf xcd xcg xof xpf yer zar zmw zwg"

// exponentOf is the ISO 4217 exponent and whether the currency is active.
func exponentOf(c Currency) (int, bool) {
	if len(c) != 3 || !strings.Contains(" "+activeCurrencies+" ", " "+string(c)+" ") {
		return 0, false
	}
	switch c {
	case "bif", "clp", "djf", "gnf", "isk", "jpy", "kmf", "krw", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf":
		return 0, true
	case "bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd":
		return 3, true
	default:
		return 2, true
	}
}

// Currencies lists every active currency, sorted.
func Currencies() []Currency {
	fields := strings.Fields(activeCurrencies)
	out := make([]Currency, 0, len(fields))
	for _, f := range fields {
		out = append(out, Currency(f))
	}
	slices.Sort(out)
	return out
}
