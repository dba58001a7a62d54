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
// an old one can be dropped. It starts by itself whenever another key has become the active one, also one that was so
// before, and whenever a program declares other Sealed places.
//
// Several processes may step at once: a record is rewritten by compare-and-swap, and doing it twice changes nothing.
// While their configurations differ, the process that began its round last decides.
type Resealer struct {
	engine  *SealedEngine
	cursors *Cursors
	clock   func() time.Time
	batch   int

	mu   sync.Mutex
	next time.Time // when to look again; saves reading the cursor in every step
	had  bool      // this process has worked on a round of its own configuration
}

const (
	// resealCursor holds the one round. Older programs kept one for each key ("seal/KEY"); those say nothing any more.
	resealCursor = "reseal"
	// resealIdle is how long a finished Resealer waits before it looks whether somebody ordered another round.
	resealIdle = time.Minute
	// resealYield is how long a process whose round was replaced by one of another configuration leaves that alone: two
	// that run side by side, as while servers restart one by one, would rewrite the same records back and forth.
	resealYield = time.Hour
)

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
	Active     string                      `json:"active"` // what the round is for: the key
	Places     string                      `json:"places"` // and a digest of the Sealed places
	Phase      string                      `json:"phase"`
	Collection string                      `json:"collection,omitempty"`
	After      string                      `json:"after,omitempty"`
	Written    int64                       `json:"written,omitempty"`
	Failed     int64                       `json:"failed,omitempty"`
	Problem    string                      `json:"problem,omitempty"`
	Records    map[string]map[string]int64 `json:"records,omitempty"`
}

// resealRound is the round as it is stored.
type resealRound struct {
	resealRecord
	ours bool // it is for this configuration; if not, the record is a new one's
	// token is the round's number and its fencing token: a step of an earlier round can't write over a later one.
	token int64
	at    time.Time // of its last step
}

func (r *Resealer) fresh() resealRecord {
	return resealRecord{Schema: 1, Active: r.engine.Active(), Places: r.engine.digest, Phase: ResealRewriting}
}

func (r *Resealer) read(ctx context.Context) (resealRound, error) {
	c, err := r.cursors.Get(ctx, resealCursor)
	if err != nil {
		return resealRound{}, err
	}
	out := resealRound{resealRecord: r.fresh(), token: c.Token, at: c.At}
	if c.Value == "" {
		return out, nil
	}
	var rec resealRecord
	if err := json.Unmarshal([]byte(c.Value), &rec); err != nil {
		return out, fmt.Errorf("store: %s can't be read: %w", c.Name, err)
	}
	if rec.Active == out.Active && rec.Places == out.Places {
		out.resealRecord, out.ours = rec, true
	}
	return out, nil
}

func (r *Resealer) write(ctx context.Context, rec resealRecord, token int64) error {
	value, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("store: encode %s: %w", resealCursor, err)
	}
	return r.cursors.Set(ctx, resealCursor, string(value), token, r.clock())
}

// State tells how far the round got. gateway.ErrUnavailable.
func (r *Resealer) State(ctx context.Context) (ResealState, error) {
	if r.engine.Active() == "" {
		return ResealState{Phase: ResealOff}, nil
	}
	rec, err := r.read(ctx)
	if err != nil {
		return ResealState{}, portError(err)
	}
	return ResealState{
		Active: rec.Active, Phase: rec.Phase, Written: rec.Written, Failed: rec.Failed, Problem: rec.Problem, Records: rec.Records, At: rec.at,
	}, nil
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
	c, err := r.cursors.Get(ctx, resealCursor)
	if err == nil {
		err = r.write(ctx, r.fresh(), c.Token+1)
	}
	return portError(err)
}

// Step works on one batch of records. did is how many it looked at; 0: there is nothing to do before next.
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
	rec, err := r.read(ctx)
	if err != nil {
		return 0, idle, err
	}
	r.had = r.had || rec.ours
	replaced := !rec.ours && r.had && now.Before(rec.at.Add(resealYield))
	if replaced || rec.ours && rec.Phase == ResealDone {
		r.next = idle
		return 0, idle, nil
	}
	did = 1
	if !rec.ours { // it is stored before its first batch, so that whoever restarts it has a greater token
		rec.token++
	} else if did, err = r.batchOf(ctx, &rec.resealRecord); err != nil {
		return 0, idle, err
	}
	if err := r.write(ctx, rec.resealRecord, rec.token); err != nil && !errors.Is(err, ErrFenced) { // fenced: another round began
		return did, now, err
	}
	r.had = true
	return did, now, nil
}

// batchOf works on the next batch of the round and moves the record past it.
func (r *Resealer) batchOf(ctx context.Context, rec *resealRecord) (did int, err error) {
	names := r.engine.SealedCollections()
	if rec.Collection == "" && len(names) > 0 {
		rec.Collection = names[0]
	}
	done, after, err := r.engine.Reseal(ctx, rec.Collection, rec.After, atOnce(rec.Collection, r.batch), rec.Phase == ResealRewriting)
	if errors.Is(err, ErrBadCursor) { // the declarations changed since: begin the collection again
		rec.After = ""
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	rec.add(done)
	rec.advance(names, after)
	return max(done.Seen, 1), nil
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
