package stripe

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/providertest"
)

// TestReturnedDebit guards the sums (I3) and people's sleep: a bank debit is booked while
// it is pending, and one that its bank returns is taken back by a balance transaction that
// costs a fee of its own and whose source is a Refund. Nothing was captured or given back,
// the fee is what is left of it, and no list says that money moved which no payment shows.
func TestReturnedDebit(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	at := l.begin(t, false)
	from := l.world.Now().Add(-time.Minute)
	if err := l.pay(t, at.Root, providertest.PayPending); err != nil {
		t.Fatal(err)
	}
	debit := l.fetched(t, at).Attempts[0].Refs.Charge
	l.must(t, "captures/"+debit+"/settle", map[string]any{"outcome": "denied"})
	l.world.Advance(t.Context(), time.Minute)

	facts := l.fetched(t, at)
	facts.Terms = payment.Terms{Amount: payment.Money{Minor: 1999, Currency: "usd"}}
	facts.Opened = []payment.Attempt{{N: at.N, Provider: provider, Account: "stripe-test"}}
	got := facts.Amounts(nil)
	if got.Captured != 0 || got.Refunded != 0 || len(facts.Refunds) != 0 || facts.Status() != payment.StatusFailed {
		t.Errorf("%s, %+v, refunds %+v", facts.Status(), got, facts.Refunds)
	}
	if len(got.Fee) != 1 || got.Fee[0].Minor != 400 || len(got.Net) != 1 || got.Net[0].Minor != -400 || len(facts.Fees) != 2 {
		t.Errorf("fee %v, net %v of %+v", got.Fee, got.Net, facts.Fees)
	}
	for _, fee := range facts.Fees {
		if fee.Object != debit {
			t.Errorf("%+v is not told as the debit's", fee)
		}
	}

	rows, _ := walk(t, l.adapter, listRefunds, from, l.world.Now())
	if len(rows) != 1 || rows[0].Paid || rows[0].Amount.Minor != 0 || rows[0].Object != (providers.Ref{Kind: kindCharge, ID: debit}) {
		t.Errorf("refunds listed: %+v", rows)
	}
	it := l.adapter.sdk.Refunds.List(nil)
	if !it.Next() {
		t.Fatal("the sandbox lists no refund of the returned debit")
	}
	hint, err := l.adapter.Trace(t.Context(), providers.Ref{Kind: kindRefund, ID: it.Refund().ID})
	if err != nil || !hint.LetGo {
		t.Errorf("traced: %+v, %v", hint, err)
	}
}

// TestReturnedDebitByEitherPlace: what took a debit back is known from the charge or from
// the Refund, and counts once where both name it.
func TestReturnedDebitByEitherPlace(t *testing.T) {
	t.Parallel()
	const taken = `{"id":"txn_2","amount":-5995,"fee":352,"net":-6347,"currency":"usd","reporting_category":"charge_failure"}`
	for name, c := range map[string]struct{ byCharge, byRefund bool }{
		"charge": {true, false}, "refund": {false, true}, "both": {true, true},
	} {
		s := paidSnapshot(t)
		s.intent.Status = stripesdk.PaymentIntentStatusRequiresPaymentMethod
		s.charges = []*stripesdk.Charge{parse[stripesdk.Charge](t, `{"id":"py_1","created":7,"status":"failed","amount":5995,"currency":"usd",
 "payment_method_details":{"type":"us_bank_account"},"balance_transaction":{"id":"txn_1","amount":5995,"fee":48,"net":5947,"currency":"usd","reporting_category":"charge"}}`)}
		if c.byCharge {
			s.charges[0].FailureBalanceTransaction = parse[stripesdk.BalanceTransaction](t, taken)
		}
		if c.byRefund {
			s.refunds = []*stripesdk.Refund{parse[stripesdk.Refund](t, fmt.Sprintf(
				`{"id":"pyr_1","created":9,"status":"succeeded","charge":"py_1","amount":5995,"currency":"usd","balance_transaction":%s}`, taken))}
		}
		facts := payment.Facts{Terms: payment.Terms{Amount: payment.Money{Minor: 5995, Currency: "usd"}}}.Observe(mapped(t, s))
		got := facts.Amounts(nil)
		if len(got.Fee) != 1 || got.Fee[0].Minor != 400 || got.Net[0].Minor != -400 || len(facts.Refunds) != 0 {
			t.Errorf("by %s: fee %v, net %v, refunds %+v", name, got.Fee, got.Net, facts.Refunds)
		}
	}
}

// TestDeclinedCardsCostNoReads: a card that was declined was never booked, so there is
// nothing more to read.
func TestDeclinedCardsCostNoReads(t *testing.T) {
	t.Parallel()
	var paths []string
	a := against(t, func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Path)
		if r.URL.Path == "/v1/charges" {
			fmt.Fprint(w, `{"object":"list","url":"/v1/charges","data":[{"id":"ch_1","created":7,"status":"failed","amount":1000,"currency":"usd","payment_method_details":{"type":"card"}}]}`)
			return
		}
		fmt.Fprint(w, `{"id":"cs_1","created":5,"status":"open","payment_status":"unpaid","currency":"usd","amount_total":1000,"url":"https://c/1",
 "payment_intent":{"id":"pi_1","created":6,"status":"requires_payment_method","currency":"usd","amount":1000,"latest_charge":"ch_1"}}`)
	})
	if _, err := a.Fetch(t.Context(), providers.Attempt{PaymentID: "pay_x", N: 1, Root: providers.Ref{Kind: kindSession, ID: "cs_1"}}); err != nil || len(paths) != 2 {
		t.Errorf("read %v, %v", paths, err)
	}
}

// TestTakenBackAfterSuccess: what a bank took back of a payment that had succeeded is a
// reversal where the charge names it, and is swept as money that moved, which the payment
// must show, whatever it is reported as.
func TestTakenBackAfterSuccess(t *testing.T) {
	t.Parallel()
	for currency, want := range map[string]int64{"usd": 900, "eur": 1000} {
		s := paidSnapshot(t)
		s.charges[0].FailureBalanceTransaction = parse[stripesdk.BalanceTransaction](t,
			fmt.Sprintf(`{"id":"txn_back","created":30,"amount":-900,"fee":0,"net":-900,"currency":%q,"type":"payment_reversal"}`, currency))
		got := mapped(t, s).Facts
		if len(got.Reversals) != 1 || got.Reversals[0].Key.ID != "txn_back" || got.Reversals[0].Capture != "ch_1" || got.Reversals[0].Amount.Minor != want ||
			!got.Reversals[0].AsOf.Equal(time.Unix(30, 0)) {
			t.Errorf("%s: %+v", currency, got.Reversals)
		}
		facts := payment.Facts{Terms: payment.Terms{Amount: payment.Money{Minor: 1000, Currency: "usd"}}}.Observe(mapped(t, s))
		net := facts.Amounts(nil).Net // its balance transaction has told it already
		for _, x := range facts.Fees {
			for i := range net {
				if net[i].Currency == x.Net.Currency {
					net[i].Minor -= x.Net.Minor
				}
			}
		}
		if slices.ContainsFunc(net, func(m payment.Money) bool { return !m.IsZero() }) {
			t.Errorf("%s: net differs by %v from what was booked", currency, net)
		}
	}
	for row, want := range map[string]struct{ paid, counted bool }{
		`"type":"payment_reversal","reporting_category":"other_adjustment"`:       {true, true},
		`"type":"payment_reversal","reporting_category":"a_new_one"`:              {true, true},
		`"type":"charge","reporting_category":"charge"`:                           {true, true},
		`"type":"payment_failure_refund","reporting_category":"charge_failure"`:   {true, true},
		`"type":"adjustment","reporting_category":"dispute"`:                      {true, false},
		`"type":"refund","reporting_category":"partial_capture_reversal"`:         {false, false},
		`"type":"payout","reporting_category":"payout"`:                           {false, false},
		`"type":"charge","reporting_category":"charge","currency":"isk","fee":55`: {true, false},
	} {
		a := against(t, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"object":"list","url":"/v1/balance_transactions","data":[{"id":"txn_1","object":"balance_transaction","created":9,"amount":-900,"net":-900,"currency":"usd",%s}]}`, row)
		})
		page, err := a.Sweep(t.Context(), listTransactions, time.Unix(1, 0), time.Unix(60, 0), "")
		if err != nil || len(page.Items) != 1 || page.Items[0].Paid != want.paid || page.Items[0].Counted != want.counted {
			t.Errorf("%s: %+v, %v", row, page.Items, err)
		}
	}
}
