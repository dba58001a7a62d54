package payment

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Guards I10: writing an amount as a decimal text and reading it back is the
// identity, for every amount of every currency.
func TestDecimalRoundTrip(t *testing.T) {
	t.Parallel()
	currencies := Currencies()
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(currencies).Draw(t, "currency")
		minor := rapid.OneOf(rapid.Int64Range(-1000, 1000), rapid.Int64Range(-MaxMinor, MaxMinor), rapid.Int64Range(-math.MaxInt64, math.MaxInt64)).Draw(t, "minor")
		text := FormatDecimal(minor, c.Exponent())
		got, err := ParseDecimal(text, c.Exponent())
		if err != nil || got != minor {
			t.Fatalf("%s: %d is %q, and back %d (%v)", c, minor, text, got, err)
		}
		if _, fraction, _ := strings.Cut(text, "."); len(fraction) != c.Exponent() {
			t.Fatalf("%s: %q does not have %d decimals", c, text, c.Exponent())
		}
	})
}

// Guards that whatever text arrives, reading it never panics, and what it
// accepts is a plain decimal whose value it kept.
func TestParseDecimalNeverGuesses(t *testing.T) {
	t.Parallel()
	plain := regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[-+ ]?[0-9]{0,21}[.,]?[0-9]{0,5}(e[0-9])?`)).Draw(t, "text")
		exponent := rapid.IntRange(0, 3).Draw(t, "exponent")
		minor, err := ParseDecimal(text, exponent)
		if err != nil {
			return
		}
		if !plain.MatchString(text) {
			t.Fatalf("%q was read as %d", text, minor)
		}
		trim := func(s string) string { // the value, without what does not count
			sign := strings.HasPrefix(s, "-")
			whole, fraction, _ := strings.Cut(strings.TrimPrefix(s, "-"), ".")
			value := strings.TrimLeft(whole, "0") + "." + strings.TrimRight(fraction, "0")
			if sign && value != "." {
				value = "-" + value
			}
			return value
		}
		if back := FormatDecimal(minor, exponent); trim(back) != trim(text) {
			t.Fatalf("%q was read as %q", text, back)
		}
	})
}

// Guards C7 and C8 of the security list, and the classics that floats get wrong.
func TestParseDecimalCases(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text     string
		exponent int
		want     int64
	}{
		{"19.99", 2, 1999},
		{"1.15", 2, 115},
		{"0.29", 2, 29},
		{"5", 2, 500},
		{"5.1", 2, 510},
		{"0.00", 2, 0},
		{"-0", 2, 0},
		{"-0.01", 2, -1},
		{"-12.34", 2, -1234},
		{"007.50", 2, 750},
		{"500.00", 0, 500},
		{"500", 0, 500},
		{"1.2340", 3, 1234},
		{"9007199254740993", 0, 9007199254740993}, // the first integer a float64 can't hold
		{"90071992547409.93", 2, 9007199254740993},
		{"9223372036854775807", 0, math.MaxInt64},
	} {
		if got, err := ParseDecimal(c.text, c.exponent); err != nil || got != c.want {
			t.Errorf("ParseDecimal(%q, %d) = %d, %v; want %d", c.text, c.exponent, got, err, c.want)
		}
	}
	for _, c := range []struct {
		text     string
		exponent int
	}{
		{"", 2},
		{"-", 2},
		{".", 2},
		{"-.", 2},
		{"+5", 2},
		{" 5", 2},
		{"5 ", 2},
		{"5.", 2},
		{".5", 2},
		{"--5", 2},
		{"-+5", 2},
		{"1e3", 2},
		{"1E3", 2},
		{"0x10", 2},
		{"1_000", 2},
		{"1,000", 2},
		{"1,5", 2},
		{"5.5.5", 2},
		{"5.0.0", 1},
		{"5.-1", 2},
		{"NaN", 2},
		{"Inf", 2},
		{"٥", 2},
		{"５", 2},
		{"5\x00", 2},
		{"5\n", 2},
		{"0.1", 0},
		{"100.5", 0},
		{"1.2345", 3},
		{"19.999", 2},
		{"0.001", 2},
		{"9223372036854775808", 0},
		{"92233720368547758.08", 2},
		{"99999999999999999999", 0},
		{strings.Repeat("9", 41), 0},
		{strings.Repeat("0", 41), 2},
	} {
		if got, err := ParseDecimal(c.text, c.exponent); err == nil {
			t.Errorf("ParseDecimal(%q, %d) = %d, want an error", c.text, c.exponent, got)
		}
	}
	if _, err := ParseDecimal("9223372036854775808", 0); !errors.Is(err, ErrOverflow) {
		t.Errorf("too large is %v, want ErrOverflow", err)
	}
}

// Guards amounts in logs and alerts: they read as people write them, in each currency's own digits.
func TestMoneyString(t *testing.T) {
	t.Parallel()
	for m, want := range map[Money]string{usd(1999): "19.99 USD", usd(-5): "-0.05 USD", {500, "jpy"}: "500 JPY", {1234, "kwd"}: "1.234 KWD"} {
		if m.String() != want {
			t.Errorf("%#v is %q, want %q", m, m.String(), want)
		}
	}
}

// Guards the table of currencies: sorted, three letters, each once, known in any
// case, exponents by ISO 4217; retired, test and invented codes are refused.
func TestCurrencies(t *testing.T) {
	t.Parallel()
	all := Currencies()
	if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) || len(all) < 140 {
		t.Errorf("%d currencies, not sorted, with doubles, or too few", len(all))
	}
	letters := regexp.MustCompile(`^[a-z]{3}$`)
	for _, c := range all {
		for _, spelled := range []string{string(c), c.Upper(), strings.ToUpper(string(c[:1])) + string(c[1:])} {
			if got, err := ParseCurrency(spelled); err != nil || got != c || !letters.MatchString(string(got)) {
				t.Errorf("ParseCurrency(%q) = %q, %v", spelled, got, err)
			}
		}
		if e := c.Exponent(); e != 0 && e != 2 && e != 3 {
			t.Errorf("%s has exponent %d", c, e)
		}
	}
	for c, want := range map[Currency]int{"usd": 2, "eur": 2, "gbp": 2, "huf": 2, "twd": 2, "jpy": 0, "krw": 0, "isk": 0, "clp": 0, "ugx": 0, "vnd": 0, "kwd": 3, "bhd": 3, "tnd": 3, "jod": 3, "omr": 3} {
		if got := c.Exponent(); got != want || !slices.Contains(all, c) {
			t.Errorf("%s has exponent %d, want %d", c, got, want)
		}
	}
	for _, bad := range []string{"", "us", "usdd", "u d", " us", "us ", "123", "xxx", "xts", "xau", "xdr", "dem", "frf", "hrk", "ltl", "vef", "zwl", "ang", "bgn", "btc", "ＵＳＤ", "\u212arw", "usd\x00"} {
		if got, err := ParseCurrency(bad); err == nil {
			t.Errorf("ParseCurrency(%q) = %q, want an error", bad, got)
		}
	}
}
