package config

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what every Secret prints as, whatever is in it, even nothing:
// whether a secret is set must not be read off a log either.
const Redacted = "[redacted]"

// Secret holds a credential and gives it away only through Reveal. It prints
// Redacted through fmt (all verbs), slog, JSON, text encodings and BSON, and it
// can't be compared with == (a comparison that stops at the first different
// byte tells an attacker where it is): use Equal.
//
// The zero value is an empty secret.
type Secret struct {
	// A func can't be compared, so neither can this struct; of length zero, it
	// takes no room.
	_ [0]func()
	// A pointer, because fmt can't call methods on a Secret in another struct's
	// unexported field: there it prints an address instead of the text.
	text *string
}

// NewSecret wraps plain text.
func NewSecret(plain string) Secret { return Secret{text: &plain} }

// Reveal returns the plain text. Every call of it is a place to review.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero says whether the secret is empty.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Equal compares in a time that depends on the length only. (go-cmp finds it by
// its name.)
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns Redacted.
func (s Secret) String() string { return Redacted }

// Format makes every fmt verb print Redacted: %x, %q and %#v would go round
// String.
func (s Secret) Format(f fmt.State, _ rune) {
	// fmt has no way to hear of a failed write; the same bytes fail again in it.
	_, _ = io.WriteString(f, Redacted)
}

// LogValue makes slog print Redacted.
func (s Secret) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText makes text encodings (YAML, XML, map keys) print Redacted. It
// never fails.
func (s Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// MarshalJSON makes JSON print Redacted. It never fails.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalBSONValue makes a Secret that strays into a document be stored as
// Redacted (bsonspec.org: type 2 is an int32 length with the final NUL, the
// bytes, NUL). It never fails. The interface is the MongoDB driver's, met
// without importing it.
func (s Secret) MarshalBSONValue() (typ byte, data []byte, err error) {
	data = binary.LittleEndian.AppendUint32(nil, uint32(len(Redacted)+1))
	return 2, append(append(data, Redacted...), 0), nil
}
