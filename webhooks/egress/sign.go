package egress

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Key reads a signing secret as Standard Webhooks writes it: base64 of 24 to 64
// bytes, with or without whsec_ before it. The error never holds the secret.
func Key(secret string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("egress: a signing secret is whsec_ and the base64 of 24 to 64 random bytes")
	}
	return key, nil
}

// Sign gives the headers of a signed call (Standard Webhooks 1.0: the MAC is over
// id.timestamp.body; several keys make several signatures, while one is rotated).
func Sign(id string, at time.Time, body []byte, keys ...[]byte) http.Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, 0, len(keys))
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	h := http.Header{}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", strings.Join(signatures, " "))
	return h
}
