package mongo

import (
	"crypto/rand"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
)

// Nearly all time goes into waiting for the driver to look for a primary (twice a second), so more tests than
// processors run at once.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func openAt(t testing.TB, url string, colls []store.Collection, more ...func(*Options)) *Engine {
	t.Helper()
	o := Options{URL: url, Collections: colls}
	for _, m := range more {
		m(&o)
	}
	e, err := Open(t.Context(), o)
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

func migrated(t testing.TB, url string, colls []store.Collection, more ...func(*Options)) *Engine {
	t.Helper()
	e := openAt(t, url, colls, more...)
	if _, err := e.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

// Guards: MongoDB means the same as the other engines, as far as the wire shows it.
func TestConformance(t *testing.T) {
	t.Parallel()
	s := wiretest.Start(t, wiretest.Options{})
	enginetest.Run(t, func(t *testing.T, colls []store.Collection) store.Engine {
		return migrated(t, s.URL("t_"+strings.ToLower(rand.Text())), colls)
	})
}

// Guards: the same with answers that come in many batches. What reads one document at a time has none.
func TestConformanceInSmallBatches(t *testing.T) {
	t.Parallel()
	s := wiretest.Start(t, wiretest.Options{MaxBatchBytes: 1500})
	t.Cleanup(func() {
		if s.Count("getMore") == 0 {
			t.Error("no answer took a second batch")
		}
	})
	enginetest.Run(t, func(t *testing.T, colls []store.Collection) store.Engine {
		for _, single := range []string{"/UpdateCounter", "/InsertRace", "/ReplaceRace"} {
			if strings.HasSuffix(t.Name(), single) {
				t.Skip("no answer holds more than one document")
			}
		}
		return migrated(t, s.URL("t_"+strings.ToLower(rand.Text())), colls)
	})
}
