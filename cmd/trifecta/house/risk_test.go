package house

import (
	"slices"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

// Guards the two lists of words: the configuration knows every rule and action that
// there is, and no other.
func TestConfigurationKnowsTheRules(t *testing.T) {
	t.Parallel()
	var names, actions []string
	for _, n := range risk.Names() {
		names = append(names, string(n))
	}
	for _, a := range risk.Actions() {
		actions = append(actions, string(a))
	}
	slices.Sort(names)
	slices.Sort(actions)
	if got := slices.Sorted(slices.Values(config.RiskRules())); !slices.Equal(got, names) {
		t.Errorf("configurable rules %v, rules %v", got, names)
	}
	if got := slices.Sorted(slices.Values(config.RiskActions())); !slices.Equal(got, actions) {
		t.Errorf("configurable actions %v, actions %v", got, actions)
	}
}

// Guards policies: a configured rule replaces the default ones of its name, for its app
// only, takes the default of what it leaves out, and can be switched off.
func TestPolicies(t *testing.T) {
	t.Parallel()
	of := policies(config.Config{Risk: []config.RiskRule{
		{App: "shop", Rule: "decline_velocity", Threshold: 3, Actions: []string{"block"}},
		{Rule: "review", Off: true},
		{App: "shop", Rule: "dispute_rate", Threshold: 20},
	}})
	find := func(app string, name risk.Name) (out []risk.Rule) {
		for _, r := range of(app, payment.ModeTest).Rules {
			if r.Name == name {
				out = append(out, r)
			}
		}
		return out
	}
	got := find("shop", risk.DeclineVelocity)
	if len(got) != 1 || got[0].Threshold != 3 || got[0].Window != 30*24*time.Hour || len(got[0].Codes) == 0 || got[0].DryRun || !slices.Equal(got[0].Actions, []risk.Action{risk.ActBlock}) {
		t.Errorf("the shop's velocity: %+v", got)
	}
	if got := find("other", risk.DeclineVelocity); len(got) != 1 || got[0].Threshold != 5 || !got[0].DryRun {
		t.Errorf("another app's velocity: %+v", got)
	}
	if len(find("shop", risk.ReviewOpened))+len(find("other", risk.ReviewOpened)) != 0 {
		t.Error("a rule that is off is there")
	}
	if len(find("shop", risk.DisputeRate)) != 1 || len(find("other", risk.DisputeRate)) != 2 {
		t.Error("a configured rate must replace both default ones, for its app")
	}
	for _, app := range []string{"shop", "other"} {
		for _, r := range of(app, payment.ModeTest).Rules {
			if f := r.Faults(); len(f) > 0 {
				t.Errorf("%s %s: %v", app, r.Name, f)
			}
		}
	}
}
