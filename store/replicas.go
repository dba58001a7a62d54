package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Write points of replicas' presence.
const (
	PointReplicaAnnounce WritePoint = "replica.announce"
	PointReplicaRenew    WritePoint = "replica.renew"
	PointReplicaLeave    WritePoint = "replica.leave"
	PointReplicaPrune    WritePoint = "replica.prune"
)

const replicasName = "replicas"

// ReplicaCollection declares the presence of running processes: one document a process run, deleted when it ends.
func ReplicaCollection() Collection {
	return Collection{Name: replicasName, Indexes: []Index{{Name: "by_expiry", Fields: []string{"expires"}}}}
}

// Presence says that a process works on this store.
type Presence struct {
	ID      string // names one process run, never reused
	Host    string
	Version string // of the program
	Started time.Time
	Expires time.Time // past it, the process is taken for dead
}

type presenceRecord struct {
	Schema    int    `json:"schema"`
	ID        string `json:"id"`
	Host      string `json:"host"`
	Version   string `json:"version"`
	StartedMS int64  `json:"started_ms"` // Unix milliseconds
	ExpiresMS int64  `json:"expires_ms"`
}

func presenceDoc(p Presence) (Doc, error) {
	body, err := json.Marshal(presenceRecord{
		Schema: 1, ID: p.ID, Host: p.Host, Version: p.Version, StartedMS: p.Started.UnixMilli(), ExpiresMS: p.Expires.UnixMilli(),
	})
	if err != nil {
		return Doc{}, fmt.Errorf("store: encode presence %s: %w", p.ID, err)
	}
	return Doc{ID: p.ID, Body: body, Index: map[string]any{"expires": p.Expires}}, nil
}

func presenceOf(d Doc) (Presence, error) {
	var r presenceRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return Presence{}, fmt.Errorf("store: presence %s can't be read: %w", d.ID, err)
	}
	if r.Schema != 1 {
		return Presence{}, unreadable("presence", d, r.Schema)
	}
	return Presence{
		ID: d.ID, Host: r.Host, Version: r.Version,
		Started: time.UnixMilli(r.StartedMS).UTC(), Expires: time.UnixMilli(r.ExpiresMS).UTC(),
	}, nil
}

// LivePresences lists the processes that work on this store now, those that will expire first first: what must not
// run beside them (a migration) asks here. A process that was killed is listed until its presence expires.
// ErrUnavailable.
func LivePresences(ctx context.Context, e Engine, now time.Time) ([]Presence, error) {
	return presences(ctx, e, Where("expires", Gt, now))
}

func presences(ctx context.Context, e Engine, where Filter) ([]Presence, error) {
	docs, _, err := e.Query(ctx, replicasName, Query{Index: "by_expiry", Where: []Filter{where}, SortBy: "expires", Limit: MaxLimit})
	if err != nil {
		return nil, fmt.Errorf("store: list presences: %w", err)
	}
	out := make([]Presence, 0, len(docs))
	for _, d := range docs {
		p, err := presenceOf(d)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// Replicas keeps presences over an Engine.
type Replicas struct{ e Engine }

// NewReplicas keeps presences in an engine.
func NewReplicas(e Engine) *Replicas { return &Replicas{e: e} }

// Announce stores that p is there until p.Expires, for the first time or again. A renewal never moves the end back.
// ErrUnavailable: announcing again is harmless.
func (s *Replicas) Announce(ctx context.Context, p Presence) error {
	d, err := presenceDoc(p)
	if err != nil {
		return err
	}
	renew := func() error {
		_, err := Update(WithPoint(ctx, PointReplicaRenew), s.e, replicasName, p.ID, func(old Doc) (Doc, error) {
			was, err := presenceOf(old)
			if err == nil && !p.Expires.After(was.Expires) {
				return old, ErrUnchanged
			}
			return d, err
		})
		return err
	}
	if err := renew(); !errors.Is(err, ErrNotFound) {
		return err
	}
	if _, created, err := InsertOnce(WithPoint(ctx, PointReplicaAnnounce), s.e, replicasName, d); err != nil || created {
		return err
	}
	return renew()
}

// Leave takes a presence away; one that is gone is fine.
func (s *Replicas) Leave(ctx context.Context, id string) error {
	return s.remove(WithPoint(ctx, PointReplicaLeave), id, func(Presence) bool { return true })
}

// Live lists who is there at now; see LivePresences.
func (s *Replicas) Live(ctx context.Context, now time.Time) ([]Presence, error) {
	return LivePresences(ctx, s.e, now)
}

// Prune deletes the presences that had expired at a time, and says how many.
func (s *Replicas) Prune(ctx context.Context, at time.Time) (int, error) {
	dead, err := presences(ctx, s.e, Where("expires", Lte, at))
	if err != nil {
		return 0, err
	}
	for i, p := range dead {
		gone := func(now Presence) bool { return !now.Expires.After(at) } // it may have come back meanwhile
		if err := s.remove(WithPoint(ctx, PointReplicaPrune), p.ID, gone); err != nil {
			return i, err
		}
	}
	return len(dead), nil
}

func (s *Replicas) remove(ctx context.Context, id string, still func(Presence) bool) error {
	for range updateTries {
		d, err := s.e.Get(ctx, replicasName, id)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if p, err := presenceOf(d); err == nil && !still(p) {
			return nil
		}
		if err = s.e.Delete(ctx, replicasName, id, d.Version); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("%w: presence %s changes all the time", ErrConflict, id)
}
