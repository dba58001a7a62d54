package stripe

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/providertest"
)

// inMemory is a transport without a network.
type inMemory struct{ h http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	m.h.ServeHTTP(rec, r)
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

// richAnswers are what Stripe says about one paid, refunded, disputed and doubted
// session.
func richAnswers() map[string]string {
	list := func(rows string) string {
		return `{"object":"list","url":"/v1/x","has_more":false,"data":[` + rows + `]}`
	}
	txn := func(id, amount string) string {
		return `{"id":"` + id + `","object":"balance_transaction","amount":` + amount + `,"fee":30,"net":100,"currency":"usd","created":1772366160,"type":"charge","reporting_category":"charge","source":"ch_1"}`
	}
	charge := `{"id":"ch_1","object":"charge","created":1772366160,"status":"succeeded","captured":true,"amount":1999,"amount_captured":1999,"currency":"usd","payment_intent":"pi_1",
 "payment_method_details":{"type":"card","card":{"fingerprint":"f1","capture_before":1772970960}},"outcome":{"type":"authorized"},"balance_transaction":` + txn("txn_1", "1999") + `,"review":{"id":"prv_1","object":"review","open":true,"created":1772366160,"charge":"ch_1"}}`
	declined := `{"id":"ch_0","object":"charge","created":1772366100,"status":"failed","amount":1999,"currency":"usd","failure_code":"card_declined","outcome":{"reason":"insufficient_funds"},"payment_method_details":{"type":"card","card":{"fingerprint":"f0"}}}`
	intent := `{"id":"pi_1","object":"payment_intent","created":1772366150,"status":"succeeded","capture_method":"manual","currency":"usd","amount":1999,"amount_capturable":0,"metadata":{"trifecta_payment":"pay_x"},"last_payment_error":{"code":"card_declined"},"latest_charge":` + charge + `}`
	session := `{"id":"cs_1","object":"checkout.session","created":1772366100,"expires_at":1772380000,"status":"complete","payment_status":"paid","currency":"usd","amount_total":1999,"customer":"cus_1","customer_details":{"email":"b@example.com"},
 "total_details":{"amount_discount":1,"amount_shipping":2,"amount_tax":3},"payment_intent":` + intent + `}`
	dispute := `{"id":"dp_1","object":"dispute","created":1772366200,"status":"needs_response","amount":900,"currency":"usd","charge":"ch_1","reason":"fraudulent","evidence_details":{"due_by":1772970960,"submission_count":0},"balance_transactions":[` + txn("txn_3", "-900") + `]}`
	refund := `{"id":"re_1","object":"refund","created":1772366200,"status":"failed","amount":99,"currency":"usd","charge":"ch_1","payment_intent":"pi_1","metadata":{"trifecta_refund":"rfd_1"},"balance_transaction":` + txn("txn_2", "-99") + `,"failure_balance_transaction":"txn_4"}`
	return map[string]string{
		"/v1/checkout/sessions/cs_1":     session,
		"/v1/checkout/sessions":          list(session),
		"/v1/payment_intents":            list(intent),
		"/v1/charges":                    list(charge + "," + declined),
		"/v1/refunds":                    list(refund),
		"/v1/balance_transactions/txn_4": txn("txn_4", "99"),
		"/v1/balance_transactions":       list(txn("txn_1", "1999")),
		"/v1/disputes":                   list(dispute),
		"/v1/disputes/dp_1":              dispute,
		"/v1/radar/early_fraud_warnings": list(`{"id":"issfr_1","object":"radar.early_fraud_warning","charge":"ch_1","actionable":true,"created":1772366200,"fraud_type":"misc"}`),
		"/v1/events":                     list(sessionEvent),
	}
}

// FuzzFacts: whatever Stripe's answers hold, in whichever place, the adapter does not
// panic, and reports either facts that can be counted, merged and stored, or an
// *Error (I7, I10).
func FuzzFacts(f *testing.F) {
	answers := richAnswers()
	paths := slices.Sorted(maps.Keys(answers))
	damaged, body := "", ""
	a, err := New(Options{
		Account: "stripe-test", Mode: payment.ModeTest, SecretKey: testKey, APIBase: "https://stripe.test",
		HTTPClient: &http.Client{Transport: inMemory{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", startWall.Format(http.TimeFormat))
			text, ok := answers[r.URL.Path]
			if !ok {
				w.WriteHeader(http.StatusNotFound)
				text = `{"error":{"type":"invalid_request_error","code":"resource_missing"}}`
			}
			if r.URL.Path == damaged {
				text = body
			}
			_, _ = io.WriteString(w, text)
		})}},
	})
	if err != nil {
		f.Fatal(err)
	}
	at := providers.Attempt{PaymentID: "pay_x", N: 1, Root: providers.Ref{Kind: kindSession, ID: "cs_1"}, Asked: payment.Money{Minor: 1999, Currency: "usd"}, CreatedAt: startWall}
	obs, err := a.Fetch(f.Context(), at)
	if err != nil || len(obs.Facts.Captures) != 1 || len(obs.Facts.Refunds) != 1 || len(obs.Facts.Disputes) != 1 || len(obs.Facts.Warnings) != 1 || len(obs.Facts.Fees) != 4 || len(obs.Facts.Authorizations) != 1 {
		f.Fatalf("the undamaged answers are not read whole: %+v, %v", obs, err)
	}
	for i := range paths {
		for step, value := range []string{`null`, `{}`, `""`, `-1`, `[null]`, `9007199254740993`, `-9223372036854775808`, `253402300799`, `1e300`, `"isk"`} {
			f.Add(byte(i), []byte{byte(step)}, value)
			f.Add(byte(i), []byte{1, 0, byte(step)}, value)
		}
	}
	f.Fuzz(func(t *testing.T, which byte, place []byte, value string) {
		damaged = paths[int(which)%len(paths)]
		var whole, other any
		if err := json.Unmarshal([]byte(answers[damaged]), &whole); err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(strings.NewReader(value))
		dec.UseNumber()
		if dec.Decode(&other) != nil {
			other = value
		}
		text, err := json.Marshal(providertest.Damage(whole, place[:min(len(place), 12)], other))
		if err != nil {
			t.Fatal(err)
		}
		body = string(text)
		obs, err := a.Fetch(t.Context(), at)
		if err == nil {
			providertest.Sound(t, obs)
		} else if !errors.As(err, new(*providers.Error)) {
			t.Fatalf("%T leaves the adapter: %v", err, err)
		}
		for _, list := range a.Lists() {
			if _, err := a.Sweep(t.Context(), list, startWall.Add(-time.Hour), startWall, ""); err != nil && !errors.As(err, new(*providers.Error)) {
				t.Fatalf("%s: %v", list, err)
			}
		}
	})
}

// FuzzMoney: an integer of Stripe's that is read means the same amount when it is
// sent back, and none is read that can't be counted (I10).
func FuzzMoney(f *testing.F) {
	for _, c := range []string{"usd", "ISK", "mga", "ugx", "kwd", "jpy", "", "us", "xxx"} {
		for _, n := range []int64{0, 1, -1, 100, 150, 1 << 53, math.MaxInt64, math.MinInt64} {
			f.Add(n, c)
		}
	}
	f.Fuzz(func(t *testing.T, n int64, currency string) {
		m, err := fromStripe(n, stripesdk.Currency(currency))
		if err != nil {
			return
		}
		if !strings.EqualFold(string(m.Currency), currency) || (n < 0) != (m.Minor < 0) || (n == 0) != (m.Minor == 0) {
			t.Fatalf("%d %q was read as %v", n, currency, m)
		}
		if sent, err := toStripe(m); err == nil && sent != n {
			t.Fatalf("%d %q was read as %v and is sent as %d", n, currency, m, sent)
		}
	})
}

// FuzzVerify: no header and no body is taken for Stripe's without the secret: one
// line, two lines, any bytes.
func FuzzVerify(f *testing.F) {
	a, err := New(Options{Account: "s", Mode: payment.ModeTest, SecretKey: testKey, APIBase: "https://stripe.test", WebhookSecrets: []string{"whsec_unguessable-0123456789abcdef"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stamp(sessionEvent, secretA, hookTime), "", sessionEvent)
	f.Add("t=1772366100,v1=00", "v1=00", sessionEvent)
	f.Add("t=1772366100,v0="+strings.Repeat("0", 64), "", "{}")
	f.Fuzz(func(t *testing.T, first, second, body string) {
		h := http.Header{"Stripe-Signature": {first}}
		if second != "" {
			h.Add("Stripe-Signature", second)
		}
		if ev, err := a.Verify(t.Context(), h, []byte(body), false, hookTime); err == nil {
			t.Fatalf("accepted %+v", ev)
		}
	})
}

// FuzzEvent: a signed body of any shape is refused or names something; it never
// panics, and what would be acted on has a key and an object.
func FuzzEvent(f *testing.F) {
	f.Add(sessionEvent)
	f.Add(`{"id":"evt_1","object":"event","type":"charge.refunded","created":5,"data":{"object":{"id":"ch_1","object":"charge","payment_intent":{"id":5},"charge":[]}}}`)
	f.Add(`{"id":"evt_1","object":"event","type":"x","created":5,"data":{"object":null}}`)
	f.Fuzz(func(t *testing.T, body string) {
		ev, err := parseEvent([]byte(body))
		if err == nil && (ev.Key == "" || ev.Object.Kind == "" || ev.Relevant && ev.Object.ID == "" || ev.Created.IsZero()) {
			t.Fatalf("%q is read as %+v", body, ev)
		}
	})
}
