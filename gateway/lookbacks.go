package gateway

import (
	"sync"
	"time"
)

// How often one payment's customers make us read it at its provider. Whoever has paid
// comes back once, reloads a little, perhaps waits on a page that asks again; whoever
// loads the address in a loop would spend the account's calls of everybody else. Each
// process counts for itself.
const (
	lookBacks     = 10               // at once
	lookBackEvery = 10 * time.Second // and one more in this time
	maxLookBacks  = 4096             // payments remembered
)

// lookBackLimit counts, per payment, up to when its reads are used up: the generic cell
// rate algorithm, which keeps one time each.
type lookBackLimit struct {
	mu   sync.Mutex
	used map[string]time.Time
}

// allow says whether a payment may be read for its customer now, and counts it.
func (l *lookBackLimit) allow(id string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	used := l.used[id]
	if used.Before(now) {
		used = now
	}
	if used = used.Add(lookBackEvery); used.Sub(now) > lookBacks*lookBackEvery {
		return false
	}
	if l.used == nil || len(l.used) >= maxLookBacks {
		l.forget(now)
	}
	l.used[id] = used
	return true
}

// forget drops payments that have all their reads again; where that is not enough,
// everything: who is remembered wrongly gets a few reads more.
func (l *lookBackLimit) forget(now time.Time) {
	for id, used := range l.used {
		if !used.After(now) {
			delete(l.used, id)
		}
	}
	if l.used == nil || len(l.used) >= maxLookBacks {
		l.used = map[string]time.Time{}
	}
}
