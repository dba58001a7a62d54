package wiretest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// request is a command, taken apart.
type request struct {
	name, db, coll, session string
	txn                     int64
	cmd                     bson.D
}

func newRequest(cmd bson.D) request {
	r := request{name: cmd[0].Key, cmd: cmd}
	r.coll, _ = cmd[0].Value.(string)
	if r.name == "getMore" {
		r.coll, _ = value(cmd, "collection").(string)
	}
	r.db, _ = value(cmd, "$db").(string)
	if id, ok := value(document(r.get("lsid")), "id").(bson.Binary); ok {
		r.session = string(id.Data)
	}
	r.txn = number(r.get("txnNumber"))
	return r
}

func (r request) get(key string) any { return value(r.cmd, key) }

func isHello(name string) bool {
	return strings.EqualFold(name, "hello") || strings.EqualFold(name, "isMaster")
}

// hello describes the member and the set. A client that knows the present state may wait for the next (MongoDB's
// "server discovery and monitoring" specification, awaitable hello).
func (m *member) hello(req request) bson.D {
	s := m.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := document(req.get("topologyVersion")); v != nil && number(value(v, "counter")) == s.counter() {
		news := s.changed
		s.mu.Unlock()
		wait := time.NewTimer(time.Duration(number(req.get("maxAwaitTimeMS"))) * time.Millisecond)
		select {
		case <-news:
		case <-wait.C:
		}
		wait.Stop()
		s.mu.Lock()
	}
	hosts := bson.A{}
	for _, o := range s.members {
		hosts = append(hosts, o.known)
	}
	var election bson.ObjectID
	binary.BigEndian.PutUint64(election[4:], uint64(s.term))
	reply := bson.D{
		{Key: "ok", Value: 1},
		{Key: "helloOk", Value: true},
		{Key: "isWritablePrimary", Value: s.primary == m.n},
		{Key: "ismaster", Value: s.primary == m.n},
		{Key: "secondary", Value: s.primary != m.n},
		{Key: "setName", Value: setName},
		{Key: "setVersion", Value: int32(1)},
		{Key: "hosts", Value: hosts},
		{Key: "me", Value: m.known},
		{Key: "topologyVersion", Value: bson.D{{Key: "processId", Value: m.processID}, {Key: "counter", Value: s.counter()}}},
		{Key: "maxBsonObjectSize", Value: int32(16 << 20)},
		{Key: "maxMessageSizeBytes", Value: int32(48_000_000)},
		{Key: "maxWriteBatchSize", Value: int32(100_000)},
		{Key: "logicalSessionTimeoutMinutes", Value: int32(30)},
		{Key: "minWireVersion", Value: int32(0)},
		{Key: "maxWireVersion", Value: int32(21)}, // MongoDB 7.0
	}
	if s.primary >= 0 {
		reply = append(reply, bson.E{Key: "primary", Value: s.members[s.primary].known})
	}
	if s.primary == m.n {
		reply = append(reply, bson.E{Key: "electionId", Value: election})
	}
	return reply
}

// counter changes with every state of the set.
func (s *Server) counter() int64 {
	n := 2 * s.term
	if s.primary < 0 {
		n++
	}
	return n
}

// run carries out a command. The caller holds the lock.
func (m *member) run(req request) bson.D {
	s := m.set
	switch req.name {
	case "ping", "endSessions":
		return bson.D{{Key: "ok", Value: 1}}
	case "buildInfo":
		return bson.D{{Key: "ok", Value: 1}, {Key: "version", Value: "7.0.0-wiretest"}}
	case "saslStart":
		return fail(req, authFailed, "Authentication failed.")
	}
	if s.primary != m.n {
		if isWrite(req.name) || req.name == "dropDatabase" {
			return fail(req, NotWritablePrimary, "not primary")
		}
		return fail(req, notPrimarySecondary, "not primary and secondaryOk=false")
	}
	switch req.name {
	case "insert", "update", "delete":
		return s.write(req)
	case "find":
		return s.find(req)
	case "count": // without a query: from the collection's metadata
		n := 0
		if c := s.collection(req.db, req.coll, false); c != nil {
			n = len(c.docs)
		}
		return bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: int32(n)}}
	case "getMore", "killCursors":
		return s.moreOf(req)
	case "createIndexes":
		return s.createIndexes(req)
	case "listIndexes":
		return s.listIndexes(req)
	case "listCollections":
		return s.listCollections(req)
	case "dropDatabase":
		delete(s.dbs, req.db)
		return bson.D{{Key: "ok", Value: 1}}
	}
	s.violation("command %s is not one that we use", req.name)
	return fail(req, commandNotFound, "no such command: "+req.name)
}

// record is what a session's last retryable write was answered.
type record struct {
	txn   int64
	reply bson.D
}

// write does insert, update and delete, a repeated one only once. As on a real server, a write that changed nothing
// leaves no record and is done again.
func (s *Server) write(req request) bson.D {
	if req.txn > 0 && !s.o.NoRetryRecords {
		last, ok := s.records[req.session]
		switch {
		case ok && last.txn == req.txn:
			return last.reply
		case ok && last.txn > req.txn:
			return fail(req, transactionTooOld, "Retryable write is older than the session's last")
		}
	}
	c := s.collection(req.db, req.coll, true)
	n, upserted, failed := int32(0), bson.A(nil), bson.A(nil)
	switch req.name {
	case "insert":
		for i, one := range array(req.get("documents")) {
			if !c.insert(document(one)) {
				return duplicateReply(req, int32(i))
			}
			n++
		}
	case "update":
		var err error
		if n, upserted, failed, err = c.update(req); err != nil {
			return fail(req, failedToParse, err.Error())
		}
	case "delete":
		for _, one := range array(req.get("deletes")) {
			hit, err := c.only(document(value(document(one), "q")))
			if err != nil {
				return fail(req, failedToParse, err.Error())
			}
			if hit != nil {
				delete(c.docs, hit.id)
				n++
			}
		}
	}
	reply := bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: n}}
	if req.name == "update" {
		reply = append(reply, bson.E{Key: "nModified", Value: n - int32(len(upserted))})
	}
	if len(upserted) > 0 {
		reply = append(reply, bson.E{Key: "upserted", Value: upserted})
	}
	if len(failed) > 0 {
		reply = append(reply, bson.E{Key: "writeErrors", Value: failed})
	}
	if req.txn > 0 && n > 0 {
		s.records[req.session] = record{req.txn, reply}
	}
	return reply
}

// update replaces, or inserts, what each statement names. n counts those that did, failed are the others' errors.
func (c *collection) update(req request) (n int32, upserted, failed bson.A, err error) {
	for i, one := range array(req.get("updates")) {
		q, replacement := document(value(document(one), "q")), document(value(document(one), "u"))
		if len(replacement) == 0 || strings.HasPrefix(replacement[0].Key, "$") {
			return n, nil, nil, errors.New("wiretest: only replacements")
		}
		hit, err := c.only(q)
		if err != nil {
			return n, nil, nil, err
		}
		switch upsert := value(document(one), "upsert") == true; {
		case hit != nil:
			hit.set(replacement)
			n++
		case upsert && c.insert(withID(replacement, value(q, "_id"))):
			upserted = append(upserted, bson.D{{Key: "index", Value: int32(i)}, {Key: "_id", Value: value(q, "_id")}})
			n++
		case upsert:
			if failed = append(failed, duplicate(req, int32(i))); req.get("ordered") != false {
				return n, upserted, failed, nil
			}
		}
	}
	return n, upserted, failed, nil
}

func duplicate(req request, at int32) bson.D {
	text := fmt.Sprintf("E11000 duplicate key error collection: %s.%s index: _id_ dup key", req.db, req.coll)
	return bson.D{{Key: "index", Value: at}, {Key: "code", Value: int32(DuplicateKey)}, {Key: "keyPattern", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "errmsg", Value: text}}
}

func duplicateReply(req request, at int32) bson.D {
	return bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: int32(0)}, {Key: "writeErrors", Value: bson.A{duplicate(req, at)}}}
}

func (s *Server) find(req request) bson.D {
	filter, sort := document(req.get("filter")), document(req.get("sort"))
	hint, _ := req.get("hint").(string)
	c := s.collection(req.db, req.coll, false)
	if c == nil {
		return cursorReply(0, req.ns(), nil, "firstBatch") // MongoDB: no collection, no documents, whatever the hint
	}
	if hint != "" && !slices.ContainsFunc(c.indexes, func(ix index) bool { return ix.name == hint && !ix.building }) {
		return fail(req, BadValue, "error processing query: planner returned error :: caused by :: hint provided does not correspond to an existing index")
	}
	s.judgeFind(req, c, filter, sort, hint)
	hits, err := c.find(filter, sort)
	if err != nil {
		return fail(req, failedToParse, err.Error())
	}
	if limit := int(number(req.get("limit"))); limit > 0 && len(hits) > limit {
		hits = hits[:limit]
	}
	s.lastCursor++
	cur := &cursor{id: s.lastCursor, ns: req.ns(), rest: hits}
	s.cursors[cur.id] = cur
	return s.batch(cur, int(number(req.get("batchSize"))), "firstBatch")
}

func (r request) ns() string { return r.db + "." + r.coll }

// cursor is what a client has not yet seen of an answer.
type cursor struct {
	id   int64
	ns   string
	rest []bson.Raw
}

func (s *Server) batch(cur *cursor, size int, name string) bson.D {
	n, total := 0, 0
	for n < len(cur.rest) && (size == 0 || n < size) && (n == 0 || total+len(cur.rest[n]) <= s.o.MaxBatchBytes) {
		total += len(cur.rest[n])
		n++
	}
	docs := cur.rest[:n]
	cur.rest = cur.rest[n:]
	id := cur.id
	if len(cur.rest) == 0 {
		delete(s.cursors, cur.id)
		id = 0
	}
	return cursorReply(id, cur.ns, docs, name)
}

func cursorReply(id int64, ns string, docs []bson.Raw, name string) bson.D {
	list := bson.A{}
	for _, d := range docs {
		list = append(list, d)
	}
	return bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.D{{Key: "id", Value: id}, {Key: "ns", Value: ns}, {Key: name, Value: list}}}}
}

func (s *Server) moreOf(req request) bson.D {
	if req.name == "killCursors" {
		for _, id := range array(req.get("cursors")) {
			delete(s.cursors, number(id))
		}
		return bson.D{{Key: "ok", Value: 1}}
	}
	cur := s.cursors[number(req.get("getMore"))]
	if cur == nil {
		return fail(req, cursorNotFound, "cursor not found")
	}
	return s.batch(cur, int(number(req.get("batchSize"))), "nextBatch")
}
