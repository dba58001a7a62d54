package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The write points of leases.
const (
	PointLeaseAcquire WritePoint = "lease.acquire"
	PointLeaseRenew   WritePoint = "lease.renew"
	PointLeaseRelease WritePoint = "lease.release"
)

const leases = "leases"

// LeaseCollection declares the leases: few documents, found by id only, never deleted (the token must not start again).
func LeaseCollection() Collection { return Collection{Name: leases} }

// Leases lets one of several replicas do a job. A lease ends by itself at its time; its fencing token grows with every
// acquisition and never goes back, so what a holder writes can be refused when a newer holder exists (see Cursors).
// Replicas' clocks may differ: then a lease can be taken early, and it is the token that keeps the old holder harmless.
type Leases struct {
	engine Engine
}

// NewLeases keeps leases in e, which must have LeaseCollection.
func NewLeases(e Engine) *Leases { return &Leases{engine: e} }

// Lease is the state of one lease.
type Lease struct {
	Name  string
	Owner string    // "" when released
	Token int64     // of the last acquisition; 0 when there was none
	Until time.Time // end of the last acquisition or renewal, UTC milliseconds; zero when released
}

type leaseRecord struct {
	Owner   string `json:"owner"`
	Token   int64  `json:"token"`
	UntilMS int64  `json:"until_ms"` // Unix milliseconds; at this time the lease is over
}

// Acquire takes the lease for ttl if it is free, released, over at now, or already owner's; ok is false if another has
// it. Every acquisition gets a new token, also the owner's own second one, which thereby ends the first. The owner
// must name one process run ("host/pid/random"), not a machine. ErrInvalid, ErrUnavailable, ErrConflict (32 lost races).
func (l *Leases) Acquire(ctx context.Context, name, owner string, ttl time.Duration, now time.Time) (token int64, ok bool, err error) {
	if name == "" || owner == "" || ttl < time.Millisecond {
		return 0, false, fmt.Errorf("%w: lease %q for %q over %s", ErrInvalid, name, owner, ttl)
	}
	ctx = WithPoint(ctx, PointLeaseAcquire)
	until := now.Add(ttl).UnixMilli()
	take := func(r leaseRecord) (leaseRecord, bool) {
		if r.Owner != owner && r.held(now) {
			return r, false
		}
		return leaseRecord{Owner: owner, Token: r.Token + 1, UntilMS: until}, true
	}
	r, ok, err := l.change(ctx, name, take)
	if !errors.Is(err, ErrNotFound) {
		return tokenIf(r, ok), ok, err
	}
	first := leaseRecord{Owner: owner, Token: 1, UntilMS: until}
	body, err := json.Marshal(first)
	if err != nil {
		return 0, false, fmt.Errorf("encode lease %s: %w", name, err)
	}
	_, created, err := InsertOnce(ctx, l.engine, leases, Doc{ID: leaseID(name), Body: body})
	if err != nil {
		return 0, false, fmt.Errorf("first lease %s: %w", name, err)
	}
	if created {
		return first.Token, true, nil
	}
	r, ok, err = l.change(ctx, name, take)
	return tokenIf(r, ok), ok, err
}

// Renew moves the end of a held lease to now+ttl (never back). ok is false if it is not owner's with this token any
// more or was over at now: then stop working, and acquire again.
func (l *Leases) Renew(ctx context.Context, name, owner string, token int64, ttl time.Duration, now time.Time) (ok bool, err error) {
	_, ok, err = l.change(WithPoint(ctx, PointLeaseRenew), name, func(r leaseRecord) (leaseRecord, bool) {
		if r.Owner != owner || r.Token != token || !r.held(now) {
			return r, false
		}
		r.UntilMS = max(r.UntilMS, now.Add(ttl).UnixMilli())
		return r, true
	})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return ok, err
}

// Release lets others have the lease at once. A lease that is not owner's with this token any more is left alone. The
// token stays, so that the next holder's is greater.
func (l *Leases) Release(ctx context.Context, name, owner string, token int64) error {
	_, _, err := l.change(WithPoint(ctx, PointLeaseRelease), name, func(r leaseRecord) (leaseRecord, bool) {
		if r.Owner != owner || r.Token != token {
			return r, false
		}
		return leaseRecord{Token: r.Token}, true
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Get returns the lease as stored, whether over or not; the zero Lease with its name if it was never taken.
func (l *Leases) Get(ctx context.Context, name string) (Lease, error) {
	d, err := l.engine.Get(ctx, leases, leaseID(name))
	if errors.Is(err, ErrNotFound) {
		return Lease{Name: name}, nil
	}
	if err != nil {
		return Lease{}, fmt.Errorf("lease %s: %w", name, err)
	}
	r, err := decodeLease(d)
	if err != nil {
		return Lease{}, err
	}
	lease := Lease{Name: name, Owner: r.Owner, Token: r.Token}
	if r.Owner != "" {
		lease.Until = time.UnixMilli(r.UntilMS).UTC()
	}
	return lease, nil
}

func (r leaseRecord) held(now time.Time) bool { return r.Owner != "" && now.UnixMilli() < r.UntilMS }

func tokenIf(r leaseRecord, ok bool) int64 {
	if !ok {
		return 0
	}
	return r.Token
}

func leaseID(name string) string { return "lease/" + name }

func decodeLease(d Doc) (leaseRecord, error) {
	var r leaseRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return r, fmt.Errorf("decode %s: %w", d.ID, err)
	}
	return r, nil
}

// change runs fn on the stored lease; ok is fn's second result, and without it nothing is written.
func (l *Leases) change(ctx context.Context, name string, fn func(leaseRecord) (leaseRecord, bool)) (r leaseRecord, ok bool, err error) {
	_, err = Update(ctx, l.engine, leases, leaseID(name), func(d Doc) (Doc, error) {
		old, err := decodeLease(d)
		if err != nil {
			return d, err
		}
		if r, ok = fn(old); !ok || r == old {
			return d, ErrUnchanged
		}
		d.Body, err = json.Marshal(r)
		return d, err
	})
	if err != nil {
		return leaseRecord{}, false, fmt.Errorf("lease %s: %w", name, err)
	}
	return r, ok, nil
}
