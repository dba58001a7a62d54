package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Request identifies one POST: who, where, with which key, and what it says.
// The same app, mode, path and key always give the same object id, so a payment
// or an operation is its own idempotency record.
type Request struct {
	Caller      Caller
	Path        string // path with ids filled in, such as /v1/payments/pay_x/refunds
	Key         string // Idempotency-Key, 1 to 255 printable ASCII characters
	Fingerprint string // see Fingerprint
	Reason      string // why, for the history; empty: because it was requested
}

type contextKey int

const requestIDKey contextKey = 1

// WithRequestID is a context that belongs to the HTTP request of this id: it stands in
// the log and in the histories of what the request changes.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey, id)
}

// RequestID is the id of the HTTP request that a context belongs to; empty outside of
// one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// CheckKey says whether an Idempotency-Key is usable.
func CheckKey(key string) error {
	ok := len(key) >= 1 && len(key) <= 255
	for _, r := range key {
		ok = ok && r >= 0x20 && r < 0x7f
	}
	if !ok {
		e := payment.NewError(payment.CodeIdempotencyRequired,
			"Send one Idempotency-Key header of 1 to 255 printable ASCII characters, fresh for each new request and the same for each repetition.")
		e.Fields = []payment.FieldError{{Pointer: "Idempotency-Key", Rule: "must have 1 to 255 printable ASCII characters"}}
		return e
	}
	return nil
}

// id derives the id of what this request makes.
func (r Request) id(prefix string) string {
	return payment.DeriveID(prefix, "v1", r.Caller.App, string(r.Caller.Mode), "POST", r.Path, r.Key)
}

// command is the request as an order to a payment.
func (r Request) command(s *Service, id string) payment.Command {
	return payment.Command{ID: id, Fingerprint: r.Fingerprint, By: r.Caller.Actor(), Now: s.now()}
}

// Fingerprint is the digest of a request's JSON values: order of members, white
// space and the spelling of numbers do not matter, because value is what strict
// decoding made of it.
func Fingerprint(value any) (string, error) {
	b, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("gateway: fingerprint: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

func reused() error {
	return payment.NewError(payment.CodeIdempotencyReused,
		"This Idempotency-Key was used for a request with other values. Use a fresh key for a new request.")
}

func inProgress(p *payment.Payment) error {
	e := payment.NewError(payment.CodeIdempotencyInProgress,
		"The same request is still running. Repeat it with the same key in a few seconds.")
	if p != nil {
		e.PaymentID = p.ID
	}
	return e
}
