package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/trifecta-pay/trifecta/store"
)

// Kind says how a database differs from the declarations.
type Kind string

const (
	// Missing means that a declared index does not exist, or is still being built. Its queries are refused. Migrate creates
	// it, or waits for it.
	Missing Kind = "missing"
	// Different means that an index of a declared name has other keys or options, or one of other name has its keys, or the
	// collection itself has options that change what an index means (collation, capped), or one that is not declared deletes
	// records or refuses them (expireAfterSeconds, unique). A human drops it.
	Different Kind = "different"
	// Extra is an index that is not declared. It costs writes and does no harm.
	Extra Kind = "extra"
)

// Drift is one difference between the declared indexes and those of the database.
type Drift struct {
	Kind       Kind
	Collection string
	Index      string // its name; "" for the collection itself
	Detail     string // for a human: what was found
}

func (d Drift) String() string {
	s := string(d.Kind) + " " + d.Collection
	if d.Index != "" {
		s += "." + d.Index
	}
	if d.Detail != "" {
		s += " (" + d.Detail + ")"
	}
	return s
}

// migrateTries bounds how often one index is asked for again after another migration, or an election, got in its way.
const migrateTries = 5

// Migrate creates the declared indexes that are missing and returns their names ("payments.due"). It changes and drops
// nothing that exists. Several may run at once, also while the store is in use. It takes as long as the largest
// collection needs, at most an hour or until ctx ends; run again, it goes on where it was.
//
// Errors: store.ErrUnavailable; store.ErrConflict if an existing index stands in the way, naming each of them (those
// without such an obstacle have been created).
func (e *Engine) Migrate(ctx context.Context) (created []string, err error) {
	inner, end, err := e.enter(ctx, migrateTimeout)
	if err != nil {
		return nil, err
	}
	defer end()
	var obstacles []string
	for _, c := range e.decls {
		drifts, err := e.drift(ctx, inner, c)
		if err != nil {
			return created, err
		}
		for _, d := range drifts {
			if d.Kind == Different {
				obstacles = append(obstacles, d.String())
			}
			if d.Kind != Missing {
				continue
			}
			at := slices.IndexFunc(c.Indexes, func(ix store.Index) bool { return ix.Name == d.Index })
			switch err := e.create(ctx, inner, c, c.Indexes[at]); {
			case errors.Is(err, store.ErrConflict):
				obstacles = append(obstacles, d.String()+": "+err.Error())
			case err != nil:
				return created, err
			default:
				created = append(created, c.Name+"."+d.Index)
			}
		}
	}
	if len(obstacles) > 0 {
		return created, fmt.Errorf("%w: drop these, then migrate again: %s", store.ErrConflict, strings.Join(obstacles, "; "))
	}
	return created, nil
}

// create makes one index. It is idempotent on the server's side too: of two that create the same at once, one waits.
func (e *Engine) create(ctx, inner context.Context, c store.Collection, ix store.Index) error {
	what := "create index " + c.Name + "." + ix.Name
	var err error
	for range migrateTries {
		_, err = e.db.Collection(c.Name).Indexes().CreateOne(inner, mongo.IndexModel{Keys: keysOf(ix), Options: options.Index().SetName(ix.Name)})
		var se mongo.ServerError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &se) && (se.HasErrorCode(codeIndexOptionsConflict) || se.HasErrorCode(codeIndexKeySpecsConflict)):
			return fmt.Errorf("%w: %s: an index of this name or with these keys exists with other options", store.ErrConflict, what)
		case mayRetryRead(err): // nothing is lost by asking again
		case errors.As(err, &se) && (se.HasErrorCode(codeNamespaceExists) || se.HasErrorCode(codeIndexAlreadyBuilding) || se.HasErrorCode(codeIndexBuildAborted) || se.HasErrorCode(codeIndexBuildInProgress)):
		default:
			return e.classify(ctx, what, err)
		}
		if inner.Err() != nil {
			break
		}
	}
	return e.classify(ctx, what, err)
}

// keysOf are the keys of a declared index: its fields, and _id to make the order total.
func keysOf(ix store.Index) bson.D {
	keys := bson.D{}
	for _, f := range ix.Fields {
		keys = append(keys, bson.E{Key: f, Value: int32(1)})
	}
	return append(keys, bson.E{Key: idField, Value: int32(1)})
}

// IndexDrift compares the database with the declarations, in their order; nothing found means that all is as declared.
// The hashed index on _id that sharding needs is no drift. Errors: store.ErrUnavailable.
func (e *Engine) IndexDrift(ctx context.Context) ([]Drift, error) {
	inner, end, err := e.enter(ctx, migrateTimeout)
	if err != nil {
		return nil, err
	}
	defer end()
	var all []Drift
	for _, c := range e.decls {
		drifts, err := e.drift(ctx, inner, c)
		if err != nil {
			return nil, err
		}
		all = append(all, drifts...)
	}
	return all, nil
}

func (e *Engine) drift(ctx, inner context.Context, c store.Collection) ([]Drift, error) {
	var out []Drift
	add := func(k Kind, index, detail string) { out = append(out, Drift{k, c.Name, index, detail}) }
	odd, err := e.oddOptions(inner, c.Name)
	if err != nil {
		return nil, e.classify(ctx, "list collection "+c.Name, err)
	}
	if odd != "" {
		add(Different, "", "the collection is "+odd)
	}
	existing, err := e.listIndexes(inner, c.Name)
	if err != nil {
		return nil, e.classify(ctx, "list indexes of "+c.Name, err)
	}
	for _, ix := range c.Indexes {
		want := keysOf(ix)
		switch at := slices.IndexFunc(existing, func(f foundIndex) bool { return f.Name == ix.Name }); {
		case at >= 0 && existing[at].is(want) && existing[at].Building:
			add(Missing, ix.Name, "it is being built; trifecta migrate waits for it")
		case at >= 0 && existing[at].is(want):
		case at >= 0:
			add(Different, ix.Name, "it is "+existing[at].String())
		default:
			if same := slices.IndexFunc(existing, func(f foundIndex) bool { return f.keys() == keysText(want) }); same >= 0 {
				add(Different, ix.Name, "its keys have the index "+existing[same].Name)
			} else {
				add(Missing, ix.Name, "")
			}
		}
	}
	for _, f := range existing {
		declared := slices.ContainsFunc(c.Indexes, func(ix store.Index) bool { return ix.Name == f.Name })
		switch harm := f.harm(); {
		case declared || f.Name == idIndex:
		case harm != "":
			add(Different, f.Name, f.String()+" is not declared, and "+harm)
		case f.keys() != "_id:hashed":
			add(Extra, f.Name, f.String())
		}
	}
	return out, nil
}

// foundIndex is an index as listIndexes describes it.
type foundIndex struct {
	Name    string
	Keys    bson.D
	Options []string // other than what we ask for, "unique:true"
	// Expires and Unique: it deletes records by itself, or refuses some.
	Expires, Unique bool
	// Building: queries can't use it yet. A migration that was cut off leaves its build to the server.
	Building bool
}

// harm says what an index that nobody declared would do to records, or "". One that is on must not wait for its build.
func (f foundIndex) harm() string {
	switch {
	case f.Expires:
		return "MongoDB deletes records by it (expireAfterSeconds), payments too: drop it before anything is lost"
	case f.Unique:
		return "it refuses records whose values are those of another (unique): payments would fail"
	}
	return ""
}

func (f foundIndex) is(keys bson.D) bool { return f.keys() == keysText(keys) && len(f.Options) == 0 }

func (f foundIndex) keys() string { return keysText(f.Keys) }

func (f foundIndex) String() string {
	return "{" + strings.Join(append([]string{f.keys()}, f.Options...), ", ") + "}"
}

// keysText prints keys so that 1, 1.0 and NumberLong(1), which shells write, are the same.
func keysText(keys bson.D) string {
	parts := make([]string, 0, len(keys))
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%s:%v", k.Key, k.Value))
	}
	return strings.Join(parts, ",")
}

// listIndexes returns the indexes of a collection; none if it does not exist. MongoDB lists those that are being built
// among them, marked only if it is asked to (its source, list_indexes.cpp); a server that does not know the question lists
// what it has.
func (e *Engine) listIndexes(ctx context.Context, coll string) ([]foundIndex, error) {
	plain := bson.D{{Key: "listIndexes", Value: coll}}
	rows, err := e.list(ctx, append(slices.Clone(plain), bson.E{Key: "includeBuildUUIDs", Value: true}))
	var se mongo.ServerError
	if errors.As(err, &se) && slices.ContainsFunc([]int{codeBadValue, codeFailedToParse, codeTypeMismatch, codeInvalidOptions, codeNotImplemented, codeUnknownField}, se.HasErrorCode) {
		rows, err = e.list(ctx, plain)
	}
	if errors.As(err, &se) && se.HasErrorCode(codeNamespaceNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := make([]foundIndex, 0, len(rows))
	for _, row := range rows {
		var f foundIndex
		for _, el := range row {
			if spec, nested := el.Value.(bson.D); nested && el.Key == "spec" {
				row, f.Building = spec, true
			}
		}
		for _, el := range row {
			switch el.Key {
			case "name":
				f.Name = fmt.Sprint(el.Value)
			case "key":
				f.Keys, _ = el.Value.(bson.D)
			case "v", "ns", "background": // MongoDB's own
			default:
				f.Options = append(f.Options, fmt.Sprintf("%s:%v", el.Key, el.Value))
				f.Expires = f.Expires || el.Key == "expireAfterSeconds"
				f.Unique = f.Unique || el.Key == "unique" && el.Value != false
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// oddOptions says what about an existing collection changes what its indexes mean, or "".
func (e *Engine) oddOptions(ctx context.Context, coll string) (string, error) {
	rows, err := e.list(ctx, bson.D{{Key: "listCollections", Value: 1}, {Key: "filter", Value: bson.D{{Key: "name", Value: coll}}}})
	if err != nil {
		return "", err
	}
	var odd []string
	for _, row := range rows {
		for _, el := range row {
			if el.Key == "type" && el.Value != "collection" {
				odd = append(odd, fmt.Sprint("a ", el.Value))
			}
			chosen, _ := el.Value.(bson.D)
			if el.Key != "options" {
				continue
			}
			for _, o := range chosen {
				if slices.Contains([]string{"collation", "capped", "timeseries", "clusteredIndex", "expireAfterSeconds", "validator"}, o.Key) {
					odd = append(odd, "created with "+o.Key)
				}
			}
		}
	}
	return strings.Join(odd, ", "), nil
}

// list runs a listing command to its end, again if a fail-over interrupts it.
func (e *Engine) list(ctx context.Context, cmd bson.D) ([]bson.D, error) {
	var err error
	for range readTries {
		var rows []bson.D
		cursor, cerr := e.db.RunCommandCursor(ctx, cmd)
		if err = cerr; err == nil {
			err = cursor.All(ctx, &rows)
		}
		if err == nil {
			return rows, nil
		}
		if ctx.Err() != nil || !mayRetryRead(err) {
			break
		}
	}
	return nil, err
}
