package gateway

import (
	"context"
	"encoding/json"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// lookUp reads whether an earlier try took effect, where repeating it with its
// key would prove nothing. Found: adopted. A checkout that can't be found is
// given up, because its URL never left us; money operations are tried again
// only after a second look-up later finds nothing either.
func (s *Service) lookUp(ctx context.Context, p *payment.Payment, op payment.Operation, account *providers.Account, a providers.Attempt) (payment.Outcome, *payment.Observation, error) {
	if op.Kind == payment.OpCreate {
		return s.lookUpCheckout(ctx, op, account)
	}
	obs, err := account.Fetch(ctx, a)
	if err != nil && (op.Kind.OnDispute() || !providers.Beside(err) || !obs.Complete) {
		return payment.Outcome{State: payment.OpUnknown}, nil, err
	}
	obs.N = op.N
	seen := p.Facts.Observe(obs)
	if ref, found := effect(seen, p, op); found {
		return payment.Outcome{State: payment.OpDone, Ref: ref}, &obs, nil
	}
	// A close is looked for only where it must not be sent again: else it reads first, and closes.
	if fact, known := seen.AttemptFact(op.N); op.Kind == payment.OpClose && known && fact.State.Dead() {
		return payment.Outcome{State: payment.OpDone, Ref: fact.Key.ID}, &obs, nil
	}
	return payment.Outcome{State: payment.OpUnknown, LookedUp: !obs.Rootless}, &obs, nil
}

func (s *Service) lookUpCheckout(ctx context.Context, op payment.Operation, account *providers.Account) (payment.Outcome, *payment.Observation, error) {
	var req providers.CheckoutRequest
	if err := json.Unmarshal(op.Params, &req); err != nil {
		broken := &providers.Error{Class: providers.Refused, Op: "find_checkout", Code: "stored_request_unreadable", Cause: err}
		return payment.Outcome{State: payment.OpFailed, Code: payment.CodeInternal}, nil, broken
	}
	res, found, can, err := account.FindCheckout(ctx, req, op.CreatedAt)
	if err != nil {
		return payment.Outcome{State: payment.OpUnknown}, nil, err
	}
	if can && found {
		res.Observation.N = op.N
		return payment.Outcome{State: payment.OpDone, Ref: res.Ref}, &res.Observation, nil
	}
	return payment.Outcome{
		State: payment.OpFailed, Code: payment.CodeProviderUnavailable,
		Failure: payment.Failure{Code: "creation_given_up", Message: "The provider never confirmed the checkout."},
	}, nil, nil
}

// effect says whether a fresh snapshot shows what the operation was to do, and
// in which provider object.
func effect(seen payment.Facts, p *payment.Payment, op payment.Operation) (string, bool) {
	switch op.Kind {
	case payment.OpRefund:
		for _, r := range seen.Refunds {
			if r.Operation == op.ID {
				return r.Key.ID, true
			}
		}
	case payment.OpCapture:
		taken := map[string]bool{}
		for _, other := range p.Operations {
			if other.Kind == payment.OpCapture && other.ID != op.ID && other.State == payment.OpDone {
				taken[other.Ref] = true
			}
		}
		for _, c := range seen.Captures {
			if c.N == op.N && c.State != payment.CaptureDeclined && !taken[c.Key.ID] && !foreign(c, op) {
				return c.Key.ID, true
			}
		}
	case payment.OpAuthorize:
		for _, a := range seen.Authorizations {
			if a.N == op.N {
				return a.Key.ID, true
			}
		}
	case payment.OpVoid:
		for _, a := range seen.Authorizations {
			if a.Key.ID == op.Target && a.State == payment.AuthVoided {
				return a.Key.ID, true
			}
		}
	case payment.OpAcceptDispute, payment.OpSaveEvidence, payment.OpSubmitEvidence:
		return disputeEffect(seen, op)
	case payment.OpCreate, payment.OpClose:
	}
	return "", false
}

// foreign says that a capture can't be the effect of this operation: it is of
// another amount and was made before the operation was ordered. Anything less
// certain counts as ours, because taking money twice is worse than a conflict.
func foreign(c payment.Capture, op payment.Operation) bool {
	return c.Amount != op.Amount && c.Created.Before(op.CreatedAt.Add(-payment.ClockGap))
}
