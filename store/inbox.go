package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// Write points of the inbox.
const (
	PointInboxInsert    WritePoint = "inbox.insert"
	PointInboxBody      WritePoint = "inbox.body"
	PointInboxWake      WritePoint = "inbox.wake"
	PointInboxClaim     WritePoint = "inbox.claim"
	PointInboxSettle    WritePoint = "inbox.settle"
	PointInboxTold      WritePoint = "inbox.told"
	PointInboxReplay    WritePoint = "inbox.replay"
	PointInboxVariant   WritePoint = "inbox.variant"
	PointInboxPrune     WritePoint = "inbox.prune"
	PointInboxPruneBody WritePoint = "inbox.prune_body"
)

const (
	inboxName  = "inbox"
	bodiesName = "inbox_bodies"
)

// Bodies up to inlineBody bytes stand in the event's own document: one write for
// nearly every webhook. Larger ones come first, in parts that fit a document.
const (
	inlineBody = 16 << 10
	bodyPart   = 512 << 10
)

// InboxCollection declares the events that providers sent us.
func InboxCollection() Collection {
	return Collection{Name: inboxName, Indexes: []Index{
		{Name: "by_due", Fields: []string{"state", "due"}},
		{Name: "by_state", Fields: []string{"state", "received"}},
		{Name: "by_account", Fields: []string{"account", "received"}},
		{Name: "by_body", Fields: []string{"body_at"}},
	}, Sealed: []string{"body", "json"}}
}

// InboxBodyCollection declares the parts of large bodies.
func InboxBodyCollection() Collection {
	return Collection{Name: bodiesName, Indexes: []Index{{Name: "by_time", Fields: []string{"at"}}}, Sealed: []string{"part"}}
}

// Inbox keeps received events over an Engine. It implements inbox.Store.
type Inbox struct {
	e Engine
	// recent spares the events that are worked on right after their arrival from being
	// read and decoded for every step of that work. An event that retention dropped may
	// come again under its id, its versions beginning anew, so the bytes decide.
	recent *recent[decodedEvent]
}

// decodedEvent is an event and the very bytes it was decoded from.
type decodedEvent struct {
	body  []byte
	event inboxRecord
}

// recentEvents bounds the events remembered: the work of a few seconds.
const recentEvents = 256

var (
	_ inbox.Store  = (*Inbox)(nil)
	_ inbox.Finder = (*Payments)(nil)
	_ inbox.Notify = (*Alerts)(nil)
)

// NewInbox keeps received events in an engine.
func NewInbox(e Engine) *Inbox { return &Inbox{e: e, recent: newRecent[decodedEvent](recentEvents)} }

// inboxRecord is the stored form. A body that is a JSON object stands there as it came,
// byte for byte, as the last member "json"; any other one as base64 in "body", where
// older programs put every body.
type inboxRecord struct {
	Schema int          `json:"schema"`
	Event  inbox.Record `json:"event"`
	Body   []byte       `json:"body,omitempty"`
	Parts  int          `json:"parts,omitempty"` // of a body that stands by itself
	plain  bool         // Body goes to "json"
}

// plainly says whether a body that is JSON (inbox.Store says so) can stand in a document
// as it is. It must not have white space around it, which nobody would give back, nor
// look like what is sealed. (One that two readers may take for two things stays bytes as
// well: a name that stands twice hides the first text from who reads it as JSON.)
func plainly(body []byte) bool {
	return len(body) > 1 && body[0] == '{' && body[len(body)-1] == '}' &&
		utf8.Valid(body) && !bytes.HasPrefix(body, []byte(sealedHead))
}

type bodyRecord struct {
	Schema int    `json:"schema"`
	Part   []byte `json:"part"`
}

func (r inboxRecord) doc() (Doc, error) {
	raw := r.Body
	if r.plain {
		r.Body = nil
	}
	body, err := json.Marshal(r)
	if err != nil {
		return Doc{}, fmt.Errorf("store: encode event %s: %w", r.Event.ID, err)
	}
	if r.plain && len(raw) > 0 { // json.Marshal would take its white space out
		body = slices.Concat(body[:len(body)-1], []byte(`,"json":`), raw, []byte("}"))
	}
	index := map[string]any{
		"state": string(r.Event.State), "account": r.Event.Account,
		"received": r.Event.ReceivedAt, "due": r.Event.DueAt,
	}
	if len(raw) > 0 {
		index["body_at"] = r.Event.ReceivedAt
	}
	return Doc{ID: r.Event.ID, Body: body, Index: index}, nil
}

// of decodes an event, unless it is known in this version.
func (s *Inbox) of(d Doc) (inboxRecord, error) {
	if known, ok := s.recent.at(d.ID, d.Version); ok && bytes.Equal(known.body, d.Body) {
		return known.event, nil
	}
	r, err := inboxOf(d)
	if err == nil {
		s.recent.put(d.ID, d.Version, decodedEvent{d.Body, r})
	}
	return r, err
}

func inboxOf(d Doc) (inboxRecord, error) {
	var in struct {
		inboxRecord
		JSON json.RawMessage `json:"json"`
	}
	if err := json.Unmarshal(d.Body, &in); err != nil {
		return inboxRecord{}, fmt.Errorf("store: event %s can't be read: %w", d.ID, err)
	}
	r := in.inboxRecord
	if r.Schema != 1 || r.Event.ID != d.ID {
		return r, unreadable("event", d, r.Schema)
	}
	if len(in.JSON) > 0 {
		r.Body, r.plain = in.JSON, true
	}
	return r, nil
}

// Insert implements inbox.Store. The body's parts are stored before the event
// that names them; parts without an event, after a crash, go when they are as old
// as bodies may get.
func (s *Inbox) Insert(ctx context.Context, rec inbox.Record, body []byte) (inbox.Record, bool, error) {
	r := inboxRecord{Schema: 1, Event: rec}
	if len(body) <= inlineBody {
		r.Body, r.plain = body, plainly(body) && rec.Reason != inbox.ReasonAmbiguous
	} else {
		for from := 0; from < len(body); from += bodyPart {
			part := body[from:min(from+bodyPart, len(body))]
			if err := s.insertPart(ctx, partID(rec, r.Parts), part, rec.ReceivedAt); err != nil {
				return inbox.Record{}, false, err
			}
			r.Parts++
		}
	}
	d, err := r.doc()
	if err != nil {
		return inbox.Record{}, false, err
	}
	stored, created, err := InsertOnce(WithPoint(ctx, PointInboxInsert), s.e, inboxName, d)
	if err != nil {
		return inbox.Record{}, false, err
	}
	if created {
		if rec.State == inbox.Pending { // nobody is about to work on any other
			s.recent.put(d.ID, stored.Version, decodedEvent{d.Body, r})
		}
		return rec, true, nil
	}
	out, err := s.of(stored)
	return out.Event, false, err
}

// partID names a part by what it holds, so that two deliveries of one event with
// different bytes don't mix.
func partID(r inbox.Record, n int) string { return fmt.Sprintf("%s/%.16s/%d", r.ID, r.Digest, n) }

func (s *Inbox) insertPart(ctx context.Context, id string, part []byte, at time.Time) error {
	body, err := json.Marshal(bodyRecord{Schema: 1, Part: part})
	if err != nil {
		return fmt.Errorf("store: encode body %s: %w", id, err)
	}
	_, _, err = InsertOnce(WithPoint(ctx, PointInboxBody), s.e, bodiesName, Doc{ID: id, Body: body, Index: map[string]any{"at": at}})
	return err
}

// Get implements inbox.Store.
func (s *Inbox) Get(ctx context.Context, id string) (inbox.Record, error) {
	r, err := s.get(ctx, id)
	return r.Event, err
}

func (s *Inbox) get(ctx context.Context, id string) (inboxRecord, error) {
	d, err := s.e.Get(ctx, inboxName, id)
	if err != nil {
		return inboxRecord{}, inboxError(err)
	}
	return inboxOf(d)
}

func inboxError(err error) error {
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %w", inbox.ErrNotFound, err)
	}
	return err
}

// inboxPoints names the inbox's writes for the engine.
var inboxPoints = map[inbox.Write]WritePoint{
	inbox.WriteWake: PointInboxWake, inbox.WriteClaim: PointInboxClaim, inbox.WriteSettle: PointInboxSettle,
	inbox.WriteTold: PointInboxTold, inbox.WriteReplay: PointInboxReplay,
	inbox.WriteVariant: PointInboxVariant,
}

// Change implements inbox.Store.
func (s *Inbox) Change(ctx context.Context, id string, w inbox.Write, fn func(inbox.Record) (inbox.Record, bool)) (inbox.Record, bool, error) {
	var out inbox.Record
	var written inboxRecord
	changed := false
	change := func(d Doc) (Doc, error) {
		r, err := s.of(d)
		if err != nil {
			return Doc{}, err
		}
		if out, changed = fn(r.Event); !changed {
			return d, ErrUnchanged
		}
		r.Event = out
		written = r
		return r.doc()
	}
	ctx = WithPoint(ctx, inboxPoints[w])
	if known, version, ok := s.recent.last(id); ok {
		// What we know is most likely still so; if not, the write loses its race.
		d, err := updateFrom(ctx, s.e, inboxName, Doc{ID: id, Version: version, Body: known.body}, change)
		if err == nil && changed {
			s.recent.put(id, d.Version, decodedEvent{d.Body, written})
		}
		if err != nil || changed {
			return out, changed && err == nil, inboxError(err)
		}
		// "Nothing to change" may be said of what is no longer so.
	}
	d, err := Update(ctx, s.e, inboxName, id, change)
	if err == nil && changed {
		s.recent.put(id, d.Version, decodedEvent{d.Body, written})
	}
	return out, changed && err == nil, inboxError(err)
}

// duePages bounds how many pages one call of Due looks through for events that can be read.
const duePages = 10

// Due implements inbox.Store: events to work on, and final ones about which a
// human has yet to hear. One that can't be read is left out and reported, beside
// the others, whose place it does not take.
func (s *Inbox) Due(ctx context.Context, now time.Time, limit int) ([]inbox.Record, error) {
	q := Query{
		Index: "by_due", SortBy: "due", Limit: limit,
		Where: []Filter{Where("state", In, string(inbox.Pending), string(inbox.Parked), string(inbox.Dead)), Where("due", Lte, now)},
	}
	var out []inbox.Record
	var problems []error
	for range duePages {
		docs, next, err := s.e.Query(ctx, inboxName, q)
		if err != nil {
			return nil, errors.Join(append(problems, err)...)
		}
		for _, d := range docs {
			r, err := s.of(d)
			switch {
			case err == nil:
				out = append(out, r.Event)
			case len(problems) < maxProblems:
				problems = append(problems, err)
			}
		}
		if q.After, q.Limit = next, limit-len(out); q.Limit <= 0 || next == "" {
			break
		}
	}
	return out, errors.Join(problems...)
}

// unreadableEvent is what can be told of an event that can't be read: what it is found by.
func unreadableEvent(d Doc) inbox.Record {
	r := inbox.Record{ID: d.ID, Reason: inbox.ReasonUnreadable}
	state, _ := d.Index["state"].(string)
	r.State = inbox.State(state)
	r.Account, _ = d.Index["account"].(string)
	r.ReceivedAt, _ = d.Index["received"].(time.Time)
	r.DueAt, _ = d.Index["due"].(time.Time)
	return r
}

// List implements inbox.Store.
func (s *Inbox) List(ctx context.Context, f inbox.Filter) ([]inbox.Record, string, error) {
	states := inbox.States()
	if f.State != "" {
		states = []inbox.State{f.State}
	}
	in := make([]any, len(states))
	for i, state := range states {
		in[i] = string(state)
	}
	q := Query{Index: "by_state", Where: []Filter{Where("state", In, in...)}, SortBy: "received", Desc: true, After: f.After}
	if f.State == "" && f.Account != "" {
		q.Index, q.Where = "by_account", []Filter{Where("account", Eq, f.Account)}
	}
	of := func(d Doc) (inbox.Record, error) {
		r, err := inboxOf(d)
		if err != nil {
			return unreadableEvent(d), nil //nolint:nilerr // said in the record: it must not hide the others
		}
		return r.Event, nil
	}
	return listed(ctx, s.e, inboxName, q, f.Limit, of, func(r inbox.Record) bool { return f.Account == "" || r.Account == f.Account })
}

// Body implements inbox.Store.
func (s *Inbox) Body(ctx context.Context, id string) ([]byte, error) {
	r, err := s.get(ctx, id)
	if err != nil || r.Parts == 0 {
		return r.Body, err
	}
	var out []byte
	for n := range r.Parts {
		d, err := s.e.Get(ctx, bodiesName, partID(r.Event, n))
		if errors.Is(err, ErrNotFound) {
			return nil, nil // pruned
		}
		if err != nil {
			return nil, err
		}
		var part bodyRecord
		if err := json.Unmarshal(d.Body, &part); err != nil {
			return nil, fmt.Errorf("store: body %s can't be read: %w", d.ID, err)
		}
		out = append(out, part.Part...)
	}
	return out, nil
}

// PruneBodies implements inbox.Store. An event that can't be read keeps its body, and
// keeps no other's.
func (s *Inbox) PruneBodies(ctx context.Context, before time.Time, limit int) (int, error) {
	n, problems, err := s.pruneInline(ctx, before, limit)
	if err != nil || n >= limit {
		return n, errors.Join(append(problems, err)...)
	}
	for n < limit {
		few := atOnce(bodiesName, limit-n)
		docs, _, err := s.e.Query(ctx, bodiesName, Query{Index: "by_time", Where: []Filter{Where("at", Lt, before)}, SortBy: "at", Limit: few})
		if err != nil {
			return n, errors.Join(append(problems, err)...)
		}
		for _, d := range docs {
			err := s.e.Delete(WithPoint(ctx, PointInboxPruneBody), bodiesName, d.ID, d.Version)
			if err != nil && !errors.Is(err, ErrConflict) { // a conflict: gone already
				return n, errors.Join(append(problems, err)...)
			}
			n++
		}
		if len(docs) < few {
			break
		}
	}
	return n, errors.Join(problems...)
}

// pruneInline drops bodies that stand in their events. Those that can't be read stay in front of the others, so it looks
// past them.
func (s *Inbox) pruneInline(ctx context.Context, before time.Time, limit int) (n int, problems []error, err error) {
	q := Query{Index: "by_body", Where: []Filter{Where("body_at", Lt, before)}, SortBy: "body_at", Limit: limit}
	for range prunePages {
		docs, next, err := s.e.Query(ctx, inboxName, q)
		if err != nil {
			return n, problems, err
		}
		for _, d := range docs {
			_, err := Update(WithPoint(ctx, PointInboxPrune), s.e, inboxName, d.ID, func(d Doc) (Doc, error) {
				r, err := inboxOf(d)
				if err != nil {
					return Doc{}, err
				}
				if len(r.Body) == 0 {
					return d, ErrUnchanged
				}
				r.Body = nil
				return r.doc()
			})
			switch {
			case errors.Is(err, ErrUnavailable):
				return n, problems, err
			case err == nil:
				if n++; n >= limit {
					return n, problems, nil
				}
			case len(problems) < maxProblems:
				problems = append(problems, err)
			}
		}
		if q.After = next; next == "" {
			break
		}
	}
	return n, problems, nil
}

// maxProblems bounds how many unreadable events one step names.
const maxProblems = 10

// Find reads a payment for the inbox; ok is false where there is none.
func (s *Payments) Find(ctx context.Context, id string) (*payment.Payment, bool, error) {
	p, err := s.Get(ctx, id)
	if errors.Is(err, gateway.ErrNotFound) {
		return nil, false, nil
	}
	return p, err == nil, err
}

// RaiseAlert stores an alert of the inbox, which no app sees: it is about an
// account, not about one payment.
func (s *Alerts) RaiseAlert(ctx context.Context, a inbox.Alert) error {
	return s.Raise(ctx, gateway.AlertRecord{
		ID: a.ID, Mode: a.Mode, Payment: a.Payment, Account: a.Account, Kind: a.Kind, Severity: a.Severity, State: "open",
		Message: a.Message, Count: 1, FirstSeen: a.At, LastSeen: a.At,
	})
}
