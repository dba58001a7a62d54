package gateway_test

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// settlesUp is a customer who wants to pay: wherever the payment sends them they pay, and they come back, until the
// payment is no longer theirs to act on.
func settlesUp(provider string) step {
	return func(s *story) bool {
		p := s.get(s.id)
		if p.Status() == payment.StatusRequiresAction {
			if s.svc.Checkout(p) == s.svc.PayURL(p) {
				if _, _, err := s.svc.Choose(context.Background(), s.id, p.Token, provider); err != nil {
					return false
				}
				p = s.get(s.id)
			}
			live, ok := p.Facts.Live()
			if !ok {
				return false
			}
			s.fake(live.Provider).pay(s.id, live.N)
			s.pass(10 * time.Second)
		}
		latest, ok := s.get(s.id).Facts.Latest()
		if !ok {
			return false
		}
		_, _, err := s.svc.Returned(context.Background(), s.id, p.Token, "success", latest.N)
		s.sees()
		now := s.get(s.id).Status()
		return err == nil && now != payment.StatusProcessing && now != payment.StatusRequiresAction
	}
}

func chaoticLives() []scenario {
	card, order := settlesUp("stripe"), settlesUp("paypal")
	return []scenario{
		{"card", nil, []step{creates(input("stripe")), card}, payment.StatusSucceeded, 1000, 0},
		{"order", nil, []step{creates(input("paypal")), order}, payment.StatusSucceeded, 1000, 0},
		{"chosen", nil, []step{creates(input("")), order}, payment.StatusSucceeded, 1000, 0},
		{"refunds", nil, []step{creates(input("paypal")), order, refunds("r1", 300), refunds("r2", 700)}, payment.StatusSucceeded, 1000, 1000},
		{"captures", nil, []step{creates(manualInput("paypal")), order, captures("c1", 300, false), captures("c2", 500, true)}, payment.StatusSucceeded, 800, 0},
		{"hold canceled", nil, []step{creates(manualInput("stripe")), card, cancels()}, payment.StatusCanceled, 0, 0},
		{"canceled", nil, []step{creates(input("stripe")), cancels()}, payment.StatusCanceled, 0, 0},
		{"switched", nil, []step{creates(input("")), chooses("stripe"), chooses("paypal"), order}, payment.StatusSucceeded, 1000, 0},
		{"captured and refunded", nil, []step{creates(manualInput("stripe")), card, captures("c1", 600, true), refunds("r1", 250)}, payment.StatusSucceeded, 600, 250},
	}
}

// upset makes each provider call and each write fail with some chance, for the first calls and writes of a life.
func (s *story) upset(rng *rand.Rand) {
	for _, f := range []*fakeProvider{s.stripe, s.paypal} {
		for _, op := range []string{"create_checkout", "close_checkout", "authorize", "capture", "void", "refund", "fetch", "find_checkout"} {
			for range rng.IntN(6) {
				planned := fine
				if rng.IntN(2) == 0 {
					planned = []fault{timeoutBefore, timeoutAfter, stored500, stored500Done, tooMany, missing, htmlPage, forbidden, blindRead, keptRefusal}[rng.IntN(10)]
				}
				f.fail(op, planned)
			}
		}
	}
	left := rng.IntN(6)
	s.hook = func(store.WritePoint, faults.When) error {
		if left == 0 || rng.IntN(6) > 0 {
			return nil
		}
		left--
		if rng.IntN(2) == 0 {
			panic(crash{})
		}
		return errOutage
	}
}

// Guards I1, I3, I5 where everything goes wrong at once: provider calls that time out, answer 500 for ever, 429 or
// pages, reads that fail, crashes, lost acknowledgements and outages. In the end each life comes out as if nothing had
// happened, and the provider's books equal ours. CHAOS_SEEDS says how many lives, where there is time for more.
func TestChaos(t *testing.T) {
	t.Parallel()
	seeds := uint64(240 / thin)
	if more, err := strconv.ParseUint(os.Getenv("CHAOS_SEEDS"), 10, 32); err == nil {
		seeds = more
	}
	lives := chaoticLives()
	for seed := range seeds {
		s, sc := &story{world: newWorld(t, nil)}, lives[seed%uint64(len(lives))]
		s.upset(rand.New(rand.NewPCG(seed, 7)))
		s.play(sc)
		if t.Failed() {
			t.Fatalf("seed %d, %s: %s", seed, sc.name, told(s.get(s.id)))
		}
	}
}

// play lives a life to its end, however long that takes.
func (s *story) play(sc scenario) {
	s.t.Helper()
	for i, todo := range sc.steps {
		done := false
		for tries := 0; !done; tries++ {
			if tries > 600 {
				s.t.Fatalf("%s: step %d never ends: %s", sc.name, i, told(s.get(s.id)))
			}
			s.survive(func() { done = todo(s) })
			if !done {
				s.pass(47 * time.Second)
				s.survive(func() { _, _, _ = s.ops.Step(context.Background()) })
			}
		}
	}
	s.calm()
	s.hook = nil
	for _, f := range []*fakeProvider{s.stripe, s.paypal} {
		f.mu.Lock()
		f.script = map[string][]fault{}
		f.mu.Unlock()
	}
	s.pass(time.Minute)
	s.sees() // what a blind read left out
	s.calm()
	s.judge(sc, true)
}
