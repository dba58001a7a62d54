package mongo_test

import (
	"os"
	"testing"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
	"github.com/trifecta-pay/trifecta/store/mongo/mongotest"
	"github.com/trifecta-pay/trifecta/store/storetest"
)

// Guards: a real MongoDB means the same. This is the test that a release rests on; it needs a server (make test-mongo).
func TestConformanceRealServer(t *testing.T) {
	t.Parallel()
	if os.Getenv(mongotest.EnvURI) == "" {
		t.Skip(mongotest.EnvURI + " is not set")
	}
	enginetest.Run(t, func(t *testing.T, colls []store.Collection) store.Engine {
		return storetest.Open(t, storetest.Mongo, colls)
	})
}
