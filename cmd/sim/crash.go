package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// Crash points: each scene is played once without faults and its durable writes are
// counted; then again with the process dying right before and right after (written,
// not acknowledged) each of them, and with a second death during the recovery. After
// each the process starts anew and everything that holds for seeds must hold.

// mark is one write of a scene: the n-th, at a named point.
type mark struct {
	n     int
	point store.WritePoint
}

// death is a crash at the n-th write of a scene.
type death struct {
	n    int
	when faults.When
}

func (d death) String() string { return fmt.Sprintf("%s write %d", d.when, d.n) }

// wrote counts a write and says whether the process dies at it.
func (s *script) wrote(p store.WritePoint, when faults.When) bool {
	if when == faults.After && !housekeeping(p) && s.backup.kills() {
		s.died++
		return true
	}
	if !s.mortal {
		return false
	}
	n := len(s.marks)
	if when == faults.Before {
		if b := s.backup; b != nil && b.at == n {
			b.restore = s.t.engine.Snapshot()
		}
		s.marks = append(s.marks, mark{n, p})
		s.under = append(s.under, mark{n, p})
	} else {
		// Writes may lie inside one another, where others act in between: this is the
		// end of the last one at this point.
		for i := len(s.under) - 1; i >= 0; i-- {
			if s.under[i].point == p {
				n = s.under[i].n
				s.under = append(s.under[:i], s.under[i+1:]...)
				break
			}
		}
	}
	for _, d := range s.deaths {
		if d.n == n && d.when == when {
			s.died++
			return true
		}
	}
	return false
}

// housekeeping are writes that a quiet system makes all the time: their first
// occurrences stand for all.
func housekeeping(p store.WritePoint) bool {
	for _, prefix := range []string{"cursor.", "lease.", "run.", "replica."} {
		if strings.HasPrefix(string(p), prefix) {
			return true
		}
	}
	return false
}

// worth are the writes of a scene at which it is crashed: all about money, the first
// two of each kind of housekeeping, and at most so many of a point.
func worth(marks []mark, most int) (out []mark) {
	seen := map[store.WritePoint]int{}
	for _, m := range marks {
		limit := most
		if housekeeping(m.point) {
			limit = 2
		}
		if seen[m.point]++; seen[m.point] <= limit {
			out = append(out, m)
		}
	}
	return out
}

// told is what came of one telling of a scene.
type told struct {
	failed []string
	marks  []mark
	died   int
}

// tell plays a scene with deaths.
func (r *runner) tell(sc scene, mode string, deaths ...death) (told, error) {
	return r.telling(sc, mode, &script{deaths: deaths})
}

func (r *runner) telling(sc scene, mode string, s *script) (out told, err error) {
	p := plan{mode: mode, instances: 1, apps: 1, faulty: 30 * 24 * time.Hour, rate: map[string]float64{}, sweep: 30 * time.Minute, settle: 40 * time.Hour}
	if sc.busy {
		p.rate[faultInterlace] = 1
	}
	w := r.wiring
	if sc.wiring != nil {
		w = sc.wiring()
	}
	t, err := newTown(newLoop(1, began(), r.say), p, w, r.chain, r.say)
	if err != nil {
		return told{}, err
	}
	s.t, s.mortal = t, s.backup == nil
	t.check, t.shop, t.script = newChecker(t), &shop{t: t}, s
	t.check.judge.Strangers = sc.strangers
	defer func() {
		if v := recover(); v != nil {
			t.fail("panic: %v", v)
		}
		out = told{t.failed, s.marks, s.died}
	}()
	t.setFaults()
	if s.backup != nil { // made of a shop that has run for a while
		t.until(t.now.Add(4 * time.Hour))
		s.mortal = true
	}
	for _, st := range sc.steps {
		s.until(st)
	}
	if s.backup != nil {
		s.mortal = false
		s.backup.putBack(t)
	}
	t.heal()
	t.drain()
	if s.backup != nil && s.backup.at >= 0 {
		t.shop.repeatRefunds()
		t.drain()
	}
	s.mortal = false
	if s.backup != nil {
		s.backup.back = false // who judges doesn't die
	}
	t.check.end()
	return out, nil
}

// until lets a step be tried until it is done.
func (s *script) until(st step) {
	end, pause := s.t.now.Add(8*24*time.Hour), time.Second
	for !st.do(s) {
		if s.t.now.After(end) {
			s.t.fail("the scene stands still: %s", st.name)
			return
		}
		s.t.until(s.t.now.Add(pause))
		pause = min(pause*2, 10*time.Minute)
	}
	s.t.until(s.t.now.Add(2 * time.Second))
}
