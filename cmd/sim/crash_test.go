package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// everyCrash makes TestCrashPoints crash at every write and pair, which takes minutes:
// make crash.
const everyCrash = "SIM_EVERY_CRASH"

// tally is what the crashes at one write point came to.
type tally struct {
	scenes        map[string]bool
	before, after int
	pairs         int
	due           int  // crashes before it, if every write is crashed at
	twice         bool // reached where a second death is tried
}

// tallies collects the tallies of scenes that run side by side.
type tallies struct {
	mu    sync.Mutex
	of    map[store.WritePoint]*tally
	first map[store.WritePoint]string // the telling that must crash at a point, sample or not
}

// firstScenes are the first tellings, scene and mode, that reach each write point.
func firstScenes(t *testing.T) map[store.WritePoint]string {
	t.Helper()
	out := map[store.WritePoint]string{}
	for _, mode := range sceneModes() {
		for _, sc := range scenes() {
			if sc.only != "" && sc.only != mode {
				continue
			}
			base, err := runnerOf(t, wiring{}).tell(sc, mode)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range worth(base.marks, 12) {
				if out[m.point] == "" {
					out[m.point] = sc.name + " " + mode
				}
			}
		}
	}
	return out
}

func sceneModes() []string { return []string{modeAll, modeWebhook, modeReconcile} }

// at changes the tally of a write point.
func (b *tallies) at(p store.WritePoint, change func(*tally)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of[p] == nil {
		b.of[p] = &tally{scenes: map[string]bool{}}
	}
	change(b.of[p])
}

// The process may die right before or right after any of its durable writes, and a
// second time while it recovers: nothing is lost, doubled or left undone. With every
// change a sample is played, in which each write point that a scene reaches is crashed
// at, before and after.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	all := os.Getenv(everyCrash) != ""
	book := &tallies{of: map[store.WritePoint]*tally{}}
	if !raced { // under the race detector the scenes are told without a crash
		book.first = firstScenes(t)
	}
	t.Run("scenes", func(t *testing.T) {
		for _, sc := range scenes() {
			for _, mode := range sceneModes() {
				if sc.only != "" && sc.only != mode {
					continue
				}
				t.Run(strings.ReplaceAll(sc.name+" "+mode, " ", "_"), func(t *testing.T) {
					t.Parallel()
					crashScene(t, sc, mode, all, book)
				})
			}
		}
	})
	for _, p := range store.WritePoints() {
		_, reached := book.of[p]
		if why := elsewhere(p); (why == "") != reached {
			t.Errorf("write point %s: reached by a scene: %v, yet elsewhere says %q; write a scene that reaches it, or say there which test crashes at it", p, reached, why)
		}
		if x := book.of[p]; x != nil && !raced && (x.before == 0 || x.after == 0) {
			t.Errorf("write point %s: %d crashes before it and %d after: sample more", p, x.before, x.after)
		}
	}
	switch {
	case t.Failed(): // the page says that everything healed
	case all:
		writeCrashTable(t, book)
	default:
		compareCrashTable(t, book)
	}
}

// stride is which crashes make the sample, and how far apart pairs are.
const (
	stride     = 9
	pairStride = 97
	recovery   = 12 // writes after the first death at which the second is tried
)

func crashScene(t *testing.T, sc scene, mode string, all bool, book *tallies) {
	t.Helper()
	r := runnerOf(t, wiring{})
	tell := func(deaths ...death) int {
		out, err := r.tell(sc, mode, deaths...)
		if err != nil || len(out.failed) > 0 {
			t.Fatalf("%v: %q %v", deaths, out.failed, err)
		}
		return out.died
	}
	base, err := r.tell(sc, mode)
	if err != nil || len(base.failed) > 0 {
		t.Fatalf("without a crash: %q %v", base.failed, err)
	}
	for _, m := range base.marks {
		book.at(m.point, func(x *tally) { x.scenes[sc.name] = true })
	}
	twice := sc.main && mode == modeAll
	n, done := len(sc.name), map[string]bool{}
	for _, m := range worth(base.marks, 12) {
		book.at(m.point, func(x *tally) { x.due, x.twice = x.due+1, x.twice || twice })
		for _, when := range []faults.When{faults.Before, faults.After} {
			at := fmt.Sprint(m.point, when)
			own := book.first[m.point] == sc.name+" "+mode && !done[at]
			if n++; !all && (n%stride != 0 && !own || raced) {
				continue
			}
			if n := tell(death{m.n, when}); n != 1 && when == faults.Before {
				t.Errorf("the process did not die %s write %d, %s", when, m.n, m.point)
			} else if n == 0 {
				continue // the write lost its race: there was nothing to acknowledge
			}
			done[at] = true
			book.at(m.point, func(x *tally) {
				if when == faults.Before {
					x.before++
				} else {
					x.after++
				}
			})
			for j := m.n + 1; twice && j <= m.n+recovery; j++ {
				if n++; !all && n%pairStride != 0 {
					continue
				}
				second := []faults.When{faults.Before, faults.After}[j%2]
				died := tell(death{m.n, when}, death{j, second})
				book.at(m.point, func(x *tally) { x.pairs += died - 1 })
			}
		}
	}
}

// elsewhere are the write points, or families of them, that no scene reaches, and what
// tests each by a fault or death before it and after it.
func elsewhere(p store.WritePoint) string {
	const small, desks = "`store` TestSmallWorksAreDoneAgain", ", `cmd/e2e` TestEveryEndpointUnderStoreFaults"
	for _, of := range []struct{ prefix, test string }{
		{"claim.", small + ", TestClaimLostAcknowledgement; nothing in the product claims yet"},
		{"alert.clear", small + "; no alert of a scene ends by itself"},
		{"api_key.revoke", small + desks + "; an operator's single write"},
		{"inbox.body", "`webhooks/inbox` TestCrashAtEveryWrite, TestLargeBodyCrash; bodies of scenes are small"},
		{"inbox.prune_body", small + "; bodies of scenes are small"},
		{"inbox.variant", "`webhooks/inbox` TestCrashAtEveryWrite; takes a forged body under a true signature"},
		{"discrepancy.insert", small + "; both sides of scenes agree"},
		{"discrepancy.resolve", small + desks + "; both sides of scenes agree"},
		{"migration.remove", "`store/transfer` TestKilledWhileItRemoves; no running server writes it"},
		{"migration.", "`store/transfer` TestKilledAtEveryWrite; no running server writes it"},
		{"replica.", small + "; a presence ends by itself"},
		{"seal.", "`store` TestResealerFinishesWhereverItIsStopped; an operator's job"},
		{"settings.", small + desks + "; an operator's single write, by compare-and-swap"},
		{"share.", small + "; a budget of calls, no money"},
		{"retention.", small + "; a step that repeats itself"},
		{"erasure.", "`store` TestEraserErasesAndProves; an operator's job in steps"},
		{"risk_decision.", "`gateway` TestBanSurvivesACrashAnywhere; the default rules decide nothing in scenes"},
		{"risk_block.insert", "`gateway` TestBanSurvivesACrashAnywhere; nobody is blocked in scenes"},
		{"risk_block.change", small + desks + "; nobody is blocked in scenes"},
	} {
		if strings.HasPrefix(string(p), of.prefix) {
			return of.test
		}
	}
	return ""
}

const crashPage = "../../docs/write-points.md"

// crashHead is the page above its table.
var crashHead = fmt.Sprintf(`# Write points

Printed by `+"`make crash`"+`. Every durable write of the program has a name. Where scenes
reach it, the process was killed at every such write: right before it, and right
after it (written, not acknowledged); under all layers, under webhooks alone and under
reconciling alone. A second death came in the main scenes under all layers only: after each
first one, at each of the next %d writes, before those of an even number in the scene, after
those of an odd one, never both. Housekeeping (cursors, leases, runs) counts by its first two
writes in a scene, the rest by up to twelve. Each time the process came back, nothing was
lost or done twice, and in the end our record was the provider's.

Where no scene reaches a write, its row names the tests that let it fail, or the process die,
before it and after it, and do the work again.

| write point | scenes | crashes before | after | with a second one | outcome |
|---|---|---|---|---|---|
`, recovery)

// crashFoot is the page below its table.
func crashFoot() string {
	var b strings.Builder
	b.WriteString("\n## Scenes\n\n")
	for _, sc := range scenes() {
		kind := ""
		if sc.main {
			kind = " (a main scene: pairs of crashes too, under all layers)"
		}
		fmt.Fprintf(&b, "- %s%s\n", sc.name, kind)
	}
	return b.String()
}

// writeCrashTable prints the page, of a run in which every crash healed.
func writeCrashTable(t *testing.T, book *tallies) {
	t.Helper()
	var b strings.Builder
	b.WriteString(crashHead)
	for _, p := range slices.SortedFunc(slices.Values(store.WritePoints()), cmp.Compare) {
		if x := book.of[p]; x != nil {
			fmt.Fprintf(&b, "| `%s` | %d | %d | %d | %d | healed |\n", p, len(x.scenes), x.before, x.after, x.pairs)
		} else {
			fmt.Fprintf(&b, "| `%s` | | | | | %s |\n", p, elsewhere(p))
		}
	}
	b.WriteString(crashFoot())
	if err := os.WriteFile(crashPage, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// compareCrashTable holds the page's numbers against the scenes as they were just told:
// which reach a point, and how many writes there are to crash at. A run of every crash
// has died before each of them, and after each that did not lose its race; of second
// deaths, which may come too late, only that there were some is known.
func compareCrashTable(t *testing.T, book *tallies) {
	t.Helper()
	page, err := os.ReadFile(crashPage)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][4]int{}
	for line := range strings.Lines(string(page)) {
		var name string
		var n [4]int
		if _, err := fmt.Sscanf(line, "| %s | %d | %d | %d | %d | healed |", &name, &n[0], &n[1], &n[2], &n[3]); err == nil {
			rows[strings.Trim(name, "`")] = n
		}
	}
	for p, x := range book.of {
		n, ok := rows[string(p)]
		if !ok || n[0] != len(x.scenes) || n[1] != x.due || n[2] < 1 || n[2] > x.due || (n[3] > 0) != x.twice {
			t.Errorf("%s: the page says scenes, crashes before, after and twice %v; %d scenes reach it, with %d writes to crash at, in a main scene: %v; make crash",
				p, n, len(x.scenes), x.due, x.twice)
		}
	}
}

// docs/write-points.md has a row for every write point, and says of crashes, of scenes,
// and of the points that none reaches, what is said here. TestCrashPoints compares its
// numbers.
func TestDocsWritePoints(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(crashPage)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(page), crashHead) || !strings.HasSuffix(string(page), " |\n"+crashFoot()) {
		t.Error("the page begins or ends otherwise: make crash")
	}
	want := map[string]bool{}
	for _, p := range store.WritePoints() {
		want[string(p)] = true
	}
	for line := range strings.Lines(string(page)) {
		if name, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ = strings.Cut(name, "`")
			if !want[name] {
				t.Errorf("%s is no write point any more: make crash", name)
			}
			if where := elsewhere(store.WritePoint(name)); where != "" && !strings.HasSuffix(line, "| | | | | "+where+" |\n") {
				t.Errorf("%s: the page says otherwise where it is tested: make crash", name)
			}
			delete(want, name)
		}
	}
	if len(want) > 0 {
		t.Errorf("no row for %v: make crash", slices.Sorted(maps.Keys(want)))
	}
}
