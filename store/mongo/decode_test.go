package mongo

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/trifecta-pay/trifecta/store"
)

// FuzzDecode: a stored document of any bytes is refused or is one that we could have
// written: it is written again as the same document (the 10th target of the security
// plan: a garbage row is an error, never a panic).
func FuzzDecode(f *testing.F) {
	decl := store.Collection{Name: "c", Indexes: []store.Index{
		{Name: "by_s", Fields: []string{"s", "t"}},
		{Name: "by_i", Fields: []string{"i"}},
		{Name: "by_b", Fields: []string{"b1"}},
		{Name: "by_a", Fields: []string{"a"}, Array: "a"},
	}}
	c := &collection{decl: decl, fields: map[string]bool{}}
	for _, name := range decl.Fields() {
		c.fields[name] = true
	}
	add := func(d bson.D) {
		raw, err := bson.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)-3])
	}
	at := time.UnixMilli(1_772_366_100_000).UTC()
	add(encode(store.Doc{ID: "x", Body: []byte(`{"a":1}`), Index: map[string]any{"s": "v", "t": at, "i": int64(5), "b1": true, "a": []string{"p", "q"}}}, 3))
	add(bson.D{{Key: "_id", Value: 5}, {Key: "v", Value: int64(1)}, {Key: "b", Value: "{}"}})
	add(bson.D{{Key: "_id", Value: "x"}, {Key: "v", Value: 1.5}, {Key: "b", Value: nil}})
	add(bson.D{{Key: "_id", Value: "x"}, {Key: "v", Value: int64(-1)}, {Key: "b", Value: "{}"}})
	add(bson.D{{Key: "_id", Value: "x"}, {Key: "_id", Value: "y"}, {Key: "v", Value: int64(1)}, {Key: "b", Value: "{}"}})
	add(bson.D{{Key: "_id", Value: "x"}, {Key: "v", Value: int64(1)}, {Key: "b", Value: "{}"}, {Key: "a", Value: bson.A{"p", 5, nil}}, {Key: "zz", Value: bson.D{{Key: "$gt", Value: ""}}}})
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := c.decode(bson.Raw(raw))
		if err != nil {
			return
		}
		again, err := bson.Marshal(encode(d, d.Version))
		if err != nil {
			t.Fatalf("%x was read as %+v, which can't be written: %v", raw, d, err)
		}
		back, err := c.decode(again)
		if diff := cmp.Diff(d, back); err != nil || diff != "" {
			t.Fatalf("%x was read as %+v and comes back otherwise: %v\n%s", raw, d, err, diff)
		}
	})
}
