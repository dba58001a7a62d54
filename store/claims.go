package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// PointClaim is the write point of claims.
const PointClaim WritePoint = "claim.insert"

const claims = "claims"

// ClaimCollection declares the claims: one per adopted provider object, found by id only, never deleted.
func ClaimCollection() Collection { return Collection{Name: claims} }

// Ref names an object at a provider. All four parts are needed.
type Ref struct {
	Provider string // "stripe", "paypal"
	Account  string // our name of the merchant account
	Kind     string // "session", "order", "capture", ...
	ID       string // the provider's id
}

// Claims make a provider object belong to one owner (a payment) for good: uniqueness without a unique index, because
// the document's id is made from the reference. A claim is taken before a foreign reference is adopted; it can't be
// given back, and losing one is an answer, not an error.
type Claims struct {
	engine Engine
	now    func() time.Time
}

// NewClaims keeps claims in e, which must have ClaimCollection. now only says when a claim was made.
func NewClaims(e Engine, now func() time.Time) *Claims { return &Claims{engine: e, now: now} }

type claimRecord struct {
	Provider string `json:"provider"`
	Account  string `json:"account"`
	Kind     string `json:"kind"`
	Ref      string `json:"ref"`
	Owner    string `json:"owner"`
	AtMS     int64  `json:"at_ms"` // Unix milliseconds
}

// ClaimID is the id of the claim on ref: "claim/" and 64 hex digits. The parts' lengths go into the hash, so that
// moving a character from one part to the next gives another id.
func ClaimID(ref Ref) string {
	var parts []byte
	for _, part := range []string{ref.Provider, ref.Account, ref.Kind, ref.ID} {
		parts = fmt.Appendf(parts, "%d:%s", len(part), part)
	}
	sum := sha256.Sum256(parts)
	return "claim/" + hex.EncodeToString(sum[:])
}

// Claim makes ref the owner's, or says whose it is: ok is true if holder is owner, now or since an earlier call (after
// a lost acknowledgement or a crash, repeat it). ErrInvalid for an empty part, ErrUnavailable (unknown: repeat).
func (c *Claims) Claim(ctx context.Context, ref Ref, owner string) (holder string, ok bool, err error) {
	if owner == "" || ref.Provider == "" || ref.Account == "" || ref.Kind == "" || ref.ID == "" {
		return "", false, fmt.Errorf("%w: claim %+v for %q", ErrInvalid, ref, owner)
	}
	body, err := json.Marshal(claimRecord{
		Provider: ref.Provider, Account: ref.Account, Kind: ref.Kind, Ref: ref.ID, Owner: owner, AtMS: c.now().UnixMilli(),
	})
	if err != nil {
		return "", false, fmt.Errorf("encode claim: %w", err)
	}
	d, _, err := InsertOnce(WithPoint(ctx, PointClaim), c.engine, claims, Doc{ID: ClaimID(ref), Body: body})
	if err != nil {
		return "", false, fmt.Errorf("claim %+v: %w", ref, err)
	}
	holder, err = claimOwner(d, ref)
	return holder, err == nil && holder == owner, err
}

// Holder returns whose ref is, or "" if nobody's. ErrUnavailable.
func (c *Claims) Holder(ctx context.Context, ref Ref) (string, error) {
	d, err := c.engine.Get(ctx, claims, ClaimID(ref))
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("claim on %+v: %w", ref, err)
	}
	return claimOwner(d, ref)
}

func claimOwner(d Doc, ref Ref) (string, error) {
	var r claimRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return "", fmt.Errorf("decode %s: %w", d.ID, err)
	}
	if (Ref{Provider: r.Provider, Account: r.Account, Kind: r.Kind, ID: r.Ref}) != ref || r.Owner == "" {
		return "", fmt.Errorf("%s holds a claim on %s %s %s %s, not on %+v", d.ID, r.Provider, r.Account, r.Kind, r.Ref, ref)
	}
	return r.Owner, nil
}
