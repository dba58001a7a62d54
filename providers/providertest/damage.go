package providertest

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Damage walks into a JSON value as the bytes of place say and puts something else
// there, or removes what is there.
func Damage(v any, place []byte, value any) any {
	if len(place) == 0 {
		return value
	}
	step := int(place[0])
	switch x := v.(type) {
	case map[string]any:
		names := slices.Sorted(maps.Keys(x))
		if len(names) == 0 {
			return value
		}
		k := names[step%len(names)]
		if len(place) == 1 && step >= 128 {
			delete(x, k)
			return x
		}
		x[k] = Damage(x[k], place[1:], value)
		return x
	case []any:
		if len(x) == 0 {
			return value
		}
		x[step%len(x)] = Damage(x[step%len(x)], place[1:], value)
		if step >= 128 {
			x = append(x, x[step%len(x)])
		}
		return x
	}
	return value
}

// Sound merges an observation twice and judges every amount in it.
func Sound(t testing.TB, obs payment.Observation) {
	t.Helper()
	facts := (payment.Facts{}).Observe(obs).Observe(obs)
	facts.Status()
	if _, err := json.Marshal(facts); err != nil {
		t.Fatalf("can't be stored: %v", err)
	}
	judge := func(what, id string, minors ...int64) {
		for _, m := range minors {
			if m < 0 || m > 1<<53 || id == "" {
				t.Fatalf("%s %q has the amount %d", what, id, m)
			}
		}
	}
	for _, x := range facts.Attempts {
		judge("attempt", x.Key.ID, x.Total.Minor, x.Discount, x.Tax, x.Shipping)
	}
	for _, x := range facts.Authorizations {
		judge("authorization", x.Key.ID, x.Amount.Minor, x.Capturable)
	}
	for _, x := range facts.Captures {
		judge("capture", x.Key.ID, x.Amount.Minor)
	}
	for _, x := range facts.Refunds {
		judge("refund", x.Key.ID, x.Amount.Minor)
	}
	for _, x := range facts.Reversals {
		judge("reversal", x.Key.ID, x.Amount.Minor)
	}
	for _, x := range facts.Disputes {
		judge("dispute", x.Key.ID, x.Amount.Minor, x.Withheld, x.Returned)
	}
}
