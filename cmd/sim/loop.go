package main

import (
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"time"
)

// event is something that happens at a moment of virtual time.
type event struct {
	at   time.Time
	seq  uint64
	name string
	fn   func()
}

// queue implements heap.Interface: earliest first, among equals the one
// scheduled first.
type queue []event

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}

func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

func (q *queue) Push(x any) {
	if e, ok := x.(event); ok {
		*q = append(*q, e)
	}
}

func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return last
}

// loop owns time, chance and order. Everything runs in its one goroutine.
type loop struct {
	now    time.Time
	start  time.Time
	seq    uint64
	queue  queue
	chance *rand.Rand // of faults and of the order of things
	people *rand.Rand // of what actors do
	random *rand.Rand // of tokens and ids
	odd    *rand.Rand // of the younger faults
	// lagging is the stream of reads that come from a replica behind; answers are what
	// was read, by provider and URL.
	lagging *rand.Rand
	answers map[string]answered
	digest  hash.Hash
	lines   int
	say     io.Writer // the trace in words; nil: nobody reads it
	counts  map[string]int
	line    []byte // of the trace, its room is used again
}

func newLoop(seed uint64, start time.Time, say io.Writer) *loop {
	return &loop{
		now: start, start: start, digest: sha256.New(), say: say, counts: map[string]int{},
		chance:  rand.New(rand.NewPCG(seed, 0xc4a)),
		people:  rand.New(rand.NewPCG(seed, 0x9e0)),
		random:  rand.New(rand.NewPCG(seed, 0x70c)),
		odd:     rand.New(rand.NewPCG(seed, 0x0dd5)),
		lagging: rand.New(rand.NewPCG(seed, 0x1a65)), answers: map[string]answered{},
	}
}

// clock is the one clock of both sides.
func (l *loop) clock() time.Time { return l.now }

// age is how long the run has lasted.
func (l *loop) age() time.Duration { return l.now.Sub(l.start) }

// pass lets time go by inside a call.
func (l *loop) pass(d time.Duration) { l.now = l.now.Add(d) }

// plan schedules fn.
func (l *loop) plan(after time.Duration, name string, fn func()) {
	l.seq++
	heap.Push(&l.queue, event{l.now.Add(max(after, 0)), l.seq, name, fn})
}

// next is when the next event is due; zero if there is none.
func (l *loop) next() time.Time {
	if len(l.queue) == 0 {
		return time.Time{}
	}
	return l.queue[0].at
}

// pop takes the next event and moves the clock to it, never back.
func (l *loop) pop() event {
	e, _ := heap.Pop(&l.queue).(event)
	if e.at.After(l.now) {
		l.now = e.at
	}
	return e
}

// trace adds a line to what a replay must repeat.
func (l *loop) trace(format string, args ...any) {
	l.lines++
	l.line = append(l.now.AppendFormat(l.line[:0], "02 15:04:05.000"), ' ')
	l.line = append(fmt.Appendf(l.line, format, args...), '\n')
	_, _ = l.digest.Write(l.line) // a hash never fails
	if l.say != nil {
		_, _ = l.say.Write(l.line) // a reader that left can't be told
	}
}

func (l *loop) sum() string { return hex.EncodeToString(l.digest.Sum(nil)[:12]) }

// count notes that something happened that the seeds must make happen.
func (l *loop) count(name string) { l.counts[name]++ }

// hits draws whether something of this probability happens.
func hits(r *rand.Rand, p float64) bool { return p > 0 && r.Float64() < p }

// within draws a duration in [from,to).
func within(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64(max(to-from, 1))))
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// token is an unguessable token for everybody but the seed.
func (l *loop) token() string {
	b := make([]byte, 26)
	for i := range b {
		b[i] = letters[l.random.IntN(len(letters))]
	}
	return string(b)
}
