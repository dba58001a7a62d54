// Package mongotest gives each test a database of its own on a real MongoDB server. It must not be used outside of
// tests: it drops databases.
package mongotest

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/trifecta-pay/trifecta/store/mongo"
)

// EnvURI names the environment variable with the URL of a real server, for tests. A database in it is ignored; the
// user needs the right to make and drop databases whose names begin with "trifecta_test_".
const EnvURI = "TRIFECTA_TEST_MONGODB_URI"

const dropTimeout = 30 * time.Second

// Fresh returns the URL of a new database on the server at uri. It is dropped when the test ends, after what the test
// itself has registered to be closed later.
func Fresh(t testing.TB, uri string) string {
	t.Helper()
	name := "trifecta_test_" + strings.ToLower(rand.Text())
	url, err := mongo.WithDatabase(uri, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
		defer cancel()
		client, err := driver.Connect(options.Client().ApplyURI(url))
		if err != nil {
			t.Errorf("drop the test's database: can't connect")
			return
		}
		if err := client.Database(name).Drop(ctx); err != nil {
			t.Errorf("drop the test's database %s: %v", name, err)
		}
		if err := client.Disconnect(ctx); err != nil {
			t.Errorf("after dropping %s: %v", name, err)
		}
	})
	return url
}
