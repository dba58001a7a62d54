// Package settings holds what operators change while the program runs: one stored
// document of named sections, changed by compare-and-swap, and a reader that every
// process keeps fresh.
//
// A room that has something to switch declares a section: a struct, its keys, and
// what its values must obey. Reading a section costs no store call: a worker reads
// the document about once a second, and while the store is away what was read last
// stays true. So a change is in force everywhere within about two seconds.
//
// It must not know what a section means, start a goroutine, or hold anything that a
// process needs before it can start (that is configuration). A secret never belongs
// here: the document is shown to every operator.
package settings

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Limits of the document.
const (
	MaxChanges  = 50       // changes remembered
	MaxReason   = 1000     // characters of a change's reason
	maxSections = 64 << 10 // bytes of all sections together
	maxKept     = 4 << 10  // bytes of a change's values that are remembered with it
)

// Document is the settings as stored.
type Document struct {
	Version  int64 // 0: never written
	Sections map[string]json.RawMessage
	Changes  []Change // the last MaxChanges, oldest first
}

// Change is one change as remembered.
type Change struct {
	Version int64
	At      time.Time
	By      payment.Actor
	Reason  string
	// Values are the sections as they were asked for, null where one was reset; nil
	// where they were too large to remember.
	Values   map[string]json.RawMessage
	Sections []string // their names
}

// Request asks for a change: whole sections, null to reset one.
type Request struct {
	// Version is the document that the caller has seen; another one stored is a conflict.
	Version int64
	Reason  string
	Values  map[string]json.RawMessage
}

// Store keeps the document.
type Store interface {
	// Read returns the document, the zero Document where none was ever written.
	Read(ctx context.Context) (Document, error)
	// Change stores what fn makes of the stored document, by compare-and-swap; fn may run more than once.
	// It returns the document as stored, with its new version.
	Change(ctx context.Context, fn func(Document) (Document, error)) (Document, error)
}

// Options are what the settings need. All are required unless a default is named.
type Options struct {
	Store  Store
	Clock  func() time.Time
	Logger *slog.Logger
	Every  time.Duration // how often the worker reads; default 1 s
}

// Settings is the reader and the writer of one process.
type Settings struct {
	opts     Options
	sections map[string]section

	mu   sync.Mutex
	seen Document // as last read
	read bool     // whether it ever was
}

// section is a Section of any type.
type section interface {
	knows(key string) bool
	// check says what is wrong with values that somebody asks for.
	check(at string, raw json.RawMessage) []payment.FieldError
	// apply takes over stored values; empty: the defaults.
	apply(raw json.RawMessage) error
}

// New makes settings without sections; Add adds them, before the first use.
func New(o Options) (*Settings, error) {
	if o.Store == nil || o.Clock == nil || o.Logger == nil {
		return nil, errors.New("settings: an Options field is missing")
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	return &Settings{opts: o, sections: map[string]section{}}, nil
}

// Definition declares a section. The zero T is its default.
type Definition[T any] struct {
	Name string
	// Keys are the section's own keys, the JSON names of T's fields. Stored keys that
	// are not among them belong to a newer version of the program, and stay.
	Keys []string
	// Check says what is wrong with values that somebody asks for, by JSON pointer
	// within the section. nil: any T will do.
	Check func(T) []payment.FieldError
}

// Section is one section as this process knows it.
type Section[T any] struct {
	def   Definition[T]
	value atomic.Pointer[T]
}

// Add declares a section of s. Two of one name are a mistake of ours: it panics.
func Add[T any](s *Settings, def Definition[T]) *Section[T] {
	if _, taken := s.sections[def.Name]; taken || def.Name == "" {
		panic("settings: the section " + def.Name + " is declared twice or has no name")
	}
	out := &Section[T]{def: def}
	out.value.Store(new(T))
	s.sections[def.Name] = out
	return out
}

// Get is the section as last read; it must not be changed. It costs nothing.
func (s *Section[T]) Get() T { return *s.value.Load() }

func (s *Section[T]) knows(key string) bool { return slices.Contains(s.def.Keys, key) }

func (s *Section[T]) apply(raw json.RawMessage) error {
	var v T
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &v); err != nil {
			return fmt.Errorf("settings: section %s can't be read, what was in force stays: %w", s.def.Name, err)
		}
	}
	s.value.Store(&v)
	return nil
}

func (s *Section[T]) check(at string, raw json.RawMessage) []payment.FieldError {
	var v T
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields() // the section's own keys are checked by name, those within them here
	if err := dec.Decode(&v); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			if wrong.Field != "" {
				at += "/" + strings.ReplaceAll(wrong.Field, ".", "/")
			}
			return []payment.FieldError{{Pointer: at, Rule: "can't be a " + wrong.Value}}
		}
		return []payment.FieldError{{Pointer: at, Rule: strings.TrimPrefix(err.Error(), "json: ")}}
	}
	var out []payment.FieldError
	if s.def.Check != nil {
		for _, f := range s.def.Check(v) {
			out = append(out, payment.FieldError{Pointer: at + f.Pointer, Rule: f.Rule})
		}
	}
	return out
}

// Step reads the document and takes over what is new. While the store is away,
// what was read last stays in force.
func (s *Settings) Step(ctx context.Context) (did int, next time.Time, err error) {
	next = s.opts.Clock().Add(s.opts.Every)
	d, err := s.opts.Store.Read(ctx)
	if err != nil {
		return 0, next, fmt.Errorf("settings: read: %w", err)
	}
	news, err := s.take(ctx, d)
	if news {
		did = 1
	}
	return did, next, err
}

// take puts a document in force, unless a newer one is.
func (s *Settings) take(ctx context.Context, d Document) (news bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read && d.Version <= s.seen.Version {
		return false, nil
	}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(s.sections)) {
		problems = append(problems, s.sections[name].apply(d.Sections[name]))
	}
	news = d.Version > s.seen.Version
	s.seen, s.read = d, true
	if news {
		s.opts.Logger.InfoContext(ctx, "settings in force", "version", d.Version)
	}
	return news, errors.Join(problems...)
}

// Current reads the document from the store.
func (s *Settings) Current(ctx context.Context) (Document, error) { return s.opts.Store.Read(ctx) }

// Put changes sections and remembers who did it and why. A section asked for is
// replaced as a whole, except for keys that this version of the program does not
// know. The change is in force here at once, elsewhere within about two seconds.
//
// Errors: invalid_request naming the field; conflict where the stored version is
// not the one seen; the store's own.
func (s *Settings) Put(ctx context.Context, by payment.Actor, r Request) (Document, error) {
	if err := s.validate(r); err != nil {
		return Document{}, err
	}
	at := s.opts.Clock().UTC().Truncate(time.Millisecond)
	d, err := s.opts.Store.Change(ctx, func(old Document) (Document, error) {
		if old.Version != r.Version {
			return old, payment.NewError(payment.CodeConflict, "The settings are at version %d now. Read them, then decide again.", old.Version)
		}
		return s.changed(old, by, at, r)
	})
	if err != nil {
		return Document{}, err
	}
	_, err = s.take(ctx, d)
	return d, err
}

func (s *Settings) validate(r Request) error {
	var faults []payment.FieldError
	add := func(at, rule string) { faults = append(faults, payment.FieldError{Pointer: at, Rule: rule}) }
	if strings.TrimSpace(r.Reason) == "" || utf8.RuneCountInString(r.Reason) > MaxReason {
		add("/reason", fmt.Sprintf("must say why, in at most %d characters", MaxReason))
	}
	if len(r.Values) == 0 {
		add("/settings", "must name at least one section")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Values)) {
		at, raw := "/settings/"+name, r.Values[name]
		known, ok := s.sections[name]
		var fields map[string]json.RawMessage
		switch {
		case !ok:
			add(at, "is not a section; the sections are "+strings.Join(slices.Sorted(maps.Keys(s.sections)), ", "))
		case isNull(raw):
		case json.Unmarshal(raw, &fields) != nil:
			add(at, "must be an object, or null to reset it")
		default:
			for _, key := range slices.Sorted(maps.Keys(fields)) {
				if !known.knows(key) {
					add(at+"/"+key, "is not a known field")
				}
			}
			faults = append(faults, known.check(at, raw)...)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	err := payment.Invalid(faults[0].Pointer, "%s", faults[0].Rule)
	err.Fields = faults
	return err
}

// changed is the document after a request.
func (s *Settings) changed(old Document, by payment.Actor, at time.Time, r Request) (Document, error) {
	next := Document{Version: old.Version + 1, Sections: maps.Clone(old.Sections)}
	if next.Sections == nil {
		next.Sections = map[string]json.RawMessage{}
	}
	change := Change{Version: next.Version, At: at, By: by, Reason: r.Reason, Sections: slices.Sorted(maps.Keys(r.Values))}
	size := 0
	for _, name := range change.Sections {
		merged, err := s.merged(name, old.Sections[name], r.Values[name])
		if err != nil {
			return old, err
		}
		delete(next.Sections, name)
		if merged != nil {
			next.Sections[name] = merged
		}
		size += len(r.Values[name])
	}
	if size <= maxKept {
		change.Values = r.Values
	}
	total := 0
	for _, raw := range next.Sections {
		total += len(raw)
	}
	if total > maxSections {
		return old, payment.NewError(payment.CodeTooLarge, "All sections together may have %d bytes.", maxSections)
	}
	next.Changes = append(slices.Clone(old.Changes), change)
	if extra := len(next.Changes) - MaxChanges; extra > 0 {
		next.Changes = next.Changes[extra:]
	}
	return next, nil
}

// merged is a section after a request: what was asked for, and what a newer version
// of the program has stored beside it. nil: nothing is left.
func (s *Settings) merged(name string, stored, asked json.RawMessage) (json.RawMessage, error) {
	fields := map[string]json.RawMessage{}
	if len(stored) > 0 {
		if err := json.Unmarshal(stored, &fields); err != nil {
			return nil, fmt.Errorf("settings: stored section %s: %w", name, err)
		}
	}
	maps.DeleteFunc(fields, func(key string, _ json.RawMessage) bool { return s.sections[name].knows(key) })
	if !isNull(asked) {
		given := map[string]json.RawMessage{}
		if err := json.Unmarshal(asked, &given); err != nil {
			return nil, fmt.Errorf("settings: section %s: %w", name, err)
		}
		maps.Copy(fields, given)
	}
	if len(fields) == 0 {
		return nil, nil
	}
	return json.Marshal(fields)
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(bytes.TrimSpace(raw)) == "null" }
