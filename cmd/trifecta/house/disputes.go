package house

import (
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
