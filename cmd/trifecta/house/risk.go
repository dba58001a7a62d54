package house

import (
	"slices"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

// policies makes each app's rules against fraud: the default ones, those of a name
// replaced by what the configuration says of it.
func policies(cfg config.Config) func(app string, mode payment.Mode) risk.Policy {
	return func(app string, _ payment.Mode) risk.Policy {
		var ours []risk.Rule
		replaced := map[risk.Name]bool{}
		for _, r := range cfg.Risk {
			if r.App != "" && r.App != app {
				continue
			}
			name := risk.Name(r.Rule)
			if replaced[name] = true; !r.Off {
				ours = append(ours, rule(r))
			}
		}
		rules := slices.DeleteFunc(risk.Default().Rules, func(r risk.Rule) bool { return replaced[r.Name] })
		return risk.Policy{Rules: append(rules, ours...)}
	}
}

func rule(r config.RiskRule) risk.Rule {
	out := risk.Rule{
		Name: risk.Name(r.Rule), Threshold: r.Threshold, Window: r.Window, Min: r.Min, Codes: r.Codes, DryRun: r.DryRun, Confirm: r.Confirm,
	}
	for _, a := range r.Actions {
		out.Actions = append(out.Actions, risk.Action(a))
	}
	return out.Defaulted()
}
