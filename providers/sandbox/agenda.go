package sandbox

import (
	"container/heap"
	"time"
)

// agenda is a priority queue of things with a moment: earliest first, and among
// equals the one added first, so that a seed always replays the same way.
type agenda[T any] struct {
	items entries[T]
	seq   uint64
}

type entry[T any] struct {
	at  time.Time
	seq uint64
	v   T
}

func (a *agenda[T]) add(at time.Time, v T) {
	a.seq++
	heap.Push(&a.items, entry[T]{at: at, seq: a.seq, v: v})
}

// next is the earliest moment; zero when empty.
func (a *agenda[T]) next() time.Time {
	if len(a.items) == 0 {
		return time.Time{}
	}
	return a.items[0].at
}

// pop takes out the earliest entry if it is due at now.
func (a *agenda[T]) pop(now time.Time) (T, bool) {
	if len(a.items) == 0 || a.items[0].at.After(now) {
		var zero T
		return zero, false
	}
	e, ok := heap.Pop(&a.items).(entry[T])
	return e.v, ok
}

// entries implements heap.Interface.
type entries[T any] []entry[T]

func (e entries[T]) Len() int { return len(e) }

func (e entries[T]) Less(i, j int) bool {
	if !e[i].at.Equal(e[j].at) {
		return e[i].at.Before(e[j].at)
	}
	return e[i].seq < e[j].seq
}

func (e entries[T]) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

func (e *entries[T]) Push(x any) {
	if v, ok := x.(entry[T]); ok {
		*e = append(*e, v)
	}
}

func (e *entries[T]) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = entry[T]{} // let the garbage collector have it
	*e = old[:len(old)-1]
	return last
}
