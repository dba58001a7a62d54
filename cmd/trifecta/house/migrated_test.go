package house

import (
	"errors"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
)

// Promise: a server that was built just before a migration into its store began does
// not serve; the migration in turn sees one that has entered.
func TestEnterRefusesHalfAStore(t *testing.T) {
	t.Parallel()
	e, c := shared(t), &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	h := build(t, e, c)
	if err := h.Enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	if live, err := store.ScanPresences(t.Context(), e, c.now); err != nil || len(live) != 1 {
		t.Errorf("after entering: %v, %v", live, err)
	}
	late := build(t, e, c)
	m := store.Migration{Source: "sqlite:/old.db", State: store.MigrationCopying, Owner: "x", StartedAt: c.now, UpdatedAt: c.now, Until: c.now}
	if _, err := store.NewMigrations(e).Begin(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if err := late.Enter(t.Context()); !errors.Is(err, store.ErrMigrating) {
		t.Errorf("it entered half a store: %v", err)
	}
}
