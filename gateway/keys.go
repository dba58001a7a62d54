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
// another one is to be made and this one revoked.
func (s *Service) IssueKey(ctx context.Context, r Request, app string, operator bool, scopes []string) (token string, made Key, replayed bool, err error) {
	if !r.Caller.Operator {
		return "", Key{}, false, payment.NewError(payment.CodeForbidden, "Making keys needs an operator key.")
	}
	known, err := s.ListKeys(ctx)
	if err != nil {
		return "", Key{}, false, err
	}
	id := r.id("key")
	for _, k := range known {
		switch {
		case k.Request != id:
		case k.Fingerprint != r.Fingerprint:
			return "", Key{}, false, reused()
		default:
			return "", k, true, nil
		}
	}
	token, made, err = s.newKey(ctx, app, Key{Operator: operator, Scopes: scopes, CreatedBy: r.Caller.Actor(), Request: id, Fingerprint: r.Fingerprint})
	return token, made, false, err
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
