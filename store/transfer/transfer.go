// Package transfer fills an empty store from another one, whatever engines the two have: every document with its
// version, body and index values. It can be killed at any moment and goes on where it was, and it ends by comparing
// every document of both. It must not know an engine, change the source, interpret a document, or write to a target
// that it has not marked as being filled.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/store"
)

// ErrRefused means that something has to be changed first; the message says what. Nothing was copied.
var ErrRefused = errors.New("refused")

// ErrDiffers means that the two stores differ although everything was copied, and repaired, once. The target stays marked.
var ErrDiffers = errors.New("the stores differ")

// ErrChanged means that the source is not what was copied from it by a transfer that was finished before. Nothing was
// copied, and the target stays complete.
var ErrChanged = errors.New("the source has changed since it was copied")

const (
	defaultPage = 200
	// leaseFor is how long another process keeps off after this one was last heard of.
	leaseFor   = 30 * time.Second
	renewAfter = leaseFor / 6
	// leaseRest is what must be left of it when a write begins: longer than any engine lets one take (MongoDB's 8 s).
	leaseRest = leaseFor / 2
)

// Options say what to copy where. Source, Target, SourceName, Owner, Clock and Collections are required.
type Options struct {
	Source, Target store.Engine
	// SourceName identifies the source, without credentials: a migration is only continued from the same one.
	SourceName string
	// Owner names this process run.
	Owner string
	Clock func() time.Time
	// Collections are all that the stores have, normally store.Collections().
	Collections []store.Collection
	// Ephemeral are collections that are not copied: what is in them is worth nothing in another place.
	Ephemeral []string
	// SourceExclusive says that nobody else can have the source open. Then an earlier process that was at the same
	// migration is dead for certain, and is not waited for.
	SourceExclusive bool
	// Alive names the processes that work on a store right now; nil: none can. Asked for both stores.
	Alive func(ctx context.Context, e store.Engine) ([]string, error)
	// Progress hears of each page; may be nil.
	Progress func(Progress)
	// PageSize is how many documents are copied at once, at most store.MaxLimit, and fewer where they are large; 0: 200.
	PageSize int
}

// Progress is how far it is. Counts are documents.
type Progress struct {
	State      store.MigrationState
	Collection string
	Done       int64 // in this state, of all collections; a continued copy starts above 0
	Total      int64 // 0 while unknown
}

// Report is what a finished transfer found in both stores alike.
type Report struct {
	// Already is set if the transfer had been finished before: nothing was copied now, and the source is still what was
	// copied then.
	Already bool
	// Continued is set if an earlier run had begun it.
	Continued   bool
	Collections []CollectionReport // in the order of Options.Collections
}

// CollectionReport is one collection's part.
type CollectionReport struct {
	Name     string
	Count    int64
	Digest   string // SHA-256 over id, version, body and index values of every document, in order of id
	Repaired int64  // documents that the source had changed while the copy was interrupted
}

// run is one call of Run.
type run struct {
	Options
	progress *store.Migrations
	m        store.Migration
	done     int64
	total    int64
}

func (o *Options) prepare() error {
	if o.Source == nil || o.SourceName == "" || o.Owner == "" || o.Clock == nil || len(o.Collections) == 0 {
		return fmt.Errorf("transfer: %w: an option is missing", store.ErrInvalid)
	}
	if o.PageSize <= 0 || o.PageSize > store.MaxLimit {
		o.PageSize = defaultPage
	}
	if o.Alive == nil {
		o.Alive = func(context.Context, store.Engine) ([]string, error) { return nil, nil }
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	copied := []store.Collection{}
	for _, c := range o.Collections {
		if c.Name != store.MigrationCollection().Name && !slices.Contains(o.Ephemeral, c.Name) {
			copied = append(copied, c)
		}
	}
	o.Collections = copied
	return nil
}

// Run copies, compares and marks the target as complete. After an error, or a kill, run it again with the same stores.
// Errors: ErrRefused, ErrDiffers, ErrChanged, store.ErrConflict (another process took over), and the engines'.
func Run(ctx context.Context, o Options) (Report, error) {
	if err := o.prepare(); err != nil {
		return Report{}, err
	}
	if _, ok := o.Target.(store.Importer); !ok {
		return Report{}, fmt.Errorf("%w: the target's engine can't take documents over with their versions", ErrRefused)
	}
	r := &run{Options: o, progress: store.NewMigrations(o.Target)}
	found, err := r.begin(ctx)
	if err != nil {
		return Report{}, err
	}
	if found && r.m.State == store.MigrationDone {
		if err := r.unchanged(ctx); err != nil {
			return Report{}, err
		}
		return r.report(Report{Already: true}, nil), nil
	}
	if err := r.copyAll(ctx); err != nil {
		return Report{}, err
	}
	repaired, err := r.verifyAll(ctx)
	if err != nil {
		return Report{}, err
	}
	// A server that came to the source meanwhile may have changed what was compared.
	if err := alive(ctx, o); err != nil {
		return Report{}, err
	}
	if err := r.save(ctx, store.MigrationDone); err != nil {
		return Report{}, err
	}
	return r.report(Report{Continued: found}, repaired), nil
}

// begin checks both stores and marks the target. found: an earlier run had marked it.
func (r *run) begin(ctx context.Context) (found bool, err error) {
	if r.m, found, err = check(ctx, r.Options); err != nil || found && r.m.State == store.MigrationDone {
		return found, err
	}
	now := r.Clock()
	if r.m.Held(r.Owner, now) && !r.SourceExclusive {
		return found, fmt.Errorf("%w: %s is at this migration; if it is dead, try again in %s", ErrRefused, r.m.Owner, r.m.Until.Sub(now).Round(time.Second))
	}
	if !found {
		r.m = store.Migration{Source: r.SourceName, StartedAt: now, Collections: map[string]store.MigratedCollection{}}
	}
	r.m.State, r.m.Owner, r.m.Until, r.m.UpdatedAt = store.MigrationCopying, r.Owner, now.Add(leaseFor), now
	if r.m, err = r.progress.Begin(ctx, r.m); err != nil {
		return found, err
	}
	// Once more, now that the mark is there: whoever came in between has not seen it.
	if err := alive(ctx, r.Options); err != nil {
		return found, err
	}
	r.total, err = total(ctx, r.Options)
	return found, err
}

// check refuses what can't work, and returns the migration that the target knows of.
func check(ctx context.Context, o Options) (m store.Migration, found bool, err error) {
	if err := store.CheckMigrated(ctx, o.Source); err != nil {
		return m, false, fmt.Errorf("%w: the source is not complete itself: %w", ErrRefused, err)
	}
	if err := alive(ctx, o); err != nil {
		return m, false, err
	}
	if o.Target == nil {
		return m, false, nil
	}
	if m, found, err = store.NewMigrations(o.Target).Get(ctx); err != nil {
		return m, found, err
	}
	if found && m.Source != o.SourceName {
		return m, found, fmt.Errorf("%w: the target was begun to be filled from another store, %s (%s since %s): take an empty target",
			ErrRefused, m.Source, m.State, m.StartedAt.Format(time.RFC3339))
	}
	if found {
		return m, found, nil
	}
	for _, c := range o.Collections {
		docs, _, err := o.Target.Scan(ctx, c.Name, "", 1)
		if err != nil {
			return m, false, fmt.Errorf("look into the target's %s: %w", c.Name, err)
		}
		if len(docs) > 0 {
			return m, false, fmt.Errorf("%w: the target is not empty: its %s has documents already. Take a new database, or remove this one if nobody needs it", ErrRefused, c.Name)
		}
	}
	return m, false, nil
}

func alive(ctx context.Context, o Options) error {
	for _, side := range []struct {
		name   string
		engine store.Engine
	}{{"source", o.Source}, {"target", o.Target}} {
		if side.engine == nil {
			continue
		}
		who, err := o.Alive(ctx, side.engine)
		if err != nil {
			return fmt.Errorf("look for servers on the %s: %w", side.name, err)
		}
		if len(who) > 0 {
			return fmt.Errorf("%w: a server works on the %s (%s): stop it, or if it was killed wait until its presence has ended", ErrRefused, side.name, strings.Join(who, ", "))
		}
	}
	return nil
}

// copyAll copies every collection from where it was left.
func (r *run) copyAll(ctx context.Context) error {
	r.done = 0
	for _, c := range r.m.Collections {
		r.done += c.Copied
	}
	for _, c := range r.Collections {
		if err := r.copyOne(ctx, c); err != nil {
			return fmt.Errorf("copy %s: %w", c.Name, err)
		}
	}
	return nil
}

// copyOne copies page by page; the place to go on from is stored after each.
func (r *run) copyOne(ctx context.Context, c store.Collection) error {
	importer, _ := r.Target.(store.Importer) // checked by Run
	at, pages := r.m.Collections[c.Name], pacer{most: r.PageSize}
	for !at.Done {
		docs, next, err := r.Source.Scan(ctx, c.Name, at.Cursor, pages.size())
		if err != nil {
			return err
		}
		pages.saw(docs)
		for i := range docs {
			docs[i] = c.Fit(docs[i])
		}
		if len(docs) > 0 {
			if err := r.hold(ctx); err != nil {
				return err
			}
			if err := importer.Import(store.WithPoint(ctx, store.PointMigrationCopy), c.Name, docs); err != nil {
				return err
			}
		}
		at.Cursor, at.Done, at.Copied = next, next == "", at.Copied+int64(len(docs))
		r.m.Collections[c.Name] = at
		if err := r.save(ctx, store.MigrationCopying); err != nil {
			return err
		}
		r.done += int64(len(docs))
		r.Progress(Progress{State: store.MigrationCopying, Collection: c.Name, Done: r.done, Total: r.total})
	}
	return nil
}

// hold comes before each write of documents: a process that was stopped for long finds out here, by the fenced save,
// that another one took over and perhaps finished, so that a server works on the target by now.
func (r *run) hold(ctx context.Context) error {
	if r.Clock().Before(r.m.Until.Add(-leaseRest)) {
		return nil
	}
	return r.save(ctx, r.m.State)
}

func (r *run) save(ctx context.Context, state store.MigrationState) (err error) {
	now := r.Clock()
	r.m.State, r.m.UpdatedAt, r.m.Until = state, now, now.Add(leaseFor)
	r.m, err = r.progress.Save(ctx, r.m)
	return err
}

func (r *run) report(out Report, repaired map[string]int64) Report {
	for _, c := range r.Collections {
		done := r.m.Collections[c.Name]
		out.Collections = append(out.Collections, CollectionReport{Name: c.Name, Count: done.Count, Digest: done.Digest, Repaired: repaired[c.Name]})
	}
	return out
}
