package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// ErrUnchanged is returned by the function given to Update to say that there is nothing to write.
var ErrUnchanged = errors.New("store: unchanged")

const (
	// updateTries bounds Update: with more than 32 writers winning in a row something is wrong.
	updateTries = 32
	// unknownTries bounds how often a write with an unknown outcome is sent: an outage is the caller's to wait out.
	unknownTries = 3
)

// Update changes one document by compare-and-swap: read, fn, replace if the version is still the one read; on a
// conflict again, at once, up to 32 times, then ErrConflict. It returns the document as it was written.
//
// fn may run several times, so it must be pure: no I/O, no clock, no change to what it doesn't return (the Doc it gets
// is its own copy). It must keep the ID; the version it returns is ignored. Its error ends Update and is returned as
// is, except ErrUnchanged: then nothing is written, and the document just read comes back with a nil error.
//
// An unknown outcome (ErrUnavailable from Replace) is read back. The old version: send the same write again, only one
// of the two can win. The next version: the body says whether it is ours or another writer's. Later versions, or no
// answer: ErrUnavailable comes back, ours may be among them (or still be on its way), and the caller repeats its command; therefore fn must
// recognise its own earlier effect (by an operation or event id in the document) and answer ErrUnchanged.
//
// Errors: ErrNotFound, ErrConflict, ErrUnavailable, ErrTooLarge, ErrInvalid, fn's own.
func Update(ctx context.Context, e Engine, coll, id string, fn func(Doc) (Doc, error)) (Doc, error) {
	old, err := e.Get(ctx, coll, id)
	if err != nil {
		return Doc{}, err
	}
	return updateFrom(ctx, e, coll, old, fn)
}

// updateFrom is Update of a document that was read before: one that has moved on since is a lost race like any other.
func updateFrom(ctx context.Context, e Engine, coll string, old Doc, fn func(Doc) (Doc, error)) (Doc, error) {
	id := old.ID
	var next Doc
	var err error
	unknown, unknowns := false, 0 // unknown: next was sent and may have been written
	for range updateTries {
		if !unknown {
			next, err = fn(old.Clone())
			if errors.Is(err, ErrUnchanged) {
				return old, nil
			}
			if err != nil {
				return Doc{}, err
			}
			if next.ID != id {
				return Doc{}, fmt.Errorf("%w: update of %s %s changed the id to %q", ErrInvalid, coll, id, next.ID)
			}
			next.Version = old.Version + 1
		}
		werr := e.Replace(ctx, coll, next, old.Version)
		if werr == nil {
			return next, nil
		}
		if !errors.Is(werr, ErrUnavailable) && !errors.Is(werr, ErrConflict) {
			return Doc{}, werr
		}
		if errors.Is(werr, ErrUnavailable) {
			unknown = true
			unknowns++
		}
		if old, err = e.Get(ctx, coll, id); err != nil {
			return Doc{}, err
		}
		if !unknown || old.Version < next.Version && unknowns < unknownTries {
			continue
		}
		if old.Version < next.Version {
			return Doc{}, werr
		}
		if old.Version > next.Version {
			return Doc{}, fmt.Errorf("%w: %s %s: unknown whether version %d is ours", ErrUnavailable, coll, id, next.Version)
		}
		if bytes.Equal(old.Body, next.Body) {
			return old, nil
		}
		unknown = false // another writer made this version, so ours can never be
	}
	return Doc{}, fmt.Errorf("%w: %s %s: gave up after %d tries", ErrConflict, coll, id, updateTries)
}

// InsertOnce inserts d, or returns the document that has its id already (created false). An unknown outcome is read
// back: a document with version 1 and our very body counts as created, a missing one is inserted again. Two writers
// that insert equal bodies may therefore both be told created; where that matters, the body must say whose it is.
//
// Errors: ErrUnavailable (still unknown: call again with the same d), ErrTooLarge, ErrInvalid.
func InsertOnce(ctx context.Context, e Engine, coll string, d Doc) (stored Doc, created bool, err error) {
	unknown := false
	for range unknownTries {
		err = e.Insert(ctx, coll, d)
		if err == nil {
			d.Version = 1
			return d, true, nil
		}
		if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrExists) {
			return Doc{}, false, err
		}
		unknown = unknown || errors.Is(err, ErrUnavailable)
		stored, gerr := e.Get(ctx, coll, d.ID)
		if gerr == nil {
			return stored, unknown && stored.Version == 1 && bytes.Equal(stored.Body, d.Body), nil
		}
		if !errors.Is(gerr, ErrNotFound) {
			return Doc{}, false, gerr
		}
		// Not there: it was not inserted, or was deleted in between.
	}
	return Doc{}, false, fmt.Errorf("%w: insert %s %s, %d tries: %w", ErrUnavailable, coll, d.ID, unknownTries, err)
}
