package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
)

// Limits of a dry run.
const (
	MaxDryRunDays    = 180
	maxDryRunPayment = 10_000 // payments one dry run looks at, the newest ones
)

// DryRunInput asks what a policy would have done. Rules nil: the app's own policy.
type DryRunInput struct {
	App   string // empty: every app
	Mode  payment.Mode
	Days  int64
	Rules []risk.Rule
}

// DryRun plays the payments of the last days through a policy. It only reads.
func (s *Service) DryRun(ctx context.Context, c Caller, in DryRunInput) (risk.Report, error) {
	if err := s.riskOff(); err != nil {
		return risk.Report{}, err
	}
	if !c.Operator {
		return risk.Report{}, payment.NewError(payment.CodeForbidden, "A dry run needs an operator key.")
	}
	var f faults
	for i := range in.Rules {
		in.Rules[i] = in.Rules[i].Defaulted()
		for _, fault := range in.Rules[i].Faults() {
			f.add(fmt.Sprintf("/rules/%d", i), "%s", fault)
		}
	}
	if in.Days < 1 || in.Days > MaxDryRunDays {
		f.add("/days", "must be from 1 to %d", MaxDryRunDays)
	}
	if len(in.Rules) > risk.MaxRules {
		f.add("/rules", "must have at most %d rules", risk.MaxRules)
	}
	if err := f.err(); err != nil {
		return risk.Report{}, err
	}
	from := s.now().Add(-time.Duration(in.Days) * 24 * time.Hour)
	var found []*payment.Payment
	truncated, known := false, false
	policy := s.policy
	if in.Rules != nil {
		policy = func(string, payment.Mode) risk.Policy { return risk.Policy{Rules: in.Rules} }
	}
	for _, app := range s.opts.Apps {
		if in.App != "" && app.Name != in.App || in.Mode != "" && app.Mode != in.Mode {
			continue
		}
		known = true
		list, more, err := s.since(ctx, app, from, maxDryRunPayment-len(found))
		if err != nil {
			return risk.Report{}, err
		}
		found, truncated = append(found, list...), truncated || more
	}
	if !known {
		return risk.Report{}, payment.Invalid("/app", "must be a configured app in that mode")
	}
	report := risk.Simulate(policy, found)
	report.Truncated = truncated
	return report, nil
}

// since lists an app's newest payments up to a bound; more says that it cut.
func (s *Service) since(ctx context.Context, app App, from time.Time, limit int) (out []*payment.Payment, more bool, err error) {
	f := Filter{App: app.Name, Mode: app.Mode, CreatedFrom: from, Limit: 100}
	for len(out) < limit {
		list, next, err := s.opts.Payments.List(ctx, f)
		if err != nil {
			return nil, false, storeError(err)
		}
		out = append(out, list...)
		if next == "" {
			return out, false, nil
		}
		f.After = next
	}
	return out[:max(0, limit)], true, nil
}
