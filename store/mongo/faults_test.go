package mongo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
	"github.com/trifecta-pay/trifecta/store/mongo/wiretest"
)

const things = "things"

// trouble is one kind of fault, to be met by one write.
type trouble struct {
	name  string
	fault wiretest.Fault
	// sure: no retry of the driver's can cure or hide it, so a bare write must report it.
	sure error
}

func troubles() []trouble {
	return []trouble{
		{name: "none", fault: wiretest.Fault{Effect: true}},
		{name: "cut before effect", fault: wiretest.Fault{Cut: true}},
		{name: "cut after effect", fault: wiretest.Fault{Cut: true, Effect: true}},
		{name: "cut after effect, record lost", fault: wiretest.Fault{Cut: true, Effect: true, Forget: true}},
		{name: "cut after effect, record lost, twice", fault: wiretest.Fault{Cut: true, Effect: true, Forget: true, Times: 2}},
		{name: "new primary", fault: wiretest.Fault{Code: wiretest.NotWritablePrimary, Elect: true}},
		{name: "new primary after a while", fault: wiretest.Fault{Code: wiretest.NotWritablePrimary, Elect: true, ElectGap: 600 * time.Millisecond}},
		{name: "new primary after effect", fault: wiretest.Fault{Code: wiretest.InterruptedByElect, Effect: true, Elect: true}},
		{name: "cut and new primary", fault: wiretest.Fault{Cut: true, Elect: true}},
		{name: "cut after effect and new primary", fault: wiretest.Fault{Cut: true, Effect: true, Elect: true}},
		{name: "slow", fault: wiretest.Fault{Delay: 150 * time.Millisecond, Effect: true}},
		{name: "write conflict", fault: wiretest.Fault{Code: wiretest.WriteConflict}, sure: store.ErrUnavailable},
		{name: "out of time on the server", fault: wiretest.Fault{Code: wiretest.MaxTimeMSExpired}, sure: store.ErrUnavailable},
		{name: "out of time on the server, after effect", fault: wiretest.Fault{Code: wiretest.MaxTimeMSExpired, Effect: true}, sure: store.ErrUnavailable},
		{name: "duplicate key out of nowhere", fault: wiretest.Fault{Code: wiretest.DuplicateKey}},
		{name: "no majority in time", fault: wiretest.Fault{ConcernCode: wiretest.WriteConcernTimeout, Effect: true}, sure: store.ErrUnavailable},
		{name: "no majority, and rolled back", fault: wiretest.Fault{ConcernCode: wiretest.WriteConcernTimeout}, sure: store.ErrUnavailable},
		{name: "stepped down before a majority", fault: wiretest.Fault{ConcernCode: wiretest.StepDown, Effect: true, Elect: true}},
	}
}

// rig is a set with one document "old" at version 1, and an engine on it.
func rig(t *testing.T, o wiretest.Options, more ...func(*Options)) (*wiretest.Server, *Engine) {
	t.Helper()
	s := wiretest.Start(t, o)
	e := migrated(t, s.URL("t"), enginetest.Collections(), more...)
	if err := e.Insert(t.Context(), things, store.Doc{ID: "old", Body: []byte(`{"n":1}`)}); err != nil {
		t.Fatal(err)
	}
	return s, e
}

// eachTrouble runs fn for every fault, with a set that keeps records of retryable writes and with one that does not.
func eachTrouble(t *testing.T, fn func(t *testing.T, s *wiretest.Server, e *Engine, tr trouble)) {
	t.Parallel()
	for _, records := range []bool{true, false} {
		for _, tr := range troubles() {
			t.Run(fmt.Sprintf("%s, records %v", tr.name, records), func(t *testing.T) {
				t.Parallel()
				s, e := rig(t, wiretest.Options{NoRetryRecords: !records})
				fn(t, s, e, tr)
				if s.Pending() > 0 {
					t.Error("the fault met nothing")
				}
			})
		}
	}
}

func (tr trouble) on(command string) wiretest.Fault {
	f := tr.fault
	f.Command = command
	return f
}

// honest checks an error of a bare write: it is of a kind that the port knows, and holds nothing of the server's text.
func honest(t *testing.T, err error, tr trouble, kinds ...error) {
	t.Helper()
	if tr.sure != nil && !errors.Is(err, tr.sure) {
		t.Errorf("error %v, want %v", err, tr.sure)
	}
	if err == nil {
		return
	}
	if !slices.ContainsFunc(append(kinds, store.ErrUnavailable), func(k error) bool { return errors.Is(err, k) }) {
		t.Errorf("error of no known kind: %v", err)
	}
	if strings.Contains(err.Error(), "injected") || strings.Contains(err.Error(), "E11000") {
		t.Errorf("the error repeats the server's text: %v", err)
	}
}

func state(t *testing.T, e *Engine, id string) (body string, version int64) {
	t.Helper()
	d, err := e.Get(t.Context(), things, id)
	if errors.Is(err, store.ErrNotFound) {
		return "", 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(d.Body), d.Version
}

// Guards I4: an acknowledged insert is stored; one that says "exists" did not store ours; anything else is unknown.
func TestInsertUnderFaults(t *testing.T) {
	eachTrouble(t, func(t *testing.T, s *wiretest.Server, e *Engine, tr trouble) {
		s.Inject(tr.on("insert"))
		err := e.Insert(t.Context(), things, store.Doc{ID: "new", Body: []byte(`{"n":7}`)})
		honest(t, err, tr, store.ErrExists)
		body, version := state(t, e, "new")
		switch {
		case err == nil && (body != `{"n":7}` || version != 1):
			t.Errorf("acknowledged, but stored is %q at %d", body, version)
		case errors.Is(err, store.ErrExists) && body != "":
			t.Errorf("our own insert was reported as somebody else's: %v", err)
		}
	})
}

// Guards: a replace that says "conflict" did not happen.
func TestReplaceUnderFaults(t *testing.T) {
	eachTrouble(t, func(t *testing.T, s *wiretest.Server, e *Engine, tr trouble) {
		s.Inject(tr.on("update"))
		err := e.Replace(t.Context(), things, store.Doc{ID: "old", Body: []byte(`{"n":2}`)}, 1)
		honest(t, err, tr, store.ErrConflict)
		body, version := state(t, e, "old")
		switch {
		case err == nil && (body != `{"n":2}` || version != 2):
			t.Errorf("acknowledged, but stored is %q at %d", body, version)
		case errors.Is(err, store.ErrConflict) && version != 1:
			t.Errorf("our own replace was reported as somebody else's: %v", err)
		}
	})
}

// Guards: the same for deletes.
func TestDeleteUnderFaults(t *testing.T) {
	eachTrouble(t, func(t *testing.T, s *wiretest.Server, e *Engine, tr trouble) {
		s.Inject(tr.on("delete"))
		err := e.Delete(t.Context(), things, "old", 1)
		honest(t, err, tr, store.ErrConflict)
		_, version := state(t, e, "old")
		switch {
		case err == nil && version != 0:
			t.Errorf("acknowledged, but it is still there at %d", version)
		case errors.Is(err, store.ErrConflict) && version == 0:
			t.Errorf("our own delete was reported as somebody else's: %v", err)
		}
	})
}

// Guards: one fault is healed: InsertOnce stores the document once and knows that it was its own.
func TestInsertOnceHeals(t *testing.T) {
	eachTrouble(t, func(t *testing.T, s *wiretest.Server, e *Engine, tr trouble) {
		s.Inject(tr.on("insert"))
		d := store.Doc{ID: "new", Body: []byte(`{"n":7}`)}
		stored, created, err := store.InsertOnce(t.Context(), e, things, d)
		if err != nil || !created || string(stored.Body) != string(d.Body) || stored.Version != 1 {
			t.Errorf("got %q at %d, created %v, %v", stored.Body, stored.Version, created, err)
		}
	})
}

// Guards: one fault is healed: Update makes its change once, neither lost nor doubled.
func TestUpdateHeals(t *testing.T) {
	eachTrouble(t, func(t *testing.T, s *wiretest.Server, e *Engine, tr trouble) {
		s.Inject(tr.on("update"))
		d, err := store.Update(t.Context(), e, things, "old", func(d store.Doc) (store.Doc, error) {
			var body struct{ N int }
			if err := json.Unmarshal(d.Body, &body); err != nil {
				return d, err
			}
			d.Body = fmt.Appendf(nil, `{"n":%d}`, body.N+1)
			return d, nil
		})
		body, version := state(t, e, "old")
		if err != nil || string(d.Body) != `{"n":2}` || body != `{"n":2}` || version != 2 {
			t.Errorf("got %q, stored %q at %d, %v", d.Body, body, version, err)
		}
	})
}

// Guards: a read that meets a fault is asked again, also between its batches.
func TestReadsUnderFaults(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"find", "getMore"} {
		for _, tr := range troubles() {
			switch {
			case tr.fault.ConcernCode != 0 || tr.fault.Code == wiretest.DuplicateKey || tr.fault.Times > 1:
				continue // not of reads
			}
			t.Run(command+" "+tr.name, func(t *testing.T) {
				t.Parallel()
				s, e := rig(t, wiretest.Options{MaxBatchBytes: 200})
				for i := range 20 {
					if err := e.Insert(t.Context(), things, store.Doc{ID: fmt.Sprintf("d%02d", i), Body: []byte(`{}`)}); err != nil {
						t.Fatal(err)
					}
				}
				s.Inject(tr.on(command))
				docs, _, err := e.Scan(t.Context(), things, "", 0)
				honest(t, err, tr)
				if err == nil && len(docs) != 21 {
					t.Errorf("%d documents, want 21", len(docs))
				}
				if err != nil && tr.sure == nil {
					t.Errorf("not cured: %v", err)
				}
				if s.Pending() > 0 {
					t.Error("the fault met nothing")
				}
			})
		}
	}
}

// Guards: an outage is said soon and as such, and is over when it is over.
func TestOutage(t *testing.T) {
	t.Parallel()
	s, e := rig(t, wiretest.Options{LongestCommand: 3 * time.Minute}, func(o *Options) {
		o.SelectionTimeout, o.Timeout = 300*time.Millisecond, 2*time.Minute // which of the two ends a call is seen
	})
	s.SetReachable(t, false)
	began := time.Now()
	for what, err := range map[string]error{
		"insert": e.Insert(t.Context(), things, store.Doc{ID: "x", Body: []byte(`{}`)}),
		"ping":   e.Ping(t.Context()),
	} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s in an outage: %v", what, err)
		}
	}
	if _, err := e.Get(t.Context(), things, "old"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("get in an outage: %v", err)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("three answers took %v", took)
	}
	s.SetReachable(t, true)
	deadline := time.Now().Add(2 * time.Minute)
	for e.Ping(t.Context()) != nil {
		if time.Now().After(deadline) {
			t.Fatal("it does not come back")
		}
	}
	if body, version := state(t, e, "old"); body != `{"n":1}` || version != 1 {
		t.Errorf("after the outage: %q at %d", body, version)
	}
}

// Guards: the deadline is ours when the caller has none, and an unknown outcome when it passes; the caller's when that
// comes first.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	s, _ := rig(t, wiretest.Options{})
	e := openAt(t, s.URL("t"), enginetest.Collections())
	e.timeout = time.Second // from here on
	slow := wiretest.Fault{Command: "update", Delay: 3 * time.Second, Effect: true}
	s.Inject(slow)
	err := e.Replace(t.Context(), things, store.Doc{ID: "old", Body: []byte(`{"n":2}`)}, 1)
	if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("our deadline: %v", err)
	}
	s.Inject(slow)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := e.Replace(ctx, things, store.Doc{ID: "old", Body: []byte(`{"n":2}`)}, 1); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller's deadline: %v", err)
	}
}

// Guards I1's base over the wire: with one command in seven lost, one in eleven done but not acknowledged, and
// elections on top, no increment is lost or done twice.
func TestCounterUnderFaults(t *testing.T) {
	t.Parallel()
	for _, records := range []bool{true, false} {
		t.Run(fmt.Sprintf("records %v", records), func(t *testing.T) {
			t.Parallel()
			const workers, each = 3, 8
			s, e := rig(t, wiretest.Options{NoRetryRecords: !records})
			s.Inject(wiretest.Fault{Command: "update", Times: -1, Every: 29, Code: wiretest.NotWritablePrimary, Elect: true})
			s.Inject(wiretest.Fault{Command: "update", Times: -1, Every: 7, Cut: true})
			s.Inject(wiretest.Fault{Command: "update", Times: -1, Every: 11, Cut: true, Effect: true})
			s.Inject(wiretest.Fault{Command: "update", Times: -1, Every: 5, ConcernCode: wiretest.WriteConcernTimeout, Effect: true})
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					for i := range each {
						add(t, e, fmt.Sprintf("%d-%d", w, i))
					}
				})
			}
			wg.Wait()
			s.Heal()
			body, _ := state(t, e, "old")
			var sum struct{ Done []string }
			if err := json.Unmarshal([]byte(body), &sum); err != nil {
				t.Fatal(err)
			}
			slices.Sort(sum.Done)
			if n := len(sum.Done); n != workers*each || len(slices.Compact(sum.Done)) != n {
				t.Errorf("%d changes stored, want %d, each once: %v", n, workers*each, sum.Done)
			}
		})
	}
}

// add appends op to the list in the document, and repeats as a client does until that is acknowledged. It recognises
// its own earlier effect, as Update asks.
func add(t *testing.T, e *Engine, op string) {
	for range 50 {
		_, err := store.Update(t.Context(), e, things, "old", func(d store.Doc) (store.Doc, error) {
			var body struct {
				Done []string `json:"done"`
			}
			if err := json.Unmarshal(d.Body, &body); err != nil {
				return d, err
			}
			if slices.Contains(body.Done, op) {
				return d, store.ErrUnchanged
			}
			body.Done = append(body.Done, op)
			var err error
			d.Body, err = json.Marshal(body)
			return d, err
		})
		if err == nil {
			return
		}
		if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrConflict) {
			t.Errorf("add %s: %v", op, err)
			return
		}
	}
	t.Errorf("add %s was never acknowledged", op)
}
