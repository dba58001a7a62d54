package stripe

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/providertest"
)

// swept is a world with one paid, partly refunded and disputed payment of ours.
type swept struct {
	*lab
	at                      providers.Attempt
	charge, refund, dispute string
	intent                  string
}

func newSwept(t *testing.T) swept {
	t.Helper()
	s := swept{lab: newLab(t)}
	s.at = s.begin(t, false)
	if err := s.pay(t, s.at.Root, providertest.PayNow); err != nil {
		t.Fatal(err)
	}
	facts := s.fetched(t, s.at)
	s.charge, s.intent = facts.Captures[0].Key.ID, facts.Attempts[0].Refs.PaymentIntent
	s.refund, _ = s.must(t, "refunds", map[string]any{"charge": s.charge, "amount": 99})["refund"].(string)
	s.dispute, _ = s.must(t, "disputes", map[string]any{"charge": s.charge, "amount": 900})["dispute"].(string)
	s.world.Advance(t.Context(), time.Minute)
	return s
}

// walk reads a list to its end.
func walk(t *testing.T, a *Adapter, list string, from, to time.Time) ([]providers.SweepItem, time.Time) {
	t.Helper()
	var out []providers.SweepItem
	var trusted time.Time
	cursor := ""
	for range 100 {
		page, err := a.Sweep(t.Context(), list, from, to, cursor)
		if err != nil {
			t.Fatalf("%s: %v", list, err)
		}
		if !trusted.IsZero() && !page.TrustedTo.Equal(trusted) {
			t.Errorf("%s: pages are trusted to %v and %v", list, trusted, page.TrustedTo)
		}
		trusted = page.TrustedTo
		out = append(out, page.Items...)
		if cursor = page.Next; cursor == "" {
			return out, trusted
		}
	}
	t.Fatalf("%s has no end", list)
	return nil, time.Time{}
}

// TestSweepFindsEveryMovement: every list shows what was done, signed, with where it
// belongs; nothing is trusted newer than the lists are (I2).
func TestSweepFindsEveryMovement(t *testing.T) {
	t.Parallel()
	s := newSwept(t)
	now := s.world.Now()
	type row struct {
		list, kind, id string
		amount         int64
		paid           bool
	}
	for _, want := range []row{
		{listSessions, kindSession, s.at.Root.ID, 1999, true},
		{listIntents, kindIntent, s.intent, 1999, true},
		{listRefunds, kindRefund, s.refund, -99, true},
		{listDisputes, kindDispute, s.dispute, -900, true},
	} {
		items, trusted := walk(t, s.adapter, want.list, startWall.Add(-time.Minute), now)
		if len(items) != 1 {
			t.Fatalf("%s: %+v", want.list, items)
		}
		got := items[0]
		if got.Object != (providers.Ref{Kind: want.kind, ID: want.id}) || got.Amount.Minor != want.amount || got.Paid != want.paid || got.Created.IsZero() {
			t.Errorf("%s: %+v", want.list, got)
		}
		if !slices.Contains(got.Hint.Refs, s.intent) && want.list != listSessions {
			t.Errorf("%s: hint %+v does not lead to %s", want.list, got.Hint, s.intent)
		}
		if !trusted.Equal(now.Add(-listLag)) {
			t.Errorf("%s: trusted to %v at %v", want.list, trusted, now)
		}
	}
	items, _ := walk(t, s.adapter, listTransactions, startWall.Add(-time.Minute), now)
	sums := map[string]int64{}
	for _, i := range items {
		if !i.Paid || !slices.Contains(i.Hint.Refs, s.charge) {
			t.Errorf("balance transaction %+v does not lead to %s", i, s.charge)
		}
		sums[string(i.Amount.Currency)] += i.Amount.Minor
	}
	if len(items) != 3 || sums["usd"] != 1999-99-900 {
		t.Errorf("balance transactions: %d, sum %v", len(items), sums)
	}
	items, _ = walk(t, s.adapter, listEvents, startWall.Add(-time.Minute), now)
	found := map[string]bool{}
	for _, i := range items {
		found[i.Object.ID] = true
	}
	for _, id := range []string{s.at.Root.ID, s.intent, s.charge, s.refund, s.dispute} {
		if !found[id] {
			t.Errorf("no event about %s", id)
		}
	}
}

// TestSweepClaims: what carries our reference says so.
func TestSweepClaims(t *testing.T) {
	t.Parallel()
	s := newSwept(t)
	for _, list := range []string{listSessions, listIntents, listTransactions} {
		items, _ := walk(t, s.adapter, list, startWall.Add(-time.Minute), s.world.Now())
		if h := items[len(items)-1].Hint; h.PaymentID != s.at.PaymentID || h.N != s.at.N {
			t.Errorf("%s: %+v", list, h)
		}
	}
}

// TestSweepPages: a walk over many pages misses nothing, and a window takes only
// what was created in it.
func TestSweepPages(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	req := checkoutRequest()
	const count = 230
	for i := range count {
		req.PaymentID = fmt.Sprintf("pay_%03d", i)
		if _, err := l.adapter.CreateCheckout(t.Context(), req, req.PaymentID); err != nil {
			t.Fatal(err)
		}
		if i == 99 {
			l.world.Advance(t.Context(), time.Minute)
		}
	}
	seen := map[string]int{}
	items, _ := walk(t, l.adapter, listSessions, startWall, l.world.Now().Add(time.Second))
	for _, i := range items {
		seen[i.Hint.PaymentID]++
	}
	if len(items) != count || len(seen) != count {
		t.Errorf("%d rows, %d payments, want %d", len(items), len(seen), count)
	}
	if items, _ = walk(t, l.adapter, listSessions, startWall, startWall.Add(time.Second)); len(items) != 100 {
		t.Errorf("%d rows in the first window, want 100", len(items))
	}
	// The oldest of them is found by reference on the last of three pages.
	req.PaymentID = "pay_000"
	if _, found, err := l.adapter.FindCheckout(t.Context(), req, startWall); err != nil || !found {
		t.Errorf("found %v, %v", found, err)
	}
}

// TestSweepRefuses: a wrong list or cursor is a fault of ours, said as such.
func TestSweepRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, c := range []struct{ list, cursor string }{
		{"payouts", ""}, {listSessions, "x"}, {listSessions, "5"}, {listSessions, "0:cs_1"}, {listSessions, "5:"}, {listSessions, "5:../x"},
	} {
		_, err := l.adapter.Sweep(t.Context(), c.list, startWall, startWall.Add(time.Hour), c.cursor)
		wantClass(t, err, providers.Refused)
	}
}

// TestListsThatBreakOff: half a list is an error, never a short list.
func TestListsThatBreakOff(t *testing.T) {
	t.Parallel()
	a := against(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/checkout/sessions/cs_1":
			fmt.Fprint(w, `{"id":"cs_1","object":"checkout.session","status":"complete","currency":"usd","payment_intent":{"id":"pi_1","status":"succeeded","latest_charge":{"id":"ch_1","status":"succeeded"}}}`)
		default:
			fmt.Fprint(w, `{"object":"list","has_more":true,"data":[],"url":"/v1/charges"}`)
		}
	})
	_, err := a.Fetch(t.Context(), providers.Attempt{N: 1, Root: providers.Ref{Kind: kindSession, ID: "cs_1"}})
	wantClass(t, err, providers.Unknown)
	_, err = a.Sweep(t.Context(), listRefunds, startWall, startWall.Add(time.Hour), "")
	wantClass(t, err, providers.Unknown)
}

// TestTrace: from any object the way leads to our payment.
func TestTrace(t *testing.T) {
	t.Parallel()
	s := newSwept(t)
	warning, _ := s.must(t, "early_fraud_warnings", map[string]any{"charge": s.charge})["early_fraud_warning"].(string)
	items, _ := walk(t, s.adapter, listTransactions, startWall.Add(-time.Minute), s.world.Now())
	objects := []providers.Ref{
		s.at.Root,
		{Kind: kindIntent, ID: s.intent},
		{Kind: kindCharge, ID: s.charge},
		{Kind: kindRefund, ID: s.refund},
		{Kind: kindDispute, ID: s.dispute},
		{Kind: kindWarning, ID: warning},
	}
	for _, i := range items {
		objects = append(objects, i.Object)
	}
	for _, o := range objects {
		hint, err := s.adapter.Trace(t.Context(), o)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
			continue
		}
		if hint.PaymentID != s.at.PaymentID || hint.N != s.at.N || !slices.Contains(hint.Refs, s.intent) || hint.Refs[0] != o.ID {
			t.Errorf("%+v: %+v", o, hint)
		}
	}
	_, err := s.adapter.Trace(t.Context(), providers.Ref{Kind: "payout", ID: "po_1"})
	wantClass(t, err, providers.NotFound)
	_, err = s.adapter.Trace(t.Context(), providers.Ref{Kind: kindCharge, ID: "ch_nobody"})
	wantClass(t, err, providers.NotFound)
}

// TestTraceBySession: an intent whose metadata was wiped is found by the session
// that made it.
func TestTraceBySession(t *testing.T) {
	t.Parallel()
	a := against(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/refunds/re_1":
			fmt.Fprint(w, `{"id":"re_1","object":"refund","status":"succeeded","charge":"ch_1","payment_intent":null}`)
		case "/v1/charges/ch_1":
			fmt.Fprint(w, `{"id":"ch_1","object":"charge","status":"succeeded","payment_intent":"pi_1"}`)
		case "/v1/payment_intents/pi_1":
			fmt.Fprint(w, `{"id":"pi_1","object":"payment_intent","status":"succeeded"}`)
		case "/v1/checkout/sessions":
			if r.URL.Query().Get("payment_intent") != "pi_1" {
				t.Errorf("query %v", r.URL.Query())
			}
			fmt.Fprint(w, `{"object":"list","data":[{"id":"cs_1","object":"checkout.session","client_reference_id":"pay_abc","metadata":{"trifecta_attempt":"pay_abc-3"}}]}`)
		default:
			t.Errorf("unexpected call %s", r.URL.Path)
		}
	})
	hint, err := a.Trace(t.Context(), providers.Ref{Kind: kindRefund, ID: "re_1"})
	if err != nil || hint.PaymentID != "pay_abc" || hint.N != 3 || !slices.Equal(hint.Refs, []string{"re_1", "ch_1", "pi_1", "cs_1"}) {
		t.Errorf("%+v, %v", hint, err)
	}
}

// TestEmptyAnswerIsNoEmptyList (I3): "{}" where a list belongs is no complete look;
// read as one, a failed refund was taken for seen.
func TestEmptyAnswerIsNoEmptyList(t *testing.T) {
	t.Parallel()
	a := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/payment_intents/pi_1" {
			fmt.Fprint(w, `{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":1999,"currency":"usd","created":1,"latest_charge":{"id":"ch_1","object":"charge","status":"succeeded","captured":true}}`)
			return
		}
		fmt.Fprint(w, `{}`)
	})
	_, err := a.Fetch(t.Context(), providers.Attempt{PaymentID: "pay_abc", N: 1, Root: providers.Ref{Kind: kindIntent, ID: "pi_1"}})
	wantClass(t, err, providers.Unknown)
	_, err = a.Sweep(t.Context(), "refunds", time.Unix(1e9, 0), time.Unix(1e9+60, 0), "")
	wantClass(t, err, providers.Unknown)
}

// TestInquiryIsSeen: an inquiry withholds nothing and is still a dispute.
func TestInquiryIsSeen(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	at := l.begin(t, false)
	if err := l.pay(t, at.Root, providertest.PayNow); err != nil {
		t.Fatal(err)
	}
	charge := l.fetched(t, at).Captures[0].Key.ID
	l.must(t, "disputes", map[string]any{"charge": charge, "amount": 1999, "inquiry": true})
	d := l.fetched(t, at).Disputes
	if len(d) != 1 || d[0].Stage != "inquiry" || d[0].Withheld != 0 || d[0].Status != payment.DisputeNeedsResponse {
		t.Errorf("%+v", d)
	}
}
