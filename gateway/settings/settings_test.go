package settings_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/settings"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/store/mem"
)

// colour is a section as some room would declare it; shade is a key that only a
// newer version of the program knows.
type colour struct {
	Name  string `json:"name,omitempty"`
	Shade string `json:"shade,omitempty"`
}

// replica is one process: its settings and its section.
type replica struct {
	*settings.Settings
	colour *settings.Section[colour]
}

type rig struct {
	t      *testing.T
	engine store.Engine
	down   bool // every read fails
	reads  int
	lose   int // how many writes are done and their acknowledgement lost
	now    time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	inner, err := mem.New(store.Collections())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	r.engine = faults.Wrap(inner, faults.Options{
		Points: store.WritePoints(),
		Read: func(string) error {
			r.reads++
			if r.down {
				return store.ErrUnavailable
			}
			return nil
		},
		Write: func(_ store.WritePoint, w faults.When) error {
			if w == faults.After && r.lose > 0 {
				r.lose--
				return store.ErrUnavailable
			}
			return nil
		},
	})
	return r
}

func (r *rig) replica(keys ...string) replica {
	r.t.Helper()
	s, err := settings.New(settings.Options{Store: store.NewSettings(r.engine), Clock: func() time.Time { return r.now }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	return replica{s, settings.Add(s, settings.Definition[colour]{Name: "colour", Keys: keys, Check: func(c colour) []payment.FieldError {
		if c.Name == "octarine" {
			return []payment.FieldError{{Pointer: "/name", Rule: "is not a colour"}}
		}
		return nil
	}})}
}

var operator = payment.Actor{Type: "operator", ID: "tk_op_x"}

func (r *rig) put(s replica, version int64, section string) (settings.Document, error) {
	return s.Put(r.t.Context(), operator, settings.Request{
		Version: version, Reason: "test", Values: map[string]json.RawMessage{"colour": json.RawMessage(section)},
	})
}

func (r *rig) mustPut(s replica, version int64, section string) settings.Document {
	r.t.Helper()
	d, err := r.put(s, version, section)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

func (r *rig) step(s replica) {
	r.t.Helper()
	if _, _, err := s.Step(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// Promise: a change made at one process is in force there at once and at another
// after its next step; reading a section asks no store; an outage leaves what was
// read last in force.
func TestChangesReachEveryProcess(t *testing.T) {
	r := newRig(t)
	a, b := r.replica("name"), r.replica("name")
	r.step(b)
	r.mustPut(a, 0, `{"name":"red"}`)
	if got := a.colour.Get().Name; got != "red" {
		t.Errorf("the process that changed it has %q", got)
	}
	if got := b.colour.Get().Name; got != "" {
		t.Errorf("the other process has %q before it read", got)
	}
	r.step(b)
	r.down = true
	if _, next, err := b.Step(t.Context()); !errors.Is(err, gateway.ErrUnavailable) || next.Sub(r.now) != time.Second {
		t.Errorf("a step without a store: %v, next in %s", err, next.Sub(r.now))
	}
	before := r.reads
	for range 1000 {
		if got := b.colour.Get().Name; got != "red" {
			t.Fatalf("without a store: %q, want what was read last", got)
		}
	}
	if r.reads != before {
		t.Errorf("reading a section asked the store %d times", r.reads-before)
	}
	r.down = false
	r.mustPut(a, 1, `null`)
	r.step(b)
	if got := b.colour.Get(); got != (colour{}) {
		t.Errorf("after a reset: %+v", got)
	}
}

// Promise: of two operators who change the same version one is refused and told,
// also where the winner's acknowledgement was lost on its way.
func TestLostRaceIsRefused(t *testing.T) {
	r := newRig(t)
	a, b := r.replica("name"), r.replica("name")
	for version := range int64(2) { // the first write is an insert, the second a replace
		r.lose = 1
		if d := r.mustPut(a, version, fmt.Sprintf(`{"name":"a%d"}`, version)); d.Version != version+1 {
			t.Errorf("version %d after the change of %d", d.Version, version)
		}
		if _, err := r.put(b, version, `{"name":"b"}`); payment.CodeOf(err) != payment.CodeConflict {
			t.Errorf("the second change of version %d: %v", version, err)
		}
	}
	d, err := b.Current(t.Context())
	if err != nil || string(d.Sections["colour"]) != `{"name":"a1"}` || len(d.Changes) != 2 {
		t.Errorf("stored: %s %d changes (%v)", d.Sections["colour"], len(d.Changes), err)
	}
}

// Promise: an older process never drops what a newer one keeps: not a key beside
// those it knows, not a section that it does not know.
func TestOlderProcessDropsNothing(t *testing.T) {
	r := newRig(t)
	newer, older := r.replica("name", "shade"), r.replica("name")
	type extra struct{ X int }
	settings.Add(newer.Settings, settings.Definition[extra]{Name: "extra", Keys: []string{"X"}})
	if _, err := newer.Put(t.Context(), operator, settings.Request{Reason: "new", Values: map[string]json.RawMessage{
		"colour": json.RawMessage(`{"name":"red","shade":"dark"}`), "extra": json.RawMessage(`{"X":1}`),
	}}); err != nil {
		t.Fatal(err)
	}
	d := r.mustPut(older, 1, `{"name":"blue"}`)
	if got := string(d.Sections["colour"]) + string(d.Sections["extra"]); got != `{"name":"blue","shade":"dark"}{"X":1}` {
		t.Errorf("after the older process's change: %s", got)
	}
	d = r.mustPut(older, 2, `null`)
	if got := string(d.Sections["colour"]); got != `{"shade":"dark"}` {
		t.Errorf("after the older process's reset: %s", got)
	}
}

// Promise: what is doubtful is refused with its place, and changes nothing.
func TestDoubtfulSettingsAreRefused(t *testing.T) {
	r := newRig(t)
	s := r.replica("name")
	for section, pointer := range map[string]string{
		`{"name":"octarine"}`: "/settings/colour/name", `{"name":7}`: "/settings/colour/name", `{"nmae":"red"}`: "/settings/colour/nmae",
		`{"NAME":"red"}`: "/settings/colour/NAME", `[]`: "/settings/colour", `"red"`: "/settings/colour",
	} {
		_, err := r.put(s, 0, section)
		var e *payment.Error
		if !errors.As(err, &e) || e.Code != payment.CodeInvalid || e.Fields[0].Pointer != pointer {
			t.Errorf("%s: %v, want %s refused", section, err, pointer)
		}
	}
	for _, req := range []settings.Request{
		{Reason: "x"},
		{Reason: " ", Values: map[string]json.RawMessage{"colour": json.RawMessage(`{}`)}},
		{Reason: strings.Repeat("x", settings.MaxReason+1), Values: map[string]json.RawMessage{"colour": json.RawMessage(`{}`)}},
		{Reason: "x", Values: map[string]json.RawMessage{"flavour": json.RawMessage(`{}`)}},
	} {
		if _, err := s.Put(t.Context(), operator, req); payment.CodeOf(err) != payment.CodeInvalid {
			t.Errorf("%+v: %v", req, err)
		}
	}
	if d, err := s.Current(t.Context()); err != nil || d.Version != 0 {
		t.Errorf("something was stored: %+v (%v)", d, err)
	}
}

// Promise: the document says who changed what, when and why, for the last fifty
// changes, and does not grow for ever.
func TestHistoryIsKept(t *testing.T) {
	r := newRig(t)
	s := r.replica("name")
	long := `{"name":"` + strings.Repeat("x", 5000) + `"}`
	var last settings.Document
	for i := range int64(settings.MaxChanges + 5) {
		text := `{"name":"red"}`
		if i == settings.MaxChanges+4 {
			text = long
		}
		r.now = r.now.Add(time.Second)
		last = r.mustPut(s, i, text)
	}
	if len(last.Changes) != settings.MaxChanges || last.Changes[0].Version != 6 {
		t.Fatalf("%d changes, the first of version %d", len(last.Changes), last.Changes[0].Version)
	}
	newest := last.Changes[settings.MaxChanges-1]
	want := settings.Change{Version: last.Version, At: r.now, By: operator, Reason: "test", Sections: []string{"colour"}}
	if diff := cmp.Diff(want, newest); diff != "" {
		t.Errorf("the newest change, too large to keep its values (-want +got):\n%s", diff)
	}
	if got := string(last.Changes[0].Values["colour"]); got != `{"name":"red"}` {
		t.Errorf("a change's values: %s", got)
	}
	if _, err := r.put(s, last.Version, `{"name":"`+strings.Repeat("x", 70_000)+`"}`); payment.CodeOf(err) != payment.CodeTooLarge {
		t.Errorf("a huge section: %v", err)
	}
}

// Promise: a stored section that this process can't read leaves what was in force,
// says so once, and keeps no other section from following.
func TestUnreadableSectionKeepsTheLast(t *testing.T) {
	r := newRig(t)
	s, other := r.replica("name"), r.replica("name")
	r.mustPut(s, 0, `{"name":"red"}`)
	type any2 struct{ Name json.RawMessage }
	strange, err := settings.New(settings.Options{Store: store.NewSettings(r.engine), Clock: func() time.Time { return r.now }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	settings.Add(strange, settings.Definition[any2]{Name: "colour", Keys: []string{"name"}})
	r.step(other)
	if _, err := strange.Put(t.Context(), operator, settings.Request{Version: 1, Reason: "x", Values: map[string]json.RawMessage{"colour": json.RawMessage(`{"name":[1]}`)}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := other.Step(t.Context()); err == nil {
		t.Error("an unreadable section is not told")
	}
	if got := other.colour.Get().Name; got != "red" {
		t.Errorf("in force: %q, want what was", got)
	}
	r.step(other) // told once
}
