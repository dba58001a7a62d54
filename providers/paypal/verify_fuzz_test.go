package paypal

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/providers"
)

// fuzzPost is PayPal as FuzzVerify meets it: certificates at addresses of PayPal's own
// hosts, and a check of deliveries that always says no. It notes every address.
type fuzzPost struct {
	certs map[string][]byte
	seen  []string
}

func (p *fuzzPost) RoundTrip(r *http.Request) (*http.Response, error) {
	p.seen = append(p.seen, r.Method+" "+r.URL.String())
	status, body := http.StatusNotFound, []byte(nil)
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch cert := p.certs[name]; {
	case r.URL.Path == "/v1/oauth2/token":
		status, body = http.StatusOK, []byte(`{"access_token":"t","token_type":"Bearer","expires_in":32400}`)
	case r.URL.Path == "/v1/notifications/verify-webhook-signature":
		status, body = http.StatusOK, []byte(`{"verification_status":"FAILURE"}`)
	case name == "DOWN":
		status = http.StatusServiceUnavailable
	case cert != nil:
		status, body = http.StatusOK, cert
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

// fuzzCalls are the only calls a delivery may cause, whatever certificate it names.
var fuzzCalls = regexp.MustCompile(`^(GET https://api(-m)?\.sandbox\.paypal\.com/v1/notifications/certs/[A-Za-z0-9_.-]+` +
	`|POST https://api-m\.sandbox\.paypal\.com/v1/(oauth2/token|notifications/verify-webhook-signature))$`)

// fuzzSignature signs what the headers say, for our first webhook id.
func fuzzSignature(f *testing.F, key *rsa.PrivateKey, id, at, body string) []byte {
	f.Helper()
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|WHFIRST|%d", id, at, crc32.ChecksumIEEE([]byte(body))))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		f.Fatal(err)
	}
	return sig
}

// FuzzVerify: one genuine delivery is accepted, and no other headers, body or certificate
// address are: none makes the check panic, accept what PayPal's key did not sign, or call
// anybody or anything but PayPal's certificates and PayPal's own check (B1 to B4, B11).
//
// Every process makes its own keys, so the inputs can't hold a signature: change is laid
// over the genuine one (none: as it is), or over one of the forger's own key.
func FuzzVerify(f *testing.F) {
	const id, good = "7c3f2b6e-5f3c-11ee-8c99-0242ac120002", "https://api.sandbox.paypal.com" + certPrefix + "CERT-1"
	at := startWall.Format(time.RFC3339)
	ca, forger := testAuthority(), newAuthority()
	paypal := &fuzzPost{certs: map[string][]byte{
		"CERT-1": ca.leaf(f, nil), "SELF": forger.issue(f, nil, forger.sign, nil), "OTHER": forger.leaf(f, nil),
		"NAME": forger.issue(f, ca.cert, ca.key, func(c *x509.Certificate) { c.DNSNames = []string{"evil.test"} }),
		"OLD":  forger.issue(f, ca.cert, ca.key, func(c *x509.Certificate) { c.NotAfter = startWall.Add(-time.Second) }),
	}}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	a, err := New(Options{
		Account: "a", Mode: "test", ClientID: "c", ClientSecret: "s", Now: func() time.Time { return startWall }, WebhookIDs: []string{"WHFIRST", "WHSECOND"}, Inline: true,
		WebhookRootCA: roots, HTTPClient: &http.Client{Transport: paypal},
	})
	if err != nil {
		f.Fatal(err)
	}
	genuine, forged := fuzzSignature(f, ca.sign, id, at, captureEvent), fuzzSignature(f, forger.sign, id, at, captureEvent)
	for _, cert := range []string{
		good, strings.Replace(good, "api.", "api-m.", 1), "http://api.sandbox.paypal.com" + certPrefix + "CERT-1", "https://api.sandbox.paypal.com@127.0.0.1" + certPrefix + "CERT-1",
		"https://api.sandbox.paypal.com.evil.test" + certPrefix + "CERT-1", "https://evil.test/api.sandbox.paypal.com" + certPrefix + "x", "https://api.sandbox.paypal.com:8443" + certPrefix + "x",
		"https://api.sandbox.paypal.com" + certPrefix + "../../x", "//api.sandbox.paypal.com" + certPrefix + "x", "https://api.sandbox.paypal.com\\@evil.test" + certPrefix + "x",
		good + "?x=1", good + "#x", good + "/../../../v2/x", "https://api.sandbox.paypal.com" + certPrefix + "%2e%2e/x", "https://u:p@api.sandbox.paypal.com" + certPrefix + "CERT-1",
	} {
		f.Add(id, at, cert, "SHA256withRSA", captureEvent, []byte(nil), false)
	}
	for _, name := range []string{"CERT-1", "SELF", "OTHER", "NAME", "OLD", "DOWN", "NONE"} {
		f.Add(id, at, "https://api.sandbox.paypal.com"+certPrefix+name, "SHA256withRSA", captureEvent, []byte(nil), true)
		f.Add(id, at, "https://api.sandbox.paypal.com"+certPrefix+name, "SHA256withRSA", captureEvent, []byte{1}, false)
	}
	f.Add("", "", "", "", "", []byte(nil), false)
	f.Add(id, at, good, "none", captureEvent, []byte(nil), false)
	f.Add(id, at, good, "SHA256withRSA", captureEvent+" ", []byte(nil), false)
	f.Add(id+"x", at, good, "SHA256withRSA", captureEvent, []byte(nil), false)
	f.Add(id, startWall.Add(time.Second).Format(time.RFC3339), good, "SHA256withRSA", captureEvent, []byte(nil), false)
	f.Add(id, at, good, "SHA256withRSA", captureEvent, append(make([]byte, 256), 0), false)
	f.Fuzz(func(t *testing.T, gotID, gotAt, cert, algo, body string, change []byte, byForger bool) {
		sig := bytes.Clone(genuine)
		if byForger {
			sig = bytes.Clone(forged)
		}
		for i, b := range change {
			if i == len(sig) {
				sig = append(sig, change[i:]...)
				break
			}
			sig[i] ^= b
		}
		h := http.Header{}
		h.Set("Paypal-Transmission-Id", gotID)
		h.Set("Paypal-Transmission-Time", gotAt)
		h.Set("Paypal-Transmission-Sig", base64.StdEncoding.EncodeToString(sig))
		h.Set("Paypal-Cert-Url", cert)
		h.Set("Paypal-Auth-Algo", algo)
		paypal.seen = nil
		ev, err := a.Verify(t.Context(), h, []byte(body), false, startWall)
		for _, call := range paypal.seen {
			if !fuzzCalls.MatchString(call) {
				t.Fatalf("%q made us call %s", cert, call)
			}
		}
		// The signature covers the body's CRC-32 only (B6), and a fragment that is empty is none.
		signed := gotID == id && gotAt == at && algo == "SHA256withRSA" && bytes.Equal(sig, genuine) && crc32.ChecksumIEEE([]byte(body)) == crc32.ChecksumIEEE([]byte(captureEvent)) &&
			strings.HasSuffix(strings.TrimSuffix(cert, "#"), certPrefix+"CERT-1")
		switch {
		case err == nil && (!signed || ev.Key != id):
			t.Fatalf("accepted %+v", ev)
		case err != nil && signed && body == captureEvent && cert == good:
			t.Fatalf("the genuine delivery is refused: %v", err)
		case err != nil && !errors.Is(err, providers.ErrSignature) && !errors.Is(err, providers.ErrMalformed):
			t.Fatalf("neither a bad signature nor malformed: %v", err)
		}
	})
}
