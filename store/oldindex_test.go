package store_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/sqlite"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// Guards rotation over an upgrade: events that an older program indexed by a field that is declared no more are brought
// under the active key all the same, and keep being found by the fields that are.
func TestRecordsWithAnOldIndexAreResealed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop.db")
	older := slices.Clone(store.Collections())
	for i := range older {
		if older[i].Name == "inbox" {
			older[i].Indexes = append(slices.Clone(older[i].Indexes), store.Index{Name: "by_received", Fields: []string{"scope", "received"}})
		}
	}
	open := func(colls []store.Collection) store.Engine {
		t.Helper()
		e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Collections: colls})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	old := open(older)
	if _, _, err := store.NewInbox(sealed(t, old, "a", "a")).Insert(t.Context(), received(1, nil), []byte(`{"id":"evt"}`)); err != nil {
		t.Fatal(err)
	}
	d, err := old.Get(t.Context(), "inbox", "in_001")
	if err != nil {
		t.Fatal(err)
	}
	d.Index["scope"] = "all" // as the older program wrote it
	if err := old.Replace(named(t), "inbox", d, d.Version); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	now := open(store.Collections())
	defer func() { _ = now.Close() }()
	both := sealed(t, now, "b", "b", "a")
	if done, _, err := both.Reseal(t.Context(), "inbox", "", 10, true); err != nil || done.Failed > 0 || done.Written != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	s := store.NewInbox(sealed(t, now, "b", "b"))
	if body, err := s.Body(t.Context(), "in_001"); err != nil || string(body) != `{"id":"evt"}` {
		t.Errorf("%s, %v", body, err)
	}
	if found, _, err := s.List(t.Context(), inbox.Filter{Limit: 10}); err != nil || len(found) != 1 {
		t.Errorf("%d found, %v", len(found), err)
	}
}
