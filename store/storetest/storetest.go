// Package storetest chooses the store engine that tests run on, so that one test is evidence on all of them. It must
// not be used outside of tests, or know what is stored.
//
// TRIFECTA_TEST_ENGINE is mem, sqlite or wire (a stand-in of MongoDB that speaks its protocol and judges every
// command); TRIFECTA_TEST_MONGODB_URI is a real MongoDB server and wins. Without either, a test runs on what it names.
package storetest

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mem"
	"github.com/trifecta-pay/trifecta/store/mongo"
	"github.com/trifecta-pay/trifecta/store/mongo/mongotest"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
	"github.com/trifecta-pay/trifecta/store/sqlite"
)

// The engines a test can run on.
const (
	Mem    = "mem"
	SQLite = "sqlite"
	Wire   = "wire"
	Mongo  = "mongodb"
)

// EnvEngine names the environment variable that chooses the engine.
const EnvEngine = "TRIFECTA_TEST_ENGINE"

// Engine is the engine that tests run on, normal unless the environment says another.
func Engine(normal string) string {
	if os.Getenv(mongotest.EnvURI) != "" {
		return Mongo
	}
	if e := os.Getenv(EnvEngine); e != "" {
		return e
	}
	return normal
}

// Store is an empty store with its indexes, for one test.
type Store struct {
	// URL is what a configuration says: sqlite:FILE or mongodb://….
	URL string
	// Wire is the stand-in that the URL leads to, nil for every other engine.
	Wire *wiretest.Server
}

// New makes a store on the chosen engine (mem has no URL: then sqlite). o is for the stand-in.
func New(t testing.TB, normal string, colls []store.Collection, o wiretest.Options) Store {
	t.Helper()
	var s Store
	switch e := Engine(normal); e {
	case SQLite, Mem:
		return Store{URL: "sqlite:" + filepath.Join(t.TempDir(), "shop.db")}
	case Wire:
		s.Wire = wiretest.Start(t, o)
		s.URL = s.Wire.URL("t_" + strings.ToLower(rand.Text()))
	case Mongo:
		s.URL = mongotest.Fresh(t, os.Getenv(mongotest.EnvURI))
	default:
		t.Fatalf("%s is %q: mem, sqlite or wire", EnvEngine, e)
	}
	e, err := mongo.Open(t.Context(), mongo.Options{URL: s.URL, Collections: colls})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

// Open opens an empty engine of the chosen kind and closes it when the test ends.
func Open(t testing.TB, normal string, colls []store.Collection) store.Engine {
	t.Helper()
	if Engine(normal) == Mem {
		e, err := mem.New(colls)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	return OpenAt(t, New(t, normal, colls, wiretest.Options{}).URL, colls)
}

// OpenAt opens the store at a URL, once more if it is MongoDB, and closes it when the test ends.
func OpenAt(t testing.TB, url string, colls []store.Collection) store.Engine {
	t.Helper()
	e, err := open(t, url, colls)
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

func open(t testing.TB, url string, colls []store.Collection) (store.Engine, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Collections: colls})
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", url, err)
		}
		return e, nil
	}
	e, err := mongo.Open(t.Context(), mongo.Options{URL: url, Collections: colls})
	if err != nil {
		return nil, fmt.Errorf("open MongoDB: %w", err)
	}
	return e, nil
}
