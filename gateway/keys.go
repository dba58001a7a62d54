package gateway

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Scopes an app key can carry.
const (
	ScopePaymentsRead  = "payments:read"
	ScopePaymentsWrite = "payments:write"
	ScopeRefundsWrite  = "refunds:write"
	ScopeDisputesWrite = "disputes:write"
)

// AllScopes lists every scope.
func AllScopes() []string {
	return []string{ScopePaymentsRead, ScopePaymentsWrite, ScopeRefundsWrite, ScopeDisputesWrite}
}

// ScopeFault says what is wrong with scopes that a key shall carry; "" if nothing is.
func ScopeFault(scopes []string) string {
	for _, scope := range scopes {
		if !slices.Contains(AllScopes(), scope) {
			return fmt.Sprintf("%q is not a scope; the scopes are %s", scope, strings.Join(AllScopes(), ", "))
		}
	}
	return ""
}

// NewKey stores a key for an app, or an operator key, and returns the key
// itself: the only time it can be seen. scopes nil means all of them.
func (s *Service) NewKey(ctx context.Context, app string, operator bool, scopes []string) (string, error) {
	token, _, err := s.newKey(ctx, app, Key{Operator: operator, Scopes: scopes})
	return token, err
}

// IssueKey is NewKey for an operator's request. The same request again gives the key's
// record, with replayed, and not the key itself: that was shown, or is lost, and then
// another one is to be made and this one revoked. Of two that come at once, one gets the key.
func (s *Service) IssueKey(ctx context.Context, r Request, app string, operator bool, scopes []string) (token string, made Key, replayed bool, err error) {
	if !r.Caller.Operator {
		return "", Key{}, false, payment.NewError(payment.CodeForbidden, "Making keys needs an operator key.")
	}
	id := r.id("key")
	if made, err = s.issued(ctx, id); !errors.Is(err, ErrNotFound) {
		return replayedKey(made, err, r)
	}
	known, err := s.opts.Keys.ListKeys(ctx)
	if err != nil {
		return "", Key{}, false, storeError(err)
	}
	for _, k := range known {
		if k.Request == id { // of an older program, which gave it out without a claim
			return replayedKey(k, nil, r)
		}
	}
	token, made, err = s.newKey(ctx, app, Key{
		Operator: operator, Scopes: scopes, CreatedBy: r.Caller.Actor(), Request: claimMark + id, Fingerprint: r.Fingerprint,
	})
	if err != nil {
		return "", Key{}, false, err
	}
	first, err := s.claimKey(ctx, id, made)
	if err != nil {
		return "", Key{}, false, err
	}
	// Of keys that were made for this request one is given out. The others are known to nobody, and end.
	for _, k := range append(known, made) {
		if k.Request == claimMark+id && k.Hash != first.Hash {
			if _, err := s.opts.Keys.RevokeKey(ctx, k.Hash, r.Caller.Actor(), s.now()); err != nil {
				return "", Key{}, false, storeError(err)
			}
		}
	}
	if first.Hash != made.Hash {
		return replayedKey(first, nil, r)
	}
	return token, made, false, nil
}

// claimMark begins the id of a claim, and the request of a key that is given out under one.
// The claim says which key a request made: of several that were made for it at once, the one
// whose claim was stored first. It is kept like a key that opens nothing.
const claimMark = "request/"

// claimKey claims a request for a key that is stored, and returns the key that has it.
func (s *Service) claimKey(ctx context.Context, id string, k Key) (Key, error) {
	err := s.opts.Keys.InsertKey(ctx, Key{Hash: claimMark + id, Prefix: k.Hash, CreatedAt: k.CreatedAt, RevokedAt: k.CreatedAt})
	if err == nil {
		return k, nil
	}
	if !errors.Is(err, ErrExists) {
		return Key{}, storeError(err)
	}
	return s.issued(ctx, id)
}

// issued is the key that a request was given; ErrNotFound if it has not claimed one.
func (s *Service) issued(ctx context.Context, id string) (Key, error) {
	claim, err := s.opts.Keys.GetKey(ctx, claimMark+id)
	if errors.Is(err, ErrNotFound) {
		return Key{}, ErrNotFound
	}
	var k Key
	if err == nil {
		k, err = s.opts.Keys.GetKey(ctx, claim.Prefix)
	}
	if err != nil {
		return Key{}, storeError(err)
	}
	return k, nil
}

// hiddenKey says of each record whether it is no key that anybody ever had: a claim, or a key that
// ended because its request was given another one.
func hiddenKey(all []Key) func(Key) bool {
	given := map[string]string{} // by request
	for _, k := range all {
		if strings.HasPrefix(k.Hash, claimMark) {
			given[k.Hash] = k.Prefix
		}
	}
	return func(k Key) bool {
		hash, claimed := given[k.Request]
		return strings.HasPrefix(k.Hash, claimMark) || claimed && hash != k.Hash && !k.RevokedAt.IsZero()
	}
}

// replayedKey answers a request that made a key before.
func replayedKey(k Key, err error, r Request) (string, Key, bool, error) {
	switch {
	case err != nil:
		return "", Key{}, false, err
	case k.Fingerprint != r.Fingerprint:
		return "", Key{}, false, reused()
	}
	return "", k, true, nil
}

// newKey makes and stores a key that is as far described.
func (s *Service) newKey(ctx context.Context, app string, k Key) (string, Key, error) {
	k.CreatedAt = s.now()
	prefix := "tk_op_"
	if !k.Operator {
		found := false
		for _, a := range s.opts.Apps {
			if a.Name == app {
				k.App, k.Mode, found = a.Name, a.Mode, true
			}
		}
		if !found {
			return "", Key{}, payment.Invalid("/app", "must be an app in the configuration")
		}
		prefix = "tk_" + string(k.Mode) + "_"
	}
	if k.Scopes == nil {
		k.Scopes = AllScopes()
	}
	if fault := ScopeFault(k.Scopes); fault != "" {
		return "", Key{}, payment.Invalid("/scopes", "%s", fault)
	}
	token := prefix + s.opts.Token() + s.opts.Token()
	k.Hash, k.Prefix = hashKey(token), keyPrefix(token)
	return token, k, s.AddKey(ctx, token, k)
}

// AddKey stores a given key, as the demo does with its fixed ones.
func (s *Service) AddKey(ctx context.Context, token string, k Key) error {
	k.Hash, k.Prefix = hashKey(token), keyPrefix(token)
	if k.CreatedAt.IsZero() {
		k.CreatedAt = s.now()
	}
	if err := s.opts.Keys.InsertKey(ctx, k); err != nil && !errors.Is(err, ErrExists) {
		return storeError(err)
	}
	return nil
}

// ListKeys lists all keys, the newest first. None of them can be made again from
// what is listed.
func (s *Service) ListKeys(ctx context.Context) ([]Key, error) {
	keys, err := s.opts.Keys.ListKeys(ctx)
	if err != nil {
		return nil, storeError(err)
	}
	keys = slices.DeleteFunc(keys, hiddenKey(keys))
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(a.Hash, b.Hash))
	})
	return keys, nil
}

// RevokeKey ends a key, named by its id or by the part of it that is shown; it
// opens nothing from then on. Revoking it again changes nothing.
func (s *Service) RevokeKey(ctx context.Context, which string, by payment.Actor) (Key, error) {
	keys, err := s.ListKeys(ctx)
	if err != nil {
		return Key{}, err
	}
	keys = slices.DeleteFunc(keys, func(k Key) bool { return which == "" || k.ID() != which && k.Prefix != which })
	switch len(keys) {
	case 0:
		return Key{}, notFound()
	case 1:
		k, err := s.opts.Keys.RevokeKey(ctx, keys[0].Hash, by, s.now())
		if err != nil {
			return Key{}, storeError(err)
		}
		return k, nil
	}
	return Key{}, payment.NewError(payment.CodeConflict, "Several keys begin with this; name one by its id.")
}

// Authenticate says who holds a key. Keys are two fresh tokens, so at least 256
// random bits, and looked up by their digest, so there is nothing to compare in constant time and nothing to
// enumerate.
func (s *Service) Authenticate(ctx context.Context, token string) (Caller, error) {
	refused := payment.NewError(payment.CodeUnauthenticated, "Send a valid API key as Authorization: Bearer tk_….")
	if !strings.HasPrefix(token, "tk_") || len(token) > 200 {
		return Caller{}, refused
	}
	k, err := s.opts.Keys.GetKey(ctx, hashKey(token))
	if errors.Is(err, ErrNotFound) {
		return Caller{}, refused
	}
	if err != nil {
		return Caller{}, storeError(err)
	}
	if !k.RevokedAt.IsZero() {
		return Caller{}, refused
	}
	if _, configured := s.app(k.App, k.Mode); !k.Operator && !configured {
		return Caller{}, refused
	}
	return Caller{App: k.App, Mode: k.Mode, KeyID: k.Prefix, Operator: k.Operator, Scopes: k.Scopes}, nil
}

// Allow refuses a caller whose key lacks a scope.
func (c Caller) Allow(scope string) error {
	if c.Operator || slices.Contains(c.Scopes, scope) {
		return nil
	}
	return payment.NewError(payment.CodeForbidden, "This key lacks the scope %s.", scope)
}

func hashKey(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// keyPrefix is the part of a key that may be shown: enough to recognise it,
// never more than a third.
func keyPrefix(token string) string {
	return token[:min(len(token)/3, 14)]
}
