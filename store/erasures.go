package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Write points of erasing.
const (
	PointErasureInsert WritePoint = "erasure.insert"
	PointErasureStep   WritePoint = "erasure.step"
	PointErase         WritePoint = "erasure.overwrite"
	PointEraseBody     WritePoint = "erasure.delete_body"
)

const erasuresName = "erasures"

// ErasureCollection declares the orders to erase a customer, and what came of them. Never deleted: they prove who had
// what erased. What they search for is sealed, and dropped when they are done.
func ErasureCollection() Collection {
	return Collection{Name: erasuresName, Indexes: []Index{
		{Name: "by_asked", Fields: []string{"scope", "asked"}},
		{Name: "by_due", Fields: []string{"scope", "due"}},
	}, Sealed: []string{"erasure.Email", "erasure.Emails", "erasure.Names", "erasure.Asked", "erasure.Still", "erasure.AddressDigest", "erasure.AddressDigests"}}
}

// States of an erasure.
const (
	ErasureRunning = "running" // a worker is at it
	// ErasurePending: what could be erased is, and proven; payments that are not over yet are erased once they are.
	ErasurePending = "pending"
	ErasureDone    = "done" // everything is erased, and the proof found nothing
	// ErasureIncomplete: everything that may be is erased, and the proof still found the customer somewhere.
	ErasureIncomplete = "incomplete"
)

// Phases of a round.
const (
	phaseFind  = "find"
	phaseSweep = "sweep"
	phaseProve = "prove"
)

// EraseCount is what an erasure did and found in one collection. Erased counts overwritten records of all rounds, the
// others what the last proof found, in records (events of feeds, where a page holds many).
type EraseCount struct {
	Scanned    int64
	Erased     int64
	Left       int64 // still hold the customer's address, or their name beside their payment
	Elsewhere  int64 // hold the same address or name, and belong to another app or another customer
	Unreadable int64 // could not be opened, so nobody knows
}

// Erasure is one order to erase a customer.
type Erasure struct {
	ID    string
	App   string
	Mode  payment.Mode
	Ref   string // the app's id of the customer; or
	Email string // their address. Empty when done
	// ByEmail says that Email was given, also when it is gone.
	ByEmail bool
	Texts   bool // descriptions and metadata too
	Reason  string
	By      payment.Actor
	At      time.Time
	DoneAt  time.Time // done or incomplete
	State   string
	// Fingerprint tells the words of the ordering request from others under its key, also
	// when the address is gone. Empty: it was not ordered by a request.
	Fingerprint string `json:",omitempty"`

	Found   int64    // payments of the customer
	Pending int64    // of these, not over yet
	Waiting []string // some of their ids

	Counts map[string]EraseCount

	// Where the worker goes on.
	Phase      string
	Collection string
	After      string
	DueAt      time.Time // zero: nothing is left to do
	// What to look for: the address asked for, those and the names that the customer's payments held, and what earlier ones
	// look for. Empty when done; when incomplete, what still stands.
	Emails, Names []string
	// Asked: of Emails, those that earlier ones were ordered by.
	Asked []string `json:",omitempty"`
	Still []string `json:",omitempty"` // of Emails and Names, what this proof found so far

	// What is left for a later erasure of the same customer, while this one is incomplete.
	erasureRest
	// Earlier ones, which this one finishes; empty when it rests.
	Earlier []earlierErasure `json:",omitempty"`
}

// Left is how many records still hold the customer, or can't be read.
func (e Erasure) Left() int64 {
	n := int64(0)
	for _, c := range e.Counts {
		n += c.Left + c.Unreadable
	}
	return n
}

// order is the erasure as payments hear of it.
func (e Erasure) order() payment.Erasure {
	return payment.Erasure{ID: e.ID, Texts: e.Texts, By: e.By, Reason: e.Reason}
}

type erasureRecord struct {
	Schema  int     `json:"schema"`
	Erasure Erasure `json:"erasure"`
}

func erasureDoc(e Erasure) (Doc, error) {
	body, err := json.Marshal(erasureRecord{Schema: 1, Erasure: e})
	if err != nil {
		return Doc{}, fmt.Errorf("store: encode erasure %s: %w", e.ID, err)
	}
	return Doc{ID: e.ID, Body: body, Index: map[string]any{"scope": "all", "asked": e.At, "due": e.DueAt}}, nil
}

func erasureOf(d Doc) (Erasure, error) {
	var r erasureRecord
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return Erasure{}, fmt.Errorf("store: erasure %s can't be read: %w", d.ID, err)
	}
	if r.Schema != 1 || r.Erasure.ID != d.ID {
		return Erasure{}, unreadable("erasure", d, r.Schema)
	}
	return r.Erasure, nil
}

// Erasures keeps erasures over an engine.
type Erasures struct{ e Engine }

// NewErasures keeps erasures in an engine.
func NewErasures(e Engine) *Erasures { return &Erasures{e: e} }

// Order writes an erasure down for the worker; one with this id already is returned as it is, with created false. ID,
// App, Mode, Ref or Email, Reason, By, At and Fingerprint are the caller's.
func (s *Erasures) Order(ctx context.Context, e Erasure) (ordered Erasure, created bool, err error) {
	e.State, e.Phase, e.DueAt = ErasureRunning, phaseFind, e.At
	if e.Email != "" {
		e.Emails, e.ByEmail = []string{e.Email}, true
	}
	d, err := erasureDoc(e)
	if err != nil {
		return Erasure{}, false, err
	}
	stored, created, err := InsertOnce(WithPoint(ctx, PointErasureInsert), s.e, erasuresName, d)
	if err != nil {
		return Erasure{}, false, portError(err)
	}
	ordered, err = erasureOf(stored)
	return ordered, created, err
}

// Get reads one erasure; gateway.ErrNotFound.
func (s *Erasures) Get(ctx context.Context, id string) (Erasure, error) {
	d, err := s.e.Get(ctx, erasuresName, id)
	if err != nil {
		return Erasure{}, portError(err)
	}
	return erasureOf(d)
}

// List reads erasures, the newest first, and a cursor, empty at the end. limit is 1..100.
func (s *Erasures) List(ctx context.Context, limit int, after string) ([]Erasure, string, error) {
	docs, next, err := s.e.Query(ctx, erasuresName, Query{
		Index: "by_asked", Where: []Filter{Where("scope", Eq, "all")}, SortBy: "asked", Desc: true, Limit: min(max(limit, 1), 100), After: after,
	})
	if err != nil {
		return nil, "", portError(err)
	}
	out := make([]Erasure, 0, len(docs))
	for _, d := range docs {
		e, err := erasureOf(d)
		if err != nil {
			return nil, "", err
		}
		out = append(out, e)
	}
	return out, next, nil
}

// due finds one that has work to do now.
func (s *Erasures) due(ctx context.Context, now time.Time) (Erasure, int64, error) {
	docs, _, err := s.e.Query(ctx, erasuresName, Query{
		Index: "by_due", Where: []Filter{Where("scope", Eq, "all"), Where("due", Lte, now)}, SortBy: "due", Limit: 20,
	})
	if err != nil {
		return Erasure{}, 0, portError(err)
	}
	err = gateway.ErrNotFound
	for _, d := range docs { // one that can't be read stops no other
		var e Erasure
		if e, err = erasureOf(d); err == nil {
			return e, d.Version, nil
		}
	}
	return Erasure{}, 0, err
}

// save stores how far an erasure got. Somebody who was faster has done the same.
func (s *Erasures) save(ctx context.Context, e Erasure, version int64) (int64, error) {
	d, err := erasureDoc(e)
	if err != nil {
		return 0, err
	}
	err = s.e.Replace(WithPoint(ctx, PointErasureStep), erasuresName, d, version)
	if errors.Is(err, ErrConflict) {
		return 0, errOvertaken
	}
	return version + 1, portError(err)
}

// putOff makes an erasure due later and changes nothing else.
func (s *Erasures) putOff(ctx context.Context, id string, until time.Time) error {
	_, err := Update(WithPoint(ctx, PointErasureStep), s.e, erasuresName, id, func(d Doc) (Doc, error) {
		e, err := erasureOf(d)
		if err != nil {
			return Doc{}, err
		}
		if e.DueAt.IsZero() || e.DueAt.After(until) {
			return d, ErrUnchanged
		}
		e.DueAt = until
		return erasureDoc(e)
	})
	return portError(err)
}

// errOvertaken says that another process has taken this step.
var errOvertaken = errors.New("store: another process works on this erasure")
