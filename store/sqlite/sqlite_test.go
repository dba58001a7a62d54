package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
)

func openAt(t testing.TB, path string, colls []store.Collection) *Engine {
	t.Helper()
	e, err := Open(t.Context(), Options{Path: path, Collections: colls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// Guards: SQLite means the same as the other engines.
func TestConformance(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, func(t *testing.T, colls []store.Collection) store.Engine {
		return openAt(t, filepath.Join(t.TempDir(), "t.db"), colls)
	})
}
