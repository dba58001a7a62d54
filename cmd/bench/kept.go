package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/sqlite"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// kept looks whether every webhook that was answered 200 is stored: a receiver that stores
// none would be the fastest. The store is read while the gateway is stopped. A MongoDB is
// not looked into.
func (t *town) kept(ctx context.Context) error {
	if t.o.mongo != "" {
		t.progress("whether the %d webhooks answered 200 are stored was not looked at: this is done for SQLite only", len(t.hooked))
		return nil
	}
	t.gateway.stop()
	stored, err := t.storedEvents(ctx)
	if err != nil {
		return err
	}
	for _, id := range t.hooked {
		if !stored[inbox.RecordID("stripe", "stripe-bench", false, id)] {
			return fmt.Errorf("the webhook %s was answered 200 and is not stored", id)
		}
	}
	say("webhooks: %d were answered 200, and are stored", len(t.hooked))
	return t.serve(ctx)
}

// storedEvents are the ids of all webhooks in the gateway's store.
func (t *town) storedEvents(ctx context.Context) (ids map[string]bool, err error) {
	engine, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(t.dir, "bench.db"), Collections: store.Collections()})
	if err != nil {
		return nil, fmt.Errorf("look into the store: %w", err)
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	ids = map[string]bool{}
	for after := ""; ; {
		docs, next, err := engine.Scan(ctx, store.InboxCollection().Name, after, 500)
		if err != nil {
			return nil, fmt.Errorf("look into the store: %w", err)
		}
		for _, d := range docs {
			ids[d.ID] = true
		}
		if after = next; after == "" {
			return ids, nil
		}
	}
}
