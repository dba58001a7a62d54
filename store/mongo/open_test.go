package mongo

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
)

// Guards: what a URL asks for never weakens a write or a read, and what can't be right is refused without its password.
func TestURL(t *testing.T) {
	t.Parallel()
	s := wiretest.Start(t, wiretest.Options{}) // judges every command
	e := migrated(t, s.URL("t")+"&w=1&journal=false&readConcernLevel=local&readPreference=secondary&retryWrites=false&compressors=zlib", enginetest.Collections())
	if err := e.Insert(t.Context(), things, store.Doc{ID: "a", Body: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Get(t.Context(), things, "a"); err != nil {
		t.Fatal(err)
	}
	const canary = "canary/pass%word"
	for name, url := range map[string]string{
		"no scheme":       "localhost/t",
		"other scheme":    "postgres://u:" + canary + "@h/t",
		"no database":     "mongodb://u:canary@127.0.0.1:1/?replicaSet=x",
		"bad database":    "mongodb://u:canary@127.0.0.1:1/a.b",
		"bad password":    "mongodb://u:" + canary + "@127.0.0.1:1/t",
		"bad option":      "mongodb://u:canary@127.0.0.1:1/t?replicaSet=x&w=-3",
		"direct":          "mongodb://u:canary@127.0.0.1:1/t?directConnection=true",
		"unwritable port": "mongodb://u:canary@127.0.0.1:99999/t",
		"no host":         "mongodb://u:canary/t",
		"no host, later":  "mongodb://127.0.0.1:1,u:canary/t?replicaSet=x",
	} {
		_, err := Open(t.Context(), Options{URL: url, Collections: enginetest.Collections(), SelectionTimeout: 100 * time.Millisecond})
		if !errors.Is(err, store.ErrInvalid) && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error holds the password: %v", name, err)
		}
	}
}

// Guards: why a URL can't be read is withheld where it may hold a password, and told where it can't.
func TestWhyURLIsRefused(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]bool{
		"mongodb://u:canary@h/t": true, "mongodb://u:canary/t": true, "mongodb://h:1,u:4canary/t": true, "mongodb://h/t?tlsCertificateKeyFilePassword=x": true,
		"mongodb://h/t?w=-3": false, "mongodb://h:27017,h2:27018/t?w=-3": false, "mongodb+srv://h.test/t?x=a:b": false,
	} {
		if got := mayHoldPassword(url); got != want {
			t.Errorf("%s: withheld %v, want %v", url, got, want)
		}
	}
}

// Guards: a password goes over the wire in no clear form, and into no error.
func TestPassword(t *testing.T) {
	t.Parallel()
	s := wiretest.Start(t, wiretest.Options{Secrets: []string{"canary-pass%", "canary-pass%25"}})
	url := strings.Replace(s.URL("t"), "mongodb://", "mongodb://canary-user:canary-pass%25@", 1)
	_, err := Open(t.Context(), Options{URL: url, Collections: enginetest.Collections()})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a wrong password: %v", err)
	}
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "uthenticat") {
		t.Errorf("the error: %v", err)
	}
	if s.Count("saslStart") == 0 {
		t.Error("it never tried to log in")
	}
}

// Guards: a document that we did not write like that is an error that names it, not a panic and not an outage.
func TestForeignDocuments(t *testing.T) {
	t.Parallel()
	_, e := rig(t, wiretest.Options{})
	for name, d := range map[string]bson.D{
		"no version":  {{Key: "_id", Value: "no version"}, {Key: "b", Value: "{}"}},
		"text":        {{Key: "_id", Value: "text"}, {Key: "v", Value: "1"}, {Key: "b", Value: "{}"}},
		"zero":        {{Key: "_id", Value: "zero"}, {Key: "v", Value: int64(0)}, {Key: "b", Value: "{}"}},
		"binary body": {{Key: "_id", Value: "binary body"}, {Key: "v", Value: int64(1)}, {Key: "b", Value: []byte("{}")}},
		"odd field":   {{Key: "_id", Value: "odd field"}, {Key: "v", Value: int64(1)}, {Key: "b", Value: "{}"}, {Key: "app", Value: bson.D{}}},
		"odd array":   {{Key: "_id", Value: "odd array"}, {Key: "v", Value: int64(1)}, {Key: "b", Value: "{}"}, {Key: "tags", Value: bson.A{int64(1)}}},
	} {
		ctx, end, err := e.enter(t.Context(), e.timeout)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.db.Collection(things).InsertOne(ctx, d); err != nil {
			t.Fatal(err)
		}
		end()
		_, err = e.Get(t.Context(), things, name)
		if err == nil || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), things) {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := bson.D{{Key: "_id", Value: "newer"}, {Key: "v", Value: int64(3)}, {Key: "b", Value: "{}"}, {Key: "later", Value: int32(1)}}
	ctx, end, err := e.enter(t.Context(), e.timeout)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if _, err := e.db.Collection(things).InsertOne(ctx, newer); err != nil {
		t.Fatal(err)
	}
	if d, err := e.Get(t.Context(), things, "newer"); err != nil || d.Version != 3 || len(d.Index) != 0 {
		t.Errorf("a field of a newer program: %+v, %v", d, err)
	}
}
