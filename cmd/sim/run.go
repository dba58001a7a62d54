package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
	"github.com/trifecta-pay/trifecta/providers/sandbox/paypalapi"
)

// runner runs seeds. What it holds is the same for all of them.
type runner struct {
	chain  *paypalapi.Chain // making keys takes long, and signatures are not in the trace
	wiring wiring
	say    io.Writer // what scenes are told to; nil: nobody
}

func newRunner(w wiring) (*runner, error) {
	chain, err := paypalapi.NewQuickChain(began())
	if err != nil {
		return nil, err
	}
	return &runner{chain: chain, wiring: w}, nil
}

// result is what came of one seed.
type result struct {
	seed   uint64
	mode   string
	failed []string
	hash   string
	lines  int
	counts map[string]int
	lasted time.Duration // virtual
}

// Bounds of virtual time after the healing.
const (
	drainMost  = 12 * 24 * time.Hour
	drainCheck = 3 * time.Hour
	// settleFor is how long it must stay quiet: a refund that fails late, unsaid by any
	// event, is found by a read once a day; the slowest list lags three hours.
	settleFor = 26 * time.Hour
)

// run plays one seed by its plan. trace, where not nil, is told everything.
func (r *runner) run(p plan, seed uint64, trace io.Writer) (res result, err error) {
	l := newLoop(seed, began(), trace)
	t, err := newTown(l, p, r.wiring, r.chain, trace)
	if err != nil {
		return result{}, err
	}
	t.check = newChecker(t)
	t.shop = &shop{t: t}
	res = result{seed: seed, mode: p.mode, counts: l.counts}
	defer func() {
		if v := recover(); v != nil {
			if trace != nil {
				panic(v)
			}
			t.fail("panic: %v", v)
		}
		res.failed, res.hash, res.lines, res.lasted = t.failed, l.sum(), l.lines, l.age()
	}()
	t.play()
	return res, nil
}

// play is the whole story: faults, healing, quiet.
func (t *town) play() {
	for name, is := range map[string]bool{
		"several_apps": len(t.apps) > 1, "several_instances": len(t.insts) > 1, "clocks_differ": len(t.insts) > 1 && t.plan.has(faultSkew),
		"settled_in_other_currency": t.plan.pays != "",
	} {
		if is {
			t.count(name)
		}
	}
	t.setFaults()
	t.shop.open()
	p := newPeople(t)
	t.loop.plan(time.Hour, "people", p.work)
	if t.plan.wrong.to > 0 {
		t.loop.plan(t.plan.wrong.from, "wrong money", t.setFaults)
		t.loop.plan(t.plan.wrong.to, "right money", t.setFaults)
	}
	for _, at := range t.plan.jumps {
		t.loop.plan(at, "clock jump", func() {
			t.count("clock_jump")
			t.pass(within(t.chance, time.Second, 10*time.Minute))
		})
	}
	t.planYoung()
	t.until(t.start.Add(t.plan.faulty))
	t.heal()
	t.drain()
	t.check.end()
}

// setFaults tells the sandbox what goes wrong now.
func (t *town) setFaults() {
	f := sandbox.Faults{Seed: t.random.Uint64() | 1}
	f.Webhooks.Drop = t.rate(faultDrop)
	if t.plan.mode == modeReconcile {
		f.Webhooks.Drop = 1
	}
	f.Webhooks.Duplicate = t.rate(faultDuplicate)
	f.Webhooks.Reorder = t.rate(faultReorder) > 0
	if !t.healed {
		f.Webhooks.DelayMS = [2]int64{0, t.plan.delay.Milliseconds()}
	}
	f.API.TimeoutBeforeEffect, f.API.TimeoutAfterEffect = t.rate(faultBefore), t.rate(faultAfter)
	f.API.Status500, f.API.Status500Done, f.API.Status429 = t.rate(fault500), t.rate(faultUnclear), t.rate(fault429)
	if !t.healed && t.plan.wrong.holds(t.age()) {
		f.Capture.AmountDelta, f.Capture.Duplicate = t.plan.delta, t.plan.delta == 0
	}
	if err := t.world.SetFaults(f); err != nil {
		t.fail("faults: %v", err)
	}
}

// turn lets the next thing happen, if it is due within the given time.
func (t *town) turn(ahead time.Duration) bool {
	next, due := t.next(), t.world.NextDue()
	if next.IsZero() && due.IsZero() {
		return false
	}
	world := !due.IsZero() && (next.IsZero() || !due.After(next))
	at := next
	if world {
		at = due
	}
	if at.After(t.now.Add(ahead)) {
		return false
	}
	if !world {
		e := t.pop()
		e.fn()
		t.check.moved()
		return true
	}
	if due.After(t.now) {
		t.now = due
	}
	t.world.RunDue()
	if _, _, err := t.world.StepDeliveries(context.Background()); err != nil {
		t.fail("sandbox deliveries: %v", err)
	}
	if t.depth > 0 {
		t.count("world_inside_call")
	}
	t.check.moved()
	return true
}

// maxTurns bounds a run: work that makes work for ever is a bug.
const maxTurns = 2_000_000

// until lets everything happen that is due before a time.
func (t *town) until(end time.Time) {
	for n := 0; t.now.Before(end); n++ {
		if n > maxTurns {
			t.fail("no end: %d things happened", n)
			return
		}
		if !t.turn(end.Sub(t.now)) {
			t.now = end
		}
	}
}

// heal ends all faults and starts every process anew.
func (t *town) heal() {
	t.healed = true
	t.trace("HEAL")
	t.setFaults()
	for _, i := range t.insts {
		if err := i.boot(); err != nil {
			t.fail("boot: %v", err)
		}
	}
}

// drain waits until nothing is left to do, and for a while longer.
func (t *town) drain() {
	end := t.now.Add(drainMost)
	for t.now.Before(end) {
		t.until(t.now.Add(drainCheck))
		if len(t.check.open()) > 0 {
			continue
		}
		t.until(t.now.Add(t.plan.settle))
		if len(t.check.open()) == 0 {
			return
		}
	}
	for _, what := range t.check.open() {
		t.fail("liveness: still open %s after the healing: %s", drainMost, what)
	}
}

// replayLine is how to see a run again.
func replayLine(seed uint64, mode string, off []string, payments int) string {
	line := fmt.Sprintf("go run ./cmd/sim -mode %s -seed %d -v", mode, seed)
	if payments > 0 {
		line += fmt.Sprintf(" -payments %d", payments)
	}
	for _, class := range off {
		line += " -off " + class
	}
	return line
}
