package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/trifecta-pay/trifecta/store"
)

const (
	idIndex   = "_id_" // MongoDB's own
	readTries = 3      // a read that met a fail-over is simply asked again
	// branchesAtOnce keeps a query of many branches (up to 64) from taking as many round trips one after the other, and
	// from taking the whole pool.
	branchesAtOnce = 8
	idsPerFind     = 200 // of GetMany: 200 documents are well below one reply in the common case
)

// Get implements store.Engine.
func (e *Engine) Get(ctx context.Context, coll, id string) (store.Doc, error) {
	inner, c, end, err := e.begin(ctx, coll)
	if err != nil {
		return store.Doc{}, err
	}
	defer end()
	docs, err := e.find(ctx, inner, c, idIndex, bson.D{{Key: idField, Value: id}}, nil, 1, c.decode)
	if err != nil {
		return store.Doc{}, err
	}
	if len(docs) == 0 {
		return store.Doc{}, fmt.Errorf("%w: %s %s", store.ErrNotFound, coll, id)
	}
	return docs[0], nil
}

// GetMany implements store.Engine.
func (e *Engine) GetMany(ctx context.Context, coll string, ids []string) ([]store.Doc, error) {
	inner, c, end, err := e.begin(ctx, coll)
	if err != nil {
		return nil, err
	}
	defer end()
	if ids, err = store.CheckIDs(ids); err != nil {
		return nil, err
	}
	found := make(map[string]store.Doc, len(ids))
	for rest := ids; len(rest) > 0; {
		n := min(len(rest), idsPerFind)
		some := bson.D{{Key: idField, Value: bson.D{{Key: "$in", Value: rest[:n]}}}}
		docs, err := e.find(ctx, inner, c, idIndex, some, nil, n, c.decode)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			found[d.ID] = d
		}
		rest = rest[n:]
	}
	var docs []store.Doc
	for _, id := range ids {
		if d, ok := found[id]; ok {
			docs = append(docs, d)
		}
	}
	return docs, nil
}

// Query implements store.Engine. Several branches (In) are several reads and no snapshot: a document that moves from
// one branch to another meanwhile may be missed, as between two pages.
func (e *Engine) Query(ctx context.Context, coll string, q store.Query) ([]store.Doc, string, error) {
	inner, c, end, err := e.begin(ctx, coll)
	if err != nil {
		return nil, "", err
	}
	defer end()
	p, err := store.NewPlan(c.decl, q)
	if err != nil {
		return nil, "", err
	}
	return e.run(ctx, inner, c, p)
}

// Scan implements store.Engine.
func (e *Engine) Scan(ctx context.Context, coll, after string, limit int) ([]store.Doc, string, error) {
	inner, c, end, err := e.begin(ctx, coll)
	if err != nil {
		return nil, "", err
	}
	defer end()
	p, err := store.ScanPlan(c.decl, after, limit)
	if err != nil {
		return nil, "", err
	}
	return e.run(ctx, inner, c, p)
}

func (e *Engine) run(ctx, inner context.Context, c *collection, p store.Plan) ([]store.Doc, string, error) {
	hint := p.Index.Name
	if hint == "" {
		hint = idIndex
	}
	perBranch := make([][]store.Doc, len(p.Branches))
	group, within := errgroup.WithContext(inner)
	group.SetLimit(branchesAtOnce)
	for i, values := range p.Branches {
		group.Go(func() (err error) {
			perBranch[i], err = e.branch(ctx, within, c, p, hint, values)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, "", err
	}
	docs, next := p.Page(p.Merge(slices.Concat(perBranch...)))
	return docs, next, nil
}

// branch returns the first Limit+1 documents of one branch. A position inside one sort value takes two reads, the rest
// of that value and what lies beyond: each is one range of the index, where an $or would be a filter or a sort.
func (e *Engine) branch(ctx, inner context.Context, c *collection, p store.Plan, hint string, values []any) ([]store.Doc, error) {
	want := p.Limit + 1
	var docs []store.Doc
	for _, r := range ranges(p) {
		filter := make(bson.D, 0, len(p.EqFields)+2)
		for i, f := range p.EqFields {
			filter = append(filter, bson.E{Key: f, Value: native(values[i])})
		}
		more, err := e.find(ctx, inner, c, hint, append(filter, r...), order(p), want-len(docs), c.reader(p))
		if err != nil {
			return nil, err
		}
		if docs = append(docs, more...); len(docs) >= want {
			break
		}
	}
	return docs, nil
}

// order sorts by the sort field and the id, which is the index's own order, forward or backward.
func order(p store.Plan) bson.D {
	way := 1
	if p.Desc {
		way = -1
	}
	if p.Sort == "" {
		return bson.D{{Key: idField, Value: way}}
	}
	return bson.D{{Key: p.Sort, Value: way}, {Key: idField, Value: way}}
}

// ranges are the conditions of a plan's range, in the order in which they are to be read.
func ranges(p store.Plan) []bson.D {
	up, down := "$gt", "$lt"
	if p.Desc {
		up, down = down, up
	}
	if p.Sort == "" {
		if p.From == nil {
			return []bson.D{nil}
		}
		return []bson.D{{{Key: idField, Value: bson.D{{Key: up, Value: p.From.ID}}}}}
	}
	bounds := bson.D{}
	bound := func(edge *store.Edge, op string) {
		if edge == nil {
			return
		}
		if edge.Inclusive && edge.ID == "" {
			op += "e"
		}
		bounds = append(bounds, bson.E{Key: op, Value: native(edge.Value)})
	}
	bound(p.From, up)
	bound(p.To, down)
	if len(bounds) == 0 {
		bounds = bson.D{{Key: "$ne", Value: nil}} // a document without the field is in the index, as null
	}
	beyond := bson.D{{Key: p.Sort, Value: bounds}}
	if p.From == nil || p.From.ID == "" {
		return []bson.D{beyond}
	}
	if p.To != nil { // the bound may have moved to before the cursor since
		past := store.Compare(p.From.Value, p.To.Value)
		if p.Desc {
			past = -past
		}
		if past > 0 || past == 0 && !p.To.Inclusive {
			return nil
		}
	}
	rest := bson.D{{Key: p.Sort, Value: native(p.From.Value)}, {Key: idField, Value: bson.D{{Key: up, Value: p.From.ID}}}}
	return []bson.D{rest, beyond}
}

// find runs one find command to its end. It goes through RunCommandCursor because the driver's own Find leaves out the
// server's deadline; so it repeats a read by itself when a fail-over interrupts it. ctx is the caller's, for telling
// whose deadline ended it.
func (e *Engine) find(ctx, inner context.Context, c *collection, hint string, filter, sort bson.D, limit int, read decoder) ([]store.Doc, error) {
	if filter == nil {
		filter = bson.D{}
	}
	cmd := bson.D{{Key: "find", Value: c.decl.Name}, {Key: "filter", Value: filter}}
	if sort != nil {
		cmd = append(cmd, bson.E{Key: "sort", Value: sort})
	}
	cmd = append(cmd, bson.E{Key: "hint", Value: hint}, bson.E{Key: "limit", Value: int64(limit)},
		bson.E{Key: "batchSize", Value: int64(limit)}, bson.E{Key: "readConcern", Value: bson.D{{Key: "level", Value: "majority"}}})
	var err error
	for try := range readTries {
		var docs []store.Doc
		if docs, err = e.findOnce(inner, cmd, read); err == nil {
			return docs, nil
		}
		var corrupt *corruptError
		if errors.As(err, &corrupt) {
			return nil, corrupt
		}
		if inner.Err() != nil || !mayRetryRead(err) || try == readTries-1 {
			break
		}
	}
	return nil, e.classify(ctx, "read "+c.decl.Name, err)
}

// decoder reads one stored document.
type decoder func(raw bson.Raw) (store.Doc, error)

// reader is how the documents of a plan are read. What comes through an index is work or a list: one document that we
// did not write like that must not hide the others. A scan copies or erases, and must not go on as if it had read it.
func (c *collection) reader(p store.Plan) decoder {
	if p.Index.Name == "" {
		return c.decode
	}
	return func(raw bson.Raw) (store.Doc, error) {
		d, err := c.decode(raw)
		if err == nil {
			return d, nil
		}
		d, ok := c.remains(raw)
		if _, sorted := d.Index[p.Sort]; !ok || p.Sort != "" && !sorted {
			return store.Doc{}, err // it has no place on a page
		}
		d.Body = store.UnreadableBody(err)
		return d, nil
	}
}

func (e *Engine) findOnce(ctx context.Context, cmd bson.D, read decoder) ([]store.Doc, error) {
	cursor, err := e.db.RunCommandCursor(ctx, cmd)
	if err != nil {
		return nil, err
	}
	docs, err := drain(ctx, cursor, read)
	return docs, errors.Join(err, cursor.Close(ctx))
}

func drain(ctx context.Context, cursor *mongo.Cursor, read decoder) ([]store.Doc, error) {
	var docs []store.Doc
	for cursor.Next(ctx) {
		d, err := read(cursor.Current)
		if err != nil {
			return nil, &corruptError{err}
		}
		docs = append(docs, d)
	}
	return docs, cursor.Err()
}

// corruptError is a document that we did not write like that; asking again does not help.
type corruptError struct{ error }

func (e *corruptError) Unwrap() error { return e.error }
