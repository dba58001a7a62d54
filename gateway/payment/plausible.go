package payment

import "fmt"

// MaxReported is the largest amount that an observation may hold, in minor units:
// what every JSON reader carries exactly. It is beyond MaxMinor, because a provider
// also reports sums and settlements.
const MaxReported int64 = 1 << 53

// Check refuses what no provider can mean: an object without an id, an amount of
// money moved that is below zero, and any amount beyond MaxReported. An adapter asks
// it before it reports: a fact can't be taken back, and money that can't be counted
// must not look like none. Fees and nets may be below zero.
func (o Observation) Check() error {
	c := checker{}
	for _, a := range o.Facts.Attempts {
		c.object("attempt", a.Key, a.Total.Minor, a.Discount, a.Tax, a.Shipping)
	}
	for _, a := range o.Facts.Authorizations {
		c.object("authorization", a.Key, a.Amount.Minor, a.Capturable)
	}
	for _, x := range o.Facts.Captures {
		c.object("capture", x.Key, x.Amount.Minor)
	}
	for _, r := range o.Facts.Refunds {
		c.object("refund", r.Key, r.Amount.Minor)
	}
	for _, r := range o.Facts.Reversals {
		c.object("reversal", r.Key, r.Amount.Minor)
	}
	for _, d := range o.Facts.Disputes {
		c.object("dispute", d.Key, d.Amount.Minor, d.Withheld, d.Returned)
	}
	for _, w := range o.Facts.Warnings {
		c.object("warning", w.Key)
	}
	for _, r := range o.Facts.Reviews {
		c.object("review", r.Key)
	}
	for _, f := range o.Facts.Fees {
		c.object("fee", f.Key, max(f.Fee.Minor, -f.Fee.Minor), max(f.Net.Minor, -f.Net.Minor))
	}
	return c.err
}

type checker struct{ err error }

func (c *checker) object(what string, key ObjectKey, minors ...int64) {
	if c.err != nil {
		return
	}
	if key.ID == "" {
		c.err = fmt.Errorf("payment: a %s without an id", what)
		return
	}
	for _, m := range minors {
		if m < 0 || m > MaxReported {
			c.err = fmt.Errorf("payment: %s %s has an amount of %d, which nobody can mean", what, key.ID, m)
			return
		}
	}
}
