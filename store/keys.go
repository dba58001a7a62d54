package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Write points of API keys.
const (
	PointKeyInsert WritePoint = "api_key.insert"
	PointKeyRevoke WritePoint = "api_key.revoke"
)

const keysName = "api_keys"

// KeyCollection declares the API keys, by the digest of the key.
func KeyCollection() Collection { return Collection{Name: keysName} }

// Keys keeps API keys over an Engine. It implements gateway.Keys.
type Keys struct {
	e Engine
	// recent spares keys from being decoded for every request. Each is read from the
	// engine all the same: one that was revoked anywhere opens nothing from then on.
	recent *recent[decodedKey]
}

// decodedKey is a key and the very bytes it was decoded from.
type decodedKey struct {
	body []byte
	key  gateway.Key
}

// recentKeys bounds the keys remembered.
const recentKeys = 256

// NewKeys keeps API keys in an engine.
func NewKeys(e Engine) *Keys { return &Keys{e: e, recent: newRecent[decodedKey](recentKeys)} }

type keyRecord struct {
	Schema int         `json:"schema"`
	Key    gateway.Key `json:"key"`
}

// InsertKey stores a key's digest; a key that is there already is ErrExists.
func (s *Keys) InsertKey(ctx context.Context, k gateway.Key) error {
	body, err := json.Marshal(keyRecord{Schema: 1, Key: k})
	if err != nil {
		return fmt.Errorf("store: encode key: %w", err)
	}
	_, created, err := InsertOnce(WithPoint(ctx, PointKeyInsert), s.e, keysName, Doc{ID: k.Hash, Body: body})
	if err == nil && !created {
		err = ErrExists
	}
	return portError(err)
}

// GetKey reads a key by its digest.
func (s *Keys) GetKey(ctx context.Context, hash string) (gateway.Key, error) {
	d, err := s.e.Get(ctx, keysName, hash)
	if err != nil {
		return gateway.Key{}, portError(err)
	}
	if known, ok := s.recent.at(d.ID, d.Version); ok && bytes.Equal(known.body, d.Body) {
		known.key.Scopes = slices.Clone(known.key.Scopes)
		return known.key, nil
	}
	k, err := keyOf(d)
	if err == nil {
		known := k
		known.Scopes = slices.Clone(k.Scopes)
		s.recent.put(d.ID, d.Version, decodedKey{d.Body, known})
	}
	return k, err
}

func keyOf(d Doc) (gateway.Key, error) {
	var r keyRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return gateway.Key{}, fmt.Errorf("store: key %.8s… can't be read: %w", d.ID, err)
	}
	return r.Key, nil
}

// ListKeys reads all keys, by digest. There are few: one an app, an operator or a
// person.
func (s *Keys) ListKeys(ctx context.Context) ([]gateway.Key, error) {
	var out []gateway.Key
	for after := ""; ; {
		docs, next, err := s.e.Scan(ctx, keysName, after, MaxLimit)
		if err != nil {
			return nil, portError(err)
		}
		for _, d := range docs {
			k, err := keyOf(d)
			if err != nil {
				return nil, err
			}
			out = append(out, k)
		}
		if after = next; after == "" {
			return out, nil
		}
	}
}

// RevokeKey marks a key as revoked, once; ErrNotFound.
func (s *Keys) RevokeKey(ctx context.Context, hash string, by payment.Actor, at time.Time) (gateway.Key, error) {
	d, err := Update(WithPoint(ctx, PointKeyRevoke), s.e, keysName, hash, func(d Doc) (Doc, error) {
		k, err := keyOf(d)
		if err != nil {
			return Doc{}, err
		}
		if !k.RevokedAt.IsZero() {
			return d, ErrUnchanged
		}
		k.RevokedAt, k.RevokedBy = at, by
		if d.Body, err = json.Marshal(keyRecord{Schema: 1, Key: k}); err != nil {
			return Doc{}, fmt.Errorf("store: encode key: %w", err)
		}
		return d, nil
	})
	if err != nil {
		return gateway.Key{}, portError(err)
	}
	return keyOf(d)
}

// CountKeys counts the keys of each app that open something, and those of operators
// under "".
func (s *Keys) CountKeys(ctx context.Context) (map[string]int, error) {
	keys, err := s.ListKeys(ctx)
	out := map[string]int{}
	for _, k := range keys {
		switch {
		case !k.RevokedAt.IsZero():
		case k.Operator:
			out[""]++
		default:
			out[k.App]++
		}
	}
	return out, err
}
