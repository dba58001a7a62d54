// Package seal encrypts single values for keeping: AES-256-GCM under named keys, bound to the place where the value
// stands. It is pure: no clock, no I/O, no randomness, and no knowledge of what is sealed or where it is kept.
//
// It must not: put a key or a plain value into an error, accept a value that was moved to another place, or guess a
// key: a sealed value names the one that opens it.
//
// # Why sealing is deterministic, and why that is safe here
//
// The same key, place and plain value always give the same sealed text. The store needs that: a write whose
// acknowledgement was lost is recognised by its bytes (store.Update, store.InsertOnce), and a value sealed anew at
// every attempt would never be recognised. So there is no random nonce. Instead
//
//   - every place has an encryption key of its own, derived from the named key and the place (HKDF-SHA256), and
//   - the nonce is a MAC of the plain value under a second key of that place (a synthetic IV, as in RFC 5297 and
//     RFC 8452).
//
// GCM breaks when one key and nonce meet two different plaintexts. Here that would take two values of one single place
// (one field of one document) whose 96-bit MACs collide: a field changes a few thousand times in its life, far from
// the 2^48 where that becomes likely. What determinism gives away is only whether a field has held the same value at two
// times; equal values in different documents or fields look unrelated, because the place is part of every key.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// KeyBytes is the length of a key: AES-256.
const KeyBytes = 32

const nonceBytes = 12

// Errors; test them with errors.Is.
var (
	// ErrUnknownKey: the value is sealed under a key that was not given to New.
	ErrUnknownKey = errors.New("seal: the value is sealed under a key that is not configured")
	// ErrDamaged: the value is not what was sealed under this key for this place: changed, moved from another document
	// or field, or the key with this id is another one than it was.
	ErrDamaged = errors.New("seal: the sealed value does not open here: damaged, moved from elsewhere, or sealed under another key of the same id")
	// ErrNoKey: sealing was asked of a Sealer without keys.
	ErrNoKey = errors.New("seal: no key is configured")
)

// Key is one named key.
type Key struct {
	// ID is [a-z0-9-]{1,40}; it stands in the clear in every value sealed under it, and must not be used again for
	// another key.
	ID string
	// Secret is KeyBytes bytes of randomness.
	Secret []byte
}

// Place is where a value stands. Moving a sealed value to another place makes it unreadable.
type Place struct {
	Collection, Document, Field string
}

// aad is the place as bytes; the lengths keep two places from ever reading alike.
func (p Place) aad() []byte {
	var out []byte
	for _, part := range []string{p.Collection, p.Document, p.Field} {
		out = fmt.Appendf(out, "%d:%s", len(part), part)
	}
	return out
}

// Sealer seals under its active key and opens under all of its keys. It is safe for concurrent use. The nil Sealer and
// one without keys seal nothing (Active is "") and refuse to open.
type Sealer struct {
	active string
	keys   map[string][]byte
}

var idPattern = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// New makes a Sealer. active names the key that seals; the others only open, until nothing is sealed under them any
// more. No keys at all is allowed: then active must be empty.
func New(active string, keys ...Key) (*Sealer, error) {
	s := &Sealer{active: active, keys: make(map[string][]byte, len(keys))}
	for _, k := range keys {
		if !idPattern.MatchString(k.ID) {
			return nil, fmt.Errorf("seal: key id %q is not 1 to 40 of a-z, 0-9 and -", k.ID)
		}
		if len(k.Secret) != KeyBytes {
			return nil, fmt.Errorf("seal: key %s has %d bytes, not %d", k.ID, len(k.Secret), KeyBytes)
		}
		if s.keys[k.ID] != nil {
			return nil, fmt.Errorf("seal: two keys have the id %s", k.ID)
		}
		s.keys[k.ID] = append([]byte(nil), k.Secret...)
	}
	if s.keys[active] == nil && (active != "" || len(keys) > 0) {
		return nil, fmt.Errorf("seal: the active key %q is not among the keys", active)
	}
	return s, nil
}

// Active is the id of the key that seals; "" without keys.
func (s *Sealer) Active() string {
	if s == nil {
		return ""
	}
	return s.active
}

// IDs are the ids of all keys, in order.
func (s *Sealer) IDs() []string {
	if s == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.keys))
}

// Seal encrypts plain for its place under the active key. The text is printable ASCII without quotes or backslashes:
// key id, a dot, and base64. Equal key, place and plain give equal text. ErrNoKey.
func (s *Sealer) Seal(at Place, plain []byte) (string, error) {
	if s.Active() == "" {
		return "", ErrNoKey
	}
	gcm, macKey, err := derive(s.keys[s.active], at)
	if err != nil {
		return "", err
	}
	nonce := synthetic(macKey, plain)
	sealed := gcm.Seal(nonce, nonce, plain, at.aad())
	return s.active + "." + encoding.EncodeToString(sealed), nil
}

var encoding = base64.RawStdEncoding.Strict()

// KeyID is the id of the key under which a text is sealed; "" if it is none of ours.
func KeyID(sealed string) string {
	id, _, ok := strings.Cut(sealed, ".")
	if !ok || !idPattern.MatchString(id) {
		return ""
	}
	return id
}

// Open decrypts a text that was sealed for this place. ErrUnknownKey names the key's id; ErrDamaged.
func (s *Sealer) Open(at Place, sealed string) ([]byte, error) {
	id := KeyID(sealed)
	if id == "" {
		return nil, ErrDamaged
	}
	var secret []byte
	if s != nil {
		secret = s.keys[id]
	}
	if secret == nil {
		return nil, fmt.Errorf("%w: key %s", ErrUnknownKey, id)
	}
	raw, err := encoding.DecodeString(sealed[len(id)+1:])
	if err != nil || len(raw) < nonceBytes || strings.ContainsAny(sealed, "\r\n") { // which the decoder skips
		return nil, ErrDamaged
	}
	gcm, macKey, err := derive(secret, at)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, raw[:nonceBytes], raw[nonceBytes:], at.aad())
	if err != nil {
		return nil, fmt.Errorf("%w (key %s)", ErrDamaged, id)
	}
	// The nonce is part of what was sealed: one that the value doesn't have was not made here.
	if !hmac.Equal(synthetic(macKey, plain), raw[:nonceBytes]) {
		return nil, fmt.Errorf("%w (key %s)", ErrDamaged, id)
	}
	return plain, nil
}

// derive makes the two keys of one place.
func derive(secret []byte, at Place) (gcm cipher.AEAD, macKey []byte, err error) {
	both, err := hkdf.Key(sha256.New, secret, nil, "trifecta/seal/v1 "+string(at.aad()), 2*KeyBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("seal: derive: %w", err)
	}
	block, err := aes.NewCipher(both[:KeyBytes])
	if err != nil {
		return nil, nil, fmt.Errorf("seal: cipher: %w", err)
	}
	if gcm, err = cipher.NewGCM(block); err != nil {
		return nil, nil, fmt.Errorf("seal: cipher: %w", err)
	}
	return gcm, both[KeyBytes:], nil
}

func synthetic(macKey, plain []byte) []byte {
	mac := hmac.New(sha256.New, macKey)
	_, _ = mac.Write(plain) // a hash never fails (hash.Hash)
	return mac.Sum(nil)[:nonceBytes]
}
