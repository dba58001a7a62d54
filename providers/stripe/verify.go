package stripe

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/providers"
)

const (
	// tolerance is how far a signature's time may be from now, on either side. The
	// SDK checks only for old ones, and lets an empty secret pass.
	tolerance = 300 * time.Second
	// maxSignatures bounds the work that one header can cause; while a secret is
	// rolled there are two.
	maxSignatures = 16
)

// Verify checks a webhook's signature and reads where it may belong (Stripe docs:
// webhook signatures). The API version of the body does not matter: only ids are
// taken from it, the objects are read.
func (a *Adapter) Verify(_ context.Context, header http.Header, body []byte, connect bool, now time.Time) (providers.Event, error) {
	secrets := a.opts.WebhookSecrets
	if connect {
		secrets = a.opts.ConnectWebhookSecrets
	}
	lines := header.Values("Stripe-Signature")
	if len(lines) != 1 {
		return providers.Event{}, providers.ErrSignature
	}
	stamp, given, ok := readSignature(lines[0], now)
	if !ok {
		return providers.Event{}, providers.ErrSignature
	}
	if len(secrets) == 0 { // it may be right: Stripe is to come again, until the secret is configured
		return providers.Event{}, fmt.Errorf("stripe account %q has no webhook secret for this endpoint: %w", a.opts.Account, providers.ErrVerifyUnavailable)
	}
	if !signed(stamp, given, body, secrets) {
		return providers.Event{}, providers.ErrSignature
	}
	return parseEvent(body)
}

// readSignature takes the time and the v1 signatures from a header. ok is false where no
// secret could make it right: it has no signature, or a time that is not near now. Other
// schemes, v0 among them, count for nothing.
func readSignature(header string, now time.Time) (stamp string, given [][]byte, ok bool) {
	for _, part := range strings.Split(header, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "t":
			if stamp != "" {
				return "", nil, false
			}
			stamp = value
		case "v1":
			mac, err := hex.DecodeString(value)
			if err == nil && len(mac) == sha256.Size {
				given = append(given, mac)
			}
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || len(given) == 0 || len(given) > maxSignatures {
		return "", nil, false
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return "", nil, false
	}
	return stamp, given, true
}

// signed says whether one of the signatures is by one of the secrets.
func signed(stamp string, given [][]byte, body []byte, secrets []string) bool {
	ok := false
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(stamp))
		mac.Write([]byte("."))
		mac.Write(body)
		want := mac.Sum(nil)
		for _, g := range given {
			ok = hmac.Equal(want, g) || ok
		}
	}
	return ok
}

// envelope is a snapshot event.
type envelope struct {
	ID         string `json:"id"`
	Object     string `json:"object"`
	Type       string `json:"type"`
	Created    int64  `json:"created"`
	Livemode   bool   `json:"livemode"`
	APIVersion string `json:"api_version"`
	Account    string `json:"account"`
	Data       struct {
		Object carried `json:"object"`
	} `json:"data"`
}

// carried is what is read of an event's object, of whatever kind and API version.
type carried struct {
	ID                string            `json:"id"`
	Object            string            `json:"object"`
	ClientReferenceID string            `json:"client_reference_id"`
	Metadata          map[string]string `json:"metadata"`
	PaymentIntent     reference         `json:"payment_intent"`
	Charge            reference         `json:"charge"`
	LatestCharge      reference         `json:"latest_charge"`
}

// reference is another object's id: bare, or of the object put in its place.
// Anything else reads as no reference; versions differ.
type reference string

// UnmarshalJSON reads either form.
func (r *reference) UnmarshalJSON(b []byte) error {
	*r = ""
	var id string
	if json.Unmarshal(b, &id) == nil {
		*r = reference(id)
		return nil
	}
	var object struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(b, &object) == nil {
		*r = reference(object.ID)
	}
	return nil
}

// parseEvent reads a verified body.
func parseEvent(body []byte) (providers.Event, error) {
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return providers.Event{}, fmt.Errorf("%w: not a snapshot event", providers.ErrMalformed)
	}
	if !strings.HasPrefix(e.ID, "evt_") || e.Object != "event" || e.Type == "" || e.Created <= 0 {
		return providers.Event{}, fmt.Errorf("%w: not a snapshot event", providers.ErrMalformed)
	}
	o := e.Data.Object
	if o.Object == "" {
		return providers.Event{}, fmt.Errorf("%w: the event carries no object", providers.ErrMalformed)
	}
	out := providers.Event{
		Key: e.ID, ID: e.ID, Type: e.Type, Created: unix(e.Created), Live: e.Livemode, Account: e.Account, Version: e.APIVersion,
		Object:   providers.Ref{Kind: kindOf(o.Object), ID: o.ID},
		Hint:     o.hint(),
		Relevant: relevant(e.Type),
	}
	if out.Relevant && o.ID == "" {
		return providers.Event{}, fmt.Errorf("%w: the event's object has no id", providers.ErrMalformed)
	}
	return out, nil
}

// hint says where an object may belong, by what it carries.
func (o carried) hint() providers.Hint {
	h := claim(o.Metadata, o.ClientReferenceID)
	h.Refs = refs(o.ID, string(o.PaymentIntent), string(o.LatestCharge), string(o.Charge))
	return h
}

// claim reads our references. Anyone with the account's keys could have written
// them: they say which payment to read, never that the object belongs to it.
func claim(meta map[string]string, clientReference string) providers.Hint {
	id := meta[metaPayment]
	if id == "" {
		id = clientReference
	}
	if !strings.HasPrefix(id, "pay_") || len(id) > 64 {
		return providers.Hint{}
	}
	return providers.Hint{PaymentID: id, N: attemptNumber(id, meta[metaAttempt])}
}

// refs are ids without blanks and repetitions, in the order given.
func refs(ids ...string) []string {
	var out []string
	for i, id := range ids {
		known := id == ""
		for _, before := range ids[:i] {
			known = known || before == id
		}
		if !known {
			out = append(out, id)
		}
	}
	return out
}

// kindOf is our word for Stripe's object type.
func kindOf(object string) string {
	switch object {
	case "checkout.session":
		return kindSession
	case "radar.early_fraud_warning":
		return kindWarning
	}
	return strings.ReplaceAll(object, ".", "_")
}

// relevant says whether an event of this type may change what we know of a payment
// (Stripe docs: types of events). The rest is kept and counted.
func relevant(kind string) bool {
	for _, family := range []string{
		"checkout.session.", "payment_intent.", "charge.", "refund.", "radar.early_fraud_warning.", "review.",
	} {
		if strings.HasPrefix(kind, family) {
			return true
		}
	}
	return false
}
