package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

var errDown = fmt.Errorf("no primary: %w", store.ErrUnavailable)

// Guards I9: every event gets into its own app's and mode's feed, numbered from
// 1, in order, and leaves its payment.
func TestRelayFeedsEachApp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	shop := append(r.pay("shop", payment.ModeTest, "a", 3), r.pay("shop", payment.ModeTest, "b", 2)...)
	live := r.pay("shop", payment.ModeLive, "c", 1)
	other := r.pay("other", payment.ModeTest, "d", 4)
	relay := r.relay()
	did, next, err := relay.Step(t.Context())
	if did != 10 || err != nil || next.Before(now) {
		t.Fatalf("did %d, %v, next %s", did, err, next)
	}
	r.wantFed("shop", payment.ModeTest, shop)
	r.wantFed("shop", payment.ModeLive, live)
	r.wantFed("other", payment.ModeTest, other)
	r.wantFed("nobody", payment.ModeTest, nil)
	for _, name := range []string{"a", "b", "c", "d"} {
		if n := r.waiting(name); n != 0 {
			t.Errorf("%d events still wait in %s", n, name)
		}
	}
	if did, _, err := relay.Step(t.Context()); did != 0 || err != nil {
		t.Errorf("again: did %d, %v", did, err)
	}
}

// Guards I9 against overlap: eight relays at once, while payments get events,
// leave no gap, no duplicate and nothing behind.
func TestEightRelays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var mu sync.Mutex
	var want []string
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 60 {
				ids := r.pay("shop", payment.ModeTest, fmt.Sprintf("w%d_%d", w, i), 1+i%4)
				mu.Lock()
				want = append(want, ids...)
				mu.Unlock()
			}
		})
	}
	for range 8 {
		relay := r.relay(func(o *outbox.RelayOptions) { o.Batch = 20 })
		wg.Go(func() {
			for range 60 {
				if _, _, err := relay.Step(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.run(r.relay())
	r.wantFed("shop", payment.ModeTest, want)
}

// meanwhile does something after payments were read and before they are handed out.
type meanwhile struct {
	outbox.Payments
	do func()
}

func (m *meanwhile) Unfed(ctx context.Context, limit int, after string) ([]*payment.Payment, []error, string, error) {
	found, unreadable, next, err := m.Payments.Unfed(ctx, limit, after)
	if do := m.do; do != nil {
		m.do = nil
		do()
	}
	return found, unreadable, next, err
}

// Guards I9 against one relay that is stepped twice at once: where one Step left the feed,
// another that read payments before that must not go on.
func TestOneRelaySteppedAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := &meanwhile{Payments: store.NewPayments(r.engine)}
	relay := r.relay(func(o *outbox.RelayOptions) { o.Payments = m })
	want := r.pay("shop", payment.ModeTest, "first", 3)
	r.run(relay)
	want = append(want, r.pay("shop", payment.ModeTest, "second", 2)...)
	m.do = func() { r.run(relay) }
	if _, _, err := relay.Step(t.Context()); err != nil || m.do != nil {
		t.Fatal(err)
	}
	r.wantFed("shop", payment.ModeTest, want)
}

// reads counts what a relay reads.
type reads struct {
	outbox.Payments
	outbox.Pages
	gets, lasts int
}

func (c *reads) Get(ctx context.Context, id string) (*payment.Payment, error) {
	c.gets++
	return c.Payments.Get(ctx, id)
}

func (c *reads) Last(ctx context.Context, app string, mode payment.Mode) (outbox.Page, bool, error) {
	c.lasts++
	return c.Pages.Last(ctx, app, mode)
}

// Guards I9 on several servers against retention: one that slept while the others fed, and the pages they filled were
// dropped, does not begin such a page anew: apps have read past it.
func TestRelayThatSleptDoesNotReviveDroppedPages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	slept, other := r.relay(), r.relay()
	r.pay("shop", payment.ModeTest, "first", outbox.MaxPageEvents)
	r.run(slept)
	r.pay("shop", payment.ModeTest, "second", outbox.MaxPageEvents)
	r.run(other)
	r.pay("shop", payment.ModeTest, "third", 3)
	r.run(other)
	if n, err := store.NewRetention(r.engine).Feed(t.Context(), now.AddDate(1, 0, 0), 10); n != 2 || err != nil {
		t.Fatalf("dropped %d, %v", n, err)
	}
	r.pay("shop", payment.ModeTest, "fourth", 1)
	r.run(slept)
	first, _, err := store.NewFeed(r.engine).First(t.Context(), "shop", payment.ModeTest)
	if err != nil {
		t.Fatal(err)
	}
	if last := len(first.Events) - 1; first.N != 3 || last != 3 || first.Events[last].Sequence != 2*outbox.MaxPageEvents+4 {
		t.Errorf("the feed begins with page %d of %d events: %+v", first.N, len(first.Events), first.Events)
	}
}

// Guards what feeding costs: a relay that nobody disturbs reads each payment once, by the
// query that finds it, and no page but a full one. Somebody else's append is noticed all the same.
func TestRelayReadsNothingTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := &reads{Payments: store.NewPayments(r.engine), Pages: store.NewFeed(r.engine)}
	relay := r.relay(func(o *outbox.RelayOptions) { o.Payments, o.Pages = c, c })
	want := r.pay("shop", payment.ModeTest, "first", 3)
	r.run(relay)
	c.gets, c.lasts = 0, 0
	for i := range 30 { // over the end of a page
		want = append(want, r.pay("shop", payment.ModeTest, fmt.Sprint("p", i), 2)...)
		r.run(relay)
	}
	if turned := 1; c.gets > turned || c.lasts > turned { // what follows a full page is looked up
		t.Errorf("%d payments and %d pages were read again", c.gets, c.lasts)
	}
	want = append(want, r.pay("shop", payment.ModeTest, "theirs", 2)...)
	r.run(r.relay())
	want = append(want, r.pay("shop", payment.ModeTest, "ours", 2)...)
	r.run(relay)
	if c.gets == 0 || c.lasts == 0 {
		t.Error("the page of somebody else was not read")
	}
	r.wantFed("shop", payment.ModeTest, want)
}

// Guards I9 against crashes: before and after every write of the relay, as a
// kill, a lost acknowledgement or an outage; with 250 events the runs cross a page. The
// relay knows where the feed ends, or does not.
func TestRelayCrashAtEveryWrite(t *testing.T) {
	t.Parallel()
	play := func(t *testing.T, known bool, n int, when faults.When, kill bool) int {
		t.Helper()
		r := newRig(t)
		relay := r.relay()
		want := r.pay("shop", payment.ModeTest, "first", 3)
		r.run(relay)
		if !known {
			relay = r.relay()
		}
		for i := range 5 {
			want = append(want, r.pay("shop", payment.ModeTest, fmt.Sprint("p", i), 50)...)
		}
		writes, done := 0, false
		r.fault(func(_ store.WritePoint, w faults.When) error {
			if w == faults.Before {
				writes++
			}
			if done || writes != n || w != when {
				return nil
			}
			done = true
			if kill {
				panic("killed")
			}
			return errDown
		})
		for range 6 {
			func() {
				defer func() {
					if recover() != nil {
						relay = r.relay() // the next process
					}
				}()
				_, _, _ = relay.Step(t.Context())
			}()
		}
		r.wantFed("shop", payment.ModeTest, want)
		for i := range 5 {
			if left := r.waiting(fmt.Sprint("p", i)); left != 0 {
				t.Errorf("%d events left in p%d", left, i)
			}
		}
		return writes
	}
	for _, known := range []bool{false, true} {
		writes := play(t, known, 0, faults.Before, false)
		if writes < 7 { // 2 pages and 5 payments at least
			t.Fatalf("only %d writes", writes)
		}
		for n := 1; n <= writes; n++ {
			for _, when := range []faults.When{faults.Before, faults.After} {
				for _, kill := range []bool{true, false} {
					t.Run(fmt.Sprintf("known=%t %d %s kill=%t", known, n, when, kill), func(t *testing.T) {
						t.Parallel()
						play(t, known, n, when, kill)
					})
				}
			}
		}
	}
}

// Guards "a duplicate keeps its id" where page-local looking would fail: a relay
// dies between append and mark, and pages of other events follow before anybody
// looks at its payment again.
func TestUnmarkedEventsAreNotFedTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	want := r.pay("shop", payment.ModeTest, "crashed", 3)
	r.fault(func(p store.WritePoint, _ faults.When) error {
		if p == store.PointPaymentReplace {
			return errDown
		}
		return nil
	})
	if _, _, err := r.relay().Step(t.Context()); err == nil {
		t.Fatal("the fault did not work")
	}
	if r.waiting("crashed") != 3 || len(r.feed("shop", payment.ModeTest)) != 3 {
		t.Fatal("the test needs events that are fed and not marked")
	}
	// Marking keeps failing for this one payment, so its events are carried from
	// page to page.
	stuck := true
	r.fault(nil)
	marker := markerFunc(func(ctx context.Context, fed []payment.Fed) []error {
		errs := make([]error, len(fed))
		for i, f := range fed {
			if errs[i] = errDown; f.Payment != "pay_crashed" || !stuck {
				errs[i] = r.service(r.engine).MarkFed(ctx, []payment.Fed{f})[0]
			}
		}
		return errs
	})
	relay := r.relay(func(o *outbox.RelayOptions) { o.Marker = marker })
	for i := range 10 {
		want = append(want, r.pay("shop", payment.ModeTest, fmt.Sprint("other", i), 50)...)
		if _, _, err := relay.Step(t.Context()); err == nil {
			t.Error("the stuck payment is not reported")
		}
	}
	if r.waiting("crashed") != 3 || r.waiting("other9") != 0 {
		t.Fatalf("%d and %d events wait, want 3 and 0", r.waiting("crashed"), r.waiting("other9"))
	}
	stuck = false
	r.run(r.relay())
	r.wantFed("shop", payment.ModeTest, want)
	if n := r.waiting("crashed"); n != 0 {
		t.Errorf("%d events still wait", n)
	}
}

type markerFunc func(ctx context.Context, fed []payment.Fed) []error

func (f markerFunc) MarkFed(ctx context.Context, fed []payment.Fed) []error { return f(ctx, fed) }

// Guards against pauses of any length: a relay that read everything, slept while
// another fed and marked it (also over the end of a page), and wakes up, appends
// nothing. The same for one that knew where the feed ended before it read.
func TestPausedRelayFeedsNothingTwice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		before, others int
		known          bool
	}{
		{"first page", 0, 0, false},
		{"same page", 10, 10, false},
		{"page turned meanwhile", 198, 10, false},
		{"two pages later", 198, 300, false},
		{"known page", 10, 10, true},
		{"known page, full", outbox.MaxPageEvents, 0, true},
		{"known page, turned meanwhile", 198, 10, true},
		{"known page, two later", 198, 300, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			var want []string
			for i := 0; i < c.before; i += 50 {
				want = append(want, r.pay("shop", payment.ModeTest, fmt.Sprint("b", i), min(50, c.before-i))...)
			}
			relay := r.relay()
			r.run(relay)
			if !c.known {
				relay = r.relay()
			}
			want = append(want, r.pay("shop", payment.ModeTest, "x", 5)...)
			slept := false
			r.fault(func(p store.WritePoint, w faults.When) error {
				if slept || w != faults.Before || p != store.PointFeedInsert && p != store.PointFeedReplace {
					return nil
				}
				slept = true
				for i := 0; i < c.others; i += 50 {
					want = append(want, r.pay("shop", payment.ModeTest, fmt.Sprint("o", i), min(50, c.others-i))...)
				}
				r.run(r.relay())
				return nil
			})
			if _, _, err := relay.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !slept {
				t.Fatal("the relay never wrote")
			}
			r.wantFed("shop", payment.ModeTest, want)
		})
	}
}

// Guards the limits of a page: at most as many events as one may hold, and bytes far below what a
// store takes, a large event alone included.
func TestPageLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var want []string
	for i := range 9 {
		want = append(want, r.pay("shop", payment.ModeTest, fmt.Sprint("p", i), 50)...)
	}
	for i, size := range []int{10, 300 << 10, 300 << 10, 10, 600 << 10, 10} {
		name := fmt.Sprint("big", i)
		p := payment.New("pay_"+name, "shop", payment.ModeTest, payment.Terms{Amount: payment.Money{Minor: 1, Currency: "usd"}}, payment.Request{}, "t", now)
		p.Version = 1
		e := event(name, 0)
		e.Body = []byte(`{"text":"` + strings.Repeat("<", size) + `"}`) // must not grow by being escaped
		p.Outbox = []payment.Event{e}
		if err := store.NewPayments(r.engine).Insert(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		want = append(want, e.ID)
	}
	r.run(r.relay())
	r.wantFed("shop", payment.ModeTest, want)
	pages := store.NewFeed(r.engine)
	for n := int64(1); ; n++ {
		p, ok, err := pages.Page(t.Context(), "shop", payment.ModeTest, n)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			if n < 6 {
				t.Errorf("only %d pages", n-1)
			}
			break
		}
		bytes := 0
		for _, e := range p.Events {
			bytes += len(e.Object)
		}
		if len(p.Events) > outbox.MaxPageEvents || len(p.Events) == 0 || bytes > 450<<10 && len(p.Events) > 1 {
			t.Errorf("page %d has %d events of %d bytes", n, len(p.Events), bytes)
		}
		if last, _, _ := pages.Last(t.Context(), "shop", payment.ModeTest); (last.N != n) != p.Closed {
			t.Errorf("page %d closed: %t", n, p.Closed)
		}
	}
}

// Guards "one poisoned item never stops the rest": an event that is no JSON holds
// back only what comes after it in its own payment, and an unreadable payment
// nobody.
func TestPoisonedPayments(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	bad := payment.New("pay_bad", "shop", payment.ModeTest, payment.Terms{Amount: payment.Money{Minor: 1, Currency: "usd"}}, payment.Request{}, "t", now)
	bad.Version = 1
	bad.Outbox = []payment.Event{event("bad", 0), event("bad", 1), event("bad", 2)}
	bad.Outbox[1].Body = []byte("{")
	if err := store.NewPayments(r.engine).Insert(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	if err := r.engine.Insert(t.Context(), "payments", store.Doc{
		ID: "pay_broken", Body: []byte(`{"schema":99}`), Index: map[string]any{"unfed_since": now.AddDate(-1, 0, 0)},
	}); err != nil {
		t.Fatal(err)
	}
	good := r.pay("shop", payment.ModeTest, "good", 2)
	did, _, err := r.relay().Step(t.Context())
	if did != 3 || err == nil {
		t.Errorf("did %d, %v; want 3 and both faults reported", did, err)
	}
	r.wantFed("shop", payment.ModeTest, append(good, "evt_bad_0"))
	if r.waiting("bad") != 2 {
		t.Errorf("%d events wait behind the bad one, want 2", r.waiting("bad"))
	}
}

// Guards I4 for the feed: with the store down nothing is lost and nothing is
// taken for fed.
func TestRelayStoreDown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	want := r.pay("shop", payment.ModeTest, "a", 3)
	r.fault(func(store.WritePoint, faults.When) error { return errDown })
	if did, _, err := r.relay().Step(t.Context()); did != 0 || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("did %d, %v", did, err)
	}
	r.fault(nil)
	r.run(r.relay())
	r.wantFed("shop", payment.ModeTest, want)
	if _, err := outbox.NewRelay(outbox.RelayOptions{}); err == nil {
		t.Error("NewRelay accepts empty options")
	}
}

// Guards MarkFed: it takes exactly the named events, leaves history and
// updated_at alone, and repeating it writes nothing.
func TestMarkFed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pay("shop", payment.ModeTest, "a", 3)
	s := r.service(r.engine)
	read, err := store.NewPayments(r.engine).Get(t.Context(), "pay_a")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time with what was read before the first
		if err := s.MarkFed(t.Context(), []payment.Fed{{Payment: "pay_a", Events: []string{"evt_a_0", "evt_a_2", "evt_else"}, Read: read}})[0]; err != nil {
			t.Fatal(err)
		}
		p, err := store.NewPayments(r.engine).Get(t.Context(), "pay_a")
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Outbox) != 1 || p.Outbox[0].ID != "evt_a_1" || p.Version != 2 || len(p.History) != 0 || !p.UpdatedAt.Equal(now) {
			t.Errorf("outbox %v, version %d, %d history entries, updated %s", idsOf(p.Outbox), p.Version, len(p.History), p.UpdatedAt)
		}
	}
	if err := s.MarkFed(t.Context(), []payment.Fed{{Payment: "pay_nothing"}})[0]; payment.CodeOf(err) != payment.CodeNotFound {
		t.Errorf("no such payment: %v", err)
	}
}
