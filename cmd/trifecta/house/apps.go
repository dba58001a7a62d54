package house

import (
	"fmt"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// disputePolicy is an app's policy as the gateway knows it.
func disputePolicy(c config.DisputePolicy) gateway.DisputePolicy {
	limits := func(in map[string]int64) map[payment.Currency]int64 {
		out := make(map[payment.Currency]int64, len(in))
		for currency, minor := range in {
			out[payment.Currency(currency)] = minor
		}
		return out
	}
	return gateway.DisputePolicy{AcceptUnder: limits(c.AcceptUnder), AlertAbove: limits(c.AlertAbove), Contest: c.Contest, DryRun: c.DryRun}
}

// configuredApps are the apps as the gateway knows them.
func configuredApps(c config.Config) ([]gateway.App, error) {
	apps := make([]gateway.App, 0, len(c.Apps))
	for _, a := range c.Apps {
		policy := disputePolicy(a.Disputes)
		if err := policy.Check(); err != nil {
			return nil, fmt.Errorf("apps: %s: disputes: %w", a.Name, err)
		}
		apps = append(apps, gateway.App{Name: a.Name, Mode: payment.Mode(a.Mode), ReturnOrigins: a.ReturnOrigins, Disputes: policy})
	}
	return apps, nil
}
