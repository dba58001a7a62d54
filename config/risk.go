package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RiskRule is one rule against fraud. It replaces the default rules of its name, for
// one app or for all.
type RiskRule struct {
	// App is the app it is for; "" means every app.
	App string
	// Rule is one of RiskRules.
	Rule string
	// Threshold is a count, a factor or basis points, by the rule; 0 means its default.
	Threshold int64
	// Window is how far back it counts; 0 means its default.
	Window time.Duration
	// Min is the evidence without which it says nothing; 0 means its default.
	Min int64
	// Codes are the decline codes that count; none means the default ones.
	Codes []string
	// Actions are among RiskActions; none means its default.
	Actions []string
	// DryRun: it says what it would do and does nothing. True unless switched off.
	DryRun bool
	// Confirm: it acts once an operator confirms each decision.
	Confirm bool
	// Off switches the rule off.
	Off bool
}

// RiskRules are the rules there are.
func RiskRules() []string {
	return []string{
		"decline_velocity", "distinct_cards", "amount_anomaly", "currency_anomaly", "fraud_warning", "review", "shared_payer", "blocked_payer",
		"dispute_rate",
	}
}

// RiskActions are the actions there are.
func RiskActions() []string { return []string{"observe", "alert", "hold", "block", "cancel", "refund"} }

type rawRisk struct {
	App       string   `yaml:"app" env:"APP"`
	Rule      string   `yaml:"rule" env:"RULE"`
	Threshold int64    `yaml:"threshold" env:"THRESHOLD"`
	Window    string   `yaml:"window" env:"WINDOW"`
	Min       int64    `yaml:"min" env:"MIN"`
	Codes     []string `yaml:"codes" env:"CODES"`
	Actions   []string `yaml:"actions" env:"ACTIONS"`
	DryRun    *bool    `yaml:"dry_run" env:"DRY_RUN"`
	Confirm   bool     `yaml:"confirm" env:"CONFIRM"`
	Off       bool     `yaml:"off" env:"OFF"`
}

func (l *loader) riskRules(in []rawRisk) []RiskRule {
	out := make([]RiskRule, 0, len(in))
	for i, r := range in {
		window, err := days(r.Window)
		if err != nil {
			l.faults.add(fmt.Sprintf("risk[%d].window", i), "is not a length of time", "Write it like 30d, 12h or 90m")
		}
		out = append(out, RiskRule{
			App: r.App, Rule: r.Rule, Threshold: r.Threshold, Window: window, Min: r.Min, Codes: r.Codes, Actions: r.Actions,
			// Nothing is done by itself before somebody says so.
			DryRun: (r.DryRun == nil || *r.DryRun) && !r.Confirm, Confirm: r.Confirm, Off: r.Off,
		})
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// days reads a duration that may be written in days.
func days(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if whole, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(whole, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

// maxRiskWindow is the longest window of a rule.
const maxRiskWindow = 180 * 24 * time.Hour

func (v *validator) risk() {
	for i, r := range v.cfg.Risk {
		at := fmt.Sprintf("risk[%d].", i)
		if !slices.Contains(RiskRules(), r.Rule) {
			v.add(at+"rule", "is no rule", "It is one of %s", strings.Join(RiskRules(), ", "))
		}
		if r.App != "" && !slices.ContainsFunc(v.cfg.Apps, func(a App) bool { return a.Name == r.App }) {
			v.add(at+"app", "is no configured app", "Name one of apps, or leave it out for all of them")
		}
		if r.Threshold < 0 || r.Threshold > 10_000 {
			v.add(at+"threshold", "is not from 1 to 10000", "Leave it out for the rule's default")
		}
		if r.Min < 0 || r.Min > 10_000 {
			v.add(at+"min", "is not from 1 to 10000", "Leave it out for the rule's default")
		}
		if r.Window < 0 || r.Window > 0 && r.Window < time.Minute || r.Window > maxRiskWindow {
			v.add(at+"window", "is not from 1m to 180d", "Leave it out for the rule's default")
		}
		for _, a := range r.Actions {
			switch {
			case !slices.Contains(RiskActions(), a):
				v.add(at+"actions", "has an action that there is not", "They are among %s", strings.Join(RiskActions(), ", "))
			case r.Rule == "dispute_rate" && a != "observe" && a != "alert":
				v.add(at+"actions", "of dispute_rate can only be observe and alert", "It is about an account, not about a customer")
			}
		}
	}
	if len(v.cfg.Risk) > 50 {
		v.add("risk", "has more than 50 rules", "Merge some of them")
	}
}
