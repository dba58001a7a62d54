package wiretest

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// maxViolations is enough to see what is wrong.
const maxViolations = 30

// judge holds a command against what we promise of every command: see the package's users for why. The caller holds
// the lock.
func (s *Server) judge(req request, raw []byte) {
	for i, secret := range s.o.Secrets {
		if bytes.Contains(raw, []byte(secret)) {
			s.violation("%s %s holds secret number %d in clear", req.name, req.coll, i)
		}
	}
	if ms := number(req.get("maxTimeMS")); needsDeadline(req.name) && ms <= 0 {
		s.violation("%s %s has no deadline (maxTimeMS)", req.name, req.coll)
	} else if isData(req.name) && time.Duration(ms)*time.Millisecond > s.o.LongestCommand {
		s.violation("%s %s has a deadline of %d ms", req.name, req.coll, ms)
	}
	concern := document(req.get("writeConcern"))
	if isWrite(req.name) && (value(concern, "w") != "majority" || value(concern, "j") != true) {
		s.violation("%s %s is written with %v, not w:majority j:true", req.name, req.coll, concern)
	}
	if isRead(req.name) && value(document(req.get("readConcern")), "level") != "majority" {
		s.violation("%s in %s reads with %v, not majority", req.name, req.coll, req.get("readConcern"))
	}
	if p := document(req.get("$readPreference")); p != nil && value(p, "mode") != "primary" && req.name != "saslStart" {
		s.violation("%s %s reads from %v", req.name, req.coll, value(p, "mode"))
	}
	for _, list := range []string{"updates", "deletes"} {
		for _, one := range array(req.get(list)) {
			if id := value(document(value(document(one), "q")), "_id"); id == nil || isOperators(id) {
				s.violation("%s in %s does not name one _id", req.name, req.coll)
			}
			if value(document(one), "multi") == true {
				s.violation("%s in %s is multi", req.name, req.coll)
			}
			if value(document(one), "upsert") == true && !byIDAndVersion(document(value(document(one), "q"))) { // copying a whole store
				s.violation("upsert in %s depends on more than the _id and the version", req.coll)
			}
		}
	}
}

// byIDAndVersion says whether a filter is an _id and a range of versions: then a document that is in the way of an
// upsert has that very _id.
func byIDAndVersion(q bson.D) bool {
	return len(q) == 2 && q[0].Key == "_id" && q[1].Key == "v" && isOperators(q[1].Value)
}

func (s *Server) violation(format string, args ...any) {
	v := fmt.Sprintf(format, args...)
	if len(s.violations) < maxViolations && !slices.Contains(s.violations, v) {
		s.violations = append(s.violations, v)
	}
}

func isData(name string) bool {
	return isRead(name) || slices.Contains([]string{"insert", "update", "delete", "ping"}, name)
}

func isRead(name string) bool { return name == "find" || name == "count" }

func isWrite(name string) bool {
	return slices.Contains([]string{"insert", "update", "delete", "createIndexes", "findAndModify", "create"}, name)
}

// needsDeadline: a getMore goes on under its find's deadline (a server refuses one of its own), the others are the
// driver's housekeeping, or a test's clearing up.
func needsDeadline(name string) bool {
	return !slices.Contains([]string{"getMore", "killCursors", "endSessions", "saslStart", "dropDatabase"}, name)
}

// judgeFind checks that one existing index serves the whole of a find: equality on its first fields, then at most one
// range and the sort in the index's own order. Anything else is a scan or a sort in memory.
func (s *Server) judgeFind(req request, c *collection, filter, sort bson.D, hint string) {
	var equal []string
	ranged := ""
	for _, f := range filter {
		switch {
		case !isOperators(f.Value):
			equal = append(equal, f.Key)
		case f.Key == "_id" && value(document(f.Value), "$in") != nil && len(filter) == 1 && len(sort) == 0:
			return // ids by the index on ids
		case ranged != "":
			s.violation("find in %s has ranges on two fields: %v", req.coll, fieldsOf(filter))
			return
		default:
			ranged = f.Key
		}
	}
	for _, ix := range c.indexes {
		if hint != "" && ix.name != hint {
			continue
		}
		if serves(ix.keys, equal, ranged, sort) {
			return
		}
	}
	s.violation("find in %s by %v sorted by %v is served by no index (hint %q)", req.coll, fieldsOf(filter), fieldsOf(sort), hint)
}

func serves(keys bson.D, equal []string, ranged string, sort bson.D) bool {
	var order []string // of the index
	for _, k := range keys {
		order = append(order, k.Key)
	}
	n := 0
	for n < len(order) && slices.Contains(equal, order[n]) {
		n++
	}
	if n != len(equal) {
		return false
	}
	if ranged != "" && (n >= len(order) || order[n] != ranged) {
		return false
	}
	rest := order[n:]
	way := int64(0)
	for _, f := range sort {
		if slices.Contains(equal, f.Key) {
			continue // one value: no order to make
		}
		if len(rest) == 0 || rest[0] != f.Key || way != 0 && way != number(f.Value) {
			return false
		}
		way, rest = number(f.Value), rest[1:]
	}
	return true
}

func fieldsOf(d bson.D) []string {
	names := make([]string, 0, len(d))
	for _, e := range d {
		names = append(names, e.Key)
	}
	return names
}
