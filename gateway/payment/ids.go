package payment

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
)

// DeriveID makes an id such as "rfd_4k2n…" from what it stands for. The same
// parts always give the same id, which is what makes "create once" the
// uniqueness of an id. 130 bits: ids are not secrets, but they do not collide.
func DeriveID(prefix string, parts ...string) string {
	var space [256]byte // ids are made many times a payment: without allocating
	in := space[:0]
	for _, p := range parts {
		in = append(in, p...)
		in = append(in, 0)
	}
	sum := sha256.Sum256(in)
	var text [56]byte // what 32 bytes come to
	base32.StdEncoding.Encode(text[:], sum[:])
	return prefix + "_" + string(bytes.ToLower(text[:26]))
}

// ProviderKey derives the idempotency key of one generation of an operation. It
// has 29 characters: PayPal once cut keys to 38.
func ProviderKey(operation string, generation int) string {
	return DeriveID("tf", "v1", operation, pad(generation))
}

// RefundID is the id of a refund: our operation's id where we made it, else
// derived from the provider's object.
func RefundID(r Refund) string {
	if r.Operation != "" {
		return r.Operation
	}
	return DeriveID("rfd", r.Key.Provider, r.Key.Account, r.Key.ID)
}

// DisputeID is the id of a dispute, derived from the provider's object.
func DisputeID(k ObjectKey) string { return DeriveID("dsp", k.Provider, k.Account, k.ID) }
