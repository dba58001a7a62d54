package store

import (
	"context"
	"fmt"
)

// Importer is an engine that can take over documents of another engine as they are. It is for moving a whole store
// (store/transfer) and for nothing else: the program itself only ever writes version 1, or the next one.
type Importer interface {
	// Import stores the documents (at most MaxLimit) under the versions they have, over whatever the collection holds
	// under their ids, except a greater version: that stays, and is no error, so that a copier that was stopped for long
	// and wakes up can't put an old state over a newer one. To go back in version, delete first. It is not one atomic
	// write: after an error some may be stored and others not, and importing the same documents again is how to go on.
	// Nobody else may be writing to the collection.
	// ErrInvalid (also for a version below 1), ErrTooLarge, ErrUnavailable.
	Import(ctx context.Context, coll string, docs []Doc) error
}

// Counter is an engine that can count faster than by reading everything.
type Counter interface {
	// Count returns how many documents the collection holds. It may be a little off while others write.
	Count(ctx context.Context, coll string) (int64, error)
}

// Migrator is an engine whose schema is made by a command of its own, not by opening it.
type Migrator interface {
	// Migrate creates the declared indexes that are missing and returns their names ("payments.by_work"). It may be
	// repeated, and run by several processes at once. ErrConflict: something that exists stands in the way.
	Migrate(ctx context.Context) (created []string, err error)
}

// CheckedImport is what engines do first in Import: the documents fit to be stored, with their versions.
func (c Collection) CheckedImport(docs []Doc) ([]Doc, error) {
	if len(docs) > MaxLimit {
		return nil, fmt.Errorf("%w: %d documents at once, at most %d", ErrInvalid, len(docs), MaxLimit)
	}
	out := make([]Doc, 0, len(docs))
	for _, d := range docs {
		if d.Version < 1 {
			return nil, fmt.Errorf("%w: %s %s has version %d", ErrInvalid, c.Name, d.ID, d.Version)
		}
		checked, err := c.Checked(d)
		if err != nil {
			return nil, err
		}
		out = append(out, checked)
	}
	return out, nil
}
