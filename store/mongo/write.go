package mongo

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/trifecta-pay/trifecta/store"
)

type attemptsKey struct{}

// countAttempts makes the driver tell how often it sent a command: it repeats a write whose answer was lost, and a
// server that kept no record of the first one (retryable writes off, records expired) then reports our own write as
// somebody else's. The Engine must answer "unknown" there.
func countAttempts() *event.CommandMonitor {
	return &event.CommandMonitor{Started: func(ctx context.Context, _ *event.CommandStartedEvent) {
		if n, ok := ctx.Value(attemptsKey{}).(*atomic.Int32); ok {
			n.Add(1)
		}
	}}
}

// withAttempts returns a context whose commands are counted.
func withAttempts(ctx context.Context) (context.Context, func() (repeated bool)) {
	n := new(atomic.Int32)
	return context.WithValue(ctx, attemptsKey{}, n), func() bool { return n.Load() > 1 }
}

// Insert implements store.Engine.
func (e *Engine) Insert(ctx context.Context, coll string, d store.Doc) error {
	inner, c, end, err := e.begin(ctx, coll)
	if err != nil {
		return err
	}
	defer end()
	if d, err = c.decl.Checked(d); err != nil {
		return err
	}
	inner, repeated := withAttempts(inner)
	_, err = c.c.InsertOne(inner, encode(d, 1))
	switch {
	case err == nil:
		return nil
	case isTaken(err) && repeated():
		return fmt.Errorf("%w: insert %s %s was sent twice, and the id is taken: perhaps by the first", store.ErrUnavailable, coll, d.ID)
	case isTaken(err):
		return fmt.Errorf("%w: %s %s", store.ErrExists, coll, d.ID)
	}
	return e.classify(ctx, "insert "+coll+" "+d.ID, err)
}

// Replace implements store.Engine. An update that matches nothing still waits for the majority (MongoDB manual, "Write
// Concern": a no-op waits for the last operation), so a read after ErrConflict sees what caused it.
func (e *Engine) Replace(ctx context.Context, coll string, d store.Doc, ifVersion int64) error {
	inner, c, end, err := e.begin(ctx, coll)
	if err != nil {
		return err
	}
	defer end()
	if d, err = c.decl.Checked(d); err != nil {
		return err
	}
	inner, repeated := withAttempts(inner)
	res, err := c.c.ReplaceOne(inner, atVersion(d.ID, ifVersion), encode(d, ifVersion+1))
	if err != nil {
		return e.classify(ctx, "replace "+coll+" "+d.ID, err)
	}
	return casResult(res.MatchedCount, repeated(), coll, d.ID, ifVersion)
}

// Delete implements store.Engine.
func (e *Engine) Delete(ctx context.Context, coll, id string, ifVersion int64) error {
	inner, c, end, err := e.begin(ctx, coll)
	if err != nil {
		return err
	}
	defer end()
	inner, repeated := withAttempts(inner)
	res, err := c.c.DeleteOne(inner, atVersion(id, ifVersion))
	if err != nil {
		return e.classify(ctx, "delete "+coll+" "+id, err)
	}
	return casResult(res.DeletedCount, repeated(), coll, id, ifVersion)
}

func atVersion(id string, version int64) bson.D {
	return bson.D{{Key: idField, Value: id}, {Key: versionField, Value: version}}
}

func casResult(matched int64, repeated bool, coll, id string, version int64) error {
	switch {
	case matched == 1:
		return nil
	case repeated:
		return fmt.Errorf("%w: a write to %s %s was sent twice and now finds no version %d: perhaps the first changed it", store.ErrUnavailable, coll, id, version)
	}
	return fmt.Errorf("%w: %s %s is not at version %d", store.ErrConflict, coll, id, version)
}

// isTaken tells that the id exists, and for certain: a write concern error beside it would mean that the document in
// the way may yet be rolled back.
func isTaken(err error) bool {
	var we mongo.WriteException
	return errors.As(err, &we) && we.WriteConcernError == nil && mongo.IsDuplicateKeyError(we)
}
