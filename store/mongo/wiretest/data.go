package wiretest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

type collection struct {
	docs    map[any]*stored
	indexes []index
}

type index struct {
	name string
	keys bson.D
	spec bson.D

	building bool // listed, and not to be used yet
}

type stored struct {
	id     any
	raw    bson.Raw
	fields map[string]any
}

func (d *stored) set(doc bson.D) {
	doc = withID(doc, d.id) // a replacement keeps the id
	raw, err := bson.Marshal(doc)
	if err != nil {
		panic(err) // it came from BSON
	}
	d.raw, d.fields = raw, map[string]any{}
	for _, e := range doc {
		d.fields[e.Key] = e.Value
	}
}

func withID(doc bson.D, id any) bson.D {
	if value(doc, "_id") != nil {
		return doc
	}
	return append(bson.D{{Key: "_id", Value: id}}, doc...)
}

// collection finds a collection, or makes it as a write or an index does.
func (s *Server) collection(db, name string, create bool) *collection {
	c := s.dbs[db][name]
	if c == nil && create {
		if s.dbs[db] == nil {
			s.dbs[db] = map[string]*collection{}
		}
		key := bson.D{{Key: "_id", Value: int32(1)}}
		c = &collection{docs: map[any]*stored{}, indexes: []index{{name: "_id_", keys: key, spec: bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: key}, {Key: "name", Value: "_id_"}}}}}
		s.dbs[db][name] = c
	}
	return c
}

func (c *collection) insert(doc bson.D) bool {
	id := value(doc, "_id")
	if c.docs[id] != nil {
		return false
	}
	d := &stored{id: id}
	d.set(doc)
	c.docs[id] = d
	return true
}

// only finds the one document with the filter's _id, if it matches.
func (c *collection) only(filter bson.D) (*stored, error) {
	d := c.docs[value(filter, "_id")]
	if d == nil {
		return nil, nil
	}
	ok, err := matches(d, filter)
	if !ok {
		return nil, err
	}
	return d, nil
}

func (c *collection) find(filter, sort bson.D) ([]bson.Raw, error) {
	var hits []*stored
	for _, d := range c.candidates(filter) {
		ok, err := matches(d, filter)
		if err != nil {
			return nil, err
		}
		if ok {
			hits = append(hits, d)
		}
	}
	slices.SortFunc(hits, func(a, b *stored) int {
		for _, s := range sort {
			if order := compare(a.fields[s.Key], b.fields[s.Key]); order != 0 {
				return order * int(number(s.Value))
			}
		}
		return 0
	})
	out := make([]bson.Raw, 0, len(hits))
	for _, d := range hits {
		out = append(out, d.raw)
	}
	return out, nil
}

// candidates are all documents, or those that the filter names by id.
func (c *collection) candidates(filter bson.D) []*stored {
	var out []*stored
	ids := array(value(document(value(filter, "_id")), "$in"))
	if id := value(filter, "_id"); id != nil && !isOperators(id) {
		ids = bson.A{id}
	}
	if ids != nil {
		for _, id := range ids {
			if d := c.docs[id]; d != nil {
				out = append(out, d)
			}
		}
		return out
	}
	for _, d := range c.docs {
		out = append(out, d)
	}
	return out
}

// matches knows equality, $in, $ne null and ranges, with MongoDB's rule that a range compares within one type only.
func matches(d *stored, filter bson.D) (bool, error) {
	for _, f := range filter {
		if strings.HasPrefix(f.Key, "$") {
			return false, errors.New("wiretest: no " + f.Key)
		}
		have := d.fields[f.Key]
		ops, isOps := f.Value.(bson.D)
		if !isOperators(f.Value) {
			if !anyOf(have, func(v any) bool { return sameType(v, f.Value) && compare(v, f.Value) == 0 }) {
				return false, nil
			}
			continue
		}
		if !isOps {
			return false, errors.New("wiretest: malformed operators")
		}
		for _, op := range ops {
			ok, err := holds(have, op)
			if err != nil || !ok {
				return false, err
			}
		}
	}
	return true, nil
}

func holds(have any, op bson.E) (bool, error) {
	ranged := func(fits func(order int) bool) (bool, error) {
		return anyOf(have, func(v any) bool { return sameType(v, op.Value) && fits(compare(v, op.Value)) }), nil
	}
	switch op.Key {
	case "$gt":
		return ranged(func(o int) bool { return o > 0 })
	case "$gte":
		return ranged(func(o int) bool { return o >= 0 })
	case "$lt":
		return ranged(func(o int) bool { return o < 0 })
	case "$lte":
		return ranged(func(o int) bool { return o <= 0 })
	case "$ne":
		if op.Value != nil {
			return false, errors.New("wiretest: $ne knows null only")
		}
		return have != nil, nil
	case "$in":
		list, ok := op.Value.(bson.A)
		if !ok {
			return false, errors.New("wiretest: $in needs an array")
		}
		return anyOf(have, func(v any) bool {
			return slices.ContainsFunc(list, func(w any) bool { return sameType(v, w) && compare(v, w) == 0 })
		}), nil
	}
	return false, errors.New("wiretest: no " + op.Key)
}

// anyOf tells whether the value, or one element of an array, fits.
func anyOf(have any, fits func(any) bool) bool {
	if list, ok := have.(bson.A); ok {
		return slices.ContainsFunc(list, fits)
	}
	return fits(have)
}

// rank is BSON's order of types, of those that we use.
func rank(v any) int {
	switch v.(type) {
	case nil:
		return 1
	case int32, int64:
		return 2
	case string:
		return 3
	case bool:
		return 8
	case bson.DateTime:
		return 9
	default:
		return 99
	}
}

func sameType(a, b any) bool { return rank(a) == rank(b) && rank(a) < 99 }

func compare(a, b any) int {
	if order := cmp.Compare(rank(a), rank(b)); order != 0 {
		return order
	}
	switch a := a.(type) {
	case string:
		b, _ := b.(string)
		return bytes.Compare([]byte(a), []byte(b))
	case bool:
		b, _ := b.(bool)
		return cmp.Compare(truth(a), truth(b))
	case bson.DateTime:
		b, _ := b.(bson.DateTime)
		return cmp.Compare(a, b)
	}
	return cmp.Compare(number(a), number(b))
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s *Server) createIndexes(req request) bson.D {
	c := s.collection(req.db, req.coll, true)
	for _, one := range array(req.get("indexes")) {
		spec := document(one)
		name, _ := value(spec, "name").(string)
		ix := index{name: name, keys: document(value(spec, "key")), spec: append(bson.D{{Key: "v", Value: int32(2)}}, spec...)}
		exists := false
		for i, old := range c.indexes {
			sameKeys := fmt.Sprint(old.keys) == fmt.Sprint(ix.keys)
			switch {
			case old.name == name && fmt.Sprint(old.spec) == fmt.Sprint(ix.spec):
				exists, c.indexes[i].building = true, false // MongoDB waits for the build that is under way
			case old.name == name:
				return fail(req, indexKeysConflict, "An existing index has the same name as the requested index")
			case sameKeys:
				return fail(req, indexOptionsConflict, "Index already exists with a different name: "+old.name)
			}
		}
		if !exists {
			c.indexes = append(c.indexes, ix)
		}
	}
	return bson.D{{Key: "ok", Value: 1}}
}

func (s *Server) listIndexes(req request) bson.D {
	c := s.collection(req.db, req.coll, false)
	if c == nil {
		return fail(req, namespaceNotFound, "ns does not exist: "+req.ns())
	}
	var docs []bson.Raw
	for _, ix := range c.indexes {
		row := ix.spec
		if told, _ := req.get("includeBuildUUIDs").(bool); ix.building && told {
			row = bson.D{{Key: "spec", Value: ix.spec}, {Key: "buildUUID", Value: bson.Binary{Subtype: bson.TypeBinaryUUID, Data: make([]byte, 16)}}}
		}
		raw, err := bson.Marshal(row)
		if err != nil {
			panic(err) // it came from BSON
		}
		docs = append(docs, raw)
	}
	return cursorReply(0, req.ns(), docs, "firstBatch")
}

// Build makes an existing index one that is being built, until it is created again. MongoDB lists such an index like any
// other, and tells the two apart only to who asks with includeBuildUUIDs (its source, list_indexes.cpp).
func (s *Server) Build(t testing.TB, db, coll, name string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.collection(db, coll, false)
	at := -1
	if c != nil {
		at = slices.IndexFunc(c.indexes, func(ix index) bool { return ix.name == name })
	}
	if at < 0 {
		t.Fatalf("no index %s of %s.%s", name, db, coll)
	}
	c.indexes[at].building = true
}

// AddIndex adds an index on one field, of the field's name, as somebody does by hand. option is how it differs from a plain
// one ("unique"), "" if it doesn't.
func (s *Server) AddIndex(db, coll, field, option string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := bson.D{{Key: field, Value: int32(1)}}
	spec := bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: keys}, {Key: "name", Value: field}}
	if option != "" {
		spec = append(spec, bson.E{Key: option, Value: value})
	}
	c := s.collection(db, coll, true)
	c.indexes = append(c.indexes, index{name: field, keys: keys, spec: spec})
}

func (s *Server) listCollections(req request) bson.D {
	var docs []bson.Raw
	for name := range s.dbs[req.db] {
		if only := value(document(req.get("filter")), "name"); only != nil && only != name {
			continue
		}
		raw, err := bson.Marshal(bson.D{{Key: "name", Value: name}, {Key: "type", Value: "collection"}, {Key: "options", Value: bson.D{}}})
		if err != nil {
			panic(err) // two strings
		}
		docs = append(docs, raw)
	}
	return cursorReply(0, req.db+".$cmd.listCollections", docs, "firstBatch")
}

func value(d bson.D, key string) any {
	for _, e := range d {
		if e.Key == key {
			return e.Value
		}
	}
	return nil
}

func document(v any) bson.D {
	d, _ := v.(bson.D)
	return d
}

func array(v any) bson.A {
	a, _ := v.(bson.A)
	return a
}

// number reads the integers that commands hold, 0 for anything else.
func number(v any) int64 {
	switch v := v.(type) {
	case int32:
		return int64(v)
	case int64:
		return v
	case int:
		return int64(v)
	}
	return 0
}

// isOperators tells {$gt: …} from a value.
func isOperators(v any) bool {
	d, ok := v.(bson.D)
	return ok && len(d) > 0 && strings.HasPrefix(d[0].Key, "$")
}

// Databases are the names of those that hold a collection, sorted.
func (s *Server) Databases() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.dbs))
}
