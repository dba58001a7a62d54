package httpapi

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter keeps one token bucket a key, and forgets the keys that were silent
// longest when there are too many. Keys are kept as digests only.
type limiter struct {
	perSecond, burst, size int

	mu    sync.Mutex
	order *list.List // of *bucket, least recently used first
	keys  map[[32]byte]*list.Element
}

type bucket struct {
	key [32]byte
	lim *rate.Limiter
}

func newLimiter(perSecond, burst, size int) *limiter {
	return &limiter{perSecond: perSecond, burst: burst, size: size, order: list.New(), keys: map[[32]byte]*list.Element{}}
}

// allow spends one request of a key, and says how many are left and in how many
// seconds all of them are back.
func (l *limiter) allow(key string, now time.Time) (ok bool, left, reset int) {
	lim := l.bucket(sha256.Sum256([]byte(key)))
	ok = lim.AllowN(now, 1)
	left = max(0, int(lim.TokensAt(now)))
	reset = (l.burst - left + l.perSecond - 1) / l.perSecond
	return ok, left, reset
}

func (l *limiter) bucket(key [32]byte) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.keys[key]; ok {
		l.order.MoveToBack(e)
		return element(e).lim
	}
	if l.order.Len() >= l.size {
		oldest := l.order.Front()
		delete(l.keys, element(oldest).key)
		l.order.Remove(oldest)
	}
	b := &bucket{key: key, lim: rate.NewLimiter(rate.Limit(l.perSecond), l.burst)}
	l.keys[key] = l.order.PushBack(b)
	return b.lim
}

func element(e *list.Element) *bucket {
	b, _ := e.Value.(*bucket) // nothing else is ever put in
	return b
}
