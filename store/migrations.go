package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The write points of a move from one store to another.
const (
	PointMigrationBegin  WritePoint = "migration.begin"
	PointMigrationSave   WritePoint = "migration.save"
	PointMigrationCopy   WritePoint = "migration.copy"
	PointMigrationRemove WritePoint = "migration.remove"
)

const (
	migrationsName = "migrations"
	migrationID    = "migration/into_here"
)

// ErrMigrating means that documents of another store are being copied into this one and not all of them are here yet. Whoever
// took payments now would do so beside half a record.
var ErrMigrating = errors.New("store: a migration into this store is not finished")

// MigrationCollection declares the one document that says whether a store is being filled from another, and how far
// that is. It belongs to the store that holds it and is never copied.
func MigrationCollection() Collection { return Collection{Name: migrationsName} }

// MigrationState is how far a migration is.
type MigrationState string

// A migration copies, then compares every document of both stores, then is done.
const (
	MigrationCopying   MigrationState = "copying"
	MigrationVerifying MigrationState = "verifying"
	MigrationDone      MigrationState = "done"
)

// Migration is the progress of filling this store from another one, kept in this one so that it goes on after a crash.
type Migration struct {
	Source string // of which store, without credentials; only the same source may go on
	State  MigrationState
	// Owner is the process that is at it, until Until. A later owner ends an earlier one: its next Save fails.
	Owner     string
	Until     time.Time
	StartedAt time.Time
	UpdatedAt time.Time
	// Collections holds how far each collection is, by name.
	Collections map[string]MigratedCollection

	version int64
}

// MigratedCollection is how far one collection is.
type MigratedCollection struct {
	Cursor string `json:"cursor,omitempty"` // where the source's scan goes on
	Copied int64  `json:"copied"`           // documents stored so far; a page that was copied twice counts once
	Done   bool   `json:"done,omitempty"`   // the scan has reached the end
	// Count and Digest are what both stores were found to hold: known when the migration is done.
	Count  int64  `json:"count,omitempty"`
	Digest string `json:"digest,omitempty"`
}

type migrationRecord struct {
	Schema      int                           `json:"schema"`
	Source      string                        `json:"source"`
	State       MigrationState                `json:"state"`
	Owner       string                        `json:"owner"`
	UntilMS     int64                         `json:"until_ms"`
	StartedMS   int64                         `json:"started_ms"`
	UpdatedMS   int64                         `json:"updated_ms"`
	Collections map[string]MigratedCollection `json:"collections"`
}

// Migrations keeps the progress of a migration into a store.
type Migrations struct{ e Engine }

// NewMigrations keeps it in e, which must have MigrationCollection.
func NewMigrations(e Engine) *Migrations { return &Migrations{e: e} }

// Get returns the migration into this store; found is false if there never was one. ErrUnavailable.
func (s *Migrations) Get(ctx context.Context) (m Migration, found bool, err error) {
	d, err := s.e.Get(ctx, migrationsName, migrationID)
	if errors.Is(err, ErrNotFound) {
		return Migration{}, false, nil
	}
	if err != nil {
		return Migration{}, false, fmt.Errorf("read the migration's progress: %w", err)
	}
	m, err = migrationOf(d)
	return m, true, err
}

// Begin stores a new migration, or takes an unfinished one over for owner. It fails with ErrConflict if another process
// was faster.
func (s *Migrations) Begin(ctx context.Context, m Migration) (Migration, error) {
	if m.version > 0 {
		return s.Save(ctx, m)
	}
	d, err := m.doc()
	if err != nil {
		return m, err
	}
	_, created, err := InsertOnce(WithPoint(ctx, PointMigrationBegin), s.e, migrationsName, d)
	if err == nil && !created {
		err = ErrConflict
	}
	if err != nil {
		return m, fmt.Errorf("begin the migration: %w", err)
	}
	m.version = 1
	return m, nil
}

// Save stores the progress. ErrConflict: another process has taken the migration over, stop.
func (s *Migrations) Save(ctx context.Context, m Migration) (Migration, error) {
	was := m.version
	d, err := m.doc()
	if err != nil {
		return m, err
	}
	saved, err := Update(WithPoint(ctx, PointMigrationSave), s.e, migrationsName, migrationID, func(old Doc) (Doc, error) {
		switch {
		case old.Version == was:
			return d, nil
		case old.Version == was+1 && string(old.Body) == string(d.Body): // written by an earlier try
			return old, ErrUnchanged
		}
		return old, fmt.Errorf("%w: another process has taken the migration over", ErrConflict)
	})
	if err != nil {
		return m, fmt.Errorf("save the migration's progress: %w", err)
	}
	m.version = saved.Version
	return m, nil
}

// Held says whether another process than owner is at it.
func (m Migration) Held(owner string, now time.Time) bool {
	return m.State != MigrationDone && m.Owner != owner && now.Before(m.Until)
}

// CheckMigrated refuses, with ErrMigrating, a store that is not all there yet. Whoever is about to change anything in a
// store calls it after having made itself known there, so that one of the two sees the other.
func CheckMigrated(ctx context.Context, e Engine) error {
	m, found, err := NewMigrations(e).Get(ctx)
	if err != nil {
		return err
	}
	if !found || m.State == MigrationDone {
		return nil
	}
	copied := int64(0)
	for _, c := range m.Collections {
		copied += c.Copied
	}
	return fmt.Errorf("%w: it is being filled from %s (%s, %d documents so far, last at work %s). Run the same \"trifecta migrate --from … --to …\" again to finish it",
		ErrMigrating, m.Source, m.State, copied, m.UpdatedAt.Format(time.RFC3339))
}

func (m Migration) doc() (Doc, error) {
	body, err := json.Marshal(migrationRecord{
		Schema: 1, Source: m.Source, State: m.State, Owner: m.Owner, UntilMS: m.Until.UnixMilli(),
		StartedMS: m.StartedAt.UnixMilli(), UpdatedMS: m.UpdatedAt.UnixMilli(), Collections: m.Collections,
	})
	if err != nil {
		return Doc{}, fmt.Errorf("encode the migration's progress: %w", err)
	}
	return Doc{ID: migrationID, Body: body}, nil
}

func migrationOf(d Doc) (Migration, error) {
	var r migrationRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return Migration{}, fmt.Errorf("the migration's progress can't be read: %w", err)
	}
	if r.Schema != 1 {
		return Migration{}, fmt.Errorf("the migration's progress has schema %d, this program reads 1", r.Schema)
	}
	if r.Collections == nil {
		r.Collections = map[string]MigratedCollection{}
	}
	return Migration{
		Source: r.Source, State: r.State, Owner: r.Owner, Until: time.UnixMilli(r.UntilMS).UTC(),
		StartedAt: time.UnixMilli(r.StartedMS).UTC(), UpdatedAt: time.UnixMilli(r.UpdatedMS).UTC(),
		Collections: r.Collections, version: d.Version,
	}, nil
}

// ScanPresences is LivePresences without an index, for a store that may not have any yet.
func ScanPresences(ctx context.Context, e Engine, now time.Time) ([]Presence, error) {
	var out []Presence
	for after, more := "", true; more; {
		docs, next, err := e.Scan(ctx, replicasName, after, MaxLimit)
		if err != nil {
			return nil, fmt.Errorf("store: list presences: %w", err)
		}
		for _, d := range docs {
			p, err := presenceOf(d)
			if err != nil {
				return nil, err
			}
			if p.Expires.After(now) {
				out = append(out, p)
			}
		}
		after, more = next, next != ""
	}
	return out, nil
}
