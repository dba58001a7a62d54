package mongo

import (
	"errors"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
)

// Guards every record against an index that somebody added: one by which MongoDB deletes records, or refuses some, is no
// harmless extra. It is told apart with what it would do, and migrate names it; a plain one stays an extra.
func TestIndexThatHarmsIsNoExtra(t *testing.T) {
	t.Parallel()
	s := wiretest.Start(t, wiretest.Options{})
	e := migrated(t, s.URL("t"), enginetest.Collections())
	s.AddIndex("t", things, "ttl", "expireAfterSeconds", int32(0))
	s.AddIndex("t", things, "one", "unique", true)
	s.AddIndex("t", things, "plain", "", nil)
	drifts, err := e.IndexDrift(t.Context())
	if err != nil || len(drifts) != 3 {
		t.Fatalf("%v, %v", drifts, err)
	}
	for _, d := range drifts {
		want := map[string]struct {
			kind Kind
			says string
		}{"ttl": {Different, "deletes records"}, "one": {Different, "refuses records"}, "plain": {Extra, "plain:1"}}[d.Index]
		if d.Kind != want.kind || !strings.Contains(d.String(), want.says) {
			t.Errorf("%s, want %s that says %q", d, want.kind, want.says)
		}
	}
	if _, err := e.Migrate(t.Context()); !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "things.ttl") || !strings.Contains(err.Error(), "things.one") || strings.Contains(err.Error(), "plain") {
		t.Errorf("migrate: %v", err)
	}
}
