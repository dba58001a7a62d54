package providertest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// checks: a cheap read tells that the credentials work, from which mode, and what
// time the provider has.
func checks(t *testing.T, h Harness) {
	checker, ok := h.Provider.(providers.Checker)
	if !ok {
		t.Skip("the adapter has no check")
	}
	health, err := checker.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if health.Date.IsZero() {
		t.Error("the answer's date is missing")
	}
	if health.Known && health.Live != (h.Provider.Info().Mode == payment.ModeLive) {
		t.Errorf("live is %v for an account in %s mode", health.Live, h.Provider.Info().Mode)
	}
}

// registers: a webhook URL is registered for what we need, found again, and put right.
func registers(t *testing.T, h Harness) {
	r, ok := h.Provider.(providers.Registrar)
	if !ok {
		t.Skip("the adapter can't register webhooks")
	}
	const url = "https://pay.example.com/webhooks/x/y"
	before, err := r.Endpoints(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.CreateEndpoint(t.Context(), url, false, "register-1")
	if err != nil {
		t.Fatal(err)
	}
	needs := r.EndpointNeeds()
	if missing := needs.Missing(made); made.URL != url || !made.Enabled || made.Version != needs.Version || len(missing) > 0 || len(needs.Events) < 5 {
		t.Errorf("made %+v, missing %v", made, missing)
	}
	made.Secret = "" // shown once
	listed := func() providers.Endpoint {
		t.Helper()
		list, err := r.Endpoints(t.Context())
		if err != nil || len(list) != len(before)+1 {
			t.Fatalf("list: %d, %v", len(list), err)
		}
		at := slices.IndexFunc(list, func(e providers.Endpoint) bool { return e.ID == made.ID })
		if at < 0 {
			t.Fatalf("%s is not in the list", made.ID)
		}
		return list[at]
	}
	if diff := cmp.Diff(made, listed()); diff != "" {
		t.Errorf("listed (-made +listed):\n%s", diff)
	}
	few := needs.Events[:2]
	if _, err := r.UpdateEndpoint(t.Context(), made.ID, few, "update-1"); err != nil {
		t.Fatal(err)
	}
	if got := listed(); !slices.Equal(got.Events, few) || len(needs.Missing(got)) != len(needs.Events)-2 {
		t.Errorf("after an update it has %v", got.Events)
	}
	if _, err := r.UpdateEndpoint(t.Context(), "nope-1", few, "update-2"); providers.ClassOf(err) != providers.NotFound {
		t.Errorf("updating what isn't there: %v", err)
	}
}
