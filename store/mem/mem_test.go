package mem_test

import (
	"testing"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
	"github.com/trifecta-pay/trifecta/store/mem"
)

// Guards: the engine that unit tests and the simulator use means the same as the real ones.
func TestConformance(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, func(t *testing.T, colls []store.Collection) store.Engine {
		e, err := mem.New(colls)
		if err != nil {
			t.Fatal(err)
		}
		return e
	})
}
