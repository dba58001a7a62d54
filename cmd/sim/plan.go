package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Modes: which of the three layers have to do the work alone.
const (
	modeAll       = "all"             // every layer, one process
	modeWebhook   = "webhook-only"    // nobody reconciles, returns read nothing; no webhook is lost for ever
	modeReconcile = "reconcile-only"  // every webhook is lost and no customer ever comes back
	modeThree     = "three-instances" // every layer, three processes over one store
)

func modes() []string { return []string{modeAll, modeWebhook, modeReconcile, modeThree} }

// The classes of fault. A seed draws each: in about 30 % of the seeds it is off.
const (
	faultDrop      = "webhook_drop"
	faultDuplicate = "webhook_duplicate"
	faultDelay     = "webhook_delay"
	faultReorder   = "webhook_reorder"
	faultBefore    = "timeout_before_effect"
	faultAfter     = "timeout_after_effect"
	fault500       = "status_500"
	fault429       = "status_429"
	faultGarbage   = "garbled_answer"
	faultOutage    = "provider_outage"
	faultSlow      = "slow_provider"
	faultCrash     = "crash"
	faultAck       = "lost_ack"
	faultConflict  = "store_conflict"
	faultStore     = "store_outage"
	faultJump      = "clock_jump"
	faultAnswer    = "lost_answer"    // our answer to the app or to a webhook is lost on the way
	faultMoney     = "wrong_money"    // the provider takes another amount than asked, or takes it twice
	faultInterlace = "interlace"      // somebody else acts while a call or write of ours is under way
	faultAsleep    = "process_asleep" // a process stops for longer than its leases last
	faultHidden    = "hidden_events"  // the providers' own lists of events are empty: events that were never made
	faultCopies    = "webhook_copies" // up to a hundred copies of one delivery, byte for byte
	faultSkew      = "clock_skew"     // the clocks of our processes differ by up to 30 s, either way
	faultFailover  = "fail_over"      // the store is away for seconds, and what was under way has no known outcome
	faultSlowStore = "slow_store"     // a write takes up to 30 s
	faultMute      = "channel_down"   // admins' mail is away for up to a day, in some seeds the chat too
	faultLate      = "late_money"     // an order that is over is captured with another tool, behind our back
)

func faultClasses() []string {
	return append(append(oldClasses(), youngClasses()...), faultLag, faultUnclear)
}

func oldClasses() []string {
	return []string{
		faultDrop, faultDuplicate, faultDelay, faultReorder, faultBefore, faultAfter, fault500, fault429, faultGarbage, faultOutage,
		faultSlow, faultCrash, faultAck, faultConflict, faultStore, faultJump, faultAnswer, faultMoney, faultInterlace, faultAsleep, faultHidden,
		faultCopies, faultSkew, faultFailover, faultSlowStore, faultLate, faultMute,
	}
}

// offShare is how often a class is off.
const offShare = 0.3

// window is a span of virtual time, from the start of the run.
type window struct{ from, to time.Duration }

func (w window) holds(at time.Duration) bool { return at >= w.from && at < w.to }

// outage is one provider being away.
type outage struct {
	window
	provider string
	how      int // 0: nobody answers the phone, 1: 503 in seeds with unclear answers, 2: silence
}

// plan is everything that a seed decides before the run.
type plan struct {
	mode      string
	instances int
	apps      int
	skew      []time.Duration // of each instance's clock
	payments  int
	faulty    time.Duration // the phase with faults
	rate      map[string]float64
	delay     time.Duration // the longest delay of a webhook
	outages   []outage
	storeDown []window
	failovers []window
	mute      []window // when admins' mail is away
	muteAll   bool     // and the chat with it
	wrong     window   // when the provider takes the wrong money
	delta     int64    // by how much; 0: it takes it twice
	jumps     []time.Duration
	sweep     time.Duration // from one sweep to the next, while there are faults
	patient   bool          // the customers take their time, hours
	settle    time.Duration // how long it must stay quiet in the end
	backs     []setBack
	logins    []outage        // when a provider refuses our credentials
	revoked   []time.Duration // when PayPal forgets its tokens
	secret    window          // when we don't know the webhooks' secret
	pays      string          // the currency that the Stripe account settles in; empty: each payment's own
}

// draw makes the plan of a seed. off names classes that are switched off
// whatever the seed says; the other draws stay as they were.
func draw(seed uint64, mode string, off []string) plan {
	r := rand.New(rand.NewPCG(seed, 0x91a7))
	p := plan{mode: mode, instances: 1, rate: map[string]float64{}, settle: settleFor}
	switch n := r.IntN(5); {
	case mode == modeThree:
		p.instances = 3
	case mode == modeAll && n < 2:
		p.instances = 2 + n
	}
	p.apps = []int{1, 1, 1, 2, 3}[r.IntN(5)]
	for range 3 {
		p.skew = append(p.skew, time.Duration(r.Int64N(int64(time.Minute)))-30*time.Second)
	}
	p.payments = 1 + r.IntN(12)
	if r.IntN(50) == 0 {
		p.payments = 13 + r.IntN(28)
	}
	p.faulty = time.Duration(1+r.IntN(12)) * time.Hour
	switch n := r.IntN(10); {
	case n == 0:
		p.faulty = time.Duration(36+r.IntN(60)) * time.Hour
	case n < 4:
		p.faulty = time.Duration(12+r.IntN(24)) * time.Hour
	}
	most := map[string]float64{
		faultDrop: 0.6, faultDuplicate: 0.6, faultDelay: 1, faultReorder: 1, faultBefore: 0.2, faultAfter: 0.2, fault500: 0.1, fault429: 0.1,
		faultGarbage: 0.03, faultOutage: 1, faultSlow: 0.05, faultCrash: 0.03, faultAck: 0.05, faultConflict: 0.1, faultStore: 1,
		faultJump: 1, faultAnswer: 0.2, faultMoney: 1, faultInterlace: 0.3, faultAsleep: 0.01, faultHidden: 1,
		faultCopies: 0.1, faultSkew: 1, faultFailover: 1, faultSlowStore: 0.02, faultLate: 1, faultMute: 1,
	}
	for _, class := range oldClasses() {
		off, share := r.Float64() < offShare, r.Float64()
		if !off {
			p.rate[class] = share * most[class]
		}
	}
	p.delay = time.Duration(math.Exp(r.Float64()*math.Log(5*24*3600)) * float64(time.Second))
	for range 1 + r.IntN(3) {
		long := time.Duration(math.Exp(r.Float64()*math.Log(72*60)) * float64(time.Minute))
		from := time.Duration(r.Int64N(int64(p.faulty)))
		p.outages = append(p.outages, outage{window{from, from + long}, []string{"stripe", "paypal"}[r.IntN(2)], r.IntN(3)})
	}
	for range 1 + r.IntN(2) {
		from := time.Duration(r.Int64N(int64(p.faulty)))
		p.storeDown = append(p.storeDown, window{from, from + time.Duration(math.Exp(r.Float64()*math.Log(24*3600))*float64(time.Second))})
	}
	for range 1 + r.IntN(3) {
		from := time.Duration(r.Int64N(int64(p.faulty)))
		p.failovers = append(p.failovers, window{from, from + time.Duration(5+r.IntN(35))*time.Second})
	}
	from := time.Duration(r.Int64N(int64(p.faulty)))
	p.wrong = window{from, from + time.Duration(r.Int64N(int64(2*time.Hour)))}
	p.delta = []int64{-1, 1, 100, 0, 0}[r.IntN(5)]
	for range 1 + r.IntN(3) {
		p.jumps = append(p.jumps, time.Duration(r.Int64N(int64(p.faulty))))
	}
	from = time.Duration(r.Int64N(int64(p.faulty)))
	p.mute = []window{{from, from + time.Duration(math.Exp(r.Float64()*math.Log(24*3600))*float64(time.Second))}}
	p.muteAll = r.IntN(4) == 0
	p.sweep = time.Duration(15+r.IntN(100)) * time.Minute
	p.patient = r.IntN(3) == 0
	p.pays = []string{"", "eur"}[r.IntN(2)]
	p.drawYoung(seed)
	p.drawLag(seed)
	p.drawUnclear(seed)
	p.fit(off)
	return p
}

// limited is the plan with at most so many payments; 0: as it is.
func (p plan) limited(payments int) plan {
	if payments > 0 {
		p.payments = min(p.payments, payments)
	}
	return p
}

// skewOf is by how much a process's clock is off.
func (p *plan) skewOf(instance int) time.Duration {
	if !p.has(faultSkew) {
		return 0
	}
	return p.skew[instance]
}

// fit switches off what was asked for and what the mode is about.
func (p *plan) fit(off []string) {
	switch p.mode {
	case modeWebhook:
		off = append(slices.Clone(off), faultDrop)
	case modeReconcile:
		p.rate[faultDrop] = 1
	}
	for _, class := range off {
		delete(p.rate, class)
	}
	if !p.has(faultOutage) {
		p.outages = nil
	}
	if !p.has(faultStore) {
		p.storeDown = nil
	}
	if !p.has(faultMute) {
		p.mute = nil
	}
	if !p.has(faultFailover) {
		p.failovers = nil
	}
	if !p.has(faultMoney) {
		p.wrong = window{}
	}
	if !p.has(faultJump) {
		p.jumps = nil
	}
	if !p.has(faultDelay) {
		p.delay = 0
	}
	p.fitYoung()
}

// hidden says whether the lists of events stay empty all along: in half of the
// seeds that have the class, so that those lists are tested too.
func (p *plan) hidden() bool { return p.rate[faultHidden] > 0.5 }

func (p *plan) has(class string) bool { return p.rate[class] > 0 }
