package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/trifecta-pay/trifecta/gateway"
)

// PointKeyInsert names the write of an API key.
const PointKeyInsert WritePoint = "api_key.insert"

const keysName = "api_keys"

// KeyCollection declares the API keys, by the digest of the key.
func KeyCollection() Collection { return Collection{Name: keysName} }

// Keys keeps API keys over an Engine. It implements gateway.Keys.
type Keys struct{ e Engine }

// NewKeys keeps API keys in an engine.
func NewKeys(e Engine) *Keys { return &Keys{e: e} }

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
	var r keyRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return gateway.Key{}, fmt.Errorf("store: key %.8s… can't be read: %w", hash, err)
	}
	return r.Key, nil
}

// CountKeys counts the keys of each app, and of operators under "".
func (s *Keys) CountKeys(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	for after, more := "", true; more; {
		docs, next, err := s.e.Scan(ctx, keysName, after, MaxLimit)
		if err != nil {
			return nil, portError(err)
		}
		for _, d := range docs {
			var r keyRecord
			if err := json.Unmarshal(d.Body, &r); err != nil {
				return nil, fmt.Errorf("store: key %.8s… can't be read: %w", d.ID, err)
			}
			app := r.Key.App
			if r.Key.Operator {
				app = ""
			}
			out[app]++
		}
		after, more = next, next != ""
	}
	return out, nil
}
