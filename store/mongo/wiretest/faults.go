package wiretest

import (
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// MongoDB's error codes (its source, error_codes.yml) that the set answers with.
const (
	BadValue             = 2
	MaxTimeMSExpired     = 50
	WriteConcernTimeout  = 64
	StepDown             = 189
	WriteConflict        = 112
	InterruptedByElect   = 11602
	NotWritablePrimary   = 10107
	DuplicateKey         = 11000
	cursorNotFound       = 43
	indexOptionsConflict = 85
	indexKeysConflict    = 86
	namespaceNotFound    = 26
	commandNotFound      = 59
	authFailed           = 18
	failedToParse        = 9
	transactionTooOld    = 225
	notPrimarySecondary  = 13435
)

// Fault is what happens to some commands. The zero fields do nothing: a Fault{Effect: true} is no fault.
type Fault struct {
	// Command is the command's name ("insert"); "" means any insert, update, delete, find or getMore.
	Command string
	// Collection limits it; "" means any.
	Collection string
	// Skip lets so many pass first; Times is how many it then meets (0: one, below 0: all until Heal).
	Skip, Times int
	// Every, if above 1, meets only each so many-th of the commands that fit.
	Every int

	// Delay comes first; it ends with the set.
	Delay time.Duration
	// Effect: the command is carried out.
	Effect bool
	// Cut ends the connection instead of an answer. With Effect it is a lost acknowledgement.
	Cut bool
	// Code answers with this error; DuplicateKey as the error of one document, others as the command's.
	Code int32
	// ConcernCode reports a write concern error beside the normal answer. Such a fault meets writes only.
	ConcernCode int32
	// Elect makes another member primary at that moment, after ElectGap without one.
	Elect    bool
	ElectGap time.Duration
	// Forget drops the record of the write, so that its repetition is done again.
	Forget bool

	seen int
}

// Inject adds a fault. Of several that fit a command the oldest acts.
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults = append(s.faults, &f)
}

// Heal removes all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Pending is how many injected faults have not yet met all their commands.
func (s *Server) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, f := range s.faults {
		if f.Times > 0 {
			n++
		}
	}
	return n
}

// fault takes the fault that meets this command. The caller holds the lock.
func (s *Server) fault(name, coll string) *Fault {
	for _, f := range s.faults {
		fits := f.Command == name
		if f.ConcernCode != 0 && !isWrite(name) {
			continue
		}
		if f.Command == "" {
			switch name {
			case "insert", "update", "delete", "find", "getMore":
				fits = true
			}
		}
		if !fits || f.Collection != "" && f.Collection != coll || f.Times == 0 {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.seen++; f.Every > 1 && f.seen%f.Every != 0 {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return f
	}
	return nil
}

var errCut = errors.New("wiretest: cut")

// answer carries out one request with whatever fault meets it.
func (m *member) answer(msg message) ([]byte, error) {
	s := m.set
	req := newRequest(msg.cmd)
	if isHello(req.name) {
		return writeMessage(msg, m.hello(req))
	}
	s.mu.Lock()
	s.judge(req, msg.raw)
	s.counts[req.name]++
	f := s.fault(req.name, req.coll)
	if f == nil {
		reply := m.run(req)
		s.mu.Unlock()
		return writeMessage(msg, reply)
	}
	if f.Delay > 0 { // others go on meanwhile
		s.mu.Unlock()
		slow := time.NewTimer(f.Delay) // a slow server is slow in real time
		select {
		case <-slow.C:
		case <-s.ended:
			slow.Stop()
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	var reply bson.D
	if f.Effect {
		reply = m.run(req)
		if f.Forget {
			delete(s.records, req.session)
		}
	}
	if f.Elect {
		s.elect(f.ElectGap)
	}
	switch {
	case f.Cut:
		return nil, errCut
	case f.Code == DuplicateKey:
		return writeMessage(msg, duplicateReply(req, 0))
	case f.Code != 0:
		return writeMessage(msg, fail(req, f.Code, "injected"))
	case f.ConcernCode != 0:
		if !f.Effect {
			reply = bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: int32(1)}, {Key: "nModified", Value: int32(1)}}
		}
		concern := bson.D{{Key: "code", Value: f.ConcernCode}, {Key: "codeName", Value: codeName(f.ConcernCode)}, {Key: "errmsg", Value: "injected"}}
		reply = append(reply, bson.E{Key: "writeConcernError", Value: concern})
		if retryable(f.ConcernCode) && req.txn > 0 {
			reply = append(reply, bson.E{Key: "errorLabels", Value: bson.A{"RetryableWriteError"}})
		}
	case !f.Effect:
		reply = m.run(req) // only a delay or an election
	}
	return writeMessage(msg, reply)
}

// fail is a command's error, with the labels that a server of version 4.4 and newer puts on.
func fail(req request, code int32, message string) bson.D {
	reply := bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: code}, {Key: "codeName", Value: codeName(code)}, {Key: "errmsg", Value: message}}
	if retryable(code) && req.txn > 0 {
		reply = append(reply, bson.E{Key: "errorLabels", Value: bson.A{"RetryableWriteError"}})
	}
	return reply
}

// retryable codes, of MongoDB's "retryable writes" specification.
func retryable(code int32) bool {
	switch code {
	case 6, 7, 89, 91, StepDown, 262, 9001, NotWritablePrimary, 11600, InterruptedByElect, notPrimarySecondary, 13436:
		return true
	}
	return false
}

func codeName(code int32) string {
	names := map[int32]string{
		BadValue: "BadValue", MaxTimeMSExpired: "MaxTimeMSExpired", WriteConcernTimeout: "WriteConcernTimeout", StepDown: "PrimarySteppedDown",
		WriteConflict: "WriteConflict", InterruptedByElect: "InterruptedDueToReplStateChange", NotWritablePrimary: "NotWritablePrimary",
		DuplicateKey: "DuplicateKey", cursorNotFound: "CursorNotFound", indexOptionsConflict: "IndexOptionsConflict",
		indexKeysConflict: "IndexKeySpecsConflict", namespaceNotFound: "NamespaceNotFound", commandNotFound: "CommandNotFound",
		authFailed: "AuthenticationFailed", failedToParse: "FailedToParse", transactionTooOld: "TransactionTooOld",
		notPrimarySecondary: "NotPrimaryNoSecondaryOk",
	}
	return names[code]
}
