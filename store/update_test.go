package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/store/storetest"
)

var errLost = fmt.Errorf("connection reset: %w", store.ErrUnavailable)

// now is the tests' clock.
var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func newMem(t *testing.T) store.Engine {
	t.Helper()
	return storetest.Open(t, storetest.Mem, append(store.Collections(), store.Collection{Name: "docs"}))
}

func named(t *testing.T) context.Context { return store.WithPoint(t.Context(), "test") }

// increment adds one to {"n":N}.
func increment(d store.Doc) (store.Doc, error) {
	var n int
	if _, err := fmt.Sscanf(string(d.Body), `{"n":%d}`, &n); err != nil {
		return d, err
	}
	d.Body = fmt.Appendf(nil, `{"n":%d}`, n+1)
	return d, nil
}

func counter(t *testing.T, e store.Engine) {
	t.Helper()
	if err := e.Insert(named(t), "docs", store.Doc{ID: "a", Body: []byte(`{"n":0}`)}); err != nil {
		t.Fatal(err)
	}
}

func wantBody(t *testing.T, e store.Engine, want string, version int64) {
	t.Helper()
	d, err := e.Get(t.Context(), "docs", "a")
	if err != nil || string(d.Body) != want || d.Version != version {
		t.Errorf("stored %s at version %d (%v), want %s at %d", d.Body, d.Version, err, want, version)
	}
}

// Guards I5 in the store: a lost acknowledgement is neither failure nor a reason to do it twice.
func TestUpdateLostAcknowledgement(t *testing.T) {
	t.Parallel()
	inner := newMem(t)
	counter(t, inner)
	lost := 0
	e := faults.Wrap(inner, faults.Options{Write: func(_ store.WritePoint, w faults.When) error {
		if w == faults.After {
			lost++
			return errLost
		}
		return nil
	}})
	for i := int64(1); i <= 5; i++ {
		d, err := store.Update(named(t), e, "docs", "a", increment)
		if err != nil || d.Version != i+1 {
			t.Fatalf("update %d: version %d, %v", i, d.Version, err)
		}
	}
	wantBody(t, inner, `{"n":5}`, 6)
	if lost != 5 {
		t.Errorf("%d acknowledgements were lost, want 5", lost)
	}
}

// Guards: a write that failed before it happened is sent again, a lasting outage is reported and nothing is written.
func TestUpdateOutage(t *testing.T) {
	t.Parallel()
	inner := newMem(t)
	counter(t, inner)
	failures := 2
	e := faults.Wrap(inner, faults.Options{Write: func(_ store.WritePoint, w faults.When) error {
		if w == faults.Before && failures > 0 {
			failures--
			return errLost
		}
		return nil
	}})
	if _, err := store.Update(named(t), e, "docs", "a", increment); err != nil {
		t.Errorf("two failures: %v", err)
	}
	wantBody(t, inner, `{"n":1}`, 2)
	failures = 1000
	if _, err := store.Update(named(t), e, "docs", "a", increment); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("lasting outage: %v", err)
	}
	if sent := 1000 - failures; sent > 3 {
		t.Errorf("sent %d times into an outage", sent)
	}
	wantBody(t, inner, `{"n":1}`, 2)
}

// late holds the first Replace back, reports it lost, and lets it arrive just before the second one.
type late struct {
	store.Engine
	held func() error
	used bool
}

func (l *late) Replace(ctx context.Context, coll string, d store.Doc, v int64) error {
	if !l.used {
		l.used = true
		l.held = func() error { return l.Engine.Replace(ctx, coll, d, v) }
		return errLost
	}
	if l.held != nil {
		if err := l.held(); err != nil {
			return err
		}
		l.held = nil
	}
	return l.Engine.Replace(ctx, coll, d, v)
}

// Guards: a write that was still on its way while it was read back is recognised as ours, and not done twice.
func TestUpdateLateArrival(t *testing.T) {
	t.Parallel()
	inner := newMem(t)
	counter(t, inner)
	calls := 0
	_, err := store.Update(named(t), &late{Engine: inner}, "docs", "a", func(d store.Doc) (store.Doc, error) {
		calls++
		return increment(d)
	})
	if err != nil || calls != 1 {
		t.Fatalf("%d calls, %v", calls, err)
	}
	wantBody(t, inner, `{"n":1}`, 2)
}

// Guards: after an unknown outcome, another's write at the next version proves that ours never happened (try again);
// versions further on prove nothing, and that is said.
func TestUpdateUnknownAndOvertaken(t *testing.T) {
	t.Parallel()
	for others, want := range map[int]error{1: nil, 2: store.ErrUnavailable} {
		inner := newMem(t)
		counter(t, inner)
		first := true
		e := faults.Wrap(inner, faults.Options{Write: func(_ store.WritePoint, w faults.When) error {
			if !first {
				return nil
			}
			first = false
			for i := range others {
				other := store.Doc{ID: "a", Body: []byte(`{"n":100}`)}
				if err := inner.Replace(t.Context(), "docs", other, int64(i+1)); err != nil {
					t.Error(err)
				}
			}
			return errLost
		}})
		_, err := store.Update(named(t), e, "docs", "a", increment)
		if !errors.Is(err, want) {
			t.Errorf("%d others: error %v, want %v", others, err, want)
		}
		if want == nil {
			wantBody(t, inner, `{"n":101}`, 3)
		} else {
			wantBody(t, inner, `{"n":100}`, 3)
		}
	}
}

// Guards: the loop is bounded, and the function's own verdicts come through.
func TestUpdateEnds(t *testing.T) {
	t.Parallel()
	inner := newMem(t)
	counter(t, inner)
	tries := 0
	e := faults.Wrap(inner, faults.Options{Write: func(store.WritePoint, faults.When) error {
		tries++
		return store.ErrConflict
	}})
	if _, err := store.Update(named(t), e, "docs", "a", increment); !errors.Is(err, store.ErrConflict) || tries != 32 {
		t.Errorf("always beaten: %v after %d tries", err, tries)
	}
	if _, err := store.Update(named(t), inner, "docs", "none", increment); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
	own := errors.New("refund exceeds captured")
	if _, err := store.Update(named(t), inner, "docs", "a", func(d store.Doc) (store.Doc, error) { return d, own }); !errors.Is(err, own) {
		t.Errorf("own error: %v", err)
	}
	d, err := store.Update(named(t), inner, "docs", "a", func(d store.Doc) (store.Doc, error) {
		d.Body[1] = 'X' // a copy: must not reach what comes back or the store
		return d, fmt.Errorf("seen before: %w", store.ErrUnchanged)
	})
	if err != nil || string(d.Body) != `{"n":0}` || d.Version != 1 {
		t.Errorf("unchanged: %s at %d, %v", d.Body, d.Version, err)
	}
	_, err = store.Update(named(t), inner, "docs", "a", func(d store.Doc) (store.Doc, error) { d.ID = "b"; return d, nil })
	if !errors.Is(err, store.ErrInvalid) {
		t.Errorf("changed id: %v", err)
	}
	wantBody(t, inner, `{"n":0}`, 1)
}

// Guards: "already ours: continue", "another's: here it is", and an outage is not mistaken for either.
func TestInsertOnce(t *testing.T) {
	t.Parallel()
	inner := newMem(t)
	var fail func(w faults.When) error
	e := faults.Wrap(inner, faults.Options{Write: func(_ store.WritePoint, w faults.When) error { return fail(w) }})
	insert := func(id, body string) (string, bool, error) {
		d, created, err := store.InsertOnce(named(t), e, "docs", store.Doc{ID: id, Body: []byte(body)})
		return string(d.Body), created, err
	}
	want := func(what, wantBody string, wantCreated bool, body string, created bool, err error) {
		t.Helper()
		if err != nil || body != wantBody || created != wantCreated {
			t.Errorf("%s: %s, created %v, %v", what, body, created, err)
		}
	}
	fail = func(faults.When) error { return nil }
	body, created, err := insert("a", `{"by":1}`)
	want("plain", `{"by":1}`, true, body, created, err)
	body, created, err = insert("a", `{"by":1}`)
	want("a second equal one", `{"by":1}`, false, body, created, err)
	body, created, err = insert("a", `{"by":2}`)
	want("another's", `{"by":1}`, false, body, created, err)

	fail = func(w faults.When) error {
		if w == faults.After {
			return errLost
		}
		return nil
	}
	body, created, err = insert("b", `{"by":1}`)
	want("lost acknowledgement", `{"by":1}`, true, body, created, err)
	failures := 2
	fail = func(faults.When) error {
		if failures--; failures >= 0 {
			return errLost
		}
		return nil
	}
	body, created, err = insert("c", `{"by":1}`)
	want("sent again", `{"by":1}`, true, body, created, err)
	fail = func(faults.When) error { return errLost }
	body, created, err = insert("a", `{"by":2}`)
	want("unknown, but another's is there", `{"by":1}`, false, body, created, err)
	if _, _, err := insert("d", `{"by":1}`); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("outage: %v", err)
	}
	if _, err := inner.Get(t.Context(), "docs", "d"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after the outage: %v", err)
	}
	if _, _, err := insert("e", `no JSON`); err == nil {
		t.Error("a broken body was taken")
	}
}

// Guards: the lists that migration, the engines and the crash tests walk are complete and fit to use.
func TestDeclarations(t *testing.T) {
	t.Parallel()
	if err := store.CheckCollections(store.Collections()); err != nil {
		t.Error(err)
	}
	seen := map[store.WritePoint]bool{}
	for _, p := range store.WritePoints() {
		if p == "" || seen[p] {
			t.Errorf("write point %q is empty or listed twice", p)
		}
		seen[p] = true
	}
}

// Guards: a write without a declared name is found by any test that uses the decorator; reads need none.
func TestFaultsRefuseUnnamedWrites(t *testing.T) {
	t.Parallel()
	e := faults.Wrap(newMem(t), faults.Options{Points: []store.WritePoint{"known"}})
	d := store.Doc{ID: "a", Body: []byte(`{}`)}
	for _, ctx := range []context.Context{t.Context(), store.WithPoint(t.Context(), "unknown")} {
		for what, err := range map[string]error{
			"insert": e.Insert(ctx, "docs", d), "replace": e.Replace(ctx, "docs", d, 1), "delete": e.Delete(ctx, "docs", "a", 1),
		} {
			if !errors.Is(err, store.ErrInvalid) {
				t.Errorf("%s at %q: %v", what, store.PointOf(ctx), err)
			}
		}
	}
	if _, err := e.Get(t.Context(), "docs", "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a refused write left something: %v", err)
	}
	if err := e.Insert(store.WithPoint(t.Context(), "known"), "docs", d); err != nil {
		t.Error(err)
	}
}

// Guards: the hooks stand where they say: nothing is written before, it is written after, and reads can fail too.
func TestFaultsPlaces(t *testing.T) {
	t.Parallel()
	inner := newMem(t)
	var calls []string
	crash := func() (crashed bool) {
		defer func() { crashed = recover() != nil }()
		e := faults.Wrap(inner, faults.Options{Write: func(p store.WritePoint, w faults.When) error {
			_, err := inner.Get(t.Context(), "docs", "a")
			calls = append(calls, fmt.Sprint(p, " ", w, " stored=", err == nil))
			if w == faults.After {
				panic("crash")
			}
			return nil
		}})
		_ = e.Insert(named(t), "docs", store.Doc{ID: "a", Body: []byte(`{}`)}) // panics
		return false
	}
	if !crash() {
		t.Error("no crash")
	}
	want := "[test before stored=false test after stored=true]"
	if got := fmt.Sprint(calls); got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
	down := faults.Wrap(inner, faults.Options{Read: func(string) error { return errLost }})
	if _, err := down.Get(t.Context(), "docs", "a"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	if _, _, err := down.Scan(t.Context(), "docs", "", 1); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("scan: %v", err)
	}
	if err := down.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
}
