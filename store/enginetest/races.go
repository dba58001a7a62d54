package enginetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
)

const writers = 32

// together runs fn in `writers` goroutines that start at once.
func together(fn func(worker int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			<-start
			fn(w)
		})
	}
	close(start)
	wg.Wait()
}

// Guards: no update is lost. 32 writers add 50 each to one counter; the sum is exact, and so is the version. A writer
// that lost 32 races in a row (Update's limit) asks again, as a caller would.
func updateCounter(t *testing.T, e store.Engine) {
	const each = 50
	mustInsert(t, e, store.Doc{ID: "counter", Body: []byte(`{"n":0}`)})
	together(func(int) {
		for range each {
			for {
				_, err := store.Update(t.Context(), e, coll, "counter", func(d store.Doc) (store.Doc, error) {
					var n int
					if _, err := fmt.Sscanf(string(d.Body), `{"n":%d}`, &n); err != nil {
						return d, err
					}
					d.Body = fmt.Appendf(nil, `{"n":%d}`, n+1)
					return d, nil
				})
				if err == nil {
					break
				}
				if !errors.Is(err, store.ErrConflict) {
					t.Errorf("update: %v", err)
					return
				}
			}
		}
	})
	got := mustGet(t, e, "counter")
	if string(got.Body) != fmt.Sprintf(`{"n":%d}`, writers*each) || got.Version != 1+writers*each {
		t.Errorf("after %d increments: %s at version %d", writers*each, got.Body, got.Version)
	}
}

// Guards I1's base: of many inserts of one id exactly one wins, the others are told so and read the winner's.
func insertRace(t *testing.T, e store.Engine) {
	for round := range 10 {
		id := fmt.Sprintf("race-%d", round)
		var mu sync.Mutex
		created, seen := 0, map[string]int{}
		together(func(w int) {
			d, won, err := store.InsertOnce(t.Context(), e, coll, store.Doc{ID: id, Body: fmt.Appendf(nil, `{"w":%d}`, w)})
			if err != nil {
				t.Errorf("insert once: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen[string(d.Body)]++
			if won {
				created++
			}
		})
		if created != 1 || len(seen) != 1 {
			t.Fatalf("round %d: %d creators, contents %v", round, created, seen)
		}
	}
}

// Guards: of many replaces of one version exactly one wins.
func replaceRace(t *testing.T, e store.Engine) {
	mustInsert(t, e, doc("a", nil))
	for version := int64(1); version <= 10; version++ {
		var mu sync.Mutex
		winner := ""
		together(func(w int) {
			body := fmt.Sprintf(`{"v":%d,"w":%d}`, version, w)
			err := e.Replace(t.Context(), coll, store.Doc{ID: "a", Body: []byte(body)}, version)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && winner == "":
				winner = body
			case err == nil:
				t.Errorf("version %d: two winners", version)
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("replace: %v", err)
			}
		})
		if got := mustGet(t, e, "a"); string(got.Body) != winner || got.Version != version+1 {
			t.Fatalf("version %d: stored %s at %d, winner %s", version, got.Body, got.Version, winner)
		}
	}
}

// Guards: work is never given to two workers. 32 claimers take 200 due documents by query and compare-and-swap lease.
func claims(t *testing.T, e store.Engine) {
	const due = 200
	now := base
	for i := range due {
		mustInsert(t, e, doc(fmt.Sprintf("job-%03d", i), map[string]any{"state": "waiting", "due": now.Add(-time.Duration(i%5) * time.Second)}))
	}
	mustInsert(t, e, doc("later", map[string]any{"state": "waiting", "due": now.Add(time.Millisecond)}))
	var mu sync.Mutex
	takenBy := map[string]int{}
	together(func(w int) {
		for {
			docs, _, err := e.Query(t.Context(), coll, store.Query{Index: "due", SortBy: "due", Limit: 10, Where: []store.Filter{
				store.Where("state", store.Eq, "waiting"), store.Where("due", store.Lte, now),
			}})
			if err != nil {
				t.Errorf("query: %v", err)
				return
			}
			if len(docs) == 0 {
				return
			}
			for _, d := range docs {
				version := d.Version
				d.Index["due"] = now.Add(time.Minute)
				err := e.Replace(t.Context(), coll, d, version)
				if errors.Is(err, store.ErrConflict) {
					continue
				}
				if err != nil {
					t.Errorf("claim: %v", err)
					return
				}
				mu.Lock()
				if other, taken := takenBy[d.ID]; taken {
					t.Errorf("%s was given to %d and %d", d.ID, other, w)
				}
				takenBy[d.ID] = w
				mu.Unlock()
			}
		}
	})
	if _, early := takenBy["later"]; early || len(takenBy) != due {
		t.Errorf("%d claimed, want %d; not yet due claimed: %v", len(takenBy), due, early)
	}
}
