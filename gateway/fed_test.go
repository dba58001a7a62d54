package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// feed marks everything that waits, as the relay does after it stands in the feed.
func (w *world) feed() error {
	w.t.Helper()
	waiting, unreadable, _, err := w.payments.Unfed(context.Background(), 500, "")
	if err != nil || len(unreadable) > 0 {
		w.t.Fatal(err, unreadable)
	}
	var fed []payment.Fed
	for _, p := range waiting {
		f := payment.Fed{Payment: p.ID, Read: p}
		for _, e := range p.Outbox {
			f.Events = append(f.Events, e.ID)
		}
		fed = append(fed, f)
	}
	return errors.Join(w.svc.MarkFed(context.Background(), fed)...)
}

// sold is a payment of a customer, paid with a card.
func (w *world) sold(key, customer, card string) *payment.Payment {
	w.t.Helper()
	p := w.mustCreate(key, of(customer, "stripe"))
	w.stripe.pay(p.ID, 1)
	w.comeBack(p.ID, 1)
	key1 := payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: "ch_" + key}
	obs := payment.Observation{Provider: "stripe", Account: "stripe-eu", Facts: payment.Facts{Payers: []payment.Payer{{
		Key: key1, N: 1, Card: payment.Card{Fingerprint: card}, Stamp: payment.Stamp{Created: w.now(), AsOf: w.now()},
	}}}}
	if _, err := w.svc.Apply(context.Background(), p.ID, obs, payment.Source{}); err != nil {
		w.t.Fatal(err)
	}
	return w.get(p.ID)
}

// seen are the kinds of what a subject remembers.
func (w *world) seen(kind risk.Kind, value string) map[payment.SignalKind]int {
	w.t.Helper()
	s, err := w.rules.Subject(context.Background(), risk.SubjectID("shop", payment.ModeTest, risk.Ref{Kind: kind, Value: value}))
	if err != nil && !errors.Is(err, gateway.ErrNotFound) {
		w.t.Fatal(err)
	}
	out := map[payment.SignalKind]int{}
	for _, x := range s.Sightings {
		out[x.Kind]++
	}
	return out
}

func (w *world) tallied() (paid int64) {
	w.t.Helper()
	shares, err := w.rules.Tallies(context.Background(), risk.TallyIDs("stripe-eu", begin))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range shares {
		paid += s.Paid
	}
	return paid
}

// Guards what marking promises beside: the signals of a payment are handled with the same
// write that takes its events out, which is one, and the risk worker finds nothing left.
func TestMarkingTakesSignalsAlong(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	p := w.sold("a", "ann", "visa1")
	if len(p.Outbox) == 0 || len(p.Signals) != 3 {
		t.Fatalf("the test needs events and three signals: %d and %+v", len(p.Outbox), p.Signals)
	}
	w.written()
	if err := w.feed(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(w.written(), string(store.PointPaymentReplace)); got != 1 {
		t.Errorf("the payment was written %d times", got)
	}
	now := w.get(p.ID)
	if len(now.Outbox) != 0 || len(now.Signals) != 0 || !now.SignalAt.IsZero() || now.Version != p.Version+1 || len(now.History) != len(p.History) {
		t.Errorf("left: %+v, %+v, version %d after %d", now.Outbox, now.Signals, now.Version, p.Version)
	}
	if got := w.seen(risk.KindCustomer, "ann"); got["asked"] != 1 || got["paid"] != 1 || got["payer"] != 1 {
		t.Errorf("the customer's record: %v", got)
	}
	if got := w.seen(risk.KindCard, "visa1"); got["payer"] != 1 || w.tallied() != 1 {
		t.Errorf("the card's record: %v; tallied %d", got, w.tallied())
	}
	if did, _, err := w.svc.Risk().Step(context.Background()); did != 0 || err != nil {
		t.Errorf("the risk worker found %d, %v", did, err)
	}
}

// Guards the feed against the rules: where these can't be handled now, events are marked
// all the same and signals stay due; what was put off stays put off.
func TestMarkingDoesNotWaitForTheRules(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	p := w.sold("a", "ann", "visa1")
	w.hook = func(point store.WritePoint, _ faults.When) error {
		if point == store.PointRiskSubjectInsert {
			return fmt.Errorf("away: %w", store.ErrUnavailable)
		}
		return nil
	}
	if err := w.feed(); err != nil {
		t.Fatal(err)
	}
	if now := w.get(p.ID); len(now.Outbox) != 0 || len(now.Signals) != 3 || now.SignalAt.IsZero() {
		t.Fatalf("outbox %v, signals %+v", now.Outbox, now.Signals)
	}
	if _, _, err := w.svc.Risk().Step(context.Background()); err == nil {
		t.Fatal("the fault did not work")
	}
	w.hook = nil
	off := w.get(p.ID)
	if !off.SignalAt.After(w.now()) {
		t.Fatal("the test needs signals that are put off")
	}
	w.written()
	if err := errors.Join(w.svc.MarkFed(context.Background(), []payment.Fed{{Payment: p.ID, Read: off}})...); err != nil || w.written() != "" {
		t.Errorf("put off, and handled all the same: %v", err)
	}
	w.pass(time.Hour)
	if _, _, err := w.svc.Risk().Step(context.Background()); err != nil {
		t.Fatal(err)
	}
	if now := w.get(p.ID); len(now.Signals) != 0 || w.seen(risk.KindCustomer, "ann")["paid"] != 1 || w.tallied() != 1 {
		t.Errorf("left: %+v", now.Signals)
	}
}

// Guards MarkFed against what it is given being old: news that came since stays, and
// nothing of it is overwritten.
func TestMarkingWithAnOldReading(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	p := w.sold("a", "ann", "visa1")
	w.declines(p.ID, 1)
	var events []string
	for _, e := range p.Outbox {
		events = append(events, e.ID)
	}
	for range 2 {
		if err := errors.Join(w.svc.MarkFed(context.Background(), []payment.Fed{{Payment: p.ID, Events: events, Read: p}})...); err != nil {
			t.Fatal(err)
		}
		now := w.get(p.ID)
		if len(now.Facts.Declines) != 1 || len(now.Signals) != 1 || now.Signals[0].Kind != payment.SignalDecline || now.Version != p.Version+2 {
			t.Fatalf("signals %+v, declines %+v, version %d", now.Signals, now.Facts.Declines, now.Version)
		}
		for _, e := range now.Outbox {
			if strings.Contains(strings.Join(events, " "), e.ID) {
				t.Errorf("%s is still there", e.ID)
			}
		}
	}
}

// Guards a till: one card and one customer that pay often are written once for all of it.
func TestOneRecordIsWrittenOnceABatch(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	for i := range 20 {
		w.sold(fmt.Sprint("p", i), "ann", "visa1")
	}
	w.written()
	if err := w.feed(); err != nil {
		t.Fatal(err)
	}
	writes := w.written()
	if n := strings.Count(writes, "risk_subject"); n != 2 {
		t.Errorf("%d writes of two subjects: %s", n, writes)
	}
	if got := w.seen(risk.KindCustomer, "ann"); got["asked"] != 20 || got["paid"] != 20 || w.tallied() != 20 {
		t.Errorf("seen %v, tallied %d", got, w.tallied())
	}
}

// Guards a batch against crashes at every write: each signal counts once, in the records
// of all whom it concerns, and nothing is left behind. One at a time and side by side.
func TestBatchOfSignalsSurvivesACrashAnywhere(t *testing.T) {
	t.Parallel()
	const payments = 6
	play := func(t testing.TB, parallel, at int, when faults.When) (writes int) {
		t.Helper()
		w := newWorld(t, func(o *gateway.Options) {
			o.Parallel = parallel
			o.Risk = &gateway.RiskOptions{Policy: func(string, payment.Mode) risk.Policy { return risk.Default() }}
		})
		for i := range payments {
			w.sold(fmt.Sprint("p", i), fmt.Sprint("customer", i%2), fmt.Sprint("card", i%3))
		}
		dead := false
		w.mu.Lock()
		w.hook = func(_ store.WritePoint, now faults.When) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if now == faults.Before {
				writes++
			}
			if dead = dead || writes == at && now == when; dead {
				return fmt.Errorf("crashed: %w", store.ErrUnavailable)
			}
			return nil
		}
		w.mu.Unlock()
		_ = w.feed() // dies on the way
		w.mu.Lock()
		w.hook = nil
		w.mu.Unlock()
		w.restart()
		w.pass(time.Hour)
		for range 2 {
			if err := w.feed(); err != nil {
				t.Fatal(err)
			}
			if _, _, err := w.svc.Risk().Step(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 2 {
			if got := w.seen(risk.KindCustomer, fmt.Sprint("customer", i)); got["asked"] != 3 || got["paid"] != 3 || got["payer"] != 3 {
				t.Errorf("customer %d: %v", i, got)
			}
		}
		for i := range 3 {
			if got := w.seen(risk.KindCard, fmt.Sprint("card", i)); got["payer"] != 2 {
				t.Errorf("card %d: %v", i, got)
			}
		}
		if w.tallied() != payments {
			t.Errorf("tallied %d of %d", w.tallied(), payments)
		}
		waiting, _, _, err := w.payments.Unfed(context.Background(), 10, "")
		signaling, err2 := w.rules.Signaling(context.Background(), w.now(), 10)
		if err != nil || err2 != nil || len(waiting)+len(signaling) != 0 {
			t.Errorf("left: %v, %v; %v, %v", waiting, signaling, err, err2)
		}
		return writes
	}
	for _, parallel := range []int{1, 4} {
		total := play(t, parallel, 0, faults.Before)
		if total < 12 {
			t.Fatalf("only %d writes: the walk would prove nothing", total)
		}
		for at := 1; at <= total; at++ {
			for _, when := range []faults.When{faults.Before, faults.After} {
				t.Run(fmt.Sprint(parallel, when, at), func(t *testing.T) {
					t.Parallel()
					play(t, parallel, at, when)
				})
			}
		}
	}
}

// Guards neighbours: a record that can't be read stops the signals of the payment that it concerns, and of no other in
// the same batch.
func TestUnreadableBlockStopsOnlyItsOwnPayment(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	for _, name := range []string{"ann", "bob", "cyd"} {
		w.sold(name, name, "card of "+name)
	}
	broken := store.Doc{ID: risk.BlockID("shop", payment.ModeTest, risk.Ref{Kind: risk.KindCustomer, Value: "bob"}), Body: []byte(`{"schema":99}`)}
	if err := w.inner.Insert(store.WithPoint(context.Background(), "test"), "risk_blocks", broken); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.svc.Risk().Step(context.Background()); err == nil {
		t.Error("nobody is told of the unreadable record")
	}
	for name, want := range map[string]int{"ann": 1, "bob": 0, "cyd": 1} {
		if got := w.seen(risk.KindCustomer, name); got["paid"] != want {
			t.Errorf("%s: %v, want paid %d", name, got, want)
		}
	}
}

// Guards the feed and the risk worker against a store that can't be read for a moment:
// nothing is lost or done by halves, events are marked, and signals wait.
func TestSignalsWaitWhileBlocksCantBeRead(t *testing.T) {
	t.Parallel()
	w := withRules(t)
	w.sold("a", "ann", "visa1")
	p := w.sold("b", "bob", "visa2")
	var away noBlocks
	w.rulesThrough = func(s gateway.RiskStore) gateway.RiskStore {
		away = noBlocks{s, true}
		return &away
	}
	w.restart()
	if _, _, err := w.svc.Risk().Step(context.Background()); payment.CodeOf(err) != payment.CodeStoreUnavailable {
		t.Errorf("the risk worker says %v", err)
	}
	w.pass(time.Hour)
	if err := w.feed(); err != nil {
		t.Errorf("the feed waits for the rules: %v", err)
	}
	if now := w.get(p.ID); len(now.Outbox) != 0 || len(now.Signals) == 0 {
		t.Fatalf("outbox %v, signals %+v", now.Outbox, now.Signals)
	}
	away.away = false
	w.pass(time.Hour)
	if _, _, err := w.svc.Risk().Step(context.Background()); err != nil {
		t.Fatal(err)
	}
	if now := w.get(p.ID); len(now.Signals) != 0 || w.seen(risk.KindCustomer, "bob")["paid"] != 1 || w.tallied() != 2 {
		t.Errorf("left %+v, tallied %d", now.Signals, w.tallied())
	}
}

// noBlocks is a store whose blocks can't be read while it is away.
type noBlocks struct {
	gateway.RiskStore
	away bool
}

func (s *noBlocks) Blocks(ctx context.Context, ids []string) ([]risk.Block, error) {
	if s.away {
		return nil, fmt.Errorf("away: %w", gateway.ErrUnavailable)
	}
	return s.RiskStore.Blocks(ctx, ids)
}
