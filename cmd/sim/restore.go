package main

import "time"

// backup is a copy of the store made right before the n-th write of a scene, and put back
// some time after the scene has ended: everything since is forgotten. On what is put back
// the process may die right after its n-th write.
type backup struct {
	at      int // below zero: never
	after   time.Duration
	restore func()
	dies    int // 0: it lives
	back    bool
	wrote   int // since it was put back
}

// kills counts a write on what was put back, and says whether the process dies at it.
func (b *backup) kills() bool {
	if b == nil || !b.back {
		return false
	}
	b.wrote++
	return b.wrote == b.dies
}

// putBack lets time pass and puts the backup back.
func (b *backup) putBack(t *town) {
	if b.at < 0 {
		return
	}
	t.until(t.now.Add(b.after))
	if b.restore == nil {
		t.fail("the scene never came to write %d", b.at)
		return
	}
	b.restore() // nobody looks in between: healing starts every process anew
	t.check.judge.Restored, b.back = true, true
}
