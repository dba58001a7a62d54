package mongo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/trifecta-pay/trifecta/store"
)

var (
	_ store.Importer = (*Engine)(nil)
	_ store.Counter  = (*Engine)(nil)
	_ store.Migrator = (*Engine)(nil)
)

// Import implements store.Importer: one bulk of replacements, each naming one _id and each harmless to repeat. Where a
// greater version stands, the filter misses it and the upsert finds the _id taken.
func (e *Engine) Import(ctx context.Context, coll string, docs []store.Doc) error {
	inner, c, end, err := e.begin(ctx, coll)
	if err != nil {
		return err
	}
	defer end()
	if docs, err = c.decl.CheckedImport(docs); err != nil || len(docs) == 0 {
		return err
	}
	models := make([]mongo.WriteModel, 0, len(docs))
	for _, d := range docs {
		models = append(models, mongo.NewReplaceOneModel().SetFilter(bson.D{{Key: idField, Value: d.ID}, {Key: versionField, Value: bson.D{{Key: "$lte", Value: d.Version}}}}).
			SetReplacement(encode(d, d.Version)).SetUpsert(true))
	}
	for len(models) > 0 {
		_, err := c.c.BulkWrite(inner, models, options.BulkWrite().SetOrdered(false))
		if err == nil {
			return nil
		}
		if models = butTaken(models, err); models == nil {
			return e.classify(ctx, "import into "+coll, err)
		}
	}
	return nil
}

// butTaken leaves out of a bulk the replacements that failed in nothing but ids that exist, and for certain (see
// isTaken); nil: it failed in something else. The rest is sent again: MongoDB has carried it out, but that an unordered
// bulk goes on behind a failure is not true of every server (FerretDB 1.24 stops there).
func butTaken(models []mongo.WriteModel, err error) []mongo.WriteModel {
	var bulk mongo.BulkWriteException
	if !errors.As(err, &bulk) || bulk.WriteConcernError != nil || len(bulk.WriteErrors) == 0 {
		return nil
	}
	taken := map[int]bool{}
	for _, one := range bulk.WriteErrors {
		if one.Code != codeDuplicateKey || one.Index < 0 || one.Index >= len(models) {
			return nil
		}
		taken[one.Index] = true
	}
	rest := make([]mongo.WriteModel, 0, len(models)-len(taken))
	for i, m := range models {
		if !taken[i] {
			rest = append(rest, m)
		}
	}
	return rest
}

// Count implements store.Counter, from the collection's metadata: exact when nobody writes and no member has crashed
// since (MongoDB manual, "count"); nothing is decided by it.
func (e *Engine) Count(ctx context.Context, coll string) (int64, error) {
	inner, c, end, err := e.begin(ctx, coll)
	if err != nil {
		return 0, err
	}
	defer end()
	n, err := c.c.EstimatedDocumentCount(inner)
	if err != nil {
		return 0, fmt.Errorf("count: %w", e.classify(ctx, "count "+coll, err))
	}
	return n, nil
}

// Server is what the primary says of itself (MongoDB manual, "hello").
type Server struct {
	Now        time.Time // its clock; zero if it did not say
	ReplicaSet string    // "" for a single machine, or behind a router
	Members    int       // of the replica set that can hold data and are visible
}

// Hello asks the primary about itself. ErrUnavailable.
func (e *Engine) Hello(ctx context.Context) (Server, error) {
	inner, end, err := e.enter(ctx, e.timeout)
	if err != nil {
		return Server{}, err
	}
	defer end()
	var answer struct {
		LocalTime time.Time `bson:"localTime"`
		SetName   string    `bson:"setName"`
		Hosts     []string  `bson:"hosts"`
		Passives  []string  `bson:"passives"`
	}
	if err := e.db.RunCommand(inner, bson.D{{Key: "hello", Value: 1}}).Decode(&answer); err != nil {
		return Server{}, e.classify(ctx, "hello", err)
	}
	return Server{Now: answer.LocalTime, ReplicaSet: answer.SetName, Members: len(answer.Hosts) + len(answer.Passives)}, nil
}
