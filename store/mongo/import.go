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
	if _, err := c.c.BulkWrite(inner, models, options.BulkWrite().SetOrdered(false)); err != nil && !allTaken(err) {
		return e.classify(ctx, "import into "+coll, err)
	}
	return nil
}

// allTaken tells that a bulk failed in nothing but ids that exist, and for certain (see isTaken).
func allTaken(err error) bool {
	var bulk mongo.BulkWriteException
	if !errors.As(err, &bulk) || bulk.WriteConcernError != nil || len(bulk.WriteErrors) == 0 {
		return false
	}
	for _, one := range bulk.WriteErrors {
		if one.Code != codeDuplicateKey {
			return false
		}
	}
	return true
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
