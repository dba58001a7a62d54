package paypal

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"regexp"
	"time"

	"github.com/trifecta-pay/trifecta/providers"
)

// The transmission time is refused when it is further from now than this. PayPal
// retries for 3 days; it publishes no tolerance.
const (
	maxFuture = 5 * time.Minute
	maxPast   = 5 * 24 * time.Hour
)

const signatureAlgorithm = "SHA256withRSA"

// transmissionPattern bounds what may become a storage key (PayPal OpenAPI: at most
// 50 characters).
var transmissionPattern = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)

// signature is what PayPal's headers say of one delivery.
type signature struct {
	id, at, text, algorithm, certURL string
}

// Verify checks a webhook: five headers, the certificate, the RSA signature over
// transmission id, time, webhook id and the body's CRC-32 for each of our webhook ids,
// and the time. Where the certificate can't be had, PayPal is asked. PayPal has no
// connect endpoint, so connect changes nothing.
//
// The signature covers only a CRC-32 of the body, which anyone can forge: an event is
// a hint, and its key is the signed transmission id.
func (a *Adapter) Verify(ctx context.Context, header http.Header, body []byte, _ bool, now time.Time) (providers.Event, error) {
	s := signature{
		id: header.Get("Paypal-Transmission-Id"), at: header.Get("Paypal-Transmission-Time"), text: header.Get("Paypal-Transmission-Sig"),
		algorithm: header.Get("Paypal-Auth-Algo"), certURL: header.Get("Paypal-Cert-Url"),
	}
	sig, err := base64.StdEncoding.DecodeString(s.text)
	sent, terr := time.Parse(time.RFC3339Nano, s.at)
	switch {
	case len(a.events.ids) == 0, err != nil, len(sig) == 0, terr != nil,
		s.algorithm != signatureAlgorithm, !transmissionPattern.MatchString(s.id),
		sent.After(now.Add(maxFuture)), sent.Before(now.Add(-maxPast)):
		return providers.Event{}, providers.ErrSignature
	}
	key, err := a.certs.key(ctx, s.certURL, now)
	switch {
	case errors.Is(err, errNoCertificate):
		if err := a.askPayPal(ctx, s, body); err != nil {
			return providers.Event{}, err
		}
	case err != nil:
		return providers.Event{}, providers.ErrSignature
	case !a.signedForUs(key, s, sig, body):
		return providers.Event{}, providers.ErrSignature
	}
	return a.readEvent(s.id, sent, body)
}

// signedForUs checks the signature for each of our webhook ids (PayPal docs: "Verify
// webhooks", self verification).
func (a *Adapter) signedForUs(key *rsa.PublicKey, s signature, sig, body []byte) bool {
	for _, id := range a.events.ids {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%s|%d", s.id, s.at, id, crc32.ChecksumIEEE(body)))
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sig) == nil {
			return true
		}
	}
	return false
}

// askPayPal has PayPal check a delivery. The event goes back byte for byte: PayPal
// signs bytes, and an event written again is not the one it signed.
func (a *Adapter) askPayPal(ctx context.Context, s signature, body []byte) error {
	if !json.Valid(body) {
		return providers.ErrMalformed
	}
	for _, id := range a.events.ids {
		head, err := json.Marshal(map[string]string{
			"auth_algo": s.algorithm, "cert_url": s.certURL, "transmission_id": s.id,
			"transmission_sig": s.text, "transmission_time": s.at, "webhook_id": id,
		})
		if err != nil {
			return providers.ErrMalformed
		}
		raw := bytes.NewBuffer(head[:len(head)-1])
		raw.WriteString(`,"webhook_event":`)
		raw.Write(body)
		raw.WriteByte('}')
		r := call{op: "verify_webhook", method: http.MethodPost, path: "/v1/notifications/verify-webhook-signature", body: raw.Bytes()}
		var out struct {
			Status string `json:"verification_status"`
		}
		got, err := a.api.do(ctx, r)
		if err == nil {
			err = a.api.decode(r, got, &out)
		}
		switch {
		case err != nil && providers.ClassOf(err) == providers.Refused:
			return providers.ErrSignature // PayPal does not even take it for one of its own
		case err != nil:
			return fmt.Errorf("%w: %w", providers.ErrVerifyUnavailable, err)
		case out.Status == "SUCCESS":
			return nil
		case out.Status != "FAILURE":
			return providers.ErrVerifyUnavailable
		}
	}
	return providers.ErrSignature
}
