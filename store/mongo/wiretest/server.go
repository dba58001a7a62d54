// Package wiretest is a stand-in of a MongoDB replica set for tests: it speaks the wire protocol (OP_MSG, and OP_QUERY
// for the first hello) on loopback, keeps everything in memory, plays fail-over and scripted faults, and judges every
// command it receives. It knows what our engine uses and refuses the rest, so it proves how we behave towards MongoDB
// and not how MongoDB behaves: that needs a real one (make test-mongo). It must not be used outside of tests, share
// code with the engine, or be made to accept what a real server refuses.
package wiretest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// setName is the replica set's name.
const setName = "wire"

// Options are what a set is started with.
type Options struct {
	// Members of the set, each with a port of its own; the first is primary. 0: 3.
	Members int
	// Secrets must not stand in clear in anything that is received.
	Secrets []string
	// NoRetryRecords makes the set forget which writes it has done: a repeated one is done again.
	NoRetryRecords bool
	// MaxBatchBytes limits one batch of a cursor; 0: 16 MB, as MongoDB does.
	MaxBatchBytes int
	// LongestCommand is the highest server deadline (maxTimeMS) that a command may ask for, createIndexes and the
	// listings of a migration apart. 0: 10 s.
	LongestCommand time.Duration
}

// Server is a replica set. Make it with Start or New.
type Server struct {
	o       Options
	members []*member

	mu         sync.Mutex
	changed    chan struct{} // closed and renewed with every election
	primary    int           // -1: none
	term       int64
	dbs        map[string]map[string]*collection
	records    map[string]record
	cursors    map[int64]*cursor
	lastCursor int64
	faults     []*Fault
	counts     map[string]int
	violations []string
	closed     bool
	ended      chan struct{} // closed with it
	wg         sync.WaitGroup
}

// member is one mongod.
type member struct {
	set       *Server
	n         int
	port      *Port
	known     string // guarded by set.mu: the address by which clients know it
	processID bson.ObjectID
	listener  net.Listener
	conns     map[net.Conn]bool // guarded by set.mu
	down      bool              // guarded by set.mu
}

// Start starts a set for a test. When the test ends it is closed, and what the judge found fails the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		for _, v := range s.Violations() {
			t.Errorf("on the wire: %s", v)
		}
	})
	return s
}

// New starts a set on free ports of loopback.
func New(o Options) (*Server, error) {
	if o.Members == 0 {
		o.Members = 3
	}
	if o.MaxBatchBytes == 0 {
		o.MaxBatchBytes = 16 << 20
	}
	if o.LongestCommand == 0 {
		o.LongestCommand = 10 * time.Second
	}
	s := &Server{
		o: o, changed: make(chan struct{}), ended: make(chan struct{}), term: 1, dbs: map[string]map[string]*collection{}, records: map[string]record{},
		cursors: map[int64]*cursor{}, counts: map[string]int{},
	}
	for i := range o.Members {
		port, err := Reserve()
		if err != nil {
			s.Close()
			return nil, err
		}
		m := &member{set: s, n: i, port: port, known: port.Addr, processID: bson.NewObjectID(), conns: map[net.Conn]bool{}}
		s.members = append(s.members, m)
		if err := m.listen(); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// URL is what a client of the database connects to.
func (s *Server) URL(db string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	hosts := make([]string, 0, len(s.members))
	for _, m := range s.members {
		hosts = append(hosts, m.known)
	}
	return "mongodb://" + strings.Join(hosts, ",") + "/" + db + "?replicaSet=" + setName
}

// Relay puts something between clients and each member: front is given a member's address and returns the one by which
// clients shall know it. Clients learn the addresses from the members, so only those who connect afterwards, with a
// new URL, go that way.
func (s *Server) Relay(front func(member string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members {
		m.known = front(m.port.Addr)
	}
	s.announce()
}

// Close ends all connections. It may be called twice.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		close(s.ended)
	}
	s.closed = true
	s.announce()
	s.mu.Unlock()
	for _, m := range s.members {
		m.stop()
		_ = m.port.Close() // nobody reads it
	}
	s.wg.Wait()
}

// Elect makes the next member primary; after a time without any, if gap is not 0.
func (s *Server) Elect(gap time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.elect(gap)
}

func (s *Server) elect(gap time.Duration) {
	next := (s.primary + 1) % len(s.members)
	if s.primary < 0 {
		return // one election at a time
	}
	win := func() {
		s.primary = next
		s.term++
		s.announce()
	}
	if gap == 0 {
		win()
		return
	}
	s.primary = -1
	s.announce()
	time.AfterFunc(gap, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		win()
	})
}

// announce wakes those who wait for news of the topology.
func (s *Server) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// SetReachable takes the whole set off the network, or brings it back with its data on the same ports.
func (s *Server) SetReachable(t testing.TB, up bool) {
	t.Helper()
	for _, m := range s.members {
		if !up {
			m.stop()
		} else if err := m.listen(); err != nil {
			t.Fatal(err)
		}
	}
}

// Count is how often a command was received: those that a fault stopped, too.
func (s *Server) Count(command string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[command]
}

// Data is how many commands were received that read or write documents.
func (s *Server) Data() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts["insert"] + s.counts["update"] + s.counts["delete"] + s.counts["find"] + s.counts["getMore"]
}

// Elections is how many times a member became primary after the first.
func (s *Server) Elections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.term - 1)
}

// Violations are what the judge found so far, each once.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

func (m *member) listen() error {
	l, err := m.port.Listen()
	if err != nil {
		return err
	}
	m.set.mu.Lock()
	m.listener, m.down = l, false
	m.set.mu.Unlock()
	m.set.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			m.set.wg.Go(func() { m.serve(c) })
		}
	})
	return nil
}

func (m *member) stop() {
	m.set.mu.Lock()
	defer m.set.mu.Unlock()
	m.down = true
	if m.listener != nil {
		_ = m.listener.Close()
	}
	for c := range m.conns {
		_ = c.Close()
	}
}

// serve answers one connection until it ends or a fault cuts it.
func (m *member) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	m.set.mu.Lock()
	if m.down {
		m.set.mu.Unlock()
		return
	}
	m.conns[c] = true
	m.set.mu.Unlock()
	defer func() {
		m.set.mu.Lock()
		delete(m.conns, c)
		m.set.mu.Unlock()
	}()
	for {
		msg, err := readMessage(c)
		if err != nil {
			return
		}
		reply, err := m.answer(msg)
		if err != nil { // cut
			return
		}
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}

const (
	opReply   = 1
	opQuery   = 2004
	opMsg     = 2013
	headerLen = 16
)

// message is one request: its command document with document sequences put in as arrays.
type message struct {
	id, op int32
	raw    []byte
	cmd    bson.D
}

var errProtocol = errors.New("wiretest: not the wire protocol")

func readMessage(r io.Reader) (message, error) {
	var head [headerLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return message{}, err
	}
	size := int32(binary.LittleEndian.Uint32(head[:]))
	if size < headerLen || size > 48<<20 {
		return message{}, errProtocol
	}
	msg := message{id: int32(binary.LittleEndian.Uint32(head[4:])), op: int32(binary.LittleEndian.Uint32(head[12:])), raw: make([]byte, size-headerLen)}
	if _, err := io.ReadFull(r, msg.raw); err != nil {
		return message{}, err
	}
	var err error
	switch msg.op {
	case opQuery: // flags, name, skip, number to return, document
		_, rest, ok := bytes.Cut(msg.raw[4:], []byte{0})
		if !ok || len(rest) < 8 {
			return message{}, errProtocol
		}
		msg.cmd, _, err = readDocument(rest[8:])
	case opMsg:
		msg.cmd, err = readSections(msg.raw[4:])
	default:
		err = errProtocol
	}
	return msg, err
}

func readSections(b []byte) (bson.D, error) {
	var cmd, sequences bson.D
	for len(b) > 0 {
		kind := b[0]
		var err error
		if kind == 0 {
			if cmd, b, err = readDocument(b[1:]); err != nil {
				return nil, err
			}
			continue
		}
		if kind != 1 || len(b) < 5 {
			return nil, errProtocol
		}
		size := int(binary.LittleEndian.Uint32(b[1:]))
		if size < 5 || size > len(b)-1 {
			return nil, errProtocol
		}
		section := b[5 : 1+size]
		b = b[1+size:]
		name, docs, ok := bytes.Cut(section, []byte{0})
		if !ok {
			return nil, errProtocol
		}
		list := bson.A{}
		for len(docs) > 0 {
			var d bson.D
			if d, docs, err = readDocument(docs); err != nil {
				return nil, err
			}
			list = append(list, d)
		}
		sequences = append(sequences, bson.E{Key: string(name), Value: list})
	}
	if len(cmd) == 0 {
		return nil, errProtocol
	}
	return append(cmd, sequences...), nil
}

func readDocument(b []byte) (d bson.D, rest []byte, err error) {
	if len(b) < 5 {
		return nil, nil, errProtocol
	}
	size := int(int32(binary.LittleEndian.Uint32(b)))
	if size < 5 || size > len(b) {
		return nil, nil, errProtocol
	}
	if err := bson.Unmarshal(b[:size], &d); err != nil {
		return nil, nil, fmt.Errorf("wiretest: %w", err)
	}
	return d, b[size:], nil
}

// writeMessage is the reply to msg, in the opcode that belongs to its request.
func writeMessage(msg message, reply bson.D) ([]byte, error) {
	body, err := bson.Marshal(reply)
	if err != nil {
		return nil, fmt.Errorf("wiretest: %w", err)
	}
	var b []byte
	op := int32(opMsg)
	if msg.op == opQuery {
		op = opReply
		b = append(b, make([]byte, 4+8+4)...) // flags, cursor id, starting from
		b = binary.LittleEndian.AppendUint32(b, 1)
	} else {
		b = append(b, make([]byte, 4+1)...) // flags, section kind 0
	}
	b = append(b, body...)
	var head []byte
	for _, v := range []int32{int32(headerLen + len(b)), msg.id + 1_000_000, msg.id, op} {
		head = binary.LittleEndian.AppendUint32(head, uint32(v))
	}
	return append(head, b...), nil
}
