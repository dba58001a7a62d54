package stripe

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers/providertest"
)

// TestRadarIsSeen: issuers' early warnings and reviews are facts of the charge's
// payment, a full refund ends what can be done about a warning, and both are swept.
func TestRadarIsSeen(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	at := l.begin(t, false)
	if err := l.pay(t, at.Root, providertest.PayNow); err != nil {
		t.Fatal(err)
	}
	charge := l.fetched(t, at).Captures[0].Key.ID
	before := l.world.Now().Add(-time.Minute)
	warning, _ := l.must(t, "early_fraud_warnings", map[string]any{"charge": charge})["early_fraud_warning"].(string)
	review, _ := l.must(t, "reviews", map[string]any{"charge": charge, "reason": "rule"})["review"].(string)
	check := func(what string, actionable bool, closed string) {
		t.Helper()
		f := l.fetched(t, at)
		if len(f.Warnings) != 1 || len(f.Reviews) != 1 {
			t.Fatalf("%s: %+v %+v", what, f.Warnings, f.Reviews)
		}
		w := f.Warnings[0]
		if w.Key.ID != warning || w.Capture != charge || w.Actionable != actionable || w.FraudType != "made_with_stolen_card" || w.Created.IsZero() {
			t.Errorf("%s: %+v", what, w)
		}
		r := f.Reviews[0]
		if r.Key.ID != review || r.Capture != charge || r.Open != (closed == "") || r.Opened != "rule" || r.Closed != closed {
			t.Errorf("%s: %+v", what, r)
		}
	}
	check("new", true, "")
	l.world.Advance(t.Context(), time.Minute)
	for list, id := range map[string]string{listWarnings: warning, listReviews: review} {
		rows, _ := walk(t, l.adapter, list, before, l.world.Now().Add(time.Minute))
		if len(rows) != 1 || rows[0].Object.ID != id || rows[0].Paid || len(rows[0].Hint.Refs) < 2 {
			t.Errorf("%s: %+v", list, rows)
		}
	}
	l.must(t, "refunds", map[string]any{"charge": charge, "amount": 1999})
	l.must(t, "reviews/"+review+"/close", map[string]any{"outcome": "refunded_as_fraud"})
	check("refunded", false, "refunded_as_fraud")
}

// TestDisputeTellsAll: what Stripe says of a case beside its state.
func TestDisputeTellsAll(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	at := l.begin(t, false)
	if err := l.pay(t, at.Root, providertest.PayNow); err != nil {
		t.Fatal(err)
	}
	charge := l.fetched(t, at).Captures[0].Key.ID
	id, _ := l.must(t, "disputes", map[string]any{"charge": charge, "amount": 1999})["dispute"].(string)
	d := l.fetched(t, at).Disputes[0]
	if d.Network != "10.4" || d.Case != "chargeback" || !d.Acceptable || !d.Answerable || d.Refundable || d.Outcome != "" || d.DueBy.IsZero() {
		t.Errorf("%+v", d)
	}
	l.must(t, "disputes/"+id+"/resolve", map[string]any{"outcome": "lost"})
	d = l.fetched(t, at).Disputes[0]
	if d.Outcome != "lost" || d.Acceptable || d.Answerable {
		t.Errorf("%+v", d)
	}
	if diff := cmp.Diff(payment.EvidenceState{}, d.Evidence); diff != "" {
		t.Errorf("evidence: %s", diff)
	}
}
