package house

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mongo"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
)

// Promise: a server doesn't start on a database whose index deletes records, and says so; one that somebody added and
// that only costs a little is told in the log, once.
func TestServeAndAddedIndexes(t *testing.T) {
	t.Parallel()
	set := wiretest.Start(t, wiretest.Options{})
	e, err := mongo.Open(t.Context(), mongo.Options{URL: set.URL("shop"), Collections: store.Collections()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	start := func() error {
		o := options(nil, &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)})
		o.Config.Store, o.Logger = config.NewSecret(set.URL("shop")), slog.New(slog.NewTextHandler(&log, nil))
		h, err := Build(t.Context(), o)
		if err != nil {
			return err
		}
		return h.Close()
	}
	set.AddIndex("shop", "payments", "reference", "", nil)
	if err := start(); err != nil || strings.Count(log.String(), "payments.reference") != 1 {
		t.Errorf("with an index too many: %v, log %s", err, &log)
	}
	set.AddIndex("shop", "payments", "created", "expireAfterSeconds", int32(3600))
	if err := start(); err == nil || !strings.Contains(err.Error(), "payments.created") || !strings.Contains(err.Error(), "deletes records") {
		t.Errorf("with an index that deletes payments: %v", err)
	}
}
