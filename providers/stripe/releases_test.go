package stripe

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/providertest"
)

// The refunds that a partial capture of 10.00 USD leaves, as API 2023-10-16 shows them:
// read with their balance transaction, with its id alone, and without.
const (
	txnReversal = `,"balance_transaction":{"id":"txn_1","amount":-%d,"currency":"usd","reporting_category":"partial_capture_reversal"}`
	txnRefund   = `,"balance_transaction":{"id":"txn_2","amount":-%d,"currency":"usd","reporting_category":"refund"}`
	txnUnread   = `,"balance_transaction":"txn_1"`
)

func refundJSON(id string, created, amount int64, more string) string {
	if more == txnReversal || more == txnRefund {
		more = fmt.Sprintf(more, amount)
	}
	return fmt.Sprintf(`{"id":%q,"created":%d,"status":"succeeded","charge":"ch_1","amount":%d,"currency":"usd"%s}`, id, created, amount, more)
}

// TestReleasesAreNoRefunds guards the sums (I3): what a partial capture did not take is
// no refund, whatever is known of it, and everything that a person gave back is one.
func TestReleasesAreNoRefunds(t *testing.T) {
	t.Parallel()
	const ours = `,"metadata":{"trifecta_refund":"rfd_1"}`
	for name, c := range map[string]struct {
		captured int64
		refunds  []string // newest first, as Stripe lists them
		want     []string
	}{
		"most captured":                     {800, []string{refundJSON("re_rel", 9, 200, txnReversal)}, nil},
		"most captured, transaction unread": {800, []string{refundJSON("re_rel", 9, 200, txnUnread)}, nil},
		"most captured, no transaction":     {800, []string{refundJSON("re_rel", 9, 200, "")}, nil},
		"little captured":                   {400, []string{refundJSON("re_rel", 9, 600, txnReversal)}, nil},
		"little captured, no transaction":   {400, []string{refundJSON("re_rel", 9, 600, "")}, nil},
		"the same sum given back later":     {800, []string{refundJSON("re_gen", 19, 200, txnRefund), refundJSON("re_rel", 9, 200, txnReversal)}, []string{"re_gen"}},
		"the same sum, no transactions":     {500, []string{refundJSON("re_gen", 19, 500, ""), refundJSON("re_rel", 9, 500, "")}, []string{"re_gen"}},
		"the same sum in the same second":   {500, []string{refundJSON("re_gen", 9, 500, ""), refundJSON("re_rel", 9, 500, "")}, []string{"re_gen"}},
		"other sums given back later":       {800, []string{refundJSON("re_b", 20, 50, ""), refundJSON("re_a", 19, 100, ""), refundJSON("re_rel", 9, 200, "")}, []string{"re_b", "re_a"}},
		"nothing was released":              {800, []string{refundJSON("re_gen", 9, 200, txnRefund)}, []string{"re_gen"}},
		"nothing was released, ours":        {800, []string{refundJSON("re_gen", 9, 200, ours)}, []string{"re_gen"}},
		"all captured, all given back":      {1000, []string{refundJSON("re_gen", 9, 1000, "")}, []string{"re_gen"}},
		"the oldest is another charge's": {
			800,
			[]string{refundJSON("re_rel", 9, 200, ""), `{"id":"re_other","created":5,"status":"succeeded","charge":"ch_2","amount":7,"currency":"usd"}`},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := paidSnapshot(t)
			s.charges[0].AmountCaptured = c.captured
			for _, text := range c.refunds {
				s.refunds = append(s.refunds, parse[stripesdk.Refund](t, text))
			}
			var got []string
			for _, r := range mapped(t, s).Facts.Refunds {
				got = append(got, r.Key.ID)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("refunds (-want +got):\n%s", diff)
			}
		})
	}
}

// TestVoidIsNoRefund: the refund that a cancellation leaves has no reason of its own, and
// its charge never took anything.
func TestVoidIsNoRefund(t *testing.T) {
	t.Parallel()
	s := paidSnapshot(t)
	s.intent.Status = stripesdk.PaymentIntentStatusCanceled
	s.charges[0].Captured, s.charges[0].AmountCaptured = false, 0
	s.refunds = []*stripesdk.Refund{parse[stripesdk.Refund](t, refundJSON("re_rel", 9, 1000, ""))}
	if got := mapped(t, s).Facts; len(got.Refunds) != 0 || len(got.Captures) != 0 {
		t.Errorf("%+v %+v", got.Refunds, got.Captures)
	}
}

// letGo is a world with a payment of which 14.00 of 19.99 USD were captured and one
// that was canceled, both behind our back.
type letGo struct {
	*lab
	at              providers.Attempt
	partly, voided  string // intents
	partial, undone string // their charges
}

func newLetGo(t *testing.T) letGo {
	t.Helper()
	s := letGo{lab: newLab(t)}
	hold := func(id string) (intent, charge string) {
		req := checkoutRequest()
		req.PaymentID, req.Manual = id, true
		res, err := s.adapter.CreateCheckout(t.Context(), req, id)
		if err != nil {
			t.Fatal(err)
		}
		s.at = providers.Attempt{PaymentID: id, N: req.N, Root: providers.Ref{Kind: kindSession, ID: res.Ref}, Manual: true, Asked: req.Amount}
		if err := s.pay(t, s.at.Root, providertest.PayNow); err != nil {
			t.Fatal(err)
		}
		refs := s.fetched(t, s.at).Attempts[0].Refs
		return refs.PaymentIntent, refs.Charge
	}
	s.voided, s.undone = hold("pay_voided")
	s.partly, s.partial = hold("pay_partly")
	s.world.Advance(t.Context(), time.Minute)
	if _, err := s.adapter.sdk.PaymentIntents.Capture(s.partly, &stripesdk.PaymentIntentCaptureParams{AmountToCapture: stripesdk.Int64(1400)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.adapter.sdk.PaymentIntents.Cancel(s.voided, nil); err != nil {
		t.Fatal(err)
	}
	s.world.Advance(t.Context(), time.Minute)
	return s
}

// releases are the refunds that the sandbox lists, by charge.
func (s letGo) releases(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for it := s.adapter.sdk.Refunds.List(nil); it.Next(); {
		out[it.Refund().Charge.ID] = it.Refund().ID
	}
	if len(out) != 2 {
		t.Fatalf("releases %v", out)
	}
	return out
}

// TestReleaseKeepsFeesRight: net and fee of a partial capture are those of what was
// taken, of both its balance transactions, and both are the charge's.
func TestReleaseKeepsFeesRight(t *testing.T) {
	t.Parallel()
	s := newLetGo(t)
	facts := s.fetched(t, s.at)
	facts.Terms = payment.Terms{Amount: payment.Money{Minor: 1999, Currency: "usd"}, Manual: true}
	facts.Opened = []payment.Attempt{{N: 1, Provider: provider, Account: "stripe-test"}}
	got := facts.Amounts(nil)
	if got.Captured != 1400 || got.Refunded != 0 || got.Refundable != 1400 || len(got.Fee) != 1 || got.Fee[0].Minor != 71 || got.Net[0].Minor != 1329 {
		t.Errorf("amounts %+v", got)
	}
	if len(facts.Fees) != 2 || facts.Fees[0].Object != s.partial || facts.Fees[1].Object != s.partial {
		t.Errorf("fees %+v", facts.Fees)
	}
}

// TestFeeOfAPartialCaptureWaitsForItsRelease: the fee of the whole hold is not told as what
// a part of it cost, where a list that lags does not show the release yet, nor what the release
// gave back as all of it, where the capture's own was not read: without any fee the payment is
// read again. A capture that makes no release says it all, and what is
// missing for long is not waited for.
func TestFeeOfAPartialCaptureWaitsForItsRelease(t *testing.T) {
	t.Parallel()
	const release = `{"id":"re_1","object":"refund","created":9,"charge":{"id":"ch_1"},"amount":600,"currency":"usd","status":"succeeded","balance_transaction":{"id":"txn_2","currency":"usd","amount":-600,"fee":-17,"net":-583,"reporting_category":"partial_capture_reversal"}}`
	for name, c := range map[string]struct {
		currency string
		amount   int64
		released bool
		after    time.Duration
		want     int
	}{
		"no release yet":                         {"usd", 1000, false, time.Second, 0},
		"released":                               {"usd", 1000, true, time.Second, 2},
		"settled in another currency":            {"eur", 930, false, time.Second, 0},
		"no release for long":                    {"usd", 1000, false, 10 * time.Minute, 1},
		"of what was taken, so without releases": {"usd", 400, false, time.Second, 1},
		"released, its own transaction unread":   {"", 0, true, time.Second, 0},
		"released, its own transaction unknown":  {"none", 0, true, time.Second, 0},
	} {
		s := paidSnapshot(t)
		s.intent.CaptureMethod = stripesdk.PaymentIntentCaptureMethodManual
		s.charges[0].AmountCaptured = 400
		s.charges[0].BalanceTransaction = &stripesdk.BalanceTransaction{
			ID: "txn_1", Currency: stripesdk.Currency(c.currency), Amount: c.amount, Fee: 59, Net: c.amount - 59, Created: startWall.Unix(),
		}
		if c.currency == "none" {
			s.charges[0].BalanceTransaction = nil
		}
		if c.released {
			s.refunds = append(s.refunds, parse[stripesdk.Refund](t, release))
		}
		s.asOf = startWall.Add(c.after)
		if got := mapped(t, s).Facts.Fees; len(got) != c.want {
			t.Errorf("%s: fees %+v, want %d", name, got, c.want)
		}
	}
}

// TestSweepOfReleases: no list says of what was let go that money moved, or that there is
// a refund; the rows lead to the payments that changed (I2).
func TestSweepOfReleases(t *testing.T) {
	t.Parallel()
	s := newLetGo(t)
	from, to := startWall.Add(-time.Minute), s.world.Now()
	items, _ := walk(t, s.adapter, listRefunds, from, to)
	var about []string
	for _, i := range items {
		about = append(about, i.Object.ID)
		if i.Paid || i.Amount.Minor != 0 || i.Object.Kind != kindCharge || i.Hint.PaymentID == "" {
			t.Errorf("%+v", i)
		}
	}
	if slices.Sort(about); !slices.Equal(about, slices.Sorted(slices.Values([]string{s.partial, s.undone}))) {
		t.Errorf("rows about %v", about)
	}
	items, _ = walk(t, s.adapter, listTransactions, from, to)
	for _, i := range items {
		if i.Paid != (i.Amount.Minor > 0) || !slices.Contains(i.Hint.Refs, s.partial) {
			t.Errorf("transaction %+v", i)
		}
	}
	if len(items) != 2 {
		t.Errorf("%d transactions", len(items))
	}
	for _, list := range []string{listTransactions, listSessions, listIntents} { // whichever is walked first tells people
		items, _ = walk(t, s.adapter, list, from, to)
		items = slices.DeleteFunc(items, func(i providers.SweepItem) bool { return !i.Paid })
		if len(items) != 1 || items[0].Amount != (payment.Money{Minor: 1400, Currency: "usd"}) {
			t.Errorf("%s: what was taken is listed as %+v", list, items)
		}
	}
}

// TestSweepOfDoubtfulRelease: a refund whose balance transaction is not known and that is
// just what the capture left is told as a refund to look for, not as money that moved:
// reading its payment decides.
func TestSweepOfDoubtfulRelease(t *testing.T) {
	t.Parallel()
	row := func(amount int64) providers.SweepItem {
		a := against(t, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"object":"list","url":"/v1/refunds","has_more":false,"data":[{"id":"re_1","object":"refund","created":9,"status":"succeeded","amount":%d,"currency":"usd",
 "charge":{"id":"ch_1","status":"succeeded","captured":true,"amount":1000,"amount_captured":800,"currency":"usd"}}]}`, amount)
		})
		page, err := a.Sweep(t.Context(), listRefunds, time.Unix(1, 0), time.Unix(60, 0), "")
		if err != nil || len(page.Items) != 1 {
			t.Fatalf("%+v, %v", page, err)
		}
		return page.Items[0]
	}
	want := providers.Ref{Kind: kindRefund, ID: "re_1"}
	if got := row(200); got.Object != want || got.Paid {
		t.Errorf("what the capture left: %+v", got)
	}
	if got := row(201); got.Object != want || !got.Paid {
		t.Errorf("another sum: %+v", got)
	}
}

// TestTraceOfReleases: whoever asks about such a refund hears that no payment shows it;
// of a genuine one that is never said.
func TestTraceOfReleases(t *testing.T) {
	t.Parallel()
	s := newLetGo(t)
	for charge, id := range s.releases(t) {
		hint, err := s.adapter.Trace(t.Context(), providers.Ref{Kind: kindRefund, ID: id})
		if err != nil || !hint.LetGo || !slices.Contains(hint.Refs, charge) {
			t.Errorf("%s: %+v, %v", charge, hint, err)
		}
	}
	id, _ := s.must(t, "refunds", map[string]any{"charge": s.partial, "amount": 599})["refund"].(string)
	hint, err := s.adapter.Trace(t.Context(), providers.Ref{Kind: kindRefund, ID: id})
	if err != nil || hint.LetGo {
		t.Errorf("a genuine refund of the same sum: %+v, %v", hint, err)
	}
}

// TestTraceOfDoubtfulRelease: without the balance transaction the payment's other refunds
// decide; one that its list does not show yet is not waved through.
func TestTraceOfDoubtfulRelease(t *testing.T) {
	t.Parallel()
	const refund = `{"id":"%s","object":"refund","created":%d,"status":"succeeded","amount":200,"currency":"usd","payment_intent":"pi_1","charge":%s}`
	const charge = `{"id":"ch_1","object":"charge","status":"succeeded","captured":true,"amount":1000,"amount_captured":800,"currency":"usd","payment_intent":"pi_1","metadata":{"trifecta_payment":"pay_abc"}}`
	for list, want := range map[string]bool{
		fmt.Sprintf(refund, "re_1", 9, `"ch_1"`):                                                  true,
		fmt.Sprintf(refund, "re_1", 9, `"ch_1"`) + "," + fmt.Sprintf(refund, "re_0", 8, `"ch_1"`): false,
		"": false,
	} {
		a := against(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/refunds/re_1" {
				fmt.Fprintf(w, refund, "re_1", 9, charge)
				return
			}
			fmt.Fprintf(w, `{"object":"list","url":"/v1/refunds","has_more":false,"data":[%s]}`, list)
		})
		hint, err := a.Trace(t.Context(), providers.Ref{Kind: kindRefund, ID: "re_1"})
		if err != nil || hint.LetGo != want || hint.PaymentID != "pay_abc" {
			t.Errorf("%s: %+v, %v", list, hint, err)
		}
	}
}
