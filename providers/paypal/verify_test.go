package paypal

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

// authority is a certificate authority of the tests' own, independent of the sandbox.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	sign *rsa.PrivateKey // of every leaf
}

var testAuthority = sync.OnceValue(newAuthority)

func newAuthority() authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	sign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: startWall.AddDate(-1, 0, 0), NotAfter: startWall.AddDate(9, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return authority{key: key, cert: cert, sign: sign}
}

// leaf is a certificate for PayPal's name as PEM; change spoils it.
func (a authority) leaf(t testing.TB, change func(*x509.Certificate)) []byte {
	t.Helper()
	return a.issue(t, a.cert, a.key, change)
}

// issue is leaf with another issuer and its key; without an issuer it is its own.
func (a authority) issue(t testing.TB, issuer *x509.Certificate, key any, change func(*x509.Certificate)) []byte {
	t.Helper()
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: certNameTest}, DNSNames: []string{certNameTest},
		NotBefore: startWall.AddDate(0, -1, 0), NotAfter: startWall.AddDate(0, 1, 0), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if change != nil {
		change(cert)
	}
	if issuer == nil {
		issuer = cert
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, issuer, a.sign.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// post is one webhook delivery.
type post struct {
	header http.Header
	body   []byte
}

// mail serves certificates and PayPal's own check, and signs deliveries.
type mail struct {
	*stub
	ca      authority
	adapter *Adapter
	certURL string
}

func newMail(t *testing.T) *mail {
	t.Helper()
	m := &mail{stub: newStub(t), ca: testAuthority()}
	roots := x509.NewCertPool()
	roots.AddCert(m.ca.cert)
	host := strings.TrimPrefix(m.server.URL, "http://")
	m.adapter = m.stub.adapter(func(o *Options) {
		o.WebhookIDs, o.WebhookRootCA, o.WebhookCertHosts = []string{"WHFIRST", "WHSECOND"}, roots, []string{host}
	})
	m.certURL = m.server.URL + certPrefix + "CERT-1"
	m.serve("CERT-1", m.ca.leaf(t, nil))
	return m
}

func (m *mail) serve(name string, body []byte) { m.on("GET "+certPrefix+name, 200, string(body)) }

func (m *mail) signed(webhook string, body []byte) post {
	id, at := "7c3f2b6e-5f3c-11ee-8c99-0242ac120002", startWall.Format(time.RFC3339)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%s|%d", id, at, webhook, crc32.ChecksumIEEE(body)))
	sig, err := rsa.SignPKCS1v15(nil, m.ca.sign, crypto.SHA256, sum[:])
	if err != nil {
		m.t.Fatal(err)
	}
	h := http.Header{}
	h.Set("PAYPAL-TRANSMISSION-ID", id)
	h.Set("PAYPAL-TRANSMISSION-TIME", at)
	h.Set("PAYPAL-TRANSMISSION-SIG", base64.StdEncoding.EncodeToString(sig))
	h.Set("PAYPAL-CERT-URL", m.certURL)
	h.Set("PAYPAL-AUTH-ALGO", "SHA256withRSA")
	return post{h, body}
}

func (m *mail) verify(p post) (providers.Event, error) {
	return m.adapter.Verify(m.t.Context(), p.header, p.body, false, startWall)
}

// calls is how many requests left the adapter, token calls included.
func (m *mail) calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.seen) + m.tokens
}

const captureEvent = `{"id":"WH-1","event_version":"1.0","create_time":"2026-03-01T11:59:00.000Z","resource_type":"capture","resource_version":"2.0",
 "event_type":"PAYMENT.CAPTURE.COMPLETED","summary":"Payment completed for AT&T <x>","resource":{"id":"` + capID + `","custom_id":"` + payID + `","invoice_id":"` + payID + `-2",
 "supplementary_data":{"related_ids":{"order_id":"` + orderID + `","authorization_id":"` + authID + `"}},"links":[{"href":"https://api-m.paypal.com/v2/payments/authorizations/` + authID + `","rel":"up"}]}}`

// TestVerify: a signed delivery is read, for each of our webhook ids, with odd spacing
// and characters as they came (B10), and the certificate is fetched once.
func TestVerify(t *testing.T) {
	t.Parallel()
	m := newMail(t)
	for _, id := range []string{"WHFIRST", "WHSECOND"} {
		got, err := m.verify(m.signed(id, []byte(captureEvent)))
		if err != nil {
			t.Fatal(err)
		}
		want := providers.Event{
			Key: "7c3f2b6e-5f3c-11ee-8c99-0242ac120002", ID: "WH-1", Type: "PAYMENT.CAPTURE.COMPLETED", Version: "2.0", Relevant: true,
			Created: startWall.Add(-time.Minute), Object: providers.Ref{Kind: "capture", ID: capID},
			Hint: providers.Hint{PaymentID: payID, N: 2, Refs: []string{capID, authID, orderID}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if n := m.count("GET " + certPrefix + "CERT-1"); n != 1 {
		t.Errorf("the certificate was fetched %d times", n)
	}
}

// TestVerifyHeaders guards B1, B4, B5, B12: every flaw in the headers is a bad
// signature, found before anybody is called.
func TestVerifyHeaders(t *testing.T) {
	t.Parallel()
	m := newMail(t)
	at := func(d time.Duration) func(post) {
		return func(p post) { p.header.Set("Paypal-Transmission-Time", startWall.Add(d).Format(time.RFC3339)) }
	}
	set := func(name, value string) func(post) { return func(p post) { p.header.Set(name, value) } }
	for name, spoil := range map[string]func(post){
		"no id": set("Paypal-Transmission-Id", ""), "no time": set("Paypal-Transmission-Time", ""), "no signature": set("Paypal-Transmission-Sig", ""),
		"no certificate": set("Paypal-Cert-Url", ""), "no algorithm": set("Paypal-Auth-Algo", ""),
		"algorithm none": set("Paypal-Auth-Algo", "none"), "SHA1": set("Paypal-Auth-Algo", "SHA1withRSA"),
		"no base64": set("Paypal-Transmission-Sig", "%%%"), "no time at all": set("Paypal-Transmission-Time", "yesterday"),
		"an id to break keys": set("Paypal-Transmission-Id", "a b/../c"), "an endless id": set("Paypal-Transmission-Id", strings.Repeat("a", 400)),
		"6 days old": at(-6 * 24 * time.Hour), "6 minutes ahead": at(6 * time.Minute),
	} {
		p := m.signed("WHFIRST", []byte(captureEvent))
		spoil(p)
		if _, err := m.verify(p); !errors.Is(err, providers.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m.calls() != 0 {
		t.Errorf("%d calls went out", m.calls())
	}
	for name, p := range map[string]post{
		"another webhook id": m.signed("WHOTHER", []byte(captureEvent)),
		"the simulator's id": m.signed("WEBHOOK_ID", []byte(captureEvent)),
		"another body":       {m.signed("WHFIRST", []byte(captureEvent)).header, []byte(captureEvent + " ")},
	} {
		if _, err := m.verify(p); !errors.Is(err, providers.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	none := m.stub.adapter(func(o *Options) { o.WebhookIDs = nil })
	p := m.signed("", []byte(captureEvent))
	if _, err := none.Verify(t.Context(), p.header, p.body, false, startWall); !errors.Is(err, providers.ErrSignature) {
		t.Errorf("with no webhook id of our own: %v", err)
	}
}

// TestVerifyCertificateAddress guards B2: the address comes from the caller, so one
// that is not exactly PayPal's is refused with no connection at all.
func TestVerifyCertificateAddress(t *testing.T) {
	t.Parallel()
	m := newMail(t)
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a foreign host was called") }))
	t.Cleanup(evil.Close)
	host := strings.TrimPrefix(m.server.URL, "http://")
	for _, address := range []string{
		evil.URL + certPrefix + "CERT-1", "http://api.paypal.com" + certPrefix + "CERT-1", "https://api.paypal.com.evil.test" + certPrefix + "CERT-1",
		"https://evil.test/api.paypal.com" + certPrefix + "CERT-1", "https://api.sandbox.paypal.com@127.0.0.1/" + certPrefix + "CERT-1",
		"http://u:p@" + host + certPrefix + "CERT-1", "http://" + host + certPrefix + "CERT-1?x=1", "http://" + host + certPrefix + "CERT-1#x",
		"http://" + host + certPrefix + "../../v2/x", "http://" + host + certPrefix + "%2e%2e/x", "http://" + host + certPrefix, "http://" + host + "/x",
		"http://" + host + certPrefix + "a/b", "http://[::1]" + certPrefix + "CERT-1", "https://аpi.paypal.com" + certPrefix + "CERT-1",
		"file:///etc/passwd", "gopher://" + host + certPrefix + "CERT-1", "https:" + certPrefix + "CERT-1", "://", strings.Repeat("x", 2000),
		"http://" + strings.Replace(host, "127.0.0.1", "localhost", 1) + certPrefix + "CERT-1", "http://" + host + certPrefix + "CERT-1?",
	} {
		p := m.signed("WHFIRST", []byte(captureEvent))
		p.header.Set("Paypal-Cert-Url", address)
		if _, err := m.verify(p); !errors.Is(err, providers.ErrSignature) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if m.calls() != 0 {
		t.Errorf("%d calls went out", m.calls())
	}
}

// TestVerifyCertificate guards B3: a certificate that is not PayPal's, not for now, or
// no certificate is a bad signature.
func TestVerifyCertificate(t *testing.T) {
	t.Parallel()
	m := newMail(t)
	good := m.ca.leaf(t, nil)
	for name, body := range map[string][]byte{
		"another name": m.ca.leaf(t, func(c *x509.Certificate) { c.DNSNames = []string{"evil.test"} }),
		"live name":    m.ca.leaf(t, func(c *x509.Certificate) { c.DNSNames = []string{certNameLive} }),
		"only a CN":    m.ca.leaf(t, func(c *x509.Certificate) { c.DNSNames = nil }),
		"expired":      m.ca.leaf(t, func(c *x509.Certificate) { c.NotAfter = startWall.Add(-time.Second) }),
		"not yet":      m.ca.leaf(t, func(c *x509.Certificate) { c.NotBefore = startWall.Add(time.Second) }),
		"a megabyte":   append(bytes.Clone(good), bytes.Repeat([]byte("\n"), 1<<20)...),
		"no PEM":       []byte("hello"),
		"empty":        nil,
		"broken":       []byte("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"),
	} {
		address := "BAD-" + strings.ReplaceAll(name, " ", "-")
		m.serve(address, body)
		p := m.signed("WHFIRST", []byte(captureEvent))
		p.header.Set("Paypal-Cert-Url", m.server.URL+certPrefix+address)
		if _, err := m.verify(p); !errors.Is(err, providers.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := m.verify(p); !errors.Is(err, providers.ErrSignature) {
			t.Errorf("%s, again: %v", name, err)
		}
		if n := m.count("GET " + certPrefix + address); n != 1 {
			t.Errorf("%s: fetched %d times, a failure is remembered", name, n)
		}
	}
	m.handle("GET "+certPrefix+"MOVED", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, m.certURL, http.StatusFound)
	})
	p := m.signed("WHFIRST", []byte(captureEvent))
	p.header.Set("Paypal-Cert-Url", m.server.URL+certPrefix+"MOVED")
	if _, err := m.verify(p); !errors.Is(err, providers.ErrSignature) || m.count("GET "+certPrefix+"CERT-1") != 0 {
		t.Errorf("redirect: %v", err)
	}
	if m.count("POST /v1/notifications/verify-webhook-signature") != 0 {
		t.Error("PayPal was asked about a certificate that is plainly wrong")
	}
	// A good one that expires while it is kept is not good any more.
	if _, err := m.verify(m.signed("WHFIRST", []byte(captureEvent))); err != nil {
		t.Fatal(err)
	}
	later := m.signed("WHFIRST", []byte(captureEvent))
	if _, err := m.adapter.Verify(t.Context(), later.header, later.body, false, startWall.AddDate(0, 1, 1)); !errors.Is(err, providers.ErrSignature) {
		t.Errorf("after its end: %v", err)
	}
}

// TestVerifySelfSigned guards B3: a certificate that its holder signed, or that another
// authority gave for PayPal's name, carries no signature of its key: PayPal is asked,
// and where it says no or nothing, nobody is believed.
func TestVerifySelfSigned(t *testing.T) {
	t.Parallel()
	for name, self := range map[string]bool{"self-signed": true, "another authority's": false} {
		m := newMail(t)
		forger := newAuthority()
		issuer, key := forger.cert, any(forger.key)
		if self {
			issuer, key = nil, forger.sign
		}
		m.serve("FORGED", forger.issue(t, issuer, key, nil))
		m.ca, m.certURL = forger, m.server.URL+certPrefix+"FORGED"
		p := m.signed("WHFIRST", []byte(captureEvent))
		for answer, want := range map[string]error{
			`{"verification_status":"FAILURE"}`: providers.ErrSignature, `{}`: providers.ErrVerifyUnavailable,
		} {
			m.on("POST /v1/notifications/verify-webhook-signature", 200, answer)
			if _, err := m.verify(p); !errors.Is(err, want) {
				t.Errorf("%s, PayPal answers %s: %v, want %v", name, answer, err, want)
			}
		}
		if len(m.adapter.certs.good) != 0 {
			t.Errorf("%s: it is kept as good", name)
		}
	}
}

// TestVerifyJudgesInTime guards B3: that a kept certificate was judged good holds no
// longer than any certificate of its chain, not before that moment, and for an hour.
func TestVerifyJudgesInTime(t *testing.T) {
	t.Parallel()
	ends := startWall.Add(90 * time.Minute)
	m := newMail(t)
	m.serve("CERT-1", m.ca.leaf(t, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = startWall, ends }))
	key := func(at time.Time) error {
		_, err := m.adapter.certs.key(t.Context(), m.certURL, at)
		return err
	}
	roots := m.adapter.certs.roots
	for _, c := range []struct {
		name  string
		at    time.Time
		roots *x509.CertPool // none: whoever judges again fails
		want  error
	}{
		{"judged", startWall, roots, nil},
		{"not judged again", startWall.Add(goodFor - time.Second), x509.NewCertPool(), nil},
		{"judged again after an hour", startWall.Add(goodFor), x509.NewCertPool(), errNoCertificate},
		{"and good", startWall.Add(goodFor), roots, nil},
		{"up to its end", ends.Add(-time.Second), x509.NewCertPool(), nil},
		{"not past its end, within the hour", ends.Add(time.Second), roots, errCertificate},
		{"not before its begin", startWall.Add(-time.Second), roots, errCertificate},
	} {
		m.adapter.certs.roots = c.roots
		if err := key(c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if n := m.count("GET " + certPrefix + "CERT-1"); n != 2 {
		t.Errorf("fetched %d times, want once, and once more after its end", n)
	}
}

// Promise: a certificate that PayPal renews under its address is taken without a restart;
// while it is not, an expired one is asked for once a minute, and refused.
func TestVerifyCertificateRenewedInPlace(t *testing.T) {
	t.Parallel()
	m := newMail(t)
	ends := startWall.Add(time.Hour)
	m.serve("CERT-1", m.ca.leaf(t, func(c *x509.Certificate) { c.NotAfter = ends }))
	key := func(at time.Time) error {
		_, err := m.adapter.certs.key(t.Context(), m.certURL, at)
		return err
	}
	if err := key(startWall); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := key(ends.Add(time.Second)); !errors.Is(err, errCertificate) {
			t.Errorf("past its end: %v", err)
		}
	}
	if n := m.count("GET " + certPrefix + "CERT-1"); n != 2 {
		t.Errorf("fetched %d times, want twice", n)
	}
	m.serve("CERT-1", m.ca.leaf(t, nil))
	for range 5 {
		if err := key(ends.Add(2 * time.Minute)); err != nil {
			t.Errorf("renewed: %v", err)
		}
	}
	if n := m.count("GET " + certPrefix + "CERT-1"); n != 3 {
		t.Errorf("fetched %d times, want three times", n)
	}
}

// TestVerifyFallback guards B8: where the certificate can't be had, PayPal decides;
// where PayPal can't be asked either, nobody does.
func TestVerifyFallback(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		cert, status int
		body         string
		want         error
	}{
		{"certificate down, success", 503, 200, `{"verification_status":"SUCCESS"}`, nil},
		{"certificate down, failure", 503, 200, `{"verification_status":"FAILURE"}`, providers.ErrSignature},
		{"certificate down, an answer nobody knows", 503, 200, `{"verification_status":"MAYBE"}`, providers.ErrVerifyUnavailable},
		{"certificate down, no answer", 503, 200, ``, providers.ErrVerifyUnavailable},
		{"certificate down, PayPal down", 503, 503, `<html>`, providers.ErrVerifyUnavailable},
		{"certificate down, PayPal limits", 429, 429, ``, providers.ErrVerifyUnavailable},
		{"certificate down, no rights", 500, 403, `{"name":"NOT_AUTHORIZED"}`, providers.ErrVerifyUnavailable},
		{"certificate down, not even a request", 500, 400, `{"name":"VALIDATION_ERROR"}`, providers.ErrSignature},
		{"no such certificate", 404, 200, `{"verification_status":"SUCCESS"}`, providers.ErrSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMail(t)
			m.on("GET "+certPrefix+"CERT-1", c.cert, "")
			var sent []byte
			m.handle("POST /v1/notifications/verify-webhook-signature", func(w http.ResponseWriter, r *http.Request) {
				sent, _ = io.ReadAll(r.Body)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			_, err := m.verify(m.signed("WHFIRST", []byte(captureEvent)))
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if len(sent) > 0 && (!bytes.Contains(sent, []byte(`,"webhook_event":`+captureEvent+`}`)) || !json.Valid(sent)) {
				t.Errorf("the event was not sent back byte for byte: %s", sent)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("%v", err)
			}
		})
	}
	m := newMail(t)
	m.on("GET "+certPrefix+"CERT-1", 503, "")
	if _, err := m.verify(m.signed("WHFIRST", []byte(`{"x":1},"webhook_id":"y"`))); !errors.Is(err, providers.ErrMalformed) {
		t.Errorf("a body that would break out of the request: %v", err)
	}
	// A chain whose root we don't know may lack a link: PayPal is asked, and says no to a forger's.
	other := newMail(t)
	other.adapter.certs.roots = x509.NewCertPool()
	other.on("POST /v1/notifications/verify-webhook-signature", 200, `{"verification_status":"FAILURE"}`)
	if _, err := other.verify(other.signed("WHFIRST", []byte(captureEvent))); !errors.Is(err, providers.ErrSignature) {
		t.Errorf("unknown root: %v", err)
	}
}

// TestVerifyMany guards B11: a thousand addresses cost bounded memory, and the good
// certificate stays.
func TestVerifyMany(t *testing.T) {
	t.Parallel()
	m := newMail(t)
	if _, err := m.verify(m.signed("WHFIRST", []byte(captureEvent))); err != nil {
		t.Fatal(err)
	}
	p := m.signed("WHFIRST", []byte(captureEvent)) // the address is not under the signature
	for i := range 1000 {
		p.header.Set("Paypal-Cert-Url", fmt.Sprintf("%s%sJUNK-%d", m.server.URL, certPrefix, i))
		if _, err := m.verify(p); !errors.Is(err, providers.ErrSignature) {
			t.Fatal(err)
		}
	}
	if n := len(m.adapter.certs.bad); n > maxBad {
		t.Errorf("%d failures are kept", n)
	}
	if _, err := m.verify(m.signed("WHFIRST", []byte(captureEvent))); err != nil || m.count("GET "+certPrefix+"CERT-1") != 1 {
		t.Errorf("the good certificate was lost: %v", err)
	}
	leaf := m.ca.leaf(t, nil)
	for i := range 3 * maxGood {
		m.serve(fmt.Sprintf("GOOD-%d", i), leaf)
		p.header.Set("Paypal-Cert-Url", fmt.Sprintf("%s%sGOOD-%d", m.server.URL, certPrefix, i))
		if _, err := m.verify(p); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.adapter.certs.good); n > maxGood {
		t.Errorf("%d certificates are kept", n)
	}
}

// TestVerifyConcurrent: many deliveries at once fetch one certificate.
func TestVerifyConcurrent(t *testing.T) {
	t.Parallel()
	m := newMail(t)
	p := m.signed("WHFIRST", []byte(captureEvent))
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := m.verify(p); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := m.count("GET " + certPrefix + "CERT-1"); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

// TestVerifyForgedBody guards B6: a body with another content and the same CRC-32
// passes the signature, so nothing but a hint may come of it: the key is the signed
// transmission's, whatever event id the body claims.
func TestVerifyForgedBody(t *testing.T) {
	t.Parallel()
	m := newMail(t)
	p := m.signed("WHFIRST", []byte(captureEvent))
	forged := forge(t, strings.Replace(strings.Replace(captureEvent, capID, "FORGED00000000000", 1), "WH-1", "WH-FORGED", 1), crc32.ChecksumIEEE(p.body))
	got, err := m.verify(post{p.header, forged})
	if err != nil || got.ID != "WH-FORGED" || got.Object.ID != "FORGED00000000000" {
		t.Fatalf("the forgery did not even pass: %+v, %v", got, err)
	}
	if got.Key != "7c3f2b6e-5f3c-11ee-8c99-0242ac120002" {
		t.Errorf("the key comes from unsigned bytes: %q", got.Key)
	}
}

// forge adds a member to a JSON object that gives the text the wanted CRC-32.
func forge(t *testing.T, object string, want uint32) []byte {
	t.Helper()
	var byTop [256]byte
	for i := range 256 {
		byTop[crc32.IEEETable[i]>>24] = byte(i)
	}
	const tail = `"}`
	for n := range 100000 {
		head := fmt.Sprintf(`%s,"x%d":"`, strings.TrimSuffix(object, "}"), n)
		target := ^want // the state after the tail; back to the state before it
		for i := len(tail) - 1; i >= 0; i-- {
			k := byTop[target>>24]
			target = (target^crc32.IEEETable[k])<<8 | uint32(k^tail[i])
		}
		var index, fix [4]byte
		for i := 3; i >= 0; i-- {
			index[i] = byTop[target>>24]
			target = (target ^ crc32.IEEETable[index[i]]) << 8
		}
		state := ^crc32.ChecksumIEEE([]byte(head))
		plain := true
		for i := range 4 {
			fix[i] = byte(state) ^ index[i]
			state = state>>8 ^ crc32.IEEETable[index[i]]
			plain = plain && fix[i] >= ' ' && fix[i] < 0x7f && fix[i] != '"' && fix[i] != '\\'
		}
		if out := []byte(head + string(fix[:]) + tail); plain && crc32.ChecksumIEEE(out) == want {
			return out
		}
	}
	t.Fatal("no forgery found")
	return nil
}

// TestVerifyBodies: what is signed and makes no sense is malformed; a type we don't act
// on is kept as irrelevant.
func TestVerifyBodies(t *testing.T) {
	t.Parallel()
	m := newMail(t)
	for _, body := range []string{
		"", "{}", "[]", "null", "{", `{"id":"WH-1"}`, `{"id":"WH-1","event_type":"X"}`, `{"id":"WH-1","event_type":"X","resource":[]}`, `{"id":7,"event_type":"X","resource":{}}`,
		`{"id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED","resource":{"id":5}}`,
	} {
		if _, err := m.verify(m.signed("WHFIRST", []byte(body))); !errors.Is(err, providers.ErrMalformed) {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, c := range []struct {
		body string
		want providers.Event
	}{
		{`{"id":"W","event_type":"BILLING.PLAN.CREATED","resource_type":"plan","resource":{"id":5}}`, providers.Event{Type: "BILLING.PLAN.CREATED"}},
		{
			`{"id":"W","event_type":"CHECKOUT.ORDER.APPROVED","resource_type":"checkout-order","resource":{"id":"O1","purchase_units":[{"custom_id":"` + payID + `","invoice_id":"` + payID + `-3"}]}}`,
			providers.Event{Type: "CHECKOUT.ORDER.APPROVED", Relevant: true, Approved: true, Object: providers.Ref{Kind: "order", ID: "O1"}, Hint: providers.Hint{PaymentID: payID, N: 3, Refs: []string{"O1"}}},
		},
		{
			`{"id":"W","event_type":"CHECKOUT.PAYMENT-APPROVAL.REVERSED","resource":{"order_id":"O1","purchase_units":[{"custom_id":"` + payID + `"}]}}`,
			providers.Event{Type: "CHECKOUT.PAYMENT-APPROVAL.REVERSED", Relevant: true, Object: providers.Ref{Kind: "order", ID: "O1"}, Hint: providers.Hint{PaymentID: payID, Refs: []string{"O1"}}},
		},
		{
			`{"id":"W","event_type":"PAYMENT.CAPTURE.REFUNDED","resource_type":"refund","resource":{"id":"R1","custom_id":"rfd_1","invoice_id":"rfd_1","links":[{"rel":"up","href":"https://api-m.paypal.com/v2/payments/captures/C1"}]}}`,
			providers.Event{Type: "PAYMENT.CAPTURE.REFUNDED", Relevant: true, Object: providers.Ref{Kind: "refund", ID: "R1"}, Hint: providers.Hint{Refs: []string{"R1", "C1"}}},
		},
		{
			`{"id":"W","event_type":"PAYMENT.CAPTURE.REVERSED","resource_type":"refund","resource":{"id":"R1","custom_id":"` + payID + `","links":[{"rel":"up","href":"https://api.paypal.com/v2/payments/captures/C1"}]}}`,
			providers.Event{Type: "PAYMENT.CAPTURE.REVERSED", Relevant: true, Object: providers.Ref{Kind: "reversal", ID: "R1"}, Hint: providers.Hint{PaymentID: payID, Refs: []string{"R1", "C1"}}},
		},
		{
			`{"id":"W","event_type":"PAYMENT.CAPTURE.REVERSED","resource_type":"capture","resource":{"id":"C1","custom_id":"` + payID + `"}}`,
			providers.Event{Type: "PAYMENT.CAPTURE.REVERSED", Relevant: true, Object: providers.Ref{Kind: "capture", ID: "C1"}, Hint: providers.Hint{PaymentID: payID, Refs: []string{"C1"}}},
		},
		{
			`{"id":"W","event_type":"CUSTOMER.DISPUTE.CREATED","resource_type":"dispute","resource":{"dispute_id":"PP-D-1","disputed_transactions":[{"seller_transaction_id":"C1","custom":"` + payID + `"}]}}`,
			providers.Event{Type: "CUSTOMER.DISPUTE.CREATED", Relevant: true, Object: providers.Ref{Kind: "dispute", ID: "PP-D-1"}, Hint: providers.Hint{PaymentID: payID, Refs: []string{"PP-D-1", "C1"}}},
		},
		{
			`{"id":"W","event_type":"PAYMENT.AUTHORIZATION.VOIDED","resource":{"id":"A1","custom_id":"' OR 1=1","invoice_id":"pay_X"}}`,
			providers.Event{Type: "PAYMENT.AUTHORIZATION.VOIDED", Relevant: true, Object: providers.Ref{Kind: "authorization", ID: "A1"}, Hint: providers.Hint{Refs: []string{"A1"}}},
		},
		{
			`{"id":"W","event_type":"PAYMENT.CAPTURE.PENDING","resource":{"id":"../x","custom_id":"` + payID + `"}}`,
			providers.Event{Type: "PAYMENT.CAPTURE.PENDING", Relevant: true, Object: providers.Ref{Kind: "capture"}, Hint: providers.Hint{PaymentID: payID}},
		},
	} {
		got, err := m.verify(m.signed("WHFIRST", []byte(c.body)))
		c.want.ID, c.want.Key, c.want.Created = "W", "7c3f2b6e-5f3c-11ee-8c99-0242ac120002", startWall
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", c.body, err, diff)
		}
	}
}

// TestVerifyDeliveries: what the sandbox really delivers along a payment's life
// verifies, names its payment, and can be traced.
func TestVerifyDeliveries(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var mu sync.Mutex
	var posts []post
	inbox := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		posts = append(posts, post{r.Header.Clone(), body})
		mu.Unlock()
	}))
	t.Cleanup(inbox.Close)
	l.world.AddEndpoint(sandbox.Endpoint{API: "paypal", URL: inbox.URL, WebhookID: "WHSECOND", Owner: "client-a"})
	p := l.paid(t, true)
	if _, err := l.adapter.Capture(t.Context(), providers.CaptureRequest{Attempt: p.attempt, Target: p.attempt.Refs.Authorization, Amount: p.attempt.Asked, Final: true}, "c"); err != nil {
		t.Fatal(err)
	}
	obs, err := l.adapter.Fetch(t.Context(), p.attempt)
	if err != nil {
		t.Fatal(err)
	}
	p.observe(obs)
	capture := p.attempt.Refs.Capture
	l.must(t, "refunds", map[string]any{"capture": capture, "amount": 100})
	d := l.must(t, "disputes", map[string]any{"capture": capture, "amount": 200})["dispute"]
	l.must(t, fmt.Sprintf("disputes/%s/resolve", d), map[string]any{"outcome": "lost"})
	l.advance(t, time.Minute)
	types := map[string]bool{}
	for _, got := range posts {
		ev, err := l.adapter.Verify(t.Context(), got.header, got.body, false, startWall)
		if err != nil {
			t.Fatal(err)
		}
		types[ev.Type] = true
		if ev.Hint.PaymentID != p.attempt.PaymentID && ev.Object.Kind != "refund" {
			t.Errorf("%s claims payment %q", ev.Type, ev.Hint.PaymentID)
		}
		hint, err := l.adapter.Trace(t.Context(), ev.Object)
		if err != nil || hint.PaymentID != p.attempt.PaymentID || len(hint.Refs) == 0 || hint.Refs[0] != ev.Object.ID {
			t.Errorf("%s: traced to %+v, %v", ev.Type, hint, err)
		}
		if ev.Object.Kind != "order" && !strings.Contains(strings.Join(hint.Refs, " "), p.attempt.Root.ID) {
			t.Errorf("%s: the trace does not lead to the order: %+v", ev.Type, hint)
		}
	}
	for _, want := range []string{"CHECKOUT.ORDER.APPROVED", "PAYMENT.AUTHORIZATION.CREATED", "PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.REFUNDED", "CUSTOMER.DISPUTE.CREATED", "CUSTOMER.DISPUTE.RESOLVED", "PAYMENT.CAPTURE.REVERSED"} {
		if !types[want] {
			t.Errorf("no %s among %v", want, types)
		}
	}
}
