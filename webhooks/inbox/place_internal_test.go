package inbox

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Guards "keyed by (provider, account, object id)": an id counts only at the
// account whose it is, in whichever place of the facts it stands, and leads to the
// attempt to read.
func TestHoldsAndReadable(t *testing.T) {
	t.Parallel()
	key := func(account, id string) payment.ObjectKey {
		return payment.ObjectKey{Provider: "x", Account: account, ID: id}
	}
	p := &payment.Payment{Facts: payment.Facts{
		Opened: []payment.Attempt{{N: 1, Account: "a"}, {N: 2, Account: "b"}, {N: 3, Account: "a"}, {N: 4, Account: "a"}},
		Attempts: []payment.AttemptFact{
			{Key: key("a", "root1"), N: 1, Refs: payment.Refs{PaymentIntent: "pi1", Charge: "ch1"}},
			{Key: key("b", "root2"), N: 2, Refs: payment.Refs{PaymentIntent: "pi2"}},
			{Key: key("a", "root3"), N: 3},
		},
		Authorizations: []payment.Authorization{{Key: key("a", "auth"), N: 3}},
		Captures:       []payment.Capture{{Key: key("a", "cap"), N: 3}},
		Refunds:        []payment.Refund{{Key: key("a", "re"), Capture: "cap"}, {Key: key("a", "lost"), Capture: "gone"}},
		Disputes:       []payment.Dispute{{Key: key("a", "dp"), Capture: "cap"}},
		Declines:       []payment.Decline{{Key: key("a", "declined"), N: 3}},
		Reversals:      []payment.Reversal{{Key: key("a", "rev"), Capture: "cap"}},
		Fees:           []payment.Fee{{Key: key("a", "txn"), Object: "cap"}},
	}}
	for id, want := range map[string]int{
		"root1": 1, "pi1": 1, "ch1": 1, "root3": 3, "auth": 3, "cap": 3, "re": 3, "dp": 3, "rev": 3, "txn": 3, "declined": 3, "lost": 0,
	} {
		if n, ok := holds(p, "a", id); !ok || n != want {
			t.Errorf("%s at a: attempt %d, %t; want %d", id, n, ok, want)
		}
		if _, ok := holds(p, "b", id); ok {
			t.Errorf("%s counts at the other account", id)
		}
	}
	for _, id := range []string{"root2", "pi2", "", "gone"} {
		if _, ok := holds(p, "a", id); ok {
			t.Errorf("%q counts at a", id)
		}
	}
	for _, c := range []struct {
		account string
		n       int
		want    []int
	}{
		{"a", 1, []int{1}}, {"a", 0, []int{1, 3}}, {"a", 4, nil}, {"a", 2, []int{1, 3}}, {"b", 0, []int{2}}, {"b", 1, []int{2}}, {"c", 0, nil},
	} {
		if diff := cmp.Diff(c.want, readable(p, c.account, c.n)); diff != "" {
			t.Errorf("readable at %s, attempt %d (-want +got):\n%s", c.account, c.n, diff)
		}
	}
}
