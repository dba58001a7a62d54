package payment

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// root is one checkout at the model provider, with everything below it. It is
// the truth; what a payment knows of it comes only by snapshots and fragments.
type root struct {
	fact     AttemptFact
	auths    []Authorization
	captures []Capture
	refunds  []Refund
}

// play is one payment against a model provider that loses answers, an app that
// asks for things, a customer, and mail that comes late, twice or in part.
type play struct {
	t       *rapid.T
	p       *Payment
	second  int
	paypal  bool
	roots   map[int]*root
	effects map[string]string // by idempotency key: what a repeat is answered
	by      map[string]string // by operation: the object it made, for look-ups
	mail    []Observation     // every snapshot ever taken, to be seen late
	events  []Event           // everything the app was told
	orders  int
	healing bool
	wild    bool // the provider also takes money that nobody asked for
}

func newPlay(t *rapid.T, wild bool) *play {
	g := &play{t: t, wild: wild, paypal: rapid.Bool().Draw(t, "paypal"), roots: map[int]*root{}, effects: map[string]string{}, by: map[string]string{}}
	terms := Terms{Amount: usd(1000), Manual: rapid.Bool().Draw(t, "manual")}
	g.p = New("pay_play", "shop", ModeTest, terms, Request{ExpiresIn: 2 * time.Hour}, "token", start)
	g.p.Answered = true // else it would wait for its app to repeat a creation that failed
	return g
}

func (g *play) now() time.Time { return at(g.second) }

func (g *play) key(id string) ObjectKey {
	if g.paypal {
		return paypalKey(id)
	}
	return stripeKey(id)
}

func (g *play) chance(name string, oneIn int) bool {
	return !g.healing && rapid.IntRange(1, oneIn).Draw(g.t, name) == 1
}

// change runs fn like the store's closure would, and checks what must hold after
// every write.
func (g *play) change(what string, fn func(*Payment) error) bool {
	old := g.p
	next, err := old.Change(Source{Layer: LayerAPI, Actor: apiKey, Reason: what}, g.now(), fn)
	if err != nil {
		if code := CodeOf(err); code != CodeConflict && code != CodeInvalid {
			g.t.Fatalf("%s: %v", what, err)
		}
		return false
	}
	if next == old {
		return true
	}
	next.Version++
	g.p = next
	g.events = append(g.events, next.Outbox...) // fed, as the relay does
	next.Outbox = nil
	next.History = next.History[len(next.History)-1:] // spilled, as the store does
	if !MayFollow(old.Status(), next.Status()) {
		g.t.Fatalf("%s: %s -> %s is not in the graph\nbefore %+v\nafter %+v", what, old.Status(), next.Status(), old.Facts, next.Facts)
	}
	if due := next.Next(g.now()); len(due) > 0 {
		g.t.Fatalf("%s: due and not written down: %+v", what, due)
	}
	if again, err := next.Change(apiCall, g.now(), func(*Payment) error { return nil }); err != nil || again != next {
		g.t.Fatalf("%s: looking once more changes the payment (%v)", what, err)
	}
	g.checkTruth(what)
	return true
}

// checkTruth compares with what the provider really did.
func (g *play) checkTruth(what string) {
	takers, taken, given := 0, int64(0), int64(0)
	for _, r := range g.roots {
		for _, c := range r.captures {
			if c.State != CaptureDeclined && c.Amount.Currency == "usd" {
				takers++
				taken += c.Amount.Minor
			}
		}
		for _, x := range r.refunds {
			if x.Amount.Currency == "usd" {
				given += x.Amount.Minor
			}
		}
	}
	if !g.wild && (!g.p.Facts.Terms.Manual && takers > 1 || taken > 1000) {
		g.t.Fatalf("%s: the customer paid %d in %d captures", what, taken, takers)
	}
	if given > taken {
		g.t.Fatalf("%s: %d given back of %d", what, given, taken)
	}
	a := g.p.Amounts()
	if a.Refundable < 0 || a.Captured > taken || a.Refunded > given || a.Refunded+a.RefundPending > a.Captured && !g.wild {
		g.t.Fatalf("%s: amounts %+v, truly %d taken and %d given", what, a, taken, given)
	}
	if !g.wild && g.p.Status() == StatusSucceeded && a.Captured == 0 {
		g.t.Fatalf("%s: succeeded without money", what)
	}
}

// snapshot is a Fetch of attempt n.
func (g *play) snapshot(n int) *Observation {
	r := g.roots[n]
	if r == nil {
		return nil
	}
	read := func(s Stamp) Stamp { return Stamp{Created: s.Created, AsOf: g.now()} }
	f := Facts{Attempts: []AttemptFact{r.fact}, Authorizations: slices.Clone(r.auths), Captures: slices.Clone(r.captures), Refunds: slices.Clone(r.refunds)}
	f.Attempts[0].Stamp = read(r.fact.Stamp)
	for i := range f.Authorizations {
		f.Authorizations[i].Stamp = read(f.Authorizations[i].Stamp)
	}
	for i := range f.Captures {
		f.Captures[i].Stamp = read(f.Captures[i].Stamp)
	}
	for i := range f.Refunds {
		f.Refunds[i].Stamp = read(f.Refunds[i].Stamp)
	}
	o := Observation{Provider: g.key("").Provider, N: n, Complete: true, AsOf: g.now(), Facts: f}
	g.mail = append(g.mail, o)
	return &o
}

func (g *play) apply(o Observation) {
	g.change("apply", func(c *Payment) error { c.Facts = c.Facts.Observe(o); return nil })
}

// work runs one operation that is due, as gateway.Operations.Step does.
func (g *play) work() {
	var due []string
	for _, op := range g.p.Operations {
		if !op.State.Settled() && !op.NextAt.After(g.now()) && !op.Leased(g.now()) {
			due = append(due, op.ID)
		}
	}
	if len(due) == 0 {
		return
	}
	id := rapid.SampledFrom(due).Draw(g.t, "operation")
	plan := g.p.Operation(id).Plan(g.now(), 6*time.Hour)
	g.change("start", func(c *Payment) error { c.Start(id, "w", time.Minute, plan, g.now()); return nil })
	if g.chance("crash", 8) {
		return
	}
	op := *g.p.Operation(id)
	if plan == PlanLookUp {
		ref, found := g.by[id]
		out := Outcome{State: OpPending, LookedUp: true}
		if found {
			out = Outcome{State: OpDone, Ref: ref}
		}
		g.settle(op, out)
		return
	}
	if g.chance("lost before", 6) {
		g.settle(op, Outcome{State: OpUnknown})
		return
	}
	ref, err := g.call(op)
	switch {
	case g.chance("lost after", 4):
		g.settle(op, Outcome{State: OpUnknown})
	case err != nil:
		g.settle(op, Outcome{State: OpFailed, Code: CodeDeclined, Declined: op.Kind == OpCapture || op.Kind == OpAuthorize})
	default:
		g.settle(op, Outcome{State: OpDone, Ref: ref})
	}
}

// settle records an outcome; the observation may be missing or a fragment.
func (g *play) settle(op Operation, out Outcome) {
	var obs *Observation
	if out.State != OpUnknown && g.roots[op.N] != nil && !g.chance("no observation", 6) {
		obs = g.snapshot(op.N)
		if g.chance("fragment", 6) {
			obs = fragment(*obs)
		}
	}
	g.second++
	g.change("settle "+string(op.Kind), func(c *Payment) error { c.Settle(op.ID, out, obs, g.now()); return nil })
}

func fragment(o Observation) *Observation {
	o.Complete = false
	o.Facts.Attempts = nil
	return &o
}

// deliver brings mail: fresh or old, whole or in part.
func (g *play) deliver() {
	if len(g.p.Facts.Opened) == 0 {
		return
	}
	if o := g.snapshot(rapid.IntRange(1, len(g.p.Facts.Opened)).Draw(g.t, "fetch")); o != nil {
		switch rapid.IntRange(0, 3).Draw(g.t, "mail") {
		case 0:
			g.apply(*fragment(*o))
		case 1:
			g.apply(g.mail[rapid.IntRange(0, len(g.mail)-1).Draw(g.t, "old mail")])
		default:
			g.apply(*o)
		}
	}
}

// resolve is an operator who decides about some of the captures, well or badly.
func (g *play) resolve() {
	var ids []string
	for _, c := range g.p.Facts.Captures {
		if rapid.Bool().Draw(g.t, "listed") {
			ids = append(ids, c.Key.ID)
		}
	}
	g.orders++
	c := Command{ID: fmt.Sprintf("res%d", g.orders), By: operator, Now: g.now()}
	action := rapid.SampledFrom([]string{"accept", "refund"}).Draw(g.t, "action")
	g.change("resolve "+action, func(p *Payment) error { return p.Resolve(action, ids, "why", c) })
}

// app asks for something, sensible or not.
func (g *play) app() {
	g.orders++
	c := Command{ID: fmt.Sprintf("cmd%d", g.orders), By: apiKey, Now: g.now()}
	amount := rapid.SampledFrom([]int64{0, 1, 333, 600, 1000}).Draw(g.t, "amount")
	switch what := rapid.SampledFrom([]string{"open", "open", "capture", "capture", "refund", "refund", "cancel", "switch", "return"}).Draw(g.t, "command"); what {
	case "open":
		g.change(what, func(p *Payment) error { return p.OpenAttempt(g.key("").Provider, g.key("").Account, c) })
	case "capture":
		final := rapid.Bool().Draw(g.t, "final")
		g.change(what, func(p *Payment) error { return p.RequestCapture(amount, final, c) })
	case "refund":
		g.change(what, func(p *Payment) error { return p.RequestRefund(amount, "other", c) })
	case "cancel":
		if g.chance("really cancel", 3) {
			g.change(what, func(p *Payment) error { _, err := p.RequestCancel(c); return err })
		}
	case "switch":
		g.change(what, func(p *Payment) error { _, err := p.RequestSwitch(c); return err })
	case "return":
		g.change(what, func(p *Payment) error { p.Returned(g.now()); return nil })
	}
}

// heal ends all faults: mail arrives, work is done, hours go by.
func (g *play) heal() {
	g.healing = true
	for quiet := 0; quiet < 2; {
		before := g.p
		g.second += 2 * 3600
		g.provider()
		for n := range g.roots {
			g.second++
			g.apply(*g.snapshot(n))
		}
		g.change("look", func(*Payment) error { return nil })
		for range len(g.p.Operations) {
			g.second++
			g.work()
		}
		quiet++
		if before.Status() != g.p.Status() || g.p.Unfinished(0) != nil {
			quiet = 0
		}
		if g.second > 30*24*3600 {
			g.t.Fatalf("no rest after a month: %s, %+v", g.p.Status(), g.p.Operations)
		}
	}
}

// run plays some steps, then lets everything heal, and returns the statuses met.
func (g *play) run(met map[Status]int) {
	for range rapid.IntRange(5, 60).Draw(g.t, "steps") {
		g.second += rapid.SampledFrom([]int{1, 5, 60, 900}).Draw(g.t, "wait")
		switch rapid.SampledFrom([]string{"work", "work", "work", "app", "app", "customer", "provider", "deliver", "deliver"}).Draw(g.t, "who") {
		case "work":
			g.work()
		case "app":
			g.app()
		case "customer":
			g.customer()
		case "provider":
			g.provider()
		case "deliver":
			g.deliver()
		}
		if g.wild && g.chance("mischief", 3) {
			g.mischief()
			g.resolve()
		}
		met[g.p.Status()]++
	}
	g.heal()
	met[g.p.Status()]++
}

// Guards the whole room at once, against a model provider with a truth of its
// own: at every write the graph holds, nobody is charged twice or refunded more
// than was taken, and nothing that is due is forgotten; and when faults end, our
// record equals the provider's, every operation has its outcome, and every event
// was told once (I1, I3, I5, I8).
func TestPlay(t *testing.T) {
	t.Parallel()
	met := map[Status]int{}
	rapid.Check(t, func(t *rapid.T) {
		g := newPlay(t, false)
		g.run(met)
		if g.p.Status() == StatusConflicted {
			t.Fatalf("an honest provider, and conflicted: %v", g.p.Facts.Conflicts())
		}
		g.checkEnd()
	})
	for _, want := range []Status{StatusRequiresAction, StatusProcessing, StatusAuthorized, StatusSucceeded, StatusExpired} {
		if met[want] == 0 {
			t.Errorf("no play ever was %s: the generator is too narrow", want)
		}
	}
}

// Guards I1 and I7 when a provider takes what nobody asked for: whatever comes
// in, in whatever order, and whatever operators decide in between, no capture is
// lost from our record, and a payment is settled at rest only if what it keeps
// is exactly what was asked or was accepted by name.
func TestWildPlay(t *testing.T) {
	t.Parallel()
	met := map[Status]int{}
	rapid.Check(t, func(t *rapid.T) {
		g := newPlay(t, true)
		g.run(met)
		g.checkEnd()
		accepted, given := map[string]bool{}, map[string]bool{}
		for _, d := range g.p.Facts.Decisions {
			for _, id := range d.Objects {
				switch d.Kind { // other kinds name objects too
				case DecisionAccept:
					accepted[id] = true
				case DecisionRefund:
					given[id] = true
				}
			}
		}
		open, kept, odd := 0, int64(0), false
		for _, r := range g.roots {
			for _, c := range r.captures {
				if c.State != CaptureCompleted || given[c.Key.ID] {
					continue
				}
				kept += c.Amount.Minor
				odd = odd || c.Amount.Currency != "usd" || c.Key.Account == "elsewhere"
				if !accepted[c.Key.ID] {
					open++
				}
			}
		}
		settled := open == 0 || !odd && len(accepted)+len(given) == 0 && (kept == 1000 || g.p.Facts.Terms.Manual && kept <= 1000)
		if (g.p.Status() == StatusConflicted) == settled && !g.p.Facts.Terms.Manual {
			t.Fatalf("%s: keeps %d (odd %v), of it %d captures accepted by nobody; conflicts %v", g.p.Status(), kept, odd, open, g.p.Facts.Conflicts())
		}
	})
	for _, want := range []Status{StatusConflicted, StatusSucceeded, StatusCanceled} {
		if met[want] == 0 {
			t.Errorf("no wild play ever was %s: the generator is too narrow", want)
		}
	}
}

// checkEnd is I3: at quiescence our record is the provider's.
func (g *play) checkEnd() {
	var want Amounts
	for _, r := range g.roots {
		for _, c := range r.captures {
			if c.State == CaptureCompleted && c.Amount.Currency == "usd" {
				want.Captured += c.Amount.Minor
			}
		}
		for _, x := range r.refunds {
			if x.Amount.Currency == "usd" {
				want.Refunded += x.Amount.Minor
			}
		}
	}
	a, status := g.p.Amounts(), g.p.Status()
	if a.Captured != want.Captured || a.Refunded != want.Refunded || a.RefundPending != 0 || a.Refundable != want.Captured-want.Refunded {
		g.t.Fatalf("at rest: %+v, truly %d captured, %d refunded", a, want.Captured, want.Refunded)
	}
	if op := g.p.Unfinished(0); op != nil {
		g.t.Fatalf("at rest, and without outcome: %+v", *op)
	}
	switch {
	case status == StatusProcessing, status == StatusRequiresAction:
		g.t.Fatalf("at rest: %s, conditions %+v, conflicts %v", status, g.p.Facts.Conditions(), g.p.Facts.Conflicts())
	case want.Captured > 0 && status != StatusSucceeded && status != StatusAuthorized && !g.wild:
		g.t.Fatalf("at rest: %s with %d captured", status, want.Captured)
	}
	ids, born := map[string]bool{}, map[string]int{}
	last := Status("")
	for _, e := range g.events {
		if ids[e.ID] {
			g.t.Fatalf("event id %s twice", e.ID)
		}
		ids[e.ID] = true
		if e.Type == "refund.created" || e.Type == "refund.succeeded" {
			if born[e.Type+e.Object]++; born[e.Type+e.Object] > 1 {
				g.t.Fatalf("%s of %s twice", e.Type, e.Object)
			}
		}
		if s := Status(e.Type[len("payment."):]); slices.ContainsFunc(StatusTable(), func(r StatusRow) bool { return r.Status == s }) {
			if s == last {
				g.t.Fatalf("%s told twice in a row: %v", e.Type, eventTypes(&Payment{Outbox: g.events}))
			}
			last = s
		}
	}
	if last != status && g.p.Version > 0 {
		g.t.Fatalf("the last status told is %q, it is %s", last, status)
	}
}
