package stripe

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	stripesdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/trifecta-pay/trifecta/providers"
)

const (
	secretA       = "whsec_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	secretB       = "whsec_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	secretConnect = "whsec_cccccccccccccccccccccccccccccccc"
)

var hookTime = time.Unix(1_770_000_000, 0)

const sessionEvent = `{"id":"evt_1","object":"event","type":"checkout.session.completed","created":1770000000,"livemode":false,
	"api_version":"2025-03-31.basil","data":{"object":{"id":"cs_1","object":"checkout.session","payment_intent":"pi_1",
	"client_reference_id":"pay_abc","metadata":{"trifecta_payment":"pay_abc","trifecta_attempt":"pay_abc-2"}}}}`

// stamp signs as Stripe's own SDK does: an independent witness.
func stamp(body, secret string, at time.Time) string {
	return webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(body), Secret: secret, Timestamp: at}).Header
}

func verify(t *testing.T, header, body string, connect bool) (providers.Event, error) {
	t.Helper()
	h := http.Header{}
	if header != "" {
		h.Set("Stripe-Signature", header)
	}
	return (&lab{}).connect(t, "http://127.0.0.1:1").Verify(t.Context(), h, []byte(body), connect, hookTime)
}

// TestVerifyAccepts: Stripe's own signatures pass, also while a secret is rolled and
// whatever API version the body is in.
func TestVerifyAccepts(t *testing.T) {
	t.Parallel()
	want := providers.Event{
		Key: "evt_1", ID: "evt_1", Type: "checkout.session.completed", Created: time.Unix(1770000000, 0).UTC(), Version: "2025-03-31.basil",
		Object: providers.Ref{Kind: kindSession, ID: "cs_1"}, Hint: providers.Hint{PaymentID: "pay_abc", N: 2, Refs: []string{"cs_1", "pi_1"}}, Relevant: true,
	}
	foreign := strings.Replace(stamp(sessionEvent, "whsec_old", hookTime), "t=", "v0=00,t=", 1)
	own := stamp(sessionEvent, secretB, hookTime)
	mac := strings.Index(own, "v1=") + 3
	for name, header := range map[string]string{
		"first secret":    stamp(sessionEvent, secretA, hookTime),
		"second secret":   own,
		"two signatures":  foreign + ",v1=" + own[mac:],
		"hex in capitals": own[:mac] + strings.ToUpper(own[mac:]),
		"299 s old":       stamp(sessionEvent, secretA, hookTime.Add(-299*time.Second)),
		"299 s ahead":     stamp(sessionEvent, secretA, hookTime.Add(299*time.Second)),
	} {
		got, err := verify(t, header, sessionEvent, false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	connected := strings.Replace(sessionEvent, `"livemode":false`, `"livemode":true,"account":"acct_1"`, 1)
	got, err := verify(t, stamp(connected, secretConnect, hookTime), connected, true)
	if err != nil || got.Account != "acct_1" || !got.Live {
		t.Errorf("connect: %+v, %v", got, err)
	}
}

// TestVerifyRefuses: nothing but Stripe's own signature of these bytes at this time
// opens the door.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	good := stamp(sessionEvent, secretA, hookTime)
	mac := good[strings.Index(good, "v1=")+3:]
	for name, header := range map[string]string{
		"none":               "",
		"empty parts":        ",,,",
		"no time":            "v1=" + mac,
		"no signature":       fmt.Sprintf("t=%d", hookTime.Unix()),
		"only v0":            strings.Replace(good, "v1=", "v0=", 1),
		"v2":                 strings.Replace(good, "v1=", "v2=", 1),
		"a byte short":       good[:len(good)-2],
		"a digit short":      good[:len(good)-1],
		"a byte long":        good + "00",
		"half of it":         good[:len(good)-32],
		"an empty v1":        fmt.Sprintf("t=%d,v1=", hookTime.Unix()),
		"zeros":              fmt.Sprintf("t=%d,v1=%s", hookTime.Unix(), strings.Repeat("0", 64)),
		"V1":                 strings.Replace(good, "v1=", "V1=", 1),
		"an empty time":      strings.Replace(good, "t=1770000000", "t=", 1),
		"time below zero":    strings.Replace(good, "t=1770000000", "t=-1770000000", 1),
		"semicolons":         strings.ReplaceAll(good, ",", ";"),
		"not hex":            good[:len(good)-2] + "zz",
		"301 s old":          stamp(sessionEvent, secretA, hookTime.Add(-301*time.Second)),
		"301 s ahead":        stamp(sessionEvent, secretA, hookTime.Add(301*time.Second)),
		"two days ahead":     stamp(sessionEvent, secretA, hookTime.Add(48*time.Hour)),
		"another time":       strings.Replace(good, "t=1770000000", "t=1770000001", 1),
		"two times":          fmt.Sprintf("t=%d,", hookTime.Unix()) + stamp(sessionEvent, secretA, hookTime.Add(-time.Hour)),
		"time overflow":      strings.Replace(good, "t=1770000000", "t=99999999999999999999", 1),
		"another secret":     stamp(sessionEvent, "whsec_dddddddddddddddddddddddddddddddd", hookTime),
		"connect's secret":   stamp(sessionEvent, secretConnect, hookTime),
		"empty secret":       stamp(sessionEvent, "", hookTime),
		"another body":       stamp(sessionEvent+" ", secretA, hookTime),
		"a flood of v1":      good + strings.Repeat(",v1="+strings.Repeat("00", 32), 40),
		"spaced differently": strings.Replace(good, "t=1770000000", "t= 1770000000", 1),
	} {
		if _, err := verify(t, header, sessionEvent, false); !errors.Is(err, providers.ErrSignature) {
			t.Errorf("%s: %v, want a signature error", name, err)
		}
	}
	h := http.Header{"Stripe-Signature": {good, good}}
	if _, err := (&lab{}).connect(t, "http://127.0.0.1:1").Verify(t.Context(), h, []byte(sessionEvent), false, hookTime); !errors.Is(err, providers.ErrSignature) {
		t.Errorf("two headers: %v", err)
	}
	if _, err := verify(t, good, sessionEvent, true); !errors.Is(err, providers.ErrSignature) {
		t.Error("the account's secret opens the Connect endpoint")
	}
	bare, err := New(Options{Account: "a", Mode: "test", SecretKey: "sk_test_1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bare.Verify(t.Context(), http.Header{"Stripe-Signature": {good}}, []byte(sessionEvent), false, hookTime); !errors.Is(err, providers.ErrVerifyUnavailable) {
		t.Errorf("without a secret: %v", err)
	}
	for name, h := range map[string]http.Header{
		"unsigned": {}, "no signature in it": {"Stripe-Signature": {"t=1770000000,v1=aa"}}, "long ago": {"Stripe-Signature": {stamp(sessionEvent, secretA, hookTime.Add(-time.Hour))}},
	} {
		if _, err := bare.Verify(t.Context(), h, []byte(sessionEvent), true, hookTime); !errors.Is(err, providers.ErrSignature) {
			t.Errorf("without a secret, %s, which none could make right: %v", name, err)
		}
	}
}

// TestVerifyMalformed: a signed body that is no snapshot event is malformed, not
// silently empty.
func TestVerifyMalformed(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, `{`, `null`, `[]`, `"x"`, sessionEvent + "{}",
		`{"id":"evt_1","object":"event","type":"charge.captured","created":1770000000}`,
		`{"id":"evt_1","object":"event","type":"charge.captured","created":1770000000,"data":{"object":null}}`,
		`{"id":"evt_1","object":"event","type":"charge.captured","created":1770000000,"data":{"object":[]}}`,
		`{"id":"evt_1","object":"event","type":"charge.captured","created":1770000000,"data":{"object":{"object":"charge"}}}`,
		`{"id":"evt_1","object":"v2.core.event","type":"v1.billing.meter.error_report_triggered","created":"2026-01-01T00:00:00Z"}`,
		strings.Replace(sessionEvent, `"evt_1"`, `"x"`, 1), strings.Replace(sessionEvent, `1770000000`, `0`, 1),
	} {
		if _, err := verify(t, stamp(body, secretA, hookTime), body, false); !errors.Is(err, providers.ErrMalformed) {
			t.Errorf("%.80s: %v, want malformed", body, err)
		}
	}
}

// TestHints: an event says where it may belong, whatever its object and however its
// references are written.
func TestHints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind, object string
		ref          providers.Ref
		hint         providers.Hint
		relevant     bool
	}{
		{
			"charge.dispute.created", `{"id":"dp_1","object":"dispute","charge":"ch_1","payment_intent":"pi_1","metadata":{}}`,
			providers.Ref{Kind: kindDispute, ID: "dp_1"},
			providers.Hint{Refs: []string{"dp_1", "pi_1", "ch_1"}},
			true,
		},
		{
			"charge.refund.updated", `{"id":"re_1","object":"refund","charge":{"id":"ch_1"},"payment_intent":null,"metadata":{"trifecta_payment":"pay_a","trifecta_attempt":"pay_a-1"}}`,
			providers.Ref{Kind: kindRefund, ID: "re_1"},
			providers.Hint{PaymentID: "pay_a", N: 1, Refs: []string{"re_1", "ch_1"}},
			true,
		},
		{
			"payment_intent.succeeded", `{"id":"pi_1","object":"payment_intent","latest_charge":"ch_1","metadata":{"trifecta_payment":"pay_a","trifecta_attempt":"pay_b-1"}}`,
			providers.Ref{Kind: kindIntent, ID: "pi_1"},
			providers.Hint{PaymentID: "pay_a", Refs: []string{"pi_1", "ch_1"}},
			true,
		},
		{
			"checkout.session.expired", `{"id":"cs_1","object":"checkout.session","payment_intent":7,"client_reference_id":"somebody else's","metadata":null}`,
			providers.Ref{Kind: kindSession, ID: "cs_1"},
			providers.Hint{Refs: []string{"cs_1"}},
			true,
		},
		{
			"radar.early_fraud_warning.created", `{"id":"issfr_1","object":"radar.early_fraud_warning","charge":"ch_1","payment_intent":"pi_1"}`,
			providers.Ref{Kind: kindWarning, ID: "issfr_1"},
			providers.Hint{Refs: []string{"issfr_1", "pi_1", "ch_1"}},
			true,
		},
		{
			"refund.failed", `{"id":"re_1","object":"refund","charge":"ch_1"}`,
			providers.Ref{Kind: kindRefund, ID: "re_1"},
			providers.Hint{Refs: []string{"re_1", "ch_1"}},
			true,
		},
		{"invoice.upcoming", `{"object":"invoice","customer":"cus_1"}`, providers.Ref{Kind: "invoice"}, providers.Hint{}, false},
		{"payout.paid", `{"id":"po_1","object":"payout"}`, providers.Ref{Kind: "payout", ID: "po_1"}, providers.Hint{Refs: []string{"po_1"}}, false},
	} {
		body := fmt.Sprintf(`{"id":"evt_1","object":"event","type":%q,"created":1,"api_version":null,"data":{"object":%s}}`, c.kind, c.object)
		got, err := verify(t, stamp(body, secretA, hookTime), body, false)
		if err != nil {
			t.Errorf("%s: %v", c.kind, err)
			continue
		}
		if got.Object != c.ref || got.Relevant != c.relevant {
			t.Errorf("%s: object %+v relevant %v", c.kind, got.Object, got.Relevant)
		}
		if diff := cmp.Diff(c.hint, got.Hint); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.kind, diff)
		}
	}
}

// FuzzSigned: whatever header and body come, only a signature that the SDK's own
// check accepts too gets through.
func FuzzSigned(f *testing.F) {
	good := stamp(sessionEvent, secretA, hookTime)
	f.Add(good, sessionEvent)
	f.Add("t=1,v1=00", "")
	f.Add(good+","+good, sessionEvent)
	f.Fuzz(func(t *testing.T, header, body string) {
		at, given, ok := readSignature(header, hookTime)
		if !ok || !signed(at, given, []byte(body), []string{secretA}) {
			return
		}
		if err := webhook.ValidatePayloadIgnoringTolerance([]byte(body), header, secretA); err != nil {
			t.Fatalf("accepted what the SDK refuses: %v", err)
		}
	})
}

// TestPinnedVersion: facts are mapped for this API version; another SDK needs
// another look at every field.
func TestPinnedVersion(t *testing.T) {
	t.Parallel()
	if stripesdk.APIVersion != "2023-10-16" {
		t.Errorf("the SDK speaks %s", stripesdk.APIVersion)
	}
}
