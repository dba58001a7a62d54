package mongotest_test

import (
	"testing"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
	"github.com/trifecta-pay/trifecta/store/mongo/mongotest"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
	"github.com/trifecta-pay/trifecta/store/storetest"
)

// Guards: each test has a database of its own on a shared server, and leaves nothing behind.
func TestFreshDatabases(t *testing.T) {
	s := wiretest.Start(t, wiretest.Options{})
	t.Setenv(mongotest.EnvURI, s.URL("")) // the stand-in as the real server
	for range 2 {
		t.Run("test", func(t *testing.T) {
			e := storetest.Open(t, storetest.Mem, enginetest.Collections())
			if err := e.Insert(t.Context(), "things", store.Doc{ID: "same", Body: []byte(`{}`)}); err != nil {
				t.Error(err)
			}
		})
	}
	if n := s.Count("dropDatabase"); n != 2 {
		t.Errorf("%d databases were dropped, want 2", n)
	}
	if left := s.Databases(); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
