package config

import "fmt"

// DisputePolicy is what an app wants done by itself with disputes that take money
// and wait for an answer. Nothing unless it is configured.
type DisputePolicy struct {
	// AcceptUnder gives disputes up that are under this many minor units of their
	// currency.
	AcceptUnder map[string]int64
	// AlertAbove leaves disputes above this to people, with a critical alert.
	AlertAbove map[string]int64
	// Contest is the evidence submitted for all others: texts by kind, with
	// placeholders such as {{payment.reference}}.
	Contest map[string]string
	// DryRun: what would be done is written down, and nothing is done. True unless
	// switched off.
	DryRun bool
}

type rawDisputes struct {
	AcceptUnder map[string]int64  `yaml:"accept_under" env:"ACCEPT_UNDER"`
	AlertAbove  map[string]int64  `yaml:"alert_above" env:"ALERT_ABOVE"`
	Contest     map[string]string `yaml:"contest" env:"CONTEST"`
	DryRun      *bool             `yaml:"dry_run" env:"DRY_RUN"`
}

// policy is the app's; the zero value where nothing is configured.
func (r rawDisputes) policy() DisputePolicy {
	if len(r.AcceptUnder)+len(r.AlertAbove)+len(r.Contest) == 0 {
		return DisputePolicy{}
	}
	// Money is given up, and evidence spent, only when somebody said so.
	return DisputePolicy{AcceptUnder: r.AcceptUnder, AlertAbove: r.AlertAbove, Contest: r.Contest, DryRun: r.DryRun == nil || *r.DryRun}
}

// disputes checks amounts and their currencies. Kinds of evidence and placeholders
// are checked where they are known, when the program starts.
func (v *validator) disputes(at string, p DisputePolicy) {
	for _, limits := range []struct {
		name string
		of   map[string]int64
	}{{"accept_under", p.AcceptUnder}, {"alert_above", p.AlertAbove}} {
		for currency, minor := range limits.of {
			path := fmt.Sprintf("%sdisputes.%s", at, limits.name)
			if len(currency) != 3 || currency[0] < 'a' || currency[0] > 'z' || currency[1] < 'a' || currency[1] > 'z' || currency[2] < 'a' || currency[2] > 'z' {
				v.add(path, fmt.Sprintf("names the currency %q", currency), "Write the three letters in lower case, such as usd")
			}
			if minor <= 0 {
				v.add(path, "is not a positive number of minor units", "Write 1500 for 15 dollars")
			}
		}
	}
	for currency, low := range p.AcceptUnder {
		if high, ok := p.AlertAbove[currency]; ok && high < low {
			v.add(at+"disputes.alert_above", "is below accept_under", "What is given up must be less than what people are called for")
		}
	}
}
