package paypalapi

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"net/http"
	"time"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

// CertHost is the DNS name in the signing certificate, as PayPal's sandbox has it.
const CertHost = "messageverificationcerts.sandbox.paypal.com"

const (
	rsaBits      = 2048
	quickBits    = 1024 // the least that crypto/rsa takes
	certYears    = 10
	certSlack    = 24 * time.Hour // valid since a day before, so that clocks may differ
	signingAlgo  = "SHA256withRSA"
	certPath     = "/v1/notifications/certs/"
	certPartHex  = 8
	serialBytes  = 16
	uuidHexChars = 32
)

// Chain is the certificate chain that signs webhooks: a root of our own and one leaf.
// It is immutable and may be shared by several sandboxes.
type Chain struct {
	key     *rsa.PrivateKey
	leaf    []byte // leaf and root, PEM
	root    []byte // PEM
	certURL string // path of the leaf
}

// NewChain makes a chain valid from a day before now for ten years; now is of the
// wall clock, because certificates are checked against that. random is where keys come
// from; nil is the system's source. (Newer Go releases draw RSA keys from the system's
// source whatever is passed.)
func NewChain(now time.Time, random io.Reader) (*Chain, error) {
	if random == nil {
		random = rand.Reader
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, fmt.Errorf("paypalapi: root key: %w", err)
	}
	return newChain(now, random, rootKey, rsaBits)
}

// NewQuickChain makes a chain whose keys are as small as a verifier takes them: signing
// with them and checking takes a fifth of the time, which a simulation of thousands of
// webhooks a second feels. Nothing else about it differs.
func NewQuickChain(now time.Time) (*Chain, error) {
	rootKey, err := rsa.GenerateKey(rand.Reader, quickBits)
	if err != nil {
		return nil, fmt.Errorf("paypalapi: root key: %w", err)
	}
	return newChain(now, rand.Reader, rootKey, quickBits)
}

func newChain(now time.Time, random io.Reader, rootKey crypto.Signer, bits int) (*Chain, error) {
	key, err := rsa.GenerateKey(random, bits)
	if err != nil {
		return nil, fmt.Errorf("paypalapi: signing key: %w", err)
	}
	root, err := certTemplate(now, random, pkix.Name{CommonName: "Trifecta sandbox root", Organization: []string{"Trifecta sandbox, not PayPal"}})
	if err != nil {
		return nil, err
	}
	root.IsCA, root.BasicConstraintsValid = true, true
	root.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	rootDER, err := x509.CreateCertificate(random, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return nil, fmt.Errorf("paypalapi: root certificate: %w", err)
	}
	leaf, err := certTemplate(now, random, pkix.Name{CommonName: CertHost, Organization: []string{"Trifecta sandbox, not PayPal"}})
	if err != nil {
		return nil, err
	}
	leaf.DNSNames = []string{CertHost}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	leafDER, err := x509.CreateCertificate(random, leaf, root, key.Public(), rootKey)
	if err != nil {
		return nil, fmt.Errorf("paypalapi: signing certificate: %w", err)
	}
	sum := sha256.Sum256(leafDER)
	name := hex.EncodeToString(sum[:])
	c := &Chain{key: key, root: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})}
	c.leaf = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER}), c.root...)
	c.certURL = fmt.Sprintf("%sCERT-%s-%s-%s", certPath, name[:certPartHex], name[certPartHex:2*certPartHex], name[2*certPartHex:3*certPartHex])
	return c, nil
}

func certTemplate(now time.Time, random io.Reader, subject pkix.Name) (*x509.Certificate, error) {
	serial := make([]byte, serialBytes)
	if _, err := io.ReadFull(random, serial); err != nil {
		return nil, fmt.Errorf("paypalapi: certificate serial: %w", err)
	}
	serial[0] &= 0x7f // positive
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), Subject: subject,
		NotBefore: now.Add(-certSlack), NotAfter: now.AddDate(certYears, 0, 0),
	}, nil
}

// RootPEM is the root certificate that a verifier must trust.
func (c *Chain) RootPEM() []byte { return append([]byte(nil), c.root...) }

// signed is the text under a webhook's signature (PayPal docs: webhook integration):
// transmission id, time, webhook id and the body's CRC-32 as a decimal number.
func signed(id, at, webhookID string, body []byte) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%s|%s|%s|%d", id, at, webhookID, crc32.ChecksumIEEE(body)))
}

// sign is the sandbox.Signer of our deliveries. A transmission id belongs to one event
// at one endpoint and stays the same on every retry; the time is the attempt's.
func (s *server) sign(ep sandbox.Endpoint, ev sandbox.Event, _ int, wall time.Time) (http.Header, error) {
	chain, err := s.chain()
	if err != nil {
		return nil, err
	}
	id, at := transmissionID(ep, ev), wall.UTC().Format(time.RFC3339)
	sum := signed(id, at, ep.WebhookID, ev.Body)
	sig, err := rsa.SignPKCS1v15(nil, chain.key, crypto.SHA256, sum[:])
	if err != nil {
		return nil, fmt.Errorf("paypalapi: signing %s: %w", ev.ID, err)
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("Paypal-Transmission-Id", id)
	h.Set("Paypal-Transmission-Time", at)
	h.Set("Paypal-Transmission-Sig", base64.StdEncoding.EncodeToString(sig))
	h.Set("Paypal-Cert-Url", s.base+chain.certURL)
	h.Set("Paypal-Auth-Algo", signingAlgo)
	h.Set("Paypal-Auth-Version", "v2")
	return h, nil
}

// transmissionID has the form of a UUID, as PayPal's have.
func transmissionID(ep sandbox.Endpoint, ev sandbox.Event) string {
	sum := sha256.Sum256([]byte(ep.ID + "\x00" + ev.ID))
	h := hex.EncodeToString(sum[:])[:uuidHexChars]
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// serveCert is GET /v1/notifications/certs/{name}: the signing certificate first, then
// the root. It needs no token, as at PayPal.
func (s *server) serveCert(rw http.ResponseWriter, r *http.Request) {
	chain, err := s.chain()
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	if certPath+r.PathValue("name") != chain.certURL {
		http.NotFound(rw, r)
		return
	}
	rw.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = rw.Write(chain.leaf)
}

// serveRoot is GET /_sandbox/ca.pem.
func (s *server) serveRoot(rw http.ResponseWriter, _ *http.Request) {
	chain, err := s.chain()
	if err != nil {
		sandbox.ControlError(rw, http.StatusInternalServerError, err.Error())
		return
	}
	rw.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = rw.Write(chain.root)
}
