// Package sandbox is the shared core of the stateful stand-ins for the providers'
// HTTP APIs: one World holds the virtual clock, the ids, the ledger of all money
// moved, the fault injection, the webhook deliveries with their retries, and the
// timers. The API packages (stripeapi, paypalapi) put their objects on top of it.
//
// It must not import any other room of this module nor a provider's SDK: a sandbox
// that shared code with the adapters would share their bugs and prove nothing.
package sandbox

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what a World needs from outside. Wall and Client are required.
type Options struct {
	// Wall is the real clock. Webhook signatures carry it; the virtual clock is
	// Wall plus an offset.
	Wall func() time.Time
	// Seed makes ids and fault draws repeatable.
	Seed uint64
	// Client delivers webhooks. Its Transport may be in-memory.
	Client *http.Client
	// Logger receives what went wrong inside the sandbox itself; nil discards.
	Logger *slog.Logger
	// AfterAdvance is called after the clock was advanced and everything due was
	// run; it answers when its own side is quiet. May be nil.
	AfterAdvance func(ctx context.Context)
	// Wait replaces real waiting (latency and timeout faults) for a simulator. It
	// returns early when ctx ends. Nil waits in real time.
	Wait func(ctx context.Context, d time.Duration)
}

// World is the state that all APIs of one sandbox process share.
//
// Two mutexes: Lock/Unlock guard the objects of the API packages (handlers hold it
// while they touch their state, never during a network call), and an inner one
// guards the core's own books. Every method below may therefore be called with or
// without Lock held, except Advance, RunDue and StepDeliveries, which take it
// themselves and must be called without it.
type World struct {
	opt    Options
	offset atomic.Int64 // virtual clock minus wall clock, ns

	state sync.Mutex // the API packages' objects

	adv   sync.Mutex // one Advance at a time
	inner sync.Mutex // everything below
	ids   *rand.Rand
	draws *rand.Rand // fault draws

	faults    Faults
	ledger    []LedgerRow
	timers    agenda[*timer]
	byKey     map[string]*timer
	endpoints []*Endpoint
	signers   map[string]Signer
	events    []Event
	sends     []*delivery       // all, in order of emission
	due       agenda[*delivery] // not finished, not in flight
	pending   map[string]int    // unfinished deliveries by API and event id
	inFlight  int
	changed   chan struct{} // closed and replaced when a delivery ends
	wakes     []chan struct{}
}

// NewWorld returns an empty world. It panics if Wall or Client is missing, because
// a sandbox without a clock or a way to deliver webhooks is a wiring mistake.
func NewWorld(o Options) *World {
	if o.Wall == nil || o.Client == nil {
		panic("sandbox: Options.Wall and Options.Client are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Wait == nil {
		o.Wait = waitReal
	}
	return &World{
		opt:     o,
		ids:     rand.New(rand.NewPCG(o.Seed, 0x1d5)),
		draws:   rand.New(rand.NewPCG(o.Seed, 0xfa)),
		signers: map[string]Signer{},
		byKey:   map[string]*timer{},
		pending: map[string]int{},
		changed: make(chan struct{}),
	}
}

// waitReal waits d in real time or until ctx ends.
func waitReal(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Wall is the real clock, in UTC.
func (w *World) Wall() time.Time { return w.opt.Wall().UTC() }

// Now is the virtual clock: wall clock plus everything ever advanced, in UTC.
// Object times follow it.
func (w *World) Now() time.Time { return w.Wall().Add(time.Duration(w.offset.Load())) }

// Lock takes the mutex that guards the objects of all APIs.
func (w *World) Lock() { w.state.Lock() }

// Unlock releases Lock.
func (w *World) Unlock() { w.state.Unlock() }

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewID returns prefix (verbatim, so include its "_") followed by n base62
// characters, repeatable from Options.Seed.
func (w *World) NewID(prefix string, n int) string { return prefix + w.random(base62, n) }

// Hex returns n lower-case hexadecimal digits, repeatable from Options.Seed.
func (w *World) Hex(n int) string { return w.random("0123456789abcdef", n) }

func (w *World) random(alphabet string, n int) string {
	w.inner.Lock()
	defer w.inner.Unlock()
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[w.ids.IntN(len(alphabet))]
	}
	return string(b)
}

// LedgerRow is one movement of money at "the provider". Amount is in minor units
// and positive; Kind says in which direction it went: capture, refund,
// refund_failed, dispute, dispute_won, reversal, fee, transfer, transfer_reversal.
type LedgerRow struct {
	Object    string    `json:"object"`
	Kind      string    `json:"kind"`
	Amount    int64     `json:"amount"`
	Currency  string    `json:"currency"`
	Reference string    `json:"reference"`
	Account   string    `json:"account"`
	At        time.Time `json:"at"`
	// Odd says that a fault took this: another amount than was asked for, or once more.
	Odd bool `json:"-"`
	// API is the provider that moved it ("stripe", "paypal"); each listener's
	// GET /_sandbox/ledger shows its own rows and those that name no API.
	API string `json:"-"`
}

// Record appends a movement to the ledger; a zero At becomes Now.
func (w *World) Record(r LedgerRow) {
	if r.At.IsZero() {
		r.At = w.Now()
	}
	w.inner.Lock()
	defer w.inner.Unlock()
	w.ledger = append(w.ledger, r)
}

// Ledger returns a copy of all movements of all APIs, in order of recording.
func (w *World) Ledger() []LedgerRow {
	w.inner.Lock()
	defer w.inner.Unlock()
	return append([]LedgerRow{}, w.ledger...)
}

// Moved is how many movements there are, for who only wants to know whether there
// are new ones.
func (w *World) Moved() int {
	w.inner.Lock()
	defer w.inner.Unlock()
	return len(w.ledger)
}
