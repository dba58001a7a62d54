package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Resealer brings every record under the active key, in bounded steps that any process can go on with: first it
// rewrites what is plain or under an older key, then it counts what stands under which key, so that an operator sees when
// an old one can be dropped. It starts by itself whenever another key has become the active one.
//
// Several processes may step at once: a record is rewritten by compare-and-swap, and doing it twice changes nothing.
type Resealer struct {
	engine  *SealedEngine
	cursors *Cursors
	clock   func() time.Time
	batch   int

	mu   sync.Mutex
	next time.Time // when to look again; saves reading the cursor in every step
}

// resealIdle is how long a finished Resealer waits before it looks whether somebody ordered another round.
const resealIdle = time.Minute

// NewResealer makes a Resealer over a sealing engine.
func NewResealer(e *SealedEngine, clock func() time.Time) *Resealer {
	return &Resealer{engine: e, cursors: NewCursors(e), clock: clock, batch: 100}
}

// Phases of a round.
const (
	ResealRewriting = "rewriting"
	ResealCounting  = "counting"
	ResealDone      = "done"
	ResealOff       = "off" // there is no key
)

// ResealState is how far the round for the active key got.
type ResealState struct {
	Active  string // the key that everything is brought under
	Phase   string // one of the phases
	Written int64  // records rewritten
	// Failed are records that could not be opened or written; Problem says why the last one could not.
	Failed  int64
	Problem string
	// Records counts, per collection and key id ("" is plain), records with some value under that key, as of the
	// counting.
	Records map[string]map[string]int64
	At      time.Time // of the last step
}

// Left counts the records that were found not to be under the active key.
func (s ResealState) Left() int64 {
	n := int64(0)
	for _, keys := range s.Records {
		for id, count := range keys {
			if id != s.Active {
				n += count
			}
		}
	}
	return n
}

type resealRecord struct {
	Schema     int                         `json:"schema"`
	Phase      string                      `json:"phase"`
	Collection string                      `json:"collection,omitempty"`
	After      string                      `json:"after,omitempty"`
	Written    int64                       `json:"written,omitempty"`
	Failed     int64                       `json:"failed,omitempty"`
	Problem    string                      `json:"problem,omitempty"`
	Records    map[string]map[string]int64 `json:"records,omitempty"`
}

// cursor names the round of the active key.
func (r *Resealer) cursor() string { return "seal/" + r.engine.Active() }

// resealToken is every stepper's: they need not shut each other out.
const resealToken = 1

func (r *Resealer) read(ctx context.Context) (resealRecord, time.Time, error) {
	c, err := r.cursors.Get(ctx, r.cursor())
	if err != nil {
		return resealRecord{}, time.Time{}, err
	}
	rec := resealRecord{Schema: 1, Phase: ResealRewriting}
	if c.Value == "" {
		return rec, time.Time{}, nil
	}
	if err := json.Unmarshal([]byte(c.Value), &rec); err != nil {
		return rec, c.At, fmt.Errorf("store: %s can't be read: %w", c.Name, err)
	}
	return rec, c.At, nil
}

func (r *Resealer) write(ctx context.Context, rec resealRecord) error {
	value, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("store: encode %s: %w", r.cursor(), err)
	}
	return r.cursors.Set(ctx, r.cursor(), string(value), resealToken, r.clock())
}

// State tells how far the round got. gateway.ErrUnavailable.
func (r *Resealer) State(ctx context.Context) (ResealState, error) {
	if r.engine.Active() == "" {
		return ResealState{Phase: ResealOff}, nil
	}
	rec, at, err := r.read(ctx)
	return ResealState{
		Active: r.engine.Active(), Phase: rec.Phase, Written: rec.Written, Failed: rec.Failed, Problem: rec.Problem, Records: rec.Records, At: at,
	}, portError(err)
}

// Restart orders another round: after a process with an older configuration has written since, or to count again. It
// does nothing without a key. gateway.ErrUnavailable.
func (r *Resealer) Restart(ctx context.Context) error {
	if r.engine.Active() == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = time.Time{}
	return portError(r.write(ctx, resealRecord{Schema: 1, Phase: ResealRewriting}))
}

// Step works on one batch of records. did is how many it looked at.
func (r *Resealer) Step(ctx context.Context) (did int, next time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock()
	if now.Before(r.next) {
		return 0, r.next, nil
	}
	idle := now.Add(resealIdle)
	if r.engine.Active() == "" {
		r.next = idle
		return 0, idle, nil
	}
	rec, _, err := r.read(ctx)
	if err != nil {
		return 0, idle, err
	}
	if rec.Phase == ResealDone {
		r.next = idle
		return 0, idle, nil
	}
	names := r.engine.SealedCollections()
	if rec.Collection == "" && len(names) > 0 {
		rec.Collection = names[0]
	}
	done, after, err := r.engine.Reseal(ctx, rec.Collection, rec.After, r.batch, rec.Phase == ResealRewriting)
	if errors.Is(err, ErrBadCursor) { // the declarations changed since: begin the collection again
		rec.After = ""
		return 1, now, r.write(ctx, rec)
	}
	if err != nil {
		return 0, idle, err
	}
	rec.add(done)
	rec.advance(names, after)
	return max(done.Seen, 1), now, r.write(ctx, rec)
}

func (rec *resealRecord) add(done Resealed) {
	rec.Written += int64(done.Written)
	if rec.Phase == ResealRewriting {
		rec.Failed += int64(done.Failed)
		if done.Err != nil {
			rec.Problem = done.Err.Error()
		}
		return
	}
	for key, n := range done.Keys {
		if rec.Records == nil {
			rec.Records = map[string]map[string]int64{}
		}
		if rec.Records[rec.Collection] == nil {
			rec.Records[rec.Collection] = map[string]int64{}
		}
		rec.Records[rec.Collection][key] += int64(n)
	}
}

// advance moves to the next batch, collection or phase.
func (rec *resealRecord) advance(names []string, after string) {
	rec.After = after
	if after != "" {
		return
	}
	at := slices.Index(names, rec.Collection)
	if at+1 < len(names) {
		rec.Collection = names[at+1]
		return
	}
	rec.Collection = ""
	if rec.Phase == ResealRewriting {
		rec.Phase, rec.Records = ResealCounting, nil
		return
	}
	rec.Phase = ResealDone
}
